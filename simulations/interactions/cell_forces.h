/* Forces over neighbours found by cells, each pair once; simulations/interactions/neighbours.py says how.

   The generated source before it defines
     DIMENSION, real          number of directions, precision
     pair_force(c, d, f)      force f of a pair at displacement d */

static inline __attribute__((always_inline)) void meet(
    const real *restrict c, const real *restrict place, real *restrict force, int64_t particles, int64_t i,
    int64_t first, int64_t last, const real *restrict box, const real *restrict turns, real sum[DIMENSION])
{
    for (int64_t j = first; j < last; j++) {
        real d[DIMENSION], f[DIMENSION];
        for (int a = 0; a < DIMENSION; a++) {
            const real apart = place[a * particles + i] - place[a * particles + j];
            d[a] = apart - box[a] * NEAREST(apart * turns[a]);
        }
        pair_force(c, d, f);
        for (int a = 0; a < DIMENSION; a++) {
            sum[a] += f[a];
            force[a * particles + j] -= f[a];
        }
    }
}

/* The cell along one axis; a position that is not a number goes anywhere, its force is not a number either. */
static inline int64_t cell_along(double x, double width, double period, int64_t across)
{
    double place = period > 0 ? x / period : x / (width * across);
    place = (place - floor(place)) * across;
    const int64_t cell = place >= 0 && place < across ? (int64_t)place : 0;
    return place == across ? across - 1 : cell;
}

/* positions and forces have shape (systems, DIMENSION, particles). `starts` has room for all cells and one more,
   `cells` and `order` for the particles, `place` and `force` for DIMENSION times the particles. box is 0 in open space. */
void cell_forces(
    const real *restrict positions, real *restrict forces, const real *restrict c, int64_t systems, int64_t particles,
    const double *restrict periods, double width, const int64_t *restrict across, int64_t *restrict starts,
    int64_t *restrict cells, int64_t *restrict order, real *restrict place, real *restrict force)
{
    const int64_t row = across[DIMENSION - 1];
    int64_t rows = 1;
    real box[DIMENSION], turns[DIMENSION];
    for (int a = 0; a < DIMENSION; a++) {
        rows *= a < DIMENSION - 1 ? across[a] : 1;
        box[a] = (real)periods[a];
        turns[a] = periods[a] > 0 ? (real)(1 / periods[a]) : 0;
    }
    for (int64_t system = 0; system < systems; system++) {
        const real *x = positions + system * DIMENSION * particles;
        for (int64_t k = 0; k <= rows * row; k++)
            starts[k] = 0;
        for (int64_t p = 0; p < particles; p++) {
            int64_t cell = 0;
            for (int a = 0; a < DIMENSION; a++)
                cell = cell * across[a] + cell_along(x[a * particles + p], width, periods[a], across[a]);
            cells[p] = cell;
            starts[cell + 1]++;
        }
        for (int64_t k = 0; k < rows * row; k++)
            starts[k + 1] += starts[k];
        for (int64_t p = 0; p < particles; p++) { /* starts[k] runs on to the end of cell k, the start of the next */
            const int64_t at = starts[cells[p]]++;
            order[at] = p;
            for (int a = 0; a < DIMENSION; a++) {
                place[a * particles + at] = x[a * particles + p];
                force[a * particles + at] = 0;
            }
        }
        for (int64_t k = rows * row; k > 0; k--)
            starts[k] = starts[k - 1];
        starts[0] = 0;
        for (int64_t r = 0; r < rows; r++) {
            int64_t above[ROWS_ABOVE + 1];
            rows_above(r, across, above);
            for (int64_t k = 0; k < row; k++) {
                const int64_t here = r * row + k, left = k > 0 ? k - 1 : row - 1, right = k < row - 1 ? k + 1 : 0;
                for (int64_t i = starts[here]; i < starts[here + 1]; i++) {
                    real sum[DIMENSION] = {0};
                    meet(c, place, force, particles, i, i + 1, starts[here + 1], box, turns, sum);
                    meet(c, place, force, particles, i, starts[r * row + right], starts[r * row + right + 1], box,
                         turns, sum);
                    for (int q = 0; q < ROWS_ABOVE; q++) {
                        const int64_t *first = starts + above[q] * row;
                        if (left < right && left < k) {
                            meet(c, place, force, particles, i, first[left], first[right + 1], box, turns, sum);
                        } else {
                            meet(c, place, force, particles, i, first[left], first[left + 1], box, turns, sum);
                            meet(c, place, force, particles, i, first[k], first[k + 1], box, turns, sum);
                            meet(c, place, force, particles, i, first[right], first[right + 1], box, turns, sum);
                        }
                    }
                    for (int a = 0; a < DIMENSION; a++)
                        force[a * particles + i] += sum[a];
                }
            }
        }
        for (int64_t at = 0; at < particles; at++)
            for (int a = 0; a < DIMENSION; a++)
                forces[(system * DIMENSION + a) * particles + order[at]] = force[a * particles + at];
    }
}
