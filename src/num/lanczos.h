/*
 * Spectral density of W W^T / N by stochastic Lanczos quadrature: many random start vectors stepped
 * together through one pass over the matrix a step, full reorthogonalisation, Gauss quadrature from
 * each Jacobi matrix; outliers and edges as converged Ritz values with their residuals.
 * Source: Ubaru, Chen, Saad 2017; Lin, Saad, Yang 2016.
 */
#ifndef SONDE_NUM_LANCZOS_H
#define SONDE_NUM_LANCZOS_H

#include "num/tiles.h"

typedef struct sonde__density {
    double *values; /* `count` ascending quantile estimates of the eigenvalues X = s^2 / N */
    size_t count;   /* min(rows, cols) */
    double smallest, largest;
    double largest_error; /* residual bound of `largest` */
    double error_bound;   /* L1 distance of the density that holds with probability 0.95 */
    size_t outliers;      /* converged Ritz values above the bulk, exact to their residual */
    size_t nonfinite;
} sonde__density;

/* Silent. `values` is the caller's room for min(rows, cols). The same bits for every run. */
sonde_status sonde__spectral_density(sonde_context *context, const sonde__tiles *tiles,
                                     double *values, sonde__density *density);
size_t sonde__spectral_density_memory(size_t rows, size_t cols);

#endif
