/* Rows of a probe lie one behind the other, examples in their order, labels of an example together. */
#include "run/probe_head.h"

#include <stddef.h>
#include <string.h>

/* ---- names ---- */

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

const sonde_score *sonde__head_score_at(const sonde_head_report *report, int index,
                                        const char **name)
{
    if (index < 0 || index >= SCORE_COUNT)
        return NULL;
    *name = named_scores[index].name;
    return (const sonde_score *)(const void *)((const char *)report + named_scores[index].offset);
}

/* ---- gathering ---- */

static sonde_status make_room(sonde__probe_head *view)
{
    sonde_context *context = view->context;
    sonde__probe *probe = view->probe;
    if (probe->features)
        return SONDE_OK;
    const size_t count = probe->count * view->rows;
    probe->labels = sonde__alloc(context, count, sizeof(int64_t));
    probe->logits = sonde__alloc(context, count, (size_t)view->head.outputs * sizeof(float));
    if (!probe->labels || !probe->logits)
        return SONDE_ERROR_MEMORY;
    probe->features =
        sonde__alloc(context, count, (size_t)view->head.features_count * sizeof(float));
    return probe->features ? SONDE_OK : SONDE_ERROR_MEMORY;
}

sonde_status sonde__probe_head_take(sonde__probe_head *view, size_t begin, size_t n,
                                    const float *logits, const int32_t *labels)
{
    SONDE_TRY(sonde__net_head(view->net, &view->head));
    SONDE_TRY(make_room(view));
    size_t d = (size_t)view->head.features_count, classes = (size_t)view->head.outputs;
    begin *= view->rows;
    n *= view->rows;
    memcpy(view->probe->features + begin * d, view->head.features, n * d * sizeof(float));
    memcpy(view->probe->logits + begin * classes, logits, n * classes * sizeof(float));
    for (size_t i = 0; i < n; i++)
        view->probe->labels[begin + i] = labels[i];
    return SONDE_OK;
}

/* ---- scoring ---- */

/* Squared and sigmoid heads take one-hot targets, in `targets` (rows x C). */
static void describe_batch(const sonde__probe_head *view, int which, float *targets,
                           sonde_head_batch *batch)
{
    const sonde__probe *probe = view->probe;
    size_t begin = probe->begin[which] * view->rows;
    size_t rows = probe->end[which] * view->rows - begin;
    size_t d = (size_t)view->head.features_count, classes = (size_t)view->head.outputs;
    sonde_head_batch_init(batch);
    batch->kind = view->loss;
    batch->features = (sonde_matrix){probe->features + begin * d, SONDE_F32, rows, d, 0};
    batch->logits = (sonde_matrix){probe->logits + begin * classes, SONDE_F32, rows, classes, 0};
    batch->weight = (sonde_matrix){view->head.weight, SONDE_F32, classes, d, 0};
    batch->labels = probe->labels + begin;
    batch->label_smoothing = view->label_smoothing;
    if (batch->kind == SONDE_HEAD_SOFTMAX)
        return;
    for (size_t i = 0; i < rows; i++)
        targets[i * classes + (size_t)batch->labels[i]] = 1;
    batch->targets = (sonde_matrix){targets, SONDE_F32, rows, classes, 0};
    batch->labels = NULL;
}

sonde_status sonde__probe_head_score(const sonde__probe_head *view, int which, sonde_steer *steer,
                                     sonde_head_report *report)
{
    size_t rows = (view->probe->end[which] - view->probe->begin[which]) * view->rows;
    float *targets =
        sonde__alloc_zero(view->context, rows, (size_t)view->head.outputs * sizeof(float));
    if (!targets)
        return SONDE_ERROR_MEMORY;
    sonde_head_batch batch;
    describe_batch(view, which, targets, &batch);
    sonde_status status = steer ? sonde_steer_head(steer, &batch, which, report)
                                : sonde_head_gradient(view->context, &batch, report);
    sonde__free(view->context, targets);
    return status;
}
