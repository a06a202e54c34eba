/*
 * A series of checkpoints: which files of a folder are one, in which order, what their spectra say
 * about stopping and what their probe side files say about keeping.
 *
 * The epoch of a checkpoint is the last number in its file name ("epoch-0012.safetensors",
 * "checkpoint-500/model.safetensors"); a word with several, "12fca82f", is a hash and has none.
 * Without numbers everywhere, the order of names counts.
 * A probe side file of NAME.EXT is NAME.probe.npz or NAME.probe.safetensors beside it, with arrays
 * `features` (B x d), `logits` (B x C), `labels` (B), optionally `weight` (C x d).
 */
#ifndef SONDE_MODEL_SERIES_H
#define SONDE_MODEL_SERIES_H

#include "base/context.h"

typedef struct sonde__checkpoint {
    char *path;
    int64_t epoch;
    char *probe; /* path of its side file, or NULL */
} sonde__checkpoint;

typedef struct sonde__series {
    sonde_context *context;
    sonde__checkpoint *checkpoints; /* ascending by epoch */
    size_t count;
} sonde__series;

/* The checkpoints of a folder (model files, or sub-folders that hold one), or the files named. */
sonde_status sonde__series_of_folder(sonde_context *context, const char *folder,
                                     sonde__series *series);
sonde_status sonde__series_of_paths(sonde_context *context, const char *const *paths, size_t count,
                                    sonde__series *series);
void sonde__series_free(sonde__series *series);

/* The head gradient of one checkpoint's side file; NOT_FOUND when it has none. */
sonde_status sonde__series_probe(const sonde__series *series, size_t index,
                                 sonde_head_report *report);

/* The stop rule over surveys of one model at ascending epochs; what it advises. Excesses that chance
 * explains at the surveys' rate of false alarms, or the error of estimates, do not count; nor is there
 * advice where the surveys are of different layers. */
typedef struct sonde__trend sonde__trend;
sonde_status sonde__trend_create(sonde_context *context, const sonde_stop_options *options,
                                 double false_alarm, sonde__trend **trend);
void sonde__trend_free(sonde__trend *trend);
/* Layers of the survey that have a threshold, as observed at `epoch`. */
sonde_status sonde__trend_add(sonde__trend *trend, int64_t epoch, const sonde_survey *survey);
sonde_status sonde__trend_decide(const sonde__trend *trend, sonde_decision *decision);

#endif
