"""The WebSocket channel over plain blocking sockets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from ..exceptions import ChannelStateError, ConnectionClosed, SendTimeout
from ..http import Request, Response
from ..kernels import sign_key
from ..kernels.frame import BytesLike, Message
from ..status import GOING_AWAY, INTERNAL_SERVER_ERROR, NO_STATUS_RECEIVED, NORMAL_CLOSURE
from .socket_protocol import SocketProtocol

__all__ = ["SocketSink", "SocketStream", "SocketWebSocketChannel"]

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

    Attributes:
        request: the client's request, as we sent or received it.
        response: the server's answer, as we received or sent it.
        protocol: the subprotocol that was agreed on, or ``None``.
        local_address: our end of the socket, such as ``("127.0.0.1", 50000)``.
        remote_address: the peer's end of the socket.
        stream: of the messages that come.
        sink: for the messages that go.
    """

    __slots__ = (
        "__weakref__",
        "_hold",
        "_io",
        "local_address",
        "protocol",
        "remote_address",
        "request",
        "response",
        "sink",
        "stream",
    )

    def __init__(self, io: SocketProtocol, request: Request, response: Response, protocol: str | None) -> None:
        self._io = io
        self._hold = _Hold(io)
        self.stream = SocketStream(io, self._hold)
        self.sink = SocketSink(io, self._hold)
        self.request = request
        self.response = response
        self.protocol = protocol
        self.local_address, self.remote_address = io.addresses()

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
        return f"<{type(self).__name__} {self.request.target} {state}>"
