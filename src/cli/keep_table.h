/*
 * Checkpoints against the signals that can rank them: what was measured of each, what each signal
 * chooses, and which signals do not apply and why.
 *
 * Signals are the scores of a probe batch, and test prediction variance where a run observed it.
 * Spectra rank no checkpoints; they advise when to stop, and
 * stand beside the signals as that.
 */
#ifndef SONDE_CLI_KEEP_TABLE_H
#define SONDE_CLI_KEEP_TABLE_H

#include "cli/json_out.h"
#include "cli/paper.h"
#include "model/series.h"
#include "report/record.h"
#include "report/survey.h"

enum { SONDE__SIGNALS = 6 };

typedef struct sonde__signal {
    const char *name;    /* "head-scaled", as --keep-by takes it */
    const char *header;  /* of its column */
    sonde_score *scores; /* one a checkpoint */
    sonde_score *second; /* of a second probe batch; NULL: none */
    size_t usable;
    sonde_keep_choice choice;
    char why_not[128]; /* why it does not apply; "": it does */
} sonde__signal;

typedef struct sonde__keep_table {
    sonde_context *context;
    size_t count;
    int64_t *epochs;
    double *rates;      /* learning rates, NULL: unknown */
    const char **paths; /* borrowed; NULL for a run */
    sonde__signal signals[SONDE__SIGNALS];
    int by;                     /* the signal that decides; -1: none applies */
    bool seen;                  /* the probe batch is trained on */
    sonde__trend_row *rows;     /* spectra, one a checkpoint; NULL: not looked at */
    const sonde_decision *stop; /* of the spectra; NULL: not looked at */
} sonde__keep_table;

/* Room for `count` checkpoints, no score measured. */
sonde_status sonde__keep_table_create(sonde_context *context, size_t count,
                                      sonde__keep_table *table);
void sonde__keep_table_free(sonde__keep_table *table);
/* Number of the signal, or -1. */
int sonde__signal_find(const char *name);

/* From a run's store; from the side files of a series. */
sonde_status sonde__keep_table_of_run(sonde_context *context, const sonde__record *record,
                                      sonde__keep_table *table);
sonde_status sonde__keep_table_of_series(sonde_context *context, const sonde__series *series,
                                         sonde__keep_table *table);
/* Lets every signal that applies choose, and sets `by`: the one wanted, or (wanted -1) head-scaled,
 * raw, whatever else applies. */
sonde_status sonde__keep_table_choose(sonde__keep_table *table, const sonde_keep_options *options,
                                      int wanted);

/* keep_out.c. `name` is the run or folder. */
void sonde__print_keep(const sonde__paper *paper, const sonde__keep_table *table);
sonde_status sonde__json_keep(FILE *to, const sonde__keep_table *table, const char *name);
/* No score decides, but the spectra advised to stop: that epoch is what is left to propose. */
bool sonde__keep_by_spectra(const sonde__keep_table *table);
/* Index of the checkpoint to keep, or -1. */
int64_t sonde__keep_chosen(const sonde__keep_table *table);

#endif
