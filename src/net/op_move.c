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

/* A run of channels that lie side by side in both: `lanes` floats a pixel. */
typedef struct run_of_lanes {
    float *in, *out;          /* of the first pixel */
    size_t in_step, out_step; /* from pixel to pixel */
    size_t bytes;
} run_of_lanes;

/* Every stride-th pixel; `back` puts it in its place. */
static void shortcut_run(const sonde__form *in, const sonde__form *out, int stride,
                         const run_of_lanes *run, bool back)
{
    size_t width = (size_t)in->shape.width;
    float *target = run->out;
    for (int i = 0; i < out->shape.height; i++) {
        for (int j = 0; j < out->shape.width; j++) {
            size_t pixel = (size_t)(i * stride) * width + (size_t)(j * stride);
            float *source = run->in + pixel * run->in_step;
            memcpy(back ? source : target, back ? target : source, run->bytes);
            target += run->out_step;
        }
    }
}

/* Channels from c on that stay side by side, at most to the end of a block of either. */
static int run_length(const sonde__form *in, const sonde__form *out, int c, int front)
{
    int length = in->block - c % in->block;
    int room = out->block - (c + front) % out->block;
    length = room < length ? room : length;
    int left = in->shape.channels - c;
    return left < length ? left : length;
}

static void shortcut_example(const sonde__form *in, const sonde__form *out,
                             const sonde__shortcut *options, float *x, float *y, bool back)
{
    int front = options->front;
    for (int c = 0; c < in->shape.channels;) {
        int length = run_length(in, out, c, front);
        run_of_lanes run = {x + sonde__form_index(in, c, 0),
                            y + sonde__form_index(out, c + front, 0), (size_t)in->block,
                            (size_t)out->block, (size_t)length * sizeof *x};
        shortcut_run(in, out, options->stride, &run, back);
        c += length;
    }
}

static void shortcut(const sonde__form *in, const sonde__form *out, const sonde__shortcut *options,
                     float *x, float *y, bool back)
{
    size_t from = sonde__form_stride(in), to = sonde__form_stride(out);
#pragma omp parallel for schedule(static) if (parallel(in))
    for (ptrdiff_t n = 0; n < in->batch; n++) {
        float *source = x + (size_t)n * from, *target = y + (size_t)n * to;
        if (back)
            memset(source, 0, from * sizeof *source);
        else
            memset(target, 0, to * sizeof *target);
        shortcut_example(in, out, options, source, target, back);
    }
}

void sonde__shortcut_pad_forward(const sonde__form *in, const sonde__form *out,
                                 const sonde__shortcut *options, const float *x, float *y)
{
    shortcut(in, out, options, (float *)(uintptr_t)x, y, false);
}

void sonde__shortcut_pad_backward(const sonde__form *in, const sonde__form *out,
                                  const sonde__shortcut *options, const float *dy, float *dx)
{
    shortcut(in, out, options, dx, (float *)(uintptr_t)dy, true);
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
