/*
 * Numbers of a tensor, in slices: dense ones straight, quantised blocks dequantised also where a
 * slice begins inside one; what is not contiguous goes to model_gather.c.
 *
 * Bytes pass through one small buffer of the model, so that reading a tensor of any size needs no
 * memory but the caller's.
 */
#include <string.h>

#include "file/model_state.h"

size_t sonde__target_size(const sonde__record *record, sonde__target target)
{
    switch (target) {
    case SONDE__TO_F64:
        return sizeof(double);
    case SONDE__TO_F32:
        return sizeof(float);
    case SONDE__TO_SELF:
        break;
    }
    return sonde__number_find((sonde_number)record->number)->bytes;
}

void sonde__model_decode(const sonde_model *model, const sonde__record *record, const uint8_t *from,
                         size_t n, sonde__target target, void *out)
{
    const bool big = model->storages[record->storage].about.big_endian;
    const sonde_number number = (sonde_number)record->number;
    switch (target) {
    case SONDE__TO_F64:
        sonde__numbers_to_doubles(number, big, from, n, out);
        break;
    case SONDE__TO_F32:
        sonde__numbers_to_floats(number, big, from, n, out);
        break;
    case SONDE__TO_SELF:
        sonde__numbers_to_little(number, big, from, n, out);
        break;
    }
}

/* Whether the bytes of the file are already what is asked for. */
static bool as_stored(const sonde_model *model, const sonde__record *record, sonde__target target)
{
    if (model->storages[record->storage].about.big_endian &&
        sonde__number_find((sonde_number)record->number)->elements == 1)
        return false;
    return target == SONDE__TO_SELF ||
           (target == SONDE__TO_F64 && record->number == SONDE_NUMBER_F64) ||
           (target == SONDE__TO_F32 && record->number == SONDE_NUMBER_F32);
}

static sonde_status check_cancel(const sonde_model *model)
{
    if (!sonde__cancelled(model->context))
        return SONDE_OK;
    return sonde__fail(model->context, SONDE_ERROR_CANCELLED, "reading was cancelled");
}

static sonde_status read_straight(sonde_model *model, const sonde__record *record, uint64_t first,
                                  uint64_t count, uint8_t *out)
{
    const sonde__number_info *info = sonde__number_find((sonde_number)record->number);
    const uint64_t skip = model->storages[record->storage].about.skip;
    const uint64_t begin = (record->first + first) / info->elements * info->bytes;
    return sonde__storage_read(model, record->storage, record->name, skip + begin, out,
                               (size_t)(count / info->elements * info->bytes));
}

static sonde_status read_dense(sonde_model *model, const sonde__record *record, uint64_t first,
                               uint64_t count, sonde__target target, uint8_t *out)
{
    const size_t size = sonde__number_find((sonde_number)record->number)->bytes;
    const size_t width = sonde__target_size(record, target), most = SONDE__STAGING / size;
    for (uint64_t done = 0; done < count;) {
        const size_t n = count - done < most ? (size_t)(count - done) : most;
        SONDE_TRY(check_cancel(model));
        SONDE_TRY(read_straight(model, record, first + done, n, model->staging));
        sonde__model_decode(model, record, model->staging, n, target, out + done * width);
        done += n;
    }
    return SONDE_OK;
}

/* --- quantised ---------------------------------------------------------------------------------- */

enum { FLOATS = 2048 }; /* of dequantised blocks at once; a multiple of every block */

static void put_floats(const float *values, size_t n, sonde__target target, uint64_t at, void *out)
{
    if (target == SONDE__TO_F32) {
        memcpy((float *)out + at, values, n * sizeof *values);
        return;
    }
    double *to = (double *)out + at;
    for (size_t i = 0; i < n; i++)
        to[i] = (double)values[i];
}

static sonde_status read_blocks(sonde_model *model, const sonde__record *record, uint64_t first,
                                uint64_t count, sonde__target target, void *out)
{
    float values[FLOATS];
    const sonde__number_info *info = sonde__number_find((sonde_number)record->number);
    const uint64_t most = FLOATS / info->elements, end = first + count;
    uint64_t block = first / info->elements;
    const uint64_t last = (end + info->elements - 1) / info->elements; /* block behind the slice */
    while (block < last) {
        const uint64_t blocks = last - block < most ? last - block : most;
        const uint64_t begin = block * info->elements, behind = begin + blocks * info->elements;
        SONDE_TRY(check_cancel(model));
        SONDE_TRY(read_straight(model, record, begin, behind - begin, model->staging));
        sonde__dequantize(info->number, model->staging, (size_t)blocks, values);
        const uint64_t from = begin < first ? first : begin, to = behind > end ? end : behind;
        put_floats(values + (from - begin), (size_t)(to - from), target, from - first, out);
        block += blocks;
    }
    return SONDE_OK;
}

/* --- the call ----------------------------------------------------------------------------------- */

static sonde_status fail_unreadable(const sonde_model *model, const sonde__record *record)
{
    static const char *const why[] = {
        [SONDE__REFUSED_NUMBER] = "a number format that is listed, not read",
        [SONDE__REFUSED_SCALE] = "a scale beside it whose shape or format does not fit; unscaled "
                                 "numbers would be wrong",
        [SONDE__REFUSED_SCALES] =
            "more than one scale beside it; which one is meant cannot be told",
    };
    const char *path =
        sonde__input_path(model->inputs[model->storages[record->storage].about.input]);
    return sonde__fail_at(model->context, SONDE_ERROR_UNSUPPORTED, path, record->name, -1,
                          "%s: tensor '%.200s' (%s) has %s", path, record->name,
                          sonde_number_name((sonde_number)record->number), why[record->refusal]);
}

static sonde_status prepare(sonde_model *model, const sonde__record *record)
{
    if (!model->staging) {
        model->staging = sonde__alloc(model->context, SONDE__STAGING, 1);
        if (!model->staging)
            return sonde_context_error(model->context)->status;
    }
    return sonde__storage_verify(model, record->storage, record->name);
}

sonde_status sonde__model_read_as(sonde_model *model, size_t index, uint64_t first, uint64_t count,
                                  sonde__target target, void *out)
{
    const sonde__record *record = &model->tensors[index];
    const sonde__number_info *info = sonde__number_find((sonde_number)record->number);
    if (count == 0)
        return SONDE_OK;
    SONDE_TRY(check_cancel(model));
    SONDE_TRY(prepare(model, record));
    if (record->contiguous && as_stored(model, record, target))
        return read_straight(model, record, first, count, out);
    if (info->elements > 1)
        return read_blocks(model, record, first, count, target, out);
    if (record->contiguous)
        SONDE_TRY(read_dense(model, record, first, count, target, out));
    else
        SONDE_TRY(sonde__model_gather(model, record, first, count, target, out));
    if (record->scale && target != SONDE__TO_SELF)
        return sonde__model_apply_scale(model, record, first, count, target, out);
    return SONDE_OK;
}

static sonde_status check_range(const sonde_model *model, size_t index, uint64_t first,
                                uint64_t count)
{
    if (index >= model->tensor_count)
        return sonde__fail(model->context, SONDE_ERROR_RANGE, "there is no tensor %zu of %zu",
                           index, model->tensor_count);
    const sonde__record *record = &model->tensors[index];
    if (first > record->elements || count > record->elements - first)
        return sonde__fail_at(model->context, SONDE_ERROR_RANGE, NULL, record->name, -1,
                              "%llu elements from %llu on are asked of tensor '%.200s', which has "
                              "%llu",
                              (unsigned long long)count, (unsigned long long)first, record->name,
                              (unsigned long long)record->elements);
    return SONDE_OK;
}

sonde_status sonde__model_read_stored(sonde_model *model, size_t index, uint64_t first,
                                      uint64_t count, void *out)
{
    SONDE_TRY(check_range(model, index, first, count));
    const unsigned block = sonde__number_find((sonde_number)model->tensors[index].number)->elements;
    if (first % block != 0 || count % block != 0)
        return sonde__fail(model->context, SONDE_ERROR_ARGUMENT,
                           "blocks of %u elements are read whole", block);
    return sonde__model_read_as(model, index, first, count, SONDE__TO_SELF, out);
}

sonde_status sonde_model_read(sonde_model *model, size_t index, uint64_t first, uint64_t count,
                              sonde_dtype dtype, void *out)
{
    if (!model)
        return SONDE_ERROR_ARGUMENT;
    SONDE_TRY(check_range(model, index, first, count));
    const sonde__record *record = &model->tensors[index];
    if ((dtype != SONDE_F32 && dtype != SONDE_F64) || (!out && count > 0))
        return sonde__fail(model->context, SONDE_ERROR_ARGUMENT,
                           "numbers are read as SONDE_F32 or SONDE_F64 into the caller's memory");
    if (record->refusal != SONDE__READS)
        return fail_unreadable(model, record);
    return sonde__model_read_as(model, index, first, count,
                                dtype == SONDE_F32 ? SONDE__TO_F32 : SONDE__TO_F64, out);
}
