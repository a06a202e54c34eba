/*
 * Worker threads: a queue of jobs, and loops that the caller shares with idle workers.
 *
 * One mutex guards everything; who has nothing to do sleeps on a condition variable (a spinning
 * worker would take the core from a neighbour). A loop lives on its caller's stack: it is taken off
 * the list before the caller returns, and the caller waits for workers that are still inside it.
 * A caller never waits for a worker to begin: it does all chunks itself when none is free.
 */
#include "base/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

typedef struct job {
    sonde__job_fn run;
    void *argument;
} job;

typedef struct loop {
    struct loop *next;
    sonde__range_fn range;
    void *argument;
    size_t n, chunk, chunks;
    atomic_size_t claimed; /* chunks given out so far */
    int inside;            /* workers in this loop; guarded by the pool's mutex */
} loop;

struct sonde__pool {
    sonde_context *context;
    pthread_mutex_t mutex;
    pthread_cond_t work; /* there is a job, a loop, or the end */
    pthread_cond_t idle; /* a job or a worker's part of a loop has ended */
    job *queue;          /* ring: `queued` jobs from `first` on */
    size_t capacity, first, queued;
    int running; /* jobs being run */
    loop *loops;
    int wanted, started;
    bool background, ending;
    pthread_t *threads;
};

double sonde__seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void loop_work(loop *shared)
{
    for (;;) {
        size_t index = atomic_fetch_add(&shared->claimed, 1);
        if (index >= shared->chunks)
            return;
        size_t begin = index * shared->chunk;
        size_t end = shared->n - begin > shared->chunk ? begin + shared->chunk : shared->n;
        shared->range(shared->argument, begin, end);
    }
}

static loop *loop_with_work(const sonde__pool *pool)
{
    for (loop *each = pool->loops; each; each = each->next)
        if (atomic_load(&each->claimed) < each->chunks)
            return each;
    return NULL;
}

/* Called and left with the mutex held. */
static void help(sonde__pool *pool, loop *shared)
{
    shared->inside++;
    pthread_mutex_unlock(&pool->mutex);
    loop_work(shared);
    pthread_mutex_lock(&pool->mutex);
    if (--shared->inside == 0)
        pthread_cond_broadcast(&pool->idle);
}

static void run_job(sonde__pool *pool)
{
    job next = pool->queue[pool->first];
    pool->first = (pool->first + 1) % pool->capacity;
    pool->queued--;
    pool->running++;
    pthread_mutex_unlock(&pool->mutex);
    next.run(next.argument);
    pthread_mutex_lock(&pool->mutex);
    pool->running--;
    pthread_cond_broadcast(&pool->idle);
}

static void *worker(void *argument)
{
    sonde__pool *pool = argument;
#ifdef __linux__
    if (pool->background)
        (void)setpriority(PRIO_PROCESS, 0, 10); /* on Linux: of this thread alone */
#endif
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        loop *shared = loop_with_work(pool);
        if (shared)
            help(pool, shared);
        else if (pool->queued > 0)
            run_job(pool);
        else if (pool->ending)
            break;
        else
            pthread_cond_wait(&pool->work, &pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Called with the mutex held. Workers that cannot be started are done without, if one can. */
static bool start_workers(sonde__pool *pool)
{
    sigset_t all, before;
    if (pool->started > 0)
        return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < pool->wanted; i++)
        if (pthread_create(&pool->threads[pool->started], NULL, worker, pool) == 0)
            pool->started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool->started > 0;
}

sonde_status sonde__pool_create(sonde_context *context, int threads, bool background,
                                sonde__pool **pool)
{
    if (threads < 1)
        threads = 1;
    sonde__pool *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return sonde_context_error(context)->status;
    made->threads = sonde__alloc_zero(context, (size_t)threads, sizeof *made->threads);
    if (!made->threads) {
        sonde__free(context, made);
        return sonde_context_error(context)->status;
    }
    made->context = context;
    made->wanted = threads;
    made->background = background;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->work, NULL);
    pthread_cond_init(&made->idle, NULL);
    *pool = made;
    return SONDE_OK;
}

void sonde__pool_free(sonde__pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->ending = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    sonde__free(pool->context, pool->queue);
    sonde__free(pool->context, pool->threads);
    sonde__free(pool->context, pool);
}

/* Called with the mutex held. */
static sonde_status grow_queue(sonde__pool *pool)
{
    size_t capacity = pool->capacity ? 2 * pool->capacity : 16;
    job *larger = sonde__alloc(pool->context, capacity, sizeof *larger);
    if (!larger)
        return sonde_context_error(pool->context)->status;
    for (size_t i = 0; i < pool->queued; i++)
        larger[i] = pool->queue[(pool->first + i) % pool->capacity];
    sonde__free(pool->context, pool->queue);
    pool->queue = larger;
    pool->capacity = capacity;
    pool->first = 0;
    return SONDE_OK;
}

sonde_status sonde__pool_submit(sonde__pool *pool, sonde__job_fn run, void *argument)
{
    sonde_status status = SONDE_OK;
    pthread_mutex_lock(&pool->mutex);
    if (pool->queued == pool->capacity)
        SONDE_TRY_CLEAN(grow_queue(pool));
    if (!start_workers(pool)) {
        status = sonde__fail(pool->context, SONDE_ERROR_MEMORY, "no worker thread can be started");
        goto cleanup;
    }
    pool->queue[(pool->first + pool->queued) % pool->capacity] = (job){run, argument};
    pool->queued++;
    pthread_cond_signal(&pool->work);
cleanup:
    pthread_mutex_unlock(&pool->mutex);
    return status;
}

void sonde__pool_wait(sonde__pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    while (pool->queued > 0 || pool->running > 0)
        pthread_cond_wait(&pool->idle, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

static void open_loop(sonde__pool *pool, loop *shared)
{
    pthread_mutex_lock(&pool->mutex);
    (void)start_workers(pool); /* without workers the caller does it all */
    shared->next = pool->loops;
    pool->loops = shared;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}

static void close_loop(sonde__pool *pool, loop *shared)
{
    pthread_mutex_lock(&pool->mutex);
    loop **link = &pool->loops;
    while (*link != shared)
        link = &(*link)->next;
    *link = shared->next;
    while (shared->inside > 0)
        pthread_cond_wait(&pool->idle, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

void sonde__parallel_for(sonde__pool *pool, size_t n, size_t chunk, sonde__range_fn range,
                         void *argument)
{
    if (n == 0)
        return;
    if (chunk == 0)
        chunk = 1;
    loop shared = {.range = range, .argument = argument, .n = n, .chunk = chunk};
    shared.chunks = (n - 1) / chunk + 1;
    atomic_init(&shared.claimed, 0);
    bool alone = !pool || shared.chunks == 1;
    if (!alone)
        open_loop(pool, &shared);
    loop_work(&shared);
    if (!alone)
        close_loop(pool, &shared);
}
