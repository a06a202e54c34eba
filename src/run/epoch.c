/*
 * One epoch of training on the active examples.
 *
 * The order is a shuffle from (seed, epoch) of the positions that the steer calls active, so that an
 * epoch depends on nothing but the state it starts from. Losses go to the steer as the training pass
 * gives them, before the update of their batch.
 */
#include "run/session.h"

#include <math.h>

#include "base/random.h"
#include "base/thread.h"

/* Active positions in front, shuffled; the skipped ones behind, ascending. */
static void draw_order(sonde__session *session)
{
    size_t active = 0, skipped = session->positions;
    for (size_t position = 0; position < session->positions; position++)
        if (!session->config.skip || sonde_steer_active(session->steer, position))
            session->order[active++] = (uint32_t)position;
    for (size_t position = session->positions; position-- > 0;)
        if (session->config.skip && !sonde_steer_active(session->steer, position))
            session->order[--skipped] = (uint32_t)position;
    sonde__stream stream = sonde__stream_open((uint64_t)session->config.seed, SONDE__RANDOM_SHUFFLE,
                                              (uint64_t)session->epoch);
    sonde__random_shuffle(&stream, session->order, active);
    for (size_t i = 0; i < session->positions; i++)
        session->order_index[i] = session->indexes[session->order[i]];
    session->active = active;
}

typedef struct tally {
    double loss, norm; /* sums over examples, over steps */
    size_t examples, right, steps;
} tally;

static sonde_status feed_losses(sonde__session *session, const sonde__batch *batch)
{
    if (!session->config.skip)
        return SONDE_OK;
    for (size_t i = 0; i < batch->count; i++)
        session->ids[i] = session->order[batch->begin + i];
    return sonde_steer_losses(session->steer, session->ids, session->losses, batch->count);
}

static sonde_status diverge(sonde__session *session, const char *what, size_t step)
{
    session->diverged = true;
    return sonde__fail_at(
        session->context, SONDE_ERROR_NUMERIC, sonde__store_folder(session->store), NULL, -1,
        "%s is not finite in epoch %lld, step %zu; the run stands as of epoch %lld: "
        "train anew with a lower --lr (it is %g now), --clip 1 or --warm-up 1",
        what, (long long)session->epoch, step + 1, (long long)session->epoch - 1,
        session->row.learning_rate);
}

static sonde_status take_step(sonde__session *session, const sonde__batch *batch, tally *sums)
{
    const float *logits;
    size_t n = batch->count, count;
    SONDE_TRY(sonde__net_forward(session->net, SONDE__TRAIN, batch->x, (int)n,
                                 (uint64_t)session->step, &logits));
    double loss =
        sonde__session_loss(session, logits, batch->labels, n, session->losses, session->gradient);
    if (!isfinite(loss))
        return diverge(session, "the loss", sums->steps);
    sums->right += sonde__session_right(logits, batch->labels, n * (size_t)session->train->rows,
                                        (size_t)session->train->classes);
    SONDE_TRY(feed_losses(session, batch));
    SONDE_TRY(sonde__net_backward(session->net, session->gradient));
    const float *gradients = sonde__net_gradients(session->net, &count);
    double norm = sonde__gradient_norm(gradients, count);
    if (!isfinite(norm))
        return diverge(session, "the gradient", sums->steps);
    float *weights = sonde__net_weights(session->net, &count);
    sonde__optimizer_step(&session->optimizer, weights, gradients, session->row.learning_rate,
                          sonde__clip_scale(norm, session->config.clip));
    for (size_t i = 0; i < count && session->mask; i++)
        weights[i] *= session->mask[i];
    sonde__net_weights_changed(session->net);
    session->step++;
    sums->steps++;
    sums->examples += n;
    sums->loss += loss * (double)n;
    sums->norm += norm;
    return SONDE_OK;
}

static void summarise(sonde__session *session, const tally *sums, double begun)
{
    sonde__epoch_row *row = &session->row;
    double examples = (double)sums->examples;
    row->seconds_train = sonde__seconds() - begun;
    row->train_loss = examples > 0 ? sums->loss / examples : (double)NAN;
    row->train_accuracy =
        examples > 0 ? (double)sums->right / (examples * session->train->rows) : (double)NAN;
    row->gradient_norm = sums->steps > 0 ? sums->norm / (double)sums->steps : (double)NAN;
    row->images_per_second = row->seconds_train > 0 ? examples / row->seconds_train : 0;
}

sonde_status sonde__session_train(sonde__session *session)
{
    double begun = sonde__seconds();
    tally sums = {0};
    sonde__batch batch;
    draw_order(session);
    session->row.examples = (int64_t)session->positions;
    session->row.active = (int64_t)session->active;
    sonde__epoch_plan plan = {
        .indexes = session->order_index,
        .count = session->active,
        .batch = (size_t)session->config.batch,
        .no_single = session->no_single,
        .epoch = session->config.augment ? session->epoch : -1,
    };
    sonde__loader_start(session->loader, &plan);
    while (sonde__loader_next(session->loader, &batch)) {
        SONDE_TRY(sonde__session_pause(session));
        SONDE_TRY(take_step(session, &batch, &sums));
        summarise(session, &sums, begun);
        double share = (double)(batch.begin + batch.count) / (double)session->active;
        sonde__session_show(session, 0.999 * share, "training");
    }
    summarise(session, &sums, begun);
    return SONDE_OK;
}
