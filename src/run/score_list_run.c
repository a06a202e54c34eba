/*
 * The work on a list: every worker takes the next row, makes its network, scores it and frees it.
 *
 * Several networks on one thread each keep the cores busier than one network on several: most
 * operators of small networks are too short to share. One network alone gets all threads.
 *
 * Invariant: only the calling thread writes the file, calls the hook and records errors; workers have
 * contexts of their own, and hand over finished rows under the mutex.
 */
#include "run/score_list.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "net/arch.h"
#include "run/parts.h"
#include "run/subject.h"

enum { MESSAGE = 1024 };

typedef struct list_work {
    const sonde__score_task *task;
    const sonde__arch_names *names;
    sonde__network_score *rows;
    size_t count; /* of rows */
    int threads;  /* of a network; 0: as it chooses */
    size_t memory_limit;
    pthread_mutex_t mutex;
    pthread_cond_t finished;
    /* Guarded by the mutex from here on. */
    size_t next;
    size_t *ready, ready_count; /* rows that are done and not yet written */
    int running;                /* workers */
    bool ending;
    sonde_status status; /* of the first failure */
    size_t failed;       /* its row */
    char message[MESSAGE];
} list_work;

/* ---- one row --------------------------------------------------------------------------------- */

static sonde_status score_net(sonde_context *context, const list_work *work, sonde__net *net,
                              const sonde__score_sample *sample, sonde_score *scores)
{
    const sonde__score_settings *settings = &work->task->settings;
    const sonde__score_options options = {
        .protocol = settings->protocol, .wanted = settings->wanted, .seed = sample->seed};
    if (settings->weights)
        SONDE_TRY(sonde__weights_into_net(context, settings->weights, net));
    SONDE_TRY(sonde__score_network(context, net, &options, &sample->batch, scores));
    if (!settings->teacher)
        return SONDE_OK;
    sonde__distill_view student;
    SONDE_TRY(
        sonde__distill_view_make(context, net, &sample->batch, sample->seed, false, &student));
    const sonde_status status =
        sonde__distill_compare(context, settings->metric, &sample->teacher, &student, scores);
    sonde__distill_view_free(&student);
    return status;
}

static sonde_status score_row(sonde_context *context, const list_work *work, size_t row)
{
    const sonde__score_task *task = work->task;
    const sonde__score_sample *sample = &task->samples[row % task->sample_count];
    const double began = sonde__seconds();
    sonde__graph *graph = NULL;
    sonde__net *net = NULL;
    sonde__net_options options = {.seed = sample->seed, .threads = work->threads};
    SONDE_TRY(sonde__arch_build(context, work->names->items[row / task->sample_count].spec,
                                task->input, task->classes, -1, &graph));
    sonde__score_net_options(task->settings.wanted, sample->batch.n, &options);
    SONDE_TRY(sonde__net_create(context, graph, &options, &net));
    sonde_status status = sonde__parts_check_rows(
        context, work->names->items[row / task->sample_count].spec, net, task->rows);
    if (status == SONDE_OK)
        status = score_net(context, work, net, sample, work->rows[row].scores);
    sonde__net_free(net);
    work->rows[row].seconds = sonde__seconds() - began;
    return status;
}

/* ---- workers --------------------------------------------------------------------------------- */

/* The next row that is not done; `count` when there is none. Under the mutex. */
static size_t take_row(list_work *work)
{
    while (work->next < work->count && work->rows[work->next].done)
        work->next++;
    if (work->ending || work->status != SONDE_OK || work->next >= work->count)
        return work->count;
    return work->next++;
}

static void hand_over(list_work *work, size_t row, sonde_status status,
                      const sonde_context *context)
{
    if (status == SONDE_OK) {
        work->rows[row].done = true;
        work->ready[work->ready_count++] = row;
    } else if (work->status == SONDE_OK) {
        work->status = status;
        work->failed = row;
        if (context)
            snprintf(work->message, MESSAGE, "%s", sonde_context_error(context)->message);
    }
    pthread_cond_signal(&work->finished);
}

static void work_on(void *argument)
{
    list_work *work = argument;
    sonde_context *context = NULL;
    sonde_context_options options;
    sonde_context_options_init(&options);
    options.threads = work->threads > 0 ? work->threads : sonde__threads(work->task->context);
    options.memory_limit = work->memory_limit;
    sonde_status status = sonde_context_create(&options, &context);
    pthread_mutex_lock(&work->mutex);
    for (;;) {
        const size_t row = take_row(work);
        if (row == work->count)
            break;
        pthread_mutex_unlock(&work->mutex);
        if (status == SONDE_OK)
            status = score_row(context, work, row);
        pthread_mutex_lock(&work->mutex);
        hand_over(work, row, status, context);
    }
    work->running--;
    pthread_cond_signal(&work->finished);
    pthread_mutex_unlock(&work->mutex);
    sonde_context_free(context);
}

/* ---- the calling thread ---------------------------------------------------------------------- */

static struct timespec soon(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_nsec += 100000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_nsec -= 1000000000;
        time.tv_sec++;
    }
    return time;
}

/* Waits for a finished row, or a tenth of a second. Returns SIZE_MAX when there is none. */
static size_t next_ready(list_work *work, bool *idle)
{
    size_t row = SIZE_MAX;
    const struct timespec until = soon();
    pthread_mutex_lock(&work->mutex);
    if (work->ready_count == 0 && work->running > 0)
        pthread_cond_timedwait(&work->finished, &work->mutex, &until);
    if (work->ready_count > 0)
        row = work->ready[--work->ready_count];
    *idle = work->running == 0 && work->ready_count == 0;
    pthread_mutex_unlock(&work->mutex);
    return row;
}

static void end_early(list_work *work, sonde_status status)
{
    pthread_mutex_lock(&work->mutex);
    work->ending = true;
    if (work->status == SONDE_OK)
        work->status = status;
    pthread_mutex_unlock(&work->mutex);
}

/* The mean time of what was done since the beginning, for what is left. */
static void estimate(sonde__score_progress *progress, double began)
{
    const size_t computed = progress->done - progress->found;
    progress->seconds = sonde__seconds() - began;
    progress->left = (double)NAN;
    if (computed > 0)
        progress->left =
            progress->seconds / (double)computed * (double)(progress->rows - progress->done);
}

/* Writes what comes and tells of it until the workers have ended. */
static void attend(list_work *work, sonde__score_file *file, const sonde__score_hooks *hooks,
                   sonde__score_progress *progress)
{
    const double began = sonde__seconds();
    for (bool idle = false; !idle;) {
        const size_t row = next_ready(work, &idle);
        sonde_status status = SONDE_OK;
        if (row != SIZE_MAX) {
            progress->done++;
            progress->spec = work->names->items[row / work->task->sample_count].spec;
            if (file)
                status = sonde__score_file_add(file, row);
        }
        estimate(progress, began);
        if (status != SONDE_OK)
            end_early(work, status);
        else if (hooks && hooks->progress && !hooks->progress(hooks->user, progress))
            end_early(work, SONDE_ERROR_CANCELLED);
    }
}

static sonde_status start(list_work *work, sonde__pool *pool, int workers)
{
    for (int i = 0; i < workers; i++) {
        pthread_mutex_lock(&work->mutex);
        work->running++;
        pthread_mutex_unlock(&work->mutex);
        const sonde_status status = sonde__pool_submit(pool, work_on, work);
        if (status == SONDE_OK)
            continue;
        pthread_mutex_lock(&work->mutex);
        work->running--;
        pthread_mutex_unlock(&work->mutex);
        return status;
    }
    return SONDE_OK;
}

/* One worker for each thread, but not more than rows; a single one shares all threads out. */
static int share_out(list_work *work, size_t left)
{
    sonde_context *context = work->task->context;
    const int threads = sonde__threads(context);
    const int workers = left < (size_t)threads ? (int)left : threads;
    const size_t limit = sonde__memory_limit(context), used = sonde_context_memory_used(context);
    work->threads = workers > 1 ? 1 : 0;
    if (limit)
        work->memory_limit = limit > used ? (limit - used) / (size_t)workers : 1;
    return workers;
}

static sonde_status tell_failure(const list_work *work)
{
    sonde_context *context = work->task->context;
    if (!work->message[0])
        return work->status;
    return sonde__fail_at(context, work->status, NULL,
                          work->names->items[work->failed / work->task->sample_count].spec, -1,
                          "%s", work->message);
}

sonde_status sonde__score_all(const sonde__score_task *task, const sonde__arch_names *names,
                              sonde__score_file *file, const sonde__score_hooks *hooks,
                              sonde__network_score *rows)
{
    sonde_context *context = task->context;
    list_work work = {.task = task, .names = names, .rows = rows};
    sonde__score_progress progress = {.spec = "", .left = (double)NAN};
    sonde__pool *pool = NULL;
    work.count = progress.rows = names->count * task->sample_count;
    for (size_t i = 0; i < work.count; i++)
        progress.found += rows[i].done;
    progress.done = progress.found;
    if (progress.done == work.count)
        return SONDE_OK;
    work.ready = sonde__alloc(context, work.count, sizeof *work.ready);
    if (!work.ready)
        return SONDE_ERROR_MEMORY;
    pthread_mutex_init(&work.mutex, NULL);
    pthread_cond_init(&work.finished, NULL);
    const int workers = share_out(&work, work.count - progress.done);
    sonde_status status = sonde__pool_create(context, workers, false, &pool);
    if (status == SONDE_OK)
        status = start(&work, pool, workers);
    if (status != SONDE_OK)
        end_early(&work, status);
    attend(&work, file, hooks, &progress);
    sonde__pool_free(pool);
    pthread_cond_destroy(&work.finished);
    pthread_mutex_destroy(&work.mutex);
    sonde__free(context, work.ready);
    return work.status == SONDE_OK ? SONDE_OK : tell_failure(&work);
}
