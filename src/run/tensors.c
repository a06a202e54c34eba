/* Parameters to and from safetensors files. Reading checks names, types and shapes first. */
#include "run/tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "file/model_internal.h"

enum { SLICE = 1 << 20 }; /* bytes that are read at once for the checksum */

static const char checksum_key[] = "sonde.checksum";

sonde_status sonde__tensor_list_init(sonde__tensor_list *list, sonde_context *context,
                                     size_t capacity)
{
    *list = (sonde__tensor_list){.context = context, .capacity = capacity};
    list->tensors = sonde__alloc_zero(context, capacity, sizeof(*list->tensors));
    list->names = sonde__alloc_zero(context, capacity, sizeof(*list->names));
    if (list->tensors && list->names)
        return SONDE_OK;
    sonde__tensor_list_free(list);
    return SONDE_ERROR_MEMORY;
}

void sonde__tensor_list_free(sonde__tensor_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        sonde__free(list->context, (void *)(uintptr_t)list->tensors[i].data);
    sonde__free(list->context, list->tensors);
    sonde__free(list->context, list->names);
    *list = (sonde__tensor_list){0};
}

static size_t element_size(sonde_number number)
{
    switch (number) {
    case SONDE_NUMBER_F64:
    case SONDE_NUMBER_I64:
        return 8;
    case SONDE_NUMBER_F32:
    case SONDE_NUMBER_I32:
        return 4;
    case SONDE_NUMBER_F16:
    case SONDE_NUMBER_BF16:
        return 2;
    case SONDE_NUMBER_U8:
    default:
        return 1;
    }
}

void *sonde__tensor_list_add(sonde__tensor_list *list, const char *name, sonde_number number,
                             size_t count)
{
    if (list->count == list->capacity) {
        sonde__fail(list->context, SONDE_ERROR_INTERNAL, "more tensors than were announced");
        return NULL;
    }
    void *data = sonde__alloc(list->context, count, element_size(number));
    if (!data)
        return NULL;
    sonde__tensor *tensor = &list->tensors[list->count];
    char *copy = list->names[list->count++];
    snprintf(copy, SONDE__TENSOR_NAME_MAX, "%s", name);
    tensor->name = copy;
    tensor->number = number;
    tensor->dims = 1;
    tensor->shape[0] = (int64_t)count;
    tensor->data = data;
    tensor->bytes = count * element_size(number);
    return data;
}

sonde_status sonde__tensor_list_add_net(sonde__tensor_list *list, sonde__net *net,
                                        const float *flat, const char *prefix, bool buffers)
{
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        char name[SONDE__TENSOR_NAME_MAX];
        if (sonde__is_buffer(parameter) && !buffers)
            continue;
        snprintf(name, sizeof(name), "%s%s", prefix, parameter->name);
        float *plain = sonde__tensor_list_add(list, name, SONDE_NUMBER_F32, parameter->elements);
        if (!plain)
            return sonde_context_error(list->context)->status;
        sonde__tensor *tensor = &list->tensors[list->count - 1];
        tensor->dims = parameter->dims;
        memcpy(tensor->shape, parameter->shape, sizeof(parameter->shape));
        sonde__net_export(net, flat, i, plain);
    }
    return SONDE_OK;
}

static uint64_t tensor_checksum(const sonde__tensor *tensor)
{
    uint32_t crc = sonde__crc32(0, tensor->name, strlen(tensor->name));
    return sonde__crc32(crc, tensor->data, tensor->bytes);
}

sonde_status sonde__tensor_list_write(const sonde__tensor_list *list, const char *path,
                                      const sonde__metadata *metadata, size_t metadata_count)
{
    sonde__metadata all[SONDE__METADATA_MAX];
    char text[24];
    uint64_t sum = 0;
    for (size_t i = 0; i < list->count; i++)
        sum += tensor_checksum(&list->tensors[i]);
    snprintf(text, sizeof(text), "%016" PRIx64, sum);
    memcpy(all, metadata, metadata_count * sizeof(*metadata));
    all[metadata_count] = (sonde__metadata){checksum_key, text};
    return sonde__safetensors_write(list->context, path, list->tensors, list->count, all,
                                    metadata_count + 1);
}

/* --- reading ------------------------------------------------------------------------------------ */

/* CRC-32 of the name and the bytes, slice by slice. */
static sonde_status stored_checksum(sonde_model *file, size_t index, uint8_t *room, uint64_t *sum)
{
    sonde_tensor tensor;
    SONDE_TRY(sonde_model_tensor(file, index, &tensor));
    const size_t width = tensor.elements ? (size_t)(tensor.bytes / tensor.elements) : 1;
    uint32_t crc = sonde__crc32(0, tensor.name, strlen(tensor.name));
    for (uint64_t done = 0; done < tensor.elements;) {
        uint64_t left = tensor.elements - done, n = left < SLICE / width ? left : SLICE / width;
        SONDE_TRY(sonde__model_read_stored(file, index, done, n, room));
        crc = sonde__crc32(crc, room, (size_t)n * width);
        done += n;
    }
    *sum += crc;
    return SONDE_OK;
}

const char *sonde__tensors_metadata(const sonde_model *file, const char *key)
{
    sonde_model_info info;
    sonde_model_describe(file, &info);
    const char *each, *value;
    for (size_t i = 0; i < info.metadata; i++)
        if (sonde_model_metadata(file, i, &each, &value) == SONDE_OK && strcmp(each, key) == 0)
            return value;
    return NULL;
}

static sonde_status check_sum(sonde_context *context, sonde_model *file, const char *path)
{
    const char *text = sonde__tensors_metadata(file, checksum_key);
    uint64_t sum = 0;
    sonde_status status = SONDE_OK;
    uint8_t *room = sonde__alloc(context, SLICE, 1);
    if (!room)
        return sonde_context_error(context)->status;
    for (size_t i = 0; i < sonde_model_count(file) && status == SONDE_OK; i++)
        status = stored_checksum(file, i, room, &sum);
    sonde__free(context, room);
    if (status != SONDE_OK)
        return status;
    if (text && strlen(text) == 16 && strtoull(text, NULL, 16) == sum)
        return SONDE_OK;
    return sonde__fail_at(context, SONDE_ERROR_CORRUPT, path, NULL, -1,
                          "%s: the checksum does not fit its content; the file is damaged", path);
}

sonde_status sonde__tensors_open(sonde_context *context, const char *path, sonde_model **file)
{
    sonde_model *opened;
    SONDE_TRY(sonde_model_open(context, path, NULL, &opened));
    sonde_status status = check_sum(context, opened, path);
    if (status == SONDE_OK)
        *file = opened;
    else
        sonde_model_close(opened);
    return status;
}

sonde_status sonde__tensors_bytes(sonde_context *context, sonde_model *file, const char *name,
                                  sonde_number number, void **bytes, size_t *size)
{
    size_t index;
    sonde_tensor tensor;
    *bytes = NULL;
    if (!sonde__model_lookup(file, name, strlen(name), &index))
        return SONDE_OK;
    SONDE_TRY(sonde_model_tensor(file, index, &tensor));
    if (tensor.number != number || tensor.dims != 1)
        return SONDE_OK;
    void *room = sonde__alloc(context, (size_t)tensor.bytes, 1);
    if (!room)
        return sonde_context_error(context)->status;
    sonde_status status = sonde__model_read_stored(file, index, 0, tensor.elements, room);
    if (status != SONDE_OK) {
        sonde__free(context, room);
        return status;
    }
    *bytes = room;
    *size = (size_t)tensor.bytes;
    return SONDE_OK;
}

static void shape_text(int dims, const int64_t *shape, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < dims && used + 1 < size; i++) {
        int wrote = snprintf(text + used, size - used, "%s%lld", i ? "x" : "", (long long)shape[i]);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    if (dims == 0)
        snprintf(text, size, "of one number");
}

/* The index of the tensor PREFIXname, which must be there, of the parameter's shape and readable. */
static sonde_status find_parameter(sonde_context *context, sonde_model *file, const char *path,
                                   const char *prefix, const sonde__parameter *parameter,
                                   size_t *index)
{
    char name[SONDE__TENSOR_NAME_MAX], wanted[96], found[96];
    sonde_tensor tensor;
    int length = snprintf(name, sizeof(name), "%s%s", prefix, parameter->name);
    shape_text(parameter->dims, parameter->shape, wanted, sizeof(wanted));
    if (length < 0 || (size_t)length >= sizeof(name) ||
        !sonde__model_lookup(file, name, (size_t)length, index) ||
        sonde_model_tensor(file, *index, &tensor) != SONDE_OK)
        return sonde__fail_at(
            context, SONDE_ERROR_SHAPE, path, parameter->name, -1,
            "%s: %s is missing, which should be %s; the file is of another network", path, name,
            wanted);
    shape_text(tensor.dims, tensor.shape, found, sizeof(found));
    if (tensor.dims != parameter->dims ||
        memcmp(tensor.shape, parameter->shape,
               (size_t)parameter->dims * sizeof(parameter->shape[0])) != 0)
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, path, parameter->name, -1,
                              "%s: %s is %s, but should be %s; the file is of another network",
                              path, name, found, wanted);
    if (!tensor.readable)
        return sonde__fail_at(context, SONDE_ERROR_UNSUPPORTED, path, parameter->name, -1,
                              "%s: the numbers of %s are of a format that is not read", path, name);
    return SONDE_OK;
}

sonde_status sonde__tensors_fit(sonde_context *context, sonde_model *file, const char *path,
                                const char *prefix, bool buffers, const sonde__net *net)
{
    size_t index;
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        if (buffers || !sonde__is_buffer(parameter))
            SONDE_TRY(find_parameter(context, file, path, prefix, parameter, &index));
    }
    return SONDE_OK;
}

static size_t longest_parameter(const sonde__net *net)
{
    size_t longest = 1;
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const size_t elements = sonde__net_parameter(net, i)->elements;
        longest = elements > longest ? elements : longest;
    }
    return longest;
}

sonde_status sonde__tensors_into_net(sonde_context *context, sonde_model *file, const char *path,
                                     const char *prefix, bool buffers, sonde__net *net, float *flat)
{
    SONDE_TRY(sonde__tensors_fit(context, file, path, prefix, buffers, net));
    float *room = sonde__alloc(context, longest_parameter(net), sizeof *room);
    sonde_status status = room ? SONDE_OK : sonde_context_error(context)->status;
    for (int i = 0; i < sonde__net_parameter_count(net) && status == SONDE_OK; i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        size_t index;
        if (sonde__is_buffer(parameter) && !buffers)
            continue;
        status = find_parameter(context, file, path, prefix, parameter, &index);
        if (status == SONDE_OK)
            status = sonde_model_read(file, index, 0, parameter->elements, SONDE_F32, room);
        if (status == SONDE_OK)
            sonde__net_import(net, flat, i, room);
    }
    sonde__free(context, room);
    return status;
}
