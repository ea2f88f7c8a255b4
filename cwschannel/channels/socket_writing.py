"""What goes out to a blocking socket: whole frames, in order, from any number of threads.

Two tokens and a lock keep threads apart. A token is a deque with one item, and belongs to whoever has popped it: that costs
a quarter of what a lock costs, and nobody blocks on one.

* ``_turn`` belongs to the one thread that reads, or waits to: the leader. Others who need what comes follow: they wait for
  the leader to tell them, and to leave the turn to them.
* ``_writing`` belongs to the one thread that writes.
* ``_lock`` guards ``Connection`` and everything else. Nobody waits for a socket, or calls an application, while holding it.
  Two things of ``Connection`` are used without it: ``encode``, see ``send``, and ``reader``, which belongs to the leader.

A message is encoded and written with ``_writing``. All else that goes out (pongs, pings, close frames) is put into ``_out``,
and written by whoever gets ``_writing`` then, or by whoever has it, after giving it back. So nobody but those who send waits
for a peer that does not read.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import Final

from ..exceptions import ConnectionClosed, SendTimeout
from ..kernels.frame import BytesLike
from ..protocol.connection import Connection, HangUp, SharedMessage
from .socket_waiting import NOW, PlainLine

__all__ = ["SocketWriter", "take_token"]

# A sender that waits looks this often whether it is to read, too, because nobody else does any more.
_SLICE: Final = 0.2


class SocketWriter:
    """The half of ``SocketProtocol`` that writes."""

    __slots__ = (
        "_changed",
        "_disposed",
        "_followers",
        "_hang_up",
        "_line",
        "_lock",
        "_out",
        "_out_size",
        "_rest",
        "_send",
        "_send_timeout",
        "_turn",
        "_write",
        "_writing",
        "connection",
        "gone",
    )

    def __init__(self, line: PlainLine, connection: Connection, *, send_timeout: float | None) -> None:
        self.connection = connection
        self.gone = False
        self._line = line
        self._write = line.write
        self._send = line.send
        self._send_timeout = send_timeout
        self._turn = deque([True])
        self._writing = deque([True])
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._followers = 0  # threads that wait for a token, or for what the leader reads
        self._out: list[bytes] = []
        self._out_size = 0
        self._rest = memoryview(b"")  # of a frame that was begun; belongs to whoever is writing
        self._hang_up: HangUp | None = None
        self._disposed = False

    # Messages.

    def send(self, message: str | BytesLike) -> None:
        """Send a message: return when the operating system has taken all of it.

        Raises:
            ConnectionClosed: the connection is closing or closed.
            SendTimeout: the operating system did not take it in time.
        """
        try:
            self._writing.pop()
        except IndexError:
            self._wait_to_write()
        try:
            # Without the lock, which would cost 0.1 us: this reads ``encode`` and changes nothing. A close
            # frame that is made in this moment goes out after it, by way of _out.
            encode = self.connection.encode
            if encode is None:
                raise self.closed_error()
            frame = encode(message)
            if self._rest:
                self._write_after_rest(frame)
            else:
                try:
                    size = self._send(frame, NOW)
                except BlockingIOError:
                    size = 0
                except OSError as error:
                    raise self._send_failed(error) from error
                if size != len(frame):
                    self._rest = memoryview(frame)[size:]
                    self._write_rest()
        finally:
            self._writing.append(True)
            if self._followers or self._out or self._hang_up is not None or self.gone:
                self._after_writing()

    def offer(self, shared: SharedMessage) -> bool | None:
        """Send a message that goes to others, too, without waiting.

        Returns whether all of it was taken; ``None`` if nothing was, or could be. The rest is written before anything else.

        Raises:
            ConnectionClosed: the connection is closing or closed.
        """
        if not take_token(self._writing):
            return None
        try:
            if self._rest and not self._write_out():
                return None
            with self._lock:
                frame = self.connection.send_shared(shared)
            size = self._write(frame)
            if not size and not self._line.secure:  # OpenSSL has begun, though it has not said so
                return None
            self._rest = memoryview(frame)[size:]
            if self._rest:
                self._leave_rest()
            return not self._rest
        except OSError as error:
            self._lose(error)
            raise self.closed_error() from error
        finally:
            self._writing.append(True)
            self._after_writing()

    def has_rest(self) -> bool:
        """Return whether a frame was begun and is not written yet."""
        return bool(self._rest)

    def _wait_to_write(self) -> None:
        """Wait for the others who are writing. Each of them has a deadline, and after one that misses it all is over."""
        if not self._wait_for_token(self._writing, self._send_timeout):
            raise self._too_slow()

    def _wait_for_token(self, token: deque[bool], timeout: float | None) -> bool:
        deadline = None if timeout is None else monotonic() + timeout
        with self._lock:
            self._followers += 1  # first this, then the attempt: whoever gives a token back looks here after that
            try:
                while not take_token(token):
                    remaining = None if deadline is None else deadline - monotonic()
                    if remaining is not None and remaining <= 0:
                        return False
                    self._changed.wait(remaining)
                return True
            finally:
                self._followers -= 1

    def _write_after_rest(self, frame: bytes) -> None:
        """Write what somebody had to leave in the middle of a frame, and a frame after it."""
        self._rest = memoryview(self._rest.tobytes() + frame)
        self._write_rest()

    def _write_rest(self) -> None:
        """Wait until the rest is written."""
        deadline = None if self._send_timeout is None else monotonic() + self._send_timeout
        while self._rest:
            if self.gone:
                raise self.closed_error()
            try:
                size = self._write(self._rest)
            except OSError as error:
                raise self._send_failed(error) from error
            self._rest = self._rest[size:]
            if not size and not self._wait_for_room(deadline):
                raise self._too_slow()

    def _wait_for_room(self, deadline: float | None) -> bool:
        """Wait until something can be written; if nobody else reads, read meanwhile: the peer may be waiting for that."""
        remaining = _SLICE if deadline is None else min(deadline - monotonic(), _SLICE)
        if remaining <= 0:
            return False
        if self._can_read() and take_token(self._turn):
            try:
                self._line.wait(remaining, read=True, write=True)
                self._read_now()
            finally:
                self._turn.append(True)
                self._tell_followers()
            return True
        self._line.wait(remaining, read=False, write=True)
        return True

    def _send_failed(self, error: OSError) -> ConnectionClosed:
        """Nothing can be sent any more; but the last messages, and the close frame that says why, may be there to read."""
        if take_token(self._turn) or self._wait_for_token(self._turn, _SLICE):  # others who read find out by themselves
            try:
                while self._can_read() and not self.gone and self._read_now():
                    pass
            finally:
                self._turn.append(True)
                self._tell_followers()
        self._lose(error)
        return self.closed_error()

    def _too_slow(self) -> SendTimeout:
        text = f"the peer did not take a message within {self._send_timeout:g} s (send_timeout)"
        self._lose(TimeoutError(text), reset=True)
        closed = self.closed_error()
        return SendTimeout(closed.code, closed.reason, text)

    def _after_writing(self) -> None:
        self._tell_followers()
        self.flush()
        if self.gone:
            self._dispose()

    def _tell_followers(self) -> None:
        if self._followers:
            with self._lock:
                self._changed.notify_all()

    # Everything else.

    def flush(self) -> None:
        """Write what waits to be written, as far as that is possible without waiting, unless somebody else is writing."""
        abort = self._hang_up is HangUp.ABORT
        while not self.gone and (self._out or self._rest or self._hang_up is not None) and take_token(self._writing):
            try:
                done = self._write_out()
            finally:
                self._writing.append(True)
                self._tell_followers()
            if not done:
                self._leave_rest()
                break
        if abort:
            self._lose(None, reset=True)

    def _write_out(self) -> bool:
        """Write what waits; then half-close or hang up, if that is due. Returns false if something is left."""
        try:
            while True:
                if self._rest:
                    size = self._write(self._rest)
                    self._rest = self._rest[size:]
                    if not size:
                        return False
                    continue
                with self._lock:
                    if not self._out:
                        how, self._hang_up = self._hang_up, None
                        break
                    self._rest = memoryview(b"".join(self._out))
                    self._out = []
                    self._out_size = 0
        except OSError as error:
            self._lose(error)
            return True
        if how is HangUp.HALF_CLOSE:
            self._line.half_close()
        elif how is not None:
            self._lose(None, reset=how is HangUp.ABORT)
        return True

    def _leave_rest(self) -> None:
        """Have whoever waits to read wait for room to write, too."""
        with self._lock:
            self._interrupt()

    # The end.

    def _lose(self, error: Exception | None, *, reset: bool = False) -> None:
        """Nothing more will be read or written. Ends every wait for the socket."""
        with self._lock:
            self.connection.lost(error)
            first, self.gone = not self.gone, True
            self._on_gone()
            self._hang_up = None
            self._out = []
            self._out_size = 0
            self._changed.notify_all()
        if first:
            self._line.hang_up(reset=reset)

    def _dispose(self) -> None:
        """Close the socket, once nobody is in it any more: its number may soon be that of another one."""
        with self._lock:
            if self._disposed:
                return
            self._disposed = True
        # Whoever is in it has been woken. If a signal handler has interrupted them in this thread, they come here later.
        if take_token(self._turn) or self._wait_for_token(self._turn, 1):
            if take_token(self._writing) or self._wait_for_token(self._writing, 1):
                self._line.close()
                self._writing.append(True)
            else:
                self._disposed = False
            self._turn.append(True)
            self._tell_followers()
        else:
            self._disposed = False

    def closed_error(self) -> ConnectionClosed:
        """The error for whoever wants to send or receive on a connection that is closing or closed."""
        with self._lock:
            return self.connection.closed_error()

    # What the half that reads has to say.

    def _on_gone(self) -> None:
        """Nothing is left of the connection. Called with the lock."""
        raise NotImplementedError

    def _interrupt(self) -> None:
        """Have the leader look again at what it waits for. Called with the lock."""
        raise NotImplementedError

    def _can_read(self) -> bool:
        """Return whether there is room for what may come."""
        raise NotImplementedError

    def _read_now(self) -> bool:
        """As the leader, read what is there. Returns whether there was anything."""
        raise NotImplementedError


def take_token(token: deque[bool]) -> bool:
    """Take a token, if nobody has it."""
    try:
        return token.pop()
    except IndexError:
        return False
