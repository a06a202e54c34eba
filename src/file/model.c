/*
 * The handle of an open model: opening, closing, and what it says about itself.
 *
 * A path is a model file, a shard index or a folder with one of them; which format a file has is
 * decided by its content (model_detect.c). Reading numbers is in model_read.c.
 */
#include <string.h>
#include <sys/stat.h>

#include "file/model_state.h"

#define KIND_LIST(X) \
    X(SONDE_MODEL_SAFETENSORS, "safetensors") \
    X(SONDE_MODEL_TORCH_ZIP, "PyTorch (zip)") \
    X(SONDE_MODEL_TORCH_LEGACY, "PyTorch (before 1.6)") \
    X(SONDE_MODEL_NPY, "npy") \
    X(SONDE_MODEL_NPZ, "npz") \
    X(SONDE_MODEL_GGUF, "GGUF")

const char *sonde_model_kind_name(sonde_model_kind kind)
{
    switch (kind) {
#define KIND_CASE(name, text) \
    case name: \
        return text;
        KIND_LIST(KIND_CASE)
#undef KIND_CASE
    }
    return "?";
}

void sonde_model_options_init(sonde_model_options *options)
{
    *options = (sonde_model_options){.size = sizeof *options, .verify = true};
}

/* --- opening ------------------------------------------------------------------------------------ */

sonde_status sonde__model_new(sonde_context *context, const sonde_model_options *options,
                              sonde_model **out)
{
    sonde_model_options own;
    sonde_model_options_init(&own);
    if (options && options->size != sizeof own)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "the model options have size %zu, not %zu; call "
                           "sonde_model_options_init",
                           options->size, sizeof own);
    sonde_model *model = sonde__alloc_zero(context, 1, sizeof *model);
    if (!model)
        return sonde_context_error(context)->status;
    model->context = context;
    model->options = options ? *options : own;
    *out = model;
    return SONDE_OK;
}

/* Deflate gives 1032 bytes for one; what stands for far more are views of numbers that are there
 * once, and a file of a kilobyte whose tensors nobody has the time to read or the room to write. */
static sonde_status check_claims(sonde_model *model)
{
    const uint64_t always = (uint64_t)4 << 30, times = 2048;
    uint64_t claimed = 0, most = 0;
    const sonde__record *largest = NULL;
    sonde_model_info info;
    sonde_model_describe(model, &info);
    for (size_t i = 0; i < model->tensor_count; i++) {
        const sonde__record *record = &model->tensors[i];
        const sonde__number_info *number = sonde__number_find((sonde_number)record->number);
        const uint64_t bytes =
            record->tied ? 0 : record->elements / number->elements * number->bytes;
        largest = bytes > most ? record : largest;
        most = bytes > most ? bytes : most;
        claimed = claimed > UINT64_MAX - bytes ? UINT64_MAX : claimed + bytes;
    }
    if (claimed <= always || claimed / times <= info.file_bytes)
        return SONDE_OK;
    const char *path = sonde__input_path(model->inputs[0]);
    return sonde__fail_at(model->context, SONDE_ERROR_UNSUPPORTED, path, largest->name, -1,
                          "%s: its tensors stand for %llu bytes and the file has %llu: '%.200s' is "
                          "a view that repeats its numbers; save a clone() of what is meant",
                          path, (unsigned long long)claimed, (unsigned long long)info.file_bytes,
                          largest->name);
}

sonde_status sonde__model_finish(sonde_model *model)
{
    SONDE_TRY(sonde__model_tie(model));
    SONDE_TRY(check_claims(model));
    return sonde__model_find_scales(model);
}

static sonde_status open_shard(void *user, const char *path)
{
    sonde_model *model = user;
    sonde__input *input = NULL;
    int number = 0;
    SONDE_TRY(sonde__input_open(model->context, path, &input));
    SONDE_TRY(sonde__model_add_input(model, input, &number));
    return sonde__model_read_input(model, number);
}

const char *sonde__model_index(const sonde_model *model)
{
    return model->index;
}

static sonde_status open_file(sonde_model *model, const char *path)
{
    sonde__input *input = NULL;
    int number = 0;
    SONDE_TRY(sonde__input_open(model->context, path, &input));
    if (sonde__input_is_json(input)) {
        sonde__input_close(input);
        model->index = sonde__model_keep_string(model, path);
        if (!model->index)
            return sonde_context_error(model->context)->status;
        return sonde__shards_open(model, path, open_shard, model);
    }
    SONDE_TRY(sonde__model_add_input(model, input, &number));
    return sonde__model_read_input(model, number);
}

static sonde_status open_path(sonde_model *model, const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return sonde__fail_errno(model->context, path, "be opened");
    if (!S_ISDIR(about.st_mode))
        return open_file(model, path);
    char *inside = NULL;
    SONDE_TRY(sonde__model_in_folder(model->context, path, &inside));
    const sonde_status status = open_file(model, inside);
    sonde__free(model->context, inside);
    return status;
}

/* The model, finished, or nothing of it. */
static sonde_status hand_over(sonde_model *model, sonde_status status, sonde_model **out)
{
    if (status == SONDE_OK)
        status = sonde__model_finish(model);
    if (status != SONDE_OK) {
        sonde_model_close(model);
        return status;
    }
    *out = model;
    return SONDE_OK;
}

sonde_status sonde_model_open(sonde_context *context, const char *path,
                              const sonde_model_options *options, sonde_model **out)
{
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (!path || !path[0] || !out)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "sonde_model_open: no path is given");
    sonde_model *model = NULL;
    SONDE_TRY(sonde__model_new(context, options, &model));
    return hand_over(model, open_path(model, path), out);
}

sonde_status sonde__model_open_memory(sonde_context *context, const char *name, const void *bytes,
                                      size_t size, sonde_model **out)
{
    sonde_model *model = NULL;
    sonde__input *input = NULL;
    int number = 0;
    SONDE_TRY(sonde__model_new(context, NULL, &model));
    sonde_status status = sonde__input_memory(context, name, bytes, size, &input);
    if (status == SONDE_OK)
        status = sonde__model_add_input(model, input, &number);
    if (status == SONDE_OK)
        status = sonde__model_read_input(model, number);
    return hand_over(model, status, out);
}

void sonde_model_close(sonde_model *model)
{
    if (!model)
        return;
    sonde_context *context = model->context;
    sonde__unpacker_free(model);
    for (size_t i = 0; i < model->input_count; i++)
        sonde__input_close(model->inputs[i]);
    for (sonde__chunk *each = model->chunks, *next; each; each = next) {
        next = each->next;
        sonde__free(context, each);
    }
    sonde__free(context, (void *)model->inputs);
    sonde__free(context, model->storages);
    sonde__free(context, model->tensors);
    sonde__free(context, model->metadata);
    sonde__free(context, (void *)model->warnings);
    sonde__free(context, model->names);
    sonde__free(context, model->staging);
    sonde__free(context, model);
}

/* --- what it holds ------------------------------------------------------------------------------ */

void sonde_model_describe(const sonde_model *model, sonde_model_info *info)
{
    *info = (sonde_model_info){.kind = model->kind,
                               .files = model->input_count,
                               .tensors = model->tensor_count,
                               .metadata = model->metadata_count,
                               .warnings = model->warning_count};
    for (size_t i = 0; i < model->input_count; i++)
        info->file_bytes += sonde__input_size(model->inputs[i]);
    for (size_t i = 0; i < model->tensor_count; i++)
        if (model->tensors[i].tied)
            info->tied++;
        else
            info->elements += model->tensors[i].elements;
}

size_t sonde_model_count(const sonde_model *model)
{
    return model->tensor_count;
}

static const char *name_of(const sonde_model *model, uint32_t index_and_one)
{
    return index_and_one ? model->tensors[index_and_one - 1].name : NULL;
}

sonde_status sonde_model_tensor(const sonde_model *model, size_t index, sonde_tensor *tensor)
{
    if (index >= model->tensor_count)
        return sonde__fail(model->context, SONDE_ERROR_RANGE, "there is no tensor %zu of %zu",
                           index, model->tensor_count);
    const sonde__record *record = &model->tensors[index];
    const sonde__storage *storage = &model->storages[record->storage].about;
    const sonde__number_info *info = sonde__number_find((sonde_number)record->number);
    const uint64_t before = record->first / info->elements * info->bytes;
    *tensor = (sonde_tensor){
        .name = record->name,
        .number = (sonde_number)record->number,
        .readable = record->refusal == SONDE__READS,
        .dims = record->dims,
        .elements = record->elements,
        .bytes = record->elements / info->elements * info->bytes,
        .file = sonde__input_path(model->inputs[storage->input]),
        .offset = storage->deflated ? -1 : (int64_t)(storage->offset + storage->skip + before),
        .contiguous = record->contiguous,
        .tied_to = name_of(model, record->tied),
        .scale = name_of(model, record->scale),
    };
    memcpy(tensor->shape, record->shape, record->dims * sizeof *record->shape);
    return SONDE_OK;
}

bool sonde__model_lookup(const sonde_model *model, const char *name, size_t length, size_t *index)
{
    const sonde__record *record = sonde__model_named(model, name, length);
    if (record)
        *index = (size_t)(record - model->tensors);
    return record != NULL;
}

sonde_status sonde_model_find(const sonde_model *model, const char *name, size_t *index)
{
    if (!name || !sonde__model_lookup(model, name, strlen(name), index))
        return sonde__fail_at(model->context, SONDE_ERROR_NOT_FOUND,
                              model->input_count ? sonde__input_path(model->inputs[0]) : NULL, name,
                              -1, "there is no tensor '%.200s' in the model", name ? name : "");
    return SONDE_OK;
}

sonde_status sonde_model_metadata(const sonde_model *model, size_t index, const char **key,
                                  const char **value)
{
    if (index >= model->metadata_count)
        return sonde__fail(model->context, SONDE_ERROR_RANGE,
                           "there is no metadata pair %zu of %zu", index, model->metadata_count);
    *key = model->metadata[index].key;
    *value = model->metadata[index].value;
    return SONDE_OK;
}

const char *sonde_model_warning(const sonde_model *model, size_t index)
{
    return index < model->warning_count ? model->warnings[index] : NULL;
}
