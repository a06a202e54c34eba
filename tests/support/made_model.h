/* A safetensors file made of tensors that a test fills in, and the model opened from it. */
#ifndef SONDE_TESTS_MADE_MODEL_H
#define SONDE_TESTS_MADE_MODEL_H

#include "folder.h"

#include "base/random.h"
#include "file/safetensors.h"

enum { MADE_MOST = 96 };

typedef struct made_model {
    sonde__tensor tensors[MADE_MOST];
    char names[MADE_MOST][192];
    size_t count;
} made_model;

static inline size_t made_elements(int dims, const int64_t *shape)
{
    size_t elements = 1;
    for (int d = 0; d < dims; d++)
        elements *= (size_t)shape[d];
    return elements;
}

/* Adds a tensor of zeros with `size` bytes an element and returns its room; up to four dimensions,
 * the first negative one ends them. */
static inline void *made_add(made_model *made, const char *name, sonde_number number, size_t size,
                             const int64_t shape[5])
{
    assert_true(made->count < MADE_MOST && strlen(name) < sizeof made->names[0]);
    sonde__tensor *const tensor = &made->tensors[made->count];
    char *const own = made->names[made->count++];
    strcpy(own, name);
    *tensor = (sonde__tensor){.name = own, .number = number};
    while (tensor->dims < 5 && shape[tensor->dims] >= 0) {
        tensor->shape[tensor->dims] = shape[tensor->dims];
        tensor->dims++;
    }
    tensor->bytes = made_elements(tensor->dims, shape) * size;
    void *const data = calloc(tensor->bytes + 1, 1);
    assert_non_null(data);
    tensor->data = data;
    return data;
}

static inline float *made_floats(made_model *made, const char *name, const int64_t shape[5])
{
    return made_add(made, name, SONDE_NUMBER_F32, sizeof(float), shape);
}

static inline double *made_doubles(made_model *made, const char *name, const int64_t shape[5])
{
    return made_add(made, name, SONDE_NUMBER_F64, sizeof(double), shape);
}

#define SHAPE(...) ((const int64_t[6]){__VA_ARGS__, -1})

static inline void made_random(float *values, size_t count, uint64_t index, double scale)
{
    sonde__stream stream = sonde__stream_open(11, SONDE__RANDOM_TEST, index);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(scale * sonde__random_normal(&stream));
}

/* Into NAME of the scratch folder. */
static inline void made_write(sonde_context *context, const made_model *made, const char *name)
{
    check_ok(context, sonde__safetensors_write(context, folder_path(name), made->tensors,
                                               made->count, NULL, 0));
}

static inline sonde_model *made_open(sonde_context *context, const made_model *made,
                                     const char *name)
{
    sonde_model *model = NULL;
    made_write(context, made, name);
    check_ok(context, sonde_model_open(context, folder_path(name), NULL, &model));
    return model;
}

static inline void made_free(made_model *made)
{
    for (size_t i = 0; i < made->count; i++)
        free((void *)(uintptr_t)made->tensors[i].data);
    made->count = 0;
}

#endif
