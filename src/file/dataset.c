/*
 * Data sets: the list of those known, and what all share: finding files, sizes, normalisation,
 * label noise.
 *
 * Invariant of a loaded set: exactly one of `bytes` and `floats` is set, every label lies in
 * [0, classes), and the test part has the training part's shape and normalisation.
 */
#include "file/dataset.h"

#include <math.h>
#include <string.h>

#include "base/path.h"
#include "base/random.h"
#include "base/text.h"
#include "file/data_internal.h"

typedef struct known {
    sonde__data_info info;
    sonde__loader_fn load;
} known;

static const known KNOWN[] = {
    {{"strokes", "28x28 digits drawn by a generator, any size (the default)", false},
     sonde__load_strokes},
    {{"gauss-d1", "Gaussian clusters, means on random halves of 100 coordinates", false},
     sonde__load_gauss},
    {{"gauss-d2", "Gaussian clusters, means on a simplex in 100 dimensions", false},
     sonde__load_gauss},
    {{"mnist", "28x28 handwritten digits (IDX files, plain or gzip)", true}, sonde__load_idx},
    {{"fashion-mnist", "28x28 pictures of clothes (IDX files, plain or gzip)", true},
     sonde__load_idx},
    {{"cifar-10", "32x32 colour pictures, 10 classes (binary records, plain or gzip)", true},
     sonde__load_cifar},
    {{"cifar-100", "32x32 colour pictures, 100 classes (binary records, plain or gzip)", true},
     sonde__load_cifar},
    {{"letters", "sentences of made-up words, for language models, any size", false},
     sonde__load_letters},
    {{"text", "characters of a file, or of train.txt and test.txt in a folder", true},
     sonde__load_text},
    {{"npy", "features and labels in .npy files", false}, sonde__load_npy},
};

enum { KNOWN_COUNT = sizeof KNOWN / sizeof *KNOWN };

const sonde__data_info *sonde__data_known(int index)
{
    return index >= 0 && index < KNOWN_COUNT ? &KNOWN[index].info : NULL;
}

void sonde__data_request_init(sonde__data_request *request)
{
    *request = (sonde__data_request){.name = "strokes", .seed = 1};
}

void sonde__dataset_free(sonde_context *context, sonde__dataset *dataset)
{
    if (!dataset)
        return;
    sonde__free(context, dataset->bytes);
    sonde__free(context, dataset->floats);
    sonde__free(context, dataset->labels);
    sonde__free(context, dataset);
}

/* --- for the readers ---------------------------------------------------------------------------- */

sonde_status sonde__source_find(sonde_context *context, const char *folder,
                                const char *const *names, char **path)
{
    static const char *const endings[] = {"", ".gz"};
    sonde__text tried;
    sonde__text_init(&tried, context);
    for (size_t i = 0; names[i]; i++)
        for (size_t e = 0; e < 2; e++) {
            sonde__text_free(&tried);
            sonde__text_format(&tried, "%s%s", names[i], endings[e]);
            if (sonde__text_status(&tried) != SONDE_OK)
                return sonde__text_status(&tried);
            char *found = sonde__path_join(context, folder, tried.bytes);
            if (!found) {
                sonde__text_free(&tried);
                return sonde_context_error(context)->status;
            }
            if (sonde__path_exists(found)) {
                sonde__text_free(&tried);
                *path = found;
                return SONDE_OK;
            }
            sonde__free(context, found);
        }
    sonde__text_free(&tried);
    return sonde__fail_at(context, SONDE_ERROR_NOT_FOUND, folder, names[0], -1,
                          "%s: holds neither %s nor %s.gz; is it the right folder?", folder,
                          names[0], names[0]);
}

sonde_status sonde__source_read(sonde_context *context, const char *path, sonde__source *source)
{
    void *bytes = NULL;
    size_t size = 0;
    SONDE_TRY(sonde__read_file(context, path, SONDE__SOURCE_MAX, &bytes, &size));
    *source = (sonde__source){path, bytes, size};
    return SONDE_OK;
}

void sonde__source_free(sonde_context *context, sonde__source *source)
{
    sonde__free(context, source->bytes);
    source->bytes = NULL;
    source->size = 0;
}

sonde_status sonde__dataset_new(sonde_context *context, const char *name, int classes,
                                sonde__dataset **dataset)
{
    sonde__dataset *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return sonde_context_error(context)->status;
    strncpy(made->name, name, sizeof made->name - 1);
    made->classes = classes;
    made->rows = 1;
    for (int c = 0; c < SONDE__CHANNELS_MAX; c++)
        made->deviation[c] = 1;
    *dataset = made;
    return SONDE_OK;
}

sonde_status sonde__check_label(sonde_context *context, const char *path, int64_t offset,
                                size_t index, int64_t label, int classes)
{
    if (label >= 0 && label < classes)
        return SONDE_OK;
    return sonde__fail_at(context, SONDE_ERROR_RANGE, path, NULL, offset,
                          "%s: the label of example %zu is %lld, not in 0..%d", path, index,
                          (long long)label, classes - 1);
}

/* --- what all sets share -------------------------------------------------------------------------- */

static sonde_status check_request(sonde_context *context, const sonde__data_request *request)
{
    if (!(request->label_noise >= 0 && request->label_noise < 1))
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "label noise %g is not in [0, 1): it is the share of wrong labels",
                           request->label_noise);
    if (!(request->difficulty >= 0 && request->difficulty < 1e6))
        return sonde__fail(context, SONDE_ERROR_RANGE, "difficulty %g is not in [0, 1000000)",
                           request->difficulty);
    if (request->classes < 0 || request->classes == 1)
        return sonde__fail(context, SONDE_ERROR_RANGE, "%d classes: 2 are needed at least",
                           request->classes);
    return SONDE_OK;
}

static size_t example_values(const sonde__dataset *dataset)
{
    return (size_t)dataset->channels * (size_t)dataset->height * (size_t)dataset->width;
}

/* Keeps the first `most` examples and gives the rest of the memory back. */
static void keep_first(sonde_context *context, sonde__dataset *dataset, size_t most)
{
    if (most == 0 || most >= dataset->count)
        return;
    size_t values = example_values(dataset);
    dataset->count = most;
    /* A refused shrink leaves the longer block, which serves as well. */
    uint8_t *bytes = dataset->bytes ? sonde__resize(context, dataset->bytes, most, values) : NULL;
    float *floats = dataset->floats
                        ? sonde__resize(context, dataset->floats, most, values * sizeof(float))
                        : NULL;
    int32_t *labels =
        sonde__resize(context, dataset->labels, most, (size_t)dataset->rows * sizeof *labels);
    dataset->bytes = bytes ? bytes : dataset->bytes;
    dataset->floats = floats ? floats : dataset->floats;
    dataset->labels = labels ? labels : dataset->labels;
}

/* Mean and deviation of byte / 255 over every pixel of a channel; sums of integers are exact. */
static void measure_channels(sonde__dataset *dataset)
{
    size_t plane = (size_t)dataset->height * (size_t)dataset->width;
    for (int c = 0; c < dataset->channels && c < SONDE__CHANNELS_MAX; c++) {
        uint64_t sum = 0, squares = 0;
        for (size_t i = 0; i < dataset->count; i++) {
            const uint8_t *pixels =
                dataset->bytes + (i * (size_t)dataset->channels + (size_t)c) * plane;
            uint64_t image_sum = 0, image_squares = 0;
            for (size_t p = 0; p < plane; p++) {
                image_sum += pixels[p];
                image_squares += (uint64_t)pixels[p] * pixels[p];
            }
            sum += image_sum;
            squares += image_squares;
        }
        double n = (double)dataset->count * (double)plane;
        double mean = (double)sum / n, variance = (double)squares / n - mean * mean;
        dataset->mean[c] = (float)(mean / 255);
        dataset->deviation[c] = variance > 1e-6 ? (float)(sqrt(variance) / 255) : 1;
    }
}

/* Symmetric noise: a chosen label becomes one of the other classes, each as likely. */
static void add_label_noise(sonde__dataset *dataset, double share, uint64_t seed)
{
    for (size_t i = 0; share > 0 && i < dataset->count * (size_t)dataset->rows; i++) {
        sonde__stream stream = sonde__stream_open(seed, SONDE__RANDOM_LABEL_NOISE, i);
        if (sonde__random_uniform(&stream) >= share)
            continue;
        uint64_t step = 1 + sonde__random_below(&stream, (uint64_t)dataset->classes - 1);
        dataset->labels[i] =
            (int32_t)(((uint64_t)dataset->labels[i] + step) % (uint64_t)dataset->classes);
    }
}

static sonde_status check_parts(sonde_context *context, const sonde__dataset *train,
                                const sonde__dataset *test)
{
    if (train->count == 0)
        return sonde__fail(context, SONDE_ERROR_FORMAT, "%s: the training part has no example",
                           train->name);
    if (test && (test->channels != train->channels || test->height != train->height ||
                 test->width != train->width))
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "%s: test examples are %d x %d x %d, training examples %d x %d x %d",
                           train->name, test->channels, test->height, test->width, train->channels,
                           train->height, train->width);
    if (test && !test->bytes != !train->bytes)
        return sonde__fail(context, SONDE_ERROR_SHAPE,
                           "%s: test and training features are not of the same type", train->name);
    return SONDE_OK;
}

static const known *find_known(const char *name)
{
    for (int i = 0; i < KNOWN_COUNT; i++)
        if (strcmp(KNOWN[i].info.name, name) == 0)
            return &KNOWN[i];
    return NULL;
}

static sonde_status find_loader(sonde_context *context, const sonde__data_request *request,
                                const known **found)
{
    *found = request->name ? find_known(request->name) : NULL;
    if (!*found)
        return sonde__fail_at(context, SONDE_ERROR_NOT_FOUND, NULL, request->name, -1,
                              "no data set is called '%s'; known are strokes, gauss-d1, gauss-d2, "
                              "mnist, fashion-mnist, cifar-10, cifar-100, letters, text and npy",
                              request->name ? request->name : "");
    if ((*found)->info.needs_folder && (!request->folder || !request->folder[0]))
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, request->name, -1,
                              "%s is read from files: name the folder they are in", request->name);
    return SONDE_OK;
}

sonde_status sonde__data_load(sonde_context *context, const sonde__data_request *request,
                              sonde__dataset **train, sonde__dataset **test)
{
    const known *found;
    sonde__dataset *train_part = NULL, *test_part = NULL;
    SONDE_TRY(check_request(context, request));
    SONDE_TRY(find_loader(context, request, &found));
    sonde_status status = found->load(context, request, &train_part, &test_part);
    if (status == SONDE_OK)
        status = check_parts(context, train_part, test_part);
    if (status != SONDE_OK) {
        sonde__dataset_free(context, train_part);
        sonde__dataset_free(context, test_part);
        return status;
    }
    keep_first(context, train_part, request->train_size);
    if (train_part->bytes && !train_part->text)
        measure_channels(train_part);
    add_label_noise(train_part, request->label_noise, request->seed);
    if (test_part) {
        keep_first(context, test_part, request->test_size);
        memcpy(test_part->mean, train_part->mean, sizeof test_part->mean);
        memcpy(test_part->deviation, train_part->deviation, sizeof test_part->deviation);
    }
    *train = train_part;
    *test = test_part;
    return SONDE_OK;
}

void sonde__dataset_example(const sonde__dataset *dataset, size_t index, float *out)
{
    size_t values = example_values(dataset);
    if (dataset->floats) {
        memcpy(out, dataset->floats + index * values, values * sizeof *out);
        return;
    }
    size_t plane = (size_t)dataset->height * (size_t)dataset->width;
    const uint8_t *pixels = dataset->bytes + index * values;
    for (size_t p = 0; dataset->text && p < plane; p++)
        out[p] = (float)pixels[p];
    if (dataset->text)
        return;
    for (int c = 0; c < dataset->channels; c++, pixels += plane, out += plane) {
        float scale = 1 / (255 * dataset->deviation[c]);
        float shift = dataset->mean[c] / dataset->deviation[c];
        for (size_t p = 0; p < plane; p++)
            out[p] = (float)pixels[p] * scale - shift;
    }
}
