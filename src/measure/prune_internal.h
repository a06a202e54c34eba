/* What the files of pruning share: chosen examples, and the gradient over their mini-batches. */
#ifndef SONDE_MEASURE_PRUNE_INTERNAL_H
#define SONDE_MEASURE_PRUNE_INTERNAL_H

#include "measure/prune.h"

/* Examples with the labels that they are measured with, and room for a mini-batch of them. */
typedef struct sonde__prune_sample {
    sonde_context *context;
    const sonde__prune_examples *examples;
    uint32_t *order; /* of the examples */
    int32_t *labels; /* pseudo-labels or true ones */
    size_t count, batch;
    float *x, *dlogits;
} sonde__prune_sample;

/* prune_sample.c: as many as options say, or fewer where there are no more. `report` gets the
 * numbers. Of criteria that need no example the sample is empty. */
sonde_status sonde__prune_sample_choose(sonde_context *context, sonde__net *whole,
                                        const sonde__prune_examples *examples,
                                        const sonde__prune_options *options,
                                        sonde__prune_sample *sample, sonde__prune_report *report);
void sonde__prune_sample_free(sonde__prune_sample *sample);
size_t sonde__prune_sample_batches(const sonde__prune_sample *sample);
/* Flat gradients of mini-batch `index` into the network, in STUDY_EVAL. */
sonde_status sonde__prune_sample_gradient(const sonde__prune_sample *sample, sonde__net *net,
                                          size_t index);

/* prune_score.c: adds to the scores (by unit) what each layer of `part` says about its channels;
 * `kept` tells which channels of the whole network those are. `gradients` NULL: not needed. */
typedef struct sonde__prune_scorer {
    const sonde__channels *channels;
    const bool *kept;
    sonde_criterion criterion;
    double *scores;
    bool *scored; /* by unit: something was said about it */
} sonde__prune_scorer;
sonde_status sonde__prune_score(sonde_context *context, const sonde__prune_scorer *scorer,
                                sonde__net *part, float *gradients);

/* prune.c: ranges of the options, and no parameter that is not finite. */
sonde_status sonde__prune_check(sonde_context *context, sonde__net *net,
                                const sonde__prune_options *options);

/* prune_weights.c: GraSP's H g, flat, with g and the direction by the weights that have a list in
 * `keep`. */
sonde_status sonde__prune_curvature(const sonde__prune_sample *sample, sonde__net *net,
                                    bool *const *keep, double *product);

#endif
