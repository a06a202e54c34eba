/* Passes through a network that several measurements share. */
#ifndef SONDE_MEASURE_PASSES_H
#define SONDE_MEASURE_PASSES_H

#include "net/study.h"

/* Forward, mean cross-entropy over n examples with hard labels, backward: leaves the flat gradients
 * of the network. `dlogits`: room for n x outputs, filled. */
sonde_status sonde__measure_gradient(sonde__net *net, sonde__mode mode, const float *x,
                                     const int32_t *labels, int n, float *dlogits, double *loss);

#endif
