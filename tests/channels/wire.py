"""Peers made of bare sockets. Shares no code with the package, so that it can break the rules."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the sample of RFC 6455 section 1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Received(NamedTuple):
    """A frame as it was on the wire, its payload unmasked."""

    opcode: int
    payload: bytes
    fin: bool = True
    masked: bool = False

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = False, rsv: int = 0) -> bytes:
    """Encode a frame; all of RFC 6455 section 5.2 in a few lines."""
    size = len(payload)
    data = bytes([(0x80 if fin else 0) | rsv | opcode])
    bit = 0x80 if masked else 0
    if size < 126:
        data += bytes([bit | size])
    elif size < 65536:
        data += bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        data += bytes([bit | 127]) + size.to_bytes(8, "big")
    if masked:
        key = b"\x12\x34\x56\x78"
        data += key
        payload = xor(payload, key)
    return data + payload


def close_frame(code: int | None = None, reason: str = "", *, masked: bool = False) -> bytes:
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode(), masked=masked)


def xor(data: bytes, key: bytes) -> bytes:
    keys = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(keys, "big")).to_bytes(len(data), "big")


def accept_value(key: str) -> str:
    return base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


class Wire:
    """One end of a TCP connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.head = ""
        self._data = bytearray()
        self._flooded = 0
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.sock, data)

    async def _more(self) -> None:
        data = await self._loop.sock_recv(self.sock, 65536)
        if not data:
            raise EOFError
        self._data += data

    async def read(self, size: int) -> bytes:
        while len(self._data) < size:
            await self._more()
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    async def read_head(self) -> str:
        """Everything up to the blank line."""
        while b"\r\n\r\n" not in self._data:
            await self._more()
        return (await self.read(self._data.index(b"\r\n\r\n") + 4)).decode("latin-1")

    async def read_all(self) -> bytes:
        """Everything until the peer closes or resets the connection."""
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                await self._more()
        return bytes(self._data)

    async def read_frame(self) -> Received:
        start, second = await self.read(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self.read(2 if size == 126 else 8), "big")
        key = await self.read(4) if second & 0x80 else b""
        payload = await self.read(size)
        return Received(start & 0x0F, xor(payload, key) if key else payload, bool(start & 0x80), bool(key))

    async def accept(self, *, headers: str = "", then: bytes = b"") -> str:
        """Answer the opening handshake as a server; ``then`` goes out in the same segment. Returns the request."""
        self.head = await self.read_head()
        await self.send(switching(header(self.head, "Sec-WebSocket-Key"), headers) + then)
        return self.head

    async def upgrade(self, request: bytes = REQUEST, *, then: bytes = b"") -> str:
        """Do the opening handshake as a client. Returns the answer."""
        await self.send(request + then)
        self.head = await self.read_head()
        assert " 101 " in self.head, self.head
        assert header(self.head, "Sec-WebSocket-Accept") == ACCEPT
        return self.head

    async def flood(self, data: bytes, *, quiet: float = 0.4, most: int = 2**26) -> int:
        """Send it over and over until nothing more is taken for a while. Returns how many bytes were.

        Doing it again goes on where it ended.
        """
        sent = self._flooded
        most += sent
        patience = self._loop.time() + quiet
        while sent < most and self._loop.time() < patience:
            try:
                sent += self.sock.send(data[sent % len(data) :])
            except BlockingIOError:
                await asyncio.sleep(0.005)
            else:
                patience = self._loop.time() + quiet
                await asyncio.sleep(0)
        before, self._flooded = self._flooded, sent
        return sent - before

    def reset(self) -> None:
        """Close with a reset, as a process that was killed may."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()


def switching(key: str, headers: str = "") -> bytes:
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_value(key)}\r\n{headers}\r\n"
    ).encode()


def header(head: str, name: str) -> str:
    """The value of a header, which must be there once."""
    values = [line.partition(":")[2].strip() for line in head.split("\r\n") if line.lower().startswith(f"{name.lower()}:")]
    assert len(values) == 1, f"{name} stands {len(values)} times in {head!r}"
    return values[0]


def bound_socket(*, receive_buffer: int | None = None) -> socket.socket:
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


@contextlib.asynccontextmanager
async def raw_client(port: int, *, buffers: int | None = None) -> AsyncIterator[Wire]:
    """A bare socket that is connected to a port. ``buffers`` is the size of the system's buffers for it."""
    with socket.socket() as sock:
        if buffers is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        yield Wire(sock)


@contextlib.asynccontextmanager
async def raw_server(script: Callable[[Wire], Awaitable[Any]], *, buffers: int | None = None) -> AsyncIterator[str]:
    """Runs a script for each connection. Yields the URI. A failure of a script fails the test."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    async def run(sock: socket.socket) -> None:
        with sock, contextlib.suppress(EOFError, ConnectionError):
            sock.setblocking(False)
            if buffers is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
            await script(Wire(sock))

    def accept() -> None:
        with contextlib.suppress(BlockingIOError):
            sock, _ = listening.accept()
            accepted.callback(sock.close)
            tasks.append(loop.create_task(run(sock)))

    with bound_socket(receive_buffer=buffers) as listening, contextlib.ExitStack() as accepted:
        listening.listen()
        loop.add_reader(listening, accept)
        try:
            yield f"ws://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            loop.remove_reader(listening)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
