/*
 * Texts: windows of characters whose labels are the characters that follow.
 *
 * A text of N bytes gives (N - 1) / context examples that do not overlap: example i is bytes
 * [i c, i c + c), its labels are bytes [i c + 1, i c + c + 1). Characters are bytes; the vocabulary
 * are those that occur in the training or the test text, in ascending order, and an id is a byte's
 * place in it. A single file is cut: the last tenth is the test text.
 */
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "file/data_internal.h"

/* The part of a source that one data set is made of. */
typedef struct span {
    const uint8_t *bytes;
    size_t size;
} span;

typedef struct vocabulary {
    uint8_t ids[256];
    int count;
} vocabulary;

static vocabulary find_vocabulary(const span *spans, int count)
{
    bool occurs[256] = {false};
    vocabulary found = {{0}, 0};
    for (int s = 0; s < count; s++)
        for (size_t i = 0; i < spans[s].size; i++)
            occurs[spans[s].bytes[i]] = true;
    for (int byte = 0; byte < 256; byte++)
        if (occurs[byte])
            found.ids[byte] = (uint8_t)found.count++;
    return found;
}

sonde_status sonde__dataset_text(sonde_context *context, const char *name, size_t count,
                                 size_t tokens, int classes, sonde__dataset **out)
{
    SONDE_TRY(sonde__dataset_new(context, name, classes, out));
    sonde__dataset *dataset = *out;
    dataset->count = count;
    dataset->channels = dataset->width = 1;
    dataset->height = (int)tokens;
    dataset->rows = (int)tokens;
    dataset->text = true;
    dataset->bytes = sonde__alloc(context, count, tokens);
    if (!dataset->bytes)
        return sonde_context_error(context)->status;
    dataset->labels = sonde__alloc(context, count, tokens * sizeof *dataset->labels);
    return dataset->labels ? SONDE_OK : sonde_context_error(context)->status;
}

static sonde_status cut_windows(sonde_context *context, const span *text, const vocabulary *words,
                                size_t tokens, sonde__dataset **out)
{
    const size_t count = (text->size - 1) / tokens;
    SONDE_TRY(sonde__dataset_text(context, "text", count, tokens, words->count, out));
    for (size_t i = 0; i < count * tokens; i++) {
        (*out)->bytes[i] = words->ids[text->bytes[i]];
        (*out)->labels[i] = words->ids[text->bytes[i + 1]];
    }
    return SONDE_OK;
}

sonde_status sonde__text_parse(sonde_context *context, const sonde__source *train,
                               const sonde__source *test, size_t tokens,
                               sonde__dataset **train_part, sonde__dataset **test_part)
{
    span spans[2] = {{train->bytes, train->size}, {NULL, 0}};
    if (test) {
        spans[1] = (span){test->bytes, test->size};
    } else {
        spans[0].size = train->size - train->size / 10;
        spans[1] = (span){train->bytes + spans[0].size, train->size / 10};
    }
    if (tokens < 1 || tokens > SONDE__CONTEXT_MAX)
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "context", -1,
                              "a context of %zu characters; 1 to %d are possible", tokens,
                              SONDE__CONTEXT_MAX);
    if (spans[0].size < tokens + 1)
        return sonde__fail_at(
            context, SONDE_ERROR_FORMAT, train->path, NULL, -1,
            "%s: %zu bytes to train on are too few for examples of %zu characters", train->path,
            spans[0].size, tokens);
    const vocabulary words = find_vocabulary(spans, 2);
    if (words.count < 2)
        return sonde__fail_at(context, SONDE_ERROR_FORMAT, train->path, NULL, -1,
                              "%s: the same character everywhere; there is nothing to predict",
                              train->path);
    SONDE_TRY(cut_windows(context, &spans[0], &words, tokens, train_part));
    if (spans[1].size < tokens + 1) /* a test text that is too short is none */
        return SONDE_OK;
    return cut_windows(context, &spans[1], &words, tokens, test_part);
}

static sonde_status read_text(sonde_context *context, const char *path, sonde__source *source)
{
    SONDE_TRY(sonde__source_read(context, path, source));
    return sonde__source_unpack(context, source, SONDE__SOURCE_MAX);
}

/* Paths of a folder's texts; `*test` stays NULL where there is none. */
static sonde_status find_texts(sonde_context *context, const char *folder, char **train,
                               char **test)
{
    static const char *const train_names[] = {"train.txt", "input.txt", NULL};
    static const char *const test_names[] = {"test.txt", NULL};
    struct stat about;
    if (stat(folder, &about) != 0 || !S_ISDIR(about.st_mode)) {
        *train = sonde__copy_string(context, folder);
        return *train ? SONDE_OK : SONDE_ERROR_MEMORY;
    }
    SONDE_TRY(sonde__source_find(context, folder, train_names, train));
    const sonde_status status = sonde__source_find(context, folder, test_names, test);
    return status == SONDE_ERROR_NOT_FOUND ? SONDE_OK : status;
}

sonde_status sonde__load_text(sonde_context *context, const sonde__data_request *request,
                              sonde__dataset **train, sonde__dataset **test)
{
    sonde__source sources[2] = {{0}};
    char *paths[2] = {NULL, NULL};
    const size_t tokens = request->tokens ? request->tokens : SONDE__CONTEXT;
    sonde_status status;
    SONDE_TRY_CLEAN(find_texts(context, request->folder, &paths[0], &paths[1]));
    SONDE_TRY_CLEAN(read_text(context, paths[0], &sources[0]));
    if (paths[1])
        SONDE_TRY_CLEAN(read_text(context, paths[1], &sources[1]));
    SONDE_TRY_CLEAN(sonde__text_parse(context, &sources[0], paths[1] ? &sources[1] : NULL, tokens,
                                      train, test));
cleanup:
    for (int i = 0; i < 2; i++) {
        sonde__source_free(context, &sources[i]);
        sonde__free(context, paths[i]);
    }
    return status;
}
