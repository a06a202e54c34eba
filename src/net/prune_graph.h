/*
 * A network with fewer channels: from a finished graph and the units that stay to a smaller finished
 * graph with the same layers and names, and from its parameters to the smaller network's.
 */
#ifndef SONDE_NET_PRUNE_GRAPH_H
#define SONDE_NET_PRUNE_GRAPH_H

#include "net/channels.h"
#include "net/net.h"

/*
 * The graph of `channels` with the units marked in `kept` (by unit). SONDE_ERROR_SHAPE, naming the
 * layer, where one would be left without channels or a frozen unit is not kept.
 */
sonde_status sonde__prune_graph(const sonde__channels *channels, const bool *kept,
                                sonde__graph **pruned);

/* What is left of a convolution's groups, and of a padded shortcut's zero channels in front. */
int sonde__prune_groups(const sonde__channels *channels, const bool *kept, int layer);
int sonde__prune_front(const sonde__channels *channels, const bool *kept, int layer);

/* Elements of a parameter that stay: those of rows x columns, of each of which `inner` lie side by
 * side. A vector has one column. */
typedef struct sonde__slice {
    int *rows, *columns;
    size_t row_count, column_count;
    size_t all_columns; /* of the whole parameter */
    size_t inner;
} sonde__slice;

/* Rows are output channels, columns input channels (of a group) or, of a linear layer, the features
 * of its input. `parameter` counts the graph's parameters. */
sonde_status sonde__slice_of(const sonde__channels *channels, const bool *kept, int parameter,
                             sonde__slice *slice);
void sonde__slice_free(sonde_context *context, sonde__slice *slice);
void sonde__slice_copy(const sonde__slice *slice, const float *whole, float *part);

/* Parameters and buffers of `whole`, a network of the graph of `channels`, into `part`, one of the
 * pruned graph. */
sonde_status sonde__prune_parameters(const sonde__channels *channels, const bool *kept,
                                     const sonde__net *whole, sonde__net *part);

/* Another network with the same graph, parameters and buffers. */
sonde_status sonde__net_copy(sonde_context *context, const sonde__net *net,
                             const sonde__net_options *options, sonde__net **copy);

#endif
