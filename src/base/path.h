/*
 * Files: atomic replacement, whole reads, folders.
 *
 * A file that is replaced is either the old or the new one after a crash, never half of each:
 * written beside it, flushed to the disk, renamed over it, the folder flushed too.
 */
#ifndef SONDE_BASE_PATH_H
#define SONDE_BASE_PATH_H

#include "base/context.h"

typedef struct sonde__replacer sonde__replacer;

/* Opens "PATH.tmp-PID" for writing beside `path`. */
sonde_status sonde__replace_open(sonde_context *context, const char *path, sonde__replacer **out);
sonde_status sonde__replace_write(sonde__replacer *replacer, const void *bytes, size_t size);
/* Flushes, renames, flushes the folder; the replacer is gone afterwards, also on failure. */
sonde_status sonde__replace_commit(sonde__replacer *replacer);
/* Drops the temporary file. NULL is legal. */
void sonde__replace_abandon(sonde__replacer *replacer);
/* The three in one. */
sonde_status sonde__replace_file(sonde_context *context, const char *path, const void *bytes,
                                 size_t size);

/* A whole file of at most `limit` bytes; *bytes freed with sonde__free, NUL added behind the end. */
sonde_status sonde__read_file(sonde_context *context, const char *path, size_t limit, void **bytes,
                              size_t *size);
/* Makes the folder and those above it. */
sonde_status sonde__make_folder(sonde_context *context, const char *path);
bool sonde__path_exists(const char *path);
/* "folder/name" into a new block, freed with sonde__free. */
char *sonde__path_join(sonde_context *context, const char *folder, const char *name);

#endif
