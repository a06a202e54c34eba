/* Sums over two arrays of doubles; see vectors.h. */
#include "num/vectors.h"

#include <math.h>

#include "base/compiler.h"

/* Clones for instruction sets must be static, hence a function around each. */
SONDE_CLONES
static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

SONDE_CLONES
static double squared_distance(const double *a, const double *b, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

SONDE_CLONES
static double absolute_distance(const double *a, const double *b, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += fabs(a[i] - b[i]);
    return sum;
}

double sonde__dot(const double *a, const double *b, size_t n)
{
    return dot(a, b, n);
}

double sonde__squared_distance(const double *a, const double *b, size_t n)
{
    return squared_distance(a, b, n);
}

double sonde__absolute_distance(const double *a, const double *b, size_t n)
{
    return absolute_distance(a, b, n);
}
