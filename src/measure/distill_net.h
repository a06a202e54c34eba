/*
 * DisWOT on networks: how alike an untrained teacher and an untrained student are.
 *
 * Both get weights from N(0, 1) and see one batch, in training mode, once each: gradients by the
 * classifier's weights are in closed form from its features and the loss's gradient, so there is no
 * backward pass. Source: Dong, Li, Wei, CVPR 2023 (arXiv 2303.15678); formulas in sonde.h.
 */
#ifndef SONDE_MEASURE_DISTILL_NET_H
#define SONDE_MEASURE_DISTILL_NET_H

#include "measure/score.h"

typedef enum sonde__distill_metric {
    SONDE__DISTILL_PAPER, /* relation of the whole batch's feature maps */
    SONDE__DISTILL_REPO,  /* of the first example's pooled features alone */
    SONDE__DISTILL_S1     /* the script of the space S1: channel Gram of the first example's maps */
} sonde__distill_metric;

/* What is compared, of one network. */
typedef struct sonde__distill_view {
    sonde_context *context;
    size_t classes, features; /* of the classifier */
    double *gradient;         /* classes x features */
    float *pooled;            /* features: the first example's */
    sonde__shape shape;       /* of the maps */
    int n;
    float *maps; /* n x channels x height x width */
} sonde__distill_view;

/* A teacher and a student of one seed have different weights. The network has its own weights again
 * afterwards. SONDE_ERROR_UNSUPPORTED if it does not end in a linear layer. */
sonde_status sonde__distill_view_make(sonde_context *context, sonde__net *net,
                                      const sonde__score_batch *batch, uint64_t seed, bool teacher,
                                      sonde__distill_view *view);
void sonde__distill_view_free(sonde__distill_view *view);

/* Fills the three scores of sonde_proxy_kind DISWOT_SEMANTIC, DISWOT_RELATION and DISWOT in `scores`
 * (SONDE_PROXY_COUNT). A classifier of another width has no semantic score (SONDE_DEGENERATE). */
sonde_status sonde__distill_compare(sonde_context *context, sonde__distill_metric metric,
                                    const sonde__distill_view *teacher,
                                    const sonde__distill_view *student, sonde_score *scores);

#endif
