"""Frames (RFC 6455 section 5): bytes to messages, messages to bytes.

No extension, connection or close is known here: only what section 5 says of a single frame and of the order of fragments.
"""

from __future__ import annotations

import struct
from operator import index

from ...exceptions import ProtocolError
from ..frame import BINARY, CLOSE, CONTINUATION, NO_LIMIT, PONG, TEXT, BytesLike, Frame, Message, no_message
from ..rules import breach, check_number
from .masking import contiguous_bytes, mask, mask_key
from .utf8 import Utf8Validator

__all__ = ["FrameReader", "ReadBuffer", "encode_frame", "encode_header", "encode_masked_message", "encode_message"]

_READ_BUFFER_SIZE = 262144
# More than a process can address, so that what no machine has memory for is refused without asking for it.
_ADDRESSABLE = 2**47


class ReadBuffer:
    """The memory that sockets are read into. All readers whose reads are synchronous can share one.

    Args:
        size: in bytes. 256 KiB stays in the processor's cache and takes what one read of a loop brings.
    """

    __slots__ = ("size", "view")

    def __init__(self, size: int = _READ_BUFFER_SIZE) -> None:
        size = index(size)
        if size < 1:
            raise ValueError(f"a read buffer has at least 1 byte, not {size}")
        self.size = size
        self.view = memoryview(bytearray(size))


class FrameReader:
    """Turns what was received into messages.

    Bytes come in by ``get_buffer`` and ``received`` (from whoever fills a buffer of ours) or by ``feed`` (from whoever
    hands bytes over). What comes out is a list, in order, of

    * ``str`` and ``bytes``: whole messages that came in one frame, text and binary;
    * ``Frame``: control frames, fragments of messages, and frames with an RSV bit that was negotiated;
    * ``ProtocolError``, as the last item: the peer broke a rule. What it sent before stands before it in the list;
      what comes after it is thrown away.

    Text is checked as it comes, fragment by fragment and read by read, except in frames with RSV bits, and the limits are
    checked before memory is taken.

    Args:
        buffer: what to read into; may be shared with other readers, as nothing is kept in it between two calls.
        masked: whether the frames must be masked (they come from a client) or must not be (section 5.1).
        max_message_size: the largest payload of a message, in bytes, over all its fragments.
        max_fragments: the largest number of fragments of a message that wait for its last one.
        rsv: the RSV bits that an extension gives a meaning to on the first frame of a message.
    """

    __slots__ = (
        "_buffer",
        "_discarding",
        "_filled",
        "_fragments",
        "_head",
        "_in_message",
        "_key",
        "_length",
        "_masked",
        "_max_fragments",
        "_max_message_size",
        "_message_size",
        "_parts",
        "_rsv",
        "_start",
        "_text",
        "_validator",
        "heard",
        "only_messages",
    )

    only_messages: bool
    """Whether the list that was returned last holds nothing but ``str`` and ``bytes``."""

    heard: bool
    """Whether anything came; for whoever sets it to false, whether anything came since."""

    def __init__(
        self,
        buffer: ReadBuffer,
        masked: bool,
        max_message_size: int = NO_LIMIT,
        max_fragments: int = NO_LIMIT,
        rsv: int = 0,
    ) -> None:
        if not isinstance(buffer, ReadBuffer):
            raise TypeError(f"the buffer is a ReadBuffer, not {type(buffer).__name__}")
        self._buffer = buffer
        self._masked = bool(masked)
        self._max_message_size = check_number("max_message_size", max_message_size, NO_LIMIT)
        self._max_fragments = check_number("max_fragments", max_fragments, NO_LIMIT)
        self._rsv = check_number("rsv", rsv, 0x70)
        self.only_messages = True
        self.heard = False
        self._discarding = False
        self._head = b""  # the beginning of a header that did not come whole
        self._parts: bytearray | None = None  # the payload of a frame that did not come whole, unmasked
        self._start = 0  # the first byte of that frame
        self._length = 0
        self._filled = 0
        self._key = b""
        # of the fragmented message in progress:
        self._in_message = False
        self._message_size = 0
        self._fragments = 0
        self._text = False  # whether its payload is text to check
        self._validator = Utf8Validator()  # as new after each valid text

    def get_buffer(self, hint: int = -1) -> memoryview:
        """Return writable memory for the next read, as ``asyncio.BufferedProtocol`` wants it."""
        return self._buffer.view

    def received(self, size: int) -> list[Message | Frame | ProtocolError]:
        """Take ``size`` bytes that were read into what ``get_buffer`` returned last."""
        if self._discarding:
            return self._parse(b"")
        size = index(size)
        if not 0 <= size <= self._buffer.size:
            raise ValueError(f"cannot have received {size} bytes into a buffer of {self._buffer.size}")
        return self._parse(self._buffer.view[:size].tobytes())

    def feed(self, data: BytesLike) -> list[Message | Frame | ProtocolError]:
        """Take bytes from elsewhere, in pieces of any size."""
        return self._parse(contiguous_bytes(data))

    def discard(self) -> None:
        """Throw away what came and is not whole yet, and everything that comes from now on."""
        self._discarding = True  # and no more, as another thread may be in the middle of a read

    def _parse(self, data: bytes) -> list[Message | Frame | ProtocolError]:
        items: list[Message | Frame | ProtocolError] = []
        self.only_messages = True
        self.heard = True
        if self._discarding:
            self._parts = None
            return items
        try:
            self._parse_frames(data, items)
        except ProtocolError as error:
            self.discard()
            self._parts = None
            self.only_messages = False
            items.append(error)
        return items

    def _parse_frames(self, data: bytes, items: list[Message | Frame | ProtocolError]) -> None:
        position = 0
        if self._parts is not None:
            position = self._fill(data, 0, items)
        if self._head and position < len(data):
            data = self._head + data
            self._head = b""
        end = len(data)
        while end - position >= 2:
            start = data[position]
            second = data[position + 1]
            self._check_start(start, second)
            length = second & 0x7F
            header = 2 + (4 if self._masked else 0)
            if length >= 126:
                header += 2 if length == 126 else 8
            body = position + header
            if body > end:
                break
            if length >= 126:
                length = self._long_length(data, position, length)
            if start & 0x08 == 0:
                self._check_message_limits(start, length)
                if length > _ADDRESSABLE:
                    raise breach("no-memory", length)
            self._key = data[body - 4 : body] if self._masked else b""
            position = body + length
            if position <= end:
                payload = data[body:position]
                self._finish(start, mask(payload, self._key) if self._masked else payload, False, items)
            else:
                self._start = start
                self._length = length
                self._filled = 0
                self._parts = bytearray()
                position = self._fill(data, body, items)
                break
        self._head += data[position:]

    def _check_start(self, start: int, second: int) -> None:
        opcode = start & 0x0F
        fin = start & 0x80
        # "If a nonzero value is received and none of the negotiated extensions defines the meaning of such a nonzero
        # value, the receiving endpoint MUST _Fail the WebSocket Connection_." (5.2)
        rsv = start & 0x70
        if rsv and (rsv & ~self._rsv or opcode == CONTINUATION or opcode >= CLOSE):
            raise breach("reserved-bits", rsv)
        if opcode >= CLOSE:
            if opcode > PONG:
                raise breach("reserved-opcode", opcode)
            # "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented." (5.5)
            if not fin:
                raise breach("control-fragmented")
            if second & 0x7F > 125:
                raise breach("control-too-long")
        elif opcode > BINARY:
            raise breach("reserved-opcode", opcode)
        # "a client MUST mask all frames that it sends to the server [...] A server MUST NOT mask any frames" (5.1)
        if self._masked:
            if not second & 0x80:
                raise breach("mask-missing")
        elif second & 0x80:
            raise breach("mask-forbidden")
        if opcode == CONTINUATION:
            if not self._in_message:
                raise breach("continuation-without-start")
        elif opcode <= BINARY and self._in_message:
            raise breach("message-interrupted")

    def _long_length(self, data: bytes, position: int, length: int) -> int:
        # "the minimal number of bytes MUST be used to encode the length" (5.2)
        if length == 126:
            length = int.from_bytes(data[position + 2 : position + 4], "big")
            if length < 126:
                raise breach("length-not-minimal", length)
        else:
            length = int.from_bytes(data[position + 2 : position + 10], "big")
            # "the most significant bit MUST be 0" (5.2)
            if length >> 63:
                raise breach("length-top-bit")
            if length < 65536:
                raise breach("length-not-minimal", length)
        return length

    def _check_message_limits(self, start: int, length: int) -> None:
        if start & 0x0F != CONTINUATION:
            self._message_size = 0
            self._fragments = 0
        if length > self._max_message_size - self._message_size:
            raise breach("message-too-big", self._message_size + length, self._max_message_size)
        self._message_size += length
        if not start & 0x80:
            self._fragments += 1
        if self._fragments > self._max_fragments:
            raise breach("too-many-fragments", self._max_fragments)
        if start & 0x0F == TEXT:
            self._text = not start & 0x70
        elif start & 0x0F == BINARY:
            self._text = False

    def _fill(self, data: bytes, position: int, items: list[Message | Frame | ProtocolError]) -> int:
        """Add to the payload that did not come whole. Returns where the frame, or the data, ends."""
        assert self._parts is not None
        piece = data[position : position + self._length - self._filled]
        if self._masked:
            piece = mask(piece, self._key, self._filled)
        self._parts += piece
        self._filled += len(piece)
        checked = self._text and self._start & 0x08 == 0
        if checked and not self._validator.feed(piece):
            raise breach("invalid-utf-8")
        if self._filled == self._length:
            payload = bytes(self._parts)
            self._parts = None
            self._finish(self._start, payload, checked, items)
        return position + len(piece)

    def _finish(self, start: int, payload: bytes, checked: bool, items: list[Message | Frame | ProtocolError]) -> None:
        opcode = start & 0x0F
        fin = start >= 0x80
        if opcode >= CLOSE:
            self.only_messages = False
            items.append(Frame(opcode, payload, fin, 0))
            return
        if fin and opcode != CONTINUATION and not start & 0x70:
            if opcode == BINARY:
                items.append(payload)
            else:
                try:
                    items.append(payload.decode())
                except UnicodeDecodeError:
                    raise breach("invalid-utf-8") from None
            return
        if self._text:
            if not checked and not self._validator.feed(payload):
                raise breach("invalid-utf-8")
            if fin and not self._validator.is_complete():
                raise breach("invalid-utf-8")
        self._in_message = not fin
        self.only_messages = False
        items.append(Frame(opcode, payload, fin, start & 0x70))


def encode_frame(opcode: int, payload: str | BytesLike, masked: bool, fin: bool = True, rsv: int = 0) -> bytes:
    """Return a frame.

    Args:
        opcode: 0 to 15; whether it fits the connection is for the caller to know.
        payload: text, sent as UTF-8, or any object with a contiguous buffer (its bytes count, not its items).
        masked: mask with a fresh key (the frame goes to a server).
        fin: whether this is the last fragment of its message.
        rsv: RSV bits where they stand in the first byte.

    Raises:
        UnicodeEncodeError: the text has a lone surrogate, which UTF-8 cannot carry.
        BufferError: the buffer is not contiguous.
    """
    opcode, rsv = index(opcode), index(rsv)
    if not 0 <= opcode <= 15 or rsv & ~0x70:
        raise ValueError(f"no frame has opcode {opcode} and RSV bits {rsv:#x}")
    body = payload.encode() if isinstance(payload, str) else contiguous_bytes(payload)
    header = _header((0x80 if fin else 0) | rsv | opcode, 0x80 if masked else 0, len(body))
    if masked:
        key = mask_key()
        return header + key + mask(body, key)
    return header + body


def encode_message(message: str | BytesLike) -> bytes:
    """Return the frame that is a whole message of a server: text for ``str``, binary for anything with a contiguous buffer.

    Raises:
        TypeError: the message is neither.
        UnicodeEncodeError: the text has a lone surrogate, which UTF-8 cannot carry.
        BufferError: the buffer is not contiguous.
    """
    return _encode_message(message, False)


def encode_masked_message(message: str | BytesLike) -> bytes:
    """Return the frame that is a whole message of a client, masked with a fresh key; else as ``encode_message``."""
    return _encode_message(message, True)


def _encode_message(message: str | BytesLike, masked: bool) -> bytes:
    try:
        return encode_frame(TEXT if isinstance(message, str) else BINARY, message, masked)
    except TypeError:
        raise no_message(message) from None


def encode_header(opcode: int, size: int) -> bytes:
    """Return what stands before a payload of ``size`` bytes in a frame that is a whole message, and not masked.

    Args:
        opcode: 0 to 15; whether it fits the connection is for the caller to know.
        size: at most 2**63 - 1, as the most significant bit must be 0 (RFC 6455 section 5.2).
    """
    opcode, size = index(opcode), index(size)
    if not 0 <= opcode <= 15 or not 0 <= size < 2**63:
        raise ValueError(f"no frame has opcode {opcode} and {size} bytes of payload")
    return _header(0x80 | opcode, 0, size)


def _header(start: int, bit: int, size: int) -> bytes:
    if size < 126:
        return bytes((start, bit | size))
    if size < 65536:
        return struct.pack("!BBH", start, bit | 126, size)
    return struct.pack("!BBQ", start, bit | 127, size)
