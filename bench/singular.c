/*
 * All singular values of several matrices at once, one thread a matrix, as a survey of a model runs
 * them: seconds a matrix on the whole machine, as JSON lines. Doubles that hold floats, Gaussian.
 * bench/peer_singular.py takes turns with it and has the ratios to numpy and PyTorch.
 *
 *     bench_singular [ROWS COLS]...        default: the three shapes of the table
 *     environment: SONDE_BENCH_THREADS (all cores), SONDE_BENCH_METHOD (auto, gram or two-stage)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include "base/random.h"
#include "base/thread.h"
#include "num/blas_core.h"
#include "num/singular.h"

enum { THREADS_MOST = 64 };

typedef struct job {
    sonde_context *context;
    sonde_matrix matrix;
    sonde__svd_method method;
    double *values;
    sonde__svd_facts facts;
    sonde_status status;
} job;

static void run_job(void *argument)
{
    job *const self = argument;
    const sonde__tiles tiles = sonde__tiles_of_matrix(&self->matrix);
    self->status =
        sonde__singular_values(self->context, &tiles, self->method, self->values, &self->facts);
}

static double *random_doubles(size_t n, uint64_t index)
{
    sonde__stream stream = sonde__stream_open(7, SONDE__RANDOM_TEST, index);
    double *const data = malloc(n * sizeof *data);
    if (!data)
        exit(1);
    for (size_t i = 0; i < n; i++)
        data[i] = (double)(float)sonde__random_normal(&stream);
    return data;
}

static sonde__svd_method wanted_method(void)
{
    const char *const name = getenv("SONDE_BENCH_METHOD");
    if (name && strcmp(name, "gram") == 0)
        return SONDE__SVD_GRAM;
    return name && strcmp(name, "two-stage") == 0 ? SONDE__SVD_TWO_STAGE : SONDE__SVD_AUTO;
}

static void run_all(sonde_context *context, sonde__pool *pool, job *jobs, int count)
{
    for (int i = 0; i < count; i++)
        if (sonde__pool_submit(pool, run_job, &jobs[i]) != SONDE_OK)
            exit(1);
    sonde__pool_wait(pool);
    for (int i = 0; i < count; i++)
        if (jobs[i].status != SONDE_OK) {
            fprintf(stderr, "singular values: %s\n", sonde_status_sentence(jobs[i].status));
            sonde_context_free(context);
            exit(1);
        }
}

static void bench(sonde_context *context, sonde__pool *pool, int threads, size_t rows, size_t cols)
{
    static job jobs[THREADS_MOST];
    const size_t n = rows < cols ? rows : cols;
    for (int i = 0; i < threads; i++) {
        jobs[i] = (job){.context = context, .method = wanted_method()};
        double *const data = random_doubles(rows * cols, (uint64_t)i);
        jobs[i].matrix = (sonde_matrix){data, SONDE_F64, rows, cols, 0};
        jobs[i].values = malloc(n * sizeof(double));
        if (!jobs[i].values)
            exit(1);
    }
    double best = 1e300;
    const double begin = sonde__seconds();
    for (int round = 0; round < 20 && (round == 0 || sonde__seconds() - begin < 2); round++) {
        const double start = sonde__seconds();
        run_all(context, pool, jobs, threads);
        const double seconds = sonde__seconds() - start;
        best = seconds < best ? seconds : best;
    }
    printf("{\"bench\": \"singular\", \"rows\": %zu, \"cols\": %zu, \"threads\": %d, "
           "\"seconds\": %.4f, \"method\": \"%s\", \"memory_bytes\": %zu, \"smallest\": %.15g, "
           "\"largest\": %.15g}\n",
           rows, cols, threads, best / threads,
           jobs[0].facts.method == SONDE__SVD_GRAM ? "gram" : "two-stage",
           sonde__singular_values_memory(rows, cols, jobs[0].method), jobs[0].values[0],
           jobs[0].values[n - 1]);
    fflush(stdout);
    for (int i = 0; i < threads; i++) {
        free((void *)jobs[i].matrix.data);
        free(jobs[i].values);
    }
}

int main(int count, char **arguments)
{
    /* As the command does; OpenBLAS reads the setting when it is loaded. */
    const char *const core = sonde__blas_better_core();
    if (core && !getenv("OPENBLAS_CORETYPE") && setenv("OPENBLAS_CORETYPE", core, 1) == 0)
        execv("/proc/self/exe", arguments);
    sonde_context *context = NULL;
    sonde__pool *pool = NULL;
    if (sonde_context_create(NULL, &context) != SONDE_OK)
        return 1;
    const char *const asked = getenv("SONDE_BENCH_THREADS");
    int threads = asked ? atoi(asked) : sonde__threads(context);
    threads = threads < 1 ? 1 : threads > THREADS_MOST ? THREADS_MOST : threads;
    if (sonde__pool_create(context, threads, false, &pool) != SONDE_OK)
        return 1;
    const size_t shapes[][2] = {{1024, 4096}, {4096, 4096}, {4096, 14336}};
    for (int i = 1; i + 1 < count; i += 2)
        bench(context, pool, threads, strtoul(arguments[i], NULL, 10),
              strtoul(arguments[i + 1], NULL, 10));
    for (size_t i = 0; count < 3 && i < sizeof shapes / sizeof *shapes; i++)
        bench(context, pool, threads, shapes[i][0], shapes[i][1]);
    sonde__pool_free(pool);
    sonde_context_free(context);
    return 0;
}
