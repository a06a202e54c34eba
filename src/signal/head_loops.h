/* The vector loops of the head probe; `x` and `out` are arrays of n, which may be 0 unless said. */
#ifndef SONDE_SIGNAL_HEAD_LOOPS_H
#define SONDE_SIGNAL_HEAD_LOOPS_H

#include <stdbool.h>
#include <stddef.h>

/* exp(x) for x <= 0, the same as in the loops. */
double sonde__head_exp(double x);
void sonde__head_convert_floats(double *out, const float *in, size_t n);
bool sonde__head_all_finite(const double *x, size_t n);
/* -infinity for none. */
double sonde__head_largest(const double *x, size_t n);
/* Index of the first element that equals `value`, or of the last one (n >= 1). */
size_t sonde__head_first_equal(const double *x, size_t n, double value);
/* exps[i] = exp(x[i] - largest). Returns their sum; *weighted: the sum of exps[i] (x[i] - largest). */
double sonde__head_exp_sums(const double *restrict x, size_t n, double largest,
                            double *restrict exps, double *weighted);
/* x[i] = exp(x[i] - largest) * scale */
void sonde__head_softmax(double *x, size_t n, double largest, double scale);
void sonde__head_scale(double *x, size_t n, double factor);
void sonde__head_add_to(double *sums, const double *x, size_t n);
double sonde__head_sum_of_squares(const double *x, size_t n);
double sonde__head_sum_of_float_squares(const float *x, size_t n);

#endif
