/* Proxies of untrained networks on arrays: recorded values of the published code, identities of
 * section 5.3 of the methods, and input that has no score. */
#include "check.h"
#include "made_numbers.h"

#include "../golden/signals.h"

static sonde_matrix floats(const float *values, size_t rows, size_t cols)
{
    return (sonde_matrix){values, SONDE_F32, rows, cols, 0};
}

static sonde_matrix doubles(const double *values, size_t rows, size_t cols)
{
    return (sonde_matrix){values, SONDE_F64, rows, cols, 0};
}

/* --- names ------------------------------------------------------------------------------------- */

static void every_proxy_is_found_by_its_name(void **state)
{
    (void)state;
    for (int i = 0; i < SONDE_PROXY_COUNT; i++) {
        sonde_proxy_kind kind = SONDE_PROXY_PARAMS;
        assert_true(sonde_proxy_find(sonde_proxy_name((sonde_proxy_kind)i), &kind));
        assert_int_equal(kind, i);
        assert_int_equal(sonde_proxy_direction(kind), SONDE_HIGHER_IS_BETTER);
        assert_true(strlen(sonde_proxy_sentence(kind)) > 10);
    }
    sonde_proxy_kind kind = SONDE_PROXY_ZEN;
    assert_false(sonde_proxy_find("grad-norm", &kind));
    assert_int_equal(kind, SONDE_PROXY_ZEN);
    assert_string_equal(sonde_proxy_name((sonde_proxy_kind)SONDE_PROXY_COUNT), "?");
    assert_int_equal(sonde_proxy_direction((sonde_proxy_kind)-1), SONDE_NEUTRAL);
}

/* --- weights and gradients --------------------------------------------------------------------- */

typedef struct golden_layer {
    const float *weight, *gradient, *hessian, *products;
    size_t out, in, channels;
} golden_layer;

static const golden_layer LAYERS[] = {
    {GOLDEN_WEIGHT_0, GOLDEN_GRADIENT_0, GOLDEN_HESSIAN_0, GOLDEN_PRODUCTS_0, 3, 18, 3},
    {GOLDEN_WEIGHT_1, GOLDEN_GRADIENT_1, GOLDEN_HESSIAN_1, GOLDEN_PRODUCTS_1, 4, 12, 4},
    {GOLDEN_WEIGHT_2, GOLDEN_GRADIENT_2, GOLDEN_HESSIAN_2, GOLDEN_PRODUCTS_2, 3, 4, 3},
};

static void weight_proxies_are_those_of_zero_cost_nas(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_proxy_sums sums = {0};
    for (int i = 0; i < 3; i++) {
        const golden_layer *const l = &LAYERS[i];
        const sonde_proxy_layer layer = {floats(l->weight, l->out, l->in),
                                         floats(l->gradient, l->out, l->in),
                                         floats(l->hessian, l->out, l->in),
                                         {0}};
        check_ok(context, sonde_proxy_add_layer(context, &layer, &sums));
        const sonde_matrix products = floats(l->products, 6, l->channels);
        check_ok(context, sonde_proxy_add_fisher(context, &products, l->in, &sums));
    }
    const struct {
        sonde_proxy_kind kind;
        double expected;
    } cases[] = {{SONDE_PROXY_GRAD_NORM, GOLDEN_GRAD_NORM}, {SONDE_PROXY_SNIP, GOLDEN_SNIP},
                 {SONDE_PROXY_PLAIN, GOLDEN_PLAIN},         {SONDE_PROXY_L2_NORM, GOLDEN_L2_NORM},
                 {SONDE_PROXY_GRASP, GOLDEN_GRASP},         {SONDE_PROXY_FISHER, GOLDEN_FISHER}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sonde_score score = sonde_proxy_score(cases[i].kind, &sums);
        assert_int_equal(score.validity, SONDE_VALID);
        check_close(score.value, cases[i].expected, 0, 2e-6, sonde_proxy_name(cases[i].kind));
    }
    sonde_context_free(context);
}

/* Rows of a wider matrix, and doubles, are the same layer. */
static void strides_and_formats_do_not_matter(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    enum { ROWS = 5, COLS = 700, STRIDE = 709 };
    static float dense[ROWS * COLS], gradient[ROWS * COLS];
    static double wide[ROWS * STRIDE];
    made_numbers(1, dense, ROWS * COLS);
    made_numbers(2, gradient, ROWS * COLS);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < STRIDE; j++)
            wide[i * STRIDE + j] = j < COLS ? (double)dense[i * COLS + j] : (double)NAN;
    sonde_matrix weight = doubles(wide, ROWS, COLS);
    weight.row_stride = STRIDE;
    const sonde_proxy_layer plain = {
        floats(dense, ROWS, COLS), floats(gradient, ROWS, COLS), {0}, {0}};
    const sonde_proxy_layer strided = {weight, floats(gradient, ROWS, COLS), {0}, {0}};
    sonde_proxy_sums a = {0}, b = {0};
    check_ok(context, sonde_proxy_add_layer(context, &plain, &a));
    check_ok(context, sonde_proxy_add_layer(context, &strided, &b));
    check_close(b.snip, a.snip, 0, 1e-13, "snip");
    check_close(b.plain, a.plain, 0, 1e-13, "plain");
    check_close(b.grad_norm, a.grad_norm, 0, 1e-13, "grad_norm");
    check_close(b.l2_norm, a.l2_norm, 0, 1e-13, "l2_norm");
    sonde_context_free(context);
}

/* L(W) = sum over rows of c_k . w_k / ||w_k||, which like a layer before a train-mode batch norm does
 * not depend on the scale of a row. */
enum { CHANNELS = 4, WIDTH = 6, COUNT = CHANNELS * WIDTH };

static void scale_free_gradient(const double *w, const double *c, double *g)
{
    for (size_t k = 0; k < CHANNELS; k++) {
        double norm = 0, dot = 0;
        for (size_t i = k * WIDTH; i < (k + 1) * WIDTH; i++) {
            norm += w[i] * w[i];
            dot += c[i] * w[i];
        }
        norm = sqrt(norm);
        for (size_t i = k * WIDTH; i < (k + 1) * WIDTH; i++)
            g[i] = (c[i] - dot / norm * w[i] / norm) / norm;
    }
}

/* Central difference of the gradient along `v`. */
static void times_hessian(const double *w, const double *c, const double *v, double *product)
{
    const double h = 1e-5;
    double moved[COUNT], up[COUNT], down[COUNT];
    for (int i = 0; i < COUNT; i++)
        moved[i] = w[i] + h * v[i];
    scale_free_gradient(moved, c, up);
    for (int i = 0; i < COUNT; i++)
        moved[i] = w[i] - h * v[i];
    scale_free_gradient(moved, c, down);
    for (int i = 0; i < COUNT; i++)
        product[i] = (up[i] - down[i]) / (2 * h);
}

static void before_batch_norm_plain_is_zero_and_grasp_the_squared_gradient_norm(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    float numbers[2 * COUNT];
    double w[COUNT], c[COUNT], g[COUNT], hg[COUNT], hw[COUNT];
    made_numbers(9, numbers, 2 * COUNT);
    for (int i = 0; i < COUNT; i++) {
        w[i] = (double)numbers[i];
        c[i] = (double)numbers[COUNT + i];
    }
    scale_free_gradient(w, c, g);
    times_hessian(w, c, g, hg);
    times_hessian(w, c, w, hw);
    double squares = 0;
    for (int i = 0; i < COUNT; i++)
        squares += g[i] * g[i];
    for (int by_weight = 0; by_weight < 2; by_weight++) {
        sonde_proxy_layer layer = {
            doubles(w, CHANNELS, WIDTH), doubles(g, CHANNELS, WIDTH), {0}, {0}};
        *(by_weight ? &layer.hessian_weight : &layer.hessian_gradient) =
            doubles(by_weight ? hw : hg, CHANNELS, WIDTH);
        sonde_proxy_sums sums = {0};
        check_ok(context, sonde_proxy_add_layer(context, &layer, &sums));
        check_close(sonde_proxy_score(SONDE_PROXY_PLAIN, &sums).value, 0, 1e-13, 0, "plain");
        check_close(sonde_proxy_score(SONDE_PROXY_GRASP, &sums).value, squares, 0, 1e-7, "grasp");
    }
    sonde_context_free(context);
}

/* A chain of linear layers and ReLUs without bias: f(x) = W3 r(W2 r(W1 x)), n inputs. */
enum { DEPTH = 3, EXAMPLES = 5, SIZE = 6 };

typedef struct chain {
    double w[DEPTH][SIZE * SIZE], g[DEPTH][SIZE * SIZE];
    double a[DEPTH + 1][EXAMPLES][SIZE]; /* behind the ReLUs; the last one without */
} chain;

static void chain_forward(chain *net, int depth)
{
    for (int l = 0; l < depth; l++)
        for (int n = 0; n < EXAMPLES; n++)
            for (int o = 0; o < SIZE; o++) {
                double sum = 0;
                for (int i = 0; i < SIZE; i++)
                    sum += net->w[l][o * SIZE + i] * net->a[l][n][i];
                net->a[l + 1][n][o] = l + 1 < depth && sum < 0 ? 0 : sum;
            }
}

/* From the gradients by the outputs to those by the weights. */
static void chain_backward(chain *net, double (*dy)[SIZE])
{
    double dx[EXAMPLES][SIZE];
    memset(net->g, 0, sizeof net->g);
    for (int l = DEPTH - 1; l >= 0; l--) {
        for (int n = 0; n < EXAMPLES; n++)
            for (int i = 0; i < SIZE; i++) {
                double sum = 0;
                for (int o = 0; o < SIZE; o++) {
                    net->g[l][o * SIZE + i] += dy[n][o] * net->a[l][n][i];
                    sum += dy[n][o] * net->w[l][o * SIZE + i];
                }
                dx[n][i] = net->a[l][n][i] > 0 ? sum : 0;
            }
        memcpy(dy, dx, sizeof dx);
    }
}

static void fill_chain(chain *net, bool positive)
{
    float numbers[DEPTH * SIZE * SIZE], inputs[EXAMPLES * SIZE];
    made_numbers(31, numbers, DEPTH * SIZE * SIZE);
    made_numbers(32, inputs, EXAMPLES * SIZE);
    for (int l = 0; l < DEPTH; l++)
        for (int i = 0; i < SIZE * SIZE; i++)
            net->w[l][i] = positive ? fabs((double)numbers[l * SIZE * SIZE + i])
                                    : (double)numbers[l * SIZE * SIZE + i];
    for (int n = 0; n < EXAMPLES; n++)
        for (int i = 0; i < SIZE; i++)
            net->a[0][n][i] = positive ? 1 : (double)inputs[n * SIZE + i];
}

static sonde_proxy_sums chain_sums(const chain *net)
{
    sonde_context *context = check_context();
    sonde_proxy_sums sums = {0};
    for (int l = 0; l < DEPTH; l++) {
        const sonde_proxy_layer layer = {
            doubles(net->w[l], SIZE, SIZE), doubles(net->g[l], SIZE, SIZE), {0}, {0}};
        check_ok(context, sonde_proxy_add_layer(context, &layer, &sums));
    }
    sonde_context_free(context);
    return sums;
}

static void in_a_chain_without_bias_synflow_is_layers_times_the_output(void **state)
{
    (void)state;
    static chain net;
    fill_chain(&net, true);
    chain_forward(&net, DEPTH);
    double dy[EXAMPLES][SIZE], output = 0;
    for (int n = 0; n < EXAMPLES; n++)
        for (int o = 0; o < SIZE; o++) {
            dy[n][o] = 1;
            output += net.a[DEPTH][n][o];
        }
    chain_backward(&net, dy);
    const sonde_proxy_sums sums = chain_sums(&net);
    check_close(sonde_proxy_score(SONDE_PROXY_SNIP, &sums).value, DEPTH * output, 0, 1e-13,
                "synflow");
}

static void in_a_chain_without_bias_plain_is_layers_times_logits_by_their_gradient(void **state)
{
    (void)state;
    static chain net;
    fill_chain(&net, false);
    chain_forward(&net, DEPTH);
    double dy[EXAMPLES][SIZE], product = 0;
    for (int n = 0; n < EXAMPLES; n++)
        for (int o = 0; o < SIZE; o++) {
            dy[n][o] = 0.1 * o - 0.2 * n;
            product += dy[n][o] * net.a[DEPTH][n][o];
        }
    chain_backward(&net, dy);
    const sonde_proxy_sums sums = chain_sums(&net);
    check_close(sonde_proxy_score(SONDE_PROXY_PLAIN, &sums).value, DEPTH * product, 1e-15, 1e-12,
                "plain");
}

static void scores_without_what_they_need_are_not_measured(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float weight[] = {1, 2};
    sonde_proxy_sums sums = {0};
    assert_int_equal(sonde_proxy_score(SONDE_PROXY_L2_NORM, &sums).validity, SONDE_NOT_MEASURED);
    const sonde_proxy_layer layer = {floats(weight, 1, 2), {0}, {0}, {0}};
    check_ok(context, sonde_proxy_add_layer(context, &layer, &sums));
    check_close(sonde_proxy_score(SONDE_PROXY_L2_NORM, &sums).value, sqrt(5), 0, 1e-15, "l2_norm");
    const sonde_proxy_kind others[] = {SONDE_PROXY_GRAD_NORM, SONDE_PROXY_SNIP,   SONDE_PROXY_PLAIN,
                                       SONDE_PROXY_GRASP,     SONDE_PROXY_FISHER, SONDE_PROXY_ZEN};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(sonde_proxy_score(others[i], &sums).validity, SONDE_NOT_MEASURED);
    sonde_context_free(context);
}

static void nan_in_a_gradient_is_no_score(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float weight[] = {1, 2}, gradient[] = {NAN, 1};
    sonde_proxy_sums sums = {0};
    const sonde_proxy_layer layer = {floats(weight, 1, 2), floats(gradient, 1, 2), {0}, {0}};
    check_ok(context, sonde_proxy_add_layer(context, &layer, &sums));
    assert_int_equal(sonde_proxy_score(SONDE_PROXY_SNIP, &sums).validity, SONDE_NOT_FINITE);
    assert_int_equal(sonde_proxy_score(SONDE_PROXY_L2_NORM, &sums).validity, SONDE_VALID);
    sonde_context_free(context);
}

static void layers_of_different_shapes_are_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float values[6] = {0};
    sonde_proxy_sums sums = {0};
    sonde_proxy_layer layer = {floats(values, 2, 3), floats(values, 3, 2), {0}, {0}};
    check_status(sonde_proxy_add_layer(context, &layer, &sums), SONDE_ERROR_SHAPE);
    assert_non_null(strstr(sonde_context_error(context)->message, "gradient is 3 x 2"));
    layer = (sonde_proxy_layer){floats(values, 2, 3), {0}, {0}, floats(values, 2, 3)};
    check_status(sonde_proxy_add_layer(context, &layer, &sums), SONDE_ERROR_ARGUMENT);
    assert_int_equal(sums.layers, 0);
    sonde_context_free(context);
}

/* --- the input Jacobian ------------------------------------------------------------------------ */

enum { ROWS = 12, COLS = 40 };

static sonde_score jacob_cov(const sonde_matrix *jacobian)
{
    sonde_context *context = check_context();
    sonde_score score;
    check_ok(context, sonde_jacob_cov(context, jacobian, &score));
    sonde_context_free(context);
    return score;
}

static sonde_score epe_nas(const sonde_matrix *jacobian, const int64_t *labels, size_t classes)
{
    sonde_context *context = check_context();
    sonde_score score;
    check_ok(context, sonde_epe_nas(context, jacobian, labels, classes, &score));
    sonde_context_free(context);
    return score;
}

static void jacobian_proxies_are_the_published_ones(void **state)
{
    (void)state;
    float values[ROWS * COLS];
    const sonde_matrix jacobian = floats(made_numbers(1, values, ROWS * COLS), ROWS, COLS);
    check_close(jacob_cov(&jacobian).value, GOLDEN_JACOB_COV, 0, 1e-10, "jacob_cov");
    check_close(epe_nas(&jacobian, GOLDEN_EPE_LABELS, 10).value, GOLDEN_EPE_NAS, 0, 1e-10,
                "epe_nas of 10 classes");
    check_close(epe_nas(&jacobian, GOLDEN_EPE_LABELS, 120).value, GOLDEN_EPE_NAS_MANY, 0, 1e-10,
                "epe_nas of 120 classes");
}

/* Rows of a Hadamard matrix but the first have mean 0 and do not correlate. */
static void uncorrelated_rows_reach_the_upper_bound_of_jacob_cov(void **state)
{
    (void)state;
    double rows[7 * 8];
    for (unsigned i = 0; i < 7; i++)
        for (unsigned j = 0; j < 8; j++) {
            unsigned bits = (i + 1) & j;
            bits ^= bits >> 2;
            bits ^= bits >> 1;
            rows[i * 8 + j] = bits & 1u ? -1 : 1;
        }
    const sonde_matrix jacobian = doubles(rows, 7, 8);
    const double bound = -7 * (log(1 + 1e-5) + 1 / (1 + 1e-5));
    check_close(jacob_cov(&jacobian).value, bound, 0, 1e-12, "the bound");
}

static void equal_rows_correlate_fully(void **state)
{
    (void)state;
    /* The second is twice the first, the third does not correlate with them. */
    const float rows[] = {1, 2, 4, 2, 4, 8, 2, -3, 1};
    sonde_matrix jacobian = floats(rows, 3, 3);
    const sonde_score score = jacob_cov(&jacobian);
    assert_int_equal(score.validity, SONDE_VALID);
    const double ends = log(1e-5) + 1e5 + log(2 + 1e-5) + 1 / (2 + 1e-5);
    check_close(score.value, -(ends + log(1 + 1e-5) + 1 / (1 + 1e-5)), 0, 1e-9,
                "eigenvalues 0, 1 and 2");
    jacobian.rows = 2;
    assert_int_equal(jacob_cov(&jacobian).validity, SONDE_DEGENERATE);
}

static void jacobians_without_correlation_have_no_score(void **state)
{
    (void)state;
    float values[ROWS * COLS];
    const int64_t labels[ROWS] = {0};
    sonde_matrix jacobian = floats(made_numbers(1, values, ROWS * COLS), ROWS, COLS);
    for (int i = 0; i < COLS; i++)
        values[3 * COLS + i] = 0.1f;
    assert_int_equal(jacob_cov(&jacobian).validity, SONDE_DEGENERATE);
    assert_int_equal(epe_nas(&jacobian, labels, 10).validity, SONDE_DEGENERATE);
    assert_true(jacob_cov(&jacobian).value == 0);
    values[5] = NAN;
    assert_int_equal(jacob_cov(&jacobian).validity, SONDE_NOT_FINITE);
    assert_int_equal(epe_nas(&jacobian, labels, 10).validity, SONDE_NOT_FINITE);
    jacobian.rows = 1;
    assert_int_equal(jacob_cov(&jacobian).validity, SONDE_TOO_FEW);
    const double huge[] = {1e300, -1e300, 0, 1e300, 1e300, -1e300};
    jacobian = doubles(huge, 2, 3);
    assert_int_equal(jacob_cov(&jacobian).validity, SONDE_OUT_OF_RANGE);
}

static void epe_nas_needs_two_examples_of_a_class(void **state)
{
    (void)state;
    float values[ROWS * COLS];
    sonde_matrix jacobian = floats(made_numbers(1, values, ROWS * COLS), 3, COLS);
    const int64_t apart[] = {0, 5, 9}, wrong[] = {0, 10, 1};
    assert_int_equal(epe_nas(&jacobian, apart, 10).validity, SONDE_TOO_FEW);
    assert_int_equal(epe_nas(&jacobian, apart, 200).validity, SONDE_TOO_FEW);
    sonde_context *context = check_context();
    sonde_score score;
    check_status(sonde_epe_nas(context, &jacobian, wrong, 10, &score), SONDE_ERROR_RANGE);
    assert_non_null(strstr(sonde_context_error(context)->message, "label 10 of row 1"));
    sonde_context_free(context);
}

static void the_number_of_threads_changes_no_bit(void **state)
{
    (void)state;
    float values[ROWS * COLS];
    const sonde_matrix jacobian = floats(made_numbers(1, values, ROWS * COLS), ROWS, COLS);
    sonde_score scores[2];
    for (int i = 0; i < 2; i++) {
        sonde_context_options options;
        sonde_context_options_init(&options);
        options.threads = i ? 8 : 1;
        sonde_context *context;
        assert_int_equal(sonde_context_create(&options, &context), SONDE_OK);
        check_ok(context, sonde_jacob_cov(context, &jacobian, &scores[i]));
        sonde_context_free(context);
    }
    assert_memory_equal(&scores[0].value, &scores[1].value, sizeof(double));
}

/* --- codes ------------------------------------------------------------------------------------- */

static sonde_score nwot_of(size_t n, const float *values, size_t stride, size_t units)
{
    sonde_context *context = check_context();
    sonde_nwot *nwot;
    sonde_score score;
    check_ok(context, sonde_nwot_create(context, n, &nwot));
    check_ok(context, sonde_nwot_add(nwot, values, stride, units));
    check_ok(context, sonde_nwot_score(nwot, &score));
    sonde_nwot_free(nwot);
    sonde_context_free(context);
    return score;
}

static void nwot_is_that_of_naslib(void **state)
{
    (void)state;
    float values[9 * 75];
    check_close(nwot_of(9, made_numbers(2, values, 9 * 75), 75, 75).value, GOLDEN_NWOT, 0, 1e-12,
                "nwot");
}

/* log det of [[u, u - h], [u - h, u]]. */
static void two_codes_score_by_their_distance(void **state)
{
    (void)state;
    enum { UNITS = 20000 };
    static float values[2 * UNITS];
    size_t apart = 0;
    made_numbers(5, values, 2 * UNITS);
    for (size_t i = 0; i < UNITS; i++)
        apart += (values[i] > 0) != (values[UNITS + i] > 0);
    const double u = UNITS, h = (double)apart;
    check_close(nwot_of(2, values, UNITS, UNITS).value, log(u * u - (u - h) * (u - h)), 0, 1e-14,
                "two codes");
}

static void padding_and_the_order_of_units_do_not_matter_to_nwot(void **state)
{
    (void)state;
    enum { N = 7, UNITS = 1200, STRIDE = 1600 };
    static float plain[N * UNITS], padded[N * STRIDE];
    made_numbers(6, plain, N * UNITS);
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < UNITS; k++) /* three real lanes of each four, back to front */
            padded[i * STRIDE + (UNITS - 1 - k) / 3 * 4 + (UNITS - 1 - k) % 3] =
                plain[i * UNITS + k];
    const sonde_score a = nwot_of(N, plain, UNITS, UNITS), b = nwot_of(N, padded, STRIDE, UNITS);
    assert_int_equal(a.validity, SONDE_VALID);
    assert_true(a.value == b.value);
}

static void relus_added_one_by_one_are_one_code(void **state)
{
    (void)state;
    enum { N = 6, UNITS = 90 };
    float values[N * UNITS], first[N * 40], second[N * 50];
    made_numbers(7, values, N * UNITS);
    for (size_t i = 0; i < N; i++) {
        memcpy(first + i * 40, values + i * UNITS, 40 * sizeof(float));
        memcpy(second + i * 50, values + i * UNITS + 40, 50 * sizeof(float));
    }
    sonde_context *context = check_context();
    sonde_nwot *nwot;
    sonde_score score;
    check_ok(context, sonde_nwot_create(context, N, &nwot));
    check_ok(context, sonde_nwot_score(nwot, &score));
    assert_int_equal(score.validity, SONDE_NOT_MEASURED);
    check_ok(context, sonde_nwot_add(nwot, first, 40, 40));
    check_ok(context, sonde_nwot_add(nwot, second, 50, 50));
    check_ok(context, sonde_nwot_score(nwot, &score));
    assert_true(score.value == nwot_of(N, values, UNITS, UNITS).value);
    sonde_nwot_free(nwot);
    sonde_context_free(context);
}

static void codes_that_coincide_have_no_score(void **state)
{
    (void)state;
    float values[5 * 30];
    made_numbers(8, values, 5 * 30);
    memcpy(values + 30, values, 30 * sizeof(float));
    assert_int_equal(nwot_of(5, values, 30, 30).validity, SONDE_DEGENERATE);
    made_numbers(8, values, 5 * 30);
    assert_int_equal(nwot_of(1, values, 30, 30).validity, SONDE_TOO_FEW);
    values[50] = NAN;
    assert_int_equal(nwot_of(5, values, 30, 30).validity, SONDE_NOT_FINITE);
    /* Codes 00, 01, 10, 11 differ, but rank 3 is all that two units give. */
    const float square[] = {-1, -1, -1, 1, 1, -1, 1, 1};
    assert_int_equal(nwot_of(4, square, 2, 2).validity, SONDE_DEGENERATE);
}

static void nwot_refuses_more_units_than_floats(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_nwot *nwot;
    const float values[4] = {0};
    check_ok(context, sonde_nwot_create(context, 2, &nwot));
    check_status(sonde_nwot_add(nwot, values, 2, 3), SONDE_ERROR_SHAPE);
    check_status(sonde_nwot_add(nwot, values, 2, 0), SONDE_ERROR_SHAPE);
    check_status(sonde_nwot_add(nwot, values, SIZE_MAX, 2), SONDE_ERROR_SHAPE);
    check_status(sonde_nwot_add(nwot, NULL, 2, 2), SONDE_ERROR_ARGUMENT);
    sonde_nwot_free(nwot);
    check_status(sonde_nwot_create(context, 0, &nwot), SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

/* --- zen --------------------------------------------------------------------------------------- */

static sonde_score zen(const float *a, const float *b, const double *variances)
{
    sonde_context *context = check_context();
    const sonde_matrix features = floats(a, 2, 3), perturbed = floats(b, 2, 3);
    sonde_score score;
    check_ok(context, sonde_zen(context, &features, &perturbed, variances, 2, &score));
    sonde_context_free(context);
    return score;
}

static void zen_adds_what_batch_norm_divided_out(void **state)
{
    (void)state;
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 2, 5, 4, 4, 7}, nan[] = {1, 2, NAN, 4, 5, 6};
    const double variances[] = {4, 9}, dead[] = {4, 0}, unknown[] = {4, NAN};
    check_close(zen(a, b, variances).value, log(2) + log(2) + log(3), 0, 1e-15, "zen");
    assert_int_equal(zen(a, a, variances).validity, SONDE_DEGENERATE);
    assert_int_equal(zen(a, b, dead).validity, SONDE_DEGENERATE);
    assert_int_equal(zen(a, b, unknown).validity, SONDE_NOT_FINITE);
    assert_int_equal(zen(a, nan, variances).validity, SONDE_NOT_FINITE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_proxy_is_found_by_its_name),
        cmocka_unit_test(weight_proxies_are_those_of_zero_cost_nas),
        cmocka_unit_test(strides_and_formats_do_not_matter),
        cmocka_unit_test(before_batch_norm_plain_is_zero_and_grasp_the_squared_gradient_norm),
        cmocka_unit_test(in_a_chain_without_bias_synflow_is_layers_times_the_output),
        cmocka_unit_test(in_a_chain_without_bias_plain_is_layers_times_logits_by_their_gradient),
        cmocka_unit_test(scores_without_what_they_need_are_not_measured),
        cmocka_unit_test(nan_in_a_gradient_is_no_score),
        cmocka_unit_test(layers_of_different_shapes_are_refused),
        cmocka_unit_test(jacobian_proxies_are_the_published_ones),
        cmocka_unit_test(uncorrelated_rows_reach_the_upper_bound_of_jacob_cov),
        cmocka_unit_test(equal_rows_correlate_fully),
        cmocka_unit_test(jacobians_without_correlation_have_no_score),
        cmocka_unit_test(epe_nas_needs_two_examples_of_a_class),
        cmocka_unit_test(the_number_of_threads_changes_no_bit),
        cmocka_unit_test(nwot_is_that_of_naslib),
        cmocka_unit_test(two_codes_score_by_their_distance),
        cmocka_unit_test(padding_and_the_order_of_units_do_not_matter_to_nwot),
        cmocka_unit_test(relus_added_one_by_one_are_one_code),
        cmocka_unit_test(codes_that_coincide_have_no_score),
        cmocka_unit_test(nwot_refuses_more_units_than_floats),
        cmocka_unit_test(zen_adds_what_batch_norm_divided_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
