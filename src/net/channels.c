/*
 * Units of channels: union-find over all channels of all layers, one rule an operator (channels.h).
 *
 * Source of the idea: dependency graphs, Fang et al., "DepGraph: Towards Any Structural Pruning",
 * arXiv 2301.12900; there by layers with index maps, here by single channels, which makes shifted
 * channels (concatenation, padded shortcuts) no special case.
 */
#include "net/channels.h"

#include <limits.h>
#include <string.h>

#include "net/graph_internal.h"

/* --- union-find --------------------------------------------------------------------------------- */

/* `parent` of a channel; a root is its own. The root of a set is its lowest channel. */
typedef struct ties {
    const sonde__graph *graph;
    const size_t *first;
    int *parent;
    bool *frozen; /* by channel, during the walk */
} ties;

static int root_of(const ties *t, int channel)
{
    while (t->parent[channel] != channel) {
        t->parent[channel] = t->parent[t->parent[channel]];
        channel = t->parent[channel];
    }
    return channel;
}

/* Channel `a` of layer `x` goes with channel `b` of layer `y`. */
static void tie(const ties *t, int x, int a, int y, int b)
{
    const int one = root_of(t, (int)t->first[x] + a), two = root_of(t, (int)t->first[y] + b);
    if (one < two)
        t->parent[two] = one;
    else
        t->parent[one] = two;
}

static void tie_all(const ties *t, int x, int y)
{
    for (int c = 0; c < t->graph->layers[x].shape.channels; c++)
        tie(t, x, c, y, c);
}

static void freeze(const ties *t, int layer)
{
    for (int c = 0; c < t->graph->layers[layer].shape.channels; c++)
        t->frozen[t->first[layer] + (size_t)c] = true;
}

/* --- operators ---------------------------------------------------------------------------------- */

/* Of a depthwise convolution whole groups may go; else every group loses the same places. */
static void tie_convolution(const ties *t, int layer)
{
    const sonde__layer *l = &t->graph->layers[layer];
    const int x = l->inputs[0], groups = l->conv.groups;
    const int in = t->graph->layers[x].shape.channels / groups, out = l->conv.out / groups;
    if (groups == 1)
        return;
    for (int g = 0; g < groups; g++) {
        for (int c = 0; c < out; c++) {
            if (in == 1)
                tie(t, layer, g * out + c, x, g);
            else
                tie(t, layer, g * out + c, layer, c);
        }
        for (int c = 0; c < in && in > 1; c++)
            tie(t, x, g * in + c, x, c);
    }
}

static void tie_concat(const ties *t, int layer)
{
    const sonde__layer *l = &t->graph->layers[layer];
    int begin = 0;
    for (int i = 0; i < l->input_count; i++) {
        const int channels = t->graph->layers[l->inputs[i]].shape.channels;
        for (int c = 0; c < channels; c++)
            tie(t, layer, begin + c, l->inputs[i], c);
        begin += channels;
    }
}

/* Values keep their order: a channel becomes several, or several become one, where the pixels of one
 * are a multiple of the other's. */
static void tie_reshape(const ties *t, int layer)
{
    const sonde__layer *l = &t->graph->layers[layer];
    const int x = l->inputs[0], count = l->shape.channels;
    const sonde__shape from = t->graph->layers[x].shape;
    const int before = from.height * from.width, after = l->shape.height * l->shape.width;
    if (before % after == 0) {
        for (int c = 0; c < count; c++)
            tie(t, layer, c, x, (int)((int64_t)c * after / before));
    } else if (after % before == 0) {
        for (int c = 0; c < from.channels; c++)
            tie(t, layer, (int)((int64_t)c * before / after), x, c);
    } else {
        freeze(t, x);
        freeze(t, layer);
    }
}

static void tie_layer(const ties *t, int layer)
{
    const sonde__layer *l = &t->graph->layers[layer];
    switch (l->op) {
    case SONDE__OP_LINEAR:
        break;
    case SONDE__OP_CONV:
        tie_convolution(t, layer);
        break;
    case SONDE__OP_ADD:
    case SONDE__OP_MUL:
        tie_all(t, layer, l->inputs[1]);
        tie_all(t, layer, l->inputs[0]);
        break;
    case SONDE__OP_BATCH_NORM:
    case SONDE__OP_RELU:
    case SONDE__OP_GELU:
    case SONDE__OP_SILU:
    case SONDE__OP_SIGMOID:
    case SONDE__OP_TANH:
    case SONDE__OP_ZERO:
    case SONDE__OP_MAX_POOL:
    case SONDE__OP_AVG_POOL:
    case SONDE__OP_GLOBAL_POOL:
    case SONDE__OP_DROPOUT:
    case SONDE__OP_UPSAMPLE:
        tie_all(t, layer, l->inputs[0]);
        break;
    case SONDE__OP_CONCAT:
        tie_concat(t, layer);
        break;
    case SONDE__OP_RESHAPE:
        tie_reshape(t, layer);
        break;
    case SONDE__OP_SHORTCUT_PAD:
        for (int c = 0; c < t->graph->layers[l->inputs[0]].shape.channels; c++)
            tie(t, layer, l->front + c, l->inputs[0], c);
        break;
    default: /* INPUT, and what mixes channels */
        freeze(t, layer);
        for (int i = 0; i < l->input_count; i++)
            freeze(t, l->inputs[i]);
    }
}

/* --- units and groups --------------------------------------------------------------------------- */

/* Numbers the sets in the order of their first channels. */
static void number_units(const ties *t, size_t slots, sonde__channels *channels)
{
    channels->unit_count = 0;
    for (size_t i = 0; i < slots; i++) {
        const int root = root_of(t, (int)i);
        if (root == (int)i)
            channels->unit[i] = channels->unit_count++;
        else
            channels->unit[i] = channels->unit[root];
    }
}

/* Room of split_groups, by unit and by group. */
typedef struct split {
    int *last;   /* by unit: the last layer that it was counted in */
    int *size;   /* by group: units */
    int *inside; /* by group: units that are in the layer at hand */
    int *next;   /* by group: the group of those, where it is split */
} split;

/* Splits each group into the units that are in the layer and those that are not. */
static void split_by_layer(sonde__channels *channels, int layer, const split *room)
{
    const int *unit = sonde__channels_of(channels, layer);
    const int count = channels->graph->layers[layer].shape.channels;
    for (int c = 0; c < count; c++) {
        if (room->last[unit[c]] != 2 * layer) {
            room->last[unit[c]] = 2 * layer;
            room->inside[channels->group[unit[c]]]++;
        }
    }
    for (int c = 0; c < count; c++) {
        const int g = channels->group[unit[c]];
        if (room->last[unit[c]] != 2 * layer)
            continue;
        room->last[unit[c]] = 2 * layer + 1;
        if (room->inside[g] < room->size[g] && room->next[g] < 0)
            room->next[g] = channels->group_count++;
        if (room->next[g] >= 0)
            channels->group[unit[c]] = room->next[g];
    }
    const int before = channels->group_count;
    for (int g = 0; g < before; g++) {
        if (room->next[g] >= 0) {
            room->size[room->next[g]] = room->inside[g];
            room->size[g] -= room->inside[g];
        }
        room->next[g] = -1;
        room->inside[g] = 0;
    }
}

/* In the order of the first channels of their units. */
static void number_groups(sonde__channels *channels, int *number)
{
    int count = 0;
    for (int g = 0; g < channels->group_count; g++)
        number[g] = -1;
    for (int u = 0; u < channels->unit_count; u++) {
        if (number[channels->group[u]] < 0)
            number[channels->group[u]] = count++;
        channels->group[u] = number[channels->group[u]];
    }
    channels->group_count = count;
}

static sonde_status find_groups(sonde__channels *channels)
{
    sonde_context *context = channels->context;
    const size_t units = (size_t)channels->unit_count;
    int *rooms = sonde__alloc_zero(context, units, 4 * sizeof *rooms);
    if (!rooms)
        return SONDE_ERROR_MEMORY;
    const split room = {rooms, rooms + units, rooms + 2 * units, rooms + 3 * units};
    for (size_t i = 0; i < units; i++)
        room.last[i] = room.next[i] = -1;
    channels->group_count = 1;
    room.size[0] = channels->unit_count;
    for (int i = 0; i < channels->graph->layer_count; i++)
        split_by_layer(channels, i, &room);
    number_groups(channels, room.next);
    sonde__free(context, rooms);
    return SONDE_OK;
}

/* --- the whole ---------------------------------------------------------------------------------- */

static sonde_status reserve(sonde__channels *channels, size_t *slots)
{
    sonde_context *context = channels->context;
    const int layers = channels->graph->layer_count;
    channels->first = sonde__alloc(context, (size_t)layers + 1, sizeof *channels->first);
    if (!channels->first)
        return SONDE_ERROR_MEMORY;
    *slots = 0;
    for (int i = 0; i < layers; i++) {
        channels->first[i] = *slots;
        *slots += (size_t)channels->graph->layers[i].shape.channels;
    }
    channels->first[layers] = *slots;
    if (*slots > INT_MAX / 4)
        return sonde__fail(context, SONDE_ERROR_OVERFLOW,
                           "the network has %zu channels, more than can be told apart", *slots);
    channels->unit = sonde__alloc(context, *slots, sizeof *channels->unit);
    return channels->unit ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static void tie_graph(const ties *t, size_t slots)
{
    for (size_t i = 0; i < slots; i++)
        t->parent[i] = (int)i;
    for (int i = 0; i < t->graph->layer_count; i++)
        tie_layer(t, i);
    freeze(t, t->graph->output);
    if (t->graph->head >= 0)
        freeze(t, t->graph->head);
}

static sonde_status find(sonde__channels *channels)
{
    sonde_context *context = channels->context;
    size_t slots;
    SONDE_TRY(reserve(channels, &slots));
    ties t = {.graph = channels->graph, .first = channels->first};
    t.parent = sonde__alloc(context, slots, sizeof *t.parent);
    t.frozen = sonde__alloc_zero(context, slots, sizeof *t.frozen);
    if (t.parent && t.frozen) {
        tie_graph(&t, slots);
        number_units(&t, slots, channels);
        const size_t units = (size_t)channels->unit_count;
        channels->frozen = sonde__alloc_zero(context, units, sizeof *channels->frozen);
        channels->group = sonde__alloc_zero(context, units, sizeof *channels->group);
    }
    for (size_t i = 0; channels->frozen && i < slots; i++)
        channels->frozen[channels->unit[i]] |= t.frozen[i];
    sonde__free(context, t.parent);
    sonde__free(context, t.frozen);
    if (!channels->frozen || !channels->group)
        return SONDE_ERROR_MEMORY;
    return find_groups(channels);
}

sonde_status sonde__channels_find(sonde_context *context, const sonde__graph *graph,
                                  sonde__channels *channels)
{
    *channels = (sonde__channels){.context = context, .graph = graph};
    const sonde_status status = find(channels);
    if (status != SONDE_OK)
        sonde__channels_free(channels);
    return status;
}

void sonde__channels_free(sonde__channels *channels)
{
    sonde__free(channels->context, channels->first);
    sonde__free(channels->context, channels->unit);
    sonde__free(channels->context, channels->frozen);
    sonde__free(channels->context, channels->group);
    *channels = (sonde__channels){0};
}

const int *sonde__channels_of(const sonde__channels *channels, int layer)
{
    return channels->unit + channels->first[layer];
}

int sonde__channels_kept(const sonde__channels *channels, const bool *kept, int layer, int *list)
{
    const int *unit = sonde__channels_of(channels, layer);
    const int count = channels->graph->layers[layer].shape.channels;
    int found = 0;
    for (int c = 0; c < count; c++)
        if (kept[unit[c]])
            list[found++] = c;
    return found;
}
