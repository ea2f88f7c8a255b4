# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True, annotation_typing=False
"""Frames (RFC 6455 section 5): bytes to messages, messages to bytes.

No extension, connection or close is known here: only what section 5 says of a single frame and of the order of fragments.
"""

from __future__ import annotations

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cwschannel.kernels.compiled.masking cimport next_key
from cwschannel.kernels.compiled.utf8 cimport cws_utf8_state, decode_text, feed_text

from operator import index

from ...exceptions import ProtocolError
from ..frame import NO_LIMIT, BytesLike, Frame, Message, no_message
from ..rules import breach, check_number

cdef extern from *:
    const Py_ssize_t PY_SSIZE_T_MAX
    long PyLong_AsLongAndOverflow(object, int *overflow) except? -1
    bint PyUnicode_IS_ASCII(object text)
    int PyUnicode_KIND(object text)
    const void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef extern from "mask.h" nogil:
    uint32_t cws_turn_key(uint32_t, size_t)
    void cws_init_mask()
    void cws_mask(uint8_t *, const uint8_t *, size_t, uint32_t)

cdef extern from "frame.h" nogil:
    const uint64_t CWS_ADDRESSABLE
    size_t cws_write_header(uint8_t *to, uint8_t start, bint masked, uint64_t size, uint32_t key)
    uint64_t cws_read_length(const uint8_t *head)

cdef extern from "cpu.h" nogil:
    int cws_text_level()

cdef extern from "encode.h" nogil:
    void cws_init_places()
    Py_ssize_t cws_utf8_size(int level, int width, const void *text, size_t)
    void cws_utf8_write(int level, uint8_t *, size_t, int width, const void *text, size_t)

__all__ = ["FrameReader", "ReadBuffer", "encode_frame", "encode_header", "encode_masked_message", "encode_message"]

cdef enum:
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PONG = 0xA
    FIN = 0x80
    RSV = 0x70
    LONGEST_HEADER = 14
    READ_BUFFER_SIZE = 262144
    # A payload of which this much is still to come is read into its final object. Smaller reads than the buffer allows cost
    # more than the copy they save: with 16 KiB here, messages of 64 KiB were 20 to 50 % slower.
    READ_DIRECTLY = 131072
    # One read brings no more, so that what is unmasked and checked next is still in the processor's cache.
    LONGEST_READ = 262144

cws_init_mask()
cws_init_places()

cdef int best_level = cws_text_level()


cdef class ReadBuffer:
    """The memory that sockets are read into. All readers whose reads are synchronous can share one.

    Args:
        size: in bytes. 256 KiB stays in the processor's cache and takes what one read of a loop brings.
    """

    cdef bytearray memory
    cdef uint8_t *start
    cdef readonly Py_ssize_t size
    cdef readonly object view

    def __cinit__(self, size: int = READ_BUFFER_SIZE):
        size = index(size)
        if size < 1:
            raise ValueError(f"a read buffer has at least 1 byte, not {size}")
        self.memory = bytearray(size)
        self.start = <uint8_t *><char *>self.memory
        self.size = size
        self.view = memoryview(self.memory)  # which also keeps the memory from moving


cdef inline bint _is_message(uint8_t start) noexcept:
    """Whether a frame that begins so is a whole message without RSV bits."""
    return start == (FIN | TEXT) or start == (FIN | BINARY)


cdef int _check_long_form(uint8_t form, uint64_t length) except -1:
    # "the most significant bit MUST be 0" (5.2)
    if length >> 63:
        raise breach("length-top-bit")
    # "the minimal number of bytes MUST be used to encode the length" (5.2)
    if length < (126 if form == 126 else 65536):
        raise breach("length-not-minimal", length)
    return 0


cdef class _Window:
    """Writable memory within a payload that is still being read: nobody else has seen that `bytes` object yet."""

    cdef bytes payload
    cdef Py_ssize_t first
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, PyBytes_AS_STRING(self.payload) + self.first, self.size, 0, flags)


cdef class FrameReader:
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

    cdef ReadBuffer _buffer
    cdef bint _masked
    cdef uint8_t _rsv
    cdef uint64_t _max_message_size
    cdef uint64_t _max_fragments
    cdef readonly bint only_messages
    cdef public bint heard
    cdef bint _discarding
    # the header of the frame that is being read, as far as it came
    cdef uint8_t _head_size
    cdef uint8_t[LONGEST_HEADER] _head
    # the frame whose payload did not come whole
    cdef uint8_t _start
    cdef uint32_t _key
    cdef bytes _payload
    cdef Py_ssize_t _length
    cdef Py_ssize_t _filled
    cdef bint _directly  # get_buffer has returned memory of the payload itself
    cdef bint _text  # whether the payload of the message in progress is text to check
    # the fragmented message in progress
    cdef bint _in_message
    cdef uint64_t _message_size
    cdef uint64_t _fragments
    cdef cws_utf8_state _utf8  # all zero after each valid text

    # Not __init__, which a subclass could leave out: every method relies on the buffer.
    def __cinit__(
        self,
        buffer: ReadBuffer,
        masked: bool,
        max_message_size: int = NO_LIMIT,
        max_fragments: int = NO_LIMIT,
        rsv: int = 0,
    ):
        if not isinstance(buffer, ReadBuffer):
            raise TypeError(f"the buffer is a ReadBuffer, not {type(buffer).__name__}")
        self._buffer = buffer
        self._masked = masked
        self._max_message_size = check_number("max_message_size", max_message_size, NO_LIMIT)
        self._max_fragments = check_number("max_fragments", max_fragments, NO_LIMIT)
        self._rsv = check_number("rsv", rsv, RSV)
        self.only_messages = True
        self.heard = False

    @cython.critical_section
    def get_buffer(self, hint: int = -1) -> memoryview:
        """Return writable memory for the next read, as ``asyncio.BufferedProtocol`` wants it."""
        cdef _Window window
        cdef Py_ssize_t missing
        if self._payload is not None:
            missing = self._length - self._filled
            if missing >= READ_DIRECTLY:
                window = _Window.__new__(_Window)
                window.payload = self._payload
                window.first = self._filled
                window.size = min(missing, <Py_ssize_t>LONGEST_READ)
                self._directly = True
                return memoryview(window)
        self._directly = False
        return self._buffer.view

    @cython.critical_section
    def received(self, size: int) -> list[Message | Frame | ProtocolError]:
        """Take ``size`` bytes that were read into what ``get_buffer`` returned last."""
        if self._discarding:
            return self._parse(NULL, 0, False)
        cdef int overflow = 0
        cdef Py_ssize_t n
        cdef Py_ssize_t room = self._buffer.size
        cdef bint directly = self._directly and self._payload is not None
        if directly:
            room = min(self._length - self._filled, <Py_ssize_t>LONGEST_READ)
        n = PyLong_AsLongAndOverflow(size, &overflow)
        if overflow or n < 0 or n > room:
            raise ValueError(f"cannot have received {size} bytes into a buffer of {room}")
        self._directly = False
        if directly:
            return self._parse(NULL, n, False)
        return self._parse(self._buffer.start, n, True)

    @cython.critical_section
    def feed(self, data: BytesLike) -> list[Message | Frame | ProtocolError]:
        """Take bytes from elsewhere, in pieces of any size."""
        cdef Py_buffer view
        self._directly = False
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self._parse(<uint8_t *>view.buf, view.len, False)
        finally:
            PyBuffer_Release(&view)

    @cython.critical_section
    def discard(self) -> None:
        """Throw away what came and is not whole yet, and everything that comes from now on."""
        self._discarding = True
        self._payload = None

    cdef list _parse(self, uint8_t *data, Py_ssize_t size, bint ours):
        """`data` is NULL if the bytes are in the payload already. `ours`: it may be written to."""
        cdef list items = []
        self.only_messages = True
        self.heard = True
        if self._discarding:
            return items
        try:
            if data == NULL:
                self._fill(NULL, size, items)
            else:
                self._parse_frames(data, size, ours, items)
        except ProtocolError as error:
            self.discard()
            self.only_messages = False
            items.append(error)
        return items

    cdef int _parse_frames(self, uint8_t *data, Py_ssize_t size, bint ours, list items) except -1:
        cdef uint8_t *p = data
        cdef uint8_t *end = data + size
        cdef uint8_t *head
        cdef Py_ssize_t header, length, take
        if self._payload is not None:
            p += self._fill(p, size, items)
        while p < end:
            if self._head_size:
                # Complete the header that a read before this one has begun.
                header = 2 if self._head_size < 2 else self._header_size(self._head)
                take = min(header - self._head_size, end - p)
                memcpy(self._head + self._head_size, p, take)
                self._head_size += <uint8_t>take
                p += take
                if self._head_size >= 2:
                    self._check_start(self._head[0], self._head[1])
                    header = self._header_size(self._head)
                if self._head_size < header:
                    if p == end:
                        break
                    continue
                head = self._head
                self._head_size = 0
            else:
                if end - p < 2:
                    header = LONGEST_HEADER
                else:
                    self._check_start(p[0], p[1])
                    header = self._header_size(p)
                if end - p < header:
                    self._head_size = <uint8_t>(end - p)
                    memcpy(self._head, p, self._head_size)
                    break
                head = p
                p += header
            self._start = head[0]
            length = self._check_length(head)
            if self._masked:
                memcpy(&self._key, head + header - 4, 4)
            if length <= end - p:
                self._take_whole(p, length, ours, items)
                p += length
            else:
                try:
                    self._payload = PyBytes_FromStringAndSize(NULL, length)
                except (MemoryError, OverflowError):
                    raise breach("no-memory", length) from None
                self._length = length
                self._filled = 0
                p += self._fill(p, end - p, items)
        return 0

    cdef inline Py_ssize_t _header_size(self, const uint8_t *head) noexcept:
        cdef uint8_t length = head[1] & 0x7F
        return 2 + (4 if self._masked else 0) + (2 if length == 126 else 8 if length == 127 else 0)

    cdef inline int _check_start(self, uint8_t start, uint8_t second) except -1:
        # Nearly all frames are whole messages: one question for them, and for the others one by one. With the like of it in
        # _check_length, a message of a burst of 64 takes 10 to 20 % less time if it is short.
        if _is_message(start) and second >> 7 == self._masked and not self._in_message:
            return 0
        return self._check_other_start(start, second)

    cdef int _check_other_start(self, uint8_t start, uint8_t second) except -1:
        cdef uint8_t opcode = start & 0x0F
        cdef uint8_t rsv = start & RSV
        # "If a nonzero value is received and none of the negotiated extensions defines the meaning of such a nonzero
        # value, the receiving endpoint MUST _Fail the WebSocket Connection_." (5.2)
        if rsv and (rsv & ~self._rsv or opcode == CONTINUATION or opcode >= CLOSE):
            raise breach("reserved-bits", rsv)
        if opcode >= CLOSE:
            if opcode > PONG:
                raise breach("reserved-opcode", opcode)
            # "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented." (5.5)
            if not start & FIN:
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
        return 0

    cdef inline Py_ssize_t _check_length(self, const uint8_t *head) except -1:
        """Return the payload length of the frame, once it is allowed."""
        cdef uint64_t length = head[1] & 0x7F
        if length >= 126:
            length = cws_read_length(head)
            _check_long_form(head[1] & 0x7F, length)
        if _is_message(head[0]) and length <= self._max_message_size:
            self._text = head[0] == (FIN | TEXT)
        elif not head[0] & 0x08:
            self._check_message_limits(head[0], length)
        if length > CWS_ADDRESSABLE or length > <uint64_t>PY_SSIZE_T_MAX:
            raise breach("no-memory", length)
        return <Py_ssize_t>length

    cdef int _check_message_limits(self, uint8_t start, uint64_t length) except -1:
        cdef uint8_t opcode = start & 0x0F
        if opcode != CONTINUATION:
            self._message_size = 0
            self._fragments = 0
        # A subtraction, because the sum could pass the largest number.
        if length > self._max_message_size - self._message_size:
            raise breach("message-too-big", <object>self._message_size + length, self._max_message_size)
        self._message_size += length
        if not start & FIN:
            self._fragments += 1
        if self._fragments > self._max_fragments:
            raise breach("too-many-fragments", self._max_fragments)
        if opcode == TEXT:
            self._text = not start & RSV
        elif opcode == BINARY:
            self._text = False
        return 0

    cdef Py_ssize_t _fill(self, uint8_t *data, Py_ssize_t size, list items) except -1:
        """Add to the payload that did not come whole. Returns how much of `data` (NULL: it is there already) it took."""
        cdef Py_ssize_t take = min(size, self._length - self._filled)
        cdef uint8_t *to = <uint8_t *>PyBytes_AS_STRING(self._payload) + self._filled
        cdef bint checked = self._text and not self._start & 0x08
        cdef bytes payload
        if self._masked:
            cws_mask(to, to if data == NULL else data, take, cws_turn_key(self._key, self._filled))
        elif data != NULL:
            memcpy(to, data, take)
        self._filled += take
        if checked and not feed_text(&self._utf8, to, take):
            raise breach("invalid-utf-8")
        if self._filled == self._length:
            payload = self._payload
            self._payload = None
            self._finish(payload, checked, items)
        return take

    cdef inline int _take_whole(self, uint8_t *data, Py_ssize_t length, bint ours, list items) except -1:
        cdef bytes payload
        cdef uint8_t *to
        if self._start == (FIN | TEXT) and (ours or not self._masked):
            # straight from the read buffer into a str
            items.append(decode_text(data, length, self._masked, self._key))
            return 0
        payload = PyBytes_FromStringAndSize(NULL, length)
        to = <uint8_t *>PyBytes_AS_STRING(payload)
        if self._masked:
            cws_mask(to, data, length, self._key)
        else:
            memcpy(to, data, length)
        if self._start == (FIN | BINARY):
            items.append(payload)
            return 0
        return self._finish(payload, False, items)

    cdef int _finish(self, bytes payload, bint checked, list items) except -1:
        """Add a frame whose payload is there to what was read. `checked`: it went through the validator."""
        cdef uint8_t start = self._start
        cdef uint8_t opcode = start & 0x0F
        cdef bint fin = start & FIN
        if opcode >= CLOSE:
            self.only_messages = False
            items.append(Frame(opcode, payload, fin, 0))
            return 0
        if start == (FIN | BINARY):
            items.append(payload)
            return 0
        if start == (FIN | TEXT):
            if checked and self._utf8.need:
                raise breach("invalid-utf-8")
            items.append(decode_text(<uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), False, 0))
            return 0
        if self._text:
            if not checked and not feed_text(
                &self._utf8, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)
            ):
                raise breach("invalid-utf-8")
            if fin and self._utf8.need:
                raise breach("invalid-utf-8")
        self._in_message = not fin
        self.only_messages = False
        items.append(Frame(opcode, payload, fin, start & RSV))
        return 0


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
    cdef Py_ssize_t op
    cdef Py_ssize_t bits
    try:
        op = opcode
        bits = rsv
    except OverflowError:
        op = -1
        bits = 0
    if op < 0 or op > 15 or bits & ~RSV:
        raise ValueError(f"no frame has opcode {opcode} and RSV bits {rsv:#x}")
    return _encode(<uint8_t>((FIN if fin else 0) | bits | op), masked, payload)


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


cdef bytes _encode_message(object message, bint masked):
    if type(message) is bytes or isinstance(message, str):
        return _encode(FIN | (BINARY if type(message) is bytes else TEXT), masked, message)
    try:
        return _encode(FIN | BINARY, masked, message)
    except TypeError:
        raise no_message(message) from None


cdef bytes _encode(uint8_t start, bint masked, object payload):
    cdef Py_buffer view
    if type(payload) is bytes:
        return _frame(start, masked, <uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
    if isinstance(payload, str):
        if PyUnicode_IS_ASCII(payload):
            return _frame(start, masked, <const uint8_t *>PyUnicode_DATA(payload), PyUnicode_GET_LENGTH(payload))
        return _text_frame(best_level, start, masked, payload)
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        return _frame(start, masked, <uint8_t *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


def encode_header(opcode: int, size: int) -> bytes:
    """Return what stands before a payload of ``size`` bytes in a frame that is a whole message, and not masked.

    Args:
        opcode: 0 to 15; whether it fits the connection is for the caller to know.
        size: at most 2**63 - 1, as the most significant bit must be 0 (RFC 6455 section 5.2).
    """
    cdef uint8_t[LONGEST_HEADER] header
    cdef Py_ssize_t op = -1
    cdef Py_ssize_t length = -1
    try:
        op = opcode
        length = size
    except OverflowError:
        pass
    if op < 0 or op > 15 or length < 0:
        raise ValueError(f"no frame has opcode {opcode} and {size} bytes of payload")
    return PyBytes_FromStringAndSize(<char *>header, cws_write_header(header, <uint8_t>(FIN | op), False, length, 0))


cdef bytes _frame(uint8_t start, bint masked, const uint8_t *payload, Py_ssize_t size):
    cdef uint32_t key = 0
    cdef uint8_t *body
    cdef bytes frame = _begin_frame(start, masked, size, &key, &body)
    if masked:
        cws_mask(body, payload, size, key)
    else:
        memcpy(body, payload, size)
    return frame


cdef bytes _text_frame(int level, uint8_t start, bint masked, object text):
    """Text that is not ASCII, encoded where it belongs, and masked there."""
    cdef int width = PyUnicode_KIND(text)
    cdef Py_ssize_t characters = PyUnicode_GET_LENGTH(text)
    cdef Py_ssize_t size = cws_utf8_size(level, width, PyUnicode_DATA(text), characters)
    cdef uint32_t key = 0
    cdef uint8_t *body
    cdef bytes frame
    if size < 0:
        text.encode()  # raises the error that Python users know
    frame = _begin_frame(start, masked, size, &key, &body)
    cws_utf8_write(level, body, size, width, PyUnicode_DATA(text), characters)
    if masked:
        cws_mask(body, body, size, key)
    return frame


def _text_frame_at_level(level: int, text: str) -> bytes:
    # For tests: every width of vectors that the processor has.
    return _text_frame(level, FIN | TEXT, False, text)


def _best_level() -> int:
    return best_level


cdef bytes _begin_frame(uint8_t start, bint masked, Py_ssize_t size, uint32_t *key, uint8_t **body):
    """Return a frame with its header written; `body` is where its payload goes, `key` what to mask it with."""
    cdef uint8_t[LONGEST_HEADER] header
    cdef Py_ssize_t n
    cdef bytes frame
    if masked:
        next_key(key)
    n = cws_write_header(header, start, masked, size, key[0])
    if size > PY_SSIZE_T_MAX - n:
        raise MemoryError(f"no memory for a frame of {size} bytes")
    frame = PyBytes_FromStringAndSize(NULL, n + size)
    memcpy(PyBytes_AS_STRING(frame), header, n)
    body[0] = <uint8_t *>PyBytes_AS_STRING(frame) + n
    return frame
