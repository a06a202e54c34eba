/*
 * Eval-mode passes: the test part, and the losses of skipped examples.
 *
 * Every pass uses one batch size, the last batch filled up with repeats whose results are dropped:
 * the network then plans a single batch, and no example's result depends on where it stands.
 */
#include "run/session.h"

#include <math.h>

#include "base/thread.h"

static size_t eval_batch(const sonde__session *session)
{
    return session->largest - 1;
}

size_t sonde__session_right(const float *logits, const int32_t *labels, size_t n, size_t classes)
{
    size_t right = 0;
    for (size_t i = 0; i < n; i++) {
        const float *row = logits + i * classes;
        size_t best = 0;
        for (size_t c = 1; c < classes; c++)
            best = row[c] > row[best] ? c : best;
        right += best == (size_t)labels[i];
    }
    return right;
}

sonde_status sonde__session_evaluate(sonde__session *session, const sonde__batcher *batcher,
                                     const uint32_t *indexes, size_t count, int64_t epoch,
                                     sonde__evaluate_fn each, void *user)
{
    size_t size = eval_batch(session);
    for (size_t begin = 0; begin < count; begin += size) {
        size_t n = count - begin < size ? count - begin : size;
        for (size_t i = 0; i < size; i++) {
            size_t at = begin + (i < n ? i : 0);
            session->eval_indexes[i] = indexes ? indexes[at] : (uint32_t)at;
        }
        const float *logits;
        SONDE_TRY(sonde__session_pause(session));
        sonde__batcher_fill(batcher, session->eval_indexes, size, epoch, session->eval_x,
                            session->eval_labels);
        SONDE_TRY(sonde__net_forward(session->net, SONDE__EVAL, session->eval_x, (int)size,
                                     (uint64_t)session->step, &logits));
        SONDE_TRY(each(user, begin, n, logits, session->eval_labels));
    }
    return SONDE_OK;
}

typedef struct test_sums {
    sonde__session *session;
    double loss;
    size_t right;
} test_sums;

static sonde_status add_test_batch(void *user, size_t begin, size_t n, const float *logits,
                                   const int32_t *labels)
{
    (void)begin;
    test_sums *sums = user;
    size_t classes = (size_t)sums->session->train->classes;
    sums->loss += (double)n * sonde__session_loss(sums->session, logits, labels, n, NULL, NULL);
    sums->right +=
        sonde__session_right(logits, labels, n * (size_t)sums->session->train->rows, classes);
    return SONDE_OK;
}

sonde_status sonde__session_test(sonde__session *session, double *loss, double *accuracy)
{
    *loss = *accuracy = (double)NAN;
    if (!session->test || session->test->count == 0)
        return SONDE_OK;
    test_sums sums = {.session = session};
    size_t count = session->test->count;
    sonde__session_show(session, 0.999, "testing");
    SONDE_TRY(sonde__session_evaluate(session, &session->test_batcher, NULL, count, -1,
                                      add_test_batch, &sums));
    *loss = sums.loss / (double)count;
    *accuracy = (double)sums.right / ((double)count * session->train->rows);
    return SONDE_OK;
}

typedef struct skipped_losses {
    sonde__session *session;
    const uint32_t *positions;
} skipped_losses;

static sonde_status feed_batch(void *user, size_t begin, size_t n, const float *logits,
                               const int32_t *labels)
{
    skipped_losses *skipped = user;
    sonde__session *session = skipped->session;
    sonde__session_loss(session, logits, labels, n, session->losses, NULL);
    for (size_t i = 0; i < n; i++)
        session->ids[i] = skipped->positions[begin + i];
    return sonde_steer_losses(session->steer, session->ids, session->losses, n);
}

sonde_status sonde__session_check_skipped(sonde__session *session)
{
    size_t skipped = session->positions - session->active;
    double begun = sonde__seconds();
    if (session->config.skip && skipped > 0 && sonde_steer_checks(session->steer)) {
        skipped_losses losses = {session, session->order + session->active};
        sonde__session_show(session, 0.999, "checking skipped examples");
        SONDE_TRY(sonde__session_evaluate(session, &session->train_batcher,
                                          session->order_index + session->active, skipped, -1,
                                          feed_batch, &losses));
    }
    session->row.seconds_check = sonde__seconds() - begun;
    return SONDE_OK;
}
