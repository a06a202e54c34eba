/*
 * safetensors: u64 header length, JSON header, tensor bytes (huggingface/safetensors, README).
 *
 * Reading: the header is one JSON object of unique keys; sorted by offset, the tensors must tile
 * the data part exactly: no hole, no overlap, nothing before, behind or past the end; each shape
 * times its type's size must be its bytes. Only then is a tensor visible.
 */
#include "file/safetensors_internal.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/checked.h"
#include "base/path.h"

enum { PREFIX = SONDE__SAFETENSORS_PREFIX, HEADER_MAX = SONDE__SAFETENSORS_HEADER_MAX };

struct sonde__safetensors {
    sonde_context *context;
    uint8_t *block; /* the data, at the front of the block that the file was read into */
    json_t *root;   /* owns names, keys and values */
    sonde__tensor *tensors;
    size_t count;
};

bool sonde__safetensors_has(sonde_number number)
{
    return number >= SONDE_NUMBER_F64 && number <= SONDE_NUMBER_F6_E3M2 &&
           number != SONDE_NUMBER_C128 && sonde__number_find(number);
}

bool sonde__safetensors_bytes(sonde_number number, int dims, const int64_t *shape, uint64_t *bytes)
{
    const sonde__number_info *info = sonde__number_find(number);
    size_t elements = 1, product;
    for (int i = 0; i < dims; i++)
        if (shape[i] < 0 || !sonde__multiply(elements, (size_t)shape[i], &elements))
            return false;
    if (elements % info->elements != 0 ||
        !sonde__multiply(elements / info->elements, info->bytes, &product))
        return false;
    *bytes = product;
    return true;
}

bool sonde__safetensors_name(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return length > 0 && length <= SONDE__SAFETENSORS_NAME_MAX;
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
    const sonde__number_info *info = sonde__number_named(type);
    if (info && sonde__safetensors_has(info->number)) {
        tensor->number = info->number;
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
    if (json_array_size(shape) > SONDE_TENSOR_DIMS_MAX)
        return bad_tensor(r, SONDE_ERROR_UNSUPPORTED, name, "has more than 8 dimensions");
    tensor->dims = (int)json_array_size(shape);
    for (int i = 0; i < tensor->dims; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return bad_tensor(r, SONDE_ERROR_FORMAT, name,
                              "has a dimension that is not a whole number of 0 or more");
        tensor->shape[i] = json_integer_value(size);
    }
    uint64_t bytes;
    if (!sonde__safetensors_bytes(tensor->number, tensor->dims, tensor->shape, &bytes))
        return bad_tensor(r, SONDE_ERROR_OVERFLOW, name, "has a shape that does not fit in memory");
    tensor->bytes = bytes;
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
    if (!sonde__safetensors_name(name))
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
