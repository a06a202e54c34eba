/* Which channels go together, and which cannot go, operator by operator. */
#include "check.h"

#include "net/channels.h"
#include "net/graph_internal.h"
#include "random_graph.h"

typedef struct fixture {
    sonde_context *context;
    sonde__graph *graph;
    sonde__channels channels;
} fixture;

static fixture begin(int channels, int size)
{
    fixture f = {.context = check_context()};
    check_ok(f.context, sonde__graph_create(f.context, &f.graph));
    sonde__graph_input(f.graph, (sonde__shape){channels, size, size});
    return f;
}

static sonde__node conv(fixture *f, sonde__node x, int out, int groups)
{
    return sonde__graph_conv(f->graph, NULL, x,
                             (sonde__conv_options){.out = out,
                                                   .kernel_height = 3,
                                                   .kernel_width = 3,
                                                   .stride = 1,
                                                   .padding = 1,
                                                   .dilation = 1,
                                                   .groups = groups});
}

/* A classifier behind x, then the units. */
static void find(fixture *f, sonde__node x)
{
    check_ok(f->context,
             sonde__graph_finish(f->graph, sonde__graph_linear(f->graph, "head", x, 3, true)));
    check_ok(f->context, sonde__channels_find(f->context, f->graph, &f->channels));
}

static void end(fixture *f)
{
    sonde__channels_free(&f->channels);
    sonde__graph_free(f->graph);
    sonde_context_free(f->context);
}

static int unit(const fixture *f, sonde__node layer, int channel)
{
    return sonde__channels_of(&f->channels, layer)[channel];
}

static bool frozen(const fixture *f, sonde__node layer, int channel)
{
    return f->channels.frozen[unit(f, layer, channel)];
}

static void an_addition_ties_both_sides_channel_by_channel(void **state)
{
    (void)state;
    fixture f = begin(3, 4);
    const sonde__node a = conv(&f, 0, 6, 1), b = conv(&f, a, 6, 1);
    const sonde__node sum = sonde__graph_binary(f.graph, SONDE__OP_ADD, b, a);
    find(&f, sum);
    for (int c = 0; c < 6; c++) {
        assert_int_equal(unit(&f, a, c), unit(&f, b, c));
        assert_int_equal(unit(&f, a, c), unit(&f, sum, c));
        assert_false(frozen(&f, a, c));
    }
    assert_int_not_equal(unit(&f, a, 0), unit(&f, a, 1));
    end(&f);
}

static void norms_activations_pools_and_gates_hand_a_channel_on(void **state)
{
    (void)state;
    fixture f = begin(3, 8);
    const sonde__node a = conv(&f, 0, 5, 1);
    sonde__node x = sonde__graph_batch_norm(f.graph, NULL, a);
    x = sonde__graph_unary(f.graph, SONDE__OP_RELU, x);
    x = sonde__graph_pool(f.graph, SONDE__OP_MAX_POOL, x, 2, 2, 0);
    sonde__node gate = sonde__graph_unary(f.graph, SONDE__OP_GLOBAL_POOL, x);
    gate = sonde__graph_linear(f.graph, "gate", gate, 5, true);
    const sonde__node y = sonde__graph_binary(f.graph, SONDE__OP_MUL, x, gate);
    find(&f, y);
    for (int c = 0; c < 5; c++) {
        assert_int_equal(unit(&f, a, c), unit(&f, y, c));
        assert_int_equal(unit(&f, gate, c), unit(&f, y, c));
    }
    end(&f);
}

static void a_concatenation_shifts_channels(void **state)
{
    (void)state;
    fixture f = begin(3, 4);
    const sonde__node a = conv(&f, 0, 4, 1), b = conv(&f, 0, 2, 1);
    const sonde__node both = sonde__graph_concat(f.graph, (sonde__node[]){a, b}, 2);
    find(&f, both);
    assert_int_equal(unit(&f, both, 3), unit(&f, a, 3));
    assert_int_equal(unit(&f, both, 4), unit(&f, b, 0));
    assert_int_equal(unit(&f, both, 5), unit(&f, b, 1));
    assert_int_not_equal(unit(&f, a, 0), unit(&f, b, 0));
    end(&f);
}

static void a_padded_shortcut_shifts_channels_by_the_zeros_in_front(void **state)
{
    (void)state;
    fixture f = begin(3, 4);
    const sonde__node a = conv(&f, 0, 4, 1), b = conv(&f, a, 8, 1);
    const sonde__node pad = sonde__graph_shortcut_pad(f.graph, a, 8, 1);
    find(&f, sonde__graph_binary(f.graph, SONDE__OP_ADD, b, pad));
    for (int c = 0; c < 4; c++)
        assert_int_equal(unit(&f, b, 2 + c), unit(&f, a, c));
    assert_int_not_equal(unit(&f, b, 1), unit(&f, a, 0));
    /* Those of the block before, and those that only padding meets. */
    assert_int_equal(f.channels.group[unit(&f, b, 0)], f.channels.group[unit(&f, b, 7)]);
    assert_int_not_equal(f.channels.group[unit(&f, b, 0)], f.channels.group[unit(&f, b, 2)]);
    end(&f);
}

static void a_depthwise_convolution_ties_inputs_to_their_outputs(void **state)
{
    (void)state;
    fixture f = begin(3, 4);
    const sonde__node a = conv(&f, 0, 4, 1), b = conv(&f, a, 8, 4);
    find(&f, b);
    for (int c = 0; c < 8; c++)
        assert_int_equal(unit(&f, b, c), unit(&f, a, c / 2));
    assert_int_not_equal(unit(&f, a, 0), unit(&f, a, 1));
    end(&f);
}

static void a_grouped_convolution_ties_the_same_place_of_every_group(void **state)
{
    (void)state;
    fixture f = begin(3, 4);
    const sonde__node a = conv(&f, 0, 6, 1), b = conv(&f, a, 4, 2);
    find(&f, b);
    for (int c = 0; c < 3; c++)
        assert_int_equal(unit(&f, a, c), unit(&f, a, 3 + c));
    for (int c = 0; c < 2; c++)
        assert_int_equal(unit(&f, b, c), unit(&f, b, 2 + c));
    assert_int_not_equal(unit(&f, a, 0), unit(&f, a, 1));
    assert_int_not_equal(unit(&f, b, 0), unit(&f, a, 0));
    end(&f);
}

static void a_reshape_to_features_makes_a_block_of_every_channel(void **state)
{
    (void)state;
    fixture f = begin(3, 2);
    const sonde__node a = conv(&f, 0, 5, 1);
    const sonde__node flat = sonde__graph_reshape(f.graph, a, (sonde__shape){20, 1, 1});
    find(&f, flat);
    for (int c = 0; c < 20; c++)
        assert_int_equal(unit(&f, flat, c), unit(&f, a, c / 4));
    end(&f);
}

static void a_reshape_across_channels_freezes_them(void **state)
{
    (void)state;
    fixture f = begin(3, 2);
    const sonde__node a = conv(&f, 0, 6, 1);
    find(&f, sonde__graph_reshape(f.graph, a, (sonde__shape){8, 3, 1}));
    assert_true(frozen(&f, a, 0));
    end(&f);
}

static void input_head_and_what_a_norm_mixes_are_frozen(void **state)
{
    (void)state;
    fixture f = begin(3, 4);
    const sonde__node a = conv(&f, 0, 6, 1), normed = sonde__graph_layer_norm(f.graph, NULL, a);
    const sonde__node b = conv(&f, normed, 6, 1);
    const sonde__node soft = sonde__graph_unary(f.graph, SONDE__OP_SOFTMAX, b);
    const sonde__node c = conv(&f, soft, 6, 1);
    find(&f, c);
    assert_true(frozen(&f, 0, 0));
    assert_true(frozen(&f, a, 5));
    assert_true(frozen(&f, b, 5));
    assert_false(frozen(&f, c, 5));
    assert_true(frozen(&f, f.graph->head, 0));
    end(&f);
}

static void attention_is_frozen_and_the_hidden_units_behind_it_are_not(void **state)
{
    (void)state;
    fixture f = begin(4, 3);
    sonde__node x = sonde__graph_token_norm(f.graph, "ln", 0);
    const sonde__node packed = sonde__graph_token_linear(f.graph, "qkv", x, 12, true);
    x = sonde__graph_attention(f.graph, packed, 2, false);
    const sonde__node hidden = sonde__graph_token_linear(f.graph, "fc1", x, 16, true);
    x = sonde__graph_unary(f.graph, SONDE__OP_GELU, hidden);
    x = sonde__graph_token_linear(f.graph, "fc2", x, 4, true);
    find(&f, sonde__graph_unary(f.graph, SONDE__OP_GLOBAL_POOL, x));
    assert_true(frozen(&f, packed, 0));
    assert_false(frozen(&f, hidden, 0));
    end(&f);
}

/* What the least of a group promises for a layer rests on this. */
static void every_layer_is_made_of_whole_groups(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < 60; number++) {
        sonde_context *context = check_context();
        sonde__graph *graph = random_graph(context, number);
        sonde__channels channels;
        check_ok(context, sonde__channels_find(context, graph, &channels));
        int *size = calloc((size_t)channels.group_count, sizeof *size);
        for (int u = 0; u < channels.unit_count; u++)
            size[channels.group[u]]++;
        for (int layer = 0; layer < graph->layer_count; layer++) {
            const int *units = sonde__channels_of(&channels, layer);
            int *seen = calloc((size_t)channels.group_count, sizeof *seen);
            bool *counted = calloc((size_t)channels.unit_count, sizeof *counted);
            for (int c = 0; c < graph->layers[layer].shape.channels; c++) {
                seen[channels.group[units[c]]] += !counted[units[c]];
                counted[units[c]] = true;
            }
            for (int g = 0; g < channels.group_count; g++)
                if (seen[g] != 0 && seen[g] != size[g])
                    fail_msg("graph %d, layer %d: %d of %d units of group %d", (int)number, layer,
                             seen[g], size[g], g);
            free(seen);
            free(counted);
        }
        free(size);
        sonde__channels_free(&channels);
        sonde__graph_free(graph);
        sonde_context_free(context);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_addition_ties_both_sides_channel_by_channel),
        cmocka_unit_test(norms_activations_pools_and_gates_hand_a_channel_on),
        cmocka_unit_test(a_concatenation_shifts_channels),
        cmocka_unit_test(a_padded_shortcut_shifts_channels_by_the_zeros_in_front),
        cmocka_unit_test(a_depthwise_convolution_ties_inputs_to_their_outputs),
        cmocka_unit_test(a_grouped_convolution_ties_the_same_place_of_every_group),
        cmocka_unit_test(a_reshape_to_features_makes_a_block_of_every_channel),
        cmocka_unit_test(a_reshape_across_channels_freezes_them),
        cmocka_unit_test(input_head_and_what_a_norm_mixes_are_frozen),
        cmocka_unit_test(attention_is_frozen_and_the_hidden_units_behind_it_are_not),
        cmocka_unit_test(every_layer_is_made_of_whole_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
