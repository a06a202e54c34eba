/*
 * Scores of whole networks against plain recomputations with the double interpreter of graphs, and
 * against identities: what batch norm leaves of `plain`, GraSP by central differences, codes counted
 * one by one.
 */
#include "check.h"

#include "base/random.h"
#include "measure/distill_net.h"
#include "reference_net.h"

enum { BATCH = 6, CLASSES = 3, SIDE = 8 };

static sonde_context *context;
static float x[BATCH * 3 * SIDE * SIDE];
static const int32_t labels[BATCH] = {0, 1, 2, 0, 1, 0};
static const sonde__score_batch batch = {x, labels, BATCH};

static int set_up(void **state)
{
    sonde__stream stream = sonde__stream_open(3, SONDE__RANDOM_TEST, 0);
    (void)state;
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)sonde__random_normal(&stream);
    context = check_context();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    const size_t left = sonde_context_memory_used(context);
    sonde_context_free(context);
    return left <= 4096 ? 0 : -1;
}

/* ---- networks -------------------------------------------------------------------------------- */

/* conv, norm, relu; with `bare` another conv and relu that no norm follows; pool, linear. */
static sonde__graph *make_graph(int width, bool bare, bool bias)
{
    sonde__graph *graph = NULL;
    check_ok(context, sonde__graph_create(context, &graph));
    sonde__node node = sonde__graph_input(graph, (sonde__shape){3, SIDE, SIDE});
    node = sonde__graph_conv_simple(graph, "first", node, 5, 3, 1, 1, true);
    node = sonde__graph_unary(graph, SONDE__OP_RELU, sonde__graph_batch_norm(graph, "norm", node));
    node = sonde__graph_conv_simple(graph, "second", node, width, 3, 2, 1, false);
    if (!bare)
        node = sonde__graph_batch_norm(graph, "norm2", node);
    node = sonde__graph_unary(graph, SONDE__OP_RELU, node);
    node = sonde__graph_unary(graph, SONDE__OP_GLOBAL_POOL, node);
    check_ok(context,
             sonde__graph_finish(graph, sonde__graph_linear(graph, "head", node, CLASSES, bias)));
    return graph;
}

static sonde__net *make_net(sonde__graph *graph, uint64_t seed)
{
    sonde__net *net = NULL;
    sonde__net_options options = {.threads = 1, .seed = seed};
    sonde__score_net_options(SONDE__PROXIES_OF_NETWORK, BATCH, &options);
    check_ok(context, sonde__net_create(context, graph, &options, &net));
    return net;
}

static void score(sonde__net *net, sonde__protocol protocol, sonde_score *scores)
{
    const sonde__score_options options = {
        .protocol = protocol, .wanted = SONDE__PROXIES_OF_NETWORK, .seed = 1};
    check_ok(context, sonde__score_network(context, net, &options, &batch, scores));
}

/* ---- the same, plainly ----------------------------------------------------------------------- */

static void reference_of(sonde__net *net, reference_net *r)
{
    size_t count;
    const sonde__graph *graph = sonde__net_graph(net);
    const float *weights = sonde__net_weights(net, &count);
    reference_open(r, graph, BATCH);
    r->train = true;
    for (int i = 0; i < graph->parameter_count; i++) {
        float *plain = reference_zeros(graph->parameters[i].elements, sizeof *plain);
        sonde__net_export(net, weights, i, plain);
        for (size_t k = 0; k < graph->parameters[i].elements; k++)
            r->parameters[i][k] = (double)plain[k];
        free(plain);
    }
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        r->values[0][i] = (double)x[i];
}

/* Forward, and backward from the mean cross-entropy or, without it, from the sum of all outputs. */
static void reference_pass(reference_net *r, bool loss)
{
    const int output = r->graph->output;
    reference_forward(r);
    for (int i = 0; i < BATCH; i++) {
        const double *z = r->values[output] + i * CLASSES;
        double sum = 0;
        for (int c = 0; c < CLASSES; c++)
            sum += exp(z[c]);
        for (int c = 0; c < CLASSES; c++)
            r->slopes[output][i * CLASSES + c] =
                loss ? (exp(z[c]) / sum - (c == labels[i])) / BATCH : 1;
    }
    reference_backward(r);
}

static bool counted(const sonde__graph *graph, int parameter)
{
    const sonde__op op = graph->layers[graph->parameter_layers[parameter]].op;
    return graph->parameters[parameter].role == SONDE__ROLE_WEIGHT &&
           (op == SONDE__OP_CONV || op == SONDE__OP_LINEAR);
}

typedef struct plain_sums {
    double grad_norm, snip, plain, l2_norm;
} plain_sums;

static plain_sums sums_of(const reference_net *r)
{
    plain_sums sums = {0};
    for (int i = 0; i < r->graph->parameter_count; i++) {
        double squares = 0, gradients = 0;
        for (size_t k = 0; counted(r->graph, i) && k < r->graph->parameters[i].elements; k++) {
            const double w = r->parameters[i][k], g = r->gradients[i][k];
            squares += w * w;
            gradients += g * g;
            sums.snip += fabs(w * g);
            sums.plain += w * g;
        }
        sums.grad_norm += sqrt(gradients);
        sums.l2_norm += sqrt(squares);
    }
    return sums;
}

static double fisher_of(const reference_net *r)
{
    double total = 0;
    for (int l = 0; l < r->graph->layer_count; l++) {
        const sonde__layer *layer = &r->graph->layers[l];
        const size_t pixels = (size_t)layer->shape.height * (size_t)layer->shape.width;
        if (layer->op != SONDE__OP_CONV && layer->op != SONDE__OP_LINEAR)
            continue;
        const sonde__parameter *weight = &r->graph->parameters[layer->first_parameter];
        for (int c = 0; c < layer->shape.channels; c++)
            for (int n = 0; n < BATCH; n++) {
                const size_t at = ((size_t)n * (size_t)layer->shape.channels + (size_t)c) * pixels;
                double sum = 0;
                for (size_t k = 0; k < pixels; k++)
                    sum += r->values[l][at + k] * r->slopes[l][at + k];
                total += 0.5 * sum * sum / BATCH * (double)weight->elements /
                         (double)layer->shape.channels;
            }
    }
    return total;
}

/* log |det| by elimination. */
static double log_determinant(double matrix[BATCH][BATCH])
{
    double log_sum = 0;
    for (int i = 0; i < BATCH; i++) {
        log_sum += log(fabs(matrix[i][i]));
        for (int j = i + 1; j < BATCH; j++) {
            const double factor = matrix[j][i] / matrix[i][i];
            for (int k = i; k < BATCH; k++)
                matrix[j][k] -= factor * matrix[i][k];
        }
    }
    return log_sum;
}

static double nwot_of(const reference_net *r)
{
    double same[BATCH][BATCH] = {{0}};
    for (int l = 0; l < r->graph->layer_count; l++) {
        const size_t units = sonde__features(r->graph->layers[l].shape);
        if (r->graph->layers[l].op != SONDE__OP_RELU)
            continue;
        for (int i = 0; i < BATCH; i++)
            for (int j = 0; j < BATCH; j++)
                for (size_t k = 0; k < units; k++)
                    same[i][j] += (r->values[l][(size_t)i * units + k] > 0) ==
                                  (r->values[l][(size_t)j * units + k] > 0);
    }
    return log_determinant(same);
}

/* -g . dg/dt with the counted weights scaled by 1 + t, by central differences. */
static double grasp_of(sonde__net *net)
{
    static const double step = 1e-5;
    reference_net middle, above, below;
    double total = 0;
    reference_of(net, &middle);
    reference_of(net, &above);
    reference_of(net, &below);
    const sonde__graph *graph = middle.graph;
    for (int i = 0; i < graph->parameter_count; i++)
        for (size_t k = 0; counted(graph, i) && k < graph->parameters[i].elements; k++) {
            above.parameters[i][k] *= 1 + step;
            below.parameters[i][k] *= 1 - step;
        }
    reference_pass(&middle, true);
    reference_pass(&above, true);
    reference_pass(&below, true);
    for (int i = 0; i < graph->parameter_count; i++)
        for (size_t k = 0; counted(graph, i) && k < graph->parameters[i].elements; k++)
            total -= middle.gradients[i][k] * (above.gradients[i][k] - below.gradients[i][k]) /
                     (2 * step);
    reference_close(&middle);
    reference_close(&above);
    reference_close(&below);
    return total;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void check_score(const sonde_score *scores, sonde_proxy_kind kind, double expected,
                        double scale)
{
    if (scores[kind].validity != SONDE_VALID)
        fail_msg("%s: %s", sonde_proxy_name(kind), sonde_validity_sentence(scores[kind].validity));
    assert_int_equal(scores[kind].direction, SONDE_HIGHER_IS_BETTER);
    check_close(scores[kind].value, expected, 1e-5 * scale, 1e-5, sonde_proxy_name(kind));
}

static void check_network(bool bare)
{
    sonde_score scores[SONDE_PROXY_COUNT], jacobian;
    reference_net r;
    sonde__net *net = make_net(make_graph(7, bare, true), 11);
    score(net, SONDE__ZERO_COST_NAS, scores);
    reference_of(net, &r);
    reference_pass(&r, true);
    const plain_sums sums = sums_of(&r);
    check_score(scores, SONDE_PROXY_GRAD_NORM, sums.grad_norm, 0);
    check_score(scores, SONDE_PROXY_SNIP, sums.snip, 0);
    check_score(scores, SONDE_PROXY_PLAIN, sums.plain, sums.snip);
    check_score(scores, SONDE_PROXY_L2_NORM, sums.l2_norm, 0);
    check_score(scores, SONDE_PROXY_FISHER, fisher_of(&r), 0);
    check_score(scores, SONDE_PROXY_NWOT, nwot_of(&r), 0);
    check_score(scores, SONDE_PROXY_GRASP, grasp_of(net), 0);
    reference_close(&r);
    reference_of(net, &r);
    reference_pass(&r, false);
    const sonde_matrix rows = {r.slopes[0], SONDE_F64, BATCH, 3 * SIDE * SIDE, 0};
    check_ok(context, sonde_jacob_cov(context, &rows, &jacobian));
    check_score(scores, SONDE_PROXY_JACOB_COV, jacobian.value, 0);
    reference_close(&r);
    sonde__net_free(net);
}

static void proxies_are_those_of_a_plain_recomputation(void **state)
{
    (void)state;
    check_network(false);
    check_network(true);
}

static void plain_comes_only_from_layers_that_no_norm_follows(void **state)
{
    sonde_score scores[SONDE_PROXY_COUNT];
    reference_net r;
    double products = 0;
    (void)state;
    sonde__net *net = make_net(make_graph(7, false, false), 12);
    score(net, SONDE__ZERO_COST_NAS, scores);
    reference_of(net, &r);
    reference_pass(&r, true);
    const int output = r.graph->output;
    /* Of a head without bias: sum W g = sum <logits, dlogits>. */
    for (int i = 0; i < BATCH * CLASSES; i++)
        products += r.values[output][i] * r.slopes[output][i];
    check_close(scores[SONDE_PROXY_PLAIN].value, products, 1e-4 * scores[SONDE_PROXY_SNIP].value,
                1e-3, "plain");
    reference_close(&r);
    sonde__net_free(net);
}

static void weights_are_as_before_and_scores_repeat(void **state)
{
    sonde_score first[SONDE_PROXY_COUNT], second[SONDE_PROXY_COUNT];
    size_t count;
    (void)state;
    sonde__net *net = make_net(make_graph(7, true, true), 13);
    const float *weights = sonde__net_weights(net, &count);
    float *before = reference_zeros(count, sizeof *before);
    memcpy(before, weights, count * sizeof *before);
    score(net, SONDE__ZERO_COST_NAS, first);
    assert_memory_equal(before, weights, count * sizeof *before);
    score(net, SONDE__ZERO_COST_NAS, second);
    for (int i = 0; i < SONDE_PROXY_COUNT; i++) {
        assert_int_equal(first[i].validity, second[i].validity);
        assert_true(first[i].value == second[i].value);
    }
    assert_int_equal(first[SONDE_PROXY_ZEN].validity, SONDE_VALID);
    free(before);
    sonde__net_free(net);
}

static void naslib_has_the_logarithm_of_synflow(void **state)
{
    sonde_score sum[SONDE_PROXY_COUNT], logarithm[SONDE_PROXY_COUNT];
    (void)state;
    sonde__net *net = make_net(make_graph(7, true, true), 14);
    score(net, SONDE__ZERO_COST_NAS, sum);
    score(net, SONDE__NASLIB, logarithm);
    check_close(logarithm[SONDE_PROXY_SYNFLOW].value, log(sum[SONDE_PROXY_SYNFLOW].value), 1e-9, 0,
                "log synflow");
    sonde__net_free(net);
}

static void only_what_is_wanted_is_measured(void **state)
{
    sonde_score scores[SONDE_PROXY_COUNT];
    const sonde__score_options options = {.wanted = SONDE__PROXY_BIT(SONDE_PROXY_L2_NORM)};
    (void)state;
    sonde__net *net = make_net(make_graph(7, true, true), 15);
    check_ok(context, sonde__score_network(context, net, &options, &batch, scores));
    for (int i = 0; i < SONDE_PROXY_COUNT; i++)
        assert_int_equal(scores[i].validity == SONDE_VALID, i == SONDE_PROXY_L2_NORM ||
                                                                i == SONDE_PROXY_PARAMS ||
                                                                i == SONDE_PROXY_FLOPS);
    /* 5 * 27 + 5, 2 * 5, 7 * 45, 7 * 3 + 3 */
    assert_true(scores[SONDE_PROXY_PARAMS].value == 489);
    sonde__net_free(net);
}

static void equal_examples_and_nan_have_no_number(void **state)
{
    sonde_score scores[SONDE_PROXY_COUNT];
    float same[sizeof x / sizeof *x];
    size_t count;
    (void)state;
    const sonde__score_options options = {.wanted = SONDE__PROXIES_OF_NETWORK};
    const sonde__score_batch equal = {same, labels, BATCH};
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        same[i] = x[i % (3 * SIDE * SIDE)];
    sonde__net *net = make_net(make_graph(7, true, true), 16);
    check_ok(context, sonde__score_network(context, net, &options, &equal, scores));
    assert_int_equal(scores[SONDE_PROXY_NWOT].validity, SONDE_DEGENERATE);
    assert_int_equal(scores[SONDE_PROXY_JACOB_COV].validity, SONDE_DEGENERATE);
    assert_int_equal(scores[SONDE_PROXY_EPE_NAS].validity, SONDE_DEGENERATE);
    assert_int_equal(scores[SONDE_PROXY_SNIP].validity, SONDE_VALID);
    float *weights = sonde__net_weights(net, &count);
    weights[0] = NAN;
    sonde__net_weights_changed(net);
    score(net, SONDE__ZERO_COST_NAS, scores);
    for (int i = SONDE_PROXY_GRAD_NORM; i <= SONDE_PROXY_ZEN; i++) {
        assert_int_equal(scores[i].validity, SONDE_NOT_FINITE);
        assert_true(scores[i].value == 0);
    }
    sonde__net_free(net);
}

static void a_label_that_is_no_class_is_refused(void **state)
{
    sonde_score scores[SONDE_PROXY_COUNT];
    static const int32_t wrong[BATCH] = {0, 1, 2, 3, 1, 0};
    const sonde__score_options options = {.wanted = SONDE__PROXIES_OF_NETWORK};
    const sonde__score_batch odd = {x, wrong, BATCH};
    (void)state;
    sonde__net *net = make_net(make_graph(7, true, true), 17);
    check_status(sonde__score_network(context, net, &options, &odd, scores), SONDE_ERROR_ARGUMENT);
    assert_non_null(strstr(sonde_context_error(context)->message, "label 3 of example 3"));
    sonde__net_free(net);
}

static void distill(int teacher_width, int student_width, bool same, sonde__distill_metric metric,
                    sonde_score *scores)
{
    sonde__distill_view teacher, student;
    sonde__net *t = make_net(make_graph(teacher_width, false, true), 1);
    sonde__net *s = make_net(make_graph(student_width, false, true), 1);
    check_ok(context, sonde__distill_view_make(context, t, &batch, 5, true, &teacher));
    check_ok(context, sonde__distill_view_make(context, s, &batch, 5, same, &student));
    check_ok(context, sonde__distill_compare(context, metric, &teacher, &student, scores));
    sonde__distill_view_free(&teacher);
    sonde__distill_view_free(&student);
    sonde__net_free(t);
    sonde__net_free(s);
}

static void a_teacher_is_most_like_itself(void **state)
{
    static const sonde__distill_metric metrics[] = {SONDE__DISTILL_PAPER, SONDE__DISTILL_REPO,
                                                    SONDE__DISTILL_S1};
    sonde_score scores[SONDE_PROXY_COUNT];
    (void)state;
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        distill(7, 7, true, metrics[i], scores);
        check_close(scores[SONDE_PROXY_DISWOT].value, 0, 1e-12, 0, "itself");
        distill(7, 7, false, metrics[i], scores);
        assert_int_equal(scores[SONDE_PROXY_DISWOT].validity, SONDE_VALID);
        assert_true(scores[SONDE_PROXY_DISWOT_SEMANTIC].value < 0);
        assert_true(scores[SONDE_PROXY_DISWOT_RELATION].value < 0);
    }
}

static void a_student_of_another_width_has_a_relation_only(void **state)
{
    sonde_score scores[SONDE_PROXY_COUNT];
    (void)state;
    distill(9, 7, false, SONDE__DISTILL_PAPER, scores);
    assert_int_equal(scores[SONDE_PROXY_DISWOT_SEMANTIC].validity, SONDE_DEGENERATE);
    assert_int_equal(scores[SONDE_PROXY_DISWOT_RELATION].validity, SONDE_VALID);
    assert_int_equal(scores[SONDE_PROXY_DISWOT].validity, SONDE_DEGENERATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proxies_are_those_of_a_plain_recomputation),
        cmocka_unit_test(plain_comes_only_from_layers_that_no_norm_follows),
        cmocka_unit_test(weights_are_as_before_and_scores_repeat),
        cmocka_unit_test(naslib_has_the_logarithm_of_synflow),
        cmocka_unit_test(only_what_is_wanted_is_measured),
        cmocka_unit_test(equal_examples_and_nan_have_no_number),
        cmocka_unit_test(a_label_that_is_no_class_is_refused),
        cmocka_unit_test(a_teacher_is_most_like_itself),
        cmocka_unit_test(a_student_of_another_width_has_a_relation_only),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
