/* Building graphs: shapes, names, and errors that stay until the end and name the first fault. */
#include "check.h"

#include "net/graph_internal.h"

static sonde__graph *new_graph(sonde_context *context)
{
    sonde__graph *graph = NULL;
    check_ok(context, sonde__graph_create(context, &graph));
    return graph;
}

static void check_shape(const sonde__graph *graph, sonde__node node, int channels, int height,
                        int width)
{
    sonde__shape shape = sonde__graph_shape(graph, node);
    assert_int_equal(shape.channels, channels);
    assert_int_equal(shape.height, height);
    assert_int_equal(shape.width, width);
}

/* Sizes by hand: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1. */
static void windows_shrink_images_as_counted_by_hand(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__graph *g = new_graph(context);
    sonde__node x = sonde__graph_input(g, (sonde__shape){6, 28, 27});
    check_shape(g, sonde__graph_conv_simple(g, "a", x, 8, 3, 1, 1, true), 8, 28, 27);
    check_shape(g, sonde__graph_conv_simple(g, "b", x, 8, 3, 2, 1, true), 8, 14, 14);
    check_shape(g, sonde__graph_conv_simple(g, "c", x, 8, 5, 3, 0, true), 8, 8, 8);
    sonde__conv_options options = {9, 3, 1, 1, 0, 2, 3, false};
    check_shape(g, sonde__graph_conv(g, "d", x, options), 9, 24, 27);
    check_shape(g, sonde__graph_pool(g, SONDE__OP_MAX_POOL, x, 2, 2, 0), 6, 14, 13);
    check_shape(g, sonde__graph_pool(g, SONDE__OP_AVG_POOL, x, 3, 2, 1), 6, 14, 14);
    check_shape(g, sonde__graph_unary(g, SONDE__OP_GLOBAL_POOL, x), 6, 1, 1);
    check_shape(g, sonde__graph_linear(g, "e", x, 10, true), 10, 1, 1);
    check_shape(g, sonde__graph_shortcut_pad(g, x, 12, 2), 12, 14, 14);
    check_shape(g, sonde__graph_reshape(g, x, (sonde__shape){28, 27, 6}), 28, 27, 6);
    sonde__node parts[3] = {x, x, x};
    sonde__node all = sonde__graph_concat(g, parts, 3);
    check_shape(g, all, 18, 28, 27);
    check_ok(context, sonde__graph_finish(g, all));
    sonde__graph_free(g);
    sonde_context_free(context);
}

static void check_parameter(const sonde__graph *g, int index, const char *name, sonde__role role,
                            int dims, const int64_t *shape)
{
    assert_true(index < g->parameter_count);
    const sonde__parameter *p = &g->parameters[index];
    assert_string_equal(p->name, name);
    assert_int_equal(p->role, role);
    assert_int_equal(p->dims, dims);
    for (int d = 0; d < dims; d++)
        assert_int_equal(p->shape[d], shape[d]);
}

static void sequences_have_the_shapes_of_their_modules_in_pytorch(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__graph *g = new_graph(context);
    sonde__node x = sonde__graph_input(g, (sonde__shape){1, 6, 1});
    x = sonde__graph_embedding(g, "wte", x, 11, 8);
    check_shape(g, x, 8, 6, 1);
    x = sonde__graph_positions(g, "wpe.weight", x, 2);
    x = sonde__graph_positions(g, "pos_embed", x, 3);
    x = sonde__graph_token_norm(g, "ln", x);
    x = sonde__graph_token_linear(g, "qkv", x, 24, true);
    check_shape(g, x, 24, 6, 1);
    x = sonde__graph_attention(g, x, 2, true);
    check_shape(g, x, 8, 6, 1);
    x = sonde__graph_group_norm(g, "gn", x, 4);
    sonde__node large = sonde__graph_upsample(g, x, 3);
    check_shape(g, large, 8, 18, 3);
    x = sonde__graph_transpose(g, large);
    check_shape(g, x, 54, 8, 1);
    check_parameter(g, 0, "wte.weight", SONDE__ROLE_TABLE, 2, (int64_t[]){11, 8});
    check_parameter(g, 1, "wpe.weight", SONDE__ROLE_TABLE, 2, (int64_t[]){6, 8});
    check_parameter(g, 2, "pos_embed", SONDE__ROLE_TABLE, 3, (int64_t[]){1, 6, 8});
    check_parameter(g, 3, "ln.weight", SONDE__ROLE_SCALE, 1, (int64_t[]){8});
    check_parameter(g, 5, "qkv.weight", SONDE__ROLE_WEIGHT, 2, (int64_t[]){24, 8});
    check_parameter(g, 6, "qkv.bias", SONDE__ROLE_BIAS, 1, (int64_t[]){24});
    check_parameter(g, 8, "gn.bias", SONDE__ROLE_SHIFT, 1, (int64_t[]){8});
    check_ok(context, sonde__graph_finish(g, x));
    /* 24 x 8 for each of 6 tokens; queries by keys, and weights by values: 6 x 6 x 8 each */
    assert_true(sonde__graph_flops(g) == 6 * 24 * 8 + 2 * 6 * 6 * 8);
    sonde__graph_free(g);
    sonde_context_free(context);
}

static void parameters_have_pytorch_s_names_and_shapes(void **state)
{
    (void)state;
    static const char *const names[] = {
        "body.conv.weight", "body.conv.bias",           "batch_norm1.weight",
        "batch_norm1.bias", "batch_norm1.running_mean", "batch_norm1.running_var",
        "linear1.weight"};
    static const size_t elements[] = {8 * 3 * 3 * 3, 8, 8, 8, 8, 8, 8 * 5 * 5 * 4};
    sonde_context *context = check_context();
    sonde__graph *g = new_graph(context);
    sonde__node x = sonde__graph_input(g, (sonde__shape){3, 5, 5});
    x = sonde__graph_conv_simple(g, "body.conv", x, 8, 3, 1, 1, true);
    x = sonde__graph_batch_norm(g, NULL, x);
    x = sonde__graph_linear(g, NULL, x, 4, false);
    check_ok(context, sonde__graph_finish(g, x));
    assert_int_equal(g->parameter_count, 7);
    for (int i = 0; i < 7; i++) {
        assert_string_equal(g->parameters[i].name, names[i]);
        assert_int_equal(g->parameters[i].elements, elements[i]);
    }
    assert_int_equal(g->head, x);
    /* 25 pixels x 8 x 27 weights, and 200 x 4. */
    check_close(sonde__graph_flops(g), 25 * 216 + 800, 0, 0, "multiply-adds");
    sonde__graph_free(g);
    sonde_context_free(context);
}

typedef sonde__node (*wrong_call)(sonde__graph *graph, sonde__node x);

static sonde__node kernel_too_large(sonde__graph *g, sonde__node x)
{
    return sonde__graph_conv_simple(g, NULL, x, 4, 9, 1, 1, true);
}

static sonde__node groups_that_do_not_divide(sonde__graph *g, sonde__node x)
{
    return sonde__graph_conv(g, NULL, x, (sonde__conv_options){4, 3, 3, 1, 1, 1, 2, true});
}

static sonde__node shapes_that_differ(sonde__graph *g, sonde__node x)
{
    return sonde__graph_binary(g, SONDE__OP_ADD, x,
                               sonde__graph_conv_simple(g, NULL, x, 4, 1, 1, 0, true));
}

static sonde__node reshape_of_other_size(sonde__graph *g, sonde__node x)
{
    return sonde__graph_reshape(g, x, (sonde__shape){3, 5, 6});
}

static sonde__node shortcut_that_narrows(sonde__graph *g, sonde__node x)
{
    return sonde__graph_shortcut_pad(g, x, 2, 1);
}

static sonde__node pool_of_padding(sonde__graph *g, sonde__node x)
{
    return sonde__graph_pool(g, SONDE__OP_MAX_POOL, x, 2, 1, 2);
}

static sonde__node zero_stride(sonde__graph *g, sonde__node x)
{
    return sonde__graph_conv_simple(g, NULL, x, 4, 3, 0, 1, true);
}

static sonde__node name_used_twice(sonde__graph *g, sonde__node x)
{
    x = sonde__graph_linear(g, "same", x, 4, true);
    return sonde__graph_linear(g, "same", x, 4, true);
}

static sonde__node certain_dropout(sonde__graph *g, sonde__node x)
{
    return sonde__graph_dropout(g, x, 1.0);
}

static sonde__node dropout_of_nan(sonde__graph *g, sonde__node x)
{
    return sonde__graph_dropout(g, x, (double)NAN);
}

static sonde__node unknown_node(sonde__graph *g, sonde__node x)
{
    return sonde__graph_unary(g, SONDE__OP_RELU, x + 7);
}

static sonde__node relu_of_two(sonde__graph *g, sonde__node x)
{
    return sonde__graph_binary(g, SONDE__OP_RELU, x, x);
}

static sonde__node too_many_weights(sonde__graph *g, sonde__node x)
{
    return sonde__graph_linear(g, NULL, x, 2000000000, false);
}

static void wrong_calls_are_refused_with_the_status_that_fits(void **state)
{
    (void)state;
    static const struct {
        wrong_call call;
        sonde_status status;
        const char *word; /* in the message */
    } cases[] = {
        {kernel_too_large, SONDE_ERROR_SHAPE, "9 x 9"},
        {groups_that_do_not_divide, SONDE_ERROR_SHAPE, "groups"},
        {shapes_that_differ, SONDE_ERROR_SHAPE, "3 x 5 x 5"},
        {reshape_of_other_size, SONDE_ERROR_SHAPE, "75"},
        {shortcut_that_narrows, SONDE_ERROR_ARGUMENT, "3 channels"},
        {pool_of_padding, SONDE_ERROR_ARGUMENT, "padding"},
        {zero_stride, SONDE_ERROR_ARGUMENT, "stride"},
        {name_used_twice, SONDE_ERROR_ARGUMENT, "same"},
        {certain_dropout, SONDE_ERROR_RANGE, "rate 1"},
        {dropout_of_nan, SONDE_ERROR_RANGE, "nan"},
        {unknown_node, SONDE_ERROR_ARGUMENT, "node 7"},
        {relu_of_two, SONDE_ERROR_ARGUMENT, "operator"},
        {too_many_weights, SONDE_ERROR_OVERFLOW, "elements"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sonde_context *context = check_context();
        sonde__graph *g = new_graph(context);
        sonde__node x = sonde__graph_input(g, (sonde__shape){3, 5, 5});
        x = cases[i].call(g, x);
        x = sonde__graph_unary(g, SONDE__OP_RELU, x); /* accepted and ignored */
        x = sonde__graph_conv_simple(g, NULL, x, -1, 0, 0, 0, true);
        check_status(sonde__graph_finish(g, x), cases[i].status);
        const char *message = sonde_context_error(context)->message;
        if (!strstr(message, cases[i].word))
            fail_msg("case %zu: \"%s\" is not in \"%s\"", i, cases[i].word, message);
        sonde__graph_free(g);
        assert_int_equal(sonde_context_memory_used(context), 0);
        sonde_context_free(context);
    }
}

static void a_finished_graph_takes_no_more(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__graph *g = new_graph(context);
    sonde__node x = sonde__graph_input(g, (sonde__shape){3, 1, 1});
    check_ok(context, sonde__graph_finish(g, x));
    sonde__graph_unary(g, SONDE__OP_RELU, x);
    check_status(sonde__graph_finish(g, x), SONDE_ERROR_STATE);
    sonde__graph_free(g);
    sonde__graph_free(NULL);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_shrink_images_as_counted_by_hand),
        cmocka_unit_test(sequences_have_the_shapes_of_their_modules_in_pytorch),
        cmocka_unit_test(parameters_have_pytorch_s_names_and_shapes),
        cmocka_unit_test(wrong_calls_are_refused_with_the_status_that_fits),
        cmocka_unit_test(a_finished_graph_takes_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
