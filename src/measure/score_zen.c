/*
 * Zen score on a network (Lin et al. 2021, arXiv 2102.01063; NASLib's measures/zen.py).
 *
 * Normal weights; two inputs e and e + 0.01 e' of normal numbers; the features before the global pool,
 * both passes in training mode. What batch norm took away is put back by the running variances, which
 * these two passes have moved from 1 (as in the published code, momentum 0.1).
 */
#include "measure/score_parts.h"

#include <string.h>

#include "base/random.h"

static const float perturbation = 0.01f;

static void draw_inputs(uint64_t seed, size_t count, float *input, float *perturbed)
{
    sonde__stream first = sonde__stream_open(seed, SONDE__RANDOM_NORMAL_INPUT, 0);
    sonde__stream second = sonde__stream_open(seed, SONDE__RANDOM_NORMAL_INPUT, 1);
    for (size_t i = 0; i < count; i++) {
        input[i] = (float)sonde__random_normal(&first);
        perturbed[i] = input[i] + perturbation * (float)sonde__random_normal(&second);
    }
}

/* The mean over channels of every batch norm's running variance; returns how many. */
static size_t mean_variances(sonde__net *net, float *plain, double *means)
{
    size_t count, norms = 0;
    const float *flat = sonde__net_weights(net, &count);
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        double sum = 0;
        if (parameter->role != SONDE__ROLE_RUNNING_VARIANCE)
            continue;
        sonde__net_export(net, flat, i, plain);
        for (size_t j = 0; j < parameter->elements; j++)
            sum += plain[j];
        means[norms++] = sum / (double)parameter->elements;
    }
    return norms;
}

typedef struct zen_work {
    float *input, *perturbed; /* n x features of the input */
    float *features;          /* of the first pass */
    float *plain;             /* one parameter */
    double *means;
    sonde__maps maps;
} zen_work;

static sonde_status allocate(sonde_context *context, sonde__net *net, int n, zen_work *work)
{
    const sonde__shape shape = sonde__net_input_shape(net);
    const sonde__form form = {n, shape, 1};
    const size_t inputs = sonde__form_floats(&form);
    const size_t parameters = (size_t)sonde__net_parameter_count(net);
    size_t largest = 0;
    for (size_t i = 0; i < parameters; i++) {
        const size_t elements = sonde__net_parameter(net, (int)i)->elements;
        largest = elements > largest ? elements : largest;
    }
    work->input = sonde__alloc(context, inputs, sizeof *work->input);
    work->perturbed = sonde__alloc(context, inputs, sizeof *work->perturbed);
    work->plain = sonde__alloc(context, largest, sizeof *work->plain);
    work->means = sonde__alloc(context, parameters, sizeof *work->means);
    if (!work->input || !work->perturbed || !work->plain || !work->means)
        return SONDE_ERROR_MEMORY;
    return sonde__maps_begin(context, net, n, &work->maps);
}

static sonde_status pass(sonde__net *net, const float *x, int n, sonde__maps *maps)
{
    const float *logits;
    SONDE_TRY(sonde__net_forward(net, SONDE__STUDY_TRAIN, x, n, 0, &logits));
    return sonde__maps_complete(net, maps);
}

static sonde_status measure(sonde_context *context, sonde__net *net, uint64_t seed, zen_work *work,
                            sonde_score *score)
{
    const sonde__shape input = sonde__net_input_shape(net);
    const int n = work->maps.n;
    const sonde__form form = {n, input, 1};
    draw_inputs(seed, sonde__form_floats(&form), work->input, work->perturbed);
    SONDE_TRY(sonde__weights_normal(context, net, seed, 0));
    SONDE_TRY(pass(net, work->input, n, &work->maps));
    const sonde__form maps = {n, work->maps.shape, 1};
    const size_t floats = sonde__form_floats(&maps);
    work->features = sonde__alloc(context, floats, sizeof *work->features);
    if (!work->features)
        return SONDE_ERROR_MEMORY;
    memcpy(work->features, work->maps.values, floats * sizeof *work->features);
    SONDE_TRY(pass(net, work->perturbed, n, &work->maps));
    const size_t norms = mean_variances(net, work->plain, work->means);
    const sonde_matrix before = {work->features, SONDE_F32, (size_t)n, floats / (size_t)n, 0};
    const sonde_matrix after = {work->maps.values, SONDE_F32, (size_t)n, floats / (size_t)n, 0};
    return sonde_zen(context, &before, &after, work->means, norms, score);
}

/* Noise is no text: a network that looks its input up has no zen score. */
static bool reads_ids(const sonde__graph *graph)
{
    for (int i = 0; i < sonde__graph_layer_count(graph); i++)
        if (sonde__graph_layer(graph, i).op == SONDE__OP_EMBEDDING)
            return true;
    return false;
}

sonde_status sonde__score_zen(sonde_context *context, sonde__net *net, uint64_t seed, int n,
                              sonde_score *score)
{
    if (reads_ids(sonde__net_graph(net)))
        return SONDE_OK;
    zen_work work = {0};
    sonde__kept_weights kept;
    sonde_status status = sonde__weights_keep(context, net, &kept);
    work.maps.context = context;
    if (status == SONDE_OK)
        status = allocate(context, net, n, &work);
    if (status == SONDE_OK)
        status = measure(context, net, seed, &work, score);
    sonde__maps_end(net, &work.maps);
    sonde__weights_put_back(net, &kept);
    sonde__free(context, work.input);
    sonde__free(context, work.perturbed);
    sonde__free(context, work.features);
    sonde__free(context, work.plain);
    sonde__free(context, work.means);
    return status;
}
