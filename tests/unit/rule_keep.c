/* The keep rule on series whose right answer is known by construction. */
#include "check.h"

#include "base/random.h"
#include "rule/keep.h"

enum { MOST = 200 };

static int64_t epochs[MOST];
static sonde_score scores[MOST], second[MOST];
static double rates[MOST];

static sonde_score lower(double value)
{
    return (sonde_score){value, 0, SONDE_LOWER_IS_BETTER, SONDE_VALID};
}

/* Epochs 1 .. n; V-shaped around `best`, with a little fixed noise. */
static sonde_keep_series v_shape(size_t n, int64_t best, double noise)
{
    sonde__stream stream = sonde__stream_open(11, SONDE__RANDOM_TEST, n);
    for (size_t i = 0; i < n; i++) {
        epochs[i] = (int64_t)i + 1;
        double away = fabs((double)(epochs[i] - best));
        scores[i] = lower(1 + 0.05 * away + noise * sonde__random_normal(&stream));
        rates[i] = 0.1;
    }
    scores[best - 1] = lower(1 - 3 * noise);
    return (sonde_keep_series){n, epochs, scores, NULL, rates};
}

/* Falls for ever, ever slower; the rate follows a cosine when annealed. */
static sonde_keep_series falling(size_t n, bool annealed)
{
    for (size_t i = 0; i < n; i++) {
        epochs[i] = (int64_t)i + 1;
        scores[i] = lower(1 / (1.0 + (double)i));
        rates[i] = annealed ? 0.05 * (1 + cos(3.14159 * (double)(i + 1) / (double)n)) : 0.1;
    }
    return (sonde_keep_series){n, epochs, scores, NULL, rates};
}

static sonde_keep_choice choose(const sonde_keep_series *series, const sonde_keep_options *options)
{
    sonde_context *context = check_context();
    sonde_keep_choice choice;
    check_ok(context, sonde_keep_choose(context, series, options, &choice));
    assert_true(choice.reason[0] != '\0' && strlen(choice.reason) < SONDE_REASON_MAX);
    sonde_context_free(context);
    return choice;
}

static void a_turned_score_is_found_mid_run_at_a_constant_rate(void **state)
{
    (void)state;
    sonde_keep_series series = v_shape(30, 11, 0.005);
    sonde_keep_choice choice = choose(&series, NULL);
    assert_int_equal(choice.epoch, 11);
    assert_int_equal(choice.window, SONDE_WINDOW_ALL);
    assert_int_equal(choice.warnings, 0);
    assert_true(choice.meaningful);
    assert_non_null(strstr(choice.reason, "epoch 11"));
    assert_non_null(strstr(choice.reason, "turned"));
}

static void a_turned_score_is_found_mid_run_even_when_the_rate_is_annealed(void **state)
{
    (void)state;
    sonde_keep_series series = v_shape(30, 11, 0.005);
    for (int i = 0; i < 30; i++)
        rates[i] = 0.1 * (1 - i / 30.0);
    assert_int_equal(choose(&series, NULL).epoch, 11);
}

static void an_annealed_run_that_has_not_turned_is_read_in_its_tail(void **state)
{
    (void)state;
    sonde_keep_series series = falling(30, true);
    scores[4] = lower(1e-3); /* a fluke, long before the end */
    sonde_keep_choice choice = choose(&series, NULL);
    assert_int_equal(choice.window, SONDE_WINDOW_TAIL);
    assert_int_equal(choice.window_first, 25);
    assert_int_equal(choice.epoch, 30);
    assert_true(choice.warnings & SONDE_KEEP_WARN_RIGHT_EDGE);
    assert_non_null(strstr(choice.reason, "learning rate has come down"));
    check_close(choice.trend, -1, 1e-12, 0, "trend");
}

static void a_run_at_constant_rate_is_read_whole(void **state)
{
    (void)state;
    sonde_keep_series series = falling(30, false);
    assert_int_equal(choose(&series, NULL).window, SONDE_WINDOW_ALL);
    series.learning_rate = NULL;
    assert_int_equal(choose(&series, NULL).window, SONDE_WINDOW_ALL);
}

static void noise_alone_is_no_turn(void **state)
{
    (void)state;
    sonde__stream stream = sonde__stream_open(3, SONDE__RANDOM_TEST, 0);
    int tails = 0;
    for (int run = 0; run < 50; run++) {
        sonde_keep_series series = falling(40, true);
        for (int i = 0; i < 40; i++)
            scores[i].value = 1 + 0.02 * sonde__random_normal(&stream);
        tails += choose(&series, NULL).window == SONDE_WINDOW_TAIL;
    }
    assert_true(tails >= 45);
}

static void higher_is_better_scores_are_maximised(void **state)
{
    (void)state;
    sonde_keep_series series = v_shape(30, 17, 0);
    for (int i = 0; i < 30; i++) {
        scores[i].value = -scores[i].value;
        scores[i].direction = SONDE_HIGHER_IS_BETTER;
    }
    sonde_keep_choice choice = choose(&series, NULL);
    assert_int_equal(choice.epoch, 17);
    check_close(choice.score, -1, 1e-15, 0, "score");
}

static void ties_go_to_the_later_epoch(void **state)
{
    (void)state;
    sonde_keep_series series = v_shape(30, 11, 0);
    scores[14] = scores[10];
    assert_int_equal(choose(&series, NULL).epoch, 15);
    sonde_keep_options options;
    sonde_keep_options_init(&options);
    options.tie = 0.1001; /* 1.1 is two epochs after 15 */
    scores[14] = lower(1);
    sonde_keep_choice choice = choose(&series, &options);
    assert_int_equal(choice.epoch, 15);
    options.tie = 0.26;
    assert_int_equal(choose(&series, &options).epoch, 16);
}

static void smoothing_outvotes_a_single_fluke(void **state)
{
    (void)state;
    sonde_keep_series series = v_shape(60, 30, 0);
    scores[3] = lower(0.9);
    assert_int_equal(choose(&series, NULL).epoch, 4);
    sonde_keep_options options;
    sonde_keep_options_init(&options);
    options.ema = 0.5;
    int64_t epoch = choose(&series, &options).epoch;
    assert_true(epoch >= 30 && epoch <= 33);
}

static void the_best_are_named_in_order(void **state)
{
    (void)state;
    sonde_keep_series series = v_shape(30, 11, 0);
    scores[20] = lower(1.01);
    scores[5] = lower(1.02);
    sonde_keep_options options;
    sonde_keep_options_init(&options);
    options.top = 16;
    sonde_keep_choice choice = choose(&series, &options);
    assert_int_equal(choice.top_count, 16);
    assert_int_equal(choice.top[0], 11);
    assert_int_equal(choice.top[1], 21);
    assert_int_equal(choice.top[2], 6);
    assert_int_equal(choice.top[3], 12); /* as good as 10, and later */
    assert_int_equal(choice.top[4], 10);
}

static void a_choice_on_the_left_edge_is_not_meaningful(void **state)
{
    (void)state;
    for (size_t i = 0; i < 20; i++) {
        epochs[i] = (int64_t)i + 1;
        scores[i] = lower(1 + 0.1 * (double)i); /* the inverted sign of a re-implementation */
        rates[i] = 0.1;
    }
    const sonde_keep_series series = {20, epochs, scores, NULL, rates};
    sonde_keep_choice choice = choose(&series, NULL);
    assert_int_equal(choice.epoch, 1);
    assert_true(choice.warnings & SONDE_KEEP_WARN_LEFT_EDGE);
    assert_false(choice.meaningful);
    check_close(choice.trend, 1, 1e-12, 0, "trend");
}

static void two_batches_that_disagree_are_told(void **state)
{
    (void)state;
    v_shape(30, 14, 0);
    memcpy(second, scores, sizeof second);
    sonde_keep_series series = v_shape(30, 11, 0);
    series.second = second;
    sonde_keep_choice choice = choose(&series, NULL);
    assert_int_equal(choice.second_epoch, 14);
    assert_true(choice.warnings & SONDE_KEEP_WARN_UNSTABLE);
    assert_false(choice.meaningful);
    sonde_keep_options options;
    sonde_keep_options_init(&options);
    options.stability = 3;
    choice = choose(&series, &options);
    assert_false(choice.warnings & SONDE_KEEP_WARN_UNSTABLE);
    assert_true(choice.meaningful);
}

static void flat_few_and_invalid_scores_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < 20; i++) {
        epochs[i] = (int64_t)i + 1;
        scores[i] = lower(1 + 1e-4 * (double)(i % 3));
        rates[i] = 0.1;
    }
    sonde_keep_series series = {20, epochs, scores, NULL, rates};
    assert_true(choose(&series, NULL).warnings & SONDE_KEEP_WARN_FLAT);
    series.count = 4;
    sonde_keep_choice choice = choose(&series, NULL);
    assert_true(choice.warnings & SONDE_KEEP_WARN_FEW);
    assert_false(choice.meaningful);
    series = v_shape(30, 11, 0);
    scores[10] = (sonde_score){0, 0, SONDE_LOWER_IS_BETTER, SONDE_NOT_FINITE};
    scores[3].value = NAN; /* a valid score that is not: left out as well */
    choice = choose(&series, NULL);
    assert_int_equal(choice.epoch, 12);
    assert_true(choice.warnings & SONDE_KEEP_WARN_INVALID);
}

static void nothing_usable_is_said_and_not_guessed(void **state)
{
    (void)state;
    const sonde_keep_series empty = {0};
    sonde_keep_choice choice = choose(&empty, NULL);
    assert_int_equal(choice.epoch, -1);
    assert_false(choice.meaningful);
    sonde_keep_series series = v_shape(10, 5, 0);
    for (int i = 0; i < 10; i++)
        scores[i].validity = SONDE_NOT_MEASURED;
    choice = choose(&series, NULL);
    assert_int_equal(choice.epoch, -1);
    assert_int_equal(choice.top_count, 0);
}

static void a_tail_without_scores_gives_way_to_the_run(void **state)
{
    (void)state;
    sonde_keep_series series = falling(30, true);
    for (int i = 20; i < 30; i++)
        scores[i].validity = SONDE_NOT_FINITE;
    sonde_keep_choice choice = choose(&series, NULL);
    assert_int_equal(choice.epoch, 20);
    assert_int_equal(choice.window, SONDE_WINDOW_ALL);
}

static void a_probe_batch_that_is_trained_on_is_a_warning(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_keep_series series = v_shape(30, 11, 0.005);
    sonde_keep_choice choice;
    check_ok(context, sonde__keep_choose(context, &series, NULL, SONDE_KEEP_WARN_SEEN, &choice));
    assert_true(choice.warnings & SONDE_KEEP_WARN_SEEN);
    assert_true(choice.meaningful);
    sonde_context_free(context);
}

static void every_warning_has_its_sentence(void **state)
{
    (void)state;
    for (uint32_t bit = 1; bit <= SONDE_KEEP_WARN_TPV; bit <<= 1)
        assert_non_null(sonde_keep_warning_sentence(bit));
    assert_null(sonde_keep_warning_sentence(0));
    assert_null(sonde_keep_warning_sentence(3));
}

static void wrong_series_and_options_are_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_keep_series series = v_shape(10, 5, 0);
    sonde_keep_choice choice;
    check_status(sonde_keep_choose(context, NULL, NULL, &choice), SONDE_ERROR_ARGUMENT);
    check_status(sonde_keep_choose(context, &series, NULL, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_keep_choose(NULL, &series, NULL, &choice), SONDE_ERROR_ARGUMENT);
    epochs[4] = epochs[3];
    check_status(sonde_keep_choose(context, &series, NULL, &choice), SONDE_ERROR_ARGUMENT);
    series = v_shape(10, 5, 0);
    series.scores = NULL;
    check_status(sonde_keep_choose(context, &series, NULL, &choice), SONDE_ERROR_ARGUMENT);
    series = v_shape(10, 5, 0);
    sonde_keep_options good, o;
    sonde_keep_options_init(&good);
    o = good, o.size = 1;
    check_status(sonde_keep_choose(context, &series, &o, &choice), SONDE_ERROR_ARGUMENT);
    o = good, o.ema = 1;
    check_status(sonde_keep_choose(context, &series, &o, &choice), SONDE_ERROR_RANGE);
    o = good, o.tail_fraction = 0;
    check_status(sonde_keep_choose(context, &series, &o, &choice), SONDE_ERROR_RANGE);
    o = good, o.top = 17;
    check_status(sonde_keep_choose(context, &series, &o, &choice), SONDE_ERROR_RANGE);
    o = good, o.window = (sonde_keep_window)7;
    check_status(sonde_keep_choose(context, &series, &o, &choice), SONDE_ERROR_RANGE);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turned_score_is_found_mid_run_at_a_constant_rate),
        cmocka_unit_test(a_turned_score_is_found_mid_run_even_when_the_rate_is_annealed),
        cmocka_unit_test(an_annealed_run_that_has_not_turned_is_read_in_its_tail),
        cmocka_unit_test(a_run_at_constant_rate_is_read_whole),
        cmocka_unit_test(noise_alone_is_no_turn),
        cmocka_unit_test(higher_is_better_scores_are_maximised),
        cmocka_unit_test(ties_go_to_the_later_epoch),
        cmocka_unit_test(smoothing_outvotes_a_single_fluke),
        cmocka_unit_test(the_best_are_named_in_order),
        cmocka_unit_test(a_choice_on_the_left_edge_is_not_meaningful),
        cmocka_unit_test(two_batches_that_disagree_are_told),
        cmocka_unit_test(flat_few_and_invalid_scores_are_told),
        cmocka_unit_test(nothing_usable_is_said_and_not_guessed),
        cmocka_unit_test(a_tail_without_scores_gives_way_to_the_run),
        cmocka_unit_test(a_probe_batch_that_is_trained_on_is_a_warning),
        cmocka_unit_test(every_warning_has_its_sentence),
        cmocka_unit_test(wrong_series_and_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
