/*
 * A convolutional head as a plain one: each output position of each example is a row, whose features
 * are the input under the kernel (zeros outside the image).
 *
 * Invariant: the unfolded matrix is never held; its rows are gathered as they are asked for.
 */
#include "base/checked.h"
#include "num/formats.h"
#include "signal/head_internal.h"

/* Row: (example, y, x), x fastest; column: (channel, kernel y, kernel x). */
void sonde__head_fill_patches(const void *user, size_t row, size_t first, size_t n, double *out)
{
    const sonde__head_patch_rows *rows = user;
    const sonde_head_patches *p = rows->patches;
    size_t x = row % rows->out_width, y = row / rows->out_width % rows->out_height;
    size_t example = row / (rows->out_width * rows->out_height);
    for (size_t i = 0; i < n; i++) {
        size_t column = first + i;
        size_t kernel_x = column % p->kernel_width;
        size_t kernel_y = column / p->kernel_width % p->kernel_height;
        size_t channel = column / (p->kernel_width * p->kernel_height);
        size_t in_y = y * p->stride + kernel_y * p->dilation;
        size_t in_x = x * p->stride + kernel_x * p->dilation;
        bool inside = in_y >= p->padding && in_y < p->height + p->padding && in_x >= p->padding &&
                      in_x < p->width + p->padding;
        size_t plane = (example * p->channels + channel) * p->height;
        out[i] =
            inside ? rows->input[(plane + in_y - p->padding) * p->width + in_x - p->padding] : 0;
    }
}

/* Output positions along one side, or 0 when the kernel does not fit. */
static size_t out_side(size_t side, size_t kernel, const sonde_head_patches *p)
{
    size_t padded = 0, reach = 0;
    if (!sonde__multiply(2, p->padding, &padded) || !sonde__add(side, padded, &padded) ||
        !sonde__multiply(kernel - 1, p->dilation, &reach) || reach >= padded)
        return 0;
    return (padded - reach - 1) / p->stride + 1;
}

sonde_status sonde__head_check_patches(sonde_context *context, const sonde_head_patches *p,
                                       sonde__head_patch_rows *rows, size_t *input_count,
                                       sonde_matrix *shape)
{
    if (p->size != sizeof *p)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "head patches: size is %zu, not %zu; fill them with "
                           "sonde_head_patches_init",
                           p->size, sizeof *p);
    if (!p->input)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "head patches: input is NULL");
    if (sonde__dtype_size(p->dtype) == 0)
        return sonde__fail(context, SONDE_ERROR_RANGE, "head patches: element type %d is unknown",
                           (int)p->dtype);
    if (!p->channels || !p->height || !p->width || !p->kernel_height || !p->kernel_width ||
        !p->stride || !p->dilation)
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "head patches: a size, stride or dilation is 0");
    rows->patches = p;
    rows->out_height = out_side(p->height, p->kernel_height, p);
    rows->out_width = out_side(p->width, p->kernel_width, p);
    if (!rows->out_height || !rows->out_width)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "head patches: a %zu x %zu kernel does not fit a %zu x %zu input",
                           p->kernel_height, p->kernel_width, p->height, p->width);
    size_t positions = 0, bytes = 0;
    bool fits = sonde__multiply(rows->out_height, rows->out_width, &positions) &&
                sonde__multiply(positions, p->batch, &shape->rows) &&
                sonde__multiply(p->kernel_height, p->kernel_width, &shape->cols) &&
                sonde__multiply(shape->cols, p->channels, &shape->cols) &&
                sonde__multiply(p->height, p->width, input_count) &&
                sonde__multiply(*input_count, p->channels, input_count) &&
                sonde__multiply(*input_count, p->batch, input_count) &&
                sonde__multiply(*input_count, sizeof(double), &bytes);
    if (!fits)
        return sonde__fail(context, SONDE_ERROR_OVERFLOW,
                           "head patches: the sizes do not fit in memory");
    return SONDE_OK;
}
