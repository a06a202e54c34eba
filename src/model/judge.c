/* Layers and their thresholds; see judge.h. */
#include "model/judge.h"

#include <math.h>

/* An excess that is no longer called small, whatever the number of layers. Ours, not from a paper. */
static const double FAR_OUT = 1.3;
/* Of random models; what is rarer is not put down to chance. */
static const double RARE = 0.02;

static bool within_error(const sonde_layer_spectrum *layer)
{
    const sonde_spectrum_report *report = &layer->report;
    if (!(layer->error_bound > 0) || !(report->distance > 0))
        return false;
    const double least = report->statistic * (1 - layer->error_bound / report->distance);
    return least <= report->threshold_calibrated;
}

sonde__judgement sonde__judge_layer(const sonde_layer_spectrum *layer)
{
    const sonde_spectrum_report *report = &layer->report;
    sonde__judgement judgement = {.ratio = (double)NAN};
    if (layer->skipped || report->validity != SONDE_VALID || !(report->threshold_calibrated > 0))
        return judgement;
    judgement.ratio = report->statistic / report->threshold_calibrated;
    judgement.over = judgement.ratio > 1 && !within_error(layer);
    return judgement;
}

/* Whether `count` or more come with a probability below RARE where `expected` are: by the Poisson
 * distribution, and beyond the range of its exp() by the normal one (2.054 deviations). */
static bool is_rare(double expected, size_t count)
{
    double term = exp(-expected), below = 0;
    if (expected > 500)
        return (double)count > expected + 2.054 * sqrt(expected);
    for (size_t i = 0; i < count; i++) {
        below += term;
        term *= expected / (double)(i + 1);
    }
    return 1 - below < RARE;
}

bool sonde__chance_explains(size_t judged, size_t over, double ratio, double false_alarm)
{
    return over > 0 && ratio < FAR_OUT && !is_rare(false_alarm * (double)judged, over);
}
