/*
 * A pruned network computes what the whole one does with the removed channels at zero: for every
 * architecture, and for random graphs.
 */
#include "check.h"

#include "base/random.h"
#include "net/arch.h"
#include "net/graph_internal.h"
#include "net/loss.h"
#include "net/prune_graph.h"
#include "random_graph.h"

enum { BATCH = 2, RANDOM_GRAPHS = 150, CLASSES = 5 };

typedef struct pair {
    sonde_context *context;
    sonde__channels channels;
    bool *kept;
    int removed;
    sonde__net *whole, *part;
    sonde__stream stream;
} pair;

static const sonde__net_options net_options = {.threads = 1, .max_batch = BATCH, .seed = 5};

/* Scales and statistics away from the ones and zeros that they begin with. */
static void draw_parameters(pair *p)
{
    float *weights = sonde__net_weights(p->whole, &(size_t){0});
    for (int i = 0; i < sonde__net_parameter_count(p->whole); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(p->whole, i);
        if (parameter->role == SONDE__ROLE_WEIGHT)
            continue;
        float *plain = malloc(parameter->elements * sizeof *plain);
        for (size_t k = 0; k < parameter->elements; k++) {
            plain[k] = (float)(0.4 * sonde__random_normal(&p->stream));
            if (parameter->role == SONDE__ROLE_RUNNING_VARIANCE)
                plain[k] = 0.5F + fabsf(plain[k]);
            else if (parameter->role == SONDE__ROLE_SCALE)
                plain[k] += 1;
        }
        sonde__net_import(p->whole, weights, i, plain);
        free(plain);
    }
    sonde__net_weights_changed(p->whole);
}

/* Removes about the share of what may go, but the first unit of no group. */
static void draw_kept(pair *p, double share)
{
    const sonde__channels *channels = &p->channels;
    bool *begun = calloc((size_t)channels->group_count, sizeof *begun);
    p->kept = malloc((size_t)channels->unit_count * sizeof *p->kept);
    for (int u = 0; u < channels->unit_count; u++) {
        const bool first = !begun[channels->group[u]];
        begun[channels->group[u]] = true;
        p->kept[u] = channels->frozen[u] || first || sonde__random_uniform(&p->stream) >= share;
        p->removed += !p->kept[u];
    }
    free(begun);
}

/* The whole network of the graph, some of its units chosen, and the pruned network. */
static pair make_pair(sonde_context *context, sonde__graph *graph, uint64_t seed, double share)
{
    pair p = {.context = context, .stream = sonde__stream_open(seed, SONDE__RANDOM_TEST, 1)};
    sonde__graph *pruned = NULL;
    check_ok(context, sonde__net_create(context, graph, &net_options, &p.whole));
    draw_parameters(&p);
    check_ok(context, sonde__channels_find(context, graph, &p.channels));
    draw_kept(&p, share);
    check_ok(context, sonde__prune_graph(&p.channels, p.kept, &pruned));
    check_ok(context, sonde__net_create(context, pruned, &net_options, &p.part));
    check_ok(context, sonde__prune_parameters(&p.channels, p.kept, p.whole, p.part));
    return p;
}

static void free_pair(pair *p)
{
    sonde__channels_free(&p->channels);
    sonde__net_free(p->whole);
    sonde__net_free(p->part);
    free(p->kept);
}

/* Everything that makes a removed channel becomes zero; with `readers`, also what reads it. */
static void zero_removed(pair *p, bool readers)
{
    float *weights = sonde__net_weights(p->whole, &(size_t){0});
    for (int i = 0; i < sonde__net_parameter_count(p->whole); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(p->whole, i);
        sonde__slice slice;
        if (parameter->role == SONDE__ROLE_RUNNING_VARIANCE)
            continue;
        check_ok(p->context, sonde__slice_of(&p->channels, p->kept, i, &slice));
        const size_t row = slice.all_columns * slice.inner;
        float *plain = malloc(parameter->elements * sizeof *plain);
        float *zeroed = calloc(parameter->elements, sizeof *zeroed);
        sonde__net_export(p->whole, weights, i, plain);
        for (size_t r = 0; r < slice.row_count; r++) {
            const size_t at = (size_t)slice.rows[r] * row;
            if (!readers)
                memcpy(zeroed + at, plain + at, row * sizeof *plain);
            for (size_t c = 0; c < slice.column_count && readers; c++) {
                const size_t place = at + (size_t)slice.columns[c] * slice.inner;
                memcpy(zeroed + place, plain + place, slice.inner * sizeof *plain);
            }
        }
        sonde__net_import(p->whole, weights, i, zeroed);
        free(plain);
        free(zeroed);
        sonde__slice_free(p->context, &slice);
    }
    sonde__net_weights_changed(p->whole);
}

/* Ids where the network begins with a table of them, else normal numbers. */
static float *draw_input(pair *p)
{
    const sonde__graph *graph = sonde__net_graph(p->whole);
    const size_t count = BATCH * sonde__features(sonde__net_input_shape(p->whole));
    float *x = malloc(count * sizeof *x);
    bool ids = false;
    for (int i = 0; i < graph->layer_count; i++)
        ids |= graph->layers[i].op == SONDE__OP_EMBEDDING;
    for (size_t i = 0; i < count; i++)
        x[i] = ids ? (float)sonde__random_below(&p->stream, CLASSES)
                   : (float)sonde__random_normal(&p->stream);
    return x;
}

static void check_same(const float *actual, const float *expected, size_t count, const char *what)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < count; i++)
        check_close((double)actual[i], (double)expected[i], 1e-5 * largest + 1e-12, 0, what);
}

static void check_logits(pair *p, sonde__mode mode, const float *x, const char *what)
{
    const float *logits = NULL;
    const size_t count = BATCH * (size_t)sonde__net_outputs(p->whole);
    float *expected = malloc(count * sizeof *expected);
    check_ok(p->context, sonde__net_forward(p->whole, mode, x, BATCH, 0, &logits));
    memcpy(expected, logits, count * sizeof *expected);
    check_ok(p->context, sonde__net_forward(p->part, mode, x, BATCH, 0, &logits));
    check_same(logits, expected, count, what);
    free(expected);
}

/* --- architectures ------------------------------------------------------------------------------ */

/* Architectures that are no more than others with more of the same, too large for a fast test. */
static bool is_slow(const char *name)
{
    static const char *const slow[] = {"resnet32", "resnet44", "resnet34", "vgg16",
                                       "lenet",    "nn1",      "nn2",      "mini-alexnet"};
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++)
        if (strcmp(name, slow[i]) == 0)
            return true;
    return false;
}

static void check_architecture(const char *spec, sonde__shape input)
{
    sonde_context *context = check_context();
    sonde__graph *graph = NULL;
    check_ok(context, sonde__arch_build(context, spec, input, CLASSES, 0, &graph));
    pair p = make_pair(context, graph, 11, 0.5);
    if (p.removed == 0)
        fail_msg("%s has nothing to prune", spec);
    zero_removed(&p, false);
    float *x = draw_input(&p);
    check_logits(&p, SONDE__EVAL, x, spec);
    free(x);
    free_pair(&p);
    sonde_context_free(context);
}

static void every_architecture_computes_what_it_does_with_zeroed_channels(void **state)
{
    (void)state;
    const sonde__arch_info *info;
    for (int i = 0; (info = sonde__arch(i)) != NULL; i++) {
        if (is_slow(info->name))
            continue;
        const bool text = strncmp(info->name, "gpt", 3) == 0;
        check_architecture(info->name, text ? (sonde__shape){1, 1, 16} : (sonde__shape){3, 32, 32});
    }
    check_architecture("resnet8:option=B", (sonde__shape){3, 16, 16});
}

static sonde__graph *small_resnet(sonde_context *context)
{
    sonde__graph *graph = NULL;
    check_ok(context,
             sonde__arch_build(context, "resnet8", (sonde__shape){3, 8, 8}, CLASSES, 0, &graph));
    return graph;
}

/* Option A loses channels unevenly, so that its zeros are no longer half in front. */
static void gradients_of_what_stays_are_those_of_the_whole_network(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    pair p = make_pair(context, small_resnet(context), 12, 0.4);
    zero_removed(&p, false);
    float *x = draw_input(&p), *dlogits = malloc(BATCH * CLASSES * sizeof *dlogits);
    for (int i = 0; i < BATCH * CLASSES; i++)
        dlogits[i] = (float)sonde__random_normal(&p.stream);
    check_logits(&p, SONDE__TRAIN, x, "logits in training");
    check_ok(context, sonde__net_backward(p.part, dlogits));
    const float *logits;
    check_ok(context, sonde__net_forward(p.whole, SONDE__TRAIN, x, BATCH, 0, &logits));
    check_ok(context, sonde__net_backward(p.whole, dlogits));
    for (int i = 0; i < sonde__net_parameter_count(p.whole); i++) {
        const size_t elements = sonde__net_parameter(p.whole, i)->elements;
        const size_t fewer = sonde__net_parameter(p.part, i)->elements;
        if (sonde__net_parameter(p.whole, i)->length == 0)
            continue;
        float *plain = malloc(3 * elements * sizeof *plain);
        sonde__slice slice;
        sonde__net_export(p.whole, sonde__net_gradients(p.whole, &(size_t){0}), i, plain);
        sonde__net_export(p.part, sonde__net_gradients(p.part, &(size_t){0}), i, plain + elements);
        check_ok(context, sonde__slice_of(&p.channels, p.kept, i, &slice));
        sonde__slice_copy(&slice, plain, plain + 2 * elements);
        double largest = 0;
        for (size_t k = 0; k < elements; k++)
            largest = fmax(largest, fabs((double)plain[k]));
        for (size_t k = 0; k < fewer; k++)
            check_close((double)plain[elements + k], (double)plain[2 * elements + k],
                        2e-4 * largest + 1e-6, 0, sonde__net_parameter(p.whole, i)->name);
        sonde__slice_free(context, &slice);
        free(plain);
    }
    free(x);
    free(dlogits);
    free_pair(&p);
    sonde_context_free(context);
}

static void a_shortcut_pads_as_many_channels_in_front_as_are_left_there(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__graph *graph = small_resnet(context), *pruned = NULL;
    sonde__channels channels;
    check_ok(context, sonde__channels_find(context, graph, &channels));
    bool *kept = malloc((size_t)channels.unit_count * sizeof *kept);
    memset(kept, 1, (size_t)channels.unit_count * sizeof *kept);
    int pad = 0;
    while (graph->layers[pad].op != SONDE__OP_SHORTCUT_PAD)
        pad++;
    const int *unit = sonde__channels_of(&channels, pad);
    kept[unit[0]] = kept[unit[1]] = kept[unit[2]] = kept[unit[31]] = kept[unit[9]] = false;
    check_ok(context, sonde__prune_graph(&channels, kept, &pruned));
    assert_int_equal(graph->layers[pad].front, 8);
    assert_int_equal(pruned->layers[pad].front, 5);
    assert_int_equal(pruned->layers[pad].shape.channels, 27);
    assert_int_equal(pruned->layers[pruned->layers[pad].inputs[0]].shape.channels, 15);
    free(kept);
    sonde__channels_free(&channels);
    sonde__graph_free(graph);
    sonde__graph_free(pruned);
    sonde_context_free(context);
}

/* --- random graphs ------------------------------------------------------------------------------ */

static void random_graphs_compute_what_they_do_with_zeroed_channels(void **state)
{
    (void)state;
    int removed = 0;
    for (uint64_t number = 0; number < RANDOM_GRAPHS; number++) {
        char what[40];
        sonde_context *context = check_context();
        pair p = make_pair(context, random_graph(context, number), number, 0.4);
        snprintf(what, sizeof what, "random graph %d", (int)number);
        zero_removed(&p, true);
        float *x = draw_input(&p);
        check_logits(&p, SONDE__EVAL, x, what);
        removed += p.removed > 0;
        free(x);
        free_pair(&p);
        sonde_context_free(context);
    }
    assert_true(removed > RANDOM_GRAPHS / 4);
}

/* --- what cannot be done ------------------------------------------------------------------------ */

static void nothing_removed_is_a_copy(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    pair p = make_pair(context, small_resnet(context), 3, 0);
    assert_int_equal(p.removed, 0);
    for (int i = 0; i < sonde__net_parameter_count(p.whole); i++) {
        const sonde__parameter *a = sonde__net_parameter(p.whole, i);
        const sonde__parameter *b = sonde__net_parameter(p.part, i);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->elements, b->elements);
        assert_memory_equal(a->shape, b->shape, (size_t)a->dims * sizeof a->shape[0]);
    }
    free_pair(&p);
    sonde_context_free(context);
}

static void a_layer_that_may_not_lose_what_it_lost_is_named(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__graph *graph = small_resnet(context), *pruned = NULL;
    sonde__channels channels;
    check_ok(context, sonde__channels_find(context, graph, &channels));
    bool *kept = malloc((size_t)channels.unit_count * sizeof *kept);
    memset(kept, 1, (size_t)channels.unit_count * sizeof *kept);
    kept[sonde__channels_of(&channels, graph->head)[2]] = false;
    check_status(sonde__prune_graph(&channels, kept, &pruned), SONDE_ERROR_SHAPE);
    assert_string_equal(sonde_context_error(context)->item, "linear");
    for (int u = 0; u < channels.unit_count; u++)
        kept[u] = channels.frozen[u];
    check_status(sonde__prune_graph(&channels, kept, &pruned), SONDE_ERROR_SHAPE);
    assert_string_equal(sonde_context_error(context)->item, "conv1");
    free(kept);
    sonde__channels_free(&channels);
    sonde__graph_free(graph);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture_computes_what_it_does_with_zeroed_channels),
        cmocka_unit_test(gradients_of_what_stays_are_those_of_the_whole_network),
        cmocka_unit_test(a_shortcut_pads_as_many_channels_in_front_as_are_left_there),
        cmocka_unit_test(random_graphs_compute_what_they_do_with_zeroed_channels),
        cmocka_unit_test(nothing_removed_is_a_copy),
        cmocka_unit_test(a_layer_that_may_not_lose_what_it_lost_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
