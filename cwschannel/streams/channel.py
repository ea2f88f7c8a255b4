"""The two together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from .sink import StreamSink
from .stream import Stream

__all__ = ["StreamChannel"]

T = TypeVar("T")


class StreamChannel(ABC, Generic[T]):
    """A two-way channel: a ``stream`` of what the other end adds, and a ``sink`` for what goes to the other end.

    Whatever kind of channel it is, these six hold:

    1. The stream has one listener.
    2. Closing the sink makes the stream end before it emits anything more.
    3. After the stream ends, the sink closes by itself and drops what is added, silently, until ``close()`` is called.
    4. If the stream ends before it has a listener, the sink drops silently too.
    5. Cancelling the stream's subscription does not close the channel, which still notices the other end closing.
    6. The sink either forwards errors to the other end, or closes on the first one and hands it to ``sink.done``.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def stream(self) -> Stream[T]:
        """What comes from the other end."""

    @property
    @abstractmethod
    def sink(self) -> StreamSink[T]:
        """What goes to the other end."""
