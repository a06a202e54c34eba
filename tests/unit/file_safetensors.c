/* safetensors: what is written reads back and is laid out as the format says; bad files. */
#include <dirent.h>

#include "check.h"
#include "failing.h"
#include "file/safetensors.h"
#include "file/safetensors_internal.h"
#include "folder.h"

static const double DOUBLES[3] = {1, -2, 0.5};
static const float FLOATS[2] = {3, 4};
static const uint8_t OCTETS[5] = {1, 2, 3, 4, 5};
static const sonde__tensor TENSORS[] = {
    {"octets", SONDE_NUMBER_U8, 1, {5}, OCTETS, sizeof OCTETS},
    {"layer.weight", SONDE_NUMBER_F32, 2, {1, 2}, FLOATS, sizeof FLOATS},
    {"doubles", SONDE_NUMBER_F64, 1, {3}, DOUBLES, sizeof DOUBLES},
    {"empty", SONDE_NUMBER_I64, 2, {0, 7}, NULL, 0},
    {"scalar \"\xc3\xa9\"", SONDE_NUMBER_F32, 0, {0}, FLOATS, 4},
};
enum { TENSOR_COUNT = sizeof TENSORS / sizeof *TENSORS };
static const sonde__metadata METADATA[] = {{"epoch", "7"}, {"note", "a \"quoted\" line\n"}};

static void what_is_written_reads_back(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__safetensors *file = NULL;
    const char *path = folder_path("a.safetensors");
    check_ok(context, sonde__safetensors_write(context, path, TENSORS, TENSOR_COUNT, METADATA, 2));
    check_ok(context, sonde__safetensors_open(context, path, &file));
    assert_int_equal(sonde__safetensors_count(file), TENSOR_COUNT);
    for (size_t i = 0; i < TENSOR_COUNT; i++) {
        const sonde__tensor *read = sonde__safetensors_find(file, TENSORS[i].name);
        assert_non_null(read);
        assert_int_equal(read->number, TENSORS[i].number);
        assert_int_equal(read->dims, TENSORS[i].dims);
        for (int d = 0; d < read->dims; d++)
            assert_int_equal(read->shape[d], TENSORS[i].shape[d]);
        assert_int_equal(read->bytes, TENSORS[i].bytes);
        if (read->bytes)
            assert_memory_equal(read->data, TENSORS[i].data, read->bytes);
        if (read->number == SONDE_NUMBER_F64)
            assert_int_equal((uintptr_t)read->data % 8, 0);
    }
    assert_null(sonde__safetensors_find(file, "none"));
    assert_null(sonde__safetensors_tensor(file, TENSOR_COUNT));
    assert_string_equal(sonde__safetensors_metadata(file, "note"), METADATA[1].value);
    assert_null(sonde__safetensors_metadata(file, "none"));
    sonde__safetensors_close(file);
    sonde__safetensors_close(NULL);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

/* The bytes as the format's description has them, spelled out. */
static void the_layout_is_that_of_the_format(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    static const sonde__tensor one = {"w", SONDE_NUMBER_F32, 2, {1, 2}, FLOATS, 8};
    const char *path = folder_path("b.safetensors");
    check_ok(context, sonde__safetensors_write(context, path, &one, 1, NULL, 0));
    char bytes[256];
    FILE *opened = fopen(path, "rb");
    size_t size = fread(bytes, 1, sizeof bytes, opened);
    fclose(opened);
    static const char json[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}";
    assert_int_equal(size, 64 + 8);
    assert_memory_equal(bytes, "\x38\0\0\0\0\0\0\0", 8);
    assert_memory_equal(bytes + 8, json, sizeof json - 1);
    for (size_t i = 8 + sizeof json - 1; i < 64; i++)
        assert_int_equal(bytes[i], ' ');
    assert_memory_equal(bytes + 64, FLOATS, 8);
    sonde_context_free(context);
}

static void tensors_that_make_no_sense_are_not_written(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const char *path = folder_path("c.safetensors");
    sonde__tensor two[2] = {TENSORS[0], TENSORS[0]};
    check_status(sonde__safetensors_write(context, path, two, 2, NULL, 0), SONDE_ERROR_ARGUMENT);
    two[1].name = "__metadata__";
    check_status(sonde__safetensors_write(context, path, two, 2, NULL, 0), SONDE_ERROR_ARGUMENT);
    two[1].name = "";
    check_status(sonde__safetensors_write(context, path, two, 2, NULL, 0), SONDE_ERROR_ARGUMENT);
    two[1].name = "short";
    two[1].bytes = 4;
    check_status(sonde__safetensors_write(context, path, two, 2, NULL, 0), SONDE_ERROR_ARGUMENT);
    assert_int_not_equal(access(path, F_OK), 0);
    sonde_context_free(context);
}

/* Parses length (or the true one with SIZE_MAX), JSON and `data` bytes of zeros. */
static sonde_status parse(sonde_context *context, uint64_t length, const char *json, size_t size,
                          size_t data)
{
    sonde__safetensors *file = NULL;
    size_t total = 8 + size + data;
    uint8_t *bytes = sonde__alloc_zero(context, total, 1);
    assert_non_null(bytes);
    length = length == UINT64_MAX ? size : length;
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(length >> (8 * i));
    memcpy(bytes + 8, json, size);
    sonde_status status = sonde__safetensors_parse(context, "f", bytes, total, &file);
    sonde__safetensors_close(file);
    return status;
}

#define T(name, type, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void good_headers_are_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        size_t data;
    } good[] = {
        {"{}", 0},
        {"{}   \n", 0},
        {"{\"__metadata__\":{}}", 0},
        {"{" T("a", "F32", "[2]", "0", "8") "}", 8},
        {"{" T("b", "U8", "[1]", "8", "9") "," T("a", "F32", "[2]", "0", "8") "}", 9},
        {"{" T("a", "F32", "[0]", "0", "0") "," T("A", "F32", "[]", "0", "4") "}", 4},
        {"{" T("a", "BF16", "[1,1,1,1,1,1,1,2]", "0", "4") "}", 4},
    };
    sonde_context *context = check_context();
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        check_ok(context,
                 parse(context, UINT64_MAX, good[i].json, strlen(good[i].json), good[i].data));
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void bad_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        size_t data;
        sonde_status status;
        const char *words;
    } bad[] = {
        {"[1]", 0, SONDE_ERROR_FORMAT, "begin with '{'"},
        {" {}", 0, SONDE_ERROR_FORMAT, "begin with '{'"},
        {"{} x", 0, SONDE_ERROR_FORMAT, "JSON"},
        {"{", 0, SONDE_ERROR_FORMAT, "begin with '{'"},
        {"{\"a\"", 0, SONDE_ERROR_FORMAT, "JSON"},
        {"{\"a\":1}", 0, SONDE_ERROR_FORMAT, "object"},
        {"{\"\xff\":1}", 0, SONDE_ERROR_FORMAT, "JSON"},
        {"{\"\\ud800\":1}", 0, SONDE_ERROR_FORMAT, "JSON"},
        {"{\"a\\u0000b\":1}", 0, SONDE_ERROR_FORMAT, "JSON"},
        {"{" T("", "U8", "[1]", "0", "1") "}", 1, SONDE_ERROR_FORMAT, "name"},
        {"{" T("a\\nb", "U8", "[1]", "0", "1") "}", 1, SONDE_ERROR_FORMAT, "name"},
        {"{" T("a", "U8", "[1]", "0", "1") "," T("a", "U8", "[1]", "0", "1") "}", 1,
         SONDE_ERROR_FORMAT, "JSON"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         SONDE_ERROR_FORMAT, "JSON"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":0}}", 1,
         SONDE_ERROR_FORMAT, "other keys"},
        {"{" T("a", "Q9", "[1]", "0", "1") "}", 1, SONDE_ERROR_UNSUPPORTED, "'Q9'"},
        {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, SONDE_ERROR_FORMAT,
         "dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, SONDE_ERROR_FORMAT, "shape"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, SONDE_ERROR_FORMAT, "data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, SONDE_ERROR_FORMAT,
         "data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 1, SONDE_ERROR_FORMAT,
         "data_offsets"},
        {"{" T("a", "U8", "[1]", "1", "0") "}", 1, SONDE_ERROR_FORMAT, "data_offsets"},
        {"{" T("a", "U8", "[1]", "-1", "0") "}", 1, SONDE_ERROR_FORMAT, "data_offsets"},
        {"{" T("a", "U8", "[1]", "0", "1.0") "}", 1, SONDE_ERROR_FORMAT, "data_offsets"},
        {"{" T("a", "U8", "[1.5]", "0", "1") "}", 1, SONDE_ERROR_FORMAT, "dimension"},
        {"{" T("a", "U8", "[-1]", "0", "1") "}", 1, SONDE_ERROR_FORMAT, "dimension"},
        {"{" T("a", "U8", "[1e400]", "0", "1") "}", 1, SONDE_ERROR_FORMAT, "JSON"},
        {"{" T("a", "U8", "[18446744073709551616]", "0", "1") "}", 1, SONDE_ERROR_FORMAT, "JSON"},
        {"{" T("a", "U8", "[0,9223372036854775808]", "0", "0") "}", 0, SONDE_ERROR_FORMAT, "JSON"},
        {"{" T("a", "U8", "[4294967296,4294967296]", "0", "0") "}", 0, SONDE_ERROR_OVERFLOW, "fit"},
        {"{" T("a", "F64", "[2305843009213693952]", "0", "0") "}", 0, SONDE_ERROR_OVERFLOW, "fit"},
        {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}", 1, SONDE_ERROR_UNSUPPORTED, "8"},
        {"{" T("a", "F32", "[2]", "0", "7") "}", 7, SONDE_ERROR_FORMAT, "has 7 bytes"},
        {"{" T("a", "F32", "[2]", "0", "8") "}", 7, SONDE_ERROR_TRUNCATED, "ends at byte 8"},
        {"{" T("a", "F32", "[2]", "0", "8") "}", 9, SONDE_ERROR_FORMAT, "belong to no tensor"},
        {"{}", 1, SONDE_ERROR_FORMAT, "belong to no tensor"},
        {"{" T("a", "U8", "[4]", "0", "4") "," T("b", "U8", "[4]", "2", "6") "}", 6,
         SONDE_ERROR_FORMAT, "overlaps"},
        {"{" T("a", "U8", "[4]", "0", "4") "," T("b", "U8", "[4]", "0", "4") "}", 4,
         SONDE_ERROR_FORMAT, "overlaps"},
        {"{" T("a", "U8", "[4]", "0", "4") "," T("b", "U8", "[4]", "5", "9") "}", 9,
         SONDE_ERROR_FORMAT, "hole"},
        {"{" T("a", "U8", "[4]", "1", "5") "}", 5, SONDE_ERROR_FORMAT, "hole"},
        {"{\"__metadata__\":{\"a\":1}}", 0, SONDE_ERROR_FORMAT, "not a string"},
        {"{\"__metadata__\":[]}", 0, SONDE_ERROR_FORMAT, "object"},
    };
    sonde_context *context = check_context();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sonde_status status =
            parse(context, UINT64_MAX, bad[i].json, strlen(bad[i].json), bad[i].data);
        const char *message = sonde_context_error(context)->message;
        if (status != bad[i].status || !strstr(message, bad[i].words))
            fail_msg("%s: %s (%s), not %s with '%s'", bad[i].json, sonde_status_name(status),
                     message, sonde_status_name(bad[i].status), bad[i].words);
        assert_int_equal(sonde_context_memory_used(context), 0);
    }
    sonde_context_free(context);
}

static void header_lengths_that_lie_are_refused(void **state)
{
    (void)state;
    static const uint64_t lies[] = {3, 100000001, (uint64_t)1 << 63, UINT64_MAX - 1};
    sonde_context *context = check_context();
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        check_status(parse(context, lies[i], "{}", 2, 0), SONDE_ERROR_TRUNCATED);
    check_status(parse(context, 0, "{}", 2, 0), SONDE_ERROR_FORMAT);
    check_status(parse(context, 1, "{}", 2, 0), SONDE_ERROR_FORMAT);
    check_status(parse(context, UINT64_MAX, "{}\0\0", 4, 0), SONDE_ERROR_FORMAT); /* NUL padding */
    sonde__safetensors *file = NULL;
    for (size_t size = 0; size < 8; size++) {
        void *bytes = sonde__alloc_zero(context, size, 1);
        check_status(sonde__safetensors_parse(context, "f", bytes, size, &file),
                     SONDE_ERROR_TRUNCATED);
    }
    assert_null(file);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void deep_nesting_and_long_names_are_refused(void **state)
{
    (void)state;
    enum { DEPTH = 1000000 };
    sonde_context *context = check_context();
    char *json = malloc(DEPTH + 8);
    memcpy(json, "{\"a\":", 5);
    memset(json + 5, '[', DEPTH);
    check_status(parse(context, UINT64_MAX, json, DEPTH + 5, 0), SONDE_ERROR_FORMAT);
    memset(json + 2, 'n', DEPTH);
    memcpy(json + DEPTH, "\":{}}", 5);
    check_status(parse(context, UINT64_MAX, json, DEPTH + 5, 0), SONDE_ERROR_FORMAT);
    free(json);
    sonde_context_free(context);
}

static void every_cut_of_a_written_file_is_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const char *path = folder_path("d.safetensors");
    static uint8_t bytes[4096];
    check_ok(context, sonde__safetensors_write(context, path, TENSORS, TENSOR_COUNT, METADATA, 2));
    FILE *opened = fopen(path, "rb");
    size_t size = fread(bytes, 1, sizeof bytes, opened);
    fclose(opened);
    for (size_t cut = 0; cut < size; cut++) {
        sonde__safetensors *file = NULL;
        void *copy = sonde__alloc(context, cut, 1);
        memcpy(copy, bytes, cut);
        check_status(sonde__safetensors_parse(context, "f", copy, cut, &file),
                     SONDE_ERROR_TRUNCATED);
    }
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static sonde_status write_and_read(sonde_context *context, void *argument)
{
    (void)argument;
    sonde__safetensors *file = NULL;
    const char *path = folder_path("oom.safetensors");
    SONDE_TRY(sonde__safetensors_write(context, path, TENSORS, TENSOR_COUNT, METADATA, 2));
    sonde_status status = sonde__safetensors_open(context, path, &file);
    sonde__safetensors_close(file);
    return status;
}

static void refused_allocations_leave_no_file_behind(void **state)
{
    (void)state;
    assert_true(failing_run(write_and_read, NULL) >= 5);
    DIR *opened = opendir(folder);
    for (struct dirent *entry; (entry = readdir(opened));)
        assert_null(strstr(entry->d_name, ".tmp-"));
    closedir(opened);
}

static void samples_of_the_reference_writer_are_read(void **state)
{
    (void)state;
    if (!check_data_folder())
        skip();
    static const char *const names[] = {"B", "H", "I", "b", "d", "e", "f", "h", "i", "overall"};
    sonde_context *context = check_context();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        sonde__safetensors *file = NULL;
        snprintf(path, sizeof path, "%s/safetensors_samples/%s.safetensors", check_data_folder(),
                 names[i]);
        check_ok(context, sonde__safetensors_open(context, path, &file));
        assert_int_equal(sonde__safetensors_count(file), strlen(names[i]) > 1 ? 9 : 1);
        assert_string_equal(sonde__safetensors_metadata(file, "test"), "a");
        sonde__safetensors_close(file);
    }
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(the_layout_is_that_of_the_format),
        cmocka_unit_test(tensors_that_make_no_sense_are_not_written),
        cmocka_unit_test(good_headers_are_accepted),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(header_lengths_that_lie_are_refused),
        cmocka_unit_test(deep_nesting_and_long_names_are_refused),
        cmocka_unit_test(every_cut_of_a_written_file_is_refused),
        cmocka_unit_test(refused_allocations_leave_no_file_behind),
        cmocka_unit_test(samples_of_the_reference_writer_are_read),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
