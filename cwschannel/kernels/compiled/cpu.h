/* What the processor can do, asked at run time, so that one wheel serves every machine without compiler flags. */
#ifndef CWS_CPU_H
#define CWS_CPU_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if (defined(__GNUC__) || defined(__clang__)) && (defined(__x86_64__) || defined(__i386__))
#define CWS_X86_DISPATCH 1
#include <cpuid.h>
#include <immintrin.h>
#define CWS_TARGET(features) __attribute__((target(features)))
#else
#define CWS_X86_DISPATCH 0
#endif

#if CWS_X86_DISPATCH && defined(__x86_64__)
#define CWS_X86_64 1
#else
#define CWS_X86_64 0
#endif

#define CWS_LEVEL_BASELINE 0
#define CWS_LEVEL_AVX2 1
#define CWS_LEVEL_AVX512 2

/* The widest vectors that the processor and the system support (the system: it saves the registers). */
static inline int cws_vector_level(void) {
#if CWS_X86_DISPATCH
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return CWS_LEVEL_AVX512;
    if (__builtin_cpu_supports("avx2")) return CWS_LEVEL_AVX2;
#endif
    return CWS_LEVEL_BASELINE;
}

/* The same for text, which needs more of AVX-512 than the first processors that had it. */
static inline int cws_text_level(void) {
#if CWS_X86_64
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2"))
        return CWS_LEVEL_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) return CWS_LEVEL_AVX2;
#endif
    return CWS_LEVEL_BASELINE;
}

static inline int cws_has_sha(void) {
#if CWS_X86_DISPATCH
    unsigned int a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & (1u << 29))) return 0;
    /* The code also uses SSSE3 and SSE4.1. */
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    return (c & (1u << 9)) && (c & (1u << 19));
#else
    return 0;
#endif
}

#endif
