/*
 * R of the QR factorisation of a matrix that is read in blocks of rows and never held whole.
 */
#ifndef SONDE_NUM_TALL_QR_H
#define SONDE_NUM_TALL_QR_H

#include "num/tall.h"

/* Into `triangle`, n x n by columns, whole: zeros below its diagonal. A square matrix is its own
 * result, as it is. What was not finite is counted in tall->nonfinite. */
sonde_status sonde__tall_qr(sonde__tall *tall, double *triangle);
/* Bytes that it allocates for a time. */
size_t sonde__tall_qr_memory(size_t m, size_t n);

#endif
