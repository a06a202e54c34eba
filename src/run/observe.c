/*
 * What the steer sees of an epoch besides losses: the head's gradient on the probe batches, and the
 * weights of every layer.
 *
 * The first kind of probe decides; the others are only recorded. Scores are stored as "head.raw",
 * "head.head_scaled", ... ("head2." for the second batch of the stability check) for the first, and
 * as "train.raw", "held2.raw", ... for the others.
 */
#include "run/session.h"

#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "rule/keep.h"
#include "run/probe_head.h"

static void record_scores(sonde__session *session, const char *prefix, int which,
                          const sonde_head_report *report)
{
    const char *name;
    const sonde_score *score;
    for (int i = 0; (score = sonde__head_score_at(report, i, &name)) != NULL &&
                    session->score_count < SONDE__SCORES_MAX;
         i++) {
        sonde__score_row *row = &session->scores[session->score_count++];
        row->epoch = session->epoch;
        snprintf(row->signal, sizeof(row->signal), "%s%s.%s", prefix, which ? "2" : "", name);
        row->score = *score;
    }
}

static sonde_status take_batch(void *user, size_t begin, size_t n, const float *logits,
                               const int32_t *labels)
{
    return sonde__probe_head_take(user, begin, n, logits, labels);
}

static sonde_status observe_probe(sonde__session *session, int number, bool counts)
{
    sonde__probe *probe = &session->probes[number];
    sonde__probe_head view = {.context = session->context,
                              .probe = probe,
                              .net = session->net,
                              .rows = (size_t)session->train->rows,
                              .loss = session->choices.loss,
                              .label_smoothing = session->config.label_smoothing};
    const sonde_score_kind keep_by = session->choices.keep_by;
    const sonde_score_kind shown = keep_by == SONDE_SCORE_TPV ? SONDE_SCORE_HEAD_SCALED : keep_by;
    const bool decides = number == 0, augmented = probe->kind == SONDE_PROBE_AUGMENTED;
    SONDE_TRY(sonde__session_evaluate(session, &session->train_batcher, probe->indexes,
                                      probe->count, augmented ? 0 : -1, take_batch, &view));
    for (int which = 0; which < 2; which++) {
        sonde_head_report report;
        SONDE_TRY(sonde__probe_head_score(&view, which, decides && counts ? session->steer : NULL,
                                          &report));
        record_scores(session, decides ? "head" : sonde__probe_name(probe->kind), which, &report);
        const sonde_score *score = sonde__keep_score(&report, shown);
        if (decides && which == 0 && score->validity == SONDE_VALID)
            session->head_score = score->value;
    }
    return SONDE_OK;
}

sonde_status sonde__session_probe(sonde__session *session, bool counts)
{
    double begun = sonde__seconds();
    for (int i = 0; i < session->choices.probe_count; i++)
        SONDE_TRY(observe_probe(session, i, counts));
    session->row.seconds_probe = sonde__seconds() - begun;
    return SONDE_OK;
}

/* ---- Test prediction variance ---- */

static bool tpv_is_due(const sonde__session *session, int64_t epoch)
{
    return session->tpv &&
           (epoch % session->config.tpv_every == 0 || epoch == session->config.epochs);
}

sonde_status sonde__session_tpv_submit(sonde__session *session)
{
    size_t count;
    if (!tpv_is_due(session, session->epoch))
        return SONDE_OK;
    return sonde__tpv_signal_submit(session->tpv, session->epoch, session->net,
                                    sonde__net_weights(session->net, &count));
}

static void record_tpv(sonde__session *session, int64_t epoch, const char *signal, double value,
                       const sonde_estimate *trace, sonde_direction direction)
{
    if (session->score_count == SONDE__SCORES_MAX)
        return;
    sonde__score_row *row = &session->scores[session->score_count++];
    *row = (sonde__score_row){.epoch = epoch};
    snprintf(row->signal, sizeof(row->signal), "%s", signal);
    row->score = (sonde_score){.direction = direction, .validity = trace->validity};
    row->score.value = trace->validity == SONDE_VALID ? value : 0;
}

/* Only epochs that have a checkpoint can be kept. */
sonde_status sonde__session_tpv_collect(sonde__session *session)
{
    char reason[SONDE_REASON_MAX];
    sonde_estimate trace;
    const int64_t epoch = session->tpv ? sonde__tpv_signal_pending(session->tpv) : -1;
    if (epoch < 0)
        return SONDE_OK;
    sonde__tpv_signal_collect(session->tpv, &trace, reason);
    if (reason[0])
        sonde__session_event(session, "no TPV of epoch %lld: %.400s", (long long)epoch, reason);
    record_tpv(session, epoch, SONDE__TPV_SIGNAL, trace.value, &trace, SONDE_LOWER_IS_BETTER);
    const sonde_score *score = &session->scores[session->score_count - 1].score;
    sonde_status status = SONDE_OK;
    if (sonde__checkpoint_planned(session, epoch))
        status = sonde_steer_tpv(session->steer, epoch, score);
    record_tpv(session, epoch, SONDE__TPV_ERROR_SIGNAL, trace.standard_error, &trace,
               SONDE_NEUTRAL);
    return status;
}

/* ---- Weights ---- */

static sonde_status hand_over(sonde__session *session, int index, float *plain)
{
    const sonde__parameter *parameter = sonde__net_parameter(session->net, index);
    static const char suffix[] = ".weight";
    char layer[SONDE_LAYER_NAME_MAX];
    size_t count, length = strlen(parameter->name), rows = (size_t)parameter->shape[0];
    if (length > sizeof(suffix) - 1 &&
        strcmp(parameter->name + length - (sizeof(suffix) - 1), suffix) == 0)
        length -= sizeof(suffix) - 1;
    snprintf(layer, sizeof(layer), "%.*s", (int)length, parameter->name);
    const float *weights = sonde__net_weights(session->net, &count);
    sonde__net_export(session->net, weights, index, plain);
    sonde_matrix matrix = {plain, SONDE_F32, rows, parameter->elements / rows, 0};
    return sonde_steer_weights(session->steer, layer, &matrix);
}

static bool has_spectrum(const sonde__parameter *parameter)
{
    return parameter->role == SONDE__ROLE_WEIGHT && parameter->dims >= 2;
}

sonde_status sonde__session_weights(sonde__session *session)
{
    int count = sonde__net_parameter_count(session->net);
    size_t largest = 0;
    for (int i = 0; i < count; i++) {
        const sonde__parameter *parameter = sonde__net_parameter(session->net, i);
        if (has_spectrum(parameter) && parameter->elements > largest)
            largest = parameter->elements;
    }
    float *plain = sonde__alloc(session->context, largest, sizeof(float));
    if (!plain)
        return SONDE_ERROR_MEMORY;
    sonde_status status = SONDE_OK;
    for (int i = 0; i < count && status == SONDE_OK; i++)
        if (has_spectrum(sonde__net_parameter(session->net, i)))
            status = hand_over(session, i, plain);
    sonde__free(session->context, plain);
    return status;
}
