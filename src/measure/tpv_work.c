/*
 * The work of a TPV measurement: batches of inputs through the network, progress, and the end when
 * it is asked for. Batches have one size, the last one filled up with repeats whose results are
 * dropped, so that the network plans one batch only.
 */
#include <string.h>

#include "measure/tpv_internal.h"

static size_t features_of(const sonde__net *net)
{
    sonde__shape shape = sonde__net_input_shape(net);
    return (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
}

sonde_status sonde__tpv_work_open(sonde_context *context, sonde__net *net,
                                  const sonde__tpv_options *options, sonde__tpv_work *work)
{
    *work = (sonde__tpv_work){.context = context, .net = net, .options = options};
    work->features = features_of(net);
    work->outputs = (size_t)sonde__net_outputs(net);
    work->rows = (size_t)sonde__net_rows(net);
    work->largest =
        (size_t)sonde__tpv_largest_batch(options->plans, options->plan_count, options->batch);
    work->x = sonde__alloc(context, work->largest, work->features * sizeof(float));
    return work->x ? SONDE_OK : SONDE_ERROR_MEMORY;
}

void sonde__tpv_work_close(sonde__tpv_work *work)
{
    sonde__free(work->context, work->x);
    memset(work, 0, sizeof *work);
}

double sonde__tpv_work_inputs(const sonde__tpv_work *work)
{
    return (double)work->parts[0]->n + (work->parts[1] ? (double)work->parts[1]->n : 0);
}

sonde_status sonde__tpv_work_step(sonde__tpv_work *work, const char *what, double passes)
{
    const sonde__tpv_options *options = work->options;
    work->done += passes;
    const double share = work->total > 0 && work->done < work->total ? work->done / work->total : 1;
    const bool wanted = !options->progress || options->progress(options->user, what, share);
    if (wanted && !sonde__cancelled(work->context))
        return SONDE_OK;
    return sonde__fail(work->context, SONDE_ERROR_CANCELLED, "ended while measuring %s", what);
}

sonde_status sonde__tpv_forward(sonde__tpv_work *work, sonde__mode mode,
                                const sonde__tpv_inputs *inputs, size_t begin, size_t n,
                                size_t size, const float **logits)
{
    const size_t features = work->features;
    const float *from = inputs->x + begin * features;
    if (n == size)
        return sonde__net_forward(work->net, mode, from, (int)size, 0, logits);
    memcpy(work->x, from, n * features * sizeof(float));
    for (size_t i = n; i < size; i++)
        memcpy(work->x + i * features, from, features * sizeof(float));
    return sonde__net_forward(work->net, mode, work->x, (int)size, 0, logits);
}

sonde_status sonde__tpv_outputs(sonde__tpv_work *work, const sonde__tpv_inputs *inputs, size_t n,
                                const char *what, float *outputs)
{
    const size_t whole = (size_t)work->options->batch, size = whole < n ? whole : n;
    for (size_t begin = 0; begin < n; begin += size) {
        const float *logits;
        const size_t count = n - begin < size ? n - begin : size;
        SONDE_TRY(sonde__tpv_forward(work, SONDE__EVAL, inputs, begin, count, size, &logits));
        memcpy(outputs + begin * work->outputs, logits, count * work->outputs * sizeof(float));
        SONDE_TRY(sonde__tpv_work_step(work, what, (double)count));
    }
    return SONDE_OK;
}
