/* Schedules against recorded PyTorch rates (tests/golden/make_optimizer.py). */
#include "check.h"

#include "run/schedule.h"

#include "../golden/schedule.h"

static const int64_t milestones[] = {3, 7};

static sonde__schedule schedule_of(sonde__schedule_kind kind)
{
    return (sonde__schedule){.kind = kind,
                             .rate = 0.5,
                             .final = 0.01,
                             .gamma = 0.9,
                             .epochs = 12,
                             .milestones = milestones,
                             .milestone_count = 2};
}

static void compare(const sonde__schedule *schedule, const double *expected, const char *name)
{
    for (int64_t epoch = 1; epoch <= 12; epoch++)
        check_close(sonde__schedule_rate(schedule, epoch), expected[epoch - 1], 0, 1e-12, name);
}

static void rates_are_those_of_pytorch(void **state)
{
    (void)state;
    sonde__schedule schedule = schedule_of(SONDE__SCHEDULE_CONSTANT);
    compare(&schedule, golden_constant, "constant");
    schedule = schedule_of(SONDE__SCHEDULE_STEP);
    schedule.gamma = 0.2;
    compare(&schedule, golden_step, "step");
    schedule = schedule_of(SONDE__SCHEDULE_COSINE);
    compare(&schedule, golden_cosine, "cosine");
    schedule = schedule_of(SONDE__SCHEDULE_EXPONENTIAL);
    compare(&schedule, golden_exponential, "exponential");
    schedule = schedule_of(SONDE__SCHEDULE_LINEAR);
    compare(&schedule, golden_linear, "linear");
}

static void warm_up_then_cosine_is_pytorchs_sequence(void **state)
{
    (void)state;
    sonde__schedule schedule = schedule_of(SONDE__SCHEDULE_COSINE);
    schedule.warm_up = 4;
    compare(&schedule, golden_warm_cosine, "warm-up and cosine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_those_of_pytorch),
        cmocka_unit_test(warm_up_then_cosine_is_pytorchs_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
