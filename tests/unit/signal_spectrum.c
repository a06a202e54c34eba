/*
 * The spectral criterion against what is published and what must hold by algebra: the null table of
 * methods section 3.2, the lift of a spike, planted spikes, invariance, bad numbers,
 * and pooled slices.
 */
#include "check.h"

#include "base/random.h"
#include "num/rank.h"
#include "signal/spectrum.h"
#include "signal/spectrum_null.h"

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

static float *random_matrix(size_t rows, size_t cols, uint64_t index, double scale)
{
    float *values = malloc(rows * cols * sizeof *values);
    assert_non_null(values);
    sonde__stream stream = sonde__stream_open(5, SONDE__RANDOM_TEST, index);
    for (size_t i = 0; i < rows * cols; i++)
        values[i] = (float)(scale * sonde__random_normal(&stream));
    return values;
}

static sonde_spectrum_report report_of(const void *data, sonde_dtype dtype, size_t rows,
                                       size_t cols, bool calibrate)
{
    sonde_spectrum_options options;
    sonde_spectrum_report report;
    sonde_spectrum_options_init(&options);
    options.calibrate = calibrate;
    const sonde_matrix matrix = {data, dtype, rows, cols, 0};
    check_ok(context, sonde_spectrum(context, &matrix, &options, &report, NULL));
    return report;
}

/* Mean statistic over draws of the bidiagonal model. */
static double null_mean(size_t n, double c, int draws, bool by_counts)
{
    sonde_spectrum_options options;
    sonde__spectrum_ensemble shape;
    sonde_spectrum_options_init(&options);
    options.remove_spikes = false;
    check_ok(context, sonde__spectrum_ensemble_init(context, n, (size_t)lround((double)n / c),
                                                    &options, &shape));
    double *const room = malloc(sonde__spectrum_null_room(n) * sizeof *room);
    double sum = 0, statistic;
    for (int i = 0; i < draws; i++) {
        sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, (uint64_t)i);
        check_ok(context, sonde__spectrum_null_draw(&shape, &stream, by_counts, room, &statistic));
        sum += statistic;
    }
    free(room);
    sonde__spectrum_ensemble_free(context, &shape);
    return sum / draws;
}

static void null_statistic_agrees_with_the_published_table(void **state)
{
    (void)state;
    const struct {
        size_t n;
        double c, mean;
    } cells[] = {{32, 0.10, .32}, {64, 0.50, .27},  {100, 0.75, .37}, {192, 0.25, .21},
                 {64, 0.80, .41}, {192, 0.90, .51}, {100, 1.00, .63}, {384, 0.64, .23}};
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        check_close(null_mean(cells[i].n, cells[i].c, 100, cells[i].n > 64), cells[i].mean, 0.03, 0,
                    "mean statistic");
}

static void sturm_counts_measure_what_eigenvalues_do(void **state)
{
    (void)state;
    const double shapes[] = {0.1, 0.5, 1.0};
    for (int i = 0; i < 3; i++)
        check_close(null_mean(150, shapes[i], 60, true), null_mean(150, shapes[i], 60, false), 2e-3,
                    0, "mean statistic");
}

/* The bidiagonal model has the distribution of whole Gaussian matrices: two means of 60 draws. */
static void null_of_whole_matrices_is_that_of_the_bidiagonal_model(void **state)
{
    (void)state;
    double sum = 0, square = 0;
    enum { DRAWS = 60 };
    for (uint64_t i = 0; i < DRAWS; i++) {
        float *w = random_matrix(64, 80, 1000 + i, 0.1);
        const sonde_spectrum_report report = report_of(w, SONDE_F32, 64, 80, false);
        sum += report.statistic;
        square += report.statistic * report.statistic;
        free(w);
    }
    const double mean = sum / DRAWS, deviation = sqrt(square / DRAWS - mean * mean);
    check_close(mean, null_mean(64, 0.8, 400, false), 4 * deviation / sqrt((double)DRAWS), 0,
                "mean statistic");
}

static void one_spike_left_in_decides_everything(void **state)
{
    (void)state;
    /* Methods section 3.2: a spike at 2 x the edge lifts the statistic to 1.3-2.1 (n 192-500). */
    enum { N = 192, WIDE = 384 };
    float *w = random_matrix(N, WIDE, 7, 1);
    sonde_spectrum_options options;
    sonde_spectrum_report plain, lifted, removed;
    sonde_spectrum_options_init(&options);
    options.calibrate = options.remove_spikes = false;
    const sonde_matrix matrix = {w, SONDE_F32, N, WIDE, 0};
    check_ok(context, sonde_spectrum(context, &matrix, &options, &plain, NULL));
    /* A rank-one part of singular value s gives an eigenvalue (s^2 + N c)(s^2 + N) / (s^2 N). */
    const double edge = (1 + sqrt(0.5)) * (1 + sqrt(0.5));
    const double wanted = 2 * edge, half = (wanted - 1 - 0.5) / 2;
    const double s = sqrt(WIDE * (half + sqrt(half * half - 0.5)));
    for (size_t i = 0; i < (size_t)N * WIDE; i++)
        w[i] += (float)(s / sqrt((double)N * WIDE));
    check_ok(context, sonde_spectrum(context, &matrix, &options, &lifted, NULL));
    assert_true(plain.statistic < 0.3);
    assert_true(lifted.statistic > 1.3 && lifted.statistic < 2.1);
    check_close(lifted.largest, wanted, 0.8, 0, "the spike");
    options.remove_spikes = true;
    check_ok(context, sonde_spectrum(context, &matrix, &options, &removed, NULL));
    assert_int_equal(removed.spikes, 1);
    assert_true(removed.statistic < 0.3);
    free(w);
}

static void planted_spikes_are_counted_exactly(void **state)
{
    (void)state;
    const struct {
        size_t n, longer;
    } shapes[] = {{64, 128}, {100, 134}, {192, 640}, {64, 214}};
    for (size_t k = 0; k < 4; k++)
        for (int planted = 1; planted <= 4; planted++) {
            const size_t n = shapes[k].n, longer = shapes[k].longer;
            float *w = random_matrix(n, longer, 50 + k, 0.05);
            /* Spikes of 2 x the edge and up, along unit vectors of a cosine basis. */
            for (int spike = 0; spike < planted; spike++) {
                const double edge = 1 + sqrt((double)n / (double)longer);
                const double s = 0.05 * edge * sqrt((double)longer) * sqrt(2.0 + 0.6 * spike);
                for (size_t i = 0; i < n; i++)
                    for (size_t j = 0; j < longer; j++)
                        w[i * longer + j] +=
                            (float)(2 * s / sqrt((double)n * (double)longer) *
                                    cos(acos(-1) * ((double)i + 0.5) * (spike + 1) / (double)n) *
                                    cos(acos(-1) * ((double)j + 0.5) * (spike + 1) /
                                        (double)longer));
            }
            const sonde_spectrum_report report = report_of(w, SONDE_F32, n, longer, false);
            assert_int_equal(report.spikes, planted);
            assert_int_equal(report.bleed, 0);
            free(w);
        }
}

static void random_layer_is_light_tailed_and_under_both_thresholds(void **state)
{
    (void)state;
    float *w = random_matrix(100, 200, 3, 0.02);
    const sonde_spectrum_report report = report_of(w, SONDE_F32, 100, 200, true);
    assert_int_equal(report.validity, SONDE_VALID);
    assert_int_equal(report.type, SONDE_SPECTRUM_LIGHT_TAIL);
    assert_string_equal(sonde_spectrum_type_name(report.type), "LT");
    check_close(report.sigma2, 4e-4, 0, 0.05, "variance of the entries");
    check_close(report.aspect, 0.5, 0, 0, "aspect");
    assert_true(report.threshold_published == 0.4);
    assert_true(report.null_mean > 0.2 && report.null_mean < 0.28);
    assert_true(report.threshold_calibrated > report.null_mean);
    assert_true(report.threshold_calibrated < 0.35);
    assert_true(report.statistic < report.threshold_calibrated);
    free(w);
}

static void calibrated_threshold_fires_at_its_rate(void **state)
{
    (void)state;
    sonde_spectrum_options options;
    sonde__spectrum_ensemble shape;
    sonde__spectrum_null null;
    double room[3 * 64], statistic;
    sonde_spectrum_options_init(&options);
    options.false_alarm = 0.05;
    check_ok(context, sonde__spectrum_ensemble_init(context, 64, 64, &options, &shape));
    check_ok(context, sonde__spectrum_null_find(context, &shape, &options, &null));
    int over = 0;
    enum { DRAWS = 1000 };
    for (int i = 0; i < DRAWS; i++) {
        sonde__stream stream = sonde__stream_open(999, SONDE__RANDOM_TEST, (uint64_t)i);
        check_ok(context, sonde__spectrum_null_draw(&shape, &stream, true, room, &statistic));
        over += statistic > null.threshold;
    }
    check_close((double)over / DRAWS, 0.05, 0.025, 0, "rate");
    sonde__spectrum_ensemble_free(context, &shape);
}

static void tail_quantile_of_a_known_law(void **state)
{
    (void)state;
    enum { N = 4000 };
    static double values[N], scratch[N];
    for (int i = 0; i < N; i++) /* exponential: quantile at rate r is -log r */
        values[(i * 1009) % N] = -log(1 - (i + 0.5) / N);
    check_close(sonde__spectrum_null_quantile(values, N, 0.01, scratch), -log(0.01), 0.02, 0,
                "1 %");
    check_close(sonde__spectrum_null_quantile(values, N, 0.5, scratch), -log(0.5), 1e-3, 0, "50 %");
}

static void check_same(const sonde_spectrum_report *a, const sonde_spectrum_report *b,
                       double relative)
{
    check_close(a->distance, b->distance, 0, relative, "distance");
    check_close(a->statistic, b->statistic, 0, relative, "statistic");
    check_close(a->stable_rank, b->stable_rank, 0, relative, "stable rank");
    check_close(a->entropy, b->entropy, 0, relative, "entropy");
    assert_int_equal(a->spikes, b->spikes);
    assert_int_equal(a->type, b->type);
    assert_true(a->threshold_calibrated == b->threshold_calibrated);
}

static void scaling_changes_only_what_has_a_scale(void **state)
{
    (void)state;
    double *w = malloc(sizeof *w * 64 * 96);
    float *source = random_matrix(64, 96, 9, 1);
    const double scales[] = {1, 10, 1e-150, 1e140, 0x1p-1040};
    sonde_spectrum_report first = {0};
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < 64 * 96; i++)
            w[i] = (double)source[i] * scales[k];
        const sonde_spectrum_report report = report_of(w, SONDE_F64, 64, 96, true);
        assert_int_equal(report.validity, SONDE_VALID);
        if (k == 0)
            first = report;
        else /* the last is denormal, its entries rounded */
            check_same(&report, &first, k == 4 ? 1e-2 : 1e-9);
        if (k < 4)
            check_close(report.frobenius, first.frobenius * scales[k], 0, 1e-12, "norm");
    }
    free(source);
    free(w);
}

static void transposing_changes_nothing(void **state)
{
    (void)state;
    float *w = random_matrix(70, 110, 10, 1), *turned = malloc(sizeof *turned * 70 * 110);
    for (int i = 0; i < 70; i++)
        for (int j = 0; j < 110; j++)
            turned[j * 70 + i] = w[i * 110 + j];
    const sonde_spectrum_report a = report_of(w, SONDE_F32, 70, 110, true);
    const sonde_spectrum_report b = report_of(turned, SONDE_F32, 110, 70, true);
    assert_int_equal(b.rows, 70);
    check_same(&a, &b, 0);
    assert_true(a.largest == b.largest && a.smallest == b.smallest);
    free(turned);
    free(w);
}

static void norms_and_eigenvalues_of_a_known_matrix(void **state)
{
    (void)state;
    enum { N = 12, WIDE = 15 };
    double w[N * WIDE] = {0}, eigenvalues[N];
    double frobenius = 0;
    for (int i = 0; i < N; i++) { /* singular values 1 .. 12 */
        w[i * WIDE + i] = i % 2 ? i + 1 : -(i + 1);
        frobenius += (i + 1) * (i + 1);
    }
    sonde_spectrum_report report;
    const sonde_matrix matrix = {w, SONDE_F64, N, WIDE, 0};
    check_ok(context, sonde_spectrum(context, &matrix, NULL, &report, eigenvalues));
    for (int i = 0; i < N; i++)
        check_close(eigenvalues[i], (i + 1) * (i + 1) / 15.0, 1e-12, 1e-12, "eigenvalue");
    check_close(report.frobenius, sqrt(frobenius), 0, 1e-13, "Frobenius");
    check_close(report.spectral, 12, 0, 1e-13, "spectral");
    check_close(report.stable_rank, frobenius / 144, 0, 1e-13, "stable rank");
    check_close(report.smallest, 1 / 15.0, 0, 1e-12, "smallest");
    assert_int_equal(report.validity, SONDE_SMALL); /* n = 12 */
}

static void rank_collapse_is_named(void **state)
{
    (void)state;
    float *w = random_matrix(100, 200, 12, 1);
    for (int i = 70; i < 100; i++) /* 30 rows repeat others */
        memcpy(w + i * 200, w + (i - 70) * 200, 200 * sizeof *w);
    const sonde_spectrum_report report = report_of(w, SONDE_F32, 100, 200, true);
    assert_int_equal(report.type, SONDE_SPECTRUM_RANK_COLLAPSE);
    assert_string_equal(sonde_spectrum_type_name(report.type), "RC");
    for (int i = 3; i < 100; i++) /* rank 3 */
        memcpy(w + i * 200, w + (i % 3) * 200, 200 * sizeof *w);
    const sonde_spectrum_report low = report_of(w, SONDE_F32, 100, 200, true);
    assert_int_equal(low.type, SONDE_SPECTRUM_RANK_COLLAPSE);
    assert_int_not_equal(low.validity, SONDE_VALID);
    free(w);
}

static void heavy_tailed_entries_leave_the_law(void **state)
{
    (void)state;
    /* Columns of very different scale: a bulk that no Marchenko-Pastur law fits. */
    float *w = random_matrix(64, 256, 13, 1);
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 256; j++)
            w[i * 256 + j] *= powf(1.02f, (float)j);
    const sonde_spectrum_report report = report_of(w, SONDE_F32, 64, 256, true);
    assert_int_equal(report.validity, SONDE_VALID);
    assert_true(report.statistic > report.threshold_calibrated);
    free(w);
}

static void validity_names_the_shapes_that_have_no_threshold(void **state)
{
    (void)state;
    const struct {
        size_t rows, cols;
        bool calibrate;
        sonde_validity validity;
        bool published;
    } cases[] = {{9, 400, true, SONDE_TOO_FEW, false}, {10, 400, true, SONDE_SMALL, false},
                 {16, 144, true, SONDE_VALID, false},  {63, 126, false, SONDE_SMALL, false},
                 {64, 80, false, SONDE_VALID, true},   {64, 79, false, SONDE_NEARLY_SQUARE, false},
                 {70, 70, true, SONDE_VALID, false},   {400, 10, false, SONDE_SMALL, false},
                 {1, 1, true, SONDE_DEGENERATE, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float *w = random_matrix(cases[i].rows, cases[i].cols, 100 + i, 1);
        const sonde_spectrum_report report =
            report_of(w, SONDE_F32, cases[i].rows, cases[i].cols, cases[i].calibrate);
        if (cases[i].rows > 1)
            assert_int_equal(report.validity, cases[i].validity);
        else
            assert_int_not_equal(report.validity, SONDE_VALID);
        assert_int_equal(report.threshold_published > 0, cases[i].published);
        assert_int_equal(report.threshold_calibrated > 0,
                         cases[i].calibrate && report.validity == SONDE_VALID);
        free(w);
    }
}

static void bad_numbers_have_names(void **state)
{
    (void)state;
    float *w = random_matrix(32, 64, 14, 1);
    w[77] = NAN;
    assert_int_equal(report_of(w, SONDE_F32, 32, 64, true).validity, SONDE_NOT_FINITE);
    w[77] = -INFINITY;
    const sonde_spectrum_report infinite = report_of(w, SONDE_F32, 32, 64, true);
    assert_int_equal(infinite.validity, SONDE_NOT_FINITE);
    assert_true(infinite.largest == 0 && infinite.frobenius == 0 && infinite.distance == 0);
    for (int i = 0; i < 32 * 64; i++)
        w[i] = 0;
    assert_int_equal(report_of(w, SONDE_F32, 32, 64, true).validity, SONDE_DEGENERATE);
    for (int i = 0; i < 32 * 64; i++)
        w[i] = 0.3f;
    const sonde_spectrum_report constant = report_of(w, SONDE_F32, 32, 64, true);
    assert_int_equal(constant.validity, SONDE_DEGENERATE);
    check_close(constant.stable_rank, 1, 1e-9, 0, "stable rank of rank one");
    for (int i = 0; i < 32 * 64; i++) /* orthogonal rows: all eigenvalues equal */
        w[i] = i / 64 == i % 64;
    assert_int_equal(report_of(w, SONDE_F32, 32, 64, true).validity, SONDE_DEGENERATE);
    double huge[12 * 12];
    for (int i = 0; i < 144; i++)
        huge[i] = (i % 13 == 0 ? 1e308 : 1e305 * (i % 7));
    const sonde_spectrum_report overflow = report_of(huge, SONDE_F64, 12, 12, true);
    assert_int_equal(overflow.validity, SONDE_OUT_OF_RANGE);
    assert_true(overflow.largest == 0 && overflow.statistic == 0);
    free(w);
}

static void one_row_of_ten_million_is_cheap_and_named(void **state)
{
    (void)state;
    const size_t n = 10000000;
    float *w = malloc(n * sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < n; i++)
        w[i] = i % 2 ? 0.5f : -0.5f;
    const sonde_spectrum_report report = report_of(w, SONDE_F32, 1, n, true);
    assert_int_not_equal(report.validity, SONDE_VALID);
    check_close(report.frobenius, 0.5 * sqrt((double)n), 0, 1e-12, "norm");
    assert_true(sonde_context_memory_peak(context) < 1u << 22);
    free(w);
}

static void duplicated_eigenvalues_are_measured(void **state)
{
    (void)state;
    float w[40 * 50] = {0};
    for (int i = 0; i < 40; i++)
        w[i * 50 + i] = 1 + (float)(i / 10); /* 1 2 3 4, ten times each */
    const sonde_spectrum_report report = report_of(w, SONDE_F32, 40, 50, true);
    assert_int_equal(report.validity, SONDE_VALID);
    assert_true(isfinite(report.distance) && report.distance > 0 && report.distance <= 2);
}

static void bulk_fit_works_and_agrees_on_random_layers(void **state)
{
    (void)state;
    float *w = random_matrix(100, 300, 15, 1);
    sonde_spectrum_options options;
    sonde_spectrum_report report;
    sonde_spectrum_options_init(&options);
    options.fit = SONDE_MP_BULK;
    const sonde_matrix matrix = {w, SONDE_F32, 100, 300, 0};
    check_ok(context, sonde_spectrum(context, &matrix, &options, &report, NULL));
    const double root = sqrt(1.0 / 3);
    check_close(report.mp_low, (1 - root) * (1 - root), 0.02, 0, "lower edge");
    check_close(report.mp_high, (1 + root) * (1 + root), 0.1, 0, "upper edge");
    assert_true(report.threshold_calibrated > 0);
    assert_true(report.statistic < report.threshold_calibrated);
    free(w);
}

static void wrong_arguments_leave_the_output_untouched(void **state)
{
    (void)state;
    float w[4] = {1, 2, 3, 4};
    sonde_spectrum_options options;
    sonde_spectrum_report report = {.rows = 77};
    const sonde_matrix good = {w, SONDE_F32, 2, 2, 0}, bad = {w, SONDE_F32, 2, 0, 0};
    check_status(sonde_spectrum(NULL, &good, NULL, &report, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum(context, NULL, NULL, &report, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum(context, &good, NULL, NULL, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum(context, &bad, NULL, &report, NULL), SONDE_ERROR_SHAPE);
    sonde_spectrum_options_init(&options);
    options.false_alarm = 0;
    check_status(sonde_spectrum(context, &good, &options, &report, NULL), SONDE_ERROR_RANGE);
    sonde_spectrum_options_init(&options);
    options.spike_level = 0.5;
    check_status(sonde_spectrum(context, &good, &options, &report, NULL), SONDE_ERROR_RANGE);
    assert_int_equal(report.rows, 77);
}

/* Options of an older header: memory that ends behind `size`, which nothing may read beyond. */
static void options_of_another_size_are_refused_and_not_read(void **state)
{
    (void)state;
    const float w[4] = {1, 2, 3, 4};
    const double eigenvalues[2] = {1, 2};
    const sonde_matrix matrix = {w, SONDE_F32, 2, 2, 0};
    sonde_spectrum_report report = {.rows = 77};
    size_t *const size = malloc(sizeof *size);
    assert_non_null(size);
    *size = sizeof *size;
    const sonde_spectrum_options *const older = (const void *)size;
    check_status(sonde_spectrum(context, &matrix, older, &report, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum_judge(context, eigenvalues, 2, 2, 2, older, &report),
                 SONDE_ERROR_ARGUMENT);
    assert_int_equal(report.rows, 77);
    free(size);
}

static void public_density_is_zero_for_senseless_supports(void **state)
{
    (void)state;
    assert_true(sonde_marchenko_pastur_density(1.5, 2, 1) == 0);
    assert_true(sonde_marchenko_pastur_density(1.5, -1, 2) == 0);
    assert_true(sonde_marchenko_pastur_density(NAN, 1, 2) == 0);
    assert_true(sonde_marchenko_pastur_density(1.5, NAN, 2) == 0);
    assert_true(sonde_marchenko_pastur_density(1.5, 1, 2) > 0);
}

static void cancelling_ends_the_calibration(void **state)
{
    (void)state;
    float *w = random_matrix(64, 128, 16, 1);
    sonde_spectrum_report report = {.rows = 77};
    const sonde_matrix matrix = {w, SONDE_F32, 64, 128, 0};
    sonde_context_cancel(context);
    check_status(sonde_spectrum(context, &matrix, NULL, &report, NULL), SONDE_ERROR_CANCELLED);
    assert_int_equal(report.rows, 77);
    free(w);
}

static void out_of_memory_is_a_status_at_every_allocation(void **state)
{
    (void)state;
    float *w = random_matrix(20, 40, 17, 1);
    const sonde_matrix matrix = {w, SONDE_F32, 20, 40, 0};
    sonde_status status = SONDE_ERROR_MEMORY;
    for (size_t limit = 128; status != SONDE_OK; limit += 200) {
        sonde_context_options options;
        sonde_context *tight = NULL;
        sonde_spectrum_report report = {.rows = 77};
        sonde_context_options_init(&options);
        options.memory_limit = limit;
        assert_int_equal(sonde_context_create(&options, &tight), SONDE_OK);
        status = sonde_spectrum(tight, &matrix, NULL, &report, NULL);
        if (status != SONDE_OK) {
            check_status(status, SONDE_ERROR_MEMORY);
            assert_int_equal(report.rows, 77);
            assert_int_equal(sonde_context_error(tight)->status, SONDE_ERROR_MEMORY);
        }
        sonde_context_free(tight);
        assert_true(limit < 10000000);
    }
    free(w);
}

/* --- judging eigenvalues from elsewhere, and pooled slices ---------------------------------- */

/* Eigenvalues of `slices` random matrices, in one ascending list; owned by the caller. */
static double *pooled_eigenvalues(size_t rows, size_t cols, int slices, uint64_t index)
{
    const size_t n = rows < cols ? rows : cols, count = n * (size_t)slices;
    double *const x = malloc(2 * count * sizeof *x);
    assert_non_null(x);
    sonde_spectrum_options options;
    sonde_spectrum_options_init(&options);
    options.calibrate = false;
    for (int s = 0; s < slices; s++) {
        float *const w = random_matrix(rows, cols, 5000 + 100 * index + (uint64_t)s, 0.1);
        const sonde_matrix matrix = {w, SONDE_F32, rows, cols, 0};
        sonde_spectrum_report report;
        check_ok(context, sonde_spectrum(context, &matrix, &options, &report, x + (size_t)s * n));
        free(w);
    }
    sonde__sort(x, count, x + count);
    return x;
}

static sonde_spectrum_options pooled_options(int slices)
{
    sonde_spectrum_options options;
    sonde_spectrum_options_init(&options);
    options.slices = slices;
    return options;
}

static void judging_eigenvalues_gives_the_report_of_the_matrix(void **state)
{
    (void)state;
    const double scales[] = {1, 1e-140, 1e100};
    double x[70];
    float *w = random_matrix(110, 70, 21, 1);
    for (int i = 0; i < 110; i++)
        w[i * 70] += 4; /* a spike */
    for (int k = 0; k < 3; k++) {
        double *const scaled = malloc(sizeof *scaled * 110 * 70);
        for (int i = 0; i < 110 * 70; i++)
            scaled[i] = (double)w[i] * scales[k];
        sonde_spectrum_report direct, judged;
        const sonde_matrix matrix = {scaled, SONDE_F64, 110, 70, 0};
        check_ok(context, sonde_spectrum(context, &matrix, NULL, &direct, x));
        check_ok(context, sonde_spectrum_judge(context, x, 70, 110, 70, NULL, &judged));
        check_same(&judged, &direct, 1e-10);
        assert_int_equal(judged.rows, 70);
        assert_int_equal(judged.cols, 110);
        assert_int_equal(judged.validity, direct.validity);
        assert_int_equal(judged.bleed, direct.bleed);
        assert_true(judged.spikes == 1);
        check_close(judged.sigma2, direct.sigma2, 0, 1e-10, "sigma2");
        check_close(judged.edge, direct.edge, 0, 1e-10, "edge");
        check_close(judged.frobenius, direct.frobenius, 0, 1e-12, "norm");
        check_close(judged.statistic_with_spikes, direct.statistic_with_spikes, 0, 1e-10,
                    "with spikes");
        assert_true(judged.threshold_published == direct.threshold_published);
        free(scaled);
    }
    free(w);
}

/* 512 is a cube: 511 eigenvalues would have two bins fewer. With the quantiles of the law for a bulk
 * there is no chance in it. */
static void a_spike_does_not_change_the_bins(void **state)
{
    (void)state;
    enum { N = 512 };
    double x[N];
    const sonde__mp law = sonde__mp_from_shape(0.5, 1);
    sonde__mp_quantiles(&law, N, 0, N, x);
    sonde_spectrum_options options;
    sonde_spectrum_report without, with;
    sonde_spectrum_options_init(&options);
    options.calibrate = false;
    check_ok(context, sonde_spectrum_judge(context, x, N, N, 2 * N, &options, &without));
    x[N - 1] *= 3;
    check_ok(context, sonde_spectrum_judge(context, x, N, N, 2 * N, &options, &with));
    assert_int_equal(with.spikes, 1);
    check_close(with.statistic, without.statistic, 0.01, 0, "statistic with a spike");
}

static void pooled_random_slices_stay_under_the_threshold_at_its_rate(void **state)
{
    (void)state;
    enum { DRAWS = 300, SLICES = 9 };
    sonde_spectrum_options options = pooled_options(SLICES);
    options.false_alarm = 0.05;
    int over = 0, with_spikes = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        double *const x = pooled_eigenvalues(20, 32, SLICES, i);
        sonde_spectrum_report report;
        check_ok(context, sonde_spectrum_judge(context, x, 20 * SLICES, 20, 32, &options, &report));
        assert_int_equal(report.validity, SONDE_VALID);
        assert_true(report.threshold_published == 0);
        check_close(report.sigma2, 0.01, 0, 0.12, "variance of the entries");
        over += report.statistic > report.threshold_calibrated;
        with_spikes += report.spikes > 0;
        free(x);
    }
    check_close((double)over / DRAWS, 0.05, 0.04, 0, "rate"); /* three standard errors */
    assert_true(with_spikes <= 0.03 * DRAWS);                 /* level 0.99 for all slices */
}

static void pooled_draws_by_counts_measure_what_eigenvalues_do(void **state)
{
    (void)state;
    const sonde_spectrum_options options = pooled_options(4);
    const size_t shapes[][2] = {{20, 20}, {30, 100}, {64, 128}};
    for (int k = 0; k < 3; k++) {
        sonde__spectrum_ensemble ensemble;
        check_ok(context, sonde__spectrum_ensemble_init(context, shapes[k][0], shapes[k][1],
                                                        &options, &ensemble));
        double sums[2] = {0, 0}, room[3 * 4 * 64], statistic;
        for (int way = 0; way < 2; way++)
            for (uint64_t i = 0; i < 60; i++) {
                sonde__stream stream = sonde__stream_open(2, SONDE__RANDOM_TEST, i);
                check_ok(context,
                         sonde__spectrum_null_draw(&ensemble, &stream, way == 1, room, &statistic));
                sums[way] += statistic / 60;
            }
        check_close(sums[1], sums[0], 2e-3, 0, "mean statistic");
        sonde__spectrum_ensemble_free(context, &ensemble);
    }
}

static void a_spike_in_one_slice_is_counted_once(void **state)
{
    (void)state;
    double *const x = pooled_eigenvalues(32, 64, 9, 3);
    const sonde_spectrum_options options = pooled_options(9);
    sonde_spectrum_report report;
    check_ok(context, sonde_spectrum_judge(context, x, 288, 32, 64, &options, &report));
    assert_int_equal(report.spikes, 0);
    x[287] = 1.3 * report.edge;
    check_ok(context, sonde_spectrum_judge(context, x, 288, 32, 64, &options, &report));
    assert_int_equal(report.spikes, 1);
    check_close(report.stable_rank * report.largest * 64, report.frobenius * report.frobenius, 0,
                1e-12, "sum of squares");
    assert_true(report.entropy > 0.9 && report.entropy <= 1);
    free(x);
}

static void the_edge_of_many_slices_lies_further_out(void **state)
{
    (void)state;
    double before = 0;
    for (int slices = 1; slices <= 1000; slices *= 10) {
        const sonde_spectrum_options options = pooled_options(slices);
        sonde__spectrum_ensemble ensemble;
        check_ok(context, sonde__spectrum_ensemble_init(context, 16, 32, &options, &ensemble));
        assert_true(ensemble.edge_quantile > before);
        before = ensemble.edge_quantile;
        sonde__spectrum_ensemble_free(context, &ensemble);
    }
    check_close(before, 5.343, 5e-3, 0, "upper tail of 1.005e-5");
}

static void pooled_slices_below_ten_rows_have_no_distance(void **state)
{
    (void)state;
    double *const x = pooled_eigenvalues(9, 40, 25, 4);
    const sonde_spectrum_options options = pooled_options(25);
    sonde_spectrum_report report;
    check_ok(context, sonde_spectrum_judge(context, x, 225, 9, 40, &options, &report));
    assert_int_equal(report.validity, SONDE_TOO_FEW);
    assert_true(report.largest > 0 && report.statistic == 0);
    free(x);
}

static void eigenvalues_that_are_none_are_refused_or_named(void **state)
{
    (void)state;
    double x[20];
    sonde_spectrum_options options = pooled_options(2);
    sonde_spectrum_report report = {.rows = 77};
    for (int i = 0; i < 20; i++)
        x[i] = i;
    check_status(sonde_spectrum_judge(NULL, x, 20, 20, 30, NULL, &report), SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum_judge(context, NULL, 20, 20, 30, NULL, &report),
                 SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum_judge(context, x, 20, 20, 30, NULL, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_spectrum_judge(context, x, 20, 21, 30, NULL, &report), SONDE_ERROR_SHAPE);
    check_status(sonde_spectrum_judge(context, x, 0, 0, 30, NULL, &report), SONDE_ERROR_SHAPE);
    check_status(sonde_spectrum_judge(context, x, 20, 20, 30, &options, &report),
                 SONDE_ERROR_SHAPE);
    options.slices = 0;
    check_status(sonde_spectrum_judge(context, x, 20, 20, 30, &options, &report),
                 SONDE_ERROR_RANGE);
    x[3] = 9;
    check_status(sonde_spectrum_judge(context, x, 20, 20, 30, NULL, &report), SONDE_ERROR_RANGE);
    x[3] = 3;
    x[0] = -1e-300;
    check_status(sonde_spectrum_judge(context, x, 20, 20, 30, NULL, &report), SONDE_ERROR_RANGE);
    assert_int_equal(report.rows, 77);
    x[0] = NAN;
    check_ok(context, sonde_spectrum_judge(context, x, 20, 30, 20, NULL, &report));
    assert_int_equal(report.validity, SONDE_NOT_FINITE);
    assert_int_equal(report.rows, 20);
    assert_true(report.largest == 0 && report.frobenius == 0);
    memset(x, 0, sizeof x);
    check_ok(context, sonde_spectrum_judge(context, x, 20, 30, 20, NULL, &report));
    assert_int_equal(report.validity, SONDE_DEGENERATE);
}

static void a_single_matrix_is_not_pooled(void **state)
{
    (void)state;
    float w[4] = {1, 2, 3, 4};
    const sonde_matrix matrix = {w, SONDE_F32, 2, 2, 0};
    const sonde_spectrum_options options = pooled_options(2);
    sonde_spectrum_report report;
    check_status(sonde_spectrum(context, &matrix, &options, &report, NULL), SONDE_ERROR_RANGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(null_statistic_agrees_with_the_published_table),
        TEST(sturm_counts_measure_what_eigenvalues_do),
        TEST(null_of_whole_matrices_is_that_of_the_bidiagonal_model),
        TEST(one_spike_left_in_decides_everything),
        TEST(planted_spikes_are_counted_exactly),
        TEST(random_layer_is_light_tailed_and_under_both_thresholds),
        TEST(calibrated_threshold_fires_at_its_rate),
        TEST(tail_quantile_of_a_known_law),
        TEST(scaling_changes_only_what_has_a_scale),
        TEST(transposing_changes_nothing),
        TEST(norms_and_eigenvalues_of_a_known_matrix),
        TEST(rank_collapse_is_named),
        TEST(heavy_tailed_entries_leave_the_law),
        TEST(validity_names_the_shapes_that_have_no_threshold),
        TEST(bad_numbers_have_names),
        TEST(one_row_of_ten_million_is_cheap_and_named),
        TEST(duplicated_eigenvalues_are_measured),
        TEST(bulk_fit_works_and_agrees_on_random_layers),
        TEST(wrong_arguments_leave_the_output_untouched),
        TEST(options_of_another_size_are_refused_and_not_read),
        TEST(public_density_is_zero_for_senseless_supports),
        TEST(cancelling_ends_the_calibration),
        TEST(out_of_memory_is_a_status_at_every_allocation),
        TEST(judging_eigenvalues_gives_the_report_of_the_matrix),
        TEST(a_spike_does_not_change_the_bins),
        TEST(pooled_random_slices_stay_under_the_threshold_at_its_rate),
        TEST(pooled_draws_by_counts_measure_what_eigenvalues_do),
        TEST(a_spike_in_one_slice_is_counted_once),
        TEST(the_edge_of_many_slices_lies_further_out),
        TEST(pooled_slices_below_ten_rows_have_no_distance),
        TEST(eigenvalues_that_are_none_are_refused_or_named),
        TEST(a_single_matrix_is_not_pooled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
