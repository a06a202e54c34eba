/*
 * A network's forward and backward pass in double precision, with values that cannot overflow.
 *
 * Every tensor is plain doubles times a power of two of its own (an int64), put back into the middle
 * of the range of doubles after each operator. So SynFlow's products of absolute weights stay exact to
 * rounding at any depth, where a double ends at 1e308. Operators that are linear in their input pass
 * the power on, norms divide it out. The others (GELU, SiLU, sigmoid, tanh, softmax, attention) need
 * the real value: where that does not fit a double the pass ends as SONDE_OUT_OF_RANGE.
 *
 * For one or a few examples; batch-first plain layout throughout. Invariant: a tensor's largest
 * magnitude lies in 2^-64 .. 2^64, or is zero (and its exponent then below all others).
 */
#ifndef SONDE_NET_EXACT_H
#define SONDE_NET_EXACT_H

#include "net/net.h"

typedef struct sonde__exact sonde__exact;

typedef enum sonde__exact_norm {
    SONDE__EXACT_NORM_REMOVED, /* batch norms give their input */
    SONDE__EXACT_NORM_BATCH    /* batch norms use the statistics of the examples given */
} sonde__exact_norm;

typedef struct sonde__exact_options {
    int batch;     /* examples */
    bool absolute; /* parameters by their magnitude */
    sonde__exact_norm norm;
    bool gradients;   /* keep those of weights; else only their saliencies */
    const char *live; /* batch norms whose names begin so use statistics; NULL: as `norm` says */
} sonde__exact_options;

/* mantissa x 2^exponent */
typedef struct sonde__scaled {
    double mantissa;
    int64_t exponent;
} sonde__scaled;

sonde__scaled sonde__scaled_sum(sonde__scaled a, sonde__scaled b);
/* Natural logarithm of the magnitude; -infinity for 0. */
double sonde__scaled_log(sonde__scaled a);
/* As a double: infinity where it is too large. */
double sonde__scaled_value(sonde__scaled a);

/* values[i] x 2^exponent */
typedef struct sonde__exact_tensor {
    double *values;
    size_t count;
    int64_t exponent;
    bool negative; /* some value is */
} sonde__exact_tensor;

/* Copies the parameters of the network, which must outlive it. */
sonde_status sonde__exact_create(sonde_context *context, sonde__net *net,
                                 const sonde__exact_options *options, sonde__exact **exact);
void sonde__exact_free(sonde__exact *exact);

/* x: batch x channels x height x width; NULL: ones. What became of it says sonde__exact_validity. */
sonde_status sonde__exact_forward(sonde__exact *exact, const double *x);
/* After a forward pass: from dy, batch x outputs; NULL: ones. */
sonde_status sonde__exact_backward(sonde__exact *exact, const double *dy);

/* VALID; NOT_FINITE after a NaN or infinity; OUT_OF_RANGE, see above. Results count only if VALID. */
sonde_validity sonde__exact_validity(const sonde__exact *exact);
/* Sum of all outputs. */
sonde__scaled sonde__exact_output_sum(const sonde__exact *exact);
sonde__exact_tensor sonde__exact_output(const sonde__exact *exact);
/* After a backward pass, with options.gradients: that of a convolution's or linear layer's weight,
 * plain; no values for other parameters and for what the output does not depend on. */
sonde__exact_tensor sonde__exact_gradient(const sonde__exact *exact, int parameter);
/* The parameter as it was used, plain. */
const float *sonde__exact_parameter(const sonde__exact *exact, int parameter);
/* sum |w dR/dw| of such a parameter, with R = <dy, output>; 0 for others. */
sonde__scaled sonde__exact_saliency(const sonde__exact *exact, int parameter);

#endif
