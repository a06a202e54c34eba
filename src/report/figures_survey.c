/* The plots of a model's spectra: overviews over layers and over checkpoints, and single layers. */
#include "report/survey_page.h"

#include <math.h>
#include <stdio.h>

#include "report/figures.h"

enum { MARKS_MAX = 1200, NAME_SHOWN = 96 };

/* Layers with a spectrum, numbered from 1 in the order of the file. */
static sonde__axis layer_axis(const sonde__survey_table *table)
{
    return (sonde__axis){.low = 0.4,
                         .high = (double)table->spectra + 0.6,
                         .whole = true,
                         .label = "layer, in the order of the file",
                         .suffix = ""};
}

/* Fits the axis; values far apart ask for a logarithmic one. */
static void value_axis(sonde__plot *plot, const sonde__range *range)
{
    if (range->low > 0 && range->high > 30 * range->low && range->high > 20)
        sonde__axis_fit_log(&plot->y, range);
    else
        sonde__axis_fit(&plot->y, range, true);
}

static void draw_ratios(sonde__plot *plot, const sonde__survey_table *table)
{
    char tooltip[NAME_SHOWN + 48];
    size_t number = 0;
    for (size_t i = 0; i < table->count; i++) {
        const sonde__survey_row *row = &table->rows[i];
        number += row->layer.skipped ? 0 : 1;
        if (row->layer.skipped || !isfinite(row->ratio))
            continue;
        snprintf(tooltip, sizeof tooltip, "%.*s: %.2f", NAME_SHOWN, row->layer.name, row->ratio);
        sonde__plot_bar(plot, (double)number - 0.4, (double)number + 0.4, row->ratio,
                        row->over ? "spike" : "bulk", tooltip);
    }
}

/* So many layers that a bar each would be a page of its own: two lines. */
static void draw_ratio_line(sonde__plot *plot, const sonde__survey_table *table)
{
    double *x = sonde__alloc(table->context, table->spectra, sizeof *x);
    double *y = sonde__alloc(table->context, table->spectra, sizeof *y);
    size_t n = 0;
    for (size_t i = 0; x && y && i < table->count; i++)
        if (!table->rows[i].layer.skipped) {
            y[n] = table->rows[i].ratio;
            x[n] = (double)(n + 1);
            n++;
        }
    if (n)
        sonde__plot_line(plot, x, y, n, "s1");
    sonde__free(table->context, x);
    sonde__free(table->context, y);
}

void sonde__figure_ratios(sonde__text *text, const sonde__survey_table *table)
{
    sonde__plot plot;
    sonde__range range = sonde__range_empty();
    char description[160];
    sonde__figure_open(text, "Distance from the random-matrix law",
                       "Each layer's statistic over its threshold. Over 1, training has reshaped "
                       "the bulk of its weights.");
    if (table->judged == 0) {
        sonde__text_add(text, "<p class=\"none\">No layer can be judged.</p>\n");
        sonde__figure_close(text);
        return;
    }
    sonde__range_add(&range, 1.05);
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].ratio > 0)
            sonde__range_add(&range, table->rows[i].ratio);
    sonde__key_open(text);
    sonde__key_entry(text, "bulk", "bar", "under the threshold");
    sonde__key_entry(text, "spike", "bar", "over it");
    sonde__key_close(text);
    snprintf(description, sizeof description, "%zu layers, %zu over the threshold, largest %.3g.",
             table->judged, table->over, table->rows[table->worst].ratio);
    sonde__plot_open(&plot, text, "ratios", "Statistic over threshold by layer", description);
    plot.x = layer_axis(table);
    plot.y = (sonde__axis){.label = "statistic / threshold", .suffix = ""};
    value_axis(&plot, &range);
    sonde__plot_axes(&plot);
    if (table->spectra <= MARKS_MAX)
        draw_ratios(&plot, table);
    else
        draw_ratio_line(&plot, table);
    sonde__plot_level(&plot, 1, "threshold", "limit");
    sonde__plot_close(&plot);
    sonde__figure_close(text);
}

static void draw_exponents(sonde__plot *plot, const sonde__survey_table *table)
{
    char tooltip[NAME_SHOWN + 64];
    size_t number = 0;
    const size_t every = table->spectra / MARKS_MAX + 1;
    for (size_t i = 0; i < table->count; i++) {
        const sonde__survey_row *row = &table->rows[i];
        number += row->layer.skipped ? 0 : 1;
        if (!isfinite(row->alpha) || number % every)
            continue;
        snprintf(tooltip, sizeof tooltip, "%.*s: %.2f%s", NAME_SHOWN, row->layer.name, row->alpha,
                 row->fits ? "" : " (poor fit)");
        sonde__plot_dot(plot, (double)number, fmin(row->alpha, plot->y.high),
                        !row->fits      ? "faint"
                        : row->odd_tail ? "s5"
                                        : "s1",
                        tooltip);
    }
}

void sonde__figure_exponents(sonde__text *text, const sonde__survey_table *table)
{
    sonde__plot plot;
    size_t known = 0;
    double high = 7;
    sonde__figure_open(text, "Power-law exponents",
                       "alpha of each layer's tail. Well-trained layers of large networks were "
                       "seen between 2 and 6; a poor fit says nothing.");
    for (size_t i = 0; i < table->count; i++)
        if (isfinite(table->rows[i].alpha)) {
            known++;
            high = fmax(high, fmin(12, table->rows[i].alpha + 0.5));
        }
    if (known == 0) {
        sonde__text_add(text, "<p class=\"none\">No tail could be fitted.</p>\n");
        sonde__figure_close(text);
        return;
    }
    sonde__key_open(text);
    sonde__key_entry(text, "s1", "dot", "2 to 6");
    sonde__key_entry(text, "s5", "dot", "outside");
    sonde__key_entry(text, "faint", "dot", "poor fit");
    sonde__key_close(text);
    sonde__plot_open(&plot, text, "exponents", "Power-law exponent by layer",
                     "Exponents above 12 are drawn at the upper edge.");
    plot.x = layer_axis(table);
    plot.y = (sonde__axis){.low = 0, .high = high, .label = "alpha", .suffix = ""};
    sonde__plot_axes(&plot);
    sonde__plot_level(&plot, sonde__alpha_low, "2", "window-edge");
    sonde__plot_level(&plot, sonde__alpha_high, "6", "window-edge");
    draw_exponents(&plot, table);
    sonde__plot_close(&plot);
    sonde__figure_close(text);
}

/* ---- a series -------------------------------------------------------------------------------- */

/* What a line over checkpoints shows of one of them. */
typedef double (*row_value)(const sonde__trend_row *row);

static double worst_ratio_of(const sonde__trend_row *row)
{
    return row->worst_ratio;
}

static double mean_alpha_of(const sonde__trend_row *row)
{
    return row->mean_alpha;
}

static void series_plot(sonde__text *text, const sonde__survey_page *page, const char *id,
                        const char *title, const char *label, row_value value)
{
    sonde__plot plot;
    sonde__range range = sonde__range_empty(), epochs = sonde__range_empty();
    double *x = sonde__alloc(text->context, page->row_count, sizeof *x);
    double *y = sonde__alloc(text->context, page->row_count, sizeof *y);
    for (size_t i = 0; x && y && i < page->row_count; i++) {
        x[i] = (double)page->rows[i].epoch;
        y[i] = value(&page->rows[i]);
        sonde__range_add(&epochs, x[i]);
        sonde__range_add(&range, y[i]);
    }
    if (!x || !y) {
        text->status = SONDE_ERROR_MEMORY;
    } else if (sonde__range_is_empty(&range)) {
        sonde__text_add(text, "<p class=\"none\">Not measured.</p>\n");
    } else {
        sonde__plot_open(&plot, text, id, title, label);
        plot.x = (sonde__axis){.whole = true, .label = "epoch of the checkpoint", .suffix = ""};
        sonde__axis_fit(&plot.x, &epochs, false);
        plot.x.whole = true;
        if (value == worst_ratio_of)
            sonde__range_add(&range, 1.05);
        plot.y = (sonde__axis){.label = label, .suffix = ""};
        sonde__axis_fit(&plot.y, &range, true);
        sonde__plot_axes(&plot);
        sonde__plot_line(&plot, x, y, page->row_count, "s1");
        sonde__plot_dots(&plot, x, y, page->row_count, "s1", label);
        if (value == worst_ratio_of)
            sonde__plot_level(&plot, 1, "threshold", "limit");
        if (page->stop && page->stop->stop_advised)
            sonde__plot_upright(&plot, (double)page->stop->stop_epoch, "stop advised", "limit");
        sonde__plot_close(&plot);
    }
    sonde__free(text->context, x);
    sonde__free(text->context, y);
}

void sonde__figures_series(sonde__text *text, const sonde__survey_page *page)
{
    sonde__figure_open(text, "The furthest layer over the series",
                       "The largest statistic over threshold of any layer, a checkpoint each.");
    series_plot(text, page, "series-ratio", "Largest ratio by checkpoint", "largest ratio",
                worst_ratio_of);
    sonde__figure_close(text);
    sonde__figure_open(text, "Mean exponent over the series",
                       "alpha, averaged over the layers whose tail fits a power law.");
    series_plot(text, page, "series-alpha", "Mean alpha by checkpoint", "mean alpha",
                mean_alpha_of);
    sonde__figure_close(text);
}

/* ---- one layer ------------------------------------------------------------------------------- */

static void density_subtitle(const sonde__survey_row *row, char *text, size_t size)
{
    const sonde_spectrum_report *r = &row->layer.report;
    char pooled[48] = "";
    if (row->layer.slices > 1)
        snprintf(pooled, sizeof pooled, ", %zu of them pooled", row->layer.slices);
    if (isfinite(row->ratio))
        snprintf(text, size, "%zu x %zu%s, type %s, %d spike%s: statistic %.3f, threshold %.3f%s.",
                 r->rows, r->cols, pooled, sonde_spectrum_type_name(r->type), r->spikes,
                 r->spikes == 1 ? "" : "s", r->statistic, r->threshold_calibrated,
                 row->over ? " (over)" : "");
    else
        snprintf(text, size, "%zu x %zu%s: not judged, %s.", r->rows, r->cols, pooled,
                 sonde_validity_sentence(r->validity));
}

static void tail_subtitle(const sonde__survey_row *row, char *text, size_t size)
{
    const sonde_spectrum_shape_report *s = &row->layer.shape;
    if (isfinite(row->alpha))
        snprintf(text, size, "Power law from %.3g on: alpha %.2f, %zu eigenvalues, D %.3f (%s).",
                 s->xmin, s->alpha, s->tail, s->ks_distance,
                 !row->fits      ? "a poor fit"
                 : row->odd_tail ? "outside 2 to 6"
                                 : "fits");
    else
        snprintf(text, size, "No power law: %s.", sonde_validity_sentence(s->power_law));
}

void sonde__figures_layer(sonde__text *text, const sonde__survey_row *row, size_t number)
{
    char title[NAME_SHOWN + 32], subtitle[320], id[40];
    const sonde__density density = {.report = &row->layer.report,
                                    .eigenvalues = row->layer.eigenvalues,
                                    .count = row->layer.count,
                                    .detailed = true};
    snprintf(title, sizeof title, "%.*s", NAME_SHOWN, row->layer.name);
    density_subtitle(row, subtitle, sizeof subtitle);
    snprintf(id, sizeof id, "density%zu", number);
    sonde__figure_open(text, title, subtitle);
    sonde__figure_density(text, id, title, subtitle, &density);
    sonde__figure_close(text);
    snprintf(title, sizeof title, "Tail of %.*s", NAME_SHOWN, row->layer.name);
    tail_subtitle(row, subtitle, sizeof subtitle);
    snprintf(id, sizeof id, "tail%zu", number);
    sonde__figure_open(text, title, subtitle);
    sonde__figure_tail(text, id, title, subtitle, &density, &row->layer.shape);
    sonde__figure_close(text);
}
