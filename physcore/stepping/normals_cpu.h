/* The normals of some steps alone, for steps that torch computes. */

/* Write the normals of steps first_step .. first_step + steps - 1 to z of shape (steps, NORMALS, paths). Lanes run
   over streams and paths together, so that few paths with many normals fill them too. */
void draw_normals(float *restrict z, int64_t paths, int64_t first_path, int64_t first_step, int64_t steps, uint64_t key)
{
    for (int part = 0; part < 2; part++) {
        const int count = part ? TAIL : NORMALS_PER_STREAM, first_stream = part ? STREAMS - 1 : 0;
        const int64_t columns = (part ? 1 : STREAMS - 1) * paths;
        for (int64_t group = 0; group < columns; group += LANES) {
            ALIGNED float drawn[2 * NORMALS_PER_STREAM + 2][LANES];
            ALIGNED uint32_t state[4][LANES];
            uint32_t stream[LANES];
            uint64_t path[LANES];
            int64_t start[LANES];
            const int width = columns - group < LANES ? columns - group : LANES;
            for (int l = 0; l < LANES; l++) {
                const int64_t column = group + (l < width ? l : width - 1);
                stream[l] = first_stream + column / paths;
                path[l] = (uint64_t)(first_path + column % paths);
                start[l] = stream[l] * NORMALS_PER_STREAM * paths + column % paths;
            }
            for (int64_t n = first_step; n < first_step + steps; n++) {
                const int odd = count % 2 && n % 2;
                if (n % STEPS_PER_SEGMENT == 0 || n == first_step)
                    seed_lanes(state, drawn, count, n, key, path, stream);
                if (!odd)
                    draw_lanes(state, drawn, count % 2 ? 2 * count : count);
                for (int j = 0; j < count; j++)
                    for (int l = 0; l < width; l++)
                        z[((n - first_step) * NORMALS + j) * paths + start[l]] = drawn[odd * count + j][l];
            }
        }
    }
}
