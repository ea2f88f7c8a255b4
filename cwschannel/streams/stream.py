"""Streams: what is read, one item after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

__all__ = ["Stream", "StreamSubscription"]

T_co = TypeVar("T_co", covariant=True)


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

    Breaking out of ``async for`` leaves the stream usable: a later ``async for`` goes on where this one ended.
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
