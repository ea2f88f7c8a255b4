"""Frames and handshakes as bytes, made without the package, and connections that are wired to each other."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING, Any

from hypothesis import settings

from cwschannel.kernels import ReadBuffer
from cwschannel.protocol.connection import Connection, ConnectionOptions, End, HangUp

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = b"\x37\xfa\x21\x3d"


def examples(count: int) -> settings:
    """Settings for a generated test of so many examples."""
    return settings(max_examples=count, deadline=None, derandomize=bool(os.environ.get("CI")))


def apply_mask(data: bytes, key: bytes) -> bytes:
    """Section 5.3, read naively."""
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


def frame(opcode: int, payload: bytes = b"", *, masked: bool = False, fin: bool = True, rsv: int = 0) -> bytes:
    """Section 5.2, read naively."""
    size = len(payload)
    bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    if size < 126:
        head += bytes([bit | size])
    elif size < 2**16:
        head += bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + size.to_bytes(8, "big")
    return head + KEY + apply_mask(payload, KEY) if masked else head + payload


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Take bytes apart that hold whole, unfragmented frames. Returns opcodes and payloads."""
    found = []
    while data:
        assert data[0] & 0xF0 == 0x80, "FIN, and no RSV bits"
        masked, size, start = data[1] & 0x80, data[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        key = b"\0\0\0\0"
        if masked:
            key, start = data[start : start + 4], start + 4
        payload = data[start : start + size]
        assert len(payload) == size
        found.append((data[0] & 15, apply_mask(payload, key) if masked else payload))
        data = data[start + size :]
    return found


def close_body(code: int, reason: str = "") -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


def accept_value(key: str) -> str:
    """Section 4.2.2, step 5.4, read naively."""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


class Side:
    """A connection, the frames of its peer, and everything that it has queued so far."""

    def __init__(self, *, client: bool, size: int = 4096, **options: Any) -> None:
        self.client = client
        self.connection = Connection(ReadBuffer(size), client_side=client, options=ConnectionOptions(**options))
        self.messages: list[object] = []
        self.events: list[object] = []

    def frame(self, opcode: int, payload: bytes = b"", **details: Any) -> bytes:
        """A frame as our peer would send it."""
        return frame(opcode, payload, **{"masked": not self.client, **details})

    def sent(self, data: bytes) -> list[tuple[int, bytes]]:
        """What we sent: frames that are masked if, and only if, we are the client."""
        found, rest = frames(data), data
        for opcode, payload in found:
            assert bool(rest[1] & 0x80) is self.client
            rest = rest[len(frame(opcode, payload, masked=self.client)) :]
        return found

    def take(self) -> None:
        connection = self.connection
        self.messages += connection.messages
        connection.messages = []
        self.events += connection.events
        connection.events = []

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Have bytes come in. Returns the frames that go out."""
        out = self.connection.feed(data)
        self.take()
        return self.sent(out)

    def read(self, data: bytes) -> list[tuple[int, bytes]]:
        """The same by way of the read buffer, as a loop does it."""
        return self.sent(self.read_raw(data))

    def read_raw(self, data: bytes) -> bytes:
        out = b""
        while data:
            view = self.connection.get_buffer(-1)
            size = min(len(view), len(data))
            view[:size] = data[:size]
            data = data[size:]
            out += self.connection.take(self.connection.reader.received(size))
            self.take()
        return out

    def tick(self, **details: bool) -> list[tuple[int, bytes]]:
        """The timer that was asked for is over."""
        out = self.connection.on_timer(**details)
        self.take()
        return self.sent(out)

    def hang_up(self) -> list[tuple[int, bytes]]:
        """The peer closes its half of TCP."""
        out = self.connection.eof()
        self.take()
        return self.sent(out)

    def lose(self, cause: Exception | None = None) -> None:
        """There is no TCP any more, so nothing can go out."""
        nothing: object = self.connection.lost(cause)  # type: ignore[func-returns-value]
        assert nothing is None
        self.take()

    @property
    def ends(self) -> list[End]:
        return [event for event in self.events if isinstance(event, End)]

    @property
    def hang_ups(self) -> list[HangUp]:
        return [event for event in self.events if isinstance(event, HangUp)]

    @property
    def waits_for(self) -> str | None:
        timer = self.connection.timer
        return None if timer is None else timer.what


class Pair:
    """A client and a server, wired back to back. Bytes travel when told to."""

    def __init__(self, **options: Any) -> None:
        self.client = Side(client=True, **options)
        self.server = Side(client=False, **options)
        self.to_server = b""
        self.to_client = b""

    def travel(self) -> None:
        """Carry bytes until there are none."""
        while self.to_server or self.to_client:
            data, self.to_server = self.to_server, b""
            self.to_client += self.server.read_raw(data)
            data, self.to_client = self.to_client, b""
            self.to_server += self.client.read_raw(data)
