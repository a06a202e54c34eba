/*
 * What the files of mastery share: mastery.c (the rule), mastery_ids.c (arbitrary ids),
 * mastery_state.c (the saved state).
 */
#ifndef SONDE_SIGNAL_MASTERY_INTERNAL_H
#define SONDE_SIGNAL_MASTERY_INTERNAL_H

#include <math.h>

#include "signal/mastery.h"

#define NO_LOSS (-INFINITY)

enum { LOSS_PLANES = 3, WINDOW_MAX = 16, MASTERED = 1, MASTERED_BEFORE = 2 };

struct sonde_mastery {
    sonde_context *context;
    sonde_mastery_options options;
    int needed;      /* chain that a judgement needs */
    size_t known;    /* examples */
    size_t capacity; /* of each plane */
    float *values;   /* (LOSS_PLANES + window) planes of `capacity` */
    uint8_t *chain, *state;
    int loss_turn, d2_turn; /* which plane is `pending`, which |D2| is the next to be written */

    uint64_t *ids;      /* of the sparse examples, by number; NULL when dense */
    uint32_t *table;    /* open addressing, linear probing; NULL when dense */
    size_t table_size;  /* power of two */
    uint64_t table_key; /* makes collisions unpredictable; results do not depend on it */

    int64_t last_epoch;
    uint64_t epochs, checks;
    uint64_t mastered; /* examples whose state says so, annealing or not */
    bool annealing;
    uint64_t skipped, possible;
    uint64_t mastered_now, readmitted_now, readmitted_ever, not_finite_now;
};

static inline size_t sonde__mastery_plane_count(const sonde_mastery *mastery)
{
    return (size_t)(LOSS_PLANES + mastery->options.window);
}

/* age 0: pending, 1: newest, 2: second newest. */
static inline float *sonde__mastery_loss_plane(const sonde_mastery *mastery, int age)
{
    int turn = (mastery->loss_turn + age) % LOSS_PLANES;
    return mastery->values + (size_t)turn * mastery->capacity;
}

/* age 0: the one to be written next, which is also the oldest; age window - 1: the newest. */
static inline float *sonde__mastery_d2_plane(const sonde_mastery *mastery, int age)
{
    int turn = (mastery->d2_turn + age) % mastery->options.window;
    return mastery->values + (size_t)(LOSS_PLANES + turn) * mastery->capacity;
}

static inline float sonde__mastery_pending(float loss)
{
    return isfinite(loss) ? loss : INFINITY;
}

/* Examples [first, last) as never seen. */
void sonde__mastery_clear(sonde_mastery *mastery, size_t first, size_t last);
/* New planes of `capacity` examples, with the old content; on failure nothing has changed. */
sonde_status sonde__mastery_grow(sonde_mastery *mastery, size_t capacity);
/* By their state, annealing or not. */
uint64_t sonde__mastery_count_mastered(const sonde_mastery *mastery);
/* Whether the epoch after the one just ended lies in the annealed share of the run. */
bool sonde__mastery_anneals_next(const sonde_mastery *mastery);

/* An empty table of arbitrary ids, and planes for the first of them. */
sonde_status sonde__mastery_create_table(sonde_mastery *mastery);
/* All or nothing: new ids are added only when there is room for all. */
sonde_status sonde__mastery_record_sparse(sonde_mastery *mastery, const uint64_t *ids,
                                          const float *losses, size_t n);
/* The example of an id; false: never seen. */
bool sonde__mastery_find(const sonde_mastery *mastery, uint64_t id, size_t *number);
/* Forgets all ids and takes `known` from the reader. */
sonde_status sonde__mastery_restore_ids(sonde_mastery *mastery, sonde__byte_reader *reader,
                                        size_t known);

#endif
