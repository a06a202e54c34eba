/*
 * Derivatives of logits and gradients when parameters are scaled: random graphs against central
 * differences of the plain interpreter in double, and what train-mode batch norm makes of a layer
 * before it: its weights' scale does not matter, so that -W . (H g) = ||g||^2 (see docs of GraSP).
 */
#include "check.h"

#include "failing.h"
#include "net/arch.h"
#include "net/study.h"
#include "net_pair.h"

enum { GRAPHS = 30 };

/* --- central differences ---------------------------------------------------------------------- */

/* The loss is sum (v . logits + logits^2 / 2), so that the gradient of the logits moves with them. */
static void run_reference(reference_net *r, const pair *p, const double *scales, double h,
                          double noise)
{
    const sonde__graph *graph = sonde__net_graph(p->net);
    size_t count;
    const float *weights = sonde__net_weights(p->net, &count);
    reference_open(r, graph, p->batch);
    r->train = p->mode == SONDE__STUDY_TRAIN;
    sonde__stream stream = sonde__stream_open(p->number, SONDE__RANDOM_TEST, 77);
    for (int i = 0; i < graph->parameter_count; i++) {
        size_t elements = graph->parameters[i].elements;
        float *plain = reference_zeros(elements, sizeof *plain);
        sonde__net_export(p->net, weights, i, plain);
        for (size_t k = 0; k < elements; k++)
            r->parameters[i][k] = (double)plain[k] * (1 + h * scales[i]) *
                                  (1 + noise * sonde__random_normal(&stream));
        free(plain);
    }
    for (size_t i = 0; i < reference_floats(r, 0); i++)
        r->values[0][i] = (double)p->x[i] * (1 + noise * sonde__random_normal(&stream));
    reference_forward(r);
    for (size_t i = 0; i < reference_floats(r, graph->output); i++)
        r->slopes[graph->output][i] = (double)p->dlogits[i] + r->values[graph->output][i];
    reference_backward(r);
}

/* What moves between -h and h, by parameter, behind one array for the logits. */
typedef struct differences {
    double *logits, **gradients;
    bool undecided;
} differences;

static differences central(const pair *p, const double *scales, double noise)
{
    const sonde__graph *graph = sonde__net_graph(p->net);
    const double h = 1e-5;
    reference_net up, down;
    run_reference(&up, p, scales, h, noise);
    run_reference(&down, p, scales, -h, noise);
    size_t outputs = reference_floats(&up, graph->output);
    differences d = {reference_zeros(outputs, sizeof(double)),
                     reference_zeros((size_t)graph->parameter_count, sizeof(double *)),
                     reference_undecided(&up, &down)};
    for (size_t i = 0; i < outputs; i++)
        d.logits[i] = (up.values[graph->output][i] - down.values[graph->output][i]) / (2 * h);
    for (int k = 0; k < graph->parameter_count; k++) {
        size_t elements = graph->parameters[k].elements;
        d.gradients[k] = reference_zeros(elements, sizeof(double));
        for (size_t i = 0; i < elements; i++)
            d.gradients[k][i] = (up.gradients[k][i] - down.gradients[k][i]) / (2 * h);
    }
    reference_close(&up);
    reference_close(&down);
    return d;
}

static void free_differences(const pair *p, differences *d)
{
    for (int k = 0; k < sonde__net_graph(p->net)->parameter_count; k++)
        free(d->gradients[k]);
    free(d->gradients);
    free(d->logits);
}

/* --- the engine's own -------------------------------------------------------------------------- */

/* Backward from v + logits, then both tangent passes: the derivative of dlogits is that of the
 * logits. `gradients` has the flat layout. */
static void run_tangents(const pair *p, const double *scales, float *tangents, float *gradients)
{
    size_t outputs = pair_outputs(p);
    const float *logits = NULL, *moved = NULL;
    float *dlogits = reference_zeros(outputs, sizeof *dlogits);
    check_ok(p->context, sonde__net_forward(p->net, p->mode, p->x, p->batch, 0, &logits));
    for (size_t i = 0; i < outputs; i++)
        dlogits[i] = p->dlogits[i] + logits[i];
    check_ok(p->context, sonde__net_backward(p->net, dlogits));
    check_ok(p->context, sonde__net_tangent_forward(p->net, scales, &moved));
    memcpy(tangents, moved, outputs * sizeof *tangents);
    check_ok(p->context, sonde__net_tangent_backward(p->net, tangents, gradients));
    free(dlogits);
}

/* Many of these are small differences of large sums: the allowance is of the largest of all. */
static void compare_values(const pair *p, const char *what, const float *found, const double *exact,
                           const double *disturbed, size_t count, double largest)
{
    double allowed = 1e-6 + 3e-5 * largest + 20 * reference_distance(exact, disturbed, count);
    for (size_t i = 0; i < count; i++) {
        if (fabs((double)found[i] - exact[i]) <= allowed)
            continue;
        print_graph(sonde__net_graph(p->net));
        fail_msg("graph %llu, batch %d, mode %d: %s[%zu] of %zu is %.9g, not %.9g (within %.3g)",
                 (unsigned long long)p->number, p->batch, (int)p->mode, what, i, count,
                 (double)found[i], exact[i], allowed);
    }
}

static double largest_of(const pair *p, const differences *d)
{
    const sonde__graph *graph = sonde__net_graph(p->net);
    double largest = 0;
    for (size_t i = 0; i < pair_outputs(p); i++)
        largest = fmax(largest, fabs(d->logits[i]));
    for (int k = 0; k < graph->parameter_count; k++)
        for (size_t i = 0; i < graph->parameters[k].elements; i++)
            largest = fmax(largest, fabs(d->gradients[k][i]));
    return largest;
}

static void compare_tangents(const pair *p, const double *scales, const differences *exact,
                             const differences *disturbed)
{
    const sonde__graph *graph = sonde__net_graph(p->net);
    size_t count;
    sonde__net_weights(p->net, &count);
    double largest = largest_of(p, exact);
    float *gradients = reference_zeros(count, sizeof *gradients);
    float *tangents = reference_zeros(pair_outputs(p), sizeof *tangents);
    for (int again = 0; again < 2; again++) { /* nothing of a first run spoils a second */
        run_tangents(p, scales, tangents, gradients);
        compare_values(p, "logits", tangents, exact->logits, disturbed->logits, pair_outputs(p),
                       largest);
        for (int k = 0; k < graph->parameter_count; k++) {
            const sonde__parameter *each = &graph->parameters[k];
            if (each->length == 0)
                continue;
            float *plain = reference_zeros(each->elements, sizeof *plain);
            sonde__net_export(p->net, gradients, k, plain);
            compare_values(p, each->name, plain, exact->gradients[k], disturbed->gradients[k],
                           each->elements, largest);
            free(plain);
        }
    }
    free(gradients);
    free(tangents);
}

static int compare_graph(uint64_t number, sonde__mode mode)
{
    pair p;
    open_pair_for(&p, number, true, true);
    int parameters = sonde__net_parameter_count(p.net), compared = 0;
    double *scales = reference_zeros((size_t)parameters + 1, sizeof *scales);
    for (int k = 0; k < parameters; k++)
        if (sonde__net_parameter(p.net, k)->length && sonde__random_uniform(&p.stream) < 0.7)
            scales[k] = 2 * sonde__random_uniform(&p.stream) - 0.5;
    begin_pass(&p, mode, 1 + (int)(number % MAX_BATCH), 0);
    differences exact = central(&p, scales, 0), disturbed = central(&p, scales, 1e-6);
    if (!exact.undecided && !disturbed.undecided) {
        compare_tangents(&p, scales, &exact, &disturbed);
        compared = 1;
    }
    free_differences(&p, &exact);
    free_differences(&p, &disturbed);
    free(scales);
    end_pass(&p);
    close_pair(&p);
    return compared;
}

static void random_graphs_agree_with_central_differences(void **state)
{
    (void)state;
    unsigned long long first = 1, count = GRAPHS;
    const char *asked = getenv("SONDE_NET_RANDOM");
    if (asked && sscanf(asked, "%llu %llu", &first, &count) != 2)
        fail_msg("SONDE_NET_RANDOM is not \"first count\": %s", asked);
    double compared = 0;
    for (unsigned long long number = first; number < first + count; number++) {
        compared += compare_graph(number, number % 3 ? SONDE__STUDY_TRAIN : SONDE__STUDY_EVAL);
    }
    printf("tangents compared in %.0f of %llu passes\n", compared, count);
    if (count >= GRAPHS)
        assert_true(compared > 0.6 * (double)count);
}

/* --- identities ------------------------------------------------------------------------------- */

typedef struct sums {
    double product, square; /* of all gradients with their derivatives; of one parameter */
} sums;

/* Of growing parameter `grown` alone: g . (H w) and ||g_grown||^2. */
static sums grow_one(sonde__net *net, sonde_context *context, int grown)
{
    size_t count;
    const float *logits = NULL, *g = sonde__net_gradients(net, &count);
    float *rates = reference_zeros(count, sizeof *rates);
    double *scales = reference_zeros((size_t)sonde__net_parameter_count(net), sizeof *scales);
    float *still = reference_zeros(6 * 7, sizeof *still);
    const sonde__parameter *p = sonde__net_parameter(net, grown);
    sums s = {0};
    scales[grown] = 1;
    check_ok(context, sonde__net_tangent_forward(net, scales, &logits));
    for (size_t i = 0; i < 6 * 7; i++) /* scale-free: the logits stay, up to the norm's epsilon */
        assert_true(fabsf(logits[i]) < 1e-3F);
    check_ok(context, sonde__net_tangent_backward(net, still, rates));
    for (size_t i = 0; i < count; i++)
        s.product += (double)g[i] * (double)rates[i];
    for (size_t i = p->offset; i < p->offset + p->length; i++)
        s.square += (double)g[i] * (double)g[i];
    free(rates);
    free(scales);
    free(still);
    return s;
}

/* A convolution before batch norm is scale-free: -W_l . (H g)_l = -g . (H w_l) = ||g_l||^2. */
static void layers_before_batch_norm_obey_the_scale_free_identity(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__graph *graph = NULL;
    sonde__net *net = NULL;
    const float *logits = NULL;
    const sonde__net_options options = {
        .threads = 2, .max_batch = 6, .seed = 3, .study = true, .tangent = true};
    sonde__stream stream = sonde__stream_open(3, SONDE__RANDOM_TEST, 3);
    check_ok(context,
             sonde__arch_build(context, "resnet8", (sonde__shape){3, 16, 16}, 7, -1, &graph));
    check_ok(context, sonde__net_create(context, graph, &options, &net));
    float x[6 * 3 * 256], dlogits[6 * 7];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)sonde__random_normal(&stream);
    for (size_t i = 0; i < sizeof dlogits / sizeof *dlogits; i++)
        dlogits[i] = (float)sonde__random_normal(&stream);
    check_ok(context, sonde__net_forward(net, SONDE__STUDY_TRAIN, x, 6, 0, &logits));
    check_ok(context, sonde__net_backward(net, dlogits));
    int checked = 0;
    for (int k = 0; k < sonde__net_parameter_count(net); k++) {
        if (sonde__net_parameter(net, k)->role != SONDE__ROLE_WEIGHT ||
            sonde__net_parameter(net, k)->dims != 4)
            continue;
        sums s = grow_one(net, context, k);
        assert_true(s.square > 0);
        assert_true(fabs(-s.product - s.square) < 2e-3 * s.square);
        checked++;
    }
    assert_int_equal(checked, 7);
    sonde__net_free(net);
    sonde_context_free(context);
}

/* --- what is refused -------------------------------------------------------------------------- */

static void tangents_need_the_passes_before_them(void **state)
{
    (void)state;
    pair p;
    size_t count;
    const float *logits = NULL;
    open_pair_for(&p, 3, true, true);
    sonde__net_weights(p.net, &count);
    double *scales = reference_zeros((size_t)sonde__net_parameter_count(p.net) + 1, sizeof *scales);
    float *gradients = reference_zeros(count, sizeof *gradients);
    assert_int_equal(sonde__net_tangent_forward(p.net, scales, &logits), SONDE_ERROR_STATE);
    begin_pass(&p, SONDE__STUDY_TRAIN, 3, 0);
    assert_int_equal(sonde__net_tangent_forward(p.net, scales, &logits), SONDE_ERROR_STATE);
    check_ok(p.context, sonde__net_backward(p.net, p.dlogits));
    assert_int_equal(sonde__net_tangent_backward(p.net, p.dlogits, gradients), SONDE_ERROR_STATE);
    check_ok(p.context, sonde__net_tangent_forward(p.net, scales, &logits));
    check_ok(p.context, sonde__net_tangent_backward(p.net, p.dlogits, gradients));
    free(scales);
    free(gradients);
    end_pass(&p);
    close_pair(&p);
}

/* --- memory ----------------------------------------------------------------------------------- */

static sonde_status use_net(sonde__net *net)
{
    float x[2 * 32] = {1}, dlogits[2 * 3] = {1}, gradients[1 << 13];
    double scales[16] = {1}, norms[2 * 16];
    const float *logits = NULL;
    size_t count;
    sonde__net_weights(net, &count);
    assert_true(count <= sizeof gradients / sizeof *gradients);
    SONDE_TRY(sonde__net_forward(net, SONDE__STUDY_EVAL, x, 2, 0, &logits));
    SONDE_TRY(sonde__net_example_norms(net, dlogits, norms));
    SONDE_TRY(sonde__net_backward(net, dlogits));
    SONDE_TRY(sonde__net_tangent_forward(net, scales, &logits));
    return sonde__net_tangent_backward(net, dlogits, gradients);
}

/* conv, norm, ReLU, linear: small, since it runs once for every allocation. */
static sonde_status whole_life(sonde_context *context, void *argument)
{
    (void)argument;
    sonde__graph *graph = NULL;
    sonde__net *net = NULL;
    const sonde__net_options options = {
        .threads = 1, .max_batch = 2, .seed = 1, .study = true, .tangent = true};
    SONDE_TRY(sonde__graph_create(context, &graph));
    sonde__node x = sonde__graph_input(graph, (sonde__shape){2, 4, 4});
    x = sonde__graph_conv_simple(graph, NULL, x, 2, 3, 1, 1, true);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, sonde__graph_batch_norm(graph, NULL, x));
    x = sonde__graph_linear(graph, NULL, x, 3, true);
    sonde_status status = sonde__graph_finish(graph, x);
    if (status != SONDE_OK) {
        sonde__graph_free(graph);
        return status;
    }
    SONDE_TRY(sonde__net_create(context, graph, &options, &net));
    status = use_net(net);
    if (status == SONDE_ERROR_MEMORY) { /* the handle stays usable */
        sonde_status second = use_net(net);
        assert_true(second == SONDE_OK || second == SONDE_ERROR_MEMORY);
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
        cmocka_unit_test(random_graphs_agree_with_central_differences),
        cmocka_unit_test(layers_before_batch_norm_obey_the_scale_free_identity),
        cmocka_unit_test(tangents_need_the_passes_before_them),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
