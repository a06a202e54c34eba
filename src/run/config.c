/*
 * The configuration of a run: its field table, parsing, checks and JSON form.
 *
 * Everything is driven by SONDE__CONFIG_LIST (config.h), so a new field needs one line there and, if
 * it has a range or known names, one line in a table below. Invariant: a configuration that passes
 * sonde__config_check can be trained with; what remains to be found out (files, the network's
 * options) is reported by those who read them.
 */
#include "run/config.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "run/choice.h"

/* ---- The field table ---- */

#define ROW_SECTION(title) {SONDE__FIELD_SECTION, NULL, "", title, 0},
#define ROW_FIELD(type, field, initial, placeholder, help) \
    {SONDE__FIELD_##type, #field, placeholder, help, offsetof(sonde__config, field)},
static const sonde__field rows[] = {SONDE__CONFIG_LIST(ROW_SECTION, ROW_FIELD)};

enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]), NAME_MAX_LENGTH = 32 };
_Static_assert(sizeof(rows) / sizeof(rows[0]) <= (size_t)SONDE__CONFIG_FIELDS_MAX,
               "raise SONDE__CONFIG_FIELDS_MAX");

/* The same rows with names as options are written (label-noise for label_noise): the preprocessor
 * cannot change a character, so this is done once, by whoever comes first. */
static char option_names[ROW_COUNT][NAME_MAX_LENGTH];
static sonde__field fields[ROW_COUNT];
static pthread_once_t fields_once = PTHREAD_ONCE_INIT;

static void make_fields(void)
{
    for (int i = 0; i < ROW_COUNT; i++) {
        fields[i] = rows[i];
        if (!rows[i].name)
            continue;
        snprintf(option_names[i], sizeof(option_names[i]), "%s", rows[i].name);
        for (char *c = option_names[i]; *c; c++)
            *c = *c == '_' ? '-' : *c;
        fields[i].name = option_names[i];
    }
}

const sonde__field *sonde__config_field(int index)
{
    pthread_once(&fields_once, make_fields);
    return index >= 0 && index < ROW_COUNT ? &fields[index] : NULL;
}

const sonde__field *sonde__config_find(const char *name)
{
    for (int i = 0; i < ROW_COUNT; i++) {
        const sonde__field *field = sonde__config_field(i);
        if (field->name && strcmp(field->name, name) == 0)
            return field;
    }
    return NULL;
}

/* ---- Values ---- */

#define SET_TEXT(field, initial) snprintf(config->field, sizeof(config->field), "%s", initial);
#define SET_INTEGER(field, initial) config->field = initial;
#define SET_REAL(field, initial) config->field = initial;
#define SET_FLAG(field, initial) config->field = initial;
#define INIT_SECTION(title)
#define INIT_FIELD(type, field, initial, placeholder, help) SET_##type(field, initial)

void sonde__config_init(sonde__config *config)
{
    memset(config, 0, sizeof(*config));
    SONDE__CONFIG_LIST(INIT_SECTION, INIT_FIELD)
}

#define SIZE_TEXT(field) sizeof(((sonde__config *)0)->field),
#define SIZE_INTEGER(field) SIZE_TEXT(field)
#define SIZE_REAL(field) SIZE_TEXT(field)
#define SIZE_FLAG(field) SIZE_TEXT(field)
#define SIZE_OF_SECTION(title) 0,
#define SIZE_OF_FIELD(type, field, initial, placeholder, help) SIZE_##type(field)

void sonde__config_take(sonde__config *config, const sonde__config *from,
                        const sonde__config_named *named)
{
    static const size_t sizes[] = {SONDE__CONFIG_LIST(SIZE_OF_SECTION, SIZE_OF_FIELD)};
    for (int i = 0; i < ROW_COUNT; i++)
        if (named->field[i])
            memcpy((char *)config + rows[i].offset, (const char *)from + rows[i].offset, sizes[i]);
}

bool sonde__config_of_subject(const sonde__field *field)
{
    static const char *const others[] = {"seed", "threads", "probe-size"};
    const sonde__field *training = sonde__config_find("epochs");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (field->name && strcmp(field->name, others[i]) == 0)
            return true;
    /* The sections before the first field of training, but not its own title. */
    return field + 1 < training;
}

static void *value_of(sonde__config *config, const sonde__field *field)
{
    return (char *)config + field->offset;
}

static const void *value_in(const sonde__config *config, const sonde__field *field)
{
    return (const char *)config + field->offset;
}

static sonde_status refuse(sonde_context *context, const sonde__field *field, const char *value,
                           const char *wanted)
{
    return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, field->name, -1,
                          "--%s takes %s, not \"%.80s\"", field->name, wanted, value);
}

static sonde_status set_text(sonde_context *context, char *slot, const sonde__field *field,
                             const char *value)
{
    if (strlen(value) >= SONDE__CONFIG_TEXT_MAX)
        return refuse(context, field, value, "fewer than 512 characters");
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return refuse(context, field, value, "text without control characters");
    snprintf(slot, SONDE__CONFIG_TEXT_MAX, "%s", value);
    return SONDE_OK;
}

static sonde_status set_flag(sonde_context *context, bool *slot, const sonde__field *field,
                             const char *value)
{
    bool on = strcmp(value, "on") == 0 || strcmp(value, "true") == 0;
    bool off = strcmp(value, "off") == 0 || strcmp(value, "false") == 0;
    if (!on && !off)
        return refuse(context, field, value, "on or off");
    *slot = on;
    return SONDE_OK;
}

sonde_status sonde__config_set(sonde_context *context, sonde__config *config,
                               const sonde__field *field, const char *value)
{
    int64_t integer;
    double real;
    switch (field->type) {
    case SONDE__FIELD_TEXT:
        return set_text(context, value_of(config, field), field, value);
    case SONDE__FIELD_FLAG:
        return set_flag(context, value_of(config, field), field, value);
    case SONDE__FIELD_INTEGER:
        if (!sonde__parse_int64(value, &integer))
            return refuse(context, field, value, "a whole number");
        *(int64_t *)value_of(config, field) = integer;
        return SONDE_OK;
    case SONDE__FIELD_REAL:
        if (!sonde__parse_double(value, &real) || !isfinite(real))
            return refuse(context, field, value, "a number");
        *(double *)value_of(config, field) = real;
        return SONDE_OK;
    case SONDE__FIELD_SECTION:
    default:
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "a section of options has no value");
    }
}

/* ---- Checks ---- */

typedef struct range {
    const char *option;
    double low, high;
    bool open_high; /* the upper end itself is not allowed */
} range;

static const range ranges[] = {
    {"train-size", 0, 1e9, false},
    {"test-size", 0, 1e9, false},
    {"difficulty", 0, 1e6, false},
    {"label-noise", 0, 1, true},
    {"dropout", -1, 1, true},
    {"epochs", 1, 1000000, false},
    {"batch", 1, 65536, false},
    {"context", 1, 4096, false},
    {"lr", 0, 1e6, false},
    {"momentum", 0, 1, true},
    {"beta1", 0, 1, true},
    {"beta2", 0, 1, true},
    {"weight-decay", 0, 1e6, false},
    {"lr-final", 0, 1e6, false},
    {"gamma", 0, 1e6, false},
    {"warm-up", 0, 1000000, false},
    {"label-smoothing", 0, 1, true},
    {"clip", 0, 1e30, false},
    {"seed", 0, 9.2e18, false},
    {"threads", 0, 1024, false},
    {"stop-patience", 1, 1000000, false},
    {"spectrum-every", 1, 1000000, false},
    {"probe-size", 1, 65536, false},
    {"tpv-every", 0, 1000000, false},
    {"tpv-inputs", 1, 1000000, false},
    {"delta", 0, 1e30, false},
    {"check-every", 1, 1000000, false},
    {"anneal", 0, 1, false},
    {"checkpoint-every", 1, 1000000, false},
};

static double number_in(const sonde__config *config, const sonde__field *field)
{
    if (field->type == SONDE__FIELD_INTEGER)
        return (double)*(const int64_t *)value_in(config, field);
    return *(const double *)value_in(config, field);
}

static sonde_status check_range(sonde_context *context, const sonde__config *config, const range *r)
{
    const sonde__field *field = sonde__config_find(r->option);
    double value = number_in(config, field);
    bool inside = value >= r->low && (r->open_high ? value < r->high : value <= r->high);
    if (inside)
        return SONDE_OK;
    return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, r->option, -1,
                          "--%s is %.10g, but must be from %.10g to %s%.10g", r->option, value,
                          r->low, r->open_high ? "below " : "", r->high);
}

static sonde_status check_combinations(sonde_context *context, const sonde__config *config)
{
    if (config->nesterov && config->momentum == 0)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "nesterov", -1,
                              "--nesterov needs a --momentum above 0");
    if (config->label_smoothing > 0 && strcmp(config->loss, "cross-entropy") != 0)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "label-smoothing", -1,
                              "--label-smoothing works with --loss cross-entropy only");
    if (strcmp(config->keep_by, "tpv") == 0 && config->tpv_every == 0)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "keep-by", -1,
                              "--keep-by tpv needs it measured: add --tpv-every 1");
    if (config->warm_up >= config->epochs)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "warm-up", -1,
                              "--warm-up %lld leaves none of the %lld epochs to train in",
                              (long long)config->warm_up, (long long)config->epochs);
    if (config->dropout < 0 && config->dropout != -1)
        return sonde__fail_at(context, SONDE_ERROR_RANGE, NULL, "dropout", -1,
                              "--dropout is %g, but must be -1 or from 0 to below 1",
                              config->dropout);
    return SONDE_OK;
}

sonde_status sonde__config_check(sonde_context *context, const sonde__config *config)
{
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        SONDE_TRY(check_range(context, config, &ranges[i]));
    SONDE_TRY(check_combinations(context, config));
    sonde__choices choices;
    return sonde__choices_read(context, config, &choices);
}

/* ---- JSON ---- */

static json_t *field_to_json(const sonde__config *config, const sonde__field *field)
{
    const void *value = value_in(config, field);
    switch (field->type) {
    case SONDE__FIELD_TEXT:
        return json_string(value);
    case SONDE__FIELD_INTEGER:
        return json_integer((json_int_t) * (const int64_t *)value);
    case SONDE__FIELD_REAL:
        return json_real(*(const double *)value);
    case SONDE__FIELD_FLAG:
        return json_boolean(*(const bool *)value);
    case SONDE__FIELD_SECTION:
    default:
        return NULL;
    }
}

static json_t *config_object(const sonde__config *config)
{
    json_t *object = json_object();
    for (int i = 0; object && i < ROW_COUNT; i++) {
        const sonde__field *field = sonde__config_field(i);
        if (field->type == SONDE__FIELD_SECTION)
            continue;
        if (json_object_set_new(object, field->name, field_to_json(config, field)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

sonde_status sonde__config_to_json(sonde_context *context, const sonde__config *config, char **json)
{
    json_t *object = config_object(config);
    char *dumped = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(object);
    if (!dumped)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "the configuration cannot be written as JSON: a text is not UTF-8, or "
                           "memory is exhausted");
    char *copy = sonde__copy_string(context, dumped);
    free(dumped);
    if (!copy)
        return SONDE_ERROR_MEMORY;
    *json = copy;
    return SONDE_OK;
}

static sonde_status field_from_json(sonde_context *context, const json_t *value,
                                    const sonde__field *field, sonde__config *config)
{
    bool fits = (field->type == SONDE__FIELD_TEXT && json_is_string(value)) ||
                (field->type == SONDE__FIELD_INTEGER && json_is_integer(value)) ||
                (field->type == SONDE__FIELD_REAL && json_is_number(value)) ||
                (field->type == SONDE__FIELD_FLAG && json_is_boolean(value));
    if (!fits)
        return sonde__fail_at(context, SONDE_ERROR_FORMAT, NULL, field->name, -1,
                              "the stored configuration gives \"%s\" a value of the wrong kind",
                              field->name);
    if (field->type == SONDE__FIELD_TEXT)
        return set_text(context, value_of(config, field), field, json_string_value(value));
    if (field->type == SONDE__FIELD_INTEGER)
        *(int64_t *)value_of(config, field) = (int64_t)json_integer_value(value);
    else if (field->type == SONDE__FIELD_REAL)
        *(double *)value_of(config, field) = json_number_value(value);
    else
        *(bool *)value_of(config, field) = json_is_true(value);
    return SONDE_OK;
}

sonde_status sonde__config_from_json(sonde_context *context, const char *json,
                                     sonde__config *config)
{
    json_error_t error;
    json_t *object = json_loads(json, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object)) {
        json_decref(object);
        return sonde__fail_at(context, SONDE_ERROR_FORMAT, NULL, "config", -1,
                              "the stored configuration is not a JSON object: %s",
                              object ? "another kind of value" : error.text);
    }
    sonde__config read;
    sonde__config_init(&read);
    sonde_status status = SONDE_OK;
    for (int i = 0; i < ROW_COUNT && status == SONDE_OK; i++) {
        const sonde__field *field = sonde__config_field(i);
        const json_t *value = field->name ? json_object_get(object, field->name) : NULL;
        if (value)
            status = field_from_json(context, value, field, &read);
    }
    json_decref(object);
    if (status == SONDE_OK)
        *config = read;
    return status;
}
