/*
 * The plots of the spectra: each layer's distance from the Marchenko-Pastur law in units of its
 * threshold, and the eigenvalues of the layers that matter against the law.
 */
#include "report/figures.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED = 5, SHOWN_LEAST = 4, SHOWN_MOST = 6 };

/* Layers by their newest ratio, largest first; those that cannot be judged at the end. */
typedef struct ranked {
    const sonde__layer_row *newest;
    double ratio;
} ranked;

static int by_ratio(const void *left, const void *right)
{
    const ranked *a = left, *b = right;
    const double x = isfinite(a->ratio) ? a->ratio : -1, y = isfinite(b->ratio) ? b->ratio : -1;
    if (x != y)
        return x > y ? -1 : 1;
    return strcmp(a->newest->layer, b->newest->layer);
}

/* Freed with sonde__free; NULL when there are no layers or no memory (then the text knows). */
static ranked *rank_layers(sonde__text *text, const sonde__record *record, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < record->layer_count; i++)
        *count += sonde__record_first_of_layer(record, i) ? 1u : 0u;
    if (*count == 0)
        return NULL;
    ranked *list = sonde__alloc(text->context, *count, sizeof *list);
    if (!list) {
        text->status = SONDE_ERROR_MEMORY;
        return NULL;
    }
    size_t filled = 0;
    for (size_t i = 0; i < record->layer_count; i++)
        if (sonde__record_first_of_layer(record, i)) {
            const sonde__layer_row *newest = sonde__record_newest(record, record->layers[i].layer);
            list[filled++] = (ranked){newest, sonde__layer_ratio(newest)};
        }
    qsort(list, filled, sizeof *list, by_ratio);
    return list;
}

static size_t layer_series(const sonde__record *record, const char *layer, double *x, double *y)
{
    size_t count = 0;
    for (size_t i = 0; i < record->layer_count; i++)
        if (strcmp(record->layers[i].layer, layer) == 0) {
            x[count] = (double)record->layers[i].epoch;
            y[count++] = sonde__layer_ratio(&record->layers[i]);
        }
    return count;
}

static const char *series_class(size_t index)
{
    static const char *const classes[NAMED] = {"s1", "s2", "s3", "s4", "s5"};
    return index < NAMED ? classes[index] : "faint";
}

static void distance_key(sonde__text *text, const ranked *list, size_t judged)
{
    char label[SONDE_LAYER_NAME_MAX + 48];
    sonde__key_open(text);
    for (size_t i = 0; i < judged && i < NAMED; i++) {
        snprintf(label, sizeof label, "%s, now %.2f", list[i].newest->layer, list[i].ratio);
        sonde__key_entry(text, series_class(i), "line", label);
    }
    if (judged > NAMED) {
        snprintf(label, sizeof label, "%zu others", judged - NAMED);
        sonde__key_entry(text, "faint", "line", label);
    }
    sonde__key_close(text);
}

static void distance_axes(sonde__plot *plot, const sonde__record *record)
{
    sonde__range range = sonde__range_empty(), epochs = sonde__range_empty();
    sonde__range_add(&range, 1);
    for (size_t i = 0; i < record->layer_count; i++) {
        sonde__range_add(&range, sonde__layer_ratio(&record->layers[i]));
        sonde__range_add(&epochs, (double)record->layers[i].epoch);
    }
    sonde__range_add(&epochs, (double)record->epochs[0].epoch);
    sonde__range_add(&epochs, (double)sonde__record_last_epoch(record));
    plot->x = (sonde__axis){
        .low = epochs.low, .high = epochs.high, .whole = true, .label = "epoch", .suffix = ""};
    if (!(epochs.high > epochs.low)) {
        plot->x.low -= 0.5;
        plot->x.high += 0.5;
    }
    plot->y.label = "distance / threshold";
    if (range.high > 50 && range.low > 0)
        sonde__axis_fit_log(&plot->y, &range);
    else
        sonde__axis_fit(&plot->y, &range, true);
}

static void draw_distance(sonde__text *text, const sonde__record *record, const ranked *list,
                          size_t judged)
{
    const sonde_decision *decision = &record->summary.decision;
    sonde__plot plot;
    char description[SONDE_LAYER_NAME_MAX + 160];
    double *x = sonde__alloc(text->context, record->layer_count, sizeof *x);
    double *y = sonde__alloc(text->context, record->layer_count, sizeof *y);
    if (!x || !y) {
        text->status = SONDE_ERROR_MEMORY;
        goto cleanup;
    }
    distance_key(text, list, judged);
    snprintf(description, sizeof description,
             "%zu layers; 1 is the threshold. Largest now: %s at %.3g.", judged,
             list[0].newest->layer, list[0].ratio);
    sonde__plot_open(&plot, text, "distance", "Spectral distance over threshold, by layer",
                     description);
    distance_axes(&plot, record);
    sonde__plot_axes(&plot);
    sonde__plot_level(&plot, 1, "threshold", "limit");
    for (size_t i = judged; i-- > 0;) {
        const size_t count = layer_series(record, list[i].newest->layer, x, y);
        sonde__plot_line(&plot, x, y, count, series_class(i));
        if (i < NAMED)
            sonde__plot_dots(&plot, x, y, count, series_class(i), list[i].newest->layer);
    }
    if (decision->stop_advised) {
        char label[48];
        snprintf(label, sizeof label, "stop advised, %" PRId64, decision->stop_epoch);
        sonde__plot_upright(&plot, (double)decision->stop_epoch, label, "limit");
    }
    sonde__plot_close(&plot);
cleanup:
    sonde__free(text->context, x);
    sonde__free(text->context, y);
}

void sonde__figure_distance(sonde__text *text, const sonde__record *record)
{
    size_t count, judged = 0;
    ranked *list = rank_layers(text, record, &count);
    sonde__figure_open(text, "Spectral distance",
                       "Stop: how far each layer's spectrum has left the Marchenko-Pastur law, in "
                       "units of the layer's threshold. Over 1, it has left it.");
    while (list && judged < count && isfinite(list[judged].ratio))
        judged++;
    if (judged)
        draw_distance(text, record, list, judged);
    else
        sonde__text_add(text, count ? "<p class=\"none\">No layer is large enough, or far enough "
                                      "from square, to be judged.</p>\n"
                                    : "<p class=\"none\">No spectra were observed.</p>\n");
    sonde__figure_close(text);
    sonde__free(text->context, list);
}

/* ---- eigenvalues against the law ------------------------------------------------------------- */

static void figure_eigenvalues(sonde__text *text, const sonde__layer_row *row, size_t index)
{
    char title[SONDE_LAYER_NAME_MAX + 32], subtitle[400], id[32];
    const sonde_spectrum_report *r = &row->report;
    const double ratio = sonde__layer_ratio(row);
    snprintf(title, sizeof title, "Spectrum of %s", row->layer);
    int used =
        snprintf(subtitle, sizeof subtitle, "Epoch %" PRId64 ", %zu x %zu, type %s: ", row->epoch,
                 r->rows, r->cols, sonde_spectrum_type_name(r->type));
    if (isfinite(ratio))
        snprintf(subtitle + used, sizeof subtitle - (size_t)used,
                 "statistic %.3f, threshold %.3f%s.", r->statistic, row->threshold,
                 row->over ? " (over)" : "");
    else
        snprintf(subtitle + used, sizeof subtitle - (size_t)used, "not judged, %s.",
                 sonde_validity_sentence(r->validity));
    sonde__figure_open(text, title, subtitle);
    snprintf(id, sizeof id, "eigen%zu", index);
    sonde__figure_density(text, id, title, subtitle,
                          &(sonde__density){.report = r,
                                            .eigenvalues = row->eigenvalues,
                                            .count = row->eigenvalue_count});
    sonde__figure_close(text);
}

void sonde__figures_eigenvalues(sonde__text *text, const sonde__record *record)
{
    size_t count, shown = 0;
    ranked *list = rank_layers(text, record, &count);
    for (size_t i = 0; list && i < count && shown < SHOWN_MOST; i++) {
        const sonde__layer_row *row = list[i].newest;
        if (!row->eigenvalues || row->eigenvalue_count < 2 || !isfinite(row->eigenvalues[0]) ||
            !isfinite(row->eigenvalues[row->eigenvalue_count - 1]))
            continue;
        const bool judged = isfinite(list[i].ratio);
        if ((shown >= SHOWN_LEAST && !row->over) || (shown && !judged))
            break;
        figure_eigenvalues(text, row, shown++);
    }
    sonde__free(text->context, list);
}
