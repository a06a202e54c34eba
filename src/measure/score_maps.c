/*
 * The feature maps of a network: the value that its last global pool averages.
 *
 * Networks without such a pool have no maps; there the features of the head stand for them.
 */
#include "measure/score_parts.h"

#include <string.h>

#include "net/ops.h"

static void take_value(void *user, int layer, const sonde__form *form, const float *y)
{
    const sonde__maps *maps = user;
    if (layer != maps->layer)
        return;
    sonde__form plain = *form;
    plain.block = 1;
    sonde__reorder(form, y, &plain, maps->values);
}

static int layer_before_pool(const sonde__graph *graph)
{
    for (int i = sonde__graph_layer_count(graph) - 1; i >= 0; i--) {
        const sonde__layer_view layer = sonde__graph_layer(graph, i);
        if (layer.op == SONDE__OP_GLOBAL_POOL && layer.used)
            return layer.inputs[0];
    }
    return -1;
}

sonde_status sonde__maps_begin(sonde_context *context, sonde__net *net, int n, sonde__maps *maps)
{
    const sonde__graph *graph = sonde__net_graph(net);
    *maps = (sonde__maps){.context = context, .n = n, .layer = layer_before_pool(graph)};
    if (maps->layer < 0)
        return SONDE_OK;
    maps->shape = sonde__graph_layer(graph, maps->layer).shape;
    const sonde__form form = {n, maps->shape, 1};
    maps->values = sonde__alloc_zero(context, sonde__form_floats(&form), sizeof *maps->values);
    if (!maps->values)
        return SONDE_ERROR_MEMORY;
    const sonde__watch watch = {.user = maps, .value = take_value};
    sonde__net_watch(net, &watch);
    return SONDE_OK;
}

sonde_status sonde__maps_complete(sonde__net *net, sonde__maps *maps)
{
    sonde__net_head_view head;
    if (maps->layer >= 0)
        return SONDE_OK;
    SONDE_TRY(sonde__net_head(net, &head));
    const size_t rows = (size_t)maps->n * (size_t)sonde__net_rows(net);
    const size_t floats = rows * (size_t)head.features_count;
    maps->shape = (sonde__shape){head.features_count, sonde__net_rows(net), 1};
    if (!maps->values)
        maps->values = sonde__alloc(maps->context, floats, sizeof *maps->values);
    if (!maps->values)
        return SONDE_ERROR_MEMORY;
    memcpy(maps->values, head.features, floats * sizeof *maps->values);
    return SONDE_OK;
}

void sonde__maps_end(sonde__net *net, sonde__maps *maps)
{
    sonde__net_watch(net, NULL);
    sonde__free(maps->context, maps->values);
    maps->values = NULL;
}
