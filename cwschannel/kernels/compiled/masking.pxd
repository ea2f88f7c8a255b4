from libc.stdint cimport uint32_t

cdef int next_key(uint32_t *key) except -1
