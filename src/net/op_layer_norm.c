/*
 * Layer normalisation over all features of an example (Ba, Kiros and Hinton 2016), plain layout.
 *
 *   forward   x^ = (x - m) / sqrt(v + eps),  y = scale x^ + shift
 *   backward  h = scale dy,  dx = (h - mean(h) - x^ mean(h x^)) / sqrt(v + eps),
 *             dscale = sum over rows of dy x^,  dshift = sum over rows of dy
 */
#include <math.h>

#include "net/ops.h"

static const double EPSILON = 1e-5;

static void normalise_row(const sonde__layer_norm *norm, size_t row, const float *x, float *y)
{
    size_t n = norm->features;
    double mean = 0, squares = 0;
    for (size_t j = 0; j < n; j++)
        mean += (double)x[j];
    mean /= (double)n;
    for (size_t j = 0; j < n; j++)
        squares += ((double)x[j] - mean) * ((double)x[j] - mean);
    float center = (float)mean;
    float inverse = (float)(1.0 / sqrt(squares / (double)n + EPSILON));
    for (size_t j = 0; j < n; j++)
        y[j] = (x[j] - center) * inverse * norm->scale[j] + norm->shift[j];
    norm->saved[2 * row] = center;
    norm->saved[2 * row + 1] = inverse;
}

void sonde__layer_norm_forward(const sonde__layer_norm *norm, const float *x, float *y)
{
    size_t n = norm->features;
#pragma omp parallel for schedule(static) if (norm->rows * n >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)norm->rows; i++)
        normalise_row(norm, (size_t)i, x + (size_t)i * n, y + (size_t)i * n);
}

/* Columns in parallel, rows in order: the same bits for any number of threads. */
static void sum_columns(const sonde__layer_norm *norm, const float *x, const float *dy,
                        float *scale_gradient, float *shift_gradient)
{
    size_t n = norm->features;
#pragma omp parallel for schedule(static) if (norm->rows * n >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t j = 0; j < (ptrdiff_t)n; j++) {
        double scale = 0, shift = 0;
        for (size_t i = 0; i < norm->rows; i++) {
            float g = dy[i * n + (size_t)j];
            float centered = x[i * n + (size_t)j] - norm->saved[2 * i];
            scale += (double)(g * centered * norm->saved[2 * i + 1]);
            shift += (double)g;
        }
        scale_gradient[j] = (float)scale;
        shift_gradient[j] = (float)shift;
    }
}

static void row_gradient(const sonde__layer_norm *norm, size_t row, const float *x, const float *dy,
                         float *dx)
{
    size_t n = norm->features;
    float mean = norm->saved[2 * row], inverse = norm->saved[2 * row + 1];
    double sum = 0, product = 0;
    for (size_t j = 0; j < n; j++) {
        double h = (double)norm->scale[j] * (double)dy[j];
        sum += h;
        product += h * (double)((x[j] - mean) * inverse);
    }
    float a = (float)(sum / (double)n), b = (float)(product / (double)n);
    for (size_t j = 0; j < n; j++)
        dx[j] = inverse * (norm->scale[j] * dy[j] - a - (x[j] - mean) * inverse * b);
}

void sonde__layer_norm_backward(const sonde__layer_norm *norm, const float *x, const float *dy,
                                float *dx, float *scale_gradient, float *shift_gradient)
{
    size_t n = norm->features;
    sum_columns(norm, x, dy, scale_gradient, shift_gradient);
    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (norm->rows * n >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)norm->rows; i++)
        row_gradient(norm, (size_t)i, x + (size_t)i * n, dy + (size_t)i * n, dx + (size_t)i * n);
}
