/* Correlations against brute force over all pairs, and hand-made cases with ties. */
#include "check.h"

#include "base/random.h"
#include "num/rank.h"

enum { N_MAX = 200 };

static double sign(double x)
{
    return (x > 0) - (x < 0);
}

static double kendall_by_pairs(const double *x, const double *y, size_t n)
{
    double sum = 0, xs = 0, ys = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            const double sx = sign(x[i] - x[j]), sy = sign(y[i] - y[j]);
            sum += sx * sy;
            xs += sx * sx;
            ys += sy * sy;
        }
    return sum / sqrt(xs * ys);
}

static double rank_by_counting(const double *x, size_t n, size_t i)
{
    double below = 0, same = 0;
    for (size_t j = 0; j < n; j++) {
        below += x[j] < x[i];
        same += x[j] == x[i];
    }
    return below + (same + 1) / 2;
}

static void random_series(size_t n, uint64_t index, unsigned levels, double *x, double *y)
{
    sonde__stream stream = sonde__stream_open(3, SONDE__RANDOM_TEST, index);
    for (size_t i = 0; i < n; i++) {
        x[i] =
            levels ? (double)sonde__random_below(&stream, levels) : sonde__random_normal(&stream);
        y[i] = x[i] / 2 + (levels ? (double)sonde__random_below(&stream, levels)
                                  : sonde__random_normal(&stream));
    }
}

static void kendall_equals_the_sum_over_all_pairs(void **state)
{
    (void)state;
    double x[N_MAX], y[N_MAX], scratch[SONDE__RANK_SCRATCH * N_MAX], tau;
    for (size_t n = 2; n <= N_MAX; n += 11)
        for (unsigned levels = 0; levels < 6; levels += 3) {
            random_series(n, n, levels, x, y);
            if (!sonde__kendall(x, y, n, scratch, &tau))
                continue; /* a constant side; covered below */
            check_close(tau, kendall_by_pairs(x, y, n), 1e-13, 0, "tau-b");
        }
}

static void ranks_of_ties_are_their_mean(void **state)
{
    (void)state;
    double x[N_MAX], y[N_MAX], ranks[N_MAX], scratch[4 * N_MAX];
    for (size_t n = 1; n <= N_MAX; n += 7) {
        random_series(n, n, 9, x, y);
        sonde__ranks(y, n, scratch, ranks);
        for (size_t i = 0; i < n; i++)
            assert_true(ranks[i] == rank_by_counting(y, n, i));
    }
}

static void spearman_of_a_known_series(void **state)
{
    (void)state;
    double scratch[SONDE__RANK_SCRATCH * 10], rho;
    /* The classic table of IQ against hours of television: rho = -29/165. */
    const double iq[] = {106, 86, 100, 101, 99, 103, 97, 113, 112, 110};
    const double hours[] = {7, 0, 27, 50, 28, 29, 20, 12, 6, 17};
    assert_true(sonde__spearman(iq, hours, 10, scratch, &rho));
    check_close(rho, -29.0 / 165, 1e-14, 0, "rho");
}

static void spearman_sees_order_only(void **state)
{
    (void)state;
    double x[50], y[50], scratch[SONDE__RANK_SCRATCH * 50], rho;
    for (int i = 0; i < 50; i++) {
        x[i] = i - 20;
        y[i] = exp(-x[i]) * 1e200;
    }
    assert_true(sonde__spearman(x, y, 50, scratch, &rho));
    check_close(rho, -1, 1e-14, 0, "rho of a decreasing function");
    assert_true(sonde__spearman(x, x, 50, scratch, &rho));
    check_close(rho, 1, 1e-14, 0, "rho with itself");
}

static void pearson_survives_huge_and_tiny_values(void **state)
{
    (void)state;
    double x[20], y[20], r, same;
    random_series(20, 5, 0, x, y);
    assert_true(sonde__pearson(x, y, 20, &r));
    for (int i = 0; i < 20; i++) {
        x[i] *= 1e300;
        y[i] *= 1e-300;
    }
    assert_true(sonde__pearson(x, y, 20, &same));
    check_close(same, r, 1e-12, 0, "scaled");
}

static void no_number_where_none_exists(void **state)
{
    (void)state;
    const double constant[] = {0.1, 0.1, 0.1}, rising[] = {1, 2, 3}, broken[] = {1, NAN, 2};
    const double endless[] = {1, INFINITY, 2};
    double scratch[SONDE__RANK_SCRATCH * 3], value = 7;
    assert_false(sonde__spearman(constant, rising, 3, scratch, &value));
    assert_true(value == 0);
    assert_false(sonde__kendall(rising, constant, 3, scratch, &value));
    assert_false(sonde__pearson(constant, rising, 3, &value));
    assert_false(sonde__spearman(rising, broken, 3, scratch, &value));
    assert_false(sonde__kendall(endless, rising, 3, scratch, &value));
    assert_false(sonde__pearson(rising, endless, 3, &value));
    assert_false(sonde__spearman(rising, rising, 1, scratch, &value));
    assert_false(sonde__spearman(rising, rising, 0, scratch, &value));
}

static void sort_orders_any_length(void **state)
{
    (void)state;
    double values[N_MAX], other[N_MAX], scratch[N_MAX];
    for (size_t n = 0; n <= N_MAX; n++) {
        random_series(n, n, n % 2 ? 5 : 0, values, other);
        double sum = 0, after = 0;
        for (size_t i = 0; i < n; i++)
            sum += values[i];
        sonde__sort(values, n, scratch);
        for (size_t i = 0; i < n; i++) {
            after += values[i];
            assert_true(i == 0 || values[i - 1] <= values[i]);
        }
        check_close(after, sum, 1e-10, 0, "nothing lost");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kendall_equals_the_sum_over_all_pairs),
        cmocka_unit_test(ranks_of_ties_are_their_mean),
        cmocka_unit_test(spearman_of_a_known_series),
        cmocka_unit_test(spearman_sees_order_only),
        cmocka_unit_test(pearson_survives_huge_and_tiny_values),
        cmocka_unit_test(no_number_where_none_exists),
        cmocka_unit_test(sort_orders_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
