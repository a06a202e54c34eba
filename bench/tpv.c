/*
 * The trace of TPV of ResNet-20 over many inputs: one JSON line a number of sign draws an input (1:
 * what as many draws of the TPV repository estimate; 0: the exact sum over the outputs), with seconds
 * (least and median of some repeats) of the whole measurement, forward passes included.
 *
 *     bench_tpv [threads] [repeats] [inputs]                  default: 2 threads, 3 repeats, 2000
 *
 * With SONDE_DATA it is the trained network of cifar-resnets and the first images of cifar-10-30k,
 * and the trace can be compared with bench/peer_tpv.py; without, weights and inputs are random.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "base/thread.h"
#include "measure/tpv.h"
#include "net/arch.h"
#include "run/subject.h"

enum { BATCH = 128, CLASSES = 10, MOST_REPEATS = 100, FEATURES = 3 * 32 * 32 };

typedef struct bench {
    sonde_context *context;
    sonde__subject subject; /* holds the network where there is data */
    sonde__net *net;
    float *x;
    size_t inputs;
    int threads, repeats;
    const char *data; /* SONDE_DATA, or NULL */
} bench;

static sonde_status open_trained(bench *b)
{
    static const float mean[] = {0.485F, 0.456F, 0.406F}, deviation[] = {0.229F, 0.224F, 0.225F};
    sonde__subject_options options;
    char weights[SONDE__CONFIG_TEXT_MAX + 64];
    sonde__subject_options_init(&options);
    snprintf(options.config.data, sizeof options.config.data, "cifar-10");
    snprintf(options.config.data_dir, sizeof options.config.data_dir, "%s/cifar-10-30k", b->data);
    snprintf(options.config.model, sizeof options.config.model, "resnet20");
    snprintf(weights, sizeof weights, "%s/cifar-resnets/resnet20-12fca82f.th", b->data);
    options.config.threads = b->threads;
    options.weights = weights;
    options.channels = 3;
    for (int c = 0; c < 3; c++) {
        options.mean[c] = mean[c];
        options.deviation[c] = deviation[c];
    }
    options.max_batch = BATCH;
    options.study = true;
    SONDE_TRY(sonde__subject_open(b->context, &options, &b->subject));
    for (uint32_t i = 0; i < b->inputs; i++)
        sonde__batcher_fill(&b->subject.train_batcher, &i, 1, -1, b->x + (size_t)i * FEATURES,
                            NULL);
    b->net = b->subject.net;
    return SONDE_OK;
}

static sonde_status open_random(bench *b)
{
    sonde__graph *graph = NULL;
    const sonde__net_options options = {
        .threads = b->threads, .max_batch = BATCH, .seed = 1, .winograd = true, .study = true};
    SONDE_TRY(
        sonde__arch_build(b->context, "resnet20", (sonde__shape){3, 32, 32}, CLASSES, -1, &graph));
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, 0);
    for (size_t i = 0; i < b->inputs * FEATURES; i++)
        b->x[i] = (float)sonde__random_normal(&stream);
    return sonde__net_create(b->context, graph, &options, &b->net);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static sonde_status measure(bench *b, int draws)
{
    double seconds[MOST_REPEATS];
    sonde_estimate trace = {0};
    sonde__tpv_options options;
    const sonde__tpv_inputs all = {.x = b->x, .n = b->inputs};
    const sonde__tpv_inputs few = {.x = b->x, .n = b->inputs < BATCH ? b->inputs : BATCH};
    sonde__tpv_options_init(&options);
    options.batch = BATCH;
    options.draws = draws;
    SONDE_TRY(sonde__measure_tpv_trace(b->context, b->net, &few, &options, &trace)); /* warm up */
    for (int i = 0; i < b->repeats; i++) {
        const double begin = sonde__seconds();
        SONDE_TRY(sonde__measure_tpv_trace(b->context, b->net, &all, &options, &trace));
        seconds[i] = sonde__seconds() - begin;
    }
    qsort(seconds, (size_t)b->repeats, sizeof *seconds, ascending);
    printf("{\"bench\": \"tpv\", \"net\": \"resnet20\", \"trained\": %s, \"inputs\": %zu, "
           "\"draws\": %d, \"threads\": %d, \"seconds\": %.4f, \"seconds_median\": %.4f, "
           "\"trace\": %.8g, \"standard_error\": %.4g}\n",
           b->data ? "true" : "false", b->inputs, draws, b->threads, seconds[0],
           seconds[b->repeats / 2], trace.value, trace.standard_error);
    fflush(stdout);
    return SONDE_OK;
}

static sonde_status run(bench *b)
{
    b->x = sonde__alloc(b->context, b->inputs, FEATURES * sizeof(float));
    if (!b->x)
        return SONDE_ERROR_MEMORY;
    SONDE_TRY(b->data ? open_trained(b) : open_random(b));
    SONDE_TRY(measure(b, 1));
    return measure(b, 0);
}

int main(int argc, char **argv)
{
    bench b = {.threads = argc > 1 ? atoi(argv[1]) : 2,
               .repeats = argc > 2 ? atoi(argv[2]) : 3,
               .inputs = argc > 3 ? (size_t)atoi(argv[3]) : 2000,
               .data = getenv("SONDE_DATA")};
    if (b.threads < 1 || b.repeats < 1 || b.repeats > MOST_REPEATS || b.inputs < 2) {
        fprintf(stderr, "usage: bench_tpv [threads] [repeats, up to %d] [inputs]\n", MOST_REPEATS);
        return 2;
    }
    sonde_status status = sonde_context_create(NULL, &b.context);
    if (status == SONDE_OK)
        status = run(&b);
    if (status != SONDE_OK)
        fprintf(stderr, "bench_tpv: %s\n", sonde_context_error(b.context)->message);
    if (b.subject.context)
        sonde__subject_close(&b.subject);
    else
        sonde__net_free(b.net);
    sonde__free(b.context, b.x);
    sonde_context_free(b.context);
    return status != SONDE_OK;
}
