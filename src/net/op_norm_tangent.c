/*
 * Derivatives of normalisations when parameters are scaled (r marks the derivative).
 *
 * With x^ = (x - m) i, i = 1 / sqrt(variance + eps), means over the N values that are normalised
 * together, and q = mean(x^ rx):
 *
 *   rx^ = i (rx - mean(rx) - x^ q),   ri = -i^2 q
 *   ry  = scale rx^ + rscale x^ + rshift
 *
 *   h   = scale dy,  u = h - mean(h) - x^ mean(h x^),  dx = i u
 *   rh  = rscale dy + scale rdy
 *   ru  = rh - mean(rh) - rx^ mean(h x^) - x^ mean(rh x^ + h rx^)
 *   rdx = i (ru - i q u)
 *   rdscale = sum (rdy x^ + dy rx^),  rdshift = sum rdy
 *
 * Where mean and variance are constants, rx^ = i rx and rdx = i rh. A batch norm's scale is one
 * number for all N values, so that every line is a sum of g, rg, x, rx and 1 with factors by channel:
 * two passes over memory. Norms of rows are done a row at a time.
 */
#include "net/ops.h"

/* --- batch norm ------------------------------------------------------------------------------- */

enum { LANES = 16 };

/* By channel, for each example: a sum of the first times the second, less the mean where it is x. */
typedef enum sum_kind { RX, RX_X, G, G_X, RG, RG_X, G_RX, SUMS } sum_kind;
/* By channel: what g, rg, x, rx and 1 are multiplied by. */
typedef enum factor_kind { OF_G, OF_RG, OF_X, OF_RX, OF_ONE, FACTORS } factor_kind;

/* `stride` floats from pixel to pixel, and as many channels to a group. */
typedef struct planes {
    size_t batch, groups, pixels, stride, channels;
} planes;

static planes planes_of(const sonde__form *form)
{
    planes p = {(size_t)form->batch, (size_t)sonde__form_groups(form), sonde__form_pixels(form),
                (size_t)form->block, 0};
    if (p.pixels == 1 && sonde__form_plain(form)) {
        p.groups = 1;
        p.stride = (size_t)form->shape.channels;
    }
    p.channels = p.groups * p.stride;
    return p;
}

size_t sonde__batch_norm_tangent_partial(const sonde__form *form)
{
    planes p = planes_of(form);
    return p.channels * (SUMS * p.batch + FACTORS);
}

static bool parallel(const sonde__form *form)
{
    return sonde__form_floats(form) >= SONDE__PARALLEL_FLOATS;
}

/* Sums over pixels of a and of a (b - center), for at most LANES channels; NULL: not wanted. */
SONDE_INLINE void pair_sums(const planes *p, const size_t lanes, const float *restrict a,
                            const float *restrict b, const float *restrict center,
                            float *restrict sum, float *restrict product)
{
    float s[LANES] = {0}, q[LANES] = {0}, middle[LANES] = {0};
    for (size_t c = 0; center && c < lanes; c++)
        middle[c] = center[c];
    for (size_t i = 0; i < p->pixels; i++) {
        for (size_t c = 0; c < lanes; c++) {
            float value = a[i * p->stride + c];
            s[c] += value;
            q[c] += value * (b[i * p->stride + c] - middle[c]);
        }
    }
    for (size_t c = 0; c < lanes; c++) {
        if (sum)
            sum[c] = s[c];
        product[c] = q[c];
    }
}

/* Of the piece of an example that `g` points at; `sums` has SUMS rows of all channels. */
SONDE_INLINE void piece_sums_lanes(const planes *p, const size_t lanes,
                                   const sonde__norm_tangent_gradients *g, const float *mean,
                                   float *sums)
{
    const size_t n = p->channels;
    pair_sums(p, lanes, g->rx, g->x, mean, sums + RX * n, sums + RX_X * n);
    if (!g->dy)
        return;
    pair_sums(p, lanes, g->dy, g->x, mean, sums + G * n, sums + G_X * n);
    pair_sums(p, lanes, g->rdy, g->x, mean, sums + RG * n, sums + RG_X * n);
    pair_sums(p, lanes, g->dy, g->rx, NULL, NULL, sums + G_RX * n);
}

SONDE_CLONES static void piece_sums(const planes *p, size_t lanes,
                                    const sonde__norm_tangent_gradients *g, const float *mean,
                                    float *sums)
{
    if (lanes == 16)
        piece_sums_lanes(p, 16, g, mean, sums);
    else if (lanes == 8)
        piece_sums_lanes(p, 8, g, mean, sums);
    else
        piece_sums_lanes(p, lanes, g, mean, sums);
}

/* At `floats` into all arrays. */
static sonde__norm_tangent_gradients moved(const sonde__norm_tangent_gradients *g, size_t floats)
{
    return (sonde__norm_tangent_gradients){.x = g->x + floats,
                                           .rx = g->rx + floats,
                                           .dy = g->dy ? g->dy + floats : NULL,
                                           .rdy = g->rdy + floats};
}

static void find_sums(const sonde__norm_tangent *norm, const planes *p,
                      const sonde__norm_tangent_gradients *g)
{
#pragma omp parallel for schedule(static) if (parallel(&norm->form))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)(p->batch * p->groups); i++) {
        size_t n = (size_t)i / p->groups, group = (size_t)i % p->groups;
        for (size_t first = 0; first < p->stride; first += LANES) {
            size_t channel = group * p->stride + first, left = p->stride - first;
            sonde__norm_tangent_gradients piece =
                moved(g, (size_t)i * p->pixels * p->stride + first);
            piece_sums(p, left < LANES ? left : LANES, &piece, norm->saved + channel,
                       norm->partial + SUMS * n * p->channels + channel);
        }
    }
}

/* A channel's means (of what is not found, nothing), with x^ for x - mean. */
typedef struct channel_means {
    double count, inverse;
    double of[SUMS];
} channel_means;

static channel_means means_of(const sonde__norm_tangent *norm, const planes *p, size_t channel,
                              bool backward)
{
    channel_means m = {.count = (double)p->batch * (double)p->pixels,
                       .inverse = (double)norm->saved[p->channels + channel]};
    int last = backward ? SUMS : RX_X + 1;
    for (int k = 0; k < last; k++) {
        for (size_t n = 0; n < p->batch; n++)
            m.of[k] += (double)norm->partial[(SUMS * n + (size_t)k) * p->channels + channel];
        m.of[k] /= m.count;
    }
    m.of[RX_X] *= m.inverse;
    m.of[G_X] *= m.inverse;
    m.of[RG_X] *= m.inverse;
    return m;
}

static float *factors_of(const sonde__norm_tangent *norm, const planes *p)
{
    return norm->partial + SUMS * p->batch * p->channels;
}

/* `unit` is the factor of x^ = (x - mean) inverse. */
static void store_factors(const sonde__norm_tangent *norm, const planes *p, size_t channel,
                          const double *factors, double unit)
{
    float *to = factors_of(norm, p) + channel;
    double slope = unit * (double)norm->saved[p->channels + channel];
    to[OF_G * p->channels] = (float)factors[OF_G];
    to[OF_RG * p->channels] = (float)factors[OF_RG];
    to[OF_X * p->channels] = (float)slope;
    to[OF_RX * p->channels] = (float)factors[OF_RX];
    to[OF_ONE * p->channels] = (float)(factors[OF_ONE] - slope * (double)norm->saved[channel]);
}

static double scale_at(const sonde__norm_tangent *norm, size_t channel)
{
    return norm->scale ? (double)norm->scale[channel] : 1;
}

static void forward_factors(const sonde__norm_tangent *norm, const planes *p, size_t channel)
{
    channel_means m = means_of(norm, p, channel, false);
    double scale = scale_at(norm, channel), factors[FACTORS] = {0};
    double unit = norm->scale ? (double)norm->scale_share * scale : 0;
    factors[OF_RX] = scale * m.inverse;
    factors[OF_ONE] = norm->shift ? (double)norm->shift_share * (double)norm->shift[channel] : 0;
    if (!norm->running) {
        factors[OF_ONE] -= scale * m.inverse * m.of[RX];
        unit -= scale * m.inverse * m.of[RX_X];
    }
    store_factors(norm, p, channel, factors, unit);
}

/* Also the derivatives of the gradients of scale and shift. */
static void backward_factors(const sonde__norm_tangent *norm, const planes *p, size_t channel,
                             const sonde__norm_tangent_gradients *g)
{
    channel_means m = means_of(norm, p, channel, true);
    double scale = scale_at(norm, channel), factors[FACTORS] = {0}, unit = 0;
    double growth = norm->scale ? (double)norm->scale_share * scale : 0;
    double q = norm->running ? 0 : m.of[RX_X], center = norm->running ? 0 : m.of[RX];
    /* mean(g rx^) and mean(rg x^ + g rx^) */
    double cross = m.inverse * (m.of[G_RX] - center * m.of[G] - q * m.of[G_X]);
    double change = m.of[RG_X] + cross;
    factors[OF_G] = m.inverse * (growth - scale * m.inverse * q);
    factors[OF_RG] = m.inverse * scale;
    if (!norm->running) {
        double whole = m.inverse * scale;
        factors[OF_RX] = -whole * m.of[G_X] * m.inverse;
        factors[OF_ONE] =
            -factors[OF_G] * m.of[G] - whole * (m.of[RG] - m.of[G_X] * m.inverse * center);
        unit = -factors[OF_G] * m.of[G_X] + whole * (m.of[G_X] * m.inverse * q - change);
    }
    store_factors(norm, p, channel, factors, unit);
    if (g->scale) {
        g->scale[channel] = (float)(change * m.count);
        g->shift[channel] = (float)(m.of[RG] * m.count);
    }
}

/* A channel's five factors, for at most LANES channels. */
SONDE_INLINE void piece_combine_lanes(const planes *p, const size_t lanes,
                                      const sonde__norm_tangent_gradients *g,
                                      const float *restrict factors, float *out)
{
    const size_t n = p->channels, stride = p->stride;
    const float *restrict x = g->x, *restrict rx = g->rx;
    for (size_t i = 0; i < p->pixels; i++) {
        for (size_t c = 0; c < lanes; c++) {
            size_t at = i * stride + c;
            float value = factors[OF_X * n + c] * x[at] + factors[OF_RX * n + c] * rx[at] +
                          factors[OF_ONE * n + c];
            if (g->dy)
                value += factors[OF_G * n + c] * g->dy[at] + factors[OF_RG * n + c] * out[at];
            out[at] = value;
        }
    }
}

SONDE_CLONES static void piece_combine(const planes *p, size_t lanes,
                                       const sonde__norm_tangent_gradients *g, const float *factors,
                                       float *out)
{
    if (lanes == 16)
        piece_combine_lanes(p, 16, g, factors, out);
    else if (lanes == 8)
        piece_combine_lanes(p, 8, g, factors, out);
    else
        piece_combine_lanes(p, lanes, g, factors, out);
}

/* Into g->rdy. */
static void combine(const sonde__norm_tangent *norm, const planes *p,
                    const sonde__norm_tangent_gradients *g)
{
#pragma omp parallel for schedule(static) if (parallel(&norm->form))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)(p->batch * p->groups); i++) {
        size_t group = (size_t)i % p->groups;
        for (size_t first = 0; first < p->stride; first += LANES) {
            size_t channel = group * p->stride + first, left = p->stride - first;
            sonde__norm_tangent_gradients piece =
                moved(g, (size_t)i * p->pixels * p->stride + first);
            piece_combine(p, left < LANES ? left : LANES, &piece, factors_of(norm, p) + channel,
                          piece.rdy);
        }
    }
}

void sonde__batch_norm_tangent(const sonde__norm_tangent *norm, const float *x, const float *rx,
                               float *ry)
{
    const planes p = planes_of(&norm->form);
    const sonde__norm_tangent_gradients g = {.x = x, .rx = rx, .rdy = ry};
    find_sums(norm, &p, &g);
    for (size_t c = 0; c < p.channels; c++)
        forward_factors(norm, &p, c);
    combine(norm, &p, &g);
}

void sonde__batch_norm_tangent_backward(const sonde__norm_tangent *norm,
                                        const sonde__norm_tangent_gradients *gradients)
{
    const planes p = planes_of(&norm->form);
    find_sums(norm, &p, gradients);
    for (size_t c = 0; c < p.channels; c++)
        backward_factors(norm, &p, c, gradients);
    combine(norm, &p, gradients);
}

/* --- norms of rows ---------------------------------------------------------------------------- */

/* Value j of a row: x^ and rx^, with the row's q and mean(rx). */
typedef struct row_state {
    const float *x, *rx;
    double mean, inverse, q, center;
} row_state;

static double unit_at(const row_state *s, size_t j)
{
    return ((double)s->x[j] - s->mean) * s->inverse;
}

static double unit_tangent_at(const row_state *s, size_t j)
{
    return s->inverse * ((double)s->rx[j] - s->center - unit_at(s, j) * s->q);
}

static row_state open_row(const sonde__row_norm *norm, size_t row, const float *x, const float *rx)
{
    row_state s = {.x = x,
                   .rx = rx,
                   .mean = (double)norm->saved[2 * row],
                   .inverse = (double)norm->saved[2 * row + 1]};
    for (size_t j = 0; j < norm->count; j++) {
        s.center += (double)rx[j] / (double)norm->count;
        s.q += unit_at(&s, j) * (double)rx[j] / (double)norm->count;
    }
    return s;
}

static size_t parameter_of(const sonde__row_norm *norm, size_t row, size_t j)
{
    return row % norm->period * (norm->count / norm->each) + j / norm->each;
}

void sonde__row_norm_tangent(const sonde__row_norm *norm, const float *x, const float *rx,
                             float *ry)
{
    size_t n = norm->count;
#pragma omp parallel for schedule(static) if (norm->rows * n >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)norm->rows; i++) {
        size_t row = (size_t)i;
        row_state s = open_row(norm, row, x + row * n, rx + row * n);
        for (size_t j = 0; j < n; j++) {
            size_t at = parameter_of(norm, row, j);
            double scale = (double)norm->scale[at], shift = (double)norm->shift[at];
            ry[row * n + j] = (float)(scale * unit_tangent_at(&s, j) +
                                      (double)norm->scale_share * scale * unit_at(&s, j) +
                                      (double)norm->shift_share * shift);
        }
    }
}

/* dy and rdy of one row; rdy becomes rdx. */
static void row_backward(const sonde__row_norm *norm, size_t row, const row_state *s,
                         const float *dy, float *rdy)
{
    double mean = 0, product = 0, change_mean = 0, change = 0, n = (double)norm->count;
    for (size_t j = 0; j < norm->count; j++) {
        double scale = (double)norm->scale[parameter_of(norm, row, j)];
        double h = scale * (double)dy[j];
        double rh = scale * ((double)norm->scale_share * (double)dy[j] + (double)rdy[j]);
        mean += h / n;
        product += h * unit_at(s, j) / n;
        change_mean += rh / n;
        change += (rh * unit_at(s, j) + h * unit_tangent_at(s, j)) / n;
    }
    for (size_t j = 0; j < norm->count; j++) {
        double scale = (double)norm->scale[parameter_of(norm, row, j)];
        double h = scale * (double)dy[j];
        double rh = scale * ((double)norm->scale_share * (double)dy[j] + (double)rdy[j]);
        double u = h - mean - unit_at(s, j) * product;
        double ru = rh - change_mean - unit_tangent_at(s, j) * product - unit_at(s, j) * change;
        rdy[j] = (float)(s->inverse * (ru - s->inverse * s->q * u));
    }
}

/* Rows in order: the same bits for any number of threads. */
void sonde__row_norm_tangent_backward(const sonde__row_norm *norm,
                                      const sonde__norm_tangent_gradients *g)
{
    size_t n = norm->count, parameters = norm->period * (n / norm->each);
    for (size_t k = 0; k < parameters; k++)
        g->scale[k] = g->shift[k] = 0;
    for (size_t row = 0; row < norm->rows; row++) {
        const float *dy = g->dy + row * n;
        float *rdy = g->rdy + row * n;
        row_state s = open_row(norm, row, g->x + row * n, g->rx + row * n);
        for (size_t j = 0; j < n; j++) {
            size_t at = parameter_of(norm, row, j);
            g->scale[at] +=
                (float)((double)rdy[j] * unit_at(&s, j) + (double)dy[j] * unit_tangent_at(&s, j));
            g->shift[at] += rdy[j];
        }
        row_backward(norm, row, &s, dy, rdy);
    }
}
