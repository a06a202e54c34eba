/*
 * Views, scales and packed storages of the model handle: claims made of the input's bytes, then
 * slices of what was accepted, against a plain walk over the indexes of the view.
 */
#include "fuzz.h"

#include <math.h>

#include "file/model_state.h"

typedef struct source {
    const uint8_t *bytes;
    size_t size, at;
} source;

static uint64_t take(source *s, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes && s->at < s->size; i++)
        value |= (uint64_t)s->bytes[s->at++] << (8 * i);
    return value;
}

/* Mostly small, now and then anything. */
static int64_t take_size(source *s)
{
    const uint64_t value = take(s, 1);
    return value < 250 ? (int64_t)(value % 32) : (int64_t)take(s, 8);
}

static void add_storage(sonde_model *model, source *s, uint64_t file_size)
{
    size_t number = 0;
    const uint64_t flags = take(s, 1);
    sonde__storage storage = {.offset = (uint64_t)take_size(s),
                              .packed = (uint64_t)take_size(s) * 8,
                              .skip = flags & 1 ? (uint64_t)take_size(s) : 0,
                              .deflated = (flags & 6) == 2,
                              .big_endian = flags & 8,
                              .has_crc = (flags & 48) == 16,
                              .crc = (uint32_t)flags,
                              .entry = flags & 64 ? "entry" : NULL};
    if (flags & 128 && storage.offset < file_size)
        storage.packed = file_size - storage.offset;
    storage.bytes = storage.deflated ? (uint64_t)take_size(s) * 16 : storage.packed;
    (void)sonde__model_add_storage(model, &storage, &number);
}

static void add_tensor(sonde_model *model, source *s)
{
    static const char *const names[] = {"a", "a_scale", "b", "b.weight", "b.scale", "a_scale_inv"};
    char name[4] = {0};
    const uint64_t which = take(s, 1), number = take(s, 1);
    memcpy(name, &which, 1);
    sonde__stored stored = {.name = which < 128 ? names[which % 6] : name,
                            .number = (sonde_number)(number < 200 ? 1 + number % 18 : number % 73),
                            .dims = (int)(take(s, 1) % 6),
                            .first = (uint64_t)take_size(s)};
    const bool dense = take(s, 1) & 1;
    for (int i = 0; i < stored.dims; i++) {
        stored.shape[i] = take_size(s);
        stored.strides[i] = dense ? 0 : take_size(s);
    }
    if (dense)
        (void)sonde__dense_strides(stored.dims, stored.shape, stored.strides);
    stored.storage = (size_t)take(s, 1) % model->storage_count;
    (void)sonde__model_add_tensor(model, &stored);
}

/* What element `index` of a plain tensor without a scale is in the file. */
static double expected(const sonde_model *model, const sonde__record *record, uint64_t index,
                       const uint8_t *data)
{
    int64_t dense[SONDE_TENSOR_DIMS_MAX];
    const int64_t *strides = sonde__record_strides(record, dense);
    const sonde__storage *storage = &model->storages[record->storage].about;
    const size_t size = sonde__number_find((sonde_number)record->number)->bytes;
    uint64_t place = record->first;
    double value = 0;
    for (int d = record->dims - 1; d >= 0; d--) {
        place += index % (uint64_t)record->shape[d] * (uint64_t)strides[d];
        index /= (uint64_t)record->shape[d];
    }
    sonde__numbers_to_doubles((sonde_number)record->number, storage->big_endian,
                              data + storage->offset + storage->skip + place * size, 1, &value);
    return value;
}

static void read_slice(sonde_model *model, size_t index, source *s, const uint8_t *data)
{
    enum { MOST = 4096 };
    static double numbers[MOST];
    static float floats[MOST];
    const sonde__record *record = &model->tensors[index];
    const uint64_t first = take(s, 1) % (record->elements + 1), left = record->elements - first;
    const uint64_t count = left < MOST ? left : MOST;
    const sonde_status status = sonde_model_read(model, index, first, count, SONDE_F64, numbers);
    fuzz_require(sonde_model_read(model, index, first, count, SONDE_F32, floats) == status);
    const bool plain = sonde__number_find((sonde_number)record->number)->elements == 1;
    if (status != SONDE_OK || !plain || model->storages[record->storage].about.deflated)
        return;
    for (uint64_t i = 0; i < count && !record->scale; i++) {
        const double value = expected(model, record, first + i, data);
        fuzz_require(value == numbers[i] || (isnan(value) && isnan(numbers[i])));
        fuzz_require((float)value == floats[i] || record->number == SONDE_NUMBER_I64 ||
                     record->number == SONDE_NUMBER_U64 || isnan(value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sonde_context *context = fuzz_context();
    sonde__source exact = fuzz_source(context, "file", data, size);
    source s = {exact.bytes, size, 0};
    sonde_model *model = NULL;
    sonde__input *input = NULL;
    int number = 0;
    fuzz_require(sonde__model_new(context, NULL, &model) == SONDE_OK);
    fuzz_require(sonde__input_memory(context, "file", exact.bytes, size, &input) == SONDE_OK);
    fuzz_require(sonde__model_add_input(model, input, &number) == SONDE_OK);
    for (uint64_t left = 1 + take(&s, 1) % 4; left > 0; left--)
        add_storage(model, &s, size);
    if (model->storage_count > 0)
        for (uint64_t left = 1 + take(&s, 1) % 8; left > 0; left--)
            add_tensor(model, &s);
    const bool accepted =
        sonde__model_finish(model) == SONDE_OK; /* not: views that stand for too much */
    for (int reads = 0; accepted && reads < 8 && model->tensor_count > 0; reads++)
        read_slice(model, (size_t)take(&s, 1) % model->tensor_count, &s, exact.bytes);
    sonde_model_close(model);
    sonde__free(context, exact.bytes);
    fuzz_finish(context);
    return 0;
}
