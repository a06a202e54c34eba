/* The decisions in plain words; see words.h. */
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sonde__words_add(sonde__words *words, const char *format, ...)
{
    if (words->line_count == SONDE__WORDS_LINES)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words->lines[words->line_count], SONDE__WORDS_LINE, format, arguments);
    va_end(arguments);
    if (words->lines[words->line_count][0])
        words->line_count++;
}

void sonde__words_warn(sonde__warnings *warnings, const char *format, ...)
{
    if (warnings->count == SONDE__WARNINGS_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(warnings->lines[warnings->count++], SONDE__WORDS_LINE, format, arguments);
    va_end(arguments);
}

void sonde__words_clock(double seconds, char *text, size_t size)
{
    if (!(seconds >= 0) || seconds > 1e9) {
        snprintf(text, size, "?");
        return;
    }
    const long long whole = (long long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, size, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, size, "%lld:%02lld", whole / 60, whole % 60);
}

void sonde__words_duration(double seconds, char *text, size_t size)
{
    if (!(seconds >= 0) || seconds > 1e9) {
        snprintf(text, size, "unknown time");
        return;
    }
    const long long whole = (long long)(seconds + 0.5);
    if (seconds < 9.95)
        snprintf(text, size, "%.1f s", seconds);
    else if (whole < 60)
        snprintf(text, size, "%lld s", whole);
    else if (whole < 3600)
        snprintf(text, size, "%lld min %lld s", whole / 60, whole % 60);
    else
        snprintf(text, size, "%lld h %lld min", whole / 3600, whole / 60 % 60);
}

void sonde__words_grouped(int64_t value, char *text, size_t size)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%" PRId64, value);
    const size_t length = strlen(digits);
    size_t used = 0;
    for (size_t i = 0; i < length && used + 2 < size; i++) {
        if (i && (length - i) % 3 == 0 && digits[i - 1] != '-')
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = 0;
}

void sonde__words_bytes(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes / 1000;
    int unit = 0;
    if (bytes < 1000) {
        snprintf(text, size, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
        return;
    }
    for (; value >= 999.5 && unit < 5; unit++)
        value /= 1000;
    snprintf(text, size,
             value < 9.995   ? "%.2f %s"
             : value < 99.95 ? "%.1f %s"
                             : "%.0f %s",
             value, units[unit]);
}

/* ---- keep ------------------------------------------------------------------------------------ */

static int count_bits(uint32_t bits)
{
    int count = 0;
    for (; bits; bits &= bits - 1)
        count++;
    return count;
}

void sonde__words_keep_sure(const sonde_keep_choice *keep, sonde__words *words)
{
    const int warnings = count_bits(keep->warnings);
    if (!keep->meaningful) {
        words->tone = SONDE__TONE_UNSURE;
        snprintf(words->sure, sizeof words->sure, "Do not rely on it: see the warnings");
    } else if (warnings) {
        words->tone = SONDE__TONE_CARE;
        snprintf(words->sure, sizeof words->sure, "Take with care: %d warning%s", warnings,
                 warnings == 1 ? "" : "s");
    } else if (keep->second_epoch >= 0) {
        words->tone = SONDE__TONE_SURE;
        snprintf(words->sure, sizeof words->sure, "Fairly sure: two probe batches agree");
    } else {
        words->tone = SONDE__TONE_SURE;
        snprintf(words->sure, sizeof words->sure, "Fairly sure: no warnings");
    }
}

/* What it would have cost to ship the last epoch: in test accuracy, as hindsight. */
static void cost_in_accuracy(const sonde__run_summary *run, sonde__words *words)
{
    const double points = 100 * (run->kept_test_accuracy - run->final_test_accuracy);
    const double kept = 100 * run->kept_test_accuracy, last = 100 * run->final_test_accuracy;
    if (fabs(points) < 0.005)
        sonde__words_add(
            words,
            "Hindsight, not used to decide: the last epoch would have done equally well "
            "(%.2f %% test accuracy).",
            kept);
    else
        sonde__words_add(
            words,
            "Hindsight, not used to decide: keeping the last epoch instead would have %s "
            "%.2f points of test accuracy (%.2f %% kept, %.2f %% last).",
            points > 0 ? "cost" : "gained", fabs(points), kept, last);
    if (run->best_test_epoch >= 0 && isfinite(run->best_test_accuracy)) {
        const double regret = 100 * (run->best_test_accuracy - run->kept_test_accuracy);
        if (run->best_test_epoch == run->decision.keep.epoch || regret < 0.005)
            sonde__words_add(words, "No epoch of this run has a higher test accuracy (hindsight).");
        else
            sonde__words_add(words,
                             "The best epoch on the test part was %" PRId64
                             " with %.2f %%: %.2f points above the kept one (hindsight).",
                             run->best_test_epoch, 100 * run->best_test_accuracy, regret);
    }
}

static void cost_in_score(const sonde__record *record, sonde__words *words)
{
    char signal[64];
    sonde__record_keep_signal(record, false, signal, sizeof signal);
    const int64_t last = sonde__record_last_epoch(record);
    const double at_last = sonde__record_score(record, signal, last);
    const double kept = sonde__record_score(record, signal, record->summary.decision.keep.epoch);
    if (!isfinite(at_last) || !isfinite(kept) || !(kept > 0))
        return;
    const double percent = 100 * (at_last / kept - 1);
    sonde__words_add(
        words,
        "The last epoch's probe score is %.4g, %.1f %% %s the kept epoch's %.4g; without a "
        "test part nobody can say what that is in accuracy.",
        at_last, fabs(percent), percent >= 0 ? "above" : "below", kept);
}

static void keep_cost(const sonde__record *record, sonde__words *words)
{
    const sonde__run_summary *run = &record->summary;
    if (run->decision.keep.epoch == sonde__record_last_epoch(record))
        sonde__words_add(words,
                         "It is the last epoch: keeping the last one would have been the same.");
    else if (isfinite(run->kept_test_accuracy) && isfinite(run->final_test_accuracy)) {
        cost_in_accuracy(run, words);
        return;
    } else
        cost_in_score(record, words);
    if (isfinite(run->kept_test_accuracy) && run->best_test_epoch >= 0)
        sonde__words_add(
            words,
            "Hindsight, not used to decide: %.2f %% test accuracy; the best epoch on the "
            "test part was %" PRId64 " with %.2f %%.",
            100 * run->kept_test_accuracy, run->best_test_epoch, 100 * run->best_test_accuracy);
}

void sonde__words_keep(const sonde__record *record, sonde__words *words)
{
    const sonde_keep_choice *keep = &record->summary.decision.keep;
    *words = (sonde__words){.topic = "Keep", .question = "Which epoch is the one to ship?"};
    if (record->epoch_count == 0) {
        snprintf(words->answer, sizeof words->answer, "No answer");
        sonde__words_add(words, "No epoch has ended.");
        return;
    }
    if (keep->epoch < 0) {
        words->tone = SONDE__TONE_UNSURE;
        snprintf(words->answer, sizeof words->answer, "No answer");
        snprintf(words->sure, sizeof words->sure, "No epoch has a usable probe score");
        sonde__words_add(words, "%s", keep->reason);
        return;
    }
    snprintf(words->answer, sizeof words->answer, "Epoch %" PRId64 " of %" PRId64, keep->epoch,
             sonde__record_last_epoch(record));
    sonde__words_keep_sure(keep, words);
    sonde__words_add(words, "%s", keep->reason);
    keep_cost(record, words);
}

/* ---- stop ------------------------------------------------------------------------------------ */

/* Epochs trained after the advice, and what they took. */
static void stop_afterwards(const sonde__record *record, sonde__words *words)
{
    const int64_t advised = record->summary.decision.stop_epoch;
    int64_t after = 0;
    double seconds = 0;
    for (size_t i = 0; i < record->epoch_count; i++)
        if (record->epochs[i].epoch > advised) {
            after++;
            if (isfinite(record->epochs[i].seconds))
                seconds += record->epochs[i].seconds;
        }
    if (after == 0 || record->summary.config.stop)
        return; /* obeyed: the epoch that ran while the spectra were computed */
    char duration[64];
    sonde__words_duration(seconds, duration, sizeof duration);
    sonde__words_add(words,
                     "The advice was not obeyed (that takes --stop): %" PRId64
                     " more epoch%s, %s, came after it.",
                     after, after == 1 ? "" : "s", duration);
}

static bool any_valid_layer(const sonde__record *record)
{
    for (size_t i = 0; i < record->layer_count; i++)
        if (isfinite(sonde__layer_ratio(&record->layers[i])))
            return true;
    return false;
}

static void stop_not_advised(const sonde__record *record, sonde__words *words)
{
    const sonde_decision *decision = &record->summary.decision;
    if (!record->summary.config.spectrum) {
        snprintf(words->answer, sizeof words->answer, "Not observed");
        sonde__words_add(words,
                         "Spectra were switched off (--no-spectrum), so nothing can be said.");
        return;
    }
    if (!any_valid_layer(record)) {
        words->tone = SONDE__TONE_UNSURE;
        snprintf(words->answer, sizeof words->answer, "No answer");
        snprintf(words->sure, sizeof words->sure, "No layer can be judged");
        sonde__words_add(words, "%s", decision->stop_reason);
        sonde__words_add(words,
                         "Every layer is too small or too nearly square for the spectral test.");
        return;
    }
    snprintf(words->answer, sizeof words->answer, "Not advised");
    words->tone = SONDE__TONE_SURE;
    sonde__words_add(words, "%s", decision->stop_reason);
    if (decision->worst_ratio > 0 && decision->worst_layer[0])
        sonde__words_add(words, "Closest to its threshold is layer %s, at %.0f %% of it.",
                         decision->worst_layer, 100 * decision->worst_ratio);
}

void sonde__words_stop(const sonde__record *record, sonde__words *words)
{
    const sonde_decision *decision = &record->summary.decision;
    *words = (sonde__words){.topic = "Stop", .question = "Was more training worth it?"};
    if (record->epoch_count == 0) {
        snprintf(words->answer, sizeof words->answer, "No answer");
        return;
    }
    if (!decision->stop_advised) {
        stop_not_advised(record, words);
        return;
    }
    words->tone = SONDE__TONE_CARE;
    snprintf(words->answer, sizeof words->answer, "%s epoch %" PRId64,
             strcmp(record->summary.status, "stopped") == 0 ? "Stopped: advised at" : "Advised at",
             decision->stop_epoch);
    snprintf(words->sure, sizeof words->sure, "By layer %.127s", decision->stop_layer);
    sonde__words_add(words, "%s", decision->stop_reason);
    stop_afterwards(record, words);
}

/* ---- skip ------------------------------------------------------------------------------------ */

void sonde__words_skip(const sonde__record *record, sonde__words *words)
{
    const sonde_decision *decision = &record->summary.decision;
    *words = (sonde__words){.topic = "Skip", .question = "Which examples needed no training?"};
    if (record->epoch_count == 0) {
        snprintf(words->answer, sizeof words->answer, "No answer");
        return;
    }
    if (!record->summary.config.skip) {
        snprintf(words->answer, sizeof words->answer, "Switched off");
        sonde__words_add(words, "Every example was trained on in every epoch (--no-skip).");
        return;
    }
    snprintf(words->answer, sizeof words->answer, "%.1f %% of backward passes saved",
             100 * decision->saved_fraction);
    sonde__words_add(words, "%s", decision->skip_reason);
    if (decision->examples)
        sonde__words_add(words,
                         "%" PRIu64 " of %" PRIu64 " examples would be active in the next epoch.",
                         decision->active, decision->examples);
}

/* ---- test part and warnings ------------------------------------------------------------------ */

void sonde__words_test(const sonde__record *record, char *line, size_t size)
{
    const sonde__run_summary *run = &record->summary;
    if (run->test_examples <= 0)
        snprintf(line, size, "There is no test part; no accuracy on unseen data is known.");
    else if (isfinite(run->kept_test_accuracy) && isfinite(run->final_test_accuracy))
        snprintf(line, size,
                 "The test part (%" PRId64 " examples) is used only to report accuracy: %.2f %% at "
                 "the kept epoch, %.2f %% at the last. No decision has read it.",
                 run->test_examples, 100 * run->kept_test_accuracy, 100 * run->final_test_accuracy);
    else
        snprintf(line, size,
                 "The test part (%" PRId64 " examples) is used only to report accuracy; no "
                 "decision has read it.",
                 run->test_examples);
}

/* What to do about each kind of keep warning. */
static const char *keep_advice(uint32_t bit)
{
    switch ((int)bit) {
    case SONDE_KEEP_WARN_LEFT_EDGE:
        return "the best epoch may lie before the window: try --window all";
    case SONDE_KEEP_WARN_RIGHT_EDGE:
        return "more epochs may do better";
    case SONDE_KEEP_WARN_UNSTABLE:
        return "a larger probe batch would decide more firmly";
    case SONDE_KEEP_WARN_FEW:
        return "too short a run to choose from";
    case SONDE_KEEP_WARN_INVALID:
        return "look for NaN in the losses";
    case SONDE_KEEP_WARN_FLAT:
        return "any epoch of the window would do about as well by this score";
    case SONDE_KEEP_WARN_SEEN:
        return "--probe held:256 keeps a few hundred examples out of training";
    case SONDE_KEEP_WARN_TPV:
        return "compare with the choice by head-scaled (`sonde keep RUN --keep-by head-scaled`)";
    default:
        return NULL;
    }
}

void sonde__words_keep_warnings(uint32_t bits, sonde__warnings *warnings)
{
    for (uint32_t bit = 1; bit; bit <<= 1) {
        const char *sentence = (bits & bit) ? sonde_keep_warning_sentence(bit) : NULL;
        const char *advice = keep_advice(bit);
        if (sentence)
            sonde__words_warn(warnings, "Keep: %s%s%s.", sentence, advice ? "; " : "",
                              advice ? advice : "");
    }
}

/* A loss that is not finite ends a run before its epoch does, so an epoch without one trained on
 * nothing: of one active example alone, batch normalisation makes nothing either. */
static void number_warnings(const sonde__record *record, sonde__warnings *warnings)
{
    int64_t first = -1, idle = 0;
    for (size_t i = 0; i < record->epoch_count && first < 0; i++) {
        const sonde__epoch_row *row = &record->epochs[i];
        if (isfinite(row->train_loss))
            continue;
        if (row->examples > 0 && row->active <= 1)
            idle++;
        else
            first = row->epoch;
    }
    if (idle > 0)
        sonde__words_warn(warnings,
                          "%" PRId64
                          " epoch%s trained on nothing, as every example was mastered: end the run "
                          "sooner, or skip less with a smaller --delta.",
                          idle, idle == 1 ? "" : "s");
    if (first >= 0)
        sonde__words_warn(warnings,
                          "The training loss was not finite at epoch %" PRId64
                          ": the run may have diverged; try a smaller --lr or --clip.",
                          first);
}

static void layer_warnings(const sonde__record *record, sonde__warnings *warnings)
{
    size_t judged = 0, all = 0;
    const int64_t newest = record->layer_count ? record->layers[record->layer_count - 1].epoch : 0;
    for (size_t i = 0; i < record->layer_count; i++)
        if (record->layers[i].epoch == newest) {
            all++;
            judged += isfinite(sonde__layer_ratio(&record->layers[i])) ? 1u : 0u;
        }
    if (all && judged && judged < all)
        sonde__words_warn(
            warnings,
            "Stop: %zu of %zu layers are too small, too nearly square or not finite, and are not "
            "judged.",
            all - judged, all);
}

void sonde__words_warnings(const sonde__record *record, sonde__warnings *warnings)
{
    warnings->count = 0;
    if (strcmp(record->summary.status, "interrupted") == 0 ||
        strcmp(record->summary.status, "running") == 0)
        sonde__words_warn(warnings,
                          "The run is not finished (%s after epoch %" PRId64 " of %" PRId64
                          "); `sonde resume` continues it.",
                          record->summary.status, sonde__record_last_epoch(record),
                          record->summary.config.epochs);
    if (strcmp(record->summary.status, "diverged") == 0)
        sonde__words_warn(warnings,
                          "The run diverged; what is told here ends with epoch %" PRId64 ".",
                          sonde__record_last_epoch(record));
    number_warnings(record, warnings);
    sonde__words_keep_warnings(record->summary.decision.keep.warnings, warnings);
    layer_warnings(record, warnings);
    for (size_t i = 0; i < record->event_count; i++) /* the stop advice has a place of its own */
        if (strcmp(record->events[i].text, record->summary.decision.stop_reason) != 0)
            sonde__words_warn(warnings, "Epoch %" PRId64 ": %.500s", record->events[i].epoch,
                              record->events[i].text);
}
