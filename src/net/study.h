/*
 * A network under study: what signals look at and training does not need.
 *
 *     options.study = true;                       // at sonde__net_create
 *     sonde__net_watch(net, &watch);              // optional
 *     sonde__net_forward(net, SONDE__STUDY_EVAL, x, n, 0, &logits);
 *     sonde__net_backward(net, dlogits);          // any number of times, each from its own dlogits
 *     sonde__net_example_norms(net, dlogits, norms);
 *
 * All values of the forward pass stay until the next one. Dropout is off. STUDY_EVAL normalises by
 * the running statistics (examples are then independent of each other), STUDY_TRAIN by the batch's
 * own, and updates the running ones as training does.
 */
#ifndef SONDE_NET_STUDY_H
#define SONDE_NET_STUDY_H

#include "net/form.h"
#include "net/net.h"

/* Called while a pass runs, on the calling thread; arrays lie as `form` says (lanes of padding are
 * zero) and are valid during the call. `layer` counts the graph's layers (sonde__graph_layer). */
typedef struct sonde__watch {
    void *user;
    /* Forward: the value of a layer as it is made. Of fused layers only the last is seen: a batch
     * norm or an addition right before a ReLU is not, nor what is a convolution's before its ReLU.
     * May be NULL. */
    void (*value)(void *user, int layer, const sonde__form *form, const float *y);
    /* Backward: of each convolution and linear layer its output `y` (behind a fused ReLU) and the
     * gradient `dy` by its output before that ReLU; also while norms of examples are found. May be
     * NULL. */
    void (*gradient)(void *user, int layer, const sonde__form *form, const float *y,
                     const float *dy);
    bool skip_parameters; /* backward leaves the flat gradients as they are (input gradient only) */
} sonde__watch;

/* Holds from here on, copied; NULL: nothing is watched. In the study modes only. The input's
 * gradient may be asked for (sonde__net_want_input_gradient) or not before each backward pass. */
void sonde__net_watch(sonde__net *net, const sonde__watch *watch);

/*
 * Squared norms of every example's own gradient, by parameter, exact, from one batched backward
 * pass: norms[p * n + i] = || d (dlogits_i . logits_i) / d parameter_p ||^2, with p as in
 * sonde__net_parameter (0 for buffers) and n the batch of the last forward pass. After a STUDY_EVAL
 * forward only; SONDE_ERROR_STATE otherwise.
 */
sonde_status sonde__net_example_norms(sonde__net *net, const float *dlogits, double *norms);

/*
 * The derivative of the gradient when parameters are scaled: along dw_p = scales[p] * w_p (one
 * factor a parameter; 0: it stays). For GraSP's product with the Hessian, since
 * sum_p w_p . (H g)_p = g . (H w). Kinks of ReLU and max pooling do not count, as in automatic
 * differentiation.
 *
 * After forward and backward of a study mode with options.tangent: _forward gives the derivative of
 * the logits (n x outputs); the caller turns it into the derivative of dlogits; _backward writes
 * the derivative of the flat gradients (`count` floats of the flat layout). Both may be run again,
 * with other scales, as long as no other pass comes between. `scales` is copied. Costs the memory of
 * a second forward and backward pass.
 */
sonde_status sonde__net_tangent_forward(sonde__net *net, const double *scales,
                                        const float **logits);
sonde_status sonde__net_tangent_backward(sonde__net *net, const float *dlogits, float *gradients);

/* --- the graph's layers, for those that walk over them ---------------------------------------- */

typedef struct sonde__layer_view {
    sonde__op op;
    const char *name;
    sonde__shape shape; /* of the output */
    const int *inputs;  /* layers, all earlier */
    int input_count;
    sonde__conv_options conv; /* CONV; of LINEAR `out` and `bias` */
    int first_parameter, parameter_count;
    bool used; /* the output depends on it */
} sonde__layer_view;

int sonde__graph_layer_count(const sonde__graph *graph);
sonde__layer_view sonde__graph_layer(const sonde__graph *graph, int layer);

#endif
