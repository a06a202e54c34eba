/*
 * Reading a file at offsets: pread on a descriptor that was seen to be a regular file, or memcpy
 * from bytes in memory.
 *
 * Invariant: a read gives all the bytes asked for or an error. Short reads and signals are handled
 * here; a file that ends earlier than when it was opened is SONDE_ERROR_TRUNCATED.
 */
#include "file/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct sonde__input {
    sonde_context *context;
    char *path;
    int descriptor;       /* -1: in memory */
    const uint8_t *bytes; /* in memory, borrowed */
    uint64_t size;
};

static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a folder";
    if (S_ISFIFO(mode))
        return "a pipe (FIFO)";
    if (S_ISSOCK(mode))
        return "a socket";
    return S_ISREG(mode) ? NULL : "a device";
}

static sonde_status check_kind(sonde_context *context, const char *path, mode_t mode)
{
    const char *kind = kind_of(mode);
    if (!kind)
        return SONDE_OK;
    return sonde__fail_at(context, SONDE_ERROR_FILE, path, NULL, -1,
                          "%s: is %s, not a file; name a regular file", path, kind);
}

static sonde_status new_input(sonde_context *context, const char *path, sonde__input **out)
{
    sonde__input *input = sonde__alloc_zero(context, 1, sizeof *input);
    if (!input)
        return sonde_context_error(context)->status;
    input->context = context;
    input->descriptor = -1;
    input->path = sonde__copy_string(context, path);
    if (!input->path) {
        sonde__input_close(input);
        return sonde_context_error(context)->status;
    }
    *out = input;
    return SONDE_OK;
}

/* A model of shards has all of them open: with many, the usual limit of 1024 files may be too low. */
static sonde_status fail_open(const sonde__input *input)
{
    struct rlimit limit;
    if (errno == EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
        return sonde__fail_at(input->context, SONDE_ERROR_FILE, input->path, NULL, -1,
                              "%s: cannot be opened, as this program has %llu files open and may "
                              "not have more; every shard of a model takes one: raise the limit "
                              "(ulimit -n)",
                              input->path, (unsigned long long)limit.rlim_cur);
    if (errno == ENFILE)
        return sonde__fail_at(input->context, SONDE_ERROR_FILE, input->path, NULL, -1,
                              "%s: cannot be opened, as the machine has as many files open as it "
                              "may; close programs, or raise fs.file-max (ulimit -n is the limit "
                              "of one program)",
                              input->path);
    return sonde__fail_errno(input->context, input->path, "be opened");
}

/* Asked before the open as well: opening some devices does something. */
static sonde_status open_regular(sonde__input *input)
{
    struct stat about;
    if (stat(input->path, &about) != 0)
        return sonde__fail_errno(input->context, input->path, "be opened");
    SONDE_TRY(check_kind(input->context, input->path, about.st_mode));
    input->descriptor = open(input->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (input->descriptor < 0)
        return fail_open(input);
    if (fstat(input->descriptor, &about) != 0)
        return sonde__fail_errno(input->context, input->path, "be examined");
    SONDE_TRY(check_kind(input->context, input->path, about.st_mode));
    input->size = (uint64_t)about.st_size;
    return SONDE_OK;
}

sonde_status sonde__input_open(sonde_context *context, const char *path, sonde__input **out)
{
    sonde__input *input = NULL;
    SONDE_TRY(new_input(context, path, &input));
    sonde_status status = open_regular(input);
    if (status != SONDE_OK) {
        sonde__input_close(input);
        return status;
    }
    *out = input;
    return SONDE_OK;
}

sonde_status sonde__input_memory(sonde_context *context, const char *path, const void *bytes,
                                 size_t size, sonde__input **input)
{
    SONDE_TRY(new_input(context, path, input));
    (*input)->bytes = bytes;
    (*input)->size = size;
    return SONDE_OK;
}

void sonde__input_close(sonde__input *input)
{
    if (!input)
        return;
    if (input->descriptor >= 0)
        close(input->descriptor);
    sonde__free(input->context, input->path);
    sonde__free(input->context, input);
}

const char *sonde__input_path(const sonde__input *input)
{
    return input->path;
}

uint64_t sonde__input_size(const sonde__input *input)
{
    return input->size;
}

static sonde_status fail_short(const sonde__input *input, const char *item, uint64_t offset,
                               size_t size)
{
    return sonde__fail_at(input->context, SONDE_ERROR_TRUNCATED, input->path, item,
                          (int64_t)(offset < INT64_MAX ? offset : INT64_MAX),
                          "%s: %.200s%s%zu bytes are to be read at byte %llu of a file of %llu",
                          input->path, item ? item : "", item ? ": " : "", size,
                          (unsigned long long)offset, (unsigned long long)input->size);
}

static sonde_status read_descriptor(const sonde__input *input, const char *item, uint64_t offset,
                                    uint8_t *to, size_t size)
{
    enum { AT_ONCE = 1 << 30 }; /* Linux reads no more than 2 GiB in one call */
    while (size > 0) {
        ssize_t count =
            pread(input->descriptor, to, size < AT_ONCE ? size : AT_ONCE, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return sonde__fail_errno(input->context, input->path, "be read");
        if (count == 0)
            return sonde__fail_at(input->context, SONDE_ERROR_TRUNCATED, input->path, item,
                                  (int64_t)offset,
                                  "%s: %.200s%sthe file had %llu bytes when it was opened and now "
                                  "ends at byte %llu; is it being written?",
                                  input->path, item ? item : "", item ? ": " : "",
                                  (unsigned long long)input->size, (unsigned long long)offset);
        to += count;
        offset += (uint64_t)count;
        size -= (size_t)count;
    }
    return SONDE_OK;
}

sonde_status sonde__input_read(const sonde__input *input, const char *item, uint64_t offset,
                               void *to, size_t size)
{
    if (offset > input->size || size > input->size - offset)
        return fail_short(input, item, offset, size);
    if (size == 0)
        return SONDE_OK;
    if (input->descriptor >= 0)
        return read_descriptor(input, item, offset, to, size);
    memcpy(to, input->bytes + offset, size);
    return SONDE_OK;
}
