/* A network under study: what may be watched, and a view of its graph (see study.h). */
#include "net/study.h"

#include "net/net_internal.h"

void sonde__net_watch(sonde__net *net, const sonde__watch *watch)
{
    net->watch = watch ? *watch : (sonde__watch){0};
}

int sonde__graph_layer_count(const sonde__graph *graph)
{
    return graph->layer_count;
}

sonde__layer_view sonde__graph_layer(const sonde__graph *graph, int layer)
{
    const sonde__layer *found = &graph->layers[layer];
    return (sonde__layer_view){.op = found->op,
                               .name = found->name,
                               .shape = found->shape,
                               .inputs = found->inputs,
                               .input_count = found->input_count,
                               .conv = found->conv,
                               .first_parameter = found->first_parameter,
                               .parameter_count = found->parameter_count,
                               .used = found->used};
}
