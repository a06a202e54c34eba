/*
 * Checkpoints: RUN/checkpoints/epoch-0001.safetensors, and RUN/kept.safetensors, which is always one
 * of them (a hard link, or a copy where the file system has none), replaced by a rename.
 *
 * Thinning (only when asked) leaves what can still be chosen: the kept one and the others that the
 * rule names, the best three of the whole run by score, and the last fifth of the planned epochs (at
 * least five), which is the rule's tail window. What the tail window will look at is thus there when
 * it is looked at; an old epoch that was never among the best cannot become the best any more.
 */
#include "run/session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/text.h"
#include "run/tensors.h"

char *sonde__checkpoint_path(sonde_context *context, const char *folder, int64_t epoch)
{
    char name[64];
    snprintf(name, sizeof(name), "checkpoints/epoch-%04lld.safetensors", (long long)epoch);
    return sonde__path_join(context, folder, name);
}

static char *path_of(const sonde__session *session, int64_t epoch)
{
    return sonde__checkpoint_path(session->context, sonde__store_folder(session->store), epoch);
}

bool sonde__checkpoint_planned(const sonde__session *session, int64_t epoch)
{
    return epoch % session->config.checkpoint_every == 0 || epoch == session->config.epochs;
}

/* ---- Writing and reading ---- */

static void describe_channels(sonde__text *text, const sonde__dataset *dataset, const float *values)
{
    for (int c = 0; dataset->bytes && c < dataset->channels && c < SONDE__CHANNELS_MAX; c++) {
        sonde__text_add(text, c ? "," : "");
        sonde__text_number(text, (double)values[c]);
    }
}

static sonde_status write_list(sonde__session *session, const sonde__tensor_list *list,
                               const char *path)
{
    const sonde__dataset *data = session->train;
    sonde__text mean, deviation;
    char epoch[24], input[48], classes[16];
    snprintf(epoch, sizeof(epoch), "%lld", (long long)session->epoch);
    snprintf(input, sizeof(input), "%dx%dx%d", data->channels, data->height, data->width);
    snprintf(classes, sizeof(classes), "%d", data->classes);
    sonde__text_init(&mean, session->context);
    sonde__text_init(&deviation, session->context);
    describe_channels(&mean, data, data->mean);
    describe_channels(&deviation, data, data->deviation);
    const sonde__metadata metadata[] = {
        {"format", "pt"},
        {"sonde.version", sonde_version()},
        {"epoch", epoch},
        {"model", session->config.model},
        {"data", session->config.data},
        {"input", input},
        {"classes", classes},
        {"mean", mean.bytes ? mean.bytes : ""},
        {"deviation", deviation.bytes ? deviation.bytes : ""},
    };
    sonde_status status = sonde__text_status(&mean);
    if (status == SONDE_OK)
        status = sonde__text_status(&deviation);
    if (status == SONDE_OK)
        status =
            sonde__tensor_list_write(list, path, metadata, sizeof(metadata) / sizeof(metadata[0]));
    sonde__text_free(&mean);
    sonde__text_free(&deviation);
    return status;
}

sonde_status sonde__checkpoint_write(sonde__session *session)
{
    size_t count;
    const float *weights = sonde__net_weights(session->net, &count);
    sonde__tensor_list list;
    SONDE_TRY(sonde__tensor_list_init(&list, session->context,
                                      (size_t)sonde__net_parameter_count(session->net)));
    char *path = path_of(session, session->epoch);
    sonde_status status = path ? SONDE_OK : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK)
        status = sonde__tensor_list_add_net(&list, session->net, weights, "", true);
    if (status == SONDE_OK)
        status = write_list(session, &list, path);
    sonde__free(session->context, path);
    sonde__tensor_list_free(&list);
    return status;
}

sonde_status sonde__checkpoint_read(sonde__session *session, int64_t epoch)
{
    size_t count;
    sonde_model *file = NULL;
    char *path = path_of(session, epoch);
    sonde_status status = path ? SONDE_OK : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK)
        status = sonde__tensors_open(session->context, path, &file);
    if (status == SONDE_OK)
        status = sonde__tensors_into_net(session->context, file, path, "", true, session->net,
                                         sonde__net_weights(session->net, &count));
    if (status == SONDE_OK)
        sonde__net_weights_changed(session->net);
    sonde_model_close(file);
    sonde__free(session->context, path);
    return status;
}

sonde_status sonde__checkpoint_verify(sonde__session *session, int64_t epoch)
{
    sonde_model *file = NULL;
    char *path = path_of(session, epoch);
    sonde_status status =
        path ? sonde__tensors_open(session->context, path, &file) : SONDE_ERROR_MEMORY;
    sonde_model_close(file);
    sonde__free(session->context, path);
    return status;
}

/* ---- Keeping ---- */

static sonde_status copy_file(sonde_context *context, const char *from, const char *to)
{
    void *bytes = NULL;
    size_t size;
    SONDE_TRY(sonde__read_file(context, from, SIZE_MAX / 4, &bytes, &size));
    sonde_status status = sonde__replace_file(context, to, bytes, size);
    sonde__free(context, bytes);
    return status;
}

static void flush_folder(const char *folder)
{
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    fsync(descriptor);
    close(descriptor);
}

static sonde_status link_file(sonde_context *context, const char *folder, const char *from,
                              const char *to)
{
    char *temporary = sonde__path_join(context, folder, "kept.safetensors.tmp-link");
    if (!temporary)
        return SONDE_ERROR_MEMORY;
    unlink(temporary);
    sonde_status status = SONDE_OK;
    if (link(from, temporary) != 0)
        status = copy_file(context, from, to);
    else if (rename(temporary, to) != 0)
        status = sonde__fail_errno(context, to, "replace");
    unlink(temporary); /* a rename between two links of one file leaves both */
    flush_folder(folder);
    sonde__free(context, temporary);
    return status;
}

sonde_status sonde__checkpoint_keep(sonde__session *session, int64_t epoch)
{
    sonde_context *context = session->context;
    const char *folder = sonde__store_folder(session->store);
    if (epoch < 1 || epoch == session->kept_epoch)
        return SONDE_OK;
    char *from = path_of(session, epoch);
    char *to = sonde__path_join(context, folder, "kept.safetensors");
    sonde_status status = from && to ? SONDE_OK : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK)
        status = link_file(context, folder, from, to);
    if (status == SONDE_OK)
        session->kept_epoch = epoch;
    sonde__free(context, from);
    sonde__free(context, to);
    return status;
}

/* ---- Folders ---- */

typedef void (*entry_fn)(sonde__session *session, const char *path, const char *name, void *user);

static void each_entry(sonde__session *session, const char *folder, entry_fn each, void *user)
{
    char *whole = sonde__path_join(session->context, sonde__store_folder(session->store), folder);
    DIR *open_folder = whole ? opendir(whole) : NULL;
    const struct dirent *entry;
    while (open_folder && (entry = readdir(open_folder)) != NULL) {
        char *path = sonde__path_join(session->context, whole, entry->d_name);
        if (path)
            each(session, path, entry->d_name, user);
        sonde__free(session->context, path);
    }
    if (open_folder)
        closedir(open_folder);
    sonde__free(session->context, whole);
}

static void sweep_entry(sonde__session *session, const char *path, const char *name, void *user)
{
    (void)session;
    (void)user;
    if (strstr(name, ".safetensors.tmp-"))
        unlink(path);
}

void sonde__checkpoint_sweep(sonde__session *session)
{
    each_entry(session, "", sweep_entry, NULL);
    each_entry(session, "checkpoints", sweep_entry, NULL);
    each_entry(session, "state", sweep_entry, NULL);
}

/* ---- Thinning ---- */

enum { BEST_COUNT = 3, TAIL_LEAST = 5 };

typedef struct needed {
    int64_t best[BEST_COUNT]; /* of the whole run, -1: none */
    int64_t tail_first;
} needed;

static const char *keep_signal(const sonde__session *session)
{
    switch (session->choices.keep_by) {
    case SONDE_SCORE_RAW:
        return "head.raw";
    case SONDE_SCORE_FEATURE_SCALED:
        return "head.feature_scaled";
    case SONDE_SCORE_LOSS:
        return "head.loss";
    case SONDE_SCORE_ACCURACY:
        return "head.accuracy";
    case SONDE_SCORE_TPV:
        return SONDE__TPV_SIGNAL;
    case SONDE_SCORE_HEAD_SCALED:
    default:
        return "head.head_scaled";
    }
}

/* The best valid scores of checkpointed epochs; of equal ones the later. */
static void find_best(const sonde__session *session, const sonde__score_row *rows, size_t count,
                      int64_t *best)
{
    double values[BEST_COUNT] = {INFINITY, INFINITY, INFINITY};
    for (size_t i = 0; i < count; i++) {
        if (rows[i].score.validity != SONDE_VALID ||
            rows[i].epoch % session->config.checkpoint_every != 0)
            continue;
        const double key = -(double)rows[i].score.direction * rows[i].score.value;
        int at = BEST_COUNT;
        while (at > 0 && key <= values[at - 1])
            at--;
        for (int j = BEST_COUNT - 1; j > at; j--) {
            values[j] = values[j - 1];
            best[j] = best[j - 1];
        }
        if (at < BEST_COUNT) {
            values[at] = key;
            best[at] = rows[i].epoch;
        }
    }
}

static bool is_needed(const sonde__session *session, const needed *need, int64_t epoch)
{
    const sonde_keep_choice *keep = &session->decision.keep;
    bool wanted = epoch >= need->tail_first || epoch == keep->epoch ||
                  epoch == session->kept_epoch || epoch == keep->second_epoch;
    for (int i = 0; i < BEST_COUNT; i++)
        wanted = wanted || epoch == need->best[i];
    for (int i = 0; i < keep->top_count; i++)
        wanted = wanted || epoch == keep->top[i];
    return wanted;
}

static void thin_entry(sonde__session *session, const char *path, const char *name, void *user)
{
    int64_t epoch;
    char number[24];
    const needed *need = user;
    const char *end = strstr(name, ".safetensors");
    if (strncmp(name, "epoch-", 6) != 0 || !end || end[12] != '\0')
        return;
    snprintf(number, sizeof(number), "%.*s", (int)(end - name - 6), name + 6);
    if (sonde__parse_int64(number, &epoch) && !is_needed(session, need, epoch))
        unlink(path);
}

sonde_status sonde__checkpoint_thin(sonde__session *session)
{
    int64_t tail = session->config.epochs / 5 + 1;
    needed need = {.best = {-1, -1, -1}};
    need.tail_first =
        session->epoch - (tail > TAIL_LEAST ? tail : TAIL_LEAST) * session->config.checkpoint_every;
    sonde__score_row *rows;
    size_t count;
    if (!session->config.thin)
        return SONDE_OK;
    SONDE_TRY(sonde__store_scores(session->store, keep_signal(session), &rows, &count));
    find_best(session, rows, count, need.best);
    sonde__store_free_rows(session->store, rows);
    each_entry(session, "checkpoints", thin_entry, &need);
    return SONDE_OK;
}
