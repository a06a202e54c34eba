/* Scores for programs: one object, or a table with a line a network. Names: docs/command.md. */
#include "cli/cli_score.h"

#include <math.h>

static const char *direction_name(sonde_direction direction)
{
    return direction == SONDE_LOWER_IS_BETTER    ? "lower is better"
           : direction == SONDE_HIGHER_IS_BETTER ? "higher is better"
                                                 : "neutral";
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void settings_object(sonde__json_out *json, const sonde__score_report *report)
{
    const sonde__score_task *task = report->task;
    sonde__score_setting setting;
    sonde__out_open(json, "settings", '{');
    for (int i = 0; sonde__score_setting_at(task, i, &setting); i++)
        sonde__out_string(json, setting.name, setting.value);
    sonde__out_open(json, "seeds", '[');
    for (size_t i = 0; i < task->sample_count; i++)
        sonde__out_count(json, NULL, task->samples[i].seed);
    sonde__out_close(json, ']');
    sonde__out_open(json, "input", '[');
    sonde__out_whole(json, NULL, task->input.channels);
    sonde__out_whole(json, NULL, task->input.height);
    sonde__out_whole(json, NULL, task->input.width);
    sonde__out_close(json, ']');
    sonde__out_whole(json, "classes", task->classes);
    sonde__out_close(json, '}');
}

static void score_object(sonde__json_out *json, const sonde__score_report *report,
                         const sonde__score_summary *one, sonde_proxy_kind kind)
{
    const size_t samples = report->task->sample_count;
    const sonde_score *mean = &one->mean[kind];
    const sonde__network_score *rows = report->rows + one->name * samples;
    const bool valid = mean->validity == SONDE_VALID;
    sonde__out_open(json, NULL, '{');
    sonde__out_string(json, "name", sonde_proxy_name(kind));
    sonde__out_number(json, "value", valid ? mean->value : (double)NAN);
    sonde__out_number(json, "spread", one->spread[kind]);
    sonde__out_string(json, "direction", direction_name(sonde_proxy_direction(kind)));
    sonde__out_string(json, "validity", sonde_validity_sentence(mean->validity));
    if (kind != SONDE_PROXY_VOTE) {
        sonde__out_open(json, "values", '[');
        for (size_t i = 0; i < samples; i++)
            sonde__out_number(json, NULL,
                              rows[i].done && rows[i].scores[kind].validity == SONDE_VALID
                                  ? rows[i].scores[kind].value
                                  : (double)NAN);
        sonde__out_close(json, ']');
    }
    sonde__out_close(json, '}');
}

static void network_object(sonde__json_out *json, const sonde__score_report *report,
                           const sonde__score_summary *one)
{
    sonde__out_open(json, NULL, '{');
    sonde__out_string(json, "name", report->names->items[one->name].spec);
    if (report->count > 1 && one->rank > 0)
        sonde__out_number(json, "rank", one->rank);
    else
        sonde__out_null(json, "rank");
    sonde__out_count(json, "seeds_done", one->seeds);
    sonde__out_number(json, "seconds", one->seconds);
    sonde__out_open(json, "scores", '[');
    for (int kind = 0; kind < SONDE_PROXY_COUNT; kind++)
        if (report->shown & SONDE__PROXY_BIT(kind))
            score_object(json, report, one, (sonde_proxy_kind)kind);
    sonde__out_close(json, ']');
    sonde__out_close(json, '}');
}

void sonde__json_scores(sonde__json_out *json, const sonde__score_report *report)
{
    sonde__out_open(json, NULL, '{');
    settings_object(json, report);
    sonde__out_string(json, "by", report->count > 1 ? sonde_proxy_name(report->by) : NULL);
    sonde__out_flag(json, "complete", report->complete);
    sonde__out_number(json, "seconds", report->seconds);
    sonde__out_open(json, "networks", '[');
    for (size_t i = 0; i < report->count; i++)
        network_object(json, report, &report->list[i]);
    sonde__out_close(json, ']');
    sonde__out_close(json, '}');
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static void csv_head(sonde__text *text, const sonde__score_report *report)
{
    sonde__score_setting setting;
    sonde__text_add(text, "rank,arch");
    for (int i = 0; sonde__score_setting_at(report->task, i, &setting); i++)
        sonde__text_format(text, ",%s", setting.name);
    sonde__text_add(text, ",first_seed,seeds");
    for (int kind = 0; kind < SONDE_PROXY_COUNT; kind++)
        if (report->shown & SONDE__PROXY_BIT(kind))
            sonde__text_format(text, ",%s,%s_spread", sonde_proxy_name((sonde_proxy_kind)kind),
                               sonde_proxy_name((sonde_proxy_kind)kind));
    sonde__text_add(text, ",seconds\n");
}

static void csv_number(sonde__text *text, double value)
{
    sonde__text_add(text, ",");
    if (isfinite(value))
        sonde__text_number(text, value);
}

void sonde__csv_scores(sonde__text *text, const sonde__score_report *report)
{
    sonde__score_setting setting;
    csv_head(text, report);
    for (size_t i = 0; i < report->count; i++) {
        const sonde__score_summary *one = &report->list[i];
        if (one->rank > 0)
            sonde__text_number(text, one->rank);
        sonde__text_add(text, ",");
        sonde__text_csv(text, report->names->items[one->name].spec);
        for (int k = 0; sonde__score_setting_at(report->task, k, &setting); k++) {
            sonde__text_add(text, ",");
            sonde__text_csv(text, setting.value);
        }
        csv_number(text, (double)report->task->samples[0].seed);
        csv_number(text, (double)one->seeds);
        for (int kind = 0; kind < SONDE_PROXY_COUNT; kind++) {
            if (!(report->shown & SONDE__PROXY_BIT(kind)))
                continue;
            const bool valid = one->mean[kind].validity == SONDE_VALID;
            csv_number(text, valid ? one->mean[kind].value : (double)NAN);
            csv_number(text, one->spread[kind]);
        }
        csv_number(text, one->seconds);
        sonde__text_add(text, "\n");
    }
}
