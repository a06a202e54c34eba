/*
 * TPV as a signal of training: the trace on a fixed batch of training inputs, one measurement at a
 * time on a worker thread, from a copy of the weights in a network of its own. Training goes on
 * meanwhile and asks for the number an epoch later.
 */
#ifndef SONDE_RUN_TPV_SIGNAL_H
#define SONDE_RUN_TPV_SIGNAL_H

#include "run/batch.h"
#include "run/config.h"

#include "net/net.h"

typedef struct sonde__tpv_signal sonde__tpv_signal;

/* `indexes`: `count` training examples, of which config->tpv_inputs are drawn. */
sonde_status sonde__tpv_signal_create(sonde_context *context, const sonde__config *config,
                                      const sonde__batcher *batcher, const uint32_t *indexes,
                                      size_t count, sonde__tpv_signal **signal);
/* Ends a measurement that is running. NULL is legal. */
void sonde__tpv_signal_free(sonde__tpv_signal *signal);
/* Copies the network's weights and returns; the one before must have been collected. */
sonde_status sonde__tpv_signal_submit(sonde__tpv_signal *signal, int64_t epoch,
                                      const sonde__net *net, const float *weights);
/* Epoch whose number has not been collected, or -1. */
int64_t sonde__tpv_signal_pending(const sonde__tpv_signal *signal);
/* Waits for it. What fails in the worker is a trace that is not measured, and a reason in `text`
 * (SONDE_REASON_MAX bytes, else ""). */
void sonde__tpv_signal_collect(sonde__tpv_signal *signal, sonde_estimate *trace, char *text);

#endif
