/*
 * The keep rule: which checkpoint of a run to ship, from a score per epoch. Source of the rule: arXiv
 * 2601.16874 (smallest head-gradient score in a tail window, optionally smoothed); window edges,
 * stability between two batches and the trend inside the window are warnings of ours, after a
 * re-implementation that saw the tail's choice sit on its edge (docs/head-gradient.md).
 *
 * A pure function of the series. Works on a table of the usable epochs in which a smaller `key` is
 * always better: scores are smoothed, then negated where higher is better.
 *
 * Which window AUTO takes: the tail supposes that a run settles at its end. It does when the rate is
 * annealed and the score has not turned; at a constant rate, or when the score has turned up after a
 * minimum, the best epoch may lie anywhere, and the whole run is looked at.
 */
#include "rule/keep.h"

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "num/rank.h"

/* A last rate under this share of the largest counts as annealed. */
static const double ANNEALED_SHARE = 0.2;
/* The score has turned when all of the tail lies above its minimum by more than this share of its
 * whole range, and by more than this many times the noise from epoch to epoch. */
static const double TURNED_SHARE = 0.15;
static const double TURNED_NOISE = 1.5;
/* Scores in a window that differ by less than this share of the largest are flat. */
static const double FLAT_SHARE = 0.01;
enum { FEW = 5, TURN_LEAST = 6 };

/* The usable epochs of one probe batch. */
typedef struct usable {
    size_t count;
    int64_t *epochs;
    double *scores;  /* smoothed */
    double *keys;    /* sign * score: smaller is better */
    double *scratch; /* (SONDE__RANK_SCRATCH + 2) * count */
    size_t *places;  /* position in the series */
    double sign;
} usable;

/* Positions in the series, both ends included. */
typedef struct window {
    size_t first, last;
    sonde_keep_window kind;
    const char *why;
} window;

const sonde_score *sonde__keep_score(const sonde_head_report *report, sonde_score_kind kind)
{
    const sonde_score *const scores[] = {&report->raw, &report->head_scaled,
                                         &report->feature_scaled, &report->loss, &report->accuracy};
    return scores[kind];
}

void sonde_keep_options_init(sonde_keep_options *options)
{
    *options = (sonde_keep_options){
        .size = sizeof *options,
        .window = SONDE_WINDOW_AUTO,
        .tail_fraction = 0.2,
        .tail_least = 5,
        .stability = 2,
        .top = 3,
    };
}

const char *sonde_keep_warning_sentence(uint32_t bit)
{
    switch (bit) {
#define SONDE_KEEP_WARNING_CASE(name, number, sentence) \
    case number: \
        return sentence;
        SONDE_KEEP_WARNING_LIST(SONDE_KEEP_WARNING_CASE)
#undef SONDE_KEEP_WARNING_CASE
    default:
        return NULL;
    }
}

sonde_status sonde__keep_check_options(sonde_context *context, const sonde_keep_options *options)
{
    if (options->size != sizeof *options)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "keep options: size is %zu, not %zu; fill them with "
                           "sonde_keep_options_init",
                           options->size, sizeof *options);
    if (options->window != SONDE_WINDOW_AUTO && options->window != SONDE_WINDOW_TAIL &&
        options->window != SONDE_WINDOW_ALL)
        return sonde__fail(context, SONDE_ERROR_RANGE, "keep: window %d is unknown",
                           (int)options->window);
    if (!(options->tail_fraction > 0 && options->tail_fraction <= 1))
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "keep: tail_fraction is %g; it must be in (0, 1]",
                           options->tail_fraction);
    if (options->tail_least < 1)
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "keep: tail_least is %d; it must be 1 or more", options->tail_least);
    if (!(options->ema >= 0 && options->ema < 1))
        return sonde__fail(context, SONDE_ERROR_RANGE, "keep: ema is %g; it must be in [0, 1)",
                           options->ema);
    if (!(options->tie >= 0) || isinf(options->tie))
        return sonde__fail(context, SONDE_ERROR_RANGE, "keep: tie is %g; it must be 0 or more",
                           options->tie);
    if (options->stability < 0)
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "keep: stability is %d; it must be 0 or more", options->stability);
    if (options->top < 1 || options->top > SONDE_KEEP_TOP_MAX)
        return sonde__fail(context, SONDE_ERROR_RANGE, "keep: top is %d; it must be 1 to %d",
                           options->top, (int)SONDE_KEEP_TOP_MAX);
    return SONDE_OK;
}

static sonde_status check_series(sonde_context *context, const sonde_keep_series *series)
{
    if (series->count == 0)
        return SONDE_OK;
    if (!series->epochs || !series->scores)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "keep series: %s is NULL",
                           series->epochs ? "scores" : "epochs");
    for (size_t i = 1; i < series->count; i++)
        if (series->epochs[i] <= series->epochs[i - 1])
            return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                               "keep series: epoch %lld after epoch %lld; epochs must increase",
                               (long long)series->epochs[i], (long long)series->epochs[i - 1]);
    return SONDE_OK;
}

/* --- usable scores ----------------------------------------------------------------------------- */

static void free_usable(sonde_context *context, usable *table)
{
    sonde__free(context, table->epochs);
    sonde__free(context, table->scores);
    sonde__free(context, table->places);
}

static sonde_status make_usable(sonde_context *context, size_t count, usable *table)
{
    *table = (usable){.sign = 1};
    size_t columns = 2 + SONDE__RANK_SCRATCH + 2;
    table->epochs = sonde__alloc(context, count, sizeof *table->epochs);
    table->places = table->epochs ? sonde__alloc(context, count, sizeof *table->places) : NULL;
    table->scores = table->places ? sonde__alloc(context, count, columns * sizeof(double)) : NULL;
    if (!table->scores) {
        free_usable(context, table);
        return SONDE_ERROR_MEMORY;
    }
    table->keys = table->scores + count;
    table->scratch = table->keys + count;
    return SONDE_OK;
}

static void fill_usable(usable *table, const sonde_keep_series *series, const sonde_score *scores,
                        double beta)
{
    table->count = 0;
    double smoothed = 0;
    for (size_t i = 0; i < series->count; i++) {
        if (scores[i].validity != SONDE_VALID || !isfinite(scores[i].value))
            continue;
        size_t n = table->count++;
        if (n == 0)
            table->sign = scores[i].direction == SONDE_HIGHER_IS_BETTER ? -1 : 1;
        smoothed = n == 0 ? scores[i].value : beta * smoothed + (1 - beta) * scores[i].value;
        table->epochs[n] = series->epochs[i];
        table->places[n] = i;
        table->scores[n] = smoothed;
        table->keys[n] = table->sign * smoothed;
    }
}

/* --- window ------------------------------------------------------------------------------------ */

typedef enum rate_kind { RATE_UNKNOWN, RATE_CONSTANT, RATE_ANNEALED } rate_kind;

static rate_kind rate_of(const sonde_keep_series *series)
{
    double largest = 0, last = -1;
    for (size_t i = 0; series->learning_rate && i < series->count; i++) {
        double rate = series->learning_rate[i];
        if (!isfinite(rate) || rate < 0)
            continue;
        largest = fmax(largest, rate);
        last = rate;
    }
    if (last < 0 || largest <= 0)
        return RATE_UNKNOWN;
    return last <= ANNEALED_SHARE * largest ? RATE_ANNEALED : RATE_CONSTANT;
}

static double mean_of_three(const double *keys, size_t middle)
{
    return (keys[middle - 1] + keys[middle] + keys[middle + 1]) / 3;
}

/* The standard deviation of the noise from epoch to epoch, from the median absolute second
 * difference, which a smooth trend does not move. */
static double noise_of(const usable *table)
{
    size_t n = table->count - 2;
    for (size_t i = 0; i < n; i++)
        table->scratch[i] = fabs(table->keys[i] - 2 * table->keys[i + 1] + table->keys[i + 2]);
    sonde__sort(table->scratch, n, table->scratch + n);
    return table->scratch[n / 2] / (0.6745 * sqrt(6.0));
}

static size_t tail_length(const sonde_keep_options *options, size_t count)
{
    double share = ceil(options->tail_fraction * (double)count - 1e-9);
    size_t length = (size_t)share;
    if (length < (size_t)options->tail_least)
        length = (size_t)options->tail_least;
    return length < count ? length : count;
}

/* Whether the score, averaged over three epochs, stays clearly above its minimum in the tail. */
static bool has_turned(const usable *table, const sonde_keep_options *options)
{
    if (table->count < TURN_LEAST)
        return false;
    const size_t tail = table->count - tail_length(options, table->count);
    double least = INFINITY, most = -INFINITY, least_of_tail = INFINITY;
    for (size_t i = 1; i + 1 < table->count; i++) {
        double mean = mean_of_three(table->keys, i);
        least = fmin(least, mean);
        most = fmax(most, mean);
        if (i > tail)
            least_of_tail = fmin(least_of_tail, mean);
    }
    double rise = least_of_tail - least;
    /* A mean of three carries the noise over sqrt 3; a difference of two such, sqrt(2/3) of it. */
    double noise = noise_of(table) * sqrt(2.0 / 3.0);
    return isfinite(rise) && rise > TURNED_SHARE * (most - least) && rise > TURNED_NOISE * noise;
}

static window whole_run(const sonde_keep_series *series, const char *why)
{
    return (window){0, series->count - 1, SONDE_WINDOW_ALL, why};
}

static window tail_of(const sonde_keep_series *series, const sonde_keep_options *options,
                      const char *why)
{
    const size_t length = tail_length(options, series->count);
    return (window){series->count - length, series->count - 1, SONDE_WINDOW_TAIL, why};
}

static window choose_window(const sonde_keep_series *series, const sonde_keep_options *options,
                            const usable *table)
{
    if (options->window == SONDE_WINDOW_TAIL)
        return tail_of(series, options, "as asked");
    if (options->window == SONDE_WINDOW_ALL)
        return whole_run(series, "as asked");
    if (has_turned(table, options))
        return whole_run(series, "because the score has turned up after its best value");
    switch (rate_of(series)) {
    case RATE_ANNEALED:
        return tail_of(series, options,
                       "because the learning rate has come down and the score has not turned");
    case RATE_CONSTANT:
        return whole_run(series, "because the learning rate has not come down");
    default:
        return whole_run(series, "because the learning rate is not known");
    }
}

/* The rows of `table` that lie in the window: [*first, *last); false when there is none. */
static bool rows_in(const usable *table, const window *range, size_t *first, size_t *last)
{
    size_t begin = 0, end = table->count;
    while (begin < end && table->places[begin] < range->first)
        begin++;
    while (end > begin && table->places[end - 1] > range->last)
        end--;
    *first = begin;
    *last = end;
    return begin < end;
}

/* --- choice ------------------------------------------------------------------------------------ */

static size_t best_row(const usable *table, size_t first, size_t last, double tie)
{
    double least = table->keys[first];
    for (size_t i = first; i < last; i++)
        least = fmin(least, table->keys[i]);
    double limit = least + tie * fabs(least);
    size_t best = first;
    for (size_t i = first; i < last; i++)
        if (table->keys[i] <= limit)
            best = i;
    return best;
}

/* top[0] is the choice; the others follow by key, later epochs first among equals. */
static void fill_top(const usable *table, size_t first, size_t last, size_t best, int most,
                     sonde_keep_choice *choice)
{
    double *taken = table->scratch;
    for (size_t i = first; i < last; i++)
        taken[i] = i == best;
    choice->top[0] = table->epochs[best];
    choice->top_count = 1;
    while (choice->top_count < most && (size_t)choice->top_count < last - first) {
        size_t next = SIZE_MAX;
        for (size_t i = first; i < last; i++)
            if (taken[i] == 0 && (next == SIZE_MAX || table->keys[i] <= table->keys[next]))
                next = i;
        taken[next] = 1;
        choice->top[choice->top_count++] = table->epochs[next];
    }
}

static double trend_of(const usable *table, size_t first, size_t last)
{
    size_t n = last - first;
    double *epochs = table->scratch, correlation = 0;
    for (size_t i = 0; i < n; i++)
        epochs[i] = (double)table->epochs[first + i];
    sonde__spearman(table->scores + first, epochs, n, table->scratch + n, &correlation);
    return correlation;
}

static bool is_flat(const usable *table, size_t first, size_t last)
{
    double least = INFINITY, most = -INFINITY;
    for (size_t i = first; i < last; i++) {
        least = fmin(least, table->keys[i]);
        most = fmax(most, table->keys[i]);
    }
    return most - least <= FLAT_SHARE * fmax(fabs(least), fabs(most));
}

static uint32_t warnings_of(const usable *table, const sonde_keep_series *series, size_t first,
                            size_t last, size_t best)
{
    uint32_t warnings = 0;
    if (table->count < FEW)
        warnings |= SONDE_KEEP_WARN_FEW;
    if (table->count < series->count)
        warnings |= SONDE_KEEP_WARN_INVALID;
    if (last - first < 2)
        return warnings;
    if (is_flat(table, first, last))
        warnings |= SONDE_KEEP_WARN_FLAT;
    if (best == first)
        warnings |= SONDE_KEEP_WARN_LEFT_EDGE;
    if (best == last - 1)
        warnings |= SONDE_KEEP_WARN_RIGHT_EDGE;
    return warnings;
}

/* --- words ------------------------------------------------------------------------------------- */

static void say_score(sonde__text *text, const usable *table, size_t best)
{
    size_t end = table->count - 1;
    double score = table->scores[best], final = table->scores[end];
    sonde__text_format(text, "Keep epoch %lld: its score %.4g is the best",
                       (long long)table->epochs[best], score);
    if (best == end)
        sonde__text_add(text, ", and it is the last epoch");
    else if (final == 0)
        sonde__text_format(text, "; the last epoch (%lld) has %.4g", (long long)table->epochs[end],
                           final);
    else
        sonde__text_format(text, ", %.3g %% better than the last epoch's (%lld) %.4g",
                           100 * fabs(score - final) / fabs(final), (long long)table->epochs[end],
                           final);
}

static void say_sureness(sonde__text *text, const sonde_keep_choice *choice, int stability)
{
    uint32_t w = choice->warnings;
    if (w & SONDE_KEEP_WARN_FEW)
        sonde__text_add(text, " Not sure: fewer than five usable scores.");
    else if (w & SONDE_KEEP_WARN_UNSTABLE)
        sonde__text_format(text, " Not sure: a second probe batch would keep epoch %lld.",
                           (long long)choice->second_epoch);
    else if (w & SONDE_KEEP_WARN_FLAT)
        sonde__text_add(text, " Not sure: the scores looked at hardly differ.");
    else if (w & SONDE_KEEP_WARN_LEFT_EDGE)
        sonde__text_add(text, " Not sure: it is the first epoch looked at, so the score only rose "
                              "from there.");
    else if (choice->second_epoch >= 0)
        sonde__text_format(text,
                           " Fairly sure: a second probe batch chooses epoch %lld, within %d.",
                           (long long)choice->second_epoch, stability);
    else
        sonde__text_add(text, " No warning of the scores themselves, but no second probe batch "
                              "confirms it.");
    if (w & SONDE_KEEP_WARN_RIGHT_EDGE)
        sonde__text_add(text, " The score was still improving at the end.");
    if (w & SONDE_KEEP_WARN_INVALID)
        sonde__text_add(text, " Some epochs had no valid score.");
    if (w & SONDE_KEEP_WARN_TPV)
        sonde__text_add(text, " Test prediction variance tells how stable the outputs are, not how "
                              "right: it is low in under-fitted networks too.");
    if (w & SONDE_KEEP_WARN_SEEN)
        sonde__text_add(text,
                        " The probe batch is trained on, so over-fitting may not show in it.");
}

static sonde_status write_reason(sonde_context *context, const usable *table, size_t best,
                                 const window *range, int stability, sonde_keep_choice *choice)
{
    sonde__text text;
    sonde__text_init(&text, context);
    say_score(&text, table, best);
    sonde__text_format(&text, ". Looked at %s (%lld to %lld) %s.",
                       range->kind == SONDE_WINDOW_TAIL ? "the last epochs" : "the whole run",
                       (long long)choice->window_first, (long long)choice->window_last, range->why);
    say_sureness(&text, choice, stability);
    sonde_status status = sonde__text_status(&text);
    if (status == SONDE_OK) {
        size_t length = text.length < SONDE_REASON_MAX - 1 ? text.length : SONDE_REASON_MAX - 1;
        memcpy(choice->reason, text.bytes, length);
        choice->reason[length] = '\0';
    }
    sonde__text_free(&text);
    return status;
}

/* --- the whole --------------------------------------------------------------------------------- */

static sonde_keep_choice no_choice(const sonde_keep_series *series, uint32_t known)
{
    sonde_keep_choice choice = {
        .epoch = -1,
        .window = SONDE_WINDOW_ALL,
        .window_first = series->count ? series->epochs[0] : -1,
        .window_last = series->count ? series->epochs[series->count - 1] : -1,
        .second_epoch = -1,
        .warnings = SONDE_KEEP_WARN_FEW | known,
    };
    if (series->count)
        choice.warnings |= SONDE_KEEP_WARN_INVALID;
    strcpy(choice.reason, series->count
                              ? "Not known which epoch to keep: no epoch has a valid score."
                              : "Not known which epoch to keep: nothing was measured yet.");
    return choice;
}

/* The choice of the second batch in the same window, and whether it disagrees. */
static void compare_second(const usable *second, const window *range, size_t place,
                           const sonde_keep_options *options, sonde_keep_choice *choice)
{
    size_t first, last;
    if (!rows_in(second, range, &first, &last))
        return;
    size_t best = best_row(second, first, last, options->tie);
    choice->second_epoch = second->epochs[best];
    size_t other = second->places[best];
    size_t apart = other > place ? other - place : place - other;
    if (apart > (size_t)options->stability)
        choice->warnings |= SONDE_KEEP_WARN_UNSTABLE;
}

/* Whether a score was measured and is not valid. */
static bool any_failed(const sonde_keep_series *series)
{
    for (size_t i = 0; i < series->count; i++)
        if (series->scores[i].validity != SONDE_VALID &&
            series->scores[i].validity != SONDE_NOT_MEASURED)
            return true;
    return false;
}

static bool is_meaningful(uint32_t warnings)
{
    return !(warnings & (SONDE_KEEP_WARN_FEW | SONDE_KEEP_WARN_UNSTABLE | SONDE_KEEP_WARN_FLAT |
                         SONDE_KEEP_WARN_LEFT_EDGE | SONDE_KEEP_WARN_TPV));
}

static sonde_status choose(sonde_context *context, const sonde_keep_series *series,
                           const sonde_keep_options *options, usable *table, uint32_t known,
                           sonde_keep_choice *choice)
{
    size_t first, last;
    sonde_keep_choice made = no_choice(series, known);
    fill_usable(table, series, series->scores, options->ema);
    window range = {0};
    if (table->count > 0)
        range = choose_window(series, options, table);
    if (table->count > 0 && !rows_in(table, &range, &first, &last)) {
        /* A tail without one valid score says nothing: the run does. */
        range = whole_run(series, "because its last epochs have no valid score");
        rows_in(table, &range, &first, &last);
    }
    if (table->count == 0) {
        *choice = made;
        return SONDE_OK;
    }
    size_t best = best_row(table, first, last, options->tie), place = table->places[best];
    made.epoch = table->epochs[best];
    made.score = table->scores[best];
    made.window = range.kind;
    made.window_first = series->epochs[range.first];
    made.window_last = series->epochs[range.last];
    made.trend = trend_of(table, first, last);
    made.warnings = known | warnings_of(table, series, first, last, best);
    if ((known & SONDE_KEEP_WARN_TPV) && !any_failed(series))
        made.warnings &= ~(uint32_t)SONDE_KEEP_WARN_INVALID;
    fill_top(table, first, last, best, options->top, &made);
    if (series->second) {
        usable second;
        SONDE_TRY(make_usable(context, series->count, &second));
        fill_usable(&second, series, series->second, options->ema);
        compare_second(&second, &range, place, options, &made);
        free_usable(context, &second);
    }
    made.meaningful = is_meaningful(made.warnings);
    SONDE_TRY(write_reason(context, table, best, &range, options->stability, &made));
    *choice = made;
    return SONDE_OK;
}

sonde_status sonde__keep_choose(sonde_context *context, const sonde_keep_series *series,
                                const sonde_keep_options *options, uint32_t known,
                                sonde_keep_choice *choice)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!series || !choice)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "keep: %s is NULL",
                           series ? "choice" : "series");
    sonde_keep_options defaults;
    sonde_keep_options_init(&defaults);
    if (!options)
        options = &defaults;
    SONDE_TRY(sonde__keep_check_options(context, options));
    SONDE_TRY(check_series(context, series));
    usable table;
    SONDE_TRY(make_usable(context, series->count, &table));
    sonde_status status = choose(context, series, options, &table, known, choice);
    free_usable(context, &table);
    return status;
}

sonde_status sonde_keep_choose(sonde_context *context, const sonde_keep_series *series,
                               const sonde_keep_options *options, sonde_keep_choice *choice)
{
    return sonde__keep_choose(context, series, options, 0, choice);
}
