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

/* -log(u) of the odd number a | 1 over 2^32, never below zero; absolute error 2e-7. */
INLINE float minus_log(uint32_t a)
{
    /* u 2^32 = 2^e m with 1 <= m < 2 */
    uint32_t bits = as_bits((float)(a | 1u));
    float e = (float)(int32_t)(bits >> 23) - 159.0f, t = as_float((bits & 0x7fffffu) | 0x3f800000u) - 1.5f;
    float p = 1.04840845e-2f;
    p = p * t - 1.74141955e-2f;
    p = p * t + 2.58622207e-2f;
    p = p * t - 4.89289910e-2f;
    p = p * t + 9.88048911e-2f;
    p = p * t - 0.222245395f;
    p = p * t + 0.666665733f;
    p = p * t + 0.405465305f;
    p = -0.693147181f * e - p;
    return p < 0 ? 0 : p;
}

/* Two independent standard normals from two draws. The angle is pi/4 (1 + f) with f uniform in [-1, 1), in the first
   quadrant; the two last bits, which the conversion to float hardly keeps, pick the quadrant. Polynomials in f to
   6e-7. */
INLINE void gaussian_pair(uint32_t a, uint32_t b, float *first, float *second)
{
    float radius = square_root(minus_log(a)); /* over sqrt 2, which the sums of cosine and sine make up for */
    float f = (float)(int32_t)b * 0x1p-31f, q = f * f;
    float s = 2.42710602e-3f, c = -3.18880397e-4f;
    s = s * q - 8.07140023e-2f;
    s = (s * q + 0.785394251f) * f;
    c = c * q + 1.58499144e-2f;
    c = c * q - 0.308424264f;
    c = c * q + 1.0f;
    *first = as_float(as_bits(radius * (c - s)) ^ (b << 31));
    *second = as_float(as_bits(radius * (c + s)) ^ ((b << 30) & 0x80000000u));
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
