/*
 * Singular values of an upper bidiagonal matrix, each checked.
 */
#ifndef SONDE_NUM_BIDIAGONAL_H
#define SONDE_NUM_BIDIAGONAL_H

#include "base/context.h"

/* Ascending, in place of the diagonal; `off` (n - 1) is overwritten; `work` is room for 8 n. Entries'
 * squares must be in the range of doubles. */
sonde_status sonde__bidiagonal_values(double *diagonal, double *off, size_t n, double *work);

#endif
