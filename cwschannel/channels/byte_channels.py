"""Channels of bytes, for a WebSocket to run over: ``WebSocketChannel(await from_socket(sock))``.

Each is a ``StreamChannel[bytes]`` whose chunks are cut wherever the system cut them. ``close()`` of the sink closes what is
below, after everything that was added and for as long as the other end takes to read it; ``abort()`` drops it now. The end
of what comes ends the channel.

What is below, ``from_anyio`` apart, belongs to asyncio.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, cast

from ..kernels.frame import BytesLike
from ..streams.channel import StreamChannel
from ..streams.channel_controller import StreamChannelController
from ..streams.extras import load_extra
from .outbox import BufferLimits
from .streams_bytes import StreamsByteChannel
from .transport_bytes import ByteChannel, TransportByteChannel, TransportProtocol, as_bytes, two_way_transport

if TYPE_CHECKING:
    from anyio.abc import ByteStream

__all__ = [
    "ByteChannel",
    "from_anyio",
    "from_process",
    "from_socket",
    "from_stdio",
    "from_streams",
    "from_transport",
    "memory_pair",
]


def memory_pair() -> tuple[StreamChannel[bytes], StreamChannel[bytes]]:
    """Return the two ends of a channel within this program."""
    controller: StreamChannelController[bytes] = StreamChannelController()
    return controller.local, controller.foreign


def from_transport(
    transport: asyncio.Transport | asyncio.StreamWriter, received: BytesLike = b"", *, max_buffered: int = 2**26
) -> ByteChannel:
    """Make a channel of an open asyncio transport, and take it over from the protocol that it has.

    Args:
        transport: of a socket or TLS, or the writer of a pair of asyncio streams. The channel owns it from now on.
        received: what was read from it already and belongs to the channel. What asyncio's ``StreamReader`` holds of it has
            to be handed over here.
        max_buffered: with more bytes than this on their way out, ``add()`` raises ``BackPressureError``.

    Raises:
        TypeError: it is neither.
    """
    received = as_bytes(received)
    protocol = TransportProtocol(BufferLimits(max_buffered=max_buffered), owner=transport)
    below = two_way_transport(transport)  # whoever had it may have paused it
    protocol.connection_made(below)
    below.set_protocol(protocol)
    protocol.take(received)
    if below.is_closing():  # whoever had it was told, or will be
        asyncio.get_running_loop().call_soon(protocol.connection_lost, None)
    return TransportByteChannel(protocol)


async def from_socket(sock: socket.socket, *, max_buffered: int = 2**26) -> ByteChannel:
    """Make a channel of a connected socket: of TCP, of the Unix domain, or one of a ``socketpair``.

    Args:
        sock: owned by the channel from now on.
        max_buffered: as for ``from_transport``.

    Raises:
        ValueError: the socket is not one of a stream.
    """
    protocol = TransportProtocol(BufferLimits(max_buffered=max_buffered))
    try:
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
    return TransportByteChannel(protocol)


def from_streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> ByteChannel:
    """Make a channel of a pair of asyncio streams, such as ``asyncio.open_connection`` returns. Nobody else uses them then.

    ``from_transport(writer)`` is faster, where the reader is known to hold nothing.
    """
    return StreamsByteChannel(reader, writer)


def from_process(process: asyncio.subprocess.Process) -> ByteChannel:
    """Make a channel of the standard input and output of a child process, which were both opened with ``PIPE``.

    The channel's end closes its standard input, which most programs end at; the process itself is left to its owner. What it
    prints goes into the channel, too.
    """
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process needs stdin=asyncio.subprocess.PIPE and stdout=asyncio.subprocess.PIPE")
    return StreamsByteChannel(process.stdout, process.stdin)


def from_anyio(stream: ByteStream, *, max_buffered: int = 2**26) -> AbstractAsyncContextManager[ByteChannel]:
    """Make a channel of an anyio byte stream, under whatever anyio runs on: this is how trio gets a WebSocket.

    ::

        async with from_anyio(stream) as byte_channel, WebSocketChannel(byte_channel) as channel: ...

    Streams and channels that are made within the ``async with`` run on its task group; none of them outlives it.

    Args:
        stream: owned by the channel from now on.
        max_buffered: as for ``from_transport``.

    Raises:
        ModuleNotFoundError: anyio is not installed.
    """
    load_extra("anyio", "from_anyio()")
    from .anyio_bytes import anyio_byte_channel

    return anyio_byte_channel(stream, max_buffered)


async def from_stdio() -> ByteChannel:
    """Make a channel of this process's own standard input and output, which must be pipes, sockets or a terminal.

    They belong to the channel from then on: nothing may be printed, and closing the channel closes ``sys.stdout``.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    source, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    # A StreamReaderProtocol is also what knows how to wait for a pipe that is written to.
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), sys.stdout
    )
    writer = asyncio.StreamWriter(cast("Any", transport), protocol, None, loop)
    return StreamsByteChannel(reader, writer, at_end=source.close)
