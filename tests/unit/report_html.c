/* The page and the words: they survive every kind of run and say what they may say. */
#include "page.h"

#include "report/report.h"
#include "report/words.h"
#include "sample_run.h"

static char *render(sonde_context *context, sonde__text *text, const sonde__record *record)
{
    sonde__text_init(text, context);
    sonde__report_render(text, record);
    check_ok(context, sonde__text_status(text));
    return text->bytes;
}

static void every_kind_of_run_gives_a_whole_page(void **state)
{
    static const sample_shape shapes[] = {
        {12, 6, 128, true, true, false}, {1, 1, 8, false, false, false},
        {6, 3, 32, false, true, true},   {1000, 60, 64, true, true, false},
        {0, 0, 0, true, true, false},    {5, 0, 0, false, false, false},
        {2, 2, 1, true, true, true},     {4, 9, 0, true, true, false},
    };
    sonde_context *context = check_context();
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        sonde__text text;
        sonde__record record = sample_run(shapes[i]);
        check_page(render(context, &text, &record));
        assert_true(text.length < 1500000);
        sonde__text_free(&text);
        sample_free(&record);
    }
    sonde_context_free(context);
}

static void a_run_full_of_nan_and_infinity_gives_a_whole_page(void **state)
{
    sonde_context *context = check_context();
    sonde__text text;
    sonde__record record = sample_run((sample_shape){5, 3, 16, true, true, false});
    (void)state;
    for (size_t i = 0; i < record.epoch_count; i++) {
        sonde__epoch_row *row = &record.epochs[i];
        row->train_loss = row->train_accuracy = (double)INFINITY;
        row->test_accuracy = row->learning_rate = row->seconds = row->seconds_train = (double)NAN;
        row->examples = 0;
    }
    for (size_t i = 0; i < record.layer_count; i++)
        for (size_t j = 0; j < record.layers[i].eigenvalue_count; j++)
            record.layers[i].eigenvalues[j] = (double)NAN;
    record.summary.decision.keep.epoch = -1;
    check_page(render(context, &text, &record));
    assert_non_null(strstr(text.bytes, "No answer"));
    sonde__text_free(&text);
    sample_free(&record);
    sonde_context_free(context);
}

static void what_users_name_is_escaped(void **state)
{
    static const char evil[] = "\"'><script>alert(1)</script>";
    sonde_context *context = check_context();
    sonde__text text;
    sonde__record record = sample_run((sample_shape){6, 2, 16, true, true, false});
    sonde__event_row event = {.epoch = 1};
    (void)state;
    snprintf(record.summary.folder, sizeof record.summary.folder, "runs/%s", evil);
    snprintf(record.summary.config.model, sizeof record.summary.config.model, "%s", evil);
    snprintf(record.summary.config.data, sizeof record.summary.config.data, "%s", evil);
    snprintf(record.summary.decision.keep.reason, SONDE_REASON_MAX, "%s", evil);
    snprintf(record.summary.decision.stop_reason, SONDE_REASON_MAX, "%s", evil);
    snprintf(record.summary.decision.stop_layer, SONDE_LAYER_NAME_MAX, "%s", evil);
    snprintf(event.text, sizeof event.text, "%s", evil);
    for (size_t i = 0; i < record.layer_count; i++)
        if (i % 2 == 0)
            snprintf(record.layers[i].layer, sizeof record.layers[i].layer, "%s", evil);
    record.events = &event;
    record.event_count = 1;
    check_page(render(context, &text, &record));
    record.events = NULL;
    sonde__text_free(&text);
    sample_free(&record);
    sonde_context_free(context);
}

static bool says(const sonde__words *words, const char *what)
{
    if (strstr(words->answer, what) || strstr(words->sure, what))
        return true;
    for (int i = 0; i < words->line_count; i++)
        if (strstr(words->lines[i], what))
            return true;
    return false;
}

static void accuracy_is_marked_as_hindsight_and_counted_in_points(void **state)
{
    sonde__words words;
    sonde__record record = sample_run((sample_shape){12, 2, 16, true, true, false});
    (void)state;
    record.summary.kept_test_accuracy = 0.85;
    record.summary.final_test_accuracy = 0.80;
    record.summary.best_test_accuracy = 0.86;
    record.summary.best_test_epoch = 7;
    sonde__words_keep(&record, &words);
    assert_true(says(&words, "Epoch 8 of 12"));
    assert_true(says(&words, "cost 5.00 points"));
    assert_true(says(&words, "Hindsight, not used to decide"));
    record.summary.final_test_accuracy = 0.87;
    sonde__words_keep(&record, &words);
    assert_true(says(&words, "gained 2.00 points"));
    sample_free(&record);
}

static void without_a_test_part_the_cost_is_told_in_the_score(void **state)
{
    sonde__words words;
    char line[SONDE__WORDS_LINE];
    sonde__record record = sample_run((sample_shape){12, 2, 16, false, true, false});
    (void)state;
    for (size_t i = 0; i < record.score_count; i++)
        record.scores[i].score.value = record.scores[i].epoch == 12 ? 0.03 : 0.02;
    sonde__words_keep(&record, &words);
    assert_true(says(&words, "50.0 % above"));
    assert_false(says(&words, "test accuracy"));
    sonde__words_test(&record, line, sizeof line);
    assert_non_null(strstr(line, "no test part"));
    sample_free(&record);
}

static void the_tone_follows_the_warnings(void **state)
{
    sonde__words words;
    sonde__warnings warnings;
    sonde__record record = sample_run((sample_shape){12, 2, 16, true, true, false});
    (void)state;
    sonde__words_keep(&record, &words);
    assert_int_equal(words.tone, SONDE__TONE_SURE);
    record.summary.decision.keep.warnings = SONDE_KEEP_WARN_SEEN | SONDE_KEEP_WARN_UNSTABLE;
    sonde__words_keep(&record, &words);
    assert_int_equal(words.tone, SONDE__TONE_CARE);
    sonde__words_warnings(&record, &warnings);
    assert_int_equal(warnings.count, 2);
    assert_non_null(strstr(warnings.lines[1], "--probe held:256"));
    record.summary.decision.keep.meaningful = false;
    sonde__words_keep(&record, &words);
    assert_int_equal(words.tone, SONDE__TONE_UNSURE);
    sample_free(&record);
}

static void an_epoch_without_active_examples_is_no_divergence(void **state)
{
    sonde__warnings warnings;
    sonde__record record = sample_run((sample_shape){12, 4, 32, true, true, true});
    (void)state;
    const int before = (sonde__words_warnings(&record, &warnings), warnings.count);
    assert_non_null(strstr(warnings.lines[0], "diverged"));
    for (size_t i = 0; i < record.epoch_count; i++)
        if (isnan(record.epochs[i].train_loss)) {
            record.epochs[i].examples = 600;
            record.epochs[i].active = 0;
        }
    sonde__words_warnings(&record, &warnings);
    assert_int_equal(warnings.count, before);
    assert_null(strstr(warnings.lines[0], "diverged"));
    assert_non_null(strstr(warnings.lines[0], "6 epochs trained on nothing"));
    sample_free(&record);
}

static void stop_names_epoch_layer_and_what_came_after(void **state)
{
    sonde__words words;
    sonde__record record = sample_run((sample_shape){12, 2, 16, true, true, false});
    (void)state;
    sonde__words_stop(&record, &words);
    assert_true(says(&words, "Advised at epoch 10"));
    assert_true(says(&words, "conv1"));
    assert_true(says(&words, "2 more epochs"));
    assert_true(says(&words, "not obeyed"));
    record.summary.config.stop = true; /* obeyed, once the spectra of the epoch were computed */
    sonde__words_stop(&record, &words);
    assert_true(says(&words, "Advised at epoch 10"));
    assert_false(says(&words, "not obeyed"));
    record.summary.decision.stop_advised = false;
    sonde__words_stop(&record, &words);
    assert_true(says(&words, "Not advised"));
    sample_free(&record);
    record = sample_run((sample_shape){12, 2, 16, true, false, false});
    sonde__words_stop(&record, &words);
    assert_int_equal(words.tone, SONDE__TONE_UNSURE);
    assert_true(says(&words, "No answer"));
    sample_free(&record);
}

static void clocks_and_durations_read_well(void **state)
{
    char text[64];
    (void)state;
    sonde__words_clock(187, text, sizeof text);
    assert_string_equal(text, "3:07");
    sonde__words_clock(3729, text, sizeof text);
    assert_string_equal(text, "1:02:09");
    sonde__words_clock((double)NAN, text, sizeof text);
    assert_string_equal(text, "?");
    sonde__words_duration(4.25, text, sizeof text);
    assert_string_equal(text, "4.2 s");
    sonde__words_duration(59.7, text, sizeof text);
    assert_string_equal(text, "1 min 0 s");
    sonde__words_duration(3725, text, sizeof text);
    assert_string_equal(text, "1 h 2 min");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_run_gives_a_whole_page),
        cmocka_unit_test(a_run_full_of_nan_and_infinity_gives_a_whole_page),
        cmocka_unit_test(what_users_name_is_escaped),
        cmocka_unit_test(accuracy_is_marked_as_hindsight_and_counted_in_points),
        cmocka_unit_test(without_a_test_part_the_cost_is_told_in_the_score),
        cmocka_unit_test(the_tone_follows_the_warnings),
        cmocka_unit_test(an_epoch_without_active_examples_is_no_divergence),
        cmocka_unit_test(stop_names_epoch_layer_and_what_came_after),
        cmocka_unit_test(clocks_and_durations_read_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
