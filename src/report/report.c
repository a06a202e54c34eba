/* The report's page: head, cards, warnings, figures, tables; see report.h. */
#include "report/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "report/figures.h"
#include "report/style.h"
#include "report/words.h"

/* Escaped, with a number and its per cent sign kept on one line. */
static void prose(sonde__text *text, const char *content)
{
    char piece[2048];
    const char *sign;
    while ((sign = strstr(content, " %")) != NULL && (size_t)(sign - content) < sizeof piece) {
        snprintf(piece, sizeof piece, "%.*s", (int)(sign - content), content);
        sonde__text_html(text, piece);
        sonde__text_add(text, "&#160;%");
        content = sign + 2;
    }
    sonde__text_html(text, content);
}

static void element(sonde__text *text, const char *open, const char *content, const char *close)
{
    sonde__text_add(text, open);
    prose(text, content);
    sonde__text_add(text, close);
}

/* What people call the run: its folder as they gave it, or the last part of a long path. */
static const char *run_name(const char *folder)
{
    const char *name = folder;
    if (strlen(folder) <= 48)
        return folder;
    for (const char *at = folder; *at; at++)
        if (*at == '/' && at[1] && at[1] != '/')
            name = at + 1;
    return name;
}

static void page_head(sonde__text *text, const sonde__record *record)
{
    sonde__text_add(text,
                    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                    "<meta name=\"generator\" content=\"Sonde ");
    sonde__text_html(text, sonde_version());
    sonde__text_add(text, "\">\n");
    element(text, "<title>", run_name(record->summary.folder),
            " \xC2\xB7 Sonde</title>\n<style>\n");
    for (size_t i = 0; sonde__report_style[i]; i++)
        sonde__text_add(text, sonde__report_style[i]);
    sonde__text_add(text, "</style>\n</head>\n<body>\n<main>\n");
}

static void fact(sonde__text *text, const char *name, const char *value)
{
    element(text, "<li>", name, " <b>");
    element(text, "", value, "</b></li>");
}

/* "12,345": for people. */
static void grouped(int64_t value, char *text, size_t size)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%" PRId64, value);
    const size_t length = strlen(digits);
    size_t used = 0;
    for (size_t i = 0; i < length && used + 2 < size; i++) {
        if (i && (length - i) % 3 == 0 && digits[i - 1] != '-')
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = 0;
}

static void page_facts(sonde__text *text, const sonde__record *record)
{
    const sonde__run_summary *run = &record->summary;
    char value[96], other[48];
    element(text, "<header><p class=\"eyebrow\">Sonde run report</p><h1>", run_name(run->folder),
            "</h1>\n<ul class=\"facts\">");
    fact(text, "data", run->config.data);
    fact(text, "model", run->config.model);
    grouped(run->parameters, value, sizeof value);
    fact(text, "parameters", value);
    grouped(run->train_examples, value, sizeof value);
    fact(text, "training examples", value);
    if (run->test_examples > 0) {
        grouped(run->test_examples, other, sizeof other);
        fact(text, "test examples", other);
    }
    snprintf(value, sizeof value, "%" PRId64 " of %" PRId64, run->epochs_run, run->config.epochs);
    fact(text, "epochs", value);
    sonde__words_duration(run->seconds, value, sizeof value);
    fact(text, "time", value);
    fact(text, "status", run->status);
    sonde__text_add(text, "</ul></header>\n");
}

static const char *badge_open(sonde__tone tone)
{
    switch (tone) {
    case SONDE__TONE_SURE:
        return "<p class=\"badge good\"><span aria-hidden=\"true\">\xE2\x9C\x93 </span>";
    case SONDE__TONE_CARE:
        return "<p class=\"badge care\"><span aria-hidden=\"true\">! </span>";
    case SONDE__TONE_UNSURE:
        return "<p class=\"badge bad\"><span aria-hidden=\"true\">\xC3\x97 </span>";
    default:
        return "<p class=\"badge\">";
    }
}

static void card(sonde__text *text, const sonde__words *words, const char *file)
{
    element(text, "<section class=\"card\"><div><h2 class=\"eyebrow\">", words->topic, "</h2>");
    element(text, "<p class=\"question\">", words->question, "</p></div>\n");
    element(text, "<p class=\"answer\">", words->answer, "</p>\n");
    if (words->sure[0])
        element(text, badge_open(words->tone), words->sure, "</p>\n");
    for (int i = 0; i < words->line_count; i++)
        element(text, "<p class=\"why\">", words->lines[i], "</p>\n");
    if (file)
        element(text, "<p class=\"why\"><code>", file, "</code></p>\n");
    sonde__text_add(text, "</section>\n");
}

static void page_decisions(sonde__text *text, const sonde__record *record)
{
    sonde__words words;
    char line[SONDE__WORDS_LINE];
    sonde__text_add(text, "<div class=\"cards\">\n");
    sonde__words_keep(record, &words);
    card(text, &words, record->summary.decision.keep.epoch >= 0 ? "kept.safetensors" : NULL);
    sonde__words_stop(record, &words);
    card(text, &words, NULL);
    sonde__words_skip(record, &words);
    card(text, &words, NULL);
    sonde__text_add(text, "</div>\n");
    sonde__words_test(record, line, sizeof line);
    element(text, "<p class=\"note-box\">", line, "</p>\n");
}

static void page_warnings(sonde__text *text, const sonde__record *record)
{
    sonde__warnings warnings;
    sonde__words_warnings(record, &warnings);
    if (warnings.count == 0)
        return;
    sonde__text_add(text, "<h2>Warnings</h2>\n<ul class=\"warnings\">\n");
    for (int i = 0; i < warnings.count; i++)
        element(text, "<li>", warnings.lines[i], "</li>\n");
    sonde__text_add(text, "</ul>\n");
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
    page_head(text, record);
    page_facts(text, record);
    page_decisions(text, record);
    page_warnings(text, record);
    page_figures(text, record);
    page_tables(text, record);
    element(text, "<footer>Made by Sonde ", sonde_version(), " from <code>");
    element(text, "", record->summary.folder,
            "</code>. This page needs no network.</footer>\n</main>\n</body>\n</html>\n");
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
