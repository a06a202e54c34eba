/* Help texts, made from the verbs' own words and the list of configuration fields. */
#include "cli/verb.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COLUMN = 30, WIDTH = 96 };

void sonde__help_general(FILE *to)
{
    fputs(
        "sonde: tells of a neural network, without a validation set, when to stop training, which\n"
        "checkpoint to keep, which examples to skip, which channels to cut and which architecture\n"
        "to choose; trains networks that way; and reads the model files of any framework without\n"
        "running code in them.\n"
        "\n"
        "Begin with\n"
        "    sonde demo                         trains for half a minute, shows the decisions\n"
        "    sonde train --epochs 20            the same on your terms\n"
        "    sonde show model.safetensors       what a model file holds\n"
        "    sonde spectrum model.safetensors   what training did to each layer\n"
        "    sonde score --arch resnet20        every proxy of a network that is not trained\n"
        "    sonde help spectrum                everything that can be set\n"
        "\n"
        "Verbs\n",
        to);
    const sonde__verb *verb;
    for (int i = 0; (verb = sonde__verb_at(i)) != NULL; i++)
        fprintf(to, "    %-10s %s\n", verb->name, verb->summary);
    fputs("    help       general help, or that of a verb: `sonde help VERB`\n"
          "\n"
          "`--json` prints one object for programs, `--quiet` nothing, `--version` the version.\n"
          "Exit status: 0 done, 1 the work failed, 2 wrong use, 128 + n ended by signal n.\n",
          to);
}

/* The help text behind its option, wrapped with a hanging indent. */
static void print_option(FILE *to, const char *left, const char *help)
{
    const int width = WIDTH - COLUMN;
    fprintf(to, "    %-*s", COLUMN - 4, left);
    if ((int)strlen(left) > COLUMN - 6)
        fprintf(to, "\n%*s", COLUMN, "");
    int used = 0;
    while (*help) {
        const int word = (int)strcspn(help, " ");
        if (used && used + 1 + word > width) {
            fprintf(to, "\n%*s", COLUMN, "");
            used = 0;
        }
        fprintf(to, "%s%.*s", used ? " " : "", word, help);
        used += word + (used ? 1 : 0);
        help += word;
        help += strspn(help, " ");
    }
    fputc('\n', to);
}

static void option_help(FILE *to, const sonde__option *option)
{
    char left[128];
    if (option->letter)
        snprintf(left, sizeof left, "-%c, --%s %s", option->letter, option->name,
                 option->placeholder);
    else
        snprintf(left, sizeof left, "--%s %s", option->name, option->placeholder);
    print_option(to, left, option->help);
}

/* " (30)", or nothing where the default is empty or said in the help already. */
static void default_of(const sonde__config *config, const sonde__field *field, char *text,
                       size_t size)
{
    const char *at = (const char *)config + field->offset;
    text[0] = 0;
    if (field->type == SONDE__FIELD_TEXT) {
        if (at[0])
            snprintf(text, size, " [%s]", at);
    } else if (field->type == SONDE__FIELD_INTEGER) {
        int64_t number;
        memcpy(&number, at, sizeof number);
        snprintf(text, size, " [%" PRId64 "]", number);
    } else if (field->type == SONDE__FIELD_REAL) {
        double number;
        memcpy(&number, at, sizeof number);
        snprintf(text, size, " [%g]", number);
    }
}

static void field_help(FILE *to, const sonde__config *config, const sonde__field *field)
{
    char left[128], value[SONDE__CONFIG_TEXT_MAX + 8], help[SONDE__CONFIG_TEXT_MAX + 512];
    if (field->type == SONDE__FIELD_SECTION) {
        fprintf(to, "\n%s\n", field->help);
        return;
    }
    bool on = false;
    if (field->type == SONDE__FIELD_FLAG)
        memcpy(&on, (const char *)config + field->offset, sizeof on);
    default_of(config, field, value, sizeof value);
    snprintf(left, sizeof left, "--%s%s%s%s", on ? "no-" : "", field->name,
             field->placeholder[0] ? " " : "", field->placeholder);
    snprintf(help, sizeof help, "%s%s%s", on ? "do not " : "", field->help, value);
    print_option(to, left, help);
}

void sonde__help_verb(FILE *to, const sonde__verb *verb)
{
    fprintf(to, "sonde %s: %s\n\nExamples\n%s\nUsage\n    sonde %s\n", verb->name, verb->summary,
            verb->examples, verb->usage);
    if (verb->about[0])
        fprintf(to, "\n%s", verb->about);
    fprintf(to, "\nOptions\n");
    for (const sonde__option *option = verb->options; option->name; option++)
        option_help(to, option);
    print_option(to, "-h, --help", "this text");
    if (!verb->trains && !verb->measures)
        return;
    sonde__call call = {0};
    sonde__config_init(&call.config);
    if (verb->prepare)
        verb->prepare(&call);
    const sonde__field *field;
    for (int i = 0; (field = sonde__config_field(i)) != NULL; i++)
        if ((verb->trains || sonde__config_of_subject(field)) &&
            (!field->name || !sonde__name_in(verb->without, field->name)))
            field_help(to, &call.config, field);
    fputs("\nValues in brackets are the defaults. --name=value works too; a flag --x is undone by "
          "--no-x.\n",
          to);
}
