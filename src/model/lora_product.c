/*
 * The spectrum of a product of two thin factors, which is never formed.
 *
 * With up = Q_u R_u and down^T = Q_d R_d (QR), the singular values of up * down are those of
 * R_u R_d^T, a matrix of the rank's size. Householder's reflections, in double, on the calling thread.
 * Source: Golub, Van Loan, Matrix Computations, 5.2.
 */
#include "model/lora.h"

#include <math.h>
#include <string.h>

#include <cblas.h>

#include "num/formats.h"
#include "num/linalg.h"
#include "num/singular.h"

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t sonde__product_count(const sonde__product *product)
{
    return least(product->rank, least(product->rows, product->cols));
}

size_t sonde__product_memory(const sonde__product *product)
{
    const size_t rank = product->rank;
    return 8 * rank * (3 * rank + product->rows + product->cols) +
           sonde__singular_values_memory(rank, rank, SONDE__SVD_TWO_STAGE) + 4096;
}

/* Householder's QR of the columns of `a` (`count` columns of `length`, one behind the other): R in
 * the upper triangle, what is below it is left over. */
static void reduce_columns(double *a, size_t length, size_t count)
{
    for (size_t k = 0; k < count && k + 1 < length; k++) {
        double *const v = a + k * length + k;
        const size_t n = length - k;
        const double norm = cblas_dnrm2((int)n, v, 1);
        if (!(norm > 0))
            continue;
        const double diagonal = v[0] > 0 ? -norm : norm;
        const double top = v[0] - diagonal; /* v = x - diagonal e_1; v^T v = -2 diagonal top */
        v[0] = top;
        for (size_t j = k + 1; j < count; j++) {
            double *const column = a + j * length + k;
            const double along = cblas_ddot((int)n, v, 1, column, 1) / (diagonal * top);
            cblas_daxpy((int)n, along, v, 1, column, 1);
        }
        v[0] = diagonal;
    }
}

/* to (cols x rows) = from (rows x cols) transposed. */
static void transpose(const double *from, size_t rows, size_t cols, double *to)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            to[j * rows + i] = from[i * cols + j];
}

/* core (p x q) = R_left R_right^T, both factors as reduced columns; R has min(length, rank) rows. */
static void multiply_triangles(const double *left, const double *right,
                               const sonde__product *product, double *core)
{
    const size_t rank = product->rank;
    const size_t p = least(product->rows, rank), q = least(product->cols, rank);
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j < q; j++) {
            double sum = 0;
            for (size_t k = i > j ? i : j; k < rank; k++)
                sum += left[k * product->rows + i] * right[k * product->cols + j];
            core[i * q + j] = sum;
        }
}

/* Divides by the power of two of the largest entry, so that no product leaves the range of doubles;
 * returns its exponent. */
static int normalise(double *values, size_t n)
{
    double largest = 0;
    int exponent = 0;
    sonde__count_nonfinite(values, n, &largest);
    if (largest > 0)
        frexp(largest, &exponent);
    for (size_t i = 0; exponent != 0 && i < n; i++)
        values[i] = ldexp(values[i], -exponent);
    return exponent;
}

static sonde_status core_values(sonde_context *context, const sonde__product *product,
                                const double *core, int exponent, double *values)
{
    const size_t p = least(product->rows, product->rank), q = least(product->cols, product->rank);
    const sonde_matrix matrix = {core, SONDE_F64, p, q, 0};
    const sonde__tiles tiles = sonde__tiles_of_matrix(&matrix);
    sonde__svd_facts facts = {0};
    SONDE_TRY(sonde__singular_values(context, &tiles, SONDE__SVD_TWO_STAGE, values, &facts));
    for (size_t i = 0; i < least(p, q); i++)
        values[i] = ldexp(values[i], facts.exponent + exponent);
    return SONDE_OK;
}

sonde_status sonde__product_values(sonde_context *context, sonde__product *product, double *values,
                                   size_t *nonfinite)
{
    const size_t rows = product->rows, cols = product->cols, rank = product->rank;
    *nonfinite = sonde__count_nonfinite(product->left, rows * rank, NULL) +
                 sonde__count_nonfinite(product->right, rank * cols, NULL);
    if (*nonfinite > 0) {
        memset(values, 0, sonde__product_count(product) * sizeof *values);
        return SONDE_OK;
    }
    double *const columns = sonde__alloc_quiet(context, rank * (rows + rank), sizeof *columns);
    if (!columns)
        return SONDE_ERROR_MEMORY;
    double *const core = columns + rank * rows;
    const int before = sonde__blas_alone();
    const int exponent =
        normalise(product->left, rows * rank) + normalise(product->right, rank * cols);
    transpose(product->left, rows, rank, columns);
    reduce_columns(columns, rows, rank);
    reduce_columns(product->right, cols, rank); /* rows of `right` are columns of its transpose */
    multiply_triangles(columns, product->right, product, core);
    sonde__blas_restore(before);
    const sonde_status status = core_values(context, product, core, exponent, values);
    sonde__free(context, columns);
    return status;
}

void sonde__product_add(const sonde__product *product, size_t row, size_t rows, size_t col,
                        size_t cols, double *out)
{
    const int rank = (int)product->rank;
    const int before = sonde__blas_alone();
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)cols, rank, 1,
                product->left + row * product->rank, rank, product->right + col, (int)product->cols,
                1, out, (int)cols);
    sonde__blas_restore(before);
}
