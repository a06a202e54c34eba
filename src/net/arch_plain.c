/*
 * Architectures without branches: multilayer perceptrons, LeNet, MiniAlexNet, a good small
 * convolutional network, VGG.
 *
 * Sources: nn1, nn2, LeNet and MiniAlexNet follow the spectral-criterion experiments (arXiv
 * 2111.13331 and its slides: map sizes 6@12x12, 16@4x4, 256-2450-500-K; 96@12x12, 256@4x4,
 * 4096-384-192-K, all from 28x28). VGG: Simonyan and Zisserman, arXiv 1409.1556, in the CIFAR form
 * with batch norm and one linear layer. Names of parameters are those of the usual PyTorch versions.
 */
#include "net/arch_table.h"

#include <stdio.h>

sonde__node sonde__arch_hidden(sonde__graph *graph, const char *name, sonde__node x, int out,
                               const sonde__arch_request *request)
{
    x = sonde__graph_linear(graph, name, x, out, true);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    return request->dropout > 0 ? sonde__graph_dropout(graph, x, request->dropout) : x;
}

sonde__node sonde__arch_head(sonde__graph *graph, const char *name, sonde__node x,
                             const sonde__arch_request *request)
{
    if (request->dropout > 0)
        x = sonde__graph_dropout(graph, x, request->dropout);
    return sonde__graph_linear(graph, name, x, request->classes, true);
}

sonde__node sonde__arch_conv_norm(sonde__graph *graph, const char *conv, const char *norm,
                                  sonde__node x, int out, int stride, bool bias)
{
    x = sonde__graph_conv_simple(graph, conv, x, out, 3, stride, 1, bias);
    x = sonde__graph_batch_norm(graph, norm, x);
    return sonde__graph_unary(graph, SONDE__OP_RELU, x);
}

/* fc1, fc2, ... of the widths asked for, then the head. Dropout behind every hidden layer. */
sonde__node sonde__arch_mlp(sonde__graph *graph, sonde__node x, const sonde__arch_request *request)
{
    char name[24];
    for (int i = 0; i < request->width_count; i++) {
        snprintf(name, sizeof name, "fc%d", i + 1);
        x = sonde__arch_hidden(graph, name, x, request->widths[i], request);
    }
    snprintf(name, sizeof name, "fc%d", request->width_count + 1);
    return sonde__graph_linear(graph, name, x, request->classes, true);
}

sonde__node sonde__arch_lenet(sonde__graph *graph, sonde__node x,
                              const sonde__arch_request *request)
{
    x = sonde__graph_conv_simple(graph, "conv1", x, 6, 5, 1, 0, true);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    x = sonde__graph_pool(graph, SONDE__OP_MAX_POOL, x, 2, 2, 0);
    x = sonde__graph_conv_simple(graph, "conv2", x, 16, 5, 1, 0, true);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    x = sonde__graph_pool(graph, SONDE__OP_MAX_POOL, x, 2, 2, 0);
    x = sonde__arch_hidden(graph, "fc1", x, 2450, request);
    x = sonde__arch_hidden(graph, "fc2", x, 500, request);
    return sonde__graph_linear(graph, "fc3", x, request->classes, true);
}

sonde__node sonde__arch_mini_alexnet(sonde__graph *graph, sonde__node x,
                                     const sonde__arch_request *request)
{
    x = sonde__graph_conv_simple(graph, "conv1", x, 96, 5, 1, 0, true);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    x = sonde__graph_pool(graph, SONDE__OP_MAX_POOL, x, 3, 2, 1);
    x = sonde__graph_conv_simple(graph, "conv2", x, 256, 5, 1, 0, true);
    x = sonde__graph_unary(graph, SONDE__OP_RELU, x);
    x = sonde__graph_pool(graph, SONDE__OP_MAX_POOL, x, 3, 2, 1);
    x = sonde__arch_hidden(graph, "fc1", x, 384, request);
    x = sonde__arch_hidden(graph, "fc2", x, 192, request);
    return sonde__graph_linear(graph, "fc3", x, request->classes, true);
}

/*
 * Ours: 5.7 M multiply-adds for 28x28x1; 92.5 % on Fashion-MNIST after four epochs of annealed SGD. The
 * first, largest maps are few, as their normalisation costs more than their convolution. fc1 is far
 * from square (128 x 1152 for 28x28), so that its spectrum can be judged.
 */
sonde__node sonde__arch_cnn(sonde__graph *graph, sonde__node x, const sonde__arch_request *request)
{
    sonde__graph_set_init(graph, SONDE__INIT_HE);
    x = sonde__arch_conv_norm(graph, "conv1", "bn1", x, 16, 1, false);
    x = sonde__graph_pool(graph, SONDE__OP_MAX_POOL, x, 2, 2, 0);
    x = sonde__arch_conv_norm(graph, "conv2", "bn2", x, 64, 1, false);
    x = sonde__graph_pool(graph, SONDE__OP_MAX_POOL, x, 2, 2, 0);
    x = sonde__arch_conv_norm(graph, "conv3", "bn3", x, 128, 1, false);
    x = sonde__graph_pool(graph, SONDE__OP_MAX_POOL, x, 2, 2, 0);
    sonde__graph_set_init(graph, SONDE__INIT_PYTORCH);
    x = sonde__arch_hidden(graph, "fc1", x, 128, request);
    return sonde__graph_linear(graph, "fc2", x, request->classes, true);
}

/* Widths of the convolutions; 0: a pool of 2. */
static const int vgg11[] = {64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0, -1};
static const int vgg16[] = {64,  64,  0,   128, 128, 0,   256, 256, 256, 0,
                            512, 512, 512, 0,   512, 512, 512, 0,   -1};

/* Numbered as the members of one PyTorch Sequential: a convolution, its norm and its ReLU count as
 * three, a pool as one. */
sonde__node sonde__arch_vgg(sonde__graph *graph, sonde__node x, const sonde__arch_request *request)
{
    char conv[32], norm[32];
    int number = 0;
    sonde__graph_set_init(graph, SONDE__INIT_HE);
    for (const int *width = request->depth == 11 ? vgg11 : vgg16; *width >= 0; width++) {
        if (*width == 0) {
            x = sonde__graph_pool(graph, SONDE__OP_MAX_POOL, x, 2, 2, 0);
            number++;
            continue;
        }
        snprintf(conv, sizeof conv, "features.%d", number);
        snprintf(norm, sizeof norm, "features.%d", number + 1);
        x = sonde__arch_conv_norm(graph, conv, norm, x, *width, 1, true);
        number += 3;
    }
    sonde__graph_set_init(graph, SONDE__INIT_PYTORCH);
    sonde__shape const last = sonde__graph_shape(graph, x);
    if (last.height > 1 || last.width > 1)
        x = sonde__graph_unary(graph, SONDE__OP_GLOBAL_POOL, x);
    return sonde__arch_head(graph, "classifier", x, request);
}
