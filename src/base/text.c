/*
 * A growing string, and numbers as text in the C locale whatever the program's locale is.
 *
 * Invariant: `bytes` is NULL or holds `length` bytes and a NUL behind them, also after a failure.
 */
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* The C locale for this thread only. With glibc this allocates nothing. */
typedef struct c_locale {
    locale_t own, before;
} c_locale;

static c_locale enter_c_locale(void)
{
    c_locale state = {newlocale(LC_ALL_MASK, "C", (locale_t)0), (locale_t)0};
    if (state.own)
        state.before = uselocale(state.own);
    return state;
}

static void leave_c_locale(c_locale state)
{
    if (!state.own)
        return;
    uselocale(state.before);
    freelocale(state.own);
}

void sonde__text_init(sonde__text *text, sonde_context *context)
{
    *text = (sonde__text){.context = context, .status = SONDE_OK};
}

void sonde__text_free(sonde__text *text)
{
    sonde__free(text->context, text->bytes);
    *text = (sonde__text){.context = text->context, .status = SONDE_OK};
}

sonde_status sonde__text_status(const sonde__text *text)
{
    return text->status;
}

/* Room for `more` bytes and the NUL. */
static bool make_room(sonde__text *text, size_t more)
{
    size_t needed;
    if (text->status != SONDE_OK)
        return false;
    if (!sonde__add(text->length, more, &needed) || !sonde__add(needed, 1, &needed)) {
        text->status = sonde__fail(text->context, SONDE_ERROR_OVERFLOW, "a text grows too long");
        return false;
    }
    if (needed <= text->capacity)
        return true;
    size_t capacity = text->capacity < 64 ? 128 : text->capacity + text->capacity / 2;
    if (capacity < needed)
        capacity = needed;
    char *bytes = sonde__resize(text->context, text->bytes, capacity, 1);
    if (!bytes) {
        text->status = sonde_context_error(text->context)->status;
        return false;
    }
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void sonde__text_add_bytes(sonde__text *text, const void *bytes, size_t size)
{
    if (!make_room(text, size))
        return;
    if (size > 0)
        memcpy(text->bytes + text->length, bytes, size);
    text->length += size;
    text->bytes[text->length] = '\0';
}

void sonde__text_add(sonde__text *text, const char *string)
{
    sonde__text_add_bytes(text, string, strlen(string));
}

void sonde__text_format(sonde__text *text, const char *format, ...)
{
    char small[256];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    c_locale locale = enter_c_locale();
    int length = vsnprintf(small, sizeof small, format, arguments);
    if (length < 0) {
        if (text->status == SONDE_OK)
            text->status = sonde__fail(text->context, SONDE_ERROR_INTERNAL, "a text has no form");
    } else if ((size_t)length < sizeof small) {
        sonde__text_add_bytes(text, small, (size_t)length);
    } else if (make_room(text, (size_t)length)) {
        vsnprintf(text->bytes + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    leave_c_locale(locale);
    va_end(again);
    va_end(arguments);
}

void sonde__text_number(sonde__text *text, double value)
{
    char digits[40];
    if (!isfinite(value)) {
        sonde__text_add(text, "null");
        return;
    }
    c_locale locale = enter_c_locale();
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
        if (precision == 3)
            precision = 14; /* most numbers are either short or long */
    }
    leave_c_locale(locale);
    sonde__text_add(text, digits);
}

size_t sonde__utf8_length(const unsigned char *at)
{
    unsigned char first = at[0];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

size_t sonde__utf8_put(char *to, uint32_t code)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    const size_t extra = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    for (size_t i = extra; i > 0; i--, code >>= 6)
        to[i] = (char)(0x80 | (code & 0x3f));
    to[0] = (char)(lead[extra] | code);
    return extra + 1;
}

/* C0 and C1 controls and DEL; `at` is a whole sequence. */
static bool is_control(const unsigned char *at)
{
    return *at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0);
}

/* U+061C, U+200E and U+200F, U+2028 to U+202E, U+2066 to U+2069: what turns the text behind it round
 * or breaks its line, so that a name reads as another one (Unicode standard annex 9). */
static bool is_direction(const unsigned char *at)
{
    if (at[0] == 0xd8)
        return at[1] == 0x9c;
    if (at[0] != 0xe2)
        return false;
    if (at[1] == 0x81)
        return at[2] >= 0xa6 && at[2] <= 0xa9;
    return at[1] == 0x80 && (at[2] == 0x8e || at[2] == 0x8f || (at[2] >= 0xa8 && at[2] <= 0xae));
}

bool sonde__text_is_plain(const char *string)
{
    const unsigned char *at = (const unsigned char *)string;
    while (*at) {
        size_t length = sonde__utf8_length(at);
        if (length == 0 || is_control(at))
            return false;
        at += length;
    }
    return true;
}

void sonde__text_make_plain(char *string)
{
    unsigned char *at = (unsigned char *)string;
    while (*at) {
        size_t length = sonde__utf8_length(at);
        if (length == 0 || is_control(at) || is_direction(at)) {
            length = length ? length : 1;
            memset(at, '?', length);
        }
        at += length;
    }
}

/* A character of at most 16 bits by its number. */
static void add_json_number(sonde__text *text, const unsigned char *at, size_t length)
{
    char form[8];
    unsigned number = *at;
    if (length == 2)
        number = (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
    else if (length == 3)
        number = (at[0] & 0xfu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
    snprintf(form, sizeof form, "\\u%04x", number);
    sonde__text_add(text, form);
}

static void add_json_control(sonde__text *text, const unsigned char *at, size_t length)
{
    static const char *const short_forms[] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f",
        ['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\"};
    if (*at < sizeof short_forms / sizeof *short_forms && short_forms[*at])
        sonde__text_add(text, short_forms[*at]);
    else
        add_json_number(text, at, length);
}

void sonde__text_json_string(sonde__text *text, const char *string)
{
    const unsigned char *at = (const unsigned char *)string;
    sonde__text_add(text, "\"");
    while (*at) {
        size_t length = sonde__utf8_length(at);
        if (length == 0) {
            sonde__text_add(text, "\xef\xbf\xbd");
            length = 1;
        } else if (is_control(at) || is_direction(at) || *at == '"' || *at == '\\') {
            add_json_control(text, at, length);
        } else {
            sonde__text_add_bytes(text, at, length);
        }
        at += length;
    }
    sonde__text_add(text, "\"");
}

void sonde__text_csv(sonde__text *text, const char *string)
{
    const bool formula = string[0] && strchr("=+-@\t\r", string[0]);
    if (!formula && !strpbrk(string, ",\"\r\n")) {
        sonde__text_add(text, string);
        return;
    }
    sonde__text_add(text, "\"");
    if (formula)
        sonde__text_add(text, "'");
    for (const char *at = string; *at; at++)
        sonde__text_add_bytes(text, *at == '"' ? "\"\"" : at, *at == '"' ? 2 : 1);
    sonde__text_add(text, "\"");
}

static const char *html_escape(unsigned char byte)
{
    switch (byte) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void sonde__text_html(sonde__text *text, const char *string)
{
    const unsigned char *at = (const unsigned char *)string;
    while (*at) {
        size_t length = sonde__utf8_length(at);
        const char *escape = html_escape(*at);
        if (length == 0) {
            sonde__text_add(text, "\xef\xbf\xbd");
            length = 1;
        } else if (escape) {
            sonde__text_add(text, escape);
        } else {
            sonde__text_add_bytes(text, at, length);
        }
        at += length;
    }
}

int sonde__vformat(char *to, size_t room, const char *format, va_list arguments)
{
    c_locale locale = enter_c_locale();
    int length = vsnprintf(to, room, format, arguments);
    leave_c_locale(locale);
    return length;
}

int sonde__format(char *to, size_t room, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = sonde__vformat(to, room, format, arguments);
    va_end(arguments);
    return length;
}

static size_t count_digits(const char *at)
{
    return strspn(at, "0123456789");
}

/* [sign] digits [. digits] [e [sign] digits], at least one digit before or behind the point. */
static bool is_decimal(const char *at)
{
    if (*at == '+' || *at == '-')
        at++;
    size_t digits = count_digits(at);
    at += digits;
    if (*at == '.') {
        at++;
        size_t behind = count_digits(at);
        at += behind;
        digits += behind;
    }
    if (digits == 0)
        return false;
    if (*at == 'e' || *at == 'E') {
        at++;
        if (*at == '+' || *at == '-')
            at++;
        digits = count_digits(at);
        if (digits == 0)
            return false;
        at += digits;
    }
    return *at == '\0';
}

bool sonde__parse_double(const char *string, double *value)
{
    if (!is_decimal(string))
        return false;
    c_locale locale = enter_c_locale();
    double parsed = strtod(string, NULL);
    leave_c_locale(locale);
    if (!isfinite(parsed))
        return false;
    *value = parsed;
    return true;
}

bool sonde__parse_int64(const char *string, int64_t *value)
{
    const char *digits = string + (*string == '+' || *string == '-');
    if (*digits == '\0' || digits[count_digits(digits)] != '\0')
        return false;
    errno = 0;
    intmax_t parsed = strtoimax(string, NULL, 10);
    if (errno == ERANGE || parsed < INT64_MIN || parsed > INT64_MAX)
        return false;
    *value = (int64_t)parsed;
    return true;
}
