/* What every cmocka test includes, and a few comparisons that say which element differs. */
#ifndef SONDE_TESTS_CHECK_H
#define SONDE_TESTS_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sonde.h>

/* |a - b| <= absolute + relative * |b| */
static inline void check_close(double a, double b, double absolute, double relative,
                               const char *what)
{
    if (!(fabs(a - b) <= absolute + relative * fabs(b)))
        fail_msg("%s: %.17g is not within %g + %g * |b| of %.17g", what, a, absolute, relative, b);
}

static inline sonde_context *check_context(void)
{
    sonde_context *context = NULL;
    assert_int_equal(sonde_context_create(NULL, &context), SONDE_OK);
    return context;
}

#define check_ok(context, call) \
    do { \
        sonde_status check_status_ = (call); \
        if (check_status_ != SONDE_OK) \
            fail_msg("%s: %s: %s", #call, sonde_status_name(check_status_), \
                     sonde_context_error(context)->message); \
    } while (0)

#define check_status(call, expected) \
    do { \
        sonde_status check_status_ = (call); \
        if (check_status_ != (expected)) \
            fail_msg("%s: %s, not %s", #call, sonde_status_name(check_status_), #expected); \
    } while (0)

/* Ends the program as "skipped" (ctest code 77) when there is no real data. */
static inline const char *check_data_folder(void)
{
    const char *folder = getenv("SONDE_DATA");
    return folder && folder[0] ? folder : NULL;
}

#endif
