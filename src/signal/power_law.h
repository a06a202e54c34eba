/*
 * The power law of a spectrum's tail: p(x) = (alpha - 1) / xmin (x / xmin)^-alpha for x >= xmin.
 * Source: Clauset, Shalizi, Newman, "Power-law distributions in empirical data", 2009.
 */
#ifndef SONDE_SIGNAL_POWER_LAW_H
#define SONDE_SIGNAL_POWER_LAW_H

#include "base/context.h"

/* Least count of values in the tail for an exponent that may be used. */
enum { SONDE__POWER_LAW_LEAST = 10 };

typedef struct sonde__power_law {
    sonde_validity
        validity; /* TOO_FEW: also where there are numbers, of a tail that is too short */
    double alpha;
    double alpha_error; /* (alpha - 1) / sqrt(tail) */
    double ks_distance; /* D */
    size_t first;       /* the tail is [first, count) of the values */
    size_t tail;
} sonde__power_law;

/* Of ascending values; those that are not above `floor` (>= 0) are left out. Silent, any thread. */
sonde_status sonde__power_law_fit(sonde_context *context, const double *ascending, size_t count,
                                  double floor, sonde__power_law *law);

#endif
