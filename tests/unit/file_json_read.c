/* The JSON reader: what RFC 8259 allows is read, and nothing else; strings unescaped in place. */
#include "check.h"
#include "file/json_read.h"

/* Whether a text is one value and white space, read by passing over it. The text stands in a block
 * of exactly its size and one byte, so that reading past it is found. */
static bool accepts_bytes(const char *text, size_t size, const char **error)
{
    sonde__json json;
    char *copy = malloc(size + 1);
    memcpy(copy, text, size);
    sonde__json_init(&json, copy, size);
    bool good = sonde__json_skip(&json) && sonde__json_ends(&json);
    *error = json.error ? json.error : "";
    free(copy);
    return good;
}

static bool accepts(const char *text)
{
    const char *error;
    return accepts_bytes(text, strlen(text), &error);
}

static void valid_texts_are_accepted(void **state)
{
    (void)state;
    static const char *const good[] = {"null",
                                       "true",
                                       "false",
                                       "0",
                                       "-0",
                                       "10",
                                       "-1.5",
                                       "1e5",
                                       "1E+5",
                                       "1.25e-7",
                                       "\"\"",
                                       "\"a\"",
                                       "[]",
                                       "{}",
                                       " [ ] ",
                                       "\t{\n}\r",
                                       "[1,2 , 3]",
                                       "[[],[[]]]",
                                       "{\"a\":1}",
                                       "{ \"a\" : [ { \"b\" : null } ] , \"c\" : \"d\" }",
                                       "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"",
                                       "\"\\ud83d\\ude00\"",
                                       "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
                                       "\"\x7f\"",
                                       "\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"",
                                       "123456789012345678901234567890",
                                       "1e400",
                                       "{\"a\":1,\"a\":2}"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!accepts(good[i]))
            fail_msg("%s is refused", good[i]);
}

static void invalid_texts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      " ",
                                      "nul",
                                      "nulll",
                                      "True",
                                      "+1",
                                      "01",
                                      "-",
                                      "-a",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "0x1",
                                      "1 2",
                                      "[",
                                      "]",
                                      "[1",
                                      "[1,",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "{",
                                      "}",
                                      "{\"a\"",
                                      "{\"a\":",
                                      "{\"a\":1",
                                      "{\"a\":1,",
                                      "{\"a\":1,}",
                                      "{,}",
                                      "{a:1}",
                                      "{1:1}",
                                      "{\"a\" 1}",
                                      "{\"a\":1 \"b\":2}",
                                      "[}",
                                      "{]",
                                      "[1}",
                                      "\"",
                                      "\"a",
                                      "\"\\\"",
                                      "\"\\",
                                      "\"\\x\"",
                                      "\"\\u\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\\u0000\"",
                                      "\"\\ud800\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800\\ud800\"",
                                      "\"\\ud83d",
                                      "\"\\ud83d\\",
                                      "\"\\ud83d\\u",
                                      "\"\\ud83d\\ude0",
                                      "'a'",
                                      "\"a\nb\"",
                                      "\"a\tb\"",
                                      "\"\x80\"",
                                      "\"\xc3\"",
                                      "\"\xc3(\"",
                                      "\"\xc0\xaf\"",
                                      "\"\xc1\xbf\"",
                                      "\"\xe0\x80\x80\"",
                                      "\"\xe0\x9f\xbf\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xf0\x80\x80\x80\"",
                                      "\"\xf4\x90\x80\x80\"",
                                      "\"\xf5\x80\x80\x80\"",
                                      "\"\xff\"",
                                      "\"\xe2\x82\"",
                                      "\"\xf0\x9f\x98\"",
                                      "\xef\xbb\xbf{}",
                                      "// a\n1",
                                      "[1] [2]",
                                      "NaN",
                                      "Infinity",
                                      "-Infinity"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (accepts(bad[i]))
            fail_msg("%s is accepted", bad[i]);
}

static void nul_bytes_end_nothing_early(void **state)
{
    (void)state;
    const char *error;
    assert_false(accepts_bytes("1\0", 2, &error));
    assert_false(accepts_bytes("\0", 1, &error));
    assert_false(accepts_bytes("\"a\0b\"", 5, &error));
    assert_string_equal(error, "a string holds a control character");
    assert_false(accepts_bytes("[1,\0]", 5, &error));
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\\u00e9\\ud83d\\ude00\xc3\xa9\":[1,-2.5e3,true,false,null,{\"b\":\"c\\n\"}],\"d\":{}}";
    const char *error;
    assert_true(accepts_bytes(text, sizeof text - 1, &error));
    for (size_t cut = 0; cut < sizeof text - 1; cut++)
        if (accepts_bytes(text, cut, &error) || !error[0])
            fail_msg("%.*s is accepted", (int)cut, text);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    enum { DEEP = 1000000 };
    const char *error;
    char *text = malloc(DEEP);
    for (size_t depth = SONDE__JSON_DEPTH_MAX - 1; depth <= SONDE__JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(accepts_bytes(text, 2 * depth, &error), depth <= SONDE__JSON_DEPTH_MAX);
    }
    memset(text, '[', DEEP);
    assert_false(accepts_bytes(text, DEEP, &error));
    assert_non_null(strstr(error, "64 deep"));
    free(text);
}

static void strings_are_unescaped_in_place(void **state)
{
    (void)state;
    char text[] =
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\", \"\\u0041\\u00e9\\u20ac\\ud83d\\uDE00\", \"x\"]";
    const char *string = NULL;
    bool first = true;
    sonde__json json;
    sonde__json_init(&json, text, sizeof text - 1);
    assert_true(sonde__json_enter(&json, '['));
    assert_true(sonde__json_item(&json, &first) && sonde__json_string(&json, &string));
    assert_string_equal(string, "\"\\/\b\f\n\r\t");
    const char *before = string;
    assert_true(sonde__json_item(&json, &first) && sonde__json_string(&json, &string));
    assert_string_equal(string, "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_true(sonde__json_item(&json, &first) && sonde__json_string(&json, &string));
    assert_string_equal(string, "x");
    assert_false(sonde__json_item(&json, &first));
    assert_true(sonde__json_ends(&json));
    assert_string_equal(before, "\"\\/\b\f\n\r\t");
}

static void numbers_say_whether_they_are_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool whole;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"42", true, 42},
        {"-42", true, -42},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551616", false, 0},
        {"99999999999999999999999999", false, 0},
        {"1.0", false, 0},
        {"1e2", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[40];
        sonde__json json;
        int64_t value = 0;
        bool whole;
        snprintf(text, sizeof text, "%s", cases[i].text);
        sonde__json_init(&json, text, strlen(text));
        assert_int_equal(sonde__json_peek(&json), '-');
        assert_true(sonde__json_number(&json, &value, &whole));
        if (whole != cases[i].whole || (whole && value != cases[i].value))
            fail_msg("%s became %lld", cases[i].text, (long long)value);
        assert_true(sonde__json_ends(&json));
    }
}

static void errors_are_sticky_and_say_where(void **state)
{
    (void)state;
    char text[] = "{\"a\": tru, \"b\": 1}";
    const char *key;
    bool first = true;
    sonde__json json;
    sonde__json_init(&json, text, sizeof text - 1);
    assert_true(sonde__json_enter(&json, '{'));
    assert_true(sonde__json_key(&json, &first, &key));
    assert_string_equal(key, "a");
    assert_int_equal(sonde__json_peek(&json), 't');
    assert_false(sonde__json_skip(&json));
    assert_int_equal(sonde__json_offset(&json), 6);
    assert_false(sonde__json_key(&json, &first, &key));
    assert_int_equal(sonde__json_peek(&json), 0);
    assert_false(sonde__json_ends(&json));
    assert_string_equal(json.error, "a value is expected");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts_are_accepted),
        cmocka_unit_test(invalid_texts_are_refused),
        cmocka_unit_test(nul_bytes_end_nothing_early),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(strings_are_unescaped_in_place),
        cmocka_unit_test(numbers_say_whether_they_are_whole),
        cmocka_unit_test(errors_are_sticky_and_say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
