/*
 * The walk of the exact evaluator through a graph; see exact.h.
 */
#include "net/exact.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "net/exact_internal.h"

/* --- creation --------------------------------------------------------------------------------- */

static bool is_live(const sonde__exact *e, const sonde__layer *layer)
{
    const char *live = e->options.live;
    return e->options.norm == SONDE__EXACT_NORM_BATCH ||
           (live && strncmp(layer->name, live, strlen(live)) == 0);
}

/* True if the layer's value is its input's. */
static bool passes_on(const sonde__exact *e, int layer)
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
    e->parameters[index] = plain;
    if (!plain)
        return SONDE_ERROR_MEMORY;
    sonde__net_export(net, flat, index, plain);
    for (size_t i = 0; e->options.absolute && i < count; i++)
        plain[i] = fabsf(plain[i]);
    return SONDE_OK;
}

static sonde_status make_gradient(sonde__exact *e, int index)
{
    const sonde__parameter *p = &e->graph->parameters[index];
    if (!e->options.gradients || p->role != SONDE__ROLE_WEIGHT ||
        !e->graph->layers[e->graph->parameter_layers[index]].used)
        return SONDE_OK;
    e->gradients[index].values = sonde__alloc_zero(e->context, p->elements, sizeof(double));
    e->gradients[index].count = p->elements;
    e->gradients[index].exponent = SONDE__EXACT_ZERO;
    return e->gradients[index].values ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static sonde_status make_parameters(sonde__exact *e, sonde__net *net)
{
    size_t count;
    const float *flat = sonde__net_weights(net, &count);
    const size_t parameters = (size_t)e->graph->parameter_count;
    e->parameters = sonde__alloc_zero(e->context, parameters, sizeof *e->parameters);
    e->gradients = sonde__alloc_zero(e->context, parameters, sizeof *e->gradients);
    e->saliencies = sonde__alloc_zero(e->context, parameters, sizeof *e->saliencies);
    if (!e->parameters || !e->gradients || !e->saliencies)
        return SONDE_ERROR_MEMORY;
    for (int i = 0; i < e->graph->parameter_count; i++) {
        SONDE_TRY(copy_parameter(e, net, flat, i));
        SONDE_TRY(make_gradient(e, i));
    }
    return SONDE_OK;
}

/* Norms and attention keep what they need themselves; the rest is linear, or forgets. */
static bool needs_input(sonde__op op)
{
    return op == SONDE__OP_CONV || op == SONDE__OP_LINEAR || op == SONDE__OP_MUL ||
           op == SONDE__OP_MAX_POOL || op == SONDE__OP_GELU || op == SONDE__OP_SILU ||
           op == SONDE__OP_SIGMOID || op == SONDE__OP_TANH;
}

static bool needs_output(sonde__op op)
{
    return op == SONDE__OP_RELU || op == SONDE__OP_ZERO || op == SONDE__OP_SOFTMAX;
}

static void find_lives(sonde__exact *e)
{
    for (int i = 0; i < e->graph->layer_count; i++) {
        const sonde__layer *l = &e->graph->layers[i];
        const bool passes = passes_on(e, i);
        e->lives[i].root = passes ? e->lives[l->inputs[0]].root : i;
        for (int k = 0; l->used && !passes && k < l->input_count; k++) {
            sonde__exact_life *input = &e->lives[e->lives[l->inputs[k]].root];
            input->readers++;
            input->kept = input->kept || needs_input(l->op);
        }
        if (needs_output(l->op))
            e->lives[i].kept = true;
    }
    e->lives[e->lives[e->graph->output].root].kept = true;
}

static sonde_status make_tensors(sonde__exact *e)
{
    const size_t layers = (size_t)e->graph->layer_count;
    size_t most = 0;
    e->values = sonde__alloc_zero(e->context, layers, sizeof *e->values);
    e->slopes = sonde__alloc_zero(e->context, layers, sizeof *e->slopes);
    e->saved = sonde__alloc_zero(e->context, layers, sizeof *e->saved);
    e->lives = sonde__alloc_zero(e->context, layers, sizeof *e->lives);
    if (!e->values || !e->slopes || !e->saved || !e->lives)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < layers; i++) {
        size_t count;
        if (!sonde__multiply(e->batch, sonde__features(e->graph->layers[i].shape), &count))
            return sonde__fail(e->context, SONDE_ERROR_OVERFLOW, "a batch of %zu is too large",
                               e->batch);
        e->values[i].count = e->slopes[i].tensor.count = count;
        most = count > most ? count : most;
    }
    find_lives(e);
    e->scratch = sonde__alloc(e->context, most, sizeof *e->scratch);
    return e->scratch ? SONDE_OK : SONDE_ERROR_MEMORY;
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
    sonde_status status = make_parameters(made, net);
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
    for (int i = 0; i < exact->block_count; i++)
        sonde__free(context, exact->blocks[i].at);
    sonde__free(context, exact->blocks);
    sonde__free(context, exact->lives);
    sonde__free(context, exact->saliencies);
    sonde__free(context, exact->scratch);
    sonde__free(context, exact->offsets);
    sonde__free(context, exact->parameters);
    sonde__free(context, exact->gradients);
    sonde__free(context, exact->values);
    sonde__free(context, exact->slopes);
    sonde__free(context, exact->saved);
    sonde__free(context, exact->work);
    sonde__free(context, exact);
}

/* --- the walk --------------------------------------------------------------------------------- */

typedef sonde_status (*step)(sonde__exact *e, int layer);

static sonde_status pass_on(sonde__exact *e, int layer)
{
    e->values[layer] = *sonde__exact_input(e, layer, 0);
    return SONDE_OK;
}

static sonde_status pass_back(sonde__exact *e, int layer)
{
    return sonde__exact_pass_slope(e, e->graph->layers[layer].inputs[0], &e->slopes[layer].tensor);
}

static step step_of(const sonde__exact *e, int layer, bool back)
{
    if (passes_on(e, layer))
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

/* Ones where `from` is NULL. */
static void fill(sonde__exact *e, sonde__exact_tensor *t, const double *from)
{
    for (size_t i = 0; i < t->count; i++)
        t->values[i] = from ? from[i] : 1;
    t->exponent = 0;
    sonde__exact_settle(e, t);
}

static void forget(sonde__exact *e)
{
    for (int i = 0; i < e->graph->layer_count; i++) {
        e->values[i].values = e->slopes[i].tensor.values = NULL;
        e->slopes[i].set = false;
        e->lives[i].left = e->lives[i].readers;
    }
    for (int i = 0; i < e->block_count; i++)
        e->blocks[i].used = false;
}

/* Gives memory back that nobody will read again. */
static void let_go(sonde__exact *e, int layer)
{
    const sonde__layer *l = &e->graph->layers[layer];
    for (int k = 0; k < l->input_count; k++) {
        const int root = e->lives[l->inputs[k]].root;
        sonde__exact_life *life = &e->lives[root];
        if (--life->left == 0 && !life->kept) {
            sonde__exact_release(e, e->values[root].values);
            e->values[root].values = NULL;
        }
    }
}

static sonde_status make_value(sonde__exact *e, int layer)
{
    e->values[layer].values = sonde__exact_take(e, e->values[layer].count);
    if (!e->values[layer].values)
        return SONDE_ERROR_MEMORY;
    SONDE_TRY(step_of(e, layer, false)(e, layer));
    sonde__exact_settle(e, &e->values[layer]);
    let_go(e, layer);
    return SONDE_OK;
}

sonde_status sonde__exact_forward(sonde__exact *exact, const double *x)
{
    forget(exact);
    exact->validity = SONDE_VALID;
    exact->forward_done = true;
    exact->values[0].values = sonde__exact_take(exact, exact->values[0].count);
    if (!exact->values[0].values)
        return SONDE_ERROR_MEMORY;
    fill(exact, &exact->values[0], x);
    for (int i = 1; i <= exact->graph->output && exact->validity == SONDE_VALID; i++) {
        if (exact->graph->layers[i].used)
            SONDE_TRY(passes_on(exact, i) ? pass_on(exact, i) : make_value(exact, i));
    }
    return SONDE_OK;
}

sonde_status sonde__exact_backward(sonde__exact *exact, const double *dy)
{
    const int output = exact->graph->output;
    if (!exact->forward_done)
        return sonde__fail(exact->context, SONDE_ERROR_STATE, "backward must follow forward");
    if (exact->validity == SONDE_VALID) {
        sonde__exact_slope *slope = &exact->slopes[output];
        if (!sonde__exact_room(exact, output))
            return SONDE_ERROR_MEMORY;
        fill(exact, &slope->tensor, dy);
        slope->set = true;
    }
    for (int i = output; i > 0 && exact->validity == SONDE_VALID; i--) {
        if (!exact->slopes[i].set)
            continue;
        SONDE_TRY(step_of(exact, i, true)(exact, i));
        sonde__exact_release(exact, exact->slopes[i].tensor.values);
        exact->slopes[i].set = false;
    }
    for (int i = 0; i < exact->graph->parameter_count; i++) {
        if (exact->gradients[i].values)
            sonde__exact_settle(exact, &exact->gradients[i]);
    }
    return SONDE_OK;
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

const float *sonde__exact_parameter(const sonde__exact *exact, int parameter)
{
    return exact->parameters[parameter];
}

sonde__scaled sonde__exact_saliency(const sonde__exact *exact, int parameter)
{
    return exact->saliencies[parameter];
}
