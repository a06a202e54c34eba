/* The page of a model's spectra; see survey_page.h. */
#include "report/survey_page.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/path.h"
#include "report/page.h"
#include "report/style.h"
#include "report/words_survey.h"

enum { LAYERS_DRAWN = 24, ROWS_MAX = 4000, ROWS_OPEN = 60 };

static void page_facts(sonde__text *text, const sonde__survey_page *page)
{
    const sonde__survey_table *table = page->table;
    char value[96];
    sonde__page_element(text, "<header><p class=\"eyebrow\">Sonde spectra</p><h1>",
                        sonde__page_name(table->path), "</h1>\n<ul class=\"facts\">");
    sonde__page_fact(text, "format", sonde_model_kind_name(table->info.kind));
    sonde__words_bytes(table->info.file_bytes, value, sizeof value);
    sonde__page_fact(text, "size", value);
    sonde__words_grouped((int64_t)table->info.elements, value, sizeof value);
    sonde__page_fact(text, "numbers", value);
    snprintf(value, sizeof value, "%zu of %zu", table->spectra, table->count);
    sonde__page_fact(text, "layers with a spectrum", value);
    if (page->row_count) {
        snprintf(value, sizeof value, "%zu", page->row_count);
        sonde__page_fact(text, "checkpoints", value);
    }
    sonde__words_duration(table->seconds, value, sizeof value);
    sonde__page_fact(text, "time", value);
    sonde__text_add(text, "</ul></header>\n");
}

static void page_words(sonde__text *text, const sonde__survey_page *page)
{
    sonde__words words;
    sonde__warnings warnings;
    sonde__text_add(text, page->stop ? "<div class=\"cards four\">\n" : "<div class=\"cards\">\n");
    if (page->stop) {
        sonde__words_series_stop(page->stop, page->rows, page->row_count, &words);
        sonde__page_card(text, &words, NULL);
    }
    sonde__words_law(page->table, &words);
    sonde__page_card(text, &words, NULL);
    sonde__words_tails(page->table, &words);
    sonde__page_card(text, &words, NULL);
    sonde__words_rank(page->table, &words);
    sonde__page_card(text, &words, NULL);
    sonde__text_add(text, "</div>\n");
    sonde__words_survey_warnings(page->table, &warnings);
    sonde__page_warnings(text, &warnings);
}

/* ---- the series ------------------------------------------------------------------------------ */

static void series_table(sonde__text *text, const sonde__survey_page *page)
{
    static const char *const columns[] = {"Epoch",      "Layers judged",   "Over",  "Largest ratio",
                                          "Mean alpha", "<Furthest layer", "<File", NULL};
    sonde__text_add(text, "<details open><summary>Checkpoints <span>in order</span></summary>\n");
    sonde__table_open(text, columns);
    for (size_t i = 0; i < page->row_count; i++) {
        const sonde__trend_row *row = &page->rows[i];
        const bool advised =
            page->stop && page->stop->stop_advised && page->stop->stop_epoch == row->epoch;
        sonde__text_add(text, advised ? "<tr class=\"over\">" : "<tr>");
        sonde__table_number(text, "%.0f", (double)row->epoch);
        sonde__table_number(text, "%.0f", (double)row->judged);
        sonde__table_number(text, "%.0f", (double)row->over);
        sonde__table_number(text, "%.4g", row->worst_ratio);
        sonde__table_number(text, "%.4g", row->mean_alpha);
        sonde__table_text(text, "text", row->worst_layer);
        sonde__table_text(text, "text", sonde__page_name(row->path));
        sonde__text_add(text, "</tr>\n");
    }
    sonde__table_close(text);
    sonde__text_add(text, "</details>\n");
}

static void page_series(sonde__text *text, const sonde__survey_page *page)
{
    if (page->row_count == 0)
        return;
    sonde__text_add(text, "<h2>The series</h2>\n<div class=\"figures\">\n");
    sonde__figures_series(text, page);
    sonde__text_add(text, "</div>\n");
    series_table(text, page);
}

/* ---- the layers ------------------------------------------------------------------------------ */

static bool drawable(const sonde__survey_row *row)
{
    const sonde_layer_spectrum *layer = &row->layer;
    return layer->eigenvalues && layer->count >= 2 && isfinite(layer->eigenvalues[0]) &&
           isfinite(layer->eigenvalues[layer->count - 1]) &&
           layer->report.validity != SONDE_NOT_FINITE &&
           layer->report.validity != SONDE_OUT_OF_RANGE;
}

static void page_figures(sonde__text *text, const sonde__survey_table *table, const size_t *order,
                         size_t count)
{
    size_t drawn = 0, most = 0;
    sonde__text_add(text, "<h2>All layers</h2>\n<div class=\"figures\">\n");
    sonde__figure_ratios(text, table);
    sonde__figure_exponents(text, table);
    sonde__text_add(text, "</div>\n");
    for (size_t i = 0; i < count; i++)
        most += drawable(&table->rows[order[i]]);
    if (most == 0)
        return;
    if (most > LAYERS_DRAWN)
        sonde__text_format(text,
                           "<h2>The %d most remarkable layers of %zu</h2>\n<div "
                           "class=\"figures\">\n",
                           LAYERS_DRAWN, most);
    else
        sonde__text_add(text, "<h2>Layer by layer, the most remarkable first</h2>\n"
                              "<div class=\"figures\">\n");
    for (size_t i = 0; i < count && drawn < LAYERS_DRAWN; i++)
        if (drawable(&table->rows[order[i]]))
            sonde__figures_layer(text, &table->rows[order[i]], drawn++);
    sonde__text_add(text, "</div>\n");
}

static const char *verdict_of(const sonde__survey_row *row)
{
    if (row->collapsed)
        return "rank collapse";
    if (row->over)
        return "over its threshold";
    if (row->odd_tail)
        return "alpha outside 2 to 6";
    if (isfinite(row->ratio))
        return "under its threshold";
    return sonde_validity_sentence(row->layer.report.validity);
}

static void layer_row(sonde__text *text, const sonde__survey_row *row)
{
    const sonde_layer_spectrum *layer = &row->layer;
    const sonde_spectrum_report *r = &layer->report;
    const bool judged = isfinite(row->ratio), tail = isfinite(row->alpha);
    const double none = (double)NAN;
    char shape[128];
    sonde__shape_text(layer->dims, layer->dim, " \xC3\x97 ", shape, sizeof shape);
    sonde__text_add(text,
                    row->over || row->odd_tail || row->collapsed ? "<tr class=\"over\">" : "<tr>");
    sonde__table_text(text, "", layer->name);
    sonde__table_text(text, "", shape);
    sonde__table_text(text, "text", sonde_layer_kind_name(layer->kind));
    sonde__table_text(text, "text", sonde_number_name(layer->number));
    sonde__table_number(text, "%.2f", r->aspect);
    sonde__table_text(text, "text", sonde_spectrum_type_name(r->type));
    sonde__table_number(text, "%.0f", row->lawful ? r->spikes : none);
    sonde__table_number(text, "%.4g", judged ? r->statistic : none);
    sonde__table_number(text, "%.4g", judged ? r->threshold_calibrated : none);
    sonde__table_number(text, "%.2f", row->ratio);
    sonde__table_number(text, "%.2f", row->lawful ? layer->shape.edge_margin : none);
    sonde__table_number(text, "%.2f", row->alpha);
    sonde__table_number(text, "%.4g", tail ? layer->shape.ks_distance : none);
    sonde__table_number(text, "%.0f", tail ? (double)layer->shape.tail : none);
    sonde__table_number(text, "%.4g", row->shaped ? layer->shape.stable_rank : none);
    sonde__table_number(text, "%.4g", row->shaped ? layer->shape.effective_rank : none);
    sonde__table_number(text, "%.4g", r->spectral);
    sonde__table_number(text, "%.4g", r->frobenius);
    sonde__table_text(text, "text", verdict_of(row));
    sonde__text_add(text, "</tr>\n");
}

static void layer_table(sonde__text *text, const sonde__survey_table *table)
{
    static const char *const columns[] = {
        "Layer",    "Shape",     "<Kind",       "<Format",        "Aspect",        "<Type",
        "Spikes",   "Statistic", "Threshold",   "Ratio",          "Edge margin",   "Alpha",
        "D",        "Tail",      "Stable rank", "Effective rank", "Spectral norm", "Frobenius norm",
        "<Verdict", NULL};
    size_t shown = 0;
    sonde__text_add(text, table->spectra <= ROWS_OPEN ? "<details open>" : "<details>");
    sonde__text_add(text, "<summary>Layers <span>in the order of the file</span></summary>\n");
    sonde__table_open(text, columns);
    for (size_t i = 0; i < table->count && shown < ROWS_MAX; i++)
        if (!table->rows[i].layer.skipped) {
            layer_row(text, &table->rows[i]);
            shown++;
        }
    sonde__table_close(text);
    if (shown < table->spectra)
        sonde__text_format(text, "<p class=\"none\">%zu more: `sonde spectrum --csv`.</p>\n",
                           table->spectra - shown);
    sonde__text_add(text, "</details>\n");
}

static void reason_table(sonde__text *text, const sonde__survey_table *table)
{
    static const char *const columns[] = {"Why there is no spectrum", "Tensors", NULL};
    sonde__skip_reason *reasons = NULL;
    size_t count = 0;
    if (table->spectra == table->count)
        return;
    if (sonde__survey_reasons(table, &reasons, &count) != SONDE_OK) {
        text->status = SONDE_ERROR_MEMORY;
        return;
    }
    sonde__text_format(text,
                       "<details><summary>%zu without a spectrum <span>and why</span>"
                       "</summary>\n",
                       table->count - table->spectra);
    sonde__table_open(text, columns);
    for (size_t i = 0; i < count && i < ROWS_MAX; i++) {
        sonde__text_add(text, "<tr>");
        sonde__table_text(text, "text wrap", reasons[i].reason);
        sonde__table_number(text, "%.0f", (double)reasons[i].count);
        sonde__text_add(text, "</tr>\n");
    }
    sonde__table_close(text);
    sonde__text_add(text, "</details>\n");
    sonde__free(table->context, reasons);
}

void sonde__survey_page_render(sonde__text *text, const sonde__survey_page *page)
{
    size_t *order = NULL, count = 0;
    if (sonde__survey_ranked(page->table, &order, &count) != SONDE_OK) {
        text->status = SONDE_ERROR_MEMORY;
        return;
    }
    sonde__page_open(text, sonde__page_name(page->table->path));
    page_facts(text, page);
    page_words(text, page);
    page_series(text, page);
    if (count) {
        page_figures(text, page->table, order, count);
        sonde__text_add(text, "<h2>Numbers</h2>\n");
        layer_table(text, page->table);
    }
    reason_table(text, page->table);
    sonde__page_close(text, page->table->path);
    sonde__free(page->table->context, order);
}

sonde_status sonde__survey_page_write(sonde_context *context, const sonde__survey_page *page,
                                      const char *path)
{
    sonde__text text;
    sonde__text_init(&text, context);
    sonde__survey_page_render(&text, page);
    sonde_status status = sonde__text_status(&text);
    if (status == SONDE_OK)
        status = sonde__replace_file(context, path, text.bytes, text.length);
    sonde__text_free(&text);
    return status;
}
