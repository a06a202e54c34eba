/*
 * A subject: the network that a verb measures and the examples that it measures it on.
 *
 * It comes from a run (a checkpoint of it, with its own data and probe), or from a named architecture
 * with weights from a model file or from its initialisation. Weights of a file are matched by name
 * (a common prefix such as "module." is taken off, and endings such as ".weight" are the same in
 * PyTorch) and must fit: the first tensor that is missing or differs in shape is named.
 */
#ifndef SONDE_RUN_SUBJECT_H
#define SONDE_RUN_SUBJECT_H

#include "net/net.h"
#include "run/batch.h"
#include "run/choice.h"
#include "run/probe.h"

typedef struct sonde__subject_options {
    const char *run;           /* folder, or NULL */
    int64_t epoch;             /* of the run; -1: the kept one */
    const char *weights;       /* a model file, or NULL: the initialisation of config->seed */
    sonde__config config;      /* model and data; of a run its own, but for what the user named: */
    sonde__config_named named; /* (see sonde__parse.named); nothing of it: all is the run's own */
    /* Normalisation of bytes other than the data set's own (what the weights were trained with), one
     * value a channel; `channels` 0: the data set's own. */
    int channels;
    float mean[SONDE__CHANNELS_MAX], deviation[SONDE__CHANNELS_MAX];
    int max_batch;       /* of the network; 0: 128 */
    bool texts;          /* data with several labels an example are wanted too */
    bool study, tangent; /* options of the network */
} sonde__subject_options;

typedef struct sonde__subject {
    sonde_context *context;
    sonde__config config; /* in force */
    sonde__choices choices;
    char *run;                    /* its folder, or NULL */
    int64_t epoch;                /* of the run, or -1 */
    sonde__dataset *train, *test; /* test may be NULL */
    sonde__batcher train_batcher, test_batcher;
    uint32_t *indexes; /* of the training examples that are not held out, ascending */
    size_t positions;
    sonde__probe probes[SONDE__PROBES_MAX]; /* as training draws them; choices.probe_count */
    sonde__net *net;
    int max_batch, classes;
} sonde__subject;

void sonde__subject_options_init(sonde__subject_options *options);
/* On failure the subject is empty and need not be closed. */
sonde_status sonde__subject_open(sonde_context *context, const sonde__subject_options *options,
                                 sonde__subject *subject);
/* Another network on the same data: `model` as in config->model, with options->weights. The old
 * network is freed, but stays after a failure. */
sonde_status sonde__subject_replace(sonde__subject *subject, const sonde__subject_options *options,
                                    const char *model);
/* Another checkpoint of the same run; -1: the kept one. */
sonde_status sonde__subject_epoch(sonde__subject *subject, int64_t epoch);
/* Epochs of a run that have a checkpoint, ascending; freed with sonde__free. */
sonde_status sonde__subject_epochs(sonde_context *context, const char *run, int64_t **epochs,
                                   size_t *count);
void sonde__subject_close(sonde__subject *subject);

/* Scores of the two batches of probe `number`, as training would have them. */
sonde_status sonde__subject_probe(sonde__subject *subject, int number,
                                  sonde_head_report reports[2]);

/* "0.485,0.456,0.406" of `--OPTION` into values; how many there are into `count`. */
sonde_status sonde__subject_channels(sonde_context *context, const char *option, const char *text,
                                     float *values, int *count);
/* weights.c: weights and buffers of a model file into a network, by name, as said above. After a
 * failure the network is as it was, unless the file could not be read to its end. */
sonde_status sonde__weights_into_net(sonde_context *context, const char *path, sonde__net *net);

#endif
