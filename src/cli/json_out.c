/* The JSON writer; see json_out.h. */
#include "cli/json_out.h"

#include <inttypes.h>

enum { FLUSH_BYTES = 1 << 16 };

void sonde__out_begin(sonde__json_out *json, sonde_context *context, FILE *to)
{
    *json = (sonde__json_out){.to = to};
    sonde__text_init(&json->text, context);
}

static void flush(sonde__json_out *json, size_t least)
{
    if (!json->to || json->text.length < least || sonde__text_status(&json->text) != SONDE_OK)
        return;
    fwrite(json->text.bytes, 1, json->text.length, json->to);
    json->text.length = 0;
}

/* What stands before every value. */
static void begin_value(sonde__json_out *json, const char *name)
{
    flush(json, FLUSH_BYTES);
    if (json->comma)
        sonde__text_add(&json->text, ",");
    json->comma = true;
    if (!name)
        return;
    sonde__text_json_string(&json->text, name);
    sonde__text_add(&json->text, ":");
}

void sonde__out_open(sonde__json_out *json, const char *name, char bracket)
{
    begin_value(json, name);
    sonde__text_add_bytes(&json->text, &bracket, 1);
    json->comma = false;
}

void sonde__out_close(sonde__json_out *json, char bracket)
{
    sonde__text_add_bytes(&json->text, &bracket, 1);
    json->comma = true;
}

void sonde__out_string(sonde__json_out *json, const char *name, const char *value)
{
    if (!value) {
        sonde__out_null(json, name);
        return;
    }
    begin_value(json, name);
    sonde__text_json_string(&json->text, value);
}

void sonde__out_number(sonde__json_out *json, const char *name, double value)
{
    begin_value(json, name);
    sonde__text_number(&json->text, value);
}

void sonde__out_whole(sonde__json_out *json, const char *name, int64_t value)
{
    begin_value(json, name);
    if (value < 0)
        sonde__text_add(&json->text, "null");
    else
        sonde__text_format(&json->text, "%" PRId64, value);
}

void sonde__out_count(sonde__json_out *json, const char *name, uint64_t value)
{
    begin_value(json, name);
    sonde__text_format(&json->text, "%" PRIu64, value);
}

void sonde__out_flag(sonde__json_out *json, const char *name, bool value)
{
    begin_value(json, name);
    sonde__text_add(&json->text, value ? "true" : "false");
}

void sonde__out_null(sonde__json_out *json, const char *name)
{
    begin_value(json, name);
    sonde__text_add(&json->text, "null");
}

sonde_status sonde__out_end(sonde__json_out *json)
{
    sonde__text_add(&json->text, "\n");
    const sonde_status status = sonde__text_status(&json->text);
    flush(json, 1);
    sonde__text_free(&json->text);
    return status;
}
