/*
 * Whether the head gradient confirms the spectral advice to stop.
 *
 * A layer can leave the Marchenko-Pastur law in the first epochs, long before the network has learnt
 * what it can: a spectrum tells that a layer has changed, not that the change does harm. Where there
 * is a head-gradient score, the advice waits until that has not improved for some epochs. Ours, not
 * from a paper, and not yet measured against the spectra alone (docs/spectrum.md).
 */
#ifndef SONDE_RULE_CONFIRM_H
#define SONDE_RULE_CONFIRM_H

#include "base/context.h"

typedef struct sonde__score_trend {
    bool known;         /* false: there is no valid score */
    int64_t best_epoch; /* of the best score; the later of equal ones */
    int64_t since;      /* scored epochs after it */
} sonde__score_trend;

sonde__score_trend sonde__score_trend_of(const int64_t *epochs, const sonde_score *scores,
                                         size_t count);

/* `confirm` scored epochs, or more, have not been better. Always so where it is 0 or there is no
 * score: then the spectra decide alone. */
bool sonde__score_trend_confirms(const sonde__score_trend *trend, int confirm);
/* Takes the advice out of the decision and says what it waits for. */
void sonde__stop_withhold(const sonde__score_trend *trend, int confirm, sonde_decision *decision);

#endif
