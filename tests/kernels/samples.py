"""Payloads and frames that several tests share."""

from __future__ import annotations

import random

from . import oracle

RAW = random.Random(5).randbytes(2**20)
KEY = b"\x37\xfa\x21\x3d"


def fragments(*parts: bytes, opcode: int = 1, key: bytes | None = None, rsv: int = 0) -> list[bytes]:
    """The frames of one message."""
    last = len(parts) - 1
    return [oracle.frame(0 if i else opcode, part, i == last, 0 if i else rsv, key) for i, part in enumerate(parts)]


def sequence(masked: bool) -> bytes:
    """Every kind of frame there is, one after the other."""
    key = KEY if masked else None
    ping = oracle.frame(9, b"ping", key=key)
    return b"".join(
        [
            oracle.frame(1, "é漢🎉!".encode(), key=key),
            oracle.frame(1, b"", key=key),
            oracle.frame(2, b"", key=key),
            ping,
            oracle.frame(2, RAW[:130], key=key),
            ping.join(fragments("漢".encode()[:1], b"", "漢字".encode()[1:], key=key)),
            *fragments(RAW[:5], RAW[:126], b"", opcode=2, key=key),
            oracle.frame(1, b"x" * 125, key=key),
            oracle.frame(10, b"y" * 125, key=key),
            *fragments(b"", b"", key=key),
            oracle.frame(1, b"z" * 126, key=key),
            oracle.frame(8, b"\x03\xe8bye", key=key),
        ]
    )
