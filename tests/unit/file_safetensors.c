/* safetensors: what is written reads back and is laid out as the format says; bad files. */
#include <dirent.h>

#include "check.h"
#include "failing.h"
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

/* The elements of a tensor of any integer or float format are these bytes in the file. */
static void check_bytes(const char *path, const sonde_tensor *tensor, const void *bytes)
{
    uint8_t read[64];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_true(tensor->bytes <= sizeof read);
    assert_int_equal(fseek(file, (long)tensor->offset, SEEK_SET), 0);
    assert_int_equal(fread(read, 1, (size_t)tensor->bytes, file), tensor->bytes);
    fclose(file);
    if (tensor->bytes)
        assert_memory_equal(read, bytes, (size_t)tensor->bytes);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_model *file = NULL;
    const char *path = folder_path("a.safetensors"), *key, *value;
    check_ok(context, sonde__safetensors_write(context, path, TENSORS, TENSOR_COUNT, METADATA, 2));
    check_ok(context, sonde_model_open(context, path, NULL, &file));
    assert_int_equal(sonde_model_count(file), TENSOR_COUNT);
    for (size_t i = 0; i < TENSOR_COUNT; i++) {
        size_t index;
        sonde_tensor read;
        check_ok(context, sonde_model_find(file, TENSORS[i].name, &index));
        check_ok(context, sonde_model_tensor(file, index, &read));
        assert_int_equal(read.number, TENSORS[i].number);
        assert_int_equal(read.dims, TENSORS[i].dims);
        for (int d = 0; d < read.dims; d++)
            assert_int_equal(read.shape[d], TENSORS[i].shape[d]);
        assert_int_equal(read.bytes, TENSORS[i].bytes);
        check_bytes(path, &read, TENSORS[i].data);
        if (read.number == SONDE_NUMBER_F64)
            assert_int_equal(read.offset % 8, 0);
    }
    check_ok(context, sonde_model_metadata(file, 1, &key, &value));
    assert_string_equal(key, "note");
    assert_string_equal(value, METADATA[1].value);
    sonde_model_close(file);
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
    static const sonde__metadata twice[] = {{"k", "1"}, {"l", "2"}, {"k", "1"}};
    check_status(sonde__safetensors_write(context, path, two, 1, twice, 3), SONDE_ERROR_ARGUMENT);
    two[1].name = "number";
    two[1].number = SONDE_NUMBER_Q4_0;
    check_status(sonde__safetensors_write(context, path, two, 2, NULL, 0), SONDE_ERROR_UNSUPPORTED);
    two[1] = TENSORS[0];
    two[1].name = "short";
    two[1].bytes = 4;
    check_status(sonde__safetensors_write(context, path, two, 2, NULL, 0), SONDE_ERROR_ARGUMENT);
    assert_int_not_equal(access(path, F_OK), 0);
    sonde_context_free(context);
}

/* A model of length (or the true one with UINT64_MAX), JSON and `data` bytes of zeros in memory. */
static sonde_status open_json(sonde_context *context, uint64_t length, const char *json,
                              size_t size, size_t data, sonde_model **model)
{
    size_t total = 8 + size + data;
    uint8_t *bytes = calloc(1, total);
    assert_non_null(bytes);
    length = length == UINT64_MAX ? size : length;
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(length >> (8 * i));
    memcpy(bytes + 8, json, size);
    sonde_status status = sonde__model_open_memory(context, "f", bytes, total, model);
    free(bytes);
    return status;
}

static sonde_status parse(sonde_context *context, uint64_t length, const char *json, size_t size,
                          size_t data)
{
    sonde_model *model = NULL;
    sonde_status status = open_json(context, length, json, size, data, &model);
    sonde_model_close(model);
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
        {"{" T("a", "U8", "[1]", "0", "1") "," T("a", "U8", "[1]", "1", "2") "}", 2,
         SONDE_ERROR_FORMAT, "twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         SONDE_ERROR_FORMAT, "twice"},
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
        {"{" T("a", "U8", "[1e400]", "0", "1") "}", 1, SONDE_ERROR_FORMAT, "dimension"},
        {"{" T("a", "U8", "[18446744073709551616]", "0", "1") "}", 1, SONDE_ERROR_FORMAT,
         "dimension"},
        {"{" T("a", "U8", "[0,9223372036854775808]", "0", "0") "}", 0, SONDE_ERROR_FORMAT,
         "dimension"},
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
    sonde_model *model = NULL;
    for (size_t size = 0; size < 8; size++)
        check_status(sonde__model_open_memory(context, "f", "\0\0\0\0\0\0\0", size, &model),
                     SONDE_ERROR_TRUNCATED);
    assert_null(model);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void nul_padding_is_accepted_with_a_warning(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    check_ok(context, open_json(context, UINT64_MAX, "{} \0\0\0", 6, 0, &model));
    assert_non_null(strstr(sonde_model_warning(model, 0), "3 NUL bytes"));
    assert_null(sonde_model_warning(model, 1));
    sonde_model_close(model);
    model = NULL;
    check_status(open_json(context, UINT64_MAX, "{}\0 \0x", 6, 0, &model), SONDE_ERROR_FORMAT);
    assert_int_equal(sonde_context_error(context)->offset, 8 + 3);
    sonde_context_free(context);
}

/* Nothing that is not the header may cost memory: half a megabyte for a header of 200 KB. */
static void a_header_costs_its_own_bytes_and_no_tree(void **state)
{
    (void)state;
    enum { PAIRS = 50000 };
    sonde_context *context = check_context();
    char *json = malloc(4 * PAIRS + 64), *to = json;
    to += sprintf(to, "{\"a\":{\"dtype\":\"U8\",\"shape\":[");
    for (int i = 0; i < PAIRS; i++)
        to += sprintf(to, "[],");
    size_t size = (size_t)(to - json);
    check_status(parse(context, UINT64_MAX, json, size, 0), SONDE_ERROR_FORMAT);
    assert_in_range(sonde_context_memory_peak(context), size, size + (64 << 10));
    free(json);
    sonde_context_free(context);
}

static void sub_byte_formats_need_whole_bytes(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{2, 3}, {5, 4}, {3, 3}, {0, 3}};
    uint64_t bytes = 77;
    assert_true(sonde__safetensors_bytes(SONDE_NUMBER_F4, 2, sizes[0], &bytes));
    assert_int_equal(bytes, 3);
    assert_true(sonde__safetensors_bytes(SONDE_NUMBER_F6_E2M3, 2, sizes[1], &bytes));
    assert_int_equal(bytes, 15);
    assert_false(sonde__safetensors_bytes(SONDE_NUMBER_F4, 2, sizes[2], &bytes));
    assert_false(sonde__safetensors_bytes(SONDE_NUMBER_F6_E3M2, 2, sizes[0], &bytes));
    assert_true(sonde__safetensors_bytes(SONDE_NUMBER_F4, 2, sizes[3], &bytes));
    assert_int_equal(bytes, 0);
}

/* Gives byte (index + offset) & 255, and fails at offset `fail_at` of any tensor. */
typedef struct pattern {
    size_t calls;
    uint64_t fail_at;
    sonde_context *context;
} pattern;

static sonde_status fill_pattern(void *user, size_t index, uint64_t offset, void *bytes,
                                 size_t size)
{
    pattern *p = user;
    p->calls++;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)(index + offset + i);
    if (p->fail_at >= offset && p->fail_at < offset + size)
        return sonde__fail(p->context, SONDE_ERROR_CANCELLED, "stopped");
    return SONDE_OK;
}

static void tensors_are_written_slice_by_slice(void **state)
{
    (void)state;
    enum { BYTES = 3000000 };
    sonde_context *context = check_context();
    const char *path = folder_path("stream.safetensors");
    const sonde__tensor two[] = {{"a", SONDE_NUMBER_U8, 1, {BYTES}, NULL, BYTES},
                                 {"b", SONDE_NUMBER_F64, 1, {BYTES / 8}, NULL, BYTES}};
    const sonde__safetensors_content content = {two, 2, NULL, 0};
    pattern p = {.fail_at = UINT64_MAX, .context = context};
    check_ok(context, sonde__safetensors_write_stream(context, path, &content, fill_pattern, &p));
    assert_in_range(sonde_context_memory_peak(context), 1, 1 << 20);
    assert_true(p.calls >= 6);
    sonde_model *model = NULL;
    size_t index;
    float *values = malloc(BYTES * sizeof *values);
    check_ok(context, sonde_model_open(context, path, NULL, &model));
    check_ok(context, sonde_model_find(model, "a", &index));
    check_ok(context, sonde_model_read(model, index, 0, BYTES, SONDE_F32, values));
    for (size_t i = 0; i < BYTES; i++)
        if (values[i] != (float)(i & 255))
            fail_msg("byte %zu is %g", i, (double)values[i]);
    free(values);
    sonde_model_close(model);
    sonde_context_free(context);
}

static void writing_that_fails_midway_leaves_the_old_file(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const char *path = folder_path("kept.safetensors");
    const sonde__tensor one = {"a", SONDE_NUMBER_U8, 1, {2000000}, NULL, 2000000};
    const sonde__safetensors_content content = {&one, 1, NULL, 0};
    pattern p = {.fail_at = 1500000, .context = context};
    folder_write("kept.safetensors", "old", 3);
    check_status(sonde__safetensors_write_stream(context, path, &content, fill_pattern, &p),
                 SONDE_ERROR_CANCELLED);
    FILE *file = fopen(path, "rb");
    char bytes[8];
    assert_int_equal(fread(bytes, 1, sizeof bytes, file), 3);
    fclose(file);
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
        sonde_model *file = NULL;
        uint8_t *copy = malloc(cut ? cut : 1); /* so that a read past the end is found */
        memcpy(copy, bytes, cut);
        check_status(sonde__model_open_memory(context, "f", copy, cut, &file),
                     SONDE_ERROR_TRUNCATED);
        free(copy);
    }
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static sonde_status write_and_read(sonde_context *context, void *argument)
{
    (void)argument;
    sonde_model *file = NULL;
    const char *path = folder_path("oom.safetensors");
    SONDE_TRY(sonde__safetensors_write(context, path, TENSORS, TENSOR_COUNT, METADATA, 2));
    sonde_status status = sonde_model_open(context, path, NULL, &file);
    sonde_model_close(file);
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
        sonde_model *file = NULL;
        const char *key, *value;
        snprintf(path, sizeof path, "%s/safetensors_samples/%s.safetensors", check_data_folder(),
                 names[i]);
        check_ok(context, sonde_model_open(context, path, NULL, &file));
        assert_int_equal(sonde_model_count(file), strlen(names[i]) > 1 ? 9 : 1);
        check_ok(context, sonde_model_metadata(file, 0, &key, &value));
        assert_string_equal(key, "test");
        assert_string_equal(value, "a");
        sonde_model_close(file);
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
        cmocka_unit_test(nul_padding_is_accepted_with_a_warning),
        cmocka_unit_test(a_header_costs_its_own_bytes_and_no_tree),
        cmocka_unit_test(sub_byte_formats_need_whole_bytes),
        cmocka_unit_test(tensors_are_written_slice_by_slice),
        cmocka_unit_test(writing_that_fails_midway_leaves_the_old_file),
        cmocka_unit_test(deep_nesting_and_long_names_are_refused),
        cmocka_unit_test(every_cut_of_a_written_file_is_refused),
        cmocka_unit_test(refused_allocations_leave_no_file_behind),
        cmocka_unit_test(samples_of_the_reference_writer_are_read),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
