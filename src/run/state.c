/*
 * The state of a run between two epochs: weights, buffers, optimiser, steer, counters, in
 * RUN/state/epoch-0001.safetensors. Random streams are keyed by epoch and step, so nothing of them
 * is kept.
 *
 * Written before the epoch's transaction in the run store; the state two epochs back is removed only
 * after it. So for the store's last epoch there is always a state, and one more to fall back to if
 * that one is damaged.
 */
#include "run/session.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "run/tensors.h"

enum { STATE_VERSION = 1, COUNTER_COUNT = 4 };

static char *path_of(const sonde__session *session, int64_t epoch)
{
    char name[64];
    snprintf(name, sizeof(name), "state/epoch-%04lld.safetensors", (long long)epoch);
    return sonde__path_join(session->context, sonde__store_folder(session->store), name);
}

static sonde_status add_counters(sonde__session *session, sonde__tensor_list *list)
{
    int64_t *counters = sonde__tensor_list_add(list, "counters", SONDE_NUMBER_I64, COUNTER_COUNT);
    if (!counters)
        return SONDE_ERROR_MEMORY;
    counters[0] = STATE_VERSION;
    counters[1] = session->epoch;
    counters[2] = session->step;
    counters[3] = session->optimizer.steps;
    return SONDE_OK;
}

static sonde_status add_steer(sonde__session *session, sonde__tensor_list *list)
{
    size_t size, written;
    SONDE_TRY(sonde_steer_save(session->steer, NULL, 0, &size));
    void *bytes = sonde__tensor_list_add(list, "steer", SONDE_NUMBER_U8, size);
    if (!bytes)
        return SONDE_ERROR_MEMORY;
    return sonde_steer_save(session->steer, bytes, size, &written);
}

static sonde_status fill_list(sonde__session *session, sonde__tensor_list *list)
{
    size_t count;
    const sonde__optimizer *optimizer = &session->optimizer;
    const float *weights = sonde__net_weights(session->net, &count);
    SONDE_TRY(add_counters(session, list));
    SONDE_TRY(add_steer(session, list));
    SONDE_TRY(sonde__tensor_list_add_net(list, session->net, weights, "weight/", true));
    for (int i = 0; i < optimizer->array_count; i++) {
        char prefix[32];
        snprintf(prefix, sizeof(prefix), "%s/", sonde__optimizer_array_name(optimizer, i));
        SONDE_TRY(
            sonde__tensor_list_add_net(list, session->net, optimizer->arrays[i], prefix, false));
    }
    return SONDE_OK;
}

sonde_status sonde__state_write(sonde__session *session)
{
    const sonde__metadata metadata[] = {{"sonde.version", sonde_version()}};
    size_t parameters = (size_t)sonde__net_parameter_count(session->net);
    sonde__tensor_list list;
    SONDE_TRY(sonde__tensor_list_init(&list, session->context, 3 * parameters + 2));
    char *path = path_of(session, session->epoch);
    sonde_status status = path ? fill_list(session, &list) : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK)
        status = sonde__tensor_list_write(&list, path, metadata, 1);
    sonde__free(session->context, path);
    sonde__tensor_list_free(&list);
    return status;
}

static sonde_status read_counters(sonde__session *session, sonde_model *file, const char *path,
                                  int64_t epoch)
{
    void *bytes;
    size_t size;
    int64_t counters[COUNTER_COUNT];
    SONDE_TRY(
        sonde__tensors_bytes(session->context, file, "counters", SONDE_NUMBER_I64, &bytes, &size));
    bool good = bytes && size == sizeof(counters);
    if (good)
        memcpy(counters, bytes, sizeof(counters));
    sonde__free(session->context, bytes);
    if (!good)
        return sonde__fail_at(session->context, SONDE_ERROR_CORRUPT, path, "counters", -1,
                              "%s: the counters are missing; the file is damaged", path);
    if (counters[0] > STATE_VERSION)
        return sonde__fail_at(session->context, SONDE_ERROR_VERSION, path, NULL, -1,
                              "%s was written by a newer version; use the newer sonde", path);
    if (counters[1] != epoch || counters[2] < 0 || counters[3] < 0)
        return sonde__fail_at(session->context, SONDE_ERROR_CORRUPT, path, "counters", -1,
                              "%s is not the state after epoch %lld; the file is damaged", path,
                              (long long)epoch);
    session->step = counters[2];
    session->optimizer.steps = counters[3];
    return SONDE_OK;
}

static sonde_status read_steer(sonde__session *session, sonde_model *file, const char *path)
{
    void *bytes;
    size_t size;
    SONDE_TRY(
        sonde__tensors_bytes(session->context, file, "steer", SONDE_NUMBER_U8, &bytes, &size));
    if (!bytes)
        return sonde__fail_at(session->context, SONDE_ERROR_CORRUPT, path, "steer", -1,
                              "%s: the steer's state is missing; the file is damaged", path);
    sonde_status status = sonde_steer_restore(session->steer, bytes, size);
    sonde__free(session->context, bytes);
    return status;
}

static sonde_status read_parts(sonde__session *session, sonde_model *file, const char *path,
                               int64_t epoch)
{
    size_t count;
    sonde__net *net = session->net;
    sonde__optimizer *optimizer = &session->optimizer;
    SONDE_TRY(read_counters(session, file, path, epoch));
    for (int i = 0; i < optimizer->array_count; i++) {
        char prefix[32];
        snprintf(prefix, sizeof(prefix), "%s/", sonde__optimizer_array_name(optimizer, i));
        SONDE_TRY(sonde__tensors_into_net(session->context, file, path, prefix, false, net,
                                          optimizer->arrays[i]));
    }
    SONDE_TRY(sonde__tensors_into_net(session->context, file, path, "weight/", true, net,
                                      sonde__net_weights(net, &count)));
    sonde__net_weights_changed(net);
    return read_steer(session, file, path);
}

static sonde_status read_one(sonde__session *session, int64_t epoch)
{
    sonde_model *file = NULL;
    char *path = path_of(session, epoch);
    sonde_status status =
        path ? sonde__tensors_open(session->context, path, &file) : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK)
        status = read_parts(session, file, path, epoch);
    sonde_model_close(file);
    sonde__free(session->context, path);
    return status;
}

/* Whether another state could help: not when this machine is the trouble. */
static bool is_damage(sonde_status status)
{
    return status == SONDE_ERROR_NOT_FOUND || status == SONDE_ERROR_FORMAT ||
           status == SONDE_ERROR_TRUNCATED || status == SONDE_ERROR_CORRUPT ||
           status == SONDE_ERROR_SHAPE || status == SONDE_ERROR_FILE ||
           status == SONDE_ERROR_UNSUPPORTED;
}

sonde_status sonde__state_read(sonde__session *session, int64_t epoch)
{
    sonde_status status = read_one(session, epoch);
    if (status == SONDE_OK) {
        session->epoch = epoch;
        return SONDE_OK;
    }
    if (!is_damage(status))
        return status;
    char first[SONDE_REASON_MAX];
    snprintf(first, sizeof(first), "%s", sonde_context_error(session->context)->message);
    if (epoch > 1 && read_one(session, epoch - 1) == SONDE_OK) {
        session->epoch = epoch - 1;
        sonde__session_event(session,
                             "the state after epoch %lld is damaged (%.300s): resumed "
                             "from epoch %lld",
                             (long long)epoch, first, (long long)epoch - 1);
        return SONDE_OK;
    }
    char *path = path_of(session, epoch);
    status = sonde__fail_at(session->context, status, path, NULL, -1,
                            "the run cannot be resumed: %.300s; restore that file from a copy, or "
                            "train anew (the checkpoints are whole and stay)",
                            first);
    sonde__free(session->context, path);
    return status;
}

void sonde__state_clean(sonde__session *session)
{
    /* A process killed after its commit has left one more behind. */
    for (int64_t epoch = session->epoch - 2; epoch > 0 && epoch > session->epoch - 4; epoch--) {
        char *path = path_of(session, epoch);
        if (path)
            unlink(path);
        sonde__free(session->context, path);
    }
}
