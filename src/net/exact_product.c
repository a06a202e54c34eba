/*
 * Convolutions and linear layers of the exact evaluator, as matrix products of BLAS.
 *
 * A convolution of stride s reads its padded input as s x s phases: phase (a, b) holds every s-th
 * pixel from row a and column b on, all of one row length. Then the tap (u, v) of the kernel reads
 * a phase at a fixed distance for all output pixels, and
 *
 *   y = sum over taps of W_uv x_uv,   dW_uv = dy x_uv^T,   dx_uv += W_uv^T dy
 *
 * where x_uv is the phase from that distance on, in place. Outputs are computed at the phase's row
 * length; what lies past a row's end is dropped going forward and zero coming back.
 */
#include <cblas.h>
#include <string.h>

#include "net/exact_internal.h"

typedef struct geometry {
    size_t channels, out;      /* of all groups */
    size_t groups, taps;       /* kernel pixels */
    size_t kernel_width, step; /* dilation */
    size_t stride, padding;
    sonde__shape input, output;
    size_t rows, row, plane; /* of a phase */
    size_t span;             /* from the first output to the last, at the phase's row length */
    size_t grid;             /* output rows at that length */
} geometry;

static geometry geometry_of(const sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__conv_options *o = &l->conv;
    geometry g = {.groups = (size_t)o->groups,
                  .taps = (size_t)o->kernel_height * (size_t)o->kernel_width,
                  .kernel_width = (size_t)o->kernel_width,
                  .step = (size_t)o->dilation,
                  .stride = (size_t)o->stride,
                  .padding = (size_t)o->padding,
                  .input = e->graph->layers[l->inputs[0]].shape,
                  .output = l->shape};
    g.channels = (size_t)g.input.channels;
    g.out = (size_t)g.output.channels;
    g.rows = ((size_t)g.input.height + 2 * g.padding + g.stride - 1) / g.stride;
    g.row = ((size_t)g.input.width + 2 * g.padding + g.stride - 1) / g.stride;
    g.plane = g.rows * g.row;
    g.span = ((size_t)g.output.height - 1) * g.row + (size_t)g.output.width;
    g.grid = (size_t)g.output.height * g.row;
    return g;
}

static size_t phases_size(const geometry *g)
{
    return g->stride * g->stride * g->channels * g->plane;
}

/* Where the first value that a tap reads lies, for channel 0. */
static size_t tap_offset(const geometry *g, size_t tap)
{
    const size_t y = tap / g->kernel_width * g->step, x = tap % g->kernel_width * g->step;
    const size_t phase = y % g->stride * g->stride + x % g->stride;
    return phase * g->channels * g->plane + y / g->stride * g->row + x / g->stride;
}

/* True if the input itself is its only phase. */
static bool is_own_phase(const geometry *g)
{
    return g->stride == 1 && g->padding == 0;
}

/* One row of an example between its plain place and its phases. */
static void copy_row(const geometry *g, size_t channel, size_t y, double *plain, double *phases,
                     bool back)
{
    const size_t from = y + g->padding, s = g->stride, width = (size_t)g->input.width;
    for (size_t b = 0; b < s; b++) {
        const size_t phase = from % s * s + b;
        double *at = phases + (phase * g->channels + channel) * g->plane + from / s * g->row;
        /* pixel x lies at column x + padding */
        size_t x = (b + s - g->padding % s) % s;
        at += (x + g->padding) / s;
        for (; x < width; x += s, at++) {
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
    for (size_t c = 0; c < g->channels; c++) {
        for (size_t y = 0; y < height; y++)
            copy_row(g, c, y, plain + (c * height + y) * width, phases, back);
    }
}

/* Between output pixels at their own row length and at the phase's; the rest becomes zero. */
static void to_grid(const geometry *g, const double *plain, double *grid)
{
    const size_t width = (size_t)g->output.width, height = (size_t)g->output.height;
    for (size_t row = 0; row < g->out * height; row++) {
        memcpy(grid + row * g->row, plain + row * width, width * sizeof *grid);
        memset(grid + row * g->row + width, 0, (g->row - width) * sizeof *grid);
    }
}

static void from_grid(const geometry *g, const double *grid, double *plain)
{
    const size_t width = (size_t)g->output.width, height = (size_t)g->output.height;
    for (size_t row = 0; row < g->out * height; row++)
        memcpy(plain + row * width, grid + row * g->row, width * sizeof *plain);
}

/* Plain weights (out x in x taps) to or from a matrix out x in a tap. */
static void turn_weights(const geometry *g, const double *from, double *to, bool back)
{
    const size_t pairs = g->out * (g->channels / g->groups);
    for (size_t pair = 0; pair < pairs; pair++) {
        for (size_t tap = 0; tap < g->taps; tap++) {
            if (back)
                to[pair * g->taps + tap] = from[tap * pairs + pair];
            else
                to[tap * pairs + pair] = from[pair * g->taps + tap];
        }
    }
}

/* What one product needs: a group's part of one tap. */
typedef struct part {
    size_t weight, x, y; /* where it begins */
    int out, in;         /* channels */
} part;

static part part_of(const geometry *g, size_t tap, size_t group)
{
    const size_t in = g->channels / g->groups, out = g->out / g->groups;
    return (part){.weight = (tap * g->out + group * out) * in,
                  .x = tap_offset(g, tap) + group * in * g->plane,
                  .y = group * out * g->grid,
                  .out = (int)out,
                  .in = (int)in};
}

static void multiply(const geometry *g, const double *weights, const double *phases, double *grid)
{
    const int span = (int)g->span, plane = (int)g->plane, row = (int)g->grid;
    for (size_t tap = 0; tap < g->taps; tap++) {
        for (size_t group = 0; group < g->groups; group++) {
            const part p = part_of(g, tap, group);
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, p.out, span, p.in, 1.0,
                        weights + p.weight, p.in, phases + p.x, plane, tap > 0 ? 1.0 : 0.0,
                        grid + p.y, row);
        }
    }
}

static void multiply_back(const geometry *g, const double *weights, const double *grid,
                          double *phases)
{
    const int span = (int)g->span, plane = (int)g->plane, row = (int)g->grid;
    for (size_t tap = 0; tap < g->taps; tap++) {
        for (size_t group = 0; group < g->groups; group++) {
            const part p = part_of(g, tap, group);
            cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, p.in, span, p.out, 1.0,
                        weights + p.weight, p.in, grid + p.y, row, 1.0, phases + p.x, plane);
        }
    }
}

static void multiply_weights(const geometry *g, const double *phases, const double *grid,
                             double *weights)
{
    const int span = (int)g->span, plane = (int)g->plane, row = (int)g->grid;
    for (size_t tap = 0; tap < g->taps; tap++) {
        for (size_t group = 0; group < g->groups; group++) {
            const part p = part_of(g, tap, group);
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, p.out, p.in, span, 1.0, grid + p.y,
                        row, phases + p.x, plane, 1.0, weights + p.weight, p.in);
        }
    }
}

static const double *parameter_of(const sonde__exact *e, int layer, int which)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    return which < l->parameter_count ? e->parameters[l->first_parameter + which] : NULL;
}

/* y (batch x out x pixels) += bias. */
static void add_bias(sonde__exact *e, int layer, size_t pixels)
{
    const double *bias = parameter_of(e, layer, 1);
    sonde__exact_tensor *y = &e->values[layer];
    if (!bias)
        return;
    sonde__exact_raise(y, SONDE__EXACT_LEAST);
    const double unit = sonde__exact_power(-y->exponent);
    const size_t out = y->count / e->batch / pixels;
    for (size_t row = 0; row < e->batch * out; row++) {
        const double b = unit * bias[row % out];
        for (size_t p = 0; p < pixels; p++)
            y->values[row * pixels + p] += b;
    }
}

/* The work space of a convolution: weights by taps, phases, outputs at the phase's row length. */
typedef struct space {
    double *weights, *phases, *grid;
    size_t weight_count;
} space;

static sonde_status open_space(sonde__exact *e, const geometry *g, space *s)
{
    double *work = NULL;
    s->weight_count = g->taps * g->out * (g->channels / g->groups);
    SONDE_TRY(sonde__exact_work(e, s->weight_count + phases_size(g) + g->out * g->grid, &work));
    s->weights = work;
    s->phases = work + s->weight_count;
    s->grid = s->phases + phases_size(g);
    return SONDE_OK;
}

/* The phases of an example: its own memory where that will do. */
static const double *take_phases(const geometry *g, const space *s, double *x)
{
    if (is_own_phase(g))
        return x;
    copy_phases(g, x, s->phases, false);
    return s->phases;
}

sonde_status sonde__exact_conv(sonde__exact *e, int layer)
{
    const geometry g = geometry_of(e, layer);
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    sonde__exact_tensor *y = &e->values[layer];
    space s;
    SONDE_TRY(open_space(e, &g, &s));
    turn_weights(&g, parameter_of(e, layer, 0), s.weights, false);
    memset(s.phases, 0, phases_size(&g) * sizeof *s.phases);
    for (size_t n = 0; n < e->batch; n++) {
        const double *phases = take_phases(&g, &s, x->values + n * (x->count / e->batch));
        multiply(&g, s.weights, phases, s.grid);
        from_grid(&g, s.grid, y->values + n * (y->count / e->batch));
    }
    y->exponent = x->exponent;
    add_bias(e, layer, (size_t)g.output.height * (size_t)g.output.width);
    return SONDE_OK;
}

/* The gradient of the weight, of one example, is added to `s->weights`. */
static void conv_weight_gradient(sonde__exact *e, int layer, const geometry *g, const space *s)
{
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    sonde__exact_tensor *gradient = &e->gradients[sonde__exact_layer(e, layer)->first_parameter];
    memset(s->weights, 0, s->weight_count * sizeof *s->weights);
    memset(s->phases, 0, phases_size(g) * sizeof *s->phases);
    for (size_t n = 0; n < e->batch; n++) {
        to_grid(g, dy->values + n * (dy->count / e->batch), s->grid);
        multiply_weights(g, take_phases(g, s, x->values + n * (x->count / e->batch)), s->grid,
                         s->weights);
    }
    turn_weights(g, s->weights, gradient->values, true);
    gradient->exponent = x->exponent + dy->exponent;
}

static void conv_input_gradient(sonde__exact *e, int layer, const geometry *g, const space *s)
{
    const int from = sonde__exact_layer(e, layer)->inputs[0];
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    const size_t size = sonde__features(g->input);
    double *dx = sonde__exact_room(e, from);
    turn_weights(g, parameter_of(e, layer, 0), s->weights, false);
    for (size_t n = 0; n < e->batch; n++) {
        double *phases = is_own_phase(g) ? dx + n * size : s->phases;
        to_grid(g, dy->values + n * (dy->count / e->batch), s->grid);
        memset(phases, 0, phases_size(g) * sizeof *phases);
        multiply_back(g, s->weights, s->grid, phases);
        if (phases == s->phases)
            copy_phases(g, dx + n * size, phases, true);
    }
    sonde__exact_give(e, from, dx, dy->exponent);
}

sonde_status sonde__exact_conv_backward(sonde__exact *e, int layer)
{
    const geometry g = geometry_of(e, layer);
    space s;
    SONDE_TRY(open_space(e, &g, &s));
    conv_weight_gradient(e, layer, &g, &s);
    if (sonde__exact_wants(e, sonde__exact_layer(e, layer)->inputs[0]))
        conv_input_gradient(e, layer, &g, &s);
    return SONDE_OK;
}

sonde_status sonde__exact_linear(sonde__exact *e, int layer)
{
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    sonde__exact_tensor *y = &e->values[layer];
    const int batch = (int)e->batch, in = (int)x->count / batch, out = (int)y->count / batch;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, batch, out, in, 1.0, x->values, in,
                parameter_of(e, layer, 0), in, 0.0, y->values, out);
    y->exponent = x->exponent;
    add_bias(e, layer, 1);
    return SONDE_OK;
}

sonde_status sonde__exact_linear_backward(sonde__exact *e, int layer)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    sonde__exact_tensor *gradient = &e->gradients[l->first_parameter];
    const int batch = (int)e->batch, in = (int)x->count / batch, out = (int)dy->count / batch;
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, batch, 1.0, dy->values, out,
                x->values, in, 0.0, gradient->values, in);
    gradient->exponent = x->exponent + dy->exponent;
    if (!sonde__exact_wants(e, l->inputs[0]))
        return SONDE_OK;
    double *dx = sonde__exact_room(e, l->inputs[0]);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, batch, in, out, 1.0, dy->values, out,
                parameter_of(e, layer, 0), in, 0.0, dx, in);
    sonde__exact_give(e, l->inputs[0], dx, dy->exponent);
    return SONDE_OK;
}
