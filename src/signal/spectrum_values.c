/*
 * The public call for singular values alone: checks, tiles over the caller's matrix, units.
 */
#include <math.h>

#include "num/formats.h"
#include "num/singular.h"
#include "signal/spectrum.h"

sonde_status sonde_singular_values(sonde_context *context, const sonde_matrix *matrix,
                                   double *values)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!values)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "the pointer to the values is NULL");
    SONDE_TRY(sonde__matrix_check(context, matrix, "the matrix"));
    const size_t n = matrix->rows < matrix->cols ? matrix->rows : matrix->cols;
    double *const found = sonde__alloc(context, n, sizeof *found);
    if (!found)
        return SONDE_ERROR_MEMORY;
    const sonde__tiles tiles = sonde__tiles_of_matrix(matrix);
    sonde__svd_facts facts = {0, 0, SONDE__SVD_AUTO};
    sonde_status status = sonde__singular_values(context, &tiles, SONDE__SVD_AUTO, found, &facts);
    if (status == SONDE_OK && facts.nonfinite > 0)
        status = sonde__fail(context, SONDE_ERROR_NUMERIC,
                             "singular values of a %zu x %zu matrix: %zu entries are NaN or "
                             "infinite",
                             matrix->rows, matrix->cols, facts.nonfinite);
    else if (status != SONDE_OK)
        status = sonde__fail(context, status, "singular values of a %zu x %zu matrix: %s",
                             matrix->rows, matrix->cols, sonde_status_sentence(status));
    for (size_t i = 0; status == SONDE_OK && i < n; i++)
        values[i] = ldexp(found[i], facts.exponent);
    sonde__free(context, found);
    return status;
}
