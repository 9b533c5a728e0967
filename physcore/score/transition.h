/* Local linear transitions of a batch of states: drift, derivatives and noise, flow and Cholesky factor in one pass.

   The source before it defines, besides what linear_flow.h asks for,
     COEFFICIENTS                    number of coefficients
     coefficients(k, u)              what is the same for all states, in double
     expansion(c, u, x, t, h, y)     from state, time and lag of one lane to Jacobian, drift, lower half of the diffusion
                                     and, where RATES, the rates of the last two; x and y have the stride LANES */

#define HALF (D * (D + 1) / 2)
#define ENTRIES (D * D + D + HALF + RATES * (D + HALF))

INLINE lanes root(lanes x)
{
    lanes y;
    for (int l = 0; l < LANES; l++)
        y[l] = sizeof(real) == 4 ? sqrtf(x[l]) : sqrt(x[l]);
    return y;
}

/* Copy a source and the lower half of a symmetric matrix. */
INLINE void unpack(const lanes *from, lanes source[D], lanes matrix[D][D])
{
    UNROLL for (int i = 0; i < D; i++) {
        source[i] = from[i];
        UNROLL for (int j = 0; j <= i; j++)
            matrix[i][j] = matrix[j][i] = from[D + i * (i + 1) / 2 + j];
    }
}

/* Replace the lower half of symmetric matrices by their Cholesky factors; return where there is none. */
INLINE masks factorise(lanes matrix[D][D])
{
    masks failed = {0};
    lanes inverse[D];
    UNROLL for (int j = 0; j < D; j++)
        UNROLL for (int i = j; i < D; i++) {
            lanes rest = matrix[i][j];
            UNROLL for (int k = 0; k < j; k++)
                rest -= matrix[i][k] * matrix[j][k];
            if (i == j) {
                failed |= ~(masks)(rest > 0);
                rest = root(rest);
                inverse[j] = 1 / rest;
                matrix[j][j] = rest;
            } else
                matrix[i][j] = rest * inverse[j];
        }
    return failed;
}

/* Solve the transitions first .. last - 1 of a batch. Component i of state n is state[i * component + n * sample]; times
   and lags are `step[0]` and `step[1]` apart; results have columns 1 and rows `batch` apart: means and Cholesky factors
   where `factored`, else displacements and covariances. Add to `degenerate` how many covariances have no factor; return
   how many linearisations are not finite. */
int64_t transitions_of_batch(
    const real *restrict c, const double *restrict k, const real *restrict state, int64_t component, int64_t sample,
    const real *restrict time, const real *restrict lag, const int64_t *restrict step, real *restrict mean,
    real *restrict factor, int64_t batch, int64_t first, int64_t last, int64_t *degenerate, int64_t factored)
{
    real u[COEFFICIENTS + 1];
    const int around = D * D * batch * sizeof(real) > LARGE;
    int64_t diverged = 0, failures = 0;
    coefficients(k, u);
    for (int64_t n = first; n < last; n += LANES) {
        const int width = last - n < LANES ? (int)(last - n) : LANES;
        lanes x[D], t, y[ENTRIES];
        Equation equation;
        Flow flow;
        for (int i = 0; i < D; i++)
            x[i] = fetch(state + i * component + n * sample, sample, width);
        t = fetch(time + n * step[0], step[0], width);
        equation.duration = fetch(lag + n * step[1], step[1], width);
        for (int l = 0; l < LANES; l++)
            expansion(c, u, (real *)x + l, ((real *)&t)[l], ((real *)&equation.duration)[l], (real *)y + l);
        UNROLL for (int i = 0; i < D; i++)
            UNROLL for (int j = 0; j < D; j++)
                equation.jacobian[i][j] = y[i * D + j];
        unpack(y + D * D, equation.force, equation.diffusion);
#if RATES
        unpack(y + D * D + D + HALF, equation.force_rate, equation.diffusion_rate);
#endif
        solve(&equation, &flow, 0, width, &diverged);
        if (factored) {
            const masks failed = factorise(flow.covariance);
            for (int l = 0; l < width; l++)
                failures -= failed[l];
            UNROLL for (int i = 0; i < D; i++) {
                flow.displacement[i] += x[i];
                UNROLL for (int j = i + 1; j < D; j++)
                    flow.covariance[i][j] = (lanes){0};
            }
        }
        UNROLL for (int i = 0; i < D; i++) {
            put(flow.displacement[i], mean + i * batch + n, width, around);
            UNROLL for (int j = 0; j < D; j++)
                put(flow.covariance[i][j], factor + (i * D + j) * batch + n, width, around);
        }
    }
    settle(around);
    __atomic_fetch_add(degenerate, failures, __ATOMIC_RELAXED);
    return diverged;
}
