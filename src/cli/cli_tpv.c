/*
 * `sonde tpv`: test prediction variance of a network, or of each checkpoint of a run: how far its
 * outputs move when its weights are perturbed, on training and on test inputs.
 */
#include <stddef.h>
#include <string.h>

#include "base/path.h"
#include "cli/interrupt.h"
#include "cli/live_work.h"
#include "cli/models.h"
#include "cli/subject.h"
#include "cli/tpv_out.h"
#include "run/tpv_inputs.h"

enum { TRAIN_INPUTS = 2000, TEST_INPUTS = 1000 };

typedef struct work {
    sonde__call *call;
    sonde_context *context;
    sonde__tpv_plan plans[SONDE__TPV_PLANS_MAX];
    int plan_count;
    sonde__tpv_options options;
    sonde__subject subject;
    sonde__tpv_sample train, test;
    int64_t *epochs; /* of the run that are measured; one of -1 for a named network */
    size_t epoch_count;
    sonde__tpv_results results;
    sonde__work_live live;
    size_t failed;
} work;

/* ---- options --------------------------------------------------------------------------------- */

static int read_convention(work *job)
{
    const char *convention = job->call->values.tpv.convention;
    if (!convention || strcmp(convention, "sum") == 0)
        job->options.convention = SONDE_TPV_SUM_OUTPUTS;
    else if (strcmp(convention, "published") == 0)
        job->options.convention = SONDE_TPV_MEAN_OUTPUTS;
    else
        return sonde__cli_usage("--convention is \"%s\"; it takes sum or published", convention);
    return SONDE__EXIT_DONE;
}

static int read_options(work *job)
{
    const sonde__values *values = &job->call->values;
    const char *noise = values->tpv.noise ? values->tpv.noise : "sgd,quant:8";
    sonde__tpv_options_init(&job->options);
    if (values->tpv.exact && values->tpv.draws > 0)
        return sonde__cli_usage("--exact and --draws exclude each other: draws are what the exact "
                                "sum saves");
    if (values->tpv.draws > 100000)
        return sonde__cli_usage("--draws is %lld; at most 100000 draws an input",
                                (long long)values->tpv.draws);
    if (values->csv && sonde__cli_names_model(values->csv))
        return sonde__cli_usage("--csv is \"%s\", the name of a model file; name another, as "
                                "tpv.csv",
                                values->csv);
    if (sonde__tpv_plans_read(job->context, noise, job->plans, &job->plan_count) != SONDE_OK) {
        sonde__cli_fail(job->context);
        return SONDE__EXIT_USAGE;
    }
    job->options.draws = values->tpv.exact       ? 0
                         : values->tpv.draws > 0 ? (int)values->tpv.draws
                                                 : -1;
    job->options.plans = job->plans;
    job->options.plan_count = job->plan_count;
    job->options.empirical = values->tpv.empirical;
    job->options.progress = sonde__work_live_progress;
    job->options.user = &job->live;
    return read_convention(job);
}

/* ---- the subject ----------------------------------------------------------------------------- */

static sonde_status list_epochs(work *job)
{
    const bool all = job->call->positional && job->call->values.tpv.subject.epoch < 0;
    if (all)
        return sonde__subject_epochs(job->context, job->call->positional, &job->epochs,
                                     &job->epoch_count);
    job->epochs = sonde__alloc(job->context, 1, sizeof *job->epochs);
    if (!job->epochs)
        return SONDE_ERROR_MEMORY;
    job->epochs[0] = job->call->values.tpv.subject.epoch;
    job->epoch_count = 1;
    return SONDE_OK;
}

static sonde_status open_subject(work *job)
{
    const sonde__tpv_values *values = &job->call->values.tpv;
    sonde__subject_options options;
    SONDE_TRY(list_epochs(job));
    SONDE_TRY(
        sonde__cli_subject_options(job->call, job->call->positional, &values->subject, &options));
    options.epoch = job->epochs[job->epoch_count - 1];
    options.study = options.texts = true;
    options.max_batch = sonde__tpv_largest_batch(job->plans, job->plan_count, job->options.batch);
    SONDE_TRY(sonde__subject_open(job->context, &options, &job->subject));
    job->options.seed = (uint64_t)job->subject.config.seed;
    job->options.loss = job->subject.choices.loss;
    SONDE_TRY(
        sonde__tpv_sample_subject(&job->subject, false, (size_t)values->train_inputs, &job->train));
    return sonde__tpv_sample_subject(&job->subject, true, (size_t)values->test_inputs, &job->test);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static sonde_status measure_one(work *job, int64_t epoch)
{
    sonde__tpv_result *result = &job->results.list[job->results.count];
    if (epoch >= 0)
        SONDE_TRY(sonde__subject_epoch(&job->subject, epoch));
    sonde_status status = sonde__measure_tpv(job->context, job->subject.net, &job->train.inputs,
                                             job->test.inputs.n > 0 ? &job->test.inputs : NULL,
                                             &job->options, &result->report);
    if (status != SONDE_OK && status != SONDE_ERROR_CANCELLED)
        return status;
    result->epoch = epoch;
    result->complete = status == SONDE_OK;
    job->results.interrupted = !result->complete;
    job->results.count++;
    return SONDE_OK;
}

/* A checkpoint of several that cannot be read is told and left out; of one it is the end. */
static sonde_status measure_all(work *job)
{
    job->results.list =
        sonde__alloc_zero(job->context, job->epoch_count, sizeof *job->results.list);
    if (!job->results.list)
        return SONDE_ERROR_MEMORY;
    job->live.parts = job->epoch_count;
    for (size_t i = 0; i < job->epoch_count && !job->results.interrupted; i++) {
        job->live.part = i + 1;
        snprintf(job->live.title, sizeof job->live.title, "epoch %lld", (long long)job->epochs[i]);
        sonde_status status = measure_one(job, job->epochs[i]);
        if (status == SONDE_OK)
            continue;
        if (job->epoch_count == 1 || status == SONDE_ERROR_MEMORY)
            return status;
        sonde__work_live_end(&job->live);
        sonde__cli_fail(job->context);
        job->failed++;
    }
    return SONDE_OK;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void describe(work *job)
{
    const sonde__tpv_values *values = &job->call->values.tpv;
    sonde__tpv_results *results = &job->results;
    results->subject = job->call->positional ? job->call->positional : values->subject.weights;
    results->model = job->subject.config.model;
    results->data = job->subject.config.data;
    results->plans = job->plans;
    results->plan_count = job->plan_count;
    results->seed = job->options.seed;
    results->train_inputs = job->train.inputs.n;
    results->test_inputs = job->test.inputs.n;
    results->convention = job->options.convention;
}

static sonde_status write_csv(work *job)
{
    sonde__text text;
    sonde__text_init(&text, job->context);
    sonde__csv_tpv(&text, &job->results);
    sonde_status status = sonde__text_status(&text);
    if (status == SONDE_OK)
        status = sonde__replace_file(job->context, job->call->values.csv, text.bytes, text.length);
    sonde__text_free(&text);
    return status;
}

static sonde_status tell(work *job)
{
    const sonde__values *values = &job->call->values;
    const sonde__paper paper = sonde__paper_of(stdout);
    describe(job);
    if (values->csv)
        SONDE_TRY(write_csv(job));
    if (values->json)
        return sonde__json_tpv(job->context, stdout, &job->results);
    if (!values->quiet)
        sonde__print_tpv(&paper, &job->results);
    return SONDE_OK;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static void clean(work *job)
{
    sonde__interrupt_cancels(NULL);
    sonde__work_live_end(&job->live);
    for (size_t i = 0; i < job->results.count; i++)
        sonde__tpv_report_free(&job->results.list[i].report);
    sonde__free(job->context, job->results.list);
    sonde__free(job->context, job->epochs);
    sonde__tpv_sample_free(job->context, &job->train);
    sonde__tpv_sample_free(job->context, &job->test);
    if (job->subject.context)
        sonde__subject_close(&job->subject);
}

static int finish(work *job, sonde_status status)
{
    sonde__work_live_end(&job->live);
    if (status == SONDE_OK)
        status = tell(job);
    if (status != SONDE_OK && status != SONDE_ERROR_CANCELLED)
        return sonde__cli_fail(job->context);
    if (job->results.interrupted && !job->call->values.quiet)
        fputs("interrupted: these are the numbers of what was done\n", stderr);
    if (job->results.interrupted && sonde__interrupt_signal())
        return 128 + sonde__interrupt_signal();
    return job->failed > 0 || status != SONDE_OK ? SONDE__EXIT_FAILED : SONDE__EXIT_DONE;
}

static int run_tpv(sonde__call *call)
{
    work job = {.call = call, .context = call->context};
    int exit_status = read_options(&job);
    if (exit_status == SONDE__EXIT_DONE && !call->positional)
        exit_status = sonde__cli_check_config(call);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    sonde__interrupt_install();
    sonde__interrupt_cancels(call->context);
    sonde__work_live_init(&job.live, call->values.quiet);
    sonde_status status = open_subject(&job);
    if (status == SONDE_OK)
        status = measure_all(&job);
    exit_status = finish(&job, status);
    clean(&job);
    return exit_status;
}

static void set_defaults(sonde__call *call)
{
    call->values.tpv.subject.epoch = -1;
    call->values.tpv.train_inputs = TRAIN_INPUTS;
    call->values.tpv.test_inputs = TEST_INPUTS;
}

static const sonde__option options_list[] = {
    SONDE__SUBJECT_OPTIONS(tpv.subject, "of a run: this checkpoint alone [all of them]"),
    {SONDE__OPTION_TEXT, "noise", 0, "LIST",
     "sgd, quant:BITS, label:SHARE, isotropic:DEVIATION, each with settings behind colons "
     "[sgd,quant:8]",
     offsetof(sonde__values, tpv.noise)},
    {SONDE__OPTION_FLAG, "empirical", 0, "",
     "perturb the weights for real as well: SGD's trajectory, draws of quantization and isotropic "
     "noise (label noise always is fine-tuning)",
     offsetof(sonde__values, tpv.empirical)},
    {SONDE__OPTION_INTEGER, "train-inputs", 0, "N", "training inputs; 0: all [2000]",
     offsetof(sonde__values, tpv.train_inputs)},
    {SONDE__OPTION_INTEGER, "test-inputs", 0, "N", "test inputs; 0: all [1000]",
     offsetof(sonde__values, tpv.test_inputs)},
    {SONDE__OPTION_FLAG, "exact", 0, "",
     "sum over all outputs, however many [up to 16 of them, where it is cheap]",
     offsetof(sonde__values, tpv.exact)},
    {SONDE__OPTION_INTEGER, "draws", 0, "N",
     "draws of random signs an input instead of the exact sum [2 where the exact sum is costly]",
     offsetof(sonde__values, tpv.draws)},
    {SONDE__OPTION_TEXT, "convention", 0, "KIND",
     "of SGD's trajectory: sum over outputs, or published (their mean) [sum]",
     offsetof(sonde__values, tpv.convention)},
    {SONDE__OPTION_TEXT, "csv", 0, "FILE", "write a line a layer and noise, for spreadsheets",
     offsetof(sonde__values, csv)},
    {SONDE__OPTION_SIZE, "memory", 0, "SIZE", "keep within this much memory, as 512M or 2G",
     offsetof(sonde__values, memory)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print one JSON object", offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "no progress, and no answer either unless --json",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

static const char *const without[] = {"augment", NULL};

const sonde__verb sonde__verb_tpv = {
    .name = "tpv",
    .summary = "tells how far a network's outputs move when its weights are perturbed",
    .usage = "tpv RUN | --model SPEC --weights FILE [OPTIONS]",
    .examples =
        "    sonde tpv runs/a                              every checkpoint\n"
        "    sonde tpv runs/a --epoch 12 --noise sgd,quant:4,label:0.1:runs=10 --empirical\n"
        "    sonde tpv --model resnet20 --weights net.th --data cifar-10 --data-dir DIR \\\n"
        "        --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225\n",
    .about =
        "Test prediction variance: the mean squared change of the outputs under noise of the\n"
        "weights. To first order it is the noise's variance times the trace, the mean squared "
        "norm\n"
        "of the Jacobian of the outputs by the weights; no label is needed, and training inputs\n"
        "give nearly the number that test inputs would, if they are many.\n"
        "\n"
        "Noises, with what can be set:\n"
        "    "
        "sgd:RATE:batch=128:steps=200:burn-in=50:every=10:momentum=0.9:proximity=0.001:residual=1\n"
        "    quant:BITS:runs=20              uniform noise of the step of that many bits\n"
        "    isotropic:DEVIATION:runs=20     Gaussian noise on every weight\n"
        "    label:SHARE:runs=5:epochs=5:rate=0.0001:batch=256\n"
        "                                    fine-tuning to outputs with noise of that share of\n"
        "                                    their mean size; small networks also in closed form\n",
    .options = options_list,
    .measures = true,
    .without = without,
    .positional = "RUN",
    .optional = true,
    .prepare = set_defaults,
    .run = run_tpv,
};
