/*
 * `sonde diff`: two model files, tensor by tensor. The exit status is that of diff(1): 0 when all
 * numbers are equal, 1 when something differs, 2 when that cannot be told.
 */
#include "cli/verb.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/paper.h"
#include "report/survey.h"

/* A name that one model alone has is no difference where it is tied to a tensor that is compared. */
enum { TIED = SONDE_UNREADABLE + 1, KINDS, DIFFER = 1, TROUBLE = 2, SHAPE = 64 };

static const char *const kind_names[KINDS] = {
    "equal", "changed", "reshaped", "only in first", "only in second", "not compared", "tied"};

typedef struct totals {
    size_t count[KINDS], numbers; /* tensors of a kind; with another number format */
    uint64_t changed, elements;   /* numbers that differ, of those compared */
    uint64_t nonfinite;
    double difference2, norm2; /* squared, over changed tensors with a finite relative norm */
    double largest;
    char largest_name[SONDE_LAYER_NAME_MAX];
    int name_wide;
} totals;

typedef struct pair {
    sonde_model *first, *second;
    sonde_comparison *comparison;
    totals total;
} pair;

/* Of whichever model has the tensor; false when neither can say. */
static bool tensor_of(const pair *two, const sonde_tensor_difference *d, bool second,
                      sonde_tensor *tensor)
{
    const int64_t index = second ? d->second : d->first;
    return index >= 0 &&
           sonde_model_tensor(second ? two->second : two->first, (size_t)index, tensor) == SONDE_OK;
}

/* Numbers that are not read, whose stored bytes are compared: by how much they differ is not known. */
static bool as_bytes(const pair *two, const sonde_tensor_difference *d)
{
    sonde_tensor tensor;
    return tensor_of(two, d, false, &tensor) && !tensor.readable;
}

static int kind_of(const pair *two, const sonde_tensor_difference *d)
{
    sonde_tensor tensor;
    const bool alone = d->difference == SONDE_ONLY_FIRST || d->difference == SONDE_ONLY_SECOND;
    if (alone && tensor_of(two, d, d->difference == SONDE_ONLY_SECOND, &tensor) && tensor.tied_to)
        return TIED;
    return (int)d->difference;
}

static void add_up(pair *two, const sonde_tensor_difference *d)
{
    totals *all = &two->total;
    sonde_tensor tensor;
    const int wide = sonde__columns(d->name, strlen(d->name));
    const int kind = kind_of(two, d);
    all->count[kind]++;
    all->numbers += d->number_differs;
    if (kind != SONDE_SAME && kind != TIED)
        all->name_wide = wide > all->name_wide ? wide : all->name_wide;
    if (d->difference != SONDE_SAME && d->difference != SONDE_CHANGED)
        return;
    all->changed += d->changed;
    all->nonfinite += d->nonfinite;
    if (tensor_of(two, d, false, &tensor))
        all->elements += tensor.elements;
    if (d->difference == SONDE_CHANGED && d->largest >= all->largest && !as_bytes(two, d)) {
        all->largest = d->largest;
        snprintf(all->largest_name, sizeof all->largest_name, "%s", d->name);
    }
}

static bool differs(const totals *all)
{
    for (int i = 0; i < KINDS; i++)
        if (i != SONDE_SAME && i != TIED && all->count[i])
            return true;
    return false;
}

/* ---- for people ------------------------------------------------------------------------------ */

static void shapes_of(const pair *two, const sonde_tensor_difference *d, char *text, size_t size)
{
    sonde_tensor tensor;
    char first[SHAPE] = "", second[SHAPE] = "";
    if (tensor_of(two, d, false, &tensor))
        sonde__shape_text(tensor.dims, tensor.shape, "x", first, sizeof first);
    if (tensor_of(two, d, true, &tensor))
        sonde__shape_text(tensor.dims, tensor.shape, "x", second, sizeof second);
    if (d->difference == SONDE_RESHAPED)
        snprintf(text, size, "%s -> %s", first, second);
    else
        snprintf(text, size, "%s", first[0] ? first : second);
}

static void print_row(const sonde__paper *paper, const pair *two, int name_wide,
                      const sonde_tensor_difference *d)
{
    char name[512], shape[2 * SHAPE + 8], relative[32], largest[32], formats[48] = "";
    sonde_tensor first, second;
    sonde__paper_shorten(d->name, name_wide, name, sizeof name);
    shapes_of(two, d, shape, sizeof shape);
    if (d->number_differs && tensor_of(two, d, false, &first) && tensor_of(two, d, true, &second))
        snprintf(formats, sizeof formats, "  %s -> %s", sonde_number_name(first.number),
                 sonde_number_name(second.number));
    sonde__paper_cell(paper, name, name_wide);
    if (d->difference != SONDE_CHANGED) {
        fprintf(paper->to, "  %-14s  %s%s\n", kind_names[kind_of(two, d)], shape, formats);
        return;
    }
    snprintf(relative, sizeof relative, isfinite(d->relative) ? "%.2e" : "from 0", d->relative);
    snprintf(largest, sizeof largest, "%8.2e", d->largest);
    const bool bytes = as_bytes(two, d); /* compared, not read */
    fprintf(paper->to, "  %-14s  %8s  %8s  %12" PRIu64 "  %s%s\n", "changed",
            bytes ? "-" : relative, bytes ? "-" : largest, d->changed, shape, formats);
}

static void print_rows(const sonde__paper *paper, const pair *two, bool all)
{
    const size_t count = sonde_comparison_count(two->comparison);
    int name_wide = paper->width - 66;
    name_wide = name_wide < 24 ? 24 : name_wide;
    name_wide = two->total.name_wide < name_wide ? two->total.name_wide : name_wide;
    name_wide = name_wide < 6 ? 6 : name_wide;
    if (all || differs(&two->total))
        fprintf(paper->to, "%-*s  %-14s  %8s  %8s  %12s  shape\n", name_wide, "tensor", "",
                "relative", "largest", "changed");
    for (size_t i = 0; i < count; i++) {
        sonde_tensor_difference d;
        if (sonde_comparison_tensor(two->comparison, i, &d) == SONDE_OK &&
            (all || (d.difference != SONDE_SAME && kind_of(two, &d) != TIED)))
            print_row(paper, two, name_wide, &d);
    }
    if (all || differs(&two->total))
        fputc('\n', paper->to);
}

static void print_summary(const sonde__paper *paper, const pair *two)
{
    const totals *all = &two->total;
    char line[1024], changed[32], elements[32];
    size_t used = 0;
    for (int i = 0; i < KINDS; i++)
        if (all->count[i] || i <= SONDE_CHANGED)
            used += (size_t)snprintf(line + used, sizeof line - used, "%s%zu %s", used ? ", " : "",
                                     all->count[i], kind_names[i]);
    fprintf(paper->to, "Tensors  %s\n", line);
    if (all->changed) {
        sonde__words_grouped((int64_t)all->changed, changed, sizeof changed);
        sonde__words_grouped((int64_t)all->elements, elements, sizeof elements);
        size_t told = (size_t)snprintf(line, sizeof line, "%s of %s compared numbers differ",
                                       changed, elements);
        if (all->largest_name[0])
            snprintf(line + told, sizeof line - told, "; the largest difference is %.4g, in %s",
                     all->largest, all->largest_name);
        fputs("Numbers  ", paper->to);
        sonde__paper_wrapped(paper, line, 9);
    }
    if (all->numbers)
        fprintf(paper->to, "Formats  %zu tensor%s another number format\n", all->numbers,
                all->numbers == 1 ? " has" : "s have");
    if (all->nonfinite) {
        sonde__words_grouped((int64_t)all->nonfinite, changed, sizeof changed);
        snprintf(line, sizeof line, "%s NaN or infinite numbers, which the norms leave out",
                 changed);
        sonde__paper_warning(paper, line);
    }
}

/* ---- for programs ---------------------------------------------------------------------------- */

static void shape_list(sonde__json_out *json, const char *name, const pair *two,
                       const sonde_tensor_difference *d, bool second)
{
    sonde_tensor tensor;
    if (!tensor_of(two, d, second, &tensor)) {
        sonde__out_null(json, name);
        return;
    }
    sonde__out_open(json, name, '[');
    for (int i = 0; i < tensor.dims; i++)
        sonde__out_whole(json, NULL, tensor.shape[i]);
    sonde__out_close(json, ']');
}

static const char *format_of(const pair *two, const sonde_tensor_difference *d, bool second)
{
    sonde_tensor tensor;
    return tensor_of(two, d, second, &tensor) ? sonde_number_name(tensor.number) : NULL;
}

static void tensor_object(sonde__json_out *json, const pair *two, const sonde_tensor_difference *d)
{
    static const char *const kinds[KINDS] = {
        "equal", "changed", "reshaped", "only_first", "only_second", "not_compared", "tied"};
    const bool compared = d->difference == SONDE_SAME || d->difference == SONDE_CHANGED;
    const bool measured = d->difference == SONDE_SAME || (compared && !as_bytes(two, d));
    sonde__out_open(json, NULL, '{');
    sonde__out_string(json, "name", d->name);
    sonde__out_string(json, "difference", kinds[kind_of(two, d)]);
    shape_list(json, "first_shape", two, d, false);
    shape_list(json, "second_shape", two, d, true);
    sonde__out_string(json, "first_format", format_of(two, d, false));
    sonde__out_string(json, "second_format", format_of(two, d, true));
    sonde__out_number(json, "relative", measured ? d->relative : (double)NAN);
    sonde__out_number(json, "largest", measured ? d->largest : (double)NAN);
    if (compared)
        sonde__out_count(json, "changed", d->changed);
    else
        sonde__out_null(json, "changed");
    if (compared)
        sonde__out_count(json, "nonfinite", d->nonfinite);
    else
        sonde__out_null(json, "nonfinite");
    sonde__out_close(json, '}');
}

static sonde_status write_json(const sonde__call *call, const pair *two)
{
    static const char *const names[KINDS] = {
        "equal", "changed", "reshaped", "only_first", "only_second", "not_compared", "tied"};
    sonde__json_out json;
    sonde__out_begin(&json, call->context, stdout);
    sonde__out_open(&json, NULL, '{');
    sonde__out_string(&json, "first", call->positionals[0]);
    sonde__out_string(&json, "second", call->positionals[1]);
    sonde__out_flag(&json, "same", !differs(&two->total));
    for (int i = 0; i < KINDS; i++)
        sonde__out_count(&json, names[i], two->total.count[i]);
    sonde__out_count(&json, "other_format", two->total.numbers);
    sonde__out_count(&json, "changed_numbers", two->total.changed);
    sonde__out_count(&json, "compared_numbers", two->total.elements);
    sonde__out_open(&json, "tensors", '[');
    for (size_t i = 0; i < sonde_comparison_count(two->comparison); i++) {
        sonde_tensor_difference d;
        if (sonde_comparison_tensor(two->comparison, i, &d) == SONDE_OK)
            tensor_object(&json, two, &d);
    }
    sonde__out_close(&json, ']');
    sonde__out_close(&json, '}');
    return sonde__out_end(&json);
}

/* ---- the verb -------------------------------------------------------------------------------- */

static sonde_status compare(sonde__call *call, pair *two)
{
    SONDE_TRY(sonde_model_open(call->context, call->positionals[0], NULL, &two->first));
    SONDE_TRY(sonde_model_open(call->context, call->positionals[1], NULL, &two->second));
    SONDE_TRY(sonde_compare(call->context, two->first, two->second, &two->comparison));
    for (size_t i = 0; i < sonde_comparison_count(two->comparison); i++) {
        sonde_tensor_difference d;
        SONDE_TRY(sonde_comparison_tensor(two->comparison, i, &d));
        add_up(two, &d);
    }
    return SONDE_OK;
}

static sonde_status tell(sonde__call *call, const pair *two)
{
    const sonde__paper paper = sonde__paper_of(stdout);
    if (call->values.json)
        return write_json(call, two);
    if (call->values.quiet)
        return SONDE_OK;
    print_rows(&paper, two, call->values.all);
    print_summary(&paper, two);
    return SONDE_OK;
}

static int run_diff(sonde__call *call)
{
    pair two = {0};
    sonde__interrupt_install();
    sonde__interrupt_cancels(call->context);
    sonde_status status = compare(call, &two);
    if (status == SONDE_OK)
        status = tell(call, &two);
    int exit_status = differs(&two.total) ? DIFFER : SONDE__EXIT_DONE;
    if (status != SONDE_OK) {
        sonde__cli_fail(call->context);
        exit_status = sonde__interrupt_signal() ? 128 + sonde__interrupt_signal() : TROUBLE;
    }
    sonde__interrupt_cancels(NULL);
    sonde_comparison_free(two.comparison);
    sonde_model_close(two.first);
    sonde_model_close(two.second);
    return exit_status;
}

static const sonde__option options[] = {
    {SONDE__OPTION_FLAG, "all", 0, "", "also list tensors that are equal",
     offsetof(sonde__values, all)},
    {SONDE__OPTION_SIZE, "memory", 0, "SIZE", "keep within this much memory, as 512M or 2G",
     offsetof(sonde__values, memory)},
    {SONDE__OPTION_FLAG, "json", 0, "", "print one JSON object with every tensor",
     offsetof(sonde__values, json)},
    {SONDE__OPTION_FLAG, "quiet", 'q', "", "print nothing: the exit status tells",
     offsetof(sonde__values, quiet)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

const sonde__verb sonde__verb_diff = {
    .name = "diff",
    .summary = "compares two model files, tensor by tensor",
    .usage = "diff FIRST SECOND [OPTIONS]",
    .examples = "    sonde diff before.safetensors after.safetensors\n"
                "    sonde diff checkpoint.pt converted.safetensors && echo the same numbers\n",
    .about =
        "Tensors are matched by name, whatever the formats of the two files are; a prefix that\n"
        "all names of one model share is dropped where that matches more, and a model that is as\n"
        "a whole a part of the other is compared with that part. relative: norm of the\n"
        "difference over the norm of the first; largest: its largest element. Formats that\n"
        "are listed but not read are compared by their stored bytes.\n"
        "Exit status: 0 all numbers are equal, 1 something differs, 2 trouble, as of diff.\n",
    .options = options,
    .positional = "FIRST and SECOND",
    .least = 2,
    .most = 2,
    .run = run_diff,
};
