/* The page and the words of a model's spectra: whole for every kind of model, sure of nothing that
 * the numbers do not say. The tables are made by hand; no model is read. */
#include "page.h"

#include "report/survey_page.h"
#include "report/words_survey.h"

enum { EIGENVALUES = 60 };

typedef struct sample {
    sonde__survey_table table;
    char (*names)[64];
    double *eigenvalues;
} sample;

/* A judged layer: `ratio` times its threshold, with a power law of exponent `alpha`. */
static void fill_row(sample *made, size_t i, double ratio, double alpha)
{
    sonde__survey_row *row = &made->table.rows[i];
    snprintf(made->names[i], sizeof made->names[i], "model.layers.%zu.weight", i);
    row->layer = (sonde_layer_spectrum){.name = made->names[i],
                                        .number = SONDE_NUMBER_F32,
                                        .dims = 2,
                                        .dim = {EIGENVALUES, 100},
                                        .slices = 1,
                                        .eigenvalues = made->eigenvalues,
                                        .count = EIGENVALUES};
    row->layer.report = (sonde_spectrum_report){.rows = EIGENVALUES,
                                                .cols = 100,
                                                .aspect = 0.6,
                                                .type = SONDE_SPECTRUM_BULK_TRANSITION,
                                                .spikes = 2,
                                                .edge = 3.2,
                                                .mp_low = 0.05,
                                                .mp_high = 3.1,
                                                .statistic = 0.3 * ratio,
                                                .threshold_calibrated = 0.3,
                                                .largest = 40};
    row->layer.shape = (sonde_spectrum_shape_report){.alpha = alpha,
                                                     .alpha_error = 0.2,
                                                     .ks_distance = 0.05,
                                                     .xmin = 80,
                                                     .xmax = 4000,
                                                     .tail = 40,
                                                     .stable_rank = 7,
                                                     .effective_rank = 30};
    row->ratio = ratio;
    row->alpha = alpha;
    row->over = ratio > 1;
    row->fits = true;
    row->odd_tail = alpha < 2 || alpha > 6;
}

static sample sample_of(sonde_context *context, size_t layers, double ratio, double alpha)
{
    sample made = {.table = {.context = context,
                             .path = "folder/model.safetensors",
                             .epoch = -1,
                             .complete = true,
                             .false_alarm = 0.01,
                             .count = layers}};
    made.table.info.kind = SONDE_MODEL_SAFETENSORS;
    made.table.rows = sonde__alloc_zero(context, layers, sizeof *made.table.rows);
    made.names = calloc(layers + 1, sizeof *made.names);
    made.eigenvalues = calloc(EIGENVALUES, sizeof *made.eigenvalues);
    for (size_t i = 0; i < EIGENVALUES; i++)
        made.eigenvalues[i] = 0.05 + 0.05 * (double)i;
    made.eigenvalues[EIGENVALUES - 1] = 40;
    made.eigenvalues[EIGENVALUES - 2] = 9;
    for (size_t i = 0; i < layers; i++)
        fill_row(&made, i, ratio, alpha);
    made.table.spectra = made.table.judged = made.table.fits = layers;
    made.table.over = ratio > 1 ? layers : 0;
    made.table.odd_tails = alpha < 2 || alpha > 6 ? layers : 0;
    made.table.mean_alpha = alpha;
    return made;
}

static void sample_drop(sample *made)
{
    sonde__survey_table_free(&made->table);
    free(made->names);
    free(made->eigenvalues);
}

static void render(sonde_context *context, sonde__text *text, const sonde__survey_page *page)
{
    sonde__text_init(text, context);
    sonde__survey_page_render(text, page);
    check_ok(context, sonde__text_status(text));
    check_page(text->bytes);
    assert_null(strstr(text->bytes, "inf\""));
}

static void models_of_every_size_give_a_whole_page_that_stays_small(void **state)
{
    static const size_t sizes[] = {0, 1, 3, 24, 300, 3000};
    sonde_context *context = check_context();
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        sonde__text text;
        sample made = sample_of(context, sizes[i], 1.4, 3);
        render(context, &text, &(sonde__survey_page){.table = &made.table});
        assert_true(text.length < 3000000);
        sonde__text_free(&text);
        sample_drop(&made);
    }
    sonde_context_free(context);
}

static void layers_full_of_nan_infinity_and_zeros_give_a_whole_page(void **state)
{
    const double values[] = {(double)NAN, (double)INFINITY, 0, -1, 1e308, 5e-324};
    sonde_context *context = check_context();
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        sonde__text text;
        sample made = sample_of(context, 4, 0.7, 3);
        const double v = values[i];
        for (size_t j = 0; j < EIGENVALUES; j++)
            made.eigenvalues[j] = v;
        sonde_spectrum_report *r = &made.table.rows[0].layer.report;
        r->edge = r->mp_low = r->mp_high = r->statistic = r->largest = v;
        sonde_spectrum_shape_report *s = &made.table.rows[1].layer.shape;
        s->alpha = s->xmin = s->xmax = s->ks_distance = s->stable_rank = v;
        made.table.rows[1].alpha = made.table.rows[2].ratio = v;
        made.table.rows[3].layer.skipped = "no reason";
        made.table.spectra--;
        render(context, &text, &(sonde__survey_page){.table = &made.table});
        sonde__text_free(&text);
        sample_drop(&made);
    }
    sonde_context_free(context);
}

static void spikes_without_end_and_a_crushed_bulk_get_a_logarithmic_axis(void **state)
{
    sonde_context *context = check_context();
    sonde__text text;
    sample made = sample_of(context, 1, 1.4, 3);
    (void)state;
    for (size_t j = 0; j < EIGENVALUES; j++)
        made.eigenvalues[j] = pow(10, -6 + 0.1 * (double)j);
    made.table.rows[0].layer.report.spikes = EIGENVALUES / 2;
    render(context, &text, &(sonde__survey_page){.table = &made.table});
    assert_non_null(strstr(text.bytes, "density per decade"));
    sonde__text_free(&text);
    sample_drop(&made);
    sonde_context_free(context);
}

static void names_from_files_are_escaped(void **state)
{
    static const char evil[] = "\"'><script>alert(1)</script>";
    sonde_context *context = check_context();
    sonde__text text;
    sample made = sample_of(context, 3, 2, 1.2);
    sonde__trend_row row = {.path = evil, .epoch = 1, .worst_ratio = 2, .mean_alpha = 3};
    sonde_decision stop = {.stop_advised = true, .stop_epoch = 1};
    (void)state;
    for (size_t i = 0; i < 3; i++)
        made.table.rows[i].layer.name = evil;
    made.table.rows[2].layer.skipped = evil;
    made.table.spectra = 2;
    made.table.path = evil;
    snprintf(row.worst_layer, sizeof row.worst_layer, "%s", evil);
    snprintf(stop.stop_layer, sizeof stop.stop_layer, "%s", evil);
    snprintf(stop.stop_reason, sizeof stop.stop_reason, "%s", evil);
    render(
        context, &text,
        &(sonde__survey_page){.table = &made.table, .rows = &row, .row_count = 1, .stop = &stop});
    sonde__text_free(&text);
    sample_drop(&made);
    sonde_context_free(context);
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool says(const sonde__words *words, const char *what)
{
    bool found = strstr(words->answer, what) || strstr(words->sure, what);
    for (int i = 0; i < words->line_count; i++)
        found = found || strstr(words->lines[i], what);
    return found;
}

static void layers_over_their_threshold_by_chance_are_not_called_training(void **state)
{
    sonde_context *context = check_context();
    sample made = sample_of(context, 300, 0.8, 3);
    sonde__words words;
    (void)state;
    made.table.rows[7].ratio = 1.05;
    made.table.worst = 7;
    made.table.over = 4; /* 3 are expected */
    sonde__words_law(&made.table, &words);
    assert_true(says(&words, "what random matrices give"));
    assert_int_equal(words.tone, SONDE__TONE_SURE);
    made.table.over = 30;
    sonde__words_law(&made.table, &words);
    assert_false(says(&words, "what random matrices give"));
    assert_true(says(&words, "does not say that it did harm"));
    made.table.over = 4;
    made.table.rows[7].ratio = 3; /* one that chance does not reach */
    sonde__words_law(&made.table, &words);
    assert_false(says(&words, "what random matrices give"));
    sample_drop(&made);
    sonde_context_free(context);
}

static void what_cannot_be_judged_gets_no_answer(void **state)
{
    sonde_context *context = check_context();
    sample made = sample_of(context, 2, (double)NAN, 3);
    sonde__words words;
    sonde__warnings warnings;
    (void)state;
    made.table.judged = made.table.over = made.table.fits = made.table.odd_tails = 0;
    sonde__words_law(&made.table, &words);
    assert_true(says(&words, "No answer"));
    sonde__words_tails(&made.table, &words);
    assert_true(says(&words, "No answer"));
    made.table.complete = false;
    sonde__words_survey_warnings(&made.table, &warnings);
    assert_true(warnings.count > 0 && strstr(warnings.lines[0], "Interrupted"));
    sample_drop(&made);
    sonde_context_free(context);
}

static void a_tail_is_read_only_where_it_is_long_straight_and_not_random(void **state)
{
    sonde_spectrum_shape_report shape = {
        .power_law = SONDE_VALID, .alpha = 3, .tail = 20, .ks_distance = 0.1};
    sonde_spectrum_report report = {.type = SONDE_SPECTRUM_LIGHT_TAIL, .spikes = 1};
    (void)state;
    assert_true(sonde__tail_fits(&report, &shape));
    shape.tail = 19;
    assert_false(sonde__tail_fits(&report, &shape));
    shape.tail = 4000, shape.ks_distance = 0.11;
    assert_false(sonde__tail_fits(&report, &shape));
    shape.ks_distance = 0.09, report.spikes = 0;
    assert_false(sonde__tail_fits(&report, &shape));
    report.type = SONDE_SPECTRUM_HEAVY_TAIL;
    assert_true(sonde__tail_fits(&report, &shape));
    shape.power_law = SONDE_TOO_FEW;
    assert_false(sonde__tail_fits(&report, &shape));
}

static void what_is_remarkable_comes_first_then_the_ratio(void **state)
{
    sonde_context *context = check_context();
    sample made = sample_of(context, 6, 0.5, 3);
    size_t *order = NULL, count = 0;
    static const size_t expected[] = {3, 4, 2, 0, 5};
    (void)state;
    made.table.rows[1].layer.skipped = "a vector";
    made.table.spectra = 5;
    made.table.rows[2].ratio = 0.9;
    made.table.rows[3].ratio = 2, made.table.rows[3].over = true;
    made.table.rows[4].ratio = 0.3, made.table.rows[4].collapsed = true;
    made.table.rows[5].ratio = (double)NAN;
    check_ok(context, sonde__survey_ranked(&made.table, &order, &count));
    assert_int_equal(count, 5);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(order[i], expected[i]);
    sonde__free(context, order);
    sample_drop(&made);
    sonde_context_free(context);
}

static void reasons_are_counted_once_each(void **state)
{
    sonde_context *context = check_context();
    sample made = sample_of(context, 7, 0.5, 3);
    char vector[] = "a vector"; /* another address, the same words */
    sonde__skip_reason *reasons = NULL;
    size_t count = 0;
    (void)state;
    made.table.rows[0].layer.skipped = "integers";
    made.table.rows[2].layer.skipped = "a vector";
    made.table.rows[3].layer.skipped = vector;
    made.table.rows[6].layer.skipped = "a vector";
    check_ok(context, sonde__survey_reasons(&made.table, &reasons, &count));
    assert_int_equal(count, 2);
    assert_string_equal(reasons[0].reason, "a vector");
    assert_int_equal(reasons[0].count, 3);
    assert_int_equal(reasons[1].count, 1);
    sonde__free(context, reasons);
    sample_drop(&made);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_of_every_size_give_a_whole_page_that_stays_small),
        cmocka_unit_test(layers_full_of_nan_infinity_and_zeros_give_a_whole_page),
        cmocka_unit_test(spikes_without_end_and_a_crushed_bulk_get_a_logarithmic_axis),
        cmocka_unit_test(names_from_files_are_escaped),
        cmocka_unit_test(layers_over_their_threshold_by_chance_are_not_called_training),
        cmocka_unit_test(what_cannot_be_judged_gets_no_answer),
        cmocka_unit_test(a_tail_is_read_only_where_it_is_long_straight_and_not_random),
        cmocka_unit_test(what_is_remarkable_comes_first_then_the_ratio),
        cmocka_unit_test(reasons_are_counted_once_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
