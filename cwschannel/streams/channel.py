"""The two together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .sink import MappedSink, StreamSink
from .stream import Stream, checker

if TYPE_CHECKING:
    from .transformer import StreamChannelTransformer, StreamSinkTransformer, StreamTransformer

__all__ = ["DelegatingStreamChannel", "StreamChannel"]

S = TypeVar("S")
T = TypeVar("T")


class StreamChannel(Generic[T]):
    """A two-way channel: a ``stream`` of what the other end adds, and a ``sink`` for what goes to the other end.

    Whatever kind of channel it is, these six hold:

    1. The stream has one listener.
    2. Closing the sink makes the stream end before it emits anything more.
    3. After the stream ends, the sink closes by itself and drops what is added, silently, until ``close()`` is called.
    4. If the stream ends before it has a listener, the sink drops silently too.
    5. Cancelling the stream's subscription does not close the channel, which still notices the other end closing.
    6. The sink either forwards errors to the other end, or closes on the first one and hands it to ``sink.done``.

    ``StreamChannel(stream, sink)`` makes a channel of a stream and a sink that keep them already; where they do not,
    ``with_guarantees`` sees to it.
    """

    __slots__ = ("_sink", "_stream")

    def __init__(self, stream: Stream[T], sink: StreamSink[T]) -> None:
        self._stream = stream
        self._sink = sink

    @property
    def stream(self) -> Stream[T]:
        """What comes from the other end."""
        return self._stream

    @property
    def sink(self) -> StreamSink[T]:
        """What goes to the other end."""
        return self._sink

    def __aiter__(self) -> AsyncIterator[T]:
        return aiter(self.stream)

    @staticmethod
    def with_guarantees(stream: Stream[T], sink: StreamSink[T], *, allow_sink_errors: bool = True) -> StreamChannel[T]:
        """Return a channel that keeps the six guarantees, whatever ``stream`` and ``sink`` do.

        Args:
            stream: read from now on, so that its end is noticed; paused while too much of it is unread.
            sink: written to.
            allow_sink_errors: whether ``add_error`` forwards the error to ``sink``; otherwise it closes the channel.
        """
        from .guarantees import GuaranteeChannel

        return GuaranteeChannel(stream, sink, allow_sink_errors=allow_sink_errors)

    @staticmethod
    def with_close_guarantee(stream: Stream[T], sink: StreamSink[T]) -> StreamChannel[T]:
        """Return a channel that keeps guarantee 2, where ``stream`` and ``sink`` keep the others.

        That is so of a stream and a sink that were made of a channel's: what waits in between must not come out after
        ``close()``. ``stream`` is not read before somebody reads, and ``close`` takes what that of ``sink`` takes.
        """
        from .guarantees import CloseGuaranteeChannel

        return CloseGuaranteeChannel(stream, sink)

    # Channels made of this one, which is used through them from then on.

    def transform(self, transformer: StreamChannelTransformer[S, T]) -> StreamChannel[S]:
        """Return a channel that carries, by way of this one, what the transformer makes of it."""
        return transformer.bind(self)

    def transform_stream(self, transformer: StreamTransformer[T, T]) -> StreamChannel[T]:
        """Return a channel with another stream: ``transformer.bind(stream)``."""
        return self.change_stream(transformer.bind)

    def transform_sink(self, transformer: StreamSinkTransformer[T, T]) -> StreamChannel[T]:
        """Return a channel with another sink: ``transformer.bind(sink)``."""
        return self.change_sink(transformer.bind)

    def change_stream(self, change: Callable[[Stream[T]], Stream[T]]) -> StreamChannel[T]:
        """Return a channel with another stream: ``change(stream)``."""
        return StreamChannel.with_close_guarantee(change(self.stream), self.sink)

    def change_sink(self, change: Callable[[StreamSink[T]], StreamSink[T]]) -> StreamChannel[T]:
        """Return a channel with another sink: ``change(sink)``."""
        return StreamChannel.with_close_guarantee(self.stream, change(self.sink))

    def cast(self, kind: type[S]) -> StreamChannel[S]:
        """Return a channel of ``kind``, for which type checkers take it then.

        What comes and is no ``kind`` makes a ``TypeError`` in its place; what is added and is none raises it. For channels
        of your own types see ``StreamChannelTransformer.from_codec``, ``json_document``, ``msgspec_document`` and
        ``pydantic_document``.
        """
        return StreamChannel.with_close_guarantee(self.stream.cast(kind), MappedSink(self.sink, checker(kind)))

    def pipe(self, other: StreamChannel[T]) -> Awaitable[None]:
        """Connect two channels: what comes from one is added to the other, both ways, until both are closed.

        Takes effect at once. Each side is only read as fast as the other takes it. Errors of a stream go to the other sink;
        the end of a stream closes the other sink.

        Returns:
            what ends when both directions have.
        """
        from .piping import pipe

        return pipe(self, other)

    def _close_like(self, other: StreamChannel[Any]) -> Awaitable[None]:
        """Close the sink, because the stream of ``other`` has ended."""
        return self.sink.close()


class DelegatingStreamChannel(StreamChannel[T]):
    """A channel that shows nothing of another one but ``stream`` and ``sink``; to be subclassed."""

    __slots__ = ()

    def __init__(self, inner: StreamChannel[T]) -> None:
        super().__init__(inner.stream, inner.sink)
