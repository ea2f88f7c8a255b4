"""Channels of bytes: what they have in common, and the one over an asyncio transport."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable
from typing import Any, Final, cast

from ..kernels.frame import BytesLike
from ..streams.channel import StreamChannel
from ..streams.completion import Completion, Repeatable
from ..streams.controlled import ControlledStream
from ..streams.sink import RuledSink
from .io_protocol import read_buffer
from .outbox import BufferLimits, Outbox, half_close

__all__ = ["ByteChannel", "ByteSink", "TransportByteChannel", "TransportProtocol", "as_bytes", "two_way_transport"]

# A read brings 256 KiB at most, so that about 4 MiB wait for a reader before the system holds back the rest.
MOST_CHUNKS: Final = 16
# What adaptors that say how much they want to read say, in bytes.
READ_SIZE: Final = 65536


def as_bytes(chunk: BytesLike) -> bytes:
    """Return what a channel of bytes carries, as it is now.

    Raises:
        TypeError: it is not bytes-like.
    """
    if type(chunk) is bytes:
        return chunk
    try:
        return memoryview(chunk).tobytes()
    except TypeError:
        raise TypeError(f"a channel of bytes carries bytes-like objects, and this is {type(chunk).__name__}") from None


def two_way_transport(existing: object) -> asyncio.Transport:
    """Return the transport that is meant, the argument itself or that of a ``StreamWriter``, once it is not paused any more.

    Raises:
        TypeError: it is neither, or goes one way only.
    """
    transport: Any = existing.transport if isinstance(existing, asyncio.StreamWriter) else existing
    try:
        transport.resume_reading()
        if callable(transport.set_protocol) and callable(transport.write):  # uvloop's are no subclasses of asyncio's
            return cast("asyncio.Transport", transport)
    except (AttributeError, NotImplementedError):
        pass
    kind = type(existing).__name__
    raise TypeError(f"what is needed is an asyncio transport to read and write, or a StreamWriter, and not {kind}")


class ByteChannel(StreamChannel[bytes]):
    """A channel of bytes that can be dropped, and asked about what is below it."""

    __slots__ = ()

    def abort(self) -> None:
        """Drop it now, without what is on its way."""
        raise NotImplementedError

    def write_eof(self) -> None:
        """Send no more and read on, where what is below can do that; else close it. Called again it changes nothing."""
        self.sink.close()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of what is below, such as ``"peername"`` (see ``asyncio.BaseTransport``)."""
        return default


class ByteSink(RuledSink[bytes]):
    """What the sinks of channels of bytes share: anything bytes-like is taken, and an error closes the sink."""

    __slots__ = ("_error",)

    def __init__(self) -> None:
        super().__init__()
        self._error: Exception | None = None

    def _put(self, item: BytesLike) -> None:
        data = as_bytes(item)
        if data and not self._is_gone():
            self._write(data)

    def _put_error(self, error: Exception) -> None:
        self._error = error
        self._closed = True
        self._finish()

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Write it, or raise ``BackPressureError``."""


class TransportProtocol(asyncio.BufferedProtocol):
    """What a transport calls back.

    Args:
        limits: of what is on its way out.
        owner: kept until the transport is closed, if somebody has to: a ``StreamWriter`` closes it when it is forgotten.
    """

    def __init__(self, limits: BufferLimits, owner: object = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.stream: ControlledStream[bytes] = ControlledStream(self._loop, self._on_demand, self._end_is_read)
        self.outbox = Outbox(self._loop, limits)
        self.closed = Completion()
        self.transport: asyncio.Transport | None = None
        self._buffer = read_buffer()
        self._owner = owner
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
        if len(stream.queue) > MOST_CHUNKS and not stream.held_back:
            stream.held_back = True
            self._on_demand(False)

    def eof_received(self) -> bool:
        assert self.transport is not None
        self.stream.finish(at_once=True)
        # What came before the end can still be answered by somebody who has not read it yet; TLS cannot wait for that.
        return bool(self.stream.queue) and self.stream.has_reader and self.transport.can_write_eof()

    def _end_is_read(self) -> None:
        self._loop.call_soon(self.close)

    def close(self) -> None:
        """Close the transport, after what was added."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            self.outbox.write_pending()
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.stream.deliver_error(exc, at_once=True)
        self.stream.finish(at_once=True)
        self.outbox.discard()
        self.closed.finish()
        self._owner = None

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
    """What ``from_transport`` and ``from_socket`` make."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: TransportProtocol) -> None:
        super().__init__(protocol.stream, _TransportSink(protocol))
        self._protocol = protocol

    def abort(self) -> None:
        if not self._protocol.closed.done():  # asyncio's abort() cannot bear being called then
            assert self._protocol.transport is not None
            self._protocol.transport.abort()

    def write_eof(self) -> None:
        protocol = self._protocol
        assert protocol.transport is not None
        if not protocol.transport.is_closing():
            protocol.outbox.write_pending()
            half_close(protocol.transport)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        assert self._protocol.transport is not None
        return self._protocol.transport.get_extra_info(name, default)


class _TransportSink(ByteSink):
    __slots__ = ("_protocol",)

    def __init__(self, protocol: TransportProtocol) -> None:
        super().__init__()
        self._protocol = protocol

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
        return self._protocol.transport.is_closing()

    def _write(self, data: bytes) -> None:
        outbox = self._protocol.outbox
        if outbox.blocked is not None:
            outbox.check_room()
        outbox.write(data)

    def _finish(self) -> None:
        self._protocol.stream.discard()
        self._protocol.close()
