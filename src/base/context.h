/*
 * The context: where memory comes from, how much of it there may be, and what went wrong last.
 *
 * Every byte that the project allocates goes through here. Blocks carry their own size, are aligned
 * to 64 bytes, and are freed through the context that made them. Allocation is safe from any thread;
 * errors are recorded only by the thread that owns the context (a worker allocates quietly and hands
 * its status to the owner).
 */
#ifndef SONDE_BASE_CONTEXT_H
#define SONDE_BASE_CONTEXT_H

#include <sonde.h>

#include "base/compiler.h"

/* Uninitialised / zeroed room for count * size bytes (checked). NULL, with the error set, on
 * failure; a request for 0 bytes gives a valid block. */
void *sonde__alloc(sonde_context *context, size_t count, size_t size);
void *sonde__alloc_zero(sonde_context *context, size_t count, size_t size);
/* Keeps the content; on failure returns NULL and the old block stays valid. `block` may be NULL. */
void *sonde__resize(sonde_context *context, void *block, size_t count, size_t size);
/* `block` may be NULL. */
void sonde__free(sonde_context *context, void *block);
/* A copy of the string; freed with sonde__free. */
char *sonde__copy_string(sonde_context *context, const char *text);
/* As the above, but silent: for worker threads, which may not touch the error record. */
void *sonde__alloc_quiet(sonde_context *context, size_t count, size_t size);

/* Records an error and returns `status`, so that one can write `return sonde__fail(...)`. */
sonde_status sonde__fail(sonde_context *context, sonde_status status, const char *format, ...)
    SONDE_PRINTF(3, 4);
/* The same with the place: `file` and `item` may be NULL, `offset` -1. */
sonde_status sonde__fail_at(sonde_context *context, sonde_status status, const char *file,
                            const char *item, int64_t offset, const char *format, ...)
    SONDE_PRINTF(6, 7);
/* The status for an errno value: ENOENT -> NOT_FOUND, ENOSPC / EDQUOT / EFBIG -> NO_SPACE, ... */
sonde_status sonde__status_of_errno(int error);
/* Records "cannot WHAT: strerror" for errno with the path, and returns the status that fits. */
sonde_status sonde__fail_errno(sonde_context *context, const char *path, const char *what);

/*
 * Blocks that stay until the context is freed, in one list a slot: for caches, since nothing may be
 * global. Lists only grow, at the front; any thread may add and read.
 */
typedef struct sonde__kept {
    struct sonde__kept *next; /* first member of what is kept */
} sonde__kept;
enum { SONDE__SLOT_SPECTRUM_NULL = 0, SONDE__SLOTS = 2 };
/* The newest block, or NULL. */
sonde__kept *sonde__context_kept(const sonde_context *context, int slot);
/* `block` comes from the allocators above and belongs to the context from here on. */
void sonde__context_keep(sonde_context *context, int slot, sonde__kept *block);

bool sonde__cancelled(const sonde_context *context);
/* Sets or takes back the request to cancel, for a call that ends its own workers with it. */
void sonde__set_cancelled(sonde_context *context, bool cancelled);
/* Bytes that the context may hold at once; 0: no limit. */
size_t sonde__memory_limit(const sonde_context *context);
/* Threads that the context allows, at least 1. */
int sonde__threads(const sonde_context *context);

/* Check and return; check and go to the cleanup label with `status` set. */
#define SONDE_TRY(call) \
    do { \
        sonde_status sonde_try_status_ = (call); \
        if (sonde_try_status_ != SONDE_OK) \
            return sonde_try_status_; \
    } while (0)

#define SONDE_TRY_CLEAN(call) \
    do { \
        status = (call); \
        if (status != SONDE_OK) \
            goto cleanup; \
    } while (0)

#endif
