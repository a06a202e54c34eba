/* A GGUF file from memory; what other formats begin with is left to their targets. */
#include "fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 4 && (memcmp(data, "GGUF", 4) == 0 || memcmp(data, "FUGG", 4) == 0))
        fuzz_model("fuzz.gguf", data, size);
    return 0;
}
