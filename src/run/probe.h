/* Probe batches: fixed examples, drawn once from the seed, whose head gradient is watched. */
#ifndef SONDE_RUN_PROBE_H
#define SONDE_RUN_PROBE_H

#include "base/context.h"

typedef struct sonde__probe {
    sonde_probe_kind kind;
    uint32_t *indexes; /* of the data set */
    size_t count;
    /* Examples of the two batches of the stability check: the score is of the first. Held-out examples
     * are few, so there the first is all of them and the second their second half. */
    size_t begin[2], end[2];
    /* Rows of the head, one a label: rows x d, rows x C, rows; made at the first use. */
    float *features, *logits;
    int64_t *labels;
} sonde__probe;

/*
 * Splits off the held-out examples and draws the probes of `kinds`. `indexes` comes in as room for
 * `examples` and goes out as the examples left to train on, ascending.
 */
typedef struct sonde__probe_plan {
    const sonde_probe_kind *kinds;
    int kind_count;
    size_t held, size; /* held out; examples in a train or augmented batch */
    uint64_t seed;
} sonde__probe_plan;

sonde_status sonde__probes_draw(sonde_context *context, const sonde__probe_plan *plan,
                                size_t examples, uint32_t *indexes, size_t *positions,
                                sonde__probe *probes);
void sonde__probes_free(sonde_context *context, sonde__probe *probes, int count);

#endif
