/*
 * The two stages from a square matrix to a bidiagonal one with the same singular values, and from a
 * symmetric one to a tridiagonal one with the same eigenvalues: to a band of SONDE__BAND diagonals by
 * blocks of reflectors (matrix products), then along the band by chasing bulges (in the cache).
 * Source: Bischof, Lang, Sun 2000; Grosser, Lang 1999; Haidar, Ltaief, Luszczek, Dongarra 2012.
 */
#ifndef SONDE_NUM_BAND_H
#define SONDE_NUM_BAND_H

#include "base/context.h"

enum { SONDE__BAND = 64 };

/*
 * n x n by columns, any n >= 1, to an upper band in place (what lies outside of the band is then
 * meaningless). `work` has room for sonde__band_work(n) doubles. Asks the context for cancellation.
 */
sonde_status sonde__reduce_to_band(sonde_context *context, double *matrix, size_t n, double *work);
size_t sonde__band_work(size_t n);

/*
 * From the upper band of `matrix` (n x n by columns) to a bidiagonal: `diagonal` (n), `off` (n - 1).
 * `band` has room for sonde__chase_work(n) doubles.
 */
sonde_status sonde__chase_band(sonde_context *context, const double *matrix, size_t n, double *band,
                               double *diagonal, double *off);
size_t sonde__chase_work(size_t n);

/*
 * The same for a symmetric matrix, of which the lower triangle is read and written: to a lower band
 * in place, and from it to a tridiagonal. `work` and `band` as above.
 */
sonde_status sonde__reduce_symmetric(sonde_context *context, double *matrix, size_t n,
                                     double *work);
sonde_status sonde__chase_symmetric(sonde_context *context, const double *matrix, size_t n,
                                    double *band, double *diagonal, double *off);

#endif
