/* A survey on the terminal, as JSON and as CSV. */
#ifndef SONDE_CLI_SURVEY_OUT_H
#define SONDE_CLI_SURVEY_OUT_H

#include "cli/json_out.h"
#include "cli/paper.h"
#include "report/survey.h"

/* survey_table.c: head, a line a layer (with `all` also those without a spectrum), why others have
 * none, the words, the warnings. */
void sonde__print_survey(const sonde__paper *paper, const sonde__survey_table *table, bool all);

/* survey_json.c: one object of the list "models". */
void sonde__json_survey(sonde__json_out *json, const sonde__survey_table *table);
/* One line with the names of the columns, and one line a layer. */
void sonde__csv_head(sonde__text *text);
void sonde__csv_survey(sonde__text *text, const sonde__survey_table *table);

#endif
