"""What waits for a blocking socket, without threads of its own: whoever is in the channel does what is due.

How threads are kept apart is told in ``socket_writing``. The hot path is ``receive`` and ``send``: no context managers, log
calls, or objects for a single message belong into it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from math import inf
from sys import getsizeof
from time import monotonic, perf_counter
from typing import Any, Final

from ..exceptions import ChannelStateError
from ..kernels import ReadBuffer
from ..kernels.frame import Message
from ..protocol.connection import Connection, End, Pong, Timer
from .socket_waiting import PATIENCE, READ_SIZE, PlainLine, Wake
from .socket_writing import SocketWriter, take_token

__all__ = ["NO_BUFFER", "SocketProtocol"]

logger = logging.getLogger("cwschannel")

# What is read goes by way of `feed`, or straight into large payloads: the reader needs no memory of its own.
NO_BUFFER: Final = ReadBuffer(1)

# Answers to a peer that makes us answer and does not read them: with more bytes of them, nothing more is read.
_MOST_OUT: Final = 65536
# After its deadline, recv() reads what is there already for so many seconds: a peer might send on and on, but no messages.
_GRACE: Final = 0.1
# A background thread gives the reader this long to answer the last messages before what ended the connection is answered.
_HELD: Final = 1.0
# With answers left to somebody who is writing, the leader looks this often whether it is to write them itself.
_SLICE: Final = 0.2


class _Ping:
    """A ping that waits for its pong."""

    __slots__ = ("done", "seconds", "sent")

    def __init__(self) -> None:
        self.done = False
        self.sent = perf_counter()
        self.seconds = -1.0


class SocketProtocol(SocketWriter):
    """One open connection.

    Attributes:
        connection: the protocol's side of it. Only to be used with ``lock``, but for ``close_code`` and ``close_reason``.
        client_side: whether we are the client.
        queue: messages that were received and not read yet.
        ended: no more messages will come than those in the queue.
        gone: nothing is left of the connection.
        closed_here: this side closed it, before the peer did.
        latency: of the last ping that was answered, in seconds; 0.0 before.
    """

    __slots__ = (
        "_asleep",
        "_due",
        "_eof",
        "_following",
        "_held",
        "_hot",
        "_interrupted",
        "_keepalive_sent",
        "_pings",
        "_read",
        "_read_limit",
        "_receives",
        "_thread",
        "_timer",
        "_unread",
        "_wake",
        "_window",
        "closed_here",
        "ended",
        "latency",
        "queue",
    )

    def __init__(
        self,
        line: PlainLine,
        connection: Connection,
        *,
        client_side: bool,
        read_limit: int,
        send_timeout: float | None,
    ) -> None:
        super().__init__(line, connection, client_side=client_side, send_timeout=send_timeout)
        self.queue: deque[Message] = deque()
        self.ended = False
        self.closed_here = False
        self.latency = 0.0
        # of those who read:
        self._read = line.read
        self._read_limit = read_limit
        self._hot = line.patient  # whether a read waits by itself
        self._window: memoryview | None = None  # the place for what is still to come of a large payload
        self._eof = False
        self._unread = 0  # bytes of messages in the queue, or more: it is set right when the queue is empty
        self._receives = False  # the leader is in receive()
        self._following = False  # a follower is in receive()
        self._wake: Wake | None = None
        self._asleep = False  # the leader waits for its wake, too
        self._interrupted = False
        # of time:
        self._timer: Timer | None = None
        self._due = inf
        self._held = False
        self._pings: dict[bytes, _Ping] = {}
        self._keepalive_sent = 0.0
        self._thread: threading.Thread | None = None

    def start(self, trailing: bytes, *, background: bool) -> None:
        """Take the first bytes, which came together with the opening handshake; keep the channel alive, if asked to."""
        with self._lock:
            self._after(self.connection.feed(trailing) if trailing else b"")
        self.flush()
        if background:
            self._thread = threading.Thread(target=self._keep_alive, name="cwschannel background", daemon=True)
            self._thread.start()

    # What comes in.

    def receive(self, timeout: float | None) -> Message | None:
        """Return the next message, or ``None`` if there will be none.

        Raises:
            TimeoutError: nothing came in time.
            ChannelStateError: another thread is reading.
        """
        queue = self.queue
        deadline = None if timeout is None else monotonic() + timeout
        try:
            self._turn.pop()
        except IndexError:
            return self._receive_following(deadline)
        self._receives = True
        try:
            while True:
                if queue:
                    try:
                        return queue.popleft()
                    except IndexError:  # another thread has just closed the channel
                        continue
                if self.ended:
                    return None
                if not self._pump(deadline):
                    raise TimeoutError(f"no message came within {timeout:g} s")
        finally:
            self._receives = False
            self._turn.append(True)
            if self._followers or self.gone:
                self._after_turn()

    def _receive_following(self, deadline: float | None) -> Message | None:
        queue = self.queue
        with self._lock:
            if self._receives or self._following:
                raise ChannelStateError("another thread is reading the channel already, and it has one reader")
            self._following = True
        try:
            while True:
                try:
                    message = queue.popleft()
                except IndexError:
                    pass
                else:
                    if self._unread > self._read_limit and not queue:
                        with self._lock:
                            self._unread = 0
                            self._interrupt()
                    return message
                if self.ended:
                    return None
                if self._held:
                    self._on_due()
                elif not self._wait_for(lambda: bool(queue) or self.ended or self._held, deadline):
                    raise TimeoutError("no message came in time")
        finally:
            self._following = False

    def _wait_for(self, until: Callable[[], bool], deadline: float | None) -> bool:
        """Lead, or follow, until it is so. Returns false if it is not by the deadline."""
        while True:
            with self._lock:
                if until():
                    return True
                self._followers += 1  # first this, then the attempt: a leader releases the turn first, and looks here then
                try:
                    leads = take_token(self._turn)
                    if not leads:
                        remaining = None if deadline is None else deadline - monotonic()
                        if remaining is not None and remaining <= 0:
                            return False
                        self._changed.wait(remaining)
                        continue
                finally:
                    self._followers -= 1
            try:
                in_time = self._pump(deadline)
            finally:
                self._turn.append(True)
                self._after_turn()
            if not in_time:
                with self._lock:
                    return until()

    def _after_turn(self) -> None:
        """Tell the followers that the turn is free, and close the socket if it is time."""
        self._tell_followers()
        if self.gone:
            self._dispose()

    def _pump(self, deadline: float | None) -> bool:
        """As the leader: do one thing that is due, or read once. Returns false if nothing came by the deadline."""
        now = monotonic()
        if now >= self._due:
            self._on_due()
            return True
        if not self._hot or self._unread or (deadline is not None and deadline - now <= PATIENCE):
            return self._pump_slowly(deadline)
        try:
            data = self._read(READ_SIZE)
        except BlockingIOError:
            return self._sleep(deadline)
        except OSError as error:
            self._lose(error)
            return True
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        """Take what was read."""
        connection = self.connection
        self._lock.acquire()
        try:
            out = connection.feed(data) if data else self._take_eof()
            messages = connection.messages
            if out or connection.events or connection.timer is not self._timer:
                self._after(out)
            elif messages:
                connection.messages = []
                if self._receives and not self.ended:
                    self.queue += messages
                else:
                    self._deliver(messages)
            elif data:
                self._look_for_window()
            if self._followers:
                self._changed.notify_all()
        finally:
            self._lock.release()
        if self._out or self._hang_up is not None:
            self.flush()

    def _take_eof(self) -> bytes:
        self._eof = True
        self._hot = False
        return self.connection.eof()

    def _look_for_window(self) -> None:
        """Read the rest of a large payload straight to where it belongs."""
        window = memoryview(self.connection.get_buffer())
        self._window = window if len(window) > 1 else None
        self._hot = self._line.patient and self._window is None

    def _take_window(self, size: int) -> None:
        """Take what was read into the window."""
        with self._lock:
            self._after(self.connection.received(size) if size else self._take_eof())
            self._look_for_window()
        self.flush()

    def _deliver(self, messages: list[Message]) -> None:
        if self.closed_here:
            return
        queue = self.queue
        if not self._receives:  # who is in receive() reads when the queue is empty
            if not queue:
                self._unread = 0
            self._unread += sum(map(getsizeof, messages))
        queue.extend(messages)

    def _pump_slowly(self, deadline: float | None) -> bool:
        """As ``_pump``, waiting first and reading then."""
        if not self.queue:
            self._unread = 0
        if not self._sleep(deadline):
            return False
        if self._can_read():
            self._read_now()
        return True

    def _can_read(self) -> bool:
        return not self._eof and self._unread <= self._read_limit and self._out_size <= _MOST_OUT

    def _read_now(self) -> bool:
        """Read what is there. Returns whether there was anything."""
        window = self._window
        try:
            if window is None:
                self._take(self._line.read_now(READ_SIZE))
            else:
                self._take_window(self._line.read_into(window))
        except BlockingIOError:
            return False
        except OSError as error:
            self._lose(error)
        return True

    def _sleep(self, deadline: float | None) -> bool:
        """Wait until something is to be done. Returns false at the deadline."""
        if self._wake is None:
            self._wake = Wake()
        now = monotonic()
        if deadline is not None and now > deadline + _GRACE:
            return False
        end = self._due if deadline is None else min(self._due, deadline)
        # While somebody is writing, what is in _out is theirs to write.
        write = bool(self._out or self._rest) and bool(self._writing)
        read = self._can_read()
        if not read and not write and self._out:
            end = min(end, now + _SLICE)
        with self._lock:
            if self._interrupted or self.gone:
                self._interrupted = False
                return True
            self._asleep = True
        try:
            ready = self._line.wait(None if end == inf else end - now, read=read, write=write, wake=self._wake)
        finally:
            self._asleep = False
            if self._wake.is_set:
                self._wake.clear()
                self._interrupted = False
        if write and ready:
            self.flush()
        return ready or deadline is None or monotonic() < deadline

    def _interrupt(self) -> None:
        """Have the leader look again at what it waits for, and whether it may read. Called with the lock."""
        self._interrupted = True
        if self._asleep and self._wake is not None:
            self._wake.set()

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
        self.queue.clear()
        self._unread = 0
        self._interrupt()
        self._changed.notify_all()

    def wait_gone(self, timeout: float | None) -> bool:
        """Wait until nothing is left of the connection. Returns false at the timeout."""
        return self._wait_for(lambda: self.gone, None if timeout is None else monotonic() + timeout)

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
        """Nobody has the channel any more."""
        if self._thread is not None and self._thread.is_alive():
            self.abort()
        else:
            self._line.close()

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
