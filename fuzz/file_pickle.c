/* A pickle; the first byte says whether more of the file would follow. */
#include "fuzz.h"

#include "file/pickle.h"

typedef struct bounds {
    size_t size;   /* of the pickle */
    size_t visits; /* that are left: values may be shared, and shared again */
} bounds;

/* What every value of a container promises. */
static void check_value(const sonde__pickle_value *value, int depth, bounds *b)
{
    fuzz_require(value != NULL && value->kind <= SONDE__PICKLE_TENSOR);
    fuzz_require(value->at < b->size);
    if (value->kind == SONDE__PICKLE_TENSOR)
        fuzz_require(value->as.tensor->dims <= SONDE_TENSOR_DIMS_MAX &&
                     value->as.tensor->first <= value->as.tensor->storage->view_count);
    if (value->kind < SONDE__PICKLE_LIST || value->kind > SONDE__PICKLE_DICT || depth == 0)
        return;
    fuzz_require(value->kind != SONDE__PICKLE_DICT || value->as.list.count % 2 == 0);
    for (size_t i = 0; i < value->as.list.count && b->visits != 0; i++) {
        b->visits--;
        check_value(value->as.list.items[i], depth - 1, b);
    }
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
    bounds b = {source.size, 100000};
    size_t end = 0;
    if (sonde__pickle_read(context, &source, &pickle, &end) == SONDE_OK) {
        fuzz_require(end <= source.size);
        check_value(sonde__pickle_root(pickle), 100, &b);
        (void)sonde__pickle_get(sonde__pickle_root(pickle), "little_endian");
    }
    sonde__pickle_free(pickle);
    sonde__free(context, copy.bytes);
    fuzz_finish(context);
    return 0;
}
