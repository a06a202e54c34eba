/*
 * The page of a model's spectra: one self-contained HTML file with what they say in words, an
 * overview of all layers, the plots of the most remarkable ones, and every number. For a series of
 * checkpoints the trend stands first and the layers are those of the newest one.
 */
#ifndef SONDE_REPORT_SURVEY_PAGE_H
#define SONDE_REPORT_SURVEY_PAGE_H

#include "base/text.h"
#include "report/survey.h"

typedef struct sonde__survey_page {
    const sonde__survey_table *table;
    const sonde__trend_row *rows; /* NULL: one model alone */
    size_t row_count;
    const sonde_decision *stop; /* of the series */
} sonde__survey_page;

sonde_status sonde__survey_page_write(sonde_context *context, const sonde__survey_page *page,
                                      const char *path);
/* The page itself; a pure function of its argument. */
void sonde__survey_page_render(sonde__text *text, const sonde__survey_page *page);

/* figures_survey.c: all layers in the order of the file, and the series. */
void sonde__figure_ratios(sonde__text *text, const sonde__survey_table *table);
void sonde__figure_exponents(sonde__text *text, const sonde__survey_table *table);
void sonde__figures_series(sonde__text *text, const sonde__survey_page *page);
/* Density and tail of one layer, as two figures; `number` makes their ids unique. */
void sonde__figures_layer(sonde__text *text, const sonde__survey_row *row, size_t number);

#endif
