/*
 * The scores of one network: which passes the wanted proxies need, and those passes; see score.h.
 *
 * Sources: Abdelfattah et al. 2021 (arXiv 2101.08134; SamsungLabs/zero-cost-nas) and NASLib. All run
 * the network as it is initialised, in training mode, on the mean cross-entropy of one batch, and
 * count the weights of convolutions and linear layers alone.
 *
 * Invariant: a pass runs only if something wanted needs it, and none runs twice.
 */
#include "measure/score.h"

#include <math.h>

#include "measure/proxy_synflow.h"
#include "measure/score_parts.h"
#include "net/loss.h"

#define BIT(name) SONDE__PROXY_BIT(SONDE_PROXY_##name)

static const sonde__proxies of_jacobian = BIT(JACOB_COV) | BIT(EPE_NAS);
static const sonde__proxies of_gradient =
    BIT(GRAD_NORM) | BIT(SNIP) | BIT(PLAIN) | BIT(GRASP) | BIT(FISHER);
static const sonde__proxies of_weights =
    BIT(GRAD_NORM) | BIT(SNIP) | BIT(PLAIN) | BIT(GRASP) | BIT(L2_NORM);

typedef struct score_work {
    sonde_context *context;
    sonde__net *net;
    const sonde__graph *graph;
    const sonde__score_options *options;
    const sonde__score_batch *batch;
    sonde_score *scores;
    size_t rows, classes;                  /* rows of logits: examples times rows of one */
    float *dlogits, *jacobian, *curvature; /* curvature: H w, in the flat layout */
    double *products, *scales;
    sonde_nwot *nwot;
    sonde_proxy_sums sums;
    sonde_status watched; /* the first failure while a pass was watched */
} score_work;

sonde_score sonde__score_none(sonde_proxy_kind kind, sonde_validity validity)
{
    return (sonde_score){.direction = sonde_proxy_direction(kind), .validity = validity};
}

static sonde_score number(sonde_proxy_kind kind, double value)
{
    return (sonde_score){.value = value, .direction = sonde_proxy_direction(kind)};
}

static bool wants(const score_work *work, sonde__proxies proxies)
{
    return (work->options->wanted & proxies) != 0;
}

void sonde__score_net_options(sonde__proxies wanted, int n, sonde__net_options *options)
{
    options->max_batch = n;
    options->study = true;
    options->tangent = (wanted & BIT(GRASP)) != 0;
    options->winograd = false;
}

/* Convolutions and linear layers, whose weights alone count; their weight, or NULL. */
static const sonde__parameter *counted_weight(const sonde__net *net, const sonde__layer_view *layer)
{
    if (layer->op != SONDE__OP_CONV && layer->op != SONDE__OP_LINEAR)
        return NULL;
    return sonde__net_parameter(net, layer->first_parameter);
}

/* ---- what is watched ------------------------------------------------------------------------- */

static void see_value(void *user, int layer, const sonde__form *form, const float *y)
{
    score_work *work = user;
    const size_t units = (size_t)form->shape.channels * sonde__form_pixels(form);
    if (!work->nwot || sonde__graph_layer(work->graph, layer).op != SONDE__OP_RELU ||
        work->watched != SONDE_OK)
        return;
    work->watched = sonde_nwot_add(work->nwot, y, sonde__form_stride(form), units);
}

/* Of one example: products[channel] = sum over pixels of y dy. */
static void channel_products(const sonde__form *form, const float *y, const float *dy,
                             double *products)
{
    const size_t pixels = sonde__form_pixels(form), block = (size_t)form->block;
    const size_t channels = (size_t)form->shape.channels;
    for (size_t c = 0; c < channels; c++)
        products[c] = 0;
    for (size_t begin = 0; begin < channels; begin += block) {
        const size_t lanes = channels - begin < block ? channels - begin : block;
        double *const sums = products + begin;
        for (size_t p = 0; p < pixels; p++, y += block, dy += block)
            for (size_t lane = 0; lane < lanes; lane++)
                sums[lane] += (double)y[lane] * (double)dy[lane];
    }
}

static void see_gradient(void *user, int layer, const sonde__form *form, const float *y,
                         const float *dy)
{
    score_work *work = user;
    const sonde__layer_view view = sonde__graph_layer(work->graph, layer);
    const sonde__parameter *weight = counted_weight(work->net, &view);
    const size_t channels = (size_t)form->shape.channels, stride = sonde__form_stride(form);
    if (!weight || work->watched != SONDE_OK)
        return;
    for (size_t i = 0; i < (size_t)form->batch; i++)
        channel_products(form, y + i * stride, dy + i * stride, work->products + i * channels);
    const sonde_matrix products = {work->products, SONDE_F64, (size_t)form->batch, channels, 0};
    work->watched = sonde_proxy_add_fisher(
        work->context, &products, weight->elements / (size_t)weight->shape[0], &work->sums);
}

/* ---- passes ---------------------------------------------------------------------------------- */

/* dlogits = (diag(p) - p p^T) z' / rows: how the loss's gradient by the logits moves with them. */
static void move_dlogits(const float *logits, const float *moved, size_t rows, size_t classes,
                         float *dlogits)
{
    for (size_t i = 0; i < rows; i++, logits += classes, moved += classes, dlogits += classes) {
        double most = -INFINITY, sum = 0, mean = 0;
        for (size_t c = 0; c < classes; c++)
            most = fmax(most, logits[c]);
        for (size_t c = 0; c < classes; c++) {
            const double share = exp(logits[c] - most);
            sum += share;
            mean += share * moved[c];
        }
        mean /= sum;
        for (size_t c = 0; c < classes; c++)
            dlogits[c] = (float)(exp(logits[c] - most) / sum * (moved[c] - mean) / (double)rows);
    }
}

static sonde_status curvature_pass(score_work *work, const float *logits)
{
    const float *moved = NULL;
    for (int i = 0; i < sonde__graph_layer_count(work->graph); i++) {
        const sonde__layer_view layer = sonde__graph_layer(work->graph, i);
        if (counted_weight(work->net, &layer))
            work->scales[layer.first_parameter] = 1;
    }
    SONDE_TRY(sonde__net_tangent_forward(work->net, work->scales, &moved));
    move_dlogits(logits, moved, work->rows, work->classes, work->dlogits);
    return sonde__net_tangent_backward(work->net, work->dlogits, work->curvature);
}

/* The gradient of the sum of all outputs by the input; those by the weights stay. */
static sonde_status jacobian_pass(score_work *work)
{
    const sonde__watch nothing = {.skip_parameters = true};
    sonde__net_watch(work->net, &nothing);
    for (size_t i = 0; i < work->rows * work->classes; i++)
        work->dlogits[i] = 1;
    return sonde__net_backward(work->net, work->dlogits);
}

static sonde_status run_passes(score_work *work)
{
    const sonde__score_batch *batch = work->batch;
    const float *logits = NULL;
    const sonde__watch watch = {.user = work,
                                .value = wants(work, BIT(NWOT)) ? see_value : NULL,
                                .gradient = wants(work, BIT(FISHER)) ? see_gradient : NULL};
    sonde__net_watch(work->net, &watch);
    sonde__net_want_input_gradient(work->net, work->jacobian);
    SONDE_TRY(sonde__net_forward(work->net, SONDE__STUDY_TRAIN, batch->x, batch->n, 0, &logits));
    if (wants(work, of_gradient)) {
        sonde__loss_cross_entropy(logits, batch->labels, work->rows, work->classes, 0, NULL,
                                  work->dlogits);
        SONDE_TRY(sonde__net_backward(work->net, work->dlogits));
    }
    if (wants(work, BIT(GRASP)))
        SONDE_TRY(curvature_pass(work, logits));
    if (wants(work, of_jacobian))
        SONDE_TRY(jacobian_pass(work));
    return work->watched;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static sonde_status add_layers(score_work *work)
{
    size_t count;
    const float *const weights = sonde__net_weights(work->net, &count);
    const float *const gradients = sonde__net_gradients(work->net, &count);
    for (int i = 0; i < sonde__graph_layer_count(work->graph); i++) {
        const sonde__layer_view view = sonde__graph_layer(work->graph, i);
        const sonde__parameter *p = counted_weight(work->net, &view);
        if (!p)
            continue;
        /* Padding of the device layout is zero in all three, and adds nothing. */
        sonde_proxy_layer layer = {.weight = {weights + p->offset, SONDE_F32, 1, p->length, 0}};
        layer.gradient = layer.hessian_weight = layer.weight;
        layer.gradient.data = wants(work, of_gradient) ? gradients + p->offset : NULL;
        layer.hessian_weight.data = work->curvature ? work->curvature + p->offset : NULL;
        SONDE_TRY(sonde_proxy_add_layer(work->context, &layer, &work->sums));
    }
    return SONDE_OK;
}

static sonde_status score_jacobian(score_work *work)
{
    const sonde__shape input = sonde__net_input_shape(work->net);
    const sonde__form one = {1, input, 1};
    const size_t n = (size_t)work->batch->n;
    const sonde_matrix jacobian = {work->jacobian, SONDE_F32, n, sonde__form_stride(&one), 0};
    if (wants(work, BIT(JACOB_COV)))
        SONDE_TRY(sonde_jacob_cov(work->context, &jacobian, &work->scores[SONDE_PROXY_JACOB_COV]));
    if (!wants(work, BIT(EPE_NAS)) || work->rows != n) /* an example of many labels has no class */
        return SONDE_OK;
    int64_t *labels = sonde__alloc(work->context, n, sizeof *labels);
    if (!labels)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < n; i++)
        labels[i] = work->batch->labels[i];
    const sonde_status status = sonde_epe_nas(work->context, &jacobian, labels, work->classes,
                                              &work->scores[SONDE_PROXY_EPE_NAS]);
    sonde__free(work->context, labels);
    return status;
}

static sonde_status score_synflow(score_work *work, sonde_proxy_kind kind)
{
    const bool naslib = work->options->protocol == SONDE__NASLIB;
    sonde__synflow result;
    if (!wants(work, SONDE__PROXY_BIT(kind)))
        return SONDE_OK;
    SONDE_TRY(sonde__measure_synflow(work->context, work->net,
                                     naslib ? SONDE__SYNFLOW_NASLIB : SONDE__SYNFLOW_ZERO_COST_NAS,
                                     kind == SONDE_PROXY_SYNFLOW_BN, NULL, &result));
    work->scores[kind] = naslib ? result.log_score : result.score;
    return SONDE_OK;
}

static void score_size(score_work *work)
{
    double parameters = 0;
    for (int i = 0; i < sonde__net_parameter_count(work->net); i++) {
        const sonde__parameter *p = sonde__net_parameter(work->net, i);
        if (!sonde__is_buffer(p))
            parameters += (double)p->elements;
    }
    work->scores[SONDE_PROXY_PARAMS] = number(SONDE_PROXY_PARAMS, parameters);
    work->scores[SONDE_PROXY_FLOPS] = number(SONDE_PROXY_FLOPS, sonde__graph_flops(work->graph));
}

static bool finite_weights(sonde__net *net)
{
    size_t count;
    const float *const weights = sonde__net_weights(net, &count);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(weights[i]))
            return false;
    return true;
}

static void refuse_weights(score_work *work)
{
    for (int i = 0; i < SONDE_PROXY_COUNT; i++)
        if (wants(work, SONDE__PROXY_BIT(i)) && i != SONDE_PROXY_PARAMS && i != SONDE_PROXY_FLOPS)
            work->scores[i] = sonde__score_none((sonde_proxy_kind)i, SONDE_NOT_FINITE);
}

static sonde_status score_all(score_work *work)
{
    static const sonde_proxy_kind summed[] = {SONDE_PROXY_GRAD_NORM, SONDE_PROXY_SNIP,
                                              SONDE_PROXY_PLAIN,     SONDE_PROXY_L2_NORM,
                                              SONDE_PROXY_GRASP,     SONDE_PROXY_FISHER};
    score_size(work);
    if (!finite_weights(work->net)) { /* a ReLU would hide them, and the scores look like numbers */
        refuse_weights(work);
        return SONDE_OK;
    }
    if (wants(work, of_gradient | of_jacobian | BIT(NWOT)))
        SONDE_TRY(run_passes(work));
    if (wants(work, of_weights))
        SONDE_TRY(add_layers(work));
    for (size_t i = 0; i < sizeof summed / sizeof summed[0]; i++)
        if (wants(work, SONDE__PROXY_BIT(summed[i])))
            work->scores[summed[i]] = sonde_proxy_score(summed[i], &work->sums);
    if (work->jacobian)
        SONDE_TRY(score_jacobian(work));
    if (work->nwot)
        SONDE_TRY(sonde_nwot_score(work->nwot, &work->scores[SONDE_PROXY_NWOT]));
    SONDE_TRY(score_synflow(work, SONDE_PROXY_SYNFLOW));
    SONDE_TRY(score_synflow(work, SONDE_PROXY_SYNFLOW_BN));
    if (!wants(work, BIT(ZEN)))
        return SONDE_OK;
    return sonde__score_zen(work->context, work->net, work->options->seed, work->batch->n,
                            &work->scores[SONDE_PROXY_ZEN]);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static sonde_status check_labels(const score_work *work)
{
    for (size_t i = 0; i < work->rows; i++) {
        const int32_t label = work->batch->labels[i];
        if (label < 0 || (size_t)label >= work->classes)
            return sonde__fail(
                work->context, SONDE_ERROR_ARGUMENT,
                "label %d of example %zu is no class of the network's %zu (0 to %zu)", (int)label,
                i, work->classes, work->classes - 1);
    }
    return SONDE_OK;
}

static size_t most_channels(const sonde__graph *graph)
{
    size_t most = 1;
    for (int i = 0; i < sonde__graph_layer_count(graph); i++) {
        const size_t channels = (size_t)sonde__graph_layer(graph, i).shape.channels;
        most = channels > most ? channels : most;
    }
    return most;
}

static sonde_status allocate(score_work *work)
{
    sonde_context *context = work->context;
    const sonde__form input = {work->batch->n, sonde__net_input_shape(work->net), 1};
    size_t weights;
    sonde__net_weights(work->net, &weights);
    work->dlogits = sonde__alloc(context, work->rows * work->classes, sizeof *work->dlogits);
    if (!work->dlogits)
        return SONDE_ERROR_MEMORY;
    if (wants(work, of_jacobian))
        work->jacobian =
            sonde__alloc_zero(context, sonde__form_floats(&input), sizeof *work->jacobian);
    if (wants(work, BIT(GRASP))) {
        work->curvature = sonde__alloc_zero(context, weights, sizeof *work->curvature);
        work->scales = sonde__alloc_zero(context, (size_t)sonde__net_parameter_count(work->net),
                                         sizeof *work->scales);
    }
    if (wants(work, BIT(FISHER)))
        work->products = sonde__alloc(context, (size_t)work->batch->n * most_channels(work->graph),
                                      sizeof *work->products);
    if ((wants(work, of_jacobian) && !work->jacobian) ||
        (wants(work, BIT(GRASP)) && (!work->curvature || !work->scales)) ||
        (wants(work, BIT(FISHER)) && !work->products))
        return SONDE_ERROR_MEMORY;
    if (wants(work, BIT(NWOT)))
        return sonde_nwot_create(context, (size_t)work->batch->n, &work->nwot);
    return SONDE_OK;
}

static void release(score_work *work)
{
    sonde__net_watch(work->net, NULL);
    sonde__net_want_input_gradient(work->net, NULL);
    sonde_nwot_free(work->nwot);
    sonde__free(work->context, work->dlogits);
    sonde__free(work->context, work->jacobian);
    sonde__free(work->context, work->curvature);
    sonde__free(work->context, work->scales);
    sonde__free(work->context, work->products);
}

sonde_status sonde__score_network(sonde_context *context, sonde__net *net,
                                  const sonde__score_options *options,
                                  const sonde__score_batch *batch, sonde_score *scores)
{
    score_work work = {.context = context,
                       .net = net,
                       .graph = sonde__net_graph(net),
                       .options = options,
                       .batch = batch,
                       .scores = scores};
    work.rows = (size_t)batch->n * (size_t)sonde__net_rows(net);
    work.classes = (size_t)sonde__net_outputs(net) / (size_t)sonde__net_rows(net);
    for (int i = 0; i < SONDE_PROXY_COUNT; i++)
        scores[i] = sonde__score_none((sonde_proxy_kind)i, SONDE_NOT_MEASURED);
    SONDE_TRY(check_labels(&work));
    sonde_status status = allocate(&work);
    if (status == SONDE_OK)
        status = score_all(&work);
    release(&work);
    return status;
}
