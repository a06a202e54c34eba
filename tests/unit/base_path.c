/* Files: a replacement is whole or has not happened, no temporary file stays, reads are bounded. */
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "check.h"
#include "failing.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/sonde-path-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static int files_in(const char *path)
{
    DIR *opened = opendir(path);
    int count = 0;
    assert_non_null(opened);
    while (readdir(opened))
        count++;
    closedir(opened);
    return count - 2;
}

static void check_content(sonde_context *context, const char *path, const char *expected)
{
    void *bytes = NULL;
    size_t size = 0;
    check_ok(context, sonde__read_file(context, path, 1 << 20, &bytes, &size));
    assert_int_equal(size, strlen(expected));
    assert_string_equal((char *)bytes, expected); /* also: a NUL behind the end */
    sonde__free(context, bytes);
}

static void a_replaced_file_has_the_new_content(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const char *path = in_folder("file");
    int before = files_in(folder);
    check_ok(context, sonde__replace_file(context, path, "first", 5));
    check_content(context, path, "first");
    check_ok(context, sonde__replace_file(context, path, "", 0));
    check_content(context, path, "");
    sonde__replacer *replacer = NULL;
    check_ok(context, sonde__replace_open(context, path, &replacer));
    check_ok(context, sonde__replace_write(replacer, "sec", 3));
    check_content(context, path, ""); /* nothing changes before the commit */
    check_ok(context, sonde__replace_write(replacer, "ond", 3));
    check_ok(context, sonde__replace_commit(replacer));
    check_content(context, path, "second");
    assert_int_equal(files_in(folder), before + 1);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void an_abandoned_replacement_leaves_the_old_file(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const char *path = in_folder("kept");
    check_ok(context, sonde__replace_file(context, path, "old", 3));
    int before = files_in(folder);
    sonde__replacer *replacer = NULL;
    check_ok(context, sonde__replace_open(context, path, &replacer));
    check_ok(context, sonde__replace_write(replacer, "new", 3));
    sonde__replace_abandon(replacer);
    sonde__replace_abandon(NULL);
    check_content(context, path, "old");
    assert_int_equal(files_in(folder), before);
    sonde_context_free(context);
}

/* RLIMIT_FSIZE stands in for a full disk. */
static void a_full_disk_leaves_the_old_file_and_nothing_else(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const char *path = in_folder("full");
    check_ok(context, sonde__replace_file(context, path, "old", 3));
    int before = files_in(folder);
    char *large = calloc(1, 300000);
    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    sonde_status status = sonde__replace_file(context, path, large, 300000);
    setrlimit(RLIMIT_FSIZE, &limit);
    free(large);
    assert_int_equal(status, SONDE_ERROR_NO_SPACE);
    assert_string_equal(sonde_context_error(context)->file, path);
    check_content(context, path, "old");
    assert_int_equal(files_in(folder), before);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void places_that_cannot_be_written_are_named(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    check_status(sonde__replace_file(context, in_folder("no/such/file"), "x", 1),
                 SONDE_ERROR_NOT_FOUND);
    assert_non_null(strstr(sonde_context_error(context)->message, "no/such/file"));
    check_status(sonde__replace_file(context, folder, "x", 1), SONDE_ERROR_FILE);
    check_status(sonde__replace_file(context, "/dev/null", "x", 1), SONDE_ERROR_FILE);
    check_status(sonde__replace_file(context, "", "x", 1), SONDE_ERROR_ARGUMENT);
    struct stat about;
    assert_int_equal(stat("/dev/null", &about), 0);
    assert_true(S_ISCHR(about.st_mode));
    sonde_context_free(context);
}

static void reads_are_bounded_and_refuse_what_is_no_file(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const char *path = in_folder("ten");
    void *bytes = NULL;
    size_t size = 0;
    check_ok(context, sonde__replace_file(context, path, "0123456789", 10));
    check_ok(context, sonde__read_file(context, path, 10, &bytes, &size));
    sonde__free(context, bytes);
    bytes = NULL;
    check_status(sonde__read_file(context, path, 9, &bytes, &size), SONDE_ERROR_RANGE);
    check_status(sonde__read_file(context, in_folder("none"), 9, &bytes, &size),
                 SONDE_ERROR_NOT_FOUND);
    check_status(sonde__read_file(context, folder, 1 << 20, &bytes, &size), SONDE_ERROR_FILE);
    const char *fifo = in_folder("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    check_status(sonde__read_file(context, fifo, 1 << 20, &bytes, &size), SONDE_ERROR_FILE);
    assert_null(bytes);
    sonde_context_free(context);
}

static void folders_are_made_with_those_above(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    check_ok(context, sonde__make_folder(context, in_folder("a/b//c/")));
    assert_true(sonde__path_exists(in_folder("a/b/c")));
    check_ok(context, sonde__make_folder(context, in_folder("a/b")));
    check_ok(context, sonde__replace_file(context, in_folder("plain"), "x", 1));
    check_status(sonde__make_folder(context, in_folder("plain")), SONDE_ERROR_FILE);
    check_status(sonde__make_folder(context, in_folder("plain/below")), SONDE_ERROR_FILE);
    assert_false(sonde__path_exists(in_folder("nothing")));
    sonde_context_free(context);
}

static void paths_are_joined_with_one_slash(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < 4; i++) {
        char *joined = sonde__path_join(context, cases[i][0], cases[i][1]);
        assert_string_equal(joined, cases[i][2]);
        sonde__free(context, joined);
    }
    sonde_context_free(context);
}

static sonde_status use_files(sonde_context *context, void *argument)
{
    (void)argument;
    void *bytes = NULL;
    size_t size = 0;
    SONDE_TRY(sonde__make_folder(context, in_folder("oom")));
    SONDE_TRY(sonde__replace_file(context, in_folder("oom/file"), "text", 4));
    SONDE_TRY(sonde__read_file(context, in_folder("oom/file"), 100, &bytes, &size));
    sonde__free(context, bytes);
    return SONDE_OK;
}

static void refused_allocations_leave_no_temporary_file(void **state)
{
    (void)state;
    assert_true(failing_run(use_files, NULL) >= 5);
    assert_int_equal(files_in(in_folder("oom")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replaced_file_has_the_new_content),
        cmocka_unit_test(an_abandoned_replacement_leaves_the_old_file),
        cmocka_unit_test(a_full_disk_leaves_the_old_file_and_nothing_else),
        cmocka_unit_test(places_that_cannot_be_written_are_named),
        cmocka_unit_test(reads_are_bounded_and_refuse_what_is_no_file),
        cmocka_unit_test(folders_are_made_with_those_above),
        cmocka_unit_test(paths_are_joined_with_one_slash),
        cmocka_unit_test(refused_allocations_leave_no_temporary_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
