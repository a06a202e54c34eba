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

typedef struct column_range {
    size_t begin, end;   /* rows */
    size_t first, count; /* columns */
} column_range;

enum { LANES = 8 }; /* sums that run side by side */

static double add_lanes(const double *sums)
{
    double total = 0;
    for (int k = 0; k < LANES; k++)
        total += sums[k];
    return total;
}

SONDE_CLONES static double row_mean(const float *x, size_t n)
{
    double sums[LANES] = {0};
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int k = 0; k < LANES; k++)
            sums[k] += (double)x[j + (size_t)k];
    for (; j < n; j++)
        sums[0] += (double)x[j];
    return add_lanes(sums) / (double)n;
}

SONDE_CLONES static double row_variance(const float *x, size_t n, double mean)
{
    double sums[LANES] = {0};
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int k = 0; k < LANES; k++) {
            const double d = (double)x[j + (size_t)k] - mean;
            sums[k] += d * d;
        }
    for (; j < n; j++)
        sums[0] += ((double)x[j] - mean) * ((double)x[j] - mean);
    return add_lanes(sums) / (double)n;
}

static void normalise_row(const sonde__layer_norm *norm, size_t row, const float *x, float *y)
{
    size_t n = norm->features;
    const double mean = row_mean(x, n);
    const float center = (float)mean;
    const float inverse = (float)(1.0 / sqrt(row_variance(x, n, mean) + EPSILON));
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

enum { COLUMNS = 32 }; /* that are added up side by side */

/* Sums over rows [begin, end) of dy x^ and of dy, for `count` columns from `first` on. */
SONDE_CLONES static void sum_rows(const sonde__layer_norm *norm, const float *x, const float *dy,
                                  const column_range *range, double *scale, double *shift)
{
    for (size_t j = 0; j < range->count; j++)
        scale[j] = shift[j] = 0;
    for (size_t i = range->begin; i < range->end; i++) {
        const float *row = x + i * norm->features + range->first;
        const float *g = dy + i * norm->features + range->first;
        const float mean = norm->saved[2 * i], inverse = norm->saved[2 * i + 1];
        for (size_t j = 0; j < range->count; j++) {
            scale[j] += (double)(g[j] * (row[j] - mean) * inverse);
            shift[j] += (double)g[j];
        }
    }
}

/* Columns in parallel, rows in order: the same bits for any number of threads. */
static void sum_columns(const sonde__layer_norm *norm, const float *x, const float *dy)
{
    size_t n = norm->features;
#pragma omp parallel for schedule(static) if (norm->rows * n >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t first = 0; first < (ptrdiff_t)n; first += COLUMNS) {
        double scale[COLUMNS], shift[COLUMNS];
        size_t left = n - (size_t)first;
        const column_range range = {0, norm->rows, (size_t)first, left < COLUMNS ? left : COLUMNS};
        sum_rows(norm, x, dy, &range, scale, shift);
        for (size_t j = 0; j < range.count; j++) {
            norm->scale_gradient[range.first + j] = (float)scale[j];
            norm->shift_gradient[range.first + j] = (float)shift[j];
        }
    }
}

/* Squared norms of what an example's rows add up to. */
static void example_norms(const sonde__layer_norm *norm, size_t example, const float *x,
                          const float *dy)
{
    double scale_norm = 0, shift_norm = 0;
    for (size_t first = 0; first < norm->features; first += COLUMNS) {
        double scale[COLUMNS], shift[COLUMNS];
        size_t left = norm->features - first, begin = example * norm->tokens;
        const column_range range = {begin, begin + norm->tokens, first,
                                    left < COLUMNS ? left : COLUMNS};
        sum_rows(norm, x, dy, &range, scale, shift);
        for (size_t j = 0; j < range.count; j++) {
            scale_norm += scale[j] * scale[j];
            shift_norm += shift[j] * shift[j];
        }
    }
    norm->scale_norms[example] = scale_norm;
    norm->shift_norms[example] = shift_norm;
}

SONDE_CLONES static void row_gradient(const sonde__layer_norm *norm, size_t row, const float *x,
                                      const float *dy, float *dx)
{
    size_t n = norm->features, j = 0;
    const float mean = norm->saved[2 * row], inverse = norm->saved[2 * row + 1];
    double sums[LANES] = {0}, products[LANES] = {0};
    for (; j + LANES <= n; j += LANES)
        for (size_t k = 0; k < LANES; k++) {
            const double h = (double)norm->scale[j + k] * (double)dy[j + k];
            sums[k] += h;
            products[k] += h * (double)((x[j + k] - mean) * inverse);
        }
    for (; j < n; j++) {
        const double h = (double)norm->scale[j] * (double)dy[j];
        sums[0] += h;
        products[0] += h * (double)((x[j] - mean) * inverse);
    }
    const float a = (float)(add_lanes(sums) / (double)n);
    const float b = (float)(add_lanes(products) / (double)n);
    for (j = 0; j < n; j++)
        dx[j] = inverse * (norm->scale[j] * dy[j] - a - (x[j] - mean) * inverse * b);
}

void sonde__layer_norm_backward(const sonde__layer_norm *norm, const float *x, const float *dy,
                                float *dx)
{
    size_t n = norm->features;
    if (norm->scale_gradient)
        sum_columns(norm, x, dy);
    for (size_t i = 0; norm->scale_norms && i < norm->rows / norm->tokens; i++)
        example_norms(norm, i, x, dy);
#pragma omp parallel for schedule(static) if (norm->rows * n >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)norm->rows; i++)
        row_gradient(norm, (size_t)i, x + (size_t)i * n, dy + (size_t)i * n, dx + (size_t)i * n);
}
