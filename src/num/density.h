/*
 * The spectral density of a large matrix without its eigenvalues, as estimates of all of them: block
 * Lanczos (num/lanczos.h) for quadrature nodes, the converged outliers taken as they are, and for the
 * rest the density whose continued fraction has the nodes' first coefficients and then those of the
 * square-root edges for ever (Haydock's recursion method with a terminator): exact for the
 * Marchenko-Pastur law, whose coefficients are constant.
 */
#ifndef SONDE_NUM_DENSITY_H
#define SONDE_NUM_DENSITY_H

#include "num/tiles.h"

typedef struct sonde__density {
    double
        error_bound;  /* largest distance of the cumulative distribution, with probability 0.95 over
                           the start vectors; 0: every eigenvalue was computed */
    size_t outliers;  /* converged ones at the top end of the values */
    size_t nonfinite; /* NaNs and infinities: the values are then 0 */
    int exponent;     /* values are in units of 4^exponent */
} sonde__density;

/*
 * Estimates of the min(rows, cols) eigenvalues X = s^2 / N, ascending: quantiles of the density at
 * (i + 1/2) / n, then the outliers. Small matrices are computed exactly. Silent.
 */
sonde_status sonde__spectral_density(sonde_context *context, const sonde__tiles *tiles,
                                     double *values, sonde__density *density);
size_t sonde__spectral_density_memory(size_t rows, size_t cols);
double sonde__spectral_density_work(size_t rows, size_t cols);

#endif
