/* Inputs of a TPV measurement, drawn from a subject's data. */
#ifndef SONDE_RUN_TPV_INPUTS_H
#define SONDE_RUN_TPV_INPUTS_H

#include "measure/tpv.h"
#include "run/subject.h"

typedef struct sonde__tpv_sample {
    sonde__tpv_inputs inputs; /* what it holds, for sonde__measure_tpv */
    float *x, *targets;
    int32_t *labels;
} sonde__tpv_sample;

/* Which examples of a data set, as they are (not augmented). */
typedef struct sonde__tpv_choice {
    const sonde__batcher *batcher;
    const uint32_t *indexes; /* to choose from, `count`; NULL: 0 .. count - 1 */
    size_t count, wanted;    /* wanted 0 or more than there are: all */
    uint64_t seed, which;    /* other examples for another `which` */
    sonde_head_kind loss;    /* other than softmax: one-hot targets too */
} sonde__tpv_choice;

/* The same choice for the same seed; freed with sonde__tpv_sample_free, also after a failure. */
sonde_status sonde__tpv_sample_draw(sonde_context *context, const sonde__tpv_choice *choice,
                                    sonde__tpv_sample *sample);
/* Training inputs of the examples that are not held out (`test` false), or of the test part; none
 * of a subject without a test part. */
sonde_status sonde__tpv_sample_subject(const sonde__subject *subject, bool test, size_t wanted,
                                       sonde__tpv_sample *sample);
void sonde__tpv_sample_free(sonde_context *context, sonde__tpv_sample *sample);

#endif
