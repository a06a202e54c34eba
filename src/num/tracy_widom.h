/*
 * The Tracy-Widom law (beta = 1): fluctuations of the largest eigenvalue of a random covariance
 * matrix. Scale of the edge: BEMA, arXiv 2006.00436.
 */
#ifndef SONDE_NUM_TRACY_WIDOM_H
#define SONDE_NUM_TRACY_WIDOM_H

#include <stdbool.h>

/* Quantile for a level in [0.9, 1 - 1e-9]; false for any other level. */
bool sonde__tracy_widom_quantile(double level, double *quantile);
/* One Tracy-Widom unit at the upper edge, for eigenvalues s^2 / N of unit variance:
 * N^(-2/3) c^(-1/6) (1 + sqrt c)^(4/3). */
double sonde__tracy_widom_scale(double c, double longer);
/* sigma2 ((1 + sqrt c)^2 + t scale): where a null spectrum ends, at quantile t. */
double sonde__edge(double sigma2, double c, double longer, double t);

#endif
