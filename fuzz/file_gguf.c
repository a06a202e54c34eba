/* A GGUF file from memory. */
#include "fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_model("fuzz.gguf", data, size);
    return 0;
}
