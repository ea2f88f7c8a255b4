"""A channel of bytes over an asyncio transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, cast

from ..streams.channel import StreamChannel
from ..streams.completion import Completion, Repeatable
from ..streams.controlled import ControlledStream
from ..streams.sink import RuledSink
from .io_protocol import read_buffer
from .outbox import BufferLimits, Outbox

__all__ = ["ByteChannel", "TransportByteChannel", "TransportProtocol"]

# A read brings 256 KiB at most, so that about 4 MiB wait for a reader before the system holds back the rest.
_MOST_CHUNKS: Final = 16


class ByteChannel(StreamChannel[bytes]):
    """A channel of bytes that can be dropped, and asked about what is below it."""

    __slots__ = ()

    def abort(self) -> None:
        """Drop it now, without what is on its way."""
        raise NotImplementedError

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of what is below, such as ``"peername"`` (see ``asyncio.BaseTransport``)."""
        return default


class TransportProtocol(asyncio.BufferedProtocol):
    """What a transport calls back."""

    def __init__(self, limits: BufferLimits) -> None:
        loop = asyncio.get_running_loop()
        self.stream: ControlledStream[bytes] = ControlledStream(loop, self._on_demand)
        self.outbox = Outbox(loop, limits)
        self.closed = Completion()
        self._buffer = read_buffer()
        self.transport: asyncio.Transport | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.outbox.attach(self.transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer.view

    def buffer_updated(self, nbytes: int) -> None:
        self.outbox.burst = 0
        self.take(self._buffer.view[:nbytes].tobytes())

    def take(self, chunk: bytes) -> None:
        """Hand on what came."""
        stream = self.stream
        if chunk:
            stream.deliver((chunk,), at_once=True)
        if len(stream.queue) > _MOST_CHUNKS and not stream.held_back:
            stream.held_back = True
            self._on_demand(False)

    def eof_received(self) -> None:
        self.stream.finish(at_once=True)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.stream.deliver_error(exc)
        self.stream.finish(at_once=True)
        self.outbox.discard()
        self.closed.finish()

    def pause_writing(self) -> None:
        self.outbox.pause()

    def resume_writing(self) -> None:
        self.outbox.resume()

    def _on_demand(self, wanted: bool) -> None:
        if wanted:
            self.stream.held_back = False
        transport = self.transport
        if transport is None or wanted is not self._paused or transport.is_closing():
            return
        self._paused = not wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()


class TransportByteChannel(ByteChannel):
    __slots__ = ("_protocol",)

    def __init__(self, protocol: TransportProtocol) -> None:
        super().__init__(protocol.stream, _TransportSink(protocol))
        self._protocol = protocol

    def abort(self) -> None:
        if not self._protocol.closed.done():  # asyncio's abort() cannot bear being called then
            assert self._protocol.transport is not None
            self._protocol.transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        assert self._protocol.transport is not None
        return self._protocol.transport.get_extra_info(name, default)


class _TransportSink(RuledSink[bytes]):
    __slots__ = ("_error", "_protocol")

    def __init__(self, protocol: TransportProtocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._error: Exception | None = None

    @property
    def done(self) -> Awaitable[None]:
        return Repeatable(self._wait_until_done)

    async def _wait_until_done(self) -> None:
        await self._protocol.closed
        if self._error is not None:
            raise self._error

    async def wait_for_room(self) -> None:
        await self._protocol.outbox.drain()

    def flush(self) -> Awaitable[None]:
        flushed = self._protocol.outbox.flush()
        self._protocol.outbox.start_flush()
        return flushed

    def _is_gone(self) -> bool:
        assert self._protocol.transport is not None
        return self._protocol.stream.finished or self._protocol.transport.is_closing()

    def _put(self, item: bytes) -> None:
        if not self._is_gone():
            outbox = self._protocol.outbox
            if outbox.blocked is not None:
                outbox.check_room()
            outbox.write(item)

    def _put_error(self, error: Exception) -> None:
        self._error = error
        self._closed = True
        self._finish()

    def _finish(self) -> None:
        protocol = self._protocol
        protocol.stream.discard()
        assert protocol.transport is not None
        if not protocol.transport.is_closing():
            protocol.outbox.write_pending()
            protocol.transport.close()
