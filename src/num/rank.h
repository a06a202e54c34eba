/*
 * Correlations: Pearson, Spearman (ties get their mean rank), Kendall's tau-b.
 *
 * All return false, with *correlation 0, where the number does not exist: fewer than two pairs, a
 * side that is constant, or a value that is not finite. None allocates: `scratch` is room for
 * SONDE__RANK_SCRATCH * n doubles.
 */
#ifndef SONDE_NUM_RANK_H
#define SONDE_NUM_RANK_H

#include <stdbool.h>
#include <stddef.h>

enum { SONDE__RANK_SCRATCH = 6 };

bool sonde__pearson(const double *x, const double *y, size_t n, double *correlation);
/* O(n log n). */
bool sonde__spearman(const double *x, const double *y, size_t n, double *scratch,
                     double *correlation);
/* Knight's method, O(n log n). */
bool sonde__kendall(const double *x, const double *y, size_t n, double *scratch,
                    double *correlation);
/* Ranks 1..n, ties their mean; scratch: 4 n doubles. Values must be finite. */
void sonde__ranks(const double *values, size_t n, double *scratch, double *ranks);
/* Sorts n values ascending without allocating; scratch: n doubles. */
void sonde__sort(double *values, size_t n, double *scratch);

#endif
