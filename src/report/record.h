/*
 * A run as the report and the command see it: everything of the store, read once.
 *
 * Rows are in order of epoch. Nothing here decides anything; missing numbers are NaN.
 */
#ifndef SONDE_REPORT_RECORD_H
#define SONDE_REPORT_RECORD_H

#include "run/trainer.h"

typedef struct sonde__record {
    sonde__store *store; /* borrowed; owner of the rows */
    sonde__run_summary summary;
    sonde__epoch_row *epochs;
    size_t epoch_count;
    sonde__score_row *scores;
    size_t score_count;
    sonde__layer_row *layers;
    size_t layer_count;
    sonde__event_row *events;
    size_t event_count;
} sonde__record;

sonde_status sonde__record_load(sonde__store *store, sonde__record *record);
void sonde__record_free(sonde__record *record);

/* "head.head_scaled" for a run that keeps by head-scaled; `second`: of the second probe batch. */
void sonde__record_keep_signal(const sonde__record *record, bool second, char *signal, size_t size);
/* Whether test prediction variance was observed. */
bool sonde__record_has_tpv(const sonde__record *record);
/* The valid value of that signal at that epoch, else NaN. */
double sonde__record_score(const sonde__record *record, const char *signal, int64_t epoch);
/* The row of that epoch, or NULL. */
const sonde__epoch_row *sonde__record_epoch(const sonde__record *record, int64_t epoch);
/* Number of the last epoch, 0 when there is none. */
int64_t sonde__record_last_epoch(const sonde__record *record);
/* Statistic over threshold: 1 is where stopping is advised. NaN where that says nothing. */
double sonde__layer_ratio(const sonde__layer_row *row);
/* The newest row of that layer, or NULL. */
const sonde__layer_row *sonde__record_newest(const sonde__record *record, const char *layer);
/* True for the first row that bears its layer's name: to walk over the layers. */
bool sonde__record_first_of_layer(const sonde__record *record, size_t index);

#endif
