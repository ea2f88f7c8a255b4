# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True, annotation_typing=False
"""Masking of payloads (RFC 6455 section 5.3): every byte is XORed with a byte of a 4-byte key, in turn."""

from __future__ import annotations

from cpython.buffer cimport (PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define CWS_HAS_GIL 0
    #else
    #define CWS_HAS_GIL 1
    #endif
    """
    const bint CWS_HAS_GIL
    char *PyByteArray_AS_STRING(object)
    Py_ssize_t PyByteArray_GET_SIZE(object)

from os import urandom

from ..frame import BytesLike

cdef extern from "mask.h" nogil:
    ctypedef void (*cws_mask_function)(uint8_t *, const uint8_t *, size_t, uint32_t)
    uint32_t cws_turn_key(uint32_t, size_t)
    cws_mask_function cws_choose_mask(int)
    void cws_init_mask()
    cws_mask_function cws_mask
    int cws_vector_level()

cdef extern from "pool.h" nogil:
    int CWS_POOL_SIZE
    ctypedef struct cws_pool:
        size_t left
        uint8_t *bytes
    cws_pool *cws_get_pool()
    int cws_empty_pool_after_fork()

__all__ = ["mask", "mask_in_place", "mask_key"]

cws_init_mask()

if cws_empty_pool_after_fork():
    raise MemoryError("no memory for the handler that empties the pool of masking keys after a fork")


cdef int next_key(uint32_t *key) except -1:
    """Put a fresh key into `key`."""
    cdef cws_pool *pool = cws_get_pool()
    cdef bytes block
    if pool.left < 4:
        # This may run other code: a thread's pool belongs to the thread, and is complete before `left` says so.
        block = urandom(CWS_POOL_SIZE)
        memcpy(pool.bytes, PyBytes_AS_STRING(block), CWS_POOL_SIZE)
        pool.left = CWS_POOL_SIZE
    memcpy(key, pool.bytes + (CWS_POOL_SIZE - pool.left), 4)
    pool.left -= 4
    return 0


def mask_key() -> bytes:
    """Return a fresh masking key of 4 bytes from the system's CSPRNG (RFC 6455 sections 5.3 and 10.3)."""
    cdef uint32_t key = 0
    next_key(&key)
    return PyBytes_FromStringAndSize(<char *>&key, 4)


def mask(data: BytesLike, key: bytes, offset: int = 0) -> bytes:
    """Return ``data`` XORed with ``key``, as new bytes. Masking twice with the same key gives the data back.

    Args:
        data: any object with a contiguous buffer; its bytes count, not its items.
        key: 4 bytes.
        offset: how many bytes of the same payload came before ``data``.
    """
    return _mask_with(cws_mask, data, _key_of(key, offset))


def mask_in_place(buffer: BytesLike, key: bytes, offset: int = 0) -> None:
    """XOR the bytes of a writable ``buffer`` with ``key``. The arguments are those of ``mask``."""
    cdef uint32_t turned = _key_of(key, offset)
    cdef Py_buffer view
    cdef uint8_t *start
    if CWS_HAS_GIL and type(buffer) is bytearray:
        # No other thread can give it other memory meanwhile. To ask it for its buffer would cost a quarter of a short call.
        start = <uint8_t *>PyByteArray_AS_STRING(buffer)
        cws_mask(start, start, PyByteArray_GET_SIZE(buffer), turned)
        return
    PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    cws_mask(<uint8_t *>view.buf, <uint8_t *>view.buf, view.len, turned)
    PyBuffer_Release(&view)


def _mask_at_level(level: int, data: BytesLike, key: bytes, offset: int = 0) -> bytes:
    # For tests: every width of vectors that the processor has.
    return _mask_with(cws_choose_mask(level), data, _key_of(key, offset))


def _best_level() -> int:
    return cws_vector_level()


cdef object NOTHING_BEFORE = 0  # the default offset, which is this very object


cdef uint32_t _key_of(object key, object offset) except? 0:
    cdef uint32_t word
    if type(key) is not bytes:
        raise TypeError(f"a masking key is bytes, not {type(key).__name__}")
    if PyBytes_GET_SIZE(key) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(key)}")
    memcpy(&word, PyBytes_AS_STRING(key), 4)
    if offset is NOTHING_BEFORE:
        return word
    return cws_turn_key(word, <size_t>(offset & 3))


cdef bytes _mask_with(cws_mask_function function, object data, uint32_t key):
    cdef Py_buffer view
    cdef bytes result
    if type(data) is bytes:
        result = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(data))
        function(<uint8_t *>PyBytes_AS_STRING(result), <uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), key)
        return result
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        result = PyBytes_FromStringAndSize(NULL, view.len)
        function(<uint8_t *>PyBytes_AS_STRING(result), <uint8_t *>view.buf, view.len, key)
    finally:
        PyBuffer_Release(&view)
    return result
