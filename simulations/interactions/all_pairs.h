/* Forces over all pairs, each pair once, LANES systems side by side.

   The generated source before it defines DIMENSION, real and pair_force(c, d, f), as in cell_forces.h. */

#define LANES 32

static inline __attribute__((always_inline)) void all_pairs_of_lanes(
    const real *restrict c, int64_t particles, const real *restrict box, const real *restrict turns,
    const real (*restrict x)[LANES], real (*restrict sum)[LANES])
{
    for (int64_t i = 0; i < particles; i++) {
        real here[DIMENSION][LANES], felt[DIMENSION][LANES];
        for (int a = 0; a < DIMENSION; a++)
            for (int l = 0; l < LANES; l++) {
                here[a][l] = x[a * particles + i][l];
                felt[a][l] = sum[a * particles + i][l];
            }
        for (int64_t j = i + 1; j < particles; j++)
            for (int l = 0; l < LANES; l++) {
                real d[DIMENSION], f[DIMENSION];
                for (int a = 0; a < DIMENSION; a++) {
                    const real apart = here[a][l] - x[a * particles + j][l];
                    d[a] = apart - box[a] * NEAREST(apart * turns[a]);
                }
                pair_force(c, d, f);
                for (int a = 0; a < DIMENSION; a++) {
                    felt[a][l] += f[a];
                    sum[a * particles + j][l] -= f[a];
                }
            }
        for (int a = 0; a < DIMENSION; a++)
            for (int l = 0; l < LANES; l++)
                sum[a * particles + i][l] = felt[a][l];
    }
}

/* positions and forces have shape (DIMENSION, particles, systems); `room` holds twice DIMENSION * particles * LANES.
   Lanes beyond the last system repeat it and are not stored. */
void all_pair_forces(
    const real *restrict positions, real *restrict forces, const real *restrict c, int64_t systems, int64_t particles,
    const double *restrict periods, real *restrict room)
{
    real(*x)[LANES] = (real(*)[LANES])room, (*sum)[LANES] = x + DIMENSION * particles;
    real box[DIMENSION], turns[DIMENSION];
    for (int a = 0; a < DIMENSION; a++) {
        box[a] = (real)periods[a];
        turns[a] = periods[a] > 0 ? (real)(1 / periods[a]) : 0;
    }
    for (int64_t first = 0; first < systems; first += LANES) {
        const int64_t width = systems - first < LANES ? systems - first : LANES;
        for (int64_t row = 0; row < DIMENSION * particles; row++)
            for (int l = 0; l < LANES; l++) {
                x[row][l] = positions[row * systems + first + (l < width ? l : width - 1)];
                sum[row][l] = 0;
            }
        all_pairs_of_lanes(c, particles, box, turns, x, sum);
        for (int64_t row = 0; row < DIMENSION * particles; row++)
            for (int64_t l = 0; l < width; l++)
                forces[row * systems + first + l] = sum[row][l];
    }
}
