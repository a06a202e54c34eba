/*
 * Scores of units: every layer says how much its output channels, its input channels and its norm's
 * channels matter (sonde_importance_add), and what it says of coupled channels is summed.
 *
 * Invariant: layer i and parameter p of the pruned network are those of the whole one; channel j of
 * a layer is the j-th that is still kept there (net/prune_graph.h).
 */
#include <string.h>

#include "measure/prune_internal.h"
#include "net/study.h"

/* One layer's parameters in the plain layout, and which unit each of its channels is. */
typedef struct desk {
    const sonde__prune_scorer *scorer;
    sonde__net *part;
    float *gradients;                  /* flat, or NULL */
    float *values[2], *derivatives[2]; /* of weight and bias (or scale and shift) */
    int *channels;                     /* kept channels of the whole layer */
    double *added;
} desk;

static const float *plain_of(const desk *d, const float *flat, int parameter, float *room)
{
    if (!flat)
        return NULL;
    sonde__net_export(d->part, flat, parameter, room);
    return room;
}

/* Weight and bias, with their gradients, of the parameters from `first` on. */
static sonde_importance_layer layer_of(const desk *d, int first, bool bias)
{
    const float *weights = sonde__net_weights(d->part, &(size_t){0});
    sonde_importance_layer layer = {
        .weight = plain_of(d, weights, first, d->values[0]),
        .gradient = plain_of(d, d->gradients, first, d->derivatives[0]),
    };
    if (bias) {
        layer.bias = plain_of(d, weights, first + 1, d->values[1]);
        layer.bias_gradient = plain_of(d, d->gradients, first + 1, d->derivatives[1]);
    }
    return layer;
}

/* Whether the criterion says anything about that side: else a unit of such sides alone is unknown. */
static bool looks_at(sonde_criterion criterion, sonde_importance_side side)
{
    switch (criterion) {
    case SONDE_CRITERION_BN_SCALE:
        return side == SONDE_SIDE_NORM;
    case SONDE_CRITERION_FPGM:
    case SONDE_CRITERION_FPGM_SQUARES:
    case SONDE_CRITERION_WHC:
        return side != SONDE_SIDE_NORM;
    default:
        return true;
    }
}

/* Each channel of `value`, a layer of the whole graph, is `places` rows (or columns) long here. */
static sonde_status add_side(sonde_context *context, const desk *d, sonde_importance_side side,
                             const sonde_importance_layer *layer, int value, size_t places)
{
    const sonde__prune_scorer *s = d->scorer;
    const int *unit = sonde__channels_of(s->channels, value);
    const size_t count = side == SONDE_SIDE_INPUTS ? layer->in : layer->out;
    if (!looks_at(s->criterion, side))
        return SONDE_OK;
    sonde__channels_kept(s->channels, s->kept, value, d->channels);
    memset(d->added, 0, count * sizeof *d->added);
    SONDE_TRY(sonde_importance_add(context, s->criterion, side, layer, d->added));
    for (size_t i = 0; i < count; i++) {
        const int u = unit[d->channels[i / places]];
        s->scores[u] += d->added[i];
        s->scored[u] = true;
    }
    return SONDE_OK;
}

/* A depthwise convolution's inputs are its outputs, and are told once. */
static sonde_status add_matrix(sonde_context *context, const desk *d, int index,
                               const sonde__layer_view *view)
{
    const sonde__parameter *weight = sonde__net_parameter(d->part, view->first_parameter);
    sonde_importance_layer layer = layer_of(d, view->first_parameter, view->conv.bias);
    layer.out = (size_t)weight->shape[0];
    layer.in = (size_t)weight->shape[1];
    layer.kernel = weight->elements / layer.out / layer.in;
    const sonde__layer_view x = sonde__graph_layer(sonde__net_graph(d->part), view->inputs[0]);
    const size_t pixels = (size_t)x.shape.height * (size_t)x.shape.width;
    SONDE_TRY(add_side(context, d, SONDE_SIDE_OUTPUTS, &layer, index, 1));
    if (view->op == SONDE__OP_CONV && view->conv.groups > 1 && layer.in == 1)
        return SONDE_OK;
    return add_side(context, d, SONDE_SIDE_INPUTS, &layer, view->inputs[0],
                    view->op == SONDE__OP_LINEAR ? pixels : 1);
}

static sonde_status add_norm(sonde_context *context, const desk *d, int index,
                             const sonde__layer_view *view)
{
    sonde_importance_layer layer = layer_of(d, view->first_parameter, true);
    layer.out = (size_t)view->shape.channels;
    layer.in = layer.kernel = 1;
    return add_side(context, d, SONDE_SIDE_NORM, &layer, index, 1);
}

static sonde_status add_layers(sonde_context *context, const desk *d)
{
    const sonde__graph *graph = sonde__net_graph(d->part);
    for (int i = 0; i < sonde__graph_layer_count(graph); i++) {
        const sonde__layer_view view = sonde__graph_layer(graph, i);
        if (!view.used || view.parameter_count == 0)
            continue;
        if (view.op == SONDE__OP_CONV || view.op == SONDE__OP_LINEAR)
            SONDE_TRY(add_matrix(context, d, i, &view));
        else if (view.op == SONDE__OP_BATCH_NORM &&
                 sonde__net_parameter(d->part, view.first_parameter)->role == SONDE__ROLE_SCALE)
            SONDE_TRY(add_norm(context, d, i, &view));
    }
    return SONDE_OK;
}

sonde_status sonde__prune_score(sonde_context *context, const sonde__prune_scorer *scorer,
                                sonde__net *part, float *gradients)
{
    const sonde__channels *channels = scorer->channels;
    const int layers = sonde__graph_layer_count(channels->graph);
    size_t largest = 1, widest = 1;
    for (int p = 0; p < sonde__net_parameter_count(part); p++) {
        const sonde__parameter *parameter = sonde__net_parameter(part, p);
        largest = parameter->elements > largest ? parameter->elements : largest;
        widest = parameter->dims > 1 && (size_t)parameter->shape[1] > widest
                     ? (size_t)parameter->shape[1]
                     : widest;
    }
    /* A layer's channels, of the whole network; features of a linear layer's input may be more. */
    const size_t every = channels->first[layers];
    float *floats = sonde__alloc(context, largest, 4 * sizeof *floats);
    desk d = {.scorer = scorer, .part = part, .gradients = gradients};
    d.channels = sonde__alloc(context, every, sizeof *d.channels);
    d.added = sonde__alloc(context, every > widest ? every : widest, sizeof *d.added);
    sonde_status status = SONDE_ERROR_MEMORY;
    if (floats && d.channels && d.added) {
        d.values[0] = floats;
        d.values[1] = floats + largest;
        d.derivatives[0] = floats + 2 * largest;
        d.derivatives[1] = floats + 3 * largest;
        status = add_layers(context, &d);
    }
    sonde__free(context, floats);
    sonde__free(context, d.channels);
    sonde__free(context, d.added);
    return status;
}
