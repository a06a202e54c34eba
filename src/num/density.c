/*
 * Density from quadrature nodes: atoms split off, the rest by a continued fraction with terminator.
 *
 *   G(z) = 1 / (z - a_0 - b_1^2 / (z - a_1 - ... - b_K^2 T(z))),
 *   T(z) = (z - m - sqrt((z - low)(z - high))) / (2 B^2),  m = (low + high) / 2,  B = (high - low) / 4,
 *
 * and density = -Im G(x + i0) / pi on [low, high]. Source: Haydock 1980, Solid State Physics 35.
 */
#include "num/density.h"

#include <complex.h>
#include <math.h>
#include <string.h>

#include "num/lanczos.h"
#include "num/singular.h"
#include "num/tracy_widom.h"

enum { STEPS = SONDE__LANCZOS_STEPS, NODES = SONDE__LANCZOS_NODES, BLOCK = SONDE__BLOCK };
enum { EXACT_BELOW = 768, GRID = 4096 };
/* The last two coefficients of the bulk are left out: they hold what is not known of the outliers that
 * were taken away, whose highest powers are huge. */
enum { COEFFICIENTS = STEPS - 2 };
/* A node is an eigenvalue when its residual is this share of it. */
static const double CONVERGED = 1e-3;
/* Mass near zero is taken apart where it is this much: rank collapse, not the tail of a hard edge. */
static const double COLLAPSED_MASS = 0.05, COLLAPSED = 1e-3, ROUNDING = 3e-5;
/* An edge of the law is taken for the bulk's where the outermost node is that near, in widths. */
static const double NEAR = 0.02;

/* What the nodes say: counts of eigenvalues near zero and above the bulk, nodes [first, last) between
 * with weights that sum to 1. */
typedef struct parts {
    size_t n, zeros, outliers;
    size_t first, last;
    double weights[NODES];
} parts;

static double mean_weight(const sonde__lanczos *l, size_t node)
{
    double sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += l->weights[node][i];
    return sum / BLOCK;
}

/* Converged nodes above the edge that the rest of the trace allows a random bulk, from the top. */
static size_t count_outliers(const sonde__lanczos *l, size_t n, double c, double longer)
{
    double quantile = 0;
    sonde__tracy_widom_quantile(0.99, &quantile);
    double rest = l->mean * (double)n;
    size_t count = 0;
    while (count < NODES / 2) {
        const size_t j = NODES - 1 - count;
        const double edge =
            sonde__edge((rest - l->nodes[j]) / (double)(n - count - 1), c, longer, quantile);
        if (l->nodes[j] <= edge || l->residuals[j] > CONVERGED * l->nodes[j])
            break;
        rest -= l->nodes[j];
        count++;
    }
    return count;
}

/* Below it a node is zero: a thousandth of the median, or what products in float leave of nothing. */
static double zero_limit(const sonde__lanczos *l)
{
    double sum = 0;
    size_t j = 0;
    while (j + 1 < NODES && (sum += mean_weight(l, j)) < 0.5)
        j++;
    return fmax(COLLAPSED * l->nodes[j], ROUNDING * l->nodes[NODES - 1]);
}

static void take_apart(const sonde__lanczos *l, size_t n, size_t longer, parts *p)
{
    const double limit = zero_limit(l);
    double mass = 0, total = 0;
    *p = (parts){.n = n, .last = NODES};
    p->outliers = count_outliers(l, n, (double)n / (double)longer, (double)longer);
    p->last -= p->outliers;
    while (p->first + 1 < p->last && l->nodes[p->first] <= limit)
        mass += mean_weight(l, p->first++);
    if (mass < COLLAPSED_MASS)
        mass = 0, p->first = 0;
    p->zeros = (size_t)(mass * (double)n + 0.5);
    for (size_t j = p->first; j < p->last; j++)
        total += p->weights[j] = mean_weight(l, j);
    for (size_t j = p->first; j < p->last; j++)
        p->weights[j] /= total;
}

/* Tilts the weights so that the bulk's mean is what the trace leaves for it: the exact first moment
 * instead of the start vectors' estimate. */
static void correct_mean(const sonde__lanczos *l, parts *p)
{
    double rest = l->mean * (double)p->n, mean = 0, variance = 0;
    for (size_t j = p->last; j < NODES; j++)
        rest -= l->nodes[j];
    const double wanted = rest / (double)(p->n - p->outliers - p->zeros);
    for (size_t j = p->first; j < p->last; j++)
        mean += p->weights[j] * l->nodes[j];
    for (size_t j = p->first; j < p->last; j++)
        variance += p->weights[j] * (l->nodes[j] - mean) * (l->nodes[j] - mean);
    const double range = fmax(l->nodes[p->last - 1] - mean, mean - l->nodes[p->first]);
    const double tilt = (wanted - mean) / variance;
    if (!(variance > 0) || !(fabs(tilt) * range < 0.5))
        return;
    for (size_t j = p->first; j < p->last; j++)
        p->weights[j] *= 1 + tilt * (l->nodes[j] - mean);
}

/* The first coefficients of the bulk's continued fraction: Stieltjes' procedure, that is
 * Lanczos on the diagonal matrix of the nodes with start vector sqrt(weights). */
static size_t coefficients(const sonde__lanczos *l, const parts *p, double *a, double *b_squared)
{
    double before[NODES] = {0}, now[NODES] = {0}, norm_before = 1;
    for (size_t j = p->first; j < p->last; j++)
        now[j] = 1;
    for (size_t k = 0; k < COEFFICIENTS; k++) {
        double norm = 0, moment = 0;
        for (size_t j = p->first; j < p->last; j++) {
            norm += p->weights[j] * now[j] * now[j];
            moment += p->weights[j] * now[j] * now[j] * l->nodes[j];
        }
        if (!(norm > 0))
            return k;
        a[k] = moment / norm;
        b_squared[k] = k > 0 ? norm / norm_before : 0;
        for (size_t j = p->first; j < p->last; j++) {
            const double next = (l->nodes[j] - a[k]) * now[j] - b_squared[k] * before[j];
            before[j] = now[j];
            now[j] = next;
        }
        norm_before = norm;
    }
    return COEFFICIENTS;
}

typedef struct fraction {
    double low, high;
    double a[COEFFICIENTS], b_squared[COEFFICIENTS];
    size_t count;
} fraction;

static double density_at(const fraction *f, double x)
{
    const double middle = (f->low + f->high) / 2, b = (f->high - f->low) / 4;
    const double under = (x - f->low) * (f->high - x);
    if (!(under > 0))
        return 0;
    double complex t = (x - middle + I * sqrt(under)) / (2 * b * b);
    double b_squared = b * b;
    for (size_t k = f->count; k-- > 0;) {
        t = 1 / (x - f->a[k] - b_squared * t);
        b_squared = f->b_squared[k];
    }
    return fabs(cimag(t)) / M_PI;
}

/* A cumulative distribution: straight lines between points; both ascending, `mass` from 0. */
typedef struct distribution {
    double x[GRID + 1], mass[GRID + 1];
} distribution;

/* Of the fraction, on a grid that is fine at both edges: x = middle - half cos. */
static void integrate(const fraction *f, distribution *d)
{
    const double middle = (f->low + f->high) / 2, half = (f->high - f->low) / 2;
    double before = 0;
    for (size_t g = 0; g <= GRID; g++) {
        const double angle = M_PI * (double)g / GRID;
        d->x[g] = middle - half * cos(angle);
        const double now = density_at(f, d->x[g]) * sin(angle);
        d->mass[g] = g > 0 ? d->mass[g - 1] + (before + now) / 2 : 0;
        before = now;
    }
}

static double straight(double from, double to, double share)
{
    return from + (share >= 0 && share <= 1 ? share : 0.5) * (to - from);
}

/* Largest distance of two distributions on the same grid. */
static double distance(const distribution *d, const distribution *other)
{
    double worst = 0;
    for (size_t g = 0; g <= GRID; g++)
        worst = fmax(worst, fabs(d->mass[g] / d->mass[GRID] - other->mass[g] / other->mass[GRID]));
    return worst;
}

/* Quantiles at (i + 1/2) / count. */
static void invert(const distribution *d, size_t count, double *values)
{
    size_t g = 1;
    for (size_t i = 0; i < count; i++) {
        const double wanted = ((double)i + 0.5) / (double)count * d->mass[GRID];
        while (g < GRID && d->mass[g] < wanted)
            g++;
        const double share = (wanted - d->mass[g - 1]) / (d->mass[g] - d->mass[g - 1]);
        values[i] = straight(d->x[g - 1], d->x[g], share);
    }
}

/* 1.96 standard errors of the cumulative distribution where the start vectors disagree most. */
static double start_error(const sonde__lanczos *l, const parts *p)
{
    double sums[BLOCK] = {0}, worst = 0;
    for (size_t j = 0; j < p->last; j++) {
        double mean = 0, square = 0;
        for (int i = 0; i < BLOCK; i++) {
            sums[i] += l->weights[j][i];
            mean += sums[i] / BLOCK;
        }
        for (int i = 0; i < BLOCK; i++)
            square += (sums[i] - mean) * (sums[i] - mean);
        worst = fmax(worst, square);
    }
    return 1.96 * sqrt(worst / (BLOCK * (BLOCK - 1)));
}

/* The bulk's support: from the first to the last node, which lie a little inside it; the law's own
 * edges where those are near. */
static void set_support(const sonde__lanczos *l, const parts *p, double c, fraction *f)
{
    double mean = 0;
    for (size_t j = p->first; j < p->last; j++)
        mean += p->weights[j] * l->nodes[j];
    const double low = mean * (1 - sqrt(c)) * (1 - sqrt(c)),
                 high = mean * (1 + sqrt(c)) * (1 + sqrt(c));
    const double first = fmax(l->nodes[p->first], 0), last = l->nodes[p->last - 1];
    const double near = NEAR * (high - low);
    f->low = low < first && first - low < near && p->zeros == 0 ? low : first;
    f->high = high > last && high - last < near ? high : last;
}

/* Returns the error: of the start vectors, and of resolution as what the last third of the
 * coefficients still changed. `room` is for two distributions. */
static double estimate_bulk(const sonde__lanczos *l, const parts *p, double c, distribution *room,
                            double *values)
{
    fraction f;
    const size_t count = p->n - p->zeros - p->outliers;
    set_support(l, p, c, &f);
    if (!(f.high > f.low)) {
        for (size_t i = 0; i < count; i++)
            values[i] = f.low;
        return start_error(l, p);
    }
    f.count = coefficients(l, p, f.a, f.b_squared);
    integrate(&f, &room[0]);
    f.count -= f.count / 3;
    integrate(&f, &room[1]);
    invert(&room[0], count, values);
    return start_error(l, p) + distance(&room[0], &room[1]);
}

static sonde_status fill(sonde_context *context, const sonde__lanczos *l, size_t n, size_t longer,
                         double *values, sonde__density *density)
{
    distribution *const room = sonde__alloc_quiet(context, 2, sizeof *room);
    parts p;
    if (!room)
        return SONDE_ERROR_MEMORY;
    take_apart(l, n, longer, &p);
    correct_mean(l, &p);
    memset(values, 0, p.zeros * sizeof *values);
    density->error_bound = estimate_bulk(l, &p, (double)n / (double)longer, room, values + p.zeros);
    for (size_t i = 0; i < p.outliers; i++)
        values[n - p.outliers + i] = l->nodes[p.last + i];
    density->outliers = p.outliers;
    sonde__free(context, room);
    return SONDE_OK;
}

static sonde_status exact(sonde_context *context, const sonde__tiles *tiles, double *values,
                          sonde__density *density)
{
    const size_t n = tiles->rows < tiles->cols ? tiles->rows : tiles->cols;
    const size_t longer = tiles->rows < tiles->cols ? tiles->cols : tiles->rows;
    sonde__svd_facts facts;
    SONDE_TRY(sonde__singular_values(context, tiles, SONDE__SVD_GRAM, values, &facts));
    for (size_t i = 0; i < n; i++)
        values[i] *= values[i] / (double)longer;
    density->nonfinite = facts.nonfinite;
    density->exponent = facts.exponent;
    return SONDE_OK;
}

sonde_status sonde__spectral_density(sonde_context *context, const sonde__tiles *tiles,
                                     double *values, sonde__density *density)
{
    const size_t n = tiles->rows < tiles->cols ? tiles->rows : tiles->cols;
    const size_t longer = tiles->rows < tiles->cols ? tiles->cols : tiles->rows;
    *density = (sonde__density){0};
    if (n < EXACT_BELOW)
        return exact(context, tiles, values, density);
    sonde__lanczos *const lanczos = sonde__alloc_quiet(context, 1, sizeof *lanczos);
    if (!lanczos)
        return SONDE_ERROR_MEMORY;
    sonde_status status = sonde__lanczos_run(context, tiles, lanczos);
    density->nonfinite = lanczos->nonfinite;
    density->exponent = lanczos->exponent;
    if (status == SONDE_OK && lanczos->nonfinite == 0)
        status = fill(context, lanczos, n, longer, values, density);
    else
        memset(values, 0, n * sizeof *values);
    sonde__free(context, lanczos);
    return status;
}

size_t sonde__spectral_density_memory(size_t rows, size_t cols)
{
    const size_t n = rows < cols ? rows : cols;
    if (n < EXACT_BELOW)
        return sonde__singular_values_memory(rows, cols, SONDE__SVD_GRAM);
    return sonde__lanczos_memory(rows, cols) + sizeof(sonde__lanczos);
}

double sonde__spectral_density_work(size_t rows, size_t cols)
{
    const size_t n = rows < cols ? rows : cols;
    if (n < EXACT_BELOW)
        return sonde__singular_values_work(rows, cols, SONDE__SVD_GRAM);
    return 4.0 * (double)rows * (double)cols * BLOCK * STEPS;
}
