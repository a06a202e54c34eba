/*
 * The cut rule: which units (channels with all that is coupled to them) go for a given ratio. The
 * lowest scores go first, over all layers or in each.
 *
 * A layer's best `least` units are set aside before anything is removed, so that no layer is emptied;
 * so are units whose score is not finite, since nothing is known about them. What is left is removed
 * from the lowest score on, of equal scores the later unit first: the result depends on scores, costs
 * and order alone.
 */
#include "rule/cut.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* Share of the whole cost that sums of costs may be off. */
static const double COST_ROUNDING = 1e-12;

typedef struct entry {
    double score; /* infinite where it is not known */
    double cost;
    size_t layer, index;
} entry;

void sonde_cut_options_init(sonde_cut_options *options)
{
    *options = (sonde_cut_options){
        .size = sizeof *options,
        .ratio = 0.5,
        .scope = SONDE_CUT_GLOBAL,
        .measure = SONDE_CUT_BY_COUNT,
        .least = 1,
    };
}

sonde_status sonde__cut_check_options(sonde_context *context, const sonde_cut_options *options)
{
    if (options->size != sizeof *options)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "cut options: size is %zu, not %zu; fill them with "
                           "sonde_cut_options_init",
                           options->size, sizeof *options);
    if (!(options->ratio >= 0 && options->ratio <= 1))
        return sonde__fail(context, SONDE_ERROR_RANGE, "cut: ratio is %g; it must be in [0, 1]",
                           options->ratio);
    if (options->scope != SONDE_CUT_GLOBAL && options->scope != SONDE_CUT_LAYER)
        return sonde__fail(context, SONDE_ERROR_RANGE, "cut: scope %d is unknown",
                           (int)options->scope);
    if (options->measure != SONDE_CUT_BY_COUNT && options->measure != SONDE_CUT_BY_COST)
        return sonde__fail(context, SONDE_ERROR_RANGE, "cut: measure %d is unknown",
                           (int)options->measure);
    return SONDE_OK;
}

size_t sonde__cut_count(double ratio, size_t n)
{
    return (size_t)(ratio * (double)n + 0.5);
}

/* --- words ------------------------------------------------------------------------------------- */

void sonde__cut_write_reason(const sonde_cut_options *options, const char *what,
                             sonde_cut_report *report)
{
    const size_t removed = report->units - report->kept;
    char *const text = report->reason;
    /* All parts together stay under SONDE_REASON_MAX: their longest numbers have 20 digits. */
    size_t used = 0;
    const int first =
        removed == 0
            ? sonde__format(text, SONDE_REASON_MAX, "All %zu %s stay.", report->units, what)
            : sonde__format(text, SONDE_REASON_MAX,
                            "%zu of %zu %s go, those with the lowest scores %s: %.1f %% of "
                            "their %s.",
                            removed, report->units, what,
                            options->scope == SONDE_CUT_LAYER ? "of each layer" : "over all layers",
                            100 * report->reached,
                            options->measure == SONDE_CUT_BY_COST ? "cost" : "number");
    used += first > 0 ? (size_t)first : 0;
    if (report->layers_at_least > 0)
        used += (size_t)sonde__format(text + used, SONDE_REASON_MAX - used,
                                      " %zu of %zu layers keep only the %zu that each must keep.",
                                      report->layers_at_least, report->layers, options->least);
    if (report->unscored > 0)
        used +=
            (size_t)sonde__format(text + used, SONDE_REASON_MAX - used,
                                  " %zu %s have no finite score and stay.", report->unscored, what);
    if (report->units > 0 && report->reached + 0.5 / (double)report->units < options->ratio)
        sonde__format(text + used, SONDE_REASON_MAX - used, " %.1f %% were asked for.",
                      100 * options->ratio);
}

/* --- selection --------------------------------------------------------------------------------- */

static int by_layer_best_first(const void *a, const void *b)
{
    const entry *const x = a, *const y = b;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static int worst_first(const void *a, const void *b)
{
    const entry *const x = a, *const y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return x->index > y->index ? -1 : 1;
}

static size_t layer_end(const entry *entries, size_t n, size_t first)
{
    size_t end = first;
    while (end < n && entries[end].layer == entries[first].layer)
        end++;
    return end;
}

/* Of one layer, best first, the entries that may go; the others are set aside. */
static size_t first_candidate(const entry *entries, size_t first, size_t end, size_t least)
{
    size_t at = end - first < least ? end : first + least;
    while (at < end && isinf(entries[at].score))
        at++;
    return at;
}

/* Removes from the worst on until the target is reached. */
static void remove_worst(const entry *candidates, size_t n, const sonde_cut_options *options,
                         size_t whole_count, double whole_cost, bool *keep)
{
    const bool by_cost = options->measure == SONDE_CUT_BY_COST;
    const size_t count = by_cost ? n : sonde__cut_count(options->ratio, whole_count);
    const double target = by_cost ? (options->ratio - COST_ROUNDING) * whole_cost : 0;
    double removed = 0;
    for (size_t i = 0; i < n && i < count && (!by_cost || removed < target); i++) {
        keep[candidates[i].index] = false;
        removed += candidates[i].cost;
    }
}

static double cost_of(const entry *entries, size_t first, size_t end)
{
    double cost = 0;
    for (size_t i = first; i < end; i++)
        cost += entries[i].cost;
    return cost;
}

/* `entries` are sorted by layer, best first; those that may go are gathered in `candidates`. */
static void select_units(const entry *entries, size_t n, const sonde_cut_options *options,
                         entry *candidates, bool *keep)
{
    size_t gathered = 0;
    for (size_t first = 0, end; first < n; first = end) {
        end = layer_end(entries, n, first);
        const size_t begin = first_candidate(entries, first, end, options->least);
        memcpy(candidates + gathered, entries + begin, (end - begin) * sizeof *entries);
        gathered += end - begin;
        if (options->scope == SONDE_CUT_LAYER) {
            qsort(candidates, gathered, sizeof *candidates, worst_first);
            remove_worst(candidates, gathered, options, end - first, cost_of(entries, first, end),
                         keep);
            gathered = 0;
        }
    }
    if (options->scope == SONDE_CUT_GLOBAL) {
        qsort(candidates, gathered, sizeof *candidates, worst_first);
        remove_worst(candidates, gathered, options, n, cost_of(entries, 0, n), keep);
    }
}

/* --- report ------------------------------------------------------------------------------------ */

static void count_layers(const entry *entries, size_t n, size_t least, const bool *keep,
                         sonde_cut_report *report)
{
    for (size_t first = 0, end; first < n; first = end) {
        end = layer_end(entries, n, first);
        size_t kept = 0;
        for (size_t i = first; i < end; i++)
            kept += keep[entries[i].index];
        report->layers++;
        report->layers_at_least += kept < end - first && kept <= least;
    }
}

static sonde_cut_report report_of(const sonde_cut_unit *units, const entry *entries, size_t n,
                                  const sonde_cut_options *options, const bool *keep)
{
    sonde_cut_report report = {.units = n};
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        report.cost += units[i].cost;
        report.unscored += isfinite(units[i].score) ? 0 : 1;
        if (keep[i]) {
            report.kept++;
            report.cost_kept += units[i].cost;
        } else if (!any || units[i].score > report.threshold) {
            report.threshold = units[i].score;
            any = true;
        }
    }
    count_layers(entries, n, options->least, keep, &report);
    if (options->measure == SONDE_CUT_BY_COST)
        report.reached = report.cost > 0 ? 1 - report.cost_kept / report.cost : 0;
    else
        report.reached = n > 0 ? (double)(n - report.kept) / (double)n : 0;
    sonde__cut_write_reason(options, "units", &report);
    return report;
}

/* --- the call ---------------------------------------------------------------------------------- */

static sonde_status fill_entries(sonde_context *context, const sonde_cut_unit *units, size_t n,
                                 entry *entries)
{
    double whole = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(units[i].cost >= 0) || isinf(units[i].cost))
            return sonde__fail(context, SONDE_ERROR_RANGE,
                               "cut: the cost of unit %zu is %g; it must be 0 or more", i,
                               units[i].cost);
        whole += units[i].cost;
        entries[i] = (entry){isfinite(units[i].score) ? units[i].score : (double)INFINITY,
                             units[i].cost, units[i].layer, i};
    }
    if (isinf(whole))
        return sonde__fail(context, SONDE_ERROR_RANGE, "cut: the costs add up to infinity");
    qsort(entries, n, sizeof *entries, by_layer_best_first);
    return SONDE_OK;
}

sonde_status sonde_cut(sonde_context *context, const sonde_cut_unit *units, size_t n,
                       const sonde_cut_options *options, bool *keep, sonde_cut_report *report)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!report || (n > 0 && (!units || !keep)))
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "cut: %s is NULL",
                           !report ? "report"
                           : units ? "keep"
                                   : "units");
    sonde_cut_options defaults;
    sonde_cut_options_init(&defaults);
    if (!options)
        options = &defaults;
    SONDE_TRY(sonde__cut_check_options(context, options));
    entry *const entries = sonde__alloc(context, n, 2 * sizeof *entries);
    if (!entries)
        return SONDE_ERROR_MEMORY;
    const sonde_status status = fill_entries(context, units, n, entries);
    if (status == SONDE_OK) {
        for (size_t i = 0; i < n; i++)
            keep[i] = true;
        select_units(entries, n, options, entries + n, keep);
        *report = report_of(units, entries, n, options, keep);
    }
    sonde__free(context, entries);
    return status;
}
