/*
 * The inside of a running network: fused stages, plans (lists of commands) and memory.
 *
 * A graph's layers are gathered into stages: one kernel's worth of work each, such as batch norm
 * with the addition and the ReLU behind it. For a mode and batch size the stages are written out as
 * a plan: commands that read and write numbered buffers. A buffer lives from the first command that
 * names it to the last; the planner gives buffers that never live together the same memory.
 */
#ifndef SONDE_NET_NET_INTERNAL_H
#define SONDE_NET_NET_INTERNAL_H

#include "net/graph_internal.h"
#include "net/kernels_dnnl.h"
#include "net/net.h"
#include "net/ops.h"
#include "net/study.h"

typedef struct sonde__stage {
    int anchor; /* the layer whose value the stage makes */
    int core;   /* the layer that does the work */
    int input;  /* of the core; -1: it is the graph's input */
    int other;  /* added to the core's result, or -1 */
    bool relu;  /* applied next */
    bool pool;  /* a 2 x 2 max pool comes last; only behind batch norm without `other` */
} sonde__stage;

/* What the engine knows of a layer, whatever the batch. */
typedef struct sonde__node_info {
    int block;              /* layout of its value */
    int consumers;          /* used layers that read it */
    bool absorbed;          /* its value is never stored */
    sonde__product product; /* CONV, LINEAR; batches are filled in by a plan */
    sonde__packing *packing;
    sonde__kernel **example_kernels; /* of example_norms.c: one a thread, or NULL */
    size_t example_floats;           /* of the weight that they write */
} sonde__node_info;

typedef enum sonde__kind {
    SONDE__KIND_CONV_FORWARD,
    SONDE__KIND_CONV_INPUT,
    SONDE__KIND_CONV_WEIGHT,
    SONDE__KIND_LINEAR,
    SONDE__KIND_NORM,
    SONDE__KIND_ELEMENTWISE,
    SONDE__KIND_POOL,
    SONDE__KIND_ATTENTION,
    SONDE__KIND_MOVE,
    SONDE__KIND_COUNT
} sonde__kind;

/* What the buffers of a command are. Kernels have those of sonde__slot instead. */
enum {
    SONDE__X,
    SONDE__Y,
    SONDE__OTHER, /* second operand */
    SONDE__DY,
    SONDE__DX,
    SONDE__MORE, /* second part of DY; gradient of OTHER */
    SONDE__SAVED,
    SONDE__PARTIAL,
    SONDE__BUFFERS
};

/* What a backward pass is run for, and what a command serves: one that serves nothing of what is
 * wanted is left out. Commands that make values serve all. */
enum {
    SONDE__SERVES_GRADIENTS = 1, /* the flat ones */
    SONDE__SERVES_NORMS = 2,     /* of examples */
    SONDE__SERVES_INPUT = 4,     /* the input's gradient */
    SONDE__SERVES_WATCH = 8,     /* every pass wants this */
    SONDE__SERVES_ALL = 15
};

typedef struct sonde__command sonde__command;
struct sonde__command {
    sonde_status (*run)(sonde__net *net, const sonde__command *command);
    sonde__kind kind;
    unsigned serves;
    sonde__kernel *kernel;     /* owned */
    const sonde__layer *layer; /* the core */
    sonde__form in, out;       /* of X and Y */
    bool relu, flag, pool;
    int first;                   /* channel, of CONCAT */
    int buffers[SONDE__BUFFERS]; /* -1: none */
    float *data[SONDE__BUFFERS]; /* set by binding, or fixed where the buffer is -1 */
};

typedef struct sonde__buffer {
    size_t floats, offset;
    int first, last; /* commands */
} sonde__buffer;

typedef struct sonde__plan {
    sonde__mode mode;
    int batch;
    bool input_gradient; /* has the commands that make it */
    sonde__command *commands;
    int command_count, command_capacity;
    int forward_count, backward_count,
        tangent_count; /* where each part ends; the last at the end */
    bool tangent;      /* has the parts behind backward_count */
    sonde__buffer *buffers;
    int buffer_count, buffer_capacity;
    size_t floats;        /* of arena that it needs */
    size_t scratch;       /* bytes that its kernels need */
    int logits, features; /* buffers; features -1: no head */
    int tangent_logits;
    sonde__form features_form;
    uint64_t bound; /* generation of the memory it is bound to; 0: none */
    uint64_t used;  /* when it was last run */
} sonde__plan;

enum { SONDE__PLANS = 12 };

struct sonde__net {
    sonde_context *context;
    sonde__graph *graph;
    sonde__kernels *kernels;
    sonde__net_options options;
    int threads;
    sonde__node_info *nodes;
    sonde__stage *stages;
    int stage_count;
    float *weights, *gradients, *running; /* running: buffers, at their offsets */
    size_t count, running_count;
    size_t *running_offsets; /* by parameter */
    float *arena;
    size_t arena_floats;
    unsigned char *scratch;
    size_t scratch_bytes;
    float *flat;         /* what the running pass writes: the gradients or their derivatives */
    float *tangents;     /* options.tangent: two flat arrays, whose sum the derivatives are */
    double *scales;      /* of the last tangent pass, by parameter */
    bool has_backward;   /* of the last forward pass */
    bool has_tangent;    /* of the last backward pass */
    uint64_t generation; /* of arena and scratch */
    uint64_t clock;
    sonde__plan *plans[SONDE__PLANS];
    sonde__plan *current; /* of the last forward; NULL before */
    bool can_backward;
    const float *x, *dlogits; /* of the running call */
    int batch;
    uint64_t step;
    float *input_gradient;
    sonde__watch watch;
    unsigned wants;        /* of the running pass: SONDE__SERVES_... */
    double *norms;         /* of the running pass, parameters x batch */
    float *example_memory; /* of example_norms.c */
    size_t example_floats;
    float *head_weight, *head_features;
    size_t head_floats;
    bool head_current;
    double seconds[SONDE__KIND_COUNT];
};

static inline bool sonde__mode_studies(sonde__mode mode)
{
    return mode == SONDE__STUDY_EVAL || mode == SONDE__STUDY_TRAIN;
}

/* Batch norm by the running statistics. */
static inline bool sonde__mode_by_running(sonde__mode mode)
{
    return mode == SONDE__EVAL || mode == SONDE__STUDY_EVAL;
}

/* True if a plan of that mode, made now, gets the commands for the input's gradient. */
static inline bool sonde__wants_input_gradient(const sonde__net *net, sonde__mode mode)
{
    return sonde__mode_studies(mode) || (mode == SONDE__TRAIN && net->input_gradient);
}

/* A parameter of a layer as it lies in the flat arrays. */
static inline float *sonde__layer_weights(const sonde__net *net, const sonde__layer *layer,
                                          int which)
{
    return net->weights + net->graph->parameters[layer->first_parameter + which].offset;
}

/* NULL: the running pass does not want it. */
static inline float *sonde__layer_gradients(const sonde__net *net, const sonde__layer *layer,
                                            int which)
{
    if (!(net->wants & SONDE__SERVES_GRADIENTS))
        return NULL;
    return net->flat + net->graph->parameters[layer->first_parameter + which].offset;
}

/* Squared norms of the examples' own gradients of a parameter, one an example; NULL: not wanted. */
static inline double *sonde__layer_norms(const sonde__net *net, const sonde__layer *layer,
                                         int which)
{
    if (!(net->wants & SONDE__SERVES_NORMS))
        return NULL;
    return net->norms + (size_t)(layer->first_parameter + which) * (size_t)net->current->batch;
}

/* Of a tangent pass: how a parameter grows. */
static inline float sonde__layer_scale(const sonde__net *net, const sonde__layer *layer, int which)
{
    return (float)net->scales[layer->first_parameter + which];
}

/* stage.c: sets stages and nodes of a finished graph. */
sonde_status sonde__net_make_stages(sonde__net *net);
/* plan_build.c */
sonde_status sonde__plan_create(sonde__net *net, sonde__mode mode, int batch, sonde__plan **plan);
void sonde__plan_free(sonde_context *context, sonde__plan *plan);
/* plan_memory.c: places all buffers; sets `floats`. */
sonde_status sonde__plan_place(sonde_context *context, sonde__plan *plan);
/* Points every command at its memory. */
sonde_status sonde__plan_bind(sonde__net *net, sonde__plan *plan);

/* net.c: the backward part of the last forward's plan, for what `wants` says, and commands
 * [begin, end) of it. */
sonde_status sonde__net_run_backward(sonde__net *net, const float *dlogits, unsigned wants);
sonde_status sonde__net_run_commands(sonde__net *net, int begin, int end);

/* example_norms.c */
sonde_status sonde__run_product_norms(sonde__net *net, const sonde__command *command);
void sonde__free_example_kernels(sonde__net *net, sonde__node_info *node);

/* tangent.c */
sonde_status sonde__run_product_tangent(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_add_scaled(sonde__net *net, const sonde__command *command);

/* command.c: how commands run. */
sonde_status sonde__run_show_value(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_show_gradient(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_kernel(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_take_input(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_take_dlogits(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_give_input(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_reorder(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_accumulate(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_copy(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_norm(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_norm_backward(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_layer_norm(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_layer_norm_backward(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_unary(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_unary_backward(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_mask(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_add(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_mul(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_mul_backward(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_dropout(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_dropout_backward(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_pool(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_pool_backward(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_clear(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_concat(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_concat_backward(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_shortcut(sonde__net *net, const sonde__command *command);
sonde_status sonde__run_shortcut_backward(sonde__net *net, const sonde__command *command);

#endif
