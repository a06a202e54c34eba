/* What reading and writing safetensors share, and reading from memory, for the tests. */
#ifndef SONDE_FILE_SAFETENSORS_INTERNAL_H
#define SONDE_FILE_SAFETENSORS_INTERNAL_H

#include "file/model_internal.h"
#include "file/safetensors.h"

enum {
    SONDE__SAFETENSORS_PREFIX = 8,
    SONDE__SAFETENSORS_NAME_MAX = 1024,
    /* The format allows 100 MB of header; 16 MiB is 100,000 tensors, and bounds the JSON tree. */
    SONDE__SAFETENSORS_HEADER_MAX = 16 << 20
};

/* Whether the format has this kind of number; its name there is then sonde_number_name's. */
bool sonde__safetensors_has(sonde_number number);
/* Bytes of a tensor; false where they overflow, a dimension is negative, or elements do not fill
 * whole blocks. */
bool sonde__safetensors_bytes(sonde_number number, int dims, const int64_t *shape, uint64_t *bytes);
/* Not empty, at most 1024 bytes, no control characters. */
bool sonde__safetensors_name(const char *name);

/* `bytes` is a block of the context; it is taken over, also on failure. */
sonde_status sonde__safetensors_parse(sonde_context *context, const char *path, void *bytes,
                                      size_t size, sonde__safetensors **file);

#endif
