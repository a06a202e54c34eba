/*
 * The key-value pairs of a GGUF file (ggml, docs/gguf.md): key, type, value.
 *
 * Single values become text; arrays are skipped and become a summary ("[32000 strings]"), so that a
 * vocabulary costs no memory. Every length is checked against the bytes that are left before it is
 * used, and arrays of arrays may nest only so deep.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "file/gguf_internal.h"
#include "num/formats.h"

enum {
    NEST_MAX = 8,           /* arrays in arrays; ggml itself writes none */
    STRING_SHOWN = 1 << 20, /* longer ones are summarised */
    PAIR_LEAST = 8 + 4 + 1, /* bytes of a pair: an empty key, its type, a byte */
    VALUE_ROOM = 48
};

static const char ALIGNMENT_KEY[] = "general.alignment";

typedef enum value_type {
    TYPE_U8 = 0,
    TYPE_I8 = 1,
    TYPE_U16 = 2,
    TYPE_I16 = 3,
    TYPE_U32 = 4,
    TYPE_I32 = 5,
    TYPE_F32 = 6,
    TYPE_BOOL = 7,
    TYPE_STRING = 8,
    TYPE_ARRAY = 9,
    TYPE_U64 = 10,
    TYPE_I64 = 11,
    TYPE_F64 = 12
} value_type;

/* `bytes` is the least that one takes. */
static const struct {
    const char *plural;
    size_t bytes;
    char kind; /* u, i, f, b; or s, a: of no fixed size */
} TYPES[] = {
    [TYPE_U8] = {"u8", 1, 'u'},          [TYPE_I8] = {"i8", 1, 'i'},
    [TYPE_U16] = {"u16", 2, 'u'},        [TYPE_I16] = {"i16", 2, 'i'},
    [TYPE_U32] = {"u32", 4, 'u'},        [TYPE_I32] = {"i32", 4, 'i'},
    [TYPE_F32] = {"f32", 4, 'f'},        [TYPE_BOOL] = {"bools", 1, 'b'},
    [TYPE_STRING] = {"strings", 8, 's'}, [TYPE_ARRAY] = {"arrays", 12, 'a'},
    [TYPE_U64] = {"u64", 8, 'u'},        [TYPE_I64] = {"i64", 8, 'i'},
    [TYPE_F64] = {"f64", 8, 'f'},
};

enum { TYPE_COUNT = sizeof TYPES / sizeof *TYPES };

static sonde_status take_type(sonde__gguf *file, const char *key, uint64_t *type)
{
    SONDE_TRY(sonde__gguf_take(file, "type of a value", 4, type));
    if (*type >= TYPE_COUNT)
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, key, file->at - 4,
                                "the value of '%.100s' is of the unknown type %" PRIu64, key,
                                *type);
    return SONDE_OK;
}

/* --- single values ---------------------------------------------------------------------------------- */

/* The shortest decimal that reads back as the same number. */
static void format_real(double value, bool single, char text[VALUE_ROOM])
{
    double back = 0;
    for (int digits = single ? 6 : 15; digits <= (single ? 9 : 17); digits++) {
        sonde__format(text, VALUE_ROOM, "%.*g", digits, value);
        if (sonde__parse_double(text, &back) &&
            (single ? (float)back == (float)value : back == value))
            return;
    }
}

static double real_of_bits(uint64_t bits, size_t bytes)
{
    const uint32_t half = (uint32_t)bits;
    double value;
    if (bytes == 4)
        sonde__to_doubles(&value, &half, SONDE_F32, 0, 1);
    else
        memcpy(&value, &bits, sizeof value);
    return value;
}

/* The value of `bytes` bytes as text. */
static void format_scalar(char kind, size_t bytes, uint64_t bits, char text[VALUE_ROOM])
{
    const uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    if (kind == 'f') {
        format_real(real_of_bits(bits, bytes), bytes == 4, text);
    } else if (kind == 'i' && (bits & sign)) {
        const uint64_t magnitude = sign - (bits & (sign - 1));
        sonde__format(text, VALUE_ROOM, "-%" PRIu64, magnitude);
    } else if (kind == 'b') {
        sonde__format(text, VALUE_ROOM, "%s", bits ? "true" : "false");
    } else {
        sonde__format(text, VALUE_ROOM, "%" PRIu64, bits);
    }
}

static sonde_status take_alignment(sonde__gguf *file, const char *key, uint64_t value)
{
    if (value < 8 || value > SONDE__GGUF_ALIGNMENT_MAX || (value & (value - 1)) != 0)
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, key, file->at - 4,
                                "the alignment is %" PRIu64
                                "; it must be a power of two from 8 to %d",
                                value, SONDE__GGUF_ALIGNMENT_MAX);
    file->alignment = value;
    return SONDE_OK;
}

static sonde_status read_scalar(sonde__gguf *file, const char *key, uint64_t type)
{
    char text[VALUE_ROOM];
    uint64_t bits = 0;
    SONDE_TRY(sonde__gguf_take(file, "value", TYPES[type].bytes, &bits));
    if (type == TYPE_BOOL && bits > 1)
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, key, file->at - 1,
                                "'%.100s' is a truth value of %" PRIu64 "; 0 and 1 are known", key,
                                bits);
    if (strcmp(key, ALIGNMENT_KEY) == 0)
        SONDE_TRY(take_alignment(file, key, bits));
    if (strcmp(key, "split.count") == 0 && TYPES[type].kind == 'u' && bits > 1)
        SONDE_TRY(sonde__model_warn(file->model,
                                    "this file is one of %" PRIu64 " parts of a model; the tensors "
                                    "of the others are not in it",
                                    bits));
    format_scalar(TYPES[type].kind, TYPES[type].bytes, bits, text);
    return sonde__model_add_metadata(file->model, key, text);
}

static sonde_status take_length(sonde__gguf *file, const char *key, uint64_t *length)
{
    SONDE_TRY(sonde__gguf_take(file, "length of a string", 8, length));
    if (*length > file->size - file->at)
        return sonde__gguf_fail(file, SONDE_ERROR_TRUNCATED, key, file->at - 8,
                                "a string of '%.100s' should have %" PRIu64
                                " bytes; the file has %" PRIu64 " more",
                                key, *length, file->size - file->at);
    return SONDE_OK;
}

static sonde_status add_string(sonde__gguf *file, const char *key, char *text, size_t length)
{
    SONDE_TRY(sonde__input_read(file->input, key, file->at, text, length));
    text[length] = '\0';
    if (memchr(text, '\0', length))
        sonde__format(text, length + 1, "[bytes]"); /* text would end too early */
    return sonde__model_add_metadata(file->model, key, text);
}

static sonde_status read_string(sonde__gguf *file, const char *key)
{
    char summary[VALUE_ROOM];
    uint64_t length = 0;
    SONDE_TRY(take_length(file, key, &length));
    if (length > STRING_SHOWN) {
        sonde__format(summary, sizeof summary, "[string of %" PRIu64 " bytes]", length);
        file->at += length;
        return sonde__model_add_metadata(file->model, key, summary);
    }
    char *text = sonde__alloc(file->context, (size_t)length + 1, 1);
    if (!text)
        return sonde_context_error(file->context)->status;
    const sonde_status status = add_string(file, key, text, (size_t)length);
    file->at += length;
    sonde__free(file->context, text);
    return status;
}

/* --- arrays ----------------------------------------------------------------------------------------- */

static sonde_status skip_strings(sonde__gguf *file, const char *key, uint64_t count)
{
    uint64_t length = 0;
    for (uint64_t i = 0; i < count; i++) {
        SONDE_TRY(take_length(file, key, &length));
        file->at += length;
    }
    return SONDE_OK;
}

/* The element type and the number of elements, which the file can hold. */
static sonde_status take_array_head(sonde__gguf *file, const char *key, uint64_t *type,
                                    uint64_t *count)
{
    SONDE_TRY(take_type(file, key, type));
    SONDE_TRY(sonde__gguf_take(file, "length of an array", 8, count));
    return sonde__gguf_check_count(file, key, *count, TYPES[*type].bytes);
}

/* Arrays in arrays without recursion: left[d] is how many are still to come at depth d. */
static sonde_status skip_arrays(sonde__gguf *file, const char *key, uint64_t count)
{
    uint64_t left[NEST_MAX], type = 0, inner = 0;
    int depth = 0;
    left[0] = count;
    while (depth >= 0) {
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        SONDE_TRY(take_array_head(file, key, &type, &inner));
        if (type == TYPE_ARRAY && depth + 1 == NEST_MAX)
            return sonde__gguf_fail(file, SONDE_ERROR_UNSUPPORTED, key, file->at,
                                    "'%.100s' nests arrays more than %d deep", key, NEST_MAX);
        if (type == TYPE_ARRAY)
            left[++depth] = inner;
        else if (type == TYPE_STRING)
            SONDE_TRY(skip_strings(file, key, inner));
        else
            file->at += inner * TYPES[type].bytes;
    }
    return SONDE_OK;
}

static sonde_status read_array(sonde__gguf *file, const char *key)
{
    char summary[VALUE_ROOM];
    uint64_t type = 0, count = 0;
    SONDE_TRY(take_array_head(file, key, &type, &count));
    if (type == TYPE_STRING)
        SONDE_TRY(skip_strings(file, key, count));
    else if (type == TYPE_ARRAY)
        SONDE_TRY(skip_arrays(file, key, count));
    else
        file->at += count * TYPES[type].bytes;
    sonde__format(summary, sizeof summary, "[%" PRIu64 " %s]", count, TYPES[type].plural);
    return sonde__model_add_metadata(file->model, key, summary);
}

/* --- pairs ------------------------------------------------------------------------------------------ */

static sonde_status read_pair(sonde__gguf *file, sonde__text *keys)
{
    size_t start = 0;
    uint64_t type = 0;
    SONDE_TRY(sonde__gguf_take_name(file, "key", keys, &start));
    const char *key = keys->bytes + start;
    SONDE_TRY(take_type(file, key, &type));
    if (strcmp(key, ALIGNMENT_KEY) == 0 && type != TYPE_U32)
        return sonde__gguf_fail(file, SONDE_ERROR_FORMAT, key, file->at - 4,
                                "'%s' is of type %s; it must be u32", key, TYPES[type].plural);
    if (type == TYPE_ARRAY)
        return read_array(file, key);
    if (type == TYPE_STRING)
        return read_string(file, key);
    return read_scalar(file, key, type);
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* `keys` holds `count` of them, one behind the other, each with its NUL. */
static sonde_status check_unique(const sonde__gguf *file, const sonde__text *keys, size_t count)
{
    const char **sorted = sonde__alloc(file->context, count, sizeof *sorted);
    sonde_status status = SONDE_OK;
    if (!sorted)
        return sonde_context_error(file->context)->status;
    const char *key = keys->bytes;
    for (size_t i = 0; i < count; i++, key += strlen(key) + 1)
        sorted[i] = key;
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 1; i < count && status == SONDE_OK; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            status = sonde__gguf_fail(file, SONDE_ERROR_FORMAT, sorted[i], file->at,
                                      "the key '%.200s' is there twice", sorted[i]);
    sonde__free(file->context, sorted);
    return status;
}

static sonde_status read_pairs(sonde__gguf *file, sonde__text *keys, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        SONDE_TRY(read_pair(file, keys));
    return check_unique(file, keys, (size_t)count);
}

sonde_status sonde__gguf_read_metadata(sonde__gguf *file, uint64_t count)
{
    sonde__text keys;
    SONDE_TRY(sonde__gguf_check_count(file, "the file", count, PAIR_LEAST));
    sonde__text_init(&keys, file->context);
    const sonde_status status = read_pairs(file, &keys, count);
    sonde__text_free(&keys);
    return status;
}
