/*
 * The stop rule: a layer whose spectrum has left the Marchenko-Pastur law.
 *
 * Per layer: how many times in a row its statistic was over the threshold, since when, and its first
 * statistic (the baseline). The first layer to reach `patience` after the warm-up makes the advice,
 * which then stands: the published criterion stops at the first epoch. Source: JMLR 24(28) 2023.
 *
 * Invariant: observations of the running epoch are `pending` and count only when the epoch ends.
 */
#include "rule/stop.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* Mean of the statistic for random matrices that the paper's slides show (.15 to .25), where it was
 * not simulated for the shape. */
static const double PUBLISHED_MEAN = 0.2;

enum { STATE_TAG = 0x504f5453, STATE_VERSION = 1 }; /* "STOP" */

typedef struct layer {
    char name[SONDE_LAYER_NAME_MAX];
    uint64_t rows, cols;
    sonde_validity validity;
    bool pending, has_first, judged;
    int64_t epoch;      /* of the newest observation */
    int64_t over_since; /* of the running row of exceedances, -1: none */
    uint32_t over_count;
    double first;                /* statistic of the first valid spectrum */
    double statistic, threshold; /* newest judged */
} layer;

struct sonde__stop {
    sonde_context *context;
    sonde_stop_options options;
    layer *layers; /* in order of first observation */
    size_t count, capacity;
    int64_t ended; /* last ended epoch */
    bool any_ended;
    int64_t epochs;  /* ended so far */
    layer cause;     /* as it was when the advice was made; name empty: no advice */
    int64_t advised; /* epoch of the advice, -1: none */
};

void sonde_stop_options_init(sonde_stop_options *options)
{
    *options = (sonde_stop_options){.size = sizeof *options,
                                    .use_published = false,
                                    .patience = 1,
                                    .warm_up = 1,
                                    .baseline = false,
                                    .confirm = 3};
}

sonde_status sonde__stop_create(sonde_context *context, const sonde_stop_options *options,
                                sonde__stop **stop)
{
    sonde_stop_options own;
    sonde_stop_options_init(&own);
    if (options)
        own = *options;
    if (own.size != sizeof own)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "the stop options were not set by sonde_stop_options_init");
    if (own.patience < 1)
        return sonde__fail(context, SONDE_ERROR_RANGE, "patience is %d; it must be at least 1",
                           own.patience);
    if (own.warm_up < 0)
        return sonde__fail(context, SONDE_ERROR_RANGE, "warm_up is %lld; it must be at least 0",
                           (long long)own.warm_up);
    if (own.confirm < 0)
        return sonde__fail(context, SONDE_ERROR_RANGE, "confirm is %d; it must be at least 0",
                           own.confirm);
    sonde__stop *const made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->options = own;
    made->advised = -1;
    *stop = made;
    return SONDE_OK;
}

void sonde__stop_free(sonde__stop *stop)
{
    if (!stop)
        return;
    sonde__free(stop->context, stop->layers);
    sonde__free(stop->context, stop);
}

static layer *find_layer(const sonde__stop *stop, const char *name)
{
    for (size_t i = 0; i < stop->count; i++)
        if (strcmp(stop->layers[i].name, name) == 0)
            return &stop->layers[i];
    return NULL;
}

/* The threshold for a spectrum of a layer with this first statistic; 0: it cannot be judged. */
static double threshold_for(const sonde__stop *stop, const sonde_spectrum_report *report,
                            double first)
{
    if (report->validity != SONDE_VALID)
        return 0;
    const double threshold =
        stop->options.use_published ? report->threshold_published : report->threshold_calibrated;
    if (!(threshold > 0) || !stop->options.baseline)
        return threshold > 0 ? threshold : 0;
    /* As far above its own start as the threshold is above the mean of random matrices. */
    const double mean = report->null_mean > 0 ? report->null_mean : PUBLISHED_MEAN;
    return fmax(threshold, first + fmax(threshold - mean, 0));
}

void sonde__stop_judge(const sonde__stop *stop, sonde_layer_view *view)
{
    const layer *const known = find_layer(stop, view->name);
    const double first = known && known->has_first ? known->first : view->report.statistic;
    view->threshold = threshold_for(stop, &view->report, first);
    view->over = view->threshold > 0 && view->report.statistic > view->threshold;
}

static sonde_status add_layer(sonde__stop *stop, const char *name, layer **added)
{
    if (stop->count == stop->capacity) {
        const size_t capacity = stop->capacity ? 2 * stop->capacity : 16;
        layer *const layers = sonde__resize(stop->context, stop->layers, capacity, sizeof *layers);
        if (!layers)
            return sonde_context_error(stop->context)->status;
        stop->layers = layers;
        stop->capacity = capacity;
    }
    layer *const made = &stop->layers[stop->count++];
    *made = (layer){.over_since = -1, .epoch = -1};
    memcpy(made->name, name, strlen(name) + 1);
    *added = made;
    return SONDE_OK;
}

sonde_status sonde__stop_observe(sonde__stop *stop, const sonde_layer_view *view)
{
    if (!view->name || view->name[0] == '\0' || strlen(view->name) >= SONDE_LAYER_NAME_MAX)
        return sonde__fail(stop->context, SONDE_ERROR_ARGUMENT,
                           "a layer's name must have 1 to %d characters", SONDE_LAYER_NAME_MAX - 1);
    if (stop->any_ended && view->epoch <= stop->ended)
        return sonde__fail(stop->context, SONDE_ERROR_STATE,
                           "a spectrum of epoch %lld comes after the end of epoch %lld",
                           (long long)view->epoch, (long long)stop->ended);
    layer *known = find_layer(stop, view->name);
    if (known && known->pending)
        return sonde__fail(stop->context, SONDE_ERROR_STATE,
                           "layer %s was observed twice in epoch %lld", view->name,
                           (long long)view->epoch);
    if (!known)
        SONDE_TRY(add_layer(stop, view->name, &known));
    known->pending = true;
    known->epoch = view->epoch;
    known->rows = view->report.rows;
    known->cols = view->report.cols;
    known->validity = view->report.validity;
    if (view->report.validity == SONDE_VALID && !known->has_first) {
        known->has_first = true;
        known->first = view->report.statistic;
    }
    const double threshold = threshold_for(stop, &view->report, known->first);
    known->judged = threshold > 0 && isfinite(view->report.statistic);
    if (known->judged) {
        known->statistic = view->report.statistic;
        known->threshold = threshold;
    }
    return SONDE_OK;
}

static bool has_advice(const sonde__stop *stop)
{
    return stop->cause.name[0] != '\0';
}

static double ratio_of(const layer *each)
{
    return each->threshold > 0 ? each->statistic / each->threshold : 0;
}

sonde_status sonde__stop_end_epoch(sonde__stop *stop, int64_t epoch)
{
    if (stop->any_ended && epoch <= stop->ended)
        return sonde__fail(stop->context, SONDE_ERROR_STATE,
                           "epoch %lld ends after epoch %lld: epochs must increase",
                           (long long)epoch, (long long)stop->ended);
    stop->any_ended = true;
    stop->ended = epoch;
    if (stop->epochs < INT64_MAX)
        stop->epochs++;
    const bool warm = stop->epochs <= stop->options.warm_up;
    const layer *cause = NULL;
    for (size_t i = 0; i < stop->count; i++) {
        layer *const each = &stop->layers[i];
        const bool counts = each->pending && each->judged;
        each->pending = false;
        if (!counts)
            continue;
        if (warm || !(each->statistic > each->threshold)) {
            each->over_count = 0;
            each->over_since = -1;
            continue;
        }
        if (each->over_count == 0)
            each->over_since = each->epoch;
        if (each->over_count < UINT32_MAX)
            each->over_count++;
        if (each->over_count >= (uint32_t)stop->options.patience &&
            (!cause || ratio_of(each) > ratio_of(cause)))
            cause = each;
    }
    if (cause && !has_advice(stop)) {
        stop->cause = *cause;
        stop->advised = cause->epoch;
    }
    return SONDE_OK;
}

/* --- words ---------------------------------------------------------------------------------- */

/* The layer nearest to, or furthest over, its threshold. */
static const layer *worst_layer(const sonde__stop *stop)
{
    const layer *worst = NULL;
    for (size_t i = 0; i < stop->count; i++)
        if (stop->layers[i].judged && (!worst || ratio_of(&stop->layers[i]) > ratio_of(worst)))
            worst = &stop->layers[i];
    return worst;
}

static const char *threshold_words(const sonde__stop *stop)
{
    if (stop->options.baseline)
        return "measured from its own first spectrum";
    return stop->options.use_published ? "the published constant" : "calibrated for its shape";
}

static void write_advice(const sonde__stop *stop, char *reason)
{
    const layer *const cause = &stop->cause;
    const char *const caution = "In the published experiments stopping there gained accuracy on "
                                "hard tasks and lost up to 2.5 points on others, so it is advice.";
    if (cause->over_count > 1)
        sonde__format(
            reason, SONDE_REASON_MAX,
            "%s (%llu x %llu) left the Marchenko-Pastur law at epoch %lld and was out of it "
            "%u times in a row by epoch %lld: scaled distance %.2f, threshold %.2f %s. %s",
            cause->name, (unsigned long long)cause->rows, (unsigned long long)cause->cols,
            (long long)cause->over_since, (unsigned)cause->over_count, (long long)stop->advised,
            cause->statistic, cause->threshold, threshold_words(stop), caution);
    else
        sonde__format(
            reason, SONDE_REASON_MAX,
            "%s (%llu x %llu) left the Marchenko-Pastur law at epoch %lld: scaled distance "
            "%.2f, threshold %.2f %s. %s",
            cause->name, (unsigned long long)cause->rows, (unsigned long long)cause->cols,
            (long long)stop->advised, cause->statistic, cause->threshold, threshold_words(stop),
            caution);
}

static void write_unknown(const sonde__stop *stop, char *reason)
{
    if (stop->count == 0) {
        snprintf(reason, SONDE_REASON_MAX, "Not known: no layer's weights have been observed yet.");
        return;
    }
    const layer *const first = &stop->layers[0];
    snprintf(reason, SONDE_REASON_MAX,
             "Not known: none of the %zu observed layers can be judged, for instance %s (%llu x "
             "%llu): %s.",
             stop->count, first->name, (unsigned long long)first->rows,
             (unsigned long long)first->cols,
             first->validity == SONDE_VALID ? "there is no threshold that fits its shape"
                                            : sonde_validity_sentence(first->validity));
}

static void write_waiting(const sonde__stop *stop, const layer *worst, char *reason)
{
    size_t judged = 0;
    for (size_t i = 0; i < stop->count; i++)
        judged += stop->layers[i].judged;
    const bool over = worst->statistic > worst->threshold;
    const char *const state = over ? stop->epochs <= stop->options.warm_up
                                         ? "which counts only after the warm-up"
                                         : "but not often enough in a row yet"
                                   : "no layer is over its threshold";
    sonde__format(
        reason, SONDE_REASON_MAX,
        "No reason to stop: %zu of %zu observed layers can be judged; furthest out is %s (%llu "
        "x %llu) with scaled distance %.2f against %.2f %s, %s.",
        judged, stop->count, worst->name, (unsigned long long)worst->rows,
        (unsigned long long)worst->cols, worst->statistic, worst->threshold, threshold_words(stop),
        state);
}

void sonde__stop_decide(const sonde__stop *stop, sonde_decision *decision)
{
    const layer *const worst = worst_layer(stop);
    decision->stop_advised = has_advice(stop);
    decision->stop_epoch = stop->advised;
    memcpy(decision->stop_layer, stop->cause.name, sizeof decision->stop_layer);
    decision->worst_ratio = worst ? ratio_of(worst) : 0;
    memset(decision->worst_layer, 0, sizeof decision->worst_layer);
    if (worst)
        memcpy(decision->worst_layer, worst->name, sizeof decision->worst_layer);
    if (has_advice(stop))
        write_advice(stop, decision->stop_reason);
    else if (worst)
        write_waiting(stop, worst, decision->stop_reason);
    else
        write_unknown(stop, decision->stop_reason);
}

/* --- state ---------------------------------------------------------------------------------- */

static void save_layer(const layer *each, sonde__byte_writer *writer)
{
    sonde__put_string(writer, each->name);
    sonde__put_u64(writer, each->rows);
    sonde__put_u64(writer, each->cols);
    sonde__put_u32(writer, (uint32_t)each->validity);
    sonde__put_u8(writer, (uint8_t)(each->pending | each->has_first << 1 | each->judged << 2));
    sonde__put_i64(writer, each->epoch);
    sonde__put_i64(writer, each->over_since);
    sonde__put_u32(writer, each->over_count);
    sonde__put_f64(writer, each->first);
    sonde__put_f64(writer, each->statistic);
    sonde__put_f64(writer, each->threshold);
}

enum { LAYER_BYTES = 69 }; /* of a saved layer, without the characters of its name */

sonde_status sonde__stop_save(const sonde__stop *stop, sonde__byte_writer *writer)
{
    sonde__put_u32(writer, STATE_TAG);
    sonde__put_u32(writer, STATE_VERSION);
    sonde__put_u8(writer, (uint8_t)(stop->options.use_published | stop->options.baseline << 1));
    sonde__put_i64(writer, stop->options.patience);
    sonde__put_i64(writer, stop->options.warm_up);
    sonde__put_u8(writer, stop->any_ended);
    sonde__put_i64(writer, stop->ended);
    sonde__put_i64(writer, stop->epochs);
    sonde__put_i64(writer, stop->advised);
    save_layer(&stop->cause, writer);
    sonde__put_u32(writer, (uint32_t)stop->count);
    for (size_t i = 0; i < stop->count; i++)
        save_layer(&stop->layers[i], writer);
    return sonde__byte_writer_status(writer);
}

static bool take_layer(sonde__byte_reader *reader, layer *each)
{
    memset(each, 0, sizeof *each);
    sonde__take_string(reader, each->name, sizeof each->name);
    each->rows = sonde__take_u64(reader);
    each->cols = sonde__take_u64(reader);
    const uint32_t validity = sonde__take_u32(reader);
    const uint8_t flags = sonde__take_u8(reader);
    each->epoch = sonde__take_i64(reader);
    each->over_since = sonde__take_i64(reader);
    each->over_count = sonde__take_u32(reader);
    each->first = sonde__take_f64(reader);
    each->statistic = sonde__take_f64(reader);
    each->threshold = sonde__take_f64(reader);
    each->validity = (sonde_validity)validity;
    each->pending = flags & 1;
    each->has_first = (flags & 2) != 0;
    each->judged = (flags & 4) != 0;
    return !reader->failed && validity <= SONDE_OUT_OF_RANGE && flags < 8 &&
           isfinite(each->first) && isfinite(each->statistic) && isfinite(each->threshold) &&
           each->threshold >= 0 && (each->threshold > 0 || !each->judged);
}

static bool take_head(sonde__byte_reader *reader, sonde__stop *state)
{
    const uint8_t flags = sonde__take_u8(reader);
    const int64_t patience = sonde__take_i64(reader), warm_up = sonde__take_i64(reader);
    const uint8_t any_ended = sonde__take_u8(reader);
    state->any_ended = any_ended != 0;
    state->ended = sonde__take_i64(reader);
    state->epochs = sonde__take_i64(reader);
    state->advised = sonde__take_i64(reader);
    if (!take_layer(reader, &state->cause) || any_ended > 1 || state->epochs < 0)
        return false;
    return flags == (uint8_t)(state->options.use_published | state->options.baseline << 1) &&
           patience == state->options.patience && warm_up == state->options.warm_up;
}

static sonde_status damaged(sonde_context *context, const char *what)
{
    return sonde__fail(context, SONDE_ERROR_CORRUPT, "the saved state of the stop rule %s", what);
}

static sonde_status take_layers(sonde__stop *state, sonde__byte_reader *reader)
{
    const size_t count = sonde__take_count(reader, LAYER_BYTES);
    layer *added;
    for (size_t i = 0; i < count && !reader->failed; i++) {
        layer each;
        if (!take_layer(reader, &each) || each.name[0] == '\0' || find_layer(state, each.name))
            return damaged(state->context, "is damaged");
        SONDE_TRY(add_layer(state, each.name, &added));
        *added = each;
    }
    return reader->failed ? damaged(state->context, "ends too early") : SONDE_OK;
}

sonde_status sonde__stop_restore(sonde__stop *stop, sonde__byte_reader *reader)
{
    const uint32_t tag = sonde__take_u32(reader), version = sonde__take_u32(reader);
    if (reader->failed || tag != STATE_TAG)
        return damaged(stop->context, "is missing");
    if (version != STATE_VERSION)
        return sonde__fail(stop->context, SONDE_ERROR_VERSION,
                           "the saved state of the stop rule has version %u; this library reads %d",
                           (unsigned)version, STATE_VERSION);
    sonde__stop state = {.context = stop->context, .options = stop->options};
    sonde_status status = SONDE_OK;
    if (!take_head(reader, &state))
        status = damaged(stop->context, "is damaged, or was made with other options");
    if (status == SONDE_OK)
        status = take_layers(&state, reader);
    if (status != SONDE_OK) {
        sonde__free(stop->context, state.layers);
        return status;
    }
    sonde__free(stop->context, stop->layers);
    *stop = state;
    return SONDE_OK;
}
