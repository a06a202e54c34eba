/*
 * The spectral criterion: one weight matrix in, its eigenvalues and their distance from the
 * Marchenko-Pastur law out, with the thresholds that fit its shape and a named type.
 *
 * Eigenvalues are X = s^2 / N of the singular values s (src/num/singular.h), N the longer side, in
 * units of a power of four, so that neither large nor tiny entries leave the range of doubles.
 * Source: JMLR 24(28) 2023 (methods sections 3.1 to 3.4). Invariant: nothing here touches the
 * context's error record except sonde_spectrum itself, since workers run the rest.
 */
#include "signal/spectrum.h"

#include <math.h>
#include <string.h>

#include "num/formats.h"
#include "num/linalg.h"
#include "num/mp.h"
#include "num/singular.h"

void sonde_spectrum_options_init(sonde_spectrum_options *options)
{
    *options = (sonde_spectrum_options){.size = sizeof *options,
                                        .fit = SONDE_MP_EXTREMES,
                                        .published_c = 0.4,
                                        .false_alarm = 0.01,
                                        .calibrate = true,
                                        .remove_spikes = true,
                                        .spike_level = 0.99,
                                        .slices = 1};
}

const char *sonde_spectrum_type_name(sonde_spectrum_type type)
{
    switch (type) {
    case SONDE_SPECTRUM_UNKNOWN:
        break;
    case SONDE_SPECTRUM_LIGHT_TAIL:
        return "LT";
    case SONDE_SPECTRUM_BULK_TRANSITION:
        return "BT";
    case SONDE_SPECTRUM_HEAVY_TAIL:
        return "HT";
    case SONDE_SPECTRUM_RANK_COLLAPSE:
        return "RC";
    }
    return "--";
}

double sonde_marchenko_pastur_density(double x, double low, double high)
{
    if (!(low >= 0 && high > low && isfinite(high)))
        return 0;
    const sonde__mp law = sonde__mp_from_extremes(low, high);
    return sonde__mp_density(&law, x);
}

const char *sonde__spectrum_options_problem(const sonde_spectrum_options *options)
{
    if (options->size != sizeof *options)
        return "the spectrum options were not set by sonde_spectrum_options_init";
    if (options->fit != SONDE_MP_EXTREMES && options->fit != SONDE_MP_BULK)
        return "the fit is neither SONDE_MP_EXTREMES nor SONDE_MP_BULK";
    if (!(options->published_c > 0 && options->published_c < 100))
        return "published_c must be above 0 and below 100";
    if (!(options->false_alarm >= 1e-4 && options->false_alarm <= 0.5))
        return "false_alarm must lie in [0.0001, 0.5]";
    if (options->spike_level != 0.95 && options->spike_level != 0.99)
        return "spike_level must be 0.95 or 0.99";
    if (options->slices < 1)
        return "slices must be at least 1";
    return NULL;
}

sonde_status sonde__spectrum_options_take(const sonde_spectrum_options *options,
                                          sonde_spectrum_options *own, const char **problem)
{
    sonde_spectrum_options_init(own);
    *problem = options ? sonde__spectrum_options_problem(options) : NULL;
    if (*problem)
        return options->size == sizeof *options ? SONDE_ERROR_RANGE : SONDE_ERROR_ARGUMENT;
    if (options)
        *own = *options;
    return SONDE_OK;
}

sonde_spectrum_report sonde__spectrum_report_of(size_t rows, size_t cols)
{
    const size_t n = rows <= cols ? rows : cols, longer = rows <= cols ? cols : rows;
    return (sonde_spectrum_report){.rows = n, .cols = longer, .aspect = (double)n / (double)longer};
}

/* Fills the report, and x (n doubles) with the eigenvalues. */
static sonde_status measure(sonde_context *context, const sonde_matrix *weight,
                            const sonde_spectrum_options *options, sonde_spectrum_report *report,
                            double *x)
{
    sonde__svd_facts facts;
    const sonde__tiles tiles = sonde__tiles_of_matrix(weight);
    SONDE_TRY(sonde__singular_values(context, &tiles, SONDE__SVD_SQUARES, x, &facts));
    if (facts.nonfinite > 0) {
        report->validity = SONDE_NOT_FINITE;
        return SONDE_OK; /* x is all zeros */
    }
    for (size_t i = 0; i < report->rows; i++)
        x[i] = x[i] * x[i] / (double)report->cols;
    const sonde__eigenvalues values = {x, report->rows, facts.exponent};
    SONDE_TRY(sonde__spectrum_judge_scaled(context, &values, options, report));
    if (report->validity == SONDE_OUT_OF_RANGE)
        memset(x, 0, report->rows * sizeof *x);
    for (size_t i = 0; i < report->rows; i++)
        x[i] = ldexp(x[i], 2 * facts.exponent);
    return SONDE_OK;
}

static const char *sentence_of(sonde_status status)
{
    switch ((int)status) {
    case SONDE_ERROR_UNSUPPORTED:
        return "a matrix with more than 32000 rows and columns is not supported";
    case SONDE_ERROR_NUMERIC:
        return "the eigenvalues did not converge";
    case SONDE_ERROR_MEMORY:
        return "memory for the spectrum is not to be had";
    default:
        return NULL;
    }
}

sonde_status sonde__spectrum_quiet(sonde_context *context, const sonde_matrix *weight,
                                   const sonde_spectrum_options *options,
                                   sonde_spectrum_report *report, double *eigenvalues,
                                   const char **problem)
{
    sonde_spectrum_options own;
    SONDE_TRY(sonde__spectrum_options_take(options, &own, problem));
    *problem = sonde__matrix_problem(weight);
    if (*problem)
        return SONDE_ERROR_SHAPE;
    if (own.slices != 1) {
        *problem = "slices are pooled by sonde_spectrum_judge; for one matrix it must be 1";
        return SONDE_ERROR_RANGE;
    }
    sonde_spectrum_report made = sonde__spectrum_report_of(weight->rows, weight->cols);
    sonde_status status = SONDE_ERROR_UNSUPPORTED;
    double *x = NULL;
    if (made.rows <= SONDE__ORDER_MAX) {
        x = sonde__alloc_quiet(context, made.rows, sizeof *x);
        status = x ? measure(context, weight, &own, &made, x) : SONDE_ERROR_MEMORY;
    }
    if (status == SONDE_OK) {
        *report = made;
        if (eigenvalues)
            memcpy(eigenvalues, x, made.rows * sizeof *x);
    }
    sonde__free(context, x);
    *problem = sentence_of(status);
    return status;
}

sonde_status sonde_spectrum(sonde_context *context, const sonde_matrix *weight,
                            const sonde_spectrum_options *options, sonde_spectrum_report *report,
                            double *eigenvalues)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!report)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "the report pointer is NULL");
    SONDE_TRY(sonde__matrix_check(context, weight, "the weight matrix"));
    const char *problem = NULL;
    const sonde_status status =
        sonde__spectrum_quiet(context, weight, options, report, eigenvalues, &problem);
    if (status != SONDE_OK)
        return sonde__fail(context, status, "spectrum of a %zu x %zu matrix: %s", weight->rows,
                           weight->cols, problem ? problem : sonde_status_sentence(status));
    return SONDE_OK;
}
