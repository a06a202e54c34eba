/*
 * How much each channel of a layer matters, from the layer's arrays (out x in x kernel):
 *
 *   jbr, jacobian  (sum over the channel of w g, with the bias for outputs)^2, per mini-batch
 *   taylor         sum |w g|                       Molchanov et al. 2019
 *   l1             sum |w|
 *   bn_scale       |scale| of a norm               Liu et al., arXiv 1708.06519
 *   fpgm           sum_j ||w_i - w_j||             He et al. 2019; fpgm_squares: of w^2, elementwise
 *   whc            sum_j ||w_i|| ||w_j|| (1 - |cos|)
 *
 * Sources: devansharpit/TPV (jbr, whc) and VainF/Torch-Pruning (the others), as they compute them: a
 * bias counts for jbr and jacobian alone, norms neither for fpgm and whc nor, in that code, for
 * taylor. A train-mode batch norm makes sums of w g of what it follows 0: gradients must come from
 * evaluation mode.
 */
#include "base/context.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "num/vectors.h"

/* Of PyTorch's normalize. */
static const double EPS = 1e-12;

/* The `kernel` weights that join an output and an input. */
static size_t offset_of(const sonde_importance_layer *layer, size_t output, size_t input)
{
    return (output * layer->in + input) * layer->kernel;
}

/* --- sums over a channel ----------------------------------------------------------------------- */

static double product_sum(const float *w, const float *g, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)w[i] * (double)g[i];
    return sum;
}

static double product_magnitudes(const float *w, const float *g, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)w[i] * (double)g[i]);
    return sum;
}

static double magnitudes(const float *w, const float *g, size_t n)
{
    (void)g;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)w[i]);
    return sum;
}

typedef double (*sum_fn)(const float *w, const float *g, size_t n);

/* Of one output channel: all its weights lie together. */
static double output_sum(const sonde_importance_layer *layer, size_t output, sum_fn sum)
{
    const size_t at = offset_of(layer, output, 0);
    return sum(layer->weight + at, layer->gradient ? layer->gradient + at : NULL,
               layer->in * layer->kernel);
}

static double input_sum(const sonde_importance_layer *layer, size_t input, sum_fn sum)
{
    double total = 0;
    for (size_t output = 0; output < layer->out; output++) {
        const size_t at = offset_of(layer, output, input);
        total +=
            sum(layer->weight + at, layer->gradient ? layer->gradient + at : NULL, layer->kernel);
    }
    return total;
}

static void add_sums(const sonde_importance_layer *layer, sonde_importance_side side, sum_fn sum,
                     double *scores)
{
    if (side == SONDE_SIDE_INPUTS)
        for (size_t i = 0; i < layer->in; i++)
            scores[i] += input_sum(layer, i, sum);
    else
        for (size_t o = 0; o < layer->out; o++)
            scores[o] += output_sum(layer, o, sum);
}

/* Squares of the signed sums; the bias belongs to the outputs. */
static void add_jacobian(const sonde_importance_layer *layer, sonde_importance_side side,
                         double *scores)
{
    if (side == SONDE_SIDE_INPUTS) {
        for (size_t i = 0; i < layer->in; i++) {
            const double change = input_sum(layer, i, product_sum);
            scores[i] += change * change;
        }
        return;
    }
    const bool biased = layer->bias && layer->bias_gradient;
    for (size_t o = 0; o < layer->out; o++) {
        double change = output_sum(layer, o, product_sum);
        if (biased)
            change += (double)layer->bias[o] * (double)layer->bias_gradient[o];
        scores[o] += change * change;
    }
}

/* --- distances between filters ----------------------------------------------------------------- */

/* Channels of one side as rows of doubles. */
typedef struct filters {
    double *values;
    size_t count, length;
} filters;

static sonde_status make_filters(sonde_context *context, const sonde_importance_layer *layer,
                                 sonde_importance_side side, filters *made)
{
    const bool inputs = side == SONDE_SIDE_INPUTS;
    made->count = inputs ? layer->in : layer->out;
    made->length = (inputs ? layer->out : layer->in) * layer->kernel;
    made->values = sonde__alloc(context, made->count, made->length * sizeof *made->values);
    if (!made->values)
        return SONDE_ERROR_MEMORY;
    for (size_t o = 0; o < layer->out; o++)
        for (size_t i = 0; i < layer->in; i++) {
            const float *const from = layer->weight + offset_of(layer, o, i);
            double *const to =
                made->values + (inputs ? i : o) * made->length + (inputs ? o : i) * layer->kernel;
            for (size_t k = 0; k < layer->kernel; k++)
                to[k] = (double)from[k];
        }
    return SONDE_OK;
}

/* ||a|| ||b|| (1 - |cos|), which is 0 where one of them is 0. */
static double whc_of_pair(const double *a, const double *b, const filters *f, const double *norms,
                          size_t i, size_t j)
{
    const double cosine = sonde__dot(a, b, f->length) / (fmax(norms[i], EPS) * fmax(norms[j], EPS));
    return norms[i] * norms[j] * (1 - fabs(cosine));
}

/* Adds to both what two different filters are worth for each other. */
static void add_pairs(const filters *f, const double *norms, double *scores)
{
    for (size_t i = 0; i < f->count; i++)
        for (size_t j = 0; j < i; j++) {
            const double *const a = f->values + i * f->length, *const b = f->values + j * f->length;
            const double worth = norms ? whc_of_pair(a, b, f, norms, i, j)
                                       : sqrt(sonde__squared_distance(a, b, f->length));
            scores[i] += worth;
            scores[j] += worth;
        }
}

static sonde_status add_distances(sonde_context *context, sonde_criterion criterion,
                                  const sonde_importance_layer *layer, sonde_importance_side side,
                                  double *scores)
{
    filters f = {0};
    SONDE_TRY(make_filters(context, layer, side, &f));
    double *norms = NULL;
    if (criterion == SONDE_CRITERION_WHC) {
        norms = sonde__alloc(context, f.count, sizeof *norms);
        if (!norms) {
            sonde__free(context, f.values);
            return SONDE_ERROR_MEMORY;
        }
        for (size_t i = 0; i < f.count; i++) {
            const double *const row = f.values + i * f.length;
            norms[i] = sqrt(sonde__dot(row, row, f.length));
        }
    }
    if (criterion == SONDE_CRITERION_FPGM_SQUARES)
        for (size_t i = 0; i < f.count * f.length; i++)
            f.values[i] *= f.values[i];
    add_pairs(&f, norms, scores);
    sonde__free(context, norms);
    sonde__free(context, f.values);
    return SONDE_OK;
}

/* --- the call ---------------------------------------------------------------------------------- */

static sonde_status check(sonde_context *context, sonde_criterion criterion,
                          sonde_importance_side side, const sonde_importance_layer *layer,
                          const double *scores)
{
    const char *const name = sonde_criterion_name(criterion);
    if (!layer || !scores)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "importance by %s: %s is NULL", name,
                           layer ? "scores" : "layer");
    if (!sonde_criterion_of_channels(criterion) || criterion == SONDE_CRITERION_RANDOM)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "importance: criterion %s does not score channels from arrays", name);
    if (side != SONDE_SIDE_OUTPUTS && side != SONDE_SIDE_INPUTS && side != SONDE_SIDE_NORM)
        return sonde__fail(context, SONDE_ERROR_RANGE, "importance by %s: side %d is unknown", name,
                           (int)side);
    if (!layer->weight)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "importance by %s: weight is NULL", name);
    if (sonde_criterion_reads(criterion) == SONDE_NEEDS_GRADIENT && !layer->gradient)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "importance by %s: gradient is NULL",
                           name);
    size_t elements;
    if (layer->out == 0 || layer->in == 0 || layer->kernel == 0 ||
        !sonde__multiply(layer->out, layer->in, &elements) ||
        !sonde__multiply(elements, layer->kernel, &elements) ||
        !sonde__multiply(elements, sizeof(double), &elements))
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "importance by %s: a layer of %zu x %zu x %zu", name, layer->out,
                           layer->in, layer->kernel);
    if (side == SONDE_SIDE_NORM && layer->in * layer->kernel != 1)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "importance by %s: a norm is channels x 1 x 1, not %zu x %zu x %zu",
                           name, layer->out, layer->in, layer->kernel);
    return SONDE_OK;
}

sonde_status sonde_importance_add(sonde_context *context, sonde_criterion criterion,
                                  sonde_importance_side side, const sonde_importance_layer *layer,
                                  double *scores)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(check(context, criterion, side, layer, scores));
    const bool norm = side == SONDE_SIDE_NORM;
    switch (criterion) {
    case SONDE_CRITERION_JBR:
    case SONDE_CRITERION_JACOBIAN:
        add_jacobian(layer, side, scores);
        break;
    case SONDE_CRITERION_TAYLOR:
        if (!norm)
            add_sums(layer, side, product_magnitudes, scores);
        break;
    case SONDE_CRITERION_L1:
        add_sums(layer, side, magnitudes, scores);
        break;
    case SONDE_CRITERION_BN_SCALE:
        if (norm)
            add_sums(layer, side, magnitudes, scores);
        break;
    default: /* fpgm, fpgm_squares, whc */
        if (!norm)
            return add_distances(context, criterion, layer, side, scores);
    }
    return SONDE_OK;
}
