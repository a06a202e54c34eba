/*
 * The native trainer: trains a named network on a data set, steered, into a run folder.
 */
#ifndef SONDE_RUN_TRAINER_H
#define SONDE_RUN_TRAINER_H

#include "run/store.h"

/* What the live line shows. */
typedef struct sonde__train_progress {
    int64_t epoch, epochs; /* epoch counts from 1 */
    double epoch_share;    /* of the running epoch, [0, 1]; 1: the epoch has ended */
    double train_loss;     /* running mean of this epoch */
    double images_per_second;
    double active_share;     /* of the examples, this epoch */
    double head_score;       /* last valid keep score, NaN: none yet */
    double worst_ratio;      /* of a layer's distance to its threshold, 0: none yet */
    const char *worst_layer; /* "" : none yet */
    double test_accuracy;    /* of the last ended epoch, NaN: none */
    double seconds_left;
    const char *activity; /* "training", "checking", "loading data", ... */
} sonde__train_progress;

typedef struct sonde__train_hooks {
    void *user;
    void (*progress)(void *user, const sonde__train_progress *progress); /* may be NULL */
    void (*event)(void *user, const char *text); /* a warning worth a line; may be NULL */
    bool (*interrupted)(void *user);             /* asked between steps; may be NULL */
} sonde__train_hooks;

/* What a run came to; also made from a store alone, by `show`, `report` and --json. */
typedef struct sonde__run_summary {
    char folder[1024];
    char status[32]; /* running, finished, stopped, interrupted, diverged */
    sonde__config config;
    int64_t epochs_run;
    int64_t parameters;
    int64_t train_examples, test_examples;
    sonde_decision decision;
    double final_train_loss, final_test_accuracy; /* NaN: not measured */
    double kept_test_accuracy, best_test_accuracy;
    int64_t best_test_epoch; /* in hindsight, -1: unknown; never used to decide */
    double seconds;
} sonde__run_summary;

/* Trains into the new folder. Interrupted runs end with SONDE_OK and status "interrupted"; a loss
 * that is not finite with SONDE_ERROR_NUMERIC and a summary of status "diverged". */
sonde_status sonde__train(sonde_context *context, const sonde__config *config, const char *folder,
                          const sonde__train_hooks *hooks, sonde__run_summary *summary);
/* Continues the run in the folder from its last whole epoch. `epochs` 0: as configured; larger than
 * configured: trains longer. A run that diverged would do so again: SONDE_ERROR_STATE. */
sonde_status sonde__train_resume(sonde_context *context, const char *folder, int64_t epochs,
                                 const sonde__train_hooks *hooks, sonde__run_summary *summary);
sonde_status sonde__run_summarise(sonde__store *store, sonde__run_summary *summary);

#endif
