/*
 * The null distribution of the spectral statistic: what random matrices of the same shape give when
 * they go through the same steps. Kept in the context, since it depends on shape and options alone.
 */
#ifndef SONDE_SIGNAL_SPECTRUM_NULL_H
#define SONDE_SIGNAL_SPECTRUM_NULL_H

#include "base/random.h"
#include "signal/spectrum_fit.h"

typedef struct sonde__spectrum_null {
    double threshold; /* exceeded at the rate options->false_alarm */
    double mean;
} sonde__spectrum_null;

/* Silent, any thread; deterministic. */
sonde_status sonde__spectrum_null_find(sonde_context *context,
                                       const sonde__spectrum_ensemble *ensemble,
                                       const sonde_spectrum_options *options,
                                       sonde__spectrum_null *null);

/* Doubles of room that one draw of `count` eigenvalues needs. */
size_t sonde__spectrum_null_room(size_t count);
/* The statistic of one random matrix, or of `slices` of them pooled: by all eigenvalues, or by Sturm counts, which agree to within
 * the effect of interpolating the bulk's order statistics and cost O(n^(4/3)) instead of O(n^2). */
sonde_status sonde__spectrum_null_draw(const sonde__spectrum_ensemble *ensemble,
                                       sonde__stream *stream, bool by_counts, double *room,
                                       double *statistic);
/* The value exceeded with probability `rate` by what the n values (sorted here) are a sample of. */
double sonde__spectrum_null_quantile(double *values, size_t n, double rate, double *scratch);

#endif
