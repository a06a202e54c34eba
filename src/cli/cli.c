/* Finds the verb, parses its options, runs it; errors in one line. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/verb.h"

static const sonde__verb *const verbs[] = {
    &sonde__verb_show,    &sonde__verb_spectrum, &sonde__verb_keep,   &sonde__verb_score,
    &sonde__verb_tpv,     &sonde__verb_probe,    &sonde__verb_prune,  &sonde__verb_diff,
    &sonde__verb_convert, &sonde__verb_train,    &sonde__verb_resume, &sonde__verb_report,
    &sonde__verb_demo,    &sonde__verb_data,     &sonde__verb_models,
};

enum { VERBS = sizeof verbs / sizeof verbs[0] };

const sonde__verb *sonde__verb_at(int index)
{
    return index >= 0 && index < VERBS ? verbs[index] : NULL;
}

/* ---- errors ---------------------------------------------------------------------------------- */

void sonde__cli_plain(char *text)
{
    sonde__text_make_plain(text);
}

static void error_line(char *line)
{
    sonde__cli_plain(line);
    fprintf(stderr, "sonde: %s\n", line);
}

int sonde__cli_usage(const char *format, ...)
{
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    error_line(line);
    return SONDE__EXIT_USAGE;
}

int sonde__cli_fail(const sonde_context *context)
{
    const sonde_error *error = sonde_context_error(context);
    char line[4096];
    const char *message = error->message[0] ? error->message : sonde_status_sentence(error->status);
    const bool name_file = error->file[0] && !strstr(message, error->file);
    const bool name_item = error->item[0] && !strstr(message, error->item);
    snprintf(line, sizeof line, "%s%s%s%s%s", name_file ? error->file : "", name_file ? ": " : "",
             name_item ? error->item : "", name_item ? ": " : "", message);
    error_line(line);
    return error->status == SONDE_ERROR_ARGUMENT ? SONDE__EXIT_USAGE : SONDE__EXIT_FAILED;
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static const char *verb_name(const void *user, int index)
{
    static const char *const others[] = {"help", "version", NULL};
    (void)user;
    return index < VERBS ? verbs[index]->name : others[index - VERBS];
}

static const sonde__verb *find_verb(const char *name)
{
    for (int i = 0; i < VERBS; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static int unknown_verb(const char *name)
{
    const char *near = sonde__nearest(name, verb_name, NULL);
    if (near)
        return sonde__cli_usage("unknown verb %s; did you mean %s? (`sonde help` lists all)", name,
                                near);
    return sonde__cli_usage("unknown verb %s; `sonde help` lists them", name);
}

static sonde_status work_context(const sonde__verb *verb, const sonde__call *call,
                                 sonde_context **context)
{
    sonde_context_options options;
    sonde_context_options_init(&options);
    if (verb && (verb->trains || verb->measures) && call->config.threads > 0 &&
        call->config.threads <= 1024)
        options.threads = (int)call->config.threads;
    if (verb && call->values.threads > 0)
        options.threads = (int)(call->values.threads < 1024 ? call->values.threads : 1024);
    if (verb && call->values.memory > 0)
        options.memory_limit = (size_t)call->values.memory;
    return sonde_context_create(&options, context);
}

/* Output that could not be written (a full disk, say) is a failure too. */
static int flushed(int exit_status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_status;
    fprintf(stderr, "sonde: standard output: the answer cannot be written; free space or name "
                    "another file\n");
    return exit_status == SONDE__EXIT_DONE ? SONDE__EXIT_FAILED : exit_status;
}

static int run_verb(const sonde__verb *verb, sonde__call *call)
{
    sonde_context *parser = call->context;
    if (work_context(verb, call, &call->context) != SONDE_OK) {
        call->context = parser;
        return sonde__cli_usage("there is no memory to begin with");
    }
    const int exit_status = verb->run(call);
    sonde_context_free(call->context);
    call->context = parser;
    return flushed(exit_status);
}

static int call_verb(const sonde__verb *verb, int count, char **arguments)
{
    int exit_status;
    sonde__call call = {0};
    sonde__config_init(&call.config);
    if (work_context(NULL, &call, &call.context) != SONDE_OK)
        return sonde__cli_usage("there is no memory to begin with");
    if (verb->prepare)
        verb->prepare(&call);
    sonde__parse parse = {.verb = verb->name,
                          .options = verb->options,
                          .values = &call.values,
                          .config = verb->trains || verb->measures ? &call.config : NULL,
                          .subject = !verb->trains,
                          .without = verb->without,
                          .named = &call.named,
                          .positional = verb->positional,
                          .most = verb->most};
    const sonde_status status = sonde__parse_arguments(call.context, &parse, count, arguments);
    call.positional = parse.value;
    call.positionals = parse.values_given;
    call.positional_count = parse.given;
    if (parse.help) {
        sonde__help_verb(stdout, verb);
        exit_status = flushed(SONDE__EXIT_DONE);
    } else if (status != SONDE_OK) {
        sonde__cli_fail(call.context);
        exit_status = status == SONDE_ERROR_MEMORY ? SONDE__EXIT_FAILED : SONDE__EXIT_USAGE;
    } else if (verb->positional && !verb->optional && !call.positional) {
        exit_status = sonde__cli_usage("which %s? write sonde %s", verb->positional, verb->usage);
    } else if (call.positional_count < verb->least) {
        exit_status =
            sonde__cli_usage("`sonde %s` takes two names, and there is only \"%s\"; write "
                             "sonde %s",
                             verb->name, call.positional, verb->usage);
    } else {
        exit_status = run_verb(verb, &call);
    }
    sonde_context_free(call.context);
    return exit_status;
}

static int call_help(int count, char **arguments)
{
    if (count == 0 || strcmp(arguments[0], "help") == 0) {
        sonde__help_general(stdout);
        return flushed(SONDE__EXIT_DONE);
    }
    const sonde__verb *verb = find_verb(arguments[0]);
    if (!verb)
        return unknown_verb(arguments[0]);
    sonde__help_verb(stdout, verb);
    return flushed(SONDE__EXIT_DONE);
}

int sonde__cli_main(int count, char **arguments)
{
    if (count < 2) {
        sonde__help_general(stderr);
        return SONDE__EXIT_USAGE;
    }
    const char *word = arguments[1];
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return call_help(count - 2, arguments + 2);
    if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
        printf("sonde %s\n", sonde_version());
        return flushed(SONDE__EXIT_DONE);
    }
    const sonde__verb *verb = find_verb(word);
    return verb ? call_verb(verb, count - 2, arguments + 2) : unknown_verb(word);
}
