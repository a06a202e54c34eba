/* Words about spectra and series of checkpoints; see words_survey.h. */
#include "report/words_survey.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* Layers over their threshold that chance explains: no more than 2.5 standard deviations above the
 * expected number, and none far out. */
static bool is_chance(const sonde__survey_table *table, double expected)
{
    return table->over > 0 && (double)table->over <= expected + 2.5 * sqrt(expected) &&
           table->rows[table->worst].ratio < 1.3;
}

void sonde__words_law(const sonde__survey_table *table, sonde__words *words)
{
    *words = (sonde__words){.topic = "Law", .question = "Where has training reshaped the weights?"};
    if (table->judged == 0) {
        words->tone = SONDE__TONE_UNSURE;
        snprintf(words->answer, sizeof words->answer, "No answer");
        snprintf(words->sure, sizeof words->sure, "No layer can be judged");
        sonde__words_add(words, "%s",
                         table->spectra     ? "Every matrix is too small, of too low a rank or not "
                                              "finite for the comparison with random matrices."
                         : !table->complete ? "No layer was finished."
                         : table->count     ? "No layer has a spectrum, for the reasons told."
                                            : "The model holds no tensors.");
        return;
    }
    const double chance = table->false_alarm * (double)table->judged;
    if (table->over)
        snprintf(words->answer, sizeof words->answer,
                 "%zu of %zu judged layer%s left the random-matrix law", table->over, table->judged,
                 table->judged == 1 ? " has" : "s have");
    else
        snprintf(words->answer, sizeof words->answer,
                 "None of %zu judged layer%s has left the random-matrix law", table->judged,
                 plural(table->judged));
    const bool by_chance = is_chance(table, chance);
    words->tone = table->over && !by_chance ? SONDE__TONE_CARE : SONDE__TONE_SURE;
    snprintf(words->sure, sizeof words->sure,
             "By chance alone %.3g would have (false-alarm rate %g a layer)", chance,
             table->false_alarm);
    law_worst(table, words);
    if (by_chance)
        sonde__words_add(words, "So few, and by so little, are what random matrices give: nothing "
                                "says that training has reshaped any bulk.");
    else if (table->over)
        sonde__words_add(words,
                         "That says training has changed the bulk of these weights, not only "
                         "added directions; it does not say that it did harm. Whether it is time "
                         "to stop is read off a series: `sonde spectrum FOLDER`.");
    else
        sonde__words_add(words, "What training has learnt stands in the spikes; the bulk is as "
                                "random as at the start. Nothing here speaks of over-training.");
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
    words->tone = table->odd_tails ? SONDE__TONE_CARE : SONDE__TONE_SURE;
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

void sonde__words_survey_warnings(const sonde__survey_table *table, sonde__warnings *warnings)
{
    char names[400];
    warnings->count = 0;
    if (!table->complete)
        sonde__words_warn(warnings,
                          "Interrupted: this is a part of the model, %zu of %zu tensors were "
                          "looked at or found to have no spectrum.",
                          table->spectra, table->count);
    if (table->fast)
        sonde__words_warn(
            warnings,
            "Fast: eigenvalues are estimates, their cumulative distribution off by up "
            "to %.2g. A layer counts as over its threshold only where that error "
            "cannot explain it. Drop --fast for every eigenvalue.",
            table->error_bound);
    if (table->spectra > table->judged)
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

void sonde__words_series_stop(const sonde_decision *decision, size_t count, sonde__words *words)
{
    *words = (sonde__words){.topic = "Stop", .question = "Was more training worth it?"};
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
        snprintf(words->sure, sizeof words->sure, "No layer can be judged");
    sonde__words_add(words, "%s", decision->stop_reason);
    if (judged && decision->worst_layer[0])
        sonde__words_add(words, "Closest to its threshold is layer %s, at %.0f %% of it.",
                         decision->worst_layer, 100 * decision->worst_ratio);
    if (count < 5)
        sonde__words_add(words, "%zu checkpoint%s make a short series.", count, plural(count));
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
