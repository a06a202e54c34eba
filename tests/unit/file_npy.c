/* .npy: every type, both byte orders and both layouts; and headers that lie or hold code. */
#include "check.h"
#include "failing.h"
#include "file/data_internal.h"
#include "folder.h"

typedef struct buffer {
    uint8_t bytes[4096];
    size_t size;
} buffer;

static void add(buffer *b, const void *bytes, size_t size)
{
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

/* As numpy.save writes it: padded with spaces to a multiple of 64, newline last. */
static buffer npy(const char *dictionary, const void *data, size_t size)
{
    buffer b = {.size = 0};
    size_t length = strlen(dictionary), total = (10 + length + 1 + 63) / 64 * 64;
    uint8_t prefix[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)(total - 10), (uint8_t)((total - 10) >> 8)};
    add(&b, prefix, 10);
    add(&b, dictionary, length);
    while (b.size < total - 1)
        add(&b, " ", 1);
    add(&b, "\n", 1);
    add(&b, data, size);
    return b;
}

static sonde__source source_of(sonde_context *context, const char *path, const buffer *b)
{
    sonde__source source = {path, sonde__alloc(context, b->size, 1), b->size};
    if (source.bytes && b->size)
        memcpy(source.bytes, b->bytes, b->size);
    return source;
}

static buffer two_labels(void)
{
    static const uint8_t labels[2] = {0, 1};
    return npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", labels, 2);
}

static sonde_status parse(sonde_context *context, const buffer *features, const buffer *labels,
                          sonde__dataset **dataset)
{
    sonde__source x = source_of(context, "x.npy", features);
    sonde__source y = source_of(context, "y.npy", labels);
    if (!x.bytes || !y.bytes) {
        sonde__source_free(context, &x);
        sonde__source_free(context, &y);
        return SONDE_ERROR_MEMORY;
    }
    sonde_status status = sonde__dataset_new(context, "npy", 0, dataset);
    if (status == SONDE_OK)
        return sonde__npy_parse(context, &x, &y, 0, *dataset);
    sonde__source_free(context, &x);
    sonde__source_free(context, &y);
    return status;
}

static void expect_values(const char *dictionary, const void *data, size_t size,
                          const float expected[4])
{
    sonde_context *context = check_context();
    sonde__dataset *dataset = NULL;
    buffer x = npy(dictionary, data, size), y = two_labels();
    check_ok(context, parse(context, &x, &y, &dataset));
    assert_int_equal(dataset->count, 2);
    assert_int_equal(dataset->channels, 2);
    assert_int_equal(dataset->classes, 2);
    for (int i = 0; i < 4; i++)
        if (dataset->floats[i] != expected[i])
            fail_msg("%s: value %d is %g, not %g", dictionary, i, (double)dataset->floats[i],
                     (double)expected[i]);
    sonde__dataset_free(context, dataset);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

#define ROWS ", 'fortran_order': False, 'shape': (2, 2), }"

static void every_type_is_read_in_both_byte_orders(void **state)
{
    (void)state;
    static const float floats[] = {1.5f, -2, 3, 1e-3f};
    expect_values("{'descr': '<f4'" ROWS, floats, sizeof floats, floats);
    static const double doubles[] = {1.5, -2, 3, 0.25};
    static const float from_doubles[] = {1.5f, -2, 3, 0.25f};
    expect_values("{'descr': '<f8'" ROWS, doubles, sizeof doubles, from_doubles);
    static const uint8_t big_floats[] = {0x3f, 0xc0, 0, 0, 0xc0, 0,    0, 0,
                                         0x40, 0x40, 0, 0, 0x3e, 0x80, 0, 0};
    expect_values("{'descr': '>f4'" ROWS, big_floats, 16, from_doubles);
    expect_values("{'descr': '<f2'" ROWS, "\x00\x3e\x00\xc0\x00\x42\x00\x34", 8, from_doubles);
    expect_values("{'descr': '>f2'" ROWS, "\x3e\x00\xc0\x00\x42\x00\x34\x00", 8, from_doubles);
    static const float counted[] = {1, 2, -1, 127};
    expect_values("{'descr': '|i1'" ROWS, "\x01\x02\xff\x7f", 4, counted);
    expect_values("{'descr': '>i2'" ROWS, "\0\1\0\2\xff\xff\0\x7f", 8, counted);
    expect_values("{'descr': '<i4'" ROWS, "\1\0\0\0\2\0\0\0\xff\xff\xff\xff\x7f\0\0\0", 16,
                  counted);
    static const int64_t longs[] = {1, 2, -1, 127};
    expect_values("{'descr': '<i8'" ROWS, longs, 32, counted);
    static const float unsigned_values[] = {1, 2, 65535, 127};
    expect_values("{'descr': '<u2'" ROWS, "\1\0\2\0\xff\xff\x7f\0", 8, unsigned_values);
    static const float bools[] = {1, 0, 0, 1};
    expect_values("{'descr': '|b1'" ROWS, "\1\0\0\1", 4, bools);
}

static void columns_first_is_transposed(void **state)
{
    (void)state;
    static const float expected[] = {1, 2, 3, 4};
    expect_values("{'shape': (2, 2), 'fortran_order': True, \"descr\": '|u1'}", "\1\3\2\4", 4,
                  expected);
}

/* (n, c, h, w) = (2, 3, 2, 1), values 0..11 in row-major order, stored columns first. */
static void fortran_order_holds_for_images(void **state)
{
    (void)state;
    uint8_t stored[12];
    for (int n = 0; n < 2; n++)
        for (int c = 0; c < 3; c++)
            for (int h = 0; h < 2; h++)
                stored[n + 2 * (c + 3 * h)] = (uint8_t)(n * 6 + c * 2 + h);
    sonde_context *context = check_context();
    sonde__dataset *dataset = NULL;
    buffer x = npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 2, 1), }", stored, 12);
    buffer y = two_labels();
    check_ok(context, parse(context, &x, &y, &dataset));
    assert_true(dataset->image && dataset->bytes && !dataset->floats);
    assert_int_equal(dataset->channels, 3);
    assert_int_equal(dataset->height, 2);
    assert_int_equal(dataset->width, 1);
    for (int i = 0; i < 12; i++)
        assert_int_equal(dataset->bytes[i], i);
    sonde__dataset_free(context, dataset);
    sonde_context_free(context);
}

static void expect_fault(const buffer *x, const buffer *y, sonde_status expected, const char *words)
{
    sonde_context *context = check_context();
    sonde__dataset *dataset = NULL;
    sonde_status status = parse(context, x, y, &dataset);
    const char *message = sonde_context_error(context)->message;
    if (status != expected || !strstr(message, words))
        fail_msg("%s (%s), not %s with '%s'; header %.90s", sonde_status_name(status), message,
                 sonde_status_name(expected), words, (const char *)x->bytes + 10);
    sonde__dataset_free(context, dataset);
    assert_int_equal(sonde_context_memory_used(context), 0);
    assert_true(sonde_context_memory_peak(context) < 1 << 20);
    sonde_context_free(context);
}

static void bad_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *dictionary;
        sonde_status status;
        const char *words;
    } bad[] = {
        {"{'descr': '|O'" ROWS, SONDE_ERROR_UNSUPPORTED, "Python objects"},
        {"{'descr': '<U8'" ROWS, SONDE_ERROR_UNSUPPORTED, "'<U8'"},
        {"{'descr': '<f16'" ROWS, SONDE_ERROR_UNSUPPORTED, "'<f16'"},
        {"{'descr': '|V2'" ROWS, SONDE_ERROR_UNSUPPORTED, "'|V2'"},
        {"{'descr': '<M8[ns]'" ROWS, SONDE_ERROR_UNSUPPORTED, "'<M8[ns]'"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 1)}", SONDE_ERROR_UNSUPPORTED,
         "'<c8'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4)}", SONDE_ERROR_FORMAT, "comma"},
        {"{'descr': ''" ROWS, SONDE_ERROR_UNSUPPORTED, "''"},
        {"{'descr': [('a', '<f4')]" ROWS, SONDE_ERROR_UNSUPPORTED, "fields"},
        {"{'descr': __import__('os').system('id')" ROWS, SONDE_ERROR_FORMAT, "type of values"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 2)}", SONDE_ERROR_FORMAT, "True"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, -2)}", SONDE_ERROR_FORMAT, "size"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1+1, 2)}", SONDE_ERROR_FORMAT,
         "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 2)}", SONDE_ERROR_FORMAT, "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': [2, 2]}", SONDE_ERROR_FORMAT, "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2}", SONDE_ERROR_FORMAT, "shape"},
        {"{'descr': '<f4', 'fortran_order': False}", SONDE_ERROR_FORMAT, "shape"},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (2, 2)}", SONDE_ERROR_FORMAT, "new key"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), 'x': 1}", SONDE_ERROR_FORMAT,
         "key"},
        {"{'descr': '<f4'" ROWS " + {}", SONDE_ERROR_FORMAT, "end"},
        {"", SONDE_ERROR_FORMAT, "dictionary"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", SONDE_ERROR_TRUNCATED,
         "needs"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}", SONDE_ERROR_FORMAT, "follow"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
         SONDE_ERROR_TRUNCATED, "needs"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1)}",
         SONDE_ERROR_FORMAT, "size that fits"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
         SONDE_ERROR_UNSUPPORTED, "dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", SONDE_ERROR_SHAPE, "(n, d)"},
    };
    static const float values[4] = {1, 2, 3, 4};
    buffer y = two_labels();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buffer x = npy(bad[i].dictionary, values, sizeof values);
        expect_fault(&x, &y, bad[i].status, bad[i].words);
    }
}

static void every_cut_and_foreign_prefix_is_refused(void **state)
{
    (void)state;
    static const float values[4] = {1, 2, 3, 4};
    buffer x = npy("{'descr': '<f4'" ROWS, values, sizeof values), y = two_labels();
    size_t whole = x.size;
    for (x.size = 0; x.size < whole; x.size++)
        expect_fault(&x, &y, SONDE_ERROR_TRUNCATED, "x.npy");
    x.bytes[6] = 4;
    expect_fault(&x, &y, SONDE_ERROR_VERSION, "version 4.0");
    x.bytes[6] = 2; /* then the length takes four bytes, two of them from the text: a lie */
    expect_fault(&x, &y, SONDE_ERROR_TRUNCATED, "header should have");
    x.bytes[6] = 1;
    x.bytes[8] = x.bytes[9] = 0xff;
    expect_fault(&x, &y, SONDE_ERROR_TRUNCATED, "65535");
    x.bytes[0] = 'P';
    expect_fault(&x, &y, SONDE_ERROR_FORMAT, "not a .npy file");
}

static void version_2_and_3_headers_are_read(void **state)
{
    (void)state;
    static const char text[] = "{'descr': '|u1'" ROWS "\n";
    sonde_context *context = check_context();
    for (uint8_t version = 2; version <= 3; version++) {
        sonde__dataset *dataset = NULL;
        buffer x = {.size = 0}, y = two_labels();
        uint8_t prefix[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', version, 0, sizeof text - 1, 0, 0, 0};
        add(&x, prefix, 12);
        add(&x, text, sizeof text - 1);
        add(&x, "\1\2\3\4", 4);
        check_ok(context, parse(context, &x, &y, &dataset));
        assert_true(dataset->floats[3] == 4);
        sonde__dataset_free(context, dataset);
    }
    sonde_context_free(context);
}

static void values_and_labels_are_checked(void **state)
{
    (void)state;
    static const float nan_values[4] = {1, 2, NAN, 4}, values[4] = {1, 2, 3, 4};
    static const double large[4] = {1, 1e300, 3, 4};
    buffer good = npy("{'descr': '<f4'" ROWS, values, sizeof values), y = two_labels();
    buffer x = npy("{'descr': '<f4'" ROWS, nan_values, sizeof nan_values);
    expect_fault(&x, &y, SONDE_ERROR_RANGE, "value 0 of example 1");
    x = npy("{'descr': '<f8'" ROWS, large, sizeof large);
    expect_fault(&x, &y, SONDE_ERROR_RANGE, "value 1 of example 0");
    y = npy("{'descr': '|i1', 'fortran_order': False, 'shape': (2,)}", "\1\xff", 2);
    expect_fault(&good, &y, SONDE_ERROR_RANGE, "example 1 is -1");
    y = npy("{'descr': '<u8', 'fortran_order': False, 'shape': (2,)}",
            "\1\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16);
    expect_fault(&good, &y, SONDE_ERROR_RANGE, "example 1");
    y = npy("{'descr': '|i1', 'fortran_order': False, 'shape': (3,)}", "\1\1\1", 3);
    expect_fault(&good, &y, SONDE_ERROR_SHAPE, "3 labels for 2 examples");
    y = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", values, 8);
    expect_fault(&good, &y, SONDE_ERROR_UNSUPPORTED, "integers");
    y = npy("{'descr': '|i1', 'fortran_order': False, 'shape': (1, 2)}", "\1\1", 2);
    expect_fault(&good, &y, SONDE_ERROR_SHAPE, "one dimension");
}

static void files_are_found_below_the_folder(void **state)
{
    (void)state;
    static const float values[4] = {1, 2, 3, 4};
    sonde_context *context = check_context();
    sonde__dataset *train = NULL, *test = NULL;
    buffer x = npy("{'descr': '<f4'" ROWS, values, sizeof values), y = two_labels();
    folder_write("x.npy", x.bytes, x.size);
    folder_write("y.npy", y.bytes, y.size);
    sonde__data_request request;
    sonde__data_request_init(&request);
    request.name = "npy";
    request.folder = folder;
    request.train_features = request.test_features = "x.npy";
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_ARGUMENT);
    request.train_labels = request.test_labels = "y.npy";
    request.classes = 5;
    check_ok(context, sonde__data_load(context, &request, &train, &test));
    assert_int_equal(test->count, 2);
    assert_int_equal(train->classes, 5);
    assert_int_equal(test->classes, 5);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    request.train_labels = "none.npy";
    check_status(sonde__data_load(context, &request, &train, &test), SONDE_ERROR_NOT_FOUND);
    assert_non_null(strstr(sonde_context_error(context)->message, "none.npy"));
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static sonde_status parse_good(sonde_context *context, void *argument)
{
    (void)argument;
    static const float values[4] = {1, 2, 3, 4};
    buffer x = npy("{'descr': '<f4'" ROWS, values, sizeof values), y = two_labels();
    sonde__dataset *dataset = NULL;
    sonde_status status = parse(context, &x, &y, &dataset);
    sonde__dataset_free(context, dataset);
    return status;
}

static void refused_allocations_leak_nothing(void **state)
{
    (void)state;
    assert_int_equal(failing_run(parse_good, NULL), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read_in_both_byte_orders),
        cmocka_unit_test(columns_first_is_transposed),
        cmocka_unit_test(fortran_order_holds_for_images),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(every_cut_and_foreign_prefix_is_refused),
        cmocka_unit_test(version_2_and_3_headers_are_read),
        cmocka_unit_test(values_and_labels_are_checked),
        cmocka_unit_test(files_are_found_below_the_folder),
        cmocka_unit_test(refused_allocations_leak_nothing),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
