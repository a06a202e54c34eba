/*
 * Histograms with equal bins over an interval, and their L1 distance from a Marchenko-Pastur law.
 */
#ifndef SONDE_NUM_HISTOGRAM_H
#define SONDE_NUM_HISTOGRAM_H

#include <stddef.h>

#include "num/mp.h"

/* 2 floor(n^(1/3)), at least 2: the number of bins for n values (methods section 3.1). */
size_t sonde__histogram_bins(size_t n);
/* Border k of `bins` equal bins on [low, high]; border `bins` is `high` itself. */
double sonde__histogram_border(double low, double high, size_t bins, size_t k);
/* Counts of the ascending values in each bin, [border k, border k + 1), the last bin closed; values
 * outside are left out. */
void sonde__histogram_count(const double *ascending, size_t n, double low, double high, size_t bins,
                            size_t *counts);
/* The integral over the bins of |histogram density - law density|, densities of n values. */
double sonde__histogram_distance(const size_t *counts, size_t bins, size_t n, double low,
                                 double high, const sonde__mp *law);

#endif
