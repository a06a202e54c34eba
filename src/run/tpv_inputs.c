/* Examples chosen without replacement by a keyed stream, filled in as training sees them unaugmented. */
#include "run/tpv_inputs.h"

#include <string.h>

#include "base/random.h"

/* Streams of the same purpose that shuffle passes have small indexes. */
static const uint64_t choice_index = UINT64_C(1) << 40;

static uint32_t *choose(sonde_context *context, const sonde__tpv_choice *choice, size_t *count)
{
    uint32_t *chosen = sonde__alloc(context, choice->count, sizeof *chosen);
    if (!chosen)
        return NULL;
    for (size_t i = 0; i < choice->count; i++)
        chosen[i] = choice->indexes ? choice->indexes[i] : (uint32_t)i;
    *count = choice->count;
    if (choice->wanted > 0 && choice->wanted < choice->count) {
        sonde__stream stream =
            sonde__stream_open(choice->seed, SONDE__RANDOM_TPV_ORDER, choice_index + choice->which);
        sonde__random_shuffle(&stream, chosen, choice->count);
        *count = choice->wanted;
    }
    return chosen;
}

/* One-hot; `n` labels. */
static sonde_status fill_targets(sonde_context *context, size_t classes, size_t n,
                                 sonde__tpv_sample *sample)
{
    sample->targets = sonde__alloc_zero(context, n, classes * sizeof(float));
    if (!sample->targets)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < n; i++)
        sample->targets[i * classes + (size_t)sample->labels[i]] = 1;
    return SONDE_OK;
}

sonde_status sonde__tpv_sample_draw(sonde_context *context, const sonde__tpv_choice *choice,
                                    sonde__tpv_sample *sample)
{
    size_t n = 0;
    *sample = (sonde__tpv_sample){0};
    uint32_t *chosen = choose(context, choice, &n);
    if (!chosen)
        return SONDE_ERROR_MEMORY;
    sample->x = sonde__alloc(context, n, choice->batcher->features * sizeof(float));
    const size_t rows = (size_t)choice->batcher->dataset->rows;
    sample->labels = sonde__alloc(context, n, rows * sizeof(int32_t));
    sonde_status status = sample->x && sample->labels ? SONDE_OK : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK) {
        sonde__batcher_fill(choice->batcher, chosen, n, -1, sample->x, sample->labels);
        if (choice->loss != SONDE_HEAD_SOFTMAX)
            status =
                fill_targets(context, (size_t)choice->batcher->dataset->classes, n * rows, sample);
    }
    sonde__free(context, chosen);
    sample->inputs = (sonde__tpv_inputs){sample->x, sample->labels, sample->targets, n};
    return status;
}

sonde_status sonde__tpv_sample_subject(const sonde__subject *subject, bool test, size_t wanted,
                                       sonde__tpv_sample *sample)
{
    *sample = (sonde__tpv_sample){0};
    if (test && (!subject->test || subject->test->count == 0))
        return SONDE_OK;
    const sonde__tpv_choice choice = {
        .batcher = test ? &subject->test_batcher : &subject->train_batcher,
        .indexes = test ? NULL : subject->indexes,
        .count = test ? subject->test->count : subject->positions,
        .wanted = wanted,
        .seed = (uint64_t)subject->config.seed,
        .which = test,
        .loss = subject->choices.loss,
    };
    return sonde__tpv_sample_draw(subject->context, &choice, sample);
}

void sonde__tpv_sample_free(sonde_context *context, sonde__tpv_sample *sample)
{
    sonde__free(context, sample->x);
    sonde__free(context, sample->labels);
    sonde__free(context, sample->targets);
    *sample = (sonde__tpv_sample){0};
}
