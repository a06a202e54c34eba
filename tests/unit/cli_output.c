/* What the command writes: names that fit and steer nothing, JSON, CSV, the line of progress. */
#include "check.h"

#include "cli/live.h"
#include "cli/survey_out.h"

static void names_are_shortened_in_the_middle_and_never_within_a_character(void **state)
{
    static const struct {
        const char *name;
        int most;
        const char *shown;
    } cases[] = {
        {"conv1.weight", 12, "conv1.weight"},
        {"conv1.weight", 40, "conv1.weight"},
        {"model.layers.head.mlp.weight", 17, "model..mlp.weight"},
        /* Numbers tell layers apart. */
        {"model.layers.11.mlp.weight", 17, "mo..11.mlp.weight"},
        {"layers.0.attn.in_proj_weight", 24, "layers.0..in_proj_weight"},
        {"model.layers.12.self_attn.q_proj", 24, "mod..12.self_attn.q_proj"},
        {"1.2.3.4.5.6.7.8.9", 8, "1....8.9"},
        {"\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F", 5,
         "\xC3\xA4..\xC3\xBC\xC3\x9F"},
        {"a\033[31mb", 40, "a?[31mb"},
        {"", 10, ""},
        {"abcdef", 3, "abc"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char shown[64];
        sonde__paper_shorten(cases[i].name, cases[i].most, shown, sizeof shown);
        assert_string_equal(shown, cases[i].shown);
    }
}

static void the_folder_that_paths_share_ends_with_a_slash(void **state)
{
    (void)state;
    assert_int_equal(sonde__shared_folder("a/b/x1", "a/b/x2", SIZE_MAX), 4);
    assert_int_equal(sonde__shared_folder("a/b/x1", "a/bc/x1", SIZE_MAX), 2);
    assert_int_equal(sonde__shared_folder("a/b/x1", "a/b/x1", SIZE_MAX), 4);
    assert_int_equal(sonde__shared_folder("x", "x", SIZE_MAX), 0);
    assert_int_equal(sonde__shared_folder("a/b/x1", "a/b/x2", 2), 2);
}

static void json_sets_its_own_commas_and_unknown_is_null(void **state)
{
    sonde_context *context = check_context();
    sonde__json_out json;
    (void)state;
    sonde__out_begin(&json, context, NULL);
    sonde__out_open(&json, NULL, '{');
    sonde__out_open(&json, "empty", '[');
    sonde__out_close(&json, ']');
    sonde__out_number(&json, "nan", (double)NAN);
    sonde__out_number(&json, "half", 0.5);
    sonde__out_whole(&json, "unknown", -1);
    sonde__out_count(&json, "many", UINT64_MAX);
    sonde__out_string(&json, "none", NULL);
    sonde__out_string(&json, "quote", "\"\n");
    sonde__out_open(&json, "list", '[');
    sonde__out_flag(&json, NULL, true);
    sonde__out_open(&json, NULL, '{');
    sonde__out_close(&json, '}');
    sonde__out_null(&json, NULL);
    sonde__out_close(&json, ']');
    sonde__out_close(&json, '}');
    assert_string_equal(json.text.bytes,
                        "{\"empty\":[],\"nan\":null,\"half\":0.5,\"unknown\":null,"
                        "\"many\":18446744073709551615,\"none\":null,\"quote\":\"\\\"\\n\","
                        "\"list\":[true,{},null]}");
    check_ok(context, sonde__out_end(&json));
    sonde_context_free(context);
}

static void a_long_answer_passes_through_a_small_buffer(void **state)
{
    sonde_context *context = check_context();
    sonde__json_out json;
    FILE *file = tmpfile();
    (void)state;
    assert_non_null(file);
    sonde__out_begin(&json, context, file);
    sonde__out_open(&json, NULL, '[');
    for (int i = 0; i < 200000; i++)
        sonde__out_string(&json, NULL, "a tensor with a name of some length");
    sonde__out_close(&json, ']');
    check_ok(context, sonde__out_end(&json));
    assert_true(ftell(file) == 200000 * 38 + 2);
    assert_true(sonde_context_memory_peak(context) < 500000);
    fclose(file);
    sonde_context_free(context);
}

static void a_name_of_a_tensor_is_no_formula_in_a_spreadsheet(void **state)
{
    sonde_context *context = check_context();
    sonde__survey_row row = {.layer = {.name = "=cmd|' /C calc'!A0,\"x\"",
                                       .number = SONDE_NUMBER_F32,
                                       .skipped = "a vector, not a matrix",
                                       .dims = 1,
                                       .dim = {3}},
                             .ratio = (double)NAN,
                             .alpha = (double)NAN};
    const sonde__survey_table table = {
        .context = context, .path = "-m.safetensors", .epoch = 4, .rows = &row, .count = 1};
    sonde__text head, line;
    (void)state;
    sonde__text_init(&head, context);
    sonde__text_init(&line, context);
    sonde__csv_head(&head);
    sonde__csv_survey(&line, &table);
    check_ok(context, sonde__text_status(&line));
    const char begin[] = "\"'-m.safetensors\",4,\"'=cmd|' /C calc'!A0,\"\"x\"\"\",3,dense,F32,,"
                         "\"a vector, not a matrix\",";
    if (strncmp(line.bytes, begin, strlen(begin)) != 0)
        fail_msg("%s", line.bytes);
    size_t columns = 0, cells = 0;
    for (const char *at = head.bytes; *at; at++)
        columns += *at == ',';
    bool quoted = false;
    for (const char *at = line.bytes; *at; at++) {
        quoted ^= *at == '"';
        cells += *at == ',' && !quoted;
    }
    assert_int_equal(cells, columns);
    sonde__text_free(&head);
    sonde__text_free(&line);
    sonde_context_free(context);
}

static void the_line_of_progress_fits_whatever_the_names_are(void **state)
{
    char name[400];
    sonde__survey_live live = {.model = name, .number = 3, .models = 12};
    const sonde_survey_progress progress = {
        .layers = 1234, .layers_done = 56, .work_done = 0.345, .seconds_left = 75, .layer = name};
    (void)state;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    for (int width = 10; width < 200; width++) {
        char line[512];
        sonde__survey_live_format(&live, &progress, width, line, sizeof line);
        if (sonde__columns(line, strlen(line)) > width)
            fail_msg("%d columns: %s", width, line);
        assert_null(strchr(line, '\n'));
        if (width >= 40)
            assert_non_null(strstr(line, "1:15 left"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_shortened_in_the_middle_and_never_within_a_character),
        cmocka_unit_test(the_folder_that_paths_share_ends_with_a_slash),
        cmocka_unit_test(json_sets_its_own_commas_and_unknown_is_null),
        cmocka_unit_test(a_long_answer_passes_through_a_small_buffer),
        cmocka_unit_test(a_name_of_a_tensor_is_no_formula_in_a_spreadsheet),
        cmocka_unit_test(the_line_of_progress_fits_whatever_the_names_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
