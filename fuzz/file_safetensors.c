/* A safetensors file from memory. In one that is accepted, tensors tile the data part. What begins
 * like another format is left to the targets of those. */
#include "fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= 8 || data[8] != '{')
        return 0;
    sonde_context *context = fuzz_context();
    sonde_model *model = NULL;
    if (sonde__model_open_memory(context, "fuzz", data, size, &model) == SONDE_OK) {
        sonde_model_info info;
        sonde_model_describe(model, &info);
        fuzz_check_model(model);
        if (info.kind == SONDE_MODEL_SAFETENSORS) {
            uint64_t header = 0, sum = 0;
            for (size_t i = 0; i < 8; i++)
                header |= (uint64_t)data[i] << (8 * i);
            for (size_t i = 0; i < info.tensors; i++) {
                sonde_tensor tensor;
                fuzz_require(sonde_model_tensor(model, i, &tensor) == SONDE_OK);
                fuzz_require(tensor.offset == (int64_t)(8 + header + sum));
                sum += tensor.bytes;
            }
            fuzz_require(8 + header + sum == size);
        }
    }
    sonde_model_close(model);
    fuzz_finish(context);
    return 0;
}
