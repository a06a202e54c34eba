/*
 * All singular values of a matrix, in double, on the calling thread (one BLAS thread), silent:
 * several threads may compute at once with one context.
 *
 * Methods (docs/reading-spectra.md, bench/singular.c):
 *   GRAM       eigenvalues of the shorter side's Gram matrix: error about 1e-16 s_max^2 / s
 *   TWO_STAGE  QR where it is oblong, blocked reduction to a band, bulge chasing to a bidiagonal,
 *              dqds: error about 1e-15 s_max for every value
 *   AUTO       GRAM where it is the faster one and what comes out shows that it was accurate to 1e-14
 *              s_max, else TWO_STAGE
 *   SQUARES    the same for those who need the eigenvalues s^2 to 1e-14 s_max^2 and small s to a few
 *              digits: TWO_STAGE only where values lie below 1e-5 s_max
 */
#ifndef SONDE_NUM_SINGULAR_H
#define SONDE_NUM_SINGULAR_H

#include "num/tiles.h"

typedef enum sonde__svd_method {
    SONDE__SVD_AUTO = 0,
    SONDE__SVD_GRAM = 1,
    SONDE__SVD_TWO_STAGE = 2,
    SONDE__SVD_SQUARES = 3
} sonde__svd_method;

typedef struct sonde__svd_facts {
    size_t nonfinite;         /* NaNs and infinities met: the values are then all 0 */
    int exponent;             /* values are in units of 2^exponent */
    sonde__svd_method method; /* the one whose values are given */
} sonde__svd_facts;

/* min(rows, cols) values, ascending. `facts` may be NULL. */
sonde_status sonde__singular_values(sonde_context *context, const sonde__tiles *tiles,
                                    sonde__svd_method method, double *values,
                                    sonde__svd_facts *facts);
/* Bytes that the call allocates at most, for planning; 0 where they do not fit in size_t. */
size_t sonde__singular_values_memory(size_t rows, size_t cols, sonde__svd_method method);
/* Estimated floating-point operations, for progress. */
double sonde__singular_values_work(size_t rows, size_t cols, sonde__svd_method method);

#endif
