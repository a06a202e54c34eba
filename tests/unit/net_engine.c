/*
 * The engine as a whole: gradients of whole networks against central differences, repeatability,
 * switching between batch sizes and modes, and memory that runs out at every allocation.
 */
#include "check.h"

#include "base/random.h"
#include "failing.h"
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

/* Max pools behind batch norm, of odd sizes, with and without a ReLU between. */
static sonde__graph *pooled_net(sonde_context *context)
{
    sonde__graph *g = new_graph(context);
    sonde__node x = sonde__graph_input(g, (sonde__shape){1, 13, 12});
    x = sonde__graph_unary(g, SONDE__OP_RELU, conv_norm(g, x, 17, 1));
    x = sonde__graph_pool(g, SONDE__OP_MAX_POOL, x, 2, 2, 0);
    x = sonde__graph_pool(g, SONDE__OP_MAX_POOL, conv_norm(g, x, 33, 1), 2, 2, 0);
    sonde__node y = conv_norm(g, x, 33, 1);
    x = sonde__graph_binary(g, SONDE__OP_ADD, x, y); /* two readers of a pooled value */
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

static void gradients_of_a_pooled_net_match_differences(void **state)
{
    (void)state;
    check_network(pooled_net, 5);
}

static void gradients_of_a_joining_net_match_differences(void **state)
{
    (void)state;
    check_network(joining_net, 4);
}

/* --- the whole object ------------------------------------------------------------------------- */

/* Logits of one batch, copied. */
static float *logits_of(sonde_context *context, sonde__net *net, sonde__mode mode, const float *x,
                        int n)
{
    const float *logits = NULL;
    check_ok(context, sonde__net_forward(net, mode, x, n, 5, &logits));
    float *copy = malloc((size_t)n * OUTPUTS * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, logits, (size_t)n * OUTPUTS * sizeof *copy);
    return copy;
}

static void train_step(sonde_context *context, sonde__net *net, const float *x, int n,
                       const float *direction)
{
    size_t count;
    const float *logits = NULL;
    check_ok(context, sonde__net_forward(net, SONDE__TRAIN, x, n, 5, &logits));
    check_ok(context, sonde__net_backward(net, direction));
    float *weights = sonde__net_weights(net, &count);
    const float *gradients = sonde__net_gradients(net, &count);
    for (size_t i = 0; i < count; i++)
        weights[i] -= 0.01F * gradients[i];
    sonde__net_weights_changed(net);
}

static void check_same_bits(const float *a, const float *b, size_t count)
{
    assert_memory_equal(a, b, count * sizeof *a);
}

static void check_same_weights(sonde__net *a, sonde__net *b)
{
    size_t count, other;
    const float *left = sonde__net_weights(a, &count), *right = sonde__net_weights(b, &other);
    assert_int_equal(count, other);
    check_same_bits(left, right, count);
}

typedef struct pair {
    sonde_context *context;
    sonde__net *a, *b;
    float *x, *direction;
} pair;

static pair open_pair(make_graph make, uint64_t seed_a, uint64_t seed_b)
{
    pair p = {.context = check_context()};
    p.a = make_net(p.context, make, 8, seed_a);
    p.b = make_net(p.context, make, 8, seed_b);
    p.x = random_values(8 * input_count(p.a), 11);
    p.direction = random_values((size_t)8 * OUTPUTS, 12);
    return p;
}

static void close_pair(pair *p)
{
    sonde__net_free(p->a);
    sonde__net_free(p->b);
    free(p->x);
    free(p->direction);
    assert_int_equal(sonde_context_memory_used(p->context), 0);
    sonde_context_free(p->context);
}

static void the_same_seed_gives_the_same_bits(void **state)
{
    (void)state;
    make_graph const makers[] = {residual_net, plain_net, joining_net};
    for (size_t m = 0; m < 3; m++) {
        pair p = open_pair(makers[m], 4, 4);
        for (int i = 0; i < 3; i++) {
            train_step(p.context, p.a, p.x, 8, p.direction);
            train_step(p.context, p.b, p.x, 8, p.direction);
        }
        check_same_weights(p.a, p.b);
        close_pair(&p);
    }
}

static void another_seed_gives_other_weights(void **state)
{
    (void)state;
    size_t count;
    pair p = open_pair(plain_net, 4, 5);
    const float *a = sonde__net_weights(p.a, &count), *b = sonde__net_weights(p.b, &count);
    assert_memory_not_equal(a, b, count * sizeof *a);
    close_pair(&p);
}

static void export_and_import_carry_a_network_over_exactly(void **state)
{
    (void)state;
    size_t count;
    pair p = open_pair(residual_net, 1, 2);
    train_step(p.context, p.a, p.x, 8, p.direction); /* so that running statistics differ too */
    for (int i = 0; i < sonde__net_parameter_count(p.a); i++) {
        size_t elements = sonde__net_parameter(p.a, i)->elements;
        float *plain = malloc(elements * sizeof *plain);
        sonde__net_export(p.a, sonde__net_weights(p.a, &count), i, plain);
        sonde__net_import(p.b, sonde__net_weights(p.b, &count), i, plain);
        free(plain);
    }
    sonde__net_weights_changed(p.b);
    check_same_weights(p.a, p.b);
    float *a = logits_of(p.context, p.a, SONDE__EVAL, p.x, 8);
    float *b = logits_of(p.context, p.b, SONDE__EVAL, p.x, 8);
    check_same_bits(a, b, (size_t)8 * OUTPUTS);
    free(a);
    free(b);
    close_pair(&p);
}

/* One network sees many batch sizes and modes between, more than it keeps plans for. */
static void other_batch_sizes_between_change_nothing(void **state)
{
    (void)state;
    pair p = open_pair(plain_net, 3, 3);
    for (int round = 0; round < 2; round++) {
        for (int n = 1; n <= 8; n++) {
            free(logits_of(p.context, p.a, SONDE__EVAL, p.x, n));
            free(logits_of(p.context, p.a, SONDE__TRAIN, p.x, n));
        }
        train_step(p.context, p.a, p.x, 7, p.direction);
        train_step(p.context, p.b, p.x, 7, p.direction);
        check_same_weights(p.a, p.b);
    }
    close_pair(&p);
}

/* In eval mode an example's logits do not depend on its company. */
static void eval_treats_examples_one_by_one(void **state)
{
    (void)state;
    pair p = open_pair(residual_net, 3, 3);
    size_t features = input_count(p.a);
    float *all = logits_of(p.context, p.a, SONDE__EVAL, p.x, 8);
    for (int i = 0; i < 8; i++) {
        float *one = logits_of(p.context, p.a, SONDE__EVAL, p.x + (size_t)i * features, 1);
        for (int k = 0; k < OUTPUTS; k++)
            check_close((double)one[k], (double)all[i * OUTPUTS + k], 1e-5, 1e-5, "logit");
        free(one);
    }
    free(all);
    close_pair(&p);
}

static void the_head_gives_the_logits(void **state)
{
    (void)state;
    pair p = open_pair(joining_net, 3, 3); /* its head has no bias */
    sonde__net_head_view view;
    check_status(sonde__net_head(p.a, &view), SONDE_ERROR_STATE);
    float *logits = logits_of(p.context, p.a, SONDE__EVAL, p.x, 4);
    check_ok(p.context, sonde__net_head(p.a, &view));
    assert_int_equal(view.features_count, 11 * 18 * 6);
    assert_int_equal(view.outputs, OUTPUTS);
    assert_string_equal(view.name, "head");
    for (int i = 0; i < 4 * OUTPUTS; i++) {
        double sum = 0;
        for (int j = 0; j < view.features_count; j++)
            sum += (double)view.features[i / OUTPUTS * view.features_count + j] *
                   (double)view.weight[i % OUTPUTS * view.features_count + j];
        check_close((double)logits[i], sum, 1e-5, 1e-5, "logit");
    }
    free(logits);
    close_pair(&p);
}

static void backward_without_a_training_forward_is_refused(void **state)
{
    (void)state;
    pair p = open_pair(plain_net, 3, 3);
    check_status(sonde__net_backward(p.a, p.direction), SONDE_ERROR_STATE);
    free(logits_of(p.context, p.a, SONDE__EVAL, p.x, 4));
    check_status(sonde__net_backward(p.a, p.direction), SONDE_ERROR_STATE);
    const float *logits;
    check_status(sonde__net_forward(p.a, SONDE__EVAL, p.x, 0, 0, &logits), SONDE_ERROR_ARGUMENT);
    check_status(sonde__net_forward(p.a, SONDE__EVAL, p.x, 9, 0, &logits), SONDE_ERROR_ARGUMENT);
    close_pair(&p);
}

static void dropout_is_drawn_by_the_step_and_off_in_eval(void **state)
{
    (void)state;
    pair p = open_pair(plain_net, 3, 3);
    float *eval = logits_of(p.context, p.a, SONDE__EVAL, p.x, 4);
    float *again = logits_of(p.context, p.a, SONDE__EVAL, p.x, 4);
    check_same_bits(eval, again, (size_t)4 * OUTPUTS);
    float *train = logits_of(p.context, p.a, SONDE__TRAIN, p.x, 4);
    const float *other = NULL;
    check_ok(p.context, sonde__net_forward(p.a, SONDE__TRAIN, p.x, 4, 6, &other));
    assert_memory_not_equal(train, other, (size_t)4 * OUTPUTS * sizeof *train);
    assert_memory_not_equal(train, eval, (size_t)4 * OUTPUTS * sizeof *train);
    free(eval);
    free(again);
    free(train);
    close_pair(&p);
}

/* --- memory ----------------------------------------------------------------------------------- */

/* conv, norm, add, pool, linear: small, since it runs once for every allocation. */
static sonde_status build_small(sonde_context *context, sonde__graph **graph)
{
    sonde__graph *g = NULL;
    SONDE_TRY(sonde__graph_create(context, &g));
    sonde__node x = sonde__graph_input(g, (sonde__shape){2, 4, 4});
    sonde__node y = sonde__graph_conv_simple(g, NULL, x, 2, 3, 1, 1, true);
    y = sonde__graph_batch_norm(g, NULL, y);
    x = sonde__graph_unary(g, SONDE__OP_RELU, sonde__graph_binary(g, SONDE__OP_ADD, y, x));
    x = sonde__graph_linear(g, NULL, x, OUTPUTS, true);
    sonde_status status = sonde__graph_finish(g, x);
    if (status != SONDE_OK)
        sonde__graph_free(g);
    else
        *graph = g;
    return status;
}

static sonde_status use_net(sonde__net *net)
{
    float x[2 * 32] = {1}, direction[2 * OUTPUTS] = {1};
    const float *logits = NULL;
    sonde__net_head_view view;
    SONDE_TRY(sonde__net_forward(net, SONDE__TRAIN, x, 2, 0, &logits));
    SONDE_TRY(sonde__net_backward(net, direction));
    SONDE_TRY(sonde__net_forward(net, SONDE__EVAL, x, 1, 0, &logits));
    return sonde__net_head(net, &view);
}

static sonde_status whole_life(sonde_context *context, void *argument)
{
    (void)argument;
    sonde__graph *graph = NULL;
    sonde__net *net = NULL;
    sonde__net_options options = {.threads = 1, .max_batch = 2, .seed = 1};
    SONDE_TRY(build_small(context, &graph));
    SONDE_TRY(sonde__net_create(context, graph, &options, &net));
    sonde_status status = use_net(net);
    if (status != SONDE_OK) { /* the handle stays usable */
        sonde_status second = use_net(net);
        if (second != SONDE_OK && second != SONDE_ERROR_MEMORY)
            status = second;
    }
    sonde__net_free(net);
    return status;
}

static void memory_that_runs_out_anywhere_is_a_status(void **state)
{
    (void)state;
    failing_run(whole_life, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_residual_net_match_differences),
        cmocka_unit_test(gradients_of_a_plain_net_match_differences),
        cmocka_unit_test(gradients_of_a_pooled_net_match_differences),
        cmocka_unit_test(gradients_of_a_joining_net_match_differences),
        cmocka_unit_test(the_same_seed_gives_the_same_bits),
        cmocka_unit_test(another_seed_gives_other_weights),
        cmocka_unit_test(export_and_import_carry_a_network_over_exactly),
        cmocka_unit_test(other_batch_sizes_between_change_nothing),
        cmocka_unit_test(eval_treats_examples_one_by_one),
        cmocka_unit_test(the_head_gives_the_logits),
        cmocka_unit_test(backward_without_a_training_forward_is_refused),
        cmocka_unit_test(dropout_is_drawn_by_the_step_and_off_in_eval),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
