/* A safetensors file from memory. */
#include "file/safetensors_internal.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sonde_context *context = fuzz_context();
    sonde__source source = fuzz_source(context, "fuzz", data, size);
    sonde__safetensors *file = NULL;
    size_t total = 0;
    if (sonde__safetensors_parse(context, "fuzz", source.bytes, size, &file) == SONDE_OK) {
        for (size_t i = 0; i < sonde__safetensors_count(file); i++) {
            const sonde__tensor *tensor = sonde__safetensors_tensor(file, i);
            fuzz_require(sonde__safetensors_find(file, tensor->name) == tensor);
            for (size_t b = 0; b < tensor->bytes; b++)
                total += ((const uint8_t *)tensor->data)[b];
        }
        fuzz_require(total <= 255 * size);
        (void)sonde__safetensors_metadata(file, "epoch");
    }
    sonde__safetensors_close(file);
    fuzz_finish(context);
    return 0;
}
