/*
 * Drawn perturbations: quantization as the published code has it, independent uniform noise of one
 * global step on every weight (no rounding to a grid), and isotropic Gaussian noise.
 */
#include <math.h>

#include "measure/tpv_internal.h"

/* The step of a grid of 2^bits values over the range of all weights. */
static double grid_step(sonde__tpv_weights *weights, int bits)
{
    double low, high;
    if (!sonde__tpv_weights_range(weights, -1, &low, &high))
        return (double)NAN; /* which every output then is */
    return (high - low) / (double)((UINT64_C(1) << bits) - 1);
}

static sonde_status draw_all(sonde__tpv_work *work, const sonde__tpv_plan *plan,
                             sonde__tpv_weights *weights, sonde__tpv_moves *moves)
{
    sonde__tpv_draw draw = {.uniform = plan->kind == SONDE__TPV_QUANTIZATION,
                            .seed = work->options->seed};
    draw.size = draw.uniform ? grid_step(weights, plan->bits) : plan->deviation;
    for (int64_t run = 0; run < plan->runs; run++) {
        draw.index = (uint64_t)run;
        sonde__tpv_weights_draw(weights, &draw);
        SONDE_TRY(sonde__tpv_moves_add(moves, weights, plan->name));
    }
    return SONDE_OK;
}

sonde_status sonde__tpv_drawn(sonde__tpv_work *work, const sonde__tpv_plan *plan,
                              sonde__tpv_row *row)
{
    sonde__tpv_weights weights;
    sonde__tpv_moves moves = {0};
    SONDE_TRY(sonde__tpv_weights_open(work->context, work->net, &weights));
    sonde_status status =
        sonde__tpv_moves_open(work, (size_t)plan->runs, SONDE_TPV_SUM_OUTPUTS, &moves);
    if (status == SONDE_OK) {
        status = draw_all(work, plan, &weights, &moves);
        sonde__tpv_moves_read(&moves, row);
    }
    sonde__tpv_moves_close(&moves);
    sonde__tpv_weights_close(&weights);
    return status;
}
