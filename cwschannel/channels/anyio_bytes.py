"""A channel of bytes over an anyio byte stream, and what stands in for an event loop where asyncio is not what runs."""

from __future__ import annotations

import heapq
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc
import anyio.lowlevel

from ..exceptions import BackPressureError
from ..streams.completion import Completion
from ..streams.controlled import ControlledStream
from ..streams.loops import current_loop, foreign_loop
from .transport_bytes import MOST_CHUNKS, READ_SIZE, ByteChannel, ByteSink

if TYPE_CHECKING:
    from anyio.abc import ByteStream, TaskGroup

__all__ = ["anyio_byte_channel"]

logger = logging.getLogger("cwschannel")

_WRITE_LIMIT: Final = 65536


@asynccontextmanager
async def anyio_byte_channel(stream: ByteStream, max_buffered: int) -> AsyncIterator[ByteChannel]:
    """See ``byte_channels.from_anyio``."""
    before = foreign_loop.get()
    async with anyio.create_task_group() as group:
        loop = AnyioLoop(group)
        foreign_loop.set(loop)  # where asyncio runs, its own loop comes first
        channel = _AnyioByteChannel(stream, max_buffered)
        group.start_soon(loop.run)
        group.start_soon(channel.read)
        group.start_soon(channel.write)
        try:
            yield channel
        finally:
            channel.leave()
            foreign_loop.set(before)
            group.cancel_scope.cancel()
            await anyio.aclose_forcefully(stream)


class _Call:
    """A call that was asked for."""

    __slots__ = ("_arguments", "_callback", "_context", "cancelled")

    def __init__(self, callback: Callable[..., object], arguments: tuple[Any, ...], context: Context | None) -> None:
        self._callback = callback
        self._arguments = arguments
        self._context = context
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def run(self) -> None:
        if self._context is None:
            self._callback(*self._arguments)
        else:
            self._context.run(self._callback, *self._arguments)


class _Signal:
    """What is a ``Future`` elsewhere."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def done(self) -> bool:
        return self._event.is_set()

    def set_result(self, result: None, /) -> None:
        self._event.set()

    def __await__(self) -> Generator[Any, None, None]:
        return self._event.wait().__await__()


class _Waiter:
    """What is ``streams.waiter.Waiter`` elsewhere."""

    __slots__ = ("_event", "waiting")

    def __init__(self) -> None:
        self._event = anyio.Event()
        self.waiting = False

    async def wait(self) -> None:
        self._event = anyio.Event()
        self.waiting = True
        try:
            await self._event.wait()
        finally:
            self.waiting = False

    def wake(self, at_once: bool = False) -> None:
        self._event.set()


class AnyioLoop:
    """As much of an event loop as streams and channels ask for, in a task group. See ``streams.loops.AnyLoop``."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._ready: deque[_Call] = deque()
        self._later: list[tuple[float, int, _Call]] = []
        self._numbers = itertools.count()
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Make the calls, until it is cancelled."""
        while True:
            now = anyio.current_time()
            while self._later and self._later[0][0] <= now:
                self._ready.append(heapq.heappop(self._later)[2])
            for _ in range(len(self._ready)):  # those that are added meanwhile wait for the next pass
                call = self._ready.popleft()
                if not call.cancelled:
                    try:
                        call.run()
                    except Exception as error:
                        self.call_exception_handler({"message": "a callback raised an error", "exception": error})
            if self._ready:
                await anyio.lowlevel.checkpoint()
                continue
            self._changed = anyio.Event()
            with anyio.move_on_after(self._later[0][0] - anyio.current_time() if self._later else None):
                await self._changed.wait()

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> _Call:
        call = _Call(callback, args, context)
        self._ready.append(call)
        self._changed.set()
        return call

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> _Call:
        call = _Call(callback, args, context)
        heapq.heappush(self._later, (anyio.current_time() + delay, next(self._numbers), call))
        self._changed.set()
        return call

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        logger.error(context["message"], exc_info=context.get("exception"))

    def create_task(self, coro: Coroutine[Any, Any, Any]) -> anyio.CancelScope:
        scope = anyio.CancelScope()

        async def run() -> None:
            with scope:
                try:
                    await coro
                except Exception as error:
                    self.call_exception_handler({"message": "a task raised an error", "exception": error})

        self._group.start_soon(run)
        return scope

    def create_future(self) -> _Signal:
        return _Signal()

    def make_waiter(self) -> _Waiter:
        return _Waiter()


class _AnyioByteChannel(ByteChannel):
    __slots__ = ("_anyio_sink", "_anyio_stream", "_below", "_demand", "_reading", "_wanted", "_writing")

    def __init__(self, below: ByteStream, max_buffered: int) -> None:
        self._below = below
        self._anyio_stream: ControlledStream[bytes] = ControlledStream(current_loop(), self._on_demand)
        self._anyio_sink = _AnyioSink(self._anyio_stream, max_buffered)
        self._reading = anyio.CancelScope()
        self._writing = anyio.CancelScope()
        self._wanted = True
        self._demand = anyio.Event()
        super().__init__(self._anyio_stream, self._anyio_sink)

    def abort(self) -> None:
        self._anyio_sink.gone()
        self._reading.cancel()
        self._writing.cancel()

    def write_eof(self) -> None:
        self._anyio_sink.write_eof()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        attribute = {"sockname": "local_address", "peername": "remote_address", "socket": "raw_socket"}.get(name)
        if attribute is None:
            return default
        return self._below.extra(getattr(anyio.abc.SocketAttribute, attribute), default)  # noqa: S610

    # For the context manager.

    async def read(self) -> None:
        """Read until the end; run in a task of its own."""
        with self._reading:
            try:
                await self._read()
            except anyio.EndOfStream:
                pass
            except Exception as error:
                self._lose(ConnectionResetError("the stream below was lost"), error)
        self._anyio_stream.finish()
        self._anyio_sink.end()

    async def _read(self) -> None:
        stream = self._anyio_stream
        while True:
            chunk = await self._below.receive(READ_SIZE)
            stream.deliver((chunk,))
            if len(stream.queue) > MOST_CHUNKS:
                stream.held_back = True
                self._wanted = False
            while not self._wanted:
                self._demand = anyio.Event()
                await self._demand.wait()

    async def write(self) -> None:
        """Write until it is closed; run in a task of its own."""
        sink = self._anyio_sink
        try:
            with self._writing:
                await self._write()
                await self._below.aclose()
        except Exception as error:
            self._lose(ConnectionResetError("the stream below takes nothing any more"), error)
        finally:
            sink.gone()
        if self._writing.cancel_called:
            await anyio.aclose_forcefully(self._below)

    async def _write(self) -> None:
        sink = self._anyio_sink
        while True:
            data = await sink.next_data()
            if data:
                await self._below.send(data)
                sink.written(len(data))
            elif sink.closing:
                return
            else:
                try:
                    await self._below.send_eof()
                except NotImplementedError:  # TLS has no half that could be closed alone
                    return
                sink.eof_sent = True

    def leave(self) -> None:
        """Nothing of it can be used any more."""
        self._lose(ConnectionAbortedError("the 'async with' of the stream below was left"), None)
        self._anyio_stream.finish()
        self._anyio_sink.gone()

    def _lose(self, error: Exception, cause: Exception | None) -> None:
        """Tell the reader, unless the sink was closed here."""
        if not self._anyio_sink.closing:
            error.__cause__ = cause
            self._anyio_stream.deliver_error(error)

    def _on_demand(self, wanted: bool) -> None:
        if wanted:
            self._anyio_stream.held_back = False
        self._wanted = wanted
        if wanted:
            self._demand.set()


class _AnyioSink(ByteSink):
    __slots__ = (
        "_changed",
        "_done",
        "_eof_wanted",
        "_max_buffered",
        "_pending",
        "_room",
        "_size",
        "_stream",
        "_written",
        "closing",
        "eof_sent",
    )

    def __init__(self, stream: ControlledStream[bytes], max_buffered: int) -> None:
        super().__init__()
        self._stream = stream
        self._max_buffered = max_buffered
        self._pending: list[bytes] = []
        self._size = 0  # bytes that were added and not written
        self._changed = anyio.Event()
        self._room: Completion | None = None
        self._written: Completion | None = None
        self._done = Completion()
        self._eof_wanted = False
        self.eof_sent = False
        self.closing = False

    @property
    def done(self) -> Awaitable[None]:
        return self._done

    async def wait_for_room(self) -> None:
        while self._size > _WRITE_LIMIT and not self._is_gone():
            if self._room is None:
                self._room = Completion()
            await self._room

    def flush(self) -> Awaitable[None]:
        if self._written is None:
            self._written = Completion()
        written = self._written
        self.written(0)
        return written

    # For the task that writes.

    async def next_data(self) -> bytes:
        """Wait for something to write; nothing means that it was all: ``closing`` tells whether what comes matters."""
        while not self._pending and not self.closing and (self.eof_sent or not self._eof_wanted):
            self._changed = anyio.Event()
            await self._changed.wait()
        data = b"".join(self._pending)
        self._pending.clear()
        return data

    def written(self, size: int) -> None:
        """So many bytes were."""
        self._size = max(0, self._size - size)
        if self._size <= _WRITE_LIMIT and self._room is not None:
            self._room.finish()
            self._room = None
        if not self._size and self._written is not None:
            self._written.finish()
            self._written = None

    def write_eof(self) -> None:
        """Send no more once everything is written."""
        self._eof_wanted = True
        self._changed.set()

    def end(self) -> None:
        """Close once everything is written."""
        self.closing = True
        self._changed.set()

    def gone(self) -> None:
        """Nothing will be written any more."""
        self.end()
        self._pending.clear()
        self.written(self._size)
        self._done.finish(self._error)

    def _is_gone(self) -> bool:
        return self.closing or self._eof_wanted

    def _write(self, data: bytes) -> None:
        if self._size > self._max_buffered:
            raise BackPressureError(
                f"{self._size} bytes wait to be sent, more than max_buffered ({self._max_buffered}): await wait_for_room()"
            )
        self._pending.append(data)
        self._size += len(data)
        self._changed.set()

    def _finish(self) -> None:
        self.end()
        self._stream.discard()
