/*
 * Power-law fits against weightwatcher and powerlaw (recorded), against a plain search that follows
 * the formulas word for word, and on values whose exponent is known.
 */
#include "check.h"

#include "base/random.h"
#include "num/rank.h"
#include "signal/power_law.h"

#include "../golden/power_law.h"

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

static sonde__power_law fit_of(const double *values, size_t count)
{
    sonde__power_law law;
    check_ok(context, sonde__power_law_fit(context, values, count, 0, &law));
    return law;
}

static double *sorted_draws(size_t n, uint64_t index, double (*draw)(sonde__stream *, double),
                            double parameter)
{
    double *const values = malloc(2 * n * sizeof *values);
    assert_non_null(values);
    sonde__stream stream = sonde__stream_open(31, SONDE__RANDOM_TEST, index);
    for (size_t i = 0; i < n; i++)
        values[i] = draw(&stream, parameter);
    sonde__sort(values, n, values + n);
    return values;
}

static double pareto(sonde__stream *stream, double alpha)
{
    return pow(1 - sonde__random_uniform(stream), -1 / (alpha - 1));
}

static double log_normal(sonde__stream *stream, double scale)
{
    return exp(scale * sonde__random_normal(stream));
}

static double coarse(sonde__stream *stream, double alpha)
{
    return floor(4 * pareto(stream, alpha)) / 4;
}

static void agrees_with_the_packages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof GOLDEN_FITS / sizeof *GOLDEN_FITS; i++) {
        const golden_fit *const golden = &GOLDEN_FITS[i];
        const sonde__power_law law = fit_of(golden->values, golden->count);
        assert_int_equal(law.validity, SONDE_VALID);
        check_close(law.alpha, golden->alpha, 0, 1e-12, golden->name);
        if (strcmp(golden->name, "with ties") != 0) /* there the packages differ */
            check_close(law.alpha, golden->other_alpha, 0, 1e-12, golden->name);
        check_close(law.alpha_error, golden->alpha_error, 0, 1e-12, golden->name);
        check_close(law.ks_distance, golden->distance, 0, 1e-12, golden->name);
        assert_true(golden->values[law.first] == golden->xmin);
    }
}

/* The definition, value by value. */
static sonde__power_law plain_fit(const double *x, size_t count)
{
    sonde__power_law best = {.ks_distance = INFINITY};
    for (size_t i = 0; i + 1 < count; i++) {
        if ((i > 0 && x[i] == x[i - 1]) || x[i] == x[count - 1])
            continue;
        double sum = 0, distance = 0;
        for (size_t k = i; k < count; k++)
            sum += log(x[k] / x[i]);
        const double n = (double)(count - i), alpha = 1 + n / sum;
        for (size_t k = i; k < count; k++)
            distance = fmax(distance, fabs(1 - pow(x[k] / x[i], 1 - alpha) - (double)(k - i) / n));
        if (distance < best.ks_distance)
            best = (sonde__power_law){SONDE_VALID, alpha, (alpha - 1) / sqrt(n),
                                      distance,    i,     count - i};
    }
    return best;
}

static void finds_what_a_plain_search_finds(void **state)
{
    (void)state;
    double (*const draws[])(sonde__stream *, double) = {pareto, log_normal, coarse};
    const size_t counts[] = {10, 11, 64, 200, 777};
    for (uint64_t seed = 0; seed < 8; seed++)
        for (int d = 0; d < 3; d++)
            for (int c = 0; c < 5; c++) {
                const size_t n = counts[c];
                double *const values = sorted_draws(n, seed, draws[d], d == 1 ? 1.5 : 2.2);
                const sonde__power_law law = fit_of(values, n), plain = plain_fit(values, n);
                check_close(law.ks_distance, plain.ks_distance, 1e-12, 0, "D");
                check_close(law.alpha, plain.alpha, 0, 1e-9, "alpha");
                check_close(law.alpha_error, plain.alpha_error, 0, 1e-9, "its error");
                assert_int_equal(law.first, plain.first);
                assert_int_equal(law.tail, n - law.first);
                free(values);
            }
}

static void known_exponents_are_recovered(void **state)
{
    (void)state;
    for (int alpha = 2; alpha <= 6; alpha++) {
        double *const values = sorted_draws(4000, (uint64_t)alpha, pareto, alpha);
        const sonde__power_law law = fit_of(values, 4000);
        assert_int_equal(law.validity, SONDE_VALID);
        check_close(law.alpha, alpha, 4 * law.alpha_error, 0, "alpha");
        assert_true(law.alpha_error < 0.1 * alpha && law.ks_distance < 0.05);
        free(values);
    }
}

static void a_body_below_the_tail_is_left_out(void **state)
{
    (void)state;
    enum { N = 3000, TAIL = 1000 };
    double values[N], *const tail = sorted_draws(TAIL, 77, pareto, 3);
    for (int i = 0; i < N - TAIL; i++) /* uniform below 1, the tail from 1 on */
        values[i] = (i + 0.5) / (N - TAIL);
    memcpy(values + N - TAIL, tail, TAIL * sizeof *tail);
    const sonde__power_law law = fit_of(values, N);
    assert_true(values[law.first] > 0.8 && values[law.first] < 1.5);
    check_close(law.alpha, 3, 0.3, 0, "alpha");
    free(tail);
}

static void scaling_changes_nothing(void **state)
{
    (void)state;
    const double scales[] = {1e-290, 0.25, 1e12, 1e290};
    double *const values = sorted_draws(150, 3, log_normal, 1), scaled[150];
    const sonde__power_law first = fit_of(values, 150);
    for (int s = 0; s < 4; s++) {
        for (int i = 0; i < 150; i++)
            scaled[i] = values[i] * scales[s];
        const sonde__power_law law = fit_of(scaled, 150);
        check_close(law.alpha, first.alpha, 0, 1e-10, "alpha");
        check_close(law.ks_distance, first.ks_distance, 1e-12, 0, "D");
        assert_int_equal(law.first, first.first);
    }
    free(values);
}

static void values_at_the_floor_are_left_out(void **state)
{
    (void)state;
    double values[220] = {0}, *const draws = sorted_draws(200, 4, pareto, 2.5);
    memcpy(values + 20, draws, 200 * sizeof *draws);
    const sonde__power_law without = fit_of(draws, 200);
    sonde__power_law law = fit_of(values, 220);
    check_close(law.alpha, without.alpha, 0, 0, "zeros");
    assert_int_equal(law.first, without.first + 20);
    for (int i = 0; i < 20; i++)
        values[i] = 1e-20 * (i + 1);
    check_ok(context, sonde__power_law_fit(context, values, 220, 1e-18, &law));
    check_close(law.alpha, without.alpha, 0, 0, "values below the floor");
    free(draws);
}

static void validity_names_what_has_no_tail(void **state)
{
    (void)state;
    double values[40];
    for (int i = 0; i < 40; i++)
        values[i] = 2.5;
    assert_int_equal(fit_of(values, 40).validity, SONDE_DEGENERATE);
    assert_int_equal(fit_of(values, 9).validity, SONDE_TOO_FEW);
    assert_int_equal(fit_of(values, 0).validity, SONDE_TOO_FEW);
    memset(values, 0, sizeof values);
    assert_int_equal(fit_of(values, 40).validity, SONDE_TOO_FEW);
    for (int i = 0; i < 40; i++) /* nine of forty above zero */
        values[i] = i < 31 ? 0 : i;
    assert_int_equal(fit_of(values, 40).validity, SONDE_TOO_FEW);
    for (int i = 0; i < 40; i++) /* a bulk that ends sharply, then four values on a straight line */
        values[i] = i < 36 ? 1 + 1e-9 * i : pow(3, i - 34);
    const sonde__power_law tied = fit_of(values, 40);
    assert_true(tied.tail >= 2 && isfinite(tied.alpha));
    assert_int_equal(tied.validity,
                     tied.tail < SONDE__POWER_LAW_LEAST ? SONDE_TOO_FEW : SONDE_VALID);
}

static void two_values_many_times_are_a_fit_of_all(void **state)
{
    (void)state;
    double values[40];
    for (int i = 0; i < 40; i++)
        values[i] = i < 20 ? 1 : exp(1);
    const sonde__power_law law = fit_of(values, 40);
    check_close(law.alpha, 1 + 40 / 20.0, 0, 1e-12, "alpha"); /* the only candidate is 1 */
    assert_int_equal(law.tail, 40);
}

static void thirty_two_thousand_values_take_no_time_to_speak_of(void **state)
{
    (void)state;
    double (*const draws[])(sonde__stream *, double) = {pareto, log_normal, coarse};
    for (int d = 0; d < 3; d++) { /* the plain search would need minutes */
        double *const values = sorted_draws(32000, 5, draws[d], 2.5);
        assert_int_equal(fit_of(values, 32000).validity, SONDE_VALID);
        free(values);
    }
}

static void out_of_memory_is_a_status(void **state)
{
    (void)state;
    sonde_context_options options;
    sonde_context *tight = NULL;
    sonde__power_law law;
    double *const values = sorted_draws(1000, 6, pareto, 3);
    sonde_context_options_init(&options);
    options.memory_limit = 4096;
    assert_int_equal(sonde_context_create(&options, &tight), SONDE_OK);
    check_status(sonde__power_law_fit(tight, values, 1000, 0, &law), SONDE_ERROR_MEMORY);
    sonde_context_free(tight);
    free(values);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(agrees_with_the_packages),
        TEST(finds_what_a_plain_search_finds),
        TEST(known_exponents_are_recovered),
        TEST(a_body_below_the_tail_is_left_out),
        TEST(scaling_changes_nothing),
        TEST(values_at_the_floor_are_left_out),
        TEST(validity_names_what_has_no_tail),
        TEST(two_values_many_times_are_a_fit_of_all),
        TEST(thirty_two_thousand_values_take_no_time_to_speak_of),
        TEST(out_of_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
