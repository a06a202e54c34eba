/* Comparing two models: how tensors are matched, what counts as equal, the norms. */
#include "failing.h"
#include "folder.h"

#include "file/safetensors.h"

enum { MOST = 16 };

typedef struct entry {
    const char *name;
    sonde_number number;
    int64_t rows, cols; /* cols 0: one dimension */
    const void *data;
} entry;

static sonde_model *model_of(sonde_context *context, const char *file, const entry *entries,
                             size_t count)
{
    sonde__tensor tensors[MOST];
    static const size_t sizes[] = {
        [SONDE_NUMBER_F64] = 8, [SONDE_NUMBER_F32] = 4,     [SONDE_NUMBER_BF16] = 2,
        [SONDE_NUMBER_F16] = 2, [SONDE_NUMBER_F8_E4M3] = 1, [SONDE_NUMBER_I64] = 8,
        [SONDE_NUMBER_I32] = 4, [SONDE_NUMBER_U64] = 8,     [SONDE_NUMBER_C64] = 8,
        [SONDE_NUMBER_F4] = 0 /* two a byte, below */};
    for (size_t i = 0; i < count; i++) {
        const entry *e = &entries[i];
        const int64_t elements = e->rows * (e->cols ? e->cols : 1);
        tensors[i] = (sonde__tensor){.name = e->name,
                                     .number = e->number,
                                     .dims = e->cols ? 2 : 1,
                                     .shape = {e->rows, e->cols},
                                     .data = e->data};
        tensors[i].bytes = (size_t)elements * sizes[e->number];
        if (e->number == SONDE_NUMBER_F4)
            tensors[i].bytes = (size_t)elements / 2;
    }
    check_ok(context,
             sonde__safetensors_write(context, folder_path(file), tensors, count, NULL, 0));
    sonde_model *model = NULL;
    check_ok(context, sonde_model_open(context, folder_path(file), NULL, &model));
    return model;
}

typedef struct pair {
    sonde_context *context;
    sonde_model *first, *second;
    sonde_comparison *comparison;
} pair;

static pair compare(const entry *a, size_t a_count, const entry *b, size_t b_count)
{
    pair p = {.context = check_context()};
    p.first = model_of(p.context, "a", a, a_count);
    p.second = model_of(p.context, "b", b, b_count);
    check_ok(p.context, sonde_compare(p.context, p.first, p.second, &p.comparison));
    return p;
}

static void finish(pair *p)
{
    sonde_comparison_free(p->comparison);
    sonde_model_close(p->first);
    sonde_model_close(p->second);
    assert_int_equal(sonde_context_memory_used(p->context), 0);
    sonde_context_free(p->context);
}

static sonde_tensor_difference named(const pair *p, const char *name)
{
    sonde_tensor_difference found = {.name = NULL};
    for (size_t i = 0; i < sonde_comparison_count(p->comparison); i++) {
        check_ok(p->context, sonde_comparison_tensor(p->comparison, i, &found));
        if (strcmp(found.name, name) == 0)
            return found;
    }
    fail_msg("no tensor '%s' in the comparison", name);
    return found;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))
/* Both lists of entries as arguments. */
#define COMPARE(a, b) compare(a, COUNT(a), b, COUNT(b))

static const float ONES[8] = {1, 1, 1, 1, 1, 1, 1, 1};

static void equal_changed_missing_and_reshaped_are_told_apart(void **state)
{
    (void)state;
    static const float changed[8] = {1, 1, 1.5f, 1, 1, 1, 1, -1};
    static const entry a[] = {
        {"same", SONDE_NUMBER_F32, 2, 4, ONES}, {"changed", SONDE_NUMBER_F32, 8, 0, ONES},
        {"gone", SONDE_NUMBER_F32, 8, 0, ONES}, {"reshaped", SONDE_NUMBER_F32, 2, 4, ONES},
        {"flat", SONDE_NUMBER_F32, 8, 0, ONES}, {"complex", SONDE_NUMBER_C64, 4, 0, ONES}};
    static const entry b[] = {
        {"new", SONDE_NUMBER_F32, 8, 0, ONES},        {"complex", SONDE_NUMBER_C64, 4, 0, ONES},
        {"flat", SONDE_NUMBER_F32, 8, 1, ONES},       {"reshaped", SONDE_NUMBER_F32, 4, 2, ONES},
        {"changed", SONDE_NUMBER_F32, 8, 0, changed}, {"same", SONDE_NUMBER_F32, 2, 4, ONES}};
    pair p = COMPARE(a, b);
    assert_int_equal(sonde_comparison_count(p.comparison), 7);
    sonde_tensor_difference d = named(&p, "same");
    assert_int_equal(d.difference, SONDE_SAME);
    assert_true(d.changed == 0 && d.largest == 0 && d.relative == 0 && !d.number_differs);
    d = named(&p, "changed");
    assert_int_equal(d.difference, SONDE_CHANGED);
    assert_int_equal(d.changed, 2);
    assert_true(d.largest == 2);
    check_close(d.relative, sqrt(4.25) / sqrt(8.0), 0, 1e-15, "relative norm");
    sonde_tensor tensor;
    check_ok(p.context, sonde_model_tensor(p.second, (size_t)d.second, &tensor));
    assert_string_equal(tensor.name, "changed");
    assert_int_equal(named(&p, "gone").difference, SONDE_ONLY_FIRST);
    assert_int_equal(named(&p, "gone").second, -1);
    assert_int_equal(named(&p, "new").difference, SONDE_ONLY_SECOND);
    assert_int_equal(named(&p, "new").first, -1);
    assert_int_equal(named(&p, "reshaped").difference, SONDE_RESHAPED);
    assert_int_equal(named(&p, "flat").difference, SONDE_RESHAPED);
    assert_int_equal(named(&p, "complex").difference, SONDE_SAME);
    sonde_tensor_difference none;
    check_status(sonde_comparison_tensor(p.comparison, 7, &none), SONDE_ERROR_RANGE);
    finish(&p);
}

static void of_formats_that_are_not_read_the_bytes_are_compared(void **state)
{
    (void)state;
    enum { MANY = 20000 }; /* more than a slice */
    static float before[2 * MANY], after[2 * MANY];
    before[0] = after[0] = 1;
    after[1] = 1, after[2] = 2, after[3] = 3,
    after[2 * MANY - 1] = 4; /* elements 0, 1 and the last */
    static const uint8_t fours[4] = {1, 2, 3, 4}, others[4] = {1, 2, 3, 0x14};
    static const entry a[] = {{"c", SONDE_NUMBER_C64, MANY, 0, before},
                              {"same", SONDE_NUMBER_C64, MANY, 0, before},
                              {"halves", SONDE_NUMBER_F4, 2, 4, fours},
                              {"other", SONDE_NUMBER_C64, 2, 0, before}};
    static const entry b[] = {{"c", SONDE_NUMBER_C64, MANY, 0, after},
                              {"same", SONDE_NUMBER_C64, MANY, 0, before},
                              {"halves", SONDE_NUMBER_F4, 2, 4, others},
                              {"other", SONDE_NUMBER_F32, 2, 0, before}};
    pair p = COMPARE(a, b);
    sonde_tensor_difference d = named(&p, "c");
    assert_int_equal(d.difference, SONDE_CHANGED);
    assert_int_equal(d.changed, 3);
    assert_true(d.relative == 0 && d.largest == 0 && d.nonfinite == 0);
    assert_int_equal(named(&p, "same").difference, SONDE_SAME);
    assert_int_equal(named(&p, "halves").difference, SONDE_CHANGED);
    assert_int_equal(named(&p, "halves").changed, 2); /* both elements of the byte */
    assert_int_equal(named(&p, "other").difference, SONDE_UNREADABLE);
    finish(&p);
}

static void nan_equals_nan_and_zero_equals_minus_zero(void **state)
{
    (void)state;
    static const float a_data[8] = {NAN, 0.0f, INFINITY, -INFINITY, NAN, 1, INFINITY, 3};
    static const float b_data[8] = {NAN, -0.0f, INFINITY, -INFINITY, 1, NAN, -INFINITY, 4};
    static const entry a[] = {{"w", SONDE_NUMBER_F32, 8, 0, a_data},
                              {"v", SONDE_NUMBER_F32, 4, 0, a_data}};
    static const entry b[] = {{"w", SONDE_NUMBER_F32, 8, 0, b_data},
                              {"v", SONDE_NUMBER_F32, 4, 0, b_data}};
    pair p = COMPARE(a, b);
    sonde_tensor_difference d = named(&p, "w");
    assert_int_equal(d.changed, 4);
    assert_int_equal(d.nonfinite, 10);
    assert_true(d.largest == 1);
    check_close(d.relative, 1.0 / 3.0, 0, 1e-15, "over finite pairs alone");
    d = named(&p, "v");
    assert_int_equal(d.difference, SONDE_SAME);
    assert_int_equal(d.nonfinite, 6);
    finish(&p);
}

static void numbers_are_compared_by_value_over_formats(void **state)
{
    (void)state;
    static const uint16_t bf16[4] = {0x3f80, 0xc020, 0x0000, 0x4000}; /* 1 -2.5 0 2 */
    static const uint16_t f16[4] = {0x3c00, 0xc100, 0x8000, 0x4000};
    static const float f32[4] = {1, -2.5f, 0, 2.0000002f};
    static const double f64[4] = {1, -2.5, 0, 2};
    static const uint8_t f8[4] = {0x38, 0xc2, 0x00, 0x40};
    static const entry a[] = {{"half", SONDE_NUMBER_BF16, 4, 0, bf16},
                              {"single", SONDE_NUMBER_BF16, 4, 0, bf16},
                              {"double", SONDE_NUMBER_F16, 4, 0, f16},
                              {"byte", SONDE_NUMBER_F8_E4M3, 4, 0, f8}};
    static const entry b[] = {{"half", SONDE_NUMBER_F16, 4, 0, f16},
                              {"single", SONDE_NUMBER_F32, 4, 0, f32},
                              {"double", SONDE_NUMBER_F64, 4, 0, f64},
                              {"byte", SONDE_NUMBER_F64, 4, 0, f64}};
    pair p = COMPARE(a, b);
    sonde_tensor_difference d = named(&p, "half");
    assert_true(d.difference == SONDE_SAME && d.number_differs);
    assert_true(named(&p, "double").difference == SONDE_SAME);
    assert_true(named(&p, "byte").difference == SONDE_SAME);
    d = named(&p, "single");
    assert_int_equal(d.changed, 1);
    assert_true(d.largest == (double)2.0000002f - 2.0);
    finish(&p);
}

static void long_integers_are_compared_exactly(void **state)
{
    (void)state;
    static const int64_t i64[6] = {9007199254740993,  INT64_MAX, INT64_MIN,
                                   -9007199254740993, 5,         -1};
    static const int64_t near[6] = {
        9007199254740992, INT64_MAX - 1, INT64_MIN + 1, -9007199254740992, 5, -1};
    static const uint64_t u64[6] = {9007199254740993u, INT64_MAX, (uint64_t)INT64_MAX + 1,
                                    UINT64_MAX,        5,         UINT64_MAX};
    static const double f64[6] = {9007199254740992.0, 0x1p63, -0x1p63, -9007199254740992.0, 5, -1};
    static const int32_t i32[6] = {0, 0, 0, 0, 5, -1};
    static const entry a[] = {
        {"near", SONDE_NUMBER_I64, 6, 0, i64}, {"same", SONDE_NUMBER_I64, 6, 0, i64},
        {"sign", SONDE_NUMBER_I64, 6, 0, i64}, {"real", SONDE_NUMBER_I64, 6, 0, i64},
        {"wide", SONDE_NUMBER_I64, 6, 0, i64}, {"top", SONDE_NUMBER_U64, 6, 0, u64}};
    static uint64_t top[6];
    memcpy(top, u64, sizeof top);
    top[3]--;
    static const entry b[] = {
        {"near", SONDE_NUMBER_I64, 6, 0, near}, {"same", SONDE_NUMBER_I64, 6, 0, i64},
        {"sign", SONDE_NUMBER_U64, 6, 0, u64},  {"real", SONDE_NUMBER_F64, 6, 0, f64},
        {"wide", SONDE_NUMBER_I32, 6, 0, i32},  {"top", SONDE_NUMBER_U64, 6, 0, top}};
    pair p = COMPARE(a, b);
    assert_int_equal(named(&p, "near").changed, 4);
    assert_true(named(&p, "near").largest == 1);
    assert_int_equal(named(&p, "same").difference, SONDE_SAME);
    assert_int_equal(named(&p, "sign").changed, 3); /* 2^63, 2^64 - 1 and 2^64 - 1 are not */
    assert_int_equal(named(&p, "real").changed, 3); /* -2^63 is a double, as are 5 and -1 */
    assert_true(named(&p, "real").largest == 1);
    assert_int_equal(named(&p, "wide").changed, 4);
    assert_int_equal(named(&p, "top").changed, 1);
    assert_true(named(&p, "top").largest == 1);
    finish(&p);
}

static void a_beginning_that_all_names_share_is_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *a[3], *b[3];
        int pairs;
    } cases[] = {
        {{"module.x", "module.y.z", "module.w"}, {"x", "y.z", "w"}, 3},
        {{"x", "y.z", "w"}, {"model.x", "model.y.z", "model.w"}, 3},
        {{"module.model.x", "module.model.y", "module.model.z"}, {"model.x", "model.y", "head"}, 2},
        {{"net.x", "net.y", "net.z"}, {"model.encoder.x", "model.encoder.y", "model.encoder.z"}, 3},
        {{"a.x", "a.y", "b.z"}, {"x", "y", "z"}, 0},
        /* nothing is left out where that matches no more */
        {{"m.x", "m.m.x", "m.y"}, {"m.x", "m.y", "x"}, 2},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        entry a[3], b[3];
        for (size_t j = 0; j < 3; j++) {
            a[j] = (entry){cases[i].a[j], SONDE_NUMBER_F32, (int64_t)j + 1, 0, ONES};
            b[j] = (entry){cases[i].b[j], SONDE_NUMBER_F32, (int64_t)j + 1, 0, ONES};
        }
        pair p = COMPARE(a, b);
        int pairs = 0;
        for (size_t j = 0; j < sonde_comparison_count(p.comparison); j++) {
            sonde_tensor_difference d;
            check_ok(p.context, sonde_comparison_tensor(p.comparison, j, &d));
            pairs += d.first >= 0 && d.second >= 0;
        }
        if (pairs != cases[i].pairs)
            fail_msg("case %zu: %d pairs, not %d", i, pairs, cases[i].pairs);
        finish(&p);
    }
}

/* As trainers save: weights under a name of their own, the optimizer's state beside them. */
static void a_model_that_is_a_part_of_the_other_is_compared_with_that_part(void **state)
{
    (void)state;
    static const entry plain[] = {{"fc.weight", SONDE_NUMBER_F32, 2, 0, ONES},
                                  {"fc.bias", SONDE_NUMBER_F32, 3, 0, ONES}};
    static const entry saved[] = {{"optimizer.0.momentum", SONDE_NUMBER_F32, 2, 0, ONES},
                                  {"state_dict.net.fc.weight", SONDE_NUMBER_F32, 2, 0, ONES},
                                  {"state_dict.net.fc.bias", SONDE_NUMBER_F32, 3, 0, ONES}};
    static const entry lacking[] = {{"optimizer.0.momentum", SONDE_NUMBER_F32, 2, 0, ONES},
                                    {"state_dict.net.fc.weight", SONDE_NUMBER_F32, 2, 0, ONES},
                                    {"state_dict.net.other", SONDE_NUMBER_F32, 3, 0, ONES}};
    pair p = COMPARE(plain, saved);
    assert_int_equal(named(&p, "fc.weight").difference, SONDE_SAME);
    assert_int_equal(named(&p, "fc.bias").difference, SONDE_SAME);
    assert_int_equal(named(&p, "optimizer.0.momentum").difference, SONDE_ONLY_SECOND);
    finish(&p);
    p = COMPARE(saved, plain);
    assert_int_equal(named(&p, "state_dict.net.fc.weight").difference, SONDE_SAME);
    assert_int_equal(named(&p, "state_dict.net.fc.bias").difference, SONDE_SAME);
    assert_int_equal(named(&p, "optimizer.0.momentum").difference, SONDE_ONLY_FIRST);
    finish(&p);
    p = COMPARE(plain, lacking);
    assert_int_equal(named(&p, "fc.weight").difference, SONDE_ONLY_FIRST);
    finish(&p);
}

static void norms_neither_overflow_nor_vanish(void **state)
{
    (void)state;
    static const double large[3] = {1e308, -1e308, 1e308}, larger[3] = {1e308, -1e308, 1.5e308};
    static const double small[3] = {4e-320, 0, 0}, smaller[3] = {2e-320, 0, 0};
    static const double zero[3] = {0, 0, 0}, mixed[3] = {1e-200, 1e300, 1};
    static const entry a[] = {{"large", SONDE_NUMBER_F64, 3, 0, large},
                              {"small", SONDE_NUMBER_F64, 3, 0, small},
                              {"zero", SONDE_NUMBER_F64, 3, 0, zero},
                              {"both", SONDE_NUMBER_F64, 3, 0, zero},
                              {"mixed", SONDE_NUMBER_F64, 3, 0, mixed}};
    static const entry b[] = {{"large", SONDE_NUMBER_F64, 3, 0, larger},
                              {"small", SONDE_NUMBER_F64, 3, 0, smaller},
                              {"zero", SONDE_NUMBER_F64, 3, 0, small},
                              {"both", SONDE_NUMBER_F64, 3, 0, zero},
                              {"mixed", SONDE_NUMBER_F64, 3, 0, zero}};
    pair p = COMPARE(a, b);
    check_close(named(&p, "large").relative, 0.5 / sqrt(3.0), 0, 1e-14, "large");
    check_close(named(&p, "large").largest, 0.5e308, 0, 1e-15, "largest");
    check_close(named(&p, "small").relative, 0.5, 0, 1e-3, "subnormal");
    assert_true(isinf(named(&p, "zero").relative));
    assert_true(named(&p, "both").relative == 0);
    check_close(named(&p, "mixed").relative, 1, 0, 1e-15, "mixed");
    finish(&p);
}

/* More elements than a slice, with the one difference at each of many places. */
static void a_difference_is_found_wherever_it_is(void **state)
{
    (void)state;
    enum { N = 100003 };
    static float a_data[N], b_data[N];
    for (int i = 0; i < N; i++)
        a_data[i] = b_data[i] = (float)(i % 1000) - 500;
    for (int at = 0; at < N; at += 12500) {
        b_data[at] += 1;
        const entry a[] = {{"w", SONDE_NUMBER_F32, N, 0, a_data}};
        const entry b[] = {{"w", SONDE_NUMBER_F32, N, 0, b_data}};
        pair p = COMPARE(a, b);
        assert_int_equal(named(&p, "w").changed, 1);
        assert_true(named(&p, "w").largest == 1);
        finish(&p);
        b_data[at] -= 1;
    }
}

static void the_comparison_outlives_its_models(void **state)
{
    (void)state;
    static const entry a[] = {{"w", SONDE_NUMBER_F32, 8, 0, ONES}};
    pair p = COMPARE(a, a);
    sonde_model_close(p.first);
    sonde_model_close(p.second);
    p.first = p.second = NULL;
    assert_string_equal(named(&p, "w").name, "w");
    finish(&p);
}

static void wrong_arguments_and_failed_reads_are_told(void **state)
{
    (void)state;
    static const entry a[] = {{"w", SONDE_NUMBER_F32, 8, 0, ONES}};
    sonde_context *context = check_context(), *other = check_context();
    sonde_model *first = model_of(context, "a", a, 1), *second = model_of(other, "b", a, 1);
    sonde_comparison *comparison = NULL;
    check_status(sonde_compare(NULL, first, second, &comparison), SONDE_ERROR_ARGUMENT);
    check_status(sonde_compare(context, first, NULL, &comparison), SONDE_ERROR_ARGUMENT);
    check_status(sonde_compare(context, NULL, second, &comparison), SONDE_ERROR_ARGUMENT);
    /* The second model has become shorter; its context is not the comparison's. */
    assert_int_equal(truncate(folder_path("b"), 70), 0);
    check_status(sonde_compare(context, first, second, &comparison), SONDE_ERROR_TRUNCATED);
    assert_string_equal(sonde_context_error(context)->item, "w");
    assert_string_equal(sonde_context_error(context)->file, folder_path("b"));
    assert_null(comparison);
    sonde_model_close(first);
    sonde_model_close(second);
    sonde_comparison_free(NULL);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
    sonde_context_free(other);
}

static sonde_status open_and_compare(sonde_context *context, void *argument)
{
    (void)argument;
    sonde_model *first = NULL, *second = NULL;
    sonde_comparison *comparison = NULL;
    sonde_status status = sonde_model_open(context, folder_path("a"), NULL, &first);
    if (status == SONDE_OK)
        status = sonde_model_open(context, folder_path("b"), NULL, &second);
    if (status == SONDE_OK)
        status = sonde_compare(context, first, second, &comparison);
    sonde_comparison_free(comparison);
    sonde_model_close(first);
    sonde_model_close(second);
    return status;
}

static void refused_allocations_leave_nothing_behind(void **state)
{
    (void)state;
    static const entry a[] = {{"m.w", SONDE_NUMBER_F32, 8, 0, ONES},
                              {"m.v", SONDE_NUMBER_F32, 8, 0, ONES}};
    static const entry b[] = {{"w", SONDE_NUMBER_F32, 8, 0, ONES},
                              {"u", SONDE_NUMBER_F32, 8, 0, ONES}};
    pair p = COMPARE(a, b);
    finish(&p);
    assert_true(failing_run(open_and_compare, NULL) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_changed_missing_and_reshaped_are_told_apart),
        cmocka_unit_test(of_formats_that_are_not_read_the_bytes_are_compared),
        cmocka_unit_test(nan_equals_nan_and_zero_equals_minus_zero),
        cmocka_unit_test(numbers_are_compared_by_value_over_formats),
        cmocka_unit_test(long_integers_are_compared_exactly),
        cmocka_unit_test(a_beginning_that_all_names_share_is_left_out),
        cmocka_unit_test(a_model_that_is_a_part_of_the_other_is_compared_with_that_part),
        cmocka_unit_test(norms_neither_overflow_nor_vanish),
        cmocka_unit_test(a_difference_is_found_wherever_it_is),
        cmocka_unit_test(the_comparison_outlives_its_models),
        cmocka_unit_test(wrong_arguments_and_failed_reads_are_told),
        cmocka_unit_test(refused_allocations_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
