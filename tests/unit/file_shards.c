/* Shard indices: their text, which names are refused, where links may lead, which file of a folder. */
#include <sys/stat.h>

#include "check.h"
#include "failing.h"
#include "file/model_internal.h"
#include "file/safetensors.h"
#include "file/shards_internal.h"
#include "folder.h"

static const float ONE[1] = {1}, TWO[1] = {2};

static void write_shard_of(sonde_context *context, const char *file, const char *name,
                           const float *value, const char *format)
{
    const sonde__metadata pair = {"format", format};
    const sonde__tensor tensor = {name, SONDE_NUMBER_F32, 1, {1}, value, 4};
    check_ok(context, sonde__safetensors_write(context, folder_path(file), &tensor, 1, &pair, 1));
}

static void write_shard(sonde_context *context, const char *file, const char *name,
                        const float *value)
{
    write_shard_of(context, file, name, value, "pt");
}

static void write_text(const char *name, const char *text)
{
    folder_write(name, text, strlen(text));
}

/* --- the text ----------------------------------------------------------------------------------- */

static void pairs_are_grouped_by_first_mention(void **state)
{
    (void)state;
    static const char *const tensors[] = {"a", "b", "c", "d", "e"};
    static const uint32_t firsts[] = {0, 1, 0, 1, 4};
    char text[] = "{\"metadata\":{\"total_size\":77,\"x\":[{}]},\"weight_map\":{\"a\":\"z\","
                  "\"b\":\"y\",\"c\":\"z\",\"d\":\"y\",\"e\":\"x\"}} \n";
    sonde_context *context = check_context();
    sonde__index index;
    check_ok(context, sonde__index_parse(context, "i", text, sizeof text - 1, &index));
    assert_int_equal(index.count, 5);
    assert_int_equal(index.total_size, 77);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(index.map[i].tensor, tensors[i]);
        assert_int_equal(index.map[i].first, firsts[i]);
    }
    assert_string_equal(index.map[4].shard, "x");
    sonde__index_free(context, &index);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void many_shards_are_grouped_in_no_time(void **state)
{
    (void)state;
    enum { TENSORS = 100000 };
    sonde_context *context = check_context();
    char *text = malloc(TENSORS * 40 + 64), *to = text;
    to += sprintf(to, "{\"weight_map\":{");
    for (int i = 0; i < TENSORS; i++)
        to += sprintf(to, "%s\"t%d\":\"s%d.safetensors\"", i ? "," : "", i, i * 7919 % 150);
    to += sprintf(to, "}}");
    sonde__index index;
    check_ok(context, sonde__index_parse(context, "i", text, (size_t)(to - text), &index));
    assert_int_equal(index.count, TENSORS);
    size_t shards = 0;
    for (size_t i = 0; i < index.count; i++)
        shards += index.map[i].first == i;
    assert_int_equal(shards, 150);
    sonde__index_free(context, &index);
    free(text);
    sonde_context_free(context);
}

static void names_that_leave_the_folder_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "/a",    "//a/b", "..",   "../a",  "a/..", "a/../b",
                                      ".",    "./a",   "a/.",   "a//b", "a/",    "C:a",  "z:/a",
                                      "a\\b", "\\\\s", "a\nb",  "\x7f", "a.json"};
    static const char *const good[] = {"a",     "a.b", "..a", "a..",     "...",
                                       "a/b/c", ".a",  "1:a", "\xc3\xa9"};
    char longest[SONDE__SHARD_NAME_MAX + 2];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!sonde__shard_name_fault(bad[i]))
            fail_msg("'%s' is accepted", bad[i]);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (sonde__shard_name_fault(good[i]))
            fail_msg("'%s' %s", good[i], sonde__shard_name_fault(good[i]));
    memset(longest, 'a', sizeof longest);
    longest[SONDE__SHARD_NAME_MAX + 1] = '\0';
    assert_non_null(sonde__shard_name_fault(longest));
    assert_null(sonde__shard_name_fault(longest + 1));
}

/* --- opening ------------------------------------------------------------------------------------ */

static void shards_become_one_model(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    sonde_model_info info;
    double value;
    write_shard(context, "1.safetensors", "a", ONE);
    write_shard(context, "2.safetensors", "b", TWO);
    write_text("m.index.json", "{\"metadata\":{\"total_size\":8},\"weight_map\":"
                               "{\"b\":\"2.safetensors\",\"a\":\"1.safetensors\"}}");
    check_ok(context, sonde_model_open(context, folder_path("m.index.json"), NULL, &model));
    sonde_model_describe(model, &info);
    assert_int_equal(info.files, 2);
    assert_int_equal(info.tensors, 2);
    assert_int_equal(info.warnings, 0);
    assert_int_equal(info.metadata, 1); /* both shards say the same */
    check_ok(context, sonde_model_read(model, 0, 0, 1, SONDE_F64, &value));
    check_close(value, 2, 0, 0, "of the shard that is named first");
    sonde_model_close(model);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void of_metadata_that_contradict_each_other_the_first_are_kept(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    sonde_model_info info;
    const char *key, *value;
    write_shard_of(context, "1.safetensors", "a", ONE, "tf");
    write_shard_of(context, "2.safetensors", "b", TWO, "pt"); /* named first */
    write_text("m.index.json",
               "{\"weight_map\":{\"b\":\"2.safetensors\",\"a\":\"1.safetensors\"}}");
    check_ok(context, sonde_model_open(context, folder_path("m.index.json"), NULL, &model));
    sonde_model_describe(model, &info);
    assert_int_equal(info.metadata, 1);
    check_ok(context, sonde_model_metadata(model, 0, &key, &value));
    assert_string_equal(value, "pt");
    assert_int_equal(info.warnings, 1);
    const char *warning = sonde_model_warning(model, 0);
    if (!strstr(warning, "1.safetensors") || !strstr(warning, "'tf'") ||
        !strstr(warning, "'format'"))
        fail_msg("'%s'", warning);
    sonde_model_close(model);
    sonde_context_free(context);
}

/* An index is found by a path without a slash too. */
static void shards_of_an_index_in_the_working_folder_are_found(void **state)
{
    (void)state;
    char before[4096];
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    write_shard(context, "1.safetensors", "a", ONE);
    write_text("n.index.json", "{\"weight_map\":{\"a\":\"1.safetensors\"}}");
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    sonde_status status = sonde_model_open(context, "n.index.json", NULL, &model);
    assert_int_equal(chdir(before), 0);
    check_ok(context, status);
    sonde_model_close(model);
    sonde_context_free(context);
}

static sonde_status open_sharded(sonde_context *context, void *argument)
{
    (void)argument;
    sonde_model *model = NULL;
    sonde_status status = sonde_model_open(context, folder_path("m.index.json"), NULL, &model);
    sonde_model_close(model);
    return status;
}

static void refused_allocations_are_a_status(void **state)
{
    (void)state;
    assert_true(failing_run(open_sharded, NULL) >= 10);
}

static void links_may_lead_into_the_folder_and_the_cache_of_its_repository(void **state)
{
    (void)state;
    static const struct {
        const char *link, *target;
        sonde_status status;
    } cases[] = {
        {"models--o--n/snapshots/r/inside", "plain", SONDE_OK},
        {"models--o--n/snapshots/r/blob", "../../blobs/hash", SONDE_OK},
        {"models--o--n/snapshots/r/ref", "../../refs/main", SONDE_ERROR_FILE},
        {"models--o--n/snapshots/r/other", "../s/plain", SONDE_ERROR_FILE},
        {"models--o--n/snapshots/r/out", "/etc/passwd", SONDE_ERROR_FILE},
        {"models--o--n/snapshots/r/gone", "nothing", SONDE_ERROR_NOT_FOUND},
    };
    char command[512];
    snprintf(command, sizeof command,
             "cd '%s' && mkdir -p models--o--n/blobs models--o--n/refs models--o--n/snapshots/r "
             "models--o--n/snapshots/s && touch models--o--n/blobs/hash models--o--n/refs/main "
             "models--o--n/snapshots/r/plain models--o--n/snapshots/s/plain",
             folder);
    assert_int_equal(system(command), 0);
    sonde_context *context = check_context();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(symlink(cases[i].target, folder_path(cases[i].link)), 0);
        sonde_status status = sonde__check_inside(context, folder_path("models--o--n/snapshots/r"),
                                                  folder_path(cases[i].link), NULL);
        if (status != cases[i].status)
            fail_msg("%s -> %s: %s", cases[i].link, cases[i].target, sonde_status_name(status));
    }
    sonde_context_free(context);
}

/* --- folders ------------------------------------------------------------------------------------ */

/* Files are made one after the other; after each this one is the model of the folder. */
static void the_model_of_a_folder_is_the_usual_one_or_the_only_one(void **state)
{
    (void)state;
    static const struct {
        const char *made, *found; /* NULL: none can be told */
    } steps[] = {
        {"config.json", NULL},
        {"z.pt", "z.pt"},
        {"y.gguf", NULL},
        {"adapter_model.safetensors", "adapter_model.safetensors"},
        {"pytorch_model.bin", "pytorch_model.bin"},
        {"pytorch_model.bin.index.json", "pytorch_model.bin.index.json"},
        {"model.safetensors", "model.safetensors"},
        {"model.safetensors.index.json", "model.safetensors.index.json"},
    };
    sonde_context *context = check_context();
    assert_int_equal(mkdir(folder_path("f"), 0700), 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char name[128], *path = NULL;
        snprintf(name, sizeof name, "f/%s", steps[i].made);
        write_text(name, "x");
        sonde_status status = sonde__model_in_folder(context, folder_path("f"), &path);
        if (!steps[i].found)
            assert_null(path);
        else {
            check_ok(context, status);
            assert_string_equal(strrchr(path, '/') + 1, steps[i].found);
        }
        sonde__free(context, path);
    }
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_grouped_by_first_mention),
        cmocka_unit_test(many_shards_are_grouped_in_no_time),
        cmocka_unit_test(names_that_leave_the_folder_are_refused),
        cmocka_unit_test(shards_become_one_model),
        cmocka_unit_test(of_metadata_that_contradict_each_other_the_first_are_kept),
        cmocka_unit_test(shards_of_an_index_in_the_working_folder_are_found),
        cmocka_unit_test(refused_allocations_are_a_status),
        cmocka_unit_test(links_may_lead_into_the_folder_and_the_cache_of_its_repository),
        cmocka_unit_test(the_model_of_a_folder_is_the_usual_one_or_the_only_one),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
