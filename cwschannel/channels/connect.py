"""``connect()``: from a URI to a channel, over asyncio."""

from __future__ import annotations

import asyncio
import socket
import ssl as tls
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from ..exceptions import OpeningFailed, WebSocketChannelException
from ..http import HeadersLike
from ..kernels.frame import BytesLike
from ..protocol.connection import Connection
from ..protocol.opening import ClientOpening
from ..streams.completion import Completion
from .io_channel import IOWebSocketChannel
from .io_protocol import IOProtocol, read_buffer
from .options import USER_AGENT, ConnectOptions, connect_options, explain, opening_timeout
from .outbox import BufferLimits

__all__ = ["USER_AGENT", "connect"]


def connect(
    uri: str,
    *,
    protocols: Sequence[str] = (),
    headers: HeadersLike = (),
    origin: str | None = None,
    user_agent: str | None = USER_AGENT,
    ssl: tls.SSLContext | None = None,
    server_hostname: str | None = None,
    sock: socket.socket | None = None,
    max_message_size: int | None = 2**20,
    max_fragments: int | None = 4096,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    connect_timeout: float | None = 10,
    close_timeout: float = 10,
    read_limit: int = 2**20,
    write_limit: int = 2**16,
    max_buffered: int = 2**26,
) -> IOWebSocketChannel:
    """Open a WebSocket. Returns the channel at once; ``await`` it, or use it with ``async with``, to wait until it is open.

    Args:
        uri: ``ws://host[:port]/path?query``, or ``wss://...`` for TLS. User name and password in it are sent as
            ``Authorization: Basic``.
        protocols: the subprotocols to offer, the favourite first.
        headers: what else to send: a mapping, or pairs.
        origin: sent as ``Origin``, by clients that act for a browser.
        user_agent: sent as ``User-Agent``; ``None`` sends none.
        ssl: the TLS settings for ``wss``; by default certificates are verified against the system's authorities.
        server_hostname: the name that the server's certificate must have, if it is not the URI's.
        sock: a connected socket to use; the URI's host is only named in the request then.
        max_message_size: the largest message that is received, in bytes; ``None`` for no limit.
        max_fragments: the most fragments of one received message that may wait for its last one; ``None`` for no limit.
        ping_interval: seconds from a pong to the next keepalive ping; ``None`` for no keepalive.
        ping_timeout: seconds in which something must come after a ping; ``None`` to send pings and not care.
        connect_timeout: seconds for everything, from the name look-up to the last header; ``None`` for no limit.
        close_timeout: seconds for the closing handshake and the end of TCP, in total.
        read_limit: with more bytes than this received and not read by the application, the socket is not read.
        write_limit: with more bytes than this on their way out, ``send()`` waits.
        max_buffered: with more bytes than this on their way out, ``add()`` raises ``BackPressureError``.

    Raises:
        InvalidURI, ValueError, TypeError: a mistake in the arguments, at once.
        RuntimeError: there is no running event loop.
    """
    options = connect_options(
        uri,
        protocols=protocols,
        headers=headers,
        origin=origin,
        user_agent=user_agent,
        ssl=ssl,
        server_hostname=server_hostname,
        connect_timeout=connect_timeout,
        max_message_size=max_message_size,
        max_fragments=max_fragments,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
    )
    limits = BufferLimits(read_limit=read_limit, write_limit=write_limit, max_buffered=max_buffered)
    return _start(options, limits, sock)


def _start(options: ConnectOptions, limits: BufferLimits, sock: socket.socket | None) -> IOWebSocketChannel:
    """Begin to open the connection."""
    target = options.target
    where: dict[str, Any] = {"host": target.host, "port": target.port} if sock is None else {"sock": sock}
    if options.tls is not None:
        where |= {"ssl": options.tls, "server_hostname": options.server_hostname}
        where |= {"ssl_handshake_timeout": options.connect_timeout, "ssl_shutdown_timeout": options.connection.close_timeout}
    loop = asyncio.get_running_loop()
    io = IOProtocol(loop, limits)
    channel = IOWebSocketChannel.on(io, options.opening.request)
    client = _ClientProtocol(options.opening, lambda transport: _open(channel, io, transport, options))
    channel._opening = _begin(loop, _run(client, where, io, options))
    return channel


def _begin(loop: asyncio.AbstractEventLoop, opening: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Make a task of it that has begun when this returns, where Python can: a pass of the loop less, 2 % of opening."""
    if sys.version_info >= (3, 12) and loop.get_task_factory() is None:
        return asyncio.Task(opening, loop=loop, eager_start=True)
    return loop.create_task(opening)


def _open(
    channel: IOWebSocketChannel,
    io: IOProtocol,
    transport: asyncio.Transport,
    options: ConnectOptions,
) -> None:
    opening = options.opening
    channel.response = opening.response
    channel._protocol = opening.protocol
    connection = Connection(read_buffer(), client_side=True, options=options.connection)
    io.attach(transport, connection)
    io.feed(opening.trailing)


async def _run(
    client: _ClientProtocol,
    where: dict[str, Any],
    io: IOProtocol,
    options: ConnectOptions,
) -> None:
    """Open the connection, or let ``io`` fail with the reason."""
    error: Exception
    try:
        async with asyncio.timeout(options.connect_timeout) as deadline:
            await asyncio.get_running_loop().create_connection(lambda: client, **where)
            await client.finished
        return
    except asyncio.CancelledError:
        client.abort()
        io.abort()
        raise
    except WebSocketChannelException as problem:
        error = problem
    except Exception as cause:
        error = opening_timeout(options) if deadline.expired() else OpeningFailed(explain(cause, options.target))
        error.__cause__ = cause
    if not io.opened.done():  # the deadline and the last byte may come in one pass of the loop
        client.abort()
        io.fail(error)


class _ClientProtocol(asyncio.BufferedProtocol):
    """The connection until it is open.

    Attributes:
        finished: ends when the connection is open, or with what kept it from opening.
    """

    def __init__(
        self,
        opening: ClientOpening,
        on_open: Callable[[asyncio.Transport], None],
    ) -> None:
        self._opening = opening
        self._on_open = on_open
        self._buffer = read_buffer()
        self._transport: asyncio.Transport | None = None
        self.finished = Completion()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # not isinstance: uvloop's transports are no subclasses
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.write(self._opening.request_bytes)

    def get_buffer(self, sizehint: int) -> BytesLike:
        return self._buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        if self.finished.done():
            return
        try:
            is_open = self._opening.received(self._buffer.view[:nbytes].tobytes())
        except WebSocketChannelException as error:
            self.finished.finish(error)
            return
        if is_open:
            assert self._transport is not None
            self._on_open(self._transport)
            self.finished.finish()

    def eof_received(self) -> None:
        if not self.finished.done():
            try:
                self._opening.eof()
            except WebSocketChannelException as error:
                self.finished.finish(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.finished.finish(exc)
        else:
            self.eof_received()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
