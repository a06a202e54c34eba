/* The cut rule on units and on single weights: what goes, what never goes, and the same answer from
 * both where they overlap. */
#include "check.h"

#include "base/random.h"

enum { MOST = 400 };

static bool keep[MOST];

static sonde_cut_report cut(const sonde_cut_unit *units, size_t n, const sonde_cut_options *options)
{
    sonde_context *context = check_context();
    sonde_cut_report report;
    check_ok(context, sonde_cut(context, units, n, options, keep, &report));
    assert_true(strlen(report.reason) > 0 && strlen(report.reason) < SONDE_REASON_MAX);
    sonde_context_free(context);
    return report;
}

static sonde_cut_options with_ratio(double ratio)
{
    sonde_cut_options options;
    sonde_cut_options_init(&options);
    options.ratio = ratio;
    return options;
}

static void assert_kept(const char *expected)
{
    for (size_t i = 0; expected[i]; i++)
        if (keep[i] != (expected[i] == 'k'))
            fail_msg("unit %zu is %s, not as in %s", i, keep[i] ? "kept" : "removed", expected);
}

static const sonde_cut_unit SIX[] = {{3, 1, 0}, {1, 1, 0}, {2, 1, 0},
                                     {9, 1, 4}, {8, 1, 4}, {7, 1, 4}};

static void the_lowest_scores_go_over_all_layers(void **state)
{
    (void)state;
    const sonde_cut_options options = with_ratio(1.0 / 3);
    const sonde_cut_report report = cut(SIX, 6, &options);
    assert_kept("krrkkk");
    assert_true(report.kept == 4 && report.units == 6 && report.layers == 2);
    assert_true(report.threshold == 2);
    check_close(report.reached, 1.0 / 3, 0, 1e-15, "reached");
    assert_non_null(strstr(report.reason, "2 of 6 units go"));
}

static void each_layer_loses_the_ratio_where_that_is_asked(void **state)
{
    (void)state;
    sonde_cut_options options = with_ratio(1.0 / 3);
    options.scope = SONDE_CUT_LAYER;
    cut(SIX, 6, &options);
    assert_kept("krkkkr");
}

static void no_layer_is_emptied(void **state)
{
    (void)state;
    sonde_cut_options options = with_ratio(0.5);
    sonde_cut_report report = cut(SIX, 6, &options);
    assert_kept("krrkkr"); /* the layer's best stays, and the next worst goes in its place */
    assert_int_equal(report.layers_at_least, 1);
    options = with_ratio(1);
    report = cut(SIX, 6, &options);
    assert_kept("krrkrr");
    assert_int_equal(report.layers_at_least, 2);
    check_close(report.reached, 4.0 / 6, 0, 1e-15, "reached");
    assert_non_null(strstr(report.reason, "100.0 % were asked for"));
    options.least = 2;
    cut(SIX, 6, &options);
    assert_kept("krkkkr");
    options.least = 100;
    assert_int_equal(cut(SIX, 6, &options).kept, 6);
    options.least = 0;
    assert_int_equal(cut(SIX, 6, &options).kept, 0);
}

static void ratio_zero_keeps_everything(void **state)
{
    (void)state;
    sonde_cut_options options = with_ratio(0);
    for (int by_cost = 0; by_cost < 2; by_cost++) {
        options.measure = by_cost ? SONDE_CUT_BY_COST : SONDE_CUT_BY_COUNT;
        const sonde_cut_report report = cut(SIX, 6, &options);
        assert_true(report.kept == 6 && report.reached == 0 && report.threshold == 0);
        assert_non_null(strstr(report.reason, "All 6 units stay"));
    }
    assert_int_equal(cut(NULL, 0, &options).units, 0);
}

static void of_equal_scores_the_later_unit_goes(void **state)
{
    (void)state;
    const sonde_cut_unit same[] = {{5, 1, 0}, {5, 1, 1}, {5, 1, 0}, {5, 1, 1}};
    const sonde_cut_options options = with_ratio(0.25);
    cut(same, 4, &options);
    assert_kept("kkkr");
}

static void scores_that_are_not_finite_stay(void **state)
{
    (void)state;
    const sonde_cut_unit units[] = {
        {NAN, 1, 0}, {1, 1, 0}, {2, 1, 0}, {-INFINITY, 1, 0}, {3, 1, 0}};
    const sonde_cut_options options = with_ratio(1);
    const sonde_cut_report report = cut(units, 5, &options);
    assert_kept("krrkr"); /* two that stay are enough for `least` */
    assert_int_equal(report.unscored, 2);
    assert_non_null(strstr(report.reason, "2 units have no finite score"));
}

static void by_cost_as_little_goes_as_reaches_the_ratio(void **state)
{
    (void)state;
    const sonde_cut_unit units[] = {{1, 10, 0}, {2, 30, 0}, {3, 20, 1}, {4, 30, 1}, {5, 10, 2}};
    sonde_cut_options options = with_ratio(0.4);
    options.measure = SONDE_CUT_BY_COST;
    sonde_cut_report report = cut(units, 5, &options);
    assert_kept("rkrkk"); /* 10, then (30 is its layer's best) 20: not enough; 30 and 10 are, too */
    check_close(report.cost, 100, 0, 0, "cost");
    check_close(report.reached, 0.3, 0, 1e-15, "reached");
    options.ratio = 0.1;
    cut(units, 5, &options);
    assert_kept("rkkkk");
    options.ratio = 0.11;
    cut(units, 5, &options);
    assert_kept("rkrkk");
}

static void options_and_costs_out_of_range_are_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_cut_options options = with_ratio(1.5);
    sonde_cut_report report;
    check_status(sonde_cut(context, SIX, 6, &options, keep, &report), SONDE_ERROR_RANGE);
    assert_non_null(strstr(sonde_context_error(context)->message, "ratio is 1.5"));
    options = with_ratio(NAN);
    check_status(sonde_cut(context, SIX, 6, &options, keep, &report), SONDE_ERROR_RANGE);
    options = with_ratio(0.5);
    options.size = 1;
    check_status(sonde_cut(context, SIX, 6, &options, keep, &report), SONDE_ERROR_ARGUMENT);
    const sonde_cut_unit negative[] = {{1, -2, 0}}, endless[] = {{1, INFINITY, 0}};
    check_status(sonde_cut(context, negative, 1, NULL, keep, &report), SONDE_ERROR_RANGE);
    check_status(sonde_cut(context, endless, 1, NULL, keep, &report), SONDE_ERROR_RANGE);
    check_status(sonde_cut(context, NULL, 1, NULL, keep, &report), SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

/* --- single weights ---------------------------------------------------------------------------- */

/* Scores with ties, zeros of both signs, negatives and NaN, in layers of 0 to 150. */
static void weights_are_cut_as_units_of_cost_one_would_be(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    static float scores[MOST];
    static bool kept[MOST];
    static sonde_cut_unit units[MOST];
    const size_t sizes[] = {40, 0, 150, 1, 3};
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, 0);
    for (int trial = 0; trial < 200; trial++) {
        sonde_cut_weights_layer layers[5];
        size_t n = 0;
        for (size_t l = 0; l < 5; l++) {
            layers[l] = (sonde_cut_weights_layer){scores + n, kept + n, sizes[l]};
            for (size_t i = 0; i < sizes[l]; i++, n++) {
                const double draw = sonde__random_normal(&stream);
                scores[n] = trial % 2 ? (float)draw : (float)round(draw) * 0.5f;
                if (sonde__random_below(&stream, 30) == 0)
                    scores[n] = NAN;
                units[n] = (sonde_cut_unit){(double)scores[n], 1, l};
            }
        }
        sonde_cut_options options = with_ratio((double)sonde__random_below(&stream, 11) / 10);
        options.scope = trial % 3 ? SONDE_CUT_GLOBAL : SONDE_CUT_LAYER;
        options.least = (size_t)sonde__random_below(&stream, 5);
        const sonde_cut_report expected = cut(units, n, &options);
        sonde_cut_report report;
        check_ok(context, sonde_cut_weights(context, layers, 5, &options, &report));
        assert_memory_equal(kept, keep, n * sizeof *keep);
        assert_true(report.kept == expected.kept && report.threshold == expected.threshold &&
                    report.layers == expected.layers && report.unscored == expected.unscored &&
                    report.layers_at_least == expected.layers_at_least &&
                    report.reached == expected.reached);
    }
    sonde_context_free(context);
}

static void missing_arrays_of_weights_are_named(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float scores[] = {1};
    sonde_cut_report report;
    const sonde_cut_weights_layer layer = {scores, NULL, 1};
    check_status(sonde_cut_weights(context, &layer, 1, NULL, &report), SONDE_ERROR_ARGUMENT);
    assert_non_null(strstr(sonde_context_error(context)->message, "keep of layer 0 is NULL"));
    check_ok(context, sonde_cut_weights(context, NULL, 0, NULL, &report));
    assert_int_equal(report.units, 0);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_scores_go_over_all_layers),
        cmocka_unit_test(each_layer_loses_the_ratio_where_that_is_asked),
        cmocka_unit_test(no_layer_is_emptied),
        cmocka_unit_test(ratio_zero_keeps_everything),
        cmocka_unit_test(of_equal_scores_the_later_unit_goes),
        cmocka_unit_test(scores_that_are_not_finite_stay),
        cmocka_unit_test(by_cost_as_little_goes_as_reaches_the_ratio),
        cmocka_unit_test(options_and_costs_out_of_range_are_refused),
        cmocka_unit_test(weights_are_cut_as_units_of_cost_one_would_be),
        cmocka_unit_test(missing_arrays_of_weights_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
