/* UTF-8 (RFC 3629): an incremental validator, and an encoder from the three widths in which CPython stores text. */
#ifndef CWS_UTF8_H
#define CWS_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* All zero: between two characters. Else `need` more bytes must come, the next of them from `low` to `high`. */
typedef struct {
    uint8_t need;
    uint8_t low;
    uint8_t high;
} cws_utf8_state;

#define CWS_IS_CONTINUATION(c) (((c) & 0xC0) == 0x80)

/* Skip whole characters. Returns the first that is not whole, not valid, or too near to the end to be looked at whole. */
static inline const uint8_t *cws_utf8_skip(const uint8_t *p, const uint8_t *end) {
    const uint8_t *stop;
    uint64_t a, b;
    uint32_t c;
    for (;;) {
        while (end - p >= 16) {
            memcpy(&a, p, 8);
            memcpy(&b, p + 8, 8);
            if ((a | b) & 0x8080808080808080ULL) break;
            p += 16;
        }
        if (end - p < 4) return p;
        /* Text that is not ASCII seldom turns to it for long: look at some characters one by one. */
        stop = end - p < 64 ? end - 3 : p + 61;
        while (p < stop) {
            if (p[0] < 0x80) {
                p++;
            } else if (p[0] < 0xE0) {
                if (p[0] < 0xC2 || !CWS_IS_CONTINUATION(p[1])) return p;
                p += 2;
            } else if (p[0] < 0xF0) {
                c = ((uint32_t)(p[0] & 0x0F) << 12) | ((uint32_t)(p[1] & 0x3F) << 6);
                if (!CWS_IS_CONTINUATION(p[1]) || !CWS_IS_CONTINUATION(p[2])) return p;
                if (c < 0x800 || (c & 0xF800) == 0xD800) return p; /* overlong, or a surrogate */
                p += 3;
            } else {
                c = ((uint32_t)(p[0] & 0x0F) << 18) | ((uint32_t)(p[1] & 0x3F) << 12);
                if (!CWS_IS_CONTINUATION(p[1]) || !CWS_IS_CONTINUATION(p[2]) || !CWS_IS_CONTINUATION(p[3])) return p;
                if (c < 0x10000 || c > 0x10FFFF) return p; /* overlong, or beyond the last code point */
                p += 4;
            }
        }
    }
}

/* Returns 1 if everything so far may be the beginning of valid UTF-8, 0 from the first byte on that says otherwise. */
static inline int cws_utf8_feed(cws_utf8_state *state, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    uint8_t c, need = state->need, low = state->low, high = state->high;
    while (p < end) {
        if (need) {
            c = *p++;
            if (c < low || c > high) return 0;
            low = 0x80;
            high = 0xBF;
            need--;
            continue;
        }
        p = cws_utf8_skip(p, end);
        if (p == end) break;
        c = *p++;
        if (c < 0x80) continue;
        low = 0x80;
        high = 0xBF;
        if (c < 0xC2) { /* a continuation byte, or an overlong form of two bytes */
            return 0;
        } else if (c < 0xE0) {
            need = 1;
        } else if (c < 0xF0) {
            need = 2;
            if (c == 0xE0) low = 0xA0;  /* below: overlong */
            if (c == 0xED) high = 0x9F; /* above: surrogates */
        } else if (c < 0xF5) {
            need = 3;
            if (c == 0xF0) low = 0x90;  /* below: overlong */
            if (c == 0xF4) high = 0x8F; /* above: beyond U+10FFFF */
        } else {
            return 0;
        }
    }
    state->need = need;
    state->low = low;
    state->high = high;
    return 1;
}

/* How many bytes `n` characters take, and how to write them, for each width of characters. No branch in the counting, so that
 * the compiler turns it into vectors. A surrogate makes the size -1. */
#define CWS_DEFINE_UTF8(type, size_name, write_name)                            \
    static ptrdiff_t size_name(const type *text, size_t n) {                    \
        size_t size = n, i;                                                     \
        uint32_t surrogates = 0;                                                \
        for (i = 0; i < n; i++) {                                               \
            uint32_t c = text[i];                                               \
            size += (size_t)(c >= 0x80) + (c >= 0x800) + (c >= 0x10000);        \
            surrogates |= (uint32_t)((c & 0xFFFFF800u) == 0xD800u);             \
        }                                                                       \
        return surrogates ? -1 : (ptrdiff_t)size;                               \
    }                                                                           \
    static void write_name(uint8_t *to, const type *text, size_t n) {           \
        const type *end = text + n;                                             \
        while (text < end) {                                                    \
            uint32_t c = *text++;                                               \
            if (c < 0x80) {                                                     \
                *to++ = (uint8_t)c;                                             \
            } else if (c < 0x800) {                                             \
                to[0] = (uint8_t)(0xC0 | (c >> 6));                             \
                to[1] = (uint8_t)(0x80 | (c & 0x3F));                           \
                to += 2;                                                        \
            } else if (c < 0x10000) {                                           \
                to[0] = (uint8_t)(0xE0 | (c >> 12));                            \
                to[1] = (uint8_t)(0x80 | ((c >> 6) & 0x3F));                    \
                to[2] = (uint8_t)(0x80 | (c & 0x3F));                           \
                to += 3;                                                        \
            } else {                                                            \
                to[0] = (uint8_t)(0xF0 | (c >> 18));                            \
                to[1] = (uint8_t)(0x80 | ((c >> 12) & 0x3F));                   \
                to[2] = (uint8_t)(0x80 | ((c >> 6) & 0x3F));                    \
                to[3] = (uint8_t)(0x80 | (c & 0x3F));                           \
                to += 4;                                                        \
            }                                                                   \
        }                                                                       \
    }

CWS_DEFINE_UTF8(uint8_t, cws_utf8_size_1, cws_utf8_write_1)
CWS_DEFINE_UTF8(uint16_t, cws_utf8_size_2, cws_utf8_write_2)
CWS_DEFINE_UTF8(uint32_t, cws_utf8_size_4, cws_utf8_write_4)

/* `kind` is the width of a character in bytes. */
static inline ptrdiff_t cws_utf8_size(int kind, const void *text, size_t n) {
    if (kind == 1) return cws_utf8_size_1((const uint8_t *)text, n);
    if (kind == 2) return cws_utf8_size_2((const uint16_t *)text, n);
    return cws_utf8_size_4((const uint32_t *)text, n);
}

static inline void cws_utf8_write(uint8_t *to, int kind, const void *text, size_t n) {
    if (kind == 1)
        cws_utf8_write_1(to, (const uint8_t *)text, n);
    else if (kind == 2)
        cws_utf8_write_2(to, (const uint16_t *)text, n);
    else
        cws_utf8_write_4(to, (const uint32_t *)text, n);
}

#endif
