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

/* Returns 1 if everything so far may be the beginning of valid UTF-8, 0 from the first byte on that says otherwise. */
static int cws_utf8_feed(cws_utf8_state *state, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    uint64_t a, b;
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
        while (end - p >= 16) {
            memcpy(&a, p, 8);
            memcpy(&b, p + 8, 8);
            if ((a | b) & 0x8080808080808080ULL) break;
            p += 16;
        }
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

static inline uint32_t cws_code_point(int kind, const void *text, size_t i) {
    if (kind == 1) return ((const uint8_t *)text)[i];
    if (kind == 2) return ((const uint16_t *)text)[i];
    return ((const uint32_t *)text)[i];
}

/* How many bytes `n` characters take, or -1 if one of them is a surrogate. */
static inline ptrdiff_t cws_utf8_size(int kind, const void *text, size_t n) {
    size_t size = 0, i;
    uint32_t c;
    for (i = 0; i < n; i++) {
        c = cws_code_point(kind, text, i);
        if (c >= 0xD800 && c <= 0xDFFF) return -1;
        size += 1 + (c >= 0x80) + (c >= 0x800) + (c >= 0x10000);
    }
    return (ptrdiff_t)size;
}

static inline void cws_utf8_write(uint8_t *to, int kind, const void *text, size_t n) {
    size_t i;
    uint32_t c;
    for (i = 0; i < n; i++) {
        c = cws_code_point(kind, text, i);
        if (c < 0x80) {
            *to++ = (uint8_t)c;
        } else if (c < 0x800) {
            *to++ = (uint8_t)(0xC0 | (c >> 6));
            *to++ = (uint8_t)(0x80 | (c & 0x3F));
        } else if (c < 0x10000) {
            *to++ = (uint8_t)(0xE0 | (c >> 12));
            *to++ = (uint8_t)(0x80 | ((c >> 6) & 0x3F));
            *to++ = (uint8_t)(0x80 | (c & 0x3F));
        } else {
            *to++ = (uint8_t)(0xF0 | (c >> 18));
            *to++ = (uint8_t)(0x80 | ((c >> 12) & 0x3F));
            *to++ = (uint8_t)(0x80 | ((c >> 6) & 0x3F));
            *to++ = (uint8_t)(0x80 | (c & 0x3F));
        }
    }
}

#endif
