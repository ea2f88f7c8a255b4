/* Valid UTF-8 to the three widths in which CPython stores text, by vectors.
 *
 * Each place of the text is taken for the beginning of a character, whose second, third and fourth byte are those behind it.
 * What comes out at the places where none begins is then left out. `to` has room for exactly the characters there are;
 * nothing is read behind the end of the text.
 */
#ifndef CWS_DECODE_H
#define CWS_DECODE_H

#include "measure.h"
#include "places.h"

#if CWS_X86_64

/* Each of these decodes 32 places, and returns where the next character goes. It may read 8 bytes more, and write up
 * to 8 characters too far. */
CWS_AVX2 static inline uint8_t *cws_decode_places_1(uint8_t *to, const uint8_t *p) {
    const __m256i first = CWS_LOAD_256(p), next = CWS_LOAD_256(p + 1);
    /* C2 leaves a continuation as it is, C3 sets one more bit */
    const __m256i bit = _mm256_and_si256(_mm256_cmpeq_epi8(first, _mm256_set1_epi8((char)0xC3)), _mm256_set1_epi8(0x40));
    const __m256i both = _mm256_blendv_epi8(first, _mm256_or_si256(next, bit), first);
    uint32_t leads = CWS_LEADS_256(first);
    uint64_t eight[4];
    int i;
    _mm256_storeu_si256((__m256i *)eight, both);
    for (i = 0; i < 4; i++, leads >>= 8) {
        const __m128i places = _mm_loadl_epi64((const __m128i *)cws_places[leads & 0xFF]);
        const __m128i units = _mm_shuffle_epi8(_mm_cvtsi64_si128((long long)eight[i]), places);
        _mm_storel_epi64((__m128i *)to, units);
        to += __builtin_popcount(leads & 0xFF);
    }
    return to;
}

CWS_AVX2 static inline uint16_t *cws_pick_2(uint16_t *to, __m128i units, uint32_t set) {
    _mm_storeu_si128((__m128i *)to, _mm_shuffle_epi8(units, _mm_loadu_si128((const __m128i *)cws_pairs[set])));
    return to + __builtin_popcount(set);
}

CWS_AVX2 static inline uint16_t *cws_decode_places_2(uint16_t *to, const uint8_t *p) {
    const __m256i six = _mm256_set1_epi16(0x3F);
    uint32_t leads = CWS_LEADS_256(CWS_LOAD_256(p));
    int i;
    for (i = 0; i < 2; i++, p += 16, leads >>= 16) {
        const __m256i first = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
        const __m256i second = _mm256_and_si256(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(p + 1))), six);
        const __m256i third = _mm256_and_si256(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(p + 2))), six);
        const __m256i two =
            _mm256_or_si256(_mm256_and_si256(_mm256_slli_epi16(first, 6), _mm256_set1_epi16(0x7C0)), second);
        const __m256i three =
            _mm256_or_si256(_mm256_slli_epi16(first, 12), _mm256_or_si256(_mm256_slli_epi16(second, 6), third));
        __m256i units = _mm256_blendv_epi8(first, two, _mm256_cmpgt_epi16(first, _mm256_set1_epi16(0xBF)));
        units = _mm256_blendv_epi8(units, three, _mm256_cmpgt_epi16(first, _mm256_set1_epi16(0xDF)));
        to = cws_pick_2(to, _mm256_castsi256_si128(units), leads & 0xFF);
        to = cws_pick_2(to, _mm256_extracti128_si256(units, 1), (leads >> 8) & 0xFF);
    }
    return to;
}

/* By the upper half of the first byte: the bits of it that count, and how many bits lie behind the character. */
#define CWS_FIRST_KEPT                                                                                            \
    _mm_setr_epi8(0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0, 0, 0, 0, 0x1F, 0x1F, 0x0F, 0x07)
#define CWS_FIRST_SPARE _mm_setr_epi8(24, 24, 24, 24, 24, 24, 24, 24, 0, 0, 0, 0, 16, 16, 8, 0)

CWS_AVX2 static inline uint32_t *cws_decode_places_4(uint32_t *to, const uint8_t *p) {
    /* Four bytes from each of eight places, the first one uppermost. */
    const __m256i windows = _mm256_setr_epi8(3, 2, 1, 0, 4, 3, 2, 1, 5, 4, 3, 2, 6, 5, 4, 3,
                                             7, 6, 5, 4, 8, 7, 6, 5, 9, 8, 7, 6, 10, 9, 8, 7);
    const __m256i kept = _mm256_broadcastsi128_si256(CWS_FIRST_KEPT), spare = _mm256_broadcastsi128_si256(CWS_FIRST_SPARE);
    uint32_t leads = CWS_LEADS_256(CWS_LOAD_256(p));
    int i;
    for (i = 0; i < 4; i++, leads >>= 8) {
        __m256i v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(p + 8 * i)));
        __m256i upper, bits, places;
        v = _mm256_shuffle_epi8(v, windows);
        upper = _mm256_or_si256(_mm256_srli_epi32(v, 28), _mm256_set1_epi32((int)0xFFFFFF00));
        bits = _mm256_slli_epi32(_mm256_shuffle_epi8(kept, upper), 24);
        v = _mm256_and_si256(v, _mm256_or_si256(bits, _mm256_set1_epi32(0x3F3F3F)));
        v = _mm256_srlv_epi32(v, _mm256_shuffle_epi8(spare, upper));
        /* Four times 6 bits, side by side. */
        v = _mm256_madd_epi16(_mm256_maddubs_epi16(v, _mm256_set1_epi16(0x4001)), _mm256_set1_epi32(0x10000001));
        places = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)cws_places[leads & 0xFF]));
        _mm256_storeu_si256((__m256i *)to, _mm256_permutevar8x32_epi32(v, places));
        to += __builtin_popcount(leads & 0xFF);
    }
    return to;
}

/* The last 67 bytes or fewer are decoded from and to memory with room behind its end. Before them, 36 bytes are left after
 * each step, in which at least 8 characters begin. */
#define CWS_DEFINE_DECODE_AVX2(width, type)                                                                       \
    CWS_AVX2 static inline void cws_decode_avx2_##width(type *to, const uint8_t *p, size_t n, size_t characters) {       \
        const type *end = to + characters;                                                                        \
        type room[96 + 8], *last = room;                                                                          \
        uint8_t rest[96 + 16];                                                                                    \
        size_t i;                                                                                                 \
        for (; n >= 68; n -= 32, p += 32) to = cws_decode_places_##width(to, p);                                  \
        memset(rest, 0, sizeof rest);                                                                             \
        memcpy(rest, p, n);                                                                                       \
        for (i = 0; i < n; i += 32) last = cws_decode_places_##width(last, rest + i);                             \
        memcpy(to, room, (size_t)(end - to) * sizeof(type));                                                      \
    }

CWS_DEFINE_DECODE_AVX2(1, uint8_t)
CWS_DEFINE_DECODE_AVX2(2, uint16_t)
CWS_DEFINE_DECODE_AVX2(4, uint32_t)

/* These decode as many characters as a vector holds, and store them all if there is room. Those that are too many are
 * written over by the next step. */
CWS_AVX512 static inline void cws_store_1(uint8_t *to, __m512i first, __m512i second, ptrdiff_t room) {
    const __mmask64 wide = _mm512_movepi8_mask(first);
    const __mmask64 bit = _mm512_cmpeq_epi8_mask(first, _mm512_set1_epi8((char)0xC3));
    __m512i both = _mm512_mask_mov_epi8(first, wide, second);
    both = _mm512_mask_add_epi8(both, bit, both, _mm512_set1_epi8(0x40));
    if (room >= 64)
        _mm512_storeu_si512(to, both);
    else
        _mm512_mask_storeu_epi8(to, cws_low_bits(room), both);
}

CWS_AVX512 static inline __m512i cws_units_of_two(__m512i first, __m512i second) {
    const __m512i two = _mm512_or_si512(_mm512_and_si512(_mm512_slli_epi16(first, 6), _mm512_set1_epi16(0x7C0)), second);
    return _mm512_mask_mov_epi16(first, _mm512_cmpgt_epi16_mask(first, _mm512_set1_epi16(0xBF)), two);
}

CWS_AVX512 static inline __m512i cws_units_of_three(__m512i first, __m512i second, __m512i third) {
    const __m512i lower = _mm512_or_si512(_mm512_slli_epi16(second, 6), third);
    const __m512i three = _mm512_or_si512(_mm512_slli_epi16(first, 12), lower);
    return _mm512_mask_mov_epi16(
        cws_units_of_two(first, second), _mm512_cmpgt_epi16_mask(first, _mm512_set1_epi16(0xDF)), three);
}

CWS_AVX512 static inline void cws_store_2(uint16_t *to, __m512i units, ptrdiff_t room) {
    if (room >= 32)
        _mm512_storeu_si512(to, units);
    else
        _mm512_mask_storeu_epi16(to, (__mmask32)cws_low_bits(room), units);
}

/* The first, second and third bytes of the characters that begin in 64 bytes are each moved together. What is behind those
 * moved stays as it is, where zeros would do as well: to make zeros waits for the register's last use, which made Latin-1
 * take nearly three times as long. */
#define CWS_MOVE_TOGETHER(v) v = _mm512_mask_compress_epi8(v, leads, v)
#define CWS_DEFINE_DECODE_AVX512(width, type, STORE)                                                              \
    CWS_AVX512 static inline void cws_decode_avx512_##width(                                                      \
        type *to, const uint8_t *p, size_t n, size_t characters) {                                                \
        const type *end = to + characters;                                                                        \
        ptrdiff_t rest = (ptrdiff_t)n, count;                                                                     \
        uint64_t leads;                                                                                           \
        __m512i a, b, c;                                                                                          \
        for (; rest >= 66; rest -= 64, p += 64, to += count) {                                                    \
            a = CWS_LOAD_512(p);                                                                                  \
            b = CWS_LOAD_512(p + 1);                                                                              \
            c = CWS_LOAD_512(p + 2);                                                                              \
            leads = CWS_LEADS_512(a);                                                                             \
            STORE                                                                                                 \
        }                                                                                                         \
        for (; rest > 0; rest -= 64, p += 64, to += count) {                                                      \
            a = _mm512_maskz_loadu_epi8(cws_low_bits(rest), p);                                                   \
            b = _mm512_maskz_loadu_epi8(cws_low_bits(rest - 1), p + 1);                                           \
            c = _mm512_maskz_loadu_epi8(cws_low_bits(rest - 2), p + 2);                                           \
            leads = CWS_LEADS_512(a) & cws_low_bits(rest);                                                        \
            STORE                                                                                                 \
        }                                                                                                         \
    }

#define CWS_STORE_1                                                                                               \
    count = (ptrdiff_t)__builtin_popcountll(leads);                                                               \
    CWS_MOVE_TOGETHER(a), CWS_MOVE_TOGETHER(b);                                                                   \
    (void)c;                                                                                                      \
    cws_store_1(to, a, b, end - to);

#define CWS_BYTES(v, half) _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(v, half))
#define CWS_SIXES(v, half) _mm512_and_si512(CWS_BYTES(v, half), _mm512_set1_epi16(0x3F))
#define CWS_STORE_TWO(half)                                                                                       \
    if (count > 32 * half)                                                                                        \
        cws_store_2(to + 32 * half, cws_units_of_two(CWS_BYTES(a, half), CWS_SIXES(b, half)), end - to - 32 * half);
#define CWS_STORE_THREE(half)                                                                                     \
    if (count > 32 * half)                                                                                        \
        cws_store_2(                                                                                              \
            to + 32 * half, cws_units_of_three(CWS_BYTES(a, half), CWS_SIXES(b, half), CWS_SIXES(c, half)),       \
            end - to - 32 * half);
#define CWS_STORE_2                                                                                               \
    count = (ptrdiff_t)__builtin_popcountll(leads);                                                               \
    if (_mm512_cmpgt_epu8_mask(a, _mm512_set1_epi8((char)0xDF)) == 0) {                                           \
        CWS_MOVE_TOGETHER(a), CWS_MOVE_TOGETHER(b);                                                               \
        CWS_STORE_TWO(0) CWS_STORE_TWO(1)                                                                         \
    } else {                                                                                                      \
        CWS_MOVE_TOGETHER(a), CWS_MOVE_TOGETHER(b), CWS_MOVE_TOGETHER(c);                                         \
        CWS_STORE_THREE(0) CWS_STORE_THREE(1)                                                                     \
    }

CWS_DEFINE_DECODE_AVX512(1, uint8_t, CWS_STORE_1)
CWS_DEFINE_DECODE_AVX512(2, uint16_t, CWS_STORE_2)

/* Of characters of up to four bytes it is the places where they begin that are moved together; then four bytes are
 * fetched from each, the first one uppermost, as above. */
CWS_AVX512 static inline void cws_store_4(uint32_t *to, __m512i text, __m512i behind, __m128i places, ptrdiff_t room) {
    const __m512i four_times = _mm512_set4_epi32(0x0C0C0C0C, 0x08080808, 0x04040404, 0);
    const __m512i first = _mm512_shuffle_epi8(_mm512_cvtepu8_epi32(places), four_times);
    const __m512i kept = _mm512_broadcast_i32x4(CWS_FIRST_KEPT), spare = _mm512_broadcast_i32x4(CWS_FIRST_SPARE);
    __m512i v = _mm512_permutex2var_epi8(text, _mm512_add_epi8(first, _mm512_set1_epi32(0x00010203)), behind);
    const __m512i upper = _mm512_or_si512(_mm512_srli_epi32(v, 28), _mm512_set1_epi32((int)0xFFFFFF00));
    const __m512i bits = _mm512_slli_epi32(_mm512_shuffle_epi8(kept, upper), 24);
    v = _mm512_and_si512(v, _mm512_or_si512(bits, _mm512_set1_epi32(0x3F3F3F)));
    v = _mm512_srlv_epi32(v, _mm512_shuffle_epi8(spare, upper));
    v = _mm512_madd_epi16(_mm512_maddubs_epi16(v, _mm512_set1_epi16(0x4001)), _mm512_set1_epi32(0x10000001));
    if (room >= 16)
        _mm512_storeu_si512(to, v);
    else
        _mm512_mask_storeu_epi32(to, (__mmask16)cws_low_bits(room), v);
}

#define CWS_STORE_QUARTER(i)                                                                                      \
    if (count > 16 * i) cws_store_4(to + 16 * i, text, behind, _mm512_extracti32x4_epi32(places, i), end - to - 16 * i);
#define CWS_STORE_4                                                                                               \
    count = (ptrdiff_t)__builtin_popcountll(leads);                                                               \
    places = _mm512_mask_compress_epi8(all_places, leads, all_places);                                            \
    CWS_STORE_QUARTER(0) CWS_STORE_QUARTER(1) CWS_STORE_QUARTER(2) CWS_STORE_QUARTER(3)

CWS_AVX512 static inline void cws_decode_avx512_4(uint32_t *to, const uint8_t *p, size_t n, size_t characters) {
    const __m512i all_places = CWS_LOAD_512(cws_all_places);
    const uint32_t *end = to + characters;
    ptrdiff_t rest = (ptrdiff_t)n, count;
    uint64_t leads;
    __m512i text, behind, places;
    for (; rest >= 128; rest -= 64, p += 64, to += count) {
        text = CWS_LOAD_512(p);
        behind = CWS_LOAD_512(p + 64);
        leads = CWS_LEADS_512(text);
        CWS_STORE_4
    }
    for (; rest > 0; rest -= 64, p += 64, to += count) {
        text = _mm512_maskz_loadu_epi8(cws_low_bits(rest), p);
        behind = _mm512_maskz_loadu_epi8(cws_low_bits(rest - 64), p + 64);
        leads = CWS_LEADS_512(text) & cws_low_bits(rest);
        CWS_STORE_4
    }
}

#endif

/* `width` is that of a character in bytes. The level is not the baseline. */
static inline void
cws_decode_at(int level, int width, void *to, const uint8_t *p, size_t n, size_t characters) {
#if CWS_X86_64
    if (level == CWS_LEVEL_AVX512) {
        if (width == 1) cws_decode_avx512_1((uint8_t *)to, p, n, characters);
        if (width == 2) cws_decode_avx512_2((uint16_t *)to, p, n, characters);
        if (width == 4) cws_decode_avx512_4((uint32_t *)to, p, n, characters);
    } else {
        if (width == 1) cws_decode_avx2_1((uint8_t *)to, p, n, characters);
        if (width == 2) cws_decode_avx2_2((uint16_t *)to, p, n, characters);
        if (width == 4) cws_decode_avx2_4((uint32_t *)to, p, n, characters);
    }
#else
    (void)level, (void)width, (void)to, (void)p, (void)n, (void)characters;
#endif
}

#endif
