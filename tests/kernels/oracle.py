"""What RFC 6455 section 5 and RFC 3629 say, one byte at a time. Shares no code with the package."""

from __future__ import annotations

import struct

CODES = {
    "reserved-bits": 1002,
    "reserved-opcode": 1002,
    "control-fragmented": 1002,
    "control-too-long": 1002,
    "mask-missing": 1002,
    "mask-forbidden": 1002,
    "continuation-without-start": 1002,
    "message-interrupted": 1002,
    "length-not-minimal": 1002,
    "length-top-bit": 1002,
    "message-too-big": 1009,
    "no-memory": 1009,
    "too-many-fragments": 1009,
    "invalid-utf-8": 1007,
}


def mask(data: bytes, key: bytes, offset: int = 0) -> bytes:
    return bytes([byte ^ key[(offset + i) % 4] for i, byte in enumerate(data)])


def header(
    opcode: int, size: int, fin: bool = True, rsv: int = 0, key: bytes | None = None, width: int | None = None
) -> bytes:
    """The bytes before the payload. `width` is how many bytes the extended length takes, if not the fewest."""
    if width is None:
        width = 0 if size <= 125 else 2 if size <= 65535 else 8
    form, pattern = {0: (size, ""), 2: (126, "H"), 8: (127, "Q")}[width]
    first = (128 if fin else 0) + rsv + opcode
    second = (0 if key is None else 128) + form
    lengths = [] if width == 0 else [size]
    return struct.pack("!BB" + pattern, first, second, *lengths) + (key or b"")


def frame(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0, key: bytes | None = None) -> bytes:
    body = payload if key is None else mask(payload, key)
    return header(opcode, len(payload), fin, rsv, key) + body


def utf8_step(pending: bytes, byte: int) -> bytes | None:
    """One more byte after those of an unfinished character.

    Returns the bytes of the character that is still unfinished, or None if no character begins so. What decides is
    which code points can still be reached, and whether one of them is at least as large as the shortest form demands,
    at most U+10FFFF, and no surrogate.
    """
    unit = pending + bytes([byte])
    first = unit[0]
    if first < 0b10000000:
        count, value, smallest = 1, first, 0
    elif 0b11000000 <= first < 0b11100000:
        count, value, smallest = 2, first - 0b11000000, 0x80
    elif 0b11100000 <= first < 0b11110000:
        count, value, smallest = 3, first - 0b11100000, 0x800
    elif 0b11110000 <= first < 0b11111000:
        count, value, smallest = 4, first - 0b11110000, 0x10000
    else:
        return None
    for follower in unit[1:]:
        if follower >> 6 != 0b10:
            return None
        value = value * 64 + follower % 64
    missing = count - len(unit)
    low = max(value * 64**missing, smallest)
    high = min((value + 1) * 64**missing - 1, 0x10FFFF)
    if low > high or (low >= 0xD800 and high <= 0xDFFF):
        return None
    return unit if missing else b""


def utf8_good(data: bytes) -> int:
    """How many bytes of `data` may be the beginning of valid UTF-8."""
    pending: bytes | None = b""
    for i, byte in enumerate(data):
        pending = utf8_step(pending, byte)
        if pending is None:
            return i
    return len(data)


def utf8_complete(data: bytes) -> bool:
    pending: bytes | None = b""
    for byte in data:
        pending = utf8_step(pending, byte)
        if pending is None:
            return False
    return pending == b""


class Parser:
    """Takes a stream of frames byte by byte.

    `items` holds tuples: ("text", str), ("binary", bytes), ("frame", opcode, payload, fin, rsv), and as the last one
    ("breach", rule, code).
    """

    def __init__(
        self, masked: bool, max_message_size: int | None = None, max_fragments: int | None = None, rsv: int = 0
    ) -> None:
        self.items: list[tuple[object, ...]] = []
        self.failed = False
        self._masked = masked
        self._max_size = max_message_size
        self._max_fragments = max_fragments
        self._rsv = rsv
        self._head: list[int] = []
        self._payload: list[int] = []
        self._message: int | None = None  # the first byte of the fragmented message in progress
        self._size = 0
        self._fragments = 0  # that are not the last one
        self._pending = b""  # of a character that is not finished

    def take(self, byte: int) -> None:
        if self.failed:
            return
        if not self._has_header():
            self._head.append(byte)
            if len(self._head) == 2:
                self._look_at_start()
            if self._has_header() and not self.failed:
                self._look_at_length()
        else:
            if self._masked:
                byte ^= self._head[-4:][len(self._payload) % 4]
            self._payload.append(byte)
            if self._is_text():
                self._look_at_text(byte)
        if not self.failed and self._has_header() and len(self._payload) == self._length():
            self._finish()

    def _has_header(self) -> bool:
        if len(self._head) < 2:
            return False
        form = self._head[1] % 128
        return len(self._head) == 2 + {126: 2, 127: 8}.get(form, 0) + (4 if self._masked else 0)

    def _length(self) -> int:
        form = self._head[1] % 128
        width = {126: 2, 127: 8}.get(form, 0)
        return int.from_bytes(self._head[2 : 2 + width], "big") if width else form

    def _opcode(self) -> int:
        return self._head[0] % 16

    def _is_text(self) -> bool:
        if self._opcode() == 0:
            assert self._message is not None
            return self._message & 0x7F == 1
        return self._head[0] & 0x7F == 1

    def _break(self, rule: str) -> None:
        self.failed = True
        self.items.append(("breach", rule, CODES[rule]))

    def _look_at_start(self) -> None:
        opcode = self._opcode()
        fin = self._head[0] >= 128
        bits = self._head[0] & 0x70
        masked = self._head[1] >= 128
        for rule, broken in (
            ("reserved-bits", bits != 0 and (bits & ~self._rsv != 0 or opcode not in (1, 2, 3, 4, 5, 6, 7))),
            ("reserved-opcode", opcode not in (0, 1, 2, 8, 9, 10)),
            ("control-fragmented", opcode >= 8 and not fin),
            ("control-too-long", opcode >= 8 and self._head[1] % 128 >= 126),
            ("mask-missing", self._masked and not masked),
            ("mask-forbidden", not self._masked and masked),
            ("continuation-without-start", opcode == 0 and self._message is None),
            ("message-interrupted", opcode in (1, 2) and self._message is not None),
        ):
            if broken:
                self._break(rule)
                return

    def _look_at_length(self) -> None:
        length = self._length()
        form = self._head[1] % 128
        if length >= 2**63:
            self._break("length-top-bit")
        elif (form == 126 and length <= 125) or (form == 127 and length <= 65535):
            self._break("length-not-minimal")
        elif self._opcode() < 8:
            if self._opcode() != 0:
                self._size = self._fragments = 0
            self._size += length
            self._fragments += self._head[0] < 128
            if self._max_size is not None and self._size > self._max_size:
                self._break("message-too-big")
            elif self._max_fragments is not None and self._fragments > self._max_fragments:
                self._break("too-many-fragments")
            elif length > 2**47:
                self._break("no-memory")

    def _look_at_text(self, byte: int) -> None:
        pending = utf8_step(self._pending, byte)
        if pending is None:
            self._break("invalid-utf-8")
        else:
            self._pending = pending

    def _finish(self) -> None:
        start = self._head[0]
        payload = bytes(self._payload)
        fin = start >= 128
        if fin and self._is_text() and self._pending:
            self._break("invalid-utf-8")
            return
        if start == 0x81:
            self.items.append(("text", str(payload, "utf-8")))
        elif start == 0x82:
            self.items.append(("binary", payload))
        else:
            self.items.append(("frame", start % 16, payload, fin, start & 0x70))
            if start % 16 in (1, 2) and not fin:
                self._message = start
            elif start % 16 == 0 and fin:
                self._message = None
        self._head = []
        self._payload = []
