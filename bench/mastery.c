/*
 * Bookkeeping of mastery for a million examples, as JSON lines: nanoseconds per recorded loss (ids in
 * random order, as a shuffled epoch brings them) and milliseconds for one end_epoch; dense and sparse.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "base/thread.h"

enum { EXAMPLES = 1000000, BATCH = 128, EPOCHS = 12 };

typedef struct load {
    uint64_t *ids;
    float *losses;
} load;

static double record_all(sonde_mastery *mastery, const load *work)
{
    double start = sonde__seconds();
    for (size_t i = 0; i < EXAMPLES; i += BATCH) {
        size_t n = EXAMPLES - i < BATCH ? EXAMPLES - i : BATCH;
        if (sonde_mastery_record(mastery, work->ids + i, work->losses + i, n) != SONDE_OK)
            return -1;
    }
    return (sonde__seconds() - start) / EXAMPLES * 1e9;
}

static void run(const char *name, uint64_t examples, sonde_mastery_mode mode, const load *work)
{
    sonde_context *context = NULL;
    sonde_mastery *mastery = NULL;
    sonde_mastery_options options;
    sonde_mastery_options_init(&options);
    options.examples = examples;
    options.mode = mode;
    double record = 1e9, end = 1e9;
    if (sonde_context_create(NULL, &context) != SONDE_OK ||
        sonde_mastery_create(context, &options, &mastery) != SONDE_OK) {
        sonde_context_free(context);
        return;
    }
    for (int64_t t = 1; t <= EPOCHS; t++) {
        double each = record_all(mastery, work);
        double start = sonde__seconds();
        if (sonde_mastery_end_epoch(mastery, t) != SONDE_OK)
            break;
        double ms = (sonde__seconds() - start) * 1e3;
        record = t > 1 && each < record ? each : record;
        end = ms < end ? ms : end;
    }
    printf("{\"bench\": \"mastery\", \"ids\": \"%s\", \"mode\": %d, \"examples\": %d, "
           "\"record_ns\": %.2f, \"end_epoch_ms\": %.3f, \"bytes_per_example\": %.1f}\n",
           name, (int)mode, (int)EXAMPLES, record, end,
           (double)sonde_context_memory_used(context) / EXAMPLES);
    sonde_mastery_free(mastery);
    sonde_context_free(context);
}

int main(void)
{
    load work = {malloc(EXAMPLES * sizeof(uint64_t)), malloc(EXAMPLES * sizeof(float))};
    uint32_t *order = malloc(EXAMPLES * sizeof *order);
    if (!work.ids || !work.losses || !order)
        return 1;
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, 0);
    for (uint32_t i = 0; i < EXAMPLES; i++)
        order[i] = i;
    sonde__random_shuffle(&stream, order, EXAMPLES);
    for (size_t i = 0; i < EXAMPLES; i++) {
        work.ids[i] = order[i];
        work.losses[i] = (float)sonde__random_uniform(&stream);
    }
    for (int mode = 0; mode < 3; mode++)
        run("dense", EXAMPLES, (sonde_mastery_mode)mode, &work);
    for (size_t i = 0; i < EXAMPLES; i++)
        work.ids[i] = order[i] * UINT64_C(0x9e3779b97f4a7c15);
    run("sparse", 0, SONDE_MASTERY_CORRECTED, &work);
    free(work.ids);
    free(work.losses);
    free(order);
    return 0;
}
