/*
 * SynFlow of a whole network: Tanaka et al., arXiv 2006.05467, as a proxy by zero-cost-nas and NASLib.
 *
 * With the magnitudes of all parameters, one example of ones and R the sum of the outputs:
 *
 *   sum over the weights of convolutions and linear layers of |w dR/dw|
 *
 * Computed by net/exact.h, so that no depth overflows; the score is the natural logarithm of the sum.
 */
#ifndef SONDE_MEASURE_PROXY_SYNFLOW_H
#define SONDE_MEASURE_PROXY_SYNFLOW_H

#include "net/net.h"

typedef enum sonde__synflow_protocol {
    /* Without batch norm, but for the residual blocks between the stages of a NAS-Bench-201 network,
     * which keep it there (their code does not hand the flag on). */
    SONDE__SYNFLOW_ZERO_COST_NAS,
    SONDE__SYNFLOW_NASLIB /* without any batch norm */
} sonde__synflow_protocol;

typedef struct sonde__synflow {
    sonde_score log_score; /* natural logarithm of the sum; DEGENERATE where the sum is zero */
    sonde_score score;     /* the sum; OUT_OF_RANGE where it does not fit in a double */
    int64_t exponent;      /* of `scores`: the true ones are 2^exponent times as large */
} sonde__synflow;

/*
 * `with_batch_norm`: batch norm stays everywhere, by the statistics of the one example (the protocol
 * then makes no difference). `scores`: NULL, or for each parameter NULL or room for its elements:
 * |w dR/dw| / 2^exponent in the plain layout, the largest near 1; zeros for parameters that do not
 * count. What it costs is two to three forward passes of one example in double. The network is left
 * as it is.
 */
sonde_status sonde__measure_synflow(sonde_context *context, sonde__net *net,
                                    sonde__synflow_protocol protocol, bool with_batch_norm,
                                    float *const *scores, sonde__synflow *result);

#endif
