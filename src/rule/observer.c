/*
 * Spectra beside the training. See observer.h for the contract.
 *
 * Invariant: an entry belongs to its worker from submission until `done`, which is set under the
 * mutex; the list of entries, and everything of an entry that is done, belong to the owner. Entries
 * do not move in memory.
 */
#include "rule/observer.h"

#include <pthread.h>
#include <string.h>

#include "base/checked.h"
#include "base/thread.h"
#include "num/formats.h"
#include "signal/spectrum.h"

typedef struct entry {
    sonde__observer *observer;
    int64_t epoch;
    char name[SONDE_LAYER_NAME_MAX];
    void *copy; /* of the matrix; freed by the worker */
    sonde_matrix matrix;
    sonde_spectrum_report report;
    double *eigenvalues;
    sonde_status status;
    const char *problem;
    bool done; /* guarded by the mutex */
    bool told; /* its failure has been returned by a wait */
} entry;

struct sonde__observer {
    sonde_context *context;
    sonde_spectrum_options options;
    sonde__pool *pool;
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    entry **entries; /* in order of submission */
    size_t count, capacity;
};

sonde_status sonde__observer_create(sonde_context *context, const sonde_spectrum_options *options,
                                    sonde__observer **observer)
{
    sonde_spectrum_options own;
    const char *problem = NULL;
    const sonde_status taken = sonde__spectrum_options_take(options, &own, &problem);
    if (taken != SONDE_OK)
        return sonde__fail(context, taken, "spectrum options: %s", problem);
    sonde__observer *const made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->options = own;
    const sonde_status status =
        sonde__pool_create(context, sonde__threads(context), true, &made->pool);
    if (status != SONDE_OK) {
        sonde__free(context, made);
        return status;
    }
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->finished, NULL);
    *observer = made;
    return SONDE_OK;
}

static void free_entry(sonde_context *context, entry *each)
{
    if (!each)
        return;
    sonde__free(context, each->copy);
    sonde__free(context, each->eigenvalues);
    sonde__free(context, each);
}

void sonde__observer_free(sonde__observer *observer)
{
    if (!observer)
        return;
    sonde_context *const context = observer->context;
    sonde__pool_free(observer->pool); /* waits */
    for (size_t i = 0; i < observer->count; i++)
        free_entry(context, observer->entries[i]);
    sonde__free(context, observer->entries);
    pthread_cond_destroy(&observer->finished);
    pthread_mutex_destroy(&observer->mutex);
    sonde__free(context, observer);
}

/* On a worker. */
static void compute(void *argument)
{
    entry *const each = argument;
    sonde__observer *const observer = each->observer;
    each->status = sonde__spectrum_quiet(observer->context, &each->matrix, &observer->options,
                                         &each->report, each->eigenvalues, &each->problem);
    if (each->status != SONDE_OK)
        each->report.validity = SONDE_NOT_MEASURED;
    sonde__free(observer->context, each->copy);
    each->copy = NULL;
    pthread_mutex_lock(&observer->mutex);
    each->done = true;
    pthread_cond_broadcast(&observer->finished);
    pthread_mutex_unlock(&observer->mutex);
}

static void wait_for(sonde__observer *observer, const entry *each)
{
    pthread_mutex_lock(&observer->mutex);
    while (!each->done)
        pthread_cond_wait(&observer->finished, &observer->mutex);
    pthread_mutex_unlock(&observer->mutex);
}

static sonde_status copy_matrix(sonde_context *context, const sonde_matrix *matrix, entry *each)
{
    const bool wide = matrix->dtype == SONDE_F64;
    const size_t size = wide ? sizeof(double) : sizeof(float);
    size_t elements;
    if (!sonde__multiply(matrix->rows, matrix->cols, &elements))
        return sonde__fail(context, SONDE_ERROR_OVERFLOW, "the matrix does not fit in memory");
    each->copy = sonde__alloc(context, elements, size);
    if (!each->copy)
        return sonde_context_error(context)->status;
    const size_t stride = sonde__matrix_stride(matrix);
    for (size_t i = 0; i < matrix->rows; i++) {
        if (wide)
            sonde__to_doubles((double *)each->copy + i * matrix->cols, matrix->data, matrix->dtype,
                              i * stride, matrix->cols);
        else
            sonde__to_floats((float *)each->copy + i * matrix->cols, matrix->data, matrix->dtype,
                             i * stride, matrix->cols);
    }
    each->matrix =
        (sonde_matrix){each->copy, wide ? SONDE_F64 : SONDE_F32, matrix->rows, matrix->cols, 0};
    return SONDE_OK;
}

static sonde_status make_entry(sonde__observer *observer, int64_t epoch, const char *layer,
                               const sonde_matrix *matrix, entry **made)
{
    sonde_context *const context = observer->context;
    entry *const each = sonde__alloc_zero(context, 1, sizeof *each);
    if (!each)
        return SONDE_ERROR_MEMORY;
    each->observer = observer;
    each->epoch = epoch;
    memcpy(each->name, layer, strlen(layer) + 1);
    each->report.rows = matrix->rows < matrix->cols ? matrix->rows : matrix->cols;
    each->report.cols = matrix->rows < matrix->cols ? matrix->cols : matrix->rows;
    sonde_status status = SONDE_OK;
    each->eigenvalues = sonde__alloc(context, each->report.rows, sizeof *each->eigenvalues);
    if (!each->eigenvalues)
        status = sonde_context_error(context)->status;
    if (status == SONDE_OK)
        status = copy_matrix(context, matrix, each);
    if (status == SONDE_OK)
        *made = each;
    else
        free_entry(context, each);
    return status;
}

static sonde_status make_room(sonde__observer *observer)
{
    if (observer->count < observer->capacity)
        return SONDE_OK;
    const size_t capacity = observer->capacity ? 2 * observer->capacity : 16;
    entry **const entries =
        sonde__resize(observer->context, observer->entries, capacity, sizeof *entries);
    if (!entries)
        return sonde_context_error(observer->context)->status;
    observer->entries = entries;
    observer->capacity = capacity;
    return SONDE_OK;
}

/* Where the layer of this epoch stands, or `count`. */
static size_t find_entry(const sonde__observer *observer, int64_t epoch, const char *layer)
{
    size_t i = 0;
    while (i < observer->count &&
           (observer->entries[i]->epoch != epoch || strcmp(observer->entries[i]->name, layer) != 0))
        i++;
    return i;
}

sonde_status sonde__observer_submit(sonde__observer *observer, int64_t epoch, const char *layer,
                                    const sonde_matrix *matrix)
{
    sonde_context *const context = observer->context;
    if (!layer || layer[0] == '\0' || strlen(layer) >= SONDE_LAYER_NAME_MAX)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "a layer's name must have 1 to %d characters", SONDE_LAYER_NAME_MAX - 1);
    SONDE_TRY(sonde__matrix_check(context, matrix, layer));
    SONDE_TRY(make_room(observer));
    entry *each;
    SONDE_TRY(make_entry(observer, epoch, layer, matrix, &each));
    const sonde_status status = sonde__pool_submit(observer->pool, compute, each);
    if (status != SONDE_OK) {
        free_entry(context, each);
        return status;
    }
    const size_t at = find_entry(observer, epoch, layer);
    if (at < observer->count) {
        wait_for(observer, observer->entries[at]);
        free_entry(context, observer->entries[at]);
        observer->entries[at] = each;
    } else {
        observer->entries[observer->count++] = each;
    }
    return SONDE_OK;
}

sonde_status sonde__observer_wait(sonde__observer *observer, int64_t epoch)
{
    entry *failed = NULL;
    for (size_t i = 0; i < observer->count; i++) {
        entry *const each = observer->entries[i];
        if (each->epoch > epoch)
            continue;
        wait_for(observer, each);
        if (each->status != SONDE_OK && !each->told) {
            each->told = true;
            failed = failed ? failed : each;
        }
    }
    if (!failed)
        return SONDE_OK;
    return sonde__fail_at(observer->context, failed->status, NULL, failed->name, -1,
                          "spectrum of layer %s (%zu x %zu): %s", failed->name, failed->report.rows,
                          failed->report.cols,
                          failed->problem ? failed->problem
                                          : sonde_status_sentence(failed->status));
}

size_t sonde__observer_count(const sonde__observer *observer, int64_t epoch)
{
    size_t count = 0;
    for (size_t i = 0; i < observer->count; i++)
        count += observer->entries[i]->epoch == epoch;
    return count;
}

static const entry *nth_of_epoch(const sonde__observer *observer, int64_t epoch, size_t index)
{
    for (size_t i = 0; i < observer->count; i++)
        if (observer->entries[i]->epoch == epoch && index-- == 0)
            return observer->entries[i];
    return NULL;
}

sonde_status sonde__observer_result(const sonde__observer *observer, int64_t epoch, size_t index,
                                    sonde_layer_view *view)
{
    const entry *const each = nth_of_epoch(observer, epoch, index);
    if (!each)
        return sonde__fail(observer->context, SONDE_ERROR_RANGE,
                           "epoch %lld has no observation %zu", (long long)epoch, index);
    pthread_mutex_t *const mutex = &each->observer->mutex;
    pthread_mutex_lock(mutex);
    const bool done = each->done;
    pthread_mutex_unlock(mutex);
    if (!done)
        return sonde__fail(observer->context, SONDE_ERROR_STATE,
                           "the spectrum of layer %s is not done: wait first", each->name);
    *view = (sonde_layer_view){each->name,   each->epoch,
                               false,        0,
                               each->report, each->status == SONDE_OK ? each->eigenvalues : NULL};
    return SONDE_OK;
}

void sonde__observer_forget(sonde__observer *observer, int64_t epoch)
{
    size_t left = 0;
    for (size_t i = 0; i < observer->count; i++) {
        entry *const each = observer->entries[i];
        if (each->epoch > epoch) {
            observer->entries[left++] = each;
            continue;
        }
        wait_for(observer, each);
        free_entry(observer->context, each);
    }
    observer->count = left;
}
