/*
 * A slow, plain interpreter of graphs in double, to compare the engine with: every operator as its
 * definition reads, in loops over plain arrays (example, channel, row, column), nothing fused, no
 * layouts, no plans. It shares no code with the engine beyond the description of the graph.
 *
 * With `noise` every value and every gradient is moved by that share at random. Two runs, one without
 * and one with it, show how far rounding can carry a result, and whether a ReLU or a maximum stands
 * so close to its edge that float and double may decide differently.
 */
#ifndef SONDE_TESTS_REFERENCE_NET_H
#define SONDE_TESTS_REFERENCE_NET_H

#include "check.h"

#include "base/random.h"
#include "net/graph_internal.h"

typedef struct reference_net {
    const sonde__graph *graph;
    int batch;
    bool train;
    double noise;
    sonde__stream stream;
    double **parameters, **gradients; /* by parameter; running statistics are updated in place */
    double **values, **slopes;        /* by layer: its output, and the gradient of that */
    double **saved;                   /* by normalisation: means, then 1 / deviations */
    unsigned char **kept;             /* by dropout: what stays; borrowed */
} reference_net;

static inline void *reference_zeros(size_t count, size_t size)
{
    void *made = calloc(count ? count : 1, size);
    assert_non_null(made);
    return made;
}

static inline size_t reference_floats(const reference_net *r, int layer)
{
    return (size_t)r->batch * sonde__features(r->graph->layers[layer].shape);
}

static inline void reference_open(reference_net *r, const sonde__graph *graph, int batch)
{
    size_t layers = (size_t)graph->layer_count, parameters = (size_t)graph->parameter_count;
    memset(r, 0, sizeof *r);
    r->graph = graph;
    r->batch = batch;
    r->parameters = reference_zeros(parameters, sizeof *r->parameters);
    r->gradients = reference_zeros(parameters, sizeof *r->gradients);
    for (size_t i = 0; i < parameters; i++) {
        r->parameters[i] = reference_zeros(graph->parameters[i].elements, sizeof(double));
        r->gradients[i] = reference_zeros(graph->parameters[i].elements, sizeof(double));
    }
    r->values = reference_zeros(layers, sizeof *r->values);
    r->slopes = reference_zeros(layers, sizeof *r->slopes);
    r->saved = reference_zeros(layers, sizeof *r->saved);
    r->kept = reference_zeros(layers, sizeof *r->kept);
    for (int i = 0; i < graph->layer_count; i++) {
        r->values[i] = reference_zeros(reference_floats(r, i), sizeof(double));
        r->slopes[i] = reference_zeros(reference_floats(r, i), sizeof(double));
        r->saved[i] = reference_zeros(2 * reference_floats(r, i), sizeof(double)); /* or fewer */
    }
}

static inline void reference_close(reference_net *r)
{
    for (int i = 0; i < r->graph->parameter_count; i++) {
        free(r->parameters[i]);
        free(r->gradients[i]);
    }
    for (int i = 0; i < r->graph->layer_count; i++) {
        free(r->values[i]);
        free(r->slopes[i]);
        free(r->saved[i]);
    }
    free(r->parameters);
    free(r->gradients);
    free(r->values);
    free(r->slopes);
    free(r->saved);
    free(r->kept);
}

static inline void reference_disturb(reference_net *r, double *values, size_t count)
{
    double square = 0;
    if (r->noise <= 0)
        return;
    for (size_t i = 0; i < count; i++)
        square += values[i] * values[i];
    double typical = sqrt(square / (double)count);
    for (size_t i = 0; i < count; i++) {
        double unit = 2 * sonde__random_uniform(&r->stream) - 1;
        if (values[i] != 0) /* what is exactly zero is so in float, too */
            values[i] += r->noise * (fabs(values[i]) + typical) * unit;
    }
}

/* A rounding error of a sum that this is a part of. */
static inline double reference_shaken(reference_net *r, double part)
{
    return r->noise > 0 ? r->noise * part * (2 * sonde__random_uniform(&r->stream) - 1) : 0;
}

/* --- operators: forward, or backward where `back` (x's gradient is added to) ------------------- */

/* The place of (example, channel, row, column). */
static inline size_t reference_at(sonde__shape s, int n, int c, int i, int j)
{
    return (((size_t)n * (size_t)s.channels + (size_t)c) * (size_t)s.height + (size_t)i) *
               (size_t)s.width +
           (size_t)j;
}

static inline void reference_conv(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    const sonde__conv_options *o = &l->conv;
    const sonde__shape in = r->graph->layers[l->inputs[0]].shape, out = l->shape;
    const double *x = r->values[l->inputs[0]], *w = r->parameters[l->first_parameter];
    double *y = r->values[index], *dy = r->slopes[index], *dx = r->slopes[l->inputs[0]];
    double *dw = r->gradients[l->first_parameter];
    int inner = in.channels / o->groups, outer = o->out / o->groups;
    for (int n = 0; n < r->batch; n++)
        for (int c = 0; c < out.channels; c++)
            for (int i = 0; i < out.height; i++)
                for (int j = 0; j < out.width; j++) {
                    size_t at = reference_at(out, n, c, i, j);
                    double sum = o->bias ? r->parameters[l->first_parameter + 1][c] : 0;
                    if (back && o->bias)
                        r->gradients[l->first_parameter + 1][c] += dy[at];
                    for (int k = 0; k < inner; k++)
                        for (int a = 0; a < o->kernel_height; a++)
                            for (int b = 0; b < o->kernel_width; b++) {
                                int row = i * o->stride - o->padding + a * o->dilation;
                                int column = j * o->stride - o->padding + b * o->dilation;
                                if (row < 0 || row >= in.height || column < 0 || column >= in.width)
                                    continue;
                                size_t weight = (((size_t)c * (size_t)inner + (size_t)k) *
                                                     (size_t)o->kernel_height +
                                                 (size_t)a) *
                                                    (size_t)o->kernel_width +
                                                (size_t)b;
                                size_t from =
                                    reference_at(in, n, c / outer * inner + k, row, column);
                                sum += w[weight] * x[from];
                                if (back) {
                                    dx[from] += w[weight] * dy[at];
                                    dw[weight] += x[from] * dy[at];
                                }
                            }
                    if (!back)
                        y[at] = sum;
                }
}

static inline void reference_linear(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    size_t in = sonde__features(r->graph->layers[l->inputs[0]].shape), out = (size_t)l->conv.out;
    const double *w = r->parameters[l->first_parameter];
    for (size_t n = 0; n < (size_t)r->batch; n++)
        for (size_t c = 0; c < out; c++) {
            const double *x = r->values[l->inputs[0]] + n * in;
            double *y = &r->values[index][n * out + c], dy = r->slopes[index][n * out + c];
            if (!back)
                *y = l->conv.bias ? r->parameters[l->first_parameter + 1][c] : 0;
            else if (l->conv.bias)
                r->gradients[l->first_parameter + 1][c] += dy;
            for (size_t k = 0; k < in; k++) {
                if (back) {
                    r->slopes[l->inputs[0]][n * in + k] += dy * w[c * in + k];
                    r->gradients[l->first_parameter][c * in + k] += dy * x[k];
                } else {
                    *y += w[c * in + k] * x[k];
                }
            }
        }
}

/* How many sets of values are normalised together, each on its own: channels of a batch norm, examples
 * of a layer norm, tokens, groups. */
static inline size_t reference_norm_sets(const reference_net *r, const sonde__layer *l)
{
    size_t pixels = (size_t)l->shape.height * (size_t)l->shape.width;
    switch (l->op) {
    case SONDE__OP_BATCH_NORM:
        return (size_t)l->shape.channels;
    case SONDE__OP_TOKEN_NORM:
        return (size_t)r->batch * pixels;
    case SONDE__OP_GROUP_NORM:
        return (size_t)r->batch * (size_t)l->parts;
    default:
        return (size_t)r->batch;
    }
}

/* The k-th value of a set. */
static inline size_t reference_norm_at(const sonde__layer *l, size_t set, size_t k)
{
    size_t pixels = (size_t)l->shape.height * (size_t)l->shape.width;
    if (l->op == SONDE__OP_LAYER_NORM)
        return set * sonde__features(l->shape) + k;
    if (l->op == SONDE__OP_GROUP_NORM)
        return set * (sonde__features(l->shape) / (size_t)l->parts) + k;
    if (l->op == SONDE__OP_TOKEN_NORM)
        return set / pixels * sonde__features(l->shape) + k * pixels + set % pixels;
    return ((k / pixels) * (size_t)l->shape.channels + set) * pixels + k % pixels;
}

/* The scale and shift of the value at `at`. */
static inline size_t reference_norm_parameter(const sonde__layer *l, size_t at)
{
    size_t pixels = (size_t)l->shape.height * (size_t)l->shape.width;
    if (l->op == SONDE__OP_LAYER_NORM)
        return at % sonde__features(l->shape);
    return at / pixels % (size_t)l->shape.channels;
}

static inline void reference_moments(reference_net *r, int index, size_t set, size_t count)
{
    const sonde__layer *l = &r->graph->layers[index];
    const double *x = r->values[l->inputs[0]];
    bool batch = l->op == SONDE__OP_BATCH_NORM;
    double mean = 0, squares = 0;
    for (size_t k = 0; k < count; k++)
        mean += x[reference_norm_at(l, set, k)] / (double)count;
    for (size_t k = 0; k < count; k++)
        squares += pow(x[reference_norm_at(l, set, k)] - mean, 2);
    double variance = squares / (double)count;
    if (batch) {
        double *running_mean = &r->parameters[l->first_parameter + 2][set];
        double *running_variance = &r->parameters[l->first_parameter + 3][set];
        if (r->train) {
            double unbiased = count > 1 ? squares / (double)(count - 1) : squares;
            *running_mean = 0.9 * *running_mean + 0.1 * mean;
            *running_variance = 0.9 * *running_variance + 0.1 * unbiased;
        } else {
            mean = *running_mean;
            variance = *running_variance;
        }
    }
    r->saved[index][2 * set] = mean;
    r->saved[index][2 * set + 1] = 1 / sqrt(variance + 1e-5);
}

/* In floats it is formed as factor x + offset: what that loses where a mean is large against the
 * deviation no noise of x shows, since the mean moves with x. */
static inline void reference_norm(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    bool batch = l->op == SONDE__OP_BATCH_NORM;
    size_t sets = reference_norm_sets(r, l);
    size_t count = (size_t)r->batch * sonde__features(l->shape) / sets;
    const double *x = r->values[l->inputs[0]], *scale = r->parameters[l->first_parameter];
    const double *shift = r->parameters[l->first_parameter + 1], *dy = r->slopes[index];
    for (size_t set = 0; set < sets; set++) {
        double sum = 0, product = 0;
        if (!back)
            reference_moments(r, index, set, count);
        double mean = r->saved[index][2 * set], inverse = r->saved[index][2 * set + 1];
        for (size_t k = 0; k < count; k++) {
            size_t at = reference_norm_at(l, set, k), p = reference_norm_parameter(l, at);
            double unit = (x[at] - mean) * inverse;
            if (!back) {
                double shaken = reference_shaken(r, x[at] * inverse * scale[p]);
                r->values[index][at] = scale[p] * unit + shift[p] + shaken;
                continue;
            }
            r->gradients[l->first_parameter][p] += dy[at] * unit;
            r->gradients[l->first_parameter + 1][p] += dy[at];
            sum += scale[p] * dy[at] / (double)count;
            product += scale[p] * dy[at] * unit / (double)count;
        }
        if (batch && !r->train) /* running statistics are constants */
            sum = product = 0;
        for (size_t k = 0; back && k < count; k++) {
            size_t at = reference_norm_at(l, set, k), p = reference_norm_parameter(l, at);
            double unit = (x[at] - mean) * inverse;
            r->slopes[l->inputs[0]][at] += inverse * (scale[p] * dy[at] - sum - unit * product) +
                                           reference_shaken(r, x[at] * inverse * inverse * product);
        }
    }
}

static inline double reference_function(sonde__op op, double x, bool derivative)
{
    double s = 1 / (1 + exp(-x));
    double normal = 0.5 * erfc(-x / sqrt(2.0)), peak = exp(-x * x / 2) / sqrt(2 * acos(-1.0));
    switch (op) {
    case SONDE__OP_RELU:
        return derivative ? x > 0 : x > 0 ? x : 0;
    case SONDE__OP_GELU:
        return derivative ? normal + x * peak : x * normal;
    case SONDE__OP_SILU:
        return derivative ? s + x * s * (1 - s) : x * s;
    case SONDE__OP_SIGMOID:
        return derivative ? s * (1 - s) : s;
    default:
        return derivative ? 1 - tanh(x) * tanh(x) : tanh(x);
    }
}

static inline void reference_unary(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    const double *x = r->values[l->inputs[0]];
    for (size_t i = 0; i < reference_floats(r, index); i++) {
        if (back)
            r->slopes[l->inputs[0]][i] +=
                r->slopes[index][i] * reference_function(l->op, x[i], true);
        else
            r->values[index][i] = reference_function(l->op, x[i], false);
    }
}

static inline void reference_softmax(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    const sonde__shape s = l->shape;
    for (int n = 0; n < r->batch; n++)
        for (int i = 0; i < s.height; i++)
            for (int j = 0; j < s.width; j++) {
                double top = -HUGE_VAL, sum = 0, product = 0;
                for (int c = 0; c < s.channels; c++)
                    top = fmax(top, r->values[l->inputs[0]][reference_at(s, n, c, i, j)]);
                for (int c = 0; c < s.channels; c++)
                    sum += exp(r->values[l->inputs[0]][reference_at(s, n, c, i, j)] - top);
                for (int c = 0; c < s.channels; c++) {
                    size_t at = reference_at(s, n, c, i, j);
                    if (!back)
                        r->values[index][at] = exp(r->values[l->inputs[0]][at] - top) / sum;
                    product += r->values[index][at] * r->slopes[index][at];
                }
                for (int c = 0; back && c < s.channels; c++) {
                    size_t at = reference_at(s, n, c, i, j);
                    r->slopes[l->inputs[0]][at] +=
                        r->values[index][at] * (r->slopes[index][at] - product);
                }
            }
}

typedef struct reference_window {
    int top, bottom, left, right; /* [top, bottom) x [left, right) */
} reference_window;

static inline reference_window reference_window_of(const reference_net *r, const sonde__layer *l,
                                                   int i, int j)
{
    const sonde__shape in = r->graph->layers[l->inputs[0]].shape;
    if (l->op == SONDE__OP_GLOBAL_POOL)
        return (reference_window){0, in.height, 0, in.width};
    int top = i * l->stride - l->padding, left = j * l->stride - l->padding;
    int bottom = top + l->kernel, right = left + l->kernel;
    return (reference_window){top < 0 ? 0 : top, bottom > in.height ? in.height : bottom,
                              left < 0 ? 0 : left, right > in.width ? in.width : right};
}

/* The first maximum of a window. */
static inline size_t reference_largest(const reference_net *r, const sonde__layer *l, int n, int c,
                                       reference_window w)
{
    const sonde__shape in = r->graph->layers[l->inputs[0]].shape;
    const double *x = r->values[l->inputs[0]];
    size_t best = reference_at(in, n, c, w.top, w.left);
    for (int i = w.top; i < w.bottom; i++)
        for (int j = w.left; j < w.right; j++)
            if (x[reference_at(in, n, c, i, j)] > x[best])
                best = reference_at(in, n, c, i, j);
    return best;
}

static inline void reference_pool_one(reference_net *r, int index, const int at[4], bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    const sonde__shape in = r->graph->layers[l->inputs[0]].shape;
    const double *x = r->values[l->inputs[0]];
    reference_window w = reference_window_of(r, l, at[2], at[3]);
    double size = (double)(w.bottom - w.top) * (w.right - w.left), sum = 0;
    size_t out = reference_at(l->shape, at[0], at[1], at[2], at[3]);
    if (l->op == SONDE__OP_MAX_POOL) {
        size_t best = reference_largest(r, l, at[0], at[1], w);
        if (back)
            r->slopes[l->inputs[0]][best] += r->slopes[index][out];
        else
            r->values[index][out] = x[best];
        return;
    }
    for (int i = w.top; i < w.bottom; i++)
        for (int j = w.left; j < w.right; j++) {
            size_t from = reference_at(in, at[0], at[1], i, j);
            sum += x[from];
            if (back)
                r->slopes[l->inputs[0]][from] += r->slopes[index][out] / size;
        }
    if (!back)
        r->values[index][out] = sum / size;
}

static inline void reference_pool(reference_net *r, int index, bool back)
{
    const sonde__shape s = r->graph->layers[index].shape;
    for (int n = 0; n < r->batch; n++)
        for (int c = 0; c < s.channels; c++)
            for (int i = 0; i < s.height; i++)
                for (int j = 0; j < s.width; j++)
                    reference_pool_one(r, index, (const int[4]){n, c, i, j}, back);
}

static inline void reference_binary(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    const sonde__shape s = l->shape, right = r->graph->layers[l->inputs[1]].shape;
    const double *a = r->values[l->inputs[0]], *b = r->values[l->inputs[1]];
    double *da = r->slopes[l->inputs[0]], *db = r->slopes[l->inputs[1]];
    for (int n = 0; n < r->batch; n++)
        for (int c = 0; c < s.channels; c++)
            for (int i = 0; i < s.height; i++)
                for (int j = 0; j < s.width; j++) {
                    size_t at = reference_at(s, n, c, i, j);
                    size_t other = reference_at(right, n, c, right.height == 1 ? 0 : i,
                                                right.width == 1 ? 0 : j);
                    double dy = r->slopes[index][at];
                    bool mul = l->op == SONDE__OP_MUL;
                    if (!back) {
                        r->values[index][at] = mul ? a[at] * b[other] : a[at] + b[other];
                    } else {
                        da[at] += mul ? dy * b[other] : dy;
                        db[other] += mul ? dy * a[at] : dy;
                    }
                }
}

/* CONCAT (of all inputs) and SHORTCUT_PAD (of one): copies of channels to a first one, by stride. */
static inline void reference_channels(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    const sonde__shape s = l->shape;
    bool pad = l->op == SONDE__OP_SHORTCUT_PAD;
    int step = pad ? l->stride : 1;
    int first = pad ? (s.channels - r->graph->layers[l->inputs[0]].shape.channels) / 2 : 0;
    for (int k = 0; k < l->input_count; k++) {
        const sonde__shape in = r->graph->layers[l->inputs[k]].shape;
        for (int n = 0; n < r->batch; n++)
            for (int c = 0; c < in.channels; c++)
                for (int i = 0; i < s.height; i++)
                    for (int j = 0; j < s.width; j++) {
                        size_t from = reference_at(in, n, c, i * step, j * step);
                        size_t to = reference_at(s, n, first + c, i, j);
                        if (back)
                            r->slopes[l->inputs[k]][from] += r->slopes[index][to];
                        else
                            r->values[index][to] = r->values[l->inputs[k]][from];
                    }
        first += in.channels;
    }
}

/* DROPOUT and RESHAPE: values keep their places. */
static inline void reference_same_place(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    for (size_t i = 0; i < reference_floats(r, index); i++) {
        double factor = 1;
        if (l->op == SONDE__OP_DROPOUT && r->kept[index])
            factor = r->kept[index][i] ? 1 / (1 - l->rate) : 0;
        if (back)
            r->slopes[l->inputs[0]][i] += factor * r->slopes[index][i];
        else
            r->values[index][i] = factor * r->values[l->inputs[0]][i];
    }
}

/* --- sequences --------------------------------------------------------------------------------- */

static inline int reference_tokens(sonde__shape s)
{
    return s.height * s.width;
}

/* The place of (example, channel, token). */
static inline size_t reference_token_at(sonde__shape s, int n, int c, int t)
{
    return reference_at(s, n, c, t / s.width, t % s.width);
}

static inline void reference_embedding(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    const sonde__shape s = l->shape, in = r->graph->layers[l->inputs[0]].shape;
    size_t width = (size_t)s.channels;
    for (int n = 0; n < r->batch; n++)
        for (int t = 0; t < reference_tokens(s); t++)
            for (int c = 0; c < s.channels; c++) {
                size_t at = reference_token_at(s, n, c, t);
                double id = r->values[l->inputs[0]][reference_token_at(in, n, 0, t)];
                size_t row = (size_t)(id + 0.5) * width + (size_t)c;
                if (back)
                    r->gradients[l->first_parameter][row] += r->slopes[index][at];
                else
                    r->values[index][at] = r->parameters[l->first_parameter][row];
            }
}

static inline void reference_positions(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    const sonde__shape s = l->shape;
    for (int n = 0; n < r->batch; n++)
        for (int t = 0; t < reference_tokens(s); t++)
            for (int c = 0; c < s.channels; c++) {
                size_t at = reference_token_at(s, n, c, t);
                size_t row = (size_t)t * (size_t)s.channels + (size_t)c;
                if (back) {
                    r->slopes[l->inputs[0]][at] += r->slopes[index][at];
                    r->gradients[l->first_parameter][row] += r->slopes[index][at];
                } else {
                    r->values[index][at] =
                        r->values[l->inputs[0]][at] + r->parameters[l->first_parameter][row];
                }
            }
}

/* The queries, keys and values (part 0, 1, 2) of head h. */
static inline size_t reference_part_at(const reference_net *r, const sonde__layer *l,
                                       const int at[4], int part, int k)
{
    int size = l->shape.channels / l->parts;
    return reference_token_at(r->graph->layers[l->inputs[0]].shape, at[0],
                              part * l->shape.channels + at[1] * size + k, at[2]);
}

/* One query: softmax over the keys that it sees. at: example, head, token. */
static inline void reference_attend(reference_net *r, int index, const int at[4], bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    int tokens = reference_tokens(l->shape), size = l->shape.channels / l->parts;
    int seen = l->causal ? at[2] + 1 : tokens;
    const double *x = r->values[l->inputs[0]];
    double *dx = r->slopes[l->inputs[0]], factor = 1 / sqrt((double)size);
    double *p = reference_zeros((size_t)tokens, sizeof *p);
    double *dp = reference_zeros((size_t)tokens, sizeof *dp);
    double top = -HUGE_VAL, sum = 0, mean = 0;
    for (int j = 0; j < seen; j++) {
        for (int k = 0; k < size; k++)
            p[j] += factor * x[reference_part_at(r, l, at, 0, k)] *
                    x[reference_part_at(r, l, (const int[4]){at[0], at[1], j, 0}, 1, k)];
        top = fmax(top, p[j]);
    }
    for (int j = 0; j < seen; j++)
        sum += exp(p[j] - top);
    for (int j = 0; j < seen; j++) {
        const int other[4] = {at[0], at[1], j, 0};
        p[j] = exp(p[j] - top) / sum;
        for (int k = 0; k < size; k++) {
            size_t out = reference_token_at(l->shape, at[0], at[1] * size + k, at[2]);
            size_t value = reference_part_at(r, l, other, 2, k);
            if (!back)
                r->values[index][out] = (j > 0 ? r->values[index][out] : 0) + p[j] * x[value];
            dp[j] += r->slopes[index][out] * x[value];
            if (back)
                dx[value] += p[j] * r->slopes[index][out];
        }
        mean += p[j] * dp[j];
    }
    for (int j = 0; back && j < seen; j++)
        for (int k = 0; k < size; k++) {
            size_t query = reference_part_at(r, l, at, 0, k);
            size_t key = reference_part_at(r, l, (const int[4]){at[0], at[1], j, 0}, 1, k);
            dx[query] += factor * p[j] * (dp[j] - mean) * x[key];
            dx[key] += factor * p[j] * (dp[j] - mean) * x[query];
        }
    free(p);
    free(dp);
}

static inline void reference_attention(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    for (int n = 0; n < r->batch; n++)
        for (int h = 0; h < l->parts; h++)
            for (int t = 0; t < reference_tokens(l->shape); t++)
                reference_attend(r, index, (const int[4]){n, h, t, 0}, back);
}

/* TRANSPOSE and UPSAMPLE: a value comes from one place. */
static inline void reference_elsewhere(reference_net *r, int index, bool back)
{
    const sonde__layer *l = &r->graph->layers[index];
    const sonde__shape s = l->shape, in = r->graph->layers[l->inputs[0]].shape;
    for (int n = 0; n < r->batch; n++)
        for (int c = 0; c < s.channels; c++)
            for (int i = 0; i < s.height; i++)
                for (int j = 0; j < s.width; j++) {
                    size_t to = reference_at(s, n, c, i, j);
                    size_t from = l->op == SONDE__OP_TRANSPOSE
                                      ? reference_token_at(in, n, i, c)
                                      : reference_at(in, n, c, i / l->stride, j / l->stride);
                    if (back)
                        r->slopes[l->inputs[0]][from] += r->slopes[index][to];
                    else
                        r->values[index][to] = r->values[l->inputs[0]][from];
                }
}

static inline void reference_layer(reference_net *r, int index, bool back)
{
    switch (r->graph->layers[index].op) {
    case SONDE__OP_INPUT:
        break;
    case SONDE__OP_CONV:
        reference_conv(r, index, back);
        break;
    case SONDE__OP_LINEAR:
        reference_linear(r, index, back);
        break;
    case SONDE__OP_BATCH_NORM:
    case SONDE__OP_LAYER_NORM:
    case SONDE__OP_TOKEN_NORM:
    case SONDE__OP_GROUP_NORM:
        reference_norm(r, index, back);
        break;
    case SONDE__OP_EMBEDDING:
        reference_embedding(r, index, back);
        break;
    case SONDE__OP_POSITIONS:
        reference_positions(r, index, back);
        break;
    case SONDE__OP_ATTENTION:
        reference_attention(r, index, back);
        break;
    case SONDE__OP_TRANSPOSE:
    case SONDE__OP_UPSAMPLE:
        reference_elsewhere(r, index, back);
        break;
    case SONDE__OP_SOFTMAX:
        reference_softmax(r, index, back);
        break;
    case SONDE__OP_MAX_POOL:
    case SONDE__OP_AVG_POOL:
    case SONDE__OP_GLOBAL_POOL:
        reference_pool(r, index, back);
        break;
    case SONDE__OP_ADD:
    case SONDE__OP_MUL:
        reference_binary(r, index, back);
        break;
    case SONDE__OP_CONCAT:
    case SONDE__OP_SHORTCUT_PAD:
        reference_channels(r, index, back);
        break;
    case SONDE__OP_RESHAPE:
    case SONDE__OP_DROPOUT:
        reference_same_place(r, index, back);
        break;
    default:
        reference_unary(r, index, back);
    }
}

/* The input's values are set by the caller, in values[0]. */
static inline void reference_forward(reference_net *r)
{
    for (int i = 0; i < r->graph->layer_count; i++) {
        if (!r->graph->layers[i].used)
            continue;
        reference_layer(r, i, false);
        if (i > 0)
            reference_disturb(r, r->values[i], reference_floats(r, i));
    }
}

/* The output's gradient is set by the caller, in slopes[output]. */
static inline void reference_backward(reference_net *r)
{
    for (int i = r->graph->output; i >= 0; i--) {
        if (!r->graph->layers[i].used)
            continue;
        reference_disturb(r, r->slopes[i], reference_floats(r, i));
        reference_layer(r, i, true);
    }
}

/* --- how far rounding carries ------------------------------------------------------------------ */

static inline double reference_distance(const double *a, const double *b, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(a[i] - b[i]));
    return largest;
}

/* A value that could win the window instead of its first maximum. */
static inline bool reference_rivals(const reference_net *a, const reference_net *b,
                                    const sonde__layer *l, const int at[4], double margin)
{
    const sonde__shape in = a->graph->layers[l->inputs[0]].shape;
    const double *x = a->values[l->inputs[0]], *y = b->values[l->inputs[0]];
    reference_window w = reference_window_of(a, l, at[2], at[3]);
    size_t best = reference_largest(a, l, at[0], at[1], w);
    for (int i = w.top; i < w.bottom; i++)
        for (int j = w.left; j < w.right; j++) {
            size_t other = reference_at(in, at[0], at[1], i, j);
            bool zeros = x[best] == 0 && x[other] == 0 && y[best] == 0 && y[other] == 0;
            if (other != best && !zeros && x[best] - x[other] < margin)
                return true;
        }
    return false;
}

static inline bool reference_close_to_edge(const reference_net *a, const reference_net *b,
                                           const sonde__layer *l)
{
    const double *x = a->values[l->inputs[0]], *y = b->values[l->inputs[0]];
    size_t count = reference_floats(a, l->inputs[0]);
    double margin = 4 * reference_distance(x, y, count);
    const sonde__shape s = l->shape;
    if (l->op == SONDE__OP_RELU) {
        for (size_t i = 0; i < count; i++)
            if ((x[i] != 0 || y[i] != 0) && fabs(x[i]) < margin)
                return true;
    } else if (l->op == SONDE__OP_MAX_POOL) {
        for (int n = 0; n < a->batch; n++)
            for (int c = 0; c < s.channels; c++)
                for (int i = 0; i < s.height; i++)
                    for (int j = 0; j < s.width; j++)
                        if (reference_rivals(a, b, l, (const int[4]){n, c, i, j}, margin))
                            return true;
    }
    return false;
}

/* True if rounding may flip a ReLU or a maximum: then gradients cannot be compared. */
static inline bool reference_undecided(const reference_net *a, const reference_net *b)
{
    for (int i = 1; i < a->graph->layer_count; i++)
        if (a->graph->layers[i].used && reference_close_to_edge(a, b, &a->graph->layers[i]))
            return true;
    return false;
}

#endif
