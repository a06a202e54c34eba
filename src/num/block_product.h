/*
 * Y = A^T A V in float for a tall matrix A (rows x cols, dense) and BLOCK vectors at once, in one
 * pass over A: a few rows stay in the cache for both products.
 */
#ifndef SONDE_NUM_BLOCK_PRODUCT_H
#define SONDE_NUM_BLOCK_PRODUCT_H

#include <stddef.h>

/* Vectors that are multiplied together; V and Y are cols x BLOCK, row-major. */
enum { SONDE__BLOCK = 32 };

/* Adds A^T A V of `rows` rows to `y`. */
void sonde__block_product(const float *a, size_t rows, size_t cols, const float *v, float *y);

#endif
