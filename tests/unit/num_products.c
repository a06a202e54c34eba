/* Products of rows, eigenvectors and sums of vectors, against the loops that define them. */
#include "check.h"
#include "made_numbers.h"

#include "num/linalg.h"
#include "num/products.h"
#include "num/vectors.h"

enum { A_ROWS = 3, B_ROWS = 5, COLS = 1100, STRIDE = 1111 }; /* more than two blocks of columns */

static float numbers[(A_ROWS + B_ROWS) * STRIDE];

static double by_loop(const float *a, const float *b, double shift_a, double shift_b)
{
    double sum = 0;
    for (int k = 0; k < COLS; k++)
        sum += ((double)a[k] - shift_a) * ((double)b[k] - shift_b);
    return sum;
}

static void row_products_are_dot_products_of_rows(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const float *const second = numbers + A_ROWS * STRIDE;
    const sonde_matrix a = {numbers, SONDE_F32, A_ROWS, COLS, STRIDE};
    const sonde_matrix b = {second, SONDE_F32, B_ROWS, COLS, STRIDE};
    double products[A_ROWS * B_ROWS];
    check_status(sonde__row_products(context, &a, &b, products), SONDE_OK);
    for (int i = 0; i < A_ROWS; i++)
        for (int j = 0; j < B_ROWS; j++)
            check_close(products[i * B_ROWS + j],
                        by_loop(numbers + i * STRIDE, second + j * STRIDE, 0, 0), 1e-12, 1e-12,
                        "product");
    sonde_context_free(context);
}

static void a_gram_matrix_takes_off_the_shifts_of_both_rows(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const sonde_matrix b = {numbers, SONDE_F32, B_ROWS, COLS, STRIDE};
    const double shifts[B_ROWS] = {0.5, -1, 0, 2, 0.25}, none[B_ROWS] = {0};
    for (int shifted = 0; shifted < 2; shifted++) {
        const double *const by = shifted ? shifts : none;
        double gram[B_ROWS * B_ROWS];
        check_status(sonde__row_gram(context, &b, shifted ? shifts : NULL, gram), SONDE_OK);
        for (int i = 0; i < B_ROWS; i++)
            for (int j = 0; j < B_ROWS; j++)
                check_close(gram[i * B_ROWS + j],
                            by_loop(numbers + i * STRIDE, numbers + j * STRIDE, by[i], by[j]),
                            1e-11, 1e-12, "gram");
    }
    sonde_context_free(context);
}

static void eigenvectors_stand_in_rows(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    enum { N = 20 };
    const sonde_matrix rows = {numbers, SONDE_F32, N, 60, 0};
    double matrix[N * N], vectors[N * N], values[N];
    check_status(sonde__row_gram(context, &rows, NULL, matrix), SONDE_OK);
    memcpy(vectors, matrix, sizeof vectors);
    check_status(sonde__symmetric_eigenvectors(context, vectors, N, values), SONDE_OK);
    for (int i = 0; i < N; i++) {
        const double *const v = vectors + i * N;
        check_close(sonde__dot(v, v, N), 1, 1e-13, 0, "norm");
        assert_true(i == 0 || values[i] >= values[i - 1]);
        for (int row = 0; row < N; row++)
            check_close(sonde__dot(matrix + row * N, v, N), values[i] * v[row], 1e-12, 0, "A v");
    }
    sonde_context_free(context);
}

static void vector_sums_are_those_of_the_loops(void **state)
{
    (void)state;
    double a[70], b[70];
    for (size_t n = 0; n <= 70; n += 7) {
        double dot = 0, squares = 0, magnitudes = 0;
        for (size_t i = 0; i < n; i++) {
            a[i] = (double)numbers[i];
            b[i] = (double)numbers[i + 100];
            dot += a[i] * b[i];
            squares += (a[i] - b[i]) * (a[i] - b[i]);
            magnitudes += fabs(a[i] - b[i]);
        }
        check_close(sonde__dot(a, b, n), dot, 1e-14, 1e-14, "dot");
        check_close(sonde__squared_distance(a, b, n), squares, 1e-14, 1e-14, "squares");
        check_close(sonde__absolute_distance(a, b, n), magnitudes, 1e-14, 1e-14, "magnitudes");
    }
}

static int begin(void **state)
{
    (void)state;
    made_numbers(1, numbers, sizeof numbers / sizeof *numbers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_products_are_dot_products_of_rows),
        cmocka_unit_test(a_gram_matrix_takes_off_the_shifts_of_both_rows),
        cmocka_unit_test(eigenvectors_stand_in_rows),
        cmocka_unit_test(vector_sums_are_those_of_the_loops),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
