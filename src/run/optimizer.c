/*
 * Optimiser steps as single loops over flat arrays: each reads every number once, so that a step
 * costs one pass over memory. g is the gradient after clipping, w the weight, r the rate.
 *
 * Formulas: PyTorch 2 documentation of SGD, Adam, AdamW; Kingma and Ba 2015 (arXiv 1412.6980);
 * Loshchilov and Hutter 2019 (arXiv 1711.05101).
 */
#include "run/optimizer.h"

#include <math.h>

sonde_status sonde__optimizer_init(sonde_context *context, const sonde__optimizer_options *options,
                                   size_t count, sonde__optimizer *optimizer)
{
    sonde__optimizer made = {.options = *options, .count = count};
    made.array_count = options->kind != SONDE__OPTIMIZER_SGD ? 2 : options->momentum != 0 ? 1 : 0;
    for (int i = 0; i < made.array_count; i++) {
        made.arrays[i] = sonde__alloc_zero(context, count, sizeof(float));
        if (!made.arrays[i]) {
            sonde__optimizer_free(context, &made);
            return SONDE_ERROR_MEMORY;
        }
    }
    *optimizer = made;
    return SONDE_OK;
}

void sonde__optimizer_free(sonde_context *context, sonde__optimizer *optimizer)
{
    for (int i = 0; i < SONDE__OPTIMIZER_ARRAYS; i++) {
        sonde__free(context, optimizer->arrays[i]);
        optimizer->arrays[i] = NULL;
    }
}

const char *sonde__optimizer_array_name(const sonde__optimizer *optimizer, int array)
{
    if (optimizer->options.kind == SONDE__OPTIMIZER_SGD)
        return "momentum";
    return array == 0 ? "first_moment" : "second_moment";
}

/* w -= r (g + decay w) */
SONDE_CLONES
static void sgd_plain(float *restrict w, const float *restrict g, size_t count, float rate,
                      float scale, float decay)
{
    for (size_t i = 0; i < count; i++)
        w[i] -= rate * (scale * g[i] + decay * w[i]);
}

/* d = g + decay w;  m = mu m + d;  w -= r m */
SONDE_CLONES
static void sgd_momentum(float *restrict w, const float *restrict g, float *restrict m,
                         size_t count, const float *restrict factors)
{
    float rate = factors[0], scale = factors[1], decay = factors[2], mu = factors[3];
    for (size_t i = 0; i < count; i++) {
        float d = scale * g[i] + decay * w[i];
        m[i] = mu * m[i] + d;
        w[i] -= rate * m[i];
    }
}

/* d = g + decay w;  m = mu m + d;  w -= r (d + mu m) */
SONDE_CLONES
static void sgd_nesterov(float *restrict w, const float *restrict g, float *restrict m,
                         size_t count, const float *restrict factors)
{
    float rate = factors[0], scale = factors[1], decay = factors[2], mu = factors[3];
    for (size_t i = 0; i < count; i++) {
        float d = scale * g[i] + decay * w[i];
        m[i] = mu * m[i] + d;
        w[i] -= rate * (d + mu * m[i]);
    }
}

typedef struct adam_factors {
    float scale, decay, shrink; /* decay: coupled (Adam); shrink: 1 - r decay (AdamW), else 1 */
    float beta1, beta2, rest1, rest2; /* rest: 1 - beta */
    float step, root, epsilon;        /* r / (1 - beta1^t), 1 / sqrt(1 - beta2^t) */
} adam_factors;

/* m = b1 m + (1 - b1) d;  v = b2 v + (1 - b2) d^2;  w -= r m^ / (sqrt(v^) + eps) */
SONDE_CLONES
static void adam(float *restrict w, const float *restrict g, float *restrict m, float *restrict v,
                 size_t count, const adam_factors *restrict factors)
{
    adam_factors f = *factors;
    for (size_t i = 0; i < count; i++) {
        float d = f.scale * g[i] + f.decay * w[i];
        m[i] = f.beta1 * m[i] + f.rest1 * d;
        v[i] = f.beta2 * v[i] + f.rest2 * d * d;
        w[i] = f.shrink * w[i] - f.step * m[i] / (sqrtf(v[i]) * f.root + f.epsilon);
    }
}

static void sgd_step(sonde__optimizer *optimizer, float *weights, const float *gradients,
                     double rate, double scale)
{
    const sonde__optimizer_options *options = &optimizer->options;
    float decay = (float)options->weight_decay;
    if (optimizer->array_count == 0) {
        sgd_plain(weights, gradients, optimizer->count, (float)rate, (float)scale, decay);
        return;
    }
    float factors[4] = {(float)rate, (float)scale, decay, (float)options->momentum};
    (options->nesterov ? sgd_nesterov : sgd_momentum)(weights, gradients, optimizer->arrays[0],
                                                      optimizer->count, factors);
}

static void adam_step(sonde__optimizer *optimizer, float *weights, const float *gradients,
                      double rate, double scale)
{
    const sonde__optimizer_options *options = &optimizer->options;
    bool decoupled = options->kind == SONDE__OPTIMIZER_ADAMW;
    double t = (double)optimizer->steps;
    adam_factors factors = {
        .scale = (float)scale,
        .decay = decoupled ? 0 : (float)options->weight_decay,
        .shrink = decoupled ? (float)(1 - rate * options->weight_decay) : 1,
        .beta1 = (float)options->beta1,
        .beta2 = (float)options->beta2,
        .rest1 = (float)(1 - options->beta1),
        .rest2 = (float)(1 - options->beta2),
        .step = (float)(rate / (1 - pow(options->beta1, t))),
        .root = (float)(1 / sqrt(1 - pow(options->beta2, t))),
        .epsilon = (float)options->epsilon,
    };
    adam(weights, gradients, optimizer->arrays[0], optimizer->arrays[1], optimizer->count,
         &factors);
}

void sonde__optimizer_step(sonde__optimizer *optimizer, float *weights, const float *gradients,
                           double rate, double scale)
{
    optimizer->steps++;
    if (optimizer->options.kind == SONDE__OPTIMIZER_SGD)
        sgd_step(optimizer, weights, gradients, rate, scale);
    else
        adam_step(optimizer, weights, gradients, rate, scale);
}

/* Sixteen running sums, so that the loop vectorises and its order stays fixed. */
SONDE_CLONES
double sonde__gradient_norm(const float *gradients, size_t count)
{
    enum { LANES = 16 };
    double sums[LANES] = {0};
    size_t whole = count - count % LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            sums[j] += (double)gradients[i + j] * (double)gradients[i + j];
    for (size_t i = whole; i < count; i++)
        sums[i - whole] += (double)gradients[i] * (double)gradients[i];
    double sum = 0;
    for (size_t j = 0; j < LANES; j++)
        sum += sums[j];
    return sqrt(sum);
}

double sonde__clip_scale(double norm, double limit)
{
    if (limit <= 0)
        return 1;
    double scale = limit / (norm + 1e-6);
    return scale < 1 ? scale : 1;
}
