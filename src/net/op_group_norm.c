/*
 * Group normalisation (Wu and He, arXiv 1803.08494), plain layout: the channels of an example are cut
 * into groups, each normalised over its channels and pixels, then scaled and shifted by channel.
 *
 *   forward   x^ = (x - m) / sqrt(v + eps),  y = scale_c x^ + shift_c
 *   backward  h = scale_c dy,  dx = (h - mean(h) - x^ mean(h x^)) / sqrt(v + eps),
 *             dscale_c = sum over examples and pixels of dy x^,  dshift_c = that of dy
 */
#include <math.h>

#include "net/ops.h"

static const double EPSILON = 1e-5;

/* Floats of a group of one example. */
static size_t group_size(const sonde__group_norm *norm)
{
    return norm->channels / norm->groups * norm->pixels;
}

static bool parallel(const sonde__group_norm *norm)
{
    return norm->batch * norm->channels * norm->pixels >= SONDE__PARALLEL_FLOATS;
}

static void normalise(const sonde__group_norm *norm, size_t row, const float *x, float *y)
{
    const size_t n = group_size(norm), first = row % norm->groups * (norm->channels / norm->groups);
    double mean = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        mean += (double)x[i];
    mean /= (double)n;
    for (size_t i = 0; i < n; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const float center = (float)mean;
    const float inverse = (float)(1.0 / sqrt(squares / (double)n + EPSILON));
    norm->saved[2 * row] = center;
    norm->saved[2 * row + 1] = inverse;
    for (size_t i = 0; i < n; i++) {
        const size_t c = first + i / norm->pixels;
        y[i] = (x[i] - center) * inverse * norm->scale[c] + norm->shift[c];
    }
}

void sonde__group_norm_forward(const sonde__group_norm *norm, const float *x, float *y)
{
    const size_t n = group_size(norm);
#pragma omp parallel for schedule(static) if (parallel(norm))
    for (ptrdiff_t row = 0; row < (ptrdiff_t)(norm->batch * norm->groups); row++)
        normalise(norm, (size_t)row, x + (size_t)row * n, y + (size_t)row * n);
}

typedef struct channel_sums {
    double scale, shift;
} channel_sums;

/* Of channel c of example k. */
static channel_sums sum_pixels(const sonde__group_norm *norm, size_t k, size_t c, const float *x,
                               const float *dy)
{
    const size_t row = k * norm->groups + c / (norm->channels / norm->groups);
    const size_t at = (k * norm->channels + c) * norm->pixels;
    const float mean = norm->saved[2 * row], inverse = norm->saved[2 * row + 1];
    channel_sums sums = {0, 0};
    for (size_t i = at; i < at + norm->pixels; i++) {
        sums.scale += (double)(dy[i] * (x[i] - mean) * inverse);
        sums.shift += (double)dy[i];
    }
    return sums;
}

static void sum_examples(const sonde__group_norm *norm, size_t c, const float *x, const float *dy)
{
    channel_sums all = {0, 0};
    for (size_t k = 0; k < norm->batch; k++) {
        const channel_sums sums = sum_pixels(norm, k, c, x, dy);
        all.scale += sums.scale;
        all.shift += sums.shift;
    }
    norm->scale_gradient[c] = (float)all.scale;
    norm->shift_gradient[c] = (float)all.shift;
}

static void example_norms(const sonde__group_norm *norm, size_t k, const float *x, const float *dy)
{
    double scale = 0, shift = 0;
    for (size_t c = 0; c < norm->channels; c++) {
        const channel_sums sums = sum_pixels(norm, k, c, x, dy);
        scale += sums.scale * sums.scale;
        shift += sums.shift * sums.shift;
    }
    norm->scale_norms[k] = scale;
    norm->shift_norms[k] = shift;
}

static void group_gradient(const sonde__group_norm *norm, size_t row, const float *x,
                           const float *dy, float *dx)
{
    const size_t n = group_size(norm), first = row % norm->groups * (norm->channels / norm->groups);
    const float mean = norm->saved[2 * row], inverse = norm->saved[2 * row + 1];
    double sum = 0, product = 0;
    for (size_t i = 0; i < n; i++) {
        const double h = (double)norm->scale[first + i / norm->pixels] * (double)dy[i];
        sum += h;
        product += h * (double)((x[i] - mean) * inverse);
    }
    const float a = (float)(sum / (double)n), b = (float)(product / (double)n);
    for (size_t i = 0; i < n; i++) {
        const float h = norm->scale[first + i / norm->pixels] * dy[i];
        dx[i] = inverse * (h - a - (x[i] - mean) * inverse * b);
    }
}

void sonde__group_norm_backward(const sonde__group_norm *norm, const float *x, const float *dy,
                                float *dx)
{
    const size_t n = group_size(norm);
#pragma omp parallel for schedule(static) if (parallel(norm))
    for (ptrdiff_t c = 0; c < (norm->scale_gradient ? (ptrdiff_t)norm->channels : 0); c++)
        sum_examples(norm, (size_t)c, x, dy);
    for (size_t k = 0; norm->scale_norms && k < norm->batch; k++)
        example_norms(norm, k, x, dy);
#pragma omp parallel for schedule(static) if (parallel(norm))
    for (ptrdiff_t row = 0; row < (ptrdiff_t)(norm->batch * norm->groups); row++)
        group_gradient(norm, (size_t)row, x + (size_t)row * n, dy + (size_t)row * n,
                       dx + (size_t)row * n);
}
