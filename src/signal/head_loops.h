/*
 * The loops of the head probe that run over every logit, feature or weight, written so that they
 * become vector code for each instruction set: conversion, exponentials, maxima, sums. A part of
 * head_rows.c, since only static functions can be compiled for several instruction sets.
 *
 * Invariant: the order of each sum depends on the length alone.
 */
#ifndef SONDE_SIGNAL_HEAD_LOOPS_H
#define SONDE_SIGNAL_HEAD_LOOPS_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

/*
 * exp(x) for x <= 0, to a unit in the last place or two; 0 below -708. Written as plain arithmetic so
 * that loops over it become vector code: x = n log 2 + r, a polynomial in r, and n put in the exponent.
 */
static inline double exp_negative(double x)
{
    const double shift = 0x1.8p52 + 1023; /* adding it leaves n + 1023, rounded, in the low bits */
    double kept = x < -708.0 ? -708.0 : x;
    double n_shifted = kept * 0x1.71547652b82fep0 + shift;
    double n = n_shifted - shift;
    double r = kept - n * 0x1.62e42fefa3800p-1;
    r = r - n * 0x1.ef35793c76730p-45;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits;
    memcpy(&bits, &n_shifted, sizeof bits);
    bits <<= 52; /* to the place of the exponent */
    double power;
    memcpy(&power, &bits, sizeof power);
    return x < -708.0 ? 0.0 : p * power;
}

SONDE_CLONES
static void convert_floats(double *out, const float *in, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = (double)in[i];
}

SONDE_CLONES
static bool all_finite(const double *x, size_t n)
{
    int bad = 0;
#pragma omp simd reduction(| : bad)
    for (size_t i = 0; i < n; i++)
        bad |= !(fabs(x[i]) <= DBL_MAX);
    return !bad;
}

static inline double larger(double a, double b)
{
    return a > b ? a : b;
}

/* -infinity for none. By quarters, since each maximum waits for the one before it. */
SONDE_CLONES
static double largest_of(const double *x, size_t n)
{
    double a = -INFINITY, b = a, c = a, d = a;
    size_t quarter = n / 4;
    const double *second = x + quarter, *third = second + quarter, *fourth = third + quarter;
#pragma omp simd reduction(max : a, b, c, d)
    for (size_t i = 0; i < quarter; i++) {
        a = larger(a, x[i]);
        b = larger(b, second[i]);
        c = larger(c, third[i]);
        d = larger(d, fourth[i]);
    }
    for (size_t i = 4 * quarter; i < n; i++)
        a = larger(a, x[i]);
    return larger(larger(a, b), larger(c, d));
}

/* exps[i] = exp(x - largest); their sum, and that of exp(x - largest) (x - largest). */
SONDE_CLONES
static double exp_sums(const double *restrict x, size_t n, double largest, double *restrict exps,
                       double *weighted)
{
    double sum = 0, sum_weighted = 0;
#pragma omp simd reduction(+ : sum, sum_weighted)
    for (size_t i = 0; i < n; i++) {
        double shifted = x[i] - largest;
        double e = exp_negative(shifted);
        exps[i] = e;
        sum += e;
        sum_weighted += e * shifted;
    }
    *weighted = sum_weighted;
    return sum;
}

SONDE_CLONES
static void softmax(double *x, size_t n, double largest, double scale)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        x[i] = exp_negative(x[i] - largest) * scale;
}

SONDE_CLONES
static void add_to(double *sums, const double *x, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        sums[i] += x[i];
}

SONDE_CLONES
static void scale_all(double *x, size_t n, double factor)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

/* The first element that equals `value`, or the last one. Whole stretches are passed over first. */
SONDE_CLONES
static size_t first_equal(const double *x, size_t n, double value)
{
    enum { STEP = 64 };
    size_t i = 0;
    for (int found = 0; i + STEP < n; i += STEP) {
#pragma omp simd reduction(| : found)
        for (size_t j = 0; j < STEP; j++)
            found |= x[i + j] == value;
        if (found)
            break;
    }
    while (i + 1 < n && x[i] != value)
        i++;
    return i;
}

SONDE_CLONES
static double sum_of_squares(const double *x, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

/* In double, straight from the caller's floats; by quarters, since each sum waits for the one before
 * it. */
SONDE_CLONES
static double sum_of_float_squares(const float *x, size_t n)
{
    double a = 0, b = 0, c = 0, d = 0;
    size_t quarter = n / 4;
    const float *second = x + quarter, *third = second + quarter, *fourth = third + quarter;
#pragma omp simd reduction(+ : a, b, c, d)
    for (size_t i = 0; i < quarter; i++) {
        a += (double)x[i] * (double)x[i];
        b += (double)second[i] * (double)second[i];
        c += (double)third[i] * (double)third[i];
        d += (double)fourth[i] * (double)fourth[i];
    }
    for (size_t i = 4 * quarter; i < n; i++)
        a += (double)x[i] * (double)x[i];
    return (a + b) + (c + d);
}

#endif
