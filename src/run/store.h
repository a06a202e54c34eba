/*
 * The run store: a folder with run.sqlite, checkpoints/, state files, and kept.safetensors.
 *
 * One epoch is one transaction: its measures, scores, layers, decision and events are there
 * together or not at all. A run is written by one process (a lock file tells a second one) and can
 * be read by others meanwhile.
 */
#ifndef SONDE_RUN_STORE_H
#define SONDE_RUN_STORE_H

#include "run/config.h"

enum { SONDE__STORE_VERSION = 1 };

typedef struct sonde__store sonde__store;

typedef enum sonde__store_mode {
    SONDE__STORE_CREATE, /* makes the folder; SONDE_ERROR_STATE when it already holds a run */
    SONDE__STORE_WRITE,  /* takes the lock; SONDE_ERROR_LOCKED when another process has it */
    SONDE__STORE_READ
} sonde__store_mode;

sonde_status sonde__store_open(sonde_context *context, const char *folder, sonde__store_mode mode,
                               sonde__store **store);
void sonde__store_close(sonde__store *store);
const char *sonde__store_folder(const sonde__store *store);

/* Everything measured in one epoch. NaN: not measured. */
typedef struct sonde__epoch_row {
    int64_t epoch;
    double train_loss, train_accuracy; /* running, over the epoch's active examples */
    double test_loss, test_accuracy;   /* in [0, 1] */
    double learning_rate;
    int64_t examples, active; /* active: trained on in this epoch */
    double gradient_norm;     /* mean over steps */
    double seconds;           /* whole epoch */
    double seconds_train, seconds_check, seconds_probe, seconds_spectrum_wait, seconds_test,
        seconds_store;
    double images_per_second;
    double memory_peak; /* bytes, of the process */
} sonde__epoch_row;

/* Scores of test prediction variance: the trace, and its standard error. */
#define SONDE__TPV_SIGNAL "tpv.trace"
#define SONDE__TPV_ERROR_SIGNAL "tpv.trace_error"

/* One scalar score: signal "head.raw", "head.head_scaled", ..., "head2.raw" for the second batch,
 * "tpv.trace". Scores may come in the transaction of a later epoch. */
typedef struct sonde__score_row {
    int64_t epoch;
    char signal[64];
    sonde_score score;
} sonde__score_row;

typedef struct sonde__layer_row {
    int64_t epoch;
    char layer[SONDE_LAYER_NAME_MAX];
    bool over;
    double threshold;
    sonde_spectrum_report report;
    double *eigenvalues; /* report.rows ascending; NULL when not kept (old epochs are thinned) */
    size_t eigenvalue_count;
} sonde__layer_row;

typedef struct sonde__event_row {
    int64_t epoch;
    char text[SONDE_REASON_MAX];
} sonde__event_row;

/* One transaction. `layers` may belong to earlier epochs (spectra arrive late); rows that are
 * already there are replaced. `events` may be NULL. */
sonde_status sonde__store_write_epoch(sonde__store *store, const sonde__epoch_row *row,
                                      const sonde__score_row *scores, size_t score_count,
                                      const sonde__layer_row *layers, size_t layer_count,
                                      const sonde_decision *decision,
                                      const sonde__event_row *events, size_t event_count);
/* One event by itself, for what happens outside a whole epoch. */
sonde_status sonde__store_event(sonde__store *store, const sonde__event_row *event);
/* Drops everything after `epoch` (a half-finished epoch of a killed run). */
sonde_status sonde__store_rewind(sonde__store *store, int64_t epoch);

/* Small named facts: "config", "status" (running, finished, stopped, interrupted, diverged),
 * "version", "data", "parameters", "test_used", "machine", ... NULL when unknown; freed with sonde__free. */
sonde_status sonde__store_set(sonde__store *store, const char *key, const char *value);
sonde_status sonde__store_get(sonde__store *store, const char *key, char **value);

/* Arrays in order of epoch (and layer or signal); freed by the matching _free. */
sonde_status sonde__store_epochs(sonde__store *store, sonde__epoch_row **rows, size_t *count);
sonde_status sonde__store_scores(sonde__store *store, const char *signal_or_null,
                                 sonde__score_row **rows, size_t *count);
sonde_status sonde__store_layers(sonde__store *store, bool with_eigenvalues,
                                 sonde__layer_row **rows, size_t *count);
sonde_status sonde__store_events(sonde__store *store, sonde__event_row **rows, size_t *count);
/* The decision as of the last epoch (epoch -1: the newest), as stored. */
sonde_status sonde__store_decision(sonde__store *store, int64_t epoch, sonde_decision *decision);
void sonde__store_free_rows(sonde__store *store, void *rows);
void sonde__store_free_layers(sonde__store *store, sonde__layer_row *rows, size_t count);

#endif
