/*
 * Instance-dependent early stopping: which examples are mastered, from the second difference of
 * their losses, D2(t) = L(t) - 2 L(t-1) + L(t-2).
 *
 * Sources: Yuan et al., ICLR 2025, arXiv 2502.07547 (mode PAPER) and the authors' script cifar_main.py
 * at fd51090 (mode CODE). Mode CORRECTED averages |D2| like the script, but judges equally spaced
 * losses only, empties the mastered set where the rule says so, and anneals.
 *
 * An epoch is a check when its ordinal (1, 2, ... in the order of end_epoch) is a multiple of
 * check_every. All per-example values lie in planes, one array a value: three of losses (pending,
 * newest, second newest) and `window` of |D2|. Planes change roles at each check, the same way for
 * all examples, so that a check is a few linear passes.
 *
 * Invariant: `pending` is NO_LOSS where the running epoch has brought no loss, and +infinity where
 * it brought one that is not finite. The `chain` of an example is how many losses in a row its
 * newest values come from (CODE: plus one for each D2 repeated), saturated at `needed`.
 */
#include "signal/mastery.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/thread.h"

#define NO_LOSS (-INFINITY)

enum { LOSS_PLANES = 3, WINDOW_MAX = 16, MASTERED = 1, MASTERED_BEFORE = 2, SAVE_VERSION = 1 };

/* Sparse ids are numbered in order of first sight; the table holds number + 1, 0 where empty. */
static const uint64_t SPARSE_MOST = UINT32_MAX - 1;

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

void sonde_mastery_options_init(sonde_mastery_options *options)
{
    *options = (sonde_mastery_options){
        .size = sizeof *options,
        .mode = SONDE_MASTERY_CORRECTED,
        .delta = 1e-3,
        .window = 3,
        .check_every = 1,
        .anneal_fraction = 0.1,
    };
}

static sonde_status check_options(sonde_context *context, const sonde_mastery_options *options)
{
    if (options->size != sizeof *options)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "mastery options: size is %zu, not %zu; fill them with "
                           "sonde_mastery_options_init",
                           options->size, sizeof *options);
    if (options->mode != SONDE_MASTERY_CORRECTED && options->mode != SONDE_MASTERY_PAPER &&
        options->mode != SONDE_MASTERY_CODE)
        return sonde__fail(context, SONDE_ERROR_RANGE, "mastery: mode %d is unknown",
                           (int)options->mode);
    if (!(options->delta >= 0) || isinf(options->delta))
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "mastery: delta is %g; it must be 0 or more, and finite",
                           options->delta);
    if (options->window < 1 || options->window > WINDOW_MAX)
        return sonde__fail(context, SONDE_ERROR_RANGE, "mastery: window is %d; it must be 1 to %d",
                           options->window, (int)WINDOW_MAX);
    if (options->check_every < 1)
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "mastery: check_every is %d; it must be 1 or more",
                           options->check_every);
    if (!(options->anneal_fraction >= 0 && options->anneal_fraction <= 1))
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "mastery: anneal_fraction is %g; it must be in [0, 1]",
                           options->anneal_fraction);
    if (options->total_epochs < 0)
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "mastery: total_epochs is %lld; it must be 0 (unknown) or more",
                           (long long)options->total_epochs);
    return SONDE_OK;
}

/* --- planes ------------------------------------------------------------------------------------ */

static size_t plane_count(const sonde_mastery *mastery)
{
    return (size_t)(LOSS_PLANES + mastery->options.window);
}

/* age 0: pending, 1: newest, 2: second newest. */
static float *loss_plane(const sonde_mastery *mastery, int age)
{
    int turn = (mastery->loss_turn + age) % LOSS_PLANES;
    return mastery->values + (size_t)turn * mastery->capacity;
}

/* age 0: the one to be written next, which is also the oldest; age window - 1: the newest. */
static float *d2_plane(const sonde_mastery *mastery, int age)
{
    int turn = (mastery->d2_turn + age) % mastery->options.window;
    return mastery->values + (size_t)(LOSS_PLANES + turn) * mastery->capacity;
}

static void clear_examples(sonde_mastery *mastery, size_t first, size_t last)
{
    float *pending = loss_plane(mastery, 0);
    for (size_t i = first; i < last; i++)
        pending[i] = NO_LOSS;
    memset(mastery->chain + first, 0, last - first);
    memset(mastery->state + first, 0, last - first);
}

/* New planes of `capacity` examples, with the old content; on failure nothing has changed. */
static sonde_status grow_planes(sonde_mastery *mastery, size_t capacity)
{
    sonde_context *context = mastery->context;
    size_t planes = plane_count(mastery);
    size_t plane_bytes;
    if (!sonde__multiply(planes, sizeof(float), &plane_bytes))
        plane_bytes = SIZE_MAX;
    float *values = sonde__alloc_zero(context, capacity, plane_bytes);
    uint8_t *marks = sonde__alloc(context, capacity, 2);
    uint64_t *ids = mastery->table ? sonde__alloc(context, capacity, sizeof *ids) : NULL;
    if (!values || !marks || (mastery->table && !ids)) {
        sonde__free(context, values);
        sonde__free(context, marks);
        sonde__free(context, ids);
        return SONDE_ERROR_MEMORY;
    }
    size_t known = mastery->known;
    if (known > 0) {
        for (size_t p = 0; p < planes; p++)
            memcpy(values + p * capacity, mastery->values + p * mastery->capacity,
                   known * sizeof(float));
        memcpy(marks, mastery->chain, known);
        memcpy(marks + capacity, mastery->state, known);
        if (ids)
            memcpy(ids, mastery->ids, known * sizeof *ids);
    }
    sonde__free(context, mastery->values);
    sonde__free(context, mastery->chain);
    sonde__free(context, mastery->ids);
    mastery->values = values;
    mastery->chain = marks;
    mastery->state = marks + capacity;
    mastery->ids = ids;
    mastery->capacity = capacity;
    return SONDE_OK;
}

/* --- sparse ids -------------------------------------------------------------------------------- */

/* The finaliser of splitmix64, keyed: every bit of the id moves every bit of the slot. */
static uint64_t mix(uint64_t id, uint64_t key)
{
    uint64_t x = id ^ key;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x + key) ^ (x >> 27);
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The slot that holds `id`, or the empty one where it belongs. */
static size_t find_slot(const sonde_mastery *mastery, uint64_t id)
{
    size_t mask = mastery->table_size - 1;
    size_t slot = (size_t)mix(id, mastery->table_key) & mask;
    while (mastery->table[slot] != 0 && mastery->ids[mastery->table[slot] - 1] != id)
        slot = (slot + 1) & mask;
    return slot;
}

static sonde_status grow_table(sonde_mastery *mastery, size_t size)
{
    uint32_t *table = sonde__alloc_zero(mastery->context, size, sizeof *table);
    if (!table)
        return SONDE_ERROR_MEMORY;
    sonde__free(mastery->context, mastery->table);
    mastery->table = table;
    mastery->table_size = size;
    for (size_t i = 0; i < mastery->known; i++)
        table[find_slot(mastery, mastery->ids[i])] = (uint32_t)(i + 1);
    return SONDE_OK;
}

/* Room for `examples` in all: planes by doubling, the table at most three quarters full. */
static sonde_status reserve(sonde_mastery *mastery, size_t examples)
{
    if (examples > SPARSE_MOST)
        return sonde__fail(mastery->context, SONDE_ERROR_OVERFLOW,
                           "mastery: more than %llu arbitrary ids; number the examples from 0",
                           (unsigned long long)SPARSE_MOST);
    if (examples > mastery->capacity) {
        size_t capacity = mastery->capacity + mastery->capacity / 2;
        SONDE_TRY(grow_planes(mastery, capacity > examples ? capacity : examples));
    }
    size_t size = mastery->table_size;
    while (size - size / 4 < examples)
        size *= 2;
    return size > mastery->table_size ? grow_table(mastery, size) : SONDE_OK;
}

static size_t count_unknown(const sonde_mastery *mastery, const uint64_t *ids, size_t n)
{
    size_t unknown = 0;
    for (size_t i = 0; i < n; i++)
        unknown += mastery->table[find_slot(mastery, ids[i])] == 0;
    return unknown;
}

/* Room must be there. */
static size_t number_of(sonde_mastery *mastery, uint64_t id)
{
    size_t slot = find_slot(mastery, id);
    if (mastery->table[slot] == 0) {
        size_t number = mastery->known++;
        mastery->ids[number] = id;
        mastery->table[slot] = (uint32_t)(number + 1);
        clear_examples(mastery, number, number + 1);
    }
    return mastery->table[slot] - 1;
}

/* --- life -------------------------------------------------------------------------------------- */

static sonde_status make_room(sonde_mastery *mastery)
{
    uint64_t examples = mastery->options.examples;
    if (examples > 0) {
        if (examples > SIZE_MAX)
            return sonde__fail(mastery->context, SONDE_ERROR_OVERFLOW,
                               "mastery: %llu examples do not fit in memory",
                               (unsigned long long)examples);
        SONDE_TRY(grow_planes(mastery, (size_t)examples));
        mastery->known = (size_t)examples;
        clear_examples(mastery, 0, mastery->known);
        return SONDE_OK;
    }
    double now = sonde__seconds();
    memcpy(&mastery->table_key, &now, sizeof now);
    mastery->table_key ^= (uint64_t)(uintptr_t)mastery * UINT64_C(0x9e3779b97f4a7c15);
    mastery->table_size = 64;
    mastery->table = sonde__alloc_zero(mastery->context, mastery->table_size, sizeof(uint32_t));
    return mastery->table ? grow_planes(mastery, 48) : SONDE_ERROR_MEMORY;
}

sonde_status sonde_mastery_create(sonde_context *context, const sonde_mastery_options *options,
                                  sonde_mastery **mastery)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!mastery)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "mastery: the result pointer is NULL");
    sonde_mastery_options defaults;
    sonde_mastery_options_init(&defaults);
    SONDE_TRY(check_options(context, options ? options : &defaults));
    sonde_mastery *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->options = options ? *options : defaults;
    if (made->options.mode == SONDE_MASTERY_PAPER)
        made->options.window = 1;
    if (made->options.mode == SONDE_MASTERY_CODE)
        made->options.anneal_fraction = 0;
    /* The script wants window + 1 values of |D2| in its list, though it averages `window`. */
    made->needed = made->options.window + (made->options.mode == SONDE_MASTERY_CODE ? 3 : 2);
    made->last_epoch = -1;
    sonde_status status = make_room(made);
    if (status != SONDE_OK) {
        sonde_mastery_free(made);
        return status;
    }
    *mastery = made;
    return SONDE_OK;
}

void sonde_mastery_free(sonde_mastery *mastery)
{
    if (!mastery)
        return;
    sonde_context *context = mastery->context;
    sonde__free(context, mastery->values);
    sonde__free(context, mastery->chain);
    sonde__free(context, mastery->ids);
    sonde__free(context, mastery->table);
    sonde__free(context, mastery);
}

/* --- recording --------------------------------------------------------------------------------- */

static float as_pending(float loss)
{
    return isfinite(loss) ? loss : INFINITY;
}

static sonde_status record_dense(sonde_mastery *mastery, const uint64_t *ids, const float *losses,
                                 size_t n)
{
    uint64_t largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = ids[i] > largest ? ids[i] : largest;
    if (largest >= mastery->known)
        return sonde__fail(mastery->context, SONDE_ERROR_RANGE,
                           "mastery: id %llu, but ids are 0 to %llu; create it with `examples` 0 "
                           "for arbitrary ids",
                           (unsigned long long)largest, (unsigned long long)mastery->known - 1);
    float *pending = loss_plane(mastery, 0);
    for (size_t i = 0; i < n; i++)
        pending[ids[i]] = as_pending(losses[i]);
    return SONDE_OK;
}

static sonde_status record_sparse(sonde_mastery *mastery, const uint64_t *ids, const float *losses,
                                  size_t n)
{
    size_t most;
    if (!sonde__add(mastery->known, n, &most))
        most = SIZE_MAX;
    size_t table_room = mastery->table_size - mastery->table_size / 4;
    if (most > mastery->capacity || most > table_room)
        SONDE_TRY(reserve(mastery, mastery->known + count_unknown(mastery, ids, n)));
    for (size_t i = 0; i < n; i++) {
        size_t number = number_of(mastery, ids[i]);
        loss_plane(mastery, 0)[number] = as_pending(losses[i]);
    }
    return SONDE_OK;
}

sonde_status sonde_mastery_record(sonde_mastery *mastery, const uint64_t *ids, const float *losses,
                                  size_t n)
{
    if (!mastery)
        return SONDE_ERROR_ARGUMENT;
    if (n == 0)
        return SONDE_OK;
    if (!ids || !losses)
        return sonde__fail(mastery->context, SONDE_ERROR_ARGUMENT, "mastery: %s is NULL",
                           ids ? "losses" : "ids");
    return mastery->table ? record_sparse(mastery, ids, losses, n)
                          : record_dense(mastery, ids, losses, n);
}

/* --- judging ----------------------------------------------------------------------------------- */

/* The roles of the planes in one check, cut loose from the object so that the loops are plain. */
typedef struct planes {
    float *pending, *newest, *second, *d2;
    const float *d2_last;
    uint8_t *chain, *state;
} planes;

/*
 * One check over all examples: appends |D2|, lengthens or restarts the chains, and shifts the state
 * one bit to the left with the new judgement in bit 0. Returns how many losses were not finite.
 * Without branches: a |D2| over values that are not there is written too, and out of every chain.
 */
SONDE_CLONES
static uint64_t judge_all(const planes *p, size_t known, int needed)
{
    const float *restrict pending = p->pending, *restrict newest = p->newest;
    const float *restrict second = p->second;
    float *restrict d2 = p->d2;
    uint8_t *restrict chain = p->chain, *restrict state = p->state;
    uint64_t not_finite = 0;
    for (size_t i = 0; i < known; i++)
        d2[i] = (float)fabs((double)pending[i] - 2.0 * (double)newest[i] + (double)second[i]);
    for (size_t i = 0; i < known; i++) {
        unsigned bad = pending[i] == INFINITY, missing = pending[i] == NO_LOSS;
        unsigned longer = chain[i] + (unsigned)(chain[i] < needed);
        chain[i] = (uint8_t)((bad | missing) ? 0 : longer);
        unsigned mastered = state[i] & MASTERED;
        state[i] = (uint8_t)((mastered << 1 | (mastered & ~bad)) & 3u);
        not_finite += bad;
    }
    return not_finite;
}

/* The same as the authors' script has it: an example without a loss keeps its history (its values
 * move with the planes, which change roles after this), and its last |D2| counts again. */
static uint64_t judge_all_as_script(const planes *p, size_t known, int needed)
{
    float *restrict pending = p->pending, *restrict newest = p->newest;
    const float *restrict second = p->second;
    uint8_t *restrict chain = p->chain, *restrict state = p->state;
    float *d2 = p->d2;
    const float *d2_last = p->d2_last; /* the same plane as d2 where the window is 1 */
    uint64_t not_finite = 0;
    for (size_t i = 0; i < known; i++) {
        float loss = pending[i];
        int length = chain[i], mastered = state[i] & MASTERED;
        if (loss == INFINITY) {
            not_finite++;
            length = mastered = 0;
        } else if (loss != NO_LOSS) {
            d2[i] = (float)fabs((double)loss - 2.0 * (double)newest[i] + (double)second[i]);
            length += length < needed;
        } else {
            d2[i] = d2_last[i];
            length += length >= 3 && length < needed;
            pending[i] = newest[i];
            newest[i] = second[i];
        }
        chain[i] = (uint8_t)length;
        state[i] = (uint8_t)(((state[i] & MASTERED) << 1 | mastered) & 3);
    }
    return not_finite;
}

static void judge(sonde_mastery *mastery)
{
    const planes p = {loss_plane(mastery, 0),
                      loss_plane(mastery, 1),
                      loss_plane(mastery, 2),
                      d2_plane(mastery, 0),
                      d2_plane(mastery, mastery->options.window - 1),
                      mastery->chain,
                      mastery->state};
    mastery->not_finite_now += mastery->options.mode == SONDE_MASTERY_CODE
                                   ? judge_all_as_script(&p, mastery->known, mastery->needed)
                                   : judge_all(&p, mastery->known, mastery->needed);
}

/* The mean of the last `window` |D2| against delta, where the chain is long enough. */
SONDE_CLONES
static void apply_threshold(sonde_mastery *mastery)
{
    enum { BLOCK = 512 };
    int window = mastery->options.window, needed = mastery->needed;
    double limit = mastery->options.delta * window;
    double sum[BLOCK];
    for (size_t first = 0; first < mastery->known; first += BLOCK) {
        size_t n = mastery->known - first < BLOCK ? mastery->known - first : BLOCK;
        memset(sum, 0, sizeof sum);
        for (int age = 0; age < window; age++) {
            const float *d2 = d2_plane(mastery, age) + first;
            for (size_t i = 0; i < n; i++)
                sum[i] += (double)d2[i];
        }
        uint8_t *state = mastery->state + first;
        const uint8_t *chain = mastery->chain + first;
        for (size_t i = 0; i < n; i++) {
            unsigned judged = (state[i] & (unsigned)MASTERED_BEFORE) | (sum[i] < limit);
            state[i] = (uint8_t)(chain[i] >= needed ? judged : state[i]);
        }
    }
}

static uint64_t count_mastered(const sonde_mastery *mastery)
{
    uint64_t mastered = 0;
    for (size_t i = 0; i < mastery->known; i++)
        mastered += mastery->state[i] & MASTERED;
    return mastered;
}

/* The script rebuilds its loaders only when the new set is not empty: else the old set stays. */
static void keep_old_set_if_empty(sonde_mastery *mastery)
{
    if (mastery->options.mode != SONDE_MASTERY_CODE || mastery->mastered == 0 ||
        count_mastered(mastery) > 0)
        return;
    for (size_t i = 0; i < mastery->known; i++)
        mastery->state[i] = (mastery->state[i] & MASTERED_BEFORE) ? MASTERED | MASTERED_BEFORE : 0;
}

static void count_changes(sonde_mastery *mastery)
{
    uint64_t now = 0, mastered = 0, readmitted = 0;
    for (size_t i = 0; i < mastery->known; i++) {
        unsigned state = mastery->state[i];
        now += state & MASTERED;
        mastered += state == MASTERED;
        readmitted += state == MASTERED_BEFORE;
    }
    mastery->mastered = now;
    mastery->mastered_now = mastered;
    mastery->readmitted_now = readmitted;
    mastery->readmitted_ever += readmitted;
}

static void clear_pending(sonde_mastery *mastery)
{
    float *pending = loss_plane(mastery, 0);
    for (size_t i = 0; i < mastery->known; i++)
        pending[i] = NO_LOSS;
}

static void check(sonde_mastery *mastery)
{
    judge(mastery);
    mastery->d2_turn = (mastery->d2_turn + 1) % mastery->options.window;
    apply_threshold(mastery);
    keep_old_set_if_empty(mastery);
    count_changes(mastery);
    mastery->loss_turn = (mastery->loss_turn + LOSS_PLANES - 1) % LOSS_PLANES;
    mastery->checks++;
}

/* Between checks losses are dropped, but one that is not finite still restarts its example. */
static void pass_over(sonde_mastery *mastery)
{
    const float *pending = loss_plane(mastery, 0);
    for (size_t i = 0; i < mastery->known; i++) {
        if (pending[i] != INFINITY)
            continue;
        mastery->not_finite_now++;
        mastery->chain[i] = 0;
        if (mastery->state[i] & MASTERED) {
            mastery->state[i] = 0;
            mastery->mastered--;
            mastery->readmitted_now++;
            mastery->readmitted_ever++;
        }
    }
}

/* Whether the epoch after the one just ended lies in the annealed share of the run. */
static bool next_is_annealed(const sonde_mastery *mastery)
{
    int64_t total = mastery->options.total_epochs;
    double fraction = mastery->options.anneal_fraction;
    if (total == 0 || fraction == 0)
        return false;
    double annealed = ceil(fraction * (double)total - 1e-9);
    return (double)mastery->epochs >= (double)total - annealed;
}

bool sonde_mastery_checks(const sonde_mastery *mastery)
{
    return mastery && (mastery->epochs + 1) % (uint64_t)mastery->options.check_every == 0;
}

static uint64_t skipped_next(const sonde_mastery *mastery)
{
    return mastery->annealing ? 0 : mastery->mastered;
}

sonde_status sonde_mastery_end_epoch(sonde_mastery *mastery, int64_t epoch)
{
    if (!mastery)
        return SONDE_ERROR_ARGUMENT;
    if (epoch < 0)
        return sonde__fail(mastery->context, SONDE_ERROR_RANGE, "mastery: epoch %lld is negative",
                           (long long)epoch);
    if (epoch <= mastery->last_epoch)
        return sonde__fail(mastery->context, SONDE_ERROR_STATE,
                           "mastery: epoch %lld after epoch %lld; epochs must increase",
                           (long long)epoch, (long long)mastery->last_epoch);
    uint64_t skipped = skipped_next(mastery);
    mastery->mastered_now = mastery->readmitted_now = mastery->not_finite_now = 0;
    if (sonde_mastery_checks(mastery))
        check(mastery);
    else
        pass_over(mastery);
    clear_pending(mastery);
    mastery->epochs++;
    mastery->last_epoch = epoch;
    mastery->annealing = next_is_annealed(mastery);
    bool code = mastery->options.mode == SONDE_MASTERY_CODE;
    mastery->skipped += code ? skipped_next(mastery) : skipped;
    mastery->possible += mastery->known;
    return SONDE_OK;
}

/* --- answers ----------------------------------------------------------------------------------- */

bool sonde_mastery_active(const sonde_mastery *mastery, uint64_t id)
{
    if (!mastery || mastery->annealing)
        return true;
    size_t number = 0;
    if (mastery->table) {
        uint32_t found = mastery->table[find_slot(mastery, id)];
        if (found == 0)
            return true;
        number = found - 1;
    } else {
        if (id >= mastery->known)
            return true;
        number = (size_t)id;
    }
    return !(mastery->state[number] & MASTERED);
}

void sonde_mastery_count(const sonde_mastery *mastery, uint64_t *known, uint64_t *active)
{
    uint64_t count = mastery ? mastery->known : 0;
    if (known)
        *known = count;
    if (active)
        *active = mastery ? count - skipped_next(mastery) : 0;
}

sonde_status sonde_mastery_list(const sonde_mastery *mastery, bool active, uint64_t *ids,
                                size_t capacity, size_t *count)
{
    if (!mastery)
        return SONDE_ERROR_ARGUMENT;
    if (!count)
        return sonde__fail(mastery->context, SONDE_ERROR_ARGUMENT, "mastery: count is NULL");
    size_t found = 0;
    for (size_t i = 0; i < mastery->known; i++) {
        bool is_active = mastery->annealing || !(mastery->state[i] & MASTERED);
        if (is_active != active)
            continue;
        if (ids && found < capacity)
            ids[found] = mastery->table ? mastery->ids[i] : (uint64_t)i;
        found++;
    }
    *count = found;
    return SONDE_OK;
}

double sonde_mastery_saved(const sonde_mastery *mastery)
{
    if (!mastery || mastery->possible == 0)
        return 0;
    return (double)mastery->skipped / (double)mastery->possible;
}

sonde__mastery_tally sonde__mastery_tally_of(const sonde_mastery *mastery)
{
    return (sonde__mastery_tally){
        .known = mastery->known,
        .active = mastery->known - skipped_next(mastery),
        .skipped = mastery->skipped,
        .possible = mastery->possible,
        .mastered_now = mastery->mastered_now,
        .readmitted_now = mastery->readmitted_now,
        .readmitted_ever = mastery->readmitted_ever,
        .not_finite_now = mastery->not_finite_now,
        .epochs = mastery->epochs,
        .checks = mastery->checks,
        .first_check_judged = (uint64_t)mastery->needed,
        .check_every = mastery->options.check_every,
        .delta = mastery->options.delta,
        .annealing = mastery->annealing,
    };
}

/* --- saved state ------------------------------------------------------------------------------- */

static void save_counts(const sonde_mastery *mastery, sonde__byte_writer *writer)
{
    sonde__put_i64(writer, mastery->last_epoch);
    const uint64_t counts[] = {
        mastery->epochs,          mastery->checks,         mastery->skipped,
        mastery->possible,        mastery->mastered_now,   mastery->readmitted_now,
        mastery->readmitted_ever, mastery->not_finite_now,
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        sonde__put_u64(writer, counts[i]);
}

static void save_plane(const sonde_mastery *mastery, const float *plane, sonde__byte_writer *writer)
{
    for (size_t i = 0; i < mastery->known; i++)
        sonde__put_f32(writer, plane[i]);
}

/* Planes are written in the order of their roles, so that the bytes do not show the turn. */
sonde_status sonde__mastery_save(const sonde_mastery *mastery, sonde__byte_writer *writer)
{
    sonde__put_u32(writer, SAVE_VERSION);
    sonde__put_u32(writer, (uint32_t)mastery->options.mode);
    sonde__put_u32(writer, (uint32_t)mastery->options.window);
    sonde__put_u32(writer, (uint32_t)mastery->options.check_every);
    sonde__put_u64(writer, mastery->options.examples);
    sonde__put_u64(writer, mastery->known);
    save_counts(mastery, writer);
    if (mastery->table)
        for (size_t i = 0; i < mastery->known; i++)
            sonde__put_u64(writer, mastery->ids[i]);
    sonde__put_bytes(writer, mastery->chain, mastery->known);
    sonde__put_bytes(writer, mastery->state, mastery->known);
    for (int p = 0; p < LOSS_PLANES; p++)
        save_plane(mastery, loss_plane(mastery, p), writer);
    for (int p = 0; p < mastery->options.window; p++)
        save_plane(mastery, d2_plane(mastery, p), writer);
    return sonde__byte_writer_status(writer);
}

static sonde_status restore_header(sonde_mastery *mastery, sonde__byte_reader *reader,
                                   uint64_t *known)
{
    const sonde_mastery_options *options = &mastery->options;
    uint32_t version = sonde__take_u32(reader);
    if (!reader->failed && version != SAVE_VERSION)
        return sonde__fail(mastery->context, SONDE_ERROR_VERSION,
                           "mastery state: version %u, this library reads %d", version,
                           (int)SAVE_VERSION);
    uint32_t mode = sonde__take_u32(reader), window = sonde__take_u32(reader);
    uint32_t every = sonde__take_u32(reader);
    uint64_t examples = sonde__take_u64(reader);
    *known = sonde__take_u64(reader);
    if (reader->failed)
        return sonde__fail(mastery->context, SONDE_ERROR_TRUNCATED,
                           "mastery state: ends too early");
    if (mode != (uint32_t)options->mode || window != (uint32_t)options->window ||
        every != (uint32_t)options->check_every || examples != options->examples)
        return sonde__fail(mastery->context, SONDE_ERROR_STATE,
                           "mastery state: saved with mode %u, window %u, check_every %u, %llu "
                           "examples; create the object with the same options",
                           mode, window, every, (unsigned long long)examples);
    /* Each example takes its floats, two marks, and an id: a count that claims more is refused
     * before anything is allocated for it. */
    size_t item = plane_count(mastery) * sizeof(float) + 2 + (mastery->table ? 8 : 0);
    if (*known > sonde__bytes_left(reader) / item || (!mastery->table && *known != mastery->known))
        return sonde__fail(mastery->context, SONDE_ERROR_CORRUPT,
                           "mastery state: %llu examples do not fit in what is left of it",
                           (unsigned long long)*known);
    return SONDE_OK;
}

static void restore_counts(sonde_mastery *mastery, sonde__byte_reader *reader)
{
    mastery->last_epoch = sonde__take_i64(reader);
    uint64_t *const counts[] = {
        &mastery->epochs,          &mastery->checks,         &mastery->skipped,
        &mastery->possible,        &mastery->mastered_now,   &mastery->readmitted_now,
        &mastery->readmitted_ever, &mastery->not_finite_now,
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        *counts[i] = sonde__take_u64(reader);
}

static sonde_status restore_ids(sonde_mastery *mastery, sonde__byte_reader *reader, size_t known)
{
    SONDE_TRY(reserve(mastery, known));
    for (size_t i = 0; i < known; i++) {
        uint64_t id = sonde__take_u64(reader);
        if (mastery->table[find_slot(mastery, id)] != 0)
            return sonde__fail(mastery->context, SONDE_ERROR_CORRUPT,
                               "mastery state: id %llu stands in it twice", (unsigned long long)id);
        number_of(mastery, id);
    }
    return SONDE_OK;
}

static bool marks_are_legal(const sonde_mastery *mastery)
{
    for (size_t i = 0; i < mastery->known; i++)
        if (mastery->chain[i] > mastery->needed || mastery->state[i] > 3)
            return false;
    return true;
}

sonde_status sonde__mastery_restore(sonde_mastery *mastery, sonde__byte_reader *reader)
{
    uint64_t known = 0;
    SONDE_TRY(restore_header(mastery, reader, &known));
    restore_counts(mastery, reader);
    if (mastery->table) {
        mastery->known = 0;
        memset(mastery->table, 0, mastery->table_size * sizeof *mastery->table);
        SONDE_TRY(restore_ids(mastery, reader, (size_t)known));
    }
    mastery->loss_turn = 0;
    mastery->d2_turn = 0;
    sonde__take_bytes(reader, mastery->chain, mastery->known);
    sonde__take_bytes(reader, mastery->state, mastery->known);
    for (size_t p = 0; p < plane_count(mastery); p++)
        for (size_t i = 0; i < mastery->known; i++)
            mastery->values[p * mastery->capacity + i] = sonde__take_f32(reader);
    if (reader->failed)
        return sonde__fail(mastery->context, SONDE_ERROR_TRUNCATED,
                           "mastery state: ends too early");
    if (!marks_are_legal(mastery) || mastery->last_epoch < -1 ||
        mastery->skipped > mastery->possible)
        return sonde__fail(mastery->context, SONDE_ERROR_CORRUPT,
                           "mastery state: a value in it is impossible");
    mastery->mastered = count_mastered(mastery);
    mastery->annealing = mastery->epochs > 0 && next_is_annealed(mastery);
    return SONDE_OK;
}
