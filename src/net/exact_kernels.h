/*
 * The loops of the exact evaluator's convolutions: matrix products whose second factor is not a
 * matrix in memory but, for every row of it, a place to begin reading.
 *
 * Both read up to SONDE__EXACT_SLACK doubles past `count`, which must be there and finite.
 */
#ifndef SONDE_NET_EXACT_KERNELS_H
#define SONDE_NET_EXACT_KERNELS_H

#include <stddef.h>

enum { SONDE__EXACT_SLACK = 16, SONDE__EXACT_TILE = 8 /* most rows of a tile */ };

typedef struct sonde__gather {
    size_t rows, depth, count;
    const size_t *offsets; /* depth */
    const double *x;
    size_t stride; /* from row to row of y, at least `count` rounded up to the slack */
} sonde__gather;

/* Rows of a tile on this machine. */
size_t sonde__gather_tile(void);
/* Doubles of packed factors; where factor (row, k) lies among them. Others must be zero. */
size_t sonde__gather_packed(size_t rows, size_t depth);
static inline size_t sonde__gather_place(size_t tile, size_t depth, size_t row, size_t k)
{
    return (row / tile * depth + k) * tile + row % tile;
}

/* y[row * stride + j] = sum over k of factor(row, k) * x[offsets[k] + j]; rows are rounded up to a
 * multiple of SONDE__EXACT_TILE at most, the additional ones are zero. */
void sonde__gather_product(const sonde__gather *g, const double *packed, double *y);
/* w[row * depth + k] += sum over j of y[row * stride + j] * x[offsets[k] + j], with j up to `count`
 * rounded up to 8: y must be zero there. */
void sonde__gather_outer(const sonde__gather *g, const double *y, double *w);

#endif
