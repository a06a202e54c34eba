/* What the files of the scores share: weights drawn anew, and the feature maps of a network. */
#ifndef SONDE_MEASURE_SCORE_PARTS_H
#define SONDE_MEASURE_SCORE_PARTS_H

#include "measure/score.h"

/* score_weights.c: all weights and statistics of a network, to be put back. */
typedef struct sonde__kept_weights {
    sonde_context *context;
    float *flat;
    float *buffers; /* running statistics, plain, one behind the other */
} sonde__kept_weights;

sonde_status sonde__weights_keep(sonde_context *context, sonde__net *net,
                                 sonde__kept_weights *kept);
/* Puts them back and frees them; may be called after a failed _keep. */
void sonde__weights_put_back(sonde__net *net, sonde__kept_weights *kept);
/*
 * The initialisation of Zen-NAS and DisWOT: weights of convolutions and linear layers from N(0, 1),
 * their biases 0, batch norms as new. `which` tells networks of one seed apart.
 */
sonde_status sonde__weights_normal(sonde_context *context, sonde__net *net, uint64_t seed,
                                   uint64_t which);

/* score_maps.c: what goes into the last global pool, or else into the head, example by example. */
typedef struct sonde__maps {
    sonde_context *context;
    int layer; /* that is watched; -1: the head's features */
    sonde__shape shape;
    int n;
    float *values; /* n x channels x height x width, plain; of the last forward pass */
} sonde__maps;

/* Begins to watch the network, for batches of n. */
sonde_status sonde__maps_begin(sonde_context *context, sonde__net *net, int n, sonde__maps *maps);
/* After a forward pass: fills `values` where they are the head's. */
sonde_status sonde__maps_complete(sonde__net *net, sonde__maps *maps);
/* Ends the watch and frees. */
void sonde__maps_end(sonde__net *net, sonde__maps *maps);

/* score_zen.c */
sonde_status sonde__score_zen(sonde_context *context, sonde__net *net, uint64_t seed, int n,
                              sonde_score *score);

/* A score without a number, for this reason. */
sonde_score sonde__score_none(sonde_proxy_kind kind, sonde_validity validity);

#endif
