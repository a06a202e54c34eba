/*
 * Files: atomic replacement, whole reads, folders. POSIX.
 *
 * Invariant of a replacement: until the rename succeeds the file at `path` is untouched, and no
 * failure leaves the temporary file behind.
 */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"

struct sonde__replacer {
    sonde_context *context;
    char *path, *temporary;
    int descriptor;
};

char *sonde__path_join(sonde_context *context, const char *folder, const char *name)
{
    size_t length = strlen(folder), size = length + strlen(name) + 2;
    char *joined = sonde__alloc(context, size, 1);
    if (!joined)
        return NULL;
    bool slash = length > 0 && folder[length - 1] != '/';
    snprintf(joined, size, "%s%s%s", folder, slash ? "/" : "", name);
    return joined;
}

bool sonde__path_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

/* Replacing a device or a FIFO by a plain file is never what was meant. */
static sonde_status check_replaceable(sonde_context *context, const char *path)
{
    struct stat about;
    if (path[0] == '\0')
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "the path of the file is empty");
    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode))
        return sonde__fail_at(context, SONDE_ERROR_FILE, path, NULL, -1,
                              "%s: is not a plain file; choose another name", path);
    return SONDE_OK;
}

sonde_status sonde__replace_open(sonde_context *context, const char *path, sonde__replacer **out)
{
    SONDE_TRY(check_replaceable(context, path));
    sonde__replacer *replacer = sonde__alloc_zero(context, 1, sizeof *replacer);
    if (!replacer)
        return sonde_context_error(context)->status;
    replacer->context = context;
    replacer->descriptor = -1;
    size_t room = strlen(path) + 32;
    replacer->path = sonde__copy_string(context, path);
    if (replacer->path)
        replacer->temporary = sonde__alloc(context, room, 1);
    sonde_status status = SONDE_OK;
    if (!replacer->path || !replacer->temporary) {
        status = sonde_context_error(context)->status;
    } else {
        snprintf(replacer->temporary, room, "%s.tmp-%ld", path, (long)getpid());
        replacer->descriptor =
            open(replacer->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (replacer->descriptor < 0)
            status = sonde__fail_errno(context, path, "be written");
    }
    if (status != SONDE_OK) {
        sonde__replace_abandon(replacer);
        return status;
    }
    *out = replacer;
    return SONDE_OK;
}

sonde_status sonde__replace_write(sonde__replacer *replacer, const void *bytes, size_t size)
{
    enum { AT_ONCE = 1 << 30 }; /* Linux writes no more than 2 GiB in one call */
    const char *next = bytes;
    while (size > 0) {
        ssize_t written = write(replacer->descriptor, next, size < AT_ONCE ? size : AT_ONCE);
        if (written < 0 && errno == EINTR)
            continue;
        if (written == 0)
            errno = ENOSPC;
        if (written <= 0)
            return sonde__fail_errno(replacer->context, replacer->path, "be written");
        next += written;
        size -= (size_t)written;
    }
    return SONDE_OK;
}

static int flush(int descriptor)
{
    int result;
    do
        result = fsync(descriptor);
    while (result != 0 && errno == EINTR);
    return result;
}

/* Makes the rename durable. Some file systems cannot flush a folder; that is no failure. */
static void flush_folder(char *path)
{
    char *slash = strrchr(path, '/');
    int descriptor;
    if (!slash) {
        descriptor = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } else {
        char kept = slash[1];
        slash[1] = '\0';
        descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        slash[1] = kept;
    }
    if (descriptor < 0)
        return;
    (void)flush(descriptor);
    close(descriptor);
}

static void free_replacer(sonde__replacer *replacer)
{
    sonde__free(replacer->context, replacer->path);
    sonde__free(replacer->context, replacer->temporary);
    sonde__free(replacer->context, replacer);
}

sonde_status sonde__replace_commit(sonde__replacer *replacer)
{
    int failed = flush(replacer->descriptor);
    if (failed == 0) {
        failed = close(replacer->descriptor);
        replacer->descriptor = -1;
    }
    if (failed == 0)
        failed = rename(replacer->temporary, replacer->path);
    if (failed != 0) {
        sonde_status status = sonde__fail_errno(replacer->context, replacer->path, "be written");
        sonde__replace_abandon(replacer);
        return status;
    }
    flush_folder(replacer->path);
    free_replacer(replacer);
    return SONDE_OK;
}

void sonde__replace_abandon(sonde__replacer *replacer)
{
    if (!replacer)
        return;
    if (replacer->descriptor >= 0)
        close(replacer->descriptor);
    if (replacer->temporary)
        (void)unlink(replacer->temporary);
    free_replacer(replacer);
}

sonde_status sonde__replace_file(sonde_context *context, const char *path, const void *bytes,
                                 size_t size)
{
    sonde__replacer *replacer = NULL;
    SONDE_TRY(sonde__replace_open(context, path, &replacer));
    sonde_status status = sonde__replace_write(replacer, bytes, size);
    if (status != SONDE_OK) {
        sonde__replace_abandon(replacer);
        return status;
    }
    return sonde__replace_commit(replacer);
}

/* Opens for reading; refuses what is not a plain file (a FIFO would block for ever). */
static sonde_status open_plain(sonde_context *context, const char *path, size_t limit,
                               int *descriptor, size_t *size)
{
    struct stat about;
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0)
        return sonde__fail_errno(context, path, "be opened");
    sonde_status status = SONDE_OK;
    if (fstat(opened, &about) != 0)
        status = sonde__fail_errno(context, path, "be examined");
    else if (!S_ISREG(about.st_mode))
        status = sonde__fail_at(context, SONDE_ERROR_FILE, path, NULL, -1,
                                "%s: is not a plain file", path);
    else if ((uintmax_t)about.st_size > limit)
        status = sonde__fail_at(context, SONDE_ERROR_RANGE, path, NULL, -1,
                                "%s: has %jd bytes; at most %zu are read", path,
                                (intmax_t)about.st_size, limit);
    if (status != SONDE_OK) {
        close(opened);
        return status;
    }
    *descriptor = opened;
    *size = (size_t)about.st_size;
    return SONDE_OK;
}

/* Up to `size` bytes; fewer when the file has become shorter meanwhile. */
static bool read_all(int descriptor, char *to, size_t size, size_t *got)
{
    enum { AT_ONCE = 1 << 30 };
    *got = 0;
    while (*got < size) {
        size_t left = size - *got;
        ssize_t count = read(descriptor, to + *got, left < AT_ONCE ? left : AT_ONCE);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return false;
        if (count == 0)
            break;
        *got += (size_t)count;
    }
    return true;
}

sonde_status sonde__read_file(sonde_context *context, const char *path, size_t limit, void **bytes,
                              size_t *size)
{
    int descriptor = -1;
    size_t expected = 0, got = 0;
    if (limit > SIZE_MAX - 1)
        limit = SIZE_MAX - 1;
    SONDE_TRY(open_plain(context, path, limit, &descriptor, &expected));
    sonde_status status = SONDE_OK;
    char *block = sonde__alloc(context, expected + 1, 1);
    if (!block)
        status = sonde_context_error(context)->status;
    else if (!read_all(descriptor, block, expected, &got))
        status = sonde__fail_errno(context, path, "be read");
    close(descriptor);
    if (status != SONDE_OK) {
        sonde__free(context, block);
        return status;
    }
    block[got] = '\0';
    *bytes = block;
    *size = got;
    return SONDE_OK;
}

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

sonde_status sonde__make_folder(sonde_context *context, const char *path)
{
    char *prefix = sonde__copy_string(context, path);
    if (!prefix)
        return sonde_context_error(context)->status;
    sonde_status status = SONDE_OK;
    size_t length = strlen(prefix);
    for (size_t i = 1; i <= length && status == SONDE_OK; i++) {
        if (prefix[i] != '/' && prefix[i] != '\0')
            continue;
        char kept = prefix[i];
        prefix[i] = '\0';
        if (mkdir(prefix, 0777) != 0) {
            int error = errno;
            if (!is_folder(prefix)) {
                errno = error;
                status = sonde__fail_errno(context, prefix, "be made as a folder");
            }
        } else {
            flush_folder(prefix); /* what is made durable inside needs its folder to be */
        }
        prefix[i] = kept;
    }
    sonde__free(context, prefix);
    return status;
}
