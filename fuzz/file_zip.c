/* A zip archive: directory, headers, and the content of every member. */
#include "fuzz.h"

#include "file/zip.h"

static void check_member(sonde_context *context, const sonde__zip *zip, size_t index, size_t size)
{
    const sonde__zip_member *member = sonde__zip_at(zip, index);
    uint8_t *bytes = NULL;
    size_t length = 0;
    fuzz_require(member->offset <= size && member->packed <= size - member->offset);
    fuzz_require(sonde__zip_find(zip, member->name) == member);
    if (sonde__zip_read(zip, member, 1 << 20, &bytes, &length) != SONDE_OK)
        return;
    fuzz_require(length == member->bytes);
    volatile uint8_t last = length ? bytes[length - 1] : 0;
    (void)last;
    sonde__free(context, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sonde_context *context = fuzz_context();
    sonde__input *input = NULL;
    sonde__zip *zip = NULL;
    fuzz_require(sonde__input_memory(context, "a.zip", data, size, &input) == SONDE_OK);
    if (sonde__zip_open(context, input, &zip) == SONDE_OK)
        for (size_t i = 0; i < sonde__zip_count(zip); i++)
            check_member(context, zip, i, size);
    sonde__zip_close(zip);
    sonde__input_close(input);
    fuzz_finish(context);
    return 0;
}
