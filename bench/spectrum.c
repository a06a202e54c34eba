/*
 * One spectrum against LAPACK's dgesdd in double (what numpy, scipy and torch call) in the same run,
 * one BLAS thread each, as JSON lines; then all layers of some networks, as a trainer pays for them
 * once an epoch, and what calibrating their shapes costs once.
 *
 *     bench_spectrum [rows cols]...        default: shapes of the named networks, and larger ones
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include "base/random.h"
#include "base/thread.h"

void dgesdd_(const char *job, const int *m, const int *n, double *a, const int *lda, double *s,
             double *u, const int *ldu, double *vt, const int *ldvt, double *work,
             const int *work_size, int *integers, int *info, size_t job_length);

static sonde_context *context;

static float *random_floats(size_t n)
{
    static uint64_t index;
    sonde__stream stream = sonde__stream_open(2, SONDE__RANDOM_TEST, index++);
    float *const values = malloc(n * sizeof *values);
    if (!values)
        exit(1);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(0.05 * sonde__random_normal(&stream));
    return values;
}

/* Seconds of one spectrum, the best of several. */
static double time_spectrum(const float *w, size_t rows, size_t cols, bool calibrate,
                            double *largest)
{
    sonde_spectrum_options options;
    sonde_spectrum_report report = {0};
    sonde_spectrum_options_init(&options);
    options.calibrate = calibrate;
    const sonde_matrix matrix = {w, SONDE_F32, rows, cols, 0};
    double best = 1e300, begin = sonde__seconds();
    for (int i = 0; i < 100 && (i < 3 || sonde__seconds() - begin < 0.5); i++) {
        const double start = sonde__seconds();
        if (sonde_spectrum(context, &matrix, &options, &report, NULL) != SONDE_OK) {
            fprintf(stderr, "spectrum: %s\n", sonde_context_error(context)->message);
            exit(1);
        }
        const double seconds = sonde__seconds() - start;
        best = seconds < best ? seconds : best;
    }
    *largest = report.spectral;
    return best;
}

/* The same for all singular values by dgesdd, converting to double included. */
static double time_gesdd(const float *w, size_t rows, size_t cols, double *largest)
{
    /* Row-major rows x cols is column-major cols x rows, which has the same singular values. */
    const int m = (int)cols, n = (int)rows, one = 1, ask = -1;
    const size_t least = rows < cols ? rows : cols;
    double *const a = malloc(rows * cols * sizeof *a), *const s = malloc(least * sizeof *s);
    int *const integers = malloc(8 * least * sizeof *integers), info = 0;
    double size = 0, unused = 0, best = 1e300;
    if (!a || !s || !integers)
        exit(1);
    dgesdd_("N", &m, &n, a, &m, s, &unused, &one, &unused, &one, &size, &ask, integers, &info, 1);
    const int work_size = (int)size;
    double *const work = malloc((size_t)work_size * sizeof *work);
    if (!work)
        exit(1);
    const double begin = sonde__seconds();
    for (int i = 0; i < 100 && (i < 3 || sonde__seconds() - begin < 0.5); i++) {
        const double start = sonde__seconds();
        for (size_t j = 0; j < rows * cols; j++)
            a[j] = (double)w[j];
        dgesdd_("N", &m, &n, a, &m, s, &unused, &one, &unused, &one, work, &work_size, integers,
                &info, 1);
        const double seconds = sonde__seconds() - start;
        best = seconds < best ? seconds : best;
    }
    *largest = s[0];
    free(work);
    free(integers);
    free(s);
    free(a);
    return best;
}

static void bench(size_t rows, size_t cols)
{
    float *const w = random_floats(rows * cols);
    double ours, theirs;
    const double seconds = time_spectrum(w, rows, cols, false, &ours);
    const double peer = time_gesdd(w, rows, cols, &theirs);
    printf("{\"bench\": \"spectrum\", \"rows\": %zu, \"cols\": %zu, \"ms\": %.3f, \"gesdd_ms\": "
           "%.3f, \"ratio\": %.2f, \"relative_difference\": %.1e}\n",
           rows, cols, seconds * 1e3, peer * 1e3, peer / seconds, ours / theirs - 1);
    fflush(stdout);
    free(w);
}

typedef struct network {
    const char *name;
    size_t shapes[24][2]; /* ends at 0 */
} network;

static const network NETWORKS[] = {
    {"nn1", {{1024, 100}, {512, 1024}, {384, 512}, {192, 384}, {8, 192}}},
    {"mlp-784-512-512-10", {{512, 784}, {512, 512}, {10, 512}}},
    {"cnn", {{32, 9}, {64, 288}, {128, 3136}, {10, 128}}},
    {"resnet20", {{16, 27},  {16, 144}, {16, 144}, {16, 144}, {16, 144}, {16, 144}, {16, 144},
                  {32, 144}, {32, 288}, {32, 288}, {32, 288}, {32, 288}, {32, 288}, {64, 288},
                  {64, 576}, {64, 576}, {64, 576}, {64, 576}, {64, 576}, {10, 64}}},
};

static void bench_network(const network *net)
{
    double epoch = 0, first = 0, unused;
    int layers = 0;
    for (; net->shapes[layers][0] > 0; layers++) {
        const size_t rows = net->shapes[layers][0], cols = net->shapes[layers][1];
        float *const w = random_floats(rows * cols);
        const double start = sonde__seconds();
        sonde_spectrum_report report;
        const sonde_matrix matrix = {w, SONDE_F32, rows, cols, 0};
        if (sonde_spectrum(context, &matrix, NULL, &report, NULL) != SONDE_OK)
            exit(1);
        first += sonde__seconds() - start;
        epoch += time_spectrum(w, rows, cols, true, &unused);
        free(w);
    }
    printf("{\"bench\": \"spectrum_network\", \"network\": \"%s\", \"layers\": %d, "
           "\"first_epoch_ms\": %.1f, \"epoch_ms\": %.2f}\n",
           net->name, layers, first * 1e3, epoch * 1e3);
    fflush(stdout);
}

int main(int count, char **arguments)
{
    omp_set_num_threads(1);
    if (sonde_context_create(NULL, &context) != SONDE_OK)
        return 1;
    if (count > 2) {
        for (int i = 1; i + 1 < count; i += 2)
            bench(strtoul(arguments[i], NULL, 10), strtoul(arguments[i + 1], NULL, 10));
    } else {
        const size_t shapes[][2] = {{16, 144},  {64, 576},   {128, 3136}, {384, 512},
                                    {512, 784}, {512, 1024}, {1024, 4096}};
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            bench(shapes[i][0], shapes[i][1]);
        for (size_t i = 0; i < sizeof NETWORKS / sizeof *NETWORKS; i++)
            bench_network(&NETWORKS[i]);
    }
    sonde_context_free(context);
    return 0;
}
