/*
 * Eigenvalues of the Gram matrix of a matrix that is read in blocks.
 */
#include "num/linalg.h"
#include "num/singular_internal.h"

#include <cblas.h>

static sonde_status sum_products(sonde__tall *tall, double *gram, double *block)
{
    const size_t n = tall->n, step = sonde__block_rows(tall->m, n);
    for (size_t first = 0; first < tall->m; first += step) {
        const size_t count = tall->m - first < step ? tall->m - first : step;
        SONDE_TRY(sonde__tall_read(tall, first, count, block));
        if (tall->nonfinite == 0)
            cblas_dsyrk(CblasColMajor, CblasLower, CblasTrans, (int)n, (int)count, 1, block,
                        (int)count, first > 0, gram, (int)n);
    }
    return SONDE_OK;
}

sonde_status sonde__gram_eigenvalues(sonde__tall *tall, double *eigenvalues)
{
    const size_t n = tall->n, rows = sonde__block_rows(tall->m, n);
    double *const gram = sonde__alloc_quiet(tall->context, n * n, sizeof *gram);
    double *const block = sonde__alloc_quiet(tall->context, rows * n, sizeof *block);
    sonde_status status = gram && block ? sum_products(tall, gram, block) : SONDE_ERROR_MEMORY;
    sonde__free(tall->context, block);
    if (status == SONDE_OK && tall->nonfinite == 0)
        status = sonde__symmetric_eigenvalues(tall->context, gram, n, eigenvalues);
    sonde__free(tall->context, gram);
    return status;
}

size_t sonde__gram_eigenvalues_memory(size_t m, size_t n)
{
    const size_t products = sonde__block_rows(m, n) * n;
    const size_t work = 80 * n;
    return (n * n + (products > work ? products : work)) * sizeof(double);
}
