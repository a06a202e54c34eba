/* The Marchenko-Pastur law, Tracy-Widom edge and histograms, against identities and a quadrature
 * that knows nothing of the closed forms. */
#include "check.h"

#include "num/histogram.h"
#include "num/tracy_widom.h"

static const double SHAPES[] = {0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.9999, 1.0};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

/* Midpoint rule in t, x = low + (high - low) sin^2(t), which removes the square roots at the ends. */
static double quadrature(const sonde__mp *law, double from, double to, double height, bool absolute)
{
    enum { STEPS = 20000 };
    const double width = law->high - law->low, right_angle = asin(1);
    const double start = asin(sqrt((from - law->low) / width));
    const double end = to >= law->high ? right_angle : asin(sqrt((to - law->low) / width));
    double sum = 0;
    for (int i = 0; i < STEPS; i++) {
        const double t = start + (end - start) * (i + 0.5) / STEPS;
        const double x = law->low + width * sin(t) * sin(t);
        const double value = sonde__mp_density(law, x) - height;
        sum +=
            (absolute ? fabs(value) : value) * 2 * width * sin(t) * cos(t) * (end - start) / STEPS;
    }
    return sum;
}

static void density_integrates_to_one(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++) {
        const sonde__mp law = sonde__mp_from_shape(SHAPES[i], 2.5);
        check_close(quadrature(&law, law.low, law.high, 0, false), 1, 2e-5, 0, "integral");
        assert_true(sonde__mp_cdf(&law, law.low) == 0);
        assert_true(sonde__mp_cdf(&law, law.high) == 1);
    }
}

static void distribution_function_is_the_integral_of_the_density(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++) {
        const sonde__mp law = sonde__mp_from_shape(SHAPES[i], 0.7);
        for (int j = 1; j < 10; j++) {
            const double x = law.low + (law.high - law.low) * j / 10;
            check_close(sonde__mp_cdf(&law, x), quadrature(&law, law.low, x, 0, false), 2e-5, 0,
                        "distribution function");
        }
    }
}

static void mean_is_the_variance_of_the_entries(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++) {
        const sonde__mp law = sonde__mp_from_shape(SHAPES[i], 3);
        double mean = 0;
        for (int k = 0; k < 20000; k++) /* of the quantile function */
            mean += sonde__mp_quantile(&law, (k + 0.5) / 20000) / 20000;
        check_close(mean, 3, 0, 1e-5, "mean");
    }
}

static void quantiles_invert_the_distribution_function(void **state)
{
    (void)state;
    double q[1000];
    for (int i = 0; i < SHAPE_COUNT; i++) {
        const sonde__mp law = sonde__mp_from_shape(SHAPES[i], 1);
        sonde__mp_quantiles(&law, 1000, 0, 1000, q);
        for (size_t k = 0; k < 1000; k++) {
            check_close(sonde__mp_cdf(&law, q[k]), ((double)k + 0.5) / 1000, 1e-12, 0, "cdf(q)");
            check_close(q[k], sonde__mp_quantile(&law, ((double)k + 0.5) / 1000), 1e-12, 1e-9,
                        "one by one");
            assert_true(k == 0 || q[k] > q[k - 1]);
        }
    }
}

static void extremes_give_back_shape_and_scale(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++) {
        const sonde__mp law = sonde__mp_from_shape(SHAPES[i], 0.04);
        const sonde__mp back = sonde__mp_from_extremes(law.low, law.high);
        check_close(back.c, SHAPES[i], 0, 1e-12, "c");
        check_close(back.sigma2, 0.04, 0, 1e-14, "sigma^2");
    }
}

static void density_is_zero_outside_the_support(void **state)
{
    (void)state;
    const sonde__mp law = sonde__mp_from_extremes(1, 2);
    assert_true(sonde__mp_density(&law, 0.5) == 0);
    assert_true(sonde__mp_density(&law, 2.5) == 0);
    assert_true(sonde__mp_density(&law, NAN) == 0);
    assert_true(sonde__mp_density(&law, 1.5) > 0);
}

static void bin_distance_is_the_integral_of_the_difference(void **state)
{
    (void)state;
    for (int i = 1; i < SHAPE_COUNT; i++) {
        const sonde__mp law = sonde__mp_from_shape(SHAPES[i], 1);
        const double heights[] = {0, 0.05, 0.3, 0.6, 1.0, 3.0};
        for (int bin = 0; bin < 4; bin++) {
            const double from = law.low + (law.high - law.low) * bin / 4;
            const double to = law.low + (law.high - law.low) * (bin + 1) / 4;
            for (int h = 0; h < 6; h++)
                check_close(sonde__mp_bin_distance(&law, from, to, heights[h]),
                            quadrature(&law, from, to, heights[h], true), 1e-5, 1e-5, "distance");
        }
    }
}

static void bins_are_twice_the_cube_root(void **state)
{
    (void)state;
    assert_int_equal(sonde__histogram_bins(1), 2);
    assert_int_equal(sonde__histogram_bins(10), 4);
    assert_int_equal(sonde__histogram_bins(26), 4);
    assert_int_equal(sonde__histogram_bins(27), 6);
    assert_int_equal(sonde__histogram_bins(511), 14);
    assert_int_equal(sonde__histogram_bins(512), 16);
    assert_int_equal(sonde__histogram_bins(1000), 20);
}

static void counts_follow_half_open_bins(void **state)
{
    (void)state;
    const double values[] = {-1, 0, 0.5, 1, 1, 2, 3.9, 4, 4.1};
    size_t counts[4];
    sonde__histogram_count(values, 9, 0, 4, 4, counts);
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 2);
    assert_int_equal(counts[2], 1);
    assert_int_equal(counts[3], 2);
}

static void edge_at_unit_shape_matches_the_known_scale(void **state)
{
    (void)state;
    double t;
    /* c = 1: (1 + 1)^2 + t N^(-2/3) 2^(4/3). */
    check_close(sonde__edge(1, 1, 1000, 2), 4 + 2 * 0.01 * pow(2, 4.0 / 3), 0, 1e-12, "edge");
    assert_true(sonde__tracy_widom_quantile(0.95, &t));
    check_close(t, 0.9793, 1e-3, 0, "95 %");
    assert_true(sonde__tracy_widom_quantile(0.99, &t));
    check_close(t, 2.0234, 1e-3, 0, "99 %");
    assert_false(sonde__tracy_widom_quantile(0.5, &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(density_integrates_to_one),
        cmocka_unit_test(distribution_function_is_the_integral_of_the_density),
        cmocka_unit_test(mean_is_the_variance_of_the_entries),
        cmocka_unit_test(quantiles_invert_the_distribution_function),
        cmocka_unit_test(extremes_give_back_shape_and_scale),
        cmocka_unit_test(density_is_zero_outside_the_support),
        cmocka_unit_test(bin_distance_is_the_integral_of_the_difference),
        cmocka_unit_test(bins_are_twice_the_cube_root),
        cmocka_unit_test(counts_follow_half_open_bins),
        cmocka_unit_test(edge_at_unit_shape_matches_the_known_scale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
