"""``connect()``: from a URI to a channel, over blocking sockets."""

from __future__ import annotations

import socket
import ssl as tls
from collections.abc import Sequence
from time import monotonic

from ..exceptions import InvalidHandshake, OpeningFailed, WebSocketChannelException
from ..http import HeadersLike
from .options import USER_AGENT, ConnectOptions, check_read_limit, check_timeout, connect_options, explain, opening_timeout
from .socket_channel import SocketWebSocketChannel
from .socket_protocol import open_line

__all__ = ["connect"]


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
    send_timeout: float | None = 20,
    read_limit: int = 2**20,
    background: bool = False,
) -> SocketWebSocketChannel:
    """Open a WebSocket. Returns the channel when it is open; use it with ``with`` to have it closed.

    Args:
        send_timeout: seconds in which the operating system must have taken a message; ``None`` for no limit.
        read_limit: with more bytes than this received and not read by the application, nothing more is read.
        background: start a thread that keeps the channel alive while nobody is in it: it reads ahead, up to ``read_limit``,
            answers pings, and sends keepalive pings.

    The other options are those of ``cwschannel.connect``. ``connect_timeout`` cannot cut short the system's look-up of a
    host name, which has deadlines of its own.

    Raises:
        InvalidURI, ValueError, TypeError: a mistake in the arguments.
        OpeningFailed: the connection could not be opened; see its subclasses.
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
    check_timeout("send_timeout", send_timeout)
    check_read_limit(read_limit)
    sock = _open(options, sock)
    opening = options.opening
    assert opening.response is not None
    io = open_line(sock, options.connection, client_side=True, read_limit=read_limit, send_timeout=send_timeout)
    channel = SocketWebSocketChannel.on(io, opening.request, opening.response, opening.protocol)
    io.start(opening.trailing, background=background)
    return channel


class _Deadline:
    """Of the whole opening."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else monotonic() + seconds

    def passed(self) -> bool:
        return self._end is not None and monotonic() >= self._end

    def apply(self, sock: socket.socket) -> None:
        """Give a socket's next wait what is left."""
        remaining = None if self._end is None else self._end - monotonic()
        if remaining is not None and remaining <= 0:
            raise TimeoutError
        sock.settimeout(remaining)


def _open(options: ConnectOptions, sock: socket.socket | None) -> socket.socket:
    """Connect and do the opening handshakes. Whatever goes wrong, no socket stays open."""
    deadline = _Deadline(options.connect_timeout)
    try:
        if sock is None:
            sock = _connect(options.target.host, options.target.port, deadline)
        if options.tls is not None:
            deadline.apply(sock)
            sock = options.tls.wrap_socket(sock, server_hostname=options.server_hostname, do_handshake_on_connect=False)
            deadline.apply(sock)
            sock.do_handshake()
        _shake_hands(options, sock, deadline)
    except BaseException as cause:
        if sock is not None:
            sock.close()
        if isinstance(cause, WebSocketChannelException) or not isinstance(cause, Exception):
            raise
        late = isinstance(cause, TimeoutError) and deadline.passed()
        raise (opening_timeout(options) if late else OpeningFailed(explain(cause, options.target))) from cause
    return sock


def _connect(host: str, port: int, deadline: _Deadline) -> socket.socket:
    """Try the addresses of a host, one after the other."""
    problem: OSError = OSError("the host has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            deadline.apply(sock)
            sock.connect(address)
            return sock
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not isinstance(error, OSError) or deadline.passed():
                raise
            problem = error
    raise problem


def _shake_hands(options: ConnectOptions, sock: socket.socket, deadline: _Deadline) -> None:
    """Do the opening handshake (RFC 6455 section 4.1)."""
    opening = options.opening
    deadline.apply(sock)
    sock.sendall(opening.request_bytes)
    while True:
        deadline.apply(sock)
        try:
            data = sock.recv(65536)
        except ConnectionError:
            opening.give_up()  # a refusal may have come before that
            raise
        if not data:
            opening.eof()
            raise InvalidHandshake("the server closed the connection")
        if opening.received(data):
            return
