/*
 * `sonde score`: zero-cost proxies of untrained networks, and a ranking by them.
 *
 * Everything that could be wrong with the names, the batch and the results file is found before the
 * first network is computed. What was finished is told also when interrupted.
 */
#include "cli/cli_score.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/thread.h"
#include "cli/interrupt.h"
#include "cli/live.h"
#include "cli/models.h"
#include "cli/verb.h"

/* One answer in the making. */
typedef struct score_call {
    sonde__call *call;
    sonde_context *context;
    const sonde__score_values *values;
    sonde__score_settings settings;
    sonde__arch_names names;
    sonde__score_task task;
    sonde__network_score *rows;
    sonde__score_file *file;
    sonde__live live;
    double told; /* monotonic seconds of the last plain line of progress */
    double seconds;
    size_t found;
    bool interrupted;
} score_call;

/* ---- options --------------------------------------------------------------------------------- */

/* The i-th of the words, or -1 after a line that says what it takes. */
static int choice(const char *option, const char *word, const char *const *words)
{
    char all[128] = "";
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s",
                 i == 0 ? "" : (words[i + 1] ? ", " : " or "), words[i]);
    }
    sonde__cli_usage("--%s is \"%s\"; it takes %s", option, word, all);
    return -1;
}

static int set_words(score_call *job)
{
    static const char *const protocols[] = {"zero-cost-nas", "naslib", NULL};
    static const char *const loads[] = {"random", "grasp", NULL};
    static const char *const metrics[] = {"paper", "repo", "s1", NULL};
    const sonde__score_values *values = job->values;
    const int protocol = choice("protocol", values->protocol, protocols);
    const int load = protocol < 0 ? -1 : choice("load", values->load, loads);
    const int metric = load < 0 ? -1 : choice("metric", values->metric, metrics);
    if (metric < 0)
        return SONDE__EXIT_USAGE;
    job->settings.protocol = (sonde__protocol)protocol;
    job->settings.balanced = load == 1;
    job->settings.metric = (sonde__distill_metric)metric;
    return SONDE__EXIT_DONE;
}

static const char *proxy_name(const void *user, int index)
{
    (void)user;
    return index < SONDE_PROXY_VOTE ? sonde_proxy_name((sonde_proxy_kind)index) : NULL;
}

static int add_proxy(score_call *job, const char *name)
{
    sonde_proxy_kind kind;
    const char *near = sonde__nearest(name, proxy_name, NULL);
    if (!sonde_proxy_find(name, &kind))
        return near ? sonde__cli_usage("--proxy %s: there is no such proxy; did you mean %s?", name,
                                       near)
                    : sonde__cli_usage(
                          "--proxy %s: there is no such proxy; `sonde help score` lists "
                          "them",
                          name);
    if (kind == SONDE_PROXY_VOTE)
        job->settings.wanted |= SONDE__PROXY_BIT(SONDE_PROXY_SYNFLOW) |
                                SONDE__PROXY_BIT(SONDE_PROXY_JACOB_COV) |
                                SONDE__PROXY_BIT(SONDE_PROXY_SNIP);
    else
        job->settings.wanted |= SONDE__PROXY_BIT(kind);
    if ((SONDE__PROXY_BIT(kind) & SONDE__PROXIES_OF_TEACHER) && !job->values->teacher)
        return sonde__cli_usage("--proxy %s compares with a teacher; name one, as in --teacher "
                                "resnet56",
                                name);
    return SONDE__EXIT_DONE;
}

static int set_proxies(score_call *job)
{
    const char *at = job->values->proxy;
    job->settings.wanted =
        SONDE__PROXY_BIT(SONDE_PROXY_PARAMS) | SONDE__PROXY_BIT(SONDE_PROXY_FLOPS);
    if (job->values->teacher)
        job->settings.wanted |= SONDE__PROXIES_OF_TEACHER;
    if (!at)
        job->settings.wanted |= SONDE__PROXIES_OF_NETWORK;
    while (at) {
        char name[64];
        const size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), at);
        const int exit_status = add_proxy(job, name);
        if (exit_status != SONDE__EXIT_DONE)
            return exit_status;
        at = at[length] ? at + length + 1 : NULL;
    }
    return SONDE__EXIT_DONE;
}

static int check_together(const score_call *job)
{
    const sonde__score_values *values = job->values;
    const char *const outputs[] = {values->out, job->call->values.csv};
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++)
        if (outputs[i] && sonde__cli_names_model(outputs[i]))
            return sonde__cli_usage("%s is \"%s\", the name of a model file; name another, as "
                                    "scores.csv",
                                    i ? "--csv" : "--out", outputs[i]);
    if (values->out && job->call->values.csv && strcmp(values->out, job->call->values.csv) == 0)
        return sonde__cli_usage("--out and --csv are the same file, %s; the first grows with every "
                                "network, the second is the ranking at the end",
                                values->out);
    if (values->weights && values->repeat > 1)
        return sonde__cli_usage("--repeat %" PRId64 " scores initialisations, and --weights names "
                                "one; leave one of them out",
                                values->repeat);
    if (values->weights && values->out)
        return sonde__cli_usage(
            "--out keeps the scores of a list, and --weights names one network; "
            "use --csv");
    if (values->classes && !values->input)
        return sonde__cli_usage("--classes belongs to --input; a data set knows its classes");
    if (values->classes > INT32_MAX)
        return sonde__cli_usage("--classes %" PRId64 " is too many", values->classes);
    if (values->by && strcmp(values->by, "vote") != 0 &&
        !sonde_proxy_find(values->by, &(sonde_proxy_kind){0}))
        return sonde__cli_usage("--by %s: there is no such proxy; `sonde help score` lists them",
                                values->by);
    return SONDE__EXIT_DONE;
}

static int set_settings(score_call *job)
{
    const sonde__score_values *values = job->values;
    job->settings = (sonde__score_settings){.config = job->call->config,
                                            .batch = values->batch,
                                            .repeats = values->repeat,
                                            .weights = values->weights,
                                            .input = values->input,
                                            .classes = values->classes,
                                            .teacher = values->teacher};
    int exit_status = set_words(job);
    if (exit_status == SONDE__EXIT_DONE)
        exit_status = set_proxies(job);
    if (exit_status == SONDE__EXIT_DONE)
        exit_status = check_together(job);
    return exit_status;
}

/* ---- preparation ----------------------------------------------------------------------------- */

static sonde_status read_names(score_call *job)
{
    const sonde__score_values *values = job->values;
    sonde__arch_names_init(&job->names, job->context);
    for (int i = 0; i < values->archs.count; i++)
        SONDE_TRY(sonde__arch_names_add(&job->names, values->archs.item[i]));
    if (job->call->config.model[0])
        SONDE_TRY(sonde__arch_names_add(&job->names, job->call->config.model));
    if (values->list)
        SONDE_TRY(sonde__arch_names_read(&job->names, values->list));
    if (job->names.count == 0)
        return sonde__fail(job->context, SONDE_ERROR_ARGUMENT,
                           "which network? name one, as in --arch resnet20 (`sonde models` lists "
                           "them), or --list FILE");
    if (values->sample > 0)
        sonde__arch_names_sample(&job->names, (size_t)values->sample,
                                 (uint64_t)job->call->config.seed);
    if (values->weights && job->names.count > 1)
        return sonde__fail(job->context, SONDE_ERROR_ARGUMENT,
                           "--weights are of one network, and %zu are named", job->names.count);
    return SONDE_OK;
}

static sonde_status check_networks(score_call *job)
{
    sonde__arch_names teacher;
    SONDE_TRY(sonde__arch_names_check(&job->names, job->task.input, job->task.classes));
    if (!job->values->teacher)
        return SONDE_OK;
    sonde__arch_names_init(&teacher, job->context);
    sonde_status status = sonde__arch_names_add(&teacher, job->values->teacher);
    if (status == SONDE_OK)
        status = sonde__arch_names_check(&teacher, job->task.input, job->task.classes);
    sonde__arch_names_free(&teacher);
    return status;
}

static sonde_status prepare(score_call *job)
{
    SONDE_TRY(read_names(job));
    SONDE_TRY(sonde__score_task_open(job->context, &job->settings, &job->task));
    SONDE_TRY(check_networks(job));
    job->rows = sonde__alloc_zero(job->context, job->names.count * job->task.sample_count,
                                  sizeof *job->rows);
    if (!job->rows)
        return SONDE_ERROR_MEMORY;
    if (job->values->out)
        SONDE_TRY(sonde__score_file_open(&job->task, &job->names, job->values->out, job->rows,
                                         &job->file));
    for (size_t i = 0; i < job->names.count * job->task.sample_count; i++)
        job->found += job->rows[i].done;
    return sonde__score_task_teach(&job->task);
}

/* ---- progress -------------------------------------------------------------------------------- */

static void format_progress(const sonde__score_progress *progress, int width, char *line,
                            size_t size)
{
    char core[96], clock[32], left[48] = "", name[160] = "";
    if (isfinite(progress->left)) {
        sonde__words_clock(progress->left, clock, sizeof clock);
        snprintf(left, sizeof left, "  %s left", clock);
    }
    snprintf(core, sizeof core, "network %zu/%zu  %.0f%%%s", progress->done, progress->rows,
             100 * (double)progress->done / (double)progress->rows, left);
    snprintf(line, size, "%.*s", width, core);
    const int used = (int)strlen(line);
    if (progress->spec[0] && width - used > 14) {
        const int room = width - used - 2 < 60 ? width - used - 2 : 60;
        sonde__paper_shorten(progress->spec, room, name, sizeof name);
        snprintf(line + strlen(line), size - strlen(line), "  %s", name);
    }
}

static bool show_progress(void *user, const sonde__score_progress *progress)
{
    score_call *job = user;
    char line[512];
    if (job->live.quiet || sonde__interrupted(NULL))
        return !sonde__interrupted(NULL);
    if (job->live.terminal && sonde__live_due(&job->live)) {
        format_progress(progress, sonde__terminal_width(STDERR_FILENO, 80) - 1, line, sizeof line);
        sonde__live_show(&job->live, line);
    } else if (!job->live.terminal && sonde__seconds() - job->told >= 10) {
        format_progress(progress, 200, line, sizeof line);
        fprintf(stderr, "%s\n", line);
        job->told = sonde__seconds();
    }
    return true;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static sonde_status write_csv(const score_call *job, const sonde__score_report *report)
{
    sonde__text text;
    sonde__text_init(&text, job->context);
    sonde__csv_scores(&text, report);
    sonde_status status = sonde__text_status(&text);
    if (status == SONDE_OK)
        status = sonde__replace_file(job->context, job->call->values.csv, text.bytes, text.length);
    sonde__text_free(&text);
    return status;
}

static sonde_status tell(const score_call *job, sonde__score_report *report)
{
    const sonde__values *values = &job->call->values;
    const sonde__paper paper = sonde__paper_of(stdout);
    report->seconds = job->seconds;
    report->found = job->found;
    if (values->csv)
        SONDE_TRY(write_csv(job, report));
    if (values->json) {
        sonde__json_out json;
        sonde__out_begin(&json, job->context, stdout);
        sonde__json_scores(&json, report);
        return sonde__out_end(&json);
    }
    if (!values->quiet && report->count)
        sonde__print_scores(&paper, report, (size_t)job->values->top);
    return SONDE_OK;
}

static int tell_interrupted(const score_call *job, size_t networks)
{
    const int number = sonde__interrupt_signal();
    if (!job->call->values.quiet)
        fprintf(stderr, "interrupted: %s%s%s\n",
                networks ? "what was finished is shown" : "no network was finished",
                job->values->out ? "; the same command goes on from " : "",
                job->values->out ? job->values->out : "");
    return number ? 128 + number : SONDE__EXIT_FAILED;
}

static int answer(score_call *job)
{
    sonde__score_report report = {0};
    sonde_status status =
        sonde__score_report_make(&job->task, &job->names, job->rows, job->values->by, &report);
    if (status == SONDE_OK)
        status = tell(job, &report);
    int exit_status = status == SONDE_OK ? SONDE__EXIT_DONE : sonde__cli_fail(job->context);
    if (status == SONDE_OK && !job->interrupted && !sonde__score_report_any(&report))
        exit_status = SONDE__EXIT_FAILED;
    if (status == SONDE_OK && job->interrupted)
        exit_status = tell_interrupted(job, report.count);
    sonde__score_report_free(&report);
    return exit_status;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static void clean(score_call *job)
{
    sonde__score_file_close(job->file);
    sonde__free(job->context, job->rows);
    if (job->task.context)
        sonde__score_task_close(&job->task);
    sonde__arch_names_free(&job->names);
}

static int run_score(sonde__call *call)
{
    score_call job = {.call = call, .context = call->context, .values = &call->values.score};
    const sonde__score_hooks hooks = {.user = &job, .progress = show_progress};
    int exit_status = set_settings(&job);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    sonde__interrupt_install();
    sonde__live_init(&job.live, call->values.quiet);
    job.names.context = call->context;
    job.told = sonde__seconds();
    const double began = job.told;
    sonde_status status = prepare(&job);
    if (status == SONDE_OK)
        status = sonde__score_all(&job.task, &job.names, job.file, &hooks, job.rows);
    sonde__live_end(&job.live);
    job.seconds = sonde__seconds() - began;
    job.interrupted = status == SONDE_ERROR_CANCELLED;
    if (status == SONDE_OK || job.interrupted)
        exit_status = answer(&job);
    else
        exit_status = sonde__cli_fail(call->context);
    clean(&job);
    return exit_status;
}

static void prepare_values(sonde__call *call)
{
    call->config.seed = 42;
    call->config.augment = true;
    call->config.model[0] = 0;
    call->values.score.protocol = "zero-cost-nas";
    call->values.score.load = "random";
    call->values.score.metric = "paper";
    call->values.score.repeat = 1;
    call->values.score.top = 20;
}

#define AT(field) offsetof(sonde__values, score.field)

static const sonde__option options[] = {
    {SONDE__OPTION_TEXTS, "arch", 0, "SPEC",
     "a network (`sonde models` lists them); may be given again and again", AT(archs)},
    {SONDE__OPTION_TEXT, "list", 0, "FILE",
     "a file with one network a line; or all-nb201 (15,625 cells) or all-s1 (64 networks)",
     AT(list)},
    {SONDE__OPTION_INTEGER, "sample", 0, "N", "only N of them, drawn from the seed", AT(sample)},
    {SONDE__OPTION_TEXT, "proxy", 0, "NAMES",
     "which: grad_norm, snip, plain, l2_norm, grasp, fisher, synflow, synflow_bn, jacob_cov, nwot, "
     "epe_nas, zen, with commas between; fewer take less time [all]",
     AT(proxy)},
    {SONDE__OPTION_TEXT, "protocol", 0, "NAME",
     "zero-cost-nas (batch 64) or naslib (batch 32, synflow as its logarithm) [zero-cost-nas]",
     AT(protocol)},
    {SONDE__OPTION_INTEGER, "batch", 0, "N", "examples [as the protocol says]", AT(batch)},
    {SONDE__OPTION_TEXT, "load", 0, "KIND",
     "random examples, or grasp: the same number of each class [random]", AT(load)},
    {SONDE__OPTION_INTEGER, "repeat", 0, "N",
     "N seeds, each with its own initialisation and batch: mean and spread [1]", AT(repeat)},
    {SONDE__OPTION_TEXT, "by", 0, "PROXY", "rank by this one [vote, else the first]", AT(by)},
    {SONDE__OPTION_INTEGER, "top", 0, "N", "networks in the table; 0: all [20]", AT(top)},
    {SONDE__OPTION_TEXT, "weights", 0, "FILE", "a model file instead of the initialisation",
     AT(weights)},
    {SONDE__OPTION_TEXT, "input", 0, "FILE",
     "a file with tensors x (examples x channels x height x width) and y (labels) instead of a "
     "data "
     "set",
     AT(input)},
    {SONDE__OPTION_INTEGER, "classes", 0, "N", "with --input: classes [largest label + 1]",
     AT(classes)},
    {SONDE__OPTION_TEXT, "teacher", 0, "SPEC", "also DisWOT's scores as a student of this network",
     AT(teacher)},
    {SONDE__OPTION_TEXT, "metric", 0, "NAME",
     "of DisWOT: paper, or what its authors' scripts run: repo, s1 [paper]", AT(metric)},
    {SONDE__OPTION_TEXT, "out", 0, "FILE",
     "a CSV that every network is added to when it is done; the same command goes on with it",
     AT(out)},
    {SONDE__OPTION_TEXT, "csv", 0, "FILE", "write the ranking, a line a network",
     offsetof(sonde__values, csv)},
    {SONDE__OPTION_SIZE, "memory", 0, "SIZE", "keep within this much memory, as 512M or 2G",
     offsetof(sonde__values, memory)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print every number as one JSON object",
     offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "no progress, and no table either unless --json",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

/* An untrained network has no use for these. */
static const char *const without[] = {"dropout", "probe-size", "test-size", NULL};

const sonde__verb sonde__verb_score = {
    .name = "score",
    .summary = "ranks untrained networks by zero-cost proxies, without training any",
    .usage = "score --arch SPEC... [OPTIONS]",
    .examples =
        "    sonde score --arch resnet20 --data cifar-10 --data-dir DIR\n"
        "    sonde score --arch resnet20 --arch resnet56 --arch vgg11 --repeat 3\n"
        "    sonde score --list all-nb201 --sample 100 --proxy synflow,snip --out scores.csv\n"
        "    sonde score --arch 'nb201:|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|"
        "nor_conv_1x1~2|'\n"
        "    sonde score --list all-s1 --teacher resnet56 --by diswot\n",
    .about =
        "Each proxy is a number of a network at initialisation, from one batch: the passes\n"
        "through the network are shared by all that need them. Parameters and multiply-adds are\n"
        "printed beside them since they often rank as well. docs/proxies.md tells what each\n"
        "number is, and how well it ranked.\n",
    .options = options,
    .measures = true,
    .without = without,
    .prepare = prepare_values,
    .run = run_score,
};
