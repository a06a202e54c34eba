/* `sonde train` and `sonde resume`: the run itself, and its three decisions at the end. */
#include "cli/verb.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "base/path.h"
#include "cli/interrupt.h"
#include "cli/live.h"
#include "file/dataset.h"
#include "net/arch.h"

/* ---- known names ----------------------------------------------------------------------------- */

static const char *data_name(const void *user, int index)
{
    const sonde__data_info *info = sonde__data_known(index);
    (void)user;
    return info ? info->name : NULL;
}

static const char *model_name(const void *user, int index)
{
    const sonde__arch_info *info = sonde__arch(index);
    (void)user;
    return info ? info->name : NULL;
}

static bool known(const char *name, sonde__candidate_fn next)
{
    const char *candidate;
    for (int i = 0; (candidate = next(NULL, i)) != NULL; i++)
        if (strcmp(candidate, name) == 0)
            return true;
    return false;
}

static int unknown_name(const char *option, const char *name, const char *verb,
                        sonde__candidate_fn next)
{
    const char *near = sonde__nearest(name, next, NULL);
    if (near)
        return sonde__cli_usage("--%s %s: no such %s; did you mean %s? (`sonde %s` lists all)",
                                option, name, option, near, verb);
    return sonde__cli_usage("--%s %s: no such %s; `sonde %s` lists them", option, name, option,
                            verb);
}

/* The part of a model's spec before its options. */
static void model_base(const char *spec, char *name, size_t size)
{
    snprintf(name, size, "%.*s", (int)strcspn(spec, ":"), spec);
}

int sonde__cli_check_config(sonde__call *call)
{
    char name[SONDE__CONFIG_TEXT_MAX];
    if (!known(call->config.data, data_name))
        return unknown_name("data", call->config.data, "data", data_name);
    model_base(call->config.model, name, sizeof name);
    if (!known(name, model_name))
        return unknown_name("model", name, "models", model_name);
    if (sonde__config_check(call->context, &call->config) != SONDE_OK) {
        sonde__cli_fail(call->context);
        return SONDE__EXIT_USAGE;
    }
    return SONDE__EXIT_DONE;
}

/* ---- the run --------------------------------------------------------------------------------- */

/* "runs/strokes-cnn-20261121-220000", with a number behind it when that is taken. */
void sonde__cli_default_folder(const sonde__config *config, char *folder, size_t size)
{
    char model[64], stamp[32];
    const time_t now = time(NULL);
    struct tm local;
    model_base(config->model, model, sizeof model);
    if (!localtime_r(&now, &local) || !strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &local))
        snprintf(stamp, sizeof stamp, "%lld", (long long)now);
    snprintf(folder, size, "runs/%s-%s-%s", config->data, model, stamp);
    for (int i = 2; sonde__path_exists(folder) && i < 1000; i++)
        snprintf(folder, size, "runs/%s-%s-%s-%d", config->data, model, stamp, i);
}

static int tell_result(sonde__call *call, const char *folder)
{
    sonde__store *store = NULL;
    sonde__record record = {0};
    int exit_status = SONDE__EXIT_DONE;
    if (call->values.quiet && !call->values.json)
        return exit_status;
    sonde_status status = sonde__cli_read_run(call->context, folder, &store, &record);
    if (status == SONDE_OK && call->values.json)
        status = sonde__json_run(call->context, stdout, &record);
    else if (status == SONDE_OK)
        sonde__print_decisions(stdout, &record);
    if (status != SONDE_OK)
        exit_status = sonde__cli_fail(call->context);
    sonde__record_free(&record);
    sonde__store_close(store);
    return exit_status;
}

/* Told with the first progress, so that a run that cannot begin says only why. */
static void announce(const sonde__call *call, const char *folder, bool resume, sonde__live *live)
{
    if (resume)
        snprintf(live->greeting, sizeof live->greeting, "resuming %s (Ctrl-C ends cleanly)",
                 folder);
    else
        snprintf(live->greeting, sizeof live->greeting,
                 "training %s on %s into %s (Ctrl-C ends cleanly)", call->config.model,
                 call->config.data, folder);
    sonde__cli_plain(live->greeting);
}

int sonde__cli_train_into(sonde__call *call, const char *folder, bool resume)
{
    sonde__live live;
    sonde__run_summary summary = {0};
    sonde_status status;
    sonde__live_init(&live, call->values.quiet);
    sonde__interrupt_install();
    const sonde__train_hooks hooks = {.user = &live,
                                      .progress = sonde__live_progress,
                                      .event = sonde__live_event,
                                      .interrupted = sonde__interrupted};
    announce(call, folder, resume, &live);
    if (resume)
        status = sonde__train_resume(call->context, folder, call->values.epochs, &hooks, &summary);
    else
        status = sonde__train(call->context, &call->config, folder, &hooks, &summary);
    sonde__live_end(&live);
    /* A run that diverged still has its whole epochs to tell about. */
    if (status == SONDE_ERROR_NUMERIC && strcmp(summary.status, "diverged") == 0)
        tell_result(call, folder);
    if (status != SONDE_OK)
        return sonde__cli_fail(call->context);
    const int exit_status = tell_result(call, folder);
    if (exit_status != SONDE__EXIT_DONE || strcmp(summary.status, "interrupted") != 0)
        return exit_status;
    if (!call->values.quiet)
        fprintf(stderr, "interrupted after epoch %" PRId64 "; `sonde resume %s` goes on\n",
                summary.epochs_run, folder);
    const int number = sonde__interrupt_signal();
    return number ? 128 + number : SONDE__EXIT_FAILED;
}

static int run_train(sonde__call *call)
{
    char folder[1024];
    const int exit_status = sonde__cli_check_config(call);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    if (!call->values.run) {
        sonde__cli_default_folder(&call->config, folder, sizeof folder);
        call->values.run = folder;
    } else if (strlen(call->values.run) >= sizeof folder - 64) {
        return sonde__cli_usage("--run is %zu bytes long; name a shorter path",
                                strlen(call->values.run));
    }
    return sonde__cli_train_into(call, call->values.run, false);
}

static int run_resume(sonde__call *call)
{
    return sonde__cli_train_into(call, call->positional, true);
}

/* ---- words ----------------------------------------------------------------------------------- */

static const sonde__option train_options[] = {
    {SONDE__OPTION_TEXT, "run", 0, "DIR", "the new run's folder [runs/DATA-MODEL-DATE-TIME]",
     offsetof(sonde__values, run)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print the result as one JSON object",
     offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "no progress, and no result either unless --json",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

static const sonde__option resume_options[] = {
    {SONDE__OPTION_INTEGER, "epochs", 0, "N", "train up to epoch N instead of as configured",
     offsetof(sonde__values, epochs)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print the result as one JSON object",
     offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "no progress, and no result either unless --json",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

const sonde__verb sonde__verb_train = {
    .name = "train",
    .summary = "trains a network, steered, into a new run folder",
    .usage = "train [OPTIONS]",
    .examples =
        "    sonde train                                   digits drawn by Sonde, a small network\n"
        "    sonde train --epochs 12 --label-noise 0.2 --probe held:256\n"
        "    sonde train --data fashion-mnist --data-dir DIR --model cnn --run runs/a\n"
        "    sonde train --data cifar-10 --data-dir DIR --model resnet20:option=B --augment\n"
        "    sonde train --data npy --train-features x.npy --train-labels y.npy "
        "--model mlp:widths=256x256\n",
    .about = "At the end it says which epoch to keep, whether stopping was advised and by which "
             "layer,\nand what skipping saved. None of these reads a validation set; a test part "
             "is used only\nto report accuracy. The kept checkpoint is RUN/kept.safetensors.\n",
    .options = train_options,
    .trains = true,
    .run = run_train,
};

const sonde__verb sonde__verb_resume = {
    .name = "resume",
    .summary = "goes on with an interrupted run, as if it had never stopped",
    .usage = "resume RUN [OPTIONS]",
    .examples = "    sonde resume runs/a\n"
                "    sonde resume runs/a --epochs 60               train on to epoch 60\n",
    .about = "The run goes on from its last whole epoch, after Ctrl-C, kill -9 or power loss.\n",
    .options = resume_options,
    .positional = "RUN",
    .run = run_resume,
};
