/*
 * The two ways to all singular values of a matrix that is read in blocks, behind singular.h.
 */
#ifndef SONDE_NUM_SINGULAR_INTERNAL_H
#define SONDE_NUM_SINGULAR_INTERNAL_H

#include "num/tall.h"

/* Eigenvalues of the n x n Gram matrix, ascending; negative ones are rounding errors. Where it can
 * tell early that the smallest is below `least` times the largest, it gives up: the first is then -1,
 * and the others are not set. */
sonde_status sonde__gram_eigenvalues(sonde__tall *tall, double least, double *eigenvalues);
size_t sonde__gram_eigenvalues_memory(size_t m, size_t n);

/* Singular values ascending, by QR where m > n, a band, a bidiagonal, dqds. */
sonde_status sonde__two_stage_values(sonde__tall *tall, double *values);
size_t sonde__two_stage_memory(size_t m, size_t n);

/* Long-side indices to read at once: about a megabyte for narrow matrices, at least 512. */
size_t sonde__block_rows(size_t m, size_t n);

#endif
