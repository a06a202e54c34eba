/*
 * PyTorch's files from before 1.6, still written with _use_new_zipfile_serialization=False: five
 * pickles one behind the other (a magic number, the protocol 1001, what machine wrote it, the
 * object, the keys of its storages), then for each key a 64-bit count and that many elements
 * (_legacy_load and _legacy_save in torch/serialization.py).
 *
 * The elements are little-endian whatever machine wrote them (torch/csrc/generic/serialization.cpp
 * swaps on others); only the counts were once written in the machine's own order, which is why
 * `little_endian` is asked. Pickles do not tell their length: each is read from a piece of the file
 * that grows until it holds the whole.
 */
#include "file/torch_internal.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_FIRST = 16 << 10, PICKLE_MAX = 64 << 20, PROTOCOL = 1001, COUNT_BYTES = 8 };

static const char MAGIC[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/* One storage key, its place in the file once that is known. */
typedef struct place {
    const sonde__pickle_storage *storage;
    bool placed;
    size_t number; /* of the model */
} place;

typedef struct legacy {
    sonde_model *model;
    sonde_context *context;
    int number;
    const sonde__input *input;
    const char *path;
    uint64_t at; /* what was read so far */
    bool big_counts;
    const sonde__pickle *object;
    place *places; /* sorted by key */
    size_t count;
} legacy;

/* One pickle and the bytes that it points into. */
typedef struct piece {
    uint8_t *bytes;
    size_t size;
    sonde__pickle *pickle;
} piece;

static sonde_status failed(const legacy *l)
{
    return sonde_context_error(l->context)->status;
}

/* --- pickles ------------------------------------------------------------------------------------ */

static void free_piece(const legacy *l, piece *p)
{
    sonde__pickle_free(p->pickle);
    sonde__free(l->context, p->bytes);
    *p = (piece){0};
}

/* Tries to read the pickle from `size` bytes of the file. */
static sonde_status try_piece(legacy *l, const char *item, size_t size, piece *p)
{
    uint64_t left = sonde__input_size(l->input) - l->at;
    size_t end = 0;
    p->size = left < size ? (size_t)left : size;
    p->bytes = sonde__alloc(l->context, p->size, 1);
    if (!p->bytes)
        return failed(l);
    sonde_status status = sonde__input_read(l->input, item, l->at, p->bytes, p->size);
    sonde__pickle_source source = {.path = l->path,
                                   .item = item,
                                   .offset = l->at,
                                   .bytes = p->bytes,
                                   .size = p->size,
                                   .more = p->size < left && p->size < PICKLE_MAX};
    if (status == SONDE_OK)
        status = sonde__pickle_read(l->context, &source, &p->pickle, &end);
    if (status == SONDE_OK)
        l->at += end;
    return status;
}

static sonde_status read_pickle(legacy *l, const char *item, piece *p)
{
    for (size_t size = PIECE_FIRST;; size *= 8) {
        size = size < PICKLE_MAX ? size : PICKLE_MAX;
        uint64_t left = sonde__input_size(l->input) - l->at;
        sonde_status status = try_piece(l, item, size, p);
        if (status == SONDE_OK)
            return status;
        free_piece(l, p);
        if (status != SONDE_ERROR_TRUNCATED || size >= left || size >= PICKLE_MAX)
            return status;
    }
}

static bool is_magic(const sonde__pickle_value *value)
{
    return value->kind == SONDE__PICKLE_BIG && value->as.text.size == sizeof MAGIC - 1 &&
           memcmp(value->as.text.bytes, MAGIC, sizeof MAGIC - 1) == 0;
}

static sonde_status check_magic(legacy *l)
{
    piece p = {0};
    SONDE_TRY(read_pickle(l, "magic number", &p));
    bool magic = is_magic(sonde__pickle_root(p.pickle));
    free_piece(l, &p);
    if (!magic)
        return sonde__fail_at(l->context, SONDE_ERROR_UNSUPPORTED, l->path, NULL, 0,
                              "%s: is a pickle that torch.save did not write; load it where it was "
                              "made and save its state_dict",
                              l->path);
    return SONDE_OK;
}

static sonde_status check_protocol(legacy *l)
{
    piece p = {0};
    uint64_t at = l->at;
    SONDE_TRY(read_pickle(l, "protocol", &p));
    const sonde__pickle_value *root = sonde__pickle_root(p.pickle);
    bool known = root->kind == SONDE__PICKLE_INT && root->as.integer == PROTOCOL;
    free_piece(l, &p);
    if (!known)
        return sonde__fail_at(l->context, SONDE_ERROR_VERSION, l->path, "protocol", (int64_t)at,
                              "%s: is not of protocol 1001, the only one that PyTorch wrote",
                              l->path);
    return SONDE_OK;
}

static sonde_status read_system(legacy *l)
{
    piece p = {0};
    SONDE_TRY(read_pickle(l, "system", &p));
    const sonde__pickle_value *little =
        sonde__pickle_get(sonde__pickle_root(p.pickle), "little_endian");
    l->big_counts = little && little->kind == SONDE__PICKLE_BOOL && !little->as.integer;
    free_piece(l, &p);
    return SONDE_OK;
}

/* --- storages ----------------------------------------------------------------------------------- */

static int compare_texts(const sonde__pickle_text *a, const sonde__pickle_text *b)
{
    size_t least = a->size < b->size ? a->size : b->size;
    int order = least ? memcmp(a->bytes, b->bytes, least) : 0;
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static int compare_places(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return compare_texts(&x->storage->key, &y->storage->key);
}

static place *find_place(const legacy *l, const sonde__pickle_text *key)
{
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_texts(&l->places[middle].storage->key, key);
        if (order == 0)
            return &l->places[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The first id of each key; the others of that key must say the same. */
static sonde_status collect_storages(legacy *l)
{
    size_t all = 0;
    const sonde__pickle_storage *const *storages = sonde__pickle_storages(l->object, &all);
    l->places = sonde__alloc_zero(l->context, all, sizeof *l->places);
    if (!l->places)
        return failed(l);
    for (size_t i = 0; i < all; i++)
        l->places[i].storage = storages[i];
    qsort(l->places, all, sizeof *l->places, compare_places);
    for (size_t i = 0; i < all; i++) {
        place *last = l->count ? &l->places[l->count - 1] : NULL;
        if (!last || compare_places(last, &l->places[i]) != 0)
            l->places[l->count++] = l->places[i];
        else if (!sonde__torch_same_storage(last->storage, l->places[i].storage))
            return sonde__pickle_fail(l->object, NULL, SONDE_ERROR_FORMAT,
                                      "two tensors say different things about one storage (a "
                                      "torch.%s, a torch.%s)",
                                      last->storage->type, l->places[i].storage->type);
    }
    return SONDE_OK;
}

static sonde_status fail_storage(const legacy *l, sonde_status status,
                                 const sonde__pickle_text *key, const char *what)
{
    char name[64];
    size_t size = key->size < sizeof name ? key->size : sizeof name - 1;
    for (size_t i = 0; i < size; i++)
        name[i] = (char)((unsigned char)key->bytes[i] < 0x20 ? '?' : key->bytes[i]);
    name[size] = '\0';
    return sonde__fail_at(l->context, status, l->path, name, (int64_t)l->at,
                          "%s: storage '%s' %s, at byte %llu", l->path, name, what,
                          (unsigned long long)l->at);
}

static uint64_t read_order(const uint8_t *bytes, bool big)
{
    uint64_t number = 0;
    for (size_t i = 0; i < COUNT_BYTES; i++)
        number = number << 8 | bytes[big ? i : COUNT_BYTES - 1 - i];
    return number;
}

static sonde_status add_storage(legacy *l, place *found)
{
    const sonde__pickle_storage *storage = found->storage;
    uint8_t bytes[COUNT_BYTES];
    SONDE_TRY(sonde__input_read(l->input, "storage", l->at, bytes, sizeof bytes));
    if (read_order(bytes, false) != storage->count &&
        !(l->big_counts && read_order(bytes, true) == storage->count))
        return fail_storage(l, SONDE_ERROR_FORMAT, &storage->key,
                            "has another number of elements than the pickle says");
    l->at += COUNT_BYTES;
    uint64_t size = storage->count * storage->width;
    if (size > sonde__input_size(l->input) - l->at)
        return fail_storage(l, SONDE_ERROR_TRUNCATED, &storage->key,
                            "reaches past the end of the file; fetch it again");
    sonde__storage about = {.input = l->number, .offset = l->at, .packed = size, .bytes = size};
    SONDE_TRY(sonde__model_add_storage(l->model, &about, &found->number));
    found->placed = true;
    l->at += size;
    return SONDE_OK;
}

static sonde_status place_storages(legacy *l, const sonde__pickle *pickle)
{
    const sonde__pickle_value *keys = sonde__pickle_root(pickle);
    if (keys->kind != SONDE__PICKLE_LIST)
        return sonde__pickle_fail(pickle, keys, SONDE_ERROR_FORMAT, "it is no list of keys");
    for (size_t i = 0; i < keys->as.list.count; i++) {
        const sonde__pickle_value *key = keys->as.list.items[i];
        if (key->kind != SONDE__PICKLE_STRING && key->kind != SONDE__PICKLE_BYTES)
            return sonde__pickle_fail(pickle, key, SONDE_ERROR_FORMAT, "a storage key is no text");
        place *found = find_place(l, &key->as.text);
        if (!found || found->placed)
            return fail_storage(l, SONDE_ERROR_FORMAT, &key->as.text,
                                found ? "is there twice" : "belongs to no tensor");
        SONDE_TRY(add_storage(l, found));
    }
    return SONDE_OK;
}

static sonde_status find_storage(void *user, const sonde__pickle_value *tensor, size_t *number)
{
    legacy *l = user;
    const sonde__pickle_text *key = &tensor->as.tensor->storage->key;
    const place *found = find_place(l, key);
    if (!found || !found->placed)
        return fail_storage(l, SONDE_ERROR_FORMAT, key, "is missing from the file");
    *number = found->number;
    return SONDE_OK;
}

/* --- the file ----------------------------------------------------------------------------------- */

static sonde_status add_object(legacy *l)
{
    piece keys = {0};
    SONDE_TRY(collect_storages(l));
    SONDE_TRY(read_pickle(l, "storage keys", &keys));
    sonde_status status = place_storages(l, keys.pickle);
    free_piece(l, &keys);
    if (status == SONDE_OK)
        status = sonde__torch_add(l->model, l->object, find_storage, l);
    uint64_t left = sonde__input_size(l->input) - l->at;
    if (status == SONDE_OK && left > 0)
        status = sonde__model_warn(l->model,
                                   "%llu bytes behind its last storage are not read (a second "
                                   "object in the same file?)",
                                   (unsigned long long)left);
    return status;
}

sonde_status sonde__model_read_torch_legacy(sonde_model *model, int number)
{
    legacy l = {.model = model,
                .context = sonde__model_context(model),
                .number = number,
                .input = sonde__model_input(model, number)};
    piece object = {0};
    l.path = sonde__input_path(l.input);
    SONDE_TRY(check_magic(&l));
    SONDE_TRY(check_protocol(&l));
    SONDE_TRY(read_system(&l));
    SONDE_TRY(read_pickle(&l, "object", &object));
    l.object = object.pickle;
    sonde_status status = add_object(&l);
    sonde__free(l.context, l.places);
    free_piece(&l, &object);
    return status;
}
