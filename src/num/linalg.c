/*
 * Symmetric eigenvalues over OpenBLAS's LAPACK, in double, on the calling thread alone, and Sturm
 * counts. LAPACK is called with work arrays of ours and allocates nothing itself.
 */
#include "num/linalg.h"

#include <math.h>

#include <omp.h>

#include "num/lapack.h"

/* OpenBLAS asks OpenMP how many threads this thread may use; that setting belongs to the thread. */
int sonde__blas_alone(void)
{
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    return before;
}

void sonde__blas_restore(int before)
{
    omp_set_num_threads(before);
}

/* job "N": eigenvalues alone, "V": also vectors. */
static sonde_status symmetric(sonde_context *context, const char *job, double *matrix, size_t n,
                              double *eigenvalues)
{
    const int order = (int)n;
    const int ask = -1;
    double size = 0;
    int integer_size = 0;
    int info = 0;
    const int before = sonde__blas_alone();
    /* Row-major upper is column-major lower. */
    dsyevd_(job, "L", &order, matrix, &order, eigenvalues, &size, &ask, &integer_size, &ask, &info,
            1, 1);
    sonde_status status = info == 0 ? SONDE_OK : SONDE_ERROR_INTERNAL;
    double *work = NULL;
    int *integers = NULL;
    const int work_size = (int)size;
    if (status == SONDE_OK) {
        work = sonde__alloc_quiet(context, (size_t)size, sizeof *work);
        integers = sonde__alloc_quiet(context, (size_t)integer_size, sizeof *integers);
        status = work && integers ? SONDE_OK : SONDE_ERROR_MEMORY;
    }
    if (status == SONDE_OK) {
        dsyevd_(job, "L", &order, matrix, &order, eigenvalues, work, &work_size, integers,
                &integer_size, &info, 1, 1);
        status = info == 0 ? SONDE_OK : SONDE_ERROR_NUMERIC;
    }
    sonde__blas_restore(before);
    sonde__free(context, integers);
    sonde__free(context, work);
    return status;
}

sonde_status sonde__symmetric_eigenvalues(sonde_context *context, double *matrix, size_t n,
                                          double *eigenvalues)
{
    return symmetric(context, "N", matrix, n, eigenvalues);
}

sonde_status sonde__symmetric_eigenvectors(sonde_context *context, double *matrix, size_t n,
                                           double *eigenvalues)
{
    return symmetric(context, "V", matrix, n, eigenvalues);
}

sonde_status sonde__tridiagonal_eigenvalues(double *diagonal, double *off_diagonal, size_t n)
{
    if (n > SONDE__ORDER_MAX)
        return SONDE_ERROR_UNSUPPORTED;
    const int order = (int)n;
    int info = 0;
    dsterf_(&order, diagonal, off_diagonal, &info);
    return info == 0 ? SONDE_OK : SONDE_ERROR_NUMERIC;
}

enum { LANES = 16 };

/*
 * Sturm counts for LANES shifts side by side: the negative pivots of the LDL^T factorisation of
 * T - shift. A pivot that vanishes is replaced by a tiny negative one, as in LAPACK's dstebz.
 */
SONDE_CLONES
static void count_lanes(const double *diagonal, const double *off_squared, size_t n,
                        const double *shifts, double *below)
{
    double pivot[LANES], count[LANES];
    for (int j = 0; j < LANES; j++) {
        pivot[j] = 1;
        count[j] = 0;
    }
    for (size_t i = 0; i < n; i++) {
        const double entry = diagonal[i], square = i > 0 ? off_squared[i - 1] : 0;
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            const double next = entry - shifts[j] - square / pivot[j];
            pivot[j] = fabs(next) < 1e-290 ? -1e-290 : next;
            count[j] += pivot[j] < 0 ? 1.0 : 0.0;
        }
    }
    for (int j = 0; j < LANES; j++)
        below[j] = count[j];
}

void sonde__tridiagonal_counts(const double *diagonal, const double *off_squared, size_t n,
                               const double *shifts, size_t count, size_t *below)
{
    for (size_t first = 0; first < count; first += LANES) {
        double shift[LANES], result[LANES];
        for (size_t j = 0; j < LANES; j++)
            shift[j] = shifts[first + j < count ? first + j : count - 1];
        count_lanes(diagonal, off_squared, n, shift, result);
        for (size_t j = 0; j < LANES && first + j < count; j++)
            below[first + j] = (size_t)result[j];
    }
}
