/*
 * `sonde probe`: every signal of one checkpoint on its probe batch: the head's gradient and what goes
 * with it, and test prediction variance of the same examples.
 */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/live_work.h"
#include "cli/subject.h"
#include "cli/tpv_out.h"
#include "run/probe_head.h"
#include "run/tpv_inputs.h"

typedef struct work {
    sonde__call *call;
    sonde_context *context;
    sonde__subject subject;
    sonde_head_report head[2];
    sonde__tpv_plan plans[SONDE__TPV_PLANS_MAX];
    sonde__tpv_options options;
    sonde__tpv_sample sample;
    sonde__tpv_report tpv;
    sonde__work_live live;
} work;

/* What each score of a head report says. */
static const struct {
    const char *name, *label, *meaning;
} rows[] = {
    {"raw", "head gradient", "norm of the loss's gradient by the last layer; lower is better"},
    {"head_scaled", "  head-scaled", "... over the norm of its weights"},
    {"feature_scaled", "  feature-scaled", "... over the size of its inputs"},
    {"bias", "  bias", "the same of its bias"},
    {"loss", "loss", "mean over the batch"},
    {"accuracy", "accuracy", "share that is right"},
    {"confidence", "confidence", "mean of the largest probability"},
    {"entropy", "entropy", "of the probabilities, nats"},
    {"margin", "margin", "largest minus second largest probability"},
    {"true_margin", "true margin", "true output minus the largest other"},
};

/* ---- measuring ------------------------------------------------------------------------------- */

static sonde_status open_subject(work *job)
{
    const sonde__tpv_values *values = &job->call->values.tpv;
    sonde__subject_options options;
    SONDE_TRY(
        sonde__cli_subject_options(job->call, job->call->positional, &values->subject, &options));
    options.study = options.texts = true;
    return sonde__subject_open(job->context, &options, &job->subject);
}

/* On the first batch of the probe, the one that is scored. */
static sonde_status measure_tpv(work *job)
{
    const sonde__probe *probe = &job->subject.probes[0];
    const sonde__tpv_choice choice = {.batcher = &job->subject.train_batcher,
                                      .indexes = probe->indexes + probe->begin[0],
                                      .count = probe->end[0] - probe->begin[0]};
    sonde__tpv_plan_init(&job->plans[0], SONDE__TPV_SGD);
    sonde__tpv_plan_init(&job->plans[1], SONDE__TPV_QUANTIZATION);
    sonde__tpv_options_init(&job->options);
    job->options.plans = job->plans;
    job->options.plan_count = 2;
    job->options.seed = (uint64_t)job->subject.config.seed;
    job->options.progress = sonde__work_live_progress;
    job->options.user = &job->live;
    SONDE_TRY(sonde__tpv_sample_draw(job->context, &choice, &job->sample));
    return sonde__measure_tpv(job->context, job->subject.net, &job->sample.inputs, NULL,
                              &job->options, &job->tpv);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void score_cell(FILE *to, const sonde_score *score)
{
    if (score->validity == SONDE_VALID)
        fprintf(to, "  %12.5g", score->value);
    else
        fprintf(to, "  %12s", "-");
}

static void estimate_line(const sonde__paper *paper, const char *label,
                          const sonde_estimate *estimate, const char *meaning)
{
    fprintf(paper->to, "  %-17s", label);
    if (estimate->validity == SONDE_VALID)
        fprintf(paper->to, "  %12.5g  %12.2g", estimate->value, estimate->standard_error);
    else
        fprintf(paper->to, "  %12s  %12s", "-", "-");
    fprintf(paper->to, "  %s\n", paper->width >= 90 ? meaning : "");
}

static void print_probe(const work *job, const sonde__paper *paper)
{
    const sonde__subject *subject = &job->subject;
    const sonde__probe *probe = &subject->probes[0];
    const char *name;
    char line[1400], epoch[48] = "";
    if (subject->epoch >= 0)
        snprintf(epoch, sizeof epoch, ", epoch %" PRId64, subject->epoch);
    snprintf(line, sizeof line, "%.600s%s: %.200s on %.200s, probe batch \"%.64s\" of %zu examples",
             subject->run ? subject->run : "network", epoch, subject->config.model,
             subject->config.data, subject->config.probe, probe->end[0] - probe->begin[0]);
    sonde__paper_wrapped(paper, line, 0);
    fprintf(paper->to, "\n  %-17s  %12s  %12s\n", "signal", "batch", "second batch");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fprintf(paper->to, "  %-17s", rows[i].label);
        score_cell(paper->to, sonde__head_score_at(&job->head[0], (int)i, &name));
        score_cell(paper->to, sonde__head_score_at(&job->head[1], (int)i, &name));
        fprintf(paper->to, "  %s\n", paper->width >= 90 ? rows[i].meaning : "");
    }
    fprintf(paper->to, "\n  %-17s  %12s  %12s\n", "TPV of the batch", "value", "+-");
    estimate_line(paper, "trace", &job->tpv.train, "mean squared norm of the outputs' Jacobian");
    for (int i = 0; i < job->tpv.row_count; i++) {
        const sonde__tpv_row *row = &job->tpv.rows[i];
        char label[64];
        const bool tensor = row->form == SONDE__TPV_TRACE_PER_TENSOR;
        snprintf(label, sizeof label, "%s%s", job->plans[row->plan].name, tensor ? ", tensor" : "");
        estimate_line(paper, label, &row->train,
                      row->plan == 0 ? "small steps of SGD, rate 0.001, batch 128"
                      : tensor       ? "8 bits, each tensor's own range"
                                     : "8 bits, one range for all weights");
    }
}

static void json_head(sonde__json_out *json, const char *name, const sonde_head_report *report)
{
    const char *score_name;
    const sonde_score *score;
    sonde__out_open(json, name, '{');
    for (int i = 0; (score = sonde__head_score_at(report, i, &score_name)) != NULL; i++)
        sonde__json_score(json, score_name, score);
    sonde__out_close(json, '}');
}

static sonde_status json_probe(const work *job)
{
    const sonde__subject *subject = &job->subject;
    const sonde__probe *probe = &subject->probes[0];
    sonde__json_out json;
    sonde__out_begin(&json, job->context, stdout);
    sonde__out_open(&json, NULL, '{');
    sonde__out_string(&json, "run", subject->run);
    sonde__out_string(&json, "weights", job->call->values.tpv.subject.weights);
    sonde__out_string(&json, "model", subject->config.model);
    sonde__out_string(&json, "data", subject->config.data);
    sonde__out_whole(&json, "epoch", subject->epoch);
    sonde__out_string(&json, "probe", subject->config.probe);
    sonde__out_count(&json, "examples", probe->end[0] - probe->begin[0]);
    json_head(&json, "batch", &job->head[0]);
    json_head(&json, "second_batch", &job->head[1]);
    sonde__out_open(&json, "tpv", '{');
    sonde__json_estimate(&json, "trace", &job->tpv.train);
    for (int i = 0; i < job->tpv.row_count; i++) {
        const sonde__tpv_row *row = &job->tpv.rows[i];
        sonde__json_estimate(&json,
                             row->plan == 0                             ? "sgd"
                             : row->form == SONDE__TPV_TRACE_PER_TENSOR ? "quantization_per_tensor"
                                                                        : "quantization",
                             &row->train);
    }
    sonde__out_count(&json, "draws", (uint64_t)job->tpv.draws);
    sonde__out_close(&json, '}');
    sonde__out_close(&json, '}');
    return sonde__out_end(&json);
}

/* ---- the verb -------------------------------------------------------------------------------- */

static void clean(work *job)
{
    sonde__interrupt_cancels(NULL);
    sonde__work_live_end(&job->live);
    sonde__tpv_report_free(&job->tpv);
    sonde__tpv_sample_free(job->context, &job->sample);
    if (job->subject.context)
        sonde__subject_close(&job->subject);
}

static sonde_status tell(work *job)
{
    const sonde__paper paper = sonde__paper_of(stdout);
    sonde__work_live_end(&job->live);
    if (job->call->values.json)
        return json_probe(job);
    if (!job->call->values.quiet)
        print_probe(job, &paper);
    return SONDE_OK;
}

static int run_probe(sonde__call *call)
{
    work job = {.call = call, .context = call->context};
    int exit_status = call->positional ? SONDE__EXIT_DONE : sonde__cli_check_config(call);
    if (exit_status != SONDE__EXIT_DONE)
        return exit_status;
    sonde__interrupt_install();
    sonde__interrupt_cancels(call->context);
    sonde__work_live_init(&job.live, call->values.quiet);
    sonde_status status = open_subject(&job);
    if (status == SONDE_OK)
        status = sonde__subject_probe(&job.subject, 0, job.head);
    if (status == SONDE_OK)
        status = measure_tpv(&job);
    if (status == SONDE_OK)
        status = tell(&job);
    exit_status = status == SONDE_OK ? SONDE__EXIT_DONE : sonde__cli_fail(call->context);
    if (status == SONDE_ERROR_CANCELLED && sonde__interrupt_signal())
        exit_status = 128 + sonde__interrupt_signal();
    clean(&job);
    return exit_status;
}

static void set_defaults(sonde__call *call)
{
    call->values.tpv.subject.epoch = -1;
}

static const sonde__option options_list[] = {
    SONDE__SUBJECT_OPTIONS(tpv.subject, "the checkpoint of a run [the kept one]"),
    {SONDE__OPTION_SIZE, "memory", 0, "SIZE", "keep within this much memory, as 512M or 2G",
     offsetof(sonde__values, memory)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print one JSON object", offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "no progress, and no answer either unless --json",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

static const char *const without[] = {"augment", NULL};

const sonde__verb sonde__verb_probe = {
    .name = "probe",
    .summary = "tells every signal of one checkpoint: head gradient, TPV, confidence, margin",
    .usage = "probe RUN | --model SPEC --weights FILE [OPTIONS]",
    .examples = "    sonde probe runs/a                            the kept checkpoint\n"
                "    sonde probe runs/a --epoch 12 --json\n",
    .about =
        "The probe batch is the run's own: the one that its scores were measured on in\n"
        "training. Test prediction variance is that of the same examples, by its trace forms;\n"
        "`sonde tpv` measures the others, and test inputs beside them.\n",
    .options = options_list,
    .measures = true,
    .without = without,
    .positional = "RUN",
    .optional = true,
    .prepare = set_defaults,
    .run = run_probe,
};
