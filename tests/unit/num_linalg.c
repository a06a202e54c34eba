/* Formats, eigenvalues and Sturm counts, against known matrices. */
#include "check.h"

#include <omp.h>

#include "base/random.h"
#include "num/formats.h"
#include "num/linalg.h"
#include "num/singular.h"

static void fill(double *values, size_t n, uint64_t index)
{
    sonde__stream stream = sonde__stream_open(11, SONDE__RANDOM_TEST, index);
    for (size_t i = 0; i < n; i++)
        values[i] = sonde__random_normal(&stream);
}

static void halves_and_brain_floats_convert_exactly(void **state)
{
    (void)state;
    const uint16_t half[] = {0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0400,
                             0x0001, 0x83ff, 0x7c00, 0xfc00, 0x7e00, 0x3555};
    const double expected[] = {0,        -0.0,      1,       -2,
                               65504,    0x1p-14,   0x1p-24, -1023 * 0x1p-24,
                               INFINITY, -INFINITY, NAN,     0x1.554p-2};
    double doubles[12];
    float floats[12];
    sonde__to_doubles(doubles, half, SONDE_F16, 0, 12);
    sonde__to_floats(floats, half, SONDE_F16, 0, 12);
    for (int i = 0; i < 12; i++) {
        assert_true(isnan(expected[i]) ? isnan(doubles[i]) : doubles[i] == expected[i]);
        assert_true(isnan(expected[i]) || (double)floats[i] == doubles[i]);
    }
    assert_true(signbit(doubles[1]) && !signbit(doubles[0]));
    const uint16_t brain[] = {0x3f80, 0xc040, 0x7f80, 0x0001};
    sonde__to_doubles(doubles, brain, SONDE_BF16, 1, 3);
    assert_true(doubles[0] == -3 && isinf(doubles[1]) && doubles[2] == 0x1p-133);
}

static void wrong_matrices_are_refused_with_a_sentence(void **state)
{
    (void)state;
    float data[4] = {0};
    sonde_context *context = check_context();
    const sonde_matrix good = {data, SONDE_F32, 2, 2, 0};
    assert_null(sonde__matrix_problem(&good));
    const sonde_matrix null_data = {NULL, SONDE_F32, 2, 2, 0};
    const sonde_matrix no_format = {data, (sonde_dtype)77, 2, 2, 0};
    const sonde_matrix empty = {data, SONDE_F32, 0, 2, 0};
    const sonde_matrix short_stride = {data, SONDE_F32, 2, 2, 1};
    const sonde_matrix wraps = {data, SONDE_F32, (size_t)1 << 32, (size_t)1 << 32, 0};
    const sonde_matrix wraps_bytes = {data, SONDE_F64, SIZE_MAX / 8, 1, 8};
    check_status(sonde__matrix_check(context, &null_data, "w"), SONDE_ERROR_ARGUMENT);
    check_status(sonde__matrix_check(context, NULL, "w"), SONDE_ERROR_ARGUMENT);
    check_status(sonde__matrix_check(context, &no_format, "w"), SONDE_ERROR_ARGUMENT);
    check_status(sonde__matrix_check(context, &empty, "w"), SONDE_ERROR_SHAPE);
    check_status(sonde__matrix_check(context, &short_stride, "w"), SONDE_ERROR_SHAPE);
    check_status(sonde__matrix_check(context, &wraps, "w"), SONDE_ERROR_SHAPE);
    check_status(sonde__matrix_check(context, &wraps_bytes, "w"), SONDE_ERROR_SHAPE);
    assert_non_null(strstr(sonde_context_error(context)->message, "w (2305843009213693951 x 1)"));
    sonde_context_free(context);
}

/* The second-difference matrix: eigenvalues 2 - 2 cos(k pi / (n + 1)). */
static void eigenvalues_of_a_known_matrix(void **state)
{
    (void)state;
    enum { N = 60 };
    static double matrix[N * N];
    double eigenvalues[N], diagonal[N], off[N], squared[N];
    sonde_context *context = check_context();
    for (size_t i = 0; i < N; i++) {
        matrix[i * N + i] = diagonal[i] = 2;
        off[i] = -1;
        squared[i] = 1;
        if (i + 1 < N)
            matrix[i * N + i + 1] = -1;
    }
    check_ok(context, sonde__symmetric_eigenvalues(context, matrix, N, eigenvalues));
    for (size_t k = 0; k < N; k++) {
        const double exact = 2 - 2 * cos((double)(k + 1) * acos(-1) / (N + 1));
        check_close(eigenvalues[k], exact, 1e-13, 0, "dense");
        size_t below[2];
        const double shifts[2] = {exact - 1e-9, exact + 1e-9};
        sonde__tridiagonal_counts(diagonal, squared, N, shifts, 2, below);
        assert_int_equal(below[0], k);
        assert_int_equal(below[1], k + 1);
    }
    assert_int_equal(sonde__tridiagonal_eigenvalues(diagonal, off, N), SONDE_OK);
    for (size_t k = 0; k < N; k++)
        check_close(diagonal[k], eigenvalues[k], 1e-13, 0, "tridiagonal");
    sonde_context_free(context);
}

static void sturm_counts_survive_vanishing_pivots(void **state)
{
    (void)state;
    const double diagonal[] = {0, 0, 0, 0}, squared[] = {1, 0, 1}; /* eigenvalues -1 -1 1 1 */
    const double shifts[] = {-2, -1 + 1e-12, 0, 1 - 1e-12, 2};
    size_t below[5];
    sonde__tridiagonal_counts(diagonal, squared, 4, shifts, 5, below);
    const size_t expected[] = {0, 2, 2, 2, 4};
    for (int i = 0; i < 5; i++)
        assert_int_equal(below[i], expected[i]);
}

static void bits_do_not_depend_on_threads_and_the_setting_comes_back(void **state)
{
    (void)state;
    enum { ROWS = 250, COLS = 300 };
    static double data[ROWS * COLS], first[ROWS], second[ROWS];
    sonde_context *context = check_context();
    fill(data, ROWS * COLS, 3);
    const sonde_matrix matrix = {data, SONDE_F64, ROWS, COLS, 0};
    const sonde__tiles tiles = sonde__tiles_of_matrix(&matrix);
    const int before = omp_get_max_threads();
    for (int threads = 1; threads <= 4; threads++) {
        double *const to = threads == 1 ? first : second;
        omp_set_num_threads(threads);
        check_ok(context, sonde__singular_values(context, &tiles, SONDE__SVD_TWO_STAGE, to, NULL));
        assert_int_equal(omp_get_max_threads(), threads);
        if (threads > 1)
            assert_memory_equal(first, second, sizeof first);
    }
    omp_set_num_threads(before);
    sonde_context_free(context);
}

static void memory_failures_are_statuses(void **state)
{
    (void)state;
    sonde_context_options options;
    sonde_context_options_init(&options);
    options.memory_limit = 64;
    sonde_context *context = NULL;
    assert_int_equal(sonde_context_create(&options, &context), SONDE_OK);
    double matrix[4] = {1, 0, 0, 1}, eigenvalues[2];
    check_status(sonde__symmetric_eigenvalues(context, matrix, 2, eigenvalues), SONDE_ERROR_MEMORY);
    assert_int_equal(sonde_context_error(context)->status, SONDE_OK); /* silent */
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_and_brain_floats_convert_exactly),
        cmocka_unit_test(wrong_matrices_are_refused_with_a_sentence),
        cmocka_unit_test(eigenvalues_of_a_known_matrix),
        cmocka_unit_test(sturm_counts_survive_vanishing_pivots),
        cmocka_unit_test(bits_do_not_depend_on_threads_and_the_setting_comes_back),
        cmocka_unit_test(memory_failures_are_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
