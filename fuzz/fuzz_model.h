/* What the targets of model formats share: a model that was accepted keeps its promises. */
#ifndef SONDE_FUZZ_MODEL_H
#define SONDE_FUZZ_MODEL_H

#include "file/model_internal.h"
#include "fuzz.h"

enum { FUZZ_SLICE = 1024, FUZZ_TENSORS_READ = 64 };

/* Slices from both ends and the middle; values go nowhere, the sanitizers watch. */
static inline void fuzz_read_tensor(sonde_model *model, size_t index, const sonde_tensor *tensor)
{
    static double room[FUZZ_SLICE];
    const uint64_t n = tensor->elements < FUZZ_SLICE ? tensor->elements : FUZZ_SLICE;
    const uint64_t starts[] = {0, tensor->elements - n, (tensor->elements - n) / 2};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        (void)sonde_model_read(model, index, starts[i], n, SONDE_F32, room);
        (void)sonde_model_read(model, index, starts[i], n, SONDE_F64, room);
    }
    fuzz_require(sonde_model_read(model, index, tensor->elements, 1, SONDE_F64, room) ==
                 SONDE_ERROR_RANGE);
}

/* Every tensor has a plain name by which it is found, a shape whose product is its count, and, where
 * it is not packed, a place inside the file. */
static inline void fuzz_check_tensor(sonde_model *model, size_t index, uint64_t file_size)
{
    sonde_tensor tensor;
    size_t found = 0;
    uint64_t product = 1;
    fuzz_require(sonde_model_tensor(model, index, &tensor) == SONDE_OK);
    fuzz_require(tensor.name && tensor.name[0]);
    for (const char *c = tensor.name; *c; c++)
        fuzz_require((unsigned char)*c >= 0x20 && *c != 0x7f);
    fuzz_require(sonde_model_find(model, tensor.name, &found) == SONDE_OK && found == index);
    fuzz_require(tensor.dims >= 0 && tensor.dims <= SONDE_TENSOR_DIMS_MAX);
    for (int i = 0; i < tensor.dims; i++) {
        fuzz_require(tensor.shape[i] >= 0);
        product *= (uint64_t)tensor.shape[i];
    }
    fuzz_require(product == tensor.elements);
    if (tensor.offset >= 0 && tensor.contiguous && tensor.elements > 0)
        fuzz_require((uint64_t)tensor.offset <= file_size &&
                     tensor.bytes <= file_size - (uint64_t)tensor.offset);
    if (tensor.readable && index < FUZZ_TENSORS_READ)
        fuzz_read_tensor(model, index, &tensor);
}

static inline void fuzz_check_model(sonde_model *model)
{
    sonde_model_info info;
    const char *key, *value;
    sonde_model_describe(model, &info);
    fuzz_require(info.tensors == sonde_model_count(model));
    for (size_t i = 0; i < info.tensors; i++)
        fuzz_check_tensor(model, i, info.file_bytes);
    for (size_t i = 0; i < info.metadata; i++)
        fuzz_require(sonde_model_metadata(model, i, &key, &value) == SONDE_OK && key && value);
    for (size_t i = 0; i < info.warnings; i++)
        fuzz_require(sonde_model_warning(model, i) != NULL);
}

/* The whole of a target: opens what is in memory, checks it, frees all. */
static inline void fuzz_model(const char *name, const uint8_t *data, size_t size)
{
    sonde_context *context = fuzz_context();
    sonde_model *model = NULL;
    if (sonde__model_open_memory(context, name, data, size, &model) == SONDE_OK)
        fuzz_check_model(model);
    sonde_model_close(model);
    fuzz_finish(context);
}

#endif
