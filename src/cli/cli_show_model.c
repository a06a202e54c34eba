/*
 * `sonde show MODEL`: what a model file holds, from its directory alone: tensors with shape, format
 * and size, ties, metadata, and what is odd about it. No number is read.
 */
#include "cli/verb.h"

#include <inttypes.h>
#include <string.h>

#include "cli/json_out.h"
#include "cli/paper.h"
#include "report/survey.h"

enum { METADATA_SHOWN = 12, FORMATS = 32, SHAPE_MOST = 28 };

/* ---- totals ---------------------------------------------------------------------------------- */

typedef struct format_total {
    sonde_number number;
    size_t tensors;
    uint64_t elements, bytes;
} format_total;

/* What the listing needs to know before its first line. */
typedef struct listing {
    const sonde_model *model;
    const char *path;
    sonde_model_info info;
    format_total formats[FORMATS];
    int format_count;
    int name_wide, shape_wide;
    uint64_t bytes;
} listing;

static void add_format(listing *list, const sonde_tensor *tensor)
{
    int i = 0;
    while (i < list->format_count && list->formats[i].number != tensor->number)
        i++;
    if (i == FORMATS)
        return;
    if (i == list->format_count)
        list->formats[list->format_count++] = (format_total){.number = tensor->number};
    list->formats[i].tensors++;
    if (tensor->tied_to)
        return;
    list->formats[i].elements += tensor->elements;
    list->formats[i].bytes += tensor->bytes;
    list->bytes += tensor->bytes;
}

static void look_over(const sonde_model *model, const char *path, listing *list)
{
    *list = (listing){.model = model, .path = path, .name_wide = 6, .shape_wide = 5};
    sonde_model_describe(model, &list->info);
    for (size_t i = 0; i < sonde_model_count(model); i++) {
        sonde_tensor tensor;
        char shape[128];
        if (sonde_model_tensor(model, i, &tensor) != SONDE_OK)
            continue;
        add_format(list, &tensor);
        sonde__shape_text(tensor.dims, tensor.shape, "x", shape, sizeof shape);
        const int name = sonde__columns(tensor.name, strlen(tensor.name));
        list->name_wide = name > list->name_wide ? name : list->name_wide;
        list->shape_wide =
            (int)strlen(shape) > list->shape_wide ? (int)strlen(shape) : list->shape_wide;
    }
    list->shape_wide = list->shape_wide > SHAPE_MOST ? SHAPE_MOST : list->shape_wide;
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_head(const sonde__paper *paper, const listing *list)
{
    char size[32], tensors[32], numbers[32], tied[64] = "", files[48] = "", line[2048];
    const sonde_model_info *info = &list->info;
    sonde__words_bytes(info->file_bytes, size, sizeof size);
    sonde__words_grouped((int64_t)info->tensors, tensors, sizeof tensors);
    sonde__words_grouped((int64_t)info->elements, numbers, sizeof numbers);
    if (info->files > 1)
        snprintf(files, sizeof files, " in %zu files", info->files);
    if (info->tied)
        snprintf(tied, sizeof tied, " (%zu tied to another)", info->tied);
    snprintf(line, sizeof line, "%s: %s%s, %s, %s tensor%s%s, %s numbers", list->path,
             sonde_model_kind_name(info->kind), files, size, tensors, info->tensors == 1 ? "" : "s",
             tied, numbers);
    sonde__paper_wrapped(paper, line, 0);
    size_t used = 0;
    line[0] = 0;
    for (int i = 0; i < list->format_count && used < sizeof line - 96; i++) {
        const format_total *format = &list->formats[i];
        sonde__words_grouped((int64_t)format->elements, numbers, sizeof numbers);
        sonde__words_bytes(format->bytes, size, sizeof size);
        used +=
            (size_t)snprintf(line + used, sizeof line - used, "%s%s: %zu tensor%s, %s numbers, %s",
                             i ? "; " : "", sonde_number_name(format->number), format->tensors,
                             format->tensors == 1 ? "" : "s", numbers, size);
    }
    if (used)
        sonde__paper_wrapped(paper, line, 0);
    fputc('\n', paper->to);
}

static void append_note(char *note, size_t size, const char *what, const char *name)
{
    char shown[64];
    const size_t used = strlen(note);
    sonde__paper_shorten(name, 48, shown, sizeof shown);
    snprintf(note + used, size - used, "%s%s%s", used ? ", " : "  ", what, shown);
}

/* What there is to say about one tensor; "" for most. */
static void notes_of(const sonde_tensor *tensor, char *note, size_t size)
{
    note[0] = 0;
    if (tensor->tied_to)
        append_note(note, size, "same as ", tensor->tied_to);
    if (tensor->scale)
        append_note(note, size, "scaled by ", tensor->scale);
    if (!tensor->contiguous)
        append_note(note, size, "strided", "");
    if (tensor->offset < 0 && tensor->bytes)
        append_note(note, size, "packed", "");
    if (!tensor->readable)
        append_note(note, size, "this format is not read", "");
}

static void print_tensor(const sonde__paper *paper, const listing *list, int name_wide,
                         const sonde_tensor *tensor)
{
    char name[512], shape[128], size[32], note[256];
    sonde__paper_shorten(tensor->name, name_wide, name, sizeof name);
    sonde__shape_text(tensor->dims, tensor->shape, "x", shape, sizeof shape);
    sonde__words_bytes(tensor->bytes, size, sizeof size);
    notes_of(tensor, note, sizeof note);
    sonde__paper_cell(paper, name, name_wide);
    fprintf(paper->to, "  %*s  %-7s  %9s%s\n", list->shape_wide, shape,
            sonde_number_name(tensor->number), size, note);
}

static void print_tensors(const sonde__paper *paper, const listing *list)
{
    const int rest = list->shape_wide + 2 + 2 + 7 + 2 + 9;
    int name_wide = paper->width - rest;
    name_wide = name_wide < 12 ? 12 : name_wide > list->name_wide ? list->name_wide : name_wide;
    const size_t count = sonde_model_count(list->model);
    if (count)
        fprintf(paper->to, "%-*s  %*s  %-7s  %9s\n", name_wide, "tensor", list->shape_wide, "shape",
                "format", "size");
    for (size_t i = 0; i < count; i++) {
        sonde_tensor tensor;
        if (sonde_model_tensor(list->model, i, &tensor) == SONDE_OK)
            print_tensor(paper, list, name_wide, &tensor);
    }
}

static void print_metadata(const sonde__paper *paper, const listing *list, bool all)
{
    const size_t count = list->info.metadata;
    if (count)
        fputs("\nmetadata\n", paper->to);
    for (size_t i = 0; i < count && (all || i < METADATA_SHOWN); i++) {
        const char *key, *value;
        char left[64], right[160];
        if (sonde_model_metadata(list->model, i, &key, &value) != SONDE_OK)
            continue;
        sonde__paper_shorten(key, 40, left, sizeof left);
        const int room = paper->width - 5 - sonde__columns(left, strlen(left));
        sonde__paper_shorten(value, room, right, sizeof right);
        fprintf(paper->to, "  %s = %s\n", left, right);
    }
    if (!all && count > METADATA_SHOWN)
        fprintf(paper->to, "  and %zu more (--all shows them, --json whole)\n",
                count - METADATA_SHOWN);
}

static void print_model(const sonde__paper *paper, const listing *list, bool all)
{
    char line[1024];
    const char *warning;
    print_head(paper, list);
    print_tensors(paper, list);
    print_metadata(paper, list, all);
    for (size_t i = 0; (warning = sonde_model_warning(list->model, i)) != NULL; i++) {
        fputs(i ? "" : "\n", paper->to);
        snprintf(line, sizeof line, "%s", warning);
        sonde__paper_warning(paper, line);
    }
}

/* ---- for programs ---------------------------------------------------------------------------- */

static void tensor_object(sonde__json_out *json, const sonde_tensor *tensor)
{
    sonde__out_open(json, NULL, '{');
    sonde__out_string(json, "name", tensor->name);
    sonde__out_string(json, "format", sonde_number_name(tensor->number));
    sonde__out_open(json, "shape", '[');
    for (int i = 0; i < tensor->dims; i++)
        sonde__out_whole(json, NULL, tensor->shape[i]);
    sonde__out_close(json, ']');
    sonde__out_count(json, "elements", tensor->elements);
    sonde__out_count(json, "bytes", tensor->bytes);
    sonde__out_string(json, "file", tensor->file);
    sonde__out_whole(json, "offset", tensor->offset);
    sonde__out_flag(json, "contiguous", tensor->contiguous);
    sonde__out_flag(json, "readable", tensor->readable);
    sonde__out_string(json, "tied_to", tensor->tied_to);
    sonde__out_string(json, "scale", tensor->scale);
    sonde__out_close(json, '}');
}

static void formats_list(sonde__json_out *json, const listing *list)
{
    sonde__out_open(json, "formats", '[');
    for (int i = 0; i < list->format_count; i++) {
        const format_total *format = &list->formats[i];
        sonde__out_open(json, NULL, '{');
        sonde__out_string(json, "format", sonde_number_name(format->number));
        sonde__out_count(json, "tensors", format->tensors);
        sonde__out_count(json, "elements", format->elements);
        sonde__out_count(json, "bytes", format->bytes);
        sonde__out_close(json, '}');
    }
    sonde__out_close(json, ']');
}

/* Keys may come twice in some formats, so pairs, not members. */
static void metadata_list(sonde__json_out *json, const listing *list)
{
    const char *key, *value, *warning;
    sonde__out_open(json, "metadata", '[');
    for (size_t i = 0; i < list->info.metadata; i++)
        if (sonde_model_metadata(list->model, i, &key, &value) == SONDE_OK) {
            sonde__out_open(json, NULL, '{');
            sonde__out_string(json, "key", key);
            sonde__out_string(json, "value", value);
            sonde__out_close(json, '}');
        }
    sonde__out_close(json, ']');
    sonde__out_open(json, "warnings", '[');
    for (size_t i = 0; (warning = sonde_model_warning(list->model, i)) != NULL; i++)
        sonde__out_string(json, NULL, warning);
    sonde__out_close(json, ']');
}

static sonde_status write_json(sonde_context *context, const listing *list)
{
    sonde__json_out json;
    sonde__out_begin(&json, context, stdout);
    sonde__out_open(&json, NULL, '{');
    sonde__out_string(&json, "model", list->path);
    sonde__out_string(&json, "format", sonde_model_kind_name(list->info.kind));
    sonde__out_count(&json, "files", list->info.files);
    sonde__out_count(&json, "file_bytes", list->info.file_bytes);
    sonde__out_count(&json, "elements", list->info.elements);
    sonde__out_count(&json, "bytes", list->bytes);
    sonde__out_count(&json, "tensor_count", list->info.tensors);
    sonde__out_count(&json, "tied", list->info.tied);
    formats_list(&json, list);
    metadata_list(&json, list);
    sonde__out_open(&json, "tensors", '[');
    for (size_t i = 0; i < sonde_model_count(list->model); i++) {
        sonde_tensor tensor;
        if (sonde_model_tensor(list->model, i, &tensor) == SONDE_OK)
            tensor_object(&json, &tensor);
    }
    sonde__out_close(&json, ']');
    sonde__out_close(&json, '}');
    return sonde__out_end(&json);
}

int sonde__cli_show_model(sonde__call *call)
{
    sonde_model *model = NULL;
    sonde_status status = sonde_model_open(call->context, call->positional, NULL, &model);
    if (status != SONDE_OK)
        return sonde__cli_fail(call->context);
    const sonde__paper paper = sonde__paper_of(stdout);
    listing list;
    look_over(model, call->positional, &list);
    if (call->values.json)
        status = write_json(call->context, &list);
    else
        print_model(&paper, &list, call->values.all);
    sonde_model_close(model);
    return status == SONDE_OK ? SONDE__EXIT_DONE : sonde__cli_fail(call->context);
}
