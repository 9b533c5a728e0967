/* The flow of linear stochastic equations on a CPU: one equation a lane, LANES side by side; physcore/linear_flow.py says
   what it is and is its specification. Every lane has its own number of doublings: one that is done keeps what it has
   while others go on.

   The source before it defines
     D, real, whole        dimension, precision, integer of the same size
     RATES                 0 or 1, whether forces and diffusions grow with time */

static const real INVERSE_FACTORIALS[] = {
    1, 1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
    1.0 / 39916800, 1.0 / 479001600};

typedef struct {
    lanes jacobian[D][D], force[D], diffusion[D][D], duration;
    lanes force_rate[D], diffusion_rate[D][D]; /* where RATES */
} Equation;

typedef struct {
    lanes propagator[D][D], displacement[D], covariance[D][D];
} Flow;

/* The exponential of a small matrix: its Taylor polynomial after Paterson and Stockmeyer. */
static __attribute__((noinline)) void exponential(const lanes g[D][D], lanes result[D][D])
{
    lanes square[D][D], cube[D][D], fourth[D][D], other[D][D];
    multiply(g, g, 0, square);
    multiply(g, square, 0, cube);
    multiply(square, square, 0, fourth);
    for (int block = BLOCKS - 1; block >= 0; block--) {
        const real *c = INVERSE_FACTORIALS + POWERS * block;
        const int leading = block == BLOCKS - 1;
        lanes(*const sum)[D] = block % 2 ? other : result, (*const last)[D] = block % 2 ? result : other;
        UNROLL for (int i = 0; i < D; i++)
            UNROLL for (int j = 0; j < D; j++) {
                lanes entry = cube[i][j] * c[3] + square[i][j] * c[2] + g[i][j] * c[1];
                if (i == j)
                    entry += c[0];
                if (leading)
                    entry += fourth[i][j] * c[POWERS];
                sum[i][j] = entry;
            }
        if (!leading)
            multiply(fourth, last, sum, sum);
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

/* Solve; return nothing of lanes that are not finite. Of the diffusion the lower half is read. The propagator is
   computed where it is wanted or needed. */
INLINE void solve(const Equation *equation, Flow *flow, int wanted, int width, int64_t *failures)
{
    lanes generator[D][D], vector[D], matrix[1 + OTHER(1)][D][D], time;
    lanes *const displacement = flow->displacement, (*const covariance)[D] = flow->covariance;
    masks doublings;
    double norm;
    const int most = halve(equation, &doublings, &time, &norm, width, failures), terms = length_of_series(norm);
#if RATES
    lanes force_drifting[D], vector_rate[D], diffusion_drifting[D][D], matrix_rate[1 + OTHER(1)][D][D];
#endif
    UNROLL for (int i = 0; i < D; i++) {
        displacement[i] = vector[i] = equation->force[i] * time;
        UNROLL for (int j = 0; j < D; j++)
            generator[i][j] = equation->jacobian[i][j] * time;
        UNROLL for (int j = 0; j <= i; j++)
            covariance[i][j] = matrix[0][i][j] = matrix[0][j][i] = equation->diffusion[i][j] * time;
#if RATES
        force_drifting[i] = vector_rate[i] = equation->force_rate[i] * time;
        displacement[i] += vector_rate[i] * time / 2;
        UNROLL for (int j = 0; j <= i; j++) {
            const lanes rate = equation->diffusion_rate[i][j] * time;
            diffusion_drifting[i][j] = matrix_rate[0][i][j] = matrix_rate[0][j][i] = rate;
            covariance[i][j] += rate * time / 2;
        }
#endif
    }
    for (int n = 1; n < terms; n++) {
        const real factor = (real)1 / (n + 1);
        act(generator, vector, vector);
        act_both_sides(generator, matrix[OTHER(n - 1)], matrix[OTHER(n)], covariance, factor);
        UNROLL for (int i = 0; i < D; i++) {
            vector[i] *= factor;
            displacement[i] += vector[i];
        }
#if RATES
        const lanes later = time / (real)(n + 2);
        const lanes(*const rate)[D] = matrix_rate[OTHER(n)];
        act(generator, vector_rate, vector_rate);
        act_both_sides(generator, matrix_rate[OTHER(n - 1)], matrix_rate[OTHER(n)], diffusion_drifting, factor);
        UNROLL for (int i = 0; i < D; i++) {
            vector_rate[i] *= factor;
            force_drifting[i] += vector_rate[i];
            displacement[i] += vector_rate[i] * later;
            UNROLL for (int j = 0; j <= i; j++)
                covariance[i][j] += rate[i][j] * later;
        }
#endif
    }
    mirror(covariance);
    if (most == 0 && !wanted)
        return;
#if RATES
    mirror(diffusion_drifting);
#endif
    /* Lanes that are done keep their propagator, and nothing is added to them. */
    lanes carry[1 + OTHER(1)][D][D];
    lanes(*propagator)[D] = most ? carry[0] : flow->propagator;
    exponential(generator, propagator);
    for (int done = 0; done < most; done++) {
        const masks on = doublings > done;
        lanes moved[D];
        act(propagator, displacement, moved);
        UNROLL for (int i = 0; i < D; i++)
            displacement[i] += only(moved[i], on);
        add_carried(propagator, on, covariance);
#if RATES
        const lanes elapsed = only(time, on);
        act(propagator, force_drifting, moved);
        UNROLL for (int i = 0; i < D; i++) {
            displacement[i] += elapsed * force_drifting[i];
            force_drifting[i] += only(moved[i], on);
            UNROLL for (int j = 0; j < D; j++)
                covariance[i][j] += elapsed * diffusion_drifting[i][j];
        }
        add_carried(propagator, on, diffusion_drifting);
        time += time;
#endif
        if (wanted || done + 1 < most) {
            lanes(*const next)[D] = done + 1 < most ? carry[OTHER(done + 1)] : flow->propagator;
            square_chosen(propagator, on, next);
            propagator = next;
        }
    }
}
