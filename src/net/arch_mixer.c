/*
 * MLP-Mixer: Tolstikhin et al., arXiv 2105.01601. Patches become tokens; a block is a perceptron over
 * the tokens of every channel, to half the width, and one over the channels of every token, to four
 * times the width, each behind a norm and added to what came in. Names of parameters are timm's.
 */
#include <stdio.h>

#include "net/arch_table.h"

enum { NAME_SIZE = 64 };

/* fc2(gelu(fc1(x))) over the channels of x, of names blocks.NUMBER.PART. */
static sonde__node perceptron(sonde__graph *graph, sonde__node x, int number, const char *part,
                              int hidden)
{
    char name[NAME_SIZE];
    const int out = sonde__graph_shape(graph, x).channels;
    snprintf(name, sizeof name, "blocks.%d.%s.fc1", number, part);
    x = sonde__graph_token_linear(graph, name, x, hidden, true);
    x = sonde__graph_unary(graph, SONDE__OP_GELU, x);
    snprintf(name, sizeof name, "blocks.%d.%s.fc2", number, part);
    return sonde__graph_token_linear(graph, name, x, out, true);
}

static sonde__node norm(sonde__graph *graph, sonde__node x, int number, int which)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "blocks.%d.norm%d", number, which);
    return sonde__graph_token_norm(graph, name, x);
}

static sonde__node mixer_block(sonde__graph *graph, sonde__node x, int number,
                               const sonde__arch_request *request)
{
    const int hidden = request->width > 1 ? request->width / 2 : 1;
    sonde__node y = sonde__graph_transpose(graph, norm(graph, x, number, 1));
    y = sonde__graph_transpose(graph, perceptron(graph, y, number, "mlp_tokens", hidden));
    x = sonde__graph_binary(graph, SONDE__OP_ADD, x, y);
    y = perceptron(graph, norm(graph, x, number, 2), number, "mlp_channels", 4 * request->width);
    return sonde__graph_binary(graph, SONDE__OP_ADD, x, y);
}

sonde__node sonde__arch_mixer(sonde__graph *graph, sonde__node x,
                              const sonde__arch_request *request)
{
    const int patch = request->patch;
    x = sonde__graph_conv_simple(graph, "stem.proj", x, request->width, patch, patch, 0, true);
    const sonde__shape shape = sonde__graph_shape(graph, x);
    x = sonde__graph_reshape(graph, x,
                             (sonde__shape){shape.channels, shape.height * shape.width, 1});
    for (int i = 0; i < request->depth; i++)
        x = mixer_block(graph, x, i, request);
    x = sonde__graph_token_norm(graph, "norm", x);
    x = sonde__graph_unary(graph, SONDE__OP_GLOBAL_POOL, x);
    return sonde__arch_head(graph, "head", x, request);
}
