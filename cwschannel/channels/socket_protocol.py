"""What waits for a blocking socket, without threads of its own: whoever is in the channel does what is due."""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from math import inf
from time import monotonic, perf_counter
from typing import Any, Final

from ..kernels import ReadBuffer
from ..protocol.connection import Connection, ConnectionOptions, End, Pong, Timer
from .socket_reading import SPARSE_SIZE, SocketReader
from .socket_waiting import PlainLine, make_line

__all__ = ["SocketProtocol", "open_line"]

logger = logging.getLogger("cwschannel")

# A background thread gives the reader this long to answer the last messages before what ended the connection is answered.
_HELD: Final = 1.0


class _Ping:
    """A ping that waits for its pong."""

    __slots__ = ("done", "seconds", "sent")

    def __init__(self) -> None:
        self.done = False
        self.sent = perf_counter()
        self.seconds = -1.0


class SocketProtocol(SocketReader):
    """One open connection: it writes what ``Connection`` returns, reads what it queues, and minds its timer.

    Attributes:
        connection: the protocol's side of it. Only to be used with the lock, but for ``close_code`` and ``close_reason``.
        gone: nothing is left of the connection.
        latency: of the last ping that was answered, in seconds; 0.0 before.
    """

    __slots__ = ("_keepalive_sent", "_pings", "_thread", "latency")

    def __init__(
        self,
        line: PlainLine,
        connection: Connection,
        *,
        read_limit: int,
        send_timeout: float | None,
    ) -> None:
        super().__init__(line, connection, read_limit=read_limit, send_timeout=send_timeout)
        self.latency = 0.0
        self._pings: dict[bytes, _Ping] = {}
        self._keepalive_sent = 0.0
        self._thread: threading.Thread | None = None

    def start(self, trailing: bytes, *, background: bool) -> None:
        """Take the first bytes, which came together with the opening handshake; keep the channel alive, if asked to."""
        if background:
            self._thread = threading.Thread(target=self._keep_alive, name="cwschannel background", daemon=True)
        with self._lock:
            self._after(self.connection.feed(trailing) if trailing else b"")
        self.flush()
        if self._thread is not None:
            self._thread.start()

    # What Connection wants.

    def _after(self, data: bytes) -> None:
        """Follow the three rules: write what was returned, read what was queued, set the timer. Called with the lock."""
        connection = self.connection
        if data:
            self._out.append(data)
            self._out_size += len(data)
        if connection.messages:
            messages, connection.messages = connection.messages, []
            self._deliver(messages)
        if connection.timer is not self._timer:
            self._set_timer(connection.timer)
        if connection.events:
            events, connection.events = connection.events, []
            for event in events:
                if isinstance(event, Pong):
                    self._take_pong(event)
                elif isinstance(event, End):
                    self.ended = True
                    for ping in self._pings.values():
                        ping.done = True
                    self._pings = {}
                    self._interrupt()
                else:
                    self._hang_up = event
        if self._followers:
            self._changed.notify_all()

    def _set_timer(self, timer: Timer | None) -> None:
        self._timer = timer
        self._ticks = 0
        self._held = timer is not None and timer.what == "held"
        if timer is None:
            self._due = inf
        elif self._held:
            # Due when the reader comes for more: it has had the messages that came before, and could answer them.
            self._due = 0.0 if self._thread is None else monotonic() + _HELD
        else:
            self._due = monotonic() + timer.seconds

    def _on_due(self) -> None:
        timer = self._timer
        if timer is not None and timer.what == "pong" and self._can_read() and self._read_now():
            return  # it was we who did not read
        with self._lock:
            if self._timer is not timer:
                return
            data = self.connection.on_timer(excused=not self._can_read() or bool(self._out or self._rest))
            if timer is not None and timer.what == "ping" and data:
                self._keepalive_sent = perf_counter()
            self._after(data)
        self.flush()

    def _take_pong(self, pong: Pong) -> None:
        now = perf_counter()
        if pong.keepalive:
            self.latency = now - self._keepalive_sent
        elif pong.payload in self._pings:
            # A pong answers the pings before its own, too: a peer may answer only the latest (RFC 6455 section 5.5.3).
            for payload in list(self._pings):
                ping = self._pings.pop(payload)
                self.latency = ping.seconds = now - ping.sent
                ping.done = True
                if payload == pong.payload:
                    break

    def ping(self, payload: bytes, timeout: float | None) -> float:
        """Send a ping; return the seconds until its pong came."""
        deadline = None if timeout is None else monotonic() + timeout
        with self._lock:
            if payload in self._pings:
                raise ValueError("a ping with the same payload is still waiting for its pong")
            data = self.connection.send_ping(payload)
            ping = self._pings[payload] = _Ping()
            self._after(data)
        self.flush()
        try:
            if not self._wait_for(lambda: ping.done, deadline):
                raise TimeoutError(f"no pong came within {timeout:g} s")
        finally:
            with self._lock:
                if self._pings.get(payload) is ping:
                    del self._pings[payload]
            if self.gone:
                self._dispose()
        if ping.seconds < 0:
            raise self.closed_error()
        return ping.seconds

    # The end.

    def close(self, code: int | None, reason: str) -> None:
        """Start the closing handshake, and let the reader go. Does not wait."""
        with self._lock:
            was_open = self.connection.close_code is None
            data = self.connection.close(code, reason)
            self.closed_here = self.closed_here or was_open
            self._after(data)
            self._discard()
        self.flush()

    def _discard(self) -> None:
        """End the stream now, without what is queued and what may still come. Called with the lock."""
        self.ended = True
        self.queue = deque()  # another one, as the reader may be about to take something out of the old one
        self._unread = 0
        self._interrupt()
        self._changed.notify_all()

    def wait_gone(self, timeout: float | None) -> bool:
        """Wait until nothing is left of the connection. Returns false at the timeout."""
        if not self._wait_for(lambda: self.gone, None if timeout is None else monotonic() + timeout):
            return False
        self._dispose()
        return True

    def abort(self) -> None:
        """Drop the connection."""
        with self._lock:
            self.closed_here = self.closed_here or self.connection.close_code is None
            self._discard()
        self._lose(ConnectionAbortedError("this side dropped the connection"), reset=True)
        self._dispose()

    def _on_gone(self) -> None:
        self._after(b"")
        self._due = inf
        self._interrupt()

    def let_go(self) -> None:
        """Nobody has the channel any more. Takes no lock: garbage is collected anywhere, even where one is held."""
        if self._thread is None or not self._thread.is_alive():
            self._line.close()
            return
        # The background thread finds the connection lost, keeps nothing, and ends.
        self.closed_here = True
        self.queue.clear()
        self._unread = 0
        self._line.hang_up(reset=True)
        if self._wake is not None:
            self._wake.set()

    def addresses(self) -> tuple[Any, Any]:
        """Return our end of the socket, and the peer's."""
        return self._line.addresses()

    def get_extra_info(self, name: str) -> Any:
        """Return what is known of the socket."""
        return self._line.get_extra_info(name)

    def _keep_alive(self) -> None:
        """The background thread."""
        try:
            self._wait_for(lambda: self.gone, None)
        except Exception:
            logger.exception("the background thread of a channel failed")
            self._lose(None, reset=True)


def open_line(
    sock: socket.socket,
    options: ConnectionOptions,
    *,
    client_side: bool,
    read_limit: int,
    send_timeout: float | None,
) -> SocketProtocol:
    """Take over a socket on which the opening handshake is done. ``start`` is to be called then."""
    connection = Connection(ReadBuffer(SPARSE_SIZE), client_side=client_side, options=options)
    return SocketProtocol(make_line(sock), connection, read_limit=read_limit, send_timeout=send_timeout)
