/*
 * GGUF, versions 2 and 3 (ggml, docs/gguf.md), little-endian:
 *
 *     "GGUF", u32 version, u64 tensors, u64 pairs, the pairs, the tensors' records, padding, data
 *     record: name, u32 dimensions, u64 sizes (innermost first), u32 type, u64 offset in the data
 *
 * Sorted by offset the tensors must tile the data, each followed by padding to the alignment, as ggml
 * itself demands: a block size that we knew wrongly would be seen here, not in the numbers.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "file/gguf_internal.h"

enum {
    WINDOW = 1 << 16,
    GGUF_DIMS_MAX = 4,
    RECORD_LEAST = 8 + 4 + 8 + 4 + 8 /* bytes of a tensor's record: no name, one dimension */
};

/* --- the cursor ------------------------------------------------------------------------------------- */

sonde_status sonde__gguf_fail(const sonde__gguf *file, sonde_status status, const char *item,
                              uint64_t offset, const char *format, ...)
{
    char text[384];
    va_list arguments;
    va_start(arguments, format);
    sonde__vformat(text, sizeof text, format, arguments);
    va_end(arguments);
    return sonde__fail_at(file->context, status, file->path, item, (int64_t)offset, "%s: %s",
                          file->path, text);
}

/* `bytes` bytes at the cursor, at most WINDOW; valid until the next call. */
static sonde_status look(sonde__gguf *file, const char *what, size_t bytes, const uint8_t **found)
{
    const uint64_t left = file->size - file->at;
    if (bytes > left)
        return sonde__gguf_fail(file, SONDE_ERROR_TRUNCATED, NULL, file->at,
                                "the file ends at byte %" PRIu64 ", in a %s; fetch it again",
                                file->size, what);
    if (file->at < file->window_at || file->at - file->window_at > file->window_bytes ||
        bytes > file->window_bytes - (file->at - file->window_at)) {
        const size_t take = left < WINDOW ? (size_t)left : WINDOW;
        if (sonde__cancelled(file->context))
            return sonde__fail(file->context, SONDE_ERROR_CANCELLED, "opening was cancelled");
        file->window_bytes = 0;
        SONDE_TRY(sonde__input_read(file->input, what, file->at, file->window, take));
        file->window_at = file->at;
        file->window_bytes = take;
    }
    *found = file->window + (file->at - file->window_at);
    return SONDE_OK;
}

sonde_status sonde__gguf_take(sonde__gguf *file, const char *what, size_t bytes, uint64_t *value)
{
    const uint8_t *found = NULL;
    SONDE_TRY(look(file, what, bytes, &found));
    *value = 0;
    for (size_t i = 0; i < bytes; i++)
        *value |= (uint64_t)found[i] << (8 * i);
    file->at += bytes;
    return SONDE_OK;
}

sonde_status sonde__gguf_take_name(sonde__gguf *file, const char *what, sonde__text *names,
                                   size_t *start)
{
    const uint8_t *found = NULL;
    uint64_t length = 0;
    const uint64_t at = file->at;
    SONDE_TRY(sonde__gguf_take(file, what, 8, &length));
    if (length > file->size - file->at)
        return sonde__gguf_fail(file, SONDE_ERROR_TRUNCATED, NULL, at,
                                "a %s should have %" PRIu64 " bytes; the file has %" PRIu64 " more",
                                what, length, file->size - file->at);
    if (length > SONDE__GGUF_NAME_MAX)
        return sonde__gguf_fail(file, SONDE_ERROR_UNSUPPORTED, NULL, at,
                                "a %s has %" PRIu64 " bytes; at most %d are read", what, length,
                                SONDE__GGUF_NAME_MAX);
    SONDE_TRY(look(file, what, (size_t)length, &found));
    if (length == 0 || memchr(found, '\0', (size_t)length))
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, NULL, at,
                                "a %s is empty, or holds a NUL byte", what);
    *start = names->length;
    sonde__text_add_bytes(names, found, (size_t)length);
    sonde__text_add_bytes(names, "", 1);
    file->at += length;
    return sonde__text_status(names);
}

sonde_status sonde__gguf_check_count(const sonde__gguf *file, const char *what, uint64_t count,
                                     uint64_t each)
{
    const uint64_t left = file->size - file->at;
    if (count > left / each)
        return sonde__gguf_fail(file, SONDE_ERROR_TRUNCATED, what, file->at,
                                "%.100s claims %" PRIu64 " items of at least %" PRIu64
                                " bytes; the file has %" PRIu64 " bytes more",
                                what, count, each, left);
    return SONDE_OK;
}

/* --- number formats --------------------------------------------------------------------------------- */

/* ggml_type by its number; those without `number` were dropped from ggml, and `name` says what. */
static const struct {
    sonde_number number;
    const char *name;
} GGML_TYPES[] = {
    [0] = {SONDE_NUMBER_F32, NULL},
    [1] = {SONDE_NUMBER_F16, NULL},
    [2] = {SONDE_NUMBER_Q4_0, NULL},
    [3] = {SONDE_NUMBER_Q4_1, NULL},
    [4] = {0, "Q4_2"},
    [5] = {0, "Q4_3"},
    [6] = {SONDE_NUMBER_Q5_0, NULL},
    [7] = {SONDE_NUMBER_Q5_1, NULL},
    [8] = {SONDE_NUMBER_Q8_0, NULL},
    [9] = {SONDE_NUMBER_Q8_1, NULL},
    [10] = {SONDE_NUMBER_Q2_K, NULL},
    [11] = {SONDE_NUMBER_Q3_K, NULL},
    [12] = {SONDE_NUMBER_Q4_K, NULL},
    [13] = {SONDE_NUMBER_Q5_K, NULL},
    [14] = {SONDE_NUMBER_Q6_K, NULL},
    [15] = {SONDE_NUMBER_Q8_K, NULL},
    [16] = {SONDE_NUMBER_IQ2_XXS, NULL},
    [17] = {SONDE_NUMBER_IQ2_XS, NULL},
    [18] = {SONDE_NUMBER_IQ3_XXS, NULL},
    [19] = {SONDE_NUMBER_IQ1_S, NULL},
    [20] = {SONDE_NUMBER_IQ4_NL, NULL},
    [21] = {SONDE_NUMBER_IQ3_S, NULL},
    [22] = {SONDE_NUMBER_IQ2_S, NULL},
    [23] = {SONDE_NUMBER_IQ4_XS, NULL},
    [24] = {SONDE_NUMBER_I8, NULL},
    [25] = {SONDE_NUMBER_I16, NULL},
    [26] = {SONDE_NUMBER_I32, NULL},
    [27] = {SONDE_NUMBER_I64, NULL},
    [28] = {SONDE_NUMBER_F64, NULL},
    [29] = {SONDE_NUMBER_IQ1_M, NULL},
    [30] = {SONDE_NUMBER_BF16, NULL},
    [31] = {0, "Q4_0_4_4"},
    [32] = {0, "Q4_0_4_8"},
    [33] = {0, "Q4_0_8_8"},
    [34] = {SONDE_NUMBER_TQ1_0, NULL},
    [35] = {SONDE_NUMBER_TQ2_0, NULL},
    [36] = {0, "IQ4_NL_4_4"},
    [37] = {0, "IQ4_NL_4_8"},
    [38] = {0, "IQ4_NL_8_8"},
    [39] = {SONDE_NUMBER_MXFP4, NULL},
    [40] = {SONDE_NUMBER_NVFP4, NULL},
    [41] = {SONDE_NUMBER_Q1_0, NULL},
};

static sonde_status take_number(sonde__gguf *file, const char *name, sonde_number *number)
{
    uint64_t type = 0;
    SONDE_TRY(sonde__gguf_take(file, "type of a tensor", 4, &type));
    if (type >= sizeof GGML_TYPES / sizeof *GGML_TYPES)
        return sonde__gguf_fail(file, SONDE_ERROR_UNSUPPORTED, name, file->at - 4,
                                "tensor '%.100s' is of type %" PRIu64
                                ", which is not known; convert the file to a known one",
                                name, type);
    if (!GGML_TYPES[type].number)
        return sonde__gguf_fail(file, SONDE_ERROR_UNSUPPORTED, name, file->at - 4,
                                "tensor '%.100s' is of type %" PRIu64
                                " (%s), which ggml dropped; convert the model again",
                                name, type, GGML_TYPES[type].name);
    *number = GGML_TYPES[type].number;
    return SONDE_OK;
}

/* --- tensors ---------------------------------------------------------------------------------------- */

typedef struct tensor_record {
    size_t name; /* where it starts in the names */
    sonde_number number;
    int dims;
    int64_t shape[GGUF_DIMS_MAX]; /* outermost first */
    uint64_t offset, bytes;       /* in the data */
} tensor_record;

typedef struct directory {
    sonde__text names;
    tensor_record *records;
    size_t count, capacity;
    uint64_t data, there; /* where the data starts in the file; bytes from there on */
} directory;

/* Sizes, innermost first, and the bytes that they make: whole blocks in each row. */
static sonde_status take_shape(sonde__gguf *file, const char *name, tensor_record *record,
                               uint64_t at)
{
    const uint64_t sizes_at = file->at;
    size_t elements = 1;
    bool empty = false;
    uint64_t dims = 0;
    SONDE_TRY(sonde__gguf_take(file, "tensor's record", 4, &dims));
    if (dims < 1 || dims > GGUF_DIMS_MAX)
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, name, sizes_at,
                                "tensor '%.100s' has %" PRIu64 " dimensions; 1 to %d are known",
                                name, dims, GGUF_DIMS_MAX);
    record->dims = (int)dims;
    bool fits = true;
    for (int d = record->dims - 1; d >= 0; d--) {
        uint64_t size = 0;
        SONDE_TRY(sonde__gguf_take(file, "tensor's record", 8, &size));
        fits = fits && size <= INT64_MAX;
        empty = empty || size == 0;
        fits = fits && sonde__multiply(elements, size ? (size_t)size : 1, &elements) &&
               elements <= INT64_MAX;
        record->shape[d] = fits ? (int64_t)size : 0;
    }
    if (!fits)
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, name, at,
                                "tensor '%.100s' has a size, or a product of sizes, beyond 2^63",
                                name);
    record->bytes = empty ? 0 : elements; /* in bytes as soon as the type is known */
    return SONDE_OK;
}

static sonde_status take_record(sonde__gguf *file, directory *all, tensor_record *record)
{
    const uint64_t at = file->at;
    SONDE_TRY(sonde__gguf_take_name(file, "tensor name", &all->names, &record->name));
    const char *name = all->names.bytes + record->name;
    SONDE_TRY(take_shape(file, name, record, at));
    SONDE_TRY(take_number(file, name, &record->number));
    const sonde__number_info *info = sonde__number_find(record->number);
    const int64_t row = record->shape[record->dims - 1];
    size_t bytes = 0;
    if (row % info->elements != 0)
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, name, at,
                                "tensor '%.100s' has rows of %" PRId64
                                " elements; those of %s come in blocks of %u",
                                name, row, info->name, info->elements);
    if (!sonde__multiply((size_t)record->bytes / info->elements, info->bytes, &bytes))
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, name, at,
                                "tensor '%.100s' has more bytes than 64 bits count", name);
    record->bytes = bytes;
    SONDE_TRY(sonde__gguf_take(file, "tensor's record", 8, &record->offset));
    if (record->offset % file->alignment != 0)
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, name, file->at - 8,
                                "tensor '%.100s' is at offset %" PRIu64
                                ", which is no multiple of the alignment %" PRIu64,
                                name, record->offset, file->alignment);
    return SONDE_OK;
}

static sonde_status add_record(sonde__gguf *file, directory *all)
{
    if (all->count == all->capacity) {
        const size_t capacity = all->capacity ? 2 * all->capacity : 64;
        tensor_record *larger =
            sonde__resize(file->context, all->records, capacity, sizeof *all->records);
        if (!larger)
            return sonde_context_error(file->context)->status;
        all->records = larger;
        all->capacity = capacity;
    }
    tensor_record *next = &all->records[all->count];
    *next = (tensor_record){0};
    SONDE_TRY(take_record(file, all, next));
    all->count++;
    return SONDE_OK;
}

/* --- the data --------------------------------------------------------------------------------------- */

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) / alignment * alignment; /* values are file offsets */
}

/* Empty ones before what lies at the same place. */
static int compare_offsets(const void *a, const void *b)
{
    const tensor_record *const *x = a, *const *y = b;
    if ((*x)->offset != (*y)->offset)
        return (*x)->offset > (*y)->offset ? 1 : -1;
    return ((*x)->bytes > (*y)->bytes) - ((*x)->bytes < (*y)->bytes);
}

static sonde_status check_inside(const sonde__gguf *file, const directory *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const tensor_record *record = &all->records[i];
        const char *name = all->names.bytes + record->name;
        if (record->offset > all->there || record->bytes > all->there - record->offset)
            return sonde__gguf_fail(file, SONDE_ERROR_TRUNCATED, name, file->size,
                                    "tensor '%.100s' has %" PRIu64 " bytes at offset %" PRIu64
                                    " of the data, of which the file has %" PRIu64
                                    "; fetch it again",
                                    name, record->bytes, record->offset, all->there);
    }
    return SONDE_OK;
}

static sonde_status check_order(const sonde__gguf *file, const directory *all,
                                const tensor_record *const *order)
{
    uint64_t end = 0;
    for (size_t i = 0; i < all->count; i++) {
        const char *name = all->names.bytes + order[i]->name;
        if (order[i]->offset < end)
            return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, name, all->data + order[i]->offset,
                                    "tensor '%.100s' overlaps the one before it", name);
        if (order[i]->offset > align_up(end, file->alignment))
            return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, name, all->data + order[i]->offset,
                                    "in front of tensor '%.100s' lie %" PRIu64
                                    " bytes of no tensor",
                                    name, order[i]->offset - end);
        end = order[i]->offset + order[i]->bytes;
    }
    if (all->count && all->there - end >= file->alignment)
        return sonde__model_warn(file->model, "%" PRIu64 " bytes follow the last tensor",
                                 all->there - end);
    return SONDE_OK;
}

static sonde_status check_tiling(const sonde__gguf *file, const directory *all)
{
    const tensor_record **order = sonde__alloc(file->context, all->count, sizeof *order);
    if (!order)
        return sonde_context_error(file->context)->status;
    for (size_t i = 0; i < all->count; i++)
        order[i] = &all->records[i];
    qsort(order, all->count, sizeof *order, compare_offsets);
    const sonde_status status = check_order(file, all, order);
    sonde__free(file->context, order);
    return status;
}

static sonde_status add_tensor(const sonde__gguf *file, const directory *all,
                               const tensor_record *record)
{
    sonde__storage storage = {.input = file->number,
                              .offset = all->data + record->offset,
                              .packed = record->bytes,
                              .bytes = record->bytes};
    sonde__stored stored = {
        .name = all->names.bytes + record->name, .number = record->number, .dims = record->dims};
    memcpy(stored.shape, record->shape, sizeof record->shape);
    sonde__dense_strides(stored.dims, stored.shape, stored.strides);
    SONDE_TRY(sonde__model_add_storage(file->model, &storage, &stored.storage));
    return sonde__model_add_tensor(file->model, &stored);
}

static sonde_status read_tensors(sonde__gguf *file, directory *all, uint64_t count)
{
    SONDE_TRY(sonde__gguf_check_count(file, "the file", count, RECORD_LEAST));
    for (uint64_t i = 0; i < count; i++)
        SONDE_TRY(add_record(file, all));
    all->data = align_up(file->at, file->alignment);
    all->there = file->size > all->data ? file->size - all->data : 0;
    SONDE_TRY(check_inside(file, all));
    SONDE_TRY(check_tiling(file, all));
    for (size_t i = 0; i < all->count; i++)
        SONDE_TRY(add_tensor(file, all, &all->records[i]));
    return SONDE_OK;
}

/* --- the file --------------------------------------------------------------------------------------- */

static sonde_status check_version(const sonde__gguf *file, uint64_t version)
{
    if (version == 2 || version == 3)
        return SONDE_OK;
    if ((version & 0xffff) == 0 && version != 0)
        return sonde__gguf_fail(file, SONDE_ERROR_UNSUPPORTED, NULL, 4,
                                "is a big-endian GGUF file; gguf_convert_endian.py makes it "
                                "little-endian");
    if (version == 1)
        return sonde__gguf_fail(file, SONDE_ERROR_UNSUPPORTED, NULL, 4,
                                "is GGUF version 1; 2 and 3 are read: convert the model again");
    return sonde__gguf_fail(file, version > 3 ? SONDE_ERROR_VERSION : SONDE_ERROR_FORMAT, NULL, 4,
                            "GGUF version %" PRIu64 " is not known; 2 and 3 are read", version);
}

static sonde_status read_file(sonde__gguf *file, directory *all)
{
    uint64_t magic = 0, version = 0, tensors = 0, pairs = 0;
    SONDE_TRY(sonde__gguf_take(file, "header", 4, &magic));
    if (magic == 0x47475546)
        return sonde__gguf_fail(file, SONDE_ERROR_UNSUPPORTED, NULL, 0,
                                "is a byte-swapped GGUF file; convert the model again");
    if (magic != 0x46554747)
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, NULL, 0, "is not a GGUF file");
    SONDE_TRY(sonde__gguf_take(file, "header", 4, &version));
    SONDE_TRY(check_version(file, version));
    SONDE_TRY(sonde__gguf_take(file, "header", 8, &tensors));
    SONDE_TRY(sonde__gguf_take(file, "header", 8, &pairs));
    SONDE_TRY(sonde__gguf_check_count(file, "the file", tensors, RECORD_LEAST));
    SONDE_TRY(sonde__gguf_read_metadata(file, pairs));
    return read_tensors(file, all, tensors);
}

sonde_status sonde__model_read_gguf(sonde_model *model, int number)
{
    sonde_context *context = sonde__model_context(model);
    const sonde__input *input = sonde__model_input(model, number);
    sonde__gguf file = {.model = model,
                        .context = context,
                        .input = input,
                        .path = sonde__input_path(input),
                        .number = number,
                        .size = sonde__input_size(input),
                        .alignment = SONDE__GGUF_ALIGNMENT};
    directory all = {.count = 0};
    file.window = sonde__alloc(context, file.size < WINDOW ? (size_t)file.size : WINDOW, 1);
    if (!file.window)
        return sonde_context_error(context)->status;
    sonde__text_init(&all.names, context);
    const sonde_status status = read_file(&file, &all);
    sonde__text_free(&all.names);
    sonde__free(context, all.records);
    sonde__free(context, file.window);
    return status;
}
