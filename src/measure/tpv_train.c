/*
 * Perturbations that training makes: SGD going on around w*, and fine-tuning on noisy targets.
 *
 * SGD with momentum (v <- m v + g, w <- w - rate v, as PyTorch) on the loss plus
 * proximity * ||w - w*||^2. The network stays in eval mode: batch norm keeps its running statistics,
 * as in the published code. Invariant: the proximity is always to the w* of the start.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "measure/tpv_internal.h"
#include "net/loss.h"

typedef struct trainer {
    sonde__tpv_work *work;
    const sonde__tpv_plan *plan;
    sonde__tpv_weights weights;
    float *velocity;
    uint32_t *order; /* of the training inputs */
    float *targets;  /* training inputs x outputs, or NULL: labels */
    float *dlogits, *batch_targets;
    int32_t *labels;
} trainer;

static sonde_status open_trainer(trainer *t, bool targets)
{
    sonde_context *context = t->work->context;
    const size_t n = t->work->parts[0]->n, batch = (size_t)t->plan->batch;
    const size_t row = t->work->outputs * sizeof(float);
    SONDE_TRY(sonde__tpv_weights_open(context, t->work->net, &t->weights));
    t->velocity = sonde__alloc_zero(context, t->weights.count, sizeof(float));
    t->order = sonde__alloc(context, n, sizeof(uint32_t));
    t->dlogits = sonde__alloc(context, batch, row);
    t->batch_targets = sonde__alloc(context, batch, row);
    t->labels = sonde__alloc(context, batch * t->work->rows, sizeof(int32_t));
    t->targets = targets ? sonde__alloc(context, n, row) : NULL;
    const bool whole = t->velocity && t->order && t->dlogits && t->batch_targets && t->labels &&
                       (t->targets || !targets);
    for (size_t i = 0; whole && i < n; i++)
        t->order[i] = (uint32_t)i;
    return whole ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static void close_trainer(trainer *t)
{
    sonde_context *context = t->work->context;
    void *const blocks[] = {t->velocity,      t->order,  t->dlogits,
                            t->batch_targets, t->labels, t->targets};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        sonde__free(context, blocks[i]);
    sonde__tpv_weights_close(&t->weights);
}

/* ---- a step ---------------------------------------------------------------------------------- */

static void gather(trainer *t, const uint32_t *order, size_t n)
{
    sonde__tpv_work *work = t->work;
    const sonde__tpv_inputs *inputs = work->parts[0];
    const size_t features = work->features, outputs = work->outputs, rows = work->rows;
    const float *targets = t->targets ? t->targets : inputs->targets;
    for (size_t i = 0; i < n; i++) {
        const size_t at = order[i];
        memcpy(work->x + i * features, inputs->x + at * features, features * sizeof(float));
        if (targets)
            memcpy(t->batch_targets + i * outputs, targets + at * outputs, outputs * sizeof(float));
        if (inputs->labels)
            memcpy(t->labels + i * rows, inputs->labels + at * rows, rows * sizeof(int32_t));
    }
}

static void loss_gradient(trainer *t, const float *logits, size_t n)
{
    const size_t outputs = t->work->outputs / t->work->rows;
    n *= t->work->rows;
    const sonde_head_kind loss = t->targets ? SONDE_HEAD_SQUARED : t->work->options->loss;
    if (loss == SONDE_HEAD_SOFTMAX)
        sonde__loss_cross_entropy(logits, t->labels, n, outputs, 0, NULL, t->dlogits);
    else if (loss == SONDE_HEAD_SQUARED)
        sonde__loss_squared(logits, t->batch_targets, n, outputs, NULL, t->dlogits);
    else
        sonde__loss_sigmoid(logits, t->batch_targets, n, outputs, NULL, t->dlogits);
}

static void move_weights(trainer *t)
{
    size_t count;
    float *w = sonde__net_weights(t->work->net, &count);
    const float *g = sonde__net_gradients(t->work->net, &count), *start = t->weights.start;
    const float momentum = (float)t->plan->momentum, rate = (float)t->plan->rate;
    const float pull = (float)(2 * t->plan->proximity);
    for (size_t i = 0; i < count; i++) {
        t->velocity[i] = momentum * t->velocity[i] + (g[i] + pull * (w[i] - start[i]));
        w[i] -= rate * t->velocity[i];
    }
    sonde__net_weights_changed(t->work->net);
}

static sonde_status step(trainer *t, const uint32_t *order, size_t n)
{
    const float *logits;
    gather(t, order, n);
    SONDE_TRY(sonde__net_forward(t->work->net, SONDE__STUDY_EVAL, t->work->x, (int)n, 0, &logits));
    loss_gradient(t, logits, n);
    SONDE_TRY(sonde__net_backward(t->work->net, t->dlogits));
    move_weights(t);
    return sonde__tpv_work_step(t->work, t->plan->name, (double)n * (1 + SONDE__TPV_BACKWARD_COST));
}

/* ---- SGD around w* --------------------------------------------------------------------------- */

static void shuffle(trainer *t, uint64_t pass)
{
    sonde__stream stream =
        sonde__stream_open(t->work->options->seed, SONDE__RANDOM_TPV_ORDER, pass);
    sonde__random_shuffle(&stream, t->order, t->work->parts[0]->n);
}

static bool is_snapshot(const sonde__tpv_plan *plan, int64_t done)
{
    return done >= plan->burn_in && (done - plan->burn_in) % plan->every == 0;
}

static sonde_status walk(trainer *t, sonde__tpv_moves *moves)
{
    const size_t n = t->work->parts[0]->n, batch = (size_t)t->plan->batch;
    size_t at = n;
    uint64_t pass = 0;
    for (int64_t done = 1; done <= t->plan->steps; done++, at += batch) {
        if (at >= n) {
            shuffle(t, pass++);
            at = 0;
        }
        SONDE_TRY(step(t, t->order + at, n - at < batch ? n - at : batch));
        if (is_snapshot(t->plan, done))
            SONDE_TRY(sonde__tpv_moves_add(moves, &t->weights, t->plan->name));
    }
    return SONDE_OK;
}

static bool can_train(const sonde__tpv_work *work)
{
    const sonde__tpv_inputs *train = work->parts[0];
    return work->options->loss == SONDE_HEAD_SOFTMAX ? train->labels != NULL
                                                     : train->targets != NULL;
}

sonde_status sonde__tpv_trajectory(sonde__tpv_work *work, const sonde__tpv_plan *plan,
                                   sonde__tpv_row *row)
{
    trainer t = {.work = work, .plan = plan};
    sonde__tpv_moves moves = {0};
    if (!can_train(work)) {
        row->note = "SGD needs labels";
        return SONDE_OK;
    }
    const size_t most = (size_t)((plan->steps - plan->burn_in) / plan->every + 1);
    sonde_status status = open_trainer(&t, false);
    if (status == SONDE_OK)
        status = sonde__tpv_moves_open(work, most, work->options->convention, &moves);
    if (status == SONDE_OK) {
        status = walk(&t, &moves);
        sonde__tpv_moves_read(&moves, row);
    }
    sonde__tpv_moves_close(&moves);
    close_trainer(&t);
    return status;
}

/* ---- noisy labels ---------------------------------------------------------------------------- */

double sonde__tpv_label_deviation(const sonde__tpv_plan *plan, const float *outputs, size_t count)
{
    double sum = 0;
    if (plan->absolute)
        return plan->deviation;
    for (size_t i = 0; i < count; i++)
        sum += fabs((double)outputs[i]);
    return plan->deviation * sum / (double)count;
}

static void draw_targets(trainer *t, const float *clean, double deviation, int64_t run)
{
    const size_t count = t->work->parts[0]->n * t->work->outputs;
    sonde__stream stream =
        sonde__stream_open(t->work->options->seed, SONDE__RANDOM_TPV_TARGETS, (uint64_t)run);
    for (size_t i = 0; i < count; i++)
        t->targets[i] = (float)((double)clean[i] + deviation * sonde__random_normal(&stream));
}

/* Every run begins at w* and sees the inputs in the same order. */
static sonde_status fine_tune(trainer *t)
{
    const size_t n = t->work->parts[0]->n, batch = (size_t)t->plan->batch;
    sonde__tpv_weights_restore(&t->weights);
    memset(t->velocity, 0, t->weights.count * sizeof(float));
    for (int64_t epoch = 0; epoch < t->plan->epochs; epoch++)
        for (size_t at = 0; at < n; at += batch)
            SONDE_TRY(step(t, t->order + at, n - at < batch ? n - at : batch));
    return SONDE_OK;
}

static sonde_status tune_all(trainer *t, sonde__tpv_moves *moves, sonde__tpv_row *row)
{
    const sonde__tpv_inputs *train = t->work->parts[0];
    const float *own = moves->part[0].reference;
    const float *clean = t->plan->absolute && train->targets ? train->targets : own;
    const double deviation = sonde__tpv_label_deviation(t->plan, own, train->n * t->work->outputs);
    row->variance = deviation * deviation;
    for (int64_t run = 0; run < t->plan->runs; run++) {
        draw_targets(t, clean, deviation, run);
        SONDE_TRY(fine_tune(t));
        SONDE_TRY(sonde__tpv_moves_add(moves, &t->weights, t->plan->name));
    }
    return SONDE_OK;
}

sonde_status sonde__tpv_label(sonde__tpv_work *work, const sonde__tpv_plan *plan,
                              sonde__tpv_row *row)
{
    trainer t = {.work = work, .plan = plan};
    sonde__tpv_moves moves = {0};
    sonde_status status = open_trainer(&t, true);
    if (status == SONDE_OK)
        status = sonde__tpv_moves_open(work, (size_t)plan->runs, SONDE_TPV_SUM_OUTPUTS, &moves);
    if (status == SONDE_OK) {
        status = tune_all(&t, &moves, row);
        sonde__tpv_moves_read(&moves, row);
    }
    sonde__tpv_moves_close(&moves);
    close_trainer(&t);
    return status;
}
