/* The plot writer: round ticks, labels, gaps, limits on points, escaped text. */
#include "check.h"

#include "report/svg.h"

static size_t count_of(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        count++;
    return count;
}

/* A tick is round when it is 1, 2 or 5 (or a multiple of such a step) times a power of ten. */
static bool is_round(double step)
{
    const double power = pow(10, floor(log10(step) + 1e-9));
    const double share = step / power;
    return fabs(share - 1) < 1e-6 || fabs(share - 2) < 1e-6 || fabs(share - 5) < 1e-6;
}

static void ticks_are_round_inside_and_not_too_many(void **state)
{
    static const double ranges[][2] = {{0, 1},       {-3, 17},   {0.0312, 0.0318}, {1e-9, 7e-9},
                                       {1e7, 9.3e8}, {-0.5, 99}, {12, 12.5}};
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        const sonde__axis axis = {.low = ranges[i][0], .high = ranges[i][1]};
        double ticks[SONDE__TICKS_MAX];
        const int count = sonde__axis_ticks(&axis, 5, ticks);
        assert_true(count >= 2 && count <= 11);
        assert_true(is_round(ticks[1] - ticks[0]));
        for (int t = 0; t < count; t++)
            assert_true(ticks[t] >= axis.low - 1e-9 * (axis.high - axis.low) &&
                        ticks[t] <= axis.high + 1e-9 * (axis.high - axis.low));
    }
}

static void ticks_of_epochs_are_whole(void **state)
{
    (void)state;
    for (int last = 1; last <= 1000; last = last * 3 + 1) {
        const sonde__axis axis = {.low = 0.5, .high = last + 0.5, .whole = true};
        double ticks[SONDE__TICKS_MAX];
        const int count = sonde__axis_ticks(&axis, 7, ticks);
        assert_true(count >= 1);
        for (int t = 0; t < count; t++)
            assert_true(ticks[t] == floor(ticks[t]));
    }
}

static void a_logarithmic_axis_has_its_ticks_at_powers_of_ten(void **state)
{
    const sonde__axis axis = {.low = 3e-5, .high = 400, .logarithmic = true};
    double ticks[SONDE__TICKS_MAX];
    (void)state;
    const int count = sonde__axis_ticks(&axis, 5, ticks);
    assert_true(count >= 3);
    for (int t = 0; t < count; t++)
        check_close(log10(ticks[t]), round(log10(ticks[t])), 1e-9, 0, "log10 of a tick");
}

static void axes_without_extent_give_no_ticks_and_no_hang(void **state)
{
    static const double bad[][2] = {{1, 1}, {2, 1}, {0, HUGE_VAL}, {(double)NAN, 1}};
    double ticks[SONDE__TICKS_MAX];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        const sonde__axis axis = {.low = bad[i][0], .high = bad[i][1]};
        assert_int_equal(sonde__axis_ticks(&axis, 5, ticks), 0);
    }
}

static void labels_have_the_digits_that_the_step_needs(void **state)
{
    char label[48];
    (void)state;
    sonde__tick_label(0.3, 0.1, label, sizeof label);
    assert_string_equal(label, "0.3");
    sonde__tick_label(0.3, 0.05, label, sizeof label);
    assert_string_equal(label, "0.30");
    sonde__tick_label(20, 10, label, sizeof label);
    assert_string_equal(label, "20");
    sonde__tick_label(0, 0.001, label, sizeof label);
    assert_string_equal(label, "0");
    sonde__tick_label(1e-7, 1e-7, label, sizeof label);
    assert_string_equal(label, "1e-7");
    sonde__tick_label(2.5e9, 1e8, label, sizeof label);
    assert_string_equal(label, "2.5e9");
}

static void a_range_of_one_value_still_gets_an_axis(void **state)
{
    static const double values[] = {0, 1, -4, 1e300, 1e-300};
    (void)state;
    for (size_t i = 0; i < 5; i++) {
        sonde__range range = sonde__range_empty();
        sonde__axis axis = {0};
        sonde__range_add(&range, (double)NAN);
        assert_true(sonde__range_is_empty(&range));
        sonde__range_add(&range, values[i]);
        sonde__axis_fit(&axis, &range, false);
        assert_true(axis.low < values[i] && values[i] < axis.high);
    }
}

static void wide_positive_ranges_become_logarithmic_and_others_do_not(void **state)
{
    sonde__axis axis = {0};
    sonde__range range = sonde__range_empty();
    (void)state;
    sonde__range_add(&range, 1);
    sonde__range_add(&range, 50);
    sonde__axis_fit_log(&axis, &range);
    assert_false(axis.logarithmic);
    sonde__range_add(&range, 5000);
    sonde__axis_fit_log(&axis, &range);
    assert_true(axis.logarithmic);
    sonde__range_add(&range, 0);
    sonde__axis_fit_log(&axis, &range);
    assert_false(axis.logarithmic);
}

static sonde__plot open_plot(sonde__text *text, double last)
{
    sonde__plot plot;
    sonde__plot_open(&plot, text, "p", "title <&>", "what it \"shows\"");
    plot.x = (sonde__axis){.low = 0, .high = last, .label = "epoch", .suffix = ""};
    plot.y = (sonde__axis){.low = 0, .high = 10, .label = "y", .suffix = ""};
    return plot;
}

static void a_line_breaks_at_values_that_are_not_finite(void **state)
{
    const double x[] = {0, 1, 2, 3, 4}, y[] = {1, 2, (double)NAN, 3, (double)INFINITY};
    sonde_context *context = check_context();
    sonde__text text;
    (void)state;
    sonde__text_init(&text, context);
    sonde__plot plot = open_plot(&text, 4);
    const size_t before = text.length;
    sonde__plot_line(&plot, x, y, 5, "s1");
    const char *path = strstr(text.bytes + before, " d=\"");
    assert_non_null(path);
    assert_int_equal(count_of(path, "M"), 2);
    assert_int_equal(count_of(path, "L"), 1);
    assert_null(strstr(text.bytes, "nan"));
    assert_null(strstr(text.bytes, "inf"));
    sonde__text_free(&text);
    sonde_context_free(context);
}

static void a_long_line_is_thinned_and_keeps_its_spike(void **state)
{
    enum { COUNT = 20000 };
    static double x[COUNT], y[COUNT];
    sonde_context *context = check_context();
    sonde__text text;
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        x[i] = i;
        y[i] = 1;
    }
    y[12345] = 10; /* the top of the box: y = 26 */
    sonde__text_init(&text, context);
    sonde__plot plot = open_plot(&text, COUNT);
    sonde__plot_line(&plot, x, y, COUNT, "s1");
    assert_true(text.length < 20000);
    assert_non_null(strstr(text.bytes, " 26.0"));
    sonde__text_free(&text);
    sonde_context_free(context);
}

static void texts_are_escaped(void **state)
{
    sonde_context *context = check_context();
    sonde__text text;
    (void)state;
    sonde__text_init(&text, context);
    sonde__plot plot = open_plot(&text, 4);
    plot.x.label = "<script>";
    sonde__plot_axes(&plot);
    sonde__plot_upright(&plot, 1, "a<b", "kept");
    sonde__plot_level(&plot, 1, "c&d", "limit");
    sonde__plot_note(&plot, "\"e\"<f>");
    sonde__plot_bar(&plot, 0, 1, 5, "bulk", "<g>");
    sonde__plot_close(&plot);
    assert_null(strstr(text.bytes, "<script>"));
    assert_null(strstr(text.bytes, "a<b"));
    assert_null(strstr(text.bytes, "<f>"));
    assert_null(strstr(text.bytes, "<g>"));
    assert_non_null(strstr(text.bytes, "title &lt;&amp;&gt;"));
    sonde__text_free(&text);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_round_inside_and_not_too_many),
        cmocka_unit_test(ticks_of_epochs_are_whole),
        cmocka_unit_test(a_logarithmic_axis_has_its_ticks_at_powers_of_ten),
        cmocka_unit_test(axes_without_extent_give_no_ticks_and_no_hang),
        cmocka_unit_test(labels_have_the_digits_that_the_step_needs),
        cmocka_unit_test(a_range_of_one_value_still_gets_an_axis),
        cmocka_unit_test(wide_positive_ranges_become_logarithmic_and_others_do_not),
        cmocka_unit_test(a_line_breaks_at_values_that_are_not_finite),
        cmocka_unit_test(a_long_line_is_thinned_and_keeps_its_spike),
        cmocka_unit_test(texts_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
