/* Passes through a network that several measurements share. */
#include "measure/passes.h"

#include "net/loss.h"

sonde_status sonde__measure_gradient(sonde__net *net, sonde__mode mode, const float *x,
                                     const int32_t *labels, int n, float *dlogits, double *loss)
{
    const float *logits = NULL;
    SONDE_TRY(sonde__net_forward(net, mode, x, n, 0, &logits));
    *loss = sonde__loss_cross_entropy(logits, labels, (size_t)n, (size_t)sonde__net_outputs(net), 0,
                                      NULL, dlogits);
    return sonde__net_backward(net, dlogits);
}
