"""UTF-8 checked piece by piece (RFC 6455 section 8.1, RFC 3629)."""

from __future__ import annotations

import codecs

from ..frame import BytesLike
from .masking import contiguous_bytes

__all__ = ["Utf8Validator"]

_decoder = codecs.getincrementaldecoder("utf-8")


class Utf8Validator:
    """Checks text that comes in pieces, and fails at the first byte that no valid text can go on with.

    Overlong forms, surrogates (U+D800 to U+DFFF) and code points above U+10FFFF are invalid.
    """

    __slots__ = ("_decoder", "_valid")

    def __init__(self) -> None:
        self._decoder = _decoder()
        self._valid = True

    def feed(self, data: BytesLike) -> bool:
        """Take the next piece. Returns whether everything so far may be the beginning of valid UTF-8."""
        piece = contiguous_bytes(data)
        if self._valid:
            try:
                self._decoder.decode(piece)
            except UnicodeDecodeError:
                self._valid = False
            else:
                # The codec waits for the third byte of a surrogate; no third byte makes it valid.
                pending = self._decoder.getstate()[0]
                self._valid = not (len(pending) == 2 and pending[0] == 0xED and pending[1] >= 0xA0)
        return self._valid

    def is_complete(self) -> bool:
        """Return whether everything so far is valid UTF-8 that does not end within a character."""
        return self._valid and not self._decoder.getstate()[0]
