/*
 * Pools of the exact evaluator, and the operators that only copy values: concatenation, padded
 * shortcut, transposing, upsampling, embedding and positions.
 *
 * Each is written once, as which output takes which input with which factor; going back, the same
 * pairs are walked the other way. Average pools, frequent in cells, run along rows instead.
 */
#include <math.h>
#include <string.h>

#include "net/exact_internal.h"

/* An input's part in an output: forward y += factor x, backward dx += factor dy; both times `unit`,
 * which makes up for different exponents. */
typedef struct walk {
    const double *from;
    double *to, unit;
    bool back;
} walk;

static void pair(const walk *w, size_t x, size_t y, double factor)
{
    if (w->back)
        w->to[x] += w->unit * factor * w->from[y];
    else
        w->to[y] += w->unit * factor * w->from[x];
}

typedef struct window {
    size_t top, bottom, left, right; /* of the input, the ends excluded */
} window;

static size_t clipped(size_t from, size_t padding, size_t size)
{
    const size_t at = from > padding ? from - padding : 0;
    return at < size ? at : size;
}

static window window_of(const sonde__layer *l, sonde__shape in, size_t y, size_t x)
{
    const size_t k = (size_t)l->kernel, s = (size_t)l->stride, p = (size_t)l->padding;
    const size_t height = (size_t)in.height, width = (size_t)in.width;
    if (l->op == SONDE__OP_GLOBAL_POOL)
        return (window){0, height, 0, width};
    return (window){clipped(y * s, p, height), clipped(y * s + k, p, height),
                    clipped(x * s, p, width), clipped(x * s + k, p, width)};
}

static void walk_average(const walk *w, const window *v, size_t plane, size_t width, size_t to)
{
    const double share = 1 / (double)((v->bottom - v->top) * (v->right - v->left));
    for (size_t row = v->top; row < v->bottom; row++) {
        for (size_t column = v->left; column < v->right; column++)
            pair(w, plane + row * width + column, to, share);
    }
}

/* The first of equal maxima in row order; `x`: the input's values. */
static void walk_maximum(const walk *w, const window *v, const double *x, size_t plane,
                         size_t width, size_t to)
{
    size_t best = plane + v->top * width + v->left;
    for (size_t row = v->top; row < v->bottom; row++) {
        for (size_t column = v->left; column < v->right; column++) {
            const size_t at = plane + row * width + column;
            if (x[at] > x[best] || isnan(x[at]))
                best = at;
        }
    }
    pair(w, best, to, 1);
}

static void walk_pool(const sonde__exact *e, int layer, const walk *w)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__shape in = e->graph->layers[l->inputs[0]].shape, out = l->shape;
    const size_t width = (size_t)in.width, plane = (size_t)in.height * width;
    size_t to = 0;
    for (size_t map = 0; map < e->batch * (size_t)out.channels; map++) {
        for (size_t y = 0; y < (size_t)out.height; y++) {
            for (size_t x = 0; x < (size_t)out.width; x++, to++) {
                const window v = window_of(l, in, y, x);
                if (l->op == SONDE__OP_MAX_POOL)
                    walk_maximum(w, &v, sonde__exact_input(e, layer, 0)->values, map * plane, width,
                                 to);
                else
                    walk_average(w, &v, map * plane, width, to);
            }
        }
    }
}

/* --- average pools ---------------------------------------------------------------------------- */

/* Outputs [first, end) whose window has its `tap`-th row or column inside of the image. */
static void outputs_of(const sonde__layer *l, size_t tap, size_t size, size_t outputs,
                       size_t *first, size_t *end)
{
    const size_t stride = (size_t)l->stride, padding = (size_t)l->padding;
    *first = padding > tap ? (padding - tap + stride - 1) / stride : 0;
    *end = size + padding > tap ? (size - 1 + padding - tap) / stride + 1 : 0;
    *end = *end < outputs ? *end : outputs;
}

/* 1 / pixels of each output's window that are inside of the image. */
static void find_shares(const sonde__layer *l, sonde__shape in, double *shares)
{
    for (size_t y = 0; y < (size_t)l->shape.height; y++) {
        for (size_t x = 0; x < (size_t)l->shape.width; x++) {
            const window v = window_of(l, in, y, x);
            *shares++ = 1 / (double)((v.bottom - v.top) * (v.right - v.left));
        }
    }
}

/* One row of outputs and the row of one channel that a tap of their windows reads. */
static void average_row(const sonde__layer *l, sonde__shape in, size_t column, bool back,
                        double *outputs, double *inputs)
{
    const size_t stride = (size_t)l->stride;
    size_t first, end;
    outputs_of(l, column, (size_t)in.width, (size_t)l->shape.width, &first, &end);
    double *at = inputs + first * stride + column - (size_t)l->padding;
    for (size_t x = first; x < end; x++, at += stride) {
        if (back)
            *at += outputs[x];
        else
            outputs[x] += *at;
    }
}

/* Sums of one channel's windows, or from the windows to the channel. */
static void average_map(const sonde__layer *l, sonde__shape in, bool back, double *outputs,
                        double *inputs)
{
    const size_t kernel = (size_t)l->kernel, stride = (size_t)l->stride;
    for (size_t row = 0; row < kernel; row++) {
        size_t first, end;
        outputs_of(l, row, (size_t)in.height, (size_t)l->shape.height, &first, &end);
        for (size_t y = first; y < end; y++) {
            double *from = inputs + (y * stride + row - (size_t)l->padding) * (size_t)in.width;
            for (size_t column = 0; column < kernel; column++)
                average_row(l, in, column, back, outputs + y * (size_t)l->shape.width, from);
        }
    }
}

/* `y`: the outputs, or their slopes; `x`: the inputs, or zeros for theirs. */
static sonde_status average(sonde__exact *e, int layer, double *y, double *x, bool back)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__shape in = e->graph->layers[l->inputs[0]].shape;
    const size_t out_map = (size_t)l->shape.height * (size_t)l->shape.width;
    const size_t in_map = (size_t)in.height * (size_t)in.width;
    double *shares = NULL;
    SONDE_TRY(sonde__exact_work(e, 2 * out_map, &shares));
    double *shared = shares + out_map;
    find_shares(l, in, shares);
    for (size_t map = 0; map < e->batch * (size_t)in.channels; map++) {
        double *outputs = y + map * out_map;
        for (size_t i = 0; i < out_map; i++)
            shared[i] = back ? outputs[i] * shares[i] : 0;
        average_map(l, in, back, shared, x + map * in_map);
        for (size_t i = 0; !back && i < out_map; i++)
            outputs[i] = shared[i] * shares[i];
    }
    return SONDE_OK;
}

/* Where input k's channels begin among the output's. */
static size_t first_channel(const sonde__exact *e, int layer, int k)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    size_t first = 0;
    for (int i = 0; i < k; i++)
        first += (size_t)e->graph->layers[l->inputs[i]].shape.channels;
    return first;
}

static void walk_concat(const sonde__exact *e, int layer, int k, const walk *w)
{
    const sonde__shape part = e->graph->layers[sonde__exact_layer(e, layer)->inputs[k]].shape;
    const size_t features = sonde__features(sonde__exact_layer(e, layer)->shape);
    const size_t size = sonde__features(part);
    const size_t pixels = (size_t)part.height * (size_t)part.width;
    const size_t first = first_channel(e, layer, k) * pixels;
    for (size_t i = 0; i < e->batch * size; i++)
        pair(w, i, i / size * features + first + i % size, 1);
}

static void walk_shortcut(const sonde__exact *e, int layer, const walk *w)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__shape in = e->graph->layers[l->inputs[0]].shape, out = l->shape;
    const size_t height = (size_t)out.height, width = (size_t)out.width;
    const size_t stride = (size_t)l->stride, channels = (size_t)in.channels;
    for (size_t i = 0; i < e->batch * channels * height * width; i++) {
        const size_t x = i % width, y = i / width % height, c = i / width / height % channels;
        const size_t n = i / width / height / channels;
        const size_t from =
            ((n * channels + c) * (size_t)in.height + y * stride) * (size_t)in.width + x * stride;
        const size_t map = n * (size_t)out.channels + (size_t)l->front + c;
        pair(w, from, (map * height + y) * width + x, 1);
    }
}

static void walk_transpose(const sonde__exact *e, int layer, const walk *w)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const size_t tokens = (size_t)l->shape.channels, features = sonde__features(l->shape);
    const size_t channels = features / tokens;
    for (size_t i = 0; i < e->batch * features; i++) {
        const size_t c = i % features / tokens, t = i % tokens;
        pair(w, i, i / features * features + t * channels + c, 1);
    }
}

static void walk_upsample(const sonde__exact *e, int layer, const walk *w)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const size_t factor = (size_t)l->stride, width = (size_t)l->shape.width;
    const size_t height = (size_t)l->shape.height;
    for (size_t i = 0; i < e->batch * sonde__features(l->shape); i++) {
        const size_t x = i % width / factor, y = i / width % height / factor;
        const size_t map = i / width / height;
        pair(w, (map * (height / factor) + y) * (width / factor) + x, i, 1);
    }
}

static void walk_all(const sonde__exact *e, int layer, int k, const walk *w)
{
    switch (sonde__exact_layer(e, layer)->op) {
    case SONDE__OP_CONCAT:
        walk_concat(e, layer, k, w);
        break;
    case SONDE__OP_SHORTCUT_PAD:
        walk_shortcut(e, layer, w);
        break;
    case SONDE__OP_TRANSPOSE:
        walk_transpose(e, layer, w);
        break;
    case SONDE__OP_UPSAMPLE:
        walk_upsample(e, layer, w);
        break;
    case SONDE__OP_POSITIONS:
        for (size_t i = 0; i < e->values[layer].count; i++)
            pair(w, i, i, 1);
        break;
    default:
        walk_pool(e, layer, w);
    }
}

/* --- tables ----------------------------------------------------------------------------------- */

/* Adds the row of every token; `table` is tokens x channels. */
static void add_positions(sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const float *table = e->parameters[l->first_parameter];
    const size_t channels = (size_t)l->shape.channels;
    sonde__exact_tensor *y = &e->values[layer];
    const size_t tokens = y->count / e->batch / channels;
    sonde__exact_raise(y, SONDE__EXACT_LEAST);
    const double unit = sonde__exact_power(-y->exponent);
    for (size_t i = 0; i < y->count; i++)
        y->values[i] += unit * (double)table[i % tokens * channels + i / tokens % channels];
}

static sonde_status embed(sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    const sonde__parameter *p = &e->graph->parameters[l->first_parameter];
    const size_t width = (size_t)l->shape.channels, tokens = x->count / e->batch;
    for (size_t i = 0; i < x->count; i++) {
        const double id = sonde__exact_real(e, x, i);
        if (!(id >= 0 && id < (double)p->shape[0]) || id != floor(id))
            return sonde__fail_at(e->context, SONDE_ERROR_RANGE, NULL, l->name, -1,
                                  "%g is no row of the table of %lld", id, (long long)p->shape[0]);
        for (size_t c = 0; c < width; c++)
            e->values[layer].values[(i / tokens * width + c) * tokens + i % tokens] =
                (double)e->parameters[l->first_parameter][(size_t)id * width + c];
    }
    e->values[layer].exponent = 0;
    return SONDE_OK;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Inputs of a concatenation may differ in their exponents: the largest holds for all. */
static int64_t common_exponent(const sonde__exact *e, int layer)
{
    int64_t exponent = SONDE__EXACT_ZERO;
    for (int k = 0; k < sonde__exact_layer(e, layer)->input_count; k++) {
        const int64_t each = sonde__exact_input(e, layer, k)->exponent;
        exponent = each > exponent ? each : exponent;
    }
    return exponent;
}

sonde_status sonde__exact_move(sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    sonde__exact_tensor *y = &e->values[layer];
    if (l->op == SONDE__OP_EMBEDDING)
        return embed(e, layer);
    y->exponent = common_exponent(e, layer);
    if (l->op == SONDE__OP_AVG_POOL)
        return average(e, layer, y->values, sonde__exact_input(e, layer, 0)->values, false);
    memset(y->values, 0, y->count * sizeof *y->values);
    for (int k = 0; k < l->input_count; k++) {
        const sonde__exact_tensor *x = sonde__exact_input(e, layer, k);
        const double unit = sonde__exact_power(x->exponent - y->exponent);
        walk_all(e, layer, k, &(walk){x->values, y->values, unit, false});
    }
    if (l->op == SONDE__OP_POSITIONS)
        add_positions(e, layer);
    return SONDE_OK;
}

sonde_status sonde__exact_move_backward(sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    for (int k = 0; l->op != SONDE__OP_EMBEDDING && k < l->input_count; k++) {
        const int from = l->inputs[k];
        if (!sonde__exact_wants(e, from))
            continue;
        double *dx = sonde__exact_room(e, from);
        if (!dx)
            return SONDE_ERROR_MEMORY;
        memset(dx, 0, e->values[from].count * sizeof *dx);
        if (l->op == SONDE__OP_AVG_POOL)
            SONDE_TRY(average(e, layer, dy->values, dx, true));
        else
            walk_all(e, layer, k, &(walk){dy->values, dx, 1, true});
        sonde__exact_give(e, from, dx, dy->exponent);
    }
    return SONDE_OK;
}
