/*
 * What the parts of a survey share: the plan with its results (survey.c), the numbers of one matrix
 * (survey_source.c), one layer's spectrum (survey_layer.c), and who computes what when
 * (survey_schedule.c).
 *
 * Invariant: a layer belongs to the worker that took it until that worker gives it back under the
 * scheduler's mutex. Models and the context's error record are touched under `reading` alone while
 * workers run.
 */
#ifndef SONDE_MODEL_SURVEY_INTERNAL_H
#define SONDE_MODEL_SURVEY_INTERNAL_H

#include <pthread.h>

#include "model/lora.h"
#include "num/tiles.h"

/* One planned matrix and what came out of it. Strings are the plan's. */
typedef struct sonde__survey_layer {
    const sonde__matrix *matrix;
    sonde_layer_spectrum result;
    double *eigenvalues; /* of the context; result.eigenvalues once there are any */
    char *skipped;       /* found out while it was computed; of the context */
    size_t nonfinite;
    bool range;       /* eigenvalues beyond the range of doubles */
    bool read_failed; /* the file's fault, which ends the survey */
    bool finished;
} sonde__survey_layer;

struct sonde_survey {
    sonde_context *context;
    sonde__matrices matrices;
    sonde__survey_layer *layers; /* as many as there are matrices */
};

/* What every part of one run needs. */
typedef struct sonde__survey_run {
    sonde_context *context;
    const sonde_survey_options *options;
    sonde_model *model;
    sonde_survey *survey;
    pthread_mutex_t reading;
    sonde_status read_failure; /* of the first read that ends the survey; guarded by `reading` */
} sonde__survey_run;

/* --- survey_source.c ---------------------------------------------------------------------------- */

/* The numbers of one planned matrix, as tiles. */
typedef struct sonde__source {
    sonde__survey_run *run;
    sonde__survey_layer *layer;
    size_t slice;           /* which one the tiles show */
    double *whole;          /* a small convolution kernel, all of it; NULL: read from the file */
    double *row;            /* room for elements between which others lie in the file, or NULL */
    sonde__product product; /* of an adapter; `left` NULL: none */
} sonde__source;

/* Silent, on workers. Afterwards run->read_failure tells whether a failure was one of reading. */
sonde_status sonde__source_open(sonde__survey_run *run, sonde__survey_layer *layer,
                                sonde__source *source);
void sonde__source_close(sonde__source *source);
sonde__tiles sonde__source_tiles(sonde__source *source);
/* Bytes that an open one holds. */
size_t sonde__source_memory(const sonde__matrix *matrix);

/* --- survey_layer.c ----------------------------------------------------------------------------- */

/* Bytes needed at once for the values, results included; 0 where no machine has so many. */
size_t sonde__layer_memory(const sonde__survey_run *run, const sonde__matrix *matrix);
/* How many eigenvalues it gives. */
size_t sonde__layer_count(const sonde__matrix *matrix);
/* Estimated floating-point operations. */
double sonde__layer_work(const sonde__survey_run *run, const sonde__matrix *matrix);
/* The eigenvalues, and then what they say; silent. What only concerns this layer (numbers that do not
 * converge) makes it `skipped` and is SONDE_OK. */
sonde_status sonde__layer_values(sonde__survey_run *run, sonde__survey_layer *layer);
sonde_status sonde__layer_judge(sonde__survey_run *run, sonde__survey_layer *layer);
/* Sets the reason, quietly; without memory for it a fixed text. */
void sonde__layer_skip(sonde__survey_run *run, sonde__survey_layer *layer, const char *format, ...)
    SONDE_PRINTF(3, 4);

/* --- survey_schedule.c -------------------------------------------------------------------------- */

/* All layers that are not skipped. SONDE_ERROR_CANCELLED: some are not finished. */
sonde_status sonde__survey_schedule(sonde__survey_run *run);

#endif
