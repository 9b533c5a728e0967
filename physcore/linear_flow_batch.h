/* The flows of a batch of linear equations given as arrays, entries in rows and samples in columns. */

/* Solve the equations first .. last - 1 of a batch. Operands are Jacobian, force, diffusion, duration and, where RATES,
   the rates of force and diffusion; entry e of sample n of operand o is from[o][e * row[o] + n * column[o]]. Results have
   columns 1 and rows `batch` apart. Return how many Jacobians are not finite. */
int64_t solve_batch(
    const real *const *restrict from, const int64_t *restrict row, const int64_t *restrict column,
    real *restrict propagator, real *restrict displacement, real *restrict covariance, int64_t batch, int64_t first,
    int64_t last)
{
    const int around = 2 * D * D * batch * sizeof(real) > LARGE;
    int64_t failures = 0;
    for (int64_t n = first; n < last; n += LANES) {
        const int width = last - n < LANES ? (int)(last - n) : LANES;
        Equation equation;
        Flow flow;
#define FETCH(o, e) fetch(from[o] + n * column[o] + (e) * row[o], column[o], width)
        for (int i = 0; i < D; i++) {
            for (int j = 0; j < D; j++)
                equation.jacobian[i][j] = FETCH(0, i * D + j);
            for (int j = 0; j <= i; j++) {
                equation.diffusion[i][j] = FETCH(2, i * D + j);
#if RATES
                equation.diffusion_rate[i][j] = FETCH(5, i * D + j);
#endif
            }
            equation.force[i] = FETCH(1, i);
#if RATES
            equation.force_rate[i] = FETCH(4, i);
#endif
        }
        equation.duration = FETCH(3, 0);
        solve(&equation, &flow, 1, width, &failures);
        for (int i = 0; i < D; i++) {
            put(flow.displacement[i], displacement + i * batch + n, width, around);
            for (int j = 0; j < D; j++) {
                put(flow.propagator[i][j], propagator + (i * D + j) * batch + n, width, around);
                put(flow.covariance[i][j], covariance + (i * D + j) * batch + n, width, around);
            }
        }
    }
    settle(around);
    return failures;
}
