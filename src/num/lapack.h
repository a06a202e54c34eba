/*
 * The LAPACK routines in use, as OpenBLAS exports them: Fortran's calling convention, 32-bit
 * integers, matrices by columns, and after the arguments the length of each character one (gfortran
 * since 8, as size_t).
 *
 * LAPACKE would bring a liblapack and a libblas of the system's choice into the process beside the
 * OpenBLAS that is linked by name, for routines that need neither transposing nor workspace.
 * Source: LAPACK users' guide, https://www.netlib.org/lapack/lug/
 */
#ifndef SONDE_NUM_LAPACK_H
#define SONDE_NUM_LAPACK_H

#include <stddef.h>

/* All eigenvalues (job 'N'; 'V': and in place of the matrix the vectors, by columns) of a symmetric
 * matrix, of which triangle 'L' or 'U' is read; sizes -1 ask for the workspaces' sizes. */
void dsyevd_(const char *job, const char *triangle, const int *order, double *matrix,
             const int *stride, double *eigenvalues, double *work, const int *work_size,
             int *integers, const int *integers_size, int *info, size_t job_length,
             size_t triangle_length);

/* All eigenvalues of a symmetric tridiagonal matrix, in place of its diagonal, ascending. */
void dsterf_(const int *order, double *diagonal, double *off_diagonal, int *info);

/* QR in place by recursion: the upper triangle becomes R, below it the Householder vectors; `factors`
 * (cols x cols) is the upper triangle T of I - V T V^T. */
void dgeqrt3_(const int *rows, const int *cols, double *matrix, const int *stride, double *factors,
              const int *factors_stride, int *info);
/* Reduction to bidiagonal form, in place; work_size -1 asks for the size. */
void dgebrd_(const int *rows, const int *cols, double *matrix, const int *stride, double *diagonal,
             double *off_diagonal, double *row_scales, double *col_scales, double *work,
             const int *work_size, int *info);
/* Singular values of an upper bidiagonal matrix by dqds, descending in place of its diagonal, each
 * to high relative accuracy; work: 4 * order. */
void dlasq1_(const int *order, double *diagonal, double *off_diagonal, double *work, int *info);

#endif
