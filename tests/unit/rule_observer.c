/* Spectra on background threads give exactly what the plain call gives, in order of submission. */
#include "check.h"

#include "base/random.h"
#include "rule/observer.h"

static sonde_context *context_with(int threads, size_t limit)
{
    sonde_context_options options;
    sonde_context *context = NULL;
    sonde_context_options_init(&options);
    options.threads = threads;
    options.memory_limit = limit;
    assert_int_equal(sonde_context_create(&options, &context), SONDE_OK);
    return context;
}

static void fill(float *values, size_t n, uint64_t index)
{
    sonde__stream stream = sonde__stream_open(21, SONDE__RANDOM_TEST, index);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)sonde__random_normal(&stream);
}

enum { LAYERS = 9, EPOCHS = 3, ROWS = 40, COLS = 70 };

static void results_are_those_of_the_plain_call_for_any_threads(void **state)
{
    (void)state;
    static float w[ROWS * COLS];
    for (int threads = 1; threads <= 4; threads++) {
        sonde_context *context = context_with(threads, 0);
        sonde__observer *observer = NULL;
        check_ok(context, sonde__observer_create(context, NULL, &observer));
        for (int64_t epoch = 1; epoch <= EPOCHS; epoch++)
            for (int k = 0; k < LAYERS; k++) {
                char name[32];
                snprintf(name, sizeof name, "layer%d", k);
                fill(w, ROWS * COLS, (uint64_t)(epoch * 100 + k));
                const sonde_matrix matrix = {w, SONDE_F32, (size_t)(ROWS - k), COLS - 5, COLS};
                check_ok(context, sonde__observer_submit(observer, epoch, name, &matrix));
                memset(w, 0, sizeof w); /* the copy is what counts */
            }
        check_ok(context, sonde__observer_wait(observer, EPOCHS));
        for (int64_t epoch = 1; epoch <= EPOCHS; epoch++) {
            assert_int_equal(sonde__observer_count(observer, epoch), LAYERS);
            for (size_t k = 0; k < LAYERS; k++) {
                char name[16];
                sonde_layer_view view;
                sonde_spectrum_report report;
                double eigenvalues[ROWS];
                snprintf(name, sizeof name, "layer%zu", k);
                fill(w, ROWS * COLS, (uint64_t)epoch * 100 + k);
                const sonde_matrix matrix = {w, SONDE_F32, ROWS - k, COLS - 5, COLS};
                check_ok(context, sonde_spectrum(context, &matrix, NULL, &report, eigenvalues));
                check_ok(context, sonde__observer_result(observer, epoch, k, &view));
                assert_string_equal(view.name, name);
                assert_int_equal(view.epoch, epoch);
                assert_true(view.report.statistic == report.statistic);
                assert_true(view.report.threshold_calibrated == report.threshold_calibrated);
                assert_memory_equal(view.eigenvalues, eigenvalues,
                                    report.rows * sizeof *eigenvalues);
            }
        }
        sonde__observer_forget(observer, EPOCHS - 1);
        assert_int_equal(sonde__observer_count(observer, 1), 0);
        assert_int_equal(sonde__observer_count(observer, EPOCHS), LAYERS);
        sonde__observer_free(observer);
        sonde_context_free(context);
    }
}

static void later_matrix_of_a_layer_replaces_the_earlier_one(void **state)
{
    (void)state;
    sonde_context *context = context_with(2, 0);
    sonde__observer *observer = NULL;
    static float w[ROWS * COLS];
    sonde_layer_view view;
    check_ok(context, sonde__observer_create(context, NULL, &observer));
    const sonde_matrix matrix = {w, SONDE_F32, ROWS, COLS, 0};
    fill(w, ROWS * COLS, 1);
    check_ok(context, sonde__observer_submit(observer, 1, "a", &matrix));
    check_ok(context, sonde__observer_submit(observer, 1, "b", &matrix));
    for (int i = 0; i < ROWS * COLS; i++)
        w[i] *= 2;
    check_ok(context, sonde__observer_submit(observer, 1, "a", &matrix));
    check_ok(context, sonde__observer_wait(observer, 1));
    assert_int_equal(sonde__observer_count(observer, 1), 2);
    double norm_a, norm_b;
    check_ok(context, sonde__observer_result(observer, 1, 0, &view));
    assert_string_equal(view.name, "a");
    norm_a = view.report.frobenius;
    check_ok(context, sonde__observer_result(observer, 1, 1, &view));
    norm_b = view.report.frobenius;
    check_close(norm_a, 2 * norm_b, 0, 1e-12, "norm");
    check_status(sonde__observer_result(observer, 1, 2, &view), SONDE_ERROR_RANGE);
    check_status(sonde__observer_result(observer, 2, 0, &view), SONDE_ERROR_RANGE);
    sonde__observer_free(observer);
    sonde_context_free(context);
}

static void wrong_input_is_refused_and_queues_nothing(void **state)
{
    (void)state;
    sonde_context *context = context_with(1, 0);
    sonde__observer *observer = NULL;
    float w[4] = {1, NAN, 3, 4};
    sonde_layer_view view;
    sonde_spectrum_options options;
    sonde_spectrum_options_init(&options);
    options.published_c = -1;
    check_status(sonde__observer_create(context, &options, &observer), SONDE_ERROR_RANGE);
    check_ok(context, sonde__observer_create(context, NULL, &observer));
    const sonde_matrix good = {w, SONDE_F32, 2, 2, 0}, bad = {NULL, SONDE_F32, 2, 2, 0};
    check_status(sonde__observer_submit(observer, 1, "", &good), SONDE_ERROR_ARGUMENT);
    check_status(sonde__observer_submit(observer, 1, NULL, &good), SONDE_ERROR_ARGUMENT);
    check_status(sonde__observer_submit(observer, 1, "a", &bad), SONDE_ERROR_ARGUMENT);
    assert_int_equal(sonde__observer_count(observer, 1), 0);
    check_ok(context, sonde__observer_submit(observer, 1, "a", &good));
    check_ok(context, sonde__observer_wait(observer, 1));
    check_ok(context, sonde__observer_result(observer, 1, 0, &view));
    assert_int_equal(view.report.validity, SONDE_NOT_FINITE);
    sonde__observer_free(observer);
    sonde__observer_free(NULL);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void failed_spectrum_is_told_once_then_reads_as_not_measured(void **state)
{
    (void)state;
    sonde_context *context = context_with(1, 0);
    sonde__observer *observer = NULL;
    static float w[ROWS * COLS];
    sonde_layer_view view;
    fill(w, ROWS * COLS, 1);
    const sonde_matrix matrix = {w, SONDE_F32, ROWS, COLS, 0};
    check_ok(context, sonde__observer_create(context, NULL, &observer));
    sonde_context_cancel(context);
    check_ok(context, sonde__observer_submit(observer, 3, "fc", &matrix));
    check_status(sonde__observer_wait(observer, 3), SONDE_ERROR_CANCELLED);
    assert_string_equal(sonde_context_error(context)->item, "fc");
    check_ok(context, sonde__observer_wait(observer, 3));
    check_ok(context, sonde__observer_result(observer, 3, 0, &view));
    assert_int_equal(view.report.validity, SONDE_NOT_MEASURED);
    assert_null(view.eigenvalues);
    sonde__observer_free(observer);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void copies_count_against_the_budget(void **state)
{
    (void)state;
    static float w[ROWS * COLS];
    fill(w, ROWS * COLS, 1);
    const sonde_matrix matrix = {w, SONDE_F32, ROWS, COLS, 0};
    bool passed = false;
    for (size_t limit = 200; !passed; limit += 700) {
        sonde_context *context = context_with(1, limit);
        sonde__observer *observer = NULL;
        sonde_layer_view view;
        sonde_status status = sonde__observer_create(context, NULL, &observer);
        if (status == SONDE_OK)
            status = sonde__observer_submit(observer, 1, "fc", &matrix);
        if (status == SONDE_OK)
            status = sonde__observer_wait(observer, 1);
        passed = status == SONDE_OK;
        if (passed) {
            check_ok(context, sonde__observer_result(observer, 1, 0, &view));
            assert_int_equal(view.report.validity, SONDE_VALID);
        } else {
            check_status(status, SONDE_ERROR_MEMORY);
        }
        sonde__observer_free(observer);
        sonde_context_free(context);
        assert_true(limit < 10000000);
    }
}

static void freeing_with_work_in_flight_is_safe(void **state)
{
    (void)state;
    sonde_context *context = context_with(2, 0);
    sonde__observer *observer = NULL;
    static float w[ROWS * COLS];
    const sonde_matrix matrix = {w, SONDE_F32, ROWS, COLS, 0};
    check_ok(context, sonde__observer_create(context, NULL, &observer));
    for (int64_t epoch = 0; epoch < 30; epoch++) {
        fill(w, ROWS * COLS, (uint64_t)epoch);
        check_ok(context, sonde__observer_submit(observer, epoch, "fc", &matrix));
    }
    sonde__observer_forget(observer, 10);
    sonde__observer_free(observer);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_those_of_the_plain_call_for_any_threads),
        cmocka_unit_test(later_matrix_of_a_layer_replaces_the_earlier_one),
        cmocka_unit_test(wrong_input_is_refused_and_queues_nothing),
        cmocka_unit_test(failed_spectrum_is_told_once_then_reads_as_not_measured),
        cmocka_unit_test(copies_count_against_the_budget),
        cmocka_unit_test(freeing_with_work_in_flight_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
