/* The public singular values: units, formats, refusals. */
#include "check.h"

static void a_diagonal_matrix_in_any_format_gives_its_entries(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const double doubles[] = {0, -4, 0, 0.5, 0, 0};
    const float floats[] = {0, -4, 0, 0.5f, 0, 0};
    const uint16_t brain[] = {0, 0xc080, 0, 0x3f00, 0, 0}, half[] = {0, 0xc400, 0, 0x3800, 0, 0};
    const sonde_matrix matrices[] = {{doubles, SONDE_F64, 2, 3, 0},
                                     {floats, SONDE_F32, 2, 3, 0},
                                     {brain, SONDE_BF16, 2, 3, 0},
                                     {half, SONDE_F16, 2, 3, 0}};
    for (int i = 0; i < 4; i++) {
        double values[2];
        check_ok(context, sonde_singular_values(context, &matrices[i], values));
        check_close(values[0], 0.5, 4e-14, 0, "smaller");
        check_close(values[1], 4, 4e-14, 0, "larger");
    }
    sonde_context_free(context);
}

static void values_are_in_units_of_the_entries_at_both_ends_of_the_range(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const double data[][4] = {{3e307, 0, 0, 4e307}, {0, 3e-310, 4e-310, 0}};
    for (int i = 0; i < 2; i++) {
        const sonde_matrix matrix = {data[i], SONDE_F64, 2, 2, 0};
        double values[2];
        check_ok(context, sonde_singular_values(context, &matrix, values));
        check_close(values[0], i == 0 ? 3e307 : 3e-310, 0, 1e-13, "smaller");
        check_close(values[1], i == 0 ? 4e307 : 4e-310, 0, 1e-13, "larger");
    }
    sonde_context_free(context);
}

static void matrices_with_nan_and_wrong_arguments_are_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float data[] = {1, NAN, INFINITY, 2};
    const sonde_matrix matrix = {data, SONDE_F32, 2, 2, 0};
    const sonde_matrix empty = {data, SONDE_F32, 0, 2, 0};
    const sonde_matrix huge = {data, SONDE_F32, 40000, 40000, 0}; /* refused before it is read */
    double values[2] = {7, 7};
    check_status(sonde_singular_values(context, &matrix, values), SONDE_ERROR_NUMERIC);
    assert_non_null(strstr(sonde_context_error(context)->message, "2 entries"));
    check_status(sonde_singular_values(context, &huge, values), SONDE_ERROR_UNSUPPORTED);
    check_status(sonde_singular_values(context, &empty, values), SONDE_ERROR_SHAPE);
    check_status(sonde_singular_values(context, &matrix, NULL), SONDE_ERROR_ARGUMENT);
    check_status(sonde_singular_values(context, NULL, values), SONDE_ERROR_ARGUMENT);
    check_status(sonde_singular_values(NULL, &matrix, values), SONDE_ERROR_ARGUMENT);
    assert_true(values[0] == 7 && values[1] == 7);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_diagonal_matrix_in_any_format_gives_its_entries),
        cmocka_unit_test(values_are_in_units_of_the_entries_at_both_ends_of_the_range),
        cmocka_unit_test(matrices_with_nan_and_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
