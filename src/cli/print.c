/* The decisions, epochs and layers for people at a terminal or in a log. */
#include "cli/verb.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/paper.h"

enum { ROWS_MAX = 60 };

void sonde__print_decisions(FILE *to, const sonde__record *record)
{
    const sonde__paper paper = sonde__paper_of(to);
    sonde__words words;
    sonde__warnings warnings;
    char line[SONDE__WORDS_LINE], kept[sizeof record->summary.folder + 32];
    sonde__words_keep(record, &words);
    sonde__paper_words(&paper, &words);
    if (record->epoch_count && record->summary.decision.keep.epoch >= 0) {
        snprintf(kept, sizeof kept, "%s/kept.safetensors", record->summary.folder);
        sonde__cli_plain(kept);
        fprintf(to, "%*s%s\n", SONDE__INDENT, "", kept);
    }
    sonde__words_stop(record, &words);
    sonde__paper_words(&paper, &words);
    sonde__words_skip(record, &words);
    sonde__paper_words(&paper, &words);
    sonde__words_test(record, line, sizeof line);
    fprintf(to, "%-*s", SONDE__INDENT, "Test");
    sonde__paper_wrapped(&paper, line, SONDE__INDENT);
    sonde__words_warnings(record, &warnings);
    for (int i = 0; i < warnings.count; i++)
        sonde__paper_warning(&paper, warnings.lines[i]);
}

static void cell(FILE *to, int width, const char *format, double value)
{
    char text[64] = "-";
    if (isfinite(value)) {
        if (strcmp(format, "%.4g") == 0)
            snprintf(text, sizeof text, "%.4g", value);
        else
            snprintf(text, sizeof text, "%.2f", value);
    }
    fprintf(to, "  %*s", width, text);
}

static void epoch_line(FILE *to, const sonde__record *record, const sonde__epoch_row *row,
                       const char *signal, bool tpv)
{
    const bool kept = row->epoch == record->summary.decision.keep.epoch;
    fprintf(to, "%c%5" PRId64, kept ? '*' : ' ', row->epoch);
    cell(to, 9, "%.4g", row->train_loss);
    cell(to, 7, "%.2f", 100 * row->train_accuracy);
    cell(to, 7, "%.2f", 100 * row->test_accuracy);
    cell(to, 9, "%.4g", sonde__record_score(record, signal, row->epoch));
    if (tpv)
        cell(to, 9, "%.4g", sonde__record_score(record, SONDE__TPV_SIGNAL, row->epoch));
    cell(to, 8, "%.2f",
         row->examples > 0 ? 100 * (double)row->active / (double)row->examples : (double)NAN);
    cell(to, 8, "%.4g", row->learning_rate);
    cell(to, 7, "%.2f", row->seconds);
    fputc('\n', to);
}

void sonde__print_epochs(FILE *to, const sonde__record *record)
{
    char signal[64];
    const size_t n = record->epoch_count, every = (n + ROWS_MAX - 1) / ROWS_MAX;
    if (n == 0)
        return;
    sonde__record_keep_signal(record, false, signal, sizeof signal);
    /* A run that is kept by TPV has it as its score; then the head gradient stands there. */
    const bool tpv = sonde__record_has_tpv(record);
    if (strcmp(signal, SONDE__TPV_SIGNAL) == 0)
        snprintf(signal, sizeof signal, "head.head_scaled");
    fprintf(to, "%6s  %9s  %7s  %7s  %9s%s  %8s  %8s  %7s\n", "epoch", "loss", "train%", "test%",
            "head", tpv ? "        tpv" : "", "active%", "rate", "s");
    for (size_t i = 0; i < n; i++)
        if ((i + 1) % every == 0 || i + 1 == n || i == 0 ||
            record->epochs[i].epoch == record->summary.decision.keep.epoch)
            epoch_line(to, record, &record->epochs[i], signal, tpv);
    fprintf(to, "* the kept epoch%s%s\n",
            record->summary.test_examples > 0 ? "; test% is for reporting only" : "",
            every > 1 ? "; not every epoch is shown (the report has all)" : "");
}

void sonde__print_layers(FILE *to, const sonde__record *record)
{
    bool begun = false;
    for (size_t i = 0; i < record->layer_count; i++) {
        if (!sonde__record_first_of_layer(record, i))
            continue;
        const sonde__layer_row *row = sonde__record_newest(record, record->layers[i].layer);
        char shape[64], layer[SONDE_LAYER_NAME_MAX];
        if (!begun)
            fprintf(to, "\n%-24s  %13s  %4s  %6s  %9s  %9s  %5s  %s\n", "layer", "shape", "type",
                    "spikes", "statistic", "threshold", "ratio", "verdict");
        begun = true;
        snprintf(shape, sizeof shape, "%zux%zu", row->report.rows, row->report.cols);
        snprintf(layer, sizeof layer, "%s", row->layer);
        sonde__cli_plain(layer);
        const bool valid = row->report.validity == SONDE_VALID;
        const double none = (double)NAN;
        fprintf(to, "%-24s  %13s  %4s  %6d", layer, shape,
                sonde_spectrum_type_name(row->report.type), row->report.spikes);
        cell(to, 9, "%.4g", valid ? row->report.statistic : none);
        cell(to, 9, "%.4g", valid ? row->threshold : none);
        cell(to, 5, "%.2f", sonde__layer_ratio(row));
        fprintf(to, "  %s\n",
                row->over ? "over"
                : valid   ? "under"
                          : sonde_validity_sentence(row->report.validity));
    }
}
