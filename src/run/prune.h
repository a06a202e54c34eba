/*
 * Pruning as a job: a run or a model file in, a smaller model file and a plan out, with what it cost
 * and what it saved.
 *
 * Examples are those that training may see, in an order drawn from the seed. Test images, where there
 * are some, are only ever used to report accuracy. Nothing is written before everything is there.
 */
#ifndef SONDE_RUN_PRUNE_H
#define SONDE_RUN_PRUNE_H

#include "measure/prune.h"
#include "run/subject.h"

enum { SONDE__PRUNE_SPEEDS = 2 }; /* batches of 1 and 128 examples */

typedef struct sonde__prune_job {
    sonde__subject_options subject; /* max_batch and study are set here */
    sonde__prune_options options;
    const char *out, *plan; /* plan NULL: OUT with .plan.json in place of .safetensors */
    bool force;             /* files that exist are replaced */
    bool speed;             /* measure it */
    bool curve;             /* figures after every step */
} sonde__prune_job;

typedef struct sonde__prune_width {
    char *name;
    int before, after; /* output channels; of a plan of weights: weights that are not zero */
} sonde__prune_width;

/* After a step. */
typedef struct sonde__prune_point {
    size_t kept;
    double parameters, flops;
    double accuracy;     /* on test images; NaN: there are none */
    double re_estimated; /* the same with batch norm estimated anew; NaN: not asked for */
} sonde__prune_point;

/* Pairs are before and after. */
typedef struct sonde__prune_outcome {
    sonde_context *context;
    sonde__prune_report report;
    bool weights;       /* single ones went */
    char *model, *plan; /* the spec; the plan's path */
    char *folder;       /* of the run, or NULL */
    int64_t epoch;
    double parameters[2]; /* that are trained; of single weights those that are not zero */
    double flops[2], bytes[2];
    size_t test_examples;
    double accuracy[2];                     /* NaN: no test images */
    double seconds[SONDE__PRUNE_SPEEDS][2]; /* of a forward pass; NaN: not measured */
    int speed_batch[SONDE__PRUNE_SPEEDS];
    sonde__prune_width *widths;
    size_t width_count;
    sonde__prune_point *curve; /* by step from 1; NULL: not asked for */
    int curve_count;
    sonde__config config; /* in force */
} sonde__prune_outcome;

sonde_status sonde__prune_run(sonde_context *context, const sonde__prune_job *job,
                              sonde__prune_outcome *outcome);
void sonde__prune_outcome_free(sonde__prune_outcome *outcome);

/* prune_speed.c: median seconds of forward passes of n examples through two networks, in turns. */
sonde_status sonde__prune_speed(sonde_context *context, sonde__net *const nets[2], const float *x,
                                int n, double seconds[2]);

#endif
