/* The active swimmer of simulations/processes/active_swimmer.py as one would write it by hand for one machine:
 *
 *   x <- x + (v - x^3) dt,   v <- v - friction v dt + sqrt(2 friction temperature dt) z,   x_0, v_0, z ~ N(0, 1)
 *
 * Euler-Maruyama in float32. LANES paths share a vector; a batch of 2 GENERATORS vectors lives in registers for the
 * whole time loop, and frames are written in place as frames[component][frame][path]. Every lane has its own
 * xoshiro128++; one draw of it gives a pair of normals (Box-Muller), for two paths at the same step.
 *
 * Sources: Blackman and Vigna, Scrambled linear pseudorandom number generators (2021), xoshiro128++; Steele, Lea and
 * Flood, Fast splittable pseudorandom number generators (2014), the mixing of the seeds; Box and Muller, A note on the
 * generation of random normal deviates (1958). The polynomials are minimax fits, derived: absolute error 1.3e-6 in
 * ln, 6e-7 in sin, 3e-8 in cos, of the order of the rounding of float32.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#ifndef GENERATORS
#define GENERATORS 1
#endif
#define VECTORS (2 * GENERATORS)
#define BATCH (LANES * VECTORS)

typedef float reals __attribute__((vector_size(4 * LANES)));
typedef int32_t integers __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef struct { words s0, s1, s2, s3; } generator;

#define INLINE static inline __attribute__((always_inline))

INLINE words rotated(words w, int k) { return (w << k) | (w >> (32 - k)); }

INLINE words next(generator *g)
{
    words result = rotated(g->s0 + g->s3, 7) + g->s0;
    words shifted = g->s1 << 9;
    words s2 = g->s2 ^ g->s0, s3 = g->s3 ^ g->s1;
    g->s1 = g->s1 ^ g->s2 ^ g->s0;
    g->s0 = g->s0 ^ s3;
    g->s2 = s2 ^ shifted;
    g->s3 = rotated(s3, 11);
    return result;
}

static uint64_t mixed(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static generator seeded(uint64_t seed, uint64_t stream)
{
    generator g;
    for (int lane = 0; lane < LANES; lane++) {
        uint64_t state = seed;
        state = mixed(&state) ^ (stream * LANES + lane);
        uint64_t low = mixed(&state), high = mixed(&state);
        g.s0[lane] = (uint32_t)low;
        g.s1[lane] = (uint32_t)(low >> 32);
        g.s2[lane] = (uint32_t)high;
        g.s3[lane] = (uint32_t)(high >> 32);
    }
    return g;
}

/* Write f = mantissa 2^exponent, for f >= 1 and 1 <= mantissa < 2. */
INLINE void split(reals f, reals *exponent, reals *mantissa)
{
#ifdef __AVX512F__
    *exponent = (reals)_mm512_getexp_ps((__m512)f);
    *mantissa = (reals)_mm512_getmant_ps((__m512)f, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
#else
    integers bits = (integers)f;
    *exponent = __builtin_convertvector((bits >> 23) - 127, reals);
    *mantissa = (reals)((bits & 0x007fffff) | 0x3f800000);
#endif
}

/* The square root of max(q, 0). */
INLINE reals root(reals q)
{
#ifdef __AVX512F__
    return (reals)_mm512_sqrt_ps(_mm512_max_ps((__m512)q, _mm512_setzero_ps()));
#else
    for (int lane = 0; lane < LANES; lane++)
        q[lane] = sqrtf(q[lane] > 0 ? q[lane] : 0);
    return q;
#endif
}

/* Two normals of standard deviation sqrt(variance). The angle is pi / 4 + phi with |phi| < pi / 4, in the first
 * quadrant; two low bits, which the conversion to float hardly keeps, choose the quadrant. */
INLINE void normals(generator *g, float variance, reals *first, reals *second)
{
    reals e, m;
    words angle = next(g);
    split(__builtin_convertvector(next(g) | 1u, reals), &e, &m);
    reals t = m - 1.5f;
    reals ln = 0.40546548f + t * (0.66668368f + t * (-0.22225923f + t * (0.09823147f + t * (-0.04878144f
             + t * (0.03044924f + t * -0.01780769f)))));
    /* -2 ln u for u = f / 2^32, halved for the 1 / sqrt(2) of the angle's pi / 4. */
    reals r = root(variance * ((22.18070978f - e * 0.69314718f) - ln));

    reals a = __builtin_convertvector((integers)angle, reals) * 0x1p-31f, b = a * a;
    reals sine = a * (0.78539423f + b * (-0.08071400f + b * 0.00242711f));
    reals cosine = 0.99999997f + b * (-0.30842425f + b * (0.01584992f + b * -0.00031888f));
    *first = (reals)((words)(r * (cosine - sine)) ^ (angle << 31));
    *second = (reals)((words)(r * (cosine + sine)) ^ ((angle << 30) & 0x80000000u));
}

INLINE void store(float *target, const reals *vectors, long count)
{
    if (count == BATCH)
        memcpy(target, vectors, sizeof(float) * BATCH);
    else
        memcpy(target, vectors, sizeof(float) * (size_t)count);
}

static void batch(float *frames, long paths, long saved, int every, float dt, float friction, float temperature,
                  uint64_t seed, long first, long count)
{
    generator g[GENERATORS];
    reals x[VECTORS], v[VECTORS];
    const float decay = 1 - friction * dt, variance = 2 * friction * temperature * dt;
    for (int i = 0; i < GENERATORS; i++) {
        g[i] = seeded(seed, (uint64_t)(first / BATCH) * GENERATORS + i);
        normals(&g[i], 1, &x[2 * i], &x[2 * i + 1]);
        normals(&g[i], 1, &v[2 * i], &v[2 * i + 1]);
    }
    store(frames + first, x, count);
    store(frames + paths * saved + first, v, count);
    for (long frame = 1; frame < saved; frame++) {
        for (int step = 0; step < every; step++) {
            for (int i = 0; i < GENERATORS; i++) {
                reals z[2];
                normals(&g[i], variance, &z[0], &z[1]);
                for (int j = 0; j < 2; j++) {
                    reals here = x[2 * i + j], velocity = v[2 * i + j];
                    x[2 * i + j] = here + dt * (velocity - here * here * here);
                    v[2 * i + j] = decay * velocity + z[j];
                }
            }
        }
        store(frames + paths * frame + first, x, count);
        store(frames + paths * (saved + frame) + first, v, count);
    }
}

/* Simulate paths with saved frames, the initial one included, each `every` steps after the one before. */
void active_swimmer(float *frames, long paths, long saved, int every, float dt, float friction, float temperature,
                    uint64_t seed)
{
    for (long first = 0; first < paths; first += BATCH)
        batch(frames, paths, saved, every, dt, friction, temperature, seed, first,
              paths - first < BATCH ? paths - first : BATCH);
}
