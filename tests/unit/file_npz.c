/* .npz: what numpy.savez and savez_compressed wrote (tests/golden/numpy), and archives whose members
 * lie about what they hold. */
#include <zlib.h>

#include "check.h"
#include "failing.h"
#include "file/model_internal.h"
#include "numpy_arrays.h"

typedef struct buffer {
    uint8_t bytes[4096];
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

/* Version 1.0 with the dictionary and `size` bytes 0, 1, 2, ... of values. */
static buffer npy(const char *dictionary, size_t size)
{
    buffer b = {.size = 0};
    add(&b, "\x93NUMPY\x01\x00", 8);
    add_number(&b, strlen(dictionary) + 1, 2);
    add(&b, dictionary, strlen(dictionary));
    add(&b, "\n", 1);
    for (size_t i = 0; i < size; i++)
        add_number(&b, i, 1);
    return b;
}

static buffer deflated(const buffer *content)
{
    buffer packed = {.size = 0};
    z_stream stream = {.next_in = (z_const Bytef *)content->bytes,
                       .avail_in = (uInt)content->size,
                       .next_out = packed.bytes,
                       .avail_out = sizeof packed.bytes};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    packed.size = sizeof packed.bytes - stream.avail_out;
    deflateEnd(&stream);
    return packed;
}

/* What both headers of a member have in common, from the version needed on. */
static void add_common(buffer *zip, bool packed, uint32_t crc, size_t size, uint64_t claimed,
                       const char *name)
{
    add_number(zip, 20, 2);
    add_number(zip, 0, 2);
    add_number(zip, packed ? 8 : 0, 2);
    add_number(zip, 0, 4); /* time, date */
    add_number(zip, crc, 4);
    add_number(zip, size, 4);
    add_number(zip, claimed, 4);
    add_number(zip, strlen(name), 2);
    add_number(zip, 0, 2); /* extra fields */
}

/* An archive of one member. `claimed` 0: the truth. */
static buffer archive(const char *name, const buffer *content, bool packed, uint64_t claimed)
{
    buffer zip = {.size = 0};
    const buffer data = packed ? deflated(content) : *content;
    const uint32_t crc = (uint32_t)crc32(0, content->bytes, (uInt)content->size);
    claimed = claimed ? claimed : content->size;
    add(&zip, "PK\3\4", 4);
    add_common(&zip, packed, crc, data.size, claimed, name);
    add(&zip, name, strlen(name));
    add(&zip, data.bytes, data.size);
    const size_t directory = zip.size;
    add(&zip, "PK\1\2", 4);
    add_number(&zip, 20, 2);
    add_common(&zip, packed, crc, data.size, claimed, name);
    add(&zip, (const uint8_t[14]){0}, 14); /* comment, disk, attributes, place */
    add(&zip, name, strlen(name));
    const size_t end = zip.size;
    add(&zip, "PK\5\6", 4);
    add_number(&zip, 0, 4);
    add_number(&zip, 1, 2);
    add_number(&zip, 1, 2);
    add_number(&zip, end - directory, 4);
    add_number(&zip, directory, 4);
    add_number(&zip, 0, 2);
    return zip;
}

static sonde_status open_buffer(sonde_context *context, const buffer *file, sonde_model **model)
{
    return sonde__model_open_memory(context, "x.npz", file->bytes, file->size, model);
}

static void every_array_of_numpy_is_read(void **state)
{
    (void)state;
    static const char *const files[] = {SONDE_TESTS_DIR "/golden/numpy/stored.npz",
                                        SONDE_TESTS_DIR "/golden/numpy/deflated.npz"};
    for (int i = 0; i < 2; i++) {
        sonde_context *context = check_context();
        sonde_model *model = NULL;
        sonde_model_info info;
        check_ok(context, sonde_model_open(context, files[i], NULL, &model));
        sonde_model_describe(model, &info);
        assert_int_equal(info.kind, SONDE_MODEL_NPZ);
        assert_int_equal(sonde_model_count(model), 55);
        for (size_t t = 0; t < sonde_model_count(model); t++)
            numpy_check(context, model, t);
        sonde_tensor tensor;
        check_ok(context, sonde_model_tensor(model, 0, &tensor));
        assert_true(i == 0 ? tensor.offset > 0 : tensor.offset == -1);
        sonde_model_close(model);
        assert_int_equal(sonde_context_memory_used(context), 0);
        sonde_context_free(context);
    }
}

static void text_and_dates_are_left_out_with_a_warning(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    sonde_tensor tensor;
    check_ok(context, sonde_model_open(context, SONDE_TESTS_DIR "/golden/numpy/with_text.npz", NULL,
                                       &model));
    assert_int_equal(sonde_model_count(model), 1);
    check_ok(context, sonde_model_tensor(model, 0, &tensor));
    assert_string_equal(tensor.name, "weight");
    assert_non_null(strstr(sonde_model_warning(model, 0), "words.npy holds text or dates ('<U2')"));
    assert_non_null(strstr(sonde_model_warning(model, 1), "day.npy"));
    assert_null(sonde_model_warning(model, 2));
    sonde_model_close(model);
    sonde_context_free(context);
}

#define FOUR "{'descr': '<u2', 'fortran_order': False, 'shape': (4,), }"

static void members_are_read_packed_or_not(void **state)
{
    (void)state;
    const buffer array = npy(FOUR, 8);
    for (int packed = 0; packed < 2; packed++) {
        sonde_context *context = check_context();
        sonde_model *model = NULL;
        double values[4];
        const buffer file = archive("a/b.npy", &array, packed, 0);
        check_ok(context, open_buffer(context, &file, &model));
        size_t index = 9;
        check_ok(context, sonde_model_find(model, "a/b", &index));
        assert_int_equal(index, 0);
        check_ok(context, sonde_model_read(model, 0, 2, 2, SONDE_F64, values + 2));
        check_ok(context, sonde_model_read(model, 0, 0, 2, SONDE_F64, values));
        for (int i = 0; i < 4; i++)
            assert_true(values[i] == 2 * i + 256 * (2 * i + 1));
        sonde_model_close(model);
        sonde_context_free(context);
    }
}

static void expect_fault(const buffer *file, sonde_status expected, const char *words)
{
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    const sonde_status status = open_buffer(context, file, &model);
    const char *message = sonde_context_error(context)->message;
    if (status != expected || !strstr(message, words))
        fail_msg("%s (%s), not %s with '%s'", sonde_status_name(status), message,
                 sonde_status_name(expected), words);
    assert_int_equal(sonde_context_memory_used(context), 0);
    assert_true(sonde_context_memory_peak(context) < 1 << 20);
    sonde_context_free(context);
}

static void members_that_are_no_arrays_of_numbers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *dictionary;
        sonde_status status;
        const char *words;
    } bad[] = {
        {"{'descr': '|O', 'fortran_order': False, 'shape': (4,)}", SONDE_ERROR_UNSUPPORTED,
         "x.npz: w.npy: holds Python objects"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (5,)}", SONDE_ERROR_TRUNCATED,
         "w.npy: its shape needs"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (3,)}", SONDE_ERROR_FORMAT,
         "2 bytes follow"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (1099511627776,)}",
         SONDE_ERROR_TRUNCATED, "needs"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int packed = 0; packed < 2; packed++) {
            const buffer array = npy(bad[i].dictionary, 8);
            const buffer file = archive("w.npy", &array, packed, 0);
            expect_fault(&file, bad[i].status, bad[i].words);
        }
}

/* A deflated member whose directory entry and npy header both claim 4 GB: deflate packs 1032 to 1 at
 * best, so that 200 bytes cannot hold it. And one that claims a little more than it holds. */
static void sizes_that_cannot_be_are_refused_when_opened(void **state)
{
    (void)state;
    buffer array = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4294967000,), }", 4);
    buffer file = archive("w.npy", &array, true, 4294967000u + array.size - 4);
    expect_fault(&file, SONDE_ERROR_FORMAT, "w.npy");
    array = npy(FOUR, 8);
    file = archive("w.npy", &array, true, array.size + 1);
    expect_fault(&file, SONDE_ERROR_FORMAT, "follow");
    array.size = 5;
    file = archive("w.npy", &array, true, 40);
    expect_fault(&file, SONDE_ERROR_CORRUPT, "damaged");
}

static void damage_is_seen_when_the_numbers_are_read(void **state)
{
    (void)state;
    const buffer array = npy(FOUR, 8);
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    double values[4];
    buffer file = archive("w.npy", &array, false, 0);
    file.bytes[30 + 5 + array.size - 1] ^= 1; /* the last value */
    check_ok(context, open_buffer(context, &file, &model));
    check_status(sonde_model_read(model, 0, 0, 4, SONDE_F64, values), SONDE_ERROR_CORRUPT);
    assert_non_null(strstr(sonde_context_error(context)->message, "w.npy"));
    sonde_model_close(model);
    sonde_context_free(context);
}

static sonde_status open_and_read(sonde_context *context, void *argument)
{
    const buffer *file = argument;
    sonde_model *model = NULL;
    double values[4];
    sonde_status status = open_buffer(context, file, &model);
    if (status != SONDE_OK)
        return status;
    status = sonde_model_read(model, 0, 0, 4, SONDE_F64, values);
    sonde_model_close(model);
    return status;
}

static void refused_allocations_leak_nothing(void **state)
{
    (void)state;
    const buffer array = npy(FOUR, 8);
    for (int packed = 0; packed < 2; packed++) {
        buffer file = archive("w.npy", &array, packed, 0);
        assert_true(failing_run(open_and_read, &file) > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_array_of_numpy_is_read),
        cmocka_unit_test(text_and_dates_are_left_out_with_a_warning),
        cmocka_unit_test(members_are_read_packed_or_not),
        cmocka_unit_test(members_that_are_no_arrays_of_numbers_are_refused),
        cmocka_unit_test(sizes_that_cannot_be_are_refused_when_opened),
        cmocka_unit_test(damage_is_seen_when_the_numbers_are_read),
        cmocka_unit_test(refused_allocations_leak_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
