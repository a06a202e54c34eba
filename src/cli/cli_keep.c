/*
 * `sonde keep`: which checkpoint to ship, by every signal that is there: of a run from its store, of
 * a folder of checkpoints from the probe side files beside them, and on request from the spectra.
 */
#include "cli/verb.h"

#include <stddef.h>
#include <string.h>

#include "base/path.h"
#include "cli/interrupt.h"
#include "cli/keep_table.h"
#include "cli/live.h"
#include "cli/models.h"
#include "report/page.h"

static int read_options(const sonde__call *call, sonde_keep_options *options, int *wanted)
{
    const char *window = call->values.window, *by = call->values.keep_by;
    sonde_keep_options_init(options);
    *wanted = by ? sonde__signal_find(by) : -1;
    if (by && *wanted < 0)
        return sonde__cli_usage("--keep-by is \"%s\"; it takes raw, head-scaled, feature-scaled, "
                                "loss, accuracy or tpv",
                                by);
    if (!window || strcmp(window, "auto") == 0)
        options->window = SONDE_WINDOW_AUTO;
    else if (strcmp(window, "tail") == 0)
        options->window = SONDE_WINDOW_TAIL;
    else if (strcmp(window, "all") == 0)
        options->window = SONDE_WINDOW_ALL;
    else
        return sonde__cli_usage("--window is \"%s\"; it takes auto, tail or all", window);
    return SONDE__EXIT_DONE;
}

static sonde_status answer(sonde__call *call, sonde__keep_table *table,
                           const sonde_keep_options *options, int wanted)
{
    const sonde__paper paper = sonde__paper_of(stdout);
    SONDE_TRY(sonde__keep_table_choose(table, options, wanted));
    if (call->values.json)
        return sonde__json_keep(stdout, table, call->positional);
    if (!call->values.quiet)
        sonde__print_keep(&paper, table);
    return SONDE_OK;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static int keep_run(sonde__call *call, sonde_keep_options *options, int wanted)
{
    sonde__store *store = NULL;
    sonde__record record = {0};
    sonde__keep_table table = {0};
    sonde_status status = sonde__cli_read_run(call->context, call->positional, &store, &record);
    if (status == SONDE_OK) {
        if (wanted < 0)
            wanted = sonde__signal_find(record.summary.config.keep_by);
        if (!call->values.window && strcmp(record.summary.config.window, "tail") == 0)
            options->window = SONDE_WINDOW_TAIL;
        else if (!call->values.window && strcmp(record.summary.config.window, "all") == 0)
            options->window = SONDE_WINDOW_ALL;
        status = sonde__keep_table_of_run(call->context, &record, &table);
    }
    if (status == SONDE_OK)
        status = answer(call, &table, options, wanted);
    const int exit_status = status == SONDE_OK ? SONDE__EXIT_DONE : sonde__cli_fail(call->context);
    sonde__keep_table_free(&table);
    sonde__record_free(&record);
    sonde__store_close(store);
    return exit_status;
}

/* ---- a folder -------------------------------------------------------------------------------- */

/* One checkpoint's spectra into its row and the trend. */
static sonde_status survey_one(sonde_context *context, const sonde__checkpoint *checkpoint,
                               const sonde_survey_options *options, sonde__trend *trend,
                               sonde__trend_row *row)
{
    sonde_model *model = NULL;
    sonde_survey *survey = NULL;
    sonde__survey_table table = {0};
    SONDE_TRY(sonde_model_open(context, checkpoint->path, NULL, &model));
    sonde_status status = sonde_survey_run(context, model, options, &survey);
    if (status == SONDE_OK)
        status = sonde__survey_table_make(context, survey, &table);
    if (status == SONDE_OK) {
        table.path = checkpoint->path;
        table.epoch = checkpoint->epoch;
        table.false_alarm = options->spectrum.false_alarm;
        sonde__trend_row_fill(&table, row);
        status = sonde__trend_add(trend, checkpoint->epoch, survey);
    }
    sonde__survey_table_free(&table);
    sonde_survey_free(survey);
    sonde_model_close(model);
    return status;
}

static sonde_status survey_series(sonde__call *call, const sonde__series *series,
                                  sonde__keep_table *table, sonde_decision *stop)
{
    sonde_survey_options options;
    sonde__survey_live live;
    sonde__trend *trend = NULL;
    sonde__survey_live_init(&live, call->values.quiet);
    sonde_survey_options_init(&options);
    options.progress = sonde__survey_live_progress;
    options.progress_user = &live;
    table->rows = sonde__alloc_zero(call->context, series->count, sizeof *table->rows);
    sonde_status status = SONDE_ERROR_MEMORY;
    if (table->rows)
        status = sonde__trend_create(call->context, NULL, options.spectrum.false_alarm, &trend);
    for (size_t i = 0; i < series->count && status == SONDE_OK; i++) {
        live.model = sonde__page_name(series->checkpoints[i].path);
        live.number = i + 1;
        live.models = series->count;
        status =
            survey_one(call->context, &series->checkpoints[i], &options, trend, &table->rows[i]);
    }
    sonde__live_end(&live.live);
    if (status == SONDE_OK)
        status = sonde__trend_decide(trend, stop);
    table->stop = stop;
    sonde__trend_free(trend);
    return status;
}

/* Checkpoints are not opened for their scores: one that is not there would have none. */
static sonde_status check_all_there(sonde_context *context, const sonde__series *series)
{
    for (size_t i = 0; i < series->count; i++)
        if (!sonde__path_exists(series->checkpoints[i].path))
            return sonde__fail_errno(context, series->checkpoints[i].path, "be opened");
    return SONDE_OK;
}

static int keep_folder(sonde__call *call, const sonde_keep_options *options, int wanted)
{
    sonde__series series = {0};
    sonde__keep_table table = {0};
    sonde_decision stop = {0};
    sonde__interrupt_install();
    sonde__interrupt_cancels(call->context);
    sonde_status status = sonde__cli_models(call, &series);
    if (status == SONDE_OK)
        status = check_all_there(call->context, &series);
    if (status == SONDE_OK)
        status = sonde__keep_table_of_series(call->context, &series, &table);
    if (status == SONDE_OK)
        table.seen = !call->values.held;
    if (status == SONDE_OK && call->values.spectra)
        status = survey_series(call, &series, &table, &stop);
    if (status == SONDE_OK)
        status = answer(call, &table, options, wanted);
    int exit_status = status == SONDE_OK ? SONDE__EXIT_DONE : sonde__cli_fail(call->context);
    if (status == SONDE_ERROR_CANCELLED && sonde__interrupt_signal())
        exit_status = 128 + sonde__interrupt_signal();
    sonde__interrupt_cancels(NULL);
    sonde__keep_table_free(&table);
    sonde__series_free(&series);
    return exit_status;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int run_keep(sonde__call *call)
{
    sonde_keep_options options;
    int wanted;
    const int exit_status = read_options(call, &options, &wanted);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    if (call->positional_count == 1 && sonde__cli_is_run(call->context, call->positional))
        return keep_run(call, &options, wanted);
    return keep_folder(call, &options, wanted);
}

static const sonde__option options_list[] = {
    {SONDE__OPTION_TEXT, "keep-by", 0, "SCORE",
     "the score that decides: raw, head-scaled or feature-scaled gradient norm, loss or accuracy "
     "of the probe batch, or tpv of a run that observed it [of a run: its own; else head-scaled, "
     "or "
     "raw without a head weight]",
     offsetof(sonde__values, keep_by)},
    {SONDE__OPTION_TEXT, "window", 0, "KIND", "epochs to choose from: auto, tail or all [auto]",
     offsetof(sonde__values, window)},
    {SONDE__OPTION_FLAG, "held", 0, "", "the probe examples were never trained on",
     offsetof(sonde__values, held)},
    {SONDE__OPTION_FLAG, "spectra", 0, "",
     "also compute the spectra of every checkpoint, for the stop advice",
     offsetof(sonde__values, spectra)},
    {SONDE__OPTION_SIZE, "memory", 0, "SIZE", "keep within this much memory, as 512M or 2G",
     offsetof(sonde__values, memory)},
    {SONDE__OPTION_INTEGER, "threads", 0, "N", "worker threads; 0: all cores [0]",
     offsetof(sonde__values, threads)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print one JSON object", offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "no progress, and no answer either unless --json",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

const sonde__verb sonde__verb_keep = {
    .name = "keep",
    .summary = "tells which checkpoint of a run or a folder to ship, by every signal there is",
    .usage = "keep RUN | FOLDER | MODEL... [OPTIONS]",
    .examples = "    sonde keep runs/a\n"
                "    sonde keep checkpoints/ --held                with NAME.probe.npz side files\n"
                "    sonde keep checkpoints/ --spectra\n",
    .about =
        "Ranks checkpoints by the head-gradient probe: the gradient of the loss with respect to\n"
        "the last layer on one fixed batch, in closed form. A run has recorded it; beside a\n"
        "checkpoint NAME.EXT of any framework it is read from NAME.probe.npz or\n"
        "NAME.probe.safetensors with the arrays features (inputs of the last layer, B x d), "
        "logits\n"
        "(B x C), labels (B) and, optionally, the head's weight (C x d). Says which signals do "
        "not\n"
        "apply, and why. No test accuracy is read.\n",
    .options = options_list,
    .positional = "RUN or FOLDER",
    .most = 1 << 20,
    .run = run_keep,
};
