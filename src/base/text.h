/*
 * A growing string. Errors are sticky: after a failed allocation further calls do nothing, and
 * sonde__text_status tells once at the end. Numbers are written with a point in every locale.
 */
#ifndef SONDE_BASE_TEXT_H
#define SONDE_BASE_TEXT_H

#include <stdarg.h>

#include "base/context.h"

typedef struct sonde__text {
    sonde_context *context;
    char *bytes; /* NUL-terminated once anything was added; NULL before */
    size_t length, capacity;
    sonde_status status;
} sonde__text;

void sonde__text_init(sonde__text *text, sonde_context *context);
void sonde__text_free(sonde__text *text);
void sonde__text_add(sonde__text *text, const char *string);
void sonde__text_add_bytes(sonde__text *text, const void *bytes, size_t size);
void sonde__text_format(sonde__text *text, const char *format, ...) SONDE_PRINTF(2, 3);
/* Shortest decimal that reads back as the same double; "null" for NaN and infinities. */
void sonde__text_number(sonde__text *text, double value);
/* Quoted and escaped as a JSON string; invalid UTF-8 becomes U+FFFD. Controls and what turns a text's
 * direction are written as numbers, so that a terminal may show it. */
void sonde__text_json_string(sonde__text *text, const char *string);
/* A cell of a table: quoted where it must be (RFC 4180); none can begin a formula of a spreadsheet. */
void sonde__text_csv(sonde__text *text, const char *string);
/* With & < > " ' escaped. */
void sonde__text_html(sonde__text *text, const char *string);
sonde_status sonde__text_status(const sonde__text *text);
/* Valid UTF-8 without control characters (U+0000 to U+001F, U+007F to U+009F). */
bool sonde__text_is_plain(const char *string);
/* In place: each byte of controls, of what turns a text's direction or breaks its line (U+061C,
 * U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069) and of invalid UTF-8 becomes a question mark. */
void sonde__text_make_plain(char *string);

/* Bytes of the UTF-8 sequence at `at`, in a string that ends with NUL; 0 where it is invalid (Unicode
 * table 3-7). */
size_t sonde__utf8_length(const unsigned char *at);
/* Writes the code point (up to 0x10ffff), 1 to 4 bytes; returns how many. */
size_t sonde__utf8_put(char *to, uint32_t code);

/* snprintf and vsnprintf, but with a decimal point in every locale. */
int sonde__format(char *to, size_t room, const char *format, ...) SONDE_PRINTF(3, 4);
int sonde__vformat(char *to, size_t room, const char *format, va_list arguments);

/* A decimal number with a point, whatever the locale; true when all of `string` was read. No spaces,
 * hexadecimal digits, infinities or NaN; a number too large for a double is refused too. */
bool sonde__parse_double(const char *string, double *value);
bool sonde__parse_int64(const char *string, int64_t *value);

#endif
