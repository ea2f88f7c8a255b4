"""The WebSocket channel over asyncio transports."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Self

from ..exceptions import ChannelStateError
from ..http import Request, Response
from ..kernels.frame import BytesLike
from ..protocol.connection import Connection, ConnectionOptions
from .io_protocol import IOProtocol, read_buffer
from .outbox import BufferLimits
from .protocol_channel import ProtocolWebSocketChannel
from .transport_bytes import as_bytes, two_way_transport

__all__ = ["IOWebSocketChannel"]


class IOWebSocketChannel(ProtocolWebSocketChannel):
    """A WebSocket over an asyncio transport, made by ``connect`` or by a server.

    It can be used before it is open: what is added is sent, in order, once it is. ``await channel`` and ``async with``
    wait until it is open.

    Called by yourself it wraps a connection that is open already, whoever did the opening handshake on it.

    Args:
        existing: the connection's transport, or the writer of a pair of asyncio streams. The channel owns it from now on.
        protocol: the subprotocol that was agreed on.
        ping_interval: seconds from a pong to the next keepalive ping; ``None`` for no keepalive.
        server_side: whether this is the server's end.
        received: what was read from the connection after the opening handshake and belongs to the WebSocket. What asyncio's
            ``StreamReader`` holds of it has to be handed over here.
        request: the client's request, for ``request`` to return.
        response: the server's answer, for ``response`` to return.

    The other options are those of ``connect``.

    Raises:
        ValueError, TypeError: a mistake in the arguments.
        RuntimeError: there is no running event loop.

    Attributes:
        response: the server's answer, as we received or sent it; ``None`` until then.
    """

    __slots__ = ("__weakref__", "_opening", "_request", "response")

    def __init__(
        self,
        existing: asyncio.Transport | asyncio.StreamWriter,
        protocol: str | None = None,
        ping_interval: float | None = None,
        server_side: bool = True,
        *,
        received: BytesLike = b"",
        request: Request | None = None,
        response: Response | None = None,
        ping_timeout: float | None = 20,
        close_timeout: float = 10,
        max_message_size: int | None = 2**20,
        max_fragments: int | None = 4096,
        read_limit: int = 2**20,
        write_limit: int = 2**16,
        max_buffered: int = 2**26,
    ) -> None:
        received = as_bytes(received)
        options = ConnectionOptions(
            max_message_size=max_message_size,
            max_fragments=max_fragments,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
        )
        limits = BufferLimits(read_limit=read_limit, write_limit=write_limit, max_buffered=max_buffered)
        io = IOProtocol(asyncio.get_running_loop(), limits)
        transport = two_way_transport(existing)  # a StreamReader may have paused it
        self._set_up(io, request, response)
        self._protocol = protocol
        io.attach(transport, Connection(read_buffer(), client_side=not server_side, options=options))
        # A StreamWriter closes its transport when it is forgotten, and its user need not keep it: it is kept here.
        io.closed.when_done(lambda: existing)
        io.feed(received)
        if transport.is_closing():  # whoever had it was told, or will be
            asyncio.get_running_loop().call_soon(io.connection_lost, None)

    @classmethod
    def on(cls, io: IOProtocol, request: Request) -> Self:
        """Make the channel of a connection that is not open yet; for ``connect`` and servers."""
        channel = cls.__new__(cls)
        channel._set_up(io, request, None)
        return channel

    def _set_up(self, io: IOProtocol, request: Request | None, response: Response | None) -> None:
        super().__init__(io)
        self._opening: asyncio.Task[None] | None = None
        self._request = request
        self.response = response

    @property
    def request(self) -> Request:
        """The client's request, as we sent or received it.

        Raises:
            ChannelStateError: somebody else did the opening handshake, and did not hand it over.
        """
        if self._request is None:
            raise ChannelStateError("the opening handshake was done elsewhere, and no request= was given to the channel")
        return self._request

    def abort(self) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
        super().abort()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        try:
            await self.ready
        except asyncio.CancelledError:
            self.abort()  # nobody else has the channel yet who could close it
            raise
        return self

    def _name(self) -> str:
        return "" if self._request is None else f"{self._request.target} "
