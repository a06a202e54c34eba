/*
 * Tiles of a matrix in the caller's memory: rows converted to doubles as they are asked for.
 * Invariant: nothing of the matrix is copied but what a read asks for.
 */
#include "num/tiles.h"

#include "num/formats.h"

static sonde_status read_matrix(void *user, size_t row, size_t rows, size_t col, size_t cols,
                                double *out)
{
    const sonde_matrix *const matrix = user;
    for (size_t i = 0; i < rows; i++)
        sonde__matrix_row(matrix, row + i, col, cols, out + i * cols);
    return SONDE_OK;
}

sonde__tiles sonde__tiles_of_matrix(const sonde_matrix *matrix)
{
    /* `user` is not const because other sources keep a position; this one only reads. */
    return (sonde__tiles){.rows = matrix->rows,
                          .cols = matrix->cols,
                          .narrow = matrix->dtype != SONDE_F64,
                          .read = read_matrix,
                          .user = (void *)matrix};
}
