/* The report's style sheet, and its tables. */
#ifndef SONDE_REPORT_STYLE_H
#define SONDE_REPORT_STYLE_H

#include "report/record.h"
#include "base/text.h"

/* A NULL-terminated list of pieces (a string literal may not be too long). */
extern const char *const sonde__report_style[];

void sonde__report_table_layers(sonde__text *text, const sonde__record *record);
void sonde__report_table_epochs(sonde__text *text, const sonde__record *record);
void sonde__report_table_config(sonde__text *text, const sonde__config *config);

#endif
