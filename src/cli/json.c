/* What --json prints about a run; field names are documented in docs/command.md and stay. */
#include "cli/verb.h"

#include <math.h>

#include "cli/json_out.h"
#include "report/words.h"

void sonde__json_stop(sonde__json_out *json, const sonde_decision *decision)
{
    if (!decision) {
        sonde__out_null(json, "stop");
        return;
    }
    const bool judged = decision->worst_ratio > 0;
    sonde__out_open(json, "stop", '{');
    sonde__out_flag(json, "advised", decision->stop_advised);
    sonde__out_whole(json, "epoch", decision->stop_advised ? decision->stop_epoch : -1);
    sonde__out_string(json, "layer", decision->stop_advised ? decision->stop_layer : NULL);
    sonde__out_string(json, "reason", decision->stop_reason);
    sonde__out_number(json, "worst_ratio", judged ? decision->worst_ratio : (double)NAN);
    sonde__out_string(json, "worst_layer", judged ? decision->worst_layer : NULL);
    sonde__out_close(json, '}');
}

static void keep_object(sonde__json_out *json, const sonde__record *record)
{
    const sonde_keep_choice *keep = &record->summary.decision.keep;
    const bool any = record->epoch_count > 0 && keep->epoch >= 0;
    sonde__out_open(json, "keep", '{');
    sonde__out_whole(json, "epoch", any ? keep->epoch : -1);
    sonde__out_number(json, "score", any ? keep->score : (double)NAN);
    sonde__out_string(json, "rule", record->summary.config.keep_by);
    sonde__json_keep_warnings(json, keep->warnings);
    sonde__out_flag(json, "meaningful", any && keep->meaningful);
    sonde__out_string(json, "probe", record->summary.config.probe);
    sonde__out_string(json, "window", keep->window == SONDE_WINDOW_TAIL ? "tail" : "all");
    sonde__out_whole(json, "window_first", any ? keep->window_first : -1);
    sonde__out_whole(json, "window_last", any ? keep->window_last : -1);
    sonde__out_whole(json, "second_epoch", any ? keep->second_epoch : -1);
    sonde__out_open(json, "candidates", '[');
    for (int i = 0; any && i < keep->top_count && i < SONDE_KEEP_TOP_MAX; i++)
        sonde__out_whole(json, NULL, keep->top[i]);
    sonde__out_close(json, ']');
    sonde__out_string(json, "reason", keep->reason);
    sonde__out_close(json, '}');
}

void sonde__json_keep_warnings(sonde__json_out *json, uint32_t bits)
{
    sonde__out_open(json, "warnings", '[');
    for (uint32_t bit = 1; bit; bit <<= 1) {
        const char *sentence = (bits & bit) ? sonde_keep_warning_sentence(bit) : NULL;
        if (sentence)
            sonde__out_string(json, NULL, sentence);
    }
    sonde__out_close(json, ']');
}

static void skip_object(sonde__json_out *json, const sonde__record *record)
{
    const sonde_decision *decision = &record->summary.decision;
    sonde__out_open(json, "skip", '{');
    sonde__out_number(json, "saved_fraction",
                      record->epoch_count ? decision->saved_fraction : (double)NAN);
    sonde__out_flag(json, "on", record->summary.config.skip);
    sonde__out_count(json, "examples", decision->examples);
    sonde__out_count(json, "active", decision->active);
    sonde__out_string(json, "reason", decision->skip_reason);
    sonde__out_close(json, '}');
}

static void accuracy_objects(sonde__json_out *json, const sonde__run_summary *run)
{
    sonde__out_open(json, "final", '{');
    sonde__out_number(json, "train_loss", run->final_train_loss);
    sonde__out_number(json, "test_accuracy", run->final_test_accuracy);
    sonde__out_close(json, '}');
    sonde__out_open(json, "kept", '{');
    sonde__out_number(json, "test_accuracy", run->kept_test_accuracy);
    sonde__out_close(json, '}');
    sonde__out_open(json, "hindsight", '{');
    sonde__out_whole(json, "best_epoch", run->best_test_epoch);
    sonde__out_number(json, "best_test_accuracy", run->best_test_accuracy);
    sonde__out_close(json, '}');
    sonde__out_string(json, "test_used_for", run->test_examples > 0 ? "reporting" : NULL);
}

/* Null where it was not observed; else the trace and its standard error by epoch. */
static void tpv_list(sonde__json_out *json, const sonde__record *record)
{
    if (!sonde__record_has_tpv(record)) {
        sonde__out_null(json, "tpv");
        return;
    }
    sonde__out_open(json, "tpv", '[');
    for (size_t i = 0; i < record->epoch_count; i++) {
        const int64_t epoch = record->epochs[i].epoch;
        const double trace = sonde__record_score(record, SONDE__TPV_SIGNAL, epoch);
        if (!isfinite(trace))
            continue;
        sonde__out_open(json, NULL, '{');
        sonde__out_whole(json, "epoch", epoch);
        sonde__out_number(json, "trace", trace);
        sonde__out_number(json, "standard_error",
                          sonde__record_score(record, SONDE__TPV_ERROR_SIGNAL, epoch));
        sonde__out_close(json, '}');
    }
    sonde__out_close(json, ']');
}

static void warning_list(sonde__json_out *json, const sonde__record *record)
{
    sonde__warnings warnings;
    sonde__words_warnings(record, &warnings);
    sonde__out_open(json, "warnings", '[');
    for (int i = 0; i < warnings.count; i++)
        sonde__out_string(json, NULL, warnings.lines[i]);
    sonde__out_close(json, ']');
}

sonde_status sonde__json_run(sonde_context *context, FILE *to, const sonde__record *record)
{
    const sonde__run_summary *run = &record->summary;
    sonde__json_out json;
    sonde__out_begin(&json, context, to);
    sonde__out_open(&json, NULL, '{');
    sonde__out_string(&json, "run", run->folder);
    sonde__out_string(&json, "status", run->status);
    sonde__out_string(&json, "data", run->config.data);
    sonde__out_string(&json, "model", run->config.model);
    sonde__out_whole(&json, "parameters", run->parameters);
    sonde__out_whole(&json, "train_examples", run->train_examples);
    sonde__out_whole(&json, "test_examples", run->test_examples);
    sonde__out_whole(&json, "epochs", run->config.epochs);
    sonde__out_whole(&json, "epochs_run", run->epochs_run);
    sonde__json_stop(&json, &record->summary.decision);
    keep_object(&json, record);
    skip_object(&json, record);
    accuracy_objects(&json, run);
    tpv_list(&json, record);
    sonde__out_number(&json, "seconds", run->seconds);
    warning_list(&json, record);
    sonde__out_close(&json, '}');
    return sonde__out_end(&json);
}
