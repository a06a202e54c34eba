/*
 * Operators on single values, pairs and channels: activations, softmax, add, mul, dropout.
 *
 *   relu     max(0, x)                      dx = dy [y > 0]
 *   gelu     x P(x), P the normal law's     dx = dy (P(x) + x p(x))
 *   silu     x s(x), s the logistic         dx = dy s (1 + x (1 - s))
 *   sigmoid  s(x)                           dx = dy y (1 - y)
 *   tanh                                    dx = dy (1 - y^2)
 *   zero     0                              dx = 0 (as dy [y > 0])
 *   softmax  e_c / sum e                    dx = y (dy - sum_c dy y)
 *   add      [relu](a + b)                  da = db = dy
 *   mul      a b (b may be a gate: one value a channel)   da = dy b,  db = dy a (summed if a gate)
 *   dropout  x k / (1 - rate), k a random bit             dx = dy k / (1 - rate)
 */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "net/ops.h"
#include "net/vector_math.h"

enum { CHUNK = 4096 };

/* [begin, end) of the i-th chunk of `count` values. */
typedef struct range {
    size_t begin, end;
} range;

static range chunk_range(ptrdiff_t i, size_t count)
{
    size_t begin = (size_t)i * CHUNK;
    return (range){begin, begin + CHUNK < count ? begin + CHUNK : count};
}

static ptrdiff_t chunk_count(size_t count)
{
    return (ptrdiff_t)((count + CHUNK - 1) / CHUNK);
}

static float logistic(float x)
{
    if (x >= 0)
        return 1.0F / (1.0F + expf(-x));
    float e = expf(x);
    return e / (1.0F + e);
}

static const float NORMAL_PEAK = 0.39894228040143268F;

/* --- activations ------------------------------------------------------------------------------ */

SONDE_CLONES static void relu_range(const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i]; /* NaN stays */
}

SONDE_CLONES static void gelu_range(const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * sonde__normal_law(x[i]);
}

static void unary_range(sonde__op op, const float *x, float *y, size_t n)
{
    switch (op) {
    case SONDE__OP_GELU:
        gelu_range(x, y, n);
        break;
    case SONDE__OP_SILU:
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] * logistic(x[i]);
        break;
    case SONDE__OP_SIGMOID:
        for (size_t i = 0; i < n; i++)
            y[i] = logistic(x[i]);
        break;
    case SONDE__OP_TANH:
        for (size_t i = 0; i < n; i++)
            y[i] = tanhf(x[i]);
        break;
    case SONDE__OP_ZERO:
        memset(y, 0, n * sizeof *y);
        break;
    default:
        relu_range(x, y, n);
    }
}

/* The lanes past the last channel, in the last group of every example. */
static void clear_padding(const sonde__form *form, float *y)
{
    size_t block = (size_t)form->block, used = (size_t)form->shape.channels % block;
    if (used == 0)
        return;
    size_t pixels = sonde__form_pixels(form), stride = sonde__form_stride(form);
    for (size_t n = 1; n <= (size_t)form->batch; n++) {
        float *last = y + n * stride - pixels * block;
        for (size_t p = 0; p < pixels; p++)
            memset(last + p * block + used, 0, (block - used) * sizeof *y);
    }
}

void sonde__unary_forward(sonde__op op, const sonde__form *form, const float *x, float *y)
{
    size_t count = sonde__form_floats(form);
#pragma omp parallel for schedule(static) if (count >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < chunk_count(count); i++) {
        range r = chunk_range(i, count);
        unary_range(op, x + r.begin, y + r.begin, r.end - r.begin);
    }
    if (op == SONDE__OP_SIGMOID)
        clear_padding(form, y);
}

bool sonde__unary_by_output(sonde__op op)
{
    return op == SONDE__OP_RELU || op == SONDE__OP_SIGMOID || op == SONDE__OP_TANH ||
           op == SONDE__OP_ZERO;
}

SONDE_CLONES static void relu_gradient(const float *y, float *dy, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dy[i] = y[i] > 0 ? dy[i] : 0;
}

SONDE_CLONES static void gelu_gradient(const float *x, float *dy, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dy[i] *= sonde__normal_law(x[i]) + x[i] * NORMAL_PEAK * sonde__exp(-0.5F * x[i] * x[i]);
}

static float silu_derivative(float x)
{
    float s = logistic(x);
    return s * (1.0F + x * (1.0F - s));
}

static void unary_gradient(sonde__op op, const float *x, const float *y, float *dy, size_t n)
{
    switch (op) {
    case SONDE__OP_GELU:
        gelu_gradient(x, dy, n);
        break;
    case SONDE__OP_SILU:
        for (size_t i = 0; i < n; i++)
            dy[i] *= silu_derivative(x[i]);
        break;
    case SONDE__OP_SIGMOID:
        for (size_t i = 0; i < n; i++)
            dy[i] *= y[i] * (1.0F - y[i]);
        break;
    case SONDE__OP_TANH:
        for (size_t i = 0; i < n; i++)
            dy[i] *= 1.0F - y[i] * y[i];
        break;
    default:
        relu_gradient(y, dy, n);
    }
}

void sonde__unary_backward(sonde__op op, const sonde__form *form, const float *x, const float *y,
                           float *dy)
{
    size_t count = sonde__form_floats(form);
#pragma omp parallel for schedule(static) if (count >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < chunk_count(count); i++) {
        range r = chunk_range(i, count);
        unary_gradient(op, x ? x + r.begin : NULL, y ? y + r.begin : NULL, dy + r.begin,
                       r.end - r.begin);
    }
}

SONDE_CLONES static void exp_range(size_t n, float shift, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = sonde__exp(x[i] - shift);
}

void sonde__exp_shifted(size_t n, float shift, float *x)
{
    exp_range(n, shift, x);
}

/* --- softmax ---------------------------------------------------------------------------------- */

static void softmax_pixel(const sonde__form *form, size_t pixel, const float *x, float *y)
{
    int channels = form->shape.channels;
    float top = x[sonde__form_index(form, 0, pixel)];
    for (int c = 1; c < channels; c++) {
        float value = x[sonde__form_index(form, c, pixel)];
        top = value > top ? value : top;
    }
    double sum = 0;
    for (int c = 0; c < channels; c++) {
        size_t at = sonde__form_index(form, c, pixel);
        y[at] = expf(x[at] - top);
        sum += (double)y[at];
    }
    float inverse = (float)(1.0 / sum);
    for (int c = 0; c < channels; c++)
        y[sonde__form_index(form, c, pixel)] *= inverse;
}

void sonde__softmax_forward(const sonde__form *form, const float *x, float *y)
{
    size_t stride = sonde__form_stride(form), pixels = sonde__form_pixels(form);
#pragma omp parallel for schedule(static) if (sonde__form_floats(form) >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t n = 0; n < form->batch; n++) {
        for (size_t p = 0; p < pixels; p++)
            softmax_pixel(form, p, x + (size_t)n * stride, y + (size_t)n * stride);
    }
    clear_padding(form, y);
}

static void softmax_pixel_gradient(const sonde__form *form, size_t pixel, const float *y, float *dy)
{
    double product = 0, sum = 0; /* rounding leaves the sum of y not quite 1 */
    for (int c = 0; c < form->shape.channels; c++) {
        size_t at = sonde__form_index(form, c, pixel);
        product += (double)y[at] * (double)dy[at];
        sum += (double)y[at];
    }
    product /= sum;
    for (int c = 0; c < form->shape.channels; c++) {
        size_t at = sonde__form_index(form, c, pixel);
        dy[at] = (float)((double)y[at] * ((double)dy[at] - product));
    }
}

void sonde__softmax_backward(const sonde__form *form, const float *y, float *dy)
{
    size_t stride = sonde__form_stride(form), pixels = sonde__form_pixels(form);
#pragma omp parallel for schedule(static) if (sonde__form_floats(form) >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t n = 0; n < form->batch; n++) {
        for (size_t p = 0; p < pixels; p++)
            softmax_pixel_gradient(form, p, y + (size_t)n * stride, dy + (size_t)n * stride);
    }
}

/* --- add -------------------------------------------------------------------------------------- */

SONDE_CLONES static void add_range(const float *a, const float *b, bool relu, float *y, size_t n)
{
    if (relu) {
        for (size_t i = 0; i < n; i++) {
            float sum = a[i] + b[i];
            y[i] = sum < 0 ? 0 : sum;
        }
    } else {
        for (size_t i = 0; i < n; i++)
            y[i] = a[i] + b[i];
    }
}

void sonde__add_forward(size_t count, const float *a, const float *b, bool relu, float *y)
{
#pragma omp parallel for schedule(static) if (count >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < chunk_count(count); i++) {
        range r = chunk_range(i, count);
        add_range(a + r.begin, b + r.begin, relu, y + r.begin, r.end - r.begin);
    }
}

void sonde__accumulate(size_t count, float *a, const float *b)
{
    sonde__add_forward(count, a, b, false, a);
}

/* --- mul -------------------------------------------------------------------------------------- */

SONDE_CLONES static void mul_range(const float *a, const float *b, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

static void mul_same(size_t count, const float *a, const float *b, float *y)
{
#pragma omp parallel for schedule(static) if (count >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < chunk_count(count); i++) {
        range r = chunk_range(i, count);
        mul_range(a + r.begin, b + r.begin, y + r.begin, r.end - r.begin);
    }
}

/* One example: y_cp = a_cp b_c; lanes of padding give 0 since they are 0 in a. */
static void gate_example(const sonde__form *form, const float *a, const float *b, float *y)
{
    size_t pixels = sonde__form_pixels(form), block = (size_t)form->block;
    size_t channels = (size_t)form->shape.channels;
    for (size_t first = 0; first < channels; first += block) {
        size_t used = channels - first < block ? channels - first : block;
        for (size_t p = 0; p < pixels; p++) {
            size_t at = first * pixels + p * block;
            for (size_t c = 0; c < used; c++)
                y[at + c] = a[at + c] * b[first + c];
            for (size_t c = used; c < block; c++)
                y[at + c] = 0;
        }
    }
}

void sonde__mul_forward(const sonde__form *form, bool gate, const float *a, const float *b,
                        float *y)
{
    if (!gate) {
        mul_same(sonde__form_floats(form), a, b, y);
        return;
    }
    size_t stride = sonde__form_stride(form), channels = (size_t)form->shape.channels;
#pragma omp parallel for schedule(static) if (sonde__form_floats(form) >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t n = 0; n < form->batch; n++)
        gate_example(form, a + (size_t)n * stride, b + (size_t)n * channels,
                     y + (size_t)n * stride);
}

static void gate_gradient(const sonde__form *form, const float *a, const float *dy, float *db)
{
    size_t pixels = sonde__form_pixels(form);
    for (int c = 0; c < form->shape.channels; c++) {
        double sum = 0;
        for (size_t p = 0; p < pixels; p++) {
            size_t at = sonde__form_index(form, c, p);
            sum += (double)(a[at] * dy[at]);
        }
        db[c] = (float)sum;
    }
}

void sonde__mul_backward(const sonde__form *form, bool gate, const sonde__mul_gradients *g)
{
    size_t count = sonde__form_floats(form), stride = sonde__form_stride(form);
    if (g->db && !gate)
        mul_same(count, g->a, g->dy, g->db);
    if (g->db && gate) {
        size_t channels = (size_t)form->shape.channels;
#pragma omp parallel for schedule(static) if (count >= SONDE__PARALLEL_FLOATS)
        for (ptrdiff_t n = 0; n < form->batch; n++)
            gate_gradient(form, g->a + (size_t)n * stride, g->dy + (size_t)n * stride,
                          g->db + (size_t)n * channels);
    }
    if (g->da)
        sonde__mul_forward(form, gate, g->dy, g->b, g->da);
}

/* --- dropout ---------------------------------------------------------------------------------- */

/* A chunk starts at its own block of the stream, so that chunks can be drawn in any order. */
static void draw_chunk(const sonde__dropout *dropout, size_t chunk, size_t n, unsigned char *kept)
{
    sonde__stream stream = sonde__stream_open(dropout->seed, SONDE__RANDOM_DROPOUT,
                                              dropout->step << 16 | dropout->layer);
    stream.counter[0] = (uint32_t)(chunk * (CHUNK / 4));
    double limit = dropout->rate * 4294967296.0;
    for (size_t i = 0; i < n; i++)
        kept[i] = (double)sonde__random_u32(&stream) >= limit;
}

void sonde__dropout_forward(const sonde__dropout *dropout, size_t count, const float *x,
                            unsigned char *kept, float *y)
{
    float scale = (float)(1.0 / (1.0 - dropout->rate));
#pragma omp parallel for schedule(static) if (count >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < chunk_count(count); i++) {
        range r = chunk_range(i, count);
        draw_chunk(dropout, (size_t)i, r.end - r.begin, kept + r.begin);
        for (size_t j = r.begin; j < r.end; j++)
            y[j] = kept[j] ? x[j] * scale : 0;
    }
}

void sonde__dropout_backward(const sonde__dropout *dropout, size_t count, const unsigned char *kept,
                             float *dy)
{
    float scale = (float)(1.0 / (1.0 - dropout->rate));
#pragma omp parallel for schedule(static) if (count >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t i = 0; i < chunk_count(count); i++) {
        range r = chunk_range(i, count);
        for (size_t j = r.begin; j < r.end; j++)
            dy[j] = kept[j] ? dy[j] * scale : 0;
    }
}
