/*
 * The trainer: a new or resumed run, epoch by epoch, to its end.
 *
 * The order within an epoch: train; losses of skipped examples; probe; weights to the spectra's
 * worker threads; test accuracy (while they work); decide; checkpoint; state; one transaction in the
 * run store; kept.safetensors; thinning. Killed anywhere, the store's last epoch has its state and
 * its checkpoint, and resuming repeats what came after it bit for bit: every random stream is keyed
 * by epoch or step.
 */
#include "run/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/path.h"
#include "base/text.h"
#include "base/thread.h"
#include "run/plan.h"
#include "run/session.h"
#include "run/subject.h"

/* ---- Facts ---- */

static sonde_status set_integer(sonde__store *store, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, value);
    return sonde__store_set(store, key, text);
}

static int64_t count_parameters(const sonde__net *net)
{
    int64_t count = 0;
    for (int i = 0; i < sonde__net_parameter_count(net); i++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, i);
        if (parameter->length > 0)
            count += (int64_t)parameter->elements;
    }
    return count;
}

static sonde_status write_config(sonde__session *session)
{
    char *json = NULL;
    SONDE_TRY(sonde__config_to_json(session->context, &session->config, &json));
    sonde_status status = sonde__store_set(session->store, "config", json);
    sonde__free(session->context, json);
    return status;
}

/* "config" comes last: with it the folder holds a run. */
static sonde_status write_facts(sonde__session *session)
{
    sonde__store *store = session->store;
    struct utsname machine;
    char text[256] = "unknown";
    if (uname(&machine) == 0)
        snprintf(text, sizeof(text), "%.60s %.60s, %ld cores", machine.sysname, machine.machine,
                 sysconf(_SC_NPROCESSORS_ONLN));
    SONDE_TRY(sonde__store_set(store, "machine", text));
    SONDE_TRY(sonde__store_set(store, "version", sonde_version()));
    SONDE_TRY(sonde__store_set(store, "status", "running"));
    SONDE_TRY(sonde__store_set(store, "test_used", session->test ? "report only" : "none"));
    SONDE_TRY(set_integer(store, "parameters", count_parameters(session->net)));
    SONDE_TRY(set_integer(store, "train_examples", (int64_t)session->train->count));
    SONDE_TRY(set_integer(store, "held_examples", session->choices.held));
    SONDE_TRY(set_integer(store, "classes", session->train->classes));
    SONDE_TRY(
        set_integer(store, "test_examples", session->test ? (int64_t)session->test->count : 0));
    SONDE_TRY(sonde__fingerprint_write(session));
    return write_config(session);
}

/* ---- One epoch ---- */

static double memory_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss * 1024 : (double)NAN;
}

static void begin_epoch(sonde__session *session)
{
    sonde__epoch_row row = {.epoch = session->epoch};
    row.test_loss = row.test_accuracy = (double)NAN;
    row.learning_rate = sonde__schedule_rate(&session->schedule, session->epoch);
    session->row = row;
    session->score_count = 0;
    session->epoch_begun = sonde__seconds();
    sonde_steer_learning_rate(session->steer, row.learning_rate);
}

static bool is_checkpointed(const sonde__session *session)
{
    return sonde__checkpoint_planned(session, session->epoch);
}

static bool is_observed(const sonde__session *session)
{
    return session->config.spectrum && (session->epoch % session->config.spectrum_every == 0 ||
                                        session->epoch == session->config.epochs);
}

static sonde_status observe_epoch(sonde__session *session)
{
    SONDE_TRY(sonde__session_check_skipped(session));
    SONDE_TRY(sonde__session_probe(session, is_checkpointed(session)));
    double begun = sonde__seconds();
    if (is_observed(session))
        SONDE_TRY(sonde__session_weights(session));
    session->row.seconds_spectrum_wait = sonde__seconds() - begun;
    begun = sonde__seconds();
    if (session->config.test_each_epoch)
        SONDE_TRY(
            sonde__session_test(session, &session->row.test_loss, &session->row.test_accuracy));
    session->row.seconds_test = sonde__seconds() - begun;
    session->test_accuracy = session->row.test_accuracy;
    SONDE_TRY(sonde__session_tpv_collect(session));
    return sonde__session_tpv_submit(session);
}

static sonde_status decide(sonde__session *session)
{
    bool advised_before = session->decision.stop_advised;
    SONDE_TRY(sonde_steer_end_epoch(session->steer, session->epoch, &session->decision));
    double begun = sonde__seconds();
    SONDE_TRY(sonde_steer_wait(session->steer));
    session->row.seconds_spectrum_wait += sonde__seconds() - begun;
    if (session->decision.stop_advised && !advised_before)
        sonde__session_event(session, "%.480s", session->decision.stop_reason);
    return SONDE_OK;
}

/* The layers observed in this epoch; eigenvalues stay the steer's until its next call. */
static sonde_status collect_layers(sonde__session *session, sonde__layer_row **rows, size_t *count)
{
    size_t layers = sonde_steer_layer_count(session->steer);
    sonde__layer_row *made = sonde__alloc_zero(session->context, layers + 1, sizeof(*made));
    if (!made)
        return SONDE_ERROR_MEMORY;
    *rows = made;
    *count = 0;
    for (size_t i = 0; i < layers; i++) {
        sonde_layer_view view;
        SONDE_TRY(sonde_steer_layer(session->steer, i, &view));
        if (view.epoch != session->epoch)
            continue;
        sonde__layer_row *row = &made[(*count)++];
        row->epoch = view.epoch;
        snprintf(row->layer, sizeof(row->layer), "%s", view.name);
        row->over = view.over;
        row->threshold = view.threshold;
        row->report = view.report;
        if (!view.eigenvalues)
            continue;
        row->eigenvalues = sonde__alloc(session->context, view.report.rows, sizeof(double));
        if (!row->eigenvalues)
            return SONDE_ERROR_MEMORY;
        memcpy(row->eigenvalues, view.eigenvalues, view.report.rows * sizeof(double));
        row->eigenvalue_count = view.report.rows;
    }
    return SONDE_OK;
}

static sonde_status commit_epoch(sonde__session *session)
{
    sonde__layer_row *layers = NULL;
    size_t layer_count = 0;
    sonde_status status = collect_layers(session, &layers, &layer_count);
    if (status == SONDE_OK)
        status = sonde__store_write_epoch(
            session->store, &session->row, session->scores, session->score_count, layers,
            layer_count, &session->decision, session->events, session->event_count);
    if (layers)
        sonde__store_free_layers(session->store, layers, layer_count);
    if (status == SONDE_OK)
        session->event_count = 0;
    return status;
}

/* seconds_store and seconds are known only as far as the transaction, which holds them. */
static sonde_status store_epoch(sonde__session *session)
{
    double begun = sonde__seconds();
    if (is_checkpointed(session) || session->decision.stop)
        SONDE_TRY(sonde__checkpoint_write(session));
    SONDE_TRY(sonde__state_write(session));
    session->row.memory_peak = memory_peak();
    session->row.seconds_store = sonde__seconds() - begun;
    session->row.seconds = sonde__seconds() - session->epoch_begun;
    session->epoch_seconds = session->row.seconds;
    SONDE_TRY(commit_epoch(session));
    sonde__state_clean(session);
    SONDE_TRY(sonde__checkpoint_keep(session, session->decision.keep.epoch));
    return sonde__checkpoint_thin(session);
}

static sonde_status run_epoch(sonde__session *session)
{
    begin_epoch(session);
    SONDE_TRY(sonde__session_train(session));
    SONDE_TRY(observe_epoch(session));
    SONDE_TRY(decide(session));
    SONDE_TRY(store_epoch(session));
    sonde__session_show(session, 1, "training");
    return SONDE_OK;
}

/* ---- The end ---- */

/* With no test after every epoch, the last and the kept epoch are measured once, at the end. */
static sonde_status test_at_end(sonde__session *session, sonde__epoch_row *last)
{
    double loss, accuracy;
    char text[32];
    int64_t kept = session->decision.keep.epoch;
    if (!session->test || session->config.test_each_epoch)
        return SONDE_OK;
    SONDE_TRY(sonde__session_test(session, &last->test_loss, &last->test_accuracy));
    accuracy = last->test_accuracy;
    if (kept >= 1 && kept != last->epoch) {
        SONDE_TRY(sonde__checkpoint_read(session, kept));
        SONDE_TRY(sonde__session_test(session, &loss, &accuracy));
    }
    snprintf(text, sizeof(text), "%.17g", accuracy);
    return sonde__store_set(session->store, "kept_test_accuracy", text);
}

static sonde_status last_row(sonde__session *session, sonde__epoch_row *last)
{
    sonde__epoch_row *rows;
    size_t count;
    SONDE_TRY(sonde__store_epochs(session->store, &rows, &count));
    if (count > 0)
        *last = rows[count - 1];
    sonde__store_free_rows(session->store, rows);
    return count > 0 ? SONDE_OK
                     : sonde__fail(session->context, SONDE_ERROR_STATE, "the run has no epoch");
}

/* The last decision sees every spectrum, those of the last epoch too. */
static sonde_status finish_run(sonde__session *session)
{
    sonde__epoch_row last;
    const char *status = session->decision.stop ? "stopped" : "finished";
    sonde__session_show(session, 1, "deciding");
    SONDE_TRY(last_row(session, &last));
    session->score_count = 0;
    SONDE_TRY(sonde__session_tpv_collect(session));
    SONDE_TRY(sonde_steer_decide(session->steer, &session->decision));
    session->decision.epoch = last.epoch;
    if (session->decision.keep.epoch < 1)
        sonde__session_event(session, "no epoch has a usable score: the last one is kept");
    SONDE_TRY(test_at_end(session, &last));
    SONDE_TRY(sonde__store_write_epoch(session->store, &last, session->scores, session->score_count,
                                       NULL, 0, &session->decision, session->events,
                                       session->event_count));
    session->event_count = 0;
    int64_t chosen = session->decision.keep.epoch >= 1 ? session->decision.keep.epoch : last.epoch;
    SONDE_TRY(sonde__checkpoint_verify(session, chosen));
    SONDE_TRY(sonde__checkpoint_keep(session, chosen));
    return sonde__store_set(session->store, "status", status);
}

/* Ends a run that failed after this whole epoch: stores what it came to, hands the first error on. */
static sonde_status fail_run(sonde__session *session, int64_t whole, sonde_status status)
{
    char message[SONDE_REASON_MAX], file[1024], item[SONDE_LAYER_NAME_MAX];
    const sonde_error *error = sonde_context_error(session->context);
    int64_t offset = error->offset;
    bool full = status == SONDE_ERROR_NO_SPACE && !strstr(error->message, "resume");
    snprintf(message, sizeof(message), "%s%s", error->message,
             full ? "; free space and resume the run" : "");
    snprintf(file, sizeof(file), "%s", error->file);
    snprintf(item, sizeof(item), "%s", error->item);
    sonde__event_row event = {.epoch = whole};
    snprintf(event.text, sizeof(event.text), "%s", message);
    sonde__store_event(session->store, &event);
    sonde__store_set(session->store, "status", session->diverged ? "diverged" : "interrupted");
    return sonde__fail_at(session->context, status, file, item, offset, "%s", message);
}

static sonde_status run_epochs(sonde__session *session)
{
    while (session->epoch < session->config.epochs && !session->decision.stop) {
        session->epoch++;
        sonde_status status = run_epoch(session);
        if (status == SONDE_ERROR_CANCELLED)
            return sonde__store_set(session->store, "status", "interrupted");
        if (status != SONDE_OK)
            return fail_run(session, session->epoch - 1, status);
    }
    sonde_status status = finish_run(session);
    if (status == SONDE_ERROR_CANCELLED)
        return sonde__store_set(session->store, "status", "interrupted");
    return status == SONDE_OK ? status : fail_run(session, session->epoch, status);
}

/* ---- Entry points ---- */

static sonde_status make_folders(sonde__session *session)
{
    static const char *const names[] = {"checkpoints", "state"};
    for (int i = 0; i < 2; i++) {
        char *path =
            sonde__path_join(session->context, sonde__store_folder(session->store), names[i]);
        sonde_status status =
            path ? sonde__make_folder(session->context, path) : SONDE_ERROR_MEMORY;
        sonde__free(session->context, path);
        SONDE_TRY(status);
    }
    return SONDE_OK;
}

/* Trains, summarises and closes; the first failure is the one that is told. */
static sonde_status run_and_close(sonde__session *session, sonde__run_summary *summary)
{
    sonde_status status = run_epochs(session);
    sonde_status told = SONDE_OK;
    if (status == SONDE_OK || session->diverged) {
        told = sonde__run_summarise(session->store, summary);
    }
    sonde__session_close(session);
    return status != SONDE_OK ? status : told;
}

static sonde_status start_run(sonde__session *session, sonde__store **store, const char *folder)
{
    if (!*store)
        SONDE_TRY(sonde__store_open(session->context, folder, SONDE__STORE_CREATE, store));
    session->store = *store;
    *store = NULL;
    SONDE_TRY(make_folders(session));
    SONDE_TRY(sonde__plan_keep(session->context, folder, &session->config));
    sonde__checkpoint_sweep(session);
    return write_facts(session);
}

sonde_status sonde__train(sonde_context *context, const sonde__config *config, const char *folder,
                          const sonde__train_hooks *hooks, sonde__run_summary *summary)
{
    sonde__store *store = NULL;
    sonde__session session;
    /* A run that is in the way is told before data are loaded; a new folder is made after, so that
     * wrong options leave none behind. */
    char *path = sonde__path_join(context, folder, "run.sqlite");
    bool exists = path && sonde__path_exists(path);
    sonde__free(context, path);
    if (exists)
        SONDE_TRY(sonde__store_open(context, folder, SONDE__STORE_CREATE, &store));
    sonde_status status = sonde__session_open(context, config, hooks, &session);
    if (status != SONDE_OK) {
        sonde__store_close(store);
        return status;
    }
    if (config->weights[0])
        status = sonde__weights_into_net(context, config->weights, session.net);
    if (status == SONDE_OK)
        status = start_run(&session, &store, folder);
    if (status != SONDE_OK) {
        sonde__store_close(store);
        sonde__session_close(&session);
        return status;
    }
    return run_and_close(&session, summary);
}

static sonde_status read_stored_config(sonde_context *context, sonde__store *store, int64_t epochs,
                                       sonde__config *config)
{
    char *json = NULL;
    SONDE_TRY(sonde__store_get(store, "config", &json));
    if (!json)
        return sonde__fail_at(context, SONDE_ERROR_STATE, sonde__store_folder(store), NULL, -1,
                              "%s holds no whole run: it was ended before training began; train "
                              "into it anew",
                              sonde__store_folder(store));
    sonde_status status = sonde__config_from_json(context, json, config);
    sonde__free(context, json);
    SONDE_TRY(status);
    SONDE_TRY(sonde__plan_in_run(context, sonde__store_folder(store), config));
    if (epochs > 0 && epochs < config->epochs)
        return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "epochs", -1,
                              "--epochs %" PRId64 " is fewer than the %" PRId64
                              " the run was planned for; it can only be made longer",
                              epochs, config->epochs);
    if (epochs > 0)
        config->epochs = epochs;
    return SONDE_OK;
}

static sonde_status refuse_diverged(sonde_context *context, sonde__store *store)
{
    char *status = NULL;
    SONDE_TRY(sonde__store_get(store, "status", &status));
    bool diverged = status && strcmp(status, "diverged") == 0;
    sonde__free(context, status);
    if (!diverged)
        return SONDE_OK;
    return sonde__fail_at(context, SONDE_ERROR_STATE, sonde__store_folder(store), NULL, -1,
                          "%s diverged, and would do so again; train anew with a lower --lr, "
                          "--clip 1 or --warm-up 1 (its whole epochs stay as they are)",
                          sonde__store_folder(store));
}

/* True when nothing is left to do. */
static sonde_status is_done(sonde_context *context, sonde__store *store,
                            const sonde__config *config, bool *done)
{
    sonde__epoch_row *rows;
    size_t count;
    char *status = NULL;
    SONDE_TRY(sonde__store_get(store, "status", &status));
    bool ended = status && (strcmp(status, "finished") == 0 || strcmp(status, "stopped") == 0);
    bool stopped = status && strcmp(status, "stopped") == 0;
    sonde__free(context, status);
    SONDE_TRY(sonde__store_epochs(store, &rows, &count));
    int64_t last = count > 0 ? rows[count - 1].epoch : 0;
    sonde__store_free_rows(store, rows);
    *done = ended && (stopped || last >= config->epochs);
    return SONDE_OK;
}

/* Brings the session to the store's last whole epoch, or to the one before if its state is damaged. */
static sonde_status restore_run(sonde__session *session)
{
    sonde__epoch_row last = {0};
    sonde__epoch_row *rows;
    size_t count;
    SONDE_TRY(sonde__fingerprint_check(session));
    SONDE_TRY(sonde__store_epochs(session->store, &rows, &count));
    if (count > 0)
        last = rows[count - 1];
    sonde__store_free_rows(session->store, rows);
    SONDE_TRY(make_folders(session));
    sonde__checkpoint_sweep(session);
    if (last.epoch > 0)
        SONDE_TRY(sonde__state_read(session, last.epoch));
    SONDE_TRY(sonde__store_rewind(session->store, session->epoch));
    if (session->epoch > 0)
        SONDE_TRY(sonde__store_decision(session->store, -1, &session->decision));
    if (session->epoch > 0)
        SONDE_TRY(sonde__session_tpv_submit(session));
    session->epoch_seconds = last.seconds;
    SONDE_TRY(write_config(session));
    return sonde__store_set(session->store, "status", "running");
}

static sonde_status resume_open(sonde_context *context, sonde__store *store,
                                const sonde__config *config, const sonde__train_hooks *hooks,
                                sonde__run_summary *summary)
{
    sonde__session session;
    sonde_status status = sonde__session_open(context, config, hooks, &session);
    if (status != SONDE_OK) {
        sonde__store_close(store);
        return status;
    }
    session.store = store;
    status = restore_run(&session);
    if (status != SONDE_OK) {
        sonde__session_close(&session);
        return status;
    }
    return run_and_close(&session, summary);
}

sonde_status sonde__train_resume(sonde_context *context, const char *folder, int64_t epochs,
                                 const sonde__train_hooks *hooks, sonde__run_summary *summary)
{
    sonde__store *store = NULL;
    sonde__config config;
    bool done = false;
    SONDE_TRY(sonde__store_open(context, folder, SONDE__STORE_WRITE, &store));
    sonde_status status = read_stored_config(context, store, epochs, &config);
    if (status == SONDE_OK)
        status = refuse_diverged(context, store);
    if (status == SONDE_OK)
        status = is_done(context, store, &config, &done);
    if (status == SONDE_OK && !done)
        return resume_open(context, store, &config, hooks, summary);
    if (status == SONDE_OK)
        status = sonde__run_summarise(store, summary);
    sonde__store_close(store);
    return status;
}
