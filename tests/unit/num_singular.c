/*
 * Singular values against spectra known beforehand: U diag(s) V^T, formed from Householder
 * reflectors in long double and rounded once, so that s is true to about 1e-16 of the largest.
 */
#include "check.h"

#include "base/random.h"
#include "base/thread.h"
#include "num/linalg.h"
#include "num/singular.h"

enum { REFLECTORS = 6 };

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* data (rows x cols, row-major) becomes H data or data H for a random reflector. */
static void reflect(long double *data, size_t rows, size_t cols, bool left, uint64_t index)
{
    const size_t n = left ? rows : cols;
    sonde__stream stream = sonde__stream_open(5, SONDE__RANDOM_TEST, index);
    long double *v = malloc(n * sizeof *v), *w = calloc(left ? cols : rows, sizeof *w), sum = 0;
    for (size_t i = 0; i < n; i++) {
        v[i] = (long double)sonde__random_normal(&stream);
        sum += v[i] * v[i];
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            w[left ? j : i] += data[i * cols + j] * v[left ? i : j];
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            data[i * cols + j] -= 2 / sum * v[left ? i : j] * w[left ? j : i];
    free(w);
    free(v);
}

static double *matrix_of(size_t rows, size_t cols, const double *s)
{
    const size_t n = rows < cols ? rows : cols;
    long double *exact = calloc(rows * cols, sizeof *exact);
    double *data = malloc(rows * cols * sizeof *data);
    for (size_t i = 0; i < n; i++)
        exact[i * cols + i] = (long double)s[i];
    for (uint64_t k = 0; k < REFLECTORS; k++)
        reflect(exact, rows, cols, k % 2 == 0, 1000 * rows + 10 * cols + k);
    for (size_t i = 0; i < rows * cols; i++)
        data[i] = (double)exact[i];
    free(exact);
    return data;
}

enum { LINEAR, GEOMETRIC, CLUSTERS, EQUAL, NEARLY_EQUAL, DEFICIENT, ONE_SMALL, SPECTRA };
static const char *const NAMES[] = {"linear",       "geometric", "clusters", "all equal",
                                    "nearly equal", "deficient", "one small"};

static void fill_spectrum(int kind, size_t n, double *s)
{
    for (size_t i = 0; i < n; i++) {
        const double t = n > 1 ? (double)i / (double)(n - 1) : 1;
        s[i] = kind == LINEAR         ? 1 + t
               : kind == GEOMETRIC    ? pow(10, -12 * (1 - t))
               : kind == CLUSTERS     ? (i % 3 == 0   ? 1
                                         : i % 3 == 1 ? 1e-6
                                                      : 0.5)
               : kind == EQUAL        ? 0.75
               : kind == NEARLY_EQUAL ? 0.75 + 3e-8 * t /* where dqds alone errs by 50 ulps */
               : kind == DEFICIENT    ? (i % 2 == 0 ? 0 : 1 - 0.5 * t)
                                      : (i == 0 ? 3e-11 : 0.5 + t);
    }
    qsort(s, n, sizeof *s, compare);
}

static void check_known(sonde_context *context, size_t rows, size_t cols, int kind,
                        sonde__svd_method method)
{
    const size_t n = rows < cols ? rows : cols;
    double *s = malloc(n * sizeof *s), *values = malloc(n * sizeof *values);
    fill_spectrum(kind, n, s);
    double *data = matrix_of(rows, cols, s);
    const sonde_matrix matrix = {data, SONDE_F64, rows, cols, 0};
    const sonde__tiles tiles = sonde__tiles_of_matrix(&matrix);
    sonde__svd_facts facts = {9, 0, SONDE__SVD_AUTO};
    check_ok(context, sonde__singular_values(context, &tiles, method, values, &facts));
    assert_int_equal(facts.nonfinite, 0);
    for (size_t i = 0; i < n; i++) {
        const double value = ldexp(values[i], facts.exponent);
        assert_true(i == 0 || values[i] >= values[i - 1]);
        if (!(fabs(value - s[i]) <= 4e-15 * s[n - 1]))
            fail_msg("%zu x %zu %s, method %d used %d: value %zu is %.17g, not %.17g", rows, cols,
                     NAMES[kind], (int)method, (int)facts.method, i, value, s[i]);
    }
    free(data);
    free(values);
    free(s);
}

/* In units of 1, as the public call gives them. */
static void all_values(sonde_context *context, const sonde_matrix *matrix, double *values)
{
    const sonde__tiles tiles = sonde__tiles_of_matrix(matrix);
    const size_t n = matrix->rows < matrix->cols ? matrix->rows : matrix->cols;
    sonde__svd_facts facts;
    check_ok(context, sonde__singular_values(context, &tiles, SONDE__SVD_AUTO, values, &facts));
    for (size_t i = 0; i < n; i++)
        values[i] = ldexp(values[i], facts.exponent);
}

/* Around the block widths 32 and 64, the order from which two stages are used, and beyond; the last
 * value alone is wrong when a remainder is forgotten. */
static void square_matrices_of_any_order_match_their_spectra(void **state)
{
    (void)state;
    const size_t orders[] = {1, 2, 3, 31, 64, 65, 191, 192, 193, 200, 255, 256, 257, 300, 321, 383};
    sonde_context *context = check_context();
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        for (int kind = 0; kind < SPECTRA; kind++)
            if (orders[i] < 200 || (int)(i % SPECTRA) != kind)
                check_known(context, orders[i], orders[i], kind, SONDE__SVD_AUTO);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void oblong_matrices_match_their_spectra(void **state)
{
    (void)state;
    const size_t shapes[][2] = {{1, 2},     {3, 50},    {50, 51},   {70, 64},   {64, 600},
                                {200, 203}, {201, 260}, {193, 700}, {33, 1200}, {130, 513}};
    sonde_context *context = check_context();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int kind = 0; kind < SPECTRA; kind++) {
            check_known(context, shapes[i][0], shapes[i][1], kind, SONDE__SVD_AUTO);
            check_known(context, shapes[i][1], shapes[i][0], kind, SONDE__SVD_TWO_STAGE);
        }
    sonde_context_free(context);
}

static void the_gram_matrix_is_left_where_its_values_are_too_rough(void **state)
{
    (void)state;
    enum { ROWS = 40, COLS = 90 };
    double s[ROWS], values[ROWS];
    sonde_context *context = check_context();
    for (int kind = 0; kind < 2; kind++) {
        fill_spectrum(kind == 0 ? LINEAR : GEOMETRIC, ROWS, s);
        double *data = matrix_of(ROWS, COLS, s);
        const sonde_matrix matrix = {data, SONDE_F64, ROWS, COLS, 0};
        const sonde__tiles tiles = sonde__tiles_of_matrix(&matrix);
        sonde__svd_facts facts;
        check_ok(context, sonde__singular_values(context, &tiles, SONDE__SVD_AUTO, values, &facts));
        assert_int_equal(facts.method, kind == 0 ? SONDE__SVD_GRAM : SONDE__SVD_TWO_STAGE);
        check_ok(context, sonde__singular_values(context, &tiles, SONDE__SVD_GRAM, values, &facts));
        assert_int_equal(facts.method, SONDE__SVD_GRAM);
        for (int i = 0; i < ROWS; i++) /* the error that singular.h states */
            check_close(ldexp(values[i], facts.exponent), s[i],
                        fmin(4e-15 / (s[i] / s[ROWS - 1]), 3e-8), 0, "Gram value");
        free(data);
    }
    sonde_context_free(context);
}

static void squares_take_the_gram_matrix_where_auto_does_not(void **state)
{
    (void)state;
    enum { ROWS = 40, COLS = 90 };
    double s[ROWS], values[ROWS];
    sonde_context *context = check_context();
    for (int kind = 0; kind < 2; kind++) {
        fill_spectrum(LINEAR, ROWS, s);
        s[0] = kind == 0 ? 1e-3 : s[0];
        s[ROWS - 1] = kind == 0 ? s[ROWS - 1] : 300; /* which the first Rayleigh quotients show */
        double *data = matrix_of(ROWS, COLS, s);
        const sonde_matrix matrix = {data, SONDE_F64, ROWS, COLS, 0};
        const sonde__tiles tiles = sonde__tiles_of_matrix(&matrix);
        sonde__svd_facts facts;
        for (int method = SONDE__SVD_AUTO; method <= SONDE__SVD_SQUARES; method++) {
            const double u = 1e-15 * s[ROWS - 1];
            check_ok(context, sonde__singular_values(context, &tiles, (sonde__svd_method)method,
                                                     values, &facts));
            if (method == SONDE__SVD_AUTO)
                assert_int_equal(facts.method, SONDE__SVD_TWO_STAGE);
            if (method == SONDE__SVD_SQUARES)
                assert_int_equal(facts.method, SONDE__SVD_GRAM);
            for (int i = 0; i < ROWS; i++) {
                const double value = ldexp(values[i], facts.exponent);
                check_close(value * value, s[i] * s[i], 10 * u * s[ROWS - 1], 0, "square");
                if (method == SONDE__SVD_AUTO)
                    check_close(value, s[i], 10 * u, 0, "value");
            }
        }
        free(data);
    }
    sonde_context_free(context);
}

static void a_matrix_and_its_transpose_give_the_same_bits(void **state)
{
    (void)state;
    const size_t shapes[][2] = {{210, 210}, {20, 20}, {61, 300}, {200, 210}, {1, 9}};
    sonde_context *context = check_context();
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const size_t rows = shapes[k][0], cols = shapes[k][1];
        double s[210], one[210], other[210];
        fill_spectrum(LINEAR, rows, s);
        double *data = matrix_of(rows, cols, s);
        double *turned = malloc(rows * cols * sizeof *turned);
        for (size_t i = 0; i < rows * cols; i++)
            turned[i % cols * rows + i / cols] = data[i];
        const sonde_matrix a = {data, SONDE_F64, rows, cols, 0};
        const sonde_matrix b = {turned, SONDE_F64, cols, rows, 0};
        all_values(context, &a, one);
        all_values(context, &b, other);
        assert_memory_equal(one, other, rows * sizeof *one);
        free(turned);
        free(data);
    }
    sonde_context_free(context);
}

static void huge_tiny_and_zero_matrices_keep_their_accuracy(void **state)
{
    (void)state;
    enum { ROWS = 70, COLS = 80 };
    double s[ROWS], values[ROWS];
    sonde_context *context = check_context();
    fill_spectrum(GEOMETRIC, ROWS, s);
    double *data = matrix_of(ROWS, COLS, s), *scaled = malloc(sizeof(double) * ROWS * COLS);
    const int exponents[] = {1020, -900, 0};
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < ROWS * COLS; i++)
            scaled[i] = k < 2 ? ldexp(data[i], exponents[k]) : 0;
        const sonde_matrix matrix = {scaled, SONDE_F64, ROWS, COLS, 0};
        all_values(context, &matrix, values);
        for (int i = 0; i < ROWS; i++)
            check_close(ldexp(values[i], -exponents[k]), k < 2 ? s[i] : 0, k < 2 ? 1e-14 : 0, 0,
                        "scaled value");
    }
    for (int i = 0; i < ROWS * COLS; i++) /* denormal entries: few bits, but none lost further */
        scaled[i] = i % (COLS + 1) == 0 ? 3 * 0x1p-1074 : 0;
    const sonde_matrix matrix = {scaled, SONDE_F64, ROWS, COLS, 0};
    all_values(context, &matrix, values);
    assert_true(values[0] == 3 * 0x1p-1074 && values[ROWS - 1] == 3 * 0x1p-1074);
    free(scaled);
    free(data);
    sonde_context_free(context);
}

/* Entry (i, j) of a rank-one matrix, generated as it is read. */
typedef struct source {
    size_t most; /* largest request seen */
    int fail_at; /* which read fails; -1: none */
    int reads;
    bool nan;
    sonde_context *cancel;
} source;

static sonde_status read_source(void *user, size_t row, size_t rows, size_t col, size_t cols,
                                double *out)
{
    source *const from = user;
    from->most = rows * cols > from->most ? rows * cols : from->most;
    if (from->reads++ == from->fail_at)
        return SONDE_ERROR_TRUNCATED;
    if (from->cancel)
        sonde_context_cancel(from->cancel);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            out[i * cols + j] = (row + i) % 2 == 0 ? 0.5 : -0.25;
    if (from->nan && row == 0 && col == 0)
        out[0] = NAN;
    return SONDE_OK;
}

static void ten_million_columns_of_one_row_are_read_in_blocks(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    source from = {.fail_at = -1};
    const sonde__tiles tiles = {1, 10000000, true, read_source, &from};
    double value;
    check_ok(context, sonde__singular_values(context, &tiles, SONDE__SVD_AUTO, &value, NULL));
    check_close(value, 0.5 * sqrt(1e7), 0, 1e-14, "norm");
    check_ok(context, sonde__singular_values(context, &tiles, SONDE__SVD_TWO_STAGE, &value, NULL));
    check_close(value, 0.5 * sqrt(1e7), 0, 1e-14, "norm");
    assert_true(sonde_context_memory_peak(context) < 2 << 20);
    assert_true(from.most <= 1 << 17);
    sonde_context_free(context);
}

static void memory_stays_within_what_planning_was_told(void **state)
{
    (void)state;
    const size_t shapes[][2] = {{300, 300}, {300, 400}, {2500, 250}, {20, 5000}, {9, 9}, {1, 1}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (int method = 0; method < 4; method++) {
            sonde_context *context = check_context();
            const size_t rows = shapes[k][0], cols = shapes[k][1],
                         before = sonde_context_memory_used(context);
            source from = {.fail_at = -1};
            const sonde__tiles tiles = {rows, cols, false, read_source, &from};
            double values[300];
            check_ok(context, sonde__singular_values(context, &tiles, (sonde__svd_method)method,
                                                     values, NULL));
            const size_t peak = sonde_context_memory_peak(context) - before;
            const size_t told =
                sonde__singular_values_memory(rows, cols, (sonde__svd_method)method);
            assert_true(peak <= told + 8 * 128); /* headers of the blocks */
            assert_true(told < 2 * peak + (2 << 20));
            sonde_context_free(context);
        }
    assert_int_equal(sonde__singular_values_memory(0, 5, SONDE__SVD_AUTO), 0);
    assert_int_equal(sonde__singular_values_memory(40000, 40000, SONDE__SVD_AUTO), 0);
    /* The shapes of the largest layers of a 7B model, in double, beside a 4096 x 4096 triangle. */
    assert_true(sonde__singular_values_memory(4096, 14336, SONDE__SVD_AUTO) < 200000000);
    assert_true(sonde__singular_values_memory(32000, 4096, SONDE__SVD_AUTO) < 200000000);
}

static void failures_of_reading_memory_and_patience_come_back(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    double values[300];
    for (int method = 1; method < 3; method++)
        for (int read = 0; read < 3; read++) {
            source from = {.fail_at = read};
            const sonde__tiles tiles = {250, 250, true, read_source, &from};
            check_status(
                sonde__singular_values(context, &tiles, (sonde__svd_method)method, values, NULL),
                SONDE_ERROR_TRUNCATED);
        }
    for (size_t limit = 1000; limit < 1000000; limit *= 3) {
        sonde_context_options options;
        sonde_context_options_init(&options);
        options.memory_limit = limit;
        sonde_context *poor = NULL;
        assert_int_equal(sonde_context_create(&options, &poor), SONDE_OK);
        source from = {.fail_at = -1};
        const sonde__tiles tiles = {250, 600, false, read_source, &from};
        check_status(sonde__singular_values(poor, &tiles, SONDE__SVD_AUTO, values, NULL),
                     SONDE_ERROR_MEMORY);
        assert_int_equal(sonde_context_error(poor)->status, SONDE_OK); /* silent */
        assert_int_equal(sonde_context_memory_used(poor), 0);
        sonde_context_free(poor);
    }
    source from = {.fail_at = -1, .cancel = context};
    const sonde__tiles tiles = {250, 600, false, read_source, &from};
    check_status(sonde__singular_values(context, &tiles, SONDE__SVD_AUTO, values, NULL),
                 SONDE_ERROR_CANCELLED);
    const sonde__tiles huge = {40000, 40000, true, read_source, &from};
    check_status(sonde__singular_values(context, &huge, SONDE__SVD_AUTO, values, NULL),
                 SONDE_ERROR_UNSUPPORTED);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void what_is_not_finite_is_counted_and_gives_zeros(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    double values[3];
    for (int narrow = 0; narrow < 2; narrow++)
        for (int method = 0; method < 4; method++) {
            source from = {.fail_at = -1, .nan = true};
            const sonde__tiles tiles = {3, 700, narrow == 1, read_source, &from};
            sonde__svd_facts facts;
            values[0] = values[1] = values[2] = 7;
            check_ok(context, sonde__singular_values(context, &tiles, (sonde__svd_method)method,
                                                     values, &facts));
            assert_int_equal(facts.nonfinite, 1);
            assert_true(values[0] == 0 && values[1] == 0 && values[2] == 0);
        }
    sonde_context_free(context);
}

typedef struct job {
    sonde_context *context;
    const double *data;
    double values[210];
    sonde_status status;
} job;

static void run_job(void *argument)
{
    job *const self = argument;
    const sonde_matrix matrix = {self->data, SONDE_F64, 210, 210, 0};
    const sonde__tiles tiles = sonde__tiles_of_matrix(&matrix);
    self->status =
        sonde__singular_values(self->context, &tiles, SONDE__SVD_AUTO, self->values, NULL);
}

static void several_threads_may_compute_at_once(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__pool *pool = NULL;
    double s[210];
    fill_spectrum(GEOMETRIC, 210, s);
    double *data = matrix_of(210, 210, s);
    static job jobs[6];
    check_ok(context, sonde__pool_create(context, 3, false, &pool));
    for (int i = 0; i < 6; i++) {
        jobs[i] = (job){.context = context, .data = data};
        check_ok(context, sonde__pool_submit(pool, run_job, &jobs[i]));
    }
    sonde__pool_wait(pool);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(jobs[i].status, SONDE_OK);
        assert_memory_equal(jobs[i].values, jobs[0].values, sizeof jobs[0].values);
    }
    sonde__pool_free(pool);
    free(data);
    sonde_context_free(context);
}

static void work_grows_with_the_matrix(void **state)
{
    (void)state;
    const double square = sonde__singular_values_work(1000, 1000, SONDE__SVD_AUTO);
    assert_true(square > 2e9 && square < 4e9);
    assert_true(sonde__singular_values_work(1000, 4000, SONDE__SVD_AUTO) > square);
    assert_true(sonde__singular_values_work(1000, 4000, SONDE__SVD_TWO_STAGE) >
                sonde__singular_values_work(4000, 1000, SONDE__SVD_GRAM));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(square_matrices_of_any_order_match_their_spectra),
        cmocka_unit_test(oblong_matrices_match_their_spectra),
        cmocka_unit_test(the_gram_matrix_is_left_where_its_values_are_too_rough),
        cmocka_unit_test(squares_take_the_gram_matrix_where_auto_does_not),
        cmocka_unit_test(a_matrix_and_its_transpose_give_the_same_bits),
        cmocka_unit_test(huge_tiny_and_zero_matrices_keep_their_accuracy),
        cmocka_unit_test(ten_million_columns_of_one_row_are_read_in_blocks),
        cmocka_unit_test(memory_stays_within_what_planning_was_told),
        cmocka_unit_test(failures_of_reading_memory_and_patience_come_back),
        cmocka_unit_test(what_is_not_finite_is_counted_and_gives_zeros),
        cmocka_unit_test(several_threads_may_compute_at_once),
        cmocka_unit_test(work_grows_with_the_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
