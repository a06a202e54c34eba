/*
 * TPV in training: the number of an epoch is that of its checkpoint, nothing else of the run changes
 * by observing it, and a run that is interrupted anywhere ends with the same numbers.
 */
#include "check.h"

#include "folder.h"

#include "run/tpv_inputs.h"
#include "run/trainer.h"

static sonde__config small_config(void)
{
    sonde__config config;
    sonde__config_init(&config);
    snprintf(config.model, sizeof(config.model), "mlp:widths=12,dropout=0.2");
    snprintf(config.data, sizeof(config.data), "gauss-d1");
    config.train_size = 200;
    config.test_size = 50;
    config.epochs = 5;
    config.batch = 32;
    config.threads = 1;
    config.probe_size = 16;
    config.tpv_every = 2;
    config.tpv_inputs = 40;
    config.spectrum = false;
    return config;
}

static sonde__store *open_run(sonde_context *context, const char *name)
{
    sonde__store *store;
    check_ok(context, sonde__store_open(context, folder_path(name), SONDE__STORE_READ, &store));
    return store;
}

static size_t scores_of(sonde_context *context, const char *name, const char *signal,
                        sonde__score_row rows[16])
{
    sonde__store *store = open_run(context, name);
    sonde__score_row *all;
    size_t count;
    check_ok(context, sonde__store_scores(store, signal, &all, &count));
    assert_in_range(count, 0, 16);
    memcpy(rows, all, count * sizeof *rows);
    sonde__store_free_rows(store, all);
    sonde__store_close(store);
    return count;
}

/* The trace of a checkpoint, measured by itself on the same inputs. */
static sonde_estimate measure_epoch(sonde_context *context, const char *name, int64_t epoch)
{
    sonde__subject subject;
    sonde__subject_options options;
    sonde__tpv_options tpv;
    sonde__tpv_sample sample;
    sonde_estimate trace;
    sonde__subject_options_init(&options);
    options.run = folder_path(name);
    options.epoch = epoch;
    options.study = true;
    check_ok(context, sonde__subject_open(context, &options, &subject));
    check_ok(context, sonde__tpv_sample_subject(&subject, false, (size_t)subject.config.tpv_inputs,
                                                &sample));
    sonde__tpv_options_init(&tpv);
    check_ok(context, sonde__measure_tpv_trace(context, subject.net, &sample.inputs, &tpv, &trace));
    sonde__tpv_sample_free(context, &sample);
    sonde__subject_close(&subject);
    return trace;
}

static void the_tpv_of_an_epoch_is_that_of_its_checkpoint(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    sonde__score_row rows[16], errors[16];
    check_ok(context, sonde__train(context, &config, folder_path("observed"), NULL, &summary));
    assert_int_equal(scores_of(context, "observed", SONDE__TPV_SIGNAL, rows), 3);
    assert_int_equal(scores_of(context, "observed", SONDE__TPV_ERROR_SIGNAL, errors), 3);
    static const int64_t epochs[] = {2, 4, 5}; /* every second one, and the last */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rows[i].epoch, epochs[i]);
        assert_int_equal(rows[i].score.validity, SONDE_VALID);
        const sonde_estimate trace = measure_epoch(context, "observed", epochs[i]);
        check_close(rows[i].score.value, trace.value, 0, 1e-5, "trace");
        check_close(errors[i].score.value, trace.standard_error, 0, 1e-4, "error");
    }
    sonde_context_free(context);
}

static void observing_it_changes_nothing_else(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary with, without;
    sonde__score_row a[16], b[16];
    check_ok(context, sonde__train(context, &config, folder_path("with"), NULL, &with));
    config.tpv_every = 0;
    check_ok(context, sonde__train(context, &config, folder_path("without"), NULL, &without));
    assert_true(with.final_train_loss == without.final_train_loss);
    assert_int_equal(with.decision.keep.epoch, without.decision.keep.epoch);
    assert_int_equal(scores_of(context, "with", "head.raw", a), 5);
    assert_int_equal(scores_of(context, "without", "head.raw", b), 5);
    for (int i = 0; i < 5; i++)
        assert_true(a[i].score.value == b[i].score.value);
    assert_int_equal(scores_of(context, "without", SONDE__TPV_SIGNAL, b), 0);
    sonde_context_free(context);
}

typedef struct counter {
    int asked, limit;
} counter;

static bool count_down(void *user)
{
    counter *c = user;
    return ++c->asked > c->limit;
}

static void interrupted_anywhere_a_run_has_the_same_tpv_and_keeps_the_same(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary whole, cut;
    sonde__score_row a[16], b[16];
    config.tpv_every = 1;
    snprintf(config.keep_by, sizeof(config.keep_by), "tpv");
    check_ok(context, sonde__train(context, &config, folder_path("whole"), NULL, &whole));
    counter c = {0, 9};
    sonde__train_hooks hooks = {.user = &c, .interrupted = count_down};
    check_ok(context, sonde__train(context, &config, folder_path("cut"), &hooks, &cut));
    for (int i = 0; i < 100 && strcmp(cut.status, "finished") != 0; i++) {
        c = (counter){0, 9 + 4 * (i % 3)};
        check_ok(context, sonde__train_resume(context, folder_path("cut"), 0, &hooks, &cut));
    }
    assert_string_equal(cut.status, "finished");
    assert_int_equal(scores_of(context, "whole", SONDE__TPV_SIGNAL, a), 5);
    assert_int_equal(scores_of(context, "cut", SONDE__TPV_SIGNAL, b), 5);
    int64_t least = 0;
    for (int i = 0; i < 5; i++) {
        assert_true(a[i].score.value == b[i].score.value);
        least = a[i].score.value <= a[least].score.value ? i : least;
    }
    assert_int_equal(whole.decision.keep.epoch, least + 1);
    assert_memory_equal(&whole.decision.keep, &cut.decision.keep, sizeof(cut.decision.keep));
    assert_true(whole.decision.keep.warnings & SONDE_KEEP_WARN_TPV);
    sonde_context_free(context);
}

static void keeping_by_what_is_not_measured_is_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.tpv_every = 0;
    snprintf(config.keep_by, sizeof(config.keep_by), "tpv");
    check_status(sonde__train(context, &config, folder_path("refused"), NULL, &summary),
                 SONDE_ERROR_ARGUMENT);
    assert_non_null(strstr(sonde_context_error(context)->message, "--tpv-every"));
    sonde_context_free(context);
}

/* ---- inputs ---- */

static void inputs_are_drawn_without_repeats_and_alike(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__subject subject;
    sonde__subject_options options;
    sonde__tpv_sample few, again, all, test;
    sonde__subject_options_init(&options);
    options.config = small_config();
    check_ok(context, sonde__subject_open(context, &options, &subject));
    check_ok(context, sonde__tpv_sample_subject(&subject, false, 30, &few));
    check_ok(context, sonde__tpv_sample_subject(&subject, false, 30, &again));
    check_ok(context, sonde__tpv_sample_subject(&subject, false, 0, &all));
    check_ok(context, sonde__tpv_sample_subject(&subject, true, 1000, &test));
    const size_t row = subject.train_batcher.features;
    assert_int_equal(few.inputs.n, 30);
    assert_int_equal(all.inputs.n, 200);
    assert_int_equal(test.inputs.n, 50);
    assert_memory_equal(few.x, again.x, 30 * row * sizeof(float));
    for (size_t i = 0; i < 30; i++) {
        size_t found = 0, twice = 0;
        for (size_t j = 0; j < 200; j++)
            found += memcmp(few.x + i * row, all.x + j * row, row * sizeof(float)) == 0;
        for (size_t j = 0; j < 30; j++)
            twice += memcmp(few.x + i * row, few.x + j * row, row * sizeof(float)) == 0;
        assert_int_equal(found, 1);
        assert_int_equal(twice, 1);
    }
    sonde__tpv_sample_free(context, &few);
    sonde__tpv_sample_free(context, &again);
    sonde__tpv_sample_free(context, &all);
    sonde__tpv_sample_free(context, &test);
    sonde__subject_close(&subject);
    sonde_context_free(context);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_tpv_of_an_epoch_is_that_of_its_checkpoint),
        TEST(observing_it_changes_nothing_else),
        TEST(interrupted_anywhere_a_run_has_the_same_tpv_and_keeps_the_same),
        TEST(keeping_by_what_is_not_measured_is_refused),
        TEST(inputs_are_drawn_without_repeats_and_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
