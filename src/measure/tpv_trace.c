/*
 * Traces: Tr(H) = mean over inputs of ||J(x)||_F^2, in all and by layer, and what a variance for each
 * tensor makes of it.
 *
 * One forward pass of a batch is shared by its backward passes: one for each output (the squares of
 * J's rows add up to the exact norm) or one for each draw of random signs v (E_v ||J^T v||^2 is the
 * norm). Invariant: every sink sees every input once, whole.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "measure/tpv_internal.h"

/* Two draws: for many inputs their spread hides that of the draws. The exact sum where it is cheap:
 * few outputs, and multiply-adds of some ten seconds on one core. */
enum { EXACT_MOST = 16, DRAWS = 2 };
static const double exact_work = 3e11;

int sonde__tpv_draws(const sonde__tpv_work *work)
{
    const sonde__tpv_options *options = work->options;
    if (options->draws >= 0)
        return options->draws;
    const double flops = sonde__graph_flops(sonde__net_graph(work->net));
    const double passes = (double)work->outputs * SONDE__TPV_NORMS_COST;
    const bool cheap = flops * passes * sonde__tpv_work_inputs(work) <= exact_work;
    return work->outputs <= EXACT_MOST && cheap ? 0 : DRAWS;
}

/* ---- one pass -------------------------------------------------------------------------------- */

typedef struct pass {
    sonde__tpv_work *work;
    const sonde__tpv_inputs *inputs;
    int draws;
    size_t size, parameters; /* inputs of a batch; parameters of the network, buffers included */
    float *dlogits;          /* size x outputs */
    double *norms, *sums;    /* parameters x size: of one backward pass, of all of them */
    double *rows;            /* of a sink: rows x size */
} pass;

static void free_pass(pass *p)
{
    sonde_context *context = p->work->context;
    sonde__free(context, p->dlogits);
    sonde__free(context, p->norms);
    sonde__free(context, p->sums);
    sonde__free(context, p->rows);
}

static sonde_status make_pass(sonde__tpv_work *work, const sonde__tpv_inputs *inputs, pass *p)
{
    const size_t whole = (size_t)work->options->batch;
    *p = (pass){.work = work, .inputs = inputs};
    p->draws = sonde__tpv_draws(work);
    p->size = whole < inputs->n ? whole : inputs->n;
    p->parameters = (size_t)sonde__net_parameter_count(work->net);
    const size_t squares = p->size * sizeof(double);
    p->dlogits = sonde__alloc(work->context, p->size, work->outputs * sizeof(float));
    p->norms = sonde__alloc(work->context, p->parameters, squares);
    p->sums = sonde__alloc(work->context, p->parameters, squares);
    p->rows = sonde__alloc(work->context, p->parameters, squares);
    const bool whole_room = p->dlogits && p->norms && p->sums && p->rows;
    if (whole_room)
        return SONDE_OK;
    free_pass(p);
    return SONDE_ERROR_MEMORY;
}

/* The weights of the outputs in backward pass `turn`: the turn-th output alone, or signs. */
static void set_directions(pass *p, size_t begin, size_t n, int turn)
{
    const size_t outputs = p->work->outputs;
    memset(p->dlogits, 0, p->size * outputs * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        float *row = p->dlogits + i * outputs;
        if (p->draws == 0)
            row[turn] = 1;
        else
            sonde_rademacher(p->work->options->seed,
                             (begin + i) * (uint64_t)p->draws + (uint64_t)turn, row, outputs);
    }
}

/* Squares of each parameter and input, summed over outputs or averaged over draws, into `sums`. */
static sonde_status square_batch(pass *p, size_t begin, size_t n)
{
    const int turns = p->draws == 0 ? (int)p->work->outputs : p->draws;
    const double share = p->draws == 0 ? 1 : 1 / (double)p->draws;
    const size_t count = p->parameters * p->size;
    const float *logits;
    SONDE_TRY(
        sonde__tpv_forward(p->work, SONDE__STUDY_EVAL, p->inputs, begin, n, p->size, &logits));
    memset(p->sums, 0, count * sizeof(double));
    for (int turn = 0; turn < turns; turn++) {
        set_directions(p, begin, n, turn);
        SONDE_TRY(sonde__net_example_norms(p->work->net, p->dlogits, p->norms));
        for (size_t i = 0; i < count; i++)
            p->sums[i] += share * p->norms[i];
        SONDE_TRY(sonde__tpv_work_step(p->work, "the trace", (double)n * SONDE__TPV_NORMS_COST));
    }
    return SONDE_OK;
}

static sonde_status feed(pass *p, const sonde__tpv_sink *sink, size_t n)
{
    memset(p->rows, 0, sink->rows * n * sizeof(double));
    for (size_t parameter = 0; parameter < p->parameters; parameter++) {
        const int row = sink->row[parameter];
        for (size_t i = 0; row >= 0 && i < n; i++)
            p->rows[(size_t)row * n + i] += p->sums[parameter * p->size + i];
    }
    return sonde_tpv_trace_add(sink->trace, p->rows, n);
}

sonde_status sonde__tpv_squares(sonde__tpv_work *work, const sonde__tpv_inputs *inputs,
                                const sonde__tpv_sink *sinks, int sink_count)
{
    pass p;
    sonde_status status = SONDE_OK;
    SONDE_TRY(make_pass(work, inputs, &p));
    for (size_t begin = 0; begin < inputs->n && status == SONDE_OK; begin += p.size) {
        const size_t n = inputs->n - begin < p.size ? inputs->n - begin : p.size;
        status = square_batch(&p, begin, n);
        for (int i = 0; i < sink_count && status == SONDE_OK; i++)
            status = feed(&p, &sinks[i], n);
    }
    free_pass(&p);
    return status;
}

sonde_status sonde__measure_tpv_trace(sonde_context *context, sonde__net *net,
                                      const sonde__tpv_inputs *inputs,
                                      const sonde__tpv_options *options, sonde_estimate *trace)
{
    sonde__tpv_work work;
    sonde_tpv_trace *sums = NULL;
    const int count = sonde__net_parameter_count(net);
    int *row = sonde__alloc_zero(context, (size_t)count, sizeof *row); /* all in one */
    sonde_status status = row ? SONDE_OK : SONDE_ERROR_MEMORY;
    SONDE_TRY(status);
    memset(&work, 0, sizeof work);
    status = sonde__tpv_work_open(context, net, options, &work);
    if (status == SONDE_OK)
        status = sonde_tpv_trace_create(context, 1, NULL, &sums);
    work.parts[0] = inputs;
    const sonde__tpv_sink sink = {sums, row, 1};
    if (status == SONDE_OK)
        status = sonde__tpv_squares(&work, inputs, &sink, 1);
    if (status == SONDE_OK)
        status = sonde_tpv_trace_read(sums, trace, NULL);
    sonde_tpv_trace_free(sums);
    sonde__tpv_work_close(&work);
    sonde__free(context, row);
    return status;
}

/* ---- the layers ------------------------------------------------------------------------------ */

/* "layer1.0.conv1" of "layer1.0.conv1.weight". */
static void layer_name(const char *parameter, char *name)
{
    const char *dot = strrchr(parameter, '.');
    const int length = (int)(dot ? (size_t)(dot - parameter) : strlen(parameter));
    snprintf(name, SONDE_LAYER_NAME_MAX, "%.*s", length, parameter);
}

/* Parameters of one name but for its last part are one layer; they stand one behind the other. */
static sonde_status name_layers(const sonde__net *net, sonde__tpv_report *report, int *layer_of)
{
    const int count = sonde__net_parameter_count(net);
    report->layers = sonde__alloc_zero(report->context, (size_t)count, sizeof *report->layers);
    if (!report->layers)
        return SONDE_ERROR_MEMORY;
    for (int i = 0; i < count; i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        char name[SONDE_LAYER_NAME_MAX];
        layer_of[i] = -1;
        if (parameter->length == 0)
            continue;
        layer_name(parameter->name, name);
        if (report->layer_count == 0 ||
            strcmp(report->layers[report->layer_count - 1].name, name) != 0)
            memcpy(report->layers[report->layer_count++].name, name, sizeof name);
        layer_of[i] = report->layer_count - 1;
        report->layers[layer_of[i]].parameters += parameter->elements;
        report->parameters += parameter->elements;
    }
    return SONDE_OK;
}

/* ---- a variance a tensor --------------------------------------------------------------------- */

static sonde_status quantization_variance(sonde_context *context, const sonde__tpv_plan *plan,
                                          double low, double high, double *variance)
{
    sonde_tpv_noise noise;
    sonde_tpv_noise_init(&noise);
    noise.kind = SONDE_TPV_QUANTIZATION;
    noise.bits = plan->bits;
    noise.low = low;
    noise.high = high;
    return sonde_tpv_variance(context, &noise, variance);
}

/* Of each parameter's own range; 0 where weights are NaN, of which plan_variance tells. */
static sonde_status tensor_variances(sonde__tpv_work *work, sonde__tpv_weights *weights,
                                     const sonde__tpv_plan *plan, double *variances)
{
    for (int i = 0; i < sonde__net_parameter_count(work->net); i++) {
        double low, high;
        variances[i] = 0;
        if (sonde__net_parameter(work->net, i)->length == 0 ||
            !sonde__tpv_weights_range(weights, i, &low, &high))
            continue;
        SONDE_TRY(quantization_variance(work->context, plan, low, high, &variances[i]));
    }
    return SONDE_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

typedef struct traces {
    sonde__tpv_work *work;
    sonde__tpv_report *report;
    sonde__tpv_weights weights;
    int *layer_of, *own;                         /* of each parameter: its layer; itself */
    sonde_tpv_trace *by_layer[SONDE__TPV_PARTS]; /* plain sums */
    sonde_tpv_trace *by_tensor[SONDE__TPV_PARTS][SONDE__TPV_PLANS_MAX]; /* of quantization plans */
    double *variances;
    sonde_estimate *estimates;
} traces;

static sonde_status open_traces(traces *t)
{
    sonde_context *context = t->work->context;
    const size_t count = (size_t)sonde__net_parameter_count(t->work->net);
    SONDE_TRY(sonde__tpv_weights_open(context, t->work->net, &t->weights));
    t->layer_of = sonde__alloc(context, count, sizeof *t->layer_of);
    t->own = sonde__alloc(context, count, sizeof *t->own);
    t->variances = sonde__alloc(context, count, sizeof *t->variances);
    t->estimates = sonde__alloc(context, count, sizeof *t->estimates);
    if (!t->layer_of || !t->own || !t->variances || !t->estimates)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++)
        t->own[i] = (int)i;
    return name_layers(t->work->net, t->report, t->layer_of);
}

static void close_traces(traces *t)
{
    sonde_context *context = t->work->context;
    for (int part = 0; part < SONDE__TPV_PARTS; part++) {
        sonde_tpv_trace_free(t->by_layer[part]);
        for (int i = 0; i < SONDE__TPV_PLANS_MAX; i++)
            sonde_tpv_trace_free(t->by_tensor[part][i]);
    }
    sonde__free(context, t->layer_of);
    sonde__free(context, t->own);
    sonde__free(context, t->variances);
    sonde__free(context, t->estimates);
    sonde__tpv_weights_close(&t->weights);
}

static sonde_status run_part(traces *t, int part)
{
    sonde__tpv_work *work = t->work;
    const size_t count = (size_t)sonde__net_parameter_count(work->net);
    sonde__tpv_sink sinks[1 + SONDE__TPV_PLANS_MAX];
    int sink_count = 0;
    SONDE_TRY(sonde_tpv_trace_create(work->context, (size_t)t->report->layer_count, NULL,
                                     &t->by_layer[part]));
    sinks[sink_count++] =
        (sonde__tpv_sink){t->by_layer[part], t->layer_of, (size_t)t->report->layer_count};
    for (int i = 0; i < work->options->plan_count; i++) {
        if (work->options->plans[i].kind != SONDE__TPV_QUANTIZATION)
            continue;
        SONDE_TRY(tensor_variances(work, &t->weights, &work->options->plans[i], t->variances));
        SONDE_TRY(
            sonde_tpv_trace_create(work->context, count, t->variances, &t->by_tensor[part][i]));
        sinks[sink_count++] = (sonde__tpv_sink){t->by_tensor[part][i], t->own, count};
    }
    return sonde__tpv_squares(work, work->parts[part], sinks, sink_count);
}

static sonde_status read_layers(traces *t)
{
    sonde__tpv_report *report = t->report;
    for (int part = 0; part < SONDE__TPV_PARTS; part++) {
        sonde_estimate *total = part == 0 ? &report->train : &report->test;
        if (!t->by_layer[part])
            continue;
        SONDE_TRY(sonde_tpv_trace_read(t->by_layer[part], total, t->estimates));
        for (int i = 0; i < report->layer_count; i++)
            *(part == 0 ? &report->layers[i].train : &report->layers[i].test) = t->estimates[i];
    }
    sonde__tpv_ratio(&report->train, &report->test, &report->ratio, &report->ratio_error);
    return SONDE_OK;
}

/* The variance of each weight that a plan's noise has, where it is one for all; NaN where weights are
 * not finite. A ReLU may hide that from the trace. */
static sonde_status plan_variance(traces *t, const sonde__tpv_plan *plan, double *variance)
{
    sonde_tpv_noise noise;
    double low = 0, high = 0;
    if (plan->kind == SONDE__TPV_QUANTIZATION) {
        *variance = (double)NAN;
        if (!sonde__tpv_weights_range(&t->weights, -1, &low, &high))
            return SONDE_OK;
        return quantization_variance(t->work->context, plan, low, high, variance);
    }
    sonde_tpv_noise_init(&noise);
    noise.kind = plan->kind == SONDE__TPV_SGD ? SONDE_TPV_SGD : SONDE_TPV_ISOTROPIC;
    noise.learning_rate = plan->rate;
    noise.batch = (double)plan->batch;
    noise.residual_variance = plan->residual;
    noise.deviation = plan->deviation;
    return sonde_tpv_variance(t->work->context, &noise, variance);
}

static sonde_status add_plan(traces *t, int index)
{
    const sonde__tpv_plan *plan = &t->work->options->plans[index];
    sonde__tpv_report *report = t->report;
    if (plan->kind == SONDE__TPV_LABEL)
        return SONDE_OK;
    sonde__tpv_row *row = sonde__tpv_row_add(report, index, SONDE__TPV_TRACE);
    SONDE_TRY(plan_variance(t, plan, &row->variance));
    row->train = sonde_tpv_scale(&report->train, row->variance);
    row->test = sonde_tpv_scale(&report->test, row->variance);
    sonde__tpv_ratio(&row->train, &row->test, &row->ratio, &row->ratio_error);
    if (!t->by_tensor[0][index])
        return SONDE_OK;
    const double whole = row->variance;
    row = sonde__tpv_row_add(report, index, SONDE__TPV_TRACE_PER_TENSOR);
    SONDE_TRY(sonde_tpv_trace_read(t->by_tensor[0][index], &row->train, NULL));
    if (t->by_tensor[1][index])
        SONDE_TRY(sonde_tpv_trace_read(t->by_tensor[1][index], &row->test, NULL));
    if (isnan(whole)) {
        row->train = sonde_tpv_scale(&row->train, whole);
        row->test = sonde_tpv_scale(&row->test, whole);
    }
    sonde__tpv_ratio(&row->train, &row->test, &row->ratio, &row->ratio_error);
    return SONDE_OK;
}

/* What was summed before an end that was asked for is read all the same. */
static sonde_status read_all(traces *t)
{
    SONDE_TRY(read_layers(t));
    for (int i = 0; i < t->work->options->plan_count; i++)
        SONDE_TRY(add_plan(t, i));
    return SONDE_OK;
}

sonde_status sonde__tpv_traces(sonde__tpv_work *work, sonde__tpv_report *report)
{
    traces t = {.work = work, .report = report};
    sonde_status status = open_traces(&t);
    for (int part = 0; part < SONDE__TPV_PARTS && status == SONDE_OK; part++)
        if (work->parts[part])
            status = run_part(&t, part);
    if (status == SONDE_OK || status == SONDE_ERROR_CANCELLED) {
        const sonde_status read = read_all(&t);
        status = status == SONDE_OK ? read : status;
    }
    close_traces(&t);
    return status;
}
