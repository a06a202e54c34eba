/*
 * CIFAR binary records: label bytes, then 3 x 32 x 32 bytes, colour planes first.
 *
 *     CIFAR-10:  1 label;  data_batch_1.bin .. data_batch_5.bin (as many as are there), test_batch.bin
 *     CIFAR-100: 2 labels, coarse and fine (the one used); train.bin, test.bin
 *
 * A file is a whole number of records or it is refused.
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "file/data_internal.h"

enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE, BATCHES_MAX = 99 };
/* Of one batch file; the largest there is (CIFAR-100 train.bin) has 154 million. */
#define BATCH_BYTES_MAX ((size_t)1 << 30)

static sonde_status check_size(sonde_context *context, const sonde__source *batch, size_t record)
{
    size_t rest = batch->size % record;
    if (batch->size == 0 || rest != 0)
        return sonde__fail_at(context, SONDE_ERROR_TRUNCATED, batch->path, NULL,
                              (int64_t)(batch->size - rest),
                              "%s: holds %zu bytes, not a whole number of records of %zu bytes",
                              batch->path, batch->size, record);
    return SONDE_OK;
}

/* Room for `more` records behind those the data set has. */
static sonde_status make_room(sonde_context *context, sonde__dataset *dataset, size_t more)
{
    size_t count;
    if (!sonde__add(dataset->count, more, &count))
        return sonde__fail(context, SONDE_ERROR_OVERFLOW, "too many records");
    int32_t *labels = sonde__resize(context, dataset->labels, count, sizeof *labels);
    if (!labels)
        return sonde_context_error(context)->status;
    dataset->labels = labels;
    uint8_t *bytes = sonde__resize(context, dataset->bytes, count, PIXELS);
    if (!bytes)
        return sonde_context_error(context)->status;
    dataset->bytes = bytes;
    return SONDE_OK;
}

static sonde_status parse(sonde_context *context, sonde__source *batch, size_t label_bytes,
                          sonde__dataset *dataset)
{
    size_t record = label_bytes + PIXELS;
    SONDE_TRY(sonde__source_unpack(context, batch, BATCH_BYTES_MAX));
    SONDE_TRY(check_size(context, batch, record));
    size_t count = batch->size / record;
    SONDE_TRY(make_room(context, dataset, count));
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = batch->bytes + i * record;
        uint8_t label = at[label_bytes - 1];
        SONDE_TRY(sonde__check_label(context, batch->path, (int64_t)(i * record + label_bytes - 1),
                                     i, label, dataset->classes));
        dataset->labels[dataset->count + i] = label;
        memcpy(dataset->bytes + (dataset->count + i) * PIXELS, at + label_bytes, PIXELS);
    }
    dataset->count += count;
    dataset->channels = 3;
    dataset->height = dataset->width = SIDE;
    dataset->image = dataset->flip = true;
    return SONDE_OK;
}

sonde_status sonde__cifar_parse(sonde_context *context, sonde__source *batch, size_t label_bytes,
                                sonde__dataset *dataset)
{
    sonde_status status = parse(context, batch, label_bytes, dataset);
    sonde__source_free(context, batch);
    return status;
}

static sonde_status add_file(sonde_context *context, const char *folder, const char *name,
                             size_t label_bytes, sonde__dataset *dataset)
{
    const char *names[] = {name, NULL};
    char *path = NULL;
    sonde__source batch = {0};
    SONDE_TRY(sonde__source_find(context, folder, names, &path));
    sonde_status status = sonde__source_read(context, path, &batch);
    if (status == SONDE_OK)
        status = sonde__cifar_parse(context, &batch, label_bytes, dataset);
    sonde__free(context, path);
    return status;
}

/* As many of data_batch_1, 2, ... as are there; one must be. */
static sonde_status add_batches(sonde_context *context, const sonde__data_request *request,
                                sonde__dataset *dataset)
{
    sonde_status status = SONDE_OK;
    for (int i = 1; i <= BATCHES_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        status = add_file(context, request->folder, name, 1, dataset);
        if (status == SONDE_ERROR_NOT_FOUND && dataset->count > 0)
            return SONDE_OK;
        SONDE_TRY(status);
        if (request->train_size && dataset->count >= request->train_size)
            return SONDE_OK;
    }
    return status;
}

sonde_status sonde__load_cifar(sonde_context *context, const sonde__data_request *request,
                               sonde__dataset **train, sonde__dataset **test)
{
    bool fine = strcmp(request->name, "cifar-100") == 0;
    int classes = fine ? 100 : 10;
    SONDE_TRY(sonde__dataset_new(context, request->name, classes, train));
    if (fine)
        SONDE_TRY(add_file(context, request->folder, "train.bin", 2, *train));
    else
        SONDE_TRY(add_batches(context, request, *train));
    SONDE_TRY(sonde__dataset_new(context, request->name, classes, test));
    sonde_status status = add_file(context, request->folder, fine ? "test.bin" : "test_batch.bin",
                                   fine ? 2 : 1, *test);
    if (status == SONDE_ERROR_NOT_FOUND) {
        sonde__dataset_free(context, *test); /* a test part is not required */
        *test = NULL;
        return SONDE_OK;
    }
    return status;
}
