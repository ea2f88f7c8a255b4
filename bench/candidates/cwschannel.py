"""cwschannel: by callback, with ``async for``, with ``await``, and blocking; compiled and pure."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, ClassVar

from ..adaptor import LARGEST, Adaptor, Blocking, ByAwait, ByCallback
from ..lines import Unavailable

OPTIONS: dict[str, Any] = {"ping_interval": None, "max_message_size": LARGEST}


class Ours(Adaptor):
    requires = "cwschannel"
    packages = ("cwschannel",)
    environment: ClassVar[dict[str, str]] = {"CWSCHANNEL_PURE": "0"}
    ours = True

    @classmethod
    def check(cls) -> str:
        super().check()
        import cwschannel
        from cwschannel import kernels

        if kernels.COMPILED is cls.pure:
            raise Unavailable(f"{cwschannel.__file__} does not load the {'pure' if cls.pure else 'compiled'} kernels")
        return "pure" if cls.pure else "compiled"


def open_options(adaptor: Adaptor) -> dict[str, Any]:
    return OPTIONS if adaptor.tls is None else OPTIONS | {"ssl": adaptor.tls}


class Listen(Ours, ByCallback):
    """``stream.listen`` and ``sink.add``."""

    fans = True

    async def open(self, uri: str) -> None:
        import cwschannel

        self._channel = await cwschannel.connect(uri, **open_options(self))
        self._channel.stream.listen(self.received)
        self.add = self._channel.sink.add

    async def close(self) -> None:
        await self._channel.sink.close(1000)

    async def serve(self) -> int:
        import cwschannel

        def handle(channel: Any) -> None:
            channel.stream.listen(self.accept(channel.sink.add))

        self._server = await cwschannel.serve(handle, "127.0.0.1", 0, backlog=1024, ssl=self.tls, **OPTIONS)
        return self._server.port

    def broadcast(self, message: Any) -> None:
        broadcast(self._server.channels, message)


class OnAiofastnet(Listen):
    """The same with the transports of aiofastnet in place of the loop's own, as picows has them."""

    requires = "aiofastnet"
    packages = ("cwschannel", "aiofastnet")
    fans = False

    async def open(self, uri: str) -> None:
        self._patch()
        await super().open(uri)

    async def serve(self) -> int:
        self._patch()
        return await super().serve()

    def _patch(self) -> None:
        import aiofastnet

        aiofastnet.patch_loop(asyncio.get_running_loop())


class For(Ours, ByAwait):
    """``async for message in channel.stream``; clients send with ``sink.add``, servers with ``await channel.send``."""

    async def open(self, uri: str) -> None:
        import cwschannel

        self._channel = await cwschannel.connect(uri, **open_options(self))
        self._messages = aiter(self._channel.stream)

    async def run(self, trips: int) -> None:
        message, burst, give = self.work.message(), range(self.work.take), self.work.give
        add = self._channel.sink.add
        for _ in burst:
            add(message)
        missing = give
        async for received in self._messages:
            missing -= 1
            if not missing:
                missing = give
                trips -= 1
                if not trips:
                    self.last = received
                    break
                for _ in burst:
                    add(message)
        self.judge()

    async def close(self) -> None:
        await self._channel.sink.close(1000)

    async def serve(self) -> int:
        import cwschannel

        async def handle(channel: Any) -> None:
            await self.answer(channel.stream, channel.send)

        self._server = await cwschannel.serve(handle, "127.0.0.1", 0, backlog=1024, ssl=self.tls, **OPTIONS)
        return self._server.port


class Recv(Ours, ByAwait):
    """``await channel.send()`` and ``await channel.recv()``. As a server, it is the one above."""

    server = False

    async def open(self, uri: str) -> None:
        import cwschannel

        self._channel = await cwschannel.connect(uri, **open_options(self))
        self.send, self.recv = self._channel.send, self._channel.recv

    async def close(self) -> None:
        await self._channel.sink.close(1000)


class Bare(Ours, ByCallback, asyncio.BufferedProtocol):
    """The asyncio protocol under ``IOWebSocketChannel``, reduced to what it needs: no stream, sink, bounds, timers.

    What the channel costs above it is what its users pay for being a ``StreamChannel``.
    """

    server = False

    async def open(self, uri: str) -> None:
        import cwschannel
        from cwschannel.channels.io_protocol import read_buffer
        from cwschannel.protocol.connection import Connection, ConnectionOptions

        self._channel = await cwschannel.connect(uri, **open_options(self))
        self._transport: Any = self._channel._io._transport
        options = ConnectionOptions(ping_interval=None, max_message_size=LARGEST)
        self._connection = Connection(read_buffer(), client_side=True, options=options)
        self.get_buffer = self._connection.get_buffer  # type: ignore[method-assign,assignment]
        self._encode: Any = self._connection.encode
        self._transport.set_protocol(self)

    def add(self, message: Any) -> None:  # type: ignore[override]
        self._transport.write(self._encode(message))

    def buffer_updated(self, nbytes: int) -> None:
        reader = self._connection.reader
        items: list[Any] = reader.received(nbytes)
        if not reader.only_messages:
            self._transport.write(self._connection.take(items))
            items, self._connection.messages = self._connection.messages, []
        received = self.received
        for message in items:
            received(message)

    async def close(self) -> None:
        self._transport.set_protocol(self._channel._io)
        await self._channel.sink.close(1000)


class Bytes(Ours, ByCallback):
    """``WebSocketChannel`` over a channel of bytes, which is one over the connection's transport."""

    server = False

    async def open(self, uri: str) -> None:
        import cwschannel

        opened = await cwschannel.connect(uri, **open_options(self))
        bytes_below = cwschannel.byte_channels.from_transport(opened._io._transport)  # type: ignore[arg-type]
        self._channel = cwschannel.WebSocketChannel(bytes_below, server_side=False, **OPTIONS)
        self._channel.stream.listen(self.received)
        self.add = self._channel.sink.add

    async def close(self) -> None:
        await self._channel.sink.close(1000)


class Pure(Listen):
    environment: ClassVar[dict[str, str]] = {"CWSCHANNEL_PURE": "1"}
    pure = True
    fans = False


class Sync(Ours, Blocking):
    """``cwschannel.sync``: ``channel.send()`` and ``channel.recv()``, in the calling thread."""

    requires = "cwschannel.sync"

    def open(self, uri: str) -> None:
        from cwschannel.sync import connect

        options = {"max_message_size": LARGEST} if self.tls is None else {"max_message_size": LARGEST, "ssl": self.tls}
        self._channel = connect(uri, **options)
        if hasattr(self._channel, "__enter__"):
            self._channel.__enter__()
        self.send, self.recv = self._channel.send, self._channel.recv

    def close(self) -> None:
        self._channel.__exit__(None, None, None)


@functools.cache
def broadcaster() -> Any:
    import cwschannel

    found = getattr(cwschannel, "broadcast", None)
    if found is None:
        raise Unavailable("this cwschannel has no broadcast()")
    return found


def broadcast(channels: Any, message: Any) -> None:
    broadcaster()(channels, message)


CANDIDATES = {
    "cwschannel listen": Listen,
    "cwschannel listen, aiofastnet": OnAiofastnet,
    "cwschannel for": For,
    "cwschannel recv": Recv,
    "cwschannel bare": Bare,
    "cwschannel bytes": Bytes,
    "cwschannel listen, pure": Pure,
    "cwschannel sync": Sync,
}
