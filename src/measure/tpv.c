/*
 * The whole measurement: traces first, in one pass over the inputs, then the empirical forms, noise by
 * noise. An end that is asked for keeps what is done; weights are always put back.
 */
#include "measure/tpv.h"

#include <math.h>
#include <string.h>

#include "measure/tpv_internal.h"

void sonde__tpv_options_init(sonde__tpv_options *options)
{
    *options = (sonde__tpv_options){.draws = -1, .batch = 128, .seed = 1};
}

const char *sonde__tpv_form_name(sonde__tpv_form form)
{
    static const char *const names[] = {"trace", "trace, per tensor", "empirical", "closed form"};
    return names[form];
}

void sonde__tpv_report_free(sonde__tpv_report *report)
{
    if (report->context)
        sonde__free(report->context, report->layers);
    memset(report, 0, sizeof *report);
}

/* ---- cost ------------------------------------------------------------------------------------ */

double sonde__tpv_cost(const sonde__tpv_work *work, const sonde__tpv_plan *plan)
{
    const double step = 1 + SONDE__TPV_BACKWARD_COST, inputs = sonde__tpv_work_inputs(work);
    const double runs = (double)plan->runs;
    if (plan->kind == SONDE__TPV_SGD)
        return (double)plan->steps * (double)plan->batch * step +
               (double)((plan->steps - plan->burn_in) / plan->every + 2) * inputs;
    if (plan->kind == SONDE__TPV_LABEL)
        return runs * (double)plan->epochs * (double)work->parts[0]->n * step + (runs + 1) * inputs;
    return (runs + 1) * inputs;
}

static bool is_empirical(const sonde__tpv_options *options, const sonde__tpv_plan *plan)
{
    return options->empirical || plan->kind == SONDE__TPV_LABEL;
}

static double total_cost(const sonde__tpv_work *work)
{
    const sonde__tpv_options *options = work->options;
    const int draws = sonde__tpv_draws(work);
    const double turns = draws ? (double)draws : (double)work->outputs;
    double total = turns * SONDE__TPV_NORMS_COST * sonde__tpv_work_inputs(work);
    for (int i = 0; i < options->plan_count; i++)
        if (is_empirical(options, &options->plans[i]))
            total += sonde__tpv_cost(work, &options->plans[i]);
    return total;
}

/* ---- forms ----------------------------------------------------------------------------------- */

sonde__tpv_row *sonde__tpv_row_add(sonde__tpv_report *report, int plan, sonde__tpv_form form)
{
    sonde__tpv_row *row = &report->rows[report->row_count++];
    *row = (sonde__tpv_row){.plan = plan, .form = form};
    row->train.validity = row->test.validity = SONDE_NOT_MEASURED;
    row->first_order =
        (sonde_score){.validity = SONDE_NOT_MEASURED, .direction = SONDE_LOWER_IS_BETTER};
    row->ratio = row->ratio_error = (double)NAN;
    return row;
}

static sonde_status run_plan(sonde__tpv_work *work, int index, sonde__tpv_report *report)
{
    const sonde__tpv_plan *plan = &work->options->plans[index];
    if (!is_empirical(work->options, plan))
        return SONDE_OK;
    sonde__tpv_row *row = sonde__tpv_row_add(report, index, SONDE__TPV_EMPIRICAL);
    if (plan->kind == SONDE__TPV_SGD)
        return sonde__tpv_trajectory(work, plan, row);
    if (plan->kind != SONDE__TPV_LABEL)
        return sonde__tpv_drawn(work, plan, row);
    SONDE_TRY(sonde__tpv_label(work, plan, row));
    return sonde__tpv_closed(work, plan, sonde__tpv_row_add(report, index, SONDE__TPV_CLOSED));
}

static sonde_status measure(sonde__tpv_work *work, sonde__tpv_report *report)
{
    work->total = total_cost(work);
    report->draws = sonde__tpv_draws(work);
    report->outputs = (int)work->outputs;
    SONDE_TRY(sonde__tpv_traces(work, report));
    for (int i = 0; i < work->options->plan_count; i++)
        SONDE_TRY(run_plan(work, i, report));
    return SONDE_OK;
}

static sonde_status check(sonde_context *context, const sonde__tpv_inputs *train,
                          const sonde__tpv_inputs *test, const sonde__tpv_options *options)
{
    if (train->n == 0 || (test && test->n == 0))
        return sonde__fail(context, SONDE_ERROR_SHAPE, "TPV: there is no %s input",
                           train->n == 0 ? "training" : "test");
    if (options->batch < 1 || options->draws < -1 || options->plan_count > SONDE__TPV_PLANS_MAX)
        return sonde__fail(context, SONDE_ERROR_RANGE,
                           "TPV: batch %d, draws %d and %d noises; there must be at least 1, 0 and "
                           "at most %d",
                           options->batch, options->draws, options->plan_count,
                           SONDE__TPV_PLANS_MAX);
    return SONDE_OK;
}

sonde_status sonde__measure_tpv(sonde_context *context, sonde__net *net,
                                const sonde__tpv_inputs *train, const sonde__tpv_inputs *test,
                                const sonde__tpv_options *options, sonde__tpv_report *report)
{
    sonde__tpv_work work;
    sonde__tpv_report made = {.context = context};
    made.train.validity = made.test.validity = SONDE_NOT_MEASURED;
    made.ratio = made.ratio_error = (double)NAN;
    SONDE_TRY(check(context, train, test, options));
    SONDE_TRY(sonde__tpv_work_open(context, net, options, &work));
    work.parts[0] = train;
    work.parts[1] = test;
    sonde_status status = measure(&work, &made);
    sonde__tpv_work_close(&work);
    if (status == SONDE_OK || status == SONDE_ERROR_CANCELLED)
        *report = made;
    else
        sonde__tpv_report_free(&made);
    return status;
}
