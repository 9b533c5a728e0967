/* The flow of linear stochastic equations on a CPU: one equation a lane, LANES side by side; physcore/linear_flow.py says
   what it is and is its specification. Every lane has its own number of doublings: a lane that is done goes on with a
   propagator of zero, which adds nothing.

   The source before it defines
     D, real, whole        dimension, precision, integer of the same size
     RATES                 0 or 1, whether forces and diffusions grow with time */

#include <stdint.h>

#define UNROLL _Pragma("GCC unroll 8")
#if D > 4 /* one copy of what is long: compilers take long over many */
#define PRODUCT static __attribute__((noinline)) void
#define UNROLL_ROWS
#else
#define PRODUCT INLINE void
#define UNROLL_ROWS UNROLL
#endif
#define LARGEST_NORM 0.25
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define TERMS (sizeof(real) == 4 ? 9 : 15) /* of the longest series */
#define LANES (BYTES / (int)sizeof(real))
#define POWERS 4                          /* powers of the generator that are kept */
#define BLOCKS (sizeof(real) == 4 ? 2 : 3) /* POWERS * BLOCKS is the degree of the short propagator */
#define SHORTEST (sizeof(real) == 4 ? 1e-8 : 1e-17)
#define MOST_DOUBLINGS (sizeof(real) == 4 ? 126 : 1022)
#define MANTISSA (sizeof(real) == 4 ? 23 : 52)
#define BIAS (sizeof(real) == 4 ? 127 : 1023)
#define INLINE static inline __attribute__((always_inline))

typedef real lanes __attribute__((vector_size(BYTES), may_alias));
typedef whole masks __attribute__((vector_size(BYTES), may_alias));

typedef struct {
    lanes jacobian[D][D], force[D], diffusion[D][D], duration;
    lanes force_rate[D], diffusion_rate[D][D]; /* where RATES */
} Equation;

typedef struct {
    lanes propagator[D][D], displacement[D], covariance[D][D];
} Flow;

INLINE lanes only(lanes x, masks chosen) { return (lanes)((masks)x & chosen); }

/* Lanes from memory, a stride apart; those beyond `width` repeat the last. The next ones are asked for: entries are
   more streams than a processor follows by itself. */
INLINE lanes fetch(const real *from, int64_t stride, int width)
{
    lanes x;
    if (stride == 1 && width == LANES) {
        __builtin_memcpy(&x, from, sizeof x);
        __builtin_prefetch(from + LANES);
    } else
        for (int l = 0; l < LANES; l++)
            x[l] = from[(l < width ? l : width - 1) * stride];
    return x;
}

INLINE void put(lanes x, real *to, int width)
{
    if (width == LANES) {
        __builtin_memcpy(to, &x, sizeof x);
        __builtin_prefetch(to + LANES, 1);
    } else
        for (int l = 0; l < width; l++)
            to[l] = x[l];
}

PRODUCT multiply(const lanes a[D][D], const lanes b[D][D], lanes product[D][D])
{
    UNROLL_ROWS for (int i = 0; i < D; i++) {
        lanes row[D];
        UNROLL for (int j = 0; j < D; j++)
            row[j] = a[i][0] * b[0][j];
        UNROLL for (int k = 1; k < D; k++)
            UNROLL for (int j = 0; j < D; j++)
                row[j] += a[i][k] * b[k][j];
        UNROLL for (int j = 0; j < D; j++)
            product[i][j] = row[j];
    }
}

INLINE void act(const lanes a[D][D], const lanes v[D], lanes product[D])
{
    lanes sums[D];
    UNROLL for (int i = 0; i < D; i++)
        sums[i] = a[i][0] * v[0];
    UNROLL for (int k = 1; k < D; k++)
        UNROLL for (int i = 0; i < D; i++)
            sums[i] += a[i][k] * v[k];
    UNROLL for (int i = 0; i < D; i++)
        product[i] = sums[i];
}

/* term <- (g term + term g^T) * factor, term symmetric. */
PRODUCT act_both_sides(const lanes g[D][D], lanes term[D][D], real factor)
{
    lanes product[D][D];
    multiply(g, term, product);
    UNROLL for (int i = 0; i < D; i++)
        UNROLL for (int j = 0; j <= i; j++)
            term[i][j] = term[j][i] = (product[i][j] + product[j][i]) * factor;
}

/* sum <- f s f^T + sum, all symmetric but f. */
PRODUCT add_carried(const lanes f[D][D], const lanes s[D][D], lanes sum[D][D])
{
    lanes half[D][D];
    multiply(f, s, half);
    UNROLL for (int i = 0; i < D; i++)
        UNROLL for (int j = 0; j <= i; j++) {
            lanes entry = sum[i][j];
            UNROLL for (int k = 0; k < D; k++)
                entry += half[i][k] * f[j][k];
            sum[i][j] = sum[j][i] = entry;
        }
}

/* The exponential of a small matrix: its Taylor polynomial after Paterson and Stockmeyer. */
static __attribute__((noinline)) void exponential(const lanes g[D][D], lanes result[D][D])
{
    lanes powers[POWERS][D][D], product[D][D];
    real inverse[POWERS * 3 + 1];
    inverse[0] = 1;
    for (int n = 1; n <= POWERS * BLOCKS; n++)
        inverse[n] = inverse[n - 1] / n;
    UNROLL for (int i = 0; i < D; i++)
        UNROLL for (int j = 0; j < D; j++)
            powers[0][i][j] = g[i][j];
    multiply(g, g, powers[1]);
    multiply(g, powers[1], powers[2]);
    multiply(powers[1], powers[1], powers[3]);
    for (int block = BLOCKS - 1; block >= 0; block--) {
        const real *c = inverse + POWERS * block;
        if (block == BLOCKS - 1)
            UNROLL for (int i = 0; i < D; i++)
                UNROLL for (int j = 0; j < D; j++)
                    product[i][j] = powers[3][i][j] * c[POWERS];
        else
            multiply(powers[3], result, product);
        UNROLL for (int i = 0; i < D; i++)
            UNROLL for (int j = 0; j < D; j++)
                result[i][j] = product[i][j] + powers[2][i][j] * c[3] + powers[1][i][j] * c[2] + powers[0][i][j] * c[1];
        UNROLL for (int i = 0; i < D; i++)
            result[i][i] += c[0];
    }
}

/* Halve each lane's duration until the norm of the Jacobian over it is small; return the largest number of halvings.
   Lanes that are not finite are counted and not halved. */
INLINE int halve(const Equation *equation, masks *doublings, lanes *time, double *norm, int width, int64_t *failures)
{
    lanes largest = {0}, total = {0};
    UNROLL for (int j = 0; j < D; j++) {
        lanes column = {0};
        UNROLL for (int i = 0; i < D; i++)
            column += (lanes)((masks)equation->jacobian[i][j] & ~((whole)1 << (8 * sizeof(whole) - 1)));
        total += column;
        largest = only(largest, largest > column) + only(column, largest <= column);
    }
    largest *= equation->duration;
    total *= equation->duration;
    /* The least k with norm <= 2^k LARGEST_NORM, from the exponent; 0.25 is a power of two. */
    masks bits = (masks)largest, k = (bits >> MANTISSA) - (BIAS - 2);
    k += ((bits & (((whole)1 << MANTISSA) - 1)) == 0) + 1;
    const masks bad = ~(masks)(total - total == 0);
    k &= (k > 0) & ~bad;
    k = (k & (k < MOST_DOUBLINGS)) + (MOST_DOUBLINGS & (k >= MOST_DOUBLINGS));
    const lanes scale = (lanes)((BIAS - k) << MANTISSA);
    *time = equation->duration * scale;
    *doublings = k;
    int most = 0;
    *norm = 0;
    for (int l = 0; l < LANES; l++) {
        most = k[l] > most ? k[l] : most;
        const double scaled = bad[l] ? LARGEST_NORM : largest[l] * scale[l];
        *norm = scaled > *norm ? scaled : *norm;
    }
    for (int l = 0; l < width; l++)
        *failures -= bad[l];
    return most;
}

/* Terms after which a series is exact. Noise reaches an entry after 2 (D - 1) of them at the latest; what follows is
   small relative to that. */
INLINE int length_of_series(double norm)
{
    int terms = 2 * (D - 1) + 1;
    for (double size = 1; size > SHORTEST && terms < TERMS; terms++)
        size *= 2 * norm / (terms + 1);
    return terms < TERMS ? terms : TERMS;
}

/* Solve; return nothing of lanes that are not finite. The propagator is computed where it is wanted or needed. */
INLINE void solve(const Equation *equation, Flow *flow, int wanted, int width, int64_t *failures)
{
    lanes generator[D][D], vector[D], matrix[D][D], time;
    lanes *const displacement = flow->displacement;
    masks doublings;
    double norm;
    const int most = halve(equation, &doublings, &time, &norm, width, failures), terms = length_of_series(norm);
#if RATES
    lanes force_drifting[D], vector_rate[D], diffusion_drifting[D][D], matrix_rate[D][D];
#endif
    UNROLL for (int i = 0; i < D; i++) {
        displacement[i] = vector[i] = equation->force[i] * time;
        UNROLL for (int j = 0; j < D; j++) {
            generator[i][j] = equation->jacobian[i][j] * time;
            flow->covariance[i][j] = matrix[i][j] = equation->diffusion[i][j] * time;
        }
#if RATES
        force_drifting[i] = vector_rate[i] = equation->force_rate[i] * time;
        displacement[i] += vector_rate[i] * time / 2;
        UNROLL for (int j = 0; j < D; j++) {
            diffusion_drifting[i][j] = matrix_rate[i][j] = equation->diffusion_rate[i][j] * time;
            flow->covariance[i][j] += matrix_rate[i][j] * time / 2;
        }
#endif
    }
    for (int n = 1; n < terms; n++) {
        const real factor = (real)1 / (n + 1);
        act(generator, vector, vector);
        act_both_sides(generator, matrix, factor);
        UNROLL for (int i = 0; i < D; i++) {
            vector[i] *= factor;
            displacement[i] += vector[i];
            UNROLL for (int j = 0; j < D; j++)
                flow->covariance[i][j] += matrix[i][j];
        }
#if RATES
        const lanes later = time / (real)(n + 2);
        act(generator, vector_rate, vector_rate);
        act_both_sides(generator, matrix_rate, factor);
        UNROLL for (int i = 0; i < D; i++) {
            vector_rate[i] *= factor;
            force_drifting[i] += vector_rate[i];
            displacement[i] += vector_rate[i] * later;
            UNROLL for (int j = 0; j < D; j++) {
                diffusion_drifting[i][j] += matrix_rate[i][j];
                flow->covariance[i][j] += matrix_rate[i][j] * later;
            }
        }
#endif
    }
    if (most > 0 || wanted)
        exponential(generator, flow->propagator);
    for (int done = 0; done < most; done++) {
        const masks on = doublings > done;
        lanes carry[D][D], moved[D], sum[D][D];
        UNROLL for (int i = 0; i < D; i++)
            UNROLL for (int j = 0; j < D; j++) {
                carry[i][j] = only(flow->propagator[i][j], on);
                sum[i][j] = flow->covariance[i][j];
            }
        act(carry, displacement, moved);
        UNROLL for (int i = 0; i < D; i++)
            displacement[i] += moved[i];
#if RATES
        const lanes elapsed = only(time, on);
        act(carry, force_drifting, moved);
        UNROLL for (int i = 0; i < D; i++) {
            displacement[i] += elapsed * force_drifting[i];
            force_drifting[i] += moved[i];
            UNROLL for (int j = 0; j < D; j++)
                sum[i][j] += elapsed * diffusion_drifting[i][j];
        }
        lanes rates[D][D];
        __builtin_memcpy(rates, diffusion_drifting, sizeof rates);
        add_carried(carry, rates, diffusion_drifting);
        time += time;
#endif
        add_carried(carry, flow->covariance, sum);
        lanes square[D][D];
        if (wanted || done + 1 < most)
            multiply(carry, carry, square);
        UNROLL for (int i = 0; i < D; i++)
            UNROLL for (int j = 0; j < D; j++) {
                flow->covariance[i][j] = sum[i][j];
                if (wanted || done + 1 < most)
                    flow->propagator[i][j] = (lanes)((masks)square[i][j] | ((masks)flow->propagator[i][j] & ~on));
            }
    }
}
