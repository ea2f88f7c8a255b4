# cython: language_level=3
# cython: freethreading_compatible=True, annotation_typing=False
"""The accept value of the opening handshake (RFC 6455 section 4.2.2, step 5.4)."""

from __future__ import annotations

from cpython.unicode cimport PyUnicode_DecodeASCII

cdef extern from *:
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_ASCII(object text)

cdef extern from "sha1.h" nogil:
    void cws_init_sha1()
    int cws_is_key(const char *, size_t)
    void cws_sign(const char *, char *, int portable)

__all__ = ["sign_key"]

cws_init_sha1()


def sign_key(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` value for a ``Sec-WebSocket-Key``.

    Args:
        key: 16 bytes in base64: 24 characters that end in ``==``.

    Raises:
        ValueError: the key is anything else.
    """
    return _sign_key(key, False)


def _sign_key_portable(key: str) -> str:
    # For tests: what processors without SHA instructions run.
    return _sign_key(key, True)


cdef str _sign_key(object key, bint portable):
    cdef Py_ssize_t size = 0
    cdef const char *text = NULL
    cdef char[28] accept
    if type(key) is not str:
        raise TypeError(f"a key is a str, not {type(key).__name__}")
    if PyUnicode_IS_ASCII(key):
        text = PyUnicode_AsUTF8AndSize(key, &size)
    if text == NULL or not cws_is_key(text, <size_t>size):
        raise ValueError("Sec-WebSocket-Key must be 16 bytes in base64: 24 characters that end in '=='")
    cws_sign(text, accept, portable)
    return PyUnicode_DecodeASCII(accept, 28, NULL)
