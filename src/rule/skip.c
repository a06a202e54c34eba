/*
 * The skip rule: what mastery (signal/mastery.c, arXiv 2502.07547) means for the next epoch, in words
 * and shares. The active set itself is asked from mastery; this only tells why it is what it is.
 *
 * Shares are written with whole numbers, so that no locale puts a comma in them.
 */
#include "rule/skip.h"

#include <stdio.h>

typedef unsigned long long count;

/* Tenths of a percent; a part is not more than its whole. */
static count per_mille(uint64_t part, uint64_t whole)
{
    if (part >= whole)
        return whole == 0 ? 0 : 1000;
    return (count)((double)part / (double)whole * 1000 + 0.5);
}

static int say_state(const sonde__mastery_tally *t, char *text, size_t room)
{
    count known = t->known, mastered = t->known - t->active;
    if (known == 0)
        return snprintf(text, room, "No losses were recorded, so no example is skipped.");
    if (!(t->delta > 0))
        return snprintf(text, room, "No example is skipped: delta is 0.");
    if (t->annealing)
        return snprintf(text, room,
                        "All %llu examples are active: the run is in its last epochs, which use "
                        "every example.",
                        known);
    if (t->checks < t->first_check_judged)
        return snprintf(text, room,
                        "No example is skipped yet: the second differences of the loss are known "
                        "after %llu checks, %llu are done.",
                        (count)t->first_check_judged, (count)t->checks);
    if (mastered == 0)
        return snprintf(text, room, "No example is skipped: none of %llu is mastered.", known);
    count share = per_mille(mastered, known);
    return snprintf(text, room,
                    "%llu of %llu examples (%llu.%llu %%) are mastered, as their loss no longer "
                    "bends: they need no backward pass in the next epoch.",
                    mastered, known, share / 10, share % 10);
}

static int say_changes(const sonde__mastery_tally *t, char *text, size_t room)
{
    int length = 0;
    if (t->mastered_now || t->readmitted_now)
        length = snprintf(text, room, " %llu became mastered in this epoch, %llu came back.",
                          (count)t->mastered_now, (count)t->readmitted_now);
    if (t->not_finite_now)
        length += snprintf(text + length, room - (size_t)length,
                           " %llu losses were NaN or infinite; their examples start anew.",
                           (count)t->not_finite_now);
    if (t->skipped > 0) {
        count share = per_mille(t->skipped, t->possible);
        length +=
            snprintf(text + length, room - (size_t)length,
                     " Saved so far: %llu.%llu %% of backward passes.", share / 10, share % 10);
    }
    return length;
}

void sonde__skip_decide(const sonde__mastery_tally *tally, sonde_decision *decision)
{
    decision->examples = tally->known;
    decision->active = tally->active;
    decision->saved_fraction =
        tally->possible ? (double)tally->skipped / (double)tally->possible : 0;
    /* Both parts together stay well under SONDE_REASON_MAX: their longest numbers have 20 digits. */
    int length = say_state(tally, decision->skip_reason, SONDE_REASON_MAX);
    size_t used = length > 0 ? (size_t)length : 0;
    decision->skip_reason[used] = '\0';
    say_changes(tally, decision->skip_reason + used, SONDE_REASON_MAX - used);
}
