"""A stream, and the sink that fills it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..exceptions import BackPressureError
from .completion import Completion
from .controlled import ControlledStream, Failure
from .loops import current_loop
from .sink import RuledSink
from .stream import Stream

__all__ = ["StreamController"]

T = TypeVar("T")


class StreamController(RuledSink[T]):
    """A sink whose items come out of its ``stream``.

    What is added before somebody reads waits for them, up to ``max_waiting`` items.

    Args:
        sync: hand items on within ``add`` itself, so that a listener's callback runs before ``add`` returns. Without it they
            are handed on in a later pass of the loop, which no caller of ``add`` has to reckon with.
        on_listen: called when the first reader comes.
        on_pause: called when the listener pauses, or when more than ``pause_at`` items wait.
        on_resume: called when items are wanted again.
        on_cancel: called when the listener has cancelled. What is added after that is dropped, and ``done`` has ended.
        pause_at: with more items than this unread, ``wait_for_room`` and ``add_stream`` wait; by default 64, or
            ``max_waiting`` if that is less.
        max_waiting: with as many items as this unread, ``add`` raises ``BackPressureError``.

    What the callbacks raise goes to the loop's exception handler.

    Raises:
        RuntimeError: there is no running event loop.
    """

    __slots__ = (
        "_done",
        "_emptied",
        "_flush_due",
        "_loop",
        "_max_waiting",
        "_on_cancel",
        "_on_pause",
        "_on_resume",
        "_pause_at",
        "_paused",
        "_pending",
        "_resumed",
        "_stream",
        "_sync",
    )

    def __init__(
        self,
        *,
        sync: bool = False,
        on_listen: Callable[[], object] | None = None,
        on_pause: Callable[[], object] | None = None,
        on_resume: Callable[[], object] | None = None,
        on_cancel: Callable[[], object] | None = None,
        pause_at: int | None = None,
        max_waiting: int = 65536,
    ) -> None:
        if pause_at is None:
            pause_at = min(64, max_waiting)
        if not 0 <= pause_at <= max_waiting:
            raise ValueError(f"pause_at is from 0 to max_waiting ({max_waiting}), not {pause_at}")
        super().__init__()
        self._loop = current_loop()
        self._sync = sync
        self._on_pause = on_pause
        self._on_resume = on_resume
        self._on_cancel = on_cancel
        self._pause_at = pause_at
        self._max_waiting = max_waiting
        self._pending: list[T | Failure] = []  # added, and not handed to the stream yet
        self._flush_due = False
        self._paused = False
        self._resumed: Completion | None = None  # for those who wait for room
        self._emptied: Completion | None = None  # for those who wait for everything to be read
        self._done = Completion()
        self._stream: ControlledStream[T] = ControlledStream(
            self._loop, self._on_demand, on_listen=lambda: self._call(on_listen), on_cancel=self._cancelled
        )

    @property
    def stream(self) -> Stream[T]:
        """What was added."""
        return self._stream

    @property
    def sink(self) -> StreamController[T]:
        """The controller itself, which is its sink."""
        return self

    @property
    def has_listener(self) -> bool:
        """Whether somebody reads the stream."""
        return self._stream.has_reader

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def is_paused(self) -> bool:
        """Whether the listener has paused, or too much waits for the reader."""
        return self._paused

    @property
    def done(self) -> Awaitable[None]:
        return self._done

    async def wait_for_room(self) -> None:
        # What is pending counts too: whoever only ever waits here must come to wait, or it is never handed on.
        while (self._paused or len(self._pending) > self._pause_at) and not self._closed and not self._is_gone():
            if self._resumed is None:
                self._resumed = Completion()
            await self._resumed

    def flush(self) -> Awaitable[None]:
        if self._emptied is None:
            self._emptied = Completion()
        emptied = self._emptied
        self._stream.held_back = True  # so that it says when its queue has been read empty
        self._settle()
        return emptied

    def _is_gone(self) -> bool:
        return self._stream._discarding

    def _put(self, item: T) -> None:
        self._enqueue(item)

    def _put_error(self, error: Exception) -> None:
        self._enqueue(Failure(error))

    def _enqueue(self, item: T | Failure) -> None:
        stream = self._stream
        if stream._discarding:
            return
        waiting = len(stream.queue) + len(self._pending)
        if waiting >= self._max_waiting:
            raise BackPressureError(
                f"{waiting} items wait to be read, and max_waiting is {self._max_waiting}: the reader is not fast enough; "
                f"use 'await sink.wait_for_room()' to wait for it"
            )
        self._pending.append(item)
        if self._sync:
            self._hand_on()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._hand_on_later)

    def _finish(self) -> None:
        if self._sync:
            self._hand_on()
            self._stream.finish()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._hand_on_later)
        self._let_go_on()
        self._done.finish()

    def _hand_on_later(self) -> None:
        self._flush_due = False
        self._hand_on()
        if self._closed and not self._flush_due:  # a task that was woken meanwhile may have added, and closed
            self._stream.finish(at_once=True)

    def _hand_on(self) -> None:
        stream = self._stream
        pending, self._pending = self._pending, []
        for item in pending:
            if type(item) is Failure:
                stream.deliver_error(item.error, at_once=True)
            else:
                stream.deliver((item,), at_once=True)  # type: ignore[arg-type]
        if len(stream.queue) > self._pause_at and not self._paused:
            stream.held_back = True
            self._on_demand(False)
        if not self._paused:
            self._let_go_on()
        self._settle()

    def _on_demand(self, wanted: bool) -> None:
        if wanted:
            self._stream.held_back = False
            self._let_go_on()
        if wanted is self._paused:
            self._paused = not wanted
            if not self._is_gone():
                self._call(self._on_resume if wanted else self._on_pause)
        self._settle()

    def _cancelled(self) -> None:
        self._pending.clear()
        self._settle()
        self._done.finish()
        self._call(self._on_cancel)

    def _call(self, callback: Callable[[], object] | None) -> None:
        if callback is None:
            return
        try:
            callback()
        except Exception as error:  # it is nobody's who is adding or reading just now
            self._loop.call_exception_handler(
                {"message": "a callback given to StreamController raised an error", "exception": error}
            )

    def _let_go_on(self) -> None:
        """Let ``wait_for_room`` look again."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.finish()

    def _settle(self) -> None:
        """Let ``flush`` end, if everything was read."""
        emptied = self._emptied
        if emptied is not None and not self._pending and (not self._stream.queue or self._is_gone()):
            self._emptied = None
            emptied.finish()
