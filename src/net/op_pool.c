/*
 * Pooling.
 *
 *   max     y = max over the window          dx: dy to the first maximum of each window
 *   avg     y = mean over the window's part inside the image    dx: dy / that part's size
 *   global  y_c = mean over all pixels       dx_cp = dy_c / pixels
 *
 * An activation is batch x groups planes of height x width x lanes; planes are independent.
 */
#include <string.h>

#include "net/ops.h"

/* The part of an output pixel's window that lies inside the image: [begin, end) per axis. */
typedef struct window {
    int row, row_end, column, column_end;
} window;

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

static window window_at(const sonde__pool_window *pool, int row, int column)
{
    int top = row * pool->stride - pool->padding, left = column * pool->stride - pool->padding;
    return (window){most(top, 0), least(top + pool->kernel, pool->in.shape.height), most(left, 0),
                    least(left + pool->kernel, pool->in.shape.width)};
}

typedef struct planes {
    size_t count, lanes, in, out; /* floats of a plane of the input and the output */
} planes;

static planes planes_of(const sonde__pool_window *pool)
{
    size_t lanes = (size_t)pool->in.block;
    return (planes){(size_t)pool->in.batch * (size_t)sonde__form_groups(&pool->in), lanes,
                    sonde__form_pixels(&pool->in) * lanes, sonde__form_pixels(&pool->out) * lanes};
}

static bool parallel(const sonde__pool_window *pool)
{
    return sonde__form_floats(&pool->in) >= SONDE__PARALLEL_FLOATS;
}

/* --- max -------------------------------------------------------------------------------------- */

SONDE_INLINE void max_window(const window *w, size_t width, size_t lanes, const float *x,
                             float *restrict y)
{
    const float *first = x + ((size_t)w->row * width + (size_t)w->column) * lanes;
    for (size_t c = 0; c < lanes; c++)
        y[c] = first[c];
    for (int i = w->row; i < w->row_end; i++) {
        for (int j = w->column; j < w->column_end; j++) {
            const float *at = x + ((size_t)i * width + (size_t)j) * lanes;
            for (size_t c = 0; c < lanes; c++)
                y[c] = at[c] > y[c] ? at[c] : y[c];
        }
    }
}

SONDE_INLINE void max_plane_lanes(const sonde__pool_window *pool, size_t lanes, const float *x,
                                  float *y)
{
    for (int i = 0; i < pool->out.shape.height; i++) {
        for (int j = 0; j < pool->out.shape.width; j++) {
            window w = window_at(pool, i, j);
            max_window(&w, (size_t)pool->in.shape.width, lanes, x, y);
            y += lanes;
        }
    }
}

/* The common case, a window of 2 x 2 that moves by 2 inside the image, without a branch. */
static bool halves(const sonde__pool_window *pool)
{
    return pool->kernel == 2 && pool->stride == 2 && pool->padding == 0;
}

SONDE_INLINE void max_halves(const sonde__pool_window *pool, const size_t lanes,
                             const float *restrict x, float *restrict y)
{
    size_t width = (size_t)pool->in.shape.width * lanes;
    for (int i = 0; i < pool->out.shape.height; i++) {
        const float *restrict a = x + 2 * (size_t)i * width, *restrict b = a + width;
        for (int j = 0; j < pool->out.shape.width; j++) {
            for (size_t c = 0; c < lanes; c++) {
                float top = a[c] > a[lanes + c] ? a[c] : a[lanes + c];
                float bottom = b[c] > b[lanes + c] ? b[c] : b[lanes + c];
                y[c] = top > bottom ? top : bottom;
            }
            a += 2 * lanes;
            b += 2 * lanes;
            y += lanes;
        }
    }
}

SONDE_CLONES static void max_plane(const sonde__pool_window *pool, size_t lanes, const float *x,
                                   float *y)
{
    if (lanes == 16 && halves(pool))
        max_halves(pool, 16, x, y);
    else if (lanes == 8 && halves(pool))
        max_halves(pool, 8, x, y);
    else
        max_plane_lanes(pool, lanes, x, y);
}

void sonde__max_pool_forward(const sonde__pool_window *pool, const float *x, float *y)
{
    const planes p = planes_of(pool);
#pragma omp parallel for schedule(static) if (parallel(pool))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)p.count; i++)
        max_plane(pool, p.lanes, x + (size_t)i * p.in, y + (size_t)i * p.out);
}

/* For each lane the gradient goes to the first value equal to the maximum. */
SONDE_INLINE void max_window_gradient(const window *w, size_t width, size_t lanes, const float *x,
                                      const float *y, const float *dy, float *dx)
{
    for (size_t first = 0; first < lanes; first += 16) {
        size_t n = lanes - first < 16 ? lanes - first : 16;
        float left[16] = {0};
        for (size_t c = 0; c < n; c++)
            left[c] = dy[first + c];
        for (int i = w->row; i < w->row_end; i++) {
            for (int j = w->column; j < w->column_end; j++) {
                size_t at = ((size_t)i * width + (size_t)j) * lanes + first;
                for (size_t c = 0; c < n; c++) {
                    float part = x[at + c] == y[first + c] ? left[c] : 0;
                    dx[at + c] += part;
                    left[c] = x[at + c] == y[first + c] ? 0 : left[c];
                }
            }
        }
    }
}

SONDE_INLINE void max_plane_gradient_lanes(const sonde__pool_window *pool, size_t lanes,
                                           const float *x, const float *y, const float *dy,
                                           float *dx)
{
    for (int i = 0; i < pool->out.shape.height; i++) {
        for (int j = 0; j < pool->out.shape.width; j++) {
            window w = window_at(pool, i, j);
            max_window_gradient(&w, (size_t)pool->in.shape.width, lanes, x, y, dy, dx);
            y += lanes;
            dy += lanes;
        }
    }
}

/* As max_halves: every value of dx inside a window is written once; the rest was cleared. */
SONDE_INLINE void max_halves_gradient(const sonde__pool_window *pool, const size_t lanes,
                                      const float *restrict x, const float *restrict y,
                                      const float *restrict dy, float *restrict dx)
{
    size_t width = (size_t)pool->in.shape.width * lanes;
    for (int i = 0; i < pool->out.shape.height; i++) {
        size_t at = 2 * (size_t)i * width;
        for (int j = 0; j < pool->out.shape.width; j++) {
            for (size_t c = 0; c < lanes; c++) {
                float top = y[c], left = dy[c];
                bool first = x[at + c] == top, second = x[at + lanes + c] == top;
                bool third = x[at + width + c] == top;
                dx[at + c] = first ? left : 0;
                left = first ? 0 : left;
                dx[at + lanes + c] = second ? left : 0;
                left = second ? 0 : left;
                dx[at + width + c] = third ? left : 0;
                dx[at + width + lanes + c] = third ? 0 : left;
            }
            at += 2 * lanes;
            y += lanes;
            dy += lanes;
        }
    }
}

/* Clears what no window covers: the last row and column of an odd size. */
static void clear_rest(const sonde__pool_window *pool, size_t lanes, float *dx)
{
    size_t height = (size_t)pool->in.shape.height, width = (size_t)pool->in.shape.width;
    if (height % 2 != 0)
        memset(dx + (height - 1) * width * lanes, 0, width * lanes * sizeof *dx);
    for (size_t i = 0; width % 2 != 0 && i < height; i++)
        memset(dx + ((i + 1) * width - 1) * lanes, 0, lanes * sizeof *dx);
}

SONDE_CLONES static void max_plane_gradient(const sonde__pool_window *pool, size_t lanes,
                                            const float *x, const float *y, const float *dy,
                                            float *dx)
{
    if (halves(pool) && (lanes == 16 || lanes == 8)) {
        clear_rest(pool, lanes, dx);
        if (lanes == 16)
            max_halves_gradient(pool, 16, x, y, dy, dx);
        else
            max_halves_gradient(pool, 8, x, y, dy, dx);
        return;
    }
    memset(dx, 0, sonde__form_pixels(&pool->in) * lanes * sizeof *dx);
    max_plane_gradient_lanes(pool, lanes, x, y, dy, dx);
}

void sonde__max_pool_backward(const sonde__pool_window *pool, const float *x, const float *y,
                              const float *dy, float *dx)
{
    const planes p = planes_of(pool);
#pragma omp parallel for schedule(static) if (parallel(pool))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)p.count; i++) {
        size_t in = (size_t)i * p.in, out = (size_t)i * p.out;
        max_plane_gradient(pool, p.lanes, x + in, y + out, dy + out, dx + in);
    }
}

/* --- average ---------------------------------------------------------------------------------- */

static float share(const window *w)
{
    return 1.0F / (float)((w->row_end - w->row) * (w->column_end - w->column));
}

static void avg_window(const window *w, size_t width, size_t lanes, const float *x, float *y)
{
    for (size_t c = 0; c < lanes; c++)
        y[c] = 0;
    for (int i = w->row; i < w->row_end; i++) {
        for (int j = w->column; j < w->column_end; j++) {
            const float *at = x + ((size_t)i * width + (size_t)j) * lanes;
            for (size_t c = 0; c < lanes; c++)
                y[c] += at[c];
        }
    }
    for (size_t c = 0; c < lanes; c++)
        y[c] *= share(w);
}

static void avg_window_gradient(const window *w, size_t width, size_t lanes, const float *dy,
                                float *dx)
{
    float part = share(w);
    for (int i = w->row; i < w->row_end; i++) {
        for (int j = w->column; j < w->column_end; j++) {
            float *at = dx + ((size_t)i * width + (size_t)j) * lanes;
            for (size_t c = 0; c < lanes; c++)
                at[c] += part * dy[c];
        }
    }
}

static void avg_plane(const sonde__pool_window *pool, size_t lanes, const float *x, float *y)
{
    for (int i = 0; i < pool->out.shape.height; i++) {
        for (int j = 0; j < pool->out.shape.width; j++) {
            window w = window_at(pool, i, j);
            avg_window(&w, (size_t)pool->in.shape.width, lanes, x, y);
            y += lanes;
        }
    }
}

static void avg_plane_gradient(const sonde__pool_window *pool, size_t lanes, const float *dy,
                               float *dx)
{
    memset(dx, 0, sonde__form_pixels(&pool->in) * lanes * sizeof *dx);
    for (int i = 0; i < pool->out.shape.height; i++) {
        for (int j = 0; j < pool->out.shape.width; j++) {
            window w = window_at(pool, i, j);
            avg_window_gradient(&w, (size_t)pool->in.shape.width, lanes, dy, dx);
            dy += lanes;
        }
    }
}

void sonde__avg_pool_forward(const sonde__pool_window *pool, const float *x, float *y)
{
    const planes p = planes_of(pool);
#pragma omp parallel for schedule(static) if (parallel(pool))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)p.count; i++)
        avg_plane(pool, p.lanes, x + (size_t)i * p.in, y + (size_t)i * p.out);
}

void sonde__avg_pool_backward(const sonde__pool_window *pool, const float *dy, float *dx)
{
    const planes p = planes_of(pool);
#pragma omp parallel for schedule(static) if (parallel(pool))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)p.count; i++)
        avg_plane_gradient(pool, p.lanes, dy + (size_t)i * p.out, dx + (size_t)i * p.in);
}

/* --- global average --------------------------------------------------------------------------- */

/* Adds up in as many lanes as a group has, at most 64 channels at a time. */
static void global_example(const sonde__form *in, const float *x, float *y)
{
    size_t pixels = sonde__form_pixels(in), block = (size_t)in->block;
    size_t channels = (size_t)in->shape.channels;
    for (size_t c = 0; c < channels; c++)
        y[c] = 0;
    for (size_t first = 0; first < channels; first += block) {
        size_t used = channels - first < block ? channels - first : block;
        for (size_t p = 0; p < pixels; p++) {
            for (size_t c = 0; c < used; c++)
                y[first + c] += x[first * pixels + p * block + c];
        }
    }
    for (size_t c = 0; c < channels; c++)
        y[c] *= 1.0F / (float)pixels;
}

static void global_example_gradient(const sonde__form *in, const float *dy, float *dx)
{
    size_t pixels = sonde__form_pixels(in), block = (size_t)in->block;
    size_t channels = (size_t)in->shape.channels;
    float part = 1.0F / (float)pixels;
    for (size_t first = 0; first < channels; first += block) {
        size_t used = channels - first < block ? channels - first : block;
        for (size_t p = 0; p < pixels; p++) {
            float *at = dx + first * pixels + p * block;
            for (size_t c = 0; c < used; c++)
                at[c] = dy[first + c] * part;
            for (size_t c = used; c < block; c++)
                at[c] = 0;
        }
    }
}

void sonde__global_pool_forward(const sonde__form *in, const float *x, float *y)
{
    size_t stride = sonde__form_stride(in), channels = (size_t)in->shape.channels;
#pragma omp parallel for schedule(static) if (sonde__form_floats(in) >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t n = 0; n < in->batch; n++)
        global_example(in, x + (size_t)n * stride, y + (size_t)n * channels);
}

void sonde__global_pool_backward(const sonde__form *in, const float *dy, float *dx)
{
    size_t stride = sonde__form_stride(in), channels = (size_t)in->shape.channels;
#pragma omp parallel for schedule(static) if (sonde__form_floats(in) >= SONDE__PARALLEL_FLOATS)
    for (ptrdiff_t n = 0; n < in->batch; n++)
        global_example_gradient(in, dy + (size_t)n * channels, dx + (size_t)n * stride);
}
