/*
 * What a model handle is made of, shared by the model_*.c files alone; format readers see
 * model_internal.h.
 *
 * Listing a model of 100,000 tensors must stay near 30 MB: a tensor is 56 bytes and its name and
 * sizes, which lie in chunks that never move, so that the caller's strings live as long as the
 * model. Invariant: every tensor in `tensors` has passed the checks of model_add.c: its furthest
 * element lies inside its storage, and its storage inside the file as it was when it was opened.
 */
#ifndef SONDE_FILE_MODEL_STATE_H
#define SONDE_FILE_MODEL_STATE_H

#include "file/model_internal.h"

/* Why a tensor is not read. */
typedef enum sonde__refusal {
    SONDE__READS = 0,
    SONDE__REFUSED_NUMBER, /* a number format that is not read */
    SONDE__REFUSED_SCALE,  /* f8 whose scale has a shape or format that does not fit */
    SONDE__REFUSED_SCALES  /* f8 with more than one tensor that could be its scale */
} sonde__refusal;

typedef struct sonde__record {
    const char *name;
    const int64_t *shape; /* `dims` of them; where not contiguous, as many strides behind them */
    uint64_t first, elements;
    uint32_t storage;
    uint32_t tied;  /* index + 1 of the first tensor with the same numbers, or 0 */
    uint32_t scale; /* index + 1 of the tensor that scales this one, or 0 */
    uint8_t number, dims;
    bool contiguous;
    uint8_t refusal;
} sonde__record;

typedef struct sonde__held {
    sonde__storage about;
    bool verified;
    uint8_t begun; /* times that unpacking it was begun, since it was last too large to keep */
} sonde__held;

typedef struct sonde__chunk {
    struct sonde__chunk *next;
    size_t used, room;
} sonde__chunk;

typedef struct sonde__pair {
    const char *key, *value;
} sonde__pair;

typedef struct sonde__unpacker sonde__unpacker;
typedef struct sonde__unpacked sonde__unpacked;

struct sonde_model {
    sonde_context *context;
    sonde_model_options options;
    sonde_model_kind kind; /* 0 until the first input was recognised */
    sonde__chunk *chunks;
    sonde__input **inputs;
    size_t input_count, input_room;
    sonde__held *storages;
    size_t storage_count, storage_room;
    sonde__record *tensors;
    size_t tensor_count, tensor_room;
    sonde__pair *metadata;
    size_t metadata_count, metadata_room;
    const char **warnings;
    size_t warning_count, warning_room;
    uint32_t *names; /* open hash table of index + 1, a power of two of them, at most half full */
    size_t names_room;
    uint8_t *staging;          /* SONDE__STAGING bytes on their way from file to number */
    sonde__unpacker *unpacker; /* of the deflated storage that was read last */
    sonde__unpacked *unpacked; /* deflated storages that are kept whole */
    size_t unpacked_bytes, unpacked_count;
    const char *index; /* path of the shard index that it was opened by; NULL: none */
};

/* Bytes that are read at once: enough to make a call cheap, few enough to stay in the cache. */
enum { SONDE__STAGING = 128 << 10 };

/* What elements become: numbers of the caller, or their own format, lowest byte first. */
typedef enum sonde__target { SONDE__TO_F64, SONDE__TO_F32, SONDE__TO_SELF } sonde__target;

/* --- model.c ---------------------------------------------------------------------------------- */

/* A model of nothing yet; NULL options: defaults. */
sonde_status sonde__model_new(sonde_context *context, const sonde_model_options *options,
                              sonde_model **model);
/* After all inputs were read: what tensors have to do with each other. */
sonde_status sonde__model_finish(sonde_model *model);

/* --- model_add.c ------------------------------------------------------------------------------ */

/* Room for `size` bytes, aligned for int64_t, that lives as long as the model. */
void *sonde__model_keep(sonde_model *model, size_t size);
/* The record of that name, or NULL. */
const sonde__record *sonde__model_named(const sonde_model *model, const char *name, size_t length);
/* A copy of the string that lives as long as the model, or NULL. */
const char *sonde__model_keep_string(sonde_model *model, const char *text);
const int64_t *sonde__record_strides(const sonde__record *record, int64_t *dense);

/* --- model_ties.c, model_scale.c -------------------------------------------------------------- */

sonde_status sonde__model_tie(sonde_model *model);
/* Finds the scales of f8 tensors; after the ties. */
sonde_status sonde__model_find_scales(sonde_model *model);
/* Multiplies elements [first, first + count), already in `out`, by the tensor's scale. */
sonde_status sonde__model_apply_scale(sonde_model *model, const sonde__record *record,
                                      uint64_t first, uint64_t count, sonde__target target,
                                      void *out);

/* --- model_detect.c --------------------------------------------------------------------------- */

/* Recognises the input by its content and lets the reader of its format add what it holds. */
sonde_status sonde__model_read_input(sonde_model *model, int number);
/* Whether the input begins as JSON does. */
bool sonde__input_is_json(const sonde__input *input);

/* --- model_storage.c -------------------------------------------------------------------------- */

/* Unpacked bytes [offset, offset + size) of a storage, `skip` not added. */
sonde_status sonde__storage_read(sonde_model *model, uint32_t storage, const char *item,
                                 uint64_t offset, void *to, size_t size);
/* The checksum of a storage, once, where the options ask for it. */
sonde_status sonde__storage_verify(sonde_model *model, uint32_t storage, const char *item);
void sonde__unpacker_free(sonde_model *model);

/* --- model_read.c, model_gather.c ------------------------------------------------------------- */

size_t sonde__target_size(const sonde__record *record, sonde__target target);
/* `n` plain elements as the target, with the byte order of the record's storage. */
void sonde__model_decode(const sonde_model *model, const sonde__record *record, const uint8_t *from,
                         size_t n, sonde__target target, void *out);
/* Elements of a tensor that is not contiguous. */
sonde_status sonde__model_gather(sonde_model *model, const sonde__record *record, uint64_t first,
                                 uint64_t count, sonde__target target, void *out);
/* As sonde_model_read, without its checks; SONDE__TO_SELF leaves out the scale, and is for blocks
 * that lie dense. */
sonde_status sonde__model_read_as(sonde_model *model, size_t index, uint64_t first, uint64_t count,
                                  sonde__target target, void *out);

#endif
