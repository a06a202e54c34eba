/*
 * Batch norm estimated anew: running statistics as the plain mean over mini-batches.
 *
 * A pass in training mode moves them by momentum 0.1 towards the batch's own. From zeros, ten times
 * what a pass leaves is therefore the batch's mean (and unbiased variance), which is summed in double.
 */
#include <string.h>

#include "measure/prune_internal.h"

static const double PARTS_OF_A_STEP = 10; /* 1 / momentum */

typedef struct estimator {
    sonde_context *context;
    sonde__net *net;
    double **sums; /* by parameter; NULL for those that are no running statistic */
    float *plain;
    int parameters;
} estimator;

/* Statistics become sums / count; `count` 0: zeros. */
static void put_statistics(const estimator *e, double count)
{
    float *flat = sonde__net_weights(e->net, &(size_t){0});
    for (int p = 0; p < e->parameters; p++) {
        if (!e->sums[p])
            continue;
        for (size_t i = 0; i < sonde__net_parameter(e->net, p)->elements; i++)
            e->plain[i] = count > 0 ? (float)(e->sums[p][i] / count) : 0;
        sonde__net_import(e->net, flat, p, e->plain);
    }
    sonde__net_weights_changed(e->net);
}

static void add_statistics(const estimator *e)
{
    const float *flat = sonde__net_weights(e->net, &(size_t){0});
    for (int p = 0; p < e->parameters; p++) {
        if (!e->sums[p])
            continue;
        sonde__net_export(e->net, flat, p, e->plain);
        for (size_t i = 0; i < sonde__net_parameter(e->net, p)->elements; i++)
            e->sums[p][i] += PARTS_OF_A_STEP * (double)e->plain[i];
    }
}

static sonde_status reserve(estimator *e)
{
    size_t largest = 1;
    e->sums = sonde__alloc_zero(e->context, (size_t)e->parameters, sizeof *e->sums);
    for (int p = 0; p < e->parameters && e->sums; p++) {
        const sonde__parameter *parameter = sonde__net_parameter(e->net, p);
        if (!sonde__is_buffer(parameter))
            continue;
        largest = parameter->elements > largest ? parameter->elements : largest;
        e->sums[p] = sonde__alloc_zero(e->context, parameter->elements, sizeof(double));
        if (!e->sums[p])
            return SONDE_ERROR_MEMORY;
    }
    e->plain = sonde__alloc(e->context, largest, sizeof *e->plain);
    return e->sums && e->plain ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static sonde_status pass_batches(const estimator *e, const sonde__prune_examples *examples,
                                 size_t batches, size_t batch, uint32_t *order, float *x)
{
    for (size_t b = 0; b < batches; b++) {
        const float *logits = NULL;
        for (size_t i = 0; i < batch; i++)
            order[i] = (uint32_t)((b * batch + i) % examples->count);
        examples->fill(examples->user, order, batch, x, NULL);
        put_statistics(e, 0);
        SONDE_TRY(sonde__net_forward(e->net, SONDE__STUDY_TRAIN, x, (int)batch, 0, &logits));
        add_statistics(e);
        if (sonde__cancelled(e->context))
            return sonde__fail(e->context, SONDE_ERROR_CANCELLED, "pruning was cancelled");
    }
    put_statistics(e, (double)batches);
    return SONDE_OK;
}

sonde_status sonde__prune_re_estimate(sonde_context *context, sonde__net *net,
                                      const sonde__prune_examples *examples,
                                      const sonde__prune_options *options)
{
    const sonde__shape shape = sonde__net_input_shape(net);
    const size_t features = (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
    const size_t batch = options->batch < examples->count ? options->batch : examples->count;
    estimator e = {.context = context, .net = net, .parameters = sonde__net_parameter_count(net)};
    if (!sonde__net_has_batch_norm(net))
        return SONDE_OK;
    uint32_t *order = sonde__alloc(context, batch, sizeof *order);
    float *x = sonde__alloc(context, batch, features * sizeof *x);
    sonde_status status = order && x ? reserve(&e) : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK)
        status = pass_batches(&e, examples, options->re_estimate, batch, order, x);
    for (int p = 0; p < e.parameters && e.sums; p++)
        sonde__free(context, e.sums[p]);
    sonde__free(context, e.sums);
    sonde__free(context, e.plain);
    sonde__free(context, order);
    sonde__free(context, x);
    return status;
}
