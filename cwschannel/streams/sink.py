"""Sinks: what is written to, one item after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

from ..exceptions import ChannelStateError
from .completion import Completion
from .loops import current_loop

__all__ = ["ForwardingSink", "MappedSink", "RuledSink", "StreamSink"]

S = TypeVar("S")
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

# A sink that has room, or drops, and an iterable that never waits would keep the loop for as long as there are items.
_LONGEST_STRETCH: Final = 64


class StreamSink(ABC, Generic[T_contra]):
    """Takes items in order. ``add`` and ``close`` act at once; what they return may be awaited, or not."""

    __slots__ = ()

    @abstractmethod
    def add(self, item: T_contra) -> None:
        """Hand over an item. Never blocks and never reorders.

        Raises:
            ChannelStateError: after ``close``, or while ``add_stream`` runs.
            BackPressureError: too much waits already.
        """

    @abstractmethod
    def add_error(self, error: Exception) -> None:
        """Hand over an error: it is forwarded, or closes the sink and ends ``done`` (guarantee 6 of ``StreamChannel``)."""

    @abstractmethod
    async def add_stream(self, items: AsyncIterable[T_contra] | Iterable[T_contra]) -> None:
        """Hand over all items of an iterable, each as soon as there is room for it.

        It ends with the iterable; or, at the next item, once the sink is closed from elsewhere. What the iterable raises is
        raised.
        """

    @abstractmethod
    async def wait_for_room(self) -> None:
        """Wait while so much is on its way that a sender had better wait. Ends at once if nobody will take it any more."""

    @abstractmethod
    def flush(self) -> Awaitable[None]:
        """Wait until everything was handed on (to the operating system, or to a reader), or can no longer be."""

    @abstractmethod
    def close(self, *arguments: Any, **options: Any) -> Awaitable[None]:
        """Close the sink after what was added. The result is ``done``.

        What it takes beyond that is the affair of each kind: code and reason, if a WebSocket is what is closed in the end.
        """

    @property
    @abstractmethod
    def done(self) -> Awaitable[None]:
        """Ends when the sink is closed, for whatever reason; raises the error that ``add_error`` was given."""


class RuledSink(StreamSink[T_contra]):
    """The rules that all sinks share: nothing is added after ``close``, nor beside a running ``add_stream``."""

    __slots__ = ("_adding", "_closed")

    def __init__(self) -> None:
        self._adding = False
        self._closed = False

    def add(self, item: T_contra) -> None:
        if self._closed or self._adding:
            self.check_free()
        self._put(item)

    def add_error(self, error: Exception) -> None:
        self.check_free()
        if not self._is_gone():
            self._put_error(error)

    async def add_stream(self, items: AsyncIterable[T_contra] | Iterable[T_contra]) -> None:
        self.check_free()
        self._adding = True
        try:
            await self.wait_for_room()
            iterator = _iterate(items)
            stretch = 0
            while not self._is_gone():
                try:
                    item = await anext(iterator)
                except StopAsyncIteration:
                    break
                self._put(item)
                await self.wait_for_room()
                stretch += 1
                if stretch % _LONGEST_STRETCH == 0:
                    await _let_others_run()
        finally:
            self._adding = False

    def close(self, *arguments: Any, **options: Any) -> Awaitable[None]:
        if arguments or options:
            raise TypeError("this channel has no close codes: close() takes no arguments here")
        self._check_not_adding()
        self._closed = True
        self._finish()
        return self.done

    def check_free(self) -> None:
        """Raise ``ChannelStateError`` if nothing may be added now."""
        if self._adding:
            raise ChannelStateError("add_stream() is running: nothing else can be added before it is done")
        if self._closed:
            raise ChannelStateError("the sink is closed: nothing can be added after close()")

    def _check_not_adding(self) -> None:
        if self._adding:
            raise ChannelStateError("add_stream() is running: the sink can be closed when it is done")

    @abstractmethod
    def _put(self, item: T_contra) -> None:
        """Take an item, or drop it if nobody will read it (guarantees 3 and 4)."""

    @abstractmethod
    def _put_error(self, error: Exception) -> None:
        """Take an error. Not called when it would be dropped."""

    @abstractmethod
    def _finish(self) -> None:
        """Close. May be called again."""

    @abstractmethod
    def _is_gone(self) -> bool:
        """Whether what is added is dropped."""


class ForwardingSink(StreamSink[T_contra]):
    """Hands everything to another sink."""

    __slots__ = ("_inner",)

    def __init__(self, inner: StreamSink[Any]) -> None:
        self._inner = inner

    def add(self, item: T_contra) -> None:
        self._inner.add(item)

    def add_error(self, error: Exception) -> None:
        self._inner.add_error(error)

    async def add_stream(self, items: AsyncIterable[T_contra] | Iterable[T_contra]) -> None:
        await self._inner.add_stream(items)

    async def wait_for_room(self) -> None:
        await self._inner.wait_for_room()

    def flush(self) -> Awaitable[None]:
        return self._inner.flush()

    def close(self, *arguments: Any, **options: Any) -> Awaitable[None]:
        """Close the other sink, with whatever its ``close`` takes: code and reason, if it is a WebSocket's."""
        return self._inner.close(*arguments, **options)

    @property
    def done(self) -> Awaitable[None]:
        return self._inner.done


class MappedSink(ForwardingSink[T_contra]):
    """Hands ``function(item)`` to another sink. What the function raises, ``add`` raises."""

    __slots__ = ("_function",)

    def __init__(self, inner: StreamSink[Any], function: Callable[[T_contra], Any]) -> None:
        super().__init__(inner)
        self._function = function

    def add(self, item: T_contra) -> None:
        self._inner.add(self._function(item))

    async def add_stream(self, items: AsyncIterable[T_contra] | Iterable[T_contra]) -> None:
        await self._inner.add_stream(_Mapped(_iterate(items), self._function))


# Iterators of our own, and no async generators: one of those that is left in the middle lives on until a task has closed it.


def _iterate(items: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
    """Go through an iterable of either kind."""
    return aiter(items) if isinstance(items, AsyncIterable) else _Each(iter(items))


async def _let_others_run() -> None:
    passed = Completion()
    current_loop().call_soon(passed.finish)
    await passed


class _Each(AsyncIterator[T]):
    __slots__ = ("_iterator",)

    def __init__(self, iterator: Iterator[T]) -> None:
        self._iterator = iterator

    async def __anext__(self) -> T:
        for item in self._iterator:
            return item
        raise StopAsyncIteration


class _Mapped(AsyncIterator[S]):
    __slots__ = ("_function", "_iterator")

    def __init__(self, iterator: AsyncIterator[T], function: Callable[[T], S]) -> None:
        self._iterator: AsyncIterator[Any] = iterator
        self._function: Callable[[Any], S] = function

    async def __anext__(self) -> S:
        return self._function(await anext(self._iterator))
