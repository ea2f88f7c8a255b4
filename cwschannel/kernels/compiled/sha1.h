/* The accept value of the opening handshake: base64(SHA-1(key + GUID)), for a key of exactly 24 characters.
 *
 * 24 + 36 = 60 bytes of message are always two blocks of SHA-1 (FIPS 180-4), the second of which holds only padding and the
 * length, so nothing of a general SHA-1 is needed.
 */
#ifndef CWS_SHA1_H
#define CWS_SHA1_H

#include "cpu.h"

static const char cws_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static inline uint32_t cws_rotate(uint32_t x, int n) { return (x << n) | (x >> (32 - n)); }

static inline void cws_sha1_schedule(uint32_t w[80], const uint8_t *block) {
    int i;
    for (i = 0; i < 16; i++)
        w[i] = ((uint32_t)block[4 * i] << 24) | ((uint32_t)block[4 * i + 1] << 16) |
               ((uint32_t)block[4 * i + 2] << 8) | block[4 * i + 3];
    for (; i < 80; i++) w[i] = cws_rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
}

/* Twenty rounds with one function and constant, five at a time, after which each variable has its own place again. */
#define CWS_ROUND(F, k, a, b, c, d, e, word)              \
    e += cws_rotate(a, 5) + F(b, c, d) + (k) + (word);    \
    b = cws_rotate(b, 30);
#define CWS_ROUNDS(F, k)                                  \
    for (end = w + 20; w < end; w += 5) {                 \
        CWS_ROUND(F, k, a, b, c, d, e, w[0])              \
        CWS_ROUND(F, k, e, a, b, c, d, w[1])              \
        CWS_ROUND(F, k, d, e, a, b, c, w[2])              \
        CWS_ROUND(F, k, c, d, e, a, b, w[3])              \
        CWS_ROUND(F, k, b, c, d, e, a, w[4])              \
    }
#define CWS_CHOICE(b, c, d) ((d) ^ ((b) & ((c) ^ (d))))
#define CWS_PARITY(b, c, d) ((b) ^ (c) ^ (d))
#define CWS_MAJORITY(b, c, d) (((b) & (c)) | ((d) & ((b) | (c))))

static inline void cws_sha1_rounds(uint32_t h[5], const uint32_t *w) {
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    const uint32_t *end;
    CWS_ROUNDS(CWS_CHOICE, 0x5A827999u)
    CWS_ROUNDS(CWS_PARITY, 0x6ED9EBA1u)
    CWS_ROUNDS(CWS_MAJORITY, 0x8F1BBCDCu)
    CWS_ROUNDS(CWS_PARITY, 0xCA62C1D6u)
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

#if CWS_X86_DISPATCH
/* The processor's own instructions: four rounds each. `m` is the schedule, a ring of four vectors of four words. */
CWS_TARGET("sha,sse4.1,ssse3")
static void cws_sha1_block_ni(uint32_t h[5], const uint8_t *block) {
    const __m128i swap = _mm_set_epi64x(0x0001020304050607LL, 0x08090a0b0c0d0e0fLL);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)h), 0x1B);
    const __m128i abcd_before = abcd;
    const __m128i e_before = _mm_set_epi32((int)h[4], 0, 0, 0);
    __m128i m[4], e, last = abcd;
    int i;
    for (i = 0; i < 4; i++) m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), swap);
    e = _mm_add_epi32(e_before, m[0]);
    for (i = 0; i < 20; i++) {
        if (i) {
            if (i >= 4) {
                __m128i next = _mm_sha1msg1_epu32(m[i & 3], m[(i + 1) & 3]);
                next = _mm_xor_si128(next, m[(i + 2) & 3]);
                m[i & 3] = _mm_sha1msg2_epu32(next, m[(i + 3) & 3]);
            }
            e = _mm_sha1nexte_epu32(last, m[i & 3]);
        }
        last = abcd;
        /* the function and the constant of the rounds are an immediate operand */
        switch (i / 5) {
            case 0: abcd = _mm_sha1rnds4_epu32(abcd, e, 0); break;
            case 1: abcd = _mm_sha1rnds4_epu32(abcd, e, 1); break;
            case 2: abcd = _mm_sha1rnds4_epu32(abcd, e, 2); break;
            default: abcd = _mm_sha1rnds4_epu32(abcd, e, 3); break;
        }
    }
    e = _mm_sha1nexte_epu32(last, e_before);
    abcd = _mm_add_epi32(abcd, abcd_before);
    _mm_storeu_si128((__m128i *)h, _mm_shuffle_epi32(abcd, 0x1B));
    h[4] = (uint32_t)_mm_extract_epi32(e, 3);
}
#endif

/* Chosen when the module is loaded; every load chooses the same. */
static int cws_sha_instructions = 0;

/* The schedule of the second block, which is the same for all keys. */
static uint32_t cws_padding[80];

static inline void cws_init_sha1(void) {
    uint8_t block[64] = {0};
    block[62] = (60 * 8) >> 8;
    block[63] = (60 * 8) & 0xFF;
    cws_sha1_schedule(cws_padding, block);
    cws_sha_instructions = cws_has_sha();
}

/* `accept` takes 28 characters, without a terminating NUL. */
static inline void cws_sign(const char *key, char *accept, int portable) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t h[5] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u};
    uint8_t blocks[128] = {0}, digest[21];
    uint32_t w[80];
    int i;
    memcpy(blocks, key, 24);
    memcpy(blocks + 24, cws_guid, 36);
    blocks[60] = 0x80;
#if CWS_X86_DISPATCH
    if (cws_sha_instructions && !portable) {
        blocks[126] = (60 * 8) >> 8;
        blocks[127] = (60 * 8) & 0xFF;
        cws_sha1_block_ni(h, blocks);
        cws_sha1_block_ni(h, blocks + 64);
    } else
#endif
    {
        (void)portable;
        cws_sha1_schedule(w, blocks);
        cws_sha1_rounds(h, w);
        cws_sha1_rounds(h, cws_padding);
    }
    for (i = 0; i < 20; i++) digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
    digest[20] = 0;
    for (i = 0; i < 7; i++) {
        uint32_t three = ((uint32_t)digest[3 * i] << 16) | ((uint32_t)digest[3 * i + 1] << 8) | digest[3 * i + 2];
        accept[4 * i] = alphabet[three >> 18];
        accept[4 * i + 1] = alphabet[(three >> 12) & 63];
        accept[4 * i + 2] = alphabet[(three >> 6) & 63];
        accept[4 * i + 3] = alphabet[three & 63];
    }
    accept[27] = '='; /* 20 bytes are six groups of three and one of two */
}

/* 16 bytes in base64: 22 characters of the alphabet, then "==". */
static inline int cws_is_key(const char *key, size_t n) {
    size_t i;
    if (n != 24 || key[22] != '=' || key[23] != '=') return 0;
    for (i = 0; i < 22; i++) {
        char c = key[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/'))
            return 0;
    }
    return 1;
}

#endif
