/*
 * Drawing probe batches. One shuffle of all examples (purpose PROBE, index 0) gives, in order: the
 * held-out ones, then the two training batches. So every kind of probe of one seed is disjoint from
 * the others, and the train and the augmented probe are of the same examples.
 */
#include "run/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"

enum { LEAST = 4 }; /* examples to train on: two training batches of two */

static int compare_indexes(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static sonde_status copy_indexes(sonde_context *context, sonde__probe *probe, const uint32_t *from,
                                 size_t count)
{
    probe->indexes = sonde__alloc(context, count, sizeof(uint32_t));
    if (!probe->indexes)
        return SONDE_ERROR_MEMORY;
    memcpy(probe->indexes, from, count * sizeof(uint32_t));
    probe->count = count;
    return SONDE_OK;
}

static sonde_status make_probe(sonde_context *context, const sonde__probe_plan *plan,
                               const uint32_t *shuffled, size_t batch, sonde__probe *probe)
{
    if (probe->kind == SONDE_PROBE_HELD) {
        SONDE_TRY(copy_indexes(context, probe, shuffled, plan->held));
        probe->end[0] = probe->end[1] = plan->held;
        probe->begin[1] = plan->held / 2;
        return SONDE_OK;
    }
    SONDE_TRY(copy_indexes(context, probe, shuffled + plan->held, 2 * batch));
    probe->end[0] = probe->begin[1] = batch;
    probe->end[1] = 2 * batch;
    return SONDE_OK;
}

sonde_status sonde__probes_draw(sonde_context *context, const sonde__probe_plan *plan,
                                size_t examples, uint32_t *indexes, size_t *positions,
                                sonde__probe *probes)
{
    if (examples < LEAST)
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "train-size", -1,
                              "there are %zu training examples, but a run needs at least %d",
                              examples, LEAST);
    if (examples - LEAST < plan->held)
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "probe", -1,
                              "--probe held:%zu leaves fewer than %d of the %zu examples to train "
                              "on; hold fewer out",
                              plan->held, LEAST, examples);
    size_t left = examples - plan->held;
    size_t batch = plan->size < left / 2 ? plan->size : left / 2;
    for (size_t i = 0; i < examples; i++)
        indexes[i] = (uint32_t)i;
    sonde__stream stream = sonde__stream_open(plan->seed, SONDE__RANDOM_PROBE, 0);
    sonde__random_shuffle(&stream, indexes, examples);
    for (int i = 0; i < plan->kind_count; i++) {
        probes[i].kind = plan->kinds[i];
        SONDE_TRY(make_probe(context, plan, indexes, batch, &probes[i]));
    }
    memmove(indexes, indexes + plan->held, left * sizeof(uint32_t));
    qsort(indexes, left, sizeof(uint32_t), compare_indexes);
    *positions = left;
    return SONDE_OK;
}

void sonde__probes_free(sonde_context *context, sonde__probe *probes, int count)
{
    for (int i = 0; i < count; i++) {
        sonde__free(context, probes[i].indexes);
        sonde__free(context, probes[i].labels);
        sonde__free(context, probes[i].features);
        sonde__free(context, probes[i].logits);
        memset(&probes[i], 0, sizeof(probes[i]));
    }
}
