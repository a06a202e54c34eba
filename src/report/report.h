/* The report: one self-contained HTML file with the decisions in words and the plots that show why. */
#ifndef SONDE_REPORT_REPORT_H
#define SONDE_REPORT_REPORT_H

#include "base/text.h"
#include "report/record.h"

sonde_status sonde__report_write(sonde_context *context, sonde__store *store, const char *path);
/* The page itself; a pure function of the record. */
void sonde__report_render(sonde__text *text, const sonde__record *record);

#endif
