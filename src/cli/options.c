/* Parsing of options, and the nearest name for a mistyped one; see options.h. */
#include "cli/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { WORD_MAX = 48 };

/* ---- nearest name ---------------------------------------------------------------------------- */

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: like Levenshtein's, with swapped neighbours as one step. */
int sonde__edit_distance(const char *from, const char *to)
{
    int rows[3][WORD_MAX + 1];
    const int n = (int)strlen(from), m = (int)strlen(to);
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (int j = 0; j <= m; j++)
        rows[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *now = rows[i % 3];
        const int *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            now[j] =
                least(least(above[j], now[j - 1]) + 1, above[j - 1] + (from[i - 1] != to[j - 1]));
            if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1])
                now[j] = least(now[j], two_above[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

const char *sonde__nearest(const char *word, sonde__candidate_fn next, const void *user)
{
    const char *best = NULL, *candidate;
    const int length = (int)strlen(word);
    int best_distance = length <= 3 ? 1 : length <= 7 ? 2 : 3;
    for (int i = 0; (candidate = next(user, i)) != NULL; i++) {
        int distance = sonde__edit_distance(word, candidate);
        /* A beginning that was typed whole is as good as one slip: --prob for --probe-size. */
        if (length >= 3 && distance > 1 && strncmp(word, candidate, (size_t)length) == 0)
            distance = 1;
        if (distance < best_distance || (distance == best_distance && !best)) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

/* ---- lookup ---------------------------------------------------------------------------------- */

bool sonde__name_in(const char *const *list, const char *name)
{
    for (; list && *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

static bool takes_field(const sonde__parse *parse, const sonde__field *field)
{
    return field && parse->config && field->type != SONDE__FIELD_SECTION &&
           (!parse->subject || sonde__config_of_subject(field)) &&
           !sonde__name_in(parse->without, field->name);
}

/* All names that a parse knows: own options first, then the configuration's fields. */
static const char *option_name(const void *user, int index)
{
    const sonde__parse *parse = user;
    for (const sonde__option *option = parse->options; option->name; option++)
        if (index-- == 0)
            return option->name;
    if (!parse->config)
        return index == 0 ? "help" : NULL;
    const sonde__field *field;
    for (int i = 0; (field = sonde__config_field(i)) != NULL; i++)
        if (takes_field(parse, field) && index-- == 0)
            return field->name;
    return index == 0 ? "help" : NULL;
}

static const sonde__option *own_option(const sonde__parse *parse, const char *name, char letter)
{
    for (const sonde__option *option = parse->options; option->name; option++)
        if (name ? strcmp(option->name, name) == 0 : letter && option->letter == letter)
            return option;
    return NULL;
}

static sonde_status unknown_option(sonde_context *context, const sonde__parse *parse,
                                   const char *shown, const char *name)
{
    const char *near = sonde__nearest(name, option_name, parse);
    if (near)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "unknown option %s; did you mean --%s? (`sonde help %s` lists all)",
                           shown, near, parse->verb);
    return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                       "unknown option %s; `sonde help %s` lists those it takes", shown,
                       parse->verb);
}

/* ---- one argument ---------------------------------------------------------------------------- */

/* What is left of the arguments, and the option in hand. */
typedef struct cursor {
    int count, index;
    char **arguments;
    char name[64];     /* without dashes, up to the equals sign */
    const char *value; /* behind the equals sign; NULL: none */
} cursor;

static sonde_status take_value(sonde_context *context, cursor *at, const char *placeholder)
{
    if (at->value)
        return SONDE_OK;
    if (at->index + 1 >= at->count)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "option %s needs a value; write %s %s",
                           at->arguments[at->index], at->arguments[at->index], placeholder);
    at->value = at->arguments[++at->index];
    return SONDE_OK;
}

static sonde_status set_flag(sonde_context *context, const char *name, const char *value,
                             bool *target)
{
    if (!value || strcmp(value, "on") == 0)
        *target = true;
    else if (strcmp(value, "off") == 0)
        *target = false;
    else
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "option --%s is \"%s\"; it takes on or off, or no value", name, value);
    return SONDE_OK;
}

bool sonde__parse_size(const char *text, int64_t *bytes)
{
    static const char units[] = "KMGT";
    char number[32];
    double value, factor = 1;
    const size_t digits = strspn(text, "0123456789.");
    const char *unit = text + digits;
    if (digits == 0 || digits >= sizeof number)
        return false;
    snprintf(number, sizeof number, "%.*s", (int)digits, text);
    const char *known = *unit ? strchr(units, toupper((unsigned char)*unit)) : NULL;
    for (const char *step = units; known && step <= known; step++)
        factor *= 1024;
    unit += known ? 1 : 0;
    if (strcmp(unit, "") != 0 && strcmp(unit, "B") != 0 && (!known || strcmp(unit, "iB") != 0))
        return false;
    if (!sonde__parse_double(number, &value) || !(value * factor >= 1) || value * factor > 9e18)
        return false;
    *bytes = (int64_t)(value * factor);
    return true;
}

static sonde_status set_text(sonde_context *context, const sonde__option *option, const char *value,
                             void *target)
{
    sonde__texts *texts = target;
    if (!value[0])
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "option --%s is empty; write --%s %s",
                           option->name, option->name, option->placeholder);
    if (option->type == SONDE__OPTION_TEXT)
        *(const char **)target = value;
    else if (texts->count < SONDE__TEXTS_MAX)
        texts->item[texts->count++] = value;
    else
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "option --%s is given over %d times",
                           option->name, SONDE__TEXTS_MAX);
    return SONDE_OK;
}

static sonde_status set_own(sonde_context *context, const sonde__parse *parse,
                            const sonde__option *option, cursor *at)
{
    void *target = (char *)parse->values + option->offset;
    if (option->type == SONDE__OPTION_FLAG)
        return set_flag(context, option->name, at->value, target);
    SONDE_TRY(take_value(context, at, option->placeholder));
    if (option->type == SONDE__OPTION_TEXT || option->type == SONDE__OPTION_TEXTS)
        return set_text(context, option, at->value, target);
    int64_t number;
    if (option->type == SONDE__OPTION_SIZE) {
        if (!sonde__parse_size(at->value, &number))
            return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                               "option --%s is \"%s\"; it takes a size such as 512M or 2G",
                               option->name, at->value);
        *(int64_t *)target = number;
        return SONDE_OK;
    }
    if (!sonde__parse_int64(at->value, &number) || number < 0)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "option --%s is \"%s\"; it takes a whole number, 0 or more",
                           option->name, at->value);
    *(int64_t *)target = number;
    return SONDE_OK;
}

static void note_named(sonde__parse *parse, const sonde__field *field)
{
    for (int i = 0; parse->named && i < SONDE__CONFIG_FIELDS_MAX; i++)
        if (sonde__config_field(i) == field)
            parse->named->field[i] = true;
}

static sonde_status set_field(sonde_context *context, sonde__parse *parse,
                              const sonde__field *field, cursor *at)
{
    note_named(parse, field);
    if (field->type == SONDE__FIELD_FLAG) {
        bool flag = false;
        SONDE_TRY(set_flag(context, field->name, at->value, &flag));
        return sonde__config_set(context, parse->config, field, flag ? "on" : "off");
    }
    SONDE_TRY(take_value(context, at, field->placeholder));
    return sonde__config_set(context, parse->config, field, at->value);
}

/* --no-NAME for a flag, own or of the configuration; `found` tells whether there is one. */
static sonde_status negated(sonde_context *context, sonde__parse *parse, const cursor *at,
                            bool *found)
{
    const char *name = at->name + 3;
    *found = false;
    if (strncmp(at->name, "no-", 3) != 0 || at->value)
        return SONDE_OK;
    const sonde__option *option = own_option(parse, name, 0);
    if (option && option->type == SONDE__OPTION_FLAG) {
        *found = true;
        *(bool *)((char *)parse->values + option->offset) = false;
        return SONDE_OK;
    }
    const sonde__field *field = parse->config ? sonde__config_find(name) : NULL;
    if (!takes_field(parse, field) || field->type != SONDE__FIELD_FLAG)
        return SONDE_OK;
    *found = true;
    note_named(parse, field);
    return sonde__config_set(context, parse->config, field, "off");
}

static sonde_status long_option(sonde_context *context, sonde__parse *parse, cursor *at)
{
    const char *argument = at->arguments[at->index];
    const char *equals = strchr(argument, '=');
    const size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    bool found;
    snprintf(at->name, sizeof at->name, "%.*s", (int)(length - 2), argument + 2);
    at->value = equals ? equals + 1 : NULL;
    if (strcmp(at->name, "help") == 0) {
        parse->help = true;
        return SONDE_OK;
    }
    const sonde__option *option = own_option(parse, at->name, 0);
    if (option)
        return set_own(context, parse, option, at);
    const sonde__field *field = parse->config ? sonde__config_find(at->name) : NULL;
    if (takes_field(parse, field))
        return set_field(context, parse, field, at);
    SONDE_TRY(negated(context, parse, at, &found));
    if (found)
        return SONDE_OK;
    char shown[72];
    snprintf(shown, sizeof shown, "--%s", at->name);
    return unknown_option(context, parse, shown, at->name);
}

static sonde_status short_option(sonde_context *context, sonde__parse *parse, cursor *at)
{
    const char *argument = at->arguments[at->index];
    if (strcmp(argument, "-h") == 0) {
        parse->help = true;
        return SONDE_OK;
    }
    const sonde__option *option = own_option(parse, NULL, argument[1]);
    if (!option)
        return unknown_option(context, parse, argument, argument + 1);
    at->value = argument[2] ? argument + 2 : NULL;
    return set_own(context, parse, option, at);
}

/* Positionals are gathered at the front of the arguments, behind which nothing is looked at twice. */
static sonde_status positional(sonde_context *context, sonde__parse *parse, char **arguments,
                               int index)
{
    char *argument = arguments[index];
    const int most = parse->most > 0 ? parse->most : 1;
    if (!parse->positional)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "`sonde %s` takes only options, and \"%s\" is none; `sonde help %s` "
                           "lists them",
                           parse->verb, argument, parse->verb);
    if (parse->given == most && most == 1)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "`sonde %s` takes one %s, and \"%s\" is a second one", parse->verb,
                           parse->positional, argument);
    if (parse->given == most)
        return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                           "`sonde %s` takes %s, and \"%s\" is one name more", parse->verb,
                           parse->positional, argument);
    if (!argument[0])
        return sonde__fail(context, SONDE_ERROR_ARGUMENT, "the %s is empty; name a file or folder",
                           parse->positional);
    arguments[parse->given++] = argument;
    parse->value = arguments[0];
    return SONDE_OK;
}

sonde_status sonde__parse_arguments(sonde_context *context, sonde__parse *parse, int count,
                                    char **arguments)
{
    cursor at = {.count = count, .arguments = arguments};
    parse->values_given = arguments;
    parse->given = 0;
    bool only_positional = false;
    for (; at.index < count; at.index++) {
        const char *argument = arguments[at.index];
        at.value = NULL;
        if (only_positional || argument[0] != '-' || !argument[1])
            SONDE_TRY(positional(context, parse, arguments, at.index));
        else if (strcmp(argument, "--") == 0)
            only_positional = true;
        else if (argument[1] == '-')
            SONDE_TRY(long_option(context, parse, &at));
        else
            SONDE_TRY(short_option(context, parse, &at));
    }
    return SONDE_OK;
}
