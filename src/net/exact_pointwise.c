/*
 * Activations, sums and products of the exact evaluator.
 *
 * ReLU, zero, add and mul act on the scaled values; the smooth activations (formulas: see
 * op_elementwise.c) on the real ones, and their values then have exponent 0.
 */
#include <math.h>
#include <string.h>

#include "net/exact_internal.h"

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

static double normal_density(double x)
{
    return exp(-0.5 * x * x) / sqrt(2 * M_PI);
}

static double activate(sonde__op op, double x)
{
    switch (op) {
    case SONDE__OP_GELU:
        return 0.5 * x * erfc(-x * M_SQRT1_2);
    case SONDE__OP_SILU:
        return x < 0 ? x * exp(x) / (1 + exp(x)) : x * logistic(x);
    case SONDE__OP_SIGMOID:
        return logistic(x);
    default:
        return tanh(x);
    }
}

static double derivative(sonde__op op, double x)
{
    const double s = logistic(x), t = tanh(x);
    switch (op) {
    case SONDE__OP_GELU:
        return 0.5 * erfc(-x * M_SQRT1_2) + (fabs(x) < 1e9 ? x * normal_density(x) : 0);
    case SONDE__OP_SILU:
        return s + (fabs(x) < 1e9 ? x * s * (1 - s) : 0);
    case SONDE__OP_SIGMOID:
        return s * (1 - s);
    default:
        return 1 - t * t;
    }
}

/* Channels of each pixel; the real values are in y already. */
static void softmax(const sonde__exact *e, int layer)
{
    const sonde__exact_tensor *y = &e->values[layer];
    const size_t channels = (size_t)sonde__exact_layer(e, layer)->shape.channels;
    const size_t pixels = y->count / e->batch / channels;
    for (size_t k = 0; k < e->batch * pixels; k++) {
        double *at = y->values + k / pixels * channels * pixels + k % pixels;
        double top = at[0], sum = 0;
        for (size_t c = 1; c < channels; c++)
            top = at[c * pixels] > top ? at[c * pixels] : top;
        for (size_t c = 0; c < channels; c++)
            sum += at[c * pixels] = exp(at[c * pixels] - top);
        for (size_t c = 0; c < channels; c++)
            at[c * pixels] /= sum;
    }
}

static void softmax_backward(const sonde__exact *e, int layer, double *dx)
{
    const sonde__exact_tensor *y = &e->values[layer];
    const double *dy = e->slopes[layer].tensor.values, unit = sonde__exact_power(y->exponent);
    const size_t channels = (size_t)sonde__exact_layer(e, layer)->shape.channels;
    const size_t pixels = y->count / e->batch / channels;
    for (size_t k = 0; k < e->batch * pixels; k++) {
        const size_t first = k / pixels * channels * pixels + k % pixels;
        double sum = 0;
        for (size_t c = 0; c < channels; c++)
            sum += dy[first + c * pixels] * unit * y->values[first + c * pixels];
        for (size_t c = 0; c < channels; c++) {
            const size_t at = first + c * pixels;
            dx[at] = unit * y->values[at] * (dy[at] - sum);
        }
    }
}

sonde_status sonde__exact_unary(sonde__exact *e, int layer)
{
    const sonde__op op = sonde__exact_layer(e, layer)->op;
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    sonde__exact_tensor *y = &e->values[layer];
    y->exponent = op == SONDE__OP_RELU ? x->exponent : 0;
    if (op == SONDE__OP_ZERO) {
        memset(y->values, 0, y->count * sizeof *y->values);
    } else if (op == SONDE__OP_RELU) {
        for (size_t i = 0; i < y->count; i++)
            y->values[i] = x->values[i] < 0 ? 0 : x->values[i]; /* NaN stays */
    } else {
        for (size_t i = 0; i < y->count; i++) {
            const double real = sonde__exact_real(e, x, i);
            y->values[i] = op == SONDE__OP_SOFTMAX ? real : activate(op, real);
        }
        if (op == SONDE__OP_SOFTMAX)
            softmax(e, layer);
    }
    return SONDE_OK;
}

sonde_status sonde__exact_unary_backward(sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0), *y = &e->values[layer];
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    if (!sonde__exact_wants(e, l->inputs[0]))
        return SONDE_OK;
    double *dx = sonde__exact_room(e, l->inputs[0]);
    if (!dx)
        return SONDE_ERROR_MEMORY;
    if (l->op == SONDE__OP_SOFTMAX) {
        softmax_backward(e, layer, dx);
    } else if (l->op == SONDE__OP_RELU || l->op == SONDE__OP_ZERO) {
        for (size_t i = 0; i < dy->count; i++)
            dx[i] = y->values[i] > 0 ? dy->values[i] : 0;
    } else {
        for (size_t i = 0; i < dy->count; i++)
            dx[i] = derivative(l->op, sonde__exact_real(e, x, i)) * dy->values[i];
    }
    sonde__exact_give(e, l->inputs[0], dx, dy->exponent);
    return SONDE_OK;
}

/* Which value of `b` meets value i of `a`: its own, or its channel's (a gate). */
static size_t partner(const sonde__exact_tensor *a, const sonde__exact_tensor *b, size_t i)
{
    return i / (a->count / b->count);
}

sonde_status sonde__exact_binary(sonde__exact *e, int layer)
{
    const sonde__exact_tensor *a = sonde__exact_input(e, layer, 0);
    const sonde__exact_tensor *b = sonde__exact_input(e, layer, 1);
    sonde__exact_tensor *y = &e->values[layer];
    if (sonde__exact_layer(e, layer)->op == SONDE__OP_ADD) {
        memcpy(y->values, a->values, y->count * sizeof *y->values);
        y->exponent = a->exponent;
        sonde__exact_add(y, b->values, b->exponent);
        return SONDE_OK;
    }
    for (size_t i = 0; i < y->count; i++)
        y->values[i] = a->values[i] * b->values[partner(a, b, i)];
    y->exponent = a->exponent + b->exponent;
    return SONDE_OK;
}

static sonde_status mul_backward(sonde__exact *e, int layer, const sonde__exact_tensor *dy)
{
    const int *inputs = sonde__exact_layer(e, layer)->inputs;
    const sonde__exact_tensor *a = &e->values[inputs[0]], *b = &e->values[inputs[1]];
    if (sonde__exact_wants(e, inputs[0])) {
        double *da = sonde__exact_room(e, inputs[0]);
        if (!da)
            return SONDE_ERROR_MEMORY;
        for (size_t i = 0; i < a->count; i++)
            da[i] = dy->values[i] * b->values[partner(a, b, i)];
        sonde__exact_give(e, inputs[0], da, dy->exponent + b->exponent);
    }
    if (sonde__exact_wants(e, inputs[1])) {
        double *db = sonde__exact_room(e, inputs[1]);
        if (!db)
            return SONDE_ERROR_MEMORY;
        memset(db, 0, b->count * sizeof *db);
        for (size_t i = 0; i < a->count; i++)
            db[partner(a, b, i)] += dy->values[i] * a->values[i];
        sonde__exact_give(e, inputs[1], db, dy->exponent + a->exponent);
    }
    return SONDE_OK;
}

sonde_status sonde__exact_binary_backward(sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    if (l->op == SONDE__OP_MUL)
        return mul_backward(e, layer, dy);
    SONDE_TRY(sonde__exact_pass_slope(e, l->inputs[0], dy));
    return sonde__exact_pass_slope(e, l->inputs[1], dy);
}
