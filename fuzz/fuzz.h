/*
 * What the fuzz targets share: a context with a small budget, and the rule that whatever a file
 * holds, everything is freed afterwards.
 */
#ifndef SONDE_FUZZ_H
#define SONDE_FUZZ_H

#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "file/data_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_require(bool holds)
{
    if (!holds)
        abort();
}

static inline sonde_context *fuzz_context(void)
{
    sonde_context *context = NULL;
    sonde_context_options options;
    sonde_context_options_init(&options);
    options.memory_limit = 64 << 20;
    options.threads = 1;
    fuzz_require(sonde_context_create(&options, &context) == SONDE_OK);
    return context;
}

static inline void fuzz_finish(sonde_context *context)
{
    fuzz_require(sonde_context_memory_used(context) == 0);
    sonde_context_free(context);
}

/* An exact copy in a block of the context: a read one byte past the end is found. */
static inline sonde__source fuzz_source(sonde_context *context, const char *path,
                                        const uint8_t *data, size_t size)
{
    sonde__source source = {path, sonde__alloc(context, size, 1), size};
    fuzz_require(source.bytes != NULL);
    if (size)
        memcpy(source.bytes, data, size);
    return source;
}

/* Two files in one input: two bytes with the length of the first, then both. */
static inline void fuzz_split(sonde_context *context, const uint8_t *data, size_t size,
                              sonde__source *first, sonde__source *second)
{
    size_t length = size >= 2 ? (size_t)data[0] | (size_t)data[1] << 8 : 0;
    size_t skip = size >= 2 ? 2 : size;
    if (length > size - skip)
        length = size - skip;
    *first = fuzz_source(context, "first", data + skip, length);
    *second = fuzz_source(context, "second", data + skip + length, size - skip - length);
}

/* A set that was accepted keeps the promises of dataset.h. */
static inline void fuzz_check_dataset(const sonde__dataset *dataset)
{
    size_t values = (size_t)dataset->channels * (size_t)dataset->height * (size_t)dataset->width;
    fuzz_require(!dataset->bytes != !dataset->floats || dataset->count == 0);
    for (size_t i = 0; i < dataset->count; i++)
        fuzz_require(dataset->labels[i] >= 0 && dataset->labels[i] < dataset->classes);
    volatile uint8_t last = 0;
    for (size_t i = 0; dataset->bytes && i < dataset->count * values; i++)
        last = dataset->bytes[i];
    for (size_t i = 0; dataset->floats && i < dataset->count * values; i++)
        last = dataset->floats[i] > 0;
    (void)last;
}

#endif
