/*
 * Random small graphs by number: fan-out, residual additions, values added to or multiplied by
 * themselves, gates, nested concatenations, layers that nothing reads, odd sizes, every operator but the
 * embedding, whose input must be ids.
 * The same number gives the same graph everywhere.
 */
#ifndef SONDE_TESTS_RANDOM_GRAPH_H
#define SONDE_TESTS_RANDOM_GRAPH_H

#include "check.h"

#include "base/random.h"
#include "net/graph_internal.h"

enum { RANDOM_GRAPH_NODES = 64 };

/* Multiply-adds of an example: larger graphs would only make a reference slow. */
static const double RANDOM_GRAPH_WORK = 3e4;

typedef struct graph_maker {
    sonde__graph *graph;
    sonde__stream stream;
    sonde__node nodes[RANDOM_GRAPH_NODES];
    bool read[RANDOM_GRAPH_NODES];
    int count;
} graph_maker;

static inline int below(graph_maker *m, int n)
{
    return (int)sonde__random_below(&m->stream, (uint64_t)n);
}

static inline bool chance(graph_maker *m, double p)
{
    return sonde__random_uniform(&m->stream) < p;
}

static inline int one_of(graph_maker *m, const int *list, int count)
{
    return list[below(m, count)];
}

static inline sonde__shape shape_of(const graph_maker *m, sonde__node node)
{
    return sonde__graph_shape(m->graph, node);
}

static inline sonde__node keep(graph_maker *m, sonde__node node)
{
    if (node >= 0 && m->count < RANDOM_GRAPH_NODES &&
        (m->count == 0 || m->nodes[m->count - 1] != node))
        m->nodes[m->count++] = node;
    return node;
}

/* Recent values more often than old ones, so that graphs grow deep and still branch. */
static inline sonde__node pick(graph_maker *m)
{
    int at = chance(m, 0.65) ? m->count - 1 : below(m, m->count);
    m->read[at] = true;
    return m->nodes[at];
}

static inline int out_channels(graph_maker *m)
{
    static const int common[] = {1, 2, 3, 4, 5, 8, 12, 15, 16, 17, 20, 24, 32, 33};
    return one_of(m, common, 14);
}

static inline int least(int a, int b)
{
    return a < b ? a : b;
}

static inline sonde__node add_conv(graph_maker *m, sonde__node x)
{
    sonde__shape in = shape_of(m, x);
    sonde__conv_options o = {.out = out_channels(m),
                             .stride = 1 + (int)chance(m, 0.3),
                             .padding = below(m, 3),
                             .dilation = 1 + (int)chance(m, 0.15),
                             .groups = 1,
                             .bias = chance(m, 0.5)};
    o.kernel_height = o.kernel_width = chance(m, 0.6) ? 3 : 1 + below(m, 3);
    if (chance(m, 0.5)) {
        o.padding = o.kernel_height / 2;
        o.stride = o.dilation = 1;
    }
    if (chance(m, 0.15))
        o.kernel_width = 1 + below(m, 3);
    if (chance(m, 0.2)) {
        static const int shares[] = {2, 3, 4, 16};
        int groups = chance(m, 0.5) ? in.channels : one_of(m, shares, 4);
        if (in.channels % groups == 0) {
            o.groups = groups;
            o.out = groups * (1 + below(m, 2));
        }
    }
    if (o.dilation * (o.kernel_height - 1) >= in.height + 2 * o.padding ||
        o.dilation * (o.kernel_width - 1) >= in.width + 2 * o.padding)
        return -1;
    return sonde__graph_conv(m->graph, NULL, x, o);
}

static inline sonde__node add_pool(graph_maker *m, sonde__op op, sonde__node x)
{
    sonde__shape in = shape_of(m, x);
    bool usual = chance(m, 0.6);
    int kernel = usual ? 2 : 1 + below(m, 3), stride = usual ? 2 : 1 + below(m, 3);
    int padding = usual ? 0 : below(m, kernel / 2 + 1);
    if (kernel > least(in.height, in.width) + 2 * padding)
        return -1;
    return sonde__graph_pool(m->graph, op, x, kernel, stride, padding);
}

static inline sonde__node add_unary(graph_maker *m, sonde__node x)
{
    static const int ops[] = {SONDE__OP_RELU, SONDE__OP_RELU,    SONDE__OP_RELU,    SONDE__OP_GELU,
                              SONDE__OP_SILU, SONDE__OP_SIGMOID, SONDE__OP_SOFTMAX, SONDE__OP_TANH};
    return sonde__graph_unary(m->graph, (sonde__op)one_of(m, ops, 8), x);
}

/* [ReLU and] a 2 x 2 pool behind batch norm, both of which may have other readers. */
static inline sonde__node add_norm(graph_maker *m, sonde__node x)
{
    x = keep(m, sonde__graph_batch_norm(m->graph, NULL, x));
    m->read[m->count - 1] = true;
    if (chance(m, 0.5))
        x = keep(m, sonde__graph_unary(m->graph, SONDE__OP_RELU, x));
    sonde__shape shape = shape_of(m, x);
    if (chance(m, 0.4) && shape.height > 1 && shape.width > 1)
        x = sonde__graph_pool(m->graph, SONDE__OP_MAX_POOL, x, 2, 2, 0);
    return x;
}

static inline bool fits(const graph_maker *m, sonde__op op, sonde__node a, sonde__node b)
{
    sonde__shape x = shape_of(m, a), y = shape_of(m, b);
    if (x.channels != y.channels)
        return false;
    return (x.height == y.height && x.width == y.width) ||
           (op == SONDE__OP_MUL && y.height == 1 && y.width == 1);
}

static inline sonde__node add_binary(graph_maker *m, sonde__node x)
{
    sonde__op op = chance(m, 0.6) ? SONDE__OP_ADD : SONDE__OP_MUL;
    sonde__node other = x;
    for (int attempt = 0; attempt < 8 && other == x; attempt++) {
        sonde__node candidate = pick(m);
        if (fits(m, op, x, candidate))
            other = candidate;
    }
    x = sonde__graph_binary(m->graph, op, x, other);
    return op == SONDE__OP_ADD && chance(m, 0.5) ? sonde__graph_unary(m->graph, SONDE__OP_RELU, x)
                                                 : x;
}

/* relu(norm(conv(x)) + x), with dropout in the branch at times. */
static inline sonde__node add_residual(graph_maker *m, sonde__node x)
{
    sonde__shape shape = shape_of(m, x);
    sonde__node y = sonde__graph_conv_simple(m->graph, NULL, x, shape.channels, 3, 1, 1, false);
    if (chance(m, 0.3))
        y = sonde__graph_dropout(m->graph, y, 0.3);
    if (chance(m, 0.8))
        y = sonde__graph_batch_norm(m->graph, NULL, y);
    if (chance(m, 0.2))
        y = sonde__graph_dropout(m->graph, y, 0.5);
    bool first = chance(m, 0.5);
    y = sonde__graph_binary(m->graph, SONDE__OP_ADD, first ? y : x, first ? x : y);
    return chance(m, 0.6) ? sonde__graph_unary(m->graph, SONDE__OP_RELU, y) : y;
}

static inline sonde__node add_gate(graph_maker *m, sonde__node x)
{
    sonde__node gate = sonde__graph_unary(m->graph, SONDE__OP_GLOBAL_POOL, x);
    gate = sonde__graph_linear(m->graph, NULL, gate, shape_of(m, x).channels, true);
    gate = sonde__graph_unary(m->graph, SONDE__OP_SIGMOID, gate);
    return sonde__graph_binary(m->graph, SONDE__OP_MUL, x, gate);
}

static inline sonde__node add_concat(graph_maker *m, sonde__node x)
{
    sonde__node parts[4] = {x};
    int count = 1, wanted = 1 + below(m, 4);
    sonde__shape shape = shape_of(m, x);
    for (int attempt = 0; attempt < 12 && count < wanted; attempt++) {
        sonde__node other = pick(m);
        sonde__shape each = shape_of(m, other);
        if (each.height == shape.height && each.width == shape.width)
            parts[count++] = other;
    }
    return sonde__graph_concat(m->graph, parts, count);
}

static inline sonde__node add_reshape(graph_maker *m, sonde__node x)
{
    sonde__shape s = shape_of(m, x);
    const sonde__shape turned[] = {{s.height, s.channels, s.width},
                                   {s.width * s.height, 1, s.channels},
                                   {s.channels * s.height * s.width, 1, 1},
                                   {1, s.channels, s.height * s.width},
                                   {s.channels, s.width, s.height}};
    return sonde__graph_reshape(m->graph, x, turned[below(m, 5)]);
}

/* A layer of a transformer, or a part of one, on whatever the pixels are. */
static inline sonde__node add_tokens(graph_maker *m, sonde__node x)
{
    int heads = 1 + below(m, 3), width = heads * (1 + below(m, 7));
    switch (below(m, 6)) {
    case 0:
        return sonde__graph_token_linear(m->graph, NULL, x, out_channels(m), chance(m, 0.5));
    case 1:
        return sonde__graph_token_norm(m->graph, NULL, x);
    case 2: {
        char name[32];
        snprintf(name, sizeof name, "positions%d", m->count);
        return sonde__graph_positions(m->graph, name, x, 2 + below(m, 2));
    }
    case 3:
        return sonde__graph_transpose(m->graph, x);
    default:
        if (chance(m, 0.5))
            x = sonde__graph_token_norm(m->graph, NULL, x);
        x = sonde__graph_token_linear(m->graph, NULL, x, 3 * width, chance(m, 0.5));
        x = keep(m, sonde__graph_attention(m->graph, x, heads, chance(m, 0.5)));
        return sonde__graph_token_linear(m->graph, NULL, x, out_channels(m), true);
    }
}

static inline sonde__node add_group_norm(graph_maker *m, sonde__node x)
{
    int channels = shape_of(m, x).channels, groups = 1 + below(m, channels);
    while (channels % groups != 0)
        groups--;
    return sonde__graph_group_norm(m->graph, NULL, x, groups);
}

static inline sonde__node add_shortcut(graph_maker *m, sonde__node x)
{
    return sonde__graph_shortcut_pad(m->graph, x, shape_of(m, x).channels + below(m, 6),
                                     1 + below(m, 3));
}

static inline sonde__node add_random(graph_maker *m)
{
    sonde__node x = pick(m);
    switch (below(m, 26)) {
    case 0:
    case 1:
    case 2:
    case 3:
        return add_conv(m, x);
    case 4:
        return sonde__graph_linear(m->graph, NULL, x, 1 + below(m, 20), chance(m, 0.5));
    case 5:
    case 6:
    case 7:
        return add_norm(m, x);
    case 8:
        return sonde__graph_layer_norm(m->graph, NULL, x);
    case 9:
    case 10:
        return add_unary(m, x);
    case 11:
        return add_pool(m, SONDE__OP_MAX_POOL, x);
    case 12:
        return add_pool(m, SONDE__OP_AVG_POOL, x);
    case 13:
        return sonde__graph_unary(m->graph, SONDE__OP_GLOBAL_POOL, x);
    case 14:
        return add_binary(m, x);
    case 15:
        return add_residual(m, x);
    case 16:
        return add_gate(m, x);
    case 17:
        return add_concat(m, x);
    case 18:
        return chance(m, 0.5) ? add_reshape(m, x) : add_shortcut(m, x);
    case 19:
    case 20:
    case 21:
    case 22:
        return add_tokens(m, x);
    case 23:
        return add_group_norm(m, x);
    case 24:
        return sonde__graph_upsample(m->graph, x, 1 + below(m, 3));
    default:
        return sonde__graph_dropout(m->graph, x, chance(m, 0.2) ? 0 : 0.4);
    }
}

/* The values that nothing reads, side by side as features; else some would have no effect. */
static inline sonde__node join_ends(graph_maker *m)
{
    sonde__node ends[RANDOM_GRAPH_NODES];
    int count = 0;
    for (int i = 0; i < m->count; i++) {
        if (m->read[i] && i + 1 < m->count)
            continue;
        sonde__shape s = shape_of(m, m->nodes[i]);
        ends[count++] = sonde__graph_reshape(m->graph, m->nodes[i],
                                             (sonde__shape){s.channels * s.height * s.width, 1, 1});
    }
    return sonde__graph_concat(m->graph, ends, count);
}

static inline sonde__graph *attempt_graph(sonde_context *context, uint64_t number, uint64_t attempt)
{
    static const int sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12};
    graph_maker m = {.stream = sonde__stream_open(number, SONDE__RANDOM_TEST, attempt)};
    check_ok(context, sonde__graph_create(context, &m.graph));
    sonde__shape shape = {out_channels(&m), one_of(&m, sizes, 10), one_of(&m, sizes, 10)};
    if (chance(&m, 0.3))
        shape.height = shape.width;
    if (chance(&m, 0.1))
        shape.height = shape.width = 1;
    keep(&m, sonde__graph_input(m.graph, shape));
    if (chance(&m, 0.2))
        sonde__graph_set_init(m.graph, SONDE__INIT_HE);
    for (int left = 2 + below(&m, 9); left > 0; left--)
        keep(&m, add_random(&m));
    sonde__node output = m.nodes[m.count - 1];
    if (chance(&m, 0.6))
        output = join_ends(&m);
    if (chance(&m, 0.7))
        output = sonde__graph_linear(m.graph, "head", output, 1 + below(&m, 10), true);
    check_ok(context, sonde__graph_finish(m.graph, output));
    return m.graph;
}

static inline sonde__graph *random_graph(sonde_context *context, uint64_t number)
{
    for (uint64_t attempt = 0;; attempt++) {
        sonde__graph *graph = attempt_graph(context, number, attempt);
        double features = 0;
        for (int i = 0; i < graph->layer_count; i++)
            features += (double)sonde__features(graph->layers[i].shape);
        if (sonde__graph_flops(graph) + features <= RANDOM_GRAPH_WORK)
            return graph;
        sonde__graph_free(graph);
    }
}

static inline void print_graph(const sonde__graph *graph)
{
    for (int i = 0; i < graph->layer_count; i++) {
        const sonde__layer *l = &graph->layers[i];
        printf("  %d%s: %s of", i, l->used ? "" : " (unused)", l->name);
        for (int k = 0; k < l->input_count; k++)
            printf(" %d", l->inputs[k]);
        printf(" -> %d x %d x %d", l->shape.channels, l->shape.height, l->shape.width);
        if (l->op == SONDE__OP_CONV)
            printf(" kernel %dx%d stride %d padding %d dilation %d groups %d bias %d",
                   l->conv.kernel_height, l->conv.kernel_width, l->conv.stride, l->conv.padding,
                   l->conv.dilation, l->conv.groups, (int)l->conv.bias);
        if (l->kernel)
            printf(" kernel %d stride %d padding %d", l->kernel, l->stride, l->padding);
        printf("\n");
    }
    printf("  output %d\n", graph->output);
}

#endif
