/*
 * Pruning single weights: SNIP (arXiv 1810.02340), GraSP (2002.07376), SynFlow (2006.05467) and
 * magnitude, over all convolutions and linear layers, in steps whose share of kept weights falls
 * geometrically, as SynFlow's does.
 *
 * GraSP's Hessian-vector product is the central difference of the gradient along the gradient, in
 * evaluation mode. SynFlow's scores come without batch norm (measure/proxy_synflow.h).
 *
 * Invariant: a weight that has gone has the lowest score of all, and so never comes back.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "measure/proxy_synflow.h"
#include "measure/prune_internal.h"

/* Length of GraSP's difference, in lengths of the weights: rounding and curvature both stay small. */
static const double DIFFERENCE = 1e-3;

bool sonde__prune_is_weight(const sonde__parameter *parameter)
{
    return parameter->role == SONDE__ROLE_WEIGHT;
}

typedef struct masker {
    sonde_context *context;
    sonde__net *net;
    const sonde__prune_options *options;
    bool *const *keep;
    sonde__prune_sample sample;
    sonde_cut_weights_layer *layers; /* by weight parameter */
    float **scores;                  /* by parameter; NULL for others */
    float *weights, *other;          /* plain, the largest parameter */
    double *gradient, *turned;       /* flat: g, and H g */
    int parameters;
    size_t count; /* of the flat arrays */
} masker;

static void tell(const masker *m, int step, double share)
{
    const sonde__prune_progress progress = {step, m->options->steps, share, "measuring"};
    if (m->options->progress)
        m->options->progress(m->options->user, &progress);
}

static sonde_status apply_masks(sonde_context *context, sonde__net *net, bool *const *keep)
{
    float *flat = sonde__net_weights(net, &(size_t){0});
    for (int p = 0; p < sonde__net_parameter_count(net); p++) {
        const size_t elements = sonde__net_parameter(net, p)->elements;
        if (!keep[p])
            continue;
        float *plain = sonde__alloc(context, elements, sizeof *plain);
        if (!plain)
            return SONDE_ERROR_MEMORY;
        sonde__net_export(net, flat, p, plain);
        for (size_t i = 0; i < elements; i++)
            plain[i] = keep[p][i] ? plain[i] : 0;
        sonde__net_import(net, flat, p, plain);
        sonde__free(context, plain);
    }
    sonde__net_weights_changed(net);
    return SONDE_OK;
}

/* --- gradients ---------------------------------------------------------------------------------- */

/* The gradients of the mean losses of the mini-batches, summed over them. */
static sonde_status sum_gradients(const masker *m, double *sum)
{
    const size_t batches = sonde__prune_sample_batches(&m->sample);
    memset(sum, 0, m->count * sizeof *sum);
    for (size_t b = 0; b < batches; b++) {
        SONDE_TRY(sonde__prune_sample_gradient(&m->sample, m->net, b));
        const float *flat = sonde__net_gradients(m->net, &(size_t){0});
        for (size_t i = 0; i < m->count; i++)
            sum[i] += (double)flat[i];
        if (sonde__cancelled(m->context))
            return sonde__fail(m->context, SONDE_ERROR_CANCELLED, "pruning was cancelled");
    }
    return SONDE_OK;
}

/* The gradient by weights alone, zero elsewhere, into `direction`; returns its length. */
static double weight_part(const masker *m, const double *gradient, double *direction)
{
    double squares = 0;
    memset(direction, 0, m->count * sizeof *direction);
    for (int p = 0; p < m->parameters; p++) {
        const sonde__parameter *parameter = sonde__net_parameter(m->net, p);
        if (!m->keep[p])
            continue;
        for (size_t i = parameter->offset; i < parameter->offset + parameter->length; i++) {
            direction[i] = gradient[i];
            squares += direction[i] * direction[i];
        }
    }
    return sqrt(squares);
}

/* from + scale * direction into the network. */
static void move_weights(const masker *m, const float *from, const double *direction, double scale)
{
    float *flat = sonde__net_weights(m->net, &(size_t){0});
    for (size_t i = 0; i < m->count; i++)
        flat[i] = (float)((double)from[i] + scale * direction[i]);
    sonde__net_weights_changed(m->net);
}

static double length_of(const float *values, size_t count)
{
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += (double)values[i] * (double)values[i];
    return sqrt(squares);
}

/* H g = (grad(w + h g) - grad(w - h g)) / 2h, g by weights alone; the weights come back. */
static sonde_status turn_gradient(const masker *m, float *before, double *direction)
{
    memcpy(before, sonde__net_weights(m->net, &(size_t){0}), m->count * sizeof *before);
    SONDE_TRY(sum_gradients(m, m->gradient));
    const double length = weight_part(m, m->gradient, direction);
    const double h = length > 0 ? DIFFERENCE * length_of(before, m->count) / length : 1;
    move_weights(m, before, direction, h);
    sonde_status status = sum_gradients(m, m->turned);
    move_weights(m, before, direction, -h);
    if (status == SONDE_OK)
        status = sum_gradients(m, m->gradient);
    for (size_t i = 0; i < m->count && status == SONDE_OK; i++)
        m->turned[i] = (m->turned[i] - m->gradient[i]) / (2 * h);
    move_weights(m, before, direction, 0);
    return status;
}

static sonde_status hessian_times_gradient(const masker *m)
{
    float *before = sonde__alloc(m->context, m->count, sizeof *before);
    double *direction = sonde__alloc(m->context, m->count, sizeof *direction);
    const sonde_status status =
        before && direction ? turn_gradient(m, before, direction) : SONDE_ERROR_MEMORY;
    sonde__free(m->context, before);
    sonde__free(m->context, direction);
    return status;
}

sonde_status sonde__prune_curvature(const sonde__prune_sample *sample, sonde__net *net,
                                    bool *const *keep, double *product)
{
    masker m = {.context = sample->context, .net = net, .keep = keep, .sample = *sample};
    m.parameters = sonde__net_parameter_count(net);
    m.turned = product;
    sonde__net_weights(net, &m.count);
    m.gradient = sonde__alloc(m.context, m.count, sizeof *m.gradient);
    const sonde_status status = m.gradient ? hessian_times_gradient(&m) : SONDE_ERROR_MEMORY;
    sonde__free(m.context, m.gradient);
    return status;
}

/* --- scores ------------------------------------------------------------------------------------- */

/* `other`, flat, is what the criterion reads beside the weights; NULL: nothing. */
static sonde_status score_parameters(const masker *m, const double *other)
{
    float *flat = sonde__net_gradients(m->net, &(size_t){0});
    for (size_t i = 0; i < m->count && other; i++)
        flat[i] = (float)other[i];
    for (int p = 0; p < m->parameters; p++) {
        if (!m->keep[p])
            continue;
        sonde__net_export(m->net, sonde__net_weights(m->net, &(size_t){0}), p, m->weights);
        if (other)
            sonde__net_export(m->net, flat, p, m->other);
        SONDE_TRY(sonde_importance_weights(
            m->context, m->options->criterion, m->weights, other ? m->other : NULL,
            sonde__net_parameter(m->net, p)->elements, m->scores[p]));
    }
    return SONDE_OK;
}

static sonde_status score_synflow(const masker *m)
{
    sonde__synflow result;
    SONDE_TRY(sonde__measure_synflow(m->context, m->net, SONDE__SYNFLOW_NASLIB, false, m->scores,
                                     &result));
    if (result.log_score.validity == SONDE_VALID)
        return SONDE_OK;
    return sonde__fail(m->context, SONDE_ERROR_NUMERIC, "SynFlow has no score for this network: %s",
                       sonde_validity_sentence(result.log_score.validity));
}

static sonde_status score_step(const masker *m)
{
    switch (sonde_criterion_reads(m->options->criterion)) {
    case SONDE_NEEDS_GRADIENT:
        SONDE_TRY(sum_gradients(m, m->gradient));
        return score_parameters(m, m->gradient);
    case SONDE_NEEDS_HESSIAN:
        SONDE_TRY(sonde__prune_curvature(&m->sample, m->net, m->keep, m->turned));
        return score_parameters(m, m->turned);
    case SONDE_NEEDS_SYNFLOW:
        return score_synflow(m);
    default:
        return score_parameters(m, NULL);
    }
}

static void sink_gone(const masker *m)
{
    for (int p = 0; p < m->parameters; p++)
        for (size_t i = 0; m->keep[p] && i < sonde__net_parameter(m->net, p)->elements; i++)
            if (!m->keep[p][i])
                m->scores[p][i] = -FLT_MAX;
}

/* --- steps -------------------------------------------------------------------------------------- */

static sonde_status cut_step(const masker *m, size_t layers, int step, sonde_cut_report *report)
{
    const sonde__prune_options *o = m->options;
    sonde_cut_options options;
    sonde_cut_options_init(&options);
    options.ratio = 1 - pow(1 - o->ratio, (double)step / o->steps);
    options.scope = o->per_layer ? SONDE_CUT_LAYER : SONDE_CUT_GLOBAL;
    options.least = o->least;
    return sonde_cut_weights(m->context, m->layers, layers, &options, report);
}

static sonde_status reserve(masker *m, size_t *layers, size_t *all)
{
    size_t largest = 1;
    const size_t parameters = (size_t)m->parameters;
    m->layers = sonde__alloc_zero(m->context, parameters, sizeof *m->layers);
    m->scores = sonde__alloc_zero(m->context, parameters, sizeof *m->scores);
    m->gradient = sonde__alloc(m->context, m->count, sizeof *m->gradient);
    m->turned = sonde__alloc(m->context, m->count, sizeof *m->turned);
    if (!m->layers || !m->scores || !m->gradient || !m->turned)
        return SONDE_ERROR_MEMORY;
    for (int p = 0; p < m->parameters; p++) {
        const size_t elements = sonde__net_parameter(m->net, p)->elements;
        if (!m->keep[p])
            continue;
        m->scores[p] = sonde__alloc(m->context, elements, sizeof(float));
        if (!m->scores[p])
            return SONDE_ERROR_MEMORY;
        memset(m->keep[p], 1, elements);
        m->layers[(*layers)++] = (sonde_cut_weights_layer){m->scores[p], m->keep[p], elements};
        *all += elements;
        largest = elements > largest ? elements : largest;
    }
    m->weights = sonde__alloc(m->context, largest, sizeof *m->weights);
    m->other = sonde__alloc(m->context, largest, sizeof *m->other);
    return m->weights && m->other ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static sonde_status run_steps(masker *m, const sonde__prune_examples *examples,
                              sonde__prune_report *report)
{
    size_t layers = 0;
    SONDE_TRY(sonde__prune_check(m->context, m->net, m->options));
    SONDE_TRY(reserve(m, &layers, &report->units));
    SONDE_TRY(
        sonde__prune_sample_choose(m->context, m->net, examples, m->options, &m->sample, report));
    for (int step = 1; step <= m->options->steps; step++) {
        tell(m, step, 0);
        SONDE_TRY(score_step(m));
        sink_gone(m);
        SONDE_TRY(cut_step(m, layers, step, &report->cut));
        SONDE_TRY(apply_masks(m->context, m->net, m->keep));
        report->steps = step;
        report->kept = report->cut.kept;
    }
    if (m->options->re_estimate > 0)
        return sonde__prune_re_estimate(m->context, m->net, examples, m->options);
    return SONDE_OK;
}

sonde_status sonde__prune_weights(sonde_context *context, sonde__net *net,
                                  const sonde__prune_examples *examples,
                                  const sonde__prune_options *options, bool *const *keep,
                                  sonde__prune_report *report)
{
    masker m = {.context = context, .net = net, .options = options, .keep = keep};
    m.parameters = sonde__net_parameter_count(net);
    sonde__net_weights(net, &m.count);
    *report = (sonde__prune_report){0};
    const sonde_status status = run_steps(&m, examples, report);
    for (int p = 0; p < m.parameters && m.scores; p++)
        sonde__free(context, m.scores[p]);
    void *const blocks[] = {m.layers, m.scores, m.gradient, m.turned, m.weights, m.other};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        sonde__free(context, blocks[i]);
    sonde__prune_sample_free(&m.sample);
    return status;
}
