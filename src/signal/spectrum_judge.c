/*
 * The judgement on eigenvalues, wherever they come from: norms, distance from the Marchenko-Pastur
 * law, the thresholds that fit the shape, and a named type; for one matrix, or for several of one
 * shape whose eigenvalues are pooled (the positions of a convolution's kernel).
 *
 * The published threshold is for single matrices: it is never given for pooled ones.
 * Source: JMLR 24(28) 2023 (methods sections 3.1 to 3.4). Invariant: nothing here touches the
 * context's error record except sonde_spectrum_judge itself, since workers run the rest.
 */
#include <math.h>
#include <string.h>

#include "num/linalg.h"
#include "signal/spectrum.h"
#include "signal/spectrum_null.h"

/* Where the published threshold was examined, and from where on random matrices of the same shape
 * give a usable one: docs/spectrum.md has the evidence. */
enum { PUBLISHED_LEAST = 64, CALIBRATED_LEAST = 16 };
static const double PUBLISHED_ASPECT = 0.8;
/* With calibration the published constant must also not be reached at random: it is given out where
 * it is at least the calibrated threshold, but for the precision of the latter. */
static const double PUBLISHED_SLACK = 1.05;
static const double BLEED_WIDTHS = 3;
/* Eigenvalues of a Gram matrix below this share of the largest are rounding errors. */
static const double ROUNDING = 1e-12;

/* Norms and the like. */
static void describe(const sonde__eigenvalues *values, sonde_spectrum_report *report)
{
    const double *const x = values->x;
    const size_t n = values->count;
    const int exponent = values->exponent;
    double sum = 0, entropy = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    report->smallest = ldexp(x[0], 2 * exponent);
    report->largest = ldexp(x[n - 1], 2 * exponent);
    report->frobenius = ldexp(sqrt(sum * (double)report->cols), exponent);
    report->spectral = ldexp(sqrt(x[n - 1] * (double)report->cols), exponent);
    if (!(sum > 0))
        return;
    report->stable_rank = sum / x[n - 1];
    for (size_t i = 0; i < n; i++)
        if (x[i] > 0)
            entropy -= x[i] / sum * log(x[i] / sum);
    report->entropy = n > 1 ? entropy / log((double)n) : 0;
}

/* Share of eigenvalues below a thousandth of the median over a tenth. */
static bool rank_collapsed(const double *x, size_t n)
{
    const double limit = 1e-3 * x[n / 2];
    size_t below = 0;
    while (below < n && (x[below] < limit || x[below] <= ROUNDING * x[n - 1]))
        below++;
    return x[n - 1] > 0 && (double)below > 0.1 * (double)n;
}

static void set_type(sonde_spectrum_report *report)
{
    const double threshold = report->threshold_published > 0 ? report->threshold_published
                                                             : report->threshold_calibrated;
    if (report->type == SONDE_SPECTRUM_RANK_COLLAPSE || !(threshold > 0))
        return;
    if (report->statistic > 1.5 * threshold) /* published: 0.6 against 0.4 */
        report->type = SONDE_SPECTRUM_HEAVY_TAIL;
    else if (report->statistic > threshold || report->bleed > 0)
        report->type = SONDE_SPECTRUM_BULK_TRANSITION;
    else
        report->type = SONDE_SPECTRUM_LIGHT_TAIL;
}

static void set_thresholds(const sonde_spectrum_options *options, const sonde__spectrum_null *null,
                           sonde_spectrum_report *report)
{
    const bool large = report->rows >= PUBLISHED_LEAST, oblong = report->aspect <= PUBLISHED_ASPECT;
    const bool rare = null->threshold <= PUBLISHED_SLACK * options->published_c;
    const bool single = options->slices == 1;
    report->threshold_published = single && large && oblong && rare ? options->published_c : 0;
    report->threshold_calibrated = null->threshold;
    report->null_mean = null->mean;
    if (null->threshold > 0 || (large && oblong))
        report->validity = SONDE_VALID;
    else
        report->validity = large ? SONDE_NEARLY_SQUARE : SONDE_SMALL;
}

static void copy_fit(const sonde__spectrum_fit *fit, const sonde__eigenvalues *values,
                     sonde_spectrum_report *report)
{
    const int exponent = values->exponent;
    report->validity = fit->validity;
    report->sigma2 = ldexp(fit->sigma2, 2 * exponent);
    report->edge = ldexp(fit->edge, 2 * exponent);
    report->spikes = (int)(values->count - fit->kept);
    for (size_t i = fit->kept; i < values->count; i++)
        report->bleed += values->x[i] <= fit->edge + BLEED_WIDTHS * fit->edge_unit;
    report->mp_low = ldexp(fit->law.low, 2 * exponent);
    report->mp_high = ldexp(fit->law.high, 2 * exponent);
    report->distance = fit->distance;
    report->statistic = fit->statistic;
}

static double statistic_with_spikes(const sonde__spectrum_ensemble *ensemble, const double *x)
{
    sonde__spectrum_ensemble all = *ensemble;
    all.remove_spikes = false;
    return sonde__spectrum_fit_all(&all, x).statistic;
}

/* Everything about the law. */
static sonde_status compare(sonde_context *context, const sonde__eigenvalues *values,
                            const sonde_spectrum_options *options, sonde_spectrum_report *report)
{
    const double *const x = values->x;
    const size_t n = report->rows, count = values->count;
    report->type = rank_collapsed(x, count) ? SONDE_SPECTRUM_RANK_COLLAPSE : SONDE_SPECTRUM_UNKNOWN;
    report->validity = n < SONDE__SPECTRUM_LEAST ? SONDE_TOO_FEW : SONDE_VALID;
    if (!(x[count - 1] > 0) || (count > 1 && x[count - 2] <= ROUNDING * x[count - 1]))
        report->validity = SONDE_DEGENERATE;
    if (report->validity != SONDE_VALID)
        return SONDE_OK;
    sonde__spectrum_ensemble ensemble;
    sonde__spectrum_null null = {0, 0};
    SONDE_TRY(sonde__spectrum_ensemble_init(context, n, report->cols, options, &ensemble));
    sonde__spectrum_fit fit = sonde__spectrum_fit_all(&ensemble, x);
    if (fit.sigma2 <= ROUNDING * x[count - 1]) { /* a bulk of rounding errors: low rank */
        fit = (sonde__spectrum_fit){.validity = SONDE_DEGENERATE, .kept = count};
    }
    copy_fit(&fit, values, report);
    if (fit.validity == SONDE_VALID)
        report->statistic_with_spikes = statistic_with_spikes(&ensemble, x);
    sonde_status status = SONDE_OK;
    if (fit.validity == SONDE_VALID && options->calibrate && n >= CALIBRATED_LEAST)
        status = sonde__spectrum_null_find(context, &ensemble, options, &null);
    sonde__spectrum_ensemble_free(context, &ensemble);
    if (status == SONDE_OK && fit.validity == SONDE_VALID) {
        set_thresholds(options, &null, report);
        set_type(report);
    }
    return status;
}

/* In units of one, with the largest eigenvalue anywhere in the range of doubles. */
static void forget_out_of_range(sonde_spectrum_report *report)
{
    if (isfinite(report->largest) && isfinite(report->frobenius) && isfinite(report->edge) &&
        isfinite(report->mp_high))
        return;
    *report = (sonde_spectrum_report){.rows = report->rows,
                                      .cols = report->cols,
                                      .aspect = report->aspect,
                                      .validity = SONDE_OUT_OF_RANGE};
}

sonde_status sonde__spectrum_judge_scaled(sonde_context *context, const sonde__eigenvalues *values,
                                          const sonde_spectrum_options *options,
                                          sonde_spectrum_report *report)
{
    describe(values, report);
    SONDE_TRY(compare(context, values, options, report));
    forget_out_of_range(report);
    return SONDE_OK;
}

/* What is wrong with eigenvalues from elsewhere; `*finite` tells whether they may be judged. */
static const char *eigenvalues_problem(const double *eigenvalues, size_t count, bool *finite)
{
    *finite = true;
    for (size_t i = 0; i < count; i++)
        *finite = *finite && isfinite(eigenvalues[i]);
    if (!*finite)
        return NULL;
    if (eigenvalues[0] < 0)
        return "the smallest eigenvalue is negative";
    for (size_t i = 1; i < count; i++)
        if (eigenvalues[i] < eigenvalues[i - 1])
            return "the eigenvalues are not in ascending order";
    return NULL;
}

static const char *count_problem(size_t count, size_t rows, size_t cols,
                                 const sonde_spectrum_options *options)
{
    const size_t n = rows < cols ? rows : cols, slices = (size_t)options->slices;
    if (n == 0)
        return "rows and cols must be at least 1";
    if (count % slices != 0 || count / slices != n)
        return "the count is not slices times the shorter side";
    return count > SONDE__SPECTRUM_COUNT_MAX ? "more than 2^24 eigenvalues are not supported"
                                             : NULL;
}

sonde_status sonde__spectrum_judge_quiet(sonde_context *context, const double *eigenvalues,
                                         size_t count, size_t rows, size_t cols,
                                         const sonde_spectrum_options *options,
                                         sonde_spectrum_report *report, const char **problem)
{
    sonde_spectrum_options own;
    bool finite;
    SONDE_TRY(sonde__spectrum_options_take(options, &own, problem));
    if ((*problem = count_problem(count, rows, cols, &own)))
        return SONDE_ERROR_SHAPE;
    if ((*problem = eigenvalues_problem(eigenvalues, count, &finite)))
        return SONDE_ERROR_RANGE;
    sonde_spectrum_report made = sonde__spectrum_report_of(rows, cols);
    sonde_status status = SONDE_OK;
    if (!finite) {
        made.validity = SONDE_NOT_FINITE;
    } else {
        double *const x = sonde__alloc_quiet(context, count, sizeof *x);
        if (!x)
            return SONDE_ERROR_MEMORY;
        sonde__eigenvalues values = {x, count, 0};
        if (eigenvalues[count - 1] > 0)
            frexp(sqrt(eigenvalues[count - 1]), &values.exponent);
        for (size_t i = 0; i < count; i++)
            x[i] = ldexp(eigenvalues[i], -2 * values.exponent);
        status = sonde__spectrum_judge_scaled(context, &values, &own, &made);
        sonde__free(context, x);
    }
    if (status == SONDE_OK)
        *report = made;
    return status;
}

sonde_status sonde_spectrum_judge(sonde_context *context, const double *eigenvalues, size_t count,
                                  size_t rows, size_t cols, const sonde_spectrum_options *options,
                                  sonde_spectrum_report *report)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!eigenvalues || !report)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "the %s pointer is NULL",
                           eigenvalues ? "report" : "eigenvalue");
    const char *problem = NULL;
    const sonde_status status = sonde__spectrum_judge_quiet(context, eigenvalues, count, rows, cols,
                                                            options, report, &problem);
    if (status != SONDE_OK)
        return sonde__fail(context, status, "%zu eigenvalues of %zu x %zu matrices: %s", count,
                           rows, cols, problem ? problem : sonde_status_sentence(status));
    return SONDE_OK;
}
