"""What is sent to and fro."""

from __future__ import annotations

import random

from ..channels.wire import PING, frame

SIZES = [0, 1, 125, 126, 65535, 65536, 2**18 + 1, 2**24]
FRAGMENTS = ["first ", "", "grün ", "€" * 1000, "x" * 70_000, "last"]
CLOSE_CODES = [(1000, "done"), (1001, ""), (3000, "grün"), (4999, "r" * 123)]


def binary(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def text(size: int) -> str:
    """Text of that many bytes in UTF-8."""
    return "é€😀" * (size // 9) + "a" * (size % 9)


def raw_fragments(opcode: int, *, masked: bool) -> list[bytes]:
    """FRAGMENTS as the frames of one message, each followed by a ping."""
    frames = []
    for number, fragment in enumerate(FRAGMENTS):
        fin = number == len(FRAGMENTS) - 1
        frames.append(frame(0 if number else opcode, fragment.encode(), fin=fin, masked=masked))
        frames.append(frame(PING, b"between", masked=masked))
    return frames
