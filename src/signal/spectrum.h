/*
 * The spectral criterion for worker threads: the same as sonde_spectrum, but silent. What went wrong
 * comes back as a status and a fixed sentence, never through the context's error record.
 */
#ifndef SONDE_SIGNAL_SPECTRUM_H
#define SONDE_SIGNAL_SPECTRUM_H

#include "base/context.h"

/* What is wrong with the options, as a sentence, or NULL. */
const char *sonde__spectrum_options_problem(const sonde_spectrum_options *options);
/* Safe on several threads at once with one context. `*problem` may come back NULL. */
sonde_status sonde__spectrum_quiet(sonde_context *context, const sonde_matrix *weight,
                                   const sonde_spectrum_options *options,
                                   sonde_spectrum_report *report, double *eigenvalues,
                                   const char **problem);

#endif
