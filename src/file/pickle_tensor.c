/*
 * Storages and tensors as pickles describe them: torch/serialization.py (persistent ids) and
 * torch/_utils.py (_rebuild_tensor and its successors).
 *
 * Invariant: of every tensor made here the furthest element that shape, strides and offset reach
 * lies inside the elements that its storage claims; that the file holds these is for its reader.
 */
#include "file/pickle_internal.h"

#include "file/model_internal.h"

enum { DIMS_MAX = SONDE_TENSOR_DIMS_MAX };

static sonde_status failed(const sonde__unpickler *u)
{
    return sonde_context_error(u->context)->status;
}

static bool is_sequence(const sonde__pickle_value *value)
{
    return value->kind == SONDE__PICKLE_TUPLE || value->kind == SONDE__PICKLE_LIST;
}

/* --- storages ----------------------------------------------------------------------------------- */

static bool take_count(const sonde__pickle_value *value, uint64_t *count)
{
    if (value->kind != SONDE__PICKLE_INT || value->as.integer < 0)
        return false;
    *count = (uint64_t)value->as.integer;
    return true;
}

/* Of files before 1.6: None, or (its own key, first element, elements). Storages of bytes are newer. */
static bool take_view(const sonde__pickle_value *value, sonde__pickle_storage *storage)
{
    if (value->kind == SONDE__PICKLE_NONE)
        return true;
    return storage->number != 0 && is_sequence(value) && value->as.list.count == 3 &&
           take_count(value->as.list.items[1], &storage->view_first) &&
           take_count(value->as.list.items[2], &storage->view_count) &&
           storage->view_first <= storage->count &&
           storage->view_count <= storage->count - storage->view_first;
}

/* ("storage", type, key, location, elements[, view]) */
static bool take_id(const sonde__pickle_value *id, sonde__pickle_storage *storage)
{
    sonde__pickle_value *const *items = id->as.list.items;
    const sonde__pickle_value *key = items[2];
    if (key->kind != SONDE__PICKLE_STRING && key->kind != SONDE__PICKLE_BYTES)
        return false;
    storage->key = key->as.text;
    storage->type = items[1]->as.global->name;
    storage->number = items[1]->as.global->number;
    storage->width = items[1]->as.global->width;
    if (!take_count(items[4], &storage->count) ||
        (storage->width && storage->count > INT64_MAX / storage->width))
        return false;
    storage->view_count = storage->count;
    return id->as.list.count == 5 || take_view(items[5], storage);
}

static sonde_status keep_storage(sonde__unpickler *u, const sonde__pickle_storage *storage)
{
    sonde__pickle *pickle = u->pickle;
    void *block = pickle->storages;
    SONDE_TRY(sonde__pickle_room(u, &block, pickle->storage_count + 1, &pickle->storage_room,
                                 sizeof *pickle->storages));
    pickle->storages = block;
    pickle->storages[pickle->storage_count++] = storage;
    return SONDE_OK;
}

sonde_status sonde__pickle_make_storage(sonde__unpickler *u, const sonde__pickle_value *id,
                                        sonde__pickle_value **value)
{
    const sonde__pickle_list *list = &id->as.list;
    if (!is_sequence(id) || list->count < 5 || list->count > 6 ||
        !sonde__pickle_is_text(list->items[0], "storage") ||
        list->items[1]->kind != SONDE__PICKLE_GLOBAL ||
        list->items[1]->as.global->role != SONDE__ROLE_STORAGE)
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "a persistent id is not that of a storage; save a state_dict "
                                    "with torch.save");
    if (list->items[1]->as.global->width == 0)
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "torch.%s holds quantised numbers, which are not read; "
                                    "dequantize before saving",
                                    list->items[1]->as.global->name);
    sonde__pickle_storage *storage = sonde__pickle_alloc(u->pickle, 1, sizeof *storage);
    if (!storage)
        return failed(u);
    *storage = (sonde__pickle_storage){0};
    if (!take_id(id, storage))
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                    "the persistent id of a torch.%s has a key, a count or a view "
                                    "that cannot be",
                                    list->items[1]->as.global->name);
    *value = sonde__pickle_new(u, SONDE__PICKLE_STORAGE);
    if (!*value)
        return failed(u);
    (*value)->as.storage = storage;
    return keep_storage(u, storage);
}

/* --- tensors ------------------------------------------------------------------------------------ */

static sonde_status take_dims(sonde__unpickler *u, const sonde__pickle_value *value,
                              const char *what, int64_t *to)
{
    const sonde__pickle_list *list = &value->as.list;
    for (size_t i = 0; i < list->count; i++) {
        const sonde__pickle_value *item = list->items[i];
        if (item->kind != SONDE__PICKLE_INT || item->as.integer < 0)
            return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                        "a tensor has a %s that is negative or no integer", what);
        to[i] = item->as.integer;
    }
    return SONDE_OK;
}

static sonde_status take_shape(sonde__unpickler *u, const sonde__pickle_value *shape,
                               const sonde__pickle_value *strides, sonde__pickle_tensor *tensor)
{
    if (!is_sequence(shape) || !is_sequence(strides) ||
        shape->as.list.count != strides->as.list.count)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                    "a tensor has no shape and strides of the same length");
    size_t dims = shape->as.list.count;
    if (dims > DIMS_MAX)
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "a tensor has %zu dimensions; at most %d are read", dims,
                                    DIMS_MAX);
    int64_t *numbers = sonde__pickle_alloc(u->pickle, 2 * dims, sizeof *numbers);
    if (!numbers)
        return failed(u);
    tensor->dims = (int)dims;
    tensor->shape = numbers;
    tensor->strides = numbers + dims;
    SONDE_TRY(take_dims(u, shape, "size", numbers));
    return take_dims(u, strides, "stride", numbers + dims);
}

/* The element behind the furthest one; false where that does not fit. */
static bool tensor_end(const sonde__pickle_tensor *tensor, uint64_t *end)
{
    *end = tensor->first;
    for (int i = 0; i < tensor->dims; i++)
        if (tensor->shape[i] == 0)
            return true;
    for (int i = 0; i < tensor->dims; i++) {
        uint64_t last = (uint64_t)tensor->shape[i] - 1, stride = (uint64_t)tensor->strides[i];
        if (stride && last > (INT64_MAX - *end) / stride)
            return false;
        *end += last * stride;
    }
    *end += 1;
    return true;
}

static sonde_status check_reach(sonde__unpickler *u, const sonde__pickle_tensor *tensor)
{
    uint64_t end = 0, width = tensor->storage->width;
    uint64_t room = tensor->storage->view_count;
    if (tensor->storage->number == 0) { /* counted in bytes */
        width = sonde__number_find((sonde_number)tensor->number)->bytes;
        room /= width;
    }
    bool fits = tensor_end(tensor, &end);
    if (!fits || end > room)
        return sonde__unpickle_fail(
            u, SONDE_ERROR_FORMAT,
            "a tensor's offset, shape and strides reach %s%llu elements "
            "of storage '%.*s', which has %llu",
            fits ? "" : "past ", (unsigned long long)end,
            (int)(tensor->storage->key.size < 64 ? tensor->storage->key.size : 64),
            tensor->storage->key.bytes, (unsigned long long)room);
    return SONDE_OK;
}

/* Bits that PyTorch applies when the numbers are used. */
static sonde_status check_lazy_bits(sonde__unpickler *u, const sonde__pickle_value *metadata)
{
    for (size_t i = 1; metadata->kind == SONDE__PICKLE_DICT && i < metadata->as.list.count; i += 2)
        if (metadata->as.list.items[i]->kind == SONDE__PICKLE_BOOL &&
            metadata->as.list.items[i]->as.integer)
            return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                        "a tensor is marked to be negated or conjugated when it "
                                        "is used; save its resolve_neg() and resolve_conj()");
    return SONDE_OK;
}

static sonde_status own_number(sonde__unpickler *u, const sonde__pickle_value *dtype,
                               unsigned *number)
{
    if (dtype->kind != SONDE__PICKLE_GLOBAL || dtype->as.global->role != SONDE__ROLE_DTYPE)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT, "a tensor's number format is none");
    *number = dtype->as.global->number;
    if (*number == 0)
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "a tensor of torch.%s, which is not read; convert it before "
                                    "saving",
                                    dtype->as.global->name);
    return SONDE_OK;
}

/* The number format, and what follows the strides in the arguments. */
static sonde_status take_number(sonde__unpickler *u, sonde__pickle_role role,
                                const sonde__pickle_list *arguments, sonde__pickle_tensor *tensor)
{
    const size_t metadata = role == SONDE__ROLE_TENSOR_3 ? 7 : 6;
    tensor->number = tensor->storage->number;
    if (role == SONDE__ROLE_TENSOR_3)
        SONDE_TRY(own_number(u, arguments->items[6], &tensor->number));
    if (tensor->number == 0)
        tensor->number = SONDE_NUMBER_U8;
    if (tensor->storage->number != 0 && tensor->storage->number != tensor->number)
        return sonde__unpickle_fail(u, SONDE_ERROR_UNSUPPORTED,
                                    "a tensor and its torch.%s have different number formats",
                                    tensor->storage->type);
    return arguments->count > metadata ? check_lazy_bits(u, arguments->items[metadata]) : SONDE_OK;
}

static sonde_status check_arguments(sonde__unpickler *u, sonde__pickle_role role,
                                    const sonde__pickle_list *arguments)
{
    const size_t least = role == SONDE__ROLE_TENSOR_1 ? 4 : role == SONDE__ROLE_TENSOR_2 ? 6 : 7;
    const size_t most = role == SONDE__ROLE_TENSOR_1 ? 4 : least + 1;
    if (arguments->count < least || arguments->count > most ||
        arguments->items[0]->kind != SONDE__PICKLE_STORAGE)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                    "the arguments of a torch._utils._rebuild_tensor do not fit");
    if (arguments->items[1]->kind != SONDE__PICKLE_INT || arguments->items[1]->as.integer < 0)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                    "a tensor has an offset that is negative or no integer");
    return SONDE_OK;
}

sonde_status sonde__pickle_make_tensor(sonde__unpickler *u, sonde__pickle_role role,
                                       const sonde__pickle_list *arguments,
                                       sonde__pickle_value **value)
{
    SONDE_TRY(check_arguments(u, role, arguments));
    sonde__pickle_tensor *tensor = sonde__pickle_alloc(u->pickle, 1, sizeof *tensor);
    if (!tensor)
        return failed(u);
    *tensor = (sonde__pickle_tensor){.storage = arguments->items[0]->as.storage,
                                     .first = (uint64_t)arguments->items[1]->as.integer};
    SONDE_TRY(take_shape(u, arguments->items[2], arguments->items[3], tensor));
    SONDE_TRY(take_number(u, role, arguments, tensor));
    SONDE_TRY(check_reach(u, tensor));
    *value = sonde__pickle_new(u, SONDE__PICKLE_TENSOR);
    if (!*value)
        return failed(u);
    (*value)->as.tensor = tensor;
    return SONDE_OK;
}
