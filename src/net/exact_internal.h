/* The inside of the exact evaluator: tensors by layer, and the operators that its walk calls. */
#ifndef SONDE_NET_EXACT_INTERNAL_H
#define SONDE_NET_EXACT_INTERNAL_H

#include "net/exact.h"
#include "net/graph_internal.h"

/* Below every exponent that a value can have: of tensors that are zero. */
#define SONDE__EXACT_ZERO (-((int64_t)1 << 60))
/* Real numbers of the graph (biases, epsilon) are added to tensors of at least this exponent. */
#define SONDE__EXACT_LEAST (-512)

typedef struct sonde__exact_slope {
    sonde__exact_tensor tensor;
    bool set;
} sonde__exact_slope;

/* How long a layer's value is needed. */
typedef struct sonde__exact_life {
    int root;          /* the layer whose memory it is: its own, or that of what it passes on */
    int readers, left; /* steps forward that read a root's value; those still to come */
    bool kept;         /* a root's value is read going back */
} sonde__exact_life;

typedef struct sonde__exact_block {
    double *at;
    size_t count;
    bool used;
} sonde__exact_block;

struct sonde__exact {
    sonde_context *context;
    const sonde__graph *graph;
    sonde__exact_options options;
    size_t batch;
    float **parameters;             /* plain */
    sonde__exact_tensor *gradients; /* of weights; values NULL for others, or where not kept */
    sonde__scaled *saliencies;      /* of weights */
    sonde__exact_tensor *values;    /* of layers; values NULL while nobody needs them */
    sonde__exact_slope *slopes;
    double **saved;             /* by layer: what its forward step keeps for the backward one */
    sonde__exact_life *lives;   /* of values, by layer */
    sonde__exact_block *blocks; /* memory of values and slopes, used again */
    int block_count, block_capacity;
    double *scratch; /* as large as the largest value */
    double *work;    /* of products; grows */
    size_t work_size;
    size_t *offsets; /* the same */
    size_t offsets_size;
    sonde_validity validity;
    bool forward_done;
};

/* --- exact_tensor.c: numbers, tensors and their memory ------------------------------------------------------------------------- */

static inline const sonde__layer *sonde__exact_layer(const sonde__exact *e, int layer)
{
    return &e->graph->layers[layer];
}

/* The value of a layer's k-th input. */
static inline const sonde__exact_tensor *sonde__exact_input(const sonde__exact *e, int layer, int k)
{
    return &e->values[e->graph->layers[layer].inputs[k]];
}

/* 2^exponent; 0 and infinity where it does not fit. */
double sonde__exact_power(int64_t exponent);
/* Puts the values into the middle of the range; notes NaN and infinity. */
void sonde__exact_settle(sonde__exact *e, sonde__exact_tensor *t);
/* The same tensor with an exponent of at least `least`. */
void sonde__exact_raise(sonde__exact_tensor *t, int64_t least);
/* a += b, of equal counts. */
void sonde__exact_add(sonde__exact_tensor *a, const double *b, int64_t exponent);
/* The i-th value as a double; notes where it does not fit. */
double sonde__exact_real(sonde__exact *e, const sonde__exact_tensor *t, size_t i);

/* True if somebody will read the slope of a layer. */
bool sonde__exact_wants(const sonde__exact *e, int layer);
/* Room for a contribution to a layer's slope, to be handed over by sonde__exact_give; or NULL. */
double *sonde__exact_room(sonde__exact *e, int layer);
/* Gives dy itself. */
sonde_status sonde__exact_pass_slope(sonde__exact *e, int layer, const sonde__exact_tensor *dy);
void sonde__exact_give(sonde__exact *e, int layer, double *room, int64_t exponent);
/* At least `count` doubles of work space, kept until the next call. */
sonde_status sonde__exact_work(sonde__exact *e, size_t count, double **work);
sonde_status sonde__exact_offsets(sonde__exact *e, size_t count, size_t **offsets);
/* A block of at least `count` doubles, or NULL; it is given back for others to use. */
double *sonde__exact_take(sonde__exact *e, size_t count);
void sonde__exact_release(sonde__exact *e, const double *block);
/* Sums |w dR/dw| up. */
void sonde__exact_note_saliency(sonde__exact *e, int parameter,
                                const sonde__exact_tensor *gradient);
/* What a layer keeps: allocated at its first forward step. */
sonde_status sonde__exact_save(sonde__exact *e, int layer, size_t count);

/* --- operators: forward sets values[layer], backward reads its slope and gives to inputs ------ */

/* exact_product.c */
sonde_status sonde__exact_conv(sonde__exact *e, int layer);
sonde_status sonde__exact_conv_backward(sonde__exact *e, int layer);
sonde_status sonde__exact_linear(sonde__exact *e, int layer);
sonde_status sonde__exact_linear_backward(sonde__exact *e, int layer);
/* exact_norm.c: batch, layer, group and token norm */
sonde_status sonde__exact_normalise(sonde__exact *e, int layer);
sonde_status sonde__exact_normalise_backward(sonde__exact *e, int layer);
/* exact_pointwise.c */
sonde_status sonde__exact_unary(sonde__exact *e, int layer);
sonde_status sonde__exact_unary_backward(sonde__exact *e, int layer);
sonde_status sonde__exact_binary(sonde__exact *e, int layer);
sonde_status sonde__exact_binary_backward(sonde__exact *e, int layer);
/* exact_move.c: pools and all that copies */
sonde_status sonde__exact_move(sonde__exact *e, int layer);
sonde_status sonde__exact_move_backward(sonde__exact *e, int layer);
/* exact_attention.c */
sonde_status sonde__exact_attention(sonde__exact *e, int layer);
sonde_status sonde__exact_attention_backward(sonde__exact *e, int layer);

#endif
