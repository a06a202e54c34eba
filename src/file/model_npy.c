/*
 * A .npy file as a model of one tensor, which has the name of the file without ".npy". The format:
 * file/npy.h. An array in Fortran order is a view with strides; nothing is moved.
 */
#include <string.h>

#include "base/text.h"
#include "file/model_npy.h"

static sonde_status read_header(const sonde__npy_place *place, const sonde__input *input,
                                uint8_t *head, size_t size, sonde__npy *array)
{
    SONDE_TRY(sonde__input_read(input, "npy header", 0, head, size));
    return sonde__npy_parse_header(place, head, size, sonde__input_size(input), array);
}

static sonde_status header_of_input(const sonde__npy_place *place, const sonde__input *input,
                                    sonde__npy *array)
{
    const uint64_t total = sonde__input_size(input);
    uint8_t prefix[SONDE__NPY_PREFIX];
    const size_t got = total < sizeof prefix ? (size_t)total : sizeof prefix;
    size_t size = 0;
    SONDE_TRY(sonde__input_read(input, "npy header", 0, prefix, got));
    SONDE_TRY(sonde__npy_header_size(place, prefix, got, total, &size));
    uint8_t *head = sonde__alloc(place->context, size, 1);
    if (!head)
        return sonde_context_error(place->context)->status;
    const sonde_status status = read_header(place, input, head, size, array);
    sonde__free(place->context, head);
    return status;
}

/* "folder/fc1.npy" -> "fc1"; in a new block. A file may be called what a tensor may not. */
static char *name_of_file(sonde_context *context, const char *path)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    char *name = sonde__copy_string(context, sonde__text_is_plain(file) ? file : "tensor");
    if (name)
        sonde__npy_drop_suffix(name);
    return name;
}

void sonde__npy_drop_suffix(char *name)
{
    const size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".npy") == 0)
        name[length - 4] = '\0';
}

sonde_status sonde__model_add_npy(sonde_model *model, const char *name, const sonde__npy *array,
                                  sonde__storage *storage)
{
    sonde__stored stored = {.name = name, .number = sonde__npy_number(array), .dims = array->dims};
    storage->skip = array->header_bytes;
    storage->big_endian = array->big_endian;
    SONDE_TRY(sonde__model_add_storage(model, storage, &stored.storage));
    for (int d = 0; d < array->dims; d++)
        stored.shape[d] = (int64_t)array->shape[d];
    sonde__npy_strides(array, stored.strides);
    return sonde__model_add_tensor(model, &stored);
}

sonde_status sonde__model_read_npy(sonde_model *model, int number)
{
    sonde_context *context = sonde__model_context(model);
    const sonde__input *input = sonde__model_input(model, number);
    const sonde__npy_place place = {context, sonde__input_path(input), NULL, 0, false};
    const uint64_t size = sonde__input_size(input);
    sonde__npy array;
    SONDE_TRY(header_of_input(&place, input, &array));
    if (!sonde__npy_number(&array))
        return sonde__fail_at(context, SONDE_ERROR_UNSUPPORTED, place.path, NULL, -1,
                              "%s: holds text or dates ('%s'), not numbers", place.path,
                              array.type);
    sonde__storage storage = {.input = number, .packed = size, .bytes = size};
    char *name = name_of_file(context, place.path);
    if (!name)
        return sonde_context_error(context)->status;
    const sonde_status status = sonde__model_add_npy(model, name, &array, &storage);
    sonde__free(context, name);
    return status;
}
