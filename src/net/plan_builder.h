/*
 * Writing a plan: what the operators' own parts (plan_NAME.c) are made with, and the table of them.
 *
 * A new operator is a row of plan_table.c: how its value lies, and the functions that write its
 * commands. `index` is always that of the stage. Its forward function makes values[anchor]; its
 * backward function takes the gradient of that value and gives one to each input that needs it.
 */
#ifndef SONDE_NET_PLAN_BUILDER_H
#define SONDE_NET_PLAN_BUILDER_H

#include "net/net_internal.h"

/* A list of at most two buffers whose sum it is. */
typedef struct sonde__gradient {
    int parts[2];
    int count;
} sonde__gradient;

/* The buffers of a forward and backward pass. */
typedef struct sonde__track {
    int *values;                /* of each layer */
    int *sources;               /* what each stage read, in the layout it wanted */
    int *others;                /* its second operand */
    int *saved;                 /* what its forward command keeps for the backward one */
    int *dys;                   /* the gradient of what it made, for tangents (sonde__keep_dy) */
    sonde__gradient *gradients; /* of each layer */
} sonde__track;

typedef struct sonde__builder {
    sonde__net *net;
    sonde__plan *plan;
    sonde_status status; /* sticky */
    /* As in sonde__track; in the tangent part of a plan these hold derivatives. */
    int *values, *sources, *others, *saved, *dys;
    sonde__gradient *gradients;
    sonde__track tangent;
    sonde__track real; /* the pass itself; what backward functions read of x and y is here */
    bool *needs;       /* a gradient */
    bool *trained;     /* a parameter lies before it */
    unsigned serves;   /* of the commands that are appended now */
} sonde__builder;

/* --- plan_build.c, plan_tangent.c ------------------------------------------------------------- */

/* Takes the gradient of the logits from the caller. */
void sonde__open_backward(sonde__builder *b);
/* Both tangent parts of a plan, behind its backward part. */
void sonde__write_tangents(sonde__builder *b);

/* --- plan_builder.c --------------------------------------------------------------------------- */

bool sonde__build_failed(const sonde__builder *b);
void sonde__build_note(sonde__builder *b, sonde_status status);

static inline const sonde__stage *sonde__stage_at(const sonde__builder *b, int index)
{
    return &b->net->stages[index];
}

/* The layer that does a stage's work. */
static inline const sonde__layer *sonde__core_of(const sonde__builder *b, int index)
{
    return &b->net->graph->layers[b->net->stages[index].core];
}

/* What the commands that make a layer's gradient serve. */
static inline unsigned sonde__serves_layer(const sonde__builder *b, int layer)
{
    return b->trained[layer] ? SONDE__SERVES_ALL : SONDE__SERVES_INPUT;
}

/* Channels last. */
static inline sonde__form sonde__token_form(const sonde__builder *b, int layer)
{
    const sonde__shape shape = b->net->graph->layers[layer].shape;
    return (sonde__form){b->plan->batch, shape, shape.channels};
}

int sonde__add_buffer(sonde__builder *b, size_t floats);
int sonde__add_form(sonde__builder *b, const sonde__form *form);
typedef sonde_status (*sonde__run)(sonde__net *net, const sonde__command *command);
/* An empty command, for sonde__append. */
sonde__command sonde__command_of(sonde__kind kind, sonde__run run);
/* Takes over the command's kernel, also on failure. */
void sonde__append(sonde__builder *b, const sonde__command *command);
void sonde__extend_life(sonde__plan *plan, int buffer, int at);

/* How a layer's value lies. */
sonde__form sonde__form_of(const sonde__builder *b, int layer);
int sonde__reordered(sonde__builder *b, int buffer, const sonde__form *from, const sonde__form *to);
/* The value of a layer in the layout wanted. */
int sonde__value_as(sonde__builder *b, int layer, int block);

/* Hands a buffer over as a part of a layer's gradient; `form` is how it lies (its shape may be
 * another of as many values). The buffer is the layer's from then on. */
void sonde__give(sonde__builder *b, int layer, int buffer, sonde__form form);
/* The gradient of a layer's value in one buffer that may be changed in place; a fused ReLU is not
 * yet undone. */
int sonde__take(sonde__builder *b, int layer);
/* The same through the stage's ReLU. */
int sonde__take_masked(sonde__builder *b, const sonde__stage *stage);

/* Where tangents will be wanted: keeps dy, which may be changed in place from here on, for them. */
void sonde__keep_dy(sonde__builder *b, int index, int dy, const sonde__form *form);
/* Zero where the layer's value is not positive: the gradient, or derivative, through a fused ReLU. */
void sonde__append_mask(sonde__builder *b, int layer, int buffer);
/* A new buffer with the same values. */
int sonde__copied(sonde__builder *b, int buffer, const sonde__form *form);

/* --- plan_table.c ----------------------------------------------------------------------------- */

typedef void (*sonde__writer)(sonde__builder *b, int index);

typedef enum sonde__layout {
    SONDE__LAYOUT_SAME,    /* as the first input */
    SONDE__LAYOUT_MOVABLE, /* the same if it is the machine's own block, else plain */
    SONDE__LAYOUT_PLAIN,
    SONDE__LAYOUT_TOKENS, /* channels last: a row of features a pixel */
    SONDE__LAYOUT_PRODUCT /* as its kernels like it */
} sonde__layout;

typedef struct sonde__op_row {
    sonde__layout layout;
    bool takes_relu; /* a ReLU behind it may be fused */
    sonde__writer forward, backward;
    /* The derivatives of both when parameters are scaled (see study.h). */
    sonde__writer tangent_forward, tangent_backward;
} sonde__op_row;

const sonde__op_row *sonde__op_row_of(sonde__op op);

/* --- the writers ------------------------------------------------------------------------------ */

/* plan_product.c: CONV, LINEAR */
void sonde__write_product(sonde__builder *b, int index);
void sonde__write_product_backward(sonde__builder *b, int index);
void sonde__write_product_tangent(sonde__builder *b, int index);
void sonde__write_product_tangent_backward(sonde__builder *b, int index);
/* plan_norm.c */
void sonde__write_norm(sonde__builder *b, int index);
void sonde__write_norm_backward(sonde__builder *b, int index);
void sonde__write_layer_norm(sonde__builder *b, int index);
void sonde__write_layer_norm_backward(sonde__builder *b, int index);
/* plan_simple.c */
void sonde__write_input(sonde__builder *b, int index);
void sonde__write_input_backward(sonde__builder *b, int index);
void sonde__write_unary(sonde__builder *b, int index);
void sonde__write_unary_backward(sonde__builder *b, int index);
void sonde__write_pool(sonde__builder *b, int index);
void sonde__write_pool_backward(sonde__builder *b, int index);
void sonde__write_shortcut(sonde__builder *b, int index);
void sonde__write_shortcut_backward(sonde__builder *b, int index);
void sonde__write_dropout(sonde__builder *b, int index);
void sonde__write_dropout_backward(sonde__builder *b, int index);
void sonde__write_reshape(sonde__builder *b, int index);
void sonde__write_reshape_backward(sonde__builder *b, int index);
/* One command from the input's value to a new one; for operators that change neither. */
void sonde__write_simple(sonde__builder *b, int index, sonde__kind kind, sonde__run run);
/* One command from dy to a new dx; `reads`: it also sees the input and the value. */
void sonde__write_simple_backward(sonde__builder *b, int index, sonde__kind kind, sonde__run run,
                                  bool reads);
/* plan_tokens.c */
void sonde__write_token_norm(sonde__builder *b, int index);
void sonde__write_token_norm_backward(sonde__builder *b, int index);
void sonde__write_group_norm(sonde__builder *b, int index);
void sonde__write_group_norm_backward(sonde__builder *b, int index);
void sonde__write_embedding(sonde__builder *b, int index);
void sonde__write_embedding_backward(sonde__builder *b, int index);
void sonde__write_positions(sonde__builder *b, int index);
void sonde__write_positions_backward(sonde__builder *b, int index);
void sonde__write_attention(sonde__builder *b, int index);
void sonde__write_attention_backward(sonde__builder *b, int index);
void sonde__write_embedding_tangent(sonde__builder *b, int index);
void sonde__write_positions_tangent(sonde__builder *b, int index);
void sonde__write_attention_tangent(sonde__builder *b, int index);
void sonde__write_attention_tangent_backward(sonde__builder *b, int index);
void sonde__write_transpose(sonde__builder *b, int index);
void sonde__write_transpose_backward(sonde__builder *b, int index);
void sonde__write_upsample(sonde__builder *b, int index);
void sonde__write_upsample_backward(sonde__builder *b, int index);
/* plan_tangent.c */
void sonde__write_no_tangent(sonde__builder *b, int index); /* of the input: zero */
void sonde__write_unary_tangent(sonde__builder *b, int index);
void sonde__write_unary_tangent_backward(sonde__builder *b, int index);
void sonde__write_pool_tangent(sonde__builder *b, int index);
void sonde__write_norm_tangent(sonde__builder *b, int index);
void sonde__write_norm_tangent_backward(sonde__builder *b, int index);
void sonde__write_row_norm_tangent(sonde__builder *b, int index);
void sonde__write_row_norm_tangent_backward(sonde__builder *b, int index);
void sonde__write_add_tangent(sonde__builder *b, int index);
void sonde__write_mul_tangent(sonde__builder *b, int index);
void sonde__write_mul_tangent_backward(sonde__builder *b, int index);
/* plan_join.c */
bool sonde__is_gate(const sonde__builder *b, int index);
void sonde__write_binary(sonde__builder *b, int index);
void sonde__write_add_backward(sonde__builder *b, int index);
void sonde__write_mul_backward(sonde__builder *b, int index);
void sonde__write_concat(sonde__builder *b, int index);
void sonde__write_concat_backward(sonde__builder *b, int index);

#endif
