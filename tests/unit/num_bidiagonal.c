/* Singular values of bidiagonal matrices whose values are known in closed form. */
#include "check.h"

#include "num/bidiagonal.h"

enum { MOST = 700 };
static double diagonal[MOST], off[MOST], work[8 * MOST];

/* All ones: 2 cos(k pi / (2 n + 1)). */
static void ones_give_cosines(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 2, 7, 8, 9, 17, 64, 700};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const size_t n = sizes[k];
        for (size_t i = 0; i < n; i++)
            diagonal[i] = off[i] = 1;
        assert_int_equal(sonde__bidiagonal_values(diagonal, off, n, work), SONDE_OK);
        for (size_t i = 0; i < n; i++)
            check_close(diagonal[i], 2 * cos((double)(n - i) * acos(-1) / (double)(2 * n + 1)),
                        3e-15, 0, "cosine");
    }
}

/* 2 x 2 blocks [a b; 0 a] have the values (sqrt(4 a^2 + b^2) +- b) / 2; here two clusters within
 * 1e-8, split by couplings of 1e-11. */
static void tight_clusters_are_as_accurate_as_the_rest(void **state)
{
    (void)state;
    enum { N = 600 };
    double expected[N];
    for (size_t i = 0; i < N; i += 2) {
        const double a = 0.7 + 1e-8 * (double)(i * 7 % N) / N, b = 1e-11 * (double)(1 + i % 6);
        diagonal[i] = diagonal[i + 1] = a;
        off[i] = b;
        off[i + 1] = 0;
        expected[i] = (sqrt(4 * a * a + b * b) - b) / 2;
        expected[i + 1] = (sqrt(4 * a * a + b * b) + b) / 2;
    }
    for (size_t i = 1; i < N; i++) /* insertion sort: i * 7 % N is not in order */
        for (size_t j = i; j > 0 && expected[j] < expected[j - 1]; j--) {
            const double swap = expected[j];
            expected[j] = expected[j - 1];
            expected[j - 1] = swap;
        }
    assert_int_equal(sonde__bidiagonal_values(diagonal, off, N, work), SONDE_OK);
    for (size_t i = 0; i < N; i++)
        check_close(diagonal[i], expected[i], 3e-15, 0, "cluster");
}

static void zeros_and_signs_are_no_trouble(void **state)
{
    (void)state;
    for (size_t i = 0; i < 9; i++)
        diagonal[i] = off[i] = 0;
    assert_int_equal(sonde__bidiagonal_values(diagonal, off, 9, work), SONDE_OK);
    for (size_t i = 0; i < 9; i++)
        assert_true(diagonal[i] == 0);
    for (size_t i = 0; i < 9; i++) {
        diagonal[i] = i % 3 == 0 ? 0 : i % 3 == 1 ? -4 : 0.5;
        off[i] = 0;
    }
    assert_int_equal(sonde__bidiagonal_values(diagonal, off, 9, work), SONDE_OK);
    for (size_t i = 0; i < 9; i++)
        assert_true(diagonal[i] == (i < 3 ? 0 : i < 6 ? 0.5 : 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ones_give_cosines),
        cmocka_unit_test(tight_clusters_are_as_accurate_as_the_rest),
        cmocka_unit_test(zeros_and_signs_are_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
