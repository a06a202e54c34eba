/* Tiles of a matrix in memory, and the tall view of them that makes transposes equal. */
#include "check.h"

#include "num/tall.h"
#include "num/tiles.h"

static void tiles_are_the_doubles_of_any_format_and_stride(void **state)
{
    (void)state;
    const uint16_t brain[] = {0x3f80, 0x4000, 0x4040, 0xdead, 0x4080, 0x40a0, 0x40c0, 0xdead};
    const sonde_matrix matrix = {brain, SONDE_BF16, 2, 3, 4};
    const sonde__tiles tiles = sonde__tiles_of_matrix(&matrix);
    double out[6] = {0};
    assert_true(tiles.rows == 2 && tiles.cols == 3 && tiles.narrow);
    assert_int_equal(tiles.read(tiles.user, 0, 2, 1, 2, out), SONDE_OK);
    assert_true(out[0] == 2 && out[1] == 3 && out[2] == 5 && out[3] == 6);
    assert_int_equal(tiles.read(tiles.user, 1, 1, 0, 3, out), SONDE_OK);
    assert_true(out[0] == 4 && out[1] == 5 && out[2] == 6);
    const double wide[] = {1e300};
    const sonde_matrix doubles = {wide, SONDE_F64, 1, 1, 0};
    assert_false(sonde__tiles_of_matrix(&doubles).narrow);
}

/* Both orientations of `data` (rows x cols) give `tall` blocks with the same entries. */
static void check_both_orientations(size_t rows, size_t cols, const double *data)
{
    sonde_context *context = check_context();
    const size_t m = rows > cols ? rows : cols, n = rows > cols ? cols : rows;
    double *turned = malloc(sizeof(double) * m * n), *one = malloc(sizeof(double) * m * n),
           *other = malloc(sizeof(double) * m * n);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            turned[j * rows + i] = data[i * cols + j];
    const sonde_matrix matrices[2] = {{data, SONDE_F64, rows, cols, 0},
                                      {turned, SONDE_F64, cols, rows, 0}};
    for (int k = 0; k < 2; k++) {
        const sonde__tiles tiles = sonde__tiles_of_matrix(&matrices[k]);
        sonde__tall tall;
        assert_int_equal(sonde__tall_open(context, &tiles, &tall), SONDE_OK);
        assert_true(tall.m == m && tall.n == n);
        double *const to = k == 0 ? one : other;
        const size_t first = m / 3;
        assert_int_equal(sonde__tall_read(&tall, 0, first, to), SONDE_OK);
        assert_int_equal(sonde__tall_read(&tall, first, m - first, to + first * n), SONDE_OK);
        sonde__tall_close(&tall);
    }
    assert_memory_equal(one, other, sizeof(double) * m * n);
    assert_int_equal(sonde_context_memory_used(context), 0);
    free(other);
    free(one);
    free(turned);
    sonde_context_free(context);
}

static void a_matrix_and_its_transpose_read_the_same(void **state)
{
    (void)state;
    double data[70 * 45];
    for (int i = 0; i < 70 * 45; i++)
        data[i] = (double)(i * 7919 % 1009) / 1024;
    check_both_orientations(70, 45, data);
    check_both_orientations(1, 3150, data);
    check_both_orientations(50, 50, data);
    for (int i = 0; i < 50; i++) /* square, different across the diagonal in one place only */
        for (int j = 0; j < 50; j++)
            data[i * 50 + j] = (i * j) % 17;
    data[31 * 50 + 40] = 5.5;
    check_both_orientations(50, 50, data);
}

static void blocks_are_by_columns_and_scaled(void **state)
{
    (void)state;
    const double data[] = {1e200, 2e200, 3e200, 4e200, 5e200, 6e200}; /* 3 x 2 */
    const sonde_matrix matrix = {data, SONDE_F64, 3, 2, 0};
    const sonde__tiles tiles = sonde__tiles_of_matrix(&matrix);
    sonde_context *context = check_context();
    sonde__tall tall;
    double block[4];
    check_ok(context, sonde__tall_open(context, &tiles, &tall));
    check_ok(context, sonde__tall_read(&tall, 1, 2, block));
    const double expected[] = {3e200, 5e200, 4e200, 6e200};
    for (int i = 0; i < 4; i++) {
        assert_true(block[i] < 1);
        assert_true(ldexp(block[i], tall.exponent) == expected[i]);
    }
    sonde__tall_close(&tall);
    sonde_context_free(context);
}

static void entries_at_both_ends_of_the_range_survive_scaling(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const double ends[] = {5e-324, 1.5e308};
    for (int i = 0; i < 2; i++) {
        const double data[] = {ends[i], 0};
        const sonde_matrix matrix = {data, SONDE_F64, 2, 1, 0};
        const sonde__tiles tiles = sonde__tiles_of_matrix(&matrix);
        sonde__tall tall;
        double block[2];
        check_ok(context, sonde__tall_open(context, &tiles, &tall));
        check_ok(context, sonde__tall_read(&tall, 0, 2, block));
        assert_true(block[0] >= 0.5 && block[0] < 1);
        assert_true(ldexp(block[0], tall.exponent) == ends[i]);
        sonde__tall_close(&tall);
    }
    sonde_context_free(context);
}

static void what_is_not_finite_is_counted_once(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    double doubles[6] = {1, NAN, 2, INFINITY, 3, -INFINITY}, block[6];
    float floats[6];
    for (int i = 0; i < 6; i++)
        floats[i] = (float)doubles[i];
    const sonde_matrix matrices[2] = {{doubles, SONDE_F64, 3, 2, 0}, {floats, SONDE_F32, 2, 3, 0}};
    for (int k = 0; k < 2; k++) {
        const sonde__tiles tiles = sonde__tiles_of_matrix(&matrices[k]);
        sonde__tall tall;
        check_ok(context, sonde__tall_open(context, &tiles, &tall));
        check_ok(context, sonde__tall_read(&tall, 0, 1, block));
        check_ok(context, sonde__tall_read(&tall, 1, 2, block));
        assert_int_equal(tall.nonfinite, 3);
        sonde__tall_close(&tall);
    }
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_are_the_doubles_of_any_format_and_stride),
        cmocka_unit_test(a_matrix_and_its_transpose_read_the_same),
        cmocka_unit_test(blocks_are_by_columns_and_scaled),
        cmocka_unit_test(entries_at_both_ends_of_the_range_survive_scaling),
        cmocka_unit_test(what_is_not_finite_is_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
