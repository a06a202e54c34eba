/*
 * The head-gradient probe after the forward pass: milliseconds and scratch memory for each form, as
 * JSON lines. bench/peer_head.py prints the same for numpy and torch.
 *
 *     bench_head [rows outputs features]...        default: the sizes of the promise, and a few more
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "base/thread.h"

static float *random_floats(uint64_t index, size_t n, int positive)
{
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, index);
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; values && i < n; i++) {
        double x = sonde__random_normal(&stream);
        values[i] = (float)(positive && x < 0 ? 0 : x);
    }
    return values;
}

/* Best and median of many; the median tells whether a neighbour was busy. */
static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(sonde_head_form form, const char *name, sonde_head_batch batch)
{
    enum { MOST = 200 };
    double times[MOST], begin = sonde__seconds();
    sonde_context *context = NULL;
    if (sonde_context_create(NULL, &context) != SONDE_OK)
        return;
    sonde_head_report report = {0};
    int count = 0;
    batch.form = form;
    while (count < MOST && (count < 5 || sonde__seconds() - begin < 1.0)) {
        double start = sonde__seconds();
        if (sonde_head_gradient(context, &batch, &report) != SONDE_OK)
            break;
        times[count++] = sonde__seconds() - start;
    }
    qsort(times, (size_t)count, sizeof times[0], compare);
    if (count > 0)
        printf("{\"bench\": \"head\", \"form\": \"%s\", \"used\": \"%s\", \"rows\": %zu, "
               "\"outputs\": %zu, "
               "\"features\": %zu, \"ms\": %.4f, \"ms_median\": %.4f, \"scratch_kb\": %zu, "
               "\"raw\": %.17g, \"relative_error_bound\": %.2g}\n",
               name, report.form == SONDE_FORM_GRAM ? "gram" : "direct", batch.logits.rows,
               batch.logits.cols, batch.features.cols, times[0] * 1e3, times[count / 2] * 1e3,
               sonde_context_memory_peak(context) / 1024, report.raw.value,
               report.raw.error_bound / report.raw.value);
    sonde_context_free(context);
}

static void bench(size_t rows, size_t outputs, size_t features)
{
    float *z = random_floats(1, rows * features, 1), *o = random_floats(2, rows * outputs, 0);
    float *w = random_floats(3, outputs * features, 0);
    int64_t *labels = malloc(rows * sizeof *labels);
    if (z && o && w && labels) {
        for (size_t i = 0; i < rows; i++)
            labels[i] = (int64_t)(i % outputs);
        sonde_head_batch batch;
        sonde_head_batch_init(&batch);
        batch.features = (sonde_matrix){z, SONDE_F32, rows, features, 0};
        batch.logits = (sonde_matrix){o, SONDE_F32, rows, outputs, 0};
        batch.labels = labels;
        run(SONDE_FORM_AUTO, "auto", batch);
        run(SONDE_FORM_DIRECT, "direct", batch);
        run(SONDE_FORM_GRAM, "gram", batch);
        batch.weight = (sonde_matrix){w, SONDE_F32, outputs, features, 0};
        run(SONDE_FORM_AUTO, "auto, weight norm too", batch);
    }
    free(z);
    free(o);
    free(w);
    free(labels);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        for (int i = 1; i + 2 < argc; i += 3)
            bench(strtoull(argv[i], NULL, 10), strtoull(argv[i + 1], NULL, 10),
                  strtoull(argv[i + 2], NULL, 10));
        return 0;
    }
    bench(128, 1000, 2048);
    bench(128, 10, 512);
    bench(128, 100, 64);
    bench(256, 100, 512);
    bench(64, 32000, 4096);
    return 0;
}
