/*
 * Data sets: images or feature vectors with class labels, or texts, whole in memory.
 *
 * Pixels stay as the bytes of the file (a quarter of the memory) and become floats, normalised per
 * channel, batch by batch; Gaussian data and .npy features other than u1 images are floats. Every reader checks
 * sizes against what the file really holds and labels against the number of classes.
 */
#ifndef SONDE_FILE_DATASET_H
#define SONDE_FILE_DATASET_H

#include "base/context.h"

/* Characters of a text in an example: the default, the most. */
enum { SONDE__CHANNELS_MAX = 4, SONDE__CONTEXT = 64, SONDE__CONTEXT_MAX = 4096 };

typedef struct sonde__dataset {
    char name[64];
    size_t count;                /* examples */
    int channels, height, width; /* features: channels = number of features, 1, 1 */
    int classes;
    uint8_t *bytes;  /* count x channels x height x width, or NULL */
    float *floats;   /* the same shape, or NULL; exactly one of the two is set */
    int rows;        /* labels an example: 1, or the characters of a text */
    int32_t *labels; /* count x rows */
    /* Normalised value = (byte / 255 - mean) / deviation; unused for floats. From the training set,
     * also for its test set. */
    float mean[SONDE__CHANNELS_MAX], deviation[SONDE__CHANNELS_MAX];
    bool text;  /* bytes are ids, which are not normalised; an example is 1 x characters x 1 */
    bool image; /* crop and flip make sense */
    bool flip;  /* a mirrored example is still one of its class (not so for digits) */
} sonde__dataset;

typedef struct sonde__data_request {
    const char *name;   /* strokes, gauss-d1, gauss-d2, mnist, fashion-mnist, cifar-10, ... */
    const char *folder; /* for those read from files; NULL for generated ones */
    const char *train_features, *train_labels; /* npy: paths; relative to folder when given */
    const char *test_features, *test_labels;   /* npy: may be NULL, then there is no test part */
    size_t train_size, test_size; /* generated: examples; files: at most so many; 0: the default */
    double difficulty;  /* gauss-d1: delta; gauss-d2: t; strokes: distortion, 1 is the default */
    int classes;        /* generated: 8 for gauss, 10 for strokes; 0: the default */
    size_t tokens;      /* texts: characters of an example; 0: SONDE__CONTEXT */
    double label_noise; /* in [0, 1): share of training labels replaced by another class */
    uint64_t seed;
} sonde__data_request;

typedef struct sonde__data_info {
    const char *name, *summary;
    bool needs_folder;
} sonde__data_info;

/* The i-th known data set, or NULL past the end. */
const sonde__data_info *sonde__data_known(int index);
void sonde__data_request_init(sonde__data_request *request);
/* `*test` may come back NULL. Both are freed with sonde__dataset_free. */
sonde_status sonde__data_load(sonde_context *context, const sonde__data_request *request,
                              sonde__dataset **train, sonde__dataset **test);
void sonde__dataset_free(sonde_context *context, sonde__dataset *dataset);
/* Example `index` as normalised floats, channels x height x width. */
void sonde__dataset_example(const sonde__dataset *dataset, size_t index, float *out);

#endif
