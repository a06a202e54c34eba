/*
 * The Marchenko-Pastur law: the limit of the eigenvalues of W W^T / N for a random n x N matrix W of
 * independent entries with variance sigma^2, c = n / N in (0, 1].
 *
 *   p(x) = sqrt((b - x)(x - a)) / (2 pi c sigma^2 x) on [a, b],
 *   a, b = sigma^2 (1 -+ sqrt c)^2.
 *
 * The support determines the law: sigma = (sqrt b + sqrt a) / 2, sqrt(c) sigma = (sqrt b - sqrt a) / 2.
 */
#ifndef SONDE_NUM_MP_H
#define SONDE_NUM_MP_H

#include <stddef.h>

typedef struct sonde__mp {
    double c, sigma2;
    double low, high; /* a and b */
} sonde__mp;

/* c in (0, 1], sigma2 > 0. */
sonde__mp sonde__mp_from_shape(double c, double sigma2);
/* 0 <= low < high. */
sonde__mp sonde__mp_from_extremes(double low, double high);
/* 0 outside the support; infinite at x = 0 for c = 1. */
double sonde__mp_density(const sonde__mp *law, double x);
/* In closed form; 0 below the support and 1 above it. */
double sonde__mp_cdf(const sonde__mp *law, double x);
/* x with cdf(x) = p, for p in [0, 1]. */
double sonde__mp_quantile(const sonde__mp *law, double p);
/* Quantiles of p_k = (k + 1/2) / n for k = first .. last - 1 into q[0 ..]; one solve each, started
 * from the one before. */
void sonde__mp_quantiles(const sonde__mp *law, size_t n, size_t first, size_t last, double *q);
/* The integral of |height - p(x)| over [from, to], exactly: the bin is cut where p crosses the
 * height, and each piece integrated by the cdf. */
double sonde__mp_bin_distance(const sonde__mp *law, double from, double to, double height);

#endif
