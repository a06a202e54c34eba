/*
 * Pruning plans: JSON files that say what of a network stays, for any framework to apply.
 *
 *     {"format": "sonde-prune-plan-1", "kind": "channels", "model": "resnet20",
 *      "input": [3, 32, 32], "classes": 10, "criterion": "jbr", "ratio": 0.5,
 *      "layers": [{"name": "conv1", "op": "conv", "outputs": 16, "keep_outputs": [0, 2, ...],
 *                  "inputs": 3, "keep_inputs": [0, 1, 2]}, ...]}
 *
 * Indexes are those of the first and second axis of the whole layer's weight, ascending (of a grouped
 * convolution the second axis is within a group, and "groups" says how many are left); a norm has
 * outputs alone; a padded shortcut says in "front" how many zero channels are left in front.
 * A plan of kind "weights" has "tensors": [{"name", "shape", "kept", "mask"}], where the mask is one
 * bit a weight in row-major order as hexadecimal digits, the first bit highest, padded with zeros.
 *
 * Plans come from outside: the reader trusts nothing, and what does not fit names its layer.
 */
#ifndef SONDE_RUN_PLAN_H
#define SONDE_RUN_PLAN_H

#include "net/channels.h"
#include "net/net.h"
#include "run/config.h"

typedef struct sonde__plan_facts {
    const char *model, *criterion;
    sonde__shape input;
    int classes;
    double ratio;
} sonde__plan_facts;

/* Writing; the file is there as a whole or not at all. */
sonde_status sonde__plan_write_channels(const char *path, const sonde__plan_facts *facts,
                                        const sonde__channels *channels, const bool *kept);
/* keep[p]: a flag for every weight of parameter p, or NULL. */
sonde_status sonde__plan_write_weights(sonde_context *context, const char *path,
                                       const sonde__plan_facts *facts, const sonde__net *net,
                                       bool *const *keep);

typedef struct sonde__plan_entry {
    const char *name;        /* layer or tensor */
    int64_t outputs, inputs; /* as the plan says; -1: it does not */
    int *keep_outputs, *keep_inputs;
    size_t output_count, input_count;
    int64_t kept; /* of a tensor */
    const char *mask;
} sonde__plan_entry;

typedef struct sonde__plan {
    sonde_context *context;
    char *path, *text; /* the entries' strings lie in the text */
    bool weights;      /* of kind "weights" */
    const char *model; /* NULL: not said */
    sonde__plan_entry *entries;
    size_t count;
} sonde__plan;

sonde_status sonde__plan_read(sonde_context *context, const char *path, sonde__plan *plan);
/* The same from text, a block of the context that becomes the plan's (also on failure) and has room
 * for one more byte; `path` is for messages. */
sonde_status sonde__plan_parse(sonde_context *context, const char *path, char *text, size_t size,
                               sonde__plan *plan);
void sonde__plan_release(sonde__plan *plan);
/* Which units of the network's channels stay, by unit. */
sonde_status sonde__plan_kept(const sonde__plan *plan, const sonde__channels *channels, bool *kept);
/* 1 for every weight of the network that stays, else 0, in the flat layout; what the plan does not
 * name stays. Freed with sonde__free. */
sonde_status sonde__plan_mask(const sonde__plan *plan, sonde__net *net, float **mask);

/* The same from the file at `path`; NULL where the path is empty or the plan is one of channels. */
sonde_status sonde__plan_mask_at(sonde_context *context, const char *path, sonde__net *net,
                                 float **mask);

/* The plan at `path` upon a graph, which is replaced (and freed) where channels go. */
sonde_status sonde__plan_graph(sonde_context *context, const char *path, sonde__graph **graph);

/* A run keeps its plan as RUN/plan.json: where its configuration names one, it becomes that. */
sonde_status sonde__plan_in_run(sonde_context *context, const char *folder, sonde__config *config);
/* Copies config->pruned, if any, into a new run's folder. */
sonde_status sonde__plan_keep(sonde_context *context, const char *folder,
                              const sonde__config *config);

#endif
