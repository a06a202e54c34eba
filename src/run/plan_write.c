/* Writing pruning plans (plan.h). */
#include <inttypes.h>

#include "base/path.h"
#include "base/text.h"
#include "net/prune_graph.h"
#include "net/study.h"
#include "run/plan.h"

static void add_head(sonde__text *text, const sonde__plan_facts *facts, const char *kind,
                     const char *list)
{
    sonde__text_format(text, "{\"format\": \"sonde-prune-plan-1\", \"kind\": \"%s\",\n", kind);
    sonde__text_add(text, " \"model\": ");
    sonde__text_json_string(text, facts->model);
    sonde__text_format(text, ", \"input\": [%d, %d, %d], \"classes\": %d,\n", facts->input.channels,
                       facts->input.height, facts->input.width, facts->classes);
    sonde__text_add(text, " \"criterion\": ");
    sonde__text_json_string(text, facts->criterion);
    sonde__text_add(text, ", \"ratio\": ");
    sonde__text_number(text, facts->ratio);
    sonde__text_format(text, ",\n \"%s\": [", list);
}

static sonde_status finish(sonde_context *context, sonde__text *text, const char *path)
{
    sonde__text_add(text, "\n ]}\n");
    sonde_status status = sonde__text_status(text);
    if (status == SONDE_OK)
        status = sonde__replace_file(context, path, text->bytes, text->length);
    sonde__text_free(text);
    return status;
}

static void add_list(sonde__text *text, const char *name, const int *list, size_t count)
{
    sonde__text_format(text, ", \"%s\": [", name);
    for (size_t i = 0; i < count; i++)
        sonde__text_format(text, "%s%d", i ? ", " : "", list[i]);
    sonde__text_add(text, "]");
}

/* --- channels ----------------------------------------------------------------------------------- */

static const char *op_of(const sonde__layer_view *view)
{
    switch (view->op) {
    case SONDE__OP_CONV:
        return "conv";
    case SONDE__OP_LINEAR:
        return "linear";
    case SONDE__OP_BATCH_NORM:
        return "batch_norm";
    case SONDE__OP_SHORTCUT_PAD:
        return "shortcut_pad";
    default:
        return NULL; /* has nothing that goes */
    }
}

static sonde_status add_inputs(sonde__text *text, const sonde__channels *channels, const bool *kept,
                               const sonde__layer_view *view)
{
    sonde__slice slice;
    SONDE_TRY(sonde__slice_of(channels, kept, view->first_parameter, &slice));
    sonde__text_format(text, ", \"inputs\": %zu", slice.all_columns);
    add_list(text, "keep_inputs", slice.columns, slice.column_count);
    sonde__slice_free(channels->context, &slice);
    return SONDE_OK;
}

static sonde_status add_layer(sonde__text *text, const sonde__channels *channels, const bool *kept,
                              int layer, int *room)
{
    const sonde__layer_view view = sonde__graph_layer(channels->graph, layer);
    const int count = sonde__channels_kept(channels, kept, layer, room);
    sonde__text_add(text, "{\"name\": ");
    sonde__text_json_string(text, view.name);
    sonde__text_format(text, ", \"op\": \"%s\", \"outputs\": %d", op_of(&view),
                       view.shape.channels);
    add_list(text, "keep_outputs", room, (size_t)count);
    if (view.op == SONDE__OP_CONV || view.op == SONDE__OP_LINEAR)
        SONDE_TRY(add_inputs(text, channels, kept, &view));
    if (view.op == SONDE__OP_CONV && view.conv.groups > 1)
        sonde__text_format(text, ", \"groups\": %d", sonde__prune_groups(channels, kept, layer));
    if (view.op == SONDE__OP_SHORTCUT_PAD)
        sonde__text_format(text, ", \"front\": %d", sonde__prune_front(channels, kept, layer));
    sonde__text_add(text, "}");
    return SONDE_OK;
}

sonde_status sonde__plan_write_channels(const char *path, const sonde__plan_facts *facts,
                                        const sonde__channels *channels, const bool *kept)
{
    sonde_context *context = channels->context;
    const int layers = sonde__graph_layer_count(channels->graph);
    int *room = sonde__alloc(context, channels->first[layers], sizeof *room);
    sonde__text text;
    sonde_status status = room ? SONDE_OK : SONDE_ERROR_MEMORY;
    sonde__text_init(&text, context);
    add_head(&text, facts, "channels", "layers");
    bool first = true;
    for (int i = 0; i < layers && status == SONDE_OK; i++) {
        const sonde__layer_view view = sonde__graph_layer(channels->graph, i);
        if (!op_of(&view))
            continue;
        sonde__text_add(&text, first ? "\n  " : ",\n  ");
        first = false;
        status = add_layer(&text, channels, kept, i, room);
    }
    sonde__free(context, room);
    if (status == SONDE_OK)
        return finish(context, &text, path);
    sonde__text_free(&text);
    return status;
}

/* --- single weights ----------------------------------------------------------------------------- */

static void add_mask(sonde__text *text, const bool *keep, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    char line[64];
    size_t used = 0;
    sonde__text_add(text, ", \"mask\": \"");
    for (size_t begin = 0; begin < count; begin += 4) {
        unsigned value = 0;
        for (size_t bit = 0; bit < 4; bit++)
            value = 2 * value + (begin + bit < count && keep[begin + bit]);
        line[used++] = digits[value];
        if (used == sizeof line || begin + 4 >= count) {
            sonde__text_add_bytes(text, line, used);
            used = 0;
        }
    }
    sonde__text_add(text, "\"}");
}

static void add_tensor(sonde__text *text, const sonde__parameter *parameter, const bool *keep)
{
    size_t kept = 0;
    for (size_t i = 0; i < parameter->elements; i++)
        kept += keep[i];
    sonde__text_add(text, "{\"name\": ");
    sonde__text_json_string(text, parameter->name);
    sonde__text_add(text, ", \"shape\": [");
    for (int d = 0; d < parameter->dims; d++)
        sonde__text_format(text, "%s%" PRId64, d ? ", " : "", parameter->shape[d]);
    sonde__text_format(text, "], \"kept\": %zu", kept);
    add_mask(text, keep, parameter->elements);
}

sonde_status sonde__plan_write_weights(sonde_context *context, const char *path,
                                       const sonde__plan_facts *facts, const sonde__net *net,
                                       bool *const *keep)
{
    sonde__text text;
    bool first = true;
    sonde__text_init(&text, context);
    add_head(&text, facts, "weights", "tensors");
    for (int p = 0; p < sonde__net_parameter_count(net); p++) {
        if (!keep[p])
            continue;
        sonde__text_add(&text, first ? "\n  " : ",\n  ");
        first = false;
        add_tensor(&text, sonde__net_parameter(net, p), keep[p]);
    }
    return finish(context, &text, path);
}
