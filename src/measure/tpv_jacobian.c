/*
 * Label noise in closed form: the Jacobians of all inputs of a small network, from one backward pass
 * an output and input, into sonde_tpv_label_noise.
 */
#include "base/checked.h"
#include "measure/tpv_internal.h"
#include "num/linalg.h"

/* Floats of a Jacobian, and multiply-adds of its singular values: half a minute on one core. */
static const size_t floats_most = (size_t)1 << 26;
static const double work_most = 5e10;

typedef struct jacobian {
    float *values; /* (inputs x outputs) x parameters */
    size_t rows, cols;
} jacobian;

static size_t trained_parameters(const sonde__net *net)
{
    size_t count = 0;
    for (int i = 0; i < sonde__net_parameter_count(net); i++)
        if (sonde__net_parameter(net, i)->length > 0)
            count += sonde__net_parameter(net, i)->elements;
    return count;
}

static bool fits(const sonde__tpv_work *work, const jacobian *parts)
{
    const double rows = (double)parts[0].rows, cols = (double)parts[0].cols;
    const double less = rows < cols ? rows : cols;
    if (less * less * (rows + cols) > work_most)
        return false;
    for (int part = 0; part < SONDE__TPV_PARTS; part++) {
        size_t floats;
        if (parts[part].rows > SONDE__ORDER_MAX)
            return false;
        if (work->parts[part] &&
            (!sonde__multiply(parts[part].rows, parts[part].cols, &floats) || floats > floats_most))
            return false;
    }
    return true;
}

static void copy_gradient(sonde__net *net, float *row)
{
    size_t count;
    const float *gradients = sonde__net_gradients(net, &count);
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        if (parameter->length == 0)
            continue;
        sonde__net_export(net, gradients, i, row);
        row += parameter->elements;
    }
}

static sonde_status fill(sonde__tpv_work *work, const sonde__tpv_inputs *inputs, jacobian *made)
{
    const size_t outputs = work->outputs;
    float *direction = sonde__alloc_zero(work->context, outputs, sizeof *direction);
    sonde_status status = direction ? SONDE_OK : SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < inputs->n && status == SONDE_OK; i++) {
        const float *logits;
        status = sonde__tpv_forward(work, SONDE__STUDY_EVAL, inputs, i, 1, 1, &logits);
        for (size_t k = 0; k < outputs && status == SONDE_OK; k++) {
            direction[k] = 1;
            status = sonde__net_backward(work->net, direction);
            copy_gradient(work->net, made->values + (i * outputs + k) * made->cols);
            direction[k] = 0;
        }
        if (status == SONDE_OK)
            status = sonde__tpv_work_step(work, "Jacobians", 0);
    }
    sonde__free(work->context, direction);
    return status;
}

static sonde_status make_part(sonde__tpv_work *work, int part, jacobian *made)
{
    if (!work->parts[part])
        return SONDE_OK;
    made->values = sonde__alloc(work->context, made->rows, made->cols * sizeof(float));
    return made->values ? fill(work, work->parts[part], made) : SONDE_ERROR_MEMORY;
}

static sonde_estimate estimate_of(const sonde_score *score, size_t count)
{
    return (sonde_estimate){.value = score->value, .count = count, .validity = score->validity};
}

static sonde_status solve(sonde__tpv_work *work, const jacobian *parts, double deviation,
                          sonde__tpv_row *row)
{
    sonde_tpv_label_options options;
    sonde_tpv_label_report report;
    const sonde_matrix train = {parts[0].values, SONDE_F32, parts[0].rows, parts[0].cols, 0};
    const sonde_matrix test = {parts[1].values, SONDE_F32, parts[1].rows, parts[1].cols, 0};
    sonde_tpv_label_options_init(&options);
    options.sigma = deviation;
    options.outputs = work->outputs;
    SONDE_TRY(sonde_tpv_label_noise(work->context, &train, parts[1].values ? &test : NULL, &options,
                                    &report));
    row->train = estimate_of(&report.train, work->parts[0]->n);
    row->test = estimate_of(&report.test, work->parts[1] ? work->parts[1]->n : 0);
    sonde__tpv_ratio(&row->train, &row->test, &row->ratio, &row->ratio_error);
    return SONDE_OK;
}

/* The deviation is that of the outputs' size where the plan says so. */
static sonde_status find_deviation(sonde__tpv_work *work, const sonde__tpv_plan *plan,
                                   double *deviation)
{
    const size_t count = work->parts[0]->n;
    float *outputs = sonde__alloc(work->context, count, work->outputs * sizeof *outputs);
    if (!outputs)
        return SONDE_ERROR_MEMORY;
    sonde_status status = sonde__tpv_outputs(work, work->parts[0], count, plan->name, outputs);
    *deviation = sonde__tpv_label_deviation(plan, outputs, count * work->outputs);
    sonde__free(work->context, outputs);
    return status;
}

sonde_status sonde__tpv_closed(sonde__tpv_work *work, const sonde__tpv_plan *plan,
                               sonde__tpv_row *row)
{
    jacobian parts[SONDE__TPV_PARTS] = {0};
    double deviation = 0;
    for (int part = 0; part < SONDE__TPV_PARTS; part++) {
        parts[part].cols = trained_parameters(work->net);
        parts[part].rows = work->parts[part] ? work->parts[part]->n * work->outputs : 0;
    }
    if (!fits(work, parts)) {
        row->note = "too many inputs, outputs and weights for the closed form";
        return SONDE_OK;
    }
    sonde_status status = find_deviation(work, plan, &deviation);
    for (int part = 0; part < SONDE__TPV_PARTS && status == SONDE_OK; part++)
        status = make_part(work, part, &parts[part]);
    if (status == SONDE_OK && !(deviation > 0 && deviation <= 1e300))
        row->note = "the outputs are not finite, or all zero";
    else if (status == SONDE_OK)
        status = solve(work, parts, deviation, row);
    row->variance = deviation * deviation;
    sonde__free(work->context, parts[0].values);
    sonde__free(work->context, parts[1].values);
    return status;
}
