/*
 * The head gradient of a checkpoint, from the side file that its trainer wrote beside it: features
 * and logits of one fixed batch, labels, and the head's weights where there are any.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "model/series.h"

/* The side file with what was read of it. */
typedef struct probe {
    sonde_context *context;
    const char *path;
    sonde_model *model;
    void *features, *logits, *weight;
    int64_t *labels;
    sonde_head_batch batch;
} probe;

static sonde_status refuse(const probe *side, const char *name, const char *problem)
{
    return sonde__fail_at(side->context, SONDE_ERROR_FORMAT, side->path, name, -1,
                          "%s: array '%s' %s", side->path, name, problem);
}

/* Also under the names of members, "features.npy". */
static bool find_array(const probe *side, const char *name, size_t *index, sonde_tensor *tensor)
{
    char member[32];
    snprintf(member, sizeof member, "%s.npy", name);
    return (sonde_model_find(side->model, name, index) == SONDE_OK ||
            sonde_model_find(side->model, member, index) == SONDE_OK) &&
           sonde_model_tensor(side->model, *index, tensor) == SONDE_OK;
}

/* A matrix, as double where it was stored so, else as float; data NULL where there is none. */
static sonde_status read_matrix(const probe *side, const char *name, bool needed, void **block,
                                sonde_matrix *matrix)
{
    sonde_tensor tensor;
    size_t index, size;
    if (!find_array(side, name, &index, &tensor))
        return needed ? refuse(side, name, "is missing") : SONDE_OK;
    if (tensor.dims != 2 || tensor.elements == 0)
        return refuse(side, name, "is not a matrix (one row an example)");
    const bool wide = tensor.number == SONDE_NUMBER_F64;
    if (tensor.elements > SIZE_MAX ||
        !sonde__multiply((size_t)tensor.elements, wide ? sizeof(double) : sizeof(float), &size))
        return sonde__fail_at(side->context, SONDE_ERROR_OVERFLOW, side->path, name, -1,
                              "%s: array '%s' does not fit in memory", side->path, name);
    *block = sonde__alloc(side->context, size, 1);
    if (!*block)
        return sonde_context_error(side->context)->status;
    const sonde_dtype dtype = wide ? SONDE_F64 : SONDE_F32;
    SONDE_TRY(sonde_model_read(side->model, index, 0, tensor.elements, dtype, *block));
    *matrix = (sonde_matrix){*block, dtype, (size_t)tensor.shape[0], (size_t)tensor.shape[1], 0};
    return SONDE_OK;
}

/* B class numbers, in any number format. */
static sonde_status read_labels(probe *side, size_t rows)
{
    sonde_tensor tensor;
    size_t index;
    if (!find_array(side, "labels", &index, &tensor))
        return refuse(side, "labels", "is missing");
    if (tensor.elements != rows)
        return refuse(side, "labels", "has not one number an example");
    side->labels = sonde__alloc(side->context, rows, sizeof *side->labels);
    double *const numbers = sonde__alloc(side->context, rows, sizeof *numbers);
    sonde_status status =
        side->labels && numbers ? SONDE_OK : sonde_context_error(side->context)->status;
    if (status == SONDE_OK)
        status = sonde_model_read(side->model, index, 0, rows, SONDE_F64, numbers);
    for (size_t i = 0; status == SONDE_OK && i < rows; i++) {
        if (!(fabs(numbers[i]) < 9e15) || numbers[i] != floor(numbers[i]))
            status = refuse(side, "labels", "holds a number that is no class");
        else
            side->labels[i] = (int64_t)numbers[i];
    }
    sonde__free(side->context, numbers);
    return status;
}

static sonde_status read_batch(probe *side)
{
    sonde_head_batch *const batch = &side->batch;
    sonde_head_batch_init(batch);
    SONDE_TRY(read_matrix(side, "features", true, &side->features, &batch->features));
    SONDE_TRY(read_matrix(side, "logits", true, &side->logits, &batch->logits));
    SONDE_TRY(read_matrix(side, "weight", false, &side->weight, &batch->weight));
    if (batch->features.rows != batch->logits.rows)
        return refuse(side, "logits", "has not as many rows as 'features'");
    SONDE_TRY(read_labels(side, batch->features.rows));
    batch->labels = side->labels;
    return SONDE_OK;
}

sonde_status sonde__series_probe(const sonde__series *series, size_t index,
                                 sonde_head_report *report)
{
    sonde_context *const context = series->context;
    if (index >= series->count)
        return sonde__fail(context, SONDE_ERROR_RANGE, "there is no checkpoint %zu of %zu", index,
                           series->count);
    const sonde__checkpoint *const checkpoint = &series->checkpoints[index];
    if (!checkpoint->probe)
        return sonde__fail_at(context, SONDE_ERROR_NOT_FOUND, checkpoint->path, NULL, -1,
                              "%s: no probe file (NAME.probe.npz or NAME.probe.safetensors) lies "
                              "beside it",
                              checkpoint->path);
    probe side = {.context = context, .path = checkpoint->probe};
    sonde_status status = sonde_model_open(context, side.path, NULL, &side.model);
    if (status == SONDE_OK)
        status = read_batch(&side);
    if (status == SONDE_OK)
        status = sonde_head_gradient(context, &side.batch, report);
    sonde_model_close(side.model);
    sonde__free(context, side.features);
    sonde__free(context, side.logits);
    sonde__free(context, side.weight);
    sonde__free(context, side.labels);
    return status;
}
