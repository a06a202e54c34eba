/* What reading and writing safetensors share. */
#ifndef SONDE_FILE_SAFETENSORS_INTERNAL_H
#define SONDE_FILE_SAFETENSORS_INTERNAL_H

#include "file/model_internal.h"
#include "file/safetensors.h"

enum {
    SONDE__SAFETENSORS_PREFIX = 8,
    SONDE__SAFETENSORS_NAME_MAX = 1024,
    SONDE__SAFETENSORS_HEADER_MAX = 100000000 /* what the format allows */
};

/* Whether the format has this kind of number; its name there is then sonde_number_name's. */
bool sonde__safetensors_has(sonde_number number);
/* Bytes of a tensor; false where they overflow, a dimension is negative, or elements do not fill
 * whole blocks. */
bool sonde__safetensors_bytes(sonde_number number, int dims, const int64_t *shape, uint64_t *bytes);
/* Not empty, at most 1024 bytes, UTF-8 without control characters. */
bool sonde__safetensors_name(const char *name);

#endif
