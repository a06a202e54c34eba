/*
 * The header of a .npy array (NumPy's format.py, NEP 1): b"\x93NUMPY", two bytes of version, the
 * length of the text in 2 bytes (version 1) or 4 (2 and 3), and as text
 *
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
 *
 * with the keys in any order. Each fault names the byte where it was found.
 */
#include "file/npy.h"

#include <string.h>

#include "base/checked.h"
#include "base/text.h"

typedef struct cursor {
    const sonde__npy_place *place;
    const char *text;
    size_t size, at, base; /* `base`: offset of the text in the array */
} cursor;

/* At byte `at` of the array. */
static sonde_status fault(const sonde__npy_place *place, sonde_status status, size_t at,
                          const char *format, ...) SONDE_PRINTF(4, 5);
static sonde_status fault(const sonde__npy_place *place, sonde_status status, size_t at,
                          const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    sonde__vformat(text, sizeof text, format, arguments);
    va_end(arguments);
    const int64_t offset = place->base + (place->packed ? 0 : (int64_t)at);
    return sonde__fail_at(place->context, status, place->path, place->item, offset, "%s%s%s: %s",
                          place->path, place->item ? ": " : "", place->item ? place->item : "",
                          text);
}

static sonde_status bad_header(const cursor *c, const char *expected)
{
    return fault(c->place, SONDE_ERROR_FORMAT, c->base + c->at,
                 "the header has no %s at byte %zu; save it again with numpy.save", expected,
                 c->base + c->at);
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

/* 'text' or "text", without escapes or control characters. */
static bool accept_string(cursor *c, char *to, size_t room)
{
    skip_spaces(c);
    if (c->at >= c->size || (c->text[c->at] != '\'' && c->text[c->at] != '"'))
        return false;
    const char *begin = c->text + c->at + 1;
    const char *end = memchr(begin, c->text[c->at], c->size - c->at - 1);
    if (!end || (size_t)(end - begin) >= room)
        return false;
    for (const char *byte = begin; byte < end; byte++)
        if (*byte == '\\' || *byte < 0x20 || *byte == 0x7f)
            return false;
    memcpy(to, begin, (size_t)(end - begin));
    to[end - begin] = '\0';
    c->at = (size_t)(end + 1 - c->text);
    return true;
}

static bool is_number_type(const char *type)
{
    static const char *const known[] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8",
                                        "u1", "u2", "u4", "u8", "b1", "c8", "c16"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i]) == 0)
            return true;
    return false;
}

static sonde_status take_type(cursor *c, sonde__npy *array)
{
    const size_t begin = c->base + c->at;
    if (accept(c, "["))
        return fault(c->place, SONDE_ERROR_UNSUPPORTED, begin,
                     "holds records of several fields; save plain numbers");
    if (!accept_string(c, array->type, sizeof array->type))
        return bad_header(c, "type of values");
    const char *type = array->type;
    if (strchr(type, 'O'))
        return fault(c->place, SONDE_ERROR_UNSUPPORTED, begin,
                     "holds Python objects, which can run code and are never read; save it as "
                     "float32 or int64");
    if (!type[0] || !strchr("<>|=", type[0]) ||
        (!is_number_type(type + 1) && !(type[1] && strchr("USMm", type[1]))))
        return fault(c->place, SONDE_ERROR_UNSUPPORTED, begin,
                     "values of type '%s' are not supported; save it as float32 or int64", type);
    array->kind = type[1];
    array->big_endian = type[0] == '>';
    if (is_number_type(type + 1))
        array->item = strcmp(type + 2, "16") == 0 ? 16 : (size_t)(type[2] - '0');
    return SONDE_OK;
}

static sonde_status take_order(cursor *c, sonde__npy *array)
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
    return c->at > begin && total <= INT64_MAX;
}

/* (), (2,) or (2, 3); (2) is a number to Python, and no shape. */
static sonde_status take_shape(cursor *c, sonde__npy *array)
{
    bool comma = true;
    if (!accept(c, "("))
        return bad_header(c, "shape");
    while (!accept(c, ")")) {
        if (!comma)
            return bad_header(c, "end of the shape");
        if (array->dims == SONDE_TENSOR_DIMS_MAX)
            return fault(c->place, SONDE_ERROR_UNSUPPORTED, c->base + c->at,
                         "has more than %d dimensions", SONDE_TENSOR_DIMS_MAX);
        if (!accept_size(c, &array->shape[array->dims]))
            return bad_header(c, "size that fits");
        array->dims++;
        comma = accept(c, ",");
    }
    return array->dims == 1 && !comma ? bad_header(c, "comma in the shape") : SONDE_OK;
}

static sonde_status take_entry(cursor *c, sonde__npy *array, bool seen[3])
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

static sonde_status take_dictionary(cursor *c, sonde__npy *array)
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

sonde_status sonde__npy_header_size(const sonde__npy_place *place, const uint8_t *head, size_t got,
                                    uint64_t total, size_t *size)
{
    if (got < 10)
        return fault(place, SONDE_ERROR_TRUNCATED, got, "is too short for a .npy file");
    if (memcmp(head, "\x93NUMPY", 6) != 0)
        return fault(place, SONDE_ERROR_FORMAT, 0, "is not a .npy file");
    if (head[6] < 1 || head[6] > 3 || head[7] != 0)
        return fault(place, SONDE_ERROR_VERSION, 6,
                     ".npy version %d.%d is not known; 1.0 to 3.0 are", head[6], head[7]);
    size_t prefix = head[6] == 1 ? 10 : 12, length = (size_t)head[8] | (size_t)head[9] << 8;
    if (head[6] > 1 && got >= 12)
        length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    if (total < prefix || length > total - prefix)
        return fault(place, SONDE_ERROR_TRUNCATED, 8,
                     "the header should have %zu bytes and the file has only %llu", length,
                     (unsigned long long)total);
    if (prefix + length > SONDE__NPY_HEADER_MAX)
        return fault(place, SONDE_ERROR_UNSUPPORTED, 8,
                     "the header has %zu bytes; at most %d are read", prefix + length,
                     SONDE__NPY_HEADER_MAX);
    *size = prefix + length;
    return SONDE_OK;
}

/* The bytes that follow the header must be the product of shape and item. */
static sonde_status check_size(const sonde__npy_place *place, uint64_t total, sonde__npy *array)
{
    size_t bytes, count = 1;
    bool fits = true, empty = false;
    for (int i = 0; i < array->dims; i++) {
        fits = fits && sonde__multiply(count, array->shape[i], &count);
        empty = empty || array->shape[i] == 0;
    }
    if (empty) { /* whatever the other sizes are */
        count = 0;
        fits = true;
    }
    const uint64_t there = total - array->header_bytes;
    if (!fits || !sonde__multiply(count, array->item, &bytes) || bytes > there)
        return fault(place, SONDE_ERROR_TRUNCATED, (size_t)total,
                     "its shape needs more than the %llu bytes of values there are",
                     (unsigned long long)there);
    if (bytes < there)
        return fault(place, SONDE_ERROR_FORMAT, array->header_bytes + bytes,
                     "%llu bytes follow the last value", (unsigned long long)(there - bytes));
    array->count = count;
    return SONDE_OK;
}

sonde_status sonde__npy_parse_header(const sonde__npy_place *place, const uint8_t *head,
                                     size_t header_size, uint64_t total, sonde__npy *array)
{
    const size_t prefix = head[6] == 1 ? 10 : 12;
    cursor c = {place, (const char *)head + prefix, header_size - prefix, 0, prefix};
    *array = (sonde__npy){.header_bytes = header_size};
    SONDE_TRY(take_dictionary(&c, array));
    if (array->item == 0)
        return SONDE_OK; /* text and dates: nobody reads them */
    return check_size(place, total, array);
}

sonde_number sonde__npy_number(const sonde__npy *array)
{
    static const struct {
        char type[4];
        sonde_number number;
    } numbers[] = {
        {"f2", SONDE_NUMBER_F16}, {"f4", SONDE_NUMBER_F32},   {"f8", SONDE_NUMBER_F64},
        {"i1", SONDE_NUMBER_I8},  {"i2", SONDE_NUMBER_I16},   {"i4", SONDE_NUMBER_I32},
        {"i8", SONDE_NUMBER_I64}, {"u1", SONDE_NUMBER_U8},    {"u2", SONDE_NUMBER_U16},
        {"u4", SONDE_NUMBER_U32}, {"u8", SONDE_NUMBER_U64},   {"b1", SONDE_NUMBER_BOOL},
        {"c8", SONDE_NUMBER_C64}, {"c16", SONDE_NUMBER_C128},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(array->type + 1, numbers[i].type) == 0)
            return numbers[i].number;
    return (sonde_number)0;
}

void sonde__npy_strides(const sonde__npy *array, int64_t *strides)
{
    size_t stride = 1;
    for (int i = 0; i < array->dims; i++) {
        const int d = array->fortran ? i : array->dims - 1 - i;
        strides[d] = array->count ? (int64_t)stride : 1;
        stride = array->count ? stride * array->shape[d] : 1;
    }
}
