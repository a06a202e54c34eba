/*
 * The engine's own operators: everything but convolutions and linear layers. Forward and backward of
 * each stand side by side in op_NAME.c.
 *
 * All work on activations of any form (see form.h), keep the lanes of padding at zero, and run on
 * the OpenMP threads of the caller in chunks that do not depend on their number.
 */
#ifndef SONDE_NET_OPS_H
#define SONDE_NET_OPS_H

#include "net/form.h"

/* --- op_batch_norm.c: y = [relu](scale (x - mean) / sqrt(variance + eps) + shift [+ other]) --- */

typedef struct sonde__batch_norm {
    sonde__form form;
    const float *scale, *shift; /* padded with zeros to a multiple of 16; NULL: 1 and 0 */
    float *running_mean, *running_variance;
    float *scale_gradient, *shift_gradient; /* NULL: not wanted, or there are none */
    double *scale_norms, *shift_norms;      /* squared norms of examples, if `examples`, or NULL */
    float *saved;                           /* 4 * padded channels, from forward to backward */
    float *partial;                         /* scratch of sonde__batch_norm_partial floats */
    bool running;                           /* backward: mean and variance were constants */
    bool examples;                          /* sums are formed by example */
    bool relu;
    bool pool; /* y is the maximum over 2 x 2 pixels, moving by 2; no `other` then */
} sonde__batch_norm;

size_t sonde__batch_norm_saved(const sonde__form *form);
size_t sonde__batch_norm_partial(const sonde__form *form, bool examples);
/* By the batch's own mean and variance; updates the running ones. `other` may be NULL. */
void sonde__batch_norm_train(const sonde__batch_norm *norm, const float *x, const float *other,
                             float *y);
/* By the running mean and variance. */
void sonde__batch_norm_eval(const sonde__batch_norm *norm, const float *x, const float *other,
                            float *y);

typedef struct sonde__batch_norm_gradients {
    const float *x;
    const float *y; /* the output; read only if there was an `other` and a ReLU */
    float *dy;      /* with an `other` or `more` it becomes the gradient of the sum before ReLU */
    const float *more; /* a second part of dy, or NULL */
    bool other;        /* there was an `other` */
    float *dx;         /* may be dy if there was no `other` and no pool */
} sonde__batch_norm_gradients;
void sonde__batch_norm_backward(const sonde__batch_norm *norm,
                                const sonde__batch_norm_gradients *gradients);

/* op_batch_norm_pool.c: the parts of it that know the 2 x 2 pixels, for one example's group of
 * channels: height x width x lanes in, half of that out. */
typedef struct sonde__norm_pool {
    size_t height, width, lanes;
    const float *mean, *factor, *offset; /* normalised: factor x + offset */
    const float *slope, *constant;       /* dx = factor g + slope x + constant */
    bool relu;
} sonde__norm_pool;
void sonde__norm_pool_forward(const sonde__norm_pool *pool, const float *x, float *y);
/* Sums of g and of g (x - mean), for each lane. */
void sonde__norm_pool_sums(const sonde__norm_pool *pool, const float *x, const float *dy,
                           float *sum, float *product);
void sonde__norm_pool_input(const sonde__norm_pool *pool, const float *x, const float *dy,
                            float *dx);

/* --- op_layer_norm.c: plain rows, scale and shift of `features` --- */

typedef struct sonde__layer_norm {
    size_t rows, features;
    size_t tokens; /* rows of an example */
    const float *scale, *shift;
    float *saved;                           /* 2 * rows: mean, 1 / deviation */
    float *scale_gradient, *shift_gradient; /* NULL: not wanted */
    double *scale_norms, *shift_norms;      /* squared norms of the examples' own, or NULL */
} sonde__layer_norm;
void sonde__layer_norm_forward(const sonde__layer_norm *norm, const float *x, float *y);
/* dx may be dy. */
void sonde__layer_norm_backward(const sonde__layer_norm *norm, const float *x, const float *dy,
                                float *dx);

/* --- op_group_norm.c: plain --- */

typedef struct sonde__group_norm {
    size_t batch, channels, pixels, groups;
    const float *scale, *shift;
    float *scale_gradient, *shift_gradient; /* NULL: not wanted */
    double *scale_norms, *shift_norms;      /* squared norms of the examples' own, or NULL */
    float *saved;                           /* 2 * batch * groups: mean, 1 / deviation */
} sonde__group_norm;
void sonde__group_norm_forward(const sonde__group_norm *norm, const float *x, float *y);
/* dx may be dy. */
void sonde__group_norm_backward(const sonde__group_norm *norm, const float *x, const float *dy,
                                float *dx);

/* --- op_attention.c: rows of tokens, x has 3 * width floats a row and y width --- */

typedef struct sonde__attention {
    size_t batch, tokens, width, heads;
    bool causal;
    bool keep;      /* `weights` holds all of them, for the backward pass; else one set a thread */
    float *weights; /* batch x heads (or threads) x tokens x tokens */
    float *scratch; /* threads x tokens x tokens; of the backward pass */
} sonde__attention;
void sonde__attention_forward(const sonde__attention *a, const float *qkv, float *y);
/* After a forward pass that keeps its weights. */
void sonde__attention_backward(const sonde__attention *a, const float *qkv, const float *dy,
                               float *dqkv);

/* --- op_tokens.c: rows of tokens --- */

typedef struct sonde__embedding {
    size_t rows, width, count; /* tokens of all examples, floats of a row, rows of the table */
    const float *table;
} sonde__embedding;
/* -1, or the first token whose id is not one of the table's; y is then not complete. */
ptrdiff_t sonde__embedding_forward(const sonde__embedding *e, const float *ids, float *y);
/* Squared norms of the examples' own gradients of the table: tokens of one id are added up first. */
void sonde__embedding_norms(const sonde__embedding *e, size_t batch, const float *ids,
                            const float *dy, double *norms);
void sonde__embedding_backward(const sonde__embedding *e, const float *ids, const float *dy,
                               float *dtable);
/* `values`: tokens x width; y may be x. */
void sonde__positions_forward(size_t batch, size_t values, const float *table, const float *x,
                              float *y);
void sonde__positions_backward(size_t batch, size_t values, const float *dy, float *dtable);
void sonde__positions_norms(size_t batch, size_t values, const float *dy, double *norms);

/* --- op_upsample.c: of the same block --- */

void sonde__upsample_forward(const sonde__form *in, const sonde__form *out, const float *x,
                             float *y);
void sonde__upsample_backward(const sonde__form *in, const sonde__form *out, const float *dy,
                              float *dx);

/* --- op_elementwise.c --- */

/* RELU, GELU, SILU, SIGMOID, TANH, ZERO; y may be x. */
void sonde__unary_forward(sonde__op op, const sonde__form *form, const float *x, float *y);
/* dy becomes dx. */
void sonde__unary_backward(sonde__op op, const sonde__form *form, const float *x, const float *y,
                           float *dy);
/* True if the derivative is a function of the output alone. */
bool sonde__unary_by_output(sonde__op op);
/* x becomes exp(x - shift). */
void sonde__exp_shifted(size_t n, float shift, float *x);
void sonde__softmax_forward(const sonde__form *form, const float *x, float *y);
void sonde__softmax_backward(const sonde__form *form, const float *y, float *dy);
/* y = [relu](a + b); y may be a. */
void sonde__add_forward(size_t count, const float *a, const float *b, bool relu, float *y);
/* a += b */
void sonde__accumulate(size_t count, float *a, const float *b);
void sonde__mul_forward(const sonde__form *form, bool gate, const float *a, const float *b,
                        float *y);
/* da may be dy; `gate`: b and db are plain batch x channels. NULL gradients are not wanted. */
typedef struct sonde__mul_gradients {
    const float *a, *b, *dy;
    float *da, *db;
} sonde__mul_gradients;
void sonde__mul_backward(const sonde__form *form, bool gate, const sonde__mul_gradients *gradients);
/* Keeps each value with probability 1 - rate, scaled by 1 / (1 - rate); `kept` gets a byte each. */
typedef struct sonde__dropout {
    uint64_t seed, step;
    uint32_t layer;
    double rate;
} sonde__dropout;
void sonde__dropout_forward(const sonde__dropout *dropout, size_t count, const float *x,
                            unsigned char *kept, float *y);
void sonde__dropout_backward(const sonde__dropout *dropout, size_t count, const unsigned char *kept,
                             float *dy);

/* --- op_pool.c --- */

typedef struct sonde__pool_window {
    sonde__form in, out; /* of the same block */
    int kernel, stride, padding;
} sonde__pool_window;
void sonde__max_pool_forward(const sonde__pool_window *pool, const float *x, float *y);
/* The gradient goes to the first of equal maxima in row order. */
void sonde__max_pool_backward(const sonde__pool_window *pool, const float *x, const float *y,
                              const float *dy, float *dx);
void sonde__avg_pool_forward(const sonde__pool_window *pool, const float *x, float *y);
void sonde__avg_pool_backward(const sonde__pool_window *pool, const float *dy, float *dx);
/* y and dy are plain batch x channels. */
void sonde__global_pool_forward(const sonde__form *in, const float *x, float *y);
void sonde__global_pool_backward(const sonde__form *in, const float *dy, float *dx);

/* --- op_move.c --- */

/* Same values, another block. */
void sonde__reorder(const sonde__form *from, const float *x, const sonde__form *to, float *y);
/* Channels of `part` to or from channels [first, ...) of `whole`. Lanes of padding stay as they
 * are in `whole`, so it must be cleared before, and are zeroed in `part`. */
void sonde__concat_forward(const sonde__form *part, const float *x, const sonde__form *whole,
                           int first, float *y);
void sonde__concat_backward(const sonde__form *part, float *dx, const sonde__form *whole, int first,
                            const float *dy);
/* Channels of the input are channels [front, ...) of the output; every stride-th pixel. */
typedef struct sonde__shortcut {
    int stride, front;
} sonde__shortcut;
void sonde__shortcut_pad_forward(const sonde__form *in, const sonde__form *out,
                                 const sonde__shortcut *options, const float *x, float *y);
void sonde__shortcut_pad_backward(const sonde__form *in, const sonde__form *out,
                                  const sonde__shortcut *options, const float *dy, float *dx);
void sonde__copy(size_t count, const float *from, float *to);

/* --- op_tangent.c: derivatives r when parameters are scaled (see study.h) --- */

/* Of a product: ry holds W rx and gets a (y - b) + c b added, for weights that grow by a and a bias
 * (or NULL) by c; zero where a ReLU has left y at zero. */
typedef struct sonde__product_tangent {
    const float *bias; /* padded as the channels are */
    float weight_share, bias_share;
    bool relu;
} sonde__product_tangent;
void sonde__product_tangent_forward(const sonde__product_tangent *tangent, const sonde__form *form,
                                    const float *y, float *ry);
/* a += share b */
void sonde__accumulate_share(size_t count, float *a, float share, const float *b);
/* rdx holds f'(x) rdy and gets f''(x) rx dy added. */
typedef struct sonde__second {
    const float *x, *y, *rx, *dy;
    float *rdx;
} sonde__second;
void sonde__unary_second(sonde__op op, size_t count, const sonde__second *second);
/* `ry` is the derivative of the output; rdy becomes rdx. */
void sonde__softmax_second(const sonde__form *form, const float *y, const float *ry,
                           const float *dy, float *rdy);
/* ry: rx where x has the first maximum of each window. */
void sonde__max_pool_tangent(const sonde__pool_window *pool, const float *x, const float *y,
                             const float *rx, float *ry);

/* --- op_attention_tangent.c: `scratch` has threads x tokens x tokens floats, backward three times
 * as many --- */

void sonde__attention_tangent(const sonde__attention *a, const float *qkv, const float *rqkv,
                              float *ry);
typedef struct sonde__attention_slopes {
    const float *qkv, *rqkv, *dy, *rdy;
} sonde__attention_slopes;
void sonde__attention_tangent_backward(const sonde__attention *a,
                                       const sonde__attention_slopes *slopes, float *rdqkv);

/* --- op_norm_tangent.c --- */

typedef struct sonde__norm_tangent {
    sonde__form form;
    const float *saved;         /* of the forward pass */
    const float *scale, *shift; /* NULL: 1 and 0 */
    float scale_share, shift_share;
    bool running;   /* mean and variance are constants */
    float *partial; /* sonde__batch_norm_tangent_partial floats */
} sonde__norm_tangent;
size_t sonde__batch_norm_tangent_partial(const sonde__form *form);
void sonde__batch_norm_tangent(const sonde__norm_tangent *norm, const float *x, const float *rx,
                               float *ry);
/* dy: behind the ReLU's mask, as rdy; rdy becomes rdx. */
typedef struct sonde__norm_tangent_gradients {
    const float *x, *rx, *dy;
    float *rdy;
    float *scale, *shift; /* the derivatives of their gradients; NULL if there are none */
} sonde__norm_tangent_gradients;
void sonde__batch_norm_tangent_backward(const sonde__norm_tangent *norm,
                                        const sonde__norm_tangent_gradients *gradients);

/* Norms of rows of `count` values that lie one behind the other: layer, token and group norm. Value
 * j of row i has scale number i % period * (count / each) + j / each. */
typedef struct sonde__row_norm {
    size_t rows, count, each, period;
    const float *saved; /* by row: mean, 1 / deviation */
    const float *scale, *shift;
    float scale_share, shift_share;
} sonde__row_norm;
void sonde__row_norm_tangent(const sonde__row_norm *norm, const float *x, const float *rx,
                             float *ry);
void sonde__row_norm_tangent_backward(const sonde__row_norm *norm,
                                      const sonde__norm_tangent_gradients *gradients);

/* Loops over fewer floats than this stay on one thread. */
enum { SONDE__PARALLEL_FLOATS = 1 << 14 };

#endif
