/*
 * All zero-cost proxies of one network on one batch, with the passes shared.
 *
 * What a proxy is, its direction and its source: sonde.h ("choose"), whose functions compute every
 * number here from what as few passes as there can be leave behind:
 *
 *     one pass in training mode, cross-entropy   grad_norm, snip, plain, fisher, nwot
 *     a tangent pass behind it                   grasp
 *     a second backward pass, of the outputs     jacob_cov, epe_nas
 *     an evaluation in double                    synflow, synflow_bn
 *     two passes with normal weights             zen
 *     no pass                                    l2_norm, params, flops
 *
 * zero-cost-nas computes each on a copy of the network; here all see the same one, which afterwards
 * has the weights that it had before.
 */
#ifndef SONDE_MEASURE_SCORE_H
#define SONDE_MEASURE_SCORE_H

#include "net/study.h"

/* Bit i is sonde_proxy_kind i. */
typedef uint32_t sonde__proxies;
#define SONDE__PROXY_BIT(kind) ((sonde__proxies)1 << (kind))

/* Those that a teacher is needed for (distill_net.h), and those of one network. */
#define SONDE__PROXIES_OF_TEACHER \
    (SONDE__PROXY_BIT(SONDE_PROXY_DISWOT_SEMANTIC) | \
     SONDE__PROXY_BIT(SONDE_PROXY_DISWOT_RELATION) | SONDE__PROXY_BIT(SONDE_PROXY_DISWOT))
#define SONDE__PROXIES_OF_NETWORK \
    ((SONDE__PROXY_BIT(SONDE_PROXY_COUNT) - 1) & \
     ~(SONDE__PROXIES_OF_TEACHER | SONDE__PROXY_BIT(SONDE_PROXY_VOTE)))

/* Whose conventions are followed where they differ. */
typedef enum sonde__protocol {
    SONDE__ZERO_COST_NAS, /* batches of 64; synflow is the sum itself */
    SONDE__NASLIB         /* batches of 32; synflow is its natural logarithm */
} sonde__protocol;

typedef struct sonde__score_options {
    sonde__protocol protocol;
    sonde__proxies wanted; /* params and flops come with any */
    uint64_t seed;         /* of what zen draws */
} sonde__score_options;

typedef struct sonde__score_batch {
    const float *x;        /* n x channels x height x width */
    const int32_t *labels; /* n, times the rows of a sequence model */
    int n;
} sonde__score_batch;

/* What a network must be made with for these proxies; leaves seed and threads alone. */
void sonde__score_net_options(sonde__proxies wanted, int n, sonde__net_options *options);

/*
 * Fills scores[SONDE_PROXY_COUNT]; those not wanted and those of a teacher are SONDE_NOT_MEASURED. A
 * proxy that this network or batch has no number for says so by its validity; an error is only what
 * keeps all of them from being computed, such as a label that is no class.
 */
sonde_status sonde__score_network(sonde_context *context, sonde__net *net,
                                  const sonde__score_options *options,
                                  const sonde__score_batch *batch, sonde_score *scores);

#endif
