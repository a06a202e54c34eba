/* The head gradient's word on the spectral advice; see confirm.h. */
#include "rule/confirm.h"

#include <stdio.h>
#include <string.h>

sonde__trend sonde__trend_of(const int64_t *epochs, const sonde_score *scores, size_t count)
{
    sonde__trend trend = {.known = false, .best_epoch = -1};
    double best = 0;
    for (size_t i = 0; i < count; i++) {
        if (scores[i].validity != SONDE_VALID)
            continue;
        const double key = (double)-scores[i].direction * scores[i].value;
        if (!trend.known || key <= best) {
            trend = (sonde__trend){.known = true, .best_epoch = epochs[i]};
            best = key;
        } else {
            trend.since++;
        }
    }
    return trend;
}

bool sonde__confirm_stop(const sonde__trend *trend, int confirm, sonde_decision *decision)
{
    if (confirm == 0 || !trend->known)
        return true;
    const bool confirmed = trend->since >= confirm;
    const size_t used = strlen(decision->stop_reason);
    if (confirmed) {
        snprintf(decision->stop_reason + used, SONDE_REASON_MAX - used,
                 " The head gradient confirms it: its best score is that of epoch %lld.",
                 (long long)trend->best_epoch);
        return true;
    }
    snprintf(decision->stop_reason, SONDE_REASON_MAX,
             "No reason to stop yet: %s left the Marchenko-Pastur law at epoch %lld, but the head "
             "gradient was still improving at epoch %lld; the advice waits until it has not for %d "
             "epochs.",
             decision->stop_layer[0] ? decision->stop_layer : "a layer on another rank",
             (long long)decision->stop_epoch, (long long)trend->best_epoch, confirm);
    decision->stop_advised = false;
    decision->stop_epoch = -1;
    decision->stop_layer[0] = '\0';
    return false;
}
