/*
 * Shared by the data set readers: sources (files read whole, unpacked when they are gzip), and one
 * function a format that parses from memory, which the fuzzers call as well.
 */
#ifndef SONDE_FILE_DATA_INTERNAL_H
#define SONDE_FILE_DATA_INTERNAL_H

#include "file/dataset.h"

/* The bytes of one file, and the path for messages. `bytes` is a block of the context. */
typedef struct sonde__source {
    const char *path;
    uint8_t *bytes;
    size_t size;
} sonde__source;

/* No file of a data set may be, or unpack to, more than this. */
#define SONDE__SOURCE_MAX ((size_t)8 << 30)

/* --- gzip.c --------------------------------------------------------------------------------- */

bool sonde__is_gzip(const void *bytes, size_t size);
/*
 * Unpacks all members. Room grows with what really comes out, never with what is claimed; more than
 * `limit` bytes is SONDE_ERROR_FORMAT, a missing end SONDE_ERROR_TRUNCATED, a wrong checksum
 * SONDE_ERROR_CORRUPT.
 */
sonde_status sonde__gunzip(sonde_context *context, const char *path, const void *bytes, size_t size,
                           size_t limit, uint8_t **out, size_t *out_size);
/* The first bytes of packed content, at most `room`; fewer when it is shorter or damaged. */
sonde_status sonde__gunzip_head(sonde_context *context, const sonde__source *source, uint8_t *head,
                                size_t room, size_t *got);
/* Replaces packed bytes by their content; others stay. */
sonde_status sonde__source_unpack(sonde_context *context, sonde__source *source, size_t limit);

/* --- dataset.c ------------------------------------------------------------------------------ */

/* FOLDER/NAME or FOLDER/NAME.gz for the first of the names (NULL at the end) that exists. */
sonde_status sonde__source_find(sonde_context *context, const char *folder,
                                const char *const *names, char **path);
sonde_status sonde__source_read(sonde_context *context, const char *path, sonde__source *source);
void sonde__source_free(sonde_context *context, sonde__source *source);
/* An empty data set of that name. */
sonde_status sonde__dataset_new(sonde_context *context, const char *name, int classes,
                                sonde__dataset **dataset);
/* SONDE_ERROR_RANGE, with index and value, unless 0 <= label < classes. */
sonde_status sonde__check_label(sonde_context *context, const char *path, int64_t offset,
                                size_t index, int64_t label, int classes);

/* --- one a format: from memory ---------------------------------------------------------------- */

/* Fills an empty data set; takes the bytes of both sources, also on failure. */
sonde_status sonde__idx_parse(sonde_context *context, sonde__source *images, sonde__source *labels,
                              sonde__dataset *dataset);
/* Adds the records of one batch; a record is `label_bytes` labels (the last one counts) and pixels. */
sonde_status sonde__cifar_parse(sonde_context *context, sonde__source *batch, size_t label_bytes,
                                sonde__dataset *dataset);
/* Features and labels; `classes` 0: one more than the largest label. */
sonde_status sonde__npy_parse(sonde_context *context, sonde__source *features,
                              sonde__source *labels, int classes, sonde__dataset *dataset);

/* Windows of `tokens` characters of the training text and the test text (NULL: the last tenth of the
 * first); `*test_part` stays NULL where there is none. The sources stay the caller's. */
sonde_status sonde__text_parse(sonde_context *context, const sonde__source *train,
                               const sonde__source *test, size_t tokens,
                               sonde__dataset **train_part, sonde__dataset **test_part);
/* A text of `count` examples whose ids and labels the caller fills in. */
sonde_status sonde__dataset_text(sonde_context *context, const char *name, size_t count,
                                 size_t tokens, int classes, sonde__dataset **out);

/* --- one a family: loading ---------------------------------------------------------------------- */

typedef sonde_status (*sonde__loader_fn)(sonde_context *context, const sonde__data_request *request,
                                         sonde__dataset **train, sonde__dataset **test);
sonde_status sonde__load_idx(sonde_context *context, const sonde__data_request *request,
                             sonde__dataset **train, sonde__dataset **test);
sonde_status sonde__load_cifar(sonde_context *context, const sonde__data_request *request,
                               sonde__dataset **train, sonde__dataset **test);
sonde_status sonde__load_npy(sonde_context *context, const sonde__data_request *request,
                             sonde__dataset **train, sonde__dataset **test);
sonde_status sonde__load_gauss(sonde_context *context, const sonde__data_request *request,
                               sonde__dataset **train, sonde__dataset **test);
sonde_status sonde__load_strokes(sonde_context *context, const sonde__data_request *request,
                                 sonde__dataset **train, sonde__dataset **test);
sonde_status sonde__load_text(sonde_context *context, const sonde__data_request *request,
                              sonde__dataset **train, sonde__dataset **test);
sonde_status sonde__load_letters(sonde_context *context, const sonde__data_request *request,
                                 sonde__dataset **train, sonde__dataset **test);

/* Test examples of generated data have the stream indexes from here on. */
#define SONDE__TEST_INDEX ((uint64_t)1 << 40)
/* Things of a whole generated set, such as class means, have these. */
#define SONDE__SET_INDEX ((uint64_t)1 << 41)

#endif
