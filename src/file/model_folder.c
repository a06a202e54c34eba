/*
 * Which file of a folder is the model: the usual names first, then the only file whose name looks
 * like a model's. Where several do, none is guessed.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/text.h"
#include "file/model_internal.h"
#include "file/shards_internal.h"

/* What Hugging Face's libraries write, in the order in which they look for it. */
static const char *const USUAL[] = {"model.safetensors.index.json", "model.safetensors",
                                    "pytorch_model.bin.index.json", "pytorch_model.bin",
                                    "adapter_model.safetensors"};
static const char *const ENDS[] = {".safetensors", ".gguf", ".pt",  ".pth",
                                   ".bin",         ".ckpt", ".npz", ".npy"};
static const char index_end[] = ".index.json";

enum { NAMES_SHOWN = 6 };

/* Names of a folder that may be models. */
typedef struct candidates {
    sonde_context *context;
    char **names;
    size_t count, room, indices;
} candidates;

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length > tail && strcmp(name + length - tail, end) == 0;
}

static bool looks_like_model(const char *name)
{
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++)
        if (ends_with(name, ENDS[i]))
            return true;
    return ends_with(name, index_end);
}

static sonde_status add_candidate(candidates *c, const char *name)
{
    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 16;
        void *names = sonde__resize(c->context, (void *)c->names, room, sizeof *c->names);
        if (!names)
            return sonde_context_error(c->context)->status;
        c->names = names;
        c->room = room;
    }
    char *copy = sonde__copy_string(c->context, name);
    if (!copy)
        return sonde_context_error(c->context)->status;
    c->names[c->count++] = copy;
    c->indices += ends_with(name, index_end);
    return SONDE_OK;
}

static bool is_file(sonde_context *context, const char *folder, const char *name)
{
    struct stat about;
    char *path = sonde__path_join(context, folder, name);
    bool is = path && stat(path, &about) == 0 && S_ISREG(about.st_mode);
    sonde__free(context, path);
    return is;
}

static int compare_names(const void *a, const void *b)
{
    char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static sonde_status list(candidates *c, const char *folder)
{
    DIR *opened = opendir(folder);
    if (!opened)
        return sonde__fail_errno(c->context, folder, "be opened");
    sonde_status status = SONDE_OK;
    for (struct dirent *entry; status == SONDE_OK && (entry = readdir(opened));)
        if (entry->d_name[0] != '.' && looks_like_model(entry->d_name) &&
            is_file(c->context, folder, entry->d_name))
            status = add_candidate(c, entry->d_name);
    closedir(opened);
    if (c->count > 1)
        qsort((void *)c->names, c->count, sizeof *c->names, compare_names);
    return status;
}

static sonde_status fail_ambiguous(const candidates *c, const char *folder)
{
    sonde__text text;
    sonde__text_init(&text, c->context);
    for (size_t i = 0; i < c->count && i < NAMES_SHOWN; i++)
        sonde__text_format(&text, "%s%.100s", i ? ", " : "", c->names[i]);
    if (c->count > NAMES_SHOWN)
        sonde__text_format(&text, " and %zu more", c->count - NAMES_SHOWN);
    sonde_status status = sonde__text_status(&text);
    if (status == SONDE_OK)
        status = sonde__fail_at(c->context, SONDE_ERROR_ARGUMENT, folder, NULL, -1,
                                "%s: holds several models (%s); name the one that is meant", folder,
                                text.bytes);
    sonde__text_free(&text);
    return status;
}

/* The usual name that is there, or the only index, or the only candidate. */
static sonde_status choose(const candidates *c, const char *folder, const char **chosen)
{
    for (size_t u = 0; u < sizeof USUAL / sizeof *USUAL; u++)
        for (size_t i = 0; i < c->count; i++)
            if (strcmp(c->names[i], USUAL[u]) == 0) {
                *chosen = c->names[i];
                return SONDE_OK;
            }
    if (c->count == 0)
        return sonde__fail_at(c->context, SONDE_ERROR_NOT_FOUND, folder, NULL, -1,
                              "%s: holds no model file (.safetensors, .gguf, .pt, .pth, .bin, "
                              ".ckpt, .npz, .npy or .index.json)",
                              folder);
    *chosen = c->names[0];
    for (size_t i = 0; i < c->count && c->indices == 1; i++)
        if (ends_with(c->names[i], index_end))
            *chosen = c->names[i];
    return c->count == 1 || c->indices == 1 ? SONDE_OK : fail_ambiguous(c, folder);
}

sonde_status sonde__model_in_folder(sonde_context *context, const char *folder, char **path)
{
    candidates c = {.context = context};
    const char *chosen = NULL;
    char *joined = NULL;
    sonde_status status;
    SONDE_TRY_CLEAN(list(&c, folder));
    SONDE_TRY_CLEAN(choose(&c, folder, &chosen));
    joined = sonde__path_join(context, folder, chosen);
    SONDE_TRY_CLEAN(joined ? SONDE_OK : sonde_context_error(context)->status);
    SONDE_TRY_CLEAN(sonde__check_inside(context, folder, joined, NULL));
    *path = joined;
    joined = NULL;
cleanup:
    sonde__free(context, joined);
    for (size_t i = 0; i < c.count; i++)
        sonde__free(context, c.names[i]);
    sonde__free(context, (void *)c.names);
    return status;
}
