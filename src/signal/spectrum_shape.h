/*
 * sonde_spectrum_shape for worker threads: silent, what went wrong comes back as a sentence.
 */
#ifndef SONDE_SIGNAL_SPECTRUM_SHAPE_H
#define SONDE_SIGNAL_SPECTRUM_SHAPE_H

#include "base/context.h"

/* `*problem` may come back NULL. */
sonde_status sonde__spectrum_shape_quiet(sonde_context *context, const double *eigenvalues,
                                         size_t count, const sonde_spectrum_report *report,
                                         sonde_spectrum_shape_report *shape, const char **problem);

#endif
