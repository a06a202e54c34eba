/*
 * Options that name a subject, for verbs that measure (sonde__verb.measures): a run and its epoch, or
 * --model with --weights, and the normalisation that those weights were trained with.
 */
#ifndef SONDE_CLI_SUBJECT_H
#define SONDE_CLI_SUBJECT_H

#include <stddef.h>

#include "cli/verb.h"
#include "run/subject.h"

/* Rows of a verb's options; `words` is where they go in sonde__values, `epochs` what --epoch means. */
/* clang-format off */
#define SONDE__SUBJECT_OPTION(words, field) offsetof(sonde__values, words.field)
#define SONDE__SUBJECT_OPTIONS(words, epochs) \
    {SONDE__OPTION_INTEGER, "epoch", 0, "N", epochs, SONDE__SUBJECT_OPTION(words, epoch)}, \
    {SONDE__OPTION_TEXT, "weights", 0, "FILE", \
     "weights of --model: any model file, matched by name [the initialisation]", \
     SONDE__SUBJECT_OPTION(words, weights)}, \
    {SONDE__OPTION_TEXT, "mean", 0, "LIST", \
     "normalise images by this mean a channel, as in 0.485,0.456,0.406 [the data set's own]", \
     SONDE__SUBJECT_OPTION(words, mean)}, \
    {SONDE__OPTION_TEXT, "std", 0, "LIST", "... and this deviation", \
     SONDE__SUBJECT_OPTION(words, std)}
/* clang-format on */

/* Fills all but max_batch, study and tangent. `run` may be NULL. */
sonde_status sonde__cli_subject_options(const sonde__call *call, const char *run,
                                        const sonde__subject_words *words,
                                        sonde__subject_options *options);

#endif
