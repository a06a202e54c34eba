/*
 * Products of rows with rows, A B^T and A A^T, of matrices of any number format, in double.
 *
 * Columns are converted a block at a time, so that no matrix is held in double. BLAS runs on the
 * calling thread alone; memory comes from the context, silently, as in linalg.h.
 */
#ifndef SONDE_NUM_PRODUCTS_H
#define SONDE_NUM_PRODUCTS_H

#include "base/context.h"

/* products[i * b->rows + j] = a_i . b_j. Matrices must pass sonde__matrix_problem, have equal
 * columns and at most SONDE__ORDER_MAX rows. */
sonde_status sonde__row_products(sonde_context *context, const sonde_matrix *a,
                                 const sonde_matrix *b, double *products);
/* gram[i * rows + j] = (a_i - shifts_i) . (a_j - shifts_j), both triangles; shifts NULL: 0. */
sonde_status sonde__row_gram(sonde_context *context, const sonde_matrix *a, const double *shifts,
                             double *gram);

#endif
