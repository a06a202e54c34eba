/*
 * The trainer on small generated data: it learns, repeats itself bit for bit, obeys, and comes back
 * from interruptions and damage with the same bits.
 */
#define _XOPEN_SOURCE 700 /* nftw */
#include "check.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/context.h"
#include "base/path.h"
#include "run/trainer.h"

static char base[64];

static int make_base(void **state)
{
    (void)state;
    /* In memory where possible: flushing hundreds of small files to a disk takes its time. */
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(base, sizeof(base), "%s/sonde-train-XXXXXX", where);
    return mkdtemp(base) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *at)
{
    (void)about;
    (void)kind;
    (void)at;
    return remove(path);
}

static int remove_base(void **state)
{
    (void)state;
    return nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *folder_of(const char *name)
{
    static char paths[4][128];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", base, name);
    return path;
}

static const char *file_of(const char *run, const char *name)
{
    static char paths[4][256];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s/%s", base, run, name);
    return path;
}

/* A context keeps thresholds calibrated once; that and nothing else may be left of a run. */
enum { KEPT_MOST = 4096 };

static void check_no_leak(const sonde_context *context)
{
    assert_in_range(sonde_context_memory_used(context), 0, KEPT_MOST);
}

static sonde__config small_config(void)
{
    sonde__config config;
    sonde__config_init(&config);
    config.train_size = 600;
    config.test_size = 200;
    config.epochs = 4;
    config.batch = 32;
    config.threads = 1;
    config.probe_size = 32;
    config.delta = 0.05; /* so that examples are skipped within a short run */
    config.anneal = 0;
    snprintf(config.model, sizeof(config.model), "mlp:widths=32");
    return config;
}

static void train(sonde_context *context, const sonde__config *config, const char *name,
                  sonde__run_summary *summary)
{
    check_ok(context, sonde__train(context, config, folder_of(name), NULL, summary));
}

/* ---- Comparing runs ---- */

static void check_same_file(sonde_context *context, const char *a, const char *b)
{
    void *x, *y;
    size_t m, n;
    check_ok(context, sonde__read_file(context, a, SIZE_MAX / 4, &x, &m));
    check_ok(context, sonde__read_file(context, b, SIZE_MAX / 4, &y, &n));
    if (m != n || memcmp(x, y, m) != 0)
        fail_msg("%s differs from %s", a, b);
    sonde__free(context, x);
    sonde__free(context, y);
}

static sonde__store *open_run(sonde_context *context, const char *name)
{
    sonde__store *store;
    check_ok(context, sonde__store_open(context, folder_of(name), SONDE__STORE_READ, &store));
    return store;
}

static void check_same_epochs(sonde_context *context, sonde__store *a, sonde__store *b)
{
    sonde__epoch_row *x, *y;
    size_t m, n;
    check_ok(context, sonde__store_epochs(a, &x, &m));
    check_ok(context, sonde__store_epochs(b, &y, &n));
    assert_int_equal(m, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(x[i].epoch, y[i].epoch);
        assert_int_equal(x[i].active, y[i].active);
        assert_true(x[i].train_loss == y[i].train_loss);
        assert_true(x[i].gradient_norm == y[i].gradient_norm);
        assert_true(x[i].test_accuracy == y[i].test_accuracy ||
                    (isnan(x[i].test_accuracy) && isnan(y[i].test_accuracy)));
        assert_true(x[i].learning_rate == y[i].learning_rate);
    }
    sonde__store_free_rows(a, x);
    sonde__store_free_rows(b, y);
}

static void check_same_scores(sonde_context *context, sonde__store *a, sonde__store *b)
{
    sonde__score_row *x, *y;
    sonde__layer_row *k, *l;
    size_t m, n;
    check_ok(context, sonde__store_scores(a, NULL, &x, &m));
    check_ok(context, sonde__store_scores(b, NULL, &y, &n));
    assert_int_equal(m, n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(x[i].signal, y[i].signal);
        assert_true(x[i].score.value == y[i].score.value);
    }
    sonde__store_free_rows(a, x);
    sonde__store_free_rows(b, y);
    check_ok(context, sonde__store_layers(a, true, &k, &m));
    check_ok(context, sonde__store_layers(b, true, &l, &n));
    assert_int_equal(m, n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(k[i].layer, l[i].layer);
        assert_int_equal(k[i].epoch, l[i].epoch);
        assert_true(k[i].report.statistic == l[i].report.statistic);
        assert_true(k[i].threshold == l[i].threshold && k[i].over == l[i].over);
        assert_int_equal(k[i].eigenvalue_count, l[i].eigenvalue_count);
    }
    sonde__store_free_layers(a, k, m);
    sonde__store_free_layers(b, l, n);
}

/* Everything that is not a time. */
static void check_same_runs(sonde_context *context, const char *a, const char *b, int64_t last)
{
    char name[64];
    sonde_decision x, y;
    sonde__store *first = open_run(context, a), *second = open_run(context, b);
    check_same_epochs(context, first, second);
    check_same_scores(context, first, second);
    check_ok(context, sonde__store_decision(first, -1, &x));
    check_ok(context, sonde__store_decision(second, -1, &y));
    assert_memory_equal(&x, &y, sizeof(x));
    sonde__store_close(first);
    sonde__store_close(second);
    check_same_file(context, file_of(a, "kept.safetensors"), file_of(b, "kept.safetensors"));
    snprintf(name, sizeof(name), "checkpoints/epoch-%04lld.safetensors", (long long)last);
    check_same_file(context, file_of(a, name), file_of(b, name));
    snprintf(name, sizeof(name), "state/epoch-%04lld.safetensors", (long long)last);
    check_same_file(context, file_of(a, name), file_of(b, name));
}

/* The value of a key of the file, or "". */
static const char *metadata_of(const sonde_model *file, const char *key)
{
    const char *each, *value;
    for (size_t i = 0; sonde_model_metadata(file, i, &each, &value) == SONDE_OK; i++)
        if (strcmp(each, key) == 0)
            return value;
    return "";
}

/* ---- Learning ---- */

static void a_run_learns_and_leaves_everything_behind(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.epochs = 6;
    train(context, &config, "a", &summary);
    assert_string_equal(summary.status, "finished");
    assert_int_equal(summary.epochs_run, 6);
    assert_int_equal(summary.train_examples, 600);
    assert_int_equal(summary.parameters, 784 * 32 + 32 + 32 * 10 + 10);
    assert_true(summary.final_test_accuracy > 0.3); /* chance is 0.1 */
    assert_in_range(summary.decision.keep.epoch, 1, 6);
    assert_true(sonde__path_exists(file_of("a", "kept.safetensors")));
    assert_true(sonde__path_exists(file_of("a", "checkpoints/epoch-0006.safetensors")));
    assert_true(sonde__path_exists(file_of("a", "state/epoch-0005.safetensors")));
    assert_false(sonde__path_exists(file_of("a", "state/epoch-0004.safetensors")));
    sonde_model *file;
    check_ok(context, sonde_model_open(context, file_of("a", "kept.safetensors"), NULL, &file));
    assert_string_equal(metadata_of(file, "model"), "mlp:widths=32");
    sonde_model_close(file);
    check_no_leak(context);
    sonde_context_free(context);
}

static void a_convolutional_net_with_other_parts_learns_too(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    snprintf(config.model, sizeof(config.model), "resnet8");
    snprintf(config.optimizer, sizeof(config.optimizer), "adamw");
    snprintf(config.probe, sizeof(config.probe), "held:40,train,augmented");
    config.train_size = 289 + 40; /* leaves a batch of one, which batch norm cannot train on */
    config.test_size = 50;
    config.epochs = 2;
    config.augment = true;
    config.clip = 1;
    config.label_smoothing = 0.1;
    config.lr = 0.01;
    train(context, &config, "a", &summary);
    sonde__store *store = open_run(context, "a");
    sonde__score_row *rows;
    size_t count;
    check_ok(context, sonde__store_scores(store, NULL, &rows, &count));
    assert_int_equal(count, 2 * 3 * 2 * 10);
    sonde__store_free_rows(store, rows);
    check_ok(context, sonde__store_scores(store, "augmented2.raw", &rows, &count));
    assert_int_equal(count, 2);
    sonde__store_free_rows(store, rows);
    sonde__epoch_row *epochs;
    check_ok(context, sonde__store_epochs(store, &epochs, &count));
    assert_int_equal(epochs[0].examples, 289); /* the held-out ones are never trained on */
    assert_true(epochs[1].train_loss < epochs[0].train_loss);
    sonde__store_free_rows(store, epochs);
    sonde__store_close(store);
    sonde_context_free(context);
}

static void other_losses_learn(void **state)
{
    (void)state;
    static const char *const losses[] = {"squared", "sigmoid"};
    sonde_context *context = check_context();
    for (int i = 0; i < 2; i++) {
        sonde__config config = small_config();
        sonde__run_summary summary;
        config.lr = 0.2;
        snprintf(config.loss, sizeof(config.loss), "%s", losses[i]);
        train(context, &config, losses[i], &summary);
        assert_true(summary.final_test_accuracy > 0.2);
    }
    sonde_context_free(context);
}

/* ---- Sameness ---- */

static void the_same_seed_gives_the_same_bits(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.augment = true;
    train(context, &config, "a", &summary);
    train(context, &config, "b", &summary);
    check_same_runs(context, "a", "b", 4);
    config.seed = 2;
    train(context, &config, "c", &summary);
    sonde__store *a = open_run(context, "a"), *c = open_run(context, "c");
    sonde__epoch_row *x, *y;
    size_t count;
    check_ok(context, sonde__store_epochs(a, &x, &count));
    check_ok(context, sonde__store_epochs(c, &y, &count));
    assert_true(x[0].train_loss != y[0].train_loss);
    sonde__store_free_rows(a, x);
    sonde__store_free_rows(c, y);
    sonde__store_close(a);
    sonde__store_close(c);
    sonde_context_free(context);
}

static void skipping_nothing_is_the_baseline(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.skip = false;
    train(context, &config, "off", &summary);
    config.skip = true;
    config.delta = 0;
    train(context, &config, "zero", &summary);
    assert_true(summary.decision.saved_fraction == 0);
    check_same_file(context, file_of("off", "checkpoints/epoch-0004.safetensors"),
                    file_of("zero", "checkpoints/epoch-0004.safetensors"));
    sonde_context_free(context);
}

static void mastered_examples_are_skipped_and_counted(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.epochs = 9;
    config.delta = 0.5;
    train(context, &config, "a", &summary);
    assert_true(summary.decision.saved_fraction > 0.05);
    sonde__store *store = open_run(context, "a");
    sonde__epoch_row *rows;
    size_t count;
    check_ok(context, sonde__store_epochs(store, &rows, &count));
    assert_int_equal(rows[0].active, 600);
    assert_true(rows[8].active < 600);
    sonde__store_free_rows(store, rows);
    sonde__store_close(store);
    sonde_context_free(context);
}

/* ---- Interruptions ---- */

typedef struct counter {
    int asked, limit, events;
} counter;

static bool count_down(void *user)
{
    counter *c = user;
    return ++c->asked > c->limit;
}

static void count_event(void *user, const char *text)
{
    counter *c = user;
    c->events += text[0] != '\0';
}

static void interrupted_anywhere_a_run_ends_with_the_same_bits(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.train_size = 200;
    config.epochs = 6;
    config.delta = 0.5;
    snprintf(config.model, sizeof(config.model), "mlp:widths=16,dropout=0.2");
    train(context, &config, "whole", &summary);
    counter c = {0, 4, 0};
    sonde__train_hooks hooks = {.user = &c, .interrupted = count_down};
    check_ok(context, sonde__train(context, &config, folder_of("cut"), &hooks, &summary));
    assert_string_equal(summary.status, "interrupted");
    assert_int_equal(summary.epochs_run, 0);
    int resumed = 0;
    while (strcmp(summary.status, "finished") != 0 && resumed < 100) {
        c = (counter){0, 17 + 5 * (resumed % 4), 0};
        check_ok(context, sonde__train_resume(context, folder_of("cut"), 0, &hooks, &summary));
        resumed++;
    }
    assert_in_range(resumed, 3, 30);
    check_same_runs(context, "whole", "cut", 6);
    sonde_context_free(context);
}

static void a_finished_run_can_only_be_made_longer(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.epochs = 2;
    train(context, &config, "a", &summary);
    check_ok(context, sonde__train_resume(context, folder_of("a"), 0, NULL, &summary));
    assert_int_equal(summary.epochs_run, 2);
    assert_string_equal(summary.status, "finished");
    check_status(sonde__train_resume(context, folder_of("a"), 1, NULL, &summary),
                 SONDE_ERROR_ARGUMENT);
    check_ok(context, sonde__train_resume(context, folder_of("a"), 4, NULL, &summary));
    assert_int_equal(summary.epochs_run, 4);
    assert_int_equal(summary.config.epochs, 4);
    check_ok(context, sonde__train_resume(context, folder_of("a"), 0, NULL, &summary));
    assert_int_equal(summary.epochs_run, 4);
    sonde_context_free(context);
}

static void a_diverging_run_ends_with_its_last_good_checkpoint(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    counter c = {0, 1000000, 0};
    sonde__train_hooks hooks = {.user = &c, .event = count_event};
    config.lr = 1e-3;
    snprintf(config.schedule, sizeof(config.schedule), "step");
    snprintf(config.milestones, sizeof(config.milestones), "2");
    config.gamma = 1e6; /* fine for two epochs, then hopeless */
    snprintf(config.loss, sizeof(config.loss), "squared");
    memset(&summary, 0, sizeof(summary));
    check_status(sonde__train(context, &config, folder_of("a"), &hooks, &summary),
                 SONDE_ERROR_NUMERIC);
    assert_non_null(strstr(sonde_context_error(context)->message, "epoch 3"));
    assert_non_null(strstr(sonde_context_error(context)->message, "--lr"));
    assert_string_equal(summary.status, "diverged");
    assert_int_equal(summary.epochs_run, 2);
    assert_true(sonde__path_exists(file_of("a", "kept.safetensors")));
    assert_false(sonde__path_exists(file_of("a", "checkpoints/epoch-0003.safetensors")));
    sonde_context_free(context);
}

static void a_run_that_diverges_at_once_says_why_and_is_not_resumed(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    sonde__event_row *events;
    size_t count;
    config.lr = 1e5;
    memset(&summary, 0, sizeof(summary));
    check_status(sonde__train(context, &config, folder_of("a"), NULL, &summary),
                 SONDE_ERROR_NUMERIC);
    assert_non_null(strstr(sonde_context_error(context)->message, "is not finite in epoch 1"));
    assert_string_equal(sonde_context_error(context)->file, folder_of("a"));
    assert_string_equal(summary.status, "diverged");
    assert_int_equal(summary.epochs_run, 0);
    check_status(sonde__train_resume(context, folder_of("a"), 0, NULL, &summary),
                 SONDE_ERROR_STATE);
    assert_non_null(strstr(sonde_context_error(context)->message, "--lr"));
    sonde__store *store = open_run(context, "a");
    check_ok(context, sonde__store_events(store, &events, &count));
    assert_int_equal(count, 1);
    sonde__store_free_rows(store, events);
    sonde__store_close(store);
    check_no_leak(context);
    sonde_context_free(context);
}

/* ---- Options ---- */

static void label_noise_lowers_what_can_be_learned(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary clean, noisy;
    train(context, &config, "clean", &clean);
    config.label_noise = 0.8;
    train(context, &config, "noisy", &noisy);
    assert_true(noisy.final_train_loss > clean.final_train_loss + 0.2);
    sonde_context_free(context);
}

static void the_kept_epoch_always_has_a_checkpoint(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    char name[64];
    config.epochs = 8;
    config.checkpoint_every = 3;
    config.test_each_epoch = false;
    train(context, &config, "a", &summary);
    int64_t kept = summary.decision.keep.epoch;
    assert_true(kept == 3 || kept == 6 || kept == 8);
    assert_false(sonde__path_exists(file_of("a", "checkpoints/epoch-0002.safetensors")));
    assert_true(sonde__path_exists(file_of("a", "checkpoints/epoch-0008.safetensors")));
    snprintf(name, sizeof(name), "checkpoints/epoch-%04lld.safetensors", (long long)kept);
    check_same_file(context, file_of("a", name), file_of("a", "kept.safetensors"));
    assert_false(isnan(summary.kept_test_accuracy) || isnan(summary.final_test_accuracy));
    sonde_context_free(context);
}

static void thinning_leaves_the_kept_and_the_recent_ones(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    char name[64];
    int left = 0;
    config.train_size = 100;
    config.epochs = 24;
    config.thin = true;
    train(context, &config, "a", &summary);
    for (int epoch = 1; epoch <= 24; epoch++) {
        snprintf(name, sizeof(name), "checkpoints/epoch-%04d.safetensors", epoch);
        bool exists = sonde__path_exists(file_of("a", name));
        left += exists;
        assert_true(exists || (epoch < 20 && epoch != summary.decision.keep.epoch));
    }
    assert_in_range(left, 5, 16);
    sonde_context_free(context);
}

static void a_stop_is_obeyed_only_when_asked(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.epochs = 12;
    config.lr = 0.3;
    config.published_threshold = true;
    snprintf(config.model, sizeof(config.model), "mlp:widths=128");
    snprintf(config.schedule, sizeof(config.schedule), "constant");
    train(context, &config, "advised", &summary);
    assert_int_equal(summary.epochs_run, 12);
    assert_true(summary.decision.stop_advised);
    config.stop = true;
    train(context, &config, "obeyed", &summary);
    assert_string_equal(summary.status, "stopped");
    assert_true(summary.epochs_run < 12);
    check_ok(context, sonde__train_resume(context, folder_of("obeyed"), 0, NULL, &summary));
    assert_string_equal(summary.status, "stopped");
    sonde_context_free(context);
}

/* ---- Bad folders ---- */

static void wrong_options_leave_no_folder_behind(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    snprintf(config.model, sizeof(config.model), "no-such-net");
    assert_int_not_equal(sonde__train(context, &config, folder_of("a"), NULL, &summary), SONDE_OK);
    config = small_config();
    config.epochs = 0;
    check_status(sonde__train(context, &config, folder_of("a"), NULL, &summary), SONDE_ERROR_RANGE);
    config = small_config();
    snprintf(config.probe, sizeof(config.probe), "held:597");
    check_status(sonde__train(context, &config, folder_of("a"), NULL, &summary), SONDE_ERROR_RANGE);
    assert_non_null(strstr(sonde_context_error(context)->message, "held:597"));
    config = small_config();
    config.train_size = 3;
    check_status(sonde__train(context, &config, folder_of("a"), NULL, &summary), SONDE_ERROR_RANGE);
    assert_string_equal(sonde_context_error(context)->item, "train-size");
    config = small_config();
    snprintf(config.data, sizeof(config.data), "no-such-data");
    assert_int_not_equal(sonde__train(context, &config, folder_of("a"), NULL, &summary), SONDE_OK);
    assert_false(sonde__path_exists(folder_of("a")));
    check_status(sonde__train_resume(context, folder_of("a"), 0, NULL, &summary),
                 SONDE_ERROR_NOT_FOUND);
    check_no_leak(context);
    sonde_context_free(context);
}

static void a_run_that_is_in_use_or_there_is_refused(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    sonde__store *store;
    config.epochs = 1;
    train(context, &config, "a", &summary);
    check_status(sonde__train(context, &config, folder_of("a"), NULL, &summary), SONDE_ERROR_STATE);
    check_ok(context, sonde__store_open(context, folder_of("a"), SONDE__STORE_WRITE, &store));
    check_status(sonde__train_resume(context, folder_of("a"), 3, NULL, &summary),
                 SONDE_ERROR_LOCKED);
    sonde__store_close(store);
    sonde_context_free(context);
}

/* A run of two whole epochs, interrupted in the third. */
static void make_interrupted_run(sonde_context *context, const char *name)
{
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.train_size = 200;
    config.test_each_epoch = false;
    counter c = {0, 25, 0};
    sonde__train_hooks hooks = {.user = &c, .interrupted = count_down};
    check_ok(context, sonde__train(context, &config, folder_of(name), &hooks, &summary));
    assert_string_equal(summary.status, "interrupted");
    assert_true(summary.epochs_run >= 2);
}

static void run_sql(const char *name, const char *sql)
{
    sqlite3 *database;
    assert_int_equal(sqlite3_open(file_of(name, "run.sqlite"), &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static void copy_bytes(sonde_context *context, const char *path, void **bytes, size_t *size)
{
    check_ok(context, sonde__read_file(context, path, SIZE_MAX / 4, bytes, size));
}

static int64_t last_epoch(sonde_context *context, const char *name)
{
    sonde_decision decision;
    sonde__store *store = open_run(context, name);
    check_ok(context, sonde__store_decision(store, -1, &decision));
    sonde__store_close(store);
    return decision.epoch;
}

static void a_damaged_state_falls_back_and_ends_the_same(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__run_summary summary;
    sonde__config config = small_config();
    config.train_size = 200;
    config.test_each_epoch = false;
    train(context, &config, "whole", &summary);
    for (int damage = 0; damage < 4; damage++) {
        char name[32], state_name[64];
        void *bytes;
        size_t size;
        snprintf(name, sizeof(name), "run%d", damage);
        make_interrupted_run(context, name);
        snprintf(state_name, sizeof(state_name), "state/epoch-%04lld.safetensors",
                 (long long)last_epoch(context, name));
        const char *path = file_of(name, state_name);
        copy_bytes(context, path, &bytes, &size);
        if (damage == 3)
            ((uint8_t *)bytes)[size - 100] ^= 4; /* one bit */
        else
            size = damage == 0 ? 0 : damage == 1 ? 40 : size - 1;
        check_ok(context, sonde__replace_file(context, path, bytes, size));
        sonde__free(context, bytes);
        counter c = {0, 1000000, 0};
        sonde__train_hooks hooks = {.user = &c, .event = count_event};
        check_ok(context, sonde__train_resume(context, folder_of(name), 0, &hooks, &summary));
        assert_true(c.events >= 1);
        assert_string_equal(summary.status, "finished");
        check_same_runs(context, "whole", name, 4);
    }
    sonde_context_free(context);
}

static void a_run_without_any_whole_state_says_what_to_do(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__run_summary summary;
    make_interrupted_run(context, "a");
    int64_t last = last_epoch(context, "a");
    for (int64_t epoch = last - 1; epoch <= last; epoch++) {
        char name[64];
        snprintf(name, sizeof(name), "state/epoch-%04lld.safetensors", (long long)epoch);
        assert_int_equal(truncate(file_of("a", name), 100), 0);
    }
    sonde_status status = sonde__train_resume(context, folder_of("a"), 0, NULL, &summary);
    assert_true(status == SONDE_ERROR_TRUNCATED || status == SONDE_ERROR_CORRUPT ||
                status == SONDE_ERROR_FORMAT);
    const sonde_error *error = sonde_context_error(context);
    assert_non_null(strstr(error->file, "state/epoch-"));
    assert_non_null(strstr(error->message, "cannot be resumed"));
    check_no_leak(context);
    sonde_context_free(context);
}

static void newer_and_damaged_runs_are_not_resumed(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__run_summary summary;
    make_interrupted_run(context, "a");
    run_sql("a", "UPDATE schema SET version = 9");
    check_status(sonde__train_resume(context, folder_of("a"), 0, NULL, &summary),
                 SONDE_ERROR_VERSION);
    int file = open(file_of("a", "run.sqlite"), O_RDWR);
    assert_int_equal(pwrite(file, "garbage garbage garbage", 24, 0), 24);
    close(file);
    check_status(sonde__train_resume(context, folder_of("a"), 0, NULL, &summary),
                 SONDE_ERROR_CORRUPT);
    sonde_context_free(context);
}

static void a_damaged_kept_checkpoint_does_not_pass_for_a_good_one(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    char name[64];
    config.epochs = 2;
    train(context, &config, "a", &summary);
    run_sql("a", "UPDATE facts SET value = 'running' WHERE key = 'status'");
    snprintf(name, sizeof(name), "checkpoints/epoch-%04lld.safetensors",
             (long long)summary.decision.keep.epoch);
    int file = open(file_of("a", name), O_WRONLY);
    assert_int_equal(pwrite(file, "\x5a\xa5", 2, 5000), 2);
    close(file);
    check_status(sonde__train_resume(context, folder_of("a"), 0, NULL, &summary),
                 SONDE_ERROR_CORRUPT);
    assert_non_null(strstr(sonde_context_error(context)->file, name));
    sonde__store *store = open_run(context, "a");
    check_ok(context, sonde__run_summarise(store, &summary));
    assert_string_equal(summary.status, "interrupted");
    sonde__store_close(store);
    check_no_leak(context);
    sonde_context_free(context);
}

static void a_run_is_not_resumed_with_other_data(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.epochs = 1;
    train(context, &config, "a", &summary);
    /* As if a file of the same shape had been put in the place of the old one. */
    run_sql("a", "UPDATE facts SET value = replace(value, '\"label-noise\": 0.0', "
                 "'\"label-noise\": 0.5') WHERE key = 'config'");
    check_status(sonde__train_resume(context, folder_of("a"), 2, NULL, &summary),
                 SONDE_ERROR_STATE);
    assert_non_null(strstr(sonde_context_error(context)->message, "other data"));
    run_sql("a", "DELETE FROM facts WHERE key = 'data'");
    check_ok(context, sonde__train_resume(context, folder_of("a"), 2, NULL, &summary));
    check_no_leak(context);
    sonde_context_free(context);
}

static void a_run_killed_before_it_began_is_not_told_with_defaults(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    sonde__store *store;
    check_ok(context, sonde__store_open(context, folder_of("a"), SONDE__STORE_CREATE, &store));
    check_ok(context, sonde__store_set(store, "status", "running"));
    sonde__store_close(store);
    store = open_run(context, "a");
    check_status(sonde__run_summarise(store, &summary), SONDE_ERROR_NOT_FOUND);
    assert_non_null(strstr(sonde_context_error(context)->message, "before training began"));
    sonde__store_close(store);
    config.epochs = 1;
    train(context, &config, "a", &summary);
    sonde_context_free(context);
}

static void a_state_that_a_killed_process_left_is_cleaned_away(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    config.epochs = 3;
    train(context, &config, "a", &summary);
    /* As if killed between the commit of epoch 3 and the removal of epoch 1's state. */
    check_ok(context,
             sonde__replace_file(context, file_of("a", "state/epoch-0001.safetensors"), "old", 3));
    check_ok(context, sonde__train_resume(context, folder_of("a"), 4, NULL, &summary));
    assert_false(sonde__path_exists(file_of("a", "state/epoch-0001.safetensors")));
    assert_false(sonde__path_exists(file_of("a", "state/epoch-0002.safetensors")));
    assert_true(sonde__path_exists(file_of("a", "state/epoch-0003.safetensors")));
    sonde_context_free(context);
}

/* In a child, as its limits stay with it. 0: good. */
static int run_with_a_full_disk(void)
{
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    struct rlimit limit = {150 * 1024, 150 * 1024}; /* a checkpoint fits, a state does not */
    signal(SIGXFSZ, SIG_IGN);
    config.train_size = 100;
    setrlimit(RLIMIT_FSIZE, &limit);
    sonde_status status = sonde__train(context, &config, folder_of("a"), NULL, &summary);
    if (status != SONDE_ERROR_NO_SPACE) {
        fprintf(stderr, "%s: %s\n", sonde_status_name(status),
                sonde_context_error(context)->message);
        return 1;
    }
    if (!strstr(sonde_context_error(context)->message, "free space"))
        return 3;
    return sonde_context_memory_used(context) < KEPT_MOST ? 0 : 2;
}

static int run_without_rights(void)
{
    sonde_context *context = check_context();
    sonde__config config = small_config();
    sonde__run_summary summary;
    chmod(base, 0555);
    if (geteuid() == 0 && setuid(65534) != 0)
        return 0;
    config.train_size = 100;
    sonde_status status = sonde__train(context, &config, folder_of("a"), NULL, &summary);
    return status == SONDE_ERROR_FILE ? 0 : 1;
}

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

static void a_full_disk_ends_the_run_and_it_can_be_resumed(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__run_summary summary;
    in_child(run_with_a_full_disk);
    check_ok(context, sonde__train_resume(context, folder_of("a"), 0, NULL, &summary));
    assert_string_equal(summary.status, "finished");
    sonde_context_free(context);
}

static void a_read_only_folder_is_told(void **state)
{
    (void)state;
    in_child(run_without_rights);
    chmod(base, 0755);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_base, remove_base)

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* Forks come first: threads of the engine do not live on in a child. */
        TEST(a_full_disk_ends_the_run_and_it_can_be_resumed),
        TEST(a_read_only_folder_is_told),
        TEST(a_run_learns_and_leaves_everything_behind),
        TEST(a_convolutional_net_with_other_parts_learns_too),
        TEST(other_losses_learn),
        TEST(the_same_seed_gives_the_same_bits),
        TEST(skipping_nothing_is_the_baseline),
        TEST(mastered_examples_are_skipped_and_counted),
        TEST(interrupted_anywhere_a_run_ends_with_the_same_bits),
        TEST(a_finished_run_can_only_be_made_longer),
        TEST(a_diverging_run_ends_with_its_last_good_checkpoint),
        TEST(a_run_that_diverges_at_once_says_why_and_is_not_resumed),
        TEST(label_noise_lowers_what_can_be_learned),
        TEST(the_kept_epoch_always_has_a_checkpoint),
        TEST(thinning_leaves_the_kept_and_the_recent_ones),
        TEST(a_stop_is_obeyed_only_when_asked),
        TEST(wrong_options_leave_no_folder_behind),
        TEST(a_run_that_is_in_use_or_there_is_refused),
        TEST(a_damaged_state_falls_back_and_ends_the_same),
        TEST(a_run_without_any_whole_state_says_what_to_do),
        TEST(newer_and_damaged_runs_are_not_resumed),
        TEST(a_damaged_kept_checkpoint_does_not_pass_for_a_good_one),
        TEST(a_state_that_a_killed_process_left_is_cleaned_away),
        TEST(a_run_is_not_resumed_with_other_data),
        TEST(a_run_killed_before_it_began_is_not_told_with_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
