/*
 * Glob patterns with '*' and '?', in a list with commas.
 *
 * The matcher goes back to the last '*' alone, never to one before it, which finds a match wherever
 * there is one and cannot take exponential time, whatever a name in a file looks like.
 */
#include "model/pattern.h"

#include <stddef.h>
#include <string.h>

/* Whether pattern[0 .. length) matches the whole name. */
static bool match_one(const char *pattern, size_t length, const char *name)
{
    size_t at = 0, star = length; /* `length`: no '*' yet */
    const char *behind = name;    /* where the run of the last '*' ends */
    while (*name) {
        if (at < length && pattern[at] == '*') {
            star = at++;
            behind = name;
        } else if (at < length && (pattern[at] == '?' || pattern[at] == *name)) {
            at++;
            name++;
        } else if (star < length) {
            at = star + 1;
            name = ++behind;
        } else {
            return false;
        }
    }
    while (at < length && pattern[at] == '*')
        at++;
    return at == length;
}

bool sonde__pattern_matches(const char *patterns, const char *name)
{
    bool any = false;
    for (const char *next = patterns; next && *next;) {
        next += strspn(next, " ,");
        size_t length = strcspn(next, ",");
        const char *const pattern = next;
        next += length;
        while (length > 0 && pattern[length - 1] == ' ')
            length--;
        if (length == 0)
            continue;
        any = true;
        if (match_one(pattern, length, name))
            return true;
    }
    return !any;
}
