/* A survey for programs: JSON and CSV, with the same names for the same numbers. */
#include "cli/survey_out.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Every number of a layer in one list, so that JSON and CSV cannot differ. */
typedef enum field_kind { TEXT, NUMBER, COUNT, FLAG } field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    const char *text; /* NULL: unknown */
    double number;    /* NaN: unknown */
    int64_t count;    /* negative: unknown */
    bool flag;
} field;

enum { FIELDS_MAX = 64 };

typedef struct fields {
    int count;
    field list[FIELDS_MAX];
} fields;

static void add(fields *all, field one)
{
    if (all->count < FIELDS_MAX)
        all->list[all->count++] = one;
}

static void add_text(fields *all, const char *name, const char *text)
{
    add(all, (field){.name = name, .kind = TEXT, .text = text});
}

static void add_number(fields *all, const char *name, bool known, double value)
{
    add(all, (field){.name = name, .kind = NUMBER, .number = known ? value : (double)NAN});
}

static void add_count(fields *all, const char *name, bool known, size_t value)
{
    add(all, (field){.name = name, .kind = COUNT, .count = known ? (int64_t)value : -1});
}

static void add_flag(fields *all, const char *name, bool flag)
{
    add(all, (field){.name = name, .kind = FLAG, .flag = flag});
}

/* The comparison with random matrices. */
static void law_fields(fields *all, const sonde__survey_row *row)
{
    const sonde_spectrum_report *r = &row->layer.report;
    const bool any =
        !row->layer.skipped && r->validity != SONDE_NOT_FINITE && r->validity != SONDE_OUT_OF_RANGE;
    const bool valid = any && r->validity == SONDE_VALID;
    const bool law = row->lawful;
    add_text(all, "validity", row->layer.skipped ? NULL : sonde_validity_sentence(r->validity));
    add_text(all, "type", valid ? sonde_spectrum_type_name(r->type) : NULL);
    add_count(all, "rows", any, r->rows);
    add_count(all, "cols", any, r->cols);
    add_number(all, "aspect", any, r->aspect);
    add_count(all, "spikes", law, (size_t)(r->spikes > 0 ? r->spikes : 0));
    add_count(all, "bleed", law, (size_t)(r->bleed > 0 ? r->bleed : 0));
    add_number(all, "sigma2", law, r->sigma2);
    add_number(all, "edge", law, r->edge);
    add_number(all, "edge_margin", law, row->layer.shape.edge_margin);
    add_number(all, "mp_low", law, r->mp_low);
    add_number(all, "mp_high", law, r->mp_high);
    add_number(all, "distance", law, r->distance);
    add_number(all, "statistic", law, r->statistic);
    add_number(all, "threshold", valid && r->threshold_calibrated > 0, r->threshold_calibrated);
    add_number(all, "threshold_published", valid && r->threshold_published > 0,
               r->threshold_published);
    add_number(all, "ratio", isfinite(row->ratio), row->ratio);
    add_flag(all, "over", row->over);
    add_number(all, "smallest", any, r->smallest);
    add_number(all, "largest", any, r->largest);
    add_number(all, "frobenius_norm", any, r->frobenius);
    add_number(all, "spectral_norm", any, r->spectral);
    add_number(all, "entropy", any, r->entropy);
}

/* The tail's power law, and ranks. */
static void shape_fields(fields *all, const sonde__survey_row *row)
{
    const sonde_spectrum_shape_report *s = &row->layer.shape;
    const bool any = row->shaped;
    const bool tail = isfinite(row->alpha);
    add_text(all, "power_law", row->layer.skipped ? NULL : sonde_validity_sentence(s->power_law));
    add_number(all, "alpha", tail, s->alpha);
    add_number(all, "alpha_error", tail, s->alpha_error);
    add_number(all, "ks_distance", tail, s->ks_distance);
    add_number(all, "xmin", tail, s->xmin);
    add_number(all, "xmax", tail, s->xmax);
    add_count(all, "tail", tail, s->tail);
    add_flag(all, "fits", row->fits);
    add_flag(all, "odd_tail", row->odd_tail);
    add_number(all, "alpha_weighted", tail, s->alpha_weighted);
    add_number(all, "log_alpha_norm", tail, s->log_alpha_norm);
    add_number(all, "log_norm", any, s->log_norm);
    add_number(all, "log_spectral_norm", any, s->log_spectral_norm);
    add_number(all, "stable_rank", any, s->stable_rank);
    add_number(all, "effective_rank", any, s->effective_rank);
    add_count(all, "matrix_rank", any, s->matrix_rank);
    add_flag(all, "collapsed", row->collapsed);
}

/* What comes behind the name and the tensor's shape. */
static fields layer_fields(const sonde__survey_row *row)
{
    const sonde_layer_spectrum *layer = &row->layer;
    fields all = {0};
    add_text(&all, "kind", sonde_layer_kind_name(layer->kind));
    add_text(&all, "format", sonde_number_name(layer->number));
    add_count(&all, "slices", !layer->skipped, layer->slices);
    add_text(&all, "skipped", layer->skipped);
    add_text(&all, "note", layer->note);
    law_fields(&all, row);
    shape_fields(&all, row);
    add_count(&all, "eigenvalues", !layer->skipped, layer->count);
    add_number(&all, "error_bound", !layer->skipped, layer->error_bound);
    add_number(&all, "seconds", !layer->skipped, layer->seconds);
    return all;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void layer_object(sonde__json_out *json, const sonde__survey_row *row)
{
    const fields all = layer_fields(row);
    sonde__out_open(json, NULL, '{');
    sonde__out_string(json, "name", row->layer.name);
    sonde__out_open(json, "shape", '[');
    for (int i = 0; i < row->layer.dims && i < SONDE_TENSOR_DIMS_MAX; i++)
        sonde__out_whole(json, NULL, row->layer.dim[i]);
    sonde__out_close(json, ']');
    for (int i = 0; i < all.count; i++) {
        const field *one = &all.list[i];
        if (one->kind == TEXT)
            sonde__out_string(json, one->name, one->text);
        else if (one->kind == NUMBER)
            sonde__out_number(json, one->name, one->number);
        else if (one->kind == COUNT)
            sonde__out_whole(json, one->name, one->count);
        else
            sonde__out_flag(json, one->name, one->flag);
    }
    sonde__out_close(json, '}');
}

void sonde__json_survey(sonde__json_out *json, const sonde__survey_table *table)
{
    const bool judged = table->judged > 0;
    const sonde__survey_row *worst = judged ? &table->rows[table->worst] : NULL;
    sonde__out_open(json, NULL, '{');
    sonde__out_string(json, "model", table->path);
    sonde__out_whole(json, "epoch", table->epoch);
    sonde__out_string(json, "format", sonde_model_kind_name(table->info.kind));
    sonde__out_count(json, "elements", table->info.elements);
    sonde__out_flag(json, "complete", table->complete);
    sonde__out_flag(json, "fast", table->fast);
    sonde__out_number(json, "seconds", table->seconds);
    sonde__out_open(json, "summary", '{');
    sonde__out_count(json, "layers", table->count);
    sonde__out_count(json, "spectra", table->spectra);
    sonde__out_count(json, "judged", table->judged);
    sonde__out_count(json, "over", table->over);
    sonde__out_number(json, "false_alarm", table->false_alarm);
    sonde__out_number(json, "worst_ratio", judged ? worst->ratio : (double)NAN);
    sonde__out_string(json, "worst_layer", judged ? worst->layer.name : NULL);
    sonde__out_count(json, "tails_fitted", table->fits);
    sonde__out_number(json, "mean_alpha", table->mean_alpha);
    sonde__out_count(json, "odd_tails", table->odd_tails);
    sonde__out_count(json, "collapsed", table->collapsed);
    sonde__out_close(json, '}');
    sonde__out_open(json, "layers", '[');
    for (size_t i = 0; i < table->count; i++)
        layer_object(json, &table->rows[i]);
    sonde__out_close(json, ']');
    sonde__out_close(json, '}');
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static void csv_field(sonde__text *text, const field *one)
{
    sonde__text_add(text, ",");
    if (one->kind == TEXT)
        sonde__text_csv(text, one->text ? one->text : "");
    else if (one->kind == NUMBER && isfinite(one->number))
        sonde__text_number(text, one->number);
    else if (one->kind == COUNT && one->count >= 0)
        sonde__text_format(text, "%" PRId64, one->count);
    else if (one->kind == FLAG)
        sonde__text_add(text, one->flag ? "1" : "0");
}

void sonde__csv_head(sonde__text *text)
{
    const sonde__survey_row none = {.layer.skipped = ""};
    const fields all = layer_fields(&none);
    sonde__text_add(text, "model,epoch,name,shape");
    for (int i = 0; i < all.count; i++) {
        sonde__text_add(text, ",");
        sonde__text_add(text, all.list[i].name);
    }
    sonde__text_add(text, "\n");
}

void sonde__csv_survey(sonde__text *text, const sonde__survey_table *table)
{
    char shape[256];
    for (size_t i = 0; i < table->count; i++) {
        const sonde__survey_row *row = &table->rows[i];
        const fields all = layer_fields(row);
        sonde__text_csv(text, table->path);
        sonde__text_add(text, ",");
        if (table->epoch >= 0)
            sonde__text_format(text, "%" PRId64, table->epoch);
        sonde__text_add(text, ",");
        sonde__text_csv(text, row->layer.name);
        sonde__shape_text(row->layer.dims, row->layer.dim, "x", shape, sizeof shape);
        sonde__text_format(text, ",%s", shape);
        for (int j = 0; j < all.count; j++)
            csv_field(text, &all.list[j]);
        sonde__text_add(text, "\n");
    }
}
