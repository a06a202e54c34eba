/* Test prediction variance on arrays: the exact oracles of section 2.6 of the methods, sums written
 * out, and input that has no number. */
#include "check.h"
#include "made_numbers.h"

#include "base/random.h"

static sonde_matrix floats(const float *values, size_t rows, size_t cols)
{
    return (sonde_matrix){values, SONDE_F32, rows, cols, 0};
}

static sonde_matrix doubles(const double *values, size_t rows, size_t cols)
{
    return (sonde_matrix){values, SONDE_F64, rows, cols, 0};
}

/* --- norms of single examples ------------------------------------------------------------------ */

enum { EXAMPLES = 4, ROWS = 7, IN = 9, OUT = 5 };

/* ||sum_t dy_t x_t^T||^2 and ||sum_t dy_t||^2, element by element. */
static void norms_by_hand(const float *x, const float *dy, size_t rows, double *weight,
                          double *bias)
{
    *weight = *bias = 0;
    for (size_t o = 0; o < OUT; o++) {
        double by_bias = 0;
        for (size_t i = 0; i < IN; i++) {
            double g = 0;
            for (size_t t = 0; t < rows; t++)
                g += (double)dy[t * OUT + o] * (double)x[t * IN + i];
            *weight += g * g;
        }
        for (size_t t = 0; t < rows; t++)
            by_bias += (double)dy[t * OUT + o];
        *bias += by_bias * by_bias;
    }
}

static void example_norms_are_those_of_the_gradients_written_out(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    float x[EXAMPLES * ROWS * IN], dy[EXAMPLES * ROWS * OUT];
    made_numbers(1, x, EXAMPLES * ROWS * IN);
    made_numbers(2, dy, EXAMPLES * ROWS * OUT);
    const size_t rows[] = {1, ROWS};
    const sonde_head_form forms[] = {SONDE_FORM_AUTO, SONDE_FORM_DIRECT, SONDE_FORM_GRAM};
    for (int r = 0; r < 2; r++)
        for (int f = 0; f < 3; f++) {
            sonde_example_layer layer;
            sonde_example_layer_init(&layer);
            layer.x = floats(x, EXAMPLES * rows[r], IN);
            layer.dy = floats(dy, EXAMPLES * rows[r], OUT);
            layer.rows = rows[r];
            layer.form = forms[f];
            double weight[EXAMPLES], bias[EXAMPLES];
            check_ok(context, sonde_example_norms(context, &layer, weight, bias));
            for (size_t i = 0; i < EXAMPLES; i++) {
                double expected, expected_bias;
                norms_by_hand(x + i * rows[r] * IN, dy + i * rows[r] * OUT, rows[r], &expected,
                              &expected_bias);
                check_close(weight[i], expected, 0, 1e-12, "weight");
                check_close(bias[i], expected_bias, 0, 1e-12, "bias");
            }
        }
    sonde_context_free(context);
}

static void example_norms_refuse_rows_that_do_not_divide(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    float x[6 * IN] = {0}, dy[6 * OUT] = {0};
    double norms[6];
    sonde_example_layer layer;
    sonde_example_layer_init(&layer);
    layer.x = floats(x, 6, IN);
    layer.dy = floats(dy, 6, OUT);
    layer.rows = 4;
    check_status(sonde_example_norms(context, &layer, norms, NULL), SONDE_ERROR_SHAPE);
    assert_non_null(strstr(sonde_context_error(context)->message, "multiple of the 4"));
    layer.rows = 3;
    check_ok(context, sonde_example_norms(context, &layer, norms, NULL));
    layer.dy.rows = 5;
    check_status(sonde_example_norms(context, &layer, norms, NULL), SONDE_ERROR_SHAPE);
    layer.size--;
    check_status(sonde_example_norms(context, &layer, norms, NULL), SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

/* --- a linear model f = A x + c ---------------------------------------------------------------- */

enum { INPUTS = 300, WIDTH = 6, CLASSES = 4 };

static float inputs[INPUTS * WIDTH];

static double mean_squared_input(void)
{
    double sum = 0;
    for (int i = 0; i < INPUTS * WIDTH; i++)
        sum += (double)inputs[i] * (double)inputs[i];
    return sum / INPUTS;
}

/* Squared norms by weight and bias for outgoing gradients dy (INPUTS x CLASSES), added. */
static void add_norms(sonde_context *context, const float *dy, double *squares)
{
    sonde_example_layer layer;
    sonde_example_layer_init(&layer);
    layer.x = floats(inputs, INPUTS, WIDTH);
    layer.dy = floats(dy, INPUTS, CLASSES);
    double weight[INPUTS], bias[INPUTS];
    check_ok(context, sonde_example_norms(context, &layer, weight, bias));
    for (size_t i = 0; i < INPUTS; i++) {
        squares[i] += weight[i];
        squares[INPUTS + i] += bias[i];
    }
}

static void trace_of(sonde_context *context, const double *squares, sonde_estimate *total,
                     sonde_estimate *layers)
{
    sonde_tpv_trace *trace;
    check_ok(context, sonde_tpv_trace_create(context, 2, NULL, &trace));
    check_ok(context, sonde_tpv_trace_add(trace, squares, INPUTS));
    check_ok(context, sonde_tpv_trace_read(trace, total, layers));
    sonde_tpv_trace_free(trace);
}

static void a_linear_models_trace_is_classes_times_the_mean_squared_input(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    static double squares[2 * INPUTS];
    static float dy[INPUTS * CLASSES];
    memset(squares, 0, sizeof squares);
    for (size_t k = 0; k < CLASSES; k++) {
        for (size_t i = 0; i < INPUTS * CLASSES; i++)
            dy[i] = i % CLASSES == k ? 1 : 0;
        add_norms(context, dy, squares);
    }
    sonde_estimate total, layers[2];
    trace_of(context, squares, &total, layers);
    const double expected = CLASSES * mean_squared_input();
    check_close(total.value, expected + CLASSES, 0, 1e-12, "trace");
    check_close(layers[0].value, expected, 0, 1e-12, "of the weights");
    check_close(layers[1].value, CLASSES, 0, 1e-12, "of the bias");
    check_close(layers[1].standard_error, 0, 1e-12, 0, "the bias is the same for all");
    assert_int_equal(total.count, INPUTS);
    sonde_context_free(context);
}

static void random_signs_give_the_same_trace_within_their_standard_error(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    enum { DRAWS = 8 };
    static double squares[2 * INPUTS];
    static float dy[INPUTS * CLASSES];
    memset(squares, 0, sizeof squares);
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        sonde_rademacher(7, draw, dy, INPUTS * CLASSES);
        add_norms(context, dy, squares);
    }
    for (size_t i = 0; i < 2 * INPUTS; i++)
        squares[i] /= DRAWS;
    sonde_estimate total;
    trace_of(context, squares, &total, NULL);
    assert_true(total.standard_error > 0);
    /* Of a linear model v . f has gradients whose norms do not depend on the signs: no error at all
     * beside that of the inputs. */
    check_close(total.value, CLASSES * (mean_squared_input() + 1), 0, 1e-12, "trace");
    sonde_context_free(context);
}

/* First-order theory has no error for a linear model: the noise's variance times the trace. */
static void uniform_noise_moves_a_linear_model_by_variance_times_trace(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    enum { RUNS = 400 };
    static double moved[INPUTS * CLASSES], still[INPUTS * CLASSES], means[RUNS];
    sonde_tpv_noise noise;
    sonde_tpv_noise_init(&noise);
    noise.kind = SONDE_TPV_QUANTIZATION;
    noise.low = -1, noise.high = 1, noise.bits = 4;
    double variance;
    check_ok(context, sonde_tpv_variance(context, &noise, &variance));
    const double delta = 2.0 / 15;
    check_close(variance, delta * delta / 12, 0, 1e-15, "variance");
    sonde__stream stream = sonde__stream_open(3, SONDE__RANDOM_TEST, 0);
    for (int run = 0; run < RUNS; run++) {
        double change[CLASSES][WIDTH + 1];
        for (int k = 0; k < CLASSES; k++)
            for (int j = 0; j <= WIDTH; j++)
                change[k][j] = delta * (sonde__random_uniform(&stream) - 0.5);
        for (size_t i = 0; i < INPUTS; i++)
            for (int k = 0; k < CLASSES; k++) {
                double sum = change[k][WIDTH];
                for (size_t j = 0; j < WIDTH; j++)
                    sum += change[k][j] * (double)inputs[i * WIDTH + j];
                moved[i * CLASSES + (size_t)k] = sum;
            }
        const sonde_matrix a = doubles(moved, INPUTS, CLASSES), b = doubles(still, INPUTS, CLASSES);
        sonde_estimate estimate;
        check_ok(context,
                 sonde_tpv_empirical(context, &a, &b, SONDE_TPV_SUM_OUTPUTS, NULL, &estimate));
        means[run] = estimate.value;
    }
    sonde_tpv_trace *trace;
    sonde_estimate empirical;
    check_ok(context, sonde_tpv_trace_create(context, 1, NULL, &trace));
    check_ok(context, sonde_tpv_trace_add(trace, means, RUNS));
    check_ok(context, sonde_tpv_trace_read(trace, &empirical, NULL));
    sonde_tpv_trace_free(trace);
    const sonde_estimate exact = {CLASSES * (mean_squared_input() + 1), 0, INPUTS, SONDE_VALID};
    const sonde_estimate expected = sonde_tpv_scale(&exact, variance);
    check_close(empirical.value, expected.value, 4 * empirical.standard_error, 0, "TPV");
    assert_true(empirical.standard_error < 0.05 * expected.value);
    sonde_context_free(context);
}

/* --- the accumulator --------------------------------------------------------------------------- */

static void batches_and_weights_add_up_to_mean_and_standard_error(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const double first[] = {1, 2, 3, 10, 20, 30}, second[] = {5, 40}; /* two layers */
    const double weights[] = {2, 0.5};
    const double totals[] = {7, 14, 21, 30}; /* 2 a + b / 2 */
    sonde_tpv_trace *trace;
    sonde_estimate total, layers[2];
    check_ok(context, sonde_tpv_trace_create(context, 2, weights, &trace));
    check_ok(context, sonde_tpv_trace_add(trace, first, 3));
    check_ok(context, sonde_tpv_trace_add(trace, second, 1));
    check_ok(context, sonde_tpv_trace_add(trace, NULL, 0));
    check_ok(context, sonde_tpv_trace_read(trace, &total, layers));
    double squares = 0;
    for (int i = 0; i < 4; i++)
        squares += (totals[i] - 18) * (totals[i] - 18);
    check_close(total.value, 18, 0, 1e-15, "mean");
    check_close(total.standard_error, sqrt(squares / 3 / 4), 0, 1e-14, "standard error");
    check_close(layers[0].value, 2.75, 0, 1e-15, "first layer");
    check_close(layers[1].value, 25, 0, 1e-15, "second layer");
    assert_int_equal(layers[1].count, 4);
    sonde_tpv_trace_free(trace);
    sonde_context_free(context);
}

static void a_large_mean_does_not_drown_the_standard_error(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const double values[] = {1e12 + 1, 1e12 + 2, 1e12 + 3};
    sonde_tpv_trace *trace;
    sonde_estimate total;
    check_ok(context, sonde_tpv_trace_create(context, 1, NULL, &trace));
    check_ok(context, sonde_tpv_trace_add(trace, values, 3));
    check_ok(context, sonde_tpv_trace_read(trace, &total, NULL));
    check_close(total.standard_error, sqrt(1.0 / 3), 0, 1e-3, "standard error");
    sonde_tpv_trace_free(trace);
    sonde_context_free(context);
}

static void traces_without_numbers_say_why(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const double one[] = {4}, nan[] = {NAN};
    sonde_tpv_trace *trace;
    sonde_estimate total;
    check_ok(context, sonde_tpv_trace_create(context, 1, NULL, &trace));
    check_ok(context, sonde_tpv_trace_read(trace, &total, NULL));
    assert_int_equal(total.validity, SONDE_NOT_MEASURED);
    check_ok(context, sonde_tpv_trace_add(trace, one, 1));
    check_ok(context, sonde_tpv_trace_read(trace, &total, NULL));
    assert_int_equal(total.validity, SONDE_VALID);
    assert_true(total.value == 4 && isinf(total.standard_error));
    check_ok(context, sonde_tpv_trace_add(trace, nan, 1));
    check_ok(context, sonde_tpv_trace_read(trace, &total, NULL));
    assert_int_equal(total.validity, SONDE_NOT_FINITE);
    assert_true(total.value == 0);
    assert_int_equal(sonde_tpv_scale(&total, 2).validity, SONDE_NOT_FINITE);
    sonde_tpv_trace_free(trace);
    check_status(sonde_tpv_trace_create(context, 0, NULL, &trace), SONDE_ERROR_ARGUMENT);
    check_status(sonde_tpv_trace_create(context, 1, nan, &trace), SONDE_ERROR_RANGE);
    check_status(sonde_tpv_trace_create(context, SIZE_MAX / 8, NULL, &trace), SONDE_ERROR_OVERFLOW);
    sonde_context_free(context);
}

/* --- noise ------------------------------------------------------------------------------------- */

static void variances_are_those_of_the_forms(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_tpv_noise noise;
    sonde_tpv_noise_init(&noise);
    double variance;
    check_ok(context, sonde_tpv_variance(context, &noise, &variance));
    check_close(variance, 1e-3 / 256, 0, 1e-15, "SGD as published");
    noise.residual_variance = 0.25;
    check_ok(context, sonde_tpv_variance(context, &noise, &variance));
    check_close(variance, 1e-3 / 1024, 0, 1e-15, "SGD with residuals");
    noise.kind = SONDE_TPV_ISOTROPIC;
    check_ok(context, sonde_tpv_variance(context, &noise, &variance));
    check_close(variance, 1e-4, 0, 1e-15, "isotropic");
    noise.kind = SONDE_TPV_QUANTIZATION;
    noise.low = noise.high = 3;
    check_ok(context, sonde_tpv_variance(context, &noise, &variance));
    assert_true(variance == 0);
    sonde_context_free(context);
}

static void noise_out_of_range_is_refused_with_its_value(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_tpv_noise good, noise;
    sonde_tpv_noise_init(&good);
    double variance = 5;
    noise = good, noise.batch = 0;
    check_status(sonde_tpv_variance(context, &noise, &variance), SONDE_ERROR_RANGE);
    assert_non_null(strstr(sonde_context_error(context)->message, "batch is 0"));
    noise = good, noise.learning_rate = NAN;
    check_status(sonde_tpv_variance(context, &noise, &variance), SONDE_ERROR_RANGE);
    noise = good, noise.kind = SONDE_TPV_QUANTIZATION, noise.bits = 0;
    check_status(sonde_tpv_variance(context, &noise, &variance), SONDE_ERROR_RANGE);
    noise.bits = 8, noise.low = 1, noise.high = -1;
    check_status(sonde_tpv_variance(context, &noise, &variance), SONDE_ERROR_RANGE);
    noise = good, noise.kind = (sonde_tpv_kind)9;
    check_status(sonde_tpv_variance(context, &noise, &variance), SONDE_ERROR_RANGE);
    noise = good, noise.size = 3;
    check_status(sonde_tpv_variance(context, &noise, &variance), SONDE_ERROR_ARGUMENT);
    assert_true(variance == 5);
    sonde_context_free(context);
}

static void signs_are_keyed_and_balanced(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    static float first[MANY], again[MANY], other[MANY];
    sonde_rademacher(1, 2, first, MANY);
    sonde_rademacher(1, 2, again, MANY);
    sonde_rademacher(1, 3, other, MANY);
    assert_memory_equal(first, again, sizeof first);
    double sum = 0, product = 0;
    for (int i = 0; i < MANY; i++) {
        assert_true(fabsf(first[i]) == 1);
        sum += (double)first[i];
        product += (double)(first[i] * other[i]);
    }
    assert_true(fabs(sum) < 500 && fabs(product) < 500);
}

/* --- empirical --------------------------------------------------------------------------------- */

static void the_mean_over_outputs_is_classes_times_smaller(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 1, 1, 4, 4, 2};
    const sonde_matrix moved = floats(a, 2, 3), still = floats(b, 2, 3);
    double distances[2];
    sonde_estimate sum, mean;
    check_ok(context,
             sonde_tpv_empirical(context, &moved, &still, SONDE_TPV_SUM_OUTPUTS, distances, &sum));
    check_ok(context,
             sonde_tpv_empirical(context, &moved, &still, SONDE_TPV_MEAN_OUTPUTS, NULL, &mean));
    assert_true(distances[0] == 5 && distances[1] == 17 && sum.value == 11);
    check_close(sum.standard_error, 6, 0, 1e-15, "standard error");
    check_close(mean.value, 11.0 / 3, 0, 1e-15, "mean over outputs");
    const sonde_matrix other = floats(b, 3, 2);
    check_status(sonde_tpv_empirical(context, &moved, &other, SONDE_TPV_SUM_OUTPUTS, NULL, &sum),
                 SONDE_ERROR_SHAPE);
    sonde_context_free(context);
}

static void the_first_order_check_is_a_relative_error(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float d[] = {2, 4, 6, -2}, half[] = {1, 2, 3, -1}, nan[] = {1, NAN, 3, 4};
    const sonde_matrix change = floats(d, 2, 2), derivative = floats(half, 2, 2),
                       unknown = floats(nan, 2, 2);
    sonde_score error;
    check_ok(context, sonde_tpv_first_order(context, &change, &change, &error));
    assert_true(error.validity == SONDE_VALID && error.value == 0);
    check_ok(context, sonde_tpv_first_order(context, &change, &derivative, &error));
    check_close(error.value, 0.25, 0, 1e-12, "half the change");
    check_ok(context, sonde_tpv_first_order(context, &change, &unknown, &error));
    assert_int_equal(error.validity, SONDE_NOT_FINITE);
    sonde_context_free(context);
}

/* --- label noise ------------------------------------------------------------------------------- */

/* Mean squared row of test pinv(train), times sigma^2: what noise on the training targets does. For
 * two columns pinv = (X^T X)^-1 X^T, for two rows X^T (X X^T)^-1. */
static double by_pseudo_inverse(const double *train, size_t n, const double *test, size_t m,
                                size_t p)
{
    double g[4] = {0}, sum = 0;
    const size_t inner = p == 2 ? n : p;
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++)
            for (size_t k = 0; k < inner; k++)
                g[2 * a + b] += p == 2 ? train[k * p + (size_t)a] * train[k * p + (size_t)b]
                                       : train[(size_t)a * p + k] * train[(size_t)b * p + k];
    const double det = g[0] * g[3] - g[1] * g[2];
    const double inverse[4] = {g[3] / det, -g[1] / det, -g[2] / det, g[0] / det};
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double entry = 0;
            if (p == 2) {
                for (size_t a = 0; a < 2; a++)
                    for (size_t b = 0; b < 2; b++)
                        entry += test[i * 2 + a] * inverse[2 * a + b] * train[j * 2 + b];
            } else {
                for (size_t b = 0; b < 2; b++)
                    for (size_t k = 0; k < p; k++)
                        entry += test[i * p + k] * train[b * p + k] * inverse[2 * b + j];
            }
            sum += entry * entry;
        }
    return sum / (double)m;
}

static void label_noise_moves_least_squares_by_its_hat_matrix(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    enum { N = 40, P = 7 };
    float numbers[N * P];
    made_numbers(11, numbers, N * P);
    const sonde_matrix train = floats(numbers, N, P);
    sonde_tpv_label_options options;
    sonde_tpv_label_options_init(&options);
    options.sigma = 0.1;
    sonde_tpv_label_report report;
    check_ok(context, sonde_tpv_label_noise(context, &train, NULL, &options, &report));
    check_close(report.train.value, 0.01 * P / N, 0, 1e-10, "sigma^2 d / n");
    assert_int_equal(report.rank, P);
    assert_int_equal(report.test.validity, SONDE_NOT_MEASURED);
    options.outputs = 2; /* twenty inputs of two outputs: the sum over outputs */
    check_ok(context, sonde_tpv_label_noise(context, &train, NULL, &options, &report));
    check_close(report.train.value, 0.02 * P / N, 0, 1e-10, "of two outputs");
    sonde_context_free(context);
}

static void label_noise_on_test_inputs_goes_through_the_pseudo_inverse(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    float numbers[200];
    double values[200];
    made_numbers(12, numbers, 200);
    for (int i = 0; i < 200; i++)
        values[i] = (double)numbers[i];
    const struct {
        size_t n, m, p;
    } shapes[] = {{12, 9, 2}, {2, 9, 13}};
    for (int s = 0; s < 2; s++) {
        const size_t n = shapes[s].n, m = shapes[s].m, p = shapes[s].p;
        const double *const test_values = values + n * p;
        const sonde_matrix train = doubles(values, n, p), test = doubles(test_values, m, p);
        sonde_tpv_label_report report;
        check_ok(context, sonde_tpv_label_noise(context, &train, &test, NULL, &report));
        check_close(report.test.value, by_pseudo_inverse(values, n, test_values, m, p), 0, 1e-9,
                    "test");
        assert_int_equal(report.rank, 2);
    }
    sonde_context_free(context);
}

static void jacobians_of_low_rank_count_their_rank(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const double twice[] = {1, 2, 3, 4, 2, 4, 6, 8, 1, 0, 0, 0}; /* the second row is the first */
    const double zero[8] = {0}, nan[] = {1, NAN, 0, 1}, huge[] = {1e200, 0, 0, 1e200};
    sonde_tpv_label_report report;
    sonde_matrix train = doubles(twice, 3, 4);
    check_ok(context, sonde_tpv_label_noise(context, &train, NULL, NULL, &report));
    assert_int_equal(report.rank, 2);
    check_close(report.train.value, 2.0 / 3, 0, 1e-9, "two of three directions");
    train = doubles(zero, 2, 4);
    check_ok(context, sonde_tpv_label_noise(context, &train, &train, NULL, &report));
    assert_int_equal(report.train.validity, SONDE_DEGENERATE);
    assert_int_equal(report.test.validity, SONDE_DEGENERATE);
    train = doubles(nan, 2, 2);
    check_ok(context, sonde_tpv_label_noise(context, &train, NULL, NULL, &report));
    assert_int_equal(report.train.validity, SONDE_NOT_FINITE);
    train = doubles(huge, 2, 2);
    check_ok(context, sonde_tpv_label_noise(context, &train, NULL, NULL, &report));
    assert_int_equal(report.train.validity, SONDE_OUT_OF_RANGE);
    sonde_context_free(context);
}

static void jacobians_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const double values[12] = {1, 2, 3};
    const sonde_matrix train = doubles(values, 3, 4), test = doubles(values, 4, 3);
    sonde_tpv_label_options options;
    sonde_tpv_label_options_init(&options);
    sonde_tpv_label_report report;
    check_status(sonde_tpv_label_noise(context, &train, &test, &options, &report),
                 SONDE_ERROR_SHAPE);
    options.outputs = 2;
    check_status(sonde_tpv_label_noise(context, &train, NULL, &options, &report),
                 SONDE_ERROR_SHAPE);
    options.outputs = 0;
    check_status(sonde_tpv_label_noise(context, &train, NULL, &options, &report),
                 SONDE_ERROR_RANGE);
    options.outputs = 1, options.tolerance = 0;
    check_status(sonde_tpv_label_noise(context, &train, NULL, &options, &report),
                 SONDE_ERROR_RANGE);
    sonde_context_free(context);
}

static int begin(void **state)
{
    (void)state;
    made_numbers(100, inputs, INPUTS * WIDTH);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_norms_are_those_of_the_gradients_written_out),
        cmocka_unit_test(example_norms_refuse_rows_that_do_not_divide),
        cmocka_unit_test(a_linear_models_trace_is_classes_times_the_mean_squared_input),
        cmocka_unit_test(random_signs_give_the_same_trace_within_their_standard_error),
        cmocka_unit_test(uniform_noise_moves_a_linear_model_by_variance_times_trace),
        cmocka_unit_test(batches_and_weights_add_up_to_mean_and_standard_error),
        cmocka_unit_test(a_large_mean_does_not_drown_the_standard_error),
        cmocka_unit_test(traces_without_numbers_say_why),
        cmocka_unit_test(variances_are_those_of_the_forms),
        cmocka_unit_test(noise_out_of_range_is_refused_with_its_value),
        cmocka_unit_test(signs_are_keyed_and_balanced),
        cmocka_unit_test(the_mean_over_outputs_is_classes_times_smaller),
        cmocka_unit_test(the_first_order_check_is_a_relative_error),
        cmocka_unit_test(label_noise_moves_least_squares_by_its_hat_matrix),
        cmocka_unit_test(label_noise_on_test_inputs_goes_through_the_pseudo_inverse),
        cmocka_unit_test(jacobians_of_low_rank_count_their_rank),
        cmocka_unit_test(jacobians_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
