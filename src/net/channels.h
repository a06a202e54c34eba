/*
 * Which channels of a network can only be removed together.
 *
 * A unit is a smallest set of channels, of one or more layers, that go together: an addition or a
 * gate ties channel c of both sides, batch norm, activations, pools and dropout hand a channel on,
 * a concatenation shifts it, a padded shortcut (option A) shifts it by the zero channels in front, a
 * reshape to features makes a block of pixels of it. A depthwise convolution ties each input to its
 * outputs; a grouped one keeps its number of groups and ties the same place of every group.
 *
 * A frozen unit cannot be removed: of the input, the output and the head, and where what is left
 * would change if a channel went (layer, token and group norm, softmax), inside attention, and across
 * a transpose. So a network without a unit computes exactly what it computes with the unit's
 * channels at zero.
 */
#ifndef SONDE_NET_CHANNELS_H
#define SONDE_NET_CHANNELS_H

#include "net/graph.h"

typedef struct sonde__channels {
    sonde_context *context;
    const sonde__graph *graph; /* borrowed */
    size_t *first;             /* of a layer's channels in `unit`, by layer; one more at the end */
    int *unit;                 /* of every channel of every layer's output */
    int unit_count;
    bool *frozen; /* by unit */
    /* Units that stand in the same layers form a group: the output of any layer is made of whole
     * groups. By unit, dense from 0 in the order of the layers. */
    int *group;
    int group_count;
} sonde__channels;

sonde_status sonde__channels_find(sonde_context *context, const sonde__graph *graph,
                                  sonde__channels *channels);
void sonde__channels_free(sonde__channels *channels);

/* The unit of each channel of a layer's output. */
const int *sonde__channels_of(const sonde__channels *channels, int layer);
/* Channels of a layer's output whose unit is kept, ascending, into room for all of them; returns how
 * many. */
int sonde__channels_kept(const sonde__channels *channels, const bool *kept, int layer, int *list);

#endif
