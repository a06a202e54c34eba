/*
 * Worker threads: a small pool with a queue of jobs, and a loop split in chunks over it.
 *
 * Workers never touch a context's error record; a job reports through its own argument.
 */
#ifndef SONDE_BASE_THREAD_H
#define SONDE_BASE_THREAD_H

#include "base/context.h"

typedef struct sonde__pool sonde__pool;
typedef void (*sonde__job_fn)(void *argument);
/* Handles items [begin, end). */
typedef void (*sonde__range_fn)(void *argument, size_t begin, size_t end);

/* `threads` workers (at least 1), started at the first submission. Workers run at lower priority
 * (nice) when `background` is set. Signals are blocked in workers. */
sonde_status sonde__pool_create(sonde_context *context, int threads, bool background,
                                sonde__pool **pool);
/* Waits for queued jobs, then ends the workers. NULL is legal. */
void sonde__pool_free(sonde__pool *pool);
sonde_status sonde__pool_submit(sonde__pool *pool, sonde__job_fn job, void *argument);
/* Returns when no job is queued or running. */
void sonde__pool_wait(sonde__pool *pool);

/*
 * Runs `range` over [0, n) in chunks of `chunk` items, on the pool's workers and the caller; NULL
 * pool: on the caller alone. Chunk borders do not depend on the number of threads, so sums formed a
 * chunk at a time are the same bits for any.
 */
void sonde__parallel_for(sonde__pool *pool, size_t n, size_t chunk, sonde__range_fn range,
                         void *argument);

/* Monotonic seconds. */
double sonde__seconds(void);

#endif
