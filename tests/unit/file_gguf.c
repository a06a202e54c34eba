/* GGUF: a file of the gguf package's own writer (tests/golden/gguf), and headers, pairs and records
 * that lie. */
#include <inttypes.h>

#include "check.h"
#include "failing.h"
#include "file/model_internal.h"

typedef struct buffer {
    uint8_t bytes[8192];
    size_t size;
} buffer;

static void add(buffer *b, const void *bytes, size_t size)
{
    assert_true(size <= sizeof b->bytes - b->size);
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

static void add_number(buffer *b, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        add(b, &(uint8_t){(uint8_t)(value >> (8 * i))}, 1);
}

static void add_string(buffer *b, const char *text)
{
    add_number(b, strlen(text), 8);
    add(b, text, strlen(text));
}

static buffer header(uint64_t version, uint64_t tensors, uint64_t pairs)
{
    buffer b = {.size = 0};
    add(&b, "GGUF", 4);
    add_number(&b, version, 4);
    add_number(&b, tensors, 8);
    add_number(&b, pairs, 8);
    return b;
}

static void add_key(buffer *b, const char *key, uint64_t type)
{
    add_string(b, key);
    add_number(b, type, 4);
}

static void add_record(buffer *b, const char *name, uint64_t dims, const uint64_t *sizes,
                       uint64_t type, uint64_t offset)
{
    add_string(b, name);
    add_number(b, dims, 4);
    for (uint64_t d = 0; d < dims && d < 8; d++)
        add_number(b, sizes[d], 8);
    add_number(b, type, 4);
    add_number(b, offset, 8);
}

/* Padding to the alignment, then `size` zero bytes. */
static void add_data(buffer *b, size_t alignment, size_t size)
{
    while (b->size % alignment != 0)
        add_number(b, 0, 1);
    for (size_t i = 0; i < size; i++)
        add_number(b, 0, 1);
}

/* --- the package's own file ------------------------------------------------------------------------- */

static sonde_model *open_sample(sonde_context *context)
{
    sonde_model *model = NULL;
    check_ok(context,
             sonde_model_open(context, SONDE_TESTS_DIR "/golden/gguf/sample.gguf", NULL, &model));
    return model;
}

static void expect_pair(const sonde_model *model, const char *key, const char *expected)
{
    const char *found = NULL, *value = NULL;
    for (size_t i = 0; sonde_model_metadata(model, i, &found, &value) == SONDE_OK; i++)
        if (strcmp(found, key) == 0) {
            assert_string_equal(value, expected);
            return;
        }
    fail_msg("there is no %s", key);
}

static void every_type_of_metadata_becomes_text(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_model *model = open_sample(context);
    expect_pair(model, "general.architecture", "test");
    expect_pair(model, "general.alignment", "64");
    expect_pair(model, "test.u8", "255");
    expect_pair(model, "test.i8", "-128");
    expect_pair(model, "test.u16", "65535");
    expect_pair(model, "test.i16", "-32768");
    expect_pair(model, "test.u32", "4294967295");
    expect_pair(model, "test.i32", "-2147483648");
    expect_pair(model, "test.u64", "18446744073709551615");
    expect_pair(model, "test.i64", "-9223372036854775808");
    expect_pair(model, "test.f32", "1e-06");
    expect_pair(model, "test.f64", "0.1");
    expect_pair(model, "test.bool", "true");
    expect_pair(model, "test.string", "a string, with \xc3\xa9");
    expect_pair(model, "test.strings", "[3 strings]");
    expect_pair(model, "test.floats", "[2 f32]");
    expect_pair(model, "test.ints", "[4 i32]");
    sonde_model_close(model);
    sonde_context_free(context);
}

static void shapes_are_outermost_first_and_plain_numbers_are_read(void **state)
{
    (void)state;
    static const char *const names[] = {"float32", "float16", "float64",  "int8", "int16",
                                        "int32",   "int64",   "bfloat16", "cube"};
    sonde_context *context = check_context();
    sonde_model *model = open_sample(context);
    sonde_model_info info;
    sonde_model_describe(model, &info);
    assert_int_equal(info.kind, SONDE_MODEL_GGUF);
    assert_int_equal(info.warnings, 0);
    assert_int_equal(sonde_model_count(model), 12);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t index = 0;
        sonde_tensor tensor;
        double values[24];
        check_ok(context, sonde_model_find(model, names[i], &index));
        check_ok(context, sonde_model_tensor(model, index, &tensor));
        assert_int_equal(tensor.shape[0], 2);
        assert_int_equal(tensor.shape[1], 3);
        check_ok(context, sonde_model_read(model, index, 0, tensor.elements, SONDE_F64, values));
        for (uint64_t k = 0; k < tensor.elements; k++)
            assert_true(values[k] == (double)k - 2);
    }
    sonde_model_close(model);
    sonde_context_free(context);
}

/* sample.f32 holds the elements of Q4_0, Q8_0 and Q6_K as the package dequantises them. */
static void quantised_tensors_are_what_the_package_makes_of_them(void **state)
{
    (void)state;
    static const char *const names[] = {"Q4_0", "Q8_0", "Q6_K"};
    static float expected[4096], values[4096];
    FILE *file = fopen(SONDE_TESTS_DIR "/golden/gguf/sample.f32", "rb");
    assert_non_null(file);
    const size_t count = fread(expected, sizeof *expected, 4096, file);
    assert_int_equal(fclose(file), 0);
    sonde_context *context = check_context();
    sonde_model *model = open_sample(context);
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        size_t index = 0;
        sonde_tensor tensor;
        check_ok(context, sonde_model_find(model, names[i], &index));
        check_ok(context, sonde_model_tensor(model, index, &tensor));
        assert_true(at + tensor.elements <= count);
        check_ok(context, sonde_model_read(model, index, 0, tensor.elements, SONDE_F32, values));
        assert_memory_equal(values, expected + at, tensor.elements * sizeof *values);
        /* A slice that begins and ends inside blocks. */
        check_ok(context, sonde_model_read(model, index, 37, 50, SONDE_F32, values));
        assert_memory_equal(values, expected + at + 37, 50 * sizeof *values);
        at += tensor.elements;
    }
    assert_int_equal(at, count);
    sonde_model_close(model);
    sonde_context_free(context);
}

/* --- files that lie --------------------------------------------------------------------------------- */

static void expect_fault_of(const char *what, const buffer *file, sonde_status expected,
                            const char *words)
{
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    const sonde_status status =
        sonde__model_open_memory(context, "x.gguf", file->bytes, file->size, &model);
    const sonde_error *error = sonde_context_error(context);
    if (status != expected || !strstr(error->message, words))
        fail_msg("%s: %s (%s), not %s with '%s'", what, sonde_status_name(status), error->message,
                 sonde_status_name(expected), words);
    assert_string_equal(error->file, "x.gguf");
    assert_true(error->offset >= 0);
    assert_int_equal(sonde_context_memory_used(context), 0);
    assert_true(sonde_context_memory_peak(context) < 1 << 18);
    sonde_context_free(context);
}

#define expect_fault(file, status, words) expect_fault_of(__func__, file, status, words)

static void versions_and_byte_orders_are_refused_by_name(void **state)
{
    (void)state;
    buffer b = header(1, 0, 0);
    expect_fault(&b, SONDE_ERROR_UNSUPPORTED, "version 1");
    b = header(0, 0, 0);
    expect_fault(&b, SONDE_ERROR_FORMAT, "version 0");
    b = header(4, 0, 0);
    expect_fault(&b, SONDE_ERROR_VERSION, "version 4");
    b = header(0x03000000, 0, 0);
    expect_fault(&b, SONDE_ERROR_UNSUPPORTED, "big-endian");
    b = header(3, 0, 0);
    memcpy(b.bytes, "FUGG", 4);
    expect_fault(&b, SONDE_ERROR_UNSUPPORTED, "byte-swapped");
}

static void counts_beyond_the_file_are_refused_before_any_allocation(void **state)
{
    (void)state;
    static const uint64_t counts[] = {UINT64_MAX, (uint64_t)1 << 63, 1000000};
    for (int i = 0; i < 3; i++) {
        buffer b = header(3, counts[i], 0);
        add_data(&b, 32, 64);
        expect_fault(&b, SONDE_ERROR_TRUNCATED, "claims");
        b = header(3, 0, counts[i]);
        add_data(&b, 32, 64);
        expect_fault(&b, SONDE_ERROR_TRUNCATED, "claims");
    }
}

static void strings_longer_than_the_file_are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63, 200};
    for (int i = 0; i < 4; i++) {
        buffer b = header(3, 0, 1);
        add_number(&b, lengths[i], 8);
        add_data(&b, 32, 64);
        expect_fault(&b, SONDE_ERROR_TRUNCATED, "a key should have");
        b = header(3, 0, 1);
        add_key(&b, "k", 8);
        add_number(&b, lengths[i], 8);
        add_data(&b, 32, 64);
        expect_fault(&b, SONDE_ERROR_TRUNCATED, "a string of 'k'");
        b = header(3, 0, 1);
        add_key(&b, "k", 9);
        add_number(&b, 8, 4);
        add_number(&b, 1, 8);
        add_number(&b, lengths[i], 8);
        add_data(&b, 32, 64);
        expect_fault(&b, SONDE_ERROR_TRUNCATED, "a string of 'k'");
        b = header(3, 1, 0);
        add_number(&b, lengths[i], 8);
        add_data(&b, 32, 64);
        expect_fault(&b, SONDE_ERROR_TRUNCATED, "a tensor name should have");
    }
}

static void arrays_longer_than_the_file_are_refused(void **state)
{
    (void)state;
    for (uint64_t type = 0; type < 13; type++) {
        buffer b = header(3, 0, 1);
        add_key(&b, "k", 9);
        add_number(&b, type, 4);
        add_number(&b, type == 0 ? 1000 : UINT64_MAX, 8);
        add_data(&b, 32, 64);
        expect_fault(&b, SONDE_ERROR_TRUNCATED, "k claims");
    }
    buffer b = header(3, 0, 1);
    add_key(&b, "k", 9);
    add_number(&b, 13, 4);
    add_data(&b, 32, 64);
    expect_fault(&b, SONDE_ERROR_FORMAT, "unknown type 13");
}

static void nested_arrays_are_skipped_and_may_not_nest_without_end(void **state)
{
    (void)state;
    buffer b = header(3, 0, 2);
    add_key(&b, "nested", 9); /* [[1, 2], ["x"]] */
    add_number(&b, 9, 4);
    add_number(&b, 2, 8);
    add_number(&b, 0, 4);
    add_number(&b, 2, 8);
    add_number(&b, 0x0201, 2);
    add_number(&b, 8, 4);
    add_number(&b, 1, 8);
    add_string(&b, "x");
    add_key(&b, "after", 0);
    add_number(&b, 7, 1);
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    check_ok(context, sonde__model_open_memory(context, "x.gguf", b.bytes, b.size, &model));
    expect_pair(model, "nested", "[2 arrays]");
    expect_pair(model, "after", "7");
    sonde_model_close(model);
    sonde_context_free(context);
    b = header(3, 0, 1);
    add_key(&b, "deep", 9);
    for (int depth = 0; depth < 100; depth++) {
        add_number(&b, 9, 4);
        add_number(&b, 1, 8);
    }
    add_data(&b, 32, 64);
    expect_fault(&b, SONDE_ERROR_UNSUPPORTED, "nests");
}

static void pairs_that_are_wrong_are_refused(void **state)
{
    (void)state;
    buffer b = header(3, 0, 2);
    for (int i = 0; i < 2; i++) {
        add_key(&b, "twice", 0);
        add_number(&b, 1, 1);
    }
    expect_fault(&b, SONDE_ERROR_FORMAT, "'twice' is there twice");
    b = header(3, 0, 1);
    add_key(&b, "truth", 7);
    add_number(&b, 2, 1);
    expect_fault(&b, SONDE_ERROR_FORMAT, "truth value of 2");
    b = header(3, 0, 1);
    add_number(&b, 3, 8);
    add(&b, "a\0b", 3);
    add_number(&b, 0, 4);
    add_number(&b, 0, 1);
    expect_fault(&b, SONDE_ERROR_FORMAT, "NUL");
    b = header(3, 0, 1);
    add_key(&b, "k", 99);
    add_number(&b, 0, 8);
    expect_fault(&b, SONDE_ERROR_FORMAT, "unknown type 99");
}

static void alignments_are_powers_of_two_of_a_sane_size(void **state)
{
    (void)state;
    static const uint64_t bad[] = {0, 3, 4, 48, (uint64_t)1 << 31, 0xffffffff};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buffer b = header(3, 0, 1);
        add_key(&b, "general.alignment", 4);
        add_number(&b, bad[i], 4);
        expect_fault(&b, SONDE_ERROR_FORMAT, "power of two");
    }
    buffer b = header(3, 0, 1);
    add_key(&b, "general.alignment", 10); /* as u64 */
    add_number(&b, 32, 8);
    expect_fault(&b, SONDE_ERROR_FORMAT, "must be u32");
}

/* One tensor of F32 (type 0) unless said otherwise, 16 bytes of data. */
static void expect_record_fault(uint64_t dims, const uint64_t *sizes, uint64_t type,
                                uint64_t offset, sonde_status status, const char *words)
{
    buffer b = header(3, 1, 0);
    add_record(&b, "w", dims, sizes, type, offset);
    add_data(&b, 32, 16);
    expect_fault_of(words, &b, status, words);
}

static void shapes_that_lie_are_refused(void **state)
{
    (void)state;
    static const uint64_t one[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    static const uint64_t huge[2] = {INT64_MAX, 2},
                          wraps[2] = {(uint64_t)1 << 32, (uint64_t)1 << 32};
    static const uint64_t negative[1] = {UINT64_MAX}, large[1] = {(uint64_t)1 << 61};
    static const uint64_t more[1] = {5}, odd[2] = {48, 2};
    expect_record_fault(0, one, 0, 0, SONDE_ERROR_FORMAT, "0 dimensions");
    expect_record_fault(5, one, 0, 0, SONDE_ERROR_FORMAT, "5 dimensions");
    expect_record_fault(UINT32_MAX, one, 0, 0, SONDE_ERROR_FORMAT, "4294967295 dimensions");
    expect_record_fault(2, huge, 0, 0, SONDE_ERROR_FORMAT, "beyond 2^63");
    expect_record_fault(2, wraps, 0, 0, SONDE_ERROR_FORMAT, "beyond 2^63");
    expect_record_fault(1, negative, 0, 0, SONDE_ERROR_FORMAT, "beyond 2^63");
    expect_record_fault(1, large, 28, 0, SONDE_ERROR_FORMAT, "64 bits");
    expect_record_fault(1, more, 0, 0, SONDE_ERROR_TRUNCATED, "'w' has 20 bytes");
    expect_record_fault(2, odd, 2, 0, SONDE_ERROR_FORMAT, "rows of 48 elements");
}

static void types_that_are_not_known_are_refused_with_their_number(void **state)
{
    (void)state;
    static const uint64_t four[1] = {4};
    expect_record_fault(1, four, 4, 0, SONDE_ERROR_UNSUPPORTED, "type 4 (Q4_2)");
    expect_record_fault(1, four, 31, 0, SONDE_ERROR_UNSUPPORTED, "type 31 (Q4_0_4_4)");
    expect_record_fault(1, four, 1000, 0, SONDE_ERROR_UNSUPPORTED, "type 1000");
    expect_record_fault(1, four, UINT32_MAX, 0, SONDE_ERROR_UNSUPPORTED, "type 4294967295");
}

static void places_that_are_wrong_are_refused(void **state)
{
    (void)state;
    static const uint64_t four[1] = {4};
    expect_record_fault(1, four, 0, 8, SONDE_ERROR_FORMAT, "no multiple");
    expect_record_fault(1, four, 0, 32, SONDE_ERROR_TRUNCATED, "at offset 32");
    expect_record_fault(1, four, 0, UINT64_MAX - 31, SONDE_ERROR_TRUNCATED, "at offset");
    static const struct {
        uint64_t second;
        const char *words;
    } bad[] = {{0, "overlaps"}, {64, "32 bytes of no tensor"}};
    static const uint64_t eight[1] = {8};
    for (int i = 0; i < 2; i++) {
        buffer b = header(3, 2, 0);
        add_record(&b, "v", 1, eight, 0, 0);
        add_record(&b, "w", 1, eight, 0, bad[i].second);
        add_data(&b, 32, 96);
        expect_fault(&b, SONDE_ERROR_FORMAT, bad[i].words);
    }
    buffer b = header(3, 2, 0);
    add_record(&b, "w", 1, eight, 0, 0);
    add_record(&b, "w", 1, eight, 0, 32);
    add_data(&b, 32, 64);
    expect_fault(&b, SONDE_ERROR_FORMAT, "twice");
}

static buffer two_tensors(void)
{
    static const uint64_t sizes[1] = {8}, block[2] = {32, 1};
    buffer b = header(2, 3, 1);
    add_key(&b, "general.architecture", 8);
    add_string(&b, "test");
    add_record(&b, "last", 1, sizes, 0, 32);
    add_record(&b, "empty", 1, (const uint64_t[1]){0}, 0, 32);
    add_record(&b, "listed", 2, block, 20, 0);
    add_data(&b, 32, 64);
    return b;
}

/* The order of the records need not be that of the data; IQ4_NL is listed and not read; version 2. */
static void tensors_are_listed_in_the_order_of_their_records(void **state)
{
    (void)state;
    buffer b = two_tensors();
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    sonde_tensor tensor;
    float value;
    check_ok(context, sonde__model_open_memory(context, "x.gguf", b.bytes, b.size, &model));
    check_ok(context, sonde_model_tensor(model, 0, &tensor));
    assert_string_equal(tensor.name, "last");
    check_ok(context, sonde_model_tensor(model, 1, &tensor));
    assert_int_equal(tensor.elements, 0);
    check_ok(context, sonde_model_tensor(model, 2, &tensor));
    assert_int_equal(tensor.number, SONDE_NUMBER_IQ4_NL);
    assert_false(tensor.readable);
    check_status(sonde_model_read(model, 2, 0, 1, SONDE_F32, &value), SONDE_ERROR_UNSUPPORTED);
    assert_null(sonde_model_warning(model, 0));
    sonde_model_close(model);
    sonde_context_free(context);
}

static void bytes_behind_the_last_tensor_are_a_warning(void **state)
{
    (void)state;
    buffer b = two_tensors();
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    add_data(&b, 1, 40);
    check_ok(context, sonde__model_open_memory(context, "x.gguf", b.bytes, b.size, &model));
    assert_non_null(strstr(sonde_model_warning(model, 0), "40 bytes follow"));
    sonde_model_close(model);
    sonde_context_free(context);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    buffer b = two_tensors();
    const size_t whole = b.size;
    for (b.size = 4; b.size < whole; b.size++)
        expect_fault(&b, SONDE_ERROR_TRUNCATED, "x.gguf");
}

static sonde_status open_two(sonde_context *context, void *argument)
{
    buffer b = two_tensors();
    sonde_model *model = NULL;
    (void)argument;
    const sonde_status status =
        sonde__model_open_memory(context, "x.gguf", b.bytes, b.size, &model);
    if (status == SONDE_OK)
        sonde_model_close(model);
    return status;
}

static void refused_allocations_leak_nothing(void **state)
{
    (void)state;
    assert_true(failing_run(open_two, NULL) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_of_metadata_becomes_text),
        cmocka_unit_test(shapes_are_outermost_first_and_plain_numbers_are_read),
        cmocka_unit_test(quantised_tensors_are_what_the_package_makes_of_them),
        cmocka_unit_test(versions_and_byte_orders_are_refused_by_name),
        cmocka_unit_test(counts_beyond_the_file_are_refused_before_any_allocation),
        cmocka_unit_test(strings_longer_than_the_file_are_refused),
        cmocka_unit_test(arrays_longer_than_the_file_are_refused),
        cmocka_unit_test(nested_arrays_are_skipped_and_may_not_nest_without_end),
        cmocka_unit_test(pairs_that_are_wrong_are_refused),
        cmocka_unit_test(alignments_are_powers_of_two_of_a_sane_size),
        cmocka_unit_test(shapes_that_lie_are_refused),
        cmocka_unit_test(types_that_are_not_known_are_refused_with_their_number),
        cmocka_unit_test(places_that_are_wrong_are_refused),
        cmocka_unit_test(tensors_are_listed_in_the_order_of_their_records),
        cmocka_unit_test(bytes_behind_the_last_tensor_are_a_warning),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(refused_allocations_leak_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
