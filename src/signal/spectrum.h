/*
 * The spectral criterion for worker threads: the same as sonde_spectrum, but silent. What went wrong
 * comes back as a status and a fixed sentence, never through the context's error record.
 */
#ifndef SONDE_SIGNAL_SPECTRUM_H
#define SONDE_SIGNAL_SPECTRUM_H

#include "base/context.h"

/* `count` ascending eigenvalues X = s^2 / N in units of 4^exponent, the largest near 1. */
typedef struct sonde__eigenvalues {
    const double *x;
    size_t count;
    int exponent;
} sonde__eigenvalues;

/* What is wrong with the options, as a sentence, or NULL. */
const char *sonde__spectrum_options_problem(const sonde_spectrum_options *options);
/* A copy of the options, or of the defaults where they are NULL; nothing behind `size` is read of a
 * struct of another size. Sets `*problem` where it fails, and NULL. */
sonde_status sonde__spectrum_options_take(const sonde_spectrum_options *options,
                                          sonde_spectrum_options *own, const char **problem);
/* Safe on several threads at once with one context. `*problem` may come back NULL. */
sonde_status sonde__spectrum_quiet(sonde_context *context, const sonde_matrix *weight,
                                   const sonde_spectrum_options *options,
                                   sonde_spectrum_report *report, double *eigenvalues,
                                   const char **problem);

/* The same of sonde_spectrum_judge. */
sonde_status sonde__spectrum_judge_quiet(sonde_context *context, const double *eigenvalues,
                                         size_t count, size_t rows, size_t cols,
                                         const sonde_spectrum_options *options,
                                         sonde_spectrum_report *report, const char **problem);

/* A report with rows <= cols and the aspect set, all else 0. */
sonde_spectrum_report sonde__spectrum_report_of(size_t rows, size_t cols);
/* Fills such a report; options have passed sonde__spectrum_options_problem, and count is slices
 * times report->rows, at most SONDE__SPECTRUM_COUNT_MAX. */
sonde_status sonde__spectrum_judge_scaled(sonde_context *context, const sonde__eigenvalues *values,
                                          const sonde_spectrum_options *options,
                                          sonde_spectrum_report *report);

#endif
