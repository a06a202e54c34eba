/*
 * The exact evaluator: every operator against the plain interpreter of random graphs, and values far
 * outside of a double's range against what they must be.
 */
#include "check.h"

#include "net/exact.h"
#include "net_pair.h"

enum { GRAPHS = 80 };

/* --- against the plain interpreter ------------------------------------------------------------ */

static double largest_of(const double *a, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, fabs(a[i]));
    return most;
}

static void check_tensor(const pair *p, const char *what, sonde__exact_tensor t, const double *b)
{
    const double largest = largest_of(b, t.count);
    for (size_t i = 0; i < t.count; i++) {
        const double value = sonde__scaled_value((sonde__scaled){t.values[i], t.exponent});
        if (fabs(value - b[i]) <= 1e-9 * largest + 1e-12)
            continue;
        print_graph(p->exact.graph);
        fail_msg("graph %llu, batch %d: %s[%zu] is %.17g, not %.17g (largest %g)",
                 (unsigned long long)p->number, p->batch, what, i, value, b[i], largest);
    }
}

static double *as_doubles(const float *x, size_t count)
{
    double *values = reference_zeros(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)x[i];
    return values;
}

/* Both walk through the graph with batch statistics and nothing dropped. */
static void run_reference(pair *p)
{
    const sonde__graph *graph = sonde__net_graph(p->net);
    p->mode = SONDE__TRAIN;
    p->kept = reference_zeros((size_t)graph->layer_count, sizeof *p->kept);
    p->x = normal_values(p, pair_inputs(p), 1);
    p->dlogits = normal_values(p, pair_outputs(p), 1);
    open_reference(p, &p->exact, 0);
    double *dy = as_doubles(p->dlogits, pair_outputs(p));
    memcpy(p->exact.slopes[graph->output], dy, pair_outputs(p) * sizeof *dy);
    free(dy);
    reference_backward(&p->exact);
}

static void compare_exact(const pair *p)
{
    const sonde__graph *graph = sonde__net_graph(p->net);
    const sonde__exact_options options = {
        .batch = p->batch, .gradients = true, .norm = SONDE__EXACT_NORM_BATCH};
    sonde__exact *exact = NULL;
    double *x = as_doubles(p->x, pair_inputs(p)), *dy = as_doubles(p->dlogits, pair_outputs(p));
    check_ok(p->context, sonde__exact_create(p->context, p->net, &options, &exact));
    check_ok(p->context, sonde__exact_forward(exact, x));
    check_tensor(p, "output", sonde__exact_output(exact), p->exact.values[graph->output]);
    check_ok(p->context, sonde__exact_backward(exact, dy));
    assert_int_equal(sonde__exact_validity(exact), SONDE_VALID);
    for (int i = 0; i < graph->parameter_count; i++)
        check_tensor(p, graph->parameters[i].name, sonde__exact_gradient(exact, i),
                     p->exact.gradients[i]);
    sonde__exact_free(exact);
    free(x);
    free(dy);
}

static void test_random_graphs_agree_with_the_reference(void **state)
{
    (void)state;
    for (uint64_t number = 5000; number < 5000 + GRAPHS; number++) {
        pair p;
        open_pair(&p, number, false);
        p.batch = 1 + (int)sonde__random_below(&p.stream, 3);
        run_reference(&p);
        compare_exact(&p);
        reference_close(&p.exact);
        free(p.kept);
        free(p.x);
        free(p.dlogits);
        sonde__net_free(p.net);
        sonde_context_free(p.context);
    }
}

/* --- far outside of doubles ------------------------------------------------------------------- */

typedef struct chain {
    sonde_context *context;
    sonde__graph *graph;
    sonde__node end;
    sonde__net *net;
    sonde__exact *exact;
} chain;

static void open_chain(chain *c, int width)
{
    memset(c, 0, sizeof *c);
    c->context = check_context();
    check_ok(c->context, sonde__graph_create(c->context, &c->graph));
    c->end = sonde__graph_input(c->graph, (sonde__shape){width, 1, 1});
}

/* `count` linear layers without bias, each with a ReLU behind it. */
static void add_layers(chain *c, int count, int width, bool relu)
{
    for (int i = 0; i < count; i++) {
        c->end = sonde__graph_linear(c->graph, NULL, c->end, width, false);
        if (relu)
            c->end = sonde__graph_unary(c->graph, SONDE__OP_RELU, c->end);
    }
}

/* Every matrix becomes `factor` times the unit matrix, from parameter `first` on for `count`. */
static void set_unit_matrices(chain *c, int first, int count, float factor)
{
    size_t ignored;
    float *weights = sonde__net_weights(c->net, &ignored);
    for (int i = first, done = 0; done < count; i++) {
        const sonde__parameter *p = sonde__net_parameter(c->net, i);
        if (p->role != SONDE__ROLE_WEIGHT)
            continue;
        float *plain = reference_zeros(p->elements, sizeof *plain);
        for (int64_t k = 0; k < p->shape[0]; k++)
            plain[k * p->shape[1] + k] = factor;
        sonde__net_import(c->net, weights, i, plain);
        free(plain);
        done++;
    }
}

static void finish_chain(chain *c)
{
    const sonde__net_options options = {.threads = 1, .max_batch = 8, .seed = 3};
    check_ok(c->context, sonde__graph_finish(c->graph, c->end));
    check_ok(c->context, sonde__net_create(c->context, c->graph, &options, &c->net));
}

static void run_chain(chain *c, int batch, const double *x)
{
    const sonde__exact_options options = {
        .batch = batch, .gradients = true, .norm = SONDE__EXACT_NORM_BATCH};
    check_ok(c->context, sonde__exact_create(c->context, c->net, &options, &c->exact));
    check_ok(c->context, sonde__exact_forward(c->exact, x));
    if (sonde__exact_validity(c->exact) == SONDE_VALID)
        check_ok(c->context, sonde__exact_backward(c->exact, NULL));
}

static void close_chain(chain *c)
{
    sonde__exact_free(c->exact);
    sonde__net_free(c->net);
    sonde_context_free(c->context);
}

/* 300 times 2^40 and back: exactly the input again, and exactly ones as slopes. */
static void test_what_grows_and_shrinks_again_is_exact(void **state)
{
    (void)state;
    const double x[] = {1, 0.75, 3};
    const float factors[] = {0x1p40F, 0x1p-40F};
    for (int order = 0; order < 2; order++) {
        chain c;
        open_chain(&c, 3);
        add_layers(&c, 600, 3, true);
        finish_chain(&c);
        set_unit_matrices(&c, 0, 300, factors[order]);
        set_unit_matrices(&c, 300, 300, factors[1 - order]);
        run_chain(&c, 1, x);
        const sonde__exact_tensor y = sonde__exact_output(c.exact);
        for (int i = 0; i < 3; i++)
            assert_true(ldexp(y.values[i], (int)y.exponent) == x[i]);
        for (int i = 0; i < 600; i += 199) /* sum |w dR/dw| = R in every layer */
            assert_true(sonde__scaled_value(sonde__exact_saliency(c.exact, i)) == 4.75);
        close_chain(&c);
    }
}

/* Of x = 2^e d: (d - mean) / sqrt(variance) where e is large, the real value by eps where small. */
static void check_norm_between(float factor, double eps_share)
{
    const double x[] = {1, 4, 2, -1};
    double mean = 1.5, variance = 0;
    chain c;
    open_chain(&c, 1);
    add_layers(&c, 100, 1, false);
    c.end = sonde__graph_batch_norm_plain(c.graph, NULL, c.end);
    add_layers(&c, 100, 1, false);
    finish_chain(&c);
    set_unit_matrices(&c, 0, 100, factor);
    set_unit_matrices(&c, 100, 100, eps_share > 0 ? 1 / factor : 1);
    run_chain(&c, 4, x);
    assert_int_equal(sonde__exact_validity(c.exact), SONDE_VALID);
    for (int i = 0; i < 4; i++)
        variance += (x[i] - mean) * (x[i] - mean) / 4;
    const sonde__exact_tensor y = sonde__exact_output(c.exact);
    const double deviation = eps_share > 0 ? sqrt(eps_share) : sqrt(variance);
    for (int i = 0; i < 4; i++)
        check_close(ldexp(y.values[i], (int)y.exponent), (x[i] - mean) / deviation, 0, 1e-13,
                    "normalised");
    close_chain(&c);
}

static void test_a_norm_of_what_no_double_holds(void **state)
{
    (void)state;
    check_norm_between(0x1p30F, 0);
    check_norm_between(0x1p-30F, 1e-5);
}

static void test_sums_take_the_larger_of_two_exponents(void **state)
{
    (void)state;
    const double x[] = {3};
    chain c;
    open_chain(&c, 1);
    const sonde__node input = c.end;
    add_layers(&c, 100, 1, false); /* times 2^4000 */
    c.end = sonde__graph_binary(c.graph, SONDE__OP_ADD, c.end, input);
    c.end = sonde__graph_linear(c.graph, NULL, c.end, 1, true); /* its bias is nothing beside it */
    finish_chain(&c);
    set_unit_matrices(&c, 0, 101, 0x1p40F);
    run_chain(&c, 1, x);
    check_close(sonde__scaled_log(sonde__exact_output_sum(c.exact)), log(3) + 4040 * log(2), 0,
                1e-15, "logarithm");
    assert_true(isinf(sonde__scaled_value(sonde__exact_output_sum(c.exact))));
    close_chain(&c);
}

static void test_a_bias_beside_a_vanishing_value_is_all_that_is_left(void **state)
{
    (void)state;
    const double x[] = {3};
    chain c;
    open_chain(&c, 1);
    add_layers(&c, 100, 1, false);
    c.end = sonde__graph_linear(c.graph, NULL, c.end, 1, true);
    finish_chain(&c);
    set_unit_matrices(&c, 0, 101, 0x1p-40F);
    size_t ignored;
    const float bias = 0.375F;
    sonde__net_import(c.net, sonde__net_weights(c.net, &ignored), 101, &bias);
    run_chain(&c, 1, x);
    assert_true(sonde__scaled_value(sonde__exact_output_sum(c.exact)) == 0.375);
    /* and the gradient of the first matrix is 3 * 2^-4000 */
    const sonde__exact_tensor g = sonde__exact_gradient(c.exact, 0);
    check_close(sonde__scaled_log((sonde__scaled){g.values[0], g.exponent}), log(3) - 4000 * log(2),
                0, 1e-15, "logarithm");
    close_chain(&c);
}

/* R = x 2^4000 times x 2^-1600, and every matrix of both chains has its share R of it. */
static void test_products_add_exponents(void **state)
{
    (void)state;
    const double x[] = {3};
    chain c;
    open_chain(&c, 1);
    const sonde__node input = c.end;
    add_layers(&c, 100, 1, false);
    const sonde__node left = c.end;
    c.end = input;
    add_layers(&c, 40, 1, false);
    c.end = sonde__graph_binary(c.graph, SONDE__OP_MUL, left, c.end);
    finish_chain(&c);
    set_unit_matrices(&c, 0, 100, 0x1p40F);
    set_unit_matrices(&c, 100, 40, 0x1p-40F);
    run_chain(&c, 1, x);
    const double expected = log(9) + 2400 * log(2);
    check_close(sonde__scaled_log(sonde__exact_output_sum(c.exact)), expected, 0, 1e-15, "R");
    for (int i = 0; i < 140; i += 23)
        check_close(sonde__scaled_log(sonde__exact_saliency(c.exact, i)), expected, 0, 1e-15,
                    "saliency");
    close_chain(&c);
}

/* 2 + 1 and 3 + 0: the gradient of the weight before is the first one's input, as in PyTorch. */
static void test_the_first_of_equal_maxima_has_the_slope(void **state)
{
    (void)state;
    const double x[] = {0, 2, 3, 1};
    const float one = 1, table[] = {0, 1, 0, 0};
    chain c;
    memset(&c, 0, sizeof c);
    c.context = check_context();
    check_ok(c.context, sonde__graph_create(c.context, &c.graph));
    c.end = sonde__graph_input(c.graph, (sonde__shape){1, 2, 2});
    c.end = sonde__graph_conv_simple(c.graph, "conv", c.end, 1, 1, 1, 0, false);
    c.end = sonde__graph_positions(c.graph, "table", c.end, 2);
    c.end = sonde__graph_pool(c.graph, SONDE__OP_MAX_POOL, c.end, 2, 2, 0);
    finish_chain(&c);
    size_t ignored;
    sonde__net_import(c.net, sonde__net_weights(c.net, &ignored), 0, &one);
    sonde__net_import(c.net, sonde__net_weights(c.net, &ignored), 1, table);
    run_chain(&c, 1, x);
    const sonde__exact_tensor g = sonde__exact_gradient(c.exact, 0);
    assert_true(ldexp(g.values[0], (int)g.exponent) == 2);
    close_chain(&c);
}

static void test_a_smooth_activation_needs_the_real_value(void **state)
{
    (void)state;
    const double x[] = {3};
    for (int depth = 20; depth <= 100; depth += 80) {
        chain c;
        open_chain(&c, 1);
        add_layers(&c, depth, 1, false);
        c.end = sonde__graph_unary(c.graph, SONDE__OP_GELU, c.end);
        finish_chain(&c);
        set_unit_matrices(&c, 0, depth, 0x1p40F);
        run_chain(&c, 1, x);
        assert_int_equal(sonde__exact_validity(c.exact),
                         depth == 20 ? SONDE_VALID : SONDE_OUT_OF_RANGE);
        if (depth == 20)
            assert_true(sonde__scaled_value(sonde__exact_output_sum(c.exact)) == ldexp(3, 800));
        close_chain(&c);
    }
}

static void test_nan_and_infinity_are_named(void **state)
{
    (void)state;
    const double bad[] = {(double)NAN, (double)INFINITY};
    for (int i = 0; i < 2; i++) {
        const double x[] = {1, bad[i]};
        chain c;
        open_chain(&c, 2);
        add_layers(&c, 3, 2, true);
        finish_chain(&c);
        run_chain(&c, 1, x);
        assert_int_equal(sonde__exact_validity(c.exact), SONDE_NOT_FINITE);
        close_chain(&c);
    }
}

static void test_embeddings_are_rows_and_other_ids_are_refused(void **state)
{
    (void)state;
    const double x[] = {2, 0, 1}, wrong[] = {2, 3, 1};
    const float table[] = {1, 2, 3, 4, 5, 6};
    chain c;
    memset(&c, 0, sizeof c);
    c.context = check_context();
    check_ok(c.context, sonde__graph_create(c.context, &c.graph));
    c.end = sonde__graph_input(c.graph, (sonde__shape){1, 3, 1});
    c.end = sonde__graph_embedding(c.graph, "table", c.end, 3, 2);
    finish_chain(&c);
    size_t ignored;
    sonde__net_import(c.net, sonde__net_weights(c.net, &ignored), 0, table);
    run_chain(&c, 1, x);
    const sonde__exact_tensor y = sonde__exact_output(c.exact);
    const double expected[] = {5, 1, 3, 6, 2, 4}; /* channels of tokens */
    for (int i = 0; i < 6; i++)
        assert_true(ldexp(y.values[i], (int)y.exponent) == expected[i]);
    check_status(sonde__exact_forward(c.exact, wrong), SONDE_ERROR_RANGE);
    close_chain(&c);
}

static void test_scaled_numbers_add_in_any_order(void **state)
{
    (void)state;
    const sonde__scaled zero = {0, 5000}, one = {1, 0}, huge = {3, 4000}, tiny = {1, -4000};
    assert_true(sonde__scaled_value(sonde__scaled_sum(zero, one)) == 1);
    assert_true(sonde__scaled_value(sonde__scaled_sum(one, zero)) == 1);
    assert_true(sonde__scaled_value(sonde__scaled_sum(tiny, one)) == 1);
    assert_true(sonde__scaled_sum(one, huge).exponent == 4000);
    assert_true(sonde__scaled_value(tiny) == 0);
    assert_true(isinf(sonde__scaled_value(huge)));
    assert_true(isinf(sonde__scaled_log(zero)));
    assert_true(sonde__scaled_value((sonde__scaled){0x1p-60, 1080}) == 0x1p1020);
    check_close(sonde__scaled_log(huge), log(3) + 4000 * log(2), 0, 1e-15, "logarithm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_graphs_agree_with_the_reference),
        cmocka_unit_test(test_what_grows_and_shrinks_again_is_exact),
        cmocka_unit_test(test_a_norm_of_what_no_double_holds),
        cmocka_unit_test(test_sums_take_the_larger_of_two_exponents),
        cmocka_unit_test(test_a_bias_beside_a_vanishing_value_is_all_that_is_left),
        cmocka_unit_test(test_products_add_exponents),
        cmocka_unit_test(test_the_first_of_equal_maxima_has_the_slope),
        cmocka_unit_test(test_a_smooth_activation_needs_the_real_value),
        cmocka_unit_test(test_nan_and_infinity_are_named),
        cmocka_unit_test(test_embeddings_are_rows_and_other_ids_are_refused),
        cmocka_unit_test(test_scaled_numbers_add_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
