/* A .npy file as a model of one tensor: what numpy.save wrote (tests/golden/numpy), and faults. */
#include "check.h"
#include "failing.h"
#include "file/model_internal.h"
#include "folder.h"
#include "numpy_arrays.h"

typedef struct buffer {
    uint8_t bytes[4096];
    size_t size;
} buffer;

/* Version 1.0 with the dictionary and `size` zero bytes of values. */
static buffer npy(const char *dictionary, size_t size)
{
    buffer b = {.size = 0};
    const size_t length = strlen(dictionary) + 1;
    const uint8_t prefix[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)length, (uint8_t)(length >> 8)};
    memcpy(b.bytes, prefix, 10);
    memcpy(b.bytes + 10, dictionary, length - 1);
    b.bytes[9 + length] = '\n';
    b.size = 10 + length + size;
    return b;
}

static void files_of_numpy_are_read(void **state)
{
    (void)state;
    static const char *const files[] = {"f4_little_rows_2x3", "f8_big_columns_2x3x4",
                                        "f4_little_rows_scalar"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        sonde_context *context = check_context();
        sonde_model *model = NULL;
        char path[256];
        snprintf(path, sizeof path, SONDE_TESTS_DIR "/golden/numpy/%s.npy", files[i]);
        check_ok(context, sonde_model_open(context, path, NULL, &model));
        sonde_model_info info;
        sonde_model_describe(model, &info);
        assert_int_equal(info.kind, SONDE_MODEL_NPY);
        assert_int_equal(sonde_model_count(model), 1);
        sonde_tensor tensor;
        check_ok(context, sonde_model_tensor(model, 0, &tensor));
        assert_string_equal(tensor.name, files[i]);
        assert_int_equal(tensor.offset, 128);
        numpy_check(context, model, 0);
        sonde_model_close(model);
        assert_int_equal(sonde_context_memory_used(context), 0);
        sonde_context_free(context);
    }
}

static void version_3_is_read_and_the_name_comes_from_the_file(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    sonde_tensor tensor;
    float values[6];
    check_ok(context, sonde_model_open(
                          context, SONDE_TESTS_DIR "/golden/numpy/i4_little_rows_2x3_version3.npy",
                          NULL, &model));
    check_ok(context, sonde_model_tensor(model, 0, &tensor));
    assert_string_equal(tensor.name, "i4_little_rows_2x3_version3");
    check_ok(context, sonde_model_read(model, 0, 0, 6, SONDE_F32, values));
    for (int k = 0; k < 6; k++)
        assert_true(values[k] == (float)(k - 2));
    sonde_model_close(model);
    sonde_context_free(context);
}

static void expect_fault(const buffer *file, sonde_status expected, const char *words)
{
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    const sonde_status status =
        sonde__model_open_memory(context, "x.npy", file->bytes, file->size, &model);
    const char *message = sonde_context_error(context)->message;
    if (status != expected || !strstr(message, words))
        fail_msg("%s (%s), not %s with '%s'; header %.90s", sonde_status_name(status), message,
                 sonde_status_name(expected), words, (const char *)file->bytes + 10);
    assert_int_equal(sonde_context_memory_used(context), 0);
    assert_true(sonde_context_memory_peak(context) < 1 << 18);
    sonde_context_free(context);
}

static void headers_that_lie_or_hold_code_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *dictionary;
        sonde_status status;
        const char *words;
    } bad[] = {
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", SONDE_ERROR_UNSUPPORTED,
         "Python objects"},
        {"{'descr': [('a', '<f4'), ('b', 'O')], 'fortran_order': False, 'shape': (2, 2), }",
         SONDE_ERROR_UNSUPPORTED, "records"},
        {"{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }", SONDE_ERROR_UNSUPPORTED,
         "text or dates"},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }", SONDE_ERROR_UNSUPPORTED,
         "'<f16'"},
        {"{'descr': __import__('os').system('id'), 'fortran_order': False, 'shape': (2, 2)}",
         SONDE_ERROR_FORMAT, "type of values"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, -2)}", SONDE_ERROR_FORMAT, "size"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", SONDE_ERROR_TRUNCATED,
         "needs more than the 16 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", SONDE_ERROR_FORMAT,
         "4 bytes follow the last value"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
         SONDE_ERROR_TRUNCATED, "needs"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1099511627776,)}",
         SONDE_ERROR_TRUNCATED, "needs"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775808)}",
         SONDE_ERROR_FORMAT, "size that fits"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const buffer file = npy(bad[i].dictionary, 16);
        expect_fault(&file, bad[i].status, bad[i].words);
    }
}

static void lengths_that_lie_and_cuts_are_refused(void **state)
{
    (void)state;
    buffer file = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", 16);
    const size_t whole = file.size;
    for (file.size = 6; file.size < whole; file.size++)
        expect_fault(&file, SONDE_ERROR_TRUNCATED, "x.npy");
    file.bytes[8] = file.bytes[9] = 0xff;
    expect_fault(&file, SONDE_ERROR_TRUNCATED, "65535");
    file.bytes[6] = 4;
    expect_fault(&file, SONDE_ERROR_VERSION, "version 4.0");
}

/* 70,000 bytes of spaces behind the dictionary, in version 2: legal, and never of use. */
static void headers_over_64_kib_are_refused(void **state)
{
    (void)state;
    enum { LENGTH = 70000 };
    static uint8_t bytes[12 + LENGTH + 4];
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    static const char text[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}";
    memset(bytes, ' ', sizeof bytes);
    memcpy(bytes, "\x93NUMPY\x02\x00\x70\x11\x01\x00", 12);
    memcpy(bytes + 12, text, sizeof text - 1);
    check_status(sonde__model_open_memory(context, "x.npy", bytes, sizeof bytes, &model),
                 SONDE_ERROR_UNSUPPORTED);
    assert_non_null(strstr(sonde_context_error(context)->message, "at most 65536"));
    sonde_context_free(context);
}

static void a_file_that_shrinks_is_an_error_when_read(void **state)
{
    (void)state;
    const buffer file = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", 16);
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    float values[4];
    folder_write("shrinks.npy", file.bytes, file.size);
    check_ok(context, sonde_model_open(context, folder_path("shrinks.npy"), NULL, &model));
    check_ok(context, sonde_model_read(model, 0, 0, 4, SONDE_F32, values));
    assert_int_equal(truncate(folder_path("shrinks.npy"), (off_t)file.size - 4), 0);
    check_status(sonde_model_read(model, 0, 0, 4, SONDE_F32, values), SONDE_ERROR_TRUNCATED);
    sonde_model_close(model);
    sonde_context_free(context);
}

static sonde_status open_columns(sonde_context *context, void *argument)
{
    (void)argument;
    const buffer file = npy("{'descr': '>f4', 'fortran_order': True, 'shape': (2, 2)}", 16);
    sonde_model *model = NULL;
    const sonde_status status =
        sonde__model_open_memory(context, "x.npy", file.bytes, file.size, &model);
    if (status == SONDE_OK)
        sonde_model_close(model);
    return status;
}

static void refused_allocations_leak_nothing(void **state)
{
    (void)state;
    assert_true(failing_run(open_columns, NULL) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_numpy_are_read),
        cmocka_unit_test(version_3_is_read_and_the_name_comes_from_the_file),
        cmocka_unit_test(headers_that_lie_or_hold_code_are_refused),
        cmocka_unit_test(lengths_that_lie_and_cuts_are_refused),
        cmocka_unit_test(headers_over_64_kib_are_refused),
        cmocka_unit_test(a_file_that_shrinks_is_an_error_when_read),
        cmocka_unit_test(refused_allocations_leak_nothing),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
