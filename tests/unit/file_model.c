/*
 * The model handle: what readers may claim, views of storages, slices, ties, scales, checksums. The
 * readers of formats have tests of their own; here a storage is bytes in memory and the tensors are
 * added by hand, so that every expected number is known without any reader.
 */
#include "failing.h"
#include "folder.h"

#include <zlib.h>

#include "file/model_state.h"

typedef struct fixture {
    sonde_context *context;
    sonde_model *model;
    int input;
} fixture;

static fixture open_bytes(const void *bytes, size_t size)
{
    fixture f = {.context = check_context()};
    sonde__input *input = NULL;
    check_ok(f.context, sonde__model_new(f.context, NULL, &f.model));
    check_ok(f.context, sonde__input_memory(f.context, "bytes", bytes, size, &input));
    check_ok(f.context, sonde__model_add_input(f.model, input, &f.input));
    return f;
}

static void close_fixture(fixture *f)
{
    sonde_model_close(f->model);
    assert_int_equal(sonde_context_memory_used(f->context), 0);
    sonde_context_free(f->context);
}

static size_t add_run(fixture *f, uint64_t offset, uint64_t bytes)
{
    size_t number = 0;
    const sonde__storage storage = {
        .input = f->input, .offset = offset, .packed = bytes, .bytes = bytes};
    check_ok(f->context, sonde__model_add_storage(f->model, &storage, &number));
    return number;
}

static sonde__stored dense(const char *name, sonde_number number, size_t storage, int dims,
                           const int64_t *shape)
{
    sonde__stored stored = {.name = name, .number = number, .dims = dims, .storage = storage};
    memcpy(stored.shape, shape, (size_t)dims * sizeof *shape);
    assert_true(sonde__dense_strides(dims, shape, stored.strides));
    return stored;
}

#define SHAPE(...) ((const int64_t[]){__VA_ARGS__})

/* 0, 1, 2, ... as floats: the value of an element is its place. */
static float *places(size_t n)
{
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)i;
    return values;
}

/* --- what readers claim -------------------------------------------------------------------------- */

static void names_are_plain_and_unique(void **state)
{
    (void)state;
    char longest[1026];
    memset(longest, 'n', sizeof longest);
    longest[1025] = '\0';
    static const float one = 1;
    fixture f = open_bytes(&one, sizeof one);
    const size_t run = add_run(&f, 0, 4);
    static const char *const bad[] = {"", "a\nb", "\x7f", "a\tb"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const sonde__stored stored = dense(bad[i], SONDE_NUMBER_F32, run, 1, SHAPE(1));
        check_status(sonde__model_add_tensor(f.model, &stored), SONDE_ERROR_FORMAT);
    }
    sonde__stored stored = dense(longest, SONDE_NUMBER_F32, run, 1, SHAPE(1));
    check_status(sonde__model_add_tensor(f.model, &stored), SONDE_ERROR_FORMAT);
    longest[1024] = '\0';
    check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
    check_status(sonde__model_add_tensor(f.model, &stored), SONDE_ERROR_FORMAT);
    assert_non_null(strstr(sonde_context_error(f.context)->message, "twice"));
    stored.name = "A";
    check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
    stored.name = "a";
    check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
    assert_int_equal(sonde_model_count(f.model), 3);
    close_fixture(&f);
}

static void storages_lie_inside_the_file(void **state)
{
    (void)state;
    static const uint8_t bytes[100];
    fixture f = open_bytes(bytes, sizeof bytes);
    size_t number = 0;
    const struct {
        sonde__storage storage;
        sonde_status status;
    } cases[] = {
        {{.offset = 0, .packed = 101, .bytes = 101}, SONDE_ERROR_TRUNCATED},
        {{.offset = 100, .packed = 1, .bytes = 1}, SONDE_ERROR_TRUNCATED},
        {{.offset = UINT64_MAX, .packed = 2, .bytes = 2}, SONDE_ERROR_TRUNCATED},
        {{.offset = 2, .packed = UINT64_MAX, .bytes = UINT64_MAX}, SONDE_ERROR_TRUNCATED},
        {{.offset = 0, .packed = 10, .bytes = 11}, SONDE_ERROR_FORMAT},
        {{.offset = 0, .packed = 10, .bytes = 10, .skip = 11}, SONDE_ERROR_FORMAT},
        {{.offset = 0, .packed = 10, .bytes = 1000, .deflated = true}, SONDE_OK},
        {{.offset = 100, .packed = 0, .bytes = 0}, SONDE_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_status(sonde__model_add_storage(f.model, &cases[i].storage, &number),
                     cases[i].status);
    close_fixture(&f);
}

static void views_that_leave_their_storage_are_refused(void **state)
{
    (void)state;
    static const uint8_t bytes[100];
    fixture f = open_bytes(bytes, sizeof bytes);
    const size_t run = add_run(&f, 4, 40); /* 10 floats */
    const struct {
        sonde__stored stored;
        sonde_status status;
    } cases[] = {
        {{.dims = 1, .shape = {10}, .strides = {1}}, SONDE_OK},
        {{.dims = 1, .shape = {11}, .strides = {1}}, SONDE_ERROR_FORMAT},
        {{.dims = 1, .shape = {10}, .strides = {1}, .first = 1}, SONDE_ERROR_FORMAT},
        {{.dims = 1, .shape = {1}, .strides = {1}, .first = UINT64_MAX}, SONDE_ERROR_FORMAT},
        {{.dims = 2, .shape = {2, 4}, .strides = {6, 1}}, SONDE_OK},
        {{.dims = 2, .shape = {2, 4}, .strides = {7, 1}}, SONDE_ERROR_FORMAT},
        {{.dims = 2, .shape = {3, 2}, .strides = {INT64_MAX, 1}}, SONDE_ERROR_FORMAT},
        {{.dims = 2, .shape = {5, 2}, .strides = {1, -1}, .first = 1}, SONDE_ERROR_FORMAT},
        {{.dims = 2, .shape = {1000, 10}, .strides = {0, 1}}, SONDE_OK},
        {{.dims = 1, .shape = {-1}, .strides = {1}}, SONDE_ERROR_FORMAT},
        {{.dims = 9}, SONDE_ERROR_UNSUPPORTED},
        {{.dims = -1}, SONDE_ERROR_UNSUPPORTED},
        {{.dims = 2, .shape = {(int64_t)1 << 32, (int64_t)1 << 32}}, SONDE_ERROR_OVERFLOW},
        {{.dims = 3, .shape = {0, INT64_MAX, 2}}, SONDE_ERROR_OVERFLOW},
        {{.dims = 1, .shape = {INT64_MAX}, .strides = {1}}, SONDE_ERROR_OVERFLOW},
        {{.dims = 2, .shape = {0, 5}, .strides = {5, 1}, .first = 10}, SONDE_OK},
        {{.dims = 2, .shape = {0, 5}, .strides = {5, 1}, .first = 11}, SONDE_ERROR_FORMAT},
        {{.dims = 0, .first = 9}, SONDE_OK},
        {{.dims = 0, .first = 10}, SONDE_ERROR_FORMAT},
        {{.dims = 1, .shape = {32}, .number = SONDE_NUMBER_Q8_0}, SONDE_OK},
        {{.dims = 1, .shape = {64}, .number = SONDE_NUMBER_Q8_0}, SONDE_ERROR_FORMAT},
        {{.dims = 1, .shape = {31}, .number = SONDE_NUMBER_Q8_0}, SONDE_ERROR_FORMAT},
        {{.dims = 1, .shape = {32}, .number = SONDE_NUMBER_Q8_0, .first = 1}, SONDE_ERROR_FORMAT},
        {{.dims = 1, .shape = {1}, .number = (sonde_number)19}, SONDE_ERROR_UNSUPPORTED},
        {{.dims = 1, .shape = {1}, .number = (sonde_number)-1}, SONDE_ERROR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[32];
        sonde__stored stored = cases[i].stored;
        snprintf(name, sizeof name, "case %zu", i);
        stored.name = name;
        stored.storage = run;
        stored.number = stored.number ? stored.number : SONDE_NUMBER_F32;
        const sonde_status status = sonde__model_add_tensor(f.model, &stored);
        if (status != cases[i].status)
            fail_msg("%s: %s, not %s", name, sonde_status_name(status),
                     sonde_status_name(cases[i].status));
        if (status != SONDE_OK)
            assert_string_equal(sonde_context_error(f.context)->item, name);
    }
    close_fixture(&f);
}

static void descriptions_are_those_of_the_views(void **state)
{
    (void)state;
    float *values = places(64);
    fixture f = open_bytes(values, 64 * sizeof *values);
    const size_t run = add_run(&f, 16, 240);
    sonde__stored a = dense("a", SONDE_NUMBER_F32, run, 2, SHAPE(3, 4));
    a.first = 2;
    sonde__stored b = dense("b", SONDE_NUMBER_F32, run, 2, SHAPE(4, 3));
    b.strides[0] = 1, b.strides[1] = 4;
    sonde__stored c = dense("c", SONDE_NUMBER_C64, run, 1, SHAPE(2));
    check_ok(f.context, sonde__model_add_tensor(f.model, &a));
    check_ok(f.context, sonde__model_add_tensor(f.model, &b));
    check_ok(f.context, sonde__model_add_tensor(f.model, &c));
    check_ok(f.context, sonde__model_finish(f.model));
    sonde_tensor tensor;
    check_ok(f.context, sonde_model_tensor(f.model, 0, &tensor));
    assert_string_equal(tensor.name, "a");
    assert_string_equal(tensor.file, "bytes");
    assert_int_equal(tensor.offset, 16 + 8);
    assert_int_equal(tensor.elements, 12);
    assert_int_equal(tensor.bytes, 48);
    assert_int_equal(tensor.shape[1], 4);
    assert_true(tensor.contiguous && tensor.readable && !tensor.tied_to && !tensor.scale);
    check_ok(f.context, sonde_model_tensor(f.model, 1, &tensor));
    assert_false(tensor.contiguous);
    check_ok(f.context, sonde_model_tensor(f.model, 2, &tensor));
    assert_false(tensor.readable);
    check_status(sonde_model_tensor(f.model, 3, &tensor), SONDE_ERROR_RANGE);
    size_t index = 9;
    check_ok(f.context, sonde_model_find(f.model, "c", &index));
    assert_int_equal(index, 2);
    check_status(sonde_model_find(f.model, "d", &index), SONDE_ERROR_NOT_FOUND);
    assert_int_equal(index, 2);
    double number = 7;
    check_status(sonde_model_read(f.model, 2, 0, 1, SONDE_F64, &number), SONDE_ERROR_UNSUPPORTED);
    assert_string_equal(sonde_context_error(f.context)->item, "c");
    check_status(sonde_model_read(f.model, 3, 0, 1, SONDE_F64, &number), SONDE_ERROR_RANGE);
    check_status(sonde_model_read(f.model, 0, 12, 1, SONDE_F64, &number), SONDE_ERROR_RANGE);
    check_status(sonde_model_read(f.model, 0, UINT64_MAX, 1, SONDE_F64, &number),
                 SONDE_ERROR_RANGE);
    check_status(sonde_model_read(f.model, 0, 1, UINT64_MAX, SONDE_F64, &number),
                 SONDE_ERROR_RANGE);
    check_status(sonde_model_read(f.model, 0, 0, 1, SONDE_BF16, &number), SONDE_ERROR_ARGUMENT);
    check_status(sonde_model_read(f.model, 0, 0, 1, SONDE_F64, NULL), SONDE_ERROR_ARGUMENT);
    check_ok(f.context, sonde_model_read(f.model, 0, 12, 0, SONDE_F64, NULL));
    close_fixture(&f);
    free(values);
}

static void metadata_and_warnings_are_kept(void **state)
{
    (void)state;
    fixture f = open_bytes("", 0);
    const char *key = NULL, *value = NULL;
    char large[40000];
    memset(large, 'v', sizeof large);
    large[sizeof large - 1] = '\0';
    check_ok(f.context, sonde__model_add_metadata(f.model, "one", "1"));
    check_ok(f.context, sonde__model_add_metadata(f.model, "two", large));
    check_ok(f.context, sonde__model_warn(f.model, "odd: %s %d", "a\x1b[2Jb", 3));
    check_ok(f.context, sonde_model_metadata(f.model, 1, &key, &value));
    assert_string_equal(key, "two");
    assert_string_equal(value, large);
    check_status(sonde_model_metadata(f.model, 2, &key, &value), SONDE_ERROR_RANGE);
    assert_string_equal(sonde_model_warning(f.model, 0), "odd: a?[2Jb 3");
    assert_null(sonde_model_warning(f.model, 1));
    for (int i = 0; i < 1000; i++)
        check_ok(f.context, sonde__model_warn(f.model, "again"));
    sonde_model_info info;
    sonde_model_describe(f.model, &info);
    assert_true(info.warnings >= 10 && info.warnings <= 100);
    assert_int_equal(info.metadata, 2);
    close_fixture(&f);
}

static void a_hundred_thousand_tensors_are_small_and_found(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    static float values[COUNT];
    fixture f = open_bytes(values, sizeof values);
    char name[80];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "model.layers.%zu.mlp.experts.%zu.down_proj.weight", i / 100,
                 i % 100);
        sonde__stored stored = dense(name, SONDE_NUMBER_F32, add_run(&f, 4 * i, 4), 2, SHAPE(1, 1));
        check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
    }
    check_ok(f.context, sonde__model_finish(f.model));
    assert_true(sonde_context_memory_used(f.context) < 30 << 20);
    for (size_t i = 0; i < COUNT; i += 997) {
        size_t index = 0;
        snprintf(name, sizeof name, "model.layers.%zu.mlp.experts.%zu.down_proj.weight", i / 100,
                 i % 100);
        check_ok(f.context, sonde_model_find(f.model, name, &index));
        assert_int_equal(index, i);
    }
    close_fixture(&f);
}

/* --- views ----------------------------------------------------------------------------------------- */

/* Every slice of a view against a plain walk over its indexes. */
static void check_view(fixture *f, size_t index, const sonde__stored *stored, size_t step)
{
    sonde_tensor tensor;
    check_ok(f->context, sonde_model_tensor(f->model, index, &tensor));
    const size_t n = (size_t)tensor.elements;
    float *expected = malloc((n + 1) * sizeof *expected), *got = malloc((n + 1) * sizeof *got);
    double *wide = malloc((n + 1) * sizeof *wide);
    for (size_t i = 0; i < n; i++) {
        size_t left = i, place = (size_t)stored->first;
        for (int d = stored->dims - 1; d >= 0; d--) {
            place += left % (size_t)stored->shape[d] * (size_t)stored->strides[d];
            left /= (size_t)stored->shape[d];
        }
        expected[i] = (float)place;
    }
    for (size_t first = 0; first <= n; first += step)
        for (size_t count = 0; count <= n - first; count += step) {
            got[count] = -1;
            check_ok(f->context, sonde_model_read(f->model, index, first, count, SONDE_F32, got));
            check_ok(f->context, sonde_model_read(f->model, index, first, count, SONDE_F64, wide));
            assert_true(got[count] == -1); /* not a float too many */
            for (size_t i = 0; i < count; i++)
                if (got[i] != expected[first + i] || wide[i] != (double)expected[first + i])
                    fail_msg("%s [%zu, +%zu): element %zu is %g, not %g", tensor.name, first, count,
                             i, (double)got[i], (double)expected[first + i]);
        }
    free(expected), free(got), free(wide);
}

static void every_slice_of_every_view_is_what_its_strides_say(void **state)
{
    (void)state;
    enum { N = 500 };
    float *values = places(N);
    fixture f = open_bytes(values, N * sizeof *values);
    const size_t run = add_run(&f, 0, N * sizeof *values);
    static const sonde__stored views[] = {
        {.dims = 1, .shape = {7}, .strides = {1}, .first = 3},
        {.dims = 1, .shape = {7}, .strides = {13}, .first = 3},
        {.dims = 1, .shape = {7}, .strides = {0}, .first = 3},
        {.dims = 2, .shape = {5, 7}, .strides = {7, 1}},
        {.dims = 2, .shape = {5, 7}, .strides = {1, 5}},
        {.dims = 2, .shape = {5, 7}, .strides = {20, 2}, .first = 11},
        {.dims = 2, .shape = {5, 7}, .strides = {1, 1}},
        {.dims = 2, .shape = {5, 7}, .strides = {0, 1}},
        {.dims = 2, .shape = {5, 7}, .strides = {1, 0}},
        {.dims = 3, .shape = {3, 4, 5}, .strides = {1, 15, 3}},
        {.dims = 3, .shape = {3, 4, 5}, .strides = {4, 1, 12}},
        {.dims = 3, .shape = {3, 1, 5}, .strides = {100, 999, 2}, .first = 1},
        {.dims = 4, .shape = {2, 3, 2, 4}, .strides = {1, 2, 6, 12}},
        {.dims = 4, .shape = {2, 3, 2, 4}, .strides = {24, 0, 12, 3}},
        {.dims = 5, .shape = {2, 1, 3, 1, 2}, .strides = {6, 6, 1, 77, 3}},
        {.dims = 8, .shape = {2, 1, 2, 1, 2, 1, 2, 2}, .strides = {1, 1, 2, 1, 4, 1, 8, 16}},
        {.dims = 0, .first = 42},
        {.dims = 2, .shape = {0, 7}, .strides = {7, 1}},
    };
    char name[32];
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        sonde__stored stored = views[i];
        snprintf(name, sizeof name, "view %zu", i);
        stored.name = name;
        stored.number = SONDE_NUMBER_F32;
        stored.storage = run;
        check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
        check_view(&f, i, &stored, 1);
    }
    close_fixture(&f);
    free(values);
}

/* Larger than the window, so that it moves. */
static void large_transposed_and_sliced_matrices_are_gathered(void **state)
{
    (void)state;
    enum { ROWS = 700, COLS = 900, N = ROWS * COLS };
    float *values = places(N);
    fixture f = open_bytes(values, N * sizeof *values);
    const size_t run = add_run(&f, 0, N * sizeof *values);
    const sonde__stored views[] = {
        {.dims = 2, .shape = {COLS, ROWS}, .strides = {1, COLS}},
        {.dims = 2, .shape = {ROWS, 10}, .strides = {COLS, 1}, .first = 17},
        {.dims = 2, .shape = {10, ROWS}, .strides = {3, COLS}, .first = 17},
        {.dims = 2, .shape = {2, 3}, .strides = {300 * COLS, 40000}, .first = 17},
        {.dims = 3, .shape = {30, 30, ROWS}, .strides = {1, 30, COLS}},
        {.dims = 2, .shape = {600, 600}, .strides = {1, 1}},
    };
    char name[32];
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        sonde__stored stored = views[i];
        snprintf(name, sizeof name, "view %zu", i);
        stored.name = name;
        stored.number = SONDE_NUMBER_F32;
        stored.storage = run;
        check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
        size_t n = 1;
        for (int d = 0; d < stored.dims; d++)
            n *= (size_t)stored.shape[d];
        check_view(&f, i, &stored, n / 3 + 1);
    }
    close_fixture(&f);
    free(values);
}

static void big_endian_numbers_are_turned_round(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0, 0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0, 0x12, 0x34, 0, 0};
    fixture f = open_bytes(bytes, sizeof bytes);
    sonde__storage storage = {.offset = 1, .packed = 12, .bytes = 12, .big_endian = true};
    size_t run = 0;
    check_ok(f.context, sonde__model_add_storage(f.model, &storage, &run));
    const sonde__stored a = dense("a", SONDE_NUMBER_F32, run, 1, SHAPE(2));
    sonde__stored b = dense("b", SONDE_NUMBER_U16, run, 1, SHAPE(1));
    b.first = 4;
    sonde__stored c = dense("c", SONDE_NUMBER_F32, run, 2, SHAPE(2, 2));
    c.strides[0] = 1, c.strides[1] = 0;
    check_ok(f.context, sonde__model_add_tensor(f.model, &a));
    check_ok(f.context, sonde__model_add_tensor(f.model, &b));
    check_ok(f.context, sonde__model_add_tensor(f.model, &c));
    float values[4];
    check_ok(f.context, sonde_model_read(f.model, 0, 0, 2, SONDE_F32, values));
    assert_true(values[0] == 1.0f && values[1] == -2.5f);
    check_ok(f.context, sonde_model_read(f.model, 1, 0, 1, SONDE_F32, values));
    assert_true(values[0] == 0x1234);
    check_ok(f.context, sonde_model_read(f.model, 2, 0, 4, SONDE_F32, values));
    assert_true(values[0] == 1.0f && values[1] == 1.0f && values[3] == -2.5f);
    uint8_t stored[8];
    check_ok(f.context, sonde__model_read_stored(f.model, 0, 0, 2, stored));
    assert_memory_equal(stored, "\x00\x00\x80\x3f\x00\x00\x20\xc0", 8);
    close_fixture(&f);
}

/* Q8_0: a half-precision scale and 32 signed bytes. */
static void slices_of_blocks_may_begin_and_end_anywhere(void **state)
{
    (void)state;
    enum { BLOCKS = 200, N = 32 * BLOCKS };
    static uint8_t bytes[3 + 34 * BLOCKS];
    static double got[N];
    static float narrow[N];
    for (int b = 0; b < BLOCKS; b++) {
        uint8_t *block = bytes + 3 + 34 * b;
        block[0] = 0, block[1] = b % 2 ? 0x3c : 0x40; /* 1 and 2 */
        for (int i = 0; i < 32; i++)
            block[2 + i] = (uint8_t)(int8_t)((b + i) % 100 - 50);
    }
    fixture f = open_bytes(bytes, sizeof bytes);
    const sonde__stored stored =
        dense("q", SONDE_NUMBER_Q8_0, add_run(&f, 3, 34 * BLOCKS), 2, SHAPE(2, N / 2));
    check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
    for (size_t first = 0; first < N; first += 611)
        for (size_t count = 0; count <= N - first; count += 401) {
            check_ok(f.context, sonde_model_read(f.model, 0, first, count, SONDE_F64, got));
            check_ok(f.context, sonde_model_read(f.model, 0, first, count, SONDE_F32, narrow));
            for (size_t i = 0; i < count; i++) {
                const int at = (int)(first + i), b = at / 32;
                const double expected = (b % 2 ? 1 : 2) * ((b + at % 32) % 100 - 50);
                if (got[i] != expected || (double)narrow[i] != expected)
                    fail_msg("element %d is %g, not %g", at, got[i], expected);
            }
        }
    close_fixture(&f);
}

/* --- deflated storages and checksums ----------------------------------------------------------- */

static size_t deflate_raw(const void *bytes, size_t size, uint8_t *to, size_t room)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (z_const Bytef *)bytes;
    stream.avail_in = (uInt)size;
    stream.next_out = to;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return room - stream.avail_out;
}

static void deflated_storages_are_read_forwards_and_backwards(void **state)
{
    (void)state;
    enum { N = 100000 };
    float *values = places(N + 5);
    static uint8_t packed[N * 4 + 1000];
    const size_t size = deflate_raw(values, (N + 5) * sizeof *values, packed, sizeof packed);
    fixture f = open_bytes(packed, size);
    const sonde__storage storage = {.packed = size,
                                    .bytes = (N + 5) * 4,
                                    .skip = 20,
                                    .deflated = true,
                                    .has_crc = true,
                                    .crc = (uint32_t)crc32(0, (const Bytef *)values, (N + 5) * 4)};
    size_t run = 0;
    check_ok(f.context, sonde__model_add_storage(f.model, &storage, &run));
    const sonde__stored stored = dense("d", SONDE_NUMBER_F32, run, 1, SHAPE(N));
    check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
    sonde_tensor tensor;
    check_ok(f.context, sonde_model_tensor(f.model, 0, &tensor));
    assert_int_equal(tensor.offset, -1);
    static const size_t firsts[] = {0, 1000, 90000, 50000, 50000, 0, N - 3};
    float got[3000];
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        const size_t count = firsts[i] == N - 3 ? 3 : 3000;
        check_ok(f.context, sonde_model_read(f.model, 0, firsts[i], count, SONDE_F32, got));
        for (size_t j = 0; j < count; j++)
            assert_true(got[j] == (float)(firsts[i] + j + 5));
    }
    close_fixture(&f);
    free(values);
}

/* Otherwise each step back is a pass over the storage: a file of a megabyte takes hours. */
static void deflated_storages_that_are_read_backwards_again_and_again_are_kept_in_memory(
    void **state)
{
    (void)state;
    enum { N = 200000 };
    float *values = places(N), got[10];
    static uint8_t packed[N * 4 + 1000];
    const size_t size = deflate_raw(values, N * sizeof *values, packed, sizeof packed);
    fixture f = open_bytes(packed, size);
    const sonde__storage storage = {.packed = size, .bytes = N * 4, .deflated = true};
    for (size_t i = 0; i < 2; i++) {
        size_t run = 0;
        check_ok(f.context, sonde__model_add_storage(f.model, &storage, &run));
        const sonde__stored stored = dense(i ? "b" : "a", SONDE_NUMBER_F32, run, 1, SHAPE(N));
        check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
    }
    for (size_t first = 0; first < N; first += 10)
        check_ok(f.context, sonde_model_read(f.model, 0, first, 10, SONDE_F32, got));
    assert_true(sonde_context_memory_used(f.context) < N * 4); /* forwards it is a stream */
    for (size_t i = 0; i < 20000; i++) {
        const size_t first = N - 10 * (i + 1);
        check_ok(f.context, sonde_model_read(f.model, i % 2, first, 10, SONDE_F32, got));
        for (size_t j = 0; j < 10; j++)
            assert_true(got[j] == (float)(first + j));
    }
    assert_in_range(sonde_context_memory_used(f.context), 2 * N * 4, 3 * N * 4);
    close_fixture(&f);
    free(values);
}

static void views_of_deflated_storages_are_what_their_strides_say(void **state)
{
    (void)state;
    enum { ROWS = 80, COLS = 500, N = ROWS * COLS };
    float *values = places(N);
    static uint8_t packed[N * 4];
    const size_t size = deflate_raw(values, N * sizeof *values, packed, sizeof packed);
    fixture f = open_bytes(packed, size);
    const sonde__storage storage = {.packed = size, .bytes = N * 4, .deflated = true};
    size_t run = 0;
    check_ok(f.context, sonde__model_add_storage(f.model, &storage, &run));
    const sonde__stored views[] = {
        {.dims = 2, .shape = {COLS, ROWS}, .strides = {1, COLS}},
        {.dims = 2, .shape = {ROWS, COLS}, .strides = {0, 1}},
        {.dims = 2, .shape = {COLS, ROWS}, .strides = {1, 0}},
        {.dims = 2, .shape = {ROWS, 7}, .strides = {COLS, 60}, .first = 3},
    };
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        char name[32];
        sonde__stored stored = views[i];
        snprintf(name, sizeof name, "view %zu", i);
        stored.name = name;
        stored.number = SONDE_NUMBER_F32;
        stored.storage = run;
        check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
        check_view(&f, i, &stored, (size_t)(stored.shape[0] * stored.shape[1]) / 3);
    }
    close_fixture(&f);
    free(values);
}

static void deflated_storages_that_lie_are_refused(void **state)
{
    (void)state;
    enum { N = 5000 };
    float *values = places(N), got[N + 1];
    static uint8_t packed[N * 8];
    const size_t size = deflate_raw(values, N * sizeof *values, packed, sizeof packed);
    const uint32_t crc = (uint32_t)crc32(0, (const Bytef *)values, N * 4);
    const struct {
        uint64_t packed, bytes;
        uint32_t crc;
        sonde_status status;
    } cases[] = {
        {size, N * 4, crc, SONDE_OK},
        {size - 10, N * 4, crc, SONDE_ERROR_TRUNCATED},
        {size, N * 4 + 4, crc, SONDE_ERROR_CORRUPT},
        {size, N * 4 - 4, crc, SONDE_ERROR_CORRUPT},
        {size, N * 4, crc ^ 1, SONDE_ERROR_CORRUPT},
        {size + 5, N * 4, crc, SONDE_ERROR_CORRUPT}, /* bytes that nobody unpacks */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f = open_bytes(packed, size + 5);
        const sonde__storage storage = {.packed = cases[i].packed,
                                        .bytes = cases[i].bytes,
                                        .deflated = true,
                                        .has_crc = true,
                                        .crc = cases[i].crc,
                                        .entry = "archive/data/0"};
        const int64_t n = (int64_t)cases[i].bytes / 4;
        size_t run = 0;
        check_ok(f.context, sonde__model_add_storage(f.model, &storage, &run));
        const sonde__stored stored = dense("d", SONDE_NUMBER_F32, run, 1, &n);
        check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
        check_status(sonde_model_read(f.model, 0, 0, (uint64_t)n, SONDE_F32, got), cases[i].status);
        if (cases[i].status != SONDE_OK)
            assert_string_equal(sonde_context_error(f.context)->item, "archive/data/0");
        close_fixture(&f);
    }
    packed[size / 2] ^= 0xff;
    fixture f = open_bytes(packed, size);
    const sonde__storage storage = {.packed = size, .bytes = N * 4, .deflated = true};
    size_t run = 0;
    check_ok(f.context, sonde__model_add_storage(f.model, &storage, &run));
    const sonde__stored stored = dense("d", SONDE_NUMBER_F32, run, 1, SHAPE(N));
    check_ok(f.context, sonde__model_add_tensor(f.model, &stored));
    const sonde_status status = sonde_model_read(f.model, 0, 0, N, SONDE_F32, got);
    assert_true(status == SONDE_ERROR_CORRUPT || status == SONDE_ERROR_TRUNCATED ||
                memcmp(got, values, N * 4) != 0); /* without a checksum some damage is not seen */
    close_fixture(&f);
    free(values);
}

static void a_wrong_checksum_is_found_at_the_first_read_where_asked(void **state)
{
    (void)state;
    static const float values[4] = {1, 2, 3, 4};
    for (int verify = 0; verify < 2; verify++) {
        sonde_context *context = check_context();
        sonde_model_options options;
        sonde_model_options_init(&options);
        assert_true(options.verify);
        options.verify = verify;
        sonde_model *model = NULL;
        sonde__input *input = NULL;
        int number = 0;
        size_t run = 0;
        float got[2];
        check_ok(context, sonde__model_new(context, &options, &model));
        check_ok(context, sonde__input_memory(context, "bytes", values, sizeof values, &input));
        check_ok(context, sonde__model_add_input(model, input, &number));
        const sonde__storage storage = {.packed = 16, .bytes = 16, .has_crc = true, .crc = 1};
        check_ok(context, sonde__model_add_storage(model, &storage, &run));
        const sonde__stored stored = dense("w", SONDE_NUMBER_F32, run, 1, SHAPE(4));
        check_ok(context, sonde__model_add_tensor(model, &stored));
        check_status(sonde_model_read(model, 0, 1, 2, SONDE_F32, got),
                     verify ? SONDE_ERROR_CORRUPT : SONDE_OK);
        if (verify)
            assert_string_equal(sonde_context_error(context)->item, "w");
        sonde_model_close(model);
        sonde_context_free(context);
    }
    sonde_context *context = check_context();
    sonde_model_options options = {.size = 3};
    sonde_model *model = NULL;
    check_status(sonde__model_new(context, &options, &model), SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

/* --- ties --------------------------------------------------------------------------------------------- */

static void the_same_view_twice_is_tied_and_others_are_not(void **state)
{
    (void)state;
    float *values = places(40);
    fixture f = open_bytes(values, 160);
    const size_t run = add_run(&f, 0, 80), other = add_run(&f, 80, 80);
    sonde__stored views[8];
    for (size_t i = 0; i < 8; i++)
        views[i] = dense("x", SONDE_NUMBER_F32, run, 2, SHAPE(4, 4));
    views[1].storage = other;
    views[2].first = 1;
    views[3].strides[0] = 1, views[3].strides[1] = 4;
    views[4] = dense("x", SONDE_NUMBER_F32, run, 2, SHAPE(2, 8));
    views[5].number = SONDE_NUMBER_I32;
    views[7] = views[3];
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    static const char *const ties[] = {NULL, NULL, NULL, NULL, NULL, NULL, "a", "d"};
    for (size_t i = 0; i < 8; i++) {
        views[i].name = names[i];
        check_ok(f.context, sonde__model_add_tensor(f.model, &views[i]));
    }
    for (size_t i = 0; i < 2; i++) { /* nothing is not the same as nothing */
        sonde__stored empty = dense(i ? "none" : "nothing", SONDE_NUMBER_F32, run, 1, SHAPE(0));
        check_ok(f.context, sonde__model_add_tensor(f.model, &empty));
    }
    check_ok(f.context, sonde__model_finish(f.model));
    for (size_t i = 0; i < 10; i++) {
        sonde_tensor tensor;
        check_ok(f.context, sonde_model_tensor(f.model, i, &tensor));
        if (i < 8 && ties[i])
            assert_string_equal(tensor.tied_to, ties[i]);
        else
            assert_null(tensor.tied_to);
    }
    sonde_model_info info;
    sonde_model_describe(f.model, &info);
    assert_int_equal(info.tied, 2);
    assert_int_equal(info.elements, 6 * 16);
    assert_int_equal(info.file_bytes, 160);
    close_fixture(&f);
    free(values);
}

/* --- scales --------------------------------------------------------------------------------------------- */

enum { E4M3_ONE = 0x38 };

typedef struct scaled {
    const char *weight, *scale;
    int dims, scale_dims;
    int64_t shape[4], scale_shape[4], block[4]; /* block 0: refused */
} scaled;

/* f8 numbers that are all 1, scales that are 1, 2, 3, ...: what is read is the number of the scale. */
static void check_scaled(const scaled *it)
{
    enum { MOST = 4000 };
    static uint8_t bytes[MOST * 5];
    static double got[MOST], again[MOST];
    size_t n = 1, scales = 1;
    for (int d = 0; d < it->dims; d++)
        n *= (size_t)it->shape[d];
    for (int d = 0; d < it->scale_dims; d++)
        scales *= (size_t)it->scale_shape[d];
    assert_true(n <= MOST && scales <= MOST);
    memset(bytes, E4M3_ONE, n);
    for (size_t i = 0; i < scales; i++) {
        const float value = (float)(i + 1);
        memcpy(bytes + n + 4 * i, &value, 4);
    }
    fixture f = open_bytes(bytes, n + 4 * scales);
    const sonde__stored w =
        dense(it->weight, SONDE_NUMBER_F8_E4M3, add_run(&f, 0, n), it->dims, it->shape);
    const sonde__stored s = dense(it->scale, SONDE_NUMBER_F32, add_run(&f, n, 4 * scales),
                                  it->scale_dims, it->scale_shape);
    check_ok(f.context, sonde__model_add_tensor(f.model, &s));
    check_ok(f.context, sonde__model_add_tensor(f.model, &w));
    check_ok(f.context, sonde__model_finish(f.model));
    sonde_tensor tensor;
    check_ok(f.context, sonde_model_tensor(f.model, 1, &tensor));
    const bool fits = it->dims == 0 || it->block[0] > 0;
    if (tensor.readable != fits)
        fail_msg("%s with %s: readable %d", it->weight, it->scale, tensor.readable);
    if (!fits) {
        check_status(sonde_model_read(f.model, 1, 0, 1, SONDE_F64, got), SONDE_ERROR_UNSUPPORTED);
        close_fixture(&f);
        return;
    }
    assert_string_equal(tensor.scale, it->scale);
    check_ok(f.context, sonde_model_read(f.model, 1, 0, n, SONDE_F64, got));
    for (size_t i = 0; i < n; i++) {
        size_t left = i, index = 0, step = 1;
        for (int d = it->dims - 1; d >= 0; d--) {
            const size_t blocks =
                ((size_t)it->shape[d] + (size_t)it->block[d] - 1) / (size_t)it->block[d];
            index += left % (size_t)it->shape[d] / (size_t)it->block[d] * step;
            left /= (size_t)it->shape[d];
            step *= blocks;
        }
        if (got[i] != (double)(index + 1))
            fail_msg("%s with %s: element %zu is scaled by %g, not %zu", it->weight, it->scale, i,
                     got[i], index + 1);
    }
    for (size_t first = 0; first < n; first += n / 7 + 1) {
        const size_t count = n - first < 100 ? n - first : 100;
        check_ok(f.context, sonde_model_read(f.model, 1, first, count, SONDE_F64, again));
        assert_memory_equal(again, got + first, count * sizeof *got);
    }
    close_fixture(&f);
}

static void f8_is_scaled_by_its_sibling_or_refused(void **state)
{
    (void)state;
    static const scaled cases[] = {
        {"w", "w_scale", 2, 0, {5, 7}, {0}, {5, 7}},
        {"w", "w_scale", 2, 1, {5, 7}, {1}, {5, 7}},
        {"w", "w_scale", 0, 0, {0}, {0}, {0}},
        {"w", "w_scale_inv", 2, 1, {5, 7}, {5}, {1, 7}},
        {"w", "w.scale", 2, 2, {5, 7}, {5, 1}, {1, 7}},
        {"w", "w.weight_scale", 2, 2, {5, 7}, {1, 7}, {5, 1}},
        {"w", "w.weight_scale_inv", 2, 2, {5, 7}, {5, 7}, {1, 1}},
        {"x.weight", "x.weight_scale", 2, 0, {5, 7}, {0}, {5, 7}},
        {"x.weight", "x.scale_weight", 2, 0, {5, 7}, {0}, {5, 7}},
        {"x.weight", "x.scale", 2, 1, {5, 7}, {5}, {1, 7}},
        /* blocks of 16 x 8, the last ones cut off: 33 = 16 + 16 + 1, 20 = 8 + 8 + 4 */
        {"w", "w_scale_inv", 2, 2, {33, 20}, {3, 3}, {16, 8}},
        /* 36 in 5: blocks of 8, not of ceil(36 / 5) = 8; 9 in 2: blocks of 8, not of 5 */
        {"w", "w_scale_inv", 2, 2, {36, 9}, {5, 2}, {8, 8}},
        /* 30 in 5: 6 each divides, and 8 is no way to have 5 */
        {"w", "w_scale_inv", 2, 2, {30, 8}, {5, 2}, {6, 4}},
        {"w", "w_scale", 3, 3, {3, 8, 8}, {3, 2, 2}, {1, 4, 4}},
        {"w", "w_scale", 3, 1, {3, 8, 8}, {3}, {1, 8, 8}},
        {"w", "w_scale", 1, 1, {64}, {2}, {32}},
        {"w", "w_scale", 2, 1, {5, 7}, {7}, {0}},
        {"w", "w_scale", 2, 1, {6, 7}, {3}, {0}},
        {"w", "w_scale", 2, 2, {7, 5}, {8, 5}, {0}},
        {"w", "w_scale", 2, 2, {11, 5}, {7, 5}, {0}},
        {"w", "w_scale", 2, 3, {5, 7}, {5, 7, 1}, {0}},
        {"w", "w_scale", 2, 1, {5, 7}, {0}, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_scaled(&cases[i]);
}

static void scales_that_cannot_be_meant_are_refused(void **state)
{
    (void)state;
    static uint8_t bytes[64];
    memset(bytes, E4M3_ONE, sizeof bytes);
    fixture f = open_bytes(bytes, sizeof bytes);
    const size_t run = add_run(&f, 0, sizeof bytes);
    sonde__stored all[] = {
        dense("two", SONDE_NUMBER_F8_E4M3, run, 1, SHAPE(4)),
        dense("two_scale", SONDE_NUMBER_F32, run, 0, SHAPE(0)),
        dense("two_scale_inv", SONDE_NUMBER_F32, run, 0, SHAPE(0)),
        dense("integer", SONDE_NUMBER_F8_E5M2, run, 1, SHAPE(4)),
        dense("integer_scale", SONDE_NUMBER_I32, run, 0, SHAPE(0)),
        dense("plain", SONDE_NUMBER_F8_E4M3, run, 1, SHAPE(4)),
        dense("power", SONDE_NUMBER_F8_E4M3, run, 1, SHAPE(4)),
        dense("power_scale", SONDE_NUMBER_F8_E8M0, run, 1, SHAPE(1)),
        dense("byte", SONDE_NUMBER_I8, run, 1, SHAPE(4)),
        dense("byte_scale", SONDE_NUMBER_F32, run, 0, SHAPE(0)),
    };
    static const char expect[] = "nyynyyyyyy";
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        all[i].first = i; /* none is tied to another */
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        check_ok(f.context, sonde__model_add_tensor(f.model, &all[i]));
    check_ok(f.context, sonde__model_finish(f.model));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sonde_tensor tensor;
        check_ok(f.context, sonde_model_tensor(f.model, i, &tensor));
        if (tensor.readable != (expect[i] == 'y'))
            fail_msg("%s: readable %d", tensor.name, tensor.readable);
    }
    float value = 0;
    check_status(sonde_model_read(f.model, 0, 0, 1, SONDE_F32, &value), SONDE_ERROR_UNSUPPORTED);
    assert_non_null(strstr(sonde_context_error(f.context)->message, "more than one scale"));
    check_status(sonde_model_read(f.model, 3, 0, 1, SONDE_F32, &value), SONDE_ERROR_UNSUPPORTED);
    check_ok(f.context, sonde_model_read(f.model, 5, 0, 1, SONDE_F32, &value));
    assert_true(value == 1);
    check_ok(f.context, sonde_model_read(f.model, 6, 3, 1, SONDE_F32, &value));
    check_close((double)value, ldexp(1, E4M3_ONE - 127), 0, 0, "2^(e - 127)");
    sonde_tensor tensor;
    check_ok(f.context, sonde_model_tensor(f.model, 8, &tensor));
    assert_null(tensor.scale); /* integers stay as they are */
    uint8_t raw[4];
    check_ok(f.context, sonde__model_read_stored(f.model, 0, 0, 4, raw));
    assert_memory_equal(raw, bytes, 4);
    close_fixture(&f);
}

/* 960 in 8 blocks could be 128 (the last one cut off) or 120: the first, and it is said. */
static void a_block_size_that_could_be_another_is_told(void **state)
{
    (void)state;
    static uint8_t bytes[960 + 32];
    fixture f = open_bytes(bytes, sizeof bytes);
    const sonde__stored w = dense("w", SONDE_NUMBER_F8_E4M3, add_run(&f, 0, 960), 1, SHAPE(960));
    const sonde__stored s = dense("w_scale", SONDE_NUMBER_F32, add_run(&f, 960, 32), 1, SHAPE(8));
    check_ok(f.context, sonde__model_add_tensor(f.model, &w));
    check_ok(f.context, sonde__model_add_tensor(f.model, &s));
    check_ok(f.context, sonde__model_finish(f.model));
    assert_non_null(sonde_model_warning(f.model, 0));
    assert_non_null(strstr(sonde_model_warning(f.model, 0), "128"));
    close_fixture(&f);
}

static void tied_f8_has_the_same_scale_or_is_not_tied(void **state)
{
    (void)state;
    static uint8_t bytes[64];
    memset(bytes, E4M3_ONE, 32);
    const float scales[2] = {2, 3};
    memcpy(bytes + 32, scales, sizeof scales);
    fixture f = open_bytes(bytes, sizeof bytes);
    const size_t run = add_run(&f, 0, sizeof bytes);
    sonde__stored all[] = {
        dense("a", SONDE_NUMBER_F8_E4M3, run, 1, SHAPE(4)),
        dense("a_scale", SONDE_NUMBER_F32, run, 0, SHAPE(0)),
        dense("b", SONDE_NUMBER_F8_E4M3, run, 1, SHAPE(4)), /* no scale: that of a */
        dense("c", SONDE_NUMBER_F8_E4M3, run, 1, SHAPE(4)), /* the same scale, tied too */
        dense("c_scale", SONDE_NUMBER_F32, run, 0, SHAPE(0)),
        dense("d", SONDE_NUMBER_F8_E4M3, run, 1, SHAPE(4)), /* another */
        dense("d_scale", SONDE_NUMBER_F32, run, 0, SHAPE(0)),
        dense("e", SONDE_NUMBER_F8_E4M3, run, 1, SHAPE(4)), /* one that does not fit */
        dense("e_scale", SONDE_NUMBER_F32, run, 1, SHAPE(0)),
    };
    static const char *const ties[] = {NULL, NULL, "a", "a", "a_scale", NULL, NULL, NULL, NULL};
    static const double read[] = {2, 2, 2, 2, 2, 3, 3, 0, 0};
    all[1].first = all[4].first = 8, all[6].first = 9;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        check_ok(f.context, sonde__model_add_tensor(f.model, &all[i]));
    check_ok(f.context, sonde__model_finish(f.model));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sonde_tensor tensor;
        double value = 0;
        check_ok(f.context, sonde_model_tensor(f.model, i, &tensor));
        if (ties[i])
            assert_string_equal(tensor.tied_to, ties[i]);
        else
            assert_null(tensor.tied_to);
        assert_int_equal(tensor.readable, i != 7);
        if (i < 7)
            check_ok(f.context, sonde_model_read(f.model, i, 0, 1, SONDE_F64, &value));
        assert_true(value == read[i]);
    }
    close_fixture(&f);
}

/* --- which format ------------------------------------------------------------------------------- */

static void what_is_not_read_is_refused_by_its_name(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        sonde_status status;
        const char *words;
    } cases[] = {
        {"", 0, SONDE_ERROR_TRUNCATED, "empty"},
        {"\x89HDF\r\n\x1a\n....", 12, SONDE_ERROR_UNSUPPORTED, "HDF5"},
        {"version https://git-lfs.github.com/spec/v1\noid", 46, SONDE_ERROR_UNSUPPORTED, "LFS"},
        {"<!DOCTYPE html>", 15, SONDE_ERROR_UNSUPPORTED, "web page"},
        {"epoch,loss\n1,0.5\n", 17, SONDE_ERROR_UNSUPPORTED, "text, not a model file"},
        {"\x1f\x8b\x08\x00....", 8, SONDE_ERROR_UNSUPPORTED, "gzip"},
        {"{\"weight_map\":{}}", 17, SONDE_ERROR_UNSUPPORTED, "index"},
    };
    sonde_context *context = check_context();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sonde_model *model = NULL;
        check_status(sonde__model_open_memory(context, "f", cases[i].bytes, cases[i].size, &model),
                     cases[i].status);
        const char *message = sonde_context_error(context)->message;
        if (!strstr(message, cases[i].words))
            fail_msg("'%s' does not say '%s'", message, cases[i].words);
        assert_null(model);
    }
    sonde_model *model = NULL;
    check_status(sonde_model_open(context, "", NULL, &model), SONDE_ERROR_ARGUMENT);
    check_status(sonde_model_open(context, NULL, NULL, &model), SONDE_ERROR_ARGUMENT);
    check_status(sonde_model_open(NULL, "f", NULL, &model), SONDE_ERROR_ARGUMENT);
    check_status(sonde_model_open(context, "/nowhere/at.all", NULL, &model), SONDE_ERROR_NOT_FOUND);
    check_status(sonde_model_open(context, "/dev/zero", NULL, &model), SONDE_ERROR_FILE);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

/* --- memory -------------------------------------------------------------------------------------- */

typedef struct whole {
    const uint8_t *packed;
    size_t size;
    uint32_t crc;
} whole;

static sonde_status build_and_read(sonde_context *context, void *argument)
{
    const whole *it = argument;
    sonde_model *model = NULL;
    sonde__input *input = NULL;
    int number = 0;
    size_t run = 0;
    double got[32];
    SONDE_TRY(sonde__model_new(context, NULL, &model));
    sonde_status status = sonde__input_memory(context, "bytes", it->packed, it->size, &input);
    if (status == SONDE_OK)
        status = sonde__model_add_input(model, input, &number);
    const sonde__storage storage = {.packed = it->size,
                                    .bytes = 1000,
                                    .deflated = true,
                                    .has_crc = true,
                                    .crc = it->crc,
                                    .entry = "e"};
    if (status == SONDE_OK)
        status = sonde__model_add_storage(model, &storage, &run);
    for (int i = 0; i < 20 && status == SONDE_OK; i++) {
        char name[16];
        snprintf(name, sizeof name, i == 1 ? "t0_scale" : "t%d", i);
        const sonde__stored stored =
            dense(name, i == 1 ? SONDE_NUMBER_F32 : SONDE_NUMBER_F8_E4M3, run, 2, SHAPE(4, 8));
        status = sonde__model_add_tensor(model, &stored);
    }
    if (status == SONDE_OK)
        status = sonde__model_add_metadata(model, "key", "value");
    if (status == SONDE_OK)
        status = sonde__model_warn(model, "a warning");
    if (status == SONDE_OK)
        status = sonde__model_finish(model);
    for (size_t i = 0; i < 2 && status == SONDE_OK; i++)
        status = sonde_model_read(model, i, 0, 32, SONDE_F64, got);
    sonde_model_close(model);
    return status;
}

static void refused_allocations_leave_nothing_behind(void **state)
{
    (void)state;
    uint8_t bytes[1000], packed[2000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i);
    whole it = {packed, deflate_raw(bytes, sizeof bytes, packed, sizeof packed),
                (uint32_t)crc32(0, bytes, sizeof bytes)};
    assert_true(failing_run(build_and_read, &it) >= 10);
}

static void a_file_that_shrinks_is_an_error_at_the_read(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    float *values = places(100000);
    folder_write("shrinks", values, 400000);
    sonde_model *model = NULL;
    sonde__input *input = NULL;
    int number = 0;
    size_t run = 0;
    check_ok(context, sonde__model_new(context, NULL, &model));
    check_ok(context, sonde__input_open(context, folder_path("shrinks"), &input));
    check_ok(context, sonde__model_add_input(model, input, &number));
    const sonde__storage storage = {.packed = 400000, .bytes = 400000};
    check_ok(context, sonde__model_add_storage(model, &storage, &run));
    const sonde__stored stored = dense("w", SONDE_NUMBER_F32, run, 1, SHAPE(100000));
    check_ok(context, sonde__model_add_tensor(model, &stored));
    check_ok(context, sonde_model_read(model, 0, 0, 100000, SONDE_F32, values));
    assert_int_equal(truncate(folder_path("shrinks"), 300000), 0);
    check_ok(context, sonde_model_read(model, 0, 0, 75000, SONDE_F32, values));
    check_status(sonde_model_read(model, 0, 0, 75001, SONDE_F32, values), SONDE_ERROR_TRUNCATED);
    const sonde_error *error = sonde_context_error(context);
    assert_string_equal(error->item, "w");
    assert_string_equal(error->file, folder_path("shrinks"));
    assert_int_equal(error->offset, 300000);
    sonde_model_close(model);
    sonde_context_free(context);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_plain_and_unique),
        cmocka_unit_test(storages_lie_inside_the_file),
        cmocka_unit_test(views_that_leave_their_storage_are_refused),
        cmocka_unit_test(descriptions_are_those_of_the_views),
        cmocka_unit_test(metadata_and_warnings_are_kept),
        cmocka_unit_test(a_hundred_thousand_tensors_are_small_and_found),
        cmocka_unit_test(every_slice_of_every_view_is_what_its_strides_say),
        cmocka_unit_test(large_transposed_and_sliced_matrices_are_gathered),
        cmocka_unit_test(big_endian_numbers_are_turned_round),
        cmocka_unit_test(slices_of_blocks_may_begin_and_end_anywhere),
        cmocka_unit_test(deflated_storages_are_read_forwards_and_backwards),
        cmocka_unit_test(
            deflated_storages_that_are_read_backwards_again_and_again_are_kept_in_memory),
        cmocka_unit_test(views_of_deflated_storages_are_what_their_strides_say),
        cmocka_unit_test(deflated_storages_that_lie_are_refused),
        cmocka_unit_test(a_wrong_checksum_is_found_at_the_first_read_where_asked),
        cmocka_unit_test(the_same_view_twice_is_tied_and_others_are_not),
        cmocka_unit_test(f8_is_scaled_by_its_sibling_or_refused),
        cmocka_unit_test(scales_that_cannot_be_meant_are_refused),
        cmocka_unit_test(tied_f8_has_the_same_scale_or_is_not_tied),
        cmocka_unit_test(a_block_size_that_could_be_another_is_told),
        cmocka_unit_test(what_is_not_read_is_refused_by_its_name),
        cmocka_unit_test(refused_allocations_leave_nothing_behind),
        cmocka_unit_test(a_file_that_shrinks_is_an_error_at_the_read),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
