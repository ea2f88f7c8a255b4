"""What turns streams, sinks and channels into others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .channel import StreamChannel
from .sink import MappedSink, StreamSink
from .stream import Stream

__all__ = ["CodecTransformer", "StreamChannelTransformer", "StreamSinkTransformer", "StreamTransformer"]

S = TypeVar("S")
T = TypeVar("T")


class StreamTransformer(Generic[T, S]):
    """Turns a stream of ``T`` into one of ``S``: ``StreamTransformer(lambda stream: stream.map(decode))``."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Stream[T]], Stream[S]]) -> None:
        self._function = function

    def bind(self, stream: Stream[T]) -> Stream[S]:
        """Return the stream that ``stream`` is turned into."""
        return self._function(stream)


class StreamSinkTransformer(Generic[S, T]):
    """Turns a sink of ``T`` into one that takes ``S``: ``StreamSinkTransformer.mapping(encode)``."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[StreamSink[T]], StreamSink[S]]) -> None:
        self._function = function

    @classmethod
    def mapping(cls, function: Callable[[S], T]) -> StreamSinkTransformer[S, T]:
        """Make one that adds ``function(item)`` for each item."""
        return cls(lambda sink: MappedSink(sink, function))

    def bind(self, sink: StreamSink[T]) -> StreamSink[S]:
        """Return the sink that ``sink`` is turned into."""
        return self._function(sink)


class StreamChannelTransformer(Generic[S, T]):
    """Turns a channel that carries ``T`` into one for ``S``.

    Args:
        stream_transformer: for what comes: from ``T`` to ``S``.
        sink_transformer: for what goes: takes ``S``, adds ``T``.
    """

    __slots__ = ("_sink_transformer", "_stream_transformer")

    def __init__(self, stream_transformer: StreamTransformer[T, S], sink_transformer: StreamSinkTransformer[S, T]) -> None:
        self._stream_transformer = stream_transformer
        self._sink_transformer = sink_transformer

    @staticmethod
    def from_codec(encode: Callable[[S], T], decode: Callable[[T], S]) -> CodecTransformer[S, T]:
        """Make one of two functions, which can transform blocking channels, too.

        Args:
            encode: for what is added. What it raises, ``add`` raises, and nothing is sent.
            decode: for what comes. What it raises is an error of the stream, in the place of the item.
        """
        return CodecTransformer(encode, decode)

    def bind(self, channel: StreamChannel[T]) -> StreamChannel[S]:
        """Return the channel that ``channel`` is turned into; ``channel.transform(transformer)`` is the same.

        ``close`` of its sink takes what that of ``channel`` takes: code and reason, over a WebSocket.
        """
        stream: Any = self._stream_transformer.bind(channel.stream)
        return StreamChannel.with_close_guarantee(stream, self._sink_transformer.bind(channel.sink))


class CodecTransformer(StreamChannelTransformer[S, T]):
    """One that turns each item into another; made by ``StreamChannelTransformer.from_codec``.

    Attributes:
        encode: for what is added.
        decode: for what comes.
    """

    __slots__ = ("decode", "encode")

    def __init__(self, encode: Callable[[S], T], decode: Callable[[T], S]) -> None:
        super().__init__(StreamTransformer(lambda stream: stream.map(decode)), StreamSinkTransformer.mapping(encode))
        self.encode = encode
        self.decode = decode
