/* Patterns of tensor names: '*', '?', lists, and no exponential time. */
#include "check.h"

#include <time.h>

#include "model/pattern.h"

static void a_pattern_must_match_the_whole_name(void **state)
{
    (void)state;
    assert_true(sonde__pattern_matches("fc1.weight", "fc1.weight"));
    assert_false(sonde__pattern_matches("fc1.weight", "fc1.weights"));
    assert_false(sonde__pattern_matches("fc1.weight", "a.fc1.weight"));
    assert_false(sonde__pattern_matches("fc1", "fc1.weight"));
    assert_true(sonde__pattern_matches("fc1*", "fc1.weight"));
}

static void a_star_is_any_run_and_a_question_mark_one_character(void **state)
{
    (void)state;
    assert_true(sonde__pattern_matches("layers.*.q_proj.*", "layers.11.q_proj.weight"));
    assert_true(sonde__pattern_matches("*", ""));
    assert_true(sonde__pattern_matches("**a**", "a"));
    assert_true(sonde__pattern_matches("layers.?.w", "layers.1.w"));
    assert_false(sonde__pattern_matches("layers.?.w", "layers.11.w"));
    assert_false(sonde__pattern_matches("?", ""));
    assert_true(sonde__pattern_matches("*ab*abc", "abababc"));
    assert_true(sonde__pattern_matches("a*b?c*", "axxbxcbyc"));
}

static void commas_separate_patterns_and_spaces_do_not_count(void **state)
{
    (void)state;
    assert_true(sonde__pattern_matches("*.q, *.k ,*.v", "a.k"));
    assert_false(sonde__pattern_matches("*.q, *.k ,*.v", "a.o"));
    assert_true(sonde__pattern_matches(",,x,", "x"));
    assert_false(sonde__pattern_matches(",,x,", "y"));
}

static void no_pattern_matches_everything(void **state)
{
    (void)state;
    assert_true(sonde__pattern_matches(NULL, "a"));
    assert_true(sonde__pattern_matches("", "a"));
    assert_true(sonde__pattern_matches(" , ", "a"));
}

static void many_stars_take_no_exponential_time(void **state)
{
    (void)state;
    char name[2048];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const clock_t begin = clock();
    assert_false(sonde__pattern_matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", name));
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_must_match_the_whole_name),
        cmocka_unit_test(a_star_is_any_run_and_a_question_mark_one_character),
        cmocka_unit_test(commas_separate_patterns_and_spaces_do_not_count),
        cmocka_unit_test(no_pattern_matches_everything),
        cmocka_unit_test(many_stars_take_no_exponential_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
