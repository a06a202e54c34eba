/*
 * Evidence for the spectral criterion, as Markdown: the statistic of random matrices against the
 * published table, how often either threshold fires on them, whether planted spikes are counted, and
 * from which size on departures from the law are seen. One thread, a few minutes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/thread.h"
#include "signal/spectrum_null.h"

static sonde_context *context;
static uint64_t draw_number; /* every draw its own stream */

static void must(sonde_status status)
{
    if (status == SONDE_OK)
        return;
    fprintf(stderr, "evidence_null: %s\n", sonde_status_sentence(status));
    exit(1);
}

static sonde_spectrum_options default_options(void)
{
    sonde_spectrum_options options;
    sonde_spectrum_options_init(&options);
    return options;
}

/* Statistics of `draws` fresh random matrices, by the bidiagonal model. */
static double *draw_statistics(size_t n, double c, int draws, const sonde_spectrum_options *options)
{
    sonde__spectrum_ensemble shape;
    must(sonde__spectrum_ensemble_init(context, n, (size_t)lround((double)n / c), options, &shape));
    double *const values = malloc((size_t)draws * sizeof *values);
    double *const room = malloc(sonde__spectrum_null_room(n) * sizeof *room);
    if (!values || !room)
        exit(1);
    for (int i = 0; i < draws; i++) {
        sonde__stream stream = sonde__stream_open(20231, SONDE__RANDOM_TEST, draw_number++);
        must(sonde__spectrum_null_draw(&shape, &stream, n >= 64, room, &values[i]));
    }
    free(room);
    sonde__spectrum_ensemble_free(context, &shape);
    return values;
}

static double mean_of(const double *values, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += values[i];
    return sum / n;
}

static double share_over(const double *values, int n, double threshold)
{
    int over = 0;
    for (int i = 0; i < n; i++)
        over += values[i] > threshold;
    return (double)over / n;
}

/* --- 1. the null table ---------------------------------------------------------------------- */

static void null_table(void)
{
    enum { SIZES = 7, SHAPES = 9 };
    const size_t sizes[SIZES] = {32, 64, 100, 192, 384, 500, 1000};
    const double shapes[SHAPES] = {0.10, 0.25, 0.50, 0.64, 0.75, 0.80, 0.90, 0.95, 1.00};
    /* Methods section 3.2. */
    const double published[SHAPES][SIZES] = {
        {.32, .27, .24, .20, .18, .17, .15}, {.31, .27, .24, .21, .18, .18, .16},
        {.31, .27, .24, .21, .19, .19, .18}, {.36, .31, .29, .26, .23, .23, .20},
        {.41, .37, .37, .34, .30, .31, .27}, {.45, .41, .41, .39, .35, .37, .32},
        {.52, .50, .51, .51, .48, .50, .47}, {.57, .56, .58, .58, .56, .59, .57},
        {.62, .61, .63, .64, .64, .67, .67}};
    sonde_spectrum_options options = default_options();
    options.remove_spikes = false;
    printf("## The statistic of random matrices\n\nMean over 400 draws; in brackets what was "
           "measured before (methods, section 3.2).\n\n| c = n/N |");
    for (int j = 0; j < SIZES; j++)
        printf(" n = %zu |", sizes[j]);
    printf("\n|---|---|---|---|---|---|---|---|\n");
    double worst = 0;
    for (int i = 0; i < SHAPES; i++) {
        printf("| %.2f |", shapes[i]);
        for (int j = 0; j < SIZES; j++) {
            double *const values = draw_statistics(sizes[j], shapes[i], 400, &options);
            const double mean = mean_of(values, 400);
            worst = fmax(worst, fabs(mean - published[i][j]));
            printf(" %.3f (%.2f) |", mean, published[i][j]);
            free(values);
        }
        printf("\n");
    }
    printf("\nLargest difference: %.3f.\n\n", worst);
}

/* --- 2. false alarms ------------------------------------------------------------------------ */

static void false_alarms(void)
{
    enum { DRAWS = 4000 };
    const size_t sizes[] = {10, 16, 32, 64, 100, 128, 256, 512};
    const double shapes[] = {0.10, 0.25, 0.50, 0.75, 0.80, 0.90, 1.00};
    const sonde_spectrum_options options = default_options();
    printf("## False alarms\n\nShare of %d fresh random matrices over the published threshold "
           "(C = 0.4), and over the threshold calibrated for a rate of 0.010, spikes removed "
           "first. One standard error of 0.010 is %.4f. **Bold**: shapes for which the threshold "
           "is given out.\n\n| n | c | mean | calibrated threshold | published fires | calibrated "
           "fires |\n|---|---|---|---|---|---|\n",
           DRAWS, sqrt(0.01 * 0.99 / DRAWS));
    double worst_published = 0, worst_calibrated = 0, sum = 0;
    int count = 0;
    for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const size_t n = sizes[j];
            sonde__spectrum_ensemble shape;
            sonde__spectrum_null null;
            must(sonde__spectrum_ensemble_init(context, n, (size_t)lround((double)n / shapes[i]),
                                               &options, &shape));
            must(sonde__spectrum_null_find(context, &shape, &options, &null));
            sonde__spectrum_ensemble_free(context, &shape);
            double *const values = draw_statistics(n, shapes[i], DRAWS, &options);
            const double old = share_over(values, DRAWS, 0.4);
            const double new = share_over(values, DRAWS, null.threshold);
            const bool use_old = n >= 64 && shapes[i] <= 0.8 && null.threshold <= 1.05 * 0.4;
            const bool use_new = n >= 16;
            const char *const bold_old = use_old ? "**" : "", *const bold_new = use_new ? "**" : "";
            printf("| %zu | %.2f | %.3f | %.3f | %s%.3f%s | %s%.3f%s |\n", n, shapes[i],
                   mean_of(values, DRAWS), null.threshold, bold_old, old, bold_old, bold_new, new,
                   bold_new);
            free(values);
            if (use_old)
                worst_published = fmax(worst_published, old);
            if (use_new) {
                worst_calibrated = fmax(worst_calibrated, new);
                sum += new;
                count++;
            }
        }
    printf("\nWhere they are given out: published at most %.3f; calibrated at most %.3f, %.4f on "
           "average over the %d shapes.\n\n",
           worst_published, worst_calibrated, sum / count, count);
}

/* --- 3. entries that are not Gaussian ------------------------------------------------------- */

typedef double (*entry_fn)(sonde__stream *stream);

static double gaussian_entry(sonde__stream *stream)
{
    return sonde__random_normal(stream);
}

static double uniform_entry(sonde__stream *stream)
{
    return sonde__random_uniform(stream) - 0.5;
}

static double laplace_entry(sonde__stream *stream)
{
    const double u = sonde__random_uniform(stream) - 0.5;
    return (u < 0 ? 1 : -1) * log(1 - 2 * fabs(u) + 1e-300);
}

static float *make_matrix(size_t rows, size_t cols, entry_fn entry)
{
    float *const values = malloc(rows * cols * sizeof *values);
    if (!values)
        exit(1);
    sonde__stream stream = sonde__stream_open(20232, SONDE__RANDOM_TEST, draw_number++);
    for (size_t i = 0; i < rows * cols; i++)
        values[i] = (float)entry(&stream);
    return values;
}

static void whole_matrices(void)
{
    enum { DRAWS = 2000 };
    const struct {
        const char *name;
        entry_fn entry;
    } kinds[] = {
        {"Gaussian", gaussian_entry}, {"uniform", uniform_entry}, {"Laplace", laplace_entry}};
    const size_t shapes[][2] = {{10, 64}, {16, 27}, {16, 144}, {32, 288}, {64, 64}, {64, 288}};
    printf("## Whole matrices with other entries\n\nShare over the calibrated threshold (rate "
           "0.010) at initialisation, %d matrices each, shapes as in small convolutional "
           "networks.\n\n| entries | 10 x 64 | 16 x 27 | 16 x 144 | 32 x 288 | 64 x 64 | 64 x 288 "
           "|\n|---|---|---|---|---|---|---|\n",
           DRAWS);
    for (size_t k = 0; k < 3; k++) {
        printf("| %s |", kinds[k].name);
        for (size_t s = 0; s < 6; s++) {
            const sonde_spectrum_options options = default_options();
            sonde__spectrum_ensemble shape;
            sonde__spectrum_null null;
            must(sonde__spectrum_ensemble_init(context, shapes[s][0], shapes[s][1], &options,
                                               &shape));
            must(sonde__spectrum_null_find(context, &shape, &options, &null));
            sonde__spectrum_ensemble_free(context, &shape);
            int over = 0;
            for (int i = 0; i < DRAWS; i++) {
                float *const w = make_matrix(shapes[s][0], shapes[s][1], kinds[k].entry);
                const sonde_matrix matrix = {w, SONDE_F32, shapes[s][0], shapes[s][1], 0};
                sonde_spectrum_report report;
                must(sonde_spectrum(context, &matrix, NULL, &report, NULL));
                over += report.statistic > null.threshold;
                free(w);
            }
            printf(" %.3f |", (double)over / DRAWS);
        }
        printf("\n");
    }
    printf("\n");
}

/* --- 4. planted spikes ---------------------------------------------------------------------- */

/* Adds `count` orthogonal directions whose eigenvalues come out at `factor` times the edge and more
 * (a rank-one part of strength theta gives (1 + theta)(1 + c / theta)). */
static void plant(float *w, size_t n, size_t longer, int count, double factor)
{
    const double c = (double)n / (double)longer, pi = acos(-1);
    const double edge = (1 + sqrt(c)) * (1 + sqrt(c));
    for (int k = 0; k < count; k++) {
        const double half = (edge * factor * (1 + 0.1 * k) - 1 - c) / 2;
        const double theta = half + sqrt(half * half - c);
        const double s = 2 * sqrt(theta * (double)longer) / sqrt((double)n * (double)longer);
        for (size_t i = 0; i < n; i++) {
            const double left = s * cos(pi * ((double)i + 0.5) * (k + 1) / (double)n);
            for (size_t j = 0; j < longer; j++)
                w[i * longer + j] +=
                    (float)(left * cos(pi * ((double)j + 0.5) * (k + 1) / (double)longer));
        }
    }
}

static void planted_spikes(void)
{
    enum { DRAWS = 100 };
    const size_t shapes[][2] = {{64, 214}, {64, 128}, {64, 85}, {192, 640}, {192, 384}, {192, 256}};
    const int counts[] = {0, 1, 4, 9};
    const double factors[] = {1.3, 2.0};
    sonde_spectrum_options options = default_options();
    options.calibrate = false;
    printf(
        "## Planted spikes\n\n%d Gaussian matrices each with that many orthogonal directions "
        "added, the smallest expected at 1.3 or 2 times the edge. Share with the exact count; "
        "then the mean statistic after removal and, for 1 and more, before it.\n\n| n x N | "
        "planted | factor | exact count | statistic after | before |\n|---|---|---|---|---|---|\n",
        DRAWS);
    for (size_t s = 0; s < 6; s++)
        for (int f = 0; f < 2; f++)
            for (int k = f; k < 4; k++) {
                const size_t n = shapes[s][0], longer = shapes[s][1];
                int exact = 0;
                double after = 0, before = 0;
                for (int i = 0; i < DRAWS; i++) {
                    float *const w = make_matrix(n, longer, gaussian_entry);
                    plant(w, n, longer, counts[k], factors[f]);
                    const sonde_matrix matrix = {w, SONDE_F32, n, longer, 0};
                    sonde_spectrum_report report;
                    options.remove_spikes = true;
                    must(sonde_spectrum(context, &matrix, &options, &report, NULL));
                    exact += report.spikes == counts[k];
                    after += report.statistic / DRAWS;
                    options.remove_spikes = false;
                    must(sonde_spectrum(context, &matrix, &options, &report, NULL));
                    before += report.statistic / DRAWS;
                    free(w);
                }
                printf("| %zu x %zu | %d | %.1f | %.2f | %.2f | %.2f |\n", n, longer, counts[k],
                       factors[f], (double)exact / DRAWS, after, before);
            }
    printf("\n");
}

/* --- 5. power ------------------------------------------------------------------------------- */

/* Rows and columns of unequal scale, exp(strength * normal): a bulk that is no longer the law. */
static void deform(float *w, size_t n, size_t longer, double strength)
{
    sonde__stream stream = sonde__stream_open(20233, SONDE__RANDOM_TEST, draw_number++);
    for (size_t i = 0; i < n; i++) {
        const double row = exp(strength * sonde__random_normal(&stream));
        for (size_t j = 0; j < longer; j++)
            w[i * longer + j] = (float)(w[i * longer + j] * row);
    }
    for (size_t j = 0; j < longer; j++) {
        const double column = exp(strength * sonde__random_normal(&stream));
        for (size_t i = 0; i < n; i++)
            w[i * longer + j] = (float)(w[i * longer + j] * column);
    }
}

static void power(void)
{
    enum { DRAWS = 100 };
    const size_t shapes[][2] = {{16, 144},  {32, 288},  {64, 576}, {64, 64},
                                {128, 256}, {192, 384}, {384, 512}};
    const double strengths[] = {0, 0.2, 0.4, 0.6, 0.8, 1.0};
    printf("## Departures that are seen\n\nRows and columns multiplied by exp(s z), z standard "
           "normal: share of %d matrices over the calibrated threshold / over the published one "
           "(- where it may not be used).\n\n| n x N | s = 0 | 0.2 | 0.4 | 0.6 | 0.8 | 1.0 "
           "|\n|---|---|---|---|---|---|---|\n",
           DRAWS);
    for (size_t k = 0; k < 7; k++) {
        printf("| %zu x %zu |", shapes[k][0], shapes[k][1]);
        for (size_t s = 0; s < 6; s++) {
            int calibrated = 0, published = 0;
            bool may = false;
            for (int i = 0; i < DRAWS; i++) {
                float *const w = make_matrix(shapes[k][0], shapes[k][1], gaussian_entry);
                deform(w, shapes[k][0], shapes[k][1], strengths[s]);
                const sonde_matrix matrix = {w, SONDE_F32, shapes[k][0], shapes[k][1], 0};
                sonde_spectrum_report report;
                must(sonde_spectrum(context, &matrix, NULL, &report, NULL));
                may = report.threshold_published > 0;
                calibrated += report.statistic > report.threshold_calibrated;
                published += report.statistic > report.threshold_published;
                free(w);
            }
            printf(" %.2f / ", (double)calibrated / DRAWS);
            if (may)
                printf("%.2f |", (double)published / DRAWS);
            else
                printf("- |");
        }
        printf("\n");
    }
    printf("\n");
}

int main(void)
{
    must(sonde_context_create(NULL, &context));
    printf("Made by `build/bench/bench_evidence_null > docs/evidence/null.md`\n\n# The spectral "
           "criterion on random matrices\n\nstatistic = L1 distance x n^(1/3) / sqrt(log n), as in "
           "docs/spectrum.md.\n\n");
    const double start = sonde__seconds();
    null_table();
    false_alarms();
    whole_matrices();
    planted_spikes();
    power();
    fprintf(stderr, "evidence_null: %.0f s\n", sonde__seconds() - start);
    sonde_context_free(context);
    return 0;
}
