"""A channel that can be used before there is one."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, Generic, TypeVar

from ..exceptions import BackPressureError, ChannelStateError
from .channel import StreamChannel
from .completion import Completion, Repeatable
from .controlled import Failure
from .loops import current_loop
from .relayed import RelayedStream
from .sink import RuledSink, StreamSink

__all__ = ["StreamChannelCompleter"]

T = TypeVar("T")

_MOST_KEPT: Final = 65536


class StreamChannelCompleter(Generic[T]):
    """Gives out a ``channel`` at once, and fills it with a real one later.

    What is added until then is kept, up to 65,536 items, and added to the real channel in order; a ``close`` with whatever
    arguments is handed on after it.

    Attributes:
        channel: to be used as if it were the real one.
    """

    __slots__ = ("_completed", "_late", "_relay", "channel")

    def __init__(self) -> None:
        self._relay: RelayedStream[T] = RelayedStream(current_loop())
        self._late: _LateSink[T] = _LateSink(self._relay)
        self._completed = False
        self.channel: StreamChannel[T] = StreamChannel(self._relay, self._late)

    @classmethod
    def from_future(cls, future: Awaitable[StreamChannel[T]]) -> StreamChannel[T]:
        """Return the channel that ``future`` will give; if it raises instead, so does the stream."""
        completer = cls()

        async def complete() -> None:
            try:
                channel = await future
            except Exception as error:
                completer.set_error(error)
            else:
                completer.set_channel(channel)

        completer._late.task = current_loop().create_task(complete())
        return completer.channel

    def set_channel(self, channel: StreamChannel[T]) -> None:
        """Connect ``channel`` with a real one.

        Raises:
            ChannelStateError: that was done before.
        """
        self._complete()
        if not self._late.is_closed:
            self._relay.connect(channel.stream)
        self._late.connect(channel.sink)

    def set_error(self, error: Exception) -> None:
        """There will be no real channel: the stream raises ``error`` and ends, and what was added is dropped.

        Raises:
            ChannelStateError: it was completed before.
        """
        self._complete()
        self._relay.deliver_error(error)
        self._relay.finish()
        self._late.connect(None)

    def _complete(self) -> None:
        if self._completed:
            raise ChannelStateError("the channel was completed already: set_channel() and set_error() can be called once")
        self._completed = True


class _LateSink(RuledSink[T]):
    """Keeps what is added until there is a sink to add it to."""

    __slots__ = ("_connected", "_inner", "_kept", "_relay", "_to_close", "task")

    def __init__(self, relay: RelayedStream[T]) -> None:
        super().__init__()
        self._relay = relay
        self._inner: StreamSink[T] | None = None
        self._connected = Completion()
        self._kept: list[T | Failure] = []
        self._to_close: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self.task: object = None  # of from_future; kept here, because the loop keeps none

    def connect(self, inner: StreamSink[T] | None) -> None:
        """Add what was kept to the real sink, if there is one."""
        self._inner = inner
        kept, self._kept = self._kept, []
        if inner is not None:
            for item in kept:
                if type(item) is Failure:
                    inner.add_error(item.error)
                else:
                    inner.add(item)  # type: ignore[arg-type]
            if self._to_close is not None:
                arguments, options = self._to_close
                inner.close(*arguments, **options)
        self._connected.finish()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def done(self) -> Awaitable[None]:
        return Repeatable(self._wait_until_done)

    async def wait_for_room(self) -> None:
        await self._connected
        if self._inner is not None:
            await self._inner.wait_for_room()

    def flush(self) -> Awaitable[None]:
        return Repeatable(self._wait_for_flush)

    def close(self, *arguments: Any, **options: Any) -> Awaitable[None]:
        self._check_not_adding()
        self._closed = True
        if self._connected.done():
            if self._inner is not None:
                self._inner.close(*arguments, **options)
        elif self._to_close is None:
            self._to_close = (arguments, options)
        self._finish()
        return self.done

    async def _wait_until_done(self) -> None:
        await self._connected
        if self._inner is not None:
            await self._inner.done

    async def _wait_for_flush(self) -> None:
        await self._connected
        if self._inner is not None:
            await self._inner.flush()

    def _finish(self) -> None:
        self._relay.discard()

    def _is_gone(self) -> bool:
        return self._connected.done() and self._inner is None

    def _put(self, item: T) -> None:
        if self._inner is not None:
            self._inner.add(item)
        else:
            self._keep(item)

    def _put_error(self, error: Exception) -> None:
        if self._inner is not None:
            self._inner.add_error(error)
        else:
            self._keep(Failure(error))

    def _keep(self, item: T | Failure) -> None:
        if self._connected.done():
            return
        if len(self._kept) >= _MOST_KEPT:
            raise BackPressureError(
                f"{_MOST_KEPT} items wait for a channel that is not there yet: wait_for_room() waits for it"
            )
        self._kept.append(item)
