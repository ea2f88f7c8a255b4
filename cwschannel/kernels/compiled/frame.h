/* The header of a frame (RFC 6455 section 5.2), written and read. */
#ifndef CWS_FRAME_H
#define CWS_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* More than a process can address, so that what no machine has memory for is refused without asking for it. */
#define CWS_ADDRESSABLE ((uint64_t)1 << 47)

static inline uint64_t cws_big_endian(const uint8_t *p, int n) {
    uint64_t value = 0;
    int i;
    for (i = 0; i < n; i++) value = (value << 8) | p[i];
    return value;
}

/* The payload length of a whole header. */
static inline uint64_t cws_read_length(const uint8_t *head) {
    uint8_t form = head[1] & 0x7F;
    if (form == 126) return cws_big_endian(head + 2, 2);
    if (form == 127) return cws_big_endian(head + 2, 8);
    return form;
}

/* `to` has room for 14 bytes. Returns how many were written. */
static inline size_t cws_write_header(uint8_t *to, uint8_t start, int masked, uint64_t size, uint32_t key) {
    uint8_t bit = masked ? 0x80 : 0;
    size_t n = 2, i;
    to[0] = start;
    if (size < 126) {
        to[1] = bit | (uint8_t)size;
    } else if (size < 65536) {
        to[1] = bit | 126;
        n = 4;
    } else {
        to[1] = bit | 127;
        n = 10;
    }
    for (i = 2; i < n; i++) to[i] = (uint8_t)(size >> (8 * (n - 1 - i)));
    if (masked) {
        memcpy(to + n, &key, 4); /* the key is kept as it lies in memory */
        n += 4;
    }
    return n;
}

#endif
