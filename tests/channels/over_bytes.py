"""WebSockets over every kind of channel of bytes: both ends open, on whatever loop runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from cwschannel import WebSocketChannel, byte_channels

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from cwschannel import StreamChannel
    from cwschannel.channels.byte_channels import ByteChannel


@contextlib.asynccontextmanager
async def memory() -> AsyncIterator[tuple[StreamChannel[bytes], StreamChannel[bytes]]]:
    yield byte_channels.memory_pair()


@contextlib.asynccontextmanager
async def socket_pair() -> AsyncIterator[tuple[ByteChannel, ByteChannel]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    async with dropped(await byte_channels.from_socket(near), await byte_channels.from_socket(far)) as both:
        yield both


@contextlib.asynccontextmanager
async def tcp(
    *, make: str = "streams", server_tls: ssl.SSLContext | None = None, client_tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[ByteChannel, ByteChannel]]:
    """Two ends of TCP or TLS, each a pair of asyncio streams that a channel is made of."""
    accepted: asyncio.Future[ByteChannel] = asyncio.get_running_loop().create_future()

    def channel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> ByteChannel:
        return byte_channels.from_transport(writer) if make == "transport" else byte_channels.from_streams(reader, writer)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(channel(reader, writer))

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=server_tls)
    try:
        port = server.sockets[0].getsockname()[1]
        name = "localhost" if client_tls else None
        near = channel(*await asyncio.open_connection("127.0.0.1", port, ssl=client_tls, server_hostname=name))
        async with dropped(near, await accepted) as both:
            yield both
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def process() -> AsyncIterator[tuple[ByteChannel, ByteChannel]]:
    """This program at one end of two pipes, and a child process, which hands on to a socket, at the other."""
    near_socket, far_socket = socket.socketpair()
    with far_socket, near_socket:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _CHILD, str(far_socket.fileno())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[far_socket.fileno()],
        )
        far_socket.close()
        near_socket.setblocking(False)
        far = await byte_channels.from_socket(near_socket.dup())
        try:
            async with dropped(byte_channels.from_process(child), far) as both:
                near_socket.close()
                yield both
        finally:
            if child.returncode is None:
                # Not child.kill(): it looks whether the child has ended, and asyncio may then miss that it has.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
            await child.wait()


_CHILD = """
import os, socket, sys, threading
sock = socket.socket(fileno=int(sys.argv[1]))
def outward():
    while data := os.read(0, 65536):
        sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
threading.Thread(target=outward, daemon=True).start()
while data := sock.recv(65536):
    while data:
        data = data[os.write(1, data):]
"""


@contextlib.asynccontextmanager
async def dropped(*channels: Any) -> AsyncIterator[Any]:
    """Drops what is still open afterwards."""
    try:
        yield channels
    finally:
        for channel in channels:
            channel.abort()
        async with asyncio.timeout(5):
            for channel in channels:
                with contextlib.suppress(LookupError):  # that a test gave to add_error()
                    await channel.sink.done


KINDS: dict[str, Any] = {
    "memory": memory,
    "socketpair": socket_pair,
    "streams": tcp,
    "transport": lambda: tcp(make="transport"),
    "process": process,
}


@contextlib.asynccontextmanager
async def open_pair(kind: Any = memory, **options: Any) -> AsyncIterator[tuple[WebSocketChannel, WebSocketChannel]]:
    """The client's and the server's end of a WebSocket over a kind of byte channel. What is still open is dropped."""
    async with (KINDS[kind] if isinstance(kind, str) else kind)() as (near, far):
        client = WebSocketChannel(near, server_side=False, **options)
        server = WebSocketChannel(far, server_side=True, **options)
        try:
            yield client, server
        finally:
            client.abort()
            server.abort()
