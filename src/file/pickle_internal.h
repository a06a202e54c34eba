/* What the files of the pickle interpreter share. */
#ifndef SONDE_FILE_PICKLE_INTERNAL_H
#define SONDE_FILE_PICKLE_INTERNAL_H

#include "file/pickle.h"

/* Marks of a value. */
enum {
    SONDE__PICKLE_ATTRIBUTES = 1, /* a dictionary whose class takes attributes (BUILD): dropped */
    SONDE__PICKLE_NAMESPACE = 2,  /* a dictionary that is filled by BUILD */
    SONDE__PICKLE_PARAMETER = 4,  /* a tensor that takes a state (BUILD): dropped */
    SONDE__PICKLE_NUMPY = 8,      /* a NumPy array or dtype that takes a state (BUILD) */
    SONDE__PICKLE_BIG_ENDIAN = 16 /* a NumPy dtype of that order */
};

typedef struct sonde__pickle_chunk {
    struct sonde__pickle_chunk *next;
    size_t used, room;
} sonde__pickle_chunk;

struct sonde__pickle {
    sonde_context *context;
    sonde__pickle_source source;
    sonde__pickle_chunk *chunks;
    size_t held;   /* bytes of all chunks */
    size_t values; /* that were built */
    sonde__pickle_value *root;
    const sonde__pickle_storage **storages; /* a block of the context */
    size_t storage_count, storage_room;
};

/* The machine: a stack with marks, and the memo. */
typedef struct sonde__unpickler {
    sonde__pickle *pickle;
    sonde_context *context;
    const uint8_t *bytes;
    size_t size, at; /* next byte */
    size_t opcode;   /* offset of the current one */
    bool ran_out;    /* of bytes, with more in the file */
    bool stopped;
    sonde__pickle_value **stack;
    size_t depth, stack_room;
    size_t *marks;
    size_t mark_count, mark_room;
    sonde__pickle_value **memo;
    size_t memo_count, memo_room;
} sonde__unpickler;

typedef sonde_status (*sonde__pickle_operation)(sonde__unpickler *u);

/* --- pickle_value.c: memory, values, stack ------------------------------------------------------ */

/* NULL, with the error recorded, on failure. Aligned to 8 bytes. */
void *sonde__pickle_alloc(sonde__pickle *pickle, size_t count, size_t size);
sonde__pickle_value *sonde__pickle_new(sonde__unpickler *u, sonde__pickle_kind kind);
sonde_status sonde__pickle_append(sonde__pickle *pickle, sonde__pickle_list *list,
                                  sonde__pickle_value *item);
sonde_status sonde__pickle_push(sonde__unpickler *u, sonde__pickle_value *value);
/* A new value of the kind on top of the stack. */
sonde_status sonde__pickle_push_new(sonde__unpickler *u, sonde__pickle_kind kind,
                                    sonde__pickle_value **value);
sonde_status sonde__pickle_push_text(sonde__unpickler *u, sonde__pickle_kind kind,
                                     const void *bytes, size_t size);
/* Fails when the stack is empty down to the last mark. */
sonde_status sonde__pickle_pop(sonde__unpickler *u, sonde__pickle_value **value);
sonde_status sonde__pickle_top(sonde__unpickler *u, sonde__pickle_value **value);
sonde_status sonde__pickle_mark(sonde__unpickler *u);
/* Takes all above the last mark off the stack, and the mark; `items` stay valid until the next
 * push. */
sonde_status sonde__pickle_pop_mark(sonde__unpickler *u, sonde__pickle_value ***items,
                                    size_t *count);
/* Growth of the machine's own arrays. */
sonde_status sonde__pickle_room(sonde__unpickler *u, void **block, size_t needed, size_t *room,
                                size_t size);

/* --- pickle.c: bytes and errors ----------------------------------------------------------------- */

/* Fails at the current opcode. */
sonde_status sonde__unpickle_fail(sonde__unpickler *u, sonde_status status, const char *format, ...)
    SONDE_PRINTF(3, 4);
/* The next `size` bytes of the stream. */
sonde_status sonde__pickle_take(sonde__unpickler *u, size_t size, const uint8_t **bytes);
/* A little-endian number of `size` (at most 8) bytes. */
sonde_status sonde__pickle_take_number(sonde__unpickler *u, size_t size, uint64_t *number);
/* Up to the next newline, which is taken too and not in `size`. */
sonde_status sonde__pickle_take_line(sonde__unpickler *u, const char **line, size_t *size);

/* --- the opcodes; NULL for those of others ------------------------------------------------------ */

sonde__pickle_operation sonde__pickle_scalar(uint8_t opcode); /* pickle_scalar.c */
sonde__pickle_operation sonde__pickle_object(uint8_t opcode); /* pickle_object.c */

/* --- pickle_global.c: the list ------------------------------------------------------------------ */

/* What a name on the list stands for. */
typedef enum sonde__pickle_role {
    SONDE__ROLE_NOTHING, /* may stand as a value, cannot be called */
    SONDE__ROLE_TENSOR_CLASS,
    SONDE__ROLE_DICT, /* OrderedDict, Counter */
    SONDE__ROLE_DEFAULT_DICT,
    SONDE__ROLE_NAMESPACE,
    SONDE__ROLE_SET,
    SONDE__ROLE_ENCODE, /* _codecs.encode: how Python 2's protocols carry bytes */
    SONDE__ROLE_OTHER,  /* called with anything, makes something of no use here */
    SONDE__ROLE_SIZE,   /* torch.Size: a tuple */
    SONDE__ROLE_TENSOR_1,
    SONDE__ROLE_TENSOR_2,
    SONDE__ROLE_TENSOR_3, /* with a number format of its own */
    SONDE__ROLE_PARAMETER,
    SONDE__ROLE_FROM_TYPE,
    SONDE__ROLE_STORAGE,
    SONDE__ROLE_DTYPE,
    SONDE__ROLE_NUMPY_DTYPE,
    SONDE__ROLE_NUMPY_SCALAR,
    SONDE__ROLE_FROM_CPU, /* a tensor of a device that the writer moved to the processor */
    SONDE__ROLE_NUMPY_ARRAY
} sonde__pickle_role;

typedef struct sonde__pickle_global {
    const char *module, *name;
    sonde__pickle_role role;
    unsigned number; /* of storages and dtypes: a sonde_number, or 0 */
    unsigned width;  /* of storages: bytes of an element */
} sonde__pickle_global;

/* NULL when it is not on the list. */
const sonde__pickle_global *sonde__pickle_find_global(sonde__pickle_text module,
                                                      sonde__pickle_text name);
/* What to say about a name that is not. */
const char *sonde__pickle_advice(sonde__pickle_text module, sonde__pickle_text name);

/* --- pickle_tensor.c: descriptions of tensors --------------------------------------------------- */

/* "module.name", with what a terminal might obey replaced, in room for SONDE__PICKLE_NAME bytes. */
enum { SONDE__PICKLE_NAME = 256 };
void sonde__pickle_show_name(char *to, sonde__pickle_text module, sonde__pickle_text name);

/* The value of a persistent id. */
sonde_status sonde__pickle_make_storage(sonde__unpickler *u, const sonde__pickle_value *id,
                                        sonde__pickle_value **value);
/* What the rebuild functions of torch._utils make of their arguments. */
sonde_status sonde__pickle_make_tensor(sonde__unpickler *u, sonde__pickle_role role,
                                       const sonde__pickle_list *arguments,
                                       sonde__pickle_value **value);

#endif
