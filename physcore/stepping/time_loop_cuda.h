/* The time loop on a GPU: one thread a path, state, generator and normals in registers.

   What the generated source before it defines stands in time_loop_cpu.h; the stride of a path's arrays is 1 here. */

#define STREAMS ((NORMALS + NORMALS_PER_STREAM - 1) / NORMALS_PER_STREAM)
#define BASE (STREAMS > 0 ? (STREAMS - 1) * NORMALS_PER_STREAM : 0)
#define TAIL (NORMALS - BASE)

struct draws {
    uint32_t state[4];
};

template <int COUNT>
INLINE void draw(draws &stream, float *z, int s, int64_t n, bool first_call, uint64_t path, uint64_t key)
{
    constexpr int period = 1 + COUNT % 2;
    if (n % STEPS_PER_SEGMENT == 0 || first_call) {
        seed_stream(key, path, s, (uint64_t)(n / STEPS_PER_SEGMENT), stream.state);
        const int passed = (int)(n % STEPS_PER_SEGMENT) / period * period * COUNT;
        for (int j = 0; j < passed; j++)
            next_bits(stream.state);
    }
    if (n % period == 0 || first_call)
#pragma unroll
        for (int j = 0; j < period * COUNT; j += 2) {
            uint32_t a = next_bits(stream.state), b = next_bits(stream.state);
            pair_of_normals(a, b, &z[j], &z[j + 1]);
        }
}

/* The arguments are those of the CPU's `advance_paths`; numbers = {frame_count, component_stride, frame_stride, paths,
   first_path, first_step, key}, times = {t0, dt}. */
extern "C" __global__ void advance_paths(
    const real *__restrict__ start, real *__restrict__ frames, const real *__restrict__ c,
    const double *__restrict__ k, const int64_t *__restrict__ saved, const int64_t *__restrict__ numbers,
    const double *__restrict__ times, unsigned long long *__restrict__ failures)
{
    const int64_t frame_count = numbers[0], component_stride = numbers[1], frame_stride = numbers[2];
    const int64_t paths = numbers[3], first_path = numbers[4], first_step = numbers[5];
    const uint64_t key = (uint64_t)numbers[6];
    const double t0 = times[0], dt = times[1];
    const int64_t path = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (path >= paths)
        return;
    real x[COMPONENTS], u[COEFFICIENTS + 1];
    float z[2 * NORMALS + 2], tail[TAIL + 1];
    draws streams[STREAMS + 1];
    for (int i = 0; i < COMPONENTS; i++)
        x[i] = start[i * paths + path];
    int64_t n = first_step;
    unsigned long long wrong = 0;
    for (int64_t frame = 0; frame < frame_count; frame++) {
        const int64_t end = saved[frame];
        for (; n < end; n++) {
            const bool first_call = n == first_step;
#pragma unroll
            for (int s = 0; s < STREAMS - 1; s++)
                draw<NORMALS_PER_STREAM>(streams[s], &z[s * NORMALS_PER_STREAM], s, n, first_call, first_path + path,
                                         key);
            if (NORMALS > 0)
                draw<TAIL>(streams[STREAMS > 0 ? STREAMS - 1 : 0], &z[BASE], STREAMS - 1, n, first_call,
                           first_path + path, key);
            const bool behind = TAIL % 2 && n % 2;
#pragma unroll
            for (int j = 0; j < TAIL; j++) /* a choice, and no address that would push z out of registers */
                tail[j] = behind ? z[BASE + TAIL % 2 * TAIL + j] : z[BASE + j];
            coefficients(t0 + (double)n * dt, k, u);
            step(c, u, z, tail, 1, x);
        }
        for (int i = 0; i < COMPONENTS; i++) {
            frames[i * component_stride + frame * frame_stride + path] = x[i];
            wrong += !(x[i] - x[i] == 0);
        }
    }
    if (wrong)
        atomicAdd(failures, wrong);
}
