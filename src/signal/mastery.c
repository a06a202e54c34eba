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
 * all examples, so that a check is a few linear passes. Arbitrary ids are made dense by mastery_ids.c;
 * the saved state is in mastery_state.c.
 *
 * Invariant: `pending` is NO_LOSS where the running epoch has brought no loss, and +infinity where
 * it brought one that is not finite. The `chain` of an example is how many losses in a row its
 * newest values come from (CODE: plus one for each D2 repeated), saturated at `needed`.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "signal/mastery_internal.h"

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

void sonde__mastery_clear(sonde_mastery *mastery, size_t first, size_t last)
{
    float *pending = sonde__mastery_loss_plane(mastery, 0);
    for (size_t i = first; i < last; i++)
        pending[i] = NO_LOSS;
    memset(mastery->chain + first, 0, last - first);
    memset(mastery->state + first, 0, last - first);
}

sonde_status sonde__mastery_grow(sonde_mastery *mastery, size_t capacity)
{
    sonde_context *context = mastery->context;
    size_t planes = sonde__mastery_plane_count(mastery);
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

/* --- life -------------------------------------------------------------------------------------- */

static sonde_status make_room(sonde_mastery *mastery)
{
    uint64_t examples = mastery->options.examples;
    if (examples > 0) {
        if (examples > SIZE_MAX)
            return sonde__fail(mastery->context, SONDE_ERROR_OVERFLOW,
                               "mastery: %llu examples do not fit in memory",
                               (unsigned long long)examples);
        SONDE_TRY(sonde__mastery_grow(mastery, (size_t)examples));
        mastery->known = (size_t)examples;
        sonde__mastery_clear(mastery, 0, mastery->known);
        return SONDE_OK;
    }
    return sonde__mastery_create_table(mastery);
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
    float *pending = sonde__mastery_loss_plane(mastery, 0);
    for (size_t i = 0; i < n; i++)
        pending[ids[i]] = sonde__mastery_pending(losses[i]);
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
    return mastery->table ? sonde__mastery_record_sparse(mastery, ids, losses, n)
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
    const planes p = {sonde__mastery_loss_plane(mastery, 0),
                      sonde__mastery_loss_plane(mastery, 1),
                      sonde__mastery_loss_plane(mastery, 2),
                      sonde__mastery_d2_plane(mastery, 0),
                      sonde__mastery_d2_plane(mastery, mastery->options.window - 1),
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
            const float *d2 = sonde__mastery_d2_plane(mastery, age) + first;
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

uint64_t sonde__mastery_count_mastered(const sonde_mastery *mastery)
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
        sonde__mastery_count_mastered(mastery) > 0)
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
    float *pending = sonde__mastery_loss_plane(mastery, 0);
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
    const float *pending = sonde__mastery_loss_plane(mastery, 0);
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

bool sonde__mastery_anneals_next(const sonde_mastery *mastery)
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
    mastery->annealing = sonde__mastery_anneals_next(mastery);
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
    size_t number = (size_t)id;
    if (mastery->table ? !sonde__mastery_find(mastery, id, &number) : id >= mastery->known)
        return true;
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
