/*
 * JSON, read strictly and in place, value by value, without a tree: a header costs its own bytes and
 * nothing more, whatever it holds.
 *
 * The reader walks forward through text that it may overwrite: strings are unescaped where they
 * stand. Errors are sticky: the first sets `error`, and from then on every call says no. RFC 8259;
 * beyond it, text must be valid UTF-8 and no string may hold NUL.
 *
 *     bool first = true;
 *     if (sonde__json_enter(&json, '{'))
 *         while (sonde__json_key(&json, &first, &key)) ... exactly one value is read or skipped
 */
#ifndef SONDE_FILE_JSON_READ_H
#define SONDE_FILE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SONDE__JSON_DEPTH_MAX = 64 };

typedef struct sonde__json {
    char *begin, *at, *end;
    const char *error; /* NULL: none so far; it was met at `at` */
} sonde__json;

/* `text` has room for one more byte behind its `size`, which becomes NUL. */
void sonde__json_init(sonde__json *json, char *text, size_t size);
/* Byte of the text that is read next, or at which the error was met. */
size_t sonde__json_offset(const sonde__json *json);
/*
 * What the next value is by its first character: '{', '[', '"', '-' for any number, 't', 'f', 'n',
 * another one where no value begins; 0 at the end of the text, which is an error. Reads only white
 * space.
 */
char sonde__json_peek(sonde__json *json);
/* Whether nothing but white space is left. */
bool sonde__json_ends(sonde__json *json);
/* Steps into an object ('{') or array ('['); an error where the next value is none. */
bool sonde__json_enter(sonde__json *json, char open);
/* The key of the next pair, then its value is to be read; false behind the last, which also leaves
 * the object, and on errors. `first` starts as true. */
bool sonde__json_key(sonde__json *json, bool *first, const char **key);
/* The same for arrays: whether there is a next item, to be read then. */
bool sonde__json_item(sonde__json *json, bool *first);
/* A string, which stays valid as long as the text. */
bool sonde__json_string(sonde__json *json, const char **string);
/* A number; `whole` tells whether it is written as an integer and fits `value`. */
bool sonde__json_number(sonde__json *json, int64_t *value, bool *whole);
/* Passes over one value of any kind, at most SONDE__JSON_DEPTH_MAX deep. */
bool sonde__json_skip(sonde__json *json);

#endif
