/*
 * Who computes which layer when.
 *
 * Workers take the costliest layer that is left and whose memory fits beside what runs, so that the
 * end of a survey is not one long matrix on one core. A layer has two steps, eigenvalues and their
 * judgement, since the second is costly once a shape (random matrices are drawn for its threshold):
 * while one worker draws them, layers of the same shape wait for their judgement and the others go
 * on. Each matrix is computed on one thread by the same operations, so that results do not depend on
 * the number of threads. A layer that meets the end of the memory all the same is tried once more
 * with nothing beside it.
 *
 * Invariant: everything in `schedule` but the layers' own content is guarded by `mutex`.
 */
#include "model/survey_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"

typedef struct job {
    sonde__survey_layer *layer;
    size_t memory; /* bytes at once */
    size_t form;   /* which of the shapes */
    size_t order;  /* in the file */
    double work;   /* of its eigenvalues */
    double taken;  /* when a worker took it; 0: none has it */
    bool started, judging, alone;
} job;

/* Matrices whose judgement shares one calibration. */
typedef struct form {
    size_t shorter, longer, slices;
    enum { FORM_NEW, FORM_RUNNING, FORM_KNOWN } state;
} form;

typedef struct schedule {
    sonde__survey_run *run;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    job *jobs;           /* the costliest first */
    size_t count, first; /* all before `first` have been taken */
    job **computed;      /* that wait for their judgement */
    size_t computed_count;
    form *forms;
    size_t form_count;
    size_t budget, held; /* bytes for matrices, and of those that run or are kept */
    bool limited;        /* the budget is the context's: no matrix may exceed it, alone neither */
    size_t running, loops, done;
    bool ending, exclusive;
    sonde_status failure;          /* that ends the survey */
    double begin, total, finished; /* estimated operations, of all and of what is done */
    double busy;                   /* seconds that workers have spent on `finished` */
    double shown;                  /* share of the work that was told last */
    const char *last;
} schedule;

/* Operations that a shape's calibration is worth, and those of a second; until it is known better. */
static const double CALIBRATION_WORK = 4e9, RATE = 1e10;
static const double REPORT_SECONDS = 0.2;

/* --- what there is to do ------------------------------------------------------------------------ */

/* The costliest first; in order of the file among equals. */
static int by_work(const void *a, const void *b)
{
    const job *const left = a, *const right = b;
    if (left->work != right->work)
        return left->work > right->work ? -1 : 1;
    return left->order < right->order ? -1 : 1;
}

static size_t find_form(schedule *plan, const sonde__matrix *matrix)
{
    const bool wide = matrix->rows < matrix->cols;
    const form wanted = {wide ? matrix->rows : matrix->cols, wide ? matrix->cols : matrix->rows,
                         matrix->slices, FORM_NEW};
    for (size_t i = plan->form_count; i > 0; i--) { /* most often that of a neighbour */
        const form *const each = &plan->forms[i - 1];
        if (each->shorter == wanted.shorter && each->longer == wanted.longer &&
            each->slices == wanted.slices)
            return i - 1;
    }
    plan->forms[plan->form_count] = wanted;
    return plan->form_count++;
}

static void add_job(schedule *plan, sonde__survey_layer *layer, size_t order)
{
    job *const made = &plan->jobs[plan->count++];
    *made = (job){.layer = layer,
                  .memory = sonde__layer_memory(plan->run, layer->matrix),
                  .form = find_form(plan, layer->matrix),
                  .order = order,
                  .work = sonde__layer_work(plan->run, layer->matrix)};
    plan->total += made->work;
}

static bool needs_work(const sonde__survey_layer *layer)
{
    return !layer->result.skipped && !layer->finished;
}

static sonde_status list_jobs(schedule *plan)
{
    sonde_survey *const survey = plan->run->survey;
    sonde_context *const context = plan->run->context;
    size_t count = 0;
    for (size_t i = 0; i < survey->matrices.count; i++)
        count += needs_work(&survey->layers[i]);
    plan->jobs = sonde__alloc_zero(context, count, sizeof *plan->jobs);
    plan->computed = sonde__alloc_zero(context, count, sizeof(job *));
    plan->forms = sonde__alloc_zero(context, count, sizeof *plan->forms);
    if (!plan->jobs || !plan->computed || !plan->forms)
        return sonde_context_error(context)->status;
    for (size_t i = 0; i < survey->matrices.count; i++)
        if (needs_work(&survey->layers[i]))
            add_job(plan, &survey->layers[i], i);
    qsort(plan->jobs, plan->count, sizeof *plan->jobs, by_work);
    if (plan->run->options->spectrum.calibrate)
        plan->total += CALIBRATION_WORK * (double)plan->form_count;
    return SONDE_OK;
}

/* What the context leaves for matrices; without a limit half of the machine's memory, so that a
 * machine of many cores does not take on too many large matrices at once. */
static void set_budget(schedule *plan)
{
    const size_t limit = sonde__memory_limit(plan->run->context);
    const size_t used = sonde_context_memory_used(plan->run->context);
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGE_SIZE);
    plan->limited = limit > 0;
    if (plan->limited)
        plan->budget = limit > used ? limit - used : 0;
    else
        plan->budget = pages > 0 && size > 0 ? (size_t)pages / 2 * (size_t)size : SIZE_MAX;
}

/* --- the next step (all with the mutex held) ---------------------------------------------------- */

typedef enum step { STEP_WAIT, STEP_VALUES, STEP_JUDGE, STEP_END } step;

static bool fits(const schedule *plan, const job *each)
{
    if (plan->exclusive || each->memory == 0)
        return false;
    if (plan->running == 0 && (each->alone || !plan->limited))
        return true;
    return !each->alone && plan->held <= plan->budget && each->memory <= plan->budget - plan->held;
}

static void finish(schedule *plan, job *each)
{
    each->layer->finished = true;
    plan->last = each->layer->matrix->name;
    plan->done++;
}

/* Of the layers that wait for their judgement, one whose shape nobody else is calibrating. */
static job *take_computed(schedule *plan)
{
    for (size_t i = 0; i < plan->computed_count && !plan->exclusive; i++) {
        job *const each = plan->computed[i];
        form *const shape = &plan->forms[each->form];
        if (shape->state == FORM_RUNNING || (each->alone && plan->running > 0))
            continue;
        if (shape->state == FORM_NEW)
            shape->state = FORM_RUNNING;
        plan->computed[i] = plan->computed[--plan->computed_count];
        return each;
    }
    return NULL;
}

static job *take_waiting(schedule *plan)
{
    while (plan->first < plan->count && plan->jobs[plan->first].started)
        plan->first++;
    for (size_t i = plan->first; i < plan->count; i++)
        if (!plan->jobs[i].started && fits(plan, &plan->jobs[i]))
            return &plan->jobs[i];
    return NULL;
}

/* With nothing running: the first layer left does not fit even alone. */
static void skip_too_large(schedule *plan)
{
    job *const each = &plan->jobs[plan->first];
    const double mega = 1.0 / (1 << 20);
    each->started = true;
    if (each->memory == 0)
        sonde__layer_skip(plan->run, each->layer, "%zu x %zu is more than memory can hold",
                          each->layer->matrix->rows, each->layer->matrix->cols);
    else
        sonde__layer_skip(plan->run, each->layer,
                          "needs %.1f MiB (%zu bytes) at once, where the memory limit leaves "
                          "%.1f MiB",
                          (double)each->memory * mega, each->memory,
                          plan->budget > plan->held ? (double)(plan->budget - plan->held) * mega
                                                    : 0.0);
    plan->total -= each->work;
    finish(plan, each);
}

static step next_step(schedule *plan, job **taken)
{
    if (plan->ending)
        return STEP_END;
    if ((*taken = take_computed(plan)))
        return STEP_JUDGE;
    for (;;) {
        if ((*taken = take_waiting(plan)))
            return STEP_VALUES;
        if (plan->running > 0 || plan->computed_count > 0)
            return STEP_WAIT;
        if (plan->first == plan->count)
            return STEP_END;
        skip_too_large(plan);
    }
}

/* --- a worker ----------------------------------------------------------------------------------- */

static void end_with(schedule *plan, sonde_status status)
{
    if (plan->failure == SONDE_OK || plan->failure == SONDE_ERROR_CANCELLED)
        plan->failure = status;
    plan->ending = true;
}

/* Out of memory: once more with nothing beside it, then given up. */
static void run_out(schedule *plan, job *each)
{
    if (!each->alone) {
        each->alone = true;
        each->started = false;
        plan->first =
            (size_t)(each - plan->jobs) < plan->first ? (size_t)(each - plan->jobs) : plan->first;
        return;
    }
    sonde__layer_skip(plan->run, each->layer, "memory ran out, alone too (about %zu bytes needed)",
                      each->memory);
    plan->total -= each->work;
    finish(plan, each);
}

/* With the mutex held. */
static void after_values(schedule *plan, job *each, sonde_status status)
{
    const sonde__survey_layer *const layer = each->layer;
    const size_t kept = layer->eigenvalues ? sonde__layer_count(layer->matrix) * sizeof(double) : 0;
    plan->held -= each->memory - (kept < each->memory ? kept : each->memory);
    if (status == SONDE_ERROR_MEMORY) {
        run_out(plan, each);
    } else if (status != SONDE_OK) {
        end_with(plan, status);
    } else {
        plan->finished += each->work;
        if (layer->skipped)
            finish(plan, each);
        else
            plan->computed[plan->computed_count++] = each;
    }
}

/* With the mutex held. */
static void after_judgement(schedule *plan, job *each, sonde_status status)
{
    form *const shape = &plan->forms[each->form];
    if (shape->state == FORM_RUNNING) {
        shape->state = status == SONDE_OK ? FORM_KNOWN : FORM_NEW;
        if (status == SONDE_OK && plan->run->options->spectrum.calibrate)
            plan->finished += CALIBRATION_WORK;
    }
    if (status == SONDE_ERROR_MEMORY && !each->alone) {
        each->alone = true;
        plan->computed[plan->computed_count++] = each;
    } else if (status == SONDE_ERROR_MEMORY) {
        sonde__layer_skip(plan->run, each->layer, "memory ran out while the spectrum was judged");
        finish(plan, each);
    } else if (status != SONDE_OK) {
        end_with(plan, status);
    } else {
        finish(plan, each);
    }
}

static void take(schedule *plan, job *each, step next)
{
    each->taken = sonde__seconds();
    plan->running++;
    plan->exclusive = each->alone;
    each->judging = next == STEP_JUDGE;
    if (next == STEP_VALUES) {
        each->started = true;
        plan->held += each->memory;
    }
}

static void do_step(schedule *plan, job *each, step next)
{
    take(plan, each, next);
    pthread_mutex_unlock(&plan->mutex);
    const sonde_status status = next == STEP_VALUES ? sonde__layer_values(plan->run, each->layer)
                                                    : sonde__layer_judge(plan->run, each->layer);
    pthread_mutex_lock(&plan->mutex);
    const double seconds = sonde__seconds() - each->taken;
    each->taken = 0;
    each->layer->result.seconds += seconds;
    plan->busy += seconds;
    plan->running--;
    if (each->alone)
        plan->exclusive = false;
    if (next == STEP_VALUES)
        after_values(plan, each, status);
    else
        after_judgement(plan, each, status);
    pthread_cond_broadcast(&plan->changed);
}

static void work(void *argument)
{
    schedule *const plan = argument;
    pthread_mutex_lock(&plan->mutex);
    for (;;) {
        job *each;
        const step next = next_step(plan, &each);
        if (next == STEP_END)
            break;
        if (next == STEP_WAIT)
            pthread_cond_wait(&plan->changed, &plan->mutex);
        else
            do_step(plan, each, next);
    }
    plan->loops--;
    pthread_cond_broadcast(&plan->changed);
    pthread_mutex_unlock(&plan->mutex);
}

/* --- the calling thread ------------------------------------------------------------------------- */

/* Operations of the layers that run now, as far as their time lets one guess. */
static double work_in_flight(const schedule *plan, double rate, double now)
{
    double sum = 0;
    for (size_t i = 0; plan->running > 0 && i < plan->count; i++) {
        const job *const each = &plan->jobs[i];
        const double guess = (now - each->taken) * rate;
        if (each->taken > 0 && !each->judging)
            sum += guess < 0.95 * each->work ? guess : 0.95 * each->work;
    }
    return sum;
}

static sonde_survey_progress progress_of(schedule *plan)
{
    const double now = sonde__seconds();
    const bool known = plan->busy > 0.5 && plan->finished > 0;
    const double rate = known ? plan->finished / plan->busy : RATE;
    const double done = plan->finished + work_in_flight(plan, rate, now);
    const double left = plan->total > done ? plan->total - done : 0;
    const double share = plan->total > 0 ? done / plan->total : 1;
    const size_t threads = plan->loops > 0 ? plan->loops : 1;
    if (share > plan->shown)
        plan->shown = share < 1 ? share : 1;
    return (sonde_survey_progress){
        .layers = plan->count,
        .layers_done = plan->done,
        .work_done = plan->done == plan->count ? 1 : plan->shown,
        .seconds = now - plan->begin,
        .seconds_left = plan->done == plan->count ? 0 : left / (rate * (double)threads),
        .layer = plan->last};
}

/* With the mutex held, which is given up meanwhile; under `reading`, so that the callback may use the
 * context and the model. */
static void report(schedule *plan)
{
    sonde__survey_run *const run = plan->run;
    if (!run->options->progress)
        return;
    const sonde_survey_progress progress = progress_of(plan);
    pthread_mutex_unlock(&plan->mutex);
    pthread_mutex_lock(&run->reading);
    const bool go_on = run->options->progress(run->options->progress_user, &progress);
    pthread_mutex_unlock(&run->reading);
    pthread_mutex_lock(&plan->mutex);
    if (!go_on)
        end_with(plan, SONDE_ERROR_CANCELLED);
}

/* With the mutex held: until a worker has news, or a tenth of a second. */
static void wait_a_little(schedule *plan)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&plan->changed, &plan->mutex, &until);
}

/* Until every worker's loop has ended. A survey that ends early cancels the context meanwhile, which
 * is what computations look at. */
static void watch(schedule *plan)
{
    sonde_context *const context = plan->run->context;
    double told = 0;
    bool ours = false;
    pthread_mutex_lock(&plan->mutex);
    while (plan->loops > 0) {
        if (sonde__cancelled(context) && !ours)
            end_with(plan, SONDE_ERROR_CANCELLED);
        if (plan->ending && !sonde__cancelled(context)) {
            ours = true;
            sonde__set_cancelled(context, true);
            pthread_cond_broadcast(&plan->changed);
        }
        if (!plan->ending && sonde__seconds() - told >= REPORT_SECONDS) {
            told = sonde__seconds();
            report(plan);
        } else {
            wait_a_little(plan);
        }
    }
    if (plan->failure == SONDE_OK)
        report(plan);
    if (ours)
        sonde__set_cancelled(context, false);
    pthread_mutex_unlock(&plan->mutex);
}

static sonde_status run_loops(schedule *plan, sonde__pool *pool, size_t loops)
{
    sonde_status status = SONDE_OK;
    pthread_mutex_lock(&plan->mutex);
    for (size_t i = 0; i < loops && status == SONDE_OK; i++) {
        status = sonde__pool_submit(pool, work, plan);
        if (status == SONDE_OK)
            plan->loops++;
    }
    if (status != SONDE_OK)
        plan->ending = true;
    pthread_mutex_unlock(&plan->mutex);
    watch(plan);
    return status;
}

static sonde_status run_plan(schedule *plan)
{
    const size_t threads = (size_t)sonde__threads(plan->run->context);
    const size_t loops = threads < plan->count ? threads : plan->count;
    sonde__pool *pool;
    SONDE_TRY(sonde__pool_create(plan->run->context, (int)loops, false, &pool));
    plan->begin = sonde__seconds();
    set_budget(plan);
    const sonde_status status = run_loops(plan, pool, loops);
    sonde__pool_free(pool);
    if (status != SONDE_OK)
        return status;
    /* The last report may have asked to end when there was nothing left. */
    return plan->done == plan->count ? SONDE_OK : plan->failure;
}

static sonde_status init_changed(pthread_cond_t *changed)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return SONDE_ERROR_MEMORY;
    const int failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) != 0 ||
                       pthread_cond_init(changed, &attributes) != 0;
    pthread_condattr_destroy(&attributes);
    return failed ? SONDE_ERROR_MEMORY : SONDE_OK;
}

sonde_status sonde__survey_schedule(sonde__survey_run *run)
{
    schedule plan = {.run = run, .last = ""};
    if (init_changed(&plan.changed) != SONDE_OK)
        return sonde__fail(run->context, SONDE_ERROR_MEMORY, "no condition variable is to be had");
    pthread_mutex_init(&plan.mutex, NULL);
    sonde_status status = list_jobs(&plan);
    if (status == SONDE_OK && plan.count > 0)
        status = run_plan(&plan);
    pthread_mutex_destroy(&plan.mutex);
    pthread_cond_destroy(&plan.changed);
    sonde__free(run->context, plan.jobs);
    sonde__free(run->context, plan.computed);
    sonde__free(run->context, plan.forms);
    return status;
}
