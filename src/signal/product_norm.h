/*
 * ||R^T Z||_F for two matrices of B rows that are given row by row, as the head gradient needs it:
 * R are the residuals (B x C), Z the features (B x d). Neither need be held whole in double.
 */
#ifndef SONDE_SIGNAL_PRODUCT_NORM_H
#define SONDE_SIGNAL_PRODUCT_NORM_H

#include "base/context.h"

/* Fills `out` with columns [first, first + n) of a row. */
typedef void (*sonde__fill_fn)(const void *user, size_t row, size_t first, size_t n, double *out);

typedef struct sonde__rows {
    size_t rows, cols;
    sonde__fill_fn fill;
    const void *user;
    /* NULL, or the same rows as they lie in memory from sonde__rows_alloc, sonde__rows_pitch apart:
     * saves the Gram form the filling. */
    const double *values;
    size_t pitch;
} sonde__rows;

/* Room for rows x cols with zeros where the kernels read beyond; the rest is not initialised. Sizes
 * are small (a fixed number of elements); NULL when memory is exhausted. */
double *sonde__rows_alloc(sonde_context *context, size_t rows, size_t cols);
size_t sonde__rows_pitch(size_t cols);

typedef struct sonde__product_norm {
    double squared;       /* ||R^T Z||_F^2 */
    double bound;         /* of the rounding error of `squared` */
    double right_squared; /* ||Z||_F^2 */
    double left_squared;  /* ||R||_F^2 */
    sonde_head_form form; /* the one that was used */
} sonde__product_norm;

/* The order of every sum depends on the shapes and the form alone. Runs on the calling thread. */
sonde_status sonde__product_norm_of(sonde_context *context, const sonde__rows *left,
                                    const sonde__rows *right, sonde_head_form form,
                                    sonde__product_norm *result);

#endif
