/*
 * Histograms with equal bins and their L1 distance from a Marchenko-Pastur law.
 * Source: JMLR 24(28) 2023 (methods section 3.1, steps 4 and 5), integrated exactly in each bin.
 */
#include "num/histogram.h"

#include <math.h>

size_t sonde__histogram_bins(size_t n)
{
    size_t root = (size_t)cbrt((double)n);
    while (root > 0 && root * root * root > n) /* cbrt may round either way */
        root--;
    while ((root + 1) * (root + 1) * (root + 1) <= n)
        root++;
    return root > 1 ? 2 * root : 2;
}

double sonde__histogram_border(double low, double high, size_t bins, size_t k)
{
    return k == bins ? high : low + (high - low) * ((double)k / (double)bins);
}

void sonde__histogram_count(const double *ascending, size_t n, double low, double high, size_t bins,
                            size_t *counts)
{
    size_t at = 0;
    while (at < n && ascending[at] < low)
        at++;
    for (size_t k = 0; k < bins; k++) {
        const double border = sonde__histogram_border(low, high, bins, k + 1);
        const size_t start = at;
        while (at < n && (ascending[at] < border || (k + 1 == bins && ascending[at] == border)))
            at++;
        counts[k] = at - start;
    }
}

double sonde__histogram_distance(const size_t *counts, size_t bins, size_t n, double low,
                                 double high, const sonde__mp *law)
{
    const double density = (double)bins / ((double)n * (high - low));
    double total = 0;
    for (size_t k = 0; k < bins; k++)
        total += sonde__mp_bin_distance(law, sonde__histogram_border(low, high, bins, k),
                                        sonde__histogram_border(low, high, bins, k + 1),
                                        density * (double)counts[k]);
    return total;
}
