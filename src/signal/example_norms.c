/*
 * Squared gradient norms of single examples of a linear map, from its inputs x and the gradients dy
 * by its outputs: ||sum_t dy_t x_t^T||_F^2, which for one row is ||dy||^2 ||x||^2. With more rows it is
 * the product norm of the head gradient (product_norm.c), in whichever of its two forms is cheaper.
 * Source: section 2 of docs/tpv.md; Goodfellow 2015, arXiv 1510.01799, for the product of norms.
 *
 * Invariant: no sum runs over two examples.
 */
#include "signal/arrays.h"

#include <math.h>

#include "num/formats.h"
#include "num/vectors.h"
#include "signal/product_norm.h"

/* Rows [first, first + rows) of a matrix, as the product norm reads them. */
typedef struct window {
    const sonde_matrix *matrix;
    size_t first;
} window;

static void fill(const void *user, size_t row, size_t first, size_t n, double *out)
{
    const window *const w = user;
    sonde__matrix_row(w->matrix, w->first + row, first, n, out);
}

void sonde_example_layer_init(sonde_example_layer *layer)
{
    *layer = (sonde_example_layer){.size = sizeof *layer, .rows = 1};
}

static double row_squares(const sonde_matrix *matrix, size_t row, double *scratch)
{
    sonde__matrix_row(matrix, row, 0, matrix->cols, scratch);
    return sonde__dot(scratch, scratch, matrix->cols);
}

/* ||sum_t dy_t||^2; scratch: twice the columns. */
static double bias_norm(const sonde_matrix *dy, size_t first, size_t rows, double *scratch)
{
    double *const sum = scratch + dy->cols;
    sonde__matrix_row(dy, first, 0, dy->cols, sum);
    for (size_t t = 1; t < rows; t++) {
        sonde__matrix_row(dy, first + t, 0, dy->cols, scratch);
        for (size_t c = 0; c < dy->cols; c++)
            sum[c] += scratch[c];
    }
    return sonde__dot(sum, sum, dy->cols);
}

static sonde_status weight_norm(sonde_context *context, const sonde_example_layer *layer,
                                size_t first, double *norm)
{
    const window left = {&layer->dy, first}, right = {&layer->x, first};
    const sonde__rows dy = {.rows = layer->rows, layer->dy.cols, fill, &left, NULL, 0};
    const sonde__rows x = {.rows = layer->rows, layer->x.cols, fill, &right, NULL, 0};
    sonde__product_norm product;
    SONDE_TRY(sonde__product_norm_of(context, &dy, &x, layer->form, &product));
    *norm = product.squared;
    return SONDE_OK;
}

static sonde_status check(sonde_context *context, const sonde_example_layer *layer)
{
    if (layer->size != sizeof *layer)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "example norms: size is %zu, not %zu; fill the layer with "
                           "sonde_example_layer_init",
                           layer->size, sizeof *layer);
    SONDE_TRY(sonde__matrix_check(context, &layer->x, "example norms: x"));
    SONDE_TRY(sonde__matrix_check(context, &layer->dy, "example norms: dy"));
    if (layer->x.rows != layer->dy.rows)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "example norms: x has %zu rows, dy %zu; they must be the same",
                           layer->x.rows, layer->dy.rows);
    if (layer->rows == 0 || layer->x.rows % layer->rows != 0)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "example norms: %zu rows are not a multiple of the %zu of one example",
                           layer->x.rows, layer->rows);
    if (layer->form != SONDE_FORM_AUTO && layer->form != SONDE_FORM_DIRECT &&
        layer->form != SONDE_FORM_GRAM)
        return sonde__fail(context, SONDE_ERROR_RANGE, "example norms: form %d is unknown",
                           (int)layer->form);
    return SONDE_OK;
}

sonde_status sonde_example_norms(sonde_context *context, const sonde_example_layer *layer,
                                 double *weight_norms, double *bias_norms)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!layer || !weight_norms)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "example norms: %s is NULL",
                           layer ? "weight_norms" : "layer");
    SONDE_TRY(check(context, layer));
    const size_t n = layer->x.rows / layer->rows;
    const size_t cols = layer->dy.cols > layer->x.cols ? layer->dy.cols : layer->x.cols;
    double *const scratch = sonde__alloc(context, cols, 2 * sizeof *scratch);
    if (!scratch)
        return SONDE_ERROR_MEMORY;
    double *const norms = sonde__alloc(context, n, sizeof *norms);
    sonde_status status = norms ? SONDE_OK : SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < n && status == SONDE_OK; i++)
        if (layer->rows == 1)
            norms[i] = row_squares(&layer->dy, i, scratch) * row_squares(&layer->x, i, scratch);
        else
            status = weight_norm(context, layer, i * layer->rows, norms + i);
    for (size_t i = 0; i < n && status == SONDE_OK; i++) {
        weight_norms[i] = norms[i];
        if (bias_norms)
            bias_norms[i] = bias_norm(&layer->dy, i * layer->rows, layer->rows, scratch);
    }
    sonde__free(context, norms);
    sonde__free(context, scratch);
    return status;
}
