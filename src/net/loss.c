/*
 * The losses: softmax cross-entropy, squared error, sigmoid cross-entropy (loss.h).
 *
 * With m the largest logit of a row and d_j = z_j - m <= 0, log-sum-exp is m + log(1 + r), where r
 * sums exp(d_j) over all but one place of the maximum. So a cross-entropy is log1p(r) - d_label: it
 * overflows for no logits and keeps its relative precision down to the smallest losses, of which
 * mastery looks at second differences. Sums are in double.
 *
 * Invariant: row sums are formed in an order that depends on nothing but the number of classes.
 */
#include "net/loss.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/compiler.h"

/* Below this exp gives 0: what follows would be a denormal float. */
static const float exp_lowest = -87.0f;

/*
 * exp(x) for x <= 0 within 1.5 units in the last place, NaN for NaN; without a call, so that loops
 * over it become vectors. x = k log 2 + f, |f| <= log(2) / 2; exp(f) by its Taylor polynomial, 2^k by
 * the exponent bits. Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
 */
static inline float exp_of_negative(float x)
{
    float const shifter = 12582912.0f;
    float const clamped = x < exp_lowest ? exp_lowest : x;
    float const shifted = clamped * 1.44269504f + shifter;
    float const k = shifted - shifter;
    float const f = (clamped - k * 0.693145752f) - k * 1.42860677e-6f;
    float p = 1.0f / 5040;
    p = p * f + 1.0f / 720;
    p = p * f + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return x < exp_lowest ? 0.0f : p * scale;
}

static inline size_t place_of_largest(const float *z, size_t classes)
{
    size_t place = 0;
    for (size_t j = 1; j < classes; j++)
        if (z[j] > z[place])
            place = j;
    return place;
}

/* Sum of exp(z_j - largest) over [begin, end), each also stored in e unless that is NULL. */
static inline double sum_exp(const float *z, float largest, size_t begin, size_t end, float *e)
{
    double sum = 0;
    if (e) {
#pragma omp simd reduction(+ : sum)
        for (size_t j = begin; j < end; j++) {
            e[j] = exp_of_negative(z[j] - largest);
            sum += (double)e[j];
        }
    } else {
#pragma omp simd reduction(+ : sum)
        for (size_t j = begin; j < end; j++)
            sum += (double)exp_of_negative(z[j] - largest);
    }
    return sum;
}

typedef struct row_sums {
    double largest; /* m */
    double rest;    /* r: the sum of exponentials is 1 + rest */
} row_sums;

/* e (may be NULL) receives exp(z_j - m). */
SONDE_CLONES
static row_sums soft_row(const float *z, size_t classes, float *e)
{
    size_t const top = place_of_largest(z, classes);
    float const largest = z[top];
    double rest = sum_exp(z, largest, 0, top, e);
    rest += sum_exp(z, largest, top + 1, classes, e);
    if (e)
        e[top] = exp_of_negative(z[top] - largest); /* 1, or NaN for infinite logits */
    if (!isfinite(largest))
        rest = NAN;
    return (row_sums){(double)largest, rest};
}

/* sum_j (z_j - m) */
static inline double sum_shifted(const float *z, size_t classes, double largest)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < classes; j++)
        sum += (double)z[j] - largest;
    return sum;
}

/* exponentials -> (probability - off) / n, where `off` is what smoothing gives to every class */
static inline void finish_gradient(float *g, size_t classes, double scale, double off)
{
    float const factor = (float)scale, shift = (float)off;
#pragma omp simd
    for (size_t j = 0; j < classes; j++)
        g[j] = g[j] * factor - shift;
}

SONDE_CLONES
double sonde__loss_cross_entropy(const float *logits, const int32_t *labels, size_t n,
                                 size_t classes, double smoothing, float *losses, float *gradient)
{
    double total = 0;
    double const off = smoothing / (double)classes, on = 1 - smoothing;
    double const mean = 1.0 / (double)n;
    for (size_t i = 0; i < n; i++) {
        assert(labels[i] >= 0 && (size_t)labels[i] < classes);
        const float *z = logits + i * classes;
        float *g = gradient ? gradient + i * classes : NULL;
        size_t const label = (size_t)labels[i];
        row_sums const row = soft_row(z, classes, g);
        double loss = log1p(row.rest) - on * ((double)z[label] - row.largest);
        if (off > 0)
            loss -= off * sum_shifted(z, classes, row.largest);
        if (g) {
            double const p = (double)g[label] / (1 + row.rest);
            finish_gradient(g, classes, mean / (1 + row.rest), off * mean);
            g[label] = (float)((p - on - off) * mean);
        }
        if (losses)
            losses[i] = (float)loss;
        total += loss;
    }
    return n ? total * mean : 0;
}

/* Targets need not sum to one: with T = sum_j t_j the loss is T log1p(r) - sum_j t_j d_j and its
 * gradient T p_j - t_j. */
SONDE_CLONES
double sonde__loss_cross_entropy_soft(const float *logits, const float *targets, size_t n,
                                      size_t classes, float *losses, float *gradient)
{
    double total = 0;
    double const mean = 1.0 / (double)n;
    for (size_t i = 0; i < n; i++) {
        const float *z = logits + i * classes, *t = targets + i * classes;
        float *g = gradient ? gradient + i * classes : NULL;
        row_sums const row = soft_row(z, classes, g);
        double mass = 0, dot = 0;
#pragma omp simd reduction(+ : mass, dot)
        for (size_t j = 0; j < classes; j++) {
            mass += (double)t[j];
            dot += (double)t[j] * ((double)z[j] - row.largest);
        }
        if (g) {
            double const scale = mass / (1 + row.rest);
#pragma omp simd
            for (size_t j = 0; j < classes; j++)
                g[j] = (float)(((double)g[j] * scale - (double)t[j]) * mean);
        }
        double const loss = mass * log1p(row.rest) - dot;
        if (losses)
            losses[i] = (float)loss;
        total += loss;
    }
    return n ? total * mean : 0;
}

SONDE_CLONES
double sonde__loss_squared(const float *outputs, const float *targets, size_t n, size_t classes,
                           float *losses, float *gradient)
{
    double total = 0;
    double const scale = 2.0 / ((double)n * (double)classes);
    for (size_t i = 0; i < n; i++) {
        const float *z = outputs + i * classes, *t = targets + i * classes;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t j = 0; j < classes; j++) {
            double const difference = (double)z[j] - (double)t[j];
            sum += difference * difference;
        }
        if (gradient) {
            float *g = gradient + i * classes;
#pragma omp simd
            for (size_t j = 0; j < classes; j++)
                g[j] = (float)(((double)z[j] - (double)t[j]) * scale);
        }
        double const loss = sum / (double)classes;
        if (losses)
            losses[i] = (float)loss;
        total += loss;
    }
    return n ? total / (double)n : 0;
}

/* max(z, 0) - z t + log(1 + exp(-|z|)); derivative sigmoid(z) - t. */
SONDE_CLONES
double sonde__loss_sigmoid(const float *logits, const float *targets, size_t n, size_t classes,
                           float *losses, float *gradient)
{
    double total = 0;
    double const scale = 1.0 / ((double)n * (double)classes);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < classes; j++) {
            double const z = (double)logits[i * classes + j];
            double const t = (double)targets[i * classes + j];
            double const e = (double)exp_of_negative((float)-fabs(z));
            sum += (z > 0 ? z : 0) - z * t + log1p(e);
            double const sigmoid = z >= 0 ? 1 / (1 + e) : e / (1 + e);
            if (gradient)
                gradient[i * classes + j] = (float)((sigmoid - t) * scale);
        }
        double const loss = sum / (double)classes;
        if (losses)
            losses[i] = (float)loss;
        total += loss;
    }
    return n ? total / (double)n : 0;
}
