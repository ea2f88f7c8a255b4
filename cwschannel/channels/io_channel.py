"""The WebSocket channel over asyncio transports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Awaitable, Generator, Iterable
from typing import Any, Self

from ..exceptions import ChannelStateError, ConnectionClosed, OpeningFailed
from ..http import Request, Response
from ..kernels.frame import BytesLike, Message
from ..status import INTERNAL_SERVER_ERROR
from ..streams.stream import Stream
from .io_protocol import IOProtocol
from .websocket_channel import WebSocketChannel, WebSocketSink

__all__ = ["IOWebSocketChannel"]


class IOWebSocketChannel(WebSocketChannel):
    """A WebSocket over an asyncio transport, made by ``connect`` or by a server.

    It can be used before it is open: what is added is sent, in order, once it is. ``await channel`` and ``async with``
    wait until it is open.

    Attributes:
        request: the client's request, as we sent or received it.
        response: the server's answer, as we received or sent it; ``None`` until then.
    """

    __slots__ = ("__weakref__", "_io", "_opening", "_protocol", "_sink", "request", "response")

    def __init__(self, io: IOProtocol, request: Request) -> None:
        self._io = io
        self._sink = _IOSink(io)
        self._opening: asyncio.Task[None] | None = None
        self._protocol: str | None = None
        self.request = request
        self.response: Response | None = None

    @property
    def stream(self) -> Stream[Message]:
        return self._io.stream

    @property
    def sink(self) -> WebSocketSink:
        return self._sink

    @property
    def ready(self) -> Awaitable[None]:
        return self._io.opened

    @property
    def protocol(self) -> str | None:
        return self._protocol

    @property
    def close_code(self) -> int | None:
        return self._io.close_code

    @property
    def close_reason(self) -> str | None:
        connection = self._io.connection
        if connection is not None:
            return connection.close_reason
        return None if self._io.close_code is None else ""

    @property
    def latency(self) -> float:
        """Seconds from the last answered ping to its pong; 0.0 before the first. Keepalive pings count."""
        return self._io.latency

    @property
    def local_address(self) -> Any:
        """Our end of the socket, such as ``("127.0.0.1", 50000)``; ``None`` while there is none."""
        return self.get_extra_info("sockname")

    @property
    def remote_address(self) -> Any:
        """The peer's end of the socket, such as ``("127.0.0.1", 8765)``; ``None`` while there is none."""
        return self.get_extra_info("peername")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows, such as ``"ssl_object"`` or ``"peercert"`` (see ``asyncio.BaseTransport``)."""
        return self._io.get_extra_info(name, default)

    async def send(self, message: str | BytesLike) -> None:
        io = self._io
        if io.connection is None:
            await io.opened
        self._sink.check_free()
        io.send(message)
        if io.outbox.blocked is not None:
            await io.outbox.drain()

    async def recv(self) -> Message:
        stream = self._io.stream
        if stream.queue:
            return stream.take()
        try:
            return await stream.__anext__()
        except StopAsyncIteration:
            pass
        raise self._io.closed_error()

    async def ping(self, payload: BytesLike | None = None) -> float:
        """Send a ping and wait for its pong (RFC 6455 section 5.5.2). Returns the round-trip time in seconds.

        The wait ends with the connection; a peer that sends messages but no pongs can make it long.

        Args:
            payload: at most 125 bytes; random by default.

        Raises:
            ConnectionClosed: the connection is closed, or was before the pong came.
        """
        return await self._io.ping(os.urandom(4) if payload is None else bytes(payload))

    def abort(self) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
        self._io.abort()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        try:
            await self.ready
        except asyncio.CancelledError:
            self.abort()  # nobody else has the channel yet who could close it
            raise
        return self

    def __repr__(self) -> str:
        if self.close_code is not None:
            state = f"closed with {self.close_code}"
        else:
            state = "opening" if self._io.connection is None else "open"
        return f"<{type(self).__name__} {self.request.target} {state}>"


class _IOSink(WebSocketSink):
    """The sink of an ``IOWebSocketChannel``."""

    __slots__ = ("_adding", "_closed", "_done", "_error", "_io")

    def __init__(self, io: IOProtocol) -> None:
        self._io = io
        self._adding = False
        self._closed = False
        self._error: Exception | None = None
        self._done = _SinkDone(self)

    def add(self, item: str | BytesLike) -> None:
        if self._closed or self._adding:
            self.check_free()
        try:
            self._io.send(item)
        except (ConnectionClosed, OpeningFailed):
            pass  # guarantee 3: the stream has ended, or is about to

    def add_error(self, error: Exception) -> None:
        self.check_free()
        self._error = error
        self.close(INTERNAL_SERVER_ERROR)

    async def add_stream(self, items: AsyncIterable[str | BytesLike] | Iterable[str | BytesLike]) -> None:
        self.check_free()
        self._adding = True
        io = self._io
        try:
            await io.opened.ended()
            async for item in _iterate(items):
                io.send(item)
                if io.outbox.blocked is not None:
                    await io.outbox.drain()
        except (ConnectionClosed, OpeningFailed):
            pass  # guarantee 3, as in add()
        finally:
            self._adding = False

    def flush(self) -> Awaitable[None]:
        return self._io.flush()

    def close(self, code: int | None = None, reason: str = "") -> Awaitable[None]:
        if self._adding:
            raise ChannelStateError("add_stream() is running: the sink can be closed when it is done")
        self._io.close(code, reason)
        self._closed = True
        return self._done

    @property
    def done(self) -> Awaitable[None]:
        return self._done

    def check_free(self) -> None:
        """Raise ``ChannelStateError`` if nothing may be added now."""
        if self._adding:
            raise ChannelStateError("add_stream() is running: nothing else can be added before it is done")
        if self._closed:
            raise ChannelStateError("the sink is closed: nothing can be added after close()")


class _SinkDone:
    """``sink.done``: the end of the connection, with the error that ``add_error`` was given."""

    __slots__ = ("_sink",)

    def __init__(self, sink: _IOSink) -> None:
        self._sink = sink

    def __await__(self) -> Generator[Any, None, None]:
        yield from self._sink._io.closed.__await__()
        if self._sink._error is not None:
            raise self._sink._error


async def _iterate(items: AsyncIterable[Any] | Iterable[Any]) -> Any:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
