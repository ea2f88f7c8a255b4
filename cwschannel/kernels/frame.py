"""What both twins of the kernels speak: opcodes, frames, and the names of the rules a peer can break."""

from __future__ import annotations

from typing import Final, NamedTuple

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

RSV1: Final = 0x40
RSV2: Final = 0x20
RSV3: Final = 0x10

NO_LIMIT: Final = 2**63 - 1
"""The limit that no frame can reach: the top bit of a 64-bit length must be 0 (RFC 6455 section 5.2)."""


class Frame(NamedTuple):
    """One frame that is not a whole message: a control frame, a fragment, or a frame with an RSV bit set.

    ``rsv`` holds the RSV bits where they stand in the first byte of the frame: ``frame.rsv & RSV1``.
    """

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0


BytesLike = bytes | bytearray | memoryview
"""What the kernels take for bytes. Any object with a contiguous buffer will do (``array``, ``mmap``, numpy arrays)."""

Message = str | bytes
"""A whole message: ``str`` for text, ``bytes`` for binary."""


def no_message(message: object) -> TypeError:
    """The error for what can be sent neither as text nor as binary."""
    return TypeError(f"a message is str (sent as text) or bytes-like (sent as binary), not {type(message).__name__}")
