/*
 * What architectures are scored on: one batch a seed, drawn as zero-cost-nas draws its first one
 * (shuffled, randomly cropped and mirrored), or the same number of examples of each class, or the
 * user's own tensors; and, for DisWOT, what the teacher makes of it.
 *
 * Invariant: the data set is closed before the first network is made; a sample holds all it needs.
 */
#include "run/score_list.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/random.h"
#include "file/dataset.h"
#include "net/arch.h"
#include "run/batch.h"
#include "run/parts.h"

enum { BATCH_MAX = 1 << 16, REPEATS_MAX = 1000 };

const char *sonde__protocol_name(sonde__protocol protocol)
{
    return protocol == SONDE__NASLIB ? "naslib" : "zero-cost-nas";
}

const char *sonde__distill_metric_name(sonde__distill_metric metric)
{
    static const char *const names[] = {"paper", "repo", "s1"};
    return names[metric];
}

/* ---- samples --------------------------------------------------------------------------------- */

/* FNV-1a of the bytes: which batch a result belongs to. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static size_t features_of(const sonde__score_task *task)
{
    return (size_t)task->input.channels * (size_t)task->input.height * (size_t)task->input.width;
}

/* Room for n examples; the identity is set when they are there. */
static sonde_status make_sample(const sonde__score_task *task, size_t n,
                                sonde__score_sample *sample)
{
    size_t floats;
    if (!sonde__multiply(n, features_of(task), &floats))
        return sonde__fail(task->context, SONDE_ERROR_OVERFLOW,
                           "a batch of %zu examples is too large", n);
    sample->x = sonde__alloc(task->context, floats, sizeof *sample->x);
    sample->labels = sonde__alloc(task->context, n, (size_t)task->rows * sizeof *sample->labels);
    sample->batch = (sonde__score_batch){sample->x, sample->labels, (int)n};
    return sample->x && sample->labels ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static void identify(const sonde__score_task *task, sonde__score_sample *sample)
{
    const size_t n = (size_t)sample->batch.n;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    hash = hash_bytes(hash, sample->x, n * features_of(task) * sizeof *sample->x);
    sample->identity =
        hash_bytes(hash, sample->labels, n * (size_t)task->rows * sizeof *sample->labels);
}

/* ---- from a data set ------------------------------------------------------------------------- */

/* Moves the first `each` examples of every class to the front, class by class. */
static sonde_status balance(const sonde__score_task *task, const sonde__dataset *data, size_t each,
                            uint32_t *indexes)
{
    const size_t wanted = each * (size_t)data->classes;
    uint32_t *chosen = sonde__alloc(task->context, wanted, sizeof *chosen);
    if (!chosen)
        return SONDE_ERROR_MEMORY;
    size_t count = 0;
    for (int c = 0; c < data->classes && count == each * (size_t)c; c++)
        for (size_t i = 0; i < data->count && count < each * (size_t)(c + 1); i++)
            if (data->labels[indexes[i]] == c)
                chosen[count++] = indexes[i];
    const bool enough = count == wanted;
    if (enough)
        memcpy(indexes, chosen, wanted * sizeof *chosen);
    sonde__free(task->context, chosen);
    if (enough)
        return SONDE_OK;
    return sonde__fail_at(task->context, SONDE_ERROR_ARGUMENT, NULL, "load", -1,
                          "class %zu of %s has only %zu examples, but --load grasp takes %zu of "
                          "each; choose a smaller batch",
                          count / each, data->name, count % each, each);
}

static sonde_status draw_sample(const sonde__score_task *task, const sonde__dataset *data,
                                uint32_t *indexes, sonde__score_sample *sample)
{
    const size_t n = (size_t)task->settings.batch;
    sonde__batcher batcher;
    sonde__stream stream = sonde__stream_open(sample->seed, SONDE__RANDOM_SHUFFLE, 0);
    for (size_t i = 0; i < data->count; i++)
        indexes[i] = (uint32_t)i;
    sonde__random_shuffle(&stream, indexes, data->count);
    if (task->settings.balanced)
        SONDE_TRY(balance(task, data, n / (size_t)data->classes, indexes));
    SONDE_TRY(make_sample(task, n, sample));
    sonde__batcher_init(&batcher, data, sample->seed);
    sonde__batcher_fill(&batcher, indexes, n, task->settings.config.augment ? 0 : -1, sample->x,
                        sample->labels);
    identify(task, sample);
    return SONDE_OK;
}

static sonde_status settle_batch(sonde__score_task *task, const sonde__dataset *data)
{
    int64_t *batch = &task->settings.batch;
    if (*batch == 0)
        *batch = task->settings.protocol == SONDE__NASLIB ? 32 : 64;
    if (task->settings.balanced && *batch < data->classes)
        return sonde__fail_at(
            task->context, SONDE_ERROR_ARGUMENT, NULL, "batch", -1,
            "--load grasp takes examples of each of the %d classes, and a batch of "
            "%" PRId64 " is smaller than that",
            data->classes, *batch);
    if (task->settings.balanced)
        *batch -= *batch % data->classes;
    if (*batch < 2 || *batch > BATCH_MAX)
        return sonde__fail_at(task->context, SONDE_ERROR_ARGUMENT, NULL, "batch", -1,
                              "--batch %" PRId64 ": proxies compare examples; take 2 to %d", *batch,
                              BATCH_MAX);
    if ((uint64_t)*batch > data->count)
        return sonde__fail_at(task->context, SONDE_ERROR_ARGUMENT, NULL, "batch", -1,
                              "a batch of %" PRId64 " is more than the %zu examples of %s", *batch,
                              data->count, data->name);
    return SONDE_OK;
}

static sonde_status sample_data(sonde__score_task *task, const sonde__dataset *data)
{
    task->input = (sonde__shape){data->channels, data->height, data->width};
    task->classes = data->classes;
    task->rows = data->rows;
    task->settings.config.augment = task->settings.config.augment && data->image;
    snprintf(task->data, sizeof task->data, "%s", data->name);
    if (task->settings.balanced) /* an example of a text is of no class */
        SONDE_TRY(sonde__parts_one_label(task->context, data));
    SONDE_TRY(settle_batch(task, data));
    uint32_t *indexes = sonde__alloc(task->context, data->count, sizeof *indexes);
    if (!indexes)
        return SONDE_ERROR_MEMORY;
    sonde_status status = SONDE_OK;
    for (size_t i = 0; i < task->sample_count && status == SONDE_OK; i++)
        status = draw_sample(task, data, indexes, &task->samples[i]);
    sonde__free(task->context, indexes);
    return status;
}

static sonde_status open_data(sonde__score_task *task)
{
    sonde__dataset *train = NULL, *test = NULL;
    SONDE_TRY(sonde__parts_data(task->context, &task->settings.config, &train, &test));
    const sonde_status status = sample_data(task, train);
    sonde__dataset_free(task->context, train);
    sonde__dataset_free(task->context, test);
    return status;
}

/* ---- from the user's tensors ----------------------------------------------------------------- */

static sonde_status find_tensor(sonde__score_task *task, sonde_model *model, const char *name,
                                size_t *index, sonde_tensor *tensor)
{
    const char *path = task->settings.input;
    if (sonde_model_find(model, name, index) != SONDE_OK)
        return sonde__fail_at(task->context, SONDE_ERROR_NOT_FOUND, path, name, -1,
                              "%s has no tensor %s; it takes x (examples) and y (labels)", path,
                              name);
    return sonde_model_tensor(model, *index, tensor);
}

static sonde_status check_tensors(sonde__score_task *task, const sonde_tensor *x,
                                  const sonde_tensor *y)
{
    const char *path = task->settings.input;
    bool fits = x->dims == 4 || x->dims == 2;
    for (int i = 1; i < x->dims && fits; i++)
        fits = x->shape[i] >= 1 && x->shape[i] <= BATCH_MAX;
    if (!fits)
        return sonde__fail_at(task->context, SONDE_ERROR_SHAPE, path, "x", -1,
                              "%s: x must be examples x channels x height x width, or examples x "
                              "features",
                              path);
    if (x->shape[0] < 2 || x->shape[0] > BATCH_MAX)
        return sonde__fail_at(task->context, SONDE_ERROR_SHAPE, path, "x", -1,
                              "%s: x holds %" PRId64 " examples; proxies take 2 to %d", path,
                              x->shape[0], BATCH_MAX);
    if (y->dims != 1 || y->shape[0] != x->shape[0])
        return sonde__fail_at(task->context, SONDE_ERROR_SHAPE, path, "y", -1,
                              "%s: y must hold one label for each of the %" PRId64 " examples",
                              path, x->shape[0]);
    const bool image = x->dims == 4;
    task->input = (sonde__shape){(int)x->shape[1], image ? (int)x->shape[2] : 1,
                                 image ? (int)x->shape[3] : 1};
    task->settings.batch = x->shape[0];
    return SONDE_OK;
}

static sonde_status take_labels(sonde__score_task *task, const double *y,
                                sonde__score_sample *sample)
{
    const int64_t most = task->settings.classes ? task->settings.classes : INT32_MAX;
    int32_t largest = 0;
    for (int i = 0; i < sample->batch.n; i++) {
        if (!(y[i] >= 0 && y[i] < (double)most) || y[i] != floor(y[i]))
            return sonde__fail_at(task->context, SONDE_ERROR_RANGE, task->settings.input, "y", -1,
                                  "%s: y[%d] is %g, which is no class%s", task->settings.input, i,
                                  y[i], task->settings.classes ? " of --classes" : "");
        sample->labels[i] = (int32_t)y[i];
        largest = sample->labels[i] > largest ? sample->labels[i] : largest;
    }
    task->classes = task->settings.classes ? (int)task->settings.classes : largest + 1;
    return SONDE_OK;
}

/* ReLUs hide a NaN: what a network makes of one may look like numbers. */
static sonde_status check_finite(const sonde__score_task *task, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i]))
            return sonde__fail_at(task->context, SONDE_ERROR_NUMERIC, task->settings.input, "x", -1,
                                  "%s: x[%zu] is %g; networks are scored on finite numbers",
                                  task->settings.input, i, (double)x[i]);
    return SONDE_OK;
}

static sonde_status read_tensors(sonde__score_task *task, sonde_model *model)
{
    size_t x_index, y_index;
    sonde_tensor x, y;
    sonde__score_sample *sample = &task->samples[0];
    SONDE_TRY(find_tensor(task, model, "x", &x_index, &x));
    SONDE_TRY(find_tensor(task, model, "y", &y_index, &y));
    SONDE_TRY(check_tensors(task, &x, &y));
    SONDE_TRY(make_sample(task, (size_t)x.shape[0], sample));
    SONDE_TRY(sonde_model_read(model, x_index, 0, x.elements, SONDE_F32, sample->x));
    SONDE_TRY(check_finite(task, sample->x, (size_t)x.elements));
    double *labels = sonde__alloc(task->context, (size_t)y.elements, sizeof *labels);
    if (!labels)
        return SONDE_ERROR_MEMORY;
    sonde_status status = sonde_model_read(model, y_index, 0, y.elements, SONDE_F64, labels);
    if (status == SONDE_OK)
        status = take_labels(task, labels, sample);
    sonde__free(task->context, labels);
    SONDE_TRY(status);
    identify(task, sample);
    /* --classes may say more of them than the labels do, and the networks are others then. */
    sample->identity = hash_bytes(sample->identity, &task->classes, sizeof task->classes);
    return SONDE_OK;
}

/* Every seed sees the same batch. */
static sonde_status share_sample(sonde__score_task *task)
{
    const sonde__score_sample *first = &task->samples[0];
    const size_t n = (size_t)first->batch.n;
    for (size_t i = 1; i < task->sample_count; i++) {
        sonde__score_sample *sample = &task->samples[i];
        SONDE_TRY(make_sample(task, n, sample));
        memcpy(sample->x, first->x, n * features_of(task) * sizeof *sample->x);
        memcpy(sample->labels, first->labels, n * sizeof *sample->labels);
        sample->identity = first->identity;
    }
    return SONDE_OK;
}

static sonde_status open_input(sonde__score_task *task)
{
    sonde_model *model = NULL;
    SONDE_TRY(sonde_model_open(task->context, task->settings.input, NULL, &model));
    sonde_status status = read_tensors(task, model);
    sonde_model_close(model);
    task->settings.config.augment = task->settings.balanced = false;
    snprintf(task->data, sizeof task->data, "own tensors");
    return status == SONDE_OK ? share_sample(task) : status;
}

/* ---- the task -------------------------------------------------------------------------------- */

sonde_status sonde__score_task_open(sonde_context *context, const sonde__score_settings *settings,
                                    sonde__score_task *task)
{
    *task = (sonde__score_task){.context = context, .settings = *settings, .rows = 1};
    if (settings->repeats < 1 || settings->repeats > REPEATS_MAX)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "repeat", -1,
                              "--repeat %" PRId64 ": take 1 to %d", settings->repeats, REPEATS_MAX);
    task->sample_count = (size_t)settings->repeats;
    task->samples = sonde__alloc_zero(context, task->sample_count, sizeof *task->samples);
    if (!task->samples)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < task->sample_count; i++) {
        task->samples[i].seed = (uint64_t)settings->config.seed + i;
        task->samples[i].teacher.context = context;
    }
    const sonde_status status = settings->input ? open_input(task) : open_data(task);
    if (status != SONDE_OK)
        sonde__score_task_close(task);
    return status;
}

void sonde__score_task_close(sonde__score_task *task)
{
    for (size_t i = 0; i < task->sample_count; i++) {
        sonde__distill_view_free(&task->samples[i].teacher);
        sonde__free(task->context, task->samples[i].x);
        sonde__free(task->context, task->samples[i].labels);
    }
    sonde__free(task->context, task->samples);
    task->samples = NULL;
    task->sample_count = 0;
}

static sonde_status teach(sonde__score_task *task, sonde__score_sample *sample)
{
    sonde__graph *graph = NULL;
    sonde__net *net = NULL;
    sonde__net_options options = {.seed = sample->seed};
    SONDE_TRY(sonde__arch_build(task->context, task->settings.teacher, task->input, task->classes,
                                -1, &graph));
    sonde__score_net_options(0, sample->batch.n, &options);
    SONDE_TRY(sonde__net_create(task->context, graph, &options, &net));
    sonde_status status =
        sonde__parts_check_rows(task->context, task->settings.teacher, net, task->rows);
    if (status == SONDE_OK)
        status = sonde__distill_view_make(task->context, net, &sample->batch, sample->seed, true,
                                          &sample->teacher);
    sonde__net_free(net);
    return status;
}

sonde_status sonde__score_task_teach(sonde__score_task *task)
{
    for (size_t i = 0; task->settings.teacher && i < task->sample_count; i++)
        SONDE_TRY(teach(task, &task->samples[i]));
    return SONDE_OK;
}

bool sonde__score_setting_at(const sonde__score_task *task, int index,
                             sonde__score_setting *setting)
{
    const sonde__score_settings *s = &task->settings;
    char batch[24];
    snprintf(batch, sizeof batch, "%" PRId64, s->batch);
    const struct {
        const char *name, *value;
    } all[] = {
        {"protocol", sonde__protocol_name(s->protocol)},
        {"data", s->input ? s->input : task->data},
        {"batch", batch},
        {"load", s->input      ? "all"
                 : s->balanced ? "grasp"
                               : "random"},
        {"augment", s->config.augment ? "on" : "off"},
        {"init", s->weights ? s->weights : "initial"},
        {"teacher", s->teacher ? s->teacher : "none"},
        {"metric", s->teacher ? sonde__distill_metric_name(s->metric) : "none"},
    };
    if (index < 0 || (size_t)index >= sizeof all / sizeof all[0])
        return false;
    setting->name = all[index].name;
    snprintf(setting->value, sizeof setting->value, "%s", all[index].value);
    return true;
}
