/*
 * A random graph's network and the plain interpreter of it, side by side: what the engine found is
 * compared with the reference, within what rounding moves a slightly disturbed reference by.
 */
#ifndef SONDE_TESTS_NET_PAIR_H
#define SONDE_TESTS_NET_PAIR_H

#include "check.h"

#include "base/random.h"
#include "net/net_internal.h"
#include "random_graph.h"
#include "reference_net.h"

enum { MAX_BATCH = 5 };

typedef struct pair {
    sonde_context *context;
    sonde__net *net;
    sonde__net_options options;
    sonde__stream stream;
    uint64_t number;
    reference_net exact, disturbed;
    sonde__mode mode;
    int batch;
    float *x, *dlogits, *dx;
    unsigned char **kept;
} pair;

static inline float *normal_values(pair *p, size_t count, double scale)
{
    float *values = reference_zeros(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(scale * sonde__random_normal(&p->stream));
    return values;
}

/* Scales and running statistics away from the ones and zeros that they begin with. */
static inline void draw_parameters(pair *p)
{
    size_t count;
    float *weights = sonde__net_weights(p->net, &count);
    for (int i = 0; i < sonde__net_parameter_count(p->net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(p->net, i);
        if (parameter->role == SONDE__ROLE_WEIGHT)
            continue;
        float *plain = normal_values(p, parameter->elements, 0.4);
        for (size_t k = 0; k < parameter->elements; k++) {
            if (parameter->role == SONDE__ROLE_RUNNING_VARIANCE)
                plain[k] = 0.5F + fabsf(plain[k]);
            else if (parameter->role == SONDE__ROLE_SCALE)
                plain[k] += 1;
        }
        sonde__net_import(p->net, weights, i, plain);
        free(plain);
    }
    sonde__net_weights_changed(p->net);
}

/* What dropout keeps: asked from the operator itself, by the layout of its value. */
static inline void find_kept(pair *p, uint64_t step)
{
    const sonde__graph *graph = sonde__net_graph(p->net);
    for (int i = 0; i < graph->layer_count; i++) {
        const sonde__layer *l = &graph->layers[i];
        if (l->op != SONDE__OP_DROPOUT || !l->used)
            continue;
        sonde__form form = {p->batch, l->shape, p->net->nodes[i].block};
        size_t count = sonde__form_floats(&form), pixels = sonde__form_pixels(&form);
        sonde__dropout dropout = {p->options.seed, step, (uint32_t)i, l->rate};
        float *ones = reference_zeros(count, sizeof *ones);
        unsigned char *lying = reference_zeros(count, 1);
        p->kept[i] = reference_zeros((size_t)p->batch * sonde__features(l->shape), 1);
        sonde__dropout_forward(&dropout, count, ones, lying, ones);
        for (int n = 0; n < p->batch; n++)
            for (int c = 0; c < l->shape.channels; c++)
                for (size_t k = 0; k < pixels; k++)
                    p->kept[i][((size_t)n * (size_t)l->shape.channels + (size_t)c) * pixels + k] =
                        lying[(size_t)n * sonde__form_stride(&form) +
                              sonde__form_index(&form, c, k)];
        free(ones);
        free(lying);
    }
}

static inline void open_reference(pair *p, reference_net *r, double noise)
{
    const sonde__graph *graph = sonde__net_graph(p->net);
    size_t count;
    const float *weights = sonde__net_weights(p->net, &count);
    reference_open(r, graph, p->batch);
    r->train = p->mode == SONDE__TRAIN || p->mode == SONDE__STUDY_TRAIN;
    r->noise = noise;
    r->stream = sonde__stream_open(p->number, SONDE__RANDOM_TEST, 1000);
    for (int i = 0; i < graph->parameter_count; i++) {
        size_t elements = graph->parameters[i].elements;
        float *plain = reference_zeros(elements, sizeof *plain);
        sonde__net_export(p->net, weights, i, plain);
        for (size_t k = 0; k < elements; k++)
            r->parameters[i][k] = (double)plain[k];
        free(plain);
    }
    for (int i = 0; i < graph->layer_count; i++)
        r->kept[i] = p->kept[i];
    for (size_t i = 0; i < reference_floats(r, 0); i++)
        r->values[0][i] = (double)p->x[i];
    reference_forward(r);
}

/* Against the exact reference, within what rounding moved the disturbed one by. */
static inline void compare(const pair *p, const char *what, const float *found, const double *exact,
                           const double *disturbed, size_t count)
{
    static const char *const mode_names[] = {"eval", "train", "study eval", "study train"};
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(exact[i]));
    double allowed = 1e-6 + 2e-5 * largest + 20 * reference_distance(exact, disturbed, count);
    for (size_t i = 0; i < count; i++) {
        if (fabs((double)found[i] - exact[i]) <= allowed)
            continue;
        print_graph(sonde__net_graph(p->net));
        fail_msg("graph %llu, batch %d, %s, %d threads, winograd %d: %s[%zu] of %zu is %.9g, not "
                 "%.9g (within %.3g)",
                 (unsigned long long)p->number, p->batch, mode_names[p->mode], p->options.threads,
                 (int)p->options.winograd, what, i, count, (double)found[i], exact[i], allowed);
    }
}

static inline void compare_parameters(const pair *p, bool gradients)
{
    const sonde__graph *graph = sonde__net_graph(p->net);
    size_t count, nonzero = 0, seen = 0;
    float *flat = sonde__net_gradients(p->net, &count);
    for (int i = 0; i < graph->parameter_count; i++) {
        const sonde__parameter *parameter = &graph->parameters[i];
        bool trained = parameter->length > 0;
        if (gradients != trained)
            continue;
        float *plain = reference_zeros(parameter->elements, sizeof *plain);
        sonde__net_export(p->net, flat, i, plain);
        const reference_net *a = &p->exact, *b = &p->disturbed;
        compare(p, parameter->name, plain, gradients ? a->gradients[i] : a->parameters[i],
                gradients ? b->gradients[i] : b->parameters[i], parameter->elements);
        for (size_t k = 0; k < parameter->elements; k++)
            seen += plain[k] != 0;
        free(plain);
    }
    for (size_t i = 0; gradients && i < count; i++)
        nonzero += flat[i] != 0;
    if (gradients && seen != nonzero)
        fail_msg("graph %llu: padding holds gradients", (unsigned long long)p->number);
}

static inline void backward_references(pair *p)
{
    int output = sonde__net_graph(p->net)->output;
    for (size_t i = 0; i < reference_floats(&p->exact, output); i++)
        p->exact.slopes[output][i] = p->disturbed.slopes[output][i] = (double)p->dlogits[i];
    reference_backward(&p->exact);
    reference_backward(&p->disturbed);
}

static inline void open_pair_for(pair *p, uint64_t number, bool study, bool tangent)
{
    memset(p, 0, sizeof *p);
    p->number = number;
    p->context = check_context();
    p->stream = sonde__stream_open(number, SONDE__RANDOM_TEST, 2000);
    p->options = (sonde__net_options){.threads = 1 + (int)(number & 1),
                                      .max_batch = MAX_BATCH,
                                      .seed = number,
                                      .winograd = (number & 2) != 0,
                                      .study = study,
                                      .tangent = tangent};
    check_ok(p->context,
             sonde__net_create(p->context, random_graph(p->context, number), &p->options, &p->net));
    draw_parameters(p);
}

static inline void open_pair(pair *p, uint64_t number, bool study)
{
    open_pair_for(p, number, study, false);
}

static inline size_t pair_inputs(const pair *p)
{
    return (size_t)p->batch * sonde__features(sonde__net_graph(p->net)->layers[0].shape);
}

static inline size_t pair_outputs(const pair *p)
{
    return (size_t)p->batch * (size_t)sonde__net_outputs(p->net);
}

/* Draws an input and a gradient of the logits, runs both forward and compares the logits. */
static inline void begin_pass(pair *p, sonde__mode mode, int batch, uint64_t step)
{
    const sonde__graph *graph = sonde__net_graph(p->net);
    const float *logits = NULL;
    bool winograd = p->options.winograd && mode == SONDE__TRAIN;
    p->mode = mode;
    p->batch = batch;
    p->x = normal_values(p, pair_inputs(p), 1);
    p->dlogits = normal_values(p, pair_outputs(p), 1);
    p->kept = reference_zeros((size_t)graph->layer_count, sizeof *p->kept);
    if (mode == SONDE__TRAIN)
        find_kept(p, step);
    open_reference(p, &p->exact, 0);
    open_reference(p, &p->disturbed, winograd ? 4e-6 : 1e-6);
    check_ok(p->context, sonde__net_forward(p->net, mode, p->x, batch, step, &logits));
    compare(p, "logits", logits, p->exact.values[graph->output], p->disturbed.values[graph->output],
            pair_outputs(p));
}

static inline void end_pass(pair *p)
{
    for (int i = 0; i < sonde__net_graph(p->net)->layer_count; i++)
        free(p->kept[i]);
    free(p->kept);
    free(p->x);
    free(p->dlogits);
    free(p->dx);
    p->dx = NULL;
    sonde__net_want_input_gradient(p->net, NULL);
    reference_close(&p->exact);
    reference_close(&p->disturbed);
}

static inline void close_pair(pair *p)
{
    sonde__net_free(p->net);
    assert_int_equal(sonde_context_memory_used(p->context), 0);
    sonde_context_free(p->context);
}

#endif
