/*
 * Singular values through orthogonal transformations alone: R of an oblong matrix, an upper band, a
 * bidiagonal, dqds. Small matrices go to the bidiagonal directly.
 */
#include "num/band.h"
#include "num/bidiagonal.h"
#include "num/lapack.h"
#include "num/singular_internal.h"
#include "num/tall_qr.h"

/* From this order on two stages are faster than LAPACK's one. */
enum { TWO_STAGE_LEAST = 192 };

/* One stage, for small orders: `work` has room for 70 n. */
static sonde_status bidiagonalise(double *square, size_t n, double *work, double *diagonal,
                                  double *off)
{
    const int order = (int)n, work_size = 64 * order;
    int info = 0;
    dgebrd_(&order, &order, square, &order, diagonal, off, work + 64 * n, work + 65 * n, work,
            &work_size, &info);
    return info == 0 ? SONDE_OK : SONDE_ERROR_NUMERIC;
}

static size_t work_size(size_t n)
{
    const size_t band = sonde__band_work(n), chase = sonde__chase_work(n);
    if (n < TWO_STAGE_LEAST)
        return 70 * n;
    return band > chase ? band : chase;
}

static sonde_status values_of_square(sonde_context *context, double *square, size_t n,
                                     double *values)
{
    double *const work = sonde__alloc_quiet(context, n + work_size(n), sizeof *work);
    if (!work)
        return SONDE_ERROR_MEMORY;
    double *const off = work, *const rest = work + n;
    sonde_status status;
    if (n < TWO_STAGE_LEAST) {
        status = bidiagonalise(square, n, rest, values, off);
    } else {
        status = sonde__reduce_to_band(context, square, n, rest);
        if (status == SONDE_OK)
            status = sonde__chase_band(context, square, n, rest, values, off);
    }
    if (status == SONDE_OK)
        status = sonde__bidiagonal_values(values, off, n, rest);
    sonde__free(context, work);
    return status;
}

sonde_status sonde__two_stage_values(sonde__tall *tall, double *values)
{
    const size_t n = tall->n;
    double *const square = sonde__alloc_quiet(tall->context, n * n, sizeof *square);
    sonde_status status = square ? sonde__tall_qr(tall, square) : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK && tall->nonfinite == 0)
        status = values_of_square(tall->context, square, n, values);
    sonde__free(tall->context, square);
    return status;
}

size_t sonde__two_stage_memory(size_t m, size_t n)
{
    const size_t reading = sonde__tall_qr_memory(m, n), work = (n + work_size(n)) * sizeof(double);
    return n * n * sizeof(double) + (reading > work ? reading : work);
}
