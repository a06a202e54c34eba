/* What the skip rule and the steer need of mastery beyond sonde.h: counts, and its saved state. */
#ifndef SONDE_SIGNAL_MASTERY_H
#define SONDE_SIGNAL_MASTERY_H

#include "base/bytes.h"
#include "base/context.h"

typedef struct sonde__mastery_tally {
    uint64_t known, active;     /* active: in the next epoch */
    uint64_t skipped, possible; /* backward passes saved, and all there could have been */
    uint64_t mastered_now;      /* became mastered at the last end of epoch */
    uint64_t readmitted_now;    /* became active again then */
    uint64_t readmitted_ever;
    uint64_t not_finite_now;     /* losses of the last epoch that were NaN or infinite */
    uint64_t epochs, checks;     /* ended so far */
    uint64_t first_check_judged; /* the check after which a first example can be mastered */
    int check_every;
    double delta;
    bool annealing; /* all are active because the run nears its end */
} sonde__mastery_tally;

sonde__mastery_tally sonde__mastery_tally_of(const sonde_mastery *mastery);

/* The whole state, losses of the running epoch included. */
sonde_status sonde__mastery_save(const sonde_mastery *mastery, sonde__byte_writer *writer);
/* Into a mastery of the same mode, window, check_every and count of examples (delta and the length
 * of the run may differ). After a failure it is still valid, but its content is not defined. */
sonde_status sonde__mastery_restore(sonde_mastery *mastery, sonde__byte_reader *reader);

#endif
