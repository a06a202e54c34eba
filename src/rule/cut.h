/* What the two forms of the cut rule share: units with costs (cut.c), single weights (cut_weights.c). */
#ifndef SONDE_RULE_CUT_H
#define SONDE_RULE_CUT_H

#include "base/context.h"

sonde_status sonde__cut_check_options(sonde_context *context, const sonde_cut_options *options);
/* How many of `n` a ratio is, to the nearest. */
size_t sonde__cut_count(double ratio, size_t n);
/* Writes the reason of a report whose numbers are filled; `what` is a plural: "units", "weights". */
void sonde__cut_write_reason(const sonde_cut_options *options, const char *what,
                             sonde_cut_report *report);

#endif
