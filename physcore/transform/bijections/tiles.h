/* Rows of the numbers of a tile of points: products of matrices with them, and their ways from points in memory, which
   lie one after the other, and back. REAL and REAL_BYTES are defined before. */

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
#define UNROLL _Pragma("GCC unroll 16")
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLES 1
#endif
#endif

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

typedef vector square[WIDTH];

/* Entries of two vectors in turns, from the first or from the middle one on. */
#if REAL_BYTES * 16 == BYTES
#define TURNS(a, b, k) __builtin_shufflevector(a, b, k, 16 + k, 1 + k, 17 + k, 2 + k, 18 + k, 3 + k, 19 + k, \
    4 + k, 20 + k, 5 + k, 21 + k, 6 + k, 22 + k, 7 + k, 23 + k)
#elif REAL_BYTES * 8 == BYTES
#define TURNS(a, b, k) __builtin_shufflevector(a, b, k, 8 + k, 1 + k, 9 + k, 2 + k, 10 + k, 3 + k, 11 + k)
#elif REAL_BYTES * 4 == BYTES
#define TURNS(a, b, k) __builtin_shufflevector(a, b, k, 4 + k, 1 + k, 5 + k)
#else
#define TURNS(a, b, k) __builtin_shufflevector(a, b, k, 2 + k)
#endif

static inline __attribute__((always_inline)) void transpose(square x)
{
#if SHUFFLES
    UNROLL for (int round = 1; round < WIDTH; round *= 2) {
        square y;
        UNROLL for (int i = 0; i < WIDTH / 2; i++) {
            y[2 * i] = TURNS(x[i], x[i + WIDTH / 2], 0);
            y[2 * i + 1] = TURNS(x[i], x[i + WIDTH / 2], WIDTH / 2);
        }
        UNROLL for (int i = 0; i < WIDTH; i++)
            x[i] = y[i];
    }
#else
    square y;
    for (int i = 0; i < WIDTH; i++)
        for (int k = 0; k < WIDTH; k++)
            y[i][k] = x[k][i];
    __builtin_memcpy(x, y, sizeof y);
#endif
}

/* Component c of the points goes to row `rank[c]`; lanes beyond the points repeat the last. */
static void fetch(row *to, const REAL *from, const int64_t *rank, int64_t components, int64_t points)
{
    if (components < WIDTH) {
        for (int64_t l = 0; l < LANES; l++)
            for (int64_t c = 0; c < components; c++)
                to[rank[c]][l] = from[(l < points ? l : points - 1) * components + c];
        return;
    }
    for (int64_t c = 0; c < components; c += WIDTH) {
        /* The last square begins earlier where it would reach over the edge. */
        const int64_t at = c + WIDTH > components ? components - WIDTH : c;
        for (int64_t l = 0; l < LANES; l += WIDTH) {
            square x;
            UNROLL for (int i = 0; i < WIDTH; i++)
                __builtin_memcpy(x + i, from + (l + i < points ? l + i : points - 1) * components + at, BYTES);
            transpose(x);
            UNROLL for (int i = 0; i < WIDTH; i++)
                __builtin_memcpy(to[rank[at + i]] + l, x + i, BYTES);
        }
    }
}

/* The way back. */
static void put(REAL *to, const row *from, const int64_t *rank, int64_t components, int64_t points)
{
    if (components < WIDTH) {
        for (int64_t l = 0; l < points; l++)
            for (int64_t c = 0; c < components; c++)
                to[l * components + c] = from[rank[c]][l];
        return;
    }
    for (int64_t c = 0; c < components; c += WIDTH) {
        const int64_t at = c + WIDTH > components ? components - WIDTH : c;
        for (int64_t l = 0; l < points; l += WIDTH) {
            square x;
            UNROLL for (int i = 0; i < WIDTH; i++)
                __builtin_memcpy(x + i, from[rank[at + i]] + l, BYTES);
            transpose(x);
            for (int i = 0; i < WIDTH && l + i < points; i++)
                __builtin_memcpy(to + (l + i) * components + at, x + i, BYTES);
        }
    }
}
