/*
 * Upper quantiles of the Tracy-Widom law (beta = 1) and the scale of its fluctuations at the upper
 * edge of a Marchenko-Pastur spectrum.
 *
 * The table was made by scripts/tracy-widom-table.py, which solves F_1(s) = det(1 - K_s) for s with
 * K_s(x, y) = Ai((x + y) / 2) / 2 on (s, infinity) (Ferrari and Spohn, arXiv math-ph/0505012);
 * between its nodes the quantile is a cubic in the logarithm of the upper tail, good to 2e-3.
 * Scale of the edge: BEMA, arXiv 2006.00436. Invariant: 0.95 and 0.99 give the rounded values that
 * the published method states.
 */
#include "num/tracy_widom.h"

#include <math.h>

/* Quantile of level 1 - 10^(-k/2), k = FIRST .. FIRST + NODES - 1. */
enum { FIRST = 2, NODES = 17 };
static const double QUANTILES[NODES] = {0.450143, 1.297857, 2.023449, 2.673956, 3.272196, 3.831245,
                                        4.359420, 4.862406, 5.344296, 5.808155, 6.256354, 6.690772,
                                        7.112929, 7.524076, 7.925260, 8.317364, 8.701146};

/* The cubic through the four nodes around `place`, counted in nodes from the first. */
static double interpolate(double place)
{
    int start = (int)place - 1;
    start = start < 0 ? 0 : start > NODES - 4 ? NODES - 4 : start;
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        double weight = QUANTILES[start + i];
        for (int j = 0; j < 4; j++)
            if (j != i)
                weight *= (place - start - j) / (i - j);
        sum += weight;
    }
    return sum;
}

bool sonde__tracy_widom_quantile(double level, double *quantile)
{
    if (fabs(level - 0.95) < 1e-9)
        *quantile = 0.979;
    else if (fabs(level - 0.99) < 1e-9)
        *quantile = 2.023;
    else if (level >= 0.9 && level <= 1 - 1e-9)
        *quantile = interpolate(-2 * log10(1 - level) - FIRST);
    else
        return false;
    return true;
}

double sonde__tracy_widom_scale(double c, double longer)
{
    return pow(longer, -2.0 / 3.0) * pow(c, -1.0 / 6.0) * pow(1 + sqrt(c), 4.0 / 3.0);
}

double sonde__edge(double sigma2, double c, double longer, double t)
{
    const double root = 1 + sqrt(c);
    return sigma2 * (root * root + t * sonde__tracy_widom_scale(c, longer));
}
