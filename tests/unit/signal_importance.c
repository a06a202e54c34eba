/* Importances of channels and weights: the published code on a small group, and cases that can be
 * counted by hand. */
#include "check.h"
#include "made_numbers.h"

#include "../golden/signals.h"

static void add(sonde_criterion criterion, sonde_importance_side side,
                const sonde_importance_layer *layer, double *scores)
{
    sonde_context *context = check_context();
    check_ok(context, sonde_importance_add(context, criterion, side, layer, scores));
    sonde_context_free(context);
}

static void every_criterion_is_found_by_its_name(void **state)
{
    (void)state;
    for (int i = 0; i < SONDE_CRITERION_COUNT; i++) {
        sonde_criterion criterion = SONDE_CRITERION_JBR;
        assert_true(sonde_criterion_find(sonde_criterion_name((sonde_criterion)i), &criterion));
        assert_int_equal(criterion, i);
        assert_true(strlen(sonde_criterion_sentence(criterion)) > 5);
    }
    sonde_criterion none;
    assert_false(sonde_criterion_find("best", &none));
    assert_string_equal(sonde_criterion_name((sonde_criterion)99), "?");
    assert_true(sonde_criterion_of_channels(SONDE_CRITERION_WHC));
    assert_false(sonde_criterion_of_channels(SONDE_CRITERION_SNIP));
    assert_int_equal(sonde_criterion_reads(SONDE_CRITERION_GRASP), SONDE_NEEDS_HESSIAN);
    assert_int_equal(sonde_criterion_reads(SONDE_CRITERION_JBR), SONDE_NEEDS_GRADIENT);
}

/* Convolution 2 -> 4 (3 x 3) with bias, batch norm, convolution 4 -> 3 (2 x 2): parameters as in
 * make_signals.py. */
static void a_group_scores_as_in_the_published_code(void **state)
{
    (void)state;
    enum { W1 = 4 * 2 * 9, W2 = 3 * 4 * 4 };
    float values[6][W1], gradients[6][W1];
    const size_t sizes[] = {W1, 4, 4, 4, W2, 3};
    for (uint32_t i = 0; i < 6; i++) {
        made_numbers(20 + i, values[i], sizes[i]);
        made_numbers(40 + i, gradients[i], sizes[i]);
    }
    const sonde_importance_layer first = {values[0], gradients[0], values[1], gradients[1], 4, 2,
                                          9};
    const sonde_importance_layer norm = {values[2], gradients[2], values[3], gradients[3], 4, 1, 1};
    const sonde_importance_layer second = {values[4], gradients[4], values[5], gradients[5], 3, 4,
                                           4};
    const struct {
        sonde_criterion criterion;
        const double *expected;
    } cases[] = {{SONDE_CRITERION_JACOBIAN, GOLDEN_GROUP_JACOBIAN},
                 {SONDE_CRITERION_JBR, GOLDEN_GROUP_JACOBIAN},
                 {SONDE_CRITERION_TAYLOR, GOLDEN_GROUP_TAYLOR},
                 {SONDE_CRITERION_L1, GOLDEN_GROUP_L1},
                 {SONDE_CRITERION_BN_SCALE, GOLDEN_GROUP_BN_SCALE},
                 {SONDE_CRITERION_FPGM_SQUARES, GOLDEN_GROUP_FPGM_SQUARES},
                 {SONDE_CRITERION_WHC, GOLDEN_GROUP_WHC}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double scores[4] = {0};
        add(cases[c].criterion, SONDE_SIDE_OUTPUTS, &first, scores);
        add(cases[c].criterion, SONDE_SIDE_NORM, &norm, scores);
        add(cases[c].criterion, SONDE_SIDE_INPUTS, &second, scores);
        for (int i = 0; i < 4; i++)
            check_close(scores[i], cases[c].expected[i], 0, 2e-6,
                        sonde_criterion_name(cases[c].criterion));
    }
}

static void jbr_squares_each_mini_batch_and_taylor_does_not(void **state)
{
    (void)state;
    const float weight[] = {1, 2}, gradient[] = {3, -1}, opposite[] = {-3, 1};
    const float bias[] = {2}, by_bias[] = {0.5f}, against[] = {-0.5f};
    sonde_importance_layer layer = {weight, gradient, bias, by_bias, 1, 2, 1};
    double outputs[1] = {0}, inputs[2] = {0};
    add(SONDE_CRITERION_JBR, SONDE_SIDE_OUTPUTS, &layer, outputs); /* 3 - 2 + 1 */
    add(SONDE_CRITERION_JBR, SONDE_SIDE_INPUTS, &layer, inputs);   /* 3 and -2 */
    layer.gradient = opposite;
    layer.bias_gradient = against;
    add(SONDE_CRITERION_JBR, SONDE_SIDE_OUTPUTS, &layer, outputs);
    add(SONDE_CRITERION_JBR, SONDE_SIDE_INPUTS, &layer, inputs);
    assert_true(outputs[0] == 8 && inputs[0] == 18 && inputs[1] == 8);
    layer.bias_gradient = NULL;
    add(SONDE_CRITERION_JBR, SONDE_SIDE_OUTPUTS, &layer, outputs);
    assert_true(outputs[0] == 9);
    double taylor[1] = {0};
    add(SONDE_CRITERION_TAYLOR, SONDE_SIDE_OUTPUTS, &layer, taylor);
    assert_true(taylor[0] == 5);
}

static void fpgm_sums_the_distances_to_the_other_filters(void **state)
{
    (void)state;
    const float weight[] = {0, 0, 3, 4, -3, -4}; /* squares cannot tell the last two apart */
    const sonde_importance_layer layer = {weight, NULL, NULL, NULL, 3, 2, 1};
    double plain[3] = {0}, squares[3] = {0};
    add(SONDE_CRITERION_FPGM, SONDE_SIDE_OUTPUTS, &layer, plain);
    assert_true(plain[0] == 10 && plain[1] == 15 && plain[2] == 15);
    add(SONDE_CRITERION_FPGM_SQUARES, SONDE_SIDE_OUTPUTS, &layer, squares);
    const double distance = sqrt(9.0 * 9 + 16 * 16);
    check_close(squares[0], 2 * distance, 0, 1e-15, "the zero filter");
    check_close(squares[1], distance, 0, 1e-15, "one of two equal ones");
}

static void whc_of_parallel_and_zero_filters_is_zero(void **state)
{
    (void)state;
    const float weight[] = {3, 4, -6, -8, 0, 0};
    const sonde_importance_layer layer = {weight, NULL, NULL, NULL, 3, 2, 1};
    double scores[3] = {0};
    add(SONDE_CRITERION_WHC, SONDE_SIDE_OUTPUTS, &layer, scores);
    for (int i = 0; i < 3; i++)
        check_close(scores[i], 0, 1e-13, 0, "whc");
    const float across[] = {3, 4, -8, 6};
    const sonde_importance_layer other = {across, NULL, NULL, NULL, 2, 2, 1};
    double apart[2] = {0};
    add(SONDE_CRITERION_WHC, SONDE_SIDE_OUTPUTS, &other, apart);
    check_close(apart[0], 50, 0, 1e-14, "orthogonal filters");
}

static void criteria_do_not_look_at_what_is_not_theirs(void **state)
{
    (void)state;
    const float ones[] = {1, 1};
    const sonde_importance_layer layer = {ones, ones, ones, ones, 2, 1, 1};
    double scores[2] = {0};
    add(SONDE_CRITERION_BN_SCALE, SONDE_SIDE_OUTPUTS, &layer, scores);
    add(SONDE_CRITERION_TAYLOR, SONDE_SIDE_NORM, &layer, scores);
    add(SONDE_CRITERION_FPGM, SONDE_SIDE_NORM, &layer, scores);
    add(SONDE_CRITERION_WHC, SONDE_SIDE_NORM, &layer, scores);
    assert_true(scores[0] == 0 && scores[1] == 0);
    add(SONDE_CRITERION_BN_SCALE, SONDE_SIDE_NORM, &layer, scores);
    assert_true(scores[0] == 1);
}

static void single_weights_score_as_their_papers_say(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float weight[] = {1, -2, 3}, other[] = {-1, 2, 0.5f};
    float scores[3];
    check_ok(context,
             sonde_importance_weights(context, SONDE_CRITERION_MAGNITUDE, weight, NULL, 3, scores));
    assert_true(scores[0] == 1 && scores[1] == 2 && scores[2] == 3);
    const sonde_criterion products[] = {SONDE_CRITERION_SNIP, SONDE_CRITERION_SYNFLOW};
    for (int i = 0; i < 2; i++) {
        check_ok(context, sonde_importance_weights(context, products[i], weight, other, 3, scores));
        assert_true(scores[0] == 1 && scores[1] == 4 && scores[2] == 1.5f);
    }
    check_ok(context,
             sonde_importance_weights(context, SONDE_CRITERION_GRASP, weight, other, 3, scores));
    assert_true(scores[0] == -1 && scores[1] == -4 && scores[2] == 1.5f);
    sonde_context_free(context);
}

/* L = g . w + w H w / 2: without weight i the squared gradient norm changes by about -2 w_i (H g)_i, so
 * what GraSP removes first costs least of it. */
static void grasp_removes_first_what_carries_least_gradient_flow(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float w[] = {0.01f, 0.01f}, g[] = {1, 1}, h[] = {2, -3}; /* H is diagonal */
    float hg[2], scores[2];
    double flow[2];
    for (int i = 0; i < 2; i++) {
        hg[i] = h[i] * g[i];
        const double moved = (double)g[i] - (double)h[i] * (double)w[i], kept = (double)g[1 - i];
        flow[i] = moved * moved + kept * kept; /* after w_i went to 0 */
    }
    check_ok(context, sonde_importance_weights(context, SONDE_CRITERION_GRASP, w, hg, 2, scores));
    assert_true(flow[1] > flow[0]);
    assert_true(scores[1] < scores[0]);
    sonde_context_free(context);
}

static void random_scores_are_keyed(void **state)
{
    (void)state;
    double a[50], b[50], c[50];
    sonde_importance_random(1, 0, a, 50);
    sonde_importance_random(1, 0, b, 50);
    sonde_importance_random(1, 1, c, 50);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    for (int i = 0; i < 50; i++)
        assert_true(a[i] >= 0 && a[i] < 1);
}

static void nan_stays_nan_in_its_channel(void **state)
{
    (void)state;
    const float weight[] = {1, 2, 3, 4}, gradient[] = {1, NAN, 1, 1};
    const sonde_importance_layer layer = {weight, gradient, NULL, NULL, 2, 2, 1};
    double scores[2] = {0};
    add(SONDE_CRITERION_JBR, SONDE_SIDE_OUTPUTS, &layer, scores);
    assert_true(isnan(scores[0]) && scores[1] == 49);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float weight[] = {1, 2};
    float weights[2];
    double scores[2] = {0};
    sonde_importance_layer layer = {weight, NULL, NULL, NULL, 2, 1, 1};
    const sonde_importance_side outputs = SONDE_SIDE_OUTPUTS;
    check_status(sonde_importance_add(context, SONDE_CRITERION_JBR, outputs, &layer, scores),
                 SONDE_ERROR_ARGUMENT);
    assert_non_null(strstr(sonde_context_error(context)->message, "jbr: gradient is NULL"));
    check_status(sonde_importance_add(context, SONDE_CRITERION_RANDOM, outputs, &layer, scores),
                 SONDE_ERROR_ARGUMENT);
    check_status(sonde_importance_add(context, SONDE_CRITERION_SNIP, outputs, &layer, scores),
                 SONDE_ERROR_ARGUMENT);
    check_status(
        sonde_importance_add(context, SONDE_CRITERION_L1, (sonde_importance_side)5, &layer, scores),
        SONDE_ERROR_RANGE);
    layer.in = 0;
    check_status(sonde_importance_add(context, SONDE_CRITERION_L1, outputs, &layer, scores),
                 SONDE_ERROR_SHAPE);
    layer.in = SIZE_MAX / 2;
    check_status(sonde_importance_add(context, SONDE_CRITERION_L1, outputs, &layer, scores),
                 SONDE_ERROR_SHAPE);
    check_status(sonde_importance_weights(context, SONDE_CRITERION_SNIP, weight, NULL, 2, weights),
                 SONDE_ERROR_ARGUMENT);
    check_status(sonde_importance_weights(context, SONDE_CRITERION_L1, weight, weight, 2, weights),
                 SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_criterion_is_found_by_its_name),
        cmocka_unit_test(a_group_scores_as_in_the_published_code),
        cmocka_unit_test(jbr_squares_each_mini_batch_and_taylor_does_not),
        cmocka_unit_test(fpgm_sums_the_distances_to_the_other_filters),
        cmocka_unit_test(whc_of_parallel_and_zero_filters_is_zero),
        cmocka_unit_test(criteria_do_not_look_at_what_is_not_theirs),
        cmocka_unit_test(single_weights_score_as_their_papers_say),
        cmocka_unit_test(grasp_removes_first_what_carries_least_gradient_flow),
        cmocka_unit_test(random_scores_are_keyed),
        cmocka_unit_test(nan_stays_nan_in_its_channel),
        cmocka_unit_test(what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
