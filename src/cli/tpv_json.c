/* `sonde tpv --json` and --csv; the names are documented in docs/command.md. */
#include <inttypes.h>
#include <math.h>

#include "cli/tpv_out.h"

void sonde__json_score(sonde__json_out *json, const char *name, const sonde_score *score)
{
    sonde__out_open(json, name, '{');
    sonde__out_number(json, "value", score->validity == SONDE_VALID ? score->value : (double)NAN);
    sonde__out_string(json, "validity", sonde_validity_sentence(score->validity));
    sonde__out_close(json, '}');
}

void sonde__json_estimate(sonde__json_out *json, const char *name, const sonde_estimate *estimate)
{
    const bool valid = estimate->validity == SONDE_VALID;
    sonde__out_open(json, name, '{');
    sonde__out_number(json, "value", valid ? estimate->value : (double)NAN);
    sonde__out_number(json, "standard_error", valid ? estimate->standard_error : (double)NAN);
    sonde__out_count(json, "count", estimate->count);
    sonde__out_string(json, "validity", sonde_validity_sentence(estimate->validity));
    sonde__out_close(json, '}');
}

static void add_row(sonde__json_out *json, const sonde__tpv_results *results,
                    const sonde__tpv_row *row)
{
    sonde__out_open(json, NULL, '{');
    sonde__out_string(json, "noise", results->plans[row->plan].name);
    sonde__out_string(json, "form", sonde__tpv_form_name(row->form));
    sonde__json_estimate(json, "train", &row->train);
    sonde__json_estimate(json, "test", &row->test);
    sonde__out_number(json, "ratio", row->ratio);
    sonde__out_number(json, "ratio_error", row->ratio_error);
    sonde__out_number(json, "variance", row->variance > 0 ? row->variance : (double)NAN);
    sonde__out_count(json, "draws", row->draws);
    sonde__json_score(json, "first_order", &row->first_order);
    sonde__out_string(json, "note", row->note);
    sonde__out_close(json, '}');
}

static void add_layer(sonde__json_out *json, const sonde__tpv_layer *layer)
{
    sonde__out_open(json, NULL, '{');
    sonde__out_string(json, "name", layer->name);
    sonde__out_count(json, "weights", layer->parameters);
    sonde__json_estimate(json, "train", &layer->train);
    sonde__json_estimate(json, "test", &layer->test);
    sonde__out_close(json, '}');
}

static void add_result(sonde__json_out *json, const sonde__tpv_results *results,
                       const sonde__tpv_result *result)
{
    const sonde__tpv_report *report = &result->report;
    sonde__out_open(json, NULL, '{');
    sonde__out_whole(json, "epoch", result->epoch);
    sonde__out_flag(json, "complete", result->complete);
    sonde__out_count(json, "weights", report->parameters);
    sonde__out_count(json, "outputs", (uint64_t)report->outputs);
    sonde__out_flag(json, "exact", report->draws == 0);
    sonde__out_count(json, "draws", (uint64_t)report->draws);
    sonde__out_open(json, "trace", '{');
    sonde__json_estimate(json, "train", &report->train);
    sonde__json_estimate(json, "test", &report->test);
    sonde__out_number(json, "ratio", report->ratio);
    sonde__out_number(json, "ratio_error", report->ratio_error);
    sonde__out_close(json, '}');
    sonde__out_open(json, "tpv", '[');
    for (int i = 0; i < report->row_count; i++)
        add_row(json, results, &report->rows[i]);
    sonde__out_close(json, ']');
    sonde__out_open(json, "layers", '[');
    for (int i = 0; i < report->layer_count; i++)
        add_layer(json, &report->layers[i]);
    sonde__out_close(json, ']');
    sonde__out_close(json, '}');
}

sonde_status sonde__json_tpv(sonde_context *context, FILE *to, const sonde__tpv_results *results)
{
    sonde__json_out json;
    sonde__out_begin(&json, context, to);
    sonde__out_open(&json, NULL, '{');
    sonde__out_string(&json, "subject", results->subject);
    sonde__out_string(&json, "model", results->model);
    sonde__out_string(&json, "data", results->data);
    sonde__out_count(&json, "seed", results->seed);
    sonde__out_count(&json, "train_inputs", results->train_inputs);
    sonde__out_count(&json, "test_inputs", results->test_inputs);
    sonde__out_string(&json, "convention",
                      results->convention == SONDE_TPV_SUM_OUTPUTS ? "sum" : "published");
    sonde__out_flag(&json, "interrupted", results->interrupted);
    sonde__out_open(&json, "checkpoints", '[');
    for (size_t i = 0; i < results->count; i++)
        add_result(&json, results, &results->list[i]);
    sonde__out_close(&json, ']');
    sonde__out_close(&json, '}');
    return sonde__out_end(&json);
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static void csv_number(sonde__text *text, double value, bool valid)
{
    sonde__text_add(text, ",");
    if (valid && isfinite(value))
        sonde__text_number(text, value);
}

static void csv_line(sonde__text *text, const sonde__tpv_result *result, const char *what,
                     const char *form, const sonde_estimate *train, const sonde_estimate *test)
{
    const bool trained = train->validity == SONDE_VALID, tested = test->validity == SONDE_VALID;
    if (result->epoch >= 0)
        sonde__text_format(text, "%" PRId64, result->epoch);
    sonde__text_add(text, ",");
    sonde__text_csv(text, what);
    sonde__text_add(text, ",");
    sonde__text_csv(text, form);
    csv_number(text, train->value, trained);
    csv_number(text, train->standard_error, trained);
    csv_number(text, test->value, tested);
    csv_number(text, test->standard_error, tested);
    csv_number(text, tested && test->value > 0 ? train->value / test->value : (double)NAN, trained);
    sonde__text_add(text, "\n");
}

void sonde__csv_tpv(sonde__text *text, const sonde__tpv_results *results)
{
    sonde__text_add(text, "epoch,of,form,train,train_error,test,test_error,ratio\n");
    for (size_t i = 0; i < results->count; i++) {
        const sonde__tpv_result *result = &results->list[i];
        const sonde__tpv_report *report = &result->report;
        csv_line(text, result, "all weights", "jacobian", &report->train, &report->test);
        for (int j = 0; j < report->layer_count; j++)
            csv_line(text, result, report->layers[j].name, "jacobian", &report->layers[j].train,
                     &report->layers[j].test);
        for (int j = 0; j < report->row_count; j++)
            csv_line(text, result, results->plans[report->rows[j].plan].name,
                     sonde__tpv_form_name(report->rows[j].form), &report->rows[j].train,
                     &report->rows[j].test);
    }
}
