/*
 * Tied tensors: two names for the same numbers of a file (embeddings and output heads).
 *
 * Same storage, first element, shape, strides and number format; what merely overlaps is not tied.
 * Found with a hash table over all views, so that 100,000 tensors take milliseconds.
 */
#include <string.h>

#include "file/model_state.h"

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0xff51afd7ed558ccdu;
    return hash ^ hash >> 32;
}

/* Sizes, and strides where they are kept. */
static size_t size_count(const sonde__record *record)
{
    return (record->contiguous ? 1u : 2u) * (size_t)record->dims;
}

static size_t hash_view(const sonde__record *record)
{
    uint64_t hash = mix(record->storage, record->first);
    hash = mix(hash, record->number | (uint64_t)record->dims << 8);
    for (size_t i = 0; i < size_count(record); i++)
        hash = mix(hash, (uint64_t)record->shape[i]);
    return (size_t)(hash ^ hash >> 29);
}

static bool same_view(const sonde__record *a, const sonde__record *b)
{
    return a->storage == b->storage && a->first == b->first && a->number == b->number &&
           a->dims == b->dims && a->contiguous == b->contiguous &&
           memcmp(a->shape, b->shape, size_count(a) * sizeof *a->shape) == 0;
}

sonde_status sonde__model_tie(sonde_model *model)
{
    size_t room = 64;
    while (room < 2 * model->tensor_count)
        room *= 2;
    uint32_t *table = sonde__alloc_zero(model->context, room, sizeof *table);
    if (!table)
        return sonde_context_error(model->context)->status;
    for (size_t i = 0; i < model->tensor_count; i++) {
        sonde__record *record = &model->tensors[i];
        if (record->elements == 0)
            continue;
        size_t at = hash_view(record) & (room - 1);
        while (table[at] != 0 && !same_view(&model->tensors[table[at] - 1], record))
            at = (at + 1) & (room - 1);
        if (table[at] != 0)
            record->tied = table[at];
        else
            table[at] = (uint32_t)(i + 1);
    }
    sonde__free(model->context, table);
    return SONDE_OK;
}
