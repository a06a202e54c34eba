/*
 * Number formats of the caller's arrays (f64, f32, bf16, f16) and how their rows become doubles or
 * floats. Conversions are exact, except f64 to float. A matrix is checked once, before it is read:
 * afterwards no index into it can overflow.
 */
#ifndef SONDE_NUM_FORMATS_H
#define SONDE_NUM_FORMATS_H

#include "base/context.h"

/* Bytes of one element, or 0 for an unknown format. */
size_t sonde__dtype_size(sonde_dtype dtype);
/* "f32", ..., or "unknown". */
const char *sonde__dtype_name(sonde_dtype dtype);

/* `n` elements from element `offset` of `data` on; the format must be known. */
void sonde__to_doubles(double *out, const void *data, sonde_dtype dtype, size_t offset, size_t n);
void sonde__to_floats(float *out, const void *data, sonde_dtype dtype, size_t offset, size_t n);

/* Elements from one row to the next: row_stride, or cols where that is 0. */
size_t sonde__matrix_stride(const sonde_matrix *matrix);
/* What is wrong with a matrix, as a sentence, or NULL: data, format, sizes of at least 1, stride,
 * byte count. Touches no error record, so that worker threads can use it. */
const char *sonde__matrix_problem(const sonde_matrix *matrix);
/* The same as a status; `what` names the argument in the message. */
sonde_status sonde__matrix_check(sonde_context *context, const sonde_matrix *matrix,
                                 const char *what);
/* Columns [first, first + n) of one row as doubles. */
void sonde__matrix_row(const sonde_matrix *matrix, size_t row, size_t first, size_t n, double *out);
/* NaNs and infinities among n doubles; *largest (may be NULL) is the largest finite magnitude. */
size_t sonde__count_nonfinite(const double *values, size_t n, double *largest);

#endif
