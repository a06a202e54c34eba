/*
 * Squared gradient norms of every example against a plain backward pass of the same batch: one JSON
 * line a network, milliseconds (least of many, alternating in one run) of the backward pass of
 * training, of the one under study, and of the one that finds the norms.
 *
 *     bench_example_norms [threads] [seconds a network]          default: 2 threads, 3 seconds
 *
 * Batch 128; resnet20 at 32x32x3 is the one that the promise (at most 2x) is about.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "base/thread.h"
#include "net/arch.h"
#include "net/study.h"

enum { BATCH = 128, CLASSES = 10, LEAST_ROUNDS = 5 };

typedef struct bench_case {
    const char *name, *spec;
    sonde__shape shape;
} bench_case;

static const bench_case cases[] = {{"resnet20", "resnet20", {3, 32, 32}},
                                   {"cnn", "cnn", {1, 28, 28}},
                                   {"mlp", "mlp:widths=512x512", {784, 1, 1}}};

typedef struct passes {
    sonde__net *net;
    float *x, *dlogits;
    double *norms;
    double train, study, each; /* least seconds */
} passes;

static void keep_least(double *least, double begin)
{
    double seconds = sonde__seconds() - begin;
    if (*least == 0 || seconds < *least)
        *least = seconds;
}

static sonde_status run_round(passes *p)
{
    const float *logits = NULL;
    SONDE_TRY(sonde__net_forward(p->net, SONDE__TRAIN, p->x, BATCH, 0, &logits));
    double begin = sonde__seconds();
    SONDE_TRY(sonde__net_backward(p->net, p->dlogits));
    keep_least(&p->train, begin);
    SONDE_TRY(sonde__net_forward(p->net, SONDE__STUDY_EVAL, p->x, BATCH, 0, &logits));
    begin = sonde__seconds();
    SONDE_TRY(sonde__net_backward(p->net, p->dlogits));
    keep_least(&p->study, begin);
    begin = sonde__seconds();
    SONDE_TRY(sonde__net_example_norms(p->net, p->dlogits, p->norms));
    keep_least(&p->each, begin);
    return SONDE_OK;
}

static sonde_status fill(sonde_context *context, passes *p)
{
    sonde__shape shape = sonde__net_input_shape(p->net);
    size_t features = (size_t)shape.channels * (size_t)shape.height * (size_t)shape.width;
    size_t parameters = (size_t)sonde__net_parameter_count(p->net);
    p->x = sonde__alloc(context, BATCH * features, sizeof *p->x);
    p->dlogits = sonde__alloc(context, (size_t)BATCH * CLASSES, sizeof *p->dlogits);
    p->norms = sonde__alloc(context, BATCH * parameters, sizeof *p->norms);
    if (!p->x || !p->dlogits || !p->norms)
        return SONDE_ERROR_MEMORY;
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, 0);
    for (size_t i = 0; i < BATCH * features; i++)
        p->x[i] = (float)sonde__random_normal(&stream);
    for (size_t i = 0; i < (size_t)BATCH * CLASSES; i++)
        p->dlogits[i] = (float)sonde__random_normal(&stream);
    return SONDE_OK;
}

static sonde_status measure(sonde_context *context, passes *p, const bench_case *each, int threads,
                            double budget)
{
    sonde__graph *graph = NULL;
    const sonde__net_options options = {
        .threads = threads, .max_batch = BATCH, .seed = 1, .winograd = true, .study = true};
    int rounds = 0;
    SONDE_TRY(sonde__arch_build(context, each->spec, each->shape, CLASSES, -1, &graph));
    SONDE_TRY(sonde__net_create(context, graph, &options, &p->net));
    SONDE_TRY(fill(context, p));
    SONDE_TRY(run_round(p)); /* kernels are made */
    p->train = p->study = p->each = 0;
    double begin = sonde__seconds();
    for (; rounds < LEAST_ROUNDS || sonde__seconds() - begin < budget; rounds++)
        SONDE_TRY(run_round(p));
    printf("{\"bench\": \"example_norms\", \"net\": \"%s\", \"threads\": %d, \"batch\": %d, "
           "\"rounds\": %d, \"backward_train_ms\": %.3f, \"backward_study_ms\": %.3f, "
           "\"example_norms_ms\": %.3f, \"ratio_to_train\": %.3f, \"ratio_to_study\": %.3f}\n",
           each->name, threads, BATCH, rounds, p->train * 1e3, p->study * 1e3, p->each * 1e3,
           p->each / p->train, p->each / p->study);
    fflush(stdout);
    return SONDE_OK;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 2;
    double budget = argc > 2 ? atof(argv[2]) : 3;
    sonde_context *context = NULL;
    sonde_status status = sonde_context_create(NULL, &context);
    for (size_t i = 0; status == SONDE_OK && i < sizeof cases / sizeof *cases; i++) {
        passes p = {0};
        status = measure(context, &p, &cases[i], threads, budget);
        sonde__net_free(p.net);
        sonde__free(context, p.x);
        sonde__free(context, p.dlogits);
        sonde__free(context, p.norms);
    }
    if (status != SONDE_OK)
        fprintf(stderr, "bench_example_norms: %s\n", sonde_context_error(context)->message);
    sonde_context_free(context);
    return status != SONDE_OK;
}
