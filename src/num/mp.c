/*
 * The Marchenko-Pastur law: density, distribution function in closed form, quantiles by Newton steps
 * kept inside a bracket, and the exact L1 distance from a constant over an interval.
 * Invariant: low = sigma2 (1 - sqrt c)^2, high = sigma2 (1 + sqrt c)^2, c in (0, 1].
 */
#include "num/mp.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

sonde__mp sonde__mp_from_shape(double c, double sigma2)
{
    const double root = sqrt(c);
    return (sonde__mp){c, sigma2, sigma2 * (1 - root) * (1 - root),
                       sigma2 * (1 + root) * (1 + root)};
}

sonde__mp sonde__mp_from_extremes(double low, double high)
{
    const double sigma = (sqrt(high) + sqrt(low)) / 2;
    const double spread = (sqrt(high) - sqrt(low)) / 2; /* sigma sqrt c */
    return (sonde__mp){(spread / sigma) * (spread / sigma), sigma * sigma, low, high};
}

double sonde__mp_density(const sonde__mp *law, double x)
{
    if (!(x >= law->low && x <= law->high))
        return 0;
    const double scale = 2 * PI * law->c * law->sigma2;
    if (x <= 0)
        return law->low > 0 ? 0 : INFINITY;
    return sqrt((law->high - x) * (x - law->low)) / (scale * x);
}

/*
 * With R = (b - x)(x - a), an antiderivative of sqrt(R) / x is
 *   sqrt R + (a + b)/2 asin((2x - a - b)/(b - a)) - sqrt(ab) asin(((a + b) x - 2ab)/(x (b - a))),
 * here with arc tangents, which stay exact near the ends where an arc sine does not.
 */
double sonde__mp_cdf(const sonde__mp *law, double x)
{
    const double a = law->low, b = law->high;
    if (!(x > a))
        return 0;
    if (x >= b)
        return 1;
    const double root = sqrt((b - x) * (x - a)), product = sqrt(a) * sqrt(b);
    const double first = (a + b) / 2 * (atan2(2 * x - a - b, 2 * root) + PI / 2);
    const double second =
        product > 0
            ? product * (atan2((a + b) * (x / b) - 2 * a, 2 * product * (root / b)) + PI / 2)
            : 0;
    const double value = (root + first - second) / (2 * PI * law->c * law->sigma2);
    return fmin(fmax(value, 0), 1);
}

/* The root of cdf(x) = p in [low, high], from `start`. */
static double solve_quantile(const sonde__mp *law, double p, double low, double high, double start)
{
    double x = start;
    for (int step = 0; step < 200; step++) {
        const double error = sonde__mp_cdf(law, x) - p;
        if (error == 0)
            return x;
        if (error > 0)
            high = x;
        else
            low = x;
        const double slope = sonde__mp_density(law, x);
        double next = x - error / slope;
        if (!(next > low && next < high)) /* also when the slope is 0 or infinite */
            next = low + (high - low) / 2;
        if (fabs(next - x) <= 4e-16 * law->high || next == low || next == high)
            return next;
        x = next;
    }
    return x;
}

double sonde__mp_quantile(const sonde__mp *law, double p)
{
    if (!(p > 0))
        return law->low;
    if (p >= 1)
        return law->high;
    return solve_quantile(law, p, law->low, law->high, (law->low + law->high) / 2);
}

void sonde__mp_quantiles(const sonde__mp *law, size_t n, size_t first, size_t last, double *q)
{
    double from = law->low;
    for (size_t k = first; k < last; k++) {
        const double p = ((double)k + 0.5) / (double)n;
        const double slope = sonde__mp_density(law, from);
        double start = k > first && slope > 0 ? from + 1 / (slope * (double)n) : law->high;
        if (!(start > from && start < law->high))
            start = from + (law->high - from) / 2;
        from = solve_quantile(law, p, from, law->high, start);
        q[k - first] = from;
    }
}

/* Where p(x) = height: the roots of (1 + K^2) x^2 - (a + b) x + a b with K = 2 pi c sigma2 height. */
static int crossings(const sonde__mp *law, double height, double *roots)
{
    const double k = 2 * PI * law->c * law->sigma2 * height;
    const double quadratic = 1 + k * k, sum = law->low + law->high;
    const double product = law->low * law->high;
    const double discriminant = sum * sum - 4 * quadratic * product;
    if (discriminant < 0)
        return 0;
    const double larger = (sum + sqrt(discriminant)) / (2 * quadratic);
    roots[0] = product / (quadratic * larger); /* without cancellation */
    roots[1] = larger;
    return 2;
}

double sonde__mp_bin_distance(const sonde__mp *law, double from, double to, double height)
{
    double cuts[4] = {from}, roots[2];
    int count = 1;
    const int found = crossings(law, height, roots);
    for (int i = 0; i < found; i++)
        if (roots[i] > cuts[count - 1] && roots[i] < to)
            cuts[count++] = roots[i];
    cuts[count++] = to;
    double total = 0, before = sonde__mp_cdf(law, from);
    for (int i = 1; i < count; i++) { /* the sign of height - p is constant on each piece */
        const double after = sonde__mp_cdf(law, cuts[i]);
        total += fabs(height * (cuts[i] - cuts[i - 1]) - (after - before));
        before = after;
    }
    return total;
}
