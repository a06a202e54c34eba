/*
 * Weights that are perturbed and put back. Noise is drawn for the plain layout, parameter by
 * parameter, so that it is the same on every machine whatever its device layout.
 */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "measure/tpv_internal.h"

sonde_status sonde__tpv_weights_open(sonde_context *context, sonde__net *net,
                                     sonde__tpv_weights *weights)
{
    size_t longest = 1;
    *weights = (sonde__tpv_weights){.context = context, .net = net};
    const float *now = sonde__net_weights(net, &weights->count);
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const size_t elements = sonde__net_parameter(net, i)->elements;
        longest = elements > longest ? elements : longest;
    }
    weights->start = sonde__alloc(context, weights->count, sizeof(float));
    weights->plain = sonde__alloc(context, longest, sizeof(float));
    if (!weights->start || !weights->plain) {
        sonde__free(context, weights->start);
        sonde__free(context, weights->plain);
        *weights = (sonde__tpv_weights){0};
        return SONDE_ERROR_MEMORY;
    }
    memcpy(weights->start, now, weights->count * sizeof(float));
    return SONDE_OK;
}

void sonde__tpv_weights_restore(sonde__tpv_weights *weights)
{
    size_t count;
    memcpy(sonde__net_weights(weights->net, &count), weights->start,
           weights->count * sizeof(float));
    sonde__net_weights_changed(weights->net);
}

void sonde__tpv_weights_close(sonde__tpv_weights *weights)
{
    if (!weights->start)
        return;
    sonde__tpv_weights_restore(weights);
    sonde__free(weights->context, weights->start);
    sonde__free(weights->context, weights->plain);
    *weights = (sonde__tpv_weights){0};
}

bool sonde__tpv_weights_range(sonde__tpv_weights *weights, int index, double *low, double *high)
{
    *low = HUGE_VAL;
    *high = -HUGE_VAL;
    for (int i = 0; i < sonde__net_parameter_count(weights->net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(weights->net, i);
        if ((index >= 0 && i != index) || parameter->length == 0)
            continue;
        sonde__net_export(weights->net, weights->start, i, weights->plain);
        for (size_t j = 0; j < parameter->elements; j++) {
            const double value = (double)weights->plain[j];
            if (!isfinite(value)) {
                *low = *high = 0;
                return false;
            }
            *low = fmin(*low, value);
            *high = fmax(*high, value);
        }
    }
    return *low <= *high;
}

static void add_noise(const sonde__tpv_draw *draw, int parameter, float *values, size_t n)
{
    sonde__stream stream = sonde__stream_open(draw->seed, SONDE__RANDOM_TPV,
                                              (draw->index << 24) + (uint64_t)parameter);
    for (size_t i = 0; i < n; i++) {
        const double noise =
            draw->uniform ? sonde__random_uniform(&stream) - 0.5 : sonde__random_normal(&stream);
        values[i] = (float)((double)values[i] + draw->size * noise);
    }
}

void sonde__tpv_weights_draw(sonde__tpv_weights *weights, const sonde__tpv_draw *draw)
{
    size_t count;
    float *now = sonde__net_weights(weights->net, &count);
    for (int i = 0; i < sonde__net_parameter_count(weights->net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(weights->net, i);
        if (parameter->length == 0)
            continue;
        sonde__net_export(weights->net, weights->start, i, weights->plain);
        add_noise(draw, i, weights->plain, parameter->elements);
        sonde__net_import(weights->net, now, i, weights->plain);
    }
    sonde__net_weights_changed(weights->net);
}

void sonde__tpv_weights_toward(sonde__tpv_weights *weights, const float *moved, double share)
{
    size_t count;
    float *now = sonde__net_weights(weights->net, &count);
    for (size_t i = 0; i < count; i++) {
        const double start = (double)weights->start[i];
        now[i] = (float)(start + share * ((double)moved[i] - start));
    }
    sonde__net_weights_changed(weights->net);
}
