"""One stream for several readers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Generic, Literal, TypeVar
from weakref import WeakSet

from ..exceptions import BackPressureError
from .controlled import ControlledStream
from .loops import AnyLoop, current_loop
from .stream import Stream, StreamSubscription

__all__ = ["BroadcastReader", "BroadcastStream"]

T = TypeVar("T")


class BroadcastStream(Stream[T]):
    """What ``Stream.broadcast`` returns. Each ``listen`` and each ``async for`` is a reader of its own.

    The source is read while there are readers. A reader by ``async for`` is one until it is left, by ``break`` for instance;
    ``reader()`` returns one that says so itself.
    """

    __slots__ = (
        "_ended",
        "_listening",
        "_loop",
        "_max_waiting",
        "_on_slow",
        "_paused",
        "_readers",
        "_source",
        "_subscription",
    )

    def __init__(self, source: Stream[T], max_waiting: int, on_slow: Literal["wait", "drop", "disconnect"]) -> None:
        if max_waiting < 1:
            raise ValueError(f"max_waiting is at least 1, not {max_waiting}")
        if on_slow not in ("wait", "drop", "disconnect"):
            raise ValueError(f"on_slow is 'wait', 'drop' or 'disconnect', not {on_slow!r}")
        self._loop = current_loop()
        self._source = source
        self._max_waiting = max_waiting
        self._on_slow = on_slow
        self._subscription: StreamSubscription | None = None
        self._paused = False
        self._ended = False
        # Weak, because a task that leaves its `async for` tells nobody; with callbacks, the subscription is what keeps it.
        self._readers: WeakSet[BroadcastReader[T]] = WeakSet()
        self._listening: set[BroadcastReader[T]] = set()

    def reader(self) -> BroadcastReader[T]:
        """Return a stream of what comes from now on, for one reader. ``cancel`` ends it."""
        reader = BroadcastReader(self, self._loop)
        if self._ended:
            reader.finish()
            return reader
        self._readers.add(reader)
        if self._subscription is None:
            self._subscription = self._source.listen(self._take, on_error=self._take_error, on_done=self._end)
        self.settle()
        return reader

    def listen(
        self,
        on_data: Callable[[T], object] | None = None,
        *,
        on_error: Callable[[Exception], object] | None = None,
        on_done: Callable[[], object] | None = None,
        cancel_on_error: bool = False,
    ) -> StreamSubscription:
        reader = self.reader()
        subscription = reader.listen(on_data, on_error=on_error, on_done=on_done, cancel_on_error=cancel_on_error)
        if not self._ended:
            self._listening.add(reader)
        return subscription

    def __aiter__(self) -> AsyncIterator[T]:
        return aiter(self.reader())

    def settle(self) -> None:
        """Pause the source if nobody reads, or if somebody is to be waited for; else let it go on."""
        if self._subscription is None or self._ended:
            return
        paused = not self._readers
        if self._on_slow == "wait":
            paused = paused or any(len(reader.queue) >= self._max_waiting for reader in self._readers)
        if paused is not self._paused:
            self._paused = paused
            if paused:
                self._subscription.pause()
            else:
                self._subscription.resume()

    def forget(self, reader: BroadcastReader[T]) -> None:
        """It reads no more."""
        self._readers.discard(reader)
        self._listening.discard(reader)
        self.settle()

    def _take(self, item: T) -> None:
        for reader in list(self._readers):
            reader.deliver((item,), at_once=True)
            if len(reader.queue) >= self._max_waiting:
                self._deal_with(reader)
        self.settle()

    def _deal_with(self, reader: BroadcastReader[T]) -> None:
        """It is slow."""
        reader.held_back = True
        if self._on_slow == "drop":
            while len(reader.queue) > self._max_waiting:
                reader.queue.popleft()
                reader.lost += 1
        elif self._on_slow == "disconnect" and len(reader.queue) > self._max_waiting:
            reader.queue.pop()
            error = f"more than {self._max_waiting} items waited for a reader of a broadcast (max_waiting)"
            reader.deliver_error(BackPressureError(error))
            reader.finish()
            self.forget(reader)

    def _take_error(self, error: Exception) -> None:
        for reader in list(self._readers):
            reader.deliver_error(error, at_once=True)

    def _end(self) -> None:
        self._ended = True
        for reader in list(self._readers):
            reader.finish(at_once=True)
        self._readers.clear()
        self._listening.clear()


class BroadcastReader(ControlledStream[T], Generic[T]):
    """A reader of a ``BroadcastStream``.

    Attributes:
        lost: how many items were dropped because it was too slow for them.
    """

    __slots__ = ("__weakref__", "_broadcast", "lost")

    def __init__(self, broadcast: BroadcastStream[T], loop: AnyLoop) -> None:
        super().__init__(loop, self._pass_on_demand, on_cancel=self._forget)
        self._broadcast = broadcast
        self.lost = 0

    def cancel(self) -> None:
        """Read no more."""
        self.discard()
        self._forget()

    def _forget(self) -> None:
        self._broadcast.forget(self)

    def _pass_on_demand(self, wanted: bool) -> None:
        if wanted:
            self.held_back = False
            self._broadcast.settle()
