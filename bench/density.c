/*
 * The spectral density by block Lanczos (`sonde spectrum --fast`) against all singular values, on one
 * planted matrix a kind, as a Markdown table: seconds of each on one thread, the type and the count
 * of spikes that each gives, the error that is stated and the one that there is.
 *
 *     bench_density [rows cols]        default: 4096 14336
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/thread.h"
#include "num/density.h"
#include "num/singular.h"

static sonde_context *context;
static size_t rows = 4096, cols = 14336;

static void check(sonde_status status, const char *what)
{
    if (status == SONDE_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, sonde_status_name(status));
    exit(1);
}

static void fill_gaussian(float *w, uint64_t index)
{
    sonde__stream stream = sonde__stream_open(7, SONDE__RANDOM_TEST, index);
    for (size_t i = 0; i < rows * cols; i++)
        w[i] = (float)(0.02 * sonde__random_normal(&stream));
}

/* Rank-one signals whose singular values stand at 1.2, 1.4, ... times the bulk's upper edge. */
static void plant_spikes(float *w, int count)
{
    const double longer = (double)(rows > cols ? rows : cols), n = (double)(rows + cols) - longer;
    const double edge = 0.02 * (sqrt(n) + sqrt(longer));
    for (int k = 0; k < count; k++) {
        sonde__stream stream = sonde__stream_open(8, SONDE__RANDOM_TEST, (uint64_t)k);
        float *const u = malloc((rows + cols) * sizeof *u), *const v = u + rows;
        for (size_t i = 0; u && i < rows + cols; i++)
            u[i] = sonde__random_u32(&stream) & 1 ? 1.0f : -1.0f;
        const double size = edge * (1.2 + 0.2 * k) / sqrt((double)rows * (double)cols);
        for (size_t i = 0; u && i < rows; i++)
            for (size_t j = 0; j < cols; j++)
                w[i * cols + j] += (float)(size * (double)u[i] * (double)v[j]);
        free(u);
    }
}

/* Symmetric entries with Pareto tails of index 2.5: finite variance, infinite fourth moment. */
static void fill_heavy(float *w)
{
    sonde__stream stream = sonde__stream_open(9, SONDE__RANDOM_TEST, 0);
    for (size_t i = 0; i < rows * cols; i++) {
        const double uniform = 1 - sonde__random_uniform(&stream);
        const double sign = sonde__random_u32(&stream) & 1 ? 1 : -1;
        w[i] = (float)(0.02 * sign * (pow(uniform, -1 / 2.5) - 1));
    }
}

static void make(float *w, const char *kind)
{
    if (strcmp(kind, "heavy-tailed entries") == 0) {
        fill_heavy(w);
        return;
    }
    fill_gaussian(w, 1);
    if (strcmp(kind, "5 spikes") == 0)
        plant_spikes(w, 5);
    if (strcmp(kind, "20 spikes") == 0)
        plant_spikes(w, 20);
    if (strcmp(kind, "rows of two variances") == 0)
        for (size_t i = 0; i < rows / 2 * cols; i++)
            w[i] *= 3;
    if (strcmp(kind, "half of the rows repeated") == 0)
        memcpy(w + rows / 2 * cols, w, rows / 2 * cols * sizeof *w);
}

typedef struct result {
    double seconds, stated;
    sonde_spectrum_report report;
} result;

static void judge(double *x, size_t n, result *r)
{
    sonde_spectrum_options options;
    sonde_spectrum_options_init(&options);
    check(sonde_spectrum_judge(context, x, n, rows, cols, &options, &r->report), "judge");
}

static result run_exact(const sonde__tiles *tiles, double *x, size_t n)
{
    result r = {0};
    sonde__svd_facts facts;
    const double start = sonde__seconds();
    check(sonde__singular_values(context, tiles, SONDE__SVD_SQUARES, x, &facts), "exact");
    r.seconds = sonde__seconds() - start;
    for (size_t i = 0; i < n; i++)
        x[i] = ldexp(x[i] * x[i] / (double)(rows + cols - n), 2 * facts.exponent);
    judge(x, n, &r);
    return r;
}

static result run_fast(const sonde__tiles *tiles, double *x, size_t n)
{
    result r = {0};
    sonde__density density;
    const double start = sonde__seconds();
    check(sonde__spectral_density(context, tiles, x, &density), "fast");
    r.seconds = sonde__seconds() - start;
    r.stated = density.error_bound;
    for (size_t i = 0; i < n; i++)
        x[i] = ldexp(x[i], 2 * density.exponent);
    judge(x, n, &r);
    return r;
}

/* Kolmogorov's distance; values nearer than a hundred-thousandth of the largest are the same. */
static double distance(const double *a, const double *b, size_t n)
{
    const double slack = 1e-5 * a[n - 1];
    double worst = 0;
    for (size_t i = 0, j = 0; i < n; i++) {
        while (j < n && b[j] <= a[i] + slack)
            j++;
        size_t k = j;
        while (k > 0 && b[k - 1] >= a[i] - slack)
            k--;
        if (k > i)
            worst = fmax(worst, (double)(k - i) / (double)n);
        if (j < i)
            worst = fmax(worst, (double)(i - j) / (double)n);
    }
    return worst;
}

int main(int count, char **arguments)
{
    static const char *const kinds[] = {"random",
                                        "5 spikes",
                                        "20 spikes",
                                        "heavy-tailed entries",
                                        "rows of two variances",
                                        "half of the rows repeated"};
    if (count == 3) {
        rows = (size_t)strtoull(arguments[1], NULL, 10);
        cols = (size_t)strtoull(arguments[2], NULL, 10);
    }
    const size_t n = rows < cols ? rows : cols;
    float *const w = malloc(rows * cols * sizeof *w);
    double *const x = malloc(2 * n * sizeof *x), *const y = x + n;
    if (!w || !x || sonde_context_create(NULL, &context) != SONDE_OK)
        return 1;
    printf("Planted matrices of %zu x %zu, one thread.\n\n", rows, cols);
    printf("| planted | exact, s | fast, s | ratio | type | spikes | type, fast | spikes, fast | "
           "error stated | error |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        make(w, kinds[k]);
        const sonde_matrix matrix = {w, SONDE_F32, rows, cols, 0};
        const sonde__tiles tiles = sonde__tiles_of_matrix(&matrix);
        const result fast = run_fast(&tiles, y, n), exact = run_exact(&tiles, x, n);
        printf("| %s | %.2f | %.2f | %.1f | %s | %d | %s | %d | %.4f | %.4f |\n", kinds[k],
               exact.seconds, fast.seconds, exact.seconds / fast.seconds,
               sonde_spectrum_type_name(exact.report.type), exact.report.spikes,
               sonde_spectrum_type_name(fast.report.type), fast.report.spikes, fast.stated,
               distance(x, y, n));
        fflush(stdout);
    }
    free(x);
    free(w);
    sonde_context_free(context);
    return 0;
}
