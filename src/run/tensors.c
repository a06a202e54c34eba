/* Parameters to and from safetensors files. Reading checks names, types and shapes first. */
#include "run/tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

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

static bool is_buffer(const sonde__parameter *parameter)
{
    return parameter->role == SONDE__ROLE_RUNNING_MEAN ||
           parameter->role == SONDE__ROLE_RUNNING_VARIANCE;
}

sonde_status sonde__tensor_list_add_net(sonde__tensor_list *list, sonde__net *net,
                                        const float *flat, const char *prefix, bool buffers)
{
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        char name[SONDE__TENSOR_NAME_MAX];
        if (is_buffer(parameter) && !buffers)
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

static sonde_status check_sum(sonde_context *context, const sonde__safetensors *file,
                              const char *path)
{
    const char *text = sonde__safetensors_metadata(file, checksum_key);
    uint64_t sum = 0;
    for (size_t i = 0; i < sonde__safetensors_count(file); i++)
        sum += tensor_checksum(sonde__safetensors_tensor(file, i));
    if (text && strlen(text) == 16 && strtoull(text, NULL, 16) == sum)
        return SONDE_OK;
    return sonde__fail_at(context, SONDE_ERROR_CORRUPT, path, NULL, -1,
                          "%s: the checksum does not fit its content; the file is damaged", path);
}

sonde_status sonde__tensors_open(sonde_context *context, const char *path,
                                 sonde__safetensors **file)
{
    sonde__safetensors *opened;
    SONDE_TRY(sonde__safetensors_open(context, path, &opened));
    sonde_status status = check_sum(context, opened, path);
    if (status == SONDE_OK)
        *file = opened;
    else
        sonde__safetensors_close(opened);
    return status;
}

static bool same_shape(const sonde__tensor *tensor, const sonde__parameter *parameter)
{
    return tensor->number == SONDE_NUMBER_F32 && tensor->dims == parameter->dims &&
           memcmp(tensor->shape, parameter->shape,
                  (size_t)parameter->dims * sizeof(parameter->shape[0])) == 0;
}

static const sonde__tensor *find_parameter(const sonde__safetensors *file, const char *prefix,
                                           const sonde__parameter *parameter)
{
    char name[SONDE__TENSOR_NAME_MAX];
    snprintf(name, sizeof(name), "%s%s", prefix, parameter->name);
    const sonde__tensor *tensor = sonde__safetensors_find(file, name);
    return tensor && same_shape(tensor, parameter) ? tensor : NULL;
}

sonde_status sonde__tensors_into_net(sonde_context *context, const sonde__safetensors *file,
                                     const char *path, const char *prefix, bool buffers,
                                     sonde__net *net, float *flat)
{
    int count = sonde__net_parameter_count(net);
    for (int i = 0; i < count; i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        if ((buffers || !is_buffer(parameter)) && !find_parameter(file, prefix, parameter))
            return sonde__fail_at(context, SONDE_ERROR_SHAPE, path, parameter->name, -1,
                                  "%s: %s%s is missing or has another shape; the file is of "
                                  "another network",
                                  path, prefix, parameter->name);
    }
    for (int i = 0; i < count; i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        if (buffers || !is_buffer(parameter))
            sonde__net_import(net, flat, i, find_parameter(file, prefix, parameter)->data);
    }
    return SONDE_OK;
}
