/* Matrices of lanes: numbers of LANES equations side by side, and products of small matrices of them. */

#include <stdint.h>

#define UNROLL _Pragma("GCC unroll 8")
#if D > 4 /* one copy of what is long: compilers take long over many */
#define PRODUCT static __attribute__((noinline)) void
#else
#define PRODUCT INLINE void
#endif
#define ROWS (D > 4 ? (D + 1) / 2 : D) /* of a tile; as many entries as registers hold */
#define REST (D - ROWS)
#define OTHER(n) (REST ? (n) % 2 : 0) /* of two matrices that take turns, one in few components */
#define LARGEST_NORM 0.25
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define TERMS (sizeof(real) == 4 ? 8 : 14) /* of the longest series */
#define LANES (BYTES / (int)sizeof(real))
#define POWERS 4                          /* powers of the generator that are kept */
#define BLOCKS (sizeof(real) == 4 ? 2 : 3) /* POWERS * BLOCKS is the degree of the short propagator */
#define SHORTEST (sizeof(real) == 4 ? 1e-8 : 1e-17)
#define MOST_DOUBLINGS (sizeof(real) == 4 ? 126 : 1022)
#define MANTISSA (sizeof(real) == 4 ? 23 : 52)
#define BIAS (sizeof(real) == 4 ? 127 : 1023)
#define AHEAD 4 /* vectors that are asked for before they are needed */
#define LARGE (1 << 22) /* bytes of results, more than caches keep for who reads them next */
#define INLINE static inline __attribute__((always_inline))

typedef real lanes __attribute__((vector_size(BYTES), may_alias));
typedef whole masks __attribute__((vector_size(BYTES), may_alias));

/* A number that stays in its register. Of many components compilers would read it again at each use, and a product then
   takes as long as its reading does. */
INLINE lanes held(lanes x)
{
#if D > 4 && defined(__x86_64__)
    __asm__("" : "+v"(x));
#elif D > 4 && defined(__aarch64__)
    __asm__("" : "+w"(x));
#endif
    return x;
}

INLINE lanes only(lanes x, masks chosen) { return (lanes)((masks)x & chosen); }

/* Lanes from memory, a stride apart; those beyond `width` repeat the last. Those that come a little
   later are asked for: entries are more streams than a processor follows by itself, and more than its first cache holds. */
INLINE lanes fetch(const real *from, int64_t stride, int width)
{
    lanes x;
    if (stride == 1 && width == LANES) {
        __builtin_memcpy(&x, from, sizeof x);
        __builtin_prefetch(from + AHEAD * LANES, 0, 2);
    } else
        for (int l = 0; l < LANES; l++)
            x[l] = from[(l < width ? l : width - 1) * stride];
    return x;
}

/* Write lanes to memory; around the caches where the results are larger than these: the old content is not read then. */
INLINE void put(lanes x, real *to, int width, int around)
{
#if defined(__AVX__)
    if (around && width == LANES && (uintptr_t)to % BYTES == 0) {
        __asm__("vmovntps %1, %0" : "=m"(*(lanes *)to) : "v"(x));
        return;
    }
#endif
    if (width == LANES) {
        __builtin_memcpy(to, &x, sizeof x);
        __builtin_prefetch(to + LANES, 1);
    } else
        for (int l = 0; l < width; l++)
            to[l] = x[l];
}

/* Have what was written around the caches seen by all threads. */
INLINE void settle(int around)
{
#if defined(__AVX__)
    if (around)
        __builtin_ia32_sfence();
#endif
}

/* Rows i0 .. i0 + rows - 1 and likewise columns of product <- a b + base, summed in registers; lanes that are not chosen
   keep what `kept` has, zero without it. */
INLINE void multiply_tile(
    const lanes a[D][D], const lanes b[D][D], const lanes base[D][D], const masks *chosen, const lanes kept[D][D],
    lanes product[D][D], int i0, int rows, int j0, int columns)
{
    lanes sums[ROWS][ROWS];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < columns; j++) {
            sums[i][j] = (lanes){0};
            if (base)
                sums[i][j] = base[i0 + i][j0 + j];
        }
    UNROLL for (int k = 0; k < D; k++) {
        lanes row[ROWS];
        UNROLL for (int j = 0; j < columns; j++)
            row[j] = held(b[k][j0 + j]);
        UNROLL for (int i = 0; i < rows; i++) {
            const lanes entry = held(a[i0 + i][k]);
            UNROLL for (int j = 0; j < columns; j++)
                sums[i][j] += entry * row[j];
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < columns; j++) {
            lanes entry = sums[i][j];
            if (chosen)
                entry = only(entry, *chosen);
            if (kept)
                entry = (lanes)((masks)entry | (masks)only(kept[i0 + i][j0 + j], ~*chosen));
            product[i0 + i][j0 + j] = entry;
        }
}

INLINE void multiply_tiles(
    const lanes a[D][D], const lanes b[D][D], const lanes base[D][D], const masks *chosen, const lanes kept[D][D],
    lanes product[D][D])
{
    multiply_tile(a, b, base, chosen, kept, product, 0, ROWS, 0, ROWS);
    if (REST) {
        multiply_tile(a, b, base, chosen, kept, product, 0, ROWS, ROWS, REST);
        multiply_tile(a, b, base, chosen, kept, product, ROWS, REST, 0, ROWS);
        multiply_tile(a, b, base, chosen, kept, product, ROWS, REST, ROWS, REST);
    }
}

/* product <- a b + base, without base where that is 0; base may be the product, and in few components so may a and b. */
PRODUCT multiply(const lanes a[D][D], const lanes b[D][D], const lanes base[D][D], lanes product[D][D])
{
    multiply_tiles(a, b, base, 0, 0, product);
}

/* square <- f f in the chosen lanes, f in the others; in few components square may be f. */
PRODUCT square_chosen(const lanes f[D][D], masks chosen, lanes square[D][D])
{
    multiply_tiles(f, f, 0, &chosen, f, square);
}

INLINE void act(const lanes a[D][D], const lanes v[D], lanes product[D])
{
    lanes sums[D];
    UNROLL for (int i = 0; i < D; i++)
        sums[i] = a[i][0] * v[0];
    UNROLL for (int k = 1; k < D; k++)
        UNROLL for (int i = 0; i < D; i++)
            sums[i] += a[i][k] * v[k];
    UNROLL for (int i = 0; i < D; i++)
        product[i] = sums[i];
}

/* A tile of next <- (g term + term g^T) * factor, which is added to the lower half of sum. */
INLINE void act_both_sides_tile(
    const lanes g[D][D], const lanes term[D][D], lanes next[D][D], lanes sum[D][D], real factor, int i0, int rows, int j0,
    int columns)
{
    lanes sums[ROWS][ROWS];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < columns && j0 + j <= i0 + i; j++)
            sums[i][j] = (lanes){0};
    UNROLL for (int k = 0; k < D; k++) {
        lanes row[ROWS], column[ROWS];
        UNROLL for (int j = 0; j < columns; j++) {
            row[j] = held(term[k][j0 + j]);
            column[j] = held(g[j0 + j][k]);
        }
        UNROLL for (int i = 0; i < rows; i++) {
            const lanes left = i0 == j0 ? column[i] : held(g[i0 + i][k]);
            const lanes right = i0 == j0 ? row[i] : held(term[k][i0 + i]);
            UNROLL for (int j = 0; j < columns && j0 + j <= i0 + i; j++) {
                sums[i][j] += left * row[j];
                sums[i][j] += right * column[j];
            }
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < columns && j0 + j <= i0 + i; j++) {
            const lanes entry = sums[i][j] * factor;
            next[i0 + i][j0 + j] = next[j0 + j][i0 + i] = entry;
            sum[i0 + i][j0 + j] += entry;
        }
}

/* next <- (g term + term g^T) * factor, which is added to the lower half of sum; term is symmetric. In few components
   next may be the term. */
PRODUCT act_both_sides(const lanes g[D][D], const lanes term[D][D], lanes next[D][D], lanes sum[D][D], real factor)
{
    if (REST) {
        act_both_sides_tile(g, term, next, sum, factor, 0, ROWS, 0, ROWS);
        act_both_sides_tile(g, term, next, sum, factor, ROWS, REST, 0, ROWS);
        act_both_sides_tile(g, term, next, sum, factor, ROWS, REST, ROWS, REST);
    } else {
        lanes product[D][D];
        multiply(g, term, 0, product);
        UNROLL for (int i = 0; i < D; i++)
            UNROLL for (int j = 0; j <= i; j++) {
                next[i][j] = next[j][i] = (product[i][j] + product[j][i]) * factor;
                sum[i][j] += next[i][j];
            }
    }
}

/* A tile of sum <- half f^T + sum. */
INLINE void add_carried_tile(
    const lanes half[D][D], const lanes f[D][D], lanes sum[D][D], int i0, int rows, int j0, int columns)
{
    lanes sums[ROWS][ROWS];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < columns && j0 + j <= i0 + i; j++)
            sums[i][j] = sum[i0 + i][j0 + j];
    UNROLL for (int k = 0; k < D; k++) {
        lanes column[ROWS];
        UNROLL for (int j = 0; j < columns; j++)
            column[j] = held(f[j0 + j][k]);
        UNROLL for (int i = 0; i < rows; i++) {
            const lanes entry = held(half[i0 + i][k]);
            UNROLL for (int j = 0; j < columns && j0 + j <= i0 + i; j++)
                sums[i][j] += entry * column[j];
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < columns && j0 + j <= i0 + i; j++)
            sum[i0 + i][j0 + j] = sum[j0 + j][i0 + i] = sums[i][j];
}

/* sum <- f sum f^T + sum in the chosen lanes, sum symmetric. */
PRODUCT add_carried(const lanes f[D][D], masks chosen, lanes sum[D][D])
{
    lanes half[D][D];
    multiply_tiles(f, sum, 0, &chosen, 0, half);
    add_carried_tile(half, f, sum, 0, ROWS, 0, ROWS);
    if (REST) {
        add_carried_tile(half, f, sum, ROWS, REST, 0, ROWS);
        add_carried_tile(half, f, sum, ROWS, REST, ROWS, REST);
    }
}

INLINE void mirror(lanes matrix[D][D])
{
    UNROLL for (int i = 0; i < D; i++)
        UNROLL for (int j = 0; j < i; j++)
            matrix[j][i] = matrix[i][j];
}

