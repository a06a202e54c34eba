/* The inside of a graph, for the engine: layers in topological order, and their parameters. */
#ifndef SONDE_NET_GRAPH_INTERNAL_H
#define SONDE_NET_GRAPH_INTERNAL_H

#include "net/graph.h"
#include "net/net.h"

typedef struct sonde__layer {
    sonde__op op;
    char *name;
    sonde__shape shape; /* of the output */
    int *inputs;        /* layers, all earlier than this one */
    int input_count;
    sonde__conv_options conv;    /* CONV; for LINEAR `out` and `bias` */
    int kernel, stride, padding; /* pools; `stride` also of SHORTCUT_PAD; the factor of UPSAMPLE */
    int parts;                   /* heads of ATTENTION, groups of GROUP_NORM */
    bool causal;                 /* ATTENTION */
    bool tokens;                 /* CONV: a linear layer for every token */
    int front;                   /* SHORTCUT_PAD: zero channels in front */
    double rate;                 /* DROPOUT */
    bool affine;                 /* BATCH_NORM: scale and shift come before its statistics */
    sonde__init init;
    double deviation; /* SONDE__INIT_NORMAL */
    int first_parameter, parameter_count;
    bool used; /* the output depends on it; set by finish */
} sonde__layer;

/* `offset` and `length` of a parameter are set by the engine. */
struct sonde__graph {
    sonde_context *context;
    sonde_status status; /* of the first failure */
    char message[256];
    sonde__layer *layers;
    int layer_count, layer_capacity;
    sonde__parameter *parameters; /* names are owned */
    int *parameter_layers;
    int parameter_count, parameter_capacity;
    int numbered[SONDE__OP_COUNT]; /* unnamed layers so far, by operator */
    sonde__init init;
    double deviation;
    int output, head; /* -1: none */
    bool finished;
};

/* --- for the calls that add operators ---------------------------------------------------------- */

/* Keeps the first failure; the node that it returns makes later calls do nothing. */
sonde__node sonde__graph_fail(sonde__graph *graph, sonde_status status, const char *format, ...)
    SONDE_PRINTF(3, 4);
/* True if every input is a node of this graph and nothing has failed so far. */
bool sonde__graph_usable(sonde__graph *graph, const sonde__node *inputs, int count);
/* Adds a layer with its inputs; the caller fills in the rest. NULL (and a failure kept) if not. */
sonde__layer *sonde__graph_add(sonde__graph *graph, sonde__op op, const char *name,
                               const sonde__node *inputs, int count, sonde__shape shape);
/* Of the layer added last. An empty suffix: the parameter has the layer's name. */
void sonde__graph_add_parameter(sonde__graph *graph, const char *suffix, sonde__role role, int dims,
                                const int64_t *shape);
/* What a call returns: the layer added last, or -1 after a failure. */
sonde__node sonde__graph_last(const sonde__graph *graph);

static inline size_t sonde__features(sonde__shape shape)
{
    return (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
}

#endif
