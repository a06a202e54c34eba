/* Texts: windows, labels and vocabulary by hand; folders; what is too short; generated letters. */
#include "check.h"
#include "failing.h"
#include "file/data_internal.h"
#include "file/dataset.h"
#include "folder.h"

static sonde_status load(sonde_context *context, const char *name, const char *path, size_t tokens,
                         sonde__dataset **train, sonde__dataset **test)
{
    sonde__data_request request;
    sonde__data_request_init(&request);
    request.name = name;
    request.folder = path;
    request.tokens = tokens;
    *train = *test = NULL;
    return sonde__data_load(context, &request, train, test);
}

/* "hello world": ids by ascending byte: ' ' d e h l o r w = 0 .. 7. */
static void windows_and_labels_are_those_counted_by_hand(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__source train = {"train", (uint8_t *)(uintptr_t) "hello world", 11};
    sonde__source test = {"test", (uint8_t *)(uintptr_t) "held", 4};
    sonde__dataset *a = NULL, *b = NULL;
    const uint8_t ids[9] = {3, 2, 4, 4, 5, 0, 7, 5, 6};
    const int32_t labels[9] = {2, 4, 4, 5, 0, 7, 5, 6, 4};
    check_ok(context, sonde__text_parse(context, &train, &test, 3, &a, &b));
    assert_int_equal(a->count, 3);
    assert_int_equal(a->rows, 3);
    assert_int_equal(a->channels, 1);
    assert_int_equal(a->height, 3);
    assert_int_equal(a->width, 1);
    assert_int_equal(a->classes, 8);
    assert_true(a->text && !a->image);
    assert_memory_equal(a->bytes, ids, sizeof ids);
    assert_memory_equal(a->labels, labels, sizeof labels);
    assert_int_equal(b->count, 1);
    assert_memory_equal(b->labels, ((const int32_t[]){2, 4, 1}), 3 * sizeof(int32_t));
    sonde__dataset_free(context, a);
    sonde__dataset_free(context, b);
    sonde_context_free(context);
}

static void every_byte_is_an_id_that_floats_hold_exactly(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__dataset *train, *test;
    uint8_t all[1024];
    float example[1020];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)i;
    folder_write("all.bin", all, sizeof all);
    check_ok(context, load(context, "text", folder_path("all.bin"), 256, &train, &test));
    assert_int_equal(train->classes, 256);
    assert_int_equal(train->count, 3); /* 922 bytes */
    assert_null(test);                 /* 102 bytes are too few */
    sonde__dataset_example(train, 1, example);
    for (int i = 0; i < 256; i++)
        assert_true(example[i] == (float)i);
    sonde__dataset_free(context, train);
    sonde_context_free(context);
}

static void a_single_file_keeps_its_last_tenth_for_testing(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__dataset *train, *test;
    char text[1000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i < 900 ? "ab"[i % 2] : "cd"[i % 2];
    folder_write("one.txt", text, sizeof text);
    check_ok(context, load(context, "text", folder_path("one.txt"), 10, &train, &test));
    assert_int_equal(train->count, 89); /* (900 - 1) / 10 */
    assert_int_equal(test->count, 9);
    assert_int_equal(train->classes, 4);
    for (size_t i = 0; i < train->count * 10; i++)
        assert_true(train->labels[i] < 2);
    for (size_t i = 0; i < test->count * 10; i++)
        assert_true(test->labels[i] >= 2);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    sonde_context_free(context);
}

static void a_folder_holds_a_training_and_perhaps_a_test_text(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__dataset *train, *test;
    folder_write("input.txt", "abcabcabcabcabcabcabc", 21);
    check_ok(context, load(context, "text", folder, 4, &train, &test));
    assert_int_equal(train->count, 4);
    assert_null(test);
    sonde__dataset_free(context, train);
    folder_write("train.txt", "abababababab", 12);
    folder_write("test.txt", "aaaaaaaaab", 10);
    check_ok(context, load(context, "text", folder, 4, &train, &test));
    assert_int_equal(train->classes, 2);
    assert_int_equal(train->count, 2);
    assert_int_equal(test->count, 2);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    folder_delete("input.txt");
    folder_delete("train.txt");
    folder_delete("test.txt");
    sonde_context_free(context);
}

static void expect(const char *path, size_t tokens, sonde_status expected, const char *words)
{
    sonde_context *context = check_context();
    sonde__dataset *train, *test;
    check_status(load(context, "text", path, tokens, &train, &test), expected);
    if (!strstr(sonde_context_error(context)->message, words))
        fail_msg("'%s' does not say '%s'", sonde_context_error(context)->message, words);
    assert_null(train);
    assert_null(test);
    sonde_context_free(context);
}

static void texts_that_cannot_be_used_say_why(void **state)
{
    (void)state;
    expect(folder, 8, SONDE_ERROR_NOT_FOUND, "train.txt");
    expect(folder_path("absent.txt"), 8, SONDE_ERROR_NOT_FOUND, "absent.txt");
    folder_write("short.txt", "abcdefgh", 8);
    expect(folder_path("short.txt"), 8, SONDE_ERROR_FORMAT, "8 bytes to train on are too few");
    folder_write("empty.txt", "", 0);
    expect(folder_path("empty.txt"), 8, SONDE_ERROR_FORMAT, "0 bytes to train on are too few");
    folder_write("same.txt", "aaaaaaaaaaaaaaaaaaaa", 20);
    expect(folder_path("same.txt"), 4, SONDE_ERROR_FORMAT, "nothing to predict");
    expect(folder_path("same.txt"), 5000, SONDE_ERROR_RANGE, "1 to 4096 are possible");
}

/* Labels of examples that are cut off or replaced by noise: whole rows stay together. */
static void fewer_examples_and_label_noise_know_of_rows(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__data_request request;
    sonde__dataset *train, *test, *noisy, *noisy_test;
    sonde__data_request_init(&request);
    request.name = "letters";
    request.train_size = 50;
    request.test_size = 5;
    request.tokens = 40;
    check_ok(context, sonde__data_load(context, &request, &train, &test));
    request.label_noise = 0.25;
    check_ok(context, sonde__data_load(context, &request, &noisy, &noisy_test));
    size_t changed = 0, in_last = 0;
    for (size_t i = 0; i < 50 * 40; i++) {
        bool differs = train->labels[i] != noisy->labels[i];
        changed += differs;
        in_last += differs && i >= 49 * 40;
        assert_true(noisy->labels[i] >= 0 && noisy->labels[i] < noisy->classes);
    }
    assert_true(changed > 400 && changed < 600);
    assert_true(in_last > 0);
    assert_memory_equal(train->bytes, noisy->bytes, 50 * 40);
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    sonde__dataset_free(context, noisy);
    sonde__dataset_free(context, noisy_test);
    sonde_context_free(context);
}

static void an_example_of_letters_is_the_same_in_a_set_of_any_size(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__data_request request;
    sonde__dataset *few, *many, *few_test, *many_test;
    sonde__data_request_init(&request);
    request.name = "letters";
    request.train_size = 7;
    check_ok(context, sonde__data_load(context, &request, &few, &few_test));
    request.train_size = 300;
    check_ok(context, sonde__data_load(context, &request, &many, &many_test));
    assert_int_equal(few->rows, 64);
    assert_int_equal(few->classes, 28);
    assert_memory_equal(few->bytes, many->bytes, 7 * 64);
    assert_memory_equal(few->labels, many->labels, 7 * 64 * sizeof(int32_t));
    assert_memory_not_equal(few->bytes, few_test->bytes, 7 * 64);
    for (size_t i = 0; i < many->count * 64; i++) {
        assert_true(many->bytes[i] < 28);
        if (i % 64 != 63)
            assert_int_equal(many->labels[i], many->bytes[i + 1]);
    }
    sonde__dataset_free(context, few);
    sonde__dataset_free(context, few_test);
    sonde__dataset_free(context, many);
    sonde__dataset_free(context, many_test);
    sonde_context_free(context);
}

static sonde_status load_and_free(sonde_context *context, void *argument)
{
    sonde__dataset *train, *test;
    SONDE_TRY(load(context, "text", argument, 4, &train, &test));
    sonde__dataset_free(context, train);
    sonde__dataset_free(context, test);
    return SONDE_OK;
}

static void memory_that_runs_out_anywhere_is_a_status(void **state)
{
    (void)state;
    char path[256];
    folder_write("train.txt", "abcabcabcabcabcabcabc", 21);
    folder_write("test.txt", "abcabcabc", 9);
    snprintf(path, sizeof path, "%s", folder);
    failing_run(load_and_free, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_and_labels_are_those_counted_by_hand),
        cmocka_unit_test(every_byte_is_an_id_that_floats_hold_exactly),
        cmocka_unit_test(a_single_file_keeps_its_last_tenth_for_testing),
        cmocka_unit_test(a_folder_holds_a_training_and_perhaps_a_test_text),
        cmocka_unit_test(texts_that_cannot_be_used_say_why),
        cmocka_unit_test(fewer_examples_and_label_noise_know_of_rows),
        cmocka_unit_test(an_example_of_letters_is_the_same_in_a_set_of_any_size),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_a_status),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
