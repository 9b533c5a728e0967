/* Drawing the normals of LANES paths side by side. */

#define ALIGNED __attribute__((aligned(64))) /* a vector of lanes never straddles a cache line */

#define STREAMS ((NORMALS + NORMALS_PER_STREAM - 1) / NORMALS_PER_STREAM)
/* The last stream of a path begins at normal BASE and has TAIL normals in a step. */
#define BASE (STREAMS > 0 ? (STREAMS - 1) * NORMALS_PER_STREAM : 0)
#define TAIL (NORMALS - BASE)
/* Steps that one drawing serves: normals are made in pairs. */
#define PERIOD (1 + TAIL % 2)
/* So few normals are used while they are in registers. */
#define FEW_NORMALS (NORMALS > 0 && NORMALS <= 4)

INLINE void draw_pair(uint32_t state[4][LANES], int l, uint32_t *a, uint32_t *b)
{
    uint32_t now[4] = {state[0][l], state[1][l], state[2][l], state[3][l]};
    *a = next_bits(now);
    *b = next_bits(now);
    for (int i = 0; i < 4; i++)
        state[i][l] = now[i];
}

/* Draw `count` normals of each path, an even number. */
INLINE void draw_lanes(uint32_t state[4][LANES], float z[][LANES], int count)
{
    for (int j = 0; j < count; j += 2)
        for (int l = 0; l < LANES; l++) {
            uint32_t a, b;
            draw_pair(state, l, &a, &b);
            pair_of_normals(a, b, &z[j][l], &z[j + 1][l]);
        }
}

/* Seed the generators for step n, somewhere in a segment, and draw what the step before has drawn for it. With an odd
   `count` of normals in a step they are drawn for two steps at a time, even ones first. */
INLINE void seed_lanes(
    uint32_t state[4][LANES], float z[][LANES], int count, int64_t n, uint64_t key, const uint64_t path[LANES],
    const uint32_t stream[LANES])
{
    const int period = 1 + count % 2, passed = (int)(n % STEPS_PER_SEGMENT) / period * period * count;
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
    if (n % period)
        draw_lanes(state, z, 2 * count);
}
