/* The end of a graph: what its output depends on, its head, and what a pass over it costs. */
#include "net/graph_internal.h"

/* Marks what the output depends on and finds the head: the last layer among it with a matrix. */
static void mark_used(sonde__graph *graph)
{
    graph->layers[graph->output].used = true;
    for (int i = graph->output; i >= 0; i--) {
        const sonde__layer *layer = &graph->layers[i];
        if (!layer->used)
            continue;
        for (int k = 0; k < layer->input_count; k++)
            graph->layers[layer->inputs[k]].used = true;
        if (graph->head < 0 && (layer->op == SONDE__OP_LINEAR || layer->op == SONDE__OP_CONV))
            graph->head = i;
    }
}

sonde_status sonde__graph_finish(sonde__graph *graph, sonde__node output)
{
    if (sonde__graph_usable(graph, &output, 1)) {
        graph->output = output;
        graph->finished = true;
        mark_used(graph);
    }
    if (graph->status != SONDE_OK)
        return sonde__fail(graph->context, graph->status, "%s", graph->message);
    return SONDE_OK;
}

sonde__shape sonde__graph_shape(const sonde__graph *graph, sonde__node node)
{
    if (node < 0 || node >= graph->layer_count)
        return (sonde__shape){0, 0, 0};
    return graph->layers[node].shape;
}

static double layer_flops(const sonde__graph *graph, const sonde__layer *layer)
{
    double tokens = (double)layer->shape.height * layer->shape.width;
    if (layer->op == SONDE__OP_ATTENTION)
        return 2 * tokens * tokens * layer->shape.channels;
    if (layer->op != SONDE__OP_CONV && layer->op != SONDE__OP_LINEAR)
        return 0;
    double weights = (double)graph->parameters[layer->first_parameter].elements;
    return weights * tokens;
}

double sonde__graph_flops(const sonde__graph *graph)
{
    double sum = 0;
    for (int i = 0; i < graph->layer_count; i++)
        sum += layer_flops(graph, &graph->layers[i]);
    return sum;
}
