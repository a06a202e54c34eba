/*
 * The context: allocation under a budget, the error record, the cancel flag.
 *
 * Invariant: every block is preceded by a 64-byte header that holds its size, so that the caller's
 * allocation function is always told the truth about the old size and the counters always balance.
 * The error record has fixed room inside the context: reporting that memory is out needs none.
 */
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */

#include "base/context.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/text.h"

enum {
    ALIGNMENT = 64,
    /* The header, and room to move the block to the next multiple of 64. */
    OVERHEAD = 2 * ALIGNMENT,
    MESSAGE_MAX = 2048,
    FILE_MAX = 4096,
    ITEM_MAX = 512
};

typedef struct header {
    sonde_context *context;
    void *raw;    /* what the allocation function returned */
    size_t total; /* bytes asked of the allocation function */
    size_t size;  /* bytes promised to the owner of the block */
} header;

_Static_assert(sizeof(header) <= ALIGNMENT, "the header fits before an aligned block");

struct sonde_context {
    sonde_allocate_fn allocate;
    void *allocate_user;
    size_t memory_limit;
    int threads;
    atomic_size_t used, peak;
    atomic_int cancelled;
    _Atomic(sonde__kept *) kept[SONDE__SLOTS];
    sonde_error error;
    char message[MESSAGE_MAX];
    char file[FILE_MAX];
    char item[ITEM_MAX];
};

/* --- creation ------------------------------------------------------------------------------- */

static void *allocate_from_libc(void *user, void *old, size_t old_size, size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, new_size);
}

void sonde_context_options_init(sonde_context_options *options)
{
    *options = (sonde_context_options){.size = sizeof *options};
}

static int count_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    return 1;
}

sonde_status sonde_context_create(const sonde_context_options *options, sonde_context **context)
{
    sonde_context_options own;
    sonde_context_options_init(&own);
    if (!context)
        return SONDE_ERROR_ARGUMENT;
    if (options) {
        if (options->size != sizeof own || options->threads < 0)
            return SONDE_ERROR_ARGUMENT;
        own = *options;
    }
    if (!own.allocate)
        own.allocate = allocate_from_libc;
    sonde_context *made = own.allocate(own.allocate_user, NULL, 0, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    memset(made, 0, sizeof *made);
    made->allocate = own.allocate;
    made->allocate_user = own.allocate_user;
    made->memory_limit = own.memory_limit;
    made->threads = own.threads > 0 ? own.threads : count_cores();
    atomic_init(&made->used, 0);
    atomic_init(&made->peak, 0);
    atomic_init(&made->cancelled, 0);
    for (int slot = 0; slot < SONDE__SLOTS; slot++)
        atomic_init(&made->kept[slot], NULL);
    made->error = (sonde_error){SONDE_OK, made->message, made->file, made->item, -1};
    *context = made;
    return SONDE_OK;
}

void sonde_context_free(sonde_context *context)
{
    if (!context)
        return;
    for (int slot = 0; slot < SONDE__SLOTS; slot++)
        for (sonde__kept *each = atomic_load(&context->kept[slot]), *next; each; each = next) {
            next = each->next;
            sonde__free(context, each);
        }
    sonde_allocate_fn allocate = context->allocate;
    allocate(context->allocate_user, context, sizeof *context, 0);
}

sonde__kept *sonde__context_kept(const sonde_context *context, int slot)
{
    return atomic_load(&context->kept[slot]);
}

void sonde__context_keep(sonde_context *context, int slot, sonde__kept *block)
{
    block->next = atomic_load(&context->kept[slot]);
    while (!atomic_compare_exchange_weak(&context->kept[slot], &block->next, block))
        ;
}

void sonde_context_cancel(sonde_context *context)
{
    atomic_store(&context->cancelled, 1);
}

bool sonde__cancelled(const sonde_context *context)
{
    return atomic_load_explicit(&context->cancelled, memory_order_relaxed) != 0;
}

void sonde__set_cancelled(sonde_context *context, bool cancelled)
{
    atomic_store(&context->cancelled, cancelled);
}

size_t sonde__memory_limit(const sonde_context *context)
{
    return context->memory_limit;
}

int sonde__threads(const sonde_context *context)
{
    return context->threads;
}

/* --- memory --------------------------------------------------------------------------------- */

size_t sonde_context_memory_used(const sonde_context *context)
{
    return atomic_load(&context->used);
}

size_t sonde_context_memory_peak(const sonde_context *context)
{
    return atomic_load(&context->peak);
}

/* Takes `bytes` from the budget; false when that would exceed it. */
static bool reserve(sonde_context *context, size_t bytes)
{
    size_t used = atomic_load(&context->used), after;
    do {
        if (!sonde__add(used, bytes, &after))
            return false;
        if (context->memory_limit && after > context->memory_limit)
            return false;
    } while (!atomic_compare_exchange_weak(&context->used, &used, after));
    size_t peak = atomic_load(&context->peak);
    while (after > peak && !atomic_compare_exchange_weak(&context->peak, &peak, after))
        ;
    return true;
}

static void release(sonde_context *context, size_t bytes)
{
    size_t before = atomic_fetch_sub(&context->used, bytes);
    assert(before >= bytes);
    (void)before;
}

static header *header_of(const sonde_context *context, void *block)
{
    header *head = (header *)(void *)((char *)block - ALIGNMENT);
    assert(head->context == context);
    (void)context;
    return head;
}

/* First multiple of 64 behind which a header fits in front. */
static char *aligned_in(char *raw)
{
    uintptr_t first = (uintptr_t)raw + ALIGNMENT;
    return raw + ALIGNMENT + (ALIGNMENT - first % ALIGNMENT) % ALIGNMENT;
}

static void *place(sonde_context *context, void *raw, size_t total, size_t size)
{
    char *block = aligned_in(raw);
    *(header *)(void *)(block - ALIGNMENT) = (header){context, raw, total, size};
    return block;
}

static bool total_size(size_t count, size_t size, size_t *bytes, size_t *total)
{
    return sonde__multiply(count, size, bytes) && sonde__add(*bytes, OVERHEAD, total) &&
           *total <= PTRDIFF_MAX;
}

void *sonde__alloc_quiet(sonde_context *context, size_t count, size_t size)
{
    size_t bytes, total;
    if (!total_size(count, size, &bytes, &total) || !reserve(context, total))
        return NULL;
    void *raw = context->allocate(context->allocate_user, NULL, 0, total);
    if (!raw) {
        release(context, total);
        return NULL;
    }
    return place(context, raw, total, bytes);
}

static void fail_allocation(sonde_context *context, size_t count, size_t size)
{
    size_t bytes, total;
    if (!total_size(count, size, &bytes, &total))
        sonde__fail(context, SONDE_ERROR_OVERFLOW, "%zu items of %zu bytes do not fit in memory",
                    count, size);
    else if (context->memory_limit)
        sonde__fail(context, SONDE_ERROR_MEMORY,
                    "%zu bytes more than the %zu held are not to be had; the limit is %zu", total,
                    sonde_context_memory_used(context), context->memory_limit);
    else
        sonde__fail(context, SONDE_ERROR_MEMORY,
                    "%zu bytes more than the %zu held are not to be had", total,
                    sonde_context_memory_used(context));
}

void *sonde__alloc(sonde_context *context, size_t count, size_t size)
{
    void *block = sonde__alloc_quiet(context, count, size);
    if (!block)
        fail_allocation(context, count, size);
    return block;
}

void *sonde__alloc_zero(sonde_context *context, size_t count, size_t size)
{
    void *block = sonde__alloc(context, count, size);
    if (block)
        memset(block, 0, count * size);
    return block;
}

/* The content sits behind the old alignment gap; moves it when the new gap differs. */
static void *place_again(sonde_context *context, char *raw, size_t gap, size_t total, size_t keep,
                         size_t bytes)
{
    char *block = aligned_in(raw);
    if (block != raw + gap)
        memmove(block, raw + gap, keep);
    return place(context, raw, total, bytes);
}

void *sonde__resize(sonde_context *context, void *block, size_t count, size_t size)
{
    if (!block)
        return sonde__alloc(context, count, size);
    header old = *header_of(context, block);
    size_t bytes, total;
    if (!total_size(count, size, &bytes, &total)) {
        fail_allocation(context, count, size);
        return NULL;
    }
    if (total > old.total && !reserve(context, total - old.total)) {
        fail_allocation(context, count, size);
        return NULL;
    }
    size_t gap = (size_t)((char *)block - (char *)old.raw);
    size_t keep = bytes < old.size ? bytes : old.size;
    if (total < old.total) {
        /* Content must lie inside the part that is kept before the end is given up. */
        memmove((char *)old.raw + ALIGNMENT, block, keep);
        gap = ALIGNMENT;
    }
    char *raw = context->allocate(context->allocate_user, old.raw, old.total, total);
    if (!raw && total < old.total) {
        memmove(block, (char *)old.raw + ALIGNMENT, keep);
        place(context, old.raw, old.total, old.size);
        fail_allocation(context, count, size);
        return NULL;
    }
    if (!raw) {
        release(context, total - old.total);
        fail_allocation(context, count, size);
        return NULL;
    }
    if (total < old.total)
        release(context, old.total - total);
    return place_again(context, raw, gap, total, keep, bytes);
}

void sonde__free(sonde_context *context, void *block)
{
    if (!block)
        return;
    header *head = header_of(context, block);
    size_t total = head->total;
    void *raw = head->raw;
    head->context = NULL; /* a second free is caught by the assertion */
    context->allocate(context->allocate_user, raw, total, 0);
    release(context, total);
}

char *sonde__copy_string(sonde_context *context, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = sonde__alloc(context, size, 1);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

/* --- errors --------------------------------------------------------------------------------- */

const sonde_error *sonde_context_error(const sonde_context *context)
{
    return &context->error;
}

/* Copies what fits; never ends inside a UTF-8 sequence. */
static void copy_text(char *to, size_t room, const char *from)
{
    size_t length = strlen(from);
    if (length >= room) {
        length = room - 1;
        while (length > 0 && ((unsigned char)from[length] & 0xc0) == 0x80)
            length--;
    }
    memmove(to, from, length);
    to[length] = '\0';
}

/* A message is one line: names taken from files may hold line breaks and terminal codes. */
static void make_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

static sonde_status record(sonde_context *context, sonde_status status, const char *file,
                           const char *item, int64_t offset, const char *message)
{
    copy_text(context->message, sizeof context->message, message);
    make_one_line(context->message);
    copy_text(context->file, sizeof context->file, file ? file : "");
    copy_text(context->item, sizeof context->item, item ? item : "");
    context->error.status = status;
    context->error.offset = offset;
    return status;
}

sonde_status sonde__fail(sonde_context *context, sonde_status status, const char *format, ...)
{
    char message[MESSAGE_MAX]; /* apart, since the arguments may be the last error's strings */
    va_list arguments;
    va_start(arguments, format);
    sonde__vformat(message, sizeof message, format, arguments);
    va_end(arguments);
    return record(context, status, NULL, NULL, -1, message);
}

sonde_status sonde__fail_at(sonde_context *context, sonde_status status, const char *file,
                            const char *item, int64_t offset, const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    sonde__vformat(message, sizeof message, format, arguments);
    va_end(arguments);
    return record(context, status, file, item, offset, message);
}

sonde_status sonde__status_of_errno(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return SONDE_ERROR_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return SONDE_ERROR_NO_SPACE;
    case ENOMEM:
        return SONDE_ERROR_MEMORY;
    case EOVERFLOW:
        return SONDE_ERROR_OVERFLOW;
    case EAGAIN:
    case EBUSY:
    case ETXTBSY:
        return SONDE_ERROR_LOCKED;
    default:
        return SONDE_ERROR_FILE;
    }
}

sonde_status sonde__fail_errno(sonde_context *context, const char *path, const char *what)
{
    int error = errno;
    return sonde__fail_at(context, sonde__status_of_errno(error), path, NULL, -1,
                          "%s: cannot %s: %s", path, what, strerror(error));
}
