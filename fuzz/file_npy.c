/* A feature file and a label file in .npy form. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sonde_context *context = fuzz_context();
    sonde__source features, labels;
    sonde__dataset *dataset = NULL;
    fuzz_split(context, data, size, &features, &labels);
    fuzz_require(sonde__dataset_new(context, "npy", 0, &dataset) == SONDE_OK);
    if (sonde__npy_parse(context, &features, &labels, 0, dataset) == SONDE_OK)
        fuzz_check_dataset(dataset);
    sonde__dataset_free(context, dataset);
    fuzz_finish(context);
    return 0;
}
