"""Sinks: what is written to, one item after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Awaitable, Iterable
from typing import Generic, TypeVar

__all__ = ["StreamSink"]

T_contra = TypeVar("T_contra", contravariant=True)


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
        """Hand over all items of an iterable, each as soon as there is room for it."""

    @abstractmethod
    def flush(self) -> Awaitable[None]:
        """Wait until everything was handed to the operating system, or can no longer be."""

    @abstractmethod
    def close(self) -> Awaitable[None]:
        """Close the sink after what was added. The result is ``done``."""

    @property
    @abstractmethod
    def done(self) -> Awaitable[None]:
        """Ends when the sink is closed, for whatever reason; raises the error that ``add_error`` was given."""
