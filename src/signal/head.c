/*
 * The head-gradient probe: the norm of the loss's gradient with respect to the last layer's weights,
 * in closed form from features Z (B x d), logits O (B x C) and targets Y (B x C),
 *
 *     g = dL/dW = R^T Z,   R = dL/dO   (softmax: (P - Y) / B),
 *
 * and what the same arrays tell besides: bias gradient, loss, accuracy, confidence, entropy, margins.
 * Source: arXiv 2601.16874 (v1 for the scores, v2 for the readouts beside them); docs/head-gradient.md.
 *
 * This file checks, borrows memory, and turns sums into scores; rows are read in head_rows.c, the norm
 * of the product is formed in product_norm.c, convolutional heads are unfolded in head_patches.c.
 *
 * Invariant: nothing of size B x C is held in double beyond a fixed megabyte. A score is only ever
 * filled through `set_score`, so that a number that is not finite cannot leave as valid.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/context.h"
#include "num/formats.h"
#include "signal/head_internal.h"
#include "signal/product_norm.h"

static const double TINY = 1e-12; /* the epsilon of the scaled scores */

/* Residuals are kept, instead of being computed again, up to 1 MiB of them. */
static const size_t KEPT_MOST = (size_t)1 << 17;

void sonde_head_batch_init(sonde_head_batch *batch)
{
    *batch = (sonde_head_batch){.size = sizeof *batch};
}

void sonde_head_patches_init(sonde_head_patches *patches)
{
    *patches = (sonde_head_patches){
        .size = sizeof *patches,
        .dtype = SONDE_F32,
        .kernel_height = 1,
        .kernel_width = 1,
        .stride = 1,
        .dilation = 1,
    };
}

/* --- checks ------------------------------------------------------------------------------------ */

static sonde_status check_labels(sonde_context *context, const sonde_head_batch *batch)
{
    for (size_t i = 0; i < batch->logits.rows; i++)
        if (batch->labels[i] < 0 || (uint64_t)batch->labels[i] >= batch->logits.cols)
            return sonde__fail(context, SONDE_ERROR_RANGE,
                               "head batch: label %lld of row %zu is not in [0, %zu)",
                               (long long)batch->labels[i], i, batch->logits.cols);
    return SONDE_OK;
}

static sonde_status check_shape(sonde_context *context, const sonde_matrix *matrix,
                                const char *what, size_t rows, size_t cols)
{
    SONDE_TRY(sonde__matrix_check(context, matrix, what));
    if (matrix->rows != rows || matrix->cols != cols)
        return sonde__fail(context, SONDE_ERROR_SHAPE, "head batch: %s is %zu x %zu, not %zu x %zu",
                           what, matrix->rows, matrix->cols, rows, cols);
    return SONDE_OK;
}

static sonde_status check_options(sonde_context *context, const sonde_head_batch *batch)
{
    if (batch->size != sizeof *batch)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "head batch: size is %zu, not %zu; fill it with sonde_head_batch_init",
                           batch->size, sizeof *batch);
    if (batch->kind != SONDE_HEAD_SOFTMAX && batch->kind != SONDE_HEAD_SIGMOID &&
        batch->kind != SONDE_HEAD_SQUARED)
        return sonde__fail(context, SONDE_ERROR_RANGE, "head batch: kind %d is unknown",
                           (int)batch->kind);
    if (batch->form != SONDE_FORM_AUTO && batch->form != SONDE_FORM_DIRECT &&
        batch->form != SONDE_FORM_GRAM)
        return sonde__fail(context, SONDE_ERROR_RANGE, "head batch: form %d is unknown",
                           (int)batch->form);
    if (!(batch->label_smoothing >= 0 && batch->label_smoothing < 1))
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "head batch: label_smoothing is %g; it must be in [0, 1)",
                           batch->label_smoothing);
    if (!batch->labels && !batch->targets.data)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "head batch: neither labels nor targets are given");
    return SONDE_OK;
}

/* `features` is the B x d shape of the head's inputs; the batch has at least one row. */
static sonde_status check_arrays(sonde_context *context, const sonde_head_batch *batch,
                                 const sonde_matrix *features)
{
    const sonde_matrix *logits = &batch->logits;
    SONDE_TRY(sonde__matrix_check(context, logits, "logits"));
    if (logits->rows != features->rows)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "head batch: %zu rows of features, %zu rows of logits", features->rows,
                           logits->rows);
    if (batch->targets.data)
        SONDE_TRY(check_shape(context, &batch->targets, "targets", logits->rows, logits->cols));
    if (batch->weight.data)
        SONDE_TRY(check_shape(context, &batch->weight, "weight", logits->cols, features->cols));
    return batch->labels ? check_labels(context, batch) : SONDE_OK;
}

/* --- scores ------------------------------------------------------------------------------------ */

static sonde_score set_score(sonde_validity validity, double value, double error,
                             sonde_direction direction)
{
    if (validity == SONDE_VALID && !isfinite(value))
        validity = SONDE_OUT_OF_RANGE;
    if (validity != SONDE_VALID)
        return (sonde_score){.direction = direction, .validity = validity};
    return (sonde_score){value, isfinite(error) ? error : 0, direction, SONDE_VALID};
}

/* Every score with the same validity, and their directions. */
static void set_all(sonde_head_report *report, sonde_validity validity)
{
    memset(report, 0, sizeof *report);
    report->raw = set_score(validity, 0, 0, SONDE_LOWER_IS_BETTER);
    report->head_scaled = report->feature_scaled = report->bias = report->loss = report->raw;
    report->accuracy = set_score(validity, 0, 0, SONDE_HIGHER_IS_BETTER);
    report->confidence = report->margin = report->true_margin = report->accuracy;
    report->entropy = report->raw;
}

static void set_readouts(const sonde__head_work *work, sonde_head_report *report)
{
    const sonde_head_batch *batch = work->batch;
    double b = (double)work->rows, unit = DBL_EPSILON * (4 + b / 8 + (double)work->outputs / 8);
    sonde_validity valid = SONDE_VALID, probabilities = SONDE_VALID, margins = SONDE_VALID;
    if (batch->kind == SONDE_HEAD_SQUARED)
        probabilities = margins = SONDE_NOT_MEASURED;
    else if (work->outputs < 2)
        margins = SONDE_TOO_FEW;
    if (batch->kind == SONDE_HEAD_SOFTMAX && work->outputs < 2)
        valid = probabilities = SONDE_DEGENERATE;
    sonde_validity labelled = batch->labels ? valid : SONDE_NOT_MEASURED;
    sonde_validity true_margin = batch->labels ? SONDE_VALID : SONDE_NOT_MEASURED;
    if (batch->labels && work->outputs < 2)
        true_margin = SONDE_TOO_FEW;
    const sonde_direction lower = SONDE_LOWER_IS_BETTER, higher = SONDE_HIGHER_IS_BETTER;
    report->loss = set_score(valid, work->loss / b, unit * fabs(work->loss / b) + unit / 8, lower);
    report->accuracy = set_score(labelled, work->correct / b, 0, higher);
    report->confidence = set_score(probabilities, work->confidence / b, unit, higher);
    report->entropy = set_score(probabilities, work->entropy / b, unit * 8, lower);
    report->margin = set_score(margins, work->margin / b, unit, higher);
    report->true_margin =
        set_score(true_margin, work->true_margin / b, unit * fabs(work->true_margin / b), higher);
}

static void set_bias(const sonde__head_work *work, sonde_head_report *report)
{
    double sum = 0;
    for (size_t c = 0; c < work->outputs; c++)
        sum += work->column_sums[c] * work->column_sums[c];
    double b = (double)work->rows;
    double scale = 1 / work->divisor;
    double error = DBL_EPSILON * (b / 2 + 8) * sqrt((double)work->outputs) * b * scale;
    sonde_validity validity = report->raw.validity == SONDE_DEGENERATE && work->outputs < 2 &&
                                      work->batch->kind == SONDE_HEAD_SOFTMAX
                                  ? SONDE_DEGENERATE
                                  : SONDE_VALID;
    report->bias = set_score(validity, sqrt(sum) * scale, error, SONDE_LOWER_IS_BETTER);
}

static void fill_features(const void *user, size_t row, size_t first, size_t n, double *out)
{
    sonde__head_read_row(user, row, first, n, out);
}

static bool has_nonfinite(const sonde__rows *rows, double *row)
{
    for (size_t i = 0; i < rows->rows; i++) {
        rows->fill(rows->user, i, 0, rows->cols, row);
        if (sonde__count_nonfinite(row, rows->cols, NULL) > 0)
            return true;
    }
    return false;
}

static void set_gradient(sonde__head_work *work, const sonde__rows *features,
                         const sonde__product_norm *norm, double *row, sonde_head_report *report)
{
    sonde_validity validity = SONDE_VALID;
    if (!isfinite(norm->right_squared))
        validity = has_nonfinite(features, row) ? SONDE_NOT_FINITE : SONDE_OUT_OF_RANGE;
    else if (norm->right_squared == 0)
        validity = SONDE_DEGENERATE;
    else if (work->batch->kind == SONDE_HEAD_SOFTMAX && work->outputs < 2)
        validity = SONDE_DEGENERATE;
    double root = sqrt(norm->squared);
    double raw = root / work->divisor;
    /* sqrt(s + e) - sqrt(s) <= min(sqrt e, e / 2 sqrt s) */
    double error =
        fmin(sqrt(norm->bound), root > 0 ? norm->bound / root : INFINITY) / work->divisor;
    const sonde_direction lower = SONDE_LOWER_IS_BETTER;
    report->form = norm->form;
    report->raw = set_score(validity, raw, error, lower);
    double row_norm = sqrt(norm->right_squared / (double)work->rows) + TINY;
    report->feature_scaled = set_score(validity, raw / row_norm, error / row_norm, lower);
    double weight = 0;
    sonde_validity weighed = sonde__head_weight_norm(&work->batch->weight, row, &weight);
    report->head_scaled = set_score(weighed != SONDE_VALID ? weighed : validity,
                                    raw / (weight + TINY), error / (weight + TINY), lower);
}

/* --- the whole --------------------------------------------------------------------------------- */

static double loss_divisor(const sonde__head_work *work)
{
    double b = (double)work->rows, c = (double)work->outputs;
    switch (work->batch->kind) {
    case SONDE_HEAD_SOFTMAX:
        return b;
    case SONDE_HEAD_SIGMOID:
        return b * c;
    default:
        return b * c / 2; /* the derivative of a square brings a factor 2 */
    }
}

static sonde_status measure(sonde__head_work *work, const sonde__rows *features, double *row,
                            sonde_head_report *report)
{
    set_all(report, SONDE_NOT_FINITE);
    for (size_t i = 0; i < work->rows; i++)
        if (!sonde__head_add_row(work, i))
            return SONDE_OK;
    work->divisor = loss_divisor(work);
    const sonde__rows residuals = {
        .rows = work->rows,
        .cols = work->outputs,
        .fill = sonde__head_fill_residuals,
        .user = work,
        .values = work->residuals,
        .pitch = work->pitch,
    };
    sonde__product_norm norm;
    SONDE_TRY(
        sonde__product_norm_of(work->context, &residuals, features, work->batch->form, &norm));
    set_gradient(work, features, &norm, row, report);
    set_bias(work, report);
    set_readouts(work, report);
    return SONDE_OK;
}

/* Room for the residuals of all rows, where they are few; false: memory is exhausted. */
static bool keep_residuals(sonde__head_work *work)
{
    if (work->outputs > KEPT_MOST / work->rows)
        return true;
    work->pitch = sonde__rows_pitch(work->outputs);
    work->residuals = sonde__rows_alloc(work->context, work->rows, work->outputs);
    return work->residuals != NULL;
}

/* Borrows scratch, measures, and hands the report out only when all went well. */
static sonde_status probe(sonde_context *context, const sonde_head_batch *batch,
                          const sonde__rows *features, sonde_head_report *report)
{
    sonde__head_work work = {.context = context,
                             .batch = batch,
                             .rows = batch->logits.rows,
                             .outputs = batch->logits.cols};
    size_t longest = work.outputs > features->cols ? work.outputs : features->cols;
    sonde_head_report filled;
    sonde_status status = SONDE_ERROR_MEMORY;
    work.facts = sonde__alloc(context, work.rows, sizeof *work.facts);
    work.column_sums = work.facts ? sonde__alloc_zero(context, work.outputs, sizeof(double)) : NULL;
    work.logits = work.column_sums ? sonde__alloc(context, longest, 3 * sizeof(double)) : NULL;
    if (work.logits && keep_residuals(&work)) {
        work.targets = work.logits + longest;
        work.exps = work.targets + longest;
        status = measure(&work, features, work.logits, &filled);
    }
    sonde__free(context, work.residuals);
    sonde__free(context, work.logits);
    sonde__free(context, work.column_sums);
    sonde__free(context, work.facts);
    if (status == SONDE_OK)
        *report = filled;
    return status;
}

sonde_status sonde_head_gradient(sonde_context *context, const sonde_head_batch *batch,
                                 sonde_head_report *report)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!batch || !report)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "head gradient: %s is NULL",
                           batch ? "report" : "batch");
    SONDE_TRY(check_options(context, batch));
    if (batch->logits.rows == 0 && batch->features.rows == 0) {
        set_all(report, SONDE_TOO_FEW);
        return SONDE_OK;
    }
    SONDE_TRY(sonde__matrix_check(context, &batch->features, "features"));
    SONDE_TRY(check_arrays(context, batch, &batch->features));
    const sonde__rows features = {.rows = batch->features.rows,
                                  .cols = batch->features.cols,
                                  .fill = fill_features,
                                  .user = &batch->features};
    return probe(context, batch, &features, report);
}

sonde_status sonde_head_gradient_patches(sonde_context *context, const sonde_head_patches *patches,
                                         const sonde_head_batch *batch, sonde_head_report *report)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!patches || !batch || !report)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "head gradient: patches, batch or report is NULL");
    SONDE_TRY(check_options(context, batch));
    sonde__head_patch_rows rows;
    sonde_matrix shape = {0};
    size_t count = 0;
    SONDE_TRY(sonde__head_check_patches(context, patches, &rows, &count, &shape));
    if (patches->batch == 0 && batch->logits.rows == 0) {
        set_all(report, SONDE_TOO_FEW);
        return SONDE_OK;
    }
    SONDE_TRY(check_arrays(context, batch, &shape));
    double *input = sonde__alloc(context, count, sizeof *input);
    if (!input)
        return SONDE_ERROR_MEMORY;
    sonde__to_doubles(input, patches->input, patches->dtype, 0, count);
    rows.input = input;
    const sonde__rows features = {
        .rows = shape.rows, .cols = shape.cols, .fill = sonde__head_fill_patches, .user = &rows};
    sonde_status status = probe(context, batch, &features, report);
    sonde__free(context, input);
    return status;
}
