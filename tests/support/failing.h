/*
 * A test allocator that fails at the k-th allocation, and a loop that runs a piece of work with
 * k = 0, 1, 2, ... until it passes: out-of-memory tests of every public call.
 *
 *     static sonde_status body(sonde_context *context, void *argument) { ... return SONDE_OK; }
 *     failing_run(body, NULL);
 *
 * The body must free what it made whatever happened, and return the first status that is not
 * SONDE_OK. The allocator checks that old sizes are told truthfully, that no block is freed twice
 * and that everything is freed in the end. It may be called from several threads.
 */
#ifndef SONDE_TESTS_FAILING_H
#define SONDE_TESTS_FAILING_H

#include <pthread.h>

#include "check.h"

#define FAILING_NEVER SIZE_MAX

typedef struct failing_allocator {
    size_t fail_at;  /* which call that asks for memory fails, from 0; FAILING_NEVER: none */
    bool and_after;  /* all later ones fail too */
    size_t calls;    /* calls that asked for memory so far */
    size_t failures; /* how many of them were refused */
    size_t live_blocks, live_bytes;
    size_t lies; /* old sizes that were wrong, blocks that were not ours or freed before */
    pthread_mutex_t mutex;
} failing_allocator;

/* In front of every block; 16 bytes keep the alignment of malloc. */
typedef struct failing_header {
    size_t size;
    size_t magic;
} failing_header;

enum { FAILING_MAGIC = 0x5afe5afe };

static inline void failing_init(failing_allocator *allocator, size_t fail_at)
{
    memset(allocator, 0, sizeof *allocator);
    allocator->fail_at = fail_at;
    pthread_mutex_init(&allocator->mutex, NULL);
}

static inline void failing_destroy(failing_allocator *allocator)
{
    pthread_mutex_destroy(&allocator->mutex);
}

static inline bool failing_refuses(failing_allocator *allocator)
{
    size_t call = allocator->calls++;
    bool refuses =
        call == allocator->fail_at || (allocator->and_after && call > allocator->fail_at);
    allocator->failures += refuses;
    return refuses;
}

/* With the mutex held. */
static inline void *failing_serve(failing_allocator *allocator, void *old, size_t old_size,
                                  size_t new_size)
{
    failing_header *before = old ? (failing_header *)old - 1 : NULL;
    if (before && (before->magic != FAILING_MAGIC || before->size != old_size)) {
        allocator->lies++;
        return NULL;
    }
    if (!before && old_size != 0)
        allocator->lies++;
    if (new_size > 0 && failing_refuses(allocator))
        return NULL;
    failing_header *after = NULL;
    if (new_size > 0) {
        /* Always another block, so that a pointer kept over a resize is found by the sanitizer. */
        after = malloc(sizeof *after + new_size);
        if (!after)
            return NULL;
        *after = (failing_header){new_size, FAILING_MAGIC};
        memset(after + 1, 0xa5, new_size);
        if (before)
            memcpy(after + 1, old, old_size < new_size ? old_size : new_size);
        allocator->live_blocks++;
        allocator->live_bytes += new_size;
    }
    if (before) {
        before->magic = 0;
        free(before);
        allocator->live_blocks--;
        allocator->live_bytes -= old_size;
    }
    return after ? after + 1 : NULL;
}

static inline void *failing_allocate(void *user, void *old, size_t old_size, size_t new_size)
{
    failing_allocator *allocator = user;
    pthread_mutex_lock(&allocator->mutex);
    void *block = failing_serve(allocator, old, old_size, new_size);
    pthread_mutex_unlock(&allocator->mutex);
    return block;
}

/* A context over the allocator, one worker thread; its own creation is not counted. */
static inline sonde_context *failing_context(failing_allocator *allocator)
{
    sonde_context *context = NULL;
    sonde_context_options options;
    sonde_context_options_init(&options);
    options.allocate = failing_allocate;
    options.allocate_user = allocator;
    options.threads = 1;
    size_t fail_at = allocator->fail_at;
    allocator->fail_at = FAILING_NEVER;
    assert_int_equal(sonde_context_create(&options, &context), SONDE_OK);
    allocator->fail_at = fail_at;
    allocator->calls = 0;
    return context;
}

typedef sonde_status (*failing_body)(sonde_context *context, void *argument);

/* Frees the context and fails the test unless all went as it must. */
static inline void failing_finish(failing_allocator *allocator, sonde_context *context,
                                  sonde_status status)
{
    size_t k = allocator->fail_at;
    if (status != SONDE_OK && status != SONDE_ERROR_MEMORY)
        fail_msg("allocation %zu failed and gave %s: %s", k, sonde_status_name(status),
                 sonde_context_error(context)->message);
    if (status != SONDE_OK && allocator->failures == 0)
        fail_msg("out of memory, though every allocation was served");
    if (sonde_context_memory_used(context) != 0)
        fail_msg("allocation %zu failed and %zu bytes were not freed", k,
                 sonde_context_memory_used(context));
    sonde_context_free(context);
    if (allocator->lies)
        fail_msg("allocation %zu failed and an old size was not the truth", k);
    if (allocator->live_blocks)
        fail_msg("allocation %zu failed and %zu blocks were not freed", k, allocator->live_blocks);
}

/*
 * Runs `body` with the 0th, 1st, 2nd, ... allocation refused, until none is. A body may pass in
 * spite of a refusal (it found another way); it must never give another status than
 * SONDE_ERROR_MEMORY, and never leak. Returns the number of allocations of a whole pass.
 */
static inline size_t failing_run(failing_body body, void *argument)
{
    for (size_t k = 0;; k++) {
        failing_allocator allocator;
        failing_init(&allocator, k);
        sonde_context *context = failing_context(&allocator);
        sonde_status status = body(context, argument);
        bool reached = allocator.failures > 0;
        failing_finish(&allocator, context, status);
        failing_destroy(&allocator);
        if (!reached) {
            assert_int_equal(status, SONDE_OK);
            return k;
        }
        if (k > 100000)
            fail_msg("the body never passes");
    }
}

#endif
