/*
 * Networks under study: any number of backward passes after one forward pass, batch norm by running
 * statistics as a constant, what watchers see; on random graphs, against the plain interpreter.
 */
#include "check.h"

#include "net/arch.h"
#include "net/study.h"
#include "net_pair.h"

enum { GRAPHS = 40 };

/* --- gradients -------------------------------------------------------------------------------- */

static void compare_gradients(pair *p)
{
    for (int k = 0; k < sonde__net_graph(p->net)->parameter_count; k++) {
        size_t elements = sonde__net_graph(p->net)->parameters[k].elements;
        memset(p->exact.gradients[k], 0, elements * sizeof(double));
        memset(p->disturbed.gradients[k], 0, elements * sizeof(double));
    }
    for (int i = 0; i < sonde__net_graph(p->net)->layer_count; i++) {
        memset(p->exact.slopes[i], 0, reference_floats(&p->exact, i) * sizeof(double));
        memset(p->disturbed.slopes[i], 0, reference_floats(&p->exact, i) * sizeof(double));
    }
    backward_references(p);
    compare_parameters(p, true);
    if (p->dx)
        compare(p, "input gradient", p->dx, p->exact.slopes[0], p->disturbed.slopes[0],
                pair_inputs(p));
}

/* Three backward passes: without the input's gradient, with it from other logits, without again. */
static int compare_study(pair *p, sonde__mode mode, int batch)
{
    int compared = 0;
    begin_pass(p, mode, batch, 0);
    if (!reference_undecided(&p->exact, &p->disturbed)) {
        for (int pass = 0; pass < 3; pass++) {
            free(p->dlogits);
            free(p->dx);
            p->dlogits = normal_values(p, pair_outputs(p), 1);
            p->dx = pass == 1 ? reference_zeros(pair_inputs(p), sizeof *p->dx) : NULL;
            sonde__net_want_input_gradient(p->net, p->dx);
            check_ok(p->context, sonde__net_backward(p->net, p->dlogits));
            compare_gradients(p);
        }
        compared = 1;
    }
    end_pass(p);
    return compared;
}

static void backward_passes_agree_with_the_reference(void **state)
{
    (void)state;
    int compared = 0;
    for (uint64_t number = 1; number <= GRAPHS; number++) {
        pair p;
        open_pair(&p, number, true);
        compared += compare_study(&p, SONDE__STUDY_EVAL, 1 + (int)(number % MAX_BATCH));
        compared += compare_study(&p, SONDE__STUDY_TRAIN, 1 + (int)((number + 2) % MAX_BATCH));
        close_pair(&p);
    }
    assert_true(compared > GRAPHS);
}

static void the_same_logits_gradient_gives_the_same_bits_again(void **state)
{
    (void)state;
    for (uint64_t number = 1; number <= 12; number++) {
        pair p;
        size_t count;
        open_pair(&p, number, true);
        begin_pass(&p, SONDE__STUDY_TRAIN, 3, 0);
        float *gradients = sonde__net_gradients(p.net, &count);
        float *first = reference_zeros(count, sizeof *first);
        float *other = normal_values(&p, pair_outputs(&p), 2);
        check_ok(p.context, sonde__net_backward(p.net, p.dlogits));
        memcpy(first, gradients, count * sizeof *first);
        check_ok(p.context, sonde__net_backward(p.net, other));
        check_ok(p.context, sonde__net_backward(p.net, p.dlogits));
        assert_memory_equal(first, gradients, count * sizeof *first);
        free(first);
        free(other);
        end_pass(&p);
        close_pair(&p);
    }
}

static void parameters_are_left_alone_where_they_are_skipped(void **state)
{
    (void)state;
    for (uint64_t number = 1; number <= 12; number++) {
        pair p;
        size_t count;
        const sonde__watch skip = {.skip_parameters = true};
        open_pair(&p, number, true);
        begin_pass(&p, SONDE__STUDY_EVAL, 3, 0);
        p.dx = reference_zeros(pair_inputs(&p), sizeof *p.dx);
        float *gradients = sonde__net_gradients(p.net, &count);
        float *input = reference_zeros(pair_inputs(&p), sizeof *input);
        sonde__net_want_input_gradient(p.net, input);
        check_ok(p.context, sonde__net_backward(p.net, p.dlogits));
        for (size_t i = 0; i < count; i++)
            gradients[i] = -7;
        sonde__net_watch(p.net, &skip);
        sonde__net_want_input_gradient(p.net, p.dx);
        check_ok(p.context, sonde__net_backward(p.net, p.dlogits));
        for (size_t i = 0; i < count; i++)
            assert_true(gradients[i] == -7);
        assert_memory_equal(input, p.dx, pair_inputs(&p) * sizeof *input);
        free(input);
        end_pass(&p);
        close_pair(&p);
    }
}

/* --- watching --------------------------------------------------------------------------------- */

typedef struct seen {
    pair *p;
    int values, relus, gradients;
} seen;

static float *plain_of(const sonde__form *form, const float *y)
{
    sonde__form plain = *form;
    plain.block = 1;
    float *values = reference_zeros(sonde__form_floats(&plain), sizeof *values);
    sonde__reorder(form, y, &plain, values);
    return values;
}

static void see_value(void *user, int layer, const sonde__form *form, const float *y)
{
    seen *s = user;
    float *plain = plain_of(form, y);
    compare(s->p, "watched value", plain, s->p->exact.values[layer], s->p->disturbed.values[layer],
            reference_floats(&s->p->exact, layer));
    s->values++;
    s->relus += sonde__graph_layer(sonde__net_graph(s->p->net), layer).op == SONDE__OP_RELU;
    free(plain);
}

static void see_gradient(void *user, int layer, const sonde__form *form, const float *y,
                         const float *dy)
{
    seen *s = user;
    float *plain = plain_of(form, dy), *value = plain_of(form, y);
    size_t count = reference_floats(&s->p->exact, layer);
    compare(s->p, "watched gradient", plain, s->p->exact.slopes[layer],
            s->p->disturbed.slopes[layer], count);
    for (size_t i = 0; i < count; i++) { /* y is the output, or that behind a ReLU */
        double exact = s->p->exact.values[layer][i];
        if (fabs((double)value[i] - exact) > 1e-3 * (1 + fabs(exact)))
            assert_true(value[i] == 0 && exact < 1e-3);
    }
    s->gradients++;
    free(plain);
    free(value);
}

static int expected_gradients(const sonde__graph *graph)
{
    int count = 0;
    for (int i = 0; i < sonde__graph_layer_count(graph); i++) {
        sonde__layer_view layer = sonde__graph_layer(graph, i);
        count += layer.used && (layer.op == SONDE__OP_CONV || layer.op == SONDE__OP_LINEAR);
    }
    return count;
}

static int expected_relus(const sonde__graph *graph)
{
    int count = 0;
    for (int i = 0; i < sonde__graph_layer_count(graph); i++) {
        sonde__layer_view layer = sonde__graph_layer(graph, i);
        count += layer.used && layer.op == SONDE__OP_RELU;
    }
    return count;
}

static void watchers_see_values_and_gradients(void **state)
{
    (void)state;
    int compared = 0;
    for (uint64_t number = 1; number <= GRAPHS; number++) {
        pair p;
        open_pair(&p, number, true);
        seen s = {.p = &p};
        const sonde__watch watch = {.user = &s, .value = see_value, .gradient = see_gradient};
        sonde__net_watch(p.net, &watch);
        begin_pass(&p, SONDE__STUDY_TRAIN, 2 + (int)(number % 3), 0);
        assert_int_equal(s.relus, expected_relus(sonde__net_graph(p.net)));
        if (!reference_undecided(&p.exact, &p.disturbed)) {
            backward_references(&p);
            check_ok(p.context, sonde__net_backward(p.net, p.dlogits));
            assert_int_equal(s.gradients, expected_gradients(sonde__net_graph(p.net)));
            compared++;
        }
        end_pass(&p);
        close_pair(&p);
    }
    assert_true(compared > GRAPHS / 2);
}

static void nothing_is_seen_in_training(void **state)
{
    (void)state;
    pair p;
    open_pair(&p, 3, true);
    seen s = {.p = &p};
    const sonde__watch watch = {&s, see_value, see_gradient, true};
    sonde__net_watch(p.net, &watch);
    begin_pass(&p, SONDE__TRAIN, 3, 0);
    check_ok(p.context, sonde__net_backward(p.net, p.dlogits));
    assert_int_equal(s.values + s.gradients, 0);
    if (!reference_undecided(&p.exact, &p.disturbed))
        compare_gradients(&p);
    end_pass(&p);
    close_pair(&p);
}

/* --- what is refused -------------------------------------------------------------------------- */

static void study_needs_a_network_made_for_it(void **state)
{
    (void)state;
    pair p;
    const float *logits = NULL;
    open_pair(&p, 5, false);
    float *x = normal_values(&p, sonde__features(sonde__net_input_shape(p.net)), 1);
    assert_int_equal(sonde__net_forward(p.net, SONDE__STUDY_EVAL, x, 1, 0, &logits),
                     SONDE_ERROR_STATE);
    assert_int_equal(sonde__net_backward(p.net, x), SONDE_ERROR_STATE);
    free(x);
    close_pair(&p);
}

static void the_view_of_a_graph_is_the_graph(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__graph *graph = random_graph(context, 9);
    assert_int_equal(sonde__graph_layer_count(graph), graph->layer_count);
    for (int i = 0; i < graph->layer_count; i++) {
        sonde__layer_view view = sonde__graph_layer(graph, i);
        assert_int_equal(view.op, graph->layers[i].op);
        assert_string_equal(view.name, graph->layers[i].name);
        assert_int_equal(view.input_count, graph->layers[i].input_count);
        for (int k = 0; k < view.input_count; k++)
            assert_in_range(view.inputs[k], 0, i - 1);
    }
    sonde__graph_free(graph);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backward_passes_agree_with_the_reference),
        cmocka_unit_test(the_same_logits_gradient_gives_the_same_bits_again),
        cmocka_unit_test(parameters_are_left_alone_where_they_are_skipped),
        cmocka_unit_test(watchers_see_values_and_gradients),
        cmocka_unit_test(nothing_is_seen_in_training),
        cmocka_unit_test(study_needs_a_network_made_for_it),
        cmocka_unit_test(the_view_of_a_graph_is_the_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
