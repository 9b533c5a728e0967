/* Rows of the numbers of a tile of points, and products of matrices with them. REAL is defined before. */

#if defined(__AVX512F__)
#define BYTES 64
#define ROWS 6 /* whose sums registers hold */
#elif defined(__AVX__)
#define BYTES 32
#define ROWS 3
#else
#define BYTES 16
#define ROWS 3
#endif
#define VECTORS 4
#define WIDTH (BYTES / (int)sizeof(REAL))
#define LANES (VECTORS * WIDTH)
#define LANE for (int l = 0; l < LANES; l++)
#define UNROLL _Pragma("GCC unroll 8")

typedef REAL row[LANES] __attribute__((aligned(BYTES)));
typedef REAL vector __attribute__((vector_size(BYTES), may_alias));

static inline __attribute__((always_inline)) void product_of_rows(
    row *to, const REAL *matrix, int64_t down, int64_t across, const row *from, int64_t terms, const int rows)
{
    vector sums[ROWS][VECTORS];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < VECTORS; v++)
            sums[i][v] = ((const vector *)to[i])[v];
    for (int64_t k = 0; k < terms; k++) {
        vector x[VECTORS];
        UNROLL for (int v = 0; v < VECTORS; v++)
            x[v] = ((const vector *)from[k])[v];
        UNROLL for (int i = 0; i < rows; i++) {
            const REAL entry = matrix[i * down + k * across];
            UNROLL for (int v = 0; v < VECTORS; v++)
                sums[i][v] += entry * x[v];
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < VECTORS; v++)
            ((vector *)to[i])[v] = sums[i][v];
}

/* to += matrix from, for `count` rows of the matrix that lie `down` apart, its columns `across`. */
static __attribute__((noinline)) void product(
    row *to, int64_t count, const REAL *matrix, int64_t down, int64_t across, const row *from, int64_t terms)
{
    for (; count >= ROWS; count -= ROWS, to += ROWS, matrix += ROWS * down)
        product_of_rows(to, matrix, down, across, from, terms, ROWS);
    switch (count) {
#if ROWS > 3
    case 5: product_of_rows(to, matrix, down, across, from, terms, 5); break;
    case 4: product_of_rows(to, matrix, down, across, from, terms, 4); break;
    case 3: product_of_rows(to, matrix, down, across, from, terms, 3); break;
#endif
    case 2: product_of_rows(to, matrix, down, across, from, terms, 2); break;
    case 1: product_of_rows(to, matrix, down, across, from, terms, 1); break;
    }
}
