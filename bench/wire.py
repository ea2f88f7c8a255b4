"""WebSocket without a library: bytes counted, not looked at. Both constant peers are this, and so is the raw limit.

Who knows how many messages of which size come needs no parser. ``GET /TAKE/GIVE/SIZE/TEXT`` says it: the server sends GIVE
messages for every TAKE. The first frame is looked at, so that no candidate is measured that sends something else.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import os
import re
import struct
from dataclasses import dataclass
from typing import Any

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
REQUEST = (
    "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
)
MASK = b"\x37\xfa\x21\x3d"
MASKED_XXXX = bytes(byte ^ ord("x") for byte in MASK)
CLOSE = b"\x88\x02\x03\xe8"
MASKED_CLOSE = b"\x88\x82" + MASK + bytes((0x03 ^ MASK[0], 0xE8 ^ MASK[1]))
SHARED = memoryview(bytearray(262144))  # what every connection of this process reads into


@dataclass(frozen=True)
class Work:
    """One exchange: the client sends ``take`` messages of ``size`` bytes, the server ``give`` of that size.

    If both are as many, the server answers each message at once; else it answers when it has ``take``. With ``fan`` it
    answers each message to all its connections.
    """

    size: int
    take: int = 1
    give: int = 1
    text: bool = False
    fan: bool = False

    @property
    def path(self) -> str:
        return f"/{self.take}/{self.give}/{self.size}/{int(self.text)}"

    def message(self) -> str | bytes:
        return sample(self.size, self.text)


@functools.lru_cache(8)
def sample(size: int, text: bool) -> str | bytes:
    """Return a message, always the same, so that making it is not measured."""
    return "x" * size if text else os.urandom(size)


def header(size: int, text: bool, masked: bool) -> bytes:
    opcode, bit = 0x81 if text else 0x82, 0x80 if masked else 0
    if size < 126:
        return bytes((opcode, bit | size))
    if size < 65536:
        return struct.pack("!BBH", opcode, bit | 126, size)
    return struct.pack("!BBQ", opcode, bit | 127, size)


@functools.lru_cache(32)
def frames(size: int, count: int, text: bool, masked: bool) -> bytes:
    """Return ``count`` messages that say xxx."""
    payload = MASK + (MASKED_XXXX * (size // 4 + 1))[:size] if masked else b"x" * size
    return (header(size, text, masked) + payload) * count


def request(path: str) -> bytes:
    return (REQUEST % (path, base64.b64encode(os.urandom(16)).decode())).encode()


def answer(head: bytes) -> tuple[bytes, Work]:
    """Return the answer to an opening handshake, and what its path asks for."""
    path = re.match(rb"GET /(\d+)/(\d+)/(\d+)/([01]) ", head)
    key = re.search(rb"sec-websocket-key: *(\S+)", head, re.IGNORECASE)
    assert path, head
    assert key, head
    take, give, size, text = map(int, path.groups())
    return ANSWER % base64.b64encode(hashlib.sha1(key[1] + GUID).digest()), Work(size, take, give, bool(text))


class Wire(asyncio.BufferedProtocol):
    """One connection that counts the bytes of each exchange."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.expected = 0  # bytes of an exchange; 0 while the opening handshake lasts
        self.missing = 0
        self.start = b""  # what each frame begins with
        self.checked = False
        self.head = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return SHARED

    def buffer_updated(self, nbytes: int) -> None:
        if not self.checked:
            self.first_bytes(nbytes)
            return
        missing = self.missing - nbytes
        if missing > 0:
            if self.missing == self.expected and SHARED[0] == 0x88:
                self.closing()
            else:
                self.missing = missing
        elif missing == 0:
            self.missing = self.expected
            self.complete()
        else:
            self.fail(f"{-missing} bytes more than {self.expected}")

    def first_bytes(self, nbytes: int) -> None:
        if not self.expected:
            self.head += SHARED[:nbytes]
            if self.head.endswith(b"\r\n\r\n"):
                self.opened(self.head)
        elif SHARED[0] == 0x88:
            self.closing()
        elif nbytes >= len(self.start) and bytes(SHARED[: len(self.start)]) != self.start:
            self.fail(f"a frame begins with {bytes(SHARED[: len(self.start)])!r}, not {self.start!r}")
        else:
            self.checked = True
            self.buffer_updated(nbytes)

    def expect(self, work: Work, count: int, masked: bool) -> None:
        self.start = header(work.size, work.text, masked)
        self.expected = self.missing = count * (len(self.start) + (4 if masked else 0) + work.size)

    def fail(self, why: str) -> None:
        self.transport.abort()
        raise RuntimeError(f"the candidate sends something else: {why}")

    def opened(self, head: bytes) -> None: ...

    def complete(self) -> None: ...

    def closing(self) -> None: ...


class ServerWire(Wire):
    """The server's end."""

    def opened(self, head: bytes) -> None:
        start, work = answer(head)
        self.expect(work, work.take, masked=True)
        self.answer = frames(work.size, work.give, work.text, False)
        self.transport.write(start)

    def complete(self) -> None:
        self.transport.write(self.answer)

    def closing(self) -> None:
        self.transport.write(CLOSE)
        self.transport.close()


class ClientWire(Wire):
    """The client's end."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work
        self.burst = frames(work.size, work.take, work.text, True)
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    async def connect(self, port: int, ssl: Any = None) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port, ssl=ssl)
        await self.ready

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.write(request(self.work.path))

    def opened(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 101 "):
            self.fail(f"{head[:40]!r}")
        self.expect(self.work, self.work.give, masked=False)
        self.ready.set_result(None)

    async def run(self, trips: int) -> None:
        self.trips = trips
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport.write(self.burst)
        await self.done

    def complete(self) -> None:
        self.trips -= 1
        if self.trips:
            self.transport.write(self.burst)
        else:
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.ready, getattr(self, "done", self.ready)):
            if not future.done():
                future.set_exception(error or ConnectionResetError("the connection was lost"))
                future.exception()  # it is no news to the loop
        self.lost.set_result(None)

    def closing(self) -> None:
        self.transport.close()

    async def close(self) -> None:
        if not self.lost.done():
            self.transport.write(MASKED_CLOSE)
            await self.lost
