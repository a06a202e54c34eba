/* Reading a whole run from its store, and finding things in it. */
#include "report/record.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

sonde_status sonde__record_load(sonde__store *store, sonde__record *record)
{
    sonde_status status = SONDE_OK;
    sonde__record loaded = {.store = store};
    SONDE_TRY_CLEAN(sonde__run_summarise(store, &loaded.summary));
    SONDE_TRY_CLEAN(sonde__store_epochs(store, &loaded.epochs, &loaded.epoch_count));
    SONDE_TRY_CLEAN(sonde__store_scores(store, NULL, &loaded.scores, &loaded.score_count));
    SONDE_TRY_CLEAN(sonde__store_layers(store, true, &loaded.layers, &loaded.layer_count));
    SONDE_TRY_CLEAN(sonde__store_events(store, &loaded.events, &loaded.event_count));
    *record = loaded;
    return SONDE_OK;
cleanup:
    sonde__record_free(&loaded);
    return status;
}

void sonde__record_free(sonde__record *record)
{
    if (!record->store)
        return;
    sonde__store_free_rows(record->store, record->epochs);
    sonde__store_free_rows(record->store, record->scores);
    sonde__store_free_layers(record->store, record->layers, record->layer_count);
    sonde__store_free_rows(record->store, record->events);
    *record = (sonde__record){0};
}

void sonde__record_keep_signal(const sonde__record *record, bool second, char *signal, size_t size)
{
    const char *const by = record->summary.config.keep_by;
    if (strcmp(by, "tpv") == 0)
        snprintf(signal, size, "%s", second ? "tpv2.trace" : SONDE__TPV_SIGNAL);
    else
        snprintf(signal, size, "%s.%s", second ? "head2" : "head", by);
    for (char *at = signal; *at; at++)
        if (*at == '-')
            *at = '_';
}

double sonde__record_score(const sonde__record *record, const char *signal, int64_t epoch)
{
    for (size_t i = 0; i < record->score_count; i++) {
        const sonde__score_row *row = &record->scores[i];
        if (row->epoch == epoch && strcmp(row->signal, signal) == 0)
            return row->score.validity == SONDE_VALID ? row->score.value : (double)NAN;
    }
    return (double)NAN;
}

bool sonde__record_has_tpv(const sonde__record *record)
{
    for (size_t i = 0; i < record->score_count; i++)
        if (strcmp(record->scores[i].signal, SONDE__TPV_SIGNAL) == 0)
            return true;
    return false;
}

const sonde__epoch_row *sonde__record_epoch(const sonde__record *record, int64_t epoch)
{
    for (size_t i = 0; i < record->epoch_count; i++)
        if (record->epochs[i].epoch == epoch)
            return &record->epochs[i];
    return NULL;
}

int64_t sonde__record_last_epoch(const sonde__record *record)
{
    return record->epoch_count ? record->epochs[record->epoch_count - 1].epoch : 0;
}

double sonde__layer_ratio(const sonde__layer_row *row)
{
    if (row->report.validity != SONDE_VALID || !(row->threshold > 0))
        return (double)NAN;
    return row->report.statistic / row->threshold;
}

const sonde__layer_row *sonde__record_newest(const sonde__record *record, const char *layer)
{
    for (size_t i = record->layer_count; i-- > 0;)
        if (strcmp(record->layers[i].layer, layer) == 0)
            return &record->layers[i];
    return NULL;
}

bool sonde__record_first_of_layer(const sonde__record *record, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(record->layers[i].layer, record->layers[index].layer) == 0)
            return false;
    return true;
}
