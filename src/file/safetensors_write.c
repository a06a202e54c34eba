/*
 * Writing safetensors: u64 header length, JSON header padded with spaces, tensor bytes
 * (huggingface/safetensors, README).
 *
 * Invariant: tensors lie in order of their alignment, widest elements first, behind a header whose
 * end is a multiple of 64: each is aligned to its elements, without holes. The same input gives the
 * same bytes, and the file is either there whole or not at all.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/path.h"
#include "base/text.h"
#include "file/safetensors_internal.h"

enum {
    ALIGNMENT = 64,
    /* Whole blocks of every format: a multiple of 16 and of 3. */
    SLICE = 3 << 18
};

/* Power of two to which elements are aligned; blocks of 3 bytes are not. */
static size_t alignment_of(const sonde__tensor *tensor)
{
    size_t bytes = sonde__number_find(tensor->number)->bytes;
    return (bytes & (bytes - 1)) == 0 ? bytes : 1;
}

static sonde_status check_tensor(sonde_context *context, const char *path,
                                 const sonde__tensor *tensor)
{
    uint64_t bytes = 0;
    if (!sonde__safetensors_has(tensor->number))
        return sonde__fail_at(
            context, SONDE_ERROR_UNSUPPORTED, path, tensor->name, -1,
            "%s: tensor '%.200s' is stored as %s, which safetensors does not have", path,
            tensor->name, sonde_number_name(tensor->number));
    bool good = tensor->dims >= 0 && tensor->dims <= SONDE_TENSOR_DIMS_MAX &&
                sonde__safetensors_bytes(tensor->number, tensor->dims, tensor->shape, &bytes) &&
                bytes == tensor->bytes;
    if (!good)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, path, tensor->name, -1,
                              "%s: tensor '%.200s' is given with %zu bytes; its shape and type "
                              "have %llu",
                              path, tensor->name, tensor->bytes, (unsigned long long)bytes);
    if (!sonde__safetensors_name(tensor->name) || strcmp(tensor->name, "__metadata__") == 0)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, path, tensor->name, -1,
                              "%s: '%.200s' cannot be the name of a tensor", path, tensor->name);
    return SONDE_OK;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* The strings at `first` and every `stride` bytes behind must differ: JSON keys are unique. */
static sonde_status check_unique(sonde_context *context, const char *path, const void *first,
                                 size_t stride, size_t count)
{
    sonde_status status = SONDE_OK;
    const char **names = sonde__alloc(context, count, sizeof *names);
    if (!names)
        return sonde_context_error(context)->status;
    for (size_t i = 0; i < count; i++)
        memcpy((void *)&names[i], (const char *)first + i * stride, sizeof *names);
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count && status == SONDE_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = sonde__fail_at(context, SONDE_ERROR_ARGUMENT, path, names[i], -1,
                                    "%s: '%.200s' is the name of two tensors or metadata", path,
                                    names[i]);
    sonde__free(context, names);
    return status;
}

static sonde_status check_all(sonde_context *context, const char *path,
                              const sonde__safetensors_content *content)
{
    const sonde__tensor *tensors = content->tensors;
    const sonde__metadata *metadata = content->metadata;
    size_t total = 0, count = content->count;
    for (size_t i = 0; i < count; i++) {
        SONDE_TRY(check_tensor(context, path, &tensors[i]));
        if (!sonde__add(total, tensors[i].bytes, &total) || total > INT64_MAX)
            return sonde__fail(context, SONDE_ERROR_OVERFLOW, "%s: the tensors are too large",
                               path);
    }
    if (count > 1)
        SONDE_TRY(check_unique(context, path, &tensors->name, sizeof *tensors, count));
    if (content->metadata_count > 1)
        return check_unique(context, path, &metadata->key, sizeof *metadata,
                            content->metadata_count);
    return SONDE_OK;
}

static void add_metadata(sonde__text *json, const sonde__metadata *metadata, size_t count)
{
    sonde__text_add(json, "\"__metadata__\":{");
    for (size_t i = 0; i < count; i++) {
        sonde__text_add(json, i ? "," : "");
        sonde__text_json_string(json, metadata[i].key);
        sonde__text_add(json, ":");
        sonde__text_json_string(json, metadata[i].value);
    }
    sonde__text_add(json, "}");
}

static void add_entry(sonde__text *json, const sonde__tensor *tensor, size_t begin)
{
    sonde__text_json_string(json, tensor->name);
    sonde__text_format(json, ":{\"dtype\":\"%s\",\"shape\":[", sonde_number_name(tensor->number));
    for (int i = 0; i < tensor->dims; i++)
        sonde__text_format(json, "%s%lld", i ? "," : "", (long long)tensor->shape[i]);
    sonde__text_format(json, "],\"data_offsets\":[%zu,%zu]}", begin, begin + tensor->bytes);
}

static sonde_status header_json(sonde__text *json, const char *path, const sonde__tensor *tensors,
                                size_t count, const sonde__metadata *metadata,
                                size_t metadata_count)
{
    size_t offset = 0;
    bool first = metadata_count == 0;
    sonde__text_add(json, "{");
    if (metadata_count)
        add_metadata(json, metadata, metadata_count);
    for (size_t size = 8; size > 0; size /= 2)
        for (size_t i = 0; i < count; i++) {
            if (alignment_of(&tensors[i]) != size)
                continue;
            sonde__text_add(json, first ? "" : ",");
            first = false;
            add_entry(json, &tensors[i], offset);
            offset += tensors[i].bytes;
        }
    sonde__text_add(json, "}");
    while (sonde__text_status(json) == SONDE_OK &&
           (json->length + SONDE__SAFETENSORS_PREFIX) % ALIGNMENT != 0)
        sonde__text_add(json, " ");
    if (sonde__text_status(json) == SONDE_OK && json->length > SONDE__SAFETENSORS_HEADER_MAX)
        return sonde__fail_at(json->context, SONDE_ERROR_UNSUPPORTED, path, NULL, -1,
                              "%s: names and shapes of %zu tensors take a header of %zu bytes; at "
                              "most %d are read again",
                              path, count, json->length, SONDE__SAFETENSORS_HEADER_MAX);
    return sonde__text_status(json);
}

/* Where the bytes come from, and the room in which slices of them stand. */
typedef struct source {
    sonde__safetensors_fill_fn fill;
    void *user;
    uint8_t *room;
} source;

static sonde_status write_tensor(sonde__replacer *replacer, const sonde__tensor *tensor,
                                 size_t index, const source *from)
{
    for (size_t done = 0; done < tensor->bytes;) {
        size_t left = tensor->bytes - done, size = left < SLICE ? left : SLICE;
        SONDE_TRY(from->fill(from->user, index, done, from->room, size));
        SONDE_TRY(sonde__replace_write(replacer, from->room, size));
        done += size;
    }
    return SONDE_OK;
}

static sonde_status write_parts(sonde__replacer *replacer, const sonde__text *json,
                                const sonde__tensor *tensors, size_t count, const source *from)
{
    uint8_t length[SONDE__SAFETENSORS_PREFIX];
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (uint8_t)((uint64_t)json->length >> (8 * i));
    SONDE_TRY(sonde__replace_write(replacer, length, sizeof length));
    SONDE_TRY(sonde__replace_write(replacer, json->bytes, json->length));
    for (size_t size = 8; size > 0; size /= 2)
        for (size_t i = 0; i < count; i++)
            if (alignment_of(&tensors[i]) == size)
                SONDE_TRY(write_tensor(replacer, &tensors[i], i, from));
    return SONDE_OK;
}

static size_t longest_slice(const sonde__tensor *tensors, size_t count)
{
    size_t longest = 1;
    for (size_t i = 0; i < count; i++)
        longest = tensors[i].bytes > longest ? tensors[i].bytes : longest;
    return longest < SLICE ? longest : SLICE;
}

sonde_status sonde__safetensors_write_stream(sonde_context *context, const char *path,
                                             const sonde__safetensors_content *content,
                                             sonde__safetensors_fill_fn fill, void *user)
{
    source from = {fill, user, NULL};
    sonde__replacer *replacer = NULL;
    sonde__text json;
    sonde_status status;
    sonde__text_init(&json, context);
    SONDE_TRY_CLEAN(check_all(context, path, content));
    SONDE_TRY_CLEAN(header_json(&json, path, content->tensors, content->count, content->metadata,
                                content->metadata_count));
    from.room = sonde__alloc(context, longest_slice(content->tensors, content->count), 1);
    SONDE_TRY_CLEAN(from.room ? SONDE_OK : sonde_context_error(context)->status);
    SONDE_TRY_CLEAN(sonde__replace_open(context, path, &replacer));
    SONDE_TRY_CLEAN(write_parts(replacer, &json, content->tensors, content->count, &from));
    status = sonde__replace_commit(replacer);
    replacer = NULL;
cleanup:
    sonde__replace_abandon(replacer);
    sonde__free(context, from.room);
    sonde__text_free(&json);
    return status;
}

static sonde_status fill_from_memory(void *user, size_t index, uint64_t offset, void *bytes,
                                     size_t size)
{
    const sonde__tensor *tensors = user;
    memcpy(bytes, (const uint8_t *)tensors[index].data + offset, size);
    return SONDE_OK;
}

sonde_status sonde__safetensors_write(sonde_context *context, const char *path,
                                      const sonde__tensor *tensors, size_t count,
                                      const sonde__metadata *metadata, size_t metadata_count)
{
    const sonde__safetensors_content content = {tensors, count, metadata, metadata_count};
    return sonde__safetensors_write_stream(context, path, &content, fill_from_memory,
                                           (void *)(uintptr_t)tensors);
}
