/*
 * The training step: forward, loss, backward, SGD with momentum and weight decay. One JSON line a
 * network: milliseconds (least and median), threads, peak resident memory, and time by part.
 *
 *     bench_step [threads] [seconds a network] [network ...]
 *
 * Networks: resnet20 (32x32x3), cnn (28x28x1), mlp (784-512-512-10), mobilenetv2 and vit-tiny
 * (32x32x3), all at batch 128. The peer is
 * peer_step.py. Least times are the ones to compare on a machine that others use too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/resource.h>

#include "base/compiler.h"
#include "base/random.h"
#include "base/thread.h"
#include "net/arch.h"
#include "net/loss.h"
#include "net/net.h"

enum { BATCH = 128, CLASSES = 10, WARM_UP = 3, MOST_STEPS = 20000, PARTS = 16 };

typedef struct bench_case {
    const char *name, *spec;
    sonde__shape shape;
} bench_case;

static const bench_case cases[] = {{"resnet20", "resnet20", {3, 32, 32}},
                                   {"cnn", "cnn", {1, 28, 28}},
                                   {"mlp", "mlp:widths=512x512", {784, 1, 1}},
                                   {"mobilenetv2", "mobilenetv2", {3, 32, 32}},
                                   {"vit-tiny", "vit-tiny", {3, 32, 32}}};

/* Everything that a step reads and writes. */
typedef struct step {
    sonde__net *net;
    float *x, *dlogits, *losses, *velocity;
    int32_t *labels;
    uint64_t number;
} step;

SONDE_CLONES static void update(float *restrict weights, const float *restrict gradients,
                                float *restrict velocity, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        velocity[i] = 0.9F * velocity[i] + gradients[i] + 5e-4F * weights[i];
        weights[i] -= 0.01F * velocity[i];
    }
}

static sonde_status run_step(step *s)
{
    size_t count;
    const float *logits = NULL;
    SONDE_TRY(sonde__net_forward(s->net, SONDE__TRAIN, s->x, BATCH, s->number++, &logits));
    sonde__loss_cross_entropy(logits, s->labels, BATCH, CLASSES, 0, s->losses, s->dlogits);
    SONDE_TRY(sonde__net_backward(s->net, s->dlogits));
    float *weights = sonde__net_weights(s->net, &count);
    update(weights, sonde__net_gradients(s->net, &count), s->velocity, count);
    sonde__net_weights_changed(s->net);
    return SONDE_OK;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static void print_parts(const sonde__net *net, const double *before, int steps)
{
    const char *names[PARTS];
    double seconds[PARTS];
    int parts = sonde__net_profile(net, names, seconds, PARTS);
    for (int i = 0; i < parts; i++)
        printf("%s\"%s\": %.4f", i ? ", " : "", names[i], (seconds[i] - before[i]) * 1e3 / steps);
}

static sonde_status measure(step *s, const bench_case *each, int threads, double budget)
{
    static double times[MOST_STEPS];
    const char *names[PARTS];
    double parts[PARTS] = {0}, begin;
    int steps = 0;
    for (int i = 0; i < WARM_UP; i++)
        SONDE_TRY(run_step(s));
    sonde__net_profile(s->net, names, parts, PARTS);
    begin = sonde__seconds();
    while (steps < MOST_STEPS && (steps < 10 || sonde__seconds() - begin < budget)) {
        double before = sonde__seconds();
        SONDE_TRY(run_step(s));
        times[steps++] = (sonde__seconds() - before) * 1e3;
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(times, (size_t)steps, sizeof *times, ascending);
    printf("{\"net\": \"%s\", \"threads\": %d, \"batch\": %d, \"steps\": %d, \"ms_min\": %.4f, "
           "\"ms_median\": %.4f, \"engine_bytes\": %zu, \"peak_rss_bytes\": %lld, \"parts_ms\": {",
           each->name, threads, BATCH, steps, times[0], times[steps / 2], sonde__net_memory(s->net),
           (long long)usage.ru_maxrss * 1024);
    print_parts(s->net, parts, steps);
    printf("}}\n");
    fflush(stdout);
    return SONDE_OK;
}

static sonde_status fill(sonde_context *context, step *s)
{
    sonde__shape shape = sonde__net_input_shape(s->net);
    size_t features = (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width, count;
    sonde__net_weights(s->net, &count);
    s->x = sonde__alloc(context, BATCH * features, sizeof *s->x);
    s->dlogits = sonde__alloc(context, (size_t)BATCH * CLASSES, sizeof *s->dlogits);
    s->losses = sonde__alloc(context, BATCH, sizeof *s->losses);
    s->labels = sonde__alloc(context, BATCH, sizeof *s->labels);
    s->velocity = sonde__alloc_zero(context, count, sizeof *s->velocity);
    if (!s->x || !s->dlogits || !s->losses || !s->labels || !s->velocity)
        return SONDE_ERROR_MEMORY;
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, 0);
    for (size_t i = 0; i < BATCH * features; i++)
        s->x[i] = (float)sonde__random_normal(&stream);
    for (int i = 0; i < BATCH; i++)
        s->labels[i] = (int32_t)sonde__random_below(&stream, CLASSES);
    return SONDE_OK;
}

static sonde_status run_case(sonde_context *context, const bench_case *each, int threads,
                             double budget)
{
    step s = {0};
    sonde__graph *graph = NULL;
    sonde__net_options options = {
        .threads = threads, .max_batch = BATCH, .seed = 1, .winograd = true};
    SONDE_TRY(sonde__arch_build(context, each->spec, each->shape, CLASSES, -1, &graph));
    SONDE_TRY(sonde__net_create(context, graph, &options, &s.net));
    sonde_status status = fill(context, &s);
    if (status == SONDE_OK)
        status = measure(&s, each, threads, budget);
    sonde__free(context, s.x);
    sonde__free(context, s.dlogits);
    sonde__free(context, s.losses);
    sonde__free(context, s.labels);
    sonde__free(context, s.velocity);
    sonde__net_free(s.net);
    return status;
}

static bool wanted(const char *name, int count, char **names)
{
    for (int i = 3; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return count <= 3;
}

int main(int count, char **arguments)
{
    int threads = count > 1 ? atoi(arguments[1]) : 0;
    double budget = count > 2 ? atof(arguments[2]) : 5;
    sonde_context *context = NULL;
    if (sonde_context_create(NULL, &context) != SONDE_OK)
        return 1;
    sonde_status status = SONDE_OK;
    for (size_t i = 0; i < sizeof cases / sizeof *cases && status == SONDE_OK; i++) {
        if (wanted(cases[i].name, count, arguments))
            status = run_case(context, &cases[i], threads, budget);
    }
    if (status != SONDE_OK)
        fprintf(stderr, "bench_step: %s\n", sonde_context_error(context)->message);
    sonde_context_free(context);
    return status == SONDE_OK ? 0 : 1;
}
