/*
 * The choose rule: candidates ranked by a proxy, the majority of several proxies, and how well a
 * ranking agrees with what was measured.
 * Source: arXiv 2101.08134 (vote of synflow, jacob_cov and snip, pair by pair).
 *
 * Invariant: results depend on the scores and the order of the candidates alone; a score that is not
 * valid never counts as a number.
 */
#include "base/context.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"
#include "num/rank.h"

typedef struct place {
    double key; /* larger is better */
    size_t index;
    bool valid;
} place;

static int better_first(const void *a, const void *b)
{
    const place *const x = a, *const y = b;
    if (x->valid != y->valid)
        return x->valid ? -1 : 1;
    if (x->valid && x->key != y->key)
        return x->key > y->key ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static bool usable(const sonde_score *score)
{
    return score->validity == SONDE_VALID && isfinite(score->value);
}

/* The one direction of the valid scores: 1 or -1 (of none: 1), or 0 where they do not share one. */
static int shared_direction(const sonde_score *scores, size_t n)
{
    int shared = 0;
    for (size_t i = 0; i < n; i++) {
        if (!usable(&scores[i]))
            continue;
        const int direction = (int)scores[i].direction;
        if (direction == SONDE_NEUTRAL || (shared && shared != direction))
            return 0;
        shared = direction;
    }
    return shared ? shared : SONDE_HIGHER_IS_BETTER;
}

/* Sorted best first. */
static sonde_status sort_places(sonde_context *context, const char *call, const sonde_score *scores,
                                size_t n, place *places)
{
    const int direction = shared_direction(scores, n);
    if (direction == 0)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "%s: the scores have no common direction, so none is better", call);
    for (size_t i = 0; i < n; i++)
        places[i] = (place){direction * scores[i].value, i, usable(&scores[i])};
    qsort(places, n, sizeof *places, better_first);
    return SONDE_OK;
}

/* One past the last candidate that ties with that at `first`. */
static size_t tie_end(const place *places, size_t n, size_t first)
{
    size_t end = first + 1;
    while (end < n && places[end].valid == places[first].valid &&
           places[end].key == places[first].key)
        end++;
    return end;
}

sonde_status sonde_choose_rank(sonde_context *context, const sonde_score *scores, size_t n,
                               size_t *order, double *ranks)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (n == 0)
        return SONDE_OK;
    if (!scores || !order)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "choose: %s is NULL",
                           scores ? "order" : "scores");
    place *const places = sonde__alloc(context, n, sizeof *places);
    if (!places)
        return SONDE_ERROR_MEMORY;
    const sonde_status status = sort_places(context, "choose", scores, n, places);
    for (size_t first = 0, end; first < n && status == SONDE_OK; first = end) {
        end = places[first].valid ? tie_end(places, n, first) : n;
        for (size_t i = first; i < end; i++) {
            order[i] = places[i].index;
            if (ranks)
                ranks[places[i].index] =
                    places[i].valid ? ((double)first + (double)end + 1) / 2 : 0;
        }
    }
    sonde__free(context, places);
    return status;
}

/* --- vote -------------------------------------------------------------------------------------- */

/* Candidates that can vote: places, and twice as many halves of votes, are exact in a float. */
enum { LEVELS = 1 << 23 };

/* One voter's levels: equal for ties, larger is better, 0 for what is not valid. */
static sonde_status fill_levels(sonde_context *context, const sonde_score *scores, size_t n,
                                place *places, float *levels)
{
    SONDE_TRY(sort_places(context, "vote", scores, n, places));
    for (size_t first = 0, end; first < n; first = end) {
        end = places[first].valid ? tie_end(places, n, first) : n;
        for (size_t i = first; i < end; i++)
            levels[places[i].index] = places[i].valid ? (float)(n - first) : 0.0f;
    }
    return SONDE_OK;
}

/* margins[j] += 1 where this voter puts the candidate before j, -1 behind. */
SONDE_CLONES
static void add_votes(const float *levels, float own, size_t n, float *margins)
{
#pragma omp simd
    for (size_t j = 0; j < n; j++)
        margins[j] += (own > levels[j] ? 1.0f : 0.0f) - (own < levels[j] ? 1.0f : 0.0f);
}

/* Pairs won, ties half; the candidate's tie with itself comes off. Halves are exact in a float: n is
 * below LEVELS. */
SONDE_CLONES
static double wins_of(const float *margins, size_t n)
{
    float halves = 0;
#pragma omp simd reduction(+ : halves)
    for (size_t j = 0; j < n; j++)
        halves += (margins[j] > 0 ? 1.0f : 0.0f) + (margins[j] >= 0 ? 1.0f : 0.0f);
    return 0.5 * (double)halves - 0.5;
}

static sonde_score share_won(const sonde_score *scores, size_t voters, size_t n, size_t candidate,
                             double wins)
{
    sonde_score vote = {.direction = SONDE_HIGHER_IS_BETTER, .validity = SONDE_NOT_MEASURED};
    for (size_t v = 0; v < voters; v++)
        if (usable(&scores[v * n + candidate]))
            vote.validity = n > 1 ? SONDE_VALID : SONDE_TOO_FEW;
    if (vote.validity == SONDE_VALID)
        vote.value = wins / (double)(n - 1);
    return vote;
}

static sonde_status count_votes(sonde_context *context, const sonde_score *scores, size_t voters,
                                size_t n, sonde_score *votes)
{
    size_t all;
    if (!sonde__multiply(voters, n, &all))
        return sonde__fail(context, SONDE_ERROR_OVERFLOW, "vote: %zu voters of %zu candidates",
                           voters, n);
    place *const places = sonde__alloc(context, n, sizeof *places);
    float *const levels = places ? sonde__alloc(context, all, sizeof *levels) : NULL;
    float *const margins = levels ? sonde__alloc(context, n, sizeof *margins) : NULL;
    sonde_status status = margins ? SONDE_OK : SONDE_ERROR_MEMORY;
    for (size_t v = 0; v < voters && status == SONDE_OK; v++)
        status = fill_levels(context, scores + v * n, n, places, levels + v * n);
    for (size_t i = 0; i < n && status == SONDE_OK; i++) {
        for (size_t j = 0; j < n; j++)
            margins[j] = 0;
        for (size_t v = 0; v < voters; v++)
            add_votes(levels + v * n, levels[v * n + i], n, margins);
        votes[i] = share_won(scores, voters, n, i, wins_of(margins, n));
    }
    sonde__free(context, margins);
    sonde__free(context, levels);
    sonde__free(context, places);
    return status;
}

sonde_status sonde_choose_vote(sonde_context *context, const sonde_score *scores, size_t voters,
                               size_t n, sonde_score *votes)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (voters == 0)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "vote: there must be a voter");
    if (n == 0)
        return SONDE_OK;
    if (!scores || !votes)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "vote: %s is NULL",
                           scores ? "votes" : "scores");
    if (n >= LEVELS)
        return sonde__fail(context, SONDE_ERROR_UNSUPPORTED,
                           "vote: %zu candidates; there must be fewer than %d", n, (int)LEVELS);
    return count_votes(context, scores, voters, n, votes);
}

/* --- agreement --------------------------------------------------------------------------------- */

static sonde_score correlation_of(bool exists, double value, size_t pairs)
{
    sonde_score score = {.direction = SONDE_HIGHER_IS_BETTER, .validity = SONDE_VALID};
    if (exists)
        score.value = value;
    else
        score.validity = pairs < 2 ? SONDE_TOO_FEW : SONDE_DEGENERATE;
    return score;
}

sonde_status sonde_choose_agreement(sonde_context *context, const double *x, const double *y,
                                    size_t n, sonde_agreement *agreement)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!agreement || ((!x || !y) && n > 0))
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "agreement: an array is NULL");
    double *const room = sonde__alloc(context, n, (2 + SONDE__RANK_SCRATCH) * sizeof *room);
    if (!room)
        return SONDE_ERROR_MEMORY;
    double *const left = room, *const right = room + n, *const scratch = room + 2 * n;
    size_t pairs = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i]) && isfinite(y[i])) {
            left[pairs] = x[i];
            right[pairs++] = y[i];
        }
    double value;
    agreement->pairs = pairs;
    bool exists = sonde__spearman(left, right, pairs, scratch, &value);
    agreement->spearman = correlation_of(exists, value, pairs);
    exists = sonde__kendall(left, right, pairs, scratch, &value);
    agreement->kendall = correlation_of(exists, value, pairs);
    exists = sonde__pearson(left, right, pairs, &value);
    agreement->pearson = correlation_of(exists, value, pairs);
    sonde__free(context, room);
    return SONDE_OK;
}
