/* Text: numbers that read back as themselves in every locale, escapes, sticky errors. */
#include <locale.h>

#include "base/random.h"
#include "base/text.h"
#include "check.h"
#include "failing.h"

static sonde_context *context;
static sonde__text text;

static int open_text(void **state)
{
    (void)state;
    context = check_context();
    sonde__text_init(&text, context);
    return 0;
}

static int close_text(void **state)
{
    (void)state;
    sonde__text_free(&text);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
    return 0;
}

static const char *number(double value)
{
    sonde__text_free(&text);
    sonde__text_number(&text, value);
    check_ok(context, sonde__text_status(&text));
    return text.bytes;
}

static void numbers_are_as_short_as_they_can_be(void **state)
{
    (void)state;
    assert_string_equal(number(0), "0");
    assert_string_equal(number(0.1), "0.1");
    assert_string_equal(number(-2.5), "-2.5");
    assert_string_equal(number(1e100), "1e+100");
    assert_string_equal(number(0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(number(1 / 3.0), "0.3333333333333333");
    assert_string_equal(number(5e-324), "5e-324");
    assert_string_equal(number(123456789), "123456789");
    assert_string_equal(number(NAN), "null");
    assert_string_equal(number(-INFINITY), "null");
}

static void numbers_read_back_as_the_same_bits(void **state)
{
    (void)state;
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, 0);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = sonde__random_u64(&stream);
        double value, back = 0;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        assert_true(sonde__parse_double(number(value), &back));
        assert_memory_equal(&value, &back, sizeof value);
    }
    double back = 1;
    assert_true(sonde__parse_double(number(-0.0), &back));
    assert_true(back == 0 && signbit(back));
}

/* A locale made for the test: `localedef` needs only its one category. */
static bool make_comma_locale(void)
{
    char folder[] = "/tmp/sonde-locale-XXXXXX", command[512];
    if (!mkdtemp(folder))
        return false;
    snprintf(command, sizeof command,
             "cd %s && printf 'LC_NUMERIC\\ndecimal_point \",\"\\nthousands_sep \".\"\\n"
             "grouping 3;3\\nEND LC_NUMERIC\\n' > source && "
             "localedef -c -i source -f ANSI_X3.4-1968 ./comma >/dev/null 2>&1; test -d comma",
             folder);
    bool made = system(command) == 0;
    setenv("LOCPATH", folder, 1);
    made = made && setlocale(LC_NUMERIC, "comma") && localeconv()->decimal_point[0] == ',';
    unsetenv("LOCPATH");
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 && made;
}

/* Any installed locale whose decimal point is a comma, or one made for the purpose. */
static bool set_comma_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (setlocale(LC_ALL, names[i]) && localeconv()->decimal_point[0] == ',')
            return true;
    setlocale(LC_ALL, "C");
    return make_comma_locale();
}

static void a_comma_locale_changes_nothing(void **state)
{
    (void)state;
    if (!set_comma_locale())
        skip();
    char plain[32];
    double value = 0;
    snprintf(plain, sizeof plain, "%.1f", 0.5);
    assert_string_equal(plain, "0,5"); /* the locale is really in force */
    assert_string_equal(number(0.5), "0.5");
    sonde__text_format(&text, " %.2f", 1234.5);
    assert_string_equal(text.bytes, "0.5 1234.50");
    sonde__format(plain, sizeof plain, "%.2f", 0.25);
    assert_string_equal(plain, "0.25");
    sonde__fail(text.context, SONDE_ERROR_RANGE, "rate %g", 0.5);
    assert_string_equal(sonde_context_error(text.context)->message, "rate 0.5");
    assert_true(sonde__parse_double("2.25", &value));
    assert_true(value == 2.25);
    assert_false(sonde__parse_double("2,25", &value));
    snprintf(plain, sizeof plain, "%.1f", 0.5);
    assert_string_equal(plain, "0,5"); /* and is left as it was */
    setlocale(LC_ALL, "C");
}

static void only_whole_decimals_are_numbers(void **state)
{
    (void)state;
    double value = 7;
    static const char *const good[] = {"0", "-1", "+1.5", ".5", "5.", "1e3", "1E-3", "2.5e+10"};
    static const char *const bad[] = {"",      " ",   " 1",  "1 ",   "1.2.3", "1e",
                                      "e5",    ".",   "-",   "0x10", "nan",   "inf",
                                      "1e400", "1,5", "1d3", "--1",  "1e+"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(sonde__parse_double(good[i], &value));
        assert_true(value == strtod(good[i], NULL));
    }
    value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sonde__parse_double(bad[i], &value))
            fail_msg("'%s' was read as %g", bad[i], value);
    assert_true(value == 7);
}

static void integers_are_whole_and_in_range(void **state)
{
    (void)state;
    int64_t value = 7;
    assert_true(sonde__parse_int64("-9223372036854775808", &value));
    assert_true(value == INT64_MIN);
    assert_true(sonde__parse_int64("+12", &value));
    assert_int_equal(value, 12);
    static const char *const bad[] = {"",   "9223372036854775808", "1.0", "1e3", " 1", "1 ", "-",
                                      "0x1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sonde__parse_int64(bad[i], &value))
            fail_msg("'%s' was read as %lld", bad[i], (long long)value);
    assert_int_equal(value, 12);
}

static void json_strings_are_escaped(void **state)
{
    (void)state;
    sonde__text_json_string(&text, "a\"b\\c\n\t\x01\x7f \xc3\xa9 \xf0\x9f\x98\x80");
    assert_string_equal(text.bytes,
                        "\"a\\\"b\\\\c\\n\\t\\u0001\\u007f \xc3\xa9 \xf0\x9f\x98\x80\"");
}

static void invalid_utf8_becomes_the_replacement_character(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff",     "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xe2\x82", "\x80"};
    static const int replaced[] = {1, 2, 3, 4, 2, 1};
    for (size_t i = 0; i < 6; i++) {
        sonde__text_free(&text);
        sonde__text_json_string(&text, bad[i]);
        assert_int_equal(text.length, 2 + 3 * replaced[i]);
        assert_memory_equal(text.bytes + 1, "\xef\xbf\xbd", 3);
    }
}

static void html_is_escaped(void **state)
{
    (void)state;
    sonde__text_html(&text, "<a href=\"x\">'&'</a>\xff");
    assert_string_equal(text.bytes, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;"
                                    "\xef\xbf\xbd");
}

static void long_formats_grow_the_text(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        sonde__text_format(&text, "%0*d;", 50 + i * 5, i);
    check_ok(context, sonde__text_status(&text));
    assert_int_equal(strlen(text.bytes), text.length);
    assert_int_equal(text.length, 100 * 51 + 5 * 99 * 100 / 2);
}

static sonde_status use_text(sonde_context *own, void *argument)
{
    (void)argument;
    sonde__text mine;
    sonde__text_init(&mine, own);
    for (int i = 0; i < 100; i++) {
        sonde__text_add(&mine, "words, ");
        sonde__text_number(&mine, i / 7.0);
        sonde__text_format(&mine, "%400d", i);
    }
    sonde_status status = sonde__text_status(&mine);
    sonde__text_free(&mine);
    return status;
}

static void control_characters_and_broken_utf8_are_not_plain(void **state)
{
    static const char *const plain[] = {"", "a b~", "\xc2\xa0", "\xc3\xa9", "\xf0\x9f\x98\x80"};
    static const char *const odd[] = {"\n",       "a\x7f",        "\xc2\x80",
                                      "\xc2\x9b", "a\xff",        "\xc2",
                                      "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"};
    (void)state;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        assert_true(sonde__text_is_plain(plain[i]));
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_false(sonde__text_is_plain(odd[i]));
}

static void what_could_steer_a_terminal_becomes_question_marks(void **state)
{
    static const char *const shown[][2] = {
        {"a b~ \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
         "a b~ \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\033[2J\a\x7f", "?[2J??"},
        {"\xc2\x80.\xc2\x9f.\xc2\xa0", "??.??.\xc2\xa0"}, /* C1 */
        {"\xff"
         "a\xc3"
         "b\xe2\x82",
         "?a?b??"},                         /* invalid, cut */
        {"\xed\xa0\x80\xc0\xaf", "?????"},  /* a surrogate, overlong */
        {"\xd8\x9c\xd8\x9b", "??\xd8\x9b"}, /* U+061C */
        {"\xe2\x80\x8d\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\x90", "\xe2\x80\x8d??????\xe2\x80\x90"},
        {"\xe2\x80\xa7\xe2\x80\xaa\xe2\x80\xae\xe2\x80\xaf", "\xe2\x80\xa7??????\xe2\x80\xaf"},
        {"\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa", "\xe2\x81\xa5??????\xe2\x81\xaa"}};
    (void)state;
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s", shown[i][0]);
        sonde__text_make_plain(line);
        assert_string_equal(line, shown[i][1]);
    }
}

static void json_strings_write_controls_as_numbers(void **state)
{
    (void)state;
    sonde__text_json_string(&text, "\xc2\x9b \xe2\x80\xae \xd8\x9c \x7f \xc3\xa9\xff");
    assert_string_equal(text.bytes, "\"\\u009b \\u202e \\u061c \\u007f \xc3\xa9\xef\xbf\xbd\"");
}

static void a_failure_sticks_until_it_is_asked_for(void **state)
{
    (void)state;
    assert_true(failing_run(use_text, NULL) >= 3);
}

int main(void)
{
#define TEXT_TEST(f) cmocka_unit_test_setup_teardown(f, open_text, close_text)
    const struct CMUnitTest tests[] = {
        TEXT_TEST(numbers_are_as_short_as_they_can_be),
        TEXT_TEST(numbers_read_back_as_the_same_bits),
        TEXT_TEST(a_comma_locale_changes_nothing),
        TEXT_TEST(only_whole_decimals_are_numbers),
        TEXT_TEST(integers_are_whole_and_in_range),
        TEXT_TEST(json_strings_are_escaped),
        TEXT_TEST(invalid_utf8_becomes_the_replacement_character),
        TEXT_TEST(html_is_escaped),
        TEXT_TEST(long_formats_grow_the_text),
        TEXT_TEST(control_characters_and_broken_utf8_are_not_plain),
        TEXT_TEST(what_could_steer_a_terminal_becomes_question_marks),
        TEXT_TEST(json_strings_write_controls_as_numbers),
        TEXT_TEST(a_failure_sticks_until_it_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
