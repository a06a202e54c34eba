/* An image file and a label file in IDX form, plain or gzip. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sonde_context *context = fuzz_context();
    sonde__source images, labels;
    sonde__dataset *dataset = NULL;
    fuzz_split(context, data, size, &images, &labels);
    fuzz_require(sonde__dataset_new(context, "mnist", 10, &dataset) == SONDE_OK);
    if (sonde__idx_parse(context, &images, &labels, dataset) == SONDE_OK)
        fuzz_check_dataset(dataset);
    sonde__dataset_free(context, dataset);
    fuzz_finish(context);
    return 0;
}
