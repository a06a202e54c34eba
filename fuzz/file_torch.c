/* A PyTorch file, zip or older, through the model: listed, then every readable tensor read. */
#include "fuzz.h"

#include "file/model_internal.h"
#include "file/zip.h"

enum { SLICE = 256, ELEMENTS_MAX = 1 << 14 };

static void read_tensor(sonde_model *model, size_t index)
{
    sonde_tensor tensor;
    double values[SLICE];
    fuzz_require(sonde_model_tensor(model, index, &tensor) == SONDE_OK);
    fuzz_require(tensor.name[0] != '\0' && tensor.dims <= SONDE_TENSOR_DIMS_MAX);
    uint64_t all = tensor.elements < ELEMENTS_MAX ? tensor.elements : ELEMENTS_MAX;
    for (uint64_t done = 0; tensor.readable && done < all; done += SLICE) {
        uint64_t n = all - done < SLICE ? all - done : SLICE;
        if (sonde_model_read(model, index, tensor.elements - all + done, n, SONDE_F64, values) !=
            SONDE_OK)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || (data[0] != 0x80 && !sonde__is_zip(data, size)))
        return 0;
    sonde_context *context = fuzz_context();
    sonde_model *model = NULL;
    if (sonde__model_open_memory(context, "a.pt", data, size, &model) == SONDE_OK)
        for (size_t i = 0; i < sonde_model_count(model) && i < 64; i++)
            read_tensor(model, i);
    sonde_model_close(model);
    fuzz_finish(context);
    return 0;
}
