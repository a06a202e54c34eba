/*
 * Reduction to a band and chasing along it, for orders around every border of their blocks, against
 * spectra known beforehand: A = Q L Q^T or Q L P^T with Q and P products of two reflectors.
 */
#include "check.h"

#include "base/random.h"
#include "num/band.h"
#include "num/lapack.h"
#include "num/linalg.h"

enum { MOST = 330 };
static double exact[MOST], diagonal[MOST], off[MOST], scratch[4 * MOST];

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* a (n x n by columns) becomes H a for a random reflector H. */
static void reflect(long double *a, size_t n, bool rows, uint64_t index)
{
    long double v[MOST], sum = 0;
    sonde__stream stream = sonde__stream_open(6, SONDE__RANDOM_TEST, index);
    for (size_t i = 0; i < n; i++) {
        v[i] = (long double)sonde__random_normal(&stream);
        sum += v[i] * v[i];
    }
    for (size_t j = 0; j < n; j++) {
        long double *const at = rows ? a + j : a + j * n, dot = 0;
        const size_t step = rows ? n : 1;
        for (size_t i = 0; i < n; i++)
            dot += v[i] * at[i * step];
        for (size_t i = 0; i < n; i++)
            at[i * step] -= 2 / sum * dot * v[i];
    }
}

/* Values from -1 (or 0) to 1, every third one the same; fills `exact` ascending. */
static double *matrix_of(size_t n, bool symmetric)
{
    long double *a = calloc(n * n, sizeof *a);
    double *data = malloc(n * n * sizeof *data);
    for (size_t i = 0; i < n; i++) {
        const double t = (double)(i + 1) / (double)n;
        exact[i] = i % 3 == 0 ? 0.25 : symmetric ? 2 * t - 1 : t * t * t;
        a[i * n + i] = (long double)exact[i];
    }
    qsort(exact, n, sizeof *exact, compare);
    for (uint64_t k = 0; k < 2; k++) {
        reflect(a, n, false, k);
        reflect(a, n, true, symmetric ? k : k + 2);
    }
    for (size_t i = 0; i < n * n; i++)
        data[i] = (double)a[i];
    free(a);
    return data;
}

static double *work_for(size_t n)
{
    const size_t band = sonde__band_work(n), chase = sonde__chase_work(n);
    return malloc((band > chase ? band : chase) * sizeof(double));
}

static void check_values(size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(diagonal[i] - exact[i]) <= 4e-15))
            fail_msg("%s, order %zu: value %zu is %.17g, not %.17g", what, n, i, diagonal[i],
                     exact[i]);
}

static const size_t ORDERS[] = {1,  2,   3,   47,  48,  49,  63,  64,  65, 66,
                                95, 127, 128, 129, 130, 131, 200, 257, 329};
enum { COUNT = sizeof ORDERS / sizeof *ORDERS };

static void general_matrices_keep_their_singular_values(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    for (size_t k = 0; k < COUNT; k++) {
        const size_t n = ORDERS[k];
        const int order = (int)n;
        int info = 1;
        double *a = matrix_of(n, false), *work = work_for(n);
        check_ok(context, sonde__reduce_to_band(context, a, n, work));
        check_ok(context, sonde__chase_band(context, a, n, work, diagonal, off));
        dlasq1_(&order, diagonal, off, scratch, &info);
        assert_int_equal(info, 0);
        qsort(diagonal, n, sizeof *diagonal, compare);
        check_values(n, "general");
        free(work);
        free(a);
    }
    sonde_context_free(context);
}

static void symmetric_matrices_keep_their_eigenvalues(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    for (size_t k = 0; k < COUNT; k++) {
        const size_t n = ORDERS[k];
        double *a = matrix_of(n, true), *work = work_for(n);
        for (size_t j = 0; j < n; j++) /* the upper triangle is not read */
            for (size_t i = 0; i < j; i++)
                a[j * n + i] = NAN;
        check_ok(context, sonde__reduce_symmetric(context, a, n, work));
        check_ok(context, sonde__chase_symmetric(context, a, n, work, diagonal, off));
        check_ok(context, sonde__tridiagonal_eigenvalues(diagonal, off, n));
        check_values(n, "symmetric");
        free(work);
        free(a);
    }
    sonde_context_free(context);
}

static void what_is_a_band_already_and_zero_stay_as_they_are(void **state)
{
    (void)state;
    enum { N = 150 };
    sonde_context *context = check_context();
    double *a = calloc(N * N, sizeof *a), *work = work_for(N);
    check_ok(context, sonde__reduce_to_band(context, a, N, work));
    check_ok(context, sonde__chase_band(context, a, N, work, diagonal, off));
    for (size_t i = 0; i < N; i++)
        assert_true(diagonal[i] == 0 && (i + 1 == N || off[i] == 0));
    for (size_t i = 0; i < N; i++) {
        a[i * N + i] = (double)(i + 1);
        if (i > 0)
            a[i * N + i - 1] = 0.5;
    }
    check_ok(context, sonde__reduce_to_band(context, a, N, work));
    check_ok(context, sonde__chase_band(context, a, N, work, diagonal, off));
    for (size_t i = 0; i < N; i++) {
        assert_true(diagonal[i] == (double)(i + 1));
        assert_true(i + 1 == N || off[i] == 0.5);
    }
    free(work);
    free(a);
    sonde_context_free(context);
}

static void a_cancelled_context_ends_every_stage(void **state)
{
    (void)state;
    enum { N = 200 };
    sonde_context *context = check_context();
    double *a = calloc(N * N, sizeof *a), *work = work_for(N);
    sonde_context_cancel(context);
    check_status(sonde__reduce_to_band(context, a, N, work), SONDE_ERROR_CANCELLED);
    check_status(sonde__chase_band(context, a, N, work, diagonal, off), SONDE_ERROR_CANCELLED);
    check_status(sonde__reduce_symmetric(context, a, N, work), SONDE_ERROR_CANCELLED);
    check_status(sonde__chase_symmetric(context, a, N, work, diagonal, off), SONDE_ERROR_CANCELLED);
    free(work);
    free(a);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(general_matrices_keep_their_singular_values),
        cmocka_unit_test(symmetric_matrices_keep_their_eigenvalues),
        cmocka_unit_test(what_is_a_band_already_and_zero_stay_as_they_are),
        cmocka_unit_test(a_cancelled_context_ends_every_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
