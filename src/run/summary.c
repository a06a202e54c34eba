/*
 * What a run came to, from its store alone. The best epoch by test accuracy is hindsight, told beside
 * the decision and never used for it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "run/store_internal.h"
#include "run/trainer.h"

static sonde_status read_integer(sonde__store *store, const char *key, int64_t *value)
{
    char *text = NULL;
    SONDE_TRY(sonde__store_get(store, key, &text));
    if (!text || !sonde__parse_int64(text, value))
        *value = 0;
    sonde__store_free_rows(store, text);
    return SONDE_OK;
}

static sonde_status read_accuracy(sonde__store *store, const char *key, double *value)
{
    char *text = NULL;
    double read;
    SONDE_TRY(sonde__store_get(store, key, &text));
    if (text && sonde__parse_double(text, &read))
        *value = read;
    sonde__store_free_rows(store, text);
    return SONDE_OK;
}

static void add_epochs(sonde__run_summary *summary, const sonde__epoch_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const sonde__epoch_row *row = &rows[i];
        summary->epochs_run = row->epoch;
        summary->seconds += row->seconds;
        summary->final_train_loss = row->train_loss;
        summary->final_test_accuracy = row->test_accuracy;
        if (row->epoch == summary->decision.keep.epoch)
            summary->kept_test_accuracy = row->test_accuracy;
        if (isnan(row->test_accuracy))
            continue;
        if (isnan(summary->best_test_accuracy) ||
            row->test_accuracy > summary->best_test_accuracy) {
            summary->best_test_accuracy = row->test_accuracy;
            summary->best_test_epoch = row->epoch;
        }
    }
}

static sonde_status read_decision(sonde__store *store, bool any, sonde__run_summary *summary)
{
    if (any)
        return sonde__store_decision(store, -1, &summary->decision);
    summary->decision.stop_epoch = summary->decision.keep.epoch = -1;
    snprintf(summary->decision.keep.reason, sizeof(summary->decision.keep.reason),
             "no epoch has ended yet");
    return SONDE_OK;
}

static sonde_status read_config(sonde__store *store, sonde__run_summary *summary)
{
    char *json = NULL;
    SONDE_TRY(sonde__store_get(store, "config", &json));
    if (!json)
        return sonde__fail_at(store->context, SONDE_ERROR_NOT_FOUND, store->path, NULL, -1,
                              "%s holds no whole run: it was ended before training began; train "
                              "into it anew",
                              store->folder);
    sonde_status status = sonde__config_from_json(store->context, json, &summary->config);
    sonde__store_free_rows(store, json);
    return status;
}

static sonde_status read_status(sonde__store *store, sonde__run_summary *summary)
{
    char *text = NULL;
    SONDE_TRY(sonde__store_get(store, "status", &text));
    snprintf(summary->status, sizeof(summary->status), "%s", text ? text : "running");
    sonde__store_free_rows(store, text);
    return SONDE_OK;
}

static sonde_status read_epochs(sonde__store *store, sonde__run_summary *summary)
{
    sonde__epoch_row *rows;
    size_t count;
    SONDE_TRY(sonde__store_epochs(store, &rows, &count));
    sonde_status status = read_decision(store, count > 0, summary);
    add_epochs(summary, rows, count);
    sonde__store_free_rows(store, rows);
    return status;
}

sonde_status sonde__run_summarise(sonde__store *store, sonde__run_summary *summary)
{
    sonde__run_summary made;
    memset(&made, 0, sizeof(made));
    made.final_train_loss = made.final_test_accuracy = (double)NAN;
    made.kept_test_accuracy = made.best_test_accuracy = (double)NAN;
    made.best_test_epoch = -1;
    snprintf(made.folder, sizeof(made.folder), "%s", sonde__store_folder(store));
    SONDE_TRY(read_status(store, &made));
    SONDE_TRY(read_config(store, &made));
    SONDE_TRY(read_epochs(store, &made));
    SONDE_TRY(read_integer(store, "parameters", &made.parameters));
    SONDE_TRY(read_integer(store, "train_examples", &made.train_examples));
    SONDE_TRY(read_integer(store, "test_examples", &made.test_examples));
    SONDE_TRY(read_accuracy(store, "kept_test_accuracy", &made.kept_test_accuracy));
    *summary = made;
    return SONDE_OK;
}
