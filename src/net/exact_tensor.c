/*
 * Numbers, tensors and memory of the exact evaluator; see exact.h.
 *
 * Blocks of values and slopes are used again as soon as nobody needs them, so that a deep network
 * stays in the cache.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "net/exact_internal.h"

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

typedef struct extremes {
    double low, high, nothing; /* NaN after a NaN or infinity, else 0 */
} extremes;

SONDE_CLONES static extremes extremes_of(const double *values, size_t count)
{
    double low = 0, high = 0, nothing = 0;
#pragma omp simd reduction(min : low) reduction(max : high) reduction(+ : nothing)
    for (size_t i = 0; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
        nothing += 0 * values[i];
    }
    return (extremes){low, high, nothing};
}

void sonde__exact_settle(sonde__exact *e, sonde__exact_tensor *t)
{
    const extremes found = extremes_of(t->values, t->count);
    const double top = fmax(-found.low, found.high);
    t->negative = found.low < 0;
    if (isnan(found.nothing)) {
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

SONDE_CLONES static void add_scaled(double *a, double factor, const double *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        a[i] += factor * b[i];
}

void sonde__exact_add(sonde__exact_tensor *a, const double *b, int64_t exponent)
{
    sonde__exact_raise(a, exponent);
    add_scaled(a->values, sonde__exact_power(exponent - a->exponent), b, a->count);
}

double sonde__exact_real(sonde__exact *e, const sonde__exact_tensor *t, size_t i)
{
    const double real = sonde__scaled_value((sonde__scaled){t->values[i], t->exponent});
    if (isinf(real))
        note_validity(e, SONDE_OUT_OF_RANGE);
    return real;
}

/* --- memory ----------------------------------------------------------------------------------- */

static bool add_block(sonde__exact *e, size_t count)
{
    if (e->block_count == e->block_capacity) {
        const int capacity = e->block_capacity ? 2 * e->block_capacity : 64;
        sonde__exact_block *grown =
            sonde__resize(e->context, e->blocks, (size_t)capacity, sizeof *grown);
        if (!grown)
            return false;
        e->blocks = grown;
        e->block_capacity = capacity;
    }
    double *at = sonde__alloc(e->context, count, sizeof *at);
    if (at)
        e->blocks[e->block_count++] = (sonde__exact_block){at, count, false};
    return at != NULL;
}

double *sonde__exact_take(sonde__exact *e, size_t count)
{
    int best = -1;
    for (int i = 0; i < e->block_count; i++) {
        const sonde__exact_block *b = &e->blocks[i];
        if (!b->used && b->count >= count && (best < 0 || b->count < e->blocks[best].count))
            best = i;
    }
    if (best < 0 || e->blocks[best].count / 2 > count) {
        if (!add_block(e, count))
            return NULL;
        best = e->block_count - 1;
    }
    e->blocks[best].used = true;
    return e->blocks[best].at;
}

void sonde__exact_release(sonde__exact *e, const double *block)
{
    for (int i = 0; i < e->block_count; i++) {
        if (e->blocks[i].at == block)
            e->blocks[i].used = false;
    }
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

sonde_status sonde__exact_offsets(sonde__exact *e, size_t count, size_t **offsets)
{
    if (count > e->offsets_size) {
        sonde__free(e->context, e->offsets);
        e->offsets_size = 0;
        e->offsets = sonde__alloc(e->context, count, sizeof *e->offsets);
        if (!e->offsets)
            return SONDE_ERROR_MEMORY;
        e->offsets_size = count;
    }
    *offsets = e->offsets;
    return SONDE_OK;
}

sonde_status sonde__exact_save(sonde__exact *e, int layer, size_t count)
{
    if (!e->saved[layer])
        e->saved[layer] = sonde__alloc(e->context, count, sizeof *e->saved[layer]);
    return e->saved[layer] ? SONDE_OK : SONDE_ERROR_MEMORY;
}

/* --- slopes ----------------------------------------------------------------------------------- */

bool sonde__exact_wants(const sonde__exact *e, int layer)
{
    return e->graph->layers[layer].op != SONDE__OP_INPUT;
}

double *sonde__exact_room(sonde__exact *e, int layer)
{
    sonde__exact_slope *slope = &e->slopes[layer];
    if (slope->set)
        return e->scratch;
    slope->tensor.values = sonde__exact_take(e, slope->tensor.count);
    return slope->tensor.values;
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

sonde_status sonde__exact_pass_slope(sonde__exact *e, int layer, const sonde__exact_tensor *dy)
{
    if (!sonde__exact_wants(e, layer))
        return SONDE_OK;
    double *dx = sonde__exact_room(e, layer);
    if (!dx)
        return SONDE_ERROR_MEMORY;
    memcpy(dx, dy->values, dy->count * sizeof *dx);
    sonde__exact_give(e, layer, dx, dy->exponent);
    return SONDE_OK;
}

void sonde__exact_note_saliency(sonde__exact *e, int parameter, const sonde__exact_tensor *gradient)
{
    const float *weights = e->parameters[parameter];
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < gradient->count; i++)
        sum += fabs(gradient->values[i] * (double)weights[i]);
    e->saliencies[parameter] = (sonde__scaled){sum, gradient->exponent};
}
