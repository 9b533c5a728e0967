/* Rational-quadratic splines with their derivatives. Parameters lie in rows of points: widths, heights, slopes at the
   inner knots. BINS, REAL, EXP, FABS and SQRT are defined before. A few points are carried side by side through one
   short loop after the other, none with a branch, so that the compiler takes many at once. */

#define LANES 64
#define LANE for (int l = 0; l < lanes; l++)

static inline REAL clipped(REAL a, REAL scale) { return a / (1 + FABS(a * scale)); }
static inline REAL clipped_slope(REAL a, REAL scale) { const REAL t = 1 + FABS(a * scale); return 1 / (t * t); }

typedef REAL row[LANES];

/* The bins that values lie in: knots, slopes there, and shares of widths (c) and heights (b) before them. */
struct bins { row e[BINS], f[BINS], x0, x1, y0, y1, d0, d1, c0, c1, b0, b1, bin; };

/* Find the bins of values among the knots of x or of y; beyond the outer ones the bin is -1. */
static void place(struct bins *restrict k, const REAL *restrict p, int64_t n, int lanes, const REAL *restrict value,
                  int by_y, REAL bound, REAL scale)
{
    row width, height, c, b, x, y;
    LANE { width[l] = height[l] = c[l] = b[l] = 0; x[l] = y[l] = -bound; k->bin[l] = -1; k->d0[l] = k->d1[l] = 0; }
    LANE { k->x0[l] = k->y0[l] = k->c0[l] = k->b0[l] = 0; k->x1[l] = k->y1[l] = k->c1[l] = k->b1[l] = 1; }
    for (int j = 0; j < BINS; j++) {
        const REAL *restrict w = p + j * n, *restrict h = p + (BINS + j) * n;
        LANE { k->e[j][l] = EXP(clipped(w[l], 2 * scale)); width[l] += k->e[j][l]; }
        LANE { k->f[j][l] = EXP(clipped(h[l], 2 * scale)); height[l] += k->f[j][l]; }
    }
    for (int j = 0; j < BINS; j++) {
        LANE { k->e[j][l] /= width[l]; k->f[j][l] /= height[l]; }
        LANE {
            const REAL next_c = c[l] + k->e[j][l], next_b = b[l] + k->f[j][l];
            const REAL next_x = bound * (2 * next_c - 1), next_y = bound * (2 * next_b - 1);
            const int here = (by_y ? y[l] : x[l]) < value[l];
            k->bin[l] = here ? j : k->bin[l];
            k->c0[l] = here ? c[l] : k->c0[l]; k->c1[l] = here ? next_c : k->c1[l];
            k->b0[l] = here ? b[l] : k->b0[l]; k->b1[l] = here ? next_b : k->b1[l];
            k->x0[l] = here ? x[l] : k->x0[l]; k->x1[l] = here ? next_x : k->x1[l];
            k->y0[l] = here ? y[l] : k->y0[l]; k->y1[l] = here ? next_y : k->y1[l];
            c[l] = next_c; b[l] = next_b; x[l] = next_x; y[l] = next_y;
        }
    }
    LANE k->bin[l] = (by_y ? y[l] : x[l]) < value[l] ? -1 : k->bin[l];
    for (int j = 0; j < BINS - 1; j++) {
        const REAL *restrict turn = p + (2 * BINS + j) * n;
        LANE {
            const REAL d = clipped(turn[l], scale);
            k->d0[l] = k->bin[l] == j + 1 ? d : k->d0[l];
            k->d1[l] = k->bin[l] == j ? d : k->d1[l];
        }
    }
    LANE { k->d0[l] = EXP(k->d0[l]); k->d1[l] = EXP(k->d1[l]); }
}

void inverse(const REAL *restrict p, const REAL *restrict image, REAL *restrict origin, double bound, double scale,
             int64_t n, int64_t first, int64_t last)
{
    struct bins k;
    for (int64_t i = first; i < last; i += LANES) {
        const int lanes = last - i < LANES ? last - i : LANES;
        const REAL *restrict y = image + i;
        place(&k, p + i, n, lanes, y, 1, bound, scale);
        LANE {
            const REAL dy = k.y1[l] - k.y0[l], dx = k.x1[l] - k.x0[l], s = dy / dx, up = y[l] - k.y0[l];
            const REAL bent = k.d0[l] + k.d1[l] - 2 * s;
            const REAL a = dy * (s - k.d0[l]) + up * bent, b = dy * k.d0[l] - up * bent, c = -s * up;
            const REAL z = 2 * c / (-b - SQRT(FABS(b * b - 4 * a * c)));
            origin[i + l] = k.bin[l] < 0 ? y[l] : k.x0[l] + z * dx;
        }
    }
}

/* Value, slope and bend, and the derivatives of the value (v) and of the logarithm of the slope (g) by parameters. */
void jet(const REAL *restrict p, const REAL *restrict points, REAL *restrict value, REAL *restrict slope,
         REAL *restrict bend, REAL *restrict v, REAL *restrict g, double bound, double scale_, int64_t n,
         int64_t first, int64_t last)
{
    const REAL span = 2 * bound, scale = scale_;
    struct bins k;
    row v_x0, v_x1, v_y0, v_y1, v_0, v_1, g_x0, g_x1, g_y1, g_0, g_1, inside;
    for (int64_t i = first; i < last; i += LANES) {
        const int lanes = last - i < LANES ? last - i : LANES;
        const REAL *restrict x = points + i;
        place(&k, p + i, n, lanes, x, 0, bound, scale);
        LANE {
            const int in = k.bin[l] >= 0;
            const REAL d0 = k.d0[l], d1 = k.d1[l], dy = k.y1[l] - k.y0[l], dx = k.x1[l] - k.x0[l], s = dy / dx, r = 1 / dx;
            const REAL z = in ? (x[l] - k.x0[l]) * r : 0, o = 1 - z, u = z * o, t = 1 - 2 * z, bent = d0 + d1 - 2 * s;
            const REAL den = s + bent * u, q = 1 / den, f = (s * z * z + d0 * u) * q;
            const REAL mid = 2 * s * u + d0 * o * o + d1 * z * z, m = 1 / mid, rise = s * s * mid * q * q;
            const REAL f_s = (z * z - f * (1 - 2 * u)) * q, along = dy * f_s;
            const REAL g_z = 2 * (s * t - d0 * o + d1 * z) * m - 2 * bent * t * q;
            const REAL g_s = 2 / s + 2 * u * m - 2 * (1 - 2 * u) * q;
            inside[l] = in;
            v_x0[l] = span * (along * s * r - rise * o); v_x1[l] = span * (-along * s * r - rise * z);
            v_y0[l] = span * (1 - f - along * r); v_y1[l] = span * (f + along * r);
            v_0[l] = dy * (u - f * u) * q * d0; v_1[l] = -dy * f * u * q * d1;
            g_x0[l] = span * r * (g_s * s - g_z * o); g_x1[l] = span * r * (-g_s * s - g_z * z);
            g_y1[l] = span * g_s * r;
            g_0[l] = (o * o * m - 2 * u * q) * d0; g_1[l] = (z * z * m - 2 * u * q) * d1;
            value[i + l] = in ? k.y0[l] + dy * f : x[l];
            slope[i + l] = in ? rise : 1;
            bend[i + l] = in ? g_z * r : 0;
        }
        for (int j = 0; j < BINS; j++) {
            const int64_t w = j * n + i, h = (BINS + j) * n + i;
            LANE {
                const REAL wide = inside[l] * k.e[j][l] * clipped_slope(p[w + l], 2 * scale);
                const REAL x_0 = (j < k.bin[l] ? 1 : 0) - k.c0[l], x_1 = (j <= k.bin[l] ? 1 : 0) - k.c1[l];
                v[w + l] = wide * (v_x0[l] * x_0 + v_x1[l] * x_1);
                g[w + l] = wide * (g_x0[l] * x_0 + g_x1[l] * x_1);
            }
            LANE {
                const REAL high = inside[l] * k.f[j][l] * clipped_slope(p[h + l], 2 * scale);
                const REAL y_0 = (j < k.bin[l] ? 1 : 0) - k.b0[l], y_1 = (j <= k.bin[l] ? 1 : 0) - k.b1[l];
                v[h + l] = high * (v_y0[l] * y_0 + v_y1[l] * y_1);
                g[h + l] = high * g_y1[l] * (y_1 - y_0);
            }
        }
        for (int j = 0; j < BINS - 1; j++) {
            const int64_t d = (2 * BINS + j) * n + i;
            LANE {
                const REAL turn = inside[l] * clipped_slope(p[d + l], scale);
                const REAL left = k.bin[l] == j + 1 ? 1 : 0, right = k.bin[l] == j ? 1 : 0;
                v[d + l] = turn * (left * v_0[l] + right * v_1[l]);
                g[d + l] = turn * (left * g_0[l] + right * g_1[l]);
            }
        }
    }
}
