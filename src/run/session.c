/*
 * Opening and closing a session: everything a run needs, from its configuration alone, so that a
 * resumed run is built by the same lines as a new one.
 */
#include "run/session.h"

#include <math.h>
#include <string.h>

#include "net/loss.h"
#include "run/parts.h"
#include "run/plan.h"

static sonde_status load_data(sonde__session *session)
{
    const sonde__config *config = &session->config;
    sonde__session_show(session, 0, "loading data");
    SONDE_TRY(sonde__parts_data(session->context, config, &session->train, &session->test));
    sonde__batcher_init(&session->train_batcher, session->train, (uint64_t)config->seed);
    if (session->test)
        sonde__batcher_init(&session->test_batcher, session->test, (uint64_t)config->seed);
    return SONDE_OK;
}

static sonde_status build_net(sonde__session *session)
{
    const sonde__config *config = &session->config;
    sonde__graph *graph = NULL;
    SONDE_TRY(sonde__parts_graph(session->context, config, session->train, &graph));
    sonde__net_options options = {
        .threads = (int)config->threads,
        .max_batch = (int)session->largest,
        .seed = (uint64_t)config->seed,
        .winograd = true,
    };
    SONDE_TRY(sonde__net_create(session->context, graph, &options, &session->net));
    SONDE_TRY(sonde__plan_mask_at(session->context, config->pruned, session->net, &session->mask));
    SONDE_TRY(sonde__parts_check_rows(session->context, config->model, session->net,
                                      session->train->rows));
    session->no_single = sonde__net_has_batch_norm(session->net);
    if (session->no_single && config->batch < 2)
        return sonde__fail_at(session->context, SONDE_ERROR_ARGUMENT, NULL, "batch", -1,
                              "--batch 1 cannot train %s: its batch normalisation needs 2 examples",
                              config->model);
    return SONDE_OK;
}

static sonde_status make_optimizer(sonde__session *session)
{
    const sonde__config *config = &session->config;
    sonde__optimizer_options options = {
        .kind = session->choices.optimizer,
        .momentum = config->momentum,
        .nesterov = config->nesterov,
        .beta1 = config->beta1,
        .beta2 = config->beta2,
        .epsilon = 1e-8,
        .weight_decay = config->weight_decay,
    };
    size_t count;
    sonde__net_weights(session->net, &count);
    session->schedule = (sonde__schedule){
        .kind = session->choices.schedule,
        .rate = session->choices.learning_rate,
        .final = config->lr_final,
        .gamma = config->gamma,
        .epochs = config->epochs,
        .warm_up = config->warm_up,
        .milestones = session->choices.milestones,
        .milestone_count = session->choices.milestone_count,
    };
    return sonde__optimizer_init(session->context, &options, count, &session->optimizer);
}

static sonde_status make_steer(sonde__session *session)
{
    const sonde__config *config = &session->config;
    sonde_steer_options options;
    sonde_steer_options_init(&options);
    options.stop.use_published = config->published_threshold;
    options.stop.patience = (int)config->stop_patience;
    options.stop.confirm = (int)config->stop_confirm;
    options.keep.window = session->choices.window;
    options.keep_by = session->choices.keep_by;
    options.probe = session->choices.probes[0];
    options.skip.mode = session->choices.skip_mode;
    options.skip.delta = config->skip ? config->delta : 0;
    options.skip.check_every = (int)config->check_every;
    options.skip.anneal_fraction = config->anneal;
    options.skip.total_epochs = config->epochs;
    options.skip.examples = session->positions;
    options.obey_stop = config->stop;
    return sonde_steer_create(session->context, &options, &session->steer);
}

static sonde_status make_scratch(sonde__session *session)
{
    sonde_context *context = session->context;
    size_t largest = session->largest, rows = (size_t)session->train->rows;
    size_t logits = rows * (size_t)session->train->classes;
    session->order = sonde__alloc(context, session->positions, sizeof(uint32_t));
    session->order_index = sonde__alloc(context, session->positions, sizeof(uint32_t));
    session->losses = sonde__alloc(context, largest, rows * sizeof(float));
    session->gradient = sonde__alloc(context, largest, logits * sizeof(float));
    session->targets = sonde__alloc(context, largest, logits * sizeof(float));
    session->eval_x =
        sonde__alloc(context, largest, session->train_batcher.features * sizeof(float));
    session->eval_labels = sonde__alloc(context, largest, rows * sizeof(int32_t));
    session->eval_indexes = sonde__alloc(context, largest, sizeof(uint32_t));
    session->ids = sonde__alloc(context, largest, sizeof(uint64_t));
    bool whole = session->order && session->order_index && session->losses && session->gradient &&
                 session->targets && session->eval_x && session->eval_labels &&
                 session->eval_indexes && session->ids;
    return whole ? SONDE_OK : SONDE_ERROR_MEMORY;
}

static sonde_status open_parts(sonde__session *session)
{
    const sonde__config *config = &session->config;
    SONDE_TRY(sonde__config_check(session->context, config));
    SONDE_TRY(sonde__choices_read(session->context, config, &session->choices));
    SONDE_TRY(load_data(session));
    size_t batch = (size_t)config->batch, count = session->train->count;
    session->largest = (batch < count ? batch : count) + 1;
    SONDE_TRY(sonde__parts_probes(session->context, config, &session->choices, count,
                                  &session->indexes, &session->positions, session->probes));
    SONDE_TRY(build_net(session));
    SONDE_TRY(make_optimizer(session));
    SONDE_TRY(make_steer(session));
    SONDE_TRY(make_scratch(session));
    if (config->tpv_every > 0)
        SONDE_TRY(sonde__tpv_signal_create(session->context, config, &session->train_batcher,
                                           session->indexes, session->positions, &session->tpv));
    return sonde__loader_create(session->context, &session->train_batcher, session->largest,
                                &session->loader);
}

sonde_status sonde__session_open(sonde_context *context, const sonde__config *config,
                                 const sonde__train_hooks *hooks, sonde__session *session)
{
    memset(session, 0, sizeof(*session));
    session->context = context;
    session->config = *config;
    session->hooks = hooks;
    session->kept_epoch = -1;
    session->head_score = session->test_accuracy = (double)NAN;
    session->decision.stop_epoch = session->decision.keep.epoch = -1;
    session->epoch_begun = -1;
    sonde_status status = open_parts(session);
    if (status != SONDE_OK)
        sonde__session_close(session);
    return status;
}

void sonde__session_close(sonde__session *session)
{
    sonde_context *context = session->context;
    sonde__loader_free(session->loader);
    sonde_steer_free(session->steer);
    sonde__tpv_signal_free(session->tpv);
    sonde__optimizer_free(context, &session->optimizer);
    sonde__net_free(session->net);
    sonde__probes_free(context, session->probes, SONDE__PROBES_MAX);
    sonde__dataset_free(context, session->train);
    sonde__dataset_free(context, session->test);
    sonde__store_close(session->store);
    void *const blocks[] = {session->indexes, session->order,       session->order_index,
                            session->losses,  session->gradient,    session->targets,
                            session->eval_x,  session->eval_labels, session->eval_indexes,
                            session->ids,     session->mask};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
        sonde__free(context, blocks[i]);
    memset(session, 0, sizeof(*session));
}

static void fill_one_hot(float *targets, const int32_t *labels, size_t n, size_t classes)
{
    memset(targets, 0, n * classes * sizeof(float));
    for (size_t i = 0; i < n; i++)
        targets[i * classes + (size_t)labels[i]] = 1;
}

/* Of every row of logits; one a label. */
static double row_losses(sonde__session *session, const float *logits, const int32_t *labels,
                         size_t n, float *losses, float *gradient)
{
    size_t classes = (size_t)session->train->classes;
    if (session->choices.loss == SONDE_HEAD_SOFTMAX)
        return sonde__loss_cross_entropy(logits, labels, n, classes,
                                         session->config.label_smoothing, losses, gradient);
    fill_one_hot(session->targets, labels, n, classes);
    if (session->choices.loss == SONDE_HEAD_SQUARED)
        return sonde__loss_squared(logits, session->targets, n, classes, losses, gradient);
    return sonde__loss_sigmoid(logits, session->targets, n, classes, losses, gradient);
}

/* The loss of an example is the mean over its rows; so the mean over all rows is that over examples. */
double sonde__session_loss(sonde__session *session, const float *logits, const int32_t *labels,
                           size_t n, float *losses, float *gradient)
{
    size_t rows = (size_t)session->train->rows;
    double mean = row_losses(session, logits, labels, n * rows, losses, gradient);
    for (size_t i = 0; losses && rows > 1 && i < n; i++) {
        double sum = 0;
        for (size_t t = 0; t < rows; t++)
            sum += (double)losses[i * rows + t];
        losses[i] = (float)(sum / (double)rows);
    }
    return mean;
}
