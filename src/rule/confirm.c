/* The head gradient's word on the spectral advice; see confirm.h. */
#include "rule/confirm.h"

#include <stdio.h>

sonde__score_trend sonde__score_trend_of(const int64_t *epochs, const sonde_score *scores,
                                         size_t count)
{
    sonde__score_trend trend = {.known = false, .best_epoch = -1};
    double best = 0;
    for (size_t i = 0; i < count; i++) {
        if (scores[i].validity != SONDE_VALID)
            continue;
        const double key = (double)-scores[i].direction * scores[i].value;
        if (!trend.known || key <= best) {
            trend = (sonde__score_trend){.known = true, .best_epoch = epochs[i]};
            best = key;
        } else {
            trend.since++;
        }
    }
    return trend;
}

bool sonde__score_trend_confirms(const sonde__score_trend *trend, int confirm)
{
    return !trend->known || trend->since >= confirm;
}

void sonde__stop_withhold(const sonde__score_trend *trend, int confirm, sonde_decision *decision)
{
    const char *const layer = decision->stop_layer;
    snprintf(decision->stop_reason, SONDE_REASON_MAX,
             "No reason to stop yet: %s left the Marchenko-Pastur law at epoch %lld, but the head "
             "gradient was still improving at epoch %lld; the advice waits until it has not for %d "
             "epochs.",
             layer[0] ? layer : "a layer on another rank", (long long)decision->stop_epoch,
             (long long)trend->best_epoch, confirm);
    decision->stop_advised = false;
    decision->stop_epoch = -1;
    decision->stop_layer[0] = '\0';
}
