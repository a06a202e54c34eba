/* The terminal's side of `sonde tpv`. */
#include "cli/tpv_out.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/verb.h"

enum { CELL = 48, NAME_MOST = 36 };

/* "1.234e-02 +-3%", or why there is none. */
static void estimate_cell(const sonde_estimate *estimate, char *cell)
{
    if (estimate->validity == SONDE_NOT_MEASURED)
        snprintf(cell, CELL, "-");
    else if (estimate->validity != SONDE_VALID)
        snprintf(cell, CELL, "%s",
                 estimate->validity == SONDE_NOT_FINITE ? "not finite" : "not valid");
    else if (estimate->standard_error > 0 && isfinite(estimate->standard_error) &&
             estimate->value > 0)
        snprintf(cell, CELL, "%.3e \302\261%.1f%%", estimate->value,
                 100 * estimate->standard_error / estimate->value);
    else
        snprintf(cell, CELL, "%.3e", estimate->value);
}

static void ratio_cell(double ratio, double error, char *cell)
{
    if (!isfinite(ratio))
        snprintf(cell, CELL, "-");
    else if (isfinite(error) && error > 0)
        snprintf(cell, CELL, "%.3f \302\261%.3f", ratio, error);
    else
        snprintf(cell, CELL, "%.3f", ratio);
}

/* ---- one checkpoint -------------------------------------------------------------------------- */

static void print_trace(const sonde__paper *paper, const sonde__tpv_results *results,
                        const sonde__tpv_result *result)
{
    const sonde__tpv_report *report = &result->report;
    char train[CELL], test[CELL], ratio[CELL], parameters[32], line[640];
    sonde__words_grouped((int64_t)report->parameters, parameters, sizeof parameters);
    estimate_cell(&report->train, train);
    estimate_cell(&report->test, test);
    ratio_cell(report->ratio, report->ratio_error, ratio);
    fprintf(paper->to, "%-*s", SONDE__INDENT, "Trace");
    if (report->test.validity == SONDE_NOT_MEASURED)
        snprintf(line, sizeof line, "%s on training inputs.", train);
    else
        snprintf(line, sizeof line, "%s on training inputs, %s on test inputs; ratio %s.", train,
                 test, ratio);
    sonde__paper_wrapped(paper, line, SONDE__INDENT);
    if (report->draws == 0)
        snprintf(line, sizeof line,
                 "Mean squared norm of the Jacobian of %d outputs by %s weights, exact for each "
                 "input.",
                 report->outputs, parameters);
    else
        snprintf(line, sizeof line,
                 "Mean squared norm of the Jacobian of %d outputs by %s weights, from %d draws of "
                 "random signs an input (seed %" PRIu64 ").",
                 report->outputs, parameters, report->draws, results->seed);
    fprintf(paper->to, "%*s", SONDE__INDENT, "");
    sonde__paper_wrapped(paper, line, SONDE__INDENT);
    if (result->complete)
        return;
    snprintf(line, sizeof line, "Ended after %zu training and %zu test inputs of the trace.",
             report->train.count, report->test.count);
    fprintf(paper->to, "%*s", SONDE__INDENT, "");
    sonde__paper_wrapped(paper, line, SONDE__INDENT);
}

static void print_row(const sonde__paper *paper, const sonde__tpv_results *results,
                      const sonde__tpv_row *row, int name_wide)
{
    char name[128], train[CELL], test[CELL], ratio[CELL], order[CELL] = "";
    sonde__paper_shorten(results->plans[row->plan].name, name_wide, name, sizeof name);
    estimate_cell(&row->train, train);
    estimate_cell(&row->test, test);
    ratio_cell(row->ratio, row->ratio_error, ratio);
    if (row->first_order.validity == SONDE_VALID)
        snprintf(order, sizeof order, "%.3f", row->first_order.value);
    fputs("  ", paper->to);
    sonde__paper_cell(paper, name, name_wide);
    fputs("  ", paper->to);
    sonde__paper_cell(paper, sonde__tpv_form_name(row->form), 17);
    if (row->note) {
        fprintf(paper->to, "  (%s)\n", row->note);
        return;
    }
    fputs("  ", paper->to);
    sonde__paper_cell(paper, train, 16);
    fputs("  ", paper->to);
    sonde__paper_cell(paper, test, 16);
    fputs("  ", paper->to);
    sonde__paper_cell(paper, ratio, *order ? 12 : 0);
    if (*order)
        fprintf(paper->to, "  %5s", order);
    fputc('\n', paper->to);
}

/* Some row tells how far from first order its draw is, and there is room to say so. */
static bool shows_order(const sonde__paper *paper, const sonde__tpv_report *report)
{
    for (int i = 0; i < report->row_count && paper->width >= 90; i++)
        if (report->rows[i].first_order.validity == SONDE_VALID)
            return true;
    return false;
}

static int names_wide(const sonde__tpv_results *results)
{
    int wide = 5;
    for (int i = 0; i < results->plan_count; i++) {
        const int length = (int)strlen(results->plans[i].name);
        wide = length > wide ? length : wide;
    }
    return wide < 20 ? wide : 20;
}

static void print_rows(const sonde__paper *paper, const sonde__tpv_results *results,
                       const sonde__tpv_report *report)
{
    const int wide = names_wide(results);
    if (report->row_count == 0)
        return;
    fprintf(paper->to, "\n  %-*s  %-17s  %-15s  %-15s  %-12s%s\n", wide, "noise", "form",
            "TPV, training", "TPV, test", "ratio", shows_order(paper, report) ? "  order" : "");
    for (int i = 0; i < report->row_count; i++)
        print_row(paper, results, &report->rows[i], wide);
    if (shows_order(paper, report)) {
        char legend[] = "order: error of the first-order picture for the first draw; above 0.2 the "
                        "trace form says little about it.";
        fputc('\n', paper->to);
        sonde__paper_wrapped(paper, legend, 0);
    }
}

static double share_of(const sonde_estimate *part, const sonde_estimate *whole)
{
    const bool known =
        part->validity == SONDE_VALID && whole->validity == SONDE_VALID && whole->value > 0;
    return known ? 100 * part->value / whole->value : (double)NAN;
}

static void share_cell(double share, char *cell)
{
    if (isfinite(share))
        snprintf(cell, CELL, "%.1f%%", share);
    else
        snprintf(cell, CELL, "-");
}

static void print_layers(const sonde__paper *paper, const sonde__tpv_report *report)
{
    int wide = 5;
    for (int i = 0; i < report->layer_count; i++) {
        const int length = (int)strlen(report->layers[i].name);
        wide = length > wide ? length : wide;
    }
    wide = wide < NAME_MOST ? wide : NAME_MOST;
    fprintf(paper->to, "\n  %-*s  %10s  %12s  %9s  %9s\n", wide, "layer", "weights", "trace",
            "training", "test");
    for (int i = 0; i < report->layer_count; i++) {
        const sonde__tpv_layer *layer = &report->layers[i];
        char name[160], count[32], train[CELL], test[CELL];
        sonde__paper_shorten(layer->name, wide, name, sizeof name);
        sonde__words_grouped((int64_t)layer->parameters, count, sizeof count);
        share_cell(share_of(&layer->train, &report->train), train);
        share_cell(share_of(&layer->test, &report->test), test);
        fputs("  ", paper->to);
        sonde__paper_cell(paper, name, wide);
        fprintf(paper->to, "  %10s  %12.3e  %9s  %9s\n", count, layer->train.value, train, test);
    }
}

static void print_one(const sonde__paper *paper, const sonde__tpv_results *results)
{
    const sonde__tpv_result *result = &results->list[0];
    print_trace(paper, results, result);
    print_rows(paper, results, &result->report);
    if (result->report.train.validity == SONDE_VALID)
        print_layers(paper, &result->report);
}

/* ---- several --------------------------------------------------------------------------------- */

static void print_epoch(const sonde__paper *paper, const sonde__tpv_result *result, int columns)
{
    const sonde__tpv_report *report = &result->report;
    char train[CELL], test[CELL], ratio[CELL];
    estimate_cell(&report->train, train);
    estimate_cell(&report->test, test);
    ratio_cell(report->ratio, report->ratio_error, ratio);
    fprintf(paper->to, "  %6" PRId64 "  ", result->epoch);
    sonde__paper_cell(paper, train, 16);
    fputs("  ", paper->to);
    sonde__paper_cell(paper, test, 16);
    fputs("  ", paper->to);
    sonde__paper_cell(paper, ratio, columns > 0 ? 12 : 0);
    for (int i = 0; i < report->row_count && i < columns; i++) {
        const sonde__tpv_row *row = &report->rows[i];
        fputs("  ", paper->to);
        if (row->train.validity == SONDE_VALID)
            fprintf(paper->to, "%10.3e", row->train.value);
        else
            fprintf(paper->to, "%10s", "-");
    }
    fprintf(paper->to, "%s\n", result->complete ? "" : "  (interrupted)");
}

static void print_several(const sonde__paper *paper, const sonde__tpv_results *results)
{
    const sonde__tpv_report *first = &results->list[0].report;
    const int room = (paper->width - 58) / 12;
    const int columns = first->row_count < room ? first->row_count : room > 0 ? room : 0;
    char legend[] = "Behind the ratio: TPV on training inputs, in the order of --noise (--json has "
                    "all of them, test inputs and layers too).";
    fprintf(paper->to, "  %6s  %-16s  %-16s  %-12s", "epoch", "trace, training", "trace, test",
            "ratio");
    for (int i = 0; i < columns; i++) {
        char name[32];
        sonde__paper_shorten(results->plans[first->rows[i].plan].name, 10, name, sizeof name);
        fprintf(paper->to, "  %10s", name);
    }
    fputc('\n', paper->to);
    for (size_t i = 0; i < results->count; i++)
        print_epoch(paper, &results->list[i], columns);
    fputc('\n', paper->to);
    sonde__paper_wrapped(paper, legend, 0);
}

/* ---- all ------------------------------------------------------------------------------------- */

void sonde__print_tpv(const sonde__paper *paper, const sonde__tpv_results *results)
{
    char line[2048], inputs[64] = "", epoch[48] = "";
    if (results->count == 0)
        return;
    if (results->test_inputs > 0)
        snprintf(inputs, sizeof inputs, " and %zu test", results->test_inputs);
    if (results->count == 1 && results->list[0].epoch >= 0)
        snprintf(epoch, sizeof epoch, ", epoch %" PRId64, results->list[0].epoch);
    snprintf(line, sizeof line, "%s%s%s%s on %s, %zu training%s inputs", results->model,
             results->subject ? " of " : "", results->subject ? results->subject : "", epoch,
             results->data, results->train_inputs, inputs);
    sonde__paper_wrapped(paper, line, 0);
    fputc('\n', paper->to);
    if (results->count == 1)
        print_one(paper, results);
    else
        print_several(paper, results);
}
