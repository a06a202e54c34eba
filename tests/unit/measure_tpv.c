/*
 * TPV of networks against facts that need none of its code: linear models have closed forms, small
 * noise must agree with the trace, label noise with the hat matrix, SGD with a recursion by hand.
 */
#include "check.h"

#include "base/random.h"
#include "measure/tpv.h"
#include "net/arch.h"

/* ---- networks and inputs ---- */

static sonde__net *linear_net(sonde_context *context, int in, int out, int batch)
{
    sonde__graph *graph;
    sonde__net *net;
    sonde__net_options options = {.threads = 1, .max_batch = batch, .seed = 3, .study = true};
    check_ok(context, sonde__graph_create(context, &graph));
    sonde__node x = sonde__graph_input(graph, (sonde__shape){in, 1, 1});
    check_ok(context, sonde__graph_finish(graph, sonde__graph_linear(graph, "fc", x, out, true)));
    check_ok(context, sonde__net_create(context, graph, &options, &net));
    return net;
}

static sonde__net *named_net(sonde_context *context, const char *model, sonde__shape input,
                             int classes, int batch)
{
    sonde__graph *graph;
    sonde__net *net;
    sonde__net_options options = {.threads = 1, .max_batch = batch, .seed = 3, .study = true};
    check_ok(context, sonde__arch_build(context, model, input, classes, 0, &graph));
    check_ok(context, sonde__net_create(context, graph, &options, &net));
    return net;
}

static float *normal_inputs(size_t n, size_t features, uint64_t which)
{
    float *x = malloc(n * features * sizeof *x);
    sonde__stream stream = sonde__stream_open(5, SONDE__RANDOM_TEST, which);
    for (size_t i = 0; i < n * features; i++)
        x[i] = (float)sonde__random_normal(&stream);
    return x;
}

static double mean_square_norm(const float *x, size_t n, size_t features)
{
    double sum = 0;
    for (size_t i = 0; i < n * features; i++)
        sum += (double)x[i] * (double)x[i];
    return sum / (double)n;
}

static sonde__tpv_options with_plan(sonde__tpv_plan *plan, const char *text)
{
    sonde_context *context = check_context();
    sonde__tpv_options options;
    int count;
    sonde__tpv_plan plans[SONDE__TPV_PLANS_MAX];
    sonde__tpv_options_init(&options);
    check_ok(context, sonde__tpv_plans_read(context, text, plans, &count));
    assert_int_equal(count, 1);
    *plan = plans[0];
    options.plans = plan;
    options.plan_count = 1;
    options.empirical = true;
    sonde_context_free(context);
    return options;
}

static const sonde__tpv_row *row_of(const sonde__tpv_report *report, sonde__tpv_form form)
{
    for (int i = 0; i < report->row_count; i++)
        if (report->rows[i].form == form)
            return &report->rows[i];
    fail_msg("there is no row \"%s\"", sonde__tpv_form_name(form));
    return NULL;
}

/* ---- traces ---- */

enum { IN = 6, OUT = 3, N = 50, M = 20 };

static void a_linear_model_s_trace_is_the_inputs_mean_square(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = linear_net(context, IN, OUT, 16);
    float *x = normal_inputs(N, IN, 0), *y = normal_inputs(M, IN, 1);
    sonde__tpv_inputs train = {.x = x, .n = N}, test = {.x = y, .n = M};
    sonde__tpv_options options;
    sonde__tpv_report report;
    sonde__tpv_options_init(&options);
    options.batch = 16;
    check_ok(context, sonde__measure_tpv(context, net, &train, &test, &options, &report));
    assert_int_equal(report.draws, 0);
    assert_int_equal(report.parameters, OUT * (IN + 1));
    check_close(report.train.value, OUT * mean_square_norm(x, N, IN) + OUT, 0, 1e-6, "train");
    check_close(report.test.value, OUT * mean_square_norm(y, M, IN) + OUT, 0, 1e-6, "test");
    check_close(report.ratio, report.train.value / report.test.value, 0, 1e-12, "ratio");
    assert_int_equal(report.layer_count, 1);
    assert_string_equal(report.layers[0].name, "fc");
    check_close(report.layers[0].train.value, report.train.value, 0, 1e-12, "the one layer");
    sonde__tpv_report_free(&report);
    sonde__net_free(net);
    free(x);
    free(y);
    sonde_context_free(context);
}

/* Sum of squared derivatives of all outputs by all weights, by central differences in float. */
static double trace_by_differences(sonde_context *context, sonde__net *net, const float *x,
                                   size_t n)
{
    const size_t outputs = (size_t)sonde__net_outputs(net);
    const float h = 1e-3F;
    size_t count;
    float *weights = sonde__net_weights(net, &count), *plain = malloc(count * sizeof *plain);
    double *low = malloc(n * outputs * sizeof *low), sum = 0;
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        for (size_t j = 0; parameter->length > 0 && j < parameter->elements; j++) {
            const float *logits;
            for (int side = -1; side <= 1; side += 2) {
                sonde__net_export(net, weights, i, plain);
                const float before = plain[j];
                plain[j] = before + (float)side * h;
                sonde__net_import(net, weights, i, plain);
                sonde__net_weights_changed(net);
                check_ok(context, sonde__net_forward(net, SONDE__EVAL, x, (int)n, 0, &logits));
                for (size_t k = 0; k < n * outputs; k++) {
                    const double d = ((double)logits[k] - low[k]) / (2 * (double)h);
                    sum += side > 0 ? d * d : 0;
                    low[k] = (double)logits[k];
                }
                plain[j] = before;
                sonde__net_import(net, weights, i, plain);
            }
        }
    }
    sonde__net_weights_changed(net);
    free(plain);
    free(low);
    return sum / (double)n;
}

static void the_trace_of_a_network_is_that_of_finite_differences(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = named_net(context, "mlp:widths=7x5", (sonde__shape){IN, 1, 1}, 2, 16);
    float *x = normal_inputs(9, IN, 2);
    sonde__tpv_inputs train = {.x = x, .n = 9};
    sonde__tpv_options options;
    sonde_estimate trace;
    sonde__tpv_options_init(&options);
    options.batch = 4;
    check_ok(context, sonde__measure_tpv_trace(context, net, &train, &options, &trace));
    check_close(trace.value, trace_by_differences(context, net, x, 9), 0, 5e-3, "trace");
    sonde__net_free(net);
    free(x);
    sonde_context_free(context);
}

static void random_signs_agree_with_the_exact_sum(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = named_net(context, "mlp:widths=16", (sonde__shape){IN, 1, 1}, 8, 64);
    float *x = normal_inputs(400, IN, 3);
    sonde__tpv_inputs train = {.x = x, .n = 400};
    sonde__tpv_options options;
    sonde_estimate exact, drawn, again;
    sonde__tpv_options_init(&options);
    options.batch = 64;
    check_ok(context, sonde__measure_tpv_trace(context, net, &train, &options, &exact));
    options.draws = 2;
    check_ok(context, sonde__measure_tpv_trace(context, net, &train, &options, &drawn));
    check_close(drawn.value, exact.value, 4 * drawn.standard_error, 0, "drawn");
    assert_true(drawn.value != exact.value);
    assert_true(drawn.standard_error > exact.standard_error);
    options.batch = 7; /* signs belong to inputs, not to batches */
    check_ok(context, sonde__measure_tpv_trace(context, net, &train, &options, &again));
    check_close(again.value, drawn.value, 0, 1e-5, "the same signs in other batches");
    sonde__net_free(net);
    free(x);
    sonde_context_free(context);
}

/* ---- drawn noise ---- */

static void quantization_of_a_linear_model_is_exactly_the_trace_form(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = linear_net(context, IN, OUT, 64);
    float *x = normal_inputs(N, IN, 0);
    sonde__tpv_inputs train = {.x = x, .n = N};
    sonde__tpv_plan plan;
    sonde__tpv_options options = with_plan(&plan, "quant:4:runs=400");
    sonde__tpv_report report;
    size_t count;
    float plain[OUT * IN], bias[OUT];
    sonde__net_export(net, sonde__net_weights(net, &count), 0, plain);
    sonde__net_export(net, sonde__net_weights(net, &count), 1, bias);
    double low = (double)plain[0], high = low, low_bias = (double)bias[0], high_bias = low_bias;
    for (int i = 0; i < OUT * IN; i++) {
        low = fmin(low, (double)plain[i]);
        high = fmax(high, (double)plain[i]);
    }
    for (int i = 0; i < OUT; i++) {
        low_bias = fmin(low_bias, (double)bias[i]);
        high_bias = fmax(high_bias, (double)bias[i]);
    }
    check_ok(context, sonde__measure_tpv(context, net, &train, NULL, &options, &report));

    const double squares = OUT * mean_square_norm(x, N, IN);
    const double step = (fmax(high, high_bias) - fmin(low, low_bias)) / 15;
    const double own = (high - low) / 15, own_bias = (high_bias - low_bias) / 15;
    check_close(row_of(&report, SONDE__TPV_TRACE)->train.value, step * step / 12 * (squares + OUT),
                0, 1e-5, "trace");
    check_close(row_of(&report, SONDE__TPV_TRACE_PER_TENSOR)->train.value,
                own * own / 12 * squares + own_bias * own_bias / 12 * OUT, 0, 1e-5, "per tensor");
    const sonde__tpv_row *drawn = row_of(&report, SONDE__TPV_EMPIRICAL);
    assert_int_equal(drawn->draws, 400);
    assert_int_equal(drawn->test.validity, SONDE_NOT_MEASURED);
    check_close(drawn->train.value, row_of(&report, SONDE__TPV_TRACE)->train.value,
                4 * drawn->train.standard_error, 0, "empirical");
    assert_true(drawn->train.standard_error < 0.3 * drawn->train.value);
    assert_int_equal(drawn->first_order.validity, SONDE_VALID);
    check_close(drawn->first_order.value, 0, 1e-4, 0, "first order");
    sonde__tpv_report_free(&report);
    sonde__net_free(net);
    free(x);
    sonde_context_free(context);
}

static void small_isotropic_noise_moves_outputs_by_the_trace(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = named_net(context, "mlp:widths=24x24", (sonde__shape){IN, 1, 1}, 4, 128);
    float *x = normal_inputs(100, IN, 4), *y = normal_inputs(100, IN, 5);
    sonde__tpv_inputs train = {.x = x, .n = 100}, test = {.x = y, .n = 100};
    sonde__tpv_plan plan;
    sonde__tpv_options options = with_plan(&plan, "isotropic:0.001:runs=200");
    sonde__tpv_report report;
    size_t count;
    const float *weights = sonde__net_weights(net, &count);
    float *before = malloc(count * sizeof *before);
    memcpy(before, weights, count * sizeof *before);
    check_ok(context, sonde__measure_tpv(context, net, &train, &test, &options, &report));
    const sonde__tpv_row *trace = row_of(&report, SONDE__TPV_TRACE);
    const sonde__tpv_row *drawn = row_of(&report, SONDE__TPV_EMPIRICAL);
    check_close(trace->variance, 1e-6, 0, 1e-12, "variance");
    check_close(drawn->train.value, trace->train.value, 0, 0.05, "train");
    check_close(drawn->test.value, trace->test.value, 0, 0.05, "test");
    check_close(drawn->ratio, trace->ratio, 0, 0.03, "ratio");
    assert_true(drawn->ratio_error < drawn->ratio);
    assert_true(drawn->first_order.value < 0.02);
    assert_memory_equal(before, sonde__net_weights(net, &count), count * sizeof *before);
    sonde__tpv_report_free(&report);
    sonde__net_free(net);
    free(before);
    free(x);
    free(y);
    sonde_context_free(context);
}

/* ---- training noise ---- */

/* Least squares of n inputs with d features and a bias: the hat matrix has trace d + 1. */
static void label_noise_of_a_linear_model_is_the_hat_matrix_trace(void **state)
{
    (void)state;
    enum { ROWS = 24, D = 3 };
    sonde_context *context = check_context();
    sonde__net *net = linear_net(context, D, 1, ROWS);
    float *x = normal_inputs(ROWS, D, 6);
    sonde__tpv_inputs train = {.x = x, .n = ROWS};
    sonde__tpv_plan plan;
    sonde__tpv_options options =
        with_plan(&plan, "label:0.5:runs=300:epochs=400:rate=0.05:batch=24");
    sonde__tpv_report report;
    check_ok(context, sonde__measure_tpv(context, net, &train, NULL, &options, &report));
    const sonde__tpv_row *closed = row_of(&report, SONDE__TPV_CLOSED);
    const sonde__tpv_row *tuned = row_of(&report, SONDE__TPV_EMPIRICAL);
    assert_int_equal(closed->train.validity, SONDE_VALID);
    check_close(closed->train.value, closed->variance * (D + 1) / ROWS, 0, 1e-4, "closed form");
    assert_true(tuned->variance == closed->variance);
    check_close(tuned->train.value, closed->train.value, 4 * tuned->train.standard_error, 0,
                "fine-tuning to the optimum");
    assert_true(tuned->train.standard_error < 0.15 * tuned->train.value);
    sonde__tpv_report_free(&report);
    sonde__net_free(net);
    free(x);
    sonde_context_free(context);
}

/* Full-batch SGD of y = w x + b on squared loss, and how far it has moved from its start. */
static double trajectory_by_hand(const float *x, const float *y, size_t n, double w, double b,
                                 int steps, int burn_in, int every)
{
    const double w0 = w, b0 = b, momentum = 0.9, rate = 0.01, pull = 2 * 0.1;
    double vw = 0, vb = 0, sum = 0;
    int snapshots = 0;
    for (int done = 1; done <= steps; done++) {
        double gw = 0, gb = 0, moved = 0;
        for (size_t i = 0; i < n; i++) {
            const double r = 2 * (w * (double)x[i] + b - (double)y[i]) / (double)n;
            gw += r * (double)x[i];
            gb += r;
        }
        vw = momentum * vw + gw + pull * (w - w0);
        vb = momentum * vb + gb + pull * (b - b0);
        w -= rate * vw;
        b -= rate * vb;
        if (done < burn_in || (done - burn_in) % every != 0)
            continue;
        for (size_t i = 0; i < n; i++) {
            const double d = (w - w0) * (double)x[i] + b - b0;
            moved += d * d / (double)n;
        }
        sum += moved;
        snapshots++;
    }
    return sum / snapshots;
}

static void the_trajectory_of_sgd_is_that_of_its_recursion(void **state)
{
    (void)state;
    enum { ROWS = 10 };
    sonde_context *context = check_context();
    sonde__net *net = linear_net(context, 1, 1, ROWS);
    float *x = normal_inputs(ROWS, 1, 7), *y = normal_inputs(ROWS, 1, 8);
    sonde__tpv_inputs train = {.x = x, .targets = y, .n = ROWS};
    sonde__tpv_plan plan;
    sonde__tpv_options options =
        with_plan(&plan, "sgd:0.01:batch=10:steps=60:burn-in=20:every=5:proximity=0.1:residual=3");
    sonde__tpv_report report;
    size_t count;
    float w, b;
    options.loss = SONDE_HEAD_SQUARED;
    sonde__net_export(net, sonde__net_weights(net, &count), 0, &w);
    sonde__net_export(net, sonde__net_weights(net, &count), 1, &b);
    check_ok(context, sonde__measure_tpv(context, net, &train, NULL, &options, &report));
    const sonde__tpv_row *row = row_of(&report, SONDE__TPV_EMPIRICAL);
    assert_int_equal(row->draws, 9);
    check_close(row->train.value, trajectory_by_hand(x, y, ROWS, (double)w, (double)b, 60, 20, 5),
                0, 1e-4, "trajectory");
    check_close(row_of(&report, SONDE__TPV_TRACE)->variance, 3 * 0.01 / 20, 0, 1e-9,
                "rate / (2 b)");
    sonde__tpv_report_free(&report);
    sonde__net_free(net);
    free(x);
    free(y);
    sonde_context_free(context);
}

static void the_published_convention_divides_by_the_outputs(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = linear_net(context, IN, OUT, 64);
    float *x = normal_inputs(N, IN, 0);
    int32_t labels[N];
    for (int i = 0; i < N; i++)
        labels[i] = i % OUT;
    sonde__tpv_inputs train = {.x = x, .labels = labels, .n = N};
    sonde__tpv_plan plan;
    sonde__tpv_options options = with_plan(&plan, "sgd:0.1:batch=20:steps=30:burn-in=10:every=10");
    sonde__tpv_report sum, mean;
    check_ok(context, sonde__measure_tpv(context, net, &train, NULL, &options, &sum));
    options.convention = SONDE_TPV_MEAN_OUTPUTS;
    check_ok(context, sonde__measure_tpv(context, net, &train, NULL, &options, &mean));
    const sonde__tpv_row *a = row_of(&sum, SONDE__TPV_EMPIRICAL);
    const sonde__tpv_row *b = row_of(&mean, SONDE__TPV_EMPIRICAL);
    assert_true(a->train.value > 0);
    check_close(b->train.value, a->train.value / OUT, 0, 1e-9, "mean over outputs");
    check_close(row_of(&mean, SONDE__TPV_TRACE)->train.value,
                row_of(&sum, SONDE__TPV_TRACE)->train.value, 0, 0, "the trace form stays");
    sonde__tpv_report_free(&sum);
    sonde__tpv_report_free(&mean);
    sonde__net_free(net);
    free(x);
    sonde_context_free(context);
}

/* ---- what cannot be measured ---- */

static void weights_that_are_not_numbers_have_a_name(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = linear_net(context, IN, OUT, 64);
    float *x = normal_inputs(N, IN, 0);
    float bias[OUT] = {NAN, 0, 0};
    sonde__tpv_inputs train = {.x = x, .n = N};
    sonde__tpv_plan plan;
    sonde__tpv_options options = with_plan(&plan, "isotropic:0.01:runs=2");
    sonde__tpv_report report;
    size_t count;
    sonde__net_import(net, sonde__net_weights(net, &count), 1, bias);
    sonde__net_weights_changed(net);
    check_ok(context, sonde__measure_tpv(context, net, &train, NULL, &options, &report));
    assert_int_equal(row_of(&report, SONDE__TPV_EMPIRICAL)->train.validity, SONDE_NOT_FINITE);
    sonde__tpv_report_free(&report);
    options = with_plan(&plan, "label:0.1:runs=1:epochs=1");
    check_ok(context, sonde__measure_tpv(context, net, &train, NULL, &options, &report));
    assert_int_equal(row_of(&report, SONDE__TPV_EMPIRICAL)->train.validity, SONDE_NOT_FINITE);
    assert_non_null(row_of(&report, SONDE__TPV_CLOSED)->note);
    sonde__tpv_report_free(&report);
    sonde__net_free(net);
    free(x);
    sonde_context_free(context);
}

/* max(0, NaN) is 0: outputs and trace of such a network are numbers, its range is none. */
static void a_nan_that_a_relu_hides_is_no_range_to_quantize(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = named_net(context, "mlp:widths=8", (sonde__shape){IN, 1, 1}, OUT, 64);
    float *x = normal_inputs(N, IN, 0);
    float bias[8] = {NAN};
    sonde__tpv_inputs train = {.x = x, .n = N};
    sonde__tpv_plan plan;
    sonde__tpv_options options = with_plan(&plan, "quant:8:runs=2");
    sonde__tpv_report report;
    size_t count;
    options.empirical = true;
    sonde__net_import(net, sonde__net_weights(net, &count), 1, bias);
    sonde__net_weights_changed(net);
    check_ok(context, sonde__measure_tpv(context, net, &train, NULL, &options, &report));
    assert_int_equal(report.row_count, 3);
    for (int i = 0; i < report.row_count; i++)
        assert_int_equal(report.rows[i].train.validity, SONDE_NOT_FINITE);
    sonde__tpv_report_free(&report);
    sonde__net_free(net);
    free(x);
    sonde_context_free(context);
}

static void a_dead_network_has_the_trace_of_its_last_biases(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = named_net(context, "mlp:widths=8", (sonde__shape){IN, 1, 1}, OUT, 64);
    float *x = normal_inputs(N, IN, 0);
    sonde__tpv_inputs train = {.x = x, .n = N};
    sonde__tpv_options options;
    sonde__tpv_report report;
    size_t count;
    float *weights = sonde__net_weights(net, &count);
    memset(weights, 0, count * sizeof *weights);
    sonde__net_weights_changed(net);
    sonde__tpv_options_init(&options);
    check_ok(context, sonde__measure_tpv(context, net, &train, &train, &options, &report));
    check_close(report.train.value, OUT, 0, 1e-9, "trace");
    check_close(report.train.standard_error, 0, 1e-9, 0, "every input is alike");
    check_close(report.ratio, 1, 0, 1e-12, "ratio");
    sonde__tpv_report_free(&report);
    sonde__net_free(net);
    free(x);
    sonde_context_free(context);
}

static void of_one_input_the_error_is_not_known(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = linear_net(context, IN, OUT, 64);
    float *x = normal_inputs(1, IN, 0);
    sonde__tpv_inputs train = {.x = x, .n = 1}, none = {.x = x, .n = 0};
    sonde__tpv_options options;
    sonde__tpv_report report;
    sonde__tpv_options_init(&options);
    check_ok(context, sonde__measure_tpv(context, net, &train, NULL, &options, &report));
    check_close(report.train.value, OUT * mean_square_norm(x, 1, IN) + OUT, 0, 1e-6, "trace");
    assert_true(isinf(report.train.standard_error));
    sonde__tpv_report_free(&report);
    check_status(sonde__measure_tpv(context, net, &none, NULL, &options, &report),
                 SONDE_ERROR_SHAPE);
    sonde__net_free(net);
    free(x);
    sonde_context_free(context);
}

/* ---- an end that is asked for ---- */

static bool three_times(void *user, const char *what, double share)
{
    int *left = user;
    (void)what;
    assert_true(share > 0 && share <= 1);
    return --*left > 0;
}

static void what_was_measured_before_the_end_stays(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = linear_net(context, IN, OUT, 10);
    float *x = normal_inputs(N, IN, 0);
    int left = 2 * OUT + 1; /* backward passes: two whole batches of ten, and a part */
    sonde__tpv_inputs train = {.x = x, .n = N};
    sonde__tpv_options options;
    sonde__tpv_report report;
    sonde__tpv_options_init(&options);
    options.batch = 10;
    options.progress = three_times;
    options.user = &left;
    check_status(sonde__measure_tpv(context, net, &train, &train, &options, &report),
                 SONDE_ERROR_CANCELLED);
    assert_int_equal(report.train.count, 20);
    check_close(report.train.value, OUT * mean_square_norm(x, 20, IN) + OUT, 0, 1e-6, "trace");
    assert_int_equal(report.test.validity, SONDE_NOT_MEASURED);
    sonde__tpv_report_free(&report);
    sonde__net_free(net);
    free(x);
    sonde_context_free(context);
}

/* ---- plans ---- */

static void noises_are_read_with_their_numbers(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__tpv_plan plans[SONDE__TPV_PLANS_MAX];
    int count;
    check_ok(context, sonde__tpv_plans_read(context,
                                            "sgd,quant:4,label:0.2:runs=7:epochs=2,"
                                            "isotropic:0.5,sgd:1e-2:batch=32:burn-in=0",
                                            plans, &count));
    assert_int_equal(count, 5);
    assert_int_equal(plans[0].steps, 200);
    assert_int_equal(plans[1].bits, 4);
    assert_true(plans[2].deviation == 0.2 && plans[2].runs == 7 && plans[2].epochs == 2);
    assert_true(plans[3].deviation == 0.5);
    assert_true(plans[4].rate == 0.01 && plans[4].batch == 32 && plans[4].burn_in == 0);
    assert_string_equal(plans[1].name, "quant:4");
    assert_int_equal(sonde__tpv_largest_batch(plans, count, 64), 256);
    sonde_context_free(context);
}

static void unknown_noises_and_numbers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"sdg", "sdg"},           {"", "sgd, quant:8"},        {"quant:0", "1 to 32"},
        {"quant:8.5", "whole"},   {"quant:8:runs=0", "runs"},  {"quant:rate=1", "it takes bits="},
        {"sgd:nan", "rate"},      {"sgd,", "no noise"},        {"label:", "label"},
        {"isotropic:-1", "from"}, {"sgd:steps=10", "burn-in"}, {"sgd:=1", "sgd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sonde_context *context = check_context();
        sonde__tpv_plan plans[SONDE__TPV_PLANS_MAX];
        int count;
        assert_int_not_equal(sonde__tpv_plans_read(context, cases[i].text, plans, &count),
                             SONDE_OK);
        if (!strstr(sonde_context_error(context)->message, cases[i].word))
            fail_msg("%s: \"%s\" does not hold \"%s\"", cases[i].text,
                     sonde_context_error(context)->message, cases[i].word);
        sonde_context_free(context);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_linear_model_s_trace_is_the_inputs_mean_square),
        cmocka_unit_test(the_trace_of_a_network_is_that_of_finite_differences),
        cmocka_unit_test(random_signs_agree_with_the_exact_sum),
        cmocka_unit_test(quantization_of_a_linear_model_is_exactly_the_trace_form),
        cmocka_unit_test(small_isotropic_noise_moves_outputs_by_the_trace),
        cmocka_unit_test(label_noise_of_a_linear_model_is_the_hat_matrix_trace),
        cmocka_unit_test(the_trajectory_of_sgd_is_that_of_its_recursion),
        cmocka_unit_test(the_published_convention_divides_by_the_outputs),
        cmocka_unit_test(weights_that_are_not_numbers_have_a_name),
        cmocka_unit_test(a_nan_that_a_relu_hides_is_no_range_to_quantize),
        cmocka_unit_test(a_dead_network_has_the_trace_of_its_last_biases),
        cmocka_unit_test(of_one_input_the_error_is_not_known),
        cmocka_unit_test(what_was_measured_before_the_end_stays),
        cmocka_unit_test(noises_are_read_with_their_numbers),
        cmocka_unit_test(unknown_noises_and_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
