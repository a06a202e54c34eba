/*
 * Derivatives of attention when parameters are scaled (r marks the derivative; see op_attention.c):
 *
 *   rS  = s (rQ K^T + Q rK^T),  rP = P o (rS - rowsum(P o rS)),  rY = rP V + P rV
 *   rdV = rP^T dY + P^T rdY,    rdP = rdY V^T + dY rV^T
 *   dS  = s P o (dP - d),                        d = rowsum(P o dP)
 *   rdS = s (rP o (dP - d) + P o (rdP - rd)),    rd = rowsum(P o rdP + rP o dP)
 *   rdQ = rdS K + dS rK,        rdK = rdS^T Q + dS^T rQ
 */
#include <math.h>
#include <omp.h>

#include "net/kernels_dnnl.h"
#include "net/ops.h"

typedef struct matrix {
    const float *at;
    size_t step; /* from row to row */
} matrix;

/* A head of one example, and its derivative: tokens x size each. */
typedef struct head {
    const sonde__attention *of;
    size_t size;
    float scale;
    matrix q, k, v, rq, rk, rv;
    const float *p;
} head;

static size_t place_of(const sonde__attention *a, size_t index, size_t step)
{
    return index / a->heads * a->tokens * step + index % a->heads * (a->width / a->heads);
}

static head head_of(const sonde__attention *a, size_t index, const float *qkv, const float *rqkv)
{
    const size_t step = 3 * a->width, size = a->width / a->heads;
    const float *q = qkv + place_of(a, index, step), *rq = rqkv + place_of(a, index, step);
    return (head){.of = a,
                  .size = size,
                  .scale = (float)(1.0 / sqrt((double)size)),
                  .q = {q, step},
                  .k = {q + a->width, step},
                  .v = {q + 2 * a->width, step},
                  .rq = {rq, step},
                  .rk = {rq + a->width, step},
                  .rv = {rq + 2 * a->width, step},
                  .p = a->weights + index * a->tokens * a->tokens};
}

/* tokens x tokens: scale x y^T [+ what is there]. */
static void by_pairs(const head *h, float scale, matrix x, matrix y, bool more, float *pairs)
{
    const sonde__small_product product = {.rows = h->of->tokens,
                                          .columns = h->of->tokens,
                                          .inner = h->size,
                                          .a_step = x.step,
                                          .b_step = y.step,
                                          .c_step = h->of->tokens,
                                          .turn_b = true,
                                          .more = more,
                                          .scale = scale};
    sonde__product_small(&product, x.at, y.at, pairs);
}

typedef struct target {
    float *at;
    size_t step;
    bool turn; /* pairs^T x */
} target;

/* tokens x size: pairs x + other y, or with both turned. */
static void by_features(const head *h, const float *pairs, matrix x, const float *other, matrix y,
                        target to)
{
    sonde__small_product product = {.rows = h->of->tokens,
                                    .columns = h->size,
                                    .inner = h->of->tokens,
                                    .a_step = h->of->tokens,
                                    .b_step = x.step,
                                    .c_step = to.step,
                                    .turn_a = to.turn,
                                    .scale = 1};
    sonde__product_small(&product, pairs, x.at, to.at);
    product.b_step = y.step;
    product.more = true;
    sonde__product_small(&product, other, y.at, to.at);
}

/* rS, and then rP in its place. */
static void find_tangent(const head *h, float *rp)
{
    const size_t tokens = h->of->tokens;
    by_pairs(h, h->scale, h->rq, h->k, false, rp);
    by_pairs(h, h->scale, h->q, h->rk, true, rp);
    for (size_t i = 0; i < tokens; i++) {
        const float *p = h->p + i * tokens;
        float *row = rp + i * tokens;
        double product = 0;
        for (size_t j = 0; j < tokens; j++)
            product += (double)p[j] * (double)row[j];
        for (size_t j = 0; j < tokens; j++)
            row[j] = p[j] * (row[j] - (float)product);
    }
}

static bool parallel(const sonde__attention *a)
{
    return a->batch * a->tokens * a->tokens * a->width >= SONDE__PARALLEL_FLOATS;
}

void sonde__attention_tangent(const sonde__attention *a, const float *qkv, const float *rqkv,
                              float *ry)
{
    const size_t pairs = a->tokens * a->tokens;
#pragma omp parallel for schedule(static) if (parallel(a))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)(a->batch * a->heads); i++) {
        const head h = head_of(a, (size_t)i, qkv, rqkv);
        float *rp = a->scratch + (size_t)omp_get_thread_num() * pairs;
        find_tangent(&h, rp);
        by_features(&h, rp, h.v, h.p, h.rv,
                    (target){ry + place_of(a, (size_t)i, a->width), a->width, false});
    }
}

/* dP becomes dS, and rdP rdS. */
static void find_slopes(const head *h, const float *rp, float *dp, float *rdp)
{
    const size_t tokens = h->of->tokens;
    for (size_t i = 0; i < tokens; i++) {
        const size_t first = i * tokens, end = first + tokens;
        double mean = 0, change = 0;
        for (size_t k = first; k < end; k++) {
            mean += (double)h->p[k] * (double)dp[k];
            change += (double)h->p[k] * (double)rdp[k] + (double)rp[k] * (double)dp[k];
        }
        for (size_t k = first; k < end; k++) {
            const float centered = dp[k] - (float)mean;
            rdp[k] = h->scale * (rp[k] * centered + h->p[k] * (rdp[k] - (float)change));
            dp[k] = h->scale * h->p[k] * centered;
        }
    }
}

void sonde__attention_tangent_backward(const sonde__attention *a,
                                       const sonde__attention_slopes *slopes, float *rdqkv)
{
    const size_t pairs = a->tokens * a->tokens, step = 3 * a->width;
#pragma omp parallel for schedule(static) if (parallel(a))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)(a->batch * a->heads); i++) {
        const head h = head_of(a, (size_t)i, slopes->qkv, slopes->rqkv);
        const size_t at = place_of(a, (size_t)i, a->width);
        const matrix dy = {slopes->dy + at, a->width}, rdy = {slopes->rdy + at, a->width};
        float *rp = a->scratch + (size_t)omp_get_thread_num() * 3 * pairs;
        float *ds = rp + pairs, *rds = ds + pairs;
        float *rdq = rdqkv + place_of(a, (size_t)i, step);
        find_tangent(&h, rp);
        by_features(&h, rp, dy, h.p, rdy, (target){rdq + 2 * a->width, step, true});
        by_pairs(&h, 1, dy, h.v, false, ds);
        by_pairs(&h, 1, rdy, h.v, false, rds);
        by_pairs(&h, 1, dy, h.rv, true, rds);
        find_slopes(&h, rp, ds, rds);
        by_features(&h, rds, h.k, ds, h.rk, (target){rdq, step, false});
        by_features(&h, rds, h.q, ds, h.rq, (target){rdq + a->width, step, true});
    }
}
