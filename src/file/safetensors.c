/*
 * safetensors: u64 header length, JSON header, tensor bytes (huggingface/safetensors, README).
 *
 * Reading: the header is one JSON object of unique keys; sorted by offset, the tensors must tile
 * the data part exactly: no hole, no overlap, nothing before, behind or past the end; each shape
 * times its type's size must be its bytes. Only then is a tensor visible.
 */
#include "file/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/checked.h"
#include "base/path.h"
#include "base/text.h"
#include "file/safetensors_internal.h"

enum {
    PREFIX = 8,
    ALIGNMENT = 64,
    NAME_MAX_BYTES = 1024,
    /* The format allows 100 MB of header; 16 MiB is 100,000 tensors, and bounds the JSON tree. */
    HEADER_MAX = 16 << 20
};

struct sonde__safetensors {
    sonde_context *context;
    uint8_t *block; /* the data, at the front of the block that the file was read into */
    json_t *root;   /* owns names, keys and values */
    sonde__tensor *tensors;
    size_t count;
};

typedef struct type_info {
    const char *name;
    size_t size;
} type_info;

static const type_info TYPES[] = {
    [SONDE__TENSOR_F64] = {"F64", 8},   [SONDE__TENSOR_F32] = {"F32", 4},
    [SONDE__TENSOR_F16] = {"F16", 2},   [SONDE__TENSOR_BF16] = {"BF16", 2},
    [SONDE__TENSOR_I64] = {"I64", 8},   [SONDE__TENSOR_I32] = {"I32", 4},
    [SONDE__TENSOR_U8] = {"U8", 1},     [SONDE__TENSOR_I16] = {"I16", 2},
    [SONDE__TENSOR_I8] = {"I8", 1},     [SONDE__TENSOR_U64] = {"U64", 8},
    [SONDE__TENSOR_U32] = {"U32", 4},   [SONDE__TENSOR_U16] = {"U16", 2},
    [SONDE__TENSOR_BOOL] = {"BOOL", 1},
};

enum { TYPE_COUNT = sizeof TYPES / sizeof *TYPES };

/* Elements times size; false on overflow or a negative dimension. */
static bool tensor_bytes(const sonde__tensor *tensor, size_t *bytes)
{
    size_t product = TYPES[tensor->type].size;
    for (int i = 0; i < tensor->dims; i++)
        if (tensor->shape[i] < 0 || (uint64_t)tensor->shape[i] > SIZE_MAX ||
            !sonde__multiply(product, (size_t)tensor->shape[i], &product))
            return false;
    *bytes = product;
    return true;
}

static bool name_is_plain(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return length > 0 && length <= NAME_MAX_BYTES;
}

/* --- writing ------------------------------------------------------------------------------------ */

static sonde_status check_tensor(sonde_context *context, const char *path,
                                 const sonde__tensor *tensors, size_t index)
{
    const sonde__tensor *tensor = &tensors[index];
    size_t bytes = 0;
    bool good = tensor->dims >= 0 && tensor->dims <= SONDE__TENSOR_DIMS_MAX &&
                (unsigned)tensor->type < TYPE_COUNT && tensor_bytes(tensor, &bytes) &&
                bytes == tensor->bytes;
    if (!good)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, path, tensor->name, -1,
                              "%s: tensor '%s' is given with %zu bytes; its shape and type have "
                              "%zu",
                              path, tensor->name, tensor->bytes, bytes);
    for (size_t i = 0; i < index; i++)
        good = good && strcmp(tensors[i].name, tensor->name) != 0;
    if (!good || !name_is_plain(tensor->name) || strcmp(tensor->name, "__metadata__") == 0)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, path, tensor->name, -1,
                              "%s: '%s' cannot be the name of a tensor, or is that of two", path,
                              tensor->name);
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
    sonde__text_format(json, ":{\"dtype\":\"%s\",\"shape\":[", TYPES[tensor->type].name);
    for (int i = 0; i < tensor->dims; i++)
        sonde__text_format(json, "%s%lld", i ? "," : "", (long long)tensor->shape[i]);
    sonde__text_format(json, "],\"data_offsets\":[%zu,%zu]}", begin, begin + tensor->bytes);
}

/* Calls for every tensor, larger element types first, so that each lies aligned to its type. */
static sonde_status header_json(sonde__text *json, const sonde__tensor *tensors, size_t count,
                                const sonde__metadata *metadata, size_t metadata_count)
{
    size_t offset = 0;
    bool first = metadata_count == 0;
    sonde__text_add(json, "{");
    if (metadata_count)
        add_metadata(json, metadata, metadata_count);
    for (size_t size = 8; size > 0; size /= 2)
        for (size_t i = 0; i < count; i++) {
            if (TYPES[tensors[i].type].size != size)
                continue;
            sonde__text_add(json, first ? "" : ",");
            first = false;
            add_entry(json, &tensors[i], offset);
            offset += tensors[i].bytes;
        }
    sonde__text_add(json, "}");
    while (sonde__text_status(json) == SONDE_OK && (json->length + PREFIX) % ALIGNMENT != 0)
        sonde__text_add(json, " ");
    return sonde__text_status(json);
}

static sonde_status write_parts(sonde__replacer *replacer, const sonde__text *json,
                                const sonde__tensor *tensors, size_t count)
{
    uint8_t length[PREFIX];
    for (size_t i = 0; i < PREFIX; i++)
        length[i] = (uint8_t)((uint64_t)json->length >> (8 * i));
    SONDE_TRY(sonde__replace_write(replacer, length, sizeof length));
    SONDE_TRY(sonde__replace_write(replacer, json->bytes, json->length));
    for (size_t size = 8; size > 0; size /= 2)
        for (size_t i = 0; i < count; i++)
            if (TYPES[tensors[i].type].size == size)
                SONDE_TRY(sonde__replace_write(replacer, tensors[i].data, tensors[i].bytes));
    return SONDE_OK;
}

static sonde_status check_all(sonde_context *context, const char *path,
                              const sonde__tensor *tensors, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        SONDE_TRY(check_tensor(context, path, tensors, i));
        if (!sonde__add(total, tensors[i].bytes, &total))
            return sonde__fail(context, SONDE_ERROR_OVERFLOW, "%s: the tensors are too large",
                               path);
    }
    return SONDE_OK;
}

sonde_status sonde__safetensors_write(sonde_context *context, const char *path,
                                      const sonde__tensor *tensors, size_t count,
                                      const sonde__metadata *metadata, size_t metadata_count)
{
    sonde__replacer *replacer = NULL;
    sonde__text json;
    sonde_status status;
    sonde__text_init(&json, context);
    SONDE_TRY_CLEAN(check_all(context, path, tensors, count));
    SONDE_TRY_CLEAN(header_json(&json, tensors, count, metadata, metadata_count));
    SONDE_TRY_CLEAN(sonde__replace_open(context, path, &replacer));
    SONDE_TRY_CLEAN(write_parts(replacer, &json, tensors, count));
    status = sonde__replace_commit(replacer);
    replacer = NULL;
cleanup:
    sonde__replace_abandon(replacer);
    sonde__text_free(&json);
    return status;
}

/* --- reading ------------------------------------------------------------------------------------ */

typedef struct reading {
    sonde_context *context;
    const char *path;
    sonde__safetensors *file;
    size_t data_offset, data_size;
} reading;

static sonde_status bad_tensor(const reading *r, sonde_status status, const char *name,
                               const char *what)
{
    return sonde__fail_at(r->context, status, r->path, name, PREFIX, "%s: tensor '%.200s' %s",
                          r->path, name, what);
}

static sonde_status read_type(const reading *r, const char *name, const json_t *entry,
                              sonde__tensor *tensor)
{
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    if (!type)
        return bad_tensor(r, SONDE_ERROR_FORMAT, name, "has no dtype");
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (strcmp(type, TYPES[i].name) == 0) {
            tensor->type = (sonde__tensor_type)i;
            return SONDE_OK;
        }
    return sonde__fail_at(r->context, SONDE_ERROR_UNSUPPORTED, r->path, name, PREFIX,
                          "%s: tensor '%.200s' has the unknown dtype '%.40s'", r->path, name, type);
}

static sonde_status read_shape(const reading *r, const char *name, const json_t *entry,
                               sonde__tensor *tensor)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return bad_tensor(r, SONDE_ERROR_FORMAT, name, "has no shape");
    if (json_array_size(shape) > SONDE__TENSOR_DIMS_MAX)
        return bad_tensor(r, SONDE_ERROR_UNSUPPORTED, name, "has more than 8 dimensions");
    tensor->dims = (int)json_array_size(shape);
    for (int i = 0; i < tensor->dims; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return bad_tensor(r, SONDE_ERROR_FORMAT, name,
                              "has a dimension that is not a whole number of 0 or more");
        tensor->shape[i] = json_integer_value(size);
    }
    if (!tensor_bytes(tensor, &tensor->bytes))
        return bad_tensor(r, SONDE_ERROR_OVERFLOW, name, "has a shape that does not fit in memory");
    return SONDE_OK;
}

static sonde_status read_offsets(const reading *r, const char *name, const json_t *entry,
                                 sonde__tensor *tensor)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
        json_integer_value(first) < 0 || json_integer_value(last) < json_integer_value(first))
        return bad_tensor(r, SONDE_ERROR_FORMAT, name,
                          "has no data_offsets of a begin and an end behind it");
    uint64_t begin = (uint64_t)json_integer_value(first), end = (uint64_t)json_integer_value(last);
    if (end > r->data_size)
        return sonde__fail_at(r->context, SONDE_ERROR_TRUNCATED, r->path, name,
                              (int64_t)(r->data_offset + r->data_size),
                              "%s: tensor '%.200s' ends at byte %llu of the data, which has %zu",
                              r->path, name, (unsigned long long)end, r->data_size);
    if (end - begin != tensor->bytes)
        return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, name,
                              (int64_t)(r->data_offset + begin),
                              "%s: tensor '%.200s' has %llu bytes; its shape and dtype need %zu",
                              r->path, name, (unsigned long long)(end - begin), tensor->bytes);
    tensor->data = r->file->block + begin;
    return SONDE_OK;
}

static sonde_status read_entry(const reading *r, const char *name, const json_t *entry,
                               sonde__tensor *tensor)
{
    if (!name_is_plain(name))
        return bad_tensor(r, SONDE_ERROR_FORMAT, name,
                          "has a name that is empty, over 1024 bytes or holds control characters");
    if (!json_is_object(entry))
        return bad_tensor(r, SONDE_ERROR_FORMAT, name, "is not described by an object");
    tensor->name = name;
    SONDE_TRY(read_type(r, name, entry, tensor));
    SONDE_TRY(read_shape(r, name, entry, tensor));
    SONDE_TRY(read_offsets(r, name, entry, tensor));
    if (json_object_size(entry) != 3)
        return bad_tensor(r, SONDE_ERROR_FORMAT, name,
                          "has other keys than dtype, shape and data_offsets");
    return SONDE_OK;
}

static sonde_status check_metadata(const reading *r, json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return bad_tensor(r, SONDE_ERROR_FORMAT, "__metadata__", "is not an object");
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return bad_tensor(
        r, SONDE_ERROR_FORMAT, "__metadata__", "holds a value that is not a string");
    return SONDE_OK;
}

static int compare_places(const void *a, const void *b)
{
    const sonde__tensor *x = a, *y = b;
    const char *p = x->data, *q = y->data;
    if (p != q)
        return p < q ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* In order of place, each tensor must begin where the one before ends. */
static sonde_status check_tiling(const reading *r)
{
    const sonde__safetensors *file = r->file;
    size_t reached = 0;
    if (file->count > 0)
        qsort(file->tensors, file->count, sizeof *file->tensors, compare_places);
    for (size_t i = 0; i < file->count; i++) {
        const sonde__tensor *tensor = &file->tensors[i];
        size_t begin = (size_t)((const uint8_t *)tensor->data - file->block);
        if (begin != reached)
            return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, tensor->name,
                                  (int64_t)(r->data_offset + begin),
                                  "%s: tensor '%.200s' begins at byte %zu of the data %s at %zu",
                                  r->path, tensor->name, begin,
                                  begin < reached ? "and overlaps the one that ends"
                                                  : "and leaves a hole behind the one that ends",
                                  reached);
        reached += tensor->bytes;
    }
    if (reached != r->data_size)
        return sonde__fail_at(
            r->context, SONDE_ERROR_FORMAT, r->path, NULL, (int64_t)(r->data_offset + reached),
            "%s: %zu bytes at the end belong to no tensor", r->path, r->data_size - reached);
    return SONDE_OK;
}

static sonde_status read_entries(const reading *r)
{
    sonde__safetensors *file = r->file;
    const char *name;
    json_t *entry;
    size_t entries = json_object_size(file->root);
    file->tensors = sonde__alloc_zero(r->context, entries, sizeof *file->tensors);
    if (!file->tensors)
        return sonde_context_error(r->context)->status;
    json_object_foreach(file->root, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) {
            SONDE_TRY(check_metadata(r, entry));
            continue;
        }
        SONDE_TRY(read_entry(r, name, entry, &file->tensors[file->count]));
        file->count++;
    }
    return check_tiling(r);
}

static sonde_status read_length(const reading *r, const uint8_t *bytes, size_t size, size_t *length)
{
    uint64_t claimed = 0;
    if (size < PREFIX)
        return sonde__fail_at(r->context, SONDE_ERROR_TRUNCATED, r->path, NULL, (int64_t)size,
                              "%s: has %zu bytes, too few for a safetensors file", r->path, size);
    for (size_t i = 0; i < PREFIX; i++)
        claimed |= (uint64_t)bytes[i] << (8 * i);
    if (claimed > size - PREFIX)
        return sonde__fail_at(r->context, SONDE_ERROR_TRUNCATED, r->path, NULL, 0,
                              "%s: the header should have %llu bytes and only %zu follow; is it a "
                              "safetensors file?",
                              r->path, (unsigned long long)claimed, size - PREFIX);
    if (claimed > HEADER_MAX)
        return sonde__fail_at(r->context, SONDE_ERROR_UNSUPPORTED, r->path, NULL, 0,
                              "%s: the header has %llu bytes; at most %d are read", r->path,
                              (unsigned long long)claimed, HEADER_MAX);
    if (claimed < 2 || bytes[PREFIX] != '{')
        return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, NULL, PREFIX,
                              "%s: the header does not begin with '{'; is it a safetensors file?",
                              r->path);
    *length = (size_t)claimed;
    return SONDE_OK;
}

static sonde_status read_json(reading *r, const uint8_t *bytes, size_t length)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)bytes + PREFIX, length, JSON_REJECT_DUPLICATES, &error);
    if (!root && json_error_code(&error) == json_error_out_of_memory)
        return sonde__fail_at(r->context, SONDE_ERROR_MEMORY, r->path, NULL, PREFIX,
                              "%s: no memory for its header", r->path);
    if (!root) {
        int64_t offset = PREFIX + (error.position > 0 ? error.position : 0);
        return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, NULL, offset,
                              "%s: the header is not valid JSON at byte %lld: %s", r->path,
                              (long long)offset, error.text);
    }
    r->file->root = root;
    return SONDE_OK;
}

static sonde_status parse(reading *r, uint8_t *bytes, size_t size)
{
    size_t length = 0;
    SONDE_TRY(read_length(r, bytes, size, &length));
    SONDE_TRY(read_json(r, bytes, length));
    r->data_offset = PREFIX + length;
    r->data_size = size - r->data_offset;
    /* To the front of the block, which is aligned, so that the data is. */
    memmove(bytes, bytes + r->data_offset, r->data_size);
    return read_entries(r);
}

sonde_status sonde__safetensors_parse(sonde_context *context, const char *path, void *bytes,
                                      size_t size, sonde__safetensors **out)
{
    sonde__safetensors *file = sonde__alloc_zero(context, 1, sizeof *file);
    if (!file) {
        sonde__free(context, bytes);
        return sonde_context_error(context)->status;
    }
    file->context = context;
    file->block = bytes;
    reading r = {.context = context, .path = path, .file = file};
    sonde_status status = parse(&r, bytes, size);
    if (status != SONDE_OK) {
        sonde__safetensors_close(file);
        return status;
    }
    *out = file;
    return SONDE_OK;
}

sonde_status sonde__safetensors_open(sonde_context *context, const char *path,
                                     sonde__safetensors **file)
{
    void *bytes = NULL;
    size_t size = 0;
    SONDE_TRY(sonde__read_file(context, path, SIZE_MAX, &bytes, &size));
    return sonde__safetensors_parse(context, path, bytes, size, file);
}

void sonde__safetensors_close(sonde__safetensors *file)
{
    if (!file)
        return;
    json_decref(file->root);
    sonde__free(file->context, file->tensors);
    sonde__free(file->context, file->block);
    sonde__free(file->context, file);
}

size_t sonde__safetensors_count(const sonde__safetensors *file)
{
    return file->count;
}

const sonde__tensor *sonde__safetensors_tensor(const sonde__safetensors *file, size_t index)
{
    return index < file->count ? &file->tensors[index] : NULL;
}

const sonde__tensor *sonde__safetensors_find(const sonde__safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *sonde__safetensors_metadata(const sonde__safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->root, "__metadata__"), key));
}
