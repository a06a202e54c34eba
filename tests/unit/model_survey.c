/*
 * Surveys against matrices whose singular values are known by construction: reflected diagonals,
 * pooled kernels, stacks, adapters; and what must hold whatever the numbers: the same bits for any
 * number of threads, a kept budget, what is finished after cancelling, files that fail.
 */
#include "failing.h"
#include "made_model.h"

#include <unistd.h>

static sonde_context *context;
static made_model made;
static sonde_model *model;
static sonde_survey *survey;
static sonde_survey_options options;

static int set_up(void **state)
{
    (void)state;
    context = check_context();
    sonde_survey_options_init(&options);
    options.spectrum.calibrate = false;
    survey = NULL;
    model = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sonde_survey_free(survey);
    sonde_model_close(model);
    made_free(&made);
    sonde_context_free(context);
    return 0;
}

static sonde_context *context_with(int threads, size_t limit)
{
    sonde_context *other = NULL;
    sonde_context_options about;
    sonde_context_options_init(&about);
    about.threads = threads;
    about.memory_limit = limit;
    assert_int_equal(sonde_context_create(&about, &other), SONDE_OK);
    return other;
}

static sonde_layer_spectrum layer_named(const char *name)
{
    sonde_layer_spectrum layer;
    for (size_t i = 0; i < sonde_survey_count(survey); i++) {
        check_ok(context, sonde_survey_layer(survey, i, &layer));
        if (strcmp(layer.name, name) == 0)
            return layer;
    }
    fail_msg("there is no layer %s", name);
    return (sonde_layer_spectrum){0};
}

static void run(void)
{
    model = made_open(context, &made, "model.safetensors");
    check_ok(context, sonde_survey_run(context, model, &options, &survey));
}

/* rows x cols with singular values `values` (min of both), `step` elements from entry to entry: a
 * diagonal between two reflections I - 2 v v^T / v^T v. */
static void plant(double *to, size_t step, size_t rows, size_t cols, const double *values,
                  uint64_t index)
{
    sonde__stream stream = sonde__stream_open(3, SONDE__RANDOM_TEST, index);
    const size_t n = rows < cols ? rows : cols;
    double *const u = malloc(rows * sizeof *u), *const v = malloc(cols * sizeof *v);
    double uu = 0, vv = 0, uav = 0;
    for (size_t i = 0; i < rows; i++)
        u[i] = sonde__random_normal(&stream), uu += u[i] * u[i];
    for (size_t j = 0; j < cols; j++)
        v[j] = sonde__random_normal(&stream), vv += v[j] * v[j];
    for (size_t i = 0; i < n; i++)
        uav += u[i] * values[i] * v[i];
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            double x = i == j ? values[i] : 0;
            x -= j < n ? 2 / uu * u[i] * u[j] * values[j] : 0;
            x -= i < n ? 2 / vv * values[i] * v[i] * v[j] : 0;
            to[(i * cols + j) * step] = x + 4 / (uu * vv) * u[i] * v[j] * uav;
        }
    free(u);
    free(v);
}

static void check_values(const sonde_layer_spectrum *layer, const double *ascending, size_t count,
                         double width)
{
    if (layer->skipped)
        fail_msg("%s is skipped: %s", layer->name, layer->skipped);
    assert_int_equal(layer->count, count);
    const double largest = ascending[count - 1] * ascending[count - 1] / width;
    for (size_t i = 0; i < count; i++)
        check_close(layer->eigenvalues[i], ascending[i] * ascending[i] / width, 1e-12 * largest, 0,
                    "eigenvalue");
}

static void dense_layers_have_the_planted_values(void **state)
{
    (void)state;
    double values[24];
    for (int i = 0; i < 24; i++)
        values[i] = 0.5 + i;
    plant(made_doubles(&made, "a.weight", SHAPE(24, 60)), 1, 24, 60, values, 1);
    plant(made_doubles(&made, "embed_tokens.weight", SHAPE(70, 24)), 1, 70, 24, values, 2);
    plant(made_doubles(&made, "vit.pos_embed", SHAPE(1, 24, 24)), 1, 24, 24, values, 3);
    run();
    assert_int_equal(sonde_survey_count(survey), 3);
    const sonde_layer_spectrum a = layer_named("a.weight");
    check_values(&a, values, 24, 60);
    assert_int_equal(a.report.rows, 24);
    assert_int_equal(a.report.cols, 60);
    double sum = 0;
    for (int i = 0; i < 24; i++)
        sum += values[i] * values[i];
    check_close(a.report.frobenius, sqrt(sum), 0, 1e-12, "Frobenius norm");
    check_close(a.shape.stable_rank, sum / (23.5 * 23.5), 0, 1e-12, "stable rank");
    const sonde_layer_spectrum b = layer_named("embed_tokens.weight");
    check_values(&b, values, 24, 70);
    assert_int_equal(b.kind, SONDE_LAYER_EMBEDDING);
    assert_int_equal(b.dims, 2);
    assert_int_equal(b.dim[0], 70);
    const sonde_layer_spectrum c = layer_named("vit.pos_embed");
    check_values(&c, values, 24, 24);
}

/* Position p of a 14 x 20 x 3 x 2 kernel has the values 1 + i + p / 10. */
static void plant_kernel(double pooled[84])
{
    double *const kernel = made_doubles(&made, "conv.weight", SHAPE(14, 20, 3, 2));
    for (size_t p = 0; p < 6; p++) {
        double values[14];
        for (size_t i = 0; i < 14; i++) {
            values[i] = 1 + (double)i + (double)p / 10;
            pooled[6 * i + p] = values[i]; /* ascending, since p / 10 < 1 */
        }
        plant(kernel + p, 6, 14, 20, values, p);
    }
}

static void kernel_positions_are_pooled_ascending(void **state)
{
    (void)state;
    double pooled[84];
    plant_kernel(pooled);
    run();
    const sonde_layer_spectrum layer = layer_named("conv.weight");
    check_values(&layer, pooled, 84, 20);
    assert_int_equal(layer.slices, 6);
    assert_int_equal(layer.report.rows, 14);
    assert_int_equal(layer.kind, SONDE_LAYER_CONVOLUTION);
}

static void kernel_positions_are_layers_of_their_own_on_request(void **state)
{
    (void)state;
    double pooled[84], values[14];
    plant_kernel(pooled);
    options.convolution = SONDE_CONVOLUTION_SLICES;
    run();
    assert_int_equal(sonde_survey_count(survey), 6);
    const sonde_layer_spectrum layer = layer_named("conv.weight[2,1]");
    for (int i = 0; i < 14; i++)
        values[i] = 1 + i + 0.5;
    check_values(&layer, values, 14, 20);
}

static void a_flat_kernel_is_one_matrix(void **state)
{
    (void)state;
    double values[12];
    for (int i = 0; i < 12; i++)
        values[i] = 2 + i;
    plant(made_doubles(&made, "conv.weight", SHAPE(12, 3, 3, 3)), 1, 12, 27, values, 1);
    options.convolution = SONDE_CONVOLUTION_FLAT;
    run();
    const sonde_layer_spectrum layer = layer_named("conv.weight");
    check_values(&layer, values, 12, 27);
}

static void experts_of_a_stack_are_measured_one_by_one(void **state)
{
    (void)state;
    double *const stack = made_doubles(&made, "mlp.experts.w1", SHAPE(3, 16, 24));
    for (size_t e = 0; e < 3; e++) {
        double values[16];
        for (size_t i = 0; i < 16; i++)
            values[i] = (double)(i + 1) * (double)(e + 1);
        plant(stack + e * 16 * 24, 1, 16, 24, values, e);
    }
    run();
    assert_int_equal(sonde_survey_count(survey), 3);
    const sonde_layer_spectrum layer = layer_named("mlp.experts.w1[2]");
    double values[16];
    for (int i = 0; i < 16; i++)
        values[i] = 3 * (i + 1);
    check_values(&layer, values, 16, 24);
    assert_int_equal(layer.kind, SONDE_LAYER_EXPERT);
    assert_int_equal(layer.dims, 3);
}

static void numbers_that_are_not_finite_are_a_validity(void **state)
{
    (void)state;
    float *const weight = made_floats(&made, "a.weight", SHAPE(20, 30));
    made_random(weight, 600, 1, 1);
    weight[333] = NAN;
    made_random(made_floats(&made, "b.weight", SHAPE(20, 30)), 600, 2, 1);
    double *const large = made_doubles(&made, "c.weight", SHAPE(20, 30));
    for (int i = 0; i < 20; i++)
        large[31 * i] = 1e300;
    float *const kernel = made_floats(&made, "conv.weight", SHAPE(12, 12, 2, 2));
    made_random(kernel, 12 * 12 * 4, 3, 1);
    kernel[100] = INFINITY;
    run();
    const sonde_layer_spectrum a = layer_named("a.weight");
    assert_null(a.skipped);
    assert_int_equal(a.report.validity, SONDE_NOT_FINITE);
    assert_int_equal(a.report.rows, 20);
    assert_int_equal(a.count, 20);
    assert_true(a.eigenvalues[19] == 0);
    assert_int_equal(layer_named("b.weight").report.spikes, 0);
    assert_true(layer_named("b.weight").report.largest > 0);
    assert_int_equal(layer_named("c.weight").report.validity, SONDE_OUT_OF_RANGE);
    assert_int_equal(layer_named("conv.weight").report.validity, SONDE_NOT_FINITE);
}

/* --- adapters ----------------------------------------------------------------------------------- */

/* Values of the dense product scale * up (m x r) down (r x n), plus base where there is one. */
static void dense_values(const float *up, const float *down, size_t m, size_t r, size_t n,
                         double scale, const float *base, double *values)
{
    double *const sum = calloc(m * n, sizeof *sum);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            for (size_t k = 0; k < r; k++)
                sum[i * n + j] += scale * (double)up[i * r + k] * (double)down[k * n + j];
            sum[i * n + j] += base ? (double)base[i * n + j] : 0;
        }
    const sonde_matrix matrix = {sum, SONDE_F64, m, n, 0};
    check_ok(context, sonde_singular_values(context, &matrix, values));
    free(sum);
}

static void an_adapter_has_the_values_of_its_product(void **state)
{
    (void)state;
    float *const down = made_floats(&made, "l.q.lora_down.weight", SHAPE(5, 40));
    float *const up = made_floats(&made, "l.q.lora_up.weight", SHAPE(30, 5));
    *made_floats(&made, "l.q.alpha", SHAPE(-1)) = 10;
    made_random(down, 200, 1, 1);
    made_random(up, 150, 2, 1);
    run();
    assert_int_equal(sonde_survey_count(survey), 1);
    const sonde_layer_spectrum layer = layer_named("l.q");
    double values[30];
    dense_values(up, down, 30, 5, 40, 2, NULL, values);
    check_values(&layer, values + 25, 5, 40);
    assert_int_equal(layer.kind, SONDE_LAYER_LORA);
    check_close(layer.report.spectral, values[29], 0, 1e-12, "spectral norm");
    assert_int_equal(layer.report.validity, SONDE_DEGENERATE);
    assert_int_equal(layer.shape.matrix_rank, 5);
    assert_non_null(strstr(layer.note, "scale 2"));
}

static void an_adapter_of_a_rank_above_its_sides_still_has_them_all(void **state)
{
    (void)state;
    float *const down = made_floats(&made, "x.lora_A.weight", SHAPE(20, 12));
    float *const up = made_floats(&made, "x.lora_B.weight", SHAPE(30, 20));
    made_random(down, 240, 1, 1);
    made_random(up, 600, 2, 1);
    options.adapter_scale = 0.5;
    run();
    const sonde_layer_spectrum layer = layer_named("x");
    double values[12];
    dense_values(up, down, 30, 20, 12, 0.5, NULL, values);
    check_values(&layer, values, 12, 30);
}

static void an_adapter_with_its_base_is_their_sum(void **state)
{
    (void)state;
    made_model base_made = {.count = 0};
    float *const base = made_floats(&base_made, "model.l.q.weight", SHAPE(30, 40));
    made_random(base, 1200, 5, 1);
    float *const table = made_floats(&base_made, "model.embed.weight", SHAPE(50, 16));
    made_random(table, 800, 6, 1);
    float *const down =
        made_floats(&made, "base_model.model.model.l.q.lora_A.weight", SHAPE(3, 40));
    float *const up = made_floats(&made, "base_model.model.model.l.q.lora_B.weight", SHAPE(30, 3));
    made_random(down, 120, 1, 1);
    made_random(up, 90, 2, 1);
    float *const a =
        made_floats(&made, "base_model.model.model.embed.lora_embedding_A", SHAPE(2, 50));
    float *const b =
        made_floats(&made, "base_model.model.model.embed.lora_embedding_B", SHAPE(16, 2));
    made_random(a, 100, 3, 1);
    made_random(b, 32, 4, 1);
    made_floats(&made, "base_model.model.gone.lora_A.weight", SHAPE(3, 40));
    made_floats(&made, "base_model.model.gone.lora_B.weight", SHAPE(30, 3));
    options.base = made_open(context, &base_made, "base.safetensors");
    run();
    const sonde_layer_spectrum layer = layer_named("base_model.model.model.l.q");
    double values[30];
    dense_values(up, down, 30, 3, 40, 1, base, values);
    check_values(&layer, values, 30, 40);
    /* The table is tokens x width, the product width x tokens. */
    float at[100], bt[32];
    for (int i = 0; i < 50; i++)
        for (int k = 0; k < 2; k++)
            at[2 * i + k] = a[50 * k + i];
    for (int j = 0; j < 16; j++)
        for (int k = 0; k < 2; k++)
            bt[16 * k + j] = b[2 * j + k];
    const sonde_layer_spectrum embedding = layer_named("base_model.model.model.embed");
    dense_values(at, bt, 50, 2, 16, 1, table, values);
    check_values(&embedding, values, 16, 50);
    assert_non_null(strstr(layer_named("base_model.model.gone").skipped, "no tensor for it"));
    sonde_model_close(options.base);
    made_free(&base_made);
}

/* --- whatever the numbers ----------------------------------------------------------------------- */

static void add_many(void)
{
    for (int i = 0; i < 12; i++) {
        char name[32];
        const int64_t rows = 30 + 7 * (i % 3), cols = 40 + 11 * (i % 4);
        snprintf(name, sizeof name, "l%d.weight", i);
        made_random(made_floats(&made, name, SHAPE(rows, cols)), (size_t)(rows * cols), (uint64_t)i,
                    0.1);
    }
    made_random(made_floats(&made, "conv.weight", SHAPE(20, 24, 3, 3)), 20 * 24 * 9, 99, 0.1);
}

static void results_do_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    add_many();
    options.spectrum.calibrate = true;
    run();
    for (int threads = 1; threads <= 4; threads += 3) {
        sonde_context *const other = context_with(threads, 0);
        sonde_model *again = NULL;
        sonde_survey *same = NULL;
        check_ok(other, sonde_model_open(other, folder_path("model.safetensors"), NULL, &again));
        check_ok(other, sonde_survey_run(other, again, &options, &same));
        assert_int_equal(sonde_survey_count(same), sonde_survey_count(survey));
        for (size_t i = 0; i < sonde_survey_count(same); i++) {
            sonde_layer_spectrum a, b;
            check_ok(other, sonde_survey_layer(same, i, &a));
            check_ok(context, sonde_survey_layer(survey, i, &b));
            assert_string_equal(a.name, b.name);
            assert_int_equal(a.count, b.count);
            assert_memory_equal(a.eigenvalues, b.eigenvalues, a.count * sizeof(double));
            assert_true(a.report.statistic == b.report.statistic);
            assert_true(a.report.threshold_calibrated == b.report.threshold_calibrated);
            assert_true(b.report.threshold_calibrated > 0);
            assert_true(a.shape.alpha == b.shape.alpha);
        }
        sonde_survey_free(same);
        sonde_model_close(again);
        sonde_context_free(other);
    }
}

static void what_does_not_fit_in_the_budget_says_how_much_it_needs(void **state)
{
    (void)state;
    made_random(made_floats(&made, "small.weight", SHAPE(20, 30)), 600, 1, 1);
    made_floats(&made, "large.weight", SHAPE(900, 900));
    made_random(made_floats(&made, "other.weight", SHAPE(40, 30)), 1200, 2, 1);
    const size_t limit = 5 << 20;
    made_write(context, &made, "model.safetensors");
    sonde_context *const small = context_with(2, limit);
    check_ok(small, sonde_model_open(small, folder_path("model.safetensors"), NULL, &model));
    check_ok(small, sonde_survey_run(small, model, &options, &survey));
    const sonde_layer_spectrum large = layer_named("large.weight");
    assert_non_null(large.skipped);
    assert_non_null(strstr(large.skipped, "bytes) at once"));
    unsigned long long bytes = 0;
    assert_int_equal(sscanf(strchr(large.skipped, '('), "(%llu bytes", &bytes), 1);
    assert_true(bytes >= 900 * 900 * sizeof(double));
    assert_null(layer_named("small.weight").skipped);
    assert_null(layer_named("other.weight").skipped);
    assert_true(sonde_context_memory_peak(small) <= limit);
    sonde_survey_free(survey);
    sonde_model_close(model);
    survey = NULL;
    model = NULL;
    sonde_context_free(small);
}

typedef struct watcher {
    int calls;
    size_t stop_after; /* layers done */
    double last;
    bool went_back;
} watcher;

static bool watch(void *user, const sonde_survey_progress *progress)
{
    watcher *const own = user;
    own->calls++;
    own->went_back = own->went_back || progress->work_done < own->last;
    own->last = progress->work_done;
    return progress->layers_done < own->stop_after;
}

static void progress_ends_at_all_of_the_work(void **state)
{
    (void)state;
    watcher own = {.stop_after = 1000};
    add_many();
    options.progress = watch;
    options.progress_user = &own;
    run();
    assert_true(own.calls >= 2);
    assert_false(own.went_back);
    assert_true(own.last == 1);
}

static void a_callback_that_says_no_leaves_what_is_finished(void **state)
{
    (void)state;
    watcher own = {.stop_after = 0};
    add_many();
    made_random(made_floats(&made, "large.weight", SHAPE(700, 900)), 630000, 1, 1);
    made_floats(&made, "norm.weight", SHAPE(7));
    options.progress = watch;
    options.progress_user = &own;
    model = made_open(context, &made, "model.safetensors");
    check_status(sonde_survey_run(context, model, &options, &survey), SONDE_ERROR_CANCELLED);
    assert_non_null(survey);
    assert_int_equal(sonde_survey_count(survey), 15);
    size_t unfinished = 0;
    for (size_t i = 0; i < sonde_survey_count(survey); i++) {
        sonde_layer_spectrum layer;
        check_ok(context, sonde_survey_layer(survey, i, &layer));
        const bool no = layer.skipped && strcmp(layer.skipped, "not finished") == 0;
        unfinished += no;
        assert_true(layer.skipped ? !layer.eigenvalues : layer.count > 0);
    }
    assert_true(unfinished > 0);
    assert_non_null(strstr(layer_named("norm.weight").skipped, "vector"));
    /* The context is as usable as before. */
    sonde_survey_free(survey);
    survey = NULL;
    options.progress = NULL;
    options.layers = "l1.*";
    check_ok(context, sonde_survey_run(context, model, &options, &survey));
    assert_null(layer_named("l1.weight").skipped);
}

static void a_cancelled_context_ends_the_survey(void **state)
{
    (void)state;
    sonde_context *const other = context_with(2, 0);
    add_many();
    made_write(context, &made, "model.safetensors");
    check_ok(other, sonde_model_open(other, folder_path("model.safetensors"), NULL, &model));
    sonde_context_cancel(other);
    check_status(sonde_survey_run(other, model, &options, &survey), SONDE_ERROR_CANCELLED);
    assert_int_equal(sonde_survey_count(survey), 13);
    sonde_survey_free(survey);
    survey = NULL;
    sonde_model_close(model);
    model = NULL;
    sonde_context_free(other);
}

static void a_file_that_shrinks_ends_the_survey_with_its_name(void **state)
{
    (void)state;
    add_many();
    model = made_open(context, &made, "model.safetensors");
    assert_int_equal(truncate(folder_path("model.safetensors"), 4096), 0);
    check_status(sonde_survey_run(context, model, &options, &survey), SONDE_ERROR_TRUNCATED);
    assert_null(survey);
    assert_non_null(strstr(sonde_context_error(context)->file, "model.safetensors"));
    assert_true(strlen(sonde_context_error(context)->message) > 0);
}

static sonde_status survey_and_free(sonde_context *own, void *argument)
{
    const char *const *const paths = argument;
    sonde_survey_options about;
    sonde_model *opened = NULL, *base = NULL;
    sonde_survey *made_here = NULL;
    sonde_survey_options_init(&about);
    about.spectrum.calibrate = false;
    sonde_status status = sonde_model_open(own, paths[0], NULL, &opened);
    if (status == SONDE_OK)
        status = sonde_model_open(own, paths[1], NULL, &base);
    about.base = base;
    if (status == SONDE_OK)
        status = sonde_survey_run(own, opened, &about, &made_here);
    sonde_survey_free(made_here);
    sonde_model_close(opened);
    sonde_model_close(base);
    return status;
}

static void a_refused_allocation_is_a_status_or_a_skipped_layer(void **state)
{
    (void)state;
    made_model base = {.count = 0};
    made_random(made_floats(&base, "l.q.weight", SHAPE(14, 20)), 280, 5, 1);
    made_write(context, &base, "base.safetensors");
    made_random(made_floats(&made, "a.weight", SHAPE(12, 16)), 192, 1, 1);
    made_random(made_floats(&made, "conv.weight", SHAPE(12, 12, 2, 2)), 576, 2, 1);
    made_random(made_floats(&made, "l.q.lora_A.weight", SHAPE(3, 20)), 60, 3, 1);
    made_random(made_floats(&made, "l.q.lora_B.weight", SHAPE(14, 3)), 42, 4, 1);
    made_floats(&made, "norm.weight", SHAPE(12));
    made_write(context, &made, "model.safetensors");
    const char *paths[] = {folder_path("model.safetensors"), folder_path("base.safetensors")};
    assert_true(failing_run(survey_and_free, (void *)paths) > 20);
    made_free(&base);
}

static void a_fast_survey_sees_the_spike_of_the_exact_one(void **state)
{
    (void)state;
    enum { M = 700, N = 900 };
    float *const weight = made_floats(&made, "a.weight", SHAPE(M, N));
    made_random(weight, (size_t)M * N, 1, 0.1);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) /* singular value about 16, the edge 5.6 */
            weight[i * N + j] += (float)(0.02 * ((i & 1) ? 1 : -1) * ((j & 2) ? 1 : -1));
    run();
    sonde_survey *const exact = survey;
    survey = NULL;
    options.fast = true;
    check_ok(context, sonde_survey_run(context, model, &options, &survey));
    sonde_layer_spectrum a, b;
    check_ok(context, sonde_survey_layer(exact, 0, &a));
    check_ok(context, sonde_survey_layer(survey, 0, &b));
    assert_int_equal(a.report.spikes, 1);
    assert_int_equal(b.report.spikes, 1);
    assert_int_equal(a.count, b.count);
    assert_true(a.error_bound == 0);
    check_close(b.report.largest, a.report.largest, 0, 1e-6, "largest eigenvalue");
    sonde_survey_free(exact);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    sonde_context *const other = context_with(1, 0);
    made_floats(&made, "a.weight", SHAPE(16, 16));
    model = made_open(context, &made, "model.safetensors");
    options.least = 0;
    check_status(sonde_survey_run(context, model, &options, &survey), SONDE_ERROR_ARGUMENT);
    sonde_survey_options_init(&options);
    options.size--;
    check_status(sonde_survey_run(context, model, &options, &survey), SONDE_ERROR_ARGUMENT);
    check_status(sonde_survey_run(other, model, NULL, &survey), SONDE_ERROR_ARGUMENT);
    check_status(sonde_survey_run(context, NULL, NULL, &survey), SONDE_ERROR_ARGUMENT);
    assert_null(survey);
    sonde_context_free(other);
}

static void a_model_without_matrices_is_an_empty_survey(void **state)
{
    (void)state;
    made_floats(&made, "norm.weight", SHAPE(16));
    run();
    assert_int_equal(sonde_survey_count(survey), 1);
    sonde_layer_spectrum layer;
    check_status(sonde_survey_layer(survey, 1, &layer), SONDE_ERROR_RANGE);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(dense_layers_have_the_planted_values),
        EACH(kernel_positions_are_pooled_ascending),
        EACH(kernel_positions_are_layers_of_their_own_on_request),
        EACH(a_flat_kernel_is_one_matrix),
        EACH(experts_of_a_stack_are_measured_one_by_one),
        EACH(numbers_that_are_not_finite_are_a_validity),
        EACH(an_adapter_has_the_values_of_its_product),
        EACH(an_adapter_of_a_rank_above_its_sides_still_has_them_all),
        EACH(an_adapter_with_its_base_is_their_sum),
        EACH(results_do_not_depend_on_the_number_of_threads),
        EACH(what_does_not_fit_in_the_budget_says_how_much_it_needs),
        EACH(progress_ends_at_all_of_the_work),
        EACH(a_callback_that_says_no_leaves_what_is_finished),
        EACH(a_cancelled_context_ends_the_survey),
        EACH(a_file_that_shrinks_ends_the_survey_with_its_name),
        EACH(a_refused_allocation_is_a_status_or_a_skipped_layer),
        EACH(a_fast_survey_sees_the_spike_of_the_exact_one),
        EACH(wrong_options_are_refused),
        EACH(a_model_without_matrices_is_an_empty_survey),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
