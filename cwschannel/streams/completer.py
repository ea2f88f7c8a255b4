"""A channel that can be used before there is one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, Awaitable, Iterable
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
        channel: to be used as if it were the real one. If the real one refuses something of what was kept, an item of the
            wrong type or a code that may not be sent, that error closes it, as if it had been given to ``add_error``, and
            ends ``done``.
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
                completer.set_channel(await future)
            except Exception as error:
                completer.set_error(error)
            except BaseException:
                completer.set_error(ChannelStateError("there will be no channel: what it was awaited from was cancelled"))
                raise

        completer._late.task = current_loop().create_task(complete())
        return completer.channel

    def set_channel(self, channel: StreamChannel[T]) -> None:
        """Connect ``channel`` with a real one.

        Raises:
            ChannelStateError: that was done before; or somebody reads ``channel.stream``, and there is no real one still.
        """
        self._check_open()
        if not self._late.is_closed:
            self._relay.connect(channel.stream)
        self._completed = True
        self._late.connect(channel.sink)

    def set_error(self, error: Exception) -> None:
        """There will be no real channel: the stream raises ``error`` and ends, and what was added is dropped.

        Raises:
            ChannelStateError: it was completed before.
        """
        self._check_open()
        self._completed = True
        self._relay.deliver_error(error)
        self._relay.finish()
        self._late.connect(None)

    def _check_open(self) -> None:
        if self._completed:
            raise ChannelStateError("the channel was completed already: set_channel() and set_error() can be called once")


class _LateSink(RuledSink[T]):
    """Keeps what is added until there is a sink to add it to."""

    __slots__ = ("_connected", "_error", "_inner", "_kept", "_relay", "_to_close", "task")

    def __init__(self, relay: RelayedStream[T]) -> None:
        super().__init__()
        self._relay = relay
        self._inner: StreamSink[T] | None = None
        self._connected = Completion()
        self._kept: list[T | Failure] = []
        self._error: Exception | None = None  # of what was kept, and could not be added
        self._to_close: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self.task: object = None  # of from_future; kept here, because the loop keeps none

    def connect(self, inner: StreamSink[T] | None) -> None:
        """Add what was kept to the real sink, if there is one."""
        if inner is not None:
            try:
                self._hand_over(inner)
            except Exception as error:  # of whoever added it, and is gone
                self._error = error
                with contextlib.suppress(BackPressureError, ChannelStateError):  # no room for it either; or it is closed
                    inner.add_error(error)
                with contextlib.suppress(ChannelStateError):  # somebody else uses it
                    inner.close()
        self._inner = inner
        self._kept.clear()
        self._connected.finish()

    def _hand_over(self, inner: StreamSink[T]) -> None:
        for item in self._kept:  # and what is added meanwhile, by whoever is called back within this
            if type(item) is Failure:
                inner.add_error(item.error)
            else:
                inner.add(item)  # type: ignore[arg-type]
        if self._to_close is not None:
            arguments, options = self._to_close
            inner.close(*arguments, **options)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def done(self) -> Awaitable[None]:
        return Repeatable(self._wait_until_done)

    async def add_stream(self, items: AsyncIterable[T] | Iterable[T]) -> None:
        self.check_free()
        self._adding = True
        try:
            await self._connected
            if self._inner is not None:
                await self._inner.add_stream(items)  # which knows when to stop
        finally:
            self._adding = False

    async def wait_for_room(self) -> None:
        await self._connected
        if self._inner is not None:
            await self._inner.wait_for_room()

    def flush(self) -> Awaitable[None]:
        return Repeatable(self._wait_for_flush)

    def close(self, *arguments: Any, **options: Any) -> Awaitable[None]:
        self._check_not_adding()
        if self._inner is not None:
            self._inner.close(*arguments, **options)
        elif self._to_close is None:
            self._to_close = (arguments, options)
        self._closed = True
        self._finish()
        return self.done

    async def _wait_until_done(self) -> None:
        await self._connected
        if self._inner is not None:
            await self._inner.done
        if self._error is not None:
            raise self._error

    async def _wait_for_flush(self) -> None:
        await self._connected
        if self._inner is not None:
            await self._inner.flush()

    def _finish(self) -> None:
        self._relay.disconnect()

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
