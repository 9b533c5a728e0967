/* Rational-quadratic splines with their derivatives, a tile of points after the other. Parameters lie in rows: widths,
   heights, slopes at the inner knots. REAL, BINS, BOUND, CLIP, EXP, FABS and SQRT are defined before. The points are
   carried side by side through one short loop after the other, none with a branch, so that compilers take many at once. */

/* A parameter a enters as a r, whose slope is r^2. */
static inline REAL clip(REAL a, REAL scale) { return 1 / (1 + FABS(a * scale)); }

/* Where points went, derivatives there, and by the knots of the bin that they lie in those of the value (v) and of the
   logarithm of the slope (g); shares of widths (e, before the knots c) and of heights (f, b), by_e and by_f their slopes
   by the parameters but for the sum that they are shares of. */
struct jet {
    row value, slope, bend, e[BINS], f[BINS], by_e[BINS], by_f[BINS], per_e, per_f, c0, c1, b0, b1, bin, inside;
    row by_0, by_1, v_x0, v_x1, v_y0, v_y1, v_0, v_1, g_x0, g_x1, g_y1, g_0, g_1;
};

struct knots { row x0, x1, y0, y1, d0, d1; };

/* Find the bins of values among the knots of x or of y; beyond the outer ones the bin is -1. */
static inline __attribute__((always_inline)) void place(
    struct jet *restrict j, struct knots *restrict k, const row *restrict p, const REAL *restrict value, const int by_y)
{
    const REAL bound = BOUND, scale = CLIP;
    row width, height, c, b, x, y;
    LANE { width[l] = height[l] = c[l] = b[l] = 0; x[l] = y[l] = -bound; j->bin[l] = -1; k->d0[l] = k->d1[l] = 0; }
    LANE { k->x0[l] = k->y0[l] = j->c0[l] = j->b0[l] = 0; k->x1[l] = k->y1[l] = j->c1[l] = j->b1[l] = 1; }
    for (int n = 0; n < BINS; n++) {
        LANE {
            const REAL r = clip(p[n][l], 2 * scale), e = EXP(p[n][l] * r);
            j->e[n][l] = e; j->by_e[n][l] = e * r * r; width[l] += e;
        }
        LANE {
            const REAL r = clip(p[BINS + n][l], 2 * scale), f = EXP(p[BINS + n][l] * r);
            j->f[n][l] = f; j->by_f[n][l] = f * r * r; height[l] += f;
        }
    }
    LANE { width[l] = j->per_e[l] = 1 / width[l]; height[l] = j->per_f[l] = 1 / height[l]; }
    for (int n = 0; n < BINS; n++)
        LANE {
            const REAL e = j->e[n][l] * width[l], f = j->f[n][l] * height[l], next_c = c[l] + e, next_b = b[l] + f;
            const REAL next_x = bound * (2 * next_c - 1), next_y = bound * (2 * next_b - 1);
            const int here = (by_y ? y[l] : x[l]) < value[l];
            j->bin[l] = here ? n : j->bin[l];
            j->c0[l] = here ? c[l] : j->c0[l]; j->c1[l] = here ? next_c : j->c1[l];
            j->b0[l] = here ? b[l] : j->b0[l]; j->b1[l] = here ? next_b : j->b1[l];
            k->x0[l] = here ? x[l] : k->x0[l]; k->x1[l] = here ? next_x : k->x1[l];
            k->y0[l] = here ? y[l] : k->y0[l]; k->y1[l] = here ? next_y : k->y1[l];
            c[l] = next_c; b[l] = next_b; x[l] = next_x; y[l] = next_y;
        }
    LANE j->bin[l] = (by_y ? y[l] : x[l]) < value[l] ? -1 : j->bin[l];
    for (int n = 0; n < BINS - 1; n++)
        LANE {
            k->d0[l] = j->bin[l] == n + 1 ? p[2 * BINS + n][l] : k->d0[l];
            k->d1[l] = j->bin[l] == n ? p[2 * BINS + n][l] : k->d1[l];
        }
    LANE {
        const REAL r0 = clip(k->d0[l], scale), r1 = clip(k->d1[l], scale);
        k->d0[l] = EXP(k->d0[l] * r0); k->d1[l] = EXP(k->d1[l] * r1);
        j->by_0[l] = k->d0[l] * r0 * r0; j->by_1[l] = k->d1[l] * r1 * r1;
    }
}

/* Find the place z of values in their bins, 0 .. 1. */
static inline __attribute__((always_inline)) void share(
    const struct knots *restrict k, const REAL *restrict value, REAL *restrict z, const int by_y)
{
    LANE {
        const REAL dy = k->y1[l] - k->y0[l], dx = k->x1[l] - k->x0[l], s = dy / dx, up = value[l] - k->y0[l];
        const REAL bent = k->d0[l] + k->d1[l] - 2 * s;
        const REAL a = dy * (s - k->d0[l]) + up * bent, b = dy * k->d0[l] - up * bent, c = -s * up;
        z[l] = by_y ? 2 * c / (-b - SQRT(FABS(b * b - 4 * a * c))) : (value[l] - k->x0[l]) / dx;
    }
}

static inline __attribute__((always_inline)) void open_by(
    struct jet *restrict j, const row *restrict p, const REAL *restrict point, const int by_y, const int derivatives)
{
    const REAL span = 2 * BOUND;
    struct knots k;
    row share_of_bin;
    place(j, &k, p, point, by_y);
    share(&k, point, share_of_bin, by_y);
    LANE {
        const int in = j->bin[l] >= 0;
        const REAL d0 = k.d0[l], d1 = k.d1[l], dy = k.y1[l] - k.y0[l], dx = k.x1[l] - k.x0[l], s = dy / dx, r = 1 / dx;
        const REAL z = in ? share_of_bin[l] : 0, o = 1 - z, u = z * o, t = 1 - 2 * z, bent = d0 + d1 - 2 * s;
        const REAL den = s + bent * u, q = 1 / den, f = (s * z * z + d0 * u) * q;
        j->value[l] = in ? by_y ? k.x0[l] + z * dx : k.y0[l] + dy * f : point[l];
        if (!derivatives) continue;
        const REAL mid = 2 * s * u + d0 * o * o + d1 * z * z, m = 1 / mid, rise = s * s * mid * q * q;
        const REAL f_s = (z * z - f * (1 - 2 * u)) * q, along = dy * f_s;
        const REAL g_z = 2 * (s * t - d0 * o + d1 * z) * m - 2 * bent * t * q;
        const REAL g_s = 2 / s + 2 * u * m - 2 * (1 - 2 * u) * q;
        j->inside[l] = in;
        j->slope[l] = in ? rise : 1;
        j->bend[l] = in ? g_z * r : 0;
        j->v_x0[l] = span * (along * s * r - rise * o); j->v_x1[l] = span * (-along * s * r - rise * z);
        j->v_y0[l] = span * (1 - f - along * r); j->v_y1[l] = span * (f + along * r);
        j->v_0[l] = dy * (u - f * u) * q * j->by_0[l]; j->v_1[l] = -dy * f * u * q * j->by_1[l];
        j->g_x0[l] = span * r * (g_s * s - g_z * o); j->g_x1[l] = span * r * (-g_s * s - g_z * z);
        j->g_y1[l] = span * g_s * r;
        j->g_0[l] = (o * o * m - 2 * u * q) * j->by_0[l]; j->g_1[l] = (z * z * m - 2 * u * q) * j->by_1[l];
    }
}

/* Carry points on, or back, by splines with parameters p. */
static void open(struct jet *j, const row *p, const REAL *point, int back, int derivatives)
{
    if (!back) open_by(j, p, point, 0, 1);
    else if (derivatives) open_by(j, p, point, 1, 1);
    else open_by(j, p, point, 1, 0);
}

/* Adjoints of the parameters: derivatives of value * score + logarithm of the slope. */
static void adjoint(const struct jet *restrict j, const row *restrict p, const REAL *restrict score, row *restrict to)
{
    row x0, x1, y0, y1, base_x, base_y, left, right;
    LANE {
        const REAL s = score[l], in = j->inside[l], e = in * j->per_e[l], f = in * j->per_f[l];
        x0[l] = e * (j->v_x0[l] * s + j->g_x0[l]); x1[l] = e * (j->v_x1[l] * s + j->g_x1[l]);
        y0[l] = f * (j->v_y0[l] * s - j->g_y1[l]); y1[l] = f * (j->v_y1[l] * s + j->g_y1[l]);
        left[l] = in * (j->v_0[l] * s + j->g_0[l]); right[l] = in * (j->v_1[l] * s + j->g_1[l]);
        base_x[l] = -(x0[l] * j->c0[l] + x1[l] * j->c1[l]); base_y[l] = -(y0[l] * j->b0[l] + y1[l] * j->b1[l]);
    }
    for (int n = 0; n < BINS; n++)
        LANE {
            const int before = n < j->bin[l], within = n <= j->bin[l];
            to[n][l] = j->by_e[n][l] * (base_x[l] + (before ? x0[l] : 0) + (within ? x1[l] : 0));
            to[BINS + n][l] = j->by_f[n][l] * (base_y[l] + (before ? y0[l] : 0) + (within ? y1[l] : 0));
        }
    for (int n = 0; n < BINS - 1; n++)
        LANE to[2 * BINS + n][l] = j->bin[l] == n + 1 ? left[l] : j->bin[l] == n ? right[l] : 0;
}
