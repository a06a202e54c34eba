/*
 * One layer's spectrum: its eigenvalues X = s^2 / N, then everything that is read off them.
 *
 * What concerns this layer alone (numbers that do not converge, a format that turns out unreadable)
 * skips it; memory, cancelling and a file that fails are statuses for the scheduler.
 */
#include "model/survey_internal.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "num/density.h"
#include "num/rank.h"
#include "num/singular.h"
#include "signal/spectrum.h"
#include "signal/spectrum_shape.h"

/* Room for what reading allocates: buffers of the model, of its unpacking. */
enum { READING_BYTES = 512 << 10 };

static size_t shorter(const sonde__matrix *matrix)
{
    return matrix->rows < matrix->cols ? matrix->rows : matrix->cols;
}

static size_t longer(const sonde__matrix *matrix)
{
    return matrix->rows < matrix->cols ? matrix->cols : matrix->rows;
}

/* An adapter without its base, whose product is never formed. */
static bool is_product(const sonde__matrix *matrix)
{
    return matrix->lora.rank > 0 && !matrix->lora.has_base;
}

static sonde__product product_shape(const sonde__matrix *matrix)
{
    return (sonde__product){.rows = matrix->rows, .rank = matrix->lora.rank, .cols = matrix->cols};
}

void sonde__layer_skip(sonde__survey_run *run, sonde__survey_layer *layer, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    sonde__vformat(text, sizeof text, format, arguments);
    va_end(arguments);
    if (layer->skipped)
        return;
    const size_t size = strlen(text) + 1;
    layer->skipped = sonde__alloc_quiet(run->context, size, 1);
    if (layer->skipped)
        memcpy(layer->skipped, text, size);
    layer->result.skipped = layer->skipped ? layer->skipped : "no spectrum (memory is exhausted)";
}

/* --- planning ----------------------------------------------------------------------------------- */

size_t sonde__layer_count(const sonde__matrix *matrix)
{
    const sonde__product product = product_shape(matrix);
    return is_product(matrix) ? sonde__product_count(&product) : shorter(matrix) * matrix->slices;
}

static size_t values_memory(const sonde__survey_run *run, const sonde__matrix *matrix)
{
    const sonde__product product = product_shape(matrix);
    if (is_product(matrix))
        return sonde__product_memory(&product);
    if (run->options->fast)
        return sonde__spectral_density_memory(matrix->rows, matrix->cols);
    return sonde__singular_values_memory(matrix->rows, matrix->cols, SONDE__SVD_SQUARES);
}

size_t sonde__layer_memory(const sonde__survey_run *run, const sonde__matrix *matrix)
{
    const size_t values = values_memory(run, matrix);
    size_t results = 0, sum = 0;
    if (values == 0 || !sonde__multiply(sonde__layer_count(matrix), 2 * sizeof(double), &results) ||
        !sonde__add(values, results, &sum) ||
        !sonde__add(sum, sonde__source_memory(matrix) + READING_BYTES, &sum))
        return 0;
    return sum;
}

double sonde__layer_work(const sonde__survey_run *run, const sonde__matrix *matrix)
{
    const double entries = (double)matrix->rows * (double)matrix->cols;
    const double reading = 20 * entries; /* a number read costs about as much as these operations */
    const double rank = (double)matrix->lora.rank;
    if (is_product(matrix))
        return 30 * rank * (rank + 10) * (double)(matrix->rows + matrix->cols);
    const double values =
        run->options->fast
            ? sonde__spectral_density_work(matrix->rows, matrix->cols)
            : sonde__singular_values_work(matrix->rows, matrix->cols, SONDE__SVD_SQUARES);
    return (double)matrix->slices * (values + reading) + 2 * rank * entries;
}

/* --- values ------------------------------------------------------------------------------------- */

/* Singular values in units of 2^exponent become X = s^2 / N. */
static void square(double *values, size_t count, int exponent, size_t width)
{
    for (size_t i = 0; i < count; i++)
        values[i] = ldexp(values[i] * values[i] / (double)width, 2 * exponent);
}

/* One matrix's eigenvalues, ascending. */
static sonde_status exact_values(sonde__survey_run *run, sonde__source *source, double *values)
{
    const sonde__tiles tiles = sonde__source_tiles(source);
    const sonde__matrix *const matrix = source->layer->matrix;
    sonde__svd_facts facts = {0};
    SONDE_TRY(sonde__singular_values(run->context, &tiles, SONDE__SVD_SQUARES, values, &facts));
    source->layer->nonfinite += facts.nonfinite;
    const size_t n = shorter(matrix);
    const double largest = values[n - 1];
    square(values, n, facts.exponent, longer(matrix));
    if (largest > 0 && !(values[n - 1] >= DBL_MIN && values[n - 1] <= DBL_MAX))
        source->layer->range = true;
    return SONDE_OK;
}

static sonde_status fast_values(sonde__survey_run *run, sonde__source *source, double *values)
{
    const sonde__tiles tiles = sonde__source_tiles(source);
    const size_t n = shorter(source->layer->matrix);
    sonde__density density = {0};
    SONDE_TRY(sonde__spectral_density(run->context, &tiles, values, &density));
    source->layer->nonfinite += density.nonfinite;
    const double largest = values[n - 1];
    for (size_t i = 0; i < n; i++)
        values[i] = ldexp(values[i], 2 * density.exponent);
    if (largest > 0 && !(values[n - 1] >= DBL_MIN && values[n - 1] <= DBL_MAX))
        source->layer->range = true;
    source->layer->result.error_bound =
        fmax(source->layer->result.error_bound, density.error_bound);
    return SONDE_OK;
}

static sonde_status adapter_values(sonde__survey_run *run, sonde__source *source, double *values)
{
    const size_t count = sonde__product_count(&source->product);
    SONDE_TRY(
        sonde__product_values(run->context, &source->product, values, &source->layer->nonfinite));
    square(values, count, 0, longer(source->layer->matrix));
    source->layer->range = !isfinite(values[count - 1]);
    return SONDE_OK;
}

/* Every slice's values, then all of them ascending. */
static sonde_status all_values(sonde__survey_run *run, sonde__source *source, double *values,
                               double *scratch)
{
    const sonde__matrix *const matrix = source->layer->matrix;
    const size_t n = shorter(matrix);
    for (size_t p = 0; p < matrix->slices; p++) {
        source->slice = p;
        if (run->options->fast)
            SONDE_TRY(fast_values(run, source, values + p * n));
        else
            SONDE_TRY(exact_values(run, source, values + p * n));
    }
    if (scratch && source->layer->nonfinite == 0 && !source->layer->range)
        sonde__sort(values, n * matrix->slices, scratch);
    return SONDE_OK;
}

static sonde_status compute(sonde__survey_run *run, sonde__survey_layer *layer, double *values,
                            double *scratch)
{
    sonde__source source;
    sonde_status status = sonde__source_open(run, layer, &source);
    if (status == SONDE_OK)
        status = is_product(layer->matrix) ? adapter_values(run, &source, values)
                                           : all_values(run, &source, values, scratch);
    sonde__source_close(&source);
    return status;
}

/* What is only this layer's trouble skips it. */
static sonde_status forgive(sonde__survey_run *run, sonde__survey_layer *layer, sonde_status status,
                            const char *what)
{
    const sonde__matrix *const matrix = layer->matrix;
    if (status == SONDE_OK || status == SONDE_ERROR_MEMORY || status == SONDE_ERROR_CANCELLED ||
        layer->read_failed)
        return status;
    sonde__layer_skip(run, layer, "%zu x %zu: %s", matrix->rows, matrix->cols, what);
    return SONDE_OK;
}

sonde_status sonde__layer_values(sonde__survey_run *run, sonde__survey_layer *layer)
{
    const sonde__matrix *const matrix = layer->matrix;
    const size_t count = sonde__layer_count(matrix);
    layer->nonfinite = 0;
    layer->range = false;
    layer->result.error_bound = 0;
    double *const values = sonde__alloc_quiet(run->context, count, sizeof *values);
    double *const scratch = values && matrix->slices > 1
                                ? sonde__alloc_quiet(run->context, count, sizeof *scratch)
                                : NULL;
    sonde_status status = SONDE_ERROR_MEMORY;
    if (values && (scratch || matrix->slices == 1))
        status = compute(run, layer, values, scratch);
    sonde__free(run->context, scratch);
    if (status == SONDE_OK && !layer->skipped)
        layer->eigenvalues = values;
    else
        sonde__free(run->context, values);
    return forgive(run, layer, status,
                   status == SONDE_ERROR_UNSUPPORTED
                       ? "more than 32000 rows and columns are not supported"
                       : "the singular values did not converge");
}

/* --- judging ------------------------------------------------------------------------------------ */

/* Without numbers to judge: a report that says why. */
static void report_invalid(sonde__survey_layer *layer, sonde_validity validity)
{
    layer->result.report = sonde__spectrum_report_of(layer->matrix->rows, layer->matrix->cols);
    layer->result.report.validity = validity;
    layer->result.shape.power_law = validity;
    memset(layer->eigenvalues, 0, layer->result.count * sizeof *layer->eigenvalues);
}

static sonde_status judge_values(sonde__survey_run *run, sonde__survey_layer *layer,
                                 const double *values, size_t count, const char **problem)
{
    const sonde__matrix *const matrix = layer->matrix;
    sonde_spectrum_options options = run->options->spectrum;
    options.slices = (int)matrix->slices;
    SONDE_TRY(sonde__spectrum_judge_quiet(run->context, values, count, matrix->rows, matrix->cols,
                                          &options, &layer->result.report, problem));
    return sonde__spectrum_shape_quiet(run->context, values, count, &layer->result.report,
                                       &layer->result.shape, problem);
}

/* A product of rank r has min(rows, cols) - r eigenvalues that are 0 by construction: the report
 * counts them, for which reason it calls the product neither collapsed nor anything else. */
static sonde_status judge_product(sonde__survey_run *run, sonde__survey_layer *layer,
                                  const char **problem)
{
    const size_t n = shorter(layer->matrix), count = layer->result.count;
    double *const padded = sonde__alloc_quiet(run->context, n, sizeof *padded);
    if (!padded)
        return SONDE_ERROR_MEMORY;
    memset(padded, 0, n * sizeof *padded);
    memcpy(padded + n - count, layer->eigenvalues, count * sizeof *padded);
    const sonde_status status = judge_values(run, layer, padded, n, problem);
    layer->result.report.type = SONDE_SPECTRUM_UNKNOWN;
    sonde__free(run->context, padded);
    return status;
}

sonde_status sonde__layer_judge(sonde__survey_run *run, sonde__survey_layer *layer)
{
    const char *problem = NULL;
    sonde_status status = SONDE_OK;
    layer->result.count = sonde__layer_count(layer->matrix);
    if (layer->nonfinite > 0)
        report_invalid(layer, SONDE_NOT_FINITE);
    else if (layer->range)
        report_invalid(layer, SONDE_OUT_OF_RANGE);
    else if (is_product(layer->matrix))
        status = judge_product(run, layer, &problem);
    else
        status = judge_values(run, layer, layer->eigenvalues, layer->result.count, &problem);
    layer->result.eigenvalues = layer->eigenvalues;
    return forgive(run, layer, status, problem ? problem : sonde_status_sentence(status));
}
