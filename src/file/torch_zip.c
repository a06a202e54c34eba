/*
 * PyTorch's zip files (1.6 and later): NAME/data.pkl describes the object, NAME/data/KEY are the
 * bytes of its storages, NAME/byteorder and NAME/version say how they were written
 * (torch/serialization.py, caffe2/serialize/inline_container.cc).
 *
 * A storage has exactly the bytes that the pickle says. NAME is taken as PyTorch takes it, from the
 * first member, and no second data.pkl may exist.
 */
#include "file/torch_internal.h"

#include <string.h>

#include "base/text.h"
#include "file/zip.h"

/* A pickle of names and shapes packs 20 to 1 at best; opcodes that repeat, 1000 to 1, and each byte of
 * them takes 40 of memory. */
enum { PACKED_TIMES = 64, PACKED_FREE = 4 << 20 };
enum { PICKLE_MAX = 64 << 20, SMALL = 64, KEY_MAX = 256, VERSION_KNOWN = 10 };

/* A storage that was added already. */
typedef struct known {
    const sonde__pickle_storage *storage; /* NULL: not yet */
    size_t number;
} known;

typedef struct archive {
    sonde_model *model;
    sonde_context *context;
    int number;
    const sonde__input *input;
    const char *path;
    sonde__zip *zip;
    const sonde__zip_member *data; /* data.pkl */
    size_t prefix;                 /* bytes of its name in front of "data.pkl" */
    bool big_endian;
    known *storages; /* one for each member */
    const sonde__pickle *pickle;
} archive;

/* --- members ------------------------------------------------------------------------------------ */

static bool is_data(const char *name, size_t *prefix)
{
    const char *end = "data.pkl";
    const size_t length = strlen(name), tail = strlen(end);
    if (length < tail || strcmp(name + length - tail, end) != 0 ||
        (length > tail && name[length - tail - 1] != '/'))
        return false;
    *prefix = length - tail;
    return true;
}

static sonde_status refuse(const archive *a, const sonde__zip_member *member, sonde_status status,
                           const char *what)
{
    return sonde__fail_at(a->context, status, a->path, member->name, (int64_t)member->offset,
                          "%s: '%.200s' %s", a->path, member->name, what);
}

/* PyTorch looks only below the folder of the first member. */
static sonde_status find_data(archive *a)
{
    for (size_t i = 0; i < sonde__zip_count(a->zip); i++) {
        const sonde__zip_member *member = sonde__zip_at(a->zip, i);
        size_t prefix = 0;
        if (!is_data(member->name, &prefix))
            continue;
        if (a->data)
            return refuse(a, member, SONDE_ERROR_FORMAT,
                          "is a second data.pkl; which one is meant cannot be told");
        a->data = member;
        a->prefix = prefix;
    }
    if (!a->data)
        return sonde__fail_at(a->context, SONDE_ERROR_FORMAT, a->path, NULL, 0,
                              "%s: has no data.pkl", a->path);
    const char *first = sonde__zip_at(a->zip, 0)->name;
    if (strncmp(first, a->data->name, a->prefix) != 0 ||
        (a->prefix && memchr(a->data->name, '/', a->prefix - 1)))
        return refuse(a, a->data, SONDE_ERROR_FORMAT,
                      "does not lie in the folder of the archive's first member");
    return SONDE_OK;
}

/* *member becomes NULL when there is none. */
static sonde_status find_member(const archive *a, const char *folder, const char *name, size_t size,
                                const sonde__zip_member **member)
{
    sonde__text text;
    sonde__text_init(&text, a->context);
    sonde__text_add_bytes(&text, a->data->name, a->prefix);
    sonde__text_add(&text, folder);
    sonde__text_add_bytes(&text, name, size);
    sonde_status status = sonde__text_status(&text);
    *member = status == SONDE_OK ? sonde__zip_find(a->zip, text.bytes) : NULL;
    sonde__text_free(&text);
    return status;
}

/* A member of a few characters, ended by NUL, or "" when there is none. */
static sonde_status read_small(const archive *a, const char *name, char *text,
                               const sonde__zip_member **member)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    text[0] = '\0';
    SONDE_TRY(find_member(a, "", name, strlen(name), member));
    if (!*member)
        return SONDE_OK;
    SONDE_TRY(sonde__zip_read(a->zip, *member, SMALL - 1, &bytes, &size));
    memcpy(text, bytes, size);
    text[size] = '\0';
    sonde__free(a->context, bytes);
    return SONDE_OK;
}

static sonde_status read_byte_order(archive *a)
{
    char text[SMALL];
    const sonde__zip_member *member = NULL;
    SONDE_TRY(read_small(a, "byteorder", text, &member));
    a->big_endian = strcmp(text, "big") == 0;
    if (member && !a->big_endian && strcmp(text, "little") != 0)
        return refuse(a, member, SONDE_ERROR_FORMAT, "is neither 'little' nor 'big'");
    return SONDE_OK;
}

static sonde_status read_version(const archive *a)
{
    char text[SMALL];
    int64_t version = 0;
    const sonde__zip_member *member = NULL;
    SONDE_TRY(read_small(a, "version", text, &member));
    if (!member)
        return SONDE_OK;
    text[strcspn(text, "\r\n")] = '\0';
    if (!sonde__parse_int64(text, &version) || version < 1)
        return refuse(a, member, SONDE_ERROR_FORMAT, "is no version number");
    if (version > VERSION_KNOWN)
        return sonde__model_warn(a->model, "its version %lld is newer than those known (%d)",
                                 (long long)version, VERSION_KNOWN);
    return SONDE_OK;
}

/* --- storages ----------------------------------------------------------------------------------- */

static bool key_is_plain(const sonde__pickle_text *key)
{
    return key->size > 0 && key->size <= KEY_MAX && !memchr(key->bytes, '/', key->size) &&
           !memchr(key->bytes, '\\', key->size) && !memchr(key->bytes, 0, key->size) &&
           !(key->size <= 2 && key->bytes[0] == '.' && key->bytes[key->size - 1] == '.');
}

static sonde_status find_storage_member(const archive *a, const sonde__pickle_value *tensor,
                                        const sonde__zip_member **member)
{
    const sonde__pickle_storage *storage = tensor->as.tensor->storage;
    const sonde__pickle_text *key = &storage->key;
    const int shown = (int)(key->size < 64 ? key->size : 64);
    if (!key_is_plain(key))
        return sonde__pickle_fail(a->pickle, tensor, SONDE_ERROR_FORMAT,
                                  "the storage key '%.*s' would lead out of the archive's data "
                                  "folder",
                                  shown, key->bytes);
    SONDE_TRY(find_member(a, "data/", key->bytes, key->size, member));
    if (!*member)
        return sonde__pickle_fail(a->pickle, tensor, SONDE_ERROR_FORMAT,
                                  "the storage '%.*s' is missing from the archive", shown,
                                  key->bytes);
    uint64_t bytes = storage->count * storage->width;
    if ((*member)->bytes != bytes)
        return sonde__pickle_fail(a->pickle, tensor, SONDE_ERROR_FORMAT,
                                  "the storage '%.*s' should have %llu bytes; '%.200s' has %llu",
                                  shown, key->bytes, (unsigned long long)bytes, (*member)->name,
                                  (unsigned long long)(*member)->bytes);
    return SONDE_OK;
}

static sonde_status add_storage(archive *a, const sonde__zip_member *member, size_t *number)
{
    sonde__storage about = {.input = a->number,
                            .offset = member->offset,
                            .packed = member->packed,
                            .bytes = member->bytes,
                            .deflated = member->deflated,
                            .big_endian = a->big_endian,
                            .has_crc = sonde__zip_has_checksums(a->zip),
                            .crc = member->crc,
                            .entry = member->name};
    return sonde__model_add_storage(a->model, &about, number);
}

static sonde_status find_storage(void *user, const sonde__pickle_value *tensor, size_t *number)
{
    archive *a = user;
    const sonde__pickle_storage *storage = tensor->as.tensor->storage;
    const sonde__zip_member *member = NULL;
    SONDE_TRY(find_storage_member(a, tensor, &member));
    known *entry = &a->storages[member->index];
    if (!entry->storage) {
        SONDE_TRY(add_storage(a, member, &entry->number));
        entry->storage = storage;
    }
    if (!sonde__torch_same_storage(entry->storage, storage))
        return sonde__pickle_fail(a->pickle, tensor, SONDE_ERROR_FORMAT,
                                  "'%.200s' is once a torch.%s and once a torch.%s", member->name,
                                  entry->storage->type, storage->type);
    *number = entry->number;
    return SONDE_OK;
}

/* --- the file ----------------------------------------------------------------------------------- */

static sonde_status add_pickle(archive *a, const uint8_t *bytes, size_t size)
{
    sonde__pickle_source source = {.path = a->path,
                                   .item = a->data->name,
                                   .offset = a->data->deflated ? UINT64_MAX : a->data->offset,
                                   .bytes = bytes,
                                   .size = size};
    sonde__pickle *pickle = NULL;
    size_t end = 0;
    SONDE_TRY(sonde__pickle_read(a->context, &source, &pickle, &end));
    a->pickle = pickle;
    sonde_status status = SONDE_OK;
    if (end != size)
        status = refuse(a, a->data, SONDE_ERROR_FORMAT, "holds bytes behind the end of its pickle");
    if (status == SONDE_OK)
        status = sonde__torch_add(a->model, pickle, find_storage, a);
    sonde__pickle_free(pickle);
    return status;
}

static sonde_status read_pickle(archive *a)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    a->storages = sonde__alloc_zero(a->context, sonde__zip_count(a->zip), sizeof *a->storages);
    if (!a->storages)
        return sonde_context_error(a->context)->status;
    if (a->data->bytes > PACKED_FREE &&
        (a->data->bytes - PACKED_FREE) / PACKED_TIMES > a->data->packed)
        return refuse(a, a->data, SONDE_ERROR_UNSUPPORTED,
                      "is packed more than 64 to 1, which nothing that describes tensors is");
    SONDE_TRY(sonde__zip_read(a->zip, a->data, PICKLE_MAX, &bytes, &size));
    sonde_status status = add_pickle(a, bytes, size);
    sonde__free(a->context, bytes);
    return status;
}

static sonde_status add_warnings(const archive *a)
{
    const char *script = "constants.pkl";
    const sonde__zip_member *constants = NULL;
    if (!sonde__zip_has_checksums(a->zip))
        SONDE_TRY(sonde__model_warn(a->model, "it was written without checksums; damage to it "
                                              "cannot be seen"));
    SONDE_TRY(find_member(a, "", script, strlen(script), &constants));
    if (constants)
        SONDE_TRY(sonde__model_warn(a->model, "it holds a TorchScript program; only the tensors "
                                              "of its data.pkl are listed"));
    return SONDE_OK;
}

static sonde_status read_archive(archive *a)
{
    SONDE_TRY(sonde__zip_open(a->context, a->input, &a->zip));
    SONDE_TRY(find_data(a));
    SONDE_TRY(read_byte_order(a));
    SONDE_TRY(read_version(a));
    SONDE_TRY(read_pickle(a));
    return add_warnings(a);
}

sonde_status sonde__model_read_torch_zip(sonde_model *model, int number)
{
    archive a = {.model = model,
                 .context = sonde__model_context(model),
                 .number = number,
                 .input = sonde__model_input(model, number)};
    a.path = sonde__input_path(a.input);
    sonde_status status = read_archive(&a);
    sonde__free(a.context, a.storages);
    sonde__zip_close(a.zip);
    return status;
}
