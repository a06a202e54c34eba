/*
 * A spectrum against the Marchenko-Pastur law.
 *
 * 1. Bulk matching: sigma2 by regression of the order statistics between the quantiles 0.2 and 0.8 on
 *    those of the law with the shape's c. Spikes are the eigenvalues above the Tracy-Widom edge;
 *    where slices are pooled, that of the largest of so many independent spectra.
 * 2. The law of the distance: from the extremes of what is left (published), or from 1.
 * 3. distance = integral |histogram - law|, exact in each of M = 2 floor(n^(1/3)) bins;
 *    statistic = distance n^(1/3) / sqrt(log n), with n the eigenvalues that are left.
 *
 * Source: methods sections 3.1 and 3.3 (JMLR 24(28) 2023; BEMA, arXiv 2006.00436).
 * Invariant: every step is unchanged when all eigenvalues are multiplied by one number.
 */
#include "signal/spectrum_fit.h"

#include <math.h>

#include "num/tracy_widom.h"

static const double TRIM = 0.2; /* alpha of the bulk matching */
/* What is left below the spikes must not be rounding errors of the bulk that was matched. */
static const double ROUNDING = 1e-12;

sonde_status sonde__spectrum_ensemble_init(sonde_context *context, size_t n, size_t longer,
                                           const sonde_spectrum_options *options,
                                           sonde__spectrum_ensemble *ensemble)
{
    sonde__spectrum_ensemble made = {.n = n,
                                     .longer = longer,
                                     .slices = (size_t)options->slices,
                                     .count = (size_t)options->slices * n,
                                     .c = (double)n / (double)longer,
                                     .fit = options->fit,
                                     .remove_spikes = options->remove_spikes};
    /* The largest of k independent maxima stays below x with the k-th power of the probability. */
    const double level = pow(options->spike_level, 1.0 / (double)made.slices);
    if (!sonde__tracy_widom_quantile(level, &made.edge_quantile))
        return SONDE_ERROR_RANGE;
    made.first = (size_t)(TRIM * (double)made.count);
    made.last = made.count - made.first;
    made.quantiles = sonde__alloc_quiet(context, made.last - made.first, sizeof *made.quantiles);
    if (!made.quantiles)
        return SONDE_ERROR_MEMORY;
    const sonde__mp law = sonde__mp_from_shape(made.c, 1);
    sonde__mp_quantiles(&law, made.count, made.first, made.last, made.quantiles);
    for (size_t k = 0; k < made.last - made.first; k++)
        made.square_sum += made.quantiles[k] * made.quantiles[k];
    *ensemble = made;
    return SONDE_OK;
}

void sonde__spectrum_ensemble_free(sonde_context *context, sonde__spectrum_ensemble *ensemble)
{
    sonde__free(context, ensemble->quantiles);
    ensemble->quantiles = NULL;
}

void sonde__spectrum_fit_bulk(const sonde__spectrum_ensemble *ensemble, const double *middle,
                              sonde__spectrum_fit *fit)
{
    double sum = 0;
    for (size_t k = 0; k < ensemble->last - ensemble->first; k++)
        sum += ensemble->quantiles[k] * middle[k];
    const double longer = (double)ensemble->longer;
    fit->sigma2 = sum / ensemble->square_sum;
    fit->edge = sonde__edge(fit->sigma2, ensemble->c, longer, ensemble->edge_quantile);
    fit->edge_unit = fit->sigma2 * sonde__tracy_widom_scale(ensemble->c, longer);
}

bool sonde__spectrum_fit_law(const sonde__spectrum_ensemble *ensemble, double smallest,
                             double largest, size_t kept, sonde__spectrum_fit *fit)
{
    fit->kept = kept;
    fit->bins = sonde__histogram_bins(ensemble->count);
    fit->distance = fit->statistic = 0;
    fit->law = (sonde__mp){0};
    if (kept < SONDE__SPECTRUM_LEAST) {
        fit->validity = SONDE_TOO_FEW;
        return false;
    }
    const bool constant = !(sqrt(largest) - sqrt(smallest) > 1e-7 * sqrt(largest));
    if (constant || !(fit->sigma2 > 0) || !(largest > ROUNDING * fit->sigma2)) {
        fit->validity = SONDE_DEGENERATE;
        return false;
    }
    fit->validity = SONDE_VALID;
    fit->law = ensemble->fit == SONDE_MP_BULK ? sonde__mp_from_shape(ensemble->c, fit->sigma2)
                                              : sonde__mp_from_extremes(smallest, largest);
    return true;
}

void sonde__spectrum_fit_distance(const size_t *counts, sonde__spectrum_fit *fit)
{
    const size_t bins = fit->bins;
    size_t inside = 0;
    for (size_t k = 0; k < bins; k++)
        inside += counts[k];
    const double n = (double)fit->kept, outside = (double)(fit->kept - inside) / n;
    fit->distance = outside + sonde__histogram_distance(counts, bins, fit->kept, fit->law.low,
                                                        fit->law.high, &fit->law);
    fit->statistic = fit->distance * cbrt(n) / sqrt(log(n));
}

sonde__spectrum_fit sonde__spectrum_fit_all(const sonde__spectrum_ensemble *ensemble,
                                            const double *eigenvalues)
{
    sonde__spectrum_fit fit = {0};
    size_t counts[SONDE__SPECTRUM_BINS_MAX], kept = ensemble->count;
    sonde__spectrum_fit_bulk(ensemble, eigenvalues + ensemble->first, &fit);
    while (ensemble->remove_spikes && kept > 0 && eigenvalues[kept - 1] > fit.edge)
        kept--;
    const double largest = kept > 0 ? eigenvalues[kept - 1] : 0;
    if (sonde__spectrum_fit_law(ensemble, eigenvalues[0], largest, kept, &fit)) {
        sonde__histogram_count(eigenvalues, kept, fit.law.low, fit.law.high, fit.bins, counts);
        sonde__spectrum_fit_distance(counts, &fit);
    }
    return fit;
}
