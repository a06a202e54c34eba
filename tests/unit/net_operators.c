/*
 * Every operator, forward and backward, against values recorded from PyTorch in double precision
 * (tests/golden) and against central differences of the engine's own forward pass; whole networks,
 * a short training run and the losses against recorded values.
 *
 * Tolerances: recorded values 1e-5 of the tensor's largest magnitude (a case may name another one),
 * and 1e-6 of the case's largest gradient where gradients cancel; central differences 1e-2.
 */
#include "check.h"
#include "golden.h"

#include "net/loss.h"
#include "net/net.h"

typedef struct fixture {
    sonde_context *context;
    const golden_case *golden;
    sonde__net *net;
    float *x, *r, *input_gradient, *plain;
    size_t inputs, outputs; /* of the whole batch */
} fixture;

static float *floats(size_t count)
{
    float *values = calloc(count ? count : 1, sizeof *values);
    assert_non_null(values);
    return values;
}

static float *filled(const golden_case *c, const char *tensor, size_t count)
{
    float *values = floats(count);
    golden_fill(golden_find_setting(c, tensor), count, values);
    return values;
}

static void load_parameters(fixture *f)
{
    size_t count;
    float *weights = sonde__net_weights(f->net, &count);
    for (int i = 0; i < sonde__net_parameter_count(f->net); i++) {
        const sonde__parameter *p = sonde__net_parameter(f->net, i);
        float *plain = filled(f->golden, p->name, p->elements);
        sonde__net_import(f->net, weights, i, plain);
        free(plain);
    }
    sonde__net_weights_changed(f->net);
}

static size_t largest_parameter(const sonde__net *net)
{
    size_t largest = 1;
    for (int i = 0; i < sonde__net_parameter_count(net); i++)
        if (sonde__net_parameter(net, i)->elements > largest)
            largest = sonde__net_parameter(net, i)->elements;
    return largest;
}

static void open_fixture(fixture *f, const golden_case *c, int threads, bool winograd)
{
    memset(f, 0, sizeof *f);
    f->context = check_context();
    f->golden = c;
    sonde__net_options const options = {
        .threads = threads, .max_batch = c->batch + 3, .seed = 1, .winograd = winograd};
    check_ok(f->context,
             sonde__net_create(f->context, golden_graph(f->context, c), &options, &f->net));
    size_t const batch = (size_t)c->batch;
    f->inputs =
        batch * (size_t)c->input.channels * (size_t)c->input.height * (size_t)c->input.width;
    f->outputs = batch * (size_t)sonde__net_outputs(f->net);
    f->x = filled(c, "input", f->inputs);
    f->input_gradient = floats(f->inputs);
    f->plain = floats(largest_parameter(f->net));
    if (c->train && !c->steps) {
        f->r = filled(c, "r", f->outputs);
        sonde__net_want_input_gradient(f->net, f->input_gradient);
    }
    load_parameters(f);
}

static void close_fixture(fixture *f)
{
    sonde__net_free(f->net);
    sonde_context_free(f->context);
    free(f->x);
    free(f->r);
    free(f->input_gradient);
    free(f->plain);
}

static const float *run_forward(fixture *f)
{
    const float *logits = NULL;
    check_ok(f->context, sonde__net_forward(f->net, f->golden->train ? SONDE__TRAIN : SONDE__EVAL,
                                            f->x, f->golden->batch, 0, &logits));
    return logits;
}

static bool is_buffer(const sonde__parameter *p)
{
    return p->role == SONDE__ROLE_RUNNING_MEAN || p->role == SONDE__ROLE_RUNNING_VARIANCE;
}

/* 1e-6 of the largest gradient of the case, and never below float's precision at 1: what may be left
 * where gradients cancel to zero. */
static double gradient_floor(const golden_case *c)
{
    double largest = 0;
    for (int i = 0; i < c->expected_count; i++)
        if (strncmp(c->expected[i].tensor, "gradient:", 9) == 0)
            largest = fmax(largest, c->expected[i].largest);
    return fmax(1e-6 * largest, 1e-7);
}

static void compare_parameters(fixture *f, const float *gradients, double relative)
{
    char name[2 * GOLDEN_NAME];
    for (int i = 0; i < sonde__net_parameter_count(f->net); i++) {
        const sonde__parameter *p = sonde__net_parameter(f->net, i);
        snprintf(name, sizeof name, "%s:%s", is_buffer(p) ? "after" : "gradient", p->name);
        assert_int_equal(golden_find(f->golden, name)->count, p->elements);
        sonde__net_export(f->net, gradients, i, f->plain);
        golden_compare(f->golden, name, f->plain, relative,
                       is_buffer(p) ? 1e-7 : gradient_floor(f->golden));
    }
}

static void check_recorded(const golden_case *c, int threads, bool winograd)
{
    fixture f;
    double const relative = winograd ? 10 * c->tolerance : c->tolerance;
    open_fixture(&f, c, threads, winograd);
    assert_int_equal(f.outputs, golden_find(c, "output")->count);
    golden_compare(c, "output", run_forward(&f), relative, 0);
    if (c->train) {
        size_t count;
        check_ok(f.context, sonde__net_backward(f.net, f.r));
        const float *gradients = sonde__net_gradients(f.net, &count);
        golden_compare(c, "gradient:input", f.input_gradient, relative, gradient_floor(c));
        compare_parameters(&f, gradients, relative);
        /* the arena is used again: a second pass must find nothing of the first */
        float *first = floats(count);
        memcpy(first, gradients, count * sizeof *first);
        run_forward(&f);
        check_ok(f.context, sonde__net_backward(f.net, f.r));
        assert_memory_equal(first, sonde__net_gradients(f.net, &count), count * sizeof *first);
        free(first);
    }
    close_fixture(&f);
}

static void check_file(const char *name, int threads, bool winograd)
{
    FILE *file = golden_open(name);
    for (golden_case *c; (c = golden_next(file)) != NULL; golden_free(c))
        check_recorded(c, threads, winograd);
    fclose(file);
}

/* sum(output * r), what the recorded gradients are of. */
static double objective(fixture *f)
{
    double sum = 0;
    const float *logits = run_forward(f);
    for (size_t i = 0; i < f->outputs; i++)
        sum += (double)logits[i] * (double)f->r[i];
    return sum;
}

static void put_back(fixture *f, int parameter, const float *plain)
{
    size_t count;
    if (parameter < 0)
        return;
    sonde__net_import(f->net, sonde__net_weights(f->net, &count), parameter, plain);
    sonde__net_weights_changed(f->net);
}

/* Central difference at values[i]; parameter -1: the values are the input's. */
static double slope(fixture *f, int parameter, float *values, size_t i, float h)
{
    float const kept = values[i];
    values[i] = kept + h;
    double const above = (double)values[i];
    put_back(f, parameter, values);
    double const up = objective(f);
    values[i] = kept - h;
    double const below = (double)values[i];
    put_back(f, parameter, values);
    double const down = objective(f);
    values[i] = kept;
    put_back(f, parameter, values);
    return (up - down) / (above - below);
}

typedef struct tally {
    int checked, at_kinks;
} tally;

enum { COORDINATES = 6 };

/*
 * A few coordinates of one tensor. Where the slopes over h and h / 4 differ, a kink (ReLU, maximum)
 * lies within h: left out, and counted.
 */
static void check_slopes(fixture *f, int parameter, float *values, const float *gradient,
                         size_t count, tally *t)
{
    float const h = 1.0f / 256;
    double largest = 1e4 * gradient_floor(f->golden);
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)gradient[i]));
    size_t const step = count / COORDINATES + 1;
    for (size_t i = count / 3 % step; i < count; i += step) {
        double const wide = slope(f, parameter, values, i, h);
        double const narrow = slope(f, parameter, values, i, h / 4);
        t->checked++;
        if (fabs(wide - narrow) > 4e-3 * largest)
            t->at_kinks++;
        else if (fabs(narrow - (double)gradient[i]) > 1e-2 * largest)
            fail_msg("%s: %s[%zu]: gradient %.6g, difference %.6g, largest %.3g", f->golden->name,
                     parameter < 0 ? "input" : sonde__net_parameter(f->net, parameter)->name, i,
                     (double)gradient[i], narrow, largest);
    }
}

/* The recorded values lie on a grid, where exact zeros and ties are common: kinks. */
static void leave_the_grid(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] += 0.0625f * ((float)golden_draw(77, i) / 255 - 0.5f);
}

static void check_derivatives(const golden_case *c, tally *t)
{
    fixture f;
    size_t count;
    open_fixture(&f, c, 1, false);
    leave_the_grid(f.x, f.inputs);
    objective(&f);
    check_ok(f.context, sonde__net_backward(f.net, f.r));
    float *input_gradient = floats(f.inputs);
    memcpy(input_gradient, f.input_gradient, f.inputs * sizeof *input_gradient);
    float *gradients = floats((sonde__net_gradients(f.net, &count), count));
    memcpy(gradients, sonde__net_gradients(f.net, &count), count * sizeof *gradients);
    check_slopes(&f, -1, f.x, input_gradient, f.inputs, t);
    for (int i = 0; i < sonde__net_parameter_count(f.net); i++) {
        const sonde__parameter *p = sonde__net_parameter(f.net, i);
        if (is_buffer(p))
            continue;
        float *values = filled(c, p->name, p->elements);
        sonde__net_export(f.net, gradients, i, f.plain);
        check_slopes(&f, i, values, f.plain, p->elements, t);
        free(values);
    }
    free(input_gradient);
    free(gradients);
    close_fixture(&f);
}

static void check_file_derivatives(const char *name)
{
    tally t = {0, 0};
    FILE *file = golden_open(name);
    for (golden_case *c; (c = golden_next(file)) != NULL; golden_free(c))
        if (c->train)
            check_derivatives(c, &t);
    fclose(file);
    if (t.checked < 20 || 5 * t.at_kinks > t.checked)
        fail_msg("%s: %d of %d coordinates lie at kinks", name, t.at_kinks, t.checked);
}

#define FILE_TESTS(name) \
    static void test_##name##_matches_the_recorded_values(void **state) \
    { \
        (void)state; \
        check_file(#name, 1, false); \
        check_file(#name, 2, false); \
    } \
    static void test_##name##_gradients_are_central_differences(void **state) \
    { \
        (void)state; \
        check_file_derivatives(#name); \
    }

FILE_TESTS(convolution)
FILE_TESTS(linear)
FILE_TESTS(norm)
FILE_TESTS(activation)
FILE_TESTS(pool)
FILE_TESTS(shape)
FILE_TESTS(token)

static void test_embeddings_match_the_recorded_values(void **state)
{
    (void)state;
    check_file("embedding", 1, false);
    check_file("embedding", 2, false);
}

static void test_convolution_by_winograd_is_close_to_the_recorded_values(void **state)
{
    (void)state;
    check_file("convolution", 2, true);
}

static void test_whole_networks_match_the_recorded_values(void **state)
{
    (void)state;
    check_file("network", 2, false);
    check_file("network", 1, true);
    check_file("architecture", 1, false);
}

/* make_nb201.py: by zero-cost-nas' own code. */
static void test_cells_of_nas_bench_201_match_the_recorded_values(void **state)
{
    (void)state;
    check_file("nb201", 1, false);
    check_file("nb201", 2, false);
}

/* One step of SGD as PyTorch does it, over the flat arrays. Returns the loss. */
static double train_step(fixture *f, int step, float *velocity)
{
    const golden_case *c = f->golden;
    golden_setting input = *golden_find_setting(c, "input");
    input.seed += (uint32_t)step;
    golden_fill(&input, f->inputs, f->x);
    int32_t labels[64];
    size_t const classes = (size_t)sonde__net_outputs(f->net);
    golden_fill_labels(c->label_seed + (uint32_t)step, (size_t)c->batch, (int)classes, labels);
    const float *logits = run_forward(f);
    float *gradient = floats(f->outputs);
    double const loss =
        sonde__loss_cross_entropy(logits, labels, (size_t)c->batch, classes, 0, NULL, gradient);
    check_ok(f->context, sonde__net_backward(f->net, gradient));
    free(gradient);
    size_t count;
    float *w = sonde__net_weights(f->net, &count);
    const float *g = sonde__net_gradients(f->net, &count);
    for (size_t i = 0; i < count; i++) {
        velocity[i] =
            (float)(c->momentum * (double)velocity[i] + (double)g[i] + c->decay * (double)w[i]);
        w[i] -= (float)(c->rate * (double)velocity[i]);
    }
    sonde__net_weights_changed(f->net);
    return loss;
}

static void test_three_steps_of_training_follow_the_recorded_ones(void **state)
{
    (void)state;
    FILE *file = golden_open("trajectory");
    golden_case *c = golden_next(file);
    assert_non_null(c);
    fixture f;
    size_t count;
    open_fixture(&f, c, 2, false);
    float *velocity = floats((sonde__net_weights(f.net, &count), count));
    const golden_expected *losses = golden_find(c, "losses");
    for (int step = 0; step < c->steps; step++)
        check_close(train_step(&f, step, velocity), losses->values[step], 0, 1e-5, "loss");
    for (int i = 0; i < sonde__net_parameter_count(f.net); i++) {
        char name[2 * GOLDEN_NAME];
        snprintf(name, sizeof name, "after:%s", sonde__net_parameter(f.net, i)->name);
        sonde__net_export(f.net, sonde__net_weights(f.net, &count), i, f.plain);
        golden_compare(c, name, f.plain, 1e-4, 1e-6);
    }
    free(velocity);
    close_fixture(&f);
    golden_free(c);
    fclose(file);
}

static double run_loss(const golden_case *c, const float *z, float *losses, float *gradient)
{
    size_t const n = (size_t)c->batch, classes = (size_t)c->classes;
    float *t = filled(c, "targets", n * classes);
    int32_t labels[64];
    double mean = NAN;
    golden_fill_labels(golden_find_setting(c, "labels")->seed, n, c->classes, labels);
    if (strcmp(c->loss, "cross_entropy") == 0)
        mean = sonde__loss_cross_entropy(z, labels, n, classes, c->smoothing, losses, gradient);
    else if (strcmp(c->loss, "cross_entropy_soft") == 0)
        mean = sonde__loss_cross_entropy_soft(z, t, n, classes, losses, gradient);
    else if (strcmp(c->loss, "squared") == 0)
        mean = sonde__loss_squared(z, t, n, classes, losses, gradient);
    else if (strcmp(c->loss, "sigmoid") == 0)
        mean = sonde__loss_sigmoid(z, t, n, classes, losses, gradient);
    free(t);
    return mean;
}

static void test_losses_of_each_example_match_the_recorded_values(void **state)
{
    (void)state;
    FILE *file = golden_open("loss");
    for (golden_case *c; (c = golden_next(file)) != NULL; golden_free(c)) {
        size_t const n = (size_t)c->batch, all = n * (size_t)c->classes;
        float *z = filled(c, "logits", all), *losses = floats(n), *gradient = floats(all);
        double const mean = run_loss(c, z, losses, gradient);
        check_close(mean, golden_find(c, "mean")->values[0], 1e-9, 1e-6, c->name);
        golden_compare(c, "losses", losses, 1e-6, 1e-9);
        golden_compare(c, "gradient:logits", gradient, 1e-6, 1e-9);
        free(z);
        free(losses);
        free(gradient);
    }
    fclose(file);
}

enum { DROP_BATCH = 16, DROP_FEATURES = 1000 };

static sonde__net *dropout_net(sonde_context *context, double rate)
{
    sonde__graph *graph = NULL;
    sonde__net *net = NULL;
    check_ok(context, sonde__graph_create(context, &graph));
    sonde__node x = sonde__graph_input(graph, (sonde__shape){DROP_FEATURES, 1, 1});
    check_ok(context, sonde__graph_finish(graph, sonde__graph_dropout(graph, x, rate)));
    sonde__net_options const options = {.threads = 1, .max_batch = DROP_BATCH, .seed = 7};
    check_ok(context, sonde__net_create(context, graph, &options, &net));
    return net;
}

static void copy_forward(sonde_context *context, sonde__net *net, sonde__mode mode, uint64_t step,
                         float *to)
{
    float *ones = floats(DROP_BATCH * DROP_FEATURES);
    for (int i = 0; i < DROP_BATCH * DROP_FEATURES; i++)
        ones[i] = 1;
    const float *logits = NULL;
    check_ok(context, sonde__net_forward(net, mode, ones, DROP_BATCH, step, &logits));
    memcpy(to, logits, DROP_BATCH * DROP_FEATURES * sizeof *to);
    free(ones);
}

static void test_dropout_drops_its_rate_and_scales_what_is_kept(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    double const rates[] = {0.1, 0.5, 0.9};
    for (size_t k = 0; k < 3; k++) {
        sonde__net *net = dropout_net(context, rates[k]);
        float *y = floats(DROP_BATCH * DROP_FEATURES), *other = floats(DROP_BATCH * DROP_FEATURES);
        copy_forward(context, net, SONDE__TRAIN, 3, y);
        int kept = 0, columns_equal = 0;
        for (int i = 0; i < DROP_BATCH * DROP_FEATURES; i++) {
            if (y[i] == 0)
                continue;
            check_close((double)y[i], 1 / (1 - rates[k]), 0, 1e-6, "kept value");
            kept++;
        }
        /* 16,000 draws: five standard deviations */
        double const n = DROP_BATCH * DROP_FEATURES;
        check_close(kept / n, 1 - rates[k], 5 * sqrt(rates[k] * (1 - rates[k]) / n), 0, "share");
        for (int i = 0; i < DROP_FEATURES; i++)
            columns_equal += (y[i] == y[DROP_FEATURES + i]);
        assert_true(columns_equal < DROP_FEATURES); /* examples draw for themselves */

        copy_forward(context, net, SONDE__TRAIN, 3, other);
        assert_memory_equal(y, other, DROP_BATCH * DROP_FEATURES * sizeof *y);
        copy_forward(context, net, SONDE__TRAIN, 4, other);
        assert_memory_not_equal(y, other, DROP_BATCH * DROP_FEATURES * sizeof *y);
        copy_forward(context, net, SONDE__EVAL, 3, other);
        for (int i = 0; i < DROP_BATCH * DROP_FEATURES; i++)
            assert_true(other[i] == 1);
        free(y);
        free(other);
        sonde__net_free(net);
    }
    sonde_context_free(context);
}

/* The output is linear in the input, so the gradient of sum(output) at ones is the output. */
static void test_dropout_passes_gradients_where_it_passed_values(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = dropout_net(context, 0.25);
    float *y = floats(DROP_BATCH * DROP_FEATURES), *g = floats(DROP_BATCH * DROP_FEATURES);
    float *ones = floats(DROP_BATCH * DROP_FEATURES);
    for (int i = 0; i < DROP_BATCH * DROP_FEATURES; i++)
        ones[i] = 1;
    sonde__net_want_input_gradient(net, g);
    copy_forward(context, net, SONDE__TRAIN, 11, y);
    check_ok(context, sonde__net_backward(net, ones));
    assert_memory_equal(y, g, DROP_BATCH * DROP_FEATURES * sizeof *y);
    sonde__net_free(net);
    free(y);
    free(g);
    free(ones);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution_matches_the_recorded_values),
        cmocka_unit_test(test_linear_matches_the_recorded_values),
        cmocka_unit_test(test_norm_matches_the_recorded_values),
        cmocka_unit_test(test_activation_matches_the_recorded_values),
        cmocka_unit_test(test_pool_matches_the_recorded_values),
        cmocka_unit_test(test_shape_matches_the_recorded_values),
        cmocka_unit_test(test_convolution_by_winograd_is_close_to_the_recorded_values),
        cmocka_unit_test(test_whole_networks_match_the_recorded_values),
        cmocka_unit_test(test_cells_of_nas_bench_201_match_the_recorded_values),
        cmocka_unit_test(test_three_steps_of_training_follow_the_recorded_ones),
        cmocka_unit_test(test_losses_of_each_example_match_the_recorded_values),
        cmocka_unit_test(test_dropout_drops_its_rate_and_scales_what_is_kept),
        cmocka_unit_test(test_dropout_passes_gradients_where_it_passed_values),
        cmocka_unit_test(test_convolution_gradients_are_central_differences),
        cmocka_unit_test(test_linear_gradients_are_central_differences),
        cmocka_unit_test(test_norm_gradients_are_central_differences),
        cmocka_unit_test(test_activation_gradients_are_central_differences),
        cmocka_unit_test(test_pool_gradients_are_central_differences),
        cmocka_unit_test(test_shape_gradients_are_central_differences),
        cmocka_unit_test(test_token_matches_the_recorded_values),
        cmocka_unit_test(test_token_gradients_are_central_differences),
        cmocka_unit_test(test_embeddings_match_the_recorded_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
