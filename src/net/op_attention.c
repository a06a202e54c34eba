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
#include <math.h>
#include <omp.h>
#include <string.h>

#include "net/kernels_dnnl.h"
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
    const sonde__small_product product = {.rows = h->tokens,
                                          .columns = h->tokens,
                                          .inner = h->size,
                                          .a_step = a.step,
                                          .b_step = b.step,
                                          .c_step = h->tokens,
                                          .turn_b = true,
                                          .more = more,
                                          .scale = scale};
    sonde__product_small(&product, a.at, b.at, pairs);
}

/* tokens x size: pairs b, or pairs^T b. */
static void by_features(const head *h, const float *pairs, bool turn, rows b, target c)
{
    const sonde__small_product product = {.rows = h->tokens,
                                          .columns = h->size,
                                          .inner = h->tokens,
                                          .a_step = h->tokens,
                                          .b_step = b.step,
                                          .c_step = c.step,
                                          .turn_a = turn,
                                          .more = c.more,
                                          .scale = 1};
    sonde__product_small(&product, pairs, b.at, c.at);
}

static size_t seen(const head *h, size_t token)
{
    return h->causal ? token + 1 : h->tokens;
}

SONDE_CLONES static void scale_row(size_t n, float factor, float *row)
{
    for (size_t j = 0; j < n; j++)
        row[j] *= factor;
}

SONDE_CLONES static float row_product(size_t n, const float *a, const float *b)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < n; j++)
        sum += a[j] * b[j];
    return sum;
}

SONDE_CLONES static float row_sum(size_t n, const float *a)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < n; j++)
        sum += a[j];
    return sum;
}

SONDE_CLONES static float row_top(size_t n, const float *a)
{
    float top = a[0];
#pragma omp simd reduction(max : top)
    for (size_t j = 1; j < n; j++)
        top = a[j] > top ? a[j] : top;
    return top;
}

SONDE_CLONES static void row_slopes(size_t n, const float *p, float mean, float factor, float *d)
{
    for (size_t j = 0; j < n; j++)
        d[j] = factor * p[j] * (d[j] - mean);
}

static void softmax_rows(const head *h, float *pairs)
{
    for (size_t i = 0; i < h->tokens; i++) {
        float *row = pairs + i * h->tokens;
        size_t n = seen(h, i);
        sonde__exp_shifted(n, row_top(n, row), row);
        scale_row(n, 1.0F / row_sum(n, row), row);
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
        row_slopes(n, row, row_product(n, row, slope), factor, slope);
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

/* Below this many multiply-adds all stays on one thread. */
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
