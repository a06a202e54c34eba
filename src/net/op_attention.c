/*
 * Multi-head self-attention (Vaswani et al., arXiv 1706.03762, section 3.2) of packed rows.
 *
 * A row of the input holds a token's query, key and value, `width` floats each; head h has the h-th
 * of `heads` equal parts of each. For a head of size k, with Q, K, V of tokens x k:
 *
 *   forward   S = Q K^T / sqrt(k),  P = softmax of S by rows (causal: over j <= i),  Y = P V
 *   backward  dV = P^T dY,  dP = dY V^T,  dS = P o (dP - rowsum(P o dP)) / sqrt(k),
 *             dQ = dS K,  dK = dS^T Q
 *   tangent   rS = (rQ K^T + Q rK^T) / sqrt(k),  rP = P o (rS - rowsum(P o rS)),
 *             rY = rP V + P rV, and the same product rule for every line of the backward pass
 *
 * Invariant: entries of P, dS and their tangents that a causal mask hides are exactly zero.
 */
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "net/ops.h"

typedef struct rows {
    const float *at;
    size_t step; /* from row to row */
} rows;

/* A head of one example: matrices of tokens x size. */
typedef struct head {
    rows q, k, v;
    size_t tokens, size;
    bool causal;
    float scale;
} head;

typedef struct target {
    float *at;
    size_t step;
    bool more; /* added to what is there */
} target;

/* tokens x tokens: scale a b^T, a and b of tokens x size. */
static void by_pairs(const head *h, rows a, rows b, float scale, bool more, float *pairs)
{
    const int tokens = (int)h->tokens, size = (int)h->size;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tokens, tokens, size, scale, a.at,
                (int)a.step, b.at, (int)b.step, more ? 1.0F : 0.0F, pairs, tokens);
}

/* tokens x size: pairs b, or pairs^T b. */
static void by_features(const head *h, const float *pairs, bool turn, rows b, target c)
{
    const int tokens = (int)h->tokens, size = (int)h->size;
    cblas_sgemm(CblasRowMajor, turn ? CblasTrans : CblasNoTrans, CblasNoTrans, tokens, size, tokens,
                1.0F, pairs, tokens, b.at, (int)b.step, c.more ? 1.0F : 0.0F, c.at, (int)c.step);
}

static size_t seen(const head *h, size_t token)
{
    return h->causal ? token + 1 : h->tokens;
}

static void softmax_rows(const head *h, float *pairs)
{
    for (size_t i = 0; i < h->tokens; i++) {
        float *row = pairs + i * h->tokens;
        size_t n = seen(h, i);
        float top = row[0];
        double sum = 0;
        for (size_t j = 1; j < n; j++)
            top = row[j] > top ? row[j] : top;
        sonde__exp_shifted(n, top, row);
        for (size_t j = 0; j < n; j++)
            sum += (double)row[j];
        const float inverse = (float)(1.0 / sum);
        for (size_t j = 0; j < n; j++)
            row[j] *= inverse;
        memset(row + n, 0, (h->tokens - n) * sizeof *row);
    }
}

/* Through the softmax: d becomes factor P o (d - rowsum(P o d)). */
static void softmax_slopes(const head *h, const float *p, float factor, float *d)
{
    for (size_t i = 0; i < h->tokens; i++) {
        const float *row = p + i * h->tokens;
        float *slope = d + i * h->tokens;
        size_t n = seen(h, i);
        double product = 0;
        for (size_t j = 0; j < n; j++)
            product += (double)(row[j] * slope[j]);
        const float mean = (float)product;
        for (size_t j = 0; j < n; j++)
            slope[j] = factor * row[j] * (slope[j] - mean);
        memset(slope + n, 0, (h->tokens - n) * sizeof *slope);
    }
}

/* Where head `index` of all examples begins in rows of `step` floats. */
static size_t place_of(const sonde__attention *a, size_t index, size_t step)
{
    return index / a->heads * a->tokens * step + index % a->heads * (a->width / a->heads);
}

static head head_of(const sonde__attention *a, const float *qkv, size_t index)
{
    const size_t size = a->width / a->heads, step = 3 * a->width;
    const float *q = qkv + place_of(a, index, step);
    return (head){.q = {q, step},
                  .k = {q + a->width, step},
                  .v = {q + 2 * a->width, step},
                  .tokens = a->tokens,
                  .size = size,
                  .causal = a->causal,
                  .scale = (float)(1.0 / sqrt((double)size))};
}

/* Below this many multiply-adds all stays on one thread, in BLAS too. */
enum { PARALLEL_WORK = 1 << 18 };

static bool parallel(const sonde__attention *a)
{
    return a->batch * a->tokens * a->tokens * a->width >= PARALLEL_WORK;
}

void sonde__attention_forward(const sonde__attention *a, const float *qkv, float *y)
{
    const size_t pairs = a->tokens * a->tokens;
#pragma omp parallel for schedule(static) if (parallel(a))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)(a->batch * a->heads); i++) {
        const head h = head_of(a, qkv, (size_t)i);
        float *p = a->weights + (a->keep ? (size_t)i : (size_t)omp_get_thread_num()) * pairs;
        by_pairs(&h, h.q, h.k, h.scale, false, p);
        softmax_rows(&h, p);
        by_features(&h, p, false, h.v,
                    (target){y + place_of(a, (size_t)i, a->width), a->width, false});
    }
}

void sonde__attention_backward(const sonde__attention *a, const float *qkv, const float *dy,
                               float *dqkv)
{
    const size_t pairs = a->tokens * a->tokens, step = 3 * a->width;
#pragma omp parallel for schedule(static) if (parallel(a))
    for (ptrdiff_t i = 0; i < (ptrdiff_t)(a->batch * a->heads); i++) {
        const head h = head_of(a, qkv, (size_t)i);
        const rows dout = {dy + place_of(a, (size_t)i, a->width), a->width};
        const float *p = a->weights + (size_t)i * pairs;
        float *ds = a->scratch + (size_t)omp_get_thread_num() * pairs;
        float *dq = dqkv + place_of(a, (size_t)i, step);
        by_features(&h, p, true, dout, (target){dq + 2 * a->width, step, false});
        by_pairs(&h, dout, h.v, 1.0F, false, ds);
        softmax_slopes(&h, p, h.scale, ds);
        by_features(&h, ds, false, h.k, (target){dq, step, false});
        by_features(&h, ds, true, h.q, (target){dq + a->width, step, false});
    }
}
