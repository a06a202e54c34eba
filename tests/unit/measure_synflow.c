/*
 * SynFlow against zero-cost-nas' own code in double (tests/golden/make_nb201.py), against closed
 * forms, and where its sum fits no double.
 */
#include "check.h"

#include "golden.h"
#include "measure/proxy_synflow.h"
#include "net/net.h"

static sonde_context *context;

static int set_up(void **state)
{
    (void)state;
    context = check_context();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    size_t const left = sonde_context_memory_used(context);
    sonde_context_free(context);
    return left <= 4096 ? 0 : -1;
}

static sonde__net *make_net(sonde__graph *graph)
{
    const sonde__net_options options = {.threads = 1, .max_batch = 2, .seed = 5};
    sonde__net *net = NULL;
    check_ok(context, sonde__net_create(context, graph, &options, &net));
    return net;
}

static void set_parameter(sonde__net *net, int index, const float *plain)
{
    size_t count;
    sonde__net_import(net, sonde__net_weights(net, &count), index, plain);
    sonde__net_weights_changed(net);
}

static float *floats(size_t count)
{
    float *values = calloc(count, sizeof *values);
    assert_non_null(values);
    return values;
}

static sonde__synflow synflow(sonde__net *net, sonde__synflow_protocol protocol, bool batch_norm)
{
    sonde__synflow result;
    check_ok(context, sonde__measure_synflow(context, net, protocol, batch_norm, NULL, &result));
    assert_int_equal(result.score.direction, SONDE_HIGHER_IS_BETTER);
    return result;
}

/* --- recorded --------------------------------------------------------------------------------- */

static void check_recorded(const golden_case *c, const char *what, sonde__synflow found)
{
    const double expected = golden_find(c, what)->values[0];
    char name[2 * GOLDEN_NAME + 8];
    snprintf(name, sizeof name, "%s: %s", c->name, what);
    check_close(found.score.value, expected, 0, 1e-12, name);
    assert_int_equal(found.score.validity, SONDE_VALID);
    if (expected > 0)
        check_close(found.log_score.value, log(expected), 0, 1e-13, name);
    else
        assert_int_equal(found.log_score.validity, SONDE_DEGENERATE);
}

static void test_zero_cost_nas_finds_the_same(void **state)
{
    (void)state;
    FILE *file = golden_open("synflow");
    for (golden_case *c; (c = golden_next(file)) != NULL; golden_free(c)) {
        sonde__net *net = make_net(golden_graph(context, c));
        for (int i = 0; i < sonde__net_parameter_count(net); i++) {
            const sonde__parameter *p = sonde__net_parameter(net, i);
            float *plain = floats(p->elements);
            golden_fill(golden_find_setting(c, p->name), p->elements, plain);
            set_parameter(net, i, plain);
            free(plain);
        }
        check_recorded(c, "zero_cost_nas", synflow(net, SONDE__SYNFLOW_ZERO_COST_NAS, false));
        check_recorded(c, "naslib", synflow(net, SONDE__SYNFLOW_NASLIB, false));
        check_recorded(c, "with_batch_norm", synflow(net, SONDE__SYNFLOW_NASLIB, true));
        check_recorded(c, "with_batch_norm", synflow(net, SONDE__SYNFLOW_ZERO_COST_NAS, true));
        sonde__net_free(net);
    }
    fclose(file);
}

/* --- closed forms ----------------------------------------------------------------------------- */

/* A chain of linear layers without bias, with ReLUs between. */
static sonde__net *make_chain(int layers, int width)
{
    sonde__graph *graph = NULL;
    check_ok(context, sonde__graph_create(context, &graph));
    sonde__node x = sonde__graph_input(graph, (sonde__shape){width, 1, 1});
    for (int i = 0; i < layers; i++) {
        if (i > 0)
            x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
        x = sonde__graph_linear(graph, NULL, x, width, false);
    }
    check_ok(context, sonde__graph_finish(graph, x));
    return make_net(graph);
}

/* With all weights w: R = d (d w)^L, and each of L layers adds R. Signs do not matter. */
static void test_a_thousand_layers_have_their_closed_form(void **state)
{
    (void)state;
    static const float weights[] = {1000, 1, 0.25F, 1e-3F, 1e30F};
    enum { LAYERS = 1000, WIDTH = 4 };
    sonde__net *net = make_chain(LAYERS, WIDTH);
    for (size_t k = 0; k < sizeof weights / sizeof *weights; k++) {
        float plain[WIDTH * WIDTH];
        for (int i = 0; i < WIDTH * WIDTH; i++)
            plain[i] = i % 3 ? weights[k] : -weights[k];
        for (int i = 0; i < LAYERS; i++)
            set_parameter(net, i, plain);
        const sonde__synflow found = synflow(net, SONDE__SYNFLOW_NASLIB, false);
        const double expected = log(LAYERS) + log(WIDTH) + LAYERS * log(WIDTH * (double)weights[k]);
        check_close(found.log_score.value, expected, 1e-9, 1e-13, "logarithm");
        assert_int_equal(found.log_score.validity, SONDE_VALID);
        assert_int_equal(found.score.validity, expected < 709 ? SONDE_VALID : SONDE_OUT_OF_RANGE);
    }
    sonde__net_free(net);
}

/* Room for scores of all parameters; freed by free_scores. */
static float **make_scores(const sonde__net *net)
{
    const int count = sonde__net_parameter_count(net);
    float **scores = calloc((size_t)count, sizeof *scores);
    assert_non_null(scores);
    for (int i = 0; i < count; i++)
        scores[i] = floats(sonde__net_parameter(net, i)->elements);
    return scores;
}

static void free_scores(const sonde__net *net, float **scores)
{
    for (int i = 0; i < sonde__net_parameter_count(net); i++)
        free(scores[i]);
    free(scores);
}

/* A convolution, a linear layer and another; no bias, random weights. */
static sonde__net *make_image_chain(void)
{
    sonde__graph *graph = NULL;
    check_ok(context, sonde__graph_create(context, &graph));
    sonde__node x = sonde__graph_input(graph, (sonde__shape){2, 6, 5});
    x = sonde__graph_conv_simple(graph, "conv", x, 7, 3, 2, 1, false);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    x = sonde__graph_linear(graph, "fc1", x, 9, false);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    x = sonde__graph_linear(graph, "fc2", x, 3, false);
    check_ok(context, sonde__graph_finish(graph, x));
    return make_net(graph);
}

static void test_every_layer_of_a_chain_has_the_same_sum(void **state)
{
    (void)state;
    sonde__net *net = make_image_chain();
    float **scores = make_scores(net);
    sonde__synflow found;
    check_ok(context, sonde__measure_synflow(context, net, SONDE__SYNFLOW_ZERO_COST_NAS, false,
                                             scores, &found));
    double largest = 0;
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (size_t k = 0; k < sonde__net_parameter(net, i)->elements; k++) {
            assert_true(scores[i][k] >= 0);
            sum += (double)scores[i][k];
            largest = fmax(largest, (double)scores[i][k]);
        }
        check_close(ldexp(sum, (int)found.exponent), found.score.value / 3, 0, 1e-6, "a third");
    }
    assert_true(largest >= 0.5 && largest <= 1);
    free_scores(net, scores);
    sonde__net_free(net);
}

static void test_scores_are_only_written_where_there_is_room(void **state)
{
    (void)state;
    sonde__graph *graph = NULL;
    check_ok(context, sonde__arch_build(context, "nb201:1,cells=1,channels=2",
                                        (sonde__shape){3, 8, 8}, 4, -1, &graph));
    sonde__net *net = make_net(graph);
    float **scores = make_scores(net);
    sonde__synflow found;
    free(scores[0]);
    scores[0] = NULL;
    for (int i = 1; i < sonde__net_parameter_count(net); i++)
        scores[i][0] = -1;
    check_ok(context, sonde__measure_synflow(context, net, SONDE__SYNFLOW_ZERO_COST_NAS, false,
                                             scores, &found));
    for (int i = 1; i < sonde__net_parameter_count(net); i++) {
        assert_true(scores[i][0] >= 0);
        if (sonde__net_parameter(net, i)->role != SONDE__ROLE_WEIGHT)
            assert_true(scores[i][0] == 0);
    }
    free_scores(net, scores);
    sonde__net_free(net);
}

/* --- degenerate ------------------------------------------------------------------------------- */

static void test_zero_weights_have_no_logarithm(void **state)
{
    (void)state;
    sonde__net *net = make_chain(3, 2);
    const float zeros[4] = {0};
    set_parameter(net, 1, zeros);
    const sonde__synflow found = synflow(net, SONDE__SYNFLOW_NASLIB, false);
    assert_int_equal(found.log_score.validity, SONDE_DEGENERATE);
    assert_int_equal(found.score.validity, SONDE_VALID);
    assert_true(found.score.value == 0 && found.log_score.value == 0);
    sonde__net_free(net);
}

static void test_nan_weights_are_named(void **state)
{
    (void)state;
    sonde__net *net = make_chain(3, 2);
    const float bad[4] = {1, NAN, 1, 1};
    set_parameter(net, 1, bad);
    const sonde__synflow found = synflow(net, SONDE__SYNFLOW_NASLIB, false);
    assert_int_equal(found.log_score.validity, SONDE_NOT_FINITE);
    assert_int_equal(found.score.validity, SONDE_NOT_FINITE);
    sonde__net_free(net);
}

/* Every allocation fails once: each time a status, and nothing is left. */
static void test_too_little_memory_is_a_status_and_leaves_nothing(void **state)
{
    (void)state;
    sonde__graph *graph = NULL;
    check_ok(context, sonde__arch_build(context, "nb201:1,cells=1,channels=2",
                                        (sonde__shape){3, 8, 8}, 4, -1, &graph));
    sonde__net *net = make_net(graph);
    float **scores = make_scores(net);
    sonde_status status = SONDE_ERROR_MEMORY;
    int failed = 0;
    for (size_t limit = 16384; status != SONDE_OK; limit += 512) {
        sonde_context_options options;
        sonde_context *small = NULL;
        sonde__synflow found;
        sonde_context_options_init(&options);
        options.memory_limit = limit;
        check_ok(context, sonde_context_create(&options, &small));
        const size_t before = sonde_context_memory_used(small);
        status =
            sonde__measure_synflow(small, net, SONDE__SYNFLOW_ZERO_COST_NAS, true, scores, &found);
        assert_true(status == SONDE_OK || status == SONDE_ERROR_MEMORY);
        assert_int_equal(sonde_context_memory_used(small), before);
        failed += status != SONDE_OK;
        sonde_context_free(small);
    }
    assert_true(failed > 20);
    free_scores(net, scores);
    sonde__net_free(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_cost_nas_finds_the_same),
        cmocka_unit_test(test_a_thousand_layers_have_their_closed_form),
        cmocka_unit_test(test_every_layer_of_a_chain_has_the_same_sum),
        cmocka_unit_test(test_scores_are_only_written_where_there_is_room),
        cmocka_unit_test(test_zero_weights_have_no_logarithm),
        cmocka_unit_test(test_nan_weights_are_named),
        cmocka_unit_test(test_too_little_memory_is_a_status_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
