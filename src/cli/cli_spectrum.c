/*
 * `sonde spectrum`: the spectra of every matrix in a model file; of several checkpoints the trend,
 * and what the stop rule says about it.
 *
 * Each model is surveyed, told and dropped before the next is opened; only its line of the trend
 * stays, and for the page the newest survey. What was finished is told also when interrupted.
 */
#include "cli/verb.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/thread.h"
#include "cli/interrupt.h"
#include "cli/live.h"
#include "cli/models.h"
#include "cli/survey_out.h"
#include "report/page.h"
#include "report/survey_page.h"
#include "report/words_survey.h"

/* One answer in the making. */
typedef struct work {
    sonde__call *call;
    sonde_context *context;
    sonde_survey_options options;
    sonde_model *base; /* of --base; NULL: none */
    sonde__survey_live live;
    sonde__series series;
    sonde__trend *trend;    /* NULL: one model alone */
    sonde__trend_row *rows; /* one a model that was surveyed */
    size_t row_count;
    sonde_survey *survey; /* the newest one, and its table */
    sonde__survey_table table;
    sonde__json_out json;
    sonde__text csv;
    bool interrupted;
    size_t failed; /* models of a series that could not be read */
} work;

/* ---- options --------------------------------------------------------------------------------- */

static int set_convolution(work *job)
{
    static const char *const names[] = {"pooled", "flat", "slices"};
    static const sonde_convolution_view views[] = {SONDE_CONVOLUTION_POOLED, SONDE_CONVOLUTION_FLAT,
                                                   SONDE_CONVOLUTION_SLICES};
    const char *wanted = job->call->values.conv;
    for (size_t i = 0; wanted && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(wanted, names[i]) == 0) {
            job->options.convolution = views[i];
            return SONDE__EXIT_DONE;
        }
    if (!wanted)
        return SONDE__EXIT_DONE;
    return sonde__cli_usage("--conv is \"%s\"; it takes pooled, flat or slices", wanted);
}

/* alpha / rank, where the file does not tell it. */
static int set_adapter_scale(work *job)
{
    const char *wanted = job->call->values.adapter_scale;
    double scale = 0;
    if (!wanted)
        return SONDE__EXIT_DONE;
    if (!sonde__parse_double(wanted, &scale) || !isfinite(scale) || scale == 0)
        return sonde__cli_usage("--adapter-scale is \"%s\"; it takes a number other than 0, as 2 "
                                "for alpha 16 and rank 8",
                                wanted);
    job->options.adapter_scale = scale;
    return SONDE__EXIT_DONE;
}

static int set_options(work *job)
{
    const sonde__values *values = &job->call->values;
    sonde_survey_options_init(&job->options);
    job->options.layers = values->layers;
    job->options.fast = values->fast;
    job->options.progress = sonde__survey_live_progress;
    job->options.progress_user = &job->live;
    double rate = job->options.spectrum.false_alarm;
    if (values->false_alarm &&
        (!sonde__parse_double(values->false_alarm, &rate) || !(rate > 0 && rate < 1)))
        return sonde__cli_usage("--false-alarm is \"%s\"; it takes a rate between 0 and 1",
                                values->false_alarm);
    job->options.spectrum.false_alarm = rate;
    const int exit_status = set_adapter_scale(job);
    return exit_status == SONDE__EXIT_DONE ? set_convolution(job) : exit_status;
}

/* A typing error must not cost a model: --csv and --html replace what is there. */
static int check_output(const work *job, const char *option, const char *output)
{
    struct stat to, from;
    if (!output)
        return SONDE__EXIT_DONE;
    if (sonde__cli_names_model(output))
        return sonde__cli_usage(
            "%s is \"%s\", the name of a model file; name another, as spectra.html", option,
            output);
    const bool there = stat(output, &to) == 0;
    for (size_t i = 0; there && i < job->series.count; i++)
        if (stat(job->series.checkpoints[i].path, &from) == 0 && from.st_dev == to.st_dev &&
            from.st_ino == to.st_ino)
            return sonde__cli_usage("%s would write over %s, a model that is read; name another "
                                    "file",
                                    option, output);
    return SONDE__EXIT_DONE;
}

static int check_outputs(const work *job)
{
    const sonde__values *values = &job->call->values;
    const int exit_status = check_output(job, "--csv", values->csv);
    return exit_status == SONDE__EXIT_DONE ? check_output(job, "--html", values->html)
                                           : exit_status;
}

/* ---- one model ------------------------------------------------------------------------------- */

static void drop_survey(work *job)
{
    sonde__survey_table_free(&job->table);
    sonde_survey_free(job->survey);
    job->survey = NULL;
}

static void tell_models_warnings(work *job, const sonde_model *model)
{
    const char *warning;
    char line[1024];
    for (size_t i = 0; (warning = sonde_model_warning(model, i)) != NULL; i++) {
        snprintf(line, sizeof line, "%s", warning);
        sonde__cli_plain(line);
        sonde__live_event(&job->live.live, line);
    }
}

/* Surveys one file into job->survey and job->table. An interrupted survey is a shorter one. */
static sonde_status survey_model(work *job, const sonde__checkpoint *checkpoint)
{
    sonde_model *model = NULL;
    sonde_survey *survey = NULL;
    sonde_model_info info;
    const double began = sonde__seconds();
    SONDE_TRY(sonde_model_open(job->context, checkpoint->path, NULL, &model));
    tell_models_warnings(job, model);
    sonde_model_describe(model, &info);
    sonde_status status = sonde_survey_run(job->context, model, &job->options, &survey);
    const bool cut = status == SONDE_ERROR_CANCELLED;
    sonde_model_close(model);
    if (cut && survey)
        status = SONDE_OK;
    if (status == SONDE_OK) {
        drop_survey(job);
        job->survey = survey;
        status = sonde__survey_table_make(job->context, survey, &job->table);
    } else {
        sonde_survey_free(survey);
    }
    job->interrupted |= cut;
    if (status != SONDE_OK)
        return status;
    job->table.path = checkpoint->path;
    job->table.base = job->call->values.base;
    job->table.epoch = job->trend ? checkpoint->epoch : -1;
    job->table.complete = !cut;
    job->table.fast = job->options.fast;
    job->table.false_alarm = job->options.spectrum.false_alarm;
    job->table.info = info;
    job->table.seconds = sonde__seconds() - began;
    if (job->table.count == 0 && job->options.layers)
        return sonde__fail_at(job->context, SONDE_ERROR_ARGUMENT, checkpoint->path, NULL, -1,
                              "no tensor's name matches --layers %s; `sonde show` lists the names",
                              job->options.layers);
    return SONDE_OK;
}

/* Into the trend, the JSON and the CSV, as far as they are wanted. */
static sonde_status gather(work *job)
{
    const sonde__survey_table *table = &job->table;
    if (job->call->values.json)
        sonde__json_survey(&job->json, table);
    if (job->call->values.csv)
        sonde__csv_survey(&job->csv, table);
    sonde__trend_row_fill(table, &job->rows[job->row_count++]);
    if (job->trend && table->complete)
        return sonde__trend_add(job->trend, table->epoch, job->survey);
    return SONDE_OK;
}

/* A file of a series that cannot be read is told and left out; of one model it is the end. */
static sonde_status survey_all(work *job)
{
    for (size_t i = 0; i < job->series.count && !job->interrupted; i++) {
        const sonde__checkpoint *checkpoint = &job->series.checkpoints[i];
        job->live.model = sonde__page_name(checkpoint->path);
        job->live.number = i + 1;
        job->live.models = job->series.count;
        sonde_status status = survey_model(job, checkpoint);
        if (status == SONDE_OK)
            status = gather(job);
        else if (status == SONDE_ERROR_CANCELLED)
            job->interrupted = true;
        if (status == SONDE_OK || job->interrupted)
            continue;
        if (job->series.count == 1 || status == SONDE_ERROR_ARGUMENT)
            return status;
        sonde__live_end(&job->live.live);
        sonde__cli_fail(job->context);
        job->failed++;
    }
    return SONDE_OK;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void print_trend_row(const sonde__paper *paper, const sonde__trend_row *row,
                            const char *shown, int name_wide, const sonde_decision *stop)
{
    char name[256], layer[256], ratio[32] = "-", alpha[32] = "-";
    const bool advised = stop->stop_advised && stop->stop_epoch == row->epoch;
    sonde__paper_shorten(shown, name_wide, name, sizeof name);
    if (isfinite(row->worst_ratio))
        snprintf(ratio, sizeof ratio, "%.2f", row->worst_ratio);
    if (isfinite(row->mean_alpha))
        snprintf(alpha, sizeof alpha, "%.2f", row->mean_alpha);
    const int room = paper->width - name_wide - 38;
    sonde__paper_shorten(row->worst_layer, room < 4 ? 4 : room, layer, sizeof layer);
    fprintf(paper->to, "%s%c ", advised && paper->colour ? "\033[33m" : "", advised ? '>' : ' ');
    sonde__paper_cell(paper, name, name_wide);
    fprintf(paper->to, "  %6" PRId64 "  %4zu/%-4zu  %6s  %5s  %s%s%s\n", row->epoch, row->over,
            row->judged, alpha, ratio, layer, row->complete ? "" : " (interrupted)",
            advised && paper->colour ? "\033[0m" : "");
}

static void print_trend(const sonde__paper *paper, const work *job, const sonde_decision *stop)
{
    char legend[] = "over/all: judged layers over their threshold. alpha: mean over well fitted "
                    "tails. ratio: of the furthest layer to its threshold.";
    sonde__words words;
    int name_wide = 4;
    size_t folder = SIZE_MAX;
    for (size_t i = 0; i < job->row_count; i++)
        folder = sonde__shared_folder(job->rows[0].path, job->rows[i].path, folder);
    for (size_t i = 0; i < job->row_count; i++) {
        const char *name = job->rows[i].path + folder;
        const int wide = sonde__columns(name, strlen(name));
        name_wide = wide > name_wide ? wide : name_wide;
    }
    const int most = paper->width > 90 ? 32 : paper->width > 70 ? 20 : 10;
    name_wide = name_wide > most ? most : name_wide;
    fprintf(paper->to, "  %-*s  %6s  %9s  %6s  %5s  %s\n", name_wide, "file", "epoch", "over/all",
            "alpha", "ratio", paper->width > 70 ? "furthest layer" : "layer");
    for (size_t i = 0; i < job->row_count; i++)
        print_trend_row(paper, &job->rows[i], job->rows[i].path + folder, name_wide, stop);
    fputc('\n', paper->to);
    sonde__paper_wrapped(paper, legend, 0);
    fputc('\n', paper->to);
    sonde__words_series_stop(stop, job->rows, job->row_count, &words);
    sonde__paper_words(paper, &words);
}

static sonde_status write_files(work *job, const sonde_decision *stop)
{
    const sonde__values *values = &job->call->values;
    if (values->csv) {
        SONDE_TRY(sonde__text_status(&job->csv));
        SONDE_TRY(sonde__replace_file(job->context, values->csv, job->csv.bytes, job->csv.length));
    }
    if (!values->html)
        return SONDE_OK;
    const sonde__survey_page page = {.table = &job->table,
                                     .rows = job->trend ? job->rows : NULL,
                                     .row_count = job->trend ? job->row_count : 0,
                                     .stop = job->trend ? stop : NULL};
    return sonde__survey_page_write(job->context, &page, values->html);
}

static sonde_status tell(work *job)
{
    sonde_decision stop = {0};
    const sonde__paper paper = sonde__paper_of(stdout);
    const sonde__values *values = &job->call->values;
    if (job->trend)
        SONDE_TRY(sonde__trend_decide(job->trend, &stop));
    SONDE_TRY(write_files(job, &stop));
    if (values->json) {
        sonde__out_close(&job->json, ']');
        sonde__json_stop(&job->json, job->trend ? &stop : NULL);
        sonde__out_close(&job->json, '}');
        job->json.to = stdout;
        return sonde__out_end(&job->json);
    }
    if (values->quiet)
        return SONDE_OK;
    if (job->trend)
        print_trend(&paper, job, &stop);
    else
        sonde__print_survey(&paper, &job->table, values->all);
    if (values->html)
        printf("\nPage    %s (open it in a browser)\n", values->html);
    return SONDE_OK;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static sonde_status prepare(work *job)
{
    SONDE_TRY(sonde__cli_models(job->call, &job->series));
    if (job->call->values.base)
        SONDE_TRY(sonde_model_open(job->context, job->call->values.base, NULL, &job->base));
    job->options.base = job->base;
    if (job->series.count > 1)
        SONDE_TRY(sonde__trend_create(job->context, NULL, job->options.spectrum.false_alarm,
                                      &job->trend));
    job->rows = sonde__alloc_zero(job->context, job->series.count, sizeof *job->rows);
    return job->rows ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static void clean(work *job)
{
    drop_survey(job);
    sonde__interrupt_cancels(NULL);
    sonde__trend_free(job->trend);
    sonde_model_close(job->base);
    sonde__free(job->context, job->rows);
    sonde__series_free(&job->series);
    sonde__text_free(&job->json.text);
    sonde__text_free(&job->csv);
}

static int finish(work *job, sonde_status status)
{
    sonde__live_end(&job->live.live);
    if (status == SONDE_OK && job->row_count)
        status = tell(job);
    if (status != SONDE_OK)
        return sonde__cli_fail(job->context);
    const int number = sonde__interrupt_signal();
    if (job->interrupted && !job->call->values.quiet)
        fprintf(stderr, "interrupted: %s\n",
                job->row_count ? "what was finished is shown, the rest was not looked at"
                               : "nothing was finished");
    if (job->interrupted)
        return number ? 128 + number : SONDE__EXIT_FAILED;
    return job->failed ? SONDE__EXIT_FAILED : SONDE__EXIT_DONE;
}

static int run_spectrum(sonde__call *call)
{
    work job = {.call = call, .context = call->context};
    int exit_status = set_options(&job);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    sonde__interrupt_install();
    sonde__interrupt_cancels(call->context);
    sonde__survey_live_init(&job.live, call->values.quiet);
    sonde__out_begin(&job.json, call->context, NULL);
    sonde__out_open(&job.json, NULL, '{');
    sonde__out_open(&job.json, "models", '[');
    sonde__text_init(&job.csv, call->context);
    sonde__csv_head(&job.csv);
    sonde_status status = prepare(&job);
    if (status == SONDE_OK)
        exit_status = check_outputs(&job);
    if (status == SONDE_OK && exit_status == SONDE__EXIT_DONE)
        status = survey_all(&job);
    if (exit_status == SONDE__EXIT_DONE)
        exit_status = finish(&job, status);
    clean(&job);
    return exit_status;
}

static const sonde__option options[] = {
    {SONDE__OPTION_TEXT, "layers", 0, "PATTERNS",
     "only tensors whose names match, as in '*.weight,lm_head*' [all]",
     offsetof(sonde__values, layers)},
    {SONDE__OPTION_FLAG, "fast", 0, "",
     "estimate densities by stochastic Lanczos, with an error bound, instead of computing every "
     "eigenvalue; for large matrices",
     offsetof(sonde__values, fast)},
    {SONDE__OPTION_TEXT, "conv", 0, "VIEW",
     "convolutions: pooled (spectra of kernel positions together), flat (one matrix out x rest), "
     "slices (each position a layer) [pooled]",
     offsetof(sonde__values, conv)},
    {SONDE__OPTION_TEXT, "base", 0, "MODEL",
     "for a LoRA adapter: spectra of this model plus the adapter", offsetof(sonde__values, base)},
    {SONDE__OPTION_TEXT, "adapter-scale", 0, "X",
     "what a LoRA adapter's product is multiplied by: alpha / rank, which peft keeps in "
     "adapter_config.json [as the file tells, else 1]",
     offsetof(sonde__values, adapter_scale)},
    {SONDE__OPTION_TEXT, "false-alarm", 0, "RATE",
     "how often a random matrix may be over its threshold [0.01]",
     offsetof(sonde__values, false_alarm)},
    {SONDE__OPTION_SIZE, "memory", 0, "SIZE",
     "keep within this much memory, as 512M or 2G; a matrix that does not fit is skipped",
     offsetof(sonde__values, memory)},
    {SONDE__OPTION_INTEGER, "threads", 0, "N", "worker threads; 0: all cores [0]",
     offsetof(sonde__values, threads)},
    {SONDE__OPTION_FLAG, "all", 0, "", "also name the tensors that have no spectrum",
     offsetof(sonde__values, all)},
    {SONDE__OPTION_TEXT, "html", 0, "FILE", "write a page with plots of the layers",
     offsetof(sonde__values, html)},
    {SONDE__OPTION_TEXT, "csv", 0, "FILE", "write a line a layer, for spreadsheets",
     offsetof(sonde__values, csv)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print every number of every layer as one JSON object",
     offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "no progress, and no table either unless --json",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

const sonde__verb sonde__verb_spectrum = {
    .name = "spectrum",
    .summary = "tells from the weights alone what training did to each layer",
    .usage = "spectrum MODEL... [OPTIONS]",
    .examples =
        "    sonde spectrum model.safetensors                      a table with a line a layer\n"
        "    sonde spectrum model.safetensors --html spectra.html  the same with plots\n"
        "    sonde spectrum checkpoints/                           the trend over a training run\n"
        "    sonde spectrum epoch-*.pt --json\n"
        "    sonde spectrum big.safetensors --layers '*mlp*' --memory 2G --fast\n"
        "    sonde spectrum adapter.safetensors --base model.safetensors\n",
    .about =
        "Each weight matrix's eigenvalues are compared with those of a random matrix (the\n"
        "Marchenko-Pastur law), and its tail with a power law. One model gets a table; of\n"
        "several checkpoints, or a folder of them, the trend is told and whether it advises\n"
        "to stop. Formats as for `sonde show`. docs/reading-spectra.md tells what each number\n"
        "means, and when it means nothing.\n",
    .options = options,
    .positional = "MODEL",
    .most = 1 << 20,
    .run = run_spectrum,
};
