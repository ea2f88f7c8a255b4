"""The other end of every exchange: a WebSocket server that is the same for all candidates, and does as little as it can.

It neither unmasks nor keeps what it receives. For every ``take`` messages it sends ``give`` messages, as long as the last
one it took, which it has built before. ``GET /TAKE/GIVE`` says how many. It knows neither control frames nor extensions.

``python bench/peer.py LOOP SECONDS`` prints the port, and runs until its standard input ends or the seconds are over.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import os
import re
import struct
import sys
import threading

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"


@functools.cache
def binary_frames(size: int, count: int) -> bytes:
    """Return ``count`` unmasked binary messages."""
    if size < 126:
        header = bytes((0x82, size))
    elif size < 65536:
        header = struct.pack("!BBH", 0x82, 126, size)
    else:
        header = struct.pack("!BBQ", 0x82, 127, size)
    return (header + bytes(size)) * count


class Peer(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self) -> None:
        self.buffer = bytearray(262144)
        self.view = memoryview(self.buffer)
        self.kept = 0  # bytes at the start of the buffer: a header that did not come whole
        self.missing = 0  # bytes of the payload that did not come whole
        self.size = 0  # of the message received last
        self.taken = 0
        self.take = self.give = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view[self.kept :] if self.kept else self.view

    def buffer_updated(self, nbytes: int) -> None:
        end = self.kept + nbytes
        self.kept = 0
        if not self.take:
            self.open(bytes(self.view[:end]))
            return
        position = self.missing
        if position > end:
            self.missing -= end
            return
        if position:
            self.missing = 0
            self.taken += 1
        buffer = self.buffer
        while end - position >= 6:
            size = buffer[position + 1] & 0x7F
            header = 6
            if size >= 126:
                header = 8 if size == 126 else 14
                if end - position < header:
                    break
                size = int.from_bytes(buffer[position + 2 : position + header - 4])
            self.size = size
            position += header + size
            if position > end:
                self.missing = position - end
                break
            self.taken += 1
        if position < end:
            self.kept = end - position
            buffer[: self.kept] = buffer[position:end]
        if self.taken >= self.take:
            answers, self.taken = divmod(self.taken, self.take)
            self.transport.write(binary_frames(self.size, self.give * answers))

    def open(self, request: bytes) -> None:
        """Answer the opening handshake, if the request is there."""
        self.kept = len(request)
        if not request.endswith(b"\r\n\r\n"):
            return
        self.kept = 0
        path = re.match(rb"GET /(\d+)/(\d+) ", request)
        key = re.search(rb"sec-websocket-key: *(\S+)", request, re.IGNORECASE)
        assert path
        assert key
        self.take, self.give = int(path[1]), int(path[2])
        self.transport.write(ANSWER % base64.b64encode(hashlib.sha1(key[1] + GUID).digest()))


def exit_with_parent() -> None:
    """End when whoever started us closes our standard input, or ends."""
    sys.stdin.read()
    os._exit(0)


async def main(seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=exit_with_parent, daemon=True).start()
    await asyncio.sleep(seconds)


if __name__ == "__main__":
    factory = None
    if sys.argv[1] == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(float(sys.argv[2])))
