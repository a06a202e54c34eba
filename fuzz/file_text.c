/* A training and a test text; the first byte is how many characters an example has, and whether the
 * test text is there. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    sonde_context *context = fuzz_context();
    sonde__source train, test;
    sonde__dataset *sets[2] = {NULL, NULL};
    fuzz_split(context, data + 1, size - 1, &train, &test);
    const sonde_status status = sonde__text_parse(context, &train, data[0] & 128 ? &test : NULL,
                                                  data[0] & 127, &sets[0], &sets[1]);
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; status == SONDE_OK && sets[i] && k < sets[i]->count; k++)
            for (int t = 0; t < sets[i]->rows; t++) {
                const size_t at = k * (size_t)sets[i]->rows + (size_t)t;
                fuzz_require(sets[i]->bytes[at] < sets[i]->classes);
                fuzz_require(sets[i]->labels[at] >= 0 && sets[i]->labels[at] < sets[i]->classes);
            }
        sonde__dataset_free(context, sets[i]);
    }
    sonde__source_free(context, &train);
    sonde__source_free(context, &test);
    fuzz_finish(context);
    return 0;
}
