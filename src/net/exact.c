/*
 * The walk of the exact evaluator through a graph, and the arithmetic of its tensors; see exact.h.
 */
#include "net/exact.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "net/exact_internal.h"
#include "num/linalg.h"

/* Largest magnitudes outside 2^-64 .. 2^64 are put back. */
enum { MIDDLE = 64 };

/* --- numbers ---------------------------------------------------------------------------------- */

double sonde__exact_power(int64_t exponent)
{
    if (exponent > 2000)
        return INFINITY;
    return exponent < -2000 ? 0 : ldexp(1, (int)exponent);
}

sonde__scaled sonde__scaled_sum(sonde__scaled a, sonde__scaled b)
{
    if (a.mantissa == 0 || (b.mantissa != 0 && b.exponent > a.exponent)) {
        const sonde__scaled swap = a;
        a = b;
        b = swap;
    }
    if (b.mantissa != 0)
        a.mantissa += b.mantissa * sonde__exact_power(b.exponent - a.exponent);
    return a;
}

double sonde__scaled_log(sonde__scaled a)
{
    return a.mantissa == 0 ? -INFINITY
                           : log(fabs(a.mantissa)) + (double)a.exponent * 0.69314718055994530942;
}

double sonde__scaled_value(sonde__scaled a)
{
    int shift = 0;
    const double fraction = frexp(a.mantissa, &shift);
    const int64_t exponent = a.exponent + shift;
    if (fraction == 0 || exponent < -1100)
        return 0;
    return exponent > DBL_MAX_EXP ? copysign(INFINITY, fraction) : ldexp(fraction, (int)exponent);
}

/* --- tensors ---------------------------------------------------------------------------------- */

static void scale(sonde__exact_tensor *t, double factor)
{
    for (size_t i = 0; i < t->count; i++)
        t->values[i] *= factor;
}

void sonde__exact_raise(sonde__exact_tensor *t, int64_t least)
{
    if (t->exponent >= least)
        return;
    scale(t, sonde__exact_power(t->exponent - least));
    t->exponent = least;
}

static void note_validity(sonde__exact *e, sonde_validity validity)
{
    if (e->validity == SONDE_VALID)
        e->validity = validity;
}

/* The largest magnitude; `*rest` is NaN if there is a NaN or infinity, else 0. */
static double largest(const sonde__exact_tensor *t, double *rest)
{
    double top = 0, nothing = 0;
#pragma omp simd reduction(max : top) reduction(+ : nothing)
    for (size_t i = 0; i < t->count; i++) {
        const double a = fabs(t->values[i]);
        top = a > top ? a : top;
        nothing += 0 * t->values[i];
    }
    *rest = nothing;
    return top;
}

void sonde__exact_settle(sonde__exact *e, sonde__exact_tensor *t)
{
    double rest = 0;
    const double top = largest(t, &rest);
    if (isnan(rest)) {
        note_validity(e, SONDE_NOT_FINITE);
        return;
    }
    if (top == 0) {
        t->exponent = SONDE__EXACT_ZERO;
        return;
    }
    int exponent = 0;
    frexp(top, &exponent);
    if (exponent >= -MIDDLE && exponent <= MIDDLE)
        return;
    if (exponent < -1000) /* so that the factor is a double */
        exponent = -1000;
    scale(t, ldexp(1, -exponent));
    t->exponent += exponent;
}

void sonde__exact_add(sonde__exact_tensor *a, const double *b, int64_t exponent)
{
    sonde__exact_raise(a, exponent);
    const double factor = sonde__exact_power(exponent - a->exponent);
    for (size_t i = 0; i < a->count; i++)
        a->values[i] += factor * b[i];
}

double sonde__exact_real(sonde__exact *e, const sonde__exact_tensor *t, size_t i)
{
    const double real = sonde__scaled_value((sonde__scaled){t->values[i], t->exponent});
    if (isinf(real))
        note_validity(e, SONDE_OUT_OF_RANGE);
    return real;
}

/* --- slopes ----------------------------------------------------------------------------------- */

bool sonde__exact_wants(const sonde__exact *e, int layer)
{
    return e->graph->layers[layer].op != SONDE__OP_INPUT;
}

double *sonde__exact_room(sonde__exact *e, int layer)
{
    return e->slopes[layer].set ? e->scratch : e->slopes[layer].tensor.values;
}

void sonde__exact_give(sonde__exact *e, int layer, double *room, int64_t exponent)
{
    sonde__exact_slope *slope = &e->slopes[layer];
    if (slope->set)
        sonde__exact_add(&slope->tensor, room, exponent);
    else
        slope->tensor.exponent = exponent;
    slope->set = true;
    sonde__exact_settle(e, &slope->tensor);
}

sonde_status sonde__exact_work(sonde__exact *e, size_t count, double **work)
{
    if (count > e->work_size) {
        sonde__free(e->context, e->work);
        e->work_size = 0;
        e->work = sonde__alloc(e->context, count, sizeof *e->work);
        if (!e->work)
            return SONDE_ERROR_MEMORY;
        e->work_size = count;
    }
    *work = e->work;
    return SONDE_OK;
}

sonde_status sonde__exact_save(sonde__exact *e, int layer, size_t count)
{
    if (!e->saved[layer])
        e->saved[layer] = sonde__alloc(e->context, count, sizeof *e->saved[layer]);
    return e->saved[layer] ? SONDE_OK : SONDE_ERROR_MEMORY;
}

/* --- creation --------------------------------------------------------------------------------- */

static bool is_live(const sonde__exact *e, const sonde__layer *layer)
{
    const char *live = e->options.live;
    return e->options.norm == SONDE__EXACT_NORM_BATCH ||
           (live && strncmp(layer->name, live, strlen(live)) == 0);
}

bool sonde__exact_passes(const sonde__exact *e, int layer)
{
    const sonde__layer *l = &e->graph->layers[layer];
    return l->op == SONDE__OP_DROPOUT || l->op == SONDE__OP_RESHAPE ||
           (l->op == SONDE__OP_BATCH_NORM && !is_live(e, l));
}

static sonde_status copy_parameter(sonde__exact *e, const sonde__net *net, const float *flat,
                                   int index)
{
    const size_t count = e->graph->parameters[index].elements;
    float *plain = sonde__alloc(e->context, count, sizeof *plain);
    double *values = sonde__alloc(e->context, count, sizeof *values);
    e->parameters[index] = values;
    const sonde_status status = plain && values ? SONDE_OK : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK) {
        sonde__net_export(net, flat, index, plain);
        for (size_t i = 0; i < count; i++)
            values[i] = e->options.absolute ? fabs((double)plain[i]) : (double)plain[i];
    }
    sonde__free(e->context, plain);
    return status;
}

static sonde_status make_gradient(sonde__exact *e, int index)
{
    const sonde__parameter *p = &e->graph->parameters[index];
    if (p->role != SONDE__ROLE_WEIGHT || !e->graph->layers[e->graph->parameter_layers[index]].used)
        return SONDE_OK;
    e->gradients[index].values = sonde__alloc_zero(e->context, p->elements, sizeof(double));
    e->gradients[index].count = p->elements;
    e->gradients[index].exponent = SONDE__EXACT_ZERO;
    return e->gradients[index].values ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static sonde_status copy_parameters(sonde__exact *e, sonde__net *net)
{
    size_t count;
    const float *flat = sonde__net_weights(net, &count);
    const size_t parameters = (size_t)e->graph->parameter_count;
    e->parameters = sonde__alloc_zero(e->context, parameters, sizeof *e->parameters);
    e->gradients = sonde__alloc_zero(e->context, parameters, sizeof *e->gradients);
    if (!e->parameters || !e->gradients)
        return SONDE_ERROR_MEMORY;
    for (int i = 0; i < e->graph->parameter_count; i++) {
        SONDE_TRY(copy_parameter(e, net, flat, i));
        SONDE_TRY(make_gradient(e, i));
    }
    return SONDE_OK;
}

/* Values one after the other, then slopes, then the scratch. */
static void place_tensors(sonde__exact *e, size_t total)
{
    double *at = e->arena;
    for (int i = 0; i < e->graph->layer_count; i++) {
        const sonde__layer *l = &e->graph->layers[i];
        const size_t count = e->batch * sonde__features(l->shape);
        e->values[i].count = e->slopes[i].tensor.count = l->used ? count : 0;
        e->values[i].values = at;
        e->slopes[i].tensor.values = at + total;
        if (sonde__exact_passes(e, i))
            e->values[i].values = e->values[l->inputs[0]].values;
        at += e->values[i].count;
    }
    e->scratch = e->arena + 2 * total;
}

static sonde_status make_tensors(sonde__exact *e)
{
    const size_t layers = (size_t)e->graph->layer_count;
    size_t total = 0, most = 0, sum = 0;
    e->values = sonde__alloc_zero(e->context, layers, sizeof *e->values);
    e->slopes = sonde__alloc_zero(e->context, layers, sizeof *e->slopes);
    e->saved = sonde__alloc_zero(e->context, layers, sizeof *e->saved);
    if (!e->values || !e->slopes || !e->saved)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < layers; i++) {
        size_t count;
        if (!e->graph->layers[i].used)
            continue;
        if (!sonde__multiply(e->batch, sonde__features(e->graph->layers[i].shape), &count) ||
            !sonde__add(total, count, &total))
            return sonde__fail(e->context, SONDE_ERROR_OVERFLOW, "the network is too large");
        most = count > most ? count : most;
    }
    if (!sonde__multiply(total, 2, &sum) || !sonde__add(sum, most, &sum))
        return sonde__fail(e->context, SONDE_ERROR_OVERFLOW, "the network is too large");
    e->arena = sonde__alloc(e->context, sum, sizeof *e->arena);
    if (!e->arena)
        return SONDE_ERROR_MEMORY;
    place_tensors(e, total);
    return SONDE_OK;
}

sonde_status sonde__exact_create(sonde_context *context, sonde__net *net,
                                 const sonde__exact_options *options, sonde__exact **exact)
{
    if (options->batch < 1)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "a batch of %d examples", options->batch);
    sonde__exact *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->graph = sonde__net_graph(net);
    made->options = *options;
    made->batch = (size_t)options->batch;
    sonde_status status = copy_parameters(made, net);
    if (status == SONDE_OK)
        status = make_tensors(made);
    if (status != SONDE_OK) {
        sonde__exact_free(made);
        return status;
    }
    *exact = made;
    return SONDE_OK;
}

void sonde__exact_free(sonde__exact *exact)
{
    if (!exact)
        return;
    sonde_context *context = exact->context;
    for (int i = 0; i < exact->graph->parameter_count; i++) {
        if (exact->parameters)
            sonde__free(context, exact->parameters[i]);
        if (exact->gradients)
            sonde__free(context, exact->gradients[i].values);
    }
    for (int i = 0; exact->saved && i < exact->graph->layer_count; i++)
        sonde__free(context, exact->saved[i]);
    sonde__free(context, exact->parameters);
    sonde__free(context, exact->gradients);
    sonde__free(context, exact->values);
    sonde__free(context, exact->slopes);
    sonde__free(context, exact->saved);
    sonde__free(context, exact->arena);
    sonde__free(context, exact->work);
    sonde__free(context, exact);
}

/* --- the walk --------------------------------------------------------------------------------- */

typedef sonde_status (*step)(sonde__exact *e, int layer);

static sonde_status pass_on(sonde__exact *e, int layer)
{
    e->values[layer].exponent = sonde__exact_input(e, layer, 0)->exponent;
    return SONDE_OK;
}

static sonde_status pass_back(sonde__exact *e, int layer)
{
    const int from = e->graph->layers[layer].inputs[0];
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    if (!sonde__exact_wants(e, from))
        return SONDE_OK;
    double *dx = sonde__exact_room(e, from);
    memcpy(dx, dy->values, dy->count * sizeof *dx);
    sonde__exact_give(e, from, dx, dy->exponent);
    return SONDE_OK;
}

static step step_of(const sonde__exact *e, int layer, bool back)
{
    if (sonde__exact_passes(e, layer))
        return back ? pass_back : pass_on;
    switch (e->graph->layers[layer].op) {
    case SONDE__OP_CONV:
        return back ? sonde__exact_conv_backward : sonde__exact_conv;
    case SONDE__OP_LINEAR:
        return back ? sonde__exact_linear_backward : sonde__exact_linear;
    case SONDE__OP_BATCH_NORM:
    case SONDE__OP_LAYER_NORM:
    case SONDE__OP_GROUP_NORM:
    case SONDE__OP_TOKEN_NORM:
        return back ? sonde__exact_normalise_backward : sonde__exact_normalise;
    case SONDE__OP_ADD:
    case SONDE__OP_MUL:
        return back ? sonde__exact_binary_backward : sonde__exact_binary;
    case SONDE__OP_ATTENTION:
        return back ? sonde__exact_attention_backward : sonde__exact_attention;
    case SONDE__OP_RELU:
    case SONDE__OP_GELU:
    case SONDE__OP_SILU:
    case SONDE__OP_SIGMOID:
    case SONDE__OP_TANH:
    case SONDE__OP_SOFTMAX:
    case SONDE__OP_ZERO:
        return back ? sonde__exact_unary_backward : sonde__exact_unary;
    default:
        return back ? sonde__exact_move_backward : sonde__exact_move;
    }
}

static void take(sonde__exact_tensor *t, const double *from)
{
    for (size_t i = 0; i < t->count; i++)
        t->values[i] = from ? from[i] : 1;
    t->exponent = 0;
}

static sonde_status forward(sonde__exact *e)
{
    for (int i = 1; i <= e->graph->output && e->validity == SONDE_VALID; i++) {
        if (!e->graph->layers[i].used)
            continue;
        SONDE_TRY(step_of(e, i, false)(e, i));
        if (!sonde__exact_passes(e, i))
            sonde__exact_settle(e, &e->values[i]);
    }
    return SONDE_OK;
}

sonde_status sonde__exact_forward(sonde__exact *exact, const double *x)
{
    exact->validity = SONDE_VALID;
    exact->forward_done = true;
    take(&exact->values[0], x);
    sonde__exact_settle(exact, &exact->values[0]);
    const int before = sonde__blas_alone();
    const sonde_status status = forward(exact);
    sonde__blas_restore(before);
    return status;
}

static sonde_status backward(sonde__exact *e)
{
    for (int i = e->graph->output; i > 0 && e->validity == SONDE_VALID; i--) {
        if (e->slopes[i].set)
            SONDE_TRY(step_of(e, i, true)(e, i));
    }
    for (int i = 0; i < e->graph->parameter_count; i++)
        if (e->gradients[i].values)
            sonde__exact_settle(e, &e->gradients[i]);
    return SONDE_OK;
}

sonde_status sonde__exact_backward(sonde__exact *exact, const double *dy)
{
    if (!exact->forward_done)
        return sonde__fail(exact->context, SONDE_ERROR_STATE, "backward must follow forward");
    for (int i = 0; i < exact->graph->layer_count; i++)
        exact->slopes[i].set = false;
    sonde__exact_slope *output = &exact->slopes[exact->graph->output];
    take(&output->tensor, dy);
    sonde__exact_settle(exact, &output->tensor);
    output->set = true;
    const int before = sonde__blas_alone();
    const sonde_status status = backward(exact);
    sonde__blas_restore(before);
    return status;
}

/* --- results ---------------------------------------------------------------------------------- */

sonde_validity sonde__exact_validity(const sonde__exact *exact)
{
    return exact->validity;
}

sonde__exact_tensor sonde__exact_output(const sonde__exact *exact)
{
    return exact->values[exact->graph->output];
}

sonde__scaled sonde__exact_output_sum(const sonde__exact *exact)
{
    const sonde__exact_tensor y = sonde__exact_output(exact);
    sonde__scaled sum = {0, y.exponent};
    for (size_t i = 0; i < y.count; i++)
        sum.mantissa += y.values[i];
    return sum;
}

sonde__exact_tensor sonde__exact_gradient(const sonde__exact *exact, int parameter)
{
    return exact->gradients[parameter];
}

const double *sonde__exact_parameter(const sonde__exact *exact, int parameter)
{
    return exact->parameters[parameter];
}

sonde__scaled sonde__exact_saliency(const sonde__exact *exact, int parameter)
{
    const sonde__exact_tensor g = exact->gradients[parameter];
    sonde__scaled sum = {0, g.exponent};
    for (size_t i = 0; i < g.count; i++)
        sum.mantissa += fabs(g.values[i] * exact->parameters[parameter][i]);
    return sum;
}
