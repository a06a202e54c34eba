/* The choose rule: rankings with ties and scores that are not valid, votes, agreement. */
#include "check.h"

static sonde_score higher(double value)
{
    return (sonde_score){value, 0, SONDE_HIGHER_IS_BETTER, SONDE_VALID};
}

static sonde_score lower(double value)
{
    return (sonde_score){value, 0, SONDE_LOWER_IS_BETTER, SONDE_VALID};
}

static sonde_score none(void)
{
    return (sonde_score){0, 0, SONDE_HIGHER_IS_BETTER, SONDE_DEGENERATE};
}

static void ties_share_their_rank_and_invalid_scores_come_last(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const sonde_score scores[] = {higher(1), none(), higher(5), higher(1), higher(-3), none()};
    size_t order[6];
    double ranks[6];
    check_ok(context, sonde_choose_rank(context, scores, 6, order, ranks));
    const size_t expected[] = {2, 0, 3, 4, 1, 5};
    const double places[] = {2.5, 0, 1, 2.5, 4, 0};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(order[i], expected[i]);
        assert_true(ranks[i] == places[i]);
    }
    sonde_context_free(context);
}

static void the_direction_of_the_scores_decides_what_is_best(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const sonde_score falling[] = {lower(3), lower(1), lower(2)};
    const sonde_score mixed[] = {lower(3), higher(1)};
    const sonde_score neutral[] = {{1, 0, SONDE_NEUTRAL, SONDE_VALID}};
    size_t order[3];
    check_ok(context, sonde_choose_rank(context, falling, 3, order, NULL));
    assert_true(order[0] == 1 && order[1] == 2 && order[2] == 0);
    check_status(sonde_choose_rank(context, mixed, 2, order, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_choose_rank(context, neutral, 1, order, NULL), SONDE_ERROR_ARGUMENT);
    check_ok(context, sonde_choose_rank(context, NULL, 0, NULL, NULL));
    sonde_context_free(context);
}

static void a_value_that_is_not_finite_is_not_ranked(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const sonde_score scores[] = {higher(NAN), higher(2), higher(INFINITY)};
    size_t order[3];
    double ranks[3];
    check_ok(context, sonde_choose_rank(context, scores, 3, order, ranks));
    assert_true(order[0] == 1 && order[1] == 0 && order[2] == 2);
    assert_true(ranks[0] == 0 && ranks[1] == 1 && ranks[2] == 0);
    sonde_context_free(context);
}

static void the_majority_decides_each_pair(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    /* Two of three voters put 0 before 1 before 2; the third, by the opposite direction, does not. */
    const sonde_score scores[] = {higher(3), higher(2), higher(1), lower(1), lower(2),
                                  lower(3),  higher(1), higher(5), higher(9)};
    sonde_score votes[3];
    check_ok(context, sonde_choose_vote(context, scores, 3, 3, votes));
    assert_true(votes[0].value == 1 && votes[1].value == 0.5 && votes[2].value == 0);
    assert_int_equal(votes[0].direction, SONDE_HIGHER_IS_BETTER);
    sonde_context_free(context);
}

static void a_circle_of_preferences_is_a_draw(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const sonde_score scores[] = {higher(3), higher(2), higher(1), higher(1), higher(3),
                                  higher(2), higher(2), higher(1), higher(3)};
    sonde_score votes[3];
    check_ok(context, sonde_choose_vote(context, scores, 3, 3, votes));
    for (int i = 0; i < 3; i++)
        assert_true(votes[i].value == 0.5);
    sonde_context_free(context);
}

static void invalid_scores_lose_their_votes(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const sonde_score scores[] = {none(), higher(-9), none(), none(), higher(-9), higher(2)};
    sonde_score votes[3];
    check_ok(context, sonde_choose_vote(context, scores, 2, 3, votes));
    assert_int_equal(votes[0].validity, SONDE_NOT_MEASURED);
    /* 1 wins once and loses once against 2, and both win against 0. */
    assert_true(votes[1].value == 0.75 && votes[2].value == 0.75);
    check_ok(context, sonde_choose_vote(context, scores + 1, 1, 1, votes));
    assert_int_equal(votes[0].validity, SONDE_TOO_FEW);
    check_status(sonde_choose_vote(context, scores, 0, 3, votes), SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

static void agreement_leaves_out_what_is_not_finite(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const double x[] = {1, 2, NAN, 3, 4, INFINITY}, y[] = {2, 1, 7, 8, 9, 1};
    sonde_agreement agreement;
    check_ok(context, sonde_choose_agreement(context, x, y, 6, &agreement));
    assert_int_equal(agreement.pairs, 4);
    check_close(agreement.spearman.value, 0.8, 0, 1e-14, "Spearman");
    check_close(agreement.kendall.value, 4.0 / 6, 0, 1e-14, "Kendall");
    assert_true(agreement.pearson.value > 0.8 && agreement.pearson.value < 1);
    const double same[] = {1, 1, 1, 1, 1, 1};
    check_ok(context, sonde_choose_agreement(context, same, y, 6, &agreement));
    assert_int_equal(agreement.kendall.validity, SONDE_DEGENERATE);
    check_ok(context, sonde_choose_agreement(context, x, y, 1, &agreement));
    assert_int_equal(agreement.spearman.validity, SONDE_TOO_FEW);
    check_ok(context, sonde_choose_agreement(context, NULL, NULL, 0, &agreement));
    assert_int_equal(agreement.pearson.validity, SONDE_TOO_FEW);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_share_their_rank_and_invalid_scores_come_last),
        cmocka_unit_test(the_direction_of_the_scores_decides_what_is_best),
        cmocka_unit_test(a_value_that_is_not_finite_is_not_ranked),
        cmocka_unit_test(the_majority_decides_each_pair),
        cmocka_unit_test(a_circle_of_preferences_is_a_draw),
        cmocka_unit_test(invalid_scores_lose_their_votes),
        cmocka_unit_test(agreement_leaves_out_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
