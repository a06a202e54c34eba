/* DisWOT's metrics: the closed forms against the matrices written out, and the published code. */
#include "check.h"
#include "made_numbers.h"

#include "../golden/signals.h"

static sonde_matrix floats(const float *values, size_t rows, size_t cols)
{
    return (sonde_matrix){values, SONDE_F32, rows, cols, 0};
}

static sonde_matrix doubles(const double *values, size_t rows, size_t cols)
{
    return (sonde_matrix){values, SONDE_F64, rows, cols, 0};
}

/* Rows of f f^T, divided by max(norm, 1e-12), as PyTorch's normalize does it. */
static void outer_rows(const double *f, size_t d, double *g)
{
    for (size_t i = 0; i < d; i++) {
        double norm = 0;
        for (size_t j = 0; j < d; j++) {
            g[i * d + j] = f[i] * f[j];
            norm += g[i * d + j] * g[i * d + j];
        }
        norm = fmax(sqrt(norm), 1e-12);
        for (size_t j = 0; j < d; j++)
            g[i * d + j] /= norm;
    }
}

static double semantic_by_matrices(const double *t, const double *s, size_t classes, size_t d)
{
    double sum = 0, gt[64 * 64], gs[64 * 64];
    for (size_t c = 0; c < classes; c++) {
        outer_rows(t + c * d, d, gt);
        outer_rows(s + c * d, d, gs);
        for (size_t i = 0; i < d * d; i++)
            sum += (gt[i] - gs[i]) * (gt[i] - gs[i]);
    }
    return -sum / (double)(classes * d);
}

static sonde_score semantic(const sonde_matrix *t, const sonde_matrix *s)
{
    sonde_context *context = check_context();
    sonde_score score;
    check_ok(context, sonde_diswot_semantic(context, t, s, &score));
    assert_int_equal(score.direction, SONDE_HIGHER_IS_BETTER);
    sonde_context_free(context);
    return score;
}

static sonde_score relation(sonde_diswot_mode mode, const sonde_matrix *t, const sonde_matrix *s)
{
    sonde_context *context = check_context();
    sonde_score score;
    check_ok(context, sonde_diswot_relation(context, mode, t, s, &score));
    sonde_context_free(context);
    return score;
}

/* Zeros, tiny entries and tiny rows among them, where the norm falls below 1e-12. */
static void the_closed_form_is_the_matrices_written_out(void **state)
{
    (void)state;
    enum { CLASSES = 6, D = 40 };
    float numbers[2 * CLASSES * D];
    double t[CLASSES * D], s[CLASSES * D];
    made_numbers(3, numbers, 2 * CLASSES * D);
    for (int i = 0; i < CLASSES * D; i++) {
        t[i] = (double)numbers[i];
        s[i] = (double)numbers[CLASSES * D + i];
    }
    t[3] = s[7] = t[9] = s[9] = 0;
    t[12] = 1e-13;
    for (int i = 0; i < D; i++) {
        t[D + i] *= 2e-6;
        s[2 * D + i] *= 1e-7;
        s[3 * D + i] = 0;
        t[4 * D + i] *= 1e-5;
        s[4 * D + i] *= 1e3;
    }
    const sonde_matrix teacher = doubles(t, CLASSES, D), student = doubles(s, CLASSES, D);
    check_close(semantic(&teacher, &student).value, semantic_by_matrices(t, s, CLASSES, D), 0,
                1e-12, "semantic");
}

static void equal_networks_and_scaled_ones_are_alike(void **state)
{
    (void)state;
    float t[5 * 7], s[5 * 7];
    made_numbers(4, t, 5 * 7);
    for (int i = 0; i < 35; i++)
        s[i] = 4 * t[i];
    const sonde_matrix teacher = floats(t, 5, 7), student = floats(s, 5, 7);
    check_close(semantic(&teacher, &student).value, 0, 1e-14, 0, "semantic");
    check_close(relation(SONDE_DISWOT_PAPER, &teacher, &student).value, 0, 1e-14, 0, "relation");
    check_close(relation(SONDE_DISWOT_REPO, &teacher, &student).value, 0, 1e-14, 0, "first row");
}

static void metrics_are_those_of_the_published_code(void **state)
{
    (void)state;
    float t[120], s[120];
    made_numbers(5, t, 35);
    made_numbers(6, s, 35);
    sonde_matrix teacher = floats(t, 5, 7), student = floats(s, 5, 7);
    check_close(semantic(&teacher, &student).value, GOLDEN_SEMANTIC, 0, 1e-6, "semantic");
    check_close(relation(SONDE_DISWOT_PAPER, &teacher, &student).value, GOLDEN_RELATION, 0, 1e-6,
                "relation");
    check_close(relation(SONDE_DISWOT_REPO, &teacher, &student).value, GOLDEN_RELATION_REPO, 0,
                1e-6, "relation of the first row");
    made_numbers(7, t, 120);
    made_numbers(8, s, 120);
    teacher = floats(t, 12, 5); /* the first example: 3 channels of 4 x 5 */
    student = floats(s, 12, 5);
    sonde_context *context = check_context();
    sonde_score score;
    check_ok(context, sonde_diswot_channels(context, 3, &teacher, &student, &score));
    check_close(score.value, GOLDEN_CHANNELS, 0, 1e-6, "channels");
    sonde_context_free(context);
}

/* Section 5.6 of the methods: -(2 / d) (1 - cos) for positive features. */
static void of_positive_features_the_first_row_gives_the_cosine(void **state)
{
    (void)state;
    enum { D = 64 };
    float t[D], s[D];
    made_numbers(10, t, D);
    made_numbers(11, s, D);
    double dot = 0, tt = 0, ss = 0;
    for (int i = 0; i < D; i++) {
        t[i] += 0.6f;
        s[i] += 0.6f;
        dot += (double)t[i] * (double)s[i];
        tt += (double)t[i] * (double)t[i];
        ss += (double)s[i] * (double)s[i];
    }
    const sonde_matrix teacher = floats(t, 1, D), student = floats(s, 1, D);
    check_close(relation(SONDE_DISWOT_REPO, &teacher, &student).value,
                -2.0 / D * (1 - dot / sqrt(tt * ss)), 0, 1e-12, "relation");
}

static void relations_compare_networks_of_different_width(void **state)
{
    (void)state;
    float t[4 * 9], s[4 * 1300];
    made_numbers(12, t, 4 * 9);
    made_numbers(13, s, 4 * 1300);
    const sonde_matrix teacher = floats(t, 4, 9), student = floats(s, 4, 1300);
    const sonde_score score = relation(SONDE_DISWOT_PAPER, &teacher, &student);
    assert_true(score.validity == SONDE_VALID && score.value < 0 && score.value >= -1);
    sonde_context *context = check_context();
    sonde_score none;
    check_status(sonde_diswot_relation(context, SONDE_DISWOT_REPO, &teacher, &student, &none),
                 SONDE_ERROR_SHAPE);
    check_status(sonde_diswot_semantic(context, &teacher, &student, &none), SONDE_ERROR_SHAPE);
    check_status(sonde_diswot_channels(context, 3, &teacher, &teacher, &none), SONDE_ERROR_SHAPE);
    check_status(sonde_diswot_relation(context, (sonde_diswot_mode)7, &teacher, &student, &none),
                 SONDE_ERROR_RANGE);
    sonde_context_free(context);
}

static void features_that_are_not_finite_have_no_score(void **state)
{
    (void)state;
    float t[4 * 9], s[4 * 9];
    made_numbers(12, t, 4 * 9);
    made_numbers(13, s, 4 * 9);
    s[4] = NAN;
    const sonde_matrix teacher = floats(t, 4, 9), student = floats(s, 4, 9);
    assert_int_equal(semantic(&teacher, &student).validity, SONDE_NOT_FINITE);
    assert_int_equal(relation(SONDE_DISWOT_PAPER, &teacher, &student).validity, SONDE_NOT_FINITE);
    assert_int_equal(relation(SONDE_DISWOT_REPO, &teacher, &student).validity, SONDE_NOT_FINITE);
    assert_true(relation(SONDE_DISWOT_REPO, &teacher, &student).value == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_closed_form_is_the_matrices_written_out),
        cmocka_unit_test(equal_networks_and_scaled_ones_are_alike),
        cmocka_unit_test(metrics_are_those_of_the_published_code),
        cmocka_unit_test(of_positive_features_the_first_row_gives_the_cosine),
        cmocka_unit_test(relations_compare_networks_of_different_width),
        cmocka_unit_test(features_that_are_not_finite_have_no_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
