/*
 * Building a graph: checks, shape inference and the list of parameters.
 *
 * Invariant: while `status` is SONDE_OK every layer is complete, its inputs come before it, and its
 * shape has at least one element and at most INT_MAX.
 */
#include "net/graph_internal.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

static const char *const op_names[] = {
    "input",     "conv",      "linear",       "batch_norm", "layer_norm", "relu",
    "gelu",      "silu",      "sigmoid",      "tanh",       "softmax",    "zero",
    "max_pool",  "avg_pool",  "global_pool",  "add",        "mul",        "concat",
    "reshape",   "dropout",   "shortcut_pad", "token_norm", "group_norm", "embedding",
    "positions", "attention", "transpose",    "upsample"};

sonde__node sonde__graph_fail(sonde__graph *graph, sonde_status status, const char *format, ...)
{
    if (graph->status == SONDE_OK) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(graph->message, sizeof graph->message, format, arguments);
        va_end(arguments);
        graph->status = status;
    }
    return -1;
}

static sonde__node fail_memory(sonde__graph *graph)
{
    return sonde__graph_fail(graph, SONDE_ERROR_MEMORY, "no memory for the graph of the network");
}

sonde_status sonde__graph_create(sonde_context *context, sonde__graph **graph)
{
    sonde__graph *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->init = SONDE__INIT_PYTORCH;
    made->output = made->head = -1;
    *graph = made;
    return SONDE_OK;
}

void sonde__graph_free(sonde__graph *graph)
{
    if (!graph)
        return;
    sonde_context *context = graph->context;
    for (int i = 0; i < graph->layer_count; i++) {
        sonde__free(context, graph->layers[i].name);
        sonde__free(context, graph->layers[i].inputs);
    }
    for (int i = 0; i < graph->parameter_count; i++)
        sonde__free(context, (void *)(uintptr_t)graph->parameters[i].name);
    sonde__free(context, graph->layers);
    sonde__free(context, graph->parameters);
    sonde__free(context, graph->parameter_layers);
    sonde__free(context, graph);
}

void sonde__graph_set_init(sonde__graph *graph, sonde__init init)
{
    graph->init = init;
}

void sonde__graph_set_deviation(sonde__graph *graph, double deviation)
{
    graph->init = SONDE__INIT_NORMAL;
    graph->deviation = deviation;
}

bool sonde__graph_usable(sonde__graph *graph, const sonde__node *inputs, int count)
{
    if (graph->status != SONDE_OK)
        return false;
    if (graph->finished) {
        sonde__graph_fail(graph, SONDE_ERROR_STATE,
                          "the graph is finished; no operator can be added");
        return false;
    }
    for (int i = 0; i < count; i++) {
        if (inputs[i] < 0 || inputs[i] >= graph->layer_count) {
            sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT, "node %d is not of this graph",
                              inputs[i]);
            return false;
        }
    }
    return true;
}

static bool name_layer(sonde__graph *graph, sonde__layer *layer, const char *name)
{
    char numbered[48];
    if (!name) {
        snprintf(numbered, sizeof numbered, "%s%d", op_names[layer->op],
                 ++graph->numbered[layer->op]);
        name = numbered;
    }
    layer->name = sonde__copy_string(graph->context, name);
    return layer->name != NULL;
}

static bool reserve_layer(sonde__graph *graph)
{
    if (graph->layer_count < graph->layer_capacity)
        return true;
    int capacity = graph->layer_capacity ? 2 * graph->layer_capacity : 16;
    sonde__layer *grown =
        sonde__resize(graph->context, graph->layers, (size_t)capacity, sizeof *grown);
    if (!grown)
        return false;
    graph->layers = grown;
    graph->layer_capacity = capacity;
    return true;
}

sonde__layer *sonde__graph_add(sonde__graph *graph, sonde__op op, const char *name,
                               const sonde__node *inputs, int count, sonde__shape shape)
{
    double features = (double)shape.channels * shape.height * shape.width;
    if (shape.channels < 1 || shape.height < 1 || shape.width < 1 || features > INT_MAX) {
        sonde__graph_fail(graph, SONDE_ERROR_SHAPE, "%s would give an output of %d x %d x %d",
                          op_names[op], shape.channels, shape.height, shape.width);
        return NULL;
    }
    if (!reserve_layer(graph)) {
        fail_memory(graph);
        return NULL;
    }
    sonde__layer *layer = &graph->layers[graph->layer_count];
    memset(layer, 0, sizeof *layer);
    layer->op = op;
    layer->shape = shape;
    layer->init = graph->init;
    layer->deviation = graph->deviation;
    layer->first_parameter = graph->parameter_count;
    layer->input_count = count;
    layer->inputs = sonde__alloc(graph->context, (size_t)count, sizeof *layer->inputs);
    graph->layer_count++;
    if (!layer->inputs || !name_layer(graph, layer, name)) {
        fail_memory(graph);
        return NULL;
    }
    if (count > 0)
        memcpy(layer->inputs, inputs, (size_t)count * sizeof *inputs);
    return layer;
}

sonde__node sonde__graph_last(const sonde__graph *graph)
{
    return graph->status == SONDE_OK ? graph->layer_count - 1 : -1;
}

static bool reserve_parameter(sonde__graph *graph)
{
    if (graph->parameter_count < graph->parameter_capacity)
        return true;
    int capacity = graph->parameter_capacity ? 2 * graph->parameter_capacity : 32;
    sonde__parameter *grown =
        sonde__resize(graph->context, graph->parameters, (size_t)capacity, sizeof *grown);
    if (!grown)
        return false;
    graph->parameters = grown;
    int *layers =
        sonde__resize(graph->context, graph->parameter_layers, (size_t)capacity, sizeof *layers);
    if (!layers)
        return false;
    graph->parameter_layers = layers;
    graph->parameter_capacity = capacity;
    return true;
}

static char *join_name(sonde__graph *graph, const char *layer, const char *suffix)
{
    size_t length = strlen(layer) + strlen(suffix) + 2;
    char *name = sonde__alloc(graph->context, length, 1);
    if (name)
        snprintf(name, length, "%s%s%s", layer, *suffix ? "." : "", suffix);
    return name;
}

static bool name_taken(const sonde__graph *graph, const char *name)
{
    for (int i = 0; i < graph->parameter_count; i++) {
        if (strcmp(graph->parameters[i].name, name) == 0)
            return true;
    }
    return false;
}

void sonde__graph_add_parameter(sonde__graph *graph, const char *suffix, sonde__role role, int dims,
                                const int64_t *shape)
{
    if (graph->status != SONDE_OK)
        return;
    sonde__layer *layer = &graph->layers[graph->layer_count - 1];
    double elements = 1;
    for (int d = 0; d < dims; d++)
        elements *= (double)shape[d];
    if (elements > INT_MAX) {
        sonde__graph_fail(graph, SONDE_ERROR_OVERFLOW, "%s.%s would have %.0f elements",
                          layer->name, suffix, elements);
        return;
    }
    char *name = reserve_parameter(graph) ? join_name(graph, layer->name, suffix) : NULL;
    if (!name) {
        fail_memory(graph);
        return;
    }
    if (name_taken(graph, name)) {
        sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT, "two layers are named %s", layer->name);
        sonde__free(graph->context, name);
        return;
    }
    sonde__parameter *parameter = &graph->parameters[graph->parameter_count];
    *parameter =
        (sonde__parameter){.name = name, .role = role, .dims = dims, .elements = (size_t)elements};
    memcpy(parameter->shape, shape, (size_t)dims * sizeof *shape);
    graph->parameter_layers[graph->parameter_count++] = graph->layer_count - 1;
    layer->parameter_count++;
}

static void add_vector(sonde__graph *graph, const char *suffix, sonde__role role, int64_t length)
{
    sonde__graph_add_parameter(graph, suffix, role, 1, &length);
}

sonde__node sonde__graph_input(sonde__graph *graph, sonde__shape shape)
{
    if (!sonde__graph_usable(graph, NULL, 0))
        return -1;
    if (graph->layer_count > 0)
        return sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT,
                                 "a graph has one input, and it comes first");
    sonde__graph_add(graph, SONDE__OP_INPUT, NULL, NULL, 0, shape);
    return sonde__graph_last(graph);
}

/* Output size along one axis, or 0 if the window does not fit. */
static int window_output(int size, int kernel, int stride, int padding, int dilation)
{
    int64_t reach = (int64_t)dilation * (kernel - 1) + 1;
    int64_t room = (int64_t)size + 2 * (int64_t)padding - reach;
    return room < 0 || room / stride >= INT_MAX ? 0 : (int)(room / stride) + 1;
}

static bool conv_options_valid(sonde__graph *graph, const sonde__conv_options *options, int in)
{
    if (options->out < 1 || options->kernel_height < 1 || options->kernel_width < 1 ||
        options->stride < 1 || options->padding < 0 || options->dilation < 1 ||
        options->groups < 1) {
        sonde__graph_fail(
            graph, SONDE_ERROR_ARGUMENT,
            "conv: out, kernel, stride, dilation and groups must be at least 1, padding 0");
        return false;
    }
    if (options->padding > INT_MAX / 4 || options->dilation > 1 << 15 ||
        options->kernel_height > 1 << 15 || options->kernel_width > 1 << 15) {
        sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT,
                          "conv: padding, dilation or kernel is too large");
        return false;
    }
    if (in % options->groups != 0 || options->out % options->groups != 0) {
        sonde__graph_fail(graph, SONDE_ERROR_SHAPE,
                          "conv: %d groups divide neither %d inputs nor %d outputs",
                          options->groups, in, options->out);
        return false;
    }
    return true;
}

sonde__node sonde__graph_conv(sonde__graph *graph, const char *name, sonde__node x,
                              sonde__conv_options options)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    sonde__shape in = graph->layers[x].shape;
    if (!conv_options_valid(graph, &options, in.channels))
        return -1;
    sonde__shape out = {options.out,
                        window_output(in.height, options.kernel_height, options.stride,
                                      options.padding, options.dilation),
                        window_output(in.width, options.kernel_width, options.stride,
                                      options.padding, options.dilation)};
    if (out.height < 1 || out.width < 1)
        return sonde__graph_fail(graph, SONDE_ERROR_SHAPE,
                                 "conv: a %d x %d kernel does not fit into %d x %d",
                                 options.kernel_height, options.kernel_width, in.height, in.width);
    sonde__layer *layer = sonde__graph_add(graph, SONDE__OP_CONV, name, &x, 1, out);
    if (!layer)
        return -1;
    layer->conv = options;
    int64_t shape[4] = {options.out, in.channels / options.groups, options.kernel_height,
                        options.kernel_width};
    sonde__graph_add_parameter(graph, "weight", SONDE__ROLE_WEIGHT, 4, shape);
    if (options.bias)
        add_vector(graph, "bias", SONDE__ROLE_BIAS, options.out);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_conv_simple(sonde__graph *graph, const char *name, sonde__node x, int out,
                                     int kernel, int stride, int padding, bool bias)
{
    return sonde__graph_conv(graph, name, x,
                             (sonde__conv_options){.out = out,
                                                   .kernel_height = kernel,
                                                   .kernel_width = kernel,
                                                   .stride = stride,
                                                   .padding = padding,
                                                   .dilation = 1,
                                                   .groups = 1,
                                                   .bias = bias});
}

sonde__node sonde__graph_linear(sonde__graph *graph, const char *name, sonde__node x, int out,
                                bool bias)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    int64_t in = (int64_t)sonde__features(graph->layers[x].shape);
    sonde__layer *layer =
        sonde__graph_add(graph, SONDE__OP_LINEAR, name, &x, 1, (sonde__shape){out, 1, 1});
    if (!layer)
        return -1;
    layer->conv.out = out;
    layer->conv.bias = bias;
    sonde__graph_add_parameter(graph, "weight", SONDE__ROLE_WEIGHT, 2, (int64_t[]){out, in});
    if (bias)
        add_vector(graph, "bias", SONDE__ROLE_BIAS, out);
    return sonde__graph_last(graph);
}

static sonde__node add_batch_norm(sonde__graph *graph, const char *name, sonde__node x, bool affine)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    sonde__shape shape = graph->layers[x].shape;
    sonde__layer *layer = sonde__graph_add(graph, SONDE__OP_BATCH_NORM, name, &x, 1, shape);
    if (!layer)
        return -1;
    layer->affine = affine;
    if (affine) {
        add_vector(graph, "weight", SONDE__ROLE_SCALE, shape.channels);
        add_vector(graph, "bias", SONDE__ROLE_SHIFT, shape.channels);
    }
    add_vector(graph, "running_mean", SONDE__ROLE_RUNNING_MEAN, shape.channels);
    add_vector(graph, "running_var", SONDE__ROLE_RUNNING_VARIANCE, shape.channels);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_batch_norm(sonde__graph *graph, const char *name, sonde__node x)
{
    return add_batch_norm(graph, name, x, true);
}

sonde__node sonde__graph_batch_norm_plain(sonde__graph *graph, const char *name, sonde__node x)
{
    return add_batch_norm(graph, name, x, false);
}

sonde__node sonde__graph_layer_norm(sonde__graph *graph, const char *name, sonde__node x)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    sonde__shape shape = graph->layers[x].shape;
    if (!sonde__graph_add(graph, SONDE__OP_LAYER_NORM, name, &x, 1, shape))
        return -1;
    int dims = shape.height == 1 && shape.width == 1 ? 1 : 3;
    int64_t plain[3] = {shape.channels, shape.height, shape.width};
    sonde__graph_add_parameter(graph, "weight", SONDE__ROLE_SCALE, dims, plain);
    sonde__graph_add_parameter(graph, "bias", SONDE__ROLE_SHIFT, dims, plain);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_unary(sonde__graph *graph, sonde__op op, sonde__node x)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    bool global = op == SONDE__OP_GLOBAL_POOL;
    if (!global && (op < SONDE__OP_RELU || op > SONDE__OP_ZERO))
        return sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT, "operator %d does not take one input",
                                 (int)op);
    sonde__shape shape = graph->layers[x].shape;
    if (global)
        shape.height = shape.width = 1;
    sonde__graph_add(graph, op, NULL, &x, 1, shape);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_pool(sonde__graph *graph, sonde__op op, sonde__node x, int kernel,
                              int stride, int padding)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    if (op != SONDE__OP_MAX_POOL && op != SONDE__OP_AVG_POOL)
        return sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT, "operator %d is not a pool", (int)op);
    if (kernel < 1 || stride < 1 || padding < 0 || padding > kernel / 2)
        return sonde__graph_fail(
            graph, SONDE_ERROR_ARGUMENT,
            "%s: kernel and stride must be at least 1, padding at most half the kernel",
            op_names[op]);
    sonde__shape in = graph->layers[x].shape;
    sonde__shape out = {in.channels, window_output(in.height, kernel, stride, padding, 1),
                        window_output(in.width, kernel, stride, padding, 1)};
    if (out.height < 1 || out.width < 1)
        return sonde__graph_fail(graph, SONDE_ERROR_SHAPE,
                                 "%s: a window of %d does not fit into %d x %d", op_names[op],
                                 kernel, in.height, in.width);
    sonde__layer *layer = sonde__graph_add(graph, op, NULL, &x, 1, out);
    if (layer) {
        layer->kernel = kernel;
        layer->stride = stride;
        layer->padding = padding;
    }
    return sonde__graph_last(graph);
}

static bool same_shape(sonde__shape a, sonde__shape b)
{
    return a.channels == b.channels && a.height == b.height && a.width == b.width;
}

sonde__node sonde__graph_binary(sonde__graph *graph, sonde__op op, sonde__node a, sonde__node b)
{
    sonde__node inputs[2] = {a, b};
    if (!sonde__graph_usable(graph, inputs, 2))
        return -1;
    if (op != SONDE__OP_ADD && op != SONDE__OP_MUL)
        return sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT,
                                 "operator %d does not take two inputs", (int)op);
    sonde__shape left = graph->layers[a].shape, right = graph->layers[b].shape;
    bool gate = op == SONDE__OP_MUL && left.channels == right.channels && right.height == 1 &&
                right.width == 1;
    if (!gate && !same_shape(left, right))
        return sonde__graph_fail(
            graph, SONDE_ERROR_SHAPE, "%s: %d x %d x %d does not fit %d x %d x %d", op_names[op],
            left.channels, left.height, left.width, right.channels, right.height, right.width);
    sonde__graph_add(graph, op, NULL, inputs, 2, left);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_concat(sonde__graph *graph, const sonde__node *nodes, int count)
{
    if (!sonde__graph_usable(graph, nodes, count))
        return -1;
    if (count < 1)
        return sonde__graph_fail(graph, SONDE_ERROR_ARGUMENT, "concat: no inputs");
    sonde__shape shape = graph->layers[nodes[0]].shape;
    int64_t channels = 0;
    for (int i = 0; i < count; i++) {
        sonde__shape each = graph->layers[nodes[i]].shape;
        if (each.height != shape.height || each.width != shape.width)
            return sonde__graph_fail(graph, SONDE_ERROR_SHAPE,
                                     "concat: %d x %d pixels do not fit %d x %d", each.height,
                                     each.width, shape.height, shape.width);
        channels += each.channels;
    }
    if (channels > INT_MAX)
        return sonde__graph_fail(graph, SONDE_ERROR_OVERFLOW, "concat: too many channels");
    shape.channels = (int)channels;
    sonde__graph_add(graph, SONDE__OP_CONCAT, NULL, nodes, count, shape);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_reshape(sonde__graph *graph, sonde__node x, sonde__shape shape)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    size_t from = sonde__features(graph->layers[x].shape);
    if ((double)from != (double)shape.channels * shape.height * shape.width)
        return sonde__graph_fail(graph, SONDE_ERROR_SHAPE,
                                 "reshape: %zu values do not fill %d x %d x %d", from,
                                 shape.channels, shape.height, shape.width);
    sonde__graph_add(graph, SONDE__OP_RESHAPE, NULL, &x, 1, shape);
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_dropout(sonde__graph *graph, sonde__node x, double rate)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    if (!(rate >= 0 && rate < 1))
        return sonde__graph_fail(graph, SONDE_ERROR_RANGE, "dropout: rate %g is not in [0, 1)",
                                 rate);
    sonde__layer *layer =
        sonde__graph_add(graph, SONDE__OP_DROPOUT, NULL, &x, 1, graph->layers[x].shape);
    if (layer)
        layer->rate = rate;
    return sonde__graph_last(graph);
}

sonde__node sonde__graph_shortcut_pad(sonde__graph *graph, sonde__node x, int out, int stride)
{
    if (!sonde__graph_usable(graph, &x, 1))
        return -1;
    sonde__shape in = graph->layers[x].shape;
    if (out < in.channels || stride < 1)
        return sonde__graph_fail(
            graph, SONDE_ERROR_ARGUMENT,
            "shortcut_pad: %d channels cannot become %d, or stride %d is below 1", in.channels, out,
            stride);
    sonde__shape shape = {out, (in.height - 1) / stride + 1, (in.width - 1) / stride + 1};
    sonde__layer *layer = sonde__graph_add(graph, SONDE__OP_SHORTCUT_PAD, NULL, &x, 1, shape);
    if (layer) {
        layer->stride = stride;
        layer->front = (out - in.channels) / 2;
    }
    return sonde__graph_last(graph);
}
