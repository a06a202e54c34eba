/* What `sonde tpv` prints: of one checkpoint everything, of several a line each. */
#ifndef SONDE_CLI_TPV_OUT_H
#define SONDE_CLI_TPV_OUT_H

#include "cli/json_out.h"
#include "cli/paper.h"
#include "measure/tpv.h"

/* One measured checkpoint. */
typedef struct sonde__tpv_result {
    int64_t epoch; /* -1: not of a run */
    bool complete; /* false: ended before all was measured */
    sonde__tpv_report report;
} sonde__tpv_result;

typedef struct sonde__tpv_results {
    const char *subject; /* run or weights file, or NULL */
    const char *model, *data;
    const sonde__tpv_plan *plans;
    int plan_count;
    uint64_t seed;
    size_t train_inputs, test_inputs;
    sonde_tpv_convention convention;
    bool interrupted;
    sonde__tpv_result *list;
    size_t count;
} sonde__tpv_results;

void sonde__print_tpv(const sonde__paper *paper, const sonde__tpv_results *results);
sonde_status sonde__json_tpv(sonde_context *context, FILE *to, const sonde__tpv_results *results);
/* A line a layer and noise of every checkpoint, with a head. */
void sonde__csv_tpv(sonde__text *text, const sonde__tpv_results *results);

/* An estimate as an object: value, standard_error (null where unknown), count, validity. */
void sonde__json_estimate(sonde__json_out *json, const char *name, const sonde_estimate *estimate);
/* A score as an object: value (null where not valid), validity. */
void sonde__json_score(sonde__json_out *json, const char *name, const sonde_score *score);

#endif
