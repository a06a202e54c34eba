/*
 * Batch normalisation fused with what follows it: an optional addition and an optional ReLU.
 *
 *   forward   x^ = (x - m) / sqrt(v + eps),  y = [relu](scale x^ + shift [+ other])
 *   backward  g = dy [where y > 0],  dscale = sum g x^,  dshift = sum g,  dother = g,
 *             dx = scale / sqrt(v + eps) (g - dshift / N - x^ dscale / N)
 * with m and v the mean and biased variance of a channel over its N values (Ioffe and Szegedy 2015).
 *
 * Means and sums are formed a chunk at a time (a chunk fits the cache, so that the squared
 * deviations cost no second trip to memory) and joined in double in the order of the chunks: the
 * bits do not depend on the number of threads.
 */
#include <math.h>
#include <string.h>

#include "net/ops.h"

static const float EPSILON = 1e-5F;
static const double MOMENTUM = 0.1;

/* The chunks of an activation: `groups` x `chunks` pieces of rows of `lanes` floats. */
typedef struct pieces {
    size_t lanes, groups, chunks;
    size_t rows, last_rows;            /* of a chunk, of the last chunk of a group */
    size_t group_stride, chunk_stride; /* floats */
} pieces;

enum { PIECE_FLOATS = 16384 };

static pieces cut(const sonde__form *form, bool examples)
{
    size_t pixels = sonde__form_pixels(form), batch = (size_t)form->batch;
    size_t lanes = (size_t)form->block;
    if (pixels == 1 && sonde__form_plain(form))
        lanes = (size_t)form->shape.channels;
    size_t groups = ((size_t)form->shape.channels + lanes - 1) / lanes;
    pieces p = {.lanes = lanes, .groups = groups};
    if (groups > 1 || examples) { /* a chunk is one example's pixels */
        p.rows = p.last_rows = pixels;
        p.chunks = batch;
        p.group_stride = pixels * lanes;
        p.chunk_stride = groups * pixels * lanes;
    } else {
        size_t rows = batch * pixels;
        p.rows = lanes < PIECE_FLOATS ? PIECE_FLOATS / lanes : 1;
        p.chunks = (rows + p.rows - 1) / p.rows;
        p.last_rows = rows - (p.chunks - 1) * p.rows;
        p.group_stride = 0;
        p.chunk_stride = p.rows * lanes;
    }
    return p;
}

static size_t rows_of(const pieces *p, size_t chunk)
{
    return chunk + 1 == p->chunks ? p->last_rows : p->rows;
}

static size_t padded_channels(const sonde__form *form)
{
    pieces p = cut(form, false);
    return p.lanes * p.groups;
}

size_t sonde__batch_norm_saved(const sonde__form *form)
{
    return 4 * padded_channels(form);
}

/* Two values a channel and chunk, and two a channel. */
size_t sonde__batch_norm_partial(const sonde__form *form, bool examples)
{
    return 2 * padded_channels(form) * (cut(form, examples).chunks + 1);
}

static pieces pieces_of(const sonde__batch_norm *norm)
{
    return cut(&norm->form, norm->pool || norm->examples);
}

static bool parallel(const sonde__form *form)
{
    return sonde__form_floats(form) >= SONDE__PARALLEL_FLOATS;
}

/* --- statistics ------------------------------------------------------------------------------- */

/*
 * Mean and squared deviations of a piece. A sum of many floats is off by more than their own rounding,
 * and what hardly varies is divided by as little as sqrt(eps): so the mean is corrected by what the
 * deviations from it add up to.
 */
SONDE_INLINE void piece_moments_lanes(size_t rows, size_t lanes, const float *restrict x,
                                      float *restrict mean, float *restrict squares)
{
    float inverse = 1.0F / (float)rows;
    for (size_t c = 0; c < lanes; c++)
        mean[c] = squares[c] = 0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < lanes; c++)
            mean[c] += x[r * lanes + c];
    }
    for (size_t c = 0; c < lanes; c++)
        mean[c] *= inverse;
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < lanes; c++)
            squares[c] += x[r * lanes + c] - mean[c];
    }
    for (size_t c = 0; c < lanes; c++) {
        mean[c] += squares[c] * inverse;
        squares[c] = 0;
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < lanes; c++) {
            float d = x[r * lanes + c] - mean[c];
            squares[c] += d * d;
        }
    }
}

SONDE_INLINE void piece_moments_fixed(size_t rows, const size_t lanes, const float *restrict x,
                                      float *restrict mean, float *restrict squares)
{
    float a[16] = {0}, b[16] = {0}, rest[16] = {0}, m[16];
    size_t r = 0;
    for (; r + 1 < rows; r += 2) {
        for (size_t c = 0; c < lanes; c++) {
            a[c] += x[r * lanes + c];
            b[c] += x[(r + 1) * lanes + c];
        }
    }
    for (size_t c = 0; c < lanes; c++) {
        m[c] = (a[c] + b[c] + (r < rows ? x[r * lanes + c] : 0)) / (float)rows;
        a[c] = b[c] = 0;
    }
    for (r = 0; r + 1 < rows; r += 2) {
        for (size_t c = 0; c < lanes; c++) {
            float d = x[r * lanes + c] - m[c], e = x[(r + 1) * lanes + c] - m[c];
            a[c] += d * d;
            b[c] += e * e;
            rest[c] += d + e;
        }
    }
    for (size_t c = 0; c < lanes; c++) {
        float d = r < rows ? x[r * lanes + c] - m[c] : 0;
        float error = (rest[c] + d) / (float)rows;
        mean[c] = m[c] + error;
        squares[c] = a[c] + b[c] + d * d - (float)rows * error * error;
        squares[c] = squares[c] < 0 ? 0 : squares[c]; /* NaN stays */
    }
}

SONDE_CLONES static void piece_moments(size_t rows, size_t lanes, const float *x, float *mean,
                                       float *squares)
{
    if (lanes == 16) {
        piece_moments_fixed(rows, 16, x, mean, squares);
    } else if (lanes == 8) {
        piece_moments_fixed(rows, 8, x, mean, squares);
    } else if (lanes == 1) {
        float sum = 0, error = 0, square = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t r = 0; r < rows; r++)
            sum += x[r];
        sum /= (float)rows;
#pragma omp simd reduction(+ : error)
        for (size_t r = 0; r < rows; r++)
            error += x[r] - sum;
        sum += error / (float)rows;
#pragma omp simd reduction(+ : square)
        for (size_t r = 0; r < rows; r++)
            square += (x[r] - sum) * (x[r] - sum);
        *mean = sum;
        *squares = square;
    } else {
        piece_moments_lanes(rows, lanes, x, mean, squares);
    }
}

/* saved: mean, 1 / deviation, factor and offset of y = factor x + offset. */
static void save_channel(const sonde__batch_norm *norm, size_t channels, size_t c, double mean,
                         double variance)
{
    float *saved = norm->saved;
    double inverse = 1.0 / sqrt(variance + (double)EPSILON);
    double factor = norm->scale ? (double)norm->scale[c] * inverse : inverse;
    double shift = norm->shift ? (double)norm->shift[c] : 0;
    saved[c] = (float)mean;
    saved[channels + c] = (float)inverse;
    saved[2 * channels + c] = (float)factor;
    saved[3 * channels + c] = (float)(shift - factor * mean);
}

static void join_channel(const sonde__batch_norm *norm, const pieces *p, size_t c)
{
    size_t channels = p->lanes * p->groups;
    double count = (double)(p->chunks - 1) * (double)p->rows + (double)p->last_rows;
    double mean = 0, squares = 0;
    for (size_t k = 0; k < p->chunks; k++)
        mean += (double)rows_of(p, k) * (double)norm->partial[2 * k * channels + c];
    mean /= count;
    for (size_t k = 0; k < p->chunks; k++) {
        double d = (double)norm->partial[2 * k * channels + c] - mean;
        squares += (double)norm->partial[(2 * k + 1) * channels + c];
        squares += (double)rows_of(p, k) * d * d;
    }
    save_channel(norm, channels, c, mean, squares / count);
    float *running_mean = &norm->running_mean[c], *running = &norm->running_variance[c];
    double unbiased = count > 1 ? squares / (count - 1) : squares;
    *running_mean = (float)((1 - MOMENTUM) * (double)*running_mean + MOMENTUM * mean);
    *running = (float)((1 - MOMENTUM) * (double)*running + MOMENTUM * unbiased);
}

static void find_moments(const sonde__batch_norm *norm, const float *x)
{
    const pieces p = pieces_of(norm);
    size_t channels = p.lanes * p.groups;
    ptrdiff_t count = (ptrdiff_t)(p.groups * p.chunks);
#pragma omp parallel for schedule(static) if (parallel(&norm->form))
    for (ptrdiff_t i = 0; i < count; i++) {
        size_t chunk = (size_t)i / p.groups, group = (size_t)i % p.groups;
        float *partial = norm->partial + 2 * chunk * channels + group * p.lanes;
        piece_moments(rows_of(&p, chunk), p.lanes,
                      x + chunk * p.chunk_stride + group * p.group_stride, partial,
                      partial + channels);
    }
    for (size_t c = 0; c < channels; c++)
        join_channel(norm, &p, c);
}

/* --- y = [relu](factor x + offset [+ other]) -------------------------------------------------- */

SONDE_INLINE void piece_apply_lanes(size_t rows, size_t lanes, const float *restrict factor,
                                    const float *restrict offset, bool relu, const float *x,
                                    const float *other, float *y)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < lanes; c++) {
            size_t i = r * lanes + c;
            float value = x[i] * factor[c] + offset[c];
            if (other)
                value += other[i];
            y[i] = relu && value < 0 ? 0 : value; /* NaN stays */
        }
    }
}

typedef struct apply_case {
    const float *factor, *offset, *other;
    bool relu;
} apply_case;

SONDE_INLINE void piece_apply_fixed(const apply_case *a, size_t rows, size_t lanes, const float *x,
                                    const float *other, float *y)
{
    if (other && a->relu)
        piece_apply_lanes(rows, lanes, a->factor, a->offset, true, x, other, y);
    else if (other)
        piece_apply_lanes(rows, lanes, a->factor, a->offset, false, x, other, y);
    else if (a->relu)
        piece_apply_lanes(rows, lanes, a->factor, a->offset, true, x, NULL, y);
    else
        piece_apply_lanes(rows, lanes, a->factor, a->offset, false, x, NULL, y);
}

SONDE_CLONES static void piece_apply(const apply_case *a, size_t rows, size_t lanes, const float *x,
                                     float *y)
{
    if (lanes == 16)
        piece_apply_fixed(a, rows, 16, x, a->other, y);
    else if (lanes == 8)
        piece_apply_fixed(a, rows, 8, x, a->other, y);
    else if (lanes == 1)
        piece_apply_fixed(a, rows, 1, x, a->other, y);
    else
        piece_apply_fixed(a, rows, lanes, x, a->other, y);
}

static void apply(const sonde__batch_norm *norm, const float *x, const float *other, float *y)
{
    const pieces p = pieces_of(norm);
    size_t channels = p.lanes * p.groups;
    ptrdiff_t count = (ptrdiff_t)(p.groups * p.chunks);
#pragma omp parallel for schedule(static) if (parallel(&norm->form))
    for (ptrdiff_t i = 0; i < count; i++) {
        size_t chunk = (size_t)i / p.groups, group = (size_t)i % p.groups;
        size_t at = chunk * p.chunk_stride + group * p.group_stride;
        const float *factor = norm->saved + 2 * channels + group * p.lanes;
        apply_case a = {factor, factor + channels, other ? other + at : NULL, norm->relu};
        piece_apply(&a, rows_of(&p, chunk), p.lanes, x + at, y + at);
    }
}

/* What the pieces of a pooled norm need: everything but slope and constant. */
static sonde__norm_pool pool_of(const sonde__batch_norm *norm, const pieces *p, size_t group)
{
    const float *saved = norm->saved + group * p->lanes;
    size_t channels = p->lanes * p->groups;
    return (sonde__norm_pool){.height = (size_t)norm->form.shape.height,
                              .width = (size_t)norm->form.shape.width,
                              .lanes = p->lanes,
                              .mean = saved,
                              .factor = saved + 2 * channels,
                              .offset = saved + 3 * channels,
                              .relu = norm->relu};
}

/* Floats of one group of one example behind the pool. */
static size_t pooled_floats(const sonde__batch_norm *norm, const pieces *p)
{
    return (size_t)(norm->form.shape.height / 2) * (size_t)(norm->form.shape.width / 2) * p->lanes;
}

static void apply_pool(const sonde__batch_norm *norm, const float *x, float *y)
{
    const pieces p = pieces_of(norm);
    size_t pooled = pooled_floats(norm, &p);
    ptrdiff_t count = (ptrdiff_t)(p.groups * p.chunks);
#pragma omp parallel for schedule(static) if (parallel(&norm->form))
    for (ptrdiff_t i = 0; i < count; i++) {
        sonde__norm_pool pool = pool_of(norm, &p, (size_t)i % p.groups);
        sonde__norm_pool_forward(&pool, x + (size_t)i * p.group_stride, y + (size_t)i * pooled);
    }
}

void sonde__batch_norm_train(const sonde__batch_norm *norm, const float *x, const float *other,
                             float *y)
{
    find_moments(norm, x);
    if (norm->pool)
        apply_pool(norm, x, y);
    else
        apply(norm, x, other, y);
}

void sonde__batch_norm_eval(const sonde__batch_norm *norm, const float *x, const float *other,
                            float *y)
{
    size_t channels = padded_channels(&norm->form);
    for (size_t c = 0; c < channels; c++)
        save_channel(norm, channels, c, (double)norm->running_mean[c],
                     (double)norm->running_variance[c]);
    if (norm->pool)
        apply_pool(norm, x, y);
    else
        apply(norm, x, other, y);
}

/* --- backward --------------------------------------------------------------------------------- */

/* One piece of the first pass: g, and the sums of g and g (x - mean). */
typedef struct sums_case {
    const float *mean, *factor, *offset;
    const float *x, *y, *more; /* y: NULL if the sign is found again from x */
    float *dy;
    bool relu, store;
    float *sum, *product;
} sums_case;

SONDE_INLINE float masked(float g, bool relu, float y)
{
    return relu && !(y > 0) ? 0 : g;
}

SONDE_INLINE void piece_sums_lanes(const sums_case *s, size_t rows, size_t lanes, bool relu,
                                   const float *y, const float *more, bool store)
{
    const float *restrict x = s->x, *restrict mean = s->mean, *restrict factor = s->factor;
    const float *restrict offset = s->offset;
    float *dy = s->dy;
    float sum[16] = {0}, product[16] = {0};
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < lanes; c++) {
            size_t i = r * lanes + c;
            float g = more ? dy[i] + more[i] : dy[i];
            g = masked(g, relu, y ? y[i] : x[i] * factor[c] + offset[c]);
            if (store)
                dy[i] = g;
            sum[c] += g;
            product[c] += g * (x[i] - mean[c]);
        }
    }
    for (size_t c = 0; c < lanes; c++) {
        s->sum[c] = sum[c];
        s->product[c] = product[c];
    }
}

SONDE_INLINE void piece_sums_fixed(const sums_case *s, size_t rows, size_t lanes)
{
    if (s->relu && s->y && s->more)
        piece_sums_lanes(s, rows, lanes, true, s->y, s->more, true);
    else if (s->relu && s->y)
        piece_sums_lanes(s, rows, lanes, true, s->y, NULL, true);
    else if (s->relu && !s->more)
        piece_sums_lanes(s, rows, lanes, true, NULL, NULL, false);
    else if (!s->relu && !s->more)
        piece_sums_lanes(s, rows, lanes, false, NULL, NULL, false);
    else
        piece_sums_lanes(s, rows, lanes, s->relu, s->y, s->more, s->store);
}

/* Any number of lanes: the sums are kept in memory. */
SONDE_INLINE void piece_sums_any(const sums_case *s, size_t rows, size_t lanes)
{
    for (size_t c = 0; c < lanes; c++)
        s->sum[c] = s->product[c] = 0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < lanes; c++) {
            size_t i = r * lanes + c;
            float g = s->more ? s->dy[i] + s->more[i] : s->dy[i];
            g = masked(g, s->relu, s->y ? s->y[i] : s->x[i] * s->factor[c] + s->offset[c]);
            if (s->store)
                s->dy[i] = g;
            s->sum[c] += g;
            s->product[c] += g * (s->x[i] - s->mean[c]);
        }
    }
}

SONDE_CLONES static void piece_sums(const sums_case *s, size_t rows, size_t lanes)
{
    if (lanes == 16)
        piece_sums_fixed(s, rows, 16);
    else if (lanes == 8)
        piece_sums_fixed(s, rows, 8);
    else
        piece_sums_any(s, rows, lanes);
}

/* dx = factor g + slope x + constant */
typedef struct input_case {
    const float *factor, *offset, *slope, *constant;
    bool mask; /* g is still to be masked, by the sign of factor x + offset */
} input_case;

SONDE_INLINE void piece_input_lanes(const input_case *s, size_t rows, size_t lanes, bool mask,
                                    const float *x, const float *dy, float *dx)
{
    const float *restrict factor = s->factor, *restrict offset = s->offset;
    const float *restrict slope = s->slope, *restrict constant = s->constant;
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < lanes; c++) {
            size_t i = r * lanes + c;
            float g = masked(dy[i], mask, x[i] * factor[c] + offset[c]);
            dx[i] = factor[c] * g + (slope[c] * x[i] + constant[c]);
        }
    }
}

SONDE_INLINE void piece_input_fixed(const input_case *s, size_t rows, size_t lanes, const float *x,
                                    const float *dy, float *dx)
{
    if (s->mask)
        piece_input_lanes(s, rows, lanes, true, x, dy, dx);
    else
        piece_input_lanes(s, rows, lanes, false, x, dy, dx);
}

SONDE_CLONES static void piece_input(const input_case *s, size_t rows, size_t lanes, const float *x,
                                     const float *dy, float *dx)
{
    if (lanes == 16)
        piece_input_fixed(s, rows, 16, x, dy, dx);
    else if (lanes == 8)
        piece_input_fixed(s, rows, 8, x, dy, dx);
    else if (lanes == 1)
        piece_input_fixed(s, rows, 1, x, dy, dx);
    else
        piece_input_fixed(s, rows, lanes, x, dy, dx);
}

static void find_sums(const sonde__batch_norm *norm, const sonde__batch_norm_gradients *g)
{
    const pieces p = pieces_of(norm);
    size_t channels = p.lanes * p.groups;
    ptrdiff_t count = (ptrdiff_t)(p.groups * p.chunks);
#pragma omp parallel for schedule(static) if (parallel(&norm->form))
    for (ptrdiff_t i = 0; i < count; i++) {
        size_t chunk = (size_t)i / p.groups, group = (size_t)i % p.groups;
        size_t at = chunk * p.chunk_stride + group * p.group_stride;
        const float *saved = norm->saved + group * p.lanes;
        float *partial = norm->partial + 2 * chunk * channels + group * p.lanes;
        sums_case s = {.mean = saved,
                       .factor = saved + 2 * channels,
                       .offset = saved + 3 * channels,
                       .x = g->x + at,
                       .y = g->other && norm->relu ? g->y + at : NULL,
                       .more = g->more ? g->more + at : NULL,
                       .dy = g->dy + at,
                       .relu = norm->relu,
                       .store = g->other || g->more,
                       .sum = partial,
                       .product = partial + channels};
        piece_sums(&s, rows_of(&p, chunk), p.lanes);
    }
}

/* Sums over all chunks: of g, and of g x^. */
typedef struct joined {
    double sum, product;
} joined;

static joined join_sum(const sonde__batch_norm *norm, const pieces *p, size_t c)
{
    size_t channels = p->lanes * p->groups;
    joined all = {0, 0};
    for (size_t k = 0; k < p->chunks; k++) {
        all.sum += (double)norm->partial[2 * k * channels + c];
        all.product += (double)norm->partial[(2 * k + 1) * channels + c];
    }
    all.product *= (double)norm->saved[channels + c];
    return all;
}

/* The gradients of scale and shift, and slope and constant of dx, behind the partial sums. */
static void join_sums(const sonde__batch_norm *norm, const pieces *p)
{
    size_t channels = p->lanes * p->groups;
    double count = (double)(p->chunks - 1) * (double)p->rows + (double)p->last_rows;
    float *slope = norm->partial + 2 * p->chunks * channels, *constant = slope + channels;
    for (size_t c = 0; c < channels; c++) {
        joined all = join_sum(norm, p, c);
        double mean = (double)norm->saved[c], inverse = (double)norm->saved[channels + c];
        double factor = (double)norm->saved[2 * channels + c];
        if (norm->scale_gradient) {
            norm->shift_gradient[c] = (float)all.sum;
            norm->scale_gradient[c] = (float)all.product;
        }
        double tilt = norm->running ? 0 : -factor * inverse * all.product / count;
        slope[c] = (float)tilt;
        constant[c] = norm->running ? 0 : (float)(-factor * all.sum / count - mean * tilt);
    }
}

/* A chunk is an example. */
static void find_norms(const sonde__batch_norm *norm, const pieces *p)
{
    size_t channels = p->lanes * p->groups;
    const float *inverse = norm->saved + channels;
    for (size_t k = 0; k < p->chunks; k++) {
        const float *sum = norm->partial + 2 * k * channels, *product = sum + channels;
        double scale = 0, shift = 0;
        for (size_t c = 0; c < channels; c++) {
            double g = (double)product[c] * (double)inverse[c];
            scale += g * g;
            shift += (double)sum[c] * (double)sum[c];
        }
        norm->scale_norms[k] = scale;
        norm->shift_norms[k] = shift;
    }
}

static void find_pool_sums(const sonde__batch_norm *norm, const sonde__batch_norm_gradients *g)
{
    const pieces p = pieces_of(norm);
    size_t channels = p.lanes * p.groups, pooled = pooled_floats(norm, &p);
    ptrdiff_t count = (ptrdiff_t)(p.groups * p.chunks);
#pragma omp parallel for schedule(static) if (parallel(&norm->form))
    for (ptrdiff_t i = 0; i < count; i++) {
        size_t chunk = (size_t)i / p.groups, group = (size_t)i % p.groups;
        float *partial = norm->partial + 2 * chunk * channels + group * p.lanes;
        sonde__norm_pool pool = pool_of(norm, &p, group);
        sonde__norm_pool_sums(&pool, g->x + (size_t)i * p.group_stride, g->dy + (size_t)i * pooled,
                              partial, partial + channels);
    }
}

static void find_pool_input(const sonde__batch_norm *norm, const sonde__batch_norm_gradients *g)
{
    const pieces p = pieces_of(norm);
    size_t channels = p.lanes * p.groups, pooled = pooled_floats(norm, &p);
    const float *slope = norm->partial + 2 * p.chunks * channels;
    ptrdiff_t count = (ptrdiff_t)(p.groups * p.chunks);
#pragma omp parallel for schedule(static) if (parallel(&norm->form))
    for (ptrdiff_t i = 0; i < count; i++) {
        size_t group = (size_t)i % p.groups, at = (size_t)i * p.group_stride;
        sonde__norm_pool pool = pool_of(norm, &p, group);
        pool.slope = slope + group * p.lanes;
        pool.constant = pool.slope + channels;
        sonde__norm_pool_input(&pool, g->x + at, g->dy + (size_t)i * pooled, g->dx + at);
    }
}

static void backward_pool(const sonde__batch_norm *norm,
                          const sonde__batch_norm_gradients *gradients)
{
    const pieces p = pieces_of(norm);
    find_pool_sums(norm, gradients);
    join_sums(norm, &p);
    find_pool_input(norm, gradients);
}

/* By constants, and with nothing to be masked and kept, only dx is left to be found. */
static bool needs_sums(const sonde__batch_norm *norm, const sonde__batch_norm_gradients *g)
{
    return !norm->running || norm->scale_gradient || norm->scale_norms || g->other || g->more;
}

void sonde__batch_norm_backward(const sonde__batch_norm *norm,
                                const sonde__batch_norm_gradients *gradients)
{
    if (norm->pool) {
        backward_pool(norm, gradients);
        return;
    }
    const pieces p = pieces_of(norm);
    size_t channels = p.lanes * p.groups;
    float *slope = norm->partial + 2 * p.chunks * channels;
    if (needs_sums(norm, gradients)) {
        find_sums(norm, gradients);
        join_sums(norm, &p);
    } else {
        memset(slope, 0, 2 * channels * sizeof *slope);
    }
    if (norm->scale_norms)
        find_norms(norm, &p);
    bool mask = norm->relu && !gradients->other && !gradients->more;
    ptrdiff_t count = (ptrdiff_t)(p.groups * p.chunks);
#pragma omp parallel for schedule(static) if (parallel(&norm->form))
    for (ptrdiff_t i = 0; i < count; i++) {
        size_t chunk = (size_t)i / p.groups, group = (size_t)i % p.groups;
        size_t at = chunk * p.chunk_stride + group * p.group_stride, lane = group * p.lanes;
        input_case s = {.factor = norm->saved + 2 * channels + lane,
                        .offset = norm->saved + 3 * channels + lane,
                        .slope = slope + lane,
                        .constant = slope + channels + lane,
                        .mask = mask};
        piece_input(&s, rows_of(&p, chunk), p.lanes, gradients->x + at, gradients->dy + at,
                    gradients->dx + at);
    }
}
