/*
 * Pruning by criteria: what a score is (against differences of the loss), what goes, what is asked
 * for, and what cannot be pruned.
 */
#include "check.h"

#include "base/random.h"
#include "measure/prune_internal.h"
#include "net/loss.h"
#include "net/study.h"

enum { CLASSES = 3, EXAMPLES = 40, FEATURES = 2 * 4 * 4 };

/* conv1 (6) - bn1 - gelu - conv2 (4, reads all 6) - gelu - pool - head */
typedef struct fixture {
    sonde_context *context;
    sonde__net *net;
    sonde__channels channels;
    sonde__prune_options options;
    float x[EXAMPLES * FEATURES];
    int labelled, unlabelled; /* calls of fill */
} fixture;

static sonde__graph *small_graph(sonde_context *context)
{
    sonde__graph *graph = NULL;
    check_ok(context, sonde__graph_create(context, &graph));
    sonde__node x = sonde__graph_input(graph, (sonde__shape){2, 4, 4});
    x = sonde__graph_conv_simple(graph, "conv1", x, 6, 3, 1, 1, true);
    x = sonde__graph_batch_norm(graph, "bn1", x);
    x = sonde__graph_unary(graph, SONDE__OP_GELU, x);
    x = sonde__graph_conv_simple(graph, "conv2", x, 4, 3, 1, 1, false);
    x = sonde__graph_unary(graph, SONDE__OP_GELU, x);
    x = sonde__graph_unary(graph, SONDE__OP_GLOBAL_POOL, x);
    check_ok(context,
             sonde__graph_finish(graph, sonde__graph_linear(graph, "head", x, CLASSES, true)));
    return graph;
}

static void set_up(fixture *f)
{
    const sonde__net_options options = {
        .threads = 1, .max_batch = EXAMPLES, .seed = 3, .study = true, .tangent = true};
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, 0);
    *f = (fixture){.context = check_context()};
    sonde__graph *graph = small_graph(f->context);
    check_ok(f->context, sonde__net_create(f->context, graph, &options, &f->net));
    check_ok(f->context, sonde__channels_find(f->context, graph, &f->channels));
    for (int i = 0; i < EXAMPLES * FEATURES; i++)
        f->x[i] = (float)(2 * sonde__random_normal(&stream));
    sonde__prune_options_init(&f->options);
    f->options.batch = 16;
    f->options.batches = 2;
    f->options.steps = 2;
    f->options.confidence = 0;
    f->options.threads = 1;
}

static void tear_down(fixture *f)
{
    sonde__channels_free(&f->channels);
    sonde__net_free(f->net);
    sonde_context_free(f->context);
}

static void fill(void *user, const uint32_t *order, size_t n, float *x, int32_t *labels)
{
    fixture *f = user;
    for (size_t i = 0; i < n; i++) {
        memcpy(x + i * FEATURES, f->x + (size_t)order[i] * FEATURES, FEATURES * sizeof *x);
        if (labels)
            labels[i] = (int32_t)(order[i] % CLASSES);
    }
    if (labels)
        f->labelled++;
    else
        f->unlabelled++;
}

static sonde__prune_examples examples_of(fixture *f)
{
    return (sonde__prune_examples){f, fill, EXAMPLES};
}

static int parameter_of(const sonde__net *net, const char *name)
{
    for (int p = 0; p < sonde__net_parameter_count(net); p++)
        if (strcmp(sonde__net_parameter(net, p)->name, name) == 0)
            return p;
    fail_msg("no parameter %s", name);
    return -1;
}

/* Multiplies elements [begin, end) of a parameter at each `step`. */
static void scale(sonde__net *net, const char *name, size_t begin, size_t end, size_t step,
                  double factor)
{
    const int p = parameter_of(net, name);
    float *flat = sonde__net_weights(net, &(size_t){0});
    float *plain = malloc(sonde__net_parameter(net, p)->elements * sizeof *plain);
    sonde__net_export(net, flat, p, plain);
    for (size_t i = begin; i < end; i += step)
        plain[i] = (float)((double)plain[i] * factor);
    sonde__net_import(net, flat, p, plain);
    sonde__net_weights_changed(net);
    free(plain);
}

static double loss_of(fixture *f, const int32_t *labels, size_t n)
{
    const float *logits = NULL;
    check_ok(f->context, sonde__net_forward(f->net, SONDE__EVAL, f->x, (int)n, 0, &logits));
    return sonde__loss_cross_entropy(logits, labels, n, CLASSES, 0, NULL, NULL);
}

/* What is scaled when a channel of conv1 is: its row and bias; its norm; the next layer's column. */
static void scale_side(fixture *f, int side, size_t channel, double factor)
{
    if (side == 0) {
        scale(f->net, "conv1.weight", channel * 18, (channel + 1) * 18, 1, factor);
        scale(f->net, "conv1.bias", channel, channel + 1, 1, factor);
    } else if (side == 1) {
        scale(f->net, "bn1.weight", channel, channel + 1, 1, factor);
        scale(f->net, "bn1.bias", channel, channel + 1, 1, factor);
    } else {
        for (size_t o = 0; o < 4; o++)
            scale(f->net, "conv2.weight", (o * 6 + channel) * 9, (o * 6 + channel + 1) * 9, 1,
                  factor);
    }
}

/* The derivative of the mean loss as that side of the channel is scaled, by differences. */
static double scaled_derivative(fixture *f, int side, size_t channel, const int32_t *labels,
                                size_t n)
{
    const double h = 1.0 / 64;
    scale_side(f, side, channel, 1 + h);
    const double above = loss_of(f, labels, n);
    scale_side(f, side, channel, (1 - h) / (1 + h));
    const double below = loss_of(f, labels, n);
    scale_side(f, side, channel, 1 / (1 - h));
    return (above - below) / (2 * h);
}

/* --- scores ------------------------------------------------------------------------------------- */

static void jbr_sums_the_squared_derivative_of_every_side_of_a_channel(void **state)
{
    (void)state;
    fixture f;
    set_up(&f);
    sonde__prune_sample sample;
    sonde__prune_report report = {0};
    const sonde__prune_examples examples = examples_of(&f);
    f.options.batches = 1;
    scale(f.net, "head.weight", 0, 12, 1, 20); /* so that rounding is small beside differences */
    check_ok(f.context,
             sonde__prune_sample_choose(f.context, f.net, &examples, &f.options, &sample, &report));
    assert_int_equal(sample.count, 16);
    check_ok(f.context, sonde__prune_sample_gradient(&sample, f.net, 0));
    double scores[64] = {0};
    bool scored[64] = {false}, kept[64];
    memset(kept, 1, sizeof kept);
    const sonde__prune_scorer scorer = {&f.channels, kept, SONDE_CRITERION_JBR, scores, scored};
    check_ok(f.context, sonde__prune_score(f.context, &scorer, f.net,
                                           sonde__net_gradients(f.net, &(size_t){0})));
    for (size_t c = 0; c < 6; c++) {
        double expected = 0;
        for (int side = 0; side < 3; side++) {
            const double a = scaled_derivative(&f, side, c, sample.labels, 16);
            expected += a * a;
        }
        check_close(scores[sonde__channels_of(&f.channels, 1)[c]], expected, 1e-8, 0.03, "unit");
    }
    sonde__prune_sample_free(&sample);
    tear_down(&f);
}

static void pseudo_labels_are_the_networks_own_answers(void **state)
{
    (void)state;
    fixture f;
    set_up(&f);
    sonde__prune_sample sample;
    sonde__prune_report report = {0};
    const sonde__prune_examples examples = examples_of(&f);
    f.options.confidence = 0.4;
    check_ok(f.context,
             sonde__prune_sample_choose(f.context, f.net, &examples, &f.options, &sample, &report));
    const float *logits = NULL;
    check_ok(f.context, sonde__net_forward(f.net, SONDE__EVAL, f.x, EXAMPLES, 0, &logits));
    size_t found = 0;
    for (uint32_t i = 0; i < EXAMPLES && found < sample.count; i++) {
        double sum = 0, largest = -1e30;
        int32_t best = 0;
        for (int32_t c = 0; c < CLASSES; c++) {
            sum += exp((double)logits[i * CLASSES + (uint32_t)c]);
            if ((double)logits[i * CLASSES + (uint32_t)c] > largest) {
                largest = (double)logits[i * CLASSES + (uint32_t)c];
                best = c;
            }
        }
        if (exp(largest) / sum <= 0.4)
            continue;
        assert_int_equal(sample.order[found], i);
        assert_int_equal(sample.labels[found++], best);
    }
    assert_int_equal(found, sample.count);
    assert_true(found > 0 && report.looked > found);
    sonde__prune_sample_free(&sample);
    tear_down(&f);
}

/* --- what goes ---------------------------------------------------------------------------------- */

static sonde_status prune(fixture *f, sonde__prune_result *result)
{
    const sonde__prune_examples examples = examples_of(f);
    return sonde__prune_channels(f->net, &f->channels, &examples, &f->options, result);
}

/* Channels 1, 3, 4 of conv1 make nothing and nobody reads them. */
static void kill_channels(fixture *f)
{
    static const size_t dead[] = {1, 3, 4};
    for (size_t i = 0; i < 3; i++)
        for (int side = 0; side < 3; side++)
            scale_side(f, side, dead[i], 0);
}

static void every_criterion_removes_the_channels_that_do_nothing(void **state)
{
    (void)state;
    static const sonde_criterion criteria[] = {SONDE_CRITERION_JBR,      SONDE_CRITERION_JACOBIAN,
                                               SONDE_CRITERION_TAYLOR,   SONDE_CRITERION_L1,
                                               SONDE_CRITERION_BN_SCALE, SONDE_CRITERION_WHC};
    for (size_t i = 0; i < sizeof criteria / sizeof *criteria; i++) {
        fixture f;
        sonde__prune_result result;
        const float *logits = NULL;
        float expected[8 * CLASSES];
        set_up(&f);
        kill_channels(&f);
        f.options.criterion = criteria[i];
        f.options.ratio = 0.3; /* 3 of 10 */
        check_ok(f.context, prune(&f, &result));
        const int *unit = sonde__channels_of(&f.channels, 1);
        for (int c = 0; c < 6; c++)
            if (result.kept[unit[c]] != (c != 1 && c != 3 && c != 4))
                fail_msg("%s: channel %d", sonde_criterion_name(criteria[i]), c);
        check_ok(f.context, sonde__net_forward(f.net, SONDE__EVAL, f.x, 8, 0, &logits));
        memcpy(expected, logits, sizeof expected);
        check_ok(f.context, sonde__net_forward(result.part, SONDE__EVAL, f.x, 8, 0, &logits));
        for (int k = 0; k < 8 * CLASSES; k++)
            check_close((double)logits[k], (double)expected[k], 1e-5, 1e-5, "logit");
        sonde__prune_result_free(f.context, &result);
        tear_down(&f);
    }
}

static void only_criteria_with_labels_ask_for_labels(void **state)
{
    (void)state;
    for (int number = 0; number < SONDE_CRITERION_COUNT; number++) {
        const sonde_criterion criterion = (sonde_criterion)number;
        fixture f;
        sonde__prune_result result;
        if (!sonde_criterion_of_channels(criterion))
            continue;
        set_up(&f);
        f.options.criterion = criterion;
        f.options.re_estimate = 1;
        check_ok(f.context, prune(&f, &result));
        const bool labels =
            criterion == SONDE_CRITERION_JACOBIAN || criterion == SONDE_CRITERION_TAYLOR;
        if ((f.labelled > 0) != labels)
            fail_msg("%s: %d fillings with labels", sonde_criterion_name(criterion), f.labelled);
        sonde__prune_result_free(f.context, &result);
        tear_down(&f);
    }
}

static void the_ratio_is_reached_step_by_step_and_random_follows_its_seed(void **state)
{
    (void)state;
    bool kept[2][64];
    for (int turn = 0; turn < 2; turn++) {
        fixture f;
        sonde__prune_result result;
        set_up(&f);
        f.options.criterion = SONDE_CRITERION_RANDOM;
        f.options.ratio = 0.5;
        f.options.steps = 4;
        f.options.seed = 7;
        check_ok(f.context, prune(&f, &result));
        assert_int_equal(result.report.units, 10);
        assert_int_equal(result.report.kept, 5);
        assert_int_equal(result.report.steps, 4);
        memcpy(kept[turn], result.kept, (size_t)f.channels.unit_count);
        if (turn == 1)
            assert_memory_equal(kept[0], kept[1], (size_t)f.channels.unit_count);
        sonde__prune_result_free(f.context, &result);
        tear_down(&f);
    }
}

static void a_ratio_of_one_leaves_the_least_of_every_layer_and_says_so(void **state)
{
    (void)state;
    fixture f;
    sonde__prune_result result;
    set_up(&f);
    f.options.criterion = SONDE_CRITERION_L1;
    f.options.ratio = 1;
    f.options.least = 2;
    f.options.steps = 1;
    check_ok(f.context, prune(&f, &result));
    assert_int_equal(result.report.kept, 4);
    assert_int_equal(result.report.cut.layers_at_least, 2);
    assert_true(result.report.cut.reason[0] != '\0');
    const sonde__graph *graph = sonde__net_graph(result.part);
    assert_int_equal(sonde__graph_layer(graph, 1).shape.channels, 2);
    sonde__prune_result_free(f.context, &result);
    tear_down(&f);
}

static void a_ratio_of_zero_is_a_copy(void **state)
{
    (void)state;
    fixture f;
    sonde__prune_result result;
    set_up(&f);
    f.options.ratio = 0;
    check_ok(f.context, prune(&f, &result));
    assert_int_equal(result.report.kept, result.report.units);
    size_t count, again;
    const float *a = sonde__net_weights(f.net, &count);
    const float *b = sonde__net_weights(result.part, &again);
    assert_int_equal(count, again);
    assert_memory_equal(a, b, count * sizeof *a);
    sonde__prune_result_free(f.context, &result);
    tear_down(&f);
}

static void widths_stay_multiples_where_they_are_asked_to(void **state)
{
    (void)state;
    fixture f;
    sonde__prune_result result;
    set_up(&f);
    f.options.criterion = SONDE_CRITERION_L1;
    f.options.ratio = 0.5;
    f.options.multiple = 2;
    check_ok(f.context, prune(&f, &result));
    const sonde__graph *graph = sonde__net_graph(result.part);
    assert_int_equal(sonde__graph_layer(graph, 1).shape.channels % 2, 0);
    assert_int_equal(sonde__graph_layer(graph, 4).shape.channels % 2, 0);
    assert_true(result.report.kept >= 5 && result.report.kept < 10);
    sonde__prune_result_free(f.context, &result);
    tear_down(&f);
}

static void re_estimation_moves_running_statistics_and_nothing_else(void **state)
{
    (void)state;
    fixture f;
    sonde__prune_result plain, moved;
    set_up(&f);
    f.options.criterion = SONDE_CRITERION_L1;
    check_ok(f.context, prune(&f, &plain));
    f.options.re_estimate = 3;
    check_ok(f.context, prune(&f, &moved));
    size_t count;
    const float *a = sonde__net_weights(plain.part, &count);
    assert_memory_equal(a, sonde__net_weights(moved.part, &count), count * sizeof *a);
    float before[8], after[8];
    const int p = parameter_of(plain.part, "bn1.running_var");
    sonde__net_export(plain.part, a, p, before);
    sonde__net_export(moved.part, a, p, after);
    for (size_t i = 0; i < sonde__net_parameter(plain.part, p)->elements; i++)
        assert_true(fabsf(before[i] - after[i]) > 1e-4F);
    sonde__prune_result_free(f.context, &plain);
    sonde__prune_result_free(f.context, &moved);
    tear_down(&f);
}

/* --- single weights ----------------------------------------------------------------------------- */

typedef struct masks {
    bool *keep[16];
    bool flags[16][256];
} masks;

static void make_masks(const sonde__net *net, masks *m)
{
    for (int p = 0; p < sonde__net_parameter_count(net); p++)
        m->keep[p] = sonde__prune_is_weight(sonde__net_parameter(net, p)) ? m->flags[p] : NULL;
}

static void magnitude_zeroes_the_smallest_weights_of_all_layers(void **state)
{
    (void)state;
    fixture f;
    masks m;
    sonde__prune_report report;
    set_up(&f);
    make_masks(f.net, &m);
    f.options.criterion = SONDE_CRITERION_MAGNITUDE;
    f.options.ratio = 0.25;
    f.options.steps = 3;
    float before[16][256];
    const float *flat = sonde__net_weights(f.net, &(size_t){0});
    for (int p = 0; p < sonde__net_parameter_count(f.net); p++)
        sonde__net_export(f.net, flat, p, before[p]);
    const sonde__prune_examples examples = examples_of(&f);
    check_ok(f.context,
             sonde__prune_weights(f.context, f.net, &examples, &f.options, m.keep, &report));
    assert_int_equal(report.units, 108 + 216 + 12);
    assert_int_equal(report.kept, 252);
    float largest_gone = 0, smallest_kept = 1e30F;
    for (int p = 0; p < sonde__net_parameter_count(f.net); p++) {
        float after[256];
        sonde__net_export(f.net, flat, p, after);
        for (size_t i = 0; i < sonde__net_parameter(f.net, p)->elements; i++) {
            const bool kept = !m.keep[p] || m.keep[p][i];
            assert_true(after[i] == (kept ? before[p][i] : 0));
            if (m.keep[p] && kept)
                smallest_kept = fminf(smallest_kept, fabsf(before[p][i]));
            else if (m.keep[p])
                largest_gone = fmaxf(largest_gone, fabsf(before[p][i]));
        }
    }
    assert_true(largest_gone <= smallest_kept);
    assert_int_equal(f.labelled + f.unlabelled, 0);
    tear_down(&f);
}

/* sum of w (H g) over the weights = g (H w), the derivative of the gradient as they are all scaled. */
static void grasps_curvature_agrees_with_the_tangent_of_the_network(void **state)
{
    (void)state;
    fixture f;
    masks m = {0};
    sonde__prune_sample sample;
    sonde__prune_report report = {0};
    size_t count;
    set_up(&f);
    make_masks(f.net, &m);
    f.options.criterion = SONDE_CRITERION_GRASP;
    f.options.batches = 1;
    const sonde__prune_examples examples = examples_of(&f);
    check_ok(f.context,
             sonde__prune_sample_choose(f.context, f.net, &examples, &f.options, &sample, &report));
    const float *weights = sonde__net_weights(f.net, &count);
    double *product = malloc(count * sizeof *product);
    check_ok(f.context, sonde__prune_curvature(&sample, f.net, m.keep, product));
    /* The derivative of softmax - one-hot along that of the logits. */
    double scales[16] = {0}, along = 0, across = 0;
    float dlogits[16 * CLASSES], *turned = malloc(count * sizeof *turned);
    const float *moved = NULL, *logits = NULL;
    check_ok(f.context, sonde__prune_sample_gradient(&sample, f.net, 0));
    for (int p = 0; p < sonde__net_parameter_count(f.net); p++)
        scales[p] = m.keep[p] ? 1 : 0;
    float saved[16 * CLASSES];
    check_ok(f.context, sonde__net_forward(f.net, SONDE__EVAL, sample.x, 16, 0, &logits));
    memcpy(saved, logits, sizeof saved);
    check_ok(f.context, sonde__prune_sample_gradient(&sample, f.net, 0));
    check_ok(f.context, sonde__net_tangent_forward(f.net, scales, &moved));
    for (int i = 0; i < 16; i++) {
        double sum = 0, mean = 0, p[CLASSES];
        for (int c = 0; c < CLASSES; c++)
            sum += p[c] = exp((double)saved[i * CLASSES + c]);
        for (int c = 0; c < CLASSES; c++)
            mean += p[c] / sum * (double)moved[i * CLASSES + c];
        for (int c = 0; c < CLASSES; c++)
            dlogits[i * CLASSES + c] =
                (float)(p[c] / sum * ((double)moved[i * CLASSES + c] - mean) / 16);
    }
    check_ok(f.context, sonde__net_tangent_backward(f.net, dlogits, turned));
    const float *gradient = sonde__net_gradients(f.net, &count);
    for (int p = 0; p < sonde__net_parameter_count(f.net); p++) {
        const sonde__parameter *parameter = sonde__net_parameter(f.net, p);
        for (size_t i = parameter->offset; m.keep[p] && i < parameter->offset + parameter->length;
             i++) {
            along += (double)weights[i] * product[i];
            across += (double)gradient[i] * (double)turned[i];
        }
    }
    check_close(along, across, 1e-7, 0.01, "w (H g) and g (H w)");
    free(product);
    free(turned);
    sonde__prune_sample_free(&sample);
    tear_down(&f);
}

static void weights_that_nothing_depends_on_go_first(void **state)
{
    (void)state;
    static const sonde_criterion criteria[] = {SONDE_CRITERION_SNIP, SONDE_CRITERION_SYNFLOW};
    for (size_t k = 0; k < 2; k++) {
        fixture f;
        masks m;
        sonde__prune_report report;
        set_up(&f);
        for (size_t o = 0; o < 4; o++) /* nothing reads channel 2 of conv1 */
            scale(f.net, "conv2.weight", (o * 6 + 2) * 9, (o * 6 + 3) * 9, 1, 0);
        make_masks(f.net, &m);
        f.options.criterion = criteria[k];
        f.options.ratio = 54.0 / 336; /* its 18 weights and the 36 that are zero */
        f.options.steps = 1;
        const sonde__prune_examples examples = examples_of(&f);
        check_ok(f.context,
                 sonde__prune_weights(f.context, f.net, &examples, &f.options, m.keep, &report));
        const int conv1 = parameter_of(f.net, "conv1.weight");
        for (size_t i = 0; i < 108; i++)
            if (m.keep[conv1][i] != (i < 36 || i >= 54))
                fail_msg("%s: weight %d", sonde_criterion_name(criteria[k]), (int)i);
        tear_down(&f);
    }
}

/* --- what cannot be done ------------------------------------------------------------------------ */

static void no_confident_example_is_an_error_that_says_so(void **state)
{
    (void)state;
    fixture f;
    sonde__prune_result result;
    set_up(&f);
    f.options.confidence = 0.9999;
    check_status(prune(&f, &result), SONDE_ERROR_NUMERIC);
    assert_non_null(strstr(sonde_context_error(f.context)->message, "no example of 40"));
    assert_null(result.part);
    tear_down(&f);
}

static void a_weight_that_is_not_finite_is_named(void **state)
{
    (void)state;
    fixture f;
    sonde__prune_result result;
    set_up(&f);
    scale(f.net, "conv2.weight", 5, 6, 1, (double)NAN);
    check_status(prune(&f, &result), SONDE_ERROR_NUMERIC);
    assert_string_equal(sonde_context_error(f.context)->item, "conv2.weight");
    tear_down(&f);
}

static void a_ratio_outside_zero_to_one_is_refused(void **state)
{
    (void)state;
    static const double ratios[] = {-0.1, 1.01, (double)NAN};
    for (int i = 0; i < 3; i++) {
        fixture f;
        sonde__prune_result result;
        set_up(&f);
        f.options.ratio = ratios[i];
        check_status(prune(&f, &result), SONDE_ERROR_RANGE);
        tear_down(&f);
    }
}

static void a_request_to_cancel_ends_it(void **state)
{
    (void)state;
    fixture f;
    sonde__prune_result result;
    set_up(&f);
    sonde_context_cancel(f.context);
    check_status(prune(&f, &result), SONDE_ERROR_CANCELLED);
    assert_null(result.kept);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jbr_sums_the_squared_derivative_of_every_side_of_a_channel),
        cmocka_unit_test(pseudo_labels_are_the_networks_own_answers),
        cmocka_unit_test(every_criterion_removes_the_channels_that_do_nothing),
        cmocka_unit_test(only_criteria_with_labels_ask_for_labels),
        cmocka_unit_test(the_ratio_is_reached_step_by_step_and_random_follows_its_seed),
        cmocka_unit_test(a_ratio_of_one_leaves_the_least_of_every_layer_and_says_so),
        cmocka_unit_test(a_ratio_of_zero_is_a_copy),
        cmocka_unit_test(widths_stay_multiples_where_they_are_asked_to),
        cmocka_unit_test(re_estimation_moves_running_statistics_and_nothing_else),
        cmocka_unit_test(magnitude_zeroes_the_smallest_weights_of_all_layers),
        cmocka_unit_test(grasps_curvature_agrees_with_the_tangent_of_the_network),
        cmocka_unit_test(weights_that_nothing_depends_on_go_first),
        cmocka_unit_test(no_confident_example_is_an_error_that_says_so),
        cmocka_unit_test(a_weight_that_is_not_finite_is_named),
        cmocka_unit_test(a_ratio_outside_zero_to_one_is_refused),
        cmocka_unit_test(a_request_to_cancel_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
