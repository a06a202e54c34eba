/*
 * Optimisers over the network's flat arrays: SGD with momentum, Adam, AdamW, exactly PyTorch's
 * update rules (torch.optim.SGD with dampening 0, Adam and AdamW without amsgrad).
 *
 * As in PyTorch, weight decay acts on every trained parameter, biases and normalisations included.
 * Padding of the flat layout holds zeros, which every rule keeps at zero.
 */
#ifndef SONDE_RUN_OPTIMIZER_H
#define SONDE_RUN_OPTIMIZER_H

#include "run/choice.h"

typedef struct sonde__optimizer_options {
    sonde__optimizer_kind kind;
    double momentum;
    bool nesterov;
    double beta1, beta2, epsilon;
    double weight_decay;
} sonde__optimizer_options;

enum { SONDE__OPTIMIZER_ARRAYS = 2 };

typedef struct sonde__optimizer {
    sonde__optimizer_options options;
    size_t count;
    /* SGD: momentum; Adam: first and second moment. `count` floats each, zero at the start. */
    float *arrays[SONDE__OPTIMIZER_ARRAYS];
    int array_count;
    int64_t steps; /* taken so far */
} sonde__optimizer;

sonde_status sonde__optimizer_init(sonde_context *context, const sonde__optimizer_options *options,
                                   size_t count, sonde__optimizer *optimizer);
void sonde__optimizer_free(sonde_context *context, sonde__optimizer *optimizer);
/* "momentum", or "first_moment" and "second_moment": the arrays' names in state files. */
const char *sonde__optimizer_array_name(const sonde__optimizer *optimizer, int array);
/* One step at `rate`; gradients count times `scale` (of clipping). */
void sonde__optimizer_step(sonde__optimizer *optimizer, float *weights, const float *gradients,
                           double rate, double scale);

/* Euclidean norm, summed in double in an order that depends on nothing but `count`. */
double sonde__gradient_norm(const float *gradients, size_t count);
/* The factor that brings `norm` down to `limit`, as torch.nn.utils.clip_grad_norm_; limit 0: 1. */
double sonde__clip_scale(double norm, double limit);

#endif
