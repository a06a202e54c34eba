/*
 * The loader: one thread that fills the next batches while the current one is computed on.
 *
 * Three slots: one in use, one ready, one being filled. Waiting is on condition variables. All
 * memory is there before the thread starts and filling cannot fail, so there are no errors to hand
 * over; an epoch can be dropped at any time.
 */
#ifndef SONDE_RUN_LOADER_H
#define SONDE_RUN_LOADER_H

#include "run/batch.h"

typedef struct sonde__loader sonde__loader;

typedef struct sonde__batch {
    size_t begin, count;   /* in the epoch's order */
    const float *x;        /* count x features */
    const int32_t *labels; /* count x rows */
} sonde__batch;

typedef struct sonde__epoch_plan {
    const uint32_t *indexes; /* of examples, in order; must stay until the epoch has ended */
    size_t count, batch;
    bool no_single; /* as in sonde__batch_span */
    int64_t epoch;  /* whose augmentation is drawn; -1: none */
} sonde__epoch_plan;

/* `largest`: examples in the largest batch that will come. */
sonde_status sonde__loader_create(sonde_context *context, const sonde__batcher *batcher,
                                  size_t largest, sonde__loader **loader);
/* Ends the thread, within the filling of one batch. NULL is legal. */
void sonde__loader_free(sonde__loader *loader);
/* Begins an epoch; what is left of one before is dropped. */
void sonde__loader_start(sonde__loader *loader, const sonde__epoch_plan *plan);
/* The next batch, valid until the next call; false at the end of the epoch. */
bool sonde__loader_next(sonde__loader *loader, sonde__batch *batch);

#endif
