/*
 * Symmetric eigenproblems over BLAS and LAPACK, in double.
 *
 * Every call runs BLAS on the calling thread alone, so that its bits depend neither on the number of
 * threads nor on who else computes; several threads may call at once. Memory comes from the context,
 * silently (worker threads call these): a failure is a status without an error record.
 */
#ifndef SONDE_NUM_LINALG_H
#define SONDE_NUM_LINALG_H

#include "base/context.h"

/* Largest order that is taken on: LAPACK counts in 32 bits. */
enum { SONDE__ORDER_MAX = 32000 };

/* Limits BLAS to the calling thread; hand what it returns to sonde__blas_restore. */
int sonde__blas_alone(void);
void sonde__blas_restore(int before);

/* Eigenvalues, ascending, of the symmetric n x n matrix whose upper triangle (row-major) is given;
 * the matrix is overwritten. */
sonde_status sonde__symmetric_eigenvalues(sonde_context *context, double *matrix, size_t n,
                                          double *eigenvalues);
/* The same, and row i of the matrix becomes the eigenvector of eigenvalue i, of norm 1. */
sonde_status sonde__symmetric_eigenvectors(sonde_context *context, double *matrix, size_t n,
                                           double *eigenvalues);
/* Eigenvalues, ascending, of the symmetric tridiagonal matrix; `diagonal` (n) becomes them,
 * `off_diagonal` (n - 1) is overwritten. */
sonde_status sonde__tridiagonal_eigenvalues(double *diagonal, double *off_diagonal, size_t n);
/* How many eigenvalues of the tridiagonal matrix lie below each of `count` shifts (Sturm counts).
 * `off_squared` holds the n - 1 squares of the off-diagonal. */
void sonde__tridiagonal_counts(const double *diagonal, const double *off_squared, size_t n,
                               const double *shifts, size_t count, size_t *below);

#endif
