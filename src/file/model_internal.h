/*
 * How format readers tell the model what a file holds.
 *
 * A reader looks at one input and adds storages (runs of bytes in the file) and tensors (views of a
 * storage). The model checks every claim once more: names, products of shapes, that the furthest
 * element that shape, strides and offset reach lies inside the storage, that storages lie inside the
 * file. Nothing is read beyond what the reader needs for its directory.
 */
#ifndef SONDE_FILE_MODEL_INTERNAL_H
#define SONDE_FILE_MODEL_INTERNAL_H

#include "base/context.h"
#include "file/input.h"

/* Bytes of a file in which elements lie one behind the other. */
typedef struct sonde__storage {
    int input;       /* number from sonde__model_add_input */
    uint64_t offset; /* of its first byte in the file */
    uint64_t packed; /* bytes in the file */
    uint64_t bytes;  /* after unpacking; the same as `packed` where it is not */
    uint64_t skip;   /* leading unpacked bytes that are not elements (an npy header in a zip) */
    bool deflated;   /* raw deflate */
    bool big_endian;
    bool has_crc; /* `crc` is the CRC-32 of all `bytes` */
    uint32_t crc;
    const char *entry; /* of the archive, for messages; copied; NULL where there is none */
} sonde__storage;

/* A tensor as a view of a storage. */
typedef struct sonde__stored {
    const char *name; /* copied */
    sonde_number number;
    int dims;
    int64_t shape[SONDE_TENSOR_DIMS_MAX];
    int64_t strides[SONDE_TENSOR_DIMS_MAX]; /* in elements, not negative; ignored for blocks */
    uint64_t first;                         /* element of the storage (behind `skip`) */
    size_t storage;
} sonde__stored;

/* Takes the input over, also on failure. */
sonde_status sonde__model_add_input(sonde_model *model, sonde__input *input, int *number);
sonde_status sonde__model_add_storage(sonde_model *model, const sonde__storage *storage,
                                      size_t *number);
sonde_status sonde__model_add_tensor(sonde_model *model, const sonde__stored *stored);
/* Both copied; control characters in them are replaced when shown, not here. A shard that gives a key
 * another value than an earlier one is warned of, and the first is kept. */
sonde_status sonde__model_add_metadata(sonde_model *model, const char *key, const char *value);
sonde_status sonde__model_warn(sonde_model *model, const char *format, ...) SONDE_PRINTF(2, 3);
sonde_context *sonde__model_context(const sonde_model *model);
const sonde__input *sonde__model_input(const sonde_model *model, int number);
/* The shard index that the model was opened by, or NULL. */
const char *sonde__model_index(const sonde_model *model);
/* Row-major strides of a shape; false where the product does not fit. */
bool sonde__dense_strides(int dims, const int64_t *shape, int64_t *strides);

/* The description of one number format, or NULL: text, elements and bytes of a block. */
typedef struct sonde__number_info {
    sonde_number number;
    const char *name;
    unsigned elements, bytes;
    bool reads;
} sonde__number_info;
const sonde__number_info *sonde__number_find(sonde_number number);
const sonde__number_info *sonde__number_named(const char *name);
/* numbers.c: `n` plain elements (block of 1) from possibly unaligned bytes as doubles, as floats, or
 * in their own format with the lowest byte first. */
void sonde__numbers_to_doubles(sonde_number number, bool big_endian, const uint8_t *from, size_t n,
                               double *out);
void sonde__numbers_to_floats(sonde_number number, bool big_endian, const uint8_t *from, size_t n,
                              float *out);
void sonde__numbers_to_little(sonde_number number, bool big_endian, const uint8_t *from, size_t n,
                              uint8_t *out);
/* dequantize.c: `blocks` GGUF blocks as floats (block elements each). */
void sonde__dequantize(sonde_number number, const uint8_t *from, size_t blocks, float *out);

/* Opening one format; each looks at `input` number `number` of the model and adds what it finds. */
typedef sonde_status (*sonde__model_reader)(sonde_model *model, int number);
sonde_status sonde__model_read_safetensors(sonde_model *model, int number);
sonde_status sonde__model_read_torch_zip(sonde_model *model, int number);
sonde_status sonde__model_read_torch_legacy(sonde_model *model, int number);
sonde_status sonde__model_read_npy(sonde_model *model, int number);
sonde_status sonde__model_read_npz(sonde_model *model, int number);
sonde_status sonde__model_read_gguf(sonde_model *model, int number);

/*
 * shards.c: the index of a sharded model. Calls `open_shard` for each file that it names, in order of
 * first mention, after the name was found to stay in the index's folder (a link out of it is refused,
 * but into the blobs of a Hugging Face cache), then checks that each tensor of the map is there once.
 */
typedef sonde_status (*sonde__shard_fn)(void *user, const char *path);
sonde_status sonde__shards_open(sonde_model *model, const char *index_path,
                                sonde__shard_fn open_shard, void *user);
/* The model file in a folder: "NAME.index.json", or the only file that looks like a model. Freed with
 * sonde__free. */
sonde_status sonde__model_in_folder(sonde_context *context, const char *folder, char **path);

/* --- for those who work on open models ---------------------------------------------------------- */

/* As sonde_model_find, without recording an error; the name need not end in NUL. */
bool sonde__model_lookup(const sonde_model *model, const char *name, size_t length, size_t *index);
/* Elements as they are stored, bit by bit, but row-major and with the lowest byte first; of blocks
 * whole ones. Also of formats that are not read, and without the scale. */
sonde_status sonde__model_read_stored(sonde_model *model, size_t index, uint64_t first,
                                      uint64_t count, void *out);

/* model.c, for fuzzers and tests: opens what is in memory; the format as for a file. */
sonde_status sonde__model_open_memory(sonde_context *context, const char *name, const void *bytes,
                                      size_t size, sonde_model **model);

#endif
