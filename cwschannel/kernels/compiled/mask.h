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
    uint32_t half;
    uint8_t bytes[4];
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, src + i, 8);
        word ^= wide;
        memcpy(dst + i, &word, 8);
    }
    if (i + 4 <= n) {
        memcpy(&half, src + i, 4);
        half ^= key;
        memcpy(dst + i, &half, 4);
        i += 4;
    }
    memcpy(bytes, &key, 4);
    for (; i < n; i++) dst[i] = src[i] ^ bytes[i & 3];
}

#if defined(__GNUC__) || defined(__clang__)

/* From this size on, stores are to whole lines of the cache: 16 KiB are then masked in place in three quarters of the time,
 * and the few bytes before the first line cost less than that saves. */
#define CWS_WORTH_ALIGNING 8192

/* Vectors of the compiler's own kind: SSE2, AVX2, AVX-512 or NEON, whichever the function may use. A macro, because an
 * inlined function would be lowered for the baseline before it is inlined into one with a wider target. */
#define CWS_DEFINE_MASK(name, target, width)                                               \
    target static void name(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {    \
        typedef uint32_t vector __attribute__((vector_size(width)));                       \
        vector keys, a, b, c, d;                                                           \
        size_t i = 0;                                                                      \
        if (n >= CWS_WORTH_ALIGNING) {                                                     \
            i = (size_t)(-(uintptr_t)dst & ((width) - 1));                                 \
            cws_mask_words(dst, src, i, key);                                              \
            key = cws_turn_key(key, i);                                                    \
        }                                                                                  \
        if (n - i >= (width)) {                                                            \
            keys = (vector){0} + key;                                                      \
            for (; i + 4 * (width) <= n; i += 4 * (width)) {                               \
                memcpy(&a, src + i, (width));                                              \
                memcpy(&b, src + i + (width), (width));                                    \
                memcpy(&c, src + i + 2 * (width), (width));                                \
                memcpy(&d, src + i + 3 * (width), (width));                                \
                a ^= keys;                                                                 \
                b ^= keys;                                                                 \
                c ^= keys;                                                                 \
                d ^= keys;                                                                 \
                memcpy(dst + i, &a, (width));                                              \
                memcpy(dst + i + (width), &b, (width));                                    \
                memcpy(dst + i + 2 * (width), &c, (width));                                \
                memcpy(dst + i + 3 * (width), &d, (width));                                \
            }                                                                              \
            for (; i + (width) <= n; i += (width)) {                                       \
                memcpy(&a, src + i, (width));                                              \
                a ^= keys;                                                                 \
                memcpy(dst + i, &a, (width));                                              \
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
