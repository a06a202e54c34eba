/* The head gradient's word on the spectral advice. */
#include "check.h"

#include "rule/confirm.h"

static sonde_score score(double value)
{
    return (sonde_score){.value = value, .direction = SONDE_LOWER_IS_BETTER};
}

static const int64_t epochs[] = {1, 2, 3, 4, 5, 6};

static sonde_decision advised(void)
{
    return (sonde_decision){
        .stop_advised = true, .stop_epoch = 2, .stop_layer = "fc1", .stop_reason = "fc1 left."};
}

static void the_trend_counts_scored_epochs_after_the_best(void **state)
{
    (void)state;
    sonde_score scores[] = {score(5), score(2),  score(3), {.validity = SONDE_NOT_FINITE},
                            score(4), score(2.5)};
    scores[3].value = -1; /* must not be read */
    const sonde__score_trend trend = sonde__score_trend_of(epochs, scores, 6);
    assert_true(trend.known);
    assert_int_equal(trend.best_epoch, 2);
    assert_int_equal(trend.since, 3);
}

static void the_later_of_equal_scores_is_the_best(void **state)
{
    (void)state;
    const sonde_score scores[] = {score(2), score(3), score(2)};
    assert_int_equal(sonde__score_trend_of(epochs, scores, 3).best_epoch, 3);
}

static void larger_is_better_where_the_score_says_so(void **state)
{
    (void)state;
    sonde_score scores[] = {score(1), score(3), score(2)};
    for (int i = 0; i < 3; i++)
        scores[i].direction = SONDE_HIGHER_IS_BETTER;
    assert_int_equal(sonde__score_trend_of(epochs, scores, 3).best_epoch, 2);
}

static void a_score_confirms_when_it_has_not_improved_for_long_enough(void **state)
{
    (void)state;
    const sonde__score_trend trend = {.known = true, .best_epoch = 4, .since = 2};
    assert_false(sonde__score_trend_confirms(&trend, 3));
    assert_true(sonde__score_trend_confirms(&trend, 2));
}

static void spectra_decide_alone_without_scores_or_when_told_to(void **state)
{
    (void)state;
    const sonde__score_trend none = {.known = false, .best_epoch = -1};
    const sonde__score_trend improving = {.known = true, .best_epoch = 6, .since = 0};
    assert_true(sonde__score_trend_confirms(&none, 3));
    assert_true(sonde__score_trend_confirms(&improving, 0));
}

static void withheld_advice_says_what_it_waits_for(void **state)
{
    (void)state;
    const sonde__score_trend trend = {.known = true, .best_epoch = 4, .since = 2};
    sonde_decision decision = advised();
    sonde__stop_withhold(&trend, 3, &decision);
    assert_false(decision.stop_advised);
    assert_int_equal(decision.stop_epoch, -1);
    assert_string_equal(decision.stop_layer, "");
    assert_non_null(strstr(decision.stop_reason, "fc1 left the Marchenko-Pastur law at epoch 2"));
    assert_non_null(strstr(decision.stop_reason, "still improving at epoch 4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_trend_counts_scored_epochs_after_the_best),
        cmocka_unit_test(the_later_of_equal_scores_is_the_best),
        cmocka_unit_test(larger_is_better_where_the_score_says_so),
        cmocka_unit_test(a_score_confirms_when_it_has_not_improved_for_long_enough),
        cmocka_unit_test(withheld_advice_says_what_it_waits_for),
        cmocka_unit_test(spectra_decide_alone_without_scores_or_when_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
