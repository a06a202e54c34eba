/* The answer of `sonde keep`, for people and for programs; see keep_table.h. */
#include "cli/keep_table.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report/words_survey.h"

enum { ROWS_MAX = 60 };

/* ---- the checkpoints ------------------------------------------------------------------------- */

static void score_cell(FILE *to, const sonde_score *score)
{
    if (score->validity == SONDE_VALID)
        fprintf(to, "  %9.4g", score->value);
    else
        fprintf(to, "  %9s", "-");
}

/* Columns that the paper has room for: the deciding signal first, then in their order, then names. */
typedef struct layout {
    bool shown[SONDE__SIGNALS];
    int name;      /* columns of the file's name; 0: left out */
    size_t folder; /* bytes of the paths that are the same for all */
} layout;

static layout plan_columns(const sonde__paper *paper, const sonde__keep_table *table)
{
    layout plan = {.name = 0};
    int room = paper->width - 8 - (table->rows ? 18 : 0);
    for (int i = -1; i < SONDE__SIGNALS; i++) {
        const int which = i < 0 ? table->by : i;
        if (which < 0 || plan.shown[which] || !table->signals[which].usable || room < 11)
            continue;
        plan.shown[which] = true;
        room -= 11;
    }
    plan.name = table->paths && room >= 14 ? room - 2 : 0;
    plan.folder = SIZE_MAX;
    for (size_t i = 0; table->paths && i < table->count; i++)
        plan.folder = sonde__shared_folder(table->paths[0], table->paths[i], plan.folder);
    return plan;
}

static void print_checkpoint(const sonde__paper *paper, const sonde__keep_table *table,
                             const layout *plan, size_t i)
{
    const bool kept = (int64_t)i == sonde__keep_chosen(table);
    char name[256];
    fprintf(paper->to, "%s%c %6" PRId64, kept && paper->colour ? "\033[32m" : "", kept ? '*' : ' ',
            table->epochs[i]);
    for (int j = 0; j < SONDE__SIGNALS; j++)
        if (plan->shown[j])
            score_cell(paper->to, &table->signals[j].scores[i]);
    if (table->rows) {
        fprintf(paper->to, "  %4zu/%-4zu", table->rows[i].over, table->rows[i].judged);
        if (isfinite(table->rows[i].worst_ratio))
            fprintf(paper->to, "  %5.2f", table->rows[i].worst_ratio);
        else
            fprintf(paper->to, "  %5s", "-");
    }
    if (plan->name) {
        sonde__paper_shorten(table->paths[i] + plan->folder, plan->name, name, sizeof name);
        fprintf(paper->to, "  %s", name);
    }
    fputs(kept && paper->colour ? "\033[0m\n" : "\n", paper->to);
}

static void print_checkpoints(const sonde__paper *paper, const sonde__keep_table *table)
{
    const size_t every = (table->count + ROWS_MAX - 1) / ROWS_MAX;
    const layout plan = plan_columns(paper, table);
    fprintf(paper->to, "%s%8s", paper->colour ? "\033[2m" : "", "epoch");
    for (int j = 0; j < SONDE__SIGNALS; j++)
        if (plan.shown[j])
            fprintf(paper->to, "  %9s", table->signals[j].header);
    if (table->rows)
        fprintf(paper->to, "  %9s  %5s", "over/all", "ratio");
    fprintf(paper->to, "%s%s\n", plan.name ? "  file" : "", paper->colour ? "\033[0m" : "");
    for (size_t i = 0; i < table->count; i++)
        if ((i + 1) % every == 0 || i == 0 || i + 1 == table->count ||
            (int64_t)i == sonde__keep_chosen(table))
            print_checkpoint(paper, table, &plan, i);
    fprintf(paper->to, "%s\n", every > 1 ? "not every checkpoint is shown\n" : "");
}

/* ---- the signals ----------------------------------------------------------------------------- */

static void print_signal(const sonde__paper *paper, const sonde__keep_table *table, int which)
{
    const sonde__signal *signal = &table->signals[which];
    const sonde_keep_choice *choice = &signal->choice;
    char line[512];
    if (!signal->usable)
        snprintf(line, sizeof line, "does not apply: %s", signal->why_not);
    else if (choice->epoch < 0)
        snprintf(line, sizeof line, "no choice: %.400s", choice->reason);
    else
        snprintf(line, sizeof line,
                 "epoch %" PRId64 ", %.4g (%s is better), %s, %zu of %zu scored%s", choice->epoch,
                 choice->score, which == SONDE_SCORE_ACCURACY ? "higher" : "lower",
                 choice->window == SONDE_WINDOW_TAIL ? "of the last epochs" : "of all epochs",
                 signal->usable, table->count,
                 !choice->meaningful ? "; do not rely on it"
                 : choice->warnings  ? "; with warnings"
                                     : "");
    fprintf(paper->to, "%c %-15s ", which == table->by ? '*' : ' ', signal->name);
    sonde__paper_wrapped(paper, line, 18);
}

/* One line for all where none applies, and for the same reason. */
static void print_signals(const sonde__paper *paper, const sonde__keep_table *table)
{
    const sonde__signal *first = &table->signals[0];
    bool same = true;
    for (int i = 0; i < SONDE_SCORE_TPV; i++)
        same = same && !table->signals[i].usable &&
               strcmp(table->signals[i].why_not, first->why_not) == 0;
    /* Only runs have test prediction variance. */
    const int count = table->paths ? SONDE_SCORE_TPV : SONDE__SIGNALS;
    if (same) {
        char line[512];
        snprintf(line, sizeof line, "do not apply: %.400s", first->why_not);
        fprintf(paper->to, "  %-15s ", "scores");
        sonde__paper_wrapped(paper, line, 18);
        return;
    }
    for (int i = 0; i < count; i++)
        print_signal(paper, table, i);
}

static void print_spectra(const sonde__paper *paper, const sonde__keep_table *table)
{
    char line[SONDE_LAYER_NAME_MAX + 256];
    if (!table->stop)
        snprintf(line, sizeof line, "not looked at; --spectra computes them");
    else if (table->stop->stop_advised)
        snprintf(line, sizeof line,
                 "rank nothing; stopping was advised at epoch %" PRId64
                 " (layer %.127s): later checkpoints come after that",
                 table->stop->stop_epoch, table->stop->stop_layer);
    else if (table->stop->worst_ratio > 0)
        snprintf(line, sizeof line, "rank nothing; stopping was not advised up to the last epoch");
    else
        snprintf(line, sizeof line, "do not apply. %.300s", table->stop->stop_reason);
    fprintf(paper->to, "  %-15s ", "spectra");
    sonde__paper_wrapped(paper, line, 18);
}

static void how_to_probe(const sonde__paper *paper)
{
    char line[] =
        "To rank checkpoints, write beside each NAME.EXT a NAME.probe.npz with the arrays "
        "features (inputs of the last layer, B x d), logits (B x C), labels (B) and, if "
        "you can, weight (C x d), of one fixed batch, best of examples that training "
        "never saw (docs/command.md).";
    sonde__paper_wrapped(paper, line, 0);
}

static void spectra_words(const sonde__keep_table *table, sonde__words *words)
{
    const int64_t index = sonde__keep_chosen(table);
    *words = (sonde__words){.topic = "Keep", .tone = SONDE__TONE_UNSURE};
    snprintf(words->answer, sizeof words->answer, "Epoch %" PRId64, table->stop->stop_epoch);
    snprintf(words->sure, sizeof words->sure, "Unsure: by the stop advice of the spectra alone");
    if (index >= 0)
        sonde__words_add(words, "%s", table->paths[index]);
    sonde__words_add(words, "No score ranks these checkpoints. The published criterion stops here, "
                            "which cost up to 2.5 points of accuracy in its own experiments.");
}

static void print_answer(const sonde__paper *paper, const sonde__keep_table *table)
{
    static const sonde_keep_choice none = {.epoch = -1,
                                           .reason = "No signal that ranks checkpoints applies."};
    sonde__words words;
    const int64_t index = sonde__keep_chosen(table);
    const sonde__signal *by = table->by >= 0 ? &table->signals[table->by] : NULL;
    const char *path = index >= 0 && table->paths ? table->paths[index] : "";
    if (sonde__keep_by_spectra(table))
        spectra_words(table, &words);
    else
        sonde__words_series_keep(by && by->usable ? &by->choice : &none, by ? by->name : "", path,
                                 &words);
    if (by && !by->usable)
        sonde__words_add(&words, "By %s: %s.", by->name, by->why_not);
    sonde__paper_words(paper, &words);
    if (!by || !by->usable)
        return;
    for (uint32_t bit = 1; bit; bit <<= 1) {
        const char *sentence =
            (by->choice.warnings & bit) ? sonde_keep_warning_sentence(bit) : NULL;
        char line[320];
        if (!sentence)
            continue;
        snprintf(line, sizeof line, "%s%s", sentence,
                 bit == SONDE_KEEP_WARN_SEEN && table->paths ? "; say --held if it is not" : "");
        sonde__paper_warning(paper, line);
    }
}

void sonde__print_keep(const sonde__paper *paper, const sonde__keep_table *table)
{
    bool any = table->rows != NULL;
    for (int i = 0; i < SONDE__SIGNALS; i++)
        any = any || table->signals[i].usable;
    if (any && table->count)
        print_checkpoints(paper, table);
    print_signals(paper, table);
    print_spectra(paper, table);
    fputc('\n', paper->to);
    print_answer(paper, table);
    if (table->by < 0 && table->paths)
        how_to_probe(paper);
}

/* ---- for programs ---------------------------------------------------------------------------- */

static void choice_members(sonde__json_out *json, const sonde_keep_choice *choice)
{
    const bool any = choice->epoch >= 0;
    sonde__out_whole(json, "epoch", choice->epoch);
    sonde__out_number(json, "score", any ? choice->score : (double)NAN);
    sonde__out_flag(json, "meaningful", any && choice->meaningful);
    sonde__json_keep_warnings(json, choice->warnings);
    sonde__out_string(json, "window",
                      !any                                  ? NULL
                      : choice->window == SONDE_WINDOW_TAIL ? "tail"
                                                            : "all");
    sonde__out_whole(json, "window_first", any ? choice->window_first : -1);
    sonde__out_whole(json, "window_last", any ? choice->window_last : -1);
    sonde__out_open(json, "candidates", '[');
    for (int i = 0; any && i < choice->top_count && i < SONDE_KEEP_TOP_MAX; i++)
        sonde__out_whole(json, NULL, choice->top[i]);
    sonde__out_close(json, ']');
    sonde__out_string(json, "reason", choice->reason);
}

static void signal_object(sonde__json_out *json, const sonde__signal *signal)
{
    sonde__out_open(json, NULL, '{');
    sonde__out_string(json, "signal", signal->name);
    sonde__out_flag(json, "applies", signal->usable > 0);
    sonde__out_string(json, "why_not", signal->why_not[0] ? signal->why_not : NULL);
    sonde__out_count(json, "scored", signal->usable);
    choice_members(json, &signal->choice);
    sonde__out_close(json, '}');
}

static void checkpoint_object(sonde__json_out *json, const sonde__keep_table *table, size_t i)
{
    sonde__out_open(json, NULL, '{');
    sonde__out_whole(json, "epoch", table->epochs[i]);
    sonde__out_string(json, "file", table->paths ? table->paths[i] : NULL);
    for (int j = 0; j < SONDE__SIGNALS; j++) {
        const sonde_score *score = &table->signals[j].scores[i];
        char name[32];
        snprintf(name, sizeof name, "%s", table->signals[j].name);
        for (char *at = name; *at; at++)
            *at = *at == '-' ? '_' : *at;
        sonde__out_number(json, name, score->validity == SONDE_VALID ? score->value : (double)NAN);
    }
    sonde__out_whole(json, "layers_judged", table->rows ? (int64_t)table->rows[i].judged : -1);
    sonde__out_whole(json, "layers_over", table->rows ? (int64_t)table->rows[i].over : -1);
    sonde__out_number(json, "worst_ratio", table->rows ? table->rows[i].worst_ratio : (double)NAN);
    sonde__out_number(json, "mean_alpha", table->rows ? table->rows[i].mean_alpha : (double)NAN);
    sonde__out_close(json, '}');
}

sonde_status sonde__json_keep(FILE *to, const sonde__keep_table *table, const char *name)
{
    const int64_t index = sonde__keep_chosen(table);
    const sonde__signal *by = table->by >= 0 ? &table->signals[table->by] : NULL;
    sonde__json_out json;
    sonde__out_begin(&json, table->context, to);
    sonde__out_open(&json, NULL, '{');
    sonde__out_string(&json, "source", name);
    sonde__out_open(&json, "keep", '{');
    const bool spectra = sonde__keep_by_spectra(table);
    const sonde_keep_choice none = {.epoch = spectra ? table->stop->stop_epoch : -1,
                                    .score = (double)NAN};
    sonde__out_string(&json, "by", by ? by->name : spectra ? "spectra" : NULL);
    sonde__out_string(&json, "file", index >= 0 && table->paths ? table->paths[index] : NULL);
    choice_members(&json, by ? &by->choice : &none);
    sonde__out_close(&json, '}');
    sonde__out_open(&json, "signals", '[');
    for (int i = 0; i < SONDE__SIGNALS; i++)
        signal_object(&json, &table->signals[i]);
    sonde__out_close(&json, ']');
    sonde__json_stop(&json, table->stop);
    sonde__out_open(&json, "checkpoints", '[');
    for (size_t i = 0; i < table->count; i++)
        checkpoint_object(&json, table, i);
    sonde__out_close(&json, ']');
    sonde__out_close(&json, '}');
    return sonde__out_end(&json);
}
