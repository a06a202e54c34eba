/*
 * One epoch of `cnn` on Fashion-MNIST as the trainer runs it (shuffling, loading, per-example losses,
 * gradient norms), against the same number of steps alone on one batch; and what the spectral checks
 * of all layers add. One JSON line; least times of a few rounds, taken in turns.
 *
 *     bench_epoch [threads] [rounds] [examples]        default: 2 threads, 2 rounds, all
 *
 * The files are read from SONDE_DATA/fashion-mnist. The peer is peer_epoch.py.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/resource.h>

#include "base/thread.h"
#include "run/session.h"

typedef struct figures {
    double epoch, steps, spectrum, spectrum_first; /* seconds */
    double loss;
} figures;

static double peak_rss_mb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

static sonde_status open_session(sonde_context *context, int threads, int examples,
                                 sonde__session *session)
{
    sonde__config config;
    const char *data = getenv("SONDE_DATA");
    sonde__config_init(&config);
    snprintf(config.data, sizeof(config.data), "fashion-mnist");
    snprintf(config.data_dir, sizeof(config.data_dir), "%s/fashion-mnist", data ? data : ".");
    snprintf(config.model, sizeof(config.model), "cnn");
    config.epochs = 100;
    config.threads = threads;
    config.train_size = examples;
    SONDE_TRY(sonde__session_open(context, &config, NULL, session));
    session->row.learning_rate = 0.02;
    return SONDE_OK;
}

static sonde_status take_step(sonde__session *session, const float *x, const int32_t *labels)
{
    const float *logits;
    size_t count;
    int n = (int)session->config.batch;
    SONDE_TRY(
        sonde__net_forward(session->net, SONDE__TRAIN, x, n, (uint64_t)session->step++, &logits));
    sonde__session_loss(session, logits, labels, (size_t)n, session->losses, session->gradient);
    SONDE_TRY(sonde__net_backward(session->net, session->gradient));
    const float *gradients = sonde__net_gradients(session->net, &count);
    sonde__optimizer_step(&session->optimizer, sonde__net_weights(session->net, &count), gradients,
                          session->row.learning_rate, 1);
    sonde__net_weights_changed(session->net);
    return SONDE_OK;
}

/* As many steps as the epoch has, all on the first batch. */
static sonde_status time_steps(sonde__session *session, size_t steps, double *seconds)
{
    size_t batch = (size_t)session->config.batch;
    sonde__batcher_fill(&session->train_batcher, session->indexes, batch, -1, session->eval_x,
                        session->eval_labels);
    double begun = sonde__seconds();
    for (size_t i = 0; i < steps; i++)
        SONDE_TRY(take_step(session, session->eval_x, session->eval_labels));
    *seconds = sonde__seconds() - begun;
    return SONDE_OK;
}

static sonde_status time_epoch(sonde__session *session, figures *round)
{
    sonde_decision decision;
    double begun = sonde__seconds();
    session->epoch++;
    SONDE_TRY(sonde__session_train(session));
    round->epoch = sonde__seconds() - begun;
    round->loss = session->row.train_loss;
    begun = sonde__seconds();
    SONDE_TRY(sonde__session_weights(session));
    SONDE_TRY(sonde_steer_end_epoch(session->steer, session->epoch, &decision));
    SONDE_TRY(sonde_steer_wait(session->steer));
    round->spectrum = sonde__seconds() - begun;
    return SONDE_OK;
}

static sonde_status run(sonde__session *session, int rounds, figures *best)
{
    size_t batch = (size_t)session->config.batch;
    size_t steps = sonde__batch_count(session->positions, batch, session->no_single);
    double warm;
    *best = (figures){INFINITY, INFINITY, INFINITY, 0, 0};
    SONDE_TRY(time_steps(session, 3, &warm));
    for (int i = 0; i < rounds; i++) {
        figures round;
        SONDE_TRY(time_epoch(session, &round));
        SONDE_TRY(time_steps(session, steps, &round.steps));
        best->epoch = fmin(best->epoch, round.epoch);
        best->steps = fmin(best->steps, round.steps);
        best->spectrum_first = i == 0 ? round.spectrum : best->spectrum_first;
        best->spectrum = fmin(best->spectrum, round.spectrum);
        best->loss = i == 0 ? round.loss : best->loss;
    }
    return SONDE_OK;
}

int main(int count, char **arguments)
{
    int threads = count > 1 ? atoi(arguments[1]) : 2;
    int rounds = count > 2 ? atoi(arguments[2]) : 2;
    int examples = count > 3 ? atoi(arguments[3]) : 0;
    sonde_context *context = NULL;
    sonde__session session;
    figures best;
    if (sonde_context_create(NULL, &context) != SONDE_OK)
        return 1;
    sonde_status status = open_session(context, threads, examples, &session);
    double loaded = peak_rss_mb();
    if (status == SONDE_OK) {
        status = run(&session, rounds < 1 ? 1 : rounds, &best);
        if (status == SONDE_OK)
            printf("{\"bench\": \"epoch\", \"net\": \"cnn\", \"threads\": %d, \"seconds\": %.3f, "
                   "\"steps_alone_seconds\": %.3f, \"overhead\": %.4f, \"images_per_s\": %.0f, "
                   "\"spectrum_seconds\": %.4f, \"spectrum_first_seconds\": %.4f, "
                   "\"spectrum_share\": %.4f, \"loss\": %.4f, \"rss_loaded_mb\": %.1f, "
                   "\"peak_rss_mb\": %.1f}\n",
                   threads, best.epoch, best.steps, best.epoch / best.steps - 1,
                   (double)session.positions / best.epoch, best.spectrum, best.spectrum_first,
                   best.spectrum / best.epoch, best.loss, loaded, peak_rss_mb());
        sonde__session_close(&session);
    }
    if (status != SONDE_OK)
        fprintf(stderr, "bench_epoch: %s\n", sonde_context_error(context)->message);
    sonde_context_free(context);
    return status == SONDE_OK ? 0 : 1;
}
