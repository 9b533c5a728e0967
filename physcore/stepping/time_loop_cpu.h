/* The time loop of a block of paths on a CPU: LANES paths side by side, everything in cache.

   The generated source before it defines
     COMPONENTS, NORMALS, COEFFICIENTS   numbers of components, normals and time-dependent coefficients
     LANES, real, pair_of_normals        paths side by side, precision of the states, kind of noise
     TURNS                               drawings, 1 or 4, whose steps a lane takes before the next lane has its turn
     coefficients(t, k, u)               what depends on time alone, in double
     step(c, u, z, tail, apart, x)       one step of one path, in place; z and x have the stride LANES, tail `apart`
   Step n goes from t0 + n dt to t0 + (n + 1) dt. */

/* Store some lanes; return how many are not finite. */
INLINE int64_t store(const real *restrict x, real *restrict target, int64_t width)
{
    int32_t wrong = 0;
    for (int64_t l = 0; l < width; l++) {
        target[l] = x[l];
        wrong += !(x[l] - x[l] == 0);
    }
    return wrong;
}

/* Draw for as many steps of one lane as a drawing serves and take them, all in registers. */
INLINE void turn_of_lane(
    const real *restrict c, const real *restrict u, uint32_t state[4][LANES], int l, real *restrict x)
{
    float drawn[PERIOD * TAIL + 2];
    for (int j = 0; j < PERIOD * TAIL; j += 2) {
        uint32_t a, b;
        draw_pair(state, l, &a, &b);
        pair_of_normals(a, b, &drawn[j], &drawn[j + 1]);
    }
    for (int i = 0; i < PERIOD; i++)
        step(c, u + i * (COEFFICIENTS + 1), drawn, drawn + i * TAIL, 1, x);
}

/* Advance the paths first .. last - 1 of a block. Lanes beyond the last path are computed and not stored. */
INLINE int64_t advance_share(
    const real *restrict start, real *restrict frames, const real *restrict c, const double *restrict k,
    const int64_t *restrict saved, int64_t frame_count, int64_t component_stride, int64_t frame_stride, int64_t paths,
    int64_t first, int64_t last, int64_t first_path, int64_t first_step, double t0, double dt, uint64_t key)
{
    int64_t failures = 0;
    for (int64_t group = first; group < last; group += LANES) {
        ALIGNED real x[COMPONENTS][LANES];
        real u[4 * PERIOD][COEFFICIENTS + 1];
        ALIGNED float z[2 * NORMALS + 2][LANES];
        ALIGNED uint32_t state[STREAMS + 1][4][LANES];
        uint32_t stream[STREAMS + 1][LANES];
        uint64_t path[LANES];
        const int64_t width = last - group < LANES ? last - group : LANES;
        for (int l = 0; l < LANES; l++) {
            path[l] = (uint64_t)(first_path + group + l);
            for (int s = 0; s < STREAMS; s++)
                stream[s][l] = s;
            for (int i = 0; i < COMPONENTS; i++)
                x[i][l] = start[i * paths + group + (l < width ? l : width - 1)];
        }
        int64_t n = first_step;
        for (int64_t frame = 0; frame < frame_count; frame++) {
            while (n < saved[frame]) {
                const int64_t after = (n / STEPS_PER_SEGMENT + 1) * STEPS_PER_SEGMENT;
                const int64_t end = after < saved[frame] ? after : saved[frame];
                if (n % STEPS_PER_SEGMENT == 0 || n == first_step)
                    for (int s = 0; s < STREAMS; s++)
                        seed_lanes(state[s], &z[s * NORMALS_PER_STREAM], s < STREAMS - 1 ? NORMALS_PER_STREAM : TAIL,
                                   n, key, path, stream[s]);
                while (n < end) {
                    const int odd = TAIL % 2 && n % 2;
                    if (FEW_NORMALS && !odd && n + PERIOD <= end) {
                        const int turns = n + TURNS * PERIOD <= end ? TURNS : 1;
                        for (int i = 0; i < turns * PERIOD; i++)
                            coefficients(t0 + (double)(n + i) * dt, k, u[i]);
                        if (turns == 1)
                            for (int l = 0; l < LANES; l++)
                                turn_of_lane(c, u[0], state[0], l, &x[0][l]);
                        else
                            for (int l = 0; l < LANES; l++) {
                                turn_of_lane(c, u[0], state[0], l, &x[0][l]);
                                turn_of_lane(c, u[PERIOD], state[0], l, &x[0][l]);
                                turn_of_lane(c, u[2 * PERIOD], state[0], l, &x[0][l]);
                                turn_of_lane(c, u[3 * PERIOD], state[0], l, &x[0][l]);
                            }
                        n += turns * PERIOD;
                        continue;
                    }
                    for (int s = 0; s < STREAMS - 1; s++)
                        draw_lanes(state[s], &z[s * NORMALS_PER_STREAM], NORMALS_PER_STREAM);
                    if (NORMALS > 0 && !odd)
                        draw_lanes(state[STREAMS - 1], &z[BASE], PERIOD * TAIL);
                    coefficients(t0 + (double)n * dt, k, u[0]);
                    for (int l = 0; l < LANES; l++)
                        step(c, u[0], &z[0][l], &z[BASE + odd * TAIL][l], LANES, &x[0][l]);
                    n++;
                }
            }
            real *target = frames + frame * frame_stride + group;
            for (int i = 0; i < COMPONENTS; i++, target += component_stride)
                failures += width == LANES ? store(x[i], target, LANES) : store(x[i], target, width);
        }
    }
    return failures;
}

/* Advance the paths of a block to the steps `saved` and store them there. `start` has shape (COMPONENTS, paths);
   component i at frame j goes to frames[i * component_stride + j * frame_stride + path]. Threads that are given the
   same `taken`, zero at first, share the block: each takes `share` paths, a multiple of LANES, for as long as some are
   left. Return how many of the numbers stored here are not finite. */
int64_t advance_paths(
    const real *restrict start, real *restrict frames, const real *restrict c, const double *restrict k,
    const int64_t *restrict saved, int64_t frame_count, int64_t component_stride, int64_t frame_stride, int64_t paths,
    int64_t *taken, int64_t share, int64_t first_path, int64_t first_step, double t0, double dt, uint64_t key)
{
    int64_t failures = 0, first;
    while ((first = __atomic_fetch_add(taken, share, __ATOMIC_RELAXED)) < paths) {
        const int64_t last = first + share < paths ? first + share : paths;
        failures += advance_share(start, frames, c, k, saved, frame_count, component_stride, frame_stride, paths, first,
                                  last, first_path, first_step, t0, dt, key);
    }
    return failures;
}
