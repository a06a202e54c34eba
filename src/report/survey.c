/* From a survey's layers to rows and totals; see survey.h. */
#include "report/survey.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/judge.h"

enum { TAIL_LEAST = 20 };
static const double largest_distance = 0.1;

bool sonde__tail_fits(const sonde_spectrum_report *report, const sonde_spectrum_shape_report *shape)
{
    const bool random = report->type == SONDE_SPECTRUM_LIGHT_TAIL && report->spikes == 0;
    return shape->power_law == SONDE_VALID && !random && shape->tail >= TAIL_LEAST &&
           shape->ks_distance <= largest_distance;
}

static void judge_row(sonde__survey_row *row)
{
    const sonde_layer_spectrum *layer = &row->layer;
    const sonde_spectrum_report *report = &layer->report;
    const sonde__judgement judgement = sonde__judge_layer(layer);
    row->alpha = (double)NAN;
    row->ratio = judgement.ratio;
    row->over = judgement.over;
    if (layer->skipped)
        return;
    const bool finite =
        report->validity != SONDE_NOT_FINITE && report->validity != SONDE_OUT_OF_RANGE;
    row->shaped = finite && report->largest > 0;
    row->lawful =
        finite && report->validity != SONDE_TOO_FEW && report->validity != SONDE_DEGENERATE;
    row->collapsed = report->type == SONDE_SPECTRUM_RANK_COLLAPSE;
    if (layer->shape.power_law != SONDE_VALID)
        return;
    row->alpha = layer->shape.alpha;
    row->fits = sonde__tail_fits(report, &layer->shape);
    row->odd_tail = row->fits && (row->alpha < sonde__alpha_low || row->alpha > sonde__alpha_high);
}

static void count_row(sonde__survey_table *table, size_t index)
{
    const sonde__survey_row *row = &table->rows[index];
    if (row->layer.skipped)
        return;
    table->spectra++;
    table->over += row->over;
    table->odd_tails += row->odd_tail;
    table->collapsed += row->collapsed;
    table->error_bound = fmax(table->error_bound, row->layer.error_bound);
    if (isfinite(row->ratio)) {
        if (table->judged == 0 || row->ratio > table->rows[table->worst].ratio)
            table->worst = index;
        table->judged++;
    }
    if (row->fits) {
        table->mean_alpha += row->alpha;
        table->fits++;
    }
}

sonde_status sonde__survey_table_make(sonde_context *context, const sonde_survey *survey,
                                      sonde__survey_table *table)
{
    sonde__survey_table made = {.context = context, .path = "", .epoch = -1, .complete = true};
    made.count = sonde_survey_count(survey);
    made.rows = sonde__alloc_zero(context, made.count, sizeof *made.rows);
    if (!made.rows)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < made.count; i++) {
        const sonde_status status = sonde_survey_layer(survey, i, &made.rows[i].layer);
        if (status != SONDE_OK) {
            sonde__free(context, made.rows);
            return status;
        }
        judge_row(&made.rows[i]);
        count_row(&made, i);
    }
    made.mean_alpha = made.fits ? made.mean_alpha / (double)made.fits : (double)NAN;
    *table = made;
    return SONDE_OK;
}

void sonde__survey_table_free(sonde__survey_table *table)
{
    if (table->context)
        sonde__free(table->context, table->rows);
    *table = (sonde__survey_table){0};
}

/* ---- order ----------------------------------------------------------------------------------- */

/* What a layer is ranked by: whatever is remarkable first, then the ratio, then the file's order. */
typedef struct ranked {
    size_t index;
    bool remarkable;
    double ratio;
} ranked;

static int by_rank(const void *left, const void *right)
{
    const ranked *a = left, *b = right;
    if (a->remarkable != b->remarkable)
        return a->remarkable ? -1 : 1;
    if (a->ratio != b->ratio)
        return a->ratio > b->ratio ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

sonde_status sonde__survey_ranked(const sonde__survey_table *table, size_t **order, size_t *count)
{
    ranked *list = sonde__alloc(table->context, table->spectra, sizeof *list);
    size_t *numbers = sonde__alloc(table->context, table->spectra, sizeof *numbers);
    size_t n = 0;
    if (!list || !numbers) {
        sonde__free(table->context, list);
        sonde__free(table->context, numbers);
        return SONDE_ERROR_MEMORY;
    }
    for (size_t i = 0; i < table->count; i++) {
        const sonde__survey_row *row = &table->rows[i];
        if (!row->layer.skipped)
            list[n++] = (ranked){i, row->over || row->odd_tail || row->collapsed,
                                 isfinite(row->ratio) ? row->ratio : -1};
    }
    qsort(list, n, sizeof *list, by_rank);
    for (size_t i = 0; i < n; i++)
        numbers[i] = list[i].index;
    sonde__free(table->context, list);
    *order = numbers;
    *count = n;
    return SONDE_OK;
}

/* ---- reasons --------------------------------------------------------------------------------- */

static int by_text(const void *left, const void *right)
{
    const sonde__skip_reason *a = left, *b = right;
    return strcmp(a->reason, b->reason);
}

static int by_count(const void *left, const void *right)
{
    const sonde__skip_reason *a = left, *b = right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return strcmp(a->reason, b->reason);
}

sonde_status sonde__survey_reasons(const sonde__survey_table *table, sonde__skip_reason **reasons,
                                   size_t *count)
{
    sonde__skip_reason *list = sonde__alloc(table->context, table->count, sizeof *list);
    size_t n = 0, kept = 0;
    if (!list)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].layer.skipped)
            list[n++] = (sonde__skip_reason){table->rows[i].layer.skipped, 1};
    qsort(list, n, sizeof *list, by_text);
    for (size_t i = 0; i < n; i++) {
        if (kept && strcmp(list[kept - 1].reason, list[i].reason) == 0)
            list[kept - 1].count++;
        else
            list[kept++] = list[i];
    }
    qsort(list, kept, sizeof *list, by_count);
    *reasons = list;
    *count = kept;
    return SONDE_OK;
}

void sonde__trend_row_fill(const sonde__survey_table *table, sonde__trend_row *row)
{
    const sonde__survey_row *worst = table->judged ? &table->rows[table->worst] : NULL;
    *row = (sonde__trend_row){.path = table->path,
                              .epoch = table->epoch,
                              .complete = table->complete,
                              .spectra = table->spectra,
                              .judged = table->judged,
                              .over = table->over,
                              .fits = table->fits,
                              .false_alarm = table->false_alarm,
                              .mean_alpha = table->mean_alpha,
                              .worst_ratio = worst ? worst->ratio : (double)NAN};
    if (worst)
        snprintf(row->worst_layer, sizeof row->worst_layer, "%s", worst->layer.name);
}

void sonde__shape_text(int dims, const int64_t *shape, const char *separator, char *text,
                       size_t size)
{
    size_t used = 0;
    snprintf(text, size, "%s", dims ? "" : "scalar");
    for (int i = 0; i < dims && i < SONDE_TENSOR_DIMS_MAX && used < size; i++) {
        const int written =
            snprintf(text + used, size - used, "%s%" PRId64, i ? separator : "", shape[i]);
        used += written > 0 ? (size_t)written : 0;
    }
}
