/*
 * Convolutions and linear layers of the exact evaluator.
 *
 * A convolution of stride s reads its padded input as s x s phases: phase (a, b) holds every s-th
 * pixel from row a and column b on. A tap (u, v) of the kernel then reads one phase at a fixed
 * distance from the output pixel, if outputs are counted at the phase's row length, and
 *
 *   y[p] = sum over taps and inputs of w x[p + distance]
 *   dx[q] = sum over the phase's taps and outputs of w dy[q - distance]
 *   dw = sum over p of dy[p] x[p + distance]
 *
 * are products by gathered rows (exact_kernels.h). Pixels past a row's end are dropped going forward
 * and zero coming back.
 *
 * sum |w dR/dw| needs no dw where nothing is negative: w, x, dy >= 0 make it <x, dx>, since both are
 * the same sum over all products w x dy.
 */
#include <math.h>
#include <string.h>

#include "net/exact_internal.h"
#include "net/exact_kernels.h"

typedef struct geometry {
    size_t in, out, groups; /* channels of a group; groups */
    size_t kernel_width, taps, dilation, stride, padding;
    sonde__shape input, output;
    size_t row, plane, plane_stride; /* of a phase: its row length, size, and size in memory */
    size_t span, span_stride;        /* first to last output, likewise */
    size_t margin, slope_stride;     /* zeros in front of a channel of dy; its size in memory */
} geometry;

static size_t rounded(size_t count)
{
    return (count + SONDE__EXACT_SLACK - 1) / SONDE__EXACT_SLACK * SONDE__EXACT_SLACK;
}

static size_t tap_row(const geometry *g, size_t tap)
{
    return tap / g->kernel_width * g->dilation;
}

static size_t tap_column(const geometry *g, size_t tap)
{
    return tap % g->kernel_width * g->dilation;
}

static size_t tap_phase(const geometry *g, size_t tap)
{
    return tap_row(g, tap) % g->stride * g->stride + tap_column(g, tap) % g->stride;
}

static size_t tap_distance(const geometry *g, size_t tap)
{
    return tap_row(g, tap) / g->stride * g->row + tap_column(g, tap) / g->stride;
}

static geometry geometry_of(const sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__conv_options *o = &l->conv;
    geometry g = {.groups = (size_t)o->groups,
                  .kernel_width = (size_t)o->kernel_width,
                  .taps = (size_t)o->kernel_height * (size_t)o->kernel_width,
                  .dilation = (size_t)o->dilation,
                  .stride = (size_t)o->stride,
                  .padding = (size_t)o->padding,
                  .input = e->graph->layers[l->inputs[0]].shape,
                  .output = l->shape};
    g.in = (size_t)g.input.channels / g.groups;
    g.out = (size_t)g.output.channels / g.groups;
    g.row = ((size_t)g.input.width + 2 * g.padding + g.stride - 1) / g.stride;
    g.plane = g.row * (((size_t)g.input.height + 2 * g.padding + g.stride - 1) / g.stride);
    g.plane_stride = rounded(g.plane);
    g.span = ((size_t)g.output.height - 1) * g.row + (size_t)g.output.width;
    g.span_stride = rounded(g.span);
    g.margin = tap_distance(&g, g.taps - 1);
    g.slope_stride = g.margin + g.plane_stride;
    return g;
}

/* --- between plain values and what the products read ------------------------------------------ */

/* One row of an image between its plain place and its phases. */
static void copy_row(const geometry *g, size_t y, double *plain, double *phases, bool back)
{
    const size_t from = y + g->padding, s = g->stride, width = (size_t)g->input.width;
    const size_t phase_size = (size_t)g->input.channels * g->plane_stride;
    for (size_t b = 0; b < s; b++) {
        size_t x = (b + s - g->padding % s) % s; /* pixel x lies at column x + padding */
        double *at = phases + (from % s * s + b) * phase_size + from / s * g->row;
        for (at += (x + g->padding) / s; x < width; x += s, at++) {
            if (back)
                plain[x] = *at;
            else
                *at = plain[x];
        }
    }
}

static void copy_phases(const geometry *g, double *plain, double *phases, bool back)
{
    const size_t width = (size_t)g->input.width, height = (size_t)g->input.height;
    for (size_t c = 0; c < (size_t)g->input.channels; c++) {
        for (size_t y = 0; y < height; y++)
            copy_row(g, y, plain + (c * height + y) * width, phases + c * g->plane_stride, back);
    }
}

static void take_outputs(const geometry *g, const double *spans, double *plain)
{
    const size_t width = (size_t)g->output.width, height = (size_t)g->output.height;
    for (size_t c = 0; c < (size_t)g->output.channels; c++) {
        for (size_t y = 0; y < height; y++)
            memcpy(plain + (c * height + y) * width, spans + c * g->span_stride + y * g->row,
                   width * sizeof *plain);
    }
}

/* `slopes` is zero elsewhere. */
static void put_slopes(const geometry *g, const double *plain, double *slopes)
{
    const size_t width = (size_t)g->output.width, height = (size_t)g->output.height;
    for (size_t c = 0; c < (size_t)g->output.channels; c++) {
        for (size_t y = 0; y < height; y++)
            memcpy(slopes + c * g->slope_stride + g->margin + y * g->row,
                   plain + (c * height + y) * width, width * sizeof *plain);
    }
}

/* --- work space ------------------------------------------------------------------------------- */

typedef struct space {
    double *packed, *phases, *spans, *slopes, *dphases;
    size_t *offsets;
} space;

typedef struct sizes {
    size_t packed, phases, spans, slopes;
} sizes;

static sizes sizes_of(const geometry *g)
{
    const size_t forward = sonde__gather_packed(g->out, g->in * g->taps);
    const size_t backward = sonde__gather_packed(g->in, g->out * g->taps);
    const size_t slack = SONDE__EXACT_SLACK, tile = SONDE__EXACT_TILE;
    const size_t planes = g->stride * g->stride * (size_t)g->input.channels;
    return (sizes){.packed = forward > backward ? forward : backward,
                   .phases = (planes + tile) * g->plane_stride + g->margin + slack,
                   .spans = ((size_t)g->output.channels + tile) * g->span_stride,
                   .slopes = (size_t)g->output.channels * g->slope_stride + slack};
}

static sonde_status open_space(sonde__exact *e, const geometry *g, bool back, space *s)
{
    const sizes n = sizes_of(g);
    const size_t depth = (g->in > g->out ? g->in : g->out) * g->taps;
    const size_t other = back ? n.slopes + n.phases : n.spans;
    SONDE_TRY(sonde__exact_work(e, n.packed + n.phases + other, &s->packed));
    SONDE_TRY(sonde__exact_offsets(e, depth, &s->offsets));
    s->phases = s->packed + n.packed;
    s->spans = s->slopes = s->phases + n.phases;
    s->dphases = s->slopes + n.slopes;
    memset(s->phases, 0, n.phases * sizeof *s->phases);
    if (back)
        memset(s->slopes, 0, n.slopes * sizeof *s->slopes);
    return SONDE_OK;
}

/* --- forward ---------------------------------------------------------------------------------- */

/* Row (input, tap) of what the forward product reads. */
static void find_offsets(const geometry *g, size_t *offsets)
{
    const size_t phase_size = (size_t)g->input.channels * g->plane_stride;
    for (size_t k = 0; k < g->in * g->taps; k++) {
        const size_t tap = k % g->taps;
        offsets[k] =
            tap_phase(g, tap) * phase_size + k / g->taps * g->plane_stride + tap_distance(g, tap);
    }
}

static void pack(const geometry *g, const float *weights, double *packed)
{
    const size_t depth = g->in * g->taps;
    const size_t tile = sonde__gather_tile();
    memset(packed, 0, sonde__gather_packed(g->out, depth) * sizeof *packed);
    for (size_t o = 0; o < g->out; o++) {
        double *to = packed + sonde__gather_place(tile, depth, o, 0);
        for (size_t k = 0; k < depth; k++)
            to[k * tile] = (double)weights[o * depth + k];
    }
}

static sonde__gather forward_gather(const geometry *g, const space *s, size_t group)
{
    return (sonde__gather){.rows = g->out,
                           .depth = g->in * g->taps,
                           .count = g->span,
                           .offsets = s->offsets,
                           .x = s->phases + group * g->in * g->plane_stride,
                           .stride = g->span_stride};
}

/* The weights of a group, or of the whole layer for group 0. */
static const float *weights_of(const sonde__exact *e, int layer, const geometry *g, size_t group)
{
    const float *weights = e->parameters[sonde__exact_layer(e, layer)->first_parameter];
    return weights + group * g->out * g->in * g->taps;
}

static double *example(const sonde__exact *e, const sonde__exact_tensor *t, size_t n)
{
    return t->values + n * (t->count / e->batch);
}

/* y (batch x out x pixels) += bias. */
static void add_bias(sonde__exact *e, int layer, size_t pixels)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    sonde__exact_tensor *y = &e->values[layer];
    if (!l->conv.bias)
        return;
    sonde__exact_raise(y, SONDE__EXACT_LEAST);
    const float *bias = e->parameters[l->first_parameter + 1];
    const double unit = sonde__exact_power(-y->exponent);
    const size_t out = y->count / e->batch / pixels;
    for (size_t row = 0; row < e->batch * out; row++) {
        const double b = unit * (double)bias[row % out];
        for (size_t p = 0; p < pixels; p++)
            y->values[row * pixels + p] += b;
    }
}

sonde_status sonde__exact_conv(sonde__exact *e, int layer)
{
    const geometry g = geometry_of(e, layer);
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    sonde__exact_tensor *y = &e->values[layer];
    space s;
    SONDE_TRY(open_space(e, &g, false, &s));
    find_offsets(&g, s.offsets);
    for (size_t n = 0; n < e->batch; n++) {
        copy_phases(&g, example(e, x, n), s.phases, false);
        for (size_t group = 0; group < g.groups; group++) {
            const sonde__gather product = forward_gather(&g, &s, group);
            if (n == 0 || g.groups > 1)
                pack(&g, weights_of(e, layer, &g, group), s.packed);
            sonde__gather_product(&product, s.packed, s.spans + group * g.out * g.span_stride);
        }
        take_outputs(&g, s.spans, example(e, y, n));
    }
    y->exponent = x->exponent;
    add_bias(e, layer, (size_t)g.output.height * (size_t)g.output.width);
    return SONDE_OK;
}

/* --- backward --------------------------------------------------------------------------------- */

/* Factors and places in `slopes` for the taps of one phase; returns how many rows are gathered. */
static size_t pack_back(const geometry *g, const float *weights, size_t phase, const space *s)
{
    const size_t tile = sonde__gather_tile();
    size_t taps = 0, seen = 0;
    for (size_t tap = 0; tap < g->taps; tap++)
        taps += tap_phase(g, tap) == phase;
    const size_t depth = g->out * taps;
    memset(s->packed, 0, sonde__gather_packed(g->in, depth) * sizeof *s->packed);
    for (size_t tap = 0; tap < g->taps; tap++) {
        if (tap_phase(g, tap) != phase)
            continue;
        for (size_t o = 0; o < g->out; o++) {
            const size_t k = o * taps + seen;
            s->offsets[k] = o * g->slope_stride + g->margin - tap_distance(g, tap);
            for (size_t i = 0; i < g->in; i += tile) {
                double *to = s->packed + sonde__gather_place(tile, depth, i, k);
                for (size_t r = 0; r < tile && i + r < g->in; r++)
                    to[r] = (double)weights[(o * g->in + i + r) * g->taps + tap];
            }
        }
        seen++;
    }
    return depth;
}

/* All phases of one example's dx, group by group, in the order in which rows may be written past a
 * group's end. */
static void find_slopes(const sonde__exact *e, int layer, const geometry *g, const space *s)
{
    for (size_t phase = 0; phase < g->stride * g->stride; phase++) {
        for (size_t group = 0; group < g->groups; group++) {
            const size_t depth = pack_back(g, weights_of(e, layer, g, group), phase, s);
            const size_t first = phase * (size_t)g->input.channels + group * g->in;
            const sonde__gather product = {.rows = g->in,
                                           .depth = depth,
                                           .count = g->plane,
                                           .offsets = s->offsets,
                                           .x = s->slopes + group * g->out * g->slope_stride,
                                           .stride = g->plane_stride};
            sonde__gather_product(&product, s->packed, s->dphases + first * g->plane_stride);
        }
    }
}

static double *input_gradient(sonde__exact *e, int layer, const geometry *g, const space *s)
{
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    double *dx = sonde__exact_room(e, sonde__exact_layer(e, layer)->inputs[0]);
    for (size_t n = 0; dx && n < e->batch; n++) {
        put_slopes(g, example(e, dy, n), s->slopes);
        find_slopes(e, layer, g, s);
        copy_phases(g, dx + n * sonde__features(g->input), s->dphases, true);
    }
    return dx;
}

static void weight_gradient(const sonde__exact *e, int layer, const geometry *g, const space *s,
                            double *gradient)
{
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    const size_t group_size = g->out * g->in * g->taps;
    memset(gradient, 0, g->groups * group_size * sizeof *gradient);
    find_offsets(g, s->offsets);
    for (size_t n = 0; n < e->batch; n++) {
        copy_phases(g, example(e, x, n), s->phases, false);
        put_slopes(g, example(e, dy, n), s->slopes);
        for (size_t group = 0; group < g->groups; group++) {
            sonde__gather product = forward_gather(g, s, group);
            product.stride = g->slope_stride;
            sonde__gather_outer(&product, s->slopes + group * g->out * g->slope_stride + g->margin,
                                gradient + group * group_size);
        }
    }
}

static double dot(const double *a, const double *b, size_t count)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The gradient itself, kept or only summed up. */
static sonde_status find_gradient(sonde__exact *e, int layer, const geometry *g, const space *s)
{
    const int index = sonde__exact_layer(e, layer)->first_parameter;
    const int64_t exponent =
        sonde__exact_input(e, layer, 0)->exponent + e->slopes[layer].tensor.exponent;
    sonde__exact_tensor gradient = e->gradients[index];
    const bool kept = gradient.values != NULL;
    gradient.count = g->groups * g->out * g->in * g->taps;
    if (!kept)
        gradient.values = sonde__exact_take(e, gradient.count);
    if (!gradient.values)
        return SONDE_ERROR_MEMORY;
    weight_gradient(e, layer, g, s, gradient.values);
    gradient.exponent = exponent;
    sonde__exact_note_saliency(e, index, &gradient);
    if (kept)
        e->gradients[index] = gradient;
    else
        sonde__exact_release(e, gradient.values);
    return SONDE_OK;
}

sonde_status sonde__exact_conv_backward(sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    const geometry g = geometry_of(e, layer);
    const bool wanted = sonde__exact_wants(e, l->inputs[0]);
    const bool short_cut =
        wanted && e->options.absolute && !e->options.gradients && !x->negative && !dy->negative;
    space s;
    SONDE_TRY(open_space(e, &g, true, &s));
    if (!short_cut)
        SONDE_TRY(find_gradient(e, layer, &g, &s));
    if (!wanted)
        return SONDE_OK;
    double *dx = input_gradient(e, layer, &g, &s);
    if (!dx)
        return SONDE_ERROR_MEMORY;
    if (short_cut)
        e->saliencies[l->first_parameter] =
            (sonde__scaled){dot(x->values, dx, x->count), x->exponent + dy->exponent};
    sonde__exact_give(e, l->inputs[0], dx, dy->exponent);
    return SONDE_OK;
}

/* --- linear ----------------------------------------------------------------------------------- */

sonde_status sonde__exact_linear(sonde__exact *e, int layer)
{
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    sonde__exact_tensor *y = &e->values[layer];
    const float *weights = e->parameters[sonde__exact_layer(e, layer)->first_parameter];
    const size_t in = x->count / e->batch, out = y->count / e->batch;
    for (size_t i = 0; i < y->count; i++) {
        const double *values = x->values + i / out * in;
        const float *row = weights + i % out * in;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t k = 0; k < in; k++)
            sum += (double)row[k] * values[k];
        y->values[i] = sum;
    }
    y->exponent = x->exponent;
    add_bias(e, layer, 1);
    return SONDE_OK;
}

/* Row `o` of dW = dy^T x, over all examples. */
static void gradient_row(const sonde__exact *e, const sonde__exact_tensor *x,
                         const sonde__exact_tensor *dy, size_t o, double *row)
{
    const size_t in = x->count / e->batch, out = dy->count / e->batch;
    memset(row, 0, in * sizeof *row);
    for (size_t n = 0; n < e->batch; n++) {
        const double slope = dy->values[n * out + o];
        for (size_t k = 0; k < in; k++)
            row[k] += slope * x->values[n * in + k];
    }
}

static sonde_status linear_gradient(sonde__exact *e, int layer)
{
    const int index = sonde__exact_layer(e, layer)->first_parameter;
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    const size_t in = x->count / e->batch, out = dy->count / e->batch;
    double *row = NULL, sum = 0;
    SONDE_TRY(sonde__exact_work(e, in, &row));
    for (size_t o = 0; o < out; o++) {
        const float *weights = e->parameters[index] + o * in;
        gradient_row(e, x, dy, o, row);
        for (size_t k = 0; k < in; k++)
            sum += fabs((double)weights[k] * row[k]);
        if (e->gradients[index].values)
            memcpy(e->gradients[index].values + o * in, row, in * sizeof *row);
    }
    e->gradients[index].exponent = x->exponent + dy->exponent;
    e->saliencies[index] = (sonde__scaled){sum, x->exponent + dy->exponent};
    return SONDE_OK;
}

sonde_status sonde__exact_linear_backward(sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    const size_t in = sonde__exact_input(e, layer, 0)->count / e->batch;
    const size_t out = dy->count / e->batch;
    SONDE_TRY(linear_gradient(e, layer));
    if (!sonde__exact_wants(e, l->inputs[0]))
        return SONDE_OK;
    double *dx = sonde__exact_room(e, l->inputs[0]);
    if (!dx)
        return SONDE_ERROR_MEMORY;
    memset(dx, 0, e->batch * in * sizeof *dx);
    for (size_t i = 0; i < dy->count; i++) {
        const float *row = e->parameters[l->first_parameter] + i % out * in;
        for (size_t k = 0; k < in; k++)
            dx[i / out * in + k] += dy->values[i] * (double)row[k];
    }
    sonde__exact_give(e, l->inputs[0], dx, dy->exponent);
    return SONDE_OK;
}
