/* The losses against their textbook formulas in long double, at extreme logits, and against finite
 * differences of themselves. */
#include "check.h"

#include "net/loss.h"

enum { ROWS = 6, MAX_CLASSES = 131 };

static uint32_t noise_state = 1;

/* Uniform in [-1, 1]; any generator will do here. */
static double noise(void)
{
    noise_state = noise_state * 1664525u + 1013904223u;
    return (double)noise_state / 2147483648.0 - 1;
}

static void fill(float *values, size_t count, double scale)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(scale * noise());
}

/* Rows of positive numbers; they sum to one only when `normal`. */
static void fill_targets(float *targets, size_t n, size_t classes, bool normal)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < classes; j++) {
            targets[i * classes + j] = (float)(0.5 + 0.5 * noise());
            sum += (double)targets[i * classes + j];
        }
        for (size_t j = 0; normal && j < classes; j++)
            targets[i * classes + j] = (float)((double)targets[i * classes + j] / sum);
    }
}

/* sum_j t_j (log sum_k exp z_k - z_j) and, in g, its gradient sum(t) softmax(z) - t. */
static long double brute_cross_entropy(const float *z, const double *t, size_t classes,
                                       long double *g)
{
    long double sum = 0, mass = 0, loss = 0;
    for (size_t j = 0; j < classes; j++) {
        sum += expl((long double)z[j]);
        mass += (long double)t[j];
    }
    for (size_t j = 0; j < classes; j++) {
        loss += (long double)t[j] * (logl(sum) - (long double)z[j]);
        g[j] = mass * expl((long double)z[j]) / sum - (long double)t[j];
    }
    return loss;
}

static void check_cross_entropy(size_t classes, double smoothing)
{
    float z[ROWS * MAX_CLASSES], losses[ROWS], gradient[ROWS * MAX_CLASSES];
    int32_t labels[ROWS];
    long double g[MAX_CLASSES], total = 0;
    fill(z, ROWS * classes, 8);
    for (int i = 0; i < ROWS; i++)
        labels[i] = (int32_t)((size_t)(i * 7) % classes);
    double const mean =
        sonde__loss_cross_entropy(z, labels, ROWS, classes, smoothing, losses, gradient);
    for (size_t i = 0; i < ROWS; i++) {
        double t[MAX_CLASSES];
        for (size_t j = 0; j < classes; j++)
            t[j] = smoothing / (double)classes + (j == (size_t)labels[i] ? 1 - smoothing : 0);
        long double const loss = brute_cross_entropy(z + i * classes, t, classes, g);
        check_close((double)losses[i], (double)loss, 1e-9, 5e-7, "loss");
        for (size_t j = 0; j < classes; j++)
            check_close((double)gradient[i * classes + j], (double)(g[j] / ROWS), 5e-8, 5e-7,
                        "gradient");
        total += loss;
    }
    check_close(mean, (double)(total / ROWS), 1e-9, 2e-7, "mean");
}

static void test_cross_entropy_follows_its_formula(void **state)
{
    (void)state;
    size_t const sizes[] = {1, 2, 3, 10, 17, 100, MAX_CLASSES};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_cross_entropy(sizes[i], 0);
}

static void test_smoothing_mixes_the_label_with_all_classes(void **state)
{
    (void)state;
    check_cross_entropy(1, 0.1);
    check_cross_entropy(10, 0.1);
    check_cross_entropy(33, 0.9);
}

static void check_soft(size_t classes, bool normal)
{
    float z[ROWS * MAX_CLASSES], targets[ROWS * MAX_CLASSES];
    float losses[ROWS], gradient[ROWS * MAX_CLASSES];
    long double g[MAX_CLASSES], total = 0;
    fill(z, ROWS * classes, 5);
    fill_targets(targets, ROWS, classes, normal);
    double const mean = sonde__loss_cross_entropy_soft(z, targets, ROWS, classes, losses, gradient);
    for (size_t i = 0; i < ROWS; i++) {
        double t[MAX_CLASSES];
        for (size_t j = 0; j < classes; j++)
            t[j] = (double)targets[i * classes + j];
        long double const loss = brute_cross_entropy(z + i * classes, t, classes, g);
        check_close((double)losses[i], (double)loss, 1e-9, 5e-7, "loss");
        for (size_t j = 0; j < classes; j++)
            check_close((double)gradient[i * classes + j], (double)(g[j] / ROWS), 1e-7, 1e-6,
                        "gradient");
        total += loss;
    }
    check_close(mean, (double)(total / ROWS), 1e-9, 2e-7, "mean");
}

static void test_soft_targets_follow_the_formula_also_when_they_do_not_sum_to_one(void **state)
{
    (void)state;
    check_soft(10, true);
    check_soft(3, false);
    check_soft(MAX_CLASSES, false);
}

static void test_hard_and_one_hot_soft_targets_agree(void **state)
{
    (void)state;
    float z[ROWS * 10], targets[ROWS * 10] = {0}, a[ROWS], b[ROWS], ga[ROWS * 10], gb[ROWS * 10];
    int32_t labels[ROWS];
    fill(z, ROWS * 10, 4);
    for (int i = 0; i < ROWS; i++) {
        labels[i] = i;
        targets[i * 10 + i] = 1;
    }
    sonde__loss_cross_entropy(z, labels, ROWS, 10, 0, a, ga);
    sonde__loss_cross_entropy_soft(z, targets, ROWS, 10, b, gb);
    for (int i = 0; i < ROWS; i++)
        check_close((double)a[i], (double)b[i], 0, 1e-7, "loss");
    for (int i = 0; i < ROWS * 10; i++)
        check_close((double)ga[i], (double)gb[i], 1e-8, 1e-6, "gradient");
}

static void test_extreme_logits_stay_finite_and_exact(void **state)
{
    (void)state;
    float const z[] = {1e4f, -1e4f, 0, /**/ -1e4f, -1e4f, -1e4f, /**/ 3e38f, -3e38f, 0};
    int32_t const right[] = {0, 1, 0}, wrong[] = {1, 2, 2};
    float losses[3], g[9];
    double mean = sonde__loss_cross_entropy(z, right, 3, 3, 0, losses, g);
    assert_true(losses[0] == 0);
    check_close((double)losses[1], log(3), 0, 1e-7, "equal logits");
    assert_true(losses[2] == 0);
    check_close(mean, log(3) / 3, 0, 1e-12, "mean");
    assert_true(g[0] == 0 && g[1] == 0 && g[2] == 0);
    check_close((double)g[4], (1.0 / 3 - 1) / 3, 0, 1e-6, "gradient at equal logits");

    mean = sonde__loss_cross_entropy(z, wrong, 3, 3, 0, losses, g);
    assert_true(losses[0] == 2e4f);
    assert_true(losses[2] == 3e38f);
    assert_true(isfinite(mean) && mean > 9e37);
    check_close((double)g[0], 1.0 / 3, 0, 1e-6, "gradient of the winner");
    check_close((double)g[1], -1.0 / 3, 0, 1e-6, "gradient of the label");
}

/* exp(-30) next to 1 is below what float, and with plain log() even double, resolves to 1e-6. */
static void test_tiny_losses_keep_their_relative_precision(void **state)
{
    (void)state;
    for (int gap = 1; gap < 80; gap++) {
        float const z[] = {0, (float)gap};
        int32_t const label = 1;
        float loss;
        sonde__loss_cross_entropy(z, &label, 1, 2, 0, &loss, NULL);
        check_close((double)loss, log1p(exp(-gap)), 0, 4e-7, "loss");
    }
}

static void test_not_finite_logits_give_not_finite_losses(void **state)
{
    (void)state;
    float const bad[] = {NAN, INFINITY};
    for (int k = 0; k < 2; k++)
        for (int place = 0; place < 3; place++) {
            float z[] = {1, 2, 3}, loss;
            int32_t const label = 1;
            z[place] = bad[k];
            assert_true(!isfinite(sonde__loss_cross_entropy(z, &label, 1, 3, 0, &loss, NULL)));
            assert_true(!isfinite(loss));
        }
}

static void test_losses_and_gradient_may_be_left_out(void **state)
{
    (void)state;
    float z[ROWS * 10], losses[ROWS], gradient[ROWS * 10];
    int32_t const labels[ROWS] = {0, 1, 2, 9, 4, 5};
    fill(z, ROWS * 10, 4);
    double const full = sonde__loss_cross_entropy(z, labels, ROWS, 10, 0.1, losses, gradient);
    assert_true(full == sonde__loss_cross_entropy(z, labels, ROWS, 10, 0.1, NULL, NULL));
    assert_true(full == sonde__loss_cross_entropy(z, labels, ROWS, 10, 0.1, losses, NULL));
    assert_true(full == sonde__loss_cross_entropy(z, labels, ROWS, 10, 0.1, NULL, gradient));
    assert_true(sonde__loss_cross_entropy(z, labels, 0, 10, 0.1, NULL, NULL) == 0);
}

static void test_squared_error_follows_its_formula(void **state)
{
    (void)state;
    float const z[] = {1, 2, 3, -4, 0, 7}, t[] = {1, 0, 3, -4, 2, 7.5f};
    float losses[2], g[6];
    double const mean = sonde__loss_squared(z, t, 2, 3, losses, g);
    check_close((double)losses[0], 4.0 / 3, 0, 1e-7, "row 0");
    check_close((double)losses[1], 4.25 / 3, 0, 1e-7, "row 1");
    check_close(mean, 8.25 / 6, 0, 1e-12, "mean");
    double const expected[] = {0, 4.0 / 6, 0, 0, -4.0 / 6, -1.0 / 6};
    for (int i = 0; i < 6; i++)
        check_close((double)g[i], expected[i], 1e-9, 1e-7, "gradient");
}

static void test_sigmoid_loss_follows_its_formula(void **state)
{
    (void)state;
    enum { C = 37 };
    float z[ROWS * C], t[ROWS * C], losses[ROWS], g[ROWS * C];
    fill(z, ROWS * C, 20);
    fill_targets(t, ROWS, C, false);
    double const mean = sonde__loss_sigmoid(z, t, ROWS, C, losses, g);
    long double total = 0;
    for (int i = 0; i < ROWS; i++) {
        long double sum = 0;
        for (int j = i * C; j < (i + 1) * C; j++) {
            long double const e = expl(-(long double)z[j]), y = (long double)t[j];
            sum += y * log1pl(e) + (1 - y) * (log1pl(e) + (long double)z[j]);
            check_close((double)g[j], (double)((1 / (1 + e) - y) / (ROWS * C)), 1e-9, 1e-6,
                        "gradient");
        }
        check_close((double)losses[i], (double)(sum / C), 1e-9, 1e-6, "loss");
        total += sum / C;
    }
    check_close(mean, (double)(total / ROWS), 0, 1e-6, "mean");
}

static void test_sigmoid_loss_is_finite_at_extreme_logits(void **state)
{
    (void)state;
    float const z[] = {1e4f, -1e4f, 1e4f, -1e4f}, t[] = {1, 0, 0, 1};
    float loss, g[4];
    double const mean = sonde__loss_sigmoid(z, t, 1, 4, &loss, g);
    assert_true(mean == 5e3);
    assert_true(g[0] == 0 && g[1] == 0 && g[2] == 0.25f && g[3] == -0.25f);
}

typedef double (*loss_of)(const float *z, const float *t, const int32_t *labels, float *g);

enum { FD_ROWS = 3, FD_CLASSES = 11 };

static double hard_loss(const float *z, const float *t, const int32_t *labels, float *g)
{
    (void)t;
    return sonde__loss_cross_entropy(z, labels, FD_ROWS, FD_CLASSES, 0.2, NULL, g);
}

static double soft_loss(const float *z, const float *t, const int32_t *labels, float *g)
{
    (void)labels;
    return sonde__loss_cross_entropy_soft(z, t, FD_ROWS, FD_CLASSES, NULL, g);
}

static double squared_loss(const float *z, const float *t, const int32_t *labels, float *g)
{
    (void)labels;
    return sonde__loss_squared(z, t, FD_ROWS, FD_CLASSES, NULL, g);
}

static double sigmoid_loss(const float *z, const float *t, const int32_t *labels, float *g)
{
    (void)labels;
    return sonde__loss_sigmoid(z, t, FD_ROWS, FD_CLASSES, NULL, g);
}

static void test_gradients_are_the_derivatives_of_the_mean(void **state)
{
    (void)state;
    loss_of const losses[] = {hard_loss, soft_loss, squared_loss, sigmoid_loss};
    int32_t const labels[FD_ROWS] = {4, 0, 10};
    float const h = 1.0f / 64;
    for (size_t k = 0; k < sizeof losses / sizeof *losses; k++) {
        float z[FD_ROWS * FD_CLASSES], t[FD_ROWS * FD_CLASSES], g[FD_ROWS * FD_CLASSES];
        fill(z, FD_ROWS * FD_CLASSES, 2);
        fill_targets(t, FD_ROWS, FD_CLASSES, false);
        losses[k](z, t, labels, g);
        for (int i = 0; i < FD_ROWS * FD_CLASSES; i++) {
            float const kept = z[i];
            z[i] = kept + h;
            double const up = losses[k](z, t, labels, NULL), above = (double)z[i];
            z[i] = kept - h;
            double const down = losses[k](z, t, labels, NULL), below = (double)z[i];
            z[i] = kept;
            check_close((double)g[i], (up - down) / (above - below), 2e-5, 1e-3, "gradient");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cross_entropy_follows_its_formula),
        cmocka_unit_test(test_smoothing_mixes_the_label_with_all_classes),
        cmocka_unit_test(test_soft_targets_follow_the_formula_also_when_they_do_not_sum_to_one),
        cmocka_unit_test(test_hard_and_one_hot_soft_targets_agree),
        cmocka_unit_test(test_extreme_logits_stay_finite_and_exact),
        cmocka_unit_test(test_tiny_losses_keep_their_relative_precision),
        cmocka_unit_test(test_not_finite_logits_give_not_finite_losses),
        cmocka_unit_test(test_losses_and_gradient_may_be_left_out),
        cmocka_unit_test(test_squared_error_follows_its_formula),
        cmocka_unit_test(test_sigmoid_loss_follows_its_formula),
        cmocka_unit_test(test_sigmoid_loss_is_finite_at_extreme_logits),
        cmocka_unit_test(test_gradients_are_the_derivatives_of_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
