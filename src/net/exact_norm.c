/*
 * Norms of the exact evaluator: batch (by the statistics of the examples at hand), layer, group and
 * token norm.
 *
 *   forward   u = (x - m) / sqrt(v + eps),  y = scale u + shift
 *   backward  g = scale dy,  dx = (g - mean g - u mean(g u)) / sqrt(v + eps)
 *
 * with m and v of a set of values. Invariant: with x = 2^e d the unit values are formed from d and
 * eps 2^-2e; below e = -200, where that is too large, from d and the real v, and u keeps 2^e.
 */
#include <float.h>
#include <math.h>

#include "net/exact_internal.h"

static const double EPSILON = 1e-5;
enum { SMALL_EXPONENT = -200 };

/* A set is `runs` runs of `length` values; `p` counts scale and shift. */
typedef struct sets {
    size_t count, runs, length, run_stride, step, run_p, step_p;
} sets;

static sets sets_of(const sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const size_t channels = (size_t)l->shape.channels, features = sonde__features(l->shape);
    const size_t pixels = features / channels;
    switch (l->op) {
    case SONDE__OP_BATCH_NORM:
        return (sets){channels, e->batch, pixels, features, 1, 0, 0};
    case SONDE__OP_LAYER_NORM:
        return (sets){e->batch, 1, features, 0, 1, 0, 1};
    case SONDE__OP_GROUP_NORM:
        return (sets){
            e->batch * (size_t)l->parts, channels / (size_t)l->parts, pixels, pixels, 1, 1, 0};
    default: /* token norm */
        return (sets){e->batch * pixels, channels, 1, pixels, 1, 1, 0};
    }
}

/* Where set `k` begins, and its first scale and shift. */
static size_t first_value(const sonde__exact *e, int layer, const sets *s, size_t k, size_t *p)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const size_t features = sonde__features(l->shape);
    const size_t pixels = features / (size_t)l->shape.channels;
    *p = 0;
    switch (l->op) {
    case SONDE__OP_BATCH_NORM:
        *p = k;
        return k * pixels;
    case SONDE__OP_LAYER_NORM:
        return k * features;
    case SONDE__OP_GROUP_NORM:
        *p = k % (size_t)l->parts * s->runs;
        return k * s->runs * pixels;
    default:
        return k / pixels * features + k % pixels;
    }
}

typedef struct moments {
    double mean, inverse; /* of d; 1 / deviation, times 2^e below SMALL_EXPONENT */
} moments;

static moments moments_of(sonde__exact *e, const sets *s, const double *x, int64_t exponent)
{
    double sum = 0, squares = 0, count = (double)(s->runs * s->length);
    for (size_t r = 0; r < s->runs; r++) {
        for (size_t i = 0; i < s->length; i++)
            sum += x[r * s->run_stride + i * s->step];
    }
    const double mean = sum / count;
    for (size_t r = 0; r < s->runs; r++) {
        for (size_t i = 0; i < s->length; i++) {
            const double d = x[r * s->run_stride + i * s->step] - mean;
            squares += d * d;
        }
    }
    const double variance = squares / count;
    if (exponent < SMALL_EXPONENT)
        return (moments){mean, 1 / sqrt(variance * sonde__exact_power(2 * exponent) + EPSILON)};
    const double inverse = 1 / sqrt(variance + EPSILON * sonde__exact_power(-2 * exponent));
    if (inverse <= DBL_MAX || isnan(variance))
        return (moments){mean, inverse};
    e->validity = SONDE_OUT_OF_RANGE; /* a constant, so large that eps is nothing beside it */
    return (moments){mean, 0};
}

/* Of scale (which 0) or shift (1); NULL: the norm has none. */
static const float *affine_of(const sonde__exact *e, int layer, int which)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    if (l->op == SONDE__OP_BATCH_NORM && !l->affine)
        return NULL;
    return e->parameters[l->first_parameter + which];
}

/* saved: the unit values, then 1 / deviation of each set. */
static void make_units(sonde__exact *e, int layer, const sets *s)
{
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    double *units = e->saved[layer], *inverses = units + x->count;
    for (size_t k = 0; k < s->count; k++) {
        size_t p, first = first_value(e, layer, s, k, &p);
        const moments m = moments_of(e, s, x->values + first, x->exponent);
        inverses[k] = m.inverse;
        for (size_t r = 0; r < s->runs; r++) {
            for (size_t i = 0; i < s->length; i++) {
                const size_t at = first + r * s->run_stride + i * s->step;
                units[at] = (x->values[at] - m.mean) * m.inverse;
            }
        }
    }
}

/* y = scale u, then + shift. */
static void scale_units(sonde__exact *e, int layer, const sets *s)
{
    const float *scale = affine_of(e, layer, 0), *shift = affine_of(e, layer, 1);
    sonde__exact_tensor *y = &e->values[layer];
    if (shift)
        sonde__exact_raise(y, SONDE__EXACT_LEAST);
    const double unit = sonde__exact_power(-y->exponent);
    for (size_t k = 0; scale && k < s->count; k++) {
        size_t p, first = first_value(e, layer, s, k, &p);
        for (size_t r = 0; r < s->runs; r++) {
            for (size_t i = 0; i < s->length; i++) {
                const size_t q = p + r * s->run_p + i * s->step_p;
                double *at = &y->values[first + r * s->run_stride + i * s->step];
                *at = (double)scale[q] * *at + unit * (double)shift[q];
            }
        }
    }
}

sonde_status sonde__exact_normalise(sonde__exact *e, int layer)
{
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    const sets s = sets_of(e, layer);
    sonde__exact_tensor *y = &e->values[layer];
    SONDE_TRY(sonde__exact_save(e, layer, x->count + s.count));
    make_units(e, layer, &s);
    for (size_t i = 0; i < y->count; i++)
        y->values[i] = e->saved[layer][i];
    y->exponent = x->exponent < SMALL_EXPONENT ? x->exponent : 0;
    scale_units(e, layer, &s);
    return SONDE_OK;
}

/* dx of one set, whose values begin at `first`. */
static void set_gradient(const sonde__exact *e, int layer, const sets *s, size_t k, double *dx)
{
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    const double *dy = e->slopes[layer].tensor.values, *units = e->saved[layer];
    const float *scale = affine_of(e, layer, 0);
    const double inverse = units[x->count + k], count = (double)(s->runs * s->length);
    const double square = x->exponent < SMALL_EXPONENT ? sonde__exact_power(2 * x->exponent) : 1;
    size_t p, first = first_value(e, layer, s, k, &p);
    double sum = 0, product = 0;
    for (size_t r = 0; r < s->runs; r++) {
        for (size_t i = 0; i < s->length; i++) {
            const size_t at = first + r * s->run_stride + i * s->step;
            dx[at] = scale ? (double)scale[p + r * s->run_p + i * s->step_p] * dy[at] : dy[at];
            sum += dx[at];
            product += dx[at] * units[at];
        }
    }
    sum /= count;
    product *= square / count;
    for (size_t r = 0; r < s->runs; r++) {
        for (size_t i = 0; i < s->length; i++) {
            const size_t at = first + r * s->run_stride + i * s->step;
            dx[at] = inverse * (dx[at] - sum - units[at] * product);
        }
    }
}

sonde_status sonde__exact_normalise_backward(sonde__exact *e, int layer)
{
    const int from = sonde__exact_layer(e, layer)->inputs[0];
    const int64_t exponent = e->values[from].exponent, dy = e->slopes[layer].tensor.exponent;
    const sets s = sets_of(e, layer);
    if (!sonde__exact_wants(e, from))
        return SONDE_OK;
    double *dx = sonde__exact_room(e, from);
    if (!dx)
        return SONDE_ERROR_MEMORY;
    for (size_t k = 0; k < s.count; k++)
        set_gradient(e, layer, &s, k, dx);
    sonde__exact_give(e, from, dx, exponent < SMALL_EXPONENT ? dy : dy - exponent);
    return SONDE_OK;
}
