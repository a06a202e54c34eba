/*
 * The cut rule for single weights, of which there are millions: as cut.c, in linear time. The score
 * below which weights go is found by counting, in two passes over the upper and lower halves of the
 * floats' bits, which sort as the floats do.
 *
 * Invariant: while the selection runs, keep[i] says whether weight i is set aside (among the best
 * `least` of its layer, or of a score that is not finite).
 */
#include "rule/cut.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"

enum { HALF = 65536 };

/* Where the removal ends: keys below go, and the last `ties` of those that equal it. */
typedef struct border {
    uint32_t key;
    uint64_t ties;
} border;

typedef struct layers {
    const sonde_cut_weights_layer *each;
    size_t count;
} layers;

/* Unsigned numbers in the order of the floats; 0 and -0 are one. */
static uint32_t key_of(float score)
{
    const float one_zero = score + 0.0f;
    uint32_t bits;
    memcpy(&bits, &one_zero, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static bool is_candidate(const sonde_cut_weights_layer *layer, size_t i)
{
    return !layer->keep[i];
}

/* Counts candidates by the upper half of their key, or by the lower half of those whose upper is
 * `upper`. */
static void count_keys(const layers *all, bool lower, uint32_t upper, uint64_t *counts)
{
    memset(counts, 0, HALF * sizeof *counts);
    for (size_t l = 0; l < all->count; l++)
        for (size_t i = 0; i < all->each[l].n; i++) {
            if (!is_candidate(&all->each[l], i))
                continue;
            const uint32_t key = key_of(all->each[l].scores[i]);
            if (!lower)
                counts[key >> 16]++;
            else if (key >> 16 == upper)
                counts[key & 0xffffu]++;
        }
}

/* The bucket that holds the (rank + 1)-th smallest; *rank becomes its place in the bucket. */
static uint32_t bucket_of(const uint64_t *counts, uint64_t *rank)
{
    uint32_t bucket = 0;
    while (*rank >= counts[bucket])
        *rank -= counts[bucket++];
    return bucket;
}

/* The border below which the smallest `count` candidates lie; there are at least as many. */
static border find_border(const layers *all, uint64_t count, uint64_t *counts)
{
    if (count == 0)
        return (border){0, 0};
    uint64_t rank = count - 1;
    count_keys(all, false, 0, counts);
    const uint32_t upper = bucket_of(counts, &rank);
    count_keys(all, true, upper, counts);
    const uint32_t lower = bucket_of(counts, &rank);
    return (border){upper << 16 | lower, rank + 1};
}

/* Candidates of the layer that stay become kept, the others removed; counts ties down from the end. */
static void apply_border(const sonde_cut_weights_layer *layer, border *at)
{
    for (size_t i = layer->n; i-- > 0;) {
        if (!is_candidate(layer, i))
            continue;
        const uint32_t key = key_of(layer->scores[i]);
        const bool tie = key == at->key && at->ties > 0;
        at->ties -= tie;
        layer->keep[i] = !(tie || key < at->key);
    }
}

/* Sets aside what may not go; *open is how many others there are. */
static void set_aside(const sonde_cut_weights_layer *layer, size_t least, uint64_t *counts,
                      uint64_t *open, sonde_cut_report *report)
{
    size_t unknown = 0;
    for (size_t i = 0; i < layer->n; i++) {
        layer->keep[i] = !isfinite(layer->scores[i]);
        unknown += layer->keep[i];
    }
    report->unscored += unknown;
    const size_t finite = layer->n - unknown, still = least > unknown ? least - unknown : 0;
    const size_t aside = still < finite ? still : finite;
    *open = finite - aside;
    if (aside == 0)
        return;
    const layers one = {layer, 1};
    border at = find_border(&one, *open, counts);
    apply_border(layer, &at);
}

static void remove_weights(const layers *all, const sonde_cut_options *options, uint64_t open,
                           size_t whole, uint64_t *counts)
{
    const size_t asked = sonde__cut_count(options->ratio, whole);
    border at = find_border(all, asked < open ? asked : open, counts);
    for (size_t l = all->count; l-- > 0;)
        apply_border(&all->each[l], &at);
}

static void count_kept(const layers *all, const sonde_cut_options *options,
                       sonde_cut_report *report)
{
    bool any = false;
    for (size_t l = 0; l < all->count; l++) {
        const sonde_cut_weights_layer *const layer = &all->each[l];
        size_t kept = 0;
        for (size_t i = 0; i < layer->n; i++) {
            const double score = (double)layer->scores[i];
            kept += layer->keep[i];
            if (!layer->keep[i] && (!any || score > report->threshold)) {
                report->threshold = score;
                any = true;
            }
        }
        report->kept += kept;
        report->layers += layer->n > 0;
        report->layers_at_least += kept < layer->n && kept <= options->least;
    }
}

static void cut_weights(const layers *all, const sonde_cut_options *options, uint64_t *counts,
                        sonde_cut_report *report)
{
    uint64_t open_all = 0;
    for (size_t l = 0; l < all->count; l++) {
        uint64_t open;
        set_aside(&all->each[l], options->least, counts, &open, report);
        open_all += open;
        if (options->scope == SONDE_CUT_LAYER) {
            const layers one = {&all->each[l], 1};
            remove_weights(&one, options, open, all->each[l].n, counts);
        }
    }
    if (options->scope == SONDE_CUT_GLOBAL)
        remove_weights(all, options, open_all, report->units, counts);
    count_kept(all, options, report);
    report->cost = (double)report->units;
    report->cost_kept = (double)report->kept;
    if (report->units > 0)
        report->reached = (double)(report->units - report->kept) / (double)report->units;
    sonde__cut_write_reason(options, "weights", report);
}

static sonde_status check_layers(sonde_context *context, const sonde_cut_weights_layer *each,
                                 size_t count, size_t *whole)
{
    *whole = 0;
    for (size_t l = 0; l < count; l++) {
        if (each[l].n > 0 && (!each[l].scores || !each[l].keep))
            return sonde__fail(context, SONDE_ERROR_ARGUMENT, "cut: %s of layer %zu is NULL",
                               each[l].scores ? "keep" : "scores", l);
        if (!sonde__add(*whole, each[l].n, whole))
            return sonde__fail(context, SONDE_ERROR_OVERFLOW, "cut: too many weights");
    }
    return SONDE_OK;
}

sonde_status sonde_cut_weights(sonde_context *context, const sonde_cut_weights_layer *each,
                               size_t count, const sonde_cut_options *options,
                               sonde_cut_report *report)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!report || (!each && count > 0))
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "cut: %s is NULL",
                           report ? "layers" : "report");
    sonde_cut_options defaults;
    sonde_cut_options_init(&defaults);
    if (!options)
        options = &defaults;
    SONDE_TRY(sonde__cut_check_options(context, options));
    sonde_cut_report made = {0};
    SONDE_TRY(check_layers(context, each, count, &made.units));
    uint64_t *const counts = sonde__alloc(context, HALF, sizeof *counts);
    if (!counts)
        return SONDE_ERROR_MEMORY;
    const layers all = {each, count};
    cut_weights(&all, options, counts, &made);
    sonde__free(context, counts);
    *report = made;
    return SONDE_OK;
}
