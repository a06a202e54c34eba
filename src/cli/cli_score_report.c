/*
 * Seeds put together, and networks ranked.
 *
 * The vote is taken over the list itself (Abdelfattah et al. 2021): it is a number of a network among
 * others, and of one network alone there is none.
 */
#include "cli/cli_score.h"

#include <math.h>
#include <string.h>

static const sonde_proxy_kind voters[] = {SONDE_PROXY_SYNFLOW, SONDE_PROXY_JACOB_COV,
                                          SONDE_PROXY_SNIP};
enum { VOTERS = sizeof voters / sizeof voters[0] };

/* ---- over seeds ------------------------------------------------------------------------------ */

static void put_together(const sonde__network_score *rows, size_t samples, sonde_proxy_kind kind,
                         sonde__score_summary *summary)
{
    sonde_score *mean = &summary->mean[kind];
    double sum = 0, squares = 0;
    size_t valid = 0;
    *mean = (sonde_score){.direction = sonde_proxy_direction(kind), .validity = SONDE_NOT_MEASURED};
    for (size_t i = 0; i < samples; i++) {
        const sonde_score *score = &rows[i].scores[kind];
        if (rows[i].done && score->validity != SONDE_VALID)
            mean->validity = score->validity;
        if (!rows[i].done || score->validity != SONDE_VALID)
            continue;
        /* Welford's update: no cancellation in the spread of large scores. */
        const double step = score->value - sum;
        valid++;
        sum += step / (double)valid;
        squares += step * (score->value - sum);
    }
    summary->valid[kind] = valid;
    summary->spread[kind] = valid > 1 ? sqrt(squares / (double)(valid - 1)) : (double)NAN;
    if (valid == 0)
        return;
    mean->validity = isfinite(sum) ? SONDE_VALID : SONDE_OUT_OF_RANGE;
    mean->value = isfinite(sum) ? sum : 0;
}

static bool summarise(const sonde__score_report *report, size_t name, sonde__score_summary *summary)
{
    const size_t samples = report->task->sample_count;
    const sonde__network_score *rows = report->rows + name * samples;
    *summary = (sonde__score_summary){.name = name};
    for (size_t i = 0; i < samples; i++) {
        summary->seeds += rows[i].done;
        summary->seconds += rows[i].done ? rows[i].seconds : 0;
    }
    for (int kind = 0; kind < SONDE_PROXY_COUNT; kind++)
        put_together(rows, samples, (sonde_proxy_kind)kind, summary);
    return summary->seeds > 0;
}

/* ---- ranks ----------------------------------------------------------------------------------- */

static void gather(const sonde__score_report *report, sonde_proxy_kind kind, sonde_score *scores)
{
    for (size_t i = 0; i < report->count; i++)
        scores[i] = report->list[i].mean[kind];
}

static sonde_status vote(sonde__score_report *report)
{
    sonde_context *context = report->task->context;
    const size_t n = report->count;
    sonde_score *scores = sonde__alloc(context, (VOTERS + 1) * n, sizeof *scores);
    if (!scores)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < VOTERS; i++)
        gather(report, voters[i], scores + i * n);
    const sonde_status status = sonde_choose_vote(context, scores, VOTERS, n, scores + VOTERS * n);
    for (size_t i = 0; i < n && status == SONDE_OK; i++)
        report->list[i].mean[SONDE_PROXY_VOTE] = scores[VOTERS * n + i];
    sonde__free(context, scores);
    report->shown |= SONDE__PROXY_BIT(SONDE_PROXY_VOTE);
    return status;
}

static bool can_vote(const sonde__score_report *report)
{
    const sonde__proxies wanted = report->task->settings.wanted;
    bool all = report->count > 1;
    for (size_t i = 0; i < VOTERS; i++)
        all = all && (wanted & SONDE__PROXY_BIT(voters[i]));
    return all;
}

/* The first wanted proxy that has a number somewhere, size last. */
static sonde_proxy_kind first_valid(const sonde__score_report *report)
{
    for (int kind = SONDE_PROXY_GRAD_NORM; kind < SONDE_PROXY_COUNT; kind++)
        for (size_t i = 0; i < report->count; i++)
            if (report->list[i].mean[kind].validity == SONDE_VALID)
                return (sonde_proxy_kind)kind;
    return SONDE_PROXY_PARAMS;
}

static sonde_status choose_by(sonde__score_report *report, const char *by)
{
    sonde_proxy_kind kind = SONDE_PROXY_VOTE;
    if (can_vote(report))
        SONDE_TRY(vote(report));
    report->by = can_vote(report) ? SONDE_PROXY_VOTE : first_valid(report);
    if (!by || report->count < 2)
        return SONDE_OK;
    if (!sonde_proxy_find(by, &kind) || !(report->shown & SONDE__PROXY_BIT(kind)))
        return sonde__fail_at(report->task->context, SONDE_ERROR_ARGUMENT, NULL, "by", -1,
                              "--by %s: that is not among the proxies that were scored%s", by,
                              kind == SONDE_PROXY_VOTE ? "; vote needs synflow, jacob_cov and snip"
                                                       : "");
    report->by = kind;
    return SONDE_OK;
}

static sonde_status rank(sonde__score_report *report)
{
    sonde_context *context = report->task->context;
    const size_t n = report->count;
    sonde_score *scores = sonde__alloc(context, n, sizeof *scores);
    size_t *order = sonde__alloc(context, n, sizeof *order);
    double *ranks = sonde__alloc(context, n, sizeof *ranks);
    sonde__score_summary *sorted = sonde__alloc(context, n, sizeof *sorted);
    sonde_status status = scores && order && ranks && sorted ? SONDE_OK : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK) {
        gather(report, report->by, scores);
        status = sonde_choose_rank(context, scores, n, order, ranks);
    }
    for (size_t i = 0; i < n && status == SONDE_OK; i++) {
        sorted[i] = report->list[order[i]];
        sorted[i].rank = ranks[order[i]];
    }
    if (status == SONDE_OK) {
        sonde__free(context, report->list);
        report->list = sorted;
        sorted = NULL;
    }
    sonde__free(context, sorted);
    sonde__free(context, ranks);
    sonde__free(context, order);
    sonde__free(context, scores);
    return status;
}

/* ---- the report ------------------------------------------------------------------------------ */

sonde_status sonde__score_report_make(const sonde__score_task *task, const sonde__arch_names *names,
                                      const sonde__network_score *rows, const char *by,
                                      sonde__score_report *report)
{
    *report = (sonde__score_report){.task = task, .names = names, .rows = rows};
    report->list = sonde__alloc(task->context, names->count, sizeof *report->list);
    if (!report->list)
        return SONDE_ERROR_MEMORY;
    report->shown = task->settings.wanted;
    report->complete = true;
    for (size_t i = 0; i < names->count; i++) {
        report->count += summarise(report, i, &report->list[report->count]);
        report->complete = report->complete && report->count &&
                           report->list[report->count - 1].name == i &&
                           report->list[report->count - 1].seeds == task->sample_count;
    }
    if (report->count == 0)
        return SONDE_OK;
    SONDE_TRY(choose_by(report, by));
    return report->count > 1 ? rank(report) : SONDE_OK;
}

void sonde__score_report_free(sonde__score_report *report)
{
    if (report->task)
        sonde__free(report->task->context, report->list);
    report->list = NULL;
    report->count = 0;
}

bool sonde__score_report_any(const sonde__score_report *report)
{
    const sonde__proxies size =
        SONDE__PROXY_BIT(SONDE_PROXY_PARAMS) | SONDE__PROXY_BIT(SONDE_PROXY_FLOPS);
    const bool size_alone = (report->task->settings.wanted & ~size) == 0;
    for (size_t i = 0; i < report->count; i++)
        for (int kind = 0; kind < SONDE_PROXY_COUNT; kind++)
            if (report->list[i].mean[kind].validity == SONDE_VALID &&
                (size_alone || !(size & SONDE__PROXY_BIT(kind))))
                return true;
    return false;
}
