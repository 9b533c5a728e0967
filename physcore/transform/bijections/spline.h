/* Rational-quadratic splines with their derivatives. Parameters lie in rows of points: widths, heights, slopes at the
   inner knots. BINS, REAL, EXP, FABS and SQRT are defined before. */

#define WITHIN(i, first, last) for (int64_t i = first; i < last; i++)

struct knots { REAL x0, x1, y0, y1, d0, d1, c0, c1, b0, b1, width, height; int bin; };

static inline REAL clipped(REAL a, REAL scale) { return a / (1 + FABS(a * scale)); }
static inline REAL clipped_slope(REAL a, REAL scale) { const REAL t = 1 + FABS(a * scale); return 1 / (t * t); }

/* The bin that a value lies in, among the knots of x or of y; c and b are shares of the widths and heights before. */
static inline __attribute__((always_inline)) struct knots place(
    const REAL *restrict p, int64_t n, int64_t i, REAL value, int by_y, REAL bound, REAL scale)
{
    REAL e[BINS], f[BINS];
    struct knots k = {.bin = -1};
    for (int j = 0; j < BINS; j++) {
        k.width += e[j] = EXP(clipped(p[j * n + i], 2 * scale));
        k.height += f[j] = EXP(clipped(p[(BINS + j) * n + i], 2 * scale));
    }
    REAL c = 0, b = 0, x = -bound, y = -bound;
    for (int j = 0; j < BINS; j++) {
        const REAL next_c = c + e[j] / k.width, next_b = b + f[j] / k.height;
        const REAL next_x = bound * (2 * next_c - 1), next_y = bound * (2 * next_b - 1);
        const int here = (by_y ? y : x) < value;
        k.bin = here ? j : k.bin;
        k.c0 = here ? c : k.c0; k.c1 = here ? next_c : k.c1;
        k.b0 = here ? b : k.b0; k.b1 = here ? next_b : k.b1;
        k.x0 = here ? x : k.x0; k.x1 = here ? next_x : k.x1;
        k.y0 = here ? y : k.y0; k.y1 = here ? next_y : k.y1;
        c = next_c; b = next_b; x = next_x; y = next_y;
    }
    k.bin = (by_y ? y : x) < value ? -1 : k.bin;
    k.d0 = 0; k.d1 = 0;
    for (int j = 0; j < BINS - 1; j++) {
        const REAL d = clipped(p[(2 * BINS + j) * n + i], scale);
        k.d0 = k.bin == j + 1 ? d : k.d0;
        k.d1 = k.bin == j ? d : k.d1;
    }
    k.d0 = EXP(k.d0); k.d1 = EXP(k.d1);
    return k;
}

void inverse(const REAL *restrict p, const REAL *restrict y, REAL *restrict x, double bound_, double scale_, int64_t n,
             int64_t first, int64_t last)
{
    const REAL bound = bound_, scale = scale_;
    WITHIN(i, first, last) {
        const struct knots k = place(p, n, i, y[i], 1, bound, scale);
        const REAL dy = k.y1 - k.y0, dx = k.x1 - k.x0, s = dy / dx, up = y[i] - k.y0, bent = k.d0 + k.d1 - 2 * s;
        const REAL a = dy * (s - k.d0) + up * bent, b = dy * k.d0 - up * bent, c = -s * up;
        const REAL root = b * b - 4 * a * c, z = 2 * c / (-b - SQRT(root > 0 ? root : 0));
        x[i] = k.bin < 0 ? y[i] : k.x0 + z * dx;
    }
}

/* Value, slope and bend, and the derivatives of the value (v) and of the logarithm of the slope (g) by parameters. */
void jet(const REAL *restrict p, const REAL *restrict x, REAL *restrict value, REAL *restrict slope,
         REAL *restrict bend, REAL *restrict v, REAL *restrict g, double bound_, double scale_, int64_t n,
         int64_t first, int64_t last)
{
    const REAL bound = bound_, scale = scale_;
    WITHIN(i, first, last) {
        const struct knots k = place(p, n, i, x[i], 0, bound, scale);
        const int in = k.bin >= 0;
        const REAL dy = in ? k.y1 - k.y0 : 1, dx = in ? k.x1 - k.x0 : 1, s = dy / dx;
        const REAL z = in ? (x[i] - k.x0) / dx : 0, o = 1 - z, u = z * o, t = 1 - 2 * z, bent = k.d0 + k.d1 - 2 * s;
        const REAL top = s * z * z + k.d0 * u, den = s + bent * u, f = top / den;
        const REAL mid = 2 * s * u + k.d0 * o * o + k.d1 * z * z, rise = s * s * mid / (den * den);
        const REAL f_s = (z * z - f * (1 - 2 * u)) / den, f_0 = (u - f * u) / den, f_1 = -f * u / den;
        const REAL g_z = (2 * s * t - 2 * k.d0 * o + 2 * k.d1 * z) / mid - 2 * bent * t / den;
        const REAL g_s = 2 / s + 2 * u / mid - 2 * (1 - 2 * u) / den;
        const REAL g_0 = o * o / mid - 2 * u / den, g_1 = z * z / mid - 2 * u / den;
        const REAL span = 2 * bound, r = 1 / dx, along = dy * f_s;
        const REAL v_x0 = span * (-rise * o + along * s * r), v_x1 = span * (-rise * z - along * s * r);
        const REAL v_y0 = span * (1 - f - along * r), v_y1 = span * (f + along * r);
        const REAL g_x0 = span * r * (-g_z * o + g_s * s), g_x1 = span * r * (-g_z * z - g_s * s);
        const REAL g_y1 = span * g_s * r, v_0 = dy * f_0 * k.d0, v_1 = dy * f_1 * k.d1;
        value[i] = in ? k.y0 + dy * f : x[i];
        slope[i] = in ? rise : 1;
        bend[i] = in ? g_z * r : 0;
        for (int j = 0; j < BINS; j++) {
            const REAL a = p[j * n + i], h = p[(BINS + j) * n + i];
            const REAL wide = in ? EXP(clipped(a, 2 * scale)) / k.width * clipped_slope(a, 2 * scale) : 0;
            const REAL high = in ? EXP(clipped(h, 2 * scale)) / k.height * clipped_slope(h, 2 * scale) : 0;
            const REAL x_0 = (j < k.bin) - k.c0, x_1 = (j <= k.bin) - k.c1;
            const REAL y_0 = (j < k.bin) - k.b0, y_1 = (j <= k.bin) - k.b1;
            v[j * n + i] = wide * (v_x0 * x_0 + v_x1 * x_1);
            g[j * n + i] = wide * (g_x0 * x_0 + g_x1 * x_1);
            v[(BINS + j) * n + i] = high * (v_y0 * y_0 + v_y1 * y_1);
            g[(BINS + j) * n + i] = high * g_y1 * (y_1 - y_0);
        }
        for (int j = 0; j < BINS - 1; j++) {
            const REAL turn = in ? clipped_slope(p[(2 * BINS + j) * n + i], scale) : 0;
            const int left = k.bin == j + 1, right = k.bin == j;
            v[(2 * BINS + j) * n + i] = turn * (left ? v_0 : right ? v_1 : 0);
            g[(2 * BINS + j) * n + i] = turn * (left ? g_0 * k.d0 : right ? g_1 * k.d1 : 0);
        }
    }
}
