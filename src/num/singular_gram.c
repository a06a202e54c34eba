/*
 * Eigenvalues of the Gram matrix of a matrix that is read in blocks: sums of products, a tridiagonal
 * in two stages (in one where it is small), implicit QL.
 */
#include <cblas.h>

#include "num/band.h"
#include "num/linalg.h"
#include "num/singular_internal.h"

/* From this order on two stages are faster than LAPACK's one. */
enum { TWO_STAGE_LEAST = 800 };

/* Lower triangle, by columns. */
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

static size_t work_size(size_t n)
{
    const size_t band = sonde__band_work(n), chase = sonde__chase_work(n);
    return n + (band > chase ? band : chase);
}

static sonde_status shifted_eigenvalues(sonde_context *context, double *gram, size_t n,
                                        double *eigenvalues)
{
    if (n < TWO_STAGE_LEAST)
        return sonde__symmetric_eigenvalues(context, gram, n, eigenvalues);
    double *const work = sonde__alloc_quiet(context, work_size(n), sizeof *work);
    if (!work)
        return SONDE_ERROR_MEMORY;
    double *const off = work, *const rest = work + n;
    sonde_status status = sonde__reduce_symmetric(context, gram, n, rest);
    if (status == SONDE_OK)
        status = sonde__chase_symmetric(context, gram, n, rest, eigenvalues, off);
    if (status == SONDE_OK)
        status = sonde__tridiagonal_eigenvalues(eigenvalues, off, n);
    sonde__free(context, work);
    return status;
}

/* Around the middle of the spectrum, where the norm that rounding errors go by is smaller: by half for
 * oblong random matrices, whose Gram matrix is near a multiple of the identity. */
static sonde_status eigenvalues_of(sonde_context *context, double *gram, size_t n,
                                   double *eigenvalues)
{
    double mean = 0;
    for (size_t i = 0; i < n; i++)
        mean += gram[i * (n + 1)] / (double)n;
    for (size_t i = 0; i < n; i++)
        gram[i * (n + 1)] -= mean;
    SONDE_TRY(shifted_eigenvalues(context, gram, n, eigenvalues));
    for (size_t i = 0; i < n; i++)
        eigenvalues[i] += mean;
    return SONDE_OK;
}

/*
 * Whether the smallest eigenvalue is surely below `least` times the largest: it is at most the least
 * diagonal entry, and the largest at least any Rayleigh quotient, here after a few power iterations
 * from the row with the largest diagonal entry. Spiked and graded matrices, and such with a row of
 * zeros, are told at a thousandth of the work.
 */
static bool surely_below(const double *gram, size_t n, double least, double *vectors)
{
    enum { ITERATIONS = 4 };
    double *x = vectors, *y = vectors + n, low = gram[0], high = gram[0];
    size_t at = 0;
    for (size_t i = 1; i < n; i++) {
        const double entry = gram[i * (n + 1)];
        low = entry < low ? entry : low;
        at = entry > high ? i : at;
        high = entry > high ? entry : high;
    }
    for (size_t i = 0; i < n; i++)
        x[i] = i == at ? 1 : 0;
    for (int k = 0; k < ITERATIONS && high > 0; k++) {
        cblas_dsymv(CblasColMajor, CblasLower, (int)n, 1, gram, (int)n, x, 1, 0, y, 1);
        const double quotient = cblas_ddot((int)n, x, 1, y, 1);
        const double norm = cblas_dnrm2((int)n, y, 1);
        high = quotient > high ? quotient : high;
        if (!(norm > 0))
            break;
        for (size_t i = 0; i < n; i++)
            x[i] = y[i] / norm;
    }
    return low < 0.99 * least * high;
}

sonde_status sonde__gram_eigenvalues(sonde__tall *tall, double least, double *eigenvalues)
{
    const size_t n = tall->n, rows = sonde__block_rows(tall->m, n);
    const size_t room = rows > 2 ? rows : 2; /* two vectors, after the last block */
    double *const gram = sonde__alloc_quiet(tall->context, n * n, sizeof *gram);
    double *const block = sonde__alloc_quiet(tall->context, room * n, sizeof *block);
    sonde_status status = gram && block ? sum_products(tall, gram, block) : SONDE_ERROR_MEMORY;
    const bool given_up = status == SONDE_OK && tall->nonfinite == 0 && least > 0 &&
                          surely_below(gram, n, least, block);
    sonde__free(tall->context, block);
    if (given_up)
        eigenvalues[0] = -1;
    else if (status == SONDE_OK && tall->nonfinite == 0)
        status = eigenvalues_of(tall->context, gram, n, eigenvalues);
    sonde__free(tall->context, gram);
    return status;
}

size_t sonde__gram_eigenvalues_memory(size_t m, size_t n)
{
    const size_t products = (sonde__block_rows(m, n) + 1) * n;
    const size_t work = n < TWO_STAGE_LEAST ? 80 * n : work_size(n);
    return (n * n + (products > work ? products : work)) * sizeof(double);
}
