/*
 * What is read off a spectrum beside the law: the power law of its tail, norms and ranks.
 *
 * Eigenvalues come as X = s^2 / N with N the longer side; everything here is on the scale of s^2, as
 * the literature on these numbers has it, and all sums run relative to the largest, so that no power
 * leaves the range of doubles.
 * Sources: Clauset, Shalizi, Newman 2009; Martin, Mahoney, JMLR 22(165) 2021; Roy, Vetterli 2007.
 * Invariant: pooled slices are treated as one list of eigenvalues.
 */
#include "signal/spectrum_shape.h"

#include <float.h>
#include <math.h>

#include "num/tracy_widom.h"
#include "signal/power_law.h"

/* log10 of sum_k (x_k N)^power. */
static double log_power_sum(const double *x, size_t count, double longer, double power)
{
    const double largest = x[count - 1];
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += power == 1 ? x[i] / largest : pow(x[i] / largest, power);
    return power * (log10(largest) + log10(longer)) + log10(sum);
}

/* exp of the entropy of the shares. */
static double effective_rank(const double *x, size_t count)
{
    double sum = 0, entropy = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[i] / x[count - 1];
    for (size_t i = 0; i < count; i++) {
        const double share = x[i] / x[count - 1] / sum;
        if (share > 0)
            entropy -= share * log(share);
    }
    return exp(entropy);
}

/* The least eigenvalue that is not a rounding error of the matrix, as numpy and MATLAB have it: a
 * singular value of s_max * max(rows, cols) * 2^-52. */
static double rank_floor(const double *x, size_t count, double longer)
{
    const double share = longer * DBL_EPSILON;
    return x[count - 1] * share * share;
}

static sonde_status fill_power_law(sonde_context *context, const double *x, size_t count,
                                   double longer, sonde_spectrum_shape_report *shape)
{
    sonde__power_law law;
    SONDE_TRY(sonde__power_law_fit(context, x, count, rank_floor(x, count, longer), &law));
    shape->power_law = law.validity;
    if (law.tail == 0)
        return SONDE_OK;
    shape->alpha = law.alpha;
    shape->alpha_error = law.alpha_error;
    shape->ks_distance = law.ks_distance;
    shape->xmin = x[law.first] * longer;
    shape->xmax = x[count - 1] * longer;
    shape->tail = law.tail;
    shape->alpha_weighted = law.alpha * shape->log_spectral_norm;
    shape->log_alpha_norm = log_power_sum(x, count, longer, law.alpha);
    if (!isfinite(shape->xmax))
        shape->power_law = SONDE_OUT_OF_RANGE;
    return SONDE_OK;
}

static sonde_status fill(sonde_context *context, const double *x, size_t count,
                         const sonde_spectrum_report *report, sonde_spectrum_shape_report *shape)
{
    const double longer = (double)report->cols;
    if (!(x[count - 1] > 0))
        return SONDE_OK;
    shape->log_norm = log_power_sum(x, count, longer, 1);
    shape->log_spectral_norm = log10(x[count - 1]) + log10(longer);
    shape->stable_rank = report->stable_rank;
    shape->effective_rank = effective_rank(x, count);
    const double floor = rank_floor(x, count, longer);
    for (size_t i = count; i > 0 && x[i - 1] > floor; i--)
        shape->matrix_rank++;
    if (report->edge > 0)
        shape->edge_margin = (x[count - 1] - report->edge) /
                             (report->sigma2 * sonde__tracy_widom_scale(report->aspect, longer));
    return fill_power_law(context, x, count, longer, shape);
}

static const char *input_problem(const double *x, size_t count, const sonde_spectrum_report *report)
{
    if (count == 0 || report->rows == 0 || report->cols < report->rows)
        return "the report is not one of a spectrum";
    if (count % report->rows != 0)
        return "the count is not a multiple of the report's rows";
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i]) || x[i] < (i > 0 ? x[i - 1] : 0))
            return "the eigenvalues are not finite, from 0 and ascending";
    return NULL;
}

sonde_status sonde__spectrum_shape_quiet(sonde_context *context, const double *eigenvalues,
                                         size_t count, const sonde_spectrum_report *report,
                                         sonde_spectrum_shape_report *shape, const char **problem)
{
    const sonde_validity validity = report->validity;
    const bool none = validity == SONDE_NOT_FINITE || validity == SONDE_OUT_OF_RANGE;
    *problem = none ? NULL : input_problem(eigenvalues, count, report);
    if (*problem)
        return SONDE_ERROR_RANGE;
    sonde_spectrum_shape_report made = {.power_law = none ? validity : SONDE_DEGENERATE};
    if (!none)
        SONDE_TRY(fill(context, eigenvalues, count, report, &made));
    *shape = made;
    return SONDE_OK;
}

sonde_status sonde_spectrum_shape(sonde_context *context, const double *eigenvalues, size_t count,
                                  const sonde_spectrum_report *report,
                                  sonde_spectrum_shape_report *shape)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!eigenvalues || !report || !shape)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "the %s pointer is NULL",
                           !eigenvalues ? "eigenvalue"
                           : !report    ? "spectrum report"
                                        : "shape report");
    const char *problem = NULL;
    const sonde_status status =
        sonde__spectrum_shape_quiet(context, eigenvalues, count, report, shape, &problem);
    if (status != SONDE_OK)
        return sonde__fail(context, status, "shape of a spectrum of %zu eigenvalues: %s", count,
                           problem ? problem : sonde_status_sentence(status));
    return SONDE_OK;
}
