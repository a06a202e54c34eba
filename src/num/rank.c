/*
 * Correlations of two series: Pearson, Spearman with mean ranks for ties, Kendall's tau-b by
 * Knight's merge-sort method. No allocation; every sort is a bottom-up merge sort in the scratch.
 */
#include "num/rank.h"

#include <math.h>
#include <string.h>

typedef struct pair {
    double key, other;
} pair;

static bool all_finite(const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static bool before_or_same(pair a, pair b)
{
    return a.key < b.key || (a.key == b.key && a.other <= b.other);
}

/* Merges in[0, middle) and in[middle, n) into out; returns how many elements of the second half
 * passed one of the first, by key alone when `key_only`. */
static double merge(const pair *in, size_t middle, size_t n, pair *out, bool key_only)
{
    size_t i = 0, j = middle;
    double exchanges = 0;
    for (size_t k = 0; k < n; k++) {
        const bool take_first =
            i < middle &&
            (j >= n || (key_only ? in[i].key <= in[j].key : before_or_same(in[i], in[j])));
        if (take_first) {
            out[k] = in[i++];
        } else {
            exchanges += (double)(middle - i);
            out[k] = in[j++];
        }
    }
    return exchanges;
}

/* Sorts by (key, other), or stably by key alone; returns the exchanges a bubble sort would need. */
static double sort_pairs(pair *pairs, size_t n, pair *buffer, bool key_only)
{
    double exchanges = 0;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t start = 0; start < n; start += 2 * width) {
            const size_t length = n - start < 2 * width ? n - start : 2 * width;
            const size_t middle = length < width ? length : width;
            exchanges += merge(pairs + start, middle, length, buffer + start, key_only);
        }
        memcpy(pairs, buffer, n * sizeof *pairs);
    }
    return exchanges;
}

void sonde__sort(double *values, size_t n, double *scratch)
{
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t start = 0; start < n; start += 2 * width) {
            const size_t middle = n - start < width ? n : start + width;
            const size_t end = n - start < 2 * width ? n : start + 2 * width;
            size_t i = start, j = middle;
            for (size_t k = start; k < end; k++)
                scratch[k] =
                    i < middle && (j >= end || values[i] <= values[j]) ? values[i++] : values[j++];
        }
        memcpy(values, scratch, n * sizeof *values);
    }
}

void sonde__ranks(const double *values, size_t n, double *scratch, double *ranks)
{
    pair *const pairs = (pair *)(void *)scratch;
    for (size_t i = 0; i < n; i++)
        pairs[i] = (pair){values[i], (double)i};
    sort_pairs(pairs, n, pairs + n, false);
    for (size_t start = 0; start < n;) {
        size_t end = start + 1;
        while (end < n && pairs[end].key == pairs[start].key)
            end++;
        const double mean_rank = ((double)start + (double)end + 1) / 2;
        for (size_t i = start; i < end; i++)
            ranks[(size_t)pairs[i].other] = mean_rank;
        start = end;
    }
}

bool sonde__pearson(const double *x, const double *y, size_t n, double *correlation)
{
    *correlation = 0;
    if (n < 2 || !all_finite(x, n) || !all_finite(y, n))
        return false;
    double largest_x = 0, largest_y = 0; /* so that squares neither overflow nor vanish */
    for (size_t i = 0; i < n; i++) {
        largest_x = fmax(largest_x, fabs(x[i]));
        largest_y = fmax(largest_y, fabs(y[i]));
    }
    if (largest_x == 0 || largest_y == 0)
        return false;
    double mean_x = 0, mean_y = 0;
    for (size_t i = 0; i < n; i++) {
        mean_x += x[i] / largest_x / (double)n;
        mean_y += y[i] / largest_y / (double)n;
    }
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        const double dx = x[i] / largest_x - mean_x, dy = y[i] / largest_y - mean_y;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    const double constant = 1e-30 * (double)n; /* rounding left of a constant series */
    if (xx <= constant || yy <= constant)
        return false;
    *correlation = fmin(fmax(xy / (sqrt(xx) * sqrt(yy)), -1), 1);
    return true;
}

bool sonde__spearman(const double *x, const double *y, size_t n, double *scratch,
                     double *correlation)
{
    *correlation = 0;
    if (n < 2 || !all_finite(x, n) || !all_finite(y, n))
        return false;
    double *const ranks_x = scratch + 4 * n, *const ranks_y = scratch + 5 * n;
    sonde__ranks(x, n, scratch, ranks_x);
    sonde__ranks(y, n, scratch, ranks_y);
    return sonde__pearson(ranks_x, ranks_y, n, correlation);
}

/* Pairs of equal keys among the sorted n; of equal (key, other) when `both`. */
static double tied_pairs(const pair *sorted, size_t n, bool both)
{
    double ties = 0;
    for (size_t start = 0; start < n;) {
        size_t end = start + 1;
        while (end < n && sorted[end].key == sorted[start].key &&
               (!both || sorted[end].other == sorted[start].other))
            end++;
        const double run = (double)(end - start);
        ties += run * (run - 1) / 2;
        start = end;
    }
    return ties;
}

bool sonde__kendall(const double *x, const double *y, size_t n, double *scratch,
                    double *correlation)
{
    *correlation = 0;
    if (n < 2 || !all_finite(x, n) || !all_finite(y, n))
        return false;
    pair *const pairs = (pair *)(void *)scratch, *const buffer = pairs + n;
    for (size_t i = 0; i < n; i++)
        pairs[i] = (pair){x[i], y[i]};
    sort_pairs(pairs, n, buffer, false);
    const double ties_x = tied_pairs(pairs, n, false), ties_both = tied_pairs(pairs, n, true);
    for (size_t i = 0; i < n; i++)
        pairs[i] = (pair){pairs[i].other, 0};
    const double discordant = sort_pairs(pairs, n, buffer, true);
    const double ties_y = tied_pairs(pairs, n, false);
    const double all = (double)n * ((double)n - 1) / 2;
    if (all == ties_x || all == ties_y)
        return false;
    const double concordant = all - ties_x - ties_y + ties_both - discordant;
    *correlation = (concordant - discordant) / (sqrt(all - ties_x) * sqrt(all - ties_y));
    return true;
}
