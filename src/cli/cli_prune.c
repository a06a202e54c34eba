/* `sonde prune`: a smaller network from a run or a model file, and the plan of it. */
#include "cli/verb.h"

#include <stddef.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/live_work.h"
#include "cli/prune_out.h"
#include "cli/subject.h"

enum { STEPS = 18, SYNFLOW_STEPS = 100, BATCHES = 50, BATCH = 128 };

/* ---- options --------------------------------------------------------------------------------- */

static const char *criterion_name(const void *user, int index)
{
    (void)user;
    return index < SONDE_CRITERION_COUNT ? sonde_criterion_name((sonde_criterion)index) : NULL;
}

/* "bn-scale" and "bn_scale" are the same. */
static int read_criterion(const char *text, sonde_criterion *criterion)
{
    char name[64];
    snprintf(name, sizeof name, "%s", text);
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : *c;
    if (sonde_criterion_find(name, criterion))
        return SONDE__EXIT_DONE;
    const char *near = sonde__nearest(name, criterion_name, NULL);
    return sonde__cli_usage("--by %s: no such criterion%s%s%s; `sonde help prune` lists them", text,
                            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int read_share(const char *option, const char *text, double *value)
{
    if (!sonde__parse_double(text, value) || !(*value >= 0 && *value <= 1))
        return sonde__cli_usage("--%s takes a number from 0 to 1, not \"%.40s\"", option, text);
    return SONDE__EXIT_DONE;
}

static int check_numbers(const sonde__prune_values *values)
{
    const struct {
        const char *option;
        int64_t value, least, most;
    } ranges[] = {{"iterations", values->iterations, 0, 100000},
                  {"least", values->least, 1, 1 << 24},
                  {"multiple", values->multiple, 1, 1 << 16},
                  {"batches", values->batches, 1, 1 << 24},
                  {"batch", values->batch, 1, 65536},
                  {"reestimate-bn", values->re_estimate, 0, 1 << 24},
                  {"fine-tune", values->fine_tune, 0, 1000000}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < ranges[i].least || ranges[i].value > ranges[i].most)
            return sonde__cli_usage("--%s must be from %lld to %lld", ranges[i].option,
                                    (long long)ranges[i].least, (long long)ranges[i].most);
    return SONDE__EXIT_DONE;
}

static int64_t usual_steps(sonde_criterion criterion)
{
    if (criterion == SONDE_CRITERION_SYNFLOW)
        return SYNFLOW_STEPS;
    return sonde_criterion_of_channels(criterion) ? STEPS : 1;
}

/* Known before anything is pruned. */
static int check_fine_tune(const sonde__prune_values *values)
{
    double rate;
    if (values->fine_tune > 0 && (!sonde__parse_double(values->lr, &rate) || !(rate > 0)))
        return sonde__cli_usage("--lr takes a number above 0, not \"%.40s\"", values->lr);
    return SONDE__EXIT_DONE;
}

static int read_options(const sonde__call *call, sonde__prune_job *job)
{
    const sonde__prune_values *values = &call->values.prune;
    sonde__prune_options *options = &job->options;
    sonde__prune_options_init(options);
    if (!values->out)
        return sonde__cli_usage("where to? write --out NAME.safetensors");
    int exit_status = read_criterion(values->by, &options->criterion);
    if (exit_status == SONDE__EXIT_DONE)
        exit_status = read_share("ratio", values->ratio, &options->ratio);
    if (exit_status == SONDE__EXIT_DONE)
        exit_status = read_share("confidence", values->confidence, &options->confidence);
    if (exit_status == SONDE__EXIT_DONE)
        exit_status = check_numbers(values);
    if (exit_status == SONDE__EXIT_DONE)
        exit_status = check_fine_tune(values);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    options->steps =
        (int)(values->iterations ? values->iterations : usual_steps(options->criterion));
    options->per_layer = values->per_layer;
    options->normalise = values->normalise;
    options->least = (size_t)values->least;
    options->multiple = (size_t)values->multiple;
    options->batches = (size_t)values->batches;
    options->batch = (size_t)values->batch;
    options->re_estimate = (size_t)values->re_estimate;
    job->out = values->out;
    job->plan = values->plan;
    job->force = call->values.force;
    job->speed = values->speed;
    job->curve = values->curve;
    return exit_status;
}

/* ---- the work -------------------------------------------------------------------------------- */

static void show(void *user, const sonde__prune_progress *progress)
{
    char what[96];
    snprintf(what, sizeof what, "%s, step %d of %d", progress->activity, progress->step,
             progress->steps);
    const double steps = progress->steps + 1; /* step 0 chooses the examples */
    sonde__work_live_progress(user, progress->step ? what : progress->activity,
                              (progress->step + progress->share) / steps);
}

/* The pruned network trained on, by the configuration that it came from. */
static int fine_tune(sonde__call *call, const sonde__prune_job *job,
                     const sonde__prune_outcome *outcome)
{
    const sonde__prune_values *values = &call->values.prune;
    char folder[1024];
    call->config = outcome->config;
    call->config.epochs = values->fine_tune;
    if (call->config.warm_up >= values->fine_tune)
        call->config.warm_up = 0;
    (void)sonde__parse_double(values->lr, &call->config.lr);
    snprintf(call->config.pruned, sizeof call->config.pruned, "%s", outcome->plan);
    snprintf(call->config.weights, sizeof call->config.weights, "%s", job->out);
    if (call->values.run)
        snprintf(folder, sizeof folder, "%s", call->values.run);
    else
        sonde__cli_default_folder(&call->config, folder, sizeof folder);
    return sonde__cli_train_into(call, folder, false);
}

static int tell(sonde__call *call, const sonde__prune_job *job, const sonde__prune_outcome *outcome)
{
    const bool trains = call->values.prune.fine_tune > 0;
    sonde_status status = SONDE_OK;
    if (call->values.json && !trains)
        status = sonde__prune_json(call->context, stdout, job, outcome);
    else if (!call->values.json && !call->values.quiet)
        sonde__prune_print(stdout, job, outcome);
    if (status != SONDE_OK)
        return sonde__cli_fail(call->context);
    fflush(stdout);
    return trains ? fine_tune(call, job, outcome) : SONDE__EXIT_DONE;
}

static int prune(sonde__call *call, sonde__prune_job *job)
{
    sonde__work_live live;
    sonde__prune_outcome outcome;
    sonde__interrupt_install();
    sonde__interrupt_cancels(call->context);
    sonde__work_live_init(&live, call->values.quiet);
    job->options.progress = show;
    job->options.user = &live;
    const sonde_status status = sonde__prune_run(call->context, job, &outcome);
    sonde__work_live_end(&live);
    sonde__interrupt_cancels(NULL);
    if (status == SONDE_ERROR_CANCELLED && sonde__interrupt_signal()) {
        if (!call->values.quiet)
            fputs("interrupted: nothing was written\n", stderr);
        return 128 + sonde__interrupt_signal();
    }
    if (status != SONDE_OK)
        return sonde__cli_fail(call->context);
    const int exit_status = tell(call, job, &outcome);
    sonde__prune_outcome_free(&outcome);
    return exit_status;
}

static int run_prune(sonde__call *call)
{
    sonde__prune_job job = {0};
    int exit_status = read_options(call, &job);
    if (exit_status == SONDE__EXIT_DONE && !call->positional)
        exit_status = sonde__cli_check_config(call);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    if (sonde__cli_subject_options(call, call->positional, &call->values.prune.subject,
                                   &job.subject) != SONDE_OK)
        return sonde__cli_fail(call->context);
    return prune(call, &job);
}

static void set_defaults(sonde__call *call)
{
    sonde__prune_values *values = &call->values.prune;
    values->subject.epoch = -1;
    values->by = "jbr";
    values->ratio = "0.5";
    values->confidence = "0.9";
    values->lr = "0.01";
    values->least = values->multiple = 1;
    values->batches = BATCHES;
    values->batch = BATCH;
    values->speed = true;
}

/* ---- words ----------------------------------------------------------------------------------- */

#define VALUE(field) offsetof(sonde__values, prune.field)

static const sonde__option options_list[] = {
    {SONDE__OPTION_TEXT, "out", 0, "FILE", "the smaller model, NAME.safetensors", VALUE(out)},
    {SONDE__OPTION_TEXT, "plan", 0, "FILE", "what was kept, as JSON [NAME.plan.json]", VALUE(plan)},
    {SONDE__OPTION_TEXT, "ratio", 0, "SHARE", "of the channels (or weights) to remove [0.5]",
     VALUE(ratio)},
    {SONDE__OPTION_TEXT, "by", 0, "CRITERION", "what the lowest of go, see above [jbr]", VALUE(by)},
    {SONDE__OPTION_INTEGER, "iterations", 0, "N",
     "steps of measuring and removing [18; weights 1, synflow 100]", VALUE(iterations)},
    {SONDE__OPTION_FLAG, "per-layer", 0, "", "remove the ratio of every layer [of all together]",
     VALUE(per_layer)},
    {SONDE__OPTION_FLAG, "normalise", 0, "",
     "compare channels by their scores over the mean of their group of layers", VALUE(normalise)},
    {SONDE__OPTION_INTEGER, "least", 0, "N", "channels that every layer keeps [1]", VALUE(least)},
    {SONDE__OPTION_INTEGER, "multiple", 0, "N",
     "leave widths that are multiples of N; 16 suits this engine's kernels, 8 does not [1]",
     VALUE(multiple)},
    {SONDE__OPTION_INTEGER, "batches", 0, "N", "mini-batches that a step measures [50]",
     VALUE(batches)},
    {SONDE__OPTION_INTEGER, "batch", 0, "N", "examples in a mini-batch [128]", VALUE(batch)},
    {SONDE__OPTION_TEXT, "confidence", 0, "SHARE",
     "jbr: take examples whose largest softmax is above [0.9]", VALUE(confidence)},
    {SONDE__OPTION_INTEGER, "reestimate-bn", 0, "N",
     "estimate batch norm anew from N mini-batches, at the end [0]", VALUE(re_estimate)},
    {SONDE__OPTION_INTEGER, "fine-tune", 0, "EPOCHS", "train the result on, into a run folder",
     VALUE(fine_tune)},
    {SONDE__OPTION_TEXT, "lr", 0, "RATE", "learning rate of --fine-tune [0.01]", VALUE(lr)},
    {SONDE__OPTION_TEXT, "run", 0, "DIR", "folder of --fine-tune [runs/DATA-MODEL-DATE-TIME]",
     offsetof(sonde__values, run)},
    SONDE__SUBJECT_OPTIONS(prune.subject, "of a run: this checkpoint [the kept one]"),
    {SONDE__OPTION_FLAG, "speed", 0, "", "measure speed before and after [on]", VALUE(speed)},
    {SONDE__OPTION_FLAG, "curve", 0, "",
     "also tell size and test accuracy after every step, and with --reestimate-bn both ways",
     VALUE(curve)},
    {SONDE__OPTION_FLAG, "force", 'f', "", "replace files that exist",
     offsetof(sonde__values, force)},
    {SONDE__OPTION_SIZE, "memory", 0, "SIZE", "keep within this much memory, as 512M or 2G",
     offsetof(sonde__values, memory)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print one JSON object", offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "no progress, and no answer either unless --json",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

static const char *const without[] = {"augment", "label-noise", NULL};

const sonde__verb sonde__verb_prune = {
    .name = "prune",
    .summary = "makes a smaller network: removes the channels (or weights) that matter least",
    .usage = "prune RUN | --model SPEC --weights FILE --out SMALL.safetensors [OPTIONS]",
    .examples =
        "    sonde prune runs/a --ratio 0.5 --out small.safetensors\n"
        "    sonde prune runs/a --ratio 0.7 --by l1 --reestimate-bn 50 --fine-tune 5 --out "
        "s.safetensors\n"
        "    sonde prune --model resnet56 --weights net.th --data cifar-10 --data-dir DIR \\\n"
        "        --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --ratio 0.5 --out s.safetensors\n"
        "    sonde train --model resnet20 --pruned s.plan.json --weights s.safetensors --data "
        "...\n",
    .about =
        "Channels go with all that is tied to them: what they are added to, the norm behind, the\n"
        "input of the next layer. Criteria of channels without any label: jbr (the network's own\n"
        "confident answers stand in for labels), l1, bn-scale, fpgm, whc, random; with labels:\n"
        "jacobian, taylor. Of single weights, which become zeros: magnitude, synflow, and with\n"
        "labels snip, grasp. The classifier's outputs, what a layer norm or softmax mixes, and "
        "the\n"
        "inside of attention stay whole. Accuracy on test images is only reported.\n",
    .options = options_list,
    .measures = true,
    .without = without,
    .positional = "RUN",
    .optional = true,
    .prepare = set_defaults,
    .run = run_prune,
};
