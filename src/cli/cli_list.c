/* `sonde data` and `sonde models`: what can be named. */
#include "cli/verb.h"

#include <stddef.h>

#include "file/dataset.h"
#include "net/arch.h"

static int print_text(sonde__call *call, sonde__text *text)
{
    int exit_status = SONDE__EXIT_DONE;
    if (sonde__text_status(text) == SONDE_OK)
        fwrite(text->bytes, 1, text->length, stdout);
    else
        exit_status = sonde__cli_fail(call->context);
    sonde__text_free(text);
    return exit_status;
}

static void json_member(sonde__text *text, const char *before, const char *value)
{
    sonde__text_add(text, before);
    sonde__text_json_string(text, value);
}

static int run_data(sonde__call *call)
{
    const sonde__data_info *info;
    sonde__text text;
    sonde__text_init(&text, call->context);
    sonde__text_add(&text, call->values.json ? "{\"data\":[" : "");
    for (int i = 0; (info = sonde__data_known(i)) != NULL; i++) {
        if (!call->values.json) {
            sonde__text_format(&text, "%-14s %s%s\n", info->name, info->summary,
                               info->needs_folder ? " (needs --data-dir)" : "");
            continue;
        }
        json_member(&text, i ? ",{\"name\":" : "{\"name\":", info->name);
        json_member(&text, ",\"summary\":", info->summary);
        sonde__text_format(&text, ",\"needs_folder\":%s}", info->needs_folder ? "true" : "false");
    }
    sonde__text_add(&text, call->values.json ? "]}\n" : "");
    return print_text(call, &text);
}

static int run_models(sonde__call *call)
{
    const sonde__arch_info *info;
    sonde__text text;
    sonde__text_init(&text, call->context);
    sonde__text_add(&text, call->values.json ? "{\"models\":[" : "");
    for (int i = 0; (info = sonde__arch(i)) != NULL; i++) {
        if (!call->values.json) {
            sonde__text_format(&text, "%-14s %s\n", info->name, info->summary);
            if (info->options[0])
                sonde__text_format(&text, "%-14s   options: %s\n", "", info->options);
            continue;
        }
        json_member(&text, i ? ",{\"name\":" : "{\"name\":", info->name);
        json_member(&text, ",\"summary\":", info->summary);
        json_member(&text, ",\"options\":", info->options);
        sonde__text_add(&text, "}");
    }
    sonde__text_add(&text, call->values.json ? "]}\n" : "");
    return print_text(call, &text);
}

static const sonde__option options[] = {
    {SONDE__OPTION_FLAG, "json", 0, "", "print one JSON object", offsetof(sonde__values, json)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

const sonde__verb sonde__verb_data = {
    .name = "data",
    .summary = "lists the data sets",
    .usage = "data [--json]",
    .examples = "    sonde data\n",
    .about = "",
    .options = options,
    .run = run_data,
};

const sonde__verb sonde__verb_models = {
    .name = "models",
    .summary = "lists the architectures and their options",
    .usage = "models [--json]",
    .examples = "    sonde models\n"
                "    sonde train --model mlp:widths=256x256        options follow a colon\n",
    .about = "",
    .options = options,
    .run = run_models,
};
