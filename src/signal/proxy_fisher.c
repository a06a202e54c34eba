/*
 * The proxy fisher: for each output channel k of each convolution and linear layer
 * D_k = 1/2 mean_n (sum over positions of a_nk dL/da_nk)^2, summed over channels times the number of
 * weights of one channel. L is the mean loss, so dL/da carries 1/N.
 * Source: arXiv 2101.08134, as SamsungLabs/zero-cost-nas defines it (after arXiv 1906.04113).
 */
#include "signal/arrays.h"

#include "num/formats.h"

enum { CHUNK = 512 };

sonde_status sonde_proxy_add_fisher(sonde_context *context, const sonde_matrix *products,
                                    size_t weights, sonde_proxy_sums *sums)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(sonde__matrix_check(context, products, "fisher: products"));
    if (!sums)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "fisher: sums is NULL");
    double squares = 0, values[CHUNK];
    for (size_t i = 0; i < products->rows; i++)
        for (size_t first = 0; first < products->cols; first += CHUNK) {
            const size_t left = products->cols - first, n = left < CHUNK ? left : CHUNK;
            sonde__matrix_row(products, i, first, n, values);
            for (size_t k = 0; k < n; k++)
                squares += values[k] * values[k];
        }
    sums->fisher += 0.5 * squares / (double)products->rows * (double)weights;
    sums->channels += products->cols;
    return SONDE_OK;
}
