/*
 * Data sets in NumPy's .npy: one file of features, one of labels (the header: file/npy.h).
 *
 *     features: (n, d), (n, height, width) or (n, channels, height, width), any real type
 *     labels:   (n,) or (n, 1), any integer type
 */
#include <math.h>
#include <string.h>

#include "base/path.h"
#include "file/data_internal.h"
#include "file/npy.h"
#include "num/formats.h"

enum { SIDE_MAX = 1 << 24, CLASSES_MAX = 1 << 20 };

typedef struct npy {
    const char *path;
    sonde__npy header;
    int64_t strides[SONDE_TENSOR_DIMS_MAX];
    const uint8_t *data;
} npy;

static sonde_status read_npy(sonde_context *context, const sonde__source *source, npy *array)
{
    const sonde__npy_place place = {context, source->path, NULL, 0, false};
    size_t size = 0;
    array->path = source->path;
    SONDE_TRY(sonde__npy_header_size(&place, source->bytes, source->size, source->size, &size));
    SONDE_TRY(sonde__npy_parse_header(&place, source->bytes, size, source->size, &array->header));
    if (!strchr("fiub", array->header.kind))
        return sonde__fail_at(context, SONDE_ERROR_UNSUPPORTED, source->path, NULL, -1,
                              "%s: values of type '%s' are not supported; save it as float32 or "
                              "int64",
                              source->path, array->header.type);
    sonde__npy_strides(&array->header, array->strides);
    array->data = source->bytes + size;
    return SONDE_OK;
}

/* --- values ------------------------------------------------------------------------------------- */

static uint64_t value_bits(const npy *array, size_t index)
{
    const size_t item = array->header.item;
    const uint8_t *at = array->data + index * item;
    uint64_t bits = 0;
    for (size_t i = 0; i < item; i++)
        bits |= (uint64_t)at[array->header.big_endian ? item - 1 - i : i] << (8 * i);
    return bits;
}

static int64_t sign_extended(uint64_t bits, size_t item)
{
    uint64_t sign = (uint64_t)1 << (8 * item - 1);
    uint64_t mask = item == 8 ? UINT64_MAX : (sign << 1) - 1;
    int64_t value;
    bits = ((bits & mask) ^ sign) - sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double float_value(uint64_t bits, size_t item)
{
    const uint16_t half = (uint16_t)bits;
    const uint32_t single = (uint32_t)bits;
    double value;
    if (item == 8)
        memcpy(&value, &bits, sizeof value);
    else if (item == 4)
        sonde__to_doubles(&value, &single, SONDE_F32, 0, 1);
    else
        sonde__to_doubles(&value, &half, SONDE_F16, 0, 1);
    return value;
}

static double real_value(const npy *array, size_t index)
{
    const uint64_t bits = value_bits(array, index);
    if (array->header.kind == 'f')
        return float_value(bits, array->header.item);
    return array->header.kind == 'i' ? (double)sign_extended(bits, array->header.item)
                                     : (double)bits;
}

/* Where the value stands that is number `index` in row-major order. */
static size_t stored_index(const npy *array, size_t index)
{
    if (!array->header.fortran)
        return index;
    size_t stored = 0;
    for (int d = array->header.dims; d-- > 0;) {
        stored += index % array->header.shape[d] * (size_t)array->strides[d];
        index /= array->header.shape[d];
    }
    return stored;
}

static sonde_status shape_features(sonde_context *context, const npy *array,
                                   sonde__dataset *dataset)
{
    if (array->header.dims < 2 || array->header.dims > 4 || array->header.count == 0)
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, array->path, NULL, -1,
                              "%s: features must be (n, d), (n, height, width) or (n, channels, "
                              "height, width), and not empty",
                              array->path);
    for (int d = 1; d < array->header.dims; d++)
        if (array->header.shape[d] > SIDE_MAX)
            return sonde__fail_at(context, SONDE_ERROR_SHAPE, array->path, NULL, -1,
                                  "%s: dimension %d is %zu; at most %d are supported", array->path,
                                  d, array->header.shape[d], SIDE_MAX);
    if (array->header.dims == 4 && array->header.shape[1] > SONDE__CHANNELS_MAX &&
        (array->header.shape[3] == 1 || array->header.shape[3] == 3))
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, array->path, NULL, -1,
                              "%s: looks like (n, height, width, channels); save x.transpose(0, 3, "
                              "1, 2)",
                              array->path);
    int sizes[3] = {1, 1, 1};
    const int first = array->header.dims == 3 ? 1 : 0;
    for (int d = 1; d < array->header.dims; d++)
        sizes[first + d - 1] = (int)array->header.shape[d];
    dataset->count = array->header.shape[0];
    dataset->channels = sizes[0];
    dataset->height = sizes[1];
    dataset->width = sizes[2];
    dataset->image = array->header.dims > 2;
    return SONDE_OK;
}

static sonde_status copy_bytes(sonde_context *context, const npy *array, sonde__dataset *dataset)
{
    dataset->bytes = sonde__alloc(context, array->header.count, 1);
    if (!dataset->bytes)
        return sonde_context_error(context)->status;
    if (!array->header.fortran)
        memcpy(dataset->bytes, array->data, array->header.count);
    for (size_t i = 0; array->header.fortran && i < array->header.count; i++)
        dataset->bytes[i] = array->data[stored_index(array, i)];
    return SONDE_OK;
}

static sonde_status copy_floats(sonde_context *context, const npy *array, sonde__dataset *dataset)
{
    dataset->floats = sonde__alloc(context, array->header.count, sizeof *dataset->floats);
    if (!dataset->floats)
        return sonde_context_error(context)->status;
    size_t row = array->header.count / array->header.shape[0];
    for (size_t i = 0; i < array->header.count; i++) {
        size_t stored = stored_index(array, i);
        float value = (float)real_value(array, stored);
        if (!isfinite(value))
            return sonde__fail_at(
                context, SONDE_ERROR_RANGE, array->path, NULL,
                (int64_t)(array->header.header_bytes + stored * array->header.item),
                "%s: value %zu of example %zu is not finite as a float", array->path, i % row,
                i / row);
        dataset->floats[i] = value;
    }
    return SONDE_OK;
}

/* Pixels stay bytes where normalisation per channel makes sense of them. */
static sonde_status take_features(sonde_context *context, const sonde__source *source,
                                  sonde__dataset *dataset)
{
    npy array = {0};
    SONDE_TRY(read_npy(context, source, &array));
    SONDE_TRY(shape_features(context, &array, dataset));
    bool pixels = array.header.kind == 'u' && array.header.item == 1 && dataset->image &&
                  dataset->channels <= SONDE__CHANNELS_MAX;
    return pixels ? copy_bytes(context, &array, dataset) : copy_floats(context, &array, dataset);
}

static sonde_status check_label_array(sonde_context *context, const npy *array,
                                      const sonde__dataset *dataset)
{
    bool flat = array->header.dims == 1 || (array->header.dims == 2 && array->header.shape[1] == 1);
    if (!flat || array->header.kind == 'f')
        return sonde__fail_at(context, flat ? SONDE_ERROR_UNSUPPORTED : SONDE_ERROR_SHAPE,
                              array->path, NULL, -1,
                              "%s: labels must be integers in one dimension; save "
                              "y.astype('int64').ravel()",
                              array->path);
    if (array->header.count != dataset->count)
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, array->path, NULL, -1,
                              "%s: holds %zu labels for %zu examples", array->path,
                              array->header.count, dataset->count);
    return SONDE_OK;
}

static sonde_status take_labels(sonde_context *context, const sonde__source *source, int classes,
                                sonde__dataset *dataset)
{
    npy array = {0};
    int32_t largest = 1;
    SONDE_TRY(read_npy(context, source, &array));
    SONDE_TRY(check_label_array(context, &array, dataset));
    dataset->labels = sonde__alloc(context, array.header.count, sizeof *dataset->labels);
    if (!dataset->labels)
        return sonde_context_error(context)->status;
    for (size_t i = 0; i < array.header.count; i++) {
        uint64_t bits = value_bits(&array, i);
        int64_t label = array.header.kind == 'i' ? sign_extended(bits, array.header.item)
                        : bits > CLASSES_MAX     ? CLASSES_MAX
                                                 : (int64_t)bits;
        SONDE_TRY(sonde__check_label(context, array.path,
                                     (int64_t)(array.header.header_bytes + i * array.header.item),
                                     i, label, classes ? classes : CLASSES_MAX));
        dataset->labels[i] = (int32_t)label;
        largest = dataset->labels[i] > largest ? dataset->labels[i] : largest;
    }
    dataset->classes = classes ? classes : largest + 1;
    return SONDE_OK;
}

sonde_status sonde__npy_parse(sonde_context *context, sonde__source *features,
                              sonde__source *labels, int classes, sonde__dataset *dataset)
{
    sonde_status status = take_features(context, features, dataset);
    sonde__source_free(context, features);
    if (status == SONDE_OK)
        status = take_labels(context, labels, classes, dataset);
    sonde__source_free(context, labels);
    return status;
}

/* --- loading ------------------------------------------------------------------------------------ */

static sonde_status read_in(sonde_context *context, const char *folder, const char *name,
                            char **path, sonde__source *source)
{
    bool relative = folder && folder[0] && name[0] != '/';
    *path = relative ? sonde__path_join(context, folder, name) : sonde__copy_string(context, name);
    if (!*path)
        return sonde_context_error(context)->status;
    return sonde__source_read(context, *path, source);
}

static sonde_status load_part(sonde_context *context, const char *folder, const char *features,
                              const char *labels, int classes, sonde__dataset **out)
{
    char *feature_path = NULL, *label_path = NULL;
    sonde__source feature_source = {0}, label_source = {0};
    sonde__dataset *dataset = NULL;
    sonde_status status;
    if (!features || !labels)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "npy", -1,
                              "npy data needs two files: one of features and one of labels");
    SONDE_TRY_CLEAN(read_in(context, folder, features, &feature_path, &feature_source));
    SONDE_TRY_CLEAN(read_in(context, folder, labels, &label_path, &label_source));
    SONDE_TRY_CLEAN(sonde__dataset_new(context, "npy", classes, &dataset));
    SONDE_TRY_CLEAN(sonde__npy_parse(context, &feature_source, &label_source, classes, dataset));
    *out = dataset;
    dataset = NULL;
cleanup:
    sonde__dataset_free(context, dataset);
    sonde__source_free(context, &feature_source);
    sonde__source_free(context, &label_source);
    sonde__free(context, feature_path);
    sonde__free(context, label_path);
    return status;
}

sonde_status sonde__load_npy(sonde_context *context, const sonde__data_request *request,
                             sonde__dataset **train, sonde__dataset **test)
{
    if (request->classes > CLASSES_MAX)
        return sonde__fail(context, SONDE_ERROR_RANGE, "%d classes; at most %d are supported",
                           request->classes, CLASSES_MAX);
    SONDE_TRY(load_part(context, request->folder, request->train_features, request->train_labels,
                        request->classes, train));
    if (!request->test_features && !request->test_labels)
        return SONDE_OK;
    return load_part(context, request->folder, request->test_features, request->test_labels,
                     (*train)->classes, test);
}
