/*
 * Block Lanczos for W W^T: one pass over the matrix a step for BLOCK random start vectors together,
 * with full reorthogonalisation. What comes out are nodes and weights of a Gauss quadrature for the
 * mean spectral density of the start vectors, exact for polynomials up to degree 2 steps - 1; the
 * largest nodes are converged eigenvalues, as their residuals tell.
 *
 * The matrix is held in float (4 bytes an entry), products run in float, everything else in double.
 * Source: Golub and Underwood 1977; Ubaru, Chen and Saad 2017.
 */
#ifndef SONDE_NUM_LANCZOS_H
#define SONDE_NUM_LANCZOS_H

#include "num/block_product.h"
#include "num/tiles.h"

enum { SONDE__LANCZOS_STEPS = 12, SONDE__LANCZOS_NODES = SONDE__LANCZOS_STEPS * SONDE__BLOCK };

/* Of X = s^2 / N in units of 4^exponent, ascending. */
typedef struct sonde__lanczos {
    size_t nonfinite; /* NaNs and infinities met: nothing else is then set */
    int exponent;
    double mean; /* of all eigenvalues, exact to rounding: ||W||_F^2 / (n N) */
    double nodes[SONDE__LANCZOS_NODES];
    double residuals[SONDE__LANCZOS_NODES];
    /* Share of each start vector in each node; each column sums to 1. */
    double weights[SONDE__LANCZOS_NODES][SONDE__BLOCK];
} sonde__lanczos;

/* min(rows, cols) must be at least twice SONDE__LANCZOS_NODES. Silent; one BLAS thread; the same bits
 * in every run, and for a matrix and its transpose. */
sonde_status sonde__lanczos_run(sonde_context *context, const sonde__tiles *tiles,
                                sonde__lanczos *lanczos);
size_t sonde__lanczos_memory(size_t rows, size_t cols);

#endif
