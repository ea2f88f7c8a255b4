from libc.stdint cimport uint8_t, uint32_t

cdef extern from "utf8.h" nogil:
    # All zero before the first piece; `need` is 0 between two characters.
    ctypedef struct cws_utf8_state:
        uint8_t need

cdef bint feed_text(cws_utf8_state *, const uint8_t *, Py_ssize_t) noexcept
cdef object decode_text(uint8_t *, Py_ssize_t, bint masked, uint32_t key)
