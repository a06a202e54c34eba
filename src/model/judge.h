/*
 * How a layer's spectrum stands to its threshold, and when the excesses of a whole model mean nothing:
 * one judgement for the stop rule over a series, for tables and for pages.
 *
 * An estimated spectrum (error_bound > 0) can be over its threshold by its error alone: its distance
 * is taken to be off by as much as its distribution function may be. Of many layers some are over by
 * chance, at the false-alarm rate of the threshold (docs/spectrum.md).
 */
#ifndef SONDE_MODEL_JUDGE_H
#define SONDE_MODEL_JUDGE_H

#include "base/context.h"

typedef struct sonde__judgement {
    double ratio; /* statistic over the calibrated threshold; NaN: the layer cannot be judged */
    bool over;    /* above 1, and by more than the error of an estimate explains */
} sonde__judgement;

sonde__judgement sonde__judge_layer(const sonde_layer_spectrum *layer);

/* `over` of `judged` layers, the furthest at `ratio` times its threshold, are what chance gives: so many
 * or more would be over in 2 of 100 random models, and none is far out. False without any. */
bool sonde__chance_explains(size_t judged, size_t over, double ratio, double false_alarm);

#endif
