/* What --json prints about a run; field names are documented in docs/command.md and stay. */
#include "cli/verb.h"
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void key(sonde__text *text, const char *name)
{
    sonde__text_json_string(text, name);
    sonde__text_add(text, ":");
}

static void string(sonde__text *text, const char *name, const char *value)
{
    key(text, name);
    sonde__text_json_string(text, value);
    sonde__text_add(text, ",");
}

static void number(sonde__text *text, const char *name, double value)
{
    key(text, name);
    sonde__text_number(text, value);
    sonde__text_add(text, ",");
}

/* Numbers below 0 mean "unknown" and become null. */
static void whole(sonde__text *text, const char *name, int64_t value)
{
    key(text, name);
    if (value < 0)
        sonde__text_add(text, "null,");
    else
        sonde__text_format(text, "%" PRId64 ",", value);
}

static void boolean(sonde__text *text, const char *name, bool value)
{
    key(text, name);
    sonde__text_add(text, value ? "true," : "false,");
}

static void open_object(sonde__text *text, const char *name)
{
    if (name)
        key(text, name);
    sonde__text_add(text, "{");
}

/* Takes the comma behind the last member away. */
static void close_object(sonde__text *text, const char *end)
{
    if (text->status == SONDE_OK && text->length && text->bytes[text->length - 1] == ',')
        text->length--;
    sonde__text_add(text, end);
}

static void stop_object(sonde__text *text, const sonde__record *record)
{
    const sonde_decision *decision = &record->summary.decision;
    open_object(text, "stop");
    boolean(text, "advised", decision->stop_advised);
    whole(text, "epoch", decision->stop_advised ? decision->stop_epoch : -1);
    if (decision->stop_advised)
        string(text, "layer", decision->stop_layer);
    else
        sonde__text_add(text, "\"layer\":null,");
    string(text, "reason", decision->stop_reason);
    number(text, "worst_ratio", decision->worst_ratio > 0 ? decision->worst_ratio : (double)NAN);
    if (decision->worst_ratio > 0)
        string(text, "worst_layer", decision->worst_layer);
    else
        sonde__text_add(text, "\"worst_layer\":null,");
    close_object(text, "},");
}

static void keep_warnings(sonde__text *text, uint32_t bits)
{
    key(text, "warnings");
    sonde__text_add(text, "[");
    for (uint32_t bit = 1; bit; bit <<= 1) {
        const char *sentence = (bits & bit) ? sonde_keep_warning_sentence(bit) : NULL;
        if (sentence) {
            sonde__text_json_string(text, sentence);
            sonde__text_add(text, ",");
        }
    }
    close_object(text, "],");
}

static void keep_object(sonde__text *text, const sonde__record *record)
{
    const sonde_keep_choice *keep = &record->summary.decision.keep;
    const bool any = record->epoch_count > 0 && keep->epoch >= 0;
    open_object(text, "keep");
    whole(text, "epoch", any ? keep->epoch : -1);
    number(text, "score", any ? keep->score : (double)NAN);
    string(text, "rule", record->summary.config.keep_by);
    keep_warnings(text, keep->warnings);
    boolean(text, "meaningful", any && keep->meaningful);
    string(text, "probe", record->summary.config.probe);
    string(text, "window", keep->window == SONDE_WINDOW_TAIL ? "tail" : "all");
    whole(text, "window_first", any ? keep->window_first : -1);
    whole(text, "window_last", any ? keep->window_last : -1);
    whole(text, "second_epoch", any ? keep->second_epoch : -1);
    key(text, "candidates");
    sonde__text_add(text, "[");
    for (int i = 0; any && i < keep->top_count && i < SONDE_KEEP_TOP_MAX; i++)
        sonde__text_format(text, "%" PRId64 ",", keep->top[i]);
    close_object(text, "],");
    string(text, "reason", keep->reason);
    close_object(text, "},");
}

static void skip_object(sonde__text *text, const sonde__record *record)
{
    const sonde_decision *decision = &record->summary.decision;
    open_object(text, "skip");
    number(text, "saved_fraction", record->epoch_count ? decision->saved_fraction : (double)NAN);
    boolean(text, "on", record->summary.config.skip);
    sonde__text_format(text, "\"examples\":%" PRIu64 ",\"active\":%" PRIu64 ",", decision->examples,
                       decision->active);
    string(text, "reason", decision->skip_reason);
    close_object(text, "},");
}

static void accuracy_objects(sonde__text *text, const sonde__run_summary *run)
{
    open_object(text, "final");
    number(text, "train_loss", run->final_train_loss);
    number(text, "test_accuracy", run->final_test_accuracy);
    close_object(text, "},");
    open_object(text, "kept");
    number(text, "test_accuracy", run->kept_test_accuracy);
    close_object(text, "},");
    open_object(text, "hindsight");
    whole(text, "best_epoch", run->best_test_epoch);
    number(text, "best_test_accuracy", run->best_test_accuracy);
    close_object(text, "},");
    if (run->test_examples > 0)
        string(text, "test_used_for", "reporting");
    else
        sonde__text_add(text, "\"test_used_for\":null,");
}

static void warning_list(sonde__text *text, const sonde__record *record)
{
    sonde__warnings warnings;
    sonde__words_warnings(record, &warnings);
    key(text, "warnings");
    sonde__text_add(text, "[");
    for (int i = 0; i < warnings.count; i++) {
        sonde__text_json_string(text, warnings.lines[i]);
        sonde__text_add(text, ",");
    }
    close_object(text, "],");
}

static void run_object(sonde__text *text, const sonde__record *record)
{
    const sonde__run_summary *run = &record->summary;
    open_object(text, NULL);
    string(text, "run", run->folder);
    string(text, "status", run->status);
    string(text, "data", run->config.data);
    string(text, "model", run->config.model);
    whole(text, "parameters", run->parameters);
    whole(text, "train_examples", run->train_examples);
    whole(text, "test_examples", run->test_examples);
    whole(text, "epochs", run->config.epochs);
    whole(text, "epochs_run", run->epochs_run);
    stop_object(text, record);
    keep_object(text, record);
    skip_object(text, record);
    accuracy_objects(text, run);
    number(text, "seconds", run->seconds);
    warning_list(text, record);
    close_object(text, "}\n");
}

sonde_status sonde__json_run(sonde_context *context, FILE *to, const sonde__record *record)
{
    sonde__text text;
    sonde__text_init(&text, context);
    run_object(&text, record);
    const sonde_status status = sonde__text_status(&text);
    if (status == SONDE_OK)
        fwrite(text.bytes, 1, text.length, to);
    sonde__text_free(&text);
    return status;
}
