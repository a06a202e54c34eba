/* DisWOT's view of a network, and two of them compared; see distill_net.h. */
#include "measure/distill_net.h"

#include <string.h>

#include "measure/score_parts.h"
#include "net/loss.h"

/* dL/dW of the classifier: sum over rows of dlogits_i z_i^T. */
static void head_gradient(const float *dlogits, const sonde__net_head_view *head, size_t rows,
                          sonde__distill_view *view)
{
    const size_t classes = view->classes, width = view->features;
    memset(view->gradient, 0, classes * width * sizeof *view->gradient);
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < classes; c++) {
            const double slope = dlogits[i * classes + c];
            const float *const z = head->features + i * width;
            for (size_t j = 0; j < width; j++)
                view->gradient[c * width + j] += slope * (double)z[j];
        }
}

static sonde_status look(sonde_context *context, sonde__net *net, const sonde__score_batch *batch,
                         sonde__maps *maps, sonde__distill_view *view)
{
    sonde__net_head_view head;
    const float *logits = NULL;
    const size_t rows = (size_t)batch->n * (size_t)sonde__net_rows(net);
    SONDE_TRY(sonde__net_forward(net, SONDE__STUDY_TRAIN, batch->x, batch->n, 0, &logits));
    SONDE_TRY(sonde__maps_complete(net, maps));
    SONDE_TRY(sonde__net_head(net, &head));
    view->classes = (size_t)head.outputs;
    view->features = (size_t)head.features_count;
    view->shape = maps->shape;
    view->gradient = sonde__alloc(context, view->classes * view->features, sizeof *view->gradient);
    view->pooled = sonde__alloc(context, view->features, sizeof *view->pooled);
    float *dlogits = sonde__alloc(context, rows * view->classes, sizeof *dlogits);
    if (!view->gradient || !view->pooled || !dlogits) {
        sonde__free(context, dlogits);
        return SONDE_ERROR_MEMORY;
    }
    sonde__loss_cross_entropy(logits, batch->labels, rows, view->classes, 0, NULL, dlogits);
    head_gradient(dlogits, &head, rows, view);
    memcpy(view->pooled, head.features, view->features * sizeof *view->pooled);
    view->maps = maps->values;
    maps->values = NULL;
    sonde__free(context, dlogits);
    return SONDE_OK;
}

sonde_status sonde__distill_view_make(sonde_context *context, sonde__net *net,
                                      const sonde__score_batch *batch, uint64_t seed, bool teacher,
                                      sonde__distill_view *view)
{
    sonde__kept_weights kept;
    sonde__maps maps = {.context = context};
    *view = (sonde__distill_view){.context = context, .n = batch->n};
    sonde_status status = sonde__weights_keep(context, net, &kept);
    if (status == SONDE_OK)
        status = sonde__weights_normal(context, net, seed, teacher ? 2 : 1);
    if (status == SONDE_OK)
        status = sonde__maps_begin(context, net, batch->n, &maps);
    if (status == SONDE_OK)
        status = look(context, net, batch, &maps, view);
    sonde__maps_end(net, &maps);
    sonde__weights_put_back(net, &kept);
    if (status != SONDE_OK)
        sonde__distill_view_free(view);
    return status;
}

void sonde__distill_view_free(sonde__distill_view *view)
{
    sonde__free(view->context, view->gradient);
    sonde__free(view->context, view->pooled);
    sonde__free(view->context, view->maps);
    view->gradient = NULL;
    view->pooled = view->maps = NULL;
}

/* ---- comparison ------------------------------------------------------------------------------ */

static sonde_status compare_gradients(sonde_context *context, const sonde__distill_view *teacher,
                                      const sonde__distill_view *student, sonde_score *score)
{
    const sonde_matrix t = {teacher->gradient, SONDE_F64, teacher->classes, teacher->features, 0};
    const sonde_matrix s = {student->gradient, SONDE_F64, student->classes, student->features, 0};
    if (teacher->classes != student->classes || teacher->features != student->features) {
        *score = sonde__score_none(SONDE_PROXY_DISWOT_SEMANTIC, SONDE_DEGENERATE);
        return SONDE_OK;
    }
    return sonde_diswot_semantic(context, &t, &s, score);
}

/* The first example's maps as (channels * height) x width. */
static sonde_matrix map_rows(const sonde__distill_view *view)
{
    return (sonde_matrix){view->maps, SONDE_F32,
                          (size_t)view->shape.channels * (size_t)view->shape.height,
                          (size_t)view->shape.width, 0};
}

static sonde_matrix map_examples(const sonde__distill_view *view)
{
    const sonde__form one = {1, view->shape, 1};
    return (sonde_matrix){view->maps, SONDE_F32, (size_t)view->n, sonde__form_stride(&one), 0};
}

static sonde_status compare_features(sonde_context *context, sonde__distill_metric metric,
                                     const sonde__distill_view *teacher,
                                     const sonde__distill_view *student, sonde_score *score)
{
    *score = sonde__score_none(SONDE_PROXY_DISWOT_RELATION, SONDE_DEGENERATE);
    if (metric == SONDE__DISTILL_PAPER) {
        const sonde_matrix t = map_examples(teacher), s = map_examples(student);
        return sonde_diswot_relation(context, SONDE_DISWOT_PAPER, &t, &s, score);
    }
    if (metric == SONDE__DISTILL_REPO) {
        const sonde_matrix t = {teacher->pooled, SONDE_F32, 1, teacher->features, 0};
        const sonde_matrix s = {student->pooled, SONDE_F32, 1, student->features, 0};
        if (teacher->features != student->features)
            return SONDE_OK;
        return sonde_diswot_relation(context, SONDE_DISWOT_REPO, &t, &s, score);
    }
    const sonde_matrix t = map_rows(teacher), s = map_rows(student);
    if (memcmp(&teacher->shape, &student->shape, sizeof teacher->shape) != 0)
        return SONDE_OK;
    return sonde_diswot_channels(context, (size_t)teacher->shape.channels, &t, &s, score);
}

sonde_status sonde__distill_compare(sonde_context *context, sonde__distill_metric metric,
                                    const sonde__distill_view *teacher,
                                    const sonde__distill_view *student, sonde_score *scores)
{
    sonde_score *semantic = &scores[SONDE_PROXY_DISWOT_SEMANTIC];
    sonde_score *relation = &scores[SONDE_PROXY_DISWOT_RELATION];
    sonde_score *sum = &scores[SONDE_PROXY_DISWOT];
    SONDE_TRY(compare_gradients(context, teacher, student, semantic));
    SONDE_TRY(compare_features(context, metric, teacher, student, relation));
    const sonde_validity validity =
        semantic->validity != SONDE_VALID ? semantic->validity : relation->validity;
    *sum = sonde__score_none(SONDE_PROXY_DISWOT, validity);
    if (validity == SONDE_VALID)
        sum->value = semantic->value + relation->value;
    return SONDE_OK;
}
