"""The WebSocket channel over plain blocking sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from ..exceptions import ChannelStateError, ConnectionClosed, SendTimeout
from ..http import Request, Response
from ..kernels import sign_key
from ..kernels.frame import BytesLike, Message
from ..protocol.connection import ConnectionOptions
from ..status import GOING_AWAY, INTERNAL_SERVER_ERROR, NO_STATUS_RECEIVED, NORMAL_CLOSURE
from ..streams.transformer import CodecTransformer
from .options import check_read_limit, check_timeout
from .socket_protocol import SocketProtocol, open_line
from .socket_transformed import TransformedSocketChannel
from .socket_waiting import check_connected

__all__ = ["SocketSink", "SocketStream", "SocketWebSocketChannel"]

T = TypeVar("T")

_QUIET = frozenset({NORMAL_CLOSURE, GOING_AWAY, NO_STATUS_RECEIVED})


class _Hold:
    """What the channel, its stream and its sink have in common: with the last of them the connection is dropped."""

    __slots__ = ("_io",)

    def __init__(self, io: SocketProtocol) -> None:
        self._io = io

    def __del__(self) -> None:
        self._io.let_go()


class SocketStream:
    """The messages that come from the other end, for one reader: ``for message in channel.stream``.

    It brings ``str`` for text and ``bytes`` for binary, and ends when the connection does: quietly if it was closed with
    1000, 1001 or no code, or by us; else with ``ConnectionClosed``. Breaking out of the loop leaves it usable.
    """

    __slots__ = ("_hold", "_io")

    def __init__(self, io: SocketProtocol, hold: _Hold) -> None:
        self._io = io
        self._hold = hold

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        message = self._io.receive(None)
        if message is None:
            if self._io.closed_here or self._io.connection.close_code in _QUIET:
                raise StopIteration
            raise self._io.closed_error()
        return message


class SocketSink:
    """What goes to the other end: ``str`` is sent as text, anything with a contiguous buffer as binary.

    Any number of threads may add, each message whole and the messages of one thread in order. After the stream has ended,
    what is added is dropped, silently, until ``close()`` is called.
    """

    __slots__ = ("_adding", "_closed", "_error", "_hold", "_io")

    def __init__(self, io: SocketProtocol, hold: _Hold) -> None:
        self._io = io
        self._hold = hold
        self._adding = False
        self._closed = False
        self._error: Exception | None = None

    def add(self, item: str | BytesLike) -> None:
        """Send a message: return when the operating system has taken all of it.

        Raises:
            ChannelStateError: after ``close``, or while ``add_stream`` runs.
            SendTimeout: the peer does not read, and ``send_timeout`` is over. The connection was dropped.
            TypeError: the message is neither text nor bytes.
        """
        if self._closed or self._adding:
            self.check_free()
        try:
            self._io.send(item)
        except SendTimeout:
            raise
        except ConnectionClosed:
            pass  # the stream has ended, or is about to

    def add_stream(self, items: Iterable[str | BytesLike]) -> None:
        """Send each item of an iterable. Nothing else can be added meanwhile."""
        self.check_free()
        self._adding = True
        try:
            for item in items:
                self._io.send(item)
        except SendTimeout:
            raise
        except ConnectionClosed:
            pass  # as in add()
        finally:
            self._adding = False

    def add_error(self, error: Exception) -> None:
        """Close the connection with 1011, as an error cannot be sent. ``close`` and ``done`` will raise it."""
        self.check_free()
        if self._io.connection.close_code is not None:
            return  # as in add()
        self._error = error
        self._closed = True
        self._io.close(INTERNAL_SERVER_ERROR, "")
        self._io.wait_gone(None)

    def flush(self) -> None:
        """Write what waits to be written, such as pongs, if that is possible now. What was added is written already."""
        self._io.flush()

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Start the closing handshake, and wait for the end of the connection, which comes within ``close_timeout``.

        It takes effect at once, for all threads: the stream ends, and what waits for a message returns. Calling it again
        only waits.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999. Without one the close frame is empty, and the peer sees 1005.
            reason: at most 123 bytes of UTF-8.

        Raises:
            ValueError: code or reason may not be sent (RFC 6455 sections 5.5 and 7.4). Nothing was sent.
            ChannelStateError: ``add_stream`` is running.
        """
        if self._adding:
            raise ChannelStateError("add_stream() is running: the sink can be closed when it is done")
        self._io.close(code, reason)
        self._closed = True
        self.wait_done()

    @property
    def done(self) -> bool:
        """Whether the connection is over, and nothing is left of it."""
        return self._io.gone

    def wait_done(self, timeout: float | None = None) -> bool:
        """Wait until the connection is over, for whatever reason. Returns whether it is.

        What comes meanwhile is kept for the reader, up to ``read_limit``; beyond that nothing more is read.

        Args:
            timeout: seconds; ``None`` for no limit.

        Raises:
            Exception: the error that ``add_error`` was given.
        """
        if not self._io.wait_gone(timeout):
            return False
        if self._error is not None:
            raise self._error
        return True

    def check_free(self) -> None:
        """Raise ``ChannelStateError`` if nothing may be added now."""
        if self._adding:
            raise ChannelStateError("add_stream() is running: nothing else can be added before it is done")
        if self._closed:
            raise ChannelStateError("the sink is closed: nothing can be added after close()")


class SocketWebSocketChannel:
    """A WebSocket over a blocking socket, made by ``cwschannel.sync.connect`` or by a server of ``cwschannel.sync.serve``.

    No thread works behind it. Whoever is in it, in ``recv``, in ``close``, in ``ping``, does what is due: answers the peer's
    pings, sends keepalive pings, minds the deadlines. A channel that nobody is in does none of that, unless it was opened
    with ``background=True``.

    Any number of threads may send, one may read, and any may close. After a fork, one of the two processes may go on with
    the channel; that the other ends, or drops it, does no harm.

    Called by yourself it wraps a connection that is open already, whoever did the opening handshake on it.

    Args:
        existing: a connected stream socket, if with TLS, after the handshake of that. The channel owns it from now on.
        protocol: the subprotocol that was agreed on.
        ping_interval: seconds from a pong to the next keepalive ping; ``None`` for no keepalive.
        server_side: whether this is the server's end.
        received: what was read from the socket after the opening handshake and belongs to the WebSocket.
        request: the client's request, for ``request`` to return.
        response: the server's answer, for ``response`` to return.

    The other options are those of ``cwschannel.sync.connect``.

    Raises:
        ValueError, TypeError: a mistake in the arguments.

    Attributes:
        protocol: the subprotocol that was agreed on, or ``None``.
        response: the server's answer, as we received or sent it; ``None`` if somebody else did the opening handshake.
        local_address: our end of the socket, such as ``("127.0.0.1", 50000)``.
        remote_address: the peer's end of the socket.
        stream: of the messages that come.
        sink: for the messages that go.
    """

    __slots__ = (
        "__weakref__",
        "_hold",
        "_io",
        "_request",
        "local_address",
        "protocol",
        "remote_address",
        "response",
        "sink",
        "stream",
    )

    def __init__(
        self,
        existing: socket.socket,
        protocol: str | None = None,
        ping_interval: float | None = None,
        server_side: bool = True,
        *,
        received: BytesLike = b"",
        request: Request | None = None,
        response: Response | None = None,
        ping_timeout: float | None = 20,
        close_timeout: float = 10,
        send_timeout: float | None = 20,
        max_message_size: int | None = 2**20,
        max_fragments: int | None = 4096,
        read_limit: int = 2**20,
        background: bool = False,
    ) -> None:
        options = ConnectionOptions(
            max_message_size=max_message_size,
            max_fragments=max_fragments,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
        )
        check_timeout("send_timeout", send_timeout)
        check_read_limit(read_limit)
        first = memoryview(received).tobytes()
        check_connected(existing)
        io = open_line(existing, options, client_side=not server_side, read_limit=read_limit, send_timeout=send_timeout)
        self._set_up(io, request, response, protocol)
        io.start(first, background=background)

    @classmethod
    def on(cls, io: SocketProtocol, request: Request, response: Response, protocol: str | None) -> Self:
        """Make the channel of a connection that was just opened; for ``connect`` and servers, who start ``io`` then."""
        channel = cls.__new__(cls)
        channel._set_up(io, request, response, protocol)
        return channel

    def _set_up(self, io: SocketProtocol, request: Request | None, response: Response | None, protocol: str | None) -> None:
        self._io = io
        self._hold = _Hold(io)
        self.stream = SocketStream(io, self._hold)
        self.sink = SocketSink(io, self._hold)
        self._request = request
        self.response = response
        self.protocol = protocol
        self.local_address, self.remote_address = io.addresses()

    @property
    def request(self) -> Request:
        """The client's request, as we sent or received it.

        Raises:
            ChannelStateError: somebody else did the opening handshake, and did not hand it over.
        """
        if self._request is None:
            raise ChannelStateError("the opening handshake was done elsewhere, and no request= was given to the channel")
        return self._request

    @staticmethod
    def sign_key(key: str) -> str:
        """Return the ``Sec-WebSocket-Accept`` value for a ``Sec-WebSocket-Key`` (RFC 6455 section 4.2.2, step 5.4).

        Raises:
            ValueError: the key is not 16 bytes in base64.
        """
        return sign_key(key)

    @staticmethod
    def connect(uri: str, **options: Any) -> SocketWebSocketChannel:
        """Open a WebSocket; takes what ``cwschannel.sync.connect`` takes."""
        from .sync_connect import connect

        return connect(uri, **options)

    @property
    def close_code(self) -> int | None:
        """The close code that the peer sent; 1005 if it sent none, 1006 if the connection was lost; ``None`` while open."""
        return self._io.connection.close_code

    @property
    def close_reason(self) -> str | None:
        """The reason that the peer sent, else an empty string; ``None`` while open."""
        return self._io.connection.close_reason

    @property
    def latency(self) -> float:
        """Seconds from the last answered ping to its pong; 0.0 before the first. Keepalive pings count."""
        return self._io.latency

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``"socket"``, ``"sockname"``, ``"peername"``, ``"ssl_object"``, ``"peercert"``, or ``"cipher"``."""
        value = {"sockname": self.local_address, "peername": self.remote_address}.get(name)
        return (self._io.get_extra_info(name) if value is None else value) or default

    def transform(self, transformer: CodecTransformer[T, Any]) -> TransformedSocketChannel[T]:
        """Return a channel that carries, by way of this one, what the transformer makes of it.

        Args:
            transformer: made by ``StreamChannelTransformer.from_codec``, as ``json_document`` and its like are.

        Raises:
            TypeError: it is another one.
        """
        return TransformedSocketChannel(self, transformer)

    def send(self, message: str | BytesLike) -> None:
        """Send a message: return when the operating system has taken all of it.

        Raises:
            ConnectionClosed: the connection is closed, or the peer is closing it.
            SendTimeout: the peer does not read, and ``send_timeout`` is over. The connection was dropped.
            ChannelStateError: after our own ``close()``, or while ``add_stream`` runs.
        """
        sink = self.sink
        if sink._closed or sink._adding:
            sink.check_free()
        self._io.send(message)

    def recv(self, timeout: float | None = None) -> Message:
        """Return the next message: ``str`` for text, ``bytes`` for binary.

        Args:
            timeout: seconds; ``None`` for no limit; 0 for a message that is there already.

        Raises:
            TimeoutError: no message came in time. Nothing was lost.
            ConnectionClosed: there will be no more.
            ChannelStateError: another thread is reading.
        """
        message = self._io.receive(timeout)
        if message is None:
            raise self._io.closed_error()
        return message

    def ping(self, payload: BytesLike | None = None, timeout: float | None = 20) -> float:
        """Send a ping and wait for its pong (RFC 6455 section 5.5.2). Returns the round-trip time in seconds.

        Messages that come meanwhile are kept for the reader, up to ``read_limit``; beyond that nothing more is read.

        Args:
            payload: at most 125 bytes; random by default.
            timeout: seconds; ``None`` for no limit.

        Raises:
            TimeoutError: the pong did not come in time. The connection stays open.
            ConnectionClosed: the connection is closed, or was before the pong came.
        """
        return self._io.ping(os.urandom(4) if payload is None else bytes(payload), timeout)

    def close(self, code: int | None = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the channel: ``sink.close``, with 1000 unless told otherwise."""
        self.sink.close(code, reason)

    def abort(self) -> None:
        """Drop the connection now, without a closing handshake. The peer sees 1006."""
        self._io.abort()

    def __iter__(self) -> Iterator[Message]:
        return self.stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # "1011 indicates that a server is terminating the connection because it encountered an unexpected condition" (7.4.1)
        try:
            self.sink.close(NORMAL_CLOSURE if kind is None else INTERNAL_SERVER_ERROR)
        except ChannelStateError:  # add_stream() is in the middle of it, and nothing may stay open behind us
            self.abort()

    def __repr__(self) -> str:
        state = "open" if self.close_code is None else f"closed with {self.close_code}"
        target = "" if self._request is None else f"{self._request.target} "
        return f"<{type(self).__name__} {target}{state}>"
