"""The accept value of the opening handshake (RFC 6455 section 4.2.2, step 5.4)."""

from __future__ import annotations

import binascii
import hashlib

__all__ = ["sign_key"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def sign_key(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` value for a ``Sec-WebSocket-Key``.

    Args:
        key: 16 bytes in base64: 24 characters that end in ``==``.

    Raises:
        ValueError: the key is anything else.
    """
    if type(key) is not str:
        raise TypeError(f"a key is a str, not {type(key).__name__}")
    try:
        raw = key.encode("ascii")
        valid = len(raw) == 24 and len(binascii.a2b_base64(raw, strict_mode=True)) == 16
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("Sec-WebSocket-Key must be 16 bytes in base64: 24 characters that end in '=='")
    digest = hashlib.sha1(raw + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")
