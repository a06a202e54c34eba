/*
 * Opcodes of a pickle that push one plain value: numbers, strings, bytes, in their binary forms and
 * in the text forms of protocol 0.
 *
 * Strings point into the stream wherever they stand there as they are.
 */
#include "file/pickle_internal.h"

#include <math.h>
#include <string.h>

#include "base/text.h"

enum { NUMBER_TEXT = 512 };

static sonde_status failed(const sonde__unpickler *u)
{
    return sonde_context_error(u->context)->status;
}

static uint8_t opcode_of(const sonde__unpickler *u)
{
    return u->bytes[u->opcode];
}

/* --- constants and integers --------------------------------------------------------------------- */

static sonde_status push_integer(sonde__unpickler *u, sonde__pickle_kind kind, int64_t integer)
{
    sonde__pickle_value *value = NULL;
    SONDE_TRY(sonde__pickle_push_new(u, kind, &value));
    value->as.integer = integer;
    return SONDE_OK;
}

static sonde_status op_none(sonde__unpickler *u)
{
    return push_integer(u, SONDE__PICKLE_NONE, 0);
}

static sonde_status op_bool(sonde__unpickler *u)
{
    return push_integer(u, SONDE__PICKLE_BOOL, opcode_of(u) == 0x88);
}

/* BININT is signed, BININT1 and BININT2 are not. */
static sonde_status op_small_int(sonde__unpickler *u)
{
    uint64_t number = 0;
    const uint8_t opcode = opcode_of(u);
    SONDE_TRY(sonde__pickle_take_number(u, opcode == 'J' ? 4 : opcode == 'M' ? 2 : 1, &number));
    const int64_t integer =
        opcode == 'J' && number > INT32_MAX ? (int64_t)number - (1LL << 32) : (int64_t)number;
    return push_integer(u, SONDE__PICKLE_INT, integer);
}

/* Two's complement, lowest byte first; sign bytes may be more than are needed. */
static bool fits_int64(const uint8_t *bytes, size_t size, int64_t *integer)
{
    const uint8_t sign = size && bytes[size - 1] & 0x80 ? 0xff : 0;
    uint64_t bits = sign ? UINT64_MAX : 0;
    for (size_t i = 0; i < size; i++) {
        if (i >= 8 && bytes[i] != sign)
            return false;
        if (i < 8)
            bits = (bits & ~((uint64_t)0xff << (8 * i))) | (uint64_t)bytes[i] << (8 * i);
    }
    memcpy(integer, &bits, sizeof bits);
    return size <= 8 || (*integer < 0) == (sign != 0);
}

static sonde_status op_long(sonde__unpickler *u)
{
    uint64_t size = 0;
    const uint8_t *bytes = NULL;
    int64_t integer = 0;
    SONDE_TRY(sonde__pickle_take_number(u, opcode_of(u) == 0x8a ? 1 : 4, &size));
    if (size > INT32_MAX)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT, "an integer has a negative length");
    SONDE_TRY(sonde__pickle_take(u, (size_t)size, &bytes));
    if (fits_int64(bytes, (size_t)size, &integer))
        return push_integer(u, SONDE__PICKLE_INT, integer);
    return sonde__pickle_push_text(u, SONDE__PICKLE_BIG, bytes, (size_t)size);
}

/* A line of at most NUMBER_TEXT - 1 characters, with NUL behind it. */
static sonde_status number_line(sonde__unpickler *u, char *text)
{
    const char *line = NULL;
    size_t size = 0;
    SONDE_TRY(sonde__pickle_take_line(u, &line, &size));
    if (size >= NUMBER_TEXT || memchr(line, 0, size))
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT, "a number is too long or holds a NUL");
    memcpy(text, line, size);
    text[size] = '\0';
    return SONDE_OK;
}

static bool all_digits(const char *text)
{
    text += *text == '-';
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && text[digits] == '\0';
}

/* INT writes 01 and 00 for True and False; LONG writes an L behind the digits. */
static sonde_status op_decimal(sonde__unpickler *u)
{
    char text[NUMBER_TEXT];
    int64_t integer = 0;
    SONDE_TRY(number_line(u, text));
    if (opcode_of(u) == 'I' && (strcmp(text, "00") == 0 || strcmp(text, "01") == 0))
        return push_integer(u, SONDE__PICKLE_BOOL, text[1] == '1');
    size_t length = strlen(text);
    if (opcode_of(u) == 'L' && length > 0 && text[length - 1] == 'L')
        text[length - 1] = '\0';
    if (!all_digits(text))
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT, "'%.40s' is no integer", text);
    if (sonde__parse_int64(text, &integer))
        return push_integer(u, SONDE__PICKLE_INT, integer);
    return sonde__pickle_push_text(u, SONDE__PICKLE_BIG, NULL, 0);
}

/* --- floats ------------------------------------------------------------------------------------- */

static sonde_status push_real(sonde__unpickler *u, double real)
{
    sonde__pickle_value *value = NULL;
    SONDE_TRY(sonde__pickle_push_new(u, SONDE__PICKLE_FLOAT, &value));
    value->as.real = real;
    return SONDE_OK;
}

static sonde_status op_binary_float(sonde__unpickler *u)
{
    const uint8_t *bytes = NULL;
    uint64_t bits = 0;
    double real = 0;
    SONDE_TRY(sonde__pickle_take(u, 8, &bytes));
    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | bytes[i];
    memcpy(&real, &bits, sizeof real);
    return push_real(u, real);
}

static sonde_status op_float(sonde__unpickler *u)
{
    char text[NUMBER_TEXT];
    double real = 0;
    SONDE_TRY(number_line(u, text));
    if (strcmp(text, "inf") == 0 || strcmp(text, "-inf") == 0)
        real = text[0] == '-' ? -(double)INFINITY : (double)INFINITY;
    else if (strcmp(text, "nan") == 0)
        real = (double)NAN;
    else if (!sonde__parse_double(text, &real))
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT, "'%.40s' is no number", text);
    return push_real(u, real);
}

/* --- strings and bytes -------------------------------------------------------------------------- */

typedef struct form {
    uint8_t opcode, length; /* bytes of the length in front */
    uint8_t kind;
} form;

static const form FORMS[] = {
    {'X', 4, SONDE__PICKLE_STRING},  {0x8c, 1, SONDE__PICKLE_STRING},
    {0x8d, 8, SONDE__PICKLE_STRING}, {'T', 4, SONDE__PICKLE_STRING},
    {'U', 1, SONDE__PICKLE_STRING},  {'B', 4, SONDE__PICKLE_BYTES},
    {'C', 1, SONDE__PICKLE_BYTES},   {0x8e, 8, SONDE__PICKLE_BYTES},
    {0x96, 8, SONDE__PICKLE_BYTES},
};

static sonde_status op_counted(sonde__unpickler *u)
{
    const form *found = FORMS;
    while (found->opcode != opcode_of(u))
        found++;
    uint64_t size = 0;
    const uint8_t *bytes = NULL;
    SONDE_TRY(sonde__pickle_take_number(u, found->length, &size));
    SONDE_TRY(sonde__pickle_take(u, size < SIZE_MAX ? (size_t)size : SIZE_MAX, &bytes));
    return sonde__pickle_push_text(u, (sonde__pickle_kind)found->kind, bytes, (size_t)size);
}

static int hexadecimal(char digit)
{
    const char *digits = "0123456789abcdef";
    const char lower = digit >= 'A' && digit <= 'F' ? (char)(digit - 'A' + 'a') : digit;
    const char *found = digit ? strchr(digits, lower) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* `count` hexadecimal digits, or false. */
static bool take_hex(const char *text, size_t left, size_t count, uint32_t *code)
{
    *code = 0;
    for (size_t i = 0; i < count; i++) {
        int digit = i < left ? hexadecimal(text[i]) : -1;
        if (digit < 0)
            return false;
        *code = *code << 4 | (uint32_t)digit;
    }
    return true;
}

/* UNICODE: Latin-1 with \uXXXX and \UXXXXXXXX. A byte gives at most two of UTF-8. */
static sonde_status op_unicode(sonde__unpickler *u)
{
    const char *line = NULL;
    size_t size = 0, length = 0;
    SONDE_TRY(sonde__pickle_take_line(u, &line, &size));
    char *to = sonde__pickle_alloc(u->pickle, 2 * size + 1, 1);
    if (!to)
        return failed(u);
    for (size_t i = 0; i < size;) {
        const char next = line[i] == '\\' && i + 1 < size ? line[i + 1] : 0;
        uint32_t code = (uint8_t)line[i];
        i++;
        if (next == 'u' || next == 'U') {
            const size_t digits = next == 'u' ? 4 : 8;
            if (!take_hex(line + i + 1, size - i - 1, digits, &code) || code > 0x10ffff)
                return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                            "a string has a broken \\%c escape", next);
            i += digits + 1;
        }
        length += sonde__utf8_put(to + length, code);
    }
    return sonde__pickle_push_text(u, SONDE__PICKLE_STRING, to, length);
}

/* One escape of Python's repr, behind its backslash: the byte, and how many characters it took. */
static bool unescape(const char *text, size_t left, char *byte, size_t *taken)
{
    const char *simple = "\\'\"ntrabfv", *means = "\\'\"\n\t\r\a\b\f\v";
    const char *found = left && text[0] ? strchr(simple, text[0]) : NULL;
    uint32_t code = 0;
    *taken = 1;
    if (found) {
        *byte = means[found - simple];
        return true;
    }
    *taken = 3;
    if (!left || text[0] != 'x' || !take_hex(text + 1, left - 1, 2, &code))
        return false;
    *byte = (char)code;
    return true;
}

/* STRING: as repr writes it, in either quotes. */
static sonde_status op_string(sonde__unpickler *u)
{
    const char *line = NULL;
    size_t size = 0, length = 0;
    SONDE_TRY(sonde__pickle_take_line(u, &line, &size));
    bool good = size >= 2 && (line[0] == '\'' || line[0] == '"') && line[size - 1] == line[0];
    char *to = sonde__pickle_alloc(u->pickle, size + 1, 1);
    if (!to)
        return failed(u);
    for (size_t i = 1; good && i + 1 < size;) {
        size_t taken = 0;
        to[length] = line[i++];
        if (to[length] == '\\') {
            good = unescape(line + i, size - 1 - i, &to[length], &taken);
            i += taken;
        }
        length++;
    }
    if (!good)
        return sonde__unpickle_fail(u, SONDE_ERROR_FORMAT,
                                    "a string has no quotes, or an escape that is not known");
    return sonde__pickle_push_text(u, SONDE__PICKLE_STRING, to, length);
}

sonde__pickle_operation sonde__pickle_scalar(uint8_t opcode)
{
    static const sonde__pickle_operation operations[256] = {
        ['N'] = op_none,      [0x88] = op_bool,     [0x89] = op_bool,        ['J'] = op_small_int,
        ['K'] = op_small_int, ['M'] = op_small_int, [0x8a] = op_long,        [0x8b] = op_long,
        ['I'] = op_decimal,   ['L'] = op_decimal,   ['G'] = op_binary_float, ['F'] = op_float,
        ['X'] = op_counted,   [0x8c] = op_counted,  [0x8d] = op_counted,     ['T'] = op_counted,
        ['U'] = op_counted,   ['B'] = op_counted,   ['C'] = op_counted,      [0x8e] = op_counted,
        [0x96] = op_counted,  ['V'] = op_unicode,   ['S'] = op_string,
    };
    return operations[opcode];
}
