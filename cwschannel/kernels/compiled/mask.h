/* dst = src XOR key, repeated. dst and src are the same or do not overlap.
 *
 * Ordinary stores, on purpose: non-temporal ones bypass the cache from which the next step reads, and were measured 25 to 80
 * times slower between 64 bytes and 1 KiB.
 */
#ifndef CWS_MASK_H
#define CWS_MASK_H

#include "cpu.h"

/* The key as it lies in memory, turned so that its first byte meets payload byte number `offset`. */
static inline uint32_t cws_turn_key(uint32_t key, size_t offset) {
    uint8_t from[4], to[4];
    size_t i;
    memcpy(from, &key, 4);
    for (i = 0; i < 4; i++) to[i] = from[(i + offset) & 3];
    memcpy(&key, to, 4);
    return key;
}

static inline void cws_mask_words(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    uint64_t wide = ((uint64_t)key << 32) | key, word;
    uint8_t bytes[4];
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, src + i, 8);
        word ^= wide;
        memcpy(dst + i, &word, 8);
    }
    memcpy(bytes, &key, 4);
    for (; i < n; i++) dst[i] = src[i] ^ bytes[i & 3];
}

#if defined(__GNUC__) || defined(__clang__)

/* Vectors of the compiler's own kind: SSE2, AVX2, AVX-512 or NEON, whichever the function may use. A macro, because an
 * inlined function would be lowered for the baseline before it is inlined into one with a wider target. */
#define CWS_DEFINE_MASK(name, target, width)                                               \
    target static void name(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {    \
        typedef uint32_t vector __attribute__((vector_size(width)));                       \
        vector keys, a, b;                                                                 \
        size_t i = 0;                                                                      \
        if (n >= (width)) {                                                                \
            keys = (vector){0} + key;                                                      \
            for (; i + 2 * (width) <= n; i += 2 * (width)) {                               \
                memcpy(&a, src + i, (width));                                              \
                memcpy(&b, src + i + (width), (width));                                    \
                a ^= keys;                                                                 \
                b ^= keys;                                                                 \
                memcpy(dst + i, &a, (width));                                              \
                memcpy(dst + i + (width), &b, (width));                                    \
            }                                                                              \
            if (i + (width) <= n) {                                                        \
                memcpy(&a, src + i, (width));                                              \
                a ^= keys;                                                                 \
                memcpy(dst + i, &a, (width));                                              \
                i += (width);                                                              \
            }                                                                              \
        }                                                                                  \
        cws_mask_words(dst + i, src + i, n - i, key);                                      \
    }

CWS_DEFINE_MASK(cws_mask_baseline, , 16)
#if CWS_X86_DISPATCH
CWS_DEFINE_MASK(cws_mask_avx2, CWS_TARGET("avx2"), 32)
CWS_DEFINE_MASK(cws_mask_avx512, CWS_TARGET("avx512f"), 64)
#endif

#else /* MSVC and others: 8 bytes at a time, which their optimiser turns into vectors or not */

static void cws_mask_baseline(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    cws_mask_words(dst, src, n, key);
}

#endif

typedef void (*cws_mask_function)(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key);

/* The function for a level, or for the best level below it that this build and this processor have. */
static inline cws_mask_function cws_choose_mask(int level) {
#if CWS_X86_DISPATCH
    int best = cws_vector_level();
    if (level > best) level = best;
    if (level == CWS_LEVEL_AVX512) return cws_mask_avx512;
    if (level == CWS_LEVEL_AVX2) return cws_mask_avx2;
#else
    (void)level;
#endif
    return cws_mask_baseline;
}

/* Chosen when a module that includes this is loaded; every load chooses the same. */
static cws_mask_function cws_mask = cws_mask_baseline;

static inline void cws_init_mask(void) { cws_mask = cws_choose_mask(CWS_LEVEL_AVX512); }

#endif
