/* The run store: what is written is read, whole epochs or nothing, and bad folders are told apart. */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/context.h"
#include "run/store.h"

static char folder[64];
static char path[128];

static int make_folder(void **state)
{
    (void)state;
    /* In memory where possible: flushing every epoch to a disk takes its time. */
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof(folder), "%s/sonde-store-XXXXXX", where);
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/run.sqlite", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char name[512];
    DIR *open_folder = opendir(folder);
    const struct dirent *entry;
    while (open_folder && (entry = readdir(open_folder)) != NULL) {
        snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
        unlink(name);
    }
    if (open_folder)
        closedir(open_folder);
    return rmdir(folder);
}

static sonde__store *create(sonde_context *context)
{
    sonde__store *store;
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_CREATE, &store));
    check_ok(context, sonde__store_set(store, "config", "{}"));
    return store;
}

static sonde__epoch_row epoch_row(int64_t epoch)
{
    return (sonde__epoch_row){.epoch = epoch,
                              .train_loss = 1.0 / (double)epoch,
                              .train_accuracy = 0.1 * (double)epoch,
                              .test_loss = (double)NAN,
                              .test_accuracy = (double)NAN,
                              .examples = 600,
                              .active = 600 - epoch,
                              .seconds = 0.25};
}

static sonde_decision decision_of(int64_t epoch)
{
    sonde_decision decision = {.epoch = epoch, .stop_epoch = -1, .examples = 600};
    decision.stop_advised = epoch > 2;
    decision.keep.epoch = epoch;
    decision.keep.score = 1.0 / 3;
    decision.keep.warnings = SONDE_KEEP_WARN_FEW | SONDE_KEEP_WARN_SEEN;
    decision.keep.window = SONDE_WINDOW_TAIL;
    decision.keep.top_count = 2;
    decision.keep.top[0] = epoch;
    decision.keep.top[1] = epoch - 1;
    decision.worst_ratio = 0.7;
    snprintf(decision.stop_layer, sizeof(decision.stop_layer), "fc\"1\"");
    snprintf(decision.keep.reason, sizeof(decision.keep.reason), "since its score is lowest");
    return decision;
}

static void write_epoch(sonde_context *context, sonde__store *store, int64_t epoch)
{
    sonde__epoch_row row = epoch_row(epoch);
    double eigenvalues[3] = {0.5, 1, (double)epoch};
    sonde__score_row scores[2] = {
        {epoch, "head.raw", {0.25, 1e-9, SONDE_LOWER_IS_BETTER, SONDE_VALID}},
        {epoch, "head2.raw", {0, 0, SONDE_LOWER_IS_BETTER, SONDE_TOO_FEW}}};
    sonde__layer_row layer = {.epoch = epoch,
                              .layer = "fc1",
                              .over = true,
                              .threshold = 0.4,
                              .eigenvalues = eigenvalues,
                              .eigenvalue_count = 3};
    layer.report.rows = 3;
    layer.report.cols = 7;
    layer.report.type = SONDE_SPECTRUM_HEAVY_TAIL;
    layer.report.distance = 0.125;
    layer.report.null_mean = 0.1875;
    sonde_decision decision = decision_of(epoch);
    sonde__event_row event = {epoch, "something happened"};
    check_ok(context,
             sonde__store_write_epoch(store, &row, scores, 2, &layer, 1, &decision, &event, 1));
}

static void rows_come_back_as_written(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    write_epoch(context, store, 1);
    write_epoch(context, store, 2);
    sonde__store_close(store);
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_READ, &store));

    sonde__epoch_row *epochs;
    size_t count;
    check_ok(context, sonde__store_epochs(store, &epochs, &count));
    assert_int_equal(count, 2);
    assert_int_equal(epochs[1].epoch, 2);
    assert_true(epochs[1].train_loss == 0.5 && isnan(epochs[1].test_accuracy));
    assert_int_equal(epochs[0].active, 599);
    sonde__store_free_rows(store, epochs);

    sonde__score_row *scores;
    check_ok(context, sonde__store_scores(store, "head2.raw", &scores, &count));
    assert_int_equal(count, 2);
    assert_int_equal(scores[0].score.validity, SONDE_TOO_FEW);
    sonde__store_free_rows(store, scores);
    check_ok(context, sonde__store_scores(store, NULL, &scores, &count));
    assert_int_equal(count, 4);
    assert_string_equal(scores[2].signal, "head.raw");
    assert_true(scores[2].score.value == 0.25 && scores[2].score.error_bound == 1e-9);
    assert_int_equal(scores[2].score.direction, SONDE_LOWER_IS_BETTER);
    sonde__store_free_rows(store, scores);

    sonde__layer_row *layers;
    check_ok(context, sonde__store_layers(store, true, &layers, &count));
    assert_int_equal(count, 2);
    assert_string_equal(layers[1].layer, "fc1");
    assert_true(layers[1].over && layers[1].report.cols == 7 && layers[1].threshold == 0.4);
    assert_int_equal(layers[1].report.type, SONDE_SPECTRUM_HEAVY_TAIL);
    assert_int_equal(layers[1].eigenvalue_count, 3);
    assert_true(layers[1].eigenvalues[2] == 2);
    sonde__store_free_layers(store, layers, count);

    sonde__event_row *events;
    check_ok(context, sonde__store_events(store, &events, &count));
    assert_int_equal(count, 2);
    assert_string_equal(events[0].text, "something happened");
    sonde__store_free_rows(store, events);
    sonde__store_close(store);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void decisions_come_back_bit_for_bit(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    sonde_decision read, wanted = decision_of(2);
    check_status(sonde__store_decision(store, -1, &read), SONDE_ERROR_NOT_FOUND);
    write_epoch(context, store, 1);
    write_epoch(context, store, 2);
    check_ok(context, sonde__store_decision(store, -1, &read));
    assert_memory_equal(&read, &wanted, sizeof(read));
    check_ok(context, sonde__store_decision(store, 1, &read));
    assert_int_equal(read.epoch, 1);
    check_status(sonde__store_decision(store, 9, &read), SONDE_ERROR_NOT_FOUND);
    sonde__store_close(store);
    sonde_context_free(context);
}

static void facts_are_replaced_and_unknown_ones_are_null(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    char *value;
    check_ok(context, sonde__store_set(store, "status", "running"));
    check_ok(context, sonde__store_set(store, "status", "it's \"done\""));
    check_ok(context, sonde__store_get(store, "status", &value));
    assert_string_equal(value, "it's \"done\"");
    sonde__free(context, value);
    check_ok(context, sonde__store_get(store, "nothing", &value));
    assert_null(value);
    sonde__store_close(store);
    sonde_context_free(context);
}

static size_t count_epochs(sonde_context *context, sonde__store *store)
{
    sonde__epoch_row *rows;
    size_t count;
    check_ok(context, sonde__store_epochs(store, &rows, &count));
    sonde__store_free_rows(store, rows);
    return count;
}

static void rewinding_drops_what_came_later(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    for (int64_t epoch = 1; epoch <= 5; epoch++)
        write_epoch(context, store, epoch);
    check_ok(context, sonde__store_rewind(store, 3));
    assert_int_equal(count_epochs(context, store), 3);
    sonde_decision read;
    check_ok(context, sonde__store_decision(store, -1, &read));
    assert_int_equal(read.epoch, 3);
    sonde__event_row *events;
    size_t count;
    check_ok(context, sonde__store_events(store, &events, &count));
    assert_int_equal(count, 3);
    sonde__store_free_rows(store, events);
    write_epoch(context, store, 3); /* replaces */
    assert_int_equal(count_epochs(context, store), 3);
    sonde__store_close(store);
    sonde_context_free(context);
}

static void a_folder_with_a_run_is_not_created_again(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    sonde__store_close(store);
    check_status(sonde__store_open(context, folder, SONDE__STORE_CREATE, &store),
                 SONDE_ERROR_STATE);
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_WRITE, &store));
    sonde__store_close(store);
    sonde_context_free(context);
}

static void a_run_that_never_began_can_be_created_anew(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store;
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_CREATE, &store));
    sonde__store_close(store);
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_CREATE, &store));
    sonde__store_close(store);
    int empty = open(path, O_WRONLY | O_TRUNC); /* killed before the first transaction */
    close(empty);
    check_status(sonde__store_open(context, folder, SONDE__STORE_READ, &store),
                 SONDE_ERROR_NOT_FOUND);
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_CREATE, &store));
    sonde__store_close(store);
    sonde_context_free(context);
}

static void missing_runs_are_not_found(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store;
    check_status(sonde__store_open(context, folder, SONDE__STORE_READ, &store),
                 SONDE_ERROR_NOT_FOUND);
    check_status(sonde__store_open(context, folder, SONDE__STORE_WRITE, &store),
                 SONDE_ERROR_NOT_FOUND);
    check_status(sonde__store_open(context, "/nowhere/at/all", SONDE__STORE_READ, &store),
                 SONDE_ERROR_NOT_FOUND);
    assert_int_not_equal(access(path, F_OK), 0); /* asking made nothing */
    sonde_context_free(context);
}

static void a_second_writer_is_told_who_holds_the_run(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context), *second;
    char holder[32];
    snprintf(holder, sizeof(holder), "process %ld", (long)getpid());
    check_status(sonde__store_open(context, folder, SONDE__STORE_WRITE, &second),
                 SONDE_ERROR_LOCKED);
    assert_non_null(strstr(sonde_context_error(context)->message, holder));
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_READ, &second));
    sonde__store_close(second);
    sonde__store_close(store);
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_WRITE, &store));
    sonde__store_close(store);
    sonde_context_free(context);
}

static void a_killed_writer_leaves_no_lock_and_whole_epochs(void **state)
{
    (void)state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        sonde_context *context = check_context();
        sonde__store *store = create(context);
        write_epoch(context, store, 1);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (int64_t epoch = 2;; epoch++)
            write_epoch(context, store, epoch);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    usleep(30000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    sonde_context *context = check_context();
    sonde__store *store;
    sonde_decision decision;
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_WRITE, &store));
    size_t epochs = count_epochs(context, store);
    assert_true(epochs >= 1);
    check_ok(context, sonde__store_decision(store, -1, &decision));
    assert_int_equal(decision.epoch, epochs);
    sonde__store_close(store);
    sonde_context_free(context);
}

static void run_sql(const char *sql)
{
    sqlite3 *database;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static void newer_versions_are_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    sonde__store_close(store);
    run_sql("UPDATE schema SET version = 2");
    check_status(sonde__store_open(context, folder, SONDE__STORE_READ, &store),
                 SONDE_ERROR_VERSION);
    check_status(sonde__store_open(context, folder, SONDE__STORE_WRITE, &store),
                 SONDE_ERROR_VERSION);
    run_sql("DELETE FROM schema");
    check_status(sonde__store_open(context, folder, SONDE__STORE_READ, &store),
                 SONDE_ERROR_CORRUPT);
    sonde_context_free(context);
}

static void damaged_databases_are_told(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    for (int64_t epoch = 1; epoch <= 20; epoch++)
        write_epoch(context, store, epoch);
    sonde__store_close(store);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    int file = open(path, O_RDWR);
    char noise[4096];
    memset(noise, 0xa5, sizeof(noise));
    for (off_t at = 4096; at < about.st_size; at += 4096) /* all pages but the first */
        assert_int_equal(pwrite(file, noise, sizeof(noise), at), sizeof(noise));
    sonde__epoch_row *rows;
    size_t count;
    sonde_status status = sonde__store_open(context, folder, SONDE__STORE_READ, &store);
    if (status == SONDE_OK) {
        status = sonde__store_epochs(store, &rows, &count);
        sonde__store_close(store);
    }
    assert_int_equal(status, SONDE_ERROR_CORRUPT);
    assert_int_equal(pwrite(file, "this is no database at all......", 32, 0), 32);
    close(file);
    check_status(sonde__store_open(context, folder, SONDE__STORE_READ, &store),
                 SONDE_ERROR_CORRUPT);
    check_status(sonde__store_open(context, folder, SONDE__STORE_CREATE, &store),
                 SONDE_ERROR_CORRUPT);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void a_database_cut_anywhere_never_crashes(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    for (int64_t epoch = 1; epoch <= 4; epoch++)
        write_epoch(context, store, epoch);
    sonde__store_close(store);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    for (off_t size = about.st_size; size > 0; size -= 2777) {
        sonde__epoch_row *rows;
        size_t count;
        assert_int_equal(truncate(path, size), 0);
        if (sonde__store_open(context, folder, SONDE__STORE_READ, &store) != SONDE_OK)
            continue;
        if (sonde__store_epochs(store, &rows, &count) == SONDE_OK)
            sonde__store_free_rows(store, rows);
        sonde__store_close(store);
    }
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

/* In a child: the body's result is its exit status, 0 for good. */
static void in_child(int (*body)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(body());
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int write_with_a_full_disk(void)
{
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    write_epoch(context, store, 1);
    struct rlimit limit = {48 * 1024, 48 * 1024};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    sonde__epoch_row row = epoch_row(2);
    static double eigenvalues[64 * 1024];
    for (size_t i = 0; i < 64 * 1024; i++)
        eigenvalues[i] = (double)i;
    sonde__layer_row layer = {
        .epoch = 2, .layer = "fc1", .eigenvalues = eigenvalues, .eigenvalue_count = 64 * 1024};
    sonde_status status = sonde__store_write_epoch(store, &row, NULL, 0, &layer, 1, NULL, NULL, 0);
    if (status != SONDE_ERROR_NO_SPACE) {
        fprintf(stderr, "%s\n", sonde_context_error(context)->message);
        return 1;
    }
    if (count_epochs(context, store) != 1)
        return 2;
    write_epoch(context, store, 2); /* a small one still fits */
    sonde__store_close(store);
    sonde_context_free(context);
    return 0;
}

static void a_full_disk_is_told_and_nothing_is_lost(void **state)
{
    (void)state;
    in_child(write_with_a_full_disk);
}

static int open_without_rights(void)
{
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    write_epoch(context, store, 1);
    sonde__store_close(store);
    chmod(path, 0444);
    char lock[128];
    snprintf(lock, sizeof(lock), "%s/lock", folder);
    chmod(lock, 0444);
    chmod(folder, 0555);
    if (geteuid() == 0 && setuid(65534) != 0)
        return 0;
    sonde_status status = sonde__store_open(context, folder, SONDE__STORE_WRITE, &store);
    if (status != SONDE_ERROR_FILE)
        return 1;
    if (sonde__store_open(context, folder, SONDE__STORE_READ, &store) != SONDE_OK)
        return 2;
    if (count_epochs(context, store) != 1)
        return 3;
    sonde__store_close(store);
    char inner[128];
    snprintf(inner, sizeof(inner), "%s/new", folder);
    status = sonde__store_open(context, inner, SONDE__STORE_CREATE, &store);
    return status == SONDE_ERROR_FILE ? 0 : 4;
}

static void read_only_folders_can_be_read_and_not_written(void **state)
{
    (void)state;
    in_child(open_without_rights);
    chmod(folder, 0755);
}

static void copy_to(const char *from, const char *to)
{
    static char bytes[1 << 16];
    size_t got;
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    while ((got = fread(bytes, 1, sizeof(bytes), in)) > 0)
        assert_int_equal(fwrite(bytes, 1, got, out), got);
    fclose(in);
    fclose(out);
}

/* Database and journal as a writer leaves them that is killed within its transaction. */
static void make_hot_journal(void)
{
    sqlite3 *database;
    char journal[160], kept[160], kept_journal[160];
    snprintf(journal, sizeof(journal), "%s-journal", path);
    snprintf(kept, sizeof(kept), "%s/kept", folder);
    snprintf(kept_journal, sizeof(kept_journal), "%s/kept-journal", folder);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database,
                                  "PRAGMA journal_mode = TRUNCATE; PRAGMA cache_size = 1;"
                                  "BEGIN IMMEDIATE; DELETE FROM epochs;"
                                  "UPDATE layers SET eigenvalues = zeroblob(400000);",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    copy_to(path, kept);
    copy_to(journal, kept_journal);
    sqlite3_exec(database, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(database);
    assert_int_equal(rename(kept, path), 0);
    assert_int_equal(rename(kept_journal, journal), 0);
}

static void a_run_whose_writer_was_killed_in_a_transaction_can_be_read(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    write_epoch(context, store, 1);
    write_epoch(context, store, 2);
    sonde__store_close(store);
    make_hot_journal();
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_READ, &store));
    assert_int_equal(count_epochs(context, store), 2);
    sonde__store_close(store);
    sonde_context_free(context);
}

static double null_mean_of(sonde_context *context, sonde__store *store, size_t index)
{
    sonde__layer_row *rows;
    size_t count;
    check_ok(context, sonde__store_layers(store, false, &rows, &count));
    assert_true(index < count);
    double value = rows[index].report.null_mean;
    sonde__store_free_layers(store, rows, count);
    return value;
}

static void a_run_of_before_a_column_was_added_is_read_and_gets_it(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    sqlite3 *database;
    write_epoch(context, store, 1);
    sonde__store_close(store);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database,
                                  "ALTER TABLE layers DROP COLUMN null_mean;"
                                  "ALTER TABLE layers DROP COLUMN statistic_with_spikes",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(database);
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_READ, &store));
    assert_true(isnan(null_mean_of(context, store, 0)));
    sonde__store_close(store);
    check_ok(context, sonde__store_open(context, folder, SONDE__STORE_WRITE, &store));
    write_epoch(context, store, 2);
    assert_true(isnan(null_mean_of(context, store, 0)));
    assert_true(null_mean_of(context, store, 1) == 0.1875);
    sonde__store_close(store);
    sonde_context_free(context);
}

static void old_eigenvalues_are_thinned_but_the_named_epochs_stay(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__store *store = create(context);
    for (int64_t epoch = 1; epoch <= 13; epoch++)
        write_epoch(context, store, epoch); /* each names itself as the one to keep */
    sonde__layer_row *rows;
    size_t count;
    check_ok(context, sonde__store_layers(store, true, &rows, &count));
    assert_int_equal(count, 13);
    for (size_t i = 0; i < count; i++) {
        bool stays = rows[i].epoch == 1 || rows[i].epoch == 10 || rows[i].epoch == 13;
        assert_int_equal(rows[i].eigenvalues != NULL, stays);
    }
    sonde__store_free_layers(store, rows, count);
    sonde__store_close(store);
    sonde_context_free(context);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_come_back_as_written),
        TEST(decisions_come_back_bit_for_bit),
        TEST(facts_are_replaced_and_unknown_ones_are_null),
        TEST(rewinding_drops_what_came_later),
        TEST(a_folder_with_a_run_is_not_created_again),
        TEST(a_run_that_never_began_can_be_created_anew),
        TEST(missing_runs_are_not_found),
        TEST(a_second_writer_is_told_who_holds_the_run),
        TEST(a_killed_writer_leaves_no_lock_and_whole_epochs),
        TEST(newer_versions_are_refused),
        TEST(damaged_databases_are_told),
        TEST(a_database_cut_anywhere_never_crashes),
        TEST(a_full_disk_is_told_and_nothing_is_lost),
        TEST(read_only_folders_can_be_read_and_not_written),
        TEST(a_run_whose_writer_was_killed_in_a_transaction_can_be_read),
        TEST(a_run_of_before_a_column_was_added_is_read_and_gets_it),
        TEST(old_eigenvalues_are_thinned_but_the_named_epochs_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
