/*
 * Mastery against the facts of section 4.5 of the methods, and against a plain reference that keeps
 * every loss of every example and follows each mode's text literally.
 */
#include "check.h"

#include "base/random.h"
#include "signal/mastery.h"

static sonde_mastery *create(sonde_context *context, sonde_mastery_mode mode, uint64_t examples)
{
    sonde_mastery_options options;
    sonde_mastery_options_init(&options);
    options.mode = mode;
    options.examples = examples;
    sonde_mastery *mastery = NULL;
    check_ok(context, sonde_mastery_create(context, &options, &mastery));
    return mastery;
}

/* One example, one loss an epoch from 1 on; returns the first epoch after which it is mastered. */
static int first_mastered(sonde_mastery_mode mode, double (*loss)(int), int epochs)
{
    sonde_context *context = check_context();
    sonde_mastery *mastery = create(context, mode, 1);
    int first = 0;
    for (int t = 1; t <= epochs && first == 0; t++) {
        uint64_t id = 0;
        float value = (float)loss(t);
        check_ok(context, sonde_mastery_record(mastery, &id, &value, 1));
        check_ok(context, sonde_mastery_end_epoch(mastery, t));
        if (!sonde_mastery_active(mastery, 0))
            first = t;
    }
    sonde_mastery_free(mastery);
    sonde_context_free(context);
    return first;
}

static double constant_loss(int t)
{
    (void)t;
    return 0.7;
}

static double linear_loss(int t)
{
    return 8 - 0.25 * t;
}

/* D2 = 2a with a = 0.25/1024: 4.9e-4, below the default 1e-3; all values exact in float. */
static double gentle_quadratic(int t)
{
    return t * t * 0.25 / 1024;
}

/* D2 = 2a with a = 0.5625/1024: 1.1e-3, above it. */
static double steep_quadratic(int t)
{
    return t * t * 0.5625 / 1024;
}

static void the_script_excludes_a_constant_loss_at_epoch_6_and_not_5(void **state)
{
    (void)state;
    assert_int_equal(first_mastered(SONDE_MASTERY_CODE, constant_loss, 10), 6);
}

static void the_paper_and_the_corrected_rule_exclude_as_soon_as_they_know(void **state)
{
    (void)state;
    assert_int_equal(first_mastered(SONDE_MASTERY_PAPER, constant_loss, 10), 3);
    assert_int_equal(first_mastered(SONDE_MASTERY_CORRECTED, constant_loss, 10), 5);
}

static void a_linear_loss_is_mastered(void **state)
{
    (void)state;
    assert_int_equal(first_mastered(SONDE_MASTERY_CODE, linear_loss, 10), 6);
    assert_int_equal(first_mastered(SONDE_MASTERY_CORRECTED, linear_loss, 10), 5);
}

static void a_quadratic_loss_is_mastered_when_twice_its_coefficient_is_below_delta(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        assert_int_not_equal(first_mastered((sonde_mastery_mode)mode, gentle_quadratic, 20), 0);
        assert_int_equal(first_mastered((sonde_mastery_mode)mode, steep_quadratic, 20), 0);
    }
}

/* |D2| = J, J, 0, 0: the average of three is J/3, 2J/3, 2J/3, J/3, 0, so four epochs are active. */
static void a_jump_brings_an_example_back_for_four_epochs(void **state)
{
    (void)state;
    const sonde_mastery_mode modes[] = {SONDE_MASTERY_CODE, SONDE_MASTERY_CORRECTED};
    for (int m = 0; m < 2; m++) {
        sonde_context *context = check_context();
        sonde_mastery *mastery = create(context, modes[m], 2);
        /* The second example stays mastered, so that the script's set is never empty. */
        for (int t = 1; t <= 20; t++) {
            const uint64_t ids[] = {0, 1};
            const float losses[] = {t < 11 ? 0.5f : 1.0f, 0.5f};
            check_ok(context, sonde_mastery_record(mastery, ids, losses, 2));
            check_ok(context, sonde_mastery_end_epoch(mastery, t));
            if (t >= 6)
                assert_int_equal(sonde_mastery_active(mastery, 0), t >= 11 && t <= 14);
        }
        assert_int_equal(sonde__mastery_tally_of(mastery).readmitted_ever, 1);
        sonde_mastery_free(mastery);
        sonde_context_free(context);
    }
}

static void the_script_keeps_its_old_set_when_the_new_one_is_empty(void **state)
{
    (void)state;
    const sonde_mastery_mode modes[] = {SONDE_MASTERY_CODE, SONDE_MASTERY_CORRECTED};
    for (int m = 0; m < 2; m++) {
        sonde_context *context = check_context();
        sonde_mastery *mastery = create(context, modes[m], 1);
        for (int t = 1; t <= 12; t++) {
            uint64_t id = 0;
            float loss = t < 11 ? 0.5f : 1.0f;
            check_ok(context, sonde_mastery_record(mastery, &id, &loss, 1));
            check_ok(context, sonde_mastery_end_epoch(mastery, t));
        }
        assert_int_equal(sonde_mastery_active(mastery, 0), modes[m] != SONDE_MASTERY_CODE);
        sonde_mastery_free(mastery);
        sonde_context_free(context);
    }
}

static void delta_zero_skips_nothing(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_mastery_options options;
    sonde_mastery_options_init(&options);
    options.delta = 0;
    options.examples = 1;
    sonde_mastery *mastery = NULL;
    check_ok(context, sonde_mastery_create(context, &options, &mastery));
    for (int t = 1; t <= 20; t++) {
        uint64_t id = 0;
        float loss = 0.5f;
        check_ok(context, sonde_mastery_record(mastery, &id, &loss, 1));
        check_ok(context, sonde_mastery_end_epoch(mastery, t));
        assert_true(sonde_mastery_active(mastery, 0));
    }
    assert_true(sonde_mastery_saved(mastery) == 0);
    sonde_mastery_free(mastery);
    sonde_context_free(context);
}

/* All are excluded from epoch 7 of 10 on: 4 epochs of 10 unused; the script also counts the set it
 * forms after epoch 10, so 5 of 10. */
static void the_saved_share_counts_the_passes_that_were_skipped(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_mastery_options options;
    sonde_mastery_options_init(&options);
    options.examples = 3;
    options.window = 4;
    sonde_mastery *corrected = NULL, *code = create(context, SONDE_MASTERY_CODE, 3);
    check_ok(context, sonde_mastery_create(context, &options, &corrected));
    for (int t = 1; t <= 10; t++) {
        const uint64_t ids[] = {0, 1, 2};
        const float losses[] = {0.5f, 0.25f, 0.125f};
        check_ok(context, sonde_mastery_record(code, ids, losses, 3));
        check_ok(context, sonde_mastery_record(corrected, ids, losses, 3));
        check_ok(context, sonde_mastery_end_epoch(code, t));
        check_ok(context, sonde_mastery_end_epoch(corrected, t));
    }
    check_close(sonde_mastery_saved(corrected), 0.4, 1e-15, 0, "corrected");
    check_close(sonde_mastery_saved(code), 0.5, 1e-15, 0, "code");
    sonde_mastery_free(code);
    sonde_mastery_free(corrected);
    sonde_context_free(context);
}

static void the_last_tenth_of_the_run_uses_every_example(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_mastery_options options;
    sonde_mastery_options_init(&options);
    options.examples = 2;
    options.total_epochs = 30;
    sonde_mastery *mastery = NULL;
    check_ok(context, sonde_mastery_create(context, &options, &mastery));
    for (int t = 1; t <= 30; t++) {
        const uint64_t ids[] = {0, 1};
        const float losses[] = {0.5f, 0.25f};
        /* In epoch t itself: mastered from 6 to 27, and 28 to 30 are annealed. */
        assert_int_equal(sonde_mastery_active(mastery, 1), t < 6 || t > 27);
        check_ok(context, sonde_mastery_record(mastery, ids, losses, 2));
        check_ok(context, sonde_mastery_end_epoch(mastery, t));
    }
    check_close(sonde_mastery_saved(mastery), 22.0 / 30, 1e-15, 0, "saved");
    sonde_mastery_free(mastery);
    sonde_context_free(context);
}

static void a_loss_that_is_not_finite_restarts_its_example(void **state)
{
    (void)state;
    const float broken[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++) {
        sonde_context *context = check_context();
        sonde_mastery *mastery = create(context, SONDE_MASTERY_CORRECTED, 1);
        int active_for = 0;
        for (int t = 1; t <= 20; t++) {
            uint64_t id = 0;
            float loss = t == 10 ? broken[b] : 0.5f;
            check_ok(context, sonde_mastery_record(mastery, &id, &loss, 1));
            check_ok(context, sonde_mastery_end_epoch(mastery, t));
            if (t >= 10)
                active_for += sonde_mastery_active(mastery, 0);
        }
        assert_int_equal(active_for, 5); /* epochs 10 to 14; 11 to 15 give five losses again */
        sonde_mastery_free(mastery);
        sonde_context_free(context);
    }
}

static void only_losses_of_checks_count(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_mastery_options options;
    sonde_mastery_options_init(&options);
    options.examples = 1;
    options.check_every = 3;
    sonde_mastery *mastery = NULL;
    check_ok(context, sonde_mastery_create(context, &options, &mastery));
    for (int t = 1; t <= 15; t++) {
        uint64_t id = 0;
        float loss = t % 3 == 0 ? 0.5f : (float)t; /* wild between the checks */
        assert_int_equal(sonde_mastery_checks(mastery), t % 3 == 0);
        check_ok(context, sonde_mastery_record(mastery, &id, &loss, 1));
        check_ok(context, sonde_mastery_end_epoch(mastery, t));
        assert_int_equal(sonde_mastery_active(mastery, 0), t < 15);
    }
    sonde_mastery_free(mastery);
    sonde_context_free(context);
}

static void a_missed_check_keeps_the_state_and_restarts_the_history(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_mastery *mastery = create(context, SONDE_MASTERY_CORRECTED, 1);
    for (int t = 1; t <= 12; t++) {
        uint64_t id = 0;
        /* Rises by 0.25 an epoch in the gap: over the gap the losses would bend. */
        float loss = t < 7 ? 0.5f : 1.0f;
        if (t != 7)
            check_ok(context, sonde_mastery_record(mastery, &id, &loss, 1));
        check_ok(context, sonde_mastery_end_epoch(mastery, t));
        if (t >= 5)
            assert_false(sonde_mastery_active(mastery, 0));
    }
    sonde_mastery_free(mastery);
    sonde_context_free(context);
}

/* --- reference --------------------------------------------------------------------------------- */

enum { EXAMPLES = 40, EPOCHS = 60 };

typedef struct reference {
    double losses[EXAMPLES][EPOCHS];
    int loss_count[EXAMPLES];
    double d2[EXAMPLES][EPOCHS];
    int d2_count[EXAMPLES];
    bool mastered[EXAMPLES];
} reference;

static void reference_code(reference *r, double delta)
{
    bool next[EXAMPLES] = {false};
    int excluded = 0;
    for (int i = 0; i < EXAMPLES; i++) {
        int n = r->loss_count[i];
        if (n >= 3)
            r->d2[i][r->d2_count[i]++] =
                fabs(r->losses[i][n - 1] - 2 * r->losses[i][n - 2] + r->losses[i][n - 3]);
        int m = r->d2_count[i];
        next[i] = m >= 4 && (r->d2[i][m - 1] + r->d2[i][m - 2] + r->d2[i][m - 3]) / 3 < delta;
        excluded += next[i];
    }
    if (excluded > 0)
        memcpy(r->mastered, next, sizeof next);
}

static void reference_plain(reference *r, int window, double delta)
{
    for (int i = 0; i < EXAMPLES; i++) {
        int n = r->loss_count[i];
        if (n < window + 2)
            continue;
        double sum = 0;
        for (int k = 0; k < window; k++)
            sum += fabs(r->losses[i][n - 1 - k] - 2 * r->losses[i][n - 2 - k] +
                        r->losses[i][n - 3 - k]);
        r->mastered[i] = sum / window < delta;
    }
}

/* Smooth decay with rare jumps, quantised so that no sum lands within rounding of delta. */
static float history_loss(sonde__stream *stream, int i, int t)
{
    double loss = exp(-0.15 * t * (1 + i % 5)) + 0.0004 * sonde__random_uniform(stream);
    if (sonde__random_below(stream, 15) == 0)
        loss += 0.05;
    return (float)(floor(loss * 1048576) / 1048576);
}

static void compare_with_reference(sonde_mastery_mode mode, uint64_t seed, bool sparse)
{
    static reference r;
    memset(&r, 0, sizeof r);
    sonde_context *context = check_context();
    sonde_mastery *mastery = create(context, mode, sparse ? 0 : EXAMPLES);
    sonde__stream stream = sonde__stream_open(seed, SONDE__RANDOM_TEST, 0);
    int seen_mastered = 0;
    for (int t = 1; t < EPOCHS; t++) {
        for (int i = 0; i < EXAMPLES; i++) {
            float loss = history_loss(&stream, i, t);
            uint64_t id = sparse ? (uint64_t)i * UINT64_C(0x0123456789abcdef) : (uint64_t)i;
            bool missing = t > 3 && sonde__random_below(&stream, 20) == 0;
            if (!missing) {
                r.losses[i][r.loss_count[i]++] = (double)loss;
                check_ok(context, sonde_mastery_record(mastery, &id, &loss, 1));
            } else if (mode != SONDE_MASTERY_CODE) {
                r.loss_count[i] = 0;
            }
        }
        if (mode == SONDE_MASTERY_CODE)
            reference_code(&r, 1e-3);
        else
            reference_plain(&r, mode == SONDE_MASTERY_PAPER ? 1 : 3, 1e-3);
        check_ok(context, sonde_mastery_end_epoch(mastery, t));
        for (int i = 0; i < EXAMPLES; i++) {
            uint64_t id = sparse ? (uint64_t)i * UINT64_C(0x0123456789abcdef) : (uint64_t)i;
            if (sonde_mastery_active(mastery, id) == r.mastered[i])
                fail_msg("mode %d, seed %d, epoch %d, example %d", (int)mode, (int)seed, t, i);
            seen_mastered += r.mastered[i];
        }
    }
    assert_true(seen_mastered > EXAMPLES); /* the comparison was about something */
    sonde_mastery_free(mastery);
    sonde_context_free(context);
}

static void random_histories_agree_with_the_reference_in_each_mode(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++)
        for (uint64_t seed = 1; seed <= 20; seed++)
            compare_with_reference((sonde_mastery_mode)mode, seed, seed % 2 == 0);
}

/* --- ids and arguments ------------------------------------------------------------------------- */

static void every_64_bit_id_is_legal_and_hard_patterns_stay_fast(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_mastery *mastery = create(context, SONDE_MASTERY_CORRECTED, 0);
    enum { N = 20000, PATTERNS = 4 };
    static uint64_t ids[N * PATTERNS], listed[N * PATTERNS];
    static float losses[N * PATTERNS];
    for (uint64_t i = 0; i < N; i++) {
        ids[i] = UINT64_MAX - i;
        ids[N + i] = i << 40;                  /* all low bits equal */
        ids[2 * N + i] = (i + 1) * 65537 * 64; /* multiples of the table's size */
        ids[3 * N + i] = (i << 48) | 0xffff;
    }
    for (int i = 0; i < N * PATTERNS; i++)
        losses[i] = 0.5f;
    for (int t = 1; t <= 5; t++) {
        check_ok(context, sonde_mastery_record(mastery, ids, losses, N * PATTERNS));
        check_ok(context, sonde_mastery_end_epoch(mastery, t));
    }
    uint64_t known = 0, active = 1;
    sonde_mastery_count(mastery, &known, &active);
    assert_int_equal(active, 0);
    size_t count = 0;
    check_ok(context, sonde_mastery_list(mastery, false, listed, N * PATTERNS, &count));
    assert_int_equal(count, known);
    assert_int_equal(listed[0], UINT64_MAX); /* in order of first sight */
    assert_false(sonde_mastery_active(mastery, UINT64_MAX));
    assert_true(sonde_mastery_active(mastery, 12345));
    sonde_mastery_free(mastery);
    sonde_context_free(context);
}

static void of_several_losses_the_last_counts(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_mastery *mastery = create(context, SONDE_MASTERY_CORRECTED, 0);
    for (int t = 1; t <= 5; t++) {
        const uint64_t ids[] = {7, 7, 7};
        const float losses[] = {(float)t * (float)t, NAN, 0.5f};
        check_ok(context, sonde_mastery_record(mastery, ids, losses, 3));
        check_ok(context, sonde_mastery_end_epoch(mastery, t));
    }
    assert_false(sonde_mastery_active(mastery, 7));
    sonde_mastery_free(mastery);
    sonde_context_free(context);
}

static void wrong_calls_are_refused_and_change_nothing(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_mastery *mastery = create(context, SONDE_MASTERY_CORRECTED, 4);
    const uint64_t ids[] = {0, 4};
    const float losses[] = {1, 1};
    check_status(sonde_mastery_record(mastery, ids, losses, 2), SONDE_ERROR_RANGE);
    check_status(sonde_mastery_record(mastery, NULL, losses, 1), SONDE_ERROR_ARGUMENT);
    check_status(sonde_mastery_record(mastery, ids, NULL, 1), SONDE_ERROR_ARGUMENT);
    check_status(sonde_mastery_record(NULL, ids, losses, 1), SONDE_ERROR_ARGUMENT);
    check_ok(context, sonde_mastery_record(mastery, NULL, NULL, 0));
    check_status(sonde_mastery_end_epoch(mastery, -1), SONDE_ERROR_RANGE);
    check_ok(context, sonde_mastery_end_epoch(mastery, 5));
    check_status(sonde_mastery_end_epoch(mastery, 5), SONDE_ERROR_STATE);
    check_status(sonde_mastery_end_epoch(mastery, 4), SONDE_ERROR_STATE);
    assert_int_equal(sonde__mastery_tally_of(mastery).epochs, 1);
    sonde_mastery_free(mastery);
    sonde_mastery_free(NULL);

    sonde_mastery_options options, good;
    sonde_mastery_options_init(&good);
    const struct {
        double delta, anneal;
        int window, every, mode;
        int64_t total;
    } wrong[] = {{-1, .1, 3, 1, 0, 0},   {NAN, .1, 3, 1, 0, 0},  {1e-3, -.1, 3, 1, 0, 0},
                 {1e-3, 2, 3, 1, 0, 0},  {1e-3, .1, 0, 1, 0, 0}, {1e-3, .1, 17, 1, 0, 0},
                 {1e-3, .1, 3, 0, 0, 0}, {1e-3, .1, 3, 1, 9, 0}, {1e-3, .1, 3, 1, 0, -1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        options = good;
        options.delta = wrong[i].delta;
        options.anneal_fraction = wrong[i].anneal;
        options.window = wrong[i].window;
        options.check_every = wrong[i].every;
        options.mode = (sonde_mastery_mode)wrong[i].mode;
        options.total_epochs = wrong[i].total;
        check_status(sonde_mastery_create(context, &options, &mastery), SONDE_ERROR_RANGE);
    }
    options = good;
    options.size = 0;
    check_status(sonde_mastery_create(context, &options, &mastery), SONDE_ERROR_ARGUMENT);
    options = good;
    options.examples = UINT64_MAX;
    sonde_status status = sonde_mastery_create(context, &options, &mastery);
    assert_true(status == SONDE_ERROR_MEMORY || status == SONDE_ERROR_OVERFLOW);
    sonde_context_free(context);
}

static void an_example_takes_26_bytes(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    size_t before = sonde_context_memory_used(context);
    sonde_mastery *mastery = create(context, SONDE_MASTERY_CORRECTED, 1000000);
    double each = (double)(sonde_context_memory_used(context) - before) / 1e6;
    check_close(each, 26, 0.01, 0, "bytes an example");
    sonde_mastery_free(mastery);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_script_excludes_a_constant_loss_at_epoch_6_and_not_5),
        cmocka_unit_test(the_paper_and_the_corrected_rule_exclude_as_soon_as_they_know),
        cmocka_unit_test(a_linear_loss_is_mastered),
        cmocka_unit_test(a_quadratic_loss_is_mastered_when_twice_its_coefficient_is_below_delta),
        cmocka_unit_test(a_jump_brings_an_example_back_for_four_epochs),
        cmocka_unit_test(the_script_keeps_its_old_set_when_the_new_one_is_empty),
        cmocka_unit_test(delta_zero_skips_nothing),
        cmocka_unit_test(the_saved_share_counts_the_passes_that_were_skipped),
        cmocka_unit_test(the_last_tenth_of_the_run_uses_every_example),
        cmocka_unit_test(a_loss_that_is_not_finite_restarts_its_example),
        cmocka_unit_test(only_losses_of_checks_count),
        cmocka_unit_test(a_missed_check_keeps_the_state_and_restarts_the_history),
        cmocka_unit_test(random_histories_agree_with_the_reference_in_each_mode),
        cmocka_unit_test(every_64_bit_id_is_legal_and_hard_patterns_stay_fast),
        cmocka_unit_test(of_several_losses_the_last_counts),
        cmocka_unit_test(wrong_calls_are_refused_and_change_nothing),
        cmocka_unit_test(an_example_takes_26_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
