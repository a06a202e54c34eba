/* Spectral density by block Lanczos, against all eigenvalues of the same matrix. */
#include <math.h>
#include <string.h>

#include "check.h"

#include "base/random.h"
#include "num/density.h"
#include "num/singular.h"

enum { ROWS = 800, COLS = 1600 };

static sonde_context *context;
static float *matrix;
static double *exact, *estimate;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(sonde_context_create(NULL, &context), SONDE_OK);
    matrix = sonde__alloc(context, (size_t)ROWS * COLS, sizeof *matrix);
    exact = sonde__alloc(context, ROWS, sizeof *exact);
    estimate = sonde__alloc(context, ROWS, sizeof *estimate);
    return matrix && exact && estimate ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    sonde__free(context, estimate);
    sonde__free(context, exact);
    sonde__free(context, matrix);
    sonde_context_free(context);
    return 0;
}

static void fill_gaussian(void)
{
    sonde__stream stream = sonde__stream_open(3, SONDE__RANDOM_TEST, 0);
    for (size_t i = 0; i < (size_t)ROWS * COLS; i++)
        matrix[i] = (float)sonde__random_normal(&stream);
}

/* Adds `size` sqrt(COLS) u v^T with u and v of random signs and unit length. */
static void plant(double size, uint64_t index)
{
    sonde__stream stream = sonde__stream_open(4, SONDE__RANDOM_TEST, index);
    float u[ROWS], v[COLS];
    const double scale = size * sqrt(COLS) / sqrt((double)ROWS * COLS);
    for (int i = 0; i < ROWS; i++)
        u[i] = sonde__random_u32(&stream) & 1 ? 1.0f : -1.0f;
    for (int j = 0; j < COLS; j++)
        v[j] = sonde__random_u32(&stream) & 1 ? 1.0f : -1.0f;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++)
            matrix[i * COLS + j] += (float)(scale * (double)u[i] * (double)v[j]);
}

static sonde__density measure(size_t rows, size_t cols)
{
    const sonde_matrix whole = {matrix, SONDE_F32, rows, cols, 0};
    const sonde__tiles tiles = sonde__tiles_of_matrix(&whole);
    sonde__density density;
    assert_int_equal(sonde__spectral_density(context, &tiles, estimate, &density), SONDE_OK);
    return density;
}

static void compute_exact(void)
{
    const sonde_matrix whole = {matrix, SONDE_F32, ROWS, COLS, 0};
    const sonde__tiles tiles = sonde__tiles_of_matrix(&whole);
    sonde__svd_facts facts;
    assert_int_equal(sonde__singular_values(context, &tiles, SONDE__SVD_GRAM, exact, &facts),
                     SONDE_OK);
    for (int i = 0; i < ROWS; i++)
        exact[i] = ldexp(exact[i] * exact[i] / COLS, 2 * facts.exponent);
}

/* Largest distance of the two cumulative distributions, both ascending; values nearer than `tie`
 * times the largest are the same. */
static double distribution_distance(double tie)
{
    double worst = 0;
    const double slack = tie * exact[ROWS - 1];
    for (int i = 0, j = 0; i < ROWS; i++) {
        while (j < ROWS && estimate[j] <= exact[i] + slack)
            j++;
        int k = j;
        while (k > 0 && estimate[k - 1] >= exact[i] - slack)
            k--;
        const double below = (double)(k - i) / ROWS, above = (double)(j - i) / ROWS;
        if (below > 0)
            worst = fmax(worst, below);
        if (above < 0)
            worst = fmax(worst, -above);
    }
    return worst;
}

static void random_matrix_is_estimated_within_the_bound(void **state)
{
    (void)state;
    fill_gaussian();
    compute_exact();
    const sonde__density density = measure(ROWS, COLS);
    assert_true(density.error_bound > 0 && density.error_bound < 0.03);
    assert_true(distribution_distance(1e-6) < density.error_bound + 1.0 / ROWS);
    assert_true(density.outliers <= 1);
    for (int i = 1; i < ROWS; i++)
        assert_true(estimate[i - 1] <= estimate[i]);
}

static void planted_outliers_are_exact(void **state)
{
    (void)state;
    fill_gaussian();
    for (uint64_t k = 0; k < 5; k++)
        plant(1.6 + 0.3 * (double)k, k);
    compute_exact();
    const sonde__density density = measure(ROWS, COLS);
    assert_int_equal(density.outliers, 5);
    for (int i = ROWS - 5; i < ROWS; i++)
        check_close(estimate[i], exact[i], 0, 1e-5, "outlier");
    assert_true(distribution_distance(1e-6) < density.error_bound + 1.0 / ROWS);
}

static void two_variances_are_told_from_one_law(void **state)
{
    (void)state;
    fill_gaussian();
    for (size_t i = 0; i < (size_t)ROWS / 2 * COLS; i++)
        matrix[i] *= 0.5f;
    compute_exact();
    const sonde__density density = measure(ROWS, COLS);
    assert_true(distribution_distance(1e-6) < density.error_bound + 1.0 / ROWS);
}

static void collapsed_rank_shows_as_zeros(void **state)
{
    (void)state;
    fill_gaussian();
    for (size_t i = ROWS / 2; i < ROWS; i++)
        memcpy(matrix + i * COLS, matrix + (i - ROWS / 2) * COLS, COLS * sizeof *matrix);
    measure(ROWS, COLS);
    size_t zeros = 0;
    for (int i = 0; i < ROWS; i++)
        zeros += estimate[i] == 0;
    assert_in_range(zeros, 380, 420);
}

static void transposing_changes_no_bit(void **state)
{
    (void)state;
    double before[ROWS];
    fill_gaussian();
    measure(ROWS, COLS);
    memcpy(before, estimate, sizeof before);
    float *const copy = sonde__alloc(context, (size_t)ROWS * COLS, sizeof *copy);
    memcpy(copy, matrix, (size_t)ROWS * COLS * sizeof *copy);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < COLS; j++)
            matrix[j * ROWS + i] = copy[i * COLS + j];
    sonde__free(context, copy);
    measure(COLS, ROWS);
    assert_memory_equal(before, estimate, sizeof before);
}

static void scaling_by_a_power_of_two_scales_what_comes_out(void **state)
{
    (void)state;
    double before[ROWS];
    fill_gaussian();
    measure(ROWS, COLS);
    memcpy(before, estimate, sizeof before);
    for (size_t i = 0; i < (size_t)ROWS * COLS; i++)
        matrix[i] = ldexpf(matrix[i], 90);
    const sonde__density density = measure(ROWS, COLS);
    for (int i = 0; i < ROWS; i++)
        check_close(ldexp(estimate[i], 2 * density.exponent - 180), before[i],
                    1e-5 * before[ROWS - 1], 0, "scaled estimate");
}

static void nan_is_counted_and_gives_zeros(void **state)
{
    (void)state;
    fill_gaussian();
    matrix[12345] = NAN;
    assert_int_equal(measure(ROWS, COLS).nonfinite, 1);
    assert_true(estimate[ROWS - 1] == 0);
}

static void zero_matrix_gives_zeros(void **state)
{
    (void)state;
    memset(matrix, 0, (size_t)ROWS * COLS * sizeof *matrix);
    measure(ROWS, COLS);
    for (int i = 0; i < ROWS; i++)
        assert_true(estimate[i] == 0);
}

static void small_matrices_are_computed_exactly(void **state)
{
    (void)state;
    fill_gaussian();
    const sonde__density density = measure(40, 100);
    assert_true(density.error_bound == 0);
    double trace = 0, sum = 0;
    for (int i = 0; i < 4000; i++)
        trace += (double)matrix[i] * (double)matrix[i] / 100;
    for (int i = 0; i < 40; i++)
        sum += ldexp(estimate[i], 2 * density.exponent);
    check_close(sum, trace, 0, 1e-9, "trace");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_matrix_is_estimated_within_the_bound),
        cmocka_unit_test(planted_outliers_are_exact),
        cmocka_unit_test(two_variances_are_told_from_one_law),
        cmocka_unit_test(collapsed_rank_shows_as_zeros),
        cmocka_unit_test(transposing_changes_no_bit),
        cmocka_unit_test(scaling_by_a_power_of_two_scales_what_comes_out),
        cmocka_unit_test(nan_is_counted_and_gives_zeros),
        cmocka_unit_test(zero_matrix_gives_zeros),
        cmocka_unit_test(small_matrices_are_computed_exactly),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
