/*
 * The table of layers on the terminal. Columns that matter least are left out first where the
 * terminal is narrow, names are shortened in the middle, and what is remarkable about a layer stands
 * in front of it as a letter, so that nothing depends on colour.
 */
#include "cli/survey_out.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cli/verb.h"
#include "report/words_survey.h"

enum { COLUMNS = 9, CELL = 64, REASONS_SHOWN = 8, NOTES_SHOWN = 8, NAME = 512 };

typedef enum column {
    SHAPE,
    ASPECT,
    TYPE,
    SPIKES,
    RATIO,
    ALPHA,
    DISTANCE,
    STABLE,
    EFFECTIVE
} column;

/* Which columns a width has room for, and how wide they are. */
typedef struct layout {
    int name;
    size_t prefix, suffix; /* bytes that all names share and that are not shown */
    bool shown[COLUMNS];
    int width[COLUMNS];
} layout;

static const char *const headers[COLUMNS] = {"shape", "aspect", "type",   "spikes", "ratio",
                                             "alpha", "D",      "stable", "effect"};

/* The order in which columns are given up, and up to which width of names they are. */
static const struct {
    column which;
    int name;
} dispensable[] = {{ASPECT, 48}, {EFFECTIVE, 36}, {DISTANCE, 24}, {STABLE, 24}, {SHAPE, 24}};

/* ---- cells ----------------------------------------------------------------------------------- */

/* Three digits that matter, and never wider than six columns. */
static void short_number(double value, char *cell)
{
    const double size = fabs(value);
    if (!isfinite(value))
        snprintf(cell, CELL, "-");
    else if (size < 9.995)
        snprintf(cell, CELL, "%.2f", value);
    else if (size < 9999.5)
        snprintf(cell, CELL, size < 99.95 ? "%.1f" : "%.0f", value);
    else
        snprintf(cell, CELL, "%.1e", value);
}

static void layer_cell(const sonde__survey_row *row, column which, char *cell)
{
    const sonde_layer_spectrum *layer = &row->layer;
    const bool tail = isfinite(row->alpha);
    switch (which) {
    case SHAPE:
        sonde__shape_text(layer->dims, layer->dim, "x", cell, CELL);
        break;
    case ASPECT:
        short_number(layer->report.aspect, cell);
        break;
    case TYPE:
        snprintf(cell, CELL, "%s", sonde_spectrum_type_name(layer->report.type));
        break;
    case SPIKES:
        snprintf(cell, CELL, "-");
        if (row->lawful)
            snprintf(cell, CELL, "%d", layer->report.spikes);
        break;
    case RATIO:
        short_number(row->ratio, cell);
        break;
    case ALPHA:
        short_number(row->alpha, cell);
        break;
    case DISTANCE:
        snprintf(cell, CELL, "-");
        if (tail)
            snprintf(cell, CELL, "%.3f", layer->shape.ks_distance);
        break;
    case STABLE:
        short_number(row->shaped ? layer->shape.stable_rank : (double)NAN, cell);
        break;
    case EFFECTIVE:
        short_number(row->shaped ? layer->shape.effective_rank : (double)NAN, cell);
        break;
    }
}

/* ---- names ----------------------------------------------------------------------------------- */

/* How many bytes two texts share at the beginning, or from the end. */
static size_t shared(const char *a, const char *b, bool end)
{
    const size_t n = strlen(a), m = strlen(b), least = n < m ? n : m;
    size_t count = 0;
    while (count < least && (end ? a[n - 1 - count] == b[m - 1 - count] : a[count] == b[count]))
        count++;
    return count;
}

/* Whole parts of the path, "state_dict.module." and ".weight", of all names that are shown. */
static void common_parts(const sonde__survey_table *table, layout *plan)
{
    const char *first = NULL;
    size_t prefix = 0, suffix = 0;
    for (size_t i = 0; i < table->count; i++) {
        const char *name = table->rows[i].layer.name;
        if (table->rows[i].layer.skipped)
            continue;
        if (!first) {
            first = name;
            prefix = suffix = strlen(name);
        }
        const size_t head = shared(first, name, false), tail = shared(first, name, true);
        prefix = head < prefix ? head : prefix;
        suffix = tail < suffix ? tail : suffix;
    }
    if (!first || table->spectra < 2)
        return;
    while (prefix && first[prefix - 1] != '.')
        prefix--;
    const size_t length = strlen(first);
    while (suffix && first[length - suffix] != '.')
        suffix--;
    plan->prefix = prefix;
    plan->suffix = prefix + suffix < length ? suffix : 0;
}

static void shown_name(const layout *plan, const char *name, char *text)
{
    const size_t length = strlen(name);
    const bool whole = length <= plan->prefix + plan->suffix;
    snprintf(text, NAME, "%.*s", (int)(whole ? length : length - plan->prefix - plan->suffix),
             whole ? name : name + plan->prefix);
}

/* ---- layout ---------------------------------------------------------------------------------- */

static int wide_rest(const layout *plan)
{
    int total = 4; /* marks */
    for (int i = 0; i < COLUMNS; i++)
        total += plan->shown[i] ? plan->width[i] + 2 : 0;
    return total;
}

static layout plan_table(const sonde__paper *paper, const sonde__survey_table *table)
{
    layout plan = {.name = 5};
    char cell[CELL], name[NAME];
    common_parts(table, &plan);
    for (int i = 0; i < COLUMNS; i++) {
        plan.shown[i] = true;
        plan.width[i] = (int)strlen(headers[i]);
    }
    for (size_t i = 0; i < table->count; i++) {
        const sonde__survey_row *row = &table->rows[i];
        if (row->layer.skipped)
            continue;
        shown_name(&plan, row->layer.name, name);
        const int wide_name = sonde__columns(name, strlen(name));
        plan.name = wide_name > plan.name ? wide_name : plan.name;
        for (int j = 0; j < COLUMNS; j++) {
            layer_cell(row, (column)j, cell);
            const int wide = (int)strlen(cell);
            plan.width[j] = wide > plan.width[j] ? wide : plan.width[j];
        }
    }
    for (size_t i = 0; i < sizeof dispensable / sizeof dispensable[0]; i++) {
        const int most = dispensable[i].name, wanted = plan.name < most ? plan.name : most;
        if (paper->width - wide_rest(&plan) < wanted)
            plan.shown[dispensable[i].which] = false;
    }
    const int room = paper->width - wide_rest(&plan);
    plan.name = room < plan.name ? room : plan.name;
    plan.name = plan.name < 4 ? 4 : plan.name;
    return plan;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void print_header(const sonde__paper *paper, const layout *plan)
{
    fprintf(paper->to, "%s    %-*s", paper->colour ? "\033[2m" : "", plan->name, "layer");
    for (int i = 0; i < COLUMNS; i++)
        if (plan->shown[i])
            fprintf(paper->to, "  %*s", plan->width[i], headers[i]);
    fputs(paper->colour ? "\033[0m\n" : "\n", paper->to);
}

static void print_row(const sonde__paper *paper, const layout *plan, const sonde__survey_row *row)
{
    char whole[NAME], name[NAME], cell[CELL];
    const bool marked = row->over || row->odd_tail || row->collapsed;
    const char *colour = row->collapsed ? "\033[31m" : "\033[33m";
    shown_name(plan, row->layer.name, whole);
    sonde__paper_shorten(whole, plan->name, name, sizeof name);
    fprintf(paper->to, "%s%c%c%c ", marked && paper->colour ? colour : "", row->over ? '>' : ' ',
            row->odd_tail ? 'a' : ' ', row->collapsed ? 'r' : ' ');
    sonde__paper_cell(paper, name, plan->name);
    for (int i = 0; i < COLUMNS; i++) {
        if (!plan->shown[i])
            continue;
        layer_cell(row, (column)i, cell);
        fprintf(paper->to, "  %*s", plan->width[i], cell);
    }
    fputs(marked && paper->colour ? "\033[0m\n" : "\n", paper->to);
}

static void print_legend(const sonde__paper *paper, const sonde__survey_table *table,
                         const layout *plan)
{
    char line[640];
    snprintf(line, sizeof line,
             "ratio: distance from the random-matrix law over its threshold. alpha%s: power law of "
             "the tail%s.%s%s%s%s%s",
             plan->shown[DISTANCE] ? ", D" : "",
             plan->shown[DISTANCE] ? ", and its Kolmogorov-Smirnov distance" : "",
             plan->shown[STABLE] ? " stable: stable rank." : "",
             plan->shown[EFFECTIVE] ? " effect: effective rank." : "",
             table->over ? " > over its threshold." : "",
             table->odd_tails ? " a alpha outside 2 to 6, well fitted." : "",
             table->collapsed ? " r rank collapse." : "");
    sonde__paper_wrapped(paper, line, 0);
}

static void print_head(const sonde__paper *paper, const sonde__survey_table *table)
{
    char numbers[32], size[32], took[32], line[2048];
    sonde__words_grouped((int64_t)table->info.elements, numbers, sizeof numbers);
    sonde__words_bytes(table->info.file_bytes, size, sizeof size);
    sonde__words_duration(table->seconds, took, sizeof took);
    snprintf(line, sizeof line,
             "%s%s%s: %s, %s, %s numbers; %zu of %zu tensors and slices have a spectrum; %s%s",
             table->path, table->base ? " on top of " : "", table->base ? table->base : "",
             sonde_model_kind_name(table->info.kind), size, numbers, table->spectra, table->count,
             took, table->complete ? "" : " (interrupted)");
    sonde__paper_wrapped(paper, line, 0);
    fputc('\n', paper->to);
}

static void print_reasons(const sonde__paper *paper, const sonde__survey_table *table, bool all)
{
    sonde__skip_reason *reasons = NULL;
    size_t count = 0;
    if (table->spectra == table->count ||
        sonde__survey_reasons(table, &reasons, &count) != SONDE_OK)
        return;
    fprintf(paper->to, "%sNo spectrum for %zu%s\n", table->spectra ? "\n" : "",
            table->count - table->spectra, all ? "" : " (--all names them)");
    for (size_t i = 0; i < count && i < REASONS_SHOWN; i++) {
        char line[512];
        snprintf(line, sizeof line, "%s", reasons[i].reason);
        fprintf(paper->to, "%6zu  ", reasons[i].count);
        sonde__paper_wrapped(paper, line, 8);
    }
    if (count > REASONS_SHOWN)
        fprintf(paper->to, "        and %zu other reasons\n", count - REASONS_SHOWN);
    sonde__free(table->context, reasons);
}

/* What is to be known about numbers that are there, each note once: the scale of an adapter. */
static void print_notes(const sonde__paper *paper, const sonde__survey_table *table)
{
    const char *told[NOTES_SHOWN];
    int count = 0;
    for (size_t i = 0; i < table->count && count < NOTES_SHOWN; i++) {
        const sonde_layer_spectrum *layer = &table->rows[i].layer;
        char line[512];
        bool known = layer->skipped || !layer->note;
        for (int j = 0; j < count && !known; j++)
            known = strcmp(told[j], layer->note) == 0;
        if (known)
            continue;
        size_t same = 0;
        for (size_t j = i; j < table->count; j++) {
            const sonde_layer_spectrum *other = &table->rows[j].layer;
            same += !other->skipped && other->note && strcmp(other->note, layer->note) == 0;
        }
        told[count++] = layer->note;
        snprintf(line, sizeof line, "%.480s", layer->note);
        fprintf(paper->to, "%s%6zu  ", count == 1 ? "\nNotes\n" : "", same);
        sonde__paper_wrapped(paper, line, 8);
    }
}

static void print_skipped(const sonde__paper *paper, const sonde__survey_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const sonde_layer_spectrum *layer = &table->rows[i].layer;
        char name[NAME], shape[CELL], line[1024];
        if (!layer->skipped)
            continue;
        sonde__paper_shorten(layer->name, 60, name, sizeof name);
        sonde__shape_text(layer->dims, layer->dim, "x", shape, sizeof shape);
        snprintf(line, sizeof line, "%s %s: %.400s", name, shape, layer->skipped);
        fputs("    ", paper->to);
        sonde__paper_wrapped(paper, line, 8);
    }
}

static void print_common(const sonde__paper *paper, const sonde__survey_table *table,
                         const layout *plan)
{
    char line[2 * NAME];
    size_t i = 0;
    if (plan->prefix + plan->suffix == 0)
        return;
    while (table->rows[i].layer.skipped)
        i++;
    const char *name = table->rows[i].layer.name;
    snprintf(line, sizeof line, "All names: %.*sNAME%s", (int)plan->prefix, name,
             name + strlen(name) - plan->suffix);
    sonde__paper_wrapped(paper, line, 0);
}

static void print_rows(const sonde__paper *paper, const sonde__survey_table *table)
{
    const layout plan = plan_table(paper, table);
    print_common(paper, table, &plan);
    print_header(paper, &plan);
    for (size_t i = 0; i < table->count; i++)
        if (!table->rows[i].layer.skipped)
            print_row(paper, &plan, &table->rows[i]);
    fputc('\n', paper->to);
    print_legend(paper, table, &plan);
}

void sonde__print_survey(const sonde__paper *paper, const sonde__survey_table *table, bool all)
{
    sonde__words words;
    sonde__warnings warnings;
    print_head(paper, table);
    if (table->spectra)
        print_rows(paper, table);
    print_notes(paper, table);
    print_reasons(paper, table, all);
    if (all)
        print_skipped(paper, table);
    fputc('\n', paper->to);
    sonde__words_law(table, &words);
    sonde__paper_words(paper, &words);
    sonde__words_tails(table, &words);
    sonde__paper_words(paper, &words);
    sonde__words_rank(table, &words);
    sonde__paper_words(paper, &words);
    sonde__words_survey_warnings(table, &warnings);
    for (int i = 0; i < warnings.count; i++)
        sonde__paper_warning(paper, warnings.lines[i]);
}
