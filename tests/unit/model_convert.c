/* Models written as one safetensors file: bit by bit, dense, scaled, tied, whole or not at all. */
#include "failing.h"
#include "folder.h"

#include <dirent.h>

#include "file/model_state.h"

#define SHAPE(...) ((const int64_t[]){__VA_ARGS__})

static sonde__stored dense(const char *name, sonde_number number, size_t storage, int dims,
                           const int64_t *shape)
{
    sonde__stored stored = {.name = name, .number = number, .dims = dims, .storage = storage};
    memcpy(stored.shape, shape, (size_t)dims * sizeof *shape);
    assert_true(sonde__dense_strides(dims, shape, stored.strides));
    return stored;
}

/* A model of one storage, `bytes` of a file named "bytes" in the scratch folder. */
static sonde_model *model_of(sonde_context *context, const void *bytes, size_t size,
                             bool big_endian, const sonde__stored *tensors, size_t count)
{
    sonde_model *model = NULL;
    sonde__input *input = NULL;
    int number = 0;
    size_t run = 0;
    folder_write("bytes", bytes, size);
    check_ok(context, sonde__model_new(context, NULL, &model));
    check_ok(context, sonde__input_open(context, folder_path("bytes"), &input));
    check_ok(context, sonde__model_add_input(model, input, &number));
    const sonde__storage storage = {.packed = size, .bytes = size, .big_endian = big_endian};
    check_ok(context, sonde__model_add_storage(model, &storage, &run));
    for (size_t i = 0; i < count; i++)
        check_ok(context, sonde__model_add_tensor(model, &tensors[i]));
    check_ok(context, sonde__model_finish(model));
    return model;
}

static size_t found(sonde_model *model, const char *name)
{
    size_t index = SIZE_MAX;
    if (sonde_model_find(model, name, &index) != SONDE_OK)
        fail_msg("there is no tensor '%s'", name);
    return index;
}

static bool is_there(const char *name)
{
    return access(folder_path(name), F_OK) == 0;
}

static void no_temporary_file_is_left(void)
{
    DIR *opened = opendir(folder);
    for (struct dirent *entry; (entry = readdir(opened));)
        assert_null(strstr(entry->d_name, ".tmp-"));
    closedir(opened);
}

static void plain_formats_go_through_bit_by_bit(void **state)
{
    (void)state;
    static const sonde_number numbers[] = {
        SONDE_NUMBER_F64,         SONDE_NUMBER_F32,     SONDE_NUMBER_BF16, SONDE_NUMBER_F16,
        SONDE_NUMBER_F8_E4M3,     SONDE_NUMBER_F8_E5M2, SONDE_NUMBER_I64,  SONDE_NUMBER_I32,
        SONDE_NUMBER_I16,         SONDE_NUMBER_I8,      SONDE_NUMBER_U64,  SONDE_NUMBER_U32,
        SONDE_NUMBER_U16,         SONDE_NUMBER_U8,      SONDE_NUMBER_BOOL, SONDE_NUMBER_C64,
        SONDE_NUMBER_F8_E4M3FNUZ, SONDE_NUMBER_F4,
    };
    enum { COUNT = sizeof numbers / sizeof *numbers, BYTES = 96 };
    uint8_t bytes[BYTES], got[BYTES];
    for (int i = 0; i < BYTES; i++) /* all kinds of NaN and of numbers */
        bytes[i] = (uint8_t)(i * 37 ^ (i % 8 > 5 ? 0xff : 0));
    sonde__stored tensors[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        const sonde__number_info *info = sonde__number_find(numbers[i]);
        tensors[i] = dense(info->name, numbers[i], 0, 2,
                           SHAPE(2, BYTES / 2 / (int64_t)info->bytes * (int64_t)info->elements));
    }
    sonde_context *context = check_context();
    sonde_model *model = model_of(context, bytes, BYTES, false, tensors, COUNT), *made = NULL;
    check_ok(context, sonde_model_convert(model, folder_path("out.safetensors")));
    check_ok(context, sonde_model_open(context, folder_path("out.safetensors"), NULL, &made));
    assert_int_equal(sonde_model_count(made), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        sonde_tensor tensor;
        const size_t index = found(made, tensors[i].name);
        check_ok(context, sonde_model_tensor(made, index, &tensor));
        assert_int_equal(tensor.number, numbers[i]);
        assert_int_equal(tensor.shape[1], tensors[i].shape[1]);
        assert_int_equal(tensor.bytes, BYTES);
        check_ok(context, sonde__model_read_stored(made, index, 0, tensor.elements, got));
        assert_memory_equal(got, bytes, BYTES);
    }
    sonde_model_close(made);
    sonde_model_close(model);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void views_become_dense_and_bytes_are_turned_round(void **state)
{
    (void)state;
    const uint8_t bytes[12] = {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6};
    sonde__stored tensors[] = {dense("t", SONDE_NUMBER_U16, 0, 2, SHAPE(3, 2)),
                               dense("e", SONDE_NUMBER_U16, 0, 2, SHAPE(2, 3)),
                               dense("scalar", SONDE_NUMBER_U16, 0, 0, SHAPE(0)),
                               dense("empty", SONDE_NUMBER_U16, 0, 2, SHAPE(0, 3))};
    tensors[0].strides[0] = 1, tensors[0].strides[1] = 3;
    tensors[1].strides[0] = 0, tensors[1].first = 3;
    sonde_context *context = check_context();
    sonde_model *model = model_of(context, bytes, sizeof bytes, true, tensors, 4), *made = NULL;
    check_ok(context, sonde_model_convert(model, folder_path("out.safetensors")));
    check_ok(context, sonde_model_open(context, folder_path("out.safetensors"), NULL, &made));
    uint16_t got[6];
    check_ok(context, sonde__model_read_stored(made, found(made, "t"), 0, 6, got));
    assert_memory_equal(got, ((const uint16_t[]){1, 4, 2, 5, 3, 6}), 12);
    check_ok(context, sonde__model_read_stored(made, found(made, "e"), 0, 6, got));
    assert_memory_equal(got, ((const uint16_t[]){4, 5, 6, 4, 5, 6}), 12);
    sonde_tensor tensor;
    check_ok(context, sonde_model_tensor(made, found(made, "empty"), &tensor));
    assert_true(tensor.elements == 0 && tensor.shape[1] == 3);
    check_ok(context, sonde_model_tensor(made, found(made, "scalar"), &tensor));
    assert_true(tensor.elements == 1 && tensor.dims == 0);
    sonde_model_close(made);
    sonde_model_close(model);
    sonde_context_free(context);
}

static void blocks_and_scaled_bytes_become_floats(void **state)
{
    (void)state;
    uint8_t bytes[34 + 2 + 4] = {0x00, 0x40}; /* Q8_0: scale 2, then 0 .. 31; two f8; a float */
    const float scale = 0.1f;
    for (int i = 0; i < 32; i++)
        bytes[2 + i] = (uint8_t)i;
    bytes[34] = 0x38, bytes[35] = 0xc0; /* 1 and -2 */
    memcpy(bytes + 36, &scale, 4);
    sonde__stored tensors[] = {dense("q", SONDE_NUMBER_Q8_0, 0, 1, SHAPE(32)),
                               dense("w.weight", SONDE_NUMBER_F8_E4M3, 0, 1, SHAPE(2)),
                               dense("w.weight_scale", SONDE_NUMBER_F32, 0, 0, SHAPE(0)),
                               dense("plain", SONDE_NUMBER_F8_E4M3, 0, 1, SHAPE(2))};
    tensors[1].first = tensors[3].first = 34;
    tensors[2].first = 9;
    tensors[3].shape[0] = 1;
    sonde_context *context = check_context();
    sonde_model *model = model_of(context, bytes, sizeof bytes, false, tensors, 4), *made = NULL;
    check_ok(context, sonde_model_convert(model, folder_path("out.safetensors")));
    check_ok(context, sonde_model_open(context, folder_path("out.safetensors"), NULL, &made));
    sonde_tensor tensor;
    float got[32];
    check_ok(context, sonde_model_tensor(made, found(made, "q"), &tensor));
    assert_int_equal(tensor.number, SONDE_NUMBER_F32);
    check_ok(context, sonde_model_read(made, found(made, "q"), 0, 32, SONDE_F32, got));
    for (int i = 0; i < 32; i++)
        assert_true(got[i] == 2 * (float)i);
    check_ok(context, sonde_model_tensor(made, found(made, "w.weight"), &tensor));
    assert_true(tensor.number == SONDE_NUMBER_F32 && !tensor.scale);
    check_ok(context, sonde_model_read(made, found(made, "w.weight"), 0, 2, SONDE_F32, got));
    assert_true(got[0] == 0.1f && got[1] == -0.2f);
    check_ok(context, sonde_model_tensor(made, found(made, "plain"), &tensor));
    assert_int_equal(tensor.number, SONDE_NUMBER_F8_E4M3);
    /* What was converted is the same model. */
    sonde_comparison *comparison = NULL;
    check_ok(context, sonde_compare(context, model, made, &comparison));
    for (size_t i = 0; i < sonde_comparison_count(comparison); i++) {
        sonde_tensor_difference difference;
        check_ok(context, sonde_comparison_tensor(comparison, i, &difference));
        if (difference.difference != SONDE_SAME)
            fail_msg("%s differs by %g", difference.name, difference.largest);
    }
    sonde_comparison_free(comparison);
    sonde_model_close(made);
    sonde_model_close(model);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void tied_tensors_are_written_once_with_a_note(void **state)
{
    (void)state;
    const float values[4] = {1, 2, 3, 4};
    const sonde__stored tensors[] = {dense("embedding", SONDE_NUMBER_F32, 0, 2, SHAPE(2, 2)),
                                     dense("head", SONDE_NUMBER_F32, 0, 2, SHAPE(2, 2)),
                                     dense("other", SONDE_NUMBER_F32, 0, 1, SHAPE(4)),
                                     dense("third", SONDE_NUMBER_F32, 0, 2, SHAPE(2, 2))};
    sonde_context *context = check_context();
    sonde_model *model = model_of(context, values, sizeof values, false, tensors, 4), *made = NULL;
    check_ok(context, sonde__model_add_metadata(model, "format", "pt"));
    check_ok(context, sonde__model_add_metadata(model, "format", "pt")); /* of another shard */
    model->kind = SONDE_MODEL_SAFETENSORS;
    check_ok(context, sonde_model_convert(model, folder_path("out.safetensors")));
    check_ok(context, sonde_model_open(context, folder_path("out.safetensors"), NULL, &made));
    assert_int_equal(sonde_model_count(made), 2);
    sonde_model_info info;
    sonde_model_describe(made, &info);
    assert_int_equal(info.metadata, 3);
    static const char *const keys[] = {"format", "tied.head", "tied.third"};
    static const char *const values_of[] = {"pt", "embedding", "embedding"};
    for (size_t i = 0; i < 3; i++) {
        const char *key = NULL, *value = NULL;
        check_ok(context, sonde_model_metadata(made, i, &key, &value));
        assert_string_equal(key, keys[i]);
        assert_string_equal(value, values_of[i]);
    }
    sonde_model_close(made);
    sonde_model_close(model);
    sonde_context_free(context);
}

static void nothing_is_written_where_something_is_wrong(void **state)
{
    (void)state;
    static const uint8_t bytes[256];
    sonde_context *context = check_context();
    folder_delete("none.safetensors");
    const sonde__stored listed = dense("iq", SONDE_NUMBER_IQ2_XXS, 0, 1, SHAPE(256));
    sonde_model *model = model_of(context, bytes, sizeof bytes, false, &listed, 1);
    check_status(sonde_model_convert(model, folder_path("none.safetensors")),
                 SONDE_ERROR_UNSUPPORTED);
    assert_string_equal(sonde_context_error(context)->item, "iq");
    sonde_model_close(model);
    const sonde__stored complex = dense("c", SONDE_NUMBER_C128, 0, 1, SHAPE(2));
    model = model_of(context, bytes, sizeof bytes, false, &complex, 1);
    check_status(sonde_model_convert(model, folder_path("none.safetensors")),
                 SONDE_ERROR_UNSUPPORTED);
    assert_string_equal(sonde_context_error(context)->item, "c");
    assert_string_equal(sonde_context_error(context)->file, folder_path("bytes"));
    assert_non_null(strstr(sonde_context_error(context)->message, "save it in another format"));
    sonde_model_close(model);
    const sonde__stored good = dense("w", SONDE_NUMBER_U8, 0, 1, SHAPE(256));
    model = model_of(context, bytes, sizeof bytes, false, &good, 1);
    check_status(sonde_model_convert(model, ""), SONDE_ERROR_ARGUMENT);
    check_status(sonde_model_convert(NULL, "f"), SONDE_ERROR_ARGUMENT);
    check_status(sonde_model_convert(model, folder), SONDE_ERROR_FILE);
    /* The file it is read from, also by another name. */
    assert_int_equal(symlink(folder_path("bytes"), folder_path("alias")), 0);
    check_status(sonde_model_convert(model, folder_path("bytes")), SONDE_ERROR_ARGUMENT);
    check_status(sonde_model_convert(model, folder_path("alias")), SONDE_ERROR_ARGUMENT);
    /* The input ends early: what was there before stays. */
    folder_write("before", "as it was", 9);
    assert_int_equal(truncate(folder_path("bytes"), 100), 0);
    check_status(sonde_model_convert(model, folder_path("none.safetensors")),
                 SONDE_ERROR_TRUNCATED);
    check_status(sonde_model_convert(model, folder_path("before")), SONDE_ERROR_TRUNCATED);
    char got[16] = {0};
    FILE *opened = fopen(folder_path("before"), "rb");
    assert_int_equal(fread(got, 1, sizeof got, opened), 9);
    fclose(opened);
    assert_string_equal(got, "as it was");
    sonde_context_cancel(context);
    check_status(sonde_model_convert(model, folder_path("none.safetensors")),
                 SONDE_ERROR_CANCELLED);
    assert_false(is_there("none.safetensors"));
    no_temporary_file_is_left();
    sonde_model_close(model);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void neither_a_shard_nor_the_index_is_written_over(void **state)
{
    (void)state;
    static const char index[] = "{\"weight_map\":{\"w\":\"shard.safetensors\"}}";
    static const uint8_t bytes[4] = {1, 2, 3, 4};
    const sonde__stored tensor = dense("w", SONDE_NUMBER_U8, 0, 1, SHAPE(4));
    sonde_context *context = check_context();
    sonde_model *model = model_of(context, bytes, sizeof bytes, false, &tensor, 1);
    check_ok(context, sonde_model_convert(model, folder_path("shard.safetensors")));
    sonde_model_close(model);
    folder_write("whole.index.json", index, sizeof index - 1);
    assert_int_equal(link(folder_path("whole.index.json"), folder_path("linked")), 0);
    check_ok(context, sonde_model_open(context, folder_path("whole.index.json"), NULL, &model));
    static const char *const own[] = {"whole.index.json", "linked", "shard.safetensors"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        check_status(sonde_model_convert(model, folder_path(own[i])), SONDE_ERROR_ARGUMENT);
    check_ok(context, sonde_model_convert(model, folder_path("another.safetensors")));
    sonde_model_close(model);
    check_ok(context, sonde_model_open(context, folder_path("whole.index.json"), NULL, &model));
    sonde_model_close(model);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

/* More than the writer's slice, through a small budget. */
static void memory_does_not_grow_with_the_model(void **state)
{
    (void)state;
    enum { ROWS = 1000, COLS = 1500, N = ROWS * COLS };
    float *values = malloc(N * sizeof *values), got[2];
    for (int i = 0; i < N; i++)
        values[i] = (float)i;
    sonde_context_options options;
    sonde_context *context = NULL;
    sonde_context_options_init(&options);
    options.memory_limit = 2 << 20;
    assert_int_equal(sonde_context_create(&options, &context), SONDE_OK);
    sonde__stored tensor = dense("t", SONDE_NUMBER_F32, 0, 2, SHAPE(COLS, ROWS));
    tensor.strides[0] = 1, tensor.strides[1] = COLS;
    sonde_model *model = model_of(context, values, N * sizeof *values, false, &tensor, 1);
    sonde_model *made = NULL;
    check_ok(context, sonde_model_convert(model, folder_path("out.safetensors")));
    check_ok(context, sonde_model_open(context, folder_path("out.safetensors"), NULL, &made));
    for (int i = 0; i < N - 1; i += 7919) {
        check_ok(context, sonde_model_read(made, 0, (uint64_t)i, 1, SONDE_F32, got));
        assert_true(got[0] == values[i % ROWS * COLS + i / ROWS]);
    }
    sonde_model_close(made);
    sonde_model_close(model);
    sonde_context_free(context);
    free(values);
}

static sonde_status open_and_convert(sonde_context *context, void *argument)
{
    (void)argument;
    sonde_model *model = NULL;
    SONDE_TRY(sonde_model_open(context, folder_path("source.safetensors"), NULL, &model));
    const sonde_status status = sonde_model_convert(model, folder_path("oom.safetensors"));
    sonde_model_close(model);
    return status;
}

static void refused_allocations_leave_no_file_behind(void **state)
{
    (void)state;
    const float values[4] = {1, 2, 3, 4};
    const sonde__stored tensors[] = {dense("a", SONDE_NUMBER_F32, 0, 2, SHAPE(2, 2)),
                                     dense("b", SONDE_NUMBER_F32, 0, 1, SHAPE(3))};
    sonde_context *context = check_context();
    sonde_model *model = model_of(context, values, sizeof values, false, tensors, 2);
    check_ok(context, sonde_model_convert(model, folder_path("source.safetensors")));
    sonde_model_close(model);
    sonde_context_free(context);
    assert_true(failing_run(open_and_convert, NULL) > 10);
    no_temporary_file_is_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_formats_go_through_bit_by_bit),
        cmocka_unit_test(views_become_dense_and_bytes_are_turned_round),
        cmocka_unit_test(blocks_and_scaled_bytes_become_floats),
        cmocka_unit_test(tied_tensors_are_written_once_with_a_note),
        cmocka_unit_test(nothing_is_written_where_something_is_wrong),
        cmocka_unit_test(neither_a_shard_nor_the_index_is_written_over),
        cmocka_unit_test(memory_does_not_grow_with_the_model),
        cmocka_unit_test(refused_allocations_leave_no_file_behind),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
