/*
 * Models in several files by their index, and the model file of a folder.
 *
 * Invariant: no file is opened that does not lie in the index's folder. shards_index.c has refused
 * names that leave it; here links are followed, and where they end must be in the folder too, or
 * among the blobs of the Hugging Face cache that the folder is a snapshot of
 * (models--X/snapshots/REV/FILE -> ../../blobs/HASH).
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "file/model_internal.h"
#include "file/shards_internal.h"

/* --- where links lead --------------------------------------------------------------------------- */

/* `path` lies below `folder`; both are without links, `folder` without a slash at its end. */
static bool lies_in(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    if (strcmp(folder, "/") == 0)
        return path[0] == '/';
    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

/* Cuts ".../models--X/snapshots/REV..." to ".../models--X/blobs"; false for other folders. */
static bool blobs_of(const char *folder, char *blobs)
{
    static const char snapshots[] = "/snapshots/";
    const char *found = NULL;
    for (const char *next = strstr(folder, snapshots); next; next = strstr(next + 1, snapshots))
        found = next;
    if (!found)
        return false;
    size_t length = (size_t)(found - folder), start = length;
    while (start > 0 && folder[start - 1] != '/')
        start--;
    bool named = strncmp(folder + start, "models--", 8) == 0 ||
                 strncmp(folder + start, "datasets--", 10) == 0 ||
                 strncmp(folder + start, "spaces--", 8) == 0;
    if (!named || length + sizeof "/blobs" > PATH_MAX)
        return false;
    snprintf(blobs, PATH_MAX, "%.*s/blobs", (int)length, folder);
    return true;
}

static sonde_status fail_missing(sonde_context *context, const char *path, const char *index)
{
    if (errno != ENOENT && errno != ENOTDIR)
        return sonde__fail_errno(context, path, "be opened");
    if (!index)
        return sonde__fail_at(context, SONDE_ERROR_NOT_FOUND, path, NULL, -1,
                              "%s: is missing, or a link that leads nowhere", path);
    return sonde__fail_at(context, SONDE_ERROR_NOT_FOUND, path, NULL, -1,
                          "%s: is missing, or a link that leads nowhere; the index %s names it",
                          path, index);
}

sonde_status sonde__check_inside(sonde_context *context, const char *folder, const char *path,
                                 const char *index)
{
    char real_folder[PATH_MAX], real[PATH_MAX], blobs[PATH_MAX];
    if (!realpath(folder, real_folder))
        return sonde__fail_errno(context, folder, "be opened");
    if (!realpath(path, real))
        return fail_missing(context, path, index);
    if (lies_in(real, real_folder))
        return SONDE_OK;
    if (blobs_of(real_folder, blobs) && lies_in(real, blobs) &&
        !strchr(real + strlen(blobs) + 1, '/'))
        return SONDE_OK;
    return sonde__fail_at(context, SONDE_ERROR_FILE, path, NULL, -1,
                          "%s: is a link that leads out of its folder, to %s; it is not opened. "
                          "Copy the file into the folder if it belongs there",
                          path, real);
}

/* --- opening and checking ----------------------------------------------------------------------- */

/* What belongs together while shards are opened. */
typedef struct opening {
    sonde_context *context;
    sonde_model *model;
    const char *path; /* of the index */
    char *folder;
    sonde__index index;
    sonde__shard_fn open_shard;
    void *user;
} opening;

static char *folder_of(sonde_context *context, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 1;
    if (slash == path)
        length = 1;
    char *folder = sonde__alloc(context, length + 1, 1);
    if (!folder)
        return NULL;
    memcpy(folder, slash ? path : ".", length);
    folder[length] = '\0';
    return folder;
}

static sonde_status open_one(const opening *o, sonde__mapping *first)
{
    char *path = strchr(o->path, '/') ? sonde__path_join(o->context, o->folder, first->shard)
                                      : sonde__copy_string(o->context, first->shard);
    if (!path)
        return sonde_context_error(o->context)->status;
    first->begin = (uint32_t)sonde_model_count(o->model);
    sonde_status status = sonde__check_inside(o->context, o->folder, path, o->path);
    if (status == SONDE_OK)
        status = o->open_shard(o->user, path);
    first->end = (uint32_t)sonde_model_count(o->model);
    sonde__free(o->context, path);
    return status;
}

/* The pair's tensor must have come from the pair's shard, and no other pair may have named it. */
static sonde_status check_pair(const opening *o, const sonde__mapping *pair, uint8_t *named)
{
    size_t at;
    sonde_tensor tensor;
    const sonde__mapping *shard = &o->index.map[pair->first];
    if (!sonde__model_lookup(o->model, pair->tensor, strlen(pair->tensor), &at))
        return sonde__fail_at(o->context, SONDE_ERROR_NOT_FOUND, o->path, pair->tensor, -1,
                              "%s: tensor '%.200s' should be in %s and is not there", o->path,
                              pair->tensor, pair->shard);
    SONDE_TRY(sonde_model_tensor(o->model, at, &tensor));
    if (at < shard->begin || at >= shard->end)
        return sonde__fail_at(o->context, SONDE_ERROR_FORMAT, o->path, pair->tensor, -1,
                              "%s: tensor '%.200s' should be in %s and is in %s", o->path,
                              pair->tensor, pair->shard, tensor.file);
    if (named[at])
        return sonde__fail_at(o->context, SONDE_ERROR_FORMAT, o->path, pair->tensor, -1,
                              "%s: tensor '%.200s' is in the index twice", o->path, pair->tensor);
    named[at] = 1;
    return SONDE_OK;
}

static sonde_status warn_unnamed(const opening *o, const uint8_t *named)
{
    size_t count = 0, first = 0;
    sonde_tensor tensor;
    for (size_t i = 0; i < sonde_model_count(o->model); i++)
        if (!named[i] && count++ == 0)
            first = i;
    if (count == 0)
        return SONDE_OK;
    SONDE_TRY(sonde_model_tensor(o->model, first, &tensor));
    return sonde__model_warn(o->model,
                             "%s does not name %zu of the tensors in its shards; the first is "
                             "'%.200s' in %s",
                             o->path, count, tensor.name, tensor.file);
}

/* In PyTorch files tied tensors count once, which is known only later: less is no surprise there. */
static sonde_status warn_total(const opening *o)
{
    uint64_t sum = 0, total = (uint64_t)o->index.total_size;
    sonde_model_info info;
    sonde_tensor tensor;
    sonde_model_describe(o->model, &info);
    for (size_t i = 0; i < info.tensors; i++) {
        SONDE_TRY(sonde_model_tensor(o->model, i, &tensor));
        sum += tensor.bytes;
    }
    if (o->index.total_size < 0 || sum == total ||
        (total < sum && info.kind != SONDE_MODEL_SAFETENSORS))
        return SONDE_OK;
    return sonde__model_warn(o->model,
                             "%s gives the model's total_size as %llu bytes; its tensors have %llu",
                             o->path, (unsigned long long)total, (unsigned long long)sum);
}

static sonde_status check_map(const opening *o)
{
    uint8_t *named = sonde__alloc_zero(o->context, sonde_model_count(o->model), 1);
    if (!named)
        return sonde_context_error(o->context)->status;
    sonde_status status = SONDE_OK;
    for (size_t i = 0; i < o->index.count && status == SONDE_OK; i++)
        status = check_pair(o, &o->index.map[i], named);
    if (status == SONDE_OK)
        status = warn_unnamed(o, named);
    sonde__free(o->context, named);
    return status == SONDE_OK ? warn_total(o) : status;
}

static sonde_status read_text(sonde_context *context, const char *path, char **text, size_t *size)
{
    sonde__input *input = NULL;
    SONDE_TRY(sonde__input_open(context, path, &input));
    uint64_t bytes = sonde__input_size(input);
    sonde_status status = SONDE_OK;
    if (bytes > SONDE__INDEX_MAX)
        status = sonde__fail_at(context, SONDE_ERROR_UNSUPPORTED, path, NULL, -1,
                                "%s: has %llu bytes; of an index at most %d are read", path,
                                (unsigned long long)bytes, SONDE__INDEX_MAX);
    char *room = status == SONDE_OK ? sonde__alloc(context, (size_t)bytes + 1, 1) : NULL;
    if (status == SONDE_OK && !room)
        status = sonde_context_error(context)->status;
    if (status == SONDE_OK)
        status = sonde__input_read(input, "index", 0, room, (size_t)bytes);
    sonde__input_close(input);
    if (status != SONDE_OK) {
        sonde__free(context, room);
        return status;
    }
    *text = room;
    *size = (size_t)bytes;
    return SONDE_OK;
}

sonde_status sonde__shards_open(sonde_model *model, const char *index_path,
                                sonde__shard_fn open_shard, void *user)
{
    opening o = {.context = sonde__model_context(model),
                 .model = model,
                 .path = index_path,
                 .open_shard = open_shard,
                 .user = user};
    char *text = NULL;
    size_t size = 0;
    sonde_status status;
    SONDE_TRY_CLEAN(read_text(o.context, index_path, &text, &size));
    o.folder = folder_of(o.context, index_path);
    SONDE_TRY_CLEAN(o.folder ? SONDE_OK : sonde_context_error(o.context)->status);
    SONDE_TRY_CLEAN(sonde__index_parse(o.context, index_path, text, size, &o.index));
    for (size_t i = 0; i < o.index.count; i++)
        if (o.index.map[i].first == i)
            SONDE_TRY_CLEAN(open_one(&o, &o.index.map[i]));
    status = check_map(&o);
cleanup:
    sonde__index_free(o.context, &o.index);
    sonde__free(o.context, o.folder);
    sonde__free(o.context, text);
    return status;
}
