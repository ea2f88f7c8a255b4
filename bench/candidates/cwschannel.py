"""cwschannel: by callback, with ``async for``, with ``await``, and blocking; compiled and pure."""

from __future__ import annotations

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
    "cwschannel for": For,
    "cwschannel recv": Recv,
    "cwschannel listen, pure": Pure,
    "cwschannel sync": Sync,
}
