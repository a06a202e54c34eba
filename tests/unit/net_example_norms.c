/*
 * Squared gradient norms of examples from one batched backward pass, against the flat gradients of
 * one-by-one passes: random graphs with every operator, and every family of architectures.
 */
#include "check.h"

#include "net/arch.h"
#include "net/study.h"
#include "net_pair.h"

enum { GRAPHS = 60, BATCH = 5 };

/* Sum of squares of a parameter's part of the flat gradients. */
static double squares(sonde__net *net, int parameter)
{
    size_t count;
    const float *gradients = sonde__net_gradients(net, &count);
    const sonde__parameter *p = sonde__net_parameter(net, parameter);
    double sum = 0;
    for (size_t i = p->offset; i < p->offset + p->length; i++)
        sum += (double)gradients[i] * (double)gradients[i];
    return sum;
}

typedef struct norm_case {
    sonde_context *context;
    sonde__net *net;
    int batch;
    const char *what;
} norm_case;

/* A gradient may be a difference of large sums: what rounding leaves of it is allowed for. */
static void compare_example(const norm_case *c, const double *norms, int example, double largest)
{
    for (int p = 0; p < sonde__net_parameter_count(c->net); p++) {
        double found = norms[p * c->batch + example];
        double expected = sonde__net_parameter(c->net, p)->length ? squares(c->net, p) : 0;
        if (fabs(found - expected) <= 2e-4 * expected + 1e-9 * largest)
            continue;
        fail_msg("%s, example %d of %d: %s has %.9g, not %.9g", c->what, example, c->batch,
                 sonde__net_parameter(c->net, p)->name, found, expected);
    }
}

/* Behind a STUDY_EVAL forward pass. Returns how many norms were not zero. */
static int compare_norms(const norm_case *c, const float *dlogits)
{
    size_t outputs = (size_t)sonde__net_outputs(c->net), batch = (size_t)c->batch;
    size_t parameters = (size_t)sonde__net_parameter_count(c->net);
    double *norms = reference_zeros(parameters * batch, sizeof *norms), largest = 0;
    int nonzero = 0;
    check_ok(c->context, sonde__net_example_norms(c->net, dlogits, norms));
    for (size_t i = 0; i < parameters * batch; i++) {
        largest = fmax(largest, norms[i]);
        nonzero += norms[i] > 0;
    }
    for (size_t i = 0; i < batch; i++) {
        float *one = reference_zeros(batch * outputs, sizeof *one);
        memcpy(one + i * outputs, dlogits + i * outputs, outputs * sizeof *one);
        check_ok(c->context, sonde__net_backward(c->net, one));
        compare_example(c, norms, (int)i, largest);
        free(one);
    }
    free(norms);
    return nonzero;
}

static void random_graphs_have_the_norms_of_single_passes(void **state)
{
    (void)state;
    int nonzero = 0;
    for (uint64_t number = 1; number <= GRAPHS; number++) {
        pair p;
        char what[32];
        snprintf(what, sizeof what, "graph %d", (int)number);
        open_pair(&p, number, true);
        begin_pass(&p, SONDE__STUDY_EVAL, 1 + (int)(number % BATCH), 0);
        norm_case c = {p.context, p.net, p.batch, what};
        nonzero += compare_norms(&c, p.dlogits);
        end_pass(&p);
        close_pair(&p);
    }
    assert_true(nonzero > 10 * GRAPHS);
}

/* Pixels, or the tokens of a text. */
static float *draw_input(const sonde__net *net, sonde__stream *stream, bool text)
{
    size_t count = BATCH * sonde__features(sonde__net_input_shape(net));
    float *x = reference_zeros(count, sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = text ? (float)sonde__random_below(stream, 7) : (float)sonde__random_normal(stream);
    return x;
}

typedef struct family {
    const char *spec;
    sonde__shape input;
    bool text;
} family;

static void compare_family(const family *each, int threads)
{
    sonde_context *context = check_context();
    sonde__graph *graph = NULL;
    sonde__net *net = NULL;
    const float *logits = NULL;
    sonde__stream stream = sonde__stream_open(11, SONDE__RANDOM_TEST, 1);
    const sonde__net_options options = {
        .threads = threads, .max_batch = BATCH, .seed = 4, .study = true};
    check_ok(context, sonde__arch_build(context, each->spec, each->input, 7, -1, &graph));
    check_ok(context, sonde__net_create(context, graph, &options, &net));
    float *x = draw_input(net, &stream, each->text);
    size_t outputs = BATCH * (size_t)sonde__net_outputs(net);
    float *dlogits = reference_zeros(outputs, sizeof *dlogits);
    for (size_t i = 0; i < outputs; i++)
        dlogits[i] = (float)sonde__random_normal(&stream);
    norm_case c = {context, net, BATCH, each->spec};
    check_ok(context, sonde__net_forward(net, SONDE__STUDY_EVAL, x, BATCH, 0, &logits));
    assert_true(compare_norms(&c, dlogits) > 0);
    free(x);
    free(dlogits);
    sonde__net_free(net);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void architectures_have_the_norms_of_single_passes(void **state)
{
    (void)state;
    static const family families[] = {
        {"mlp:widths=40x24", {3, 5, 5}, false},
        {"cnn", {1, 12, 12}, false},
        {"lenet", {1, 16, 16}, false},
        {"resnet8", {3, 16, 16}, false},
        {"resnet8:option=B", {3, 16, 16}, false},
        {"s1:111", {3, 16, 16}, false},
        {"nb201:cells=1", {3, 16, 16}, false},
        {"mobilenetv2:width=0.25", {3, 16, 16}, false},
        {"densenet:depth=10", {3, 8, 8}, false},
        {"vit-tiny:depth=1,width=32,heads=2,patch=8", {3, 16, 16}, false},
        {"vit-tiny:depth=1,width=32,heads=2,patch=2", {3, 16, 16}, false},
        {"mlp-mixer:depth=1,width=16,patch=4", {3, 16, 16}, false},
        {"gpt-tiny:depth=1,width=16,heads=2", {1, 12, 1}, true}};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        compare_family(&families[i], 1 + (int)(i % 2));
}

/* --- what is refused -------------------------------------------------------------------------- */

static void norms_need_examples_that_do_not_depend_on_each_other(void **state)
{
    (void)state;
    pair p;
    double norm = 0;
    open_pair(&p, 2, true);
    assert_int_equal(sonde__net_example_norms(p.net, NULL, &norm), SONDE_ERROR_STATE);
    begin_pass(&p, SONDE__STUDY_TRAIN, 2, 0);
    assert_int_equal(sonde__net_example_norms(p.net, p.dlogits, &norm), SONDE_ERROR_STATE);
    end_pass(&p);
    begin_pass(&p, SONDE__TRAIN, 2, 0);
    assert_int_equal(sonde__net_example_norms(p.net, p.dlogits, &norm), SONDE_ERROR_STATE);
    end_pass(&p);
    close_pair(&p);
}

static void the_flat_gradients_stay_as_they_are(void **state)
{
    (void)state;
    pair p;
    size_t count;
    open_pair(&p, 7, true);
    begin_pass(&p, SONDE__STUDY_EVAL, 4, 0);
    float *gradients = sonde__net_gradients(p.net, &count);
    double *norms = reference_zeros((size_t)sonde__net_parameter_count(p.net) * 4, sizeof *norms);
    for (size_t i = 0; i < count; i++)
        gradients[i] = 3;
    check_ok(p.context, sonde__net_example_norms(p.net, p.dlogits, norms));
    for (size_t i = 0; i < count; i++)
        assert_true(gradients[i] == 3);
    free(norms);
    end_pass(&p);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_have_the_norms_of_single_passes),
        cmocka_unit_test(architectures_have_the_norms_of_single_passes),
        cmocka_unit_test(norms_need_examples_that_do_not_depend_on_each_other),
        cmocka_unit_test(the_flat_gradients_stay_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
