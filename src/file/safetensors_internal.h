/* Reading safetensors from memory, for the tests and the fuzzer. */
#ifndef SONDE_FILE_SAFETENSORS_INTERNAL_H
#define SONDE_FILE_SAFETENSORS_INTERNAL_H

#include "file/safetensors.h"

/* `bytes` is a block of the context; it is taken over, also on failure. */
sonde_status sonde__safetensors_parse(sonde_context *context, const char *path, void *bytes,
                                      size_t size, sonde__safetensors **file);

#endif
