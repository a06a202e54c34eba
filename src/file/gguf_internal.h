/* What model_gguf.c (header, tensors) and gguf_metadata.c (keys and values) share: a cursor that
 * never leaves the file. */
#ifndef SONDE_FILE_GGUF_INTERNAL_H
#define SONDE_FILE_GGUF_INTERNAL_H

#include "base/text.h"
#include "file/model_internal.h"

enum {
    SONDE__GGUF_ALIGNMENT = 32,          /* where general.alignment is not given */
    SONDE__GGUF_ALIGNMENT_MAX = 1 << 20, /* 64 KiB is the largest in use */
    SONDE__GGUF_NAME_MAX = 65535         /* of keys and tensor names */
};

typedef struct sonde__gguf {
    sonde_model *model;
    sonde_context *context;
    const sonde__input *input;
    const char *path;
    int number;        /* of the input in the model */
    uint64_t at, size; /* the next byte; bytes of the file */
    uint8_t *window;   /* the piece of the file around `at` */
    uint64_t window_at;
    size_t window_bytes;
    uint64_t alignment;
} sonde__gguf;

/* At byte `offset`; `item` (may be NULL) is the tensor or key. */
sonde_status sonde__gguf_fail(const sonde__gguf *file, sonde_status status, const char *item,
                              uint64_t offset, const char *format, ...) SONDE_PRINTF(5, 6);
/* An unsigned number of 1 to 8 bytes; `what` names it where the file ends first. */
sonde_status sonde__gguf_take(sonde__gguf *file, const char *what, size_t bytes, uint64_t *value);
/* A length of 8 bytes and as many bytes, at most SONDE__GGUF_NAME_MAX, without NUL; added to `names`
 * with a NUL behind it. *start is where. */
sonde_status sonde__gguf_take_name(sonde__gguf *file, const char *what, sonde__text *names,
                                   size_t *start);
/* `count` items of at least `each` bytes must fit into what is left of the file. */
sonde_status sonde__gguf_check_count(const sonde__gguf *file, const char *what, uint64_t count,
                                     uint64_t each);
/* Key-value pairs, `count` of them: into the model's metadata, alignment into the file. */
sonde_status sonde__gguf_read_metadata(sonde__gguf *file, uint64_t count);

#endif
