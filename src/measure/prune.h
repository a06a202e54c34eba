/*
 * Pruning a network: channels by their importance in steps (JBR and its baselines), or single
 * weights (SNIP, SynFlow, GraSP, magnitude). Specification of the criteria: docs/pruning.md; of JBR
 * the published code.
 *
 * A step measures the network as it is, sums the scores of coupled channels into units
 * (net/channels.h), removes the lowest, and builds the smaller network anew from the whole one's
 * parameters. Labels are asked for by the criteria that need them alone: `fill` gets NULL from all
 * others.
 */
#ifndef SONDE_MEASURE_PRUNE_H
#define SONDE_MEASURE_PRUNE_H

#include "net/channels.h"
#include "net/net.h"

/* The examples that a criterion may look at, in the order in which it takes them. */
typedef struct sonde__prune_examples {
    void *user;
    /* Examples order[0..n) of 0 .. count-1 as the network's input; labels NULL: not wanted. */
    void (*fill)(void *user, const uint32_t *order, size_t n, float *x, int32_t *labels);
    size_t count;
} sonde__prune_examples;

typedef struct sonde__prune_progress {
    int step, steps;
    double share;         /* of the step, [0, 1] */
    const char *activity; /* "choosing examples", "measuring", "re-estimating" */
} sonde__prune_progress;

typedef struct sonde__prune_options {
    sonde_criterion criterion;
    double ratio;          /* of the units (or weights), in [0, 1] */
    bool per_layer;        /* every group of layers (or layer) loses the ratio */
    bool normalise;        /* a group's scores are divided by their mean before they are ranked */
    size_t least;          /* channels that every group keeps; at least 1 */
    size_t multiple;       /* groups keep a multiple of this, where they had one; 1: any number */
    int steps;             /* at least 1 */
    size_t batches, batch; /* mini-batches of a step, and examples in one */
    double confidence;     /* JBR: an example counts whose largest softmax is above; 0.9 */
    size_t re_estimate;    /* mini-batches that batch norm is estimated from anew; 0: it is not */
    uint64_t seed;
    int threads;
    int max_batch; /* of the pruned network; at least `batch` */
    void *user;
    void (*progress)(void *user, const sonde__prune_progress *progress); /* may be NULL */
    /* Of channels, after each step: the network so far, and the units left of those that could have
     * gone. May be NULL. */
    void *step_user;
    sonde_status (*stepped)(void *user, int step, size_t kept, sonde__net *part);
} sonde__prune_options;

typedef struct sonde__prune_report {
    sonde_cut_report cut;    /* of the last step */
    size_t units, kept;      /* that could have gone; those left of them */
    size_t examples, looked; /* that were used; that were looked at to find them */
    int steps;
} sonde__prune_report;

/* Of channels. Freed with sonde__prune_result_free, but for what the caller takes. */
typedef struct sonde__prune_result {
    bool *kept;       /* by unit */
    sonde__net *part; /* the pruned network */
    sonde__prune_report report;
} sonde__prune_result;
void sonde__prune_result_free(sonde_context *context, sonde__prune_result *result);

void sonde__prune_options_init(sonde__prune_options *options);

/*
 * Removes channels. `whole` must have options.study; it stays as it is; `channels` are those of its
 * graph. SONDE_ERROR_NUMERIC where JBR finds no confident example or a weight is not finite.
 */
sonde_status sonde__prune_channels(sonde__net *whole, const sonde__channels *channels,
                                   const sonde__prune_examples *examples,
                                   const sonde__prune_options *options,
                                   sonde__prune_result *result);

/* Which parameters hold single weights that may go: those of convolutions and linear layers. */
bool sonde__prune_is_weight(const sonde__parameter *parameter);
/*
 * Sets single weights to zero, in `net`, which must have options.study. keep[p] has room for a flag
 * for every weight of parameter p (row-major), and is filled; it is NULL for parameters that are to
 * stay as they are.
 */
sonde_status sonde__prune_weights(sonde_context *context, sonde__net *net,
                                  const sonde__prune_examples *examples,
                                  const sonde__prune_options *options, bool *const *keep,
                                  sonde__prune_report *report);

/*
 * Running statistics of batch norm become the mean over options->re_estimate mini-batches, in
 * training mode but without dropout. The network needs options.study.
 */
sonde_status sonde__prune_re_estimate(sonde_context *context, sonde__net *net,
                                      const sonde__prune_examples *examples,
                                      const sonde__prune_options *options);

#endif
