/*
 * Losses: logits and targets in, per-example losses and the gradient of their mean out.
 *
 * Each writes `losses` (n, may be NULL) and `gradient` (n x classes, may be NULL), the gradient of
 * (1/n) sum_i losses_i by the logits, and returns the mean loss. Values are finite for finite logits
 * of any size (log-sum-exp).
 */
#ifndef SONDE_NET_LOSS_H
#define SONDE_NET_LOSS_H

#include <stddef.h>
#include <stdint.h>

/* Softmax cross-entropy with hard labels, smoothed: (1 - s) one-hot + s / classes. */
double sonde__loss_cross_entropy(const float *logits, const int32_t *labels, size_t n,
                                 size_t classes, double smoothing, float *losses, float *gradient);
/* The same with soft targets, n x classes. */
double sonde__loss_cross_entropy_soft(const float *logits, const float *targets, size_t n,
                                      size_t classes, float *losses, float *gradient);
/* Mean over outputs of (logit - target)^2. */
double sonde__loss_squared(const float *outputs, const float *targets, size_t n, size_t classes,
                           float *losses, float *gradient);
/* Mean over outputs of the binary cross-entropy of sigmoid(logit) and the target. */
double sonde__loss_sigmoid(const float *logits, const float *targets, size_t n, size_t classes,
                           float *losses, float *gradient);

#endif
