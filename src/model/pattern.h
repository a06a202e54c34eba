/* Glob patterns of tensor names, as `--layers` takes them. */
#ifndef SONDE_MODEL_PATTERN_H
#define SONDE_MODEL_PATTERN_H

#include <stdbool.h>

/*
 * Whether the whole name matches one of the patterns, which commas separate: '*' is any run of
 * characters, '?' any one, everything else itself; spaces around a pattern do not count. NULL or no
 * pattern at all matches every name. At most strlen(name) * strlen(patterns) steps.
 */
bool sonde__pattern_matches(const char *patterns, const char *name);

#endif
