/*
 * The stop rule over a series of surveys: each survey is one epoch, each layer with a threshold one
 * observation of it. The rule itself is rule/stop.h; the survey's own validity decides which layers
 * are told to it. Source: JMLR 24(28) 2023, docs/spectrum.md.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "model/series.h"
#include "rule/stop.h"

struct sonde__trend {
    sonde_context *context;
    sonde__stop *stop;
};

sonde_status sonde__trend_create(sonde_context *context, const sonde_stop_options *options,
                                 sonde__trend **trend)
{
    sonde__trend *const made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return sonde_context_error(context)->status;
    made->context = context;
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

static bool has_threshold(const sonde_layer_spectrum *layer)
{
    return !layer->skipped && layer->report.validity == SONDE_VALID &&
           (layer->report.threshold_calibrated > 0 || layer->report.threshold_published > 0);
}

sonde_status sonde__trend_add(sonde__trend *trend, int64_t epoch, const sonde_survey *survey)
{
    for (size_t i = 0; i < sonde_survey_count(survey); i++) {
        sonde_layer_spectrum layer;
        char name[SONDE_LAYER_NAME_MAX];
        SONDE_TRY(sonde_survey_layer(survey, i, &layer));
        if (!has_threshold(&layer))
            continue;
        short_name(layer.name, name);
        const sonde_layer_view view = {.name = name, .epoch = epoch, .report = layer.report};
        SONDE_TRY(sonde__stop_observe(trend->stop, &view));
    }
    return sonde__stop_end_epoch(trend->stop, epoch);
}

sonde_status sonde__trend_decide(const sonde__trend *trend, sonde_decision *decision)
{
    sonde__stop_decide(trend->stop, decision);
    return SONDE_OK;
}
