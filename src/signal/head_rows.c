/*
 * The head probe row by row: what a row of logits and its target tell (loss, accuracy, confidence,
 * entropy, margins), and its residual R = dL/dO, from which the gradient's norm is formed.
 * Source: arXiv 2601.16874; docs/head-gradient.md.
 *
 * Invariant: a residual is added to the column sums exactly once. Where all residuals are few enough
 * to be kept each exponential is computed once; else they are computed again, a stretch at a time.
 */
#include <math.h>
#include <string.h>

#include "num/formats.h"
#include "signal/head_internal.h"
#include "signal/head_loops.h"

enum { STRETCH = 128 };

void sonde__head_read_row(const sonde_matrix *matrix, size_t row, size_t first, size_t n,
                          double *out)
{
    if (matrix->dtype == SONDE_F32)
        convert_floats(out,
                       (const float *)matrix->data + row * sonde__matrix_stride(matrix) + first, n);
    else
        sonde__matrix_row(matrix, row, first, n, out);
}

static double sum_of(const double *x, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* log(1 + exp(x)) */
static double softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static double smooth_base(const sonde__head_work *work)
{
    return work->batch->label_smoothing / (double)work->outputs;
}

static void target_row(const sonde__head_work *work, size_t row, double *out)
{
    const sonde_head_batch *batch = work->batch;
    if (batch->targets.data) {
        sonde__head_read_row(&batch->targets, row, 0, work->outputs, out);
        return;
    }
    for (size_t c = 0; c < work->outputs; c++)
        out[c] = smooth_base(work);
    out[batch->labels[row]] += 1 - batch->label_smoothing;
}

/* The largest of x without element `skip`; needs two elements. */
static double largest_without(const double *x, size_t n, size_t skip)
{
    return larger(largest_of(x, skip), largest_of(x + skip + 1, n - skip - 1));
}

/* Sums of exponentials of one row: without the label's term, and with it. Without targets the label is
 * kept apart, so that neither loss nor residual of a well-fitted row drowns in the 1 that would be
 * subtracted. */
typedef struct row_sums {
    double all, others, weighted;
} row_sums;

static row_sums row_sums_of(const sonde__head_work *work, size_t row, double largest)
{
    const double *o = work->logits;
    size_t n = work->outputs;
    double *exps = work->exps;
    row_sums sums = {0};
    if (work->batch->targets.data) {
        sums.all = exp_sums(o, n, largest, exps, &sums.weighted);
        return sums;
    }
    size_t y = (size_t)work->batch->labels[row];
    double before, after, own = exp_negative(o[y] - largest);
    sums.others = exp_sums(o, y, largest, exps, &before);
    sums.others += exp_sums(o + y + 1, n - y - 1, largest, exps + y + 1, &after);
    exps[y] = own;
    sums.all = sums.others + own;
    sums.weighted = before + after + own * (o[y] - largest);
    return sums;
}

static double softmax_loss(const sonde__head_work *work, size_t row, sonde__head_row *facts,
                           const row_sums *sums)
{
    const sonde_head_batch *batch = work->batch;
    const double *o = work->logits;
    double log_sum = facts->largest + log(sums->all), loss = 0;
    if (batch->targets.data) {
        for (size_t c = 0; c < work->outputs; c++)
            loss += work->targets[c] * (log_sum - o[c]);
        return loss;
    }
    double own_logit = o[batch->labels[row]], smoothing = batch->label_smoothing;
    facts->label_residual = -sums->others / sums->all + smoothing - smooth_base(work);
    double own = exp_negative(own_logit - facts->largest);
    double hard = own > sums->others ? log1p(sums->others / own) : log_sum - own_logit;
    if (smoothing == 0)
        return hard;
    double mean = sum_of(o, work->outputs) / (double)work->outputs;
    return (1 - smoothing) * hard + smoothing * (log_sum - mean);
}

static double sigmoid_loss(sonde__head_work *work, const double *o, double *entropy, double *best)
{
    double loss = 0;
    for (size_t c = 0; c < work->outputs; c++) {
        double p = sigmoid(o[c]);
        loss += softplus(o[c]) - work->targets[c] * o[c];
        *entropy += p * softplus(-o[c]) + (1 - p) * softplus(o[c]);
        *best = larger(*best, p);
    }
    return loss / (double)work->outputs;
}

static double squared_loss(const sonde__head_work *work, const double *o)
{
    double loss = 0;
    for (size_t c = 0; c < work->outputs; c++)
        loss += (o[c] - work->targets[c]) * (o[c] - work->targets[c]);
    return loss / (double)work->outputs;
}

static void add_softmax_row(sonde__head_work *work, size_t row, sonde__head_row *facts,
                            double second)
{
    const row_sums sums = row_sums_of(work, row, facts->largest);
    facts->scale = 1 / sums.all;
    work->loss += softmax_loss(work, row, facts, &sums);
    work->confidence += facts->scale;
    work->entropy += log(sums.all) - sums.weighted * facts->scale;
    if (work->outputs > 1)
        work->margin += (1 - exp_negative(second - facts->largest)) * facts->scale;
}

static void add_sigmoid_row(sonde__head_work *work, double largest, double second)
{
    double entropy = 0, best = 0;
    work->loss += sigmoid_loss(work, work->logits, &entropy, &best);
    work->confidence += best;
    work->entropy += entropy;
    if (work->outputs > 1)
        work->margin += sigmoid(largest) - sigmoid(second);
}

static bool read_finite_row(sonde__head_work *work, size_t row)
{
    sonde__head_read_row(&work->batch->logits, row, 0, work->outputs, work->logits);
    bool by_labels = work->batch->kind == SONDE_HEAD_SOFTMAX && !work->batch->targets.data;
    if (!by_labels)
        target_row(work, row, work->targets);
    return all_finite(work->logits, work->outputs) &&
           (by_labels || all_finite(work->targets, work->outputs));
}

static void add_statistics(sonde__head_work *work, size_t row)
{
    const sonde_head_batch *batch = work->batch;
    sonde__head_row *facts = &work->facts[row];
    const double *o = work->logits;
    size_t n = work->outputs;
    facts->largest = largest_of(o, n);
    size_t best = first_equal(o, n, facts->largest);
    double second = n > 1 ? largest_without(o, n, best) : facts->largest;
    facts->target_sum = batch->targets.data ? sum_of(work->targets, n) : 1;
    if (batch->labels) {
        size_t label = (size_t)batch->labels[row];
        work->correct += best == label;
        if (n > 1)
            work->true_margin += o[label] - (label == best ? second : facts->largest);
    }
    if (batch->kind == SONDE_HEAD_SOFTMAX)
        add_softmax_row(work, row, facts, second);
    else if (batch->kind == SONDE_HEAD_SIGMOID)
        add_sigmoid_row(work, facts->largest, second);
    else
        work->loss += squared_loss(work, o);
}

/* --- residuals --------------------------------------------------------------------------------- */

static void subtract_labels(const sonde__head_work *work, size_t row, size_t first, size_t n,
                            double *out)
{
    const sonde_head_batch *batch = work->batch;
    double base = smooth_base(work);
    if (base != 0)
        for (size_t i = 0; i < n; i++)
            out[i] -= base;
    size_t label = (size_t)batch->labels[row];
    if (label < first || label >= first + n)
        return;
    double *own = &out[label - first];
    *own = batch->kind == SONDE_HEAD_SOFTMAX ? work->facts[row].label_residual
                                             : *own - (1 - batch->label_smoothing);
}

static void subtract_targets(const sonde__head_work *work, size_t row, size_t first, size_t n,
                             double *out)
{
    double targets[STRETCH];
    for (size_t i = 0; i < n; i += STRETCH) {
        size_t m = n - i < STRETCH ? n - i : STRETCH;
        sonde__head_read_row(&work->batch->targets, row, first + i, m, targets);
        for (size_t j = 0; j < m; j++)
            out[i + j] -= targets[j];
    }
}

/* P for softmax and sigmoid, the output itself for squared errors. */
static void predictions(const sonde__head_work *work, size_t row, size_t first, size_t n,
                        double *out)
{
    const sonde_head_batch *batch = work->batch;
    const sonde__head_row *facts = &work->facts[row];
    sonde__head_read_row(&batch->logits, row, first, n, out);
    if (batch->kind == SONDE_HEAD_SOFTMAX)
        softmax(out, n, facts->largest, facts->scale * facts->target_sum);
    else if (batch->kind == SONDE_HEAD_SIGMOID)
        for (size_t i = 0; i < n; i++)
            out[i] = sigmoid(out[i]);
}

/* From predictions to residuals, which are added to the sums over rows that give the bias gradient:
 * once for each element, in the order of rows. */
static void subtract(const sonde__head_work *work, size_t row, size_t first, size_t n, double *out)
{
    if (work->batch->targets.data)
        subtract_targets(work, row, first, n, out);
    else
        subtract_labels(work, row, first, n, out);
    add_to(work->column_sums + first, out, n);
}

static void keep_residuals(const sonde__head_work *work, size_t row)
{
    double *kept = work->residuals + row * work->pitch;
    const sonde__head_row *facts = &work->facts[row];
    if (work->batch->kind == SONDE_HEAD_SOFTMAX)
        scale_all(kept, work->outputs, facts->scale * facts->target_sum);
    else
        predictions(work, row, 0, work->outputs, kept);
    subtract(work, row, 0, work->outputs, kept);
}

void sonde__head_fill_residuals(const void *user, size_t row, size_t first, size_t n, double *out)
{
    const sonde__head_work *work = user;
    if (work->residuals) {
        memcpy(out, work->residuals + row * work->pitch + first, n * sizeof *out);
        return;
    }
    predictions(work, row, first, n, out);
    subtract(work, row, first, n, out);
}

/* --- the calls --------------------------------------------------------------------------------- */

bool sonde__head_add_row(sonde__head_work *work, size_t row)
{
    if (!read_finite_row(work, row))
        return false;
    if (work->residuals) /* in place: exponentials are the larger part of a residual's cost */
        work->exps = work->residuals + row * work->pitch;
    add_statistics(work, row);
    if (work->residuals)
        keep_residuals(work, row);
    return true;
}

sonde_validity sonde__head_weight_norm(const sonde_matrix *weight, double *row, double *norm)
{
    size_t features = weight->cols;
    double sum = 0;
    if (!weight->data)
        return SONDE_NOT_MEASURED;
    for (size_t c = 0; c < weight->rows; c++) {
        double part;
        if (weight->dtype == SONDE_F32)
            part = sum_of_float_squares(
                (const float *)weight->data + c * sonde__matrix_stride(weight), features);
        else {
            sonde__head_read_row(weight, c, 0, features, row);
            part = sum_of_squares(row, features);
        }
        if (!isfinite(part)) {
            sonde__head_read_row(weight, c, 0, features, row);
            if (!all_finite(row, features))
                return SONDE_NOT_FINITE;
        }
        sum += part;
    }
    *norm = sqrt(sum);
    return sum == 0 ? SONDE_DEGENERATE : isfinite(sum) ? SONDE_VALID : SONDE_OUT_OF_RANGE;
}
