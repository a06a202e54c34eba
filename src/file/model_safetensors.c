/*
 * safetensors for the model: u64 header length, JSON header, tensor bytes (huggingface/safetensors,
 * README).
 *
 * The header is one JSON object of unique keys; sorted by offset, the tensors must tile the data
 * part exactly: no hole, no overlap, nothing before, behind or past the end; each shape times its
 * type's size must be its bytes. Only then does the model get to see a tensor. Read are the header's
 * bytes, which the file must have, and never a byte of data; kept beside them are 40 bytes a tensor
 * and 8 a dimension.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/text.h"
#include "file/json_read.h"
#include "file/safetensors_internal.h"

enum { PREFIX = SONDE__SAFETENSORS_PREFIX };

/* A tensor of the header; its dimensions stand in the pool of the reading. */
typedef struct entry {
    const char *name; /* in the header */
    uint64_t begin, bytes;
    uint32_t shape; /* index of its first dimension */
    uint16_t number, dims;
} entry;

typedef struct reading {
    sonde_model *model;
    sonde_context *context;
    const sonde__input *input;
    int input_number;
    const char *path;
    sonde__json json; /* over the header */
    uint64_t data_offset, data_size;
    entry *entries;
    size_t count, room;
    int64_t *shapes;
    size_t shape_count, shape_room;
    const char **keys; /* of the metadata, in the header */
    size_t key_count, key_room;
    bool has_metadata;
} reading;

bool sonde__safetensors_has(sonde_number number)
{
    return number >= SONDE_NUMBER_F64 && number <= SONDE_NUMBER_F6_E3M2 &&
           number != SONDE_NUMBER_C128 && sonde__number_find(number);
}

/* The product of dimensions other than 0 must fit too: strides are made of it. */
bool sonde__safetensors_bytes(sonde_number number, int dims, const int64_t *shape, uint64_t *bytes)
{
    const sonde__number_info *info = sonde__number_find(number);
    size_t elements = 1, product;
    bool empty = false;
    for (int i = 0; i < dims; i++) {
        empty = empty || shape[i] == 0;
        if (shape[i] < 0 ||
            (shape[i] > 0 && !sonde__multiply(elements, (size_t)shape[i], &elements)))
            return false;
    }
    if (!sonde__multiply(elements / info->elements, info->bytes, &product) || product > INT64_MAX)
        return false;
    if (!empty && elements % info->elements != 0)
        return false;
    *bytes = empty ? 0 : product;
    return true;
}

bool sonde__safetensors_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= SONDE__SAFETENSORS_NAME_MAX && sonde__text_is_plain(name);
}

/* --- one tensor of the header ------------------------------------------------------------------- */

static int64_t here(const reading *r)
{
    return (int64_t)(PREFIX + sonde__json_offset(&r->json));
}

static sonde_status bad_tensor(const reading *r, sonde_status status, const char *name,
                               const char *what)
{
    return sonde__fail_at(r->context, status, r->path, name, here(r), "%s: tensor '%.200s' %s",
                          r->path, name, what);
}

static sonde_status bad_json(const reading *r)
{
    return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, NULL, here(r),
                          "%s: the header is not valid JSON at byte %lld: %s", r->path,
                          (long long)here(r), r->json.error);
}

/* A value of another kind than it must be, unless the text ends there. */
static sonde_status bad_kind(const reading *r, const char *name, const char *what)
{
    return r->json.error ? bad_json(r) : bad_tensor(r, SONDE_ERROR_FORMAT, name, what);
}

static sonde_status read_type(reading *r, entry *tensor)
{
    const char *type;
    if (sonde__json_peek(&r->json) != '"')
        return bad_kind(r, tensor->name, "has no dtype that is a string");
    if (!sonde__json_string(&r->json, &type))
        return bad_json(r);
    const sonde__number_info *info = sonde__number_named(type);
    if (!info || !sonde__safetensors_has(info->number))
        return sonde__fail_at(r->context, SONDE_ERROR_UNSUPPORTED, r->path, tensor->name, here(r),
                              "%s: tensor '%.200s' has the unknown dtype '%.40s'", r->path,
                              tensor->name, type);
    tensor->number = (uint16_t)info->number;
    return SONDE_OK;
}

static sonde_status grow_shapes(reading *r)
{
    size_t room = r->shape_room ? 2 * r->shape_room : 256;
    int64_t *shapes = sonde__resize(r->context, r->shapes, room, sizeof *shapes);
    if (!shapes)
        return sonde_context_error(r->context)->status;
    r->shapes = shapes;
    r->shape_room = room;
    return SONDE_OK;
}

static sonde_status read_shape(reading *r, entry *tensor)
{
    bool first = true, whole = false;
    int64_t size = 0;
    if (sonde__json_peek(&r->json) != '[')
        return bad_kind(r, tensor->name, "has no shape that is an array");
    sonde__json_enter(&r->json, '[');
    tensor->shape = (uint32_t)r->shape_count;
    while (sonde__json_item(&r->json, &first)) {
        if (tensor->dims == SONDE_TENSOR_DIMS_MAX)
            return bad_tensor(r, SONDE_ERROR_UNSUPPORTED, tensor->name,
                              "has more than 8 dimensions");
        if (sonde__json_peek(&r->json) == '-' && !sonde__json_number(&r->json, &size, &whole))
            return bad_json(r);
        if (!whole || size < 0)
            return bad_tensor(
                r, SONDE_ERROR_FORMAT, tensor->name,
                "has a dimension that is not a whole number of 0 or more, below 2^63");
        if (r->shape_count == r->shape_room)
            SONDE_TRY(grow_shapes(r));
        r->shapes[r->shape_count++] = size;
        tensor->dims++;
    }
    return r->json.error ? bad_json(r) : SONDE_OK;
}

/* `ends` are the begin and the end in the data part. */
static sonde_status read_offsets(reading *r, const entry *tensor, uint64_t ends[2])
{
    bool first = true, whole = true;
    int64_t value[3] = {0};
    size_t count = 0;
    if (sonde__json_peek(&r->json) == '[') {
        sonde__json_enter(&r->json, '[');
        while (whole && count < 3 && sonde__json_item(&r->json, &first)) {
            whole = sonde__json_peek(&r->json) == '-';
            if (whole && !sonde__json_number(&r->json, &value[count++], &whole))
                return bad_json(r);
        }
    }
    if (r->json.error)
        return bad_json(r);
    if (count != 2 || !whole || value[0] < 0 || value[1] < value[0])
        return bad_tensor(r, SONDE_ERROR_FORMAT, tensor->name,
                          "has no data_offsets of a begin and an end behind it");
    ends[0] = (uint64_t)value[0];
    ends[1] = (uint64_t)value[1];
    return SONDE_OK;
}

/* What the three fields claim, against each other and the size of the file. */
static sonde_status check_entry(const reading *r, entry *tensor, const uint64_t ends[2])
{
    uint64_t need;
    sonde_number number = (sonde_number)tensor->number;
    if (!sonde__safetensors_bytes(number, tensor->dims, r->shapes + tensor->shape, &need)) {
        bool blocks = sonde__number_find(number)->elements > 1;
        return bad_tensor(r, blocks ? SONDE_ERROR_FORMAT : SONDE_ERROR_OVERFLOW, tensor->name,
                          blocks ? "has a shape that does not fill whole bytes, or does not fit in "
                                   "memory"
                                 : "has a shape that does not fit in memory");
    }
    if (ends[1] > r->data_size)
        return sonde__fail_at(r->context, SONDE_ERROR_TRUNCATED, r->path, tensor->name,
                              (int64_t)(r->data_offset + r->data_size),
                              "%s: tensor '%.200s' ends at byte %llu of the data, which has %llu; "
                              "the file is cut off, or not whole yet",
                              r->path, tensor->name, (unsigned long long)ends[1],
                              (unsigned long long)r->data_size);
    if (ends[1] - ends[0] != need)
        return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, tensor->name,
                              (int64_t)(r->data_offset + ends[0]),
                              "%s: tensor '%.200s' has %llu bytes; its shape and dtype need %llu",
                              r->path, tensor->name, (unsigned long long)(ends[1] - ends[0]),
                              (unsigned long long)need);
    tensor->begin = ends[0];
    tensor->bytes = need;
    return SONDE_OK;
}

static sonde_status read_fields(reading *r, entry *tensor, uint64_t ends[2], unsigned *seen)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    const char *key;
    bool first = true;
    sonde__json_enter(&r->json, '{');
    while (sonde__json_key(&r->json, &first, &key)) {
        unsigned field = 0;
        while (field < 3 && strcmp(key, keys[field]) != 0)
            field++;
        if (field == 3)
            return bad_tensor(r, SONDE_ERROR_FORMAT, tensor->name,
                              "has other keys than dtype, shape and data_offsets");
        if (*seen & 1U << field)
            return bad_tensor(r, SONDE_ERROR_FORMAT, tensor->name, "has the same key twice");
        *seen |= 1U << field;
        SONDE_TRY(field == 0   ? read_type(r, tensor)
                  : field == 1 ? read_shape(r, tensor)
                               : read_offsets(r, tensor, ends));
    }
    return r->json.error ? bad_json(r) : SONDE_OK;
}

static sonde_status read_entry(reading *r, const char *name)
{
    entry tensor = {.name = name};
    uint64_t ends[2] = {0, 0};
    unsigned seen = 0;
    if (!sonde__safetensors_name(name))
        return bad_tensor(r, SONDE_ERROR_FORMAT, name,
                          "has a name that is empty, over 1024 bytes or holds control characters");
    if (sonde__json_peek(&r->json) != '{')
        return bad_kind(r, name, "is not described by an object");
    SONDE_TRY(read_fields(r, &tensor, ends, &seen));
    if (seen != 7)
        return bad_tensor(r, SONDE_ERROR_FORMAT, name,
                          !(seen & 1U)   ? "has no dtype"
                          : !(seen & 2U) ? "has no shape"
                                         : "has no data_offsets");
    SONDE_TRY(check_entry(r, &tensor, ends));
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 64;
        entry *entries = sonde__resize(r->context, r->entries, room, sizeof *entries);
        if (!entries)
            return sonde_context_error(r->context)->status;
        r->entries = entries;
        r->room = room;
    }
    r->entries[r->count++] = tensor;
    return SONDE_OK;
}

/* --- the header --------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static sonde_status check_keys(const reading *r)
{
    if (r->key_count > 1)
        qsort((void *)r->keys, r->key_count, sizeof *r->keys, compare_keys);
    for (size_t i = 1; i < r->key_count; i++)
        if (strcmp(r->keys[i - 1], r->keys[i]) == 0)
            return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, "__metadata__", here(r),
                                  "%s: the metadata have the key '%.200s' twice", r->path,
                                  r->keys[i]);
    return SONDE_OK;
}

static sonde_status read_pair(reading *r, const char *key)
{
    const char *value;
    if (sonde__json_peek(&r->json) != '"')
        return bad_kind(r, "__metadata__", "holds a value that is not a string");
    if (!sonde__json_string(&r->json, &value))
        return bad_json(r);
    if (r->key_count == r->key_room) {
        size_t room = r->key_room ? 2 * r->key_room : 16;
        void *keys = sonde__resize(r->context, (void *)r->keys, room, sizeof *r->keys);
        if (!keys)
            return sonde_context_error(r->context)->status;
        r->keys = keys;
        r->key_room = room;
    }
    r->keys[r->key_count++] = key;
    return sonde__model_add_metadata(r->model, key, value);
}

static sonde_status read_metadata(reading *r)
{
    const char *key;
    bool first = true;
    if (r->has_metadata)
        return bad_tensor(r, SONDE_ERROR_FORMAT, "__metadata__", "is there twice");
    r->has_metadata = true;
    if (sonde__json_peek(&r->json) != '{')
        return bad_kind(r, "__metadata__", "is not an object");
    sonde__json_enter(&r->json, '{');
    while (sonde__json_key(&r->json, &first, &key))
        SONDE_TRY(read_pair(r, key));
    return r->json.error ? bad_json(r) : check_keys(r);
}

/* Behind the object: white space, or the NUL bytes that some writers pad with. */
static sonde_status check_padding(const reading *r)
{
    const char *at = r->json.at;
    while (at < r->json.end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    const char *plain = at;
    while (at < r->json.end && *at == '\0')
        at++;
    if (at < r->json.end)
        return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, NULL,
                              PREFIX + (int64_t)(at - r->json.begin),
                              "%s: the header is not valid JSON at byte %lld: something stands "
                              "behind its end",
                              r->path, PREFIX + (long long)(at - r->json.begin));
    if (at > plain)
        return sonde__model_warn(r->model,
                                 "%s: the header is padded with %zu NUL bytes instead of spaces",
                                 r->path, (size_t)(at - plain));
    return SONDE_OK;
}

static sonde_status read_header(reading *r)
{
    const char *key;
    bool first = true;
    sonde__json_enter(&r->json, '{');
    while (sonde__json_key(&r->json, &first, &key))
        SONDE_TRY(strcmp(key, "__metadata__") == 0 ? read_metadata(r) : read_entry(r, key));
    return r->json.error ? bad_json(r) : check_padding(r);
}

/* In order of place; of empty tensors at one place, in order of the header. */
static int compare_places(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return x->name < y->name ? -1 : x->name > y->name;
}

static void sort_entries(const reading *r)
{
    for (size_t i = 1; i < r->count; i++)
        if (compare_places(&r->entries[i - 1], &r->entries[i]) > 0) {
            qsort(r->entries, r->count, sizeof *r->entries, compare_places);
            return;
        }
}

/* In order of place, each tensor must begin where the one before ends. */
static sonde_status check_tiling(const reading *r)
{
    uint64_t reached = 0;
    sort_entries(r);
    for (size_t i = 0; i < r->count; i++) {
        const entry *tensor = &r->entries[i];
        if (tensor->begin != reached)
            return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, tensor->name,
                                  (int64_t)(r->data_offset + tensor->begin),
                                  "%s: tensor '%.200s' begins at byte %llu of the data %s at %llu",
                                  r->path, tensor->name, (unsigned long long)tensor->begin,
                                  tensor->begin < reached
                                      ? "and overlaps the one that ends"
                                      : "and leaves a hole behind the one that ends",
                                  (unsigned long long)reached);
        reached += tensor->bytes;
    }
    if (reached != r->data_size)
        return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, NULL,
                              (int64_t)(r->data_offset + reached),
                              "%s: %llu bytes at the end belong to no tensor", r->path,
                              (unsigned long long)(r->data_size - reached));
    return SONDE_OK;
}

/* --- into the model ----------------------------------------------------------------------------- */

/* A tensor that does not lie at a multiple of its elements has a storage of its own. */
static sonde_status place_tensor(const reading *r, const entry *tensor, size_t shared,
                                 sonde__stored *stored)
{
    const sonde__number_info *info = sonde__number_find(stored->number);
    stored->storage = shared;
    stored->first = tensor->begin / info->bytes * info->elements;
    if (tensor->begin % info->bytes == 0)
        return SONDE_OK;
    const sonde__storage own = {.input = r->input_number,
                                .offset = r->data_offset + tensor->begin,
                                .packed = tensor->bytes,
                                .bytes = tensor->bytes};
    stored->first = 0;
    return sonde__model_add_storage(r->model, &own, &stored->storage);
}

static sonde_status add_tensors(const reading *r)
{
    size_t shared;
    const sonde__storage data = {.input = r->input_number,
                                 .offset = r->data_offset,
                                 .packed = r->data_size,
                                 .bytes = r->data_size};
    SONDE_TRY(sonde__model_add_storage(r->model, &data, &shared));
    for (size_t i = 0; i < r->count; i++) {
        const entry *tensor = &r->entries[i];
        sonde__stored stored = {
            .name = tensor->name, .number = (sonde_number)tensor->number, .dims = tensor->dims};
        memcpy(stored.shape, r->shapes + tensor->shape, tensor->dims * sizeof *stored.shape);
        if (!sonde__dense_strides(stored.dims, stored.shape, stored.strides))
            return bad_tensor(r, SONDE_ERROR_OVERFLOW, stored.name,
                              "has a shape that does not fit in memory");
        SONDE_TRY(place_tensor(r, tensor, shared, &stored));
        SONDE_TRY(sonde__model_add_tensor(r->model, &stored));
    }
    return SONDE_OK;
}

static sonde_status read_length(const reading *r, uint64_t *length)
{
    uint8_t bytes[PREFIX];
    uint64_t claimed = 0, size = sonde__input_size(r->input);
    if (size < PREFIX)
        return sonde__fail_at(r->context, SONDE_ERROR_TRUNCATED, r->path, NULL, (int64_t)size,
                              "%s: has %llu bytes, too few for a safetensors file", r->path,
                              (unsigned long long)size);
    SONDE_TRY(sonde__input_read(r->input, "header length", 0, bytes, PREFIX));
    for (size_t i = 0; i < PREFIX; i++)
        claimed |= (uint64_t)bytes[i] << (8 * i);
    if (claimed > size - PREFIX)
        return sonde__fail_at(r->context, SONDE_ERROR_TRUNCATED, r->path, NULL, 0,
                              "%s: the header should have %llu bytes and only %llu follow; is it a "
                              "safetensors file?",
                              r->path, (unsigned long long)claimed,
                              (unsigned long long)(size - PREFIX));
    if (claimed > SONDE__SAFETENSORS_HEADER_MAX)
        return sonde__fail_at(r->context, SONDE_ERROR_UNSUPPORTED, r->path, NULL, 0,
                              "%s: the header has %llu bytes; the format allows %d", r->path,
                              (unsigned long long)claimed, SONDE__SAFETENSORS_HEADER_MAX);
    *length = claimed;
    return SONDE_OK;
}

static sonde_status read_all(reading *r, char *header, size_t length)
{
    SONDE_TRY(sonde__input_read(r->input, "header", PREFIX, header, length));
    if (length < 2 || header[0] != '{')
        return sonde__fail_at(r->context, SONDE_ERROR_FORMAT, r->path, NULL, PREFIX,
                              "%s: the header does not begin with '{'; is it a safetensors file?",
                              r->path);
    sonde__json_init(&r->json, header, length);
    r->data_offset = PREFIX + length;
    r->data_size = sonde__input_size(r->input) - r->data_offset;
    SONDE_TRY(grow_shapes(r)); /* scalars point into it too */
    SONDE_TRY(read_header(r));
    SONDE_TRY(check_tiling(r));
    return add_tensors(r);
}

sonde_status sonde__model_read_safetensors(sonde_model *model, int number)
{
    reading r = {.model = model,
                 .context = sonde__model_context(model),
                 .input = sonde__model_input(model, number),
                 .input_number = number};
    uint64_t length = 0;
    r.path = sonde__input_path(r.input);
    SONDE_TRY(read_length(&r, &length));
    char *header = sonde__alloc(r.context, (size_t)length + 1, 1);
    if (!header)
        return sonde_context_error(r.context)->status;
    sonde_status status = read_all(&r, header, (size_t)length);
    sonde__free(r.context, r.entries);
    sonde__free(r.context, r.shapes);
    sonde__free(r.context, (void *)r.keys);
    sonde__free(r.context, header);
    return status;
}
