/*
 * One training run while it is in memory: data, network, optimiser, steer, store, scratch. Shared by
 * the trainer's files; nothing outside src/run includes it.
 *
 * Training examples are numbered twice: `index` is the place in the data set; `position` is the
 * place among the examples that training may see (held-out ones are taken out), dense from 0, and is
 * the id that the steer knows.
 */
#ifndef SONDE_RUN_SESSION_H
#define SONDE_RUN_SESSION_H

#include "file/dataset.h"
#include "net/net.h"
#include "run/batch.h"
#include "run/choice.h"
#include "run/loader.h"
#include "run/optimizer.h"
#include "run/probe.h"
#include "run/schedule.h"
#include "run/tpv_signal.h"
#include "run/trainer.h"

enum { SONDE__SCORES_MAX = 2 * SONDE__PROBES_MAX * 10 + 2, SONDE__EVENTS_MAX = 16 };

typedef struct sonde__session {
    sonde_context *context;
    sonde__config config;
    sonde__choices choices;
    sonde__schedule schedule;
    const sonde__train_hooks *hooks; /* NULL: none */

    sonde__dataset *train, *test; /* test may be NULL */
    sonde__batcher train_batcher, test_batcher;
    sonde__net *net;
    float *
        mask; /* of the weights: 0 where the plan of a pruned network has none; NULL: no such plan */
    sonde__optimizer optimizer;
    sonde_steer *steer;
    sonde__tpv_signal *tpv; /* NULL: not observed */
    sonde__loader *loader;
    sonde__store *store;
    sonde__probe probes[SONDE__PROBES_MAX];

    uint32_t *indexes; /* of the data set, by position */
    size_t positions;
    uint32_t *order;       /* positions trained on in this epoch, shuffled; then the skipped ones */
    uint32_t *order_index; /* the same as indexes of the data set */
    size_t active;         /* how many of `order` are trained on */
    bool no_single;        /* a batch of one cannot be trained on */

    /* Scratch for one batch. */
    size_t largest; /* examples */
    float *losses, *gradient, *targets, *eval_x;
    int32_t *eval_labels;
    uint32_t *eval_indexes;
    uint64_t *ids;

    /* The running epoch. */
    int64_t epoch, step; /* epoch counts from 1; step counts batches of the whole run from 0 */
    sonde__epoch_row row;
    sonde__score_row scores[SONDE__SCORES_MAX];
    size_t score_count;
    sonde__event_row events[SONDE__EVENTS_MAX];
    size_t event_count;
    sonde_decision decision; /* after the last whole epoch */
    bool diverged;

    /* What the live line needs. */
    double epoch_begun, last_shown, epoch_seconds, head_score, test_accuracy;
    int64_t kept_epoch; /* what kept.safetensors is, -1: nothing yet */
} sonde__session;

/* session.c */
/* Loads the data and builds everything but the store. On failure the session is closed. */
sonde_status sonde__session_open(sonde_context *context, const sonde__config *config,
                                 const sonde__train_hooks *hooks, sonde__session *session);
void sonde__session_close(sonde__session *session);
/* The loss of the configuration for n examples: mean, losses of examples (room for n x rows) and
 * gradient (both may be NULL). */
double sonde__session_loss(sonde__session *session, const float *logits, const int32_t *labels,
                           size_t n, float *losses, float *gradient);

/* progress.c */
/* Tells the hook, at most about 20 times a second unless `share` is 1. */
void sonde__session_show(sonde__session *session, double share, const char *activity);
/* Keeps the event for the store and tells the hook. */
void sonde__session_event(sonde__session *session, const char *format, ...) SONDE_PRINTF(2, 3);
/* SONDE_ERROR_CANCELLED when the user has asked to end. */
sonde_status sonde__session_pause(sonde__session *session);

/* epoch.c */
/* Trains the running epoch on the active examples. A loss that is not finite is
 * SONDE_ERROR_NUMERIC with session->diverged set. */
sonde_status sonde__session_train(sonde__session *session);

/* evaluate.c */
/* How many of n rows have their largest logit at the label. */
size_t sonde__session_right(const float *logits, const int32_t *labels, size_t n, size_t classes);
typedef sonde_status (*sonde__evaluate_fn)(void *user, size_t begin, size_t n, const float *logits,
                                           const int32_t *labels);
/* Eval-mode forwards of examples indexes[0..count) (NULL: 0 .. count-1) in batches of one constant
 * size; `epoch` as in sonde__batcher_fill. */
sonde_status sonde__session_evaluate(sonde__session *session, const sonde__batcher *batcher,
                                     const uint32_t *indexes, size_t count, int64_t epoch,
                                     sonde__evaluate_fn each, void *user);
/* Loss and accuracy on the test part; only ever reported. */
sonde_status sonde__session_test(sonde__session *session, double *loss, double *accuracy);
/* Losses of the skipped examples, for the steer, in epochs that check. */
sonde_status sonde__session_check_skipped(sonde__session *session);

/* observe.c */
/* Every probe batch; `counts`: the steer may keep this epoch (it will have a checkpoint). */
sonde_status sonde__session_probe(sonde__session *session, bool counts);
/* Hands the weights of every linear and convolution layer to the steer. */
sonde_status sonde__session_weights(sonde__session *session);

/* Hands the weights to the TPV worker where TPV is due after this epoch. */
sonde_status sonde__session_tpv_submit(sonde__session *session);
/* Waits for the TPV that was handed out an epoch ago, and gives it to the steer and the store. */
sonde_status sonde__session_tpv_collect(sonde__session *session);

/* checkpoint.c */
/* Whether this epoch gets a checkpoint, by the plan. */
bool sonde__checkpoint_planned(const sonde__session *session, int64_t epoch);
/* RUN/checkpoints/epoch-0001.safetensors; freed with sonde__free. */
char *sonde__checkpoint_path(sonde_context *context, const char *folder, int64_t epoch);
sonde_status sonde__checkpoint_write(sonde__session *session);
/* Weights and buffers of a checkpoint into the network. */
sonde_status sonde__checkpoint_read(sonde__session *session, int64_t epoch);
/* Whether the checkpoint is there and its checksum fits. */
sonde_status sonde__checkpoint_verify(sonde__session *session, int64_t epoch);
/* Makes kept.safetensors the checkpoint of `epoch`, if it is not yet. */
sonde_status sonde__checkpoint_keep(sonde__session *session, int64_t epoch);
/* Drops checkpoints that can no longer be chosen (--thin). */
sonde_status sonde__checkpoint_thin(sonde__session *session);
/* Removes half-written files that a killed process has left in the run's folders. */
void sonde__checkpoint_sweep(sonde__session *session);

/* state.c */
/* Waits for running spectra, as the steer's state holds them. */
sonde_status sonde__state_write(sonde__session *session);
/* The newest whole state of `epoch` or the one before it; sets session->epoch to the one read. */
sonde_status sonde__state_read(sonde__session *session, int64_t epoch);
/* After the commit of the running epoch: keeps its state and the one before. */
void sonde__state_clean(sonde__session *session);

/* fingerprint.c */
/* Keeps what the training data are; the check is SONDE_ERROR_STATE when they are others now. */
sonde_status sonde__fingerprint_write(sonde__session *session);
sonde_status sonde__fingerprint_check(sonde__session *session);

#endif
