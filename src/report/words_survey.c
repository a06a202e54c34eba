/* Words about spectra and series of checkpoints; see words_survey.h. */
#include "report/words_survey.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/judge.h"

enum { NAME_SHOWN = 96 };

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* Names of at most three rows of a kind, "a, b and 4 others". */
typedef bool (*row_test)(const sonde__survey_row *row);

static bool is_over(const sonde__survey_row *row)
{
    return row->over;
}

static bool is_low(const sonde__survey_row *row)
{
    return row->odd_tail && row->alpha < sonde__alpha_low;
}

static bool is_high(const sonde__survey_row *row)
{
    return row->odd_tail && row->alpha > sonde__alpha_high;
}

static bool is_collapsed(const sonde__survey_row *row)
{
    return row->collapsed;
}

static bool is_not_finite(const sonde__survey_row *row)
{
    return !row->layer.skipped && row->layer.report.validity == SONDE_NOT_FINITE;
}

static bool is_zero(const sonde__survey_row *row)
{
    return !row->layer.skipped && row->layer.report.validity == SONDE_DEGENERATE &&
           row->layer.report.largest == 0;
}

/* Of an adapter alone: its product has no bulk. */
static bool is_low_rank_product(const sonde__survey_row *row)
{
    return row->layer.skipped ||
           (row->layer.kind == SONDE_LAYER_LORA && row->layer.report.validity == SONDE_DEGENERATE);
}

static size_t list_names(const sonde__survey_table *table, row_test test, char *text, size_t size)
{
    size_t found = 0, used = 0;
    text[0] = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (!test(&table->rows[i]) || ++found > 3)
            continue;
        const int written = snprintf(text + used, size - used, "%s%.*s", found > 1 ? ", " : "",
                                     NAME_SHOWN, table->rows[i].layer.name);
        used += written > 0 ? (size_t)written : 0;
    }
    if (found > 3)
        snprintf(text + used, size - used, " and %zu other%s", found - 3, plural(found - 3));
    return found;
}

/* ---- one model ------------------------------------------------------------------------------- */

static void law_worst(const sonde__survey_table *table, sonde__words *words)
{
    const sonde__survey_row *worst = &table->rows[table->worst];
    sonde__words_add(words, "%s: %.*s, at %.2f times its threshold (type %s, %d spike%s).",
                     table->over ? "Furthest from it" : "Closest to its threshold", NAME_SHOWN,
                     worst->layer.name, worst->ratio,
                     sonde_spectrum_type_name(worst->layer.report.type), worst->layer.report.spikes,
                     plural((size_t)worst->layer.report.spikes));
}

static void law_unknown(const sonde__survey_table *table, sonde__words *words)
{
    bool adapter = table->spectra > 0;
    for (size_t i = 0; i < table->count; i++)
        adapter = adapter && is_low_rank_product(&table->rows[i]);
    words->tone = SONDE__TONE_UNSURE;
    snprintf(words->answer, sizeof words->answer, "No answer");
    snprintf(words->sure, sizeof words->sure, "No layer can be judged");
    sonde__words_add(words, "%s",
                     adapter ? "An adapter's products are of low rank and have no bulk to compare "
                               "with random matrices: read stable and effective rank against the "
                               "rank, or look at base and adapter together."
                     : table->spectra   ? "Every matrix is too small, of too low a rank or not "
                                          "finite for the comparison with random matrices."
                     : !table->complete ? "No layer was finished."
                     : table->count     ? "No layer has a spectrum, for the reasons told."
                                        : "The model holds no tensors.");
}

static void law_meaning(const sonde__survey_table *table, bool by_chance, sonde__words *words)
{
    if (by_chance)
        sonde__words_add(words, "So few, and by so little, are what random matrices give: nothing "
                                "says that training has reshaped any bulk.");
    else if (table->over)
        sonde__words_add(
            words,
            "%s bulk is not that of independent random weights. Where training began with "
            "such, it has changed more than a few directions; that does not say that "
            "it did harm. Whether it is time to stop is read off a series: `sonde "
            "spectrum FOLDER`.",
            table->over == 1 ? "Its" : "Their");
    else
        sonde__words_add(words, "No bulk can be told from random weights: what training has learnt "
                                "is seen in the spikes alone. Small layers are judged with little "
                                "power, so that this is no proof.");
}

void sonde__words_law(const sonde__survey_table *table, sonde__words *words)
{
    *words = (sonde__words){.topic = "Law", .question = "Where has training reshaped the weights?"};
    if (table->judged == 0) {
        law_unknown(table, words);
        return;
    }
    if (table->over)
        snprintf(words->answer, sizeof words->answer,
                 "%zu of %zu judged layer%s left the random-matrix law", table->over, table->judged,
                 table->judged == 1 ? " has"
                 : table->over == 1 ? "s has"
                                    : "s have");
    else
        snprintf(words->answer, sizeof words->answer,
                 "None of %zu judged layer%s has left the random-matrix law", table->judged,
                 plural(table->judged));
    const bool by_chance = sonde__chance_explains(
        table->judged, table->over, table->rows[table->worst].ratio, table->false_alarm);
    words->tone = table->over && !by_chance ? SONDE__TONE_CARE : SONDE__TONE_SURE;
    snprintf(words->sure, sizeof words->sure,
             "By chance alone %.3g would have (false-alarm rate %g a layer)",
             table->false_alarm * (double)table->judged, table->false_alarm);
    law_worst(table, words);
    law_meaning(table, by_chance, words);
}

void sonde__words_tails(const sonde__survey_table *table, sonde__words *words)
{
    char names[400];
    *words = (sonde__words){.topic = "Tail", .question = "Do the tails follow a power law?"};
    if (table->fits == 0) {
        snprintf(words->answer, sizeof words->answer, "No answer");
        words->tone = SONDE__TONE_UNSURE;
        snprintf(words->sure, sizeof words->sure, "No tail is described by a power law");
        sonde__words_add(words, "An exponent is read from layers that are not random alone, with "
                                "20 eigenvalues or more in the tail and D of 0.1 or less; the "
                                "others in the table mean little.");
        return;
    }
    snprintf(words->answer, sizeof words->answer,
             "alpha %.2f on average where a power law fits: %zu of %zu layers", table->mean_alpha,
             table->fits, table->spectra);
    words->tone = table->odd_tails ? SONDE__TONE_CARE : SONDE__TONE_PLAIN;
    if (table->odd_tails == 0)
        sonde__words_add(words, "Every exponent that can be read lies between 2 and 6.");
    if (list_names(table, is_low, names, sizeof names))
        sonde__words_add(words, "Below 2, a tail heavier than well-trained layers show: %s.",
                         names);
    if (list_names(table, is_high, names, sizeof names))
        sonde__words_add(words,
                         "Above 6, hardly a heavy tail, so little trained by that reading: "
                         "%s.",
                         names);
    sonde__words_add(words, "The range from 2 to 6 was observed on large networks (Martin and "
                            "Mahoney 2021); it compares models of one family, and is no test of "
                            "a single one.");
}

void sonde__words_rank(const sonde__survey_table *table, sonde__words *words)
{
    char names[400];
    *words = (sonde__words){.topic = "Rank", .question = "Has a layer lost rank?"};
    if (table->spectra == 0) {
        snprintf(words->answer, sizeof words->answer, "No answer");
        return;
    }
    if (list_names(table, is_collapsed, names, sizeof names) == 0) {
        words->tone = SONDE__TONE_SURE;
        snprintf(words->answer, sizeof words->answer, "No rank collapse");
        return;
    }
    words->tone = SONDE__TONE_CARE;
    snprintf(words->answer, sizeof words->answer, "%zu layer%s lost rank", table->collapsed,
             table->collapsed == 1 ? " has" : "s have");
    sonde__words_add(words, "Over a tenth of the spectrum is near zero: %s.", names);
    sonde__words_add(words, "Directions that carry nothing can come from weight decay, dead units, "
                            "padding, or a matrix that was made of low rank on purpose.");
}

/* Weights that no working network has. */
static void warn_of_broken(const sonde__survey_table *table, sonde__warnings *warnings)
{
    char names[400];
    size_t count = list_names(table, is_not_finite, names, sizeof names);
    if (count)
        sonde__words_warn(warnings,
                          "%zu layer%s NaN or infinity: %s. A network that uses %s gives no sound "
                          "output.",
                          count, count == 1 ? " holds" : "s hold", names,
                          count == 1 ? "it" : "them");
    count = list_names(table, is_zero, names, sizeof names);
    if (count)
        sonde__words_warn(warnings, "%zu layer%s all zero: %s.", count,
                          count == 1 ? " is" : "s are", names);
}

static void warn_of_fast(const sonde__survey_table *table, sonde__warnings *warnings)
{
    if (table->fast && table->error_bound > 0)
        sonde__words_warn(
            warnings,
            "Fast: eigenvalues are estimates, their cumulative distribution off by up to %.2g. A "
            "layer counts as over its threshold only where that error cannot explain it; spikes "
            "near the edge, alpha and ranks are rough. Drop --fast for every eigenvalue.",
            table->error_bound);
    else if (table->fast && table->spectra)
        sonde__words_warn(warnings, "--fast changed nothing: every matrix is small enough for all "
                                    "of its eigenvalues.");
}

void sonde__words_survey_warnings(const sonde__survey_table *table, sonde__warnings *warnings)
{
    char names[400];
    warnings->count = 0;
    if (!table->complete)
        sonde__words_warn(warnings,
                          "Interrupted: this is a part of the model, %zu of %zu tensors were "
                          "looked at or found to have no spectrum.",
                          table->spectra, table->count);
    warn_of_broken(table, warnings);
    warn_of_fast(table, warnings);
    if (table->judged && table->spectra > table->judged)
        sonde__words_warn(warnings,
                          "%zu of %zu spectra cannot be compared with random matrices: too small, "
                          "of too low a rank, or not finite.",
                          table->spectra - table->judged, table->spectra);
    if (table->judged && list_names(table, is_over, names, sizeof names) == table->judged &&
        table->judged > 4)
        sonde__words_warn(warnings,
                          "Every judged layer is over its threshold: usual for a network trained "
                          "to the end, and for one that did not start from independent weights.");
}

/* ---- a series -------------------------------------------------------------------------------- */

/* Of the checkpoints in between that have layers over their threshold. */
static size_t count_chance(const sonde__trend_row *rows, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += sonde__chance_explains(rows[i].judged, rows[i].over, rows[i].worst_ratio,
                                        rows[i].false_alarm);
    return found;
}

static size_t count_judged(const sonde__trend_row *rows, size_t count)
{
    size_t judged = 0;
    for (size_t i = 0; i < count; i++)
        judged += rows[i].judged;
    return judged;
}

void sonde__words_series_stop(const sonde_decision *decision, const sonde__trend_row *rows,
                              size_t count, sonde__words *words)
{
    *words = (sonde__words){.topic = "Stop", .question = "Was more training worth it?"};
    const size_t chance = count_chance(rows, count);
    if (decision->stop_advised) {
        words->tone = SONDE__TONE_CARE;
        snprintf(words->answer, sizeof words->answer, "Advised at epoch %" PRId64,
                 decision->stop_epoch);
        snprintf(words->sure, sizeof words->sure, "By layer %.127s", decision->stop_layer);
        sonde__words_add(words, "%s", decision->stop_reason);
        sonde__words_add(words, "The spectra alone decided: without a head-gradient probe nothing "
                                "confirms that the change did harm (`sonde keep` reads probes).");
        return;
    }
    const bool judged = decision->worst_ratio > 0;
    words->tone = judged ? SONDE__TONE_SURE : SONDE__TONE_UNSURE;
    snprintf(words->answer, sizeof words->answer, "%s", judged ? "Not advised" : "No answer");
    if (!judged)
        snprintf(words->sure, sizeof words->sure, "%s",
                 count_judged(rows, count) ? "The files do not hold the same layers"
                                           : "No layer can be judged");
    sonde__words_add(words, "%s", decision->stop_reason);
    if (judged && decision->worst_layer[0])
        sonde__words_add(words, "Closest to its threshold is layer %s, at %.0f %% of it.",
                         decision->worst_layer, 100 * decision->worst_ratio);
    if (judged && chance)
        sonde__words_add(words,
                         "At %zu checkpoint%s so few layers are over their threshold, and by so "
                         "little, that chance explains it: they do not count.",
                         chance, plural(chance));
    if (count < 5)
        sonde__words_add(words, "%zu checkpoint%s a short series.", count,
                         count == 1 ? " makes" : "s make");
}

void sonde__words_series_keep(const sonde_keep_choice *choice, const char *by, const char *file,
                              sonde__words *words)
{
    *words = (sonde__words){.topic = "Keep", .question = "Which checkpoint is the one to ship?"};
    if (choice->epoch < 0) {
        words->tone = SONDE__TONE_UNSURE;
        snprintf(words->answer, sizeof words->answer, "No answer");
        snprintf(words->sure, sizeof words->sure, "No checkpoint has a usable score");
        sonde__words_add(words, "%s", choice->reason);
        return;
    }
    snprintf(words->answer, sizeof words->answer, "Epoch %" PRId64, choice->epoch);
    sonde__words_keep_sure(choice, words);
    if (file[0])
        sonde__words_add(words, "%s", file);
    sonde__words_add(words, "By %s: %s", by, choice->reason);
}
