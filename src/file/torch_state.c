/*
 * From a pickled object to named tensors: dictionaries and lists are walked, a tensor's name is its
 * path.
 *
 * A pickle can hold one container many times over (2^n tuples in n opcodes) or within itself. So the
 * walk knows what it is inside of, goes no deeper than DEPTH_MAX, and visits at most a few times as
 * many values as were built; what it lists grows with the bytes of the pickle. A dictionary with the
 * same key twice is refused: the first would be hidden in Python.
 */
#include "file/torch_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum {
    DEPTH_MAX = 64,
    VISITS_EACH = 4,
    VISITS_LEAST = 100000,
    LISTED_EACH = 32, /* bytes of listed tensors for a byte of the pickle; a real one has 2 */
    LISTED_LEAST = 4 << 20,
    LISTED_MAX = 1 << 30,
    LISTED_TENSOR = 128, /* bytes that a tensor takes in the model, about, beside its name */
    KEY_MAX = 1024,
    METADATA_MAX = 256,
    METADATA_TEXT_MAX = 4096
};

typedef struct walk {
    sonde_model *model;
    const sonde__pickle *pickle;
    sonde__torch_find_fn find;
    void *user;
    sonde__text path;
    size_t visits_left, listed_left;
    int depth, lists, groups; /* containers, lists, and "param_groups" that the walk is inside of */
    int unnamable;            /* keys on the path that cannot be part of a name */
    size_t metadata, tensors, arrays, storages;
} walk;

static sonde_status refuse(const walk *w, const sonde__pickle_value *value, sonde_status status,
                           const char *what)
{
    return sonde__pickle_fail(w->pickle, value, status, "'%.200s' %s",
                              w->path.bytes ? w->path.bytes : "", what);
}

bool sonde__torch_same_storage(const sonde__pickle_storage *a, const sonde__pickle_storage *b)
{
    return strcmp(a->type, b->type) == 0 && a->count == b->count;
}

/* --- metadata ----------------------------------------------------------------------------------- */

static void put_value(sonde__text *text, const sonde__pickle_value *value)
{
    switch (value->kind) {
    case SONDE__PICKLE_BOOL:
        sonde__text_add(text, value->as.integer ? "true" : "false");
        return;
    case SONDE__PICKLE_INT:
        sonde__text_format(text, "%lld", (long long)value->as.integer);
        return;
    case SONDE__PICKLE_FLOAT:
        if (value->as.real - value->as.real == 0)
            sonde__text_number(text, value->as.real);
        else
            sonde__text_format(text, "%g", value->as.real);
        return;
    default:
        sonde__text_add_bytes(text, value->as.text.bytes, value->as.text.size);
    }
}

static bool is_plain(const sonde__pickle_value *value)
{
    if (value->kind == SONDE__PICKLE_STRING)
        return value->as.text.size <= METADATA_TEXT_MAX &&
               !memchr(value->as.text.bytes, 0, value->as.text.size);
    return value->kind == SONDE__PICKLE_BOOL || value->kind == SONDE__PICKLE_INT ||
           value->kind == SONDE__PICKLE_FLOAT;
}

static sonde_status add_metadata(walk *w, const sonde__pickle_value *value)
{
    sonde__text text;
    if (w->unnamable || !is_plain(value) || w->metadata >= METADATA_MAX || !w->path.bytes)
        return SONDE_OK;
    w->metadata++;
    sonde__text_init(&text, sonde__model_context(w->model));
    sonde__text_add(&text, "");
    put_value(&text, value);
    sonde_status status = sonde__text_status(&text);
    if (status == SONDE_OK)
        status = sonde__model_add_metadata(w->model, w->path.bytes, text.bytes);
    sonde__text_free(&text);
    return status;
}

/* Beside the root's own: what a second level (arguments, hyper-parameters) or an optimizer's groups
 * say. */
static bool is_near(const walk *w)
{
    return (w->depth == 2 && w->lists == 0) || (w->groups > 0 && w->lists <= 1);
}

/* --- tensors ------------------------------------------------------------------------------------ */

static sonde_status add_tensor(walk *w, const sonde__pickle_value *value)
{
    const sonde__pickle_tensor *tensor = value->as.tensor;
    if (w->unnamable)
        return refuse(w, value, SONDE_ERROR_FORMAT,
                      "holds a tensor under a key that cannot be a name (over 1024 bytes, a NUL, "
                      "or neither text nor number)");
    sonde__stored stored = {.name = w->path.bytes ? w->path.bytes : "tensor",
                            .number = (sonde_number)tensor->number,
                            .dims = tensor->dims,
                            .first = tensor->storage->view_first + tensor->first};
    for (int i = 0; i < tensor->dims; i++) {
        stored.shape[i] = tensor->shape[i];
        stored.strides[i] = tensor->strides[i];
    }
    const size_t takes = LISTED_TENSOR + w->path.length;
    if (takes > w->listed_left)
        return refuse(w, value, SONDE_ERROR_UNSUPPORTED,
                      "is one of far more names for tensors than the pickle has bytes for");
    w->listed_left -= takes;
    SONDE_TRY(w->find(w->user, value, &stored.storage));
    w->tensors++;
    return sonde__model_add_tensor(w->model, &stored);
}

/* --- names -------------------------------------------------------------------------------------- */

/* Appends the key to the path; the caller cuts it off again. */
static sonde_status push_key(walk *w, const sonde__pickle_value *key, size_t position)
{
    bool text = key && (key->kind == SONDE__PICKLE_STRING || key->kind == SONDE__PICKLE_BYTES);
    sonde__text_add(&w->path, w->path.length ? "." : "");
    if (!key)
        sonde__text_format(&w->path, "%zu", position);
    else if (text && key->as.text.size <= KEY_MAX &&
             !memchr(key->as.text.bytes, 0, key->as.text.size))
        sonde__text_add_bytes(&w->path, key->as.text.bytes, key->as.text.size);
    else if (key->kind == SONDE__PICKLE_INT || key->kind == SONDE__PICKLE_BOOL ||
             key->kind == SONDE__PICKLE_FLOAT)
        put_value(&w->path, key);
    else
        w->unnamable++;
    return sonde__text_status(&w->path);
}

static void cut_path(walk *w, size_t length)
{
    w->path.length = length;
    if (w->path.bytes)
        w->path.bytes[length] = '\0';
}

/* Keys too long to be names are told apart by where they were made: one string can be the key of a
 * million pairs, and comparing it with itself would take hours. */
static int compare_texts(const sonde__pickle_value *x, const sonde__pickle_value *y)
{
    const size_t x_size = x->as.text.size, y_size = y->as.text.size;
    const size_t least = x_size < y_size ? x_size : y_size;
    if (x_size > KEY_MAX && y_size > KEY_MAX)
        return (x->at > y->at) - (x->at < y->at);
    if (x_size > KEY_MAX || y_size > KEY_MAX)
        return x_size > KEY_MAX ? 1 : -1;
    const int order = least ? memcmp(x->as.text.bytes, y->as.text.bytes, least) : 0;
    return order ? order : (x_size > y_size) - (x_size < y_size);
}

/* Order of keys that Python can tell apart by their own value; 0: the same. */
static int compare_keys(const void *a, const void *b)
{
    const sonde__pickle_value *x = *(sonde__pickle_value *const *)a;
    const sonde__pickle_value *y = *(sonde__pickle_value *const *)b;
    unsigned kind_x = x->kind == SONDE__PICKLE_BOOL ? SONDE__PICKLE_INT : x->kind;
    unsigned kind_y = y->kind == SONDE__PICKLE_BOOL ? SONDE__PICKLE_INT : y->kind;
    if (kind_x != kind_y)
        return kind_x < kind_y ? -1 : 1;
    if (kind_x == SONDE__PICKLE_INT)
        return (x->as.integer > y->as.integer) - (x->as.integer < y->as.integer);
    if (kind_x == SONDE__PICKLE_FLOAT)
        return (x->as.real > y->as.real) - (x->as.real < y->as.real);
    if (kind_x == SONDE__PICKLE_STRING || kind_x == SONDE__PICKLE_BYTES)
        return compare_texts(x, y);
    return (x->at > y->at) - (x->at < y->at);
}

static sonde_status check_keys(const walk *w, const sonde__pickle_value *dict)
{
    size_t count = dict->as.list.count / 2;
    sonde_context *context = sonde__model_context(w->model);
    sonde__pickle_value **keys = sonde__alloc(context, count, sizeof *keys);
    const sonde__pickle_value *twice = NULL;
    if (!keys)
        return sonde_context_error(context)->status;
    for (size_t i = 0; i < count; i++)
        keys[i] = dict->as.list.items[2 * i];
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 1; i < count && !twice; i++)
        if ((keys[i]->kind <= SONDE__PICKLE_BYTES) && compare_keys(&keys[i - 1], &keys[i]) == 0)
            twice = keys[i];
    sonde__free(context, keys);
    return twice ? refuse(w, twice, SONDE_ERROR_FORMAT,
                          "has a key twice; which value is meant cannot be told")
                 : SONDE_OK;
}

/* --- the walk ----------------------------------------------------------------------------------- */

static sonde_status visit(walk *w, sonde__pickle_value *value);

static sonde_status visit_item(walk *w, const sonde__pickle_value *key, size_t position,
                               sonde__pickle_value *item)
{
    size_t length = w->path.length;
    int unnamable = w->unnamable;
    bool group = key && sonde__pickle_is_text(key, "param_groups");
    SONDE_TRY(push_key(w, key, position));
    w->groups += group;
    SONDE_TRY(visit(w, item));
    w->groups -= group;
    w->unnamable = unnamable;
    cut_path(w, length);
    return SONDE_OK;
}

static sonde_status visit_items(walk *w, const sonde__pickle_value *container)
{
    const sonde__pickle_list *list = &container->as.list;
    if (container->kind != SONDE__PICKLE_DICT) {
        for (size_t i = 0; i < list->count; i++)
            SONDE_TRY(visit_item(w, NULL, i, list->items[i]));
        return SONDE_OK;
    }
    SONDE_TRY(check_keys(w, container));
    for (size_t i = 0; i + 1 < list->count; i += 2)
        SONDE_TRY(visit_item(w, list->items[i], 0, list->items[i + 1]));
    return SONDE_OK;
}

static sonde_status visit_container(walk *w, sonde__pickle_value *container)
{
    if (container->marks & SONDE__PICKLE_VISITED)
        return refuse(w, container, SONDE_ERROR_FORMAT, "contains itself");
    if (w->depth >= DEPTH_MAX)
        return refuse(w, container, SONDE_ERROR_UNSUPPORTED, "is nested more than 64 levels deep");
    const int list = container->kind != SONDE__PICKLE_DICT;
    container->marks |= SONDE__PICKLE_VISITED;
    w->depth++;
    w->lists += list;
    SONDE_TRY(visit_items(w, container));
    w->lists -= list;
    w->depth--;
    container->marks &= (uint8_t)~SONDE__PICKLE_VISITED;
    return SONDE_OK;
}

static sonde_status visit(walk *w, sonde__pickle_value *value)
{
    if (w->visits_left-- == 0)
        return refuse(w, value, SONDE_ERROR_UNSUPPORTED,
                      "refers to the same containers over and over");
    switch (value->kind) {
    case SONDE__PICKLE_TENSOR:
        return add_tensor(w, value);
    case SONDE__PICKLE_LIST:
    case SONDE__PICKLE_TUPLE:
    case SONDE__PICKLE_SET:
    case SONDE__PICKLE_DICT:
        return visit_container(w, value);
    case SONDE__PICKLE_OTHER:
        w->arrays += sonde__pickle_is_array(value);
        return SONDE_OK;
    case SONDE__PICKLE_STORAGE:
        w->storages++;
        return SONDE_OK;
    default:
        return is_near(w) ? add_metadata(w, value) : SONDE_OK;
    }
}

/* First, so that a large second level does not use up the places. */
static sonde_status add_root_metadata(walk *w, const sonde__pickle_value *root)
{
    for (size_t i = 0; root->kind == SONDE__PICKLE_DICT && i + 1 < root->as.list.count; i += 2) {
        SONDE_TRY(push_key(w, root->as.list.items[i], 0));
        SONDE_TRY(add_metadata(w, root->as.list.items[i + 1]));
        w->unnamable = 0;
        cut_path(w, 0);
    }
    return SONDE_OK;
}

static sonde_status add_warnings(const walk *w)
{
    if (w->tensors == 0)
        SONDE_TRY(sonde__model_warn(w->model, "it holds no tensors"));
    if (w->arrays)
        SONDE_TRY(sonde__model_warn(w->model,
                                    "%zu NumPy arrays inside the pickle are not listed; save them "
                                    "as tensors",
                                    w->arrays));
    if (w->storages)
        SONDE_TRY(sonde__model_warn(
            w->model, "%zu storages that belong to no tensor are not listed", w->storages));
    return SONDE_OK;
}

static sonde_status add_all(walk *w)
{
    sonde__pickle_value *root = sonde__pickle_root(w->pickle);
    SONDE_TRY(add_root_metadata(w, root));
    SONDE_TRY(visit(w, root));
    return add_warnings(w);
}

sonde_status sonde__torch_add(sonde_model *model, const sonde__pickle *pickle,
                              sonde__torch_find_fn find, void *user)
{
    walk w = {.model = model, .pickle = pickle, .find = find, .user = user};
    /* Both are at most 1 GiB. Each item of a container took a byte of the stream. */
    const size_t bytes = sonde__pickle_bytes(pickle);
    w.visits_left = VISITS_LEAST + bytes + VISITS_EACH * sonde__pickle_values(pickle);
    w.listed_left = bytes < (LISTED_MAX - LISTED_LEAST) / LISTED_EACH
                        ? LISTED_LEAST + LISTED_EACH * bytes
                        : LISTED_MAX;
    sonde__text_init(&w.path, sonde__model_context(model));
    sonde_status status = add_all(&w);
    sonde__text_free(&w.path);
    return status;
}
