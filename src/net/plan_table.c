/* The operators a plan can be written for, a row each. */
#include "net/plan_builder.h"

static const sonde__op_row rows[] = {
    [SONDE__OP_INPUT] = {.layout = SONDE__LAYOUT_PLAIN,
                         .forward = sonde__write_input,
                         .backward = sonde__write_input_backward},
    [SONDE__OP_CONV] = {.layout = SONDE__LAYOUT_PRODUCT,
                        .takes_relu = true,
                        .forward = sonde__write_product,
                        .backward = sonde__write_product_backward},
    [SONDE__OP_LINEAR] = {.layout = SONDE__LAYOUT_PRODUCT,
                          .takes_relu = true,
                          .forward = sonde__write_product,
                          .backward = sonde__write_product_backward},
    [SONDE__OP_BATCH_NORM] = {.takes_relu = true,
                              .forward = sonde__write_norm,
                              .backward = sonde__write_norm_backward},
    [SONDE__OP_LAYER_NORM] = {.layout = SONDE__LAYOUT_PLAIN,
                              .forward = sonde__write_layer_norm,
                              .backward = sonde__write_layer_norm_backward},
    [SONDE__OP_RELU] = {.forward = sonde__write_unary, .backward = sonde__write_unary_backward},
    [SONDE__OP_GELU] = {.forward = sonde__write_unary, .backward = sonde__write_unary_backward},
    [SONDE__OP_SILU] = {.forward = sonde__write_unary, .backward = sonde__write_unary_backward},
    [SONDE__OP_SIGMOID] = {.forward = sonde__write_unary, .backward = sonde__write_unary_backward},
    [SONDE__OP_TANH] = {.forward = sonde__write_unary, .backward = sonde__write_unary_backward},
    [SONDE__OP_SOFTMAX] = {.forward = sonde__write_unary, .backward = sonde__write_unary_backward},
    [SONDE__OP_ZERO] = {.forward = sonde__write_unary, .backward = sonde__write_unary_backward},
    [SONDE__OP_MAX_POOL] = {.forward = sonde__write_pool, .backward = sonde__write_pool_backward},
    [SONDE__OP_AVG_POOL] = {.forward = sonde__write_pool, .backward = sonde__write_pool_backward},
    [SONDE__OP_GLOBAL_POOL] = {.layout = SONDE__LAYOUT_PLAIN,
                               .forward = sonde__write_pool,
                               .backward = sonde__write_pool_backward},
    [SONDE__OP_ADD] = {.takes_relu = true,
                       .forward = sonde__write_binary,
                       .backward = sonde__write_add_backward},
    [SONDE__OP_MUL] = {.forward = sonde__write_binary, .backward = sonde__write_mul_backward},
    [SONDE__OP_CONCAT] = {.layout = SONDE__LAYOUT_MOVABLE,
                          .forward = sonde__write_concat,
                          .backward = sonde__write_concat_backward},
    [SONDE__OP_RESHAPE] = {.layout = SONDE__LAYOUT_PLAIN,
                           .forward = sonde__write_reshape,
                           .backward = sonde__write_reshape_backward},
    [SONDE__OP_DROPOUT] = {.forward = sonde__write_dropout,
                           .backward = sonde__write_dropout_backward},
    [SONDE__OP_SHORTCUT_PAD] = {.layout = SONDE__LAYOUT_MOVABLE,
                                .forward = sonde__write_shortcut,
                                .backward = sonde__write_shortcut_backward},
};

const sonde__op_row *sonde__op_row_of(sonde__op op)
{
    return &rows[op];
}
