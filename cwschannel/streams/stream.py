"""Streams: what is read, one item after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, overload

from ..exceptions import ChannelStateError

if TYPE_CHECKING:
    from .broadcast import BroadcastStream

__all__ = ["Stream", "StreamSubscription"]

_NO_DEFAULT: Final = object()

T_co = TypeVar("T_co", covariant=True)
S = TypeVar("S")


class StreamSubscription(ABC):
    """A listener's hold on a stream."""

    __slots__ = ()

    @abstractmethod
    def pause(self) -> None:
        """Stop the callbacks. What comes meanwhile waits, and the source is told to stop. Calls add up."""

    @abstractmethod
    def resume(self) -> None:
        """Take back one ``pause``."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop listening for good. The source is not closed by it (guarantee 5 of ``StreamChannel``)."""


class Stream(ABC, Generic[T_co]):
    """Items that come one after the other, for one reader: either ``async for``, or the callbacks of ``listen``.

    An error can stand among the items: ``listen`` hands it to ``on_error``, ``async for`` raises it. Breaking out of
    ``async for``, also by such an error, leaves the stream usable: a later ``async for`` goes on where this one ended.
    """

    __slots__ = ()

    @abstractmethod
    def listen(
        self,
        on_data: Callable[[T_co], object] | None = None,
        *,
        on_error: Callable[[Exception], object] | None = None,
        on_done: Callable[[], object] | None = None,
        cancel_on_error: bool = False,
    ) -> StreamSubscription:
        """Have a plain function called for each item.

        Args:
            on_data: called with each item, in order.
            on_error: called with an error of the stream. Without it, errors are logged under ``cwschannel``.
            on_done: called once, after the last item.
            cancel_on_error: whether the first error cancels the subscription.

        Raises:
            ChannelStateError: the stream has a reader already.
            TypeError: a callback is a coroutine function, which nobody would await.
        """

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[T_co]: ...

    # Reading all at once, or a little.

    @overload
    async def first(self) -> T_co: ...

    @overload
    async def first(self, default: S) -> T_co | S: ...

    async def first(self, default: Any = _NO_DEFAULT) -> Any:
        """Return the next item; what comes after it can still be read. Without one, return ``default``, if there is one.

        Raises:
            ChannelStateError: the stream ended without another item, and there is no default.
        """
        async for item in self:
            return item
        if default is _NO_DEFAULT:
            raise ChannelStateError("the stream ended without another item, and first() was given no default")
        return default

    async def to_list(self) -> list[T_co]:
        """Return all items until the end, as far as memory reaches."""
        return [item async for item in self]

    async def drain(self) -> None:
        """Read until the end, and throw everything away. Raises the stream's error, if it ends with one."""
        async for _ in self:
            pass

    # Streams made of this one. They are its reader: it has no other then.

    def map(self, function: Callable[[T_co], S]) -> Stream[S]:
        """Return a stream of ``function(item)``. What it raises is an error among the items."""

        def convert(item: Any) -> tuple[S]:
            return (function(item),)

        return self.expand(convert)

    def where(self, test: Callable[[T_co], object]) -> Stream[T_co]:
        """Return a stream of the items for which ``test(item)`` is true."""

        def select(item: Any) -> tuple[Any, ...]:
            return (item,) if test(item) else ()

        return self.expand(select)

    def expand(self, function: Callable[[T_co], Iterable[S]]) -> Stream[S]:
        """Return a stream of all that ``function(item)`` returns: none, one or several items for each."""
        from .relayed import ExpandedStream

        return ExpandedStream(self, function)

    def cast(self, kind: type[S]) -> Stream[S]:
        """Return a stream of the same items, each of which is a ``kind`` or makes a ``TypeError`` in its place."""
        return self.map(checker(kind))

    def broadcast(
        self, *, max_waiting: int = 1024, on_slow: Literal["wait", "drop", "disconnect"] = "wait"
    ) -> BroadcastStream[T_co]:
        """Return a stream that any number may read; each reads all that comes from when it began.

        Args:
            max_waiting: how many items may wait for one reader.
            on_slow: what is done about a reader for whom more wait: ``"wait"`` pauses this stream, and with it all readers;
                ``"drop"`` drops its oldest items; ``"disconnect"`` ends its stream with ``BackPressureError``.
        """
        from .broadcast import BroadcastStream

        return BroadcastStream(self, max_waiting, on_slow)


def checker(kind: type[S]) -> Callable[[Any], S]:
    """Return a function that returns its argument, once it is a ``kind``."""
    isinstance(None, kind)  # what is no kind of thing, such as list[int], raises now and not for each item
    name = getattr(kind, "__name__", kind)

    def check(item: Any) -> S:
        if not isinstance(item, kind):
            raise TypeError(f"the channel carries {name}, and this is {type(item).__name__}")
        return item

    return check
