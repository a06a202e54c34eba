/*
 * Densely connected networks for small images: Huang, Liu, van der Maaten, Weinberger, arXiv
 * 1608.06993, section 3 (three blocks of (depth - 4) / 3 layers, or half as many with bottlenecks).
 * Names of parameters are those of the usual PyTorch CIFAR implementation.
 *
 * A layer is concat(x, conv(relu(bn(x)))), with a 1x1 convolution to 4 growth channels before it in
 * the form BC; a transition is a 1x1 convolution (BC: to half the channels) and an average pool of 2.
 */
#include "net/arch_table.h"

#include <stdio.h>

enum { NAME_SIZE = 48 };

/* conv(relu(bn(x))), of names PREFIX.bnN and PREFIX.convN. */
static sonde__node norm_conv(sonde__graph *graph, sonde__node x, const char *prefix, int which,
                             int out, int kernel)
{
    char norm[NAME_SIZE + 8], conv[NAME_SIZE + 8];
    snprintf(norm, sizeof norm, "%s.bn%d", prefix, which);
    snprintf(conv, sizeof conv, "%s.conv%d", prefix, which);
    x = sonde__graph_batch_norm(graph, norm, x);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    return sonde__graph_conv_simple(graph, conv, x, out, kernel, 1, kernel / 2, false);
}

static sonde__node dense_layer(sonde__graph *graph, sonde__node x, const char *prefix,
                               const sonde__arch_request *request)
{
    const int growth = request->growth;
    sonde__node y = x;
    if (request->bottleneck)
        y = norm_conv(graph, y, prefix, 1, 4 * growth, 1);
    y = norm_conv(graph, y, prefix, request->bottleneck ? 2 : 1, growth, 3);
    return sonde__graph_concat(graph, (const sonde__node[]){x, y}, 2);
}

sonde__node sonde__arch_densenet(sonde__graph *graph, sonde__node x,
                                 const sonde__arch_request *request)
{
    const int layers = (request->depth - 4) / 3 / (request->bottleneck ? 2 : 1);
    char prefix[NAME_SIZE];
    sonde__graph_set_init(graph, SONDE__INIT_HE);
    x = sonde__graph_conv_simple(graph, "conv1", x, request->bottleneck ? 2 * request->growth : 16,
                                 3, 1, 1, false);
    for (int block = 1; block <= 3; block++) {
        for (int i = 0; i < layers; i++) {
            snprintf(prefix, sizeof prefix, "block%d.layer.%d", block, i);
            x = dense_layer(graph, x, prefix, request);
        }
        if (block == 3)
            break;
        const int channels = sonde__graph_shape(graph, x).channels;
        snprintf(prefix, sizeof prefix, "trans%d", block);
        x = norm_conv(graph, x, prefix, 1, request->bottleneck ? channels / 2 : channels, 1);
        x = sonde__graph_pool(graph, SONDE__OP_AVG_POOL, x, 2, 2, 0);
    }
    x = sonde__graph_batch_norm(graph, "bn1", x);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    x = sonde__graph_unary(graph, SONDE__OP_GLOBAL_POOL, x);
    sonde__graph_set_init(graph, SONDE__INIT_PYTORCH);
    return sonde__arch_head(graph, "fc", x, request);
}
