/*
 * NWOT: log |det K| of the ReLU codes of a batch, c_n = [x > 0] over all ReLUs of the network;
 * K = C C^T + (1 - C)(1 - C)^T, which is the number of units minus the Hamming distance of two codes.
 * Source: arXiv 2006.04647 (second version), as NASLib defines it.
 *
 * Codes are packed to bits, BLOCK units of every example at a time, and compared by exclusive or: the
 * score then costs less than the forward pass. Which unit a bit is does not matter, only that it is
 * the same one in every example; zeros that pad a layout are equal in all and add no distance.
 */
#include "base/context.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"

enum {
    LANES = 16,         /* units side by side, one in each word */
    GROUP = 32 * LANES, /* units of LANES words of 32 bits */
    BLOCK = 16 * GROUP, /* units packed before they are compared */
    WORDS = BLOCK / 64, /* of 64 bits, of one example */
    GROUP_WORDS = GROUP / 64
};

struct sonde_nwot {
    sonde_context *context;
    size_t n;
    uint64_t units;
    bool nonfinite;
    uint64_t *codes;     /* n x WORDS, of the block at hand */
    uint64_t *distances; /* n x n, lower triangle: units in which two codes differ */
};

sonde_status sonde_nwot_create(sonde_context *context, size_t n, sonde_nwot **nwot)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!nwot || n == 0)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "nwot: %s",
                           nwot ? "there must be an example" : "nwot is NULL");
    size_t bytes;
    if (!sonde__multiply(n, sizeof(uint64_t), &bytes))
        return sonde__fail(context, SONDE_ERROR_OVERFLOW, "nwot: %zu examples", n);
    sonde_nwot *const made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->n = n;
    made->codes = sonde__alloc(context, n, WORDS * sizeof *made->codes);
    if (made->codes)
        made->distances = sonde__alloc_zero(context, n, bytes);
    if (!made->distances) {
        sonde_nwot_free(made);
        return SONDE_ERROR_MEMORY;
    }
    *nwot = made;
    return SONDE_OK;
}

void sonde_nwot_free(sonde_nwot *nwot)
{
    if (!nwot)
        return;
    sonde__free(nwot->context, nwot->distances);
    sonde__free(nwot->context, nwot->codes);
    sonde__free(nwot->context, nwot);
}

/* One bit a float for GROUP of them; true where one is NaN. */
SONDE_CLONES
static bool pack_group(const float *values, uint32_t *words)
{
    const sonde__vector16 zero = {0};
    sonde__mask16 bits = {0}, nan = {0};
    for (int bit = 0; bit < 32; bit++) {
        const sonde__vector16 v = *(const sonde__vector16 *)(values + bit * LANES);
        bits |= (v > zero) & (int)(1u << bit);
        nan |= v != v;
    }
    int any = 0;
    for (int lane = 0; lane < LANES; lane++) {
        words[lane] = (uint32_t)bits[lane];
        any |= nan[lane];
    }
    return any != 0;
}

/* `count` floats, at most BLOCK; returns the words that are filled. */
static size_t pack(const float *values, size_t count, uint64_t *codes, bool *nonfinite)
{
    size_t words = 0;
    for (size_t first = 0; first < count; first += GROUP, words += GROUP_WORDS) {
        uint32_t bits[LANES];
        float last[GROUP] = {0};
        const float *group = values + first;
        if (count - first < GROUP) {
            memcpy(last, group, (count - first) * sizeof *last);
            group = last;
        }
        if (pack_group(group, bits))
            *nonfinite = true;
        memcpy(codes + words, bits, sizeof bits);
    }
    return words;
}

SONDE_CLONES_BITS
static uint64_t hamming(const uint64_t *a, const uint64_t *b, size_t words)
{
    uint64_t count = 0;
    for (size_t i = 0; i < words; i++)
        count += (uint64_t)SONDE_COUNT_BITS(a[i] ^ b[i]);
    return count;
}

sonde_status sonde_nwot_add(sonde_nwot *nwot, const float *values, size_t stride, size_t units)
{
    if (!nwot)
        return SONDE_ERROR_ARGUMENT;
    size_t floats;
    if (!values || units == 0 || units > stride || !sonde__multiply(nwot->n, stride, &floats))
        return sonde__fail(nwot->context, values ? SONDE_ERROR_SHAPE : SONDE_ERROR_ARGUMENT,
                           "nwot: %zu units of %zu floats%s; there must be 1 to %zu", units, stride,
                           values ? "" : " at NULL", stride);
    for (size_t first = 0; first < stride; first += BLOCK) {
        const size_t count = stride - first < BLOCK ? stride - first : BLOCK;
        size_t words = 0;
        for (size_t i = 0; i < nwot->n; i++)
            words =
                pack(values + i * stride + first, count, nwot->codes + i * WORDS, &nwot->nonfinite);
        for (size_t i = 1; i < nwot->n; i++)
            for (size_t j = 0; j < i; j++)
                nwot->distances[i * nwot->n + j] +=
                    hamming(nwot->codes + i * WORDS, nwot->codes + j * WORDS, words);
    }
    nwot->units += units;
    return SONDE_OK;
}

/* Cholesky of K in place (lower triangle); false where it is singular to rounding. */
static bool log_determinant(double *k, size_t n, double *result)
{
    *result = 0;
    for (size_t j = 0; j < n; j++) {
        double *const row = k + j * n;
        const double diagonal = row[j];
        double pivot = diagonal;
        for (size_t m = 0; m < j; m++)
            pivot -= row[m] * row[m];
        if (!(pivot > (double)n * DBL_EPSILON * diagonal))
            return false;
        row[j] = sqrt(pivot);
        *result += log(pivot);
        for (size_t i = j + 1; i < n; i++) {
            double sum = k[i * n + j];
            for (size_t m = 0; m < j; m++)
                sum -= k[i * n + m] * row[m];
            k[i * n + j] = sum / row[j];
        }
    }
    return true;
}

static bool codes_coincide(const sonde_nwot *nwot)
{
    for (size_t i = 1; i < nwot->n; i++)
        for (size_t j = 0; j < i; j++)
            if (nwot->distances[i * nwot->n + j] == 0)
                return true;
    return false;
}

static sonde_status determinant_score(const sonde_nwot *nwot, sonde_score *score)
{
    const size_t n = nwot->n;
    double *const k = sonde__alloc(nwot->context, n, n * sizeof *k);
    if (!k)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            k[i * n + j] = (double)(nwot->units - nwot->distances[i * n + j]);
    double value;
    if (log_determinant(k, n, &value))
        *score = (sonde_score){value, 0, score->direction, SONDE_VALID};
    else
        score->validity = SONDE_DEGENERATE;
    sonde__free(nwot->context, k);
    return SONDE_OK;
}

sonde_status sonde_nwot_score(const sonde_nwot *nwot, sonde_score *score)
{
    if (!nwot)
        return SONDE_ERROR_ARGUMENT;
    if (!score)
        return sonde__fail(nwot->context, SONDE_ERROR_ARGUMENT, "nwot: score is NULL");
    sonde_score made = {.direction = sonde_proxy_direction(SONDE_PROXY_NWOT)};
    if (nwot->units == 0)
        made.validity = SONDE_NOT_MEASURED;
    else if (nwot->nonfinite)
        made.validity = SONDE_NOT_FINITE;
    else if (nwot->n < 2)
        made.validity = SONDE_TOO_FEW;
    else if (codes_coincide(nwot))
        made.validity = SONDE_DEGENERATE;
    else
        SONDE_TRY(determinant_score(nwot, &made));
    *score = made;
    return SONDE_OK;
}
