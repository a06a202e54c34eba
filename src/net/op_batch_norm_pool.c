/*
 * Batch normalisation and ReLU with the 2 x 2 max pool behind them, in one pass over the image.
 *
 *   forward   v = factor x + offset,  y = [relu](max of v over 2 x 2 pixels)
 *   backward  g = dy at the first maximum of each window [where y > 0], 0 elsewhere;
 *             the rest as in op_batch_norm.c
 *
 * Neither v nor g is ever stored: both are found again from x, which costs less than the memory
 * would. A last row or column that no window covers has g = 0.
 */
#include <math.h>

#include "net/ops.h"

SONDE_INLINE float larger(float a, float b)
{
    return b > a ? b : a; /* a NaN in `a` stays */
}

/* --- forward ---------------------------------------------------------------------------------- */

SONDE_INLINE void forward_lanes(const sonde__norm_pool *pool, const size_t lanes, const bool relu,
                                const float *restrict x, float *restrict y)
{
    const float *restrict factor = pool->factor, *restrict offset = pool->offset;
    size_t row = pool->width * lanes;
    for (size_t i = 0; i < pool->height / 2; i++) {
        const float *restrict a = x + 2 * i * row, *restrict b = a + row;
        for (size_t j = 0; j < pool->width / 2; j++) {
            for (size_t c = 0; c < lanes; c++) {
                float f = factor[c], o = offset[c];
                float top = larger(a[c] * f + o, a[lanes + c] * f + o);
                float bottom = larger(b[c] * f + o, b[lanes + c] * f + o);
                float value = larger(top, bottom);
                y[c] = relu ? larger(value, 0) : value;
            }
            a += 2 * lanes;
            b += 2 * lanes;
            y += lanes;
        }
    }
}

SONDE_INLINE void forward_relu(const sonde__norm_pool *pool, const size_t lanes, const float *x,
                               float *y)
{
    if (pool->relu)
        forward_lanes(pool, lanes, true, x, y);
    else
        forward_lanes(pool, lanes, false, x, y);
}

SONDE_CLONES static void forward(const sonde__norm_pool *pool, const float *x, float *y)
{
    if (pool->lanes == 16)
        forward_relu(pool, 16, x, y);
    else if (pool->lanes == 8)
        forward_relu(pool, 8, x, y);
    else
        forward_relu(pool, pool->lanes, x, y);
}

void sonde__norm_pool_forward(const sonde__norm_pool *pool, const float *x, float *y)
{
    forward(pool, x, y);
}

/* --- backward --------------------------------------------------------------------------------- */

/* At most 16 lanes from `first` on. */
SONDE_INLINE void sums_lanes(const sonde__norm_pool *pool, const size_t stride, size_t first,
                             const size_t lanes, const float *restrict x, const float *restrict dy,
                             float *restrict sum_out, float *restrict product_out)
{
    const float *restrict factor = pool->factor + first, *restrict offset = pool->offset + first;
    const float *restrict mean = pool->mean + first;
    const float lowest = pool->relu ? 0 : -INFINITY;
    size_t row = pool->width * stride;
    float sum[16] = {0}, product[16] = {0};
    for (size_t i = 0; i < pool->height / 2; i++) {
        const float *restrict a = x + 2 * i * row + first, *restrict b = a + row;
        for (size_t j = 0; j < pool->width / 2; j++) {
            for (size_t c = 0; c < lanes; c++) {
                float f = factor[c], o = offset[c];
                float v0 = a[c] * f + o, v1 = a[stride + c] * f + o;
                float v2 = b[c] * f + o, v3 = b[stride + c] * f + o;
                float top = larger(larger(v0, v1), larger(v2, v3));
                float at = v2 == top ? b[c] : b[stride + c];
                at = v1 == top ? a[stride + c] : at;
                at = v0 == top ? a[c] : at;
                float g = top > lowest ? dy[first + c] : 0;
                sum[c] += g;
                product[c] += g * (at - mean[c]);
            }
            a += 2 * stride;
            b += 2 * stride;
            dy += stride;
        }
    }
    for (size_t c = 0; c < lanes; c++) {
        sum_out[first + c] = sum[c];
        product_out[first + c] = product[c];
    }
}

SONDE_CLONES static void sums(const sonde__norm_pool *pool, const float *x, const float *dy,
                              float *sum, float *product)
{
    if (pool->lanes == 16) {
        sums_lanes(pool, 16, 0, 16, x, dy, sum, product);
        return;
    }
    for (size_t first = 0; first < pool->lanes; first += 16) {
        size_t left = pool->lanes - first;
        sums_lanes(pool, pool->lanes, first, left < 16 ? left : 16, x, dy, sum, product);
    }
}

void sonde__norm_pool_sums(const sonde__norm_pool *pool, const float *x, const float *dy,
                           float *sum, float *product)
{
    sums(pool, x, dy, sum, product);
}

SONDE_INLINE void input_lanes(const sonde__norm_pool *pool, const size_t lanes,
                              const float *restrict x, const float *restrict dy, float *restrict dx)
{
    const float *restrict factor = pool->factor, *restrict offset = pool->offset;
    const float *restrict slope = pool->slope, *restrict constant = pool->constant;
    const float lowest = pool->relu ? 0 : -INFINITY;
    size_t row = pool->width * lanes;
    for (size_t i = 0; i < pool->height / 2; i++) {
        size_t at = 2 * i * row;
        for (size_t j = 0; j < pool->width / 2; j++) {
            for (size_t c = 0; c < lanes; c++) {
                float f = factor[c], o = offset[c], s = slope[c], k = constant[c];
                float x0 = x[at + c], x1 = x[at + lanes + c];
                float x2 = x[at + row + c], x3 = x[at + row + lanes + c];
                float v0 = x0 * f + o, v1 = x1 * f + o, v2 = x2 * f + o, v3 = x3 * f + o;
                float top = larger(larger(v0, v1), larger(v2, v3));
                float g = top > lowest ? f * dy[c] : 0;
                float g0 = v0 == top ? g : 0;
                g = v0 == top ? 0 : g;
                float g1 = v1 == top ? g : 0;
                g = v1 == top ? 0 : g;
                float g2 = v2 == top ? g : 0;
                g = v2 == top ? 0 : g;
                dx[at + c] = g0 + (s * x0 + k);
                dx[at + lanes + c] = g1 + (s * x1 + k);
                dx[at + row + c] = g2 + (s * x2 + k);
                dx[at + row + lanes + c] = g + (s * x3 + k);
            }
            at += 2 * lanes;
            dy += lanes;
        }
    }
}

SONDE_CLONES static void input(const sonde__norm_pool *pool, const float *x, const float *dy,
                               float *dx)
{
    if (pool->lanes == 16)
        input_lanes(pool, 16, x, dy, dx);
    else if (pool->lanes == 8)
        input_lanes(pool, 8, x, dy, dx);
    else
        input_lanes(pool, pool->lanes, x, dy, dx);
}

/* Pixels [begin, end) that no window covers. */
static void input_outside(const sonde__norm_pool *pool, size_t begin, size_t end, const float *x,
                          float *dx)
{
    for (size_t p = begin; p < end; p++) {
        for (size_t c = 0; c < pool->lanes; c++) {
            size_t at = p * pool->lanes + c;
            dx[at] = pool->slope[c] * x[at] + pool->constant[c];
        }
    }
}

void sonde__norm_pool_input(const sonde__norm_pool *pool, const float *x, const float *dy,
                            float *dx)
{
    size_t height = pool->height, width = pool->width;
    input(pool, x, dy, dx);
    for (size_t i = 0; width % 2 != 0 && i < height; i++)
        input_outside(pool, (i + 1) * width - 1, (i + 1) * width, x, dx);
    if (height % 2 != 0)
        input_outside(pool, (height - 1) * width, height * width, x, dx);
}
