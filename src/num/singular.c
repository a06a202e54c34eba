/*
 * All singular values of a matrix: which method, and whether its result may stand.
 *
 * The eigenvalues of a Gram matrix carry errors of about u ||A||^2, hence its singular values errors
 * of u s_max^2 / s with u = 1.1e-16: harmless where the smallest one is not much smaller than the
 * largest, as in oblong random matrices. The result shows which it was, since the eigenvalues
 * themselves are right to u ||A||^2. Everything else goes through orthogonal transformations alone,
 * whose errors are a few u s_max for every value.
 * Source: Golub, Van Loan, Matrix Computations, sections 5.4.8 and 8.6.
 */
#include "num/singular.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "num/linalg.h"
#include "num/singular_internal.h"

/* Below this many times as long as wide, the Gram matrix costs no less than two stages. */
static const double GRAM_ASPECT = 1.15;
/*
 * The smallest share of s_max that a method accepts from a Gram matrix. Its eigenvalues were wrong by
 * 4e-17 sqrt(n) s_max^2 at most in all measurements, hence its singular values by 2e-17 sqrt(n)
 * s_max^2 / s; a limit of 0.0025 sqrt(n) keeps them within 1e-14 s_max.
 */
static double least_share(sonde__svd_method method, size_t n)
{
    if (method == SONDE__SVD_GRAM)
        return 0;
    return method == SONDE__SVD_SQUARES ? 1e-5 : fmax(0.03, 0.0025 * sqrt((double)n));
}

size_t sonde__block_rows(size_t m, size_t n)
{
    size_t rows = 131072 / n;
    rows = rows < 512 ? 512 : rows > 16384 ? 16384 : rows;
    return rows < m ? rows : m;
}

/* *accepted: whether the values may stand. */
static sonde_status by_gram(sonde__tall *tall, double least, double *values, bool *accepted)
{
    SONDE_TRY(sonde__gram_eigenvalues(tall, least * least, values));
    *accepted = tall->nonfinite > 0 || least <= 0;
    if (tall->nonfinite > 0 || (values[0] < 0 && least > 0))
        return SONDE_OK;
    for (size_t i = 0; i < tall->n; i++)
        values[i] = values[i] > 0 ? sqrt(values[i]) : 0;
    *accepted = values[0] >= least * values[tall->n - 1];
    return SONDE_OK;
}

static sonde_status compute(sonde__tall *tall, sonde__svd_method method, double *values,
                            sonde__svd_method *used)
{
    const bool oblong = (double)tall->m >= GRAM_ASPECT * (double)tall->n;
    if (method == SONDE__SVD_GRAM || (method != SONDE__SVD_TWO_STAGE && oblong)) {
        bool accepted;
        *used = SONDE__SVD_GRAM;
        SONDE_TRY(by_gram(tall, least_share(method, tall->n), values, &accepted));
        if (accepted)
            return SONDE_OK;
    }
    *used = SONDE__SVD_TWO_STAGE;
    return sonde__two_stage_values(tall, values);
}

sonde_status sonde__singular_values(sonde_context *context, const sonde__tiles *tiles,
                                    sonde__svd_method method, double *values,
                                    sonde__svd_facts *facts)
{
    const size_t n = tiles->rows < tiles->cols ? tiles->rows : tiles->cols;
    sonde__svd_facts found = {0, 0, SONDE__SVD_GRAM};
    sonde__tall tall;
    if (n > SONDE__ORDER_MAX)
        return SONDE_ERROR_UNSUPPORTED;
    sonde_status status = sonde__tall_open(context, tiles, &tall);
    if (status == SONDE_OK && tall.nonfinite == 0) {
        const int before = sonde__blas_alone();
        status = compute(&tall, method, values, &found.method);
        sonde__blas_restore(before);
    }
    found.nonfinite = tall.nonfinite;
    found.exponent = tall.exponent;
    if (status == SONDE_OK && found.nonfinite > 0)
        memset(values, 0, n * sizeof *values);
    if (status == SONDE_OK && facts)
        *facts = found;
    sonde__tall_close(&tall);
    return status;
}

size_t sonde__singular_values_memory(size_t rows, size_t cols, sonde__svd_method method)
{
    const size_t n = rows < cols ? rows : cols, m = rows < cols ? cols : rows;
    if (n == 0 || n > SONDE__ORDER_MAX)
        return 0;
    const size_t gram = sonde__gram_eigenvalues_memory(m, n), two = sonde__two_stage_memory(m, n);
    const size_t most = method == SONDE__SVD_GRAM        ? gram
                        : method == SONDE__SVD_TWO_STAGE ? two
                        : gram > two                     ? gram
                                                         : two;
    return most + sonde__tall_memory(rows, cols);
}

double sonde__singular_values_work(size_t rows, size_t cols, sonde__svd_method method)
{
    const double n = (double)(rows < cols ? rows : cols), m = (double)(rows < cols ? cols : rows);
    const double gram = n * n * m + 4 / 3.0 * n * n * n;
    const double two = 2 * n * n * (m - n) + 8 / 3.0 * n * n * n;
    if (method == SONDE__SVD_GRAM || (method != SONDE__SVD_TWO_STAGE && m >= GRAM_ASPECT * n))
        return gram;
    return two;
}
