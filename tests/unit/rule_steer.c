/*
 * The steer over a simulated run: every observation is a function of the epoch, so that any number of
 * steers can be led through the same run, interrupted and restored at will, alone or as two ranks.
 */
#include "check.h"

#include <pthread.h>

#include "base/random.h"

enum { EXAMPLES = 40, BATCH = 6, CLASSES = 4, FEATURES = 5, ROWS = 24, COLS = 60, EPOCHS = 9 };

static void simulate_losses(sonde_context *context, sonde_steer *steer, int64_t epoch)
{
    uint64_t ids[EXAMPLES];
    float losses[EXAMPLES];
    for (int i = 0; i < EXAMPLES; i++) {
        ids[i] = (uint64_t)i * 1000003;
        losses[i] = (float)(exp(-(double)epoch * i / 8) + (epoch == 7 && i == 39 ? 1 : 0));
    }
    check_ok(context, sonde_steer_losses(steer, ids, losses, EXAMPLES));
}

static void simulate_head(sonde_context *context, sonde_steer *steer, int64_t epoch, int which,
                          bool broken)
{
    float z[BATCH * FEATURES], o[BATCH * CLASSES], w[CLASSES * FEATURES];
    int64_t labels[BATCH];
    sonde__stream stream = sonde__stream_open(5, SONDE__RANDOM_TEST, (uint64_t)which);
    for (int i = 0; i < BATCH * FEATURES; i++)
        z[i] = (float)sonde__random_normal(&stream);
    for (int i = 0; i < CLASSES * FEATURES; i++)
        w[i] = (float)sonde__random_normal(&stream);
    double sharpness = 1 + 4.0 / (1 + fabs((double)epoch - 5)); /* best at epoch 5 */
    for (int i = 0; i < BATCH; i++) {
        labels[i] = i % CLASSES;
        for (int c = 0; c < CLASSES; c++)
            o[i * CLASSES + c] = (float)(c == labels[i] ? sharpness : 0);
    }
    if (broken)
        z[3] = NAN;
    sonde_head_batch batch;
    sonde_head_batch_init(&batch);
    batch.features = (sonde_matrix){z, SONDE_F32, BATCH, FEATURES, 0};
    batch.logits = (sonde_matrix){o, SONDE_F32, BATCH, CLASSES, 0};
    batch.weight = (sonde_matrix){w, SONDE_F32, CLASSES, FEATURES, 0};
    batch.labels = labels;
    check_ok(context, sonde_steer_head(steer, &batch, which, NULL));
}

/* A Gaussian matrix whose rows grow a common direction: its spectrum leaves the law. */
static void simulate_weights(sonde_context *context, sonde_steer *steer, int64_t epoch)
{
    static const char *const names[] = {"first", "second"};
    for (int layer = 0; layer < 2; layer++) {
        float w[ROWS * COLS];
        sonde__stream stream = sonde__stream_open(6, SONDE__RANDOM_TEST, (uint64_t)layer);
        for (int i = 0; i < ROWS * COLS; i++) {
            double x = sonde__random_normal(&stream);
            w[i] = (float)(x * (layer == 0 && epoch > 4 ? exp(0.6 * (i / COLS) / 4) : 1));
        }
        const sonde_matrix matrix = {w, SONDE_F32, ROWS, COLS, 0};
        check_ok(context, sonde_steer_weights(steer, names[layer], &matrix));
    }
}

static void simulate(sonde_context *context, sonde_steer *steer, int64_t epoch,
                     sonde_decision *decision)
{
    simulate_losses(context, steer, epoch);
    simulate_head(context, steer, epoch, 0, false);
    simulate_head(context, steer, epoch, 1, false);
    simulate_weights(context, steer, epoch);
    sonde_steer_learning_rate(steer, 0.1);
    check_ok(context, sonde_steer_end_epoch(steer, epoch, decision));
}

static sonde_steer_options test_options(void)
{
    sonde_steer_options options;
    sonde_steer_options_init(&options);
    options.probe = SONDE_PROBE_HELD;
    options.skip.total_epochs = 20;
    return options;
}

static sonde_steer *create(sonde_context *context, const sonde_steer_options *options)
{
    sonde_steer *steer = NULL;
    check_ok(context, sonde_steer_create(context, options, &steer));
    return steer;
}

static void check_same(const sonde_decision *a, const sonde_decision *b)
{
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->stop, b->stop);
    assert_int_equal(a->stop_advised, b->stop_advised);
    assert_int_equal(a->stop_epoch, b->stop_epoch);
    assert_string_equal(a->stop_layer, b->stop_layer);
    assert_string_equal(a->stop_reason, b->stop_reason);
    assert_int_equal(a->keep.epoch, b->keep.epoch);
    assert_memory_equal(&a->keep.score, &b->keep.score, sizeof(double));
    assert_int_equal(a->keep.warnings, b->keep.warnings);
    assert_int_equal(a->keep.second_epoch, b->keep.second_epoch);
    assert_string_equal(a->keep.reason, b->keep.reason);
    assert_int_equal(a->examples, b->examples);
    assert_int_equal(a->active, b->active);
    assert_memory_equal(&a->saved_fraction, &b->saved_fraction, sizeof(double));
    assert_string_equal(a->skip_reason, b->skip_reason);
    assert_memory_equal(&a->worst_ratio, &b->worst_ratio, sizeof(double));
    assert_string_equal(a->worst_layer, b->worst_layer);
}

static void a_run_is_decided_from_all_three_signals(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_steer_options options = test_options();
    sonde_steer *steer = create(context, &options);
    sonde_decision decision;
    for (int64_t t = 1; t <= EPOCHS; t++)
        simulate(context, steer, t, &decision);
    assert_int_equal(decision.keep.epoch, 5);
    assert_int_equal(decision.keep.second_epoch, 5);
    assert_false(decision.keep.warnings & SONDE_KEEP_WARN_SEEN);
    assert_int_equal(decision.examples, EXAMPLES);
    assert_true(decision.active < EXAMPLES && decision.active > 0);
    assert_true(decision.saved_fraction > 0);
    assert_false(sonde_steer_active(steer, 20 * 1000003));
    assert_true(sonde_steer_active(steer, 39 * 1000003)); /* its loss jumped in epoch 7 */
    size_t count = 0;
    check_ok(context, sonde_steer_list(steer, true, NULL, 0, &count));
    assert_int_equal(count, decision.active);
    assert_true(decision.worst_ratio > 0);
    assert_false(decision.stop); /* only advised: obey_stop is off */
    sonde_steer_free(steer);
    sonde_context_free(context);
}

/* The first layer leaves the law in epoch 5, in which the head gradient is at its best. */
static void stopping_waits_for_the_head_gradient_unless_told_not_to(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_steer_options options = test_options();
    options.wait = options.obey_stop = true;
    sonde_steer *steer = create(context, &options);
    options.stop.confirm = 0;
    sonde_steer *alone = create(context, &options);
    for (int64_t t = 1; t <= EPOCHS; t++) {
        sonde_decision both, spectra;
        simulate(context, steer, t, &both);
        simulate(context, alone, t, &spectra);
        assert_int_equal(spectra.stop, t >= 5);
        assert_int_equal(spectra.stop_epoch, t >= 5 ? 5 : -1);
        assert_int_equal(both.stop, t >= 8);
        assert_int_equal(both.stop_epoch, t >= 8 ? 8 : -1);
        assert_string_equal(both.stop_layer, t >= 8 ? "first" : "");
        if (t >= 5)
            assert_non_null(strstr(both.stop_reason, t >= 8 ? "confirmed it at epoch 8"
                                                            : "still improving at epoch 5"));
    }
    sonde_steer_free(steer);
    sonde_steer_free(alone);
    sonde_context_free(context);
}

/* The simulated loss is least in epoch 5; every argmax is right, so that accuracies tie. */
static void loss_or_accuracy_of_the_probe_can_choose_instead(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    static const struct {
        sonde_score_kind kind;
        int64_t epoch;
    } cases[] = {{SONDE_SCORE_LOSS, 5}, {SONDE_SCORE_ACCURACY, EPOCHS}};
    for (size_t i = 0; i < 2; i++) {
        sonde_steer_options options = test_options();
        options.keep_by = cases[i].kind;
        sonde_steer *steer = create(context, &options);
        sonde_decision decision;
        for (int64_t t = 1; t <= EPOCHS; t++)
            simulate(context, steer, t, &decision);
        assert_int_equal(decision.keep.epoch, cases[i].epoch);
        sonde_steer_free(steer);
    }
    sonde_context_free(context);
}

/* A parabola with its least value at epoch 6, which comes when epoch t + 1 is under way. */
static sonde_score tpv_of(int64_t epoch)
{
    const double away = (double)(epoch - 6);
    return (sonde_score){.value = 1 + away * away, .validity = SONDE_VALID};
}

static void tpv_can_choose_and_may_come_an_epoch_late(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_steer_options options = test_options();
    options.keep_by = SONDE_SCORE_TPV;
    sonde_steer *steer = create(context, &options);
    sonde_decision decision;
    for (int64_t t = 1; t <= EPOCHS; t++) {
        const sonde_score before = tpv_of(t - 1);
        if (t > 1)
            check_ok(context, sonde_steer_tpv(steer, t - 1, &before));
        simulate(context, steer, t, &decision);
    }
    const sonde_score last = tpv_of(EPOCHS);
    check_ok(context, sonde_steer_tpv(steer, EPOCHS, &last));
    check_ok(context, sonde_steer_decide(steer, &decision));
    assert_int_equal(decision.keep.epoch, 6);
    check_close(decision.keep.score, 1, 0, 0, "score");
    assert_int_equal(decision.keep.second_epoch, -1);
    assert_true(decision.keep.warnings & SONDE_KEEP_WARN_TPV);
    assert_false(decision.keep.warnings & SONDE_KEEP_WARN_INVALID);
    assert_false(decision.keep.meaningful);
    assert_non_null(strstr(decision.keep.reason, "not how right"));
    assert_int_equal(decision.stop_epoch, 5); /* nothing confirms, so the spectra decide */
    check_status(sonde_steer_tpv(steer, EPOCHS + 1, &last), SONDE_ERROR_NOT_FOUND);
    check_status(sonde_steer_tpv(steer, -2, &last), SONDE_ERROR_ARGUMENT);
    check_status(sonde_steer_tpv(steer, 1, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_steer_tpv(NULL, 1, &last), SONDE_ERROR_ARGUMENT);
    sonde_steer_free(steer);
    sonde_context_free(context);
}

static void tpv_of_the_running_epoch_counts_only_where_it_keeps(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    static const int64_t kept[] = {6, 5};
    for (int i = 0; i < 2; i++) {
        sonde_steer_options options = test_options();
        options.keep_by = i == 0 ? SONDE_SCORE_TPV : SONDE_SCORE_HEAD_SCALED;
        sonde_steer *steer = create(context, &options);
        sonde_decision decision;
        for (int64_t t = 1; t <= EPOCHS; t++) {
            const sonde_score now = tpv_of(t);
            check_ok(context, sonde_steer_tpv(steer, -1, &now));
            simulate(context, steer, t, &decision);
        }
        assert_int_equal(decision.keep.epoch, kept[i]);
        assert_int_equal((decision.keep.warnings & SONDE_KEEP_WARN_TPV) != 0, i == 0);
        sonde_steer_free(steer);
    }
    sonde_context_free(context);
}

static void without_waiting_the_spectra_of_the_epoch_before_decide(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_steer_options options = test_options();
    sonde_steer *late = create(context, &options);
    options.wait = true;
    sonde_steer *prompt = create(context, &options);
    double before = 0;
    for (int64_t t = 1; t <= EPOCHS; t++) {
        sonde_decision a, b;
        simulate(context, late, t, &a);
        simulate(context, prompt, t, &b);
        check_close(a.worst_ratio, before, 0, 0, "the ratio of the epoch before");
        before = b.worst_ratio;
        assert_int_equal(sonde_steer_layer_count(late), t == 1 ? 0 : 2);
        assert_int_equal(sonde_steer_layer_count(prompt), 2);
        if (t % 2 == 0) { /* looking early changes no later decision */
            check_ok(context, sonde_steer_wait(late));
            sonde_layer_view view;
            check_ok(context, sonde_steer_layer(late, 1, &view));
            assert_int_equal(view.epoch, t);
            assert_string_equal(view.name, "second");
            check_status(sonde_steer_layer(late, 2, &view), SONDE_ERROR_RANGE);
        }
    }
    sonde_decision a, b;
    check_ok(context, sonde_steer_decide(late, &a));
    check_ok(context, sonde_steer_decide(prompt, &b));
    check_same(&a, &b);
    sonde_steer_free(late);
    sonde_steer_free(prompt);
    sonde_context_free(context);
}

static void *save(sonde_context *context, sonde_steer *steer, size_t *size)
{
    check_ok(context, sonde_steer_save(steer, NULL, 0, size));
    void *bytes = malloc(*size);
    size_t written = 0;
    check_ok(context, sonde_steer_save(steer, bytes, *size, &written));
    assert_int_equal(written, *size);
    return bytes;
}

static void a_steer_restored_at_any_epoch_decides_as_one_never_interrupted(void **state)
{
    (void)state;
    for (int wait = 0; wait < 2; wait++) {
        sonde_decision straight[EPOCHS + 1], end;
        sonde_context *context = check_context();
        sonde_steer_options options = test_options();
        options.wait = wait;
        sonde_steer *steer = create(context, &options);
        for (int64_t t = 1; t <= EPOCHS; t++)
            simulate(context, steer, t, &straight[t]);
        check_ok(context, sonde_steer_decide(steer, &end));
        sonde_steer_free(steer);

        steer = create(context, &options);
        for (int64_t t = 1; t <= EPOCHS; t++) {
            size_t size = 0, again = 0;
            void *bytes = save(context, steer, &size);
            sonde_steer *fresh = create(context, &options);
            check_ok(context, sonde_steer_restore(fresh, bytes, size));
            void *second = save(context, fresh, &again);
            assert_int_equal(again, size);
            assert_memory_equal(second, bytes, size);
            free(second);
            free(bytes);
            sonde_steer_free(steer);
            steer = fresh;
            sonde_decision decision;
            simulate(context, steer, t, &decision);
            check_same(&decision, &straight[t]);
        }
        sonde_decision decision;
        check_ok(context, sonde_steer_decide(steer, &decision));
        check_same(&decision, &end);
        sonde_steer_free(steer);
        sonde_context_free(context);
    }
}

/* Every cut and every damaged byte is refused, and the steer goes on as if nothing had happened. */
static void damaged_bytes_are_refused_and_change_nothing(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_steer_options options = test_options();
    sonde_steer *saved = create(context, &options), *other = create(context, &options);
    sonde_decision decision;
    for (int64_t t = 1; t <= 3; t++)
        simulate(context, saved, t, &decision);
    simulate(context, other, 1, &decision);
    size_t size = 0, other_size = 0, after = 0;
    uint8_t *bytes = save(context, saved, &size);
    void *other_bytes = save(context, other, &other_size);
    for (size_t n = 0; n < size; n++)
        assert_int_not_equal(sonde_steer_restore(other, bytes, n), SONDE_OK);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= (uint8_t)(1 << i % 8);
        assert_int_not_equal(sonde_steer_restore(other, bytes, size), SONDE_OK);
        bytes[i] ^= (uint8_t)(1 << i % 8);
    }
    void *unchanged = save(context, other, &after);
    assert_int_equal(after, other_size);
    assert_memory_equal(unchanged, other_bytes, after);
    check_ok(context, sonde_steer_restore(other, bytes, size));

    options.skip.mode = SONDE_MASTERY_CODE;
    sonde_steer *different = create(context, &options);
    check_status(sonde_steer_restore(different, bytes, size), SONDE_ERROR_STATE);
    check_status(sonde_steer_restore(different, "nonsense, nonsense", 18), SONDE_ERROR_FORMAT);
    check_status(sonde_steer_restore(different, NULL, 0), SONDE_ERROR_ARGUMENT);
    sonde_steer_free(different);
    sonde_steer_free(saved);
    sonde_steer_free(other);
    free(bytes);
    free(other_bytes);
    free(unchanged);
    sonde_context_free(context);
}

static void wrong_calls_have_their_status_and_change_nothing(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_steer_options options = test_options();
    sonde_steer *steer = create(context, &options);
    sonde_decision decision, before;
    memset(&decision, 0x5a, sizeof decision);
    before = decision;
    size_t written = 0;
    uint8_t small[4];
    const float w[6] = {0};
    const sonde_matrix matrix = {w, SONDE_F32, 2, 3, 0};
    char long_name[SONDE_LAYER_NAME_MAX + 1];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    simulate_losses(context, steer, 3);
    check_status(sonde_steer_end_epoch(steer, -1, &decision), SONDE_ERROR_RANGE);
    check_status(sonde_steer_end_epoch(steer, 3, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_steer_end_epoch(NULL, 3, &decision), SONDE_ERROR_ARGUMENT);
    assert_memory_equal(&decision, &before, sizeof decision);
    check_ok(context, sonde_steer_end_epoch(steer, 3, &decision));
    check_status(sonde_steer_end_epoch(steer, 3, &decision), SONDE_ERROR_STATE);
    check_status(sonde_steer_end_epoch(steer, 2, &decision), SONDE_ERROR_STATE);
    check_status(sonde_steer_head(steer, NULL, 0, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_steer_losses(steer, NULL, NULL, 3), SONDE_ERROR_ARGUMENT);
    check_status(sonde_steer_weights(steer, NULL, &matrix), SONDE_ERROR_ARGUMENT);
    check_status(sonde_steer_weights(steer, "fc", NULL), SONDE_ERROR_ARGUMENT);
    assert_int_not_equal(sonde_steer_weights(steer, long_name, &matrix), SONDE_OK);
    check_status(sonde_steer_save(steer, small, sizeof small, &written), SONDE_ERROR_RANGE);
    check_status(sonde_steer_save(steer, NULL, 0, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_steer_decide(steer, NULL), SONDE_ERROR_ARGUMENT);
    check_ok(context, sonde_steer_weights(steer, "fc", &matrix));
    check_status(sonde_steer_save(steer, NULL, 0, &written), SONDE_ERROR_STATE);
    sonde_steer_learning_rate(NULL, 1);
    assert_int_equal(sonde_steer_layer_count(NULL), 0);
    assert_true(sonde_steer_active(NULL, 3));
    sonde_steer_free(steer);
    sonde_steer_free(NULL);
    options.size = 1;
    check_status(sonde_steer_create(context, &options, &steer), SONDE_ERROR_ARGUMENT);
    options = test_options();
    options.keep.ema = 2;
    check_status(sonde_steer_create(context, &options, &steer), SONDE_ERROR_RANGE);
    options = test_options();
    options.skip.window = 0;
    check_status(sonde_steer_create(context, &options, &steer), SONDE_ERROR_RANGE);
    sonde_context_free(context);
}

static void a_run_without_observations_is_decided_honestly(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_steer *steer = create(context, NULL);
    sonde_decision decision;
    for (int64_t t = 0; t < 3; t++)
        check_ok(context, sonde_steer_end_epoch(steer, t * 10, &decision));
    assert_int_equal(decision.keep.epoch, -1);
    assert_false(decision.stop_advised);
    assert_int_equal(decision.stop_epoch, -1);
    assert_int_equal(decision.examples, 0);
    sonde_steer_free(steer);
    sonde_context_free(context);
}

/* --- two ranks --------------------------------------------------------------------------------- */

enum { RANKS = 2, SUM_MOST = 64 };

typedef struct meeting {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    double sums[SUM_MOST], results[2][SUM_MOST]; /* a result lives until the round after next */
    size_t n;
    int arrived, round;
} meeting;

typedef struct rank {
    meeting *place;
    int number;
    sonde_decision decisions[EPOCHS + 1];
    int calls;
} rank;

static int sum_over_ranks(void *user, double *values, size_t n)
{
    rank *me = user;
    meeting *m = me->place;
    pthread_mutex_lock(&m->mutex);
    me->calls++;
    int round = m->round;
    if (m->arrived == 0) {
        m->n = n;
        memset(m->sums, 0, sizeof m->sums);
    }
    int failed = n > SUM_MOST || n != m->n;
    for (size_t i = 0; i < n && !failed; i++)
        m->sums[i] += values[i];
    if (++m->arrived == RANKS) {
        memcpy(m->results[round % 2], m->sums, sizeof m->sums);
        m->arrived = 0;
        m->round++;
        pthread_cond_broadcast(&m->changed);
    }
    while (m->round == round)
        pthread_cond_wait(&m->changed, &m->mutex);
    memcpy(values, m->results[round % 2], n * sizeof *values);
    pthread_mutex_unlock(&m->mutex);
    return failed;
}

/* Rank 1 meets a NaN in epoch 6, gives no second batch, and sees other weights from epoch 5 on. */
static void *run_rank(void *argument)
{
    rank *me = argument;
    sonde_context *context = check_context();
    sonde_steer_options options = test_options();
    options.reduce_sum = sum_over_ranks;
    options.reduce_user = me;
    sonde_steer *steer = create(context, &options);
    for (int64_t t = 1; t <= EPOCHS; t++) {
        simulate_losses(context, steer, t);
        simulate_head(context, steer, t, 0, me->number == 1 && t == 6);
        if (me->number == 0)
            simulate_head(context, steer, t, 1, false);
        simulate_weights(context, steer, me->number == 1 ? t : 1);
        check_ok(context, sonde_steer_end_epoch(steer, t, &me->decisions[t]));
    }
    sonde_steer_free(steer);
    sonde_context_free(context);
    return NULL;
}

static void all_ranks_decide_alike_and_none_hangs_on_a_nan(void **state)
{
    (void)state;
    static rank ranks[RANKS];
    meeting place = {.round = 0};
    pthread_t threads[RANKS];
    pthread_mutex_init(&place.mutex, NULL);
    pthread_cond_init(&place.changed, NULL);
    memset(ranks, 0, sizeof ranks);
    for (int r = 0; r < RANKS; r++) {
        ranks[r].place = &place;
        ranks[r].number = r;
        assert_int_equal(pthread_create(&threads[r], NULL, run_rank, &ranks[r]), 0);
    }
    for (int r = 0; r < RANKS; r++)
        pthread_join(threads[r], NULL);
    assert_int_equal(ranks[0].calls, ranks[1].calls);
    for (int t = 1; t <= EPOCHS; t++) {
        const sonde_decision *a = &ranks[0].decisions[t], *b = &ranks[1].decisions[t];
        assert_int_equal(a->stop_advised, b->stop_advised);
        assert_int_equal(a->stop_epoch, b->stop_epoch);
        assert_int_equal(a->keep.epoch, b->keep.epoch);
        assert_int_equal(a->keep.second_epoch, b->keep.second_epoch);
        assert_memory_equal(&a->keep.score, &b->keep.score, sizeof(double));
        assert_int_equal(a->keep.warnings, b->keep.warnings);
        assert_int_equal(a->examples, RANKS * EXAMPLES);
        assert_int_equal(a->active, b->active);
    }
    const sonde_decision *end = &ranks[0].decisions[EPOCHS];
    assert_int_equal(end->keep.epoch, 5);
    assert_true(end->keep.warnings & SONDE_KEEP_WARN_INVALID); /* epoch 6, for both */
    pthread_cond_destroy(&place.changed);
    pthread_mutex_destroy(&place.mutex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_decided_from_all_three_signals),
        cmocka_unit_test(stopping_waits_for_the_head_gradient_unless_told_not_to),
        cmocka_unit_test(loss_or_accuracy_of_the_probe_can_choose_instead),
        cmocka_unit_test(tpv_can_choose_and_may_come_an_epoch_late),
        cmocka_unit_test(tpv_of_the_running_epoch_counts_only_where_it_keeps),
        cmocka_unit_test(without_waiting_the_spectra_of_the_epoch_before_decide),
        cmocka_unit_test(a_steer_restored_at_any_epoch_decides_as_one_never_interrupted),
        cmocka_unit_test(damaged_bytes_are_refused_and_change_nothing),
        cmocka_unit_test(wrong_calls_have_their_status_and_change_nothing),
        cmocka_unit_test(a_run_without_observations_is_decided_honestly),
        cmocka_unit_test(all_ranks_decide_alike_and_none_hangs_on_a_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
