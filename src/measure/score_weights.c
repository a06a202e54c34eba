/*
 * Weights set aside, drawn from N(0, 1) and put back, for proxies with an initialisation of their own
 * (Zen-NAS, Lin et al. 2021; DisWOT, Dong et al. 2023).
 *
 * Invariant: after _put_back the network computes what it computed before _keep.
 */
#include "measure/score_parts.h"

#include <string.h>

#include "base/random.h"

/* Streams of one network's parameters do not reach those of the next one. */
enum { PARAMETERS_MAX = 1 << 20 };

/* Copies the running statistics out of the network, or back into it. */
static void move_buffers(sonde__net *net, float *buffers, bool back)
{
    size_t count;
    float *const flat = sonde__net_weights(net, &count);
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        if (!sonde__is_buffer(parameter))
            continue;
        if (back)
            sonde__net_import(net, flat, i, buffers);
        else
            sonde__net_export(net, flat, i, buffers);
        buffers += parameter->elements;
    }
}

sonde_status sonde__weights_keep(sonde_context *context, sonde__net *net, sonde__kept_weights *kept)
{
    size_t count, buffers = 0;
    const float *flat = sonde__net_weights(net, &count);
    for (int i = 0; i < sonde__net_parameter_count(net); i++)
        if (sonde__is_buffer(sonde__net_parameter(net, i)))
            buffers += sonde__net_parameter(net, i)->elements;
    *kept = (sonde__kept_weights){.context = context};
    kept->flat = sonde__alloc(context, count, sizeof *kept->flat);
    kept->buffers = kept->flat ? sonde__alloc(context, buffers, sizeof *kept->buffers) : NULL;
    if (!kept->buffers)
        return SONDE_ERROR_MEMORY;
    memcpy(kept->flat, flat, count * sizeof *flat);
    move_buffers(net, kept->buffers, false);
    return SONDE_OK;
}

void sonde__weights_put_back(sonde__net *net, sonde__kept_weights *kept)
{
    size_t count;
    float *const flat = sonde__net_weights(net, &count);
    if (kept->buffers) {
        memcpy(flat, kept->flat, count * sizeof *flat);
        move_buffers(net, kept->buffers, true);
        sonde__net_weights_changed(net);
    }
    sonde__free(kept->context, kept->flat);
    sonde__free(kept->context, kept->buffers);
    kept->flat = kept->buffers = NULL;
}

static void fill(const sonde__parameter *parameter, sonde__stream *stream, float *plain)
{
    const bool one =
        parameter->role == SONDE__ROLE_SCALE || parameter->role == SONDE__ROLE_RUNNING_VARIANCE;
    const bool drawn = parameter->role == SONDE__ROLE_WEIGHT;
    for (size_t i = 0; i < parameter->elements; i++)
        plain[i] = drawn ? (float)sonde__random_normal(stream) : one ? 1.0f : 0.0f;
}

static bool is_reset(sonde__op op)
{
    return op == SONDE__OP_CONV || op == SONDE__OP_LINEAR || op == SONDE__OP_BATCH_NORM ||
           op == SONDE__OP_GROUP_NORM;
}

sonde_status sonde__weights_normal(sonde_context *context, sonde__net *net, uint64_t seed,
                                   uint64_t which)
{
    const sonde__graph *graph = sonde__net_graph(net);
    size_t count, largest = 0;
    float *const flat = sonde__net_weights(net, &count);
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const size_t elements = sonde__net_parameter(net, i)->elements;
        largest = elements > largest ? elements : largest;
    }
    float *plain = sonde__alloc(context, largest, sizeof *plain);
    if (!plain)
        return SONDE_ERROR_MEMORY;
    for (int k = 0; k < sonde__graph_layer_count(graph); k++) {
        const sonde__layer_view layer = sonde__graph_layer(graph, k);
        for (int i = 0; is_reset(layer.op) && i < layer.parameter_count; i++) {
            const int p = layer.first_parameter + i;
            sonde__stream stream = sonde__stream_open(seed, SONDE__RANDOM_NORMAL_WEIGHTS,
                                                      which * PARAMETERS_MAX + (uint64_t)p);
            fill(sonde__net_parameter(net, p), &stream, plain);
            sonde__net_import(net, flat, p, plain);
        }
    }
    sonde__free(context, plain);
    sonde__net_weights_changed(net);
    return SONDE_OK;
}
