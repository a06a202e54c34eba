/*
 * Derivatives of operators on single values, windows and products when parameters are scaled: r
 * marks the derivative of what it stands before.
 *
 *   f(x)      ry = f'(x) rx,                    rdx = f'(x) rdy + f''(x) rx dy
 *   softmax   ry = y (rx - sum y rx),           rdx = ry (dy - sum y dy)
 *                                                     + y (rdy - sum (y rdy + ry dy))
 *   max       ry = rx at the maximum
 *   W x + b   see plan_product.c
 *
 * First derivatives are the backward functions of the operators themselves.
 */
#include <math.h>

#include "net/ops.h"

enum { CHUNK = 4096 };

static ptrdiff_t chunks_of(size_t count)
{
    return (ptrdiff_t)((count + CHUNK - 1) / CHUNK);
}

static size_t chunk_end(ptrdiff_t chunk, size_t count)
{
    size_t end = ((size_t)chunk + 1) * CHUNK;
    return end < count ? end : count;
}

/* --- products --------------------------------------------------------------------------------- */

SONDE_INLINE void product_lanes(const sonde__product_tangent *t, size_t pixels, size_t lanes,
                                const float *restrict bias, const float *restrict y,
                                float *restrict ry)
{
    const float a = t->weight_share, c = t->bias_share - t->weight_share;
    for (size_t p = 0; p < pixels; p++) {
        for (size_t k = 0; k < lanes; k++) {
            size_t at = p * lanes + k;
            float value = ry[at] + a * y[at] + (bias ? c * bias[k] : 0);
            ry[at] = t->relu && !(y[at] > 0) ? 0 : value;
        }
    }
}

SONDE_CLONES static void product_plane(const sonde__product_tangent *t, size_t pixels, size_t lanes,
                                       const float *bias, const float *y, float *ry)
{
    if (lanes == 16)
        product_lanes(t, pixels, 16, bias, y, ry);
    else if (lanes == 8)
        product_lanes(t, pixels, 8, bias, y, ry);
    else
        product_lanes(t, pixels, lanes, bias, y, ry);
}

void sonde__product_tangent_forward(const sonde__product_tangent *tangent, const sonde__form *form,
                                    const float *y, float *ry)
{
    size_t pixels = sonde__form_pixels(form), lanes = (size_t)form->block;
    size_t groups = (size_t)sonde__form_groups(form), plane = pixels * lanes;
#pragma omp parallel for schedule(static) if (sonde__form_floats(form) >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)(groups * (size_t)form->batch); i++) {
        const float *bias = tangent->bias ? tangent->bias + (size_t)i % groups * lanes : NULL;
        product_plane(tangent, pixels, lanes, bias, y + (size_t)i * plane, ry + (size_t)i * plane);
    }
}

SONDE_CLONES static void share_range(float *restrict a, float share, const float *restrict b,
                                     size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] += share * b[i];
}

void sonde__accumulate_share(size_t count, float *a, float share, const float *b)
{
#pragma omp parallel for schedule(static) if (count >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < chunks_of(count); i++) {
        size_t begin = (size_t)i * CHUNK;
        share_range(a + begin, share, b + begin, chunk_end(i, count) - begin);
    }
}

/* --- single values ---------------------------------------------------------------------------- */

static double logistic(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double second_derivative(sonde__op op, const sonde__second *s, size_t i)
{
    double x = s->x ? (double)s->x[i] : 0, y = s->y ? (double)s->y[i] : 0;
    switch (op) {
    case SONDE__OP_GELU: /* of x P(x): p(x) (2 - x^2) */
        return 0.39894228040143268 * exp(-0.5 * x * x) * (2 - x * x);
    case SONDE__OP_SILU: {
        double l = logistic(x);
        return l * (1 - l) * (2 + x * (1 - 2 * l));
    }
    case SONDE__OP_SIGMOID:
        return y * (1 - y) * (1 - 2 * y);
    case SONDE__OP_TANH:
        return -2 * y * (1 - y * y);
    default: /* piecewise linear */
        return 0;
    }
}

void sonde__unary_second(sonde__op op, size_t count, const sonde__second *s)
{
#pragma omp parallel for schedule(static) if (count >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t chunk = 0; chunk < chunks_of(count); chunk++) {
        for (size_t i = (size_t)chunk * CHUNK; i < chunk_end(chunk, count); i++)
            s->rdx[i] += (float)(second_derivative(op, s, i) * (double)s->rx[i] * (double)s->dy[i]);
    }
}

static void softmax_pixel(const sonde__form *form, size_t pixel, const sonde__second *s)
{
    double product = 0, change = 0;
    for (int c = 0; c < form->shape.channels; c++) {
        size_t at = sonde__form_index(form, c, pixel);
        product += (double)s->y[at] * (double)s->dy[at];
        change += (double)s->y[at] * (double)s->rdx[at] + (double)s->rx[at] * (double)s->dy[at];
    }
    for (int c = 0; c < form->shape.channels; c++) {
        size_t at = sonde__form_index(form, c, pixel);
        s->rdx[at] = (float)((double)s->rx[at] * ((double)s->dy[at] - product) +
                             (double)s->y[at] * ((double)s->rdx[at] - change));
    }
}

void sonde__softmax_second(const sonde__form *form, const float *y, const float *ry,
                           const float *dy, float *rdy)
{
    size_t stride = sonde__form_stride(form), pixels = sonde__form_pixels(form);
#pragma omp parallel for schedule(static) if (sonde__form_floats(form) >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t n = 0; n < form->batch; n++) {
        size_t at = (size_t)n * stride;
        const sonde__second example = {.y = y + at, .rx = ry + at, .dy = dy + at, .rdx = rdy + at};
        for (size_t p = 0; p < pixels; p++)
            softmax_pixel(form, p, &example);
    }
}

/* --- windows ---------------------------------------------------------------------------------- */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* One lane of one output pixel: its window's first value that is the maximum. */
static size_t place_of_maximum(const sonde__pool_window *pool, int row, int column, const float *x,
                               float top)
{
    size_t lanes = (size_t)pool->in.block, width = (size_t)pool->in.shape.width;
    int first = row * pool->stride - pool->padding, left = column * pool->stride - pool->padding;
    int bottom = least(first + pool->kernel, pool->in.shape.height);
    int right = least(left + pool->kernel, pool->in.shape.width);
    size_t at = 0;
    for (int i = first < 0 ? 0 : first; i < bottom; i++) {
        for (int j = left < 0 ? 0 : left; j < right; j++) {
            at = ((size_t)i * width + (size_t)j) * lanes;
            if (x[at] == top)
                return at;
        }
    }
    return at;
}

static void max_plane(const sonde__pool_window *pool, const float *x, const float *y,
                      const float *rx, float *ry)
{
    size_t lanes = (size_t)pool->in.block;
    for (int i = 0; i < pool->out.shape.height; i++) {
        for (int j = 0; j < pool->out.shape.width; j++) {
            size_t out = ((size_t)i * (size_t)pool->out.shape.width + (size_t)j) * lanes;
            for (size_t c = 0; c < lanes; c++)
                ry[out + c] = rx[c + place_of_maximum(pool, i, j, x + c, y[out + c])];
        }
    }
}

void sonde__max_pool_tangent(const sonde__pool_window *pool, const float *x, const float *y,
                             const float *rx, float *ry)
{
    size_t planes = (size_t)pool->in.batch * (size_t)sonde__form_groups(&pool->in);
    size_t in = sonde__form_pixels(&pool->in) * (size_t)pool->in.block;
    size_t out = sonde__form_pixels(&pool->out) * (size_t)pool->out.block;
#pragma omp parallel for schedule(static) if (planes * in >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t p = 0; p < (ptrdiff_t)planes; p++) {
        size_t k = (size_t)p;
        max_plane(pool, x + k * in, y + k * out, rx + k * in, ry + k * out);
    }
}
