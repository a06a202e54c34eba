/*
 * Graph surgery: layers are copied one by one with the channels that stay.
 *
 * Invariant: layer i of the pruned graph is layer i of the whole one, channel j of it the j-th kept
 * channel there, and parameter p is parameter p.
 */
#include "net/prune_graph.h"

#include <string.h>

#include "net/graph_internal.h"

/* --- slices of parameters ----------------------------------------------------------------------- */

/* 0 .. count - 1 */
static int *whole_range(sonde_context *context, size_t count)
{
    int *list = sonde__alloc(context, count, sizeof *list);
    for (size_t i = 0; list && i < count; i++)
        list[i] = (int)i;
    return list;
}

/* Features of the linear layer's input, flattened: a block of pixels for each kept channel. */
static size_t linear_columns(const sonde__channels *channels, const bool *kept, int x, int *list)
{
    const sonde__shape shape = channels->graph->layers[x].shape;
    const int *unit = sonde__channels_of(channels, x), pixels = shape.height * shape.width;
    size_t count = 0;
    for (int c = 0; c < shape.channels; c++)
        for (int p = 0; p < pixels && kept[unit[c]]; p++)
            list[count++] = c * pixels + p;
    return count;
}

/* Input channels of a convolution, numbered within their group: all groups keep the same. */
static size_t convolution_columns(const sonde__channels *channels, const bool *kept,
                                  const sonde__layer *l, int *list)
{
    const int *unit = sonde__channels_of(channels, l->inputs[0]);
    const int width = channels->graph->layers[l->inputs[0]].shape.channels / l->conv.groups;
    size_t count = 0;
    for (int c = 0; c < width; c++)
        if (width == 1 || kept[unit[c]])
            list[count++] = c;
    return count;
}

static bool is_weight(const sonde__layer *l, const sonde__parameter *parameter)
{
    return parameter->role == SONDE__ROLE_WEIGHT &&
           (l->op == SONDE__OP_CONV || l->op == SONDE__OP_LINEAR);
}

/* Whether the first axis of the layer's parameters is its channels. */
static bool by_channel(const sonde__layer *l, const sonde__parameter *parameter)
{
    return parameter->shape[0] == l->shape.channels &&
           (l->op == SONDE__OP_CONV || l->op == SONDE__OP_LINEAR || l->op == SONDE__OP_BATCH_NORM);
}

sonde_status sonde__slice_of(const sonde__channels *channels, const bool *kept, int parameter,
                             sonde__slice *slice)
{
    const sonde__graph *graph = channels->graph;
    const sonde__parameter *p = &graph->parameters[parameter];
    const int layer = graph->parameter_layers[parameter];
    const sonde__layer *l = &graph->layers[layer];
    const size_t rows = (size_t)p->shape[0];
    *slice = (sonde__slice){.row_count = rows, .all_columns = 1};
    if (is_weight(l, p))
        slice->all_columns = (size_t)p->shape[1];
    slice->column_count = slice->all_columns;
    slice->inner = p->elements / rows / slice->all_columns;
    slice->rows = whole_range(channels->context, rows);
    slice->columns = whole_range(channels->context, slice->all_columns);
    if (!slice->rows || !slice->columns) {
        sonde__slice_free(channels->context, slice);
        return SONDE_ERROR_MEMORY;
    }
    if (by_channel(l, p))
        slice->row_count = (size_t)sonde__channels_kept(channels, kept, layer, slice->rows);
    if (is_weight(l, p))
        slice->column_count = l->op == SONDE__OP_LINEAR
                                  ? linear_columns(channels, kept, l->inputs[0], slice->columns)
                                  : convolution_columns(channels, kept, l, slice->columns);
    return SONDE_OK;
}

void sonde__slice_free(sonde_context *context, sonde__slice *slice)
{
    sonde__free(context, slice->rows);
    sonde__free(context, slice->columns);
    *slice = (sonde__slice){0};
}

void sonde__slice_copy(const sonde__slice *slice, const float *whole, float *part)
{
    for (size_t i = 0; i < slice->row_count; i++) {
        const float *row = whole + (size_t)slice->rows[i] * slice->all_columns * slice->inner;
        for (size_t j = 0; j < slice->column_count; j++, part += slice->inner)
            memcpy(part, row + (size_t)slice->columns[j] * slice->inner,
                   slice->inner * sizeof *part);
    }
}

sonde_status sonde__prune_parameters(const sonde__channels *channels, const bool *kept,
                                     const sonde__net *whole, sonde__net *part)
{
    sonde_context *context = channels->context;
    sonde__net *from = (sonde__net *)(uintptr_t)whole;
    const float *weights = sonde__net_weights(from, &(size_t){0});
    sonde_status status = SONDE_OK;
    for (int p = 0; p < channels->graph->parameter_count && status == SONDE_OK; p++) {
        sonde__slice slice;
        SONDE_TRY(sonde__slice_of(channels, kept, p, &slice));
        const size_t elements = channels->graph->parameters[p].elements;
        float *rooms = sonde__alloc(context, elements, 2 * sizeof *rooms);
        if (rooms) {
            sonde__net_export(whole, weights, p, rooms);
            sonde__slice_copy(&slice, rooms, rooms + elements);
            sonde__net_import(part, sonde__net_weights(part, &(size_t){0}), p, rooms + elements);
        }
        status = rooms ? SONDE_OK : SONDE_ERROR_MEMORY;
        sonde__free(context, rooms);
        sonde__slice_free(context, &slice);
    }
    sonde__net_weights_changed(part);
    return status;
}

/* --- the graph ---------------------------------------------------------------------------------- */

static sonde_status check_kept(const sonde__channels *channels, const bool *kept)
{
    for (int i = 0; i < channels->graph->layer_count; i++) {
        const sonde__layer *l = &channels->graph->layers[i];
        const int *unit = sonde__channels_of(channels, i);
        int left = 0;
        for (int c = 0; c < l->shape.channels; c++) {
            left += kept[unit[c]];
            if (channels->frozen[unit[c]] && !kept[unit[c]])
                return sonde__fail_at(channels->context, SONDE_ERROR_SHAPE, NULL, l->name, -1,
                                      "channel %d of layer %s cannot be removed", c, l->name);
        }
        if (left == 0)
            return sonde__fail_at(channels->context, SONDE_ERROR_SHAPE, NULL, l->name, -1,
                                  "no channel of layer %s is kept", l->name);
    }
    return SONDE_OK;
}

static int count_kept(const int *unit, const bool *kept, int count)
{
    int left = 0;
    for (int c = 0; c < count; c++)
        left += kept[unit[c]];
    return left;
}

/* Of a depthwise convolution each input channel is a group. */
int sonde__prune_groups(const sonde__channels *channels, const bool *kept, int layer)
{
    const sonde__layer *l = &channels->graph->layers[layer];
    const int in = channels->graph->layers[l->inputs[0]].shape.channels;
    if (l->conv.groups == 1 || in > l->conv.groups)
        return l->conv.groups;
    return count_kept(sonde__channels_of(channels, l->inputs[0]), kept, in);
}

int sonde__prune_front(const sonde__channels *channels, const bool *kept, int layer)
{
    return count_kept(sonde__channels_of(channels, layer), kept,
                      channels->graph->layers[layer].front);
}

/* What differs by the channels that went; all else is the whole layer's. */
static void fill_layer(const sonde__channels *channels, const bool *kept, int layer,
                       sonde__layer *made)
{
    const sonde__layer *l = &channels->graph->layers[layer];
    const sonde__layer own = *made;
    *made = *l;
    made->name = own.name;
    made->inputs = own.inputs;
    made->shape = own.shape;
    made->first_parameter = own.first_parameter;
    made->parameter_count = 0;
    made->used = false;
    if (l->op == SONDE__OP_CONV || l->op == SONDE__OP_LINEAR)
        made->conv.out = own.shape.channels;
    if (l->op == SONDE__OP_CONV)
        made->conv.groups = sonde__prune_groups(channels, kept, layer);
    if (l->op == SONDE__OP_SHORTCUT_PAD)
        made->front = sonde__prune_front(channels, kept, layer);
}

static sonde_status copy_parameter(const sonde__channels *channels, const bool *kept, int parameter,
                                   sonde__graph *pruned)
{
    const sonde__parameter *p = &channels->graph->parameters[parameter];
    const int layer = channels->graph->parameter_layers[parameter];
    const size_t prefix = strlen(channels->graph->layers[layer].name);
    int64_t shape[4];
    sonde__slice slice;
    SONDE_TRY(sonde__slice_of(channels, kept, parameter, &slice));
    memcpy(shape, p->shape, sizeof shape);
    shape[0] = (int64_t)slice.row_count;
    if (slice.all_columns > 1)
        shape[1] = (int64_t)slice.column_count;
    sonde__slice_free(channels->context, &slice);
    sonde__graph_add_parameter(pruned, p->name[prefix] ? p->name + prefix + 1 : "", p->role,
                               p->dims, shape);
    return SONDE_OK;
}

static sonde_status copy_layer(const sonde__channels *channels, const bool *kept, int layer,
                               sonde__graph *pruned)
{
    const sonde__layer *l = &channels->graph->layers[layer];
    sonde__shape shape = l->shape;
    shape.channels = count_kept(sonde__channels_of(channels, layer), kept, shape.channels);
    sonde__layer *made = sonde__graph_add(pruned, l->op, l->name, l->inputs, l->input_count, shape);
    if (made)
        fill_layer(channels, kept, layer, made);
    for (int i = 0; made && i < l->parameter_count; i++)
        SONDE_TRY(copy_parameter(channels, kept, l->first_parameter + i, pruned));
    return SONDE_OK;
}

sonde_status sonde__prune_graph(const sonde__channels *channels, const bool *kept,
                                sonde__graph **pruned)
{
    const sonde__graph *graph = channels->graph;
    sonde__graph *made = NULL;
    SONDE_TRY(check_kept(channels, kept));
    SONDE_TRY(sonde__graph_create(channels->context, &made));
    sonde_status status = SONDE_OK;
    for (int i = 0; i < graph->layer_count && status == SONDE_OK; i++)
        status = copy_layer(channels, kept, i, made);
    if (status == SONDE_OK)
        status = sonde__graph_finish(made, graph->output);
    if (status != SONDE_OK) {
        sonde__graph_free(made);
        return status;
    }
    *pruned = made;
    return SONDE_OK;
}

/* --- copies ------------------------------------------------------------------------------------- */

static sonde_status copy_all(const sonde__channels *channels, const bool *all,
                             const sonde__net *net, const sonde__net_options *options,
                             sonde__net **copy)
{
    sonde__graph *graph = NULL;
    sonde__net *made = NULL;
    SONDE_TRY(sonde__prune_graph(channels, all, &graph));
    SONDE_TRY(sonde__net_create(channels->context, graph, options, &made));
    const sonde_status status = sonde__prune_parameters(channels, all, net, made);
    if (status != SONDE_OK) {
        sonde__net_free(made);
        return status;
    }
    *copy = made;
    return SONDE_OK;
}

sonde_status sonde__net_copy(sonde_context *context, const sonde__net *net,
                             const sonde__net_options *options, sonde__net **copy)
{
    sonde__channels channels;
    SONDE_TRY(sonde__channels_find(context, sonde__net_graph(net), &channels));
    bool *all = sonde__alloc(context, (size_t)channels.unit_count, sizeof *all);
    sonde_status status = all ? SONDE_OK : SONDE_ERROR_MEMORY;
    for (int u = 0; u < channels.unit_count && all; u++)
        all[u] = true;
    if (status == SONDE_OK)
        status = copy_all(&channels, all, net, options, copy);
    sonde__free(context, all);
    sonde__channels_free(&channels);
    return status;
}
