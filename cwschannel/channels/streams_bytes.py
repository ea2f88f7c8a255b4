"""A channel of bytes over a pair of asyncio streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ..exceptions import BackPressureError
from ..streams.completion import Completion, Repeatable
from ..streams.controlled import ControlledStream
from .outbox import half_close
from .transport_bytes import MOST_CHUNKS, READ_SIZE, ByteChannel, ByteSink

__all__ = ["StreamsByteChannel"]

_MOST_BUFFERED: Final = 2**26


class StreamsByteChannel(ByteChannel):
    """What ``from_streams`` makes. A task of it reads; all that it uses of the streams is public.

    Args:
        reader: what is read.
        writer: what is written to, and closed.
        at_end: called when nothing more will be read.
    """

    __slots__ = ("_aborted", "_bytes", "_out", "_reader", "_task", "_wanted", "_writer")

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, at_end: Callable[[], object] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self._reader = reader
        self._writer = writer
        self._aborted = False
        self._bytes: ControlledStream[bytes] = ControlledStream(loop, self._on_demand, self._end_is_read)
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._task = loop.create_task(self._read())
        if at_end is not None:
            self._task.add_done_callback(lambda _: at_end())
        self._out = _StreamsSink(writer, self._bytes, self._task)
        super().__init__(self._bytes, self._out)

    def abort(self) -> None:
        self._task.cancel()
        if self._aborted:  # asyncio's pipes cannot bear to be told twice
            return
        self._aborted = True
        try:
            self._writer.transport.abort()
        except AttributeError:  # how asyncio's transports say that they were closed and told so
            pass

    def write_eof(self) -> None:
        half_close(self._writer.transport)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._writer.get_extra_info(name, default)

    async def _read(self) -> None:
        stream = self._bytes
        try:
            while chunk := await self._reader.read(READ_SIZE):
                stream.deliver((chunk,))
                if len(stream.queue) > MOST_CHUNKS:
                    stream.held_back = True
                    self._wanted.clear()
                await self._wanted.wait()
        except Exception as error:  # whatever the reader was lost with
            stream.deliver_error(error)

    def _end_is_read(self) -> None:
        asyncio.get_running_loop().call_soon(self._out.end)

    def _on_demand(self, wanted: bool) -> None:
        if wanted:
            self._bytes.held_back = False
            self._wanted.set()
        else:
            self._wanted.clear()


class _StreamsSink(ByteSink):
    __slots__ = ("_closing", "_done", "_stream", "_task", "_writer")

    def __init__(self, writer: asyncio.StreamWriter, stream: ControlledStream[bytes], task: asyncio.Task[None]) -> None:
        super().__init__()
        self._writer = writer
        self._stream = stream
        self._task = task
        self._done = Completion()
        self._closing: asyncio.Task[None] | None = None
        task.add_done_callback(self._reading_ended)

    @property
    def done(self) -> Awaitable[None]:
        return self._done

    async def wait_for_room(self) -> None:
        if not self._is_gone():
            await self._drain()

    def flush(self) -> Awaitable[None]:
        return Repeatable(self._flush)

    async def _flush(self) -> None:
        # With a limit of 0 the writer has room again when the operating system has taken everything.
        self._limit(0)
        try:
            await self._drain()
        finally:
            self._limit(None)

    def _limit(self, size: int | None) -> None:
        try:
            self._writer.transport.set_write_buffer_limits(size)
        except RuntimeError:  # how uvloop's transports say that they are closed
            pass

    async def _drain(self) -> None:
        try:
            await self._writer.drain()
        except Exception:  # noqa: S110 - it is lost, which the stream tells
            pass

    def _is_gone(self) -> bool:
        return self._writer.is_closing()

    def _write(self, data: bytes) -> None:
        waiting = self._writer.transport.get_write_buffer_size()
        if waiting > _MOST_BUFFERED:
            raise BackPressureError(f"{waiting} bytes wait to be written, more than {_MOST_BUFFERED}: await wait_for_room()")
        self._writer.write(data)

    def _finish(self) -> None:
        self._writer.close()
        self._stream.discard()
        self._task.cancel()

    def _reading_ended(self, task: asyncio.Task[None]) -> None:
        self._stream.finish(at_once=True)
        if task.get_loop().is_closed():
            return
        # What came before the end can still be answered by somebody who has not read it yet.
        if not self._stream.queue or not self._stream.has_reader:
            self.end()

    def end(self) -> None:
        """Close, after what was added."""
        self._writer.close()
        if self._closing is None:
            self._closing = self._task.get_loop().create_task(self._wait_for_end())

    async def _wait_for_end(self) -> None:
        try:
            await self._writer.wait_closed()
        except Exception:  # noqa: S110 - that it was lost is no news
            pass
        finally:
            self._done.finish(self._error)
