/* Layers against their thresholds: what an estimate's error and what chance explain is not called an
 * excess. */
#include "check.h"

#include <math.h>

#include "model/judge.h"

static sonde_layer_spectrum layer_at(double ratio)
{
    return (sonde_layer_spectrum){
        .name = "a",
        .report = {.statistic = 0.4 * ratio, .threshold_calibrated = 0.4, .distance = 0.1}};
}

static void a_layer_is_over_above_its_threshold_alone(void **state)
{
    sonde_layer_spectrum layer = layer_at(1.25);
    (void)state;
    assert_true(sonde__judge_layer(&layer).over);
    assert_true(fabs(sonde__judge_layer(&layer).ratio - 1.25) < 1e-15);
    layer = layer_at(0.75);
    assert_false(sonde__judge_layer(&layer).over);
    assert_true(fabs(sonde__judge_layer(&layer).ratio - 0.75) < 1e-15);
}

static void the_error_of_an_estimate_can_explain_an_excess(void **state)
{
    sonde_layer_spectrum layer = layer_at(1.25);
    (void)state;
    layer.error_bound = 0.019; /* of a distance of 0.1: at least 1.25 * 0.81 */
    assert_true(sonde__judge_layer(&layer).over);
    layer.error_bound = 0.021;
    assert_false(sonde__judge_layer(&layer).over);
    assert_true(sonde__judge_layer(&layer).ratio > 1);
}

static void what_has_no_threshold_is_not_judged(void **state)
{
    sonde_layer_spectrum layer = layer_at(2);
    (void)state;
    layer.report.threshold_calibrated = 0;
    assert_true(isnan(sonde__judge_layer(&layer).ratio));
    layer = layer_at(2);
    layer.report.validity = SONDE_TOO_FEW;
    assert_true(isnan(sonde__judge_layer(&layer).ratio) && !sonde__judge_layer(&layer).over);
    layer = layer_at(2);
    layer.skipped = "a vector";
    assert_true(isnan(sonde__judge_layer(&layer).ratio) && !sonde__judge_layer(&layer).over);
}

/* Expected figures: the Poisson distribution's, by hand. */
static void few_small_excesses_of_many_layers_are_chance(void **state)
{
    (void)state;
    assert_false(sonde__chance_explains(13, 0, 0.99, 0.01));
    assert_false(sonde__chance_explains(1, 1, 1.1, 0.01));   /* 1 % */
    assert_true(sonde__chance_explains(13, 1, 1.04, 0.01));  /* 12 % */
    assert_false(sonde__chance_explains(13, 2, 1.04, 0.01)); /* 0.8 % */
    assert_true(sonde__chance_explains(200, 5, 1.2, 0.01));  /* 5.3 % */
    assert_false(sonde__chance_explains(200, 7, 1.2, 0.01)); /* 0.5 % */
    assert_false(sonde__chance_explains(200, 5, 1.4, 0.01)); /* one is far out */
    assert_false(sonde__chance_explains(1000000, 1000000, 1.2, 0.01));
    assert_true(sonde__chance_explains(1000000, 10200, 1.2, 0.01));  /* 2 deviations */
    assert_false(sonde__chance_explains(1000000, 10300, 1.2, 0.01)); /* 3 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_is_over_above_its_threshold_alone),
        cmocka_unit_test(the_error_of_an_estimate_can_explain_an_excess),
        cmocka_unit_test(what_has_no_threshold_is_not_judged),
        cmocka_unit_test(few_small_excesses_of_many_layers_are_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
