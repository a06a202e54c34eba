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

#include "file/dataset.h"
#include "net/net.h"
#include "run/batch.h"
#include "run/config.h"

typedef struct sonde__subject_options {
    const char *run;      /* folder, or NULL */
    int64_t epoch;        /* of the run; -1: the kept one */
    const char *weights;  /* a model file, or NULL: the initialisation of config->seed */
    sonde__config config; /* model and data; a run's own replaces it, but for what the user named */
    int max_batch;
    bool study, tangent; /* options of the network */
} sonde__subject_options;

typedef struct sonde__subject {
    sonde_context *context;
    sonde__config config;         /* in force */
    int64_t epoch;                /* of the run, or -1 */
    sonde__dataset *train, *test; /* test may be NULL */
    sonde__batcher train_batcher, test_batcher;
    sonde__net *net;
    int classes;
} sonde__subject;

sonde_status sonde__subject_open(sonde_context *context, const sonde__subject_options *options,
                                 sonde__subject *subject);
/* Another network on the same data: `model` as in config->model. The old network is freed. */
sonde_status sonde__subject_replace(sonde__subject *subject, const sonde__subject_options *options,
                                    const char *model);
void sonde__subject_close(sonde__subject *subject);
/* Weights and buffers of a model file into a network, by name, as said above. */
sonde_status sonde__weights_into_net(sonde_context *context, const char *path, sonde__net *net);

#endif
