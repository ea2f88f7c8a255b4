"""``serve()``: from a port to channels, over asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Collection, Generator, Sequence
from typing import Any, Self, cast

from ..exceptions import ChannelStateError, ConnectionClosed, InvalidHandshake
from ..http import HeadersLike, Request, Response
from ..kernels.frame import BytesLike
from ..protocol.closing import close_payload
from ..protocol.connection import Connection
from ..protocol.opening import ServerOpening
from ..status import GOING_AWAY, INTERNAL_SERVER_ERROR, NORMAL_CLOSURE
from ..streams.completion import Completion
from .io_channel import IOWebSocketChannel
from .io_protocol import IOProtocol, read_buffer
from .options import (
    SERVER_CLOSED,
    ServeOptions,
    encode_refusal,
    hook_failed,
    refused,
    serve_options,
    shutting_down,
    too_late,
)
from .outbox import BufferLimits, half_close

__all__ = ["Handler", "ProcessRequest", "Server", "serve"]

logger = logging.getLogger("cwschannel")

Handler = Callable[[IOWebSocketChannel], Awaitable[object] | None]
_AsyncHandler = Callable[[IOWebSocketChannel], Awaitable[object]]
ProcessRequest = Callable[[Request], Response | Awaitable[Response | None] | None]


def serve(
    handler: Handler,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    protocols: Sequence[str] = (),
    allowed_origins: Collection[str] | str | None = None,
    process_request: ProcessRequest | None = None,
    headers: HeadersLike = (),
    ssl: tls.SSLContext | None = None,
    sock: socket.socket | None = None,
    backlog: int = 100,
    reuse_port: bool | None = None,
    max_message_size: int | None = 2**20,
    max_fragments: int | None = 4096,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    connect_timeout: float | None = 10,
    close_timeout: float = 10,
    read_limit: int = 2**20,
    write_limit: int = 2**16,
    max_buffered: int = 2**26,
) -> Server:
    """Make a WebSocket server. ``await`` it, or use it with ``async with``, to start it.

    Args:
        handler: called with each channel that is open. If it is a coroutine function, the channel is closed when it
            returns, with 1000, or when it raises, with 1011; a plain function sets up callbacks and leaves it open.
        host: an address or name to listen on, or several; ``None`` for all interfaces.
        port: 0 for one that is free; see ``Server.port``.
        protocols: the subprotocols that the server speaks, its favourite first.
        allowed_origins: which pages' scripts may connect: origins such as ``"https://example.com"``, ``"*"`` for all,
            ``None`` for pages of the same host. A request without ``Origin`` comes from no browser and passes.
        process_request: called with each request, before it is looked at as a WebSocket's. A ``Response`` that it returns
            is sent in place of an upgrade: ``Response.text(404)``, or a health check's answer. May be a coroutine function.
        headers: what else to send when a connection opens.
        ssl: the TLS settings; makes it a ``wss`` server.
        sock: a bound socket to listen on, in place of host and port.
        backlog: how many connections the system holds until they are accepted.
        reuse_port: whether several processes may listen on the port.
        connect_timeout: seconds that a client may take for its request, and for TLS before that; ``None`` for no limit.

    The other options are those of ``connect``.

    Raises:
        ValueError, TypeError: a mistake in the arguments, at once.
    """
    options = serve_options(
        protocols=protocols,
        allowed_origins=allowed_origins,
        process_request=process_request,
        headers=headers,
        connect_timeout=connect_timeout,
        max_message_size=max_message_size,
        max_fragments=max_fragments,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
    )
    limits = BufferLimits(read_limit=read_limit, write_limit=write_limit, max_buffered=max_buffered)
    listening: dict[str, Any] = {"backlog": backlog}
    listening |= {"sock": sock} if sock is not None else {"host": host, "port": port, "reuse_port": reuse_port}
    if ssl is not None:
        listening |= {"ssl": ssl, "ssl_handshake_timeout": connect_timeout, "ssl_shutdown_timeout": close_timeout}
    return Server(handler, options, limits, listening)


class Server:
    """A server that ``serve`` made.

    Attributes:
        channels: the channels that are open now.
    """

    def __init__(self, handler: Handler, options: ServeOptions, limits: BufferLimits, listening: dict[str, Any]) -> None:
        self.channels: set[IOWebSocketChannel] = set()
        self._handler = handler
        self._handler_is_async = inspect.iscoroutinefunction(handler)
        self._options = options
        self._limits = limits
        self._listening = listening
        self._server: asyncio.Server | None = None
        self._starting: asyncio.Task[None] | None = None
        self._opening: set[_ServerProtocol] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._closer: asyncio.Task[None] | None = None
        self._closed = Completion()

    async def start(self) -> None:
        """Listen. Does nothing if it does so already.

        Raises:
            OSError: the address cannot be listened on.
            ChannelStateError: it was closed.
        """
        if self._is_closing:
            raise ChannelStateError(SERVER_CLOSED)
        if self._starting is None or (self._starting.done() and self._server is None):
            self._starting = asyncio.get_running_loop().create_task(self._listen())
            self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())  # whoever waits raises it
        starting = self._starting
        await asyncio.wait([starting])  # unlike await, it leaves the start to the others when this one is cancelled
        starting.result()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _ServerProtocol(self, loop), **self._listening)
        if self._is_closing:
            server.close()
            raise ChannelStateError(SERVER_CLOSED)
        self._server = server

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self.wait_closed()

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The sockets that it listens on; none once it is closed."""
        return () if self._server is None else tuple(self._server.sockets)

    @property
    def port(self) -> int:
        """The port that it listens on, which ``port=0`` left to the system.

        Raises:
            ValueError: it does not listen, or not on a port.
        """
        for sock in self.sockets:
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                return int(sock.getsockname()[1])
        raise ValueError("the server does not listen on a port")

    @property
    def is_closing(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closing

    async def serve_forever(self) -> None:
        """Start, if that was not done, and wait until the server is closed."""
        await self.start()
        await self._closed

    def close(self, code: int = GOING_AWAY, reason: str = "") -> None:
        """Stop listening, close every channel, and refuse with 503 those who are still opening one.

        Returns at once; ``wait_closed`` says when it is done.

        Raises:
            ValueError: code or reason may not be sent.
        """
        close_payload(code, reason)
        if self._is_closing:
            return
        self._is_closing = True
        if self._server is None:
            self._closed.finish()
            return
        self._server.close()
        self._closer = asyncio.get_running_loop().create_task(self._wait_for_all(self._server))
        for opening in list(self._opening):
            opening.reject(shutting_down())
        for channel in list(self.channels):
            channel._io.close(code, reason)

    async def wait_closed(self) -> None:
        """Wait until every connection is closed and every handler has returned.

        The closing handshakes have ``close_timeout``. Handlers that have not returned so long after them are cancelled, and
        have as long once more to end.
        """
        await self._closed

    async def _wait_for_all(self, server: asyncio.Server) -> None:
        timeout = self._options.connection.close_timeout
        try:
            await self._wait_for_channels(2 * timeout)
            for patience in (timeout, timeout):
                if self._handlers:
                    await asyncio.wait(self._handlers, timeout=patience)
                for task in self._handlers:
                    task.cancel()
            if self._handlers:
                logger.error("%d handlers did not end, even when cancelled", len(self._handlers))
            for opening in list(self._opening):
                opening.abort()
            # Those who are in the middle of TLS's handshake are known to asyncio alone, and it waits for them.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), timeout)
        finally:
            self._closed.finish()

    async def _wait_for_channels(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                for channel in list(self.channels):
                    await channel._io.closed
        except TimeoutError:  # each has its own deadline, which is shorter
            for channel in list(self.channels):
                channel.abort()

    def _add(self, channel: IOWebSocketChannel) -> None:
        """Begin to handle a channel that is open now."""
        self.channels.add(channel)
        channel._io.closed.when_done(lambda: self.channels.discard(channel))
        if self._handler_is_async:
            self._start_handler(channel, cast("_AsyncHandler", self._handler))
        else:  # not here, in the middle of reading; nor in a task, which a plain function does not need: that is 4 us less
            asyncio.get_running_loop().call_soon(self._call_handler, channel)

    def _call_handler(self, channel: IOWebSocketChannel) -> None:
        try:
            result = self._handler(channel)
        except Exception as error:
            self._handler_failed(channel, error)
            return
        if result is not None:  # else callbacks are set up, and the channel is theirs
            self._start_handler(channel, lambda _: result)

    def _start_handler(self, channel: IOWebSocketChannel, handler: _AsyncHandler) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(channel, handler))
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _handle(self, channel: IOWebSocketChannel, handler: _AsyncHandler) -> None:
        try:
            await handler(channel)
        except asyncio.CancelledError:
            channel._io.close(GOING_AWAY, "")
            raise
        except Exception as error:
            self._handler_failed(channel, error)
        else:
            channel._io.close(NORMAL_CLOSURE, "")

    def _handler_failed(self, channel: IOWebSocketChannel, error: Exception) -> None:
        if isinstance(error, ConnectionClosed) and channel.close_code is not None:
            logger.info("%r ended in the middle of its handler: %s", channel, error)
        else:
            logger.exception("the handler of %r failed", channel)
        # No details on the wire: they are not the client's business.
        channel._io.close(INTERNAL_SERVER_ERROR, "")


class _ServerProtocol(asyncio.BufferedProtocol):
    """A connection until it is open, or refused."""

    __slots__ = ("_buffer", "_clock", "_hook", "_loop", "_opening", "_rejected", "_server", "_transport")

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._opening = ServerOpening()
        self._buffer = read_buffer()
        self._transport: asyncio.Transport | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._hook: asyncio.Task[None] | None = None
        self._rejected = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # not isinstance: uvloop's transports are no subclasses
        self._transport = transport = cast("asyncio.Transport", transport)
        self._server._opening.add(self)
        timeout = self._server._options.connect_timeout
        if timeout is not None:
            self._clock = self._loop.call_later(timeout, self._on_deadline)
        if self._server.is_closing:
            self.reject(shutting_down())

    def get_buffer(self, sizehint: int) -> BytesLike:
        return self._buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        if self._rejected:
            return  # read on, so that no reset destroys our answer before the client has read it
        try:
            request = self._opening.received(self._buffer.view[:nbytes].tobytes())
            if request is not None:
                self._decide(request)
        except InvalidHandshake as error:
            self.reject(refused(error))

    def _decide(self, request: Request) -> None:
        hook = self._server._options.process_request
        if hook is None:
            self._accept()
            return
        try:
            answer = hook(request)
        except Exception:
            self.reject(hook_failed())
            return
        if inspect.isawaitable(answer):
            # Early frames wait in the system's buffer meanwhile, which has its bound.
            assert self._transport is not None
            self._transport.pause_reading()
            self._hook = self._loop.create_task(self._await_hook(answer))
        else:
            self._follow_hook(answer)

    async def _await_hook(self, awaitable: Awaitable[Response | None]) -> None:
        transport = self._transport
        try:
            answer = await awaitable
        except asyncio.CancelledError:
            if transport is None or transport.is_closing():
                raise  # by us: the client is gone
            self.reject(hook_failed())
            return
        except Exception:
            self.reject(hook_failed())
            return
        if self._rejected or transport is None or transport.is_closing():
            return
        transport.resume_reading()
        try:
            self._follow_hook(answer)
        except InvalidHandshake as error:
            self.reject(refused(error))

    def _follow_hook(self, answer: Response | None) -> None:
        if answer is None:
            self._accept()
            return
        try:
            self.reject(answer)
        except Exception:  # it is no Response, or one that cannot be sent
            self.reject(hook_failed())

    def _accept(self) -> None:
        options = self._server._options
        transport = self._transport
        assert transport is not None
        assert self._opening.request is not None
        secure = transport.get_extra_info("ssl_object") is not None
        data, response, protocol = options.accept(self._opening, secure=secure)
        transport.write(data)
        self._leave()
        io = IOProtocol(self._loop, self._server._limits)
        channel = IOWebSocketChannel.on(io, self._opening.request)
        channel.response = response
        channel._protocol = protocol
        connection = Connection(self._buffer, client_side=False, options=options.connection)
        io.attach(transport, connection)
        self._server._add(channel)
        io.feed(self._opening.trailing)

    def reject(self, response: Response) -> None:
        """Answer with something else than an upgrade, and close once the client has."""
        transport = self._transport
        if self._rejected or transport is None or transport.is_closing():
            return
        answer = encode_refusal(self._opening, response)
        self._rejected = True
        transport.write(answer)
        half_close(transport)

    def _on_deadline(self) -> None:
        self._clock = None
        self.reject(too_late())
        self.abort()

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        if self._hook is not None:
            self._hook.cancel()

    def _leave(self) -> None:
        self._server._opening.discard(self)
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
