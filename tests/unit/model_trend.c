/* The stop rule over surveys of one model at several epochs: a layer that leaves the law is advised
 * on, one that stays is not; long names and layers without a threshold do no harm. */
#include "made_model.h"

#include "model/series.h"
#include "model/survey_internal.h"

static sonde_context *context;

static int set_up(void **state)
{
    (void)state;
    context = check_context();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sonde_context_free(context);
    return 0;
}

enum { ROWS = 100, COLS = 200 };

/* Rows of ever larger scale have a wide spectrum: far from the law for spread > 0. */
static void fill(float *weight, uint64_t index, double spread)
{
    made_random(weight, ROWS * COLS, index, 0.1);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++)
            weight[i * COLS + j] *= (float)exp(spread * i / ROWS);
}

static void name_of(int which, char *name)
{
    memset(name, 'x', 150);
    snprintf(name + 150, 40, ".%d.weight", which);
}

static void add_epoch(sonde__trend *trend, int64_t epoch, double spread)
{
    made_model made = {.count = 0};
    char name[192];
    sonde_survey *survey = NULL;
    fill(made_floats(&made, "fc1.weight", SHAPE(ROWS, COLS)), (uint64_t)epoch, 0);
    name_of(1, name);
    fill(made_floats(&made, name, SHAPE(ROWS, COLS)), (uint64_t)epoch + 100, spread);
    name_of(2, name);
    fill(made_floats(&made, name, SHAPE(ROWS, COLS)), (uint64_t)epoch + 200, 0);
    made_floats(&made, "zero.weight", SHAPE(20, 20));
    made_floats(&made, "norm.weight", SHAPE(20));
    sonde_model *const model = made_open(context, &made, "model.safetensors");
    check_ok(context, sonde_survey_run(context, model, NULL, &survey));
    check_ok(context, sonde__trend_add(trend, epoch, survey));
    sonde_survey_free(survey);
    sonde_model_close(model);
    made_free(&made);
}

static void a_layer_that_leaves_the_law_is_advised_on(void **state)
{
    (void)state;
    sonde__trend *trend = NULL;
    sonde_decision decision = {0};
    char name[192];
    check_ok(context, sonde__trend_create(context, NULL, 0.01, &trend));
    add_epoch(trend, 3, 0);
    add_epoch(trend, 5, 0);
    check_ok(context, sonde__trend_decide(trend, &decision));
    assert_false(decision.stop_advised);
    add_epoch(trend, 9, 3);
    check_ok(context, sonde__trend_decide(trend, &decision));
    assert_true(decision.stop_advised);
    assert_int_equal(decision.stop_epoch, 9);
    name_of(1, name);
    const size_t shown = strlen(decision.stop_layer), length = strlen(name);
    assert_int_equal(shown, SONDE_LAYER_NAME_MAX - 1);
    assert_string_equal(decision.stop_layer + 10, name + length - (shown - 10));
    sonde__trend_free(trend);
}

static void epochs_must_increase(void **state)
{
    (void)state;
    sonde__trend *trend = NULL;
    check_ok(context, sonde__trend_create(context, NULL, 0.01, &trend));
    add_epoch(trend, 3, 0);
    check_status(sonde__trend_add(trend, 3, NULL), SONDE_ERROR_STATE);
    sonde__trend_free(trend);
}

enum { LAYERS_MAX = 20 };

/* A survey of `count` judged layers under their threshold, but the last at `ratio` of it. */
typedef struct written {
    sonde_survey survey;
    sonde__survey_layer layers[LAYERS_MAX];
} written;

static sonde_survey *write_survey(written *all, size_t count, double ratio)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j",
                                        "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"};
    *all = (written){.survey = {.context = context, .matrices.count = count}};
    all->survey.layers = all->layers;
    for (size_t i = 0; i < count; i++)
        all->layers[i].result =
            (sonde_layer_spectrum){.name = names[i],
                                   .dims = 2,
                                   .dim = {64, 64},
                                   .report = {.rows = 64,
                                              .cols = 64,
                                              .distance = 0.1,
                                              .statistic = i + 1 == count ? 0.5 * ratio : 0.3,
                                              .threshold_calibrated = 0.5}};
    return &all->survey;
}

static sonde_decision decide(sonde__trend *trend)
{
    sonde_decision decision = {0};
    check_ok(context, sonde__trend_decide(trend, &decision));
    return decision;
}

static void an_excess_that_chance_explains_is_no_advice(void **state)
{
    (void)state;
    sonde__trend *trend = NULL;
    written survey;
    check_ok(context, sonde__trend_create(context, NULL, 0.01, &trend));
    for (int64_t epoch = 1; epoch < 5; epoch++)
        check_ok(context, sonde__trend_add(trend, epoch, write_survey(&survey, 13, 1.05)));
    assert_false(decide(trend).stop_advised);
    assert_true(decide(trend).worst_ratio <= 1);
    check_ok(context, sonde__trend_add(trend, 5, write_survey(&survey, 13, 1.5)));
    assert_true(decide(trend).stop_advised);
    assert_int_equal(decide(trend).stop_epoch, 5);
    assert_string_equal(decide(trend).stop_layer, "m");
    sonde__trend_free(trend);
}

static void an_excess_within_the_error_of_an_estimate_is_no_advice(void **state)
{
    (void)state;
    sonde__trend *trend = NULL;
    written survey;
    check_ok(context, sonde__trend_create(context, NULL, 0.01, &trend));
    for (int64_t epoch = 1; epoch < 4; epoch++) {
        write_survey(&survey, 2, 2);
        survey.layers[1].result.error_bound = 0.06;
        check_ok(context, sonde__trend_add(trend, epoch, &survey.survey));
    }
    assert_false(decide(trend).stop_advised);
    write_survey(&survey, 2, 2);
    survey.layers[1].result.error_bound = 0.04;
    check_ok(context, sonde__trend_add(trend, 4, &survey.survey));
    assert_true(decide(trend).stop_advised);
    assert_int_equal(decide(trend).stop_epoch, 4);
    sonde__trend_free(trend);
}

static void surveys_of_different_models_give_no_advice(void **state)
{
    (void)state;
    sonde__trend *trend = NULL;
    written survey;
    check_ok(context, sonde__trend_create(context, NULL, 0.01, &trend));
    check_ok(context, sonde__trend_add(trend, 1, write_survey(&survey, 3, 0.5)));
    write_survey(&survey, 3, 2);
    const sonde__survey_layer first = survey.layers[0]; /* another order is the same model */
    survey.layers[0] = survey.layers[1];
    survey.layers[1] = first;
    check_ok(context, sonde__trend_add(trend, 2, &survey.survey));
    assert_true(decide(trend).stop_advised);
    write_survey(&survey, 3, 2);
    survey.layers[0].result.dim[1] = 65;
    check_ok(context, sonde__trend_add(trend, 7, &survey.survey));
    assert_false(decide(trend).stop_advised);
    assert_non_null(strstr(decide(trend).stop_reason, "epoch 7 holds other layers than epoch 1"));
    sonde__trend_free(trend);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_layer_that_leaves_the_law_is_advised_on),
        EACH(epochs_must_increase),
        EACH(an_excess_that_chance_explains_is_no_advice),
        EACH(an_excess_within_the_error_of_an_estimate_is_no_advice),
        EACH(surveys_of_different_models_give_no_advice),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
