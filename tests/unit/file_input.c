/* Reading files at offsets: what is refused by its kind, exact reads, files that become shorter. */
#include "failing.h"
#include "folder.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "file/input.h"

static void what_is_no_regular_file_is_refused_by_its_kind(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    assert_int_equal(mkfifo(folder_path("pipe"), 0600), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", folder_path("socket"));
    const int bound = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(bound, (const struct sockaddr *)&address, sizeof address), 0);
    const struct {
        const char *path, *word;
        sonde_status status;
    } cases[] = {
        {folder, "folder", SONDE_ERROR_FILE},
        {folder_path("pipe"), "pipe", SONDE_ERROR_FILE}, /* without waiting for a writer */
        {folder_path("socket"), "socket", SONDE_ERROR_FILE},
        {"/dev/zero", "device", SONDE_ERROR_FILE},
        {folder_path("none"), "cannot be opened", SONDE_ERROR_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sonde__input *input = NULL;
        check_status(sonde__input_open(context, cases[i].path, &input), cases[i].status);
        assert_null(input);
        const sonde_error *error = sonde_context_error(context);
        assert_string_equal(error->file, cases[i].path);
        if (!strstr(error->message, cases[i].word))
            fail_msg("'%s' does not say '%s'", error->message, cases[i].word);
    }
    close(bound);
    folder_delete("pipe");
    folder_delete("socket");
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void reads_are_exact_or_an_error(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    folder_write("ten", "0123456789", 10);
    sonde__input *inputs[2] = {NULL, NULL};
    check_ok(context, sonde__input_open(context, folder_path("ten"), &inputs[0]));
    check_ok(context, sonde__input_memory(context, "memory", "0123456789", 10, &inputs[1]));
    assert_string_equal(sonde__input_path(inputs[0]), folder_path("ten"));
    assert_string_equal(sonde__input_path(inputs[1]), "memory");
    for (int i = 0; i < 2; i++) {
        char got[11] = {0};
        assert_int_equal(sonde__input_size(inputs[i]), 10);
        check_ok(context, sonde__input_read(inputs[i], NULL, 0, got, 10));
        assert_string_equal(got, "0123456789");
        check_ok(context, sonde__input_read(inputs[i], NULL, 7, got, 3));
        assert_memory_equal(got, "789345", 6);
        check_ok(context, sonde__input_read(inputs[i], NULL, 10, got, 0));
        const struct {
            uint64_t offset;
            size_t size;
        } bad[] = {{0, 11}, {10, 1}, {11, 0}, {7, 4}, {UINT64_MAX, 1}, {1, SIZE_MAX}};
        for (size_t j = 0; j < sizeof bad / sizeof *bad; j++) {
            check_status(sonde__input_read(inputs[i], "tensor w", bad[j].offset, got, bad[j].size),
                         SONDE_ERROR_TRUNCATED);
            assert_string_equal(sonde_context_error(context)->item, "tensor w");
            assert_true(sonde_context_error(context)->offset >= 0);
        }
    }
    sonde__input_close(inputs[0]);
    sonde__input_close(inputs[1]);
    sonde__input_close(NULL);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void a_file_that_shrinks_is_truncated_where_it_ends_now(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    char got[10] = {0};
    folder_write("ten", "0123456789", 10);
    sonde__input *input = NULL;
    check_ok(context, sonde__input_open(context, folder_path("ten"), &input));
    assert_int_equal(truncate(folder_path("ten"), 6), 0);
    check_ok(context, sonde__input_read(input, NULL, 2, got, 4));
    assert_memory_equal(got, "2345", 4);
    check_status(sonde__input_read(input, "w", 2, got, 5), SONDE_ERROR_TRUNCATED);
    assert_int_equal(sonde_context_error(context)->offset, 6);
    assert_non_null(strstr(sonde_context_error(context)->message, "w: "));
    /* Replaced or deleted meanwhile, the file that was opened is still the one that is read. */
    folder_delete("ten");
    check_ok(context, sonde__input_read(input, NULL, 0, got, 6));
    sonde__input_close(input);
    sonde_context_free(context);
}

static void no_descriptor_stays_open(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    folder_write("ten", "0123456789", 10);
    for (int i = 0; i < 3000; i++) { /* more than the usual limit of 1024 */
        sonde__input *input = NULL;
        check_ok(context, sonde__input_open(context, folder_path("ten"), &input));
        sonde__input_close(input);
        check_status(sonde__input_open(context, "/dev/null", &input), SONDE_ERROR_FILE);
    }
    sonde_context_free(context);
}

static sonde_status open_and_read(sonde_context *context, void *argument)
{
    (void)argument;
    sonde__input *input = NULL;
    char got[4];
    SONDE_TRY(sonde__input_open(context, folder_path("ten"), &input));
    const sonde_status status = sonde__input_read(input, NULL, 0, got, 4);
    sonde__input_close(input);
    return status;
}

static void too_many_open_files_are_told_with_the_limit(void **state)
{
    (void)state;
    enum { LIMIT = 16 };
    folder_write("ten", "0123456789", 10);
    sonde_context *context = check_context();
    sonde__input *inputs[LIMIT + 1] = {NULL};
    struct rlimit before, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = LIMIT;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    sonde_status status = SONDE_OK;
    for (int i = 0; i <= LIMIT && status == SONDE_OK; i++)
        status = sonde__input_open(context, folder_path("ten"), &inputs[i]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    check_status(status, SONDE_ERROR_FILE);
    const char *message = sonde_context_error(context)->message;
    if (!strstr(message, "has 16 files open") || !strstr(message, "ulimit -n"))
        fail_msg("'%s'", message);
    for (int i = 0; i <= LIMIT; i++)
        sonde__input_close(inputs[i]);
    sonde_context_free(context);
}

static void refused_allocations_leave_nothing_behind(void **state)
{
    (void)state;
    folder_write("ten", "0123456789", 10);
    assert_int_equal(failing_run(open_and_read, NULL), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_regular_file_is_refused_by_its_kind),
        cmocka_unit_test(reads_are_exact_or_an_error),
        cmocka_unit_test(a_file_that_shrinks_is_truncated_where_it_ends_now),
        cmocka_unit_test(no_descriptor_stays_open),
        cmocka_unit_test(too_many_open_files_are_told_with_the_limit),
        cmocka_unit_test(refused_allocations_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
