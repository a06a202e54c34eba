/*
 * A spectrum against the Marchenko-Pastur law: spikes, bulk, and the histogram's distance. Shared by
 * the criterion (spectrum.c) and the null distribution of it (spectrum_null.c), so that both measure
 * the same thing. Source: JMLR 24(28) 2023; spike edge as in BEMA, arXiv 2006.00436.
 */
#ifndef SONDE_SIGNAL_SPECTRUM_FIT_H
#define SONDE_SIGNAL_SPECTRUM_FIT_H

#include "base/context.h"
#include "num/histogram.h"

/* Least count of eigenvalues that a distance is formed of. */
enum { SONDE__SPECTRUM_LEAST = 10, SONDE__SPECTRUM_BINS_MAX = 512 };
/* Most pooled eigenvalues: 2 floor(n^(1/3)) bins must not exceed SONDE__SPECTRUM_BINS_MAX. */
enum { SONDE__SPECTRUM_COUNT_MAX = 1 << 24 };

/* What depends on shape, slices and options alone: random matrices, and how they are measured. */
typedef struct sonde__spectrum_ensemble {
    size_t n, longer; /* n eigenvalues of each n x longer matrix */
    size_t slices;    /* matrices whose eigenvalues are pooled */
    size_t count;     /* slices * n */
    double c;
    sonde_mp_fit fit;
    bool remove_spikes;
    double edge_quantile; /* of the Tracy-Widom law, for the largest of all slices */
    size_t first, last;   /* order statistics [first, last) that are matched to the law */
    double *quantiles;    /* last - first, of the law with unit variance; owned */
    double square_sum;    /* of the quantiles */
} sonde__spectrum_ensemble;

typedef struct sonde__spectrum_fit {
    sonde_validity validity; /* VALID, TOO_FEW or DEGENERATE */
    size_t kept;             /* eigenvalues that are not spikes */
    /* Of all eigenvalues: with those kept, one spike would change the bins at the cubes (512, 4096)
     * while random matrices, which set the threshold, keep theirs. */
    size_t bins;
    double sigma2, edge, edge_unit; /* edge_unit: one Tracy-Widom width, in eigenvalue units */
    sonde__mp law;
    double distance, statistic;
} sonde__spectrum_fit;

/* Silent; n >= SONDE__SPECTRUM_LEAST, options->slices * n <= SONDE__SPECTRUM_COUNT_MAX. */
sonde_status sonde__spectrum_ensemble_init(sonde_context *context, size_t n, size_t longer,
                                           const sonde_spectrum_options *options,
                                           sonde__spectrum_ensemble *ensemble);
void sonde__spectrum_ensemble_free(sonde_context *context, sonde__spectrum_ensemble *ensemble);

/* Sets sigma2, edge and edge_unit from the order statistics [first, last). */
void sonde__spectrum_fit_bulk(const sonde__spectrum_ensemble *ensemble, const double *middle,
                              sonde__spectrum_fit *fit);
/* Sets the law and the bins from the extremes of the eigenvalues that are not spikes; false, with
 * the validity set, where there is no distance to form. */
bool sonde__spectrum_fit_law(const sonde__spectrum_ensemble *ensemble, double smallest,
                             double largest, size_t kept, sonde__spectrum_fit *fit);
/* Sets distance and statistic from the counts of fit->bins bins on the law's
 * support. Eigenvalues outside of it count in full. */
void sonde__spectrum_fit_distance(const size_t *counts, sonde__spectrum_fit *fit);
/* All of the above, from `count` ascending eigenvalues s^2 / longer. */
sonde__spectrum_fit sonde__spectrum_fit_all(const sonde__spectrum_ensemble *ensemble,
                                            const double *eigenvalues);

#endif
