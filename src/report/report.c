/* The report's page: head, cards, warnings, figures, tables; see report.h. */
#include "report/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "report/figures.h"
#include "report/page.h"
#include "report/style.h"
#include "report/words.h"

static void page_facts(sonde__text *text, const sonde__record *record)
{
    const sonde__run_summary *run = &record->summary;
    char value[96], other[48];
    sonde__page_element(text, "<header><p class=\"eyebrow\">Sonde run report</p><h1>",
                        sonde__page_name(run->folder), "</h1>\n<ul class=\"facts\">");
    sonde__page_fact(text, "data", run->config.data);
    sonde__page_fact(text, "model", run->config.model);
    sonde__words_grouped(run->parameters, value, sizeof value);
    sonde__page_fact(text, "parameters", value);
    sonde__words_grouped(run->train_examples, value, sizeof value);
    sonde__page_fact(text, "training examples", value);
    if (run->test_examples > 0) {
        sonde__words_grouped(run->test_examples, other, sizeof other);
        sonde__page_fact(text, "test examples", other);
    }
    snprintf(value, sizeof value, "%" PRId64 " of %" PRId64, run->epochs_run, run->config.epochs);
    sonde__page_fact(text, "epochs", value);
    sonde__words_duration(run->seconds, value, sizeof value);
    sonde__page_fact(text, "time", value);
    sonde__page_fact(text, "status", run->status);
    sonde__text_add(text, "</ul></header>\n");
}

static void page_decisions(sonde__text *text, const sonde__record *record)
{
    sonde__words words;
    char line[SONDE__WORDS_LINE];
    sonde__text_add(text, "<div class=\"cards\">\n");
    sonde__words_keep(record, &words);
    sonde__page_card(text, &words,
                     record->summary.decision.keep.epoch >= 0 ? "kept.safetensors" : NULL);
    sonde__words_stop(record, &words);
    sonde__page_card(text, &words, NULL);
    sonde__words_skip(record, &words);
    sonde__page_card(text, &words, NULL);
    sonde__text_add(text, "</div>\n");
    sonde__words_test(record, line, sizeof line);
    sonde__page_element(text, "<p class=\"note-box\">", line, "</p>\n");
}

static void page_figures(sonde__text *text, const sonde__record *record)
{
    if (record->epoch_count == 0)
        return;
    sonde__text_add(text, "<h2>The run</h2>\n<div class=\"figures\">\n");
    sonde__figures_epochs(text, record);
    sonde__figures_eigenvalues(text, record);
    sonde__text_add(text, "</div>\n");
    sonde__figure_time(text, record);
}

static void page_tables(sonde__text *text, const sonde__record *record)
{
    sonde__text_add(text, "<h2>Numbers</h2>\n");
    if (record->layer_count) {
        sonde__text_add(text, "<details><summary>Layers <span>as last observed</span></summary>\n");
        sonde__report_table_layers(text, record);
        sonde__text_add(text, "</details>\n");
    }
    if (record->epoch_count) {
        sonde__text_add(text, "<details><summary>Epochs <span>one row each</span></summary>\n");
        sonde__report_table_epochs(text, record);
        sonde__text_add(text, "</details>\n");
    }
    sonde__text_add(text, "<details><summary>Configuration <span>bold where it is not the "
                          "default</span></summary>\n");
    sonde__report_table_config(text, &record->summary.config);
    sonde__text_add(text, "</details>\n");
}

void sonde__report_render(sonde__text *text, const sonde__record *record)
{
    sonde__warnings warnings;
    sonde__page_open(text, sonde__page_name(record->summary.folder));
    page_facts(text, record);
    page_decisions(text, record);
    sonde__words_warnings(record, &warnings);
    sonde__page_warnings(text, &warnings);
    page_figures(text, record);
    page_tables(text, record);
    sonde__page_close(text, record->summary.folder);
}

sonde_status sonde__report_write(sonde_context *context, sonde__store *store, const char *path)
{
    sonde_status status = SONDE_OK;
    sonde__record record = {0};
    sonde__text text;
    sonde__text_init(&text, context);
    SONDE_TRY_CLEAN(sonde__record_load(store, &record));
    sonde__report_render(&text, &record);
    SONDE_TRY_CLEAN(sonde__text_status(&text));
    SONDE_TRY_CLEAN(sonde__replace_file(context, path, text.bytes, text.length));
cleanup:
    sonde__text_free(&text);
    sonde__record_free(&record);
    return status;
}
