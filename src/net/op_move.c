/*
 * Operators that only move values: change of layout, concat, the ResNet shortcut, copies.
 *
 * The gradient of a move is the move back; what was dropped gets zero, what was filled is dropped.
 */
#include <string.h>

#include "net/ops.h"

static bool parallel(const sonde__form *form)
{
    return sonde__form_floats(form) >= SONDE__PARALLEL_FLOATS;
}

static void reorder_example(const sonde__form *from, const float *x, const sonde__form *to,
                            float *y)
{
    size_t pixels = sonde__form_pixels(from), from_block = (size_t)from->block;
    size_t to_block = (size_t)to->block, padded = to_block * (size_t)sonde__form_groups(to);
    for (size_t c = 0; c < padded; c++) {
        float *target = y + (c / to_block) * pixels * to_block + c % to_block;
        const float *source = x + (c / from_block) * pixels * from_block + c % from_block;
        bool real = c < (size_t)from->shape.channels;
        for (size_t p = 0; p < pixels; p++)
            target[p * to_block] = real ? source[p * from_block] : 0;
    }
}

void sonde__reorder(const sonde__form *from, const float *x, const sonde__form *to, float *y)
{
    size_t in = sonde__form_stride(from), out = sonde__form_stride(to);
#pragma omp parallel for schedule(static) if (parallel(from))
    for (ptrdiff_t n = 0; n < from->batch; n++)
        reorder_example(from, x + (size_t)n * in, to, y + (size_t)n * out);
}

/* Copies channel rows between a part and a whole; `back`: from the whole to the part. */
static void concat_example(const sonde__form *part, float *x, const sonde__form *whole, int first,
                           float *y, bool back)
{
    size_t pixels = sonde__form_pixels(part);
    for (int c = 0; c < part->shape.channels; c++) {
        for (size_t p = 0; p < pixels; p++) {
            float *inner = x + sonde__form_index(part, c, p);
            float *outer = y + sonde__form_index(whole, first + c, p);
            if (back)
                *inner = *outer;
            else
                *outer = *inner;
        }
    }
}

void sonde__concat_forward(const sonde__form *part, const float *x, const sonde__form *whole,
                           int first, float *y)
{
    size_t in = sonde__form_stride(part), out = sonde__form_stride(whole);
    float *source = (float *)(uintptr_t)x;
#pragma omp parallel for schedule(static) if (parallel(part))
    for (ptrdiff_t n = 0; n < part->batch; n++)
        concat_example(part, source + (size_t)n * in, whole, first, y + (size_t)n * out, false);
}

void sonde__concat_backward(const sonde__form *part, float *dx, const sonde__form *whole, int first,
                            const float *dy)
{
    size_t in = sonde__form_stride(part), out = sonde__form_stride(whole);
    float *source = (float *)(uintptr_t)dy;
    if (part->shape.channels % part->block != 0)
        memset(dx, 0, sonde__form_floats(part) * sizeof *dx);
#pragma omp parallel for schedule(static) if (parallel(part))
    for (ptrdiff_t n = 0; n < part->batch; n++)
        concat_example(part, dx + (size_t)n * in, whole, first, source + (size_t)n * out, true);
}

/* One group of channels of one example: every stride-th pixel; `back` puts it in its place. */
static void shortcut_group(const sonde__form *in, const sonde__form *out, int stride, float *x,
                           float *y, bool back)
{
    size_t lanes = (size_t)in->block, width = (size_t)in->shape.width;
    for (int i = 0; i < out->shape.height; i++) {
        for (int j = 0; j < out->shape.width; j++) {
            float *at = x + ((size_t)(i * stride) * width + (size_t)(j * stride)) * lanes;
            memcpy(back ? at : y, back ? y : at, lanes * sizeof *y);
            y += lanes;
        }
    }
}

/* The same channels in the same lanes of both, and no lane of padding in `in`. */
static bool same_groups(const sonde__form *in, const sonde__form *out)
{
    return in->block == out->block && in->shape.channels % in->block == 0;
}

static void shortcut_example(const sonde__form *in, const sonde__form *out, int stride, float *x,
                             float *y, bool back)
{
    size_t from = sonde__form_pixels(in) * (size_t)in->block;
    size_t to = sonde__form_pixels(out) * (size_t)out->block;
    for (int g = 0; g < sonde__form_groups(in); g++)
        shortcut_group(in, out, stride, x + (size_t)g * from, y + (size_t)g * to, back);
}

/* Different blocks (channels-last): one value at a time. */
static void shortcut_slow(const sonde__form *in, const sonde__form *out, int stride, float *x,
                          float *y, bool back)
{
    int height = out->shape.height, width = out->shape.width;
    for (int c = 0; c < in->shape.channels; c++) {
        for (int i = 0; i < height * width; i++) {
            int from = i / width * stride * in->shape.width + i % width * stride;
            float *source = x + sonde__form_index(in, c, (size_t)from);
            float *target = y + sonde__form_index(out, c, (size_t)i);
            if (back)
                *source = *target;
            else
                *target = *source;
        }
    }
}

static void shortcut(const sonde__form *in, const sonde__form *out, int stride, float *x, float *y,
                     bool back)
{
    size_t from = sonde__form_stride(in), to = sonde__form_stride(out);
    bool fast = same_groups(in, out);
#pragma omp parallel for schedule(static) if (parallel(in))
    for (ptrdiff_t n = 0; n < in->batch; n++) {
        float *source = x + (size_t)n * from, *target = y + (size_t)n * to;
        if (back)
            memset(source, 0, from * sizeof *source);
        else
            memset(target, 0, to * sizeof *target);
        if (fast)
            shortcut_example(in, out, stride, source, target, back);
        else
            shortcut_slow(in, out, stride, source, target, back);
    }
}

void sonde__shortcut_pad_forward(const sonde__form *in, const sonde__form *out, int stride,
                                 const float *x, float *y)
{
    shortcut(in, out, stride, (float *)(uintptr_t)x, y, false);
}

void sonde__shortcut_pad_backward(const sonde__form *in, const sonde__form *out, int stride,
                                  const float *dy, float *dx)
{
    shortcut(in, out, stride, dx, (float *)(uintptr_t)dy, true);
}

void sonde__copy(size_t count, const float *from, float *to)
{
    enum { CHUNK = 1 << 14 };
    ptrdiff_t chunks = (ptrdiff_t)((count + CHUNK - 1) / CHUNK);
#pragma omp parallel for schedule(static) if (chunks > 1)
    for (ptrdiff_t i = 0; i < chunks; i++) {
        size_t begin = (size_t)i * CHUNK, n = count - begin < CHUNK ? count - begin : CHUNK;
        memcpy(to + begin, from + begin, n * sizeof *to);
    }
}
