/*
 * JSON in place, without a tree (RFC 8259).
 *
 * Invariant: begin <= at <= end and *end is NUL, so that looking at one character never leaves the
 * text; unescaping writes only behind the read position, since no escape is shorter than what it
 * stands for.
 */
#include "file/json_read.h"

#include <string.h>

#include "base/text.h"

static bool fail(sonde__json *json, const char *what)
{
    if (!json->error)
        json->error = what;
    return false;
}

void sonde__json_init(sonde__json *json, char *text, size_t size)
{
    *json = (sonde__json){text, text, text + size, NULL};
    text[size] = '\0';
}

size_t sonde__json_offset(const sonde__json *json)
{
    return (size_t)(json->at - json->begin);
}

static char skip_space(sonde__json *json)
{
    while (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t')
        json->at++;
    return *json->at;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

char sonde__json_peek(sonde__json *json)
{
    if (json->error)
        return '\0';
    char next = skip_space(json);
    if (next == '\0')
        fail(json, json->at == json->end ? "the text ends too early" : "a value is expected");
    return is_digit(next) ? '-' : next;
}

bool sonde__json_ends(sonde__json *json)
{
    return !json->error && skip_space(json) == '\0' && json->at == json->end;
}

bool sonde__json_enter(sonde__json *json, char open)
{
    if (sonde__json_peek(json) != open)
        return fail(json, open == '{' ? "an object is expected" : "an array is expected");
    json->at++;
    return true;
}

/* Whether another member follows; eats the comma in front of it, or the closing bracket. */
static bool more(sonde__json *json, bool *first, char close)
{
    if (json->error)
        return false;
    char next = skip_space(json);
    if (next == close) {
        json->at++;
        return false;
    }
    if (!*first && next != ',')
        return fail(json, close == '}' ? "',' or '}' is expected" : "',' or ']' is expected");
    if (!*first) {
        json->at++;
        if (skip_space(json) == close)
            return fail(json, "nothing stands behind the last ','");
    }
    *first = false;
    return true;
}

bool sonde__json_item(sonde__json *json, bool *first)
{
    return more(json, first, ']');
}

bool sonde__json_key(sonde__json *json, bool *first, const char **key)
{
    if (!more(json, first, '}') || !sonde__json_string(json, key))
        return false;
    if (skip_space(json) != ':')
        return fail(json, "':' is expected behind a key");
    json->at++;
    return true;
}

/* --- strings ------------------------------------------------------------------------------------ */

/* Four hexadecimal digits; -1 where they are not. */
static int hex4(const char *s)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int digit = is_digit(c)              ? c - '0'
                    : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                    : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                             : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* `at` is behind "\u". */
static bool unicode_escape(sonde__json *json, char **to)
{
    long code = hex4(json->at);
    if (code < 0)
        return fail(json, "four hexadecimal digits are expected behind \\u");
    if (code == 0)
        return fail(json, "a string holds NUL");
    if (code >= 0xdc00 && code <= 0xdfff)
        return fail(json, "half a surrogate pair stands alone");
    if (code >= 0xd800 && code <= 0xdbff) {
        long low = json->at[4] == '\\' && json->at[5] == 'u' ? hex4(json->at + 6) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(json, "half a surrogate pair stands alone");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        json->at += 6;
    }
    json->at += 4;
    *to += sonde__utf8_put(*to, (uint32_t)code);
    return true;
}

/* `at` is on the backslash. */
static bool escape(sonde__json *json, char **to)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char letter = json->at[1];
    if (letter == 'u') {
        json->at += 2;
        return unicode_escape(json, to);
    }
    const char *found = letter ? strchr(letters, letter) : NULL;
    if (!found)
        return fail(json, "an escape that JSON does not have");
    *(*to)++ = meanings[found - letters];
    json->at += 2;
    return true;
}

/* The character at `at`, which is not plain: an escape or a sequence; false where it is neither. */
static bool special(sonde__json *json, char **to)
{
    unsigned char c = (unsigned char)*json->at;
    if (c == '\\')
        return escape(json, to);
    if (json->at == json->end)
        return fail(json, "the text ends inside a string");
    if (c < 0x20)
        return fail(json, "a string holds a control character");
    size_t length = sonde__utf8_length((const unsigned char *)json->at);
    if (length == 0)
        return fail(json, "a string is not valid UTF-8");
    memmove(*to, json->at, length);
    *to += length;
    json->at += length;
    return true;
}

bool sonde__json_string(sonde__json *json, const char **string)
{
    if (sonde__json_peek(json) != '"')
        return fail(json, "a string is expected");
    char *begin = ++json->at, *to = begin;
    while (*json->at != '"') {
        unsigned char c = (unsigned char)*json->at;
        if (c >= 0x20 && c < 0x80 && c != '\\') {
            *to++ = *json->at++;
        } else if (!special(json, &to)) {
            return false;
        }
    }
    json->at++;
    *to = '\0'; /* on the closing quote, or before it */
    *string = begin;
    return true;
}

/* --- numbers and the rest ----------------------------------------------------------------------- */

static bool digits(sonde__json *json)
{
    if (!is_digit(*json->at))
        return fail(json, "a digit is expected");
    while (is_digit(*json->at))
        json->at++;
    return true;
}

/* Digits of an integer without sign; false where it does not fit. */
static bool to_integer(const char *from, const char *end, bool negative, int64_t *value)
{
    uint64_t limit = (uint64_t)INT64_MAX + negative, sum = 0;
    for (; from < end; from++) {
        uint64_t digit = (uint64_t)(*from - '0');
        if (sum > (limit - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

bool sonde__json_number(sonde__json *json, int64_t *value, bool *whole)
{
    if (sonde__json_peek(json) != '-')
        return fail(json, "a number is expected");
    bool negative = *json->at == '-';
    json->at += negative;
    const char *from = json->at;
    if (!digits(json))
        return false;
    if (*from == '0' && json->at - from > 1)
        return fail(json, "a number begins with 0");
    *whole = to_integer(from, json->at, negative, value);
    if (*json->at == '.') {
        json->at++;
        *whole = false;
        if (!digits(json))
            return false;
    }
    if (*json->at == 'e' || *json->at == 'E') {
        json->at++;
        *whole = false;
        json->at += *json->at == '+' || *json->at == '-';
        return digits(json);
    }
    return true;
}

static bool word(sonde__json *json, const char *text)
{
    size_t length = strlen(text);
    if (strncmp(json->at, text, length) != 0)
        return fail(json, "a value is expected");
    json->at += length;
    return true;
}

static bool skip_plain(sonde__json *json, char kind)
{
    const char *string;
    int64_t number;
    bool whole;
    switch (kind) {
    case '"':
        return sonde__json_string(json, &string);
    case '-':
        return sonde__json_number(json, &number, &whole);
    case 't':
        return word(json, "true");
    case 'f':
        return word(json, "false");
    case 'n':
        return word(json, "null");
    default:
        return fail(json, "a value is expected");
    }
}

bool sonde__json_skip(sonde__json *json)
{
    bool objects[SONDE__JSON_DEPTH_MAX], first[SONDE__JSON_DEPTH_MAX];
    const char *key;
    int depth = 0;
    do {
        char kind = sonde__json_peek(json);
        if (kind == '{' || kind == '[') {
            if (depth == SONDE__JSON_DEPTH_MAX)
                return fail(json, "brackets are nested more than 64 deep");
            objects[depth] = kind == '{';
            first[depth++] = true;
            json->at++;
        } else if (!skip_plain(json, kind)) {
            return false;
        }
        /* To the next value that is to be passed over, or out of what has ended. */
        while (depth > 0 &&
               !(objects[depth - 1] ? sonde__json_key(json, &first[depth - 1], &key)
                                    : sonde__json_item(json, &first[depth - 1])) &&
               !json->error)
            depth--;
    } while (depth > 0 && !json->error);
    return !json->error;
}
