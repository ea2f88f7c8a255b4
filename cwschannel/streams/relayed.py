"""A stream that hands on what another one brings: the same items, or what a function makes of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final, TypeVar

from .controlled import ControlledStream
from .loops import AnyLoop, current_loop
from .stream import Stream, StreamSubscription

__all__ = ["ExpandedStream", "LazyStream", "RelayedStream"]

S = TypeVar("S")
T = TypeVar("T")

# With more items than this unread, the source is paused. It has a queue, and a bound, of its own.
_MOST_WAITING: Final = 64


class RelayedStream(ControlledStream[T]):
    """Hands on what the stream brings that ``connect`` is given, and pauses it while nobody reads.

    Args:
        loop: in whose callbacks the source calls back.
        on_end: called when the source has ended, before the reader can know it.
    """

    __slots__ = ("_is_paused", "_on_end", "_source")

    def __init__(self, loop: AnyLoop, on_end: Callable[[], object] | None = None) -> None:
        super().__init__(loop, self._pass_on_demand, on_cancel=self._pass_on_cancel)
        self._on_end = on_end
        self._is_paused = False
        self._source: StreamSubscription | None = None

    def connect(self, source: Stream[Any]) -> None:
        """Begin to read the source.

        Raises:
            ChannelStateError: it has a reader already.
        """
        self._source = source.listen(self._take, on_error=self.deliver_error, on_done=self._end)
        if self._is_paused:
            self._source.pause()

    def disconnect(self) -> None:
        """End now, without what is queued, and read the source no more."""
        if self._source is not None:
            self._source.cancel()
        self.discard()

    def deliver_error(self, error: Exception, *, at_once: bool = False) -> None:
        super().deliver_error(error, at_once=at_once)
        self._check_room()

    def _take(self, item: Any) -> None:
        self.deliver((item,), at_once=True)
        self._check_room()

    def _check_room(self) -> None:
        if len(self.queue) > _MOST_WAITING and not self.held_back:
            self.held_back = True
            self._pass_on_demand(False)

    def _end(self) -> None:
        if self._on_end is not None:
            self._on_end()
        self.finish(at_once=True)

    def _pass_on_demand(self, wanted: bool) -> None:
        if wanted:
            self.held_back = False
        if wanted is not self._is_paused:
            return
        self._is_paused = not wanted
        if self._source is not None:
            if wanted:
                self._source.resume()
            else:
                self._source.pause()

    def _pass_on_cancel(self) -> None:
        """The listener has cancelled. What the source still brings is thrown away, so that its end is noticed."""


class LazyStream(RelayedStream[T]):
    """Hands on what ``source`` brings. It begins to read it when its own first reader comes."""

    __slots__ = ("_origin",)

    def __init__(self, source: Stream[Any]) -> None:
        super().__init__(current_loop())
        self._origin: Stream[Any] | None = source

    def listen(
        self,
        on_data: Callable[[T], object] | None = None,
        *,
        on_error: Callable[[Exception], object] | None = None,
        on_done: Callable[[], object] | None = None,
        cancel_on_error: bool = False,
    ) -> StreamSubscription:
        self._start()
        return super().listen(on_data, on_error=on_error, on_done=on_done, cancel_on_error=cancel_on_error)

    def __aiter__(self) -> AsyncIterator[T]:
        self._start()
        return super().__aiter__()

    def _start(self) -> None:
        origin = self._origin
        if origin is not None and not self.finished:
            self.connect(origin)
            self._origin = None

    def _pass_on_cancel(self) -> None:
        if self._source is not None:
            self._source.cancel()


class ExpandedStream(LazyStream[S]):
    """For each item of ``source``, all items that ``function`` makes of it."""

    __slots__ = ("_function",)

    def __init__(self, source: Stream[T], function: Callable[[T], Iterable[S]]) -> None:
        super().__init__(source)
        self._function: Callable[[Any], Iterable[S]] = function

    def _take(self, item: Any) -> None:
        try:
            made = tuple(self._function(item))
        except Exception as error:
            self.deliver_error(error, at_once=True)
            return
        for one in made:
            super()._take(one)
