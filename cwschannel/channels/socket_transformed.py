"""What ``transform`` makes of a blocking channel: one that carries documents in place of messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ..status import NORMAL_CLOSURE
from ..streams.transformer import CodecTransformer

if TYPE_CHECKING:
    from .socket_channel import SocketSink, SocketWebSocketChannel

__all__ = ["TransformedSocketChannel", "TransformedSocketSink", "TransformedSocketStream"]

S = TypeVar("S")
T = TypeVar("T")


class TransformedSocketStream(Generic[T]):
    """What comes, decoded, for one reader: ``for document in channel.stream``.

    What cannot be decoded raises, in its place, what ``decode`` raises. The next one is there then: go on with another
    ``for``, or with ``recv``.
    """

    __slots__ = ("_below", "_decode")

    def __init__(self, below: Iterator[Any], decode: Callable[[Any], T]) -> None:
        self._below = below
        self._decode = decode

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self._decode(next(self._below))


class TransformedSocketSink(Generic[T]):
    """What goes, encoded then by ``encode``. What that raises, ``add`` raises, and nothing is sent."""

    __slots__ = ("_below", "_encode")

    def __init__(self, below: SocketSink | TransformedSocketSink[Any], encode: Callable[[T], Any]) -> None:
        self._below = below
        self._encode = encode

    def add(self, item: T) -> None:
        """Send an item. Raises what ``SocketSink.add`` raises."""
        self._below.add(self._encode(item))

    def add_stream(self, items: Iterable[T]) -> None:
        """Send each item of an iterable. Nothing else can be added meanwhile."""
        self._below.add_stream(map(self._encode, items))

    def add_error(self, error: Exception) -> None:
        """Close the connection with 1011, as an error cannot be sent. ``close`` and ``wait_done`` will raise it."""
        self._below.add_error(error)

    def flush(self) -> None:
        """See ``SocketSink.flush``."""
        self._below.flush()

    def close(self, code: int | None = None, reason: str = "") -> None:
        """See ``SocketSink.close``."""
        self._below.close(code, reason)

    @property
    def done(self) -> bool:
        """Whether the connection is over, and nothing is left of it."""
        return self._below.done

    def wait_done(self, timeout: float | None = None) -> bool:
        """See ``SocketSink.wait_done``."""
        return self._below.wait_done(timeout)


class TransformedSocketChannel(Generic[T]):
    """A blocking channel that carries ``T`` over a WebSocket: ``channel.transform(json_document)``.

    It is the channel below it in other clothes: the same threads may do the same with it, and closing one closes both.

    Attributes:
        stream: of what comes, decoded.
        sink: for what goes, encoded then.
    """

    __slots__ = ("_below", "sink", "stream")

    def __init__(
        self, below: SocketWebSocketChannel | TransformedSocketChannel[Any], transformer: CodecTransformer[T, Any]
    ) -> None:
        if not isinstance(transformer, CodecTransformer):
            raise TypeError(
                f"a blocking channel can be transformed item by item, by what StreamChannelTransformer.from_codec() makes "
                f"(json_document is one), and not by {type(transformer).__name__}, which is for streams of an event loop"
            )
        self._below = below
        self.stream: TransformedSocketStream[T] = TransformedSocketStream(iter(below.stream), transformer.decode)
        self.sink: TransformedSocketSink[T] = TransformedSocketSink(below.sink, transformer.encode)

    @property
    def close_code(self) -> int | None:
        """See ``SocketWebSocketChannel.close_code``."""
        return self._below.close_code

    @property
    def close_reason(self) -> str | None:
        """See ``SocketWebSocketChannel.close_reason``."""
        return self._below.close_reason

    def transform(self, transformer: CodecTransformer[S, T]) -> TransformedSocketChannel[S]:
        """Return a channel that carries, by way of this one, what the transformer makes of it."""
        return TransformedSocketChannel(self, transformer)

    def send(self, item: T) -> None:
        """Send an item. Raises what ``encode`` and ``SocketWebSocketChannel.send`` raise."""
        self._below.send(self.sink._encode(item))

    def recv(self, timeout: float | None = None) -> T:
        """Return the next item. Raises what ``decode`` and ``SocketWebSocketChannel.recv`` raise.

        Args:
            timeout: seconds; ``None`` for no limit; 0 for one that is there already.
        """
        return self.stream._decode(self._below.recv(timeout))

    def close(self, code: int | None = NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the channel: ``sink.close``, with 1000 unless told otherwise."""
        self._below.close(code, reason)

    def abort(self) -> None:
        """Drop the connection now, without a closing handshake. The peer sees 1006."""
        self._below.abort()

    def __iter__(self) -> Iterator[T]:
        return self.stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._below.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._below!r}>"
