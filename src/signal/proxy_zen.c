/*
 * The Zen score: how far the features before pooling move when the input does, in a network with
 * Gaussian weights, plus what its batch norms divide out:
 *   log(mean_n sum |f - f'|) + sum over batch norms of log sqrt(mean running variance).
 * Source: arXiv 2102.01063, as NASLib defines it (one repeat, gamma 0.01).
 */
#include "signal/arrays.h"

#include <math.h>

#include "num/formats.h"
#include "num/vectors.h"

/* Sum of log sqrt over the batch norms; false where one is not positive. */
static bool scaling_of(const double *variances, size_t count, double *scaling)
{
    *scaling = 0;
    for (size_t i = 0; i < count; i++) {
        if (variances[i] <= 0)
            return false;
        *scaling += 0.5 * log(variances[i]);
    }
    return true;
}

sonde_status sonde_zen(sonde_context *context, const sonde_matrix *features,
                       const sonde_matrix *perturbed, const double *variances, size_t count,
                       sonde_score *score)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(sonde__check_pair(context, "zen", (sonde__named){features, "features"},
                                (sonde__named){perturbed, "perturbed"}));
    if (!score || (!variances && count > 0))
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "zen: %s is NULL",
                           score ? "variances" : "score");
    double *a, *b, moved = 0, scaling;
    SONDE_TRY(sonde__pair_rows(context, features, perturbed, &a, &b));
    for (size_t i = 0; i < features->rows; i++) {
        sonde__matrix_row(features, i, 0, features->cols, a);
        sonde__matrix_row(perturbed, i, 0, features->cols, b);
        moved += sonde__absolute_distance(a, b, features->cols);
    }
    sonde__free(context, a);
    const sonde_direction direction = sonde_proxy_direction(SONDE_PROXY_ZEN);
    if (moved == 0 || !scaling_of(variances, count, &scaling))
        *score = sonde__score_invalid(direction, SONDE_DEGENERATE);
    else if (sonde__count_nonfinite(variances, count, NULL))
        *score = sonde__score_invalid(direction, SONDE_NOT_FINITE);
    else
        *score = sonde__score_of(log(moved / (double)features->rows) + scaling, direction, features,
                                 perturbed);
    return SONDE_OK;
}
