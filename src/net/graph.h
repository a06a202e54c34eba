/*
 * The graph of a network: operators, shapes, parameters. Pure description; net.h runs it.
 *
 * Built by calls that each add one operator and return its node. Errors are sticky: a failed call
 * returns a node that later calls accept and ignore, and sonde__graph_finish reports the first
 * failure. So an architecture is one short function without a check in every line.
 *
 * Shapes are per example: channels x height x width for images, features (channels, 1, 1) else.
 * The input comes first; windows that do not fill are dropped (as PyTorch's floor mode); two layers
 * with parameters may not share a name.
 */
#ifndef SONDE_NET_GRAPH_H
#define SONDE_NET_GRAPH_H

#include "base/context.h"

typedef struct sonde__graph sonde__graph;
typedef int sonde__node;

typedef struct sonde__shape {
    int channels, height, width;
} sonde__shape;

typedef enum sonde__op {
    SONDE__OP_INPUT,
    SONDE__OP_CONV,
    SONDE__OP_LINEAR,
    SONDE__OP_BATCH_NORM,
    SONDE__OP_LAYER_NORM,
    SONDE__OP_RELU,
    SONDE__OP_GELU, /* exact, by erf */
    SONDE__OP_SILU,
    SONDE__OP_SIGMOID,
    SONDE__OP_TANH,
    SONDE__OP_SOFTMAX, /* over channels (of every pixel) */
    SONDE__OP_ZERO,    /* 0 times x: the edge "none" of a cell */
    SONDE__OP_MAX_POOL,
    SONDE__OP_AVG_POOL,    /* padding is not counted */
    SONDE__OP_GLOBAL_POOL, /* average, to channels x 1 x 1 */
    SONDE__OP_ADD,
    SONDE__OP_MUL,
    SONDE__OP_CONCAT, /* over channels */
    SONDE__OP_RESHAPE,
    SONDE__OP_DROPOUT,
    /* ResNet option A: every `stride`-th pixel (from 0); zero channels, half of them in front
     * (rounded down) as in the trained CIFAR networks of akamaster. */
    SONDE__OP_SHORTCUT_PAD,
    /* Of sequences: the pixels are the tokens, in row order, the channels their features. */
    SONDE__OP_TOKEN_NORM, /* layer norm of every token over its channels */
    SONDE__OP_GROUP_NORM,
    SONDE__OP_EMBEDDING, /* a token's id, a float, becomes a row of a table */
    SONDE__OP_POSITIONS, /* adds a table: one row a token */
    SONDE__OP_ATTENTION, /* scaled dot products of queries, keys and values, by heads */
    SONDE__OP_TRANSPOSE, /* channels become tokens, tokens channels */
    SONDE__OP_UPSAMPLE,  /* every pixel becomes factor x factor of its value */
    SONDE__OP_COUNT
} sonde__op;

typedef struct sonde__conv_options {
    int out, kernel_height, kernel_width, stride, padding, dilation, groups;
    bool bias;
} sonde__conv_options;

sonde_status sonde__graph_create(sonde_context *context, sonde__graph **graph);
void sonde__graph_free(sonde__graph *graph);

/* Names are dotted paths of parameters, as in "layer1.0.conv1"; NULL: numbered by the operator. */
sonde__node sonde__graph_input(sonde__graph *graph, sonde__shape shape);
/* out x (in / groups) x kernel, weights initialised as `sonde__graph_init` says. */
sonde__node sonde__graph_conv(sonde__graph *graph, const char *name, sonde__node x,
                              sonde__conv_options options);
/* A square kernel, no dilation, one group: what most architectures need. */
sonde__node sonde__graph_conv_simple(sonde__graph *graph, const char *name, sonde__node x, int out,
                                     int kernel, int stride, int padding, bool bias);
/* out x (all features of x, flattened in channel, row, column order). */
sonde__node sonde__graph_linear(sonde__graph *graph, const char *name, sonde__node x, int out,
                                bool bias);
/* eps 1e-5, momentum 0.1, affine; running mean and unbiased variance, as PyTorch. */
sonde__node sonde__graph_batch_norm(sonde__graph *graph, const char *name, sonde__node x);
/* The same without scale and shift: its only parameters are the running statistics. */
sonde__node sonde__graph_batch_norm_plain(sonde__graph *graph, const char *name, sonde__node x);
/* Over all of an example's features (channels, height, width), affine, eps 1e-5. */
sonde__node sonde__graph_layer_norm(sonde__graph *graph, const char *name, sonde__node x);
/* RELU, GELU, SILU, SIGMOID, TANH, SOFTMAX, ZERO, GLOBAL_POOL. */
sonde__node sonde__graph_unary(sonde__graph *graph, sonde__op op, sonde__node x);
/* MAX_POOL or AVG_POOL. */
sonde__node sonde__graph_pool(sonde__graph *graph, sonde__op op, sonde__node x, int kernel,
                              int stride, int padding);
/* ADD or MUL of equal shapes; MUL also broadcasts a channels x 1 x 1 `b`. */
sonde__node sonde__graph_binary(sonde__graph *graph, sonde__op op, sonde__node a, sonde__node b);
sonde__node sonde__graph_concat(sonde__graph *graph, const sonde__node *nodes, int count);
sonde__node sonde__graph_reshape(sonde__graph *graph, sonde__node x, sonde__shape shape);
sonde__node sonde__graph_dropout(sonde__graph *graph, sonde__node x, double rate);
sonde__node sonde__graph_shortcut_pad(sonde__graph *graph, sonde__node x, int out, int stride);

/* --- sequences: a value of `channels` features for each of height x width tokens --------------- */

/* A linear layer for every token: a 1x1 convolution, whose weight is out x in (2 dims). */
sonde__node sonde__graph_token_linear(sonde__graph *graph, const char *name, sonde__node x, int out,
                                      bool bias);
/* Normalises every token over its channels, affine, eps 1e-5. */
sonde__node sonde__graph_token_norm(sonde__graph *graph, const char *name, sonde__node x);
/* Normalises channels / groups channels over all pixels, affine by channel, eps 1e-5. */
sonde__node sonde__graph_group_norm(sonde__graph *graph, const char *name, sonde__node x,
                                    int groups);
/* x: one channel of ids 0 .. count - 1, as floats (others fail the forward pass, by value); gives
 * `width` channels. The table is count x width. No gradient goes to the ids. */
sonde__node sonde__graph_embedding(sonde__graph *graph, const char *name, sonde__node x, int count,
                                   int width);
/* Adds a table of tokens x channels to x. Its parameter is called `name`, with nothing behind;
 * `dims` 2: its shape is tokens x channels, 3: 1 x tokens x channels. */
sonde__node sonde__graph_positions(sonde__graph *graph, const char *name, sonde__node x, int dims);
/*
 * Multi-head self-attention of a packed value: channels 0 .. d-1 of x are the queries, then the keys,
 * then the values, head by head within each: softmax(Q K^T / sqrt(d / heads)) V, to d channels.
 * `causal`: a token sees itself and those before it.
 */
sonde__node sonde__graph_attention(sonde__graph *graph, sonde__node x, int heads, bool causal);
/* channels x tokens to tokens x channels x 1. */
sonde__node sonde__graph_transpose(sonde__graph *graph, sonde__node x);
/* Nearest neighbour. */
sonde__node sonde__graph_upsample(sonde__graph *graph, sonde__node x, int factor);

typedef enum sonde__init {
    SONDE__INIT_PYTORCH, /* uniform +-1/sqrt(fan_in), biases too: PyTorch's default; tables normal */
    SONDE__INIT_HE,      /* normal, variance 2 / fan_in, biases zero */
    SONDE__INIT_NORMAL   /* normal of one deviation, biases zero: transformers */
} sonde__init;
/* For parameters added from here on; the default is SONDE__INIT_PYTORCH. */
void sonde__graph_set_init(sonde__graph *graph, sonde__init init);
/* SONDE__INIT_NORMAL of this deviation. */
void sonde__graph_set_deviation(sonde__graph *graph, double deviation);

/* Sets the output (the logits) and reports the first error of any call above. The head is the last
 * LINEAR (or CONV) operator on the way to the output. Of a sequence model the output is the
 * transpose of a token_linear: logits are then rows of classes, one a token. */
sonde_status sonde__graph_finish(sonde__graph *graph, sonde__node output);
sonde__shape sonde__graph_shape(const sonde__graph *graph, sonde__node node);
/* Multiply-adds of one example's forward pass. */
double sonde__graph_flops(const sonde__graph *graph);

#endif
