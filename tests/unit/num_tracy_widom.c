/*
 * Quantiles of the Tracy-Widom law (beta = 1) against published ones (Bejan 2005; Johnstone
 * 2009) and against the law's own asymptotics.
 */
#include "check.h"

#include "num/tracy_widom.h"

static double quantile(double level)
{
    double t = NAN;
    assert_true(sonde__tracy_widom_quantile(level, &t));
    return t;
}

static void quantiles_are_the_published_ones(void **state)
{
    (void)state;
    const double known[][2] = {{0.90, 0.4501}, {0.95, 0.9793},  {0.975, 1.4538},
                               {0.99, 2.0234}, {0.995, 2.4224}, {0.999, 3.2724}};
    for (int i = 0; i < 6; i++)
        check_close(quantile(known[i][0]), known[i][1], 1e-3, 0, "quantile");
}

static void quantiles_rise_smoothly_to_the_end_of_the_table(void **state)
{
    (void)state;
    double before = quantile(0.9), slope_before = 0;
    for (int i = 1; i <= 80; i++) { /* equal steps of the tail's logarithm */
        const double level = 1 - pow(10, -1 - i / 10.0);
        const double t = quantile(level < 1 - 1e-9 ? level : 1 - 1e-9);
        const double slope = t - before;
        assert_true(slope > 0);
        if (i > 11) /* 0.95 and 0.99 are rounded */
            assert_true(fabs(slope - slope_before) < 0.01);
        before = t;
        slope_before = slope;
    }
}

static void far_quantiles_follow_the_law_of_the_tail(void **state)
{
    (void)state;
    /* 1 - F_1(t) = exp(-2/3 t^(3/2)) / (4 sqrt(pi) t^(3/4)) (1 + O(t^(-3/2))). */
    for (int k = 6; k <= 9; k++) {
        const double tail = k < 9 ? pow(10, -k) : 1.0001e-9;
        const double t = quantile(1 - tail);
        const double law = exp(-2 / 3.0 * pow(t, 1.5)) / (4 * sqrt(acos(-1)) * pow(t, 0.75));
        check_close(law, tail, 0, pow(t, -1.5), "upper tail");
    }
}

static void levels_outside_the_table_are_refused(void **state)
{
    (void)state;
    const double levels[] = {0.5, 0.89, 1, 1 - 1e-10, -1, 2, NAN};
    double t;
    for (int i = 0; i < 7; i++)
        assert_false(sonde__tracy_widom_quantile(levels[i], &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_the_published_ones),
        cmocka_unit_test(quantiles_rise_smoothly_to_the_end_of_the_table),
        cmocka_unit_test(far_quantiles_follow_the_law_of_the_tail),
        cmocka_unit_test(levels_outside_the_table_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
