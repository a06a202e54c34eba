/* Gathering scores and letting the keep rule choose; see keep_table.h. */
#include "cli/keep_table.h"

#include <math.h>
#include <string.h>

#include "rule/keep.h"

static const char *const names[SONDE__SIGNALS] = {"raw",  "head-scaled", "feature-scaled",
                                                  "loss", "accuracy",    "tpv"};
static const char *const headers[SONDE__SIGNALS] = {"raw",  "head-sc.", "feat-sc.",
                                                    "loss", "accuracy", "tpv"};
/* What is tried first where nothing was asked for; TPV is never chosen unasked. */
static const int preferred[] = {SONDE_SCORE_HEAD_SCALED, SONDE_SCORE_RAW,
                                SONDE_SCORE_FEATURE_SCALED, SONDE_SCORE_LOSS, SONDE_SCORE_ACCURACY};

int sonde__signal_find(const char *name)
{
    for (int i = 0; i < SONDE__SIGNALS; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

sonde_status sonde__keep_table_create(sonde_context *context, size_t count,
                                      sonde__keep_table *table)
{
    *table = (sonde__keep_table){.context = context, .count = count, .by = -1};
    table->epochs = sonde__alloc_zero(context, count, sizeof *table->epochs);
    bool whole = table->epochs != NULL;
    for (int i = 0; i < SONDE__SIGNALS; i++) {
        sonde__signal *signal = &table->signals[i];
        signal->name = names[i];
        signal->header = headers[i];
        signal->scores = sonde__alloc_zero(context, count, sizeof *signal->scores);
        whole = whole && signal->scores;
        for (size_t j = 0; signal->scores && j < count; j++)
            signal->scores[j].validity = SONDE_NOT_MEASURED;
    }
    if (whole)
        return SONDE_OK;
    sonde__keep_table_free(table);
    return SONDE_ERROR_MEMORY;
}

void sonde__keep_table_free(sonde__keep_table *table)
{
    if (!table->context)
        return;
    for (int i = 0; i < SONDE__SIGNALS; i++) {
        sonde__free(table->context, table->signals[i].scores);
        sonde__free(table->context, table->signals[i].second);
    }
    sonde__free(table->context, table->epochs);
    sonde__free(table->context, table->rates);
    sonde__free(table->context, table->paths);
    sonde__free(table->context, table->rows);
    *table = (sonde__keep_table){0};
}

/* ---- a run ----------------------------------------------------------------------------------- */

/* "head.head_scaled" is signal 1 of the first batch, "head2.raw" signal 0 of the second; -1: none. */
static int signal_of_row(const char *name, bool *second)
{
    char plain[64];
    *second = strncmp(name, "head2.", 6) == 0;
    if (strcmp(name, SONDE__TPV_SIGNAL) == 0)
        return SONDE_SCORE_TPV;
    if (!*second && strncmp(name, "head.", 5) != 0)
        return -1;
    snprintf(plain, sizeof plain, "%s", name + (*second ? 6 : 5));
    for (char *at = plain; *at; at++)
        *at = *at == '_' ? '-' : *at;
    return sonde__signal_find(plain);
}

static sonde_status put_second(sonde__keep_table *table, sonde__signal *signal, size_t index,
                               const sonde_score *score)
{
    if (!signal->second) {
        signal->second = sonde__alloc_zero(table->context, table->count, sizeof *signal->second);
        if (!signal->second)
            return SONDE_ERROR_MEMORY;
        for (size_t i = 0; i < table->count; i++)
            signal->second[i].validity = SONDE_NOT_MEASURED;
    }
    signal->second[index] = *score;
    return SONDE_OK;
}

/* Rows of epochs and of scores both ascend by epoch. */
static sonde_status take_scores(const sonde__record *record, sonde__keep_table *table)
{
    size_t at = 0;
    for (size_t i = 0; i < record->score_count; i++) {
        const sonde__score_row *row = &record->scores[i];
        bool second;
        const int which = signal_of_row(row->signal, &second);
        while (at < table->count && table->epochs[at] < row->epoch)
            at++;
        if (which < 0 || at == table->count || table->epochs[at] != row->epoch)
            continue;
        if (second)
            SONDE_TRY(put_second(table, &table->signals[which], at, &row->score));
        else
            table->signals[which].scores[at] = row->score;
    }
    return SONDE_OK;
}

sonde_status sonde__keep_table_of_run(sonde_context *context, const sonde__record *record,
                                      sonde__keep_table *table)
{
    sonde_status status = SONDE_OK;
    SONDE_TRY(sonde__keep_table_create(context, record->epoch_count, table));
    table->rates = sonde__alloc(context, table->count, sizeof *table->rates);
    for (size_t i = 0; i < table->count; i++)
        table->epochs[i] = record->epochs[i].epoch;
    bool known = table->rates != NULL && table->count > 0;
    for (size_t i = 0; known && i < table->count; i++) {
        table->rates[i] = record->epochs[i].learning_rate;
        known = isfinite(table->rates[i]);
    }
    if (!known) {
        sonde__free(context, table->rates);
        table->rates = NULL;
    }
    table->seen = strncmp(record->summary.config.probe, "held", 4) != 0;
    table->stop = &record->summary.decision;
    status = take_scores(record, table);
    if (status != SONDE_OK)
        sonde__keep_table_free(table);
    return status;
}

/* ---- a series -------------------------------------------------------------------------------- */

sonde_status sonde__keep_table_of_series(sonde_context *context, const sonde__series *series,
                                         sonde__keep_table *table)
{
    sonde_status status = SONDE_OK;
    SONDE_TRY(sonde__keep_table_create(context, series->count, table));
    table->seen = true;
    table->paths = sonde__alloc(context, series->count, sizeof *table->paths);
    status = table->paths ? SONDE_OK : SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < series->count && status == SONDE_OK; i++) {
        sonde_head_report report;
        table->epochs[i] = series->checkpoints[i].epoch;
        table->paths[i] = series->checkpoints[i].path;
        if (!series->checkpoints[i].probe)
            continue;
        status = sonde__series_probe(series, i, &report);
        for (int j = 0; j < SONDE_SCORE_TPV && status == SONDE_OK; j++)
            table->signals[j].scores[i] = *sonde__keep_score(&report, (sonde_score_kind)j);
    }
    if (status != SONDE_OK)
        sonde__keep_table_free(table);
    return status;
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* In plain words why a signal without a single valid score has none. */
static void say_why_not(const sonde__keep_table *table, sonde__signal *signal)
{
    bool any_probe = false, measured = false;
    for (size_t i = 0; i < table->count; i++) {
        measured = measured || signal->scores[i].validity != SONDE_NOT_MEASURED;
        any_probe =
            any_probe || table->signals[SONDE_SCORE_LOSS].scores[i].validity != SONDE_NOT_MEASURED;
    }
    if (measured)
        snprintf(signal->why_not, sizeof signal->why_not, "no value of it is finite");
    else if (signal == &table->signals[SONDE_SCORE_TPV])
        snprintf(signal->why_not, sizeof signal->why_not, "%s",
                 table->paths ? "only a run's own record has it (`sonde tpv` measures it)"
                              : "the run did not observe it (--tpv-every)");
    else if (!any_probe)
        snprintf(signal->why_not, sizeof signal->why_not, "%s",
                 table->paths ? "no checkpoint has a probe side file"
                              : "the run recorded no probe scores");
    else if (signal == &table->signals[SONDE_SCORE_HEAD_SCALED])
        snprintf(signal->why_not, sizeof signal->why_not,
                 "the side files hold no head weight to scale by");
    else if (signal == &table->signals[SONDE_SCORE_ACCURACY])
        snprintf(signal->why_not, sizeof signal->why_not, "the targets are no class labels");
    else
        snprintf(signal->why_not, sizeof signal->why_not, "it was not measured");
}

static sonde_status choose_by(sonde__keep_table *table, sonde__signal *signal,
                              const sonde_keep_options *options)
{
    const sonde_keep_series series = {.count = table->count,
                                      .epochs = table->epochs,
                                      .scores = signal->scores,
                                      .second = signal->second,
                                      .learning_rate = table->rates};
    signal->usable = 0;
    for (size_t i = 0; i < table->count; i++)
        signal->usable += signal->scores[i].validity == SONDE_VALID;
    if (signal->usable == 0) {
        signal->choice.epoch = -1;
        say_why_not(table, signal);
        return SONDE_OK;
    }
    const uint32_t known = signal == &table->signals[SONDE_SCORE_TPV] ? SONDE_KEEP_WARN_TPV
                           : table->seen                              ? SONDE_KEEP_WARN_SEEN
                                                                      : 0;
    return sonde__keep_choose(table->context, &series, options, known, &signal->choice);
}

sonde_status sonde__keep_table_choose(sonde__keep_table *table, const sonde_keep_options *options,
                                      int wanted)
{
    for (int i = 0; i < SONDE__SIGNALS; i++)
        SONDE_TRY(choose_by(table, &table->signals[i], options));
    table->by = wanted;
    for (size_t i = 0; i < sizeof preferred / sizeof preferred[0] && table->by < 0; i++)
        if (table->signals[preferred[i]].usable)
            table->by = preferred[i];
    return SONDE_OK;
}

bool sonde__keep_by_spectra(const sonde__keep_table *table)
{
    return table->by < 0 && table->rows && table->stop && table->stop->stop_advised;
}

int64_t sonde__keep_chosen(const sonde__keep_table *table)
{
    const bool spectra = sonde__keep_by_spectra(table);
    if (table->by < 0 && !spectra)
        return -1;
    const int64_t epoch =
        spectra ? table->stop->stop_epoch : table->signals[table->by].choice.epoch;
    for (size_t i = 0; i < table->count; i++)
        if (table->epochs[i] == epoch)
            return (int64_t)i;
    return -1;
}
