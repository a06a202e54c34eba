/* The report's tables: layers, epochs, configuration. */
#include "report/style.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void sonde__table_open(sonde__text *text, const char *const *columns)
{
    sonde__text_add(text, "<div class=\"scroll\"><table><thead><tr>");
    for (; *columns; columns++) {
        const bool left = (*columns)[0] == '<';
        sonde__text_add(text, left ? "<th scope=\"col\" class=\"text\">" : "<th scope=\"col\">");
        sonde__text_html(text, *columns + left);
        sonde__text_add(text, "</th>");
    }
    sonde__text_add(text, "</tr></thead><tbody>\n");
}

void sonde__table_close(sonde__text *text)
{
    sonde__text_add(text, "</tbody></table></div>\n");
}

void sonde__table_text(sonde__text *text, const char *class, const char *value)
{
    sonde__text_format(text, class[0] ? "<td class=\"%s\">" : "<td>", class);
    sonde__text_html(text, value);
    sonde__text_add(text, "</td>");
}

void sonde__table_number(sonde__text *text, const char *format, double value)
{
    char buffer[64] = "\xE2\x80\x93";
    if (isfinite(value)) {
        if (strcmp(format, "%.4g") == 0)
            snprintf(buffer, sizeof buffer, "%.4g", value);
        else if (strcmp(format, "%.2f") == 0)
            snprintf(buffer, sizeof buffer, "%.2f", value);
        else
            snprintf(buffer, sizeof buffer, "%.0f", value);
    }
    sonde__table_text(text, "", buffer);
}

static void layer_row(sonde__text *text, const sonde__layer_row *row)
{
    const sonde_spectrum_report *r = &row->report;
    char shape[64];
    const bool judged = r->validity == SONDE_VALID;
    snprintf(shape, sizeof shape, "%zu \xC3\x97 %zu", r->rows, r->cols);
    sonde__text_add(text, row->over ? "<tr class=\"over\">" : "<tr>");
    sonde__table_text(text, "", row->layer);
    sonde__table_text(text, "", shape);
    sonde__table_text(text, "", sonde_spectrum_type_name(r->type));
    sonde__table_number(text, "%.0f", r->spikes);
    sonde__table_number(text, "%.4g", r->distance);
    sonde__table_number(text, "%.4g", judged ? r->statistic : (double)NAN);
    sonde__table_number(text, "%.4g", judged ? row->threshold : (double)NAN);
    sonde__table_number(text, "%.2f", sonde__layer_ratio(row));
    sonde__table_number(text, "%.4g", r->largest);
    sonde__table_number(text, "%.4g", r->stable_rank);
    sonde__table_text(text, "text",
                      row->over ? "over its threshold"
                      : judged  ? "under its threshold"
                                : sonde_validity_sentence(r->validity));
    sonde__text_add(text, "</tr>\n");
}

void sonde__report_table_layers(sonde__text *text, const sonde__record *record)
{
    static const char *const columns[] = {"Layer",       "Shape",    "Type",
                                          "Spikes",      "Distance", "Statistic",
                                          "Threshold",   "Ratio",    "Largest eigenvalue",
                                          "Stable rank", "<Verdict", NULL};
    sonde__table_open(text, columns);
    for (size_t i = 0; i < record->layer_count; i++)
        if (sonde__record_first_of_layer(record, i))
            layer_row(text, sonde__record_newest(record, record->layers[i].layer));
    sonde__table_close(text);
}

static void epoch_row(sonde__text *text, const sonde__record *record, const sonde__epoch_row *row,
                      const sonde__score_row **score)
{
    char signal[64];
    double value = (double)NAN;
    sonde__record_keep_signal(record, false, signal, sizeof signal);
    const sonde__score_row *end = record->scores + record->score_count;
    for (; *score && *score < end && (*score)->epoch <= row->epoch; (*score)++)
        if ((*score)->epoch == row->epoch && strcmp((*score)->signal, signal) == 0 &&
            (*score)->score.validity == SONDE_VALID)
            value = (*score)->score.value;
    sonde__text_add(
        text, row->epoch == record->summary.decision.keep.epoch ? "<tr class=\"chosen\">" : "<tr>");
    sonde__table_number(text, "%.0f", (double)row->epoch);
    sonde__table_number(text, "%.4g", row->train_loss);
    sonde__table_number(text, "%.2f", 100 * row->train_accuracy);
    sonde__table_number(text, "%.2f", 100 * row->test_accuracy);
    sonde__table_number(text, "%.4g", value);
    sonde__table_number(text, "%.2f",
                        row->examples > 0 ? 100 * (double)row->active / (double)row->examples
                                          : (double)NAN);
    sonde__table_number(text, "%.4g", row->learning_rate);
    sonde__table_number(text, "%.4g", row->gradient_norm);
    sonde__table_number(text, "%.2f", row->seconds);
    sonde__table_number(text, "%.0f", row->images_per_second);
    sonde__text_add(text, "</tr>\n");
}

void sonde__report_table_epochs(sonde__text *text, const sonde__record *record)
{
    static const char *const columns[] = {"Epoch",
                                          "Training loss",
                                          "Training %",
                                          "Test % (reporting)",
                                          "Head score",
                                          "Active %",
                                          "Learning rate",
                                          "Gradient norm",
                                          "Seconds",
                                          "Images/s",
                                          NULL};
    const sonde__score_row *score = record->scores;
    sonde__table_open(text, columns);
    for (size_t i = 0; i < record->epoch_count; i++)
        epoch_row(text, record, &record->epochs[i], &score);
    sonde__table_close(text);
}

static void value_of(const sonde__config *config, const sonde__field *field, char *value,
                     size_t size)
{
    const char *at = (const char *)config + field->offset;
    if (field->type == SONDE__FIELD_TEXT) {
        snprintf(value, size, "%s", at);
    } else if (field->type == SONDE__FIELD_INTEGER) {
        int64_t number;
        memcpy(&number, at, sizeof number);
        snprintf(value, size, "%" PRId64, number);
    } else if (field->type == SONDE__FIELD_REAL) {
        double number;
        memcpy(&number, at, sizeof number);
        snprintf(value, size, "%g", number);
    } else {
        bool flag;
        memcpy(&flag, at, sizeof flag);
        snprintf(value, size, "%s", flag ? "yes" : "no");
    }
}

void sonde__report_table_config(sonde__text *text, const sonde__config *config)
{
    sonde__config initial;
    sonde__config_init(&initial);
    sonde__text_add(text, "<div class=\"scroll\"><table><tbody>\n");
    const sonde__field *field;
    for (int i = 0; (field = sonde__config_field(i)) != NULL; i++) {
        char value[SONDE__CONFIG_TEXT_MAX], usual[SONDE__CONFIG_TEXT_MAX];
        if (field->type == SONDE__FIELD_SECTION) {
            sonde__text_add(text, "<tr class=\"section\"><th colspan=\"3\" scope=\"rowgroup\">");
            sonde__text_html(text, field->help);
            sonde__text_add(text, "</th></tr>\n");
            continue;
        }
        value_of(config, field, value, sizeof value);
        value_of(&initial, field, usual, sizeof usual);
        sonde__text_add(text, "<tr><td><code>--");
        sonde__text_html(text, field->name);
        sonde__text_add(text, "</code></td>");
        sonde__table_text(text, strcmp(value, usual) ? "text changed" : "text",
                          value[0] ? value : "\xE2\x80\x93");
        sonde__table_text(text, "text wrap", field->help);
        sonde__text_add(text, "</tr>\n");
    }
    sonde__table_close(text);
}
