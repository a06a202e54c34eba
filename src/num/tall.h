/*
 * A matrix of tiles seen as m x n with m >= n, scaled to entries below 1 where it must be, and read
 * in blocks of long-side indices whose n columns lie one after another.
 *
 * The same doubles arrive in the same places for a matrix and its transpose, also for a square one,
 * whose orientation is decided by the first pair of entries that differ across the diagonal. So
 * whatever is computed from blocks is the same bits for both.
 */
#ifndef SONDE_NUM_TALL_H
#define SONDE_NUM_TALL_H

#include "num/tiles.h"

typedef struct sonde__tall {
    sonde_context *context;
    const sonde__tiles *tiles;
    size_t m, n;      /* m >= n */
    bool turned;      /* the long side is the tiles' columns */
    int exponent;     /* blocks are 2^-exponent times the entries */
    size_t nonfinite; /* met so far; their blocks hold zeros */
    double *strip;    /* rows of the tiles before they are transposed; NULL where turned */
} sonde__tall;

/* Reads the matrix once for its scale unless it is narrow. Silent, as is the rest. */
sonde_status sonde__tall_open(sonde_context *context, const sonde__tiles *tiles, sonde__tall *tall);
void sonde__tall_close(sonde__tall *tall);
/* Long-side indices [first, first + count) into `block`, count x n by columns, dense. Ends with
 * SONDE_ERROR_CANCELLED once the context is cancelled. */
sonde_status sonde__tall_read(sonde__tall *tall, size_t first, size_t count, double *block);
/* Bytes that an open one holds. */
size_t sonde__tall_memory(size_t rows, size_t cols);

#endif
