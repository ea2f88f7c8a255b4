"""What comes in from a blocking socket: read by whoever is in the channel, one thread at a time.

How threads are kept apart is told in ``socket_writing``. The hot path is ``receive``: no context managers, log calls, calls
of other methods, or objects for a single message belong into it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from sys import getsizeof
from time import monotonic
from typing import Final

from ..exceptions import ChannelStateError, ProtocolError
from ..kernels.frame import Frame, Message
from ..protocol.connection import Connection, Timer
from .socket_waiting import PATIENCE, READ_SIZE, PlainLine, Wake
from .socket_writing import SocketWriter, take_token

__all__ = ["SPARSE_SIZE", "SocketReader"]

SPARSE_SIZE: Final = 2048
"""The memory of each connection that little messages are read into. What fills it is followed by reads that make a ``bytes``
of what came, with room for much more, and take 0.1 us longer."""

# Answers to a peer that makes us answer and does not read them: with more bytes of them, nothing more is read.
_MOST_OUT: Final = 65536
# After its deadline, recv() reads what is there already for so many seconds: a peer might send on and on, but no messages.
_GRACE: Final = 0.1
# How many reads follow each other without a look at the clock, which costs as much as a lock. Each takes PATIENCE at most.
_TICKS: Final = 16
# With answers left to somebody who is writing, the leader looks this often whether it is to write them itself.
_SLICE: Final = 0.2


class SocketReader(SocketWriter):
    """The part of ``SocketProtocol`` that reads.

    Attributes:
        queue: messages that were received and not read yet.
        ended: no more messages will come than those in the queue.
        closed_here: this side closed the connection, before the peer did.
    """

    __slots__ = (
        "_asleep",
        "_buffer",
        "_due",
        "_eof",
        "_following",
        "_held",
        "_hot",
        "_interrupted",
        "_read",
        "_read_into",
        "_read_limit",
        "_reader",
        "_receives",
        "_sparse",
        "_ticks",
        "_timer",
        "_unread",
        "_wake",
        "_window",
        "closed_here",
        "ended",
        "queue",
    )

    def __init__(
        self,
        line: PlainLine,
        connection: Connection,
        *,
        read_limit: int,
        send_timeout: float | None,
    ) -> None:
        super().__init__(line, connection, send_timeout=send_timeout)
        self.queue: deque[Message] = deque()
        self.ended = False
        self.closed_here = False
        self._read = line.read
        self._read_limit = read_limit
        self._read_into = line.read_into
        self._reader = connection.reader
        self._buffer = connection.get_buffer()
        self._window: memoryview | None = None  # the place for what is still to come of a large payload
        self._hot = line.patient  # whether a read may wait by itself
        self._sparse = True  # whether the last read would have fitted into the buffer
        self._eof = False
        self._unread = 0  # bytes of messages in the queue, or more: it is set right when something comes into an empty one
        self._receives = False  # the leader is in receive()
        self._following = False  # a follower is in receive()
        self._wake: Wake | None = None
        self._asleep = False  # the leader waits for its wake, too
        self._interrupted = False
        self._timer: Timer | None = None  # the one that runs
        self._due = inf  # and when it is over
        self._ticks = 0
        self._held = False  # it is for what ends the connection, once the messages before it were handed out

    def receive(self, timeout: float | None) -> Message | None:
        """Return the next message, or ``None`` if there will be none.

        Raises:
            TimeoutError: nothing came in time.
            ChannelStateError: another thread is reading.
        """
        deadline = None if timeout is None else monotonic() + timeout
        try:
            self._turn.pop()
        except IndexError:
            return self._receive_following(timeout, deadline)
        self._receives = True
        try:
            while True:
                queue = self.queue
                if queue:
                    return queue.popleft()
                if self.ended:
                    return None
                if self._ticks and deadline is None and self._hot and not self._out:
                    self._ticks -= 1
                elif not self._look_at_clock(deadline):
                    _check_in_time(self._pump(deadline), timeout)
                    continue
                reader = self._reader
                try:
                    if self._sparse:
                        size = self._read_into(self._buffer)
                        items = reader.received(size)
                    else:
                        data = self._read(READ_SIZE)
                        size = len(data)
                        items = reader.feed(data)
                except OSError as error:
                    _check_in_time(self._after_no_read(error, deadline), timeout)
                    continue
                self._sparse = size < SPARSE_SIZE
                # Without the lock, which would cost 0.1 us: the reader belongs to the leader, and a message that comes by
                # itself, as most do, changes nothing.
                if len(items) == 1 and reader.only_messages and not self.ended:
                    return items[0]  # type: ignore[return-value]
                self._take(items, size)
        finally:
            self._receives = False
            self._turn.append(True)
            if self._followers or self.gone:
                self._after_turn()

    def _receive_following(self, timeout: float | None, deadline: float | None) -> Message | None:
        with self._lock:
            if self._receives or self._following:
                raise ChannelStateError("another thread is reading the channel already, and it has one reader")
            self._following = True
        try:
            while True:
                queue = self.queue
                if queue:
                    message = queue.popleft()
                    if self._unread > self._read_limit and not queue:
                        with self._lock:
                            if not queue:
                                self._unread = 0
                                self._interrupt()
                    return message
                if self.ended:
                    return None
                if self._held:
                    self._on_due()
                else:
                    _check_in_time(self._wait_for(lambda: bool(self.queue) or self.ended or self._held, deadline), timeout)
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

    def _look_at_clock(self, deadline: float | None) -> bool:
        """As the leader, return whether the next reads may wait by themselves: nothing else is to be done, or waited for."""
        if not self._hot or self._out:
            return False
        now = monotonic()
        if now >= self._due or (deadline is not None and deadline - now <= PATIENCE):
            return False
        self._ticks = _TICKS
        return True

    def _pump(self, deadline: float | None) -> bool:
        """As the leader: do one thing that is due, or wait, and read. Returns false if nothing came by the deadline."""
        if monotonic() >= self._due:
            self._on_due()
            return True
        if self._can_read() and self._look_at_clock(deadline):
            try:
                data = self._read(READ_SIZE)
            except OSError as error:
                return self._after_no_read(error, deadline)
            self._take(self._reader.feed(data), len(data))
            return True
        if not self._sleep(deadline):
            return False
        if self._can_read():
            self._read_now()
        return True

    def _after_no_read(self, error: OSError, deadline: float | None) -> bool:
        """A read brought nothing: not within ``PATIENCE``, or nothing will come any more. Returns false at the deadline."""
        if isinstance(error, BlockingIOError):
            return self._sleep(deadline)
        self._lose(error)
        return True

    def _take(self, items: list[Message | Frame | ProtocolError], size: int) -> None:
        """Take what the frame reader made of so many bytes; none came at their end."""
        connection = self.connection
        with self._lock:
            if size:
                self._after(connection.take(items))
            else:
                self._eof = True
                self._after(connection.eof())
            # The rest of a large payload is read straight to where it belongs.
            window = connection.get_buffer()
            self._window = None if window is self._buffer else window
            self._hot = self._line.patient and self._window is None and not self._eof
        self.flush()

    def _deliver(self, messages: list[Message]) -> None:
        if self.closed_here:
            return
        queue = self.queue
        if not queue:
            self._unread = 0
        if not self._receives:  # who is in receive() reads when the queue is empty
            self._unread += sum(map(getsizeof, messages))
        queue.extend(messages)

    def _can_read(self) -> bool:
        has_room = self._unread <= self._read_limit or not self.queue
        return has_room and not self._eof and self._out_size <= _MOST_OUT

    def _read_now(self) -> bool:
        """Read what is there. Returns whether there was anything."""
        window = self._window
        try:
            if window is None:
                data = self._line.read_now(READ_SIZE)
                self._take(self._reader.feed(data), len(data))
            else:
                size = self._line.read_into_now(window)
                self._take(self._reader.received(size), size)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lose(error)
        return True

    def _sleep(self, deadline: float | None) -> bool:
        """Wait until something is to be done. Returns false at the deadline."""
        if self._wake is None:
            self._wake = Wake()
        self._ticks = 0
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

    # What the rest of the protocol has to do.

    def _after(self, out: bytes) -> None:
        """Follow the three rules: write what was returned, read what was queued, set the timer. Called with the lock."""
        raise NotImplementedError

    def _on_due(self) -> None:
        """As the leader, do what the timer is for, if it is over."""
        raise NotImplementedError


def _check_in_time(in_time: bool, timeout: float | None) -> None:
    if not in_time:
        raise TimeoutError(f"no message came within {timeout:g} s") from None
