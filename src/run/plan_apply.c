/*
 * Pruning plans upon networks (plan.h): a plan of another network is refused, and the layer that
 * does not fit is named.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdarg.h>
#include <string.h>

#include "base/path.h"
#include "net/prune_graph.h"
#include "net/study.h"
#include "run/plan.h"

static sonde_status fail_layer(const sonde__plan *plan, const char *layer, const char *format, ...)
    SONDE_PRINTF(3, 4);

static sonde_status fail_layer(const sonde__plan *plan, const char *layer, const char *format, ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return sonde__fail_at(plan->context, SONDE_ERROR_SHAPE, plan->path, layer, -1,
                          "%s does not fit the network: layer %.200s %s", plan->path, layer, what);
}

/* --- channels ----------------------------------------------------------------------------------- */

/* The layer of that name, or -1. */
static int find_layer(const sonde__graph *graph, const char *name)
{
    for (int i = 0; i < sonde__graph_layer_count(graph); i++)
        if (strcmp(sonde__graph_layer(graph, i).name, name) == 0)
            return i;
    return -1;
}

/* What a plan has said of a unit so far. */
enum { UNSAID, GOES, STAYS };

/* One layer's outputs: each channel's unit stays or goes, as all other layers with it. */
static sonde_status read_outputs(const sonde__plan *plan, const sonde__plan_entry *entry,
                                 const sonde__channels *channels, char *said)
{
    const int layer = find_layer(channels->graph, entry->name);
    if (layer < 0)
        return fail_layer(plan, entry->name, "is not in it");
    const int count = sonde__graph_layer(channels->graph, layer).shape.channels;
    const int *unit = sonde__channels_of(channels, layer);
    if (entry->outputs >= 0 && entry->outputs != count)
        return fail_layer(plan, entry->name, "has %d outputs, not %" PRId64, count, entry->outputs);
    if (!entry->keep_outputs)
        return fail_layer(plan, entry->name, "keeps no output");
    if (entry->keep_outputs[entry->output_count - 1] >= count)
        return fail_layer(plan, entry->name, "has no output %d; it has %d",
                          entry->keep_outputs[entry->output_count - 1], count);
    size_t next = 0;
    for (int c = 0; c < count; c++) {
        const bool stays = next < entry->output_count && entry->keep_outputs[next] == c;
        next += stays;
        if (said[unit[c]] != UNSAID && said[unit[c]] != (stays ? STAYS : GOES))
            return fail_layer(plan, entry->name,
                              "%s output %d, but another layer that goes with it does not",
                              stays ? "keeps" : "removes", c);
        said[unit[c]] = stays ? STAYS : GOES;
    }
    return SONDE_OK;
}

/* The inputs follow from the outputs of other layers, and must say the same. */
static sonde_status check_inputs(const sonde__plan *plan, const sonde__plan_entry *entry,
                                 const sonde__channels *channels, const bool *kept)
{
    const sonde__layer_view view =
        sonde__graph_layer(channels->graph, find_layer(channels->graph, entry->name));
    sonde__slice slice;
    if (!entry->keep_inputs || (view.op != SONDE__OP_CONV && view.op != SONDE__OP_LINEAR))
        return SONDE_OK;
    SONDE_TRY(sonde__slice_of(channels, kept, view.first_parameter, &slice));
    const bool fits =
        slice.column_count == entry->input_count &&
        (entry->inputs < 0 || (size_t)entry->inputs == slice.all_columns) &&
        memcmp(slice.columns, entry->keep_inputs, slice.column_count * sizeof(int)) == 0;
    sonde__slice_free(channels->context, &slice);
    return fits
               ? SONDE_OK
               : fail_layer(plan, entry->name, "keeps other inputs than the layers before it give");
}

sonde_status sonde__plan_kept(const sonde__plan *plan, const sonde__channels *channels, bool *kept)
{
    if (plan->weights)
        return sonde__fail_at(plan->context, SONDE_ERROR_ARGUMENT, plan->path, NULL, -1,
                              "%s is a plan of single weights, not of channels", plan->path);
    const size_t units = (size_t)channels->unit_count;
    char *said = sonde__alloc_zero(plan->context, units, 1);
    sonde_status status = said ? SONDE_OK : SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < plan->count && status == SONDE_OK; i++)
        status = read_outputs(plan, &plan->entries[i], channels, said);
    for (size_t u = 0; u < units && status == SONDE_OK; u++)
        kept[u] = said[u] != GOES;
    sonde__free(plan->context, said);
    for (size_t i = 0; i < plan->count && status == SONDE_OK; i++)
        status = check_inputs(plan, &plan->entries[i], channels, kept);
    return status;
}

static sonde_status prune_graph(const sonde__plan *plan, const sonde__channels *channels,
                                sonde__graph **pruned)
{
    bool *kept = sonde__alloc(plan->context, (size_t)channels->unit_count, sizeof *kept);
    sonde_status status = kept ? sonde__plan_kept(plan, channels, kept) : SONDE_ERROR_MEMORY;
    if (status == SONDE_OK)
        status = sonde__prune_graph(channels, kept, pruned);
    sonde__free(plan->context, kept);
    return status;
}

sonde_status sonde__plan_graph(sonde_context *context, const char *path, sonde__graph **graph)
{
    sonde__plan plan;
    sonde__channels channels;
    sonde__graph *pruned = NULL;
    SONDE_TRY(sonde__plan_read(context, path, &plan));
    sonde_status status = SONDE_OK;
    if (!plan.weights) {
        status = sonde__channels_find(context, *graph, &channels);
        if (status == SONDE_OK) {
            status = prune_graph(&plan, &channels, &pruned);
            sonde__channels_free(&channels);
        }
    }
    sonde__plan_release(&plan);
    if (pruned) {
        sonde__graph_free(*graph);
        *graph = pruned;
    }
    return status;
}

/* --- single weights ----------------------------------------------------------------------------- */

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The mask's bits as ones and zeros; the number of ones must be the one said. */
static sonde_status unpack_mask(const sonde__plan *plan, const sonde__plan_entry *entry,
                                size_t elements, float *plain)
{
    int64_t ones = 0;
    if (!entry->mask || strlen(entry->mask) != (elements + 3) / 4)
        return fail_layer(plan, entry->name, "has a mask that is not of its %zu weights", elements);
    for (size_t i = 0; i < elements; i++) {
        const int value = digit_value(entry->mask[i / 4]);
        if (value < 0)
            return fail_layer(plan, entry->name, "has a mask that is not hexadecimal");
        plain[i] = (float)(value >> (3 - i % 4) & 1);
        ones += plain[i] > 0;
    }
    if (entry->kept >= 0 && entry->kept != ones)
        return fail_layer(plan, entry->name, "keeps %" PRId64 " weights by its mask, not %" PRId64,
                          ones, entry->kept);
    return SONDE_OK;
}

static sonde_status read_tensor(const sonde__plan *plan, const sonde__plan_entry *entry,
                                sonde__net *net, float *mask)
{
    for (int p = 0; p < sonde__net_parameter_count(net); p++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, p);
        if (strcmp(parameter->name, entry->name) != 0)
            continue;
        float *plain = sonde__alloc(plan->context, parameter->elements, sizeof *plain);
        if (!plain)
            return SONDE_ERROR_MEMORY;
        const sonde_status status = unpack_mask(plan, entry, parameter->elements, plain);
        if (status == SONDE_OK && parameter->length > 0)
            sonde__net_import(net, mask, p, plain);
        sonde__free(plan->context, plain);
        return status;
    }
    return fail_layer(plan, entry->name, "is not in it");
}

sonde_status sonde__plan_mask(const sonde__plan *plan, sonde__net *net, float **mask)
{
    size_t count;
    sonde__net_weights(net, &count);
    float *made = sonde__alloc(plan->context, count, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++)
        made[i] = 1;
    sonde_status status = SONDE_OK;
    for (size_t i = 0; i < plan->count && status == SONDE_OK && plan->weights; i++)
        status = read_tensor(plan, &plan->entries[i], net, made);
    if (status != SONDE_OK) {
        sonde__free(plan->context, made);
        return status;
    }
    *mask = made;
    return SONDE_OK;
}

sonde_status sonde__plan_mask_at(sonde_context *context, const char *path, sonde__net *net,
                                 float **mask)
{
    sonde__plan plan;
    *mask = NULL;
    if (!path[0])
        return SONDE_OK;
    SONDE_TRY(sonde__plan_read(context, path, &plan));
    const sonde_status status = plan.weights ? sonde__plan_mask(&plan, net, mask) : SONDE_OK;
    sonde__plan_release(&plan);
    return status;
}

/* --- runs --------------------------------------------------------------------------------------- */

static const char plan_name[] = "plan.json";

sonde_status sonde__plan_in_run(sonde_context *context, const char *folder, sonde__config *config)
{
    if (!config->pruned[0])
        return SONDE_OK;
    const int length = snprintf(config->pruned, sizeof config->pruned, "%s/%s", folder, plan_name);
    if (length > 0 && (size_t)length < sizeof config->pruned)
        return SONDE_OK;
    return sonde__fail(context, SONDE_ERROR_ARGUMENT,
                       "the run's path has %zu bytes, too many for that of its plan",
                       strlen(folder));
}

sonde_status sonde__plan_keep(sonde_context *context, const char *folder,
                              const sonde__config *config)
{
    void *bytes = NULL;
    size_t size;
    if (!config->pruned[0])
        return SONDE_OK;
    SONDE_TRY(sonde__read_file(context, config->pruned, SIZE_MAX / 2, &bytes, &size));
    char *path = sonde__path_join(context, folder, plan_name);
    const sonde_status status =
        path ? sonde__replace_file(context, path, bytes, size) : SONDE_ERROR_MEMORY;
    sonde__free(context, path);
    sonde__free(context, bytes);
    return status;
}
