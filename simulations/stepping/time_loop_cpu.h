/* The time loop of a block of paths on a CPU: LANES paths side by side, everything in cache.

   The generated source before it defines
     COMPONENTS, NORMALS, COEFFICIENTS   numbers of components, normals and time-dependent coefficients
     LANES, real, pair_of_normals        paths side by side, precision of the states, kind of noise
     coefficients(t, k, u)               what depends on time alone, in double
     step(c, u, z, tail, x)              one step of one path, in place; z, tail and x have the stride LANES
   Step n goes from t0 + n dt to t0 + (n + 1) dt. */

/* Advance the paths first .. last - 1 of a block to the steps `saved` and store them there. `start` has shape
   (COMPONENTS, paths); component i at frame j goes to frames[i * component_stride + j * frame_stride + path].
   Lanes beyond the last path are computed and not stored. Return how many stored numbers are not finite. */
int64_t advance_paths(
    const real *restrict start, real *restrict frames, const real *restrict c, const double *restrict k,
    const int64_t *restrict saved, int64_t frame_count, int64_t component_stride, int64_t frame_stride, int64_t paths,
    int64_t first, int64_t last, int64_t first_path, int64_t first_step, double t0, double dt, uint64_t key)
{
    int64_t failures = 0;
    for (int64_t group = first; group < last; group += LANES) {
        real x[COMPONENTS][LANES], u[COEFFICIENTS + 1];
        float z[2 * NORMALS + 2][LANES];
        uint32_t state[STREAMS + 1][4][LANES], stream[STREAMS + 1][LANES];
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
            for (; n < saved[frame]; n++) {
                for (int s = 0; s < STREAMS - 1; s++)
                    draw_lanes(state[s], &z[s * NORMALS_PER_STREAM], NORMALS_PER_STREAM, n, n == first_step, key, path,
                               stream[s]);
                if (NORMALS > 0)
                    draw_lanes(state[STREAMS - 1], &z[BASE], TAIL, n, n == first_step, key, path, stream[STREAMS - 1]);
                const int behind = TAIL % 2 && n % 2 ? BASE + TAIL : BASE;
                coefficients(t0 + (double)n * dt, k, u);
                for (int l = 0; l < LANES; l++)
                    step(c, u, &z[0][l], &z[behind][l], &x[0][l]);
            }
            real *target = frames + frame * frame_stride + group;
            for (int i = 0; i < COMPONENTS; i++) {
                int wrong = 0;
                for (int64_t l = 0; l < width; l++) {
                    target[i * component_stride + l] = x[i][l];
                    wrong += !(x[i][l] - x[i][l] == 0);
                }
                failures += wrong;
            }
        }
    }
    return failures;
}
