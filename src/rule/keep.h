/* What the steer needs of the keep rule beyond sonde.h. */
#ifndef SONDE_RULE_KEEP_H
#define SONDE_RULE_KEEP_H

#include "base/context.h"

sonde_status sonde__keep_check_options(sonde_context *context, const sonde_keep_options *options);
/* As sonde_keep_choose; `known`: warnings that only the caller can give: SEEN when the probe batch is
 * trained on, TPV of that score, which is not measured in every epoch. */
sonde_status sonde__keep_choose(sonde_context *context, const sonde_keep_series *series,
                                const sonde_keep_options *options, uint32_t known,
                                sonde_keep_choice *choice);

/* The score of a probe batch that this kind names, inside the report; not SONDE_SCORE_TPV. */
const sonde_score *sonde__keep_score(const sonde_head_report *report, sonde_score_kind kind);

#endif
