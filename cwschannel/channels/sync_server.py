"""``serve()``: from a port to channels, over blocking sockets, with a thread for each connection."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import selectors
import socket
import ssl as tls
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Self

from ..exceptions import ChannelStateError, ConnectionClosed
from ..http import HeadersLike, Request, Response
from ..protocol.closing import close_payload
from ..status import GOING_AWAY, INTERNAL_SERVER_ERROR, NORMAL_CLOSURE
from .options import SERVER_CLOSED, ServeOptions, check_read_limit, check_timeout, serve_options
from .socket_channel import SocketWebSocketChannel
from .socket_waiting import Wake
from .sync_opening import Accepted, open_channel
from .sync_workers import Workers

__all__ = ["Handler", "ProcessRequest", "Server", "serve"]

logger = logging.getLogger("cwschannel")

Handler = Callable[[SocketWebSocketChannel], object]
ProcessRequest = Callable[[Request], Response | None]

# After an error in accepting, such as one for want of file descriptors, the system is left alone for so many seconds.
_PAUSE: Final = 1.0


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
    max_connections: int = 1000,
    max_message_size: int | None = 2**20,
    max_fragments: int | None = 4096,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    connect_timeout: float | None = 10,
    close_timeout: float = 10,
    send_timeout: float | None = 20,
    read_limit: int = 2**20,
    background: bool = False,
) -> Server:
    """Make a WebSocket server. Use it with ``with``, or call ``start``, to start it.

    Args:
        handler: called with each channel that is open, in a thread of its own. The channel is closed when it returns, with
            1000, or when it raises, with 1011.
        process_request: as in ``cwschannel.serve``; called in that thread, too.
        max_connections: how many connections there may be, each with its thread. One more at a time is answered with HTTP
            503; those beyond it wait in the system's backlog for that answer.
        send_timeout, read_limit, background: as in ``cwschannel.sync.connect``, for each channel.

    The other options are those of ``cwschannel.serve``.

    Raises:
        ValueError, TypeError: a mistake in the arguments.
    """
    for name, function in (("handler", handler), ("process_request", process_request)):
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
            raise TypeError(f"{name} is a coroutine function, which nobody would await here; cwschannel.serve() takes those")
    if max_connections < 1:
        raise ValueError(f"max_connections must be at least 1; it is {max_connections}")
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
    channel_options = {
        "read_limit": check_read_limit(read_limit),
        "send_timeout": check_timeout("send_timeout", send_timeout),
    }
    return Server(
        handler,
        options,
        listen=functools.partial(_listen, host, port, sock, backlog=backlog, reuse_port=reuse_port),
        context=ssl,
        max_connections=max_connections,
        channel_options=channel_options,
        background=background,
    )


class Server:
    """A server that ``serve`` made.

    Attributes:
        channels: the channels that are open now.
    """

    def __init__(
        self,
        handler: Handler,
        options: ServeOptions,
        *,
        listen: Callable[[], list[socket.socket]],
        context: tls.SSLContext | None,
        max_connections: int,
        channel_options: dict[str, Any],
        background: bool,
    ) -> None:
        self.channels: set[SocketWebSocketChannel] = set()
        self._handler = handler
        self._options = options
        self._listen = listen
        self._context = context
        self._max_connections = max_connections
        self._channel_options = channel_options
        self._background = background
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._workers = Workers(max_connections + 1, "cwschannel handler")
        self._stop = Wake()
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._closed = threading.Event()
        self._process = os.getpid()

    def start(self) -> None:
        """Listen, and accept connections in a thread. Does nothing if it does so already.

        Raises:
            OSError: the address cannot be listened on.
            ChannelStateError: it was closed.
        """
        with self._lock:
            if self._is_closing:
                raise ChannelStateError(SERVER_CLOSED)
            if self._thread is None:
                self._sockets = self._listen()
                self._thread = threading.Thread(target=self._run, name="cwschannel server", daemon=True)
                self._thread.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.wait_closed()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets that it listens on; none once it is closed."""
        return tuple(self._sockets)

    @property
    def port(self) -> int:
        """The port that it listens on, which ``port=0`` left to the system.

        Raises:
            ChannelStateError: it does not listen on one.
        """
        for sock in self._sockets:
            address = sock.getsockname()
            if isinstance(address, tuple):
                return int(address[1])
        raise ChannelStateError("the server does not listen on a port")

    @property
    def is_closing(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closing

    def serve_forever(self) -> None:
        """Start, if that was not done, and wait until the server is closed."""
        self.start()
        self._closed.wait()

    def close(self, code: int = GOING_AWAY, reason: str = "") -> None:
        """Stop listening, close every channel, and refuse with 503 those who are still opening one.

        Returns at once; ``wait_closed`` says when it is done.

        Raises:
            ValueError: code or reason may not be sent.
        """
        close_payload(code, reason)
        if os.getpid() != self._process:
            return  # a child of the server's process has none of its threads, and no business with its connections
        with self._lock:
            if self._is_closing:
                return
            self._is_closing = True
            if self._thread is None:
                self._closed.set()
            channels = list(self.channels)
        self._stop.set()
        self._workers.wake()
        for channel in channels:
            channel._io.close(code, reason)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until every connection is closed and every handler has returned. Returns whether that is so.

        The closing handshakes have ``close_timeout``. Handlers that have not returned so long after them lose their
        connection, and have as long once more to end; then they are reported, and left to themselves.

        Args:
            timeout: seconds; ``None`` for no other limit.
        """
        return os.getpid() != self._process or self._closed.wait(timeout)

    def _run(self) -> None:
        """Accept connections until the server is closed; then wait for all of them."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._stop, selectors.EVENT_READ)
                for sock in self._sockets:
                    selector.register(sock, selectors.EVENT_READ)
                while not self._stop.is_set:
                    if self._workers.wait_for_room(_PAUSE):
                        for key, _ in selector.select():
                            if key.fileobj is not self._stop and not self._stop.is_set:
                                self._accept(key.fileobj)
        except Exception:
            logger.exception("the server failed")
            self.close()
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        self._wait_for_all()
        self._closed.set()

    def _accept(self, listening: Any) -> None:
        try:
            sock, address = listening.accept()
        except (BlockingIOError, ConnectionError):
            return  # the client is gone already
        except OSError as error:
            logger.error("no connection can be accepted for %g s: %s", _PAUSE, error)
            time.sleep(_PAUSE)
            return
        try:
            # One more than there may be connections: it tells those who are too many.
            full = self._workers.busy >= self._max_connections
            self._workers.start(lambda: self._serve(Accepted(sock, address, self._options, self._stop, full=full)))
        except RuntimeError as error:
            logger.error("no thread can be started for a connection: %s", error)
            sock.close()
            time.sleep(_PAUSE)

    def _wait_for_all(self) -> None:
        timeout = self._options.connection.close_timeout
        if self._workers.wait_until_idle(2 * timeout):
            return
        with self._lock:
            channels = list(self.channels)
        for channel in channels:
            channel.abort()
        if not self._workers.wait_until_idle(timeout):
            logger.error("%d handlers did not end, though their connections did", self._workers.busy)

    def _serve(self, accepted: Accepted) -> None:
        """Deal with one connection, in a thread of its own."""
        opened = open_channel(accepted, self._context, **self._channel_options)
        if opened is None:
            return
        channel, trailing = opened
        channel._io.start(trailing, background=self._background)
        with self._lock:
            self.channels.add(channel)
            closing = self._is_closing
        if closing:
            channel._io.close(GOING_AWAY, "")
        try:
            self._handle(channel)
        finally:
            with self._lock:
                self.channels.discard(channel)

    def _handle(self, channel: SocketWebSocketChannel) -> None:
        code = NORMAL_CLOSURE
        try:
            self._handler(channel)
        except Exception as error:
            # No details on the wire: they are not the client's business.
            code = INTERNAL_SERVER_ERROR
            if isinstance(error, ConnectionClosed) and channel.close_code is not None:
                logger.info("%r ended in the middle of its handler: %s", channel, error)
            else:
                logger.exception("the handler of %r failed", channel)
        except BaseException:
            channel.abort()
            raise
        channel._io.close(code, "")
        channel._io.wait_gone(None)


def _listen(
    host: str | Sequence[str] | None, port: int | None, sock: socket.socket | None, *, backlog: int, reuse_port: bool | None
) -> list[socket.socket]:
    """Return sockets that listen."""
    if sock is not None:
        sock.listen(backlog)
        sock.setblocking(False)
        return [sock]
    hosts = [host] if host is None or isinstance(host, str) else list(host)
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        seen = set()
        for name in hosts:
            for family, kind, protocol, _, address in socket.getaddrinfo(
                name, port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                if (family, address) in seen:
                    continue
                seen.add((family, address))
                try:
                    one = socket.socket(family, kind, protocol)
                except OSError:  # the system does not have this family
                    continue
                stack.callback(one.close)
                _bind(one, address, reuse_port)
                one.listen(backlog)
                sockets.append(one)
        if not sockets:
            raise OSError(f"there is no address to listen on for {host!r}")
        stack.pop_all()
        return sockets


def _bind(sock: socket.socket, address: Any, reuse_port: bool | None) -> None:
    sock.setblocking(False)
    if sys.platform != "win32":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind(address)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address[0]} port {address[1]}: {error.strerror}") from None
