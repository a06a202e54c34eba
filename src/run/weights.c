/*
 * Weights of any model file into a network: its tensors are matched by name.
 *
 * Files put names behind a common prefix ("state_dict.module."), other things beside them (an
 * optimizer's state, an epoch), and counters among them ("num_batches_tracked"). The prefix is the
 * one under which most parameters are found; what stands under it and is no parameter of the
 * network says that the file is of another one.
 */
#include <stdio.h>
#include <string.h>

#include "file/model_internal.h"
#include "run/subject.h"
#include "run/tensors.h"

enum { PREFIXES_MAX = 64 };

typedef struct source {
    sonde_context *context;
    sonde_model *file;
    const char *path;
    sonde__net *net;
} source;

static const char *name_at(const source *s, size_t index)
{
    sonde_tensor tensor;
    return sonde_model_tensor(s->file, index, &tensor) == SONDE_OK ? tensor.name : "";
}

static bool has_parameter(const source *s, const char *prefix, size_t length,
                          const sonde__parameter *parameter)
{
    char name[SONDE__TENSOR_NAME_MAX];
    size_t index;
    int whole = snprintf(name, sizeof(name), "%.*s%s", (int)length, prefix, parameter->name);
    return whole > 0 && (size_t)whole < sizeof(name) &&
           sonde__model_lookup(s->file, name, (size_t)whole, &index);
}

static int count_found(const source *s, const char *prefix, size_t length)
{
    int found = 0;
    for (int i = 0; i < sonde__net_parameter_count(s->net); i++)
        found += has_parameter(s, prefix, length, sonde__net_parameter(s->net, i));
    return found;
}

/* Tries what stands before the name of one parameter, wherever the file has it. */
static void try_prefixes(const source *s, const sonde__parameter *anchor, int *most, char *prefix)
{
    const size_t length = strlen(anchor->name);
    int tried = 0;
    for (size_t i = 0; i < sonde_model_count(s->file) && tried < PREFIXES_MAX; i++) {
        const char *name = name_at(s, i);
        const size_t all = strlen(name), front = all > length ? all - length : 0;
        if (all < length || front >= SONDE__TENSOR_NAME_MAX ||
            strcmp(name + front, anchor->name) != 0 ||
            (front > 0 && name[front - 1] != '.' && name[front - 1] != '/'))
            continue;
        tried++;
        const int found = count_found(s, name, front);
        if (found > *most) {
            *most = found;
            snprintf(prefix, SONDE__TENSOR_NAME_MAX, "%.*s", (int)front, name);
        }
    }
}

/* By the first and the last parameter, as the file may lack one. "" where nothing fits. */
static void find_prefix(const source *s, char *prefix)
{
    const int count = sonde__net_parameter_count(s->net);
    int most = 0;
    prefix[0] = '\0';
    if (count == 0)
        return;
    try_prefixes(s, sonde__net_parameter(s->net, 0), &most, prefix);
    if (most < count)
        try_prefixes(s, sonde__net_parameter(s->net, count - 1), &most, prefix);
}

static bool is_parameter(const sonde__net *net, const char *name)
{
    for (int i = 0; i < sonde__net_parameter_count(net); i++)
        if (strcmp(sonde__net_parameter(net, i)->name, name) == 0)
            return true;
    return false;
}

static bool is_counter(const char *name)
{
    static const char counter[] = "num_batches_tracked";
    const size_t length = strlen(name), own = sizeof(counter) - 1;
    return length >= own && strcmp(name + length - own, counter) == 0;
}

static bool looks_like_parameter(const char *name)
{
    static const char *const endings[] = {".weight", ".bias", ".running_mean", ".running_var"};
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        const size_t own = strlen(endings[i]);
        if (length > own && strcmp(name + length - own, endings[i]) == 0)
            return true;
    }
    return false;
}

/* "ema.conv1.weight" beside "conv1.weight": a second copy, as of an optimizer or an average. */
static bool is_copy(const sonde__net *net, const char *name)
{
    const char *dot = strchr(name, '.');
    if (!dot || !is_parameter(net, dot + 1))
        return false;
    for (int i = 0; i < sonde__net_parameter_count(net); i++)
        if (strncmp(sonde__net_parameter(net, i)->name, name, (size_t)(dot - name) + 1) == 0)
            return false;
    return true;
}

static sonde_status check_extra(const source *s, const char *prefix)
{
    const size_t front = strlen(prefix);
    for (size_t i = 0; i < sonde_model_count(s->file); i++) {
        const char *name = name_at(s, i);
        if (strncmp(name, prefix, front) != 0 || is_counter(name) || !looks_like_parameter(name) ||
            is_parameter(s->net, name + front) || (front == 0 && is_copy(s->net, name)))
            continue;
        return sonde__fail_at(s->context, SONDE_ERROR_SHAPE, s->path, name, -1,
                              "%s: %.160s is no part of the network; the file is of another one",
                              s->path, name);
    }
    return SONDE_OK;
}

static sonde_status load(const source *s)
{
    size_t count;
    char prefix[SONDE__TENSOR_NAME_MAX];
    find_prefix(s, prefix);
    SONDE_TRY(sonde__tensors_fit(s->context, s->file, s->path, prefix, true, s->net));
    SONDE_TRY(check_extra(s, prefix));
    SONDE_TRY(sonde__tensors_into_net(s->context, s->file, s->path, prefix, true, s->net,
                                      sonde__net_weights(s->net, &count)));
    sonde__net_weights_changed(s->net);
    return SONDE_OK;
}

sonde_status sonde__weights_into_net(sonde_context *context, const char *path, sonde__net *net)
{
    source s = {.context = context, .path = path, .net = net};
    SONDE_TRY(sonde_model_open(context, path, NULL, &s.file));
    sonde_status status = load(&s);
    sonde_model_close(s.file);
    return status;
}
