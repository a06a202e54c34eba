/*
 * The networks of NAS-Bench-201: Dong and Yang, arXiv 2001.00326. A 3x3 stem, three stages of five
 * equal cells with 16, 32 and 64 channels, between them a residual block that halves the image, then
 * batch norm, ReLU, pooling and a linear layer.
 *
 * A cell has four nodes. Node 0 is its input, each other node the sum of one operator of every
 * earlier node, node 3 its output. Convolutions are ReLU, convolution, batch norm.
 *
 * norm=plain is the network that SamsungLabs/zero-cost-nas scores: in cells the batch norm has
 * neither scale nor shift and the convolution a bias. norm=affine is the one that the benchmark
 * trained: batch norm with both, convolution without. Parameters are named as in zero-cost-nas,
 * where a cell holds all five operators of every edge: operator o of edge e is options.(5 e + o).
 *
 * An edge "none" counts as 0 times its source. It is left out of sums that have other terms, unless
 * nothing else reads the source: what the original computes is computed here.
 */
#include <stdio.h>

#include "net/arch_table.h"

/* A name, of a cell or block, of an operator of it, of a layer. */
enum { NODES = 4, CELL_NAME = 40, EDGE_NAME = 64, LAYER_NAME = 80 };

typedef struct named_cell {
    const sonde__arch_request *request;
    const char *name; /* "stack_cell1.0" */
} named_cell;

static int first_edge(int node)
{
    return node * (node - 1) / 2;
}

static sonde__node normalise(sonde__graph *graph, const char *name, sonde__node x, bool affine)
{
    return affine ? sonde__graph_batch_norm(graph, name, x)
                  : sonde__graph_batch_norm_plain(graph, name, x);
}

/* ReLU, convolution (PREFIX.op.1), batch norm (PREFIX.op.2). */
static sonde__node relu_conv_norm(sonde__graph *graph, const char *prefix, sonde__node x,
                                  const sonde__conv_options *conv)
{
    char name[LAYER_NAME];
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    snprintf(name, sizeof name, "%s.op.1", prefix);
    x = sonde__graph_conv(graph, name, x, *conv);
    snprintf(name, sizeof name, "%s.op.2", prefix);
    return normalise(graph, name, x, !conv->bias);
}

static sonde__conv_options square(int out, int kernel, int stride, bool bias)
{
    return (sonde__conv_options){.out = out,
                                 .kernel_height = kernel,
                                 .kernel_width = kernel,
                                 .stride = stride,
                                 .padding = kernel / 2,
                                 .dilation = 1,
                                 .groups = 1,
                                 .bias = bias};
}

/* Where zero-cost-nas keeps an operator among the five of its edge. */
static int place_of(sonde__nb201_operator kind)
{
    static const int places[] = {[SONDE__NB201_NONE] = 0,
                                 [SONDE__NB201_SKIP] = 4,
                                 [SONDE__NB201_CONV_1X1] = 3,
                                 [SONDE__NB201_CONV_3X3] = 2,
                                 [SONDE__NB201_AVG_POOL] = 1};
    return places[kind];
}

static sonde__node add_edge(sonde__graph *graph, const named_cell *c, int edge, sonde__node x)
{
    const sonde__nb201_operator kind = c->request->cell.operators[edge];
    const int channels = sonde__graph_shape(graph, x).channels;
    char prefix[EDGE_NAME];
    snprintf(prefix, sizeof prefix, "%s.options.%d", c->name, 5 * edge + place_of(kind));
    sonde__conv_options const conv =
        square(channels, kind == SONDE__NB201_CONV_3X3 ? 3 : 1, 1, !c->request->affine);
    switch (kind) {
    case SONDE__NB201_NONE:
        return sonde__graph_unary(graph, SONDE__OP_ZERO, x);
    case SONDE__NB201_SKIP:
        return x;
    case SONDE__NB201_AVG_POOL:
        return sonde__graph_pool(graph, SONDE__OP_AVG_POOL, x, 3, 1, 1);
    default:
        return relu_conv_norm(graph, prefix, x, &conv);
    }
}

/* True if no node reads this one but through "none". */
static bool is_ignored(const sonde__nb201_cell *cell, int node)
{
    for (int reader = node + 1; reader < NODES; reader++) {
        if (cell->operators[first_edge(reader) + node] != SONDE__NB201_NONE)
            return false;
    }
    return true;
}

/* An edge "none" gives a term where there would be none, or if the source would not be computed. */
static bool gives_term(const sonde__nb201_cell *cell, int node, int source)
{
    const sonde__nb201_operator *edges = cell->operators + first_edge(node);
    if (edges[source] != SONDE__NB201_NONE || (node == NODES - 1 && is_ignored(cell, source)))
        return true;
    for (int other = 0; other < node; other++) {
        if (edges[other] != SONDE__NB201_NONE)
            return false;
    }
    return source == 0;
}

static sonde__node add_cell(sonde__graph *graph, const named_cell *c, sonde__node x)
{
    sonde__node nodes[NODES] = {x};
    for (int node = 1; node < NODES; node++) {
        bool first = true;
        for (int source = 0; source < node; source++) {
            if (!gives_term(&c->request->cell, node, source))
                continue;
            sonde__node term = add_edge(graph, c, first_edge(node) + source, nodes[source]);
            nodes[node] =
                first ? term : sonde__graph_binary(graph, SONDE__OP_ADD, nodes[node], term);
            first = false;
        }
    }
    return nodes[NODES - 1];
}

/* conv_b(conv_a(x)) + 1x1 convolution of the averages of 2 x 2 pixels. */
static sonde__node add_reduction(sonde__graph *graph, int number, sonde__node x, int out)
{
    char name[CELL_NAME];
    sonde__conv_options const halving = square(out, 3, 2, false),
                              keeping = square(out, 3, 1, false);
    snprintf(name, sizeof name, "reduction%d.conv_a", number);
    sonde__node block = relu_conv_norm(graph, name, x, &halving);
    snprintf(name, sizeof name, "reduction%d.conv_b", number);
    block = relu_conv_norm(graph, name, block, &keeping);
    snprintf(name, sizeof name, "reduction%d.residual.1", number);
    x = sonde__graph_pool(graph, SONDE__OP_AVG_POOL, x, 2, 2, 0);
    x = sonde__graph_conv_simple(graph, name, x, out, 1, 1, 0, false);
    return sonde__graph_binary(graph, SONDE__OP_ADD, x, block);
}

sonde__node sonde__arch_nb201(sonde__graph *graph, sonde__node x,
                              const sonde__arch_request *request)
{
    int channels = request->channels;
    x = sonde__graph_conv_simple(graph, "stem.net.0", x, channels, 3, 1, 1, false);
    x = sonde__graph_batch_norm(graph, "stem.net.1", x);
    for (int stage = 1; stage <= 3; stage++) {
        if (stage > 1)
            x = add_reduction(graph, stage - 1, x, channels *= 2);
        for (int i = 0; i < request->cells; i++) {
            char name[CELL_NAME];
            snprintf(name, sizeof name, "stack_cell%d.%d", stage, i);
            x = add_cell(graph, &(named_cell){request, name}, x);
        }
    }
    x = sonde__graph_batch_norm(graph, "top.lastact.0", x);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    x = sonde__graph_unary(graph, SONDE__OP_GLOBAL_POOL, x);
    return sonde__arch_head(graph, "top.classifier", x, request);
}
