/* The skip rule's words and shares. */
#include "check.h"

#include "rule/skip.h"

static const char *reason_of(sonde__mastery_tally tally)
{
    static sonde_decision decision;
    memset(&decision, 0x5a, sizeof decision);
    sonde__skip_decide(&tally, &decision);
    assert_true(strlen(decision.skip_reason) < SONDE_REASON_MAX);
    assert_int_equal(decision.examples, tally.known);
    assert_int_equal(decision.active, tally.active);
    return decision.skip_reason;
}

static void each_state_is_told_in_its_own_words(void **state)
{
    (void)state;
    sonde__mastery_tally t = {.delta = 1e-3, .first_check_judged = 5, .check_every = 1};
    assert_non_null(strstr(reason_of(t), "No losses"));
    t.known = t.active = 1000;
    t.checks = 2;
    assert_non_null(strstr(reason_of(t), "after 5 checks, 2 are done"));
    t.checks = 6;
    assert_non_null(strstr(reason_of(t), "none of 1000 is mastered"));
    t.delta = 0;
    assert_non_null(strstr(reason_of(t), "delta is 0"));
    t.delta = 1e-3;
    t.annealing = true;
    assert_non_null(strstr(reason_of(t), "last epochs"));
}

static void shares_and_changes_are_counted(void **state)
{
    (void)state;
    const sonde__mastery_tally t = {.known = 8000,
                                    .active = 5400,
                                    .checks = 9,
                                    .first_check_judged = 5,
                                    .delta = 1e-3,
                                    .mastered_now = 40,
                                    .readmitted_now = 12,
                                    .not_finite_now = 3,
                                    .skipped = 123,
                                    .possible = 1000};
    const char *reason = reason_of(t);
    assert_non_null(strstr(reason, "2600 of 8000 examples (32.5 %)"));
    assert_non_null(strstr(reason, "40 became mastered"));
    assert_non_null(strstr(reason, "12 came back"));
    assert_non_null(strstr(reason, "3 losses were NaN"));
    assert_non_null(strstr(reason, "12.3 % of backward passes"));
}

static void the_longest_reason_fits(void **state)
{
    (void)state;
    const uint64_t most = UINT64_MAX;
    const sonde__mastery_tally t = {.known = most,
                                    .active = 1,
                                    .checks = most,
                                    .first_check_judged = 5,
                                    .delta = 1,
                                    .mastered_now = most,
                                    .readmitted_now = most,
                                    .not_finite_now = most,
                                    .skipped = most,
                                    .possible = most};
    const char *reason = reason_of(t);
    assert_int_equal(reason[strlen(reason) - 1], '.');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_is_told_in_its_own_words),
        cmocka_unit_test(shares_and_changes_are_counted),
        cmocka_unit_test(the_longest_reason_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
