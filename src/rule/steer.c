/*
 * The steer: all signals and rules of one run behind one handle. It feeds what the caller observes to
 * the observer (spectra) and stop rule, to the series of head scores and the keep rule, and to mastery
 * and the skip rule, and puts their answers into one decision.
 *
 * Epochs have a number, which the caller chooses, and an ordinal (1, 2, ...), which is how the
 * observer knows them, since weights come before their epoch's number does.
 *
 * Invariants: spectra of ordinals up to `judged` have been fed to the stop rule, in order, each once;
 * `judged` is at least `ended` - 1. All that can fail in ending an epoch happens before anything of
 * the epoch is committed, and may be tried again. With a reduction, every rank makes the same calls of
 * it whatever it saw: first reduce, then judge.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "rule/confirm.h"
#include "rule/keep.h"
#include "rule/observer.h"
#include "rule/skip.h"
#include "rule/stop.h"

enum { BATCHES = 2, STEER_VERSION = 1 };

static const char MAGIC[8] = {'S', 'O', 'N', 'D', 'S', 'T', 'E', 'R'};

typedef struct series {
    size_t count, capacity;
    int64_t *epochs;
    sonde_score *scores[BATCHES];
    double *rates; /* NaN: unknown */
} series;

struct sonde_steer {
    sonde_context *context;
    sonde_steer_options options;
    sonde__observer *observer;
    sonde__stop *stop;
    sonde_mastery *mastery;
    series series;
    bool has_second; /* a second probe batch was ever given */

    /* The running epoch. */
    sonde_score running[BATCHES];
    double rate;

    int64_t ended, judged; /* ordinals */
    int64_t last_epoch;    /* number of the epoch ended last, or -1 */
    int64_t judged_epoch;  /* number of the epoch `judged` */
    size_t fed;            /* layers of ordinal judged + 1 already given to the stop rule */
    int64_t stop_epoch;    /* epoch at which stopping was first advised and confirmed, or -1 */
};

void sonde_steer_options_init(sonde_steer_options *options)
{
    memset(options, 0, sizeof *options);
    options->size = sizeof *options;
    sonde_stop_options_init(&options->stop);
    sonde_keep_options_init(&options->keep);
    sonde_mastery_options_init(&options->skip);
    sonde_spectrum_options_init(&options->spectrum);
    options->keep_by = SONDE_SCORE_HEAD_SCALED;
    options->probe = SONDE_PROBE_TRAIN;
}

static sonde_status check_options(sonde_context *context, const sonde_steer_options *options)
{
    if (options->size != sizeof *options)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "steer options: size is %zu, not %zu; fill them with "
                           "sonde_steer_options_init",
                           options->size, sizeof *options);
    if (options->keep_by < SONDE_SCORE_RAW || options->keep_by > SONDE_SCORE_TPV)
        return sonde__fail(context, SONDE_ERROR_RANGE, "steer: keep_by %d is unknown",
                           (int)options->keep_by);
    if (options->probe < SONDE_PROBE_TRAIN || options->probe > SONDE_PROBE_HELD)
        return sonde__fail(context, SONDE_ERROR_RANGE, "steer: probe %d is unknown",
                           (int)options->probe);
    return sonde__keep_check_options(context, &options->keep);
}

static void reset_running(sonde_steer *steer)
{
    for (int which = 0; which < BATCHES; which++)
        steer->running[which] =
            (sonde_score){.validity = SONDE_NOT_MEASURED, .direction = SONDE_LOWER_IS_BETTER};
    steer->rate = NAN;
}

static void free_series(sonde_context *context, series *list)
{
    sonde__free(context, list->epochs);
    for (int which = 0; which < BATCHES; which++)
        sonde__free(context, list->scores[which]);
    sonde__free(context, list->rates);
}

/* Room for `count` epochs; on failure the content is as it was. */
static sonde_status reserve_series(sonde_context *context, series *list, size_t count)
{
    if (count <= list->capacity)
        return SONDE_OK;
    size_t capacity = list->capacity + list->capacity / 2 + 16;
    if (capacity < count)
        capacity = count;
    void *grown = sonde__resize(context, list->epochs, capacity, sizeof *list->epochs);
    if (!grown)
        return SONDE_ERROR_MEMORY;
    list->epochs = grown;
    for (int which = 0; which < BATCHES; which++) {
        grown = sonde__resize(context, list->scores[which], capacity, sizeof(sonde_score));
        if (!grown)
            return SONDE_ERROR_MEMORY;
        list->scores[which] = grown;
    }
    grown = sonde__resize(context, list->rates, capacity, sizeof *list->rates);
    if (!grown)
        return SONDE_ERROR_MEMORY;
    list->rates = grown;
    list->capacity = capacity;
    return SONDE_OK;
}

sonde_status sonde_steer_create(sonde_context *context, const sonde_steer_options *options,
                                sonde_steer **steer)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!steer)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "steer: the result pointer is NULL");
    sonde_steer_options defaults;
    sonde_steer_options_init(&defaults);
    SONDE_TRY(check_options(context, options ? options : &defaults));
    sonde_status status = SONDE_OK;
    sonde_steer *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->options = options ? *options : defaults;
    made->last_epoch = made->judged_epoch = made->stop_epoch = -1;
    reset_running(made);
    SONDE_TRY_CLEAN(sonde__observer_create(context, &made->options.spectrum, &made->observer));
    SONDE_TRY_CLEAN(sonde__stop_create(context, &made->options.stop, &made->stop));
    SONDE_TRY_CLEAN(sonde_mastery_create(context, &made->options.skip, &made->mastery));
    *steer = made;
    made = NULL;
cleanup:
    sonde_steer_free(made);
    return status;
}

void sonde_steer_free(sonde_steer *steer)
{
    if (!steer)
        return;
    sonde__observer_free(steer->observer);
    sonde__stop_free(steer->stop);
    sonde_mastery_free(steer->mastery);
    free_series(steer->context, &steer->series);
    sonde__free(steer->context, steer);
}

/* --- observations ------------------------------------------------------------------------------ */

sonde_status sonde_steer_losses(sonde_steer *steer, const uint64_t *ids, const float *losses,
                                size_t n)
{
    return steer ? sonde_mastery_record(steer->mastery, ids, losses, n) : SONDE_ERROR_ARGUMENT;
}

sonde_status sonde_steer_head(sonde_steer *steer, const sonde_head_batch *batch, int which,
                              sonde_head_report *report)
{
    if (!steer)
        return SONDE_ERROR_ARGUMENT;
    if (which < 0 || which >= BATCHES)
        return sonde__fail(steer->context, SONDE_ERROR_RANGE,
                           "steer: probe batch %d; there are only 0 and 1", which);
    sonde_head_report own;
    SONDE_TRY(sonde_head_gradient(steer->context, batch, &own));
    if (steer->options.keep_by != SONDE_SCORE_TPV) {
        steer->running[which] = *sonde__keep_score(&own, steer->options.keep_by);
        steer->has_second = steer->has_second || which == 1;
    }
    if (report)
        *report = own;
    return SONDE_OK;
}

static sonde_score *ended_score(sonde_steer *steer, int64_t epoch)
{
    for (size_t i = steer->series.count; i-- > 0 && steer->series.epochs[i] >= epoch;)
        if (steer->series.epochs[i] == epoch)
            return &steer->series.scores[0][i];
    return NULL;
}

sonde_status sonde_steer_tpv(sonde_steer *steer, int64_t epoch, const sonde_score *tpv)
{
    if (!steer)
        return SONDE_ERROR_ARGUMENT;
    if (!tpv || epoch < -1)
        return sonde__fail(steer->context, SONDE_ERROR_ARGUMENT,
                           tpv ? "steer: epoch %lld is neither -1 nor the number of one"
                               : "steer: the score of epoch %lld is NULL",
                           (long long)epoch);
    sonde_score *to = epoch < 0 ? &steer->running[0] : ended_score(steer, epoch);
    if (!to)
        return sonde__fail(steer->context, SONDE_ERROR_NOT_FOUND,
                           "steer: epoch %lld has not ended, or was not one of this run",
                           (long long)epoch);
    if (steer->options.keep_by == SONDE_SCORE_TPV) {
        *to = *tpv;
        to->direction = SONDE_LOWER_IS_BETTER;
    }
    return SONDE_OK;
}

sonde_status sonde_steer_weights(sonde_steer *steer, const char *layer, const sonde_matrix *weight)
{
    if (!steer)
        return SONDE_ERROR_ARGUMENT;
    if (!layer || !weight)
        return sonde__fail(steer->context, SONDE_ERROR_ARGUMENT, "steer: %s is NULL",
                           layer ? "weight" : "layer");
    return sonde__observer_submit(steer->observer, steer->ended + 1, layer, weight);
}

void sonde_steer_learning_rate(sonde_steer *steer, double rate)
{
    if (steer)
        steer->rate = isfinite(rate) && rate >= 0 ? rate : NAN;
}

/* --- judging spectra --------------------------------------------------------------------------- */

/* Feeds ordinal judged + 1, whose epoch has this number, to the stop rule. May be tried again. */
static sonde_status judge_next(sonde_steer *steer, int64_t number)
{
    int64_t ordinal = steer->judged + 1;
    SONDE_TRY(sonde__observer_wait(steer->observer, ordinal));
    size_t count = sonde__observer_count(steer->observer, ordinal);
    while (steer->fed < count) {
        sonde_layer_view view;
        SONDE_TRY(sonde__observer_result(steer->observer, ordinal, steer->fed, &view));
        view.epoch = number;
        SONDE_TRY(sonde__stop_observe(steer->stop, &view));
        steer->fed++;
    }
    SONDE_TRY(sonde__stop_end_epoch(steer->stop, number));
    sonde__observer_forget(steer->observer, ordinal - 1);
    steer->fed = 0;
    steer->judged = ordinal;
    steer->judged_epoch = number;
    return SONDE_OK;
}

static sonde_status judge_ended(sonde_steer *steer)
{
    return steer->judged < steer->ended ? judge_next(steer, steer->last_epoch) : SONDE_OK;
}

/* --- reduction --------------------------------------------------------------------------------- */

/* What ranks tell each other before anything is decided; all doubles, summed. */
typedef struct shared_facts {
    double failed;
    double advised;
    struct {
        double given, valid, value, has_second;
    } head[BATCHES];
} shared_facts;

static sonde_status reduce(sonde_steer *steer, void *values, size_t bytes)
{
    if (!steer->options.reduce_sum)
        return SONDE_OK;
    int failed =
        steer->options.reduce_sum(steer->options.reduce_user, values, bytes / sizeof(double));
    if (failed)
        return sonde__fail(steer->context, SONDE_ERROR_STATE,
                           "steer: reduce_sum failed with %d; the ranks are out of step", failed);
    return SONDE_OK;
}

static shared_facts own_facts(const sonde_steer *steer, sonde_status status)
{
    shared_facts facts = {.failed = status != SONDE_OK};
    sonde_decision advice = {.stop_epoch = -1};
    sonde__stop_decide(steer->stop, &advice);
    facts.advised = advice.stop_advised;
    for (int which = 0; which < BATCHES; which++) {
        const sonde_score *score = &steer->running[which];
        bool valid = score->validity == SONDE_VALID && isfinite(score->value);
        facts.head[which].given = score->validity != SONDE_NOT_MEASURED;
        facts.head[which].valid = valid;
        facts.head[which].value = valid ? score->value : 0;
        facts.head[which].has_second = steer->has_second;
    }
    return facts;
}

/* The mean over the ranks that gave one; a rank whose score is not valid makes it so for all. */
static sonde_score shared_score(const shared_facts *facts, int which, sonde_score own)
{
    if (facts->head[which].given == 0)
        return own;
    if (facts->head[which].valid < facts->head[which].given) {
        sonde_validity validity = own.validity;
        if (validity == SONDE_VALID || validity == SONDE_NOT_MEASURED)
            validity = SONDE_NOT_FINITE;
        return (sonde_score){.direction = own.direction, .validity = validity};
    }
    return (sonde_score){.value = facts->head[which].value / facts->head[which].given,
                         .error_bound = own.error_bound,
                         .direction = SONDE_LOWER_IS_BETTER,
                         .validity = SONDE_VALID};
}

/* `status` is how this rank fares so far; fails on every rank when it is a failure on one. */
static sonde_status share_facts(sonde_steer *steer, sonde_status status, shared_facts *facts)
{
    *facts = own_facts(steer, status);
    if (!steer->options.reduce_sum)
        return status;
    sonde_status reduced = reduce(steer, facts, sizeof *facts);
    if (status != SONDE_OK)
        return status;
    SONDE_TRY(reduced);
    if (facts->failed > 0)
        return sonde__fail(steer->context, SONDE_ERROR_STATE,
                           "steer: another rank failed, so no rank ends this epoch");
    return SONDE_OK;
}

/* Counts of all ranks in place of this one's. */
static sonde_status share_tally(sonde_steer *steer, sonde__mastery_tally *tally)
{
    uint64_t *const counts[] = {&tally->known,         &tally->active,       &tally->skipped,
                                &tally->possible,      &tally->mastered_now, &tally->readmitted_now,
                                &tally->not_finite_now};
    enum { COUNTS = sizeof counts / sizeof counts[0] };
    double sums[COUNTS];
    for (int i = 0; i < COUNTS; i++)
        sums[i] = (double)*counts[i];
    SONDE_TRY(reduce(steer, sums, sizeof sums));
    for (int i = 0; i < COUNTS && steer->options.reduce_sum; i++)
        *counts[i] = sums[i] > 0 ? (uint64_t)(sums[i] + 0.5) : 0;
    return SONDE_OK;
}

/* --- deciding ---------------------------------------------------------------------------------- */

static sonde_status choose_keep(sonde_steer *steer, size_t count, sonde_keep_choice *choice)
{
    const series *list = &steer->series;
    const sonde_keep_series given = {
        .count = count,
        .epochs = list->epochs,
        .scores = list->scores[0],
        .second = steer->has_second ? list->scores[1] : NULL,
        .learning_rate = list->rates,
    };
    const bool seen = steer->options.probe != SONDE_PROBE_HELD;
    const uint32_t known = steer->options.keep_by == SONDE_SCORE_TPV ? SONDE_KEEP_WARN_TPV
                           : seen                                    ? SONDE_KEEP_WARN_SEEN
                                                                     : 0;
    return sonde__keep_choose(steer->context, &given, &steer->options.keep, known, choice);
}

/* Spectral advice stands once the head gradient has confirmed it, and is withheld before. Test
 * prediction variance confirms nothing: it falls and rises for other reasons. */
static void confirm_stop(sonde_steer *steer, sonde_decision *decision)
{
    const series *list = &steer->series;
    const int confirm = steer->options.stop.confirm;
    const size_t scored = steer->options.keep_by == SONDE_SCORE_TPV ? 0 : list->count;
    const sonde__score_trend trend = sonde__score_trend_of(list->epochs, list->scores[0], scored);
    const bool alone = confirm == 0 || !trend.known;
    if (steer->stop_epoch < 0 && !sonde__score_trend_confirms(&trend, confirm)) {
        sonde__stop_withhold(&trend, confirm, decision);
        return;
    }
    if (steer->stop_epoch < 0) {
        const int64_t spectral =
            decision->stop_epoch >= 0 ? decision->stop_epoch : steer->judged_epoch;
        steer->stop_epoch = alone ? spectral : steer->last_epoch;
    }
    decision->stop_epoch = steer->stop_epoch;
    if (!alone) {
        const size_t used = strlen(decision->stop_reason);
        snprintf(decision->stop_reason + used, SONDE_REASON_MAX - used,
                 " The head gradient confirmed it at epoch %lld.", (long long)steer->stop_epoch);
    }
}

static void decide_stop(sonde_steer *steer, const shared_facts *facts, sonde_decision *decision)
{
    sonde__stop_decide(steer->stop, decision);
    if (facts->advised > 0 && !decision->stop_advised) {
        strcpy(decision->stop_reason, "Stopping is advised by a spectrum on another rank.");
        decision->stop_advised = true;
    }
    if (decision->stop_advised)
        confirm_stop(steer, decision);
    decision->stop = steer->options.obey_stop && decision->stop_advised;
}

/* Puts the running epoch behind the series, without counting it yet. */
static void append_running(sonde_steer *steer, int64_t epoch, const shared_facts *facts)
{
    series *list = &steer->series;
    size_t i = list->count;
    list->epochs[i] = epoch;
    list->rates[i] = steer->rate;
    for (int which = 0; which < BATCHES; which++) {
        sonde_score own = steer->running[which];
        list->scores[which][i] = steer->options.reduce_sum ? shared_score(facts, which, own) : own;
    }
    if (steer->options.reduce_sum)
        steer->has_second = steer->has_second || facts->head[1].given > 0;
}

static sonde_status check_epoch(sonde_steer *steer, int64_t epoch, const sonde_decision *decision)
{
    if (!decision)
        return sonde__fail(steer->context, SONDE_ERROR_ARGUMENT, "steer: decision is NULL");
    if (epoch < 0)
        return sonde__fail(steer->context, SONDE_ERROR_RANGE, "steer: epoch %lld is negative",
                           (long long)epoch);
    if (epoch <= steer->last_epoch)
        return sonde__fail(steer->context, SONDE_ERROR_STATE,
                           "steer: epoch %lld after epoch %lld; epochs must increase",
                           (long long)epoch, (long long)steer->last_epoch);
    return SONDE_OK;
}

/* All that may fail on this rank alone before the ranks speak to each other. */
static sonde_status prepare(sonde_steer *steer, int64_t epoch)
{
    SONDE_TRY(judge_ended(steer));
    if (steer->options.wait && steer->judged == steer->ended)
        SONDE_TRY(judge_next(steer, epoch));
    return reserve_series(steer->context, &steer->series, steer->series.count + 1);
}

sonde_status sonde_steer_end_epoch(sonde_steer *steer, int64_t epoch, sonde_decision *decision)
{
    if (!steer)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(check_epoch(steer, epoch, decision));
    sonde_decision made = {.epoch = epoch, .stop_epoch = -1};
    shared_facts facts;
    SONDE_TRY(share_facts(steer, prepare(steer, epoch), &facts));
    append_running(steer, epoch, &facts);
    SONDE_TRY(choose_keep(steer, steer->series.count + 1, &made.keep));
    SONDE_TRY(sonde_mastery_end_epoch(steer->mastery, epoch));
    steer->series.count++;
    steer->ended++;
    steer->last_epoch = epoch;
    reset_running(steer);
    decide_stop(steer, &facts, &made);
    sonde__mastery_tally tally = sonde__mastery_tally_of(steer->mastery);
    SONDE_TRY(share_tally(steer, &tally));
    sonde__skip_decide(&tally, &made);
    *decision = made;
    return SONDE_OK;
}

sonde_status sonde_steer_decide(sonde_steer *steer, sonde_decision *decision)
{
    if (!steer)
        return SONDE_ERROR_ARGUMENT;
    if (!decision)
        return sonde__fail(steer->context, SONDE_ERROR_ARGUMENT, "steer: decision is NULL");
    sonde_decision made = {.epoch = steer->last_epoch, .stop_epoch = -1};
    shared_facts facts;
    SONDE_TRY(share_facts(steer, judge_ended(steer), &facts));
    SONDE_TRY(choose_keep(steer, steer->series.count, &made.keep));
    decide_stop(steer, &facts, &made);
    sonde__mastery_tally tally = sonde__mastery_tally_of(steer->mastery);
    SONDE_TRY(share_tally(steer, &tally));
    sonde__skip_decide(&tally, &made);
    *decision = made;
    return SONDE_OK;
}

/* --- answers ----------------------------------------------------------------------------------- */

bool sonde_steer_checks(const sonde_steer *steer)
{
    return steer && sonde_mastery_checks(steer->mastery);
}

bool sonde_steer_active(const sonde_steer *steer, uint64_t id)
{
    return !steer || sonde_mastery_active(steer->mastery, id);
}

sonde_status sonde_steer_list(const sonde_steer *steer, bool active, uint64_t *ids, size_t capacity,
                              size_t *count)
{
    return steer ? sonde_mastery_list(steer->mastery, active, ids, capacity, count)
                 : SONDE_ERROR_ARGUMENT;
}

sonde_status sonde_steer_wait(sonde_steer *steer)
{
    return steer ? judge_ended(steer) : SONDE_ERROR_ARGUMENT;
}

size_t sonde_steer_layer_count(const sonde_steer *steer)
{
    return steer && steer->judged > 0 ? sonde__observer_count(steer->observer, steer->judged) : 0;
}

sonde_status sonde_steer_layer(const sonde_steer *steer, size_t index, sonde_layer_view *view)
{
    if (!steer)
        return SONDE_ERROR_ARGUMENT;
    if (!view)
        return sonde__fail(steer->context, SONDE_ERROR_ARGUMENT, "steer: view is NULL");
    if (index >= sonde_steer_layer_count(steer))
        return sonde__fail(steer->context, SONDE_ERROR_RANGE,
                           "steer: layer %zu, but %zu layers can be read", index,
                           sonde_steer_layer_count(steer));
    sonde_layer_view found;
    SONDE_TRY(sonde__observer_result(steer->observer, steer->judged, index, &found));
    found.epoch = steer->judged_epoch;
    sonde__stop_judge(steer->stop, &found);
    *view = found;
    return SONDE_OK;
}

/* --- saved state ------------------------------------------------------------------------------- */

static void put_score(sonde__byte_writer *writer, const sonde_score *score)
{
    sonde__put_f64(writer, score->value);
    sonde__put_f64(writer, score->error_bound);
    sonde__put_u8(writer, (uint8_t)(score->direction + 1));
    sonde__put_u8(writer, (uint8_t)score->validity);
}

static sonde_score take_score(sonde__byte_reader *reader)
{
    sonde_score score = {.value = sonde__take_f64(reader), .error_bound = sonde__take_f64(reader)};
    uint8_t direction = sonde__take_u8(reader), validity = sonde__take_u8(reader);
    if (direction > 2 || validity > SONDE_OUT_OF_RANGE)
        reader->failed = true;
    else {
        score.direction = (sonde_direction)(direction - 1);
        score.validity = (sonde_validity)validity;
    }
    return score;
}

static void put_own(sonde__byte_writer *writer, const sonde_steer *steer)
{
    const series *list = &steer->series;
    sonde__put_u8(writer, (uint8_t)steer->options.keep_by);
    sonde__put_u8(writer, steer->has_second);
    sonde__put_i64(writer, steer->ended);
    sonde__put_i64(writer, steer->last_epoch);
    sonde__put_i64(writer, steer->stop_epoch);
    sonde__put_f64(writer, steer->rate);
    for (int which = 0; which < BATCHES; which++)
        put_score(writer, &steer->running[which]);
    sonde__put_u32(writer, (uint32_t)list->count);
    for (size_t i = 0; i < list->count; i++) {
        sonde__put_i64(writer, list->epochs[i]);
        sonde__put_f64(writer, list->rates[i]);
        for (int which = 0; which < BATCHES; which++)
            put_score(writer, &list->scores[which][i]);
    }
}

static sonde_status write_state(const sonde_steer *steer, sonde__byte_writer *writer)
{
    sonde__put_bytes(writer, MAGIC, sizeof MAGIC);
    sonde__put_u32(writer, STEER_VERSION);
    put_own(writer, steer);
    SONDE_TRY(sonde__stop_save(steer->stop, writer));
    SONDE_TRY(sonde__mastery_save(steer->mastery, writer));
    sonde__put_checksum(writer);
    return sonde__byte_writer_status(writer);
}

sonde_status sonde_steer_save(sonde_steer *steer, void *buffer, size_t capacity, size_t *written)
{
    if (!steer)
        return SONDE_ERROR_ARGUMENT;
    if (!written)
        return sonde__fail(steer->context, SONDE_ERROR_ARGUMENT, "steer: written is NULL");
    if (sonde__observer_count(steer->observer, steer->ended + 1) > 0)
        return sonde__fail(steer->context, SONDE_ERROR_STATE,
                           "steer: weights of the running epoch were given, and would be lost; "
                           "save after end_epoch, before the next observation");
    SONDE_TRY(judge_ended(steer));
    sonde__byte_writer writer;
    sonde__byte_writer_init(&writer, steer->context);
    sonde_status status = write_state(steer, &writer);
    size_t size = writer.text.length;
    if (status == SONDE_OK && buffer && capacity < size)
        status =
            sonde__fail(steer->context, SONDE_ERROR_RANGE,
                        "steer: the state takes %zu bytes, the buffer has %zu", size, capacity);
    if (status == SONDE_OK) {
        if (buffer)
            memcpy(buffer, writer.text.bytes, size);
        *written = size;
    }
    sonde__byte_writer_free(&writer);
    return status;
}

static sonde_status take_series(sonde_steer *steer, sonde__byte_reader *reader)
{
    enum { ITEM = 8 + 8 + BATCHES * 18 };
    series *list = &steer->series;
    size_t count = sonde__take_count(reader, ITEM);
    SONDE_TRY(reserve_series(steer->context, list, count));
    for (size_t i = 0; i < count; i++) {
        list->epochs[i] = sonde__take_i64(reader);
        list->rates[i] = sonde__take_f64(reader);
        for (int which = 0; which < BATCHES; which++)
            list->scores[which][i] = take_score(reader);
        if (list->epochs[i] < 0 || (i > 0 && list->epochs[i] <= list->epochs[i - 1]))
            reader->failed = true;
    }
    list->count = count;
    return SONDE_OK;
}

static sonde_status take_own(sonde_steer *steer, sonde__byte_reader *reader)
{
    uint8_t keep_by = sonde__take_u8(reader);
    steer->has_second = sonde__take_u8(reader) != 0;
    steer->ended = steer->judged = sonde__take_i64(reader);
    steer->last_epoch = steer->judged_epoch = sonde__take_i64(reader);
    steer->stop_epoch = sonde__take_i64(reader);
    steer->rate = sonde__take_f64(reader);
    for (int which = 0; which < BATCHES; which++)
        steer->running[which] = take_score(reader);
    SONDE_TRY(take_series(steer, reader));
    const series *list = &steer->series;
    int64_t newest = list->count ? list->epochs[list->count - 1] : -1;
    if (reader->failed || steer->ended != (int64_t)list->count || steer->last_epoch != newest)
        return sonde__fail(steer->context, SONDE_ERROR_CORRUPT,
                           "steer state: its parts do not fit together");
    if (keep_by != (uint8_t)steer->options.keep_by)
        return sonde__fail(
            steer->context, SONDE_ERROR_STATE,
            "steer state: saved with another keep_by (%u); create the steer with the "
            "same options",
            (unsigned)keep_by);
    return SONDE_OK;
}

static sonde_status check_envelope(sonde_context *context, const void *buffer, size_t size,
                                   sonde__byte_reader *reader)
{
    sonde__byte_reader_init(reader, buffer, size);
    char magic[sizeof MAGIC];
    sonde__take_bytes(reader, magic, sizeof magic);
    if (reader->failed)
        return sonde__fail(context, SONDE_ERROR_TRUNCATED, "steer state: only %zu bytes", size);
    if (memcmp(magic, MAGIC, sizeof MAGIC) != 0)
        return sonde__fail(context, SONDE_ERROR_FORMAT, "these bytes are no saved steer");
    if (!sonde__checksum_fits(reader))
        return sonde__fail(context, SONDE_ERROR_CORRUPT,
                           "steer state: its checksum does not fit; it is damaged or cut short");
    uint32_t version = sonde__take_u32(reader);
    if (version != STEER_VERSION)
        return sonde__fail(context, SONDE_ERROR_VERSION,
                           "steer state: version %u, this library reads %d", version,
                           (int)STEER_VERSION);
    return SONDE_OK;
}

static sonde_status read_state(sonde_steer *fresh, sonde__byte_reader *reader)
{
    SONDE_TRY(take_own(fresh, reader));
    SONDE_TRY(sonde__stop_restore(fresh->stop, reader));
    SONDE_TRY(sonde__mastery_restore(fresh->mastery, reader));
    if (reader->failed || sonde__bytes_left(reader) != 0)
        return sonde__fail(fresh->context, SONDE_ERROR_CORRUPT,
                           "steer state: its parts do not fit together");
    return SONDE_OK;
}

/* Everything is read into a second steer, which changes places with the first once all is well. */
sonde_status sonde_steer_restore(sonde_steer *steer, const void *buffer, size_t size)
{
    if (!steer)
        return SONDE_ERROR_ARGUMENT;
    if (!buffer)
        return sonde__fail(steer->context, SONDE_ERROR_ARGUMENT, "steer: buffer is NULL");
    sonde__byte_reader reader;
    SONDE_TRY(check_envelope(steer->context, buffer, size, &reader));
    sonde_steer *fresh = NULL;
    SONDE_TRY(sonde_steer_create(steer->context, &steer->options, &fresh));
    sonde_status status = read_state(fresh, &reader);
    if (status == SONDE_OK) {
        sonde_steer before = *steer;
        *steer = *fresh;
        *fresh = before;
    }
    sonde_steer_free(fresh);
    return status;
}
