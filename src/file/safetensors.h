/*
 * Writing safetensors files, atomically. They are read as every model file is (sonde_model_open).
 *
 * Layout: u64 little-endian header length, JSON header, tensor bytes. The data are aligned to 64
 * bytes with spaces behind the JSON.
 */
#ifndef SONDE_FILE_SAFETENSORS_H
#define SONDE_FILE_SAFETENSORS_H

#include "base/context.h"

typedef struct sonde__tensor {
    const char *name;
    sonde_number number;
    int dims;
    int64_t shape[SONDE_TENSOR_DIMS_MAX];
    const void *data; /* the caller's bytes */
    size_t bytes;
} sonde__tensor;

typedef struct sonde__metadata {
    const char *key, *value;
} sonde__metadata;

sonde_status sonde__safetensors_write(sonde_context *context, const char *path,
                                      const sonde__tensor *tensors, size_t count,
                                      const sonde__metadata *metadata, size_t metadata_count);

/* `data` of the tensors is not used here. */
typedef struct sonde__safetensors_content {
    const sonde__tensor *tensors;
    size_t count;
    const sonde__metadata *metadata;
    size_t metadata_count;
} sonde__safetensors_content;

/*
 * The same for tensors that are not in memory: `fill` gives bytes [offset, offset + size) of tensor
 * `index`, in ascending slices of whole blocks; tensors are asked for by element size, widest first.
 * Its failure ends the writing, and no file is left.
 */
typedef sonde_status (*sonde__safetensors_fill_fn)(void *user, size_t index, uint64_t offset,
                                                   void *bytes, size_t size);
sonde_status sonde__safetensors_write_stream(sonde_context *context, const char *path,
                                             const sonde__safetensors_content *content,
                                             sonde__safetensors_fill_fn fill, void *user);

#endif
