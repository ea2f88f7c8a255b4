/* Whole texts in UTF-8 (RFC 3629), 32 or 64 bytes at a time: whether they are valid, and how large a str they make.
 *
 * Whether two bytes may stand side by side is a matter of three half bytes: both of the first, and the upper of the second.
 * Each of the eight rules below is one bit of three tables of 16 entries; a bit that is set in all three is a rule broken.
 * One rule cannot be seen in two bytes: a continuation after a continuation is right where a character of three or four
 * bytes began two or three bytes before, and nowhere else. (The idea is that of J. Keiser and D. Lemire, "Validating UTF-8
 * in less than one instruction per byte", 2020.)
 */
#ifndef CWS_MEASURE_H
#define CWS_MEASURE_H

#include "cpu.h"

typedef struct {
    size_t characters;
    uint32_t highest; /* the class of the highest code point: 0x7F, 0xFF, 0xFFFF or 0x10FFFF */
} cws_measure;

#if CWS_X86_64

/* Bit n of a number stands for half byte n. The rule that is right at times is the one with the top bit. */
static const uint16_t cws_pair_rules[8][3] = {
    {0xF000, 0xFFFF, 0xF0FF}, /* C0-FF, then no continuation */
    {0x00FF, 0xFFFF, 0x0F00}, /* 00-7F, then a continuation */
    {0x1000, 0x0003, 0x0F00}, /* C0-C1: overlong */
    {0x4000, 0x0001, 0x0300}, /* E0, then 80-9F: overlong */
    {0x4000, 0x2000, 0x0C00}, /* ED, then A0-BF: a surrogate */
    {0x8000, 0xFFE1, 0x0100}, /* F0, then 80-8F: overlong; F5-FF: beyond U+10FFFF */
    {0x8000, 0xFFF0, 0x0E00}, /* F4-FF, then 90-BF: beyond U+10FFFF */
    {0x0F00, 0xFFFF, 0x0F00}, /* a continuation, then another */
};

static uint8_t cws_pair_tables[3][16];

static inline void cws_init_pair_tables(void) {
    int table, half, rule;
    for (table = 0; table < 3; table++)
        for (half = 0; half < 16; half++) {
            uint8_t bits = 0;
            for (rule = 0; rule < 8; rule++) bits |= (uint8_t)(((cws_pair_rules[rule][table] >> half) & 1) << rule);
            cws_pair_tables[table][half] = bits;
        }
}

/* Names for what AVX2 and AVX-512 call differently, so that the checking is written once. */
#define CWS_TABLE_256(i) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)cws_pair_tables[i]))
#define CWS_TABLE_512(i) _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)cws_pair_tables[i]))
/* the last 16 bytes of each 16-byte lane's predecessor */
#define CWS_SEAM_256(now, before) _mm256_permute2x128_si256(before, now, 0x21)
#define CWS_SEAM_512(now, before) _mm512_alignr_epi32(now, before, 12)
#define CWS_XOR_256 _mm256_xor_si256
#define CWS_XOR_512 _mm512_xor_si512
#define CWS_OR_256 _mm256_or_si256
#define CWS_OR_512 _mm512_or_si512
#define CWS_AND_256 _mm256_and_si256
#define CWS_AND_512 _mm512_and_si512
#define CWS_ZERO_256 _mm256_setzero_si256()
#define CWS_ZERO_512 _mm512_setzero_si512()
#define CWS_LOAD_256(p) _mm256_loadu_si256((const __m256i *)(p))
#define CWS_LOAD_512(p) _mm512_loadu_si512(p)
#define CWS_STORE_256(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define CWS_STORE_512(p, v) _mm512_storeu_si512(p, v)
#define CWS_TOP_BITS_256(v) ((uint32_t)_mm256_movemask_epi8(v))
#define CWS_TOP_BITS_512(v) _mm512_movepi8_mask(v)
/* 1 for each byte that is no continuation */
#define CWS_LEADS_256(v) ((uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi8(v, _mm256_set1_epi8(-65))))
#define CWS_LEADS_512(v) _mm512_cmpgt_epi8_mask(v, _mm512_set1_epi8(-65))
#define CWS_IS_ZERO_256(v) _mm256_testz_si256(v, v)
#define CWS_IS_ZERO_512(v) (!_mm512_test_epi8_mask(v, v))

/* Fewer bytes than a vector has, then zeros. */
CWS_TARGET("avx2") static inline __m256i cws_unmask_rest_256(uint8_t *p, size_t n, int masked, __m256i keys) {
    static const uint8_t kept[64] = {
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    };
    uint8_t rest[32] = {0};
    __m256i v;
    memcpy(rest, p, n);
    v = _mm256_xor_si256(CWS_LOAD_256(rest), keys);
    if (masked) {
        CWS_STORE_256(rest, v);
        memcpy(p, rest, n);
    }
    return _mm256_and_si256(v, CWS_LOAD_256(kept + 32 - n));
}

CWS_TARGET("avx512f,avx512bw") static inline __m512i
cws_unmask_rest_512(uint8_t *p, size_t n, int masked, __m512i keys) {
    const __mmask64 kept = ((uint64_t)1 << n) - 1;
    const __m512i v = _mm512_maskz_mov_epi8(kept, _mm512_xor_si512(_mm512_maskz_loadu_epi8(kept, p), keys));
    if (masked) _mm512_mask_storeu_epi8(p, kept, v);
    return v;
}

/* Masked text is unmasked where it is, on the way: vectors cannot be read before what was just written there word by word
 * has gone to the cache, which cost short texts a fifth. */
#define CWS_DEFINE_MEASURE(name, target, type, W, bits, width)                                                             \
    /* Not zero where `now` breaks a rule, or ends what `before` has begun and breaks one so. */                           \
    target static inline type cws_broken_##W(                                                                              \
        type now, type before, type first_upper, type first_lower, type second) {                                          \
        const type half = _mm##W##_set1_epi8(0x0F), seam = CWS_SEAM_##W(now, before);                                      \
        const type one = _mm##W##_alignr_epi8(now, seam, 15);                                                              \
        const type two = _mm##W##_alignr_epi8(now, seam, 14);                                                              \
        const type three = _mm##W##_alignr_epi8(now, seam, 13);                                                            \
        type pairs = _mm##W##_shuffle_epi8(first_upper, CWS_AND_##W(_mm##W##_srli_epi16(one, 4), half));                   \
        type third;                                                                                                        \
        pairs = CWS_AND_##W(pairs, _mm##W##_shuffle_epi8(first_lower, CWS_AND_##W(one, half)));                            \
        pairs = CWS_AND_##W(                                                                                               \
            pairs, _mm##W##_shuffle_epi8(second, CWS_AND_##W(_mm##W##_srli_epi16(now, 4), half)));                         \
        /* the top bit where E0-FF is two before, or F0-FF three before */                                                 \
        third = CWS_OR_##W(                                                                                                \
            _mm##W##_subs_epu8(two, _mm##W##_set1_epi8(0x60)),                                                             \
            _mm##W##_subs_epu8(three, _mm##W##_set1_epi8(0x70)));                                                          \
        return CWS_XOR_##W(pairs, CWS_AND_##W(third, _mm##W##_set1_epi8((char)0x80)));                                     \
    }                                                                                                                      \
    target static inline int name(uint8_t *p, size_t n, int masked, uint32_t key, cws_measure *measure) {                  \
        /* read once: for all the compiler knows, what is stored below could change them */                                \
        const type first_upper = CWS_TABLE_##W(0), first_lower = CWS_TABLE_##W(1), second = CWS_TABLE_##W(2);              \
        const type keys = _mm##W##_set1_epi32(masked ? (int)key : 0);                                                      \
        type before = CWS_ZERO_##W, wrong = CWS_ZERO_##W, highest = CWS_ZERO_##W, now, next;                               \
        size_t i = 0, characters;                                                                                          \
        bits high, open = 0; /* within a character, perhaps */                                                             \
        for (; n - i >= 2 * (width); i += 2 * (width)) {                                                                   \
            now = CWS_XOR_##W(CWS_LOAD_##W(p + i), keys);                                                                  \
            next = CWS_XOR_##W(CWS_LOAD_##W(p + i + (width)), keys);                                                       \
            if (CWS_TOP_BITS_##W(CWS_OR_##W(now, next))) break;                                                            \
            if (masked) {                                                                                                  \
                CWS_STORE_##W(p + i, now);                                                                                 \
                CWS_STORE_##W(p + i + (width), next);                                                                      \
            }                                                                                                              \
        }                                                                                                                  \
        characters = i;                                                                                                    \
        for (; n - i >= (width); i += (width)) {                                                                           \
            now = CWS_XOR_##W(CWS_LOAD_##W(p + i), keys);                                                                  \
            if (masked) CWS_STORE_##W(p + i, now);                                                                         \
            high = CWS_TOP_BITS_##W(now);                                                                                  \
            if (high | open) {                                                                                             \
                wrong = CWS_OR_##W(wrong, cws_broken_##W(now, before, first_upper, first_lower, second));                  \
                highest = _mm##W##_max_epu8(highest, now);                                                                 \
            }                                                                                                              \
            characters += (size_t)__builtin_popcountll(CWS_LEADS_##W(now));                                                \
            open = high >> ((width) - 3);                                                                                  \
            before = now;                                                                                                  \
        }                                                                                                                  \
        /* Not within the loop: the call of memcpy would keep all that it needs out of registers. The zeros behind the end \
         * are wrong within a character. */                                                                                \
        if (i < n || open) {                                                                                               \
            now = cws_unmask_rest_##W(p + i, n - i, masked, keys);                                                         \
            wrong = CWS_OR_##W(wrong, cws_broken_##W(now, before, first_upper, first_lower, second));                      \
            highest = _mm##W##_max_epu8(highest, now);                                                                     \
            characters += (size_t)__builtin_popcountll(CWS_LEADS_##W(now)) - ((width) - (n - i));                          \
        }                                                                                                                  \
        measure->characters = characters;                                                                                  \
        measure->highest =                                                                                                 \
            !CWS_TOP_BITS_##W(highest)                                                   ? 0x7F                            \
            : !CWS_TOP_BITS_##W(_mm##W##_subs_epu8(highest, _mm##W##_set1_epi8(0x44))) ? 0xFF   /* C2, C3 */               \
            : !CWS_TOP_BITS_##W(_mm##W##_subs_epu8(highest, _mm##W##_set1_epi8(0x70))) ? 0xFFFF /* to EF */                \
                                                                                       : 0x10FFFF;                         \
        return CWS_IS_ZERO_##W(wrong);                                                                                     \
    }

CWS_DEFINE_MEASURE(cws_measure_avx2, CWS_TARGET("avx2,popcnt"), __m256i, 256, uint32_t, 32)
CWS_DEFINE_MEASURE(cws_measure_avx512, CWS_TARGET("avx512f,avx512bw,popcnt"), __m512i, 512, uint64_t, 64)

#else

static inline void cws_init_pair_tables(void) {}

#endif

/* Returns 0 if the text is not valid, or ends within a character. Text that is `masked` is unmasked where it is. The level
 * is not the baseline, for which there is nothing here: Python's own decoder looks at everything only once. */
static inline int cws_measure_at(int level, uint8_t *p, size_t n, int masked, uint32_t key, cws_measure *measure) {
#if CWS_X86_64
    if (level == CWS_LEVEL_AVX512) return cws_measure_avx512(p, n, masked, key, measure);
    return cws_measure_avx2(p, n, masked, key, measure);
#else
    (void)level, (void)p, (void)n, (void)masked, (void)key, (void)measure;
    return 0;
#endif
}

#endif
