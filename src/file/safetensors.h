/*
 * safetensors files: written atomically, read without trust.
 *
 * Layout: u64 little-endian header length, JSON header, tensor bytes. The writer aligns the data to
 * 64 bytes with spaces behind the JSON. The reader checks every number against the file's real size
 * before it is used.
 */
#ifndef SONDE_FILE_SAFETENSORS_H
#define SONDE_FILE_SAFETENSORS_H

#include "base/context.h"

typedef struct sonde__tensor {
    const char *name;
    sonde_number number;
    int dims;
    int64_t shape[SONDE_TENSOR_DIMS_MAX];
    const void *data; /* writing: the caller's bytes; reading: into the file's memory */
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

typedef struct sonde__safetensors sonde__safetensors;
/*
 * Reads the whole file into memory (checkpoints of our own size). Tensors come in order of their
 * place in the file. In files that we wrote each is aligned to its element; in foreign ones it may
 * not be, so that elements wider than a byte are best copied out with memcpy.
 */
sonde_status sonde__safetensors_open(sonde_context *context, const char *path,
                                     sonde__safetensors **file);
void sonde__safetensors_close(sonde__safetensors *file);
size_t sonde__safetensors_count(const sonde__safetensors *file);
const sonde__tensor *sonde__safetensors_tensor(const sonde__safetensors *file, size_t index);
/* NULL when there is none of that name. */
const sonde__tensor *sonde__safetensors_find(const sonde__safetensors *file, const char *name);
const char *sonde__safetensors_metadata(const sonde__safetensors *file, const char *key);

#endif
