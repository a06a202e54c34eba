/* Before, after, and what is left of every layer. */
#include "cli/prune_out.h"

#include <math.h>
#include <string.h>

#include "cli/json_out.h"
#include "cli/paper.h"
#include "report/words.h"

enum { NAME_MOST = 40 };

/* Why less has gone than was asked for; empty where it has. */
static void shortfall(const sonde__prune_job *job, const sonde__prune_outcome *outcome, char *text,
                      size_t size)
{
    const sonde__prune_report *report = &outcome->report;
    const double wanted = (double)report->units * (1 - job->options.ratio);
    text[0] = '\0';
    if ((double)report->kept <= wanted + 0.5)
        return;
    if (report->cut.unscored > 0)
        snprintf(text, size,
                 "The ratio is not reached: this criterion says nothing of %zu of them.",
                 report->cut.unscored);
    else if (job->options.multiple > 1)
        snprintf(text, size, "The ratio is not reached: widths stay multiples of %zu.",
                 job->options.multiple);
    else
        snprintf(text, size, "The ratio is not reached: every layer keeps its %zu best.",
                 job->options.least);
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_pair(const sonde__paper *paper, const char *topic, const char *before,
                       const char *after, const char *remark)
{
    fprintf(paper->to, "  %-18s %14s  %14s  %s\n", topic, before, after, remark);
}

static void print_count(const sonde__paper *paper, const char *topic, const double pair[2])
{
    char before[32], after[32], remark[48] = "";
    sonde__words_grouped((int64_t)pair[0], before, sizeof before);
    sonde__words_grouped((int64_t)pair[1], after, sizeof after);
    if (pair[0] > 0)
        snprintf(remark, sizeof remark, "%.1f %%", 100 * pair[1] / pair[0]);
    print_pair(paper, topic, before, after, remark);
}

static void print_bytes(const sonde__paper *paper, const double pair[2])
{
    char before[32], after[32];
    sonde__words_bytes((uint64_t)pair[0], before, sizeof before);
    sonde__words_bytes((uint64_t)pair[1], after, sizeof after);
    print_pair(paper, "bytes", before, after, "");
}

static void print_accuracy(const sonde__paper *paper, const sonde__prune_outcome *outcome)
{
    char before[32], after[32], remark[64];
    if (isnan(outcome->accuracy[0]))
        return;
    snprintf(before, sizeof before, "%.2f %%", 100 * outcome->accuracy[0]);
    snprintf(after, sizeof after, "%.2f %%", 100 * outcome->accuracy[1]);
    snprintf(remark, sizeof remark, "of %zu test images, only reported", outcome->test_examples);
    print_pair(paper, "accuracy", before, after, remark);
}

static void print_speed(const sonde__paper *paper, const sonde__prune_outcome *outcome)
{
    bool slower = false;
    for (int i = 0; i < SONDE__PRUNE_SPEEDS; i++) {
        const double *seconds = outcome->seconds[i];
        char topic[32], before[32], after[32], remark[48];
        if (isnan(seconds[0]) || outcome->speed_batch[i] == 0)
            continue;
        snprintf(topic, sizeof topic, "batch of %d", outcome->speed_batch[i]);
        snprintf(before, sizeof before, "%.3f ms", 1e3 * seconds[0]);
        snprintf(after, sizeof after, "%.3f ms", 1e3 * seconds[1]);
        snprintf(remark, sizeof remark, "%.2f times as fast", seconds[0] / seconds[1]);
        print_pair(paper, topic, before, after, remark);
        slower = slower || seconds[1] > 1.1 * seconds[0]; /* beyond the noise of a timing */
    }
    if (slower)
        fputs(
            "  Slower: widths between multiples of 16 may fall on slow kernels (--multiple 16).\n",
            paper->to);
}

static void print_curve(const sonde__paper *paper, const sonde__prune_outcome *outcome)
{
    if (!outcome->curve)
        return;
    fprintf(paper->to, "\n  %6s %14s %16s %10s %13s\n", "ratio", "parameters", "multiply-adds",
            "accuracy", "re-estimated");
    for (int i = 0; i < outcome->curve_count; i++) {
        const sonde__prune_point *point = &outcome->curve[i];
        char parameters[32], flops[32], again[32] = "-";
        sonde__words_grouped((int64_t)point->parameters, parameters, sizeof parameters);
        sonde__words_grouped((int64_t)point->flops, flops, sizeof flops);
        if (!isnan(point->re_estimated))
            snprintf(again, sizeof again, "%.2f %%", 100 * point->re_estimated);
        fprintf(paper->to, "  %6.3f %14s %16s %8.2f %% %13s\n",
                1 - (double)point->kept / (double)outcome->report.units, parameters, flops,
                100 * point->accuracy, again);
    }
}

static void print_widths(const sonde__paper *paper, const sonde__prune_outcome *outcome)
{
    fprintf(paper->to, "\n  %-*s %10s %10s\n", NAME_MOST, "layer",
            outcome->weights ? "weights" : "outputs", "left");
    for (size_t i = 0; i < outcome->width_count; i++) {
        char name[4 * NAME_MOST];
        sonde__paper_shorten(outcome->widths[i].name, NAME_MOST, name, sizeof name);
        fputs("  ", paper->to);
        sonde__paper_cell(paper, name, NAME_MOST);
        fprintf(paper->to, " %10d %10d\n", outcome->widths[i].before, outcome->widths[i].after);
    }
}

static void print_method(const sonde__paper *paper, const sonde__prune_job *job,
                         const sonde__prune_outcome *outcome)
{
    const sonde__prune_report *report = &outcome->report;
    char line[1024], units[32], kept[32], reason[128];
    sonde__words_grouped((int64_t)report->units, units, sizeof units);
    sonde__words_grouped((int64_t)report->kept, kept, sizeof kept);
    fprintf(paper->to, "%-*s", SONDE__INDENT, "Pruned");
    snprintf(line, sizeof line, "%s of %s %s are left (ratio %g by %s, %d step%s%s).", kept, units,
             outcome->weights ? "weights" : "removable channels", job->options.ratio,
             sonde_criterion_name(job->options.criterion), report->steps,
             report->steps == 1 ? "" : "s", job->options.per_layer ? ", each layer by itself" : "");
    sonde__paper_wrapped(paper, line, SONDE__INDENT);
    shortfall(job, outcome, reason, sizeof reason);
    if (reason[0]) {
        fprintf(paper->to, "%*s", SONDE__INDENT, "");
        sonde__paper_wrapped(paper, reason, SONDE__INDENT);
    }
    if (report->examples > 0) {
        snprintf(line, sizeof line, "Measured on %zu examples of the training set%s.",
                 report->examples,
                 job->options.criterion == SONDE_CRITERION_JBR
                     ? ", by the network's own confident answers instead of labels"
                     : ", with their labels");
        fprintf(paper->to, "%*s", SONDE__INDENT, "");
        sonde__paper_wrapped(paper, line, SONDE__INDENT);
    }
}

void sonde__prune_print(FILE *to, const sonde__prune_job *job, const sonde__prune_outcome *outcome)
{
    const sonde__paper paper = sonde__paper_of(to);
    char line[8192];
    print_method(&paper, job, outcome);
    print_pair(&paper, "", "before", "after", "");
    print_count(&paper, outcome->weights ? "parameters not 0" : "parameters", outcome->parameters);
    print_count(&paper, "multiply-adds", outcome->flops);
    print_bytes(&paper, outcome->bytes);
    print_accuracy(&paper, outcome);
    print_speed(&paper, outcome);
    if (outcome->weights)
        fputs("  Zeros in a dense file save neither bytes nor time by themselves.\n", to);
    print_curve(&paper, outcome);
    print_widths(&paper, outcome);
    snprintf(line, sizeof line,
             "%s holds the weights, %s says what was kept. `sonde train --data %s%s%s --model %s "
             "--pruned %s --weights %s` trains on.",
             job->out, outcome->plan, outcome->config.data,
             outcome->config.data_dir[0] ? " --data-dir " : "", outcome->config.data_dir,
             outcome->model, outcome->plan, job->out);
    fputc('\n', to);
    sonde__paper_wrapped(&paper, line, 0);
}

/* ---- for programs ---------------------------------------------------------------------------- */

static void json_pair(sonde__json_out *json, const char *name, const double pair[2])
{
    sonde__out_open(json, name, '{');
    sonde__out_number(json, "before", pair[0]);
    sonde__out_number(json, "after", pair[1]);
    sonde__out_close(json, '}');
}

static void json_speed(sonde__json_out *json, const sonde__prune_outcome *outcome)
{
    sonde__out_open(json, "speed", '[');
    for (int i = 0; i < SONDE__PRUNE_SPEEDS; i++) {
        if (outcome->speed_batch[i] == 0)
            continue;
        sonde__out_open(json, NULL, '{');
        sonde__out_whole(json, "batch", outcome->speed_batch[i]);
        json_pair(json, "seconds", outcome->seconds[i]);
        sonde__out_number(json, "times_as_fast", outcome->seconds[i][0] / outcome->seconds[i][1]);
        sonde__out_close(json, '}');
    }
    sonde__out_close(json, ']');
}

static void json_layers(sonde__json_out *json, const sonde__prune_outcome *outcome)
{
    sonde__out_open(json, "layers", '[');
    for (size_t i = 0; i < outcome->width_count; i++) {
        sonde__out_open(json, NULL, '{');
        sonde__out_string(json, "name", outcome->widths[i].name);
        sonde__out_whole(json, "before", outcome->widths[i].before);
        sonde__out_whole(json, "after", outcome->widths[i].after);
        sonde__out_close(json, '}');
    }
    sonde__out_close(json, ']');
}

static void json_curve(sonde__json_out *json, const sonde__prune_outcome *outcome)
{
    if (!outcome->curve)
        return;
    sonde__out_open(json, "curve", '[');
    for (int i = 0; i < outcome->curve_count; i++) {
        const sonde__prune_point *point = &outcome->curve[i];
        sonde__out_open(json, NULL, '{');
        sonde__out_whole(json, "step", i + 1);
        sonde__out_number(json, "ratio", 1 - (double)point->kept / (double)outcome->report.units);
        sonde__out_number(json, "parameters", point->parameters);
        sonde__out_number(json, "multiply_adds", point->flops);
        sonde__out_number(json, "test_accuracy", point->accuracy);
        sonde__out_number(json, "test_accuracy_reestimated", point->re_estimated);
        sonde__out_close(json, '}');
    }
    sonde__out_close(json, ']');
}

static void json_method(sonde__json_out *json, const sonde__prune_job *job,
                        const sonde__prune_outcome *outcome)
{
    const sonde__prune_report *report = &outcome->report;
    char reason[128];
    sonde__out_string(json, "by", sonde_criterion_name(job->options.criterion));
    sonde__out_number(json, "ratio", job->options.ratio);
    sonde__out_number(json, "reached",
                      report->units ? 1 - (double)report->kept / (double)report->units : 0);
    sonde__out_string(json, "unit", outcome->weights ? "weight" : "channel");
    sonde__out_count(json, "units", report->units);
    sonde__out_count(json, "kept", report->kept);
    sonde__out_whole(json, "steps", report->steps);
    sonde__out_count(json, "examples", report->examples);
    sonde__out_count(json, "examples_looked_at", report->looked);
    sonde__out_count(json, "re_estimated_batches", job->options.re_estimate);
    sonde__out_whole(json, "seed", outcome->config.seed);
    shortfall(job, outcome, reason, sizeof reason);
    sonde__out_string(json, "reason", reason[0] ? reason : NULL);
}

sonde_status sonde__prune_json(sonde_context *context, FILE *to, const sonde__prune_job *job,
                               const sonde__prune_outcome *outcome)
{
    sonde__json_out json;
    sonde__out_begin(&json, context, to);
    sonde__out_open(&json, NULL, '{');
    sonde__out_string(&json, "model", outcome->model);
    sonde__out_string(&json, "run", outcome->folder);
    sonde__out_whole(&json, "epoch", outcome->epoch);
    sonde__out_string(&json, "output", job->out);
    sonde__out_string(&json, "plan", outcome->plan);
    json_method(&json, job, outcome);
    json_pair(&json, "parameters", outcome->parameters);
    json_pair(&json, "multiply_adds", outcome->flops);
    json_pair(&json, "bytes", outcome->bytes);
    json_pair(&json, "test_accuracy", outcome->accuracy);
    sonde__out_count(&json, "test_examples", outcome->test_examples);
    json_speed(&json, outcome);
    json_curve(&json, outcome);
    json_layers(&json, outcome);
    sonde__out_close(&json, '}');
    return sonde__out_end(&json);
}
