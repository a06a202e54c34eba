/*
 * Singular values of a bidiagonal matrix by dqds, each of them checked and where it must be corrected
 * by Sturm counts.
 *
 * LAPACK's dqds is right to an ulp or two nearly everywhere, but in tight clusters single values were
 * off by 50 (scripts/compare-svd.py, "all equal" in float). The matrix [0 B^T; B 0], its rows and
 * columns interleaved, is tridiagonal with a zero diagonal and has the eigenvalues -s and s; counting
 * them on both sides of a value proves or disproves it for two passes over 2 n numbers.
 * Source: Parlett, Marques 2000; Golub, Kahan 1965.
 */
#include "num/bidiagonal.h"

#include <math.h>
#include <string.h>

#include "num/lapack.h"
#include "num/linalg.h"

enum { POINTS = 16 };
static const double TOLERANCE = 0x1p-49; /* of the largest: 8 ulps */

typedef struct counter {
    const double *zeros, *squares; /* the tridiagonal matrix of order 2 n */
    size_t n;
} counter;

/* How many singular values lie below each shift; shifts of 0 or less have none. */
static void count_below(const counter *c, const double *shifts, size_t count, size_t *below)
{
    sonde__tridiagonal_counts(c->zeros, c->squares, 2 * c->n, shifts, count, below);
    for (size_t i = 0; i < count; i++)
        below[i] = shifts[i] > 0 && below[i] > c->n ? below[i] - c->n : 0;
}

/* Value `index` (ascending) lies in [low, high): sections until it is known. */
static double find_between(const counter *c, size_t index, double low, double high,
                           double tolerance)
{
    while (high - low > tolerance) {
        double shifts[POINTS];
        size_t below[POINTS], k = 0;
        for (size_t i = 0; i < POINTS; i++)
            shifts[i] = low + (high - low) * (double)(i + 1) / (POINTS + 1);
        count_below(c, shifts, POINTS, below);
        while (k < POINTS && below[k] <= index)
            k++;
        high = k < POINTS ? shifts[k] : high;
        low = k > 0 ? shifts[k - 1] : low;
    }
    return low + (high - low) / 2;
}

/* From a value that is off: away from it in growing steps, then between the last two. */
static double find(const counter *c, size_t index, double value, bool smaller, double tolerance)
{
    double step = tolerance, near = value, far = value;
    size_t below;
    bool passed = false;
    while (!passed) {
        near = far;
        far = smaller ? near - step : near + step;
        step *= 4;
        count_below(c, &far, 1, &below);
        passed = smaller ? below <= index : below > index;
    }
    return smaller ? find_between(c, index, fmax(far, 0), near, tolerance / 4)
                   : find_between(c, index, near, far, tolerance / 4);
}

static void correct(const counter *c, double *values)
{
    const double tolerance = TOLERANCE * values[c->n - 1];
    for (size_t first = 0; first < c->n; first += POINTS / 2) {
        const size_t count = c->n - first < POINTS / 2 ? c->n - first : POINTS / 2;
        double shifts[POINTS];
        size_t below[POINTS];
        for (size_t i = 0; i < count; i++) {
            shifts[2 * i] = values[first + i] - tolerance;
            shifts[2 * i + 1] = values[first + i] + tolerance;
        }
        count_below(c, shifts, 2 * count, below);
        for (size_t i = 0; i < count; i++) {
            double *const value = &values[first + i];
            if (below[2 * i] > first + i)
                *value = find(c, first + i, *value, true, tolerance);
            else if (below[2 * i + 1] <= first + i)
                *value = find(c, first + i, *value, false, tolerance);
        }
    }
    for (size_t i = 1; i < c->n; i++) /* neighbours within the tolerance may have changed places */
        values[i] = fmax(values[i], values[i - 1]);
}

sonde_status sonde__bidiagonal_values(double *diagonal, double *off, size_t n, double *work)
{
    const int order = (int)n;
    int info = 0;
    double *const squares = work + 4 * n, *const zeros = squares + 2 * n;
    for (size_t i = 0; i < n; i++) {
        squares[2 * i] = diagonal[i] * diagonal[i];
        squares[2 * i + 1] = i + 1 < n ? off[i] * off[i] : 0;
    }
    memset(zeros, 0, 2 * n * sizeof *zeros);
    dlasq1_(&order, diagonal, off, work, &info);
    for (size_t i = 0; i < n / 2; i++) {
        const double swap = diagonal[i];
        diagonal[i] = diagonal[n - 1 - i];
        diagonal[n - 1 - i] = swap;
    }
    if (info != 0)
        return SONDE_ERROR_NUMERIC;
    if (diagonal[n - 1] > 0)
        correct(&(counter){zeros, squares, n}, diagonal);
    return SONDE_OK;
}
