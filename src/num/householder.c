/*
 * Panels of Householder reflectors, over LAPACK's recursive QR, and single ones.
 */
#include "num/householder.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "num/lapack.h"

void sonde__panel_qr(double *panel, size_t rows, size_t cols, size_t stride, double *factors)
{
    const int m = (int)rows, n = (int)cols, leading = (int)stride;
    int info = 0;
    dgeqrt3_(&m, &n, panel, &leading, factors, &n, &info);
    for (size_t j = 0; j < cols; j++)
        memset(factors + j * cols + j + 1, 0, (cols - j - 1) * sizeof *factors);
}

void sonde__panel_vectors(const double *panel, size_t rows, size_t cols, size_t stride,
                          double *vectors)
{
    for (size_t j = 0; j < cols; j++) {
        double *const to = vectors + j * rows;
        memset(to, 0, j * sizeof *to);
        to[j] = 1;
        memcpy(to + j + 1, panel + j * stride + j + 1, (rows - j - 1) * sizeof *to);
    }
}

/* Entries are at most n times the largest of a matrix whose entries are at most 1, so squares do not
 * overflow; what underflows is treated as nothing, an absolute error of 1e-150. */
double sonde__reflector(double *x, size_t n, double *tau)
{
    const double first = x[0];
    double sum = 0;
    for (size_t i = 1; i < n; i++)
        sum += x[i] * x[i];
    *tau = 0;
    if (!(sum > DBL_MIN)) {
        memset(x, 0, n * sizeof *x);
        x[0] = 1;
        return first;
    }
    const double norm = sqrt(first * first + sum), beta = first > 0 ? -norm : norm;
    const double scale = 1 / (first - beta);
    for (size_t i = 1; i < n; i++)
        x[i] *= scale;
    x[0] = 1;
    *tau = (beta - first) / beta;
    return beta;
}
