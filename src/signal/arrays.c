/* Checks and scores that the signals on arrays share; see arrays.h. */
#include "signal/arrays.h"

#include <math.h>

#include "base/checked.h"
#include "num/formats.h"

enum { CHUNK = 512 };

sonde_status sonde__check_pair(sonde_context *context, const char *call, sonde__named a,
                               sonde__named b)
{
    SONDE_TRY(sonde__matrix_check(context, a.matrix, a.name));
    SONDE_TRY(sonde__matrix_check(context, b.matrix, b.name));
    if (a.matrix->rows != b.matrix->rows || a.matrix->cols != b.matrix->cols)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "%s: %s is %zu x %zu, %s is %zu x %zu; they must be of one shape", call,
                           a.name, a.matrix->rows, a.matrix->cols, b.name, b.matrix->rows,
                           b.matrix->cols);
    return SONDE_OK;
}

bool sonde__matrix_finite(const sonde_matrix *matrix)
{
    double values[CHUNK];
    for (size_t row = 0; row < matrix->rows; row++)
        for (size_t first = 0; first < matrix->cols; first += CHUNK) {
            const size_t n = matrix->cols - first < CHUNK ? matrix->cols - first : CHUNK;
            sonde__matrix_row(matrix, row, first, n, values);
            if (sonde__count_nonfinite(values, n, NULL))
                return false;
        }
    return true;
}

sonde_score sonde__score_invalid(sonde_direction direction, sonde_validity validity)
{
    return (sonde_score){.direction = direction, .validity = validity};
}

sonde_score sonde__score_of(double value, sonde_direction direction, const sonde_matrix *a,
                            const sonde_matrix *b)
{
    if (isfinite(value))
        return (sonde_score){value, 0, direction, SONDE_VALID};
    const bool finite = (!a || sonde__matrix_finite(a)) && (!b || sonde__matrix_finite(b));
    return sonde__score_invalid(direction, finite ? SONDE_OUT_OF_RANGE : SONDE_NOT_FINITE);
}

sonde_status sonde__pair_rows(sonde_context *context, const sonde_matrix *a, const sonde_matrix *b,
                              double **row_a, double **row_b)
{
    size_t both;
    if (!sonde__add(a->cols, b->cols, &both))
        return sonde__fail(context, SONDE_ERROR_OVERFLOW, "rows of %zu and %zu numbers", a->cols,
                           b->cols);
    *row_a = sonde__alloc(context, both, sizeof **row_a);
    if (!*row_a)
        return SONDE_ERROR_MEMORY;
    *row_b = *row_a + a->cols;
    return SONDE_OK;
}
