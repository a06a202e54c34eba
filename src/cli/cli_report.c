/* `sonde report`: the run as one self-contained HTML file. */
#include "cli/verb.h"

#include <stddef.h>

#include "base/path.h"
#include "cli/models.h"
#include "report/report.h"

static sonde_status tell_report(sonde__call *call, const char *path)
{
    if (!call->values.json) {
        if (!call->values.quiet)
            printf("%s\n", path);
        return SONDE_OK;
    }
    sonde__text text;
    sonde__text_init(&text, call->context);
    sonde__text_add(&text, "{\"run\":");
    sonde__text_json_string(&text, call->positional);
    sonde__text_add(&text, ",\"report\":");
    sonde__text_json_string(&text, path);
    sonde__text_add(&text, "}\n");
    const sonde_status status = sonde__text_status(&text);
    if (status == SONDE_OK)
        fwrite(text.bytes, 1, text.length, stdout);
    sonde__text_free(&text);
    return status;
}

static sonde_status write_report(sonde__call *call, const char *path)
{
    sonde__store *store = NULL;
    SONDE_TRY(sonde__store_open(call->context, call->positional, SONDE__STORE_READ, &store));
    const sonde_status status = sonde__report_write(call->context, store, path);
    sonde__store_close(store);
    return status;
}

static int run_report(sonde__call *call)
{
    char *in_run = NULL;
    const char *path = call->values.output;
    if (path && sonde__cli_names_model(path))
        return sonde__cli_usage(
            "--output is \"%s\", the name of a model file; name another, as report.html", path);
    if (!path)
        path = in_run = sonde__path_join(call->context, call->positional, "report.html");
    sonde_status status = path ? write_report(call, path) : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK)
        status = tell_report(call, path);
    const int exit_status = status == SONDE_OK ? SONDE__EXIT_DONE : sonde__cli_fail(call->context);
    sonde__free(call->context, in_run);
    return exit_status;
}

static const sonde__option options[] = {
    {SONDE__OPTION_TEXT, "output", 'o', "FILE", "where to write it [RUN/report.html]",
     offsetof(sonde__values, output)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print one JSON object: run, report",
     offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "do not print the file's name",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

const sonde__verb sonde__verb_report = {
    .name = "report",
    .summary = "writes a run's report: one HTML file, no network needed",
    .usage = "report RUN [-o FILE]",
    .examples = "    sonde report runs/a -o a.html\n",
    .about = "",
    .options = options,
    .positional = "RUN",
    .run = run_report,
};
