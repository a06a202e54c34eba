/*
 * Norms, ranks and the power law of spectra whose numbers are known by algebra, and what happens to
 * spectra that have none.
 */
#include "check.h"

#include "base/random.h"
#include "num/rank.h"
#include "signal/spectrum.h"

enum { N = 12, WIDE = 15 };

static sonde_context *context;

static int set_up(void **state)
{
    (void)state;
    context = check_context();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sonde_context_free(context);
    return 0;
}

/* Judged without calibration, which no number here depends on. */
static sonde_spectrum_report judge(const double *x, size_t count, size_t rows, size_t cols)
{
    sonde_spectrum_options options;
    sonde_spectrum_report report;
    sonde_spectrum_options_init(&options);
    options.calibrate = false;
    options.slices = (int)(count / (rows < cols ? rows : cols));
    check_ok(context, sonde_spectrum_judge(context, x, count, rows, cols, &options, &report));
    return report;
}

static sonde_spectrum_shape_report shape_of(const double *x, size_t count, size_t rows, size_t cols)
{
    const sonde_spectrum_report report = judge(x, count, rows, cols);
    sonde_spectrum_shape_report shape;
    check_ok(context, sonde_spectrum_shape(context, x, count, &report, &shape));
    return shape;
}

/* Singular values 1 .. 12 of a 12 x 15 matrix. */
static void fill_known(double *x)
{
    for (int i = 0; i < N; i++)
        x[i] = (i + 1) * (i + 1) / (double)WIDE;
}

static void norms_and_ranks_of_known_singular_values(void **state)
{
    (void)state;
    double x[N], entropy = 0, powers = 0;
    fill_known(x);
    const sonde_spectrum_shape_report shape = shape_of(x, N, N, WIDE);
    check_close(shape.log_norm, log10(650), 1e-13, 0, "log norm"); /* 1 + 4 + ... + 144 */
    check_close(shape.log_spectral_norm, log10(144), 1e-13, 0, "log spectral norm");
    check_close(shape.stable_rank, 650 / 144.0, 0, 1e-13, "stable rank");
    assert_int_equal(shape.matrix_rank, 12);
    for (int i = 1; i <= N; i++) {
        entropy -= i * i / 650.0 * log(i * i / 650.0);
        powers += pow(i, 2 * shape.alpha);
    }
    check_close(shape.effective_rank, exp(entropy), 0, 1e-12, "effective rank");
    check_close(shape.xmax, 144, 0, 1e-13, "xmax");
    assert_true(shape.alpha > 1 && shape.tail >= 2);
    check_close(shape.xmin, (13.0 - (double)shape.tail) * (13.0 - (double)shape.tail), 0, 1e-13,
                "xmin");
    check_close(shape.alpha_weighted, shape.alpha * log10(144), 0, 1e-13, "alpha weighted");
    check_close(shape.log_alpha_norm, log10(powers), 1e-12, 0, "log alpha norm");
}

static void equal_singular_values_have_full_effective_rank_and_no_tail(void **state)
{
    (void)state;
    double x[20];
    for (int i = 0; i < 20; i++)
        x[i] = 0.7;
    const sonde_spectrum_shape_report shape = shape_of(x, 20, 20, 40);
    check_close(shape.effective_rank, 20, 0, 1e-12, "effective rank");
    check_close(shape.stable_rank, 20, 0, 1e-12, "stable rank");
    assert_int_equal(shape.power_law, SONDE_DEGENERATE);
    assert_true(shape.alpha == 0 && shape.alpha_weighted == 0 && shape.log_alpha_norm == 0);
}

static void rank_counts_what_rounding_cannot_explain(void **state)
{
    (void)state;
    double x[100];
    for (int i = 0; i < 100; i++) { /* s = 1 for 60; the rest around 200 * 2^-52 = 4.4e-14 */
        const double s = i < 20 ? 1e-15 : i < 40 ? 1e-13 : 1;
        x[i] = s * s / 200;
    }
    const sonde_spectrum_shape_report shape = shape_of(x, 100, 100, 200);
    assert_int_equal(shape.matrix_rank, 80);
    assert_true(shape.tail <= 80);
}

static void scaling_shifts_the_logarithms(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    double x[COUNT], scratch[COUNT], scaled[COUNT];
    sonde__stream stream = sonde__stream_open(8, SONDE__RANDOM_TEST, 0);
    for (int i = 0; i < COUNT; i++)
        x[i] = pow(1 - sonde__random_uniform(&stream), -0.5); /* alpha = 3 */
    sonde__sort(x, COUNT, scratch);
    const sonde_spectrum_shape_report first = shape_of(x, COUNT, COUNT, 300);
    assert_int_equal(first.power_law, SONDE_VALID);
    check_close(first.alpha, 3, 4 * first.alpha_error, 0, "alpha");
    const double shifts[] = {1, -200, 250};
    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < COUNT; i++)
            scaled[i] = x[i] * pow(10, shifts[s]);
        const sonde_spectrum_shape_report shape = shape_of(scaled, COUNT, COUNT, 300);
        check_close(shape.alpha, first.alpha, 0, 1e-10, "alpha");
        check_close(shape.log_norm, first.log_norm + shifts[s], 1e-10, 0, "log norm");
        check_close(shape.log_alpha_norm, first.log_alpha_norm + shape.alpha * shifts[s], 1e-9, 0,
                    "log alpha norm"); /* its sum itself would be no double */
        check_close(shape.effective_rank, first.effective_rank, 0, 1e-10, "effective rank");
        assert_int_equal(shape.matrix_rank, first.matrix_rank);
    }
}

static void edge_margin_is_in_tracy_widom_widths(void **state)
{
    (void)state;
    enum { ROWS = 100, COLS = 250 };
    float w[ROWS * COLS];
    double x[ROWS];
    sonde__stream stream = sonde__stream_open(9, SONDE__RANDOM_TEST, 0);
    for (int i = 0; i < ROWS * COLS; i++)
        w[i] = (float)sonde__random_normal(&stream);
    for (int planted = 0; planted < 2; planted++) {
        sonde_spectrum_report report;
        sonde_spectrum_shape_report shape;
        const sonde_matrix matrix = {w, SONDE_F32, ROWS, COLS, 0};
        check_ok(context, sonde_spectrum(context, &matrix, NULL, &report, x));
        check_ok(context, sonde_spectrum_shape(context, x, ROWS, &report, &shape));
        assert_int_equal(report.spikes, planted);
        assert_true((shape.edge_margin > 0) == (planted > 0));
        const double c = 0.4, root = 1 + sqrt(c); /* BEMA's scale */
        const double width =
            report.sigma2 * root * cbrt(1 / sqrt(100.0) + 1 / sqrt(250.0)) / sqrt(250.0);
        check_close(shape.edge_margin, (report.largest - report.edge) / width, 0, 1e-9, "margin");
        for (int i = 0; i < ROWS * COLS; i++)
            w[i] += 0.3f; /* one direction */
    }
}

static void pooled_slices_are_one_list(void **state)
{
    (void)state;
    double one[N], three[3 * N], scratch[3 * N];
    fill_known(one);
    for (int i = 0; i < 3 * N; i++)
        three[i] = one[i % N];
    sonde__sort(three, 3 * N, scratch);
    const sonde_spectrum_shape_report single = shape_of(one, N, N, WIDE);
    const sonde_spectrum_shape_report pooled = shape_of(three, 3 * N, N, WIDE);
    check_close(pooled.log_norm, single.log_norm + log10(3), 1e-12, 0, "log norm");
    check_close(pooled.log_spectral_norm, single.log_spectral_norm, 0, 0, "log spectral norm");
    check_close(pooled.stable_rank, 3 * single.stable_rank, 0, 1e-12, "stable rank");
    check_close(pooled.effective_rank, 3 * single.effective_rank, 0, 1e-12, "effective rank");
    assert_int_equal(pooled.matrix_rank, 36);
}

static void spectra_without_numbers_are_named(void **state)
{
    (void)state;
    double x[40] = {0};
    sonde_spectrum_shape_report shape = shape_of(x, 40, 40, 60);
    assert_int_equal(shape.power_law, SONDE_DEGENERATE);
    assert_true(shape.log_norm == 0 && shape.matrix_rank == 0 && shape.effective_rank == 0);
    x[39] = NAN;
    shape = shape_of(x, 40, 40, 60);
    assert_int_equal(shape.power_law, SONDE_NOT_FINITE);
    x[39] = 1.7e308;
    shape = shape_of(x, 40, 40, 60); /* s^2 = 60 * X is no double */
    assert_int_not_equal(shape.power_law, SONDE_VALID);
    const double few[3] = {1, 2, 3};
    shape = shape_of(few, 3, 3, 4);
    assert_int_equal(shape.power_law, SONDE_TOO_FEW);
    check_close(shape.log_norm, log10(24), 1e-13, 0, "log norm of three");
    assert_int_equal(shape.matrix_rank, 3);
}

static void wrong_arguments_leave_the_output_untouched(void **state)
{
    (void)state;
    double x[N];
    fill_known(x);
    const sonde_spectrum_report report = judge(x, N, N, WIDE), empty = {0};
    sonde_spectrum_shape_report shape = {.alpha = 77};
    check_status(sonde_spectrum_shape(NULL, x, N, &report, &shape), SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum_shape(context, NULL, N, &report, &shape), SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum_shape(context, x, N, NULL, &shape), SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum_shape(context, x, N, &report, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum_shape(context, x, N, &empty, &shape), SONDE_ERROR_RANGE);
    check_status(sonde_spectrum_shape(context, x, N - 1, &report, &shape), SONDE_ERROR_RANGE);
    x[3] = 1e9;
    check_status(sonde_spectrum_shape(context, x, N, &report, &shape), SONDE_ERROR_RANGE);
    x[3] = NAN;
    check_status(sonde_spectrum_shape(context, x, N, &report, &shape), SONDE_ERROR_RANGE);
    assert_true(shape.alpha == 77);
}

static void numbers_stay_finite_whatever_the_eigenvalues(void **state)
{
    (void)state;
    for (uint64_t draw = 0; draw < 3000; draw++) {
        sonde__stream stream = sonde__stream_open(77, SONDE__RANDOM_TEST, draw);
        const size_t rows = 1 + (size_t)sonde__random_below(&stream, 40);
        const size_t cols = 1 + (size_t)sonde__random_below(&stream, 60);
        const size_t slices = 1 + (size_t)sonde__random_below(&stream, 5);
        const size_t count = slices * (rows < cols ? rows : cols);
        double x[200], scratch[200];
        for (size_t i = 0; i < count; i++) {
            const double u = sonde__random_uniform(&stream);
            const double choices[] = {u, pow(10, 600 * u - 300), floor(4 * u),
                                      5e-324 * floor(20 * u), u < 0.2 ? 1.79e308 : u};
            x[i] = choices[draw % 5];
        }
        sonde__sort(x, count, scratch);
        const sonde_spectrum_report report = judge(x, count, rows, cols);
        sonde_spectrum_shape_report shape;
        check_ok(context, sonde_spectrum_shape(context, x, count, &report, &shape));
        assert_true(isfinite(report.distance) && isfinite(report.statistic));
        assert_true(isfinite(report.sigma2) && isfinite(report.edge) && isfinite(report.entropy));
        assert_true(isfinite(shape.alpha) && isfinite(shape.log_alpha_norm));
        assert_true(isfinite(shape.log_norm) && isfinite(shape.edge_margin));
        assert_true(isfinite(shape.effective_rank) && shape.matrix_rank <= count);
    }
}

static void out_of_memory_is_a_status_at_every_allocation(void **state)
{
    (void)state;
    double x[200];
    for (int i = 0; i < 200; i++)
        x[i] = 1 + 0.02 * i;
    sonde_status status = SONDE_ERROR_MEMORY;
    for (size_t limit = 128; status != SONDE_OK; limit += 100) {
        sonde_context_options options;
        sonde_spectrum_options pooled;
        sonde_context *tight = NULL;
        sonde_spectrum_report report = {.rows = 77};
        sonde_spectrum_shape_report shape = {.alpha = 77};
        sonde_context_options_init(&options);
        sonde_spectrum_options_init(&pooled);
        pooled.calibrate = false;
        pooled.slices = 2;
        options.memory_limit = limit;
        assert_int_equal(sonde_context_create(&options, &tight), SONDE_OK);
        status = sonde_spectrum_judge(tight, x, 200, 100, 150, &pooled, &report);
        if (status != SONDE_OK)
            assert_int_equal(report.rows, 77);
        else
            status = sonde_spectrum_shape(tight, x, 200, &report, &shape);
        if (status != SONDE_OK) {
            check_status(status, SONDE_ERROR_MEMORY);
            assert_true(shape.alpha == 77);
            assert_int_equal(sonde_context_error(tight)->status, SONDE_ERROR_MEMORY);
        }
        sonde_context_free(tight);
        assert_true(limit < 1000000);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(norms_and_ranks_of_known_singular_values),
        TEST(equal_singular_values_have_full_effective_rank_and_no_tail),
        TEST(rank_counts_what_rounding_cannot_explain),
        TEST(scaling_shifts_the_logarithms),
        TEST(edge_margin_is_in_tracy_widom_widths),
        TEST(pooled_slices_are_one_list),
        TEST(spectra_without_numbers_are_named),
        TEST(wrong_arguments_leave_the_output_untouched),
        TEST(numbers_stay_finite_whatever_the_eigenvalues),
        TEST(out_of_memory_is_a_status_at_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
