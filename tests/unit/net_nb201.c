/* Cells of NAS-Bench-201: strings, official order, sizes; what they compute is in net_operators.c. */
#include "check.h"

#include "net/arch.h"
#include "net/graph_internal.h"
#include "net/nb201.h"

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
    return left <= 4096 ? 0 : -1;
}

static sonde__shape const cifar = {3, 32, 32};

static void check_says(const char *text)
{
    const char *message = sonde_context_error(context)->message;
    if (!strstr(message, text))
        fail_msg("'%s' does not say '%s'", message, text);
}

static void read_cell(const char *text, sonde__nb201_cell *cell)
{
    check_ok(context, sonde__nb201_read(context, text, cell));
}

static void check_index(const char *index, const char *text)
{
    sonde__nb201_cell cell;
    char written[SONDE__NB201_TEXT];
    read_cell(index, &cell);
    sonde__nb201_write(&cell, written);
    assert_string_equal(written, text);
}

/* From the published table of results. */
static void test_an_index_names_the_cell_of_the_benchmark(void **state)
{
    (void)state;
    check_index("0", "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
                     "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|");
    check_index("9", "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|");
    check_index("1462", "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
                        "+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|");
    check_index("15624", "|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|"
                         "+|none~0|nor_conv_1x1~1|nor_conv_1x1~2|");
}

/* FNV-1a over the 15,625 strings of the published table, each with a newline. */
static void test_all_cells_come_in_the_official_order(void **state)
{
    (void)state;
    sonde__nb201_cell *cells = malloc(SONDE__NB201_CELLS * sizeof *cells);
    assert_non_null(cells);
    check_ok(context, sonde__nb201_list(context, cells, SONDE__NB201_CELLS));
    uint64_t hash = 0xcbf29ce484222325U;
    for (int i = 0; i < SONDE__NB201_CELLS; i++) {
        char text[SONDE__NB201_TEXT + 1];
        sonde__nb201_write(&cells[i], text);
        strcat(text, "\n");
        for (const char *c = text; *c; c++)
            hash = (hash ^ (unsigned char)*c) * 0x100000001b3U;
    }
    free(cells);
    assert_true(hash == 0x8a39d9c5a475c0b1U);
}

static void test_a_cell_read_is_the_cell_written(void **state)
{
    (void)state;
    const char *const text = "|nor_conv_3x3~0|+|skip_connect~0|none~1|"
                             "+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|";
    sonde__nb201_cell cell;
    char written[SONDE__NB201_TEXT];
    read_cell(text, &cell);
    assert_int_equal(cell.operators[0], SONDE__NB201_CONV_3X3);
    assert_int_equal(cell.operators[4], SONDE__NB201_CONV_1X1);
    sonde__nb201_write(&cell, written);
    assert_string_equal(written, text);
}

static void check_refused(const char *text, sonde_status status, const char *says)
{
    sonde__nb201_cell cell;
    check_status(sonde__nb201_read(context, text, &cell), status);
    check_says(says);
}

static void test_what_is_no_cell_is_told_what_one_is(void **state)
{
    (void)state;
    const char *const wrong[] = {
        "",
        "|",
        "||",
        "cell",
        "1.5",
        "12x",
        "|none~0",
        "|none~0|",
        "|none~0|+",
        "|none~0|+|",
        "|none|+|none~0|none~1|+|none~0|none~1|none~2|",
        "|none~|+|none~0|none~1|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|",
        "|none~0|+|none~0|none~1|+|none~0|none~1||",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|x",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|+|none~0|none~1|none~2|none~3|",
        "none~0|+|none~0|none~1|+|none~0|none~1|none~2|"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_refused(wrong[i], SONDE_ERROR_ARGUMENT, "is no cell");
    check_refused("|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", SONDE_ERROR_ARGUMENT,
                  "'conv' is no operator of a cell; there are none, skip_connect");
    check_refused("|none~0|+|none~0|none~2|+|none~0|none~1|none~2|", SONDE_ERROR_ARGUMENT,
                  "the edges into node 2 come from nodes 0 to 1");
    check_refused("|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", SONDE_ERROR_ARGUMENT,
                  "~0 stands where ~1 belongs");
    check_refused("|none~99999999999999999999|+|none~0|none~0|", SONDE_ERROR_ARGUMENT, "node 1");
    check_refused("15625", SONDE_ERROR_RANGE, "from 0 to 15624");
    check_refused("-1", SONDE_ERROR_RANGE, "from 0 to 15624");
    char endless[3000];
    memset(endless, '|', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    check_refused(endless, SONDE_ERROR_ARGUMENT, "is no cell");
}

static sonde__graph *build(const char *spec)
{
    sonde__graph *graph = NULL;
    check_ok(context, sonde__arch_build(context, spec, cifar, 10, -1, &graph));
    return graph;
}

static void check_count(const char *spec, size_t expected)
{
    sonde__graph *graph = build(spec);
    size_t count = 0;
    for (int i = 0; i < graph->parameter_count; i++) {
        const sonde__role role = graph->parameters[i].role;
        if (role != SONDE__ROLE_RUNNING_MEAN && role != SONDE__ROLE_RUNNING_VARIANCE)
            count += graph->parameters[i].elements;
    }
    if (count != expected)
        fail_msg("%s has %zu parameters, not %zu", spec, count, expected);
    sonde__graph_free(graph);
}

/* The benchmark lists 1.531546 M for all 3x3; the rest by zero-cost-nas' own network. */
static void test_parameter_counts(void **state)
{
    (void)state;
    check_count("nb201:1462,norm=affine", 1531546);
    check_count("nb201:|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|"
                "nor_conv_3x3~1|nor_conv_3x3~2|,norm=affine",
                1531546);
    check_count("nb201:1462", 1528186);
    check_count("nb201:1", 800746);
    check_count("nb201:1,norm=affine", 802426);
    check_count("nb201:9", 315786);
    check_count("nb201:1852", 343226);
}

static void test_parameters_are_named_as_in_zero_cost_nas(void **state)
{
    (void)state;
    static const char *const names[] = {"stem.net.0.weight",
                                        "stem.net.1.running_var",
                                        "stack_cell1.0.options.2.op.1.weight",
                                        "stack_cell3.4.options.13.op.1.bias",
                                        "stack_cell3.4.options.13.op.2.running_mean",
                                        "reduction2.conv_b.op.2.weight",
                                        "reduction1.residual.1.weight",
                                        "top.lastact.0.bias",
                                        "top.classifier.weight"};
    sonde__graph *graph = build("nb201:|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|"
                                "skip_connect~2|");
    /* edge 1-2 is the third: its operators are options 10 to 14, 1x1 the fourth of them */
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        bool found = false;
        for (int i = 0; i < graph->parameter_count; i++)
            found = found || strcmp(graph->parameters[i].name, names[k]) == 0;
        if (!found)
            fail_msg("there is no parameter %s", names[k]);
    }
    sonde__graph_free(graph);
}

static void test_every_cell_builds_and_all_of_it_is_computed(void **state)
{
    (void)state;
    sonde__nb201_cell *cells = malloc(SONDE__NB201_CELLS * sizeof *cells);
    assert_non_null(cells);
    check_ok(context, sonde__nb201_list(context, cells, SONDE__NB201_CELLS));
    for (int i = 0; i < SONDE__NB201_CELLS; i++) {
        char cell[SONDE__NB201_TEXT], spec[SONDE__NB201_TEXT + 48];
        sonde__nb201_write(&cells[i], cell);
        snprintf(spec, sizeof spec, "nb201:%s,cells=1,channels=2", cell);
        sonde__graph *graph = build(spec);
        for (int layer = 0; layer < graph->layer_count; layer++)
            if (!graph->layers[layer].used)
                fail_msg("%s: %s is not computed", spec, graph->layers[layer].name);
        sonde__graph_free(graph);
    }
    free(cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_index_names_the_cell_of_the_benchmark),
        cmocka_unit_test(test_all_cells_come_in_the_official_order),
        cmocka_unit_test(test_a_cell_read_is_the_cell_written),
        cmocka_unit_test(test_what_is_no_cell_is_told_what_one_is),
        cmocka_unit_test(test_parameter_counts),
        cmocka_unit_test(test_parameters_are_named_as_in_zero_cost_nas),
        cmocka_unit_test(test_every_cell_builds_and_all_of_it_is_computed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
