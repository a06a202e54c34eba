/*
 * PyTorch files, zip and older: against what torch.load reads (tests/golden/torch, recorded by its
 * make_torch.py), on real ones, and hand-made ones that are broken.
 */
#include "check.h"
#include "failing.h"
#include "zip_writer.h"

#include "file/model_internal.h"

enum { LINE_MAX_BYTES = 4096, TENSOR_MAX = 64 };

static zip_writer writer;

/* --- against torch ------------------------------------------------------------------------------ */

static const char *golden(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/golden/torch/%s", SONDE_TESTS_DIR, name);
    return path;
}

/* The next word of a line. */
static char *word(char **at)
{
    char *start = strtok_r(NULL, " \n", at);
    if (!start)
        fail_msg("a line of expected.txt is too short");
    return start;
}

/* "NAME NUMBER DIMS SIZES... VALUES..." is tensor `index` of the model. */
static void check_tensor(sonde_context *context, sonde_model *model, size_t index, char **at)
{
    sonde_tensor tensor;
    double values[TENSOR_MAX];
    check_ok(context, sonde_model_tensor(model, index, &tensor));
    assert_string_equal(tensor.name, word(at));
    assert_string_equal(sonde_number_name(tensor.number), word(at));
    assert_int_equal(tensor.dims, atoi(word(at)));
    for (int i = 0; i < tensor.dims; i++)
        assert_int_equal(tensor.shape[i], atoll(word(at)));
    assert_true(tensor.elements <= TENSOR_MAX);
    if (!tensor.readable) {
        assert_null(strtok_r(NULL, " \n", at));
        check_status(sonde_model_read(model, index, 0, 1, SONDE_F64, values),
                     SONDE_ERROR_UNSUPPORTED);
        return;
    }
    check_ok(context, sonde_model_read(model, index, 0, tensor.elements, SONDE_F64, values));
    for (uint64_t i = 0; i < tensor.elements; i++) {
        const double expected = strtod(word(at), NULL);
        if (!(values[i] == expected || (isnan(values[i]) && isnan(expected))) ||
            signbit(values[i]) != signbit(expected))
            fail_msg("%s[%d] is %a, not %a", tensor.name, (int)i, values[i], expected);
    }
}

static void check_metadata(const sonde_model *model, char **at)
{
    const char *key = NULL, *value = NULL, *wanted = word(at);
    for (size_t i = 0; sonde_model_metadata(model, i, &key, &value) == SONDE_OK; i++)
        if (strcmp(key, wanted) == 0) {
            assert_string_equal(value, word(at));
            return;
        }
    fail_msg("there is no metadata '%s'", wanted);
}

static void what_torch_wrote_is_read_as_torch_reads_it(void **state)
{
    (void)state;
    static char line[LINE_MAX_BYTES];
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    size_t index = 0, files = 0;
    FILE *expected = fopen(golden("expected.txt"), "r");
    assert_non_null(expected);
    while (fgets(line, sizeof line, expected)) {
        char *at = NULL;
        const char *kind = strtok_r(line, " \n", &at);
        if (strcmp(kind, "file") == 0) {
            assert_true(!model || sonde_model_count(model) == index);
            sonde_model_close(model);
            model = NULL;
            check_ok(context, sonde_model_open(context, golden(word(&at)), NULL, &model));
            assert_null(sonde_model_warning(model, 0));
            index = 0;
            files++;
        } else if (strcmp(kind, "tensor") == 0) {
            check_tensor(context, model, index++, &at);
        } else {
            check_metadata(model, &at);
        }
    }
    assert_int_equal(sonde_model_count(model), index);
    assert_int_equal(files, 7);
    sonde_model_close(model);
    fclose(expected);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void views_of_one_storage_are_tied_only_when_they_are_the_same(void **state)
{
    (void)state;
    static const char *names[] = {"layouts.pt", "layouts-legacy.pt"};
    for (size_t k = 0; k < 2; k++) {
        sonde_context *context = check_context();
        sonde_model *model = NULL;
        sonde_tensor tensor;
        size_t index = 0;
        check_ok(context, sonde_model_open(context, golden(names[k]), NULL, &model));
        check_ok(context, sonde_model_find(model, "tied", &index));
        check_ok(context, sonde_model_tensor(model, index, &tensor));
        assert_string_equal(tensor.tied_to, "whole");
        check_ok(context, sonde_model_find(model, "sliced", &index));
        check_ok(context, sonde_model_tensor(model, index, &tensor));
        assert_null(tensor.tied_to);
        assert_false(tensor.contiguous);
        sonde_model_close(model);
        sonde_context_free(context);
    }
}

/* First and last element and the sum, as torch 2.13 has them. */
typedef struct recorded {
    const char *name;
    double first, last, sum;
} recorded;

static void check_recorded(sonde_context *context, sonde_model *model, const recorded *expected)
{
    size_t index = 0;
    sonde_tensor tensor;
    check_ok(context, sonde_model_find(model, expected->name, &index));
    check_ok(context, sonde_model_tensor(model, index, &tensor));
    double *values = malloc(tensor.elements * sizeof *values), sum = 0;
    check_ok(context, sonde_model_read(model, index, 0, tensor.elements, SONDE_F64, values));
    for (uint64_t i = 0; i < tensor.elements; i++)
        sum += values[i];
    assert_true(values[0] == expected->first);
    assert_true(values[tensor.elements - 1] == expected->last);
    check_close(sum, expected->sum, 1e-9, 0, expected->name);
    free(values);
}

static void check_resnet(const char *folder, const char *name, size_t tensors, uint64_t elements,
                         const recorded *expected, size_t count)
{
    char path[512];
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    sonde_model_info info;
    snprintf(path, sizeof path, "%s/cifar-resnets/%s", folder, name);
    check_ok(context, sonde_model_open(context, path, NULL, &model));
    sonde_model_describe(model, &info);
    assert_int_equal(info.kind, SONDE_MODEL_TORCH_LEGACY);
    assert_int_equal(info.tensors, tensors);
    assert_int_equal(info.elements, elements);
    for (size_t i = 0; i < count; i++)
        check_recorded(context, model, &expected[i]);
    sonde_model_close(model);
    sonde_context_free(context);
}

static void real_files_of_2018_are_read(void **state)
{
    (void)state;
    static const recorded small[] = {
        {"state_dict.module.conv1.weight", -0x1.1afee2p-3, 0x1.3c1e86p-2, 0x1.4f62987b9p+0},
        {"state_dict.module.layer3.2.conv2.weight", 0x1.79838p-6, 0x1.799134p-9,
         0x1.828db5a75f8p+0},
        {"state_dict.module.linear.bias", 0x1.8c68b2p-3, -0x1.14bee2p-2, 0x1.20ecp-15},
    };
    static const recorded large[] = {
        {"state_dict.module.conv1.weight", -0x1.ba77c6p-3, -0x1.09263p-5, -0x1.47655f6e28p+1},
        {"state_dict.module.layer3.2.conv2.weight", -0x1.74214ap-5, -0x1.6993b6p-5,
         -0x1.2d5380ba63ebp+7},
        {"state_dict.module.linear.weight", -0x1.71f458p-2, 0x1.99642cp-3, -0x1.0750084p-7},
    };
    const char *folder = check_data_folder();
    if (!folder)
        skip();
    check_resnet(folder, "resnet20-12fca82f.th", 97, 271098, small, 3);
    check_resnet(folder, "resnet56-4bfd9763.th", 277, 857082, large, 3);
}

/* --- hand-made ---------------------------------------------------------------------------------- */

#define ID(key, type, count) \
    "(U\x07storagectorch\n" type "\nU\x01" key "U\x03" \
    "cpuK" count "tQ"
#define TENSOR(id, offset, shape, strides) \
    "ctorch._utils\n_rebuild_tensor_v2\n(" id "K" offset "(" shape "t(" strides "t\x89}tR"
#define FLOATS(key) TENSOR(ID(key, "FloatStorage", "\x02"), "\x00", "K\x02", "K\x01")

static const float TWO[2] = {1.5f, -2.5f};

#define PUT_PICKLE(name, literal) zip_put(&writer, name, literal, sizeof(literal) - 1)
static void begin(void)
{
    memset(&writer, 0, sizeof writer);
}

static sonde_status open_with(sonde_context *context, sonde_model **model)
{
    return sonde__model_open_memory(context, "a.pt", writer.bytes, writer.size, model);
}

static void check_refused(sonde_status expected, const char *says)
{
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    zip_finish(&writer);
    check_status(open_with(context, &model), expected);
    if (!strstr(sonde_context_error(context)->message, says))
        fail_msg("'%s' does not say '%s'", sonde_context_error(context)->message, says);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

/* A good archive with one storage, less what `pickle` says about it. */
#define CHECK_PICKLE(literal, expected, says) \
    do { \
        begin(); \
        PUT_PICKLE("a/data.pkl", literal); \
        zip_put(&writer, "a/data/0", TWO, sizeof TWO); \
        check_refused(expected, says); \
    } while (0)

static void storages_must_be_there_with_the_size_that_the_pickle_says(void **state)
{
    (void)state;
    const sonde_status format = SONDE_ERROR_FORMAT;
    CHECK_PICKLE(FLOATS("1") ".", format, "the storage '1' is missing");
    CHECK_PICKLE(FLOATS("/") ".", format, "lead out of the archive");
    CHECK_PICKLE(FLOATS("\\") ".", format, "lead out of the archive");
    CHECK_PICKLE(FLOATS(".") ".", format, "lead out of the archive");
    CHECK_PICKLE("ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x0d"
                 "../../../pickU\x03"
                 "cpuK\x02tQK\x00(t(t\x89}tR.",
                 format, "lead out of the archive");
    CHECK_PICKLE(TENSOR(ID("0", "FloatStorage", "\x01"), "\x00", "", "") ".", format,
                 "should have 4 bytes; 'a/data/0' has 8");
    CHECK_PICKLE(TENSOR(ID("0", "DoubleStorage", "\x02"), "\x00", "", "") ".", format,
                 "should have 16 bytes");
    CHECK_PICKLE("(" FLOATS("0") TENSOR(ID("0", "IntStorage", "\x02"), "\x00", "", "") "t.", format,
                 "once a torch.FloatStorage and once a torch.IntStorage");
}

static void an_object_that_two_readers_would_name_differently_is_refused(void **state)
{
    (void)state;
    const sonde_status format = SONDE_ERROR_FORMAT;
    CHECK_PICKLE("}(U\x01w" FLOATS("0") "U\x01w"
                                        "Nu.",
                 format, "a key twice");
    CHECK_PICKLE("}(K\x01" FLOATS("0") "\x88" FLOATS("0") "u.", format, "a key twice");
    CHECK_PICKLE("}(U\x03"
                 "a\0b" FLOATS("0") "u.",
                 format, "cannot be a name");
    CHECK_PICKLE("})" FLOATS("0") "s.", format, "cannot be a name");
    CHECK_PICKLE("}(U\x03"
                 "a.b" FLOATS("0") "U\x01"
                                   "a}U\x01"
                                   "b" FLOATS("0") "su.",
                 format, "twice");
    CHECK_PICKLE(FLOATS("0") ".junk", format, "behind the end");
    /* A NUL in a key that names no tensor hides nothing. */
    begin();
    PUT_PICKLE("a/data.pkl", "}(U\x03"
                             "a\0bK\x01U\x01w" FLOATS("0") "u.");
    zip_put(&writer, "a/data/0", TWO, sizeof TWO);
    zip_finish(&writer);
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    check_ok(context, open_with(context, &model));
    sonde_model_close(model);
    sonde_context_free(context);
}

static void containers_within_themselves_or_without_end_are_refused(void **state)
{
    (void)state;
    CHECK_PICKLE("]q\x00h\x00"
                 "a.",
                 SONDE_ERROR_FORMAT, "contains itself");
    CHECK_PICKLE("}q\x00U\x01"
                 "a]h\x00"
                 "as.",
                 SONDE_ERROR_FORMAT, "'a.0' contains itself");
    /* 2^60 tuples. */
    char laughs[256] = ")";
    for (int i = 0; i < 60; i++)
        strcat(laughs, "2\x86");
    strcat(laughs, ".");
    begin();
    zip_put(&writer, "a/data.pkl", laughs, strlen(laughs));
    check_refused(SONDE_ERROR_UNSUPPORTED, "over and over");
    char nested[256] = ")";
    for (int i = 0; i < 100; i++)
        strcat(nested, "\x85");
    strcat(nested, ".");
    begin();
    zip_put(&writer, "a/data.pkl", nested, strlen(nested));
    check_refused(SONDE_ERROR_UNSUPPORTED, "64 levels");
}

static void one_data_pkl_below_the_first_member_is_wanted(void **state)
{
    (void)state;
    begin();
    PUT_PICKLE("a/data.pkl", "}.");
    PUT_PICKLE("b/data.pkl", "}.");
    check_refused(SONDE_ERROR_FORMAT, "second data.pkl");
    begin();
    PUT_PICKLE("b/other", "x");
    PUT_PICKLE("a/data.pkl", "}.");
    check_refused(SONDE_ERROR_FORMAT, "first member");
    begin();
    PUT_PICKLE("a/b/data.pkl", "}.");
    check_refused(SONDE_ERROR_FORMAT, "first member");
    begin();
    PUT_PICKLE("a/data.pkl", "}.");
    PUT_PICKLE("a/byteorder", "middle");
    check_refused(SONDE_ERROR_FORMAT, "neither 'little' nor 'big'");
    begin();
    PUT_PICKLE("a/data.pkl", "}.");
    PUT_PICKLE("a/version", "3x");
    check_refused(SONDE_ERROR_FORMAT, "no version number");
}

static void big_endian_storages_are_turned(void **state)
{
    (void)state;
    static const uint8_t big[8] = {0x3f, 0xc0, 0, 0, 0xc0, 0x20, 0, 0};
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    float values[2];
    begin();
    PUT_PICKLE("a/data.pkl", FLOATS("0") ".");
    PUT_PICKLE("a/byteorder", "big");
    zip_put_as(&writer, "a/data/0", big, sizeof big, 8, 0); /* and packed */
    zip_finish(&writer);
    check_ok(context, open_with(context, &model));
    check_ok(context, sonde_model_read(model, 0, 0, 2, SONDE_F32, values));
    assert_memory_equal(values, TWO, sizeof TWO);
    sonde_model_close(model);
    sonde_context_free(context);
}

static void damage_to_numbers_is_seen_when_they_are_read(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    float values[2];
    begin();
    PUT_PICKLE("a/data.pkl", FLOATS("0") ".");
    const zip_written *member = zip_put(&writer, "a/data/0", TWO, sizeof TWO);
    zip_finish(&writer);
    writer.bytes[member->data] ^= 1;
    check_ok(context, open_with(context, &model));
    check_status(sonde_model_read(model, 0, 0, 2, SONDE_F32, values), SONDE_ERROR_CORRUPT);
    sonde_model_close(model);
    sonde_context_free(context);
}

/* --- hand-made, older --------------------------------------------------------------------------- */

#define MAGIC "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define PROTOCOL "\x80\x02M\xe9\x03."
#define SYSTEM(little) "\x80\x02}U\x0dlittle_endian" little "s."
#define OLD_ID(key, count, view) \
    "(U\x07storagectorch\nFloatStorage\nU\x01" key "U\x03" \
    "cpuK" count view "tQ"
#define OLD(key, view, shape) TENSOR(OLD_ID(key, "\x02", view), "\x00", shape, "K\x01")
#define KEYS(keys) "\x80\x02](" keys "e."
#define COUNT(n) n "\0\0\0\0\0\0\0"
#define DATA "\0\0\xc0\x3f\0\0\x20\xc0" /* 1.5, -2.5 */

#define OPEN_OLD(literal, expected, says) open_old(literal, sizeof(literal) - 1, expected, says)
static void open_old(const char *bytes, size_t size, sonde_status expected, const char *says)
{
    sonde_context *context = check_context();
    sonde_model *model = NULL;
    sonde_status status = sonde__model_open_memory(context, "a.pt", bytes, size, &model);
    if (status != expected || !strstr(sonde_context_error(context)->message, says))
        fail_msg("%s: '%s', not '%s'", sonde_status_name(status),
                 sonde_context_error(context)->message, says);
    for (size_t i = 0; status == SONDE_OK && i < sonde_model_count(model); i++) {
        sonde_tensor tensor;
        float values[2];
        check_ok(context, sonde_model_tensor(model, i, &tensor));
        check_ok(context, sonde_model_read(model, i, 0, tensor.elements, SONDE_F32, values));
        if (tensor.elements == 2)
            assert_memory_equal(values, TWO, sizeof TWO);
        else
            assert_true(values[0] == TWO[1]); /* the view */
    }
    if (status == SONDE_OK && says[0] == '\0')
        assert_int_equal(sonde_model_count(model), 1);
    sonde_model_close(model);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void older_files_are_read_with_their_views_and_byte_orders(void **state)
{
    (void)state;
#define HEAD MAGIC PROTOCOL SYSTEM("\x88")
    OPEN_OLD(HEAD OLD("k", "N", "K\x02") "." KEYS("U\x01k") COUNT("\2") DATA, SONDE_OK, "");
    /* Element 1 alone, as a view with a key of its own. */
    OPEN_OLD(HEAD OLD("k", "(U\x01vK\x01K\x01t", "K\x01") "." KEYS("U\x01k") COUNT("\2") DATA,
             SONDE_OK, "");
    /* A big-endian machine wrote its counts, but not the elements, in its own order. */
    OPEN_OLD(MAGIC PROTOCOL SYSTEM("\x89")
                 OLD("k", "N", "K\x02") "." KEYS("U\x01k") "\0\0\0\0\0\0\0\2" DATA,
             SONDE_OK, "");
    OPEN_OLD(HEAD OLD("k", "N", "K\x02") "." KEYS("U\x01k") "\0\0\0\0\0\0\0\2" DATA,
             SONDE_ERROR_FORMAT, "another number of elements");
}

static void older_files_that_lie_are_refused(void **state)
{
    (void)state;
    const sonde_status format = SONDE_ERROR_FORMAT;
    OPEN_OLD(HEAD OLD("k", "(U\x01vK\x01K\x01t", "K\x02") "." KEYS("U\x01k") COUNT("\2") DATA,
             format, "reach 2 elements of storage 'k', which has 1");
    OPEN_OLD(HEAD OLD("k", "(U\x01vK\x01K\x02t", "K\x01") "." KEYS("U\x01k") COUNT("\2") DATA,
             format, "a view that cannot be");
    OPEN_OLD(HEAD OLD("k", "N", "K\x02") "." KEYS("U\x01j") COUNT("\2") DATA, format,
             "storage 'j' belongs to no tensor");
    OPEN_OLD(HEAD OLD("k", "N", "K\x02") "." KEYS("U\x01kU\x01k") COUNT("\2") DATA, format,
             "is there twice");
    OPEN_OLD(HEAD OLD("k", "N", "K\x02") "." KEYS(""), format, "storage 'k' is missing");
    OPEN_OLD(HEAD OLD("k", "N", "K\x02") "." KEYS("U\x01k") COUNT("\3") DATA, format,
             "another number of elements");
    OPEN_OLD(HEAD OLD("k", "N", "K\x02") "." KEYS("U\x01k") COUNT("\2") "\0\0\0",
             SONDE_ERROR_TRUNCATED, "past the end");
    OPEN_OLD(HEAD OLD("k", "N", "K\x02") "." KEYS("U\x01k") "\2", SONDE_ERROR_TRUNCATED, "");
    OPEN_OLD(HEAD OLD("k", "N", "K\x02") "."
                                         "\x80\x02}.",
             format, "no list of keys");
    OPEN_OLD(MAGIC "\x80\x02M\xea\x03.", SONDE_ERROR_VERSION, "1001");
    OPEN_OLD(MAGIC, SONDE_ERROR_TRUNCATED, "protocol");
    OPEN_OLD("\x80\x02}q\x00.", SONDE_ERROR_UNSUPPORTED, "torch.save did not write");
    OPEN_OLD("\x80\x02"
             "cposix\nsystem\nU\x02id\x85R.",
             SONDE_ERROR_UNSUPPORTED, "posix.system");
    OPEN_OLD(HEAD "cposix\nsystem\nU\x02id\x85R.", SONDE_ERROR_UNSUPPORTED, "posix.system");
    OPEN_OLD(HEAD "(" OLD("k", "N", "K\x02") TENSOR(OLD_ID("k", "\x01", "N"), "\x00", "", "") "t.",
             format, "different things about one storage");
}

static sonde_status open_golden(sonde_context *context, void *argument)
{
    sonde_model *model = NULL;
    sonde_status status = sonde_model_open(context, golden(argument), NULL, &model);
    sonde_model_close(model);
    return status;
}

static void check_allocations(const char *name)
{
    char copy[64];
    snprintf(copy, sizeof copy, "%s", name);
    assert_true(failing_run(open_golden, copy) > 10);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    check_allocations("layouts.pt");
    check_allocations("layouts-legacy.pt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_torch_wrote_is_read_as_torch_reads_it),
        cmocka_unit_test(views_of_one_storage_are_tied_only_when_they_are_the_same),
        cmocka_unit_test(real_files_of_2018_are_read),
        cmocka_unit_test(storages_must_be_there_with_the_size_that_the_pickle_says),
        cmocka_unit_test(an_object_that_two_readers_would_name_differently_is_refused),
        cmocka_unit_test(containers_within_themselves_or_without_end_are_refused),
        cmocka_unit_test(one_data_pkl_below_the_first_member_is_wanted),
        cmocka_unit_test(big_endian_storages_are_turned),
        cmocka_unit_test(damage_to_numbers_is_seen_when_they_are_read),
        cmocka_unit_test(older_files_are_read_with_their_views_and_byte_orders),
        cmocka_unit_test(older_files_that_lie_are_refused),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
