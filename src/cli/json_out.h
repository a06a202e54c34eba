/*
 * One JSON object, written as it is made: a listing of a hundred thousand tensors passes through a
 * buffer of a few pages. Commas are set here; names are stable (docs/command.md).
 *
 * With `to` NULL everything stays in `text`, for answers that may yet fail.
 */
#ifndef SONDE_CLI_JSON_OUT_H
#define SONDE_CLI_JSON_OUT_H

#include <stdio.h>

#include "base/text.h"

typedef struct sonde__json_out {
    sonde__text text;
    FILE *to;
    bool comma; /* a value stands before the next one */
} sonde__json_out;

void sonde__out_begin(sonde__json_out *json, sonde_context *context, FILE *to);
/* `name` NULL inside a list. `bracket` is '{' or '['; closed by '}' or ']'. */
void sonde__out_open(sonde__json_out *json, const char *name, char bracket);
void sonde__out_close(sonde__json_out *json, char bracket);
/* NULL becomes null. */
void sonde__out_string(sonde__json_out *json, const char *name, const char *value);
/* NaN and infinities become null. */
void sonde__out_number(sonde__json_out *json, const char *name, double value);
/* Below 0 means "unknown" and becomes null. */
void sonde__out_whole(sonde__json_out *json, const char *name, int64_t value);
void sonde__out_count(sonde__json_out *json, const char *name, uint64_t value);
void sonde__out_flag(sonde__json_out *json, const char *name, bool value);
void sonde__out_null(sonde__json_out *json, const char *name);
/* json.c: the list "warnings" of a keep choice's bits, as sentences. */
void sonde__json_keep_warnings(sonde__json_out *json, uint32_t bits);
/* json.c: the object "stop"; NULL: null. */
void sonde__json_stop(sonde__json_out *json, const sonde_decision *decision);
/* Ends the line, hands what is left to `to`, frees the text. */
sonde_status sonde__out_end(sonde__json_out *json);

#endif
