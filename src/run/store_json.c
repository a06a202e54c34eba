/*
 * A decision as a JSON object: one row of the `decisions` table, readable with SQLite's json_extract
 * as well. Doubles carry 17 digits, so that reading gives the same bits; a missing or wrong field
 * leaves what the reader had set.
 */
#include "run/store_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

typedef struct member {
    const char *name;
    sonde__column_type type;
    size_t offset, room;
} member;

#define MEMBER(kind, name, field) \
    { \
        name, SONDE__COLUMN_##kind, offsetof(sonde_decision, field), \
            sizeof(((sonde_decision *)0)->field) \
    }

static const member members[] = {
    MEMBER(INTEGER, "epoch", epoch),
    MEMBER(FLAG, "stop", stop),
    MEMBER(FLAG, "stop_advised", stop_advised),
    MEMBER(INTEGER, "stop_epoch", stop_epoch),
    MEMBER(TEXT, "stop_layer", stop_layer),
    MEMBER(TEXT, "stop_reason", stop_reason),
    MEMBER(INTEGER, "keep_epoch", keep.epoch),
    MEMBER(REAL, "keep_score", keep.score),
    MEMBER(FLAG, "keep_meaningful", keep.meaningful),
    MEMBER(INT, "keep_warnings", keep.warnings),
    MEMBER(INT, "keep_window", keep.window),
    MEMBER(INTEGER, "keep_window_first", keep.window_first),
    MEMBER(INTEGER, "keep_window_last", keep.window_last),
    MEMBER(REAL, "keep_trend", keep.trend),
    MEMBER(INTEGER, "keep_second_epoch", keep.second_epoch),
    MEMBER(INT, "keep_top_count", keep.top_count),
    MEMBER(TEXT, "keep_reason", keep.reason),
    MEMBER(INTEGER, "examples", examples),
    MEMBER(INTEGER, "active", active),
    MEMBER(REAL, "saved_fraction", saved_fraction),
    MEMBER(TEXT, "skip_reason", skip_reason),
    MEMBER(REAL, "worst_ratio", worst_ratio),
    MEMBER(TEXT, "worst_layer", worst_layer),
};

enum { MEMBER_COUNT = sizeof(members) / sizeof(members[0]) };

static json_t *real_to_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *member_to_json(const sonde_decision *decision, const member *each)
{
    const char *at = (const char *)decision + each->offset;
    switch (each->type) {
    case SONDE__COLUMN_INTEGER:
        return json_integer((json_int_t) * (const int64_t *)at);
    case SONDE__COLUMN_INT:
        return json_integer((json_int_t) * (const int *)at);
    case SONDE__COLUMN_FLAG:
        return json_boolean(*(const bool *)at);
    case SONDE__COLUMN_REAL:
        return real_to_json(*(const double *)at);
    case SONDE__COLUMN_TEXT:
        return json_string(at);
    case SONDE__COLUMN_SIZE:
    default:
        return NULL;
    }
}

static bool add_top(json_t *object, const sonde_keep_choice *keep)
{
    json_t *top = json_array();
    for (int i = 0; i < keep->top_count && i < SONDE_KEEP_TOP_MAX; i++)
        json_array_append_new(top, json_integer((json_int_t)keep->top[i]));
    return json_object_set_new(object, "keep_top", top) == 0;
}

sonde_status sonde__decision_to_json(sonde_context *context, const sonde_decision *decision,
                                     char **json)
{
    json_t *object = json_object();
    bool whole = object != NULL;
    for (int i = 0; whole && i < MEMBER_COUNT; i++)
        whole = json_object_set_new(object, members[i].name,
                                    member_to_json(decision, &members[i])) == 0;
    whole = whole && add_top(object, &decision->keep);
    char *dumped = whole ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    if (!dumped)
        return sonde__fail(context, SONDE_ERROR_MEMORY, "a decision cannot be written as JSON");
    *json = sonde__copy_string(context, dumped);
    free(dumped);
    return *json ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static void member_from_json(sonde_decision *decision, const member *each, const json_t *value)
{
    char *at = (char *)decision + each->offset;
    if (each->type == SONDE__COLUMN_INTEGER && json_is_integer(value))
        *(int64_t *)at = (int64_t)json_integer_value(value);
    else if (each->type == SONDE__COLUMN_INT && json_is_integer(value))
        *(int *)at = (int)json_integer_value(value);
    else if (each->type == SONDE__COLUMN_FLAG && json_is_boolean(value))
        *(bool *)at = json_is_true(value);
    else if (each->type == SONDE__COLUMN_REAL)
        *(double *)at = json_is_number(value) ? json_number_value(value) : (double)NAN;
    else if (each->type == SONDE__COLUMN_TEXT && json_is_string(value))
        snprintf(at, each->room, "%s", json_string_value(value));
}

static void read_top(sonde_keep_choice *keep, const json_t *top)
{
    size_t count = json_array_size(top);
    keep->top_count = count < SONDE_KEEP_TOP_MAX ? (int)count : SONDE_KEEP_TOP_MAX;
    for (int i = 0; i < keep->top_count; i++)
        keep->top[i] = (int64_t)json_integer_value(json_array_get(top, (size_t)i));
}

sonde_status sonde__decision_from_json(sonde_context *context, const char *json,
                                       sonde_decision *decision)
{
    json_error_t error;
    json_t *object = json_loads(json, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object)) {
        json_decref(object);
        return sonde__fail(context, SONDE_ERROR_CORRUPT, "a stored decision is not a JSON object");
    }
    sonde_decision read;
    memset(&read, 0, sizeof(read));
    for (int i = 0; i < MEMBER_COUNT; i++)
        member_from_json(&read, &members[i], json_object_get(object, members[i].name));
    read_top(&read.keep, json_object_get(object, "keep_top"));
    json_decref(object);
    *decision = read;
    return SONDE_OK;
}
