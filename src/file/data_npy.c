/*
 * NumPy's .npy, versions 1 to 3: magic, header length, a Python dictionary literal, the values.
 *
 * The literal is matched by hand against the one form NumPy writes; nothing is evaluated, object
 * arrays (pickled code) are refused, and the product of the shape must be exactly the bytes there.
 *
 *     features: (n, d), (n, height, width) or (n, channels, height, width), any real type
 *     labels:   (n,) or (n, 1), any integer type
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/path.h"
#include "file/data_internal.h"

enum { DIMS_MAX = 8, SIDE_MAX = 1 << 24, CLASSES_MAX = 1 << 20 };

typedef struct npy {
    const char *path;
    char kind; /* f, i, u, b */
    size_t item;
    bool big_endian, fortran;
    size_t dims, shape[DIMS_MAX];
    size_t count; /* of values */
    const uint8_t *data;
    size_t data_offset;
} npy;

/* --- the header ------------------------------------------------------------------------------- */

typedef struct cursor {
    sonde_context *context;
    const char *path;
    const char *text;
    size_t size, at, base; /* `base`: offset of the text in the file */
} cursor;

static sonde_status bad_header(const cursor *c, const char *expected)
{
    return sonde__fail_at(c->context, SONDE_ERROR_FORMAT, c->path, NULL, (int64_t)(c->base + c->at),
                          "%s: the header has no %s at byte %zu; save it again with numpy.save",
                          c->path, expected, c->base + c->at);
}

static void skip_spaces(cursor *c)
{
    while (c->at < c->size && c->text[c->at] == ' ')
        c->at++;
}

static bool accept(cursor *c, const char *word)
{
    size_t length = strlen(word);
    skip_spaces(c);
    if (length > c->size - c->at || memcmp(c->text + c->at, word, length) != 0)
        return false;
    c->at += length;
    return true;
}

/* 'text' or "text", without escapes. */
static bool accept_string(cursor *c, char *to, size_t room)
{
    skip_spaces(c);
    if (c->at >= c->size || (c->text[c->at] != '\'' && c->text[c->at] != '"'))
        return false;
    const char *begin = c->text + c->at + 1;
    const char *end = memchr(begin, c->text[c->at], c->size - c->at - 1);
    if (!end || (size_t)(end - begin) >= room || memchr(begin, '\\', (size_t)(end - begin)))
        return false;
    memcpy(to, begin, (size_t)(end - begin));
    to[end - begin] = '\0';
    c->at = (size_t)(end + 1 - c->text);
    return true;
}

static sonde_status take_type(cursor *c, npy *array)
{
    char type[16];
    if (accept(c, "["))
        return sonde__fail_at(c->context, SONDE_ERROR_UNSUPPORTED, c->path, NULL,
                              (int64_t)(c->base + c->at),
                              "%s: holds records of several fields; save plain numbers", c->path);
    if (!accept_string(c, type, sizeof type))
        return bad_header(c, "type of values");
    if (strchr(type, 'O'))
        return sonde__fail_at(c->context, SONDE_ERROR_UNSUPPORTED, c->path, NULL,
                              (int64_t)(c->base + c->at),
                              "%s: holds Python objects, which can run code and are never read; "
                              "save it as float32 or int64",
                              c->path);
    static const char *const known[] = {"f4", "f8", "i1", "i2", "i4", "i8",
                                        "u1", "u2", "u4", "u8", "b1"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (type[0] && strchr("<>|=", type[0]) && strcmp(type + 1, known[i]) == 0) {
            array->kind = known[i][0];
            array->item = (size_t)(known[i][1] - '0');
            array->big_endian = type[0] == '>';
            return SONDE_OK;
        }
    return sonde__fail_at(
        c->context, SONDE_ERROR_UNSUPPORTED, c->path, NULL, (int64_t)(c->base + c->at),
        "%s: values of type '%s' are not supported; save it as float32 or int64", c->path, type);
}

static sonde_status take_order(cursor *c, npy *array)
{
    if (accept(c, "True"))
        array->fortran = true;
    else if (!accept(c, "False"))
        return bad_header(c, "True or False");
    return SONDE_OK;
}

static bool accept_size(cursor *c, size_t *value)
{
    skip_spaces(c);
    size_t begin = c->at, total = 0;
    while (c->at < c->size && c->text[c->at] >= '0' && c->text[c->at] <= '9') {
        if (!sonde__multiply(total, 10, &total) ||
            !sonde__add(total, (size_t)(c->text[c->at] - '0'), &total))
            return false;
        c->at++;
    }
    *value = total;
    return c->at > begin;
}

static sonde_status take_shape(cursor *c, npy *array)
{
    if (!accept(c, "("))
        return bad_header(c, "shape");
    while (!accept(c, ")")) {
        if (array->dims == DIMS_MAX)
            return sonde__fail_at(c->context, SONDE_ERROR_UNSUPPORTED, c->path, NULL,
                                  (int64_t)(c->base + c->at), "%s: has more than %d dimensions",
                                  c->path, DIMS_MAX);
        if (!accept_size(c, &array->shape[array->dims]))
            return bad_header(c, "size that fits");
        array->dims++;
        if (accept(c, ",") || (c->at < c->size && c->text[c->at] == ')'))
            continue;
        return bad_header(c, "end of the shape");
    }
    return SONDE_OK;
}

static sonde_status take_entry(cursor *c, npy *array, bool seen[3])
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    char key[16];
    size_t which = 0;
    if (!accept_string(c, key, sizeof key))
        return bad_header(c, "key");
    while (which < 3 && strcmp(key, keys[which]) != 0)
        which++;
    if (which == 3 || seen[which] || !accept(c, ":"))
        return bad_header(c, "new key out of descr, fortran_order and shape");
    seen[which] = true;
    skip_spaces(c);
    return which == 0   ? take_type(c, array)
           : which == 1 ? take_order(c, array)
                        : take_shape(c, array);
}

static sonde_status take_dictionary(cursor *c, npy *array)
{
    bool seen[3] = {false, false, false};
    if (!accept(c, "{"))
        return bad_header(c, "dictionary");
    while (!accept(c, "}")) {
        SONDE_TRY(take_entry(c, array, seen));
        if (accept(c, ",") || (c->at < c->size && c->text[c->at] == '}'))
            continue;
        return bad_header(c, "end of the dictionary");
    }
    if (!seen[0] || !seen[1] || !seen[2])
        return bad_header(c, "descr, fortran_order and shape");
    skip_spaces(c);
    if (c->at < c->size && c->text[c->at] == '\n')
        c->at++;
    return c->at == c->size ? SONDE_OK : bad_header(c, "end");
}

/* Finds the dictionary: length in 2 bytes (version 1) or 4 (versions 2 and 3). */
static sonde_status find_header(sonde_context *context, const sonde__source *source, cursor *c)
{
    const uint8_t *b = source->bytes;
    if (source->size < 10)
        return sonde__fail_at(context, SONDE_ERROR_TRUNCATED, source->path, NULL,
                              (int64_t)source->size, "%s: is too short for a .npy file",
                              source->path);
    if (memcmp(b, "\x93NUMPY", 6) != 0)
        return sonde__fail_at(context, SONDE_ERROR_FORMAT, source->path, NULL, 0,
                              "%s: is not a .npy file", source->path);
    if (b[6] < 1 || b[6] > 3 || b[7] != 0)
        return sonde__fail_at(context, SONDE_ERROR_VERSION, source->path, NULL, 6,
                              "%s: .npy version %d.%d is not known; 1.0 to 3.0 are", source->path,
                              b[6], b[7]);
    size_t prefix = b[6] == 1 ? 10 : 12, length = (size_t)b[8] | (size_t)b[9] << 8;
    if (b[6] > 1 && source->size >= 12)
        length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (source->size < prefix || length > source->size - prefix)
        return sonde__fail_at(context, SONDE_ERROR_TRUNCATED, source->path, NULL, 8,
                              "%s: the header should have %zu bytes and the file has only %zu",
                              source->path, length, source->size);
    *c = (cursor){context, source->path, (const char *)b + prefix, length, 0, prefix};
    return SONDE_OK;
}

static sonde_status read_npy(sonde_context *context, const sonde__source *source, npy *array)
{
    cursor c = {0};
    size_t bytes, count = 1;
    bool fits = true;
    *array = (npy){.path = source->path};
    SONDE_TRY(find_header(context, source, &c));
    SONDE_TRY(take_dictionary(&c, array));
    for (size_t i = 0; i < array->dims; i++)
        fits = fits && sonde__multiply(count, array->shape[i], &count);
    size_t there = source->size - c.base - c.size;
    if (!fits || !sonde__multiply(count, array->item, &bytes) || bytes > there)
        return sonde__fail_at(
            context, SONDE_ERROR_TRUNCATED, source->path, NULL, (int64_t)source->size,
            "%s: its shape needs more than the %zu bytes of values there are", source->path, there);
    if (bytes < there)
        return sonde__fail_at(context, SONDE_ERROR_FORMAT, source->path, NULL,
                              (int64_t)(c.base + c.size + bytes),
                              "%s: %zu bytes follow the last value", source->path, there - bytes);
    array->count = count;
    array->data_offset = c.base + c.size;
    array->data = source->bytes + array->data_offset;
    return SONDE_OK;
}

/* --- values ------------------------------------------------------------------------------------- */

static uint64_t value_bits(const npy *array, size_t index)
{
    const uint8_t *at = array->data + index * array->item;
    uint64_t bits = 0;
    for (size_t i = 0; i < array->item; i++)
        bits |= (uint64_t)at[array->big_endian ? array->item - 1 - i : i] << (8 * i);
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

static double real_value(const npy *array, size_t index)
{
    uint64_t bits = value_bits(array, index);
    if (array->kind == 'f' && array->item == 4) {
        uint32_t half = (uint32_t)bits;
        float value;
        memcpy(&value, &half, sizeof value);
        return (double)value;
    }
    if (array->kind == 'f') {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    return array->kind == 'i' ? (double)sign_extended(bits, array->item) : (double)bits;
}

/* Where the value stands that is number `index` in row-major order. */
static size_t stored_index(const npy *array, size_t index)
{
    if (!array->fortran)
        return index;
    size_t stored = 0, stride = array->count;
    for (size_t d = array->dims; d-- > 0;) {
        stride /= array->shape[d];
        stored += index % array->shape[d] * stride;
        index /= array->shape[d];
    }
    return stored;
}

static sonde_status shape_features(sonde_context *context, const npy *array,
                                   sonde__dataset *dataset)
{
    if (array->dims < 2 || array->dims > 4 || array->count == 0)
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, array->path, NULL, -1,
                              "%s: features must be (n, d), (n, height, width) or (n, channels, "
                              "height, width), and not empty",
                              array->path);
    for (size_t d = 1; d < array->dims; d++)
        if (array->shape[d] > SIDE_MAX)
            return sonde__fail_at(context, SONDE_ERROR_SHAPE, array->path, NULL, -1,
                                  "%s: dimension %zu is %zu; at most %d are supported", array->path,
                                  d, array->shape[d], SIDE_MAX);
    if (array->dims == 4 && array->shape[1] > SONDE__CHANNELS_MAX &&
        (array->shape[3] == 1 || array->shape[3] == 3))
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, array->path, NULL, -1,
                              "%s: looks like (n, height, width, channels); save x.transpose(0, 3, "
                              "1, 2)",
                              array->path);
    int sizes[3] = {1, 1, 1};
    size_t first = array->dims == 3 ? 1 : 0;
    for (size_t d = 1; d < array->dims; d++)
        sizes[first + d - 1] = (int)array->shape[d];
    dataset->count = array->shape[0];
    dataset->channels = sizes[0];
    dataset->height = sizes[1];
    dataset->width = sizes[2];
    dataset->image = array->dims > 2;
    return SONDE_OK;
}

static sonde_status copy_bytes(sonde_context *context, const npy *array, sonde__dataset *dataset)
{
    dataset->bytes = sonde__alloc(context, array->count, 1);
    if (!dataset->bytes)
        return sonde_context_error(context)->status;
    if (!array->fortran)
        memcpy(dataset->bytes, array->data, array->count);
    for (size_t i = 0; array->fortran && i < array->count; i++)
        dataset->bytes[i] = array->data[stored_index(array, i)];
    return SONDE_OK;
}

static sonde_status copy_floats(sonde_context *context, const npy *array, sonde__dataset *dataset)
{
    dataset->floats = sonde__alloc(context, array->count, sizeof *dataset->floats);
    if (!dataset->floats)
        return sonde_context_error(context)->status;
    size_t row = array->count / array->shape[0];
    for (size_t i = 0; i < array->count; i++) {
        size_t stored = stored_index(array, i);
        float value = (float)real_value(array, stored);
        if (!isfinite(value))
            return sonde__fail_at(context, SONDE_ERROR_RANGE, array->path, NULL,
                                  (int64_t)(array->data_offset + stored * array->item),
                                  "%s: value %zu of example %zu is not finite as a float",
                                  array->path, i % row, i / row);
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
    bool pixels = array.kind == 'u' && array.item == 1 && dataset->image &&
                  dataset->channels <= SONDE__CHANNELS_MAX;
    return pixels ? copy_bytes(context, &array, dataset) : copy_floats(context, &array, dataset);
}

static sonde_status check_label_array(sonde_context *context, const npy *array,
                                      const sonde__dataset *dataset)
{
    bool flat = array->dims == 1 || (array->dims == 2 && array->shape[1] == 1);
    if (!flat || array->kind == 'f')
        return sonde__fail_at(context, flat ? SONDE_ERROR_UNSUPPORTED : SONDE_ERROR_SHAPE,
                              array->path, NULL, -1,
                              "%s: labels must be integers in one dimension; save "
                              "y.astype('int64').ravel()",
                              array->path);
    if (array->count != dataset->count)
        return sonde__fail_at(context, SONDE_ERROR_SHAPE, array->path, NULL, -1,
                              "%s: holds %zu labels for %zu examples", array->path, array->count,
                              dataset->count);
    return SONDE_OK;
}

static sonde_status take_labels(sonde_context *context, const sonde__source *source, int classes,
                                sonde__dataset *dataset)
{
    npy array = {0};
    int32_t largest = 1;
    SONDE_TRY(read_npy(context, source, &array));
    SONDE_TRY(check_label_array(context, &array, dataset));
    dataset->labels = sonde__alloc(context, array.count, sizeof *dataset->labels);
    if (!dataset->labels)
        return sonde_context_error(context)->status;
    for (size_t i = 0; i < array.count; i++) {
        uint64_t bits = value_bits(&array, i);
        int64_t label = array.kind == 'i'    ? sign_extended(bits, array.item)
                        : bits > CLASSES_MAX ? CLASSES_MAX
                                             : (int64_t)bits;
        SONDE_TRY(sonde__check_label(context, array.path,
                                     (int64_t)(array.data_offset + i * array.item), i, label,
                                     classes ? classes : CLASSES_MAX));
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
