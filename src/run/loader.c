/*
 * The loader's thread and its ring of slots.
 *
 * `filled` and `taken` count batches of the running epoch; slot i % SLOTS holds batch i. The thread
 * fills while filled < taken + SLOTS - 1 (the batch in use keeps its slot), the caller waits while
 * filled == taken. Invariant: a slot is written only by the thread and only while it is neither
 * ready nor in use; everything else is under the mutex.
 */
#include "run/loader.h"

#include <pthread.h>
#include <signal.h>

enum { SLOTS = 3 };

typedef struct slot {
    float *x;
    int32_t *labels;
} slot;

struct sonde__loader {
    sonde_context *context;
    const sonde__batcher *batcher;
    slot slots[SLOTS];
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* waited for by both sides, which take turns */
    bool started, filling, ended;
    sonde__epoch_plan plan;
    uint64_t generation; /* of the plan; a batch of an older one is dropped */
    size_t batches, filled, taken;
    bool in_use; /* batch taken - 1 is with the caller */
};

static bool has_work(const sonde__loader *loader)
{
    size_t held = loader->filled - loader->taken + (loader->in_use ? 1 : 0);
    return loader->filled < loader->batches && held < SLOTS;
}

static void fill_slot(sonde__loader *loader, const sonde__epoch_plan *plan, size_t index)
{
    size_t begin, end;
    slot *into = &loader->slots[index % SLOTS];
    sonde__batch_span(plan->count, plan->batch, plan->no_single, index, &begin, &end);
    sonde__batcher_fill(loader->batcher, plan->indexes + begin, end - begin, plan->epoch, into->x,
                        into->labels);
}

static void *loader_main(void *argument)
{
    sonde__loader *loader = argument;
    pthread_mutex_lock(&loader->mutex);
    while (!loader->ended) {
        if (!has_work(loader)) {
            pthread_cond_wait(&loader->changed, &loader->mutex);
            continue;
        }
        sonde__epoch_plan plan = loader->plan;
        size_t index = loader->filled;
        uint64_t generation = loader->generation;
        loader->filling = true;
        pthread_mutex_unlock(&loader->mutex);
        fill_slot(loader, &plan, index);
        pthread_mutex_lock(&loader->mutex);
        loader->filling = false;
        if (generation == loader->generation)
            loader->filled++;
        pthread_cond_broadcast(&loader->changed);
    }
    pthread_mutex_unlock(&loader->mutex);
    return NULL;
}

/* Signals are for the thread that computes. */
static int start_thread(sonde__loader *loader)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&loader->thread, NULL, loader_main, loader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static sonde_status make_slots(sonde__loader *loader, size_t largest)
{
    for (int i = 0; i < SLOTS; i++) {
        slot *made = &loader->slots[i];
        made->x = sonde__alloc(loader->context, largest, loader->batcher->features * sizeof(float));
        made->labels = sonde__alloc(loader->context, largest,
                                    (size_t)loader->batcher->dataset->rows * sizeof(int32_t));
        if (!made->x || !made->labels)
            return SONDE_ERROR_MEMORY;
    }
    return SONDE_OK;
}

sonde_status sonde__loader_create(sonde_context *context, const sonde__batcher *batcher,
                                  size_t largest, sonde__loader **loader)
{
    sonde__loader *made = sonde__alloc_zero(context, 1, sizeof(*made));
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->batcher = batcher;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->changed, NULL);
    sonde_status status = make_slots(made, largest);
    if (status == SONDE_OK && start_thread(made) != 0)
        status = sonde__fail(context, SONDE_ERROR_MEMORY, "the loader's thread cannot be started");
    if (status != SONDE_OK) {
        sonde__loader_free(made);
        return status;
    }
    made->started = true;
    *loader = made;
    return SONDE_OK;
}

void sonde__loader_free(sonde__loader *loader)
{
    if (!loader)
        return;
    if (loader->started) {
        pthread_mutex_lock(&loader->mutex);
        loader->ended = true;
        pthread_cond_broadcast(&loader->changed);
        pthread_mutex_unlock(&loader->mutex);
        pthread_join(loader->thread, NULL);
    }
    for (int i = 0; i < SLOTS; i++) {
        sonde__free(loader->context, loader->slots[i].x);
        sonde__free(loader->context, loader->slots[i].labels);
    }
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->mutex);
    sonde__free(loader->context, loader);
}

void sonde__loader_start(sonde__loader *loader, const sonde__epoch_plan *plan)
{
    pthread_mutex_lock(&loader->mutex);
    loader->generation++;
    loader->batches = 0;
    while (loader->filling) /* it still reads the old plan's indexes */
        pthread_cond_wait(&loader->changed, &loader->mutex);
    loader->plan = *plan;
    loader->batches = sonde__batch_count(plan->count, plan->batch, plan->no_single);
    loader->filled = loader->taken = 0;
    loader->in_use = false;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->mutex);
}

bool sonde__loader_next(sonde__loader *loader, sonde__batch *batch)
{
    pthread_mutex_lock(&loader->mutex);
    loader->in_use = false;
    pthread_cond_broadcast(&loader->changed);
    bool more = loader->taken < loader->batches;
    while (more && loader->filled == loader->taken)
        pthread_cond_wait(&loader->changed, &loader->mutex);
    if (more) {
        size_t begin, end, index = loader->taken++;
        const slot *from = &loader->slots[index % SLOTS];
        sonde__batch_span(loader->plan.count, loader->plan.batch, loader->plan.no_single, index,
                          &begin, &end);
        loader->in_use = true;
        *batch = (sonde__batch){begin, end - begin, from->x, from->labels};
    }
    pthread_mutex_unlock(&loader->mutex);
    return more;
}
