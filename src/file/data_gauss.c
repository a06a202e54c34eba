/*
 * Gaussian clusters of the spectral paper (docs/spectrum.md, experiments): x = mu_k + noise, unit
 * variance, 100 coordinates, 8 classes, 7,500 training examples a class.
 *
 *     gauss-d1, delta: each class has a random half of the coordinates at -0.2 and the other half
 *                      at -0.2 + delta; two class means are about delta sqrt(p / 2) apart
 *     gauss-d2, t:     mu_k = t v_k, v_kj = 1{j = k} - (1/K) 1{j < K}: a simplex in the first K
 *                      coordinates; Bayes accuracy E_z[Phi(z + t)^(K-1)]
 *
 * Example i has class i mod K and its own random stream, so that it is the same in a set of any
 * size, drawn by any number of threads.
 */
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "base/thread.h"
#include "file/data_internal.h"

enum { DIMENSIONS = 100, CLASSES = 8, TRAIN_A_CLASS = 7500, TEST_A_CLASS = 1000 };

typedef struct drawing {
    sonde__dataset *dataset;
    const double *means; /* classes x DIMENSIONS */
    uint64_t seed, first_index;
} drawing;

static void draw_range(void *argument, size_t begin, size_t end)
{
    const drawing *d = argument;
    for (size_t i = begin; i < end; i++) {
        size_t class_number = i % (size_t)d->dataset->classes;
        const double *mean = d->means + class_number * DIMENSIONS;
        float *out = d->dataset->floats + i * DIMENSIONS;
        sonde__stream stream = sonde__stream_open(d->seed, SONDE__RANDOM_DATA, d->first_index + i);
        for (size_t j = 0; j < DIMENSIONS; j++)
            out[j] = (float)(mean[j] + sonde__random_normal(&stream));
        d->dataset->labels[i] = (int32_t)class_number;
    }
}

static void means_d1(double *means, int classes, double delta, uint64_t seed)
{
    for (int k = 0; k < classes; k++) {
        uint32_t order[DIMENSIONS];
        for (uint32_t j = 0; j < DIMENSIONS; j++)
            order[j] = j;
        sonde__stream stream =
            sonde__stream_open(seed, SONDE__RANDOM_DATA, SONDE__SET_INDEX + (uint64_t)k);
        sonde__random_shuffle(&stream, order, DIMENSIONS);
        for (int j = 0; j < DIMENSIONS; j++)
            means[k * DIMENSIONS + (int)order[j]] = j < DIMENSIONS / 2 ? -0.2 : -0.2 + delta;
    }
}

static void means_d2(double *means, int classes, double t)
{
    for (int k = 0; k < classes; k++)
        for (int j = 0; j < DIMENSIONS; j++)
            means[k * DIMENSIONS + j] = j < classes ? t * ((j == k) - 1.0 / classes) : 0;
}

static sonde_status draw_part(sonde_context *context, sonde__pool *pool, drawing *d, size_t count,
                              const char *name, int classes, sonde__dataset **out)
{
    SONDE_TRY(sonde__dataset_new(context, name, classes, out));
    sonde__dataset *dataset = *out;
    dataset->count = count;
    dataset->channels = DIMENSIONS;
    dataset->height = dataset->width = 1;
    dataset->floats = sonde__alloc(context, count, DIMENSIONS * sizeof *dataset->floats);
    if (!dataset->floats)
        return sonde_context_error(context)->status;
    dataset->labels = sonde__alloc(context, count, sizeof *dataset->labels);
    if (!dataset->labels)
        return sonde_context_error(context)->status;
    d->dataset = dataset;
    sonde__parallel_for(pool, count, 256, draw_range, d);
    return SONDE_OK;
}

sonde_status sonde__load_gauss(sonde_context *context, const sonde__data_request *request,
                               sonde__dataset **train, sonde__dataset **test)
{
    bool first_kind = strcmp(request->name, "gauss-d1") == 0;
    int classes = request->classes ? request->classes : CLASSES;
    if (classes > DIMENSIONS)
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, request->name, -1,
                              "%s: %d classes; at most %d are supported", request->name, classes,
                              DIMENSIONS);
    double difficulty = request->difficulty > 0 ? request->difficulty : first_kind ? 0.6 : 2.4;
    size_t train_size = request->train_size ? request->train_size : (size_t)classes * TRAIN_A_CLASS;
    size_t test_size = request->test_size ? request->test_size : (size_t)classes * TEST_A_CLASS;
    sonde__pool *pool = NULL;
    double *means = sonde__alloc(context, (size_t)classes * DIMENSIONS, sizeof *means);
    if (!means)
        return sonde_context_error(context)->status;
    if (first_kind)
        means_d1(means, classes, difficulty, request->seed);
    else
        means_d2(means, classes, difficulty);
    drawing d = {.means = means, .seed = request->seed};
    sonde_status status;
    if (sonde__threads(context) > 1)
        SONDE_TRY_CLEAN(sonde__pool_create(context, sonde__threads(context) - 1, false, &pool));
    SONDE_TRY_CLEAN(draw_part(context, pool, &d, train_size, request->name, classes, train));
    d.first_index = SONDE__TEST_INDEX;
    SONDE_TRY_CLEAN(draw_part(context, pool, &d, test_size, request->name, classes, test));
cleanup:
    sonde__pool_free(pool);
    sonde__free(context, means);
    return status;
}
