/*
 * The power law of a tail, by maximum likelihood, from where it fits best.
 *
 * Every value but the largest is a candidate for xmin. With L_k = log x_k and n values from x_i on,
 *   alpha = 1 + n / sum_k (L_k - L_i),
 *   D = max_k |1 - exp(-(alpha - 1) (L_k - L_i)) - (k - i) / n|,
 * and the candidate with the least D wins, the lower one of two (as the packages powerlaw and
 * weightwatcher do). The sums are those of suffixes; D of a candidate is given up as soon as one
 * point is further off than the best candidate's worst one. The point that told for the candidate
 * before is tried first, so that nearly all candidates cost a few exponentials.
 * Source: Clauset, Shalizi, Newman 2009, equations 3.1 and 3.9. Invariant: multiplying all values by
 * one number changes nothing.
 */
#include "signal/power_law.h"

#include <math.h>

enum { STRIDE = 64 }; /* of the first look at the candidates */

typedef struct tail_search {
    const double *logs; /* log (x / largest), ascending, the last one 0 */
    const double *sums; /* of logs[k ..] */
    size_t count;
    size_t told; /* the point that was furthest off, as a distance from the largest value */
    sonde__power_law best;
} tail_search;

/* |law - data| at point k of the tail from `start` on, with exponent alpha = 1 + slope. */
static double deviation(const tail_search *search, size_t start, double slope, size_t k)
{
    const double law = 1 - exp(-slope * (search->logs[k] - search->logs[start]));
    return fabs(law - (double)(k - start) / (double)(search->count - start));
}

/* D of the tail, or some number above `limit` where D is. */
static double distance_within(tail_search *search, size_t start, double slope, double limit)
{
    const size_t last = search->count - 1;
    size_t told = search->told < last - start ? last - search->told : start;
    double most = deviation(search, start, slope, told);
    const size_t steps[] = {(last - start) / 16 + 1, 1};
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = start; k <= last && most <= limit; k += steps[pass]) {
            const double each = deviation(search, start, slope, k);
            if (each > most) {
                most = each;
                told = k;
            }
        }
    search->told = last - told;
    return most;
}

static void try_candidate(tail_search *search, size_t start)
{
    const double *const logs = search->logs;
    if (start > 0 && logs[start - 1] == logs[start])
        return; /* the tail holds all values that are equal to xmin */
    const double n = (double)(search->count - start);
    const double sum = search->sums[start] - n * logs[start];
    if (!(sum > 0))
        return;
    const double slope = n / sum;
    const double distance = distance_within(search, start, slope, search->best.ks_distance);
    const bool lower = distance == search->best.ks_distance && start < search->best.first;
    if (!(distance < search->best.ks_distance) && !lower)
        return;
    search->best.alpha = 1 + slope;
    search->best.alpha_error = slope / sqrt(n);
    search->best.ks_distance = distance;
    search->best.first = start;
    search->best.tail = search->count - start;
}

static void search_all(tail_search *search)
{
    for (size_t start = 0; start + 1 < search->count; start += STRIDE)
        try_candidate(search, start);
    for (size_t start = 0; start + 1 < search->count; start++)
        if (start % STRIDE != 0)
            try_candidate(search, start);
}

sonde_status sonde__power_law_fit(sonde_context *context, const double *ascending, size_t count,
                                  double floor, sonde__power_law *law)
{
    size_t skipped = 0;
    while (skipped < count && !(ascending[skipped] > floor))
        skipped++;
    const size_t n = count - skipped;
    *law = (sonde__power_law){.validity = SONDE_TOO_FEW};
    if (n < SONDE__POWER_LAW_LEAST)
        return SONDE_OK;
    if (!(ascending[skipped] < ascending[count - 1])) {
        law->validity = SONDE_DEGENERATE;
        return SONDE_OK;
    }
    double *const logs = sonde__alloc_quiet(context, 2 * n, sizeof *logs), *const sums = logs + n;
    if (!logs)
        return SONDE_ERROR_MEMORY;
    double sum = 0;
    for (size_t k = n; k-- > 0;) {
        logs[k] = log(ascending[skipped + k] / ascending[count - 1]);
        sums[k] = sum += logs[k];
    }
    tail_search search = {logs, sums, n, 0, {.ks_distance = INFINITY}};
    search_all(&search);
    sonde__free(context, logs);
    *law = search.best;
    law->first += skipped;
    law->validity = law->tail < SONDE__POWER_LAW_LEAST ? SONDE_TOO_FEW : SONDE_VALID;
    return SONDE_OK;
}
