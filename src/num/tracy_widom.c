/*
 * Two quantiles of the Tracy-Widom law (beta = 1) and the scale of its fluctuations at the upper
 * edge of a Marchenko-Pastur spectrum. Source: methods section 3.3; BEMA, arXiv 2006.00436.
 */
#include "num/tracy_widom.h"

#include <math.h>

bool sonde__tracy_widom_quantile(double level, double *quantile)
{
    if (fabs(level - 0.95) < 1e-9)
        *quantile = 0.979;
    else if (fabs(level - 0.99) < 1e-9)
        *quantile = 2.023;
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
