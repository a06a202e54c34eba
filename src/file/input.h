/*
 * An open regular file that is read at offsets, never mapped: a file that shrinks meanwhile gives an
 * error, where a mapping would end the process with SIGBUS, and pages that were read do not count as
 * memory of ours. Or bytes in memory that are read the same way, for tests and fuzzers.
 */
#ifndef SONDE_FILE_INPUT_H
#define SONDE_FILE_INPUT_H

#include "base/context.h"

typedef struct sonde__input sonde__input;

/* Folders, FIFOs, devices and sockets are refused by name, without waiting on them. */
sonde_status sonde__input_open(sonde_context *context, const char *path, sonde__input **input);
/* `bytes` is borrowed until the close. */
sonde_status sonde__input_memory(sonde_context *context, const char *path, const void *bytes,
                                 size_t size, sonde__input **input);
/* NULL is legal. */
void sonde__input_close(sonde__input *input);
const char *sonde__input_path(const sonde__input *input);
/* As it was when the file was opened. */
uint64_t sonde__input_size(const sonde__input *input);
/* Exactly `size` bytes; SONDE_ERROR_TRUNCATED, with the offset, where the file has fewer. `item`
 * (may be NULL) names in the error what was to be read. */
sonde_status sonde__input_read(const sonde__input *input, const char *item, uint64_t offset,
                               void *to, size_t size);

#endif
