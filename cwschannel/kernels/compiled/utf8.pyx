# cython: language_level=3, boundscheck=False, wraparound=False
# cython: freethreading_compatible=True, annotation_typing=False
"""UTF-8 checked piece by piece (RFC 6455 section 8.1, RFC 3629)."""

from __future__ import annotations

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t

from ..frame import BytesLike

cdef extern from "utf8.h" nogil:
    ctypedef struct cws_utf8_state:
        uint8_t need
    int cws_utf8_feed(cws_utf8_state *, const uint8_t *, size_t)

__all__ = ["Utf8Validator"]


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
            self._valid = cws_utf8_feed(&self._state, <uint8_t *>view.buf, view.len)
        PyBuffer_Release(&view)
        return self._valid

    @cython.critical_section
    def is_complete(self) -> bool:
        """Return whether everything so far is valid UTF-8 that does not end within a character."""
        return self._valid and self._state.need == 0
