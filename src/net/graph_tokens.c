/*
 * Graph calls of sequence models (embedding, positions, attention, norms by token) and of other
 * operators that image classifiers seldom need: group norm, upsampling, transposing.
 *
 * A value of channels x height x width is read as height x width tokens of `channels` features.
 */
#include <limits.h>

#include "net/graph_internal.h"

enum { TOKENS_MAX = 1 << 15 }; /* so that batches of them can be counted in an int */

static int64_t tokens_of(sonde__shape shape)
{
    return (int64_t)shape.height * shape.width;
}

/* Scale and shift of one length, as normalisations call them. */
static void add_affine(sonde__graph *graph, int64_t length)
{
    sonde__graph_add_parameter(graph, "weight", SONDE__ROLE_SCALE, 1, &length);
    sonde__graph_add_parameter(graph, "bias", SONDE__ROLE_SHIFT, 1, &length);
}

sonde__node sonde__graph_token_linear(sonde__graph *graph, const char *name, sonde__node x, int out,
                                      bool bias)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    const sonde__shape in = graph->layers[x].shape, shape = {out, in.height, in.width};
    if (tokens_of(in) > TOKENS_MAX)
        return sonde__graph_fail(graph, SONDE_ERROR_SHAPE,
                                 "token_linear: %d x %d tokens; at most %d are possible", in.height,
                                 in.width, TOKENS_MAX);
    sonde__layer *layer = sonde__graph_add(graph, SONDE__OP_CONV, name, &x, 1, shape);
    if (!layer)
        return -1;
    layer->tokens = true;
    layer->conv = (sonde__conv_options){.out = out,
                                        .kernel_height = 1,
                                        .kernel_width = 1,
                                        .stride = 1,
                                        .dilation = 1,
                                        .groups = 1,
                                        .bias = bias};
    const int64_t rows = out, dims[2] = {out, in.channels};
    sonde__graph_add_parameter(graph, "weight", SONDE__ROLE_WEIGHT, 2, dims);
    if (bias)
        sonde__graph_add_parameter(graph, "bias", SONDE__ROLE_BIAS, 1, &rows);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_token_norm(sonde__graph *graph, const char *name, sonde__node x)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    const sonde__shape shape = graph->layers[x].shape;
    if (!sonde__graph_add(graph, SONDE__OP_TOKEN_NORM, name, &x, 1, shape))
        return -1;
    add_affine(graph, shape.channels);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_group_norm(sonde__graph *graph, const char *name, sonde__node x,
                                    int groups)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    const sonde__shape shape = graph->layers[x].shape;
    if (groups < 1 || shape.channels % groups != 0)
        return sonde__graph_fail(graph, SONDE_ERROR_SHAPE,
                                 "group_norm: %d groups do not divide %d channels", groups,
                                 shape.channels);
    sonde__layer *layer = sonde__graph_add(graph, SONDE__OP_GROUP_NORM, name, &x, 1, shape);
    if (!layer)
        return -1;
    layer->parts = groups;
    add_affine(graph, shape.channels);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_embedding(sonde__graph *graph, const char *name, sonde__node x, int count,
                                   int width)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    sonde__shape shape = graph->layers[x].shape;
    if (shape.channels != 1)
        return sonde__graph_fail(graph, SONDE_ERROR_SHAPE,
                                 "embedding: ids have one channel, not %d", shape.channels);
    if (count < 1 || count > 1 << 24) /* above, floats do not tell ids apart */
        return sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT,
                                 "embedding: %d rows; 1 to %d are possible", count, 1 << 24);
    shape.channels = width;
    if (!sonde__graph_add(graph, SONDE__OP_EMBEDDING, name, &x, 1, shape))
        return -1;
    const int64_t dims[2] = {count, width};
    sonde__graph_add_parameter(graph, "weight", SONDE__ROLE_TABLE, 2, dims);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_positions(sonde__graph *graph, const char *name, sonde__node x, int dims)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    const sonde__shape shape = graph->layers[x].shape;
    if (!name || (dims != 2 && dims != 3))
        return sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT,
                                 "positions: a name and 2 or 3 dims are needed");
    if (!sonde__graph_add(graph, SONDE__OP_POSITIONS, name, &x, 1, shape))
        return -1;
    const int64_t plain[3] = {1, tokens_of(shape), shape.channels};
    sonde__graph_add_parameter(graph, "", SONDE__ROLE_TABLE, dims, plain + 3 - dims);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_attention(sonde__graph *graph, sonde__node x, int heads, bool causal)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    sonde__shape shape = graph->layers[x].shape;
    if (heads < 1 || shape.channels % 3 != 0 || shape.channels / 3 % heads != 0)
        return sonde__graph_fail(graph, SONDE_ERROR_SHAPE,
                                 "attention: %d channels are not 3 parts (queries, keys, values) "
                                 "of %d heads",
                                 shape.channels, heads);
    shape.channels /= 3;
    sonde__layer *layer = sonde__graph_add(graph, SONDE__OP_ATTENTION, NULL, &x, 1, shape);
    if (layer) {
        layer->parts = heads;
        layer->causal = causal;
    }
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_transpose(sonde__graph *graph, sonde__node x)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    const sonde__shape in = graph->layers[x].shape;
    const sonde__shape out = {(int)tokens_of(in), in.channels, 1};
    sonde__graph_add(graph, SONDE__OP_TRANSPOSE, NULL, &x, 1, out);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_upsample(sonde__graph *graph, sonde__node x, int factor)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    const sonde__shape in = graph->layers[x].shape;
    if (factor < 1 || factor > INT_MAX / in.height || factor > INT_MAX / in.width)
        return sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT,
                                 "upsample: a factor of %d is not possible for %d x %d", factor,
                                 in.height, in.width);
    const sonde__shape out = {in.channels, in.height * factor, in.width * factor};
    sonde__layer *layer = sonde__graph_add(graph, SONDE__OP_UPSAMPLE, NULL, &x, 1, out);
    if (layer)
        layer->stride = factor;
    return sonde__graph_last(graph);
}
