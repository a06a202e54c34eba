/*
 * Proxies of the input Jacobian, whose row i is the gradient of the sum of all outputs by input i:
 *
 *   jacob_cov  - sum (log(v + k) + 1 / (v + k)), v the eigenvalues of the rows' correlation matrix
 *   epe_nas    per class s_c = sum log(|correlation| + k) over pairs of its rows; up to 100 classes
 *              sum |s_c|, above that s_c is divided by the class's size and the score is
 *              sum_ij |s_i - s_j| over the number of classes
 *
 * with k = 1e-5. Sources: arXiv 2006.04647 (first version) as zero-cost-nas has it, with the real
 * symmetric eigenvalues that it takes for a general matrix; arXiv 2102.08099 as NASLib has it. There
 * a class of one row counts as |log(1 + k)| up to 100 classes, and not at all above; so it does here.
 */
#include "signal/arrays.h"

#include <math.h>

#include "num/formats.h"
#include "num/linalg.h"
#include "num/products.h"

enum { CHUNK = 512, MANY_CLASSES = 100 };
static const double K = 1e-5;
/* Correlations this near to 1 are those of equal inputs, but for the rounding of a float pass. */
static const double ALIKE = 1e-9;

/* --- correlations ------------------------------------------------------------------------------ */

/* Mean of a row; *constant: all its elements are equal. */
static double row_mean(const sonde_matrix *matrix, size_t row, bool *constant)
{
    double values[CHUNK], sum = 0, low = INFINITY, high = -INFINITY;
    for (size_t first = 0; first < matrix->cols; first += CHUNK) {
        const size_t left = matrix->cols - first, n = left < CHUNK ? left : CHUNK;
        sonde__matrix_row(matrix, row, first, n, values);
        for (size_t i = 0; i < n; i++) {
            sum += values[i];
            low = fmin(low, values[i]);
            high = fmax(high, values[i]);
        }
    }
    *constant = low == high;
    return sum / (double)matrix->cols;
}

/* Covariances become correlations, clipped to [-1, 1]; false where all rows are alike. */
static bool normalise(double *gram, size_t n)
{
    double least = 1;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            const double c = gram[i * n + j] / (sqrt(gram[i * n + i]) * sqrt(gram[j * n + j]));
            gram[i * n + j] = gram[j * n + i] = fmin(fmax(c, -1), 1);
            least = fmin(least, c);
        }
    for (size_t i = 0; i < n; i++)
        gram[i * n + i] = 1;
    return n < 2 || least < 1 - ALIKE;
}

/* VALID, or why there are none. */
static sonde_status correlations(sonde_context *context, const sonde_matrix *matrix, double *out,
                                 sonde_validity *validity)
{
    const size_t n = matrix->rows;
    double *const means = sonde__alloc(context, n, sizeof *means);
    if (!means)
        return SONDE_ERROR_MEMORY;
    *validity = sonde__matrix_finite(matrix) ? SONDE_VALID : SONDE_NOT_FINITE;
    for (size_t i = 0; i < n && *validity == SONDE_VALID; i++) {
        bool constant;
        means[i] = row_mean(matrix, i, &constant);
        if (constant)
            *validity = SONDE_DEGENERATE;
    }
    sonde_status status = SONDE_OK;
    if (*validity == SONDE_VALID)
        status = sonde__row_gram(context, matrix, means, out);
    sonde__free(context, means);
    if (status != SONDE_OK)
        return sonde__fail(context, status, "correlations of %zu rows", n);
    for (size_t i = 0; i < n && *validity == SONDE_VALID; i++)
        if (!(out[i * n + i] > 0) || isinf(out[i * n + i]))
            *validity = SONDE_OUT_OF_RANGE;
    if (*validity == SONDE_VALID && !normalise(out, n))
        *validity = SONDE_DEGENERATE;
    return SONDE_OK;
}

static sonde_status check(sonde_context *context, const char *call, const sonde_matrix *jacobian,
                          const sonde_score *score)
{
    SONDE_TRY(sonde__matrix_check(context, jacobian, "Jacobian"));
    if (!score)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "%s: score is NULL", call);
    if (jacobian->rows > SONDE__ORDER_MAX)
        return sonde__fail(context, SONDE_ERROR_UNSUPPORTED,
                           "%s: %zu rows; more than %d are not supported", call, jacobian->rows,
                           (int)SONDE__ORDER_MAX);
    return SONDE_OK;
}

/* --- jacob_cov --------------------------------------------------------------------------------- */

static sonde_status score_of_correlations(sonde_context *context, double *matrix, size_t n,
                                          sonde_score *score)
{
    double *const values = sonde__alloc(context, n, sizeof *values);
    if (!values)
        return SONDE_ERROR_MEMORY;
    const sonde_status status = sonde__symmetric_eigenvalues(context, matrix, n, values);
    double sum = 0;
    for (size_t i = 0; i < n && status == SONDE_OK; i++)
        sum += log(values[i] + K) + 1 / (values[i] + K);
    sonde__free(context, values);
    if (status != SONDE_OK)
        return sonde__fail(context, status, "jacob_cov: eigenvalues of %zu x %zu", n, n);
    *score = sonde__score_of(-sum, sonde_proxy_direction(SONDE_PROXY_JACOB_COV), NULL, NULL);
    return SONDE_OK;
}

sonde_status sonde_jacob_cov(sonde_context *context, const sonde_matrix *jacobian,
                             sonde_score *score)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(check(context, "jacob_cov", jacobian, score));
    const size_t n = jacobian->rows;
    const sonde_direction direction = sonde_proxy_direction(SONDE_PROXY_JACOB_COV);
    if (n < 2) {
        *score = sonde__score_invalid(direction, SONDE_TOO_FEW);
        return SONDE_OK;
    }
    double *const matrix = sonde__alloc(context, n, n * sizeof *matrix);
    if (!matrix)
        return SONDE_ERROR_MEMORY;
    sonde_validity validity;
    sonde_score made = sonde__score_invalid(direction, SONDE_NOT_MEASURED);
    sonde_status status = correlations(context, jacobian, matrix, &validity);
    made.validity = validity;
    if (status == SONDE_OK && validity == SONDE_VALID)
        status = score_of_correlations(context, matrix, n, &made);
    sonde__free(context, matrix);
    if (status == SONDE_OK)
        *score = made;
    return status;
}

/* --- epe_nas ----------------------------------------------------------------------------------- */

/* Class by class: how many rows, and s_c. */
typedef struct class_sums {
    double *sums;
    size_t *counts;
    size_t classes;
} class_sums;

static void sum_classes(const double *correlation, const int64_t *labels, size_t n,
                        const class_sums *by)
{
    for (size_t c = 0; c < by->classes; c++) {
        by->sums[c] = 0;
        by->counts[c] = 0;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t c = (size_t)labels[i];
        by->counts[c]++;
        for (size_t j = 0; j < n; j++)
            if (labels[j] == labels[i])
                by->sums[c] += log(fabs(correlation[i * n + j]) + K);
    }
}

static double sum_of_magnitudes(const class_sums *by)
{
    double score = 0;
    for (size_t c = 0; c < by->classes; c++)
        score += fabs(by->sums[c]);
    return score;
}

/* Classes of one row have no correlation and do not count. */
static double mean_of_differences(const class_sums *by)
{
    double score = 0;
    size_t seen = 0;
    for (size_t c = 0; c < by->classes; c++) {
        if (by->counts[c] < 2)
            continue;
        seen++;
        for (size_t j = 0; j < by->classes; j++)
            if (by->counts[j] >= 2)
                score +=
                    fabs(by->sums[c] / (double)by->counts[c] - by->sums[j] / (double)by->counts[j]);
    }
    return score / (double)seen;
}

static sonde_score epe_score(const class_sums *by)
{
    const sonde_direction direction = sonde_proxy_direction(SONDE_PROXY_EPE_NAS);
    size_t pairs = 0;
    for (size_t c = 0; c < by->classes; c++)
        pairs += by->counts[c] >= 2;
    if (pairs == 0)
        return sonde__score_invalid(direction, SONDE_TOO_FEW);
    return sonde__score_of(by->classes > MANY_CLASSES ? mean_of_differences(by)
                                                      : sum_of_magnitudes(by),
                           direction, NULL, NULL);
}

static sonde_status measure_classes(sonde_context *context, const sonde_matrix *jacobian,
                                    const int64_t *labels, size_t classes, sonde_score *score)
{
    const size_t n = jacobian->rows;
    double *const matrix = sonde__alloc(context, n, n * sizeof *matrix);
    class_sums by = {.classes = classes};
    if (matrix)
        by.sums = sonde__alloc(context, classes, sizeof *by.sums);
    if (by.sums)
        by.counts = sonde__alloc(context, classes, sizeof *by.counts);
    sonde_validity validity;
    sonde_status status =
        by.counts ? correlations(context, jacobian, matrix, &validity) : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK && validity != SONDE_VALID) {
        *score = sonde__score_invalid(sonde_proxy_direction(SONDE_PROXY_EPE_NAS), validity);
    } else if (status == SONDE_OK) {
        sum_classes(matrix, labels, n, &by);
        *score = epe_score(&by);
    }
    sonde__free(context, by.counts);
    sonde__free(context, by.sums);
    sonde__free(context, matrix);
    return status;
}

sonde_status sonde_epe_nas(sonde_context *context, const sonde_matrix *jacobian,
                           const int64_t *labels, size_t classes, sonde_score *score)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(check(context, "epe_nas", jacobian, score));
    if (!labels)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "epe_nas: labels is NULL");
    for (size_t i = 0; i < jacobian->rows; i++)
        if (labels[i] < 0 || (uint64_t)labels[i] >= classes)
            return sonde__fail(context, SONDE_ERROR_RANGE,
                               "epe_nas: label %lld of row %zu is not in [0, %zu)",
                               (long long)labels[i], i, classes);
    return measure_classes(context, jacobian, labels, classes, score);
}
