/*
 * `sonde demo`: half a minute of steered training on digits drawn by Sonde, then the report. A fifth
 * of the labels is wrong and the rate constant, so that the network over-fits and there is something
 * to decide.
 */
#include "cli/verb.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "report/report.h"

enum { DEPTH_MAX = 4 };

static void prepare(sonde__call *call)
{
    sonde__config *config = &call->config;
    call->values.folder = "demo";
    config->epochs = 14;
    config->train_size = 5000;
    config->test_size = 2000;
    config->label_noise = 0.2;
    config->threads = 1; /* as quick as two on this network when neighbours are busy, or quicker */
    snprintf(config->optimizer, sizeof config->optimizer, "adam");
    snprintf(config->schedule, sizeof config->schedule, "constant");
    snprintf(config->probe, sizeof config->probe, "held:256");
}

/* ---- the old run ----------------------------------------------------------------------------- */

/* Empties the folder, never following links out of it. */
static int remove_content(int folder, int depth)
{
    DIR *list = fdopendir(folder);
    struct dirent *entry;
    int failed = 0;
    if (!list) {
        close(folder);
        return -1;
    }
    while (!failed && (entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(list), entry->d_name, 0) == 0)
            continue;
        const int inner = depth < DEPTH_MAX ? openat(dirfd(list), entry->d_name,
                                                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
                                            : -1;
        failed = inner < 0 || remove_content(inner, depth + 1) != 0 ||
                 unlinkat(dirfd(list), entry->d_name, AT_REMOVEDIR) != 0;
    }
    const int error = errno;
    closedir(list);
    errno = error;
    return failed ? -1 : 0;
}

/* Only what is certainly a run, and one that nobody is writing, is removed. */
static sonde_status remove_old_run(sonde_context *context, const char *path)
{
    sonde__store *store = NULL;
    struct stat facts;
    if (lstat(path, &facts) != 0)
        return errno == ENOENT ? SONDE_OK : sonde__fail_errno(context, path, "look at the old run");
    char *database = sonde__path_join(context, path, "run.sqlite");
    if (!database)
        return SONDE_ERROR_MEMORY;
    const bool is_run = S_ISDIR(facts.st_mode) && sonde__path_exists(database);
    sonde__free(context, database);
    if (!is_run && rmdir(path) == 0)
        return SONDE_OK;
    if (!is_run)
        return sonde__fail_at(context, SONDE_ERROR_STATE, path, NULL, -1,
                              "is in the way and is not a run; move it, or name another --dir");
    const sonde_status status = sonde__store_open(context, path, SONDE__STORE_WRITE, &store);
    sonde__store_close(store);
    if (status == SONDE_ERROR_LOCKED)
        return status;
    const int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (folder < 0 || remove_content(folder, 0) != 0 || rmdir(path) != 0)
        return sonde__fail_errno(context, path, "remove the old run");
    return SONDE_OK;
}

/* ---- the new one ----------------------------------------------------------------------------- */

static sonde_status write_report(sonde__call *call, const char *run, const char *report)
{
    sonde__store *store = NULL;
    SONDE_TRY(sonde__store_open(call->context, run, SONDE__STORE_READ, &store));
    const sonde_status status = sonde__report_write(call->context, store, report);
    sonde__store_close(store);
    if (status == SONDE_OK && !call->values.quiet && !call->values.json)
        printf("Report  %s (open it in a browser)\n", report);
    return status;
}

static int train_and_report(sonde__call *call, const char *run, const char *report)
{
    sonde_status status = sonde__make_folder(call->context, call->values.folder);
    if (status == SONDE_OK)
        status = remove_old_run(call->context, run);
    if (status != SONDE_OK)
        return sonde__cli_fail(call->context);
    const int exit_status = sonde__cli_train_into(call, run, false);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    if (write_report(call, run, report) != SONDE_OK)
        return sonde__cli_fail(call->context);
    return SONDE__EXIT_DONE;
}

static int run_demo(sonde__call *call)
{
    int exit_status = sonde__cli_check_config(call);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    char *run = sonde__path_join(call->context, call->values.folder, "run");
    char *report = sonde__path_join(call->context, call->values.folder, "report.html");
    if (run && report)
        exit_status = train_and_report(call, run, report);
    else
        exit_status = sonde__cli_fail(call->context);
    sonde__free(call->context, run);
    sonde__free(call->context, report);
    return exit_status;
}

static const sonde__option options[] = {
    {SONDE__OPTION_TEXT, "dir", 0, "DIR", "folder for DIR/run and DIR/report.html [demo]",
     offsetof(sonde__values, folder)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print the result as one JSON object",
     offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "no progress, and no result either unless --json",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

const sonde__verb sonde__verb_demo = {
    .name = "demo",
    .summary = "trains for half a minute, shows the decisions, writes demo/report.html",
    .usage = "demo [OPTIONS]",
    .examples = "    sonde demo\n"
                "    sonde demo --dir /tmp/demo --epochs 20\n",
    .about =
        "A fifth of the training labels is wrong and the learning rate stays constant, so that "
        "the\nnetwork over-fits before the end and there is something to decide.\n"
        "A run that an earlier demo left in the folder is replaced.\n",
    .options = options,
    .trains = true,
    .prepare = prepare,
    .run = run_demo,
};
