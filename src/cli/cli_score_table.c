/*
 * Scores on the terminal: one network as a list of its proxies, several as a ranked table.
 *
 * Where a table is too narrow for all proxies, what it is ranked by and the sizes stay; names too long
 * for a column (cells of NAS-Bench-201) get a line of their own, so that they can be copied.
 */
#include "cli/cli_score.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/verb.h"

enum {
    CELL = 48,
    NAME_COLUMN = 28,
    OWN_LINE = 120,
    RANK_COLUMN = 5,
    LINE = 1024,
    REASONS_SHOWN = 12
};

/* ---- cells ----------------------------------------------------------------------------------- */

static bool is_size(sonde_proxy_kind kind)
{
    return kind == SONDE_PROXY_PARAMS || kind == SONDE_PROXY_FLOPS;
}

/* 269.7k, 40.81M: four digits. */
static void size_cell(double value, char *cell)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    int unit = 0;
    while (value >= 999.95 && unit < 4) {
        value /= 1000;
        unit++;
    }
    snprintf(cell, CELL, unit == 0 ? "%.0f%s" : "%.4g%s", value, units[unit]);
}

static void mean_cell(const sonde__score_summary *one, sonde_proxy_kind kind, char *cell)
{
    const sonde_score *mean = &one->mean[kind];
    if (mean->validity != SONDE_VALID)
        snprintf(cell, CELL, "-");
    else if (is_size(kind))
        size_cell(mean->value, cell);
    else
        snprintf(cell, CELL, "%.4g", mean->value);
    if (mean->validity == SONDE_VALID && isfinite(one->spread[kind]) && !is_size(kind))
        snprintf(cell + strlen(cell), CELL - strlen(cell), " ±%.2g", one->spread[kind]);
}

/* ---- words ----------------------------------------------------------------------------------- */

static void describe_batch(const sonde__score_task *task, char *text, size_t size)
{
    const sonde__score_settings *s = &task->settings;
    char seeds[64];
    snprintf(seeds, sizeof seeds, "seed %" PRIu64, task->samples[0].seed);
    if (task->sample_count > 1)
        snprintf(seeds, sizeof seeds, "seeds %" PRIu64 " to %" PRIu64, task->samples[0].seed,
                 task->samples[task->sample_count - 1].seed);
    snprintf(text, size, "protocol %s: %d examples%s%s of %.200s, %d classes, %s, %s%.200s",
             sonde__protocol_name(s->protocol), task->samples[0].batch.n,
             s->balanced ? " balanced over classes" : "", s->config.augment ? " (augmented)" : "",
             s->input ? s->input : task->data, task->classes, seeds,
             s->weights ? "weights of " : "initial weights", s->weights ? s->weights : "");
    if (s->teacher)
        snprintf(text + strlen(text), size - strlen(text), ", teacher %.100s (metric %s)",
                 s->teacher, sonde__distill_metric_name(s->metric));
}

static void print_head(const sonde__paper *paper, const sonde__score_report *report)
{
    char line[LINE], batch[LINE - 128], took[32], name[SONDE__CONFIG_TEXT_MAX];
    describe_batch(report->task, batch, sizeof batch);
    sonde__words_duration(report->seconds, took, sizeof took);
    snprintf(name, sizeof name, "%s", report->names->items[report->list[0].name].spec);
    fputs(paper->colour ? "\033[1m" : "", paper->to);
    if (report->count > 1)
        snprintf(name, sizeof name, "%zu%s networks by %s", report->count,
                 report->complete ? "" : " finished", sonde_proxy_name(report->by));
    sonde__paper_wrapped(paper, name, 0);
    fputs(paper->colour ? "\033[0m" : "", paper->to);
    snprintf(line, sizeof line, "%s; %s%s", batch, took,
             report->found ? " beside what was there already" : "");
    sonde__paper_wrapped(paper, line, 0);
    fputc('\n', paper->to);
}

/* Proxies that some network has no number for, and why. */
static void print_reasons(const sonde__paper *paper, const sonde__score_report *report)
{
    int shown = 0;
    for (int kind = 0; kind < SONDE_PROXY_COUNT; kind++)
        for (int validity = 1; validity <= SONDE_OUT_OF_RANGE; validity++) {
            char line[LINE];
            size_t count = 0;
            for (size_t i = 0; i < report->count; i++)
                count += (int)report->list[i].mean[kind].validity == validity;
            if (count == 0 || !(report->shown & SONDE__PROXY_BIT(kind)) || shown == REASONS_SHOWN)
                continue;
            snprintf(line, sizeof line, "%s: %s%s", sonde_proxy_name((sonde_proxy_kind)kind),
                     sonde_validity_sentence((sonde_validity)validity),
                     validity == SONDE_OUT_OF_RANGE && kind == SONDE_PROXY_SYNFLOW
                         ? " (--protocol naslib gives its logarithm)"
                         : "");
            fprintf(paper->to, "%s%5zu without  ", shown++ ? "" : "\n", count);
            sonde__paper_wrapped(paper, line, 15);
        }
}

static void print_advice(const sonde__paper *paper)
{
    char line[] =
        "Higher is better for every proxy. params and flops stand beside them because they "
        "often rank networks as well or better (docs/proxies.md).";
    fputc('\n', paper->to);
    sonde__paper_wrapped(paper, line, 0);
}

/* ---- one network ----------------------------------------------------------------------------- */

static void one_value(const sonde__score_summary *one, sonde_proxy_kind kind, char *cell)
{
    const sonde_score *mean = &one->mean[kind];
    mean_cell(one, kind, cell);
    if (mean->validity == SONDE_VALID && is_size(kind))
        sonde__words_grouped((int64_t)mean->value, cell, CELL);
    else if (mean->validity == SONDE_VALID && !isfinite(one->spread[kind]))
        snprintf(cell, CELL, "%.6g", mean->value);
}

static void print_one(const sonde__paper *paper, const sonde__score_report *report)
{
    const sonde__score_summary *one = &report->list[0];
    char cell[CELL], line[LINE];
    int name_wide = 0, wide = 0;
    for (int kind = 0; kind < SONDE_PROXY_COUNT; kind++) {
        if (!(report->shown & SONDE__PROXY_BIT(kind)))
            continue;
        const int name = (int)strlen(sonde_proxy_name((sonde_proxy_kind)kind));
        one_value(one, (sonde_proxy_kind)kind, cell);
        const int columns = sonde__columns(cell, strlen(cell));
        name_wide = name > name_wide ? name : name_wide;
        wide = columns > wide ? columns : wide;
    }
    for (int kind = 0; kind < SONDE_PROXY_COUNT; kind++) {
        const bool valid = one->mean[kind].validity == SONDE_VALID;
        if (!(report->shown & SONDE__PROXY_BIT(kind)))
            continue;
        one_value(one, (sonde_proxy_kind)kind, cell);
        fprintf(paper->to, "  %-*s  ", name_wide, sonde_proxy_name((sonde_proxy_kind)kind));
        sonde__paper_cell(paper, cell, -wide);
        snprintf(line, sizeof line, "%s",
                 valid ? sonde_proxy_sentence((sonde_proxy_kind)kind)
                       : sonde_validity_sentence(one->mean[kind].validity));
        const char *tone = valid ? "\033[2m" : "\033[33m";
        fprintf(paper->to, "  %s", paper->colour ? tone : "");
        sonde__paper_wrapped(paper, line, name_wide + wide + 6);
        fputs(paper->colour ? "\033[0m" : "", paper->to);
    }
}

/* ---- several --------------------------------------------------------------------------------- */

typedef struct layout {
    bool own_line; /* names stand above their numbers */
    int name;
    int count; /* columns, in the order in which they are shown */
    sonde_proxy_kind kinds[SONDE_PROXY_COUNT];
    int width[SONDE_PROXY_COUNT];
    int hidden;
} layout;

static int column_width(const sonde__score_report *report, sonde_proxy_kind kind, size_t top)
{
    int wide = (int)strlen(sonde_proxy_name(kind));
    char cell[CELL];
    for (size_t i = 0; i < top; i++) {
        mean_cell(&report->list[i], kind, cell);
        const int columns = sonde__columns(cell, strlen(cell));
        wide = columns > wide ? columns : wide;
    }
    return wide;
}

static void add_column(layout *plan, const sonde__score_report *report, sonde_proxy_kind kind,
                       size_t top, int *room)
{
    const int wide = column_width(report, kind, top);
    for (int i = 0; i < plan->count; i++)
        if (plan->kinds[i] == kind)
            return;
    if (wide + 2 > *room || !(report->shown & SONDE__PROXY_BIT(kind))) {
        plan->hidden += (report->shown & SONDE__PROXY_BIT(kind)) != 0;
        return;
    }
    *room -= wide + 2;
    plan->kinds[plan->count] = kind;
    plan->width[plan->count++] = wide;
}

static layout plan_table(const sonde__paper *paper, const sonde__score_report *report, size_t top)
{
    layout plan = {.name = 7};
    for (size_t i = 0; i < top; i++) {
        const char *spec = report->names->items[report->list[i].name].spec;
        const int wide = sonde__columns(spec, strlen(spec));
        plan.name = wide > plan.name ? wide : plan.name;
    }
    plan.own_line = plan.name > NAME_COLUMN;
    int room = paper->width - RANK_COLUMN - (plan.own_line ? 0 : plan.name + 2);
    add_column(&plan, report, SONDE_PROXY_PARAMS, top, &room);
    add_column(&plan, report, SONDE_PROXY_FLOPS, top, &room);
    add_column(&plan, report, report->by, top, &room);
    for (int kind = 0; kind < SONDE_PROXY_COUNT; kind++)
        add_column(&plan, report, (sonde_proxy_kind)kind, top, &room);
    return plan;
}

static void print_header(const sonde__paper *paper, const layout *plan)
{
    fprintf(paper->to, "%s%*s", paper->colour ? "\033[2m" : "", RANK_COLUMN - 1, "rank");
    if (!plan->own_line)
        fprintf(paper->to, "  %-*s", plan->name, "network");
    else
        fputc(' ', paper->to);
    for (int i = 0; i < plan->count; i++)
        fprintf(paper->to, "  %*s", plan->width[i], sonde_proxy_name(plan->kinds[i]));
    fputs(paper->colour ? "\033[0m\n" : "\n", paper->to);
}

static void print_network(const sonde__paper *paper, const layout *plan,
                          const sonde__score_report *report, const sonde__score_summary *one)
{
    char name[SONDE__CONFIG_TEXT_MAX], cell[CELL];
    const char *spec = report->names->items[one->name].spec;
    if (one->rank > 0)
        fprintf(paper->to, "%*g", RANK_COLUMN - 1, one->rank);
    else
        fprintf(paper->to, "%*s", RANK_COLUMN - 1, "-");
    sonde__paper_shorten(spec, plan->own_line ? OWN_LINE : plan->name, name, sizeof name);
    fputs("  ", paper->to);
    if (plan->own_line)
        fprintf(paper->to, "%s\n%*s", name, RANK_COLUMN, "");
    else
        sonde__paper_cell(paper, name, plan->name);
    for (int i = 0; i < plan->count; i++) {
        mean_cell(one, plan->kinds[i], cell);
        fputs("  ", paper->to);
        sonde__paper_cell(paper, cell, -plan->width[i]);
    }
    fputc('\n', paper->to);
}

static void print_hidden(const sonde__paper *paper, const layout *plan,
                         const sonde__score_report *report, size_t top)
{
    char line[LINE] = "";
    if (top < report->count)
        snprintf(line, sizeof line, "%zu more networks are not shown (--top 0 shows all). ",
                 report->count - top);
    if (plan->hidden)
        snprintf(
            line + strlen(line), sizeof line - strlen(line),
            "%d more prox%s not shown for want of width (--proxy chooses, --csv and --json have "
            "all).",
            plan->hidden, plan->hidden == 1 ? "y is" : "ies are");
    if (!line[0])
        return;
    fputc('\n', paper->to);
    sonde__paper_wrapped(paper, line, 0);
}

static void print_several(const sonde__paper *paper, const sonde__score_report *report, size_t top)
{
    top = top == 0 || top > report->count ? report->count : top;
    const layout plan = plan_table(paper, report, top);
    print_header(paper, &plan);
    for (size_t i = 0; i < top; i++)
        print_network(paper, &plan, report, &report->list[i]);
    print_hidden(paper, &plan, report, top);
    print_reasons(paper, report);
}

void sonde__print_scores(const sonde__paper *paper, const sonde__score_report *report, size_t top)
{
    print_head(paper, report);
    if (report->count == 1)
        print_one(paper, report);
    else
        print_several(paper, report, top);
    print_advice(paper);
}
