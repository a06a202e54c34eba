/* The stop rule on made-up sequences of spectra, and its state through save and restore. */
#include "check.h"

#include "rule/stop.h"

static sonde_layer_view view_of(const char *name, int64_t epoch, double statistic)
{
    sonde_layer_view view = {.name = name, .epoch = epoch};
    view.report = (sonde_spectrum_report){.rows = 512,
                                          .cols = 1024,
                                          .validity = SONDE_VALID,
                                          .statistic = statistic,
                                          .threshold_published = 0.4,
                                          .threshold_calibrated = 0.31,
                                          .null_mean = 0.2};
    return view;
}

static sonde__stop *make(sonde_context *context, int patience, int64_t warm_up)
{
    sonde_stop_options options;
    sonde__stop *stop = NULL;
    sonde_stop_options_init(&options);
    options.patience = patience;
    options.warm_up = warm_up;
    check_ok(context, sonde__stop_create(context, &options, &stop));
    return stop;
}

static void feed(sonde_context *context, sonde__stop *stop, const char *name, int64_t epoch,
                 double statistic)
{
    const sonde_layer_view view = view_of(name, epoch, statistic);
    check_ok(context, sonde__stop_observe(stop, &view));
}

static sonde_decision decide(const sonde__stop *stop)
{
    sonde_decision decision;
    memset(&decision, 0x5a, sizeof decision);
    sonde__stop_decide(stop, &decision);
    return decision;
}

/* One layer with these statistics at epochs 1, 2, ...; the epoch of the advice. */
static int64_t advised_epoch(int patience, int64_t warm_up, const double *statistics, int count)
{
    sonde_context *context = check_context();
    sonde__stop *stop = make(context, patience, warm_up);
    for (int i = 0; i < count; i++) {
        if (statistics[i] >= 0) /* negative: not observed */
            feed(context, stop, "fc2", i + 1, statistics[i]);
        check_ok(context, sonde__stop_end_epoch(stop, i + 1));
    }
    const sonde_decision decision = decide(stop);
    assert_int_equal(decision.stop_advised, decision.stop_epoch >= 0);
    sonde__stop_free(stop);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
    return decision.stop_epoch;
}

static void first_exceedance_after_the_warm_up_advises(void **state)
{
    (void)state;
    const double statistics[] = {0.2, 0.25, 0.5, 0.2, 0.6};
    assert_int_equal(advised_epoch(1, 1, statistics, 5), 3);
    assert_int_equal(advised_epoch(1, 3, statistics, 5), 5);
    assert_int_equal(advised_epoch(1, 5, statistics, 5), -1);
    assert_int_equal(advised_epoch(1, 1, statistics, 2), -1);
}

static void patience_counts_exceedances_in_a_row(void **state)
{
    (void)state;
    const double statistics[] = {0.2, 0.5, 0.5, 0.2, 0.5, 0.5, 0.5};
    assert_int_equal(advised_epoch(2, 1, statistics, 7), 3);
    assert_int_equal(advised_epoch(3, 1, statistics, 7), 7);
    const double gaps[] = {0.2, 0.5, -1, 0.5, -1, -1, 0.5};
    assert_int_equal(advised_epoch(3, 1, gaps, 7), 7);
}

static void equal_to_the_threshold_is_not_over_it(void **state)
{
    (void)state;
    const double statistics[] = {0.2, 0.31, 0.31};
    assert_int_equal(advised_epoch(1, 1, statistics, 3), -1);
}

static void advice_names_the_furthest_layer_and_stays(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__stop *stop = make(context, 1, 1);
    for (int64_t epoch = 1; epoch <= 7; epoch++) {
        feed(context, stop, "fc1", epoch, epoch == 7 ? 0.35 : 0.2);
        feed(context, stop, "fc2", epoch, epoch == 7 ? 0.47 : 0.25);
        check_ok(context, sonde__stop_end_epoch(stop, epoch));
    }
    sonde_decision decision = decide(stop);
    assert_true(decision.stop_advised);
    assert_int_equal(decision.stop_epoch, 7);
    assert_string_equal(decision.stop_layer, "fc2");
    assert_string_equal(decision.worst_layer, "fc2");
    check_close(decision.worst_ratio, 0.47 / 0.31, 0, 1e-12, "ratio");
    assert_non_null(
        strstr(decision.stop_reason,
               "fc2 (512 x 1024) left the Marchenko-Pastur law at epoch 7: scaled distance "
               "0.47, threshold 0.31 calibrated for its shape."));
    assert_non_null(strstr(decision.stop_reason, "so it is advice."));
    feed(context, stop, "fc2", 8, 0.1);
    check_ok(context, sonde__stop_end_epoch(stop, 8));
    decision = decide(stop);
    assert_int_equal(decision.stop_epoch, 7);
    assert_string_equal(decision.stop_layer, "fc2");
    assert_non_null(strstr(decision.stop_reason, "0.47"));
    sonde__stop_free(stop);
    sonde_context_free(context);
}

static void rule_says_when_it_does_not_know(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__stop *stop = make(context, 1, 1);
    sonde_decision decision = decide(stop);
    assert_false(decision.stop_advised);
    assert_int_equal(decision.stop_epoch, -1);
    assert_string_equal(decision.stop_layer, "");
    assert_true(decision.worst_ratio == 0);
    assert_non_null(strstr(decision.stop_reason, "Not known: no layer"));
    sonde_layer_view view = view_of("head", 1, 9);
    view.report.validity = SONDE_SMALL;
    check_ok(context, sonde__stop_observe(stop, &view));
    check_ok(context, sonde__stop_end_epoch(stop, 1));
    decision = decide(stop);
    assert_false(decision.stop_advised);
    assert_non_null(strstr(decision.stop_reason, "Not known: none of the 1 observed layers"));
    assert_non_null(strstr(decision.stop_reason, sonde_validity_sentence(SONDE_SMALL)));
    feed(context, stop, "fc", 2, 0.2);
    check_ok(context, sonde__stop_end_epoch(stop, 2));
    decision = decide(stop);
    assert_non_null(strstr(decision.stop_reason, "1 of 2 observed layers can be judged"));
    sonde__stop_free(stop);
    sonde_context_free(context);
}

static void nothing_invalid_ever_counts(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__stop *stop = make(context, 1, 0);
    const sonde_validity kinds[] = {SONDE_NOT_MEASURED, SONDE_NOT_FINITE, SONDE_TOO_FEW,
                                    SONDE_DEGENERATE, SONDE_OUT_OF_RANGE};
    for (int i = 0; i < 5; i++) {
        sonde_layer_view view = view_of("fc", i + 1, 1e9);
        view.report.validity = kinds[i];
        sonde__stop_judge(stop, &view);
        assert_false(view.over);
        assert_true(view.threshold == 0);
        check_ok(context, sonde__stop_observe(stop, &view));
        check_ok(context, sonde__stop_end_epoch(stop, i + 1));
    }
    sonde_layer_view view = view_of("fc", 6, NAN);
    check_ok(context, sonde__stop_observe(stop, &view));
    check_ok(context, sonde__stop_end_epoch(stop, 6));
    assert_false(decide(stop).stop_advised);
    sonde__stop_free(stop);
    sonde_context_free(context);
}

static void published_threshold_is_used_when_asked(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_stop_options options;
    sonde__stop *stop = NULL;
    sonde_stop_options_init(&options);
    options.use_published = true;
    options.warm_up = 0;
    check_ok(context, sonde__stop_create(context, &options, &stop));
    sonde_layer_view view = view_of("fc", 1, 0.35);
    sonde__stop_judge(stop, &view);
    assert_true(view.threshold == 0.4 && !view.over);
    view.report.statistic = 0.41;
    sonde__stop_judge(stop, &view);
    assert_true(view.over);
    view.report.threshold_published = 0; /* a shape for which it may not be used */
    sonde__stop_judge(stop, &view);
    assert_true(view.threshold == 0 && !view.over);
    feed(context, stop, "fc", 1, 0.41);
    check_ok(context, sonde__stop_end_epoch(stop, 1));
    assert_non_null(strstr(decide(stop).stop_reason, "0.40 the published constant"));
    sonde__stop_free(stop);
    sonde_context_free(context);
}

static void baseline_measures_from_the_first_spectrum(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_stop_options options;
    sonde__stop *stop = NULL;
    sonde_stop_options_init(&options);
    options.baseline = true;
    options.warm_up = 0;
    check_ok(context, sonde__stop_create(context, &options, &stop));
    sonde_layer_view view = view_of("fc", 1, 0.8); /* starts far out, and is not over */
    sonde__stop_judge(stop, &view);
    assert_false(view.over);
    feed(context, stop, "fc", 1, 0.8);
    check_ok(context, sonde__stop_end_epoch(stop, 1));
    assert_false(decide(stop).stop_advised);
    view = view_of("fc", 2, 0.9); /* 0.31 - 0.2 above 0.8 is the limit */
    sonde__stop_judge(stop, &view);
    check_close(view.threshold, 0.91, 1e-12, 0, "threshold");
    feed(context, stop, "fc", 2, 0.92);
    check_ok(context, sonde__stop_end_epoch(stop, 2));
    assert_true(decide(stop).stop_advised);
    sonde__stop_free(stop);
    sonde_context_free(context);
}

static void misuse_is_a_status_and_changes_nothing(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_stop_options options;
    sonde__stop *stop = NULL;
    sonde_stop_options_init(&options);
    options.patience = 0;
    check_status(sonde__stop_create(context, &options, &stop), SONDE_ERROR_RANGE);
    options.patience = 1;
    options.warm_up = -1;
    check_status(sonde__stop_create(context, &options, &stop), SONDE_ERROR_RANGE);
    options.size = 1;
    check_status(sonde__stop_create(context, &options, &stop), SONDE_ERROR_ARGUMENT);
    assert_null(stop);
    stop = make(context, 1, 1);
    feed(context, stop, "fc", 5, 0.2);
    sonde_layer_view view = view_of("fc", 5, 0.9);
    check_status(sonde__stop_observe(stop, &view), SONDE_ERROR_STATE); /* twice */
    check_ok(context, sonde__stop_end_epoch(stop, 5));
    check_status(sonde__stop_end_epoch(stop, 5), SONDE_ERROR_STATE);
    check_status(sonde__stop_end_epoch(stop, 4), SONDE_ERROR_STATE);
    check_status(sonde__stop_observe(stop, &view), SONDE_ERROR_STATE); /* late */
    view.epoch = 6;
    view.name = "";
    check_status(sonde__stop_observe(stop, &view), SONDE_ERROR_ARGUMENT);
    char name[SONDE_LAYER_NAME_MAX + 1];
    memset(name, 'x', sizeof name);
    name[SONDE_LAYER_NAME_MAX] = '\0';
    view.name = name;
    check_status(sonde__stop_observe(stop, &view), SONDE_ERROR_ARGUMENT);
    name[SONDE_LAYER_NAME_MAX - 1] = '\0'; /* the longest that fits */
    view.report.statistic = 123456.789;
    check_ok(context, sonde__stop_observe(stop, &view));
    check_ok(context, sonde__stop_end_epoch(stop, 6));
    const sonde_decision decision = decide(stop);
    assert_true(decision.stop_advised);
    assert_non_null(strstr(decision.stop_reason, "so it is advice."));
    sonde__stop_free(stop);
    sonde__stop_free(NULL);
    sonde_context_free(context);
}

/* --- state ---------------------------------------------------------------------------------- */

static double statistic_at(int layer, int64_t epoch)
{
    return 0.2 + 0.02 * layer + 0.15 * sin((double)epoch * (1 + layer));
}

static void run_epochs(sonde_context *context, sonde__stop *stop, int64_t from, int64_t to)
{
    const char *const names[] = {"conv1", "fc1", "fc2"};
    for (int64_t epoch = from; epoch <= to; epoch++) {
        for (int k = 0; k < 3; k++)
            feed(context, stop, names[k], epoch, statistic_at(k, epoch));
        check_ok(context, sonde__stop_end_epoch(stop, epoch));
    }
}

static void restored_rule_goes_on_as_if_never_interrupted(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    for (int64_t cut = 0; cut <= 12; cut++) {
        sonde__stop *whole = make(context, 3, 2), *first = make(context, 3, 2);
        sonde__stop *second = make(context, 3, 2);
        run_epochs(context, whole, 1, 12);
        run_epochs(context, first, 1, cut);
        run_epochs(context, second, 1, 4); /* restoring replaces what was there */
        sonde__byte_writer writer, again;
        sonde__byte_reader reader;
        sonde__byte_writer_init(&writer, context);
        sonde__byte_writer_init(&again, context);
        check_ok(context, sonde__stop_save(first, &writer));
        sonde__byte_reader_init(&reader, writer.text.bytes, writer.text.length);
        check_ok(context, sonde__stop_restore(second, &reader));
        assert_int_equal(sonde__bytes_left(&reader), 0);
        check_ok(context, sonde__stop_save(second, &again));
        assert_int_equal(again.text.length, writer.text.length);
        assert_memory_equal(again.text.bytes, writer.text.bytes, writer.text.length);
        run_epochs(context, second, cut + 1, 12);
        const sonde_decision a = decide(whole), b = decide(second);
        assert_int_equal(a.stop_epoch, b.stop_epoch);
        assert_string_equal(a.stop_reason, b.stop_reason);
        assert_true(a.worst_ratio == b.worst_ratio);
        sonde__byte_writer_free(&writer);
        sonde__byte_writer_free(&again);
        sonde__stop_free(whole);
        sonde__stop_free(first);
        sonde__stop_free(second);
    }
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void damaged_states_are_refused_and_change_nothing(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__stop *source = make(context, 1, 1), *stop = make(context, 1, 1);
    sonde__byte_writer writer, before, after;
    sonde__byte_reader reader;
    run_epochs(context, source, 1, 6);
    run_epochs(context, stop, 1, 2);
    sonde__byte_writer_init(&writer, context);
    sonde__byte_writer_init(&before, context);
    check_ok(context, sonde__stop_save(source, &writer));
    check_ok(context, sonde__stop_save(stop, &before));
    const size_t bare = writer.text.length;
    for (size_t size = 0; size < bare; size++) { /* without a checksum to help */
        char *copy = malloc(size + 1);
        memcpy(copy, writer.text.bytes, size);
        sonde__byte_reader_init(&reader, copy, size);
        assert_int_not_equal(sonde__stop_restore(stop, &reader), SONDE_OK);
        free(copy);
    }
    for (size_t i = 0; i < bare * 8; i++) { /* any bit: never a crash, rarely accepted */
        char *copy = malloc(bare);
        memcpy(copy, writer.text.bytes, bare);
        copy[i / 8] = (char)(copy[i / 8] ^ (1 << i % 8));
        sonde__stop *other = make(context, 1, 1);
        sonde__byte_reader_init(&reader, copy, bare);
        (void)sonde__stop_restore(other, &reader);
        (void)decide(other);
        sonde__stop_free(other);
        free(copy);
    }
    sonde__put_checksum(&writer);
    for (size_t i = 0; i < writer.text.length * 8; i++) {
        writer.text.bytes[i / 8] = (char)(writer.text.bytes[i / 8] ^ (1 << i % 8));
        sonde__byte_reader_init(&reader, writer.text.bytes, writer.text.length);
        assert_false(sonde__checksum_fits(&reader));
        writer.text.bytes[i / 8] = (char)(writer.text.bytes[i / 8] ^ (1 << i % 8));
    }
    sonde__byte_writer_init(&after, context);
    check_ok(context, sonde__stop_save(stop, &after));
    assert_int_equal(after.text.length, before.text.length);
    assert_memory_equal(after.text.bytes, before.text.bytes, before.text.length);
    sonde__byte_writer_free(&writer);
    sonde__byte_writer_free(&before);
    sonde__byte_writer_free(&after);
    sonde__stop_free(source);
    sonde__stop_free(stop);
    sonde_context_free(context);
}

static void state_of_other_options_or_a_newer_version_is_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__stop *source = make(context, 1, 1), *other = make(context, 2, 1);
    sonde__byte_writer writer;
    sonde__byte_reader reader;
    sonde__byte_writer_init(&writer, context);
    check_ok(context, sonde__stop_save(source, &writer));
    sonde__byte_reader_init(&reader, writer.text.bytes, writer.text.length);
    check_status(sonde__stop_restore(other, &reader), SONDE_ERROR_CORRUPT);
    writer.text.bytes[4] = 9;
    sonde__byte_reader_init(&reader, writer.text.bytes, writer.text.length);
    check_status(sonde__stop_restore(source, &reader), SONDE_ERROR_VERSION);
    sonde__byte_writer_free(&writer);
    sonde__stop_free(source);
    sonde__stop_free(other);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_exceedance_after_the_warm_up_advises),
        cmocka_unit_test(patience_counts_exceedances_in_a_row),
        cmocka_unit_test(equal_to_the_threshold_is_not_over_it),
        cmocka_unit_test(advice_names_the_furthest_layer_and_stays),
        cmocka_unit_test(rule_says_when_it_does_not_know),
        cmocka_unit_test(nothing_invalid_ever_counts),
        cmocka_unit_test(published_threshold_is_used_when_asked),
        cmocka_unit_test(baseline_measures_from_the_first_spectrum),
        cmocka_unit_test(misuse_is_a_status_and_changes_nothing),
        cmocka_unit_test(restored_rule_goes_on_as_if_never_interrupted),
        cmocka_unit_test(damaged_states_are_refused_and_change_nothing),
        cmocka_unit_test(state_of_other_options_or_a_newer_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
