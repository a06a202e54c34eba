/*
 * The null distribution of the spectral statistic, by simulation.
 *
 * A Gaussian n x N matrix has the singular values of a bidiagonal one with independent entries
 * chi_N, chi_(N-1), ... on the diagonal and chi_(n-1), ..., chi_1 beside it, so one draw needs 2n
 * random numbers and a tridiagonal eigenproblem instead of a matrix. From 64 rows on not even its
 * eigenvalues are computed: the histogram needs counts at its borders only, and Sturm sequences count
 * at a cost of n each. A draw of pooled slices is so many independent matrices; their counts add up.
 *
 * The threshold extrapolates the tail exponentially from the largest tenth of the draws: at rate
 * 0.01 that is within 2 % of a standard deviation for a normal law, on the careful side.
 * Source: methods sections 3.2 and 3.3. Invariant: a shape's draws are the same in every run.
 */
#include "signal/spectrum_null.h"

#include <math.h>
#include <string.h>

#include "num/linalg.h"
#include "num/rank.h"

enum {
    DRAWS_MOST = 2000,
    DRAWS_LEAST = 400,
    DRAW_BUDGET = 500000, /* draws * eigenvalues */
    COUNTS_FROM = 64,     /* eigenvalues from which a draw goes by Sturm counts */
    GRID = 256,
    FAN = 16 /* shifts tried side by side when one eigenvalue is looked for */
};

/* Marsaglia and Tsang's gamma variates, doubled: chi^2 with k >= 1 degrees of freedom. */
static double chi_squared(sonde__stream *stream, double k)
{
    if (k < 2) {
        const double normal = sonde__random_normal(stream);
        return normal * normal;
    }
    const double d = k / 2 - 1.0 / 3.0, scale = 1 / sqrt(9 * d);
    for (;;) {
        const double normal = sonde__random_normal(stream);
        const double root = 1 + scale * normal;
        if (root <= 0)
            continue;
        const double cube = root * root * root;
        const double uniform = 1 - sonde__random_uniform(stream); /* in (0, 1] */
        if (log(uniform) < normal * normal / 2 + d - d * cube + d * log(cube))
            return 2 * d * cube;
    }
}

/* T = B B^T / N with B lower bidiagonal; `off` gets n - 1 off-diagonal entries and a 0. */
static void draw_slice(const sonde__spectrum_ensemble *ensemble, sonde__stream *stream,
                       double *diagonal, double *off)
{
    const size_t n = ensemble->n;
    const double longer = (double)ensemble->longer;
    double before = 0; /* squared entry left of the diagonal */
    for (size_t i = 0; i < n; i++) {
        const double square = chi_squared(stream, longer - (double)i);
        diagonal[i] = (square + before) / longer;
        if (i + 1 < n) {
            before = chi_squared(stream, (double)(n - 1 - i));
            off[i] = sqrt(square) * sqrt(before) / longer;
        }
    }
    off[n - 1] = 0;
}

/* `slices` tridiagonal matrices, n entries each of diagonal and off-diagonal, one after the other. */
typedef struct tridiagonals {
    const double *diagonal, *off_squared;
    size_t n, slices;
} tridiagonals;

enum { SHIFTS_MOST = SONDE__SPECTRUM_BINS_MAX + 1 };

static void count_below(const tridiagonals *t, const double *shifts, size_t count, size_t *below)
{
    size_t of_slice[SHIFTS_MOST];
    sonde__tridiagonal_counts(t->diagonal, t->off_squared, t->n, shifts, count, below);
    for (size_t s = 1; s < t->slices; s++) {
        sonde__tridiagonal_counts(t->diagonal + s * t->n, t->off_squared + s * t->n, t->n, shifts,
                                  count, of_slice);
        for (size_t j = 0; j < count; j++)
            below[j] += of_slice[j];
    }
}

/* The eigenvalue with `index` others below it, in (0, bound). */
static double find_eigenvalue(const tridiagonals *t, size_t index, double bound)
{
    double low = 0, high = bound;
    while (high - low > 1e-12 * bound) {
        double shifts[FAN];
        size_t below[FAN];
        const double step = (high - low) / (FAN + 1);
        for (int j = 0; j < FAN; j++)
            shifts[j] = low + step * (j + 1);
        count_below(t, shifts, FAN, below);
        for (int j = FAN - 1; j >= 0; j--)
            if (below[j] > index)
                high = shifts[j];
        for (int j = 0; j < FAN; j++)
            if (below[j] <= index && shifts[j] < high)
                low = shifts[j];
    }
    return low + (high - low) / 2;
}

/* The extremes of all slices: a slice is searched only where one count shows that it goes further. */
static void find_extremes(const tridiagonals *t, double bound, double *smallest, double *largest)
{
    for (size_t s = 0; s < t->slices; s++) {
        const tridiagonals slice = {t->diagonal + s * t->n, t->off_squared + s * t->n, t->n, 1};
        size_t below = t->n;
        if (s > 0)
            count_below(&slice, smallest, 1, &below);
        if (below > 0)
            *smallest = find_eigenvalue(&slice, 0, s > 0 ? *smallest : bound);
        below = 0;
        if (s > 0)
            count_below(&slice, largest, 1, &below);
        if (below < t->n)
            *largest = find_eigenvalue(&slice, t->n - 1, bound);
    }
}

static double upper_bound(const tridiagonals *t)
{
    double most = 0; /* Gershgorin */
    for (size_t i = 0; i < t->n * t->slices; i++) {
        const double left = i > 0 ? sqrt(t->off_squared[i - 1]) : 0; /* 0 between slices */
        most = fmax(most, t->diagonal[i] + left + sqrt(t->off_squared[i]));
    }
    return most * (1 + 1e-9);
}

/* Order statistics [first, last), interpolated in the counts at GRID points. */
static void interpolate_middle(const sonde__spectrum_ensemble *ensemble, const tridiagonals *t,
                               double smallest, double largest, double *middle)
{
    double shifts[GRID];
    size_t below[GRID], cell = 0;
    for (size_t j = 0; j < GRID; j++)
        shifts[j] = smallest + (largest - smallest) * (double)(j + 1) / GRID;
    count_below(t, shifts, GRID, below);
    below[GRID - 1] = ensemble->count;
    for (size_t k = ensemble->first; k < ensemble->last; k++) {
        const double wanted = (double)k + 0.5;
        while ((double)below[cell] < wanted)
            cell++;
        const double from = cell > 0 ? shifts[cell - 1] : smallest;
        const double start = cell > 0 ? (double)below[cell - 1] : 0;
        middle[k - ensemble->first] =
            from + (shifts[cell] - from) * (wanted - start) / ((double)below[cell] - start);
    }
}

static sonde__spectrum_fit fit_by_counts(const sonde__spectrum_ensemble *ensemble,
                                         const tridiagonals *t, double *middle)
{
    sonde__spectrum_fit fit = {0};
    const double bound = upper_bound(t);
    double smallest = 0, largest = 0;
    find_extremes(t, bound, &smallest, &largest);
    size_t kept = ensemble->count;
    interpolate_middle(ensemble, t, smallest, largest, middle);
    sonde__spectrum_fit_bulk(ensemble, middle, &fit);
    if (ensemble->remove_spikes && largest > fit.edge) {
        count_below(t, &fit.edge, 1, &kept);
        largest = kept > 0 ? find_eigenvalue(t, kept - 1, bound) : 0;
    }
    if (!sonde__spectrum_fit_law(ensemble, smallest, largest, kept, &fit))
        return fit;
    double borders[SONDE__SPECTRUM_BINS_MAX + 1];
    size_t below[SONDE__SPECTRUM_BINS_MAX + 1], counts[SONDE__SPECTRUM_BINS_MAX];
    const size_t bins = fit.bins;
    for (size_t k = 0; k <= bins; k++)
        borders[k] = sonde__histogram_border(fit.law.low, fit.law.high, bins, k);
    count_below(t, borders, bins + 1, below);
    if (ensemble->fit == SONDE_MP_EXTREMES) { /* the extremes themselves lie in the end bins */
        below[0] = 0;
        below[bins] = kept;
    }
    for (size_t k = 0; k < bins; k++)
        counts[k] =
            (below[k + 1] < kept ? below[k + 1] : kept) - (below[k] < kept ? below[k] : kept);
    sonde__spectrum_fit_distance(counts, &fit);
    return fit;
}

size_t sonde__spectrum_null_room(size_t count)
{
    return 3 * count;
}

/* All eigenvalues in ascending order, in place of the diagonals. */
static sonde_status slice_eigenvalues(const sonde__spectrum_ensemble *ensemble, double *diagonal,
                                      double *off, double *scratch)
{
    for (size_t s = 0; s < ensemble->slices; s++)
        SONDE_TRY(sonde__tridiagonal_eigenvalues(diagonal + s * ensemble->n, off + s * ensemble->n,
                                                 ensemble->n));
    if (ensemble->slices > 1)
        sonde__sort(diagonal, ensemble->count, scratch);
    for (size_t i = 0; i < ensemble->count && diagonal[i] < 0; i++)
        diagonal[i] = 0; /* rounding */
    return SONDE_OK;
}

sonde_status sonde__spectrum_null_draw(const sonde__spectrum_ensemble *ensemble,
                                       sonde__stream *stream, bool by_counts, double *room,
                                       double *statistic)
{
    const size_t n = ensemble->n, count = ensemble->count;
    double *const diagonal = room, *const off = room + count;
    for (size_t s = 0; s < ensemble->slices; s++)
        draw_slice(ensemble, stream, diagonal + s * n, off + s * n);
    sonde__spectrum_fit fit;
    if (by_counts) {
        for (size_t i = 0; i < count; i++)
            off[i] *= off[i];
        const tridiagonals t = {diagonal, off, n, ensemble->slices};
        fit = fit_by_counts(ensemble, &t, room + 2 * count);
    } else {
        SONDE_TRY(slice_eigenvalues(ensemble, diagonal, off, room + 2 * count));
        fit = sonde__spectrum_fit_all(ensemble, diagonal);
    }
    *statistic = fit.statistic;
    return SONDE_OK;
}

double sonde__spectrum_null_quantile(double *values, size_t n, double rate, double *scratch)
{
    sonde__sort(values, n, scratch);
    const double share = rate < 0.1 ? 0.1 : rate;
    const double place = (1 - share) * (double)n - 0.5;
    const size_t below = place > 0 ? (size_t)place : 0;
    if (below + 1 >= n)
        return values[n - 1];
    const double at = values[below] + (place - (double)below) * (values[below + 1] - values[below]);
    if (rate >= share)
        return at;
    double excess = 0;
    for (size_t i = below + 1; i < n; i++)
        excess += values[i] - at;
    return at + excess / (double)(n - below - 1) * log(share / rate);
}

typedef struct kept_null {
    sonde__kept list; /* first */
    size_t n, longer, slices;
    sonde_mp_fit fit;
    bool remove_spikes;
    double spike_level, false_alarm;
    sonde__spectrum_null null;
} kept_null;

static bool look_up(sonde_context *context, const kept_null *key, sonde__spectrum_null *null)
{
    for (sonde__kept *each = sonde__context_kept(context, SONDE__SLOT_SPECTRUM_NULL); each;
         each = each->next) {
        const kept_null *const known = (const kept_null *)(const void *)each;
        if (known->n == key->n && known->longer == key->longer && known->slices == key->slices &&
            known->fit == key->fit && known->remove_spikes == key->remove_spikes &&
            known->spike_level == key->spike_level && known->false_alarm == key->false_alarm) {
            *null = known->null;
            return true;
        }
    }
    return false;
}

static sonde_status simulate(sonde_context *context, const sonde__spectrum_ensemble *ensemble,
                             double rate, sonde__spectrum_null *null)
{
    size_t draws = DRAW_BUDGET / ensemble->count;
    draws = draws < DRAWS_LEAST ? DRAWS_LEAST : draws > DRAWS_MOST ? DRAWS_MOST : draws;
    double *const values = sonde__alloc_quiet(
        context, 2 * draws + sonde__spectrum_null_room(ensemble->count), sizeof *values);
    if (!values)
        return SONDE_ERROR_MEMORY;
    const uint64_t seed =
        ((uint64_t)(ensemble->slices - 1) << 32 | (uint64_t)ensemble->longer) * SONDE__ORDER_MAX +
        ensemble->n;
    double sum = 0;
    sonde_status status = SONDE_OK;
    for (size_t i = 0; i < draws && status == SONDE_OK; i++) {
        sonde__stream stream = sonde__stream_open(seed, SONDE__RANDOM_NULL, i);
        status = sonde__spectrum_null_draw(ensemble, &stream, ensemble->count >= COUNTS_FROM,
                                           values + 2 * draws, &values[i]);
        sum += values[i];
        if (sonde__cancelled(context))
            status = SONDE_ERROR_CANCELLED;
    }
    if (status == SONDE_OK) {
        null->mean = sum / (double)draws;
        null->threshold = sonde__spectrum_null_quantile(values, draws, rate, values + draws);
    }
    sonde__free(context, values);
    return status;
}

sonde_status sonde__spectrum_null_find(sonde_context *context,
                                       const sonde__spectrum_ensemble *ensemble,
                                       const sonde_spectrum_options *options,
                                       sonde__spectrum_null *null)
{
    const kept_null key = {{NULL},
                           ensemble->n,
                           ensemble->longer,
                           ensemble->slices,
                           options->fit,
                           options->remove_spikes,
                           options->spike_level,
                           options->false_alarm,
                           {0, 0}};
    if (look_up(context, &key, null))
        return SONDE_OK;
    kept_null *const kept = sonde__alloc_quiet(context, 1, sizeof *kept);
    if (!kept)
        return SONDE_ERROR_MEMORY;
    *kept = key;
    sonde_status status = simulate(context, ensemble, options->false_alarm, &kept->null);
    if (status == SONDE_OK)
        *null = kept->null;
    /* Another thread may have been faster with the same shape; its result is the same. */
    sonde__spectrum_null other;
    if (status == SONDE_OK && !look_up(context, &key, &other))
        sonde__context_keep(context, SONDE__SLOT_SPECTRUM_NULL, &kept->list);
    else
        sonde__free(context, kept);
    return status;
}
