/*
 * The engine as a whole: gradients of whole networks against central differences, repeatability,
 * switching between batch sizes and modes, and memory that runs out at every allocation.
 */
#include "check.h"

#include "base/random.h"
#include "net/graph.h"
#include "net/net.h"

enum { OUTPUTS = 5 };

typedef sonde__graph *(*make_graph)(sonde_context *context);

static sonde__graph *finish(sonde_context *context, sonde__graph *graph, sonde__node output)
{
    check_ok(context, sonde__graph_finish(graph, output));
    return graph;
}

static sonde__graph *new_graph(sonde_context *context)
{
    sonde__graph *graph = NULL;
    check_ok(context, sonde__graph_create(context, &graph));
    return graph;
}

static sonde__node conv_norm(sonde__graph *g, sonde__node x, int out, int stride)
{
    return sonde__graph_batch_norm(g, NULL,
                                   sonde__graph_conv_simple(g, NULL, x, out, 3, stride, 1, false));
}

static sonde__node residual_block(sonde__graph *g, sonde__node x, int out, int stride)
{
    sonde__node y = sonde__graph_unary(g, SONDE__OP_RELU, conv_norm(g, x, out, stride));
    y = conv_norm(g, y, out, 1);
    if (stride != 1)
        x = sonde__graph_shortcut_pad(g, x, out, stride);
    return sonde__graph_unary(g, SONDE__OP_RELU, sonde__graph_binary(g, SONDE__OP_ADD, y, x));
}

/* Residual blocks of both kinds, odd channel counts, a global pool and a linear head. */
static sonde__graph *residual_net(sonde_context *context)
{
    sonde__graph *g = new_graph(context);
    sonde__node x = sonde__graph_input(g, (sonde__shape){3, 9, 7});
    x = sonde__graph_unary(g, SONDE__OP_RELU, conv_norm(g, x, 17, 1));
    x = residual_block(g, x, 17, 1);
    x = residual_block(g, x, 33, 2);
    x = sonde__graph_unary(g, SONDE__OP_GLOBAL_POOL, x);
    return finish(context, g, sonde__graph_linear(g, "head", x, OUTPUTS, true));
}

/* Convolutions with bias and ReLU, both pools, dropout, a linear layer on an image. */
static sonde__graph *plain_net(sonde_context *context)
{
    sonde__graph *g = new_graph(context);
    sonde__node x = sonde__graph_input(g, (sonde__shape){1, 10, 10});
    x = sonde__graph_conv_simple(g, NULL, x, 16, 3, 1, 1, true);
    x = sonde__graph_unary(g, SONDE__OP_RELU, x);
    x = sonde__graph_pool(g, SONDE__OP_MAX_POOL, x, 2, 2, 0);
    x = sonde__graph_conv_simple(g, NULL, x, 20, 3, 1, 0, true);
    x = sonde__graph_unary(g, SONDE__OP_GELU, x);
    x = sonde__graph_pool(g, SONDE__OP_AVG_POOL, x, 3, 2, 1);
    x = sonde__graph_dropout(g, x, 0.3);
    x = sonde__graph_linear(g, NULL, x, 24, true);
    x = sonde__graph_unary(g, SONDE__OP_TANH, x);
    return finish(context, g, sonde__graph_linear(g, "head", x, OUTPUTS, true));
}

/* Every operator that joins or splits: concat, mul (also as a gate), reshape, layer norm. */
static sonde__graph *joining_net(sonde_context *context)
{
    sonde__graph *g = new_graph(context);
    sonde__node x = sonde__graph_input(g, (sonde__shape){6, 6, 6});
    sonde__node a = sonde__graph_conv_simple(g, NULL, x, 17, 3, 1, 1, true);
    sonde__node b = sonde__graph_unary(g, SONDE__OP_SILU,
                                       sonde__graph_conv_simple(g, NULL, x, 16, 1, 1, 0, true));
    sonde__node both[2] = {a, b};
    x = sonde__graph_concat(g, both, 2);
    sonde__node gate = sonde__graph_unary(g, SONDE__OP_GLOBAL_POOL, x);
    gate = sonde__graph_unary(g, SONDE__OP_SIGMOID, sonde__graph_linear(g, NULL, gate, 33, true));
    x = sonde__graph_binary(g, SONDE__OP_MUL, x, gate);
    x = sonde__graph_binary(g, SONDE__OP_ADD, x, x);
    x = sonde__graph_layer_norm(g, NULL, x);
    x = sonde__graph_unary(g, SONDE__OP_SOFTMAX, x);
    x = sonde__graph_reshape(g, x, (sonde__shape){11, 18, 6});
    x = sonde__graph_batch_norm(g, NULL, x);
    x = sonde__graph_binary(g, SONDE__OP_MUL, x, x);
    return finish(context, g, sonde__graph_linear(g, "head", x, OUTPUTS, false));
}

static sonde__net *make_net(sonde_context *context, make_graph make, int max_batch, uint64_t seed)
{
    sonde__net *net = NULL;
    sonde__net_options options = {
        .threads = 2, .max_batch = max_batch, .seed = seed, .winograd = true};
    check_ok(context, sonde__net_create(context, make(context), &options, &net));
    return net;
}

static size_t input_count(const sonde__net *net)
{
    sonde__shape shape = sonde__net_input_shape(net);
    return (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
}

static float *random_values(size_t count, uint64_t index)
{
    float *values = malloc(count * sizeof *values);
    sonde__stream stream = sonde__stream_open(7, SONDE__RANDOM_TEST, index);
    assert_non_null(values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)sonde__random_normal(&stream);
    return values;
}

/* sum_i logits_i * direction_i, in double. */
static double objective(sonde_context *context, sonde__net *net, const float *x, int n,
                        const float *direction)
{
    const float *logits = NULL;
    double sum = 0;
    check_ok(context, sonde__net_forward(net, SONDE__TRAIN, x, n, 3, &logits));
    for (int i = 0; i < n * OUTPUTS; i++)
        sum += (double)logits[i] * (double)direction[i];
    return sum;
}

/* Moves all of a parameter along a random direction and compares the slope with the gradient's. */
static void check_parameter(sonde_context *context, sonde__net *net, int index, const float *x,
                            int n, const float *direction)
{
    const sonde__parameter *parameter = sonde__net_parameter(net, index);
    size_t count, elements = parameter->elements;
    float *weights = sonde__net_weights(net, &count);
    float *plain = malloc(elements * sizeof *plain), *moved = malloc(elements * sizeof *moved);
    float *gradient = malloc(elements * sizeof *gradient);
    float *step = random_values(elements, 100 + (uint64_t)index);
    double expected = 0, size = 0, h = 2e-3;
    objective(context, net, x, n, direction);
    check_ok(context, sonde__net_backward(net, direction));
    sonde__net_export(net, sonde__net_gradients(net, &count), index, gradient);
    sonde__net_export(net, weights, index, plain);
    for (size_t i = 0; i < elements; i++)
        size += (double)step[i] * (double)step[i];
    double value[2];
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < elements; i++) {
            double unit = (double)step[i] / sqrt(size);
            moved[i] = (float)((double)plain[i] + (side ? -h : h) * unit);
            expected += side ? 0 : unit * (double)gradient[i];
        }
        sonde__net_import(net, weights, index, moved);
        sonde__net_weights_changed(net);
        value[side] = objective(context, net, x, n, direction);
    }
    sonde__net_import(net, weights, index, plain);
    double norm = 0;
    for (size_t i = 0; i < elements; i++)
        norm += (double)gradient[i] * (double)gradient[i];
    check_close(expected, (value[0] - value[1]) / (2 * h),
                2e-2 + 2e-2 * sqrt(norm / (double)elements), 3e-2, parameter->name);
    free(plain);
    free(moved);
    free(gradient);
    free(step);
}

static void check_network(make_graph make, int n)
{
    sonde_context *context = check_context();
    sonde__net *net = make_net(context, make, 8, 1);
    float *x = random_values((size_t)n * input_count(net), 1);
    float *direction = random_values((size_t)n * OUTPUTS, 2);
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        if (sonde__net_parameter(net, i)->length > 0)
            check_parameter(context, net, i, x, n, direction);
    }
    free(x);
    free(direction);
    sonde__net_free(net);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void gradients_of_a_residual_net_match_differences(void **state)
{
    (void)state;
    check_network(residual_net, 6);
}

static void gradients_of_a_plain_net_match_differences(void **state)
{
    (void)state;
    check_network(plain_net, 5);
    check_network(plain_net, 1);
}

static void gradients_of_a_joining_net_match_differences(void **state)
{
    (void)state;
    check_network(joining_net, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_residual_net_match_differences),
        cmocka_unit_test(gradients_of_a_plain_net_match_differences),
        cmocka_unit_test(gradients_of_a_joining_net_match_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
