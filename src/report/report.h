/* The report: one self-contained HTML file with the decisions in words and the plots that show why. */
#ifndef SONDE_REPORT_REPORT_H
#define SONDE_REPORT_REPORT_H

#include "run/store.h"

sonde_status sonde__report_write(sonde_context *context, sonde__store *store, const char *path);

#endif
