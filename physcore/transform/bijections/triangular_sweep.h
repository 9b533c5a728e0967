/* Scores through a transformation with a triangular Jacobian, a tile of LANES points after the other. Components, units
   of the network and parameters are sorted by level, so that what a row of a matrix reads comes first; `reach` says how
   much that is. All that belongs to a tile stays in the nearest caches; the matrices are passed over once for values and
   once for adjoints. REAL, DEPTH (hidden layers), PARAMETERS (of a component), `activate`, and of the function of one
   variable `struct jet`, `open` and `adjoint`, are defined before. */

#define GROUP (PARAMETERS < 13 ? 24 / PARAMETERS : 1) /* components that go through the last matrix together */
#define SMALLER(a, b) ((a) < (b) ? (a) : (b))

struct layer {
    const int64_t *start, *reach; /* first unit of a level or a later one; inputs that a row reads */
    const REAL *weight, *shift;
    int64_t inputs;
    row *value, *rate, *adjoint;
};

struct sweep {
    int64_t components, free, levels; /* free: components that nothing happens to */
    const int64_t *rank, *level, *first; /* rank: place of a component when all are sorted */
    row *point, *score, *pulled, *parameters, *adjoints;
    struct layer layers[DEPTH + 1];
};

static row *inputs(struct sweep *w, int k) { return k ? w->layers[k - 1].value : w->point; }
static row *input_adjoints(struct sweep *w, int k) { return k ? w->layers[k - 1].adjoint : w->pulled; }

/* Read the plan and lay out the memory of a tile; return the rows it takes. */
static int64_t planned(struct sweep *w, const int64_t *plan, const REAL *weights, row *memory)
{
    row *at = memory;
    w->components = plan[0]; w->free = plan[1]; w->levels = plan[2];
    int64_t before = plan[3];
    w->rank = plan + 4; w->level = w->rank + w->components; w->first = w->level + w->components;
    plan = w->first + w->levels + 1;
    w->point = at; w->score = at + w->components; w->pulled = at + 2 * w->components; at += 3 * w->components;
    w->parameters = at; w->adjoints = at + GROUP * PARAMETERS; at += 2 * GROUP * PARAMETERS;
    for (int k = 0; k <= DEPTH; k++) {
        struct layer *layer = w->layers + k;
        layer->inputs = before;
        layer->start = plan;
        const int64_t units = k < DEPTH ? plan[w->levels] : (w->components - w->free) * PARAMETERS;
        plan += k < DEPTH ? w->levels + 1 : 0;
        layer->reach = plan; plan += k < DEPTH ? units : w->components - w->free;
        layer->weight = weights; layer->shift = weights + units * before; weights += units * (before + 1);
        layer->value = at; layer->rate = at + units; layer->adjoint = at + 2 * units;
        if (k < DEPTH) at += 3 * units;
        before = units;
    }
    return at - memory;
}

static void shifted(row *to, const REAL *shift, int64_t count)
{
    for (int64_t i = 0; i < count; i++) LANE to[i][l] = shift[i];
}

static void cleared(row *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++) LANE to[i][l] = 0;
}

/* Units first .. last - 1 of a hidden layer and their slopes. */
static void evaluate(struct sweep *w, int k, int64_t first, int64_t last)
{
    const struct layer *layer = w->layers + k;
    for (int64_t u = first; u < last; u += ROWS) {
        const int64_t rows = SMALLER(ROWS, last - u);
        shifted(layer->value + u, layer->shift + u, rows);
        product(layer->value + u, rows, layer->weight + u * layer->inputs, layer->inputs, 1, inputs(w, k),
                layer->reach[u + rows - 1]);
        for (int64_t i = u; i < u + rows; i++) activate(layer->value[i], layer->rate[i]);
    }
}

static void find_parameters(struct sweep *w, int64_t first, int64_t last)
{
    const struct layer *layer = w->layers + DEPTH;
    const int64_t r = (first - w->free) * PARAMETERS, rows = (last - first) * PARAMETERS;
    shifted(w->parameters, layer->shift + r, rows);
    product(w->parameters, rows, layer->weight + r * layer->inputs, layer->inputs, 1, inputs(w, DEPTH),
            layer->reach[last - 1 - w->free]);
}

/* Pull adjoints of rows of a layer back to some of its inputs. */
static void pull(struct sweep *w, int k, const row *from, int64_t r, int64_t rows, int64_t u, int64_t end)
{
    const struct layer *layer = w->layers + k;
    if (end > u)
        product(input_adjoints(w, k) + u, end - u, layer->weight + r * layer->inputs + u, 1, layer->inputs, from, rows);
}

/* Pull adjoints of units first .. last - 1, which are complete, back to the layer before. */
static void finish(struct sweep *w, int k, int64_t first, int64_t last)
{
    const struct layer *layer = w->layers + k;
    for (int64_t u = first; u < last; u += 16) {
        const int64_t rows = SMALLER(16, last - u);
        for (int64_t i = u; i < u + rows; i++) LANE layer->adjoint[i][l] *= layer->rate[i][l];
        pull(w, k, layer->adjoint + u, u, rows, 0, layer->reach[u + rows - 1]);
    }
}

static void finish_level(struct sweep *w, int64_t level)
{
    for (int k = DEPTH - 1; k >= 0; k--) finish(w, k, w->layers[k].start[level], w->layers[k].start[level + 1]);
}

/* Place of the inputs of the last matrix from a level on. */
static int64_t units_from(struct sweep *w, int64_t level)
{
    return DEPTH ? w->layers[DEPTH - 1].start[level] : SMALLER(w->first[level], w->layers[0].inputs);
}

static void solve(struct sweep *w, int64_t c, const row *parameters, row *adjoints)
{
    struct jet jet;
    open(&jet, parameters, w->point[c], 0, 1);
    LANE w->point[c][l] = jet.value[l];
    LANE w->score[c][l] = (w->score[c][l] - jet.bend[l] - w->pulled[c][l]) / jet.slope[l];
    adjoint(&jet, parameters, w->score[c], adjoints);
}

static void carry_tile(struct sweep *w)
{
    for (int k = 0; k < DEPTH; k++) evaluate(w, k, 0, w->layers[k].start[w->levels]);
    int64_t level = w->levels, begin;
    for (int64_t end = w->components; end > w->free; end = begin) {
        begin = end - w->free > GROUP ? end - GROUP : w->free;
        find_parameters(w, begin, end);
        const int64_t later = units_from(w, w->level[begin]);
        for (int64_t b = end, a; b > begin; b = a) {
            const int64_t here = w->level[b - 1];
            while (level > here) finish_level(w, --level);
            a = w->first[here] > begin ? w->first[here] : begin;
            const int64_t at = (a - begin) * PARAMETERS;
            for (int64_t c = a; c < b; c++)
                solve(w, c, w->parameters + (c - begin) * PARAMETERS, w->adjoints + (c - begin) * PARAMETERS);
            /* What the others of the group wait for; the rest is done for all of them together. */
            pull(w, DEPTH, w->adjoints + at, (a - w->free) * PARAMETERS, (b - a) * PARAMETERS, later, units_from(w, here));
        }
        pull(w, DEPTH, w->adjoints, (begin - w->free) * PARAMETERS, (end - begin) * PARAMETERS, 0, later);
    }
    while (level > 0) finish_level(w, --level);
    for (int64_t c = 0; c < w->free; c++) LANE w->score[c][l] -= w->pulled[c][l];
}

/* Find the components of a level; with scores, collect the adjoints of their parameters from `waiting` on. */
static int64_t find_level(struct sweep *w, int64_t level, int64_t waiting, int scores)
{
    for (int64_t c = w->first[level] > w->free ? w->first[level] : w->free, end; c < w->first[level + 1]; c = end) {
        if (c - waiting >= GROUP) {
            pull(w, DEPTH, w->adjoints, (waiting - w->free) * PARAMETERS, (c - waiting) * PARAMETERS, 0,
                 w->layers[DEPTH].reach[c - 1 - w->free]);
            waiting = c;
        }
        end = SMALLER(waiting + GROUP, w->first[level + 1]);
        find_parameters(w, c, end);
        for (int64_t i = c; i < end; i++) {
            struct jet jet;
            const row *parameters = w->parameters + (i - c) * PARAMETERS;
            open(&jet, parameters, w->point[i], 1, scores);
            LANE w->point[i][l] = jet.value[l];
            if (!scores) continue;
            adjoint(&jet, parameters, w->score[i], w->adjoints + (i - waiting) * PARAMETERS);
            LANE w->score[i][l] = w->score[i][l] * jet.slope[l] + jet.bend[l];
        }
        if (!scores) waiting = end;
    }
    return waiting;
}

static void return_tile(struct sweep *w, int scores)
{
    int64_t waiting = w->free;
    for (int k = 0; k < DEPTH; k++) evaluate(w, k, 0, w->layers[k].start[0]);
    for (int64_t level = 0; level < w->levels; level++) {
        waiting = find_level(w, level, waiting, scores);
        for (int k = 0; k < DEPTH; k++) evaluate(w, k, w->layers[k].start[level], w->layers[k].start[level + 1]);
    }
    if (!scores) return;
    const int64_t left = w->components - waiting;
    if (left)
        pull(w, DEPTH, w->adjoints, (waiting - w->free) * PARAMETERS, left * PARAMETERS, 0,
             w->layers[DEPTH].reach[w->components - 1 - w->free]);
    for (int k = DEPTH - 1; k >= 0; k--) finish(w, k, 0, w->layers[k].start[w->levels]);
    for (int64_t c = 0; c < w->components; c++) LANE w->score[c][l] += w->pulled[c][l];
}

int64_t rows_needed(const int64_t *plan)
{
    struct sweep w;
    return planned(&w, plan, 0, 0);
}

int64_t bytes_of_row(void) { return sizeof(row); }

/* Carry points first .. last - 1 and, unless there are none, their scores on (1) or back (0). */
void sweep(const int64_t *plan, const REAL *weights, void *memory, const REAL *state, const REAL *score, REAL *points,
           REAL *scores, int64_t on, int64_t first, int64_t last)
{
    struct sweep w;
    planned(&w, plan, weights, memory);
    const int64_t d = w.components;
    for (int64_t i = first; i < last; i += LANES) {
        const int64_t points_here = SMALLER(LANES, last - i);
        fetch(w.point, state + i * d, w.rank, d, points_here);
        if (scores) fetch(w.score, score + i * d, w.rank, d, points_here);
        if (scores) {
            cleared(w.pulled, d);
            for (int k = 0; k < DEPTH; k++) cleared(w.layers[k].adjoint, w.layers[k].start[w.levels]);
        }
        if (on) carry_tile(&w);
        else return_tile(&w, scores != 0);
        put(points + i * d, w.point, w.rank, d, points_here);
        if (scores) put(scores + i * d, w.score, w.rank, d, points_here);
    }
}
