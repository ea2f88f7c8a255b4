/* The three widths in which CPython stores text, to UTF-8 (RFC 3629). */
#ifndef CWS_ENCODE_H
#define CWS_ENCODE_H

#include "places.h"

/* How many bytes `n` characters take. No branch, so that the compiler turns it into vectors, for each target into its own. A
 * surrogate makes the size -1. */
#define CWS_DEFINE_SIZE(name, target, type)                                     \
    target static inline ptrdiff_t name(const type *text, size_t n) {           \
        size_t size = n, done = 0, part, i;                                     \
        uint32_t surrogates = 0, more;                                          \
        for (; done < n; done += part) { /* counted in 32 bits, which is faster */ \
            part = n - done < 65536 ? n - done : 65536;                         \
            for (more = 0, i = done; i < done + part; i++) {                    \
                uint32_t c = text[i];                                           \
                more += (uint32_t)(c >= 0x80) + (c >= 0x800) + (c >= 0x10000);  \
                surrogates |= (uint32_t)((c & 0xFFFFF800u) == 0xD800u);         \
            }                                                                   \
            size += more;                                                       \
        }                                                                       \
        return surrogates ? -1 : (ptrdiff_t)size;                               \
    }

/* How to write them, `n` characters that take `size` bytes. */
#define CWS_DEFINE_WRITE(name, type)                                            \
    static inline void name(uint8_t *to, const type *text, size_t n, size_t size) { \
        const type *end = text + n;                                             \
        (void)size;                                                             \
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

CWS_DEFINE_SIZE(cws_size_baseline_1, , uint8_t)
CWS_DEFINE_SIZE(cws_size_baseline_2, , uint16_t)
CWS_DEFINE_SIZE(cws_size_baseline_4, , uint32_t)
CWS_DEFINE_WRITE(cws_write_baseline_1, uint8_t)
CWS_DEFINE_WRITE(cws_write_baseline_2, uint16_t)
CWS_DEFINE_WRITE(cws_write_baseline_4, uint32_t)

#if CWS_X86_64

CWS_DEFINE_SIZE(cws_size_avx2_1, CWS_AVX2, uint8_t)
CWS_DEFINE_SIZE(cws_size_avx2_2, CWS_AVX2, uint16_t)
CWS_DEFINE_SIZE(cws_size_avx2_4, CWS_AVX2, uint32_t)
CWS_DEFINE_SIZE(cws_size_avx512_1, CWS_AVX512, uint8_t)
CWS_DEFINE_SIZE(cws_size_avx512_2, CWS_AVX512, uint16_t)
CWS_DEFINE_SIZE(cws_size_avx512_4, CWS_AVX512, uint32_t)

/* Each character is spread over the four bytes of a number, its last 6 bits in the last byte; what is not used of them is
 * left out then. Bytes that are used have their top bit set, but for ASCII, which is the last byte. */
CWS_AVX2 static inline uint8_t *cws_encode_8(uint8_t *to, __m256i c) {
    const __m256i six = _mm256_set1_epi32(0x3F);
    __m256i v = _mm256_slli_epi32(_mm256_and_si256(c, six), 24), marks;
    uint32_t used;
    uint64_t two[4];
    int i;
    v = _mm256_or_si256(v, _mm256_slli_epi32(_mm256_and_si256(_mm256_srli_epi32(c, 6), six), 16));
    v = _mm256_or_si256(v, _mm256_slli_epi32(_mm256_and_si256(_mm256_srli_epi32(c, 12), six), 8));
    v = _mm256_or_si256(v, _mm256_srli_epi32(c, 18));
    marks = _mm256_set1_epi32((int)0x80C00000);
    marks = _mm256_blendv_epi8(
        marks, _mm256_set1_epi32((int)0x8080E000), _mm256_cmpgt_epi32(c, _mm256_set1_epi32(0x7FF)));
    marks = _mm256_blendv_epi8(
        marks, _mm256_set1_epi32((int)0x808080F0), _mm256_cmpgt_epi32(c, _mm256_set1_epi32(0xFFFF)));
    v = _mm256_blendv_epi8(
        _mm256_slli_epi32(c, 24), _mm256_or_si256(v, marks), _mm256_cmpgt_epi32(c, _mm256_set1_epi32(0x7F)));
    used = (uint32_t)_mm256_movemask_epi8(v) | 0x88888888u;
    _mm256_storeu_si256((__m256i *)two, v);
    for (i = 0; i < 4; i++, used >>= 8) {
        const __m128i places = _mm_loadl_epi64((const __m128i *)cws_places[used & 0xFF]);
        _mm_storel_epi64((__m128i *)to, _mm_shuffle_epi8(_mm_cvtsi64_si128((long long)two[i]), places));
        to += __builtin_popcount(used & 0xFF);
    }
    return to;
}

CWS_AVX512 static inline uint8_t *cws_encode_16(uint8_t *to, const uint8_t *end, __m512i c, int n) {
    const __m512i six = _mm512_set1_epi32(0x3F);
    __m512i v = _mm512_slli_epi32(_mm512_and_si512(c, six), 24), marks;
    uint64_t used;
    ptrdiff_t size;
    v = _mm512_or_si512(v, _mm512_slli_epi32(_mm512_and_si512(_mm512_srli_epi32(c, 6), six), 16));
    v = _mm512_or_si512(v, _mm512_slli_epi32(_mm512_and_si512(_mm512_srli_epi32(c, 12), six), 8));
    v = _mm512_or_si512(v, _mm512_srli_epi32(c, 18));
    marks = _mm512_set1_epi32((int)0x80C00000);
    marks = _mm512_mask_mov_epi32(
        marks, _mm512_cmpgt_epi32_mask(c, _mm512_set1_epi32(0x7FF)), _mm512_set1_epi32((int)0x8080E000));
    marks = _mm512_mask_mov_epi32(
        marks, _mm512_cmpgt_epi32_mask(c, _mm512_set1_epi32(0xFFFF)), _mm512_set1_epi32((int)0x808080F0));
    v = _mm512_mask_or_epi32(
        _mm512_slli_epi32(c, 24), _mm512_cmpgt_epi32_mask(c, _mm512_set1_epi32(0x7F)), v, marks);
    used = (_mm512_movepi8_mask(v) | 0x8888888888888888ULL) & cws_low_bits(4 * n);
    size = (ptrdiff_t)__builtin_popcountll(used);
    v = _mm512_mask_compress_epi8(v, used, v); /* not zeros behind it: see decode.h */
    if (end - to >= 64)
        _mm512_storeu_si512(to, v);
    else
        _mm512_mask_storeu_epi8(to, cws_low_bits(size), v);
    return to + size;
}

#define CWS_WIDE_256_1(p) _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p)))
#define CWS_WIDE_256_2(p) _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p)))
#define CWS_WIDE_256_4(p) _mm256_loadu_si256((const __m256i *)(p))
#define CWS_WIDE_512_1(p) _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p)))
#define CWS_WIDE_512_2(p) _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p)))
#define CWS_WIDE_512_4(p) _mm512_loadu_si512(p)

#define CWS_REST_512_1(n, p) _mm512_cvtepu8_epi32(_mm512_castsi512_si128(_mm512_maskz_loadu_epi8(cws_low_bits(n), p)))
#define CWS_REST_512_2(n, p) \
    _mm512_cvtepu16_epi32(_mm512_castsi512_si256(_mm512_maskz_loadu_epi16((__mmask32)cws_low_bits(n), p)))
#define CWS_REST_512_4(n, p) _mm512_maskz_loadu_epi32((__mmask16)cws_low_bits(n), p)

/* Eight characters may be written 8 bytes too far, for which at least 8 characters that follow have room. */
#define CWS_DEFINE_VECTOR_WRITE(width, type)                                                                       \
    CWS_AVX2 static inline void cws_write_avx2_##width(uint8_t *to, const type *text, size_t n, size_t size) {     \
        const uint8_t *begin = to;                                                                                 \
        for (; n >= 16; n -= 8, text += 8) to = cws_encode_8(to, CWS_WIDE_256_##width(text));                      \
        cws_write_baseline_##width(to, text, n, size - (size_t)(to - begin));                                      \
    }                                                                                                              \
    CWS_AVX512 static inline void cws_write_avx512_##width(uint8_t *to, const type *text, size_t n, size_t size) { \
        const uint8_t *end = to + size;                                                                            \
        for (; n >= 16; n -= 16, text += 16) to = cws_encode_16(to, end, CWS_WIDE_512_##width(text), 16);          \
        if (n) cws_encode_16(to, end, CWS_REST_512_##width((ptrdiff_t)n, text), (int)n);                           \
    }

CWS_DEFINE_VECTOR_WRITE(1, uint8_t)
CWS_DEFINE_VECTOR_WRITE(2, uint16_t)
CWS_DEFINE_VECTOR_WRITE(4, uint32_t)

#define CWS_CHOOSE(level, name, arguments)                                                                         \
    ((level) == CWS_LEVEL_AVX512 ? cws_##name##_avx512_##arguments                                                 \
     : (level) == CWS_LEVEL_AVX2 ? cws_##name##_avx2_##arguments                                                   \
                                 : cws_##name##_baseline_##arguments)
#else
#define CWS_CHOOSE(level, name, arguments) ((void)(level), cws_##name##_baseline_##arguments)
#endif

/* Fewer characters than this are encoded one by one at every level. */
#define CWS_FEW 16

/* `width` is that of a character in bytes. */
static inline ptrdiff_t cws_utf8_size(int level, int width, const void *text, size_t n) {
    if (n < CWS_FEW) level = CWS_LEVEL_BASELINE;
    if (width == 1) return CWS_CHOOSE(level, size, 1((const uint8_t *)text, n));
    if (width == 2) return CWS_CHOOSE(level, size, 2((const uint16_t *)text, n));
    return CWS_CHOOSE(level, size, 4((const uint32_t *)text, n));
}

/* `size` is what the function above has returned. */
static inline void cws_utf8_write(int level, uint8_t *to, size_t size, int width, const void *text, size_t n) {
    if (n < CWS_FEW) level = CWS_LEVEL_BASELINE;
    if (width == 1)
        CWS_CHOOSE(level, write, 1(to, (const uint8_t *)text, n, size));
    else if (width == 2)
        CWS_CHOOSE(level, write, 2(to, (const uint16_t *)text, n, size));
    else
        CWS_CHOOSE(level, write, 4(to, (const uint32_t *)text, n, size));
}

#endif
