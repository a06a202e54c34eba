/* Optimisers against recorded PyTorch results (tests/golden/make_optimizer.py), and gradient norms. */
#include "check.h"

#include "run/optimizer.h"

#include "../golden/optimizer.h"

enum { N = 7, STEPS = 5 };

/* The formulas of the script. */
static void fill_weights(float *weights)
{
    for (int i = 0; i < N; i++)
        weights[i] = (float)(0.1 * (i - 3));
}

static void fill_gradient(float *gradient, int step)
{
    for (int i = 0; i < N; i++)
        gradient[i] = (float)sin(1.0 + i + 2.0 * step);
}

static void compare(const sonde__optimizer_options *options, double rate, double clip,
                    const double *expected, const char *name)
{
    sonde_context *context = check_context();
    sonde__optimizer optimizer;
    float weights[N], gradient[N];
    check_ok(context, sonde__optimizer_init(context, options, N, &optimizer));
    fill_weights(weights);
    for (int step = 0; step < STEPS; step++) {
        fill_gradient(gradient, step);
        double scale = sonde__clip_scale(sonde__gradient_norm(gradient, N), clip);
        sonde__optimizer_step(&optimizer, weights, gradient, rate, scale);
    }
    for (int i = 0; i < N; i++)
        check_close(weights[i], expected[i], 2e-7, 1e-6, name);
    assert_int_equal(optimizer.steps, STEPS);
    sonde__optimizer_free(context, &optimizer);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static sonde__optimizer_options sgd(double momentum, bool nesterov, double decay)
{
    return (sonde__optimizer_options){.kind = SONDE__OPTIMIZER_SGD,
                                      .momentum = momentum,
                                      .nesterov = nesterov,
                                      .weight_decay = decay};
}

static void sgd_steps_as_pytorch_does(void **state)
{
    (void)state;
    sonde__optimizer_options plain = sgd(0, false, 0), decay = sgd(0, false, 0.01);
    sonde__optimizer_options momentum = sgd(0.9, false, 0.01), nesterov = sgd(0.9, true, 0.01);
    compare(&plain, 0.1, 0, golden_sgd, "sgd");
    compare(&decay, 0.1, 0, golden_sgd_decay, "weight decay");
    compare(&momentum, 0.1, 0, golden_sgd_momentum, "momentum");
    compare(&nesterov, 0.1, 0, golden_sgd_nesterov, "nesterov");
}

static void adam_and_adamw_step_as_pytorch_does(void **state)
{
    (void)state;
    sonde__optimizer_options adam = {.kind = SONDE__OPTIMIZER_ADAM,
                                     .beta1 = 0.9,
                                     .beta2 = 0.999,
                                     .epsilon = 1e-8,
                                     .weight_decay = 0.01};
    sonde__optimizer_options adamw = {.kind = SONDE__OPTIMIZER_ADAMW,
                                      .beta1 = 0.8,
                                      .beta2 = 0.95,
                                      .epsilon = 1e-8,
                                      .weight_decay = 0.1};
    compare(&adam, 0.01, 0, golden_adam, "adam");
    compare(&adamw, 0.01, 0, golden_adamw, "adamw");
}

static void clipping_follows_pytorch(void **state)
{
    (void)state;
    sonde__optimizer_options momentum = sgd(0.9, false, 0.01);
    compare(&momentum, 0.1, 0.5, golden_clipped, "clipped");
    check_close(sonde__clip_scale(0.1, 1), 1, 0, 0, "a short gradient is not stretched");
    check_close(sonde__clip_scale(5, 0), 1, 0, 0, "no clipping asked for");
}

static void the_norm_of_every_length_is_exact_enough(void **state)
{
    (void)state;
    float values[67];
    for (size_t n = 0; n <= 67; n++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            values[i] = (float)i - 20.5f;
            sum += (double)values[i] * (double)values[i];
        }
        check_close(sonde__gradient_norm(values, n), sqrt(sum), 0, 1e-15, "norm");
    }
    float huge[2] = {3e38f, 3e38f};
    check_close(sonde__gradient_norm(huge, 2), sqrt(2.0) * (double)3e38f, 0, 1e-12, "no overflow");
    float bad[3] = {1, NAN, 2};
    assert_true(isnan(sonde__gradient_norm(bad, 3)));
}

static void zero_padding_stays_zero(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    for (int kind = SONDE__OPTIMIZER_SGD; kind <= SONDE__OPTIMIZER_ADAMW; kind++) {
        sonde__optimizer_options options = {.kind = (sonde__optimizer_kind)kind,
                                            .momentum = 0.9,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .epsilon = 1e-8,
                                            .weight_decay = 0.1};
        sonde__optimizer optimizer;
        float weights[4] = {1, 0, 2, 0}, gradient[4] = {1, 0, -1, 0};
        check_ok(context, sonde__optimizer_init(context, &options, 4, &optimizer));
        for (int step = 0; step < 3; step++)
            sonde__optimizer_step(&optimizer, weights, gradient, 0.1, 1);
        assert_true(weights[1] == 0 && weights[3] == 0);
        assert_true(weights[0] < 1 && weights[2] > 1.9f);
        sonde__optimizer_free(context, &optimizer);
    }
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_steps_as_pytorch_does),
        cmocka_unit_test(adam_and_adamw_step_as_pytorch_does),
        cmocka_unit_test(clipping_follows_pytorch),
        cmocka_unit_test(the_norm_of_every_length_is_exact_enough),
        cmocka_unit_test(zero_padding_stays_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
