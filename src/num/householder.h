/*
 * Blocks of Householder reflectors in compact WY form, I - V T V^T with V unit lower trapezoidal and
 * T upper triangular. Matrices by columns.
 * Source: Schreiber, Van Loan 1989; the panels are LAPACK's recursive dgeqrt3 (Elmroth, Gustavson).
 */
#ifndef SONDE_NUM_HOUSEHOLDER_H
#define SONDE_NUM_HOUSEHOLDER_H

#include <stddef.h>

/* QR of a rows x cols panel (rows >= cols) in place: R in its upper triangle, the reflectors below.
 * `factors` is cols x cols, T with zeros below its diagonal. */
void sonde__panel_qr(double *panel, size_t rows, size_t cols, size_t stride, double *factors);
/* V written out from such a panel, with its ones and zeros: rows x cols, dense. */
void sonde__panel_vectors(const double *panel, size_t rows, size_t cols, size_t stride,
                          double *vectors);
/* The reflector H = I - tau u u^T, u[0] = 1, that turns x into (beta, 0, ...): x becomes u, and beta
 * is returned. tau 0 where x has nothing but its first entry. */
double sonde__reflector(double *x, size_t n, double *tau);

#endif
