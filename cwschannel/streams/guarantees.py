"""Channels that keep the guarantees of ``StreamChannel``, over a stream and a sink that need not."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from ..exceptions import ChannelStateError
from .channel import StreamChannel
from .completion import Completion, Repeatable
from .loops import current_loop
from .relayed import LazyStream, RelayedStream
from .sink import ForwardingSink, RuledSink, StreamSink
from .stream import Stream

__all__ = ["CloseGuaranteeChannel", "GuaranteeChannel"]

T = TypeVar("T")


class GuaranteeChannel(StreamChannel[T]):
    """What ``StreamChannel.with_guarantees`` returns."""

    __slots__ = ("_guard", "_relay")

    def __init__(self, stream: Stream[T], sink: StreamSink[T], *, allow_sink_errors: bool = True) -> None:
        self._relay: RelayedStream[T] = RelayedStream(current_loop(), self._stream_ended)
        self._guard: _GuaranteeSink[T] = _GuaranteeSink(sink, self._relay, allow_sink_errors)
        super().__init__(self._relay, self._guard)
        self._relay.connect(stream)

    def disconnect(self) -> Awaitable[None]:
        """End the stream, close the sink below and drop what is added from now on, as if the other end had closed."""
        return self._guard.disconnect()

    def _stream_ended(self) -> None:
        self._guard.end()


class _GuaranteeSink(RuledSink[T]):
    """Closes together with the stream."""

    __slots__ = ("_allow_errors", "_closing", "_disconnected", "_gone", "_inner", "_relay")

    def __init__(self, inner: StreamSink[T], relay: RelayedStream[T], allow_errors: bool) -> None:
        super().__init__()
        self._inner = inner
        self._relay = relay
        self._allow_errors = allow_errors
        self._gone = False
        self._disconnected = Completion()
        self._closing: Awaitable[None] | None = None

    @property
    def done(self) -> Awaitable[None]:
        return Repeatable(self._wait_until_done)

    async def _wait_until_done(self) -> None:
        await self._disconnected
        if self._closing is not None:
            await self._closing

    async def wait_for_room(self) -> None:
        if not self._gone:
            await self._inner.wait_for_room()

    def flush(self) -> Awaitable[None]:
        return self._inner.flush()

    def disconnect(self) -> Awaitable[None]:
        """End the stream, and the sink with it."""
        if not self._relay.finished:
            self._relay.disconnect()
        self.end()
        return self.done

    def end(self, error: Exception | None = None) -> None:
        """Close the sink below, and take nothing more."""
        if not self._gone:
            self._gone = True
            self._close_inner()
            self._disconnected.finish(error)

    def _is_gone(self) -> bool:
        return self._gone

    def _put(self, item: T) -> None:
        if not self._gone:
            self._inner.add(item)

    def _put_error(self, error: Exception) -> None:
        if self._allow_errors:
            self._inner.add_error(error)
        else:
            self._relay.disconnect()
            self.end(error)

    def close(self, *arguments: Any, **options: Any) -> Awaitable[None]:
        self._check_not_adding()
        if not self._gone:
            self._close_inner(*arguments, **options)  # which may refuse them
            self._gone = True
            self._disconnected.finish()
        self._closed = True
        self._relay.disconnect()
        return self.done

    def _finish(self) -> None:
        self.close()

    def _close_inner(self, *arguments: Any, **options: Any) -> None:
        try:
            self._closing = self._inner.close(*arguments, **options)
        except ChannelStateError:  # it is in the middle of an add_stream() that is not ours: its owner will close it
            pass


class CloseGuaranteeChannel(StreamChannel[T]):
    """What ``StreamChannel.with_close_guarantee`` returns: nothing comes out of its stream once its sink was closed."""

    __slots__ = ()

    def __init__(self, stream: Stream[T], sink: StreamSink[T]) -> None:
        # One that is a relay already can be ended without another.
        relay: LazyStream[T] = stream if isinstance(stream, LazyStream) else LazyStream(stream)
        super().__init__(relay, _CloseGuaranteeSink(sink, relay))


class _CloseGuaranteeSink(ForwardingSink[T]):
    """Ends the stream when it is closed."""

    __slots__ = ("_relay",)

    def __init__(self, inner: StreamSink[T], relay: LazyStream[T]) -> None:
        super().__init__(inner)
        self._relay = relay

    def close(self, *arguments: Any, **options: Any) -> Awaitable[None]:
        done = super().close(*arguments, **options)
        self._relay.disconnect()
        return done
