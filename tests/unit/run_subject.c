/*
 * Subjects: a run's checkpoint gives back the network and the data that training had; weights of a
 * file find their place by name, and what does not fit is named.
 */
#include "check.h"

#include <sys/stat.h>

#include "folder.h"

#include "run/subject.h"
#include "run/tensors.h"
#include "run/trainer.h"

/* ---- helpers ---- */

/* Share of the first `count` examples whose label has the largest logit. */
static double accuracy_of(sonde__subject *subject, const sonde__batcher *batcher, size_t count)
{
    enum { BATCH = 100 };
    size_t right = 0, classes = (size_t)subject->classes;
    float *x = malloc(BATCH * batcher->features * sizeof *x);
    for (size_t begin = 0; begin < count; begin += BATCH) {
        uint32_t indexes[BATCH];
        int32_t labels[BATCH];
        const float *logits;
        const size_t n = count - begin < BATCH ? count - begin : BATCH;
        for (size_t i = 0; i < n; i++)
            indexes[i] = (uint32_t)(begin + i);
        sonde__batcher_fill(batcher, indexes, n, -1, x, labels);
        check_ok(subject->context,
                 sonde__net_forward(subject->net, SONDE__EVAL, x, (int)n, 0, &logits));
        for (size_t i = 0; i < n; i++) {
            size_t best = 0;
            for (size_t c = 1; c < classes; c++)
                best = logits[i * classes + c] > logits[i * classes + best] ? c : best;
            right += best == (size_t)labels[i];
        }
    }
    free(x);
    return (double)right / (double)count;
}

static sonde__subject_options small_options(void)
{
    sonde__subject_options options;
    sonde__subject_options_init(&options);
    snprintf(options.config.model, sizeof(options.config.model), "mlp:widths=6x4");
    snprintf(options.config.data, sizeof(options.config.data), "gauss-d1");
    options.config.train_size = 64;
    options.config.test_size = 64;
    return options;
}

/* All parameters of a network, with their plain values. */
static sonde_status list_of(sonde_context *context, sonde__net *net, const char *prefix,
                            sonde__tensor_list *list)
{
    size_t count;
    check_ok(context,
             sonde__tensor_list_init(list, context, (size_t)sonde__net_parameter_count(net) + 2));
    return sonde__tensor_list_add_net(list, net, sonde__net_weights(net, &count), prefix, true);
}

static const char *write_list(sonde_context *context, const sonde__tensor_list *list,
                              const char *name)
{
    const sonde__metadata metadata[] = {{"format", "pt"}};
    const char *path = folder_path(name);
    check_ok(context, sonde__tensor_list_write(list, path, metadata, 1));
    return path;
}

/* ---- runs ---- */

static sonde__run_summary trained; /* once for all tests of this group */
static char run[128];

static void train_once(sonde_context *context)
{
    sonde__config config = small_options().config;
    if (trained.epochs_run)
        return;
    config.train_size = config.test_size = 400;
    config.epochs = 3;
    config.batch = 32;
    config.spectrum = false;
    config.seed = 7;
    snprintf(config.probe, sizeof(config.probe), "held:50");
    snprintf(run, sizeof(run), "%s", folder_path("run"));
    check_ok(context, sonde__train(context, &config, run, NULL, &trained));
}

static void a_checkpoint_gives_the_accuracy_that_training_measured(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__subject subject;
    train_once(context);
    sonde__subject_options options;
    sonde__subject_options_init(&options);
    options.run = run;
    options.epoch = 3;
    check_ok(context, sonde__subject_open(context, &options, &subject));
    assert_int_equal(subject.epoch, 3);
    assert_int_equal(subject.config.seed, 7);
    assert_int_equal(subject.test->count, 400);
    assert_int_equal(subject.positions, 350);
    assert_int_equal(subject.probes[0].kind, SONDE_PROBE_HELD);
    check_close(accuracy_of(&subject, &subject.test_batcher, 400), trained.final_test_accuracy, 0,
                0, "test accuracy");
    sonde__subject_close(&subject);
    sonde_context_free(context);
}

static void the_kept_epoch_is_the_default(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__subject subject;
    train_once(context);
    sonde__subject_options options;
    sonde__subject_options_init(&options);
    options.run = run;
    check_ok(context, sonde__subject_open(context, &options, &subject));
    assert_int_equal(subject.epoch, trained.decision.keep.epoch);
    check_ok(context, sonde__subject_epoch(&subject, 1));
    assert_int_equal(subject.epoch, 1);
    check_status(sonde__subject_epoch(&subject, 9), SONDE_ERROR_NOT_FOUND);
    sonde__subject_close(&subject);
    sonde_context_free(context);
}

static void a_run_s_checkpoints_are_listed_in_order(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    int64_t *epochs;
    size_t count;
    train_once(context);
    check_ok(context, sonde__subject_epochs(context, run, &epochs, &count));
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(epochs[i], i + 1);
    sonde__free(context, epochs);
    sonde_context_free(context);
}

static void what_the_user_names_replaces_the_run_s_own(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__subject subject;
    train_once(context);
    sonde__subject_options options;
    sonde__subject_options_init(&options);
    options.run = run;
    options.config.test_size = 30;
    for (int i = 0; sonde__config_field(i); i++)
        options.named.field[i] = sonde__config_field(i) == sonde__config_find("test-size");
    check_ok(context, sonde__subject_open(context, &options, &subject));
    assert_int_equal(subject.test->count, 30);
    assert_int_equal(subject.train->count, 400);
    sonde__subject_close(&subject);
    sonde_context_free(context);
}

/* ---- weights ---- */

static void weights_are_found_behind_a_prefix(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__subject from, to;
    sonde__subject_options options = small_options();
    sonde__tensor_list list;
    size_t count;
    options.config.seed = 5;
    check_ok(context, sonde__subject_open(context, &options, &from));
    check_ok(context, list_of(context, from.net, "state_dict.module.", &list));
    options.config.seed = 6;
    options.weights = write_list(context, &list, "prefixed.safetensors");
    check_ok(context, sonde__subject_open(context, &options, &to));
    const float *a = sonde__net_weights(from.net, &count), *b = sonde__net_weights(to.net, &count);
    assert_memory_equal(a, b, count * sizeof(float));
    sonde__tensor_list_free(&list);
    sonde__subject_close(&from);
    sonde__subject_close(&to);
    sonde_context_free(context);
}

/* Opens small_options() with the file and expects this status and these words. */
static void expect_refused(sonde_context *context, const char *path, const char *first,
                           const char *second)
{
    sonde__subject subject;
    sonde__subject_options options = small_options();
    options.weights = path;
    check_status(sonde__subject_open(context, &options, &subject), SONDE_ERROR_SHAPE);
    const char *message = sonde_context_error(context)->message;
    if (!strstr(message, first) || !strstr(message, second))
        fail_msg("\"%s\" does not hold \"%s\" and \"%s\"", message, first, second);
}

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__subject from;
    sonde__subject_options options = small_options();
    sonde__tensor_list list;
    check_ok(context, sonde__subject_open(context, &options, &from));
    check_ok(context, list_of(context, from.net, "", &list));
    const size_t whole = list.count;
    char last[SONDE__TENSOR_NAME_MAX];
    snprintf(last, sizeof(last), "%s", list.names[whole - 1]);

    list.count = whole - 1;
    expect_refused(context, write_list(context, &list, "missing.safetensors"), last, "missing");
    list.count = whole;
    sonde__tensor *weight = &list.tensors[0];
    const int64_t rows = weight->shape[0];
    weight->shape[0] = weight->shape[1];
    weight->shape[1] = rows;
    expect_refused(context, write_list(context, &list, "turned.safetensors"), list.names[0],
                   "should be 6x");
    weight->shape[1] = weight->shape[0];
    weight->shape[0] = rows;
    assert_non_null(sonde__tensor_list_add(&list, "extra.weight", SONDE_NUMBER_F32, 3));
    memset((void *)(uintptr_t)list.tensors[whole].data, 0, 12);
    expect_refused(context, write_list(context, &list, "extra.safetensors"), "extra.weight",
                   "no part");

    sonde__tensor_list_free(&list);
    sonde__subject_close(&from);
    sonde_context_free(context);
}

static void an_average_and_counters_beside_the_weights_are_no_matter(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__subject from, to;
    sonde__subject_options options = small_options();
    sonde__tensor_list list;
    char name[SONDE__TENSOR_NAME_MAX];
    check_ok(context, sonde__subject_open(context, &options, &from));
    check_ok(context, list_of(context, from.net, "", &list));
    snprintf(name, sizeof(name), "ema.%.100s", list.names[0]);
    void *room = sonde__tensor_list_add(&list, name, SONDE_NUMBER_F32, 3);
    assert_non_null(room);
    memset(room, 0, 12);
    room = sonde__tensor_list_add(&list, "bn.num_batches_tracked", SONDE_NUMBER_I64, 1);
    assert_non_null(room);
    memset(room, 0, 8);
    options.weights = write_list(context, &list, "beside.safetensors");
    check_ok(context, sonde__subject_open(context, &options, &to));
    sonde__tensor_list_free(&list);
    sonde__subject_close(&from);
    sonde__subject_close(&to);
    sonde_context_free(context);
}

static void another_network_takes_the_same_data(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__subject subject;
    sonde__subject_options options = small_options();
    check_ok(context, sonde__subject_open(context, &options, &subject));
    const sonde__dataset *data = subject.train;
    const int parameters = sonde__net_parameter_count(subject.net);
    check_status(sonde__subject_replace(&subject, &options, "mpl"), SONDE_ERROR_NOT_FOUND);
    assert_int_equal(sonde__net_parameter_count(subject.net), parameters);
    check_ok(context, sonde__subject_replace(&subject, &options, "mlp:widths=6"));
    assert_int_equal(sonde__net_parameter_count(subject.net), parameters - 2);
    assert_ptr_equal(subject.train, data);
    assert_string_equal(subject.config.model, "mlp:widths=6");
    sonde__subject_close(&subject);
    sonde_context_free(context);
}

/* ---- normalisation ---- */

static void normalisation_is_the_user_s_where_given(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__subject subject;
    sonde__subject_options options = small_options();
    float first[28 * 28 * 3];
    const uint32_t index = 0;
    snprintf(options.config.data, sizeof(options.config.data), "strokes");
    check_ok(context,
             sonde__subject_channels(context, "mean", "0.25", options.mean, &options.channels));
    check_ok(context,
             sonde__subject_channels(context, "std", "2", options.deviation, &options.channels));
    check_ok(context, sonde__subject_open(context, &options, &subject));
    assert_in_range(subject.train_batcher.features, 1, sizeof(first) / sizeof(*first));
    sonde__batcher_fill(&subject.train_batcher, &index, 1, -1, first, NULL);
    check_close(first[100], (subject.train->bytes[100] / 255.0 - 0.25) / 2, 1e-6, 0, "a pixel");
    sonde__subject_close(&subject);
    options.channels = 3;
    check_status(sonde__subject_open(context, &options, &subject), SONDE_ERROR_SHAPE);
    snprintf(options.config.data, sizeof(options.config.data), "gauss-d1");
    check_status(sonde__subject_open(context, &options, &subject), SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

static void channels_are_numbers_with_commas(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    float values[SONDE__CHANNELS_MAX];
    int count;
    check_ok(context, sonde__subject_channels(context, "mean", "0.5,-1,2e0", values, &count));
    assert_int_equal(count, 3);
    assert_true(values[0] == 0.5f && values[1] == -1 && values[2] == 2);
    static const char *const wrong[] = {"", ",", "1,,2", "x", "1,2,3,4,5", "nan"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        check_status(sonde__subject_channels(context, "mean", wrong[i], values, &count),
                     SONDE_ERROR_ARGUMENT);
    check_status(sonde__subject_channels(context, "std", "0.5,0", values, &count),
                 SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

/* ---- trained networks ---- */

/* A data folder whose test part is the first thousand of the official one. */
static void make_official(const char *data)
{
    char from[512], to[256];
    snprintf(to, sizeof(to), "%s", folder_path("cifar"));
    if (mkdir(to, 0700) != 0)
        return;
    snprintf(from, sizeof(from), "%s/cifar-10-30k/data_batch_1.bin.gz", data);
    assert_int_equal(symlink(from, folder_path("cifar/data_batch_1.bin.gz")), 0);
    snprintf(from, sizeof(from), "%s/cifar-10-30k/official_test_first1000.bin.gz", data);
    assert_int_equal(symlink(from, folder_path("cifar/test_batch.bin.gz")), 0);
}

static void check_trained(const char *model, const char *file, double accuracy)
{
    const char *data = check_data_folder();
    char weights[512];
    sonde__subject subject;
    if (!data)
        skip();
    make_official(data);
    sonde_context *context = check_context();
    sonde__subject_options options;
    sonde__subject_options_init(&options);
    snprintf(weights, sizeof(weights), "%s/cifar-resnets/%s", data, file);
    options.weights = weights;
    snprintf(options.config.model, sizeof(options.config.model), "%s", model);
    snprintf(options.config.data, sizeof(options.config.data), "cifar-10");
    snprintf(options.config.data_dir, sizeof(options.config.data_dir), "%s", folder_path("cifar"));
    options.config.train_size = 1000;
    check_ok(context, sonde__subject_channels(context, "mean", "0.485,0.456,0.406", options.mean,
                                              &options.channels));
    check_ok(context, sonde__subject_channels(context, "std", "0.229,0.224,0.225",
                                              options.deviation, &options.channels));
    check_ok(context, sonde__subject_open(context, &options, &subject));
    check_close(accuracy_of(&subject, &subject.test_batcher, 1000), accuracy, 1e-9, 0, model);
    sonde__subject_close(&subject);
    sonde_context_free(context);
}

static void a_trained_resnet20_is_91_5_percent_right(void **state)
{
    (void)state;
    check_trained("resnet20", "resnet20-12fca82f.th", 0.915);
}

static void a_trained_resnet56_is_92_6_percent_right(void **state)
{
    (void)state;
    check_trained("resnet56", "resnet56-4bfd9763.th", 0.926);
}

static void weights_of_a_deeper_network_are_refused(void **state)
{
    (void)state;
    const char *data = check_data_folder();
    char weights[512];
    sonde__subject subject;
    if (!data)
        skip();
    make_official(data);
    sonde_context *context = check_context();
    sonde__subject_options options;
    sonde__subject_options_init(&options);
    snprintf(weights, sizeof(weights), "%s/cifar-resnets/resnet56-4bfd9763.th", data);
    options.weights = weights;
    snprintf(options.config.model, sizeof(options.config.model), "resnet20");
    snprintf(options.config.data, sizeof(options.config.data), "cifar-10");
    snprintf(options.config.data_dir, sizeof(options.config.data_dir), "%s", folder_path("cifar"));
    options.config.train_size = 100;
    check_status(sonde__subject_open(context, &options, &subject), SONDE_ERROR_SHAPE);
    assert_non_null(strstr(sonde_context_error(context)->message, "layer1.3"));
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checkpoint_gives_the_accuracy_that_training_measured),
        cmocka_unit_test(the_kept_epoch_is_the_default),
        cmocka_unit_test(a_run_s_checkpoints_are_listed_in_order),
        cmocka_unit_test(what_the_user_names_replaces_the_run_s_own),
        cmocka_unit_test(weights_are_found_behind_a_prefix),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(an_average_and_counters_beside_the_weights_are_no_matter),
        cmocka_unit_test(another_network_takes_the_same_data),
        cmocka_unit_test(normalisation_is_the_user_s_where_given),
        cmocka_unit_test(channels_are_numbers_with_commas),
        cmocka_unit_test(a_trained_resnet20_is_91_5_percent_right),
        cmocka_unit_test(a_trained_resnet56_is_92_6_percent_right),
        cmocka_unit_test(weights_of_a_deeper_network_are_refused),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
