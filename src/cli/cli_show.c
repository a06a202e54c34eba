/* `sonde show`: what was decided in a run, and why, from its store alone. */
#include "cli/verb.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "report/words.h"

sonde_status sonde__cli_read_run(sonde_context *context, const char *folder, sonde__store **store,
                                 sonde__record *record)
{
    SONDE_TRY(sonde__store_open(context, folder, SONDE__STORE_READ, store));
    return sonde__record_load(*store, record);
}

static void print_run(const sonde__record *record)
{
    const sonde__run_summary *run = &record->summary;
    char duration[64], line[3 * 1024];
    sonde__words_duration(run->seconds, duration, sizeof duration);
    snprintf(line, sizeof line, "%s: %s on %s, %" PRId64 " of %" PRId64 " epochs, %s, %s",
             run->folder, run->config.model, run->config.data, run->epochs_run, run->config.epochs,
             duration, run->status);
    sonde__cli_plain(line);
    printf("%s\n\n", line);
    sonde__print_decisions(stdout, record);
    putchar('\n');
    sonde__print_epochs(stdout, record);
    sonde__print_layers(stdout, record);
}

static int run_show(sonde__call *call)
{
    sonde__store *store = NULL;
    sonde__record record = {0};
    int exit_status = SONDE__EXIT_DONE;
    sonde_status status = sonde__cli_read_run(call->context, call->positional, &store, &record);
    if (status == SONDE_OK && call->values.json)
        status = sonde__json_run(call->context, stdout, &record);
    else if (status == SONDE_OK)
        print_run(&record);
    if (status != SONDE_OK)
        exit_status = sonde__cli_fail(call->context);
    sonde__record_free(&record);
    sonde__store_close(store);
    return exit_status;
}

static const sonde__option options[] = {
    {SONDE__OPTION_FLAG, "json", 0, "", "print one JSON object, the same as `sonde train --json`",
     offsetof(sonde__values, json)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

const sonde__verb sonde__verb_show = {
    .name = "show",
    .summary = "shows what was decided in a run, and why",
    .usage = "show RUN [OPTIONS]",
    .examples = "    sonde show runs/a\n"
                "    sonde show runs/a --json\n",
    .about = "A run can be looked at while it trains.\n",
    .options = options,
    .positional = "RUN",
    .run = run_show,
};
