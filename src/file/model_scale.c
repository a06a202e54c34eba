/*
 * 8-bit floats with a scale beside them: number = f8 * scale.
 *
 * The scale of tensor X (or X.weight) is X_scale_inv, X_scale, X.scale, X.weight_scale,
 * X.weight_scale_inv or X.scale_weight: one number, one a row, or blocks along each dimension (128 x
 * 128 in DeepSeek-V3, 1 x 32 in MX formats). A scale that fits none of these makes the tensor
 * unreadable: unscaled numbers would be wrong by orders of magnitude and look like numbers.
 */
#include <stdio.h>
#include <string.h>

#include "file/model_state.h"

enum { NAME_ROOM = 1024 + 32, CHUNK = 1 << 16 };

/* Behind the whole name; and behind a name from which ".weight" was taken. */
static const char *const ENDINGS[] = {"_scale_inv", "_scale", ".scale", ".weight_scale",
                                      ".weight_scale_inv"};
static const char *const WEIGHT_ENDINGS[] = {".scale", ".scale_weight"};

static bool is_scaled_number(uint8_t number)
{
    return number >= SONDE_NUMBER_F8_E4M3 && number <= SONDE_NUMBER_F8_E5M2FNUZ;
}

/* Remembers the tensor of that name; counts how many there are. */
static void try_name(const sonde_model *model, const char *stem, int length, const char *ending,
                     uint32_t *found, int *count)
{
    char name[NAME_ROOM];
    const int size = snprintf(name, sizeof name, "%.*s%s", length, stem, ending);
    const sonde__record *record = sonde__model_named(model, name, (size_t)size);
    if (!record)
        return;
    *found = (uint32_t)(record - model->tensors) + 1;
    ++*count;
}

static int find_scale(const sonde_model *model, const sonde__record *record, uint32_t *found)
{
    static const char tail[] = ".weight";
    const size_t tail_length = sizeof tail - 1, length = strlen(record->name);
    int count = 0;
    for (size_t i = 0; i < sizeof ENDINGS / sizeof *ENDINGS; i++)
        try_name(model, record->name, (int)length, ENDINGS[i], found, &count);
    if (length > tail_length && strcmp(record->name + length - tail_length, tail) == 0)
        for (size_t i = 0; i < sizeof WEIGHT_ENDINGS / sizeof *WEIGHT_ENDINGS; i++)
            try_name(model, record->name, (int)(length - tail_length), WEIGHT_ENDINGS[i], found,
                     &count);
    return count;
}

/*
 * Elements a scale covers along a dimension of `size` that has `scales` of them; 0: cannot be told.
 * Blocks are powers of two wherever they are used; the last one may be cut off (576 in 5 blocks of
 * 128). Only where no power of two fits the even share is taken.
 */
static uint64_t block_size(uint64_t size, uint64_t scales)
{
    if (scales == 0 || scales > size)
        return 0;
    if (scales == size || scales == 1)
        return scales == 1 ? size : 1;
    for (uint64_t block = 2; block < size; block *= 2)
        if ((size + block - 1) / block == scales)
            return block;
    return size % scales == 0 ? size / scales : 0;
}

typedef struct blocks {
    uint64_t block[SONDE_TENSOR_DIMS_MAX]; /* elements a scale covers */
    uint64_t step[SONDE_TENSOR_DIMS_MAX];  /* scales from one block to the next */
    uint64_t count[SONDE_TENSOR_DIMS_MAX]; /* blocks along each dimension */
} blocks;

/* How a scale lies over a tensor; false where it does not. */
static bool lay_over(const sonde__record *record, const sonde__record *scale, blocks *over)
{
    const int dims = record->dims;
    const bool rows = scale->dims == 1 && dims > 1;
    if (!rows && scale->dims != dims && scale->elements != 1)
        return false;
    uint64_t step = 1;
    for (int i = dims - 1; i >= 0; i--) {
        const uint64_t size = (uint64_t)record->shape[i];
        uint64_t scales = scale->elements == 1 ? 1 : (uint64_t)scale->shape[rows ? 0 : i];
        if (rows && i > 0)
            scales = 1;
        over->block[i] = block_size(size, scales);
        over->count[i] = scales;
        over->step[i] = step;
        step *= scales;
        if (over->block[i] == 0 || (rows && i == 0 && scales != 1 && scales != size))
            return false;
    }
    return true;
}

static bool can_scale(const sonde__record *scale)
{
    return scale->number <= SONDE_NUMBER_F16 || scale->number == SONDE_NUMBER_F8_E8M0;
}

/* Tells where the even share would have been another block than the one taken. */
static sonde_status warn_of_blocks(sonde_model *model, const sonde__record *record,
                                   const blocks *over)
{
    for (int i = 0; i < record->dims; i++) {
        const uint64_t size = (uint64_t)record->shape[i], even = size / over->count[i];
        if (size % over->count[i] == 0 && even != over->block[i])
            SONDE_TRY(sonde__model_warn(
                model,
                "tensor '%.200s': its %llu scales along %llu are taken for "
                "blocks of %llu, not of %llu",
                record->name, (unsigned long long)over->count[i], (unsigned long long)size,
                (unsigned long long)over->block[i], (unsigned long long)even));
    }
    return SONDE_OK;
}

static sonde_status find_scales(sonde_model *model)
{
    for (size_t i = 0; i < model->tensor_count; i++) {
        sonde__record *record = &model->tensors[i];
        blocks over;
        uint32_t found = 0;
        if (!is_scaled_number(record->number) || record->elements == 0)
            continue;
        const int count = find_scale(model, record, &found);
        if (count == 0)
            continue;
        if (count > 1) {
            record->refusal = SONDE__REFUSED_SCALES;
        } else if (!can_scale(&model->tensors[found - 1]) ||
                   !lay_over(record, &model->tensors[found - 1], &over)) {
            record->refusal = SONDE__REFUSED_SCALE;
        } else {
            record->scale = found;
            SONDE_TRY(warn_of_blocks(model, record, &over));
        }
    }
    return SONDE_OK;
}

static uint32_t first_of(const sonde_model *model, uint32_t index_and_one)
{
    if (index_and_one == 0)
        return 0;
    const uint32_t tied = model->tensors[index_and_one - 1].tied;
    return tied ? tied : index_and_one;
}

/* The same bytes are the same numbers only under the same scale. An f8 tensor that has none of its own
 * is scaled as the one that it is tied to; one that has another is not tied. */
static void scale_ties(sonde_model *model)
{
    for (size_t i = 0; i < model->tensor_count; i++) {
        sonde__record *record = &model->tensors[i];
        if (!record->tied || !is_scaled_number(record->number))
            continue;
        const sonde__record *first = &model->tensors[record->tied - 1];
        if (!record->scale && record->refusal == SONDE__READS) {
            record->scale = first->scale;
            record->refusal = first->refusal;
        }
        if (first_of(model, record->scale) != first_of(model, first->scale) ||
            record->refusal != first->refusal)
            record->tied = 0;
    }
}

sonde_status sonde__model_find_scales(sonde_model *model)
{
    SONDE_TRY(find_scales(model));
    scale_ties(model);
    return SONDE_OK;
}

/* --- multiplying -------------------------------------------------------------------------------- */

/* The scales that elements [first, last] need lie between *low and *high (both included). */
static void bounds(const sonde__record *record, const blocks *over, const int64_t *dense,
                   uint64_t first, uint64_t last, uint64_t *low, uint64_t *high)
{
    *low = *high = 0;
    bool apart = false; /* the indexes differ in a dimension further out */
    for (int i = 0; i < record->dims; i++) {
        const uint64_t size = (uint64_t)record->shape[i], step = (uint64_t)dense[i];
        const uint64_t a = first / step % size, b = last / step % size;
        *low += (apart ? 0 : a / over->block[i]) * over->step[i];
        *high += (apart ? over->count[i] - 1 : b / over->block[i]) * over->step[i];
        apart = apart || a != b;
    }
}

static uint64_t scale_index(const sonde__record *record, const blocks *over, const int64_t *dense,
                            uint64_t element)
{
    uint64_t index = 0;
    for (int i = 0; i < record->dims; i++)
        index += element / (uint64_t)dense[i] % (uint64_t)record->shape[i] / over->block[i] *
                 over->step[i];
    return index;
}

/* In float, as the makers of these formats do, so that F32 and F64 are the same numbers. */
static void multiply(void *out, sonde__target target, size_t n, double scale)
{
    float *floats = out;
    double *doubles = out;
    if (target == SONDE__TO_F32)
        for (size_t i = 0; i < n; i++)
            floats[i] = (float)((double)floats[i] * scale);
    else
        for (size_t i = 0; i < n; i++)
            doubles[i] = (double)(float)(doubles[i] * scale);
}

/* Runs of elements that share a scale: along the last dimension, to the end of its block. */
static sonde_status scale_chunk(sonde_model *model, const sonde__record *record, const blocks *over,
                                uint64_t first, uint64_t count, sonde__target target, uint8_t *out)
{
    int64_t dense[SONDE_TENSOR_DIMS_MAX];
    uint64_t low = 0, high = 0;
    const int last = record->dims - 1;
    (void)sonde__dense_strides(record->dims, record->shape, dense);
    bounds(record, over, dense, first, first + count - 1, &low, &high);
    double *scales = sonde__alloc(model->context, (size_t)(high - low + 1), sizeof *scales);
    if (!scales)
        return sonde_context_error(model->context)->status;
    const sonde_status status =
        sonde__model_read_as(model, record->scale - 1, low, high - low + 1, SONDE__TO_F64, scales);
    for (uint64_t done = 0; done < count && status == SONDE_OK;) {
        const uint64_t at = first + done, left = count - done;
        uint64_t run = 1;
        if (last >= 0) {
            const uint64_t size = (uint64_t)record->shape[last], column = at % size;
            const uint64_t block = over->block[last], end = (column / block + 1) * block;
            run = (end < size ? end : size) - column;
        }
        run = run < left ? run : left;
        multiply(out + done * sonde__target_size(record, target), target, (size_t)run,
                 scales[scale_index(record, over, dense, at) - low]);
        done += run;
    }
    sonde__free(model->context, scales);
    return status;
}

sonde_status sonde__model_apply_scale(sonde_model *model, const sonde__record *record,
                                      uint64_t first, uint64_t count, sonde__target target,
                                      void *out)
{
    blocks over;
    if (!lay_over(record, &model->tensors[record->scale - 1], &over))
        return sonde__fail(model->context, SONDE_ERROR_INTERNAL, "a scale no longer fits");
    for (uint64_t done = 0; done < count;) {
        const uint64_t n = count - done < CHUNK ? count - done : CHUNK;
        SONDE_TRY(scale_chunk(model, record, &over, first + done, n, target,
                              (uint8_t *)out + done * sonde__target_size(record, target)));
        done += n;
    }
    return SONDE_OK;
}
