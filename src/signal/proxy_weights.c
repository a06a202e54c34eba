/*
 * Proxies that are sums over weights and their gradients: grad_norm, snip, plain, l2_norm, grasp, in
 * one pass over a layer's arrays. Convolution and linear weights count, biases and norms do not;
 * grad_norm and l2_norm are sums of the layers' norms, not the norm of all.
 * Source: arXiv 2101.08134, as SamsungLabs/zero-cost-nas defines them.
 */
#include "signal/arrays.h"

#include <math.h>

#include "num/formats.h"
#include "num/vectors.h"

enum { CHUNK = 512 };

/* Of one layer. */
typedef struct layer_sums {
    double weight_squares, gradient_squares, product, magnitude, hessian;
} layer_sums;

SONDE_CLONES
static void add_products(const double *w, const double *g, size_t n, layer_sums *sums)
{
    double squares = 0, product = 0, magnitude = 0;
#pragma omp simd reduction(+ : squares, product, magnitude)
    for (size_t i = 0; i < n; i++) {
        squares += g[i] * g[i];
        product += w[i] * g[i];
        magnitude += fabs(w[i] * g[i]);
    }
    sums->gradient_squares += squares;
    sums->product += product;
    sums->magnitude += magnitude;
}

/* Dense rows are one long row. */
static sonde_matrix flat(const sonde_matrix *matrix)
{
    sonde_matrix one = *matrix;
    if (matrix->data && sonde__matrix_stride(matrix) == matrix->cols) {
        one.cols = matrix->rows * matrix->cols;
        one.rows = 1;
        one.row_stride = 0;
    }
    return one;
}

static void sum_layer(const sonde_proxy_layer *layer, layer_sums *sums)
{
    double w[CHUNK], g[CHUNK], h[CHUNK];
    const sonde_matrix *const hessian =
        layer->hessian_gradient.data ? &layer->hessian_gradient : &layer->hessian_weight;
    const bool along_weight = layer->hessian_gradient.data != NULL;
    for (size_t row = 0; row < layer->weight.rows; row++)
        for (size_t first = 0; first < layer->weight.cols; first += CHUNK) {
            const size_t left = layer->weight.cols - first, n = left < CHUNK ? left : CHUNK;
            sonde__matrix_row(&layer->weight, row, first, n, w);
            sums->weight_squares += sonde__dot(w, w, n);
            if (layer->gradient.data) {
                sonde__matrix_row(&layer->gradient, row, first, n, g);
                add_products(w, g, n, sums);
            }
            if (hessian->data) {
                sonde__matrix_row(hessian, row, first, n, h);
                sums->hessian += sonde__dot(along_weight ? w : g, h, n);
            }
        }
}

static sonde_status check(sonde_context *context, const sonde_proxy_layer *layer)
{
    SONDE_TRY(sonde__matrix_check(context, &layer->weight, "proxy layer: weight"));
    const sonde__named others[] = {{&layer->gradient, "gradient"},
                                   {&layer->hessian_gradient, "hessian_gradient"},
                                   {&layer->hessian_weight, "hessian_weight"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].matrix->data)
            SONDE_TRY(sonde__check_pair(context, "proxy layer",
                                        (sonde__named){&layer->weight, "weight"}, others[i]));
    if (layer->hessian_weight.data && !layer->hessian_gradient.data && !layer->gradient.data)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "proxy layer: hessian_weight needs the gradient beside it");
    return SONDE_OK;
}

/* All of them flat where all are dense. */
static sonde_proxy_layer flattened(const sonde_proxy_layer *layer)
{
    const sonde_proxy_layer one = {flat(&layer->weight), flat(&layer->gradient),
                                   flat(&layer->hessian_gradient), flat(&layer->hessian_weight)};
    const sonde_matrix *const all[] = {&one.gradient, &one.hessian_gradient, &one.hessian_weight};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->data && all[i]->rows != one.weight.rows)
            return *layer;
    return one;
}

sonde_status sonde_proxy_add_layer(sonde_context *context, const sonde_proxy_layer *layer,
                                   sonde_proxy_sums *sums)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!layer || !sums)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "proxy layer: %s is NULL",
                           layer ? "sums" : "layer");
    SONDE_TRY(check(context, layer));
    const sonde_proxy_layer one = flattened(layer);
    layer_sums added = {0};
    sum_layer(&one, &added);
    sums->l2_norm += sqrt(added.weight_squares);
    sums->layers++;
    if (one.gradient.data) {
        sums->grad_norm += sqrt(added.gradient_squares);
        sums->snip += added.magnitude;
        sums->plain += added.product;
        sums->gradients++;
    }
    if (one.hessian_gradient.data || one.hessian_weight.data) {
        sums->grasp -= added.hessian;
        sums->hessians++;
    }
    return SONDE_OK;
}

sonde_score sonde_proxy_score(sonde_proxy_kind kind, const sonde_proxy_sums *sums)
{
    const sonde_direction direction = sonde_proxy_direction(kind);
    const struct {
        sonde_proxy_kind kind;
        double value;
        size_t count;
    } known[] = {
        {SONDE_PROXY_GRAD_NORM, sums->grad_norm, sums->gradients},
        {SONDE_PROXY_SNIP, sums->snip, sums->gradients},
        {SONDE_PROXY_PLAIN, sums->plain, sums->gradients},
        {SONDE_PROXY_L2_NORM, sums->l2_norm, sums->layers},
        {SONDE_PROXY_GRASP, sums->grasp, sums->hessians},
        {SONDE_PROXY_FISHER, sums->fisher, sums->channels},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].kind == kind && known[i].count > 0)
            return isfinite(known[i].value)
                       ? (sonde_score){known[i].value, 0, direction, SONDE_VALID}
                       : sonde__score_invalid(direction, SONDE_NOT_FINITE);
    return sonde__score_invalid(direction, SONDE_NOT_MEASURED);
}
