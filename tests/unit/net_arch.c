/* Named architectures: published parameter counts, names and map sizes, and what their errors say. */
#include "check.h"

#include "net/arch.h"
#include "net/graph_internal.h"

static sonde_context *context;

static int set_up(void **state)
{
    (void)state;
    context = check_context();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    size_t const left = sonde_context_memory_used(context);
    sonde_context_free(context);
    return left <= 4096 ? 0 : -1; /* the context's own block, no graphs */
}

static sonde__graph *build(const char *spec, sonde__shape input, int classes)
{
    sonde__graph *graph = NULL;
    check_ok(context, sonde__arch_build(context, spec, input, classes, -1, &graph));
    return graph;
}

static bool trained(const sonde__parameter *parameter)
{
    return parameter->role != SONDE__ROLE_RUNNING_MEAN &&
           parameter->role != SONDE__ROLE_RUNNING_VARIANCE;
}

static void check_count(const char *spec, sonde__shape input, int classes, size_t expected)
{
    sonde__graph *graph = build(spec, input, classes);
    size_t count = 0;
    for (int i = 0; i < graph->parameter_count; i++)
        if (trained(&graph->parameters[i]))
            count += graph->parameters[i].elements;
    if (count != expected)
        fail_msg("%s has %zu parameters, not %zu", spec, count, expected);
    sonde__graph_free(graph);
}

static sonde__shape const cifar = {3, 32, 32}, digits = {1, 28, 28};

/* akamaster/pytorch_resnet_cifar10 (option A) and kuangliu/pytorch-cifar (the rest). */
static void test_published_parameter_counts(void **state)
{
    (void)state;
    check_count("resnet20", cifar, 10, 269722);
    check_count("resnet20:option=A", cifar, 10, 269722);
    check_count("resnet32", cifar, 10, 464154);
    check_count("resnet44", cifar, 10, 658586);
    check_count("resnet56", cifar, 10, 853018);
    check_count("resnet20:option=B", cifar, 10, 272474);
    check_count("resnet18", cifar, 10, 11173962);
    check_count("resnet34", cifar, 10, 21282122);
    check_count("vgg11", cifar, 10, 9231114);
    check_count("vgg16", cifar, 10, 14728266);
    check_count("mobilenetv2", cifar, 10, 2296922);
    /* arXiv 1608.06993, Table 2: 1.0 M and 0.8 M; exactly by tests/golden/architectures.py, as the
     * next ones, too */
    check_count("densenet", cifar, 10, 1019722);
    check_count("densenet:depth=100,form=bc", cifar, 10, 769162);
    check_count("densenet:depth=40,form=bc", cifar, 10, 176122);
    check_count("mobilenetv2:width=0.5", cifar, 10, 715834);
    check_count("mobilenetv2:width=1.4", cifar, 10, 4451626);
    check_count("vit-tiny", cifar, 10, 5362378);
    check_count("vit-tiny:depth=6,width=64,heads=4,patch=8", cifar, 10, 314058);
    check_count("mlp-mixer", cifar, 10, 1132170);
    check_count("gpt-tiny", (sonde__shape){1, 64, 1}, 65, 818176);
    /* lliai/DisWOT-CVPR2023 */
    check_count("s1:111", cifar, 100, 83892);
    check_count("s1:333", cifar, 100, 278324);
    check_count("s1:713", cifar, 100, 259892);
    check_count("s1:777", cifar, 100, 667188);
}

static size_t dense(size_t in, size_t out)
{
    return (in + 1) * out;
}

static void test_parameter_counts_by_hand(void **state)
{
    (void)state;
    sonde__shape const features = {100, 1, 1}, small = {3, 28, 28};
    check_count("mlp", digits, 10, dense(784, 512) + dense(512, 512) + dense(512, 10));
    check_count("mlp:widths=7", digits, 10, dense(784, 7) + dense(7, 10));
    check_count("nn1", features, 8,
                dense(100, 1024) + dense(1024, 512) + dense(512, 384) + dense(384, 192) +
                    dense(192, 8));
    check_count("nn2", features, 8,
                dense(100, 2048) + dense(2048, 1024) + dense(1024, 512) + dense(512, 8));
    check_count("lenet", digits, 10,
                dense(25, 6) + dense(150, 16) + dense(256, 2450) + dense(2450, 500) +
                    dense(500, 10));
    check_count("mini-alexnet", small, 10,
                dense(75, 96) + dense(2400, 256) + dense(4096, 384) + dense(384, 192) +
                    dense(192, 10));
    check_count("resnet8", cifar, 10, 75290);
}

static const sonde__parameter *find(const sonde__graph *graph, const char *name)
{
    for (int i = 0; i < graph->parameter_count; i++)
        if (strcmp(graph->parameters[i].name, name) == 0)
            return &graph->parameters[i];
    fail_msg("there is no parameter %s", name);
    return NULL;
}

static void check_parameter(const sonde__graph *graph, const char *name, int dims,
                            const int64_t *shape)
{
    const sonde__parameter *parameter = find(graph, name);
    assert_int_equal(parameter->dims, dims);
    for (int i = 0; i < dims; i++)
        assert_int_equal(parameter->shape[i], shape[i]);
}

static void test_parameters_are_named_as_in_pytorch(void **state)
{
    (void)state;
    sonde__graph *graph = build("resnet20", cifar, 10);
    check_parameter(graph, "conv1.weight", 4, (int64_t[]){16, 3, 3, 3});
    check_parameter(graph, "bn1.running_var", 1, (int64_t[]){16});
    check_parameter(graph, "layer2.0.conv1.weight", 4, (int64_t[]){32, 16, 3, 3});
    check_parameter(graph, "layer3.2.bn2.bias", 1, (int64_t[]){64});
    check_parameter(graph, "linear.weight", 2, (int64_t[]){10, 64});
    sonde__graph_free(graph);

    graph = build("resnet18", cifar, 10);
    check_parameter(graph, "layer4.0.shortcut.0.weight", 4, (int64_t[]){512, 256, 1, 1});
    check_parameter(graph, "layer4.0.shortcut.1.weight", 1, (int64_t[]){512});
    sonde__graph_free(graph);

    graph = build("vgg16", cifar, 10);
    check_parameter(graph, "features.40.weight", 4, (int64_t[]){512, 512, 3, 3});
    check_parameter(graph, "features.41.running_mean", 1, (int64_t[]){512});
    check_parameter(graph, "classifier.weight", 2, (int64_t[]){10, 512});
    sonde__graph_free(graph);

    graph = build("lenet", digits, 10);
    check_parameter(graph, "fc1.weight", 2, (int64_t[]){2450, 256});
    check_parameter(graph, "fc2.weight", 2, (int64_t[]){500, 2450});
    sonde__graph_free(graph);
}

static void check_map(const sonde__graph *graph, sonde__shape shape)
{
    for (int i = 0; i < graph->layer_count; i++) {
        sonde__shape const each = graph->layers[i].shape;
        if (each.channels == shape.channels && each.height == shape.height &&
            each.width == shape.width && graph->layers[i].op == SONDE__OP_MAX_POOL)
            return;
    }
    fail_msg("no pool gives %d x %d x %d", shape.channels, shape.height, shape.width);
}

static void test_map_sizes_of_the_spectral_networks(void **state)
{
    (void)state;
    sonde__graph *graph = build("lenet", digits, 10);
    check_map(graph, (sonde__shape){6, 12, 12});
    check_map(graph, (sonde__shape){16, 4, 4});
    sonde__graph_free(graph);
    graph = build("mini-alexnet", (sonde__shape){3, 28, 28}, 10);
    check_map(graph, (sonde__shape){96, 12, 12});
    check_map(graph, (sonde__shape){256, 4, 4});
    sonde__graph_free(graph);
}

static void test_multiply_adds(void **state)
{
    (void)state;
    sonde__graph *graph = build("resnet20", cifar, 10);
    assert_true(sonde__graph_flops(graph) == 40551040.0);
    sonde__graph_free(graph);
    graph = build("cnn", digits, 10);
    assert_true(sonde__graph_flops(graph) == 5680640.0);
    sonde__graph_free(graph);
}

static void test_every_architecture_builds_at_its_least_size_and_refuses_less(void **state)
{
    (void)state;
    for (int i = 0; sonde__arch(i); i++) {
        const sonde__arch_info *info = sonde__arch(i);
        assert_true(info->summary[0] && info->options);
        if (strcmp(info->name, "gpt-tiny") == 0)
            continue;
        int least = 1;
        sonde__graph *graph = NULL;
        while (sonde__arch_build(context, info->name, (sonde__shape){1, least, least}, 3, -1,
                                 &graph) == SONDE_ERROR_SHAPE)
            assert_true(least++ < 32);
        assert_non_null(graph);
        assert_int_equal(sonde__graph_shape(graph, graph->output).channels, 3);
        sonde__graph_free(graph);
        sonde__graph_free(build(info->name, (sonde__shape){17, least + 8, 40}, 1));
    }
    assert_null(sonde__arch(-1));
}

static void test_a_language_model_reads_sequences_and_gives_logits_by_token(void **state)
{
    (void)state;
    for (int tokens = 1; tokens < 20; tokens += 6) {
        sonde__graph *graph =
            build("gpt-tiny:depth=1,width=8,heads=2", (sonde__shape){1, tokens, 1}, 5);
        sonde__shape const out = sonde__graph_shape(graph, graph->output);
        assert_int_equal(out.channels, tokens);
        assert_int_equal(out.height, 5);
        assert_int_equal(out.width, 1);
        sonde__graph_free(graph);
    }
}

static sonde_status status_of(const char *spec, sonde__shape input, int classes, double dropout)
{
    sonde__graph *graph = NULL;
    sonde_status const status = sonde__arch_build(context, spec, input, classes, dropout, &graph);
    assert_true((status == SONDE_OK) == (graph != NULL));
    if (status == SONDE_OK)
        sonde__graph_free(graph);
    return status;
}

static void check_says(const char *text)
{
    const char *message = sonde_context_error(context)->message;
    if (!strstr(message, text))
        fail_msg("'%s' does not say '%s'", message, text);
}

static void test_unknown_names_are_told_the_nearest_and_all(void **state)
{
    (void)state;
    check_status(status_of("resnet21", cifar, 10, -1), SONDE_ERROR_NOT_FOUND);
    check_says("'resnet21'");
    check_says("nearest is 'resnet20'");
    check_says("mini-alexnet");
    check_status(status_of("minialexnet:dropout=0", cifar, 10, -1), SONDE_ERROR_NOT_FOUND);
    check_says("nearest is 'mini-alexnet'");
    check_status(status_of("", cifar, 10, -1), SONDE_ERROR_NOT_FOUND);
    check_status(status_of(":option=A", cifar, 10, -1), SONDE_ERROR_NOT_FOUND);
    char name[4000];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    check_status(status_of(name, cifar, 10, -1), SONDE_ERROR_NOT_FOUND);
}

static void test_wrong_options_are_told_what_there_is(void **state)
{
    (void)state;
    check_status(status_of("resnet20:widths=3", cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_says("no option 'widths'");
    check_says("option=A");
    check_status(status_of("resnet20:option", cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_status(status_of("resnet20:option=C", cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_status(status_of("resnet20:option=", cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_status(status_of("resnet18:option=A", cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_status(status_of("resnet20:", cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_status(status_of("resnet20:option=B,", cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_status(status_of("mlp:dropout=1", cifar, 10, -1), SONDE_ERROR_RANGE);
    check_status(status_of("mlp:dropout=nan", cifar, 10, -1), SONDE_ERROR_RANGE);
    check_status(status_of("mlp:dropout=-0.1", cifar, 10, -1), SONDE_ERROR_RANGE);
}

static void test_wrong_members_of_a_family_are_told_what_there_is(void **state)
{
    (void)state;
    const char *const wrong[] = {"s1:", "s1:33", "s1:3333", "s1:332", "s1:=333", "s1:blocks=333"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_status(status_of(wrong[i], cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_status(status_of("s1:332", cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_says("each 1, 3, 5 or 7");
    check_status(status_of("nb201:0,cells=0", cifar, 10, -1), SONDE_ERROR_RANGE);
    check_status(status_of("nb201:0,cells=1.5", cifar, 10, -1), SONDE_ERROR_RANGE);
    check_status(status_of("nb201:0,channels=-16", cifar, 10, -1), SONDE_ERROR_RANGE);
    check_status(status_of("nb201:0,channels=4097", cifar, 10, -1), SONDE_ERROR_RANGE);
    check_status(status_of("nb201:0,norm=group", cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_says("plain nor affine");
    check_status(status_of("nb201:0", (sonde__shape){3, 30, 32}, 10, -1), SONDE_ERROR_SHAPE);
    check_says("multiples of 4, not 30 x 32");
}

static void test_sizes_that_do_not_fit_are_named(void **state)
{
    (void)state;
    check_status(status_of("vit-tiny:heads=5", cifar, 10, -1), SONDE_ERROR_SHAPE);
    check_says("heads=5 does not divide width=192");
    check_status(status_of("mlp-mixer:patch=5", cifar, 10, -1), SONDE_ERROR_SHAPE);
    check_says("patch=5 does not divide images of 32 x 32");
    check_status(status_of("densenet:depth=41", cifar, 10, -1), SONDE_ERROR_RANGE);
    check_says("depth=41 is not 4 more than a multiple of 3");
    check_status(status_of("densenet:depth=43,form=bc", cifar, 10, -1), SONDE_ERROR_RANGE);
    check_status(status_of("densenet:form=b", cifar, 10, -1), SONDE_ERROR_ARGUMENT);
    check_status(status_of("mobilenetv2:width=nan", cifar, 10, -1), SONDE_ERROR_RANGE);
    check_status(status_of("mobilenetv2:width=0", cifar, 10, -1), SONDE_ERROR_RANGE);
    check_status(status_of("gpt-tiny:depth=0", (sonde__shape){1, 8, 1}, 9, -1), SONDE_ERROR_RANGE);
    check_status(status_of("gpt-tiny", cifar, 10, -1), SONDE_ERROR_SHAPE);
    check_says("reads texts");
}

static void test_wrong_widths_are_refused(void **state)
{
    (void)state;
    const char *const wrong[] = {
        "mlp:widths=",    "mlp:widths=x",   "mlp:widths=5x",
        "mlp:widths=x5",  "mlp:widths=0",   "mlp:widths=-5",
        "mlp:widths=5 5", "mlp:widths=5.5", "mlp:widths=99999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_status(status_of(wrong[i], digits, 10, -1), SONDE_ERROR_ARGUMENT);
    char many[400] = "mlp:widths=1";
    for (int i = 0; i < 32; i++)
        strcat(many, "x1");
    check_status(status_of(many, digits, 10, -1), SONDE_ERROR_RANGE);
    many[strlen(many) - 2] = '\0';
    check_status(status_of(many, digits, 10, -1), SONDE_OK);
}

static void test_wrong_tasks_are_refused(void **state)
{
    (void)state;
    check_status(status_of("cnn", digits, 0, -1), SONDE_ERROR_RANGE);
    check_status(status_of("cnn", digits, 10, 1), SONDE_ERROR_RANGE);
    check_status(status_of("cnn", digits, 10, (double)NAN), SONDE_ERROR_RANGE);
    check_status(status_of("vgg11", digits, 10, -1), SONDE_ERROR_SHAPE);
    check_says("32 x 32");
    check_status(status_of("resnet8", (sonde__shape){100, 1, 1}, 10, -1), SONDE_ERROR_SHAPE);
    check_status(status_of("mlp", (sonde__shape){0, 1, 1}, 10, -1), SONDE_ERROR_SHAPE);
}

static int dropouts(const char *spec, double dropout, double *rate)
{
    sonde__graph *graph = NULL;
    int count = 0;
    check_ok(context, sonde__arch_build(context, spec, digits, 10, dropout, &graph));
    for (int i = 0; i < graph->layer_count; i++)
        if (graph->layers[i].op == SONDE__OP_DROPOUT) {
            *rate = graph->layers[i].rate;
            count++;
        }
    sonde__graph_free(graph);
    return count;
}

static void test_the_caller_s_dropout_wins_over_the_spec(void **state)
{
    (void)state;
    double rate = 0;
    assert_int_equal(dropouts("mlp", -1, &rate), 0);
    assert_int_equal(dropouts("mlp:widths=5x5x5,dropout=0.25", -1, &rate), 3);
    assert_true(rate == 0.25);
    assert_int_equal(dropouts("mlp:dropout=0.25", 0, &rate), 0);
    assert_int_equal(dropouts("resnet8", 0.5, &rate), 1);
    assert_true(rate == 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_parameter_counts),
        cmocka_unit_test(test_parameter_counts_by_hand),
        cmocka_unit_test(test_parameters_are_named_as_in_pytorch),
        cmocka_unit_test(test_map_sizes_of_the_spectral_networks),
        cmocka_unit_test(test_multiply_adds),
        cmocka_unit_test(test_a_language_model_reads_sequences_and_gives_logits_by_token),
        cmocka_unit_test(test_every_architecture_builds_at_its_least_size_and_refuses_less),
        cmocka_unit_test(test_unknown_names_are_told_the_nearest_and_all),
        cmocka_unit_test(test_wrong_options_are_told_what_there_is),
        cmocka_unit_test(test_wrong_members_of_a_family_are_told_what_there_is),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_named),
        cmocka_unit_test(test_wrong_widths_are_refused),
        cmocka_unit_test(test_wrong_tasks_are_refused),
        cmocka_unit_test(test_the_caller_s_dropout_wins_over_the_spec),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
