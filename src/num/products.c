/*
 * A B^T and A A^T in double over OpenBLAS (dgemm, dsyrk), BLOCK columns at a time.
 *
 * Invariant: the order of every sum depends on the shapes alone.
 */
#include "num/products.h"

#include <string.h>

#include <cblas.h>

#include "num/formats.h"
#include "num/linalg.h"

enum { BLOCK = 512 };

static void read_block(const sonde_matrix *matrix, size_t first, size_t n, const double *shifts,
                       double *out)
{
    for (size_t i = 0; i < matrix->rows; i++) {
        double *const row = out + i * BLOCK;
        sonde__matrix_row(matrix, i, first, n, row);
        for (size_t k = 0; shifts && k < n; k++)
            row[k] -= shifts[i];
    }
}

sonde_status sonde__row_products(sonde_context *context, const sonde_matrix *a,
                                 const sonde_matrix *b, double *products)
{
    double *const left = sonde__alloc_quiet(context, a->rows, BLOCK * sizeof *left);
    double *const right = sonde__alloc_quiet(context, b->rows, BLOCK * sizeof *right);
    const sonde_status status = left && right ? SONDE_OK : SONDE_ERROR_MEMORY;
    const int before = sonde__blas_alone();
    for (size_t first = 0; first < a->cols && status == SONDE_OK; first += BLOCK) {
        const size_t n = a->cols - first < BLOCK ? a->cols - first : BLOCK;
        read_block(a, first, n, NULL, left);
        read_block(b, first, n, NULL, right);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)a->rows, (int)b->rows, (int)n, 1,
                    left, BLOCK, right, BLOCK, first ? 1 : 0, products, (int)b->rows);
    }
    sonde__blas_restore(before);
    sonde__free(context, right);
    sonde__free(context, left);
    return status;
}

sonde_status sonde__row_gram(sonde_context *context, const sonde_matrix *a, const double *shifts,
                             double *gram)
{
    double *const block = sonde__alloc_quiet(context, a->rows, BLOCK * sizeof *block);
    if (!block)
        return SONDE_ERROR_MEMORY;
    const int before = sonde__blas_alone();
    for (size_t first = 0; first < a->cols; first += BLOCK) {
        const size_t n = a->cols - first < BLOCK ? a->cols - first : BLOCK;
        read_block(a, first, n, shifts, block);
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, (int)a->rows, (int)n, 1, block, BLOCK,
                    first ? 1 : 0, gram, (int)a->rows);
    }
    sonde__blas_restore(before);
    sonde__free(context, block);
    for (size_t i = 0; i < a->rows; i++)
        for (size_t j = 0; j < i; j++)
            gram[j * a->rows + i] = gram[i * a->rows + j];
    return SONDE_OK;
}
