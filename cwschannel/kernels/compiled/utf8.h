/* UTF-8 (RFC 3629) that comes in pieces: an incremental validator. */
#ifndef CWS_UTF8_H
#define CWS_UTF8_H

#include "measure.h"

/* All zero: between two characters. Else `need` more bytes must come, the next of them from `low` to `high`. */
typedef struct {
    uint8_t need;
    uint8_t low;
    uint8_t high;
} cws_utf8_state;

/* Fewer bytes than this are looked at one by one. */
#define CWS_WORTH_VECTORS 32

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

/* How many of the last bytes belong to a character that goes on after them, if the text is valid. */
static inline size_t cws_utf8_unfinished(const uint8_t *p, size_t n) {
    size_t i;
    for (i = 1; i <= 3 && i <= n; i++) {
        uint8_t c = p[n - i];
        if (!CWS_IS_CONTINUATION(c)) return (c >= 0xC0) + (size_t)(c >= 0xE0) + (size_t)(c >= 0xF0) >= i ? i : 0;
    }
    return 0;
}

/* Returns 1 if everything so far may be the beginning of valid UTF-8, 0 from the first byte on that says otherwise. */
static inline int cws_utf8_feed(int level, cws_utf8_state *state, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    uint8_t c, need = state->need, low = state->low, high = state->high;
    while (p < end) {
        if (!need && level != CWS_LEVEL_BASELINE && end - p >= CWS_WORTH_VECTORS) {
            /* whole characters by vectors, and the rest of the last one here */
            size_t whole = (size_t)(end - p) - cws_utf8_unfinished(p, (size_t)(end - p));
            cws_measure measure;
            if (!cws_measure_at(level, (uint8_t *)p, whole, 0, 0, &measure)) return 0; /* nothing is written there */
            p += whole;
            if (p == end) break;
        }
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

#endif
