/* The report's style sheet, and its tables. */
#ifndef SONDE_REPORT_STYLE_H
#define SONDE_REPORT_STYLE_H

#include "report/record.h"
#include "base/text.h"

/* A NULL-terminated list of pieces (a string literal may not be too long). */
extern const char *const sonde__report_style[];

/* A table with one heading a column (the list ends with NULL; a leading '<' puts it at the left), and its cells. A cell may have a class;
 * a number's format is "%.4g", "%.2f" or "%.0f", and a dash stands where it is not known. */
void sonde__table_open(sonde__text *text, const char *const *columns);
void sonde__table_close(sonde__text *text);
void sonde__table_text(sonde__text *text, const char *class, const char *value);
void sonde__table_number(sonde__text *text, const char *format, double value);

void sonde__report_table_layers(sonde__text *text, const sonde__record *record);
void sonde__report_table_epochs(sonde__text *text, const sonde__record *record);
void sonde__report_table_config(sonde__text *text, const sonde__config *config);

#endif
