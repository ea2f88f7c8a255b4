/* What decoding and encoding share: to leave out of a vector what does not matter, and move together what does. */
#ifndef CWS_PLACES_H
#define CWS_PLACES_H

#include "cpu.h"

#define CWS_AVX2 CWS_TARGET("avx2,popcnt")
#define CWS_AVX512 CWS_TARGET("avx512f,avx512bw,avx512vbmi,avx512vbmi2,popcnt")

#if CWS_X86_64

/* For each set of 8 places: which they are, in order. Then places that do not matter. The second table is the same for
 * places of two bytes. */
static uint8_t cws_places[256][8];
static uint8_t cws_pairs[256][16];
static uint8_t cws_all_places[64];

static inline void cws_init_places(void) {
    int set, place, n;
    for (set = 0; set < 256; set++)
        for (place = n = 0; place < 8; place++)
            if (set >> place & 1) {
                cws_places[set][n] = (uint8_t)place;
                cws_pairs[set][2 * n] = (uint8_t)(2 * place);
                cws_pairs[set][2 * n++ + 1] = (uint8_t)(2 * place + 1);
            }
    for (place = 0; place < 64; place++) cws_all_places[place] = (uint8_t)place;
}

static inline uint64_t cws_low_bits(ptrdiff_t n) { return n >= 64 ? ~(uint64_t)0 : n <= 0 ? 0 : ((uint64_t)1 << n) - 1; }

#else

static inline void cws_init_places(void) {}

#endif
#endif
