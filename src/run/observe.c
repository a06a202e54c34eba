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

typedef struct named_score {
    const char *name;
    size_t offset; /* in sonde_head_report */
} named_score;

#define SCORE(field) \
    { \
#field, offsetof(sonde_head_report, field) \
    }

static const named_score named_scores[] = {
    SCORE(raw),      SCORE(head_scaled), SCORE(feature_scaled), SCORE(bias),   SCORE(loss),
    SCORE(accuracy), SCORE(confidence),  SCORE(entropy),        SCORE(margin), SCORE(true_margin),
};

enum { SCORE_COUNT = sizeof(named_scores) / sizeof(named_scores[0]) };

static void record_scores(sonde__session *session, const char *prefix, int which,
                          const sonde_head_report *report)
{
    for (int i = 0; i < SCORE_COUNT && session->score_count < SONDE__SCORES_MAX; i++) {
        sonde__score_row *row = &session->scores[session->score_count++];
        row->epoch = session->epoch;
        snprintf(row->signal, sizeof(row->signal), "%s%s.%s", prefix, which ? "2" : "",
                 named_scores[i].name);
        row->score =
            *(const sonde_score *)(const void *)((const char *)report + named_scores[i].offset);
    }
}

/* ---- Gathering features and logits of a probe ---- */

typedef struct gather {
    sonde__session *session;
    sonde__probe *probe;
    sonde__net_head_view head;
} gather;

static sonde_status make_room(gather *g)
{
    sonde_context *context = g->session->context;
    sonde__probe *probe = g->probe;
    if (probe->features)
        return SONDE_OK;
    const size_t count = probe->count * (size_t)g->session->train->rows;
    probe->labels = sonde__alloc(context, count, sizeof(int64_t));
    probe->logits = sonde__alloc(context, count, (size_t)g->head.outputs * sizeof(float));
    if (!probe->labels || !probe->logits)
        return SONDE_ERROR_MEMORY;
    probe->features = sonde__alloc(context, count, (size_t)g->head.features_count * sizeof(float));
    return probe->features ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static sonde_status gather_batch(void *user, size_t begin, size_t n, const float *logits,
                                 const int32_t *labels)
{
    gather *g = user;
    SONDE_TRY(sonde__net_head(g->session->net, &g->head));
    SONDE_TRY(make_room(g));
    size_t d = (size_t)g->head.features_count, classes = (size_t)g->head.outputs;
    begin *= (size_t)g->session->train->rows;
    n *= (size_t)g->session->train->rows;
    memcpy(g->probe->features + begin * d, g->head.features, n * d * sizeof(float));
    memcpy(g->probe->logits + begin * classes, logits, n * classes * sizeof(float));
    for (size_t i = 0; i < n; i++)
        g->probe->labels[begin + i] = labels[i];
    return SONDE_OK;
}

/* ---- Scoring ---- */

/* Squared and sigmoid heads take one-hot targets, in `targets` (rows x C). */
static void describe_batch(const gather *g, int which, float *targets, sonde_head_batch *batch)
{
    const sonde__probe *probe = g->probe;
    size_t labels = (size_t)g->session->train->rows, begin = probe->begin[which] * labels;
    size_t rows = probe->end[which] * labels - begin;
    size_t d = (size_t)g->head.features_count, classes = (size_t)g->head.outputs;
    sonde_head_batch_init(batch);
    batch->kind = g->session->choices.loss;
    batch->features = (sonde_matrix){probe->features + begin * d, SONDE_F32, rows, d, 0};
    batch->logits = (sonde_matrix){probe->logits + begin * classes, SONDE_F32, rows, classes, 0};
    batch->weight = (sonde_matrix){g->head.weight, SONDE_F32, classes, d, 0};
    batch->labels = probe->labels + begin;
    batch->label_smoothing = g->session->config.label_smoothing;
    if (batch->kind == SONDE_HEAD_SOFTMAX)
        return;
    for (size_t i = 0; i < rows; i++)
        targets[i * classes + (size_t)batch->labels[i]] = 1;
    batch->targets = (sonde_matrix){targets, SONDE_F32, rows, classes, 0};
    batch->labels = NULL;
}

static sonde_status score_batch(gather *g, int which, bool counts, sonde_head_report *report)
{
    sonde__session *session = g->session;
    size_t rows = (g->probe->end[which] - g->probe->begin[which]) * (size_t)session->train->rows;
    float *targets =
        sonde__alloc_zero(session->context, rows, (size_t)g->head.outputs * sizeof(float));
    if (!targets)
        return SONDE_ERROR_MEMORY;
    sonde_head_batch batch;
    describe_batch(g, which, targets, &batch);
    sonde_status status = counts ? sonde_steer_head(session->steer, &batch, which, report)
                                 : sonde_head_gradient(session->context, &batch, report);
    sonde__free(session->context, targets);
    return status;
}

static sonde_status observe_probe(sonde__session *session, int number, bool counts)
{
    gather g = {.session = session, .probe = &session->probes[number]};
    bool decides = number == 0, augmented = g.probe->kind == SONDE_PROBE_AUGMENTED;
    SONDE_TRY(sonde__session_evaluate(session, &session->train_batcher, g.probe->indexes,
                                      g.probe->count, augmented ? 0 : -1, gather_batch, &g));
    for (int which = 0; which < 2; which++) {
        sonde_head_report report;
        SONDE_TRY(score_batch(&g, which, decides && counts, &report));
        record_scores(session, decides ? "head" : sonde__probe_name(g.probe->kind), which, &report);
        const sonde_score_kind by = session->choices.keep_by;
        const sonde_score *score =
            sonde__keep_score(&report, by == SONDE_SCORE_TPV ? SONDE_SCORE_HEAD_SCALED : by);
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
