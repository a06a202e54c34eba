/*
 * Parameters to and from safetensors files, in the plain layout, with a checksum: safetensors has
 * none, and a state whose bits have flipped must not be trained on.
 *
 * The checksum (metadata "sonde.checksum") is the sum over tensors of the CRC-32 of name and bytes,
 * so that it does not depend on their order.
 */
#ifndef SONDE_RUN_TENSORS_H
#define SONDE_RUN_TENSORS_H

#include "file/safetensors.h"
#include "net/net.h"

enum { SONDE__TENSOR_NAME_MAX = 192, SONDE__METADATA_MAX = 16 };

/* A file in the making; it owns copies of everything. */
typedef struct sonde__tensor_list {
    sonde_context *context;
    sonde__tensor *tensors;
    char (*names)[SONDE__TENSOR_NAME_MAX];
    size_t count, capacity;
} sonde__tensor_list;

sonde_status sonde__tensor_list_init(sonde__tensor_list *list, sonde_context *context,
                                     size_t capacity);
void sonde__tensor_list_free(sonde__tensor_list *list);
/* Room for a tensor of `count` elements of one dimension; NULL on failure. */
void *sonde__tensor_list_add(sonde__tensor_list *list, const char *name, sonde_number number,
                             size_t count);
/* Every parameter as PREFIXname from a flat array; with `buffers`, those of the network too. */
sonde_status sonde__tensor_list_add_net(sonde__tensor_list *list, sonde__net *net,
                                        const float *flat, const char *prefix, bool buffers);
/* Adds the checksum to the metadata (at most SONDE__METADATA_MAX - 1 of them). */
sonde_status sonde__tensor_list_write(const sonde__tensor_list *list, const char *path,
                                      const sonde__metadata *metadata, size_t metadata_count);

/* Opens a file of ours; SONDE_ERROR_CORRUPT when its checksum does not fit. */
sonde_status sonde__tensors_open(sonde_context *context, const char *path, sonde_model **file);
/* The text of a metadata key, valid until the file is closed, or NULL. */
const char *sonde__tensors_metadata(const sonde_model *file, const char *key);
/* Bytes of the tensor `name`, as stored, into a block of the context, freed with sonde__free; NULL,
 * with SONDE_OK, where there is none of that name, format and one dimension. */
sonde_status sonde__tensors_bytes(sonde_context *context, sonde_model *file, const char *name,
                                  sonde_number number, void **bytes, size_t *size);
/* Whether the file has PREFIXname of every parameter (with `buffers`, of those too): the first tensor
 * that is missing or of another shape is SONDE_ERROR_SHAPE, which names it. */
sonde_status sonde__tensors_fit(sonde_context *context, sonde_model *file, const char *path,
                                const char *prefix, bool buffers, const sonde__net *net);
/* PREFIXname of every parameter into a flat array (and buffers into the network), if all fit. */
sonde_status sonde__tensors_into_net(sonde_context *context, sonde_model *file, const char *path,
                                     const char *prefix, bool buffers, sonde__net *net,
                                     float *flat);

#endif
