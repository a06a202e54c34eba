/*
 * What format readers say about a file, checked once more and kept.
 *
 * Nothing that a reader passes on is believed: names, shapes, strides and places come from the file.
 * Sizes are 64-bit and every product and sum of them is checked before it is used.
 */
#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "file/model_state.h"

enum {
    CHUNK = 16 << 10,
    NAME_MAX_BYTES = 1024,
    WARNING_MAX = 512,
    WARNINGS_MAX = 100,
    PAIRS_COMPARED = 32
};

static bool multiply(uint64_t a, uint64_t b, uint64_t *product)
{
    if (b != 0 && a > UINT64_MAX / b)
        return false;
    *product = a * b;
    return true;
}

static bool add(uint64_t a, uint64_t b, uint64_t *sum)
{
    if (a > UINT64_MAX - b)
        return false;
    *sum = a + b;
    return true;
}

/* --- memory ------------------------------------------------------------------------------------- */

void *sonde__model_keep(sonde_model *model, size_t size)
{
    const size_t head = sizeof(sonde__chunk), rounded = (size + 7) / 8 * 8;
    if (rounded < size)
        return NULL;
    sonde__chunk *chunk = model->chunks;
    if (!chunk || chunk->room - chunk->used < rounded) {
        const size_t room = rounded > CHUNK ? rounded : CHUNK;
        chunk = sonde__alloc(model->context, head + room, 1);
        if (!chunk)
            return NULL;
        *chunk = (sonde__chunk){model->chunks, 0, room};
        model->chunks = chunk;
    }
    void *place = (uint8_t *)chunk + head + chunk->used;
    chunk->used += rounded;
    return place;
}

const char *sonde__model_keep_string(sonde_model *model, const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = sonde__model_keep(model, size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

/* Makes room for one more item in a growing array. */
static sonde_status grow(sonde_model *model, void **items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return SONDE_OK;
    const size_t larger = *room ? *room + *room / 2 : 8;
    void *grown = sonde__resize(model->context, *items, larger, size);
    if (!grown)
        return sonde_context_error(model->context)->status;
    *items = grown;
    *room = larger;
    return SONDE_OK;
}

#define GROW(model, items, count, room) \
    do { \
        void *grow_items_ = (void *)(items); \
        SONDE_TRY(grow(model, &grow_items_, count, &(room), sizeof *(items))); \
        (items) = grow_items_; \
    } while (0)

static sonde_status failed(const sonde_model *model)
{
    return sonde_context_error(model->context)->status;
}

/* --- inputs and storages ------------------------------------------------------------------------ */

sonde_status sonde__model_add_input(sonde_model *model, sonde__input *input, int *number)
{
    void *items = (void *)model->inputs;
    const sonde_status status =
        grow(model, &items, model->input_count, &model->input_room, sizeof *model->inputs);
    if (status != SONDE_OK) {
        sonde__input_close(input);
        return status;
    }
    model->inputs = items;
    *number = (int)model->input_count;
    model->inputs[model->input_count++] = input;
    return SONDE_OK;
}

sonde_context *sonde__model_context(const sonde_model *model)
{
    return model->context;
}

const sonde__input *sonde__model_input(const sonde_model *model, int number)
{
    return model->inputs[number];
}

static sonde_status fail_storage(sonde_model *model, const sonde__storage *storage,
                                 sonde_status status, const char *what, uint64_t value)
{
    const sonde__input *input = model->inputs[storage->input];
    const int64_t offset = storage->offset < INT64_MAX ? (int64_t)storage->offset : INT64_MAX;
    return sonde__fail_at(model->context, status, sonde__input_path(input), storage->entry, offset,
                          "%s: %.200s%snumbers at byte %llu %s (%llu, in a file of %llu bytes)",
                          sonde__input_path(input), storage->entry ? storage->entry : "",
                          storage->entry ? ": " : "", (unsigned long long)storage->offset, what,
                          (unsigned long long)value, (unsigned long long)sonde__input_size(input));
}

sonde_status sonde__model_add_storage(sonde_model *model, const sonde__storage *storage,
                                      size_t *number)
{
    uint64_t end = 0;
    const uint64_t size = sonde__input_size(model->inputs[storage->input]);
    if (!add(storage->offset, storage->packed, &end) || end > size)
        return fail_storage(model, storage, SONDE_ERROR_TRUNCATED, "reach past the end of the file",
                            storage->packed);
    if (!storage->deflated && storage->bytes != storage->packed)
        return fail_storage(model, storage, SONDE_ERROR_FORMAT,
                            "are not packed, yet have another size when unpacked", storage->bytes);
    if (storage->skip > storage->bytes)
        return fail_storage(model, storage, SONDE_ERROR_FORMAT, "begin behind their end",
                            storage->skip);
    if (model->storage_count >= UINT32_MAX)
        return sonde__fail(model->context, SONDE_ERROR_UNSUPPORTED, "too many storages");
    GROW(model, model->storages, model->storage_count, model->storage_room);
    sonde__held *held = &model->storages[model->storage_count];
    *held = (sonde__held){.about = *storage};
    if (storage->entry && !(held->about.entry = sonde__model_keep_string(model, storage->entry)))
        return failed(model);
    *number = model->storage_count++;
    return SONDE_OK;
}

/* --- names -------------------------------------------------------------------------------------- */

/* Mixed with the model's address, so that a file cannot be made whose names all collide. */
static size_t hash_name(const sonde_model *model, const char *name, size_t length)
{
    uint64_t hash = (uint64_t)(uintptr_t)model ^ 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = 0;
        memcpy(&word, name + i, length - i < 8 ? length - i : 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    hash = (hash ^ length) * 0xc4ceb9fe1a85ec53u;
    return (size_t)(hash ^ hash >> 29);
}

/* The slot of a name: where it is, or the empty one where it belongs. The table has room. */
static uint32_t *name_slot(const sonde_model *model, const char *name, size_t length)
{
    const size_t mask = model->names_room - 1;
    for (size_t at = hash_name(model, name, length);; at++) {
        uint32_t *slot = &model->names[at & mask];
        if (*slot == 0)
            return slot;
        const char *other = model->tensors[*slot - 1].name;
        if (strncmp(other, name, length) == 0 && other[length] == '\0')
            return slot;
    }
}

static sonde_status grow_names(sonde_model *model)
{
    if (2 * (model->tensor_count + 1) <= model->names_room)
        return SONDE_OK;
    const size_t room = model->names_room ? 2 * model->names_room : 64;
    uint32_t *names = sonde__alloc_zero(model->context, room, sizeof *names);
    if (!names)
        return failed(model);
    sonde__free(model->context, model->names);
    model->names = names;
    model->names_room = room;
    for (size_t i = 0; i < model->tensor_count; i++) {
        const char *name = model->tensors[i].name;
        *name_slot(model, name, strlen(name)) = (uint32_t)(i + 1);
    }
    return SONDE_OK;
}

const sonde__record *sonde__model_named(const sonde_model *model, const char *name, size_t length)
{
    if (model->names_room == 0)
        return NULL;
    const uint32_t found = *name_slot(model, name, length);
    return found ? &model->tensors[found - 1] : NULL;
}

/* --- tensors ------------------------------------------------------------------------------------ */

bool sonde__dense_strides(int dims, const int64_t *shape, int64_t *strides)
{
    uint64_t product = 1;
    for (int i = dims - 1; i >= 0; i--) {
        strides[i] = (int64_t)product;
        if (shape[i] < 0 || !multiply(product, shape[i] > 0 ? (uint64_t)shape[i] : 1, &product) ||
            product > INT64_MAX)
            return false;
    }
    return true;
}

const int64_t *sonde__record_strides(const sonde__record *record, int64_t *dense)
{
    if (!record->contiguous)
        return record->shape + record->dims;
    (void)sonde__dense_strides(record->dims, record->shape, dense);
    return dense;
}

static sonde_status fail_tensor(const sonde_model *model, const sonde__stored *stored,
                                sonde_status status, const char *what)
{
    const sonde__storage *storage = &model->storages[stored->storage].about;
    const char *path = sonde__input_path(model->inputs[storage->input]);
    return sonde__fail_at(model->context, status, path, stored->name, (int64_t)storage->offset,
                          "%s: tensor '%.200s' %s", path, stored->name, what);
}

static sonde_status check_name(const sonde_model *model, const sonde__stored *stored)
{
    const size_t length = strlen(stored->name);
    if (length == 0 || length > NAME_MAX_BYTES || !sonde__text_is_plain(stored->name))
        return fail_tensor(model, stored, SONDE_ERROR_FORMAT,
                           "has a name that is empty, over 1024 bytes, not UTF-8 or holds control "
                           "characters");
    if (sonde__model_named(model, stored->name, length))
        return fail_tensor(model, stored, SONDE_ERROR_FORMAT,
                           "is there twice; which one is meant cannot be told");
    return SONDE_OK;
}

/* Elements, and the strides where they are not given (blocks): 1 for the last dimension. */
static sonde_status check_shape(const sonde_model *model, const sonde__stored *stored,
                                sonde__record *record, int64_t *dense)
{
    const sonde__number_info *info = sonde__number_find(stored->number);
    if (!info)
        return fail_tensor(model, stored, SONDE_ERROR_UNSUPPORTED, "has an unknown number format");
    if (stored->dims < 0 || stored->dims > SONDE_TENSOR_DIMS_MAX)
        return fail_tensor(model, stored, SONDE_ERROR_UNSUPPORTED, "has more than 8 dimensions");
    record->elements = 1;
    for (int i = 0; i < stored->dims; i++) {
        if (stored->shape[i] < 0)
            return fail_tensor(model, stored, SONDE_ERROR_FORMAT, "has a negative size");
        if (stored->shape[i] == 0)
            record->elements = 0;
    }
    uint64_t bytes = 0;
    bool fits = sonde__dense_strides(stored->dims, stored->shape, dense);
    for (int i = 0; i < stored->dims && fits; i++)
        fits = multiply(record->elements, (uint64_t)stored->shape[i], &record->elements);
    if (!fits || !multiply(record->elements, info->bytes, &bytes) || bytes > INT64_MAX)
        return fail_tensor(model, stored, SONDE_ERROR_OVERFLOW,
                           "has a shape whose product does not fit in 63 bits");
    if (record->elements % info->elements != 0 || stored->first % info->elements != 0)
        return fail_tensor(model, stored, SONDE_ERROR_FORMAT,
                           "does not fill whole blocks of its number format");
    return SONDE_OK;
}

/* Row-major without gaps? Strides of dimensions of size 1 do not matter. */
static bool is_contiguous(const sonde__stored *stored, uint64_t elements, const int64_t *dense)
{
    bool same = true;
    for (int i = 0; i < stored->dims && elements > 1; i++)
        same = same && (stored->shape[i] == 1 || stored->strides[i] == dense[i]);
    return same;
}

/* The element behind the furthest one, in *end. */
static bool reach(const sonde__stored *stored, const sonde__record *record, uint64_t *end)
{
    *end = record->first;
    if (record->elements == 0)
        return true;
    if (record->contiguous)
        return add(*end, record->elements, end);
    for (int i = 0; i < stored->dims; i++) {
        uint64_t step = 0;
        if (stored->strides[i] < 0 ||
            !multiply((uint64_t)stored->shape[i] - 1, (uint64_t)stored->strides[i], &step) ||
            !add(*end, step, end))
            return false;
    }
    return add(*end, 1, end);
}

static sonde_status check_place(const sonde_model *model, const sonde__stored *stored,
                                const sonde__record *record)
{
    const sonde__number_info *info = sonde__number_find(stored->number);
    const sonde__storage *storage = &model->storages[stored->storage].about;
    const uint64_t room = (storage->bytes - storage->skip) / info->bytes;
    uint64_t end = 0;
    if (!reach(stored, record, &end) || end > UINT64_MAX - info->elements ||
        (end + info->elements - 1) / info->elements > room) {
        const char *path = sonde__input_path(model->inputs[storage->input]);
        return sonde__fail_at(model->context, SONDE_ERROR_FORMAT, path, stored->name,
                              (int64_t)storage->offset,
                              "%s: tensor '%.200s' reaches to element %llu of a storage that has "
                              "%llu",
                              path, stored->name, (unsigned long long)end,
                              (unsigned long long)(room * info->elements));
    }
    return SONDE_OK;
}

static sonde_status keep_tensor(sonde_model *model, const sonde__stored *stored,
                                sonde__record *record)
{
    const size_t dims = (size_t)record->dims;
    int64_t *sizes = sonde__model_keep(model, (record->contiguous ? 1 : 2) * dims * sizeof *sizes);
    record->name = sonde__model_keep_string(model, stored->name);
    if (!sizes || !record->name)
        return failed(model);
    record->shape = sizes;
    memcpy(sizes, stored->shape, dims * sizeof *sizes);
    if (!record->contiguous)
        memcpy(sizes + dims, stored->strides, dims * sizeof *sizes);
    GROW(model, model->tensors, model->tensor_count, model->tensor_room);
    SONDE_TRY(grow_names(model));
    model->tensors[model->tensor_count++] = *record;
    *name_slot(model, record->name, strlen(record->name)) = (uint32_t)model->tensor_count;
    return SONDE_OK;
}

sonde_status sonde__model_add_tensor(sonde_model *model, const sonde__stored *stored)
{
    int64_t dense[SONDE_TENSOR_DIMS_MAX];
    SONDE_TRY(check_name(model, stored));
    sonde__record record = {.first = stored->first, .storage = (uint32_t)stored->storage};
    SONDE_TRY(check_shape(model, stored, &record, dense));
    const sonde__number_info *info = sonde__number_find(stored->number);
    record.number = (uint8_t)stored->number;
    record.dims = (uint8_t)stored->dims;
    record.refusal = info->reads ? SONDE__READS : SONDE__REFUSED_NUMBER;
    record.contiguous = info->elements > 1 || is_contiguous(stored, record.elements, dense);
    SONDE_TRY(check_place(model, stored, &record));
    if (model->tensor_count >= INT32_MAX)
        return fail_tensor(model, stored, SONDE_ERROR_UNSUPPORTED, "is one of too many");
    return keep_tensor(model, stored, &record);
}

/* --- metadata and warnings ---------------------------------------------------------------------- */

/* The value of a key among the first few, or NULL. */
static const char *value_of(const sonde_model *model, const char *key)
{
    for (size_t i = 0; i < model->metadata_count && i < PAIRS_COMPARED; i++)
        if (strcmp(model->metadata[i].key, key) == 0)
            return model->metadata[i].value;
    return NULL;
}

/* Shards repeat what the first one says: it is kept once, and what contradicts it is told. */
sonde_status sonde__model_add_metadata(sonde_model *model, const char *key, const char *value)
{
    const char *first = value_of(model, key);
    if (first && strcmp(first, value) == 0)
        return SONDE_OK;
    if (first && model->input_count > 1)
        return sonde__model_warn(
            model,
            "%s: its metadata say '%.60s' of '%.60s'; an earlier file says '%.60s', which is kept",
            sonde__input_path(model->inputs[model->input_count - 1]), value, key, first);
    GROW(model, model->metadata, model->metadata_count, model->metadata_room);
    const sonde__pair pair = {sonde__model_keep_string(model, key),
                              sonde__model_keep_string(model, value)};
    if (!pair.key || !pair.value)
        return failed(model);
    model->metadata[model->metadata_count++] = pair;
    return SONDE_OK;
}

sonde_status sonde__model_warn(sonde_model *model, const char *format, ...)
{
    char text[WARNING_MAX];
    if (model->warning_count >= WARNINGS_MAX) /* a file cannot fill memory with complaints */
        return SONDE_OK;
    va_list arguments;
    va_start(arguments, format);
    sonde__vformat(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *each = text; *each; each++)
        if ((unsigned char)*each < 0x20 || *each == 0x7f)
            *each = '?';
    GROW(model, model->warnings, model->warning_count, model->warning_room);
    const char *kept = sonde__model_keep_string(model, text);
    if (!kept)
        return failed(model);
    model->warnings[model->warning_count++] = kept;
    return SONDE_OK;
}
