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
    int kernel, stride, padding; /* pools; `stride` also of SHORTCUT_PAD */
    double rate;                 /* DROPOUT */
    bool affine;                 /* BATCH_NORM: scale and shift come before its statistics */
    sonde__init init;
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
    int numbered[SONDE__OP_SHORTCUT_PAD + 1]; /* unnamed layers so far, by operator */
    sonde__init init;
    int output, head; /* -1: none */
    bool finished;
};

static inline size_t sonde__features(sonde__shape shape)
{
    return (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
}

#endif
