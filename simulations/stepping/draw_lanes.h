/* Drawing the normals of LANES paths side by side. */

#define STREAMS ((NORMALS + NORMALS_PER_STREAM - 1) / NORMALS_PER_STREAM)
/* The last stream of a path begins at normal BASE and has TAIL normals in a step. */
#define BASE (STREAMS > 0 ? (STREAMS - 1) * NORMALS_PER_STREAM : 0)
#define TAIL (NORMALS - BASE)

INLINE void draw_pair(uint32_t state[4][LANES], int l, uint32_t *a, uint32_t *b)
{
    uint32_t now[4] = {state[0][l], state[1][l], state[2][l], state[3][l]};
    *a = next_bits(now);
    *b = next_bits(now);
    for (int i = 0; i < 4; i++)
        state[i][l] = now[i];
}

/* Draw the `count` normals of step n, and of the next step where their number is odd; z is left as it is where the
   step before has drawn them. The generators are seeded at the start of a segment and at the first step of a call. */
INLINE void draw_lanes(
    uint32_t state[4][LANES], float z[][LANES], int count, int64_t n, int first_call, uint64_t key,
    const uint64_t path[LANES], const uint32_t stream[LANES])
{
    const int period = 1 + count % 2;
    if (n % STEPS_PER_SEGMENT == 0 || first_call) {
        const int passed = (int)(n % STEPS_PER_SEGMENT) / period * period * count;
        for (int l = 0; l < LANES; l++) {
            uint32_t now[4];
            seed_stream(key, path[l], stream[l], (uint64_t)(n / STEPS_PER_SEGMENT), now);
            for (int i = 0; i < 4; i++)
                state[i][l] = now[i];
        }
        for (int j = 0; j < passed; j += 2)
            for (int l = 0; l < LANES; l++) {
                uint32_t a, b;
                draw_pair(state, l, &a, &b);
            }
    }
    if (n % period == 0 || first_call)
        for (int j = 0; j < period * count; j += 2)
            for (int l = 0; l < LANES; l++) {
                uint32_t a, b;
                draw_pair(state, l, &a, &b);
                pair_of_normals(a, b, &z[j][l], &z[j + 1][l]);
            }
}
