"""One stream for several readers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Literal, TypeVar

from ..exceptions import BackPressureError
from .controlled import ControlledStream
from .loops import current_loop
from .stream import Stream, StreamSubscription

__all__ = ["BroadcastReader", "BroadcastStream"]

T = TypeVar("T")


class BroadcastStream(Stream[T]):
    """What ``Stream.broadcast`` returns. Each ``listen`` and each ``async for`` is a reader of its own.

    The source is read while there are readers. A reader by ``async for`` is one until it is left, by ``break`` for instance;
    ``reader()`` returns one that can be left and gone on with. A stream made of this one, by ``map`` for instance, is a
    reader from its own first item until its end or until its listener cancels.
    """

    __slots__ = ("_ended", "_loop", "_max_waiting", "_on_slow", "_paused", "_shares", "_source", "_subscription")

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
        self._shares: dict[_Share[T], None] = {}  # one for each reader, in the order in which they came

    def reader(self) -> BroadcastReader[T]:
        """Return a stream of what comes from now on, for one reader.

        It is one until it is cancelled, or until nobody has it any more.

        Raises:
            ChannelStateError: the source has another reader.
        """
        return BroadcastReader(self._share())

    def listen(
        self,
        on_data: Callable[[T], object] | None = None,
        *,
        on_error: Callable[[Exception], object] | None = None,
        on_done: Callable[[], object] | None = None,
        cancel_on_error: bool = False,
    ) -> StreamSubscription:
        return self.reader().listen(on_data, on_error=on_error, on_done=on_done, cancel_on_error=cancel_on_error)

    def __aiter__(self) -> AsyncIterator[T]:
        return aiter(self.reader())

    def settle(self) -> None:
        """Pause the source if nobody reads, or if somebody is to be waited for; else let it go on."""
        if self._subscription is None or self._ended:
            return
        paused = not self._shares
        if self._on_slow == "wait":
            paused = paused or any(len(share.queue) >= self._max_waiting for share in self._shares)
        if paused is not self._paused:
            self._paused = paused
            if paused:
                self._subscription.pause()
            else:
                self._subscription.resume()

    def forget(self, share: _Share[T]) -> None:
        """Its reader reads no more."""
        self._shares.pop(share, None)
        self.settle()

    def _share(self) -> _Share[T]:
        share = _Share(self)
        if self._ended:
            share.finish()
            return share
        if self._subscription is None:
            self._subscription = self._source.listen(self._take, on_error=self._take_error, on_done=self._end)
        self._shares[share] = None
        self.settle()
        return share

    def _take(self, item: T) -> None:
        for share in list(self._shares):
            share.deliver((item,), at_once=True)
            if len(share.queue) >= self._max_waiting:
                self._deal_with(share)
        self.settle()

    def _take_error(self, error: Exception) -> None:
        for share in list(self._shares):
            share.deliver_error(error, at_once=True)
            if len(share.queue) >= self._max_waiting:
                self._deal_with(share)
        self.settle()

    def _deal_with(self, share: _Share[T]) -> None:
        """Its reader is slow."""
        share.held_back = True
        if self._on_slow == "drop":
            while len(share.queue) > self._max_waiting:
                share.queue.popleft()
                share.lost += 1
        elif self._on_slow == "disconnect" and len(share.queue) > self._max_waiting:
            share.queue.pop()
            error = f"more than {self._max_waiting} items waited for a reader of a broadcast (max_waiting)"
            share.deliver_error(BackPressureError(error))
            share.finish()
            self.forget(share)

    def _end(self) -> None:
        self._ended = True
        shares, self._shares = self._shares, {}
        for share in shares:
            share.finish(at_once=True)


class _Share(ControlledStream[T]):
    """What waits for one reader."""

    __slots__ = ("_broadcast", "lost")

    def __init__(self, broadcast: BroadcastStream[T]) -> None:
        super().__init__(broadcast._loop, self._pass_on_demand, on_cancel=self._forget)
        self._broadcast = broadcast
        self.lost = 0

    def cancel(self) -> None:
        self.discard()
        self._forget()

    def _forget(self) -> None:
        self._broadcast.forget(self)

    def _pass_on_demand(self, wanted: bool) -> None:
        if wanted:
            self.held_back = False
            self._broadcast.settle()


class BroadcastReader(Stream[T]):
    """A reader of a ``BroadcastStream``.

    The broadcast does not know it, only its share: so that a reader who leaves, and tells nobody, is noticed.
    """

    __slots__ = ("_listening", "_share")

    def __init__(self, share: _Share[T]) -> None:
        self._share = share
        self._listening = False

    @property
    def lost(self) -> int:
        """How many items were dropped because it was too slow for them."""
        return self._share.lost

    def cancel(self) -> None:
        """Read no more. What is unread is thrown away."""
        self._share.cancel()

    def listen(
        self,
        on_data: Callable[[T], object] | None = None,
        *,
        on_error: Callable[[Exception], object] | None = None,
        on_done: Callable[[], object] | None = None,
        cancel_on_error: bool = False,
    ) -> StreamSubscription:
        subscription = self._share.listen(on_data, on_error=on_error, on_done=on_done, cancel_on_error=cancel_on_error)
        self._listening = True  # from now on the callbacks are the reader
        return subscription

    def __aiter__(self) -> AsyncIterator[T]:
        aiter(self._share)
        return self

    async def __anext__(self) -> T:
        return await anext(self._share)

    def __del__(self) -> None:
        if not self._listening:
            try:
                self._share.cancel()
            except RuntimeError:  # the loop is closed
                pass
