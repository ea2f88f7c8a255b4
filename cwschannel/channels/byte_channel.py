"""The WebSocket channel over any channel of bytes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..kernels.frame import BytesLike
from ..protocol.connection import Connection, ConnectionOptions
from ..streams.channel import StreamChannel
from ..streams.loops import AnyLoop, Handle, current_loop
from ..streams.stream import StreamSubscription
from .io_protocol import IOProtocol, read_buffer
from .outbox import BufferLimits
from .protocol_channel import ProtocolWebSocketChannel
from .transport_bytes import as_bytes

__all__ = ["ByteWebSocketChannel"]

logger = logging.getLogger("cwschannel")


class ByteWebSocketChannel(ProtocolWebSocketChannel):
    """What ``WebSocketChannel(byte_channel)`` makes; its arguments are documented there."""

    __slots__ = ("__weakref__",)

    def __init__(
        self,
        byte_channel: StreamChannel[Any],
        protocol: str | None = None,
        ping_interval: float | None = None,
        server_side: bool = True,
        *,
        ping_timeout: float | None = 20,
        close_timeout: float = 10,
        max_message_size: int | None = 2**20,
        max_fragments: int | None = 4096,
        read_limit: int = 2**20,
        write_limit: int = 2**16,
        max_buffered: int = 2**26,
    ) -> None:
        if not isinstance(byte_channel, StreamChannel):
            raise TypeError(
                f"a WebSocketChannel runs over a StreamChannel of bytes, not {type(byte_channel).__name__}; "
                f"cwschannel.byte_channels makes one of a transport, a socket, streams or a process"
            )
        options = ConnectionOptions(
            max_message_size=max_message_size,
            max_fragments=max_fragments,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
        )
        limits = BufferLimits(read_limit=read_limit, write_limit=write_limit, max_buffered=max_buffered)
        loop = current_loop()
        io = IOProtocol(loop, limits)
        super().__init__(io, protocol)
        transport = _ChannelTransport(byte_channel, loop, io)
        io.attach(transport, Connection(read_buffer(), client_side=not server_side, options=options))


class _ChannelTransport(asyncio.Transport):
    """Makes a channel of bytes look like a transport, as far as ``IOProtocol`` looks."""

    def __init__(self, channel: StreamChannel[Any], loop: AnyLoop, io: IOProtocol) -> None:
        super().__init__()
        self._channel = channel
        self._loop = loop
        self._io = io
        self._limit = 2**16
        self._unflushed = 0  # bytes added to the channel's sink of which it is not known that they were handed on
        self._closing = False
        self._lost = False
        # What waits for the sink; kept here, because the loop keeps no tasks.
        self._flushing: Handle | None = None
        self._ending: Handle | None = None
        self._subscription: StreamSubscription = channel.stream.listen(self._take, on_error=self._fail, on_done=self._end)

    # What comes in.

    def _take(self, chunk: BytesLike) -> None:
        if self._lost:
            return
        try:
            data = as_bytes(chunk)
        except TypeError as error:
            self._fail(error)
        else:
            self._io.feed(data)

    def _fail(self, error: Exception) -> None:
        if not self._closing:  # bytes are missing here, so that nothing after them can be understood
            self._drop(error)

    def _end(self) -> None:
        if not self._closing:  # closing the sink ends the stream, and then the sink may still have something to hand on
            self._io.eof_received()

    def pause_reading(self) -> None:
        self._subscription.pause()

    def resume_reading(self) -> None:
        self._subscription.resume()

    # What goes out.

    def write(self, data: bytes) -> None:  # type: ignore[override]
        if self._closing:
            return
        try:
            self._channel.sink.add(data)
        except Exception as error:  # it was closed from elsewhere, say, or has a smaller bound
            self._closing = True
            self._loop.call_soon(self._drop, error)
            return
        self._unflushed += len(data)
        if self._unflushed > self._limit:
            self._wait_for_flush()

    def get_write_buffer_size(self) -> int:
        return self._unflushed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._limit = 2**16 if high is None else high
        if self._unflushed > self._limit:
            self._wait_for_flush()

    def _wait_for_flush(self) -> None:
        if self._flushing is None and not self._lost:
            self._io.pause_writing()
            self._flushing = self._loop.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self._unflushed > self._limit // 4:
                size = self._unflushed
                await self._channel.sink.flush()
                if self._lost:
                    return
                self._unflushed -= size
        except Exception as error:
            self._flushing = None
            self._drop(error)
            return
        self._flushing = None
        self._io.resume_writing()

    # The end.

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return hasattr(self._channel, "write_eof")

    def write_eof(self) -> None:
        self._channel.write_eof()  # type: ignore[attr-defined]

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._ending = self._loop.create_task(self._wait_for_sink())

    async def _wait_for_sink(self) -> None:
        error: Exception | None = None
        try:
            await self._channel.sink.close()
        except Exception as problem:
            error = problem
        self._ending = None
        self._drop(error)

    def abort(self) -> None:
        if not self._lost:
            self._closing = True
            self._abort_channel()
            self._loop.call_soon(self._drop, None)

    def _drop(self, error: Exception | None) -> None:
        """Leave nothing of it, whatever the channel below was doing."""
        if self._lost:
            return
        self._lost = self._closing = True
        self._unflushed = 0
        for task in (self._flushing, self._ending):
            if task is not None:
                task.cancel()
        self._subscription.cancel()
        self._abort_channel()
        self._io.connection_lost(error)

    def _abort_channel(self) -> None:
        abort = getattr(self._channel, "abort", self._channel.sink.close)
        try:
            abort()
        except Exception as problem:  # somebody else uses its sink, say
            logger.debug("the channel below could not be closed: %s", problem)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass  # it has one from the beginning

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        ask = getattr(self._channel, "get_extra_info", None)
        return default if ask is None else ask(name, default)
