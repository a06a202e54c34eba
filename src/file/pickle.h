/*
 * Python pickles as data: a bounded interpreter of the opcodes of protocols 0 to 5.
 *
 * It builds numbers, strings, tuples, lists, dictionaries and descriptions of tensors. Names of
 * Python objects are accepted from one fixed list, and what calling them would make is made here in
 * C; everything else is refused by its name. Nothing is looked up, imported or run.
 */
#ifndef SONDE_FILE_PICKLE_H
#define SONDE_FILE_PICKLE_H

#include "base/context.h"

typedef struct sonde__pickle sonde__pickle;
typedef struct sonde__pickle_value sonde__pickle_value;

typedef enum sonde__pickle_kind {
    SONDE__PICKLE_NONE,
    SONDE__PICKLE_BOOL,
    SONDE__PICKLE_INT,
    SONDE__PICKLE_BIG, /* an integer beyond 64 bits; `text`: its bytes, lowest first, or nothing */
    SONDE__PICKLE_FLOAT,
    SONDE__PICKLE_STRING, /* not ended by NUL, may hold some; of Python 2: bytes */
    SONDE__PICKLE_BYTES,
    SONDE__PICKLE_LIST,
    SONDE__PICKLE_TUPLE,
    SONDE__PICKLE_SET,
    SONDE__PICKLE_DICT,   /* `list` holds keys and values in turn */
    SONDE__PICKLE_GLOBAL, /* a name from the list */
    SONDE__PICKLE_OTHER,  /* what has no use here: a device, a layout, a NumPy array; `text` says */
    SONDE__PICKLE_STORAGE,
    SONDE__PICKLE_TENSOR
} sonde__pickle_kind;

typedef struct sonde__pickle_text {
    const char *bytes;
    size_t size;
} sonde__pickle_text;

typedef struct sonde__pickle_list {
    sonde__pickle_value **items;
    size_t count, room;
} sonde__pickle_list;

/* What a persistent id says about a storage; whether it exists is for the reader of the file to see. */
typedef struct sonde__pickle_storage {
    sonde__pickle_text key;
    const char *type; /* "FloatStorage" */
    unsigned number;  /* a sonde_number; 0 for bytes whose tensors have a format of their own */
    unsigned width;   /* bytes of an element */
    uint64_t count;   /* elements */
    uint64_t view_first, view_count; /* the part that a view of it has; otherwise all */
} sonde__pickle_storage;

typedef struct sonde__pickle_tensor {
    const sonde__pickle_storage *storage;
    unsigned number;
    int dims;
    uint64_t first; /* element, within the storage's view */
    const int64_t *shape, *strides;
} sonde__pickle_tensor;

struct sonde__pickle_global; /* pickle_internal.h */

struct sonde__pickle_value {
    uint8_t kind;  /* sonde__pickle_kind */
    uint8_t marks; /* pickle_internal.h; SONDE__PICKLE_VISITED is the caller's */
    uint32_t at;   /* offset of the opcode that made it */
    union {
        int64_t integer; /* also of BOOL */
        double real;
        sonde__pickle_text text;
        sonde__pickle_list list;
        const struct sonde__pickle_global *global;
        const sonde__pickle_storage *storage;
        const sonde__pickle_tensor *tensor;
    } as;
};

enum { SONDE__PICKLE_VISITED = 0x80 };

/* Where a pickle lies. `bytes` stay where they are until the pickle is freed. */
typedef struct sonde__pickle_source {
    const char *path;
    const char *item; /* names it in errors, or NULL */
    uint64_t offset;  /* of `bytes` in the file, or UINT64_MAX where it was packed */
    const uint8_t *bytes;
    size_t size;
    /* More follows in the file: when the bytes do not suffice, SONDE_ERROR_TRUNCATED is returned
     * and no error recorded. */
    bool more;
} sonde__pickle_source;

/* One pickle; *end (may be NULL) becomes the offset behind its STOP. */
sonde_status sonde__pickle_read(sonde_context *context, const sonde__pickle_source *source,
                                sonde__pickle **pickle, size_t *end);
/* NULL is legal. */
void sonde__pickle_free(sonde__pickle *pickle);
sonde__pickle_value *sonde__pickle_root(const sonde__pickle *pickle);
/* How many values were built: a measure of how long a walk over them may take. */
size_t sonde__pickle_values(const sonde__pickle *pickle);
/* Bytes of the stream that it was read from. */
size_t sonde__pickle_bytes(const sonde__pickle *pickle);
/* Every storage that a persistent id named, in order; several may have one key. */
const sonde__pickle_storage *const *sonde__pickle_storages(const sonde__pickle *pickle,
                                                           size_t *count);
/* Fails with the file, the pickle's name and the place of `value` (NULL: none). */
sonde_status sonde__pickle_fail(const sonde__pickle *pickle, const sonde__pickle_value *value,
                                sonde_status status, const char *format, ...) SONDE_PRINTF(4, 5);
/* A NumPy array, whose numbers are not kept. */
bool sonde__pickle_is_array(const sonde__pickle_value *value);
bool sonde__pickle_is_text(const sonde__pickle_value *value, const char *text);
/* The value of a string key of a dictionary, or NULL; later ones win, as in Python. */
sonde__pickle_value *sonde__pickle_get(const sonde__pickle_value *dict, const char *key);

#endif
