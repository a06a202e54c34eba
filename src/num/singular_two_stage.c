/*
 * Singular values through orthogonal transformations alone: R of the blocked QR of a matrix that is
 * read in blocks, its bidiagonal form, dqds.
 */
#include "num/lapack.h"
#include "num/linalg.h"
#include "num/singular_internal.h"

#include <string.h>

enum { PANEL = 32 };

/* The first n long-side indices, whole: R of a square matrix is the matrix itself. */
static sonde_status read_square(sonde__tall *tall, double *square, double *scratch)
{
    SONDE_TRY(sonde__tall_read(tall, 0, tall->n, square));
    if (tall->m == tall->n)
        return SONDE_OK;
    const int order = (int)tall->n, panel = tall->n < PANEL ? order : PANEL;
    int info = 0;
    dgeqrt_(&order, &order, &panel, square, &order, scratch, &panel,
            scratch + (size_t)panel * tall->n, &info);
    for (size_t j = 0; j < tall->n; j++)
        memset(square + j * tall->n + j + 1, 0, (tall->n - j - 1) * sizeof *square);
    return SONDE_OK;
}

/* R of the matrix into `square`, n x n by columns. */
static sonde_status triangle(sonde__tall *tall, double *square, double *block, double *scratch)
{
    const size_t n = tall->n, step = sonde__block_rows(tall->m, n);
    SONDE_TRY(read_square(tall, square, scratch));
    for (size_t first = n; first < tall->m; first += step) {
        const size_t count = tall->m - first < step ? tall->m - first : step;
        const int rows = (int)count, order = (int)n, panel = n < PANEL ? order : PANEL, none = 0;
        int info = 0;
        SONDE_TRY(sonde__tall_read(tall, first, count, block));
        dtpqrt_(&rows, &order, &none, &panel, square, &order, block, &rows, scratch, &panel,
                scratch + (size_t)panel * n, &info);
    }
    return SONDE_OK;
}

static sonde_status bidiagonal_values(sonde__tall *tall, double *square, double *values)
{
    const int order = (int)tall->n, work_size = 64 * order;
    double *const work = sonde__alloc_quiet(tall->context, 70 * tall->n, sizeof *work);
    int info = 0;
    if (!work)
        return SONDE_ERROR_MEMORY;
    double *const off = work + 64 * tall->n, *const left = off + tall->n;
    dgebrd_(&order, &order, square, &order, values, off, left, left + tall->n, work, &work_size,
            &info);
    dlasq1_(&order, values, off, work, &info);
    sonde__free(tall->context, work);
    for (size_t i = 0; i < tall->n / 2; i++) {
        const double swap = values[i];
        values[i] = values[tall->n - 1 - i];
        values[tall->n - 1 - i] = swap;
    }
    return info == 0 ? SONDE_OK : SONDE_ERROR_NUMERIC;
}

sonde_status sonde__two_stage_values(sonde__tall *tall, double *values)
{
    const size_t n = tall->n, rows = tall->m > n ? sonde__block_rows(tall->m, n) : 0;
    double *const square = sonde__alloc_quiet(tall->context, n * n, sizeof *square);
    double *const block = sonde__alloc_quiet(tall->context, rows * n, sizeof *block);
    double *const scratch = sonde__alloc_quiet(tall->context, 2 * PANEL * n, sizeof *scratch);
    sonde_status status = SONDE_ERROR_MEMORY;
    if (square && block && scratch)
        status = triangle(tall, square, block, scratch);
    sonde__free(tall->context, scratch);
    sonde__free(tall->context, block);
    if (status == SONDE_OK && tall->nonfinite == 0)
        status = bidiagonal_values(tall, square, values);
    sonde__free(tall->context, square);
    return status;
}

size_t sonde__two_stage_memory(size_t m, size_t n)
{
    const size_t rows = m > n ? sonde__block_rows(m, n) : 0;
    return (n * n + rows * n + 80 * n) * sizeof(double);
}
