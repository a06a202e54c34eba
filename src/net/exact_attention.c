/*
 * Attention of the exact evaluator; formulas: see op_attention.c. Values are real, and of exponent 0.
 *
 * A value is channels x tokens: a head's queries, keys and values are `size` rows each of `tokens`
 * numbers. Saved: the probabilities, tokens x tokens for every example and head.
 */
#include <math.h>
#include <string.h>

#include "net/exact_internal.h"

typedef struct head {
    size_t tokens, size;
    bool causal;
    double *q, *k, *v; /* size x tokens */
    double *p;         /* tokens x tokens */
    size_t output;     /* where its part of the output begins */
} head;

static size_t heads_of(const sonde__exact *e, int layer)
{
    return e->batch * (size_t)sonde__exact_layer(e, layer)->parts;
}

/* `x`: what the queries, keys and values (or their slopes) are read from. */
static head head_of(const sonde__exact *e, int layer, size_t index, double *x)
{
    const sonde__layer *l = sonde__exact_layer(e, layer);
    const size_t heads = (size_t)l->parts, channels = (size_t)l->shape.channels;
    const size_t tokens = (size_t)l->shape.height * (size_t)l->shape.width;
    const size_t n = index / heads, h = index % heads, width = channels * tokens;
    head made = {.tokens = tokens, .size = channels / heads, .causal = l->causal};
    made.q = x + 3 * n * width + h * made.size * tokens;
    made.k = made.q + width;
    made.v = made.k + width;
    made.p = e->saved[layer] + 3 * e->batch * width + index * tokens * tokens;
    made.output = n * width + h * made.size * tokens;
    return made;
}

static double dot(const head *h, const double *a, const double *b, size_t i, size_t j)
{
    double sum = 0;
    for (size_t c = 0; c < h->size; c++)
        sum += a[c * h->tokens + i] * b[c * h->tokens + j];
    return sum;
}

static size_t seen(const head *h, size_t token)
{
    return h->causal ? token + 1 : h->tokens;
}

static void find_probabilities(const head *h)
{
    for (size_t i = 0; i < h->tokens; i++) {
        double *row = h->p + i * h->tokens, top = -INFINITY, sum = 0;
        memset(row, 0, h->tokens * sizeof *row);
        for (size_t j = 0; j < seen(h, i); j++) {
            row[j] = dot(h, h->q, h->k, i, j) / sqrt((double)h->size);
            top = row[j] > top ? row[j] : top;
        }
        for (size_t j = 0; j < seen(h, i); j++)
            sum += row[j] = exp(row[j] - top);
        for (size_t j = 0; j < seen(h, i); j++)
            row[j] /= sum;
    }
}

static void attend(const head *h, double *y)
{
    for (size_t c = 0; c < h->size; c++) {
        for (size_t i = 0; i < h->tokens; i++) {
            double sum = 0;
            for (size_t j = 0; j < seen(h, i); j++)
                sum += h->p[i * h->tokens + j] * h->v[c * h->tokens + j];
            y[c * h->tokens + i] = sum;
        }
    }
}

sonde_status sonde__exact_attention(sonde__exact *e, int layer)
{
    const sonde__exact_tensor *x = sonde__exact_input(e, layer, 0);
    sonde__exact_tensor *y = &e->values[layer];
    const sonde__shape shape = sonde__exact_layer(e, layer)->shape;
    const size_t tokens = (size_t)shape.height * (size_t)shape.width;
    SONDE_TRY(sonde__exact_save(e, layer, x->count + heads_of(e, layer) * tokens * tokens));
    for (size_t i = 0; i < x->count; i++)
        e->saved[layer][i] = sonde__exact_real(e, x, i);
    for (size_t k = 0; k < heads_of(e, layer); k++) {
        const head h = head_of(e, layer, k, e->saved[layer]);
        find_probabilities(&h);
        attend(&h, y->values + h.output);
    }
    y->exponent = 0;
    return SONDE_OK;
}

/* Adds the slopes that query i has caused. */
static void query_backward(const head *h, const head *slope, const double *dy, double *row,
                           size_t i)
{
    const double *p = h->p + i * h->tokens;
    double sum = 0;
    for (size_t j = 0; j < seen(h, i); j++) {
        row[j] = dot(h, dy, h->v, i, j);
        sum += p[j] * row[j];
    }
    for (size_t j = 0; j < seen(h, i); j++) {
        const double ds = p[j] * (row[j] - sum) / sqrt((double)h->size);
        for (size_t c = 0; c < h->size; c++) {
            const size_t at = c * h->tokens;
            slope->q[at + i] += ds * h->k[at + j];
            slope->k[at + j] += ds * h->q[at + i];
            slope->v[at + j] += p[j] * dy[at + i];
        }
    }
}

sonde_status sonde__exact_attention_backward(sonde__exact *e, int layer)
{
    const int from = sonde__exact_layer(e, layer)->inputs[0];
    const sonde__exact_tensor *dy = &e->slopes[layer].tensor;
    double *row = NULL;
    if (!sonde__exact_wants(e, from))
        return SONDE_OK;
    double *dx = sonde__exact_room(e, from);
    if (!dx)
        return SONDE_ERROR_MEMORY;
    memset(dx, 0, e->values[from].count * sizeof *dx);
    for (size_t k = 0; k < heads_of(e, layer); k++) {
        const head h = head_of(e, layer, k, e->saved[layer]), slope = head_of(e, layer, k, dx);
        SONDE_TRY(sonde__exact_work(e, h.tokens, &row));
        for (size_t i = 0; i < h.tokens; i++)
            query_backward(&h, &slope, dy->values + h.output, row, i);
    }
    sonde__exact_give(e, from, dx, dy->exponent);
    return SONDE_OK;
}
