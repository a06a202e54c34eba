/*
 * Upsampling to the nearest pixel, any layout: y_ij = x at (i / factor, j / factor); the gradient of
 * a pixel is the sum over the factor x factor that it became.
 */
#include <string.h>

#include "net/ops.h"

static bool parallel(const sonde__form *out)
{
    return sonde__form_floats(out) >= SONDE__PARALLEL_FLOATS;
}

/* One group of channels: height x width x block in, factor times that in both ways out. */
static void upsample_plane(const sonde__form *in, size_t factor, const float *x, float *y)
{
    const size_t block = (size_t)in->block, width = (size_t)in->shape.width * factor;
    for (size_t i = 0; i < (size_t)in->shape.height * factor; i++) {
        const float *row = x + i / factor * (size_t)in->shape.width * block;
        for (size_t j = 0; j < width; j++, y += block)
            memcpy(y, row + j / factor * block, block * sizeof *y);
    }
}

static void upsample_plane_gradient(const sonde__form *in, size_t factor, const float *dy,
                                    float *dx)
{
    const size_t block = (size_t)in->block, width = (size_t)in->shape.width * factor;
    memset(dx, 0, sonde__form_pixels(in) * block * sizeof *dx);
    for (size_t i = 0; i < (size_t)in->shape.height * factor; i++) {
        float *row = dx + i / factor * (size_t)in->shape.width * block;
        for (size_t j = 0; j < width; j++, dy += block)
            for (size_t c = 0; c < block; c++)
                row[j / factor * block + c] += dy[c];
    }
}

void sonde__upsample_forward(const sonde__form *in, const sonde__form *out, const float *x,
                             float *y)
{
    const size_t factor = (size_t)(out->shape.height / in->shape.height);
    const size_t from = sonde__form_pixels(in) * (size_t)in->block, to = from * factor * factor;
#pragma omp parallel for schedule(static) if (parallel(out))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)in->batch * sonde__form_groups(in); i++)
        upsample_plane(in, factor, x + (size_t)i * from, y + (size_t)i * to);
}

void sonde__upsample_backward(const sonde__form *in, const sonde__form *out, const float *dy,
                              float *dx)
{
    const size_t factor = (size_t)(out->shape.height / in->shape.height);
    const size_t from = sonde__form_pixels(in) * (size_t)in->block, to = from * factor * factor;
#pragma omp parallel for schedule(static) if (parallel(out))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)in->batch * sonde__form_groups(in); i++)
        upsample_plane_gradient(in, factor, dy + (size_t)i * to, dx + (size_t)i * from);
}
