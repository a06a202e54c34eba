/*
 * The head-gradient probe: the norm of the loss's gradient with respect to the last layer's weights,
 * in closed form from features Z (B x d), logits O (B x C) and targets Y (B x C),
 *
 *     g = dL/dW = R^T Z,   R = dL/dO   (softmax: (P - Y) / B),
 *
 * and what the same arrays tell besides: bias gradient, loss, accuracy, confidence, entropy, margins.
 * Source: arXiv 2601.16874 (v1 for the scores, v2 for the readouts beside them); docs/head-gradient.md.
 *
 * Invariant: logits are read once for the statistics of each row, and again, a stretch at a time, for
 * the residuals; nothing of size B x C is ever held in double. A score is only ever filled through
 * `set_score`, so that a number that is not finite cannot leave as valid.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/context.h"
#include "num/formats.h"
#include "signal/product_norm.h"

static const double TINY = 1e-12; /* the epsilon of the scaled scores */

enum { STRETCH = 128 };

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

/* --- rows of logits ---------------------------------------------------------------------------- */

/* Of one row. For softmax P_c = exp(o_c - largest) * scale. */
typedef struct row_facts {
    double largest;        /* logit */
    double scale;          /* 1 / sum of exp(o - largest) */
    double target_sum;     /* of the row of Y: 1 for labels */
    double label_residual; /* P - Y at the label, without cancellation; labels only */
} row_facts;

typedef struct head_work {
    sonde_context *context;
    const sonde_head_batch *batch;
    size_t rows, outputs;
    row_facts *facts;    /* per row */
    double *logits;      /* one row */
    double *targets;     /* one row */
    double *column_sums; /* of the residuals, for the bias */
    double divisor;      /* what the loss divides by: B, or B C */
    bool finite;         /* logits and targets */
    /* Sums over rows. */
    double loss, correct, confidence, entropy, margin, true_margin;
} head_work;

/*
 * exp(x) for x <= 0, to a unit in the last place or two; 0 below -708. Written as plain arithmetic so
 * that loops over it become vector code: x = n log 2 + r, a polynomial in r, and n put in the exponent.
 */
static inline double exp_negative(double x)
{
    const double shift = 0x1.8p52; /* adding it rounds to an integer, in the low bits */
    double kept = x < -708.0 ? -708.0 : x;
    double n_shifted = kept * 0x1.71547652b82fep0 + shift;
    double n = n_shifted - shift;
    double r = kept - n * 0x1.62e42fefa3800p-1;
    r = r - n * 0x1.ef35793c76730p-45;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits;
    memcpy(&bits, &n_shifted, sizeof bits);
    bits = (bits + 1023) << 52; /* the low bits of n_shifted are n in two's complement */
    double power;
    memcpy(&power, &bits, sizeof power);
    return x < -708.0 ? 0.0 : p * power;
}

SONDE_CLONES
static void convert_floats(double *out, const float *in, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = (double)in[i];
}

/* sonde__matrix_row, with a faster way for the common format. */
static void read_row(const sonde_matrix *matrix, size_t row, size_t first, size_t n, double *out)
{
    if (matrix->dtype == SONDE_F32)
        convert_floats(out,
                       (const float *)matrix->data + row * sonde__matrix_stride(matrix) + first, n);
    else
        sonde__matrix_row(matrix, row, first, n, out);
}

SONDE_CLONES
static bool all_finite(const double *x, size_t n)
{
    int bad = 0;
#pragma omp simd reduction(| : bad)
    for (size_t i = 0; i < n; i++)
        bad |= !(fabs(x[i]) <= DBL_MAX);
    return !bad;
}

SONDE_CLONES
static double largest_of(const double *x, size_t n)
{
    double largest = -INFINITY;
#pragma omp simd reduction(max : largest)
    for (size_t i = 0; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* sum of exp(x - largest), and of exp(x - largest) (x - largest) */
SONDE_CLONES
static double exp_sums(const double *x, size_t n, double largest, double *weighted)
{
    double sum = 0, sum_weighted = 0;
#pragma omp simd reduction(+ : sum, sum_weighted)
    for (size_t i = 0; i < n; i++) {
        double shifted = x[i] - largest;
        double e = exp_negative(shifted);
        sum += e;
        sum_weighted += e * shifted;
    }
    *weighted = sum_weighted;
    return sum;
}

SONDE_CLONES
static void softmax_stretch(double *x, size_t n, double largest, double scale)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        x[i] = exp_negative(x[i] - largest) * scale;
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

static double smooth_base(const head_work *work)
{
    return work->batch->label_smoothing / (double)work->outputs;
}

static void target_row(const head_work *work, size_t row, double *out)
{
    const sonde_head_batch *batch = work->batch;
    if (batch->targets.data) {
        read_row(&batch->targets, row, 0, work->outputs, out);
        return;
    }
    for (size_t c = 0; c < work->outputs; c++)
        out[c] = smooth_base(work);
    out[batch->labels[row]] += 1 - batch->label_smoothing;
}

static size_t first_equal(const double *x, size_t n, double value)
{
    size_t i = 0;
    while (i + 1 < n && x[i] != value)
        i++;
    return i;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
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

static row_sums row_sums_of(const head_work *work, size_t row, double largest)
{
    const double *o = work->logits;
    size_t n = work->outputs;
    row_sums sums = {0};
    if (work->batch->targets.data) {
        sums.all = exp_sums(o, n, largest, &sums.weighted);
        return sums;
    }
    size_t y = (size_t)work->batch->labels[row];
    double before, after, own = exp_negative(o[y] - largest);
    sums.others = exp_sums(o, y, largest, &before);
    sums.others += exp_sums(o + y + 1, n - y - 1, largest, &after);
    sums.all = sums.others + own;
    sums.weighted = before + after + own * (o[y] - largest);
    return sums;
}

static double softmax_loss(const head_work *work, size_t row, row_facts *facts,
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

static double sigmoid_loss(head_work *work, const double *o, double *entropy, double *best)
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

static double squared_loss(const head_work *work, const double *o)
{
    double loss = 0;
    for (size_t c = 0; c < work->outputs; c++)
        loss += (o[c] - work->targets[c]) * (o[c] - work->targets[c]);
    return loss / (double)work->outputs;
}

static void add_softmax_row(head_work *work, size_t row, row_facts *facts, double second)
{
    const row_sums sums = row_sums_of(work, row, facts->largest);
    facts->scale = 1 / sums.all;
    work->loss += softmax_loss(work, row, facts, &sums);
    work->confidence += facts->scale;
    work->entropy += log(sums.all) - sums.weighted * facts->scale;
    if (work->outputs > 1)
        work->margin += (1 - exp_negative(second - facts->largest)) * facts->scale;
}

static void add_sigmoid_row(head_work *work, double largest, double second)
{
    double entropy = 0, best = 0;
    work->loss += sigmoid_loss(work, work->logits, &entropy, &best);
    work->confidence += best;
    work->entropy += entropy;
    if (work->outputs > 1)
        work->margin += sigmoid(largest) - sigmoid(second);
}

static bool row_is_finite(head_work *work, size_t row)
{
    read_row(&work->batch->logits, row, 0, work->outputs, work->logits);
    bool by_labels = work->batch->kind == SONDE_HEAD_SOFTMAX && !work->batch->targets.data;
    if (!by_labels)
        target_row(work, row, work->targets);
    return all_finite(work->logits, work->outputs) &&
           (by_labels || all_finite(work->targets, work->outputs));
}

static void add_row(head_work *work, size_t row)
{
    const sonde_head_batch *batch = work->batch;
    row_facts *facts = &work->facts[row];
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

static void subtract_labels(const head_work *work, size_t row, size_t first, size_t n, double *out)
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

static void subtract_targets(const head_work *work, size_t row, size_t first, size_t n, double *out)
{
    double targets[STRETCH];
    for (size_t i = 0; i < n; i += STRETCH) {
        size_t m = n - i < STRETCH ? n - i : STRETCH;
        read_row(&work->batch->targets, row, first + i, m, targets);
        for (size_t j = 0; j < m; j++)
            out[i + j] -= targets[j];
    }
}

/* P - Y (softmax: P times the sum of Y), before the division by what the loss divides by. */
static void fill_residuals(const void *user, size_t row, size_t first, size_t n, double *out)
{
    const head_work *work = user;
    const sonde_head_batch *batch = work->batch;
    read_row(&batch->logits, row, first, n, out);
    const row_facts *facts = &work->facts[row];
    if (batch->kind == SONDE_HEAD_SOFTMAX)
        softmax_stretch(out, n, facts->largest, facts->scale * facts->target_sum);
    else if (batch->kind == SONDE_HEAD_SIGMOID)
        for (size_t i = 0; i < n; i++)
            out[i] = sigmoid(out[i]);
    if (batch->targets.data)
        subtract_targets(work, row, first, n, out);
    else
        subtract_labels(work, row, first, n, out);
    /* Sums over rows give the bias gradient. Each element is filled once in the Gram form and once
     * in the direct form, in the order of rows. */
    for (size_t i = 0; i < n; i++)
        work->column_sums[first + i] += out[i];
}

static void fill_features(const void *user, size_t row, size_t first, size_t n, double *out)
{
    read_row(user, row, first, n, out);
}

/* --- patches ----------------------------------------------------------------------------------- */

typedef struct patch_rows {
    const sonde_head_patches *patches;
    const double *input; /* NCHW */
    size_t out_height, out_width;
} patch_rows;

/* Row: (example, y, x), x fastest; column: (channel, kernel y, kernel x). */
static void fill_patches(const void *user, size_t row, size_t first, size_t n, double *out)
{
    const patch_rows *rows = user;
    const sonde_head_patches *p = rows->patches;
    size_t x = row % rows->out_width, y = row / rows->out_width % rows->out_height;
    size_t example = row / (rows->out_width * rows->out_height);
    for (size_t i = 0; i < n; i++) {
        size_t column = first + i;
        size_t kernel_x = column % p->kernel_width;
        size_t kernel_y = column / p->kernel_width % p->kernel_height;
        size_t channel = column / (p->kernel_width * p->kernel_height);
        size_t in_y = y * p->stride + kernel_y * p->dilation;
        size_t in_x = x * p->stride + kernel_x * p->dilation;
        bool inside = in_y >= p->padding && in_y < p->height + p->padding && in_x >= p->padding &&
                      in_x < p->width + p->padding;
        size_t plane = (example * p->channels + channel) * p->height;
        out[i] =
            inside ? rows->input[(plane + in_y - p->padding) * p->width + in_x - p->padding] : 0;
    }
}

/* Output positions along one side, or 0 when the kernel does not fit. */
static size_t out_side(size_t side, size_t kernel, const sonde_head_patches *p)
{
    size_t padded = 0, reach = 0;
    if (!sonde__multiply(2, p->padding, &padded) || !sonde__add(side, padded, &padded) ||
        !sonde__multiply(kernel - 1, p->dilation, &reach) || reach >= padded)
        return 0;
    return (padded - reach - 1) / p->stride + 1;
}

static sonde_status check_patches(sonde_context *context, const sonde_head_patches *p,
                                  patch_rows *rows, size_t *input_count, sonde_matrix *shape)
{
    if (p->size != sizeof *p)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "head patches: size is %zu, not %zu; fill them with "
                           "sonde_head_patches_init",
                           p->size, sizeof *p);
    if (!p->input)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "head patches: input is NULL");
    if (sonde__dtype_size(p->dtype) == 0)
        return sonde__fail(context, SONDE_ERROR_RANGE, "head patches: element type %d is unknown",
                           (int)p->dtype);
    if (!p->channels || !p->height || !p->width || !p->kernel_height || !p->kernel_width ||
        !p->stride || !p->dilation)
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "head patches: a size, stride or dilation is 0");
    rows->patches = p;
    rows->out_height = out_side(p->height, p->kernel_height, p);
    rows->out_width = out_side(p->width, p->kernel_width, p);
    if (!rows->out_height || !rows->out_width)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "head patches: a %zu x %zu kernel does not fit a %zu x %zu input",
                           p->kernel_height, p->kernel_width, p->height, p->width);
    size_t positions = 0, bytes = 0;
    bool fits = sonde__multiply(rows->out_height, rows->out_width, &positions) &&
                sonde__multiply(positions, p->batch, &shape->rows) &&
                sonde__multiply(p->kernel_height, p->kernel_width, &shape->cols) &&
                sonde__multiply(shape->cols, p->channels, &shape->cols) &&
                sonde__multiply(p->height, p->width, input_count) &&
                sonde__multiply(*input_count, p->channels, input_count) &&
                sonde__multiply(*input_count, p->batch, input_count) &&
                sonde__multiply(*input_count, sizeof(double), &bytes);
    if (!fits)
        return sonde__fail(context, SONDE_ERROR_OVERFLOW,
                           "head patches: the sizes do not fit in memory");
    return SONDE_OK;
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

static void set_readouts(const head_work *work, sonde_head_report *report)
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

static void set_bias(const head_work *work, sonde_head_report *report)
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

/* ||W||_F, and whether it is one. */
static sonde_validity weight_norm(head_work *work, size_t features, double *row, double *norm)
{
    const sonde_matrix *weight = &work->batch->weight;
    double sum = 0;
    if (!weight->data)
        return SONDE_NOT_MEASURED;
    for (size_t c = 0; c < weight->rows; c++) {
        read_row(weight, c, 0, features, row);
        double part = 0;
#pragma omp simd reduction(+ : part)
        for (size_t j = 0; j < features; j++)
            part += row[j] * row[j];
        if (!isfinite(part) && !all_finite(row, features))
            return SONDE_NOT_FINITE;
        sum += part;
    }
    *norm = sqrt(sum);
    return sum == 0 ? SONDE_DEGENERATE : isfinite(sum) ? SONDE_VALID : SONDE_OUT_OF_RANGE;
}

static bool has_nonfinite(const sonde__rows *rows, double *row)
{
    for (size_t i = 0; i < rows->rows; i++) {
        rows->fill(rows->user, i, 0, rows->cols, row);
        if (!all_finite(row, rows->cols))
            return true;
    }
    return false;
}

static void set_gradient(head_work *work, const sonde__rows *features,
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
    sonde_validity weighed = weight_norm(work, features->cols, row, &weight);
    report->head_scaled = set_score(weighed != SONDE_VALID ? weighed : validity,
                                    raw / (weight + TINY), error / (weight + TINY), lower);
}

/* --- the whole --------------------------------------------------------------------------------- */

static double loss_divisor(const head_work *work)
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

static sonde_status measure(head_work *work, const sonde__rows *features, double *row,
                            sonde_head_report *report)
{
    set_all(report, SONDE_NOT_FINITE);
    for (size_t i = 0; i < work->rows; i++) {
        if (!row_is_finite(work, i))
            return SONDE_OK;
        add_row(work, i);
    }
    work->divisor = loss_divisor(work);
    const sonde__rows residuals = {work->rows, work->outputs, fill_residuals, work};
    sonde__product_norm norm;
    SONDE_TRY(
        sonde__product_norm_of(work->context, &residuals, features, work->batch->form, &norm));
    set_gradient(work, features, &norm, row, report);
    set_bias(work, report);
    set_readouts(work, report);
    return SONDE_OK;
}

/* Borrows scratch, measures, and hands the report out only when all went well. */
static sonde_status probe(sonde_context *context, const sonde_head_batch *batch,
                          const sonde__rows *features, sonde_head_report *report)
{
    head_work work = {.context = context,
                      .batch = batch,
                      .rows = batch->logits.rows,
                      .outputs = batch->logits.cols};
    size_t longest = work.outputs > features->cols ? work.outputs : features->cols;
    sonde_head_report filled;
    sonde_status status = SONDE_ERROR_MEMORY;
    work.facts = sonde__alloc(context, work.rows, sizeof *work.facts);
    work.column_sums = work.facts ? sonde__alloc_zero(context, work.outputs, sizeof(double)) : NULL;
    work.logits = work.column_sums ? sonde__alloc(context, longest, 2 * sizeof(double)) : NULL;
    if (work.logits) {
        work.targets = work.logits + longest;
        status = measure(&work, features, work.logits, &filled);
    }
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
    const sonde__rows features = {batch->features.rows, batch->features.cols, fill_features,
                                  &batch->features};
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
    patch_rows rows;
    sonde_matrix shape = {0};
    size_t count = 0;
    SONDE_TRY(check_patches(context, patches, &rows, &count, &shape));
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
    const sonde__rows features = {shape.rows, shape.cols, fill_patches, &rows};
    sonde_status status = probe(context, batch, &features, report);
    sonde__free(context, input);
    return status;
}
