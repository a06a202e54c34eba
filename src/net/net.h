/*
 * A network that runs: parameters, activations and kernels for a finished graph.
 *
 * Parameters, gradients and optimizer state live in flat float arrays of one common device layout
 * (blocked as the kernels like it, padding kept at zero), so that an optimizer is one loop over
 * `count` floats. Plain layouts (out x in x kh x kw, row-major) come and go through _export and
 * _import. Forward and backward for a batch size and mode are planned once: kernels chosen,
 * activations placed in one arena; plans are cached by (batch, mode).
 *
 * A step:  forward(TRAIN) -> logits -> a loss of loss.h -> backward(dlogits) -> gradients.
 */
#ifndef SONDE_NET_NET_H
#define SONDE_NET_NET_H

#include "net/graph.h"

typedef struct sonde__net sonde__net;

typedef enum sonde__mode {
    SONDE__EVAL, /* running statistics, no dropout, exact kernels (no Winograd) */
    SONDE__TRAIN,
    SONDE__STUDY_EVAL, /* see study.h: values stay, any number of backward passes may follow */
    SONDE__STUDY_TRAIN
} sonde__mode;

typedef struct sonde__net_options {
    int threads;   /* 0: the context's, or one if a step is too small to share */
    int max_batch; /* largest batch that will be asked for */
    uint64_t seed; /* of initialisation and dropout */
    bool winograd; /* allow it in training where it is faster */
    bool study;    /* the study modes may be run; nothing is fused that hides a value they show */
    bool tangent;  /* sonde__net_tangent_* may be called; keeps gradients too */
} sonde__net_options;

typedef enum sonde__role {
    SONDE__ROLE_WEIGHT, /* of a convolution or linear layer: weight decay applies */
    SONDE__ROLE_BIAS,
    SONDE__ROLE_SCALE, /* of a normalisation */
    SONDE__ROLE_SHIFT,
    SONDE__ROLE_RUNNING_MEAN, /* buffers: not trained */
    SONDE__ROLE_RUNNING_VARIANCE,
    SONDE__ROLE_TABLE /* trained rows that are looked up or added: embedding, positions */
} sonde__role;

typedef struct sonde__parameter {
    const char *name; /* "layer1.0.conv1.weight", as PyTorch would call it */
    sonde__role role;
    int dims;
    int64_t shape[4]; /* plain */
    size_t elements;  /* plain */
    size_t offset;    /* of trained parameters, in the flat arrays */
    size_t length;    /* there, padding included; 0 for buffers */
} sonde__parameter;

/* Running statistics: kept with the weights, but not trained. */
static inline bool sonde__is_buffer(const sonde__parameter *parameter)
{
    return parameter->role == SONDE__ROLE_RUNNING_MEAN ||
           parameter->role == SONDE__ROLE_RUNNING_VARIANCE;
}

/* Takes the graph over (also on failure). Parameters are initialised from the seed. */
sonde_status sonde__net_create(sonde_context *context, sonde__graph *graph,
                               const sonde__net_options *options, sonde__net **net);
void sonde__net_free(sonde__net *net);

const sonde__graph *sonde__net_graph(const sonde__net *net);
sonde__shape sonde__net_input_shape(const sonde__net *net);
int sonde__net_outputs(const sonde__net *net);
/* Rows of logits an example: 1, or the tokens of a sequence model, whose logits are then n x rows x
 * (outputs / rows) and whose head sees n x rows rows of features. */
int sonde__net_rows(const sonde__net *net);
/* True if a batch of one example cannot be trained on (batch norm over one value). */
bool sonde__net_has_batch_norm(const sonde__net *net);

/* x: n x channels x height x width, plain. Also the logits: n x outputs, valid until the next
 * forward. Dropout draws from (seed, step), in the order of the device layout, so that another
 * instruction set drops others. In TRAIN mode running statistics are updated. In EVAL mode an
 * example's logits may differ in the last bits with the size of the batch that it is in. */
sonde_status sonde__net_forward(sonde__net *net, sonde__mode mode, const float *x, int n,
                                uint64_t step, const float **logits);
/* After a TRAIN forward: dlogits n x outputs; overwrites the flat gradients. */
sonde_status sonde__net_backward(sonde__net *net, const float *dlogits);
/* Also the gradient of the input (n x channels x height x width, plain), for tests and proxies;
 * NULL: not wanted. Set before the first forward of a TRAIN plan. */
void sonde__net_want_input_gradient(sonde__net *net, float *gradient);

/* The head (last linear layer) after a forward: features n x d plain, valid until the next forward.
 * `weight` is the plain C x d matrix, valid until parameters change. */
typedef struct sonde__net_head_view {
    const char *name;
    const float *features;
    int features_count; /* d */
    const float *weight;
    int outputs; /* C */
} sonde__net_head_view;
sonde_status sonde__net_head(sonde__net *net, sonde__net_head_view *view);

/* Parameters in graph order, buffers included. */
int sonde__net_parameter_count(const sonde__net *net);
const sonde__parameter *sonde__net_parameter(const sonde__net *net, int index);
/* Trained parameters only: weights and gradients, `*count` floats each, 64-byte aligned. */
float *sonde__net_weights(sonde__net *net, size_t *count);
float *sonde__net_gradients(sonde__net *net, size_t *count);
/* Between plain and device layout. `flat` is any array of the flat layout (weights, momentum...);
 * buffers ignore it and use the net's own values. */
void sonde__net_export(const sonde__net *net, const float *flat, int index, float *plain);
void sonde__net_import(sonde__net *net, float *flat, int index, const float *plain);
/* Must follow any change of the weights, so that derived copies are remade. */
void sonde__net_weights_changed(sonde__net *net);

/* Bytes of arenas, parameters and scratch held now. */
size_t sonde__net_memory(const sonde__net *net);
/* Seconds spent by kind of operator since creation, for reports; names are static. */
int sonde__net_profile(const sonde__net *net, const char **names, double *seconds, int capacity);

#endif
