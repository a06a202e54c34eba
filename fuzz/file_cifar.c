/* CIFAR records: the first byte says how many labels a record has, the rest is read twice. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t label_bytes = size > 0 && data[0] & 1 ? 2 : 1, skip = size > 0;
    sonde_context *context = fuzz_context();
    sonde__dataset *dataset = NULL;
    fuzz_require(sonde__dataset_new(context, "cifar", label_bytes == 2 ? 100 : 10, &dataset) ==
                 SONDE_OK);
    for (int batch = 0; batch < 2; batch++) {
        sonde__source source = fuzz_source(context, "batch", data + skip, size - skip);
        if (sonde__cifar_parse(context, &source, label_bytes, dataset) != SONDE_OK)
            break;
        fuzz_check_dataset(dataset);
    }
    sonde__dataset_free(context, dataset);
    fuzz_finish(context);
    return 0;
}
