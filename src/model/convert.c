/*
 * A model written as one safetensors file, so that a pickle can be thrown away.
 *
 * Plain formats go through bit by bit; quantised blocks and f8 with a scale become the F32 that they
 * stand for. Tensors are read in slices while the file is written, so that memory does not grow with
 * the model. The file is there whole or not at all, and never one that the model is read from.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "file/model_internal.h"
#include "file/safetensors_internal.h"

typedef struct conversion {
    sonde_context *context;
    sonde_model *model;
    const char *path;
    sonde__tensor *tensors; /* in the file that is written */
    size_t *sources;        /* their indexes in the model */
    size_t count;
    sonde__metadata *metadata;
    size_t metadata_count;
} conversion;

/* --- what is refused before anything is written ------------------------------------------------- */

static bool is_same_file(const struct stat *target, const char *path)
{
    struct stat source;
    return stat(path, &source) == 0 && source.st_dev == target->st_dev &&
           source.st_ino == target->st_ino;
}

/* Neither a file of the model, under whatever name, nor the index that names its shards. */
static sonde_status check_target(const conversion *c, const sonde_model_info *info)
{
    struct stat target;
    const char *index = sonde__model_index(c->model);
    if (stat(c->path, &target) != 0)
        return SONDE_OK;
    bool own = index && is_same_file(&target, index);
    for (size_t i = 0; i < info->files && !own; i++)
        own = is_same_file(&target, sonde__input_path(sonde__model_input(c->model, (int)i)));
    if (!own)
        return SONDE_OK;
    return sonde__fail_at(c->context, SONDE_ERROR_ARGUMENT, c->path, NULL, -1,
                          "%s: is the model that is to be converted, or a part of it; choose "
                          "another name",
                          c->path);
}

/* Blocks, and f8 whose numbers are elsewhere as well, are written as floats. */
static bool becomes_float(const sonde_tensor *tensor)
{
    const sonde__number_info *info = sonde__number_find(tensor->number);
    return tensor->readable && (info->elements > 1 || tensor->scale);
}

static bool is_gguf_block(sonde_number number)
{
    return number >= SONDE_NUMBER_Q4_0;
}

static sonde_status describe(const conversion *c, const sonde_tensor *tensor, sonde__tensor *out)
{
    const bool floats = becomes_float(tensor);
    if (!tensor->readable && is_gguf_block(tensor->number))
        return sonde__fail_at(c->context, SONDE_ERROR_UNSUPPORTED, tensor->file, tensor->name, -1,
                              "%s: tensor '%.200s' is stored as %s, which is listed, not read; "
                              "convert the same model in another quantisation",
                              tensor->file, tensor->name, sonde_number_name(tensor->number));
    if (!floats && !sonde__safetensors_has(tensor->number))
        return sonde__fail_at(c->context, SONDE_ERROR_UNSUPPORTED, tensor->file, tensor->name, -1,
                              "%s: tensor '%.200s' is stored as %s, which safetensors does not "
                              "have; save it in another format, or the model without it",
                              tensor->file, tensor->name, sonde_number_name(tensor->number));
    if (floats && tensor->elements > SIZE_MAX / sizeof(float))
        return sonde__fail_at(c->context, SONDE_ERROR_OVERFLOW, tensor->file, tensor->name, -1,
                              "%s: tensor '%.200s' is too large", tensor->file, tensor->name);
    *out = (sonde__tensor){.name = tensor->name,
                           .number = floats ? SONDE_NUMBER_F32 : tensor->number,
                           .dims = tensor->dims,
                           .bytes = floats ? (size_t)tensor->elements * sizeof(float)
                                           : (size_t)tensor->bytes};
    memcpy(out->shape, tensor->shape, sizeof out->shape);
    return SONDE_OK;
}

/* --- tensors and metadata ----------------------------------------------------------------------- */

static sonde_status failed(const conversion *c)
{
    return sonde_context_error(c->context)->status;
}

static sonde_status list_tensors(conversion *c, const sonde_model_info *info)
{
    c->tensors = sonde__alloc(c->context, info->tensors, sizeof *c->tensors);
    c->sources = c->tensors ? sonde__alloc(c->context, info->tensors, sizeof *c->sources) : NULL;
    if (!c->sources)
        return failed(c);
    for (size_t i = 0; i < info->tensors; i++) {
        sonde_tensor tensor;
        SONDE_TRY(sonde_model_tensor(c->model, i, &tensor));
        if (tensor.tied_to)
            continue;
        SONDE_TRY(describe(c, &tensor, &c->tensors[c->count]));
        c->sources[c->count++] = i;
    }
    return SONDE_OK;
}

static int compare_keys(const void *a, const void *b)
{
    const sonde__metadata *x = a, *y = b;
    const int order = strcmp(x->key, y->key);
    return order ? order : strcmp(x->value, y->value);
}

/* Shards repeat their metadata; a key may stand in the file once. */
static void drop_repeated(conversion *c)
{
    size_t kept = 0;
    if (c->metadata_count > 1)
        qsort(c->metadata, c->metadata_count, sizeof *c->metadata, compare_keys);
    for (size_t i = 0; i < c->metadata_count; i++)
        if (kept == 0 || strcmp(c->metadata[kept - 1].key, c->metadata[i].key) != 0)
            c->metadata[kept++] = c->metadata[i];
    c->metadata_count = kept;
}

/* "tied.NAME" = the name under which its numbers stand. */
static sonde_status note_ties(conversion *c, const sonde_model_info *info, sonde__text *keys)
{
    sonde_tensor tensor;
    for (size_t i = 0; i < info->tensors; i++) {
        SONDE_TRY(sonde_model_tensor(c->model, i, &tensor));
        if (!tensor.tied_to)
            continue;
        sonde__text_add(keys, "tied.");
        sonde__text_add_bytes(keys, tensor.name, strlen(tensor.name) + 1);
    }
    SONDE_TRY(sonde__text_status(keys));
    const char *key = keys->bytes; /* no longer grows */
    for (size_t i = 0; i < info->tensors; i++) {
        SONDE_TRY(sonde_model_tensor(c->model, i, &tensor));
        if (!tensor.tied_to)
            continue;
        c->metadata[c->metadata_count++] = (sonde__metadata){key, tensor.tied_to};
        key += strlen(key) + 1;
    }
    return SONDE_OK;
}

static sonde_status list_metadata(conversion *c, const sonde_model_info *info, sonde__text *keys)
{
    /* Of GGUF it would be a whole tokenizer; safetensors' own is kept. */
    const size_t own = info->kind == SONDE_MODEL_SAFETENSORS ? info->metadata : 0;
    c->metadata = sonde__alloc(c->context, own + info->tied + 1, sizeof *c->metadata);
    if (!c->metadata)
        return failed(c);
    for (size_t i = 0; i < own; i++) {
        sonde__metadata *pair = &c->metadata[c->metadata_count++];
        SONDE_TRY(sonde_model_metadata(c->model, i, &pair->key, &pair->value));
    }
    /* What loaders of PyTorch models ask for. */
    if (info->kind == SONDE_MODEL_TORCH_ZIP || info->kind == SONDE_MODEL_TORCH_LEGACY)
        c->metadata[c->metadata_count++] = (sonde__metadata){"format", "pt"};
    SONDE_TRY(note_ties(c, info, keys));
    drop_repeated(c);
    return SONDE_OK;
}

/* --- writing ------------------------------------------------------------------------------------ */

static sonde_status fill(void *user, size_t index, uint64_t offset, void *bytes, size_t size)
{
    const conversion *c = user;
    const size_t source = c->sources[index];
    const sonde__number_info *info = sonde__number_find(c->tensors[index].number);
    const uint64_t first = offset / info->bytes * info->elements;
    const uint64_t count = size / info->bytes * info->elements;
    sonde_tensor tensor;
    SONDE_TRY(sonde_model_tensor(c->model, source, &tensor));
    if (becomes_float(&tensor))
        return sonde_model_read(c->model, source, first, count, SONDE_F32, bytes);
    return sonde__model_read_stored(c->model, source, first, count, bytes);
}

sonde_status sonde_model_convert(sonde_model *model, const char *path)
{
    if (!model)
        return SONDE_ERROR_ARGUMENT;
    conversion c = {.context = sonde__model_context(model), .model = model, .path = path};
    if (!path || !path[0])
        return sonde__fail(c.context, SONDE_ERROR_ARGUMENT,
                           "sonde_model_convert: no path is given");
    sonde_model_info info;
    sonde__text keys;
    sonde_status status;
    sonde_model_describe(model, &info);
    sonde__text_init(&keys, c.context);
    SONDE_TRY_CLEAN(check_target(&c, &info));
    SONDE_TRY_CLEAN(list_tensors(&c, &info));
    SONDE_TRY_CLEAN(list_metadata(&c, &info, &keys));
    const sonde__safetensors_content content = {c.tensors, c.count, c.metadata, c.metadata_count};
    status = sonde__safetensors_write_stream(c.context, path, &content, fill, &c);
cleanup:
    sonde__free(c.context, c.metadata);
    sonde__free(c.context, c.sources);
    sonde__free(c.context, c.tensors);
    sonde__text_free(&keys);
    return status;
}
