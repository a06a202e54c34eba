/*
 * Plans, written, read and refused; and the pruning job on a small trained run: its files open again
 * as the network that was measured.
 */
#include "folder.h"

#include "base/random.h"
#include "net/arch.h"
#include "net/prune_graph.h"
#include "net/study.h"
#include "run/plan.h"
#include "run/prune.h"
#include "run/trainer.h"

static sonde__graph *build(sonde_context *context, const char *spec)
{
    sonde__graph *graph = NULL;
    check_ok(context, sonde__arch_build(context, spec, (sonde__shape){1, 8, 8}, 10, 0, &graph));
    return graph;
}

static const sonde__plan_facts facts = {"resnet8", "jbr", {1, 8, 8}, 10, 0.5};

/* --- plans -------------------------------------------------------------------------------------- */

static void a_plan_of_channels_comes_back_as_it_was(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__graph *graph = build(context, "resnet8"), *pruned = NULL;
    sonde__channels channels;
    sonde__plan plan;
    check_ok(context, sonde__channels_find(context, graph, &channels));
    const size_t units = (size_t)channels.unit_count;
    bool *kept = malloc(units), *again = malloc(units);
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, 0);
    for (size_t u = 0; u < units; u++)
        kept[u] = channels.frozen[u] || sonde__random_uniform(&stream) < 0.6;
    check_ok(context, sonde__plan_write_channels(folder_path("a.json"), &facts, &channels, kept));
    check_ok(context, sonde__plan_read(context, folder_path("a.json"), &plan));
    assert_false(plan.weights);
    assert_string_equal(plan.model, "resnet8");
    check_ok(context, sonde__plan_kept(&plan, &channels, again));
    assert_memory_equal(kept, again, units);
    check_ok(context, sonde__prune_graph(&channels, kept, &pruned));
    sonde__channels_free(&channels);
    check_ok(context, sonde__plan_graph(context, folder_path("a.json"), &graph));
    for (int i = 0; i < sonde__graph_layer_count(graph); i++)
        assert_int_equal(sonde__graph_layer(graph, i).shape.channels,
                         sonde__graph_layer(pruned, i).shape.channels);
    free(kept);
    free(again);
    sonde__plan_release(&plan);
    sonde__graph_free(graph);
    sonde__graph_free(pruned);
    sonde_context_free(context);
}

static void a_plan_of_weights_comes_back_as_a_mask(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const sonde__net_options options = {.threads = 1, .max_batch = 1};
    sonde__net *net = NULL;
    check_ok(context, sonde__net_create(context, build(context, "mlp:widths=5x3"), &options, &net));
    static bool flags[16][512];
    bool *keep[16] = {NULL};
    sonde__stream stream = sonde__stream_open(2, SONDE__RANDOM_TEST, 0);
    for (int p = 0; p < sonde__net_parameter_count(net); p++) {
        if (!sonde__prune_is_weight(sonde__net_parameter(net, p)))
            continue;
        keep[p] = flags[p];
        for (size_t i = 0; i < sonde__net_parameter(net, p)->elements; i++)
            flags[p][i] = sonde__random_uniform(&stream) < 0.5;
    }
    check_ok(context, sonde__plan_write_weights(context, folder_path("w.json"), &facts, net, keep));
    float *mask = NULL;
    check_ok(context, sonde__plan_mask_at(context, folder_path("w.json"), net, &mask));
    for (int p = 0; p < sonde__net_parameter_count(net); p++) {
        float plain[512];
        sonde__net_export(net, mask, p, plain);
        for (size_t i = 0; i < sonde__net_parameter(net, p)->elements; i++)
            assert_true(plain[i] == (!keep[p] || keep[p][i] ? 1 : 0));
    }
    sonde__free(context, mask);
    sonde__net_free(net);
    sonde_context_free(context);
}

#define HEAD "{\"format\": \"sonde-prune-plan-1\", \"kind\": \"channels\", \"layers\": ["
#define FC1 "{\"name\": \"fc1\", \"keep_outputs\": [0, 1]}"

static void a_plan_that_does_not_fit_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        sonde_status status;
        const char *says;
    } bad[] = {
        {"", SONDE_ERROR_FORMAT, "no pruning plan"},
        {"[]", SONDE_ERROR_FORMAT, "object"},
        {"{}", SONDE_ERROR_FORMAT, "lacks"},
        {"{\"format\": \"other\"}", SONDE_ERROR_FORMAT, "format"},
        {"{\"format\": \"sonde-prune-plan-1\", \"kind\": \"rows\"}", SONDE_ERROR_FORMAT, "kind"},
        {HEAD "]} x", SONDE_ERROR_FORMAT, "behind its end"},
        {HEAD "{\"keep_outputs\": [0]}]}", SONDE_ERROR_FORMAT, "no name"},
        {HEAD "{\"name\": \"fc1\", \"keep_outputs\": [1, 0]}]}", SONDE_ERROR_FORMAT, "ascend"},
        {HEAD "{\"name\": \"fc1\", \"keep_outputs\": [0, 0]}]}", SONDE_ERROR_FORMAT, "ascend"},
        {HEAD "{\"name\": \"fc1\", \"keep_outputs\": [-1]}]}", SONDE_ERROR_FORMAT, "whole"},
        {HEAD "{\"name\": \"fc1\", \"keep_outputs\": [0.5]}]}", SONDE_ERROR_FORMAT, "whole"},
        {HEAD "{\"name\": \"fc1\", \"keep_outputs\": [99999999999]}]}", SONDE_ERROR_FORMAT,
         "whole"},
        {HEAD "{\"name\": \"fc1\", \"keep_outputs\": [0], \"keep_outputs\": [1]}]}",
         SONDE_ERROR_FORMAT, "twice"},
        {HEAD "{\"name\": \"fc1\", \"keep_outputs\": [0, 5]}]}", SONDE_ERROR_SHAPE,
         "layer fc1 has no output 5"},
        {HEAD "{\"name\": \"fc1\", \"keep_outputs\": []}]}", SONDE_ERROR_SHAPE,
         "layer fc1 keeps no output"},
        {HEAD "{\"name\": \"fc9\", \"keep_outputs\": [0]}]}", SONDE_ERROR_SHAPE,
         "layer fc9 is not in it"},
        {HEAD "{\"name\": \"fc1\", \"outputs\": 6, \"keep_outputs\": [0]}]}", SONDE_ERROR_SHAPE,
         "layer fc1 has 5 outputs, not 6"},
        {HEAD FC1 ", {\"name\": \"fc1\", \"keep_outputs\": [0]}]}", SONDE_ERROR_SHAPE,
         "layer fc1 removes output 1"},
        {HEAD FC1 ", {\"name\": \"fc2\", \"keep_outputs\": [0], \"keep_inputs\": [0, 2]}]}",
         SONDE_ERROR_SHAPE, "layer fc2 keeps other inputs"},
        {HEAD "{\"name\": \"fc3\", \"keep_outputs\": [0]}]}", SONDE_ERROR_SHAPE,
         "of layer fc3 cannot be removed"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sonde_context *context = check_context();
        sonde__graph *graph = build(context, "mlp:widths=5x3");
        folder_write("bad.json", bad[i].text, strlen(bad[i].text));
        const sonde_status status = sonde__plan_graph(context, folder_path("bad.json"), &graph);
        const char *message = sonde_context_error(context)->message;
        if (status != bad[i].status || !strstr(message, bad[i].says))
            fail_msg("%s: %s: %s", bad[i].text, sonde_status_name(status), message);
        sonde__graph_free(graph);
        sonde_context_free(context);
    }
}

static void every_cut_of_a_plan_is_an_error_and_no_crash(void **state)
{
    (void)state;
    static const char whole[] = HEAD FC1 ", {\"name\": \"fc2\", \"keep_inputs\": [0, 1]}]}";
    for (size_t size = 0; size + 1 < sizeof whole - 1; size++) {
        sonde_context *context = check_context();
        sonde__plan plan;
        folder_write("cut.json", whole, size);
        check_status(sonde__plan_read(context, folder_path("cut.json"), &plan), SONDE_ERROR_FORMAT);
        sonde_context_free(context);
    }
}

/* --- the job ------------------------------------------------------------------------------------ */

static sonde__config small_config(void)
{
    sonde__config config;
    sonde__config_init(&config);
    snprintf(config.model, sizeof config.model, "mlp:widths=24x16");
    config.train_size = 300;
    config.test_size = 100;
    config.epochs = 4;
    config.batch = 50;
    config.threads = 1;
    config.spectrum = false;
    return config;
}

static void train(sonde_context *context, const sonde__config *config, const char *run)
{
    sonde__run_summary summary;
    check_ok(context, sonde__train(context, config, folder_path(run), NULL, &summary));
    assert_string_equal(summary.status, "finished");
}

static int make_run(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    sonde_context *context = check_context();
    const sonde__config config = small_config();
    train(context, &config, "run");
    sonde_context_free(context);
    return 0;
}

static sonde__prune_job job_of(const char *run, const char *out)
{
    sonde__prune_job job = {.out = out};
    sonde__subject_options_init(&job.subject);
    job.subject.run = run;
    sonde__prune_options_init(&job.options);
    job.options.steps = 2;
    job.options.batches = 2;
    job.options.batch = 50;
    job.options.confidence = 0;
    return job;
}

/* A network of the configuration in force, with weights from a file. */
static double accuracy_of(sonde_context *context, const char *plan, const char *weights)
{
    sonde__subject_options options;
    sonde__subject subject;
    sonde__subject_options_init(&options);
    options.config = small_config();
    options.weights = weights;
    options.max_batch = 100;
    snprintf(options.config.pruned, sizeof options.config.pruned, "%s", plan);
    check_ok(context, sonde__subject_open(context, &options, &subject));
    float *x = malloc(100 * 784 * sizeof *x);
    int32_t labels[100];
    uint32_t indexes[100];
    const float *logits = NULL;
    int right = 0;
    for (uint32_t i = 0; i < 100; i++)
        indexes[i] = i;
    sonde__batcher_fill(&subject.test_batcher, indexes, 100, -1, x, labels);
    check_ok(context, sonde__net_forward(subject.net, SONDE__EVAL, x, 100, 0, &logits));
    for (int i = 0; i < 100; i++) {
        int best = 0;
        for (int c = 1; c < 10; c++)
            best = logits[i * 10 + c] > logits[i * 10 + best] ? c : best;
        right += best == labels[i];
    }
    free(x);
    sonde__subject_close(&subject);
    return right / 100.0;
}

static void the_files_open_as_the_network_that_was_measured(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__prune_outcome outcome;
    char run[128], out[128];
    snprintf(run, sizeof run, "%s", folder_path("run"));
    snprintf(out, sizeof out, "%s", folder_path("small.safetensors"));
    const sonde__prune_job job = job_of(run, out);
    check_ok(context, sonde__prune_run(context, &job, &outcome));
    assert_int_equal(outcome.report.units, 40);
    assert_int_equal(outcome.report.kept, 20);
    assert_true(outcome.parameters[1] < 0.6 * outcome.parameters[0]);
    assert_int_equal(outcome.width_count, 3);
    assert_int_equal(outcome.widths[2].after, 10);
    check_close(accuracy_of(context, outcome.plan, out), outcome.accuracy[1], 1e-12, 0, "accuracy");
    sonde__prune_outcome_free(&outcome);
    check_status(sonde__prune_run(context, &job, &outcome), SONDE_ERROR_ARGUMENT);
    assert_non_null(strstr(sonde_context_error(context)->message, "--force"));
    sonde_context_free(context);
}

static void a_pruned_network_trains_resumes_and_is_pruned_again(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__prune_outcome outcome;
    sonde__run_summary summary;
    char run[128], out[128], tuned[128], second[128];
    snprintf(run, sizeof run, "%s", folder_path("run"));
    snprintf(out, sizeof out, "%s", folder_path("half.safetensors"));
    snprintf(tuned, sizeof tuned, "%s", folder_path("tuned"));
    snprintf(second, sizeof second, "%s", folder_path("quarter.safetensors"));
    sonde__prune_job job = job_of(run, out);
    check_ok(context, sonde__prune_run(context, &job, &outcome));
    sonde__config config = small_config();
    config.epochs = 1;
    snprintf(config.pruned, sizeof config.pruned, "%s", outcome.plan);
    snprintf(config.weights, sizeof config.weights, "%s", out);
    train(context, &config, "tuned");
    remove(outcome.plan); /* the run keeps its own */
    remove(out);
    sonde__prune_outcome_free(&outcome);
    check_ok(context, sonde__train_resume(context, tuned, 2, NULL, &summary));
    assert_int_equal(summary.epochs_run, 2);
    job = job_of(tuned, second);
    check_ok(context, sonde__prune_run(context, &job, &outcome));
    assert_int_equal(outcome.report.units, 20);
    assert_int_equal(outcome.report.kept, 10);
    /* The second plan is one of the architecture, not of the network that was pruned before. */
    check_close(accuracy_of(context, outcome.plan, second), outcome.accuracy[1], 1e-12, 0, "again");
    sonde__prune_outcome_free(&outcome);
    sonde_context_free(context);
}

static void zeroed_weights_stay_zero_in_training(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__prune_outcome outcome;
    sonde__subject_options options;
    sonde__subject subject;
    char run[128], out[128], tuned[128];
    snprintf(run, sizeof run, "%s", folder_path("run"));
    snprintf(out, sizeof out, "%s", folder_path("zeros.safetensors"));
    snprintf(tuned, sizeof tuned, "%s", folder_path("tuned-zeros"));
    sonde__prune_job job = job_of(run, out);
    job.options.criterion = SONDE_CRITERION_MAGNITUDE;
    job.options.ratio = 0.75;
    check_ok(context, sonde__prune_run(context, &job, &outcome));
    sonde__config config = small_config();
    config.epochs = 1;
    snprintf(config.pruned, sizeof config.pruned, "%s", outcome.plan);
    snprintf(config.weights, sizeof config.weights, "%s", out);
    train(context, &config, "tuned-zeros");
    sonde__subject_options_init(&options);
    options.run = tuned;
    check_ok(context, sonde__subject_open(context, &options, &subject));
    size_t count, zeros = 0;
    float *mask = NULL;
    const float *weights = sonde__net_weights(subject.net, &count);
    check_ok(context, sonde__plan_mask_at(context, outcome.plan, subject.net, &mask));
    for (size_t i = 0; i < count; i++) {
        zeros += mask[i] == 0;
        assert_true(mask[i] > 0 || weights[i] == 0);
    }
    assert_int_equal(outcome.report.units - outcome.report.kept, zeros);
    check_close((double)zeros, 0.75 * (784 * 24 + 24 * 16 + 160), 1, 0, "zeros");
    sonde__free(context, mask);
    sonde__subject_close(&subject);
    sonde__prune_outcome_free(&outcome);
    sonde_context_free(context);
}

static void what_is_cancelled_leaves_no_file(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__prune_outcome outcome;
    char run[128], out[128];
    snprintf(run, sizeof run, "%s", folder_path("run"));
    snprintf(out, sizeof out, "%s", folder_path("none.safetensors"));
    const sonde__prune_job job = job_of(run, out);
    sonde_context_cancel(context);
    check_status(sonde__prune_run(context, &job, &outcome), SONDE_ERROR_CANCELLED);
    assert_int_not_equal(access(out, F_OK), 0);
    assert_int_not_equal(access(folder_path("none.plan.json"), F_OK), 0);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_of_channels_comes_back_as_it_was),
        cmocka_unit_test(a_plan_of_weights_comes_back_as_a_mask),
        cmocka_unit_test(a_plan_that_does_not_fit_is_refused_by_name),
        cmocka_unit_test(every_cut_of_a_plan_is_an_error_and_no_crash),
        cmocka_unit_test(the_files_open_as_the_network_that_was_measured),
        cmocka_unit_test(a_pruned_network_trains_resumes_and_is_pruned_again),
        cmocka_unit_test(zeroed_weights_stay_zero_in_training),
        cmocka_unit_test(what_is_cancelled_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, make_run, folder_remove);
}
