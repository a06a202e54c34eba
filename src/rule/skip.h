/* The skip rule in words and shares, for a decision. */
#ifndef SONDE_RULE_SKIP_H
#define SONDE_RULE_SKIP_H

#include "signal/mastery.h"

/* Fills examples, active, saved_fraction and skip_reason. Cannot fail: allocates nothing. */
void sonde__skip_decide(const sonde__mastery_tally *tally, sonde_decision *decision);

#endif
