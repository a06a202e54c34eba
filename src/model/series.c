/*
 * Which files of a folder are checkpoints of one run, and in which order.
 *
 * A folder of checkpoints is listed, not searched: model files in it, and of each sub-folder the one
 * model that it holds. Shards count once, by their index; side files and what trainers save beside a
 * model (optimizer, schedule, random state) do not count. Epochs are the numbers in the names where
 * every name has one and all differ; else the order of the names, in which numbers count as such
 * ("step-9" before "step-10").
 */
#include "model/series.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/text.h"
#include "file/model_internal.h"
#include "model/matrices.h"

static const char *const ENDS[] = {".safetensors", ".gguf", ".pt",  ".pth", ".th",
                                   ".bin",         ".ckpt", ".npz", ".npy"};
static const char INDEX_END[] = ".index.json";

/* --- names -------------------------------------------------------------------------------------- */

static bool ends_in(const char *text, size_t length, const char *end)
{
    const size_t tail = strlen(end);
    return length > tail && memcmp(text + length - tail, end, tail) == 0;
}

/* Length of the path without the end that says its format ("a/model.safetensors.index.json": that of
 * "a/model"). */
static size_t stem_length(const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (ends_in(path, length, INDEX_END))
        length -= strlen(INDEX_END);
    for (size_t i = 0; i < sizeof ENDS / sizeof *ENDS; i++)
        if (ends_in(path, length, ENDS[i]))
            return length - strlen(ENDS[i]);
    return length;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "model-00002-of-00005" */
static bool is_shard(const char *name, size_t length)
{
    enum { TAIL = 15 }; /* "-00002-of-00005" */
    static const char PATTERN[] = "-00000-of-00000";
    if (length <= TAIL)
        return false;
    for (size_t i = 0; i < TAIL; i++) {
        const char c = name[length - TAIL + i];
        if (PATTERN[i] == '0' ? !is_digit(c) : c != PATTERN[i])
            return false;
    }
    return true;
}

/* What trainers write beside a model. */
static bool is_training_state(const char *name)
{
    static const char *const BEGINNINGS[] = {"optimizer", "scheduler",      "rng_state",
                                             "scaler.",   "training_args.", "trainer_state"};
    for (size_t i = 0; i < sizeof BEGINNINGS / sizeof *BEGINNINGS; i++)
        if (strncmp(name, BEGINNINGS[i], strlen(BEGINNINGS[i])) == 0)
            return true;
    return false;
}

static bool is_checkpoint_name(const char *name)
{
    const size_t length = strlen(name), stem = stem_length(name);
    const bool index = ends_in(name, length, INDEX_END);
    if (name[0] == '.' || (stem == length && !index) || is_training_state(name))
        return false;
    return !ends_in(name, stem, ".probe") && (index || !is_shard(name, stem));
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The only run of digits in a word; -1 where there is none, or several as in a hash ("12fca82f"). */
static int64_t number_of_word(const char *word, size_t length)
{
    int64_t value = -1;
    size_t digits = 0;
    for (size_t i = 0; i < length; i++) {
        if (!is_digit(word[i]))
            continue;
        if (digits > 0 && !is_digit(word[i - 1]))
            return -1;
        if (++digits > 18)
            return -1;
        value = (digits > 1 ? 10 * value : 0) + (word[i] - '0');
    }
    return value;
}

/* Of the last word of text[0 .. length) that has one, or -1. */
static int64_t last_number(const char *text, size_t length)
{
    int64_t value = -1;
    for (size_t end = length; end > 0 && value < 0;) {
        while (end > 0 && !is_word(text[end - 1]))
            end--;
        size_t begin = end;
        while (begin > 0 && is_word(text[begin - 1]))
            begin--;
        value = number_of_word(text + begin, end - begin);
        end = begin;
    }
    return value;
}

/* The part of path[0 .. *length) behind its last slash, which is cut off. */
static const char *last_part(const char *path, size_t *length)
{
    size_t begin = *length;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    *length -= begin;
    return path + begin;
}

/* Of the file's name, else, where `folders` count, of the folder it lies in. */
static int64_t epoch_of(const char *path, bool folders)
{
    size_t length = stem_length(path);
    const char *const name = last_part(path, &length);
    const int64_t own = last_number(name, length);
    if (own >= 0 || name == path || !folders)
        return own;
    length = (size_t)(name - path) - 1;
    const char *const folder = last_part(path, &length);
    return last_number(folder, length);
}

static size_t skip_zeros(const char **text)
{
    while (**text == '0' && is_digit((*text)[1]))
        (*text)++;
    return strspn(*text, "0123456789");
}

/* Like strcmp, but runs of digits compare as numbers. */
static int compare_natural(const char *a, const char *b)
{
    while (*a && *b) {
        if (is_digit(*a) && is_digit(*b)) {
            const size_t left = skip_zeros(&a), right = skip_zeros(&b);
            const int order = left != right ? (left < right ? -1 : 1) : strncmp(a, b, left);
            if (order != 0)
                return order;
            a += left;
            b += right;
        } else if (*a != *b) {
            break;
        } else {
            a++;
            b++;
        }
    }
    return (unsigned char)*a - (unsigned char)*b;
}

/* --- the list ----------------------------------------------------------------------------------- */

/* The side file of a path's stem, or NULL. */
static sonde_status find_probe(sonde_context *context, const char *path, char **probe)
{
    static const char *const PROBES[] = {".probe.npz", ".probe.safetensors"};
    for (size_t i = 0; i < sizeof PROBES / sizeof *PROBES && !*probe; i++) {
        char *const name =
            sonde__format_string(context, "%.*s%s", (int)stem_length(path), path, PROBES[i]);
        if (!name)
            return sonde_context_error(context)->status;
        if (sonde__path_exists(name))
            *probe = name;
        else
            sonde__free(context, name);
    }
    return SONDE_OK;
}

/* `folder`: the checkpoint's own, whose name may be that of the side file, or NULL. `folders`: whether
 * the name of the folder that it lies in may give the epoch. */
static sonde_status add(sonde__series *series, size_t *capacity, const char *path,
                        const char *folder, bool folders)
{
    sonde_context *const context = series->context;
    if (series->count == *capacity) {
        const size_t larger = *capacity ? 2 * *capacity : 16;
        sonde__checkpoint *const all =
            sonde__resize(context, series->checkpoints, larger, sizeof *all);
        if (!all)
            return sonde_context_error(context)->status;
        series->checkpoints = all;
        *capacity = larger;
    }
    sonde__checkpoint *const made = &series->checkpoints[series->count];
    *made = (sonde__checkpoint){.path = sonde__copy_string(context, path),
                                .epoch = epoch_of(path, folders)};
    if (!made->path)
        return sonde_context_error(context)->status;
    series->count++;
    SONDE_TRY(find_probe(context, path, &made->probe));
    return folder && !made->probe ? find_probe(context, folder, &made->probe) : SONDE_OK;
}

static int by_epoch(const void *a, const void *b)
{
    const sonde__checkpoint *const left = a, *const right = b;
    if (left->epoch != right->epoch)
        return left->epoch < right->epoch ? -1 : 1;
    return compare_natural(left->path, right->path);
}

static int by_name(const void *a, const void *b)
{
    const sonde__checkpoint *const left = a, *const right = b;
    return compare_natural(left->path, right->path);
}

/* Ascending, and every epoch once. */
static void order(sonde__series *series)
{
    bool numbered = true;
    qsort(series->checkpoints, series->count, sizeof *series->checkpoints, by_epoch);
    for (size_t i = 0; i < series->count; i++)
        if (series->checkpoints[i].epoch < 0 ||
            (i > 0 && series->checkpoints[i].epoch == series->checkpoints[i - 1].epoch))
            numbered = false;
    if (numbered)
        return;
    qsort(series->checkpoints, series->count, sizeof *series->checkpoints, by_name);
    for (size_t i = 0; i < series->count; i++)
        series->checkpoints[i].epoch = (int64_t)i + 1;
}

void sonde__series_free(sonde__series *series)
{
    for (size_t i = 0; i < series->count; i++) {
        sonde__free(series->context, series->checkpoints[i].path);
        sonde__free(series->context, series->checkpoints[i].probe);
    }
    sonde__free(series->context, series->checkpoints);
    series->checkpoints = NULL;
    series->count = 0;
}

sonde_status sonde__series_of_paths(sonde_context *context, const char *const *paths, size_t count,
                                    sonde__series *series)
{
    sonde__series made = {.context = context};
    size_t capacity = 0;
    sonde_status status = SONDE_OK;
    for (size_t i = 0; i < count && status == SONDE_OK; i++)
        status = add(&made, &capacity, paths[i], NULL, true);
    if (status != SONDE_OK) {
        sonde__series_free(&made);
        return status;
    }
    if (made.count > 0)
        order(&made);
    *series = made;
    return SONDE_OK;
}

/* --- folders ------------------------------------------------------------------------------------ */

/* The model of a sub-folder, where it holds just one. */
static sonde_status add_folder(sonde__series *series, size_t *capacity, const char *folder)
{
    char *model = NULL;
    sonde_status status = sonde__model_in_folder(series->context, folder, &model);
    if (status == SONDE_ERROR_NOT_FOUND || status == SONDE_ERROR_ARGUMENT)
        return SONDE_OK;
    if (status == SONDE_OK)
        status = add(series, capacity, model, folder, true);
    sonde__free(series->context, model);
    return status;
}

static sonde_status add_entry(sonde__series *series, size_t *capacity, const char *folder,
                              const char *name)
{
    struct stat about;
    if (name[0] == '.')
        return SONDE_OK;
    char *const path = sonde__path_join(series->context, folder, name);
    if (!path)
        return sonde_context_error(series->context)->status;
    sonde_status status = SONDE_OK;
    if (stat(path, &about) == 0) {
        if (S_ISDIR(about.st_mode))
            status = add_folder(series, capacity, path);
        else if (S_ISREG(about.st_mode) && is_checkpoint_name(name))
            status = add(series, capacity, path, NULL, false);
    }
    sonde__free(series->context, path);
    return status;
}

sonde_status sonde__series_of_folder(sonde_context *context, const char *folder,
                                     sonde__series *series)
{
    sonde__series made = {.context = context};
    size_t capacity = 0;
    sonde_status status = SONDE_OK;
    DIR *const opened = opendir(folder);
    if (!opened)
        return sonde__fail_errno(context, folder, "be opened");
    for (struct dirent *entry; status == SONDE_OK && (entry = readdir(opened));)
        status = add_entry(&made, &capacity, folder, entry->d_name);
    closedir(opened);
    if (status == SONDE_OK && made.count == 0)
        status = sonde__fail_at(context, SONDE_ERROR_NOT_FOUND, folder, NULL, -1,
                                "%s: holds no checkpoint: neither a model file nor a folder with "
                                "one in it",
                                folder);
    if (status != SONDE_OK) {
        sonde__series_free(&made);
        return status;
    }
    order(&made);
    *series = made;
    return SONDE_OK;
}
