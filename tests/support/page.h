/* What every page that we write must be: balanced, self-contained, without numbers that are none. */
#ifndef SONDE_TESTS_PAGE_H
#define SONDE_TESTS_PAGE_H

#include "check.h"

/* Counts an element's openings and closings outside of text (which is escaped). */
static inline size_t count_of(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        count++;
    return count;
}

static inline void check_page(const char *page)
{
    static const char *const elements[] = {"figure",  "section", "ul", "li", "table", "td",
                                           "details", "main",    "tr", "h2", "style"};
    static const char *const never[] = {"http://", "https://", "<script", "url(",
                                        "=\"nan",  "=\"-nan",  "nan nan"};
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        char open[32], open_class[32], close[32];
        snprintf(open, sizeof open, "<%s>", elements[i]);
        snprintf(open_class, sizeof open_class, "<%s ", elements[i]);
        snprintf(close, sizeof close, "</%s>", elements[i]);
        if (count_of(page, open) + count_of(page, open_class) != count_of(page, close))
            fail_msg("<%s> is not balanced", elements[i]);
    }
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strstr(page, never[i]))
            fail_msg("the page holds %s", never[i]);
    assert_int_equal(count_of(page, "<svg "), count_of(page, "</svg>"));
    assert_non_null(strstr(page, "name=\"viewport\""));
    assert_non_null(strstr(page, "prefers-color-scheme:dark"));
}

#endif
