/* The probe of a subject, scored as training scores it: eval mode, its own examples. */
#include "run/probe_head.h"
#include "run/subject.h"

typedef struct room {
    float *x;
    int32_t *labels;
    size_t size; /* examples */
} room;

static sonde_status take_all(sonde__subject *subject, const room *r, sonde__probe_head *view)
{
    const sonde__probe *probe = view->probe;
    const bool augmented = probe->kind == SONDE_PROBE_AUGMENTED;
    for (size_t begin = 0; begin < probe->count; begin += r->size) {
        const size_t left = probe->count - begin, n = left < r->size ? left : r->size;
        const float *logits;
        sonde__batcher_fill(&subject->train_batcher, probe->indexes + begin, n, augmented ? 0 : -1,
                            r->x, r->labels);
        SONDE_TRY(sonde__net_forward(subject->net, SONDE__EVAL, r->x, (int)n, 0, &logits));
        SONDE_TRY(sonde__probe_head_take(view, begin, n, logits, r->labels));
    }
    return SONDE_OK;
}

sonde_status sonde__subject_probe(sonde__subject *subject, int number, sonde_head_report reports[2])
{
    sonde_context *context = subject->context;
    sonde__probe *probe = &subject->probes[number];
    const size_t labels = (size_t)subject->train->rows;
    room r = {.size = (size_t)subject->max_batch};
    sonde__probe_head view = {.context = context,
                              .probe = probe,
                              .net = subject->net,
                              .rows = labels,
                              .loss = subject->choices.loss,
                              .label_smoothing = subject->config.label_smoothing};
    r.x = sonde__alloc(context, r.size, subject->train_batcher.features * sizeof(float));
    r.labels = sonde__alloc(context, r.size, labels * sizeof(int32_t));
    sonde_status status = r.x && r.labels ? take_all(subject, &r, &view) : SONDE_ERROR_MEMORY;
    for (int which = 0; which < 2 && status == SONDE_OK; which++)
        status = sonde__probe_head_score(&view, which, NULL, &reports[which]);
    sonde__free(context, r.x);
    sonde__free(context, r.labels);
    return status;
}
