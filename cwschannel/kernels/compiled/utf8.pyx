# cython: language_level=3, boundscheck=False, wraparound=False
# cython: freethreading_compatible=True, annotation_typing=False
"""UTF-8 checked piece by piece (RFC 6455 section 8.1, RFC 3629)."""

from __future__ import annotations

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from ..frame import BytesLike
from ..rules import breach

cdef extern from *:
    object PyUnicode_DecodeUTF8(const char *text, Py_ssize_t size, const char *errors)
    object PyUnicode_New(Py_ssize_t size, uint32_t highest)
    void *PyUnicode_DATA(object text)
    int PyUnicode_KIND(object text)

cdef extern from "cpu.h" nogil:
    enum: CWS_LEVEL_BASELINE
    int cws_text_level()

cdef extern from "mask.h" nogil:
    void cws_init_mask()
    void cws_mask(uint8_t *, const uint8_t *, size_t, uint32_t)

cdef extern from "utf8.h" nogil:
    ctypedef struct cws_measure:
        size_t characters
        uint32_t highest
    void cws_init_pair_tables()
    int cws_measure_at(int level, uint8_t *, size_t, bint masked, uint32_t key, cws_measure *)
    int cws_utf8_feed(int level, cws_utf8_state *, const uint8_t *, size_t)

cdef extern from "decode.h" nogil:
    void cws_init_places()
    void cws_decode_at(int level, int width, void *to, const uint8_t *, size_t, size_t characters)

__all__ = ["Utf8Validator"]

cws_init_mask()
cws_init_pair_tables()
cws_init_places()

cdef int best_level = cws_text_level()


cdef bint feed_text(cws_utf8_state *state, const uint8_t *text, Py_ssize_t size) noexcept:
    """Whether this and what came before may be the beginning of valid UTF-8."""
    return cws_utf8_feed(best_level, state, text, size)


cdef object decode_text(uint8_t *text, Py_ssize_t size, bint masked, uint32_t key):
    """Return a whole text as a str, or raise what a peer has to be told. Masked text is unmasked where it is."""
    return decode_at(best_level, text, size, masked, key)


cdef inline object decode_at(int level, uint8_t *text, Py_ssize_t size, bint masked, uint32_t key):
    cdef cws_measure measure
    cdef object decoded
    # A str of one character below U+0100 is one of those that Python keeps.
    if level == CWS_LEVEL_BASELINE or size <= 2:
        if masked:
            cws_mask(text, text, size, key)
        try:
            return PyUnicode_DecodeUTF8(<const char *>text, size, NULL)
        except UnicodeDecodeError:
            raise breach("invalid-utf-8") from None
    if not cws_measure_at(level, text, size, masked, key, &measure):
        raise breach("invalid-utf-8")
    decoded = PyUnicode_New(measure.characters, measure.highest)
    if measure.highest < 0x80:
        memcpy(PyUnicode_DATA(decoded), text, size)
    else:
        cws_decode_at(level, PyUnicode_KIND(decoded), PyUnicode_DATA(decoded), text, size, measure.characters)
    return decoded


def _decode_at_level(level: int, data: BytesLike, key: bytes | None = None) -> str:
    # For tests: every width of vectors that the processor has. With a key, the buffer is written to.
    cdef Py_buffer view
    cdef uint32_t word = 0
    if key is not None:
        memcpy(&word, <const char *>key, 4)
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE if key is None else PyBUF_WRITABLE)
    try:
        return decode_at(level, <uint8_t *>view.buf, view.len, key is not None, word)
    finally:
        PyBuffer_Release(&view)


def _best_level() -> int:
    return best_level


cdef class Utf8Validator:
    """Checks text that comes in pieces, and fails at the first byte that no valid text can go on with.

    Overlong forms, surrogates (U+D800 to U+DFFF) and code points above U+10FFFF are invalid.
    """

    cdef cws_utf8_state _state
    cdef bint _valid

    def __init__(self) -> None:
        self._state = cws_utf8_state(0)
        self._valid = True

    @cython.critical_section
    def feed(self, data: BytesLike) -> bool:
        """Take the next piece. Returns whether everything so far may be the beginning of valid UTF-8."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        if self._valid:
            self._valid = feed_text(&self._state, <const uint8_t *>view.buf, view.len)
        PyBuffer_Release(&view)
        return self._valid

    @cython.critical_section
    def is_complete(self) -> bool:
        """Return whether everything so far is valid UTF-8 that does not end within a character."""
        return self._valid and self._state.need == 0
