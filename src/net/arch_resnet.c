/*
 * Residual networks for small images: He, Zhang, Ren, Sun, "Deep residual learning", arXiv
 * 1512.03385, section 4.2 (depth 6n + 2, three stages of 16, 32, 64 channels), and the wide stages of
 * its ImageNet networks behind a 3x3 stem. Names of parameters are those of the usual PyTorch CIFAR
 * implementations; of S1, the 64 networks of DisWOT (CVPR 2023, arXiv 2303.15678, depths of the three
 * stages 1, 3, 5 or 7 each), those of its repository.
 *
 * A block is relu(shortcut(x) + bn2(conv2(relu(bn1(conv1(x)))))). Where it changes the shape, the
 * shortcut is option A (every second pixel, channels padded by zeros, no parameters) or option B
 * (1x1 convolution and batch norm).
 */
#include "net/arch_table.h"

#include <stdio.h>

enum { NAME_SIZE = 64 };

typedef struct block {
    const char *name; /* "layer1.0" */
    int out, stride;
    char shortcut;
    const char *projection; /* the name of option B's shortcut */
} block;

static sonde__node shortcut_of(sonde__graph *graph, sonde__node x, const block *b)
{
    if (b->stride == 1 && sonde__graph_shape(graph, x).channels == b->out)
        return x;
    if (b->shortcut == 'A')
        return sonde__graph_shortcut_pad(graph, x, b->out, b->stride);
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "%s.%s.0", b->name, b->projection);
    x = sonde__graph_conv_simple(graph, name, x, b->out, 1, b->stride, 0, false);
    snprintf(name, sizeof name, "%s.%s.1", b->name, b->projection);
    return sonde__graph_batch_norm(graph, name, x);
}

static sonde__node basic_block(sonde__graph *graph, sonde__node x, const block *b)
{
    char conv[NAME_SIZE], norm[NAME_SIZE];
    snprintf(conv, sizeof conv, "%s.conv1", b->name);
    snprintf(norm, sizeof norm, "%s.bn1", b->name);
    sonde__node y = sonde__arch_conv_norm(graph, conv, norm, x, b->out, b->stride, false);
    snprintf(conv, sizeof conv, "%s.conv2", b->name);
    snprintf(norm, sizeof norm, "%s.bn2", b->name);
    y = sonde__graph_conv_simple(graph, conv, y, b->out, 3, 1, 1, false);
    y = sonde__graph_batch_norm(graph, norm, y);
    y = sonde__graph_binary(graph, SONDE__OP_ADD, y, shortcut_of(graph, x, b));
    return sonde__graph_unary(graph, SONDE__OP_RELU, y);
}

typedef struct plan {
    int width, stages; /* channels of the stem */
    const int *blocks;
    char shortcut;
    const char *projection, *head; /* names */
} plan;

/* Stem, stages that double the width and, but for the first, halve the image; head. */
static sonde__node residual_network(sonde__graph *graph, sonde__node x, const plan *p,
                                    const sonde__arch_request *request)
{
    sonde__graph_set_init(graph, SONDE__INIT_HE);
    x = sonde__arch_conv_norm(graph, "conv1", "bn1", x, p->width, 1, false);
    for (int stage = 0; stage < p->stages; stage++) {
        for (int i = 0; i < p->blocks[stage]; i++) {
            char name[NAME_SIZE / 2];
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, i);
            block const b = {name, p->width << stage, stage > 0 && i == 0 ? 2 : 1, p->shortcut,
                             p->projection};
            x = basic_block(graph, x, &b);
        }
    }
    x = sonde__graph_unary(graph, SONDE__OP_GLOBAL_POOL, x);
    sonde__graph_set_init(graph, SONDE__INIT_PYTORCH);
    return sonde__arch_head(graph, p->head, x, request);
}

sonde__node sonde__arch_resnet_cifar(sonde__graph *graph, sonde__node x,
                                     const sonde__arch_request *request)
{
    int const n = (request->depth - 2) / 6;
    int const blocks[] = {n, n, n};
    plan const p = {16, 3, blocks, request->shortcut, "shortcut", "linear"};
    return residual_network(graph, x, &p, request);
}

sonde__node sonde__arch_resnet(sonde__graph *graph, sonde__node x,
                               const sonde__arch_request *request)
{
    static const int blocks18[] = {2, 2, 2, 2}, blocks34[] = {3, 4, 6, 3};
    const int *blocks = request->depth == 34 ? blocks34 : blocks18;
    plan const p = {64, 4, blocks, request->shortcut, "shortcut", "linear"};
    return residual_network(graph, x, &p, request);
}

sonde__node sonde__arch_s1(sonde__graph *graph, sonde__node x, const sonde__arch_request *request)
{
    plan const p = {16, 3, request->blocks, 'B', "downsample", "fc"};
    return residual_network(graph, x, &p, request);
}
