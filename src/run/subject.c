/*
 * Opening what a verb measures: a checkpoint of a run with the run's own data, or a named network
 * with the weights of a file. Data, network and probe batches are made by the lines that training
 * makes them with (parts.h), so that a measurement sees what training saw.
 */
#include "run/subject.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/text.h"
#include "run/parts.h"
#include "run/plan.h"
#include "run/session.h"
#include "run/tensors.h"

enum { BATCH = 128 };

void sonde__subject_options_init(sonde__subject_options *options)
{
    memset(options, 0, sizeof(*options));
    options->epoch = -1;
    sonde__config_init(&options->config);
}

/* ---- configuration --------------------------------------------------------------------------- */

static sonde_status run_config(sonde_context *context, const char *folder, sonde__config *config)
{
    sonde__store *store = NULL;
    sonde__run_summary *summary = sonde__alloc(context, 1, sizeof(*summary));
    if (!summary)
        return SONDE_ERROR_MEMORY;
    sonde_status status = sonde__store_open(context, folder, SONDE__STORE_READ, &store);
    if (status == SONDE_OK)
        status = sonde__run_summarise(store, summary);
    if (status == SONDE_OK) {
        *config = summary->config;
        status = sonde__plan_in_run(context, folder, config);
    }
    sonde__store_close(store);
    sonde__free(context, summary);
    return status;
}

static sonde_status settle_config(sonde__subject *subject, const sonde__subject_options *options)
{
    subject->config = options->config;
    if (options->run) {
        SONDE_TRY(run_config(subject->context, options->run, &subject->config));
        sonde__config_take(&subject->config, &options->config, &options->named);
        subject->run = sonde__copy_string(subject->context, options->run);
        if (!subject->run)
            return SONDE_ERROR_MEMORY;
    }
    SONDE_TRY(sonde__config_check(subject->context, &subject->config));
    return sonde__choices_read(subject->context, &subject->config, &subject->choices);
}

/* ---- data ------------------------------------------------------------------------------------ */

static sonde_status override_normalisation(sonde__subject *subject,
                                           const sonde__subject_options *options)
{
    sonde__dataset *const sets[] = {subject->train, subject->test};
    if (options->channels == 0)
        return SONDE_OK;
    if (!subject->train->bytes)
        return sonde__fail_at(subject->context, SONDE_ERROR_ARGUMENT, NULL, "mean", -1,
                              "%s holds numbers, not bytes: there is nothing to normalise",
                              subject->config.data);
    if (options->channels != subject->train->channels)
        return sonde__fail_at(subject->context, SONDE_ERROR_SHAPE, NULL, "mean", -1,
                              "--mean and --std have %d values, but %s has %d channels",
                              options->channels, subject->config.data, subject->train->channels);
    for (int part = 0; part < 2; part++)
        for (int c = 0; sets[part] && c < options->channels; c++) {
            sets[part]->mean[c] = options->mean[c];
            sets[part]->deviation[c] = options->deviation[c];
        }
    return SONDE_OK;
}

static sonde_status load_data(sonde__subject *subject, const sonde__subject_options *options)
{
    const sonde__config *config = &subject->config;
    SONDE_TRY(sonde__parts_data(subject->context, config, &subject->train, &subject->test));
    if (!options->texts)
        SONDE_TRY(sonde__parts_one_label(subject->context, subject->train));
    SONDE_TRY(override_normalisation(subject, options));
    subject->classes = subject->train->classes;
    sonde__batcher_init(&subject->train_batcher, subject->train, (uint64_t)config->seed);
    if (subject->test)
        sonde__batcher_init(&subject->test_batcher, subject->test, (uint64_t)config->seed);
    return sonde__parts_probes(subject->context, config, &subject->choices, subject->train->count,
                               &subject->indexes, &subject->positions, subject->probes);
}

/* ---- network --------------------------------------------------------------------------------- */

static sonde_status make_net(const sonde__subject *subject, const sonde__subject_options *options,
                             const char *model, sonde__net **net)
{
    sonde__config config = subject->config;
    snprintf(config.model, sizeof(config.model), "%s", model);
    sonde__graph *graph = NULL;
    SONDE_TRY(sonde__parts_graph(subject->context, &config, subject->train, &graph));
    sonde__net_options net_options = {
        .threads = (int)config.threads,
        .max_batch = subject->max_batch,
        .seed = (uint64_t)config.seed,
        .study = options->study,
        .tangent = options->tangent,
    };
    SONDE_TRY(sonde__net_create(subject->context, graph, &net_options, net));
    const sonde_status status =
        sonde__parts_check_rows(subject->context, model, *net, subject->train->rows);
    if (status != SONDE_OK) {
        sonde__net_free(*net);
        *net = NULL;
    }
    return status;
}

static sonde_status read_checkpoint(sonde_context *context, const char *path, sonde__net *net,
                                    int64_t *epoch)
{
    size_t count;
    sonde_model *file = NULL;
    SONDE_TRY(sonde__tensors_open(context, path, &file));
    const char *text = sonde__tensors_metadata(file, "epoch");
    sonde_status status = sonde__tensors_into_net(context, file, path, "", true, net,
                                                  sonde__net_weights(net, &count));
    if (status == SONDE_OK && !(text && sonde__parse_int64(text, epoch)))
        *epoch = -1;
    sonde_model_close(file);
    sonde__net_weights_changed(net);
    return status;
}

static sonde_status checkpoint_into(sonde__subject *subject, int64_t epoch)
{
    sonde_context *context = subject->context;
    char *path = epoch < 0 ? sonde__path_join(context, subject->run, "kept.safetensors")
                           : sonde__checkpoint_path(context, subject->run, epoch);
    if (!path)
        return SONDE_ERROR_MEMORY;
    sonde_status status =
        sonde__path_exists(path)
            ? read_checkpoint(context, path, subject->net, &subject->epoch)
            : sonde__fail_at(context, SONDE_ERROR_NOT_FOUND, path, NULL, -1,
                             epoch < 0 ? "%s is not there: the run has kept no checkpoint yet"
                                       : "%s: the run has no such checkpoint; `sonde show` lists "
                                         "its epochs",
                             path);
    sonde__free(context, path);
    return status;
}

sonde_status sonde__subject_epoch(sonde__subject *subject, int64_t epoch)
{
    return checkpoint_into(subject, epoch);
}

static sonde_status load_weights(sonde__subject *subject, const sonde__subject_options *options)
{
    if (options->weights)
        return sonde__weights_into_net(subject->context, options->weights, subject->net);
    return subject->run ? checkpoint_into(subject, options->epoch) : SONDE_OK;
}

/* ---- open and close -------------------------------------------------------------------------- */

static sonde_status open_all(sonde__subject *subject, const sonde__subject_options *options)
{
    SONDE_TRY(settle_config(subject, options));
    SONDE_TRY(load_data(subject, options));
    SONDE_TRY(make_net(subject, options, subject->config.model, &subject->net));
    return load_weights(subject, options);
}

sonde_status sonde__subject_open(sonde_context *context, const sonde__subject_options *options,
                                 sonde__subject *subject)
{
    memset(subject, 0, sizeof(*subject));
    subject->context = context;
    subject->epoch = -1;
    subject->max_batch = options->max_batch > 0 ? options->max_batch : BATCH;
    sonde_status status = open_all(subject, options);
    if (status != SONDE_OK)
        sonde__subject_close(subject);
    return status;
}

sonde_status sonde__subject_replace(sonde__subject *subject, const sonde__subject_options *options,
                                    const char *model)
{
    sonde__net *net = NULL;
    SONDE_TRY(make_net(subject, options, model, &net));
    sonde_status status = options->weights
                              ? sonde__weights_into_net(subject->context, options->weights, net)
                              : SONDE_OK;
    if (status != SONDE_OK) {
        sonde__net_free(net);
        return status;
    }
    sonde__net_free(subject->net);
    subject->net = net;
    snprintf(subject->config.model, sizeof(subject->config.model), "%s", model);
    return SONDE_OK;
}

void sonde__subject_close(sonde__subject *subject)
{
    sonde_context *context = subject->context;
    sonde__net_free(subject->net);
    sonde__probes_free(context, subject->probes, SONDE__PROBES_MAX);
    sonde__free(context, subject->indexes);
    sonde__dataset_free(context, subject->train);
    sonde__dataset_free(context, subject->test);
    sonde__free(context, subject->run);
    memset(subject, 0, sizeof(*subject));
}

/* ---- epochs ---------------------------------------------------------------------------------- */

static int compare_epochs(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* "epoch-0012.safetensors" -> 12; false for other names. */
static bool epoch_of(const char *name, int64_t *epoch)
{
    char digits[24];
    const char *end = strstr(name, ".safetensors");
    if (strncmp(name, "epoch-", 6) != 0 || !end || strcmp(end, ".safetensors") != 0 ||
        end - name - 6 < 1 || end - name - 6 > 18)
        return false;
    snprintf(digits, sizeof(digits), "%.*s", (int)(end - name - 6), name + 6);
    return sonde__parse_int64(digits, epoch) && *epoch >= 0;
}

static sonde_status list_epochs(sonde_context *context, DIR *folder, int64_t **epochs,
                                size_t *count)
{
    size_t room = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        int64_t epoch;
        if (!epoch_of(entry->d_name, &epoch))
            continue;
        if (*count == room) {
            room = 2 * room + 32;
            int64_t *grown = sonde__resize(context, *epochs, room, sizeof(**epochs));
            if (!grown)
                return SONDE_ERROR_MEMORY;
            *epochs = grown;
        }
        (*epochs)[(*count)++] = epoch;
    }
    if (*count > 0)
        qsort(*epochs, *count, sizeof(**epochs), compare_epochs);
    return SONDE_OK;
}

sonde_status sonde__subject_epochs(sonde_context *context, const char *run, int64_t **epochs,
                                   size_t *count)
{
    int64_t *found = NULL;
    size_t found_count = 0;
    char *path = sonde__path_join(context, run, "checkpoints");
    if (!path)
        return SONDE_ERROR_MEMORY;
    DIR *folder = opendir(path);
    sonde_status status = folder ? list_epochs(context, folder, &found, &found_count)
                                 : sonde__fail_errno(context, path, "be opened");
    if (folder)
        closedir(folder);
    if (status == SONDE_OK && found_count == 0)
        status = sonde__fail_at(context, SONDE_ERROR_NOT_FOUND, path, NULL, -1,
                                "%s: the run has no checkpoint yet", path);
    sonde__free(context, path);
    if (status != SONDE_OK) {
        sonde__free(context, found);
        return status;
    }
    *epochs = found;
    *count = found_count;
    return SONDE_OK;
}

/* ---- normalisation --------------------------------------------------------------------------- */

sonde_status sonde__subject_channels(sonde_context *context, const char *option, const char *text,
                                     float *values, int *count)
{
    *count = 0;
    for (const char *at = text; *at || at == text;) {
        char number[32];
        double value;
        const size_t length = strcspn(at, ",");
        snprintf(number, sizeof(number), "%.*s", length < 31 ? (int)length : 31, at);
        if (*count == SONDE__CHANNELS_MAX || length > 31 || !sonde__parse_double(number, &value) ||
            !isfinite((float)value) || (strcmp(option, "std") == 0 && !((float)value > 0)))
            return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, option, -1,
                                  "--%s is \"%.80s\"; it takes a number a channel, as in "
                                  "0.485,0.456,0.406%s",
                                  option, text, strcmp(option, "std") == 0 ? ", each above 0" : "");
        values[(*count)++] = (float)value;
        at += length + (at[length] == ',');
    }
    return SONDE_OK;
}
