/*
 * A matrix that is read tile by tile, as doubles: from the caller's memory, from a file, or as a sum
 * or product that is never formed whole.
 */
#ifndef SONDE_NUM_TILES_H
#define SONDE_NUM_TILES_H

#include "base/context.h"

typedef struct sonde__tiles {
    size_t rows, cols;
    bool narrow; /* entries are of a format whose squares neither over- nor underflow a double */
    /* Rows [row, row + rows) of columns [col, col + cols) into out, row-major, dense. Runs on one
     * thread at a time for one source; a failure stops the computation and is its status. */
    sonde_status (*read)(void *user, size_t row, size_t rows, size_t col, size_t cols, double *out);
    void *user;
} sonde__tiles;

/* Of a matrix in memory, which must pass sonde__matrix_problem and outlive the tiles. */
sonde__tiles sonde__tiles_of_matrix(const sonde_matrix *matrix);

#endif
