/*
 * How far outputs move: the reference outputs of w* on both sets of inputs, and after each
 * perturbation the squared distances from them.
 *
 * The standard error of a mean over n inputs and R draws adds two parts: that of the inputs (of the
 * distances averaged over draws) and that of the draws (of the values averaged over inputs). Both
 * sets of inputs see the same draws, so that their ratio is steadier than either value.
 */
#include <math.h>
#include <string.h>

#include "measure/tpv_internal.h"

enum { FIRST_ORDER_INPUTS = 128 };
static const double first_order_step = 1e-2;

static sonde_status open_part(sonde__tpv_moves *moves, int part)
{
    sonde__tpv_work *work = moves->work;
    sonde_context *context = work->context;
    const sonde__tpv_inputs *inputs = work->parts[part];
    if (!inputs)
        return SONDE_OK;
    const size_t row = work->outputs * sizeof(float);
    moves->part[part].reference = sonde__alloc(context, inputs->n, row);
    moves->part[part].now = sonde__alloc(context, inputs->n, row);
    moves->part[part].distances = sonde__alloc(context, inputs->n, sizeof(double));
    moves->part[part].sums = sonde__alloc_zero(context, inputs->n, sizeof(double));
    moves->part[part].values = sonde__alloc(context, moves->most, sizeof(double));
    if (!moves->part[part].reference || !moves->part[part].now || !moves->part[part].distances ||
        !moves->part[part].sums || !moves->part[part].values)
        return SONDE_ERROR_MEMORY;
    return sonde__tpv_outputs(work, inputs, inputs->n, "the outputs", moves->part[part].reference);
}

sonde_status sonde__tpv_moves_open(sonde__tpv_work *work, size_t most,
                                   sonde_tpv_convention convention, sonde__tpv_moves *moves)
{
    *moves = (sonde__tpv_moves){.work = work, .most = most, .convention = convention};
    moves->finite = true;
    moves->first_order =
        (sonde_score){.validity = SONDE_NOT_MEASURED, .direction = SONDE_LOWER_IS_BETTER};
    sonde_status status = open_part(moves, 0);
    if (status == SONDE_OK)
        status = open_part(moves, 1);
    if (status != SONDE_OK)
        sonde__tpv_moves_close(moves);
    return status;
}

void sonde__tpv_moves_close(sonde__tpv_moves *moves)
{
    if (!moves->work)
        return;
    for (int part = 0; part < SONDE__TPV_PARTS; part++) {
        sonde__free(moves->work->context, moves->part[part].reference);
        sonde__free(moves->work->context, moves->part[part].now);
        sonde__free(moves->work->context, moves->part[part].distances);
        sonde__free(moves->work->context, moves->part[part].sums);
        sonde__free(moves->work->context, moves->part[part].values);
    }
    memset(moves, 0, sizeof *moves);
}

/* ---- a draw ---------------------------------------------------------------------------------- */

static sonde_status add_part(sonde__tpv_moves *moves, int part, const char *what)
{
    sonde__tpv_work *work = moves->work;
    const sonde__tpv_inputs *inputs = work->parts[part];
    if (!inputs)
        return SONDE_OK;
    const size_t n = inputs->n, outputs = work->outputs;
    const sonde_matrix now = {moves->part[part].now, SONDE_F32, n, outputs, 0};
    const sonde_matrix reference = {moves->part[part].reference, SONDE_F32, n, outputs, 0};
    sonde_estimate estimate;
    SONDE_TRY(sonde__tpv_outputs(work, inputs, n, what, moves->part[part].now));
    SONDE_TRY(sonde_tpv_empirical(work->context, &now, &reference, moves->convention,
                                  moves->part[part].distances, &estimate));
    moves->finite = moves->finite && estimate.validity == SONDE_VALID;
    moves->part[part].values[moves->draws] = estimate.value;
    for (size_t i = 0; i < n; i++)
        moves->part[part].sums[i] += moves->part[part].distances[i];
    return SONDE_OK;
}

/* d: the change of the outputs; g: their derivative along the same step, by a small part of it. */
static sonde_status differences(sonde__tpv_moves *moves, float *d, float *g, size_t n)
{
    const size_t count = n * moves->work->outputs;
    const float *reference = moves->part[0].reference, *now = moves->part[0].now;
    SONDE_TRY(sonde__tpv_outputs(moves->work, moves->work->parts[0], n, "first order", g));
    for (size_t i = 0; i < count; i++) {
        d[i] = now[i] - reference[i];
        g[i] = (float)(((double)g[i] - (double)reference[i]) / first_order_step);
    }
    return SONDE_OK;
}

/* With the perturbed weights in the network; they are there again afterwards. */
static sonde_status check_first_order(sonde__tpv_moves *moves, sonde__tpv_weights *weights)
{
    sonde__tpv_work *work = moves->work;
    const size_t all = work->parts[0]->n, n = all < FIRST_ORDER_INPUTS ? all : FIRST_ORDER_INPUTS;
    const sonde_matrix empty = {NULL, SONDE_F32, n, work->outputs, 0};
    sonde_matrix change = empty, derivative = empty;
    size_t count;
    const float *now = sonde__net_weights(work->net, &count);
    float *moved = sonde__alloc(work->context, count, sizeof *moved);
    float *d = sonde__alloc(work->context, n, work->outputs * sizeof *d);
    float *g = sonde__alloc(work->context, n, work->outputs * sizeof *g);
    sonde_status status = moved && d && g ? SONDE_OK : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK) {
        memcpy(moved, now, count * sizeof *moved);
        sonde__tpv_weights_toward(weights, moved, first_order_step);
        status = differences(moves, d, g, n);
        sonde__tpv_weights_toward(weights, moved, 1);
    }
    change.data = d;
    derivative.data = g;
    if (status == SONDE_OK)
        status = sonde_tpv_first_order(work->context, &change, &derivative, &moves->first_order);
    sonde__free(work->context, moved);
    sonde__free(work->context, d);
    sonde__free(work->context, g);
    return status;
}

sonde_status sonde__tpv_moves_add(sonde__tpv_moves *moves, sonde__tpv_weights *weights,
                                  const char *what)
{
    SONDE_TRY(add_part(moves, 0, what));
    SONDE_TRY(add_part(moves, 1, what));
    if (moves->draws == 0 && moves->finite)
        SONDE_TRY(check_first_order(moves, weights));
    moves->draws++;
    return SONDE_OK;
}

/* ---- the means ------------------------------------------------------------------------------- */

/* Mean of n values times `scale`, and the squared standard error of that mean. */
static double mean_of(const double *values, size_t n, double scale, double *squared_error)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i] * scale;
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (values[i] * scale - mean) * (values[i] * scale - mean);
    *squared_error = n > 1 ? squares / (double)(n - 1) / (double)n : HUGE_VAL;
    return mean;
}

/* The error over inputs goes to `of_inputs`, that over draws is added to the estimate's. */
static sonde_estimate read_part(const sonde__tpv_moves *moves, int part, double *of_inputs)
{
    const sonde__tpv_inputs *inputs = moves->work->parts[part];
    double of_draws = 0;
    *of_inputs = 0;
    if (!inputs || moves->draws == 0)
        return (sonde_estimate){.validity = SONDE_NOT_MEASURED};
    if (!moves->finite)
        return (sonde_estimate){.validity = SONDE_NOT_FINITE, .count = moves->draws};
    const double mean =
        mean_of(moves->part[part].sums, inputs->n, 1 / (double)moves->draws, of_inputs);
    (void)mean_of(moves->part[part].values, moves->draws, 1, &of_draws);
    return (sonde_estimate){.value = mean,
                            .standard_error = sqrt(*of_inputs + of_draws),
                            .count = moves->draws,
                            .validity = SONDE_VALID};
}

static bool has_ratio(const sonde_estimate *train, const sonde_estimate *test)
{
    return train->validity == SONDE_VALID && test->validity == SONDE_VALID && test->value > 0;
}

void sonde__tpv_ratio(const sonde_estimate *train, const sonde_estimate *test, double *ratio,
                      double *error)
{
    *ratio = *error = (double)NAN;
    if (!has_ratio(train, test))
        return;
    *ratio = train->value / test->value;
    *error =
        *ratio * hypot(train->standard_error / train->value, test->standard_error / test->value);
}

/* Paired draws: only how the two differ from draw to draw counts, and the inputs of each. */
static void paired_ratio(const sonde__tpv_moves *moves, const double of_inputs[SONDE__TPV_PARTS],
                         sonde__tpv_row *row)
{
    const double train = row->train.value, test = row->test.value;
    double squares = 0;
    row->ratio = row->ratio_error = (double)NAN;
    if (!has_ratio(&row->train, &row->test))
        return;
    for (size_t i = 0; i < moves->draws; i++) {
        const double difference =
            moves->part[0].values[i] / train - moves->part[1].values[i] / test;
        squares += difference * difference;
    }
    const double n = (double)moves->draws;
    const double of_draws = moves->draws > 1 ? squares / (n - 1) / n : HUGE_VAL;
    row->ratio = train / test;
    row->ratio_error =
        row->ratio * sqrt(of_draws + of_inputs[0] / (train * train) + of_inputs[1] / (test * test));
}

void sonde__tpv_moves_read(const sonde__tpv_moves *moves, sonde__tpv_row *row)
{
    double of_inputs[SONDE__TPV_PARTS];
    row->train = read_part(moves, 0, &of_inputs[0]);
    row->test = read_part(moves, 1, &of_inputs[1]);
    row->draws = moves->draws;
    row->first_order = moves->first_order;
    paired_ratio(moves, of_inputs, row);
}
