/*
 * The stop rule over a series of surveys: each survey is one epoch, each layer with a threshold one
 * observation of it. The rule itself is rule/stop.h; the survey's own validity decides which layers
 * are told to it. Source: JMLR 24(28) 2023, docs/spectrum.md.
 *
 * What model/judge.h explains, by the error of an estimate or by chance over all layers of a
 * checkpoint, is told to the rule as lying at the threshold, not over it. Surveys of other layers than
 * the first one's are of another model: then there is no advice.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "model/judge.h"
#include "model/series.h"
#include "rule/stop.h"

/* The layers of a survey whatever their order: how many, and the sum of their checksums. */
typedef struct layer_set {
    size_t count;
    uint64_t sum;
} layer_set;

struct sonde__trend {
    sonde_context *context;
    sonde__stop *stop;
    double false_alarm;
    bool any;
    layer_set layers;     /* of the first survey */
    int64_t first, other; /* its epoch; that of the first survey of other layers, -1: none */
};

sonde_status sonde__trend_create(sonde_context *context, const sonde_stop_options *options,
                                 double false_alarm, sonde__trend **trend)
{
    sonde__trend *const made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return sonde_context_error(context)->status;
    made->context = context;
    made->false_alarm = false_alarm;
    made->other = -1;
    const sonde_status status = sonde__stop_create(context, options, &made->stop);
    if (status != SONDE_OK) {
        sonde__free(context, made);
        return status;
    }
    *trend = made;
    return SONDE_OK;
}

void sonde__trend_free(sonde__trend *trend)
{
    if (!trend)
        return;
    sonde__stop_free(trend->stop);
    sonde__free(trend->context, trend);
}

/* The rule has room for SONDE_LAYER_NAME_MAX characters: of a longer name its end, which tells layers
 * apart, behind a number that stands for the whole. */
static void short_name(const char *name, char *to)
{
    const size_t length = strlen(name), most = SONDE_LAYER_NAME_MAX - 1;
    if (length <= most) {
        memcpy(to, name, length + 1);
        return;
    }
    const size_t head = (size_t)sonde__format(to, SONDE_LAYER_NAME_MAX, "~%08lx~",
                                              (unsigned long)sonde__crc32(0, name, length));
    memcpy(to + head, name + length - (most - head), most - head + 1);
}

/* What a pass over the layers of one survey finds. */
typedef struct overview {
    layer_set layers;
    size_t judged, over;
    double worst;
} overview;

static sonde_status look_over(const sonde_survey *survey, overview *all)
{
    *all = (overview){.worst = 0};
    for (size_t i = 0; i < sonde_survey_count(survey); i++) {
        sonde_layer_spectrum layer;
        SONDE_TRY(sonde_survey_layer(survey, i, &layer));
        if (layer.skipped)
            continue;
        const uint32_t named = sonde__crc32(0, layer.name, strlen(layer.name));
        all->layers.count++;
        all->layers.sum += sonde__crc32(named, layer.dim, (size_t)layer.dims * sizeof *layer.dim);
        const sonde__judgement judgement = sonde__judge_layer(&layer);
        all->judged += isfinite(judgement.ratio) ? 1 : 0;
        all->over += judgement.over;
        all->worst = fmax(all->worst, judgement.over ? judgement.ratio : 0);
    }
    return SONDE_OK;
}

/* `counted`: whether this survey's excesses count. */
static sonde_status observe(sonde__trend *trend, int64_t epoch, const sonde_layer_spectrum *layer,
                            bool counted)
{
    const sonde__judgement judgement = sonde__judge_layer(layer);
    char name[SONDE_LAYER_NAME_MAX];
    if (!isfinite(judgement.ratio))
        return SONDE_OK;
    short_name(layer->name, name);
    sonde_layer_view view = {.name = name, .epoch = epoch, .report = layer->report};
    if (!judgement.over || !counted)
        view.report.statistic = fmin(view.report.statistic, view.report.threshold_calibrated);
    return sonde__stop_observe(trend->stop, &view);
}

sonde_status sonde__trend_add(sonde__trend *trend, int64_t epoch, const sonde_survey *survey)
{
    overview all;
    SONDE_TRY(look_over(survey, &all));
    const bool counted =
        !sonde__chance_explains(all.judged, all.over, all.worst, trend->false_alarm);
    for (size_t i = 0; i < sonde_survey_count(survey); i++) {
        sonde_layer_spectrum layer;
        SONDE_TRY(sonde_survey_layer(survey, i, &layer));
        SONDE_TRY(observe(trend, epoch, &layer, counted));
    }
    SONDE_TRY(sonde__stop_end_epoch(trend->stop, epoch));
    if (!trend->any) {
        trend->any = true;
        trend->layers = all.layers;
        trend->first = epoch;
    } else if (trend->other < 0 &&
               (all.layers.count != trend->layers.count || all.layers.sum != trend->layers.sum)) {
        trend->other = epoch;
    }
    return SONDE_OK;
}

sonde_status sonde__trend_decide(const sonde__trend *trend, sonde_decision *decision)
{
    sonde__stop_decide(trend->stop, decision);
    if (trend->other < 0)
        return SONDE_OK;
    decision->stop_advised = false;
    decision->stop_epoch = -1;
    decision->worst_ratio = 0;
    decision->stop_layer[0] = decision->worst_layer[0] = '\0';
    snprintf(decision->stop_reason, sizeof decision->stop_reason,
             "Not known: epoch %" PRId64 " holds other layers than epoch %" PRId64
             ", so that these may be different models. Name checkpoints of one model, or choose "
             "layers that all of them hold.",
             trend->other, trend->first);
    return SONDE_OK;
}
