/* Random streams in C, for the CPU and for CUDA; physcore/streams.py says what they are and is their specification.

   Sources: Philox4x32-10: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011).
   xoshiro128++: Blackman and Vigna, Scrambled linear pseudorandom number generators (2021). Box-Muller: Box and
   Muller, A note on the generation of random normal deviates (1958). The polynomials are minimax fits of ours. */

#ifndef PHYSCORE_STREAMS_H
#define PHYSCORE_STREAMS_H

#ifdef __CUDACC_RTC__ /* the run-time compiler has no headers */
typedef unsigned int uint32_t;
typedef int int32_t;
typedef unsigned long long uint64_t;
typedef long long int64_t;
#else
#include <stdint.h>
#endif

#ifdef __CUDACC__
#define INLINE static __device__ __forceinline__
#else
#define INLINE static inline __attribute__((always_inline))
#endif

#define STEPS_PER_SEGMENT 256
#define NORMALS_PER_STREAM 64

INLINE float as_float(uint32_t bits)
{
    union { uint32_t bits; float value; } u;
    u.bits = bits;
    return u.value;
}

INLINE uint32_t as_bits(float value)
{
    union { uint32_t bits; float value; } u;
    u.value = value;
    return u.bits;
}

#ifdef __CUDACC__
INLINE float square_root(float x) { return __fsqrt_rn(x); }
#else
INLINE float square_root(float x) { return __builtin_sqrtf(x); }
#endif

INLINE uint32_t rotated(uint32_t x, int k) { return (x << k) | (x >> (32 - k)); }

/* The generator's state at the start of a segment of steps: Philox of (path, stream, segment) under the key. */
INLINE void seed_stream(uint64_t key, uint64_t path, uint32_t stream, uint64_t segment, uint32_t state[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)path, c1 = (uint32_t)(path >> 32) ^ (stream << 16);
    uint32_t c2 = (uint32_t)segment, c3 = (uint32_t)(segment >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    state[0] = c0;
    state[1] = c1;
    state[2] = c2;
    state[3] = c3;
}

/* The next 32 random bits: xoshiro128++. */
INLINE uint32_t next_bits(uint32_t s[4])
{
    uint32_t result = rotated(s[0] + s[3], 7) + s[0], t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotated(s[3], 11);
    return result;
}

/* -2 log((a + 1/2) / 2^32). */
INLINE float minus_two_log(uint32_t a)
{
    float u = (float)a * 0x1p-32f + 0x1p-33f;
    /* u = 2^e (1 + m) with sqrt(1/2) <= 1 + m < sqrt(2) */
    uint32_t shifted = as_bits(u) - 0x3f3504f3u;
    int32_t e = (int32_t)shifted >> 23;
    float m = as_float((shifted & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
    float p = -7.62177855e-2f;
    p = p * m + 0.129044324f;
    p = p * m - 0.132429868f;
    p = p * m + 0.141818255f;
    p = p * m - 0.166090831f;
    p = p * m + 0.200019732f;
    p = p * m - 0.250015825f;
    p = p * m + 0.333333254f;
    p = p * m - 0.499999881f;
    return -2.0f * (m * m * p + m) - (float)e * 1.3862943611198906f;
}

/* Two independent standard normals from two draws. */
INLINE void gaussian_pair(uint32_t a, uint32_t b, float *first, float *second)
{
    float radius = square_root(minus_two_log(a));
    /* The angle: uniform in [-pi/2, pi/2) from all bits but the last, which picks the half plane. */
    float phi = (float)(int32_t)b * 7.3145901e-10f, q = phi * phi;
    float s = -2.38195046e-8f, c = -2.60771003e-7f;
    s = s * q + 2.75208868e-6f;
    s = s * q - 1.98407652e-4f;
    s = s * q + 8.33333004e-3f;
    s = s * q - 0.166666672f;
    s = (s * q + 1.0f) * phi;
    c = c * q + 2.47618864e-5f;
    c = c * q - 1.38884038e-3f;
    c = c * q + 4.16666418e-2f;
    c = c * q - 0.5f;
    c = c * q + 1.0f;
    *first = radius * as_float(as_bits(c) ^ (b << 31));
    *second = radius * s;
}

/* Two independent variables with P(+-sqrt 3) = 1/6 and P(0) = 2/3, which share the first five moments of a normal. */
INLINE void three_point_pair(uint32_t a, uint32_t b, float *first, float *second)
{
    const float root = 1.7320508075688772f;
    const uint32_t sixth = 715827883u, third = 1431655765u;
    *first = a < sixth ? root : (a < third ? -root : 0.0f);
    *second = b < sixth ? root : (b < third ? -root : 0.0f);
}

#endif
