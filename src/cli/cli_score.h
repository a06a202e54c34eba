/* The scores of a list of networks, put together over seeds and ranked, and how they are told. */
#ifndef SONDE_CLI_CLI_SCORE_H
#define SONDE_CLI_CLI_SCORE_H

#include "cli/json_out.h"
#include "cli/paper.h"
#include "run/score_list.h"

/* One network over its seeds. */
typedef struct sonde__score_summary {
    size_t name;  /* in the list */
    size_t seeds; /* that are done, at least 1 */
    double seconds;
    /* The mean over seeds that have a number; invalid where none has. Higher is better. */
    sonde_score mean[SONDE_PROXY_COUNT];
    double spread[SONDE_PROXY_COUNT]; /* standard deviation over seeds; NaN for fewer than two */
    size_t valid[SONDE_PROXY_COUNT];  /* seeds that have a number */
    double rank;                      /* 1 is best, ties their mean; 0: none */
} sonde__score_summary;

typedef struct sonde__score_report {
    const sonde__score_task *task;
    const sonde__arch_names *names;
    const sonde__network_score *rows;
    sonde__score_summary *list; /* of networks with a finished seed, best first */
    size_t count;
    sonde_proxy_kind by;  /* what they are ranked by */
    sonde__proxies shown; /* proxies in tables: those wanted, and vote where there is one */
    double seconds;
    size_t found; /* rows that an earlier run had done */
    bool complete;
} sonde__score_report;

/* cli_score_report.c. `by` NULL: vote where its three proxies are there, else the first one. Freed
 * with sonde__score_report_free. */
sonde_status sonde__score_report_make(const sonde__score_task *task, const sonde__arch_names *names,
                                      const sonde__network_score *rows, const char *by,
                                      sonde__score_report *report);
void sonde__score_report_free(sonde__score_report *report);
/* Whether anything at all has a number. */
bool sonde__score_report_any(const sonde__score_report *report);

/* cli_score_table.c: at most `top` networks; 0: all. */
void sonde__print_scores(const sonde__paper *paper, const sonde__score_report *report, size_t top);

/* cli_score_json.c: the whole object, and the table with a line a network. */
void sonde__json_scores(sonde__json_out *json, const sonde__score_report *report);
void sonde__csv_scores(sonde__text *text, const sonde__score_report *report);

#endif
