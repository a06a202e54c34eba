/*
 * MobileNetV2: Sandler et al., arXiv 1801.04381, Table 2, in the usual form for small images (the stem
 * and the second stage keep the size; ReLU instead of ReLU6; a 1x1 convolution on the shortcut where
 * channels change). Names of parameters are those of the usual PyTorch CIFAR implementation.
 *
 * A block is x + bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))): to `expansion` times the channels,
 * a depthwise 3x3, and back; without the sum where it strides.
 */
#include "net/arch_table.h"

#include <stdio.h>

enum { NAME_SIZE = 48 };

typedef struct block {
    int number;
    int expansion, out, stride;
} block;

/* To the nearest multiple of 8, at least 8, and not below nine tenths. */
static int scaled(const sonde__arch_request *request, int channels)
{
    const double wanted = channels * request->factor;
    int rounded = (int)(wanted + 4) / 8 * 8;
    rounded = rounded < 8 ? 8 : rounded;
    return rounded < 0.9 * wanted ? rounded + 8 : rounded;
}

static sonde__node convolution(sonde__graph *graph, sonde__node x, const block *b, int which,
                               sonde__conv_options options)
{
    char conv[NAME_SIZE], norm[NAME_SIZE];
    snprintf(conv, sizeof conv, "layers.%d.conv%d", b->number, which);
    snprintf(norm, sizeof norm, "layers.%d.bn%d", b->number, which);
    x = sonde__graph_conv(graph, conv, x, options);
    return sonde__graph_batch_norm(graph, norm, x);
}

static sonde__conv_options pointwise(int out)
{
    return (sonde__conv_options){
        .out = out, .kernel_height = 1, .kernel_width = 1, .stride = 1, .dilation = 1, .groups = 1};
}

static sonde__node shortcut(sonde__graph *graph, sonde__node x, const block *b)
{
    char conv[NAME_SIZE], norm[NAME_SIZE];
    if (sonde__graph_shape(graph, x).channels == b->out)
        return x;
    snprintf(conv, sizeof conv, "layers.%d.shortcut.0", b->number);
    snprintf(norm, sizeof norm, "layers.%d.shortcut.1", b->number);
    x = sonde__graph_conv(graph, conv, x, pointwise(b->out));
    return sonde__graph_batch_norm(graph, norm, x);
}

static sonde__node inverted_residual(sonde__graph *graph, sonde__node x, const block *b)
{
    const int inner = b->expansion * sonde__graph_shape(graph, x).channels;
    const sonde__conv_options depthwise = {.out = inner,
                                           .kernel_height = 3,
                                           .kernel_width = 3,
                                           .stride = b->stride,
                                           .padding = 1,
                                           .dilation = 1,
                                           .groups = inner};
    sonde__node y = convolution(graph, x, b, 1, pointwise(inner));
    y = sonde__graph_unary(graph, SONDE__OP_RELU, y);
    y = convolution(graph, y, b, 2, depthwise);
    y = sonde__graph_unary(graph, SONDE__OP_RELU, y);
    y = convolution(graph, y, b, 3, pointwise(b->out));
    if (b->stride > 1)
        return y;
    return sonde__graph_binary(graph, SONDE__OP_ADD, y, shortcut(graph, x, b));
}

sonde__node sonde__arch_mobilenet(sonde__graph *graph, sonde__node x,
                                  const sonde__arch_request *request)
{
    static const struct {
        int expansion, out, blocks, stride;
    } stages[] = {{1, 16, 1, 1}, {6, 24, 2, 1},  {6, 32, 3, 2}, {6, 64, 4, 2},
                  {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    int number = 0;
    sonde__graph_set_init(graph, SONDE__INIT_HE);
    x = sonde__arch_conv_norm(graph, "conv1", "bn1", x, scaled(request, 32), 1, false);
    for (size_t s = 0; s < sizeof stages / sizeof *stages; s++)
        for (int i = 0; i < stages[s].blocks; i++) {
            const block b = {number++, stages[s].expansion, scaled(request, stages[s].out),
                             i == 0 ? stages[s].stride : 1};
            x = inverted_residual(graph, x, &b);
        }
    const int last = request->factor > 1 ? scaled(request, 1280) : 1280;
    x = sonde__graph_conv(graph, "conv2", x, pointwise(last));
    x = sonde__graph_batch_norm(graph, "bn2", x);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    x = sonde__graph_unary(graph, SONDE__OP_GLOBAL_POOL, x);
    sonde__graph_set_init(graph, SONDE__INIT_PYTORCH);
    return sonde__arch_head(graph, "linear", x, request);
}
