/*
 * `sonde show`: what was decided in a run, and why, from its store alone. Anything that is not a run
 * is shown as a model file (cli_show_model.c).
 */
#include "cli/verb.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "base/path.h"
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

bool sonde__cli_is_run(sonde_context *context, const char *path)
{
    char *database = sonde__path_join(context, path, "run.sqlite");
    const bool found = database && sonde__path_exists(database);
    sonde__free(context, database);
    return found;
}

static int show_run(sonde__call *call)
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

static int run_show(sonde__call *call)
{
    if (sonde__cli_is_run(call->context, call->positional))
        return show_run(call);
    return sonde__cli_show_model(call);
}

static const sonde__option options[] = {
    {SONDE__OPTION_FLAG, "all", 0, "", "show all of a model's metadata",
     offsetof(sonde__values, all)},
    {SONDE__OPTION_SIZE, "memory", 0, "SIZE", "keep within this much memory, as 512M or 2G",
     offsetof(sonde__values, memory)},
    {SONDE__OPTION_FLAG, "json", 0, "",
     "print one JSON object; of a run the same as `sonde train --json`",
     offsetof(sonde__values, json)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

const sonde__verb sonde__verb_show = {
    .name = "show",
    .summary = "shows what a model file holds, or what was decided in a run",
    .usage = "show RUN | MODEL [OPTIONS]",
    .examples =
        "    sonde show model.safetensors                  tensors, shapes, formats, sizes\n"
        "    sonde show model.safetensors.index.json       a sharded model; its folder works too\n"
        "    sonde show checkpoint.pt --json\n"
        "    sonde show runs/a                             the decisions of a run, and why\n",
    .about = "Reads safetensors, PyTorch (.pt, .pth, .bin, .ckpt), .npy, .npz and GGUF. Nothing in "
             "a\nfile is executed, and no number is read, only the file's directory.\n"
             "A run can be looked at while it trains.\n",
    .options = options,
    .positional = "RUN or MODEL",
    .run = run_show,
};
