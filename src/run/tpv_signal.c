/*
 * The worker has a context of its own, as contexts belong to one thread at a time: to this one while
 * nothing is pending, to the worker from submit to collect.
 */
#include "run/tpv_signal.h"

#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "run/parts.h"
#include "run/tpv_inputs.h"

enum { BATCH = 64 };

struct sonde__tpv_signal {
    sonde_context *context, *own;
    sonde__pool *pool;
    sonde__net *net;
    sonde__tpv_sample sample;
    sonde__tpv_options options;
    float *plain; /* room for the largest parameter */
    int64_t pending;
    sonde_estimate trace;
    sonde_status status;
};

/* ---- making it ------------------------------------------------------------------------------- */

static sonde_status open_context(sonde__tpv_signal *signal)
{
    sonde_context_options options;
    sonde_context_options_init(&options);
    options.memory_limit = sonde__memory_limit(signal->context);
    options.threads = 1;
    if (sonde_context_create(&options, &signal->own) == SONDE_OK)
        return SONDE_OK;
    return sonde__fail(signal->context, SONDE_ERROR_MEMORY, "no memory for TPV's own network");
}

static sonde_status open_net(sonde__tpv_signal *signal, const sonde__config *config,
                             const sonde__dataset *dataset)
{
    sonde__graph *graph = NULL;
    const sonde__net_options options = {.threads = 1, .max_batch = BATCH, .study = true};
    size_t longest = 1;
    SONDE_TRY(sonde__parts_graph(signal->own, config, dataset, &graph));
    SONDE_TRY(sonde__net_create(signal->own, graph, &options, &signal->net));
    for (int i = 0; i < sonde__net_parameter_count(signal->net); i++) {
        const size_t elements = sonde__net_parameter(signal->net, i)->elements;
        longest = elements > longest ? elements : longest;
    }
    signal->plain = sonde__alloc(signal->own, longest, sizeof(float));
    return signal->plain ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static sonde_status open_own(sonde__tpv_signal *signal, const sonde__config *config,
                             const sonde__batcher *batcher, const uint32_t *indexes, size_t count)
{
    const sonde__tpv_choice choice = {
        .batcher = batcher,
        .indexes = indexes,
        .count = count,
        .wanted = (size_t)config->tpv_inputs,
        .seed = (uint64_t)config->seed,
    };
    sonde__tpv_options_init(&signal->options);
    signal->options.batch = BATCH;
    signal->options.seed = (uint64_t)config->seed;
    SONDE_TRY(open_net(signal, config, batcher->dataset));
    return sonde__tpv_sample_draw(signal->own, &choice, &signal->sample);
}

/* Errors of its own context become those of the caller's. */
static sonde_status hand_on(const sonde__tpv_signal *signal, sonde_status status)
{
    const sonde_error *error = sonde_context_error(signal->own);
    if (status == SONDE_OK)
        return SONDE_OK;
    return sonde__fail_at(signal->context, status, NULL, error->item, -1, "TPV: %s",
                          error->message);
}

sonde_status sonde__tpv_signal_create(sonde_context *context, const sonde__config *config,
                                      const sonde__batcher *batcher, const uint32_t *indexes,
                                      size_t count, sonde__tpv_signal **signal)
{
    sonde__tpv_signal *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->pending = -1;
    sonde_status status = open_context(made);
    if (status == SONDE_OK)
        status = hand_on(made, open_own(made, config, batcher, indexes, count));
    if (status == SONDE_OK)
        status = sonde__pool_create(context, 1, true, &made->pool);
    if (status != SONDE_OK) {
        sonde__tpv_signal_free(made);
        return status;
    }
    *signal = made;
    return SONDE_OK;
}

void sonde__tpv_signal_free(sonde__tpv_signal *signal)
{
    if (!signal)
        return;
    if (signal->own)
        sonde_context_cancel(signal->own);
    sonde__pool_free(signal->pool);
    if (signal->own) {
        sonde__net_free(signal->net);
        sonde__tpv_sample_free(signal->own, &signal->sample);
        sonde__free(signal->own, signal->plain);
    }
    sonde_context_free(signal->own);
    sonde__free(signal->context, signal);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void measure(void *argument)
{
    sonde__tpv_signal *signal = argument;
    signal->status = sonde__measure_tpv_trace(signal->own, signal->net, &signal->sample.inputs,
                                              &signal->options, &signal->trace);
}

sonde_status sonde__tpv_signal_submit(sonde__tpv_signal *signal, int64_t epoch,
                                      const sonde__net *net, const float *weights)
{
    size_t count;
    float *to = sonde__net_weights(signal->net, &count);
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        sonde__net_export(net, weights, i, signal->plain);
        sonde__net_import(signal->net, to, i, signal->plain);
    }
    sonde__net_weights_changed(signal->net);
    signal->trace = (sonde_estimate){.validity = SONDE_NOT_MEASURED};
    SONDE_TRY(sonde__pool_submit(signal->pool, measure, signal));
    signal->pending = epoch;
    return SONDE_OK;
}

int64_t sonde__tpv_signal_pending(const sonde__tpv_signal *signal)
{
    return signal->pending;
}

void sonde__tpv_signal_collect(sonde__tpv_signal *signal, sonde_estimate *trace, char *text)
{
    text[0] = '\0';
    sonde__pool_wait(signal->pool);
    signal->pending = -1;
    *trace = signal->trace;
    if (signal->status == SONDE_OK)
        return;
    *trace = (sonde_estimate){.validity = SONDE_NOT_MEASURED};
    snprintf(text, SONDE_REASON_MAX, "%s", sonde_context_error(signal->own)->message);
}
