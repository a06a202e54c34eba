/* A pickle; the first byte says whether more of the file would follow. */
#include "fuzz.h"

#include "file/pickle.h"

/* What every value of a container promises; the walk is bounded, as values may be shared. */
static void check_value(const sonde__pickle_value *value, size_t size, int depth, size_t *left)
{
    fuzz_require(value != NULL && value->kind <= SONDE__PICKLE_TENSOR);
    fuzz_require(value->at < size);
    if (value->kind == SONDE__PICKLE_TENSOR)
        fuzz_require(value->as.tensor->dims <= SONDE_TENSOR_DIMS_MAX &&
                     value->as.tensor->first <= value->as.tensor->storage->view_count);
    if (value->kind < SONDE__PICKLE_LIST || value->kind > SONDE__PICKLE_DICT || depth == 0)
        return;
    fuzz_require(value->kind != SONDE__PICKLE_DICT || value->as.list.count % 2 == 0);
    for (size_t i = 0; i<value->as.list.count && * left> 0; i++, --*left)
        check_value(value->as.list.items[i], size, depth - 1, left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    sonde_context *context = fuzz_context();
    sonde__source copy = fuzz_source(context, "a.pt", data + 1, size - 1);
    sonde__pickle_source source = {
        .path = "a.pt", .bytes = copy.bytes, .size = size - 1, .more = data[0] & 1};
    sonde__pickle *pickle = NULL;
    size_t end = 0, left = 100000;
    if (sonde__pickle_read(context, &source, &pickle, &end) == SONDE_OK) {
        fuzz_require(end <= source.size);
        check_value(sonde__pickle_root(pickle), source.size, 100, &left);
        (void)sonde__pickle_get(sonde__pickle_root(pickle), "little_endian");
    }
    sonde__pickle_free(pickle);
    sonde__free(context, copy.bytes);
    fuzz_finish(context);
    return 0;
}
