/* Parsing of options, suggestions, and the live line. */
#include "check.h"

#include "cli/live.h"
#include "cli/verb.h"
#include "cli/options.h"

typedef struct values {
    const char *output;
    int64_t count, memory;
    bool json;
} values;

static const sonde__option options[] = {
    {SONDE__OPTION_TEXT, "output", 'o', "FILE", "", offsetof(values, output)},
    {SONDE__OPTION_INTEGER, "count", 0, "N", "", offsetof(values, count)},
    {SONDE__OPTION_SIZE, "memory", 0, "SIZE", "", offsetof(values, memory)},
    {SONDE__OPTION_FLAG, "json", 'j', "", "", offsetof(values, json)},
    {SONDE__OPTION_TEXT, NULL, 0, NULL, NULL, 0},
};

typedef struct fixture {
    sonde_context *context;
    sonde__config config;
    values values;
    sonde__parse parse;
} fixture;

static fixture begin(void)
{
    fixture f = {.context = check_context()};
    sonde__config_init(&f.config);
    f.parse = (sonde__parse){.verb = "verb", .options = options, .positional = "RUN"};
    return f;
}

/* The words of a command line, ended by NULL. */
static sonde_status parse(fixture *f, bool trains, const char *const *words)
{
    char *arguments[16] = {0}, copies[16][64];
    int count = 0;
    for (; words[count]; count++) {
        snprintf(copies[count], sizeof copies[count], "%s", words[count]);
        arguments[count] = copies[count];
    }
    f->parse.values = &f->values;
    f->parse.config = trains ? &f->config : NULL;
    f->parse.value = NULL;
    const sonde_status status = sonde__parse_arguments(f->context, &f->parse, count, arguments);
    /* Texts point into the arguments, which end here: keep only whether they were given. */
    if (f->values.output)
        f->values.output = strcmp(f->values.output, "x.html") == 0 ? "x.html" : "other";
    if (f->parse.value)
        f->parse.value = strcmp(f->parse.value, "runs/a") == 0 ? "runs/a" : "other";
    return status;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void a_value_may_follow_or_be_attached(void **state)
{
    (void)state;
    const char *const *const lines[] = {
        WORDS("runs/a", "--output", "x.html"), WORDS("--output=x.html", "runs/a"),
        WORDS("-o", "x.html", "runs/a"),       WORDS("-ox.html", "runs/a"),
        WORDS("-ox.html", "--", "runs/a"),
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        fixture f = begin();
        check_ok(f.context, parse(&f, false, lines[i]));
        assert_string_equal(f.values.output, "x.html");
        assert_string_equal(f.parse.value, "runs/a");
        sonde_context_free(f.context);
    }
}

static void several_positionals_are_gathered_in_order_around_options(void **state)
{
    sonde_context *context = check_context();
    values given = {0};
    char words[][16] = {"first", "--json", "second", "--count", "3", "--", "-third"};
    char *arguments[7];
    sonde__parse parse = {.verb = "verb", .options = options, .positional = "MODEL", .most = 3};
    (void)state;
    for (int i = 0; i < 7; i++)
        arguments[i] = words[i];
    parse.values = &given;
    check_ok(context, sonde__parse_arguments(context, &parse, 7, arguments));
    assert_int_equal(parse.given, 3);
    assert_string_equal(parse.values_given[0], "first");
    assert_string_equal(parse.values_given[1], "second");
    assert_string_equal(parse.values_given[2], "-third");
    assert_true(given.json);
    assert_int_equal(given.count, 3);
    char *four[] = {words[0], words[2], words[0], words[2]};
    check_status(sonde__parse_arguments(context, &parse, 4, four), SONDE_ERROR_ARGUMENT);
    sonde_context_free(context);
}

static void sizes_have_units_of_1024(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes; /* 0: refused */
    } cases[] = {{"1", 1},
                 {"65536", 65536},
                 {"2G", INT64_C(2) << 30},
                 {"512m", 512 << 20},
                 {"1.5K", 1536},
                 {"4KiB", 4096},
                 {"1TB", INT64_C(1) << 40},
                 {"16B", 16},
                 {"", 0},
                 {"G", 0},
                 {"-1", 0},
                 {"0", 0},
                 {"1 G", 0},
                 {"1GG", 0},
                 {"1e3", 0},
                 {"nan", 0},
                 {"99999999999999T", 0},
                 {"1.2.3", 0},
                 {"0.2", 0},
                 {"1iB", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t bytes = 0;
        const bool read = sonde__parse_size(cases[i].text, &bytes);
        if (read != (cases[i].bytes > 0) || (read && bytes != cases[i].bytes))
            fail_msg("\"%s\" is %lld", cases[i].text, (long long)bytes);
    }
}

static void flags_switch_on_and_off(void **state)
{
    fixture f = begin();
    (void)state;
    check_ok(f.context, parse(&f, false, WORDS("--json")));
    assert_true(f.values.json);
    check_ok(f.context, parse(&f, false, WORDS("--no-json")));
    assert_false(f.values.json);
    check_ok(f.context, parse(&f, true, WORDS("--no-skip", "--nesterov", "--spectrum=off")));
    assert_false(f.config.skip);
    assert_true(f.config.nesterov);
    assert_false(f.config.spectrum);
    sonde_context_free(f.context);
}

static void fields_of_the_configuration_are_options_of_training_verbs_only(void **state)
{
    fixture f = begin();
    (void)state;
    check_ok(f.context, parse(&f, true, WORDS("--epochs", "7", "--lr=0.25", "--data", "mnist")));
    assert_int_equal(f.config.epochs, 7);
    check_close(f.config.lr, 0.25, 0, 0, "lr");
    assert_string_equal(f.config.data, "mnist");
    check_status(parse(&f, false, WORDS("--epochs", "7")), SONDE_ERROR_ARGUMENT);
    sonde_context_free(f.context);
}

static void what_is_wrong_is_refused_with_the_nearest_name(void **state)
{
    static const struct {
        const char *word, *next, *said;
    } cases[] = {
        {"--epoch", "3", "did you mean --epochs?"},
        {"--lable-noise", "0.1", "did you mean --label-noise?"},
        {"--outptu", "x", "did you mean --output?"},
        {"--no-skp", NULL, "unknown option --no-skp"},
        {"--xyzzyxyzzy", NULL, "`sonde help verb` lists"},
        {"--epochs", NULL, "needs a value"},
        {"--count", "-3", "whole number"},
        {"--count=1.5", NULL, "whole number"},
        {"--memory", "lots", "a size such as"},
        {"--json=maybe", NULL, "on or off"},
        {"-z", NULL, "unknown option -z"},
        {"--output=", NULL, "is empty"},
        {"--no-epochs", NULL, "unknown option"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture f = begin();
        const char *words[] = {cases[i].word, cases[i].next, NULL};
        check_status(parse(&f, true, words), SONDE_ERROR_ARGUMENT);
        const char *message = sonde_context_error(f.context)->message;
        if (!strstr(message, cases[i].said))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].word, message, cases[i].said);
        assert_null(strchr(message, '\n'));
        sonde_context_free(f.context);
    }
}

static void a_second_or_unwanted_positional_is_refused(void **state)
{
    fixture f = begin();
    (void)state;
    check_status(parse(&f, false, WORDS("runs/a", "runs/b")), SONDE_ERROR_ARGUMENT);
    check_status(parse(&f, false, WORDS("")), SONDE_ERROR_ARGUMENT);
    f.parse.positional = NULL;
    check_status(parse(&f, false, WORDS("runs/a")), SONDE_ERROR_ARGUMENT);
    sonde_context_free(f.context);
}

static void edit_distance_counts_slips(void **state)
{
    (void)state;
    assert_int_equal(sonde__edit_distance("epochs", "epochs"), 0);
    assert_int_equal(sonde__edit_distance("epoch", "epochs"), 1);
    assert_int_equal(sonde__edit_distance("ecpohs", "epochs"), 2);
    assert_int_equal(sonde__edit_distance("lable", "label"), 1);
    assert_int_equal(sonde__edit_distance("", "abc"), 3);
    assert_int_equal(sonde__edit_distance("kitten", "sitting"), 3);
}

static sonde__train_progress some_progress(void)
{
    return (sonde__train_progress){.epoch = 3,
                                   .epochs = 30,
                                   .epoch_share = 0.45,
                                   .train_loss = 0.5123,
                                   .images_per_second = 3120,
                                   .active_share = 0.87,
                                   .head_score = 0.0123,
                                   .worst_ratio = 0.84,
                                   .worst_layer = "conv2",
                                   .test_accuracy = (double)NAN,
                                   .seconds_left = 83,
                                   .activity = "training"};
}

static void the_live_line_shows_everything_that_fits(void **state)
{
    const sonde__train_progress progress = some_progress();
    char line[1024];
    (void)state;
    sonde__live_format(&progress, 200, false, line, sizeof line);
    assert_string_equal(line, "epoch 3/30   45%  loss 0.5123  3120 images/s  active 87%  "
                              "head 0.0123  spectrum 0.84 conv2  1:23 left");
    for (int width = 10; width < 160; width++) {
        sonde__live_format(&progress, width, false, line, sizeof line);
        assert_true((int)strlen(line) <= width);
        assert_non_null(strstr(line, "epoch 3/30"));
    }
}

static void the_live_line_survives_unknown_numbers(void **state)
{
    sonde__train_progress progress = some_progress();
    char line[1024];
    (void)state;
    progress.train_loss = progress.images_per_second = progress.head_score = (double)NAN;
    progress.seconds_left = progress.active_share = (double)INFINITY;
    progress.worst_ratio = 0;
    progress.worst_layer = NULL;
    progress.activity = NULL;
    sonde__live_format(&progress, 100, false, line, sizeof line);
    assert_string_equal(line, "epoch 3/30   45%  loss not finite");
    progress.active_share = 0; /* nothing was trained on: there is no loss */
    sonde__live_format(&progress, 100, false, line, sizeof line);
    assert_string_equal(line, "epoch 3/30   45%  active 0%");
}

static void control_characters_become_question_marks(void **state)
{
    char text[] = "a\033[31mb\tc\x7f d\xc2\x9b"
                  "e \xc3\xbc \xe2\x82\xac";
    (void)state;
    sonde__cli_plain(text);
    assert_string_equal(text, "a?[31mb?c? d??e \xc3\xbc \xe2\x82\xac");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_may_follow_or_be_attached),
        cmocka_unit_test(several_positionals_are_gathered_in_order_around_options),
        cmocka_unit_test(sizes_have_units_of_1024),
        cmocka_unit_test(flags_switch_on_and_off),
        cmocka_unit_test(fields_of_the_configuration_are_options_of_training_verbs_only),
        cmocka_unit_test(what_is_wrong_is_refused_with_the_nearest_name),
        cmocka_unit_test(a_second_or_unwanted_positional_is_refused),
        cmocka_unit_test(edit_distance_counts_slips),
        cmocka_unit_test(the_live_line_shows_everything_that_fits),
        cmocka_unit_test(the_live_line_survives_unknown_numbers),
        cmocka_unit_test(control_characters_become_question_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
